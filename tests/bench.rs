//! What `tools/bench` does when one of many rounds fails: its tables are there, and say so.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use support::Scratch;

/// Stands in for the load tool: the second and third runs under load fail, as the first one of them does for which a server
/// takes too long to restart; whatever else it is asked for it does not measure.
const LOAD: &str = r#"#!/usr/bin/env bash
here=$(dirname "$0")
case $1 in
leader)
    while [ "$1" != --target ]; do shift; done
    echo "${2%%,*}"
    ;;
run)
    [[ " $* " == *" --at "* ]] || exit 0
    echo >>"$here/runs"
    case $(wc -l <"$here/runs") in
    2 | 3) echo "corral-load: the intervention at 2.5 s does not end" >&2; exit 1 ;;
    *) echo '{}' ;;
    esac
    ;;
report) echo "kill 12 ms" ;;
stages) shift; echo "| kills that count | $(($# / 2)) |" ;;
esac
"#;

fn stand_in(directory: &Path) -> String {
    let path = directory.join("load");
    fs::write(&path, LOAD).expect("the program");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its permissions");
    path.display().to_string()
}

#[test]
fn rounds_that_fail_are_named_below_the_table_of_the_others() {
    let scratch = Scratch::new();
    let load = stand_in(scratch.path());
    let done = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tools/bench"))
        .args(["--quick", "--kills", "4", "--product", "corral", "--corral", env!("CARGO_BIN_EXE_corral")])
        .args(["--load", &load, "failover", "rejoin"])
        .env("CORRAL_BENCH_RESULTS", scratch.path().join("results"))
        .output()
        .expect("tools/bench runs");
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert_eq!(done.status.code(), Some(1), "{out}{err}");
    assert!(out.contains("| kills that count | 2 |"), "{out}{err}");
    assert!(out.contains("- Corral x 3: kill 2 of 4: the load has failed"), "{out}{err}");
    assert!(out.contains("- Corral x 3: kill 3 of 4: the load has failed"), "{out}{err}");
    // The part behind it was measured all the same.
    assert!(out.contains("comes back\n") && out.contains("| kills that count | 1 |"), "{out}{err}");
    let written = fs::read_dir(scratch.path().join("results")).expect("results").flatten();
    assert_eq!(written.filter(|file| file.path().extension().is_some_and(|name| name == "md")).count(), 1);
}

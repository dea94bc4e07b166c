//! The house rules that a compiler does not know, held by reading the source.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The floors, lowest first. A room uses rooms of lower floors, and its own.
const FLOORS: &[&[&str]] = &[
    &["ids", "cost", "limits", "fatal"],
    &["escaped", "gather", "tls"],
    &["jute", "acl", "session", "config"],
    &["tree", "zab"],
    &["watch", "storage"],
    &["server"],
    &["runtime", "sim"],
    &["admin", "cli"],
];

/// Uses within one floor that are meant: (who, whom).
const NEIGHBOURS: &[(&str, &str)] = &[
    // The identities and lists of the wire, read and written by their own rules.
    ("acl", "jute"),
    // A key chooses how digests are made.
    ("config", "acl"),
    // The command line starts the admin plane.
    ("cli", "admin"),
    // Budgets are amounts of work.
    ("limits", "cost"),
    // The name of a failure holds no more than identifiers.
    ("fatal", "ids"),
];

/// Public items of the library at most: what its tests, benchmarks and programs name, and what follows from that.
const PUBLIC_ITEMS: usize = 400;

/// Fields of a type at most.
const FIELDS: usize = 20;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(dir: &Path, out: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() && path.ends_with("tests") {
            continue;
        } else if path.is_dir() {
            rust_files(&path, out);
        } else if path.file_name().is_some_and(|name| name.to_str().unwrap().contains("tests")) {
            // A module of tests, in a file of its own.
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            out.push(path);
        }
    }
}

fn sources() -> Vec<(String, PathBuf, String)> {
    let mut files = vec![];
    rust_files(&root().join("src"), &mut files);
    assert!(files.len() > 50, "the source was found");
    files
        .into_iter()
        .map(|path| {
            let relative = path.strip_prefix(root().join("src")).unwrap().to_path_buf();
            let first = relative.components().next().unwrap().as_os_str().to_str().unwrap();
            let room = first.trim_end_matches(".rs").to_owned();
            let text = fs::read_to_string(&path).unwrap();
            (room, relative, text)
        })
        .collect()
}

fn floor(room: &str) -> usize {
    FLOORS.iter().position(|floor| floor.contains(&room)).unwrap_or_else(|| panic!("{room} is on no floor"))
}

/// The code without its tests, which may use whatever helps them, and without comments.
fn code(text: &str) -> String {
    let text = text.split("\n#[cfg(test)]").next().unwrap();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The rooms named by `crate::…` paths.
fn used_rooms(code: &str) -> Vec<String> {
    let name = |rest: &str| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut rooms: Vec<String> = code.split("crate::").skip(1).map(name).filter(|name| !name.is_empty()).collect();
    for group in code.split("use crate::{").skip(1) {
        let group = group.split(';').next().unwrap();
        let mut depth = 0;
        let mut start = true;
        for (at, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => start = true,
                c if start && depth == 0 && c.is_alphabetic() => {
                    rooms.push(name(&group[at..]));
                    start = false;
                }
                _ => {}
            }
        }
    }
    rooms
}

#[test]
fn a_room_uses_only_lower_floors() {
    let mut wrong = vec![];
    for (room, path, text) in sources() {
        if matches!(room.as_str(), "lib" | "main") {
            continue;
        }
        for used in used_rooms(&code(&text)) {
            let allowed =
                used == room || floor(&used) < floor(&room) || NEIGHBOURS.contains(&(room.as_str(), used.as_str()));
            if !allowed {
                wrong.push(format!("{}: {room} uses {used}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What `tools/house` has measured, by measure and room; the room is empty for the whole.
fn measures() -> BTreeMap<(String, String), usize> {
    let output = Command::new("python3").arg(root().join("tools/house")).arg("--plain").output();
    let output = output.expect("tools/house needs python3");
    assert!(output.status.success(), "tools/house: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let measures: BTreeMap<_, _> = text
        .lines()
        .map(|line| {
            let columns: Vec<&str> = line.split('\t').collect();
            ((columns[0].to_owned(), columns[1].to_owned()), columns[2].parse().unwrap())
        })
        .collect();
    let files = measures[&("files".to_owned(), String::new())];
    let lines = measures[&("lines".to_owned(), String::new())];
    assert!(files > 50 && lines > 10_000, "the source was found");
    measures
}

/// Inside a room, too, there is an order: parts that use one another can be understood, and changed, only together. And what
/// one has to hold in mind at a time is bounded. `tools/house --list` names what is in the way.
#[test]
fn the_house_has_an_order_and_nothing_in_it_is_too_large() {
    let mut wrong = vec![];
    for ((measure, room), value) in measures() {
        let most = match measure.as_str() {
            "upward arrows between rooms" | "upward arrows inside rooms" | "circles of files" => 0,
            "public items" if room.is_empty() => PUBLIC_ITEMS,
            "functions over 100 lines" => 0,
            "fields of the widest type" if !matches!(room.as_str(), "" | "sim") => FIELDS,
            _ => continue,
        };
        if value > most {
            wrong.push(format!("{value} {measure} {room}, at most {most}"));
        }
    }
    let list = "`tools/house --list FOLDER` names what is in the way (a folder or file of src; none: all of it)";
    assert!(wrong.is_empty(), "{wrong:#?}\n{list}");
}

#[test]
fn only_the_edges_touch_the_world() {
    let mut wrong = vec![];
    for (room, path, text) in sources() {
        let code = code(&text);
        let mut forbid = |what: &[&str], except: &[&str]| {
            if except.contains(&room.as_str()) {
                return;
            }
            for word in what {
                if code.contains(word) {
                    wrong.push(format!("{}: {word}", path.display()));
                }
            }
        };
        forbid(&["glommio"], &["runtime"]);
        forbid(&["Instant::now", "SystemTime::now", "thread::sleep", "getrandom"], &["runtime", "sim"]);
        forbid(&["TcpStream", "TcpListener", "UdpSocket"], &["runtime", "sim"]);
        // The command line reads its configuration file, the admin plane asks the operating system.
        forbid(&["std::fs", "fs::File", "File::open", "OpenOptions"], &["runtime", "sim", "cli", "admin"]);
        if room != "sim" && room != "lib" && code.contains("crate::sim") {
            wrong.push(format!("{}: names sim", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Bytes of a stranger's become text by `Escaped` alone: escaped, and no more of them than are of use.
#[test]
fn what_strangers_send_is_not_printed_as_it_came() {
    let mut wrong = vec![];
    for (room, path, text) in sources() {
        // What is read at a start, or asked of the system; and a scheme's own words, which are compared.
        let is_other =
            matches!(room.as_str(), "config" | "runtime" | "sim" | "cli") || path.ends_with("acl/authenticate.rs");
        if !is_other && code(&text).contains("from_utf8_lossy") {
            wrong.push(path.display().to_string());
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn unsafe_is_announced() {
    for (_, path, text) in sources() {
        let code = code(&text);
        if code.contains("unsafe {") || code.contains("unsafe fn") || code.contains("unsafe impl") {
            let head: String = text.lines().take_while(|line| line.starts_with("//!")).collect();
            assert!(
                head.to_lowercase().contains("unsafe"),
                "{} uses unsafe and does not say so at its top",
                path.display()
            );
        }
    }
}

#[test]
fn every_file_says_what_it_is_for_and_can_be_read_at_a_sitting() {
    for (_, path, text) in sources() {
        assert!(text.starts_with("//!") || path.ends_with("main.rs"), "{} has no opening words", path.display());
        let lines = code(&text).lines().count();
        assert!(lines <= 600, "{} has {lines} lines of code: cut it along its story", path.display());
    }
}

/// They are the child `tests` of what they test: `tests.rs` in the folder of the module, or a part of it in `tests/`.
#[test]
fn tests_of_a_module_have_one_place() {
    fn walk(dir: &Path, wrong: &mut Vec<String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() {
                walk(&path, wrong);
            } else if name.contains("tests") && name != "tests.rs" {
                wrong.push(format!(
                    "{}: a file of tests is called tests.rs, or stands in a folder tests",
                    path.display()
                ));
            } else if path.ends_with("tests/mod.rs") {
                wrong.push(format!("{}: this is tests.rs, beside the folder", path.display()));
            } else if fs::read_to_string(&path).unwrap().contains("\n#[path") {
                wrong.push(format!("{}: a module stands where its name says", path.display()));
            }
        }
    }
    let mut wrong = vec![];
    walk(&root().join("src"), &mut wrong);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn nothing_is_left_undone() {
    for (_, path, text) in sources() {
        for word in ["TODO", "FIXME", "todo!(", "unimplemented!("] {
            assert!(!text.contains(word), "{}: {word}", path.display());
        }
    }
}

#[test]
fn every_dependency_has_its_reason() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let mut in_dependencies = false;
    let mut has_reason = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            in_dependencies = line == "[dependencies]" || line == "[dev-dependencies]";
            has_reason = false;
        } else if in_dependencies && line.starts_with('#') {
            has_reason = true;
        } else if in_dependencies && line.trim().is_empty() {
            has_reason = false;
        } else if in_dependencies {
            assert!(has_reason, "no comment above: {line}");
        }
    }
}

/// The last column of both tables says of each row which test goes red without its rule: `file::test`, or a script of
/// `tests/zab`.
#[test]
fn every_test_that_a_table_names_is_there() {
    for (document, least) in [("docs/history.md", 30), ("docs/threats.md", 15)] {
        tests_of(document, least);
    }
}

fn tests_of(document: &str, least: usize) {
    let text = fs::read_to_string(root().join(document)).unwrap();
    let played = ["src/zab/tests/role.rs", "src/zab/election/tests/script.rs"];
    let scripts = played.map(|file| fs::read_to_string(root().join(file)).unwrap()).concat();
    let mut wrong = vec![];
    let mut named = 0;
    let is_head = |line: &str| line.starts_with("| what") || line.starts_with("| who |");
    for row in text.lines().filter(|line| line.starts_with("| ") && !is_head(line)) {
        let tests = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        let before = named;
        for name in tests.split('`').skip(1).step_by(2) {
            named += 1;
            let is_there = match (name.split_once("::"), name.strip_prefix("tests/zab/")) {
                (Some((file, test)), _) => {
                    let source = fs::read_to_string(root().join(file)).unwrap_or_default();
                    let lines: Vec<&str> = source.lines().map(str::trim).collect();
                    lines.windows(2).any(|pair| pair[0] == "#[test]" && pair[1].starts_with(&format!("fn {test}(")))
                }
                (None, Some(script)) => {
                    let script = script.trim_start_matches("election/").trim_end_matches(".txt");
                    root().join(name).exists() && scripts.lines().any(|line| line.trim() == script)
                }
                (None, None) => false,
            };
            if !is_there {
                wrong.push(name.to_owned());
            }
        }
        assert!(named > before, "no test is named: {row}");
    }
    assert!(wrong.is_empty() && named > least, "{document}: {named} named, not found: {wrong:#?}");
}

/// A test that the check does not run holds nothing.
#[test]
fn the_check_runs_every_integration_test() {
    let check = fs::read_to_string(root().join("tools/check")).unwrap();
    let mut names: Vec<String> = fs::read_dir(root().join("tests"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| name.strip_suffix(".rs").map(str::to_owned))
        .collect();
    names.sort();
    assert!(names.len() > 8, "the tests were found");
    for name in names {
        let step = check.lines().any(|line| {
            let mut words = line.split_whitespace().skip_while(|word| *word != "integration");
            words.next().is_some() && words.next().is_some_and(|test| test.trim_end_matches(';') == name)
        });
        assert!(step, "tools/check has no step that runs tests/{name}.rs");
    }
}

/// Every document: those at the top, and those below `docs`.
fn documents() -> Vec<(PathBuf, String)> {
    let mut found = vec![];
    let mut dirs = vec![root(), root().join("docs")];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && dir != root() {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    assert!(found.len() > 8, "the documents were found");
    found
}

/// What a heading is called in a link to it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

#[test]
fn every_link_of_a_document_leads_somewhere() {
    let mut wrong = vec![];
    for (path, text) in documents() {
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link) {
            if link.contains("://") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            let is_there = target.exists()
                && (heading.is_empty() || {
                    let text = fs::read_to_string(&target).unwrap();
                    text.lines().any(|line| line.starts_with('#') && anchor(line.trim_start_matches('#')) == heading)
                });
            if !is_there {
                wrong.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Every source file, those of tests and tools included, by its path from the root.
fn source_files() -> Vec<PathBuf> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path.strip_prefix(root()).unwrap().to_path_buf());
            }
        }
    }
    let mut found = vec![PathBuf::from("build.rs")];
    ["src", "tests", "tools", "benches"].iter().for_each(|room| walk(&root().join(room), &mut found));
    found
}

/// A file that a document names is there: by its whole path, or by the end of the path of a source file (`open.rs`,
/// `ports/open.rs`). Placeholders (`tests/NAME.rs`) and patterns are none.
#[test]
fn every_file_that_a_document_names_is_there() {
    let sources = source_files();
    let mut wrong = vec![];
    let mut named = 0;
    let mut named_by_end = 0;
    for (path, text) in documents() {
        for word in text.split('`').skip(1).step_by(2) {
            let file = word.split([':', ' ']).next().unwrap();
            let is_file = ["src/", "tests/", "tools/", "docs/", "benches/"].iter().any(|room| file.starts_with(room));
            let is_end = !is_file && file.ends_with(".rs");
            if !(is_file || is_end) || file.contains(['*', '<']) || file.contains("NAME") {
                continue;
            }
            let is_there = if is_file {
                named += 1;
                root().join(file).exists()
            } else {
                named_by_end += 1;
                sources.iter().any(|source| source.ends_with(file))
            };
            if !is_there {
                wrong.push(format!("{}: {file}", path.display()));
            }
        }
    }
    assert!(
        wrong.is_empty() && named > 200 && named_by_end > 50,
        "{named} and {named_by_end} named, not there: {wrong:#?}"
    );
}

//! Every command against a real server of this workspace.

use crate::servers::{Corral, Program, document, errors, load, tool};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

fn run(target: &str, arguments: &str) -> Value {
    let arguments: Vec<&str> = arguments.split(' ').chain(["--target", target]).collect();
    document(&arguments)
}

#[test]
fn every_workload_is_carried_out_without_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let corral = Corral::start(directory.path());
    let names = [
        "get",
        "set",
        "create",
        "create-delete",
        "ephemeral",
        "sequential",
        "exists",
        "children",
        "sync",
        "multi",
        "multi-read",
        "mixed",
        "registry",
        "inserts",
        "mixed:50",
    ];
    let workloads: Vec<String> = names.iter().map(|name| format!("--workload {name}")).collect();
    let settings = "--seconds 0.4 --warm-up 0.1 --sessions 4 --in-flight 4";
    let document = run(&corral.target(), &format!("run {} {settings}", workloads.join(" ")));
    let runs = document["runs"].as_array().unwrap();
    assert_eq!(runs.len(), names.len());
    for (name, run) in names.iter().zip(runs) {
        assert_eq!(run["workload"]["name"], *name);
        assert_eq!(errors(run), [], "{name}");
        assert!(run["throughput"].as_f64().unwrap() > 10.0, "{name}: {}", run["throughput"]);
        for latency in run["latency"].as_array().unwrap() {
            assert!(latency["corrected"]["count"].as_u64().unwrap() > 0, "{name}: {}", latency["operation"]);
        }
    }
    assert_eq!(document["runs"][0]["target"]["mode"], "standalone");
    assert!(document["runs"][0]["target"]["version"].as_str().is_some_and(|version| !version.is_empty()));
    // What the runs have made is gone: the parents of new znodes are empty.
    let left = load(&["clean", "--target", &corral.target()]);
    let text = String::from_utf8_lossy(&left.stdout).into_owned();
    let deleted: usize = text.split(' ').next().unwrap().parse().expect("a count");
    assert!(left.status.success() && (1000..20_000).contains(&deleted), "{text}");
}

#[test]
fn cpu_memory_and_samples_of_the_server_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let corral = Corral::start(directory.path());
    let page = directory.path().join("page.html");
    let arguments = format!(
        "run --workload set --rate 500 --seconds 2 --warm-up 0.2 --sample 200 --pid {} --html {}",
        corral.pid(),
        page.display()
    );
    let document = run(&corral.target(), &arguments);
    let server = &document["runs"][0]["server"];
    assert!(server["cpu_us_per_op"].as_f64().unwrap() > 0.0 && server["rss_mb"].as_f64().unwrap() > 1.0, "{server}");
    let samples = server["samples"].as_array().unwrap();
    assert!(samples.len() >= 8, "{samples:?}");
    assert!(samples.iter().any(|sample| !sample["values"].is_null()), "mntr is among them: {samples:?}");
    assert!(fs::read_to_string(page).unwrap().contains("<svg"), "the page has its plots");
}

#[test]
fn a_file_of_keeper_bench_is_run() {
    let directory = tempfile::tempdir().unwrap();
    let corral = Corral::start(&directory.path().join("corral"));
    let file = directory.path().join("bench.yaml");
    let text = format!(
        "concurrency: 8\ntimelimit: 0.5\nconnections:\n  connection:\n    host: \"{}\"\n    sessions: 2\n\
         generator:\n  setup:\n    node: \"new\"\n    node:\n      name: \"old\"\n      node:\n        repeat: 20\n\
        \x20       name: {{random_string: {{size: 10}}}}\n        data: {{random_string: {{size: 100}}}}\n  requests:\n\
        \x20   create: {{path: \"/new\", remove_factor: 0.5}}\n    get:\n      weight: 5\n\
        \x20     path: {{children_of: \"/old\"}}\n    multi:\n      size: 5\n\
        \x20     set: {{path: {{children_of: \"/old\"}}, data: \"x\"}}\n    list: {{path: \"/old\"}}\n",
        corral.target()
    );
    fs::write(&file, text).unwrap();
    let document = document(&["run", "--workload", file.to_str().unwrap(), "--warm-up", "0.1"]);
    let run = &document["runs"][0];
    assert_eq!(errors(run), []);
    assert_eq!((&run["workload"]["sessions"], &run["workload"]["in_flight"]), (&Value::from(2), &Value::from(4)));
    let names: Vec<&str> =
        run["latency"].as_array().unwrap().iter().map(|latency| latency["operation"].as_str().unwrap()).collect();
    assert_eq!(names, ["all", "create", "delete", "get", "multi", "list"]);
}

/// How long a server is away.
const OUTAGE: Duration = Duration::from_millis(400);

#[test]
fn a_server_that_is_killed_and_comes_back_is_survived() {
    let directory = tempfile::tempdir().unwrap();
    let mut corral = Corral::start(directory.path());
    let target = corral.target();
    let arguments = "run --workload set --rate 500 --sessions 8 --seconds 6 --warm-up 0.2 --survive --json --target";
    let tool = Command::new(tool())
        .args(arguments.split(' '))
        .arg(&target)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // The znodes are planted, and about a second of the load is over.
    await_counter(&target, "zk_packets_received", 1600);
    corral.kill();
    // So long nobody is there: this is what has to be found.
    std::thread::sleep(OUTAGE);
    corral.start_again();
    let output = tool.wait_with_output().unwrap();
    assert!(output.status.success());
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let run = &document["runs"][0];
    let codes: Vec<i64> = errors(run).into_iter().map(|(code, _)| code).collect();
    assert!(codes.iter().all(|code| *code == -4), "connections were lost, sessions were not: {codes:?}");
    let unavailable_ms = run["unavailable_ms"].as_f64().unwrap();
    let outage_ms = OUTAGE.as_secs_f64() * 1e3;
    assert!((outage_ms..outage_ms + 4000.0).contains(&unavailable_ms), "{unavailable_ms}");
    let longest = run["gaps"].as_array().unwrap().iter().map(|gap| gap["to_ms"].as_f64().unwrap()).fold(0.0, f64::max);
    assert!(longest < 5900.0, "it was answered again: {}", run["gaps"]);
    let answered = run["latency"][0]["corrected"]["count"].as_u64().unwrap();
    let lost: u64 = errors(run).into_iter().map(|(_, count)| count).sum();
    assert_eq!(answered + lost, 3000, "everything that was due is accounted for");
    // Without --survive the same ends the run.
    corral.kill();
    assert_eq!(load(&["run", "--target", &target]).status.code(), Some(1));
}

#[test]
fn what_is_done_to_a_server_divides_the_run() {
    let directory = tempfile::tempdir().unwrap();
    let corral = Corral::start(directory.path());
    let (target, pid) = (corral.target(), corral.pid());
    let settings = "run --workload set --rate 500 --sessions 4 --seconds 2 --warm-up 0.1 --target";
    let run = |command: &str| {
        let at = format!("0.5:kill:{command}");
        load(&settings.split(' ').chain([target.as_str(), "--json", "--at", &at]).collect::<Vec<_>>())
    };
    let outage_s = OUTAGE.as_secs_f64();
    let output = run(&format!("kill -STOP {pid} && sleep {outage_s} && kill -CONT {pid} && echo done"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let document: Value = serde_json::from_slice(&output.stdout).expect("what a command prints goes elsewhere");
    let stages = document["runs"][0]["stages"].as_array().unwrap();
    let names: Vec<&Value> = stages.iter().map(|stage| &stage["name"]).collect();
    assert_eq!(names, ["before", "kill", "after kill"]);
    let gap_ms = stages[1]["longest_gap_ms"].as_f64().unwrap();
    let outage_ms = outage_s * 1e3;
    assert!((outage_ms - 5.0..outage_ms + 1000.0).contains(&gap_ms), "{gap_ms}");
    let [from, to] = ["from_ms", "to_ms"].map(|field| stages[1][field].as_f64().unwrap());
    assert!((500.0..600.0).contains(&from) && to - from >= outage_ms, "{from} to {to}");
    assert!(stages[1]["max_us"].as_f64().unwrap() >= outage_ms * 1e3 - 5e3, "what waited is part of it: {stages:?}");
    assert!(stages.iter().all(|stage| stage["operations"].as_u64().unwrap() > 0), "{stages:?}");

    let kept = directory.path().join("kept.json");
    fs::write(&kept, &output.stdout).unwrap();
    let [a, b] = ["A", "B"].map(|name| format!("{name}={}", kept.display()));
    let table = load(&["stages", "--run", &a, "--run", &b, "--run", &b]);
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    let line = table.lines().find(|line| line.starts_with("| B | kill |")).expect("a line for each stage");
    assert!(line.contains("ms of gap <= 100: **missed**") && line.contains("| 1.00 | 1.00 |"), "{table}");
    assert!(table.contains("- B: runs: 2, offered 500 /s"), "{table}");

    // What fails, or is not done in time, is no measurement.
    for (command, complaint) in [("exit 3", "kill: exit status: 3"), ("sleep 30", "kill: not done when the load ended")]
    {
        let output = run(command);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(errors.contains(complaint), "{errors}");
    }
    let leader = load(&["leader", "--target", &target, "--seconds", "0.1"]);
    let errors = String::from_utf8_lossy(&leader.stderr).into_owned();
    assert!(leader.status.code() == Some(1) && errors.contains(&format!("{target}: standalone")), "{errors}");
}

/// Waits until a counter of the server has come so far.
fn await_counter(target: &str, name: &str, least: u64) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let mut stream = std::net::TcpStream::connect(target).unwrap();
        std::io::Write::write_all(&mut stream, b"mntr").unwrap();
        let text = std::io::read_to_string(stream).unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(name));
        if value.and_then(|value| value.trim().parse::<u64>().ok()).is_some_and(|count| count >= least) {
            return;
        }
        assert!(Instant::now() < deadline, "{name} does not come to {least}:\n{text}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn scenarios_keep_what_their_recipes_promise() {
    let directory = tempfile::tempdir().unwrap();
    let corral = Corral::start(directory.path());
    for (arguments, operation, operations) in [
        ("lock --sessions 8 --rounds 5", "hand-off", 40),
        ("latch --sessions 6 --rounds 12", "hand-off", 12),
        ("barrier --sessions 10 --rounds 6", "enter", 6),
        ("queue --sessions 8 --rounds 25", "item", 100),
        ("membership --sessions 9 --rounds 5", "each", 10),
        ("config --sessions 9 --rounds 7", "each", 7),
    ] {
        let document = run(&corral.target(), &format!("scenario {arguments}"));
        let run = &document["runs"][0];
        assert_eq!(run["operations"], operations, "{arguments}");
        assert_eq!(run["latency"][0]["operation"], operation);
        let count = run["latency"][0]["corrected"]["count"].as_u64().unwrap();
        let expected = match operation {
            "hand-off" => 5..=operations,
            "enter" => 60..=60,
            "each" => operations * 8..=operations * 8,
            _ => operations..=operations,
        };
        assert!(expected.contains(&count), "{arguments}: {count}");
    }
}

#[test]
fn watches_connects_storms_and_idle_sessions_are_measured() {
    let directory = tempfile::tempdir().unwrap();
    let corral = Corral::start(directory.path());
    let watch = run(&corral.target(), "watch --watchers 50 --znodes 4 --rounds 3");
    let watch = &watch["runs"][0];
    assert_eq!(watch["latency"][0]["corrected"]["count"], 600, "every event came");
    assert_eq!(errors(watch), []);
    assert_eq!(watch["server"]["samples"][0]["values"]["out of order"], 0.0);
    let storm = run(&corral.target(), "storm --sessions 100 --rounds 2");
    assert_eq!(storm["runs"][0]["latency"][0]["corrected"]["count"], 200, "every session came back");
    let connects = run(&corral.target(), "connects --rate 100 --seconds 1 --neighbour");
    assert_eq!(connects["runs"][0]["operations"], 100);
    let idle =
        run(&corral.target(), &format!("idle --sessions 50 --seconds 2 --timeout-ms 4000 --pid {}", corral.pid()));
    assert!(idle["runs"][0]["operations"].as_u64().unwrap() >= 50, "{idle}");
}

#[test]
fn a_server_is_compared_with_itself_in_company() {
    let directory = tempfile::tempdir().unwrap();
    let corral = Corral::start(directory.path());
    let settings =
        "--workload mixed:90 --rate 500 --keys 100 --with-keys 200 --sessions 2 --rounds 2 --seconds 0.5 --warm-up 0.1";
    let company = "--with-idle 30 --with-watches 5000 --label alone --with-label company";
    let compared = run(&corral.target(), &format!("compare {settings} {company}"));
    let runs = compared["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 4);
    assert!(runs.iter().all(|run| errors(run).is_empty()), "{runs:?}");
    let kept = directory.path().join("kept.json");
    fs::write(&kept, compared.to_string()).unwrap();
    let table = load(&["report", kept.to_str().unwrap(), "--markdown"]);
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    // All, get and set, p99 and p99.9 of each.
    assert_eq!(table.lines().filter(|line| line.starts_with("| alone | company |")).count(), 6, "{table}");
    let nothing = load(&["compare", "--target", &corral.target(), "--seconds", "0.1"]);
    assert_eq!(nothing.status.code(), Some(2), "B is A");
    let answered = load(&["first-answer", "--target", &corral.target(), "--since", "0"]);
    assert!(answered.status.success() && String::from_utf8_lossy(&answered.stdout).trim().parse::<u64>().is_ok());
}

#[test]
fn two_targets_are_compared_and_a_capacity_is_found() {
    let floor = Program::listening(&["floor", "read"]);
    let slow = Program::listening(&["floor", "read", "--stall-ms", "20", "--stall-every-ms", "40"]);
    let settings = "--workload get --keys 10 --seconds 0.4 --warm-up 0.1 --sessions 4 --in-flight 1";
    let compared = run(&floor.target(), &format!("compare --with {} --rounds 4 {settings}", slow.target()));
    let rows = compared["comparisons"][0]["rows"].as_array().unwrap();
    let throughput = rows.iter().find(|row| row["figure"] == "throughput").unwrap();
    assert_eq!(throughput["verdict"], "worse", "half of its time it stands still: {throughput}");
    assert_eq!(compared["runs"].as_array().unwrap().len(), 8);
    let (a, b) = (floor.target(), slow.target());
    let arguments = format!("compare --target {a} --with {b} --rounds 4 --fail-if-worse {settings}");
    assert_eq!(load(&arguments.split(' ').collect::<Vec<_>>()).status.code(), Some(3));

    // Ten milliseconds of pause in every forty are no overload, but a server with them is not arbitrarily quick.
    let swept = run(&floor.target(), &format!("sweep --shares 50,90 --probe 0.3 --halvings 3 {settings}"));
    let sweep = &swept["sweeps"][0];
    assert!(sweep["capacity"].as_f64().unwrap() > 1000.0, "{sweep}");
    let steps = sweep["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 2);
    let names: Vec<&Value> = swept["runs"].as_array().unwrap().iter().map(|run| &run["name"]).collect();
    assert!(steps.iter().all(|step| names.contains(&&step["run"])), "{steps:?} in {names:?}");
}

#[test]
fn what_is_recorded_is_played_again() {
    let directory = tempfile::tempdir().unwrap();
    let corral = Corral::start(&directory.path().join("corral"));
    let file = directory.path().join("clients.rec");
    let proxy = record(&corral.target(), &file);
    let direct =
        run(&proxy.target(), "run --workload mixed:50 --keys 20 --rate 400 --sessions 3 --seconds 1 --warm-up 0.2");
    assert_eq!(errors(&direct["runs"][0]), []);
    drop_when_written(proxy, &file);
    let replayed = run(&corral.target(), &format!("replay {} --speed 2", file.display()));
    let run = &replayed["runs"][0];
    // The znodes stand already; everything else is as it was.
    assert!(errors(run).iter().all(|(code, _)| *code == -110), "{:?}", errors(run));
    let count = |name: &str| {
        let latencies = run["latency"].as_array().unwrap();
        let found = latencies.iter().find(|latency| latency["operation"] == name);
        found.map_or(0, |latency| latency["corrected"]["count"].as_u64().unwrap())
    };
    // A second and the warming up, half gets; sets are also what refreshes nothing here.
    assert!((400..=500).contains(&(count("get") + count("set"))), "{} {}", count("get"), count("set"));
    assert!(count("get") > 100 && count("set") > 100);
    let seconds = run["workload"]["seconds"].as_f64().unwrap();
    assert!((0.3..2.0).contains(&seconds), "twice as fast: {seconds} s");
}

fn record(target: &str, file: &Path) -> Program {
    Program::listening(&["record", "--target", target, "--out", file.to_str().unwrap()])
}

/// Waits until the file does not grow any longer, then ends the proxy.
fn drop_when_written(proxy: Program, file: &Path) {
    let deadline = Instant::now() + Duration::from_secs(30);
    let (mut length, mut since) = (0, Instant::now());
    while since.elapsed() < Duration::from_millis(600) {
        let now = fs::metadata(file).unwrap().len();
        if now != length {
            (length, since) = (now, Instant::now());
        }
        assert!(Instant::now() < deadline, "the recording does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(proxy);
}

#[test]
fn exit_codes_tell_what_happened() {
    let floor = Program::listening(&["floor", "read"]);
    let target = floor.target();
    let code = |arguments: &str| load(&arguments.split(' ').collect::<Vec<_>>()).status.code();
    let short = "--keys 10 --seconds 0.2 --warm-up 0 --sessions 2";
    assert_eq!(code(&format!("run --target {target} {short} --max-p99 10000 --max-errors 0")), Some(0));
    assert_eq!(code(&format!("run --target {target} {short} --max-p99 0.000001")), Some(3));
    assert_eq!(code(&format!("run --target {target} {short} --min-throughput 1e12")), Some(3));
    assert_eq!(code(&format!("run --target {target} --workload nothing")), Some(2));
    assert_eq!(code(&format!("run --target {target} --workload /nowhere.yaml")), Some(2));
    assert_eq!(code("run"), Some(2), "no target");
    assert_eq!(code("fly"), Some(2));
    assert_eq!(code("run --target 127.0.0.1:1"), Some(1), "nobody listens there");
}

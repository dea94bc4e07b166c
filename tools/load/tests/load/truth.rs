//! The instrument's own truth: what it shows of servers whose behaviour is known.

use crate::servers::{self, Program, document, errors};
use serde_json::Value;
use std::process::{Command, Stdio};

fn us(latency: &Value, side: &str, percentile: &str) -> f64 {
    latency[side][percentile].as_f64().unwrap_or_else(|| panic!("{side} {percentile} in {latency}"))
}

/// A server that stands still for 200 ms in every second. A client that waits for its answers before it asks again
/// hardly notices; whoever wants an answer 1000 times a second waits 100 ms for every tenth.
#[test]
fn a_stall_is_in_the_corrected_percentiles_and_not_in_the_uncorrected() {
    let floor = Program::listening(&["floor", "read", "--stall-ms", "200", "--stall-every-ms", "1000"]);
    let arguments = "run --workload get --keys 10 --rate 1000 --sessions 4 --in-flight 1 --seconds 5 --warm-up 0.5";
    let target = floor.target();
    let arguments: Vec<&str> = arguments.split(' ').chain(["--target", &target]).collect();
    let document = document(&arguments);
    let run = &document["runs"][0];
    let all = &run["latency"][0];
    assert_eq!(all["operation"], "all");
    assert_eq!(all["corrected"]["count"], 5000, "everything that was due was answered");
    assert!(errors(run).is_empty());
    // A fifth of what is due meets the stall and waits 100 ms on average.
    assert!(us(all, "corrected", "p90_us") > 60_000.0, "{all}");
    assert!(us(all, "corrected", "p99_us") > 150_000.0, "{all}");
    // Four requests meet each stall, one in 250.
    assert!(us(all, "uncorrected", "p90_us") < 20_000.0, "{all}");
    assert!(us(all, "uncorrected", "p99_us") < us(all, "corrected", "p99_us") / 3.0, "{all}");
    assert!(us(all, "uncorrected", "max_us") > 150_000.0, "{all}");
    // The timeline shows when: five seconds hold five stalls, one of which may be cut in two by the window.
    let gaps: Vec<f64> = run["gaps"]
        .as_array()
        .expect("gaps")
        .iter()
        .map(|gap| gap["to_ms"].as_f64().unwrap() - gap["from_ms"].as_f64().unwrap())
        .collect();
    let stalls = gaps.iter().filter(|ms| (190.0..300.0).contains(*ms)).count();
    assert!((4..=5).contains(&stalls), "{gaps:?}");
    let unavailable_ms = run["unavailable_ms"].as_f64().unwrap();
    assert!((800.0..2000.0).contains(&unavailable_ms), "{unavailable_ms}");
    let timeline = run["timeline"].as_array().unwrap();
    assert_eq!(timeline.len(), 50);
    let silent = timeline.iter().filter(|slice| slice["operations"] == 0).count();
    assert!(silent >= 4, "a stall of 200 ms leaves a slice of 100 ms without an answer");
    let answered: u64 = timeline.iter().map(|slice| slice["operations"].as_u64().unwrap()).sum();
    assert!((4700..=5300).contains(&answered), "{answered}");
}

/// A server that answers at once shows the same latency both ways, and a rate that is kept.
#[test]
fn without_a_stall_both_say_the_same() {
    let floor = Program::listening(&["floor", "read"]);
    let arguments = "run --workload get --keys 10 --rate 2000 --sessions 8 --seconds 2 --warm-up 0.5 --target";
    let target = floor.target();
    let arguments: Vec<&str> = arguments.split(' ').chain([target.as_str()]).collect();
    let document = document(&arguments);
    let run = &document["runs"][0];
    let all = &run["latency"][0];
    assert_eq!(all["corrected"]["count"], 4000);
    let (corrected, uncorrected) = (us(all, "corrected", "p50_us"), us(all, "uncorrected", "p50_us"));
    assert!(uncorrected <= corrected && corrected < uncorrected + 2000.0, "{all}");
    let throughput = run["throughput"].as_f64().unwrap();
    assert!((1990.0..2010.0).contains(&throughput), "{throughput}");
}

/// A tool that was not run while its window ended owes what was due until then: it is sent late, and counted as late.
#[test]
fn a_tool_that_stands_still_over_the_end_leaves_nothing_out() {
    let floor = Program::listening(&["floor", "read"]);
    let run = r#""$0" "$@" & tool=$!; sleep 1.2; kill -STOP $tool; sleep 1.3; kill -CONT $tool; wait $tool"#;
    let arguments = "run --workload get --keys 10 --rate 1000 --sessions 8 --seconds 1.5 --warm-up 0.2 --json --target";
    let output = Command::new("sh")
        .args(["-c", run])
        .arg(servers::tool())
        .args(arguments.split(' '))
        .arg(floor.target())
        .stdin(Stdio::null())
        .output()
        .expect("a shell");
    assert!(output.status.success(), "{output:?}");
    let document: Value = serde_json::from_slice(&output.stdout).expect("a document");
    let all = &document["runs"][0]["latency"][0];
    assert_eq!(all["corrected"]["count"], 1500);
    assert!(us(all, "corrected", "max_us") > 1_000_000.0, "{all}");
}

/// A closed loop has nothing to correct.
#[test]
fn a_closed_loop_says_it_once() {
    let floor = Program::listening(&["floor", "read"]);
    let target = floor.target();
    let arguments = "run --workload get --keys 10 --seconds 0.5 --warm-up 0.1 --sessions 4 --in-flight 4 --threads 2";
    let arguments: Vec<&str> = arguments.split(' ').chain(["--target", &target]).collect();
    let document = document(&arguments);
    let run = &document["runs"][0];
    assert!(run["latency"][0].get("uncorrected").is_none());
    assert!(run["throughput"].as_f64().unwrap() > 1000.0, "{}", run["throughput"]);
    assert_eq!(run["workload"].get("rate"), None);
    let counted = run["latency"][0]["corrected"]["count"].as_u64().unwrap();
    let slices = run["timeline"].as_array().unwrap();
    let sliced: u64 = slices.iter().map(|slice| slice["operations"].as_u64().unwrap()).sum();
    assert_eq!(sliced, counted, "the timeline holds what the histogram holds");
}

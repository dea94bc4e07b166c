//! What a reader should know before looking at any figure: what went wrong, and what makes figures mean less than they
//! seem to. Each finding is computed from the document, by a rule that stands here.

use super::out::Out;
use super::units;
use crate::document::{Document, Run};

/// Of one kind, so many are told each by itself.
const EACH: usize = 2;
/// Less than this share of the offered rate was answered: the target has not kept up.
const KEPT_UP: f64 = 0.98;
/// The corrected p99 is so many times the one as sent: operations waited to be sent.
const WAITED: f64 = 2.0;
/// The load tool has used this share of its threads' time: it, not the target, may be the limit.
const BUSY: f64 = 0.9;

/// What there is to find, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Unavailable,
    Failed,
    Behind,
    Waited,
    Busy,
}

impl Kind {
    /// Something went wrong; else it is only to be known.
    fn is_bad(self) -> bool {
        self <= Kind::Behind
    }
}

/// Something about one run.
#[derive(Debug, PartialEq)]
struct Finding {
    kind: Kind,
    /// More is worse, among those of the kind.
    weight: f64,
    text: String,
}

/// The list of findings, if there are any.
pub fn section(out: &mut Out, document: &Document) {
    let findings = told(document.runs.iter().flat_map(of_run).collect());
    if findings.is_empty() {
        return;
    }
    out.open("ul", &[("class", "findings"), ("id", "findings")]);
    for (kind, text) in &findings {
        let (class, mark) = if kind.is_bad() { ("bad", "▲") } else { ("remark", "●") };
        out.open("li", &[("class", class)]).leaf("span", &[("class", "mark"), ("aria-hidden", "true")], mark);
        out.leaf("span", &[], text).close();
    }
    out.close();
}

/// Kind by kind, the worst first; where there are many of a kind, the worst stands for all.
fn told(mut findings: Vec<Finding>) -> Vec<(Kind, String)> {
    findings.sort_by(|a, b| a.kind.cmp(&b.kind).then(b.weight.total_cmp(&a.weight)));
    let mut told = vec![];
    for alike in findings.chunk_by(|a, b| a.kind == b.kind) {
        let kind = alike[0].kind;
        if alike.len() <= EACH {
            told.extend(alike.iter().map(|finding| (kind, finding.text.clone())));
        } else {
            told.push((kind, format!("{} Less so in {} other runs.", alike[0].text, alike.len() - 1)));
        }
    }
    told
}

fn of_run(run: &Run) -> Vec<Finding> {
    let name = &run.name;
    let mut findings = vec![];
    let mut find =
        |kind, weight, text: String| findings.push(Finding { kind, weight, text: format!("{name}: {text}") });
    if let Some(ms) = run.unavailable_ms.filter(|ms| *ms > 0.0) {
        let longest = run.gaps.iter().max_by(|a, b| (a.to_ms - a.from_ms).total_cmp(&(b.to_ms - b.from_ms)));
        let longest = longest.map_or(String::new(), |gap| {
            let [length, from] = [gap.to_ms - gap.from_ms, gap.from_ms].map(|ms| units::time(ms * 1e3));
            format!(" ({}; the longest {length}, from {from} on)", gaps(run.gaps.len()))
        });
        find(Kind::Unavailable, ms, format!("nothing was answered for {}{longest}.", units::time(ms * 1e3)));
    }
    let failed: u64 = run.errors.iter().map(|error| error.count).sum();
    if failed > 0 {
        let share = failed as f64 * 100.0 / run.operations.max(failed) as f64;
        let text = format!("{} operations failed ({}).", units::count(failed), units::percent(share));
        find(Kind::Failed, share, text);
    }
    if let Some(rate) = run.workload.rate.filter(|rate| run.throughput < rate * KEPT_UP) {
        let [answered, offered] = [run.throughput, rate].map(units::rate);
        find(Kind::Behind, rate / run.throughput, format!("of {offered} offered only {answered} were answered."));
    }
    if let Some((due, sent)) = run.latency.first().and_then(|all| Some((&all.corrected, all.uncorrected.as_ref()?)))
        && due.p99_us > sent.p99_us * WAITED
    {
        let weight = due.p99_us;
        let [due, sent] = [due.p99_us, sent.p99_us].map(units::time);
        let text = format!(
            "operations waited to be sent. Their p99 is {due}; counted from the sending alone it would seem to be {sent}."
        );
        find(Kind::Waited, weight, text);
    }
    let busy = run.client.cpu_us_per_op * (run.operations as f64 / run.workload.seconds) / 1e6;
    let busy = busy / run.workload.threads.max(1) as f64;
    if busy.is_finite() && busy > BUSY {
        let text = "the load tool was busy all the time; the target may be able to do more.".into();
        find(Kind::Busy, busy, text);
    }
    findings
}

fn gaps(count: usize) -> String {
    if count == 1 { "one gap".into() } else { format!("{count} gaps") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Client, ErrorCount, Gap, Latency, Spectrum, Workload};

    #[test]
    fn a_run_as_it_should_be_has_none() {
        let spectrum = Spectrum { count: 10, p99_us: 100.0, ..Spectrum::default() };
        let latency = Latency { operation: "all".into(), corrected: spectrum.clone(), uncorrected: Some(spectrum) };
        let run = Run {
            throughput: 990.0,
            operations: 9_900,
            unavailable_ms: Some(0.0),
            workload: Workload { rate: Some(1000.0), seconds: 10.0, threads: 1, ..Workload::default() },
            latency: vec![latency],
            client: Client { cpu_us_per_op: 5.0 },
            ..Run::default()
        };
        assert_eq!(of_run(&run), []);
        assert_eq!(of_run(&Run::default()), []);
    }

    #[test]
    fn everything_that_is_wrong_is_told() {
        let spectrum = |p99_us| Spectrum { count: 10, p99_us, ..Spectrum::default() };
        let run = Run {
            name: "r".into(),
            throughput: 900.0,
            operations: 9_500,
            errors: vec![ErrorCount { code: -4, count: 500 }],
            unavailable_ms: Some(300.0),
            gaps: vec![Gap { from_ms: 0.0, to_ms: 50.0 }, Gap { from_ms: 1000.0, to_ms: 1250.0 }],
            workload: Workload { rate: Some(1000.0), seconds: 10.0, threads: 2, ..Workload::default() },
            latency: vec![Latency {
                operation: "all".into(),
                corrected: spectrum(1e5),
                uncorrected: Some(spectrum(1e3)),
            }],
            client: Client { cpu_us_per_op: 2000.0 },
            ..Run::default()
        };
        let text = |finding: Finding| finding.text.replace('\u{a0}', " ");
        let findings: Vec<String> = of_run(&run).into_iter().map(text).collect();
        assert_eq!(
            findings,
            [
                "r: nothing was answered for 300 ms (2 gaps; the longest 250 ms, from 1 s on).",
                "r: 500 operations failed (5.26 %).",
                "r: of 1 k/s offered only 900 /s were answered.",
                "r: operations waited to be sent. Their p99 is 100 ms; counted from the sending alone it would seem to be 1 ms.",
                "r: the load tool was busy all the time; the target may be able to do more.",
            ]
        );
    }
    #[test]
    fn the_worst_stands_for_many() {
        let finding = |kind, weight| Finding { kind, weight, text: format!("{weight}.") };
        let findings = vec![
            finding(Kind::Busy, 1.0),
            finding(Kind::Waited, 1.0),
            finding(Kind::Waited, 3.0),
            finding(Kind::Waited, 2.0),
            finding(Kind::Failed, 1.0),
            finding(Kind::Failed, 2.0),
        ];
        let expected = [
            (Kind::Failed, "2.".to_owned()),
            (Kind::Failed, "1.".to_owned()),
            (Kind::Waited, "3. Less so in 2 other runs.".to_owned()),
            (Kind::Busy, "1.".to_owned()),
        ];
        assert_eq!(told(findings), expected);
    }
}

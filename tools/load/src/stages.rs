//! What was done to servers under load, several times over: the latencies and gaps of each stage of the runs as a table,
//! one server beside the other.

use crate::budgets;
use crate::document::{Run, Stage};
use crate::failure::{Failure, Result, While};
use crate::output;
use crate::statistics::{median, percentile};
use crate::summary::{per_second, short};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::str::FromStr;

/// A document that was kept: `NAME=FILE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub name: String,
    pub path: PathBuf,
}

impl FromStr for Kept {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Kept, String> {
        match text.split_once('=') {
            Some((name, path)) if !name.is_empty() && !path.is_empty() => {
                Ok(Kept { name: name.into(), path: path.into() })
            }
            _ => Err(format!("not NAME=FILE: {text}")),
        }
    }
}

/// The runs of one server.
struct Group {
    name: String,
    runs: Vec<Run>,
}

/// Reads the documents and returns their stages as Markdown.
pub fn table(kept: &[Kept]) -> Result<String> {
    let mut groups: Vec<Group> = vec![];
    for Kept { name, path } in kept {
        let doing = || path.display().to_string();
        let [run] = <[Run; 1]>::try_from(output::read(path)?.runs)
            .map_err(|runs| Failure::new(format!("{} runs instead of one", runs.len())))
            .during(doing)?;
        examine(&run).during(doing)?;
        match groups.iter_mut().find(|group| group.name == *name) {
            Some(group) => group.runs.push(run),
            None => groups.push(Group { name: name.clone(), runs: vec![run] }),
        }
    }
    let first = groups.first().ok_or_else(|| Failure::new("no document"))?;
    let names: Vec<String> = first.runs[0].stages.iter().map(|stage| stage.name.clone()).collect();
    let all = groups.iter().flat_map(|group| group.runs.iter().map(move |run| (&group.name, run)));
    for (name, run) in all {
        if !run.stages.iter().map(|stage| &stage.name).eq(&names) {
            return Err(Failure::new(format!("{name}: {} has other stages than the first run", run.name)));
        }
    }
    Ok(write(&groups, &names))
}

/// Whether a run says what it is asked: it was under way before anything was done, and again at the end.
fn examine(run: &Run) -> Result<()> {
    let Some(before) = run.stages.first() else {
        return Err(Failure::new("nothing was done in this run (--at)"));
    };
    if before.operations <= before.errors {
        return Err(Failure::new("nothing was answered before anything was done"));
    }
    match run.stages.last().filter(|after| after.operations <= after.errors) {
        Some(after) => Err(Failure::new(format!("nothing was answered {}, to the end", after.name))),
        None => Ok(()),
    }
}

/// Figures of a stage over all runs of a server: medians, and the gaps' distribution.
struct Figures {
    lasted_ms: f64,
    p50_us: f64,
    p99_us: f64,
    p999_us: f64,
    max_us: f64,
    gap_ms: [f64; 3],
    errors: u64,
}

impl Figures {
    fn of(group: &Group, number: usize) -> Figures {
        let stages = || group.runs.iter().map(|run| &run.stages[number]);
        // Where nothing was answered there is no latency.
        let middle = |read: fn(&Stage) -> f64| median(stages().filter(|stage| stage.operations > 0).map(read));
        let gaps = || stages().map(|stage| stage.longest_gap_ms.unwrap_or(0.0));
        Figures {
            lasted_ms: median(stages().map(|stage| stage.to_ms - stage.from_ms)),
            p50_us: middle(|stage| stage.p50_us),
            p99_us: middle(|stage| stage.p99_us),
            p999_us: middle(|stage| stage.p999_us),
            max_us: stages().map(|stage| stage.max_us).fold(0.0, f64::max),
            gap_ms: [50.0, 99.0, 100.0].map(|percent| percentile(gaps(), percent)),
            errors: stages().map(|stage| stage.errors).sum(),
        }
    }
}

fn write(groups: &[Group], names: &[String]) -> String {
    let base = &groups[0].name;
    let mut text = format!(
        "| server | stage | lasted | p50 | p99 | p99.9 | max | errors | longest gap, p50 | p99 | max | \
         p99 : before | p99 : {base} | gap, p99 : {base} | budget / met |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n"
    );
    for group in groups {
        let before = Figures::of(group, 0);
        for (number, name) in names.iter().enumerate() {
            let figures = Figures::of(group, number);
            let of_base = Figures::of(&groups[0], number);
            let latencies = [figures.p50_us, figures.p99_us, figures.p999_us, figures.max_us].map(latency);
            let gaps = figures.gap_ms.map(gap);
            let is_judged = group.name != *base && name == budgets::KILL_STAGE;
            let verdict = is_judged.then(|| budgets::verdict("ms of gap", figures.gap_ms[1], budgets::KILL_GAP_MS));
            let _ = writeln!(
                text,
                "| {} | {name} | {:.0} ms | {} | {} | {} | {} | {} | {} | {} |",
                group.name,
                figures.lasted_ms,
                latencies.join(" | "),
                figures.errors,
                gaps.join(" | "),
                ratio(figures.p99_us / before.p99_us),
                ratio(figures.p99_us / of_base.p99_us),
                ratio(figures.gap_ms[1] / of_base.gap_ms[1]),
                verdict.as_deref().unwrap_or("-"),
            );
        }
    }
    text.push('\n');
    groups.iter().for_each(|group| write_errors(&mut text, group));
    text
}

/// One line of what a server's runs have answered.
fn write_errors(text: &mut String, group: &Group) {
    let mut errors = BTreeMap::new();
    for error in group.runs.iter().flat_map(|run| &run.errors) {
        *errors.entry(error.code).or_insert(0) += error.count;
    }
    let count = |(code, count): (&i32, &u64)| match code {
        0 => format!("{count} never answered"),
        code => format!("{count} x {code}"),
    };
    let errors: Vec<String> = errors.iter().map(count).collect();
    let answered: u64 = group.runs.iter().filter_map(|run| run.latency.first()).map(|all| all.corrected.count).sum();
    let _ = writeln!(
        text,
        "- {}: runs: {}, offered {}, {answered} acknowledged; errors: {}",
        group.name,
        group.runs.len(),
        group.runs[0].workload.rate.map_or("all it takes".into(), per_second),
        if errors.is_empty() { "none".to_owned() } else { errors.join(", ") }
    );
}

fn latency(us: f64) -> String {
    if us > 0.0 { short(us) } else { "-".into() }
}

fn gap(ms: f64) -> String {
    if ms > 0.0 { format!("{ms:.0} ms") } else { "none".into() }
}

fn ratio(ratio: f64) -> String {
    if ratio.is_finite() && ratio > 0.0 { format!("{ratio:.2}") } else { "-".into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Workload;

    fn stage(name: &str, gap_ms: Option<f64>) -> Stage {
        Stage {
            name: name.into(),
            to_ms: 100.0,
            operations: 10,
            p99_us: 500.0,
            max_us: 900.0,
            longest_gap_ms: gap_ms,
            ..Stage::default()
        }
    }

    fn run(gap_ms: f64) -> Run {
        let stages = vec![stage("before", None), stage("kill", Some(gap_ms)), stage("after kill", None)];
        let workload = Workload { seconds: 1.0, rate: Some(2000.0), ..Workload::default() };
        Run { stages, workload, ..Run::default() }
    }

    fn group(name: &str, gaps_ms: impl IntoIterator<Item = u32>) -> Group {
        Group { name: name.into(), runs: gaps_ms.into_iter().map(|ms| run(f64::from(ms))).collect() }
    }

    #[test]
    fn the_kills_are_judged_by_their_longest_gaps() {
        let names: Vec<String> = ["before", "kill", "after kill"].map(Into::into).to_vec();
        let text = write(&[group("base", 601..=620), group("ours", 41..=60), group("slow", 91..=110)], &names);
        let line = |start: &str| text.lines().find(|line| line.starts_with(start)).unwrap().to_owned();
        assert!(line("| base | kill |").contains("| 610 ms | 620 ms | 620 ms | 1.00 | 1.00 | 1.00 | - |"), "{text}");
        assert!(
            line("| ours | kill |").contains("| 50 ms | 60 ms | 60 ms | 1.00 | 1.00 | 0.10 | ms of gap <= 100: met |")
        );
        assert!(line("| slow | kill |").contains("ms of gap <= 100: **missed**, 110.00"), "{text}");
        assert!(
            line("| slow | before |").contains("| none | none | none |")
                && line("| slow | before |").ends_with("| - |")
        );
        assert!(line("- ours").contains("runs: 20, offered 2.0 k/s"), "{text}");
    }

    #[test]
    fn runs_that_say_nothing_are_refused() {
        assert!(examine(&run(50.0)).is_ok());
        let refused = |change: fn(&mut Run)| {
            let mut run = run(50.0);
            change(&mut run);
            examine(&run).unwrap_err().to_string()
        };
        assert!(refused(|run| run.stages.clear()).contains("nothing was done"));
        assert!(refused(|run| run.stages[0].errors = 10).contains("before anything was done"));
        assert!(refused(|run| run.stages[2].operations = 0).contains("nothing was answered after kill, to the end"));
    }

    #[test]
    fn runs_are_named() {
        let kept: Kept = "a b=x=y".parse().unwrap();
        assert_eq!(kept, Kept { name: "a b".into(), path: "x=y".into() });
        assert!("a=".parse::<Kept>().is_err() && "=x".parse::<Kept>().is_err() && "x".parse::<Kept>().is_err());
    }
}

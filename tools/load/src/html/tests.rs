use super::*;
use crate::document::*;

fn spectrum(p99_us: f64) -> Spectrum {
    Spectrum {
        count: 1_000_000,
        mean_us: 120.0,
        min_us: 50.0,
        max_us: p99_us * 10.0,
        p50_us: 100.0,
        p90_us: 200.0,
        p99_us,
        p999_us: p99_us * 2.0,
        p9999_us: p99_us * 5.0,
        points: vec![(0.0, 50.0), (50.0, 100.0), (90.0, 200.0), (99.0, p99_us), (100.0, p99_us * 10.0)],
    }
}

fn run(name: &str, target: &str) -> Run {
    let slice = |n: u32| Slice {
        at_ms: f64::from(n) * 100.0,
        operations: if n == 3 { 0 } else { 1000 },
        p50_us: 100.0,
        p99_us: 900.0,
        max_us: 2000.0,
        ..Slice::default()
    };
    let sample = |n: u32| Sample {
        at_ms: f64::from(n) * 100.0,
        cpu_percent: Some(50.0),
        rss_mb: Some(70.0),
        values: [("zk_watch_count".to_owned(), f64::from(n)), ("zk_uptime_constant".to_owned(), 7.0)].into(),
    };
    let latency = |operation: &str| Latency {
        operation: operation.into(),
        corrected: spectrum(90_000.0),
        uncorrected: Some(spectrum(900.0)),
    };
    Run {
        name: name.into(),
        target: Target { address: "127.0.0.1:2181".into(), label: target.into(), ..Target::default() },
        workload: Workload { rate: Some(10_000.0), seconds: 1.0, sessions: 16, ..Workload::default() },
        throughput: 9_000.0,
        operations: 9_000,
        errors: vec![ErrorCount { code: -101, count: 3 }, ErrorCount { code: 0, count: 1 }],
        latency: ["all", "get", "set"].map(latency).to_vec(),
        timeline: (0..10).map(slice).collect(),
        unavailable_ms: Some(100.0),
        gaps: vec![Gap { from_ms: 300.0, to_ms: 400.0 }],
        server: Server { samples: (0..10).map(sample).collect(), rss_mb: Some(70.0), ..Server::default() },
        ..Run::default()
    }
}

fn document(runs: Vec<Run>) -> Document {
    Document {
        format: FORMAT,
        tool: Tool { version: "0.1.0".into() },
        environment: Environment { cores: 2, command_line: "corral-load run".into(), ..Environment::default() },
        title: "A title".into(),
        runs,
        comparisons: vec![],
        sweeps: vec![],
    }
}

fn full() -> Document {
    let mut document = document(["a 1", "b 1", "a 2", "b 2"].map(|name| run(name, &name[..1])).to_vec());
    document.comparisons = vec![Comparison {
        a: "a".into(),
        b: "b".into(),
        rows: vec![Row {
            figure: "p99".into(),
            a: 900.0,
            b: 450.0,
            ratio: 0.5,
            low: 0.4,
            high: 0.6,
            verdict: Verdict::Better,
        }],
    }];
    let step = |share: f64, run: &str| Step { share, rate: share * 20_000.0, run: run.into() };
    document.sweeps = vec![Sweep { capacity: 20_000.0, steps: vec![step(0.5, "a 1"), step(0.7, "not there")] }];
    document
}

/// How often `part` is in `text`.
fn times(text: &str, part: &str) -> usize {
    text.matches(part).count()
}

#[test]
fn every_part_is_there() {
    let page = render(&full());
    for id in ["findings", "summary", "comparison-1", "sweep-1", "latency", "runs", "run-1", "run-4", "environment"] {
        assert_eq!(times(&page, &format!("id=\"{id}\"")), 1, "{id}");
    }
    assert_eq!(times(&page, "class=\"spectrum"), 5, "all runs together, and the operations of each");
    assert_eq!(times(&page, "class=\"timeline\""), 4);
    assert_eq!(times(&page, "class=\"gap\""), 4);
    assert_eq!(times(&page, "line course"), 4, "the value that changed");
    assert!(page.contains("✓ </span>better"));
    assert!(page.contains("no node") && page.contains("never answered"));
}

#[test]
fn sides_have_colours_and_single_runs_too() {
    assert_eq!(colours(&full()), [0, 1, 0, 1]);
    let mut same = full();
    same.runs.iter_mut().for_each(|run| run.target.label = "a".into());
    assert_eq!(colours(&same), [0, 1, 2, 3]);
    let mut same = full();
    same.comparisons.clear();
    assert_eq!(colours(&same), [0, 1, 2, 3]);
}

#[test]
fn the_line_breaks_where_nothing_was_answered() {
    let page = render(&document(vec![run("r", "t")]));
    let path = page.split("class=\"line p99\" d=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    assert_eq!(times(path, "M"), 2, "{path}");
}

#[test]
fn nothing_is_needed_from_elsewhere() {
    let page = render(&full()).replace("xmlns=\"http://www.w3.org/1999/xhtml\"", "");
    for word in ["http://", "https://", "<script", "src=", "url(", "@import", "href=\"/"] {
        assert!(!page.contains(word), "{word}");
    }
    assert!(page.contains("default-src 'none'") || page.contains("default-src &#39;none&#39;"));
}

#[test]
fn no_text_becomes_markup() {
    const HOSTILE: &str = "<script>alert(1)</script>\"' onload=x &amp; </style>]]>";
    let mut hostile = full();
    hostile.title = HOSTILE.into();
    hostile.tool.version = HOSTILE.into();
    let environment = &mut hostile.environment;
    for text in [&mut environment.cpu, &mut environment.kernel, &mut environment.disk, &mut environment.command_line] {
        *text = HOSTILE.into();
    }
    hostile.environment.commit = Some(HOSTILE.into());
    for run in &mut hostile.runs {
        run.name = HOSTILE.into();
        run.target = Target {
            address: HOSTILE.into(),
            label: HOSTILE.into(),
            version: Some(HOSTILE.into()),
            mode: Some(HOSTILE.into()),
            profile: Some(HOSTILE.into()),
            pid: None,
        };
        run.workload.description = HOSTILE.into();
        run.workload.operations = vec![Weighted { name: HOSTILE.into(), weight: 1.0 }];
        run.latency.iter_mut().for_each(|latency| latency.operation = HOSTILE.into());
        run.server.samples.iter_mut().enumerate().for_each(|(n, sample)| {
            sample.values = [(HOSTILE.to_owned(), n as f64), (format!("{HOSTILE}2"), 1.0)].into();
        });
    }
    hostile.comparisons[0].a = HOSTILE.into();
    hostile.comparisons[0].b = HOSTILE.into();
    hostile.comparisons[0].rows[0].figure = HOSTILE.into();
    hostile.sweeps[0].steps[0].run = HOSTILE.into();
    let page = render(&hostile);
    assert!(!page.contains("<script") && !page.contains("' onload") && !page.contains("\" onload"));
    assert_eq!(times(&page, "</style>"), 1);
    assert_eq!(times(&page, "&amp;amp;"), times(&page, "onload=x"), "what was escaped is escaped again");
    assert_eq!(times(&page, "<text"), times(&render(&full()), "<text"), "nor does it change what is drawn");
}

#[test]
fn the_stages_of_a_scenario_are_all_there() {
    let mut staged = run("lock", "t");
    staged.latency.iter_mut().zip(["acquire", "hand over", "release"]).for_each(|(latency, stage)| {
        latency.operation = stage.into();
    });
    let page = render(&document(vec![staged.clone()]));
    assert!(page.contains("Latency by stage"));
    assert_eq!(times(&page, "line corrected"), 3);
    staged.server.samples.truncate(1);
    let page = render(&document(vec![staged.clone(), staged]));
    assert_eq!(times(&page, "line corrected"), 2 + 2 * 3, "the first ones together, and all of them below");
    assert_eq!(times(&page, "lock: acquire"), 2 + 2 + 2 * 12, "in the summary, the legend, and at each dot");
    assert_eq!(times(&page, "zk_uptime_constant 7"), 2, "of one sample there is a line");
}

#[test]
fn little_or_strange_data_makes_a_page_too() {
    render(&document(vec![]));
    render(&document(vec![Run::default()]));
    let mut odd = run("odd", "t");
    odd.throughput = f64::NAN;
    odd.timeline = vec![Slice { at_ms: 0.0, operations: 1, p50_us: f64::NAN, ..Slice::default() }];
    odd.gaps = vec![Gap { from_ms: -5.0, to_ms: 1e18 }];
    odd.latency[0].corrected.points = vec![(f64::NAN, 1.0), (50.0, f64::INFINITY), (120.0, -1.0)];
    odd.latency[0].corrected.count = u64::MAX;
    odd.workload.seconds = f64::INFINITY;
    let page = render(&document(vec![odd]));
    for word in ["NaN", "inf"] {
        assert!(!page.contains(&format!("\"{word}")) && !page.contains(&format!(" {word}")), "{word}");
    }
}

#[test]
fn a_long_run_stays_a_small_page() {
    let mut long = run("long", "t");
    let slice = |n: u32| Slice { at_ms: f64::from(n) * 100.0, operations: 9, p99_us: 5.0, ..Slice::default() };
    long.timeline = (0..36_000).map(slice).collect();
    let page = render(&document(vec![long]));
    assert!(page.len() < 400_000, "{}", page.len());
    assert!(page.contains("Each point stands for 60 slices"));
}

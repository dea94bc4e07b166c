//! What a release must show, as ratios to another server and to the floors: judged in the tables of [`crate::table`].

/// The figures of a server that are judged. NaN where there was nothing to compare with, which meets no budget.
#[derive(Clone, Copy, Debug)]
pub struct Ratios {
    /// Those of this server divided by those of the table's first server.
    pub throughput: f64,
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
    /// Those of this server divided by the floor's.
    pub p50_of_floor: f64,
    pub cpu_of_floor: f64,
    /// Microseconds of the server's CPU for an operation.
    pub cpu_us: f64,
}

/// A bound of a figure.
#[derive(Clone, Copy, Debug)]
pub enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// One line of the budget.
struct Budget {
    /// Whether it is stated for an ensemble of three, or for one server alone.
    of_three: bool,
    load: Kind<'static>,
    figure: &'static str,
    read: fn(&Ratios) -> f64,
    bound: Bound,
}

const BUDGETS: [Budget; 16] = [
    one(("get", 16, 16), "throughput", |s| s.throughput, Bound::AtLeast(10.0)),
    one(("get", 16, 16), "CPU : floor", |s| s.cpu_of_floor, Bound::AtMost(2.0)),
    one(("get", 256, 1), "CPU : floor", |s| s.cpu_of_floor, Bound::AtMost(1.25)),
    one(("set", 16, 16), "throughput", |s| s.throughput, Bound::AtLeast(6.0)),
    one(("set", 16, 16), "us of CPU", |s| s.cpu_us, Bound::AtMost(4.0)),
    one(("create", 16, 16), "throughput", |s| s.throughput, Bound::AtLeast(6.0)),
    one(("create", 16, 16), "us of CPU", |s| s.cpu_us, Bound::AtMost(6.0)),
    one(("set", 1, 1), "p50 : floor", |s| s.p50_of_floor, Bound::AtMost(1.35)),
    one(("set", 1, 1), "p50", |s| s.p50, Bound::AtMost(0.5)),
    one(("mixed:90", 16, 16), "p99", |s| s.p99, Bound::AtMost(0.2)),
    one(("mixed:90", 16, 16), "p99.9", |s| s.p999, Bound::AtMost(0.2)),
    one(("mixed:90", 16, 16), "offered and answered", |s| s.throughput, Bound::AtLeast(0.99)),
    three(("set", 16, 16), "throughput", |s| s.throughput, Bound::AtLeast(6.0)),
    three(("set", 16, 16), "us of CPU", |s| s.cpu_us, Bound::AtMost(18.0)),
    three(("mixed:90", 16, 16), "p99", |s| s.p99, Bound::AtMost(0.2)),
    three(("mixed:90", 16, 16), "p99.9", |s| s.p999, Bound::AtMost(0.2)),
];

/// Bytes of a session that does nothing; per cent of a core for the pings of ten thousand.
pub const IDLE_BYTES: Bound = Bound::AtMost(4096.0);
pub const IDLE_CORE_PERCENT: Bound = Bound::AtMost(2.0);
/// Sessions the second of them is stated for.
pub const IDLE_SESSIONS: f64 = 10_000.0;
/// The last event, of the other server's; microseconds of CPU for a watch that is armed and fires.
pub const LAST_EVENT: Bound = Bound::AtMost(1.0 / 6.0);
pub const WATCH_CPU_US: Bound = Bound::AtMost(8.0);

/// What is done in the stage in which a leader is killed: the longest stretch without an acknowledged write from there
/// on, at the 99th percentile of all kills. Milliseconds.
pub const KILL_STAGE: &str = "kill";
pub const KILL_GAP_MS: Bound = Bound::AtMost(100.0);

/// A workload, its sessions, and what each has under way.
type Kind<'a> = (&'a str, usize, usize);

const fn one(load: Kind<'static>, figure: &'static str, read: fn(&Ratios) -> f64, bound: Bound) -> Budget {
    Budget { of_three: false, load, figure, read, bound }
}

const fn three(load: Kind<'static>, figure: &'static str, read: fn(&Ratios) -> f64, bound: Bound) -> Budget {
    Budget { of_three: true, load, figure, read, bound }
}

/// What the budget says of a server, or of an ensemble of so many `servers`, under a load, for a cell of a table.
pub fn verdicts(servers: usize, load: Kind<'_>, shown: &Ratios) -> String {
    let lines = BUDGETS.iter().filter(|budget| budget.load == load && servers == if budget.of_three { 3 } else { 1 });
    let lines: Vec<String> = lines.map(|budget| verdict(budget.figure, (budget.read)(shown), budget.bound)).collect();
    if lines.is_empty() { "-".into() } else { lines.join("; ") }
}

/// One figure and its bound: `throughput >= 10: met`.
pub fn verdict(figure: &str, found: f64, bound: Bound) -> String {
    let (sign, limit, is_met) = match bound {
        Bound::AtLeast(limit) => (">=", limit, found >= limit),
        Bound::AtMost(limit) => ("<=", limit, found <= limit),
    };
    // Two digits behind the point, and none that say nothing.
    let limit = format!("{limit:.2}");
    let limit = limit.trim_end_matches('0').trim_end_matches('.');
    match is_met {
        true => format!("{figure} {sign} {limit}: met"),
        false => format!("{figure} {sign} {limit}: **missed**, {found:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missed_says_by_how_much() {
        let shown = Ratios {
            throughput: 5.4,
            p50: 0.4,
            p99: 0.1,
            p999: f64::NAN,
            p50_of_floor: 1.0,
            cpu_of_floor: 1.0,
            cpu_us: 4.8,
        };
        let create = verdicts(1, ("create", 16, 16), &shown);
        assert_eq!(create, "throughput >= 6: **missed**, 5.40; us of CPU <= 6: met");
        assert!(verdicts(1, ("mixed:90", 16, 16), &shown).contains("p99.9 <= 0.2: **missed**, NaN"));
        let three = verdicts(3, ("set", 16, 16), &shown);
        assert_eq!(three, "throughput >= 6: **missed**, 5.40; us of CPU <= 18: met", "its budget is another one");
        assert_eq!(verdicts(2, ("set", 16, 16), &shown), "-");
        assert_eq!(verdicts(1, ("children", 16, 16), &shown), "-");
    }
}

//! What a release must show, as ratios to another server and to the floors: judged in the tables of [`crate::table`].

/// The figures of a server that are judged. NaN where there was nothing to compare with, which meets no budget.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
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
    /// The workload, its sessions, and what each has under way.
    load: (&'static str, usize, usize),
    figure: &'static str,
    read: fn(&Shown) -> f64,
    bound: Bound,
}

const BUDGETS: [Budget; 12] = [
    budget(("get", 16, 16), "throughput", |s| s.throughput, Bound::AtLeast(10.0)),
    budget(("get", 16, 16), "CPU : floor", |s| s.cpu_of_floor, Bound::AtMost(2.0)),
    budget(("get", 256, 1), "CPU : floor", |s| s.cpu_of_floor, Bound::AtMost(1.25)),
    budget(("set", 16, 16), "throughput", |s| s.throughput, Bound::AtLeast(6.0)),
    budget(("set", 16, 16), "us of CPU", |s| s.cpu_us, Bound::AtMost(4.0)),
    budget(("create", 16, 16), "throughput", |s| s.throughput, Bound::AtLeast(6.0)),
    budget(("create", 16, 16), "us of CPU", |s| s.cpu_us, Bound::AtMost(6.0)),
    budget(("set", 1, 1), "p50 : floor", |s| s.p50_of_floor, Bound::AtMost(1.35)),
    budget(("set", 1, 1), "p50", |s| s.p50, Bound::AtMost(0.5)),
    budget(("mixed:90", 16, 16), "p99", |s| s.p99, Bound::AtMost(0.2)),
    budget(("mixed:90", 16, 16), "p99.9", |s| s.p999, Bound::AtMost(0.2)),
    budget(("mixed:90", 16, 16), "offered and answered", |s| s.throughput, Bound::AtLeast(0.99)),
];

/// Bytes of a session that does nothing; per cent of a core for the pings of ten thousand.
pub const IDLE_BYTES: Bound = Bound::AtMost(4096.0);
pub const IDLE_CORE_PERCENT: Bound = Bound::AtMost(2.0);
/// Sessions the second of them is stated for.
pub const IDLE_SESSIONS: f64 = 10_000.0;
/// The last event, of the other server's; microseconds of CPU for a watch that is armed and fires.
pub const LAST_EVENT: Bound = Bound::AtMost(1.0 / 6.0);
pub const WATCH_CPU_US: Bound = Bound::AtMost(8.0);

const fn budget(
    load: (&'static str, usize, usize),
    figure: &'static str,
    read: fn(&Shown) -> f64,
    bound: Bound,
) -> Budget {
    Budget { load, figure, read, bound }
}

/// What the budget says of a server under a load, for a cell of a table.
pub fn verdicts(load: (&str, usize, usize), shown: &Shown) -> String {
    let lines = BUDGETS.iter().filter(|budget| budget.load == load);
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
        let shown = Shown {
            throughput: 5.4,
            p50: 0.4,
            p99: 0.1,
            p999: f64::NAN,
            p50_of_floor: 1.0,
            cpu_of_floor: 1.0,
            cpu_us: 4.8,
        };
        let create = verdicts(("create", 16, 16), &shown);
        assert_eq!(create, "throughput >= 6: **missed**, 5.40; us of CPU <= 6: met");
        assert!(verdicts(("mixed:90", 16, 16), &shown).contains("p99.9 <= 0.2: **missed**, NaN"));
        assert_eq!(verdicts(("children", 16, 16), &shown), "-");
    }
}

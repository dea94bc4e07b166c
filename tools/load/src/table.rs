//! Several servers under the same loads, in turn, as a table: the first one is what the others are compared with, and
//! the floors say how much of what is left could be gained.
//!
//! The machine a table is made on changes its speed within minutes, so each load goes round all servers several times,
//! and medians and ratios are what counts.

use crate::budgets::{self, Ratios};
use crate::engine::{self, Load, Nobody, Outcome, Targets};
use crate::failure::{Failure, Result, While};
use crate::statistics::median;
use crate::summary::{per_second, percentiles, short};
use crate::target::resolve;
use crate::to_document::title;
use crate::workload::{Overrides, Workload};
use crate::{connects, idle, watch};
use std::fmt::Write;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// What a server of a table can answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Server,
    /// Gets, with canned answers.
    ReadFloor,
    /// Sets and creates, with canned answers.
    WriteFloor,
}

/// A server, or the servers of an ensemble: `NAME=HOST:PORT@PID,HOST:PORT@PID,...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    pub name: String,
    /// At least one; of an ensemble the leader's first.
    pub addresses: Vec<SocketAddr>,
    /// Of their processes, in the same order.
    pub pids: Vec<u32>,
}

impl FromStr for Server {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Server, String> {
        let shape = || format!("not NAME=HOST:PORT@PID,...: {text}");
        let (name, places) = text.split_once('=').ok_or_else(shape)?;
        let mut server = Server { name: name.into(), addresses: vec![], pids: vec![] };
        for place in places.split(',') {
            let (address, pid) = place.rsplit_once('@').ok_or_else(shape)?;
            server.addresses.push(resolve(address)?);
            server.pids.push(pid.parse().map_err(|_| shape())?);
        }
        Ok(server)
    }
}

impl Server {
    /// Where a load goes whose first session is on the server of this number.
    fn targets(&self, first: usize) -> Targets {
        let mut addresses = self.addresses.clone();
        addresses.rotate_left(first);
        Targets { addresses, pids: self.pids.clone() }
    }

    /// For what takes a server alone: where it is, and its process.
    fn alone(&self) -> (SocketAddr, Option<u32>) {
        (self.addresses[0], self.pids.first().copied())
    }
}

/// How much is measured.
pub struct Extent {
    pub rounds: usize,
    pub window: Duration,
    pub warm_up: Duration,
    /// Idle sessions, watchers, and sessions opened a second; 0 leaves the part out.
    pub idle: usize,
    pub watchers: usize,
    pub connects: usize,
}

/// The figures of one run, to take medians of.
#[derive(Clone, Copy)]
struct Figures {
    throughput: f64,
    p50: f64,
    p99: f64,
    p999: f64,
    cpu_us: f64,
    own_us: f64,
    errors: u64,
}

impl Figures {
    fn of(outcome: &Outcome) -> Figures {
        let latency = outcome.all().corrected();
        Figures {
            throughput: outcome.throughput(),
            p50: latency.p50_us,
            p99: latency.p99_us,
            p999: latency.p999_us,
            cpu_us: outcome.server_cpu.map_or(f64::NAN, |cpu| outcome.cpu_us(cpu)),
            own_us: outcome.cpu_us(outcome.own_cpu),
            errors: outcome.errors.values().sum::<u64>() + outcome.unanswered,
        }
    }

    fn median(runs: &[Figures]) -> Figures {
        let of = |field: fn(&Figures) -> f64| median(runs.iter().map(field));
        Figures {
            throughput: of(|f| f.throughput),
            p50: of(|f| f.p50),
            p99: of(|f| f.p99),
            p999: of(|f| f.p999),
            cpu_us: of(|f| f.cpu_us),
            own_us: of(|f| f.own_us),
            errors: runs.iter().map(|f| f.errors).sum(),
        }
    }
}

/// A load of the table.
struct Row {
    workload: &'static str,
    sessions: usize,
    in_flight: usize,
    /// Operations offered a second, if it is an open loop.
    rate: Option<f64>,
    /// The server of an ensemble the first session is on: 0 is the leader's.
    first: usize,
    of_ensembles_only: bool,
}

const fn row(workload: &'static str, sessions: usize, in_flight: usize) -> Row {
    Row { workload, sessions, in_flight, rate: None, first: 0, of_ensembles_only: false }
}

const ROWS: [Row; 8] = [
    row("get", 16, 16),
    row("get", 256, 1),
    row("set", 16, 16),
    Row { of_ensembles_only: true, ..row("set", 256, 1) },
    row("create", 16, 16),
    row("set", 1, 1),
    Row { of_ensembles_only: true, first: 1, ..row("set", 1, 1) },
    Row { rate: Some(10_000.0), ..row("mixed:90", 16, 16) },
];
/// A session must outlive slow servers.
const TIMEOUT_MS: i32 = 30_000;

/// Measures and returns the table as Markdown. `progress` is told what is being done.
pub fn measure(servers: &[(Role, Server)], extent: &Extent, progress: &mut dyn FnMut(&str)) -> Result<String> {
    let base = servers.iter().position(|(role, _)| *role == Role::Server);
    let base = base.ok_or_else(|| Failure::new("a table needs a server"))?;
    let base_name = &servers[base].1.name;
    let size = servers[base].1.addresses.len();
    check_size(servers, extent, size)?;
    let mut text = format!(
        "{} rounds of {} s each after {} s of warming up, medians; latencies from the client; CPU of the server process{}.\n",
        extent.rounds,
        extent.window.as_secs_f64(),
        extent.warm_up.as_secs_f64(),
        if size > 1 {
            format!("es, all {size} together; sessions are spread over the servers, the leader's first")
        } else {
            String::new()
        }
    );
    let whole: Vec<&Server> =
        servers.iter().filter(|(role, _)| *role == Role::Server).map(|(_, server)| server).collect();
    // First, because memory that other loads have left behind would be used again and not be seen to grow.
    if extent.idle > 0 {
        write_idle(&mut text, &whole, extent, progress)?;
    }
    for row in ROWS.iter().filter(|row| size > 1 || !row.of_ensembles_only) {
        let load = Load {
            workload: Arc::new(Workload::load(row.workload, &Overrides::default())?),
            sessions: row.sessions,
            in_flight: row.in_flight,
            threads: 1,
            warm_up: extent.warm_up,
            window: extent.window,
            rate: row.rate,
            bunch: None,
            session_timeout_ms: TIMEOUT_MS,
            survive: false,
            gap: None,
        };
        // The floors answer either reads or writes.
        let floor = match row.workload {
            "get" => Some(Role::ReadFloor),
            "set" | "create" => Some(Role::WriteFloor),
            _ => None,
        };
        let entrants: Vec<&(Role, Server)> =
            servers.iter().filter(|(role, _)| *role == Role::Server || Some(*role) == floor).collect();
        let mut runs: Vec<Vec<Figures>> = vec![vec![]; entrants.len()];
        for round in 0..extent.rounds {
            for ((_, server), runs) in entrants.iter().zip(&mut runs) {
                let outcome = engine::plant_and_measure(&server.targets(row.first), &load, &mut Nobody)
                    .during(|| format!("{} on {}", heading(row, &load, size), server.name))?;
                let figures = Figures::of(&outcome);
                progress(&format!(
                    "{}, round {}: {} {}, {:.2} us CPU/op",
                    heading(row, &load, size),
                    round + 1,
                    server.name,
                    per_second(figures.throughput),
                    figures.cpu_us
                ));
                runs.push(figures);
            }
        }
        let medians: Vec<Figures> = runs.iter().map(|runs| Figures::median(runs)).collect();
        let of = |wanted: &dyn Fn(&(Role, Server)) -> bool| {
            entrants.iter().position(|entrant| wanted(entrant)).map(|position| medians[position])
        };
        let base = of(&|(_, server)| server.name == *base_name).expect("the base runs every load");
        let floor = of(&|(role, _)| Some(*role) == floor);
        let _ = writeln!(text, "\n### {}\n", heading(row, &load, size));
        write_load(&mut text, &load, base_name, &entrants, &medians, base, floor);
    }
    if extent.watchers > 0 {
        let floors = servers.iter().filter(|(role, _)| *role == Role::ReadFloor).map(|(_, server)| server);
        write_watch(
            &mut text,
            &whole.iter().copied().chain(floors).collect::<Vec<_>>(),
            whole.len(),
            extent,
            progress,
        )?;
    }
    if extent.connects > 0 {
        write_connects(&mut text, &whole, extent, progress)?;
    }
    Ok(text)
}

/// Ensembles of one size are compared, and what takes a server alone is not asked of them.
fn check_size(servers: &[(Role, Server)], extent: &Extent, size: usize) -> Result<()> {
    if servers.iter().any(|(role, server)| *role == Role::Server && server.addresses.len() != size) {
        return Err(Failure::usage("the servers of a table are ensembles of one size"));
    }
    if size > 1 && (extent.idle, extent.watchers, extent.connects) != (0, 0, 0) {
        return Err(Failure::usage("idle sessions, watchers and connects are measured on one server: give 0 for them"));
    }
    Ok(())
}

/// What a row is called; of one session it matters which of the servers it is on.
fn heading(row: &Row, load: &Load, size: usize) -> String {
    let server = match row.first {
        _ if size == 1 || row.sessions > 1 => "",
        0 => ", on the leader's server",
        _ => ", on a follower's server",
    };
    format!("{}{server}", title(load))
}

fn write_load(
    text: &mut String,
    load: &Load,
    base_name: &str,
    entrants: &[&(Role, Server)],
    medians: &[Figures],
    base: Figures,
    floor: Option<Figures>,
) {
    let _ = writeln!(
        text,
        "| server | throughput | p50 | p99 | p99.9 | CPU/op | throughput : {base_name} | p50 : {base_name} | \
         p50 : floor | CPU/op : floor | client's CPU/op | errors | budget / met |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|---|"
    );
    for ((role, server), figures) in entrants.iter().zip(medians) {
        let of_floor = |field: fn(&Figures) -> f64| field(figures) / floor.as_ref().map_or(f64::NAN, field);
        let of_base = |field: fn(&Figures) -> f64| field(figures) / field(&base);
        let shown = Ratios {
            throughput: of_base(|f| f.throughput),
            p50: of_base(|f| f.p50),
            p99: of_base(|f| f.p99),
            p999: of_base(|f| f.p999),
            p50_of_floor: of_floor(|f| f.p50),
            cpu_of_floor: of_floor(|f| f.cpu_us),
            cpu_us: figures.cpu_us,
        };
        let is_judged = *role == Role::Server && server.name != base_name;
        let kind = (load.workload.name.as_str(), load.sessions, load.in_flight);
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {:.2} us | {} | {} | {} | {} | {:.2} us | {} | {} |",
            server.name,
            per_second(figures.throughput),
            short(figures.p50),
            short(figures.p99),
            short(figures.p999),
            figures.cpu_us,
            ratio(shown.throughput),
            ratio(shown.p50),
            ratio(shown.p50_of_floor),
            ratio(shown.cpu_of_floor),
            figures.own_us,
            figures.errors,
            if is_judged { budgets::verdicts(server.addresses.len(), kind, &shown) } else { "-".into() }
        );
    }
}

/// The first `judged` of the servers are; the others are floors.
fn write_watch(
    text: &mut String,
    servers: &[&Server],
    judged: usize,
    extent: &Extent,
    progress: &mut dyn FnMut(&str),
) -> Result<()> {
    let _ = writeln!(
        text,
        "\n### One znode watched by {} sessions\n\n\
         | server | last event, p50 | p99 | each event, p50 | CPU per watch armed and fired | last event : {} | budget / met |\n\
         |---|---|---|---|---|---|---|",
        extent.watchers, servers[0].name
    );
    let mut base_us = None;
    for (number, server) in servers.iter().enumerate() {
        let rounds = 20;
        let (address, pid) = server.alone();
        let outcome = watch::measure(address, pid, extent.watchers, 1, rounds)
            .during(|| format!("watches on {}", server.name))?;
        let last = outcome.last.corrected();
        progress(&format!("{}: last of {} events {}", server.name, outcome.watchers, percentiles(&last)));
        let cpu_us = outcome.cpu_us().unwrap_or(f64::NAN);
        let verdicts = base_us.filter(|_| number < judged).map_or("-".to_owned(), |base_us: f64| {
            let last = budgets::verdict("last event", last.p50_us / base_us, budgets::LAST_EVENT);
            format!("{last}; {}", budgets::verdict("us of CPU", cpu_us, budgets::WATCH_CPU_US))
        });
        let of_base = last.p50_us / *base_us.get_or_insert(last.p50_us);
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {cpu_us:.1} us | {} | {verdicts} |",
            server.name,
            short(last.p50_us),
            short(last.p99_us),
            short(outcome.each.corrected().p50_us),
            ratio(of_base),
        );
    }
    Ok(())
}

fn write_idle(text: &mut String, servers: &[&Server], extent: &Extent, progress: &mut dyn FnMut(&str)) -> Result<()> {
    let _ = writeln!(
        text,
        "\n### {} idle sessions with a timeout of {} s\n\n\
         | server | memory per session | CPU for their pings | budget / met |\n|---|---|---|---|",
        extent.idle,
        IDLE_TIMEOUT_MS / 1000
    );
    for (number, server) in servers.iter().enumerate() {
        let window = extent.window * 4;
        let (address, pid) = server.alone();
        let outcome = idle::measure(address, pid, extent.idle, IDLE_TIMEOUT_MS, window)
            .during(|| format!("idle sessions on {}", server.name))?;
        progress(&format!("{}: {} idle sessions, {} pings", server.name, outcome.sessions, outcome.pings));
        let bytes = outcome.bytes_per_session().unwrap_or(f64::NAN);
        let percent = outcome.core_percent().unwrap_or(f64::NAN);
        let percent_of_many = percent * budgets::IDLE_SESSIONS / outcome.sessions as f64;
        let verdicts = match number {
            0 => "-".to_owned(),
            _ => {
                let memory = budgets::verdict("bytes", bytes, budgets::IDLE_BYTES);
                let core = budgets::verdict("% for 10 000", percent_of_many, budgets::IDLE_CORE_PERCENT);
                format!("{memory}; {core}")
            }
        };
        let _ = writeln!(text, "| {} | {bytes:.0} bytes | {percent:.2} % of a core | {verdicts} |", server.name);
    }
    Ok(())
}

fn write_connects(
    text: &mut String,
    servers: &[&Server],
    extent: &Extent,
    progress: &mut dyn FnMut(&str),
) -> Result<()> {
    let _ = writeln!(
        text,
        "\n### {} sessions a second opened and closed, and a neighbour that reads every millisecond\n\n\
         | server | open, p50 | p99 | neighbour before, p50 | p99 | meanwhile, p50 | p99 | max |\n\
         |---|---|---|---|---|---|---|---|",
        extent.connects
    );
    for server in servers {
        let (address, pid) = server.alone();
        let outcome = connects::measure(address, pid, extent.connects as f64, extent.window * 2, true)
            .during(|| format!("connects on {}", server.name))?;
        progress(&format!("{}: sessions opened and closed: {}", server.name, per_second(outcome.throughput())));
        let (quiet, disturbed) = outcome.neighbour.as_ref().expect("a neighbour was asked for");
        let (opened, quiet, disturbed) = (outcome.opened.corrected(), quiet.corrected(), disturbed.corrected());
        let (before, meanwhile) =
            ([quiet.p50_us, quiet.p99_us], [disturbed.p50_us, disturbed.p99_us, disturbed.max_us]);
        let figures: Vec<String> =
            [opened.p50_us, opened.p99_us].into_iter().chain(before).chain(meanwhile).map(short).collect();
        let _ = writeln!(text, "| {} | {} |", server.name, figures.join(" | "));
    }
    Ok(())
}

const IDLE_TIMEOUT_MS: i32 = 30_000;

fn ratio(ratio: f64) -> String {
    match ratio {
        ratio if !ratio.is_finite() => "-".into(),
        ratio if ratio < 10.0 => format!("{ratio:.2}"),
        ratio => format!("{ratio:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read() {
        let server: Server = "a b=127.0.0.1:2181@77".parse().unwrap();
        let address = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        assert_eq!(server, Server { name: "a b".into(), addresses: vec![address(2181)], pids: vec![77] });
        let three: Server = "a=127.0.0.1:1@7,127.0.0.1:2@8,127.0.0.1:3@9".parse().unwrap();
        assert_eq!((three.addresses.len(), &three.pids[..]), (3, &[7, 8, 9][..]));
        assert_eq!(three.targets(1).addresses, [address(2), address(3), address(1)]);
        for wrong in ["", "a", "a=127.0.0.1:2181", "a=127.0.0.1@7", "a=127.0.0.1:2181@x", "a=127.0.0.1:1@7,"] {
            assert!(wrong.parse::<Server>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn ensembles_are_compared_with_ensembles() {
        let of = |text: &str| (Role::Server, text.parse().unwrap());
        let (one, three) = (of("a=127.0.0.1:1@7"), of("b=127.0.0.1:1@7,127.0.0.1:2@8,127.0.0.1:3@9"));
        let extent = |idle| Extent {
            rounds: 1,
            window: Duration::from_secs(1),
            warm_up: Duration::ZERO,
            idle,
            watchers: 0,
            connects: 0,
        };
        let check = |servers: &[(Role, Server)], idle| check_size(servers, &extent(idle), servers[0].1.addresses.len());
        assert!(check(&[three.clone(), three.clone()], 0).is_ok() && check(std::slice::from_ref(&one), 10).is_ok());
        assert!(check(&[three.clone(), one], 0).is_err() && check(&[three], 10).is_err());
    }

    #[test]
    fn medians_are_taken_of_each_figure() {
        let run =
            |throughput, p50| Figures { throughput, p50, p99: 1.0, p999: 1.0, cpu_us: 1.0, own_us: 1.0, errors: 1 };
        let median = Figures::median(&[run(3.0, 10.0), run(1.0, 30.0), run(2.0, 20.0)]);
        assert_eq!((median.throughput, median.p50, median.errors), (2.0, 20.0, 3));
        assert_eq!([ratio(15.0), ratio(0.25), ratio(f64::INFINITY)], ["15.0", "0.25", "-"]);
    }
}

//! What goes wrong, as a list: drawn from a seed, and played on a cluster one after the other.
//!
//! A list can be played without some of its steps, so a failing one can be made shorter. A step that does not fit the
//! moment (a crash of a server that is down) does nothing and is not counted.

use super::cluster::{Cluster, Place};
use super::disk::Choices;
use super::lies;
use super::server::DIR;
use crate::storage::disk::Disk;
use crate::storage::log::frame::{BLOCK, Claim, claim};
use crate::storage::log::segment::{Named, named};
use std::path::Path;

/// Whom it concerns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Who {
    /// This server, whatever it is at the moment.
    Place(Place),
    /// Whoever leads at that moment.
    Leader,
}

/// One thing that goes wrong, or ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// A server ends. Its disk keeps what was durable, and of the rest what chance leaves.
    Crash(Who),
    /// The power of all.
    CrashAll,
    /// The servers that are down are started.
    StartAll,
    /// A server that is down is started; with a new disk if it refuses to go on from its own.
    Start(Place),
    /// A server stops where it is: what comes for it waits until it resumes.
    Pause(Who),
    /// The paused servers go on.
    ResumeAll,
    /// One direction.
    Cut(Place, Place),
    /// Both directions between two of them: a partial partition.
    Bridge(Place, Place),
    /// From and to everybody.
    Isolate(Who),
    /// Those whose bits are set from the others.
    Split(u8),
    /// Nothing is cut, clogged or slow any more. Connections with a cut direction end.
    Heal,
    /// From and to everybody, held up.
    Clog(Who),
    /// What was held up from and to a server comes through.
    Unclog(Place),
    /// The connections between two servers end, the last bytes under way cut short.
    Reset(Place, Place),
    /// From the first to the second everything takes so many ms longer; 0 ends it.
    Slow(Place, Place, i64),
    /// Each write of a server's disk takes so many ms longer; 0 ends it.
    SlowDisk(Place, i64),
    /// A write of its disk fails: the server ends.
    FailDisk(Who),
    /// A server that is down has a bit of its log flipped.
    Rot(Place, u64),
    /// A server that is down has its disk replaced.
    Wipe(Place),
    /// Somebody with a socket lies to where a server takes learners.
    Lie(Who, u64),
    /// A client sends what is no request, or what costs more than it says.
    Nuisance(Place, u64),
    /// The wall clock.
    Jump(Place, i64),
    /// The monotonic clock, in thousandths.
    Drift(Place, i64),
}

/// Something that goes wrong so long after what went wrong before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    /// Virtual milliseconds since the step before; of the first one since the first second is over.
    pub after_ms: i64,
    /// What happens then.
    pub fault: Fault,
}

/// What is counted: a run of many seeds has seen every one of them.
pub const CLASSES: [&str; 24] = [
    "crash",
    "crash of all",
    "crash of the leader",
    "crash with a write under way",
    "start",
    "pause",
    "pause of the leader",
    "cut in one direction",
    "partial partition",
    "isolation",
    "isolation of the leader",
    "partition",
    "heal",
    "clog",
    "reset",
    "slow network",
    "slow disk",
    "failed disk write",
    "damaged log refused",
    "new disk",
    "lie of a stranger",
    "nuisance of a client",
    "clock jump",
    "clock drift",
];

/// A list for so many servers.
pub fn draw(choices: &mut Choices, servers: usize) -> Vec<Step> {
    let steps = 4 + choices.pick(18);
    // Some runs are a storm, some have time to settle between two faults.
    let pace_ms = [60, 300, 900][choices.pick(3)];
    (0..steps)
        .map(|_| Step { after_ms: 1 + choices.pick(pace_ms) as i64, fault: draw_fault(choices, servers) })
        .collect()
}

fn draw_fault(choices: &mut Choices, servers: usize) -> Fault {
    let (a, b) = (choices.pick(servers), choices.pick(servers));
    let who = if choices.pick(2) == 0 { Who::Leader } else { Who::Place(a) };
    match choices.pick(44) {
        0..4 => Fault::Crash(who),
        4 => Fault::CrashAll,
        5..9 => Fault::StartAll,
        9..11 => Fault::Start(a),
        11..14 => Fault::Pause(who),
        14..17 => Fault::ResumeAll,
        17 => Fault::Cut(a, b),
        18 => Fault::Bridge(a, b),
        19..21 => Fault::Isolate(who),
        21 => Fault::Split(1 + choices.pick((1 << servers) - 2) as u8),
        22..25 => Fault::Heal,
        25..28 => Fault::Clog(who),
        28..31 => Fault::Unclog(a),
        31 => Fault::Reset(a, b),
        32 => Fault::Slow(a, b, choices.pick(400) as i64),
        33 => Fault::SlowDisk(a, choices.pick(300) as i64),
        34 => Fault::FailDisk(who),
        35..37 => Fault::Rot(a, choices.pick(1 << 30) as u64),
        37 => Fault::Wipe(a),
        38 => Fault::Jump(a, choices.pick(20_000) as i64 - 10_000),
        39..41 => Fault::Lie(who, choices.pick(1 << 30) as u64),
        41..43 => Fault::Nuisance(a, choices.pick(1 << 30) as u64),
        _ => Fault::Drift(a, choices.pick(200) as i64 - 100),
    }
}

/// Starts a server that is down. One that refuses what is on its disk is given a new disk by its operator.
pub fn start(cluster: &mut Cluster, place: Place) {
    if cluster.try_start(place).is_err() {
        assert!(cluster.is_rotten(place), "server {} does not go on from a disk that is well", place + 1);
        cluster.coverage.count("damaged log refused");
        cluster.wipe(place);
        cluster.start(place);
    }
}

/// Lets it happen.
pub fn play(cluster: &mut Cluster, fault: Fault) {
    let servers = cluster.len();
    match fault {
        Fault::Crash(who) | Fault::FailDisk(who) => {
            let Some(place) = place_of(cluster, who).filter(|place| cluster.runs(*place)) else { return };
            if cluster.leader() == Some(place) {
                cluster.coverage.count("crash of the leader");
            }
            cluster.coverage.count(if matches!(fault, Fault::Crash(_)) { "crash" } else { "failed disk write" });
            cluster.crash(place);
        }
        Fault::CrashAll => {
            cluster.coverage.count("crash of all");
            (0..servers).filter(|place| cluster.runs(*place)).collect::<Vec<_>>().into_iter().for_each(|place| {
                cluster.crash(place);
            });
        }
        Fault::StartAll => {
            for place in 0..servers {
                if !cluster.runs(place) {
                    cluster.coverage.count("start");
                    start(cluster, place);
                }
            }
        }
        Fault::Start(place) => {
            if !cluster.runs(place) {
                cluster.coverage.count("start");
                start(cluster, place);
            }
        }
        Fault::Pause(who) => {
            let Some(place) = place_of(cluster, who).filter(|place| cluster.runs(*place)) else { return };
            if cluster.leader() == Some(place) {
                cluster.coverage.count("pause of the leader");
            }
            cluster.coverage.count("pause");
            cluster.pause(place, true);
        }
        Fault::ResumeAll => (0..servers).for_each(|place| cluster.pause(place, false)),
        Fault::SlowDisk(place, ms) => {
            cluster.coverage.count("slow disk");
            cluster.slow_disk(place, ms);
        }
        Fault::Rot(place, what) => {
            if may_lose(cluster, place) && rot(cluster, place, what) {
                cluster.coverage.count("damaged log");
                cluster.note_rot(place);
            }
        }
        Fault::Wipe(place) => {
            if may_lose(cluster, place) {
                cluster.coverage.count("new disk");
                cluster.wipe(place);
            }
        }
        Fault::Lie(who, what) => {
            let Some(place) = place_of(cluster, who).filter(|place| cluster.runs(*place)) else { return };
            cluster.coverage.count("lie of a stranger");
            let lie = lies::draw(what, cluster.len());
            cluster.stranger(place, &lie);
        }
        Fault::Nuisance(place, what) => {
            let (raw, payloads) = lies::nuisance(what);
            let Some(server) = cluster.server(place) else { return };
            server.nuisance(&raw, &payloads);
            cluster.act(place);
            cluster.coverage.count("nuisance of a client");
        }
        Fault::Jump(place, ms) => {
            cluster.coverage.count("clock jump");
            cluster.jump(place, ms);
        }
        Fault::Drift(place, thousandths) => {
            cluster.coverage.count("clock drift");
            cluster.drift(place, thousandths);
        }
        of_the_network => play_on_the_network(cluster, of_the_network),
    }
}

/// Carries out a fault of the network between the servers.
fn play_on_the_network(cluster: &mut Cluster, fault: Fault) {
    let servers = cluster.len();
    let others = |place: Place| (0..servers).filter(move |other| *other != place);
    match fault {
        Fault::Cut(a, b) if a != b => {
            cluster.coverage.count("cut in one direction");
            cluster.cut(a, b);
        }
        Fault::Bridge(a, b) if a != b => {
            cluster.coverage.count("partial partition");
            cluster.cut(a, b);
            cluster.cut(b, a);
        }
        Fault::Isolate(who) => {
            let Some(place) = place_of(cluster, who) else { return };
            cluster.coverage.count("isolation");
            if cluster.leader() == Some(place) {
                cluster.coverage.count("isolation of the leader");
            }
            for other in others(place) {
                cluster.cut(place, other);
                cluster.cut(other, place);
            }
        }
        Fault::Split(side) => {
            cluster.coverage.count("partition");
            for a in 0..servers {
                for b in others(a).filter(|b| (side >> a ^ side >> b) & 1 == 1) {
                    cluster.cut(a, b);
                }
            }
        }
        Fault::Heal => {
            cluster.coverage.count("heal");
            cluster.heal();
        }
        Fault::Clog(who) => {
            let Some(place) = place_of(cluster, who) else { return };
            cluster.coverage.count("clog");
            for other in others(place) {
                cluster.clog(place, other);
                cluster.clog(other, place);
            }
        }
        Fault::Unclog(place) => {
            for other in others(place) {
                cluster.unclog(place, other);
                cluster.unclog(other, place);
            }
        }
        Fault::Reset(a, b) => {
            if cluster.reset(a, b) > 0 {
                cluster.coverage.count("reset");
            }
        }
        Fault::Slow(a, b, ms) if a != b => {
            cluster.coverage.count("slow network");
            cluster.slow(a, b, ms);
        }
        // Nothing lies between a server and itself.
        Fault::Cut(..) | Fault::Bridge(..) | Fault::Slow(..) => {}
        Fault::Crash(_)
        | Fault::CrashAll
        | Fault::StartAll
        | Fault::Start(_)
        | Fault::Pause(_)
        | Fault::ResumeAll
        | Fault::SlowDisk(..)
        | Fault::FailDisk(_)
        | Fault::Rot(..)
        | Fault::Wipe(_)
        | Fault::Lie(..)
        | Fault::Nuisance(..)
        | Fault::Jump(..)
        | Fault::Drift(..) => unreachable!("no fault of the network: {fault:?}"),
    }
}

/// The server that is meant, if there is one.
fn place_of(cluster: &Cluster, who: Who) -> Option<Place> {
    match who {
        Who::Place(place) => Some(place),
        Who::Leader => cluster.leader(),
    }
}

/// Ends whatever goes wrong.
pub fn heal(cluster: &mut Cluster) {
    cluster.heal();
    for place in 0..cluster.len() {
        cluster.pause(place, false);
        cluster.slow_disk(place, 0);
        cluster.drift(place, 0);
        if !cluster.runs(place) {
            start(cluster, place);
        }
    }
}

/// Whether a server may lose its disk: it is down, has been up, and the others that have all of theirs are a quorum.
fn may_lose(cluster: &Cluster, place: Place) -> bool {
    let is_first = !cluster.is_damaged(place) && 2 * (cluster.damaged() + 1) < cluster.voters();
    !cluster.runs(place) && cluster.incarnation(place) > 0 && (place >= cluster.voters() || is_first)
}

/// Flips a bit in a frame of the log with others behind it, so that it is known to have been durable. False if there is
/// none.
fn rot(cluster: &mut Cluster, place: Place, what: u64) -> bool {
    let dir = Path::new(DIR);
    let disk = cluster.disk(place);
    let mut frames = vec![];
    for name in disk.list(dir).unwrap_or_default() {
        let Some(Named::Segment(id)) = named(&name) else { continue };
        let path = dir.join(&name);
        let bytes = disk.bytes(&path).unwrap_or_default();
        let mut offset = BLOCK;
        let mut here = vec![];
        while offset + BLOCK <= bytes.len()
            && let Claim::Frame(header) = claim(&bytes[offset..], id, offset as u64)
        {
            here.push((path.clone(), offset, header.length as usize));
            offset += header.size();
        }
        // The last one of a segment may be the last of all.
        here.pop();
        frames.extend(here);
    }
    let Some((path, offset, length)) = frames.get(what as usize % frames.len().max(1)) else { return false };
    let bit = (what as usize / 7) % (length * 8);
    disk.rot(path, |bytes| bytes[offset + crate::storage::log::frame::FRAME_HEADER + bit / 8] ^= 1 << (bit % 8))
}

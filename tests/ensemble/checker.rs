//! Judges a history against what an ensemble promises. The server's own numbers are the witness of the order: a
//! register's versions and mzxids, a reply's zxid, a sequential node's number. What was acknowledged must have happened
//! once and be there at the end, what was refused never, what is unknown at most once; times decide where two requests
//! did not overlap; every session sees its registers move forwards only; and a read behind a sync sees everything that
//! was known before the sync was sent.

use std::collections::{BTreeMap, BTreeSet};

use super::record::{
    Action, History, Operation, Outcome, SEQUENTIAL_PREFIX, Seen, ephemeral_path, node_path, register_path, value_of,
};
use super::tree::Tree;

const BAD_VERSION: i32 = -103;

/// A session without contact for this part of its timeout may have ended rightly: contact is what a server heard, and
/// that may be older than what the client knows.
const PATIENCE: f64 = 0.6;

/// What is wrong with a history that ended in `end`; nothing when all promises were kept.
pub fn violations(history: &History, end: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    found.extend(history.problems.iter().cloned());
    refusals(history, &mut found);
    lost_sessions(history, &mut found);
    for register in 0..history.registers {
        Register::new(history, register, end).judge(&mut found);
    }
    zxids(history, &mut found);
    sessions(history, &mut found);
    numbers(history, &mut found);
    nodes(history, end, &mut found);
    found
}

/// A request of this workload fails for one reason only.
fn refusals(history: &History, found: &mut Vec<String>) {
    for operation in &history.operations {
        let Outcome::Refused { code, .. } = operation.outcome else {
            continue;
        };
        let meant = match operation.action {
            Action::Set { expected: Some(_), .. } | Action::FailingMulti { .. } => code == BAD_VERSION,
            _ => false,
        };
        if !meant {
            found.push(format!("refused with {code}: {operation:?}"));
        }
    }
}

fn lost_sessions(history: &History, found: &mut Vec<String>) {
    for lost in &history.lost {
        let silent_ms = lost.told.saturating_sub(lost.last_contact) as f64 / 1e6;
        if silent_ms < f64::from(lost.timeout_ms) * PATIENCE {
            found.push(format!("a session of {} ms ended after {silent_ms:.0} ms: {lost:?}", lost.timeout_ms));
        }
    }
}

/// For points in time with a number each: the largest number among those before a moment.
struct Floor(Vec<(u64, i64)>);

impl Floor {
    fn new(mut points: Vec<(u64, i64)>) -> Floor {
        points.sort_unstable();
        let mut largest = i64::MIN;
        for (_, number) in &mut points {
            largest = largest.max(*number);
            *number = largest;
        }
        Floor(points)
    }

    /// Strictly before: what happened at the same time may have happened later.
    fn before(&self, moment: u64) -> Option<i64> {
        let count = self.0.partition_point(|(time, _)| *time < moment);
        count.checked_sub(1).map(|last| self.0[last].1)
    }
}

/// Everything known about one register.
struct Register<'a> {
    number: usize,
    /// By version: the value and its mzxid, and who says so.
    versions: BTreeMap<i32, (Seen, String)>,
    /// Who wrote a value, in whichever way it came out.
    writers: BTreeMap<u64, &'a Operation>,
    operations: Vec<(&'a Operation, Seen)>,
    end: Option<Seen>,
    sync_is_barrier: bool,
    problems: Vec<String>,
}

impl<'a> Register<'a> {
    fn new(history: &'a History, number: usize, end: &Tree) -> Register<'a> {
        let mut register = Register {
            number,
            versions: BTreeMap::new(),
            writers: BTreeMap::new(),
            operations: Vec::new(),
            end: None,
            sync_is_barrier: history.sync_is_barrier,
            problems: Vec::new(),
        };
        for operation in &history.operations {
            for value in written(operation, number) {
                register.writers.insert(value, operation);
            }
            if let Outcome::Done { seen, .. } = &operation.outcome {
                for one in seen.iter().filter(|one| one.register == number) {
                    register.see(*one, || format!("{operation:?}"));
                    register.operations.push((operation, *one));
                }
            }
        }
        match end.get(&register_path(number)) {
            None => register.problems.push("it is gone".to_string()),
            Some(node) => match value_of(&node.data) {
                None => register.problems.push(format!("it ends as {:?}", node.data)),
                Some(value) => {
                    let last = Seen { register: number, version: node.version, value, mzxid: node.mzxid };
                    register.see(last, || "the end".to_string());
                    register.end = Some(last);
                }
            },
        }
        register
    }

    /// One version is one value, written once.
    fn see(&mut self, one: Seen, who: impl Fn() -> String) {
        match self.versions.get(&one.version) {
            None => {
                self.versions.insert(one.version, (one, who()));
            }
            Some((known, by)) if *known != one => {
                self.problems.push(format!("{known:?} says {by}, {one:?} says {}", who()));
            }
            Some(_) => {}
        }
    }

    fn judge(mut self, found: &mut Vec<String>) {
        self.values_were_written_once();
        self.nothing_is_missing();
        self.times_agree();
        found.extend(self.problems.iter().map(|problem| format!("register {}: {problem}", self.number)));
    }

    fn values_were_written_once(&mut self) {
        let mut placed: BTreeMap<u64, i32> = BTreeMap::new();
        let mut last: Option<Seen> = None;
        for (version, (one, by)) in &self.versions {
            if let Some(other) = placed.insert(one.value, *version) {
                self.problems.push(format!("value {:#x} is version {other} and {version}", one.value));
            }
            if last.is_some_and(|last| last.mzxid >= one.mzxid) {
                self.problems.push(format!("{one:?} follows {last:?}"));
            }
            last = Some(*one);
            match self.writers.get(&one.value).map(|writer| &writer.outcome) {
                None if one.value == 0 && *version == 0 => {}
                None => self.problems.push(format!("{one:?} was never written, says {by}")),
                Some(Outcome::Refused { .. }) => {
                    self.problems.push(format!("{one:?} was refused, and is there, says {by}"));
                }
                Some(Outcome::Done { .. } | Outcome::Unknown) => {}
            }
        }
    }

    /// Every version up to the end is one somebody knows, or was made by a write nobody knows the outcome of.
    fn nothing_is_missing(&mut self) {
        let Some(end) = self.end else {
            return;
        };
        for (_, (one, by)) in self.versions.range(end.version + 1..) {
            self.problems.push(format!("{one:?} lies beyond the end, version {}; says {by}", end.version));
        }
        let known: BTreeSet<u64> = self.versions.values().map(|(one, _)| one.value).collect();
        let open = self
            .writers
            .iter()
            .filter(|(value, writer)| writer.outcome == Outcome::Unknown && !known.contains(*value))
            .count();
        let missing = (1..=end.version).filter(|version| !self.versions.contains_key(version)).count();
        if missing > open {
            self.problems.push(format!("{missing} versions nobody wrote, with {open} writes of unknown outcome"));
        }
    }

    fn times_agree(&mut self) {
        let points = self.operations.iter().map(|(operation, one)| (operation.returned, i64::from(one.version)));
        let floor = Floor::new(points.collect());
        for (operation, one) in &self.operations {
            let before = floor.before(operation.invoked);
            let stale = match operation.action {
                Action::Get { .. } => false,
                Action::SyncedGet { .. } => {
                    self.sync_is_barrier && before.is_some_and(|before| i64::from(one.version) < before)
                }
                _ => before.is_some_and(|before| i64::from(one.version) <= before),
            };
            if stale {
                self.problems.push(format!(
                    "version {} was known before {one:?} began: {operation:?}",
                    before.unwrap_or_default()
                ));
            }
            if let Action::Set { expected: Some(expected), .. } = operation.action
                && one.version != expected + 1
            {
                self.problems.push(format!("a write to version {expected} gave {one:?}"));
            }
        }
    }
}

/// The values a request would give a register.
fn written(operation: &Operation, register: usize) -> Vec<u64> {
    let sets: Vec<(usize, u64)> = match &operation.action {
        Action::Set { register, value, .. } | Action::FailingMulti { register, value } => vec![(*register, *value)],
        Action::Multi { sets, .. } => sets.to_vec(),
        _ => Vec::new(),
    };
    sets.into_iter().filter(|(of, _)| *of == register).map(|(_, value)| value).collect()
}

fn is_read(operation: &Operation) -> bool {
    matches!(operation.action, Action::Get { .. } | Action::SyncedGet { .. })
}

/// Every transaction has a zxid of its own, above all that were known when it was asked for.
fn zxids(history: &History, found: &mut Vec<String>) {
    let zxid_of = |operation: &Operation| match operation.outcome {
        Outcome::Done { zxid, .. } | Outcome::Refused { zxid, .. } => Some(zxid),
        Outcome::Unknown => None,
    };
    let points = history.operations.iter().filter_map(|one| Some((one.returned, zxid_of(one)?)));
    let floor = Floor::new(points.collect());
    let mut given: BTreeMap<i64, &Operation> = BTreeMap::new();
    for operation in history.operations.iter().filter(|one| !is_read(one)) {
        let Outcome::Done { zxid, seen, .. } = &operation.outcome else {
            continue;
        };
        if let Some(other) = given.insert(*zxid, operation) {
            found.push(format!("zxid {zxid:#x} was given twice: {other:?} {operation:?}"));
        }
        if let Some(before) = floor.before(operation.invoked)
            && before >= *zxid
        {
            found.push(format!("zxid {before:#x} was known before: {operation:?}"));
        }
        if let Some(other) = seen.iter().find(|one| one.mzxid != *zxid) {
            found.push(format!("{other:?} is not of its own transaction: {operation:?}"));
        }
    }
}

/// What a session is told moves forwards, on whichever server: zxids, and the versions of every register.
fn sessions(history: &History, found: &mut Vec<String>) {
    let mut last_zxid: BTreeMap<i64, i64> = BTreeMap::new();
    let mut last_seen: BTreeMap<(i64, usize), i32> = BTreeMap::new();
    for operation in &history.operations {
        let (zxid, seen): (i64, &[Seen]) = match &operation.outcome {
            Outcome::Done { zxid, seen, .. } => (*zxid, seen),
            Outcome::Refused { zxid, .. } => (*zxid, &[]),
            Outcome::Unknown => continue,
        };
        let last = last_zxid.insert(operation.session, zxid);
        if last.is_some_and(|last| last > zxid) {
            found.push(format!("zxid {:#x} came before in this session: {operation:?}", last.unwrap_or_default()));
        }
        for one in seen {
            let last = last_seen.insert((operation.session, one.register), one.version);
            let back =
                last.is_some_and(|last| if is_read(operation) { last > one.version } else { last >= one.version });
            if back {
                found.push(format!("the session had seen version {}: {operation:?}", last.unwrap_or_default()));
            }
        }
    }
}

/// Numbers of sequential nodes are unique and grow.
fn numbers(history: &History, found: &mut Vec<String>) {
    let numbered = |operation: &Operation| match operation.outcome {
        Outcome::Done { number, .. } => number.map(i64::from),
        _ => None,
    };
    let points = history.operations.iter().filter_map(|one| Some((one.returned, numbered(one)?)));
    let floor = Floor::new(points.collect());
    let mut given = BTreeSet::new();
    for operation in &history.operations {
        let Some(number) = numbered(operation) else {
            continue;
        };
        if !given.insert(number) {
            found.push(format!("number {number} was given twice: {operation:?}"));
        }
        if floor.before(operation.invoked).is_some_and(|before| before >= number) {
            found.push(format!("a larger number was known before: {operation:?}"));
        }
    }
}

/// What a node's own requests say about its being there at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// With this czxid.
    There(i64),
    Gone,
    Either,
}

fn nodes(history: &History, end: &Tree, found: &mut Vec<String>) {
    let shown = shown_values(history, end);
    let alive: BTreeSet<i64> = history.alive.iter().copied().collect();
    let mut fates: BTreeMap<String, (Fate, u64, i64)> = BTreeMap::new();
    let mut queued: BTreeMap<u64, Fate> = BTreeMap::new();
    for operation in &history.operations {
        let fate = match operation.outcome {
            Outcome::Done { zxid, .. } => Fate::There(zxid),
            Outcome::Refused { .. } => Fate::Gone,
            Outcome::Unknown => Fate::Either,
        };
        let client = operation.client;
        match operation.action {
            Action::Create { node } => {
                fates.insert(node_path(client, node), (fate, node, 0));
            }
            Action::Multi { node, .. } => {
                let path = node_path(client, node);
                if operation.outcome == Outcome::Unknown {
                    whole_multi(operation, end.get(&path).map(|node| node.czxid), &shown, found);
                }
                fates.insert(path, (fate, node, 0));
            }
            Action::Ephemeral { node } => {
                let fate = if alive.contains(&operation.session) { fate } else { Fate::Either };
                fates.insert(ephemeral_path(client, node), (fate, node, operation.session));
            }
            Action::Delete { node } => {
                let fate = match fate {
                    Fate::There(_) => Fate::Gone,
                    // Refused, which is told elsewhere: it should have been there.
                    Fate::Gone => continue,
                    Fate::Either => Fate::Either,
                };
                fates.insert(node_path(client, node), (fate, node, 0));
            }
            Action::Sequential { node } => {
                queued.insert(node, fate);
                if let Outcome::Done { number: Some(number), .. } = operation.outcome {
                    fates.insert(format!("{SEQUENTIAL_PREFIX}{number:010}"), (fate, node, 0));
                }
            }
            Action::Set { .. } | Action::Get { .. } | Action::SyncedGet { .. } | Action::FailingMulti { .. } => {}
        }
    }
    for (path, (fate, value, owner)) in &fates {
        match (fate, end.get(path)) {
            (Fate::There(_), None) => found.push(format!("{path} was acknowledged and is not there")),
            (Fate::Gone, Some(node)) => found.push(format!("{path} must not be there: {node:?}")),
            (Fate::There(czxid), Some(node)) if node.czxid != *czxid => {
                found.push(format!("{path} was created with {czxid:#x}, not {:#x}", node.czxid));
            }
            (Fate::There(_) | Fate::Either, Some(node)) => {
                if value_of(&node.data) != Some(*value) || node.owner != *owner {
                    found.push(format!("{path} holds something else: {node:?}"));
                }
            }
            (Fate::Gone | Fate::Either, None) => {}
        }
    }
    let mut numbered = BTreeSet::new();
    for (path, node) in end {
        if path.starts_with(SEQUENTIAL_PREFIX) {
            let value = value_of(&node.data);
            let known = value.is_some_and(|value| queued.get(&value).is_some_and(|fate| *fate != Fate::Gone));
            if !known || !numbered.insert(value) {
                found.push(format!("{path} was not asked for, or is there twice: {node:?}"));
            }
        } else if (path.starts_with("/c/") || path.starts_with("/e/")) && !fates.contains_key(path) {
            found.push(format!("{path} was never asked for"));
        }
    }
}

/// A multi whose outcome is unknown: its node and its values are all there, of one transaction, or none is. Its node is
/// never deleted, since nobody was told that it is there. `shown` has the mzxid of every value somebody saw.
fn whole_multi(operation: &Operation, there: Option<i64>, shown: &BTreeMap<u64, i64>, found: &mut Vec<String>) {
    let Action::Multi { sets, .. } = &operation.action else {
        return;
    };
    for (_, value) in sets {
        if let Some(mzxid) = shown.get(value)
            && there != Some(*mzxid)
        {
            found.push(format!("{value:#x} is of {mzxid:#x}, its node of {there:x?}: {operation:?}"));
        }
    }
}

/// The mzxid of every value of a register that a reply or the end shows.
fn shown_values(history: &History, end: &Tree) -> BTreeMap<u64, i64> {
    let ends = (0..history.registers).filter_map(|register| {
        let node = end.get(&register_path(register))?;
        Some((value_of(&node.data)?, node.mzxid))
    });
    let seen = history.operations.iter().filter_map(|operation| match &operation.outcome {
        Outcome::Done { seen, .. } => Some(seen.iter().map(|one| (one.value, one.mzxid))),
        _ => None,
    });
    ends.chain(seen.flatten()).collect()
}

//! Scripts of one leader or one learner: what happens to it, and what it asks for.
//!
//! A script is a text in `tests/zab`. A line that begins in the first column is an event; the indented lines
//! below it are what the role asked for, and are compared word by word. What a gate holds back is marked
//! `(waits)` and comes again, unmarked, when it is let go. Zxids are written `epoch.counter`, epochs
//! `accepted/current`. With `CORRAL_REWRITE=1` in the environment the answers are written into the files instead.

use super::role_text::{leads, learns, show};
use crate::config::Settings;
use crate::ids::{SessionId, Zxid};
use crate::jute::quorum::{
    ForwardedRequest, LearnerInfo, PROTOCOL_CORRAL, PROTOCOL_EPOCHS, Packet, PacketType, put_revalidate_answer,
    put_touch,
};
use crate::jute::txn::put_set_data;
use crate::jute::wire::{put_int, put_long};
use crate::session::SessionSecret;
use crate::zab::agreed::Agreed;
use crate::zab::epochs::Epochs;
use crate::zab::history::{History, HistoryLimits, Txn};
use crate::zab::leader::{self, Leader, LearnerKind, PeerId, Proposal};
use crate::zab::learner::{self, Learner};
use crate::zab::message::Gate;
use crate::zab::voters::{Config, ServerId, Voters};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

macro_rules! scripts {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            play(stringify!($name), include_str!(concat!("../../../tests/zab/", stringify!($name), ".txt")));
        })*
    };
}

scripts! {
    leader_ack_out_of_order_4685
    leader_commits_wait_for_uptodate_4394
    leader_counter_ends_1277
    leader_discovery
    leader_drops_who_is_silent
    leader_joins_without_gap_2418
    leader_loses_its_quorum
    leader_makes_way_for_a_promise
    leader_observers
    leader_reads_no_log
    leader_reads_the_log
    leader_reconfiguration
    leader_refuses
    leader_refuses_what_nobody_forwards
    leader_roll_over_comes_to_nothing
    leader_rolls_over
    leader_snapshot_holds_nothing_up
    leader_sync_data_before_newleader_3104
    leader_sync_is_a_barrier
    leader_takes_no_implausible_epoch
    leader_tells_a_secret
    leader_truncated_follower_counts_anew
    leader_voter_is_ahead
    learner_ack_follows_the_log_3023_3911_4785
    learner_commit_before_uptodate_4394
    learner_commit_must_match
    learner_follows
    learner_hears_a_secret
    learner_hole_is_refused_4925
    learner_log_before_epoch_4643_4646
    learner_observer
    learner_observer_rolls_over
    learner_old_role_writes_nothing_4712
    learner_promises_once
    learner_proposed_configuration_is_not_agreed_on
    learner_proposals_inside_a_snapshot
    learner_reconfiguration
    learner_refuses
    learner_refuses_to_roll_over
    learner_requests
    learner_rolls_over
    learner_snapshot_is_durable_first_3642
    learner_takes_no_implausible_epoch
    learner_timeouts
    learner_truncation_is_durable_first_5094
}

enum Role {
    None,
    Leader(Box<Leader>, Gate<leader::Output>),
    Learner(Box<Learner>, Gate<learner::Output>),
}

struct Stage {
    role: Role,
    now: i64,
    trace: String,
}

fn play(name: &str, script: &str) {
    let mut stage = Stage { role: Role::None, now: 0, trace: String::new() };
    for line in script.lines() {
        if line.starts_with("  ") {
            continue;
        }
        writeln!(stage.trace, "{line}").unwrap();
        if !line.is_empty() && !line.starts_with('#') {
            stage.event(&Words::of(line));
        }
    }
    if std::env::var_os("CORRAL_REWRITE").is_some() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/zab");
        std::fs::write(format!("{directory}/{name}.txt"), &stage.trace).unwrap();
        return;
    }
    for (number, (expected, got)) in script.lines().zip(stage.trace.lines()).enumerate() {
        assert_eq!(expected, got, "{name}, line {}; all of it:\n{}", number + 1, stage.trace);
    }
    assert_eq!(script.lines().count(), stage.trace.lines().count(), "{name}; all of it:\n{}", stage.trace);
}

/// An event's words, and its `key=value` pairs.
struct Words<'a> {
    plain: Vec<&'a str>,
    pairs: BTreeMap<&'a str, &'a str>,
}

impl<'a> Words<'a> {
    fn of(line: &'a str) -> Self {
        let (pairs, plain) = line.split_whitespace().partition::<Vec<_>, _>(|word| word.contains('='));
        Words { plain, pairs: pairs.into_iter().filter_map(|pair| pair.split_once('=')).collect() }
    }

    fn has(&self, word: &str) -> bool {
        self.plain.contains(&word)
    }

    fn text(&self, key: &str) -> Option<&'a str> {
        self.pairs.get(key).copied()
    }

    fn number(&self, key: &str, default: i64) -> i64 {
        self.text(key).map_or(default, |value| {
            value.strip_prefix("0x").map_or_else(|| value.parse(), |hex| i64::from_str_radix(hex, 16)).unwrap()
        })
    }

    /// `secret=7`, and the words `everywhere` if it is, or `used` if it was.
    fn agreed(&self) -> Option<Agreed> {
        let secret = SessionSecret([self.text("secret")?.parse().unwrap(); 32]);
        let everywhere = self.has("everywhere");
        Some(Agreed { secret, everywhere, used: everywhere || self.has("used") })
    }

    fn zxid(&self, key: &str) -> Zxid {
        self.text(key).map_or(Zxid::ZERO, zxid)
    }

    fn epochs(&self) -> Epochs {
        epochs(self.text("epochs").unwrap_or("0/0"))
    }

    /// `log=1.1-1.4,2.1`, after `floor=…`.
    fn history(&self) -> History {
        let limits = HistoryLimits { count: self.number("keep", 100) as usize, bytes: 1 << 20 };
        let mut history = History::new(limits, self.zxid("floor"));
        for txn in txns(self.text("log").unwrap_or("")) {
            history.push(txn);
        }
        history
    }

    fn config(&self) -> Option<Voters> {
        let list = |key| self.text(key).unwrap_or("").split(',').filter(|id| !id.is_empty());
        let mut text = String::new();
        for (key, role) in [("voters", "participant"), ("observers", "observer")] {
            for id in list(key) {
                writeln!(text, "server.{id}=127.0.0.1:200{id}:300{id}:{role}").unwrap();
            }
        }
        self.text("voters")?;
        let text = format!("{text}version={:x}", self.zxid("version").0);
        Some(Voters::parse(text.as_bytes()).unwrap())
    }
}

fn zxid(text: &str) -> Zxid {
    let (epoch, counter) = text.split_once('.').unwrap();
    Zxid(epoch.parse::<i64>().unwrap() << 32 | counter.parse::<i64>().unwrap())
}

fn epochs(text: &str) -> Epochs {
    let (accepted, current) = text.split_once('/').unwrap();
    Epochs { accepted: accepted.parse().unwrap(), current: current.parse().unwrap() }
}

fn txns(list: &str) -> Vec<Txn> {
    let mut all = vec![];
    for range in list.split(',').filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        for zxid in zxid(first).0..=zxid(last).0 {
            all.push(Txn { zxid: Zxid(zxid), bytes: txn_bytes(Zxid(zxid), None).into() });
        }
    }
    all
}

/// A create as far as anybody here looks, or a reconfiguration.
fn txn_bytes(zxid: Zxid, config: Option<&Voters>) -> Vec<u8> {
    let mut bytes = vec![];
    put_long(&mut bytes, 0x77);
    put_int(&mut bytes, 5);
    put_long(&mut bytes, zxid.0);
    put_long(&mut bytes, 0);
    put_int(&mut bytes, if config.is_some() { 16 } else { 1 });
    if let Some(config) = config {
        put_set_data(&mut bytes, b"/zookeeper/config", Some(config.to_string().as_bytes()), -1);
    }
    bytes
}

impl Stage {
    fn event(&mut self, words: &Words<'_>) {
        match words.plain[0] {
            "leader" => self.new_leader(words),
            "follower" => self.new_learner(words, LearnerKind::Follower),
            "observer" => self.new_learner(words, LearnerKind::Observer),
            "durable" => self.durable(words),
            "end" => self.end(),
            _ => match self.role {
                Role::Leader(..) => self.leader_event(words),
                Role::Learner(..) => self.learner_event(words),
                Role::None => panic!("{:?}: no role yet", words.plain),
            },
        }
    }

    fn new_leader(&mut self, words: &Words<'_>) {
        let mut options = leader::Options::new(ServerId(words.number("id", 1)), 2000, 10, 5);
        options.reconfig_enabled = words.has("reconfig");
        let usual = Settings::default();
        options.settings = Arc::new(Settings {
            force_snapshot: words.has("force-snapshot"),
            snapshot_size_factor: usual.snapshot_size_factor.filter(|_| !words.has("never-from-disk")),
            max_snapshot_syncs: words.number("max-snapshot-syncs", 10) as u32,
            ..usual
        });
        options.max_peers = words.number("max-peers", 1024) as usize;
        options.max_syncs = words.number("max-syncs", 1000) as usize;
        options.max_outstanding = words.number("max-outstanding", 1000) as usize;
        options.agreed = words.agreed();
        options.zookeeper_passwords = words.has("zookeeper-passwords");
        options.last_counter = words.number("last-counter", Zxid::LAST_COUNTER.into()) as u32;
        let config = Config::new(words.config().unwrap(), None);
        let history = words.history();
        let gate = Gate::new(history.last(), words.epochs());
        let role = Leader::new(options, config, words.epochs(), history, words.zxid("committed"), self.now);
        self.role = Role::Leader(Box::new(role), gate);
        self.lead(leader::Input::Tick);
    }

    fn new_learner(&mut self, words: &Words<'_>, kind: LearnerKind) {
        let mut options = learner::Options::new(ServerId(words.number("id", 1)), kind, 2000, 10, 5);
        options.config_version = words.zxid("version").0;
        options.max_pending_bytes = words.number("max-pending-bytes", 1 << 20) as usize;
        options.max_syncs = words.number("max-syncs", 1000) as usize;
        options.protocol = words.number("protocol", PROTOCOL_CORRAL.into()) as i32;
        options.used_secret = words.agreed().filter(|agreed| agreed.used).map(|agreed| agreed.secret);
        let history = words.history();
        let gate = Gate::new(history.last(), words.epochs());
        let mut out = vec![];
        let committed = words.zxid("committed");
        let role = Learner::new(options, words.epochs(), history, committed, self.now, &mut out);
        self.role = Role::Learner(Box::new(role), gate);
        self.show_learner(out);
    }

    /// `durable log 1.4`, `durable epochs 2/1`.
    fn durable(&mut self, words: &Words<'_>) {
        let value = words.plain[2];
        let log = words.has("log");
        match &mut self.role {
            Role::Leader(_, gate) if log => gate.log_durable(zxid(value)),
            Role::Leader(_, gate) => gate.epochs_durable(epochs(value)),
            Role::Learner(_, gate) if log => gate.log_durable(zxid(value)),
            Role::Learner(_, gate) => gate.epochs_durable(epochs(value)),
            Role::None => panic!("no role yet"),
        }
        self.release();
        if matches!(self.role, Role::Leader(..)) {
            self.lead(match log {
                true => leader::Input::LogDurable(zxid(value)),
                false => leader::Input::EpochsDurable(epochs(value)),
            });
        }
    }

    fn release(&mut self) {
        let mut lines = vec![];
        match &mut self.role {
            Role::Leader(_, gate) => lines.extend(std::iter::from_fn(|| gate.next()).map(|output| leads(&output))),
            Role::Learner(_, gate) => lines.extend(std::iter::from_fn(|| gate.next()).map(|output| learns(&output))),
            Role::None => {}
        }
        for line in lines {
            writeln!(self.trace, "  {line}").unwrap();
        }
    }

    fn end(&mut self) {
        let (history, committed, void) = match std::mem::replace(&mut self.role, Role::None) {
            Role::Leader(role, gate) => {
                let committed = role.committed();
                (role.into_history(), committed, gate.held())
            }
            Role::Learner(role, gate) => {
                let committed = role.committed();
                (role.into_history(), committed, gate.held())
            }
            Role::None => panic!("no role yet"),
        };
        let last = show(history.last());
        writeln!(self.trace, "  log ends at {last}, committed {}, {void} held back are void", show(committed)).unwrap();
    }

    fn leader_event(&mut self, words: &Words<'_>) {
        let peer = words.plain.get(1).and_then(|word| word.parse().ok()).map_or(PeerId(0), PeerId);
        match words.plain[0] {
            "connect" => self.lead(leader::Input::Connected(peer)),
            "gone" => self.lead(leader::Input::Disconnected(peer)),
            "from" => {
                let mut data = vec![];
                let packet = packet(&words.plain[2..], words, peer.0 as i64, &mut data);
                self.lead(leader::Input::Packet(peer, packet));
            }
            "snapshot-progress" => self.lead(leader::Input::SnapshotProgress(peer)),
            "snapshot-sent" => self.lead(leader::Input::SnapshotSent(peer, zxid(words.plain[2]))),
            "log-read" => {
                let part = leader::LogPart {
                    txns: txns(words.plain.get(2).unwrap_or(&"")),
                    whole: !words.has("more"),
                    log_bytes: words.number("log", 0) as u64,
                    snapshot_bytes: words.number("snapshot", 0) as u64,
                };
                self.lead(leader::Input::LogRead(peer, part));
            }
            "sync" => self.lead(leader::Input::Sync { tag: words.number("tag", 0) as u64 }),
            "learner-sync" => self.lead(leader::Input::LearnerSync(peer)),
            "revalidated" => self.lead(leader::Input::Revalidated {
                peer,
                session: SessionId(words.number("session", 0)),
                valid: words.has("valid"),
            }),
            "tick" => {
                self.now += words.plain[1].parse::<i64>().unwrap();
                self.lead(leader::Input::Tick);
            }
            "propose" => {
                let Role::Leader(leader, _) = &mut self.role else { return };
                let zxid = zxid(words.plain[1]);
                let config = words.config().map(|config| config.with_version(zxid.0));
                let proposal = Proposal { zxid, bytes: txn_bytes(zxid, config.as_ref()).into(), config };
                let mut out = vec![];
                let proposed = leader.propose(proposal, self.now, &mut out);
                if let Err(error) = proposed {
                    writeln!(self.trace, "  refused: {error}").unwrap();
                }
                self.show_leader(out);
            }
            other => panic!("unknown event {other}"),
        }
    }

    fn learner_event(&mut self, words: &Words<'_>) {
        let mut out = vec![];
        let now = self.now;
        match words.plain[0] {
            "recv" => {
                let mut data = vec![];
                let packet = packet(&words.plain[1..], words, 0, &mut data);
                self.learn(learner::Input::Packet(packet));
            }
            "closed" => self.learn(learner::Input::Closed),
            "snapshot-progress" => self.learn(learner::Input::Progress),
            "snapshot-received" => self.learn(learner::Input::SnapshotReceived),
            "snapshot-failed" => self.learn(learner::Input::SnapshotFailed),
            "tick" => {
                self.now = now + words.plain[1].parse::<i64>().unwrap();
                self.learn(learner::Input::Tick);
            }
            verb => {
                let Role::Learner(learner, _) = &mut self.role else { return };
                let session = SessionId(words.number("session", 0));
                let request =
                    |op| ForwardedRequest { session, cxid: words.number("cxid", 0) as i32, op, body: b"body" };
                let asked = match verb {
                    "forward" => learner.forward(request(words.number("op", 1) as i32), Default::default(), &mut out),
                    "sync" => learner.sync(words.number("tag", 0) as u64, request(9), Default::default(), &mut out),
                    "revalidate" => learner.revalidate(session, 4000, &mut out),
                    "touched" => {
                        learner.touched(words.zxid("ping"), [(session, 4000)], &mut out);
                        Ok(())
                    }
                    other => panic!("unknown event {other}"),
                };
                if let Err(error) = asked {
                    writeln!(self.trace, "  refused: {error}").unwrap();
                }
                self.show_learner(out);
            }
        }
    }

    fn lead(&mut self, input: leader::Input<'_>) {
        let Role::Leader(leader, _) = &mut self.role else { return };
        let mut out = vec![];
        leader.step(input, self.now, &mut out);
        self.show_leader(out);
    }

    fn learn(&mut self, input: learner::Input<'_>) {
        let Role::Learner(learner, _) = &mut self.role else { return };
        let mut out = vec![];
        learner.step(input, self.now, &mut out);
        self.show_learner(out);
    }

    fn show_leader(&mut self, out: Vec<leader::Output>) {
        let Role::Leader(_, gate) = &mut self.role else { return };
        for output in out {
            let line = leads(&output);
            let waits = if gate.pass(output).is_some() { "" } else { "(waits) " };
            writeln!(self.trace, "  {waits}{line}").unwrap();
        }
    }

    fn show_learner(&mut self, out: Vec<learner::Output>) {
        let Role::Learner(_, gate) = &mut self.role else { return };
        for output in out {
            let line = learns(&output);
            let waits = if gate.pass(output).is_some() { "" } else { "(waits) " };
            writeln!(self.trace, "  {waits}{line}").unwrap();
        }
    }
}

/// A packet out of `TYPE zxid key=value…`.
fn packet<'a>(plain: &[&str], words: &Words<'_>, from: i64, data: &'a mut Vec<u8>) -> Packet<'a> {
    let number: i32 = (1..20).find(|n| PacketType::from_wire(*n).name() == plain[0]).unwrap_or(99);
    let kind = if plain[0] == "AGREED" { PacketType::Agreed } else { PacketType::from_wire(number) };
    let zxid = plain.get(1).filter(|word| word.contains('.')).map_or(Zxid(-1), |word| zxid(word));
    let config = words.config().map(|config| match kind {
        PacketType::NewLeader => config,
        _ => config.with_version(zxid.0),
    });
    match kind {
        PacketType::FollowerInfo | PacketType::ObserverInfo => LearnerInfo {
            server: words.number("server", from),
            protocol: words.number("protocol", PROTOCOL_EPOCHS.into()) as i32,
            config_version: words.zxid("version").0,
        }
        .put(data),
        PacketType::LeaderInfo => put_int(data, words.number("protocol", PROTOCOL_EPOCHS.into()) as i32),
        PacketType::Agreed => words.agreed().iter().for_each(|agreed| agreed.put(data)),
        PacketType::AckEpoch => put_int(data, words.number("current", 0) as i32),
        PacketType::Proposal | PacketType::Inform => *data = txn_bytes(zxid, config.as_ref()),
        PacketType::CommitAndActivate => put_long(data, words.number("leader", 0)),
        PacketType::InformAndActivate => {
            put_long(data, words.number("leader", 0));
            data.extend(txn_bytes(zxid, config.as_ref()));
        }
        PacketType::NewLeader => data.extend(config.map_or(String::new(), |config| config.to_string()).into_bytes()),
        PacketType::Request => ForwardedRequest {
            session: SessionId(words.number("session", 0)),
            cxid: words.number("cxid", 0) as i32,
            op: words.number("op", 1) as i32,
            body: if words.text("empty").is_some() { b"\0\0\0\0" } else { b"body" },
        }
        .put(data),
        PacketType::Ping if words.text("touch").is_some() => {
            put_touch(data, (SessionId(words.number("touch", 0)), 4000))
        }
        PacketType::Revalidate if words.has("valid") || words.has("invalid") => {
            put_revalidate_answer(data, SessionId(words.number("session", 0)), words.has("valid"));
        }
        PacketType::Revalidate => put_touch(data, (SessionId(words.number("session", 0)), 4000)),
        _ => {}
    }
    if let Some(length) = words.text("cut") {
        data.truncate(length.parse().unwrap());
    }
    let bare = data.is_empty() && kind != PacketType::Ping || words.has("null");
    Packet { kind, zxid, data: if bare { None } else { Some(data) }, auth: None }
}

//! An ensemble in virtual time: real servers, real logs on simulated disks, and a network that is the test's to break.
//!
//! Every message takes its time, drawn from a seed; connections keep their order and end as a whole. Servers crash with
//! what their disk had not been told to keep, stop and go on, are slow, have clocks of their own, and are cut off from
//! each other. The same seed makes the same run, of which `trace` is a digest. Whatever a server shows is held against
//! what all have shown ([`Oracle`]), at every step.

mod event;
mod judge;
mod member;
mod network;
mod records;
mod starts;
mod wires;

use super::coverage::Coverage;
use super::disk::{Choices, SimDisk};
use super::oracle::{Oracle, Seen};
use super::server::{DIR, SimServer, TICK_MS, config, settings};
use crate::config::{Config, Settings};
use crate::ids::Zxid;
use crate::limits;
use crate::server::quorum::{Effect, Input, PeerInput, ServerState};
use crate::storage::log::frame::{BLOCK, Claim, FRAME_HEADER, Txns, claim};
use crate::storage::log::writer::FrameWrite;
use crate::zab::history::{HistoryLimits, Txn};
use crate::zab::links::LinkId;
pub use event::Place;
use event::{Event, OUTPUT_LIMIT, QUORUM_PORT};
use member::Member;
use network::Network;
use std::collections::BTreeMap;
use std::path::Path;

/// Rounds of work a server may do at one moment before it is taken for stuck.
const ROUNDS: usize = 1000;

/// Events of one moment before the cluster is taken for stuck.
const EVENTS_AT_ONCE: usize = 100_000;

/// An ensemble.
pub struct Cluster {
    members: Vec<Member>,
    voter_count: usize,
    /// What its servers' operator has chosen; counts for those started from here on.
    pub config: Config,
    /// The same for the settings of a member.
    pub settings: Settings,
    /// How much of a log's end is kept in memory.
    pub history_limits: HistoryLimits,
    /// Bytes of transactions that a leader has proposed and not committed.
    pub uncommitted_bytes: usize,
    /// The longest request, bytes (`jute.maxbuffer`), if logs are to be made for it.
    pub max_frame: Option<usize>,
    /// How long it takes to cut a log.
    pub cut_ms: i64,
    /// The virtual time, milliseconds since the run began. The clocks of its servers may say something else.
    pub now_ms: i64,
    queue: BTreeMap<(i64, u64), Event>,
    sequence: u64,
    network: Network,
    choices: Choices,
    /// Who was established as the leader of each epoch.
    leaders: BTreeMap<i64, Place>,
    /// How many of these epochs began without an election.
    roll_overs: usize,
    /// What all servers have shown so far, in one order.
    pub oracle: Oracle,
    /// How often each operation and each fault has happened.
    pub coverage: Coverage,
    /// A digest of all that has happened.
    pub trace: u64,
    /// Events so far.
    pub events: u64,
}

impl Cluster {
    /// So many voters, not started.
    pub fn new(voters: usize, seed: u64) -> Cluster {
        Cluster::with_observers(voters, 0, seed)
    }

    /// So many voters and observers, not started. Observers come behind the voters.
    pub fn with_observers(voters: usize, observers: usize, seed: u64) -> Cluster {
        let role = |id| if id <= voters { "participant" } else { "observer" };
        let line = |id| format!("server.{id}=10.0.0.{id}:{QUORUM_PORT}:3888:{}\n", role(id));
        let text: String = (1..=voters + observers).map(line).collect();
        let mut cluster = Cluster {
            members: vec![],
            voter_count: voters,
            config: Config { output_limit: OUTPUT_LIMIT, ..config() },
            settings: settings(),
            history_limits: HistoryLimits::default(),
            uncommitted_bytes: limits::UNCOMMITTED_BYTES,
            max_frame: None,
            cut_ms: 0,
            now_ms: 0,
            queue: BTreeMap::new(),
            sequence: 0,
            network: Network::default(),
            choices: Choices::drawn(seed),
            leaders: BTreeMap::new(),
            roll_overs: 0,
            oracle: Oracle::new(),
            coverage: Coverage::default(),
            trace: 0xcbf2_9ce4_8422_2325,
            events: 0,
        };
        for _ in 0..voters + observers {
            cluster.add(&text);
        }
        cluster
    }

    /// How many servers there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// None.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// How many of them vote.
    pub fn voters(&self) -> usize {
        self.voter_count
    }

    /// Elections that ended with an established leader.
    pub fn elections(&self) -> usize {
        self.leaders.len() - self.roll_overs
    }

    /// Epochs that began under the leader of the one before.
    pub fn roll_overs(&self) -> usize {
        self.roll_overs
    }

    /// The running server at a place, its clocks set.
    pub fn server(&mut self, place: Place) -> Option<&mut SimServer> {
        let now_ms = self.now_ms;
        let member = &mut self.members[place];
        let server = member.server.as_mut().filter(|_| !member.is_paused)?;
        server.clock(member.clocks.at(now_ms));
        Some(server)
    }

    /// How often a server has been started.
    pub fn incarnation(&self, place: Place) -> u64 {
        self.members[place].incarnation
    }

    /// A number below `count`, drawn.
    pub fn pick(&mut self, count: usize) -> usize {
        self.choices.pick(count)
    }

    /// The established leader, if exactly one server says to be it.
    pub fn leader(&self) -> Option<Place> {
        let leads = |place: &Place| self.server_state(*place) == Some(ServerState::Leading) && self.serves(*place);
        let mut leaders = (0..self.len()).filter(leads);
        leaders.next().filter(|_| leaders.next().is_none())
    }

    /// What a server says it is.
    pub fn server_state(&self, place: Place) -> Option<ServerState> {
        self.members[place].server.as_ref()?.quorum.server_state()
    }

    /// What each server says it is, and whether it takes clients.
    pub fn server_states(&self) -> Vec<(Option<ServerState>, bool)> {
        (0..self.len()).map(|place| (self.server_state(place), self.serves(place))).collect()
    }

    /// Whether a server takes clients.
    pub fn serves(&self, place: Place) -> bool {
        self.members[place].server.as_ref().is_some_and(|server| server.quorum.serves())
    }

    /// The tree's digest, and the zxid it is of, of a server at rest.
    pub fn digest(&self, place: Place) -> Option<(Zxid, u64)> {
        let state = self.members[place].server.as_ref()?.quorum.state();
        Some((state.store().published(), state.digest()))
    }

    /// Whether a server runs, paused or not.
    pub fn runs(&self, place: Place) -> bool {
        self.members[place].server.is_some()
    }

    /// Whether a server is paused.
    pub fn is_paused(&self, place: Place) -> bool {
        self.members[place].is_paused
    }

    /// Stops a server's threads, or lets them go on.
    pub fn pause(&mut self, place: Place, is_paused: bool) {
        self.members[place].is_paused = is_paused;
        if is_paused {
            return;
        }
        let waiting = std::mem::take(&mut self.members[place].waiting);
        // What has come as far as the server is no longer the network's to hold up.
        for event in waiting {
            self.deliver(event);
        }
    }

    /// Goes on until `until` holds, or for so many ms. Whether it held.
    pub fn run(&mut self, limit_ms: i64, mut until: impl FnMut(&mut Cluster) -> bool) -> bool {
        let end_ms = self.now_ms + limit_ms;
        loop {
            if until(self) {
                return true;
            }
            let next_ms = self.queue.first_key_value().map_or(end_ms, |((at_ms, _), _)| *at_ms);
            if next_ms >= end_ms {
                self.now_ms = end_ms;
                return until(self);
            }
            let Some((_, event)) = self.queue.pop_first() else { return false };
            self.now_ms = self.now_ms.max(next_ms);
            self.happen(event);
        }
    }

    /// Lets everything happen that happens before `end_ms`.
    pub fn run_to(&mut self, end_ms: i64) {
        let mut at_once = 0;
        while let Some(entry) = self.queue.first_entry()
            && entry.key().0 < end_ms
        {
            let ((at_ms, _), event) = entry.remove_entry();
            at_once = if at_ms > self.now_ms { 0 } else { at_once + 1 };
            assert!(at_once < EVENTS_AT_ONCE, "time does not go on");
            self.now_ms = self.now_ms.max(at_ms);
            self.happen(event);
        }
        self.now_ms = self.now_ms.max(end_ms);
    }

    fn after(&mut self, delay_ms: i64, event: Event) {
        self.sequence += 1;
        self.queue.insert((self.now_ms + delay_ms, self.sequence), event);
    }

    /// Takes note of what happens, for the trace.
    fn note(&mut self, words: &[u64]) {
        for word in [self.now_ms as u64].iter().chain(words) {
            self.trace = (self.trace ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(17);
        }
    }

    fn is_current(&self, place: Place, incarnation: u64) -> bool {
        self.runs(place) && self.members[place].incarnation == incarnation
    }

    fn happen(&mut self, event: Event) {
        self.events += 1;
        let Some(event) = self.hold_up(event) else { return };
        // A paused server's events wait for it, in order.
        if let Some(place) = self.place_of(&event)
            && self.members[place].is_paused
        {
            return self.members[place].waiting.push_back(event);
        }
        self.deliver(event);
    }

    /// It happens: nothing holds it up any more.
    fn deliver(&mut self, event: Event) {
        match event {
            Event::Bytes { wire, to, bytes } => {
                self.note(&[1, wire, to as u64, crc32c::crc32c(&bytes).into()]);
                self.arrive(wire, to, bytes);
            }
            Event::Closed { wire, to } => {
                self.note(&[2, wire, to as u64]);
                self.told_closed(wire, to);
            }
            Event::Connected { wire, to } => {
                self.note(&[3, wire, to as u64]);
                self.connected(wire, to);
            }
            Event::DialFailed { place, incarnation, peer } => {
                if self.is_current(place, incarnation) {
                    let input = peer.map_or(PeerInput::NoLeader, |peer| PeerInput::DialFailed { peer });
                    self.input(place, input);
                }
            }
            Event::LogWritten { place, incarnation } => {
                if self.is_current(place, incarnation) {
                    self.note(&[4, place as u64]);
                    self.log_written(place);
                }
            }
            Event::Recorded { place, incarnation } => {
                if self.is_current(place, incarnation) {
                    self.note(&[5, place as u64]);
                    self.recorded(place);
                }
            }
            Event::CutLog { place, incarnation, zxid } => {
                if self.is_current(place, incarnation) {
                    self.note(&[8, place as u64, zxid.0 as u64]);
                    self.cut_log(place, zxid);
                }
            }
            Event::LogRead { place, incarnation, peer, part } => {
                if self.is_current(place, incarnation) {
                    self.note(&[6, place as u64]);
                    self.input(place, PeerInput::LogRead { peer, part });
                }
            }
            Event::Tick { place, incarnation } => {
                if self.is_current(place, incarnation) {
                    self.after(TICK_MS / 2, Event::Tick { place, incarnation });
                    if let Some(server) = self.server(place) {
                        server.shard.tick();
                        server.quorum.step(Input::Tick);
                        // What ends a process that has such a shard; these take in all there is, whenever they run.
                        if let Some(fatal) = server.quorum.stalled_shard() {
                            panic!("server {}: {fatal}", place + 1);
                        }
                    }
                    self.act(place);
                }
            }
            Event::Deadline { place, incarnation } => {
                if self.is_current(place, incarnation) {
                    self.members[place].deadline_at_ms = i64::MAX;
                    if let Some(server) = self.server(place) {
                        server.quorum.step(Input::Deadline);
                    }
                    self.act(place);
                }
            }
        }
    }

    fn place_of(&self, event: &Event) -> Option<Place> {
        match event {
            Event::Bytes { wire, to, .. } | Event::Closed { wire, to } | Event::Connected { wire, to } => {
                self.network.place(*wire, *to)
            }
            Event::DialFailed { place, .. }
            | Event::LogWritten { place, .. }
            | Event::CutLog { place, .. }
            | Event::Recorded { place, .. }
            | Event::LogRead { place, .. }
            | Event::Tick { place, .. }
            | Event::Deadline { place, .. } => Some(*place),
        }
    }

    fn input(&mut self, place: Place, input: PeerInput<'_>) {
        if let Some(server) = self.server(place) {
            server.quorum.step(Input::Peer(input));
        }
        self.act(place);
    }

    fn log_written(&mut self, place: Place) {
        let clock = self.members[place].clocks.at(self.now_ms);
        let member = &mut self.members[place];
        let (Some(server), Some(write)) = (&mut member.server, member.write.take()) else { return };
        write_frame(&member.disk, server, &write);
        member.disk.fold();
        for (zxid, txn) in Txns::new(transactions(&write, server.quorum.log().bytes(&write))) {
            member.seen.logged(&member.log, zxid);
            member.log.push(Txn { zxid, bytes: txn.into() });
        }
        server.clock(clock);
        server.quorum.step(Input::Written);
        // What the tree is, if nothing was prepared that is not on disk yet (I16).
        let state = server.quorum.state();
        if state.head() == member.log.last() {
            Seen::check_digest(&member.log, state.digest());
        }
        self.act(place);
    }

    fn cut_log(&mut self, place: Place, zxid: Zxid) {
        let Member { server, disk, .. } = &mut self.members[place];
        let done = server.as_mut().expect("it runs").cut_log(zxid);
        disk.fold();
        if done {
            self.check_cut(place, zxid);
            let Member { log, seen, .. } = &mut self.members[place];
            self.oracle.cut(log, seen, zxid);
            self.coverage.count("sync by truncation");
        }
        let input = if done { PeerInput::LogCut(zxid) } else { PeerInput::LogCutFailed(zxid) };
        self.input(place, input);
    }

    /// Lets a server do what there is to do, and carries out what it wants done.
    pub fn act(&mut self, place: Place) {
        for round in 0.. {
            assert!(round < ROUNDS, "server {} never comes to rest", place + 1);
            if !self.act_once(place) {
                break;
            }
            self.observe(place);
        }
        self.observe(place);
        self.await_deadline(place);
        self.note_leader(place);
    }

    /// One round of a server's loop. Whether there was anything to do.
    fn act_once(&mut self, place: Place) -> bool {
        let clock = self.members[place].clocks.at(self.now_ms);
        let incarnation = self.members[place].incarnation;
        let Member { server: Some(server), write, is_paused: false, disk_delay_ms, .. } = &mut self.members[place]
        else {
            return false;
        };
        let mut worked = !server.quorum.may_sleep();
        server.clock(clock);
        worked |= server.hand_over_requests();
        let (next, published) = server.take_work(write.is_none());
        let (snapshot, effects) = (server.snapshot.take(), std::mem::take(&mut server.effects));
        worked |= next.is_some() || snapshot.is_some() || published || !effects.is_empty();
        if next.is_some() {
            *write = next;
            let delay_ms = 1 + *disk_delay_ms + self.choices.pick(4) as i64;
            self.after(delay_ms, Event::LogWritten { place, incarnation });
        }
        let Member { server: Some(server), wanting, .. } = &mut self.members[place] else { return false };
        server.prepare_real_segment();
        let mut streams = vec![];
        if let Some(job) = snapshot {
            let zxid = server.write_job(job);
            let stream = server.snapshot_stream(zxid);
            streams.extend(wanting.drain(..).map(|peer| (peer, zxid, stream.clone())));
        } else if !wanting.is_empty() {
            server.quorum.step(Input::WantSnapshot);
        }
        for (peer, zxid, stream) in streams {
            self.coverage.count("sync by snapshot");
            self.send_snapshot(place, peer, stream);
            if let Some(server) = &mut self.members[place].server {
                server.quorum.step(Input::Peer(PeerInput::SnapshotSent { peer, zxid }));
            }
        }
        let Some(server) = &mut self.members[place].server else { return false };
        server.shard.take_in();
        let mut ids = vec![];
        server.shard.take_interest(&mut ids);
        server.shard.take_dirty(&mut ids);
        server.shard.take_ended(&mut server.ended);
        for effect in effects {
            self.effect(place, effect);
        }
        worked |= self.read_leader(place);
        if let Some(server) = &self.members[place].server {
            let spent = server.quorum.spent();
            assert!(spent <= limits::CORE_TURN * 2, "server {}: a turn cost {spent:?}", place + 1);
        }
        worked
    }

    fn await_deadline(&mut self, place: Place) {
        let now_ms = self.now_ms;
        let member = &mut self.members[place];
        let Some(deadline_ms) = member.server.as_ref().and_then(|server| server.quorum.deadline_ms()) else { return };
        let wait_ms = member.clocks.wait_ms(deadline_ms - member.clocks.at(now_ms).mono_ms);
        if now_ms + wait_ms < member.deadline_at_ms {
            member.deadline_at_ms = now_ms + wait_ms;
            let incarnation = member.incarnation;
            self.after(wait_ms, Event::Deadline { place, incarnation });
        }
    }

    fn effect(&mut self, place: Place, effect: Effect) {
        let incarnation = self.members[place].incarnation;
        match effect {
            Effect::Dial { peer, addresses } => self.dial_member(place, peer, &addresses),
            Effect::DialLeader { leader, addresses } => self.dial_leader(place, leader, &addresses),
            Effect::Write { link, bytes } => self.send_link(place, link, bytes),
            Effect::ToLearner { peer, bytes } => self.send_learner(place, peer, bytes),
            Effect::ToLeader(bytes) => self.send_leader(place, bytes),
            Effect::Close { link } => self.close_link(place, link),
            Effect::CloseLearner(peer) => {
                self.coverage.count("connection of a learner ended");
                self.close_learner(place, peer);
            }
            Effect::CloseLeader => {
                self.coverage.count("connection of a learner ended");
                self.close_leader(place);
            }
            Effect::Record(record) => self.write_record(place, record),
            Effect::CutLog(zxid) if self.cut_ms > 0 => {
                self.after(self.cut_ms, Event::CutLog { place, incarnation, zxid });
            }
            Effect::CutLog(zxid) => self.cut_log(place, zxid),
            Effect::ReadLog { peer, stretch } => {
                let part = self.members[place].server.as_ref().expect("it runs").read_log(&stretch);
                self.coverage.count("log read for a learner");
                let takes_ms = self.disk_ms(place, 10);
                let delay_ms = self.members[place].reader.schedule(self.now_ms, takes_ms);
                self.after(delay_ms, Event::LogRead { place, incarnation, peer, part });
            }
            Effect::SendSnapshot(peer) => self.members[place].wanting.push(peer),
            Effect::InstallSnapshot(job) => {
                let zxid = job.zxid;
                let Member { server, disk, .. } = &mut self.members[place];
                server.as_mut().expect("it runs").install_snapshot(*job);
                disk.fold();
                let Member { log, seen, .. } = &mut self.members[place];
                self.oracle.installed(seen, zxid);
                log.reset(zxid);
                self.coverage.count("snapshot installed");
                self.input(place, PeerInput::SnapshotInstalled(zxid));
            }
            Effect::Listen(listen) => self.members[place].listen(listen),
            Effect::Fail(fatal) => panic!("server {}: {fatal}", place + 1),
        }
    }

    fn fresh(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    /// The system has taken the bytes: at once, as it mostly does.
    fn taken(&mut self, place: Place, link: LinkId) {
        if let Some(server) = self.server(place) {
            server.quorum.step(Input::Peer(PeerInput::Written { link }));
        }
    }
}

/// Writes what the log has ready, and syncs it.
fn write_frame(disk: &SimDisk, server: &mut SimServer, write: &FrameWrite) {
    let path = Path::new(DIR).join(write.segment.file_name());
    let bytes = server.quorum.log().bytes(write).to_vec();
    disk.write_synced(&path, write.offset, &bytes).expect("the disk is well");
}

/// The transactions in what was written: none in a segment's header.
fn transactions<'a>(write: &FrameWrite, bytes: &'a [u8]) -> &'a [u8] {
    match claim(&bytes[..BLOCK], write.segment, write.offset) {
        Claim::Frame(header) => &bytes[FRAME_HEADER..FRAME_HEADER + header.length as usize],
        _ => &[],
    }
}

#[cfg(test)]
mod tests;

//! An ensemble in virtual time: real servers, real logs on simulated disks, and a network that is the test's to break.
//!
//! Every message takes its time, drawn from a seed; connections keep their order and end as a whole. Servers crash with
//! what their disk had not been told to keep, stop and go on, and are cut off from each other. The same seed makes the
//! same run.

use super::disk::{Choices, SimDisk};
use super::server::{DIR, SimOptions, SimServer, TICK_MS};
use crate::ids::Zxid;
use crate::jute::election::InitialMessage;
use crate::server::message::Clock;
use crate::server::quorum::{Effect, EnsembleOptions, PeerInput, RoleSettings, Standing};
use crate::storage::log::writer::FrameWrite;
use crate::tree::state::StateOptions;
use crate::zab::epochs::Epochs;
use crate::zab::history::{History, HistoryLimits};
use crate::zab::leader::{LogPart, PeerId};
use crate::zab::links::LinkId;
use crate::zab::voters::{Config, ServerId, Voters};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Output a client may leave unread, bytes.
const OUTPUT_LIMIT: usize = 16 << 20;

/// A server by its place in the list; its id is one more.
pub type Place = usize;

/// One end of a connection between servers, as its server calls it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    /// An election connection that was accepted and has not said whose it is.
    Unknown(LinkId),
    Link(LinkId),
    /// A learner's end.
    Leader,
    /// A leader's end.
    Learner(PeerId),
}

struct Wire {
    ends: [(Place, End); 2],
    /// When the last bytes in each direction arrive: those behind them arrive no earlier.
    last_ms: [i64; 2],
    open: bool,
}

enum Event {
    Bytes { wire: u64, to: usize, bytes: Vec<u8> },
    Closed { wire: u64, to: usize },
    Connected { wire: u64 },
    DialFailed { place: Place, incarnation: u64, peer: Option<ServerId> },
    LogWritten { place: Place, incarnation: u64 },
    EpochsWritten { place: Place, incarnation: u64, epochs: Epochs },
    LogRead { place: Place, incarnation: u64, peer: PeerId, part: LogPart },
    ConfigWritten { place: Place, incarnation: u64, number: u64, config: Config },
    Tick { place: Place, incarnation: u64 },
    Deadline { place: Place, incarnation: u64 },
}

/// A server and what of it survives a crash.
struct Member {
    server: Option<SimServer>,
    disk: SimDisk,
    epochs: Epochs,
    /// What its files say.
    config: Config,
    /// When the last of them is written that is being written.
    files_ms: i64,
    incarnation: u64,
    write: Option<FrameWrite>,
    is_paused: bool,
    /// Learners that wait for a snapshot.
    wanting: Vec<PeerId>,
}

/// An ensemble.
pub struct Cluster {
    members: Vec<Member>,
    /// What its servers' operator has chosen.
    pub state: StateOptions,
    pub standalone_enabled: bool,
    pub now_ms: i64,
    queue: BTreeMap<(i64, u64), Event>,
    sequence: u64,
    wires: BTreeMap<u64, Wire>,
    choices: Choices,
    /// Directions in which nothing gets through.
    cut: BTreeSet<(Place, Place)>,
    /// Who was established as the leader of each epoch.
    leaders: BTreeMap<i64, Place>,
    /// What servers started from here on are told.
    pub roles: RoleSettings,
    /// Elections that ended with an established leader.
    pub elections: usize,
    /// How long a write of the log takes at these places, ms.
    pub slow: BTreeMap<Place, i64>,
    /// Parts of a log that were read for a learner.
    pub log_reads: usize,
}

impl Cluster {
    /// So many voters, not started.
    pub fn new(voters: usize, seed: u64) -> Cluster {
        Cluster::with_observers(voters, 0, seed)
    }

    /// So many voters and, behind them, observers; not started.
    pub fn with_observers(voters: usize, observers: usize, seed: u64) -> Cluster {
        let role = |id| if id <= voters { "participant" } else { "observer" };
        let line = |id: usize| format!("server.{id}=10.0.0.{id}:2888:3888:{}\n", role(id));
        let text: String = (1..=voters + observers).map(line).collect();
        let mut cluster = Cluster {
            members: vec![],
            state: StateOptions { standalone: false, ..StateOptions::default() },
            standalone_enabled: true,
            now_ms: 0,
            queue: BTreeMap::new(),
            sequence: 0,
            wires: BTreeMap::new(),
            choices: Choices::drawn(seed),
            cut: BTreeSet::new(),
            leaders: BTreeMap::new(),
            roles: RoleSettings::default(),
            elections: 0,
            slow: BTreeMap::new(),
            log_reads: 0,
        };
        for _ in 0..voters + observers {
            cluster.add(&text);
        }
        cluster
    }

    /// One more server, not started, whose file has this text.
    pub fn add(&mut self, text: &str) -> Place {
        let voters = Voters::parse(text.as_bytes()).expect("a configuration");
        self.members.push(Member {
            server: None,
            disk: SimDisk::new(),
            epochs: Epochs::default(),
            config: Config::new(voters, None),
            files_ms: 0,
            incarnation: 0,
            write: None,
            is_paused: false,
            wanting: vec![],
        });
        self.members.len() - 1
    }

    /// How many servers there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// None.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The running server at a place.
    pub fn server(&mut self, place: Place) -> Option<&mut SimServer> {
        let member = &mut self.members[place];
        member.server.as_mut().filter(|_| !member.is_paused)
    }

    /// A number below `count`, drawn.
    pub fn pick(&mut self, count: usize) -> usize {
        self.choices.pick(count)
    }

    /// The established leader, if exactly one server says to be it.
    pub fn leader(&self) -> Option<Place> {
        let leads = |place: &Place| self.standing(*place) == Some(Standing::Leading) && self.serves(*place);
        let mut leaders = (0..self.len()).filter(leads);
        leaders.next().filter(|_| leaders.next().is_none())
    }

    /// What a server says it is.
    pub fn standing(&self, place: Place) -> Option<Standing> {
        self.members[place].server.as_ref()?.quorum.standing()
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

    /// Starts a server on what its disk holds.
    pub fn start(&mut self, place: Place) {
        let id = ServerId(place as i64 + 1);
        let member = &mut self.members[place];
        assert!(member.server.is_none(), "it runs");
        member.incarnation += 1;
        member.is_paused = false;
        let options = EnsembleOptions {
            id,
            config: member.config.clone(),
            election_addresses: vec![(format!("10.0.0.{}", id.0), 3888)],
            announces_all: false,
            standalone_enabled: self.standalone_enabled,
            tick_ms: TICK_MS,
            init_limit: 10,
            sync_limit: 5,
            epochs: member.epochs,
            // Of the log that is found.
            history: History::new(HistoryLimits::default(), Zxid::ZERO),
            has_database: true,
            election: Default::default(),
            links: Default::default(),
            max_packet: 1 << 20,
            roles: self.roles,
        };
        let clock = Clock { mono_ms: self.now_ms, wall_ms: self.now_ms };
        let sim = SimOptions { output_limit: OUTPUT_LIMIT, state: self.state, ..SimOptions::default() };
        member.server = Some(SimServer::start(&member.disk, clock, sim, Some(options)));
        let incarnation = member.incarnation;
        self.after(TICK_MS / 2, Event::Tick { place, incarnation });
        self.act(place);
    }

    /// Ends a server as a loss of power does: what the disk was not told to keep may be gone.
    pub fn crash(&mut self, place: Place) {
        let member = &mut self.members[place];
        member.server = None;
        member.write = None;
        member.wanting.clear();
        member.disk = member.disk.crash(member.disk.changes(), &mut self.choices);
        self.disconnect(|ends| ends.contains(&place));
    }

    /// Tells a server that its process is to end.
    pub fn stop(&mut self, place: Place) {
        let now_ms = self.now_ms;
        let server = self.members[place].server.as_mut().expect("it runs");
        server.at(now_ms);
        server.shard.stop_taking();
        server.quorum.begin_stop();
        self.act(place);
    }

    /// Stops a server's threads, or lets them go on.
    pub fn pause(&mut self, place: Place, is_paused: bool) {
        self.members[place].is_paused = is_paused;
    }

    /// Lets nothing through from one server to another, in that direction; connections stay until someone gives them up.
    pub fn cut(&mut self, from: Place, to: Place) {
        self.cut.insert((from, to));
    }

    /// Heals the network. What was lost makes connections useless: they end.
    pub fn heal(&mut self) {
        let cut = std::mem::take(&mut self.cut);
        self.disconnect(|ends| cut.contains(&(ends[0], ends[1])) || cut.contains(&(ends[1], ends[0])));
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

    fn after(&mut self, delay_ms: i64, event: Event) {
        self.sequence += 1;
        self.queue.insert((self.now_ms + delay_ms, self.sequence), event);
    }

    fn disconnect(&mut self, concerns: impl Fn([Place; 2]) -> bool) {
        let ended: Vec<u64> = self
            .wires
            .iter()
            .filter(|(_, wire)| wire.open && concerns([wire.ends[0].0, wire.ends[1].0]))
            .map(|(id, _)| *id)
            .collect();
        for id in ended {
            self.close(id, None);
        }
    }

    /// Ends a connection: whoever did not do it is told, after what was sent before.
    fn close(&mut self, id: u64, by: Option<usize>) {
        let Some(wire) = self.wires.get_mut(&id).filter(|wire| wire.open) else { return };
        wire.open = false;
        for to in (0..2).filter(|to| by != Some(*to)) {
            let delay_ms = (wire.last_ms[to] - self.now_ms).max(0) + 1;
            self.sequence += 1;
            self.queue.insert((self.now_ms + delay_ms, self.sequence), Event::Closed { wire: id, to });
        }
    }

    fn runs(&self, place: Place) -> bool {
        self.members[place].server.is_some()
    }

    fn is_current(&self, place: Place, incarnation: u64) -> bool {
        self.runs(place) && self.members[place].incarnation == incarnation
    }

    fn happen(&mut self, event: Event) {
        // A stopped server's events wait for it.
        if let Some(place) = self.place_of(&event)
            && self.members[place].is_paused
        {
            return self.after(TICK_MS, event);
        }
        match event {
            Event::Bytes { wire, to, bytes } => self.arrive(wire, to, &bytes),
            Event::Closed { wire, to } => self.told_closed(wire, to),
            Event::Connected { wire } => self.connected(wire),
            Event::DialFailed { place, incarnation, peer } => {
                if self.is_current(place, incarnation) {
                    let input = peer.map_or(PeerInput::NoLeader, |peer| PeerInput::DialFailed { peer });
                    self.input(place, input);
                }
            }
            Event::LogWritten { place, incarnation } => {
                if self.is_current(place, incarnation) {
                    self.log_written(place);
                }
            }
            Event::EpochsWritten { place, incarnation, epochs } => {
                if self.is_current(place, incarnation) {
                    self.members[place].epochs = epochs;
                    self.input(place, PeerInput::EpochsWritten(epochs));
                }
            }
            Event::LogRead { place, incarnation, peer, part } => {
                if self.is_current(place, incarnation) {
                    self.input(place, PeerInput::LogRead { peer, part });
                }
            }
            Event::ConfigWritten { place, incarnation, number, config } => {
                if self.is_current(place, incarnation) {
                    self.members[place].config = config;
                    self.input(place, PeerInput::ConfigWritten(number));
                }
            }
            Event::Tick { place, incarnation } => {
                if self.is_current(place, incarnation) {
                    self.after(TICK_MS / 2, Event::Tick { place, incarnation });
                    let now_ms = self.now_ms;
                    if let Some(server) = &mut self.members[place].server {
                        server.at(now_ms);
                        server.shard.tick();
                        server.quorum.tick();
                    }
                    self.act(place);
                }
            }
            Event::Deadline { place, incarnation } => {
                if self.is_current(place, incarnation) {
                    let now_ms = self.now_ms;
                    if let Some(server) = &mut self.members[place].server {
                        server.at(now_ms);
                        server.quorum.elapse();
                    }
                    self.act(place);
                }
            }
        }
    }

    fn place_of(&self, event: &Event) -> Option<Place> {
        match event {
            Event::Bytes { wire, to, .. } | Event::Closed { wire, to } => {
                self.wires.get(wire).map(|wire| wire.ends[*to].0)
            }
            Event::Connected { .. } => None,
            Event::DialFailed { place, .. }
            | Event::LogWritten { place, .. }
            | Event::EpochsWritten { place, .. }
            | Event::LogRead { place, .. }
            | Event::ConfigWritten { place, .. }
            | Event::Tick { place, .. }
            | Event::Deadline { place, .. } => Some(*place),
        }
    }

    fn input(&mut self, place: Place, input: PeerInput<'_>) {
        let now_ms = self.now_ms;
        if let Some(server) = &mut self.members[place].server {
            server.at(now_ms);
            server.quorum.peer(input);
        }
        self.act(place);
    }

    /// A connection stands: both ends are told, the one that accepts an election connection when it is said whose it is.
    fn connected(&mut self, id: u64) {
        let Some(wire) = self.wires.get(&id).filter(|wire| wire.open) else { return };
        let ends = wire.ends;
        for (place, end) in ends {
            match end {
                End::Link(link) => {
                    let peer = ServerId(ends[1].0 as i64 + 1);
                    self.input(place, PeerInput::Dialled { peer, link });
                }
                End::Leader => self.input(place, PeerInput::Leader),
                End::Learner(peer) => self.input(place, PeerInput::Learner(peer)),
                End::Unknown(_) => {}
            }
        }
    }

    fn arrive(&mut self, id: u64, to: usize, bytes: &[u8]) {
        let Some(wire) = self.wires.get_mut(&id) else { return };
        let (place, end) = wire.ends[to];
        match end {
            End::Unknown(link) => {
                wire.ends[to].1 = End::Link(link);
                // It is sent at once, and so it comes.
                let (initial, length) = InitialMessage::decode(bytes).expect("our own").expect("whole");
                self.input(place, PeerInput::Accepted { link, initial });
                if length < bytes.len() {
                    self.input(place, PeerInput::Received { link, bytes: &bytes[length..] });
                }
            }
            End::Link(link) => self.input(place, PeerInput::Received { link, bytes }),
            End::Leader => self.input(place, PeerInput::FromLeader(bytes)),
            End::Learner(peer) => self.input(place, PeerInput::FromLearner { peer, bytes }),
        }
    }

    fn told_closed(&mut self, id: u64, to: usize) {
        let Some(wire) = self.wires.get(&id) else { return };
        let (place, end) = wire.ends[to];
        if !self.runs(place) {
            return;
        }
        match end {
            End::Unknown(_) => {}
            End::Link(link) => self.input(place, PeerInput::Closed { link }),
            End::Leader => self.input(place, PeerInput::LeaderGone),
            End::Learner(peer) => self.input(place, PeerInput::LearnerGone(peer)),
        }
    }

    fn log_written(&mut self, place: Place) {
        let now_ms = self.now_ms;
        let member = &mut self.members[place];
        let (Some(server), Some(write)) = (&mut member.server, member.write.take()) else { return };
        let path = Path::new(DIR).join(write.segment.file_name());
        let bytes = server.quorum.log().bytes(&write).to_vec();
        member.disk.write_synced(&path, write.offset, &bytes).expect("the disk is well");
        server.at(now_ms);
        server.quorum.written();
        self.act(place);
    }

    /// Lets a server do what there is to do, and carries out what it wants done.
    pub fn act(&mut self, place: Place) {
        let incarnation = self.members[place].incarnation;
        let now_ms = self.now_ms;
        for _ in 0..1000 {
            let Member { server: Some(server), write, .. } = &mut self.members[place] else { return };
            let mut worked = false;
            server.at(now_ms);
            server.shard.end_turn();
            if let Some(inbound) = server.shard.take_outbound() {
                server.quorum.handle(inbound);
                worked = true;
            }
            if write.is_none()
                && let Some(next) = server.quorum.next_write()
            {
                *write = Some(next);
                worked = true;
                let delay_ms = self.slow.get(&place).copied().unwrap_or(1 + self.choices.pick(4) as i64);
                self.after(delay_ms, Event::LogWritten { place, incarnation });
            }
            let Member { server: Some(server), wanting, .. } = &mut self.members[place] else { return };
            server.prepare_real_segment();
            let mut streams = vec![];
            if let Some(zxid) = server.write_snapshot() {
                let stream = server.snapshot_stream(zxid);
                streams.extend(wanting.drain(..).map(|peer| (peer, zxid, stream.clone())));
                worked = true;
            } else if !wanting.is_empty() {
                server.quorum.capture_snapshot();
            }
            for (peer, zxid, stream) in streams {
                self.send(place, End::Learner(peer), stream);
                if let Some(server) = &mut self.members[place].server {
                    server.quorum.peer(PeerInput::SnapshotSent { peer, zxid });
                }
            }
            let Member { server: Some(server), .. } = &mut self.members[place] else { return };
            while server.quorum.publish_answers() {
                worked = true;
            }
            worked |= server.quorum.take_published();
            server.shard.take_in();
            let mut ids = vec![];
            server.shard.take_interest(&mut ids);
            server.shard.take_dirty(&mut ids);
            server.shard.take_ended(&mut server.ended);
            let effects = server.quorum.take_effects();
            let deadline_ms = server.quorum.deadline_ms();
            worked |= !effects.is_empty();
            for effect in effects {
                self.effect(place, effect);
            }
            if !worked {
                if let Some(deadline_ms) = deadline_ms {
                    self.after((deadline_ms - now_ms).max(1), Event::Deadline { place, incarnation });
                }
                break;
            }
        }
        self.note_leader(place);
    }

    fn note_leader(&mut self, place: Place) {
        if self.standing(place) == Some(Standing::Leading) && self.serves(place) {
            let Some((zxid, _)) = self.digest(place) else { return };
            match self.leaders.insert(zxid.epoch(), place) {
                None => self.elections += 1,
                Some(before) => assert_eq!(before, place, "two leaders in epoch {}", zxid.epoch()),
            }
        }
    }

    fn effect(&mut self, place: Place, effect: Effect) {
        let incarnation = self.members[place].incarnation;
        match effect {
            Effect::Dial { peer, .. } => {
                let to = peer.0 as usize - 1;
                let link = LinkId(self.fresh());
                let ends = [(place, End::Link(link)), (to, End::Unknown(LinkId(self.fresh())))];
                self.dial(ends, Event::DialFailed { place, incarnation, peer: Some(peer) });
            }
            Effect::DialLeader { leader, .. } => {
                let to = leader.0 as usize - 1;
                let ends = [(place, End::Leader), (to, End::Learner(PeerId(self.fresh())))];
                self.dial(ends, Event::DialFailed { place, incarnation, peer: None });
            }
            Effect::Write { link, bytes } => {
                self.send(place, End::Link(link), bytes);
                self.input_later_written(place, link);
            }
            Effect::ToLearner { peer, bytes } => self.send(place, End::Learner(peer), bytes),
            Effect::ToLeader(bytes) => self.send(place, End::Leader, bytes),
            Effect::Close { link } => self.close_end(place, End::Link(link)),
            Effect::CloseLearner(peer) => self.close_end(place, End::Learner(peer)),
            Effect::CloseLeader => self.close_end(place, End::Leader),
            Effect::WriteEpochs(epochs) => {
                let delay_ms = 1 + self.choices.pick(4) as i64;
                self.after(delay_ms, Event::EpochsWritten { place, incarnation, epochs });
            }
            Effect::WriteConfig { number, config } => {
                // In the order they were asked for, like all that one thread does.
                let at_ms = (self.now_ms + 1 + self.choices.pick(10) as i64).max(self.members[place].files_ms + 1);
                self.members[place].files_ms = at_ms;
                self.after(at_ms - self.now_ms, Event::ConfigWritten { place, incarnation, number, config });
            }
            // All disks are whole from the beginning.
            Effect::MarkComplete => {}
            Effect::CutLog(zxid) => {
                let done = self.members[place].server.as_mut().expect("it runs").cut_log(zxid);
                let input = if done { PeerInput::LogCut(zxid) } else { PeerInput::LogCutFailed };
                self.input(place, input);
            }
            Effect::ReadLog { peer, stretch } => {
                let part = self.members[place].server.as_ref().expect("it runs").read_log(&stretch);
                self.log_reads += 1;
                let delay_ms = 1 + self.choices.pick(10) as i64;
                self.after(delay_ms, Event::LogRead { place, incarnation, peer, part });
            }
            Effect::SendSnapshot { peer, .. } => self.members[place].wanting.push(peer),
            Effect::InstallSnapshot(job) => {
                let zxid = job.zxid;
                self.members[place].server.as_mut().expect("it runs").install_snapshot(*job);
                self.input(place, PeerInput::SnapshotInstalled(zxid));
            }
            Effect::Fail(fatal) => panic!("server {}: {fatal}", place + 1),
        }
    }

    /// The system has taken the bytes: at once, as it mostly does.
    fn input_later_written(&mut self, place: Place, link: LinkId) {
        let now_ms = self.now_ms;
        if let Some(server) = &mut self.members[place].server {
            server.at(now_ms);
            server.quorum.peer(PeerInput::Written { link });
        }
    }

    fn fresh(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    fn is_through(&self, from: Place, to: Place) -> bool {
        !self.cut.contains(&(from, to)) && !self.cut.contains(&(to, from))
    }

    fn dial(&mut self, ends: [(Place, End); 2], failed: Event) {
        let (from, to) = (ends[0].0, ends[1].0);
        let delay_ms = 1 + self.choices.pick(5) as i64;
        if !self.runs(to) || self.members[to].is_paused || !self.is_through(from, to) {
            return self.after(delay_ms + 20, failed);
        }
        let wire = self.fresh();
        self.wires.insert(wire, Wire { ends, last_ms: [self.now_ms; 2], open: true });
        self.after(delay_ms, Event::Connected { wire });
    }

    fn wire_of(&self, place: Place, end: End) -> Option<(u64, usize)> {
        self.wires.iter().filter(|(_, wire)| wire.open).find_map(|(id, wire)| {
            let at = wire.ends.iter().position(|(at, its)| *at == place && *its == end)?;
            Some((*id, at))
        })
    }

    fn send(&mut self, place: Place, end: End, bytes: Vec<u8>) {
        let Some((id, from)) = self.wire_of(place, end) else { return };
        let to = 1 - from;
        let wire = self.wires.get_mut(&id).expect("just found");
        if self.cut.contains(&(place, wire.ends[to].0)) {
            // Lost: what comes behind it is useless, but nobody knows that yet.
            return;
        }
        let at_ms = (self.now_ms + 1 + self.choices.pick(5) as i64).max(wire.last_ms[to]);
        wire.last_ms[to] = at_ms;
        self.after(at_ms - self.now_ms, Event::Bytes { wire: id, to, bytes });
    }

    fn close_end(&mut self, place: Place, end: End) {
        if let Some((id, at)) = self.wire_of(place, end) {
            self.close(id, Some(at));
        }
    }
}

#[cfg(test)]
#[path = "roles_tests.rs"]
mod roles_tests;
#[cfg(test)]
#[path = "cluster_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "reconfig_tests.rs"]
mod reconfig_tests;

#[cfg(test)]
#[path = "reconfig_faults_tests.rs"]
mod reconfig_faults_tests;

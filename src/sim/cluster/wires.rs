//! What servers send each other, and what a test does to that.

use super::Cluster;
use super::event::{Event, Place};
use super::network::{End, Wire};
use crate::jute::election::InitialMessage;
use crate::server::quorum::{Input, PeerInput};
use crate::zab::leader::PeerId;
use crate::zab::links::{Address, LinkId};
use crate::zab::voters::{MemberAddress, ServerId};

/// Bytes that a member reads at once.
const READ: usize = 256 << 10;

impl Cluster {
    /// Lets nothing through from one server to another, in that direction; connections stay until someone gives them up.
    pub fn cut(&mut self, from: Place, to: Place) {
        self.network.cut.insert((from, to));
    }

    /// Holds everything up from one server to another, in that direction.
    pub fn clog(&mut self, from: Place, to: Place) {
        self.network.clogged.insert((from, to));
    }

    /// Lets through what was held up, and everything after it.
    pub fn unclog(&mut self, from: Place, to: Place) {
        if !self.network.clogged.remove(&(from, to)) {
            return;
        }
        let mut freed = vec![];
        for wire in self.network.wires.values_mut() {
            for to_end in 0..2 {
                if (wire.ends[1 - to_end].0, wire.ends[to_end].0) == (from, to) {
                    freed.extend(wire.stalled[to_end].drain(..));
                }
            }
        }
        freed.into_iter().for_each(|event| self.happen(event));
    }

    /// Makes a direction slower than usual by so much, 0 for as usual.
    pub fn slow(&mut self, from: Place, to: Place, ms: i64) {
        self.network.slow_ms.insert((from, to), ms);
    }

    /// Heals the network. What was lost makes connections useless: they end.
    pub fn heal(&mut self) {
        let cut = std::mem::take(&mut self.network.cut);
        self.disconnect(|ends| cut.contains(&(ends[0], ends[1])) || cut.contains(&(ends[1], ends[0])));
        for (from, to) in self.network.clogged.clone() {
            self.unclog(from, to);
        }
        self.network.slow_ms.clear();
    }

    /// Resets the connections between two servers. How many there were.
    pub fn reset(&mut self, a: Place, b: Place) -> usize {
        let before = self.network.wires.values().filter(|wire| wire.open).count();
        self.disconnect(|ends| ends == [a, b] || ends == [b, a]);
        before - self.network.wires.values().filter(|wire| wire.open).count()
    }

    pub(super) fn disconnect(&mut self, concerns: impl Fn([Place; 2]) -> bool) {
        let ended: Vec<u64> = self
            .network
            .wires
            .iter()
            .filter(|(_, wire)| wire.open && concerns([wire.ends[0].0, wire.ends[1].0]))
            .map(|(id, _)| *id)
            .collect();
        for id in ended {
            self.tear(id);
            self.close(id, None);
        }
    }

    /// A server is gone: its ends hear nothing more.
    pub(super) fn silence(&mut self, place: Place) {
        for wire in self.network.wires.values_mut() {
            for at in 0..2 {
                wire.deaf[at] |= wire.ends[at].0 == place;
            }
        }
        self.network.wires.retain(|_, wire| wire.deaf != [true; 2]);
        self.network.ends.retain(|(of, _), _| *of != place);
    }

    /// The last bytes under way in each direction arrive in part.
    fn tear(&mut self, id: u64) {
        for to in 0..2 {
            let last = self.queue.iter_mut().rev().find_map(|(_, event)| match event {
                Event::Bytes { wire, to: at, bytes } if *wire == id && *at == to => Some(bytes),
                _ => None,
            });
            if let Some(bytes) = last {
                let kept = self.choices.pick(bytes.len() + 1);
                bytes.truncate(kept);
            }
        }
    }

    /// Ends a connection: whoever did not do it is told, after what was sent before.
    fn close(&mut self, id: u64, by: Option<usize>) {
        let Some(wire) = self.network.wires.get_mut(&id) else { return };
        if let Some(at) = by {
            wire.deaf[at] = true;
            let end = wire.ends[at];
            self.network.ends.remove(&end);
        }
        if !std::mem::replace(&mut wire.open, false) {
            return;
        }
        let last_ms = wire.last_ms;
        for to in (0..2).filter(|to| by != Some(*to)) {
            let delay_ms = (last_ms[to] - self.now_ms).max(0) + 1;
            self.after(delay_ms, Event::Closed { wire: id, to });
        }
    }

    /// Somebody who is none of them connects to where a server takes learners, and sends this. What it is answered nobody
    /// hears.
    pub fn stranger(&mut self, place: Place, bytes: &[u8]) -> PeerId {
        let peer = PeerId(self.fresh());
        self.input(place, PeerInput::Learner(peer));
        self.goes_on(place, peer, bytes);
        peer
    }

    /// It sends more.
    pub fn goes_on(&mut self, place: Place, peer: PeerId, bytes: &[u8]) {
        self.input(place, PeerInput::FromLearner { peer, bytes });
    }

    /// A connection stands, for one of its ends. The one that accepts an election connection is told when it is said
    /// whose it is.
    pub(super) fn connected(&mut self, id: u64, to: usize) {
        let Some(wire) = self.network.wires.get_mut(&id).filter(|wire| wire.open) else { return };
        wire.connected[to] = true;
        let (place, end) = wire.ends[to];
        match end {
            End::Link(link) => {
                let peer = ServerId(wire.ends[1 - to].0 as i64 + 1);
                self.input(place, PeerInput::Dialled { peer, link });
            }
            End::Leader => {
                self.members[place].due = self.oracle.last();
                self.input(place, PeerInput::Leader);
            }
            End::Learner(peer) => self.input(place, PeerInput::Learner(peer)),
            End::Unknown(_) => {}
        }
    }

    /// Keeps back what comes through a clogged direction; gives back everything else.
    pub(super) fn hold_up(&mut self, event: Event) -> Option<Event> {
        let (Event::Bytes { wire, to, .. } | Event::Closed { wire, to }) = &event else { return Some(event) };
        let to = *to;
        let Some(wire) = self.network.wires.get_mut(wire) else { return Some(event) };
        let direction = (wire.ends[1 - to].0, wire.ends[to].0);
        if self.network.clogged.contains(&direction) || !wire.stalled[to].is_empty() {
            wire.stalled[to].push_back(event);
            return None;
        }
        Some(event)
    }

    pub(super) fn arrive(&mut self, id: u64, to: usize, bytes: Vec<u8>) {
        let Some(wire) = self.network.wires.get_mut(&id) else { return };
        let (place, end) = wire.ends[to];
        if wire.deaf[to] || bytes.is_empty() {
            return;
        }
        match end {
            End::Unknown(link) => {
                wire.greeting.extend_from_slice(&bytes);
                let greeting = std::mem::take(&mut wire.greeting);
                let Some((initial, length)) = InitialMessage::decode(&greeting).expect("our own") else {
                    wire.greeting = greeting;
                    return;
                };
                self.network.ends.remove(&(place, end));
                let wire = self.network.wires.get_mut(&id).expect("just found");
                wire.ends[to].1 = End::Link(link);
                self.network.ends.insert((place, End::Link(link)), (id, to));
                self.input(place, PeerInput::Accepted { link, initial });
                if length < greeting.len() {
                    self.input(place, PeerInput::Received { link, bytes: &greeting[length..] });
                }
            }
            End::Link(link) => self.input(place, PeerInput::Received { link, bytes: &bytes }),
            End::Leader => {
                wire.unread.extend_from_slice(&bytes);
                self.read_leader(place);
                self.act(place);
            }
            End::Learner(peer) => self.input(place, PeerInput::FromLearner { peer, bytes: &bytes }),
        }
    }

    /// A member reads once what has come from its leader, if it takes more from there. Whether there was anything.
    pub(super) fn read_leader(&mut self, place: Place) -> bool {
        let Some((id, _)) = self.network.ends.get(&(place, End::Leader)) else { return false };
        let Some(wire) = self.network.wires.get_mut(id).filter(|wire| !wire.unread.is_empty()) else { return false };
        let Some(server) = self.members[place].server.as_mut().filter(|server| server.quorum.takes_from_leader())
        else {
            return false;
        };
        let rest = wire.unread.split_off(wire.unread.len().min(READ));
        let bytes = std::mem::replace(&mut wire.unread, rest);
        server.quorum.step(Input::Peer(PeerInput::FromLeader(&bytes)));
        true
    }

    pub(super) fn told_closed(&mut self, id: u64, to: usize) {
        let Some(wire) = self.network.wires.get_mut(&id) else { return };
        let (place, end) = wire.ends[to];
        let was_connected = wire.connected[to];
        let is_deaf = std::mem::replace(&mut wire.deaf[to], true);
        let peer = ServerId(wire.ends[1 - to].0 as i64 + 1);
        if wire.deaf == [true; 2] {
            self.network.wires.remove(&id);
        }
        if is_deaf {
            return;
        }
        self.network.ends.remove(&(place, end));
        if !self.runs(place) {
            return;
        }
        match end {
            End::Link(_) if !was_connected => self.input(place, PeerInput::DialFailed { peer }),
            End::Link(link) => self.input(place, PeerInput::Closed { link }),
            End::Leader if !was_connected => self.input(place, PeerInput::NoLeader),
            End::Leader => self.input(place, PeerInput::LeaderGone),
            End::Learner(peer) if was_connected => self.input(place, PeerInput::LearnerGone(peer)),
            End::Learner(_) | End::Unknown(_) => {}
        }
    }

    pub(super) fn dial_member(&mut self, place: Place, peer: ServerId, addresses: &[Address]) {
        let to = peer.0 as usize - 1;
        let link = LinkId(self.fresh());
        let ends = [(place, End::Link(link)), (to, End::Unknown(LinkId(self.fresh())))];
        let incarnation = self.members[place].incarnation;
        let failed = Event::DialFailed { place, incarnation, peer: Some(peer) };
        if self.listens(to, addresses, |address| address.election_port) {
            self.dial(ends, failed);
        } else {
            self.after(1, failed);
        }
    }

    pub(super) fn dial_leader(&mut self, place: Place, leader: ServerId, addresses: &[Address]) {
        let to = leader.0 as usize - 1;
        let ends = [(place, End::Leader), (to, End::Learner(PeerId(self.fresh())))];
        let incarnation = self.members[place].incarnation;
        let failed = Event::DialFailed { place, incarnation, peer: None };
        if self.listens(to, addresses, |address| address.quorum_port) {
            self.dial(ends, failed);
        } else {
            self.after(1, failed);
        }
    }

    /// Whether a server listens at one of these.
    fn listens(&self, place: Place, addresses: &[Address], port: impl Fn(&MemberAddress) -> u16) -> bool {
        let listens = self.members.get(place).and_then(|member| member.listens.peers.as_ref());
        let is_one =
            |at: &MemberAddress| addresses.iter().any(|(host, dialled)| *host == at.host && *dialled == port(at));
        listens.is_some_and(|listens| listens.iter().any(is_one))
    }

    fn dial(&mut self, ends: [(Place, End); 2], failed: Event) {
        let (from, to) = (ends[0].0, ends[1].0);
        let delay_ms = 1 + self.choices.pick(5) as i64;
        if !self.runs(to) || self.members[to].is_paused || !self.network.is_through(from, to) {
            return self.after(delay_ms + 20, failed);
        }
        let id = self.fresh();
        let wire = Wire {
            ends,
            last_ms: [self.now_ms + delay_ms; 2],
            stalled: Default::default(),
            greeting: vec![],
            unread: vec![],
            open: true,
            connected: [false; 2],
            deaf: [false; 2],
        };
        self.network.wires.insert(id, wire);
        for (at, end) in ends.into_iter().enumerate() {
            let older = self.network.ends.insert(end, (id, at));
            assert!(older.is_none(), "{end:?} has a connection");
            self.after(delay_ms, Event::Connected { wire: id, to: at });
        }
    }

    pub(super) fn send_link(&mut self, place: Place, link: LinkId, bytes: Vec<u8>) {
        self.send(place, End::Link(link), bytes);
        self.taken(place, link);
    }

    pub(super) fn send_learner(&mut self, place: Place, peer: PeerId, bytes: Vec<u8>) {
        self.send(place, End::Learner(peer), bytes);
    }

    /// A snapshot goes in pieces.
    pub(super) fn send_snapshot(&mut self, place: Place, peer: PeerId, stream: Vec<u8>) {
        for piece in stream.chunks(512) {
            self.send(place, End::Learner(peer), piece.to_vec());
        }
    }

    pub(super) fn send_leader(&mut self, place: Place, bytes: Vec<u8>) {
        self.send(place, End::Leader, bytes);
    }

    pub(super) fn close_link(&mut self, place: Place, link: LinkId) {
        self.close_end(place, End::Link(link));
    }

    pub(super) fn close_learner(&mut self, place: Place, peer: PeerId) {
        self.close_end(place, End::Learner(peer));
    }

    pub(super) fn close_leader(&mut self, place: Place) {
        self.close_end(place, End::Leader);
    }

    fn send(&mut self, place: Place, end: End, bytes: Vec<u8>) {
        let Some(&(id, from)) = self.network.ends.get(&(place, end)) else { return };
        let to = 1 - from;
        let Some(wire) = self.network.wires.get_mut(&id).filter(|wire| wire.open) else { return };
        let direction = (place, wire.ends[to].0);
        if self.network.cut.contains(&direction) {
            // Lost: what comes behind it is useless, but nobody knows that yet.
            return;
        }
        let slow_ms = self.network.slow_ms.get(&direction).copied().unwrap_or_default();
        let at_ms = (self.now_ms + 1 + slow_ms + self.choices.pick(5) as i64).max(wire.last_ms[to]);
        wire.last_ms[to] = at_ms;
        self.after(at_ms - self.now_ms, Event::Bytes { wire: id, to, bytes });
    }

    fn close_end(&mut self, place: Place, end: End) {
        if let Some(&(id, at)) = self.network.ends.get(&(place, end)) {
            self.close(id, Some(at));
        }
    }
}

//! The network between the servers: connections that keep their order, take their time, and break.
//!
//! A direction between two servers can be cut (what is sent is lost, and nobody is told), clogged (it waits), or slow. A
//! connection can be reset: what was under way comes in part, then both ends are told.

use super::event::{Event, Place};
use crate::zab::leader::PeerId;
use crate::zab::links::LinkId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// One end of a connection between servers, as its server calls it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum End {
    /// An election connection that was accepted and has not said whose it is.
    Unknown(LinkId),
    Link(LinkId),
    /// A learner's end.
    Leader,
    /// A leader's end.
    Learner(PeerId),
}

/// A connection between two servers.
pub(super) struct Wire {
    pub(super) ends: [(Place, End); 2],
    /// When the last bytes in each direction arrive: those behind them arrive no earlier.
    pub(super) last_ms: [i64; 2],
    /// Arrived, and held up by a clog.
    pub(super) stalled: [VecDeque<Event>; 2],
    /// Bytes of an initial message that has not come whole.
    pub(super) greeting: Vec<u8>,
    /// From a leader, and not taken in by its follower yet.
    pub(super) unread: Vec<u8>,
    pub(super) open: bool,
    /// Ends that know that it stands.
    pub(super) connected: [bool; 2],
    /// Ends that have closed it: they hear nothing more of it.
    pub(super) deaf: [bool; 2],
}

/// All connections, and what is done to them.
#[derive(Default)]
pub(super) struct Network {
    pub(super) wires: BTreeMap<u64, Wire>,
    /// Open connections by their ends.
    pub(super) ends: BTreeMap<(Place, End), (u64, usize)>,
    /// Directions in which nothing gets through.
    pub(super) cut: BTreeSet<(Place, Place)>,
    /// Directions in which everything waits.
    pub(super) clogged: BTreeSet<(Place, Place)>,
    /// What a direction takes on top of the usual, ms.
    pub(super) slow_ms: BTreeMap<(Place, Place), i64>,
}

impl Network {
    /// Whose end that is.
    pub(super) fn place(&self, wire: u64, to: usize) -> Option<Place> {
        self.wires.get(&wire).map(|wire| wire.ends[to].0)
    }

    /// Whose attempt to reach its leader that is, if it is one.
    #[cfg(test)]
    pub(super) fn to_leader(&self, wire: u64) -> Option<Place> {
        let (place, end) = self.wires.get(&wire)?.ends[0];
        (end == End::Leader).then_some(place)
    }

    pub(super) fn is_through(&self, from: Place, to: Place) -> bool {
        let dead = |direction| self.cut.contains(&direction) || self.clogged.contains(&direction);
        !dead((from, to)) && !dead((to, from))
    }
}

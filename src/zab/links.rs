//! The election's connections: one for each pair of servers, no matter which server needed it first.
//!
//! Both servers of a pair may dial; only the connection that the larger id opened stays. So a server that needs a larger one
//! dials it, says who it is, and is called back. While a message is on its way to a server the next one waits, and a newer
//! one replaces it. [`Links`] decides all that; its owner dials, accepts, reads and writes. The rules are ZooKeeper's (3.9,
//! QuorumCnxManager), with two changes:
//!
//! - a server that was ever spoken to stays wanted: without a connection it is dialled again with growing
//!   pauses, not only when the next message comes, so that an election finds the connections it needs;
//! - nothing old is said over a new connection. ZooKeeper repeats the last message, which may be a vote of an
//!   election long over, and can make a restarted server believe that it leads. Here
//!   [`Output::Connected`] asks the election what it has to say now.
//!
//! A connection's first message says which server it comes from; certificates and passwords are checked before.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use super::election::STRANGERS;
use super::voters::{Config, ServerId, Voters};
use crate::jute::election::{ANONYMOUS, ElectionError, InitialMessage, frame, put_initial};
use crate::jute::wire::put_frame;

/// Messages that wait to be taken; beyond it the oldest is dropped, as in ZooKeeper: of votes only the newest
/// counts.
pub(crate) const INBOX: usize = 100;

/// One connection, as its holder calls it; never used again for another one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LinkId(pub u64);

/// A host (IPv6 without brackets) and its election port.
pub(crate) type Address = (String, u16);

/// The pauses between two attempts to reach a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// After the first failure; doubled with every further one.
    pub(crate) min_backoff_ms: i64,
    pub(crate) max_backoff_ms: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { min_backoff_ms: 100, max_backoff_ms: 5_000 }
    }
}

/// What happens to the connections.
#[derive(Clone, Debug)]
pub(crate) enum Input<'a> {
    /// A message for another server. Dropped if there is no connection, but that server is dialled then.
    Send { to: ServerId, payload: Arc<[u8]> },
    /// Reach every voter without a connection now.
    Reconnect,
    /// The connection that [`Output::Dial`] asked for stands.
    Dialled { peer: ServerId, link: LinkId },
    /// It could not be made. Every dial ends in one or the other.
    DialFailed { peer: ServerId },
    /// A server has connected, and has sent its initial message.
    Accepted { link: LinkId, initial: InitialMessage<'a> },
    /// Bytes from a connection, after its initial message.
    Received { link: LinkId, bytes: &'a [u8] },
    /// The bytes of one [`Output::Write`] have left.
    Written { link: LinkId },
    /// The connection ended. Not needed after [`Output::Close`], and harmless.
    Closed { link: LinkId },
    /// The configuration is another one now.
    Reconfigured(&'a Config),
    /// Time passed, see [`Links::deadline_ms`].
    Tick,
}

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Output {
    /// Connect to the first of these addresses that answers.
    Dial { peer: ServerId, addresses: Vec<Address> },
    /// Write these bytes, and say so with [`Input::Written`]. The first after [`Input::Dialled`] is the
    /// initial message; the SASL exchange, if there is one, follows it.
    Write { link: LinkId, bytes: Vec<u8> },
    /// End the connection, after what was given to it to write.
    Close { link: LinkId, reason: CloseReason },
    /// There is a live connection to this server, or another one than before: say what there is to say.
    Connected(ServerId),
    /// There is none any more.
    Disconnected(ServerId),
}

/// Why a connection was ended from this side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CloseReason {
    /// The other server has the larger id: it calls back.
    TheirsToOpen,
    /// This server has the larger id: it dials.
    OursToOpen,
    /// There is a newer connection to that server.
    Replaced,
    /// It claims this server's own id.
    OwnId,
    /// Too many servers that no configuration lists.
    Strangers,
    /// That server is not in the configuration any more.
    Removed,
    /// It does not keep to the protocol.
    Malformed(ElectionError),
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CloseReason::TheirsToOpen => "the server with the larger id opens the connection",
            CloseReason::OursToOpen => "this server has the larger id and opens the connection",
            CloseReason::Replaced => "there is a newer connection to that server",
            CloseReason::OwnId => "it claims this server's own id: two servers have the same myid",
            CloseReason::Strangers => "too many servers that no configuration lists",
            CloseReason::Removed => "that server is not in the configuration any more",
            CloseReason::Malformed(error) => return write!(f, "{error}"),
        })
    }
}

/// All election connections of one server.
pub(crate) struct Links {
    me: ServerId,
    settings: Settings,
    /// All of this server's addresses are announced.
    several: bool,
    /// What this server says first.
    initial: Vec<u8>,
    /// The others of the configuration: where they are, and whether they vote.
    members: BTreeMap<ServerId, Place>,
    /// Those of the configuration that were needed, and strangers while they are connected.
    peers: BTreeMap<ServerId, Peer>,
    links: BTreeMap<LinkId, Link>,
    inbox: VecDeque<(ServerId, Vec<u8>)>,
    anonymous: i64,
}

struct Place {
    addresses: Vec<Address>,
    votes: bool,
}

/// Another server.
struct Peer {
    link: Option<LinkId>,
    dialling: bool,
    /// Not before this time; `None`: at once.
    retry_at_ms: Option<i64>,
    backoff_ms: i64,
    /// Where it said to be, when it last connected.
    announced: Vec<Address>,
    /// There was something to say to it.
    wanted: bool,
    /// What is to be written next.
    unsent: Option<Arc<[u8]>>,
}

/// A connection that is kept.
struct Link {
    peer: ServerId,
    /// A write is under way; the next one waits, and may be replaced meanwhile.
    writing: bool,
    /// The beginning of a frame; shorter than the longest one.
    partial: Vec<u8>,
}

impl Links {
    /// No connections yet. `own` are this server's election addresses, at least one; `several` says that all
    /// of them are announced (`multiAddress.enabled`), in a form that servers before 3.6 do not know.
    pub(crate) fn new(me: ServerId, config: &Config, own: &[(&str, u16)], several: bool, settings: Settings) -> Links {
        let mut initial = vec![];
        put_initial(&mut initial, me.0, own, several);
        Links {
            me,
            settings,
            several,
            initial,
            members: members(config, me),
            peers: BTreeMap::new(),
            links: BTreeMap::new(),
            inbox: VecDeque::new(),
            anonymous: 0,
        }
    }

    /// The oldest message that was received and not taken, and whose it is.
    pub(crate) fn next_message(&mut self) -> Option<(ServerId, Vec<u8>)> {
        self.inbox.pop_front()
    }

    /// Whether there is a live connection to this server.
    #[cfg(test)]
    pub(crate) fn is_connected(&self, peer: ServerId) -> bool {
        self.peers.get(&peer).is_some_and(|peer| peer.link.is_some())
    }

    /// The latest time by which [`Input::Tick`] must come, if any.
    pub(crate) fn deadline_ms(&self) -> Option<i64> {
        self.peers.values().filter(|peer| peer.is_wanting()).map(|peer| peer.retry_at_ms.unwrap_or(0)).min()
    }

    /// Gives up all connections, which are to be closed: nothing is said to anybody any more.
    pub(crate) fn close_all(&mut self) -> Vec<LinkId> {
        self.peers.clear();
        std::mem::take(&mut self.links).into_keys().collect()
    }

    /// Takes one input.
    pub(crate) fn step(&mut self, input: Input<'_>, now_ms: i64) -> Vec<Output> {
        let mut out = vec![];
        match input {
            Input::Send { to, payload } => self.send(to, payload, now_ms, &mut out),
            Input::Reconnect => {
                let votes = self.members.iter().filter(|(_, place)| place.votes);
                for id in votes.map(|(id, _)| *id).collect::<Vec<_>>() {
                    self.dial(id, &mut out);
                }
            }
            Input::Dialled { peer, link } => self.dialled(peer, link, now_ms, &mut out),
            Input::DialFailed { peer } => {
                if let Some(state) = self.peers.get_mut(&peer) {
                    state.dialling = false;
                    // It may be elsewhere again; the configuration knows where.
                    state.announced.clear();
                    state.pause(now_ms, &self.settings);
                    self.forget_stranger(peer);
                }
            }
            Input::Accepted { link, initial } => self.accepted(link, &initial, now_ms, &mut out),
            Input::Received { link, bytes } => self.received(link, bytes, now_ms, &mut out),
            Input::Written { link } => {
                if let Some(state) = self.links.get_mut(&link) {
                    state.writing = false;
                    let peer = state.peer;
                    self.flush(peer, &mut out);
                }
            }
            Input::Closed { link } => {
                if let Some(peer) = self.links.get(&link).map(|link| link.peer) {
                    self.unlink(link, now_ms, &mut out);
                    self.forget_stranger(peer);
                }
            }
            Input::Reconfigured(config) => {
                self.members = members(config, self.me);
                let own = config.current().election_addresses(self.me);
                if !own.is_empty() {
                    self.initial.clear();
                    put_initial(&mut self.initial, self.me.0, &own, self.several);
                }
                for id in self.peers.keys().copied().collect::<Vec<_>>() {
                    self.forget_stranger(id);
                }
            }
            Input::Tick => {
                let is_due = |peer: &Peer| peer.is_wanting() && peer.retry_at_ms.is_none_or(|at_ms| now_ms >= at_ms);
                let due = self.peers.iter().filter(|(_, peer)| is_due(peer));
                for id in due.map(|(id, _)| *id).collect::<Vec<_>>() {
                    self.dial(id, &mut out);
                }
            }
        }
        out
    }

    fn send(&mut self, to: ServerId, payload: Arc<[u8]>, now_ms: i64, out: &mut Vec<Output>) {
        let Some(peer) = self.peer(to) else { return };
        peer.wanted = true;
        if peer.link.is_some() {
            peer.unsent = Some(payload);
            self.flush(to, out);
        } else if peer.retry_at_ms.is_none_or(|at_ms| now_ms >= at_ms) {
            self.dial(to, out);
        }
    }

    /// What is known of a server, if it may be spoken to at all.
    fn peer(&mut self, id: ServerId) -> Option<&mut Peer> {
        if self.members.contains_key(&id) {
            let backoff_ms = self.settings.min_backoff_ms;
            return Some(self.peers.entry(id).or_insert_with(|| Peer::new(backoff_ms)));
        }
        self.peers.get_mut(&id)
    }

    /// The same for a server that connected; `None` if there are too many that no configuration lists.
    fn peer_or_stranger(&mut self, id: ServerId) -> Option<&mut Peer> {
        if !self.members.contains_key(&id) && !self.peers.contains_key(&id) {
            let strangers = self.peers.keys().filter(|id| !self.members.contains_key(id)).count();
            if strangers >= STRANGERS {
                return None;
            }
            self.peers.insert(id, Peer::new(self.settings.min_backoff_ms));
        }
        self.peer(id)
    }

    /// A stranger is known while it is connected, or called back.
    fn forget_stranger(&mut self, id: ServerId) {
        let is_idle = self.peers.get(&id).is_some_and(|peer| peer.link.is_none() && !peer.dialling);
        if is_idle && !self.members.contains_key(&id) {
            self.peers.remove(&id);
        }
    }

    fn dial(&mut self, id: ServerId, out: &mut Vec<Output>) {
        let listed = self.members.get(&id).map(|place| place.addresses.clone()).unwrap_or_default();
        let Some(peer) = self.peer(id) else { return };
        if peer.link.is_some() || peer.dialling {
            return;
        }
        let mut addresses = peer.announced.clone();
        addresses.extend(listed.into_iter().filter(|address| !peer.announced.contains(address)));
        if addresses.is_empty() {
            return self.forget_stranger(id);
        }
        peer.dialling = true;
        out.push(Output::Dial { peer: id, addresses });
    }

    fn dialled(&mut self, id: ServerId, link: LinkId, now_ms: i64, out: &mut Vec<Output>) {
        let me = self.me;
        let settings = self.settings;
        let Some(peer) = self.peers.get_mut(&id).filter(|peer| peer.dialling) else {
            return out.push(Output::Close { link, reason: CloseReason::Removed });
        };
        peer.dialling = false;
        out.push(Output::Write { link, bytes: self.initial.clone() });
        if id > me {
            // If it does not call back, it is asked again.
            if peer.link.is_none() {
                peer.pause(now_ms, &settings);
            }
            out.push(Output::Close { link, reason: CloseReason::TheirsToOpen });
            self.forget_stranger(id);
        } else {
            self.keep(id, link, true, out);
        }
    }

    fn accepted(&mut self, link: LinkId, initial: &InitialMessage<'_>, now_ms: i64, out: &mut Vec<Output>) {
        let id = if initial.server == ANONYMOUS {
            // An observer without an id is given an id that no server has. It states the largest possible id, so its
            // connection is the one that stays.
            self.anonymous -= 1;
            ServerId(self.anonymous)
        } else {
            ServerId(initial.server)
        };
        if id == self.me {
            return out.push(Output::Close { link, reason: CloseReason::OwnId });
        }
        let ours_to_open = (0..self.me.0).contains(&id.0);
        let Some(peer) = self.peer_or_stranger(id) else {
            return out.push(Output::Close { link, reason: CloseReason::Strangers });
        };
        peer.announced = initial.addresses.iter().map(|(host, port)| ((*host).to_owned(), *port)).collect();
        if !ours_to_open {
            return self.keep(id, link, false, out);
        }
        out.push(Output::Close { link, reason: CloseReason::OursToOpen });
        // It would not have dialled if the old connection were alive at its end.
        if let Some(old) = peer.link {
            out.push(Output::Close { link: old, reason: CloseReason::Replaced });
            self.unlink(old, now_ms, out);
        }
        self.dial(id, out);
    }

    /// From now on this is the connection to that server.
    fn keep(&mut self, id: ServerId, link: LinkId, writing: bool, out: &mut Vec<Output>) {
        let backoff_ms = self.settings.min_backoff_ms;
        let Some(peer) = self.peers.get_mut(&id) else { return };
        (peer.retry_at_ms, peer.backoff_ms) = (None, backoff_ms);
        peer.unsent = None;
        let old = peer.link.replace(link);
        self.links.insert(link, Link { peer: id, writing, partial: vec![] });
        if let Some(old) = old {
            self.links.remove(&old);
            out.push(Output::Close { link: old, reason: CloseReason::Replaced });
        }
        out.push(Output::Connected(id));
    }

    /// Writes what is unsent, if nothing is under way.
    fn flush(&mut self, id: ServerId, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let Some((id, link)) = peer.link.and_then(|id| Some((id, self.links.get_mut(&id)?))) else { return };
        if link.writing {
            return;
        }
        if let Some(payload) = peer.unsent.take() {
            link.writing = true;
            let mut bytes = Vec::with_capacity(4 + payload.len());
            put_frame(&mut bytes, |bytes| bytes.extend_from_slice(&payload));
            out.push(Output::Write { link: id, bytes });
        }
    }

    fn received(&mut self, id: LinkId, bytes: &[u8], now_ms: i64, out: &mut Vec<Output>) {
        // Bytes that were on their way when the connection was given up.
        let Some(link) = self.links.get_mut(&id) else { return };
        link.partial.extend_from_slice(bytes);
        let mut taken = 0;
        let error = loop {
            match frame(&link.partial[taken..]) {
                Ok(Some((payload, length))) => {
                    if self.inbox.len() == INBOX {
                        self.inbox.pop_front();
                    }
                    self.inbox.push_back((link.peer, payload.to_vec()));
                    taken += length;
                }
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        match error {
            None => drop(link.partial.drain(..taken)),
            Some(error) => {
                let peer = link.peer;
                out.push(Output::Close { link: id, reason: CloseReason::Malformed(error) });
                self.unlink(id, now_ms, out);
                self.forget_stranger(peer);
            }
        }
    }

    /// A kept connection is no more.
    fn unlink(&mut self, link: LinkId, now_ms: i64, out: &mut Vec<Output>) {
        let Some(Link { peer: id, .. }) = self.links.remove(&link) else { return };
        out.push(Output::Disconnected(id));
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.link = None;
            // Not in a circle with one that closes at once.
            peer.pause(now_ms, &self.settings);
        }
    }
}

impl Peer {
    fn new(backoff_ms: i64) -> Peer {
        Peer {
            link: None,
            dialling: false,
            retry_at_ms: None,
            backoff_ms,
            announced: vec![],
            wanted: false,
            unsent: None,
        }
    }

    fn is_wanting(&self) -> bool {
        self.wanted && self.link.is_none() && !self.dialling
    }

    fn pause(&mut self, now_ms: i64, settings: &Settings) {
        self.retry_at_ms = Some(now_ms + self.backoff_ms);
        self.backoff_ms = (self.backoff_ms * 2).min(settings.max_backoff_ms);
    }
}

/// All members except this server; the addresses of the current configuration come before those of the pending one.
fn members(config: &Config, me: ServerId) -> BTreeMap<ServerId, Place> {
    let mut members: BTreeMap<ServerId, Place> = BTreeMap::new();
    for member in config.all().flat_map(Voters::members).filter(|member| member.id != me) {
        let votes = config.is_voter(member.id);
        let place = members.entry(member.id).or_insert_with(|| Place { addresses: vec![], votes });
        for address in &member.addresses {
            let address = (address.host.clone(), address.election_port);
            if !place.addresses.contains(&address) {
                place.addresses.push(address);
            }
        }
    }
    members
}

#[cfg(test)]
mod tests;

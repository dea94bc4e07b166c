//! What a role asks to be sent, and what must be durable before.
//!
//! A [`Message`] is a packet that owns its bytes; a transaction in it is shared with the log and with all
//! other peers. An [`After`] beside an output says what it has to wait for, and [`Gate`] does the waiting:
//! the only place where "not before it is durable" is carried out, the same in production and in tests.

use crate::ids::Zxid;
use crate::jute::quorum::{Identities, Packet, PacketType, put_head};
use crate::jute::wire::{put_buffer, put_int, put_long};
use crate::zab::epochs::Epochs;
use crate::zab::voters::ServerId;
use std::collections::VecDeque;
use std::sync::Arc;

/// The data of a [`Message`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Data {
    Null,
    Bytes(Vec<u8>),
    Txn(Arc<[u8]>),
    /// The designated leader from here on, and the reconfiguration that designates it.
    Designated(ServerId, Arc<[u8]>),
}

/// The identities that go with a forwarded request.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Auth {
    pub count: usize,
    /// The records as they stand on the wire.
    pub bytes: Vec<u8>,
}

impl Auth {
    /// A copy of a packet's identities. A null list and an empty one mean the same to the check of a request.
    pub(crate) fn of(packet: &Packet<'_>) -> Auth {
        let identities = packet.auth.unwrap_or(Identities::NONE);
        Auth { count: identities.len(), bytes: identities.bytes().to_vec() }
    }
}

/// A packet to be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Message {
    pub kind: PacketType,
    pub zxid: Zxid,
    pub data: Data,
    /// Null on the wire where `None`: in everything but REQUEST.
    pub auth: Option<Auth>,
}

impl Message {
    /// A packet of type and zxid alone.
    pub(crate) fn bare(kind: PacketType, zxid: Zxid) -> Self {
        Message { kind, zxid, data: Data::Null, auth: None }
    }

    /// A packet with data of its own.
    pub(crate) fn with(kind: PacketType, zxid: Zxid, data: Vec<u8>) -> Self {
        Message { kind, zxid, data: Data::Bytes(data), auth: None }
    }

    /// A packet that carries a transaction.
    pub(crate) fn txn(kind: PacketType, zxid: Zxid, bytes: &Arc<[u8]>) -> Self {
        Message { kind, zxid, data: Data::Txn(bytes.clone()), auth: None }
    }

    /// Appends the packet.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        put_head(out, self.kind, self.zxid);
        match &self.data {
            Data::Null => put_buffer(out, None),
            Data::Bytes(bytes) => put_buffer(out, Some(bytes)),
            Data::Txn(bytes) => put_buffer(out, Some(bytes)),
            Data::Designated(leader, bytes) => {
                put_int(out, bytes.len() as i32 + 8);
                put_long(out, leader.0);
                out.extend_from_slice(bytes);
            }
        }
        match &self.auth {
            None => put_int(out, -1),
            Some(auth) => {
                put_int(out, auth.count as i32);
                out.extend_from_slice(&auth.bytes);
            }
        }
    }
}

/// What must be durable on this server first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum After {
    /// May be done at once.
    Nothing,
    /// Everything up to this zxid, in the log or in a snapshot.
    Log(Zxid),
    /// These epochs, or newer ones.
    Epochs(Epochs),
}

/// An output that may have to wait until the log or the epochs are durable.
pub(crate) trait Gated {
    /// What the output waits for.
    fn after(&self) -> After;

    /// Whether it cuts the log or replaces it: what was durable before counts no more.
    fn restarts_log(&self) -> bool;
}

/// Holds outputs back until what they wait for is durable, and lets them go in the order they came.
///
/// A gate belongs to one role and ends with it: outputs that an old role still held are never carried out. A gate has no
/// limit of its own: a follower decodes no packet of its leader while the log has no room, and a leader limits its
/// outstanding proposals.
#[derive(Debug)]
pub(crate) struct Gate<T> {
    /// `None` while the log is being cut or replaced.
    log: Option<Zxid>,
    epochs: Epochs,
    held: VecDeque<T>,
}

impl<T: Gated> Gate<T> {
    /// A gate at the beginning of a role: all writes of roles before it have ended.
    pub(crate) fn new(log: Zxid, epochs: Epochs) -> Self {
        Gate { log: Some(log), epochs, held: VecDeque::new() }
    }

    /// Gives `output` back if nothing keeps it, or holds it.
    pub(crate) fn pass(&mut self, output: T) -> Option<T> {
        if output.restarts_log() {
            assert!(output.after() == After::Nothing, "what cuts the log does not wait for it");
            self.log = None;
        }
        let after = output.after();
        if after == After::Nothing || (self.held.is_empty() && self.open(after)) {
            return Some(output);
        }
        self.held.push_back(output);
        None
    }

    /// Everything up to `zxid` is durable, a cut or a replacement before it included. Afterwards [`Gate::next`]
    /// gives what waited for it.
    pub(crate) fn log_durable(&mut self, zxid: Zxid) {
        self.log = Some(self.log.map_or(zxid, |log| log.max(zxid)));
    }

    /// These epochs are durable. Afterwards [`Gate::next`] gives what waited for them.
    pub(crate) fn epochs_durable(&mut self, epochs: Epochs) {
        assert!(epochs.reach(self.epochs), "epochs went from {:?} to {epochs:?}", self.epochs);
        self.epochs = epochs;
    }

    /// The next output that need not wait any longer.
    pub(crate) fn next(&mut self) -> Option<T> {
        let after = self.held.front()?.after();
        if self.open(after) { self.held.pop_front() } else { None }
    }

    /// The number of outputs that wait.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    fn open(&self, after: After) -> bool {
        match after {
            After::Nothing => true,
            After::Log(zxid) => self.log.is_some_and(|log| log >= zxid),
            After::Epochs(epochs) => self.epochs.reach(epochs),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_the_packet_it_says() {
        let mut out = vec![];
        let message = Message {
            data: Data::Designated(ServerId(2), Arc::from(&b"txn"[..])),
            ..Message::bare(PacketType::InformAndActivate, Zxid(5))
        };
        message.put(&mut out);
        let (packet, length) = Packet::decode(&out, 100).unwrap().unwrap();
        assert_eq!(length, out.len());
        assert_eq!(packet.data, Some(&[0, 0, 0, 0, 0, 0, 0, 2, b't', b'x', b'n'][..]));
        assert_eq!((packet.kind, packet.zxid, packet.auth), (PacketType::InformAndActivate, Zxid(5), None));
        out.clear();
        Message::with(PacketType::Ping, Zxid(1), vec![]).put(&mut out);
        assert_eq!(Packet::decode(&out, 0).unwrap().unwrap().0.data, Some(&[][..]));
    }

    #[derive(Clone, Copy, PartialEq, Debug)]
    struct Thing(char, After);

    impl Gated for Thing {
        fn after(&self) -> After {
            self.1
        }

        fn restarts_log(&self) -> bool {
            self.0 == '!'
        }
    }

    #[test]
    fn the_gate_keeps_order() {
        let epochs = Epochs { accepted: 2, current: 1 };
        let mut gate = Gate::new(Zxid(4), epochs);
        let pass = |gate: &mut Gate<Thing>, name, after| gate.pass(Thing(name, after)).is_some();
        assert!(pass(&mut gate, 'a', After::Log(Zxid(4))));
        assert!(!pass(&mut gate, 'b', After::Log(Zxid(6))));
        assert!(!pass(&mut gate, 'c', After::Log(Zxid(3))), "behind b");
        assert!(pass(&mut gate, 'd', After::Nothing));
        let established = epochs.established(2);
        assert!(!pass(&mut gate, 'e', After::Epochs(established)));
        let next = |gate: &mut Gate<Thing>| gate.next().map(|thing| thing.0);
        gate.log_durable(Zxid(5));
        assert_eq!(next(&mut gate), None);
        gate.log_durable(Zxid(7));
        assert_eq!((next(&mut gate), next(&mut gate), next(&mut gate)), (Some('b'), Some('c'), None));
        assert_eq!(gate.held(), 1);
        gate.epochs_durable(established);
        assert_eq!((next(&mut gate), next(&mut gate)), (Some('e'), None));
    }

    /// What was durable before the log was cut does not open the gate to what waits for the cut.
    #[test]
    fn a_log_that_restarts_counts_for_nothing() {
        let mut gate = Gate::new(Zxid(9), Epochs::default());
        assert!(gate.pass(Thing('!', After::Nothing)).is_some());
        assert_eq!(gate.pass(Thing('a', After::Log(Zxid(5)))), None);
        gate.log_durable(Zxid(5));
        assert_eq!(gate.next(), Some(Thing('a', After::Log(Zxid(5)))));
    }
}

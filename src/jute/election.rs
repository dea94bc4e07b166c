//! The bytes of the election port: who connects, and the notifications that servers exchange.
//!
//! The connecting side sends one initial message; from then on both sides send frames whose payload is a
//! notification. Decoders borrow, and say "more bytes" or name what is wrong; a peer's lengths are checked
//! before anything is made of them. Sources: ZooKeeper 3.9, QuorumCnxManager (initial message, frames) and
//! FastLeaderElection (notifications).

use std::fmt;
use std::net::IpAddr;

use super::wire::{DecodeError, Reader, put_bytes, put_int, put_long};

/// Announces an initial message with one address: what every server since 3.5 understands.
const ONE_ADDRESS: i64 = -65536;
/// Announces one with several addresses, since 3.6; sent only where several are configured.
const SEVERAL_ADDRESSES: i64 = -65535;

/// The longest address text of an initial message, bytes.
pub(crate) const INITIAL_ADDRESSES: usize = 2048;

/// The longest payload of a frame, bytes.
pub(crate) const FRAME_PAYLOAD: usize = 512 << 10;

/// The id an observer without one announces; the receiver makes one up.
pub(crate) const ANONYMOUS: i64 = i64::MAX;

/// What this server writes into its notifications: the first version with a configuration in it.
const NOTIFICATION_VERSION: i32 = 2;
/// A notification without its configuration.
const NOTIFICATION_HEAD: usize = 44;

/// Why a connection of the election port has to end, or a notification is dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ElectionError {
    /// The first number is negative and none of the known versions.
    Version(i64),
    /// A server id that no server has.
    Server(i64),
    /// The length of the address text is not 1 to [`INITIAL_ADDRESSES`].
    AddressLength(i32),
    /// The address text is not UTF-8, or an entry is not `host:port`.
    Address,
    /// A frame's length is not 1 to [`FRAME_PAYLOAD`].
    FrameLength(i32),
    /// A notification of none of the known lengths.
    NotificationLength(usize),
    /// A notification's state is none.
    State(i32),
    /// The configuration's length is negative or beyond the notification.
    ConfigLength(i32),
}

impl fmt::Display for ElectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ElectionError::Version(version) => write!(f, "unknown version {version} of the initial message"),
            ElectionError::Server(id) => write!(f, "{id} is no server id"),
            ElectionError::AddressLength(length) => {
                write!(f, "an address text of {length} bytes; expected 1 to {INITIAL_ADDRESSES}")
            }
            ElectionError::Address => f.write_str("an election address is not host:port"),
            ElectionError::FrameLength(length) => {
                write!(f, "a frame of {length} bytes; expected 1 to {FRAME_PAYLOAD}")
            }
            ElectionError::NotificationLength(length) => write!(f, "a notification of {length} bytes"),
            ElectionError::State(state) => write!(f, "a notification with the unknown state {state}"),
            ElectionError::ConfigLength(length) => {
                write!(f, "a notification with a configuration of {length} bytes, which is not what it holds")
            }
        }
    }
}

impl std::error::Error for ElectionError {}

/// What the connecting side says first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InitialMessage<'a> {
    /// The sender's server id; [`ANONYMOUS`] for an observer without one.
    pub server: i64,
    /// Where the sender's election port is: host (IPv6 without brackets) and port. Wildcard addresses say
    /// nothing and are left out; empty from a server older than 3.5.
    pub addresses: Vec<(&'a str, u16)>,
}

impl<'a> InitialMessage<'a> {
    /// Decodes from the start of what was received: the message and its length in bytes, or `None` while
    /// bytes are missing.
    pub fn decode(received: &'a [u8]) -> Result<Option<(InitialMessage<'a>, usize)>, ElectionError> {
        let mut reader = Reader::new(received);
        let Ok(first) = reader.long() else { return Ok(None) };
        if first >= 0 {
            // Before 3.5: the first number is the id, and no address follows.
            return Ok(Some((InitialMessage { server: first, addresses: vec![] }, 8)));
        }
        if first != ONE_ADDRESS && first != SEVERAL_ADDRESSES {
            return Err(ElectionError::Version(first));
        }
        let (Ok(server), Ok(length)) = (reader.long(), reader.int()) else { return Ok(None) };
        if server < 0 {
            return Err(ElectionError::Server(server));
        }
        if length < 1 || length as usize > INITIAL_ADDRESSES {
            return Err(ElectionError::AddressLength(length));
        }
        let Ok(text) = reader.bytes(length as usize) else { return Ok(None) };
        let text = std::str::from_utf8(text).map_err(|_| ElectionError::Address)?;
        let mut addresses = vec![];
        for entry in text.split('|') {
            let (host, port) = address(entry).ok_or(ElectionError::Address)?;
            if !host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified()) {
                addresses.push((host, port));
            }
        }
        Ok(Some((InitialMessage { server, addresses }, received.len() - reader.rest().len())))
    }
}

/// Cuts `host:port` or `[address]:port`.
fn address(text: &str) -> Option<(&str, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(text) => text.split_once("]:")?,
        None => text.split_once(':')?,
    };
    Some((Some(host).filter(|host| !host.is_empty())?, port.parse().ok()?))
}

/// Appends an initial message. It must leave in one write: a Java receiver reads the addresses in one call.
///
/// With `several` all addresses go out, in the form that 3.6 introduced; without it the first alone, which
/// every version takes. There must be an address, and together they must keep to [`INITIAL_ADDRESSES`].
pub fn put_initial(out: &mut Vec<u8>, server: i64, addresses: &[(&str, u16)], several: bool) {
    let taken = if several { addresses } else { &addresses[..1] };
    let entry = |(host, port): &(&str, u16)| {
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    };
    let text = taken.iter().map(entry).collect::<Vec<_>>().join("|");
    assert!((1..=INITIAL_ADDRESSES).contains(&text.len()), "our own addresses are too long to announce: {text}");
    put_long(out, if several { SEVERAL_ADDRESSES } else { ONE_ADDRESS });
    put_long(out, server);
    put_bytes(out, text.as_bytes());
}

/// The first frame of what was received: its payload and the bytes it takes with its length word, or `None`
/// while bytes are missing.
pub fn frame(received: &[u8]) -> Result<Option<(&[u8], usize)>, ElectionError> {
    let mut reader = Reader::new(received);
    let Ok(length) = reader.int() else { return Ok(None) };
    if length < 1 || length as usize > FRAME_PAYLOAD {
        return Err(ElectionError::FrameLength(length));
    }
    Ok(reader.bytes(length as usize).ok().map(|payload| (payload, 4 + payload.len())))
}

/// What a server says it is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PeerState {
    /// Electing.
    Looking = 0,
    /// Following a leader as a participant.
    Following = 1,
    /// Leading, or about to.
    Leading = 2,
    /// Following a leader as an observer.
    Observing = 3,
}

impl TryFrom<i32> for PeerState {
    type Error = ElectionError;

    fn try_from(number: i32) -> Result<Self, ElectionError> {
        Ok(match number {
            0 => PeerState::Looking,
            1 => PeerState::Following,
            2 => PeerState::Leading,
            3 => PeerState::Observing,
            _ => return Err(ElectionError::State(number)),
        })
    }
}

/// One server's vote, as it travels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Notification<'a> {
    /// The sender's.
    pub state: PeerState,
    /// The id of the server voted for.
    pub leader: i64,
    /// The last transaction that server has logged.
    pub zxid: i64,
    /// The sender's round of election.
    pub round: i64,
    /// The current epoch of the server voted for.
    pub peer_epoch: i64,
    /// What of the fields the sender knows: 0 for the short forms of old servers.
    pub version: i32,
    /// The text of the sender's configuration, from version 2 on.
    pub config: Option<&'a [u8]>,
}

impl<'a> Notification<'a> {
    /// Decodes a frame's payload, in the form of any ZooKeeper: 28 bytes (no epoch: the zxid's is taken), 36
    /// and 40 bytes (no configuration; of version 0 whatever the last word says, as in Java), or more with a
    /// version and, if that is 2 or above, a configuration. Bytes beyond it are ignored, as in Java.
    pub fn decode(payload: &'a [u8]) -> Result<Notification<'a>, ElectionError> {
        Notification::fields(payload).unwrap_or(Err(ElectionError::NotificationLength(payload.len())))
    }

    fn fields(payload: &'a [u8]) -> Result<Result<Notification<'a>, ElectionError>, DecodeError> {
        let mut reader = Reader::new(payload);
        let state = reader.int()?;
        let (leader, zxid, round) = (reader.long()?, reader.long()?, reader.long()?);
        let peer_epoch = if payload.len() == 28 { (zxid as u64 >> 32) as i64 } else { reader.long()? };
        let version = if matches!(payload.len(), 28 | 36 | 40) { 0 } else { reader.int()? };
        let config = if version >= NOTIFICATION_VERSION {
            let length = reader.int()?;
            match usize::try_from(length).ok().and_then(|length| reader.bytes(length).ok()) {
                Some(config) => Some(config),
                None => return Ok(Err(ElectionError::ConfigLength(length))),
            }
        } else {
            None
        };
        let notification = |state| Notification { state, leader, zxid, round, peer_epoch, version, config };
        Ok(PeerState::try_from(state).map(notification))
    }

    /// Encodes as version 2, whatever [`Notification::version`] says. The configuration has to be a whole
    /// one: a Java receiver may lose its receiving thread for ever over a text without participants.
    pub fn encode(&self) -> Vec<u8> {
        let config = self.config.unwrap_or_default();
        let mut out = Vec::with_capacity(NOTIFICATION_HEAD + config.len());
        put_int(&mut out, self.state as i32);
        put_long(&mut out, self.leader);
        put_long(&mut out, self.zxid);
        put_long(&mut out, self.round);
        put_long(&mut out, self.peer_epoch);
        put_int(&mut out, NOTIFICATION_VERSION);
        put_bytes(&mut out, config);
        out
    }
}

#[cfg(test)]
mod tests;

//! What a leader and its learners say to each other on the quorum port.
//!
//! Packets follow one another on the stream without a length in front: a [`Packet`] is found in the bytes
//! received so far, or more bytes are needed, or the bytes are none. Lengths are checked against a limit
//! as soon as they are seen, so a reader never holds more than one packet of the largest size. What the
//! packets carry (a learner's introduction, a forwarded request, touched sessions) is decoded from the
//! packet's data by the small records below. The numbers are ZooKeeper 3.9's (`Leader`, `LearnerHandler`).

use super::wire::{DecodeError, Reader, put_bool, put_buffer, put_bytes, put_int, put_long};
use crate::ids::{SessionId, Zxid};
use crate::limits::{FORWARDED_IDENTITIES, FORWARDED_IDENTITY_BYTES};
use std::fmt;

/// The protocol with LEADERINFO and ACKEPOCH; what a leader answers, and the least this server speaks.
pub(crate) const PROTOCOL_EPOCHS: i32 = 0x10000;

/// The protocol of a learner that goes over into another epoch with its leader. ZooKeeper only asks for at least
/// [`PROTOCOL_EPOCHS`].
pub(crate) const PROTOCOL_CORRAL: i32 = 0x10001;

/// That of one that is told a secret for session passwords, too: what this server announces as a learner.
pub(crate) const PROTOCOL_SECRETS: i32 = 0x10002;

/// The number of [`PacketType::Agreed`], far from those that ZooKeeper may give yet.
const AGREED: i32 = 0x436f_7272;

/// The string that ends a snapshot's stream.
pub(crate) const SNAPSHOT_SIGNATURE: &[u8] = b"BenWasHere";

/// What a packet is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum PacketType {
    /// From a learner: a request of one of its clients, with the client's identities.
    Request,
    /// From the leader to followers: a transaction, to be logged and acknowledged.
    Proposal,
    /// From a learner: the proposal of this zxid is durable, or everything before NEWLEADER or UPTODATE.
    Ack,
    /// From the leader to followers: the proposal of this zxid is committed.
    Commit,
    /// From the leader: a sign of life. From a learner: the answer, with the sessions it has heard from since the last
    /// one.
    Ping,
    /// From a learner: a client wants to resume this session. From the leader: whether it may.
    Revalidate,
    /// From the leader: what was committed when the oldest unanswered sync was asked for has been sent.
    Sync,
    /// From the leader to observers: a committed transaction.
    Inform,
    /// COMMIT of a reconfiguration, with the id of the server that is to lead.
    CommitAndActivate,
    /// From the leader: the synchronisation ends here; to be acknowledged when all of it is durable.
    NewLeader,
    /// From a follower, as its first packet: the epoch it has accepted, and a [`LearnerInfo`].
    FollowerInfo,
    /// From the leader: a quorum has acknowledged NEWLEADER, the learner may serve.
    UpToDate,
    /// From the leader: the learner keeps what it has; what it lacks up to this zxid follows.
    Diff,
    /// From the leader: the learner removes from its log what is behind this zxid; then as DIFF.
    Trunc,
    /// From the leader: a snapshot of this zxid follows, as a stream that is no packet.
    Snap,
    /// From an observer, as its first packet: the same as FOLLOWERINFO, or no data if it has no id.
    ObserverInfo,
    /// From the leader: the zxid with which its epoch begins, and the protocol it speaks.
    LeaderInfo,
    /// From a learner: it follows no older epoch from now on; its last zxid and its current epoch.
    AckEpoch,
    /// INFORM of a reconfiguration, with the id of the server that is to lead.
    InformAndActivate,
    /// What the ensemble has agreed on beside its transactions; between servers that know of it.
    Agreed,
    /// A number nobody knows: tolerated, and ignored where ZooKeeper ignores it.
    Other(i32),
}

const NUMBERED: [PacketType; 19] = [
    PacketType::Request,
    PacketType::Proposal,
    PacketType::Ack,
    PacketType::Commit,
    PacketType::Ping,
    PacketType::Revalidate,
    PacketType::Sync,
    PacketType::Inform,
    PacketType::CommitAndActivate,
    PacketType::NewLeader,
    PacketType::FollowerInfo,
    PacketType::UpToDate,
    PacketType::Diff,
    PacketType::Trunc,
    PacketType::Snap,
    PacketType::ObserverInfo,
    PacketType::LeaderInfo,
    PacketType::AckEpoch,
    PacketType::InformAndActivate,
];

impl PacketType {
    /// From the number on the wire: 1 to 19, and one beside those.
    pub(crate) fn from_wire(number: i32) -> Self {
        if number == AGREED {
            return PacketType::Agreed;
        }
        usize::try_from(number)
            .ok()
            .and_then(|number| NUMBERED.get(number.wrapping_sub(1)))
            .copied()
            .unwrap_or(PacketType::Other(number))
    }

    /// The number on the wire.
    pub fn wire(self) -> i32 {
        match self {
            PacketType::Other(number) => number,
            PacketType::Agreed => AGREED,
            known => NUMBERED.iter().position(|kind| *kind == known).map_or(0, |at| at as i32 + 1),
        }
    }

    /// The protocol's own word for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            PacketType::Request => "REQUEST",
            PacketType::Proposal => "PROPOSAL",
            PacketType::Ack => "ACK",
            PacketType::Commit => "COMMIT",
            PacketType::Ping => "PING",
            PacketType::Revalidate => "REVALIDATE",
            PacketType::Sync => "SYNC",
            PacketType::Inform => "INFORM",
            PacketType::CommitAndActivate => "COMMITANDACTIVATE",
            PacketType::NewLeader => "NEWLEADER",
            PacketType::FollowerInfo => "FOLLOWERINFO",
            PacketType::UpToDate => "UPTODATE",
            PacketType::Diff => "DIFF",
            PacketType::Trunc => "TRUNC",
            PacketType::Snap => "SNAP",
            PacketType::ObserverInfo => "OBSERVERINFO",
            PacketType::LeaderInfo => "LEADERINFO",
            PacketType::AckEpoch => "ACKEPOCH",
            PacketType::InformAndActivate => "INFORMANDACTIVATE",
            PacketType::Agreed => "AGREED",
            PacketType::Other(_) => "UNKNOWN",
        }
    }
}

/// Why a stream of packets cannot be read on: the connection is closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PacketError {
    /// The data, or the identities, are longer than allowed.
    TooLong {
        /// Bytes of the data or of an identity, or the number of identities, as the packet says.
        length: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// A length below -1, or a field that does not decode.
    Invalid,
}

impl fmt::Display for PacketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PacketError::TooLong { length, limit } => write!(f, "{length} bytes where at most {limit} are allowed"),
            PacketError::Invalid => f.write_str("a length or a value is out of range"),
        }
    }
}

impl std::error::Error for PacketError {}

/// One packet, borrowed from the bytes received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packet<'a> {
    /// What it is for, which decides what the other fields hold.
    pub kind: PacketType,
    /// A transaction's, the first one of an epoch, or -1 where the kind has none.
    pub zxid: Zxid,
    /// Null is not the same as empty: a PING's answer is empty at least.
    pub data: Option<&'a [u8]>,
    /// The requester's identities; null in all but REQUEST.
    pub auth: Option<Identities<'a>>,
}

impl<'a> Packet<'a> {
    /// The packet at the front of `bytes` and how many bytes it takes; `None` if it is not complete yet.
    /// Data longer than `max_data` bytes is refused as soon as its length is known.
    pub fn decode(bytes: &'a [u8], max_data: usize) -> Result<Option<(Self, usize)>, PacketError> {
        match Self::read(bytes, max_data) {
            Ok((packet, rest)) => Ok(Some((packet, bytes.len() - rest.len()))),
            Err(Unread::Short) => Ok(None),
            Err(Unread::Error(error)) => Err(error),
        }
    }

    fn read(bytes: &'a [u8], max_data: usize) -> Result<(Self, &'a [u8]), Unread> {
        let mut r = Reader::new(bytes);
        let kind = PacketType::from_wire(r.int()?);
        let zxid = Zxid(r.long()?);
        let data = bounded_buffer(&mut r, max_data)?;
        let auth = match r.int()? {
            -1 => None,
            count if count < 0 => return Err(Unread::Error(PacketError::Invalid)),
            count => Some(Identities::read(&mut r, count as usize)?),
        };
        Ok((Packet { kind, zxid, data, auth }, r.rest()))
    }

    /// A packet without data or identities.
    pub(crate) fn bare(kind: PacketType, zxid: Zxid) -> Self {
        Packet { kind, zxid, data: None, auth: None }
    }

    /// Appends the packet.
    pub fn put(&self, out: &mut Vec<u8>) {
        put_head(out, self.kind, self.zxid);
        put_buffer(out, self.data);
        match self.auth {
            None => put_int(out, -1),
            Some(identities) => {
                put_int(out, identities.count as i32);
                out.extend_from_slice(identities.bytes);
            }
        }
    }
}

/// Appends the first two fields of a packet.
pub(crate) fn put_head(out: &mut Vec<u8>, kind: PacketType, zxid: Zxid) {
    put_int(out, kind.wire());
    put_long(out, zxid.0);
}

/// Either more bytes are needed or there is no sense in them.
enum Unread {
    Short,
    Error(PacketError),
}

impl From<DecodeError> for Unread {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::Short => Unread::Short,
            DecodeError::Invalid | DecodeError::Null => Unread::Error(PacketError::Invalid),
        }
    }
}

/// A buffer whose length is checked before its bytes are waited for.
fn bounded_buffer<'a>(r: &mut Reader<'a>, limit: usize) -> Result<Option<&'a [u8]>, Unread> {
    let length = Reader::new(r.rest()).int()?;
    if length > 0 && length as usize > limit {
        return Err(Unread::Error(PacketError::TooLong { length: length as usize, limit }));
    }
    Ok(r.buffer()?)
}

/// The identities of the connection a forwarded request came from, checked once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identities<'a> {
    count: usize,
    bytes: &'a [u8],
}

impl<'a> Identities<'a> {
    /// No identity at all, which is not the same as null.
    pub(crate) const NONE: Identities<'static> = Identities { count: 0, bytes: &[] };

    fn read(r: &mut Reader<'a>, count: usize) -> Result<Self, Unread> {
        if count > FORWARDED_IDENTITIES {
            return Err(Unread::Error(PacketError::TooLong { length: count, limit: FORWARDED_IDENTITIES }));
        }
        let start = r.rest();
        for _ in 0..count * 2 {
            let used = start.len() - r.rest().len();
            bounded_buffer(r, FORWARDED_IDENTITY_BYTES.saturating_sub(used))?;
        }
        Ok(Identities { count, bytes: &start[..start.len() - r.rest().len()] })
    }

    /// Identities that were appended with [`put_identity`] before.
    pub(crate) fn parse(count: usize, bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        match Self::read(&mut r, count) {
            Ok(identities) if r.rest().is_empty() => Ok(identities),
            Ok(_) | Err(Unread::Error(_)) => Err(DecodeError::Invalid),
            Err(Unread::Short) => Err(DecodeError::Short),
        }
    }

    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// The records as they stand on the wire, without their count.
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Scheme and id of each; a null string reads as an empty one.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let mut r = Reader::new(self.bytes);
        std::iter::from_fn(move || Some((r.buffer().ok()?.unwrap_or_default(), r.buffer().ok()?.unwrap_or_default())))
    }
}

/// Appends one identity of a forwarded request.
pub(crate) fn put_identity(out: &mut Vec<u8>, scheme: &[u8], id: &[u8]) {
    put_bytes(out, scheme);
    put_bytes(out, id);
}

/// How a learner introduces itself: the data of FOLLOWERINFO and OBSERVERINFO.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LearnerInfo {
    /// The learner's id in the ensemble.
    pub server: i64,
    /// The newest protocol it speaks: 0x10000 for ZooKeeper's; 1 if it does not say.
    pub protocol: i32,
    /// The version of the configuration it acts by.
    pub config_version: i64,
}

impl LearnerInfo {
    /// Reads as many fields as there are, as a leader does: 8, 12 or 20 bytes. Less than the first field
    /// is an error; a packet without data (an observer without an id) has no such record.
    pub fn decode(data: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(data);
        let server = r.long()?;
        let protocol = if r.rest().len() >= 4 { r.int()? } else { 1 };
        let config_version = if r.rest().len() >= 8 { r.long()? } else { 0 };
        Ok(LearnerInfo { server, protocol, config_version })
    }

    /// Appends all three fields.
    pub fn put(&self, out: &mut Vec<u8>) {
        put_long(out, self.server);
        put_int(out, self.protocol);
        put_long(out, self.config_version);
    }
}

/// A client's request on its way to the leader: the data of REQUEST.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ForwardedRequest<'a> {
    pub(crate) session: SessionId,
    pub(crate) cxid: i32,
    /// The operation; may be a number nobody knows.
    pub(crate) op: i32,
    /// As the client sent it, without its header.
    pub(crate) body: &'a [u8],
}

impl<'a> ForwardedRequest<'a> {
    /// Reads the prefix; the rest is the body.
    pub fn decode(data: &'a [u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(data);
        Ok(ForwardedRequest { session: SessionId(r.long()?), cxid: r.int()?, op: r.int()?, body: r.rest() })
    }

    /// Appends prefix and body.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        put_long(out, self.session.0);
        put_int(out, self.cxid);
        put_int(out, self.op);
        out.extend_from_slice(self.body);
    }
}

/// A session a learner has heard of since its last answer, with its timeout in milliseconds.
pub(crate) type Touch = (SessionId, i32);

/// The touched sessions in the data of a PING's answer. Bytes that are no whole number of entries end the
/// connection, as in ZooKeeper.
pub fn touches(data: &[u8]) -> Result<impl Iterator<Item = Touch> + '_, DecodeError> {
    if !data.len().is_multiple_of(12) {
        return Err(DecodeError::Short);
    }
    let mut r = Reader::new(data);
    Ok(std::iter::from_fn(move || Some((SessionId(r.long().ok()?), r.int().ok()?))))
}

/// Appends one touched session.
pub(crate) fn put_touch(out: &mut Vec<u8>, (session, timeout_ms): Touch) {
    put_long(out, session.0);
    put_int(out, timeout_ms);
}

/// A learner's question about a session: the data of REVALIDATE on its way to the leader.
pub(crate) fn revalidate_question(data: &[u8]) -> Result<Touch, DecodeError> {
    let mut r = Reader::new(data);
    Ok((SessionId(r.long()?), r.int()?))
}

/// The leader's answer about a session: whether it lives.
pub(crate) fn revalidate_answer(data: &[u8]) -> Result<(SessionId, bool), DecodeError> {
    let mut r = Reader::new(data);
    Ok((SessionId(r.long()?), r.bool()?))
}

/// Appends the leader's answer about a session.
pub(crate) fn put_revalidate_answer(out: &mut Vec<u8>, session: SessionId, valid: bool) {
    put_long(out, session.0);
    put_bool(out, valid);
}

/// The designated leader in front of the data of COMMITANDACTIVATE and INFORMANDACTIVATE, and what
/// follows it: nothing, or the transaction.
pub(crate) fn designated(data: &[u8]) -> Result<(i64, &[u8]), DecodeError> {
    let mut r = Reader::new(data);
    Ok((r.long()?, r.rest()))
}

/// The single integer that is the data of LEADERINFO (protocol version) and ACKEPOCH (current epoch).
pub(crate) fn single_int(data: Option<&[u8]>) -> Result<i32, DecodeError> {
    Reader::new(data.ok_or(DecodeError::Null)?).int()
}

/// The zxid and the operation's number in the header of a transaction's bytes.
pub fn txn_head(bytes: &[u8]) -> Result<(Zxid, i32), DecodeError> {
    let mut r = Reader::new(bytes);
    r.bytes(12)?; // session, cxid
    let zxid = Zxid(r.long()?);
    r.long()?; // time
    Ok((zxid, r.int()?))
}

#[cfg(test)]
mod tests;

//! The state as a leader sends it to a learner that is too far behind: the stream behind a SNAP packet.
//!
//! ```text
//! int sessions  | (long id, int timeout)*
//! int ACL lists | (long id, vector of ACL)*
//! (string path, buffer data, long ACL id, StatPersisted)*    the root's path is empty, parents come first
//! string "/"    | string "BenWasHere"
//! ```
//! The same as the body of ZooKeeper's snapshot file, without its header and checksums. [`StreamSender`] makes it
//! from one of our snapshot files, a piece at a time: it holds no part of the tree however slow the receiver
//! is. [`StreamReceiver`] takes it as it comes from a socket and hands it on as a snapshot's records; of what it was
//! given it holds no more than one record. ACL ids are the sender's own on both sides: -1 is the open list,
//! others name the stream's lists. (ZooKeeper 3.9, `DataTree.serialize`, `LearnerHandler`, `Learner`.)

use crate::ids::{SessionId, Zxid};
use crate::jute::quorum::SNAPSHOT_SIGNATURE;
use crate::jute::wire::{DecodeError, Reader, put_buffer, put_bytes, put_int, put_long};
use crate::jute::{AclEntry, StatPersisted};
use crate::storage::disk::Disk;
use crate::storage::replay::{Replay, ReplayError, ZnodeRecord};
use crate::storage::snapshot::format::{Kind, SnapshotHeader};
use crate::storage::snapshot::load::{Snapshot, SnapshotError};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// The path that ends the znodes; the root's own is empty.
const END: &[u8] = b"/";
/// The ACL id of world:anyone with all permissions.
const OPEN_ACL: i64 = -1;
/// Bytes tried at a time to complete a record of which only a part has come.
const STEP: usize = 64 << 10;

/// Bytes of the longest record without its two buffers: a znode's.
const RECORD: usize = 2 * 4 + 8 + 60;

/// Sends a snapshot file. The file is held open: it may be purged meanwhile.
pub(crate) struct StreamSender {
    snapshot: Snapshot,
    /// The next chunk.
    next: usize,
    /// How many of the two counts have been sent.
    counts: usize,
}

impl StreamSender {
    /// Opens the snapshot called `name`, whose znodes were written parents first.
    pub(crate) fn open(disk: &dyn Disk, dir: &Path, name: &str) -> Result<StreamSender, SnapshotError> {
        Ok(StreamSender { snapshot: Snapshot::open(disk, dir, name)?, next: 0, counts: 0 })
    }

    /// What the snapshot says of itself; its zxid is the SNAP packet's.
    #[cfg(test)]
    pub(crate) fn header(&self) -> &SnapshotHeader {
        self.snapshot.header()
    }

    /// Appends the next piece of the stream: a chunk, about a mebibyte and at most one znode more. False if it is
    /// the last one. Reads the disk. After an error the stream cannot be completed.
    pub(crate) fn piece(&mut self, out: &mut Vec<u8>) -> Result<bool, SnapshotError> {
        let chunk = self.snapshot.entries().get(self.next).map(|entry| entry.kind);
        let counts = match chunk {
            Some(Kind::Sessions) => 1,
            Some(Kind::Acls | Kind::Znodes) | None => 2,
        };
        while self.counts < counts {
            let count = self.count([Kind::Sessions, Kind::Acls][self.counts])?;
            put_int(out, count);
            self.counts += 1;
        }
        if chunk.is_none() {
            put_bytes(out, END);
            put_bytes(out, SNAPSHOT_SIGNATURE);
            return Ok(false);
        }
        self.snapshot.hand_over(self.next, &mut Encoder { out }).map(|handed| handed.expect("an encoder takes all"))?;
        self.next += 1;
        Ok(true)
    }

    fn count(&self, kind: Kind) -> Result<i32, SnapshotError> {
        let entries = self.snapshot.entries().iter().filter(|entry| entry.kind == kind);
        let count: u64 = entries.map(|entry| u64::from(entry.records)).sum();
        i32::try_from(count).map_err(|_| SnapshotError::Damaged(format!("{count} records of one kind")))
    }
}

/// Writes records as the stream has them.
struct Encoder<'a> {
    out: &'a mut Vec<u8>,
}

impl Replay for Encoder<'_> {
    fn restart(&mut self) {}

    fn snapshot(&mut self, _: &SnapshotHeader) -> Result<(), ReplayError> {
        Ok(())
    }

    fn session(&mut self, id: SessionId, timeout_ms: i32) -> Result<(), ReplayError> {
        put_long(self.out, id.0);
        put_int(self.out, timeout_ms);
        Ok(())
    }

    fn acl(&mut self, id: u32, list: &[u8]) -> Result<(), ReplayError> {
        put_long(self.out, i64::from(id));
        self.out.extend_from_slice(list);
        Ok(())
    }

    fn znode(&mut self, record: &ZnodeRecord<'_>) -> Result<(), ReplayError> {
        let out = &mut *self.out;
        put_bytes(out, if record.path == END { b"" } else { record.path });
        put_buffer(out, record.data);
        put_long(out, if record.acl == 0 { OPEN_ACL } else { i64::from(record.acl) });
        record.stat.put(out);
        Ok(())
    }

    fn snapshot_done(&mut self, _: &SnapshotHeader) -> Result<(), ReplayError> {
        Ok(())
    }

    fn txn(&mut self, _: Zxid, _: &[u8]) -> Result<(), ReplayError> {
        Ok(())
    }
}

/// Why a stream is of no use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StreamError {
    /// A path, data or an ACL list is longer than the limit, in bytes.
    TooLong(usize),
    /// It is not what a stream looks like.
    Malformed(&'static str),
    /// A znode names an ACL list that did not come.
    UnknownAcl(i64),
    /// The state did not take a record.
    Refused(ReplayError),
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StreamError::TooLong(limit) => write!(f, "a part of the snapshot is longer than {limit} bytes"),
            StreamError::Malformed(what) => write!(f, "the snapshot is malformed: {what}"),
            StreamError::UnknownAcl(id) => {
                write!(f, "a znode of the snapshot names the ACL list {id}, which did not come")
            }
            StreamError::Refused(what) => write!(f, "the snapshot was not taken: {what}"),
        }
    }
}

impl std::error::Error for StreamError {}

/// What became of bytes received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Received {
    /// How many belong to the stream: all of them, until it is done.
    pub taken: usize,
    /// The signature has come: the state is complete. What follows are packets again.
    pub done: bool,
}

/// Receives a stream.
pub struct StreamReceiver {
    header: SnapshotHeader,
    limit: usize,
    expected: Expected,
    /// The part of a record that has come; never a whole one.
    partial: Vec<u8>,
    /// The sender's ids of ACL lists, and the numbers they were handed on under.
    acls: BTreeMap<i64, u32>,
    /// The list being received, in the form it is handed on in.
    list: Vec<u8>,
}

/// The next record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    Begin,
    Sessions,
    Session {
        left: usize,
    },
    Lists,
    List {
        left: usize,
    },
    /// An entry of the list with this id.
    Entry {
        id: i64,
        entries: usize,
        left: usize,
    },
    Znode,
    Signature,
    Done,
}

/// Why a record was not taken.
enum NotTaken {
    /// It has not come whole.
    Short,
    Error(StreamError),
}

impl From<DecodeError> for NotTaken {
    fn from(error: DecodeError) -> NotTaken {
        match error {
            DecodeError::Short => NotTaken::Short,
            DecodeError::Invalid => NotTaken::Error(StreamError::Malformed("a negative length")),
            DecodeError::Null => NotTaken::Error(StreamError::Malformed("a path that is null")),
        }
    }
}

impl From<StreamError> for NotTaken {
    fn from(error: StreamError) -> NotTaken {
        NotTaken::Error(error)
    }
}

impl From<ReplayError> for NotTaken {
    fn from(refused: ReplayError) -> NotTaken {
        NotTaken::Error(StreamError::Refused(refused))
    }
}

impl StreamReceiver {
    /// Receives a snapshot, of which `header` is handed on as it is; no path, no data and no ACL list may be
    /// longer than `limit` bytes.
    pub fn new(header: SnapshotHeader, limit: usize) -> StreamReceiver {
        StreamReceiver {
            header,
            limit,
            expected: Expected::Begin,
            partial: Vec::new(),
            acls: BTreeMap::new(),
            list: Vec::new(),
        }
    }

    /// Hands on what has come whole with these bytes. The first call restarts `into`, the last one completes it.
    /// After an error nothing more is to be pushed.
    pub fn push(&mut self, bytes: &[u8], into: &mut dyn Replay) -> Result<Received, StreamError> {
        if self.expected == Expected::Begin {
            into.restart();
            into.snapshot(&self.header).map_err(StreamError::Refused)?;
            self.expected = Expected::Sessions;
        }
        let mut rest = bytes;
        while !self.partial.is_empty() && !rest.is_empty() {
            let mut partial = std::mem::take(&mut self.partial);
            let held = partial.len();
            partial.extend_from_slice(&rest[..rest.len().min(STEP)]);
            let whole = self.records(&partial, into)?;
            if whole == 0 {
                rest = &rest[partial.len() - held..];
                self.keep(partial);
            } else {
                // What was held was less than a record. What came behind it is read in place from here on.
                rest = &rest[whole - held..];
            }
        }
        let whole = self.records(rest, into)?;
        if self.expected == Expected::Done {
            return Ok(Received { taken: bytes.len() - rest.len() + whole, done: true });
        }
        if whole < rest.len() {
            self.keep(rest[whole..].to_vec());
        }
        Ok(Received { taken: bytes.len(), done: false })
    }

    fn keep(&mut self, partial: Vec<u8>) {
        // A path and data, or a scheme and who: each is refused as soon as its length shows that it is too long.
        assert!(partial.len() <= 2 * self.limit + RECORD, "a record is not longer than its parts");
        self.partial = partial;
    }

    /// Takes the whole records at the front of `bytes`; how many bytes they are.
    fn records(&mut self, bytes: &[u8], into: &mut dyn Replay) -> Result<usize, StreamError> {
        let mut reader = Reader::new(bytes);
        while self.expected != Expected::Done {
            let mut record = reader;
            match self.record(&mut record, into) {
                Ok(next) => {
                    self.expected = next;
                    reader = record;
                }
                Err(NotTaken::Short) => break,
                Err(NotTaken::Error(error)) => return Err(error),
            }
        }
        Ok(bytes.len() - reader.rest().len())
    }

    /// Takes one record; what comes next.
    fn record(&mut self, reader: &mut Reader<'_>, into: &mut dyn Replay) -> Result<Expected, NotTaken> {
        let sessions = |left| if left == 0 { Expected::Lists } else { Expected::Session { left } };
        let lists = |left| if left == 0 { Expected::Znode } else { Expected::List { left } };
        Ok(match self.expected {
            Expected::Sessions => sessions(reader.int()?.max(0) as usize),
            Expected::Session { left } => {
                let (id, timeout_ms) = (SessionId(reader.long()?), reader.int()?);
                into.session(id, timeout_ms)?;
                sessions(left - 1)
            }
            Expected::Lists => lists(reader.int()?.max(0) as usize),
            Expected::List { left } => {
                let id = reader.long()?;
                let entries = reader.count()?.ok_or(StreamError::Malformed("an ACL list that is null"))?;
                self.list.clear();
                put_int(&mut self.list, entries as i32);
                self.entry(id, entries, left, into)?
            }
            Expected::Entry { id, entries, left } => {
                let perms = reader.int()?;
                let scheme = self.buffer(reader)?.unwrap_or_default();
                let who = self.buffer(reader)?.unwrap_or_default();
                AclEntry { perms, scheme, id: who }.put(&mut self.list);
                if self.list.len() > self.limit {
                    return Err(StreamError::TooLong(self.limit).into());
                }
                self.entry(id, entries - 1, left, into)?
            }
            Expected::Znode => self.znode(reader, into)?,
            Expected::Signature => {
                if self.buffer(reader)? != Some(SNAPSHOT_SIGNATURE) {
                    return Err(StreamError::Malformed("it does not end with the signature").into());
                }
                into.snapshot_done(&self.header)?;
                Expected::Done
            }
            Expected::Begin | Expected::Done => unreachable!("no record is expected"),
        })
    }

    /// After an entry of a list, or its head: the next entry, or the list is complete.
    fn entry(&mut self, id: i64, entries: usize, left: usize, into: &mut dyn Replay) -> Result<Expected, NotTaken> {
        if entries > 0 {
            return Ok(Expected::Entry { id, entries, left });
        }
        let known = self.acls.len() as u32 + 1;
        let number = *self.acls.entry(id).or_insert(known);
        if number != known {
            return Err(StreamError::Malformed("two ACL lists of one id").into());
        }
        into.acl(number, &self.list)?;
        Ok(if left == 1 { Expected::Znode } else { Expected::List { left: left - 1 } })
    }

    fn znode(&self, reader: &mut Reader<'_>, into: &mut dyn Replay) -> Result<Expected, NotTaken> {
        let path = match self.buffer(reader)?.ok_or(DecodeError::Null)? {
            END => return Ok(Expected::Signature),
            b"" => END,
            path => path,
        };
        let data = self.buffer(reader)?;
        let acl = reader.long()?;
        let stat = StatPersisted::read(reader)?;
        let acl = match acl {
            OPEN_ACL => 0,
            id => *self.acls.get(&id).ok_or(StreamError::UnknownAcl(id))?,
        };
        into.znode(&ZnodeRecord { path, data, acl, stat })?;
        Ok(Expected::Znode)
    }

    /// A buffer whose length is looked at before it has come.
    fn buffer<'b>(&self, reader: &mut Reader<'b>) -> Result<Option<&'b [u8]>, NotTaken> {
        let mut ahead = *reader;
        match ahead.int()? {
            length if i64::from(length) > self.limit as i64 => Err(StreamError::TooLong(self.limit).into()),
            _ => Ok(reader.buffer()?),
        }
    }
}

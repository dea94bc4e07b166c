//! The tree's digest: a sum over all znodes that prepare, apply and every server must agree on (ZooKeeper
//! 3.9, `DigestCalculator`, `DataTree.logZxidDigest`; version 2).
//!
//! A znode's digest is the CRC-32 of its path, its data and 60 bytes of its Stat; znodes below `/zookeeper` do not
//! count. The sum is updated with every change: the old digest of the znode is subtracted, the new one added.

use super::path::{ROOT, ZOOKEEPER};
use crate::ids::Zxid;
use crate::jute::StatPersisted;
use std::collections::VecDeque;

/// One entry of the history is kept for so many transactions.
const HISTORY_INTERVAL: i64 = 128;
/// The bit of a note that says that there is one.
const NOTED: u64 = 1 << 32;
/// How many entries of the history are kept.
const HISTORY_LIMIT: usize = 1024;

/// The CRC of a znode's path and data, to be continued with its [`StatPersisted`]; `None` for a znode that
/// does not count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Body(Option<u32>);

impl Body {
    /// The body of a znode that does not count.
    pub(crate) const NONE: Body = Body(None);

    /// Reads all of `data`.
    #[cfg(test)]
    pub(crate) fn of(path: &[u8], data: Option<&[u8]>) -> Body {
        Body::of_path(path).with(data)
    }

    /// The CRC of a path alone, to which [`Body::with`] adds the data: when data is replaced, the path is read once for
    /// both digests.
    pub(crate) fn of_path(path: &[u8]) -> Body {
        if path.strip_prefix(ZOOKEEPER).is_some_and(|rest| rest.first() == Some(&b'/')) {
            return Body::NONE;
        }
        Body(Some(if path == ROOT { 0 } else { extend(0, path) }))
    }

    /// The CRC of the path and this data.
    pub(crate) fn with(self, data: Option<&[u8]>) -> Body {
        match data {
            None | Some([]) => self,
            Some(data) => Body(self.0.map(|crc| extend(crc, data))),
        }
    }

    /// As a number that is never 0, to be stored.
    pub(crate) fn to_note(self) -> u64 {
        self.0.map_or(NOTED, |crc| NOTED << 1 | u64::from(crc))
    }

    /// From that number.
    pub(crate) fn of_note(note: u64) -> Body {
        Body((note != NOTED).then_some(note as u32))
    }

    /// The znode's digest.
    pub(crate) fn digest(self, stat: &StatPersisted) -> u64 {
        let Some(body) = self.0 else { return 0 };
        let mut bytes = [0; 60];
        bytes[0..8].copy_from_slice(&stat.czxid.to_be_bytes());
        bytes[8..16].copy_from_slice(&stat.mzxid.to_be_bytes());
        bytes[16..24].copy_from_slice(&stat.pzxid.to_be_bytes());
        bytes[24..32].copy_from_slice(&stat.ctime.to_be_bytes());
        bytes[32..40].copy_from_slice(&stat.mtime.to_be_bytes());
        bytes[40..44].copy_from_slice(&stat.version.to_be_bytes());
        bytes[44..48].copy_from_slice(&stat.cversion.to_be_bytes());
        bytes[48..52].copy_from_slice(&stat.aversion.to_be_bytes());
        bytes[52..60].copy_from_slice(&stat.owner.to_be_bytes());
        u64::from(extend(body, &bytes))
    }
}

/// The CRC of bytes whose CRC is `crc`, followed by `bytes`.
fn extend(crc: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(crc);
    hasher.update(bytes);
    hasher.finalize()
}

/// The sum, and the sums at some earlier transactions.
#[derive(Debug, Default)]
pub(crate) struct Digest {
    enabled: bool,
    sum: u64,
    history: VecDeque<(Zxid, u64)>,
}

impl Digest {
    /// Of an empty tree.
    pub(crate) fn new(enabled: bool) -> Self {
        Digest { enabled, ..Digest::default() }
    }

    /// `zookeeper.digest.enabled`: without it every digest is 0 and none is written.
    pub(crate) fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// The CRC to start a znode's digest with, if digests are enabled.
    #[inline]
    pub(crate) fn body(&self, path: &[u8], data: Option<&[u8]>) -> Body {
        self.body_of_path(path).with(data)
    }

    /// The same, for the path alone.
    #[inline]
    pub(crate) fn body_of_path(&self, path: &[u8]) -> Body {
        if self.enabled { Body::of_path(path) } else { Body::NONE }
    }

    /// A znode's digest changed; 0 means no znode.
    #[inline]
    pub(crate) fn replace(&mut self, before: u64, after: u64) {
        self.sum = self.sum.wrapping_sub(before).wrapping_add(after);
    }

    /// The sum now.
    pub(crate) fn sum(&self) -> u64 {
        self.sum
    }

    /// A transaction has been carried out.
    pub(crate) fn note(&mut self, zxid: Zxid) {
        if self.enabled && zxid.0 % HISTORY_INTERVAL == 0 {
            if self.history.len() == HISTORY_LIMIT {
                self.history.pop_front();
            }
            self.history.push_back((zxid, self.sum));
        }
    }

    /// Goes back to an earlier sum; the entries of later transactions are dropped.
    pub(crate) fn undo(&mut self, down_to: Zxid, sum: u64) {
        self.sum = sum;
        while self.history.back().is_some_and(|(zxid, _)| *zxid > down_to) {
            self.history.pop_back();
        }
    }

    /// Zxid and sum of every 128th transaction, oldest first.
    pub(crate) fn history(&self) -> impl Iterator<Item = (Zxid, u64)> + '_ {
        self.history.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_tree_as_observed() {
        let root = Body::of(b"/", Some(b"")).digest(&StatPersisted::default());
        let zookeeper = Body::of(b"/zookeeper", Some(b"")).digest(&StatPersisted::default());
        assert_eq!(root + zookeeper, 0x51c6_d660);
        assert_eq!(Body::of(b"/zookeeper/quota", Some(b"x")).digest(&StatPersisted::default()), 0);
        assert_ne!(Body::of(b"/zookeeperx", None).digest(&StatPersisted::default()), 0);
    }

    #[test]
    fn a_body_is_its_note() {
        for (path, data) in [(&b"/a"[..], &b"x"[..]), (b"/zookeeper/a", b"x"), (b"/", b"")] {
            let body = Body::of(path, Some(data));
            assert_ne!(body.to_note(), 0);
            assert_eq!(Body::of_note(body.to_note()).0, body.0);
        }
        assert_eq!(Body::of_note(Body(Some(0)).to_note()).0, Some(0));
    }

    #[test]
    fn history_keeps_each_128th_and_forgets_what_is_undone() {
        let mut digest = Digest::new(true);
        for zxid in 1..=300 {
            digest.replace(0, 1);
            digest.note(Zxid(zxid));
        }
        assert_eq!(digest.history().collect::<Vec<_>>(), [(Zxid(128), 128), (Zxid(256), 256)]);
        digest.undo(Zxid(255), 255);
        assert_eq!(digest.history().count(), 1);
        assert_eq!(digest.sum(), 255);
    }
}

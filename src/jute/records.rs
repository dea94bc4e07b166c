//! Records that requests, replies and transactions share: Stat and ACL lists.

use super::codes::perms;
use super::wire::{DecodeError, Reader, halves, put_bytes, put_int, put_long, put_words};
use std::fmt::{self, Write as _};

/// What a client is told of a znode (68 bytes on the wire).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stat {
    /// Zxid that created the znode.
    pub czxid: i64,
    /// Zxid that last changed its data.
    pub mzxid: i64,
    /// When it was created, ms since 1970.
    pub ctime: i64,
    /// When its data last changed, ms since 1970.
    pub mtime: i64,
    /// Number of changes to the data.
    pub version: i32,
    /// Number of creations and deletions of children (the stored counter counts creations only).
    pub cversion: i32,
    /// Number of changes to the ACL.
    pub aversion: i32,
    /// The owning session of an ephemeral; 0 for every other kind.
    pub ephemeral_owner: i64,
    /// Bytes of data; 0 for null.
    pub data_length: i32,
    /// Children now.
    pub num_children: i32,
    /// Zxid that last created or deleted a child.
    pub pzxid: i64,
}

impl Stat {
    /// Bytes on the wire.
    #[cfg(test)]
    pub(crate) const WIRE_LEN: usize = 68;

    /// Appends the record.
    #[inline]
    pub fn put(&self, out: &mut Vec<u8>) {
        let [c0, c1] = halves(self.czxid);
        let [m0, m1] = halves(self.mzxid);
        let [created0, created1] = halves(self.ctime);
        let [modified0, modified1] = halves(self.mtime);
        let [o0, o1] = halves(self.ephemeral_owner);
        let [p0, p1] = halves(self.pzxid);
        let [version, cversion, aversion] = [self.version, self.cversion, self.aversion].map(|number| number as u32);
        let [length, children] = [self.data_length, self.num_children].map(|number| number as u32);
        put_words(
            out,
            [
                c0, c1, m0, m1, created0, created1, modified0, modified1, version, cversion, aversion, o0, o1, length,
                children, p0, p1,
            ],
        );
    }

    /// Reads the record.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Stat {
            czxid: reader.long()?,
            mzxid: reader.long()?,
            ctime: reader.long()?,
            mtime: reader.long()?,
            version: reader.int()?,
            cversion: reader.int()?,
            aversion: reader.int()?,
            ephemeral_owner: reader.long()?,
            data_length: reader.int()?,
            num_children: reader.int()?,
            pzxid: reader.long()?,
        })
    }
}

/// What is kept of a znode beside path, data and ACL (ZooKeeper's `StatPersisted`); its digest covers all of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StatPersisted {
    /// Zxid that created the znode.
    pub czxid: i64,
    /// Zxid that last changed its data.
    pub mzxid: i64,
    /// When it was created, ms since 1970.
    pub ctime: i64,
    /// When its data last changed, ms since 1970.
    pub mtime: i64,
    /// Number of changes to the data.
    pub version: i32,
    /// Number of creations of children: not what a [`Stat`] shows.
    pub cversion: i32,
    /// Number of changes to the ACL.
    pub aversion: i32,
    /// A session, or the mark of a container or of a time to live; 0 for every other kind.
    pub owner: i64,
    /// Zxid that last created or deleted a child.
    pub pzxid: i64,
}

impl StatPersisted {
    /// Of a znode that is made now (`time_ms` since 1970).
    #[inline]
    pub fn new(zxid: i64, time_ms: i64, owner: i64) -> Self {
        StatPersisted {
            czxid: zxid,
            mzxid: zxid,
            ctime: time_ms,
            mtime: time_ms,
            owner,
            pzxid: zxid,
            ..Self::default()
        }
    }

    /// What is told of a znode with so many children and bytes of data. The owner comes as it is stored: which of the
    /// owners a client sees depends on the server's rules.
    #[inline]
    pub(crate) fn shown(&self, num_children: i32, data_length: i32) -> Stat {
        let StatPersisted { czxid, mzxid, ctime, mtime, version, aversion, owner, pzxid, .. } = *self;
        // ZooKeeper 3.9, DataNode.copyStat: creations counted twice, less the children left, is creations and deletions.
        let cversion = self.cversion.wrapping_mul(2).wrapping_sub(num_children);
        let ephemeral_owner = owner;
        Stat {
            czxid,
            mzxid,
            ctime,
            mtime,
            version,
            cversion,
            aversion,
            ephemeral_owner,
            data_length,
            num_children,
            pzxid,
        }
    }

    /// Appends the record, as ZooKeeper's snapshots have it.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        [self.czxid, self.mzxid, self.ctime, self.mtime].into_iter().for_each(|long| put_long(out, long));
        [self.version, self.cversion, self.aversion].into_iter().for_each(|int| put_int(out, int));
        [self.owner, self.pzxid].into_iter().for_each(|long| put_long(out, long));
    }

    /// Reads the record.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(StatPersisted {
            czxid: reader.long()?,
            mzxid: reader.long()?,
            ctime: reader.long()?,
            mtime: reader.long()?,
            version: reader.int()?,
            cversion: reader.int()?,
            aversion: reader.int()?,
            owner: reader.long()?,
            pzxid: reader.long()?,
        })
    }
}

/// One entry of an ACL: who may do what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AclEntry<'a> {
    /// Permission bits, [`crate::jute::codes::perms`].
    pub perms: i32,
    /// `world`, `auth`, `digest`, `ip`, …
    pub scheme: &'a [u8],
    /// Who, in the scheme's own terms.
    pub id: &'a [u8],
}

impl AclEntry<'_> {
    /// Appends the record.
    pub fn put(&self, out: &mut Vec<u8>) {
        put_int(out, self.perms);
        put_bytes(out, self.scheme);
        put_bytes(out, self.id);
    }
}

/// Permissions, scheme and id of an entry that may have nulls.
pub(crate) type SentAclEntry<'a> = (i32, Option<&'a [u8]>, Option<&'a [u8]>);

/// An ACL as it stands on the wire, checked once: a count and its entries. Null strings in an entry read as
/// empty ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AclList<'a> {
    count: usize,
    entries: &'a [u8],
}

impl<'a> AclList<'a> {
    /// Reads a vector of ACL entries; `None` for null.
    pub fn read(reader: &mut Reader<'a>) -> Result<Option<Self>, DecodeError> {
        let Some(count) = reader.count()? else { return Ok(None) };
        let start = reader.rest();
        for _ in 0..count {
            Self::entry(reader)?;
        }
        Ok(Some(AclList { count, entries: &start[..start.len() - reader.rest().len()] }))
    }

    fn entry(reader: &mut Reader<'a>) -> Result<AclEntry<'a>, DecodeError> {
        // Some clients send an empty id as null.
        let (perms, scheme, id) = Self::sent(reader)?;
        Ok(AclEntry { perms, scheme: scheme.unwrap_or_default(), id: id.unwrap_or_default() })
    }

    fn sent(reader: &mut Reader<'a>) -> Result<SentAclEntry<'a>, DecodeError> {
        Ok((reader.int()?, reader.buffer()?, reader.buffer()?))
    }

    /// The list whose wire bytes (count and entries, nothing after) have been read before: they are not checked again.
    pub(crate) fn of_checked(bytes: &'a [u8]) -> Self {
        let mut reader = Reader::new(bytes);
        let count = reader.int().map_or(0, |count| count.max(0) as usize);
        AclList { count, entries: reader.rest() }
    }

    /// Bytes on the wire, the count included.
    pub(crate) fn size(&self) -> usize {
        4 + self.entries.len()
    }

    /// The entries in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = AclEntry<'a>> + use<'a> {
        let mut reader = Reader::new(self.entries);
        std::iter::from_fn(move || Self::entry(&mut reader).ok())
    }

    /// The entries in order as a client sent them: null is told from empty.
    pub(crate) fn iter_sent(&self) -> impl Iterator<Item = SentAclEntry<'a>> + use<'a> {
        let mut reader = Reader::new(self.entries);
        std::iter::from_fn(move || Self::sent(&mut reader).ok())
    }

    /// How many entries.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// No entry at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Appends the vector.
    pub fn put(&self, out: &mut Vec<u8>) {
        put_int(out, self.count as i32);
        out.extend_from_slice(self.entries);
    }
}

/// `scheme:id:perms` as zkCli takes it, between commas.
impl fmt::Display for AclList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters =
            [(perms::CREATE, 'c'), (perms::DELETE, 'd'), (perms::READ, 'r'), (perms::WRITE, 'w'), (perms::ADMIN, 'a')];
        self.iter().enumerate().try_for_each(|(index, entry)| {
            let before = if index == 0 { "" } else { "," };
            write!(f, "{before}{}:{}:", entry.scheme.escape_ascii(), entry.id.escape_ascii())?;
            let mut allowed = letters.iter().filter(|(bit, _)| entry.perms & bit != 0);
            allowed.try_for_each(|(_, letter)| f.write_char(*letter))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acl_list_reads_what_it_wrote() {
        let mut out = vec![];
        put_int(&mut out, 2);
        AclEntry { perms: 31, scheme: b"world", id: b"anyone" }.put(&mut out);
        AclEntry { perms: 1, scheme: b"ip", id: b"127.0.0.1" }.put(&mut out);
        let list = AclList::read(&mut Reader::new(&out)).unwrap().unwrap();
        assert_eq!(list.len(), 2);
        assert_eq!(list.iter().nth(1).unwrap().id, b"127.0.0.1");
        let mut again = vec![];
        list.put(&mut again);
        assert_eq!(again, out);
        assert_eq!(AclList::read(&mut Reader::new(&[0x7f, 0xff, 0xff, 0xff])), Err(DecodeError::Short));
    }

    #[test]
    fn a_null_id_reads_as_empty() {
        let mut out = vec![];
        put_int(&mut out, 1);
        put_int(&mut out, 31);
        put_bytes(&mut out, b"auth");
        put_int(&mut out, -1);
        let list = AclList::read(&mut Reader::new(&out)).unwrap().unwrap();
        assert_eq!(list.iter().next(), Some(AclEntry { perms: 31, scheme: b"auth", id: b"" }));
    }

    #[test]
    fn stat_is_68_bytes_and_survives() {
        let stat = Stat { czxid: 1, mzxid: 2, pzxid: 3, num_children: 4, ephemeral_owner: -5, ..Stat::default() };
        let mut out = vec![];
        stat.put(&mut out);
        assert_eq!(out.len(), Stat::WIRE_LEN);
        assert_eq!(Stat::read(&mut Reader::new(&out)), Ok(stat));
    }
}

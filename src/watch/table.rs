//! The watches themselves, found by path, by connection, and by both.
//!
//! A watch is one record (28 bytes) in two linked lists: that of its path and that of its connection. A path
//! has three lists, so that a trigger walks only what it fires: the data table's plain watches, the data
//! table's recursive ones (the only ones an event below the path concerns), and the child table's. Paths are
//! stored once. Look-ups go through hash tables cut in many parts, of which each grows on its own.

use super::groups::{Group, Groups};
use super::slab::{NIL, Slab};
use crate::ids::hash_state;
use crate::limits;
use hashbrown::HashTable;
use std::net::IpAddr;

/// How many watches there may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WatchLimits {
    /// Watches of one connection, both tables together.
    pub per_connection: usize,
    /// Bytes of all watches and their paths.
    pub bytes: usize,
    /// Bytes of those of all connections from one address.
    pub per_address: usize,
}

impl WatchLimits {
    /// Those of one shard of so many, which have so many bytes for watches together. One address has half of each, and so half
    /// of all, however its connections are spread.
    pub(crate) fn of_shard(bytes: usize, shards: usize, per_connection: usize) -> WatchLimits {
        let bytes = (bytes / shards).max(1);
        WatchLimits { per_connection, bytes, per_address: (bytes / limits::WATCHES_OF_ONE_ADDRESS).max(1) }
    }
}

impl Default for WatchLimits {
    /// No limit.
    fn default() -> Self {
        WatchLimits { per_connection: usize::MAX, bytes: usize::MAX, per_address: usize::MAX }
    }
}

/// Which of the two tables of watches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Table {
    Data = 0,
    Child = 1,
}

/// The modes of one watch; a set, never empty in a stored watch.
pub(super) mod modes {
    pub(crate) const ONE_SHOT: u8 = 1;
    pub(crate) const PERSISTENT: u8 = 2;
    pub(crate) const RECURSIVE: u8 = 4;
    pub(crate) const ALL: u8 = ONE_SHOT | PERSISTENT | RECURSIVE;
}

/// The three lists of a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum List {
    /// Data table, without the mode recursive.
    Data = 0,
    /// Data table, with the mode recursive, whatever other modes there are.
    Recursive = 1,
    /// Child table.
    Child = 2,
}

/// That one connection watches one path in one table.
#[derive(Debug)]
struct Watch {
    path: u32,
    slot: u32,
    prev_of_path: u32,
    next_of_path: u32,
    prev_of_conn: u32,
    next_of_conn: u32,
    modes: u8,
    table: Table,
}

impl Watch {
    #[inline]
    fn key(&self) -> Key {
        Key { table: self.table, slot: self.slot, path: self.path }
    }

    fn list(&self) -> List {
        match self.table {
            Table::Child => List::Child,
            Table::Data if self.modes & modes::RECURSIVE != 0 => List::Recursive,
            Table::Data => List::Data,
        }
    }
}

/// A path that somebody watches.
#[derive(Debug)]
struct Watched {
    path: Box<[u8]>,
    hash: u64,
    /// The first watch of each [`List`].
    heads: [u32; 3],
    /// Whom it counts for.
    group: Group,
}

impl Watched {
    fn has_data(&self) -> bool {
        self.heads[List::Data as usize] != NIL || self.heads[List::Recursive as usize] != NIL
    }
}

/// A connection's side.
#[derive(Clone, Debug)]
struct Conn {
    head: u32,
    /// Its watches, and those of them in the data table.
    watches: u32,
    data: u32,
    /// The last round of firing in which it was told something.
    round: u64,
    /// It is gone, its watches are removed bit by bit.
    has_ended: bool,
    /// Whom its watches count for.
    group: Group,
}

impl Conn {
    const NEW: Conn = Conn { head: NIL, watches: 0, data: 0, round: 0, has_ended: false, group: NIL };
}

/// How many watches there are, by what the administrator asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Counts {
    /// Watches in the data table.
    pub(crate) data: usize,
    /// Watches in the child table.
    pub(crate) child: usize,
    /// Watches with the mode recursive.
    pub(crate) recursive: usize,
    /// Connections with watches in the data table.
    pub(crate) data_conns: usize,
    /// Paths with watches in the data table.
    pub(crate) data_paths: usize,
}

/// All watches of a shard.
#[derive(Debug, Default)]
pub(super) struct Lists {
    watches: Slab<Watch>,
    paths: Slab<Watched>,
    by_path: Parts,
    by_key: Parts,
    conns: Vec<Conn>,
    groups: Groups,
    counts: Counts,
    /// Watches of ended connections.
    ended: usize,
    /// What the paths take, bytes.
    path_bytes: usize,
}

/// What a path takes, bytes.
fn path_cost(length: usize) -> usize {
    limits::WATCHED_PATH_BYTES + length
}

impl Lists {
    /// Addresses that are known.
    #[cfg(test)]
    pub(crate) fn addresses(&self) -> usize {
        self.groups.count()
    }

    /// How many there are.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// A connection from this address has that slot now.
    pub(crate) fn join(&mut self, slot: u32, address: IpAddr) {
        Self::conn(&mut self.conns, slot).group = self.groups.join(address);
    }

    fn conn(conns: &mut Vec<Conn>, slot: u32) -> &mut Conn {
        if conns.len() <= slot as usize {
            conns.resize(slot as usize + 1, Conn::NEW);
        }
        &mut conns[slot as usize]
    }

    /// The number of a path, if somebody watches it.
    #[inline]
    pub(crate) fn find_path(&self, path: &[u8], hash: u64) -> Option<u32> {
        self.by_path.find(hash, |at| *self.paths[at].path == *path)
    }

    /// Adds modes to the watch of a connection on a path in a table, which is made if it is not there.
    pub(crate) fn add(&mut self, table: Table, slot: u32, path: &[u8], hash: u64, added: u8) {
        let path = match self.find_path(path, hash) {
            Some(at) => at,
            None => {
                let (cost, group) =
                    (path_cost(path.len()), self.conns.get(slot as usize).map_or(NIL, |conn| conn.group));
                self.path_bytes += cost;
                self.groups.add(group, cost);
                let at = self.paths.insert(Watched { path: path.into(), hash, heads: [NIL; 3], group });
                self.by_path.insert(hash, at, |at| self.paths[at].hash);
                at
            }
        };
        let key = Key { table, slot, path };
        let hash = key.hash();
        match self.find(key, hash) {
            Some(at) => self.set_modes(at, self.watches[at].modes | added),
            None => self.insert(key, hash, added),
        }
    }

    /// The modes of the watch of a connection on a path in a table; 0 if there is none.
    pub(crate) fn modes(&self, table: Table, slot: u32, path: &[u8], hash: u64) -> u8 {
        let path = self.find_path(path, hash);
        let key = path.map(|path| Key { table, slot, path });
        key.and_then(|key| self.find(key, key.hash())).map_or(0, |at| self.watches[at].modes)
    }

    /// Takes modes away from a watch; true if it had one of them.
    pub(crate) fn remove(&mut self, table: Table, slot: u32, path: &[u8], hash: u64, removed: u8) -> bool {
        let Some(path) = self.find_path(path, hash) else { return false };
        let key = Key { table, slot, path };
        let Some(at) = self.find(key, key.hash()) else { return false };
        let before = self.watches[at].modes;
        if before & removed == 0 {
            return false;
        }
        self.set_modes(at, before & !removed);
        self.forget_if_unwatched(path);
        true
    }

    /// Bytes of memory taken, watches of ended connections left out.
    pub(crate) fn bytes(&self) -> usize {
        (self.counts.data + self.counts.child - self.ended) * limits::WATCH_BYTES + self.path_bytes
    }

    /// Whether a connection may have `added` more watches, on a path that is new if its length is given.
    #[inline]
    pub(crate) fn has_room(&self, limits: WatchLimits, slot: u32, added: usize, new_path: Option<usize>) -> bool {
        let (own, group) = self.conns.get(slot as usize).map_or((0, NIL), |conn| (conn.watches as usize, conn.group));
        let more = added * limits::WATCH_BYTES + new_path.map_or(0, path_cost);
        own + added <= limits.per_connection
            && self.bytes() + more <= limits.bytes
            && self.groups.bytes(group) + more <= limits.per_address
    }

    /// A connection has ended; whether it has watches.
    pub(crate) fn end_connection(&mut self, slot: u32) -> bool {
        let Some(conn) = self.conns.get_mut(slot as usize) else { return false };
        let group = std::mem::replace(&mut conn.group, NIL);
        self.groups.take(group, conn.watches as usize * limits::WATCH_BYTES);
        self.groups.leave(group);
        conn.has_ended = conn.watches > 0;
        self.ended += conn.watches as usize;
        conn.has_ended
    }

    /// Removes watches of a connection that has ended, `left` at most, of which those removed are taken away. Whether
    /// all are gone.
    pub(crate) fn remove_some(&mut self, slot: u32, left: &mut usize) -> bool {
        loop {
            let conn = &mut self.conns[slot as usize];
            if conn.head == NIL {
                conn.has_ended = false;
                return true;
            }
            if *left == 0 {
                return false;
            }
            *left -= 1;
            let at = conn.head;
            let path = self.watches[at].path;
            self.set_modes(at, 0);
            self.forget_if_unwatched(path);
        }
    }

    /// Appends the connections in one of a path's lists to `out`, those aside that were told something in this
    /// round already. One-shot modes are used up, those of the ones aside too, unless the event happened
    /// `below` the path. Call [`Lists::forget_if_unwatched`] for the path in the end.
    pub(crate) fn collect(&mut self, path: u32, list: List, below: bool, round: u64, out: &mut Vec<u32>) {
        let mut at = self.paths[path].heads[list as usize];
        while at != NIL {
            let watch = &self.watches[at];
            let (slot, now, next) = (watch.slot, watch.modes, watch.next_of_path);
            let conn = &mut self.conns[slot as usize];
            if conn.round != round && !conn.has_ended {
                conn.round = round;
                out.push(slot);
            }
            if !below && now & modes::ONE_SHOT != 0 {
                self.set_modes(at, now & !modes::ONE_SHOT);
            }
            at = next;
        }
    }

    /// Lets go of a path that nobody watches any more.
    pub(crate) fn forget_if_unwatched(&mut self, path: u32) {
        let watched = &self.paths[path];
        if watched.heads == [NIL; 3] {
            self.path_bytes -= path_cost(watched.path.len());
            self.groups.take(watched.group, path_cost(watched.path.len()));
            self.by_path.remove(watched.hash, path);
            self.paths.remove(path);
        }
    }

    /// Calls `each` with every connection and path of the data table, connection by connection.
    pub(crate) fn for_each_data_watch(&self, each: &mut impl FnMut(u32, &[u8])) {
        for conn in self.conns.iter().filter(|conn| !conn.has_ended) {
            let mut at = conn.head;
            while at != NIL {
                let watch = &self.watches[at];
                if watch.table == Table::Data {
                    each(watch.slot, &self.paths[watch.path].path);
                }
                at = watch.next_of_conn;
            }
        }
    }

    #[inline]
    fn find(&self, key: Key, hash: u64) -> Option<u32> {
        self.by_key.find(hash, |at| self.watches[at].key() == key)
    }

    fn insert(&mut self, key: Key, hash: u64, modes: u8) {
        let Key { table, slot, path } = key;
        let conn = Self::conn(&mut self.conns, slot);
        self.groups.add(conn.group, limits::WATCH_BYTES);
        let next_of_conn = conn.head;
        let links =
            Watch { path, slot, prev_of_path: NIL, next_of_path: NIL, prev_of_conn: NIL, next_of_conn, modes, table };
        let list = links.list();
        let at = self.watches.insert(links);
        conn.head = at;
        if next_of_conn != NIL {
            self.watches[next_of_conn].prev_of_conn = at;
        }
        conn.watches += 1;
        match table {
            Table::Data => {
                self.counts.data += 1;
                self.counts.data_conns += usize::from(conn.data == 0);
                conn.data += 1;
            }
            Table::Child => self.counts.child += 1,
        }
        self.by_key.insert(hash, at, |at| self.watches[at].key().hash());
        self.link(at, path, list);
    }

    /// Gives a watch other modes; without any it is gone.
    fn set_modes(&mut self, at: u32, modes: u8) {
        if modes == 0 {
            return self.drop(at);
        }
        let watch = &mut self.watches[at];
        let before = std::mem::replace(&mut watch.modes, modes);
        if modes & modes::RECURSIVE != before & modes::RECURSIVE {
            let before = Watch { modes: before, ..*watch };
            let (path, list) = (watch.path, watch.list());
            self.unlink(&before);
            self.link(at, path, list);
        }
    }

    fn drop(&mut self, at: u32) {
        let watch = self.watches.remove(at);
        self.unlink(&watch);
        self.by_key.remove(watch.key().hash(), at);
        let Watch { slot, prev_of_conn, next_of_conn, table, .. } = watch;
        if next_of_conn != NIL {
            self.watches[next_of_conn].prev_of_conn = prev_of_conn;
        }
        let conn = &mut self.conns[slot as usize];
        if prev_of_conn != NIL {
            self.watches[prev_of_conn].next_of_conn = next_of_conn;
        } else {
            conn.head = next_of_conn;
        }
        conn.watches -= 1;
        self.groups.take(conn.group, limits::WATCH_BYTES);
        self.ended -= usize::from(conn.has_ended);
        match table {
            Table::Data => {
                conn.data -= 1;
                self.counts.data_conns -= usize::from(conn.data == 0);
                self.counts.data -= 1;
            }
            Table::Child => self.counts.child -= 1,
        }
    }

    /// Puts a watch in front of the list of its path that its modes ask for.
    fn link(&mut self, at: u32, path: u32, list: List) {
        let watched = &mut self.paths[path];
        self.counts.data_paths += usize::from(list != List::Child && !watched.has_data());
        self.counts.recursive += usize::from(list == List::Recursive);
        let next = std::mem::replace(&mut watched.heads[list as usize], at);
        let watch = &mut self.watches[at];
        (watch.prev_of_path, watch.next_of_path) = (NIL, next);
        if next != NIL {
            self.watches[next].prev_of_path = at;
        }
    }

    /// Takes a watch out of the list of its path.
    fn unlink(&mut self, watch: &Watch) {
        let (list, path, prev, next) = (watch.list(), watch.path, watch.prev_of_path, watch.next_of_path);
        if next != NIL {
            self.watches[next].prev_of_path = prev;
        }
        let watched = &mut self.paths[path];
        if prev != NIL {
            self.watches[prev].next_of_path = next;
        } else {
            watched.heads[list as usize] = next;
        }
        self.counts.data_paths -= usize::from(list != List::Child && !watched.has_data());
        self.counts.recursive -= usize::from(list == List::Recursive);
    }
}

/// What a watch is found by, besides its path.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    table: Table,
    slot: u32,
    path: u32,
}

impl Key {
    #[inline]
    fn hash(self) -> u64 {
        hash_state().hash_one((u64::from(self.path) << 32 | u64::from(self.slot), self.table as u8))
    }
}

/// Parts of a look-up table. One table of a million entries would stop a shard for tens of milliseconds each
/// time it grows; a part grows in a fraction of one.
const PARTS: usize = 256;

/// Numbers by hash.
#[derive(Debug)]
struct Parts(Box<[HashTable<u32>]>);

impl Default for Parts {
    fn default() -> Self {
        Parts((0..PARTS).map(|_| HashTable::new()).collect())
    }
}

impl Parts {
    /// The bits in the middle choose the part: the table itself uses those at both ends.
    #[inline]
    fn part(hash: u64) -> usize {
        (hash >> 40) as usize % PARTS
    }

    #[inline]
    fn find(&self, hash: u64, is: impl Fn(u32) -> bool) -> Option<u32> {
        self.0[Self::part(hash)].find(hash, |&at| is(at)).copied()
    }

    fn insert(&mut self, hash: u64, at: u32, rehash: impl Fn(u32) -> u64) {
        self.0[Self::part(hash)].insert_unique(hash, at, |&at| rehash(at));
    }

    fn remove(&mut self, hash: u64, at: u32) {
        let entry = self.0[Self::part(hash)].find_entry(hash, |&other| other == at);
        entry.expect("what is stored can be found").remove();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_small() {
        assert_eq!(size_of::<Watch>(), 28);
        assert_eq!(size_of::<Watched>(), 40);
    }

    #[test]
    fn nothing_stays_behind() {
        let mut lists = Lists::default();
        for slot in 0..50 {
            for n in 0..40u64 {
                let path = format!("/p{n}");
                lists.add(Table::Data, slot, path.as_bytes(), n << 40, 1 << (n % 3));
                lists.add(Table::Child, slot, path.as_bytes(), n << 40, modes::PERSISTENT);
            }
        }
        assert_eq!((lists.counts.data, lists.counts.child, lists.counts.data_paths), (2000, 2000, 40));
        for slot in (0..50).rev() {
            assert!(lists.end_connection(slot));
            let mut left = usize::MAX;
            assert!(lists.remove_some(slot, &mut left));
        }
        assert!(!lists.end_connection(1000));
        assert_eq!(lists.counts, Counts::default());
        assert_eq!((lists.bytes(), lists.ended), (0, 0));
        assert!(lists.by_key.0.iter().all(|part| part.is_empty()));
        assert!(lists.by_path.0.iter().all(|part| part.is_empty()));
    }
}

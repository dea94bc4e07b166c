//! The whole tree of every member, read through a session on it, and whether the members agree: every node's data,
//! access control list and all fields of its Stat, and the digests that the servers themselves keep.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::cluster::{Ensemble, SESSION_MS};
use super::support::client::{Connection, four_letter_word};
use super::support::fields::{self, Value};
use super::support::wait_for;
use super::support::wire::{self, op};

/// Members that were just found whole agree within this: sessions may still end while they are read, and on a busy
/// machine a member may lose its leader once more, and its readers with it.
const AGREE_LIMIT: Duration = Duration::from_secs(60);

/// Nodes asked for at once.
const CHUNK: usize = 64;

/// A node; times in milliseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Znode {
    pub data: Vec<u8>,
    pub acl: String,
    pub czxid: i64,
    pub mzxid: i64,
    pub pzxid: i64,
    pub ctime: i64,
    pub mtime: i64,
    pub version: i32,
    pub cversion: i32,
    pub aversion: i32,
    pub owner: i64,
}

/// Nodes by path. What lies below /zookeeper is each server's own: its configuration names the relays it uses.
pub type Tree = BTreeMap<String, Znode>;

/// Reads the tree of a server, after a sync. An error when the server does not serve all the while.
pub fn read(address: SocketAddr) -> io::Result<Tree> {
    let mut connection = Connection::new_session(address, SESSION_MS)?;
    let synced = connection.call(&wire::sync("/"))?;
    if synced.err != 0 {
        return Err(io::Error::other(format!("sync was refused with {}", synced.err)));
    }
    let mut tree = Tree::new();
    let mut level = vec!["/".to_string()];
    while !level.is_empty() {
        let mut next = Vec::new();
        for some in level.chunks(CHUNK) {
            for path in some {
                connection.push(&wire::get_children2(path, false));
                connection.push(&wire::get_data(path, false));
                connection.push(&wire::get_acl(path));
            }
            connection.flush()?;
            for path in some {
                let mut node = Znode::default();
                let mut names = Vec::new();
                let mut gone = false;
                for opcode in [op::GET_CHILDREN2, op::GET_DATA, op::GET_ACL] {
                    let reply = connection.next_reply()?;
                    // A node may go between the reply that named it and this one.
                    gone |= reply.err != 0;
                    if !gone {
                        node.take(opcode, &reply.body, &mut names);
                    }
                }
                if gone {
                    continue;
                }
                let parent = if path == "/" { "" } else { path };
                next.extend(names.iter().map(|name| format!("{parent}/{name}")).filter(|path| path != "/zookeeper"));
                tree.insert(path.clone(), node);
            }
        }
        level = next;
    }
    connection.close()?;
    Ok(tree)
}

impl Znode {
    /// Takes what one reply says about the node.
    fn take(&mut self, opcode: i32, body: &[u8], names: &mut Vec<String>) {
        let decoded = fields::of_reply(opcode, body).expect("a reply that decodes");
        for field in &decoded {
            match (field.name, &field.value) {
                ("children", Value::Strings(Some(list))) => {
                    names.extend(list.iter().map(|name| String::from_utf8_lossy(name).into_owned()));
                }
                ("data", Value::Bytes(data)) => self.data = data.clone().unwrap_or_default(),
                ("acl", value) => self.acl = format!("{value:?}"),
                ("czxid", Value::Zxid(zxid)) => self.czxid = *zxid,
                ("mzxid", Value::Zxid(zxid)) => self.mzxid = *zxid,
                ("pzxid", Value::Zxid(zxid)) => self.pzxid = *zxid,
                ("ctime", Value::Time(time)) => self.ctime = *time,
                ("mtime", Value::Time(time)) => self.mtime = *time,
                ("version", Value::Int(version)) => self.version = *version,
                ("cversion", Value::Int(version)) => self.cversion = *version,
                ("aversion", Value::Int(version)) => self.aversion = *version,
                ("ephemeralOwner", Value::Session(owner)) => self.owner = *owner,
                _ => {}
            }
        }
    }
}

/// Reads all members' trees until they are the same, and gives that tree.
pub fn agreed(ensemble: &Ensemble) -> Tree {
    let addresses = ensemble.addresses();
    let mut differences = Vec::new();
    let tree = wait_for(AGREE_LIMIT, || {
        let trees: Vec<io::Result<Tree>> = std::thread::scope(|scope| {
            let readers: Vec<_> = addresses.iter().map(|address| scope.spawn(|| read(*address))).collect();
            readers.into_iter().map(|reader| reader.join().expect("a reader's end")).collect()
        });
        let told = trees.iter().zip(&addresses).filter_map(|(tree, address)| {
            let error = tree.as_ref().err()?;
            Some(format!("{address} ends a reader: {error}"))
        });
        differences = told.collect();
        let mut trees: Vec<Tree> = trees.into_iter().flatten().collect();
        if differences.is_empty() {
            let others = trees[1..].iter().enumerate();
            differences = others
                .flat_map(|(place, tree)| {
                    difference(&trees[0], tree)
                        .map(|what| format!("{} is not as {}: {what}", addresses[place + 1], addresses[0]))
                })
                .chain(digests_agree(ensemble).err())
                .collect();
        }
        differences.is_empty().then(|| trees.swap_remove(0))
    });
    tree.unwrap_or_else(|| panic!("no agreement within {AGREE_LIMIT:?}: {differences:#?}\n{}", ensemble.logs()))
}

/// The first node that is not the same in two trees.
fn difference(one: &Tree, other: &Tree) -> Option<String> {
    let paths = one.keys().chain(other.keys().filter(|path| !one.contains_key(*path)));
    paths.into_iter().find_map(|path| {
        let (first, second) = (one.get(path), other.get(path));
        (first != second).then(|| format!("{path} is {first:?} and {second:?}"))
    })
}

/// Zxids between two digests that a server keeps.
const DIGEST_INTERVAL: usize = 128;

/// Servers keep the digest of the tree at some zxids; at the same zxid it is the same. What once differs stays so, as
/// long as it is kept: waiting does not mend it.
///
/// Where there is a ZooKeeper, what is kept up to now is no witness: the snapshots it sends to learners have effects of
/// transactions that follow in them, and until a learner is through these its digests are wrong, as its log says. Nor is
/// ever a ZooKeeper that found its own digests wrong, in what it read from its own disk: it goes on from the wrong one.
fn digests_agree(ensemble: &Ensemble) -> Result<(), String> {
    let addresses = ensemble.addresses_of_witnesses();
    let after =
        if ensemble.is_mixed() { write_on(ensemble.addresses()[0]).map_err(|error| error.to_string())? } else { 0 };
    let mut known: BTreeMap<i64, (SocketAddr, String)> = BTreeMap::new();
    for address in addresses {
        let kept = wait_for(AGREE_LIMIT, || {
            let kept = digests(address);
            // A member may be a moment behind.
            let is_there = kept.as_ref().is_ok_and(|kept| after == 0 || kept.iter().any(|(zxid, _)| *zxid > after));
            is_there.then_some(kept)
        });
        let kept = kept.ok_or_else(|| format!("{address} keeps no digest after {after:#x}"))??;
        for (zxid, digest) in kept.into_iter().filter(|(zxid, _)| *zxid > after) {
            let (first, same) = known.entry(zxid).or_insert_with(|| (address, digest.clone()));
            assert_eq!(digest, *same, "the digest at {zxid:#x} on {address} and on {first}");
        }
    }
    Ok(())
}

/// Writes until a digest more is kept, and gives the zxid from before.
fn write_on(address: SocketAddr) -> io::Result<i64> {
    let mut connection = Connection::new_session(address, SESSION_MS)?;
    let before = connection.call(&wire::sync("/"))?.zxid;
    for _ in 0..=DIGEST_INTERVAL {
        connection.push(&wire::set_data("/", Some(b""), -1));
    }
    connection.flush()?;
    for _ in 0..=DIGEST_INTERVAL {
        connection.next_reply()?;
    }
    connection.close()?;
    Ok(before)
}

/// The digests a server keeps, by zxid.
fn digests(address: SocketAddr) -> Result<Vec<(i64, String)>, String> {
    let answer = four_letter_word(address, "hash").map_err(|error| format!("{address}: hash: {error}"))?;
    let line = |line: &str| {
        let (zxid, digest) = line.split_once(": ")?;
        Some((i64::from_str_radix(zxid, 16).ok()?, digest.to_string()))
    };
    answer.lines().map(|text| line(text).ok_or_else(|| format!("{address}: hash answers {text}"))).collect()
}

#[test]
fn a_difference_in_any_field_is_found() {
    let node = Znode { data: b"x".to_vec(), czxid: 3, ..Znode::default() };
    let tree = Tree::from([("/a".to_string(), node.clone())]);
    assert_eq!(difference(&tree, &tree.clone()), None);
    let other = Tree::from([("/a".to_string(), Znode { mtime: 5, ..node.clone() })]);
    assert!(difference(&tree, &other).is_some());
    assert!(difference(&tree, &Tree::new()).is_some());
    assert!(difference(&Tree::new(), &tree).is_some());
}

//! The whole tree of every member, read through a session on it, and whether the members agree: every node's data,
//! access control list and all fields of its Stat, and the digests that the servers themselves keep.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::cluster::{Ensemble, SESSION_MS};
use super::support::client::{Connection, four_letter_word};
use super::support::fields::{self, Value};
use super::support::wait_for;
use super::support::wire::{self, op};

/// Members that were just found whole agree within this: sessions may still end while they are read.
const AGREE_LIMIT: Duration = Duration::from_secs(20);

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

/// Reads the tree of a server, after a sync.
pub fn read(address: SocketAddr) -> Tree {
    let mut connection = Connection::new_session(address, SESSION_MS)
        .unwrap_or_else(|error| panic!("{address} opens no session to read with: {error}"));
    connection.must(&wire::sync("/"));
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
            connection.flush().unwrap_or_else(|error| panic!("{address} ends a reader: {error}"));
            for path in some {
                let mut node = Znode::default();
                let mut names = Vec::new();
                let mut gone = false;
                for opcode in [op::GET_CHILDREN2, op::GET_DATA, op::GET_ACL] {
                    let reply =
                        connection.next_reply().unwrap_or_else(|error| panic!("{address} ends a reader: {error}"));
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
    connection.close().expect("the end of a reader's session");
    tree
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
        let trees: Vec<Tree> = std::thread::scope(|scope| {
            let readers: Vec<_> = addresses.iter().map(|address| scope.spawn(|| read(*address))).collect();
            readers.into_iter().map(|reader| reader.join().expect("a tree that can be read")).collect()
        });
        differences = trees[1..]
            .iter()
            .enumerate()
            .flat_map(|(place, tree)| difference(&trees[0], tree).map(|what| format!("member {}: {what}", place + 2)))
            .collect();
        differences.is_empty().then(|| trees.into_iter().next().expect("a member"))
    });
    let tree = tree.unwrap_or_else(|| panic!("members differ from member 1: {differences:#?}\n{}", ensemble.logs()));
    assert_digests_agree(&addresses);
    tree
}

/// The first node that is not the same in two trees.
fn difference(one: &Tree, other: &Tree) -> Option<String> {
    let paths = one.keys().chain(other.keys().filter(|path| !one.contains_key(*path)));
    paths.into_iter().find_map(|path| {
        let (first, second) = (one.get(path), other.get(path));
        (first != second).then(|| format!("{path} is {first:?} and {second:?}"))
    })
}

/// Servers keep the digest of the tree at some zxids; at the same zxid it is the same.
fn assert_digests_agree(addresses: &[SocketAddr]) {
    let mut known: BTreeMap<String, (SocketAddr, String)> = BTreeMap::new();
    for address in addresses {
        let answer = four_letter_word(*address, "hash").unwrap_or_else(|error| panic!("{address}: hash: {error}"));
        for line in answer.lines() {
            let Some((zxid, digest)) = line.split_once(": ") else {
                panic!("{address}: hash answers {line}");
            };
            let (first, same) = known.entry(zxid.to_string()).or_insert_with(|| (*address, digest.to_string()));
            assert_eq!(digest, same, "the digest at {zxid} on {address} and on {first}");
        }
    }
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

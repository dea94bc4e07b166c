//! The tree as the committed transactions make it, kept at every zxid: what a reply should have said can be looked up.
//!
//! Naive on purpose: every znode has a list of its versions, and a transaction is carried out in the plainest way.
//! Nothing of the server's own tree is used.

use crate::ids::{SessionId, Zxid};
use crate::jute::txn::{MultiTxn, read_entry};
use crate::jute::{OpCode, Stat, Txn as Record, TxnHeader};
use crate::tree::change::ChangeKind;
use crate::tree::owner::ttl_owner;
use crate::zab::history::Txn;
use std::collections::{BTreeMap, BTreeSet};

/// A znode at some zxid.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Znode {
    /// `None` is null, which is not the same as empty.
    pub data: Option<Vec<u8>>,
    /// All of what a client is told but cversion.
    pub stat: Stat,
    /// Children created so far: what sequential names are made of.
    pub created: i32,
}

impl Znode {
    /// What a client is told of it.
    pub fn stat(&self) -> Stat {
        // A deletion counts as well; every child that is gone was created.
        Stat { cversion: 2 * self.created - self.stat.num_children, ..self.stat }
    }
}

/// A committed transaction, as far as it matters here.
#[derive(Clone, Debug)]
pub struct Committed {
    /// Whose transaction it is, of which zxid, time and operation.
    pub header: TxnHeader,
    /// Of an error: its code. Of a failed multi: that of the member that failed. 0 else.
    pub error: i32,
    /// What it did to znodes, in order.
    pub changes: Vec<(ChangeKind, Vec<u8>)>,
}

impl Committed {
    /// A multi of which nothing was done.
    pub fn is_failed_multi(&self) -> bool {
        self.header.op == OpCode::Multi && self.error != 0
    }
}

/// When a session was.
#[derive(Clone, Copy, Debug)]
pub struct Life {
    /// The zxid of its createSession.
    pub opened: Zxid,
    /// The zxid of its closeSession; `None` while it is open.
    pub closed: Option<Zxid>,
    /// The xid of the close: 0 for one that expired.
    pub closed_by: i32,
}

/// The tree at every zxid.
pub struct Model {
    versions: BTreeMap<Vec<u8>, Vec<(i64, Option<Znode>)>>,
    txns: BTreeMap<i64, Committed>,
    /// Every session that a transaction has opened, also those that are closed.
    pub sessions: BTreeMap<SessionId, Life>,
    /// Where a session's request came to lie.
    pub requests: BTreeMap<(SessionId, i32), Zxid>,
    ephemerals: BTreeMap<SessionId, BTreeSet<Vec<u8>>>,
    /// The last xid of each session that was not refused.
    last_xid: BTreeMap<SessionId, i32>,
    /// There are sessions that no transaction opens.
    pub local_sessions: bool,
}

impl Default for Model {
    fn default() -> Self {
        Self::new()
    }
}

/// What is below this belongs to the server.
const SYSTEM: &[u8] = b"/zookeeper/";

/// The path above, `None` for the root.
pub fn parent(path: &[u8]) -> Option<&[u8]> {
    let slash = path.iter().rposition(|byte| *byte == b'/')?;
    match slash {
        0 if path.len() == 1 => None,
        0 => Some(b"/"),
        slash => Some(&path[..slash]),
    }
}

impl Model {
    /// The tree of a new server, as far as clients of the simulator look at it.
    pub fn new() -> Model {
        let root = Znode { stat: Stat { num_children: 1, ..Stat::default() }, ..Znode::default() };
        Model {
            versions: BTreeMap::from([(b"/".to_vec(), vec![(0, Some(root))])]),
            txns: BTreeMap::new(),
            sessions: BTreeMap::new(),
            requests: BTreeMap::new(),
            ephemerals: BTreeMap::new(),
            last_xid: BTreeMap::new(),
            local_sessions: false,
        }
    }

    /// A znode as it was at a zxid.
    pub fn at(&self, path: &[u8], zxid: Zxid) -> Option<&Znode> {
        let versions = self.versions.get(path)?;
        let upto = versions.partition_point(|(since, _)| *since <= zxid.0);
        versions[..upto].last()?.1.as_ref()
    }

    /// The names of a znode's children at a zxid.
    pub fn children(&self, path: &[u8], zxid: Zxid) -> BTreeSet<Vec<u8>> {
        let prefix = if path == b"/" { path.to_vec() } else { [path, b"/"].concat() };
        let below = self.versions.range(prefix.clone()..).take_while(|(path, _)| path.starts_with(&prefix));
        let names = below.filter(|(path, _)| path.len() > prefix.len() && !path[prefix.len()..].contains(&b'/'));
        let there = names.filter(|(path, _)| self.at(path, zxid).is_some());
        there.map(|(path, _)| path[prefix.len()..].to_vec()).collect()
    }

    /// The ephemerals of a session at a zxid.
    pub fn ephemerals(&self, session: SessionId, zxid: Zxid) -> BTreeSet<Vec<u8>> {
        let is_its = |path: &&Vec<u8>| self.at(path, zxid).is_some_and(|znode| znode.stat.ephemeral_owner == session.0);
        self.versions.keys().filter(is_its).cloned().collect()
    }

    /// Whether a session was open at a zxid.
    pub fn is_open(&self, session: SessionId, zxid: Zxid) -> bool {
        self.sessions
            .get(&session)
            .is_some_and(|life| life.opened <= zxid && life.closed.is_none_or(|closed| closed > zxid))
    }

    /// Whether a session may write at a zxid: it is open, or of one server alone and never was anything else.
    pub fn may_write(&self, session: SessionId, zxid: Zxid) -> bool {
        let has_begun = self.sessions.get(&session).is_some_and(|life| life.opened <= zxid);
        self.is_open(session, zxid) || (self.local_sessions && !has_begun)
    }

    /// The transaction of a zxid.
    pub fn txn(&self, zxid: Zxid) -> Option<&Committed> {
        self.txns.get(&zxid.0)
    }

    /// The transactions of a stretch, the first not included.
    pub fn between(&self, after: Zxid, upto: Zxid) -> impl Iterator<Item = &Committed> {
        self.txns.range(after.0 + 1..upto.0.max(after.0) + 1).map(|(_, txn)| txn)
    }

    /// All znodes there are now.
    pub fn now(&self) -> impl Iterator<Item = (&[u8], &Znode)> {
        self.versions.iter().filter_map(|(path, versions)| Some((path.as_slice(), versions.last()?.1.as_ref()?)))
    }

    /// Carries out the next transaction.
    pub fn apply(&mut self, txn: &Txn) {
        let (header, record, _) = read_entry(&txn.bytes).expect("a transaction is well formed");
        assert_eq!(header.zxid, txn.zxid, "one zxid, not two");
        let TxnHeader { session, cxid, zxid, .. } = header;
        if cxid > 0 {
            let before = self.requests.insert((session, cxid), zxid);
            assert_eq!(before, None, "request {cxid} of {session} is carried out twice, again at {zxid}");
        }
        let mut changes = vec![];
        let mut error = 0;
        match record {
            Record::CreateSession { .. } => {
                let life = Life { opened: zxid, closed: None, closed_by: 0 };
                assert!(self.sessions.insert(session, life).is_none(), "{session} is opened twice");
            }
            Record::CloseSession { paths } => {
                let listed: Option<BTreeSet<Vec<u8>>> = paths.map(|paths| paths.iter().map(<[u8]>::to_vec).collect());
                self.close(&header, listed.unwrap_or_default(), &mut changes);
            }
            Record::Error { code } => error = code,
            Record::Multi(members) => error = self.multi(&header, &members, &mut changes),
            record => self.record(&header, &record, &mut changes),
        }
        if cxid > 0 && error == 0 {
            let last = self.last_xid.insert(session, cxid).unwrap_or_default();
            assert!(cxid > last, "request {cxid} of {session} is carried out behind {last}");
        }
        self.txns.insert(zxid.0, Committed { header, error, changes });
    }

    fn close(&mut self, header: &TxnHeader, listed: BTreeSet<Vec<u8>>, changes: &mut Vec<(ChangeKind, Vec<u8>)>) {
        let TxnHeader { session, cxid, zxid, .. } = *header;
        let owned = self.ephemerals.remove(&session).unwrap_or_default();
        assert_eq!(listed, owned, "a session's end takes its ephemerals, and nothing else");
        owned.iter().for_each(|path| self.delete(zxid, path, changes));
        let life = self.sessions.get_mut(&session).expect("a session that ends has begun");
        if life.closed.is_none() {
            (life.closed, life.closed_by) = (Some(zxid), cxid);
        }
    }

    fn multi(&mut self, header: &TxnHeader, members: &MultiTxn<'_>, changes: &mut Vec<(ChangeKind, Vec<u8>)>) -> i32 {
        let mut failed = 0;
        for (op, member) in members.iter() {
            match member {
                // The ones before the one that failed say 0, the ones behind it something of their own.
                Record::Error { code } if failed == 0 => failed = code,
                Record::Error { .. } | Record::Check => {}
                member => {
                    assert_eq!(failed, 0, "all or nothing at {}", header.zxid);
                    self.record(&TxnHeader { op, ..*header }, &member, changes);
                }
            }
        }
        failed
    }

    fn record(&mut self, header: &TxnHeader, record: &Record<'_>, changes: &mut Vec<(ChangeKind, Vec<u8>)>) {
        let TxnHeader { session, zxid, time_ms, op, .. } = *header;
        match record {
            Record::Create(create) => {
                assert!(self.at(create.path, zxid).is_none(), "{:?} is created twice", create.path);
                let owner = match op {
                    OpCode::Create | OpCode::Create2 if create.ephemeral => session.0,
                    OpCode::Create | OpCode::Create2 => 0,
                    OpCode::CreateTtl => ttl_owner(create.ttl).expect("a time that a znode may live"),
                    _ => panic!("no client asks for {op:?}"),
                };
                let stat = Stat {
                    czxid: zxid.0,
                    mzxid: zxid.0,
                    pzxid: zxid.0,
                    ctime: time_ms,
                    mtime: time_ms,
                    ephemeral_owner: owner,
                    data_length: create.data.map_or(0, <[u8]>::len) as i32,
                    ..Stat::default()
                };
                let above = parent(create.path).expect("the root is there");
                let mut up = self.at(above, zxid).expect("a child has a parent").clone();
                up.created += 1;
                up.stat.num_children += 1;
                up.stat.pzxid = zxid.0;
                assert_eq!(up.created, create.parent_cversion, "the names given out below {above:?}");
                self.put(above, zxid, Some(up));
                let data = create.data.map(<[u8]>::to_vec);
                self.put(create.path, zxid, Some(Znode { data, stat, created: 0 }));
                if create.ephemeral {
                    assert!(self.is_open(session, zxid), "an ephemeral of {session}, which is over");
                    self.ephemerals.entry(session).or_default().insert(create.path.to_vec());
                }
                changes.push((ChangeKind::Created, create.path.to_vec()));
            }
            Record::Delete { path } => self.delete(zxid, path, changes),
            // What the server keeps there is its own; no client of the simulator looks at it.
            Record::SetData { path, .. } if path.starts_with(SYSTEM) => {}
            Record::SetData { path, data, version } => {
                let mut znode = self.at(path, zxid).expect("what is set is there").clone();
                znode.stat.version += 1;
                assert_eq!(znode.stat.version, *version, "the version of {path:?}");
                znode.stat.mzxid = zxid.0;
                znode.stat.mtime = time_ms;
                znode.stat.data_length = data.map_or(0, <[u8]>::len) as i32;
                znode.data = data.map(<[u8]>::to_vec);
                self.put(path, zxid, Some(znode));
                changes.push((ChangeKind::DataChanged, path.to_vec()));
            }
            other => panic!("no client asks for {other:?}"),
        }
    }

    fn delete(&mut self, zxid: Zxid, path: &[u8], changes: &mut Vec<(ChangeKind, Vec<u8>)>) {
        let znode = self.at(path, zxid).expect("what is deleted is there");
        assert_eq!(znode.stat.num_children, 0, "{path:?} has children");
        let owner = SessionId(znode.stat.ephemeral_owner);
        if let Some(owned) = self.ephemerals.get_mut(&owner) {
            owned.remove(path);
        }
        let above = parent(path).expect("the root is never deleted");
        let mut up = self.at(above, zxid).expect("a child has a parent").clone();
        up.stat.num_children -= 1;
        up.stat.pzxid = zxid.0;
        self.put(above, zxid, Some(up));
        self.put(path, zxid, None);
        changes.push((ChangeKind::Deleted, path.to_vec()));
    }

    fn put(&mut self, path: &[u8], zxid: Zxid, znode: Option<Znode>) {
        let versions = self.versions.entry(path.to_vec()).or_default();
        // One version per transaction, however often that changed it.
        if versions.last().is_some_and(|(since, _)| *since == zxid.0) {
            versions.pop();
        }
        versions.push((zxid.0, znode));
    }
}

//! The state of a server as its writer sees it: the tree's head, sessions, digest and the sets that follow from the
//! tree. `prepare` executes requests on it, `apply` logged transactions.

use super::change::Changes;
use super::digest::Digest;
use super::index::Index;
use super::owner::OwnerRules;
use super::path::{self, CONFIG, QUOTA, ROOT, ZOOKEEPER};
use super::quota::{QuotaNode, parse_path};
use super::store::{NewZnode, Reader, StoreFull, Undone, Writer, Znode};
use super::work::{Countings, Sweep, Work};
use crate::acl::{AclId, AclTable, AllAcls, Identities, Interner};
use crate::config::Config;
use crate::cost::{Cost, Meter};
use crate::ids::{SessionId, Zxid};
use crate::jute::codes::{ErrorCode, perms};
use crate::jute::wire::put_int;
use crate::jute::{AclEntry, StatPersisted};
use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// What a state acts by.
#[derive(Clone, Debug)]
pub struct StateOptions {
    /// The server's configuration.
    pub config: Arc<Config>,
    /// No ensemble: a request of an unknown session is answered with that error.
    pub standalone: bool,
}

impl Default for StateOptions {
    fn default() -> Self {
        Config::default().into()
    }
}

impl From<Config> for StateOptions {
    /// A standalone server's.
    fn from(config: Config) -> Self {
        StateOptions { config: Arc::new(config), standalone: true }
    }
}

/// The context in which a request is prepared: its client and the time.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The transaction's zxid: above every one prepared or applied before.
    pub zxid: Zxid,
    /// Milliseconds since 1970.
    pub time_ms: i64,
    /// [`SessionId::NONE`] for the server itself.
    pub session: SessionId,
    /// The request's xid; the reply carries it.
    pub cxid: i32,
    /// Who the client is: what ACLs are checked against, and what `auth` in a new ACL stands for.
    pub identities: &'a Identities,
    /// The session may be a local one: it may send requests, and may have no ephemerals.
    pub is_local: bool,
}

/// The results of preparing requests. Everything is appended, so that one value serves a whole batch.
#[derive(Debug)]
pub struct Outcome {
    /// Complete reply frames. A moved session and the server's own createSession and closeSession have none.
    pub reply: Vec<u8>,
    /// Complete log entries: header, record, digest. Each call appends one; the caller takes them out.
    pub txn: Vec<u8>,
    /// The longest entry, bytes: a multi whose entry would be longer stops and is refused.
    pub txn_limit: usize,
    /// The highest cost of a multi: one that would cost more stops and is refused.
    pub cost_limit: Cost,
    /// The changes, for watches.
    pub changes: Changes,
    /// The error code of the last request. For a failed multi it is the failing operation's code, though the reply
    /// header says Ok.
    pub error: ErrorCode,
}

impl Default for Outcome {
    fn default() -> Self {
        Outcome {
            reply: vec![],
            txn: vec![],
            txn_limit: usize::MAX,
            cost_limit: Cost::ENDLESS,
            changes: Changes::default(),
            error: ErrorCode::Ok,
        }
    }
}

/// Why a snapshot's znode does not fit the tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LoadError {
    /// The znode exists already.
    Twice,
    /// The znode's parent did not come before it.
    NoParent,
    /// The znode's path has no slash.
    BadPath,
}

impl std::fmt::Display for LoadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            LoadError::Twice => "the znode is in the snapshot twice",
            LoadError::NoParent => "the znode's parent does not come before it",
            LoadError::BadPath => "the znode's path has no slash",
        })
    }
}

impl std::error::Error for LoadError {}

/// Buffers for reuse, so that preparing does not allocate.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(crate) acl: Vec<u8>,
    pub(crate) path: Vec<u8>,
    pub(crate) text: Vec<u8>,
}

/// A value beside the znodes that a transaction changed, for an undo to restore.
#[derive(Debug)]
struct Mark {
    zxid: Zxid,
    before: Before,
}

#[derive(Debug)]
enum Before {
    /// The digest's sum.
    Sum(u64),
    /// A session's timeout (`None`: it did not exist) and the zxid at which it was closed.
    Session { id: SessionId, timeout_ms: Option<i32>, closed: Option<Zxid> },
}

/// The writer's side of a server's state. See the module's text.
pub struct State {
    pub(super) store: Writer,
    pub(super) acls: Arc<AclTable>,
    pub(super) interner: Interner,
    pub(super) index: Index,
    pub(super) digest: Digest,
    sessions: BTreeMap<SessionId, i32>,
    /// Sessions and the zxids at which they were closed, not published yet: such a session counts as expired, not as
    /// unknown.
    closing: BTreeMap<SessionId, Zxid>,
    journal: VecDeque<Mark>,
    pub(super) head: Zxid,
    published: Zxid,
    pub(super) options: StateOptions,
    /// How stored owners are read.
    pub(super) owners: OwnerRules,
    /// When a new quota's subtree is counted.
    pub(super) countings: Countings,
    pub(super) sweep: Sweep,
    pub(super) scratch: Scratch,
    /// This transaction's last permission check: the ACL, the permission, and whether it was granted.
    pub(super) verdict: Cell<Option<(AclId, i32, bool)>>,
    /// The rest of the transaction at the head.
    pub(super) work: Option<Work>,
}

impl State {
    /// The state of a server that has never had a transaction (ZooKeeper 3.9, `DataTree`).
    pub fn new(options: StateOptions) -> Self {
        let mut state = State::empty(options);
        state.store.begin(Zxid::ZERO);
        let fresh = NewZnode { data: Some(b""), acl: AclId::OPEN, stat: StatPersisted::default() };
        for path in [ROOT, ZOOKEEPER, QUOTA] {
            state.load(path, &fresh).expect("a fresh tree has no znode twice");
        }
        state.finish_load();
        state.publish(Zxid::ZERO);
        state
    }

    /// A state with nothing in it, not even a root: to be filled from a snapshot by [`State::begin_load`],
    /// [`State::load`], [`State::load_session`] and [`State::finish_load`].
    pub fn empty(options: StateOptions) -> Self {
        let (acls, interner) = AclTable::new();
        let owners = OwnerRules::of(&options.config);
        State {
            store: Writer::new(),
            acls,
            interner,
            index: Index::new(owners),
            digest: Digest::new(options.config.digest_enabled),
            sessions: BTreeMap::new(),
            closing: BTreeMap::new(),
            journal: VecDeque::new(),
            head: Zxid::ZERO,
            published: Zxid::ZERO,
            options,
            owners,
            countings: Countings::AtOnce(Cost::ENDLESS),
            sweep: Sweep::default(),
            scratch: Scratch::default(),
            verdict: Cell::new(None),
            work: None,
        }
    }

    /// The records that are loaded next are the state at `zxid`.
    pub fn begin_load(&mut self, zxid: Zxid) {
        self.head = zxid;
        self.store.begin(zxid);
    }

    /// Adds a znode of a snapshot, parents before children, the root under `/` or the empty path.
    /// `znode.acl` comes from [`State::intern`].
    pub fn load(&mut self, path: &[u8], znode: &NewZnode<'_>) -> Result<(), LoadError> {
        let path = path::stored(path);
        let parent = path::parent(path).ok_or(LoadError::BadPath)?;
        let hash = path::hash(path);
        if self.store.find(path, hash).is_some() {
            return Err(LoadError::Twice);
        }
        if path != ROOT && self.store.find(parent, path::hash(parent)).is_none() {
            return Err(LoadError::NoParent);
        }
        self.insert(path, hash, znode);
        Ok(())
    }

    /// Announces that a znode with this path will be added soon.
    pub(crate) fn prefetch(&self, path: &[u8]) {
        self.store.prefetch(path::hash(path::stored(path)));
    }

    /// Adds a session of a snapshot.
    pub fn load_session(&mut self, session: SessionId, timeout_ms: i32) {
        self.sessions.insert(session, timeout_ms);
    }

    /// The snapshot is complete: counts what quotas use, and adds the configuration's znode if the snapshot is
    /// older than that (ZooKeeper 3.9, `DataTree.setupQuota`, `DataTree.addConfigNode`).
    pub fn finish_load(&mut self) {
        let config = path::hash(CONFIG);
        let has_parent = self.store.find(ZOOKEEPER, path::hash(ZOOKEEPER)).is_some();
        if has_parent && self.store.find(CONFIG, config).is_none() {
            let mut list = vec![];
            put_int(&mut list, 1);
            AclEntry { perms: perms::READ, scheme: b"world", id: b"anyone" }.put(&mut list);
            let acl = self.interner.intern(&list);
            let stat = StatPersisted { aversion: -1, ..StatPersisted::default() };
            let znode = NewZnode { data: Some(b""), acl, stat };
            self.insert(CONFIG, config, &znode);
        }
        self.count_all();
    }

    fn insert(&mut self, path: &[u8], hash: path::PathHash, znode: &NewZnode<'_>) {
        self.store.create(path, hash, znode);
        let digest = self.digest.body(path, znode.data).digest(&znode.stat);
        self.digest.replace(0, digest);
        self.index.created(path, znode.stat.owner);
        if let Some((prefix, QuotaNode::Limits)) = parse_path(path) {
            self.index.quotas.add(self.head, prefix, znode.data.unwrap_or_default());
        }
    }

    /// The number of an ACL list given as checked wire bytes (count and entries). A znode with this number must be
    /// loaded before the next [`State::reclaim`]; otherwise the number is freed.
    pub fn intern(&mut self, list: &[u8]) -> AclId {
        self.interner.intern(list)
    }

    /// The last transaction prepared, applied or loaded.
    pub fn head(&self) -> Zxid {
        self.head
    }

    /// Everything up to `zxid` is committed: readers may see it and it cannot be undone any more.
    pub fn publish(&mut self, zxid: Zxid) {
        self.store.publish(zxid);
        self.published = zxid;
        self.index.quotas.publish(zxid);
        while self.journal.front().is_some_and(|mark| mark.zxid <= zxid) {
            if let Some(Mark { before: Before::Session { id, .. }, .. }) = self.journal.pop_front()
                && self.closing.get(&id).is_some_and(|closed| *closed <= zxid)
            {
                self.closing.remove(&id);
            }
        }
    }

    /// Takes back every transaction above `down_to`, which is not below what was published.
    pub fn undo(&mut self, down_to: Zxid) {
        self.undo_tree(down_to);
        if self.head > down_to {
            (self.head, self.work) = (down_to, None);
        }
    }

    /// The same, but the zxids stay used: for a multi that failed.
    pub(super) fn undo_tree(&mut self, down_to: Zxid) {
        let State { store, index, .. } = self;
        let mut undone = 0;
        store.undo(down_to, &mut |change| {
            undone += 1;
            match change {
                Undone::Created { path, owner } => index.deleted(path, owner),
                Undone::Deleted { path, owner } => index.created(path, owner),
                Undone::Changed { .. } => {}
            }
        });
        index.quotas.undo(down_to);
        self.charge(Cost::CHANGE * undone);
        let mut sum = self.digest.sum();
        while self.journal.back().is_some_and(|mark| mark.zxid > down_to) {
            match self.journal.pop_back().map(|mark| mark.before) {
                Some(Before::Sum(before)) => sum = before,
                Some(Before::Session { id, timeout_ms, closed }) => {
                    restore(&mut self.sessions, id, timeout_ms);
                    restore(&mut self.closing, id, closed.filter(|closed| *closed > self.published));
                }
                None => {}
            }
        }
        self.digest.undo(down_to, sum);
    }

    /// Frees versions that no reader needs any more, and ACLs that nothing names; a bounded amount of work. True if
    /// there is more to do.
    pub fn reclaim(&mut self) -> bool {
        let more = self.store.reclaim();
        let names = self.store.acl_names();
        self.interner.lost(names.take_lost());
        self.interner.free(|acl| names.carry(acl));
        more
    }

    /// The znode at the head, published or not.
    pub fn find(&self, path: &[u8]) -> Option<Znode<'_>> {
        let path = path::stored(path);
        self.store.find(path, path::hash(path))
    }

    /// A reader of the published tree, for one thread; their number is limited.
    pub(crate) fn reader(&self) -> Result<Reader, StoreFull> {
        self.store.store().reader()
    }

    /// The meter for all work on this state.
    #[inline]
    pub(crate) fn meter(&self) -> &Meter {
        self.store.meter()
    }

    #[inline]
    pub(super) fn charge(&self, cost: Cost) {
        self.store.meter().charge(cost);
    }

    /// The container itself.
    pub fn store(&self) -> &Writer {
        &self.store
    }

    /// The table that [`AclId`]s are numbers of.
    pub fn acls(&self) -> Arc<AclTable> {
        self.acls.clone()
    }

    /// All ACL lists at present, to be written to a snapshot; none is freed while the returned value exists.
    pub(crate) fn all_acls(&self) -> AllAcls {
        self.interner.all()
    }

    /// How stored owners are read.
    pub fn owners(&self) -> OwnerRules {
        self.owners
    }

    /// The digest of the tree's head; 0 if digests are disabled.
    pub fn digest(&self) -> u64 {
        self.digest.sum()
    }

    /// Zxid and digest of every 128th transaction, oldest first, at most 1024.
    pub fn digest_history(&self) -> Vec<(Zxid, u64)> {
        self.digest.history().collect()
    }

    /// All sessions with their timeouts (ms), in order.
    pub fn sessions(&self) -> impl Iterator<Item = (SessionId, i32)> + '_ {
        self.sessions.iter().map(|(session, timeout_ms)| (*session, *timeout_ms))
    }

    /// How many sessions there are.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// A session's timeout (ms), if it exists.
    pub(crate) fn session_timeout_ms(&self, session: SessionId) -> Option<i32> {
        self.sessions.get(&session).copied()
    }

    /// The session's ephemerals that start with `prefix`, in order. No prefix, a blank one and `/` mean all
    /// (ZooKeeper 3.9, `FinalRequestProcessor`).
    pub(crate) fn ephemerals<'a>(&'a self, session: SessionId, prefix: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let all = prefix.trim_ascii().is_empty() || prefix == b"/";
        let paths = self.index.ephemerals(session).into_iter().flatten();
        paths.map(|path| &**path).filter(move |path| all || path.starts_with(prefix))
    }

    /// Every ephemeral, by session, in order.
    pub fn all_ephemerals(&self) -> Vec<(SessionId, Vec<Vec<u8>>)> {
        let list = |paths: &super::index::Paths| paths.iter().map(|path| path.to_vec()).collect();
        self.index.owners().map(|(session, paths)| (session, list(paths))).collect()
    }

    /// How many ephemerals there are.
    pub fn ephemeral_count(&self) -> usize {
        self.index.ephemeral_count()
    }

    /// Sessions that own ephemerals but are in no session table: to be closed after loading.
    pub(crate) fn orphaned_sessions(&self) -> Vec<SessionId> {
        let owners = self.index.owners().map(|(session, _)| session);
        owners.filter(|session| !self.sessions.contains_key(session)).collect()
    }

    /// What this state acts by.
    pub(crate) fn options(&self) -> &StateOptions {
        &self.options
    }

    /// The sets that follow from the tree: each session's ephemerals, containers, TTL znodes, quotas.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Whether the session may make this request. `ephemeral`: the request creates an ephemeral (ZooKeeper 3.9,
    /// `SessionTrackerImpl.checkSession`, `checkGlobalSession`).
    pub(super) fn check_session(&self, context: &Context<'_>, ephemeral: bool) -> Result<(), ErrorCode> {
        let session = context.session;
        if self.sessions.contains_key(&session) {
            return Ok(());
        }
        let unknown = !self.closing.contains_key(&session);
        if unknown && context.is_local && !ephemeral {
            return Ok(());
        }
        Err(if unknown && self.options.standalone && !ephemeral {
            ErrorCode::UnknownSession
        } else {
            ErrorCode::SessionExpired
        })
    }

    /// Adds a session, or gives it another timeout.
    pub(super) fn put_session(&mut self, zxid: Zxid, id: SessionId, timeout_ms: i32) {
        let timeout_ms = self.sessions.insert(id, timeout_ms);
        let closed = self.closing.get(&id).copied();
        self.journal.push_back(Mark { zxid, before: Before::Session { id, timeout_ms, closed } });
    }

    /// Removes a session.
    pub(super) fn remove_session(&mut self, zxid: Zxid, id: SessionId) {
        let timeout_ms = self.sessions.remove(&id);
        let closed = self.closing.insert(id, zxid);
        self.journal.push_back(Mark { zxid, before: Before::Session { id, timeout_ms, closed } });
    }

    /// The tree's digest is about to change in the transaction `zxid`.
    pub(super) fn mark(&mut self, zxid: Zxid) {
        let marked = |mark: &Mark| mark.zxid == zxid && matches!(mark.before, Before::Sum(_));
        if !self.journal.back().is_some_and(marked) {
            self.journal.push_back(Mark { zxid, before: Before::Sum(self.digest.sum()) });
        }
    }

    /// The transaction `zxid` begins.
    pub(super) fn begin(&mut self, zxid: Zxid) {
        assert!(zxid > self.head, "{zxid} comes after {}", self.head);
        assert!(self.work.is_none(), "{} is not complete", self.head);
        self.head = zxid;
        self.verdict.set(None);
        self.store.begin(zxid);
    }
}

fn restore<T>(map: &mut BTreeMap<SessionId, T>, id: SessionId, value: Option<T>) {
    match value {
        Some(value) => map.insert(id, value),
        None => map.remove(&id),
    };
}

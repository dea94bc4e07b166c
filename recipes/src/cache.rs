//! Caches: a part of the tree in memory, which follows its changes; and subscriptions to one znode.
//!
//! | | what it follows | as in |
//! |---|---|---|
//! | [`Cache`] with [`Scope::Node`] | one znode | Curator's `NodeCache` |
//! | [`Cache`] with [`Scope::Children`] | the children of a znode | Curator's `PathChildrenCache` |
//! | [`Cache`] with [`Scope::Tree`] | a znode and all below it | Curator's `TreeCache`, `CuratorCache` |
//! | [`subscribe_data_changes`](Connection::subscribe_data_changes) | the data of a znode | ZkClient |
//! | [`subscribe_child_changes`](Connection::subscribe_child_changes) | the names of its children | ZkClient |
//!
//! What is in memory was so at some moment, and is so again soon after a change: between two changes that follow each other
//! fast, a state can be left out. The last state is never missed: after a cut, and in a new session, everything is compared
//! anew.

mod load;
mod subscribe;

use crate::connection::Connection;
use crate::error::{Result, is_ended, is_transient};
use crate::session::{Ensemble, EventStream, Session, Watch};
use crate::zookeeper::ZooKeeper;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use load::Loader;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
pub use subscribe::{ChildChanges, DataChanges};
use zookeeper_client as zk;
use zookeeper_client::{AddWatchMode, EventType, SessionState, Stat, WatchedEvent};

/// What part of the tree a cache follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The znode alone.
    Node,
    /// Its children, and not itself.
    Children,
    /// Itself and all below it.
    Tree,
}

/// How a cache learns of changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Watching {
    /// By one persistent watch, which is recursive if need be: the server remembers one watch for the whole cache. For servers
    /// since ZooKeeper 3.6.
    #[default]
    Persistent,
    /// By watches of one event each, on every znode. For any server.
    OneShot,
}

/// A znode as it was when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cached {
    /// Its data.
    pub data: Arc<[u8]>,
    /// The rest of it. Of a parent, the numbers that tell of its children may be older.
    pub stat: Stat,
}

/// A change of what is in a cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CacheEvent {
    /// A znode has come.
    Created(String, Cached),
    /// The data of a znode are others than before.
    Changed {
        /// The znode.
        path: String,
        /// As it was.
        before: Cached,
        /// As it is.
        after: Cached,
    },
    /// A znode has gone; this is how it was.
    Deleted(String, Cached),
    /// Everything that was there has been told of. It comes once.
    Complete,
}

/// A part of the tree in memory. Clones see the same.
///
/// ```no_run
/// # async fn example(connection: corral_recipes::Connection) -> corral_recipes::Result<()> {
/// use corral_recipes::cache::{Cache, CacheEvent, Scope};
///
/// let (cache, mut events) = Cache::new(&connection, "/app/settings", Scope::Tree);
/// loop {
///     match events.next().await? {
///         CacheEvent::Complete => println!("{} settings", cache.len()),
///         event => println!("{event:?}"),
///     }
/// }
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Cache {
    nodes: Arc<Mutex<BTreeMap<String, Cached>>>,
}

/// Follows the changes of a [`Cache`]: it is as new as the last call of [`next`](Self::next). Dropping it removes its watches,
/// and the cache stays as it is.
pub struct CacheEvents<E: Ensemble = ZooKeeper> {
    connection: Connection<E>,
    cache: Cache,
    path: String,
    scope: Scope,
    watching: Watching,
    /// The session that the watches belong to. `None`: everything is to be compared anew.
    session: Option<E::Session>,
    persistent: Option<<E::Session as Session>::Events>,
    one_shot: FuturesUnordered<Watch>,
    /// Events of the ensemble that were not looked into yet.
    hints: VecDeque<(EventType, String)>,
    /// What was not told yet.
    untold: VecDeque<CacheEvent>,
    is_complete: bool,
}

impl Cache {
    /// A cache, empty, and what fills it. Nothing happens before it is asked for the next event.
    pub fn new<E: Ensemble>(connection: &Connection<E>, path: &str, scope: Scope) -> (Cache, CacheEvents<E>) {
        Cache::watching(connection, path, scope, Watching::default())
    }

    /// The same with a choice of watches.
    pub fn watching<E: Ensemble>(
        connection: &Connection<E>,
        path: &str,
        scope: Scope,
        watching: Watching,
    ) -> (Cache, CacheEvents<E>) {
        let cache = Cache::default();
        let events = CacheEvents {
            connection: connection.clone(),
            cache: cache.clone(),
            path: path.to_owned(),
            scope,
            watching,
            session: None,
            persistent: None,
            one_shot: FuturesUnordered::new(),
            hints: VecDeque::new(),
            untold: VecDeque::new(),
            is_complete: false,
        };
        (cache, events)
    }

    fn nodes(&self) -> MutexGuard<'_, BTreeMap<String, Cached>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The znode of this path.
    pub fn get(&self, path: &str) -> Option<Cached> {
        self.nodes().get(path).cloned()
    }

    /// How many znodes there are.
    pub fn len(&self) -> usize {
        self.nodes().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.nodes().is_empty()
    }

    /// All paths, sorted.
    pub fn paths(&self) -> Vec<String> {
        self.nodes().keys().cloned().collect()
    }

    /// All that is there at this moment.
    pub fn snapshot(&self) -> BTreeMap<String, Cached> {
        self.nodes().clone()
    }
}

impl<E: Ensemble> CacheEvents<E> {
    /// The next change. The cache has it, and may have further ones that come next.
    ///
    /// It waits for broken connections and outlasts sessions; it fails with what the connection's policy gives up with, or with
    /// what the ensemble refuses, and can be called again. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<CacheEvent> {
        let connection = self.connection.clone();
        let mut attempts = connection.attempts("follow changes");
        loop {
            if let Some(event) = self.untold.pop_front() {
                return Ok(event);
            }
            let stepped = match &self.session {
                None => {
                    let session = connection.session().await?;
                    self.compare_all(session).await
                }
                Some(session) => match self.hints.front().cloned() {
                    Some((kind, path)) => self.look(session.clone(), kind, &path).await,
                    None => {
                        self.await_event().await;
                        Ok(())
                    }
                },
            };
            match stepped {
                Ok(()) => {}
                Err(error) if is_transient(&error) || is_ended(&error) => {
                    self.session = None;
                    attempts.failed(error).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Follows the changes and tells nobody: for whoever only looks into the cache. It ends with the first failure.
    pub async fn run(mut self) -> crate::Error {
        loop {
            if let Err(error) = self.next().await {
                return error;
            }
        }
    }

    fn loader<'a>(&'a self, session: &'a E::Session) -> Loader<'a, E::Session> {
        Loader { session, root: &self.path, scope: self.scope, watching: self.watching }
    }

    /// Sets the watch, reads everything, and tells of the differences.
    async fn compare_all(&mut self, session: E::Session) -> std::result::Result<(), zk::Error> {
        // A new session may be with a server that is behind the last one's.
        session.sync(&self.path).await?;
        // Anew after each reconnection, too: the client (0.11.2) repeats watches in a request that has no persistent ones.
        let persistent = match (self.watching, self.scope) {
            (Watching::OneShot, _) => None,
            (_, Scope::Node) => Some(session.watch(&self.path, AddWatchMode::Persistent).await?),
            _ => Some(session.watch(&self.path, AddWatchMode::PersistentRecursive).await?),
        };
        let loaded = self.loader(&session).load(vec![self.path.clone()]).await?;
        // From here on without a pause: it has happened as a whole, or not at all.
        self.one_shot = loaded.watches.into_iter().collect();
        self.persistent = persistent;
        self.session = Some(session);
        self.hints.clear();
        self.replace("", loaded.nodes);
        if !std::mem::replace(&mut self.is_complete, true) {
            self.untold.push_back(CacheEvent::Complete);
        }
        Ok(())
    }

    /// Waits for an event of the ensemble, and keeps it until it was looked into.
    async fn await_event(&mut self) {
        let event = match (&mut self.persistent, self.one_shot.is_empty()) {
            (Some(persistent), _) => persistent.next().await,
            // Always some: at least of the root.
            (None, _) => match self.one_shot.next().await {
                Some(event) => event,
                None => WatchedEvent::new_session(SessionState::Disconnected),
            },
        };
        match (event.event_type, event.session_state) {
            // Events may be missing from before the reconnection (ZOOKEEPER-4698); those of one event each are not.
            (EventType::Session, SessionState::Disconnected) if self.persistent.is_some() => {}
            (EventType::Session, _) => self.session = None,
            (kind, _) => self.hints.push_back((kind, event.path)),
        }
    }

    /// Looks into the first hint. It is forgotten when that has succeeded.
    async fn look(&mut self, session: E::Session, kind: EventType, path: &str) -> std::result::Result<(), zk::Error> {
        let loader = self.loader(&session);
        let (loaded, is_subtree) = match (self.watching, kind) {
            (Watching::OneShot, EventType::NodeChildrenChanged) => {
                let known = below(&self.cache.nodes(), path);
                (loader.children(path, &known).await?, false)
            }
            // The znode is gone, and what was below it, or it has come again.
            (_, EventType::NodeDeleted) => (loader.load(vec![path.to_owned()]).await?, true),
            (Watching::OneShot, EventType::NodeCreated) => (loader.load(vec![path.to_owned()]).await?, true),
            _ => (loader.one(path).await?, false),
        };
        self.hints.pop_front();
        self.one_shot.extend(loaded.watches);
        if is_subtree {
            self.replace(path, loaded.nodes);
        } else {
            self.merge(loaded.nodes, loaded.gone);
        }
        Ok(())
    }

    /// These are all znodes below a path, and itself; the empty path is all.
    fn replace(&mut self, path: &str, found: BTreeMap<String, Cached>) {
        let gone = below(&self.cache.nodes(), path).into_iter().filter(|known| !found.contains_key(known)).collect();
        self.merge(found, gone);
    }

    /// These znodes are there, and those are not. Children go before their parents, and come after them.
    fn merge(&mut self, found: BTreeMap<String, Cached>, gone: Vec<String>) {
        let mut nodes = self.cache.nodes();
        let gone: BTreeSet<String> = gone.iter().flat_map(|path| below(&nodes, path)).collect();
        for path in gone.into_iter().rev() {
            if let Some(before) = nodes.remove(&path) {
                self.untold.push_back(CacheEvent::Deleted(path, before));
            }
        }
        for (path, after) in found {
            match nodes.insert(path.clone(), after.clone()) {
                None => self.untold.push_back(CacheEvent::Created(path, after)),
                Some(before) if before.stat.czxid != after.stat.czxid => {
                    self.untold.push_back(CacheEvent::Deleted(path.clone(), before));
                    self.untold.push_back(CacheEvent::Created(path, after));
                }
                Some(before) if before.stat.mzxid != after.stat.mzxid => {
                    self.untold.push_back(CacheEvent::Changed { path, before, after });
                }
                Some(_) => {}
            }
        }
    }
}

/// The paths of those that are there, this one and all below it, sorted.
fn below(nodes: &BTreeMap<String, Cached>, path: &str) -> Vec<String> {
    let prefix = path.trim_end_matches('/');
    let same_beginning =
        nodes.range(prefix.to_owned()..).map(|(path, _)| path).take_while(|path| path.starts_with(prefix));
    same_beginning.filter(|inner| is_within(path, inner)).cloned().collect()
}

/// Whether a path is this one, or below it. The empty one has all below it.
fn is_within(path: &str, inner: &str) -> bool {
    inner.strip_prefix(path.trim_end_matches('/')).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl From<(Vec<u8>, Stat)> for Cached {
    fn from((data, stat): (Vec<u8>, Stat)) -> Cached {
        Cached { data: data.into(), stat }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_below_are_found() {
        let stat = Stat {
            czxid: 0,
            mzxid: 0,
            pzxid: 0,
            ctime: 0,
            mtime: 0,
            version: 0,
            cversion: 0,
            aversion: 0,
            ephemeral_owner: 0,
            data_length: 0,
            num_children: 0,
        };
        let nodes: BTreeMap<String, Cached> = ["/a", "/a-b", "/a/b", "/a/b/c", "/ab", "/b"]
            .map(|path| (path.to_owned(), Cached::from((vec![], stat))))
            .into();
        assert_eq!(below(&nodes, "/a"), ["/a", "/a/b", "/a/b/c"]);
        assert_eq!(below(&nodes, "/a/b/c"), ["/a/b/c"]);
        assert_eq!(below(&nodes, "/"), nodes.keys().cloned().collect::<Vec<_>>());
        assert_eq!(below(&nodes, "/c"), [""; 0]);
    }

    #[test]
    fn what_is_below() {
        assert!(is_within("", "/a") && is_within("/", "/a/b") && is_within("/a", "/a") && is_within("/a", "/a/b"));
        assert!(!is_within("/a", "/ab") && !is_within("/a/b", "/a"));
    }
}

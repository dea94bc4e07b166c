//! What a recipe asks of the world: sessions of an ensemble, time, randomness, tasks. [`ZooKeeper`](crate::ZooKeeper) answers
//! with the real one; a simulator can answer with another.

use futures::future::BoxFuture;
use std::future::Future;
use std::time::{Duration, SystemTime};
use zookeeper_client::{Acl, AddWatchMode, CreateMode, Error, SessionId, SessionState, Stat, WatchedEvent};

/// The next event of a watch. It also ends with an event of the session when the session ends. Dropping it removes the watch.
pub type Watch = BoxFuture<'static, WatchedEvent>;

/// An ensemble that sessions can be opened with, and the clock, the randomness and the tasks of whoever uses it.
pub trait Ensemble: Clone + Send + Sync + 'static {
    /// A session of it.
    type Session: Session;

    /// Opens a session.
    fn open(&self) -> impl Future<Output = Result<Self::Session, Error>> + Send;

    /// Waits.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send;

    /// The time since some moment in the past; it never goes back.
    fn now(&self) -> Duration;

    /// The time of day, which people may set.
    fn system_time(&self) -> SystemTime;

    /// A random number.
    fn random(&self) -> u64;

    /// Runs a task to its end, or for as long as the runtime lives. It may be called from any thread.
    fn spawn(&self, task: BoxFuture<'static, ()>);
}

/// The states that a session passes through. A watch sees the newest one: of several that follow each other while nobody
/// looks, only the last.
pub trait StateWatch: Send + 'static {
    /// The newest state, which counts as seen.
    fn state(&mut self) -> SessionState;

    /// The next state that was not seen. Pending for ever after a final one.
    fn changed(&mut self) -> impl Future<Output = SessionState> + Send;
}

/// Events of a persistent watch.
pub trait EventStream: Send + 'static {
    /// The next event: of a znode, or of the session. After a `Disconnected` and the `SyncConnected` that follows, events may be
    /// missing (ZOOKEEPER-4698). After a final state there are no more, and the call is pending for ever.
    fn next(&mut self) -> impl Future<Output = WatchedEvent> + Send;
}

/// A session. Clones are the same session; it is closed when the last one is dropped.
///
/// Requests of one session are carried out in the order in which their futures are first polled.
pub trait Session: Clone + Send + Sync + 'static {
    /// Tells its states.
    type States: StateWatch;
    /// Events of its persistent watches.
    type Events: EventStream;

    /// Its id.
    fn id(&self) -> SessionId;

    /// After this time without a sign of life the ensemble ends it.
    fn timeout(&self) -> Duration;

    /// A watch of the states that follow; the present one counts as seen.
    fn states(&self) -> Self::States;

    /// Its present state.
    fn state(&self) -> SessionState;

    /// Creates a znode.
    fn create(
        &self,
        path: &str,
        data: &[u8],
        mode: CreateMode,
        acl: &[Acl],
    ) -> impl Future<Output = Result<Created, Error>> + Send;

    /// Deletes a znode, if it has this version.
    fn delete(&self, path: &str, version: Option<i32>) -> impl Future<Output = Result<(), Error>> + Send;

    /// Data of a znode.
    fn get(&self, path: &str) -> impl Future<Output = Result<(Vec<u8>, Stat), Error>> + Send;

    /// Data of a znode, with a watch for their change and the znode's end.
    fn get_and_watch(&self, path: &str) -> impl Future<Output = Result<(Vec<u8>, Stat, Watch), Error>> + Send;

    /// Changes the data of a znode, if it has this version.
    fn set(&self, path: &str, data: &[u8], version: Option<i32>) -> impl Future<Output = Result<Stat, Error>> + Send;

    /// Whether a znode is there.
    fn exists(&self, path: &str) -> impl Future<Output = Result<Option<Stat>, Error>> + Send;

    /// Whether a znode is there, with a watch for its beginning, its change and its end.
    fn exists_and_watch(&self, path: &str) -> impl Future<Output = Result<(Option<Stat>, Watch), Error>> + Send;

    /// Names of the children of a znode, in no order.
    fn children(&self, path: &str) -> impl Future<Output = Result<(Vec<String>, Stat), Error>> + Send;

    /// Names of the children of a znode, in no order, with a watch for new and deleted ones and for the znode's end.
    fn children_and_watch(&self, path: &str) -> impl Future<Output = Result<(Vec<String>, Stat, Watch), Error>> + Send;

    /// The ACL of a znode.
    fn acl(&self, path: &str) -> impl Future<Output = Result<(Vec<Acl>, Stat), Error>> + Send;

    /// Changes the ACL of a znode, if its ACL has this version.
    fn set_acl(
        &self,
        path: &str,
        acl: &[Acl],
        version: Option<i32>,
    ) -> impl Future<Output = Result<Stat, Error>> + Send;

    /// Adds an identity to the session: it may do what ACLs allow this identity.
    fn auth(&self, scheme: &str, credentials: &[u8]) -> impl Future<Output = Result<(), Error>> + Send;

    /// Waits until the session's server knows all that was committed before.
    fn sync(&self, path: &str) -> impl Future<Output = Result<(), Error>> + Send;

    /// Sets a persistent watch.
    fn watch(&self, path: &str, mode: AddWatchMode) -> impl Future<Output = Result<Self::Events, Error>> + Send;

    /// Carries out all operations, or none.
    fn commit(
        &self,
        operations: &[Operation],
        acl: &[Acl],
    ) -> impl Future<Output = Result<Vec<OperationResult>, TransactionError>> + Send;
}

/// A znode that was created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// Its path, with the sequence number if it has one.
    pub path: String,
    /// What it is. Its `czxid` is greater than that of every znode that was created before.
    pub stat: Stat,
}

impl Created {
    /// The last part of its path.
    pub fn name(&self) -> &str {
        crate::names::split(&self.path).1
    }
}

/// A part of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The znode is there, with this version if one is given.
    Check {
        /// The znode.
        path: String,
        /// Its version.
        version: Option<i32>,
    },
    /// The znode is created.
    Create {
        /// The znode; a sequential one gets its number at the end.
        path: String,
        /// Its data.
        data: Vec<u8>,
        /// Its kind.
        mode: CreateMode,
    },
    /// The znode's data are changed, if it has this version.
    Set {
        /// The znode.
        path: String,
        /// Its new data.
        data: Vec<u8>,
        /// Its version before.
        version: Option<i32>,
    },
    /// The znode is deleted, if it has this version.
    Delete {
        /// The znode.
        path: String,
        /// Its version.
        version: Option<i32>,
    },
}

/// What an operation of a transaction has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperationResult {
    /// The check held.
    Checked,
    /// The znode was created at this path.
    Created(String),
    /// The znode's data were changed.
    Set(Stat),
    /// The znode was deleted.
    Deleted,
}

/// Why a transaction has changed nothing, or may have.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{}", match .at { Some(at) => format!("operation {at}: {source}"), None => source.to_string() })]
pub struct TransactionError {
    /// The operation that failed, counted from 0; `None` if it was the request as a whole.
    pub at: Option<usize>,
    /// Why it failed.
    pub source: Error,
}

//! What the holder of a lock has in hand.

use crate::claim::Claim;
use crate::connection::Connection;
use crate::error::{Error, Loss, Result, is_ended, is_transient};
use crate::session::{Ensemble, Session, StateWatch};
use crate::transaction::Transaction;
use crate::zookeeper::ZooKeeper;
use futures::future::{Either, select};
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use zookeeper_client::{EventType, SessionState};

/// A number that grows from holder to holder of one lock: the zxid that created the holder's znode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FencingToken(pub i64);

impl fmt::Display for FencingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// What a resource does with tokens: it remembers the greatest one, and refuses all that are smaller.
///
/// ```
/// use corral_recipes::lock::{Fence, FencingToken};
///
/// let fence = Fence::new();
/// assert!(fence.admits(FencingToken(7)));
/// assert!(fence.admits(FencingToken(9)));
/// assert!(!fence.admits(FencingToken(7)), "an old holder that has not noticed");
/// assert!(fence.admits(FencingToken(9)));
/// ```
#[derive(Debug)]
pub struct Fence(AtomicI64);

impl Default for Fence {
    fn default() -> Fence {
        Fence::new()
    }
}

impl Fence {
    /// One that has seen no token.
    pub const fn new() -> Fence {
        Fence(AtomicI64::new(i64::MIN))
    }

    /// Whether whoever comes with this token is the newest holder that was ever seen.
    pub fn admits(&self, token: FencingToken) -> bool {
        self.0.fetch_max(token.0, Ordering::SeqCst) <= token.0
    }
}

/// A lock, or a lease, that is held.
///
/// Clones hold the same lock: it is re-entrant for whoever gets a clone, and released with the last one. Dropping the last
/// clone releases it in the background; [`release`](Self::release) waits until it is released.
pub struct Guard<E: Ensemble = ZooKeeper> {
    held: Arc<Held<E>>,
}

impl<E: Ensemble> Clone for Guard<E> {
    fn clone(&self) -> Guard<E> {
        Guard { held: self.held.clone() }
    }
}

impl<E: Ensemble> fmt::Debug for Guard<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("path", &self.path()).field("token", &self.token()).finish_non_exhaustive()
    }
}

/// A znode of a session that stands for something held.
struct Held<E: Ensemble> {
    connection: Connection<E>,
    claim: Claim<E>,
}

impl<E: Ensemble> Guard<E> {
    pub(crate) fn new(connection: &Connection<E>, claim: Claim<E>) -> Guard<E> {
        Guard { held: Arc::new(Held::new(connection, claim)) }
    }

    /// The znode that holds the lock.
    pub fn path(&self) -> &str {
        self.held.claim.path()
    }

    /// Greater than the token of every holder before.
    pub fn token(&self) -> FencingToken {
        self.held.token()
    }

    /// The session that the lock belongs to.
    pub fn session(&self) -> &E::Session {
        self.held.claim.session()
    }

    /// Waits until the lock may be lost: the connection breaks, the session ends, or somebody deletes the znode.
    ///
    /// Dropping the future loses nothing: what has happened is found by the next call.
    pub async fn lost(&self) -> Loss {
        self.held.lost().await
    }

    /// Whether the lock is held, by what the process knows at this moment. [`check`](Self::check) asks the ensemble.
    pub fn is_held(&self) -> bool {
        self.held.is_held()
    }

    /// Asks the ensemble whether the lock is held; it was so when the answer was sent. A broken connection is waited for, by
    /// the connection's policy: after [`Loss::Suspended`] this tells what has become of the lock.
    pub async fn check(&self) -> Result<()> {
        self.held.check().await
    }

    /// Runs a future for as long as the lock is certainly held, and drops it when the lock may be lost: the future stops at
    /// the `.await` it has come to.
    ///
    /// ```no_run
    /// # async fn example(mutex: corral_recipes::lock::Mutex) -> corral_recipes::Result<()> {
    /// let guard = mutex.lock().await?;
    /// let written = guard.run(async { /* what the lock protects */ 1 }).await?;
    /// guard.release().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn run<F: Future>(&self, future: F) -> Result<F::Output> {
        self.held.run(future).await
    }

    /// A transaction that happens only if the lock is held at that moment. The ensemble decides it: no pause of the process
    /// comes between. If the session has ended it fails with `SessionExpired`, and if the znode was deleted, with `NoNode` of
    /// operation 0. (Of a lock whose holders have the same znode in turn, a deletion by a third party is not noticed when
    /// another one holds it already.)
    pub fn transaction(&self) -> Transaction<E> {
        self.held.connection.transaction().within(self.session()).check(self.path(), None)
    }

    /// The znode is gone already, together with something else.
    pub(crate) fn forget(self) {
        if let Some(held) = Arc::into_inner(self.held) {
            held.claim.keep();
        }
    }

    /// Releases the lock, unless there are more clones, and says whether it did. When it fails, or when its future is
    /// dropped, the lock is released in the background or by the end of the session.
    pub async fn release(self) -> Result<bool> {
        match Arc::into_inner(self.held) {
            Some(held) => held.release().await.map(|()| true),
            None => Ok(false),
        }
    }
}

impl<E: Ensemble> Held<E> {
    fn new(connection: &Connection<E>, claim: Claim<E>) -> Held<E> {
        Held { connection: connection.clone(), claim }
    }

    fn token(&self) -> FencingToken {
        FencingToken(self.claim.created().stat.czxid)
    }

    fn is_held(&self) -> bool {
        self.claim.session().state() == SessionState::SyncConnected
    }

    async fn release(self) -> Result<()> {
        self.claim.withdraw().await
    }

    async fn lost(&self) -> Loss {
        let session = self.claim.session();
        let mut states = session.states();
        let mut state = session.state();
        loop {
            match state {
                SessionState::SyncConnected => {}
                state if state.is_terminated() => return Loss::SessionEnded,
                _ => return Loss::Suspended,
            }
            // One that cannot be set tells of the connection, whose state follows.
            let deleted = async {
                match session.exists_and_watch(self.claim.path()).await {
                    Ok((None, _)) => true,
                    Ok((Some(_), watch)) => watch.await.event_type == EventType::NodeDeleted,
                    Err(_) => std::future::pending().await,
                }
            };
            match select(pin!(states.changed()), pin!(deleted)).await {
                Either::Left((changed, _)) => state = changed,
                Either::Right((true, _)) => return Loss::Deleted,
                // An event of the session, or of the znode's data, which say nothing.
                Either::Right((false, _)) => state = session.state(),
            }
        }
    }

    async fn check(&self) -> Result<()> {
        let session = self.claim.session();
        let path = self.claim.path();
        let mut attempts = self.connection.attempts("check whether it is held");
        loop {
            // A read alone could be answered by a server that has not heard of the session's end.
            let asked = async {
                session.sync(path).await?;
                session.exists(path).await
            };
            match asked.await {
                Ok(Some(_)) => return Ok(()),
                Ok(None) => return Err(Error::Lost(Loss::Deleted)),
                Err(error) if is_ended(&error) => return Err(Error::Lost(Loss::SessionEnded)),
                Err(error) if is_transient(&error) => attempts.failed(error).await?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn run<F: Future>(&self, future: F) -> Result<F::Output> {
        // What is lost already is noticed before the work begins.
        match select(pin!(self.lost()), pin!(future)).await {
            Either::Left((loss, _)) => Err(Error::Lost(loss)),
            Either::Right((output, _)) => Ok(output),
        }
    }
}

//! A connection: one session at a time, the next one when it has ended, and requests that are repeated by a policy.

use crate::claim::{Claim, KnownBy};
use crate::error::{Error, Result, is_ended, is_transient};
use crate::names::{Guid, split};
use crate::retry::RetryPolicy;
use crate::session::{Created, Ensemble, Session};
use crate::states::ConnectionStates;
use crate::transaction::Transaction;
use crate::zookeeper::ZooKeeper;
use asyncs::sync::watch;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use zookeeper_client as zk;
use zookeeper_client::{Acl, Acls, CreateMode, Stat};

/// A connection with an ensemble: what every recipe is made from.
///
/// Clones are the same connection. Its session is closed when the connection, and whatever was made from it, is dropped.
///
/// The calls below repeat what a broken connection has left open, by the connection's [`RetryPolicy`]. Those that change a
/// znode can therefore be carried out twice when the first answer was lost; a version makes the second one fail, and
/// [`create_protected`](Self::create_protected) finds what the first one made.
pub struct Connection<E: Ensemble = ZooKeeper> {
    shared: Arc<Shared<E>>,
}

struct Shared<E: Ensemble> {
    ensemble: E,
    retry: RetryPolicy,
    acl: Vec<Acl>,
    /// The newest session.
    current: Mutex<E::Session>,
    sessions: watch::Sender<E::Session>,
    /// Held while a session is opened: the others wait for the same one.
    opening: futures::lock::Mutex<()>,
}

impl<E: Ensemble> Clone for Connection<E> {
    fn clone(&self) -> Connection<E> {
        Connection { shared: self.shared.clone() }
    }
}

impl<E: Ensemble> std::fmt::Debug for Connection<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("session", &self.current().id()).finish_non_exhaustive()
    }
}

impl<E: Ensemble> Connection<E> {
    /// Opens the first session. What recipes create, anyone may read and change.
    pub async fn open(ensemble: E, retry: RetryPolicy) -> Result<Connection<E>> {
        Connection::open_with_acl(ensemble, retry, Acls::anyone_all().to_vec()).await
    }

    /// Opens the first session. What recipes create has this ACL.
    pub async fn open_with_acl(ensemble: E, retry: RetryPolicy, acl: Vec<Acl>) -> Result<Connection<E>> {
        let session = open_session(&ensemble, &retry).await?;
        let (sessions, _) = watch::channel(session.clone());
        let (current, opening) = (Mutex::new(session), futures::lock::Mutex::new(()));
        Ok(Connection { shared: Arc::new(Shared { ensemble, retry, acl, current, sessions, opening }) })
    }

    /// The ensemble that the sessions are opened with.
    pub fn ensemble(&self) -> &E {
        &self.shared.ensemble
    }

    /// What recipes create has this ACL.
    pub fn acl(&self) -> &[Acl] {
        &self.shared.acl
    }

    /// The policy by which requests are repeated.
    pub fn retry_policy(&self) -> &RetryPolicy {
        &self.shared.retry
    }

    /// The newest session, which may have ended.
    pub fn current(&self) -> E::Session {
        self.shared.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A session that had not ended when it was asked: the present one, or a new one.
    pub async fn session(&self) -> Result<E::Session> {
        let current = self.current();
        if !current.state().is_terminated() {
            return Ok(current);
        }
        let _opening = self.shared.opening.lock().await;
        // Whoever held it before has opened one.
        let current = self.current();
        if !current.state().is_terminated() {
            return Ok(current);
        }
        let session = open_session(self.ensemble(), &self.shared.retry).await?;
        tracing::info!(ended = %current.id(), session = %session.id(), "the session has ended, another one is open");
        *self.shared.current.lock().unwrap_or_else(PoisonError::into_inner) = session.clone();
        self.shared.sessions.publish(session.clone());
        Ok(session)
    }

    /// Listens to the connection's states from now on.
    pub fn states(&self) -> ConnectionStates<E> {
        ConnectionStates::new(self.shared.sessions.subscribe())
    }

    /// Carries out an operation, again and again by the connection's policy, for as long as the connection or the session is
    /// what it fails by. Each attempt has a session that lives. `what` names the operation in errors.
    pub async fn retry<T, F, Fut>(&self, what: &'static str, operation: F) -> Result<T>
    where
        F: Fn(E::Session) -> Fut,
        Fut: Future<Output = std::result::Result<T, zk::Error>>,
    {
        let mut attempts = self.attempts(what);
        loop {
            match operation(self.session().await?).await {
                Err(error) if is_transient(&error) || is_ended(&error) => attempts.failed(error).await?,
                result => return Ok(result?),
            }
        }
    }

    /// Counts attempts by the connection's policy.
    pub(crate) fn attempts(&self, what: &'static str) -> Attempts<'_, E> {
        Attempts::new(self.ensemble(), &self.shared.retry, what)
    }

    /// A GUID that nobody else has.
    pub(crate) fn guid(&self) -> Guid {
        Guid::random(|| self.ensemble().random())
    }

    /// Creates a znode, and the persistent ones above it that are missing.
    pub async fn create(&self, path: &str, data: &[u8], mode: CreateMode) -> Result<Created> {
        let mut attempts = self.attempts("create");
        loop {
            let session = self.session().await?;
            match session.create(path, data, mode, self.acl()).await {
                Err(zk::Error::NoNode) if split(path).0 != "/" => self.ensure_path(split(path).0).await?,
                Err(error) if is_transient(&error) || is_ended(&error) => attempts.failed(error).await?,
                result => return Ok(result?),
            }
        }
    }

    /// Creates a znode with a GUID in its name, as Curator does: `/a/b` becomes `/a/_c_<GUID>-b`. When the answer is lost, the
    /// next attempt looks for a child of this GUID before it creates another one. Missing parents are created as containers.
    ///
    /// An ephemeral znode belongs to one session: when that ends meanwhile, the call fails with [`Error::Lost`]. When
    /// the future is dropped an ephemeral znode is deleted in the background; a persistent one may stay.
    pub async fn create_protected(&self, path: &str, data: &[u8], mode: CreateMode) -> Result<Created> {
        let (parent, name) = split(path);
        let name = format!("{}{name}", self.guid().protection());
        let session = self.session().await?;
        Ok(Claim::create(self, session, (parent, &name), KnownBy::Name, data, mode).await?.keep())
    }

    /// Data of a znode.
    pub async fn get(&self, path: &str) -> Result<(Vec<u8>, Stat)> {
        self.retry("get", |session| async move { session.get(path).await }).await
    }

    /// Changes the data of a znode, whatever its version.
    pub async fn set(&self, path: &str, data: &[u8]) -> Result<Stat> {
        self.retry("set", |session| async move { session.set(path, data, None).await }).await
    }

    /// Whether a znode is there.
    pub async fn exists(&self, path: &str) -> Result<Option<Stat>> {
        self.retry("exists", |session| async move { session.exists(path).await }).await
    }

    /// Names of the children of a znode, sorted.
    pub async fn children(&self, path: &str) -> Result<Vec<String>> {
        let (mut children, _) = self.retry("children", |session| async move { session.children(path).await }).await?;
        children.sort();
        Ok(children)
    }

    /// A transaction: nothing of it happens before it is committed.
    pub fn transaction(&self) -> Transaction<E> {
        Transaction::new(self.clone())
    }
}

/// Opens a session, by the policy.
async fn open_session<E: Ensemble>(ensemble: &E, retry: &RetryPolicy) -> Result<E::Session> {
    let mut attempts = Attempts::new(ensemble, retry, "open a session");
    loop {
        match ensemble.open().await {
            Err(error) if is_transient(&error) || is_ended(&error) => attempts.failed(error).await?,
            result => return Ok(result?),
        }
    }
}

/// Attempts at one thing.
pub(crate) struct Attempts<'a, E> {
    ensemble: &'a E,
    policy: &'a RetryPolicy,
    what: &'static str,
    begun: Duration,
    failed: u32,
}

impl<'a, E: Ensemble> Attempts<'a, E> {
    fn new(ensemble: &'a E, policy: &'a RetryPolicy, what: &'static str) -> Attempts<'a, E> {
        Attempts { ensemble, policy, what, begun: ensemble.now(), failed: 0 }
    }

    /// One attempt has failed: waits until it is time for the next one, or says that there is none.
    pub(crate) async fn failed(&mut self, error: zk::Error) -> Result<()> {
        self.failed += 1;
        let elapsed = self.ensemble.now() - self.begun;
        match self.policy.pause(self.failed, elapsed, self.ensemble.random()) {
            None => Err(Error::GivenUp { what: self.what, attempts: self.failed, last: error }),
            Some(pause) => {
                tracing::debug!(what = self.what, attempt = self.failed, ?pause, %error, "failed, and is tried again");
                self.ensemble.sleep(pause).await;
                Ok(())
            }
        }
    }
}

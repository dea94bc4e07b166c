//! Active and standby without split brain: the ensemble itself refuses what a former active process writes.
//!
//! A lock alone does not keep a process from acting when its session has ended while it was stopped. So whoever becomes
//! active takes an identity of its own, which nobody had before, and makes it the only one that may change a certain znode,
//! the bread crumb. Every transaction of an active process begins with a change of the bread crumb: with the identity of a
//! former one it fails as a whole, whichever session it comes through.

use crate::connection::Connection;
use crate::error::{Error, Loss, Result, is_ended, is_transient};
use crate::lock::{Guard, SimpleLock};
use crate::names::child;
use crate::session::{Ensemble, OperationResult, Session};
use crate::transaction::Transaction;
use crate::zookeeper::ZooKeeper;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};
use std::ops::Deref;
use zookeeper_client as zk;
use zookeeper_client::{Acl, AuthId, CreateMode, Permission};

/// The ephemeral child whose creator is active.
const LOCK: &str = "ActiveOrStandByLock";
/// The persistent child that the present active one alone may change. It holds its id.
const BREAD_CRUMB: &str = "ActiveBreadCrumb";

/// Candidates of a persistent znode, one of which is active.
///
/// All candidates may change the ACL of the bread crumb, as the next one has to: they trust each other, and protect themselves
/// from being late, not from being malicious.
pub struct ActiveStandby<E: Ensemble = ZooKeeper> {
    connection: Connection<E>,
    path: String,
    id: String,
    lock: SimpleLock<E>,
}

/// The active one, until it is lost. It derefs to the [`Guard`] of the lock.
///
/// Its identity belongs to its session: one that was lost acts again when the same session has become active once more.
#[derive(Debug)]
pub struct Active<E: Ensemble = ZooKeeper> {
    guard: Guard<E>,
    connection: Connection<E>,
    bread_crumb: String,
    id: String,
}

impl<E: Ensemble> ActiveStandby<E> {
    /// A candidate. Nothing happens yet. The path is created when it is needed.
    pub fn new(connection: &Connection<E>, path: &str, id: &str) -> ActiveStandby<E> {
        ActiveStandby {
            connection: connection.clone(),
            path: path.to_owned(),
            id: id.to_owned(),
            lock: SimpleLock::new(connection, &child(path, LOCK), id),
        }
    }

    /// Waits, as standby, until it is active: the lock is held, and all former active ones are fenced off.
    ///
    /// Dropping the future gives up; the fence may stay behind, which the next active one replaces.
    #[tracing::instrument(name = "activate", skip_all, fields(path = self.path, id = self.id))]
    pub async fn activate(&self) -> Result<Active<E>> {
        self.connection.ensure_path(&self.path).await?;
        loop {
            let guard = self.lock.lock().await?;
            match self.fence(&guard).await {
                Ok(bread_crumb) => {
                    tracing::info!(token = %guard.token(), "active");
                    let (connection, id) = (self.connection.clone(), self.id.clone());
                    return Ok(Active { guard, connection, bread_crumb, id });
                }
                // Another one may be active by now.
                Err(Error::Lost(loss)) => tracing::info!(%loss, "not active, after all"),
                Err(error) => return Err(error),
            }
        }
    }

    /// Makes a new identity of this session's the only one that may change the bread crumb, whose path it returns.
    ///
    /// The lock is looked at between reading the version of the ACL and replacing it: whoever has become active since then has
    /// read it later, so that a late candidate never replaces the fence of its successor.
    async fn fence(&self, guard: &Guard<E>) -> Result<String> {
        let session = guard.session();
        let path = child(&self.path, BREAD_CRUMB);
        let credentials = format!("{}:{}", guard.token(), self.connection.guid().simple());
        let fence = fence_acl(&credentials);
        let mut attempts = self.connection.attempts("fence off the former active one");
        loop {
            let fenced = async {
                session.auth("digest", credentials.as_bytes()).await?;
                let (acl, stat) = match session.acl(&path).await {
                    Err(zk::Error::NoNode) => {
                        let id = self.id.as_bytes();
                        return session.create(&path, id, CreateMode::Persistent, &fence).await.map(|_| Ok(()));
                    }
                    read => read?,
                };
                if acl != fence {
                    if let Err(error) = guard.check().await {
                        return Ok(Err(error));
                    }
                    session.set_acl(&path, &fence, Some(stat.aversion)).await?;
                }
                session.set(&path, self.id.as_bytes(), None).await.map(|_| Ok(()))
            };
            match fenced.await {
                Ok(outcome) => return outcome.map(|()| path),
                Err(error) if is_ended(&error) => return Err(Error::Lost(Loss::SessionEnded)),
                Err(error) if is_transient(&error) => attempts.failed(error).await?,
                // Somebody was faster: once more, if the lock is still held.
                Err(zk::Error::NodeExists | zk::Error::BadVersion) => guard.check().await?,
                Err(zk::Error::NoAuth) => return Err(Error::Lost(Loss::Fenced)),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The id of the active one, or of the last one if there is none now.
    pub async fn last_active(&self) -> Result<Option<String>> {
        match self.connection.get(&child(&self.path, BREAD_CRUMB)).await {
            Ok((id, _)) => Ok(Some(String::from_utf8_lossy(&id).into_owned())),
            Err(Error::Client(zk::Error::NoNode)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Everybody reads it and may set the next fence; these credentials alone may change it.
fn fence_acl(credentials: &str) -> Vec<Acl> {
    let user = credentials.split(':').next().unwrap_or_default();
    let digest = STANDARD.encode(Sha1::digest(credentials.as_bytes()));
    vec![
        Acl::new(Permission::READ | Permission::ADMIN, AuthId::anyone()),
        Acl::new(Permission::ALL, AuthId::new("digest", &format!("{user}:{digest}"))),
    ]
}

impl<E: Ensemble> Active<E> {
    /// A transaction that happens only if this one is still the active one, which the ensemble decides at that moment.
    /// [`commit`](Self::commit) carries it out.
    pub fn transaction(&self) -> Transaction<E> {
        self.connection.transaction().set(&self.bread_crumb, self.id.as_bytes(), None)
    }

    /// Carries out a transaction of [`transaction`](Self::transaction). [`Error::Lost`] says that another one is active and
    /// nothing of it has happened. The results are without that of the bread crumb.
    pub async fn commit(&self, transaction: Transaction<E>) -> Result<Vec<OperationResult>> {
        match transaction.commit().await {
            Ok(mut results) => {
                results.remove(0);
                Ok(results)
            }
            Err(error) if error.at == Some(0) && error.source == zk::Error::NoAuth => {
                tracing::warn!(id = self.id, "another one is active");
                Err(Error::Lost(Loss::Fenced))
            }
            Err(error) if is_ended(&error.source) => Err(Error::Lost(Loss::SessionEnded)),
            Err(error) => Err(Error::Client(error.source)),
        }
    }

    /// Lets another one be active.
    pub async fn release(self) -> Result<()> {
        self.guard.release().await.map(drop)
    }
}

impl<E: Ensemble> Deref for Active<E> {
    type Target = Guard<E>;

    fn deref(&self) -> &Guard<E> {
        &self.guard
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of ZooKeeper's documentation of the digest scheme.
    #[test]
    fn digests_are_zookeepers() {
        let acl = fence_acl("super:admin");
        assert_eq!(acl[1].auth_id().id(), "super:xQJmxLMiHGwaqBvst5y6rkB6HQs=");
        assert!(!acl[0].permission().has(Permission::WRITE));
    }
}

//! The lock on one znode: whoever creates it holds it.

use super::Guard;
use crate::claim::{Claim, KnownBy};
use crate::connection::Connection;
use crate::error::{Error, Loss, Result, is_ended, is_transient};
use crate::names::split;
use crate::session::{Ensemble, Session};
use crate::zookeeper::ZooKeeper;
use zookeeper_client as zk;
use zookeeper_client::CreateMode;

/// The plain lock: one ephemeral znode, which everybody tries to create. When it goes, all who wait try again, in no order: a
/// herd, which [`Mutex`](super::Mutex) avoids. Its charm is that one can see at one path whether it is taken, and by whom.
pub struct SimpleLock<E: Ensemble = ZooKeeper> {
    connection: Connection<E>,
    path: String,
    owner: String,
}

impl<E: Ensemble> SimpleLock<E> {
    /// The lock of this path. `owner` is written into the znode, followed by a space and a GUID.
    pub fn new(connection: &Connection<E>, path: &str, owner: &str) -> SimpleLock<E> {
        SimpleLock { connection: connection.clone(), path: path.to_owned(), owner: owner.to_owned() }
    }

    /// The lock, if it is free.
    pub async fn try_lock(&self) -> Result<Option<Guard<E>>> {
        self.try_lock_as(format!("{} {}", self.owner, self.connection.guid().hyphenated()).into_bytes()).await
    }

    /// The lock, if it is free, with these data in the znode, which nobody else of the session may use.
    pub(crate) async fn try_lock_as(&self, data: Vec<u8>) -> Result<Option<Guard<E>>> {
        let session = self.connection.session().await?;
        let known_by = KnownBy::Data(data.clone());
        let mode = CreateMode::Ephemeral;
        match Claim::create(&self.connection, session, split(&self.path), known_by, &data, mode).await {
            Ok(claim) => Ok(Some(Guard::new(&self.connection, claim))),
            Err(Error::Client(zk::Error::NodeExists)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Waits until the lock is held. Dropping the future gives up.
    #[tracing::instrument(name = "simple lock", skip_all, fields(path = self.path))]
    pub async fn lock(&self) -> Result<Guard<E>> {
        self.lock_by(|| self.try_lock()).await
    }

    /// Waits until `try_lock` has succeeded. It is called when the znode has gone.
    pub(crate) async fn lock_by<F: Future<Output = Result<Option<Guard<E>>>>>(
        &self,
        try_lock: impl Fn() -> F,
    ) -> Result<Guard<E>> {
        let mut attempts = self.connection.attempts("lock");
        loop {
            match try_lock().await {
                Ok(Some(guard)) => return Ok(guard),
                Ok(None) => {}
                Err(Error::Lost(Loss::SessionEnded)) => {
                    attempts.failed(zk::Error::SessionExpired).await?;
                    continue;
                }
                Err(error) => return Err(error),
            }
            let session = self.connection.session().await?;
            match session.get_and_watch(&self.path).await {
                // The end of the session is noticed by the next attempt.
                Ok((_, _, watch)) => drop(watch.await),
                Err(zk::Error::NoNode) => {}
                Err(error) if is_transient(&error) || is_ended(&error) => attempts.failed(error).await?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Who holds the lock, if anybody does: the data of the znode up to the GUID.
    pub async fn owner(&self) -> Result<Option<String>> {
        match self.connection.get(&self.path).await {
            Ok((data, _)) => {
                let text = String::from_utf8_lossy(&data).into_owned();
                Ok(Some(text.rsplit_once(' ').map_or(text.clone(), |(owner, _)| owner.to_owned())))
            }
            Err(Error::Client(zk::Error::NoNode)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

//! The election on one ephemeral znode: whoever creates it is the master.

use crate::connection::Connection;
use crate::error::{Error, Result, is_ended, is_transient};
use crate::lock::{Guard, SimpleLock};
use crate::session::{Ensemble, Session};
use crate::zookeeper::ZooKeeper;
use zookeeper_client as zk;

/// Candidates that all try to create one znode. It holds the master's id and nothing else, so that everybody can read who
/// leads.
///
/// When the connection breaks between the create and its answer, the candidate looks whose the znode is: its own, and it
/// leads; another's, and it waits until the znode goes; nobody's, and it tries again.
pub struct Election<E: Ensemble = ZooKeeper> {
    connection: Connection<E>,
    lock: SimpleLock<E>,
    path: String,
    id: String,
}

impl<E: Ensemble> Election<E> {
    /// A candidate for this znode. No other candidate may have the same id. Nothing happens yet.
    pub fn new(connection: &Connection<E>, path: &str, id: &str) -> Election<E> {
        let lock = SimpleLock::new(connection, path, id);
        Election { connection: connection.clone(), lock, path: path.to_owned(), id: id.to_owned() }
    }

    /// Waits until it is the master. Dropping the future withdraws the candidacy.
    #[tracing::instrument(name = "election", skip_all, fields(path = self.path, id = self.id))]
    pub async fn lead(&self) -> Result<Guard<E>> {
        self.lock.lock_by(|| self.stand()).await
    }

    /// Tries once: the leadership, if there was no master.
    pub async fn stand(&self) -> Result<Option<Guard<E>>> {
        self.lock.try_lock_as(self.id.clone().into_bytes()).await
    }

    /// The master's id, if there is one.
    pub async fn leader(&self) -> Result<Option<String>> {
        match self.connection.get(&self.path).await {
            Ok((id, _)) => Ok(Some(String::from_utf8_lossy(&id).into_owned())),
            Err(Error::Client(zk::Error::NoNode)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Waits until the master is another one than `known`, or none, and says who it is. For those who are no candidates.
    pub async fn changed(&self, known: Option<&str>) -> Result<Option<String>> {
        let mut attempts = self.connection.attempts("watch the master");
        loop {
            let session = self.connection.session().await?;
            let watched = async {
                let (stat, watch) = session.exists_and_watch(&self.path).await?;
                let id = match stat {
                    Some(_) => match session.get(&self.path).await {
                        Ok((id, _)) => Some(String::from_utf8_lossy(&id).into_owned()),
                        Err(zk::Error::NoNode) => None,
                        Err(error) => return Err(error),
                    },
                    None => None,
                };
                Ok((id, watch))
            };
            match watched.await {
                Ok((id, _)) if id.as_deref() != known => return Ok(id),
                Ok((_, watch)) => drop(watch.await),
                Err(error) if is_transient(&error) || is_ended(&error) => attempts.failed(error).await?,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

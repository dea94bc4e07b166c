//! The exclusive lock, in the order of coming.

use super::{Guard, Layout, Place, Turn};
use crate::claim::Claim;
use crate::connection::Connection;
use crate::error::{Error, Loss, Result};
use crate::names::{child, distance, sequence};
use crate::session::{Ensemble, Session};
use crate::zookeeper::ZooKeeper;
use futures::future::{Either, select};
use std::pin::pin;
use std::time::Duration;
use zookeeper_client as zk;

/// What stands before the sequence number, in either layout.
const MARKERS: &[&str] = &["lock-", "__lock__"];

/// An exclusive lock: one holder at a time, in the order of coming, and no herd when it is released. Curator's
/// `InterProcessMutex` and kazoo's `Lock` on the same path exclude it, and it excludes them; see [`Layout`].
///
/// ```no_run
/// # async fn example(connection: corral_recipes::Connection) -> corral_recipes::Result<()> {
/// use corral_recipes::lock::Mutex;
///
/// let mutex = Mutex::new(&connection, "/locks/report");
/// let guard = mutex.lock().await?;
/// println!("held, with token {}", guard.token());
/// guard.release().await?;
/// # Ok(())
/// # }
/// ```
pub struct Mutex<E: Ensemble = ZooKeeper> {
    connection: Connection<E>,
    path: String,
    layout: Layout,
    markers: &'static [&'static str],
    data: Vec<u8>,
}

impl<E: Ensemble> Clone for Mutex<E> {
    fn clone(&self) -> Mutex<E> {
        Mutex {
            connection: self.connection.clone(),
            path: self.path.clone(),
            layout: self.layout,
            markers: self.markers,
            data: self.data.clone(),
        }
    }
}

impl<E: Ensemble> Mutex<E> {
    /// The lock of this path. Nothing happens yet. The path is created, as a container, when it is needed.
    pub fn new(connection: &Connection<E>, path: &str) -> Mutex<E> {
        Mutex::of(connection, path, MARKERS)
    }

    /// A line of this path in which others stand than those who lock: the first marker is for Curator's names.
    pub(crate) fn of(connection: &Connection<E>, path: &str, markers: &'static [&'static str]) -> Mutex<E> {
        let (connection, path) = (connection.clone(), path.to_owned());
        Mutex { connection, path, layout: Layout::default(), markers, data: vec![] }
    }

    /// With another library's names.
    pub fn layout(mut self, layout: Layout) -> Mutex<E> {
        self.layout = layout;
        self
    }

    /// With these data in its znode: who it is, for people and for [`contenders`](Self::contenders).
    pub fn data(mut self, data: &[u8]) -> Mutex<E> {
        self.data = data.to_vec();
        self
    }

    fn place(&self) -> Place<'_> {
        let guid = self.connection.guid();
        let name = match self.layout {
            Layout::Curator => format!("{}{}", guid.protection(), self.markers[0]),
            Layout::Kazoo => format!("{}__lock__", guid.simple()),
        };
        Place { parent: &self.path, name, data: &self.data, own: self.markers, others: self.markers }
    }

    /// Waits until the lock is held.
    ///
    /// When the session ends meanwhile, or somebody deletes the znode, it goes to the end of the line, as often as the
    /// connection's policy says. Dropping the future leaves the line.
    #[tracing::instrument(name = "lock", skip_all, fields(path = self.path))]
    pub async fn lock(&self) -> Result<Guard<E>> {
        let mut attempts = self.connection.attempts("lock");
        loop {
            match self.lock_once().await {
                Err(Error::Lost(Loss::SessionEnded)) => {
                    attempts.failed(zk::Error::SessionExpired).await?;
                }
                Err(Error::Lost(Loss::Deleted)) => attempts.failed(zk::Error::NoNode).await?,
                result => return result,
            }
        }
    }

    async fn lock_once(&self) -> Result<Guard<E>> {
        let place = self.place();
        let claim = place.take(&self.connection).await?;
        place.wait(&self.connection, &claim).await?;
        tracing::debug!(znode = claim.name(), "held");
        Ok(Guard::new(&self.connection, claim))
    }

    /// Waits so long at most: [`Error::TimedOut`] says that it was in vain.
    pub async fn lock_within(&self, limit: Duration) -> Result<Guard<E>> {
        match select(pin!(self.lock()), pin!(self.connection.ensemble().sleep(limit))).await {
            Either::Left((locked, _)) => locked,
            Either::Right(((), _)) => Err(Error::TimedOut(limit)),
        }
    }

    /// The lock, if nobody holds it or waits for it.
    pub async fn try_lock(&self) -> Result<Option<Guard<E>>> {
        let place = self.place();
        let claim = place.take(&self.connection).await?;
        match self.look(&place, &claim).await? {
            Turn::Now => Ok(Some(Guard::new(&self.connection, claim))),
            Turn::After(_) => {
                claim.withdraw().await?;
                Ok(None)
            }
        }
    }

    async fn look(&self, place: &Place<'_>, claim: &Claim<E>) -> Result<Turn> {
        let mut attempts = self.connection.attempts("look who is in line");
        loop {
            match claim.session().children(&self.path).await {
                Ok((children, _)) => return place.turn(claim.name(), &children),
                Err(error) if crate::error::is_transient(&error) => attempts.failed(error).await?,
                Err(error) if crate::error::is_ended(&error) => return Err(Error::Lost(Loss::SessionEnded)),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Who is in line, the holder first: the data of their znodes. It may have changed when the answer comes.
    pub async fn contenders(&self) -> Result<Vec<Vec<u8>>> {
        let mut names = match self.connection.children(&self.path).await {
            Err(Error::Client(zk::Error::NoNode)) => return Ok(vec![]),
            names => names?,
        };
        names.retain(|name| sequence(name, self.markers).is_some());
        names.sort_by(|one, other| {
            let [one, other] = [one, other].map(|name| sequence(name, self.markers).unwrap_or_default());
            distance(other, one).cmp(&0)
        });
        let mut contenders = vec![];
        for name in names {
            match self.connection.get(&child(&self.path, &name)).await {
                Ok((data, _)) => contenders.push(data),
                Err(Error::Client(zk::Error::NoNode)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(contenders)
    }
}

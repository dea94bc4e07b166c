//! A number of leases.

use super::{Guard, Layout, Mutex};
use crate::claim::{Claim, KnownBy};
use crate::connection::Connection;
use crate::error::{Error, Loss, Result, is_ended, is_transient};
use crate::names::split;
use crate::session::{Ensemble, Session};
use crate::zookeeper::ZooKeeper;
use futures::future::{Either, select};
use std::pin::pin;
use std::time::Duration;
use zookeeper_client as zk;
use zookeeper_client::{CreateMode, EventType};

/// A number of leases, given in the order of coming. Whoever waits holds a lock meanwhile, so that one waits for leases and
/// the others for that one. Curator's `InterProcessSemaphoreV2`, or kazoo's `Semaphore` with [`Layout::Kazoo`].
///
/// All processes have to name the same number of leases.
pub struct Semaphore<E: Ensemble = ZooKeeper> {
    connection: Connection<E>,
    path: String,
    leases: usize,
    layout: Layout,
    data: Vec<u8>,
}

impl<E: Ensemble> Semaphore<E> {
    /// So many leases at this path. Nothing happens yet.
    pub fn new(connection: &Connection<E>, path: &str, leases: usize) -> Semaphore<E> {
        let (connection, path) = (connection.clone(), path.to_owned());
        Semaphore { connection, path, leases, layout: Layout::default(), data: vec![] }
    }

    /// With another library's names.
    pub fn layout(mut self, layout: Layout) -> Semaphore<E> {
        self.layout = layout;
        self
    }

    /// With these data in the znodes of its leases.
    pub fn data(mut self, data: &[u8]) -> Semaphore<E> {
        self.data = data.to_vec();
        self
    }

    /// The path of the lock, and the parent of the leases.
    fn paths(&self) -> (String, String) {
        match self.layout {
            Layout::Curator => (format!("{}/locks", self.path), format!("{}/leases", self.path)),
            Layout::Kazoo => (format!("{}-__lock__", self.path), self.path.clone()),
        }
    }

    /// Waits for a lease. See [`Mutex::lock`] for ended sessions and cancellation.
    #[tracing::instrument(name = "lease", skip_all, fields(path = self.path))]
    pub async fn acquire(&self) -> Result<Guard<E>> {
        if self.layout == Layout::Kazoo {
            self.agree().await?;
        }
        let mut attempts = self.connection.attempts("acquire a lease");
        loop {
            match self.acquire_once().await {
                Err(Error::Lost(Loss::SessionEnded)) => {
                    attempts.failed(zk::Error::SessionExpired).await?;
                }
                result => return result,
            }
        }
    }

    async fn acquire_once(&self) -> Result<Guard<E>> {
        let (lock, leases) = self.paths();
        // The lock and the lease are of one session: whoever has lost the lock by its end cannot create the lease.
        let lock = Mutex::new(&self.connection, &lock).layout(self.layout).lock().await?;
        let session = lock.session().clone();
        self.await_room(&session, &leases).await?;
        let guid = self.connection.guid();
        let (name, mode) = match self.layout {
            Layout::Curator => (format!("{}lease-", guid.protection()), CreateMode::EphemeralSequential),
            Layout::Kazoo => (guid.simple(), CreateMode::Ephemeral),
        };
        let place = (leases.as_str(), name.as_str());
        let claim = Claim::create(&self.connection, session, place, KnownBy::Name, &self.data, mode).await?;
        lock.release().await?;
        Ok(Guard::new(&self.connection, claim))
    }

    /// Waits until a lease is left. Whoever holds the lock is the only one who takes any.
    async fn await_room(&self, session: &E::Session, leases: &str) -> Result<()> {
        let mut attempts = self.connection.attempts("count leases");
        loop {
            match session.children_and_watch(leases).await {
                Ok((children, _, _)) if children.len() < self.leases => return Ok(()),
                Ok((_, _, watch)) => {
                    let event = watch.await;
                    if event.event_type == EventType::Session && event.session_state.is_terminated() {
                        return Err(Error::Lost(Loss::SessionEnded));
                    }
                }
                Err(zk::Error::NoNode) => self.connection.ensure_container(leases).await?,
                Err(error) if is_ended(&error) => return Err(Error::Lost(Loss::SessionEnded)),
                Err(error) if is_transient(&error) => attempts.failed(error).await?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Kazoo keeps the number of leases in the data of the path, and refuses another one.
    async fn agree(&self) -> Result<()> {
        let number = self.leases.to_string();
        if split(&self.path).0 != "/" {
            self.connection.ensure_path(split(&self.path).0).await?;
        }
        if self.connection.create_if_absent(&self.path, number.as_bytes(), CreateMode::Persistent).await? {
            return Ok(());
        }
        let (data, _) = self.connection.get(&self.path).await?;
        match std::str::from_utf8(&data).ok().and_then(|text| text.parse::<usize>().ok()) {
            Some(leases) if leases != self.leases => Err(Error::Foreign {
                path: self.path.clone(),
                problem: format!("there are {leases} leases, not {}", self.leases),
            }),
            _ => Ok(()),
        }
    }

    /// Waits so long at most: [`Error::TimedOut`] says that it was in vain.
    pub async fn acquire_within(&self, limit: Duration) -> Result<Guard<E>> {
        match select(pin!(self.acquire()), pin!(self.connection.ensemble().sleep(limit))).await {
            Either::Left((acquired, _)) => acquired,
            Either::Right(((), _)) => Err(Error::TimedOut(limit)),
        }
    }

    /// Waits for several leases. They come one after another: two that wait for more than half of them each can wait for each
    /// other, unless the call is bounded by a time.
    pub async fn acquire_many(&self, number: usize) -> Result<Vec<Guard<E>>> {
        let mut leases = Vec::with_capacity(number);
        for _ in 0..number {
            leases.push(self.acquire().await?);
        }
        Ok(leases)
    }

    /// How many leases are taken, when the answer was sent.
    pub async fn taken(&self) -> Result<usize> {
        match self.connection.children(&self.paths().1).await {
            Ok(leases) => Ok(leases.len()),
            Err(Error::Client(zk::Error::NoNode)) => Ok(0),
            Err(error) => Err(error),
        }
    }
}

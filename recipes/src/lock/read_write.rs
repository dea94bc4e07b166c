//! Many readers, or one writer.

use super::{Guard, Layout, Place};
use crate::claim::{Claim, KnownBy};
use crate::connection::Connection;
use crate::error::{Error, Loss, Result};
use crate::session::Ensemble;
use crate::zookeeper::ZooKeeper;
use std::ops::Deref;
use zookeeper_client as zk;
use zookeeper_client::CreateMode;

/// What stands before the sequence number of a writer: Curator's, kazoo's.
const WRITERS: &[&str] = &["__WRIT__", "__lock__"];
/// The same of a reader.
const READERS: &[&str] = &["__READ__", "__rlock__"];
const BOTH: &[&str] = &["__WRIT__", "__lock__", "__READ__", "__rlock__"];

/// A lock of many readers or one writer, in the order of coming: a reader waits for the writers before it, a writer for all
/// before it. Neither starves. Curator's `InterProcessReadWriteLock`, and kazoo's `ReadLock` and `WriteLock` with
/// [`Layout::Kazoo`].
pub struct ReadWriteLock<E: Ensemble = ZooKeeper> {
    connection: Connection<E>,
    path: String,
    layout: Layout,
    data: Vec<u8>,
}

/// The lock of a writer. It derefs to a [`Guard`].
#[derive(Debug)]
pub struct WriteGuard<E: Ensemble = ZooKeeper> {
    guard: Guard<E>,
    connection: Connection<E>,
    layout: Layout,
    path: String,
    data: Vec<u8>,
}

impl<E: Ensemble> ReadWriteLock<E> {
    /// The lock of this path. Nothing happens yet. The path is created, as a container, when it is needed.
    pub fn new(connection: &Connection<E>, path: &str) -> ReadWriteLock<E> {
        let (connection, path) = (connection.clone(), path.to_owned());
        ReadWriteLock { connection, path, layout: Layout::default(), data: vec![] }
    }

    /// With another library's names.
    pub fn layout(mut self, layout: Layout) -> ReadWriteLock<E> {
        self.layout = layout;
        self
    }

    /// With these data in its znodes.
    pub fn data(mut self, data: &[u8]) -> ReadWriteLock<E> {
        self.data = data.to_vec();
        self
    }

    /// Waits until no writer that came before is left. See [`Mutex::lock`](super::Mutex::lock) for ended sessions and
    /// cancellation.
    #[tracing::instrument(name = "read lock", skip_all, fields(path = self.path))]
    pub async fn read(&self) -> Result<Guard<E>> {
        let claim = self.lock(["__READ__", "__rlock__"], READERS, WRITERS).await?;
        Ok(Guard::new(&self.connection, claim))
    }

    /// Waits until nobody that came before is left. See [`Mutex::lock`](super::Mutex::lock) for ended sessions and
    /// cancellation.
    #[tracing::instrument(name = "write lock", skip_all, fields(path = self.path))]
    pub async fn write(&self) -> Result<WriteGuard<E>> {
        let claim = self.lock(["__WRIT__", "__lock__"], WRITERS, BOTH).await?;
        Ok(WriteGuard {
            guard: Guard::new(&self.connection, claim),
            connection: self.connection.clone(),
            layout: self.layout,
            path: self.path.clone(),
            data: self.data.clone(),
        })
    }

    async fn lock(&self, markers: [&str; 2], own: &[&str], others: &[&str]) -> Result<Claim<E>> {
        let mut attempts = self.connection.attempts("lock");
        loop {
            let name = name(&self.connection, self.layout, markers);
            let place = Place { parent: &self.path, name, data: &self.data, own, others };
            let locked = async {
                let claim = place.take(&self.connection).await?;
                place.wait(&self.connection, &claim).await?;
                Ok(claim)
            };
            match locked.await {
                Err(Error::Lost(Loss::SessionEnded)) => {
                    attempts.failed(zk::Error::SessionExpired).await?;
                }
                Err(Error::Lost(Loss::Deleted)) => attempts.failed(zk::Error::NoNode).await?,
                result => return result,
            }
        }
    }
}

/// A name of one's own, up to the sequence number.
fn name<E: Ensemble>(connection: &Connection<E>, layout: Layout, [curator, kazoo]: [&str; 2]) -> String {
    let guid = connection.guid();
    match layout {
        Layout::Curator => format!("{}{curator}", guid.protection()),
        Layout::Kazoo => format!("{}{kazoo}", guid.simple()),
    }
}

impl<E: Ensemble> WriteGuard<E> {
    /// Becomes a reader without letting a writer in between: the reader's znode takes the writer's place in line. Readers that
    /// waited behind it go on.
    pub async fn downgrade(self) -> Result<Guard<E>> {
        let own = self.guard.path().rsplit("__").next().unwrap_or_default();
        let name = format!("{}{own}", name(&self.connection, self.layout, ["__READ__", "__rlock__"]));
        let session = self.guard.session().clone();
        let place = (self.path.as_str(), name.as_str());
        let reader =
            Claim::create(&self.connection, session, place, KnownBy::Name, &self.data, CreateMode::Ephemeral).await?;
        self.guard.release().await?;
        Ok(Guard::new(&self.connection, reader))
    }

    /// Releases the lock. See [`Guard::release`].
    pub async fn release(self) -> Result<bool> {
        self.guard.release().await
    }
}

impl<E: Ensemble> Deref for WriteGuard<E> {
    type Target = Guard<E>;

    fn deref(&self) -> &Guard<E> {
        &self.guard
    }
}

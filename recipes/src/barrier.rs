//! Barriers: many processes wait for one moment.

use crate::claim::{Claim, KnownBy};
use crate::connection::Connection;
use crate::error::{Error, Loss, Result, is_ended, is_transient};
use crate::names::{child, split};
use crate::session::{Ensemble, Operation, Session, Watch};
use crate::zookeeper::ZooKeeper;
use futures::future::{Either, select};
use std::pin::pin;
use std::time::Duration;
use zookeeper_client as zk;
use zookeeper_client::{CreateMode, EventType, Stat};

/// The child of a double barrier that says that all are there.
const READY: &str = "ready";

/// A barrier is up while its znode is there. Curator's `DistributedBarrier`, kazoo's `Barrier`.
pub struct Barrier<E: Ensemble = ZooKeeper> {
    connection: Connection<E>,
    path: String,
}

impl<E: Ensemble> Barrier<E> {
    /// The barrier of this path. Nothing happens yet.
    pub fn new(connection: &Connection<E>, path: &str) -> Barrier<E> {
        Barrier { connection: connection.clone(), path: path.to_owned() }
    }

    /// Puts the barrier up; it may be up already.
    pub async fn set(&self) -> Result<()> {
        let parent = split(&self.path).0;
        loop {
            match self.connection.create_if_absent(&self.path, b"", CreateMode::Persistent).await {
                Err(Error::Client(zk::Error::NoNode)) if parent != "/" => {
                    self.connection.ensure_container(parent).await?
                }
                result => return result.map(drop),
            }
        }
    }

    /// Takes the barrier down, and says whether it was up: all who wait go on.
    pub async fn remove(&self) -> Result<bool> {
        self.connection.delete_if_present(&self.path).await
    }

    /// Waits until the barrier is down. It outlasts sessions. Dropping the future stops waiting.
    pub async fn wait(&self) -> Result<()> {
        let mut attempts = self.connection.attempts("wait for a barrier");
        loop {
            let session = self.connection.session().await?;
            match session.exists_and_watch(&self.path).await {
                Ok((None, _)) => return Ok(()),
                // The end of the session is noticed by the next look.
                Ok((Some(_), watch)) => drop(watch.await),
                Err(error) if is_transient(&error) || is_ended(&error) => attempts.failed(error).await?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits so long at most: [`Error::TimedOut`] says that it was in vain.
    pub async fn wait_within(&self, limit: Duration) -> Result<()> {
        match select(pin!(self.wait()), pin!(self.connection.ensemble().sleep(limit))).await {
            Either::Left((down, _)) => down,
            Either::Right(((), _)) => Err(Error::TimedOut(limit)),
        }
    }
}

/// A barrier at the beginning and at the end of a common task: nobody begins before all have come, and nobody goes on before all
/// have finished. Curator's and kazoo's `DoubleBarrier`. It can be used again as soon as one has left it.
pub struct DoubleBarrier<E: Ensemble = ZooKeeper> {
    connection: Connection<E>,
    path: String,
    members: usize,
}

/// A member that has entered a [`DoubleBarrier`]. Dropping it leaves without waiting for the others.
pub struct Entered<E: Ensemble = ZooKeeper> {
    connection: Connection<E>,
    path: String,
    claim: Claim<E>,
}

impl<E: Ensemble> DoubleBarrier<E> {
    /// The barrier of this path, for so many members. Nothing happens yet.
    pub fn new(connection: &Connection<E>, path: &str, members: usize) -> DoubleBarrier<E> {
        DoubleBarrier { connection: connection.clone(), path: path.to_owned(), members }
    }

    /// Waits until all members have come. [`Error::Lost`] says that the session has ended meanwhile, and the member is out.
    /// Dropping the future takes the member back.
    pub async fn enter(&self) -> Result<Entered<E>> {
        let session = self.connection.session().await?;
        let name = self.connection.guid().hyphenated();
        let place = (self.path.as_str(), name.as_str());
        let claim = Claim::create(&self.connection, session, place, KnownBy::Name, b"", CreateMode::Ephemeral).await?;
        let mut attempts = self.connection.attempts("enter a barrier");
        loop {
            match self.look(&claim).await {
                Ok(Ok(None)) => break,
                Ok(Ok(Some(watch))) => {
                    let event = watch.await;
                    if event.event_type == EventType::Session && event.session_state.is_terminated() {
                        return Err(Error::Lost(Loss::SessionEnded));
                    }
                }
                Ok(Err(error)) => return Err(error),
                Err(error) if is_ended(&error) => return Err(Error::Lost(Loss::SessionEnded)),
                Err(error) if is_transient(&error) => attempts.failed(error).await?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Entered { connection: self.connection.clone(), path: self.path.clone(), claim })
    }

    /// Whether all are there; if not, a watch for when they are.
    ///
    /// A ready that is older than the own znode is left from the round before. The last one to come replaces it.
    async fn look(&self, claim: &Claim<E>) -> std::result::Result<Result<Option<Watch>>, zk::Error> {
        let session = claim.session();
        let ready = child(&self.path, READY);
        let (stat, watch) = session.exists_and_watch(&ready).await?;
        let is_of_this_round = |stat: &Stat| stat.czxid > claim.created().stat.czxid;
        if stat.as_ref().is_some_and(is_of_this_round) {
            return Ok(Ok(None));
        }
        let (mut children, _) = session.children(&self.path).await?;
        children.retain(|name| name != READY);
        if !children.iter().any(|name| name == claim.name()) {
            return Ok(Err(Error::Lost(Loss::Deleted)));
        }
        if children.len() < self.members {
            return Ok(Ok(Some(watch)));
        }
        let mut operations = vec![];
        if stat.is_some() {
            operations.push(Operation::Delete { path: ready.clone(), version: None });
        }
        operations.push(Operation::Create { path: ready, data: vec![], mode: CreateMode::Persistent });
        match session.commit(&operations, self.connection.acl()).await {
            Ok(_) => Ok(Ok(None)),
            // Another one that had come last was faster: the watch tells.
            Err(error) if matches!(error.source, zk::Error::NodeExists | zk::Error::NoNode) => Ok(Ok(Some(watch))),
            Err(error) => Err(error.source),
        }
    }

    /// Waits so long at most: [`Error::TimedOut`] says that it was in vain.
    pub async fn enter_within(&self, limit: Duration) -> Result<Entered<E>> {
        match select(pin!(self.enter()), pin!(self.connection.ensemble().sleep(limit))).await {
            Either::Left((entered, _)) => entered,
            Either::Right(((), _)) => Err(Error::TimedOut(limit)),
        }
    }
}

impl<E: Ensemble> Entered<E> {
    /// Leaves, and waits until all who are there now have left as well. It outlasts sessions: a member whose session has ended
    /// has left.
    pub async fn leave(self) -> Result<()> {
        let path = self.path.as_str();
        let members = self.connection.retry("leave a barrier", |session| async move {
            session.sync(path).await?;
            session.children(path).await
        });
        let mut left = match members.await {
            Ok((members, _)) => members,
            // A container that is empty goes, too.
            Err(Error::Client(zk::Error::NoNode)) => vec![],
            Err(error) => return Err(error),
        };
        left.retain(|name| name != READY && name != self.claim.name());
        left.sort();
        self.claim.withdraw().await?;
        // One after another: whoever goes first wakes all, and the others nobody.
        for name in left {
            Barrier::new(&self.connection, &child(&self.path, &name)).wait().await?;
        }
        self.connection.delete_if_present(&child(&self.path, READY)).await.map(drop)
    }
}

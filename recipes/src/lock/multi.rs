//! Several locks as one.

use super::{Guard, Mutex};
use crate::connection::Connection;
use crate::error::{Error, Loss, Result};
use crate::session::Ensemble;
use crate::zookeeper::ZooKeeper;
use futures::FutureExt;
use futures::future::{Either, select, select_all};
use std::pin::pin;
use std::time::Duration;

/// Several locks that are held together, or not at all. They are acquired in the order of their paths, whatever order they are
/// named in, so that two of these never wait for each other.
pub struct MultiLock<E: Ensemble = ZooKeeper> {
    connection: Connection<E>,
    locks: Vec<Mutex<E>>,
}

/// All locks of a [`MultiLock`], held. Dropping it releases them in the background.
#[derive(Debug)]
pub struct MultiGuard<E: Ensemble = ZooKeeper> {
    guards: Vec<Guard<E>>,
}

impl<E: Ensemble> MultiLock<E> {
    /// The exclusive locks of these paths; a path that is named twice counts once.
    pub fn new(connection: &Connection<E>, paths: &[&str]) -> MultiLock<E> {
        let mut paths = paths.to_vec();
        paths.sort_unstable();
        paths.dedup();
        let locks = paths.iter().map(|path| Mutex::new(connection, path)).collect();
        MultiLock { connection: connection.clone(), locks }
    }

    /// Waits until all are held. A lock that is lost while the next ones are waited for makes it begin anew.
    pub async fn lock(&self) -> Result<MultiGuard<E>> {
        'anew: loop {
            let mut guards = MultiGuard { guards: vec![] };
            for mutex in &self.locks {
                let next = match guards.guards.is_empty() {
                    true => mutex.lock().await?,
                    false => match guards.run(mutex.lock()).await {
                        // A broken connection is waited for as well.
                        Err(Error::Lost(Loss::Suspended)) => {
                            guards.release().await?;
                            continue 'anew;
                        }
                        Err(Error::Lost(_)) => continue 'anew,
                        next => next??,
                    },
                };
                guards.guards.push(next);
            }
            return Ok(guards);
        }
    }

    /// Waits so long at most: [`Error::TimedOut`] says that it was in vain.
    pub async fn lock_within(&self, limit: Duration) -> Result<MultiGuard<E>> {
        match select(pin!(self.lock()), pin!(self.connection.ensemble().sleep(limit))).await {
            Either::Left((locked, _)) => locked,
            Either::Right(((), _)) => Err(Error::TimedOut(limit)),
        }
    }
}

impl<E: Ensemble> MultiGuard<E> {
    /// The locks, in the order of their paths.
    pub fn guards(&self) -> &[Guard<E>] {
        &self.guards
    }

    /// Waits until one of them may be lost. Pending for ever if there is none.
    pub async fn lost(&self) -> Loss {
        if self.guards.is_empty() {
            return std::future::pending().await;
        }
        select_all(self.guards.iter().map(|guard| guard.lost().boxed())).await.0
    }

    /// Runs a future for as long as all are certainly held. See [`Guard::run`].
    pub async fn run<F: Future>(&self, future: F) -> Result<F::Output> {
        match select(pin!(self.lost()), pin!(future)).await {
            Either::Left((loss, _)) => Err(Error::Lost(loss)),
            Either::Right((output, _)) => Ok(output),
        }
    }

    /// Releases all, the last one first. After a failure the others are released in the background.
    pub async fn release(mut self) -> Result<()> {
        while let Some(guard) = self.guards.pop() {
            guard.release().await?;
        }
        Ok(())
    }
}

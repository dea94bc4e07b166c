//! The latch: whoever leads does so until it lets go.

use crate::connection::Connection;
use crate::error::Result;
use crate::lock::{Guard, Mutex};
use crate::session::Ensemble;
use crate::zookeeper::ZooKeeper;
use std::time::Duration;

/// What stands before the sequence number.
const MARKERS: &[&str] = &["latch-"];

/// A line of participants, the first of which leads. Curator's `LeaderLatch` on the same path takes part.
///
/// ```no_run
/// # async fn example(connection: corral_recipes::Connection) -> corral_recipes::Result<()> {
/// use corral_recipes::leader::LeaderLatch;
///
/// let latch = LeaderLatch::new(&connection, "/app/leader", "server 7");
/// loop {
///     let leadership = latch.lead().await?;
///     // Ends with `Err(Lost)` when another one may lead.
///     let _ = leadership.run(async { /* what a leader does */ }).await;
/// }
/// # }
/// ```
pub struct LeaderLatch<E: Ensemble = ZooKeeper> {
    line: Mutex<E>,
}

impl<E: Ensemble> LeaderLatch<E> {
    /// A participant of this path, which the others see by its id. Nothing happens yet.
    pub fn new(connection: &Connection<E>, path: &str, id: &str) -> LeaderLatch<E> {
        LeaderLatch { line: Mutex::of(connection, path, MARKERS).data(id.as_bytes()) }
    }

    /// Waits until it leads, in the order of coming. It does so until the guard is released or lost; after
    /// [`Loss::Suspended`](crate::Loss::Suspended) [`Guard::check`] says whether it still does.
    ///
    /// When the session ends meanwhile it goes to the end of the line. Dropping the future leaves the line.
    pub async fn lead(&self) -> Result<Guard<E>> {
        self.line.lock().await
    }

    /// Waits so long at most: [`Error::TimedOut`](crate::Error::TimedOut) says that it was in vain.
    pub async fn lead_within(&self, limit: Duration) -> Result<Guard<E>> {
        self.line.lock_within(limit).await
    }

    /// The ids of all participants, the leader's first.
    pub async fn participants(&self) -> Result<Vec<String>> {
        let ids = self.line.contenders().await?;
        Ok(ids.iter().map(|id| String::from_utf8_lossy(id).into_owned()).collect())
    }

    /// The leader's id, if there is one.
    pub async fn leader(&self) -> Result<Option<String>> {
        Ok(self.participants().await?.into_iter().next())
    }
}

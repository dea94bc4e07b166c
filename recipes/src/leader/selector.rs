//! The selector: work that is done by whoever leads.

use crate::connection::Connection;
use crate::error::{Error, Loss, Result};
use crate::lock::{Guard, Layout, Mutex};
use crate::session::Ensemble;
use crate::zookeeper::ZooKeeper;
use std::ops::ControlFlow;

/// Calls a function when it is one's turn to lead, and leaves the lead when the function ends. Curator's `LeaderSelector` on
/// the same path takes part, and kazoo's `Election` with [`Layout::Kazoo`].
pub struct LeaderSelector<E: Ensemble = ZooKeeper> {
    line: Mutex<E>,
}

impl<E: Ensemble> LeaderSelector<E> {
    /// A participant of this path, which the others see by its id. Nothing happens yet.
    pub fn new(connection: &Connection<E>, path: &str, id: &str) -> LeaderSelector<E> {
        LeaderSelector { line: Mutex::new(connection, path).data(id.as_bytes()) }
    }

    /// With another library's names.
    pub fn layout(self, layout: Layout) -> LeaderSelector<E> {
        LeaderSelector { line: self.line.layout(layout) }
    }

    /// Waits until it leads, does the work, and lets the next one lead. When the leadership may be lost, the work is dropped at
    /// its `.await`, and [`Error::Lost`] says why.
    pub async fn run_once<F: Future>(&self, work: impl FnOnce(Guard<E>) -> F) -> Result<F::Output> {
        let leadership = self.line.lock().await?;
        let output = leadership.run(work(leadership.clone())).await?;
        leadership.release().await?;
        Ok(output)
    }

    /// Leads again and again: each time that `work` ends, or the leadership is lost, it goes to the end of the line. A value
    /// that `work` breaks with ends it all.
    ///
    /// After a broken connection that was whole again in time it still leads: `work` is called anew with the same leadership.
    pub async fn run<T, F>(&self, mut work: impl FnMut(Guard<E>) -> F) -> Result<T>
    where
        F: Future<Output = ControlFlow<T>>,
    {
        loop {
            let leadership = self.line.lock().await?;
            loop {
                match leadership.run(work(leadership.clone())).await {
                    Ok(ControlFlow::Continue(())) => {
                        leadership.release().await?;
                        break;
                    }
                    Ok(ControlFlow::Break(value)) => {
                        leadership.release().await?;
                        return Ok(value);
                    }
                    Err(Error::Lost(Loss::Suspended)) => match leadership.check().await {
                        Ok(()) => {}
                        Err(Error::Lost(_)) => break,
                        Err(error) => return Err(error),
                    },
                    Err(Error::Lost(loss)) => {
                        tracing::info!(%loss, "no longer the leader");
                        break;
                    }
                    Err(error) => return Err(error),
                }
            }
        }
    }

    /// The ids of all participants, the leader's first.
    pub async fn participants(&self) -> Result<Vec<String>> {
        let ids = self.line.contenders().await?;
        Ok(ids.iter().map(|id| String::from_utf8_lossy(id).into_owned()).collect())
    }
}

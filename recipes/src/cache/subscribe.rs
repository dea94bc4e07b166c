//! Subscriptions to one znode, which register again by themselves after each event.

use crate::connection::Connection;
use crate::error::{Result, is_ended, is_transient};
use crate::session::{Ensemble, Session, Watch};
use crate::zookeeper::ZooKeeper;
use zookeeper_client as zk;
use zookeeper_client::Stat;

/// The data of a znode, again and again, from [`Connection::subscribe_data_changes`]. Dropping it unsubscribes.
pub struct DataChanges<E: Ensemble = ZooKeeper> {
    connection: Connection<E>,
    path: String,
    watch: Option<Watch>,
    /// The last one that was told: its zxid, or that there was none.
    told: Option<Option<i64>>,
}

/// The names of a znode's children, again and again, from [`Connection::subscribe_child_changes`]. Dropping it unsubscribes.
pub struct ChildChanges<E: Ensemble = ZooKeeper> {
    connection: Connection<E>,
    path: String,
    watch: Option<Watch>,
    told: Option<Option<Vec<String>>>,
}

impl<E: Ensemble> Connection<E> {
    /// Follows the data of a znode, which need not be there yet. Nothing happens before the first change is asked for.
    pub fn subscribe_data_changes(&self, path: &str) -> DataChanges<E> {
        DataChanges { connection: self.clone(), path: path.to_owned(), watch: None, told: None }
    }

    /// Follows the names of the children of a znode, which need not be there yet. Nothing happens before the first change is
    /// asked for.
    pub fn subscribe_child_changes(&self, path: &str) -> ChildChanges<E> {
        ChildChanges { connection: self.clone(), path: path.to_owned(), watch: None, told: None }
    }
}

impl<E: Ensemble> DataChanges<E> {
    /// The data as they are when they are others than those of the last call; the first call returns at once. `None`: the
    /// znode is not there. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Option<(Vec<u8>, Stat)>> {
        loop {
            if let Some(watch) = &mut self.watch {
                watch.await;
                self.watch = None;
            }
            let (data, watch) = read(&self.connection, &self.path, Kind::Data).await?;
            self.watch = Some(watch);
            let data = match data {
                Some(Read::Data(data, stat)) => Some((data, stat)),
                _ => None,
            };
            let now = Some(data.as_ref().map(|(_, stat)| stat.mzxid));
            if std::mem::replace(&mut self.told, now) != now {
                return Ok(data);
            }
        }
    }
}

impl<E: Ensemble> ChildChanges<E> {
    /// The names, sorted, when they are others than those of the last call; the first call returns at once. `None`: the znode
    /// is not there. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Option<Vec<String>>> {
        loop {
            if let Some(watch) = &mut self.watch {
                watch.await;
                self.watch = None;
            }
            let (children, watch) = read(&self.connection, &self.path, Kind::Children).await?;
            self.watch = Some(watch);
            let children = match children {
                Some(Read::Children(children)) => Some(children),
                _ => None,
            };
            if self.told.as_ref() != Some(&children) {
                self.told = Some(children.clone());
                return Ok(children);
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Data,
    Children,
}

enum Read {
    Data(Vec<u8>, Stat),
    Children(Vec<String>),
}

/// What there is, and a watch for when it is not so any more.
async fn read<E: Ensemble>(connection: &Connection<E>, path: &str, kind: Kind) -> Result<(Option<Read>, Watch)> {
    let mut attempts = connection.attempts("subscribe");
    loop {
        let session = connection.session().await?;
        let read = async {
            let read = match kind {
                Kind::Data => {
                    session.get_and_watch(path).await.map(|(data, stat, watch)| (Read::Data(data, stat), watch))
                }
                Kind::Children => session.children_and_watch(path).await.map(|(mut children, _, watch)| {
                    children.sort();
                    (Read::Children(children), watch)
                }),
            };
            match read {
                Ok((read, watch)) => Ok(Some((Some(read), watch))),
                Err(zk::Error::NoNode) => match session.exists_and_watch(path).await? {
                    (None, watch) => Ok(Some((None, watch))),
                    // It has come meanwhile.
                    (Some(_), _) => Ok(None),
                },
                Err(error) => Err(error),
            }
        };
        match read.await {
            Ok(Some(read)) => return Ok(read),
            Ok(None) => {}
            Err(error) if is_transient(&error) || is_ended(&error) => attempts.failed(error).await?,
            Err(error) => return Err(error.into()),
        }
    }
}

//! Queues: first in first out, by priority, or not before a time; with an acknowledgement or without.
//!
//! An ensemble keeps queues of thousands of items in memory and lists all of them to whoever takes one. They are for work that
//! must not get lost, not for streams of it.
//!
//! | | what a consumer's end does | an item is processed |
//! |---|---|---|
//! | [`Queue::take`] | the item it had is gone | once at most, or twice when the answer to its removal is lost |
//! | [`Queue::receive`] and [`Delivery::acknowledge`] | the item it had comes to another one | once at least; its acknowledgement succeeds once |

mod assembly;
mod item;

use crate::claim::{Claim, KnownBy};
use crate::connection::Connection;
use crate::error::{Error, Loss, Result, is_ended, is_transient};
use crate::lock::Guard;
use crate::names::{child, split};
use crate::session::{Ensemble, Operation, Session, Watch};
use crate::zookeeper::ZooKeeper;
pub use assembly::{Assembly, Member};
use futures::future::{Either, select};
pub use item::QueueLayout;
use item::Rank;
use std::pin::pin;
use std::time::{Duration, SystemTime};
use zookeeper_client as zk;
use zookeeper_client::CreateMode;

/// A queue. Its items are taken in the order of their priorities, times and coming.
///
/// ```no_run
/// # async fn example(connection: corral_recipes::Connection) -> corral_recipes::Result<()> {
/// use corral_recipes::queue::{Queue, QueueLayout};
///
/// let queue = Queue::new(&connection, "/app/mail", QueueLayout::Curator);
/// queue.put(b"to all").await?;
/// let delivery = queue.receive().await?;
/// delivery.run(async { /* send delivery.items() */ }).await?;
/// delivery.acknowledge().await?;
/// # Ok(())
/// # }
/// ```
pub struct Queue<E: Ensemble = ZooKeeper> {
    connection: Connection<E>,
    path: String,
    layout: QueueLayout,
    locks: String,
}

/// An item that was received and not acknowledged yet: nobody else gets it. Dropping it gives it back, in the background.
pub struct Delivery<E: Ensemble = ZooKeeper> {
    connection: Connection<E>,
    items: Vec<Vec<u8>>,
    data: Vec<u8>,
    path: String,
    /// What an item that comes back begins with.
    again: String,
    lock: Guard<E>,
}

/// What there is to take at a moment.
struct Look {
    /// Names of what may be taken now, the next one first.
    due: Vec<String>,
    /// When the next one of the others may be taken.
    next: Option<Duration>,
    watch: Watch,
}

impl<E: Ensemble> Queue<E> {
    /// The queue of this path. Nothing happens yet.
    pub fn new(connection: &Connection<E>, path: &str, layout: QueueLayout) -> Queue<E> {
        let locks = match layout {
            QueueLayout::Kazoo => format!("{path}/taken"),
            _ => format!("{path}-locks"),
        };
        Queue { connection: connection.clone(), path: path.to_owned(), layout, locks }
    }

    /// Locks received items below this path. A Curator's queue that shares the items has to name the same one (`lockPath`).
    /// The default is the queue's path with `-locks`, and for kazoo's layout its child `taken`.
    pub fn locks(mut self, path: &str) -> Queue<E> {
        self.locks = path.to_owned();
        self
    }

    /// The parent of the items.
    fn entries(&self) -> String {
        match self.layout {
            QueueLayout::Kazoo => format!("{}/entries", self.path),
            _ => self.path.clone(),
        }
    }

    /// Puts an item at the end. When the answer is lost, the item is put a second time, unless
    /// [`put_once`](Self::put_once) is called.
    pub async fn put(&self, item: &[u8]) -> Result<()> {
        self.put_all(&[item], Rank::Last).await
    }

    /// Puts several items at the end, which are taken together. (With [`QueueLayout::Curator`] alone.)
    pub async fn put_together(&self, items: &[&[u8]]) -> Result<()> {
        self.put_all(items, Rank::Last).await
    }

    /// Puts an item behind those of the same priority; smaller numbers come first, and in Curator's layout items without one
    /// come between the negative and the others. Of layout [`QueueLayout::Simple`] none has a
    /// priority, and kazoo's are from 0 to 999.
    pub async fn put_with_priority(&self, item: &[u8], priority: i32) -> Result<()> {
        self.put_all(&[item], Rank::Priority(priority)).await
    }

    /// Puts an item that is not taken before this time. (With [`QueueLayout::Curator`] alone.) The clocks of the consumers
    /// decide.
    pub async fn put_for(&self, item: &[u8], time: SystemTime) -> Result<()> {
        self.put_all(&[item], Rank::NotBefore(item::since_epoch(time))).await
    }

    async fn put_all(&self, items: &[&[u8]], rank: Rank) -> Result<()> {
        let (path, data) = self.entry(items, rank)?;
        self.connection.create(&path, &data, CreateMode::PersistentSequential).await.map(drop)
    }

    /// Puts an item at the end, once: when the answer is lost, an ephemeral mark beside the queue tells whether the item was put.
    /// It costs one request more. [`Error::InDoubt`] says that the session ended just then, and the mark with it.
    pub async fn put_once(&self, item: &[u8]) -> Result<()> {
        let (path, data) = self.entry(&[item], Rank::Last)?;
        let mark = format!("{}-put-{}", self.path, self.connection.guid().simple());
        let operations = [
            Operation::Create { path: mark.clone(), data: vec![], mode: CreateMode::Ephemeral },
            Operation::Create { path: path.clone(), data, mode: CreateMode::PersistentSequential },
        ];
        let mut attempts = self.connection.attempts("put an item once");
        let session = self.connection.session().await?;
        let mut is_in_doubt = false;
        loop {
            let failure = match session.commit(&operations, self.connection.acl()).await {
                Ok(_) => break,
                Err(error) => error.source,
            };
            match failure {
                // That was the attempt before.
                zk::Error::NodeExists if is_in_doubt => break,
                zk::Error::NoNode => self.connection.ensure_path(split(&path).0).await?,
                error if is_ended(&error) && is_in_doubt => return Err(Error::InDoubt),
                error if is_ended(&error) => return Err(Error::Lost(Loss::SessionEnded)),
                error if is_transient(&error) => {
                    is_in_doubt = true;
                    attempts.failed(error).await?;
                }
                error => return Err(error.into()),
            }
        }
        // What fails here goes with the session.
        match session.delete(&mark, None).await {
            Err(error) if !is_transient(&error) && !is_ended(&error) && error != zk::Error::NoNode => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// The path and the data of a new item.
    fn entry(&self, items: &[&[u8]], rank: Rank) -> Result<(String, Vec<u8>)> {
        let name = self.layout.name(rank)?;
        Ok((child(&self.entries(), &name), self.layout.write(items)?))
    }

    /// Waits for the next item and takes it: it is gone from the queue before this returns. It takes no notice of locks: the
    /// consumers of one queue all take, or all receive.
    ///
    /// Dropping the future takes nothing, or loses an item if that was being removed just then;
    /// [`receive`](Self::receive) loses none.
    pub async fn take(&self) -> Result<Vec<Vec<u8>>> {
        self.next(|name| self.try_take(name)).await
    }

    /// The next item, if there is one that may be taken now.
    pub async fn try_take_next(&self) -> Result<Option<Vec<Vec<u8>>>> {
        for name in self.look().await?.due {
            if let Some(items) = self.try_take(name).await? {
                return Ok(Some(items));
            }
        }
        Ok(None)
    }

    /// The items of this znode, unless somebody else took them.
    async fn try_take(&self, name: String) -> Result<Option<Vec<Vec<u8>>>> {
        let path = child(&self.entries(), &name);
        let data = match self.connection.get(&path).await {
            Err(Error::Client(zk::Error::NoNode)) => return Ok(None),
            read => read?.0,
        };
        let items = self.layout.read(&path, data)?;
        let mut attempts = self.connection.attempts("take an item");
        let mut is_in_doubt = false;
        loop {
            match self.connection.session().await?.delete(&path, None).await {
                Ok(()) => return Ok(Some(items)),
                // Perhaps it was this one whose answer was lost: better twice than never.
                Err(zk::Error::NoNode) => return Ok(is_in_doubt.then_some(items)),
                Err(error) if is_transient(&error) || is_ended(&error) => {
                    is_in_doubt = true;
                    attempts.failed(error).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits for the next item and locks it. It is removed when it is acknowledged; until then it stays in the queue, and when
    /// the session ends another consumer receives it. Dropping the future loses nothing.
    pub async fn receive(&self) -> Result<Delivery<E>> {
        self.next(|name| self.try_receive(name)).await
    }

    /// The items of this znode, locked, unless somebody else has locked or taken them.
    async fn try_receive(&self, name: String) -> Result<Option<Delivery<E>>> {
        let path = child(&self.entries(), &name);
        let session = self.connection.session().await?;
        let mark = self.connection.guid().simple().into_bytes();
        let place = (self.locks.as_str(), name.as_str());
        let known_by = KnownBy::Data(mark.clone());
        let locked = Claim::create(&self.connection, session, place, known_by, &mark, CreateMode::Ephemeral).await;
        let lock = match locked {
            Ok(claim) => Guard::new(&self.connection, claim),
            Err(Error::Client(zk::Error::NodeExists) | Error::Lost(Loss::SessionEnded)) => return Ok(None),
            Err(error) => return Err(error),
        };
        // Whoever had it before removes it together with the lock: if it is there, it was not acknowledged.
        let data = match self.connection.get(&path).await {
            Err(Error::Client(zk::Error::NoNode)) => {
                lock.release().await?;
                return Ok(None);
            }
            read => read?.0,
        };
        let items = self.layout.read(&path, data.clone())?;
        let again = child(&self.entries(), self.layout.prefix(&name));
        Ok(Some(Delivery { connection: self.connection.clone(), items, data, path, again, lock }))
    }

    /// Waits until an item is got.
    async fn next<T, F: Future<Output = Result<Option<T>>>>(&self, get: impl Fn(String) -> F) -> Result<T> {
        loop {
            let look = self.look().await?;
            for name in &look.due {
                if let Some(got) = get(name.clone()).await? {
                    return Ok(got);
                }
            }
            // What others have locked comes back without a change of the queue.
            let again = self.wait_for_locks(&look.due);
            let due = async {
                match look.next {
                    Some(next) => self.connection.ensemble().sleep(next).await,
                    None => std::future::pending().await,
                }
            };
            select(pin!(select(look.watch, pin!(due))), pin!(again)).await;
        }
    }

    /// Ends when one of these is not locked any more.
    async fn wait_for_locks(&self, due: &[String]) {
        if due.is_empty() {
            std::future::pending::<()>().await;
        }
        let watched = match self.connection.session().await {
            Ok(session) => session.children_and_watch(&self.locks).await,
            Err(_) => return,
        };
        match watched {
            Ok((locks, _, _)) if due.iter().any(|name| !locks.contains(name)) => {}
            Ok((_, _, watch)) => drop(watch.await),
            // Nothing was ever locked here: items are taken.
            Err(zk::Error::NoNode) => std::future::pending().await,
            Err(_) => self.connection.ensemble().sleep(Duration::from_millis(100)).await,
        }
    }

    /// What there is, and a watch for changes.
    async fn look(&self) -> Result<Look> {
        let entries = self.entries();
        let mut attempts = self.connection.attempts("look into a queue");
        loop {
            match self.connection.session().await?.children_and_watch(&entries).await {
                Ok((names, _, watch)) => {
                    let (due, next) =
                        self.layout.sort(names, item::since_epoch(self.connection.ensemble().system_time()));
                    return Ok(Look { due, next, watch });
                }
                Err(zk::Error::NoNode) => self.connection.ensure_path(&entries).await?,
                Err(error) if is_transient(&error) || is_ended(&error) => attempts.failed(error).await?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// How many items there are, locked ones included.
    pub async fn len(&self) -> Result<usize> {
        match self.connection.exists(&self.entries()).await? {
            Some(stat) => Ok(usize::try_from(stat.num_children).unwrap_or_default()),
            None => Ok(0),
        }
    }

    /// Whether there are none.
    pub async fn is_empty(&self) -> Result<bool> {
        Ok(self.len().await? == 0)
    }
}

impl<E: Ensemble> Delivery<E> {
    /// What was put together: one item, most often.
    pub fn items(&self) -> &[Vec<u8>] {
        &self.items
    }

    /// Runs a future for as long as nobody else can have received the item. See [`Guard::run`].
    pub async fn run<F: Future>(&self, future: F) -> Result<F::Output> {
        self.lock.run(future).await
    }

    /// Waits until somebody else may receive the item. See [`Guard::lost`].
    pub async fn lost(&self) -> Loss {
        self.lock.lost().await
    }

    /// The item is done, and leaves the queue. [`Error::Lost`] says that the lock was lost before, and somebody else does it
    /// again, or has done it. After [`Error::InDoubt`] the item is not there any more, and whether this call or another
    /// consumer has removed it cannot be told.
    pub async fn acknowledge(self) -> Result<()> {
        let remove = [Operation::Delete { path: self.path.clone(), version: None }];
        self.finish(&remove).await
    }

    /// The item could not be done: it goes to the end of the queue.
    pub async fn give_back(self) -> Result<()> {
        let (path, data) = (self.again.clone(), self.data.clone());
        let move_back = [
            Operation::Delete { path: self.path.clone(), version: None },
            Operation::Create { path, data, mode: CreateMode::PersistentSequential },
        ];
        self.finish(&move_back).await
    }

    /// Does this and unlocks, if it is locked at that moment.
    async fn finish(self, operations: &[Operation]) -> Result<()> {
        let unlock = Operation::Delete { path: self.lock.path().to_owned(), version: None };
        let all: Vec<Operation> = [unlock].into_iter().chain(operations.iter().cloned()).collect();
        let session = self.lock.session();
        let mut attempts = self.connection.attempts("acknowledge an item");
        let mut is_in_doubt = false;
        loop {
            let error = match session.commit(&all, self.connection.acl()).await {
                Ok(_) => break,
                Err(error) => error,
            };
            match error.source {
                // Both znodes go at once, and the lock alone by the end of the session, which lives.
                zk::Error::NoNode if is_in_doubt && error.at == Some(0) => break,
                zk::Error::NoNode => return Err(Error::Lost(Loss::Deleted)),
                source if is_ended(&source) && is_in_doubt => return self.was_it_done().await,
                source if is_ended(&source) => return Err(Error::Lost(Loss::SessionEnded)),
                source if is_transient(&source) => {
                    is_in_doubt = true;
                    attempts.failed(source).await?;
                }
                source => return Err(source.into()),
            }
        }
        self.lock.forget();
        Ok(())
    }

    /// The session has ended before it was known whether the item was removed.
    async fn was_it_done(&self) -> Result<()> {
        let connection = &self.connection;
        connection.retry("sync", |session| async move { session.sync(&self.path).await }).await?;
        match connection.exists(&self.path).await? {
            Some(_) => Err(Error::Lost(Loss::SessionEnded)),
            None => Err(Error::InDoubt),
        }
    }
}

impl<E: Ensemble> Queue<E> {
    /// Waits so long at most: [`Error::TimedOut`] says that it was in vain.
    pub async fn receive_within(&self, limit: Duration) -> Result<Delivery<E>> {
        match select(pin!(self.receive()), pin!(self.connection.ensemble().sleep(limit))).await {
            Either::Left((received, _)) => received,
            Either::Right(((), _)) => Err(Error::TimedOut(limit)),
        }
    }
}

//! Znodes that tell who is there: ephemeral ones that come again after each session, groups, heartbeats, progress.

use crate::cache::{Cache, CacheEvent, CacheEvents, Scope};
use crate::connection::Connection;
use crate::error::{Error, Result, is_ended, is_transient};
use crate::names::{child, split};
use crate::session::{Ensemble, Session, StateWatch};
use crate::zookeeper::ZooKeeper;
use asyncs::sync::watch;
use futures::future::select;
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use zookeeper_client as zk;
use zookeeper_client::{CreateMode, EventType};

/// An ephemeral znode that is there for as long as this is: when the session ends, or somebody deletes the znode, it is
/// created again. Curator's `PersistentNode`.
///
/// A task keeps it. Dropping this deletes the znode in the background; [`close`](Self::close) waits until it is gone.
pub struct PersistentNode<E: Ensemble = ZooKeeper> {
    connection: Connection<E>,
    path: String,
    /// What the znode is to hold. `None`: it is to go.
    wanted: watch::Sender<Option<Arc<[u8]>>>,
    /// What has become of the last wish.
    kept: watch::Receiver<Kept>,
}

/// What has become of a wish for a znode.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kept {
    /// The znode holds this, or is not there.
    As(Option<Arc<[u8]>>),
    /// The ensemble refuses it. It is tried again, more slowly.
    Refused(zk::Error),
}

impl<E: Ensemble> PersistentNode<E> {
    /// Creates the znode, and missing parents as containers. What another session has at this path is waited for until it
    /// goes. Dropping the future takes the znode back.
    pub async fn create(connection: &Connection<E>, path: &str, data: &[u8]) -> Result<PersistentNode<E>> {
        let data: Option<Arc<[u8]>> = Some(Arc::from(data));
        let (wanted, wishes) = watch::channel(data.clone());
        let (tell, kept) = watch::channel(Kept::As(None));
        let keeper = Keeper { connection: connection.clone(), path: path.to_owned(), wishes, tell };
        connection.ensemble().spawn(Box::pin(keeper.keep()));
        let mut node = PersistentNode { connection: connection.clone(), path: path.to_owned(), wanted, kept };
        node.await_kept(data).await?;
        Ok(node)
    }

    /// The path of the znode.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Changes the data of the znode, and returns when the ensemble has them. When it fails, or the future is dropped, the
    /// znode gets them later.
    pub async fn set(&mut self, data: &[u8]) -> Result<()> {
        let data: Option<Arc<[u8]>> = Some(Arc::from(data));
        self.wanted.publish(data.clone());
        self.await_kept(data).await
    }

    /// Deletes the znode, and returns when it is gone.
    pub async fn close(mut self) -> Result<()> {
        self.wanted.publish(None);
        self.await_kept(None).await
    }

    async fn await_kept(&mut self, data: Option<Arc<[u8]>>) -> Result<()> {
        loop {
            let kept = self.kept.borrow_and_update().clone();
            match kept {
                Kept::As(kept) if kept == data => return Ok(()),
                Kept::Refused(error) => return Err(error.into()),
                // The task has ended with the runtime.
                Kept::As(_) if self.kept.changed().await.is_err() => return Err(zk::Error::ClientClosed.into()),
                Kept::As(_) => {}
            }
        }
    }

    /// The connection that the znode is kept with.
    pub fn connection(&self) -> &Connection<E> {
        &self.connection
    }
}

/// The task that keeps a znode.
struct Keeper<E: Ensemble> {
    connection: Connection<E>,
    path: String,
    wishes: watch::Receiver<Option<Arc<[u8]>>>,
    tell: watch::Sender<Kept>,
}

impl<E: Ensemble> Keeper<E> {
    async fn keep(mut self) {
        let connection = self.connection.clone();
        loop {
            // Whoever wished for the znode may have been dropped: then it is to go.
            let wish = self.wishes.borrow_and_update().clone();
            let session = match connection.session().await {
                Ok(session) => session,
                Err(error) => {
                    tracing::warn!(path = self.path, %error, "no session for the znode");
                    connection.ensemble().sleep(Duration::from_secs(1)).await;
                    continue;
                }
            };
            let outcome = match &wish {
                None => self.remove(&session).await.map(|()| true),
                Some(data) => self.put(&session, data).await,
            };
            match outcome {
                Ok(true) => self.tell.publish(Kept::As(wish.clone())),
                Ok(false) => tracing::info!(path = self.path, "the znode is another session's, which is waited for"),
                Err(error) if is_transient(&error) || is_ended(&error) => {
                    connection.ensemble().sleep(Duration::from_millis(50)).await;
                    continue;
                }
                Err(error) => {
                    tracing::warn!(path = self.path, %error, "the znode cannot be kept");
                    self.tell.publish(Kept::Refused(error));
                    connection.ensemble().sleep(Duration::from_secs(1)).await;
                    continue;
                }
            }
            if wish.is_none() {
                return;
            }
            self.await_reason(&session).await;
        }
    }

    /// Sees to it that the znode is there and has these data; false, if there is another session's.
    async fn put(&self, session: &E::Session, data: &[u8]) -> std::result::Result<bool, zk::Error> {
        loop {
            match session.create(&self.path, data, CreateMode::Ephemeral, self.connection.acl()).await {
                Ok(_) => return Ok(true),
                Err(zk::Error::NoNode) if split(&self.path).0 != "/" => {
                    match self.connection.ensure_container(split(&self.path).0).await {
                        Err(Error::Client(error)) => return Err(error),
                        Err(_) => return Err(zk::Error::ConnectionLoss),
                        Ok(()) => {}
                    }
                }
                Err(zk::Error::NodeExists) => match session.exists(&self.path).await? {
                    Some(stat) if stat.ephemeral_owner == session.id().0 => {
                        return session.set(&self.path, data, None).await.map(|_| true);
                    }
                    // The session before, which ends soon; or somebody else.
                    Some(_) => return Ok(false),
                    None => {}
                },
                Err(error) => return Err(error),
            }
        }
    }

    async fn remove(&self, session: &E::Session) -> std::result::Result<(), zk::Error> {
        match session.exists(&self.path).await? {
            Some(stat) if stat.ephemeral_owner == session.id().0 => match session.delete(&self.path, None).await {
                Err(zk::Error::NoNode) => Ok(()),
                deleted => deleted,
            },
            _ => Ok(()),
        }
    }

    /// Waits until the znode is gone, the session has ended, or something else is wished for.
    async fn await_reason(&mut self, session: &E::Session) {
        let mut states = session.states();
        let gone = async {
            loop {
                match session.exists_and_watch(&self.path).await {
                    Ok((None, _)) => return,
                    Ok((Some(_), watch)) => {
                        if watch.await.event_type == EventType::NodeDeleted {
                            return;
                        }
                    }
                    Err(_) => {}
                }
                if session.state().is_terminated() {
                    return;
                }
            }
        };
        let ended = async {
            while !session.state().is_terminated() {
                states.changed().await;
            }
        };
        // An error says that nobody wishes for it any more.
        select(pin!(select(pin!(gone), pin!(ended))), pin!(self.wishes.changed())).await;
    }
}

impl<E: Ensemble> Drop for PersistentNode<E> {
    fn drop(&mut self) {
        self.wanted.publish(None);
    }
}

/// Processes that know of each other: each has an ephemeral znode, whose name is its id. Curator's `GroupMember`.
pub struct Group<E: Ensemble = ZooKeeper> {
    connection: Connection<E>,
    path: String,
}

/// Follows who is in a [`Group`].
pub struct Members<E: Ensemble = ZooKeeper> {
    path: String,
    cache: Cache,
    events: CacheEvents<E>,
}

/// What has happened in a [`Group`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberEvent {
    /// A member has joined, and says this.
    Joined(String, Vec<u8>),
    /// A member says something else than before: that it is alive, or how far it is.
    Said(String, Vec<u8>),
    /// A member has left, or its session has ended; this is what it had said last.
    Left(String, Vec<u8>),
    /// All who were there have been told of. It comes once.
    Complete,
}

impl<E: Ensemble> Group<E> {
    /// The group of this path. Nothing happens yet.
    pub fn new(connection: &Connection<E>, path: &str) -> Group<E> {
        Group { connection: connection.clone(), path: path.to_owned() }
    }

    /// Joins under this id. What the member says, and changes by [`PersistentNode::set`], the others see: its address, its
    /// heartbeat, its progress. It leaves when the znode is closed or dropped, or when the process dies.
    pub async fn join(&self, id: &str, data: &[u8]) -> Result<PersistentNode<E>> {
        PersistentNode::create(&self.connection, &child(&self.path, id), data).await
    }

    /// Who is in the group, and what each says, when the answers were sent.
    pub async fn members(&self) -> Result<BTreeMap<String, Vec<u8>>> {
        let mut members = self.watch();
        while members.next().await? != MemberEvent::Complete {}
        Ok(members.now())
    }

    /// Follows who comes and goes, without any connection to them.
    pub fn watch(&self) -> Members<E> {
        let (cache, events) = Cache::new(&self.connection, &self.path, Scope::Children);
        Members { path: self.path.clone(), cache, events }
    }
}

impl<E: Ensemble> Members<E> {
    /// The next event. See [`CacheEvents::next`] for cuts, sessions and cancellation.
    pub async fn next(&mut self) -> Result<MemberEvent> {
        let id = |path: String| path[self.path.len()..].trim_start_matches('/').to_owned();
        Ok(match self.events.next().await? {
            CacheEvent::Created(path, cached) => MemberEvent::Joined(id(path), cached.data.to_vec()),
            CacheEvent::Changed { path, after, .. } => MemberEvent::Said(id(path), after.data.to_vec()),
            CacheEvent::Deleted(path, before) => MemberEvent::Left(id(path), before.data.to_vec()),
            CacheEvent::Complete => MemberEvent::Complete,
        })
    }

    /// Who is there, and what each says, as far as is known.
    pub fn now(&self) -> BTreeMap<String, Vec<u8>> {
        let id = |path: &str| path[self.path.len()..].trim_start_matches('/').to_owned();
        self.cache.snapshot().iter().map(|(path, cached)| (id(path), cached.data.to_vec())).collect()
    }
}

//! The queue that waits for its members: a large task that may begin when all its parts are ready.

use crate::claim::{Claim, KnownBy};
use crate::connection::Connection;
use crate::error::{Error, Loss, Result, is_ended, is_transient};
use crate::lock::Guard;
use crate::names::{child, sequence};
use crate::session::{Ensemble, Session};
use crate::zookeeper::ZooKeeper;
use zookeeper_client as zk;
use zookeeper_client::{CreateMode, EventType};

/// The child that holds the number of members.
const NUMBER: &str = "num";
/// The child that says that the task has begun.
const START: &str = "start";
/// What stands before the sequence number of a member.
const MEMBER: &str = "member-";

/// A queue whose members go on when there are so many of them as its child `num` says. A member that ends before does not
/// count. Members that come when it has begun go on at once: they are late.
pub struct Assembly<E: Ensemble = ZooKeeper> {
    connection: Connection<E>,
    path: String,
    members: usize,
}

/// A member of an [`Assembly`] that goes on. Dropping it leaves the queue.
pub struct Member<E: Ensemble = ZooKeeper> {
    /// Its znode, which goes with the session.
    pub guard: Guard<E>,
    /// What those who were there said, in the order of their coming.
    pub others: Vec<Vec<u8>>,
    /// Whether the others had begun before it came.
    pub is_late: bool,
}

impl<E: Ensemble> Assembly<E> {
    /// The queue of this path, for so many members. Nothing happens yet.
    pub fn new(connection: &Connection<E>, path: &str, members: usize) -> Assembly<E> {
        Assembly { connection: connection.clone(), path: path.to_owned(), members }
    }

    /// Adds a member, who says `data`, and waits for the others. Dropping the future takes the member back.
    ///
    /// [`Error::Foreign`] says that the others wait for another number of members; [`Error::Lost`], that the session has ended
    /// meanwhile.
    pub async fn join(&self, data: &[u8]) -> Result<Member<E>> {
        self.agree().await?;
        let session = self.connection.session().await?;
        let name = format!("{}{MEMBER}", self.connection.guid().protection());
        let place = (self.path.as_str(), name.as_str());
        let mode = CreateMode::EphemeralSequential;
        let claim = Claim::create(&self.connection, session, place, KnownBy::Name, data, mode).await?;
        let mut attempts = self.connection.attempts("wait for members");
        let start = child(&self.path, START);
        let is_late = loop {
            let session = claim.session();
            let looked = async {
                let (stat, watch) = session.exists_and_watch(&start).await?;
                if let Some(stat) = stat {
                    return Ok(Some((stat.czxid < claim.created().stat.czxid, None)));
                }
                if self.members(session).await?.len() < self.members {
                    return Ok(Some((false, Some(watch))));
                }
                match session.create(&start, b"", CreateMode::Persistent, self.connection.acl()).await {
                    Ok(_) => Ok(Some((false, None))),
                    Err(zk::Error::NodeExists) => Ok(None),
                    Err(error) => Err(error),
                }
            };
            match looked.await {
                Ok(Some((is_late, None))) => break is_late,
                Ok(Some((_, Some(watch)))) => {
                    let event = watch.await;
                    if event.event_type == EventType::Session && event.session_state.is_terminated() {
                        return Err(Error::Lost(Loss::SessionEnded));
                    }
                }
                Ok(None) => {}
                Err(error) if is_ended(&error) => return Err(Error::Lost(Loss::SessionEnded)),
                Err(error) if is_transient(&error) => attempts.failed(error).await?,
                Err(error) => return Err(error.into()),
            }
        };
        let mut others = vec![];
        let names =
            self.connection.retry("list members", |session| async move { self.members(&session).await }).await?;
        for name in names {
            match self.connection.get(&child(&self.path, &name)).await {
                Ok((data, _)) => others.push(data),
                Err(Error::Client(zk::Error::NoNode)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Member { guard: Guard::new(&self.connection, claim), others, is_late })
    }

    /// Names of the members, in the order of their coming.
    async fn members(&self, session: &E::Session) -> std::result::Result<Vec<String>, zk::Error> {
        let (mut names, _) = session.children(&self.path).await?;
        names.retain(|name| sequence(name, &[MEMBER]).is_some());
        names.sort_by_key(|name| sequence(name, &[MEMBER]));
        Ok(names)
    }

    /// Writes down the number of members, or compares it with the one that is written down.
    async fn agree(&self) -> Result<()> {
        let path = child(&self.path, NUMBER);
        let number = self.members.to_string();
        self.connection.ensure_path(&self.path).await?;
        if self.connection.create_if_absent(&path, number.as_bytes(), CreateMode::Persistent).await? {
            return Ok(());
        }
        let (data, _) = self.connection.get(&path).await?;
        if data == number.as_bytes() {
            return Ok(());
        }
        let problem = format!("the others wait for {} members, not for {number}", String::from_utf8_lossy(&data));
        Err(Error::Foreign { path, problem })
    }

    /// Makes the queue ready for the next task.
    pub async fn reset(&self) -> Result<()> {
        self.connection.delete_if_present(&child(&self.path, START)).await.map(drop)
    }
}

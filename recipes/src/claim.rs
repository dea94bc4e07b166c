//! A znode that somebody waits or works with, and that must not be left behind: created once although answers get lost,
//! deleted when it is dropped.

use crate::connection::Connection;
use crate::error::{Error, Loss, Result, is_ended, is_transient};
use crate::names::{child, split};
use crate::retry::RetryPolicy;
use crate::session::{Created, Ensemble, Session};
use std::time::Duration;
use zookeeper_client as zk;
use zookeeper_client::{CreateMode, Stat};

/// A znode of one session. Dropping it deletes it in the background, if it is ephemeral.
pub(crate) struct Claim<E: Ensemble> {
    connection: Connection<E>,
    session: E::Session,
    parent: String,
    name: String,
    known_by: KnownBy,
    created: Option<Created>,
    /// Nobody has to delete it: it is not there, or meant to stay.
    is_settled: bool,
}

/// What is enough to know one's own znode again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KnownBy {
    /// Its name, which has a GUID; a sequence number may follow.
    Name,
    /// These data, which nobody else of the session has. Others compete for the same name.
    Data(Vec<u8>),
}

impl<E: Ensemble> Claim<E> {
    /// Creates the znode. When an answer is lost, what it was is looked up.
    pub(crate) async fn create(
        connection: &Connection<E>,
        session: E::Session,
        (parent, name): (&str, &str),
        known_by: KnownBy,
        data: &[u8],
        mode: CreateMode,
    ) -> Result<Claim<E>> {
        let is_ephemeral = matches!(mode, CreateMode::Ephemeral | CreateMode::EphemeralSequential);
        let mut claim = Claim {
            connection: connection.clone(),
            session,
            parent: parent.to_owned(),
            name: name.to_owned(),
            known_by,
            created: None,
            is_settled: !is_ephemeral,
        };
        let path = child(parent, name);
        let mut attempts = connection.attempts("create with a GUID");
        loop {
            let mut failure = match claim.session.create(&path, data, mode, connection.acl()).await {
                Ok(created) => {
                    claim.created = Some(created);
                    return Ok(claim);
                }
                Err(zk::Error::NoNode) if parent != "/" => {
                    connection.ensure_container(parent).await?;
                    continue;
                }
                Err(error) => error,
            };
            // Until it is known what became of it.
            loop {
                if is_ended(&failure) && is_ephemeral {
                    claim.is_settled = true;
                    return Err(Error::Lost(Loss::SessionEnded));
                } else if !is_transient(&failure) && !is_ended(&failure) {
                    claim.is_settled = true;
                    return Err(failure.into());
                }
                attempts.failed(failure).await?;
                if !is_ephemeral {
                    claim.session = connection.session().await?;
                }
                match claim.find().await {
                    Ok(Some(created)) => {
                        claim.created = Some(created);
                        return Ok(claim);
                    }
                    Ok(None) => break,
                    Err(error) => failure = error,
                }
            }
        }
    }

    /// Looks whether the znode is there. The server is to know first what the others know: it may be another one than that
    /// which had been asked to create it.
    async fn find(&self) -> std::result::Result<Option<Created>, zk::Error> {
        let children = match self.look().await {
            Err(zk::Error::NoNode) => return Ok(None),
            children => children?,
        };
        let Some(name) = children.first() else { return Ok(None) };
        let path = child(&self.parent, name);
        match self.session.get(&path).await {
            Ok((data, stat)) if self.is_own(&data, &stat) => Ok(Some(Created { path, stat })),
            Ok(_) | Err(zk::Error::NoNode) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether a znode of its name is the one, by its data and its session.
    fn is_own(&self, data: &[u8], stat: &Stat) -> bool {
        match &self.known_by {
            KnownBy::Name => true,
            KnownBy::Data(own) => own == data && stat.ephemeral_owner == self.session.id().0,
        }
    }

    /// The children that have its name.
    async fn look(&self) -> std::result::Result<Vec<String>, zk::Error> {
        self.session.sync(&self.parent).await?;
        let (mut children, _) = self.session.children(&self.parent).await?;
        children.retain(|child| match &self.known_by {
            KnownBy::Name => child.starts_with(&self.name),
            KnownBy::Data(_) => *child == self.name,
        });
        Ok(children)
    }

    /// The znode.
    pub(crate) fn created(&self) -> &Created {
        self.created.as_ref().expect("claims are handed out when their znode is there")
    }

    /// Its path.
    pub(crate) fn path(&self) -> &str {
        &self.created().path
    }

    /// The last part of its path.
    pub(crate) fn name(&self) -> &str {
        split(self.path()).1
    }

    /// The session that it belongs to.
    pub(crate) fn session(&self) -> &E::Session {
        &self.session
    }

    /// The znode is to stay.
    pub(crate) fn keep(mut self) -> Created {
        self.is_settled = true;
        self.created.take().expect("claims are handed out when their znode is there")
    }

    /// Deletes the znode, and returns when it is gone. A failure, or dropping the future, leaves the rest to the background.
    pub(crate) async fn withdraw(mut self) -> Result<()> {
        let mut attempts = self.connection.attempts("delete");
        loop {
            match self.remove().await {
                Ok(()) => break,
                // It was ephemeral.
                Err(error) if is_ended(&error) => break,
                Err(error) if is_transient(&error) => attempts.failed(error).await?,
                Err(error) => return Err(error.into()),
            }
        }
        self.is_settled = true;
        Ok(())
    }

    /// Deletes it, or whatever has its name. Of a name that others compete for, what is there is compared first.
    async fn remove(&self) -> std::result::Result<(), zk::Error> {
        let paths = match &self.created {
            Some(created) => vec![created.path.clone()],
            None => match self.look().await {
                Err(zk::Error::NoNode) => vec![],
                children => children?.iter().map(|name| child(&self.parent, name)).collect(),
            },
        };
        for path in paths {
            if self.known_by != KnownBy::Name {
                match self.session.get(&path).await {
                    Ok((data, stat)) if self.is_own(&data, &stat) => {}
                    Ok(_) | Err(zk::Error::NoNode) => continue,
                    Err(error) => return Err(error),
                }
            }
            match self.session.delete(&path, None).await {
                Ok(()) | Err(zk::Error::NoNode) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl<E: Ensemble> Drop for Claim<E> {
    fn drop(&mut self) {
        if self.is_settled || self.session.state().is_terminated() {
            return;
        }
        let orphan = Claim {
            connection: self.connection.clone(),
            session: self.session.clone(),
            parent: std::mem::take(&mut self.parent),
            name: std::mem::take(&mut self.name),
            known_by: self.known_by.clone(),
            created: self.created.take(),
            // From here on by the task, or by the end of the session.
            is_settled: true,
        };
        self.connection.ensemble().spawn(Box::pin(async move {
            let policy = RetryPolicy::exponential(Duration::from_millis(50));
            for failed in 1.. {
                match orphan.remove().await {
                    Err(error) if is_transient(&error) && !orphan.session.state().is_terminated() => {
                        let ensemble = orphan.connection.ensemble();
                        let pause = policy.pause(failed, Duration::ZERO, ensemble.random());
                        ensemble.sleep(pause.unwrap_or_default()).await;
                    }
                    Err(error) if !is_ended(&error) => {
                        tracing::warn!(parent = orphan.parent, name = orphan.name, %error, "a znode is left behind");
                        return;
                    }
                    _ => return,
                }
            }
        }));
    }
}

//! Waiting in line: ephemeral sequential znodes of one parent, each of which watches the nearest one before it that is in its
//! way. So the end of one wakes one, and not all.

use crate::claim::{Claim, KnownBy};
use crate::connection::Connection;
use crate::error::{Error, Loss, Result, is_ended, is_transient};
use crate::names::{child, distance, sequence};
use crate::session::{Ensemble, Session};
use zookeeper_client as zk;
use zookeeper_client::{CreateMode, EventType};

/// A place in line, before it is taken.
pub(crate) struct Place<'a> {
    /// The parent of all places.
    pub(crate) parent: &'a str,
    /// What the own name begins with.
    pub(crate) name: String,
    /// What the own znode says.
    pub(crate) data: &'a [u8],
    /// What stands before the sequence number in names of this kind.
    pub(crate) own: &'a [&'a str],
    /// The same, of the kinds that have to go before this one may.
    pub(crate) others: &'a [&'a str],
}

/// Whether it is one's turn.
pub(crate) enum Turn {
    Now,
    /// This one is in the way.
    After(String),
}

impl Place<'_> {
    /// Takes the place at the end of the line.
    pub(crate) async fn take<E: Ensemble>(&self, connection: &Connection<E>) -> Result<Claim<E>> {
        let session = connection.session().await?;
        let mode = CreateMode::EphemeralSequential;
        Claim::create(connection, session, (self.parent, &self.name), KnownBy::Name, self.data, mode).await
    }

    /// Who of these children is the last one in the way of `own`. Its own absence is an error.
    pub(crate) fn turn(&self, own: &str, children: &[String]) -> Result<Turn> {
        if !children.iter().any(|name| name == own) {
            return Err(Error::Lost(Loss::Deleted));
        }
        let place = sequence(own, self.own).ok_or_else(|| Error::Foreign {
            path: child(self.parent, own),
            problem: "the server gave it no sequence number".to_owned(),
        })?;
        let before = children.iter().filter(|name| *name != own).filter_map(|name| {
            let ahead = distance(sequence(name, self.others)?, place);
            (ahead > 0).then_some((ahead, name))
        });
        Ok(before.min().map_or(Turn::Now, |(_, name)| Turn::After(name.clone())))
    }

    /// Waits until nobody is in the way of `claim` any more. Fails with [`Error::Lost`] when the place is lost.
    pub(crate) async fn wait<E: Ensemble>(&self, connection: &Connection<E>, claim: &Claim<E>) -> Result<()> {
        wait_for_turn(connection, claim, |children| self.turn(claim.name(), children)).await
    }
}

/// Waits until `turn` says that it is one's turn. It is asked when whoever was in the way is gone.
pub(crate) async fn wait_for_turn<E: Ensemble>(
    connection: &Connection<E>,
    claim: &Claim<E>,
    turn: impl Fn(&[String]) -> Result<Turn>,
) -> Result<()> {
    let parent = crate::names::split(claim.path()).0;
    let session = claim.session();
    let mut attempts = connection.attempts("wait in line");
    loop {
        let watched = async {
            let (children, _) = session.children(parent).await?;
            let ahead = match turn(&children) {
                Ok(Turn::Now) => return Ok(Ok(None)),
                Ok(Turn::After(ahead)) => ahead,
                Err(error) => return Ok(Err(error)),
            };
            tracing::trace!(own = claim.name(), ahead, "in line");
            session.get_and_watch(&child(parent, &ahead)).await.map(|(_, _, watch)| Ok(Some(watch)))
        };
        match watched.await {
            Ok(Ok(None)) => return Ok(()),
            Ok(Ok(Some(watch))) => {
                let event = watch.await;
                if event.event_type == EventType::Session && event.session_state.is_terminated() {
                    return Err(Error::Lost(Loss::SessionEnded));
                }
                attempts = connection.attempts("wait in line");
            }
            Ok(Err(error)) => return Err(error),
            // It went between the listing and the watch. The parent cannot go while the place is there.
            Err(zk::Error::NoNode) => {}
            Err(error) if is_ended(&error) => return Err(Error::Lost(Loss::SessionEnded)),
            Err(error) if is_transient(&error) => attempts.failed(error).await?,
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(own: &str, children: &[&str]) -> Option<String> {
        let place = Place {
            parent: "/lock",
            name: String::new(),
            data: b"",
            own: &["lock-", "__lock__"],
            others: &["lock-", "__lock__"],
        };
        let children: Vec<String> = children.iter().map(|name| (*name).to_owned()).collect();
        match place.turn(own, &children).unwrap() {
            Turn::Now => None,
            Turn::After(ahead) => Some(ahead),
        }
    }

    #[test]
    fn the_nearest_one_before_is_watched_whoever_made_it() {
        let line =
            ["zz-lock-0000000004", "_c_a-lock-0000000009", "aa__lock__0000000007", "other", "bb__rlock__0000000008"];
        assert_eq!(turn("zz-lock-0000000004", &line), None);
        assert_eq!(turn("aa__lock__0000000007", &line).as_deref(), Some("zz-lock-0000000004"));
        assert_eq!(turn("_c_a-lock-0000000009", &line).as_deref(), Some("aa__lock__0000000007"));
    }

    /// Whoever came before the sequence number overflowed goes first.
    #[test]
    fn the_line_outlasts_the_overflow() {
        let line = ["x-lock--2147483648", "y-lock-2147483647", "z-lock--2147483647"];
        assert_eq!(turn("y-lock-2147483647", &line), None);
        assert_eq!(turn("x-lock--2147483648", &line).as_deref(), Some("y-lock-2147483647"));
        assert_eq!(turn("z-lock--2147483647", &line).as_deref(), Some("x-lock--2147483648"));
    }
}

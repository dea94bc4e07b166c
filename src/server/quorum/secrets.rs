//! How a member makes the passwords of sessions: by the secret it holds and by the ensemble's agreement (see
//! [`crate::zab::agreed`]).
//!
//! A session's id says which kind of password the session has, so a change here does not affect open sessions. Sessions
//! of both kinds continue on every member that has the secret; sessions with ZooKeeper's passwords also continue on the
//! other members.

use crate::session::{Passwords, SessionSecret};
use crate::zab::agreed::{Agreed, Held};

/// A member's options about secrets.
#[derive(Clone, Debug)]
pub struct MemberSecrets {
    /// The agreements as on disk.
    pub(crate) held: Held,
    /// The operator's secret, the same on every member (`corral.sessionSecret`): it takes precedence over the
    /// agreement.
    pub(crate) given: Option<SessionSecret>,
    /// Servers of ZooKeeper are to join (`corral.zookeeperPasswords`).
    pub(crate) zookeeper: bool,
}

impl MemberSecrets {
    /// How passwords are made and checked under this agreement.
    pub(super) fn passwords(&self, agreed: Agreed) -> Passwords {
        match self.given {
            Some(secret) => Passwords { also: vec![agreed.secret], ..Passwords::secret(secret) },
            None => Passwords { zookeeper: true, ..Passwords::secret(agreed.secret) },
        }
    }

    /// The same for a member that follows no leader now and last acknowledged the leader of the epoch `current`.
    pub(crate) fn passwords_at(&self, current: i64) -> Passwords {
        self.passwords(self.held.at(current))
    }

    /// Whether a password that is wrong under this agreement belongs to no session at all. A server that started with
    /// an empty disk may not know the secret that sessions use.
    pub(super) fn is_known(&self, agreed: Agreed) -> bool {
        self.given.is_some() || agreed.used
    }

    /// Whether new sessions get secret passwords.
    pub(super) fn are_secret(&self, agreed: Agreed) -> bool {
        self.given.is_some() || (agreed.everywhere && !self.zookeeper)
    }
}

//! How a member makes the passwords of sessions, by what it holds and what is agreed on: see [`crate::zab::agreed`].
//!
//! Which kind a session has is said by its id, so whatever changes here changes nothing for sessions that are open: those of
//! either kind go on, on every member that has the secret, and those of ZooKeeper's kind on the others, too.

use crate::session::{Passwords, SessionSecret};
use crate::zab::agreed::{Agreed, Held};

/// What a member is told of secrets.
#[derive(Clone, Debug)]
pub struct MemberSecrets {
    /// As it is on disk.
    pub held: Held,
    /// The operator's, the same on every member (`corral.sessionSecret`): it comes before whatever is agreed on.
    pub given: Option<SessionSecret>,
    /// Servers of ZooKeeper are to come (`corral.zookeeperPasswords`).
    pub zookeeper: bool,
}

impl MemberSecrets {
    /// How passwords are made and checked where this is agreed on.
    pub(super) fn passwords(&self, agreed: Agreed) -> Passwords {
        match self.given {
            Some(secret) => Passwords { also: vec![agreed.secret], ..Passwords::secret(secret) },
            None => Passwords { zookeeper: true, ..Passwords::secret(agreed.secret) },
        }
    }

    /// The same for a member that has acknowledged the leader of this epoch, and is none's at the moment.
    pub(crate) fn passwords_at(&self, current: i64) -> Passwords {
        self.passwords(self.held.at(current))
    }

    /// Whether a password that is wrong where this is agreed on is no session's: under another secret there are none. A server that
    /// came with an empty disk may have heard nothing yet of the one that sessions are under.
    pub(super) fn is_known(&self, agreed: Agreed) -> bool {
        self.given.is_some() || agreed.used
    }

    /// Whether new sessions get secret passwords.
    pub(super) fn are_secret(&self, agreed: Agreed) -> bool {
        self.given.is_some() || (agreed.everywhere && !self.zookeeper)
    }
}

//! How this member makes the passwords of sessions, and what it writes down of that: see [`crate::zab::agreed`].
//!
//! Which kind a session has is said by its id, so whatever changes here changes nothing for sessions that are open: those of
//! either kind go on, on every member that has the secret, and those of ZooKeeper's kind on the others, too.

use super::{Effect, Ensemble, Record, Role};
use crate::ids::ConnId;
use crate::server::message::{Answer, Batch, Element, Item, ShardId, Tell};
use crate::server::quorum::Quorum;
use crate::session::{Passwords, SessionSecret, has_secret};
use crate::zab::agreed::{Agreed, Held};
use std::sync::atomic::Ordering::Relaxed;

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
    fn passwords(&self, agreed: Agreed) -> Passwords {
        match self.given {
            Some(secret) => Passwords { also: vec![agreed.secret], ..Passwords::secret(secret) },
            None => Passwords { zookeeper: true, ..Passwords::secret(agreed.secret) },
        }
    }

    /// The same for a member that has acknowledged the leader of this epoch, and is none's at the moment.
    pub fn passwords_at(&self, current: i64) -> Passwords {
        self.passwords(self.held.at(current))
    }

    /// Whether a password that is wrong where this is agreed on is no session's: under another secret there are none. A server that
    /// came with an empty disk may have heard nothing yet of the one that sessions are under.
    fn is_known(&self, agreed: Agreed) -> bool {
        self.given.is_some() || agreed.used
    }

    /// Whether new sessions get secret passwords.
    fn are_secret(&self, agreed: Agreed) -> bool {
        self.given.is_some() || (agreed.everywhere && !self.zookeeper)
    }
}

impl Quorum {
    /// A start: what counted before counts until a leader says more.
    pub(super) fn begin_secrets(&mut self, ensemble: &mut Ensemble) {
        let agreed = ensemble.options.secrets.held.at(ensemble.epochs.current);
        ensemble.agreed = agreed;
        self.secret_sessions = ensemble.options.secrets.are_secret(agreed);
        self.stats.quorum.public_passwords.store(!self.secret_sessions, Relaxed);
    }

    /// A leader, maybe this server, has said what is agreed on in its epoch; nothing: it does not know of such a thing.
    pub(super) fn agreed(&mut self, ensemble: &mut Ensemble, epoch: i64, agreed: Option<Agreed>) {
        let current = ensemble.epochs.current;
        let held = &mut ensemble.options.secrets.held;
        let agreed = agreed.unwrap_or(Agreed { everywhere: false, ..held.at(current) });
        if held.agree(epoch, agreed, current) {
            ensemble.effects.push(Effect::Record(Record::Agreed(held.clone())));
        }
        ensemble.agreed = agreed;
        if ensemble.serves() {
            self.use_agreed(ensemble);
        }
    }

    /// A client has shown a wrong password. It is told so, that is that its session is over, by a server that knows what is right:
    /// one that serves, if it was checked by what is agreed on now, and if it knows the secret where the session has one. And by
    /// one that leads, with a quorum, if there is no such session, whatever its password was: else its client would go from one
    /// to the other for ever where no secret was ever in use.
    pub(super) fn wrong_password(&mut self, ensemble: &Ensemble, shard: ShardId, item: &Item, passwords: u64) {
        let is_known = !has_secret(item.session) || ensemble.options.secrets.is_known(ensemble.agreed);
        let is_none = match &ensemble.role {
            Role::Leading(leading) => {
                let voters = ensemble.election.config().current();
                leading.leader().is_quorum_synced(voters, self.clock.mono_ms)
                    && self.state.session_timeout_ms(item.session).is_none()
            }
            _ => false,
        };
        let is_sure = ensemble.serves() && passwords == self.passwords_number && (is_known || is_none);
        self.tell(shard, item.conn, if is_sure { Tell::Refused } else { Tell::Close });
    }

    /// What is agreed on counts for whoever comes from here on.
    pub(super) fn use_agreed(&mut self, ensemble: &Ensemble) {
        let secrets = &ensemble.options.secrets;
        let last_zxid = self.state.store().published();
        self.passwords_number += 1;
        let what = Tell::Passwords { number: self.passwords_number, passwords: secrets.passwords(ensemble.agreed) };
        let answer = Some(Answer { shard: 0, conn: ConnId { slot: u32::MAX, generation: 0 }, what });
        let element = Element { zxid: last_zxid, changes: 0..0, answer };
        self.has_published = true;
        self.publisher.publish(Batch { elements: vec![element], last_zxid, ..Batch::default() });
        self.secret_sessions = secrets.are_secret(ensemble.agreed);
        let were_public = self.stats.quorum.public_passwords.swap(!self.secret_sessions, Relaxed);
        if !self.secret_sessions && (!were_public || !ensemble.passwords_said) {
            let unknown = match &ensemble.role {
                Role::Leading(leading) => leading.leader().without_secrets(),
                _ => Default::default(),
            };
            let unknown: Vec<i64> = unknown.into_iter().map(|server| server.0).collect();
            tracing::warn!(
                ?unknown,
                "session passwords are ZooKeeper's: who knows a session's id, as ephemeralOwner shows it, can compute the \
                 password and take the session over; they are secrets when every member of the ensemble is known to be a \
                 Corral of this version or a later one, and corral.zookeeperPasswords is not set"
            );
        } else if self.secret_sessions && (were_public || !ensemble.passwords_said) {
            tracing::info!("session passwords are secrets of the ensemble's");
        }
    }
}

//! What is agreed on about the passwords of sessions, as it comes to count for this member's clients.

use super::roles::Role;
use super::{Effect, Member, Record};
use crate::server::message::{Answer, Item, Response, ShardId};
use crate::session::has_secret;
use crate::zab::agreed::Agreed;
use std::sync::atomic::Ordering::Relaxed;

impl Member {
    /// A start: what counted before counts until a leader says more.
    pub(super) fn begin_secrets(&mut self) {
        let agreed = self.options.secrets.held.at(self.epochs.current);
        self.agreed = agreed;
        self.core.sessions.are_secret = self.options.secrets.are_secret(agreed);
        self.core.stats().quorum.public_passwords.store(!self.core.sessions.are_secret, Relaxed);
    }

    /// A leader, maybe this server, has said what is agreed on in its epoch; nothing: it does not know of such a thing.
    pub(super) fn agreed(&mut self, epoch: i64, agreed: Option<Agreed>) {
        let current = self.epochs.current;
        let held = &mut self.options.secrets.held;
        let agreed = agreed.unwrap_or(Agreed { everywhere: false, ..held.at(current) });
        if held.agree(epoch, agreed, current) {
            self.outbox.push(Effect::Record(Record::Agreed(held.clone())));
        }
        self.agreed = agreed;
        if self.serves() {
            self.use_agreed();
        }
    }

    /// A client has shown a wrong password. It is told so, that is that its session is over, by a server that knows what is right:
    /// one that serves, if it was checked by what is agreed on now, and if it knows the secret where the session has one. And by
    /// one that leads, with a quorum, if there is no such session, whatever its password was: else its client would go from one
    /// to the other for ever where no secret was ever in use.
    pub(super) fn wrong_password(&mut self, shard: ShardId, item: &Item, passwords: u64) {
        let is_known = !has_secret(item.session) || self.options.secrets.is_known(self.agreed);
        let is_none = match &self.role {
            Role::Leading(leading) => {
                let voters = self.election.config().current();
                leading.leader().is_quorum_synced(voters, self.core.now_ms())
                    && self.core.state().session_timeout_ms(item.session).is_none()
            }
            _ => false,
        };
        let is_sure = self.serves() && passwords == self.passwords_number && (is_known || is_none);
        self.core.respond(shard, item.conn, if is_sure { Response::Refused } else { Response::Close });
    }

    /// What is agreed on counts for whoever comes from here on.
    pub(super) fn use_agreed(&mut self) {
        let secrets = &self.options.secrets;
        self.passwords_number += 1;
        let what = Response::Passwords { number: self.passwords_number, passwords: secrets.passwords(self.agreed) };
        self.core.announce([Answer::to_shard(0, what)]);
        self.core.sessions.are_secret = secrets.are_secret(self.agreed);
        let were_public = self.core.stats().quorum.public_passwords.swap(!self.core.sessions.are_secret, Relaxed);
        if !self.core.sessions.are_secret && (!were_public || !self.passwords_said) {
            let unknown = match &self.role {
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
        } else if self.core.sessions.are_secret && (were_public || !self.passwords_said) {
            tracing::info!("session passwords are secrets of the ensemble's");
        }
    }
}

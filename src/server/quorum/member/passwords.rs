//! When the ensemble's agreement about session passwords takes effect on this member; and answers to wrong passwords.

use super::roles::Role;
use super::{Effect, Member, Record};
use crate::server::message::{Answer, Item, Response, ShardId};
use crate::session::has_secret;
use crate::zab::agreed::Agreed;
use std::sync::atomic::Ordering::Relaxed;

impl Member {
    /// At a start the last agreement holds until a leader announces another.
    pub(super) fn begin_secrets(&mut self) {
        let agreed = self.options.secrets.held.at(self.epochs.current);
        self.agreed = agreed;
        self.core.sessions.are_secret = self.options.secrets.are_secret(agreed);
        self.core.stats().quorum.public_passwords.store(!self.core.sessions.are_secret, Relaxed);
    }

    /// A leader (perhaps this server) has announced the agreement of its epoch. `None`: the leader does not support
    /// secrets.
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

    /// A client has sent a wrong password. This server refuses the session ("session expired") only if it knows the
    /// right password: it serves, the password was checked by the present agreement, and the secret is known if the
    /// session has a secret password. A leader with a quorum also refuses a session that does not exist, whatever the
    /// password: otherwise the client would try one server after the other for ever where no secret was ever in use.
    pub(super) fn wrong_password(&mut self, shard: ShardId, item: &Item, passwords: u64) {
        let is_known = !has_secret(item.session) || self.options.secrets.is_known(self.agreed);
        let is_none = match &self.role {
            Role::Leading(leading) => {
                let voters = self.election.config().current();
                leading.leader.is_quorum_synced(voters, self.core.now_ms())
                    && self.core.state().session_timeout_ms(item.session).is_none()
            }
            _ => false,
        };
        let is_sure = self.serves() && passwords == self.passwords_number && (is_known || is_none);
        self.core.respond(shard, item.conn, if is_sure { Response::Refused } else { Response::Close });
    }

    /// From now on connecting clients are checked by this agreement.
    pub(super) fn use_agreed(&mut self) {
        let secrets = &self.options.secrets;
        self.passwords_number += 1;
        let what = Response::Passwords { number: self.passwords_number, passwords: secrets.passwords(self.agreed) };
        self.core.announce([Answer::to_shard(0, what)]);
        self.core.sessions.are_secret = secrets.are_secret(self.agreed);
        let were_public = self.core.stats().quorum.public_passwords.swap(!self.core.sessions.are_secret, Relaxed);
        if !self.core.sessions.are_secret && (!were_public || !self.passwords_said) {
            let unknown = match &self.role {
                Role::Leading(leading) => leading.leader.without_secrets(),
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

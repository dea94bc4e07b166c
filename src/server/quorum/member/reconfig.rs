//! The configuration by which this member acts, and how it changes while the ensemble runs.
//!
//! The election holds two configurations: the agreed one and, if there is one, the proposed one. Both change only here,
//! and the election's connections, the files ([`Record::Config`]) and the text in `/zookeeper/config` change with them.
//! A server must know a logged proposal after a restart; otherwise a quorum of the old configuration could act alone.
//! So the server acknowledges the proposal only when the files have it.
//!
//! | what happens | where | what follows |
//! |---|---|---|
//! | a client asks | leader | checks, a transaction, a proposal that needs quorums of both |
//! | the proposal comes, or NEWLEADER | learner | it counts as proposed; the learner continues when the files have it |
//! | its commit, or UPTODATE | all | it is the agreed one; a server whose leader or role changes ends its role |
//! | a looking server sees a newer configuration | all | it is the agreed configuration |
//!
//! A new agreed configuration may change the server's own line, and so its ports ([`Effect::Listen`]). A leader whose
//! quorum port moves hands over (`zab`'s `Leader`): to its learners it would look like a leader that is gone.
//!
//! Without `reconfigEnabled` the configuration of the files holds, whatever other servers say. (ZooKeeper 3.9:
//! `PrepRequestProcessor`, case reconfig; `QuorumPeer.processReconfig`, `setLastSeenQuorumVerifier`.)

use super::roles::Role;
use super::voting::Verdict;
use super::{Effect, Member, Record};
use crate::acl::Identities;
use crate::escaped::Escaped;
use crate::ids::{SessionId, Zxid};
use crate::jute::{ErrorCode, OpCode, Reconfig, Request};
use crate::server::message::{Answer, Item, Response, ShardId};
use crate::server::quorum::interface::Listen;
use crate::zab::change::Rules;
use crate::zab::election;
use crate::zab::links;
use crate::zab::voters::{self, Config, ServerId, Voters};
use std::ops::Range;

impl Member {
    /// This member acts by another configuration from now on.
    fn count_by(&mut self, config: Config) {
        if config == *self.election.config() {
            return;
        }
        let mut verdict = self.elect(election::Input::Reconfigured(config));
        debug_assert!(verdict.settled.is_none(), "no election is under way in a role");
        self.config_changed(&mut verdict);
    }

    /// The election has another configuration: its connections and the files follow.
    pub(super) fn config_changed(&mut self, verdict: &mut Verdict) {
        let config = self.election.config().clone();
        tracing::info!(
            version = %format!("{:x}", config.current().version()),
            proposed = ?config.pending().map(|pending| format!("{:x}", pending.version())),
            "the ensemble's configuration"
        );
        self.link(links::Input::Reconfigured(&config), verdict);
        if let Some(own) = config.current().member(self.options.id) {
            let before = self.own_line().cloned();
            let listen = moved(before.as_ref(), own);
            if listen != Listen::default() {
                tracing::info!(?listen, "this server is to listen elsewhere");
                self.outbox.push(Effect::Listen(listen));
            }
            self.records.own = Some(own.clone());
        }
        self.records.asked += 1;
        self.outbox.push(Effect::Record(Record::Config { number: self.records.asked, config }));
    }

    /// This server's line in the configuration, or in the last one that had a line for it.
    pub(super) fn own_line(&self) -> Option<&voters::Member> {
        self.records.own.as_ref().or_else(|| self.options.config.current().member(self.options.id))
    }

    pub(super) fn reconfig_enabled(&self) -> bool {
        self.core.config().reconfig_enabled
    }

    /// The files have the configuration of the [`Record::Config`] of this number.
    pub(super) fn config_written(&mut self, number: u64) {
        self.records.written = self.records.written.max(number);
        if !self.records.is_written() {
            return;
        }
        self.records.unwritten = None;
        match &mut self.role {
            Role::Following(following) => {
                following.recording = false;
                self.read_leader();
            }
            Role::Leading(_) => self.log_durable_leading(self.core.durable()),
            _ => {}
        }
    }

    /// A leader proposes a configuration, by a transaction or with NEWLEADER. It replaces an earlier proposal, which a
    /// truncation of the log may have removed.
    pub(super) fn config_seen(&mut self, seen: Voters) {
        if !self.reconfig_enabled() {
            return;
        }
        let current = self.election.config().current().clone();
        self.count_by(Config::new(current, Some(seen)));
        if let Role::Following(following) = &mut self.role
            && !self.records.is_written()
        {
            following.recording = true;
        }
    }

    /// This server's leader says that a configuration is agreed on. `designated`: the server that leads under it, if
    /// the leader named one.
    pub(super) fn config_agreed(&mut self, config: Voters, designated: Option<ServerId>) {
        if !self.reconfig_enabled() {
            return;
        }
        let before = self.election.config().clone();
        let is_newer = config.version() > before.current().version();
        if is_newer {
            self.count_by(Config::new(config.clone(), before.pending().cloned()));
            self.publish_config();
        }
        let Role::Following(following) = &self.role else { return };
        let leader = following.leader;
        // Also without a newer configuration: a server that follows as a voter of the proposed configuration may learn
        // that the proposal was dropped.
        let other_role = self.election.config().observes(self.options.id) != following.is_observer();
        let other_leader = match designated {
            _ if !is_newer => false,
            Some(designated) => designated != leader,
            None => {
                let place = |voters: &'_ Voters| -> Vec<(String, u16)> {
                    let listed = voters.quorum_addresses(leader);
                    let listed = listed.into_iter().map(|(host, port)| (host.to_owned(), port));
                    listed.filter(|_| voters.is_voter(leader)).collect()
                };
                place(before.current()).is_empty() || place(before.current()) != place(&config)
            }
        };
        if other_role || other_leader {
            tracing::info!(other_role, ?designated, "the new configuration has another place for this server");
            self.records.designated = designated.map(|leader| (leader, self.core.head()));
            self.leave_role();
        }
    }

    /// This server leads, and a configuration is agreed on. If another server is designated to lead, nothing new is
    /// begun here.
    pub(super) fn config_agreed_leading(&mut self, config: Voters, designated: ServerId, zxid: Zxid) {
        self.count_by(Config::new(config, None));
        self.publish_config();
        let Role::Leading(leading) = &mut self.role else { return };
        if designated != self.options.id {
            tracing::info!(to = designated.0, "another server leads under the new configuration");
            leading.hand_over();
            self.core.drop_under_way();
            self.core.end_to_lead();

            self.records.designated = Some((designated, zxid));
        }
    }

    /// This leader proposed a configuration, which now counts beside the agreed one. This server's own acknowledgement
    /// waits for its files.
    pub(super) fn config_proposed(&mut self, config: Config, zxid: Zxid) {
        self.records.unwritten = Some(zxid);
        self.count_by(config);
    }

    /// Executes a reconfiguration that a client of this server requests.
    pub(super) fn reconfigure_here(&mut self, shard: ShardId, item: &Item, body: &[u8]) {
        let Request::Reconfig(asked) = Request::of_checked(OpCode::Reconfig, body) else {
            unreachable!("a body is decoded as its operation");
        };
        let identities = self.core.sessions.identities(item.session);
        let (changes, frame) = self.reconfigure((item.session, item.xid), &identities, &asked);
        let what = Response::Reply { frame, close: false };
        self.core.step(changes, Some(Answer { shard, conn: item.conn, what }));
    }

    /// Prepares the transaction of a reconfiguration: the change, or the error with which it is refused.
    pub(super) fn reconfigure(
        &mut self,
        (session, cxid): (SessionId, i32),
        identities: &Identities,
        asked: &Reconfig<'_>,
    ) -> (Range<usize>, Range<u32>) {
        let zxid = self.core.next_zxid();
        let next = self.next_config(asked, zxid);
        let text = next.as_ref().map(Voters::to_string).map_err(|error| *error);
        let done = self.core.transact_as(session, cxid, identities, |state, context, out| {
            let text = text.as_ref().map(|text| text.as_bytes()).map_err(|error| *error);
            state.reconfigure(context, text, out);
        });
        let error = self.core.error();
        tracing::info!(%session, %zxid, ?error, "a reconfiguration was asked for");
        if let (ErrorCode::Ok, Ok(next), Role::Leading(leading)) = (error, next, &mut self.role) {
            leading.reconfig = Some((zxid, next));
        }
        done
    }

    fn next_config(&self, asked: &Reconfig<'_>, zxid: Zxid) -> Result<Voters, ErrorCode> {
        let Role::Leading(leading) = &self.role else { return Err(ErrorCode::Unimplemented) };
        if !self.reconfig_enabled() {
            return Err(ErrorCode::ReconfigDisabled);
        }
        let config = leading.leader.config();
        if config.pending().is_some() || leading.reconfig.is_some() {
            return Err(ErrorCode::ReconfigInProgress);
        }
        if asked.current_config != -1 && asked.current_config != config.current().version() {
            return Err(ErrorCode::BadVersion);
        }
        let rules = Rules {
            min_voters: if self.options.settings.standalone_enabled { 2 } else { 1 },
            several_addresses: self.options.settings.multi_address,
        };
        let next = config.current().changed(asked, rules, zxid.0).map_err(|problem| {
            tracing::warn!(problem = %Escaped(problem.to_string().as_bytes()), "a reconfiguration is refused");
            ErrorCode::BadArguments
        })?;
        if !leading.leader.is_quorum_synced(&next, self.core.now_ms()) {
            return Err(ErrorCode::NewConfigNoQuorum);
        }
        Ok(next)
    }

    /// Makes `/zookeeper/config` hold the text of the present configuration: no transaction has written the first one.
    /// To be called when a role begins to serve, before its transactions become visible; `first` is the first zxid of
    /// the epoch. (ZooKeeper 3.9, `ZKDatabase.initConfigInZKDatabase`.)
    pub(super) fn show_config(&mut self, first: Zxid) {
        let config = match &self.role {
            // The configuration that the leader has just activated.
            Role::Leading(leading) => leading.leader.config(),
            _ => self.election.config(),
        };
        let current = config.current();
        let Some(shown) = self.core.config_text() else { return };
        if !says(shown, current, self.reconfig_enabled()) {
            let (text, version) = (current.to_string(), current.version());
            self.core.show_config(first, &text, version);
        }
    }
}

/// The ports that a server's new line changes. A line without a client address leaves that port as it is (ZooKeeper
/// 3.9, `QuorumPeer.processReconfig`).
fn moved(before: Option<&voters::Member>, own: &voters::Member) -> Listen {
    Listen {
        client: own.client.clone().filter(|client| before.and_then(|before| before.client.as_ref()) != Some(client)),
        peers: Some(own.addresses.clone())
            .filter(|addresses| before.map(|before| &before.addresses) != Some(addresses)),
    }
}

/// Whether a text is the configuration `current`, or a newer one: a proposed configuration is in the znode already. The
/// order of the lines does not count. A leading ZooKeeper writes the lines in the order of its hash tables. A member
/// that wrote its own order would have a tree that differs from the others.
fn says(shown: &[u8], current: &Voters, reconfig_enabled: bool) -> bool {
    Voters::parse(shown)
        .is_ok_and(|shown| shown == *current || (reconfig_enabled && shown.version() > current.version()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_line_says_otherwise_is_moved() {
        let member = |line: &str| voters::Member::parse(ServerId(2), line).unwrap();
        let before = member("h:1:2;3");
        let moved = |line: &str| super::moved(Some(&before), &member(line));
        for same in ["h:1:2;3", "h:1:2:observer;3", "h:1:2"] {
            assert_eq!(moved(same), Listen::default(), "{same}");
        }
        for client in ["h:1:2;4", "h:1:2;h:3"] {
            let listen = moved(client);
            assert_eq!((listen.client, listen.peers), (member(client).client, None), "{client}");
        }
        for peers in ["h:1:3;3", "h:2:1;3", "g:1:2;3", "h:1:2|g:1:2;3", "h:4:2"] {
            let listen = moved(peers);
            assert_eq!((listen.client, listen.peers), (None, Some(member(peers).addresses)), "{peers}");
        }
        let both = Listen { client: before.client.clone(), peers: Some(before.addresses.clone()) };
        assert_eq!(super::moved(None, &before), both);
        assert_eq!(super::moved(Some(&member("h:1:2")), &before), Listen { peers: None, ..both });
    }

    #[test]
    fn a_configuration_in_another_order_is_left_as_its_transaction_wrote_it() {
        let [one, two, four] = [1, 2, 4].map(|id| format!("server.{id}=h{id}:1:2:participant;h{id}:3\n"));
        let current = Voters::parse(format!("{one}{two}{four}version=1f").as_bytes()).unwrap();
        let shown = format!("{four}{one}{two}version=1f");
        assert_ne!(shown, current.to_string());
        assert!(says(shown.as_bytes(), &current, true) && says(shown.as_bytes(), &current, false));
        // The files may have been changed by hand, or the znode may be empty.
        for other in ["", "version=1f", &format!("{one}{two}version=1f"), &format!("{one}{two}{four}version=1e")] {
            assert!(!says(other.as_bytes(), &current, true), "{other}");
        }
        let newer = format!("{one}{two}version=20");
        assert!(says(newer.as_bytes(), &current, true) && !says(newer.as_bytes(), &current, false));
    }
}

//! Connects the election with its connections: passes the outputs of each to the other.

use super::roles::Role;
use super::{Effect, Member};
use crate::zab::election::{self, Settled};
use crate::zab::{leader, learner, links};

/// What the election decided about this server's role.
#[derive(Default)]
pub(super) struct Verdict {
    /// The result of an election that has ended: the role to take.
    pub(super) settled: Option<Settled>,
    /// The role is obsolete before it serves: the voters of this leader vote for another one, or the leader that this
    /// server found does. May come together with `settled`.
    overtaken: bool,
}

impl Member {
    /// Does what the election decided.
    pub(super) fn heed(&mut self, verdict: Verdict) {
        if let Some(settled) = verdict.settled {
            self.take_role(&settled);
        }
        if !verdict.overtaken {
            return;
        }
        match &self.role {
            // Other voters may have come since the election.
            Role::Leading(leading) if !leading.serves && !leading.leader.may_be_established() => {
                tracing::info!("its voters have turned to another candidate");
                self.step_leader(leader::Input::HandOver);
            }
            Role::Joining(_) => {
                tracing::info!("the leader it had settled on does not lead");
                self.leave_role();
            }
            // Treated like the end of the connection, which will follow: after the truncation, installation or write
            // under way.
            Role::Following(following) if !following.serves => self.step_learner(learner::Input::Closed),
            _ => {}
        }
    }

    /// Gives the election an input, and carries out its outputs. A change of role is only returned.
    pub(super) fn elect(&mut self, input: election::Input<'_>) -> Verdict {
        let outputs = self.election.step(input, self.core.now_ms());
        let mut verdict = Verdict::default();
        self.elected(outputs, &mut verdict);
        verdict
    }

    /// A leader's epoch has begun: servers that look for a leader are told of it.
    pub(super) fn announce_epoch(&mut self, epoch: i64) {
        let verdict = self.elect(election::Input::Established { epoch });
        debug_assert!(verdict.settled.is_none(), "an election that is over stays so");
    }

    pub(super) fn elected(&mut self, outputs: Vec<election::Output>, verdict: &mut Verdict) {
        for output in outputs {
            match output {
                election::Output::Send { to, payload } => {
                    self.link(links::Input::Send { to, payload }, verdict);
                }
                election::Output::Reconnect => self.link(links::Input::Reconnect, verdict),
                election::Output::Settled(found) => verdict.settled = Some(found),
                election::Output::Overtaken => verdict.overtaken = true,
                election::Output::Adopt(_) => self.config_changed(verdict),
                election::Output::Dropped { from, reason } => {
                    tracing::warn!(from = from.0, ?reason, "a notification was dropped");
                }
            }
        }
    }

    /// Gives the links an input, and passes their messages to the election.
    pub(super) fn link(&mut self, input: links::Input<'_>, verdict: &mut Verdict) {
        let now = self.core.now_ms();
        if matches!(self.role, Role::Stopped) {
            if let links::Input::Accepted { link, .. } | links::Input::Dialled { link, .. } = input {
                self.outbox.push(Effect::Close { link });
            }
            return;
        }
        let outputs = self.links.step(input, now);
        for output in outputs {
            match output {
                links::Output::Dial { peer, addresses } => self.outbox.push(Effect::Dial { peer, addresses }),
                links::Output::Write { link, bytes } => self.outbox.push(Effect::Write { link, bytes }),
                links::Output::Close { link, reason } => {
                    tracing::debug!(?reason, "an election connection is closed");
                    self.outbox.push(Effect::Close { link });
                }
                links::Output::Connected(peer) => {
                    let outputs = self.election.step(election::Input::Connected(peer), now);
                    self.elected(outputs, verdict);
                }
                links::Output::Disconnected(peer) => {
                    let outputs = self.election.step(election::Input::Disconnected(peer), now);
                    self.elected(outputs, verdict);
                }
            }
        }
        while let Some((from, payload)) = self.links.next_message() {
            let outputs = self.election.step(election::Input::Message { from, payload: &payload }, now);
            self.elected(outputs, verdict);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jute::election::{Notification, PeerState};
    use crate::server::quorum::Quorum;
    use crate::sim::cluster::Cluster;
    use crate::zab::voters::ServerId;

    /// The second server of three, a moment after its start, gets two votes of one server in one read: the first vote
    /// ends the election, and the second one makes its result obsolete.
    fn settled_and_left(from: i64, votes: [(i64, i64); 2]) {
        let mut cluster = Cluster::new(3, 7);
        cluster.start(1);
        cluster.run(10, |_| false);
        let Quorum::Member(member) = &mut cluster.server(1).unwrap().quorum else { panic!("a member") };
        let now = member.core.now_ms();
        let mut verdict = Verdict::default();
        for (leader, round) in votes {
            let vote = Notification {
                state: PeerState::Looking,
                leader,
                zxid: 0,
                round,
                peer_epoch: 0,
                version: 2,
                config: None,
            };
            let input = election::Input::Message { from: ServerId(from), payload: &vote.encode() };
            let outputs = member.election.step(input, now);
            member.elected(outputs, &mut verdict);
        }
        assert!(verdict.settled.is_some() && verdict.overtaken);
        member.heed(verdict);
        assert!(matches!(member.role, Role::Looking));
        assert_eq!(member.election.state(), PeerState::Looking);
    }

    #[test]
    fn who_is_elected_and_left_at_once_looks_again() {
        settled_and_left(1, [(2, 1), (3, 1)]);
    }

    #[test]
    fn who_settled_on_one_that_does_not_lead_looks_again() {
        settled_and_left(3, [(3, 1), (1, 1)]);
    }
}

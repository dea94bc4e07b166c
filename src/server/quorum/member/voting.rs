//! The election and its connections: what one of them wants, the other is given.

use super::roles::Role;
use super::{Effect, Member};
use crate::zab::election::{self, Settled};
use crate::zab::{leader, learner, links};

/// What an election has to say of this server's role.
#[derive(Default)]
pub(super) struct Verdict {
    /// The one to take.
    pub(super) settled: Option<Settled>,
    /// The voters of this leader, which does not stand yet, have turned to another one, or the leader that was settled on has.
    /// Both may come at once.
    overtaken: bool,
}

impl Member {
    /// Does what the election has found.
    pub(super) fn heed(&mut self, verdict: Verdict) {
        if let Some(settled) = verdict.settled {
            self.take_role(&settled);
        }
        if !verdict.overtaken {
            return;
        }
        match &self.role {
            // Others may have come since it was elected.
            Role::Leading(leading) if !leading.serves() && !leading.leader().may_be_established() => {
                tracing::info!("its voters have turned to another candidate");
                self.step_leader(leader::Input::HandOver);
            }
            Role::Joining(_) => {
                tracing::info!("the leader it had settled on does not lead");
                self.leave_role();
            }
            // As if the connection had ended, which it is about to: behind what is being cut, installed or written.
            Role::Following(following) if !following.serves() => self.step_learner(learner::Input::Closed),
            _ => {}
        }
    }
}

impl Member {
    /// Gives the election an input, and carries out all that follows from it but the change of role, which is returned.
    pub(super) fn elect(&mut self, input: election::Input<'_>, now: i64) -> Verdict {
        let outputs = self.election.step(input, now);
        let mut verdict = Verdict::default();
        self.elected(outputs, now, &mut verdict);
        verdict
    }

    /// An epoch has begun under a leader: whoever looks for one is told of it.
    pub(super) fn announce_epoch(&mut self, epoch: i64, now: i64) {
        let verdict = self.elect(election::Input::Established { epoch }, now);
        debug_assert!(verdict.settled.is_none(), "an election that is over stays so");
    }

    pub(super) fn elected(&mut self, outputs: Vec<election::Output>, now: i64, verdict: &mut Verdict) {
        for output in outputs {
            match output {
                election::Output::Send { to, payload } => {
                    self.link(links::Input::Send { to, payload }, now, verdict);
                }
                election::Output::Reconnect => self.link(links::Input::Reconnect, now, verdict),
                election::Output::Settled(found) => verdict.settled = Some(found),
                election::Output::Overtaken => verdict.overtaken = true,
                election::Output::Adopt(_) => self.config_changed(now, verdict),
                election::Output::Dropped { from, reason } => {
                    tracing::warn!(from = from.0, ?reason, "a notification was dropped");
                }
            }
        }
    }

    /// Gives the links an input, and the election what they deliver.
    pub(super) fn link(&mut self, input: links::Input<'_>, now: i64, verdict: &mut Verdict) {
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
                    self.elected(outputs, now, verdict);
                }
                links::Output::Disconnected(peer) => {
                    let outputs = self.election.step(election::Input::Disconnected(peer), now);
                    self.elected(outputs, now, verdict);
                }
            }
        }
        while let Some((from, payload)) = self.links.next_message() {
            let outputs = self.election.step(election::Input::Message { from, payload: &payload }, now);
            self.elected(outputs, now, verdict);
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

    /// The second server of three, a moment after its start, hears these votes of one server in one read: with the first it
    /// settles, and with the second what it has settled on is over.
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
            member.elected(outputs, now, &mut verdict);
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

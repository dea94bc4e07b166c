//! The election and its connections: what one of them wants, the other is given.

use super::{Effect, Ensemble, Role};
use crate::server::quorum::Quorum;
use crate::zab::election::{self, Settled};
use crate::zab::{leader, links};

/// What an election has to say of this server's role.
#[derive(Default)]
pub(super) struct Verdict {
    /// The one to take.
    pub(super) settled: Option<Settled>,
    /// The voters of this leader, which does not stand yet, have turned to another one. Both may come at once.
    overtaken: bool,
}

impl Quorum {
    /// Does what the election has found.
    pub(super) fn heed(&mut self, ensemble: &mut Ensemble, verdict: Verdict) {
        if let Some(settled) = verdict.settled {
            self.take_role(ensemble, &settled);
        }
        if verdict.overtaken && matches!(&ensemble.role, Role::Leading(leading) if !leading.serves()) {
            tracing::info!("its voters have found a better candidate");
            self.step_leader(ensemble, leader::Input::HandOver);
        }
    }
}

impl Ensemble {
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
                self.effects.push(Effect::Close { link });
            }
            return;
        }
        let outputs = self.links.step(input, now);
        for output in outputs {
            match output {
                links::Output::Dial { peer, addresses } => self.effects.push(Effect::Dial { peer, addresses }),
                links::Output::Write { link, bytes } => self.effects.push(Effect::Write { link, bytes }),
                links::Output::Close { link, reason } => {
                    tracing::debug!(?reason, "an election connection is closed");
                    self.effects.push(Effect::Close { link });
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
    use crate::sim::cluster::Cluster;
    use crate::zab::voters::ServerId;

    /// A voter's two votes in one read: with the first this server is elected, with the second it is left again.
    #[test]
    fn who_is_elected_and_left_at_once_looks_again() {
        let mut cluster = Cluster::new(3, 7);
        cluster.start(1);
        cluster.run(10, |_| false);
        cluster.server(1).unwrap().quorum.in_ensemble(|core, ensemble| {
            let now = core.clock.mono_ms;
            let mut verdict = Verdict::default();
            for leader in [2, 3] {
                let vote = Notification {
                    state: PeerState::Looking,
                    leader,
                    zxid: 0,
                    round: 1,
                    peer_epoch: 0,
                    version: 2,
                    config: None,
                };
                let input = election::Input::Message { from: ServerId(1), payload: &vote.encode() };
                let outputs = ensemble.election.step(input, now);
                ensemble.elected(outputs, now, &mut verdict);
            }
            assert!(verdict.settled.is_some() && verdict.overtaken);
            core.heed(ensemble, verdict);
            assert!(matches!(ensemble.role, Role::Looking));
            assert_eq!(ensemble.election.state(), PeerState::Looking);
        });
    }
}

//! The election and its connections: what one of them wants, the other is given.

use super::{Effect, Ensemble, Role};
use crate::zab::election::{self, Settled};
use crate::zab::links;

impl Ensemble {
    /// Gives the election an input, and carries out all that follows from it but the change of role, which is returned.
    pub(super) fn elect(&mut self, input: election::Input<'_>, now: i64) -> Option<Settled> {
        let outputs = self.election.step(input, now);
        let mut settled = None;
        self.elected(outputs, now, &mut settled);
        settled
    }

    /// An epoch has begun under a leader: whoever looks for one is told of it.
    pub(super) fn announce_epoch(&mut self, epoch: i64, now: i64) {
        let settled = self.elect(election::Input::Established { epoch }, now);
        debug_assert!(settled.is_none(), "an election that is over stays so");
    }

    pub(super) fn elected(&mut self, outputs: Vec<election::Output>, now: i64, settled: &mut Option<Settled>) {
        for output in outputs {
            match output {
                election::Output::Send { to, payload } => {
                    self.link(links::Input::Send { to, payload }, now, settled);
                }
                election::Output::Reconnect => self.link(links::Input::Reconnect, now, settled),
                election::Output::Settled(found) => *settled = Some(found),
                election::Output::Adopt(_) => self.config_changed(now, settled),
                election::Output::Dropped { from, reason } => {
                    tracing::warn!(from = from.0, ?reason, "a notification was dropped");
                }
            }
        }
    }

    /// Gives the links an input, and the election what they deliver.
    pub(super) fn link(&mut self, input: links::Input<'_>, now: i64, settled: &mut Option<Settled>) {
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
                    self.elected(outputs, now, settled);
                }
                links::Output::Disconnected(peer) => {
                    let outputs = self.election.step(election::Input::Disconnected(peer), now);
                    self.elected(outputs, now, settled);
                }
            }
        }
        while let Some((from, payload)) = self.links.next_message() {
            let outputs = self.election.step(election::Input::Message { from, payload: &payload }, now);
            self.elected(outputs, now, settled);
        }
    }
}

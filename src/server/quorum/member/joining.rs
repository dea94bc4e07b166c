//! A member that found a leader tries to connect to it for a while. An observer with `observerMasterPort` connects to
//! one of the voters instead, which forwards the leader's messages and so takes load off the leader.
//!
//! A voter listens on that port while it follows. The leader does not, and a Corral may not either: after a refusal the
//! observer tries the next voter. If no voter accepts the observer for a while, or all have disconnected it before it
//! was up to date, it follows the leader itself. (ZooKeeper 3.9: `QuorumPeer.findLearnerMaster`, which shuffles the
//! voters once and never goes to the leader's own port; here the observer's id determines the order.)

use super::roles::{Joining, Role};
use super::{Effect, Member};
use crate::zab::voters::{ServerId, Voters};

/// How long an observer tries the voters at most before it connects to the leader; also at most half of the time it
/// has. A new leader has followers only when they are up to date.
const MASTERS_REFUSE_MS: i64 = 5_000;

impl Member {
    /// An election has named a leader to follow.
    pub(super) fn join(&mut self, leader: ServerId, observer: bool) {
        let now = self.core.now_ms();
        let voters = self.election.config().current().voters().count();
        let asks_masters = self.master_port(observer).is_some() && self.search.masters_failed < voters;
        let masters_ms = if asks_masters { MASTERS_REFUSE_MS.min(self.connect_limit_ms() / 2) } else { 0 };
        self.search.masters_failed = if asks_masters { self.search.masters_failed } else { 0 };
        let (master, masters_until_ms) = (leader, now + masters_ms);
        let (leader_since_ms, retry_at_ms, attempts) = (None, None, 0);
        let joining = Joining { leader, master, observer, masters_until_ms, leader_since_ms, retry_at_ms, attempts };
        self.dial_leader(joining);
    }

    /// Connects to the leader, or to the next voter in its place.
    fn dial_leader(&mut self, joining: Joining) {
        let now = self.core.now_ms();
        let port = self.master_port(joining.observer).filter(|_| now < joining.masters_until_ms);
        let config = self.election.config();
        let stand_in = port.and_then(|port| {
            let masters = in_turn(config.current(), self.options.id);
            let turn = self.search.masters_asked.checked_rem(masters.len() as u64)?;
            Some((masters[turn as usize], port))
        });
        self.search.masters_asked += u64::from(stand_in.is_some());
        let (master, port) = stand_in.map_or((joining.leader, None), |(master, port)| (master, Some(port)));
        let addresses = config.member(master).into_iter().flat_map(|member| &member.addresses);
        let addresses = addresses.map(|address| (address.host.clone(), port.unwrap_or(address.quorum_port))).collect();
        self.outbox.push(Effect::DialLeader { leader: master, addresses });
        let leader_since_ms = joining.leader_since_ms.or_else(|| stand_in.is_none().then_some(now));
        self.role = Role::Joining(Joining { master, leader_since_ms, retry_at_ms: None, ..joining });
    }

    fn connect_limit_ms(&self) -> i64 {
        let settings = &self.options.settings;
        self.ticks_ms(settings.connect_limit.unwrap_or(settings.init_limit))
    }

    fn master_port(&self, observer: bool) -> Option<u16> {
        self.options.settings.observer_master_port.filter(|_| observer)
    }

    /// Time has passed: perhaps another attempt is due, or the time for joining is over.
    pub(super) fn tick_joining(&mut self) {
        let now = self.core.now_ms();
        let Role::Joining(joining) = self.role else { return };
        if joining.is_over(now, self.connect_limit_ms()) {
            tracing::warn!(
                leader = joining.leader.0,
                "the leader cannot be reached in time (connectToLearnerMasterLimit, else initLimit)"
            );
            self.leave_role();
        } else if joining.retry_at_ms.is_some_and(|at_ms| now >= at_ms) {
            self.dial_leader(joining);
        }
    }

    /// The leader cannot be reached: perhaps it opens its port only when it leads, and does not know yet that it does.
    pub(super) fn no_leader(&mut self) {
        let now = self.core.now_ms();
        let Role::Joining(joining) = self.role else { return };
        if joining.has_refused(now) {
            tracing::warn!(leader = joining.leader.0, "the leader refuses connections");
            return self.leave_role();
        }
        let attempts = joining.attempts + 1;
        let most_ms = i64::from(self.options.settings.leader_connect_delay_ms);
        let retry_at_ms = Some(now + most_ms.min(1 << (2 + attempts).min(20)));
        self.role = Role::Joining(Joining { attempts, retry_at_ms, ..joining });
    }
}

/// The voters in the order in which this observer tries them; the order differs between observers.
fn in_turn(config: &Voters, me: ServerId) -> Vec<ServerId> {
    let place = |voter: &ServerId| {
        let mixed = (me.0 as u64).rotate_left(32) ^ voter.0 as u64;
        (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 16, *voter)
    };
    let mut voters: Vec<ServerId> = config.voters().collect();
    voters.sort_by_key(place);
    voters
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    /// Each voter is tried, and no voter is the first one of most observers.
    #[test]
    fn observers_begin_with_different_voters() {
        let text = "server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\nserver.4=d:1:2:observer";
        let config = Voters::parse(text.as_bytes()).unwrap();
        let mut first: BTreeMap<ServerId, usize> = BTreeMap::new();
        for me in 4..64 {
            let order = in_turn(&config, ServerId(me));
            assert_eq!(order, in_turn(&config, ServerId(me)));
            assert_eq!(order.iter().map(|voter| voter.0).collect::<BTreeSet<i64>>(), BTreeSet::from([1, 2, 3]));
            *first.entry(order[0]).or_default() += 1;
        }
        assert!(first.len() == 3 && first.values().all(|count| (10..=30).contains(count)), "{first:?}");
    }
}

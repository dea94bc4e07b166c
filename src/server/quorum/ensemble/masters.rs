//! Whom a member that found a leader connects to: the leader; or, as an observer with `observerMasterPort`, one of the
//! voters, which passes on to it what it hears from the leader, so that the leader need not.
//!
//! A voter listens there while it follows. The leader does not, and a voter that is no ZooKeeper may not either: whoever
//! refuses is passed over for the next. If nobody takes the observer in for a while, it follows the leader.
//! (ZooKeeper 3.9: `QuorumPeer.findLearnerMaster`, which shuffles the voters once and never goes to the leader's own port;
//! here the observer's number shuffles them.)

use super::{Effect, Ensemble};
use crate::zab::voters::{ServerId, Voters};

/// For so long an observer asks the voters at most before it goes to the leader, and half the time there is: a leader that
/// was just elected has followers only when they are up to date.
const MASTERS_REFUSE_MS: i64 = 5_000;

/// For so long a leader may refuse connections: one that was just elected may still be in its own wait, and one that is
/// not there any more is not coming. (ZooKeeper 3.9 tries five times, every 100 ms.)
const LEADER_REFUSES_MS: i64 = 1_000;

/// A leader that is being connected to, or somebody who follows it.
#[derive(Clone, Copy)]
pub(super) struct Joining {
    pub leader: ServerId,
    /// Who was dialled last.
    pub master: ServerId,
    pub observer: bool,
    pub since_ms: i64,
    pub until_ms: i64,
    pub retry_at_ms: Option<i64>,
    pub attempts: u32,
}

impl Ensemble {
    /// Connects to the leader, or to the next who stands in for it.
    pub(super) fn dial_leader(&mut self, joining: &mut Joining, now: i64) {
        let port = self.master_port(joining.observer).filter(|_| now < joining.since_ms + masters_refuse_ms(joining));
        let config = self.election.config();
        let master = port.and_then(|_| {
            let masters = in_turn(config.current(), self.options.id);
            let turn = self.masters_asked.checked_rem(masters.len() as u64)?;
            masters.get(turn as usize).copied()
        });
        self.masters_asked += u64::from(master.is_some());
        joining.master = master.unwrap_or(joining.leader);
        let member = config.member(joining.master);
        let addresses = member.into_iter().flat_map(|member| &member.addresses);
        let port = port.filter(|_| master.is_some());
        let addresses = addresses.map(|address| (address.host.clone(), port.unwrap_or(address.quorum_port))).collect();
        self.effects.push(Effect::DialLeader { leader: joining.master, addresses });
    }

    /// When to give up a leader that has refused all the while, or everybody who stands in for it.
    pub(super) fn refused_until_ms(&self, joining: &Joining) -> i64 {
        let masters_ms = self.master_port(joining.observer).map_or(0, |_| masters_refuse_ms(joining));
        joining.since_ms + masters_ms + LEADER_REFUSES_MS
    }

    fn master_port(&self, observer: bool) -> Option<u16> {
        self.options.roles.observer_master_port.filter(|_| observer)
    }
}

fn masters_refuse_ms(joining: &Joining) -> i64 {
    MASTERS_REFUSE_MS.min((joining.until_ms - joining.since_ms) / 2)
}

/// The voters in the order in which this observer asks them, another one for each observer.
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

    /// Each voter is asked, and no voter is the first of most observers.
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

//! Servers of one kind take an ensemble over from servers of the other, and give it back, by nothing but
//! reconfigurations under load: each of them is asked for through a member of the one kind while the other kind leads,
//! or the other way round, and each kind starts from the files that the other kind's reconfigurations have left.

use super::changes::{assume, join, leave, restart};
use super::cluster::{Ensemble, Role};
use super::nemesis;
use super::support::server::Target;

/// Requests a second and client: the members that start all the while are to have some of the machine, too.
const PACE: u64 = 60;

/// Three `old` servers give way to two `new` ones, which then give way to two `old` ones.
pub fn and_back(name: &str, old: Target, new: [Target; 2]) {
    let mut ensemble = Ensemble::start_open(&[old, old, old, new[0], new[1]], 3);
    nemesis::run_at(PACE, name, &mut ensemble, |ensemble, board, _| {
        let leader = ensemble.await_whole();
        let [stays, goes] = [1, 2].map(|step| (leader + step) % 3);
        let [first, second] = [3, 4];
        join(ensemble, board, first, Role::Participant, Some(stays));
        join(ensemble, board, second, Role::Observer, Some(first));
        assume(ensemble, board, &[second], Role::Participant, Some(stays));
        assume(ensemble, board, &[goes], Role::Observer, Some(first));
        restart(ensemble, board, first);
        restart(ensemble, board, stays);
        restart(ensemble, board, goes);
        leave(ensemble, board, goes, Some(second));
        leave(ensemble, board, stays, Some(first));
        assert_eq!(ensemble.await_whole(), leader, "who has led all the while");
        leave(ensemble, board, leader, Some(first));

        // Who is left to lead is of the other kind.
        let given_up = leader;
        let leader = ensemble.await_whole();
        let follower = first + second - leader;
        println!("{name}: member {} has handed over to member {}", given_up + 1, leader + 1);
        join(ensemble, board, goes, Role::Observer, Some(follower));
        assume(ensemble, board, &[goes], Role::Participant, Some(goes));
        join(ensemble, board, stays, Role::Participant, Some(goes));
        assume(ensemble, board, &[stays], Role::Observer, Some(goes));
        restart(ensemble, board, stays);
        restart(ensemble, board, goes);
        restart(ensemble, board, follower);
        assume(ensemble, board, &[stays], Role::Participant, Some(stays));
        leave(ensemble, board, follower, Some(goes));
        assert_eq!(ensemble.await_whole(), leader, "who has led all the while");
        leave(ensemble, board, leader, Some(stays));
        let last = ensemble.await_whole();
        println!("{name}: member {} has handed over to member {}", leader + 1, last + 1);
        [given_up, leader, last].map(|place| place + 1)
    });
}

//! Ensembles of real processes under faults: members are killed, paused, restarted and cut off from each other, one way
//! and both, their disks fail, and servers join and leave, while clients read and write; then every member must hold the
//! same tree, and the history the clients wrote down must be one an ensemble may give.
//!
//! `CORRAL_NEMESIS_OPS` (2000 requests for each fault class; the long run is 100000), `CORRAL_NEMESIS_SEED`,
//! `CORRAL_TEST_EDGE` and `CORRAL_TEST_TARGET` as everywhere: without an edge, each member has another one.

mod support;

#[path = "ensemble/mod.rs"]
mod ensemble;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ensemble::changes::{self, Change};
use ensemble::cluster::{Ensemble, Role, corral, corrals, roles};
use ensemble::comeback;
use ensemble::crossing;
use ensemble::disks::{self, DiskFault};
use ensemble::growth;
use ensemble::local;
use ensemble::masters;
use ensemble::nemesis::{self, Fault, Whom};
use ensemble::ports;
use ensemble::rollover;
use ensemble::secrets;
use ensemble::sizes;
use ensemble::takeover;
use support::server::Target;

/// One ensemble at a time: what a fault does to it must not depend on what else the machine does.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Plays a story; once more, with new members, where it fails and a ZooKeeper has lost part of its log: what that one serves
/// after its next start is no word about anybody else. Three times at most.
fn unless_a_log_is_lost(members: &[Target], story: impl Fn(&mut Ensemble)) {
    for left in (0..3).rev() {
        let mut ensemble = Ensemble::start(members);
        let Err(panic) = catch_unwind(AssertUnwindSafe(|| story(&mut ensemble))) else { return };
        match ensemble.has_lost_log() {
            Some(place) if left > 0 => println!("member {} has lost part of its log: once more", place + 1),
            _ => resume_unwind(panic),
        }
    }
}

fn three(name: &str, faults: &[Fault]) {
    let _alone = alone();
    nemesis::run(name, &mut Ensemble::start(&corrals(3)), faults);
}

#[test]
fn members_are_killed() {
    let faults = [
        Fault::Kill(Whom::Follower),
        Fault::Kill(Whom::Leader),
        Fault::KillTwice(Whom::Follower),
        Fault::KillTwice(Whom::Leader),
        Fault::KillAll,
    ];
    three("killed", &faults);
}

#[test]
fn members_are_paused() {
    let faults = [
        Fault::Pause(Whom::Leader),
        Fault::Pause(Whom::Follower),
        Fault::ShortPause(Whom::Leader),
        Fault::ShortPause(Whom::Follower),
    ];
    three("paused", &faults);
}

#[test]
fn the_network_is_parted() {
    three("parted", &[Fault::Isolate(Whom::Leader), Fault::Isolate(Whom::Follower), Fault::Pair]);
}

#[test]
fn the_network_is_parted_one_way() {
    let faults = [
        Fault::OneWay,
        Fault::Mute(Whom::Leader),
        Fault::Deafen(Whom::Leader),
        Fault::Mute(Whom::Follower),
        Fault::Deafen(Whom::Follower),
    ];
    three("parted one way", &faults);
}

#[test]
fn connections_break_and_messages_are_late() {
    three("broken and late", &[Fault::Sever(Whom::Leader), Fault::Slow, Fault::Sever(Whom::Follower)]);
}

/// `jute.maxbuffer=10485760` and nothing else that would have to follow it.
#[test]
fn requests_of_ten_mebibytes_are_committed() {
    let _alone = alone();
    // A disk that is busy with others' tests takes its time for as much.
    let settings = ["jute.maxbuffer=10485760", "syncLimit=50"];
    let mut ensemble = Ensemble::start_with_settings(&roles(&corrals(3), &[]), &settings);
    sizes::commit(&mut ensemble, &[5 << 20, 9_900_000]);
}

#[test]
fn a_server_on_its_own_takes_requests_of_64_mebibytes() {
    let _alone = alone();
    sizes::alone(corral(0));
    sizes::alone(corral(1));
}

#[test]
fn members_are_restarted_in_turn() {
    three("restarted", &[Fault::RollingRestart, Fault::Restart(Whom::Leader)]);
}

/// Nobody writes while members come back: a client that has seen everything is served by each of them.
#[test]
fn members_that_come_back_show_what_is_committed() {
    let _alone = alone();
    comeback::at_rest(&mut Ensemble::start(&corrals(3)));
}

/// Each member with a disk of its own, where the machine lets a test have such disks.
fn three_on_disks(name: &str, faults: &[DiskFault]) {
    let _alone = alone();
    match disks::absent() {
        None => nemesis::in_turn(name, &mut Ensemble::start_on_disks(&corrals(3)), faults, disks::inflict),
        Some(why) => println!("{name}: left out, this machine has no disks for it: {why}"),
    }
}

#[test]
fn disks_are_full() {
    three_on_disks("full", &[DiskFault::Full(Whom::Leader), DiskFault::Full(Whom::Follower)]);
}

#[test]
fn disks_lose_power() {
    let faults = [
        DiskFault::PowerLossOfAll,
        DiskFault::PowerLoss(Whom::Leader),
        DiskFault::PowerLossOfAll,
        DiskFault::PowerLoss(Whom::Follower),
    ];
    three_on_disks("power lost", &faults);
}

#[test]
fn disks_break() {
    three_on_disks("broken", &[DiskFault::Broken(Whom::Leader), DiskFault::Broken(Whom::Follower)]);
}

#[test]
fn disks_stand_still() {
    three_on_disks("stalled", &[DiskFault::Stalled(Whom::Leader), DiskFault::Stalled(Whom::Follower)]);
}

#[test]
fn disks_are_slow() {
    match disks::no_slow_disks() {
        None => three_on_disks("slow", &[DiskFault::Slow(Whom::Leader), DiskFault::Slow(Whom::Follower)]),
        Some(why) => println!("slow: left out: {why}"),
    }
}

#[test]
fn servers_join_leave_and_change_roles() {
    let _alone = alone();
    let changes = [
        Change::Join(Role::Participant),
        Change::Join(Role::Observer),
        Change::Promote,
        Change::Leave(Whom::Leader),
        Change::KillAll,
        Change::Demote(Whom::Follower),
        Change::Promote,
        Change::Demote(Whom::Leader),
        Change::Promote,
        Change::Leave(Whom::Follower),
    ];
    nemesis::in_turn("changed", &mut Ensemble::start_open(&corrals(5), 3), &changes, changes::make);
}

#[test]
fn a_server_on_its_own_becomes_one_of_three_and_one_of_three_is_left_alone() {
    let _alone = alone();
    growth::grows_and_shrinks(&corrals(3));
}

#[test]
fn an_interrupted_reconfiguration_is_finished() {
    let _alone = alone();
    growth::finishes_a_reconfiguration(&corrals(2), "VO", "VV", &[1, 2]);
    growth::finishes_a_reconfiguration(&corrals(2), "VO", "VV", &[1]);
    growth::finishes_a_reconfiguration(&corrals(5), "VV---", "OOVVV", &[1, 2]);
    growth::finishes_a_reconfiguration(&corrals(4), "VVO-", "--VV", &[1, 2, 3]);
}

#[test]
fn corral_and_zookeeper_finish_an_interrupted_reconfiguration() {
    let _alone = alone();
    for targets in [[corral(0), Target::ZooKeeper], [Target::ZooKeeper, corral(0)]] {
        growth::finishes_a_reconfiguration(&targets, "VO", "VV", &[1, 2]);
        growth::finishes_a_reconfiguration(&targets, "OV", "VV", &[1, 2]);
    }
}

#[test]
fn what_is_not_there_yet_is_waited_for() {
    let _alone = alone();
    corrals(3).into_iter().for_each(growth::waits_for_its_address);
}

#[test]
fn members_move_to_other_ports() {
    let _alone = alone();
    ports::converse("moved", &mut Ensemble::start_open(&corrals(3), 3));
}

#[test]
fn five_members_under_everything() {
    let _alone = alone();
    let faults = [
        Fault::Kill(Whom::Leader),
        Fault::Minority,
        Fault::Pause(Whom::Leader),
        Fault::Deafen(Whom::Leader),
        Fault::Sever(Whom::Leader),
        Fault::Restart(Whom::Follower),
    ];
    nemesis::run("five", &mut Ensemble::start(&corrals(5)), &faults);
}

/// An ensemble whose epochs have so many transactions, as far as a Corral leads it.
fn with_short_epochs(members: &[(Target, Role)], transactions: u32) -> Ensemble {
    Ensemble::start_with_settings(members, &[&format!("corral.epochTransactions={transactions}")])
}

/// Three voters, and an observer, of which all know of roll-overs.
fn all_roll_over(transactions: u32) -> Ensemble {
    with_short_epochs(&roles(&corrals(3), &[corral(3)]), transactions)
}

#[test]
fn epochs_end_and_nobody_is_sent_away() {
    let _alone = alone();
    rollover::write_through(&mut all_roll_over(300));
}

#[test]
fn epochs_end_under_faults() {
    let _alone = alone();
    let faults = [Fault::Kill(Whom::Leader), Fault::Pause(Whom::Follower), Fault::Sever(Whom::Leader)];
    nemesis::run("short epochs", &mut all_roll_over(200), &faults);
}

/// The leader is a Corral: of those that start at once, the last leads.
#[test]
fn epochs_end_with_a_zookeeper_among_the_members() {
    let _alone = alone();
    let members = roles(&[Target::ZooKeeper, corral(1), corral(2)], &[]);
    rollover::step_down(&mut with_short_epochs(&members, 600), 2);
}

#[test]
fn every_corral_member_sees_what_every_other_does() {
    let _alone = alone();
    crossing::converse("three", &mut Ensemble::start(&corrals(3)));
}

/// Whoever knows a session's id can compute the password that ZooKeeper would give it.
#[test]
fn nobody_takes_a_session_whose_id_he_knows() {
    let _alone = alone();
    secrets::are_kept(&mut Ensemble::start(&corrals(3)));
}

/// A quorum of the kind that is to lead starts at once, and of these the last leads.
#[test]
fn corral_and_zookeeper_see_what_each_other_does() {
    let _alone = alone();
    for zookeeper in [Target::ZooKeeper, Target::OlderZooKeeper] {
        for [other, leading] in [[zookeeper, corral(2)], [corral(0), zookeeper]] {
            let mut ensemble = Ensemble::start(&[other, leading, leading]);
            let leader = crossing::converse("mixed", &mut ensemble);
            assert_eq!(ensemble.members[leader].server.target, leading, "who leads");
            secrets::are_said_to_be_none(&ensemble);
        }
    }
}

#[test]
fn corrals_open_sessions_of_their_own() {
    let _alone = alone();
    for upgrades in [false, true] {
        let mut ensemble = Ensemble::start_with_settings(&roles(&corrals(3), &[]), &local::settings(upgrades));
        local::converse("local sessions", &mut ensemble, upgrades);
        local::lose_the_leader(&mut ensemble);
    }
}

/// Each kind leads, and members of both have sessions of their own.
#[test]
fn corral_and_zookeeper_take_each_others_own_sessions() {
    let _alone = alone();
    for [other, leading] in [[Target::ZooKeeper, corral(2)], [corral(0), Target::ZooKeeper]] {
        let members = roles(&[other, leading, leading], &[]);
        let mut ensemble = Ensemble::start_with_settings(&members, &local::settings(true));
        let leader = local::converse("local sessions, mixed", &mut ensemble, true);
        assert_eq!(ensemble.members[leader].server.target, leading, "who leads");
    }
}

#[test]
fn observers_see_what_members_of_the_other_kind_do() {
    let _alone = alone();
    let with_observers =
        |voters: &[Target], observers: &[Target]| Ensemble::start_with_roles(&roles(voters, observers));
    crossing::converse("a corral observes", &mut with_observers(&[Target::ZooKeeper; 3], &[corral(2)]));
    let mut ensemble = with_observers(&corrals(3), &[Target::ZooKeeper, corral(0)]);
    crossing::converse("both observe", &mut ensemble);
    nemesis::run("observed", &mut ensemble, &[Fault::Kill(Whom::Leader), Fault::Isolate(Whom::Follower)]);
}

#[test]
fn two_corrals_and_a_zookeeper_under_faults() {
    let _alone = alone();
    let faults = [Fault::Kill(Whom::Leader), Fault::RollingRestart, Fault::Pause(Whom::Leader)];
    for (zookeeper, faults) in [(Target::ZooKeeper, &faults[..]), (Target::OlderZooKeeper, &faults[..2])] {
        unless_a_log_is_lost(&[corral(0), zookeeper, corral(2)], |ensemble| {
            nemesis::run("two and one", ensemble, faults)
        });
    }
}

#[test]
fn a_corral_and_two_zookeepers_under_faults() {
    let _alone = alone();
    let faults = [Fault::Kill(Whom::Leader), Fault::Isolate(Whom::Leader), Fault::Sever(Whom::Leader), Fault::KillAll];
    nemesis::run("one and two", &mut Ensemble::start(&[Target::ZooKeeper, corral(1), Target::ZooKeeper]), &faults);
}

#[test]
fn zookeeper_is_replaced_by_corral_and_back() {
    let _alone = alone();
    let mut ensemble = Ensemble::start(&[Target::ZooKeeper; 3]);
    nemesis::run_with("replaced", &mut ensemble, |ensemble, board, _| {
        let mut replaced = Vec::new();
        for kind in [|place| corral(place), |_| Target::ZooKeeper] {
            let leader = ensemble.await_whole();
            // The leader last.
            for place in (1..=3).map(|step| (leader + step) % 3) {
                nemesis::await_served(board, "the ensemble between two replacements", ensemble);
                ensemble.terminate(place);
                ensemble.replace(place, kind(place));
                ensemble.await_whole();
                replaced.push(ensemble.names());
            }
            secrets::fit(ensemble);
        }
        replaced
    });
}

#[test]
fn corral_takes_over_from_zookeeper_by_reconfigurations_and_back() {
    let _alone = alone();
    takeover::and_back("corral takes over", Target::ZooKeeper, [corral(0), corral(2)]);
}

#[test]
fn zookeeper_takes_over_from_corral_by_reconfigurations_and_back() {
    let _alone = alone();
    takeover::and_back("zookeeper takes over", corral(2), [Target::ZooKeeper; 2]);
}

/// A ZooKeeper that leads passes observers on to those that follow it.
#[test]
fn an_observer_follows_through_a_zookeeper_that_follows() {
    let _alone = alone();
    let members = roles(&[Target::ZooKeeper; 3], &[corral(2)]);
    masters::observe("behind a master", &mut Ensemble::start_with_masters(&members), 3);
}

/// One of before 4394 was mended: what is committed while it takes in where its leader stands it must hear of later.
#[test]
fn an_older_zookeeper_comes_back_under_load_without_an_exception() {
    let _alone = alone();
    let mut ensemble = Ensemble::start(&[Target::OlderZooKeeper, corral(1), corral(2)]);
    nemesis::run_with("comes back", &mut ensemble, |ensemble, board, _| {
        for _ in 0..5 {
            ensemble.kill(0);
            nemesis::await_served(board, "a majority without a ZooKeeper", ensemble);
            ensemble.start_again(0);
            let leader = ensemble.await_whole();
            assert_ne!(leader, 0, "who leads");
        }
    });
    let log = ensemble.members[0].server.log();
    assert!(!log.contains("NullPointerException"), "{log}");
}

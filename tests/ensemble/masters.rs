//! An observer that follows the leader through one of the voters, which pass on what they hear: it must be as good a
//! member as any, and find another voter when that one is lost.

use super::clients::{SHORT_SESSION_MS, keep_asking, session_on};
use super::cluster::{Ensemble, Mode, WHOLE_LIMIT};
use super::crossing;
use super::nemesis::{self, await_served};
use super::support::client::{Connection, four_letter_word_within, monitored};
use super::support::wait_for;
use super::support::wire::{self, flag};

/// The observer at this place talks, lives by its master, and loses it twice under load.
pub fn observe(name: &str, ensemble: &mut Ensemble, observer: usize) {
    let leader = crossing::converse(name, ensemble);
    assert_ne!(master_of(ensemble, observer), leader, "a leader takes nobody in there");
    touches_reach_the_leader(ensemble, observer, leader);
    nemesis::run_with(name, ensemble, |ensemble, board, _| {
        let mut lost = Vec::new();
        for _ in 0..2 {
            await_level(ensemble);
            let master = master_of(ensemble, observer);
            ensemble.kill(master);
            await_served(board, "a majority without an observer's master", ensemble);
            let next = wait_for(WHOLE_LIMIT, || {
                ensemble.mode(observer)?;
                Some(master_of(ensemble, observer)).filter(|next| *next != master)
            });
            let leader = ensemble.places().into_iter().find(|place| ensemble.mode(*place) == Some(Mode::Leader));
            assert!(
                next.is_some() && next != leader,
                "from {master} to {next:?}, {leader:?} leads\n{}",
                ensemble.logs()
            );
            lost.push(master + 1);
            ensemble.start_again(master);
            ensemble.await_whole();
        }
        lost
    });
}

/// Waits until every member has what the leader has by now. A ZooKeeper that has come back serves before its tree is through
/// what it had missed, and sends observers away until it is: they go to the leader then.
fn await_level(ensemble: &Ensemble) {
    let last = |place: usize| {
        let answer = four_letter_word_within(ensemble.members[place].server.address, "srvr", WHOLE_LIMIT).ok()?;
        let zxid = answer.lines().find_map(|line| line.strip_prefix("Zxid: 0x"))?;
        i64::from_str_radix(zxid, 16).ok()
    };
    let leads = |place: &usize| ensemble.mode(*place) == Some(Mode::Leader);
    let wanted = wait_for(WHOLE_LIMIT, || last(ensemble.places().into_iter().find(leads)?));
    let wanted = wanted.expect("a leader that says what it has");
    for place in ensemble.places() {
        let is_there = wait_for(WHOLE_LIMIT, || last(place).filter(|last| *last >= wanted));
        assert!(is_there.is_some(), "member {} is not at {wanted:#x}\n{}", place + 1, ensemble.logs());
    }
}

/// The place of the server that an observer hears everything from.
fn master_of(ensemble: &Ensemble, observer: usize) -> usize {
    let address = ensemble.members[observer].server.address;
    let id = wait_for(WHOLE_LIMIT, || monitored(address, "zk_observer_master_id"));
    id.unwrap_or_else(|| panic!("{address} names no master")) as usize - 1
}

/// A client that says nothing but that it is there keeps its session, and what belongs to it, for several of its timeouts.
fn touches_reach_the_leader(ensemble: &Ensemble, observer: usize, leader: usize) {
    let [here, there] = [observer, leader].map(|place| ensemble.members[place].server.address);
    let mut client = Connection::new_session(here, SHORT_SESSION_MS).expect("a session");
    client.must(&wire::create("/touched", b"", flag::EPHEMERAL));
    keep_asking(&mut client, &wire::ping(), 4);
    let mut witness = session_on(there);
    witness.must(&wire::get_data("/touched", false));
    client.close().expect("the end of a session");
    witness.close().expect("the end of a session");
}

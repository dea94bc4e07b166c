//! An observer that follows the leader through one of the voters, which pass on what they hear: it must be as good a
//! member as any, and find another voter when that one is lost.

use super::clients::{SHORT_SESSION_MS, keep_asking, session_on};
use super::cluster::{Ensemble, WHOLE_LIMIT};
use super::crossing;
use super::nemesis::{self, await_served};
use super::support::client::{Connection, monitored};
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
            ensemble.await_level();
            let master = master_of(ensemble, observer);
            ensemble.kill(master);
            await_served(board, "a majority without an observer's master", ensemble);
            let next = wait_for(WHOLE_LIMIT, || {
                ensemble.mode(observer)?;
                Some(master_of(ensemble, observer)).filter(|next| *next != master)
            });
            let leader = ensemble.leader();
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

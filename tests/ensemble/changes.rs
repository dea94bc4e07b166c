//! An ensemble that changes while clients use it: servers join, leave, and change between voting and observing; whoever
//! leads may be among them. After each change every member must serve in its role and show the same configuration.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::clients::Board;
use super::cluster::{Ensemble, Role, SESSION_MS, WHOLE_LIMIT};
use super::nemesis::{Whom, await_served};
use super::support::client::Connection;
use super::support::fields::{self, Value};
use super::support::random::Random;
use super::support::wait_for;
use super::support::wire::{self, op};

/// A change that is possible is made within this: who joins must have caught up, and a leader may have to be found.
const CHANGE_LIMIT: Duration = Duration::from_secs(30);

/// Refusals that end by themselves: a new member is not as far as the others, or another change is under way.
const NEW_CONFIG_NO_QUORUM: i32 = -13;
const RECONFIG_IN_PROGRESS: i32 = -14;

const CONFIG: &str = "/zookeeper/config";

/// What happens to the ensemble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new server, with an empty directory.
    Join(Role),
    Leave(Whom),
    /// A voter becomes an observer.
    Demote(Whom),
    /// The observers become voters.
    Promote,
    /// SIGKILL for everyone at once: all have to know their configuration from their files.
    KillAll,
}

/// Makes a change and waits until every member shows it.
pub fn make(change: Change, ensemble: &mut Ensemble, board: &Board, random: &mut Random) {
    let leader = ensemble.await_whole();
    let voters = |ensemble: &Ensemble, role: Role| -> Vec<usize> {
        ensemble.places().into_iter().filter(|place| ensemble.members[*place].role == role).collect()
    };
    let mut victim = |ensemble: &Ensemble, whom: Whom| {
        let followers = voters(ensemble, Role::Participant).into_iter().filter(|place| *place != leader);
        match whom {
            Whom::Leader => leader,
            Whom::Follower => *random.pick(&followers.collect::<Vec<usize>>()),
        }
    };
    match change {
        Change::Join(role) => {
            let place = (0..ensemble.members.len()).find(|place| !ensemble.members[*place].belongs);
            let place = place.expect("a server that does not belong to it");
            ensemble.members[place].role = role;
            ensemble.replace(place, ensemble.members[place].server.target);
            reconfigure(ensemble, Some(&ensemble.line(place, place)), None);
            ensemble.members[place].belongs = true;
            board.moved(ensemble.addresses());
        }
        Change::Leave(whom) => {
            let place = victim(ensemble, whom);
            ensemble.members[place].belongs = false;
            board.moved(ensemble.addresses());
            reconfigure(ensemble, None, Some(&(place + 1).to_string()));
            ensemble.await_whole();
            ensemble.terminate(place);
        }
        Change::Demote(whom) => {
            let place = victim(ensemble, whom);
            ensemble.members[place].role = Role::Observer;
            reconfigure(ensemble, Some(&ensemble.line(place, place)), None);
        }
        Change::Promote => {
            let observers = voters(ensemble, Role::Observer);
            for place in &observers {
                ensemble.members[*place].role = Role::Participant;
            }
            let lines: Vec<String> = observers.iter().map(|place| ensemble.line(*place, *place)).collect();
            reconfigure(ensemble, Some(&lines.join(",")), None);
        }
        Change::KillAll => {
            for place in ensemble.places() {
                ensemble.kill(place);
            }
            ensemble.spawn_all();
        }
    }
    ensemble.await_whole();
    assert_shown(ensemble);
    await_served(board, "a changed ensemble", ensemble);
}

/// Asks one member after the other until the change is made, or was already by a request whose answer was lost.
fn reconfigure(ensemble: &Ensemble, joining: Option<&str>, leaving: Option<&str>) {
    let request = wire::reconfig(joining, leaving, None, -1);
    let addresses = ensemble.addresses();
    let end = Instant::now() + CHANGE_LIMIT;
    for address in addresses.iter().cycle() {
        let answer = Connection::new_session(*address, SESSION_MS).and_then(|mut asker| {
            let reply = asker.call(&request)?;
            // What was asked for may have ended the connection.
            let _ = asker.close();
            Ok(reply.err)
        });
        let refused = match answer {
            Ok(0) => return,
            Ok(code @ (NEW_CONFIG_NO_QUORUM | RECONFIG_IN_PROGRESS)) => format!("{address}: {code}"),
            Ok(code) => panic!("{address} refuses {joining:?} {leaving:?} with {code}\n{}", ensemble.logs()),
            Err(error) => format!("{address}: {error}"),
        };
        let late = Instant::now() > end;
        assert!(!late, "not within {CHANGE_LIMIT:?}: {joining:?} {leaving:?}: {refused}\n{}", ensemble.logs());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Every member shows its clients the same configuration, and it is the one meant.
fn assert_shown(ensemble: &Ensemble) {
    let addresses = ensemble.addresses();
    let mut meant: Vec<String> = ensemble.places().iter().map(|place| ensemble.line(*place, *place)).collect();
    meant.sort();
    let mut shown = Vec::new();
    let same = wait_for(WHOLE_LIMIT, || {
        shown = addresses.iter().map(|address| configuration(*address)).collect();
        let (first, rest) = shown.split_first()?;
        let fits = |text: &Option<String>| {
            let mut lines: Vec<&str> = text.iter().flat_map(|text| text.lines()).collect();
            lines.retain(|line| !line.starts_with("version="));
            lines.sort_unstable();
            lines == meant
        };
        (fits(first) && rest.iter().all(|other| other == first)).then_some(())
    });
    assert!(same.is_some(), "members show {shown:#?}, meant {meant:#?}\n{}", ensemble.logs());
}

/// What a member shows; None when it gives no session now.
fn configuration(address: SocketAddr) -> Option<String> {
    let mut connection = Connection::new_session(address, SESSION_MS).ok()?;
    let reply = connection.call(&wire::get_data(CONFIG, false)).ok()?;
    assert_eq!(reply.err, 0, "{CONFIG} on {address}");
    let decoded = fields::of_reply(op::GET_DATA, &reply.body).expect("a reply that decodes");
    let Some(Value::Bytes(Some(text))) = decoded.first().map(|field| &field.value) else {
        panic!("{CONFIG} without data: {}", fields::show(&Ok(decoded)));
    };
    let text = String::from_utf8_lossy(text).into_owned();
    // It is asked again if not.
    connection.close().ok()?;
    Some(text)
}

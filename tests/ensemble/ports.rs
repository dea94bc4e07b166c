//! Members whose own lines change under load: clients, learners and votes are taken at the new ports, the old ones refuse,
//! and nobody who is connected notices.

use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use super::changes::{relocate, restart};
use super::clients::{Board, session_on};
use super::cluster::{Ensemble, Member};
use super::nemesis::{self, await_served};
use super::support::client::{Connection, four_letter_word};
use super::support::server::free_port;
use super::support::wait_for;
use super::support::wire::{self, flag};

/// A port opens and closes within this.
const MOVE_LIMIT: Duration = Duration::from_secs(10);

/// What the log says of a port that cannot be had.
const NOT_MOVED: &str = "a port cannot be moved";

const PATH: &str = "/moved";

/// Every member's client port moves, then the ports of a follower between servers, then those of the leader.
pub fn converse(name: &str, ensemble: &mut Ensemble) {
    nemesis::run_with(name, ensemble, |ensemble, board, _| {
        let leader = ensemble.await_whole();
        let moves = [1, 2].map(|step| (leader + step) % ensemble.members.len());
        session_on(ensemble.members[leader].server.address).must(&wire::create(PATH, b"", flag::PERSISTENT));
        for place in ensemble.places() {
            clients_move(ensemble, board, place, free_port());
        }
        clients_move_late(ensemble, board, moves[0]);
        assert_eq!(ensemble.await_whole(), leader, "who leads, whatever clients do");

        let follower = moves[0];
        let mut held = session_on(ensemble.members[follower].server.address);
        others_move(ensemble, board, follower);
        speaks(&mut held, "a client of a follower that moves is not sent away");
        assert_eq!(ensemble.await_whole(), leader, "who leads, wherever a follower is");

        others_move(ensemble, board, leader);
        let next = ensemble.await_whole();
        assert_ne!(next, leader, "a leader that moves hands over");
        // Whoever comes anew finds those that have moved.
        ensemble.kill(moves[1]);
        await_served(board, "a majority of those that have moved", ensemble);
        ensemble.start_again(moves[1]);
        ensemble.await_whole();
        restart(ensemble, board, follower);
        [leader, next].map(|place| place + 1)
    });
}

/// Somebody else has the port: clients are served at the old one until it is free.
fn clients_move_late(ensemble: &mut Ensemble, board: &Board, place: usize) {
    let new = free_port();
    let taken = TcpListener::bind(("127.0.0.1", new)).expect("a free port");
    let (old, log) = (ensemble.members[place].server.address, ensemble.members[place].server.log_file());
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let is_told = || fs::read_to_string(&log).ok()?.contains(NOT_MOVED).then_some(());
            assert!(wait_for(MOVE_LIMIT, is_told).is_some(), "the log does not say that {new} is taken");
            session_on(old).close().expect("the end of a session");
            drop(taken);
        });
        clients_move(ensemble, board, place, new);
    });
}

fn clients_move(ensemble: &mut Ensemble, board: &Board, place: usize, port: u16) {
    let old = ensemble.members[place].server.address;
    let mut held = session_on(old);
    relocate(ensemble, board, place, |member| member.server.address.set_port(port));
    let new = ensemble.members[place].server.address;
    await_closed(old, ensemble);
    speaks(&mut held, "a client that came to the old port");
    let mut fresh = session_on(new);
    speaks(&mut fresh, "a client that came to the new port");
    fresh.close().expect("the end of a session");
    held.close().expect("the end of a session");
    assert_told(ensemble, place);
}

fn others_move(ensemble: &mut Ensemble, board: &Board, place: usize) {
    let ends = |member: &Member| {
        [member.ports.quorum, member.ports.election].map(|port| SocketAddr::from(([127, 0, 0, place as u8 + 1], port)))
    };
    let old = ends(&ensemble.members[place]);
    relocate(ensemble, board, place, |member| {
        member.ports.quorum = free_port();
        member.ports.election = free_port();
    });
    for address in old {
        await_closed(address, ensemble);
    }
    for address in ends(&ensemble.members[place]) {
        let heard = wait_for(MOVE_LIMIT, || TcpStream::connect(address).ok());
        assert!(heard.is_some(), "nobody listens at {address}\n{}", ensemble.logs());
    }
    assert_told(ensemble, place);
}

fn speaks(client: &mut Connection, who: &str) {
    let reply = client.call(&wire::set_data(PATH, Some(b"x"), -1)).unwrap_or_else(|error| panic!("{who}: {error}"));
    assert_eq!(reply.err, 0, "{who}");
}

fn await_closed(address: SocketAddr, ensemble: &Ensemble) {
    let is_refused = || {
        let error = TcpStream::connect(address).err()?;
        (error.kind() == ErrorKind::ConnectionRefused).then_some(())
    };
    assert!(wait_for(MOVE_LIMIT, is_refused).is_some(), "{address} does not close\n{}", ensemble.logs());
}

/// `conf` says where the member is now.
fn assert_told(ensemble: &Ensemble, place: usize) {
    let member = &ensemble.members[place];
    let conf = four_letter_word(member.server.address, "conf").expect("conf");
    let lines = [
        format!("clientPort={}", member.server.address.port()),
        format!("electionPort={}", member.ports.election),
        format!("quorumPort={}", member.ports.quorum),
        ensemble.line(place, place),
    ];
    for line in lines {
        assert!(conf.lines().any(|said| said == line), "{line} in {conf}");
    }
}

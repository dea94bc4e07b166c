//! Requests far longer than the usual ones, where the operator allows them (`jute.maxbuffer`): the ensemble commits them,
//! nobody is elected anew, and who was away is brought up to date.

use super::clients::session_on;
use super::cluster::Ensemble;
use super::support::client::Connection;
use super::support::server::{Server, Target};
use super::support::wire::{self, flag};
use super::support::{Scratch, wait_for};
use std::time::Duration;

fn put(client: &mut Connection, path: &str, length: usize) {
    let reply = client.call(&wire::create(path, &vec![7; length], flag::PERSISTENT));
    let reply = reply.unwrap_or_else(|error| panic!("{path}, {length} bytes: {error}"));
    assert_eq!(reply.err, 0, "{path}, {length} bytes");
}

/// Long creates by a follower and by the leader; one follower misses some of them and comes back.
pub fn commit(ensemble: &mut Ensemble, lengths: &[usize]) {
    let leader = ensemble.await_whole();
    let (follower, away) = ((leader + 1) % 3, (leader + 2) % 3);
    let mut by_follower = session_on(ensemble.members[follower].server.address);
    put(&mut by_follower, "/long-by-all", lengths[0]);
    ensemble.kill(away);
    for (number, length) in lengths.iter().enumerate() {
        put(&mut by_follower, &format!("/long-{number}"), *length);
        let mut by_leader = session_on(ensemble.members[leader].server.address);
        put(&mut by_leader, &format!("/long-by-leader-{number}"), *length);
        by_leader.close().expect("a session that lives");
    }
    ensemble.start_again(away);
    assert_eq!(ensemble.await_whole(), leader, "the leader stays\n{}", ensemble.logs());
    ensemble.await_level();
    let mut reader = session_on(ensemble.members[away].server.address);
    for (number, length) in lengths.iter().enumerate() {
        for path in [format!("/long-{number}"), format!("/long-by-leader-{number}")] {
            let found = wait_for(Duration::from_secs(20), || {
                let reply = reader.call(&wire::exists(&path, false)).ok()?;
                (reply.err == 0).then_some(reply.body)
            });
            let stat = found.unwrap_or_else(|| panic!("{path} on the member that was away\n{}", ensemble.logs()));
            // dataLength stands behind czxid, mzxid, ctime, mtime, three versions and the owner.
            assert_eq!(stat[52..56], (*length as i32).to_be_bytes(), "{path}");
        }
    }
    by_follower.close().expect("a session that lives");
    reader.close().expect("a session that lives");
}

/// A server on its own with the longest requests there are: they are there after it was killed, too.
pub fn alone(target: Target) {
    let scratch = Scratch::new();
    let mut server = Server::start(target, scratch.path(), &["jute.maxbuffer=67108864"]);
    let lengths = [60 << 20, (64 << 20) - 200];
    let mut client = session_on(server.address);
    for (number, length) in lengths.into_iter().enumerate() {
        put(&mut client, &format!("/long-{number}"), length);
    }
    server.kill();
    server.start_again();
    let mut client = session_on(server.address);
    for number in 0..lengths.len() {
        client.must(&wire::exists(&format!("/long-{number}"), false));
    }
    client.close().expect("a session that lives");
}

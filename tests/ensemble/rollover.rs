//! Epochs that come to their end, with few transactions in each: the next one begins under the same leader, and no client's
//! connection ends. With a ZooKeeper among the members the leader steps down instead.

use super::clients::session_on;
use super::cluster::Ensemble;
use super::nemesis;
use super::support::client::Connection;
use super::support::wait_for;
use super::support::wire::{self, flag};
use std::time::Duration;

/// Writes of each client.
const WRITES: usize = 400;

/// What a leader logs that went over into the next epoch, and one that could not.
const ROLLED: &str = "leading in the next one";
const OVER: &str = "no longer leading";
const NOT_ALL_ROLL: &str = "a learner does not roll over";

/// How often the members have logged this, all together.
fn logged(ensemble: &Ensemble, what: &str) -> usize {
    ensemble.members.iter().map(|member| member.server.log().matches(what).count()).sum()
}

/// A client at each member writes through several ends of epochs, all on one connection.
pub fn write_through(ensemble: &mut Ensemble) {
    let leader = ensemble.await_whole();
    let over = logged(ensemble, OVER);
    let mut clients: Vec<Connection> = ensemble.addresses().into_iter().map(session_on).collect();
    let write = |number: usize, client: &mut Connection| {
        let epochs: Vec<i64> = (0..WRITES)
            .map(|n| {
                let path = format!("/roll-{number}-{n}");
                let reply = client.call(&wire::create(&path, b"x", flag::PERSISTENT));
                let reply = reply.unwrap_or_else(|error| panic!("client {number}, write {n}: {error}"));
                assert_eq!(reply.err, 0, "client {number}, write {n}");
                reply.zxid >> 32
            })
            .collect();
        assert!(epochs.is_sorted(), "client {number} sees epochs in order");
        epochs
    };
    let epochs: Vec<Vec<i64>> = std::thread::scope(|scope| {
        let writing: Vec<_> =
            clients.iter_mut().enumerate().map(|(number, client)| scope.spawn(move || write(number, client))).collect();
        writing.into_iter().map(|writing| writing.join().expect("a client that was served")).collect()
    });
    for client in clients {
        client.close().expect("a session that lives");
    }
    for seen in &epochs {
        let went = seen[seen.len() - 1] - seen[0];
        assert!(went >= 3, "{went} ends of epochs were seen");
    }
    assert_eq!(ensemble.await_whole(), leader, "the leader stays");
    assert_eq!(logged(ensemble, OVER), over, "{}", ensemble.logs());
    let rolled = logged(ensemble, ROLLED);
    println!("rolled over: {} members, {rolled} roll-overs, no election", ensemble.members.len());
    assert!(rolled >= 3, "{rolled} roll-overs");
    ensemble.assert_trees_fitted();
}

/// Clients that write down what they see, until so many leaders have stepped down at the end of their epoch. While the
/// ZooKeeper is not connected, as when it still looks for a new leader, an epoch may be followed by the next one.
pub fn step_down(ensemble: &mut Ensemble, times: usize) {
    nemesis::run_with("end of epochs", ensemble, |ensemble, _, _| {
        let over = wait_for(Duration::from_secs(60), || {
            std::thread::sleep(Duration::from_millis(50));
            Some(logged(ensemble, NOT_ALL_ROLL)).filter(|over| *over >= times)
        });
        over.unwrap_or_else(|| panic!("leaders do not step down\n{}", ensemble.logs()))
    });
}

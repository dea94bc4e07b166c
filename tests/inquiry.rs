//! A thread of the server's process that is no client asks what only shards and the quorum core know, on both edges.

mod support;

use corral::admin::plane;
use corral::config::{Config, Profile};
use corral::runtime;
use corral::server::facts::{Facts, Question};
use corral::server::inquiry::Inquirer;
use std::sync::mpsc::channel;
use std::time::Duration;
use support::Scratch;
use support::client::Connection;
use support::server::free_port;

/// How long a busy machine may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Starts a server in this process. It runs until the process ends.
fn start(shards: u16, scratch: &Scratch) -> (Inquirer, u16) {
    let mut config = Config::defaults(Profile::Small, 1);
    config.shards = shards;
    config.client_port = free_port();
    config.data_dir = scratch.path().join("data");
    config.data_log_dir = config.data_dir.clone();
    let port = config.client_port;
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let result = runtime::run(
            config,
            |_| false,
            |server| {
                sender.send(server.inquirer.clone()).expect("the test waits");
                plane::for_server(server)
            },
        );
        panic!("the server has ended: {result:?}");
    });
    (receiver.recv_timeout(LIMIT).expect("the server starts"), port)
}

#[test]
fn a_thread_that_is_no_client_asks() {
    let asked: &[Question] = &[Question::Connections, Question::Sessions];
    let scratches = [Scratch::new(), Scratch::new()];
    // One thread for all; two shards, and a core of its own.
    for (scratch, (edge, shards)) in scratches.iter().zip([(0, 1), (2, 2)]) {
        let (inquirer, port) = start(edge, scratch);
        let ask = || -> Facts { inquirer.ask(asked).recv_timeout(LIMIT).expect("an answer") };
        let connections = |facts: &Facts| facts.shards.iter().map(|shard| shard.connections.len()).sum::<usize>();
        let before = ask();
        assert_eq!((before.shards.len(), connections(&before)), (shards, 0));
        let client = Connection::new_session(([127, 0, 0, 1], port).into(), 10_000).expect("a session");
        let after = ask();
        assert_eq!((connections(&after), after.core.expiry.len()), (1, 1));
        drop(client);
    }
}

//! A thread of the server's process that is no client asks what only shards and the quorum core know, on both edges.

mod support;

use corral::admin::plane;
use corral::config::{Config, Profile};
use corral::fatal::Fatal;
use corral::runtime;
use corral::server::facts::{Facts, Question};
use corral::server::inquiry::Inquirer;
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::Duration;
use support::Scratch;
use support::client::Connection;
use support::server::free_port;

/// How long a busy machine may take.
const LIMIT: Duration = Duration::from_secs(60);

/// A server in this process.
struct InProcess {
    inquirer: Inquirer,
    port: u16,
    /// Ends when the process gets a SIGTERM.
    thread: JoinHandle<Result<(), Fatal>>,
}

/// Starts a server in this process.
fn start(shards: u16, scratch: &Scratch) -> InProcess {
    let mut config = Config::defaults(Profile::Small, 1);
    config.shards = shards;
    config.client_port = free_port();
    config.data_dir = scratch.path().join("data");
    config.data_log_dir = config.data_dir.clone();
    let port = config.client_port;
    let (sender, receiver) = channel();
    let thread = std::thread::spawn(move || {
        runtime::run(
            config,
            |_| false,
            |server| {
                sender.send(server.inquirer.clone()).expect("the test waits");
                plane::for_server(server)
            },
        )
    });
    InProcess { inquirer: receiver.recv_timeout(LIMIT).expect("the server starts"), port, thread }
}

#[test]
fn a_thread_that_is_no_client_asks() {
    let asked: &[Question] = &[Question::Connections, Question::Sessions];
    let scratches = [Scratch::new(), Scratch::new()];
    let mut threads = vec![];
    // One thread for all; two shards, and a core of its own.
    for (scratch, (edge, shards)) in scratches.iter().zip([(0, 1), (2, 2)]) {
        let InProcess { inquirer, port, thread } = start(edge, scratch);
        let ask = || -> Facts { inquirer.ask(asked).recv_timeout(LIMIT).expect("an answer") };
        let connections = |facts: &Facts| facts.shards.iter().map(|shard| shard.connections.len()).sum::<usize>();
        let before = ask();
        assert_eq!((before.shards.len(), connections(&before)), (shards, 0));
        let client = Connection::new_session(([127, 0, 0, 1], port).into(), 10_000).expect("a session");
        let after = ask();
        assert_eq!((connections(&after), after.core.expiry.len()), (1, 1));
        drop(client);
        threads.push(thread);
    }
    // Both end before their directories go: a server without its directory ends the process.
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TERM).expect("a signal");
    for thread in threads {
        thread.join().expect("no panic").expect("an orderly stop");
    }
}

//! A server of a test's own, and connections with it.

use crate::relay::Relay;
use crate::support::Scratch;
use crate::support::server::{Edge, Server, Target, install_zookeeper};
use corral_recipes::{Connection, RetryPolicy, ZooKeeper, zookeeper_client};
use std::time::{Duration, Instant};
use zookeeper_client::{Client, CreateMode};

/// How long a test waits for what has to happen.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A server.
pub struct World {
    pub server: Server,
    _scratch: Scratch,
}

impl World {
    pub fn start() -> World {
        let scratch = Scratch::new();
        let target = match std::env::var("CORRAL_TEST_TARGET").as_deref() {
            Ok("zookeeper") => Target::ZooKeeper,
            _ => Target::Corral(Edge::Small),
        };
        if target.is_zookeeper() {
            install_zookeeper();
        }
        let settings = ["tickTime=100", "minSessionTimeout=500", "maxSessionTimeout=60000", "maxClientCnxns=0"];
        World { server: Server::start(target, &scratch.path().join("server"), &settings), _scratch: scratch }
    }

    pub fn relay(&self) -> Relay {
        Relay::start(self.server.address)
    }

    /// A connection whose session outlasts a loaded machine.
    pub async fn connect(&self) -> Connection {
        connect(&self.server.address.to_string(), Duration::from_secs(30)).await
    }

    pub async fn through(&self, relay: &Relay) -> Connection {
        connect(&relay.address.to_string(), Duration::from_secs(30)).await
    }
}

pub async fn connect(servers: &str, timeout: Duration) -> Connection {
    let connector = Client::connector().with_session_timeout(timeout);
    let retry = RetryPolicy::exponential(Duration::from_millis(20)).until(PATIENCE);
    Connection::open(ZooKeeper::new(servers).connector(connector), retry).await.expect("a session")
}

/// Ends the connection's session as its timeout would: another client takes it up and closes it.
pub async fn end_session(connection: &Connection, world: &World) {
    let ended = connection.current();
    for _ in 0..10 {
        let twin = Client::connector().with_session(connection.current().into_session());
        // The connection wants its session back, and may be faster.
        match twin.connect(&world.server.address.to_string()).await {
            Ok(twin) => drop(twin),
            Err(error) => println!("the session is not taken up: {error}"),
        }
        let is_over = || async { ended.state().is_terminated() };
        if tokio::time::timeout(PATIENCE / 10, wait_until("it is over", is_over)).await.is_ok() {
            return;
        }
    }
    panic!("the session has not ended");
}

/// Asks until the answer is yes.
pub async fn wait_until<F: Future<Output = bool>>(what: &str, mut asked: impl FnMut() -> F) {
    let end = Instant::now() + PATIENCE;
    while !asked().await {
        assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What a future gives, within the time that a test has.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"))
}

/// Creates a znode as somebody else would.
pub async fn create(connection: &Connection, path: &str, mode: CreateMode) -> String {
    connection.create(path, b"", mode).await.unwrap().path
}

//! Distributed locks: processes take turns in a critical section of several steps, and write each step into a log. Whichever
//! of them is killed, stopped or cut off, at whatever step: no step is ever written by one whose turn is over.
//!
//! The log is written through a connection of its own, as to a store that knows nothing of the lock's session: a process that
//! wakes too late can still write there. What stops it is that each write names the znode of its turn, which is gone.
//!
//! ```text
//! /turn        the lock: who waits, and whose turn it is
//! /log/step-   what was done, in order: the token of the turn, the process, and the step
//! ```
//!
//! Start a server, and in several terminals:
//!
//! ```text
//! cargo run --example locks -- 127.0.0.1:2181 A
//! ```
//!
//! Stop one with Ctrl-Z in its turn, wait until another one has it, and let it go on with `fg`. `SESSION_MS` sets the session
//! timeout.

use corral_recipes::lock::{Guard, Mutex};
use corral_recipes::zookeeper_client::{Client, CreateMode, Error as ClientError};
use corral_recipes::{Connection, Error, Loss, Result, RetryPolicy, ZooKeeper};
use std::time::Duration;

const USAGE: &str = "Usage: locks SERVERS ID";

/// Steps of a turn.
const STEPS: usize = 3;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [servers, id] = &arguments[..] else {
        eprintln!("{USAGE}");
        std::process::exit(2);
    };
    if let Err(error) = run(servers, id).await {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

/// A connection whose sessions outlive their process for so long.
async fn connect(servers: &str, timeout_ms: u64) -> Result<Connection> {
    let connector = Client::connector().with_session_timeout(Duration::from_millis(timeout_ms));
    let retry = RetryPolicy::exponential(Duration::from_millis(20)).bounded(Duration::from_millis(500));
    Connection::open(ZooKeeper::new(servers).connector(connector), retry).await
}

async fn run(servers: &str, id: &str) -> Result<()> {
    let timeout_ms = std::env::var("SESSION_MS").ok().and_then(|text| text.parse().ok()).unwrap_or(10_000);
    let connection = connect(servers, timeout_ms).await?;
    let store = connect(servers, 60_000).await?;
    store.ensure_path("/log").await?;
    let mutex = Mutex::new(&connection, "/turn").data(id.as_bytes());
    loop {
        let guard = mutex.lock().await?;
        let token = guard.token();
        // `guard.run(turn(...))` would drop a turn when it may be over. It is left out here, so that nothing but the ensemble
        // keeps out one that is late.
        match turn(&guard, &store, id).await {
            Ok(()) => println!("{id}: turn {token} is over"),
            Err(error) => println!("{id}: turn {token} has ended early: {error}"),
        }
        // One that is lost already has nothing to release.
        match guard.release().await {
            Ok(_) | Err(Error::Lost(_)) => {}
            Err(error) => return Err(error),
        }
    }
}

/// The critical section: each step is written by a transaction that holds for this turn alone.
async fn turn(guard: &Guard, store: &Connection, id: &str) -> Result<()> {
    for step in 1..=STEPS {
        let line = format!("{} {id} {step}", guard.token().0);
        let write = store.transaction().check(guard.path(), None).create(
            "/log/step-",
            line.as_bytes(),
            CreateMode::PersistentSequential,
        );
        match write.commit().await {
            Ok(_) => {}
            Err(error) if error.at == Some(0) && error.source == ClientError::NoNode => {
                return Err(Error::Lost(Loss::Deleted));
            }
            // A step whose answer was lost may have been written: the turn ends here rather than writing it twice.
            Err(error) => return Err(Error::Client(error.source)),
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    Ok(())
}

//! Master and workers: clients leave tasks, the master gives them to workers, workers leave results. Any of them may die, be
//! stopped, or lose its connection at any step, and each task ends once.
//!
//! ```text
//! /master              the master's id; ephemeral
//! /workers/ID          a worker that lives; ephemeral
//! /tasks/TASK          a task that nobody has yet
//! /assign/ID/TASK      a task that the worker ID has
//! /status/TASK         a result
//! ```
//!
//! A task is at one of the last three places, and moves by a transaction: so it is never lost and never twice. Start a server,
//! and in terminals, in any order and as many as you like:
//!
//! ```text
//! cargo run --example master-workers -- 127.0.0.1:2181 master M1
//! cargo run --example master-workers -- 127.0.0.1:2181 worker W1
//! cargo run --example master-workers -- 127.0.0.1:2181 client 20
//! ```
//!
//! Then kill some of them, and look at what the others print. `SESSION_MS` sets the session timeout.

mod client;
mod master;
mod worker;

use corral_recipes::zookeeper_client::Client;
use corral_recipes::{Connection, Result, RetryPolicy, ZooKeeper};
use std::time::Duration;

const USAGE: &str = "Usage: master-workers SERVERS master ID | worker ID | client NUMBER_OF_TASKS";

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        [servers, "master", id] => play(servers, async |connection| master::run(&connection, id).await).await,
        [servers, "worker", id] => play(servers, async |connection| worker::run(&connection, id).await).await,
        [servers, "client", number] if number.parse::<u64>().is_ok() => {
            let number = number.parse().unwrap_or_default();
            play(servers, async |connection| client::run(&connection, number).await).await
        }
        _ => {
            eprintln!("{USAGE}");
            std::process::exit(2);
        }
    };
    if let Err(error) = outcome {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

async fn play(servers: &str, part: impl AsyncFnOnce(Connection) -> Result<()>) -> Result<()> {
    let timeout_ms = std::env::var("SESSION_MS").ok().and_then(|text| text.parse().ok()).unwrap_or(10_000);
    let connector = Client::connector().with_session_timeout(Duration::from_millis(timeout_ms));
    // Whoever is only cut off goes on trying.
    let retry = RetryPolicy::exponential(Duration::from_millis(50)).bounded(Duration::from_secs(1));
    part(Connection::open(ZooKeeper::new(servers).connector(connector), retry).await?).await
}

//! Active and standby: two or more processes, one of which writes. One that was stopped for longer than its session lives
//! finds, when it goes on, that the ensemble refuses what it writes, and becomes standby.
//!
//! ```text
//! /distributed_system/ActiveOrStandByLock   who is active; ephemeral
//! /distributed_system/ActiveBreadCrumb      the fence: its ACL admits the active one alone
//! /journal                                  what the active one writes: its id, and a number that grows
//! ```
//!
//! Start a server, and in two terminals:
//!
//! ```text
//! cargo run --example active-standby -- 127.0.0.1:2181 A
//! cargo run --example active-standby -- 127.0.0.1:2181 B
//! ```
//!
//! Stop the active one with Ctrl-Z, wait until the other one is active, and let it go on with `fg`. `SESSION_MS` sets the
//! session timeout.

use corral_recipes::leader::{Active, ActiveStandby};
use corral_recipes::zookeeper_client::{Client, CreateMode};
use corral_recipes::{Connection, Error, Result, RetryPolicy, ZooKeeper};
use std::time::Duration;

const USAGE: &str = "Usage: active-standby SERVERS ID";

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

async fn run(servers: &str, id: &str) -> Result<()> {
    let timeout_ms = std::env::var("SESSION_MS").ok().and_then(|text| text.parse().ok()).unwrap_or(10_000);
    let connector = Client::connector().with_session_timeout(Duration::from_millis(timeout_ms));
    let retry = RetryPolicy::exponential(Duration::from_millis(50)).bounded(Duration::from_secs(1));
    let connection = Connection::open(ZooKeeper::new(servers).connector(connector), retry).await?;
    connection.create_if_absent("/journal", b" 0", CreateMode::Persistent).await?;
    let candidate = ActiveStandby::new(&connection, "/distributed_system", id);
    loop {
        println!("{id}: standby");
        let active = candidate.activate().await?;
        println!("{id}: active");
        match write(&connection, &active, id).await {
            Err(Error::Lost(loss)) => println!("{id}: {loss}"),
            outcome => return outcome,
        }
    }
}

/// Writes numbers until it is not active any more. It looks neither at the clock nor at the connection: the ensemble decides.
async fn write(connection: &Connection, active: &Active, id: &str) -> Result<()> {
    let (journal, _) = connection.get("/journal").await?;
    let text = String::from_utf8_lossy(&journal).into_owned();
    let mut number: u64 = text.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or_default();
    loop {
        number += 1;
        let line = format!("{id} {number}");
        match active.commit(active.transaction().set("/journal", line.as_bytes(), None)).await {
            Ok(_) => println!("{id}: wrote {number}"),
            Err(Error::Lost(loss)) => return Err(Error::Lost(loss)),
            // It may have been written, or not: the same number once more is as good.
            Err(error) => {
                println!("{id}: once more, as {error}");
                number -= 1;
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

//! A client: leaves tasks, and waits for their results.

use corral_recipes::cache::{Cache, CacheEvent, Scope};
use corral_recipes::zookeeper_client::{CreateMode, Error as ClientError};
use corral_recipes::{Connection, Error, OperationResult, Result};
use std::collections::BTreeMap;
use std::time::Duration;

/// Leaves so many tasks, prints their results, and ends.
pub async fn run(connection: &Connection, number: u64) -> Result<()> {
    // Made by the first master.
    let mut changes = connection.subscribe_child_changes("/tasks");
    while changes.next().await?.is_none() {}
    drop(changes);
    let mut open = BTreeMap::new();
    for n in 0..number {
        open.insert(submit(connection, n).await?, n);
    }
    println!("client: {number} tasks submitted");
    let (_, mut events) = Cache::new(connection, "/status", Scope::Children);
    while !open.is_empty() {
        if let CacheEvent::Created(path, result) = events.next().await? {
            let task = path.trim_start_matches("/status/");
            if let Some(n) = open.remove(task) {
                println!("client: {n} squared is {}", String::from_utf8_lossy(&result.data));
            }
        }
    }
    println!("client: all done");
    Ok(())
}

/// Leaves one task, once, and returns its name. A mark that comes with it tells what has become of a transaction whose answer
/// was lost.
async fn submit(connection: &Connection, n: u64) -> Result<String> {
    loop {
        let mark = format!("/client-{}-{n}", std::process::id());
        let transaction = connection.transaction().create(&mark, b"", CreateMode::Persistent).create(
            "/tasks/task-",
            n.to_string().as_bytes(),
            CreateMode::PersistentSequential,
        );
        match transaction.commit().await {
            Ok(results) => {
                connection.delete_if_present(&mark).await?;
                match results.last() {
                    Some(OperationResult::Created(path)) => return Ok(path.trim_start_matches("/tasks/").to_owned()),
                    _ => return Err(Error::Client(ClientError::MarshallingError)),
                }
            }
            // Its name is lost, and its result will not be recognised: so a client that cannot say which task is its own
            // gives up rather than leaving the same work twice.
            Err(_) if connection.exists(&mark).await?.is_some() => {
                connection.delete_if_present(&mark).await?;
                return Err(Error::InDoubt);
            }
            Err(error) => {
                println!("client: once more, as {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

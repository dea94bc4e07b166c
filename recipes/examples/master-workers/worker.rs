//! A worker: carries out what is assigned to it, several tasks at a time.

use corral_recipes::group::Group;
use corral_recipes::zookeeper_client::{CreateMode, Error as ClientError};
use corral_recipes::{Connection, Error, Result};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::task::JoinSet;

/// Works until the process ends.
pub async fn run(connection: &Connection, id: &str) -> Result<()> {
    let place = format!("/assign/{id}");
    // First its place, then itself: the master gives nothing to whom it cannot give it.
    connection.ensure_path(&place).await?;
    let _alive = Group::new(connection, "/workers").join(id, b"").await?;
    println!("{id}: working");
    let mut assigned = connection.subscribe_child_changes(&place);
    let mut running = BTreeSet::new();
    let mut work = JoinSet::new();
    loop {
        tokio::select! {
            tasks = assigned.next() => {
                for task in tasks?.unwrap_or_default() {
                    // One that was taken back and comes again while it is still carried out is not carried out twice.
                    if running.insert(task.clone()) {
                        work.spawn(carry_out(connection.clone(), id.to_owned(), task));
                    }
                }
            }
            Some(done) = work.join_next() => {
                let task = done.expect("a task does not panic")?;
                running.remove(&task);
            }
        }
    }
}

/// Carries out a task: its number squared, which takes its time.
async fn carry_out(connection: Connection, id: String, task: String) -> Result<String> {
    let assignment = format!("/assign/{id}/{task}");
    let number: u64 = match connection.get(&assignment).await {
        Err(Error::Client(ClientError::NoNode)) => return Ok(task),
        read => String::from_utf8_lossy(&read?.0).parse().unwrap_or_default(),
    };
    tokio::time::sleep(Duration::from_millis(200 + number % 100)).await;
    let result = format!("{} by {id}", number * number);
    loop {
        // The result, and the end of the assignment: both, or neither if somebody else has the task by now.
        let transaction = connection.transaction().delete(&assignment, None).create(
            &format!("/status/{task}"),
            result.as_bytes(),
            CreateMode::Persistent,
        );
        match transaction.commit().await {
            Ok(_) => {
                println!("{id}: {task} is done");
                return Ok(task);
            }
            // Taken back, or it was this worker that has removed it, and the answer was lost.
            Err(error) if error.source == ClientError::NoNode => {
                println!("{id}: {task} is not mine any more");
                return Ok(task);
            }
            Err(error) => {
                println!("{id}: {task} once more, as {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

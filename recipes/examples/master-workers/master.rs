//! The master: gives tasks to workers, and takes those of dead workers back.

use corral_recipes::leader::Election;
use corral_recipes::lock::Guard;
use corral_recipes::zookeeper_client::Error as ClientError;
use corral_recipes::{Connection, Error, Result};
use std::collections::BTreeMap;

/// Is a candidate until the process ends, and the master now and then.
pub async fn run(connection: &Connection, id: &str) -> Result<()> {
    let election = Election::new(connection, "/master", id);
    loop {
        println!("{id}: candidate");
        let leadership = election.lead().await?;
        println!("{id}: master, token {}", leadership.token());
        for path in ["/workers", "/tasks", "/assign", "/status"] {
            connection.ensure_path(path).await?;
        }
        // Whoever was cut off for a moment only is still the master.
        while let Err(Error::Lost(loss)) = leadership.run(lead(connection, &leadership, id)).await {
            println!("{id}: {loss}");
            match leadership.check().await {
                Ok(()) => println!("{id}: still the master"),
                Err(Error::Lost(_)) => break,
                Err(error) => return Err(error),
            }
        }
    }
}

/// Looks at everything, and again whenever something changes. It never ends.
async fn lead(connection: &Connection, leadership: &Guard, id: &str) {
    let mut tasks = connection.subscribe_child_changes("/tasks");
    let mut workers = connection.subscribe_child_changes("/workers");
    loop {
        let changed = tokio::select! {
            changed = tasks.next() => changed.map(drop),
            changed = workers.next() => changed.map(drop),
        };
        let mut looked = match changed {
            Ok(()) => look(connection, leadership, id).await,
            Err(error) => Err(error),
        };
        // What has failed is looked at once more: with the state as it is then.
        while let Err(error) = looked {
            println!("{id}: once more, as {error}");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            looked = look(connection, leadership, id).await;
        }
    }
}

/// Takes back what the dead have, and gives away what nobody has. Nothing is remembered: a new master does the same.
async fn look(connection: &Connection, leadership: &Guard, id: &str) -> Result<()> {
    let workers = connection.children("/workers").await?;
    let mut loads = BTreeMap::new();
    for worker in connection.children("/assign").await? {
        let assigned = connection.children(&format!("/assign/{worker}")).await?;
        if workers.contains(&worker) {
            loads.insert(worker, assigned.len());
            continue;
        }
        for task in assigned {
            let from = format!("/assign/{worker}/{task}");
            if carry(connection, leadership, &from, &format!("/tasks/{task}"), None).await? {
                println!("{id}: {task} comes back from {worker}");
            }
        }
    }
    for task in connection.children("/tasks").await? {
        // The one that has the fewest. A worker makes its place in /assign before it is seen in /workers.
        let Some((worker, load)) = loads.iter_mut().min_by_key(|(_, load)| **load) else { break };
        let alive = format!("/workers/{worker}");
        let to = format!("/assign/{worker}/{task}");
        if carry(connection, leadership, &format!("/tasks/{task}"), &to, Some(&alive)).await? {
            println!("{id}: {task} to {worker}");
            *load += 1;
        }
    }
    Ok(())
}

/// Moves a task in one transaction, which happens only while this is the master and `alive` is there. False: somebody else has
/// moved it, or the worker has died meanwhile, which the next look sees.
async fn carry(connection: &Connection, leadership: &Guard, from: &str, to: &str, alive: Option<&str>) -> Result<bool> {
    let data = match connection.get(from).await {
        Err(Error::Client(ClientError::NoNode)) => return Ok(false),
        read => read?.0,
    };
    let mut transaction = leadership.transaction().delete(from, None);
    transaction = transaction.create(to, &data, corral_recipes::zookeeper_client::CreateMode::Persistent);
    if let Some(alive) = alive {
        transaction = transaction.check(alive, None);
    }
    match transaction.commit().await {
        Ok(_) => Ok(true),
        Err(error) if error.source == ClientError::NoNode => Ok(false),
        Err(error) => Err(Error::Client(error.source)),
    }
}

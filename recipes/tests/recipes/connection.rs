//! Sessions, states, lost answers, whole paths, transactions.

use crate::world::{World, connect, create, end_session, wait_until, within};
use corral_recipes::{
    Connection, ConnectionState, Error, OperationResult, RetryPolicy, Session, ZooKeeper, zookeeper_client,
};
use std::time::Duration;
use zookeeper_client::{Client, CreateMode, Error as ClientError};

#[tokio::test]
async fn whole_paths_and_subtrees() {
    let world = World::start();
    let connection = world.connect().await;
    connection.ensure_path("/a/b/c").await.unwrap();
    connection.ensure_path("/a/b/c").await.unwrap();
    assert!(!connection.create_if_absent("/a/b", b"other", CreateMode::Persistent).await.unwrap());
    assert_eq!(connection.get("/a/b").await.unwrap().0, b"");
    connection.put("/a/x/y", b"one").await.unwrap();
    connection.put("/a/x/y", b"two").await.unwrap();
    assert_eq!(connection.get("/a/x/y").await.unwrap().0, b"two");
    for n in 0..150 {
        create(&connection, &format!("/a/x/y/child-{n}"), CreateMode::Ephemeral).await;
    }
    assert_eq!(connection.children("/a").await.unwrap(), ["b", "x"]);
    connection.delete_recursive("/a").await.unwrap();
    assert_eq!(connection.exists("/a").await.unwrap(), None);
    connection.delete_recursive("/a").await.unwrap();
    assert!(!connection.delete_if_present("/a").await.unwrap());
    assert!(matches!(connection.delete_recursive("/").await, Err(Error::Misuse(_))));
}

/// Somebody adds to the subtree while it is deleted.
#[tokio::test]
async fn a_subtree_that_grows_is_deleted_all_the_same() {
    let world = World::start();
    let (connection, other) = (world.connect().await, world.connect().await);
    connection.ensure_path("/a/b").await.unwrap();
    let adder = tokio::spawn(async move {
        let mut added = 0;
        while other.create("/a/b/c-", b"", CreateMode::PersistentSequential).await.is_ok() && added < 200 {
            added += 1;
        }
    });
    wait_until("something was added", || async { connection.children("/a/b").await.unwrap().len() > 20 }).await;
    let outcome = connection.delete_recursive("/a").await;
    // Ten rounds may have been too few.
    assert!(matches!(outcome, Ok(()) | Err(Error::Client(ClientError::NotEmpty))), "{outcome:?}");
    adder.await.unwrap();
    connection.delete_recursive("/a").await.unwrap();
    assert_eq!(connection.exists("/a").await.unwrap(), None);
}

#[tokio::test]
async fn a_chroot_is_created_and_hides_the_rest() {
    let world = World::start();
    let ensemble = ZooKeeper::new(&world.server.address.to_string()).chroot("/deep/down");
    let inside = Connection::open(ensemble, RetryPolicy::never()).await.unwrap();
    inside.put("/a", b"here").await.unwrap();
    let outside = world.connect().await;
    assert_eq!(outside.get("/deep/down/a").await.unwrap().0, b"here");
    assert_eq!(inside.children("/").await.unwrap(), ["a"]);
}

#[tokio::test]
async fn a_transaction_is_whole() {
    let world = World::start();
    let connection = world.connect().await;
    connection.put("/state", b"old").await.unwrap();
    let failed = connection
        .transaction()
        .set("/state", b"new", None)
        .check("/state", Some(7))
        .delete("/state", None)
        .commit()
        .await
        .unwrap_err();
    assert_eq!((failed.at, failed.source), (Some(1), ClientError::BadVersion));
    assert_eq!(connection.get("/state").await.unwrap().0, b"old");
    let results = connection
        .transaction()
        .check("/state", None)
        .create("/log-", b"x", CreateMode::PersistentSequential)
        .set("/state", b"new", Some(0))
        .commit()
        .await
        .unwrap();
    assert_eq!(results[0], OperationResult::Checked);
    assert!(matches!(&results[1], OperationResult::Created(path) if path.starts_with("/log-0000")), "{results:?}");
    assert!(matches!(&results[2], OperationResult::Set(stat) if stat.version == 1), "{results:?}");
}

/// The answer to a create is lost with the connection: the znode is found, and there is one of it.
#[tokio::test]
async fn a_create_whose_answer_is_lost_is_carried_out_once() {
    let world = World::start();
    let relay = world.relay();
    let connection = world.through(&relay).await;
    connection.ensure_path("/jobs").await.unwrap();
    for (round, mode) in [CreateMode::EphemeralSequential, CreateMode::PersistentSequential].into_iter().enumerate() {
        relay.lose_next_answer();
        let created = connection.create_protected("/jobs/job-", b"work", mode).await.unwrap();
        assert_eq!(relay.lost_answers(), round + 1);
        let name = created.name();
        assert!(name.starts_with("_c_") && name.as_bytes()[39] == b'-' && name[40..].starts_with("job-"), "{name}");
        let children = connection.children("/jobs").await.unwrap();
        assert_eq!(children.len(), round + 1, "{children:?}");
        assert!(children.contains(&name.to_owned()));
        assert_eq!(connection.exists(&created.path).await.unwrap(), Some(created.stat));
    }
}

/// Without the GUID the same would be two znodes: what the test above rests on.
#[tokio::test]
async fn a_create_without_a_guid_is_carried_out_twice() {
    let world = World::start();
    let relay = world.relay();
    let connection = world.through(&relay).await;
    connection.ensure_path("/jobs").await.unwrap();
    relay.lose_next_answer();
    connection.create("/jobs/job-", b"work", CreateMode::PersistentSequential).await.unwrap();
    assert_eq!(connection.children("/jobs").await.unwrap().len(), 2);
}

/// Whoever drops the future of a create, or only loses its answer, leaves no ephemeral znode behind.
#[tokio::test]
async fn a_create_that_is_cancelled_leaves_nothing() {
    let world = World::start();
    let connection = world.connect().await;
    connection.ensure_path("/jobs").await.unwrap();
    for yields in 0..40 {
        let create = connection.create_protected("/jobs/job-", b"", CreateMode::EphemeralSequential);
        // Dropped after so many turns; the last ones have time to end.
        let cancel = async {
            for _ in 0..yields {
                tokio::time::sleep(Duration::from_micros(50)).await;
            }
        };
        tokio::select! {
            biased;
            created = create => assert!(connection.delete_if_present(&created.unwrap().path).await.unwrap()),
            () = cancel => {}
        }
    }
    wait_until("nothing is left", || async { connection.children("/jobs").await.unwrap().is_empty() }).await;
}

/// However the system says that the connection is broken, the request is repeated.
#[tokio::test]
async fn requests_outlast_their_connections() {
    let world = World::start();
    let relay = world.relay();
    let connection = world.through(&relay).await;
    connection.put("/a", b"data").await.unwrap();
    for round in 0..50 {
        let requests = (0..16).map(|_| {
            let connection = connection.clone();
            tokio::spawn(async move { connection.get("/a").await })
        });
        let requests: Vec<_> = requests.collect();
        tokio::time::sleep(Duration::from_micros(20 * (round % 10))).await;
        relay.cut();
        for request in requests {
            assert_eq!(request.await.unwrap().unwrap().0, b"data");
        }
    }
}

#[tokio::test]
async fn states_are_told_in_order_across_sessions() {
    let world = World::start();
    let relay = world.relay();
    let connection = connect(&relay.address.to_string(), Duration::from_secs(2)).await;
    let first = connection.current().id();
    let mut states = connection.states();
    assert_eq!(states.next().await, ConnectionState::Connected);
    relay.refuse(true);
    assert_eq!(within("suspended", states.next()).await, ConnectionState::Suspended);
    relay.refuse(false);
    assert_eq!(within("connected", states.next()).await, ConnectionState::Connected);
    assert_eq!(connection.session().await.unwrap().id(), first, "the session has lived on");
    end_session(&connection, &world).await;
    // The cut before the end may be seen, or not.
    let mut lost = within("lost", states.next()).await;
    if lost == ConnectionState::Suspended {
        lost = within("lost", states.next()).await;
    }
    assert_eq!(lost, ConnectionState::Lost);
    // A call opens the next session.
    connection.put("/a", b"").await.unwrap();
    assert_eq!(within("connected", states.next()).await, ConnectionState::Connected);
    assert_ne!(connection.current().id(), first);
}

/// Whoever asks while the next session is opened waits for the same one.
#[tokio::test]
async fn one_session_follows_for_all() {
    let world = World::start();
    let connection = world.connect().await;
    end_session(&connection, &world).await;
    let asked = (0..8).map(|_| {
        let connection = connection.clone();
        tokio::spawn(async move { connection.session().await.unwrap().id() })
    });
    let mut ids = vec![];
    for asked in asked.collect::<Vec<_>>() {
        ids.push(asked.await.unwrap());
    }
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

#[tokio::test]
async fn attempts_end_with_the_policy() {
    let world = World::start();
    let relay = world.relay();
    let address = relay.address.to_string();
    relay.refuse(true);
    let connector = Client::connector().with_fail_eagerly();
    let policy = RetryPolicy::exponential(Duration::from_millis(1)).times(3);
    let opened = Connection::open(ZooKeeper::new(&address).connector(connector), policy).await;
    match opened {
        Err(Error::GivenUp { what, attempts, last }) => {
            assert_eq!((what, attempts, last), ("open a session", 4, ClientError::NoHosts));
        }
        other => panic!("{other:?}"),
    }
}

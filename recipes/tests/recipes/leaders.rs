//! Leaders: one at a time, the next one when it goes, and a former one that cannot act.

use crate::world::{World, end_session, wait_until, within};
use corral_recipes::leader::{ActiveStandby, Election, LeaderLatch, LeaderSelector};
use corral_recipes::lock::Layout;
use corral_recipes::{Error, Loss, zookeeper_client};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use zookeeper_client::{CreateMode, Error as ClientError};

#[tokio::test]
async fn a_latch_leads_until_it_lets_go_or_dies() {
    let world = World::start();
    let connections = [world.connect().await, world.connect().await, world.connect().await];
    let latches: Vec<LeaderLatch> = connections
        .iter()
        .zip(["one", "two", "three"])
        .map(|(connection, id)| LeaderLatch::new(connection, "/app/latch", id))
        .collect();
    assert_eq!(latches[0].leader().await.unwrap(), None);
    let mut leading = vec![];
    for (number, latch) in latches.into_iter().enumerate() {
        leading.push(tokio::spawn(async move { latch.lead().await.unwrap() }));
        wait_until("it takes part", || async {
            connections[0].children("/app/latch").await.is_ok_and(|names| names.len() == number + 1)
        })
        .await;
    }
    let watcher = LeaderLatch::new(&connections[2], "/app/latch", "watcher");
    assert_eq!(watcher.participants().await.unwrap(), ["one", "two", "three"]);
    let names = connections[0].children("/app/latch").await.unwrap();
    assert!(names.iter().all(|name| name.starts_with("_c_") && name.contains("-latch-0")), "{names:?}");

    let first = within("the first", leading.remove(0)).await.unwrap();
    assert!(!leading[0].is_finished());
    let token = first.token();
    first.release().await.unwrap();
    let second = within("the second", leading.remove(0)).await.unwrap();
    assert!(second.token() > token);
    assert_eq!(watcher.leader().await.unwrap().as_deref(), Some("two"));
    end_session(&connections[1], &world).await;
    let _third = within("the third", leading.remove(0)).await.unwrap();
    assert_eq!(second.check().await, Err(Error::Lost(Loss::SessionEnded)));
    let limit = Duration::from_millis(40);
    assert_eq!(watcher.lead_within(limit).await.unwrap_err(), Error::TimedOut(limit));
}

/// Each comes again and again, one at a time, and in turn.
#[tokio::test]
async fn a_selector_queues_again() {
    let world = World::start();
    let inside = Arc::new(AtomicUsize::new(0));
    let (sender, mut turns) = tokio::sync::mpsc::unbounded_channel();
    let mut tasks = vec![];
    for id in ["one", "two", "three"] {
        let selector = LeaderSelector::new(&world.connect().await, "/selector", id);
        let (inside, sender) = (inside.clone(), sender.clone());
        tasks.push(tokio::spawn(async move {
            let mut times = 0;
            let work = |_| {
                times += 1;
                let (inside, sender, is_last) = (inside.clone(), sender.clone(), times == 8);
                async move {
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                    sender.send(id).unwrap();
                    tokio::time::sleep(Duration::from_millis(3)).await;
                    inside.fetch_sub(1, Ordering::SeqCst);
                    if is_last { ControlFlow::Break(id) } else { ControlFlow::Continue(()) }
                }
            };
            assert_eq!(selector.run(work).await.unwrap(), id);
        }));
    }
    drop(sender);
    let mut all = vec![];
    while let Some(id) = within("the next turn", turns.recv()).await {
        all.push(id);
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(all.len(), 24);
    // Whoever has led waits behind the others that are there.
    assert!(all[3..15].windows(3).all(|turns| turns[0] != turns[1] && turns[1] != turns[2]), "{all:?}");
}

#[tokio::test]
async fn a_selector_leads_on_after_a_short_cut_and_stops_after_a_loss() {
    let world = World::start();
    let relay = world.relay();
    let connection = world.through(&relay).await;
    let selector = LeaderSelector::new(&connection, "/selector", "id").layout(Layout::Kazoo);
    let mut tokens = vec![];
    let led = selector.run(|leadership| {
        tokens.push(leadership.token());
        let (relay, other, round) = (&relay, &world, tokens.len());
        async move {
            match round {
                1 => {
                    relay.refuse(true);
                    // The cut ends it here; from then on connections come through again.
                    let _end = scopeguard(|| relay.refuse(false));
                    std::future::pending::<()>().await;
                }
                2 => {
                    let other = other.connect().await;
                    other.delete_if_present(leadership.path()).await.unwrap();
                    std::future::pending::<()>().await;
                }
                _ => {}
            }
            ControlFlow::Break(round)
        }
    });
    assert_eq!(within("three rounds", led).await.unwrap(), 3);
    assert_eq!(tokens[0], tokens[1], "the same leadership after the cut");
    assert!(tokens[1] < tokens[2], "another one after the loss");
    let outcome = selector
        .run_once(|leadership| {
            let connection = connection.clone();
            async move {
                connection.delete_if_present(leadership.path()).await.unwrap();
                std::future::pending::<()>().await;
            }
        })
        .await;
    assert_eq!(outcome, Err(Error::Lost(Loss::Deleted)));
    assert_eq!(selector.run_once(|_| async { 5 }).await, Ok(5));
    assert_eq!(selector.participants().await.unwrap(), [""; 0]);
}

/// Calls the function when it is dropped.
fn scopeguard<F: Fn()>(function: F) -> impl Drop {
    struct Guard<F: Fn()>(F);
    impl<F: Fn()> Drop for Guard<F> {
        fn drop(&mut self) {
            (self.0)();
        }
    }
    Guard(function)
}

#[tokio::test]
async fn the_master_is_who_created_the_znode() {
    let world = World::start();
    let relay = world.relay();
    let (one, other, watcher) = (world.through(&relay).await, world.connect().await, world.connect().await);
    let candidate = Election::new(&one, "/master", "one");
    let election = Election::new(&watcher, "/master", "watcher");
    assert_eq!(election.leader().await.unwrap(), None);

    // The answer is lost: it looks whose the znode is, and leads.
    relay.lose_next_answer();
    let leadership = within("it leads", candidate.lead()).await.unwrap();
    assert_eq!(relay.lost_answers(), 1);
    assert_eq!(watcher.get("/master").await.unwrap().0, b"one");
    assert_eq!(election.changed(None).await.unwrap().as_deref(), Some("one"));

    let rival = Election::new(&other, "/master", "two");
    assert!(rival.stand().await.unwrap().is_none());
    let waiting = tokio::spawn(async move { rival.lead().await.unwrap() });
    let (changed, ()) = tokio::join!(election.changed(Some("one")), async {
        assert!(leadership.release().await.unwrap());
    });
    // The znode's end may be seen before the next one's beginning.
    let changed = match changed.unwrap() {
        None => within("the next one", election.changed(None)).await.unwrap(),
        id => id,
    };
    assert_eq!(changed.as_deref(), Some("two"));
    within("the rival leads", waiting).await.unwrap();
}

/// A process that comes again with the id of its former life does not take that one's znode for its own.
#[tokio::test]
async fn a_former_life_is_another_candidate() {
    let world = World::start();
    let relay = world.relay();
    let (former, now) = (world.connect().await, world.through(&relay).await);
    let leadership = Election::new(&former, "/master", "same id").lead().await.unwrap();
    relay.lose_next_answer();
    let candidate = Election::new(&now, "/master", "same id");
    assert!(candidate.stand().await.unwrap().is_none());
    leadership.check().await.unwrap();
    end_session(&former, &world).await;
    within("the former life is over", candidate.lead()).await.unwrap();
}

#[tokio::test]
async fn a_former_active_one_cannot_act() {
    let world = World::start();
    let (one, other) = (world.connect().await, world.connect().await);
    one.put("/state", b"").await.unwrap();
    let write = |active: &corral_recipes::leader::Active, data: &[u8]| {
        active.transaction().set("/state", data, None).create("/state/log-", data, CreateMode::PersistentSequential)
    };
    let first = ActiveStandby::new(&one, "/distributed_system", "first").activate().await.unwrap();
    assert_eq!(first.path(), "/distributed_system/ActiveOrStandByLock");
    assert_eq!(first.commit(write(&first, b"first")).await.unwrap().len(), 2);

    let standby = ActiveStandby::new(&other, "/distributed_system", "second");
    assert_eq!(standby.last_active().await.unwrap().as_deref(), Some("first"));
    let waiting = tokio::spawn(async move { standby.activate().await.unwrap() });
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert!(!waiting.is_finished());
    // The lock goes, and the former one does not notice: its session lives.
    assert!(other.delete_if_present(first.path()).await.unwrap());
    let second = within("the second is active", waiting).await.unwrap();
    assert!(second.token() > first.token());
    assert_eq!(first.commit(write(&first, b"late")).await, Err(Error::Lost(Loss::Fenced)));
    assert_eq!(other.get("/state").await.unwrap().0, b"first");
    assert_eq!(other.children("/state").await.unwrap().len(), 1);
    // Nor does it help to write past the transaction.
    let past = one.set("/distributed_system/ActiveBreadCrumb", b"late").await;
    assert_eq!(past, Err(Error::Client(ClientError::NoAuth)));
    second.commit(write(&second, b"second")).await.unwrap();
    assert_eq!(one.get("/state").await.unwrap().0, b"second");

    // A failure that is no fence is told as it is.
    let failed = second.commit(second.transaction().set("/nowhere", b"", None)).await;
    assert_eq!(failed, Err(Error::Client(ClientError::NoNode)));

    // It becomes active again with another identity.
    let again = ActiveStandby::new(&one, "/distributed_system", "first");
    end_session(&other, &world).await;
    let third = within("the first is active again", again.activate()).await.unwrap();
    assert_eq!(second.commit(write(&second, b"late")).await, Err(Error::Lost(Loss::Fenced)));
    assert_eq!(first.commit(write(&first, b"again")).await.map(drop), Ok(()), "the session has both identities");
    assert_eq!(again.last_active().await.unwrap().as_deref(), Some("first"));
    third.release().await.unwrap();
}

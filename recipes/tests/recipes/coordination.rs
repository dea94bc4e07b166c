//! Barriers, numbers, and the queue that waits for its members.

use crate::world::{World, end_session, wait_until, within};
use corral_recipes::barrier::{Barrier, DoubleBarrier};
use corral_recipes::counter::{AtomicValue, Counter, NumberFormat, Versioned};
use corral_recipes::queue::Assembly;
use corral_recipes::{Error, Loss, zookeeper_client};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use zookeeper_client::CreateMode;

#[tokio::test]
async fn a_barrier_holds_until_it_is_removed() {
    let world = World::start();
    let (one, other) = (world.connect().await, world.connect().await);
    let barrier = Barrier::new(&one, "/app/barrier");
    barrier.wait().await.unwrap();
    barrier.set().await.unwrap();
    barrier.set().await.unwrap();
    let limit = Duration::from_millis(40);
    assert_eq!(barrier.wait_within(limit).await, Err(Error::TimedOut(limit)));
    let waiting = tokio::spawn({
        let barrier = Barrier::new(&other, "/app/barrier");
        async move { barrier.wait().await.unwrap() }
    });
    // Whoever waits goes on waiting in the next session.
    tokio::time::sleep(limit).await;
    end_session(&other, &world).await;
    tokio::time::sleep(limit).await;
    assert!(!waiting.is_finished());
    assert!(barrier.remove().await.unwrap());
    within("the barrier is down", waiting).await.unwrap();
    assert!(!barrier.remove().await.unwrap());
}

/// Nobody begins a round before all have come, and nobody goes on before all have finished, round after round.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_double_barrier_keeps_rounds_apart() {
    const MEMBERS: usize = 5;
    const ROUNDS: usize = 12;
    let world = World::start();
    let connections = [world.connect().await, world.connect().await];
    let (come, finished) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut members = vec![];
    for member in 0..MEMBERS {
        let barrier = DoubleBarrier::new(&connections[member % 2], "/app/double", MEMBERS);
        let (come, finished) = (come.clone(), finished.clone());
        members.push(tokio::spawn(async move {
            for round in 0..ROUNDS {
                come.fetch_add(1, Ordering::SeqCst);
                let entered = barrier.enter().await.unwrap();
                assert_eq!(come.load(Ordering::SeqCst), (round + 1) * MEMBERS, "all have come, and none is ahead");
                tokio::time::sleep(Duration::from_millis(member as u64)).await;
                finished.fetch_add(1, Ordering::SeqCst);
                entered.leave().await.unwrap();
                let all = finished.load(Ordering::SeqCst);
                assert!(all >= (round + 1) * MEMBERS, "all have finished round {round}: {all}");
            }
        }));
    }
    for member in members {
        within("all rounds", member).await.unwrap();
    }
}

/// A round whose last member ended before it had tidied up has left its ready behind.
#[tokio::test]
async fn a_stale_ready_lets_nobody_in() {
    let world = World::start();
    let (one, other) = (world.connect().await, world.connect().await);
    one.ensure_path("/double/ready").await.unwrap();
    let first = tokio::spawn({
        let barrier = DoubleBarrier::new(&one, "/double", 2);
        async move { barrier.enter().await.unwrap() }
    });
    wait_until("it has come", || async { one.children("/double").await.unwrap().len() == 2 }).await;
    tokio::time::sleep(Duration::from_millis(40)).await;
    assert!(!first.is_finished());
    let second = within("both are in", DoubleBarrier::new(&other, "/double", 2).enter()).await.unwrap();
    let first = within("both are in", first).await.unwrap();
    let (one_left, other_left) = tokio::join!(first.leave(), within("both leave", second.leave()));
    one_left.unwrap();
    other_left.unwrap();
    assert_eq!(one.exists("/double/ready").await.unwrap(), None);
}

#[tokio::test]
async fn a_member_that_ends_is_out_of_the_barrier() {
    let world = World::start();
    let (one, other) = (world.connect().await, world.connect().await);
    let barrier = DoubleBarrier::new(&one, "/double", 2);
    let limit = Duration::from_millis(40);
    assert!(matches!(barrier.enter_within(limit).await, Err(Error::TimedOut(_))));
    wait_until("it is taken back", || async {
        other.children("/double").await.is_ok_and(|children| children.is_empty())
    })
    .await;
    let waiting = tokio::spawn(async move { barrier.enter().await.map(drop) });
    wait_until("it has come", || async { other.children("/double").await.is_ok_and(|children| children.len() == 1) })
        .await;
    end_session(&one, &world).await;
    assert_eq!(within("it is out", waiting).await.unwrap(), Err(Error::Lost(Loss::SessionEnded)));

    // The one that is in leaves although the other one is dead.
    let barriers = [&one, &other].map(|connection| DoubleBarrier::new(connection, "/double", 2));
    let (first, second) = tokio::join!(barriers[0].enter(), barriers[1].enter());
    end_session(&one, &world).await;
    within("it leaves", second.unwrap().leave()).await.unwrap();
    within("the dead one has left", first.unwrap().leave()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_change_of_a_number_is_lost() {
    let world = World::start();
    let connections = [world.connect().await, world.connect().await];
    for (format, path, data) in [
        (NumberFormat::Int, "/int", 400i32.to_be_bytes().to_vec()),
        (NumberFormat::Long, "/deep/long", 400i64.to_be_bytes().to_vec()),
        (NumberFormat::Text, "/text", b"400".to_vec()),
    ] {
        let mut tasks = vec![];
        for task in 0..8 {
            let counter = Counter::new(&connections[task % 2], path, format);
            tasks.push(tokio::spawn(async move {
                let mut seen = vec![];
                for _ in 0..50 {
                    seen.push(counter.add(1).await.unwrap());
                }
                seen
            }));
        }
        let mut seen = vec![];
        for task in tasks {
            seen.extend(within("all have counted", task).await.unwrap());
        }
        seen.sort_unstable();
        assert_eq!(seen, (1..=400).collect::<Vec<i64>>(), "each number was given once");
        assert_eq!(connections[0].get(path).await.unwrap().0, data);
    }
}

#[tokio::test]
async fn numbers_are_compared_watched_and_checked() {
    let world = World::start();
    let (one, other) = (world.connect().await, world.connect().await);
    let counter = Counter::new(&one, "/number", NumberFormat::Int);
    assert_eq!(counter.get().await.unwrap(), Versioned { value: 0, version: None });
    assert!(!counter.compare_and_set(3, 4).await.unwrap());
    assert!(counter.compare_and_set(0, 4).await.unwrap());
    assert!(!counter.compare_and_set(0, 5).await.unwrap());
    let mut version = None;
    for (change, after) in [(1, 5), (-7, -2)] {
        let seen = within("a change", counter.changed(version)).await.unwrap();
        version = seen.version;
        let watched = tokio::spawn({
            let counter = Counter::new(&other, "/number", NumberFormat::Int);
            async move { counter.changed(version).await.unwrap() }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(counter.add(change).await.unwrap(), after);
        assert_eq!(within("the change", watched).await.unwrap().value, after);
    }
    assert!(matches!(counter.add(i64::MAX).await, Err(Error::Misuse(_))));
    assert_eq!(counter.get().await.unwrap().value, -2);
    one.set("/number", b"many").await.unwrap();
    one.set("/number", b"too many").await.unwrap();
    assert!(matches!(counter.get().await, Err(Error::Foreign { .. })));
}

/// A change whose answer is lost is never carried out twice: it is told to have happened once, or to be in doubt.
#[tokio::test]
async fn a_lost_answer_does_not_count_twice() {
    let world = World::start();
    let relay = world.relay();
    let (connection, other) = (world.through(&relay).await, world.connect().await);
    let counter = Counter::new(&connection, "/number", NumberFormat::Long);
    counter.set(10).await.unwrap();

    let value = AtomicValue::new(&connection, "/number");
    let before = value.get().await.unwrap();
    relay.lose_next_answer();
    let outcome = value.set_if(&before, &11i64.to_be_bytes()).await;
    assert_eq!((outcome, relay.lost_answers()), (Err(Error::InDoubt), 1));
    assert_eq!(counter.get().await.unwrap().value, 11, "it had happened, and once");

    // Another one has written something else in its place: this one has not.
    let before = value.get().await.unwrap();
    assert!(AtomicValue::new(&other, "/number").set_if(&before, &20i64.to_be_bytes()).await.unwrap());
    relay.lose_next_answer();
    assert_eq!(value.set_if(&before, &12i64.to_be_bytes()).await, Ok(false));
    assert_eq!(relay.lost_answers(), 2);
    assert_eq!(counter.get().await.unwrap().value, 20);
}

#[tokio::test]
async fn an_assembly_begins_when_all_are_there() {
    let world = World::start();
    let connections = [world.connect().await, world.connect().await, world.connect().await];
    let join = |at: usize, data: &'static str| {
        let assembly = Assembly::new(&connections[at], "/queue", 3);
        tokio::spawn(async move { assembly.join(data.as_bytes()).await })
    };
    let there = |number: usize| {
        let connection = &connections[2];
        async move {
            wait_until("they are there", || async {
                connection.children("/queue").await.is_ok_and(|children| children.len() == number + 1)
            })
            .await;
        }
    };
    let goods = join(0, "goods");
    there(1).await;
    let dead = join(1, "payment");
    there(2).await;
    assert_eq!(connections[2].get("/queue/num").await.unwrap().0, b"3");
    end_session(&connections[1], &world).await;
    assert!(matches!(within("it is out", dead).await.unwrap(), Err(Error::Lost(Loss::SessionEnded))));
    there(1).await;
    let money = join(1, "payment again");
    there(2).await;
    assert!(!goods.is_finished());
    let last = within("all are there", Assembly::new(&connections[2], "/queue", 3).join(b"address")).await.unwrap();
    let goods = within("all are there", goods).await.unwrap().unwrap();
    let money = within("all are there", money).await.unwrap().unwrap();
    assert_eq!(last.others, [&b"goods"[..], b"payment again", b"address"]);
    assert!(![&last, &goods, &money].iter().any(|member| member.is_late));
    let late = within("late", Assembly::new(&connections[0], "/queue", 3).join(b"late")).await.unwrap();
    assert!(late.is_late);
    let other_number = Assembly::new(&connections[0], "/queue", 4).join(b"").await;
    assert!(matches!(other_number, Err(Error::Foreign { .. })));
    assert_eq!(connections[0].get("/queue/num").await.unwrap().0, b"3");
    drop((last, goods, money, late));
    there(1).await;
    Assembly::new(&connections[0], "/queue", 3).reset().await.unwrap();
    assert_eq!(connections[0].children("/queue").await.unwrap(), ["num"]);
    connections[0].create("/queue/other", b"", CreateMode::Persistent).await.unwrap();
    let assembly = Assembly::new(&connections[0], "/queue", 3);
    assert!(
        tokio::time::timeout(Duration::from_millis(40), assembly.join(b"alone")).await.is_err(),
        "others do not count"
    );
}

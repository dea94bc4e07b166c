//! Queues: the order, and that nothing is lost or done twice.

use crate::world::{World, end_session, wait_until, within};
use corral_recipes::queue::{Queue, QueueLayout};
use corral_recipes::{Error, Loss};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

const LAYOUTS: [QueueLayout; 3] = [QueueLayout::Curator, QueueLayout::Simple, QueueLayout::Kazoo];

fn texts(items: Vec<Vec<u8>>) -> Vec<String> {
    items.into_iter().map(|item| String::from_utf8(item).unwrap()).collect()
}

#[tokio::test]
async fn first_in_first_out() {
    let world = World::start();
    let connection = world.connect().await;
    for layout in LAYOUTS {
        let queue = Queue::new(&connection, &format!("/queues/{layout:?}"), layout);
        assert_eq!(queue.try_take_next().await.unwrap(), None);
        for number in 0..20 {
            queue.put(number.to_string().as_bytes()).await.unwrap();
        }
        assert_eq!(queue.len().await.unwrap(), 20);
        for number in 0..10 {
            assert_eq!(texts(queue.take().await.unwrap()), [number.to_string()]);
        }
        for number in 10..20 {
            let delivery = queue.receive().await.unwrap();
            assert_eq!(texts(delivery.items().to_vec()), [number.to_string()]);
            delivery.acknowledge().await.unwrap();
        }
        assert!(queue.is_empty().await.unwrap());
        let (taken, put) = tokio::join!(within("the next", queue.take()), async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            queue.put(b"late").await
        });
        put.unwrap();
        assert_eq!(texts(taken.unwrap()), ["late"]);
    }
}

#[tokio::test]
async fn priorities_and_delays() {
    let world = World::start();
    let connection = world.connect().await;
    for layout in [QueueLayout::Curator, QueueLayout::Kazoo] {
        let queue = Queue::new(&connection, &format!("/queues/{layout:?}"), layout);
        for (item, priority) in [("c", 7), ("a", 0), ("d", 900), ("b", 5), ("bb", 5)] {
            queue.put_with_priority(item.as_bytes(), priority).await.unwrap();
        }
        for item in ["a", "b", "bb", "c", "d"] {
            assert_eq!(texts(queue.take().await.unwrap()), [item]);
        }
    }
    let queue = Queue::new(&connection, "/queues/negative", QueueLayout::Curator);
    queue.put_with_priority(b"second", 0).await.unwrap();
    queue.put_with_priority(b"first", -3).await.unwrap();
    assert_eq!(texts(queue.take().await.unwrap()), ["first"]);
    assert_eq!(texts(queue.take().await.unwrap()), ["second"]);
    queue.put_together(&[b"one", b"two"]).await.unwrap();
    assert_eq!(texts(queue.take().await.unwrap()), ["one", "two"]);

    let queue = Queue::new(&connection, "/queues/delay", QueueLayout::Curator);
    let now = SystemTime::now();
    let begun = Instant::now();
    queue.put_for(b"second", now + Duration::from_millis(400)).await.unwrap();
    queue.put_for(b"first", now + Duration::from_millis(200)).await.unwrap();
    assert_eq!(queue.try_take_next().await.unwrap(), None);
    assert_eq!(texts(within("the first", queue.take()).await.unwrap()), ["first"]);
    // The time of an item is written in whole milliseconds.
    assert!(begun.elapsed() >= Duration::from_millis(198));
    assert_eq!(texts(within("the second", queue.receive()).await.unwrap().items().to_vec()), ["second"]);
    assert!(begun.elapsed() >= Duration::from_millis(398));
    let simple = Queue::new(&connection, "/queues/simple", QueueLayout::Simple);
    assert!(matches!(simple.put_for(b"", now).await, Err(Error::Misuse(_))));
    assert!(matches!(simple.put_with_priority(b"", 1).await, Err(Error::Misuse(_))));
}

/// Consumers that come and go, some of which never acknowledge: each item is acknowledged once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_item_is_acknowledged_once() {
    const ITEMS: usize = 120;
    let world = World::start();
    let producer = world.connect().await;
    for layout in [QueueLayout::Curator, QueueLayout::Kazoo] {
        let path = format!("/{layout:?}");
        let done: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
        let mut consumers = vec![];
        for consumer in 0..4usize {
            let queue = Queue::new(&world.connect().await, &path, layout);
            let done = done.clone();
            consumers.push(tokio::spawn(async move {
                let mut rounds = 0;
                while done.lock().unwrap().len() < ITEMS {
                    rounds += 1;
                    let delivery = match queue.receive_within(Duration::from_millis(100)).await {
                        Err(Error::TimedOut(_)) => continue,
                        received => received.unwrap(),
                    };
                    let item = texts(delivery.items().to_vec()).remove(0);
                    match (rounds + consumer) % 5 {
                        0 => drop(delivery),
                        1 => delivery.give_back().await.unwrap(),
                        _ => {
                            delivery.acknowledge().await.unwrap();
                            *done.lock().unwrap().entry(item).or_default() += 1;
                        }
                    }
                }
            }));
        }
        let queue = Queue::new(&producer, &path, layout);
        for number in 0..ITEMS {
            queue.put(format!("item {number}").as_bytes()).await.unwrap();
        }
        for consumer in consumers {
            within("all is done", consumer).await.unwrap();
        }
        assert!(queue.is_empty().await.unwrap());
        let done = done.lock().unwrap();
        assert!(done.len() == ITEMS && done.values().all(|times| *times == 1), "{done:?}");
    }
}

#[tokio::test]
async fn the_items_of_the_dead_come_back() {
    let world = World::start();
    let (one, other) = (world.connect().await, world.connect().await);
    let queue = Queue::new(&one, "/queue", QueueLayout::Curator);
    queue.put(b"work").await.unwrap();
    let delivery = queue.receive().await.unwrap();
    let rival = Queue::new(&other, "/queue", QueueLayout::Curator);
    let limit = Duration::from_millis(40);
    assert!(matches!(rival.receive_within(limit).await, Err(Error::TimedOut(_))));
    assert_eq!(rival.len().await.unwrap(), 1);
    let waiting = tokio::spawn(async move { rival.receive().await.unwrap() });
    tokio::time::sleep(limit).await;
    end_session(&one, &world).await;
    let again = within("the dead one's item", waiting).await.unwrap();
    assert_eq!(again.items(), [b"work"]);
    assert_eq!(delivery.run(std::future::pending::<()>()).await, Err(Error::Lost(Loss::SessionEnded)));
    assert_eq!(delivery.acknowledge().await, Err(Error::Lost(Loss::SessionEnded)));
    assert_eq!(queue.len().await.unwrap(), 1, "the late acknowledgement has done nothing");
    again.acknowledge().await.unwrap();
    assert!(queue.is_empty().await.unwrap());
}

#[tokio::test]
async fn lost_answers_of_a_queue() {
    let world = World::start();
    let relay = world.relay();
    let (connection, other) = (world.through(&relay).await, world.connect().await);
    let queue = Queue::new(&connection, "/queue", QueueLayout::Simple);
    let seen = Queue::new(&other, "/queue", QueueLayout::Simple);
    connection.ensure_path("/queue").await.unwrap();
    let lose = |number: usize| {
        assert_eq!(relay.lost_answers(), number);
        relay.lose_next_answer();
    };
    lose(0);
    queue.put_once(b"once").await.unwrap();
    assert_eq!(seen.len().await.unwrap(), 1);
    wait_until("the mark is gone", || async { other.children("/").await.unwrap().len() == 2 }).await;
    lose(1);
    let delivery = within("received", queue.receive()).await.unwrap();
    lose(2);
    delivery.acknowledge().await.unwrap();
    assert_eq!(relay.lost_answers(), 3);
    assert!(seen.is_empty().await.unwrap());
    // A plain put is carried out twice.
    lose(3);
    queue.put(b"twice").await.unwrap();
    assert_eq!(seen.len().await.unwrap(), 2);
    assert_eq!(queue.take().await.unwrap(), queue.take().await.unwrap());
    assert_eq!(other.children("/queue-locks").await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn foreign_items_are_told_apart() {
    let world = World::start();
    let connection = world.connect().await;
    connection.put("/queue/queue-0000000000", b"no item").await.unwrap();
    connection.put("/queue/note", b"").await.unwrap();
    let queue = Queue::new(&connection, "/queue", QueueLayout::Curator);
    assert!(matches!(queue.take().await, Err(Error::Foreign { .. })));
    assert!(matches!(queue.receive().await, Err(Error::Foreign { .. })));
    assert!(connection.delete_if_present("/queue/queue-0000000000").await.unwrap());
    assert_eq!(queue.try_take_next().await.unwrap(), None);
}

//! Locks, queues and the rest of this crate and of kazoo at the same paths: each takes the other one's into account. On Corral,
//! or on ZooKeeper with `CORRAL_TEST_TARGET=zookeeper`.
//!
//! Needs kazoo, which `tests/clients/kazoo/install` installs; `tools/check recipes` does that and runs these tests.

#[path = "../../../tests/support/mod.rs"]
mod support;

#[path = "../recipes/relay.rs"]
#[allow(dead_code)]
mod relay;
#[path = "../recipes/world.rs"]
#[allow(dead_code)]
mod world;

use corral_recipes::Connection;
use corral_recipes::barrier::{Barrier, DoubleBarrier};
use corral_recipes::counter::{Counter, NumberFormat};
use corral_recipes::leader::LeaderSelector;
use corral_recipes::lock::{Layout, Mutex, ReadWriteLock, Semaphore};
use corral_recipes::queue::{Queue, QueueLayout};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::Mutex as Shared;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;
use world::{World, wait_until, within};

/// How long a test waits for what must not happen.
const SOON: Duration = Duration::from_millis(150);

/// Kazoo, in a process of its own.
struct Kazoo {
    child: Child,
    stdin: Shared<ChildStdin>,
    number: AtomicUsize,
    waiting: Arc<Shared<HashMap<String, oneshot::Sender<String>>>>,
}

impl Kazoo {
    fn start(world: &World) -> Kazoo {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let python = root.join("target/check/clients/kazoo/venv/bin/python");
        assert!(python.exists(), "kazoo is missing: tests/clients/kazoo/install");
        let mut child = Command::new(python)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interplay/peer.py"))
            .arg(world.server.address.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = Shared::new(child.stdin.take().unwrap());
        let answers = BufReader::new(child.stdout.take().unwrap());
        let waiting: Arc<Shared<HashMap<String, oneshot::Sender<String>>>> = Arc::default();
        let waiters = waiting.clone();
        std::thread::spawn(move || {
            for line in answers.lines().map_while(Result::ok) {
                let (number, result) = line.split_once(' ').unwrap();
                let waiter = waiters.lock().unwrap().remove(number).unwrap();
                // Whoever asked may have given up.
                let _ = waiter.send(result.to_owned());
            }
        });
        Kazoo { child, stdin, number: AtomicUsize::new(0), waiting }
    }

    /// Begins something; the answer comes when it is done.
    fn begin(&self, line: &str) -> oneshot::Receiver<String> {
        let number = self.number.fetch_add(1, Ordering::SeqCst).to_string();
        let (sender, receiver) = oneshot::channel();
        self.waiting.lock().unwrap().insert(number.clone(), sender);
        writeln!(self.stdin.lock().unwrap(), "{number} {line}").unwrap();
        receiver
    }

    async fn ask(&self, line: &str) -> String {
        within(line, self.begin(line)).await.unwrap()
    }
}

impl Drop for Kazoo {
    fn drop(&mut self) {
        // It has nothing to say any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether nothing comes of it for a while.
async fn waits<T>(receiver: &mut oneshot::Receiver<T>) -> bool {
    tokio::time::timeout(SOON, receiver).await.is_err()
}

/// Reads a number and writes the next one, without a version.
async fn increase(connection: &Connection) {
    let number: u64 = String::from_utf8(connection.get("/number").await.unwrap().0).unwrap().parse().unwrap();
    // Long enough for somebody who is not excluded.
    tokio::time::sleep(Duration::from_millis(3)).await;
    connection.set("/number", (number + 1).to_string().as_bytes()).await.unwrap();
}

#[tokio::test]
#[ignore = "needs kazoo"]
async fn locks_exclude_each_other() {
    let world = World::start();
    let connection = world.connect().await;
    let kazoo = Kazoo::start(&world);
    for (layout, kind) in [(Layout::Curator, "lock-curator"), (Layout::Kazoo, "lock")] {
        connection.put("/number", b"0").await.unwrap();
        let lock = format!("/lock-{kind}");
        let theirs = kazoo.begin(&format!("increase {kind} {lock} /number 60"));
        let mutex = Mutex::new(&connection, &lock).layout(layout);
        for _ in 0..60 {
            let guard = mutex.lock().await.unwrap();
            increase(&connection).await;
            guard.release().await.unwrap();
        }
        assert_eq!(within("kazoo", theirs).await.unwrap(), "increased");
        assert_eq!(connection.get("/number").await.unwrap().0, b"120", "{layout:?}");

        let held = mutex.data(b"ours").lock().await.unwrap();
        let mut theirs = kazoo.begin(&format!("acquire {kind} {kind} {lock}"));
        assert!(waits(&mut theirs).await);
        let contenders = Mutex::new(&connection, &lock).contenders().await.unwrap();
        assert_eq!(contenders.len(), 2);
        held.release().await.unwrap();
        assert_eq!(within("kazoo", theirs).await.unwrap(), "held");
        assert!(Mutex::new(&connection, &lock).layout(layout).try_lock().await.unwrap().is_none());
        assert_eq!(kazoo.ask(&format!("release {kind}")).await, "released");
        assert!(Mutex::new(&connection, &lock).try_lock().await.unwrap().is_some());
    }
}

#[tokio::test]
#[ignore = "needs kazoo"]
async fn readers_and_writers() {
    let world = World::start();
    let connection = world.connect().await;
    let kazoo = Kazoo::start(&world);
    let lock = ReadWriteLock::new(&connection, "/rw").layout(Layout::Kazoo);
    assert_eq!(kazoo.ask("acquire a read /rw").await, "held");
    let ours = lock.read().await.unwrap();
    assert!(tokio::time::timeout(SOON, lock.write()).await.is_err(), "kazoo reads");
    wait_until("ours has left the line", || async { connection.children("/rw").await.unwrap().len() == 2 }).await;
    let mut theirs = kazoo.begin("acquire b write /rw");
    assert!(waits(&mut theirs).await, "both read");
    ours.release().await.unwrap();
    assert!(waits(&mut theirs).await, "kazoo reads");
    assert_eq!(kazoo.ask("release a").await, "released");
    assert_eq!(within("kazoo", theirs).await.unwrap(), "held");
    assert!(tokio::time::timeout(SOON, lock.read()).await.is_err(), "kazoo writes");
    assert_eq!(kazoo.ask("release b").await, "released");
    let ours = within("ours", lock.write()).await.unwrap();
    let mut theirs = kazoo.begin("acquire c read /rw");
    assert!(waits(&mut theirs).await, "ours writes");
    ours.downgrade().await.unwrap();
    assert_eq!(within("kazoo", theirs).await.unwrap(), "held");
}

#[tokio::test]
#[ignore = "needs kazoo"]
async fn leases_are_shared() {
    let world = World::start();
    let connection = world.connect().await;
    let kazoo = Kazoo::start(&world);
    let semaphore = Semaphore::new(&connection, "/semaphore", 2).layout(Layout::Kazoo);
    assert_eq!(kazoo.ask("acquire a semaphore /semaphore").await, "held");
    let ours = semaphore.acquire().await.unwrap();
    assert!(semaphore.acquire_within(SOON).await.is_err());
    let mut theirs = kazoo.begin("acquire b semaphore /semaphore");
    assert!(waits(&mut theirs).await);
    ours.release().await.unwrap();
    assert_eq!(within("kazoo", theirs).await.unwrap(), "held");
    assert!(semaphore.acquire_within(SOON).await.is_err());
    assert_eq!(kazoo.ask("release a").await, "released");
    within("ours", semaphore.acquire()).await.unwrap();
    assert!(Semaphore::new(&connection, "/semaphore", 3).layout(Layout::Kazoo).acquire().await.is_err());
}

#[tokio::test]
#[ignore = "needs kazoo"]
async fn leaders_follow_each_other() {
    let world = World::start();
    let connection = world.connect().await;
    let kazoo = Kazoo::start(&world);
    connection.put("/election-leaders", b"0").await.unwrap();
    let theirs = kazoo.begin("elect /election 30");
    let selector = LeaderSelector::new(&connection, "/election", "ours").layout(Layout::Kazoo);
    for _ in 0..30 {
        let led = selector.run_once(|_| async {
            // What kazoo must never see, as it does not lead now.
            connection.set("/election-leaders", b"1").await.unwrap();
            connection.set("/election-leaders", b"0").await.unwrap();
        });
        led.await.unwrap();
    }
    assert_eq!(within("kazoo", theirs).await.unwrap(), "0");
}

#[tokio::test]
#[ignore = "needs kazoo"]
async fn barriers_hold_both() {
    let world = World::start();
    let connections = [world.connect().await, world.connect().await];
    let kazoo = Kazoo::start(&world);
    let barrier = Barrier::new(&connections[0], "/barrier");
    barrier.set().await.unwrap();
    let mut theirs = kazoo.begin("barrier /barrier");
    assert!(waits(&mut theirs).await);
    barrier.remove().await.unwrap();
    assert_eq!(within("kazoo", theirs).await.unwrap(), "down");
    barrier.set().await.unwrap();
    assert!(barrier.wait_within(SOON).await.is_err());
    assert_eq!(kazoo.ask("lower /barrier").await, "True");
    within("ours", barrier.wait()).await.unwrap();

    for last in ["ours", "kazoo"] {
        let path = format!("/double-{last}");
        let ours = connections.each_ref().map(|connection| DoubleBarrier::new(connection, &path, 3));
        let [first, second] = ours;
        let first = tokio::spawn(async move { first.enter().await.unwrap() });
        let (second, theirs) = match last {
            "ours" => {
                let mut theirs = kazoo.begin(&format!("enter {path} 3"));
                assert!(waits(&mut theirs).await && !first.is_finished());
                (within("ours", second.enter()).await.unwrap(), theirs)
            }
            _ => {
                let second = tokio::spawn(async move { second.enter().await.unwrap() });
                tokio::time::sleep(SOON).await;
                assert!(!first.is_finished() && !second.is_finished());
                let theirs = kazoo.begin(&format!("enter {path} 3"));
                (within("ours", second).await.unwrap(), theirs)
            }
        };
        assert_eq!(within("kazoo", theirs).await.unwrap(), "in");
        let first = within("ours", first).await.unwrap();
        let leaving = tokio::spawn(async move { first.leave().await.unwrap() });
        let mut theirs = kazoo.begin(&format!("leave {path}"));
        assert!(waits(&mut theirs).await && !leaving.is_finished(), "one is still in");
        within("ours", second.leave()).await.unwrap();
        within("ours", leaving).await.unwrap();
        assert_eq!(within("kazoo", theirs).await.unwrap(), "left");
    }
}

#[tokio::test]
#[ignore = "needs kazoo"]
async fn numbers_are_counted_by_both() {
    let world = World::start();
    let connection = world.connect().await;
    let kazoo = Kazoo::start(&world);
    for (format, kind) in [(NumberFormat::Text, "text"), (NumberFormat::Int, "int")] {
        let path = format!("/counter-{kind}");
        let theirs = kazoo.begin(&format!("count {path} {kind} 80"));
        let counter = Counter::new(&connection, &path, format);
        for _ in 0..80 {
            counter.add(1).await.unwrap();
        }
        assert_eq!(within("kazoo", theirs).await.unwrap(), "counted");
        assert_eq!(counter.get().await.unwrap().value, 160);
    }
}

#[tokio::test]
#[ignore = "needs kazoo"]
async fn queues_have_the_same_items() {
    let world = World::start();
    let connection = world.connect().await;
    let kazoo = Kazoo::start(&world);
    let queue = Queue::new(&connection, "/queue", QueueLayout::Kazoo);
    assert_eq!(kazoo.ask("put /queue a b c d").await, "put");
    for item in ["a", "b"] {
        let delivery = within("an item", queue.receive()).await.unwrap();
        assert_eq!(delivery.items(), [item.as_bytes()]);
        delivery.acknowledge().await.unwrap();
    }
    // What ours has locked kazoo does not get.
    let locked = queue.receive().await.unwrap();
    queue.put(b"e").await.unwrap();
    queue.put_with_priority(b"first", 1).await.unwrap();
    assert_eq!(kazoo.ask("get /queue 2").await, "first,d");
    assert_eq!(locked.items(), [b"c"]);
    drop(locked);
    wait_until("it is unlocked", || async { connection.children("/queue/taken").await.unwrap().is_empty() }).await;
    assert_eq!(kazoo.ask("get /queue 2").await, "c,e");
    assert!(queue.is_empty().await.unwrap());
}

//! Locks: who holds them, in which order, and who learns that a lock is lost.

use crate::world::{World, create, end_session, wait_until, within};
use corral_recipes::lock::{Fence, Guard, Layout, MultiLock, Mutex, ReadWriteLock, Semaphore, SimpleLock};
use corral_recipes::{Connection, Error, Loss, Session, zookeeper_client};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;
use zookeeper_client::{CreateMode, Error as ClientError};

/// The children of a path, once there are so many of them.
async fn children(connection: &Connection, path: &str, number: usize) -> Vec<String> {
    wait_until("so many are in line", || async {
        connection.children(path).await.is_ok_and(|children| children.len() == number)
    })
    .await;
    connection.children(path).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_at_a_time_and_each_token_is_greater() {
    const TASKS: usize = 8;
    const ROUNDS: usize = 25;
    let world = World::start();
    let inside = Arc::new(AtomicUsize::new(0));
    let last = Arc::new(AtomicI64::new(0));
    let fence = Arc::new(Fence::new());
    let connections = [world.connect().await, world.connect().await, world.connect().await];
    let mut tasks = vec![];
    for task in 0..TASKS {
        let layout = [Layout::Curator, Layout::Kazoo][task % 2];
        let mutex = Mutex::new(&connections[task % 3], "/locks/one").layout(layout);
        let (inside, last, fence) = (inside.clone(), last.clone(), fence.clone());
        tasks.push(tokio::spawn(async move {
            for _ in 0..ROUNDS {
                let guard = mutex.lock().await.unwrap();
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "nobody else is inside");
                let before = last.swap(guard.token().0, Ordering::SeqCst);
                assert!(before < guard.token().0, "{before} {}", guard.token());
                assert!(fence.admits(guard.token()));
                guard.run(tokio::task::yield_now()).await.unwrap();
                inside.fetch_sub(1, Ordering::SeqCst);
                assert!(guard.release().await.unwrap());
            }
        }));
    }
    for task in tasks {
        within("all rounds", task).await.unwrap();
    }
    assert_eq!(connections[0].children("/locks/one").await.unwrap(), [""; 0], "nothing is left");
}

#[tokio::test]
async fn first_come_first_served() {
    let world = World::start();
    let (one, other) = (world.connect().await, world.connect().await);
    let held = Mutex::new(&one, "/lock").data(b"0").lock().await.unwrap();
    let (sender, mut served) = tokio::sync::mpsc::unbounded_channel();
    for number in 1..=6usize {
        let mutex = Mutex::new([&one, &other][number % 2], "/lock").data(number.to_string().as_bytes());
        let sender = sender.clone();
        tokio::spawn(async move {
            let guard = mutex.lock().await.unwrap();
            sender.send(number).unwrap();
            guard.release().await.unwrap();
        });
        children(&one, "/lock", number + 1).await;
    }
    let mutex = Mutex::new(&other, "/lock");
    assert_eq!(mutex.contenders().await.unwrap(), [b"0", b"1", b"2", b"3", b"4", b"5", b"6"]);
    assert!(mutex.try_lock().await.unwrap().is_none());
    assert_eq!(children(&one, "/lock", 7).await.len(), 7, "who has tried in vain has left the line");
    held.release().await.unwrap();
    for number in 1..=6 {
        assert_eq!(within("the next one", served.recv()).await, Some(number));
    }
    children(&one, "/lock", 0).await;
    assert!(mutex.try_lock().await.unwrap().is_some());
}

/// Znodes as Curator and kazoo name them are in the way, and ours have such names.
#[tokio::test]
async fn the_names_are_those_of_curator_and_kazoo() {
    let world = World::start();
    let connection = world.connect().await;
    connection.ensure_path("/lock").await.unwrap();
    for (layout, marker, foreign) in [
        (Layout::Curator, "-lock-", "0123456789abcdef0123456789abcdef__lock__"),
        (Layout::Kazoo, "__lock__", "_c_01234567-89ab-cdef-0123-456789abcdef-lock-"),
        (Layout::Curator, "-lock-", "_c_01234567-89ab-cdef-0123-456789abcdef-lock-"),
        (Layout::Kazoo, "__lock__", "0123456789abcdef0123456789abcdef__lock__"),
    ] {
        let theirs = create(&connection, &format!("/lock/{foreign}"), CreateMode::EphemeralSequential).await;
        let mutex = Mutex::new(&connection, "/lock").layout(layout);
        let refused = mutex.lock_within(Duration::from_millis(50)).await.unwrap_err();
        assert_eq!(refused, Error::TimedOut(Duration::from_millis(50)));
        assert!(connection.delete_if_present(&theirs).await.unwrap());
        let guard = within("theirs is gone", mutex.lock()).await.unwrap();
        let name = guard.path().strip_prefix("/lock/").unwrap();
        let (guid, number) = name.split_once(marker).unwrap_or_else(|| panic!("{name}"));
        assert!(number.len() == 10 && number.bytes().all(|byte| byte.is_ascii_digit()), "{name}");
        assert_eq!(guid.len(), if layout == Layout::Curator { "_c_".len() + 36 } else { 32 }, "{name}");
        guard.release().await.unwrap();
    }
}

/// Dropped at any moment, it leaves the line.
#[tokio::test]
async fn a_cancelled_lock_leaves_no_place_in_line() {
    let world = World::start();
    let connection = world.connect().await;
    let mutex = Mutex::new(&connection, "/lock");
    let held = mutex.lock().await.unwrap();
    for round in 0..40 {
        let limit = Duration::from_micros(150 * round);
        assert_eq!(mutex.lock_within(limit).await.unwrap_err(), Error::TimedOut(limit));
    }
    children(&connection, "/lock", 1).await;
    drop(held);
    children(&connection, "/lock", 0).await;
}

#[tokio::test]
async fn a_lost_answer_takes_one_place_in_line() {
    let world = World::start();
    let relay = world.relay();
    let connection = world.through(&relay).await;
    connection.ensure_path("/lock").await.unwrap();
    relay.lose_next_answer();
    let guard = within("the lock", Mutex::new(&connection, "/lock").lock()).await.unwrap();
    assert_eq!(relay.lost_answers(), 1);
    assert_eq!(connection.children("/lock").await.unwrap().len(), 1);
    guard.check().await.unwrap();
}

/// Whoever waits when its session ends waits on in the next one, behind those who came meanwhile.
#[tokio::test]
async fn waiting_outlasts_the_session() {
    let world = World::start();
    let (one, other) = (world.connect().await, world.connect().await);
    let held = Mutex::new(&one, "/lock").lock().await.unwrap();
    let waiting = tokio::spawn({
        let mutex = Mutex::new(&other, "/lock");
        async move { mutex.lock().await.unwrap() }
    });
    let before = children(&one, "/lock", 2).await;
    end_session(&other, &world).await;
    wait_until("it is in line again", || async {
        let now = one.children("/lock").await.unwrap();
        now.len() == 2 && now != before
    })
    .await;
    held.release().await.unwrap();
    let guard = within("the lock", waiting).await.unwrap();
    guard.check().await.unwrap();
    assert_eq!(guard.session().id(), other.current().id());
}

/// Sets its flag when it is dropped.
struct Dropped(Arc<AtomicBool>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Work under a lock that never ends by itself.
async fn endless(guard: &Guard) -> (Result<(), Error>, bool) {
    let is_dropped = Arc::new(AtomicBool::new(false));
    let flag = Dropped(is_dropped.clone());
    let outcome = guard
        .run(async move {
            let _flag = flag;
            std::future::pending::<()>().await;
        })
        .await;
    (outcome, is_dropped.load(Ordering::SeqCst))
}

#[tokio::test]
async fn who_holds_a_lock_learns_that_it_may_be_lost() {
    let world = World::start();
    let relay = world.relay();
    let (connection, other) = (world.through(&relay).await, world.connect().await);
    let mutex = Mutex::new(&connection, "/lock");

    let guard = mutex.lock().await.unwrap();
    let (outcome, ()) = tokio::join!(within("suspended", endless(&guard)), async { relay.refuse(true) });
    assert_eq!(outcome, (Err(Error::Lost(Loss::Suspended)), true));
    assert!(!guard.is_held());
    relay.refuse(false);
    wait_until("connected again", || async { guard.is_held() }).await;
    assert_eq!(guard.run(async { 1 }).await, Ok(1), "it was held all the time");

    let deletes = async { other.delete_if_present(guard.path()).await.unwrap() };
    let (outcome, is_deleted) = tokio::join!(within("deleted", endless(&guard)), deletes);
    assert_eq!((outcome, is_deleted), ((Err(Error::Lost(Loss::Deleted)), true), true));
    assert_eq!(guard.check().await, Err(Error::Lost(Loss::Deleted)));
    let failed = guard.transaction().create("/written", b"", CreateMode::Persistent).commit().await.unwrap_err();
    assert_eq!((failed.at, failed.source), (Some(0), ClientError::NoNode));
    assert_eq!(other.exists("/written").await.unwrap(), None);
    drop(guard);

    let guard = mutex.lock().await.unwrap();
    guard.transaction().create("/written", b"", CreateMode::Persistent).commit().await.unwrap();
    end_session(&connection, &world).await;
    assert!(matches!(guard.lost().await, Loss::SessionEnded));
    assert_eq!(guard.check().await, Err(Error::Lost(Loss::SessionEnded)));
    let failed = guard.transaction().set("/written", b"late", None).commit().await.unwrap_err();
    assert_eq!((failed.at, failed.source), (None, ClientError::SessionExpired));
    assert_eq!(endless(&guard).await, (Err(Error::Lost(Loss::SessionEnded)), true));
    // Its owner goes on with another session.
    let next = mutex.lock().await.unwrap();
    assert!(next.token() > guard.token());
}

#[tokio::test]
async fn the_last_clone_releases() {
    let world = World::start();
    let connection = world.connect().await;
    let mutex = Mutex::new(&connection, "/lock");
    let guard = mutex.lock().await.unwrap();
    let again = guard.clone();
    assert!(!guard.release().await.unwrap());
    assert!(mutex.try_lock().await.unwrap().is_none());
    assert!(again.release().await.unwrap());
    assert!(mutex.try_lock().await.unwrap().is_some());
}

#[tokio::test]
async fn many_readers_or_one_writer() {
    for layout in [Layout::Curator, Layout::Kazoo] {
        let world = World::start();
        let (one, other) = (world.connect().await, world.connect().await);
        let [here, there] = [&one, &other].map(|connection| ReadWriteLock::new(connection, "/rw").layout(layout));
        let soon = Duration::from_millis(50);

        let readers = [here.read().await.unwrap(), there.read().await.unwrap()];
        assert!(readers[0].token() < readers[1].token());
        let writer = tokio::spawn({
            let lock = ReadWriteLock::new(&other, "/rw").layout(layout);
            async move { lock.write().await.unwrap() }
        });
        children(&one, "/rw", 3).await;
        assert!(tokio::time::timeout(soon, here.read()).await.is_err(), "the writer came before");
        children(&one, "/rw", 3).await;
        for reader in readers {
            assert!(!writer.is_finished());
            reader.release().await.unwrap();
        }
        let writer = within("the writer", writer).await.unwrap();
        assert!(tokio::time::timeout(soon, here.read()).await.is_err());
        assert!(tokio::time::timeout(soon, here.write()).await.is_err());
        children(&one, "/rw", 1).await;

        // A writer that waits does not come in between.
        let next = tokio::spawn({
            let lock = ReadWriteLock::new(&one, "/rw").layout(layout);
            async move { lock.write().await.unwrap() }
        });
        children(&one, "/rw", 2).await;
        let reader = writer.downgrade().await.unwrap();
        assert_eq!(children(&one, "/rw", 2).await.len(), 2);
        tokio::time::sleep(soon).await;
        assert!(!next.is_finished());
        reader.check().await.unwrap();
        reader.release().await.unwrap();
        within("the next writer", next).await.unwrap().release().await.unwrap();
    }
}

/// Readers that wait behind a writer go on when it becomes a reader.
#[tokio::test]
async fn a_downgrade_lets_the_readers_in() {
    let world = World::start();
    let (one, other) = (world.connect().await, world.connect().await);
    let writer = ReadWriteLock::new(&one, "/rw").write().await.unwrap();
    let waiting = tokio::spawn({
        let lock = ReadWriteLock::new(&other, "/rw");
        async move { lock.read().await.unwrap() }
    });
    children(&one, "/rw", 2).await;
    let reader = writer.downgrade().await.unwrap();
    let waited = within("the other reader", waiting).await.unwrap();
    reader.check().await.unwrap();
    waited.check().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_than_the_leases() {
    const LEASES: usize = 3;
    for layout in [Layout::Curator, Layout::Kazoo] {
        let world = World::start();
        let connections = [world.connect().await, world.connect().await];
        let (inside, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut tasks = vec![];
        for task in 0..8 {
            let semaphore = Semaphore::new(&connections[task % 2], "/semaphore", LEASES).layout(layout);
            let (inside, most) = (inside.clone(), most.clone());
            tasks.push(tokio::spawn(async move {
                for _ in 0..10 {
                    let lease = semaphore.acquire().await.unwrap();
                    let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
                    most.fetch_max(now, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    inside.fetch_sub(1, Ordering::SeqCst);
                    lease.release().await.unwrap();
                }
            }));
        }
        for task in tasks {
            within("all rounds", task).await.unwrap();
        }
        assert!(most.load(Ordering::SeqCst) <= LEASES);
        let semaphore = Semaphore::new(&connections[0], "/semaphore", LEASES).layout(layout);
        assert_eq!(semaphore.taken().await.unwrap(), 0);
        let all = within("as many as there are", semaphore.acquire_many(LEASES)).await.unwrap();
        assert_eq!((all.len(), semaphore.taken().await.unwrap()), (LEASES, LEASES));
        let limit = Duration::from_millis(30);
        assert_eq!(semaphore.acquire_within(limit).await.unwrap_err(), Error::TimedOut(limit));
    }
}

#[tokio::test]
async fn leases_come_back_from_the_dead() {
    let world = World::start();
    let (one, other) = (world.connect().await, world.connect().await);
    let leases = Semaphore::new(&one, "/semaphore", 2).acquire_many(2).await.unwrap();
    let semaphore = Semaphore::new(&other, "/semaphore", 2);
    let limit = Duration::from_millis(50);
    assert_eq!(semaphore.acquire_within(limit).await.unwrap_err(), Error::TimedOut(limit));
    let names: BTreeSet<&str> = leases.iter().map(|lease| lease.path()).collect();
    assert!(
        names.iter().all(|name| name.starts_with("/semaphore/leases/_c_") && name.contains("-lease-0")),
        "{names:?}"
    );
    end_session(&one, &world).await;
    let both = within("both leases", semaphore.acquire_many(2)).await.unwrap();
    assert_eq!(both.len(), 2);
    assert_eq!(leases[0].check().await, Err(Error::Lost(Loss::SessionEnded)));
}

/// Kazoo's semaphores refuse another number of leases, and so does ours.
#[tokio::test]
async fn the_number_of_leases_is_agreed_on() {
    let world = World::start();
    let connection = world.connect().await;
    let semaphore = |leases| Semaphore::new(&connection, "/some/semaphore", leases).layout(Layout::Kazoo);
    let lease = semaphore(3).acquire().await.unwrap();
    assert_eq!(connection.get("/some/semaphore").await.unwrap().0, b"3");
    assert!(matches!(semaphore(4).acquire().await, Err(Error::Foreign { .. })));
    assert_eq!(connection.children("/some/semaphore").await.unwrap().len(), 1);
    lease.release().await.unwrap();
}

/// Named in opposite orders, they do not wait for each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_locks_as_one() {
    let world = World::start();
    let connections = [world.connect().await, world.connect().await];
    let inside = Arc::new(AtomicUsize::new(0));
    let mut tasks = vec![];
    for (connection, paths) in connections.iter().zip([["/a", "/b", "/c"], ["/c", "/b", "/a"]]) {
        let (connection, inside) = (connection.clone(), inside.clone());
        tasks.push(tokio::spawn(async move {
            for _ in 0..20 {
                let guard = MultiLock::new(&connection, &paths).lock().await.unwrap();
                assert_eq!(guard.guards().len(), 3);
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                guard.run(tokio::task::yield_now()).await.unwrap();
                inside.fetch_sub(1, Ordering::SeqCst);
                guard.release().await.unwrap();
            }
        }));
    }
    for task in tasks {
        within("all rounds", task).await.unwrap();
    }

    let single = Mutex::new(&connections[0], "/b").lock().await.unwrap();
    let limit = Duration::from_millis(50);
    let refused = MultiLock::new(&connections[1], &["/a", "/b"]).lock_within(limit).await;
    assert_eq!(refused.unwrap_err(), Error::TimedOut(limit));
    children(&connections[0], "/a", 0).await;
    single.release().await.unwrap();
    let guard = MultiLock::new(&connections[1], &["/a", "/b"]).lock().await.unwrap();
    let deletes = async { connections[0].delete_if_present(guard.guards()[1].path()).await.unwrap() };
    assert_eq!(tokio::join!(within("lost", guard.lost()), deletes), (Loss::Deleted, true));
}

#[tokio::test]
async fn the_lock_on_one_znode() {
    let world = World::start();
    let (one, other) = (world.connect().await, world.connect().await);
    let lock = SimpleLock::new(&one, "/locks/simple", "first one");
    assert_eq!(lock.owner().await.unwrap(), None);
    let guard = lock.try_lock().await.unwrap().unwrap();
    assert_eq!(guard.path(), "/locks/simple");
    let rival = SimpleLock::new(&other, "/locks/simple", "second one");
    assert!(rival.try_lock().await.unwrap().is_none());
    assert_eq!(rival.owner().await.unwrap().as_deref(), Some("first one"));
    let waiting = tokio::spawn(async move { rival.lock().await.unwrap() });
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert!(!waiting.is_finished());
    let token = guard.token();
    guard.transaction().create("/written", b"", CreateMode::Persistent).commit().await.unwrap();
    guard.release().await.unwrap();
    let guard = within("the rival", waiting).await.unwrap();
    assert!(guard.token() > token);
    assert_eq!(lock.owner().await.unwrap().as_deref(), Some("second one"));
    end_session(&other, &world).await;
    let _held = within("the dead hold no lock", lock.lock()).await.unwrap();
    // The path is taken, and not by the dead one.
    let failed = guard.transaction().set("/written", b"late", None).commit().await.unwrap_err();
    assert_eq!(failed.source, ClientError::SessionExpired);
}

/// Two of one process have the same session. Whoever gives up leaves the other's znode alone.
#[tokio::test]
async fn a_cancelled_rival_of_the_same_session_deletes_nothing() {
    let world = World::start();
    let relay = world.relay();
    let connection = world.through(&relay).await;
    let lock = SimpleLock::new(&connection, "/simple", "holder");
    let guard = lock.lock().await.unwrap();
    for round in 0..30u64 {
        let rival = SimpleLock::new(&connection, "/simple", "rival");
        if round % 10 == 0 {
            relay.lose_next_answer();
        }
        let waited = tokio::time::timeout(Duration::from_micros(100 * round), rival.lock()).await;
        assert!(waited.is_err(), "{waited:?}");
    }
    assert_eq!(connection.children("/").await.unwrap(), ["simple", "zookeeper"]);
    guard.check().await.unwrap();
    assert_eq!(lock.owner().await.unwrap().as_deref(), Some("holder"));
}

//! Caches: they tell of every last state, in an order, and miss nothing over a cut or a session.

use crate::world::{PATIENCE, World, end_session, wait_until, within};
use corral_recipes::cache::{Cache, CacheEvent, CacheEvents, Scope, Watching};
use corral_recipes::{Connection, zookeeper_client};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use zookeeper_client::CreateMode;

const WATCHINGS: [Watching; 2] = [Watching::Persistent, Watching::OneShot];

/// An event in a few words.
fn told(event: CacheEvent) -> String {
    let text = |data: &[u8]| String::from_utf8_lossy(data).into_owned();
    match event {
        CacheEvent::Created(path, cached) => format!("+{path}={}", text(&cached.data)),
        CacheEvent::Changed { path, before, after } => format!("{path}:{}>{}", text(&before.data), text(&after.data)),
        CacheEvent::Deleted(path, before) => format!("-{path}={}", text(&before.data)),
        CacheEvent::Complete => "complete".to_owned(),
    }
}

/// So many events.
async fn next(events: &mut CacheEvents, number: usize) -> Vec<String> {
    let mut all = vec![];
    for _ in 0..number {
        all.push(told(within("an event", events.next()).await.unwrap()));
    }
    all
}

/// Nothing more is told.
async fn is_quiet(events: &mut CacheEvents) {
    if let Ok(event) = tokio::time::timeout(Duration::from_millis(60), events.next()).await {
        panic!("told of {event:?}");
    }
}

/// A connection's tree as it is, by asking for each znode.
async fn tree(connection: &Connection, path: &str) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut left = vec![path.to_owned()];
    while let Some(path) = left.pop() {
        let Ok((data, _)) = connection.get(&path).await else { continue };
        for name in connection.children(&path).await.unwrap_or_default() {
            left.push(format!("{path}/{name}"));
        }
        found.insert(path, data);
    }
    found
}

fn contents(cache: &Cache) -> BTreeMap<String, Vec<u8>> {
    cache.snapshot().into_iter().map(|(path, cached)| (path, cached.data.to_vec())).collect()
}

#[tokio::test]
async fn a_node_comes_changes_and_goes() {
    let world = World::start();
    let (connection, other) = (world.connect().await, world.connect().await);
    for watching in WATCHINGS {
        let (cache, mut events) = Cache::watching(&connection, "/node", Scope::Node, watching);
        assert_eq!(next(&mut events, 1).await, ["complete"]);
        assert!(cache.is_empty());
        other.put("/node", b"1").await.unwrap();
        assert_eq!(next(&mut events, 1).await, ["+/node=1"]);
        other.put("/node/child", b"not followed").await.unwrap();
        other.put("/node", b"2").await.unwrap();
        assert_eq!(next(&mut events, 1).await, ["/node:1>2"]);
        assert_eq!(&*cache.get("/node").unwrap().data, b"2");
        other.delete_recursive("/node").await.unwrap();
        assert_eq!(next(&mut events, 1).await, ["-/node=2"]);
        assert!(cache.is_empty());
        other.put("/node", b"3").await.unwrap();
        assert_eq!(next(&mut events, 1).await, ["+/node=3"]);
        is_quiet(&mut events).await;
        other.delete_recursive("/node").await.unwrap();
    }
}

#[tokio::test]
async fn children_come_and_go() {
    let world = World::start();
    let (connection, other) = (world.connect().await, world.connect().await);
    for watching in WATCHINGS {
        for (path, data) in [("/dir/b", "1"), ("/dir/a", "2"), ("/dir/a/deep", "not followed"), ("/directory", "")] {
            other.put(path, data.as_bytes()).await.unwrap();
        }
        let (cache, mut events) = Cache::watching(&connection, "/dir", Scope::Children, watching);
        assert_eq!(next(&mut events, 3).await, ["+/dir/a=2", "+/dir/b=1", "complete"]);
        other.put("/dir/c", b"3").await.unwrap();
        assert_eq!(next(&mut events, 1).await, ["+/dir/c=3"]);
        other.put("/dir/c", b"4").await.unwrap();
        assert_eq!(next(&mut events, 1).await, ["/dir/c:3>4"]);
        other.put("/dir", b"not followed").await.unwrap();
        other.put("/dir/a/deep", b"not followed, either").await.unwrap();
        other.delete_recursive("/dir/b").await.unwrap();
        assert_eq!(next(&mut events, 1).await, ["-/dir/b=1"]);
        assert_eq!(cache.paths(), ["/dir/a", "/dir/c"]);
        is_quiet(&mut events).await;
        other.delete_recursive("/dir").await.unwrap();
        let mut gone = next(&mut events, 2).await;
        gone.sort();
        assert_eq!(gone, ["-/dir/a=2", "-/dir/c=4"]);
        other.put("/dir/again", b"").await.unwrap();
        assert_eq!(next(&mut events, 1).await, ["+/dir/again="]);
        is_quiet(&mut events).await;
        other.delete_recursive("/dir").await.unwrap();
        other.delete_recursive("/directory").await.unwrap();
    }
}

#[tokio::test]
async fn a_tree_is_followed() {
    let world = World::start();
    let (connection, other) = (world.connect().await, world.connect().await);
    for watching in WATCHINGS {
        other.put("/tree/a/b/c", b"deep").await.unwrap();
        let (cache, mut events) = Cache::watching(&connection, "/tree", Scope::Tree, watching);
        assert_eq!(
            next(&mut events, 5).await,
            ["+/tree=", "+/tree/a=", "+/tree/a/b=", "+/tree/a/b/c=deep", "complete"]
        );
        other.put("/tree/a/b/c", b"deeper").await.unwrap();
        assert_eq!(next(&mut events, 1).await, ["/tree/a/b/c:deep>deeper"]);
        other.put("/tree/x/y", b"new").await.unwrap();
        assert_eq!(next(&mut events, 2).await, ["+/tree/x=", "+/tree/x/y=new"]);
        other.delete_recursive("/tree/a").await.unwrap();
        assert_eq!(next(&mut events, 3).await, ["-/tree/a/b/c=deeper", "-/tree/a/b=", "-/tree/a="]);
        assert_eq!(contents(&cache), tree(&other, "/tree").await);
        is_quiet(&mut events).await;
        other.delete_recursive("/tree").await.unwrap();
    }
}

/// What happens while the connection is cut, and between two sessions, is told afterwards.
#[tokio::test]
async fn a_cut_and_a_new_session_hide_nothing() {
    let world = World::start();
    let relay = world.relay();
    let (connection, other) = (world.through(&relay).await, world.connect().await);
    for watching in WATCHINGS {
        for path in ["/tree/a/b", "/tree/gone/c", "/tree/again"] {
            other.put(path, b"1").await.unwrap();
        }
        let (cache, mut events) = Cache::watching(&connection, "/tree", Scope::Tree, watching);
        next(&mut events, 7).await;
        for round in ["cut", "session"] {
            relay.refuse(true);
            other.put("/tree/a/b", round.as_bytes()).await.unwrap();
            other.put(&format!("/tree/new-{round}"), b"").await.unwrap();
            other.delete_recursive("/tree/gone").await.unwrap();
            other.delete_recursive("/tree/again").await.unwrap();
            other.put("/tree/again", b"1").await.unwrap();
            relay.refuse(false);
            if round == "session" {
                end_session(&connection, &world).await;
            }
            let truth = tree(&other, "/tree").await;
            let number = if round == "cut" { 6 } else { 4 };
            let mut told_of = next(&mut events, number).await;
            assert_eq!(contents(&cache), truth, "{watching:?}, {round}");
            is_quiet(&mut events).await;
            let before = if round == "cut" { "1" } else { "cut" };
            let mut expected = vec![
                format!("/tree/a/b:{before}>{round}"),
                format!("+/tree/new-{round}="),
                "-/tree/again=1".to_owned(),
                "+/tree/again=1".to_owned(),
            ];
            if round == "cut" {
                expected.extend(["-/tree/gone/c=1".to_owned(), "-/tree/gone=".to_owned()]);
            }
            expected.sort();
            told_of.sort();
            assert_eq!(told_of, expected, "{watching:?}, {round}");
            // It follows on.
            other.put("/tree/a/b", format!("{round} ").as_bytes()).await.unwrap();
            assert_eq!(next(&mut events, 1).await, [format!("/tree/a/b:{round}>{round} ")]);
            other.put("/tree/a/b", round.as_bytes()).await.unwrap();
            next(&mut events, 1).await;
        }
        drop(events);
        other.delete_recursive("/tree").await.unwrap();
    }
}

/// Many writers, cuts in between, and a call that is dropped again and again: in the end the cache is the tree, and the events
/// alone would make the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_the_end_it_is_the_tree() {
    let world = World::start();
    let relay = world.relay();
    let (connection, other) = (world.through(&relay).await, world.connect().await);
    for watching in WATCHINGS {
        other.ensure_path("/tree").await.unwrap();
        let (cache, mut events) = Cache::watching(&connection, "/tree", Scope::Tree, watching);
        let writer = tokio::spawn({
            let other = other.clone();
            async move {
                let mut random = fastrand::Rng::with_seed(5);
                for step in 0..400 {
                    let path = format!("/tree/{}/{}", random.u8(0..4), random.u8(0..4));
                    match random.u8(0..5) {
                        0 => other.delete_recursive(&path[..7]).await.unwrap(),
                        1 => drop(other.delete_if_present(&path).await.unwrap()),
                        _ => other.put(&path, step.to_string().as_bytes()).await.unwrap(),
                    }
                }
            }
        });
        let mut made: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let mut steps = 0u32;
        let mut is_complete = false;
        let begun = Instant::now();
        loop {
            steps += 1;
            let is_over = writer.is_finished();
            if steps.is_multiple_of(150) && !is_over {
                relay.cut();
            }
            assert!(begun.elapsed() < PATIENCE, "{watching:?}: {made:?} {:?}", tree(&other, "/tree").await);
            // Most calls are dropped before they have come to anything; some have the time to.
            let limit_ms = if steps.is_multiple_of(5) { 500 } else { 1 + u64::from(steps % 7) };
            match tokio::time::timeout(Duration::from_millis(limit_ms), events.next()).await {
                Err(_) if is_over && is_complete && limit_ms == 500 && made == tree(&other, "/tree").await => break,
                Err(_) => {}
                Ok(event) => match event.unwrap() {
                    CacheEvent::Created(path, cached) => {
                        let before = made.insert(path.clone(), cached.data.to_vec());
                        assert_eq!(before, None, "{path} comes once");
                    }
                    CacheEvent::Changed { path, before, after } => {
                        let known = made.insert(path.clone(), after.data.to_vec());
                        assert_eq!(known.as_deref(), Some(&*before.data), "{path}");
                    }
                    CacheEvent::Deleted(path, before) => {
                        let known = made.remove(&path);
                        assert_eq!(known.as_deref(), Some(&*before.data), "{path}");
                    }
                    CacheEvent::Complete => is_complete = true,
                },
            }
        }
        writer.await.unwrap();
        assert_eq!(contents(&cache), made, "{watching:?}");
        drop(events);
        other.delete_recursive("/tree").await.unwrap();
    }
}

#[tokio::test]
async fn subscriptions_register_again_by_themselves() {
    let world = World::start();
    let relay = world.relay();
    let (connection, other) = (world.through(&relay).await, world.connect().await);
    let mut data = connection.subscribe_data_changes("/topic");
    let mut children = connection.subscribe_child_changes("/topic");
    assert_eq!(data.next().await.unwrap(), None);
    assert_eq!(children.next().await.unwrap(), None);
    let text = |changed: Option<(Vec<u8>, _)>| String::from_utf8(changed.unwrap().0).unwrap();
    for round in 0..5 {
        other.put("/topic", format!("message {round}").as_bytes()).await.unwrap();
        assert_eq!(text(within("the data", data.next()).await.unwrap()), format!("message {round}"));
        match round {
            // Its parent has come; the first child comes with it or later.
            2 => relay.cut(),
            3 => end_session(&connection, &world).await,
            _ => {}
        }
        other.create(&format!("/topic/{round}"), b"", CreateMode::Persistent).await.unwrap();
        let names: Vec<String> = (0..=round).map(|round| round.to_string()).collect();
        loop {
            let now = within("the children", children.next()).await.unwrap().unwrap();
            if now == names {
                break;
            }
            assert!(names.starts_with(&now), "{now:?}");
        }
    }
    other.delete_recursive("/topic").await.unwrap();
    assert_eq!(within("the end", data.next()).await.unwrap(), None);
    let mut last = within("the end", children.next()).await.unwrap();
    while let Some(names) = last {
        assert!(names.len() < 5);
        last = within("the end", children.next()).await.unwrap();
    }
}

/// A cache that nobody asks tells of the last state when it is asked.
#[tokio::test]
async fn a_cache_can_be_followed_by_a_task() {
    let world = World::start();
    let (connection, other) = (world.connect().await, world.connect().await);
    let (cache, events) = Cache::new(&connection, "/settings", Scope::Tree);
    let task = tokio::spawn(events.run());
    for number in 0..50 {
        other.put("/settings/number", number.to_string().as_bytes()).await.unwrap();
    }
    wait_until("the last state", || async {
        cache.get("/settings/number").is_some_and(|cached| &*cached.data == b"49")
    })
    .await;
    task.abort();
}

//! Who is there: znodes that come again, groups, services.

use crate::world::{World, create, end_session, wait_until, within};
use corral_recipes::cache::CacheEvent;
use corral_recipes::discovery::{ServiceDiscovery, ServiceInstance, ServiceType};
use corral_recipes::group::{Group, MemberEvent, PersistentNode};
use corral_recipes::{Error, zookeeper_client};
use std::collections::BTreeMap;
use std::time::Duration;
use zookeeper_client::CreateMode;

#[tokio::test]
async fn a_persistent_node_comes_again() {
    let world = World::start();
    let (one, other) = (world.connect().await, world.connect().await);
    let mut node = PersistentNode::create(&one, "/app/node", b"first").await.unwrap();
    let is = |data: &'static [u8]| {
        let other = &other;
        async move {
            wait_until("it is as it was wished for", || async {
                other.get("/app/node").await.is_ok_and(|(found, stat)| found == data && stat.ephemeral_owner != 0)
            })
            .await;
        }
    };
    is(b"first").await;
    let before = other.exists("/app/node").await.unwrap().unwrap().ephemeral_owner;
    end_session(&one, &world).await;
    is(b"first").await;
    assert_ne!(other.exists("/app/node").await.unwrap().unwrap().ephemeral_owner, before);
    node.set(b"second").await.unwrap();
    assert_eq!(other.get("/app/node").await.unwrap().0, b"second");
    assert!(other.delete_if_present("/app/node").await.unwrap());
    is(b"second").await;
    end_session(&one, &world).await;
    is(b"second").await;
    node.close().await.unwrap();
    assert_eq!(other.exists("/app/node").await.unwrap(), None);
    drop(PersistentNode::create(&one, "/app/node", b"").await.unwrap());
    wait_until("it goes when it is dropped", || async { other.exists("/app/node").await.unwrap().is_none() }).await;
}

/// A process that comes again at once finds the znode of its former life, and has it when that is over.
#[tokio::test]
async fn what_is_another_sessions_is_waited_for() {
    let world = World::start();
    let (former, now) = (world.connect().await, world.connect().await);
    create(&former, "/node", CreateMode::Ephemeral).await;
    let creating = PersistentNode::create(&now, "/node", b"mine");
    assert!(tokio::time::timeout(Duration::from_millis(50), creating).await.is_err());
    let waiting = tokio::spawn({
        let now = now.clone();
        async move { PersistentNode::create(&now, "/node", b"mine").await.unwrap() }
    });
    tokio::time::sleep(Duration::from_millis(30)).await;
    end_session(&former, &world).await;
    let node = within("the former life is over", waiting).await.unwrap();
    assert_eq!(now.get(node.path()).await.unwrap().0, b"mine");
    let refused = PersistentNode::create(&now, "/node/below", b"").await;
    assert!(matches!(refused.map(drop), Err(Error::Client(zookeeper_client::Error::NoChildrenForEphemerals))));
}

#[tokio::test]
async fn a_group_sees_who_is_there_and_how_far() {
    let world = World::start();
    let connections = [world.connect().await, world.connect().await, world.connect().await];
    let group = |at: usize| Group::new(&connections[at], "/jobs/today");
    let mut centre = group(2).watch();
    assert_eq!(within("complete", centre.next()).await.unwrap(), MemberEvent::Complete);
    let mut first = group(0).join("first", b"0 %").await.unwrap();
    assert_eq!(within("joined", centre.next()).await.unwrap(), MemberEvent::Joined("first".into(), b"0 %".into()));
    let _second = group(1).join("second", b"0 %").await.unwrap();
    assert_eq!(within("joined", centre.next()).await.unwrap(), MemberEvent::Joined("second".into(), b"0 %".into()));
    first.set(b"50 %").await.unwrap();
    assert_eq!(within("said", centre.next()).await.unwrap(), MemberEvent::Said("first".into(), b"50 %".into()));
    let expected = BTreeMap::from([("first".to_owned(), b"50 %".to_vec()), ("second".to_owned(), b"0 %".to_vec())]);
    assert_eq!(group(1).members().await.unwrap(), expected);
    assert_eq!(centre.now(), expected);
    first.close().await.unwrap();
    assert_eq!(within("left", centre.next()).await.unwrap(), MemberEvent::Left("first".into(), b"50 %".into()));
    end_session(&connections[1], &world).await;
    assert_eq!(within("left", centre.next()).await.unwrap(), MemberEvent::Left("second".into(), b"0 %".into()));
    assert_eq!(within("again", centre.next()).await.unwrap(), MemberEvent::Joined("second".into(), b"0 %".into()));
}

#[tokio::test]
async fn services_are_found() {
    let world = World::start();
    let connections = [world.connect().await, world.connect().await];
    let discovery = ServiceDiscovery::new(&connections[0], "/services");
    assert_eq!(discovery.services().await.unwrap(), [""; 0]);
    let web = ServiceInstance::new("web", "1", "10.0.0.1", 80).weight(3);
    let mut registration = discovery.register(web.clone()).await.unwrap();
    let other = ServiceDiscovery::new(&connections[1], "/services");
    let second = other.register(ServiceInstance::new("web", "2", "10.0.0.2", 8080)).await.unwrap();
    assert_eq!(discovery.services().await.unwrap(), ["web"]);
    let found = other.instances("web").await.unwrap();
    assert_eq!(found, [registration.instance().clone(), second.instance().clone()]);
    assert!(found[0].registration_time_ms > 1_700_000_000_000);
    assert_eq!(other.instances("mail").await.unwrap(), []);

    let mut instances = other.watch("web");
    while within("complete", instances.changed()).await.unwrap() != Some(CacheEvent::Complete) {}
    let mut picked: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..2000 {
        *picked.entry(instances.pick().unwrap().id).or_default() += 1;
    }
    // Three of four; ten standard deviations are 194.
    assert!((1306..1694).contains(&picked["1"]), "{picked:?}");

    registration.update(|instance| instance.enabled = false).await.unwrap();
    assert!(matches!(within("disabled", instances.changed()).await.unwrap(), Some(CacheEvent::Changed { .. })));
    assert!((0..50).all(|_| instances.pick().unwrap().id == "2"));
    connections[0].put("/services/web/3", b"no JSON").await.unwrap();
    assert_eq!(within("left out", instances.changed()).await.unwrap(), None);
    assert_eq!(instances.now().len(), 2);
    end_session(&connections[1], &world).await;
    wait_until("it is registered again", || async {
        let found = discovery.instances("web").await.unwrap();
        found.len() == 2 && found.iter().any(|instance| instance.id == "2")
    })
    .await;
    second.unregister().await.unwrap();
    registration.unregister().await.unwrap();
    assert_eq!(discovery.instances("web").await.unwrap(), []);
    let mut fixed = ServiceInstance::new("web", "4", "", 1);
    fixed.service_type = ServiceType::Static;
    assert!(matches!(discovery.register(fixed).await.map(drop), Err(Error::Misuse(_))));
}

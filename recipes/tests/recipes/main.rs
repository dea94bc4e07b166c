//! The recipes on a real server: Corral, or ZooKeeper with `CORRAL_TEST_TARGET=zookeeper`. `CORRAL_PROGRAM` names another
//! server than the one that was built with the tests.

#[path = "../../../tests/support/mod.rs"]
mod support;

mod caches;
mod connection;
mod coordination;
mod examples;
mod groups;
mod leaders;
mod locks;
mod queues;
mod relay;
mod sends;
mod world;

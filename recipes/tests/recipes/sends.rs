//! Every future can be spawned on a runtime of several threads. What is wrong here does not compile.

use corral_recipes::barrier::{Barrier, DoubleBarrier, Entered};
use corral_recipes::cache::CacheEvents;
use corral_recipes::counter::{AtomicValue, Counter, Versioned};
use corral_recipes::leader::{Active, ActiveStandby, Election, LeaderLatch, LeaderSelector};
use corral_recipes::lock::{Guard, MultiGuard, MultiLock, Mutex, ReadWriteLock, Semaphore, SimpleLock};
use corral_recipes::queue::{Assembly, Delivery, Queue};
use corral_recipes::{Connection, RetryPolicy, ZooKeeper};
use std::ops::ControlFlow;
use std::time::Duration;

fn send<T: Send>(_: T) {}

#[allow(dead_code)]
fn connections(c: &Connection, mode: corral_recipes::zookeeper_client::CreateMode) {
    send(Connection::open(ZooKeeper::new(""), RetryPolicy::never()));
    send(c.session());
    send(c.create("", b"", mode));
    send(c.create_protected("", b"", mode));
    send(c.get(""));
    send(c.put("", b""));
    send(c.children(""));
    send(c.ensure_path(""));
    send(c.delete_recursive(""));
    send(c.transaction().commit());
    send(async { c.states().next().await });
    send(async { c.subscribe_data_changes("").next().await });
    send(async { c.subscribe_child_changes("").next().await });
}

#[allow(dead_code)]
fn locks(guard: Guard, mutex: &Mutex, rw: &ReadWriteLock, semaphore: &Semaphore, multi: &MultiLock, held: MultiGuard) {
    send(guard.clone().release());
    send(guard.lost());
    send(guard.check());
    send(guard.run(async {}));
    send(mutex.lock());
    send(mutex.lock_within(Duration::ZERO));
    send(mutex.try_lock());
    send(mutex.contenders());
    send(rw.read());
    send(async { rw.write().await.unwrap().downgrade().await });
    send(semaphore.acquire_within(Duration::ZERO));
    send(semaphore.acquire_many(2));
    send(multi.lock_within(Duration::ZERO));
    send(held.lost());
    send(held.release());
}

#[allow(dead_code)]
fn leaders(
    latch: &LeaderLatch,
    selector: &LeaderSelector,
    election: &Election,
    standby: &ActiveStandby,
    active: Active,
) {
    send(latch.lead());
    send(latch.participants());
    send(selector.run(|_| async { ControlFlow::Break(1) }));
    send(selector.run_once(|_| async { 1 }));
    send(election.lead());
    send(election.changed(None));
    send(standby.activate());
    send(active.commit(active.transaction()));
    send(active.release());
}

#[allow(dead_code)]
fn coordination(barrier: &Barrier, double: &DoubleBarrier, entered: Entered, value: &AtomicValue, counter: &Counter) {
    send(barrier.wait_within(Duration::ZERO));
    send(double.enter_within(Duration::ZERO));
    send(entered.leave());
    let before = Versioned { value: vec![], version: None };
    send(value.set_if(&before, b""));
    send(value.changed(None));
    send(counter.add(1));
    send(counter.changed(None));
}

#[allow(dead_code)]
fn queues(queue: &Queue, delivery: Delivery, assembly: &Assembly, simple: &SimpleLock, mut events: CacheEvents) {
    send(queue.put(b""));
    send(queue.put_once(b""));
    send(queue.take());
    send(queue.receive_within(Duration::ZERO));
    send(delivery.run(async {}));
    send(delivery.acknowledge());
    send(assembly.join(b""));
    send(simple.lock());
    send(events.next());
    send(events.run());
}

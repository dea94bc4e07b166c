"""Recipes that exclude: Lock, ReadLock, WriteLock, Semaphore, Election, NonBlockingLease."""

import datetime
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from kazoo.exceptions import LockTimeout
from kazoo.protocol.states import KazooState

from conftest import PATIENCE_S, wait_until


@pytest.fixture
def pool():
    with ThreadPoolExecutor(max_workers=16) as threads:
        yield threads


def test_lock_excludes(connect, path, pool):
    """Eight clients count with an unprotected read and write; a lost update shows an overlap."""
    clients = [connect() for _ in range(8)]
    clients[0].create(f"{path}/count", b"0")
    inside = []

    def work(client, who):
        for _ in range(5):
            with client.Lock(f"{path}/lock", who):
                inside.append(who)
                assert inside == [who]
                value = int(client.get(f"{path}/count")[0])
                client.set(f"{path}/count", b"%d" % (value + 1))
                inside.remove(who)

    running = [pool.submit(work, client, f"w{n}") for n, client in enumerate(clients)]
    for done in running:
        done.result(30)
    assert clients[0].get(f"{path}/count")[0] == b"40"
    assert clients[0].get_children(f"{path}/lock") == []


def test_lock_is_handed_on_in_order(zk, connect, path, pool):
    clients = [connect() for _ in range(4)]
    held = zk.Lock(f"{path}/lock", "first")
    assert held.acquire()
    order = []

    def work(client, who):
        with client.Lock(f"{path}/lock", who):
            order.append(who)

    running = []
    for n, client in enumerate(clients):
        running.append(pool.submit(work, client, f"w{n}"))
        wait_until(lambda: len(held.contenders()) == n + 2, "the next in line")
    assert held.contenders() == ["first", "w0", "w1", "w2", "w3"]
    assert order == []
    held.release()
    for done in running:
        done.result(PATIENCE_S)
    assert order == ["w0", "w1", "w2", "w3"]


def test_lock_timeouts_and_non_blocking(zk, connect, path):
    other = connect().Lock(f"{path}/lock", "other")
    mine = zk.Lock(f"{path}/lock", "mine")
    assert mine.acquire()
    assert other.acquire(blocking=False) is False
    with pytest.raises(LockTimeout):
        other.acquire(timeout=0.2)
    # A try that gave up leaves nothing in line.
    assert mine.contenders() == ["mine"]
    mine.release()
    assert other.acquire(blocking=False) is True
    other.release()


def test_lock_passes_on_when_the_holders_session_expires(zk, connect, proxy, path, pool):
    holder = connect(hosts=proxy.address, timeout=1.0)
    lost = threading.Event()
    holder.add_listener(lambda state: lost.set() if state == KazooState.LOST else None)
    assert holder.Lock(f"{path}/lock", "holder").acquire()
    heir = zk.Lock(f"{path}/lock", "heir")
    waiting = pool.submit(heir.acquire, timeout=PATIENCE_S)
    wait_until(lambda: heir.contenders() == ["holder", "heir"], "the heir in line")
    proxy.cut()
    assert waiting.result(2 * PATIENCE_S) is True
    assert heir.contenders() == ["heir"]
    proxy.restore()
    assert lost.wait(PATIENCE_S)
    heir.release()


def test_read_and_write_locks(zk, connect, path, pool):
    readers = [connect().ReadLock(f"{path}/lock", f"r{n}") for n in range(3)]
    writer = zk.WriteLock(f"{path}/lock", "writer")
    late = connect().ReadLock(f"{path}/lock", "late")
    for reader in readers:
        assert reader.acquire(timeout=PATIENCE_S)
    assert writer.acquire(blocking=False) is False
    writing = pool.submit(writer.acquire, timeout=PATIENCE_S)
    wait_until(lambda: len(zk.get_children(f"{path}/lock")) == 4, "the writer in line")
    # A reader behind a waiting writer waits, or writers would starve.
    assert late.acquire(blocking=False) is False
    reading = pool.submit(late.acquire, timeout=PATIENCE_S)
    wait_until(lambda: len(zk.get_children(f"{path}/lock")) == 5, "the late reader in line")
    for reader in readers:
        assert not writing.done()
        reader.release()
    assert writing.result(PATIENCE_S) is True
    assert not reading.done()
    writer.release()
    assert reading.result(PATIENCE_S) is True
    late.release()


def test_semaphore(zk, connect, path, pool):
    places = 3
    clients = [connect() for _ in range(6)]
    guard = threading.Lock()
    inside, most = set(), []

    def work(client, who):
        for _ in range(3):
            with client.Semaphore(f"{path}/semaphore", who, max_leases=places):
                with guard:
                    inside.add(who)
                    most.append(len(inside))
                client.sync(path)
                with guard:
                    inside.remove(who)

    running = [pool.submit(work, client, f"w{n}") for n, client in enumerate(clients)]
    for done in running:
        done.result(30)
    assert len(most) == 18
    assert max(most) <= places
    assert zk.Semaphore(f"{path}/semaphore", max_leases=places).lease_holders() == []


def test_semaphore_full(zk, connect, path):
    holders = [connect().Semaphore(f"{path}/semaphore", f"h{n}", max_leases=2) for n in range(2)]
    for holder in holders:
        assert holder.acquire(timeout=PATIENCE_S)
    third = zk.Semaphore(f"{path}/semaphore", "third", max_leases=2)
    assert sorted(third.lease_holders()) == ["h0", "h1"]
    assert third.acquire(blocking=False) is False
    # The number of places is the znode's, a client that disagrees is told so.
    with pytest.raises(ValueError):
        zk.Semaphore(f"{path}/semaphore", "odd", max_leases=5).acquire(blocking=False)
    holders[0].release()
    assert third.acquire(timeout=PATIENCE_S) is True
    third.release()
    holders[1].release()


def test_election(zk, connect, path, pool):
    """Each candidate leads once, alone, in the order of candidacy; a dead leader is followed."""
    clients = [connect() for _ in range(3)]
    leaders, resign = [], [threading.Event() for _ in clients]

    def lead(n):
        leaders.append(n)
        assert resign[n].wait(PATIENCE_S)

    running = []
    for n, client in enumerate(clients):
        election = client.Election(f"{path}/election", f"c{n}")
        running.append(pool.submit(election.run, lead, n))
        watcher = zk.Election(f"{path}/election")
        wait_until(lambda: len(watcher.contenders()) == n + 1, "the candidacy")
    wait_until(lambda: leaders == [0], "the first leader")
    assert watcher.contenders() == ["c0", "c1", "c2"]
    resign[0].set()
    wait_until(lambda: leaders == [0, 1], "the second leader")
    # The second leader's session ends while it leads.
    clients[1].stop()
    wait_until(lambda: leaders == [0, 1, 2], "the third leader")
    assert watcher.contenders() == ["c2"]
    for event in resign:
        event.set()
    running[0].result(PATIENCE_S)
    running[2].result(PATIENCE_S)
    with pytest.raises(Exception):
        running[1].result(PATIENCE_S)
    assert watcher.contenders() == []


def test_non_blocking_lease(zk, connect, path):
    start = datetime.datetime(2030, 1, 1)
    hour = datetime.timedelta(hours=1)

    def attempt(client, who, hours):
        now = start + hours * hour
        return bool(client.NonBlockingLease(f"{path}/lease", hour, who, utcnow=lambda: now))

    other = connect()
    assert attempt(zk, "a", 0) is True
    assert attempt(other, "b", 0.5) is False
    assert attempt(zk, "a", 0.5) is True
    assert attempt(other, "b", 1.25) is False
    assert attempt(other, "b", 1.75) is True
    assert attempt(zk, "a", 2) is False

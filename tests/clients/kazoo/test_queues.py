"""Queue and LockingQueue."""

from concurrent.futures import ThreadPoolExecutor

from conftest import PATIENCE_S


def test_queue_order_and_priority(zk, connect, path):
    queue = zk.Queue(f"{path}/queue")
    assert queue.get() is None
    for n in range(3):
        queue.put(b"normal %d" % n)
    queue.put(b"urgent", priority=1)
    queue.put(b"some day", priority=500)
    other = connect().Queue(f"{path}/queue")
    assert len(other) == 5
    took = [(queue, other)[n % 2].get() for n in range(6)]
    assert took == [b"urgent", b"normal 0", b"normal 1", b"normal 2", b"some day", None]


def test_queue_gives_each_entry_once(connect, path):
    count = 60
    clients = [connect() for _ in range(4)]
    queue = clients[0].Queue(f"{path}/queue")
    for n in range(count):
        queue.put(b"%03d" % n)

    def drain(client):
        own, took = client.Queue(f"{path}/queue"), []
        while (entry := own.get()) is not None:
            took.append(entry)
        return took

    with ThreadPoolExecutor(max_workers=4) as pool:
        took = [done.result(30) for done in [pool.submit(drain, client) for client in clients]]
    assert sorted(sum(took, [])) == [b"%03d" % n for n in range(count)]
    # Each taker saw the entries in their order.
    assert all(part == sorted(part) for part in took)


def test_locking_queue(zk, connect, path):
    queue = zk.LockingQueue(f"{path}/queue")
    assert queue.get(timeout=0.1) is None
    queue.put(b"one")
    queue.put_all([b"two", b"three"])
    queue.put(b"zero", priority=1)
    other = connect().LockingQueue(f"{path}/queue")
    assert len(other) == 4
    assert queue.get(timeout=PATIENCE_S) == b"zero"
    assert queue.get(timeout=PATIENCE_S) == b"zero"
    assert queue.holds_lock() is True
    assert other.get(timeout=PATIENCE_S) == b"one"
    assert queue.consume() is True
    assert queue.consume() is False
    assert len(queue) == 3
    # Released, an entry is the next one's.
    assert other.release() is True
    assert queue.get(timeout=PATIENCE_S) == b"one"
    assert queue.consume() is True
    assert [queue.get(timeout=PATIENCE_S), queue.consume()] == [b"two", True]
    assert [queue.get(timeout=PATIENCE_S), queue.consume()] == [b"three", True]
    assert len(other) == 0


def test_locking_queue_wakes_a_waiting_taker(zk, connect, path):
    other = connect().LockingQueue(f"{path}/queue")
    with ThreadPoolExecutor(max_workers=1) as pool:
        waiting = pool.submit(other.get, timeout=PATIENCE_S)
        zk.LockingQueue(f"{path}/queue").put(b"here")
        assert waiting.result(2 * PATIENCE_S) == b"here"
    assert other.consume() is True


def test_locking_queue_frees_the_entries_of_a_dead_taker(zk, connect, path):
    queue = zk.LockingQueue(f"{path}/queue")
    queue.put(b"one")
    dying = connect()
    assert dying.LockingQueue(f"{path}/queue").get(timeout=PATIENCE_S) == b"one"
    assert queue.get(timeout=0.1) is None
    dying.stop()
    assert queue.get(timeout=PATIENCE_S) == b"one"
    assert queue.consume() is True

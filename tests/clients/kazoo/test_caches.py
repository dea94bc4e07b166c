"""Recipes that follow: DataWatch, ChildrenWatch, TreeCache."""

from kazoo.recipe.cache import TreeCache, TreeEvent

from conftest import wait_until


def test_data_watch(zk, connect, path):
    other = connect()
    seen = []

    @zk.DataWatch(f"{path}/a")
    def watch(data, stat, event):
        seen.append((data, stat and stat.version, event and event.type))

    assert seen == [(None, None, None)]
    other.create(f"{path}/a", b"0")
    wait_until(lambda: len(seen) == 2, "the creation")
    other.set(f"{path}/a", b"1")
    wait_until(lambda: len(seen) == 3, "the change")
    other.delete(f"{path}/a")
    wait_until(lambda: len(seen) == 4, "the deletion")
    other.create(f"{path}/a", b"again")
    wait_until(lambda: len(seen) == 5, "the second creation")
    assert seen == [
        (None, None, None),
        (b"0", 0, "CREATED"),
        (b"1", 1, "CHANGED"),
        (None, None, "DELETED"),
        (b"again", 0, "CREATED"),
    ]


def test_data_watch_always_ends_at_the_last_value(zk, connect, path):
    other = connect()
    other.create(f"{path}/a", b"start")
    seen = []
    zk.DataWatch(f"{path}/a", lambda data, stat: seen.append((stat.version, data)))
    for n in range(1, 101):
        other.set_async(f"{path}/a", b"%d" % n)
    wait_until(lambda: seen[-1] == (100, b"100"), "the last value")
    # Changes may be skipped, but never told twice or out of order.
    versions = [version for version, _ in seen]
    assert versions == sorted(set(versions))


def test_data_watch_stops_when_told(zk, path):
    zk.create(f"{path}/a", b"0")
    seen, fence = [], []

    def watch(data, stat):
        seen.append(data)
        return data == b"0"

    zk.DataWatch(f"{path}/a", watch)
    zk.set(f"{path}/a", b"1")
    wait_until(lambda: seen == [b"0", b"1"], "the change")
    zk.DataWatch(f"{path}/a", lambda data, stat: fence.append(data))
    zk.set(f"{path}/a", b"2")
    wait_until(lambda: fence == [b"1", b"2"], "the later watch")
    assert seen == [b"0", b"1"]


def test_children_watch(zk, connect, path):
    other = connect()
    seen = []

    @zk.ChildrenWatch(path, send_event=True)
    def watch(names, event):
        seen.append((sorted(names), event and event.type))

    other.create(f"{path}/a")
    wait_until(lambda: len(seen) == 2, "the first child")
    other.create(f"{path}/b")
    wait_until(lambda: len(seen) == 3, "the second child")
    other.delete(f"{path}/a")
    wait_until(lambda: len(seen) == 4, "the deletion")
    assert seen == [
        ([], None),
        (["a"], "CHILD"),
        (["a", "b"], "CHILD"),
        (["b"], "CHILD"),
    ]


def test_children_watch_always_ends_at_the_last_list(zk, connect, path):
    other = connect()
    seen = []
    zk.ChildrenWatch(path, lambda names: seen.append(set(names)))
    for n in range(100):
        other.create_async(f"{path}/n{n}")
    for n in range(0, 100, 2):
        other.delete_async(f"{path}/n{n}")
    expected = {f"n{n}" for n in range(1, 100, 2)}
    wait_until(lambda: seen[-1] == expected, "the last list")


def test_tree_cache(zk, connect, path):
    other = connect()
    other.create(f"{path}/tree", b"root")
    other.create(f"{path}/tree/a", b"1")
    other.create(f"{path}/tree/a/deep", b"2")
    events = []
    cache = TreeCache(zk, f"{path}/tree")
    cache.listen(lambda event: events.append(event))
    faults = []
    cache.listen_fault(faults.append)
    cache.start()
    try:
        wait_until(
            lambda: any(event.event_type == TreeEvent.INITIALIZED for event in events),
            "the first load",
        )
        assert cache.get_data(f"{path}/tree/a").data == b"1"
        assert cache.get_data(f"{path}/tree/a/deep").data == b"2"
        assert cache.get_children(f"{path}/tree") == frozenset(["a"])
        assert cache.get_data(f"{path}/tree/missing") is None

        del events[:]
        other.set(f"{path}/tree/a/deep", b"3")
        wait_until(lambda: len(events) == 1, "the change")
        other.create(f"{path}/tree/b", b"new")
        wait_until(lambda: len(events) == 2, "the new znode")
        other.delete(f"{path}/tree/a/deep")
        wait_until(lambda: len(events) == 3, "the deletion")
        told = [(event.event_type, event.event_data.path) for event in events]
        assert told == [
            (TreeEvent.NODE_UPDATED, f"{path}/tree/a/deep"),
            (TreeEvent.NODE_ADDED, f"{path}/tree/b"),
            (TreeEvent.NODE_REMOVED, f"{path}/tree/a/deep"),
        ]
        assert events[0].event_data.data == b"3"
        assert cache.get_children(f"{path}/tree") == frozenset(["a", "b"])
        assert cache.get_children(f"{path}/tree/a") == frozenset()
        assert faults == []
    finally:
        cache.close()


def test_tree_cache_catches_up_after_a_lost_connection(zk, connect, proxy, path):
    zk.create(f"{path}/tree", b"")
    zk.create(f"{path}/tree/a", b"1")
    zk.create(f"{path}/tree/b", b"1")
    away = connect(hosts=proxy.address)
    events = []
    cache = TreeCache(away, f"{path}/tree")
    cache.listen(lambda event: events.append(event.event_type))
    cache.start()
    try:
        wait_until(lambda: TreeEvent.INITIALIZED in events, "the first load")
        proxy.cut()
        wait_until(lambda: TreeEvent.CONNECTION_SUSPENDED in events, "the loss")
        zk.set(f"{path}/tree/a", b"2")
        zk.delete(f"{path}/tree/b")
        zk.create(f"{path}/tree/c", b"1")
        proxy.restore()
        wait_until(lambda: TreeEvent.CONNECTION_RECONNECTED in events, "the way back")
        wait_until(
            lambda: cache.get_children(f"{path}/tree") == frozenset(["a", "c"])
            and cache.get_data(f"{path}/tree/a").data == b"2",
            "the state of the server",
        )
    finally:
        cache.close()

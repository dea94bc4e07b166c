"""One-shot watches: which change fires which, once, in the order of the changes."""

import threading

import pytest
from kazoo.exceptions import NoNodeError
from kazoo.protocol.states import EventType, KazooState

from conftest import PATIENCE_S, wait_until


class Events:
    """Collects watch events as (type, path)."""

    def __init__(self):
        self.seen = []

    def __call__(self, event):
        self.seen.append((event.type, event.path))

    def settle(self, client, path):
        """All events of changes made so far, once this client has seen its next reply.

        The event of a change comes before the reply to a read made after it. The client calls
        watchers on one thread in the order of arrival, so a later event of our own marks the end.
        """
        fence = f"{path}/fence"
        passed = threading.Event()
        client.create(fence)
        client.exists(fence, watch=lambda event: passed.set())
        client.delete(fence)
        assert passed.wait(PATIENCE_S)
        return list(self.seen)


@pytest.fixture
def events():
    return Events()


@pytest.fixture
def other(connect):
    return connect()


def test_data_watch_fires_once(zk, other, path, events):
    zk.create(f"{path}/a", b"0")
    zk.get(f"{path}/a", watch=events)
    other.set(f"{path}/a", b"1")
    other.set(f"{path}/a", b"2")
    assert events.settle(zk, path) == [(EventType.CHANGED, f"{path}/a")]


def test_own_changes_fire_too(zk, path, events):
    zk.create(f"{path}/a", b"0")
    zk.get(f"{path}/a", watch=events)
    zk.set(f"{path}/a", b"1")
    assert events.settle(zk, path) == [(EventType.CHANGED, f"{path}/a")]


def test_setting_equal_data_fires(zk, other, path, events):
    zk.create(f"{path}/a", b"same")
    zk.get(f"{path}/a", watch=events)
    other.set(f"{path}/a", b"same")
    assert events.settle(zk, path) == [(EventType.CHANGED, f"{path}/a")]


def test_exists_watch_on_a_missing_znode(zk, other, path, events):
    assert zk.exists(f"{path}/a", watch=events) is None
    other.create(f"{path}/a")
    other.set(f"{path}/a", b"1")
    assert events.settle(zk, path) == [(EventType.CREATED, f"{path}/a")]


def test_exists_watch_sees_change_and_delete(zk, other, path, events):
    other.create(f"{path}/a")
    zk.exists(f"{path}/a", watch=events)
    other.set(f"{path}/a", b"1")
    wait_until(lambda: len(events.seen) == 1, "the change")
    zk.exists(f"{path}/a", watch=events)
    other.delete(f"{path}/a")
    assert events.settle(zk, path) == [
        (EventType.CHANGED, f"{path}/a"),
        (EventType.DELETED, f"{path}/a"),
    ]


def test_child_watch(zk, other, path, events):
    other.create(f"{path}/a")
    other.create(f"{path}/a/old")
    zk.get_children(f"{path}/a", watch=events)
    # Neither the parent's own data nor a child's data is a change of the list.
    other.set(f"{path}/a", b"x")
    other.set(f"{path}/a/old", b"x")
    other.create(f"{path}/a/old/grandchild")
    assert events.settle(zk, path) == []
    other.create(f"{path}/a/new")
    assert events.settle(zk, path) == [(EventType.CHILD, f"{path}/a")]
    zk.get_children(f"{path}/a", watch=events)
    other.delete(f"{path}/a/new")
    assert events.settle(zk, path) == [(EventType.CHILD, f"{path}/a")] * 2


def test_delete_ends_data_and_child_watches(zk, other, path):
    data, children = Events(), Events()
    zk.create(f"{path}/a")
    zk.get(f"{path}/a", watch=data)
    zk.get_children(f"{path}/a", watch=children)
    other.delete(f"{path}/a")
    assert data.settle(zk, path) == [(EventType.DELETED, f"{path}/a")]
    assert children.seen == [(EventType.DELETED, f"{path}/a")]
    with pytest.raises(NoNodeError):
        zk.get_children(f"{path}/a", watch=children)
    other.create(f"{path}/a")
    # A failed read leaves no watch behind.
    assert children.settle(zk, path) == [(EventType.DELETED, f"{path}/a")]


def test_events_come_in_the_order_of_the_changes(zk, other, path, events):
    names = [f"{path}/n{n:02d}" for n in range(40)]
    for name in names:
        zk.create(name)
        zk.get(name, watch=events)
    changed = names[::3] + names[1::3] + names[2::3]
    for name in changed:
        other.set_async(name, b"x")
    wait_until(lambda: len(events.seen) == len(changed), "all events")
    assert events.seen == [(EventType.CHANGED, name) for name in changed]


def test_a_multi_fires_for_each_of_its_changes(zk, other, path, events):
    zk.create(f"{path}/a")
    zk.create(f"{path}/b")
    zk.get(f"{path}/a", watch=events)
    zk.exists(f"{path}/c", watch=events)
    zk.exists(f"{path}/b", watch=events)
    transaction = other.transaction()
    transaction.set_data(f"{path}/a", b"1")
    transaction.create(f"{path}/c")
    transaction.delete(f"{path}/b")
    transaction.commit()
    assert events.settle(zk, path) == [
        (EventType.CHANGED, f"{path}/a"),
        (EventType.CREATED, f"{path}/c"),
        (EventType.DELETED, f"{path}/b"),
    ]


def test_a_failed_multi_fires_nothing(zk, other, path, events):
    zk.create(f"{path}/a")
    zk.get(f"{path}/a", watch=events)
    transaction = other.transaction()
    transaction.set_data(f"{path}/a", b"1")
    transaction.check(f"{path}/missing", version=0)
    transaction.commit()
    assert events.settle(zk, path) == []


def test_a_lost_connection_drops_watches_and_recipes_set_them_again(zk, connect, proxy, path):
    """kazoo forgets plain watches when a connection is lost, and its watcher recipes read again."""
    zk.create(f"{path}/a", b"0")
    away = connect(hosts=proxy.address)
    session = away.client_id
    events, values, lists = Events(), [], []
    away.get(f"{path}/a", watch=events)
    away.DataWatch(f"{path}/a", lambda data, stat: values.append(data))
    away.ChildrenWatch(f"{path}/a", lambda names: lists.append(sorted(names)))
    assert (values, lists) == ([b"0"], [[]])
    proxy.cut()
    wait_until(lambda: away.state == KazooState.SUSPENDED, "the loss of the connection")
    zk.set(f"{path}/a", b"1")
    zk.create(f"{path}/a/child")
    proxy.restore()
    wait_until(lambda: values[-1] == b"1" and lists[-1] == ["child"], "the news of the time away")
    assert away.client_id == session
    zk.set(f"{path}/a", b"2")
    zk.create(f"{path}/a/sister")
    wait_until(lambda: values[-1] == b"2" and lists[-1] == ["child", "sister"], "further news")
    assert events.seen == [(EventType.NONE, None)]

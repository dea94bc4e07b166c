"""Create, read, write, delete: values, versions, zxids and error types of plain requests."""

import time

import pytest
from kazoo.exceptions import (
    BadArgumentsError,
    BadVersionError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
)

from conftest import wait_until


def test_create_then_get(zk, path):
    before_ms = int(time.time() * 1000)
    assert zk.create(f"{path}/a", b"one") == f"{path}/a"
    data, stat = zk.get(f"{path}/a")
    assert data == b"one"
    assert (stat.version, stat.cversion, stat.aversion) == (0, 0, 0)
    assert (stat.dataLength, stat.numChildren, stat.ephemeralOwner) == (3, 0, 0)
    assert stat.czxid == stat.mzxid == stat.pzxid > 0
    assert stat.ctime == stat.mtime
    assert before_ms - 5000 <= stat.ctime <= int(time.time() * 1000) + 5000


def test_create_can_answer_with_the_stat(zk, path):
    made, stat = zk.create(f"{path}/a", b"12345", include_data=True)
    assert made == f"{path}/a"
    assert stat == zk.exists(made)
    assert (stat.version, stat.dataLength) == (0, 5)


@pytest.mark.parametrize("value", [b"", b"\x00", bytes(range(256)), b"x" * 900_000], ids=len)
def test_values_come_back_as_they_went(zk, path, value):
    zk.create(f"{path}/a", value)
    data, stat = zk.get(f"{path}/a")
    assert data == value
    assert stat.dataLength == len(value)


def test_unicode_names(zk, path):
    name = "grüße-雪"
    zk.create(f"{path}/{name}", b"v")
    assert zk.get_children(path) == [name]
    assert zk.get(f"{path}/{name}")[0] == b"v"
    # ZooKeeper 3.9, PathUtils: no control characters, nothing outside the basic plane.
    for refused in ("\x01", "\u007f", "\U0001f9ca", "\uf000", "\ufff0"):
        with pytest.raises(BadArgumentsError):
            zk.create(f"{path}/{refused}")
    assert zk.get_children(path) == [name]


def test_create_errors(zk, path):
    with pytest.raises(NoNodeError):
        zk.create(f"{path}/missing/child")
    zk.create(f"{path}/a", b"first")
    with pytest.raises(NodeExistsError):
        zk.create(f"{path}/a", b"second")
    assert zk.get(f"{path}/a")[0] == b"first"


def test_makepath_and_ensure_path(zk, path):
    zk.create(f"{path}/p/q/r", b"leaf", makepath=True)
    assert zk.get(f"{path}/p/q")[0] == b""
    assert zk.get(f"{path}/p/q/r")[0] == b"leaf"
    zk.ensure_path(f"{path}/p/q/r/s")
    zk.ensure_path(f"{path}/p/q/r/s")
    assert zk.get_children(f"{path}/p/q/r") == ["s"]


def test_set_moves_version_and_mzxid(zk, path):
    zk.create(f"{path}/a", b"0")
    created = zk.exists(f"{path}/a")
    stats = [zk.set(f"{path}/a", b"%d" % n) for n in range(1, 6)]
    assert [stat.version for stat in stats] == [1, 2, 3, 4, 5]
    zxids = [created.mzxid] + [stat.mzxid for stat in stats]
    assert zxids == sorted(set(zxids))
    data, stat = zk.get(f"{path}/a")
    assert data == b"5"
    assert stat == stats[-1]
    assert stat.czxid == stat.pzxid == created.czxid
    assert stat.mtime >= stat.ctime


def test_set_with_a_version(zk, path):
    zk.create(f"{path}/a", b"0")
    assert zk.set(f"{path}/a", b"1", version=0).version == 1
    for stale in (0, 2):
        with pytest.raises(BadVersionError):
            zk.set(f"{path}/a", b"x", version=stale)
    assert zk.set(f"{path}/a", b"2", version=-1).version == 2
    assert zk.get(f"{path}/a")[0] == b"2"
    with pytest.raises(NoNodeError):
        zk.set(f"{path}/missing", b"x")


def test_delete(zk, path):
    zk.create(f"{path}/a")
    zk.create(f"{path}/a/b")
    with pytest.raises(NotEmptyError):
        zk.delete(f"{path}/a")
    with pytest.raises(NoNodeError):
        zk.delete(f"{path}/missing")
    zk.set(f"{path}/a/b", b"1")
    with pytest.raises(BadVersionError):
        zk.delete(f"{path}/a/b", version=0)
    assert zk.delete(f"{path}/a/b", version=1) is True
    assert zk.exists(f"{path}/a/b") is None
    zk.delete(f"{path}/a")
    with pytest.raises(NoNodeError):
        zk.get(f"{path}/a")


def test_recursive_delete(zk, path):
    for name in ("a", "a/b", "a/c", "a/b/d"):
        zk.create(f"{path}/{name}")
    zk.delete(f"{path}/a", recursive=True)
    assert zk.get_children(path) == []


def test_exists(zk, path):
    assert zk.exists(f"{path}/a") is None
    zk.create(f"{path}/a", b"abc")
    stat = zk.exists(f"{path}/a")
    assert (stat.version, stat.dataLength) == (0, 3)


def test_children_and_the_parents_stat(zk, path):
    assert zk.get_children(path) == []
    for name in ("c", "a", "b"):
        zk.create(f"{path}/{name}")
    children, stat = zk.get_children(path, include_data=True)
    assert sorted(children) == ["a", "b", "c"]
    assert (stat.numChildren, stat.cversion, stat.version) == (3, 3, 0)
    assert stat.pzxid == zk.exists(f"{path}/b").czxid
    zk.delete(f"{path}/a")
    after = zk.exists(path)
    assert (after.numChildren, after.cversion) == (2, 4)
    assert after.pzxid > stat.pzxid
    assert after.mzxid == stat.mzxid
    # Data of a child is no change of the parent.
    zk.set(f"{path}/b", b"x")
    assert zk.exists(path) == after
    with pytest.raises(NoNodeError):
        zk.get_children(f"{path}/missing")


def test_sequential_names(zk, path):
    names = [zk.create(f"{path}/s-", sequence=True) for _ in range(5)]
    assert names == [f"{path}/s-{n:010d}" for n in range(5)]
    # The number counts every child ever made, whatever its name, and never runs backwards.
    zk.create(f"{path}/plain")
    zk.delete(names[-1])
    assert zk.create(f"{path}/t-", sequence=True) == f"{path}/t-0000000006"
    assert zk.create(f"{path}/", sequence=True) == f"{path}/0000000007"
    assert zk.exists(path).cversion == 9


def test_pipelined_requests_are_answered_in_order(zk, path):
    count = 1000
    creates = [zk.create_async(f"{path}/n{n:04d}", b"%d" % n) for n in range(count)]
    sets = [zk.set_async(f"{path}/n{n:04d}", b"new %d" % n, version=0) for n in range(count)]
    gets = [zk.get_async(f"{path}/n{n:04d}") for n in range(count)]
    deletes = [zk.delete_async(f"{path}/n{n:04d}", version=1) for n in range(count)]
    listing = zk.get_children_async(path)
    assert [done.get(30) for done in creates] == [f"{path}/n{n:04d}" for n in range(count)]
    mzxids = [done.get(30).mzxid for done in sets]
    assert all(a < b for a, b in zip(mzxids, mzxids[1:]))
    for n, done in enumerate(gets):
        data, stat = done.get(30)
        assert data == b"new %d" % n
        assert stat.mzxid == mzxids[n]
    assert all(done.get(30) is True for done in deletes)
    assert listing.get(30) == []


def test_what_one_client_was_told_another_sees(zk, connect, path):
    other = connect()
    zk.create(f"{path}/a", b"0")
    for n in range(50):
        zk.set(f"{path}/a", b"%d" % n)
        assert other.get(f"{path}/a")[0] == b"%d" % n
        other.set(f"{path}/a", b"back %d" % n)
        assert zk.get(f"{path}/a")[0] == b"back %d" % n


def test_sync(zk, path):
    assert zk.sync(path) == path


def test_root_and_the_system_znode(zk, root):
    assert {"zookeeper", root[1:]} <= set(zk.get_children("/"))
    assert zk.exists("/zookeeper/quota") is not None


def test_four_letter_words(zk):
    assert zk.command(b"ruok") == "imok"
    assert zk.server_version() >= (3, 5, 0)


def test_chroot(server, zk, connect, path):
    inside = connect(hosts=f"{server}{path}")
    assert inside.create("/a", b"v") == "/a"
    assert inside.create("/s-", sequence=True) == "/s-0000000001"
    assert zk.get(f"{path}/a")[0] == b"v"
    assert sorted(inside.get_children("/")) == ["a", "s-0000000001"]
    events = []
    inside.get("/a", watch=events.append)
    zk.set(f"{path}/a", b"w")
    wait_until(lambda: events, "the watch under the chroot")
    assert [(event.type, event.path) for event in events] == [("CHANGED", "/a")]
    inside.delete("/a")
    assert zk.exists(f"{path}/a") is None

"""Multi: all or nothing, one zxid, results in the order of the operations."""

from kazoo.exceptions import (
    BadVersionError,
    NoNodeError,
    NodeExistsError,
    NotEmptyError,
    RolledBackError,
    RuntimeInconsistency,
)


def kinds(results):
    return [type(result) for result in results]


def test_commit_applies_everything_under_one_zxid(zk, path):
    zk.create(f"{path}/old", b"0")
    transaction = zk.transaction()
    transaction.check(f"{path}/old", version=0)
    transaction.create(f"{path}/a", b"one")
    transaction.create(f"{path}/a/b", b"two")
    transaction.set_data(f"{path}/a", b"three", version=0)
    transaction.delete(f"{path}/old", version=0)
    checked, made, child, stat, deleted = transaction.commit()
    assert (checked, made, child, deleted) == (True, f"{path}/a", f"{path}/a/b", True)
    assert stat.version == 1
    data, now = zk.get(f"{path}/a")
    assert data == b"three"
    assert now.czxid == now.mzxid == now.pzxid == stat.mzxid
    assert zk.exists(f"{path}/a/b").czxid == now.czxid
    assert zk.exists(f"{path}/old") is None
    assert zk.exists(path).pzxid == now.czxid


def test_failure_applies_nothing(zk, path):
    zk.create(f"{path}/a", b"0")
    before = zk.exists(path)
    transaction = zk.transaction()
    transaction.create(f"{path}/b")
    transaction.set_data(f"{path}/a", b"1")
    transaction.check(f"{path}/a", version=7)
    transaction.delete(f"{path}/a")
    results = transaction.commit()
    assert kinds(results) == [RolledBackError, RolledBackError, BadVersionError, RuntimeInconsistency]
    assert zk.get_children(path) == ["a"]
    assert zk.get(f"{path}/a")[0] == b"0"
    assert zk.exists(path) == before


def test_the_first_failure_is_named(zk, path):
    zk.create(f"{path}/full")
    zk.create(f"{path}/full/child")
    cases = [
        (NodeExistsError, lambda t: t.create(f"{path}/full")),
        (NoNodeError, lambda t: t.create(f"{path}/missing/child")),
        (NoNodeError, lambda t: t.set_data(f"{path}/missing", b"")),
        (NoNodeError, lambda t: t.check(f"{path}/missing", version=0)),
        (NoNodeError, lambda t: t.delete(f"{path}/missing")),
        (NotEmptyError, lambda t: t.delete(f"{path}/full")),
        (BadVersionError, lambda t: t.delete(f"{path}/full", version=3)),
    ]
    for expected, add in cases:
        transaction = zk.transaction()
        transaction.create(f"{path}/undone")
        add(transaction)
        assert kinds(transaction.commit()) == [RolledBackError, expected]
    assert zk.get_children(path) == ["full"]


def test_later_operations_see_earlier_ones(zk, path):
    zk.create(f"{path}/a", b"first")
    transaction = zk.transaction()
    transaction.delete(f"{path}/a")
    transaction.create(f"{path}/a", b"second")
    transaction.set_data(f"{path}/a", b"third", version=0)
    transaction.check(f"{path}/a", version=1)
    assert kinds(transaction.commit())[0] is bool
    data, stat = zk.get(f"{path}/a")
    assert (data, stat.version) == (b"third", 1)


def test_sequential_and_ephemeral_creates(zk, connect, path):
    other = connect()
    transaction = other.transaction()
    for _ in range(3):
        transaction.create(f"{path}/s-", sequence=True)
    transaction.create(f"{path}/e", ephemeral=True)
    transaction.create(f"{path}/es-", ephemeral=True, sequence=True)
    names = transaction.commit()
    assert names == [
        f"{path}/s-0000000000",
        f"{path}/s-0000000001",
        f"{path}/s-0000000002",
        f"{path}/e",
        f"{path}/es-0000000004",
    ]
    assert zk.exists(f"{path}/e").ephemeralOwner == other.client_id[0]
    other.stop()
    assert sorted(zk.get_children(path)) == [name.rsplit("/", 1)[1] for name in names[:3]]


def test_a_failed_multi_takes_no_sequence_number(zk, path):
    transaction = zk.transaction()
    transaction.create(f"{path}/s-", sequence=True)
    transaction.check(f"{path}/missing", version=0)
    assert kinds(transaction.commit()) == [RolledBackError, NoNodeError]
    assert zk.create(f"{path}/s-", sequence=True) == f"{path}/s-0000000000"


def test_empty_transaction(zk):
    assert zk.transaction().commit() == []


def test_many_operations(zk, path):
    transaction = zk.transaction()
    for n in range(500):
        transaction.create(f"{path}/n{n}", b"%d" % n)
    assert transaction.commit() == [f"{path}/n{n}" for n in range(500)]
    assert len({zk.exists(f"{path}/n{n}").czxid for n in (0, 250, 499)}) == 1
    assert zk.exists(path).numChildren == 500


def test_context_manager_commits(zk, path):
    with zk.transaction() as transaction:
        transaction.create(f"{path}/a", b"v")
    assert zk.get(f"{path}/a")[0] == b"v"

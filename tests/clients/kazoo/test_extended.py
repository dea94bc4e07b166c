"""Container and TTL znodes.

kazoo 2.11 has no call for them, so the two requests are spelled out here and sent through the
client's own connection, like any other request of its.
"""

from collections import namedtuple

import pytest
from kazoo.exceptions import BadArgumentsError, NodeExistsError
from kazoo.protocol.serialization import (
    Create2,
    int_struct,
    long_struct,
    write_buffer,
    write_string,
)
from kazoo.security import OPEN_ACL_UNSAFE

from conftest import PATIENCE_S, wait_until

CONTAINER = 4
PERSISTENT_WITH_TTL = 5
PERSISTENT_SEQUENTIAL_WITH_TTL = 6


def _create_body(path, data, flags):
    body = bytearray(write_string(path) + write_buffer(data) + int_struct.pack(1))
    acl = OPEN_ACL_UNSAFE[0]
    body.extend(int_struct.pack(acl.perms) + write_string(acl.id.scheme) + write_string(acl.id.id))
    body.extend(int_struct.pack(flags))
    return body


class CreateContainer(namedtuple("CreateContainer", "path data flags")):
    type = 19
    deserialize = Create2.deserialize

    def serialize(self):
        return _create_body(*self)


class CreateTtl(namedtuple("CreateTtl", "path data flags ttl_ms")):
    type = 21
    deserialize = Create2.deserialize

    def serialize(self):
        body = _create_body(self.path, self.data, self.flags)
        return body + long_struct.pack(self.ttl_ms)


def call(client, request):
    done = client.handler.async_result()
    client._call(request, done)
    return done.get(timeout=PATIENCE_S)


def create_container(client, path, data=b""):
    return call(client, CreateContainer(path, data, CONTAINER))


def create_ttl(client, path, ttl_ms, flags=PERSISTENT_WITH_TTL, data=b""):
    return call(client, CreateTtl(path, data, flags, ttl_ms))


def test_container_is_an_ordinary_parent(zk, connect, path):
    other = connect()
    made, stat = create_container(other, f"{path}/c", b"v")
    assert made == f"{path}/c"
    assert (stat.version, stat.dataLength) == (0, 1)
    other.create(f"{path}/c/child")
    with pytest.raises(NodeExistsError):
        create_container(zk, f"{path}/c")
    other.stop()
    # It belongs to no session.
    data, now = zk.get(f"{path}/c")
    assert data == b"v"
    assert now.numChildren == 1
    assert zk.get_children(f"{path}/c") == ["child"]


def test_ttl_znode_outlives_its_session(zk, connect, path):
    other = connect()
    made, stat = create_ttl(other, f"{path}/t", 600_000, data=b"v")
    assert (made, stat.version, stat.dataLength) == (f"{path}/t", 0, 1)
    other.create(f"{path}/t/child")
    other.stop()
    assert zk.get(f"{path}/t")[0] == b"v"
    assert zk.set(f"{path}/t", b"w").version == 1
    assert zk.get_children(f"{path}/t") == ["child"]


def test_ttl_sequential(zk, path):
    names = [
        create_ttl(zk, f"{path}/s-", 600_000, flags=PERSISTENT_SEQUENTIAL_WITH_TTL)[0]
        for _ in range(3)
    ]
    assert names == [f"{path}/s-{n:010d}" for n in range(3)]


@pytest.mark.parametrize("ttl_ms", [0, -1, 1 << 40], ids=["zero", "negative", "too-long"])
def test_ttl_out_of_range(zk, path, ttl_ms):
    with pytest.raises(BadArgumentsError):
        create_ttl(zk, f"{path}/t", ttl_ms)
    assert zk.exists(f"{path}/t") is None


@pytest.mark.usefixtures("reaping")
def test_an_empty_container_goes_after_use(zk, path):
    create_container(zk, f"{path}/used")
    create_container(zk, f"{path}/fresh")
    zk.create(f"{path}/used/child")
    events = []
    zk.exists(f"{path}/used", watch=lambda event: events.append(event.type))
    zk.delete(f"{path}/used/child")
    wait_until(lambda: events == ["DELETED"], "the end of the container")
    # One that never had a child waits for its first.
    assert zk.get_children(path) == ["fresh"]


@pytest.mark.usefixtures("reaping")
def test_a_ttl_znode_goes_when_nobody_touches_it(zk, path):
    create_ttl(zk, f"{path}/short", 50)
    create_ttl(zk, f"{path}/long", 600_000)
    create_ttl(zk, f"{path}/parent", 50)
    zk.create(f"{path}/parent/child")
    wait_until(lambda: zk.exists(f"{path}/short") is None, "the end of the TTL znode")
    # Children keep a TTL znode, and a long TTL has not passed yet.
    assert sorted(zk.get_children(path)) == ["long", "parent"]

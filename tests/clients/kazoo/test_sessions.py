"""Sessions: ephemerals, resume, expiry, passwords, lost connections."""

import pytest
from kazoo.exceptions import NoChildrenForEphemeralsError
from kazoo.protocol.states import KazooState

from conftest import wait_until


def record_states(client):
    """The list of states this client goes through from now on; it grows as they come."""
    states = []
    client.add_listener(lambda state: states.append(state))
    return states


def test_ephemerals_go_with_their_session(zk, connect, path):
    owner = connect()
    owner.create(f"{path}/e", b"v", ephemeral=True)
    owner.create(f"{path}/s-", ephemeral=True, sequence=True)
    owner.create(f"{path}/stays")
    assert zk.exists(f"{path}/e").ephemeralOwner == owner.client_id[0]
    assert sorted(zk.get_children(path)) == ["e", "s-0000000001", "stays"]
    gone = []
    zk.get(f"{path}/e", watch=lambda event: gone.append(event.type))
    owner.stop()
    # The session's end is answered after its ephemerals are gone.
    assert zk.get_children(path) == ["stays"]
    wait_until(lambda: gone == ["DELETED"], "the event of the ephemeral's end")


def test_ephemerals_have_no_children(zk, path):
    zk.create(f"{path}/e", ephemeral=True)
    with pytest.raises(NoChildrenForEphemeralsError):
        zk.create(f"{path}/e/child")
    assert zk.exists(f"{path}/e").numChildren == 0


def test_anyone_may_delete_an_ephemeral(zk, connect, path):
    owner = connect()
    owner.create(f"{path}/e", ephemeral=True)
    zk.delete(f"{path}/e")
    # It does not come back, and a successor of the same name is not the old owner's to take along.
    zk.create(f"{path}/e")
    owner.stop()
    assert zk.exists(f"{path}/e").ephemeralOwner == 0


def test_session_ids_differ(connect):
    ids = [connect().client_id for _ in range(5)]
    assert len({session for session, _ in ids}) == 5
    assert all(session != 0 and len(password) == 16 for session, password in ids)


def test_resume_by_client_id(zk, connect, proxy, path):
    first = connect(hosts=proxy.address)
    session = first.client_id
    first.create(f"{path}/e", ephemeral=True)
    proxy.cut()
    wait_until(lambda: first.state == KazooState.SUSPENDED, "the loss of the connection")
    second = connect(client_id=session)
    assert second.client_id == session
    assert zk.exists(f"{path}/e").ephemeralOwner == session[0]
    second.set(f"{path}/e", b"from the second")
    second.stop()
    assert zk.exists(f"{path}/e") is None


def test_a_wrong_password_gets_no_session(zk, connect, path):
    owner = connect()
    session, password = owner.client_id
    owner.create(f"{path}/e", ephemeral=True)
    wrong = bytes(16) if password != bytes(16) else b"\x01" * 16
    thief = connect(start=False, client_id=(session, wrong))
    states = record_states(thief)
    thief.start(timeout=15)
    # Told that the session is gone, kazoo opens a new one of its own.
    assert thief.client_id[0] != session
    assert states[-1] == KazooState.CONNECTED
    thief.create(f"{path}/own", ephemeral=True)
    thief.stop()
    assert zk.exists(f"{path}/own") is None
    assert zk.exists(f"{path}/e").ephemeralOwner == session


def test_a_closed_session_cannot_be_resumed(connect):
    first = connect()
    session = first.client_id
    first.stop()
    second = connect(client_id=session)
    assert second.client_id[0] != session[0]


def test_a_short_loss_keeps_the_session(zk, connect, proxy, path):
    client = connect(hosts=proxy.address)
    states = record_states(client)
    session = client.client_id
    client.create(f"{path}/e", ephemeral=True)
    for _ in range(3):
        proxy.cut()
        wait_until(lambda: client.state == KazooState.SUSPENDED, "the loss of the connection")
        proxy.restore()
        wait_until(lambda: client.connected, "the way back")
        assert client.get(f"{path}/e")[1].ephemeralOwner == session[0]
    assert client.client_id == session
    assert states == [KazooState.SUSPENDED, KazooState.CONNECTED] * 3
    assert zk.exists(f"{path}/e") is not None


def test_expiry(zk, connect, proxy, path):
    """A session whose client is away for too long ends: ephemerals, locks and watches with it."""
    client = connect(hosts=proxy.address, timeout=1.0)
    states = record_states(client)
    session = client.client_id
    client.create(f"{path}/e", ephemeral=True)
    gone = []
    zk.get(f"{path}/e", watch=lambda event: gone.append(event.type))
    proxy.cut()
    wait_until(lambda: gone == ["DELETED"], "the end of the ephemeral")
    assert zk.exists(f"{path}/e") is None
    proxy.restore()
    wait_until(lambda: KazooState.LOST in states, "the word that the session is over")
    wait_until(lambda: client.connected, "a new session")
    assert client.client_id[0] != session[0]
    assert states == [KazooState.SUSPENDED, KazooState.LOST, KazooState.CONNECTED]


def test_pings_keep_an_idle_session(zk, connect, path):
    client = connect(timeout=2.0)
    states = record_states(client)
    session = client.client_id
    client.create(f"{path}/e", ephemeral=True)
    gone = []
    zk.get(f"{path}/e", watch=gone.append)
    # Longer than the session lives without pings, expiry rounding included.
    watched = client.handler.event_object()
    assert watched.wait(3.5) is False
    assert gone == []
    assert states == []
    assert client.get(f"{path}/e")[1].ephemeralOwner == session[0]

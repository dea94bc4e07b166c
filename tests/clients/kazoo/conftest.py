"""Fixtures of the kazoo suite.

The suite talks to one running server, named by ``--server HOST:PORT``, and keeps to a top-level
znode of its own, so several suites can share the server. Every wait is on a condition and has an
end; nothing relies on a pause being long enough.
"""

import re
import time
import uuid

import pytest
from kazoo.client import KazooClient

from proxy import Proxy

# How long a condition may take, in seconds, before the test gives up. Generous, because the
# machine may be busy; a passing test never waits this long.
PATIENCE_S = 15.0

# Fast, steady reconnects: the default back-off would make the reconnect tests slow.
RECONNECT = {"max_tries": -1, "delay": 0.05, "backoff": 1, "max_delay": 0.1, "max_jitter": 0.0}


def pytest_addoption(parser):
    parser.addoption("--server", required=True, help="HOST:PORT of the server under test")
    parser.addoption(
        "--reaping",
        action="store_true",
        help="the server looks for empty containers and expired TTL znodes every few seconds",
    )


def wait_until(condition, what, patience_s=PATIENCE_S):
    """Polls ``condition`` until it is true and returns its value; fails the test at the deadline."""
    deadline = time.monotonic() + patience_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            pytest.fail(f"{what} did not happen within {patience_s} s")
        time.sleep(0.01)


@pytest.fixture(scope="session")
def server(request):
    return request.config.getoption("--server")


@pytest.fixture(scope="session")
def root(server):
    """The suite's own top-level znode; gone again when the suite ends."""
    path = f"/kazoo-{uuid.uuid4().hex[:12]}"
    client = KazooClient(hosts=server, timeout=20.0)
    client.start(timeout=PATIENCE_S)
    client.create(path)
    yield path
    client.delete(path, recursive=True)
    assert client.exists(path) is None
    client.stop()
    client.close()


@pytest.fixture
def connect(server):
    """A factory of started clients, all stopped when the test ends."""
    started = []

    def make(hosts=server, start=True, timeout=20.0, **options):
        client = KazooClient(
            hosts=hosts,
            timeout=timeout,
            connection_retry=RECONNECT,
            **options,
        )
        started.append(client)
        if start:
            client.start(timeout=PATIENCE_S)
        return client

    yield make
    for client in reversed(started):
        client.stop()
        client.close()


@pytest.fixture
def zk(connect):
    return connect()


@pytest.fixture
def path(zk, root, request):
    """A fresh, existing znode for this test."""
    name = re.sub(r"[^A-Za-z0-9_]", "-", request.node.name)
    made = f"{root}/{name}"
    zk.create(made)
    return made


@pytest.fixture
def proxy(server):
    """A TCP proxy in front of the server, to cut connections without closing sessions."""
    with Proxy(server) as running:
        yield running


@pytest.fixture
def reaping(request):
    """Asked for by tests that wait for the server to remove containers and TTL znodes."""
    if not request.config.getoption("--reaping"):
        pytest.skip("needs --reaping: by default a server only looks once a minute")

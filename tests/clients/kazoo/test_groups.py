"""Recipes that gather: Barrier, DoubleBarrier, Party, SetPartitioner, Counter."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from conftest import PATIENCE_S, wait_until


@pytest.fixture
def pool():
    with ThreadPoolExecutor(max_workers=16) as threads:
        yield threads


def test_barrier(zk, connect, path, pool):
    barrier = zk.Barrier(f"{path}/barrier")
    assert barrier.wait(0) is True
    barrier.create()
    assert barrier.wait(0.1) is False
    waiting = [pool.submit(connect().Barrier(f"{path}/barrier").wait, PATIENCE_S) for _ in range(3)]
    assert not any(done.done() for done in waiting)
    assert barrier.remove() is True
    assert [done.result(PATIENCE_S) for done in waiting] == [True] * 3
    assert barrier.remove() is False


def test_double_barrier(connect, path, pool):
    """Nobody is through the entrance before all have come, nobody out before all are done."""
    members = 4
    clients = [connect() for _ in range(members)]
    guard = threading.Lock()
    steps = []

    def note(step):
        with guard:
            steps.append(step)

    def work(n, client):
        barrier = client.DoubleBarrier(f"{path}/barrier", members, f"m{n}")
        note("come")
        barrier.enter()
        assert barrier.participating
        note("in")
        note("done")
        barrier.leave()
        note("out")

    running = [pool.submit(work, n, client) for n, client in enumerate(clients)]
    for done in running:
        done.result(2 * PATIENCE_S)
    assert steps[:members] == ["come"] * members
    assert sorted(steps[members : 3 * members]) == ["done"] * members + ["in"] * members
    assert steps[3 * members :] == ["out"] * members
    assert clients[0].get_children(f"{path}/barrier") == []


@pytest.mark.parametrize("kind", ["Party", "ShallowParty"])
def test_party(zk, connect, path, kind):
    clients = [connect() for _ in range(3)]
    parties = [
        getattr(client, kind)(f"{path}/party", f"m{n}") for n, client in enumerate(clients)
    ]
    for party in parties:
        party.join()
        party.join()
    seen = getattr(zk, kind)(f"{path}/party")
    assert len(seen) == 3
    assert sorted(seen) == ["m0", "m1", "m2"]
    parties[0].leave()
    assert sorted(seen) == ["m1", "m2"]
    clients[1].stop()
    assert list(seen) == ["m2"]


def test_set_partitioner(connect, path, pool):
    items = [f"item{n}" for n in range(7)]

    def partitioner(client, who):
        return client.SetPartitioner(
            f"{path}/set", items, identifier=who, time_boundary=0.3, max_reaction_time=0.2
        )

    def acquired(partitioners):
        """Turns the crank of each until all hold their part; returns the parts."""

        def turn():
            for one in partitioners:
                assert not one.failed
                if one.release:
                    one.release_set()
                elif one.allocating:
                    one.wait_for_acquire(timeout=0.02)
            return all(one.acquired for one in partitioners)

        wait_until(turn, "a stable partition")
        return [list(one) for one in partitioners]

    first, second = partitioner(connect(), "a"), partitioner(connect(), "b")

    def both_hold_a_part():
        parts = acquired([first, second])
        return parts if all(len(part) < len(items) for part in parts) else None

    parts = wait_until(both_hold_a_part, "a partition between two")
    assert sorted(parts[0] + parts[1]) == items
    assert sorted(map(len, parts)) == [3, 4]
    second.finish()
    wait_until(lambda: sorted(acquired([first])[0]) == items, "everything for the one left")
    first.finish()


def test_counter(zk, connect, path, pool):
    clients = [connect() for _ in range(4)]

    def work(client):
        counter = client.Counter(f"{path}/count")
        for _ in range(10):
            counter += 3
            assert counter.post_value == counter.pre_value + 3
            counter -= 1

    for done in [pool.submit(work, client) for client in clients]:
        done.result(2 * PATIENCE_S)
    assert zk.Counter(f"{path}/count").value == 80
    # Every change was one write: none was lost, none was made twice.
    assert zk.exists(f"{path}/count").version == 80


def test_counter_of_other_kinds(zk, path):
    real = zk.Counter(f"{path}/real", default=1.5)
    real += 2.25
    assert real.value == 3.75
    shared = zk.Counter(f"{path}/curator", support_curator=True)
    shared += 258
    assert zk.get(f"{path}/curator")[0] == b"\x00\x00\x01\x02"

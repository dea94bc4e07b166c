"""The other side of the interplay tests: kazoo's recipes, told what to do line by line.

A line is a number, a verb and its arguments; the answer is the number and a result. Each line has a thread of its own, so
that one that waits holds up nobody.
"""

import sys
import threading
import time

from kazoo.client import KazooClient

client = KazooClient(sys.argv[1])
client.start()
printing = threading.Lock()
held = {}


def lock_of(kind, path):
    if kind == "lock-curator":
        return client.Lock(path, "kazoo", extra_lock_patterns=["-lock-"])
    return {
        "lock": client.Lock,
        "read": client.ReadLock,
        "write": client.WriteLock,
        "semaphore": lambda path: client.Semaphore(path, max_leases=2),
    }[kind](path)


def acquire(name, kind, path):
    held[name] = lock_of(kind, path)
    held[name].acquire()
    return "held"


def release(name):
    held.pop(name).release()
    return "released"


def increase(kind, lock, path, times):
    """Reads and writes without a version: what is not excluded gets lost."""
    for _ in range(int(times)):
        with lock_of(kind, lock):
            number = int(client.get(path)[0])
            time.sleep(0.003)
            client.set(path, str(number + 1).encode())
    return "increased"


def elect(path, number):
    election = client.Election(path, "kazoo")
    led = []
    for _ in range(int(number)):
        election.run(lambda: led.append(int(client.get(path + "-leaders")[0])))
    return str(max(led))


def count(path, kind, times):
    counter = client.Counter(path, support_curator=kind == "int")
    for _ in range(int(times)):
        counter += 1
    return "counted"


def barrier(path):
    client.Barrier(path).wait()
    return "down"


def lower(path):
    return str(client.Barrier(path).remove())


def enter(path, members):
    held[path] = client.DoubleBarrier(path, int(members))
    held[path].enter()
    return "in" if held[path].participating else "out"


def leave(path):
    held.pop(path).leave()
    return "left"


def put(path, *items):
    queue = client.LockingQueue(path)
    for item in items:
        queue.put(item.encode())
    return "put"


def get(path, number):
    queue = client.LockingQueue(path)
    items = []
    for _ in range(int(number)):
        items.append(queue.get(10).decode())
        queue.consume()
    return ",".join(items)


VERBS = [acquire, release, increase, elect, count, barrier, lower, enter, leave, put, get]
verbs = {verb.__name__: verb for verb in VERBS}


def answer(number, verb, arguments):
    try:
        result = verbs[verb](*arguments)
    except Exception as error:  # The test says what was wrong.
        result = "failed: %r" % error
    with printing:
        print(number, result, flush=True)


for line in sys.stdin:
    number, verb, *arguments = line.split()
    threading.Thread(target=answer, args=(number, verb, arguments), daemon=True).start()

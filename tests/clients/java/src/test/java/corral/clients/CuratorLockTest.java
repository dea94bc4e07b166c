package corral.clients;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.locks.InterProcessReadWriteLock;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreV2;
import org.apache.curator.framework.recipes.locks.Lease;
import org.junit.jupiter.api.Test;

/** Curator's locks: InterProcessMutex, InterProcessReadWriteLock, InterProcessSemaphoreV2. */
class CuratorLockTest extends CuratorTest {
    private static boolean acquire(InterProcessMutex lock) throws Exception {
        return lock.acquire(PATIENCE_MS, TimeUnit.MILLISECONDS);
    }

    private static boolean acquireAtOnce(InterProcessMutex lock) throws Exception {
        return lock.acquire(0, TimeUnit.MILLISECONDS);
    }

    @Test
    void oneHoldsTheMutexAtATime() throws Exception {
        int contenders = 4;
        int turns = 10;
        AtomicInteger inside = new AtomicInteger();
        AtomicInteger most = new AtomicInteger();
        List<Future<Integer>> ends = new ArrayList<>();
        for (int i = 0; i < contenders; i++) {
            InterProcessMutex lock = new InterProcessMutex(open(), path("mutex"));
            ends.add(inThread(() -> {
                int held = 0;
                for (int turn = 0; turn < turns; turn++) {
                    assertTrue(acquire(lock));
                    most.accumulateAndGet(inside.incrementAndGet(), Math::max);
                    held++;
                    inside.decrementAndGet();
                    lock.release();
                }
                return held;
            }));
        }
        int total = 0;
        for (Future<Integer> end : ends) {
            total += resultOf(end);
        }
        assertEquals(contenders * turns, total);
        assertEquals(1, most.get());
        await("nobody stands in line", () -> childCount("mutex") == 0);
    }

    @Test
    void theMutexPassesOnWhenItsHolderDies() throws Exception {
        CuratorFramework holder = open();
        InterProcessMutex held = new InterProcessMutex(holder, path("mutex"));
        InterProcessMutex waiting = new InterProcessMutex(curator, path("mutex"));
        assertTrue(acquire(held));
        assertTrue(acquire(held), "the holder may enter again");
        assertFalse(inThread(() -> acquireAtOnce(waiting)).get(PATIENCE_MS, TimeUnit.MILLISECONDS));
        Future<Boolean> next = inThread(() -> acquire(waiting));
        await("both stand in line", () -> childCount("mutex") == 2);
        expire(holder);
        assertTrue(resultOf(next));
    }

    @Test
    void readersShareAndWritersDoNot() throws Exception {
        InterProcessReadWriteLock here = new InterProcessReadWriteLock(curator, path("rw"));
        InterProcessReadWriteLock there = new InterProcessReadWriteLock(open(), path("rw"));
        assertTrue(acquire(here.readLock()));
        assertTrue(acquire(there.readLock()));
        assertFalse(resultOf(inThread(() -> acquireAtOnce(there.writeLock()))));
        Future<Boolean> writer = inThread(() -> {
            boolean held = acquire(there.writeLock());
            assertFalse(resultOf(inThread(() -> acquireAtOnce(here.readLock()))));
            there.writeLock().release();
            return held;
        });
        await("the writer stands in line", () -> childCount("rw") == 3);
        here.readLock().release();
        assertFalse(writer.isDone());
        there.readLock().release();
        assertTrue(resultOf(writer));
        // A writer may also read, and keep reading when it stops writing.
        assertTrue(acquire(here.writeLock()));
        assertTrue(acquire(here.readLock()));
        here.writeLock().release();
        assertTrue(acquire(there.readLock()));
    }

    @Test
    void theSemaphoreHasSoManyLeases() throws Exception {
        InterProcessSemaphoreV2 here = new InterProcessSemaphoreV2(curator, path("semaphore"), 3);
        CuratorFramework other = open();
        InterProcessSemaphoreV2 there = new InterProcessSemaphoreV2(other, path("semaphore"), 3);
        List<Lease> leases =
                new ArrayList<>(here.acquire(2, PATIENCE_MS, TimeUnit.MILLISECONDS));
        assertEquals(2, leases.size());
        Lease third = there.acquire(PATIENCE_MS, TimeUnit.MILLISECONDS);
        assertNotNull(third);
        assertEquals(3, here.getParticipantNodes().size());
        assertNull(there.acquire(0, TimeUnit.MILLISECONDS));
        here.returnLease(leases.remove(0));
        Lease fourth = there.acquire(PATIENCE_MS, TimeUnit.MILLISECONDS);
        assertNotNull(fourth);
        // Leases of a session that ends come back by themselves.
        expire(other);
        leases.addAll(here.acquire(2, PATIENCE_MS, TimeUnit.MILLISECONDS));
        assertEquals(3, leases.size());
        here.returnAll(leases);
    }
}

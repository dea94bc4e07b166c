package corral.clients;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Future;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.atomic.AtomicValue;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicLong;
import org.apache.curator.framework.recipes.shared.SharedCount;
import org.apache.curator.framework.recipes.shared.VersionedValue;
import org.apache.curator.retry.RetryNTimes;
import org.junit.jupiter.api.Test;

/** DistributedAtomicLong and SharedCount: compare and set by version. */
class CuratorCounterTest extends CuratorTest {
    @Test
    void everyIncrementCountsOnce() throws Exception {
        int clients = 3;
        int increments = 20;
        List<Future<Integer>> ends = new ArrayList<>();
        for (int i = 0; i < clients; i++) {
            DistributedAtomicLong counter =
                    new DistributedAtomicLong(open(), path("long"), new RetryNTimes(1_000, 1));
            ends.add(inThread(() -> {
                int done = 0;
                for (int turn = 0; turn < increments; turn++) {
                    AtomicValue<Long> value = counter.increment();
                    assertTrue(value.succeeded());
                    assertEquals(value.preValue() + 1, value.postValue());
                    done++;
                }
                return done;
            }));
        }
        for (Future<Integer> end : ends) {
            assertEquals(increments, resultOf(end));
        }
        DistributedAtomicLong counter = new DistributedAtomicLong(curator, path("long"), new RetryNTimes(10, 10));
        assertEquals((long) clients * increments, counter.get().postValue());
        assertFalse(counter.compareAndSet(0L, 1L).succeeded());
        assertTrue(counter.compareAndSet((long) clients * increments, -5L).succeeded());
        assertEquals(-12L, counter.subtract(7L).postValue());
        assertFalse(counter.initialize(1L));
    }

    @Test
    void theSharedCountIsSeenByAllAndSetByVersion() throws Exception {
        CuratorFramework other = open();
        SharedCount here = closeLater(new SharedCount(curator, path("count"), 10));
        SharedCount there = closeLater(new SharedCount(other, path("count"), 99));
        here.start();
        there.start();
        assertEquals(10, there.getCount());
        VersionedValue<Integer> old = there.getVersionedValue();
        here.setCount(11);
        await("the other sees the new count", () -> there.getCount() == 11);
        assertFalse(there.trySetCount(old, 12));
        assertEquals(11, there.getCount());
        assertTrue(there.trySetCount(there.getVersionedValue(), 12));
        await("the first sees the count set by the other", () -> here.getCount() == 12);
    }
}

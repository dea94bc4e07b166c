package corral.clients;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.barriers.DistributedDoubleBarrier;
import org.apache.curator.framework.recipes.queue.DistributedQueue;
import org.apache.curator.framework.recipes.queue.QueueBuilder;
import org.apache.curator.framework.recipes.queue.QueueConsumer;
import org.apache.curator.framework.recipes.queue.QueueSerializer;
import org.apache.curator.framework.state.ConnectionState;
import org.junit.jupiter.api.Test;

/** DistributedQueue and DistributedDoubleBarrier. */
class CuratorQueueTest extends CuratorTest {
    private static final QueueSerializer<String> TEXT = new QueueSerializer<>() {
        @Override
        public byte[] serialize(String item) {
            return bytes(item);
        }

        @Override
        public String deserialize(byte[] data) {
            return text(data);
        }
    };

    private static final class Consumer implements QueueConsumer<String> {
        private final LinkedBlockingQueue<String> consumed;

        Consumer(LinkedBlockingQueue<String> consumed) {
            this.consumed = consumed;
        }

        @Override
        public void consumeMessage(String message) {
            consumed.add(message);
        }

        @Override
        public void stateChanged(CuratorFramework client, ConnectionState state) {
            // What the queue does then is Curator's affair.
        }
    }

    /** A queue that only takes items in when {@code consumer} is null. */
    private DistributedQueue<String> queue(CuratorFramework client, QueueConsumer<String> consumer) throws Exception {
        DistributedQueue<String> queue =
                QueueBuilder.builder(client, consumer, TEXT, path("queue")).buildQueue();
        queue.start();
        return closeLater(queue);
    }

    private static List<String> take(LinkedBlockingQueue<String> consumed, int count) throws Exception {
        List<String> taken = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            taken.add(consumed.poll(PATIENCE_MS, TimeUnit.MILLISECONDS));
        }
        return taken;
    }

    @Test
    void oneConsumerTakesItemsInTheirOrder() throws Exception {
        DistributedQueue<String> producer = queue(curator, null);
        List<String> items = new ArrayList<>();
        for (int i = 0; i < 50; i++) {
            items.add("item-" + i);
            producer.put("item-" + i);
        }
        assertTrue(producer.flushPuts(PATIENCE_MS, TimeUnit.MILLISECONDS));
        LinkedBlockingQueue<String> consumed = new LinkedBlockingQueue<>();
        queue(open(), new Consumer(consumed));
        assertEquals(items, take(consumed, 50));
        producer.put("late");
        assertEquals(List.of("late"), take(consumed, 1));
        await("the queue is empty", () -> childCount("queue") == 0);
    }

    @Test
    void twoConsumersShareTheItems() throws Exception {
        LinkedBlockingQueue<String> consumed = new LinkedBlockingQueue<>();
        String locks = path("queue-locks");
        for (int i = 0; i < 2; i++) {
            DistributedQueue<String> queue = QueueBuilder.builder(open(), new Consumer(consumed), TEXT, path("queue"))
                    .lockPath(locks)
                    .buildQueue();
            queue.start();
            closeLater(queue);
        }
        DistributedQueue<String> producer = queue(curator, null);
        Set<String> items = new HashSet<>();
        for (int i = 0; i < 40; i++) {
            items.add("item-" + i);
            producer.put("item-" + i);
        }
        assertEquals(items, new HashSet<>(take(consumed, 40)));
        await("the queue is empty", () -> childCount("queue") == 0);
        assertEquals(0, consumed.size());
    }

    @Test
    void theDoubleBarrierOpensForAllAtOnceTwice() throws Exception {
        int members = 3;
        List<Future<Boolean>> entered = new ArrayList<>();
        List<DistributedDoubleBarrier> barriers = new ArrayList<>();
        for (int i = 0; i < members; i++) {
            barriers.add(new DistributedDoubleBarrier(open(), path("barrier"), members));
        }
        for (int i = 0; i < members; i++) {
            DistributedDoubleBarrier barrier = barriers.get(i);
            int present = i + 1;
            for (Future<Boolean> one : entered) {
                assertFalse(one.isDone());
            }
            entered.add(inThread(() -> barrier.enter(PATIENCE_MS, TimeUnit.MILLISECONDS)));
            if (present < members) {
                await(present + " wait to enter", () -> childCount("barrier") == present);
            }
        }
        for (Future<Boolean> one : entered) {
            assertTrue(resultOf(one));
        }
        List<Future<Boolean>> left = new ArrayList<>();
        for (DistributedDoubleBarrier barrier : barriers) {
            left.add(inThread(() -> barrier.leave(PATIENCE_MS, TimeUnit.MILLISECONDS)));
        }
        for (Future<Boolean> one : left) {
            assertTrue(resultOf(one));
        }
        await("nobody is inside", () -> childCount("barrier") == 0);
    }
}

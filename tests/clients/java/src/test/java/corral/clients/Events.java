package corral.clients;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooKeeper;

/** A watcher that keeps what it is told, in order: changes of znodes apart from changes of the session's state. */
final class Events implements Watcher {
    private final LinkedBlockingQueue<WatchedEvent> nodes = new LinkedBlockingQueue<>();
    private final LinkedBlockingQueue<Event.KeeperState> states = new LinkedBlockingQueue<>();

    @Override
    public void process(WatchedEvent event) {
        if (event.getType() == Event.EventType.None) {
            states.add(event.getState());
        } else {
            nodes.add(event);
        }
    }

    /** Waits for the next event of a znode, which must be this one. */
    WatchedEvent expect(Event.EventType type, String path) throws InterruptedException {
        WatchedEvent event = nodes.poll(ServerTest.PATIENCE_MS, TimeUnit.MILLISECONDS);
        assertNotNull(event, "no event came, expected " + type + " " + path);
        assertEquals(type + " " + path, event.getType() + " " + event.getPath());
        assertEquals(Event.KeeperState.SyncConnected, event.getState());
        return event;
    }

    /** No event is left of all that the server sent {@code session} until now. */
    void expectNoMore(ZooKeeper session) throws Exception {
        ServerTest.drainEvents(session);
        List<WatchedEvent> left = new ArrayList<>(nodes);
        assertEquals(List.of(), left);
    }

    /** Waits for {@code state}, passing over those before it. */
    void awaitState(Event.KeeperState state) throws InterruptedException {
        long deadline = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(ServerTest.PATIENCE_MS);
        List<Event.KeeperState> seen = new ArrayList<>();
        while (true) {
            Event.KeeperState next = states.poll(deadline - System.nanoTime(), TimeUnit.NANOSECONDS);
            assertNotNull(next, "the session did not become " + state + ", only " + seen);
            if (next == state) {
                return;
            }
            seen.add(next);
        }
    }

    void awaitConnected() throws InterruptedException {
        awaitState(Event.KeeperState.SyncConnected);
    }
}

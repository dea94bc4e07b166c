package corral.clients;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.fail;

import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZKUtil;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.function.Executable;

/**
 * What every test here has: the server's address, one session, and a root znode of its own that is deleted afterwards.
 * No test sleeps: each waits for a condition, and at most {@link #PATIENCE_MS}.
 */
abstract class ServerTest {
    static final String SERVER = System.getProperty("corral.server", "");

    /** Long enough that a busy machine does not expire sessions that a test means to keep. */
    static final int SESSION_MS = 30_000;

    static final long PATIENCE_MS = 30_000;

    /** Every digest identity that a test protects a znode with: who cleans up has them all. */
    static final List<String> USERS = List.of("anna:secret", "bert:pass", "second:identity");

    ZooKeeper zk;
    Events sessionEvents;
    String root;

    /** A dead server fails the tests at once, not each after its patience. */
    private static volatile boolean unreachable;

    private final Deque<AutoCloseable> opened = new ArrayDeque<>();

    @BeforeEach
    void openRoot() throws Exception {
        if (SERVER.isEmpty()) {
            fail("no server given: -Dserver=HOST:PORT");
        }
        if (unreachable) {
            fail("the server took no session from an earlier test");
        }
        sessionEvents = new Events();
        try {
            zk = connect(SERVER, SESSION_MS, sessionEvents);
        } catch (AssertionError failed) {
            unreachable = true;
            throw failed;
        }
        root = "/corral-java-" + UUID.randomUUID();
        zk.create(root, new byte[0], Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
    }

    @AfterEach
    void closeAll() throws Exception {
        while (!opened.isEmpty()) {
            opened.pop().close();
        }
        if (root != null) {
            Events events = new Events();
            try (ZooKeeper last = new ZooKeeper(SERVER, SESSION_MS, events)) {
                events.awaitConnected();
                for (String user : USERS) {
                    last.addAuthInfo("digest", bytes(user));
                }
                await("the test's root is deleted", () -> deleted(last));
            }
        }
    }

    /**
     * Whether the root could be deleted with all that is in it: what goes by itself meanwhile, such as an emptied
     * container, makes the deletion fail half-way.
     */
    private boolean deleted(ZooKeeper session) throws Exception {
        try {
            return ZKUtil.deleteRecursive(session, root, 1_000);
        } catch (KeeperException.NoNodeException gone) {
            return session.exists(root, false) == null;
        }
    }

    /** Closes {@code resource} after the test, the last one opened first. */
    <T extends AutoCloseable> T closeLater(T resource) {
        opened.push(resource);
        return resource;
    }

    ZooKeeper connect() throws Exception {
        return connect(SERVER, SESSION_MS, new Events());
    }

    /** A connected session to {@code servers} that is closed after the test. */
    ZooKeeper connect(String servers, int timeoutMs, Events events) throws Exception {
        ZooKeeper session = closeLater(new ZooKeeper(servers, timeoutMs, events));
        events.awaitConnected();
        return session;
    }

    String path(String name) {
        return root + "/" + name;
    }

    /** Creates a persistent, open znode under the test's root and says its path. */
    String make(String name, String data) throws Exception {
        return zk.create(path(name), bytes(data), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
    }

    String make(String name) throws Exception {
        return make(name, "");
    }

    /** How many children the znode has, none if it is not there. */
    int childCount(String name) throws Exception {
        try {
            return zk.getChildren(path(name), false).size();
        } catch (KeeperException.NoNodeException missing) {
            return 0;
        }
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    static String text(byte[] data) {
        return data == null ? null : new String(data, StandardCharsets.UTF_8);
    }

    static void assertError(KeeperException.Code expected, Executable action) {
        assertEquals(expected, assertThrows(KeeperException.class, action).code());
    }

    /** Waits until {@code condition} holds, asking again every few milliseconds. */
    static void await(String what, Callable<Boolean> condition) throws Exception {
        long deadline = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(PATIENCE_MS);
        while (!condition.call()) {
            if (System.nanoTime() >= deadline) {
                fail("did not come to pass in " + PATIENCE_MS + " ms: " + what);
            }
            Thread.sleep(10);
        }
    }

    static void await(String what, CountDownLatch latch) throws InterruptedException {
        if (!latch.await(PATIENCE_MS, TimeUnit.MILLISECONDS)) {
            fail("did not come to pass in " + PATIENCE_MS + " ms: " + what);
        }
    }

    /**
     * Returns when every event that the server sent {@code session} before now has been delivered: an answer comes
     * after the events before it, and one thread hands out both.
     */
    static void drainEvents(ZooKeeper session) throws Exception {
        CountDownLatch answered = new CountDownLatch(1);
        session.sync("/", (rc, path, context) -> answered.countDown(), null);
        await("an answer to sync", answered);
    }

    /** Ends {@code session} at the server, as an administrator or a timeout would: its client sees it expire. */
    void expire(ZooKeeper session) throws Exception {
        Events events = new Events();
        ZooKeeper twin = new ZooKeeper(SERVER, SESSION_MS, events, session.getSessionId(), session.getSessionPasswd());
        try {
            events.awaitConnected();
            assertEquals(session.getSessionId(), twin.getSessionId());
        } finally {
            twin.close();
        }
    }

    /** A watcher for calls that need one and tests that do not look at it. */
    static final Watcher IGNORE = event -> { };
}

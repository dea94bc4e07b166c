package corral.clients;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.retry.RetryOneTime;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;

/** What the tests of Curator's recipes share: clients that are closed afterwards, and threads to contend in. */
abstract class CuratorTest extends ServerTest {
    CuratorFramework curator;
    private ExecutorService threads;

    @BeforeEach
    void openCurator() throws Exception {
        curator = open();
        threads = Executors.newCachedThreadPool();
    }

    @AfterEach
    void endThreads() {
        threads.shutdownNow();
    }

    /** Another client with a session of its own. */
    CuratorFramework open() throws Exception {
        CuratorFramework client = closeLater(
                CuratorFrameworkFactory.newClient(SERVER, SESSION_MS, (int) PATIENCE_MS, new RetryOneTime(100)));
        client.start();
        assertTrue(client.blockUntilConnected((int) PATIENCE_MS, TimeUnit.MILLISECONDS), "Curator did not connect");
        return client;
    }

    /** Ends the session of {@code client} at the server; Curator opens a new one. */
    void expire(CuratorFramework client) throws Exception {
        expire(client.getZookeeperClient().getZooKeeper());
    }

    <T> Future<T> inThread(Callable<T> work) {
        return threads.submit(work);
    }

    static <T> T resultOf(Future<T> future) throws Exception {
        return future.get(PATIENCE_MS, TimeUnit.MILLISECONDS);
    }
}

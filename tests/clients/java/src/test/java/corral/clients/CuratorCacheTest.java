package corral.clients;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.cache.CuratorCache;
import org.apache.curator.framework.recipes.cache.CuratorCacheListener;
import org.junit.jupiter.api.Test;

/** Curator's caches of znodes: PathChildrenCache, NodeCache, TreeCache and the CuratorCache that follows them. */
class CuratorCacheTest extends CuratorTest {
    private final LinkedBlockingQueue<String> seen = new LinkedBlockingQueue<>();

    /** Waits for this line, passing over others: caches tell of some changes in an order of their own. */
    private void expect(String line) throws Exception {
        long deadline = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(PATIENCE_MS);
        while (true) {
            String next = seen.poll(deadline - System.nanoTime(), TimeUnit.NANOSECONDS);
            assertNotNull(next, "the cache did not tell: " + line);
            if (next.equals(line)) {
                return;
            }
        }
    }

    private String below(String full) {
        return full.equals(root) ? "." : full.substring(root.length() + 1);
    }

    @Test
    @SuppressWarnings("deprecation")
    void pathChildrenCacheFollowsTheChildren() throws Exception {
        make("p");
        make("p/old", "0");
        org.apache.curator.framework.recipes.cache.PathChildrenCache cache =
                closeLater(new org.apache.curator.framework.recipes.cache.PathChildrenCache(curator, path("p"), true));
        cache.getListenable().addListener((client, event) -> {
            if (event.getData() != null) {
                seen.add(event.getType() + " " + below(event.getData().getPath()));
            }
        });
        cache.start(org.apache.curator.framework.recipes.cache.PathChildrenCache.StartMode.BUILD_INITIAL_CACHE);
        assertEquals("0", text(cache.getCurrentData(path("p/old")).getData()));
        make("p/new", "1");
        expect("CHILD_ADDED p/new");
        zk.setData(path("p/new"), bytes("2"), -1);
        expect("CHILD_UPDATED p/new");
        assertEquals("2", text(cache.getCurrentData(path("p/new")).getData()));
        zk.delete(path("p/old"), -1);
        expect("CHILD_REMOVED p/old");
        assertEquals(1, cache.getCurrentData().size());
        // A new session sees what happened before it.
        expire(curator);
        make("p/after", "3");
        expect("CHILD_ADDED p/after");
    }

    @Test
    @SuppressWarnings("deprecation")
    void nodeCacheFollowsOneNode() throws Exception {
        org.apache.curator.framework.recipes.cache.NodeCache cache =
                closeLater(new org.apache.curator.framework.recipes.cache.NodeCache(curator, path("n")));
        cache.getListenable().addListener(() -> {
            seen.add(cache.getCurrentData() == null ? "gone" : text(cache.getCurrentData().getData()));
        });
        cache.start(true);
        make("n", "1");
        expect("1");
        zk.setData(path("n"), bytes("2"), -1);
        expect("2");
        zk.delete(path("n"), -1);
        expect("gone");
        make("n", "3");
        expect("3");
    }

    @Test
    @SuppressWarnings("deprecation")
    void treeCacheFollowsATree() throws Exception {
        make("t");
        make("t/a");
        make("t/a/b", "0");
        org.apache.curator.framework.recipes.cache.TreeCache cache =
                closeLater(new org.apache.curator.framework.recipes.cache.TreeCache(curator, path("t")));
        cache.getListenable().addListener((client, event) -> {
            seen.add(event.getType() + (event.getData() == null ? "" : " " + below(event.getData().getPath())));
        });
        cache.start();
        expect("INITIALIZED");
        assertEquals("0", text(cache.getCurrentData(path("t/a/b")).getData()));
        make("t/a/b/c", "1");
        expect("NODE_ADDED t/a/b/c");
        zk.setData(path("t/a/b/c"), bytes("2"), -1);
        expect("NODE_UPDATED t/a/b/c");
        zk.delete(path("t/a/b/c"), -1);
        expect("NODE_REMOVED t/a/b/c");
        assertEquals(Set.of("b"), cache.getCurrentChildren(path("t/a")).keySet());
    }

    @Test
    void curatorCacheFollowsATreeByARecursiveWatch() throws Exception {
        make("t");
        make("t/a", "0");
        make("t/a/b", "1");
        CuratorFramework own = open();
        CuratorCache cache = closeLater(CuratorCache.build(own, path("t")));
        CountDownLatch filled = new CountDownLatch(1);
        cache.listenable().addListener(CuratorCacheListener.builder()
                .forCreates(node -> seen.add("created " + below(node.getPath())))
                .forChanges((before, after) -> seen.add(
                        "changed " + below(after.getPath()) + " " + text(before.getData()) + " " + text(after.getData())))
                .forDeletes(node -> seen.add("deleted " + below(node.getPath())))
                .forInitialized(filled::countDown)
                .build());
        cache.start();
        await("the cache is filled", filled);
        assertEquals(3, cache.size());
        assertEquals("1", text(cache.get(path("t/a/b")).orElseThrow().getData()));
        make("t/a/b/c");
        expect("created t/a/b/c");
        zk.setData(path("t/a"), bytes("2"), -1);
        expect("changed t/a 0 2");
        zk.delete(path("t/a/b/c"), -1);
        expect("deleted t/a/b/c");
        // The cache of a new session catches up with what the old one missed.
        expire(own);
        zk.setData(path("t/a"), bytes("3"), -1);
        make("t/later");
        await("the cache has caught up", () -> cache.get(path("t/later")).isPresent()
                && text(cache.get(path("t/a")).orElseThrow().getData()).equals("3"));
        assertTrue(cache.get(path("t/a/b")).isPresent());
    }
}

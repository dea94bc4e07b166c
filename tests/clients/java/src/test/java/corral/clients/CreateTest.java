package corral.clients;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.Watcher.Event.EventType;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.Stat;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Creation in every mode, and what a znode's stat says of it. */
class CreateTest extends ServerTest {
    private String create(String name, CreateMode mode) throws Exception {
        return zk.create(path(name), bytes("x"), Ids.OPEN_ACL_UNSAFE, mode);
    }

    @Test
    void persistentNodeHasAFreshStat() throws Exception {
        Stat stat = new Stat();
        long before = System.currentTimeMillis();
        String made = zk.create(path("a"), bytes("four"), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT, stat);
        assertEquals(path("a"), made);
        assertTrue(stat.getCzxid() > zk.exists(root, false).getCzxid());
        assertEquals(stat.getCzxid(), stat.getMzxid());
        assertEquals(stat.getCzxid(), stat.getPzxid());
        assertEquals(stat.getCtime(), stat.getMtime());
        assertTrue(Math.abs(stat.getCtime() - before) < PATIENCE_MS);
        assertEquals(0, stat.getVersion());
        assertEquals(0, stat.getCversion());
        assertEquals(0, stat.getAversion());
        assertEquals(0, stat.getEphemeralOwner());
        assertEquals(4, stat.getDataLength());
        assertEquals(0, stat.getNumChildren());
        assertEquals(stat, zk.exists(made, false));
    }

    @Test
    void parentCountsItsChildren() throws Exception {
        String parent = make("p");
        make("p/a");
        make("p/b");
        long lastZxid = zk.exists(make("p/c"), false).getCzxid();
        Stat stat = zk.exists(parent, false);
        assertEquals(3, stat.getNumChildren());
        assertEquals(3, stat.getCversion());
        assertEquals(lastZxid, stat.getPzxid());
        assertEquals(0, stat.getVersion());
        zk.delete(path("p/b"), -1);
        stat = zk.exists(parent, false);
        assertEquals(2, stat.getNumChildren());
        assertEquals(4, stat.getCversion());
        assertTrue(stat.getPzxid() > lastZxid);
    }

    @Test
    void sequenceNumbersFollowTheParentsCreations() throws Exception {
        make("p");
        assertEquals(path("p/n-0000000000"), create("p/n-", CreateMode.PERSISTENT_SEQUENTIAL));
        assertEquals(path("p/n-0000000001"), create("p/n-", CreateMode.EPHEMERAL_SEQUENTIAL));
        make("p/plain");
        assertEquals(path("p/m-0000000003"), create("p/m-", CreateMode.PERSISTENT_SEQUENTIAL));
        zk.delete(path("p/m-0000000003"), -1);
        // A deletion neither gives a number back nor uses one up.
        assertEquals(path("p/0000000004"), create("p/", CreateMode.PERSISTENT_SEQUENTIAL));
        String withTtl = zk.create(
                path("p/t-"), null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_SEQUENTIAL_WITH_TTL, null, 60_000);
        assertEquals(path("p/t-0000000005"), withTtl);
    }

    @Test
    void ephemeralBelongsToItsSessionAndEndsWithIt() throws Exception {
        ZooKeeper other = connect();
        Stat stat = new Stat();
        other.create(path("e"), null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL, stat);
        assertEquals(other.getSessionId(), stat.getEphemeralOwner());
        Events events = new Events();
        assertEquals(other.getSessionId(), zk.exists(path("e"), events).getEphemeralOwner());
        assertError(
                Code.NOCHILDRENFOREPHEMERALS,
                () -> zk.create(path("e/child"), null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        other.close();
        events.expect(EventType.NodeDeleted, path("e"));
        assertNull(zk.exists(path("e"), false));
    }

    @Test
    void containerHoldsChildrenAndHasNoOwner() throws Exception {
        Stat stat = new Stat();
        zk.create(path("c"), bytes("x"), Ids.OPEN_ACL_UNSAFE, CreateMode.CONTAINER, stat);
        // The server keeps the kind of the node in the owner field, and shows clients 0.
        assertEquals(0, stat.getEphemeralOwner());
        create("c/child", CreateMode.PERSISTENT);
        create("c/gone", CreateMode.EPHEMERAL);
        stat = zk.exists(path("c"), false);
        assertEquals(0, stat.getEphemeralOwner());
        assertEquals(2, stat.getNumChildren());
        assertEquals(List.of(path("c/gone")), zk.getEphemerals(root));
    }

    @Test
    void nodeWithTtlHoldsChildrenAndHasNoOwner() throws Exception {
        Stat stat = new Stat();
        zk.create(path("t"), bytes("x"), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_WITH_TTL, stat, 123_456);
        assertEquals(0, stat.getEphemeralOwner());
        assertEquals(stat, zk.exists(path("t"), false));
        create("t/child", CreateMode.PERSISTENT);
        // The longest that fits: 40 bits of milliseconds.
        zk.create(path("long"), null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_WITH_TTL, stat, 0xff_ffff_ffffL);
        assertEquals(0, stat.getEphemeralOwner());
        assertEquals(List.of(), zk.getEphemerals(root));
    }

    @Test
    @Tag("reaping")
    void emptiedContainerAndExpiredNodeAreDeleted() throws Exception {
        Events container = new Events();
        Events ttl = new Events();
        create("c", CreateMode.CONTAINER);
        create("c/child", CreateMode.PERSISTENT);
        create("never-used", CreateMode.CONTAINER);
        zk.create(path("t"), null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_WITH_TTL, null, 100);
        zk.create(path("kept"), null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_WITH_TTL, null, 100);
        create("kept/child", CreateMode.PERSISTENT);
        zk.exists(path("c"), container);
        zk.exists(path("t"), ttl);
        zk.delete(path("c/child"), -1);
        container.expect(EventType.NodeDeleted, path("c"));
        if (zk.exists(path("t"), false) != null) {
            ttl.expect(EventType.NodeDeleted, path("t"));
        }
        // Neither a container that never had a child nor an expired node with one goes.
        assertNotNull(zk.exists(path("never-used"), false));
        assertNotNull(zk.exists(path("kept"), false));
    }

    @Test
    void refusalsHaveTheirCodes() throws Exception {
        make("a");
        assertError(Code.NODEEXISTS, () -> create("a", CreateMode.PERSISTENT));
        assertError(Code.NODEEXISTS, () -> create("a", CreateMode.EPHEMERAL));
        assertError(Code.NODEEXISTS, () -> create("a", CreateMode.CONTAINER));
        assertError(Code.NONODE, () -> create("missing/child", CreateMode.PERSISTENT));
        assertError(
                Code.NODEEXISTS, () -> zk.create("/", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
    }

    @Test
    void namesMayHoldLettersOfAnyScriptAndPunctuation() throws Exception {
        String name = "gr\u00f6\u00dfe \u5927\u5c0f ..dots. %$#";
        make("n");
        assertEquals(path("n/" + name), make("n/" + name, "d"));
        assertEquals(List.of(name), zk.getChildren(path("n"), false));
        assertEquals("d", text(zk.getData(path("n/" + name), false, null)));
    }
}

package corral.clients;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;

import java.util.List;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.OpResult;
import org.apache.zookeeper.Watcher.Event.EventType;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.junit.jupiter.api.Test;

/** A session below a prefix: the client adds and takes off the prefix, the server knows full paths only. */
class ChrootTest extends ServerTest {
    @Test
    void pathsAreBelowThePrefix() throws Exception {
        make("app");
        Events events = new Events();
        ZooKeeper inside = connect(SERVER + path("app"), SESSION_MS, new Events());
        assertEquals("/a", inside.create("/a", bytes("1"), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        assertEquals(
                "/s-0000000001", inside.create("/s-", null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL_SEQUENTIAL));
        assertEquals("1", text(zk.getData(path("app/a"), false, null)));
        assertNotNull(inside.exists("/", false));
        assertEquals(2, inside.getChildren("/", false).size());
        inside.getData("/a", events, null);
        zk.setData(path("app/a"), bytes("2"), -1);
        events.expect(EventType.NodeDataChanged, "/a");
        inside.getChildren("/", events);
        make("app/b");
        events.expect(EventType.NodeChildrenChanged, "/");
        List<OpResult> results = inside.multi(List.of(
                Op.create("/m", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT), Op.delete("/b", -1)));
        assertEquals(2, results.size());
        assertNotNull(zk.exists(path("app/m"), false));
        assertNull(zk.exists(path("app/b"), false));
        assertEquals(3, inside.getAllChildrenNumber("/"));
        inside.sync("/");
    }

    @Test
    void aMissingPrefixIsAMissingParent() throws Exception {
        ZooKeeper inside = connect(SERVER + path("missing"), SESSION_MS, new Events());
        assertNull(inside.exists("/", false));
        assertError(
                Code.NONODE, () -> inside.create("/a", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        make("missing");
        inside.create("/a", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        assertNotNull(zk.exists(path("missing/a"), false));
    }
}

package corral.clients;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Set;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.nodes.GroupMember;
import org.apache.curator.framework.recipes.nodes.PersistentNode;
import org.apache.curator.framework.recipes.nodes.PersistentTtlNode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.data.Stat;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Nodes that Curator keeps alive: PersistentNode, PersistentTtlNode, GroupMember. */
class CuratorNodeTest extends CuratorTest {
    @Test
    void thePersistentNodeComesBack() throws Exception {
        CuratorFramework own = open();
        PersistentNode node =
                closeLater(new PersistentNode(own, CreateMode.EPHEMERAL, false, path("node"), bytes("data")));
        node.start();
        assertTrue(node.waitForInitialCreate(PATIENCE_MS, TimeUnit.MILLISECONDS));
        long owner = zk.exists(path("node"), false).getEphemeralOwner();
        assertEquals(own.getZookeeperClient().getZooKeeper().getSessionId(), owner);
        Stat deleted = zk.exists(path("node"), false);
        zk.delete(path("node"), -1);
        await("the deleted node is made again", () -> {
            Stat now = zk.exists(path("node"), false);
            return now != null && now.getCzxid() > deleted.getCzxid();
        });
        expire(own);
        await("the node is made again by the new session", () -> {
            Stat now = zk.exists(path("node"), false);
            return now != null && now.getEphemeralOwner() != owner;
        });
        node.setData(bytes("new"));
        await("the node has its new data", () -> text(zk.getData(path("node"), false, null)).equals("new"));
        node.close();
        await("the closed node is gone", () -> zk.exists(path("node"), false) == null);
    }

    @Test
    void thePersistentTtlNodeIsAContainerTouchedByItsKeeper() throws Exception {
        String name = PersistentTtlNode.DEFAULT_CHILD_NODE_NAME;
        // Touched once a second, twenty times in its time to live.
        ScheduledExecutorService toucher = Executors.newSingleThreadScheduledExecutor();
        closeLater(toucher::shutdownNow);
        PersistentTtlNode node = closeLater(
                new PersistentTtlNode(curator, toucher, path("ttl"), 20_000, bytes("data"), name, 20, true));
        node.start();
        assertTrue(node.waitForInitialCreate(PATIENCE_MS, TimeUnit.MILLISECONDS));
        assertEquals("data", text(zk.getData(path("ttl"), false, null)));
        // The child with the time to live is touched again and again, so that it does not expire.
        String child = path("ttl/" + name);
        await("the keeper's child is there", () -> zk.exists(child, false) != null);
        int version = zk.exists(child, false).getVersion();
        await("the keeper touches it", () -> zk.exists(child, false).getVersion() > version);
    }

    @Test
    @Tag("reaping")
    void thePersistentTtlNodeGoesWhenItsKeeperIsGone() throws Exception {
        CuratorFramework own = open();
        PersistentTtlNode node = new PersistentTtlNode(own, path("ttl"), 500, bytes("data"));
        node.start();
        assertTrue(node.waitForInitialCreate(PATIENCE_MS, TimeUnit.MILLISECONDS));
        node.close();
        await("the node and its child have expired", () -> zk.exists(path("ttl"), false) == null);
    }

    @Test
    void groupMembersSeeEachOther() throws Exception {
        CuratorFramework first = open();
        GroupMember anna = closeLater(new GroupMember(first, path("group"), "anna", bytes("a")));
        GroupMember bert = new GroupMember(open(), path("group"), "bert", bytes("b"));
        anna.start();
        bert.start();
        await("both know both", () -> anna.getCurrentMembers().keySet().equals(Set.of("anna", "bert"))
                && bert.getCurrentMembers().keySet().equals(Set.of("anna", "bert")));
        assertEquals("b", text(anna.getCurrentMembers().get("bert")));
        anna.setThisData(bytes("changed"));
        await("bert sees anna's data", () -> "changed".equals(text(bert.getCurrentMembers().get("anna"))));
        bert.close();
        await("anna is alone", () -> anna.getCurrentMembers().keySet().equals(Set.of("anna")));
        long before = first.getZookeeperClient().getZooKeeper().getSessionId();
        expire(first);
        await("anna joins again in a new session", () -> {
            Stat stat = zk.exists(path("group/anna"), false);
            return stat != null && stat.getEphemeralOwner() != before;
        });
        assertNotEquals(before, first.getZookeeperClient().getZooKeeper().getSessionId());
    }
}

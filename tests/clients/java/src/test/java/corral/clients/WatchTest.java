package corral.clients;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import java.util.List;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher.Event.EventType;
import org.apache.zookeeper.Watcher.WatcherType;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.Stat;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Every kind of watch on a connection that stays: what fires it, how often, and how it is taken back. */
class WatchTest extends ServerTest {
    private Events events;
    /** Another session makes the changes, as in life. */
    private ZooKeeper writer;

    @BeforeEach
    void openWriter() throws Exception {
        events = new Events();
        writer = connect();
    }

    private void write(String name) throws Exception {
        writer.create(path(name), null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
    }

    @Test
    void aDataWatchFiresOnce() throws Exception {
        make("a");
        zk.getData(path("a"), events, null);
        Stat stat = writer.setData(path("a"), bytes("1"), -1);
        writer.setData(path("a"), bytes("2"), -1);
        WatchedEvent event = events.expect(EventType.NodeDataChanged, path("a"));
        assertEquals(stat.getMzxid(), event.getZxid());
        events.expectNoMore(zk);
    }

    @Test
    void aDataWatchIgnoresChildren() throws Exception {
        make("a");
        zk.getData(path("a"), events, null);
        write("a/child");
        writer.delete(path("a/child"), -1);
        events.expectNoMore(zk);
        writer.delete(path("a"), -1);
        events.expect(EventType.NodeDeleted, path("a"));
        events.expectNoMore(zk);
    }

    @Test
    void anExistsWatchWaitsForAMissingNode() throws Exception {
        assertNull(zk.exists(path("a"), events));
        write("a");
        events.expect(EventType.NodeCreated, path("a"));
        zk.exists(path("a"), events);
        writer.setData(path("a"), bytes("1"), -1);
        events.expect(EventType.NodeDataChanged, path("a"));
        zk.exists(path("a"), events);
        writer.delete(path("a"), -1);
        events.expect(EventType.NodeDeleted, path("a"));
        write("a");
        events.expectNoMore(zk);
    }

    @Test
    void aReadThatFailsLeavesNoWatch() throws Exception {
        assertError(Code.NONODE, () -> zk.getData(path("a"), events, null));
        assertError(Code.NONODE, () -> zk.getChildren(path("a"), events));
        write("a");
        write("a/child");
        events.expectNoMore(zk);
    }

    @Test
    void aChildWatchFiresOnce() throws Exception {
        make("a");
        zk.getChildren(path("a"), events);
        writer.setData(path("a"), bytes("1"), -1);
        events.expectNoMore(zk);
        write("a/x");
        write("a/y");
        events.expect(EventType.NodeChildrenChanged, path("a"));
        events.expectNoMore(zk);
        zk.getChildren(path("a"), events);
        write("a/x/deeper");
        events.expectNoMore(zk);
        writer.delete(path("a/y"), -1);
        events.expect(EventType.NodeChildrenChanged, path("a"));
    }

    @Test
    void aChildWatchSeesItsNodeGo() throws Exception {
        make("a");
        zk.getChildren(path("a"), events);
        writer.delete(path("a"), -1);
        events.expect(EventType.NodeDeleted, path("a"));
        events.expectNoMore(zk);
    }

    @Test
    void dataAndChildWatchOfOneWatcherAreToldOnceOfADeletion() throws Exception {
        make("a");
        zk.getData(path("a"), events, null);
        zk.getChildren(path("a"), events);
        writer.delete(path("a"), -1);
        events.expect(EventType.NodeDeleted, path("a"));
        events.expectNoMore(zk);
    }

    @Test
    void theEventComesBeforeTheAnswerThatShowsTheChange() throws Exception {
        make("a", "0");
        zk.getData(path("a"), events, null);
        zk.setData(path("a"), bytes("1"), -1);
        // Its own change: the event was sent before the answer to setData, so it is there once events are drained.
        drainEvents(zk);
        events.expect(EventType.NodeDataChanged, path("a"));
        events.expectNoMore(zk);
    }

    @Test
    void watchesFireForTheDeathOfASession() throws Exception {
        writer.create(path("e"), null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
        zk.exists(path("e"), events);
        Events children = new Events();
        zk.getChildren(root, children);
        writer.close();
        events.expect(EventType.NodeDeleted, path("e"));
        children.expect(EventType.NodeChildrenChanged, root);
    }

    @Test
    void aMultiFiresWatchesForEachOfItsChanges() throws Exception {
        make("a");
        zk.getData(path("a"), events, null);
        zk.getChildren(root, events);
        zk.exists(path("b"), events);
        writer.multi(List.of(
                Op.setData(path("a"), bytes("1"), -1),
                Op.create(path("b"), null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT)));
        events.expect(EventType.NodeDataChanged, path("a"));
        events.expect(EventType.NodeCreated, path("b"));
        events.expect(EventType.NodeChildrenChanged, root);
        events.expectNoMore(zk);
    }

    @Test
    void aPersistentWatchStaysAndSeesItsChildrenByTheirParent() throws Exception {
        zk.addWatch(path("a"), events, AddWatchMode.PERSISTENT);
        write("a");
        events.expect(EventType.NodeCreated, path("a"));
        for (int i = 0; i < 3; i++) {
            writer.setData(path("a"), bytes("" + i), -1);
            events.expect(EventType.NodeDataChanged, path("a"));
        }
        write("a/x");
        events.expect(EventType.NodeChildrenChanged, path("a"));
        writer.setData(path("a/x"), bytes("1"), -1);
        write("a/x/deeper");
        events.expectNoMore(zk);
        writer.delete(path("a/x/deeper"), -1);
        writer.delete(path("a/x"), -1);
        events.expect(EventType.NodeChildrenChanged, path("a"));
        writer.delete(path("a"), -1);
        events.expect(EventType.NodeDeleted, path("a"));
        write("a");
        events.expect(EventType.NodeCreated, path("a"));
        events.expectNoMore(zk);
    }

    @Test
    void aRecursiveWatchSeesEveryNodeBelowItselfAndNoChildEvents() throws Exception {
        zk.addWatch(root, events, AddWatchMode.PERSISTENT_RECURSIVE);
        write("a");
        write("a/b");
        write("a/b/c");
        writer.setData(path("a/b/c"), bytes("1"), -1);
        writer.setData(root, bytes("1"), -1);
        writer.delete(path("a/b/c"), -1);
        events.expect(EventType.NodeCreated, path("a"));
        events.expect(EventType.NodeCreated, path("a/b"));
        events.expect(EventType.NodeCreated, path("a/b/c"));
        events.expect(EventType.NodeDataChanged, path("a/b/c"));
        events.expect(EventType.NodeDataChanged, root);
        events.expect(EventType.NodeDeleted, path("a/b/c"));
        events.expectNoMore(zk);
    }

    @Test
    void aRecursiveWatchLeavesOneShotWatchesToFire() throws Exception {
        make("a");
        Events once = new Events();
        zk.addWatch(root, events, AddWatchMode.PERSISTENT_RECURSIVE);
        zk.getData(path("a"), once, null);
        writer.setData(path("a"), bytes("1"), -1);
        writer.setData(path("a"), bytes("2"), -1);
        once.expect(EventType.NodeDataChanged, path("a"));
        events.expect(EventType.NodeDataChanged, path("a"));
        events.expect(EventType.NodeDataChanged, path("a"));
        events.expectNoMore(zk);
        once.expectNoMore(zk);
    }

    @Test
    void removedWatchesAreToldAndSilent() throws Exception {
        make("a");
        Events data = new Events();
        Events children = new Events();
        Events persistent = new Events();
        zk.getData(path("a"), data, null);
        zk.getChildren(path("a"), children);
        zk.addWatch(path("a"), persistent, AddWatchMode.PERSISTENT);
        zk.removeWatches(path("a"), data, WatcherType.Data, false);
        data.expect(EventType.DataWatchRemoved, path("a"));
        zk.removeWatches(path("a"), children, WatcherType.Children, false);
        children.expect(EventType.ChildWatchRemoved, path("a"));
        zk.removeWatches(path("a"), persistent, WatcherType.Persistent, false);
        persistent.expect(EventType.PersistentWatchRemoved, path("a"));
        writer.setData(path("a"), bytes("1"), -1);
        write("a/child");
        data.expectNoMore(zk);
        children.expectNoMore(zk);
        persistent.expectNoMore(zk);
    }

    @Test
    void aRecursiveWatchCanBeRemoved() throws Exception {
        zk.addWatch(root, events, AddWatchMode.PERSISTENT_RECURSIVE);
        write("a");
        events.expect(EventType.NodeCreated, path("a"));
        zk.removeWatches(root, events, WatcherType.PersistentRecursive, false);
        events.expect(EventType.PersistentWatchRemoved, root);
        write("a/b");
        events.expectNoMore(zk);
    }

    @Test
    void removingOneWatcherKeepsAnother() throws Exception {
        make("a");
        Events kept = new Events();
        zk.getData(path("a"), events, null);
        zk.getData(path("a"), kept, null);
        zk.removeWatches(path("a"), events, WatcherType.Data, false);
        events.expect(EventType.DataWatchRemoved, path("a"));
        writer.setData(path("a"), bytes("1"), -1);
        kept.expect(EventType.NodeDataChanged, path("a"));
        events.expectNoMore(zk);
    }

    @Test
    void allWatchesOfANodeCanBeRemovedAtOnce() throws Exception {
        make("a");
        Events second = new Events();
        zk.getData(path("a"), events, null);
        zk.getData(path("a"), second, null);
        zk.removeAllWatches(path("a"), WatcherType.Any, false);
        events.expect(EventType.DataWatchRemoved, path("a"));
        second.expect(EventType.DataWatchRemoved, path("a"));
        writer.setData(path("a"), bytes("1"), -1);
        events.expectNoMore(zk);
        second.expectNoMore(zk);
    }

    @Test
    void whatIsNotWatchedCannotBeRemoved() throws Exception {
        make("a");
        assertError(Code.NOWATCHER, () -> zk.removeWatches(path("a"), events, WatcherType.Data, false));
        zk.getChildren(path("a"), events);
        assertError(Code.NOWATCHER, () -> zk.removeWatches(path("a"), events, WatcherType.Data, false));
        assertError(Code.NOWATCHER, () -> zk.removeAllWatches(path("b"), WatcherType.Any, false));
    }

    @Test
    void aWatchMayBePersistentAndRecursive() throws Exception {
        make("a");
        zk.addWatch(path("a"), events, AddWatchMode.PERSISTENT);
        zk.addWatch(path("a"), events, AddWatchMode.PERSISTENT_RECURSIVE);
        write("a/b");
        write("a/b/c");
        // Both kinds are kept: the second tells of the new nodes, the first of its node's children.
        events.expect(EventType.NodeCreated, path("a/b"));
        events.expect(EventType.NodeChildrenChanged, path("a"));
        events.expect(EventType.NodeCreated, path("a/b/c"));
        events.expectNoMore(zk);
    }
}

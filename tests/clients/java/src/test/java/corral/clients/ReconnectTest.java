package corral.clients;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.Watcher.Event.EventType;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/**
 * A session whose connection is cut and comes back: its watches are set again by the client (setWatches), and the
 * server tells at once what they missed.
 */
class ReconnectTest extends ServerTest {
    private Relay relay;
    private ZooKeeper away;
    private Events states;
    private Events events;

    @BeforeEach
    void openRelay() throws Exception {
        relay = closeLater(new Relay());
        states = new Events();
        events = new Events();
        away = connect(relay.address(), SESSION_MS, states);
    }

    private void leave() throws Exception {
        relay.shut();
        states.awaitState(KeeperState.Disconnected);
    }

    private void comeBack() throws Exception {
        relay.open();
        states.awaitConnected();
    }

    @Test
    void missedChangesAreTold() throws Exception {
        make("changed");
        make("deleted");
        make("parent");
        make("deleted-parent");
        Events changed = new Events();
        Events deleted = new Events();
        Events created = new Events();
        Events parent = new Events();
        Events deletedParent = new Events();
        Events existing = new Events();
        away.getData(path("changed"), changed, null);
        away.getData(path("deleted"), deleted, null);
        away.exists(path("created"), created);
        away.exists(path("parent"), existing);
        away.getChildren(path("parent"), parent);
        away.getChildren(path("deleted-parent"), deletedParent);
        leave();
        zk.setData(path("changed"), bytes("1"), -1);
        zk.delete(path("deleted"), -1);
        make("created");
        make("parent/child");
        zk.delete(path("deleted-parent"), -1);
        comeBack();
        changed.expect(EventType.NodeDataChanged, path("changed"));
        deleted.expect(EventType.NodeDeleted, path("deleted"));
        created.expect(EventType.NodeCreated, path("created"));
        parent.expect(EventType.NodeChildrenChanged, path("parent"));
        deletedParent.expect(EventType.NodeDeleted, path("deleted-parent"));
        // One-shot watches that fired this way are gone; a child does not fire a data watch.
        zk.setData(path("changed"), bytes("2"), -1);
        make("deleted");
        make("parent/other");
        for (Events silent : new Events[] {changed, deleted, created, parent, deletedParent, existing}) {
            silent.expectNoMore(away);
        }
    }

    @Test
    void watchesThatMissedNothingFireLater() throws Exception {
        make("a");
        Events children = new Events();
        Events created = new Events();
        away.getData(path("a"), events, null);
        away.getChildren(path("a"), children);
        away.exists(path("b"), created);
        leave();
        comeBack();
        events.expectNoMore(away);
        children.expectNoMore(away);
        created.expectNoMore(away);
        zk.setData(path("a"), bytes("1"), -1);
        events.expect(EventType.NodeDataChanged, path("a"));
        make("a/child");
        children.expect(EventType.NodeChildrenChanged, path("a"));
        make("b");
        created.expect(EventType.NodeCreated, path("b"));
        events.expectNoMore(away);
    }

    @Test
    void persistentWatchesAreSetAgain() throws Exception {
        make("a");
        make("r");
        Events recursive = new Events();
        away.addWatch(path("a"), events, AddWatchMode.PERSISTENT);
        away.addWatch(path("r"), recursive, AddWatchMode.PERSISTENT_RECURSIVE);
        leave();
        comeBack();
        // The answer to a read follows the one to setWatches: both watches are in place.
        drainEvents(away);
        zk.setData(path("a"), bytes("1"), -1);
        events.expect(EventType.NodeDataChanged, path("a"));
        make("r/x");
        make("r/x/y");
        recursive.expect(EventType.NodeCreated, path("r/x"));
        recursive.expect(EventType.NodeCreated, path("r/x/y"));
        relay.cut();
        states.awaitState(KeeperState.Disconnected);
        states.awaitConnected();
        drainEvents(away);
        zk.setData(path("a"), bytes("2"), -1);
        events.expect(EventType.NodeDataChanged, path("a"));
        zk.delete(path("r/x/y"), -1);
        recursive.expect(EventType.NodeDeleted, path("r/x/y"));
        events.expectNoMore(away);
        recursive.expectNoMore(away);
    }

    @Test
    void manyWatchesAreSetAgain() throws Exception {
        // More than one setWatches request holds: the client splits them by 128 KiB.
        int count = 3_000;
        Events[] watchers = new Events[count];
        String longName = "n".repeat(60);
        for (int i = 0; i < count; i++) {
            watchers[i] = new Events();
            away.exists(path(longName + i), watchers[i], (rc, path, context, stat) -> { }, null);
        }
        drainEvents(away);
        leave();
        make(longName + 0);
        make(longName + (count - 1));
        comeBack();
        watchers[0].expect(EventType.NodeCreated, path(longName + 0));
        watchers[count - 1].expect(EventType.NodeCreated, path(longName + (count - 1)));
        make(longName + 1_500);
        watchers[1_500].expect(EventType.NodeCreated, path(longName + 1_500));
        watchers[1].expectNoMore(away);
    }

    @Test
    void theSessionItsEphemeralsAndItsAuthenticationStay() throws Exception {
        long id = away.getSessionId();
        away.addAuthInfo("digest", bytes("anna:secret"));
        away.create(path("e"), null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
        away.create(path("private"), bytes("mine"), Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
        leave();
        comeBack();
        assertEquals(id, away.getSessionId());
        assertEquals(id, zk.exists(path("e"), false).getEphemeralOwner());
        assertEquals("mine", text(away.getData(path("private"), false, null)));
    }
}

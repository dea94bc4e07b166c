package corral.clients;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;

import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.Watcher.Event.EventType;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.junit.jupiter.api.Test;

/** Sessions: their timeouts, taking one up again elsewhere, and their end by expiry or by closing. */
class SessionTest extends ServerTest {
    /** Short enough to wait for, long enough for a busy machine to keep alive. */
    private static final int SHORT_MS = 3_000;

    @Test
    void timeoutsAreKeptWithinTheServersBounds() throws Exception {
        assertEquals(1_000, connect(SERVER, 10, new Events()).getSessionTimeout());
        assertEquals(60_000, connect(SERVER, 600_000, new Events()).getSessionTimeout());
        assertEquals(7_654, connect(SERVER, 7_654, new Events()).getSessionTimeout());
    }

    @Test
    void sessionsDifferAndHavePasswords() throws Exception {
        ZooKeeper other = connect();
        assertNotEquals(zk.getSessionId(), other.getSessionId());
        assertNotEquals(0, zk.getSessionId());
        assertEquals(16, zk.getSessionPasswd().length);
    }

    @Test
    void aSessionIsTakenUpAgainWithItsIdAndPassword() throws Exception {
        Relay relay = closeLater(new Relay());
        Events states = new Events();
        ZooKeeper first = connect(relay.address(), SESSION_MS, states);
        first.create(path("e"), null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
        relay.shut();
        states.awaitState(KeeperState.Disconnected);
        Events events = new Events();
        ZooKeeper second = closeLater(
                new ZooKeeper(SERVER, SESSION_MS, events, first.getSessionId(), first.getSessionPasswd()));
        events.awaitConnected();
        assertEquals(first.getSessionId(), second.getSessionId());
        assertEquals(second.getSessionId(), zk.exists(path("e"), false).getEphemeralOwner());
        second.create(path("e2"), null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
        second.close();
        assertNull(zk.exists(path("e"), false));
        assertNull(zk.exists(path("e2"), false));
        relay.open();
        states.awaitState(KeeperState.Expired);
    }

    @Test
    void aWrongPasswordOrAnUnknownIdIsTurnedAway() throws Exception {
        byte[] wrong = zk.getSessionPasswd().clone();
        wrong[3] ^= 1;
        Events withWrongPassword = new Events();
        closeLater(new ZooKeeper(SERVER, SESSION_MS, withWrongPassword, zk.getSessionId(), wrong));
        withWrongPassword.awaitState(KeeperState.Expired);
        Events unknown = new Events();
        closeLater(new ZooKeeper(SERVER, SESSION_MS, unknown, 0x0123_4567_89ab_cdefL, zk.getSessionPasswd()));
        unknown.awaitState(KeeperState.Expired);
        // The session that was tried for goes on, though ZooKeeper cuts its connection before it looks at passwords.
        await("the session answers", () -> {
            try {
                return zk.exists(root, false) != null;
            } catch (KeeperException.ConnectionLossException cut) {
                return false;
            }
        });
    }

    @Test
    void aSilentSessionExpiresAndAPingingOneDoesNot() throws Exception {
        Events idleStates = new Events();
        ZooKeeper idle = connect(SERVER, SHORT_MS, idleStates);
        idle.create(path("kept"), null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
        Relay relay = closeLater(new Relay());
        Events states = new Events();
        ZooKeeper silent = connect(relay.address(), SHORT_MS, states);
        silent.create(path("e"), null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
        Events events = new Events();
        assertNotNull(zk.exists(path("e"), events));
        relay.shut();
        // Nobody closes the session: its timeout does, and the ephemeral goes with it.
        events.expect(EventType.NodeDeleted, path("e"));
        relay.open();
        states.awaitState(KeeperState.Expired);
        assertError(Code.SESSIONEXPIRED, () -> silent.exists(path("e"), false));
        assertEquals(idle.getSessionId(), zk.exists(path("kept"), false).getEphemeralOwner());
    }

    @Test
    void aSessionThatIsEndedElsewhereSeesItself() throws Exception {
        Events states = new Events();
        ZooKeeper session = connect(SERVER, SESSION_MS, states);
        session.create(path("e"), null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
        expire(session);
        states.awaitState(KeeperState.Expired);
        assertEquals(ZooKeeper.States.CLOSED, session.getState());
        assertNull(zk.exists(path("e"), false));
        assertError(Code.SESSIONEXPIRED, () -> session.getData(path("e"), false, null));
    }

    @Test
    void closingDeletesTheEphemeralsBeforeItReturns() throws Exception {
        ZooKeeper session = connect();
        for (int i = 0; i < 100; i++) {
            session.create(path("e-"), null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL_SEQUENTIAL);
        }
        assertEquals(100, zk.getAllChildrenNumber(root));
        session.close();
        assertEquals(0, zk.getAllChildrenNumber(root));
    }

    @Test
    void syncAnswersForAnyPath() throws Exception {
        zk.sync(root);
        zk.sync("/");
        // What another session has been told is done is seen after a sync.
        ZooKeeper writer = connect();
        for (int i = 0; i < 20; i++) {
            writer.setData(root, bytes("" + i), -1);
            zk.sync(root);
            assertEquals("" + i, text(zk.getData(root, false, null)));
        }
    }
}

package corral.clients;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Random;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.data.Stat;
import org.junit.jupiter.api.Test;

/** exists, getData, setData and delete: versions, missing data, and data as large as the server takes. */
class DataTest extends ServerTest {
    /** The server's default jute.maxbuffer: the longest request, its length field not counted. */
    private static final int LONGEST_REQUEST = 0xfffff;

    @Test
    void existsAnswersNothingForAMissingNode() throws Exception {
        assertNull(zk.exists(path("missing"), false));
        assertNull(zk.exists(path("missing/deeper"), false));
    }

    @Test
    void setDataMovesTheVersion() throws Exception {
        String node = make("a", "0");
        Stat made = zk.exists(node, false);
        Stat first = zk.setData(node, bytes("one"), 0);
        assertEquals(1, first.getVersion());
        assertEquals(3, first.getDataLength());
        assertEquals(made.getCzxid(), first.getCzxid());
        assertEquals(made.getCtime(), first.getCtime());
        assertTrue(first.getMzxid() > made.getMzxid());
        assertTrue(first.getMtime() >= made.getMtime());
        assertEquals(made.getPzxid(), first.getPzxid());
        Stat second = zk.setData(node, bytes("second"), -1);
        assertEquals(2, second.getVersion());
        Stat read = new Stat();
        assertEquals("second", text(zk.getData(node, false, read)));
        assertEquals(second, read);
    }

    @Test
    void aWrongVersionChangesNothing() throws Exception {
        String node = make("a", "0");
        zk.setData(node, bytes("1"), 0);
        assertError(Code.BADVERSION, () -> zk.setData(node, bytes("2"), 0));
        assertError(Code.BADVERSION, () -> zk.setData(node, bytes("2"), 2));
        assertError(Code.BADVERSION, () -> zk.delete(node, 0));
        assertEquals("1", text(zk.getData(node, false, null)));
        zk.delete(node, 1);
        assertNull(zk.exists(node, false));
    }

    @Test
    void aNodeMadeAgainStartsAgain() throws Exception {
        String node = make("a", "0");
        zk.setData(node, bytes("1"), -1);
        long czxid = zk.exists(node, false).getCzxid();
        zk.delete(node, -1);
        make("a", "again");
        Stat stat = zk.exists(node, false);
        assertEquals(0, stat.getVersion());
        assertTrue(stat.getCzxid() > czxid);
    }

    @Test
    void refusalsHaveTheirCodes() throws Exception {
        make("a");
        make("a/b");
        assertError(Code.NOTEMPTY, () -> zk.delete(path("a"), -1));
        assertError(Code.NONODE, () -> zk.delete(path("missing"), -1));
        assertError(Code.NONODE, () -> zk.setData(path("missing"), null, -1));
        assertError(Code.NONODE, () -> zk.getData(path("missing"), false, null));
        assertError(Code.BADARGUMENTS, () -> zk.delete("/", -1));
        assertError(Code.BADARGUMENTS, () -> zk.delete("/zookeeper", -1));
        assertError(Code.BADARGUMENTS, () -> zk.delete("/zookeeper/quota", -1));
        assertError(Code.BADARGUMENTS, () -> zk.delete("/zookeeper/config", -1));
    }

    @Test
    void missingDataIsNotEmptyData() throws Exception {
        zk.create(path("missing"), null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        zk.create(path("empty"), new byte[0], Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        Stat stat = new Stat();
        assertNull(zk.getData(path("missing"), false, stat));
        assertEquals(0, stat.getDataLength());
        assertArrayEquals(new byte[0], zk.getData(path("empty"), false, stat));
        assertEquals(0, stat.getDataLength());
        zk.setData(path("empty"), null, -1);
        assertNull(zk.getData(path("empty"), false, null));
        zk.setData(path("missing"), new byte[0], -1);
        assertArrayEquals(new byte[0], zk.getData(path("missing"), false, null));
    }

    @Test
    void dataMayFillTheLongestRequest() throws Exception {
        String node = make("large");
        // A setData request: header 8, path 4 + its length, data 4 + its length, version 4.
        byte[] data = new byte[LONGEST_REQUEST - 20 - node.length()];
        new Random(1).nextBytes(data);
        assertEquals(data.length, zk.setData(node, data, 0).getDataLength());
        assertArrayEquals(data, zk.getData(node, false, null));
    }

    @Test
    void aLongerRequestClosesTheConnectionAndChangesNothing() throws Exception {
        String node = make("large", "small");
        byte[] data = new byte[LONGEST_REQUEST - 20 - node.length() + 1];
        assertError(Code.CONNECTIONLOSS, () -> zk.setData(node, data, -1));
        sessionEvents.awaitConnected();
        Stat stat = new Stat();
        assertEquals("small", text(zk.getData(node, false, stat)));
        assertEquals(0, stat.getVersion());
    }
}

package corral.clients;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.ZooDefs;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.admin.ZooKeeperAdmin;
import org.apache.zookeeper.data.Stat;
import org.junit.jupiter.api.Test;

/** The server's own nodes when it stands alone, and the change of members that it refuses. */
class ConfigTest extends ServerTest {
    private static final List<String> MEMBER = List.of("server.1=127.0.0.1:1:2:participant;3");

    @Test
    void theConfigurationOfAServerAloneIsEmptyAndForReading() throws Exception {
        Stat stat = new Stat();
        assertArrayEquals(new byte[0], zk.getConfig(false, stat));
        assertEquals(0, stat.getVersion());
        assertEquals(Ids.READ_ACL_UNSAFE, zk.getACL(ZooDefs.CONFIG_NODE, stat));
        assertError(Code.NOAUTH, () -> zk.setData(ZooDefs.CONFIG_NODE, bytes("x"), -1));
        assertTrue(zk.getChildren("/zookeeper", false).containsAll(List.of("config", "quota")));
        assertTrue(zk.getChildren("/", false).contains("zookeeper"));
    }

    @Test
    void membersCannotBeChanged() throws Exception {
        Events events = new Events();
        ZooKeeperAdmin admin = closeLater(new ZooKeeperAdmin(SERVER, SESSION_MS, events));
        events.awaitConnected();
        assertError(Code.RECONFIGDISABLED, () -> admin.reconfigure(MEMBER, null, null, -1, new Stat()));
        assertError(Code.RECONFIGDISABLED, () -> admin.reconfigure(null, null, MEMBER, -1, new Stat()));
        assertArrayEquals(new byte[0], zk.getConfig(false, new Stat()));
    }
}

package corral.clients;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.ZooDefs;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.admin.ZooKeeperAdmin;
import org.apache.zookeeper.data.Stat;
import org.junit.jupiter.api.Test;

/** The server's own nodes, and the change of members that it refuses. CLIENTS_MEMBERS is how many there are. */
class ConfigTest extends ServerTest {
    private static final List<String> MEMBER = List.of("server.1=127.0.0.1:1:2:participant;3");

    /** The servers in the configuration: none when a server stands alone. */
    private long members(Stat stat) throws Exception {
        String config = new String(zk.getConfig(false, stat), java.nio.charset.StandardCharsets.UTF_8);
        assertEquals(config.isEmpty() ? 0 : 1, config.lines().filter(line -> line.startsWith("version=")).count());
        return config.lines().filter(line -> line.startsWith("server.")).count();
    }

    private static long expectedMembers() {
        return Long.parseLong(System.getenv().getOrDefault("CLIENTS_MEMBERS", "0"));
    }

    @Test
    void theConfigurationOfAServerAloneIsEmptyAndForReading() throws Exception {
        Stat stat = new Stat();
        assertEquals(expectedMembers(), members(stat));
        // Written without a transaction where the servers' files decide.
        assertEquals(expectedMembers() > 0 ? -1 : 0, stat.getVersion());
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
        assertEquals(expectedMembers(), members(new Stat()));
    }
}

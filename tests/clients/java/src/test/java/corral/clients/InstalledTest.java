package corral.clients;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.apache.curator.framework.CuratorFramework;
import org.apache.zookeeper.Version;
import org.junit.jupiter.api.Test;

/** Needs no server: the clients are the ones this project means to test with. */
class InstalledTest {
    @Test
    void theClientsHaveTheirVersions() throws Exception {
        assertEquals("3.9.5", Version.getVersion());
        String curator = CuratorFramework.class.getProtectionDomain().getCodeSource().getLocation().getPath();
        assertEquals("curator-framework-5.9.0.jar", curator.substring(curator.lastIndexOf('/') + 1));
    }
}

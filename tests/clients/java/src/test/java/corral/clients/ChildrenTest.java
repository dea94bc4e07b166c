package corral.clients;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.Stat;
import org.junit.jupiter.api.Test;

/** What lies below a znode, and what belongs to a session. */
class ChildrenTest extends ServerTest {
    @Test
    void childrenAreNamedWithoutTheirPath() throws Exception {
        make("a");
        assertEquals(List.of(), zk.getChildren(path("a"), false));
        make("a/x");
        make("a/y");
        make("a/y/deeper");
        Stat stat = new Stat();
        List<String> children = zk.getChildren(path("a"), false, stat);
        Collections.sort(children);
        assertEquals(List.of("x", "y"), children);
        assertEquals(zk.exists(path("a"), false), stat);
        assertEquals(2, stat.getNumChildren());
        assertError(Code.NONODE, () -> zk.getChildren(path("missing"), false));
    }

    @Test
    void manyChildrenComeInOneAnswer() throws Exception {
        Set<String> made = new HashSet<>();
        List<Op> creations = new ArrayList<>();
        for (int i = 0; i < 3_000; i++) {
            made.add("child-" + i);
            creations.add(
                    Op.create(
                            path("child-" + i), null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        }
        zk.multi(creations);
        List<String> children = zk.getChildren(root, false);
        assertEquals(3_000, children.size());
        assertEquals(made, new HashSet<>(children));
        assertEquals(3_000, zk.getAllChildrenNumber(root));
    }

    @Test
    void allChildrenNumberCountsEveryDescendant() throws Exception {
        assertEquals(0, zk.getAllChildrenNumber(root));
        make("a");
        make("a/b");
        make("a/b/c");
        make("ab");
        assertEquals(4, zk.getAllChildrenNumber(root));
        assertEquals(2, zk.getAllChildrenNumber(path("a")));
        assertEquals(0, zk.getAllChildrenNumber(path("a/b/c")));
        assertError(Code.NONODE, () -> zk.getAllChildrenNumber(path("missing")));
    }

    @Test
    void ephemeralsAreListedBySessionAndPrefix() throws Exception {
        ZooKeeper other = connect();
        make("p");
        for (String name : List.of("p/a", "p/b", "q")) {
            zk.create(path(name), null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
        }
        other.create(path("p/theirs"), null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
        assertEquals(Set.of(path("p/a"), path("p/b"), path("q")), new HashSet<>(zk.getEphemerals()));
        assertEquals(Set.of(path("p/a"), path("p/b")), new HashSet<>(zk.getEphemerals(path("p"))));
        assertEquals(List.of(path("q")), zk.getEphemerals(path("q")));
        assertEquals(List.of(), zk.getEphemerals(path("p/theirs")));
        assertEquals(List.of(path("p/theirs")), other.getEphemerals());
        zk.delete(path("q"), -1);
        assertEquals(2, zk.getEphemerals("/").size());
    }
}

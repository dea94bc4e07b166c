package corral.clients;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.OpResult;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.data.Stat;
import org.junit.jupiter.api.Test;

/** multi: all or nothing for changes, one result each for reads. */
class MultiTest extends ServerTest {
    private Op create(String name, CreateMode mode) {
        return Op.create(path(name), bytes("x"), Ids.OPEN_ACL_UNSAFE, mode);
    }

    private static List<Integer> errors(List<OpResult> results) {
        return results.stream().map(result -> ((OpResult.ErrorResult) result).getErr()).toList();
    }

    @Test
    void aSuccessHasOneResultForEach() throws Exception {
        make("old", "0");
        make("gone");
        List<OpResult> results = zk.multi(List.of(
                Op.check(path("old"), 0),
                create("new", CreateMode.PERSISTENT),
                create("new/s-", CreateMode.PERSISTENT_SEQUENTIAL),
                create("new/s-", CreateMode.EPHEMERAL_SEQUENTIAL),
                Op.setData(path("old"), bytes("1"), 0),
                Op.check(path("old"), 1),
                Op.delete(path("gone"), 0)));
        assertEquals(7, results.size());
        assertTrue(results.get(0) instanceof OpResult.CheckResult);
        assertEquals(path("new"), ((OpResult.CreateResult) results.get(1)).getPath());
        assertEquals(path("new/s-0000000000"), ((OpResult.CreateResult) results.get(2)).getPath());
        assertEquals(path("new/s-0000000001"), ((OpResult.CreateResult) results.get(3)).getPath());
        Stat set = ((OpResult.SetDataResult) results.get(4)).getStat();
        assertEquals(1, set.getVersion());
        assertTrue(results.get(5) instanceof OpResult.CheckResult);
        assertTrue(results.get(6) instanceof OpResult.DeleteResult);
        // One transaction, one zxid.
        Stat made = zk.exists(path("new"), false);
        assertEquals(set.getMzxid(), made.getCzxid());
        assertEquals(set.getMzxid(), made.getPzxid());
        assertEquals(set, zk.exists(path("old"), false));
        assertEquals(zk.getSessionId(), zk.exists(path("new/s-0000000001"), false).getEphemeralOwner());
        assertNull(zk.exists(path("gone"), false));
    }

    @Test
    void aFailureChangesNothingAndSaysWhichFailed() throws Exception {
        make("old", "0");
        Stat before = zk.exists(root, false);
        KeeperException failure = assertThrows(
                KeeperException.BadVersionException.class,
                () -> zk.multi(List.of(
                        create("new", CreateMode.PERSISTENT),
                        Op.setData(path("old"), bytes("1"), -1),
                        Op.check(path("old"), 7),
                        Op.delete(path("missing"), -1),
                        create("later", CreateMode.PERSISTENT))));
        int later = Code.RUNTIMEINCONSISTENCY.intValue();
        assertEquals(List.of(0, 0, Code.BADVERSION.intValue(), later, later), errors(failure.getResults()));
        assertNull(zk.exists(path("new"), false));
        assertNull(zk.exists(path("later"), false));
        assertEquals("0", text(zk.getData(path("old"), false, null)));
        assertEquals(before, zk.exists(root, false));
    }

    @Test
    void eachRefusalHasItsCode() throws Exception {
        make("a");
        make("a/child");
        record Case(Code code, Op op) { }
        List<Case> cases = List.of(
                new Case(Code.NONODE, Op.check(path("missing"), -1)),
                new Case(Code.NONODE, Op.setData(path("missing"), null, -1)),
                new Case(Code.NONODE, Op.delete(path("missing"), -1)),
                new Case(Code.NONODE, create("missing/child", CreateMode.PERSISTENT)),
                new Case(Code.NODEEXISTS, create("a", CreateMode.PERSISTENT)),
                new Case(Code.NOTEMPTY, Op.delete(path("a"), -1)),
                new Case(Code.BADVERSION, Op.delete(path("a/child"), 5)));
        for (Case one : cases) {
            KeeperException failure = assertThrows(
                    KeeperException.class, () -> zk.multi(List.of(create("first", CreateMode.PERSISTENT), one.op)));
            assertEquals(one.code, failure.code());
            assertEquals(List.of(0, one.code.intValue()), errors(failure.getResults()));
        }
        assertEquals(List.of("a"), zk.getChildren(root, false));
    }

    @Test
    void laterOperationsSeeEarlierOnes() throws Exception {
        zk.multi(List.of(
                create("a", CreateMode.PERSISTENT),
                create("a/b", CreateMode.PERSISTENT),
                Op.setData(path("a/b"), bytes("1"), 0),
                Op.setData(path("a/b"), bytes("2"), 1),
                Op.delete(path("a/b"), 2),
                Op.delete(path("a"), 0),
                create("a", CreateMode.PERSISTENT)));
        Stat stat = zk.exists(path("a"), false);
        assertEquals(0, stat.getVersion());
        assertEquals(0, stat.getNumChildren());
    }

    @Test
    void containersAndTtlsAreMadeToo() throws Exception {
        zk.multi(List.of(
                create("c", CreateMode.CONTAINER),
                Op.create(path("t"), null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_WITH_TTL, 60_000),
                create("c/e", CreateMode.EPHEMERAL)));
        assertEquals(0, zk.exists(path("c"), false).getEphemeralOwner());
        assertEquals(1, zk.exists(path("c"), false).getNumChildren());
        assertEquals(0, zk.exists(path("t"), false).getEphemeralOwner());
        assertEquals(zk.getSessionId(), zk.exists(path("c/e"), false).getEphemeralOwner());
    }

    @Test
    void anEmptyMultiSucceeds() throws Exception {
        assertEquals(List.of(), zk.multi(List.of()));
    }

    @Test
    void aTransactionMayBeBuiltAndSentWithoutWaiting() throws Exception {
        CountDownLatch done = new CountDownLatch(1);
        AtomicInteger code = new AtomicInteger(-1);
        AtomicReference<List<OpResult>> results = new AtomicReference<>();
        zk.transaction()
                .create(path("a"), bytes("1"), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT)
                .setData(path("a"), bytes("2"), 0)
                .check(path("a"), 1)
                .commit(
                        (rc, path, context, given) -> {
                            code.set(rc);
                            results.set(given);
                            done.countDown();
                        },
                        null);
        await("an answer to the transaction", done);
        assertEquals(0, code.get());
        assertEquals(3, results.get().size());
        assertEquals("2", text(zk.getData(path("a"), false, null)));
    }

    @Test
    void readsSucceedAndFailOneByOne() throws Exception {
        make("a", "data");
        make("a/x");
        Stat stat = zk.exists(path("a"), false);
        List<OpResult> results = zk.multi(List.of(
                Op.getData(path("a")),
                Op.getData(path("missing")),
                Op.getChildren(path("a")),
                Op.getChildren(path("missing")),
                Op.getChildren(path("a/x"))));
        assertEquals(5, results.size());
        OpResult.GetDataResult data = (OpResult.GetDataResult) results.get(0);
        assertEquals("data", text(data.getData()));
        assertEquals(stat, data.getStat());
        assertEquals(Code.NONODE.intValue(), ((OpResult.ErrorResult) results.get(1)).getErr());
        assertEquals(List.of("x"), ((OpResult.GetChildrenResult) results.get(2)).getChildren());
        assertEquals(Code.NONODE.intValue(), ((OpResult.ErrorResult) results.get(3)).getErr());
        assertEquals(List.of(), ((OpResult.GetChildrenResult) results.get(4)).getChildren());
    }
}

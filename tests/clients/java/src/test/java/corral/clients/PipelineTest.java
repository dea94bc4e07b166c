package corral.clients;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.ZooDefs.Ids;
import org.junit.jupiter.api.Test;

/** Requests sent without waiting: they are answered in their order, each seeing those before it. */
class PipelineTest extends ServerTest {
    private static final int ROUNDS = 2_000;

    @Test
    void tenThousandRequestsAreAnsweredInOrder() throws Exception {
        List<String> answers = Collections.synchronizedList(new ArrayList<>());
        CountDownLatch answered = new CountDownLatch(5 * ROUNDS);
        List<String> expected = new ArrayList<>();
        make("counter", "start");
        for (int i = 0; i < ROUNDS; i++) {
            String node = path("n" + i);
            int round = i;
            zk.create(node, bytes("made " + i), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT, (rc, path, context, name) -> {
                answers.add(round + " create " + rc + " " + name);
                answered.countDown();
            }, null);
            expected.add(i + " create 0 " + node);
            zk.getData(node, false, (rc, path, context, data, stat) -> {
                answers.add(round + " get " + rc + " " + text(data));
                answered.countDown();
            }, null);
            expected.add(i + " get 0 made " + i);
            zk.setData(path("counter"), bytes("" + i), i, (rc, path, context, stat) -> {
                answers.add(round + " set " + rc + " version " + (stat == null ? null : stat.getVersion()));
                answered.countDown();
            }, null);
            expected.add(i + " set 0 version " + (i + 1));
            zk.delete(node, 0, (rc, path, context) -> {
                answers.add(round + " delete " + rc);
                answered.countDown();
            }, null);
            expected.add(i + " delete 0");
            zk.exists(node, false, (rc, path, context, stat) -> {
                answers.add(round + " exists " + rc);
                answered.countDown();
            }, null);
            expected.add(i + " exists -101");
        }
        await("answers to all requests", answered);
        assertEquals(expected, answers);
        assertEquals("" + (ROUNDS - 1), text(zk.getData(path("counter"), false, null)));
        assertEquals(List.of("counter"), zk.getChildren(root, false));
    }

    @Test
    void failuresInTheMiddleDoNotDisturbTheRest() throws Exception {
        List<Integer> codes = Collections.synchronizedList(new ArrayList<>());
        List<Integer> expected = new ArrayList<>();
        CountDownLatch answered = new CountDownLatch(3_000);
        make("a");
        for (int i = 0; i < 1_000; i++) {
            zk.setData(path("a"), bytes("x"), i, (rc, path, context, stat) -> {
                codes.add(rc);
                answered.countDown();
            }, null);
            zk.setData(path("a"), bytes("x"), i, (rc, path, context, stat) -> {
                codes.add(rc);
                answered.countDown();
            }, null);
            zk.delete(path("missing"), -1, (rc, path, context) -> {
                codes.add(rc);
                answered.countDown();
            }, null);
            expected.addAll(List.of(0, -103, -101));
        }
        await("answers to all requests", answered);
        assertEquals(expected, codes);
    }
}

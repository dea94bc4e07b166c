package corral.clients;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.leader.LeaderSelector;
import org.apache.curator.framework.recipes.leader.LeaderSelectorListenerAdapter;
import org.junit.jupiter.api.Test;

/** Curator's elections: LeaderLatch and LeaderSelector. */
class CuratorLeaderTest extends CuratorTest {
    private LeaderLatch latch(CuratorFramework client, String id) throws Exception {
        LeaderLatch latch = new LeaderLatch(client, path("latch"), id);
        latch.start();
        return latch;
    }

    private static boolean leads(LeaderLatch latch) throws Exception {
        return latch.await(PATIENCE_MS, TimeUnit.MILLISECONDS);
    }

    @Test
    void theLatchPassesInTheOrderOfArrival() throws Exception {
        List<LeaderLatch> latches = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            latches.add(latch(open(), "member-" + i));
            int standing = i + 1;
            await("member " + i + " stands in line", () -> latches.get(0).getParticipants().size() == standing);
        }
        for (int i = 0; i < 3; i++) {
            LeaderLatch leader = latches.get(i);
            assertTrue(leads(leader));
            assertEquals("member-" + i, leader.getLeader().getId());
            for (LeaderLatch other : latches.subList(i + 1, 3)) {
                assertFalse(other.hasLeadership());
            }
            leader.close();
        }
        await("nobody stands in line", () -> childCount("latch") == 0);
    }

    @Test
    void theLatchPassesWhenTheLeadersSessionEnds() throws Exception {
        CuratorFramework mortal = open();
        LeaderLatch first = closeLater(latch(mortal, "first"));
        assertTrue(leads(first));
        LeaderLatch second = closeLater(latch(curator, "second"));
        await("the second stands in line", () -> first.getParticipants().size() == 2);
        expire(mortal);
        assertTrue(leads(second));
        await("the first knows that it does not lead", () -> !first.hasLeadership());
        await("the first stands in line again", () -> second.getParticipants().size() == 2);
        assertEquals("second", second.getLeader().getId());
    }

    @Test
    void theSelectorLetsEachLeadAloneAndInTurn() throws Exception {
        int members = 3;
        AtomicInteger leading = new AtomicInteger();
        AtomicInteger most = new AtomicInteger();
        LinkedBlockingQueue<Integer> led = new LinkedBlockingQueue<>();
        CountDownLatch allStand = new CountDownLatch(1);
        List<LeaderSelector> selectors = new ArrayList<>();
        for (int i = 0; i < members; i++) {
            int member = i;
            LeaderSelector selector = new LeaderSelector(open(), path("selector"), new LeaderSelectorListenerAdapter() {
                @Override
                public void takeLeadership(CuratorFramework client) throws Exception {
                    most.accumulateAndGet(leading.incrementAndGet(), Math::max);
                    await("all members stand", allStand);
                    led.add(member);
                    leading.decrementAndGet();
                }
            });
            selector.autoRequeue();
            selector.start();
            selectors.add(closeLater(selector));
        }
        await("all members stand", () -> selectors.get(0).getParticipants().size() == members);
        allStand.countDown();
        // Who has led stands in line again behind the rest: in two rounds everybody leads twice.
        for (int round = 0; round < 2; round++) {
            Set<Integer> seen = new HashSet<>();
            for (int i = 0; i < members; i++) {
                seen.add(led.poll(PATIENCE_MS, TimeUnit.MILLISECONDS));
            }
            if (round == 0) {
                assertEquals(Set.of(0, 1, 2), seen);
            }
            assertFalse(seen.contains(null));
        }
        assertEquals(1, most.get());
    }
}

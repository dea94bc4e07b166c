package corral.clients;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;

import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.Watcher.Event.EventType;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooDefs.Perms;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.ClientInfo;
import org.apache.zookeeper.data.Id;
import org.apache.zookeeper.data.Stat;
import org.apache.zookeeper.server.auth.DigestAuthenticationProvider;
import org.junit.jupiter.api.Test;

/** Who may do what: the schemes world, auth, digest and ip, and each permission by itself. */
class AclTest extends ServerTest {
    private static ACL acl(int permissions, String scheme, String id) {
        return new ACL(permissions, new Id(scheme, id));
    }

    private String createWith(String name, ACL... acls) throws Exception {
        return zk.create(path(name), bytes("x"), Arrays.asList(acls), CreateMode.PERSISTENT);
    }

    private ZooKeeper connectAs(String... users) throws Exception {
        ZooKeeper session = connect();
        for (String user : users) {
            session.addAuthInfo("digest", bytes(user));
        }
        return session;
    }

    @Test
    void anOpenNodeSaysSo() throws Exception {
        Stat stat = new Stat();
        assertEquals(Ids.OPEN_ACL_UNSAFE, zk.getACL(root, stat));
        assertEquals(zk.exists(root, false), stat);
        assertError(Code.NONODE, () -> zk.getACL(path("missing"), new Stat()));
    }

    @Test
    void settingAclsMovesTheirOwnVersion() throws Exception {
        String node = make("a");
        List<ACL> readOnly = Arrays.asList(acl(Perms.READ | Perms.ADMIN, "world", "anyone"));
        Stat stat = zk.setACL(node, readOnly, 0);
        assertEquals(1, stat.getAversion());
        assertEquals(0, stat.getVersion());
        assertEquals(readOnly, zk.getACL(node, stat));
        assertError(Code.BADVERSION, () -> zk.setACL(node, readOnly, 0));
        assertEquals(2, zk.setACL(node, Ids.OPEN_ACL_UNSAFE, -1).getAversion());
        assertError(Code.NONODE, () -> zk.setACL(path("missing"), readOnly, -1));
    }

    @Test
    void eachPermissionAllowsItsOwn() throws Exception {
        // With everything but one permission, exactly what needs that one is refused.
        int[] permissions = {Perms.READ, Perms.WRITE, Perms.CREATE, Perms.DELETE, Perms.ADMIN};
        for (int missing : permissions) {
            String name = "without-" + missing;
            zk.create(path(name), bytes("x"), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
            make(name + "/child");
            List<ACL> rest = Arrays.asList(acl(Perms.ALL & ~missing, "world", "anyone"));
            zk.setACL(path(name), rest, -1);
            String node = path(name);
            allowedUnless(missing == Perms.READ, () -> assertNotNull(zk.exists(node, false)));
            allowedUnless(missing == Perms.READ, () -> zk.getData(node, false, null));
            allowedUnless(missing == Perms.READ, () -> zk.getChildren(node, false));
            allowedUnless(missing == Perms.READ, () -> zk.getAllChildrenNumber(node));
            allowedUnless(missing == Perms.WRITE, () -> zk.setData(node, bytes("y"), -1));
            allowedUnless(
                    missing == Perms.CREATE,
                    () -> zk.create(node + "/new", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
            allowedUnless(missing == Perms.DELETE, () -> zk.delete(node + "/child", -1));
            allowedUnless(missing == Perms.ADMIN, () -> zk.setACL(node, rest, -1));
            // Reading the list itself takes READ or ADMIN.
            assertEquals(rest, zk.getACL(node, new Stat()));
            if (missing != Perms.ADMIN) {
                zk.setACL(node, Ids.OPEN_ACL_UNSAFE, -1);
            }
        }
        createWith("closed", acl(Perms.WRITE, "world", "anyone"));
        assertError(Code.NOAUTH, () -> zk.getACL(path("closed"), new Stat()));
        zk.delete(path("closed"), -1);
    }

    private interface Action {
        void run() throws Exception;
    }

    private static void allowedUnless(boolean refused, Action action) throws Exception {
        if (refused) {
            assertError(Code.NOAUTH, action::run);
        } else {
            action.run();
        }
    }

    @Test
    void authStandsForTheIdsOfItsCreator() throws Exception {
        ZooKeeper anna = connectAs("anna:secret", "second:identity");
        anna.create(path("hers"), bytes("x"), Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
        Set<Id> ids = new HashSet<>();
        for (ACL one : anna.getACL(path("hers"), new Stat())) {
            assertEquals(Perms.ALL, one.getPerms());
            ids.add(one.getId());
        }
        assertEquals(
                Set.of(
                        new Id("digest", DigestAuthenticationProvider.generateDigest("anna:secret")),
                        new Id("digest", DigestAuthenticationProvider.generateDigest("second:identity"))),
                ids);
        assertError(Code.NOAUTH, () -> zk.getData(path("hers"), false, null));
        assertError(Code.NOAUTH, () -> connectAs("anna:wrong").getData(path("hers"), false, null));
        assertEquals("x", text(connectAs("second:identity").getData(path("hers"), false, null)));
        // A session that gains the identity gains the access.
        zk.addAuthInfo("digest", bytes("anna:secret"));
        assertEquals("x", text(zk.getData(path("hers"), false, null)));
    }

    @Test
    void digestNamesAUserWhoNeedNotBeThere() throws Exception {
        String digest = DigestAuthenticationProvider.generateDigest("bert:pass");
        createWith("his", acl(Perms.ALL, "digest", digest), acl(Perms.READ, "world", "anyone"));
        assertEquals("x", text(zk.getData(path("his"), false, null)));
        assertError(Code.NOAUTH, () -> zk.setData(path("his"), bytes("y"), -1));
        assertError(
                Code.NOAUTH,
                () -> zk.multi(List.of(
                        Op.create(path("other"), null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT),
                        Op.setData(path("his"), bytes("y"), -1))));
        ZooKeeper bert = connectAs("bert:pass");
        bert.setData(path("his"), bytes("y"), -1);
        bert.setACL(path("his"), Ids.OPEN_ACL_UNSAFE, -1);
        zk.setData(path("his"), bytes("z"), -1);
    }

    @Test
    void digestsAreHiddenFromThoseWhoMayNotSetThem() throws Exception {
        String digest = DigestAuthenticationProvider.generateDigest("bert:pass");
        List<ACL> acls = Arrays.asList(acl(Perms.ALL, "digest", digest), acl(Perms.READ, "world", "anyone"));
        zk.create(path("his"), null, acls, CreateMode.PERSISTENT);
        assertEquals(
                Arrays.asList(acl(Perms.ALL, "digest", "bert:x"), acl(Perms.READ, "world", "anyone")),
                zk.getACL(path("his"), new Stat()));
        assertEquals(acls, connectAs("bert:pass").getACL(path("his"), new Stat()));
    }

    @Test
    void ipNamesAnAddressOrANetwork() throws Exception {
        createWith("here", acl(Perms.ALL, "ip", "127.0.0.1"));
        createWith("net", acl(Perms.ALL, "ip", "127.0.0.0/8"));
        createWith("elsewhere", acl(Perms.ALL, "ip", "10.0.0.0/8"), acl(Perms.WRITE, "ip", "127.0.0.1"));
        assertEquals("x", text(zk.getData(path("here"), false, null)));
        assertEquals("x", text(zk.getData(path("net"), false, null)));
        assertError(Code.NOAUTH, () -> zk.getData(path("elsewhere"), false, null));
        zk.setData(path("elsewhere"), bytes("y"), -1);
        zk.delete(path("elsewhere"), -1);
    }

    @Test
    void watchesDoNotTellOfWhatMayNotBeRead() throws Exception {
        Events once = new Events();
        Events recursive = new Events();
        assertNull(zk.exists(path("hers"), once));
        zk.addWatch(root, recursive, AddWatchMode.PERSISTENT_RECURSIVE);
        ZooKeeper anna = connectAs("anna:secret");
        anna.create(path("hers"), bytes("x"), Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
        anna.setData(path("hers"), bytes("y"), -1);
        make("open");
        recursive.expect(EventType.NodeCreated, path("open"));
        recursive.expectNoMore(zk);
        once.expectNoMore(zk);
    }

    @Test
    void listsThatMeanNothingAreRefused() throws Exception {
        assertError(Code.INVALIDACL, () -> createWith("a", acl(Perms.ALL, "auth", "")));
        assertError(Code.INVALIDACL, () -> createWith("a", acl(Perms.ALL, "nosuchscheme", "x")));
        assertError(Code.INVALIDACL, () -> createWith("a", acl(Perms.ALL, "ip", "300.0.0.1")));
        assertError(Code.INVALIDACL, () -> createWith("a", acl(Perms.ALL, "digest", "no-colon")));
        assertError(Code.INVALIDACL, () -> createWith("a", acl(Perms.ALL, "world", "someone")));
        assertNull(zk.exists(path("a"), false));
    }

    @Test
    void theSameEntryTwiceIsKeptOnce() throws Exception {
        ACL all = acl(Perms.ALL, "world", "anyone");
        createWith("a", all, all);
        assertEquals(List.of(all), zk.getACL(path("a"), new Stat()));
    }

    @Test
    void anUnknownSchemeEndsTheSession() throws Exception {
        Events states = new Events();
        ZooKeeper session = connect(SERVER, SESSION_MS, states);
        session.addAuthInfo("nosuchscheme", bytes("x"));
        states.awaitState(KeeperState.AuthFailed);
        assertError(Code.AUTHFAILED, () -> session.exists(root, false));
    }

    @Test
    void whoAmIListsTheIdentities() throws Exception {
        assertEquals(List.of(new ClientInfo("ip", "127.0.0.1")), zk.whoAmI());
        ZooKeeper anna = connectAs("anna:secret", "bert:pass");
        assertEquals(
                Set.of(
                        new ClientInfo("ip", "127.0.0.1"),
                        new ClientInfo("digest", "anna"),
                        new ClientInfo("digest", "bert")),
                new HashSet<>(anna.whoAmI()));
    }
}

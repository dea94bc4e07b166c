// Create, read, write, delete, sequential, container and TTL znodes, configuration.
#include <stdio.h>
#include <stdlib.h>

#include "check.h"

// Field by field: the padding of the structs differs.
static bool same(const struct Stat *a, const struct Stat *b) {
    return a->czxid == b->czxid && a->mzxid == b->mzxid && a->pzxid == b->pzxid && a->ctime == b->ctime &&
           a->mtime == b->mtime && a->version == b->version && a->cversion == b->cversion &&
           a->aversion == b->aversion && a->ephemeralOwner == b->ephemeralOwner &&
           a->dataLength == b->dataLength && a->numChildren == b->numChildren;
}

static void check_create_and_get(struct client *client) {
    char made[256];
    struct Stat stat, again;
    int rc = zoo_create2(client->handle, at("/basics"), "one", 3, &ZOO_OPEN_ACL_UNSAFE,
                         ZOO_PERSISTENT, made, sizeof made, &stat);
    CHECK_RC("create2", rc, ZOK);
    CHECK("create2 answers the path", strcmp(made, at("/basics")) == 0);
    CHECK("a new znode has versions 0", stat.version == 0 && stat.cversion == 0 && stat.aversion == 0);
    CHECK("a new znode has one zxid", stat.czxid == stat.mzxid && stat.czxid == stat.pzxid && stat.czxid > 0);
    CHECK("a new znode's data length", stat.dataLength == 3 && stat.numChildren == 0);
    CHECK("a plain znode has no owner", stat.ephemeralOwner == 0);
    char data[16];
    int length = sizeof data;
    CHECK_RC("get", zoo_get(client->handle, at("/basics"), 0, data, &length, &again), ZOK);
    CHECK("get answers the data", length == 3 && memcmp(data, "one", 3) == 0);
    CHECK("get answers the stat of create2", same(&stat, &again));
    CHECK_RC("create again", make_node(client, at("/basics"), "two"), ZNODEEXISTS);
    CHECK_RC("create below nothing", make_node(client, at("/missing/a"), ""), ZNONODE);

    // No data and empty data are different things on the wire.
    CHECK_RC("create without data",
             zoo_create(client->handle, at("/basics/null"), NULL, -1, &ZOO_OPEN_ACL_UNSAFE,
                        ZOO_PERSISTENT, NULL, 0), ZOK);
    length = sizeof data;
    CHECK_RC("get without data", zoo_get(client->handle, at("/basics/null"), 0, data, &length, &stat), ZOK);
    CHECK("no data comes back as none", length == -1 && stat.dataLength == 0);
    CHECK_RC("create with empty data", make_node(client, at("/basics/empty"), ""), ZOK);
    length = sizeof data;
    CHECK_RC("get empty data", zoo_get(client->handle, at("/basics/empty"), 0, data, &length, &stat), ZOK);
    CHECK("empty data comes back as empty", length == 0 && stat.dataLength == 0);
}

static void check_large_values(struct client *client) {
    int length = 1000 * 1000, got = length;
    char *value = malloc((size_t)length), *back = malloc((size_t)length);
    for (int n = 0; n < length; n++) value[n] = (char)(n * 31 + n / 251);
    CHECK_RC("create with a million bytes",
             zoo_create(client->handle, at("/basics/large"), value, length, &ZOO_OPEN_ACL_UNSAFE,
                        ZOO_PERSISTENT, NULL, 0), ZOK);
    CHECK_RC("get a million bytes", zoo_get(client->handle, at("/basics/large"), 0, back, &got, NULL), ZOK);
    CHECK("a million bytes come back as they went", got == length && memcmp(value, back, (size_t)length) == 0);
    free(value);
    free(back);
}

static void check_set_and_delete(struct client *client) {
    struct Stat before, stat;
    zoo_exists(client->handle, at("/basics"), 0, &before);
    CHECK_RC("set with the version", zoo_set2(client->handle, at("/basics"), "two", 3, 0, &stat), ZOK);
    CHECK("set moves version and mzxid", stat.version == 1 && stat.mzxid > before.mzxid);
    CHECK("set leaves czxid and pzxid", stat.czxid == before.czxid && stat.pzxid == before.pzxid);
    CHECK_RC("set with a stale version", zoo_set(client->handle, at("/basics"), "x", 1, 0), ZBADVERSION);
    CHECK_RC("set nothing", zoo_set(client->handle, at("/missing"), "x", 1, -1), ZNONODE);
    CHECK("a refused set changes nothing", node_is(client, at("/basics"), "two"));
    CHECK_RC("delete with children", zoo_delete(client->handle, at("/basics"), -1), ZNOTEMPTY);
    CHECK_RC("delete with a wrong version", zoo_delete(client->handle, at("/basics/empty"), 4), ZBADVERSION);
    CHECK_RC("delete nothing", zoo_delete(client->handle, at("/missing"), -1), ZNONODE);
    CHECK_RC("delete", zoo_delete(client->handle, at("/basics/empty"), 0), ZOK);
    CHECK_RC("exists after delete", zoo_exists(client->handle, at("/basics/empty"), 0, NULL), ZNONODE);
}

static void check_children(struct client *client) {
    make_node(client, at("/parent"), "");
    make_node(client, at("/parent/b"), "");
    make_node(client, at("/parent/a"), "");
    zoo_delete(client->handle, at("/parent/b"), -1);
    struct String_vector names;
    struct Stat stat;
    CHECK_RC("get_children2", zoo_get_children2(client->handle, at("/parent"), 0, &names, &stat), ZOK);
    CHECK("the one child", names.count == 1 && strcmp(names.data[0], "a") == 0);
    CHECK("the parent counts both changes", stat.numChildren == 1 && stat.cversion == 3 && stat.version == 0);
    deallocate_String_vector(&names);
    CHECK_RC("children of nothing", zoo_get_children(client->handle, at("/missing"), 0, &names), ZNONODE);
}

static void check_sequential(struct client *client) {
    make_node(client, at("/seq"), "");
    bool right = true;
    for (int n = 0; n < 5; n++) {
        char made[256], want[256];
        int rc = zoo_create(client->handle, at("/seq/s-"), "", 0, &ZOO_OPEN_ACL_UNSAFE,
                            ZOO_PERSISTENT_SEQUENTIAL, made, sizeof made);
        snprintf(want, sizeof want, "%s/seq/s-%010d", root, n);
        right = right && rc == ZOK && strcmp(made, want) == 0;
    }
    CHECK("sequential names count up from 0", right);
    zoo_delete(client->handle, at("/seq/s-0000000004"), -1);
    char made[256];
    zoo_create(client->handle, at("/seq/other-"), "", 0, &ZOO_OPEN_ACL_UNSAFE,
               ZOO_EPHEMERAL_SEQUENTIAL, made, sizeof made);
    CHECK("a number is never given twice", strcmp(made, at("/seq/other-0000000005")) == 0);
}

static void check_container_and_ttl(struct client *client) {
    char made[256];
    struct Stat stat;
    CHECK_RC("create a container",
             zoo_create2(client->handle, at("/container"), "v", 1, &ZOO_OPEN_ACL_UNSAFE,
                         ZOO_CONTAINER, made, sizeof made, &stat), ZOK);
    CHECK("the container's path and stat", strcmp(made, at("/container")) == 0 && stat.version == 0);
    CHECK_RC("a container has children", make_node(client, at("/container/child"), ""), ZOK);
    CHECK("a container has data", node_is(client, at("/container"), "v"));
    struct client *other = client_open(server, 20000, NULL);
    CHECK_RC("create with a TTL",
             zoo_create2_ttl(other->handle, at("/ttl"), "v", 1, &ZOO_OPEN_ACL_UNSAFE,
                             ZOO_PERSISTENT_WITH_TTL, 600000, made, sizeof made, &stat), ZOK);
    CHECK("the TTL znode's path and stat", strcmp(made, at("/ttl")) == 0 && stat.version == 0);
    CHECK_RC("create sequential with a TTL",
             zoo_create_ttl(other->handle, at("/seq/ttl-"), "", 0, &ZOO_OPEN_ACL_UNSAFE,
                            ZOO_PERSISTENT_SEQUENTIAL_WITH_TTL, 600000, made, sizeof made), ZOK);
    CHECK("the sequential TTL znode's path", strcmp(made, at("/seq/ttl-0000000006")) == 0);
    client_close(other);
    CHECK("a TTL znode outlives its session", node_is(client, at("/ttl"), "v"));
}

static void check_chroot(struct client *client) {
    char address[256], made[64];
    snprintf(address, sizeof address, "%s%s", server, at("/parent"));
    struct client *inside = client_open(address, 20000, NULL);
    CHECK_RC("create under a chroot",
             zoo_create(inside->handle, "/in", "v", 1, &ZOO_OPEN_ACL_UNSAFE, ZOO_PERSISTENT, made, sizeof made), ZOK);
    CHECK("the chroot is taken off the answer", strcmp(made, "/in") == 0);
    CHECK("the chroot is put before the request", node_is(client, at("/parent/in"), "v"));
    client_close(inside);
}

static void check_config(struct client *client) {
    char data[4096];
    int length = sizeof data;
    struct Stat stat;
    CHECK_RC("getconfig", zoo_getconfig(client->handle, 0, data, &length, &stat), ZOK);
    length = sizeof data;
    CHECK_RC("reconfig is disabled",
             zoo_reconfig(client->handle, "server.9=127.0.0.1:1:2:participant;3", NULL, NULL, -1,
                          data, &length, &stat), ZRECONFIGDISABLED);
    CHECK("the session goes on", node_is(client, at("/basics"), "two"));
}

void check_basics(void) {
    struct client *client = client_open(server, 20000, NULL);
    check_create_and_get(client);
    check_large_values(client);
    check_set_and_delete(client);
    check_children(client);
    check_sequential(client);
    check_container_and_ttl(client);
    check_chroot(client);
    check_config(client);
    client_close(client);
}

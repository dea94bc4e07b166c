// Multi: all or nothing, one zxid, a result for every operation.
#include <stdio.h>

#include "check.h"

static void check_commit(struct client *client) {
    make_node(client, at("/multi"), "");
    make_node(client, at("/multi/old"), "0");
    char made[256], sequential[256];
    struct Stat set, now;
    zoo_op_t operations[5];
    zoo_op_result_t results[5];
    zoo_check_op_init(&operations[0], at("/multi/old"), 0);
    zoo_create_op_init(&operations[1], at("/multi/a"), "one", 3, &ZOO_OPEN_ACL_UNSAFE, 0, made, sizeof made);
    zoo_create_op_init(&operations[2], at("/multi/a/s-"), "", 0, &ZOO_OPEN_ACL_UNSAFE,
                       ZOO_PERSISTENT_SEQUENTIAL, sequential, sizeof sequential);
    zoo_set_op_init(&operations[3], at("/multi/a"), "two", 3, 0, &set);
    zoo_delete_op_init(&operations[4], at("/multi/old"), 0);
    CHECK_RC("multi", zoo_multi(client->handle, 5, operations, results), ZOK);
    bool all = true;
    for (int n = 0; n < 5; n++) all = all && results[n].err == ZOK;
    CHECK("every operation of the multi succeeded", all);
    CHECK("multi answers the created paths", strcmp(made, at("/multi/a")) == 0 &&
                                                 strcmp(sequential, at("/multi/a/s-0000000000")) == 0);
    CHECK("multi answers the stat of the set", set.version == 1);
    zoo_exists(client->handle, at("/multi/a"), 0, &now);
    CHECK("a multi has one zxid", now.czxid == now.mzxid && now.czxid == now.pzxid && set.mzxid == now.czxid);
    CHECK("the multi's data", node_is(client, at("/multi/a"), "two"));
    CHECK_RC("the multi's delete", zoo_exists(client->handle, at("/multi/old"), 0, NULL), ZNONODE);
}

static void check_rollback(struct client *client) {
    char made[256];
    zoo_op_t operations[4];
    zoo_op_result_t results[4];
    zoo_create_op_init(&operations[0], at("/multi/b"), "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, made, sizeof made);
    zoo_set_op_init(&operations[1], at("/multi/a"), "x", 1, -1, NULL);
    zoo_check_op_init(&operations[2], at("/multi/a"), 9);
    zoo_delete_op_init(&operations[3], at("/multi/a"), -1);
    CHECK_RC("multi with a wrong version", zoo_multi(client->handle, 4, operations, results), ZBADVERSION);
    CHECK_RC("before the failure", results[0].err, ZOK);
    CHECK_RC("before the failure, too", results[1].err, ZOK);
    CHECK_RC("the failure", results[2].err, ZBADVERSION);
    CHECK_RC("after the failure", results[3].err, ZRUNTIMEINCONSISTENCY);
    CHECK_RC("a failed multi creates nothing", zoo_exists(client->handle, at("/multi/b"), 0, NULL), ZNONODE);
    CHECK("a failed multi sets nothing", node_is(client, at("/multi/a"), "two"));
}

void check_multi(void) {
    struct client *client = client_open(server, 20000, NULL);
    check_commit(client);
    check_rollback(client);
    client_close(client);
}

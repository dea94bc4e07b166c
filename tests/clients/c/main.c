// Runs the ZooKeeper C client against a running server: suite HOST:PORT.
//
// Prints a line for each check and ends with "N passed, N failed"; exits non-zero if any failed.
// The suite keeps to a top-level znode of its own, so several suites can share the server.
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "check.h"

int main(int count, char **arguments) {
    zoo_set_debug_level(0);
    if (count == 5 && strcmp(arguments[1], "--abandon") == 0) {
        return abandon_session(arguments[2], arguments[3], atoi(arguments[4]));
    }
    if (count != 2) {
        fprintf(stderr, "usage: %s HOST:PORT\n", arguments[0]);
        return 2;
    }
    server = arguments[1];
    uint64_t random;
    if (getrandom(&random, sizeof random, 0) != sizeof random) return 2;
    snprintf(root, sizeof root, "/c-%012llx", (unsigned long long)(random >> 16));

    struct client *keeper = client_open(server, 20000, NULL);
    CHECK_RC("the suite's own znode is made", make_node(keeper, root, ""), ZOK);
    check_basics();
    check_multi();
    check_acl();
    check_watches();
    check_sessions(arguments[0]);
    check_pipeline();
    delete_tree(keeper, root);
    CHECK_RC("the suite's own znode is gone", zoo_exists(keeper->handle, root, 0, NULL), ZNONODE);
    client_close(keeper);

    printf("%d passed, %d failed\n", checks_passed(), checks_failed());
    return checks_failed() == 0 ? 0 : 1;
}

// Sessions: ephemerals, granted timeouts, a process that dies, resume, expiry, wrong passwords.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "line.h"

static int make_ephemeral(struct client *client, const char *path) {
    return zoo_create(client->handle, path, "v", 1, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL, NULL, 0);
}

static void check_ephemeral(struct client *client) {
    struct client *owner = client_open(server, 20000, NULL);
    struct events *events = events_new();
    struct Stat stat;
    CHECK_RC("create an ephemeral", make_ephemeral(owner, at("/ephemeral")), ZOK);
    zoo_wexists(client->handle, at("/ephemeral"), events_watch, events, &stat);
    CHECK("its owner is the session", stat.ephemeralOwner == owner->id.client_id);
    CHECK_RC("it has no children", make_node(owner, at("/ephemeral/a"), ""), ZNOCHILDRENFOREPHEMERALS);
    client_close(owner);
    CHECK_RC("it is gone once the close is answered", zoo_exists(client->handle, at("/ephemeral"), 0, NULL), ZNONODE);
    CHECK("its end is told", events_wait(events, 1) && events_is(events, 0, ZOO_DELETED_EVENT, at("/ephemeral")));
}

static void check_timeouts(void) {
    static const int asked_ms[] = {100, 7000, 3600 * 1000};
    static const int granted_ms[] = {1000, 7000, 60000};
    for (int n = 0; n < 3; n++) {
        char name[80];
        snprintf(name, sizeof name, "a timeout of %d ms is granted as %d ms", asked_ms[n], granted_ms[n]);
        struct client *client = client_open(server, asked_ms[n], NULL);
        CHECK(name, zoo_recv_timeout(client->handle) == granted_ms[n]);
        client_close(client);
    }
}

int abandon_session(const char *address, const char *path, int timeout_ms) {
    struct client *client = client_open(address, timeout_ms, NULL);
    if (make_ephemeral(client, path) != ZOK) return 1;
    printf("%llx ", (unsigned long long)client->id.client_id);
    for (int n = 0; n < 16; n++) printf("%02x", (unsigned char)client->id.passwd[n]);
    printf("\n");
    fflush(stdout);
    _exit(0);
}

// Runs this program once more as a client that dies with its session open; its id is the result.
static clientid_t abandoned(const char *program, const char *path, int timeout_ms) {
    char command[512], password[33] = "";
    clientid_t id = {0};
    unsigned long long number = 0;
    snprintf(command, sizeof command, "'%s' --abandon '%s' '%s' %d", program, server, path, timeout_ms);
    FILE *output = popen(command, "r");
    int read = output == NULL ? 0 : fscanf(output, "%llx %32s", &number, password);
    int status = output == NULL ? -1 : pclose(output);
    CHECK("a client dies with its session open", read == 2 && status == 0 && number != 0);
    id.client_id = (int64_t)number;
    for (int n = 0; n < 16; n++) {
        unsigned byte = 0;
        sscanf(password + 2 * n, "%2x", &byte);
        id.passwd[n] = (char)byte;
    }
    return id;
}

static void check_resume(struct client *client, const char *program) {
    struct Stat stat;
    clientid_t id = abandoned(program, at("/resumed"), 20000);
    CHECK_RC("its ephemeral stays", zoo_exists(client->handle, at("/resumed"), 0, &stat), ZOK);
    CHECK("and is its own", stat.ephemeralOwner == id.client_id);

    clientid_t wrong = id;
    wrong.passwd[3] ^= 0x55;
    struct client *thief = client_begin(server, 20000, &wrong);
    CHECK("a wrong password gets no session", client_wait_state(thief, ZOO_EXPIRED_SESSION_STATE));
    client_close(thief);
    CHECK_RC("and does no harm", zoo_exists(client->handle, at("/resumed"), 0, &stat), ZOK);

    struct client *heir = client_open(server, 20000, &id);
    CHECK("the session is resumed", heir->id.client_id == id.client_id);
    CHECK_RC("and works", zoo_set(heir->handle, at("/resumed"), "w", 1, 0), ZOK);
    client_close(heir);
    CHECK_RC("closing it takes the ephemeral", zoo_exists(client->handle, at("/resumed"), 0, NULL), ZNONODE);

    struct client *late = client_begin(server, 20000, &id);
    CHECK("a closed session is not resumed", client_wait_state(late, ZOO_EXPIRED_SESSION_STATE));
    CHECK_RC("its handle refuses requests", zoo_exists(late->handle, "/", 0, NULL), ZINVALIDSTATE);
    client_close(late);
}

static bool is_gone(void *context) {
    return zoo_exists(((struct client *)context)->handle, at("/expired"), 0, NULL) == ZNONODE;
}

static void check_expiry(struct client *client, const char *program) {
    clientid_t id = abandoned(program, at("/expired"), 1000);
    CHECK("an abandoned session expires", wait_until(is_gone, client));
    struct client *late = client_begin(server, 1000, &id);
    CHECK("an expired session is not resumed", client_wait_state(late, ZOO_EXPIRED_SESSION_STATE));
    client_close(late);
}

static bool is_lost(void *context) { return client_losses(context) > 0; }

static void check_short_loss(struct client *client) {
    struct line *line = line_open(server);
    struct client *away = client_open(line_address(line), 20000, NULL);
    int64_t session = away->id.client_id;
    struct Stat stat;
    make_ephemeral(away, at("/loss"));
    line_cut(line);
    CHECK("the loss is noticed", wait_until(is_lost, away));
    CHECK_RC("an ephemeral outlives a short loss", zoo_exists(client->handle, at("/loss"), 0, NULL), ZOK);
    line_restore(line);
    CHECK("the way back is found", client_wait_state(away, ZOO_CONNECTED_STATE));
    CHECK("the session is the same", away->id.client_id == session);
    CHECK_RC("requests work again", zoo_exists(away->handle, at("/loss"), 0, &stat), ZOK);
    CHECK("the ephemeral is still its own", stat.ephemeralOwner == session);
    client_close(away);
}

void check_sessions(const char *program) {
    struct client *client = client_open(server, 20000, NULL);
    check_ephemeral(client);
    check_timeouts();
    check_resume(client, program);
    check_expiry(client, program);
    check_short_loss(client);
    client_close(client);
}

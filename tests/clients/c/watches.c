// One-shot watches: which change fires which, their order, removal, and a lost connection.
#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "line.h"

static void check_kinds(struct client *client, struct client *other) {
    struct events *events = events_new();
    char data[16];
    int length = sizeof data;
    struct String_vector names;
    make_node(client, at("/watches"), "");

    CHECK_RC("exists on nothing",
             zoo_wexists(client->handle, at("/watches/a"), events_watch, events, NULL), ZNONODE);
    make_node(other, at("/watches/a"), "0");
    CHECK("the exists watch fires", events_wait(events, 1));
    CHECK("created", events_is(events, 0, ZOO_CREATED_EVENT, at("/watches/a")));

    zoo_wget(client->handle, at("/watches/a"), events_watch, events, data, &length, NULL);
    zoo_set(other->handle, at("/watches/a"), "1", 1, -1);
    zoo_set(other->handle, at("/watches/a"), "2", 1, -1);
    client_settle(client);
    CHECK("a data watch fires once", events_count(events) == 2);
    CHECK("changed", events_is(events, 1, ZOO_CHANGED_EVENT, at("/watches/a")));

    zoo_wget_children(client->handle, at("/watches/a"), events_watch, events, &names);
    deallocate_String_vector(&names);
    zoo_set(other->handle, at("/watches/a"), "3", 1, -1);
    client_settle(client);
    CHECK("data is no change of the children", events_count(events) == 2);
    make_node(other, at("/watches/a/b"), "");
    CHECK("the child watch fires", events_wait(events, 3));
    CHECK("child", events_is(events, 2, ZOO_CHILD_EVENT, at("/watches/a")));

    zoo_wexists(client->handle, at("/watches/a/b"), events_watch, events, NULL);
    zoo_delete(other->handle, at("/watches/a/b"), -1);
    CHECK("the exists watch fires on delete", events_wait(events, 4));
    CHECK("deleted", events_is(events, 3, ZOO_DELETED_EVENT, at("/watches/a/b")));
    client_settle(client);
    CHECK("nothing else fired", events_count(events) == 4);
}

static void check_order(struct client *client, struct client *other) {
    enum { COUNT = 100 };
    struct events *events = events_new();
    make_node(client, at("/order"), "");
    for (int n = 0; n < COUNT; n++) {
        make_node(client, at("/order/n%d", n), "");
        zoo_wexists(client->handle, at("/order/n%d", n), events_watch, events, NULL);
    }
    for (int n = 0; n < COUNT; n++) zoo_set(other->handle, at("/order/n%d", n * 37 % COUNT), "x", 1, -1);
    CHECK("every watch fires", events_wait(events, COUNT));
    bool ordered = true;
    for (int n = 0; n < COUNT; n++) {
        ordered = ordered && events_is(events, n, ZOO_CHANGED_EVENT, at("/order/n%d", n * 37 % COUNT));
    }
    CHECK("events come in the order of the changes", ordered);
}

// What the client's completion thread told, in order: the event or the value of a read.
struct tale {
    pthread_mutex_t mutex;
    int count;
    int told[64];
};

enum { EVENT = -1, FAILED = -2, READS = 30 };

static void tell(struct tale *tale, int what) {
    pthread_mutex_lock(&tale->mutex);
    if (tale->count < 64) tale->told[tale->count++] = what;
    pthread_mutex_unlock(&tale->mutex);
}

static void tell_event(zhandle_t *handle, int type, int state, const char *path, void *context) {
    (void)handle;
    (void)state;
    (void)path;
    tell(context, type == ZOO_CHANGED_EVENT ? EVENT : FAILED);
}

static void tell_value(int rc, const char *value, int length, const struct Stat *stat, const void *context) {
    (void)value;
    (void)length;
    tell((struct tale *)context, rc == ZOK ? stat->version : FAILED);
}

static void ignore_stat(int rc, const struct Stat *stat, const void *context) {
    (void)rc;
    (void)stat;
    (void)context;
}

static bool is_complete(void *context) {
    struct tale *tale = context;
    pthread_mutex_lock(&tale->mutex);
    bool complete = tale->count >= READS + 1;
    pthread_mutex_unlock(&tale->mutex);
    return complete;
}

// No reply shows a new value before the event of the watch on the old one.
static void check_event_before_value(struct client *client, struct client *other) {
    make_node(client, at("/turn"), "");
    bool complete = true, ordered = true;
    for (int round = 0; round < 30; round++) {
        struct tale *tale = calloc(1, sizeof *tale);
        pthread_mutex_init(&tale->mutex, NULL);
        char data[16];
        int length = sizeof data;
        zoo_wget(client->handle, at("/turn"), tell_event, tale, data, &length, NULL);
        zoo_aset(other->handle, at("/turn"), "x", 1, -1, ignore_stat, NULL);
        for (int n = 0; n < READS; n++) zoo_aget(client->handle, at("/turn"), 0, tell_value, tale);
        complete = complete && wait_until(is_complete, tale);
        bool turned = false;
        for (int n = 0; n < tale->count; n++) {
            if (tale->told[n] == EVENT) {
                turned = true;
            } else {
                ordered = ordered && tale->told[n] == (turned ? round + 1 : round);
            }
        }
        client_settle(other);
    }
    CHECK("every read and every watch is answered", complete);
    CHECK("the event comes before the new value", ordered);
}

static void check_removal(struct client *client, struct client *other) {
    struct events *removed = events_new(), *kept = events_new();
    make_node(client, at("/removal"), "");
    zoo_wexists(client->handle, at("/removal"), events_watch, removed, NULL);
    zoo_wexists(client->handle, at("/removal"), events_watch, kept, NULL);
    CHECK_RC("remove one watch",
             zoo_remove_watches(client->handle, at("/removal"), ZWATCHTYPE_DATA, events_watch, removed, 0), ZOK);
    CHECK_RC("remove it again",
             zoo_remove_watches(client->handle, at("/removal"), ZWATCHTYPE_DATA, events_watch, removed, 0), ZNOWATCHER);
    zoo_set(other->handle, at("/removal"), "x", 1, -1);
    CHECK("the other watch still fires", events_wait(kept, 1));
    client_settle(client);
    CHECK("the removed watch does not", events_count(removed) == 0);

    struct events *all = events_new();
    zoo_wexists(client->handle, at("/removal"), events_watch, all, NULL);
    CHECK_RC("remove all watches", zoo_remove_all_watches(client->handle, at("/removal"), ZWATCHTYPE_ANY, 0), ZOK);
    zoo_set(other->handle, at("/removal"), "y", 1, -1);
    client_settle(other);
    client_settle(client);
    CHECK("no watch is left", events_count(all) == 0);
}

static bool is_lost(void *context) { return client_losses(context) > 0; }

static void check_reconnect(struct client *client) {
    struct line *line = line_open(server);
    struct client *away = client_open(line_address(line), 20000, NULL);
    clientid_t session = away->id;
    struct events *changed = events_new(), *deleted = events_new(), *parent = events_new();
    struct events *created = events_new(), *quiet = events_new();
    struct String_vector names;
    make_node(client, at("/away"), "");
    make_node(client, at("/away/changed"), "");
    make_node(client, at("/away/deleted"), "");
    make_node(client, at("/away/quiet"), "");
    zoo_wexists(away->handle, at("/away/changed"), events_watch, changed, NULL);
    zoo_wexists(away->handle, at("/away/deleted"), events_watch, deleted, NULL);
    zoo_wexists(away->handle, at("/away/created"), events_watch, created, NULL);
    zoo_wexists(away->handle, at("/away/quiet"), events_watch, quiet, NULL);
    zoo_wget_children(away->handle, at("/away"), events_watch, parent, &names);
    deallocate_String_vector(&names);

    line_cut(line);
    CHECK("the client notices the loss", wait_until(is_lost, away));
    zoo_set(client->handle, at("/away/changed"), "1", 1, -1);
    zoo_delete(client->handle, at("/away/deleted"), -1);
    make_node(client, at("/away/created"), "");
    line_restore(line);
    CHECK("the client comes back", client_wait_state(away, ZOO_CONNECTED_STATE));
    CHECK("to its session", away->id.client_id == session.client_id);
    CHECK("a change of the time away is told",
          events_wait(changed, 1) && events_is(changed, 0, ZOO_CHANGED_EVENT, at("/away/changed")));
    CHECK("a delete of the time away is told",
          events_wait(deleted, 1) && events_is(deleted, 0, ZOO_DELETED_EVENT, at("/away/deleted")));
    CHECK("a create of the time away is told",
          events_wait(created, 1) && events_is(created, 0, ZOO_CREATED_EVENT, at("/away/created")));
    CHECK("a change of the children is told",
          events_wait(parent, 1) && events_is(parent, 0, ZOO_CHILD_EVENT, at("/away")));
    client_settle(away);
    CHECK("a quiet watch stays quiet", events_count(quiet) == 0);
    zoo_set(client->handle, at("/away/quiet"), "1", 1, -1);
    CHECK("and fires later", events_wait(quiet, 1));
    client_close(away);
}

void check_watches(void) {
    struct client *client = client_open(server, 20000, NULL);
    struct client *other = client_open(server, 20000, NULL);
    check_kinds(client, other);
    check_order(client, other);
    check_event_before_value(client, other);
    check_removal(client, other);
    check_reconnect(client);
    client_close(other);
    client_close(client);
}

// Counting, clients, events and waits. See check.h.
#include "check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

// How long a condition may take before the check fails. Generous, because the machine may be busy.
// Once a wait was in vain the server is at fault, and the rest of the run does not wait that long.
static const int PATIENCE_MS = 15000;
static const int PATIENCE_AFTER_FAILURE_MS = 1000;

const char *server;
char root[64];
static int passed_count;
static int failed_count;
static bool in_vain;

bool check(const char *name, bool passed, const char *file, int line, const char *condition) {
    if (passed) {
        passed_count++;
        printf("ok %s\n", name);
    } else {
        failed_count++;
        printf("FAIL %s (%s:%d: %s)\n", name, file, line, condition);
    }
    fflush(stdout);
    return passed;
}

bool check_rc(const char *name, int got, int want, const char *file, int line) {
    char why[160];
    snprintf(why, sizeof why, "got %d (%s), want %d (%s)", got, zerror(got), want, zerror(want));
    return check(name, got == want, file, line, why);
}

int checks_passed(void) { return passed_count; }
int checks_failed(void) { return failed_count; }

const char *at(const char *format, ...) {
    static char buffers[16][256];
    static unsigned turn;
    char *buffer = buffers[turn++ % 16];
    int length = snprintf(buffer, sizeof buffers[0], "%s", root);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(buffer + length, sizeof buffers[0] - (size_t)length, format, arguments);
    va_end(arguments);
    return buffer;
}

bool wait_until(bool (*condition)(void *), void *context) {
    struct timespec pause = {.tv_nsec = 2 * 1000 * 1000};
    int patience_ms = in_vain ? PATIENCE_AFTER_FAILURE_MS : PATIENCE_MS;
    for (int waited_ms = 0; waited_ms < patience_ms; waited_ms += 2) {
        if (condition(context)) return true;
        nanosleep(&pause, NULL);
    }
    in_vain = !condition(context);
    return !in_vain;
}

static void session_watch(zhandle_t *handle, int type, int state, const char *path, void *context) {
    (void)path;
    (void)context;
    // Events may come before zookeeper_init has returned the handle to us.
    struct client *client = (struct client *)zoo_get_context(handle);
    if (type != ZOO_SESSION_EVENT) return;
    pthread_mutex_lock(&client->mutex);
    if (state == ZOO_CONNECTED_STATE) client->id = *zoo_client_id(handle);
    if (client->state == ZOO_CONNECTED_STATE && state != ZOO_CONNECTED_STATE) client->losses++;
    client->state = state;
    pthread_mutex_unlock(&client->mutex);
}

struct client *client_begin(const char *address, int timeout_ms, const clientid_t *id) {
    struct client *client = calloc(1, sizeof *client);
    pthread_mutex_init(&client->mutex, NULL);
    client->handle = zookeeper_init(address, session_watch, timeout_ms, id, client, 0);
    if (client->handle == NULL) {
        perror("zookeeper_init");
        exit(2);
    }
    return client;
}

struct client *client_open(const char *address, int timeout_ms, const clientid_t *id) {
    struct client *client = client_begin(address, timeout_ms, id);
    if (!client_wait_state(client, ZOO_CONNECTED_STATE)) {
        printf("FAIL no session at %s: state %d\n", address, client_state(client));
        exit(1);
    }
    return client;
}

void client_close(struct client *client) {
    zookeeper_close(client->handle);
    pthread_mutex_destroy(&client->mutex);
    free(client);
}

int client_state(struct client *client) {
    pthread_mutex_lock(&client->mutex);
    int state = client->state;
    pthread_mutex_unlock(&client->mutex);
    return state;
}

int client_losses(struct client *client) {
    pthread_mutex_lock(&client->mutex);
    int losses = client->losses;
    pthread_mutex_unlock(&client->mutex);
    return losses;
}

struct wanted_state {
    struct client *client;
    int state;
};

static bool has_state(void *context) {
    struct wanted_state *wanted = context;
    return client_state(wanted->client) == wanted->state;
}

bool client_wait_state(struct client *client, int state) {
    struct wanted_state wanted = {client, state};
    return wait_until(has_state, &wanted);
}

struct events *events_new(void) {
    struct events *events = calloc(1, sizeof *events);
    pthread_mutex_init(&events->mutex, NULL);
    return events;
}

void events_watch(zhandle_t *handle, int type, int state, const char *path, void *context) {
    (void)handle;
    (void)state;
    struct events *events = context;
    if (type == ZOO_SESSION_EVENT) return;
    pthread_mutex_lock(&events->mutex);
    int slots = (int)(sizeof events->list / sizeof events->list[0]);
    if (events->count < slots) {
        events->list[events->count].type = type;
        snprintf(events->list[events->count].path, sizeof events->list[0].path, "%s", path);
    }
    events->count++;
    pthread_mutex_unlock(&events->mutex);
}

int events_count(struct events *events) {
    pthread_mutex_lock(&events->mutex);
    int count = events->count;
    pthread_mutex_unlock(&events->mutex);
    return count;
}

struct wanted_count {
    struct events *events;
    int count;
};

static bool has_count(void *context) {
    struct wanted_count *wanted = context;
    return events_count(wanted->events) >= wanted->count;
}

bool events_wait(struct events *events, int count) {
    struct wanted_count wanted = {events, count};
    return wait_until(has_count, &wanted);
}

bool events_is(struct events *events, int index, int type, const char *path) {
    pthread_mutex_lock(&events->mutex);
    bool same = index < events->count && events->list[index].type == type &&
                strcmp(events->list[index].path, path) == 0;
    pthread_mutex_unlock(&events->mutex);
    return same;
}

struct fence {
    pthread_mutex_t mutex;
    bool passed;
};

static void pass_fence(int rc, const struct Stat *stat, const void *context) {
    (void)rc;
    (void)stat;
    struct fence *fence = (struct fence *)context;
    pthread_mutex_lock(&fence->mutex);
    fence->passed = true;
    pthread_mutex_unlock(&fence->mutex);
}

static bool is_passed(void *context) {
    struct fence *fence = context;
    pthread_mutex_lock(&fence->mutex);
    bool passed = fence->passed;
    pthread_mutex_unlock(&fence->mutex);
    return passed;
}

// Watchers and completions run on one thread, in the order of arrival.
void client_settle(struct client *client) {
    struct fence *fence = calloc(1, sizeof *fence);
    pthread_mutex_init(&fence->mutex, NULL);
    int rc = zoo_aexists(client->handle, "/", 0, pass_fence, fence);
    if (rc != ZOK || !wait_until(is_passed, fence)) {
        CHECK("a request is answered", false);
        return;  // the completion may still come, so the fence stays
    }
    pthread_mutex_destroy(&fence->mutex);
    free(fence);
}

int make_node(struct client *client, const char *path, const char *data) {
    return zoo_create(client->handle, path, data, (int)strlen(data), &ZOO_OPEN_ACL_UNSAFE,
                      ZOO_PERSISTENT, NULL, 0);
}

bool node_is(struct client *client, const char *path, const char *data) {
    char buffer[256];
    int length = sizeof buffer;
    return zoo_get(client->handle, path, 0, buffer, &length, NULL) == ZOK &&
           length == (int)strlen(data) && memcmp(buffer, data, strlen(data)) == 0;
}

void delete_tree(struct client *client, const char *path) {
    struct String_vector names;
    if (zoo_get_children(client->handle, path, 0, &names) != ZOK) return;
    for (int n = 0; n < names.count; n++) {
        char child[512];
        snprintf(child, sizeof child, "%s/%s", path, names.data[n]);
        delete_tree(client, child);
    }
    deallocate_String_vector(&names);
    zoo_delete(client->handle, path, -1);
}

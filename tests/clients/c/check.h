// What the checks share: counting and printing, clients, recorded events, bounded waits.
#ifndef CHECK_H
#define CHECK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <zookeeper/zookeeper.h>

// Prints "ok NAME" or "FAIL NAME" with the place and the condition, and counts. Goes on either way.
#define CHECK(name, condition) check(name, (condition), __FILE__, __LINE__, #condition)
// The same for a return code or an error number, which it prints.
#define CHECK_RC(name, got, want) check_rc(name, (got), (want), __FILE__, __LINE__)

bool check(const char *name, bool passed, const char *file, int line, const char *condition);
bool check_rc(const char *name, int got, int want, const char *file, int line);
int checks_passed(void);
int checks_failed(void);

// The HOST:PORT of the server under test, and the suite's own top-level znode.
extern const char *server;
extern char root[64];

// A path below the suite's own znode, in one of a few static buffers: good until some 16 calls on.
const char *at(const char *format, ...) __attribute__((format(printf, 1, 2)));

// A connected client. `state` and `id` follow the session events.
struct client {
    zhandle_t *handle;
    pthread_mutex_t mutex;
    int state;
    clientid_t id;
    int losses;
};

// Opens a session (or resumes `id`) and waits for it; exits the program when none comes.
struct client *client_open(const char *address, int timeout_ms, const clientid_t *id);
// The same, without waiting for any state.
struct client *client_begin(const char *address, int timeout_ms, const clientid_t *id);
void client_close(struct client *client);
int client_state(struct client *client);
int client_losses(struct client *client);
bool client_wait_state(struct client *client, int state);

// Watch events, in the order in which the client told them.
struct events {
    pthread_mutex_t mutex;
    int count;
    struct {
        int type;
        char path[200];
    } list[256];
};

struct events *events_new(void);
// A watcher_fn whose context is a struct events. Session events are not recorded.
void events_watch(zhandle_t *handle, int type, int state, const char *path, void *events);
int events_count(struct events *events);
bool events_wait(struct events *events, int count);
bool events_is(struct events *events, int index, int type, const char *path);
// Returns once everything the server has sent this client so far has been told to its watchers.
void client_settle(struct client *client);

// Polls until the condition holds; false when it does not in good time.
bool wait_until(bool (*condition)(void *), void *context);

// Shorthands for what most checks need.
int make_node(struct client *client, const char *path, const char *data);
bool node_is(struct client *client, const char *path, const char *data);
void delete_tree(struct client *client, const char *path);

// The scenarios, one file each.
void check_basics(void);
void check_multi(void);
void check_acl(void);
void check_watches(void);
void check_sessions(const char *program);
void check_pipeline(void);
// Opens a session, makes an ephemeral, prints the session's id, and dies without closing it.
int abandon_session(const char *address, const char *path, int timeout_ms);

#endif

// Ten thousand requests in flight at once: each answered, in order, with its own result.
#include <stdio.h>

#include "check.h"

enum { COUNT = 10000, ZNODES = 10 };

// Completions run on one thread; the mutex is for the thread that waits.
static struct {
    pthread_mutex_t mutex;
    int done;
    int wrong_order;
    int wrong_result;
    int64_t last_zxid;
} progress = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void start(void) {
    pthread_mutex_lock(&progress.mutex);
    progress.done = progress.wrong_order = progress.wrong_result = 0;
    pthread_mutex_unlock(&progress.mutex);
}

static bool all_done(void *context) {
    (void)context;
    pthread_mutex_lock(&progress.mutex);
    bool done = progress.done == COUNT;
    pthread_mutex_unlock(&progress.mutex);
    return done;
}

static void answered(const void *context, bool right) {
    intptr_t number = (intptr_t)context;
    if (number != progress.done) progress.wrong_order++;
    if (!right) progress.wrong_result++;
    progress.done++;
}

static void set_done(int rc, const struct Stat *stat, const void *context) {
    pthread_mutex_lock(&progress.mutex);
    int number = (int)(intptr_t)context;
    bool right = rc == ZOK && stat->version == number / ZNODES + 1 && stat->mzxid > progress.last_zxid;
    if (rc == ZOK) progress.last_zxid = stat->mzxid;
    answered(context, right);
    pthread_mutex_unlock(&progress.mutex);
}

static void get_done(int rc, const char *value, int length, const struct Stat *stat, const void *context) {
    pthread_mutex_lock(&progress.mutex);
    int number = (int)(intptr_t)context;
    char want[32];
    int want_length = snprintf(want, sizeof want, "value %d", COUNT - ZNODES + number % ZNODES);
    answered(context, rc == ZOK && length == want_length && memcmp(value, want, (size_t)length) == 0 &&
                          stat->version == COUNT / ZNODES);
    pthread_mutex_unlock(&progress.mutex);
}

static void mixed_write_done(int rc, const struct Stat *stat, const void *context) {
    pthread_mutex_lock(&progress.mutex);
    int number = (int)(intptr_t)context;
    answered(context, rc == ZOK && stat->version == COUNT / ZNODES + number / 2 + 1);
    pthread_mutex_unlock(&progress.mutex);
}

static void mixed_read_done(int rc, const char *value, int length, const struct Stat *stat, const void *context) {
    (void)value;
    (void)length;
    pthread_mutex_lock(&progress.mutex);
    // A read sees the write right before it, and nothing of the one right behind it.
    int number = (int)(intptr_t)context;
    answered(context, rc == ZOK && stat->version == COUNT / ZNODES + number / 2 + 1);
    pthread_mutex_unlock(&progress.mutex);
}

static void report(const char *what) {
    char name[80];
    snprintf(name, sizeof name, "%d %s in flight are answered", COUNT, what);
    CHECK(name, wait_until(all_done, NULL));
    snprintf(name, sizeof name, "%s are answered in order", what);
    CHECK(name, progress.wrong_order == 0);
    snprintf(name, sizeof name, "%s have their own results", what);
    CHECK(name, progress.wrong_result == 0);
}

void check_pipeline(void) {
    struct client *client = client_open(server, 30000, NULL);
    make_node(client, at("/pipeline"), "");
    for (int n = 0; n < ZNODES; n++) make_node(client, at("/pipeline/n%d", n), "");

    bool queued = true;
    start();
    for (intptr_t n = 0; n < COUNT; n++) {
        char value[32];
        int length = snprintf(value, sizeof value, "value %d", (int)n);
        queued = queued && zoo_aset(client->handle, at("/pipeline/n%d", (int)n % ZNODES), value, length,
                                    (int)n / ZNODES, set_done, (void *)n) == ZOK;
    }
    CHECK("all writes are queued", queued);
    report("writes");

    start();
    for (intptr_t n = 0; n < COUNT; n++) {
        queued = queued && zoo_aget(client->handle, at("/pipeline/n%d", (int)n % ZNODES), 0, get_done,
                                    (void *)n) == ZOK;
    }
    CHECK("all reads are queued", queued);
    report("reads");

    start();
    for (intptr_t n = 0; n < COUNT; n++) {
        int rc = n % 2 == 0 ? zoo_aset(client->handle, at("/pipeline/n0"), "x", 1, -1, mixed_write_done, (void *)n)
                            : zoo_aget(client->handle, at("/pipeline/n0"), 0, mixed_read_done, (void *)n);
        queued = queued && rc == ZOK;
    }
    CHECK("all mixed requests are queued", queued);
    report("mixed requests");
    client_close(client);
}

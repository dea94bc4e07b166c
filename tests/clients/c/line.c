// A TCP proxy that can be cut. See line.h. One lives as long as the program.
#include "line.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_PAIRS = 256 };

struct pair {
    int ends[2];
};

struct line {
    pthread_mutex_t mutex;
    bool down;
    int listener;
    char address[32];
    struct sockaddr_storage upstream;
    socklen_t upstream_length;
    int count;
    struct pair pairs[MAX_PAIRS];
};

static void die(const char *what) {
    perror(what);
    exit(2);
}

// One direction of a pair. The descriptors are never closed, so that a cut can not hit a
// descriptor that has been given to somebody else; a run makes a few dozen at most.
struct pump {
    int from, to;
};

static void *pump(void *context) {
    struct pump pump = *(struct pump *)context;
    free(context);
    char buffer[65536];
    for (;;) {
        ssize_t got = recv(pump.from, buffer, sizeof buffer, 0);
        if (got <= 0) break;
        for (ssize_t sent = 0; sent < got;) {
            ssize_t wrote = send(pump.to, buffer + sent, (size_t)(got - sent), MSG_NOSIGNAL);
            if (wrote <= 0) goto end;
            sent += wrote;
        }
    }
end:
    shutdown(pump.from, SHUT_RDWR);
    shutdown(pump.to, SHUT_RDWR);
    return NULL;
}

static void start_pump(int from, int to) {
    struct pump *direction = malloc(sizeof *direction);
    *direction = (struct pump){from, to};
    int on = 1;
    setsockopt(to, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    pthread_t thread;
    if (pthread_create(&thread, NULL, pump, direction) != 0) die("pthread_create");
    pthread_detach(thread);
}

static void *accept_all(void *context) {
    struct line *line = context;
    for (;;) {
        int near = accept(line->listener, NULL, NULL);
        if (near < 0) die("accept");
        pthread_mutex_lock(&line->mutex);
        int far = -1;
        if (!line->down && line->count < MAX_PAIRS) {
            far = socket(line->upstream.ss_family, SOCK_STREAM, 0);
            if (far >= 0 &&
                connect(far, (struct sockaddr *)&line->upstream, line->upstream_length) != 0) {
                close(far);
                far = -1;
            }
        }
        if (far >= 0) {
            line->pairs[line->count++] = (struct pair){{near, far}};
            start_pump(near, far);
            start_pump(far, near);
        } else {
            close(near);
        }
        pthread_mutex_unlock(&line->mutex);
    }
    return NULL;
}

struct line *line_open(const char *address) {
    struct line *line = calloc(1, sizeof *line);
    pthread_mutex_init(&line->mutex, NULL);

    char host[128];
    const char *colon = strrchr(address, ':');
    snprintf(host, sizeof host, "%.*s", (int)(colon - address), address);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    if (getaddrinfo(host, colon + 1, &hints, &found) != 0) die("getaddrinfo");
    memcpy(&line->upstream, found->ai_addr, found->ai_addrlen);
    line->upstream_length = found->ai_addrlen;
    freeaddrinfo(found);

    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof own;
    line->listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(line->listener, (struct sockaddr *)&own, length) != 0) die("bind");
    if (listen(line->listener, 64) != 0) die("listen");
    getsockname(line->listener, (struct sockaddr *)&own, &length);
    snprintf(line->address, sizeof line->address, "127.0.0.1:%d", ntohs(own.sin_port));
    pthread_t thread;
    if (pthread_create(&thread, NULL, accept_all, line) != 0) die("pthread_create");
    pthread_detach(thread);
    return line;
}

const char *line_address(const struct line *line) { return line->address; }

void line_cut(struct line *line) {
    pthread_mutex_lock(&line->mutex);
    line->down = true;
    for (int n = 0; n < line->count; n++) {
        shutdown(line->pairs[n].ends[0], SHUT_RDWR);
        shutdown(line->pairs[n].ends[1], SHUT_RDWR);
    }
    pthread_mutex_unlock(&line->mutex);
}

void line_restore(struct line *line) {
    pthread_mutex_lock(&line->mutex);
    line->down = false;
    pthread_mutex_unlock(&line->mutex);
}

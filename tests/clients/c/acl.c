// Access control: digest identities, permissions, masking, invalid lists.
#include <stdio.h>

#include "check.h"

struct answer {
    pthread_mutex_t mutex;
    bool came;
    int rc;
};

static void auth_done(int rc, const void *context) {
    struct answer *answer = (struct answer *)context;
    pthread_mutex_lock(&answer->mutex);
    answer->came = true;
    answer->rc = rc;
    pthread_mutex_unlock(&answer->mutex);
}

static bool came(void *context) {
    struct answer *answer = context;
    pthread_mutex_lock(&answer->mutex);
    bool came = answer->came;
    pthread_mutex_unlock(&answer->mutex);
    return came;
}

static int add_auth(struct client *client, const char *scheme, const char *credential) {
    // Static, because an answer may come after the wait was given up.
    static struct answer answers[8];
    static int used;
    struct answer *answer = &answers[used++];
    pthread_mutex_init(&answer->mutex, NULL);
    int rc = zoo_add_auth(client->handle, scheme, credential, (int)strlen(credential), auth_done, answer);
    if (rc != ZOK) return rc;
    return wait_until(came, answer) ? answer->rc : ZOPERATIONTIMEOUT;
}

static void check_digest(struct client *owner, struct client *stranger) {
    struct ACL_vector acl;
    struct Stat stat;
    CHECK_RC("auth as a digest user", add_auth(owner, "digest", "user:secret"), ZOK);
    CHECK_RC("create for the creator",
             zoo_create(owner->handle, at("/acl"), "v", 1, &ZOO_CREATOR_ALL_ACL, 0, NULL, 0), ZOK);
    CHECK_RC("get_acl", zoo_get_acl(owner->handle, at("/acl"), &acl, &stat), ZOK);
    // base64(sha1("user:secret"))
    CHECK("the creator's ACL is the digest",
          acl.count == 1 && acl.data[0].perms == ZOO_PERM_ALL && strcmp(acl.data[0].id.scheme, "digest") == 0 &&
              strcmp(acl.data[0].id.id, "user:5w9W4eL3797Y4Wq8AcKUPPk8ha4=") == 0);
    CHECK("the ACL version starts at 0", stat.aversion == 0);
    deallocate_ACL_vector(&acl);

    char data[16];
    int length = sizeof data;
    CHECK_RC("a stranger's get", zoo_get(stranger->handle, at("/acl"), 0, data, &length, NULL), ZNOAUTH);
    CHECK_RC("a stranger's set", zoo_set(stranger->handle, at("/acl"), "x", 1, -1), ZNOAUTH);
    CHECK_RC("a stranger's create", make_node(stranger, at("/acl/a"), ""), ZNOAUTH);
    CHECK_RC("a stranger's set_acl", zoo_set_acl(stranger->handle, at("/acl"), -1, &ZOO_OPEN_ACL_UNSAFE), ZNOAUTH);
    CHECK_RC("a stranger's get_acl", zoo_get_acl(stranger->handle, at("/acl"), &acl, &stat), ZNOAUTH);
    CHECK_RC("auth with a guess", add_auth(stranger, "digest", "user:guess"), ZOK);
    CHECK("the guess opens nothing", !node_is(stranger, at("/acl"), "v"));
    CHECK_RC("auth with the password", add_auth(stranger, "digest", "user:secret"), ZOK);
    CHECK("the password opens", node_is(stranger, at("/acl"), "v"));
}

static void check_set_acl(struct client *owner) {
    struct client *third = client_open(server, 20000, NULL);
    struct ACL entries[2] = {
        {ZOO_PERM_ALL, {"auth", ""}},
        {ZOO_PERM_READ, {"world", "anyone"}},
    };
    struct ACL_vector acl = {2, entries}, got;
    struct Stat stat;
    CHECK_RC("set_acl", zoo_set_acl(owner->handle, at("/acl"), 0, &acl), ZOK);
    CHECK_RC("set_acl with a stale version", zoo_set_acl(owner->handle, at("/acl"), 0, &acl), ZBADVERSION);
    CHECK("anyone may read now", node_is(third, at("/acl"), "v"));
    CHECK_RC("nobody else may write", zoo_set(third->handle, at("/acl"), "x", 1, -1), ZNOAUTH);
    CHECK_RC("anyone may get_acl now", zoo_get_acl(third->handle, at("/acl"), &got, &stat), ZOK);
    CHECK("a digest is masked without ADMIN", got.count == 2 && strcmp(got.data[0].id.id, "user:x") == 0);
    CHECK("set_acl counts the ACL version only", stat.aversion == 1 && stat.version == 0);
    deallocate_ACL_vector(&got);
    client_close(third);
}

static void check_invalid(void) {
    struct client *client = client_open(server, 20000, NULL);
    struct ACL entry = {ZOO_PERM_ALL, {"nosuch", "x"}};
    struct ACL_vector unknown = {1, &entry};
    CHECK_RC("create with an unknown scheme",
             zoo_create(client->handle, at("/invalid"), "", 0, &unknown, 0, NULL, 0), ZINVALIDACL);
    CHECK_RC("create for the creator without an identity",
             zoo_create(client->handle, at("/invalid"), "", 0, &ZOO_CREATOR_ALL_ACL, 0, NULL, 0), ZINVALIDACL);
    CHECK_RC("nothing was made", zoo_exists(client->handle, at("/invalid"), 0, NULL), ZNONODE);
    CHECK_RC("auth with an unknown scheme", add_auth(client, "nosuch", "x"), ZAUTHFAILED);
    CHECK("the session has failed", client_wait_state(client, ZOO_AUTH_FAILED_STATE));
    client_close(client);
}

void check_acl(void) {
    struct client *owner = client_open(server, 20000, NULL);
    struct client *stranger = client_open(server, 20000, NULL);
    check_digest(owner, stranger);
    check_set_acl(owner);
    check_invalid();
    client_close(stranger);
    client_close(owner);
}

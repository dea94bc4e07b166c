"""Access control: permission bits one by one, digest and ip identities, errors and masking."""

import pytest
from kazoo.exceptions import (
    AuthFailedError,
    BadVersionError,
    InvalidACLError,
    NoAuthError,
)
from kazoo.security import (
    ACL,
    CREATOR_ALL_ACL,
    OPEN_ACL_UNSAFE,
    READ_ACL_UNSAFE,
    Id,
    Permissions,
    make_acl,
    make_digest_acl,
    make_digest_acl_credential,
)

ALICE = "alice:wonder:land"


@pytest.fixture
def alice(connect, path):
    """A client that is digest user alice; her restricted znodes are opened again at the end."""
    client = connect(auth_data=[("digest", ALICE)])
    yield client
    for name in client.get_children(path):
        client.set_acls(f"{path}/{name}", OPEN_ACL_UNSAFE)


def test_default_is_open(zk, path):
    acls, stat = zk.get_acls(path)
    assert acls == OPEN_ACL_UNSAFE
    assert stat == zk.exists(path)


def test_creator_all_is_stored_as_the_digest(alice, path):
    alice.create(f"{path}/a", b"secret", acl=CREATOR_ALL_ACL)
    acls, stat = alice.get_acls(f"{path}/a")
    credential = make_digest_acl_credential("alice", "wonder:land")
    assert acls == [ACL(Permissions.ALL, Id("digest", credential))]
    assert stat.aversion == 0


def test_strangers_are_kept_out(zk, alice, connect, path):
    alice.create(f"{path}/a", b"secret", acl=CREATOR_ALL_ACL)
    alice.create(f"{path}/a/child", acl=OPEN_ACL_UNSAFE)
    mallory = connect(auth_data=[("digest", "alice:wrong")])
    for stranger in (zk, mallory):
        for refused in (
            lambda: stranger.get(f"{path}/a"),
            lambda: stranger.exists(f"{path}/a"),
            lambda: stranger.set(f"{path}/a", b"x"),
            lambda: stranger.get_children(f"{path}/a"),
            lambda: stranger.create(f"{path}/a/b"),
            lambda: stranger.delete(f"{path}/a/child"),
            lambda: stranger.get_acls(f"{path}/a"),
            lambda: stranger.set_acls(f"{path}/a", OPEN_ACL_UNSAFE),
        ):
            with pytest.raises(NoAuthError):
                refused()
        # Its name is the parent's to show.
        assert stranger.get_children(path) == ["a"]
    assert alice.get(f"{path}/a")[0] == b"secret"
    assert alice.get_children(f"{path}/a") == ["child"]
    alice.delete(f"{path}/a/child")


def test_auth_given_later_opens_the_door(alice, connect, path):
    alice.create(f"{path}/a", b"secret", acl=CREATOR_ALL_ACL)
    late = connect()
    with pytest.raises(NoAuthError):
        late.get(f"{path}/a")
    assert late.add_auth("digest", ALICE) is True
    assert late.get(f"{path}/a")[0] == b"secret"


def test_identities_add_up(alice, path):
    alice.add_auth("digest", "bob:builder")
    alice.create(f"{path}/a", acl=CREATOR_ALL_ACL)
    acls, _ = alice.get_acls(f"{path}/a")
    assert sorted(acl.id.id.split(":")[0] for acl in acls) == ["alice", "bob"]
    assert {acl.perms for acl in acls} == {Permissions.ALL}


@pytest.mark.parametrize("given", ["read", "write", "create", "delete", "admin"])
def test_each_permission_allows_its_own(zk, alice, path, given):
    world = make_acl("world", "anyone", **{given: True})
    owner = make_digest_acl("alice", "wonder:land", all=True)
    alice.create(f"{path}/a", b"v", acl=OPEN_ACL_UNSAFE)
    alice.create(f"{path}/a/child")
    alice.set_acls(f"{path}/a", [owner, world])
    attempts = {
        "read": lambda: (
            zk.get(f"{path}/a"),
            zk.exists(f"{path}/a"),
            zk.get_children(f"{path}/a"),
        ),
        "write": lambda: zk.set(f"{path}/a", b"w"),
        "create": lambda: zk.create(f"{path}/a/new"),
        "delete": lambda: zk.delete(f"{path}/a/child"),
        "admin": lambda: zk.set_acls(f"{path}/a", [owner, world]),
    }
    for name, attempt in attempts.items():
        if name == given:
            attempt()
        else:
            with pytest.raises(NoAuthError):
                attempt()


def test_digests_are_masked_without_admin(zk, alice, path):
    alice.create(
        f"{path}/a",
        acl=[make_digest_acl("alice", "wonder:land", all=True)] + READ_ACL_UNSAFE,
    )
    acls, _ = zk.get_acls(f"{path}/a")
    assert [acl.id for acl in acls] == [Id("digest", "alice:x"), Id("world", "anyone")]
    acls, _ = alice.get_acls(f"{path}/a")
    assert acls[0].id.id == make_digest_acl_credential("alice", "wonder:land")


def test_set_acls_counts_and_checks_the_acl_version(zk, path):
    zk.create(f"{path}/a")
    before = zk.exists(f"{path}/a")
    acl = OPEN_ACL_UNSAFE + [make_acl("ip", "10.0.0.1", read=True)]
    assert zk.set_acls(f"{path}/a", acl, version=0).aversion == 1
    with pytest.raises(BadVersionError):
        zk.set_acls(f"{path}/a", OPEN_ACL_UNSAFE, version=0)
    acls, stat = zk.get_acls(f"{path}/a")
    assert acls == acl
    assert (stat.version, stat.aversion, stat.mzxid) == (0, 1, before.mzxid)
    assert zk.set_acls(f"{path}/a", OPEN_ACL_UNSAFE).aversion == 2


def test_ip_identities(zk, path):
    zk.create(f"{path}/here", b"v", acl=[make_acl("ip", "127.0.0.0/8", all=True)])
    assert zk.get(f"{path}/here")[0] == b"v"
    zk.create(f"{path}/elsewhere", b"v", acl=[make_acl("ip", "10.9.8.7", all=True)])
    with pytest.raises(NoAuthError):
        zk.get(f"{path}/elsewhere")
    # Deleting is the parent's to allow; leaves nothing the clean-up could not list.
    zk.delete(f"{path}/elsewhere")


@pytest.mark.parametrize(
    "acl",
    [
        CREATOR_ALL_ACL,
        [make_acl("nosuch", "x", all=True)],
        [make_acl("digest", "no-colon", all=True)],
        [make_acl("ip", "not-an-address", all=True)],
        [make_acl("world", "someone", all=True)],
    ],
    ids=["auth-without-identity", "unknown-scheme", "bad-digest", "bad-ip", "bad-world"],
)
def test_invalid_acls(zk, path, acl):
    with pytest.raises(InvalidACLError):
        zk.create(f"{path}/a", acl=acl)
    assert zk.exists(f"{path}/a") is None
    with pytest.raises(InvalidACLError):
        zk.set_acls(path, acl)


def test_an_unknown_auth_scheme_fails_the_session(connect, path):
    client = connect()
    with pytest.raises(AuthFailedError):
        client.add_auth("nosuch", "x")
    with pytest.raises(AuthFailedError):
        client.get(path)


def test_multi_checks_permissions_and_rolls_back(zk, alice, path):
    alice.create(f"{path}/a", b"secret", acl=CREATOR_ALL_ACL)
    transaction = zk.transaction()
    transaction.create(f"{path}/b")
    transaction.set_data(f"{path}/a", b"x")
    results = transaction.commit()
    assert type(results[1]) is NoAuthError
    assert zk.exists(f"{path}/b") is None
    assert alice.get(f"{path}/a")[0] == b"secret"

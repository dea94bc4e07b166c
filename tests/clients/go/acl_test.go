package corral_test

// Access control with digest identities.

import (
	"testing"

	"github.com/go-zookeeper/zk"
)

func TestDigest(t *testing.T) {
	t.Parallel()
	owner, stranger := connect(t), connect(t)
	path := home(t, stranger) + "/a"
	must(t, owner.AddAuth("digest", []byte("user:secret")))
	_, err := owner.Create(path, []byte("v"), 0, zk.AuthACL(zk.PermAll))
	must(t, err)
	acl, stat, err := owner.GetACL(path)
	must(t, err)
	equal(t, acl, zk.DigestACL(zk.PermAll, "user", "secret"))
	equal(t, stat.Aversion, int32(0))

	_, _, err = stranger.Get(path)
	fails(t, err, zk.ErrNoAuth)
	_, err = stranger.Set(path, nil, -1)
	fails(t, err, zk.ErrNoAuth)
	_, _, err = stranger.Children(path)
	fails(t, err, zk.ErrNoAuth)
	_, err = stranger.Create(path+"/b", nil, 0, open())
	fails(t, err, zk.ErrNoAuth)
	_, err = stranger.SetACL(path, open(), -1)
	fails(t, err, zk.ErrNoAuth)
	_, _, err = stranger.GetACL(path)
	fails(t, err, zk.ErrNoAuth)

	must(t, stranger.AddAuth("digest", []byte("user:guess")))
	_, _, err = stranger.Get(path)
	fails(t, err, zk.ErrNoAuth)
	must(t, stranger.AddAuth("digest", []byte("user:secret")))
	equal(t, value(t, stranger, path), "v")

	stat, err = owner.SetACL(path, zk.WorldACL(zk.PermRead), 0)
	must(t, err)
	equal(t, []int32{stat.Version, stat.Aversion}, []int32{0, 1})
	third := connect(t)
	equal(t, value(t, third, path), "v")
	_, err = third.Set(path, nil, -1)
	fails(t, err, zk.ErrNoAuth)
	// Nobody has ADMIN any more, not even the one who gave it away.
	_, err = owner.SetACL(path, open(), -1)
	fails(t, err, zk.ErrNoAuth)
}

func TestInvalidACL(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	path := home(t, conn)
	for _, acl := range [][]zk.ACL{
		{},
		zk.AuthACL(zk.PermAll),
		{{Perms: zk.PermAll, Scheme: "nosuch", ID: "x"}},
		{{Perms: zk.PermAll, Scheme: "digest", ID: "no-colon"}},
	} {
		_, err := conn.Create(path+"/a", nil, 0, acl)
		fails(t, err, zk.ErrInvalidACL)
		_, err = conn.SetACL(path, acl, -1)
		fails(t, err, zk.ErrInvalidACL)
	}
	equal(t, names(t, conn, path), []string{})
}

func TestUnknownAuthScheme(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	fails(t, conn.AddAuth("nosuch", []byte("x")), zk.ErrAuthFailed)
}

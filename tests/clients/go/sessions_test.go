package corral_test

// Sessions: ephemerals, lost connections, expiry, identities that are sent again.

import (
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
)

func TestEphemeral(t *testing.T) {
	t.Parallel()
	conn, owner := connect(t), connect(t)
	path := home(t, conn) + "/e"
	made, err := owner.Create(path, []byte("v"), zk.FlagEphemeral, open())
	must(t, err)
	equal(t, made, path)
	_, stat, events, err := conn.ExistsW(path)
	must(t, err)
	equal(t, stat.EphemeralOwner, owner.SessionID())
	_, err = owner.Create(path+"/child", nil, 0, open())
	fails(t, err, zk.ErrNoChildrenForEphemerals)
	owner.Close()
	next(t, events, zk.EventNodeDeleted, path)
	equal(t, exists(t, conn, path), false)
}

func TestShortLossKeepsTheSession(t *testing.T) {
	t.Parallel()
	network := &line{}
	conn := connect(t)
	client, _ := connectThrough(t, network.dial, 20*time.Second)
	session := client.SessionID()
	path := home(t, conn)
	_, err := client.Create(path+"/e", nil, zk.FlagEphemeral, open())
	must(t, err)
	network.cut()
	waitUntil(t, "the loss of the connection", func() bool { return client.State() != zk.StateHasSession })
	equal(t, exists(t, conn, path+"/e"), true)
	network.restore()
	waitUntil(t, "the way back", func() bool { return client.State() == zk.StateHasSession })
	equal(t, client.SessionID(), session)
	_, stat, err := client.Exists(path + "/e")
	must(t, err)
	equal(t, stat.EphemeralOwner, session)
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	network := &line{}
	conn := connect(t)
	client, events := connectThrough(t, network.dial, time.Second)
	session := client.SessionID()
	path := home(t, conn) + "/e"
	_, err := client.Create(path, nil, zk.FlagEphemeral, open())
	must(t, err)
	_, _, data, err := client.GetW(root)
	must(t, err)
	_, _, gone, err := conn.ExistsW(path)
	must(t, err)
	network.cut()
	next(t, gone, zk.EventNodeDeleted, path)
	network.restore()
	waitUntil(t, "the word of the expiry", func() bool {
		select {
		case event := <-events:
			return event.State == zk.StateExpired
		default:
			return false
		}
	})
	// The watch is told that it is over.
	select {
	case event := <-data:
		fails(t, event.Err, zk.ErrSessionExpired)
		equal(t, event.Type.String(), zk.EventNotWatching.String())
	case <-time.After(patience):
		t.Fatal("the watch of the expired session was told nothing")
	}
	waitUntil(t, "a new session", func() bool { return client.State() == zk.StateHasSession })
	if client.SessionID() == session {
		t.Fatalf("session %#x lives on after its expiry", session)
	}
	equal(t, exists(t, client, path), false)
}

func TestIdentityIsSentAgain(t *testing.T) {
	t.Parallel()
	network := &line{}
	conn := connect(t)
	client, _ := connectThrough(t, network.dial, 20*time.Second)
	must(t, client.AddAuth("digest", []byte("user:secret")))
	path := home(t, conn) + "/a"
	_, err := client.Create(path, []byte("v"), 0, zk.DigestACL(zk.PermAll, "user", "secret"))
	must(t, err)
	t.Cleanup(func() {
		_, err := client.SetACL(path, open(), -1)
		must(t, err)
	})
	network.cut()
	waitUntil(t, "the loss of the connection", func() bool { return client.State() != zk.StateHasSession })
	network.restore()
	waitUntil(t, "the way back", func() bool { return client.State() == zk.StateHasSession })
	equal(t, value(t, client, path), "v")
}

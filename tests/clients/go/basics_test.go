package corral_test

// Create, read, write, delete, containers, TTL: values, versions, zxids and errors.

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
)

func TestCreateAndGet(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	path := home(t, conn) + "/a"
	create(t, conn, path, "one")
	data, stat, err := conn.Get(path)
	must(t, err)
	equal(t, string(data), "one")
	equal(t, []int32{stat.Version, stat.Cversion, stat.Aversion}, []int32{0, 0, 0})
	equal(t, []int32{stat.DataLength, stat.NumChildren}, []int32{3, 0})
	equal(t, stat.EphemeralOwner, int64(0))
	equal(t, []int64{stat.Mzxid, stat.Pzxid, stat.Mtime}, []int64{stat.Czxid, stat.Czxid, stat.Ctime})
	if age := time.Since(time.UnixMilli(stat.Ctime)); age < -5*time.Second || age > time.Minute {
		t.Fatalf("created %v ago", age)
	}
	_, err = conn.Create(path, nil, 0, open())
	fails(t, err, zk.ErrNodeExists)
	_, err = conn.Create(path+"/b/c", nil, 0, open())
	fails(t, err, zk.ErrNoNode)
	equal(t, value(t, conn, path), "one")
}

func TestValues(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	path := home(t, conn)
	for n, data := range [][]byte{{}, {0}, []byte("text"), bytes.Repeat([]byte{0xa5, 0}, 450_000)} {
		name := fmt.Sprintf("%s/n%d", path, n)
		_, err := conn.Create(name, data, 0, open())
		must(t, err)
		got, stat, err := conn.Get(name)
		must(t, err)
		if !bytes.Equal(got, data) {
			t.Fatalf("%d bytes came back other than they went", len(data))
		}
		equal(t, stat.DataLength, int32(len(data)))
	}
}

func TestSetAndVersions(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	path := home(t, conn) + "/a"
	create(t, conn, path, "0")
	_, before, err := conn.Exists(path)
	must(t, err)
	last := before.Mzxid
	for version := int32(0); version < 5; version++ {
		stat, err := conn.Set(path, []byte{byte('1' + version)}, version)
		must(t, err)
		equal(t, stat.Version, version+1)
		equal(t, stat.Czxid, before.Czxid)
		if stat.Mzxid <= last {
			t.Fatalf("zxid went from %d to %d", last, stat.Mzxid)
		}
		last = stat.Mzxid
	}
	_, err = conn.Set(path, nil, 4)
	fails(t, err, zk.ErrBadVersion)
	_, err = conn.Set(path+"x", nil, -1)
	fails(t, err, zk.ErrNoNode)
	equal(t, value(t, conn, path), "5")
}

func TestDelete(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	path := home(t, conn)
	create(t, conn, path+"/a", "")
	create(t, conn, path+"/a/b", "")
	fails(t, conn.Delete(path+"/a", -1), zk.ErrNotEmpty)
	fails(t, conn.Delete(path+"/a/b", 1), zk.ErrBadVersion)
	fails(t, conn.Delete(path+"/a/c", -1), zk.ErrNoNode)
	must(t, conn.Delete(path+"/a/b", 0))
	must(t, conn.Delete(path+"/a", -1))
	equal(t, exists(t, conn, path+"/a"), false)
	_, _, err := conn.Get(path + "/a")
	fails(t, err, zk.ErrNoNode)
}

func TestChildren(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	path := home(t, conn)
	equal(t, names(t, conn, path), []string{})
	for _, name := range []string{"c", "a", "b"} {
		create(t, conn, path+"/"+name, "")
	}
	equal(t, names(t, conn, path), []string{"a", "b", "c"})
	must(t, conn.Delete(path+"/b", -1))
	_, stat, err := conn.Children(path)
	must(t, err)
	equal(t, []int32{stat.NumChildren, stat.Cversion, stat.Version}, []int32{2, 4, 0})
	_, child, err := conn.Exists(path + "/a")
	must(t, err)
	if stat.Pzxid <= child.Czxid {
		t.Fatalf("pzxid %d does not show the delete after %d", stat.Pzxid, child.Czxid)
	}
	_, _, err = conn.Children(path + "/missing")
	fails(t, err, zk.ErrNoNode)
}

func TestSequential(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	path := home(t, conn)
	for n := 0; n < 5; n++ {
		made, err := conn.Create(path+"/s-", nil, zk.FlagSequence, open())
		must(t, err)
		equal(t, made, fmt.Sprintf("%s/s-%010d", path, n))
	}
	must(t, conn.Delete(path+"/s-0000000004", -1))
	made, err := conn.CreateProtectedEphemeralSequential(path+"/p-", nil, open())
	must(t, err)
	equal(t, made[len(made)-12:], "p-0000000005")
	_, stat, err := conn.Exists(made)
	must(t, err)
	equal(t, stat.EphemeralOwner, conn.SessionID())
}

func TestContainer(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	path := home(t, conn) + "/c"
	made, err := conn.CreateContainer(path, []byte("v"), zk.FlagContainer, open())
	must(t, err)
	equal(t, made, path)
	equal(t, value(t, conn, path), "v")
	create(t, conn, path+"/child", "")
	_, err = conn.CreateContainer(path, nil, zk.FlagContainer, open())
	fails(t, err, zk.ErrNodeExists)
	fails(t, conn.Delete(path, -1), zk.ErrNotEmpty)
}

func TestTTL(t *testing.T) {
	t.Parallel()
	conn, other := connect(t), connect(t)
	path := home(t, conn)
	made, err := other.CreateTTL(path+"/t", []byte("v"), zk.FlagTTL, open(), 10*time.Minute)
	must(t, err)
	equal(t, made, path+"/t")
	made, err = other.CreateTTL(path+"/s-", nil, zk.FlagPersistentSequentialWithTTL, open(), 10*time.Minute)
	must(t, err)
	equal(t, made, path+"/s-0000000001")
	_, err = other.CreateTTL(path+"/zero", nil, zk.FlagTTL, open(), 0)
	fails(t, err, zk.ErrBadArguments)
	other.Close()
	// They are no ephemerals: the session's end does not touch them.
	equal(t, names(t, conn, path), []string{"s-0000000001", "t"})
	equal(t, value(t, conn, path+"/t"), "v")
}

func TestSync(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	path := home(t, conn)
	synced, err := conn.Sync(path)
	must(t, err)
	equal(t, synced, path)
}

func TestReconfigIsDisabled(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	_, err := conn.IncrementalReconfig([]string{"server.9=127.0.0.1:1:2:participant;3"}, nil, -1)
	fails(t, err, zk.ErrReconfigDisabled)
	_, err = conn.IncrementalReconfig(nil, []string{"9"}, -1)
	fails(t, err, zk.ErrReconfigDisabled)
	_, err = conn.Reconfig([]string{"server.9=127.0.0.1:1:2:participant;3"}, -1)
	fails(t, err, zk.ErrReconfigDisabled)
	// The session goes on.
	equal(t, exists(t, conn, root), true)
}

func TestFourLetterWords(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	equal(t, zk.FLWRuok([]string{*server}, patience), []bool{true})
	// The client's parser gives up on the lines of connections without a session, such as the one
	// that asks, but reads all the others; so its verdict is ignored and our session looked for.
	clients, _ := zk.FLWCons([]string{*server}, patience)
	equal(t, len(clients), 1)
	for _, client := range clients[0].Clients {
		if client.SessionID == conn.SessionID() {
			equal(t, client.Timeout, int32(20_000))
			return
		}
	}
	t.Fatalf("session %#x is not among the %d of cons", conn.SessionID(), len(clients[0].Clients))
}

func TestManyRequestsInFlight(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	path := home(t, conn)
	const workers, rounds = 50, 20
	results := make(chan error, workers)
	for worker := 0; worker < workers; worker++ {
		go func(name string) {
			results <- func() error {
				if _, err := conn.Create(name, []byte("0"), 0, open()); err != nil {
					return err
				}
				for round := 0; round < rounds; round++ {
					want := fmt.Sprintf("%s round %d", name, round)
					if _, err := conn.Set(name, []byte(want), int32(round)); err != nil {
						return err
					}
					data, stat, err := conn.Get(name)
					if err != nil {
						return err
					}
					if string(data) != want || stat.Version != int32(round+1) {
						return fmt.Errorf("read %q version %d, want %q", data, stat.Version, want)
					}
				}
				return nil
			}()
		}(fmt.Sprintf("%s/w%02d", path, worker))
	}
	for worker := 0; worker < workers; worker++ {
		must(t, <-results)
	}
	equal(t, len(names(t, conn, path)), workers)
}

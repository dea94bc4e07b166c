package corral_test

// One-shot watches: which change fires which, in which order, and over a lost connection.

import (
	"fmt"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
)

func TestDataWatch(t *testing.T) {
	t.Parallel()
	conn, other := connect(t), connect(t)
	path := home(t, conn) + "/a"
	create(t, conn, path, "0")
	_, _, events, err := conn.GetW(path)
	must(t, err)
	create(t, other, path+"/child", "")
	pending(t, conn, events)
	_, err = other.Set(path, []byte("1"), -1)
	must(t, err)
	next(t, events, zk.EventNodeDataChanged, path)

	must(t, other.Delete(path+"/child", -1))
	data, _, events, err := conn.GetW(path)
	must(t, err)
	equal(t, string(data), "1")
	must(t, other.Delete(path, -1))
	next(t, events, zk.EventNodeDeleted, path)
	_, _, _, err = conn.GetW(path)
	fails(t, err, zk.ErrNoNode)
}

func TestExistsWatch(t *testing.T) {
	t.Parallel()
	conn, other := connect(t), connect(t)
	path := home(t, conn) + "/a"
	found, _, events, err := conn.ExistsW(path)
	must(t, err)
	equal(t, found, false)
	create(t, other, path, "")
	next(t, events, zk.EventNodeCreated, path)
	found, _, events, err = conn.ExistsW(path)
	must(t, err)
	equal(t, found, true)
	_, err = other.Set(path, nil, -1)
	must(t, err)
	next(t, events, zk.EventNodeDataChanged, path)
	_, _, events, err = conn.ExistsW(path)
	must(t, err)
	must(t, other.Delete(path, -1))
	next(t, events, zk.EventNodeDeleted, path)
}

func TestChildWatch(t *testing.T) {
	t.Parallel()
	conn, other := connect(t), connect(t)
	path := home(t, conn) + "/a"
	create(t, conn, path, "")
	_, _, events, err := conn.ChildrenW(path)
	must(t, err)
	_, err = other.Set(path, []byte("x"), -1)
	must(t, err)
	pending(t, conn, events)
	create(t, other, path+"/b", "")
	next(t, events, zk.EventNodeChildrenChanged, path)
	children, _, events, err := conn.ChildrenW(path)
	must(t, err)
	equal(t, children, []string{"b"})
	_, err = other.Set(path+"/b", []byte("x"), -1)
	must(t, err)
	pending(t, conn, events)
	must(t, other.Delete(path+"/b", -1))
	next(t, events, zk.EventNodeChildrenChanged, path)
	_, _, events, err = conn.ChildrenW(path)
	must(t, err)
	must(t, other.Delete(path, -1))
	next(t, events, zk.EventNodeDeleted, path)
}

// The connection's own channel has every event in the order of arrival.
func TestEventOrder(t *testing.T) {
	t.Parallel()
	// The channel holds six events; a callback sees all of them.
	arrived := make(chan zk.Event, 1000)
	conn, _, err := zk.Connect([]string{*server}, 20*time.Second, zk.WithLogger(silent{}),
		zk.WithEventCallback(func(event zk.Event) { arrived <- event }))
	must(t, err)
	t.Cleanup(conn.Close)
	other := connect(t)
	path := home(t, conn)
	const count = 100
	for n := 0; n < count; n++ {
		name := fmt.Sprintf("%s/n%02d", path, n)
		create(t, conn, name, "")
		_, _, _, err := conn.GetW(name)
		must(t, err)
	}
	changed := []string{}
	for n := 0; n < count; n++ {
		name := fmt.Sprintf("%s/n%02d", path, n*37%count)
		_, err := other.Set(name, nil, -1)
		must(t, err)
		changed = append(changed, name)
	}
	got := []string{}
	for deadline := time.After(patience); len(got) < count; {
		select {
		case event := <-arrived:
			if event.Type == zk.EventNodeDataChanged {
				got = append(got, event.Path)
			}
		case <-deadline:
			t.Fatalf("%d of %d events within %v", len(got), count, patience)
		}
	}
	equal(t, got, changed)
}

// Watches live through a lost connection, and what changed meanwhile is told on the way back.
func TestWatchesSurviveReconnect(t *testing.T) {
	t.Parallel()
	network := &line{}
	conn := connect(t)
	away, _ := connectThrough(t, network.dial, 20*time.Second)
	session := away.SessionID()
	path := home(t, conn)
	for _, name := range []string{"/changed", "/deleted", "/parent", "/quiet", "/same"} {
		create(t, conn, path+name, "")
	}
	_, _, changed, err := away.GetW(path + "/changed")
	must(t, err)
	_, _, deleted, err := away.ExistsW(path + "/deleted")
	must(t, err)
	_, _, parent, err := away.ChildrenW(path + "/parent")
	must(t, err)
	_, _, created, err := away.ExistsW(path + "/created")
	must(t, err)
	_, _, quiet, err := away.GetW(path + "/quiet")
	must(t, err)
	_, _, same, err := away.ChildrenW(path + "/same")
	must(t, err)

	network.cut()
	waitUntil(t, "the loss of the connection", func() bool { return away.State() != zk.StateHasSession })
	_, err = conn.Set(path+"/changed", []byte("1"), -1)
	must(t, err)
	must(t, conn.Delete(path+"/deleted", -1))
	create(t, conn, path+"/parent/child", "")
	create(t, conn, path+"/created", "")
	network.restore()

	next(t, changed, zk.EventNodeDataChanged, path+"/changed")
	next(t, deleted, zk.EventNodeDeleted, path+"/deleted")
	next(t, parent, zk.EventNodeChildrenChanged, path+"/parent")
	next(t, created, zk.EventNodeCreated, path+"/created")
	equal(t, away.SessionID(), session)
	pending(t, away, quiet)
	pending(t, away, same)
	_, err = conn.Set(path+"/quiet", nil, -1)
	must(t, err)
	next(t, quiet, zk.EventNodeDataChanged, path+"/quiet")
	create(t, conn, path+"/same/child", "")
	next(t, same, zk.EventNodeChildrenChanged, path+"/same")
}

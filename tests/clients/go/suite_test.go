// Package corral_test runs the go-zookeeper client against a running server.
//
// The server is named by -server HOST:PORT. The suite keeps to a top-level znode of its own, so
// several suites can share the server. Every wait is on a condition and has an end.
package corral_test

import (
	"errors"
	"flag"
	"fmt"
	"math/rand"
	"net"
	"os"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
)

var server = flag.String("server", "", "HOST:PORT of the server under test")

// How long a condition may take before the test gives up. Generous, because the machine may be
// busy; a passing test never waits this long.
const patience = 15 * time.Second

// The suite's own top-level znode.
var root string

func TestMain(m *testing.M) {
	flag.Parse()
	if *server == "" {
		fmt.Fprintln(os.Stderr, "go test needs -args -server HOST:PORT")
		os.Exit(2)
	}
	random := rand.New(rand.NewSource(time.Now().UnixNano()))
	root = fmt.Sprintf("/go-%012x", random.Int63n(1<<48))
	code, err := withRoot(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "suite:", err)
		os.Exit(1)
	}
	os.Exit(code)
}

func withRoot(m *testing.M) (int, error) {
	conn, _, err := zk.Connect([]string{*server}, 20*time.Second, zk.WithLogger(silent{}))
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if _, err := conn.Create(root, nil, 0, zk.WorldACL(zk.PermAll)); err != nil {
		return 0, fmt.Errorf("creating %s: %w", root, err)
	}
	code := m.Run()
	if err := deleteTree(conn, root); err != nil {
		return 0, fmt.Errorf("deleting %s: %w", root, err)
	}
	return code, nil
}

func deleteTree(conn *zk.Conn, path string) error {
	children, _, err := conn.Children(path)
	if err != nil {
		return err
	}
	for _, child := range children {
		if err := deleteTree(conn, path+"/"+child); err != nil {
			return err
		}
	}
	if err := conn.Delete(path, -1); err != nil && !errors.Is(err, zk.ErrNoNode) {
		return err
	}
	return nil
}

type silent struct{}

func (silent) Printf(string, ...interface{}) {}

// connect returns a client whose session exists, closed when the test ends.
func connect(t *testing.T) *zk.Conn {
	t.Helper()
	conn, _ := connectThrough(t, net.DialTimeout, 20*time.Second)
	return conn
}

func connectThrough(t *testing.T, dial zk.Dialer, timeout time.Duration) (*zk.Conn, <-chan zk.Event) {
	t.Helper()
	conn, events, err := zk.Connect([]string{*server}, timeout, zk.WithDialer(dial), zk.WithLogger(silent{}))
	must(t, err)
	t.Cleanup(conn.Close)
	waitUntil(t, "the session", func() bool { return conn.State() == zk.StateHasSession })
	return conn, events
}

// home creates a znode for this test and returns its path.
func home(t *testing.T, conn *zk.Conn) string {
	t.Helper()
	path := root + "/" + strings.ReplaceAll(t.Name(), "/", "-")
	create(t, conn, path, "")
	return path
}

func create(t *testing.T, conn *zk.Conn, path, data string) {
	t.Helper()
	made, err := conn.Create(path, []byte(data), zk.FlagPersistent, open())
	must(t, err)
	equal(t, made, path)
}

func open() []zk.ACL { return zk.WorldACL(zk.PermAll) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("unexpected error: %v", err)
	}
}

func fails(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got error %v, want %v", err, want)
	}
}

func equal(t *testing.T, got, want interface{}) {
	t.Helper()
	if fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", want) {
		t.Fatalf("got %#v, want %#v", got, want)
	}
}

func value(t *testing.T, conn *zk.Conn, path string) string {
	t.Helper()
	data, _, err := conn.Get(path)
	must(t, err)
	return string(data)
}

func names(t *testing.T, conn *zk.Conn, path string) []string {
	t.Helper()
	children, _, err := conn.Children(path)
	must(t, err)
	sort.Strings(children)
	return children
}

func exists(t *testing.T, conn *zk.Conn, path string) bool {
	t.Helper()
	found, _, err := conn.Exists(path)
	must(t, err)
	return found
}

func waitUntil(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not happen within %v", what, patience)
		}
	}
}

// next waits for the event of a watch and compares its type and path.
func next(t *testing.T, events <-chan zk.Event, kind zk.EventType, path string) {
	t.Helper()
	select {
	case event := <-events:
		must(t, event.Err)
		equal(t, event.Type.String()+" "+event.Path, kind.String()+" "+path)
	case <-time.After(patience):
		t.Fatalf("no %v of %s within %v", kind, path, patience)
	}
}

// pending fails if the watch has fired. It first makes a round trip: the event of a change that
// was answered before comes before the reply to a later request.
func pending(t *testing.T, conn *zk.Conn, events <-chan zk.Event) {
	t.Helper()
	exists(t, conn, root)
	select {
	case event := <-events:
		t.Fatalf("unexpected event %+v", event)
	default:
	}
}

// line is a network line that can be cut: connections die and none can be made until restored.
type line struct {
	mutex sync.Mutex
	down  bool
	conns []net.Conn
}

func (l *line) dial(network, address string, timeout time.Duration) (net.Conn, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.down {
		return nil, errors.New("the line is cut")
	}
	conn, err := net.DialTimeout(network, address, timeout)
	if err == nil {
		l.conns = append(l.conns, conn)
	}
	return conn, err
}

func (l *line) cut() {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.down = true
	for _, conn := range l.conns {
		conn.Close()
	}
	l.conns = nil
}

func (l *line) restore() {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.down = false
}

package corral_test

// The client's Lock recipe.

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
)

// Six clients count with an unprotected read and write; a lost update would show an overlap.
func TestLockExcludes(t *testing.T) {
	t.Parallel()
	const workers, rounds = 6, 5
	conn := connect(t)
	path := home(t, conn)
	create(t, conn, path+"/count", "0")
	results := make(chan error, workers)
	for worker := 0; worker < workers; worker++ {
		client := connect(t)
		lock := zk.NewLock(client, path+"/deep/lock", open())
		go func() {
			results <- func() error {
				for round := 0; round < rounds; round++ {
					if err := lock.Lock(); err != nil {
						return err
					}
					data, stat, err := client.Get(path + "/count")
					if err != nil {
						return err
					}
					count, err := strconv.Atoi(string(data))
					if err != nil {
						return err
					}
					if _, err := client.Set(path+"/count", []byte(strconv.Itoa(count+1)), stat.Version); err != nil {
						return err
					}
					if err := lock.Unlock(); err != nil {
						return err
					}
				}
				return nil
			}()
		}()
	}
	for worker := 0; worker < workers; worker++ {
		must(t, <-results)
	}
	equal(t, value(t, conn, path+"/count"), strconv.Itoa(workers*rounds))
	equal(t, names(t, conn, path+"/deep/lock"), []string{})
}

func TestLockMisuse(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	lock := zk.NewLock(conn, home(t, conn)+"/lock", open())
	fails(t, lock.Unlock(), zk.ErrNotLocked)
	must(t, lock.Lock())
	fails(t, lock.Lock(), zk.ErrDeadlock)
	must(t, lock.Unlock())
}

func TestLockIsHandedOnInOrder(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	path := home(t, conn) + "/lock"
	first := zk.NewLock(conn, path, open())
	must(t, first.LockWithData([]byte("first")))
	var mutex sync.Mutex
	order := []string{}
	results := make(chan error, 4)
	for n := 0; n < 4; n++ {
		who := fmt.Sprintf("w%d", n)
		lock := zk.NewLock(connect(t), path, open())
		go func() {
			results <- func() error {
				if err := lock.LockWithData([]byte(who)); err != nil {
					return err
				}
				mutex.Lock()
				order = append(order, who)
				mutex.Unlock()
				return lock.Unlock()
			}()
		}()
		waitUntil(t, "the next in line", func() bool { return len(names(t, conn, path)) == n+2 })
	}
	equal(t, contenders(t, conn, path), []string{"first", "w0", "w1", "w2", "w3"})
	must(t, first.Unlock())
	for n := 0; n < 4; n++ {
		must(t, <-results)
	}
	equal(t, order, []string{"w0", "w1", "w2", "w3"})
}

// contenders is the data of the lock's znodes in the order of their sequence numbers.
func contenders(t *testing.T, conn *zk.Conn, path string) []string {
	t.Helper()
	line := names(t, conn, path)
	number := func(name string) string { return name[strings.LastIndex(name, "-")+1:] }
	sort.Slice(line, func(a, b int) bool { return number(line[a]) < number(line[b]) })
	for n, name := range line {
		line[n] = value(t, conn, path+"/"+name)
	}
	return line
}

func TestLockPassesOnWhenItsHolderDies(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	path := home(t, conn) + "/lock"
	network := &line{}
	holder, _ := connectThrough(t, network.dial, time.Second)
	must(t, zk.NewLock(holder, path, open()).Lock())
	locked := make(chan error, 1)
	heir := zk.NewLock(conn, path, open())
	go func() { locked <- heir.Lock() }()
	watcher := connect(t)
	waitUntil(t, "the heir in line", func() bool { return len(names(t, watcher, path)) == 2 })
	network.cut()
	select {
	case err := <-locked:
		must(t, err)
	case <-time.After(patience):
		t.Fatalf("the lock did not pass on within %v", patience)
	}
	equal(t, len(names(t, watcher, path)), 1)
	must(t, heir.Unlock())
}

package corral_test

// Multi: all or nothing, one zxid, an error for the operation that failed.

import (
	"testing"

	"github.com/go-zookeeper/zk"
)

func TestMultiCommits(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	path := home(t, conn)
	create(t, conn, path+"/old", "0")
	results, err := conn.Multi(
		&zk.CheckVersionRequest{Path: path + "/old", Version: 0},
		&zk.CreateRequest{Path: path + "/a", Data: []byte("one"), Acl: open()},
		&zk.CreateRequest{Path: path + "/a/s-", Acl: open(), Flags: zk.FlagSequence},
		&zk.SetDataRequest{Path: path + "/a", Data: []byte("two"), Version: 0},
		&zk.DeleteRequest{Path: path + "/old", Version: 0},
	)
	must(t, err)
	equal(t, len(results), 5)
	for _, result := range results {
		must(t, result.Error)
	}
	equal(t, results[1].String, path+"/a")
	equal(t, results[2].String, path+"/a/s-0000000000")
	equal(t, results[3].Stat.Version, int32(1))
	data, stat, err := conn.Get(path + "/a")
	must(t, err)
	equal(t, string(data), "two")
	equal(t, []int64{stat.Mzxid, stat.Pzxid}, []int64{stat.Czxid, stat.Czxid})
	equal(t, results[3].Stat.Mzxid, stat.Czxid)
	equal(t, names(t, conn, path), []string{"a"})
}

func TestMultiRollsBack(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	path := home(t, conn)
	create(t, conn, path+"/a", "0")
	failing := map[error]interface{}{
		zk.ErrBadVersion: &zk.CheckVersionRequest{Path: path + "/a", Version: 9},
		zk.ErrNoNode:     &zk.SetDataRequest{Path: path + "/missing", Version: -1},
		zk.ErrNodeExists: &zk.CreateRequest{Path: path + "/a", Acl: open()},
		zk.ErrNotEmpty:   &zk.DeleteRequest{Path: path, Version: -1},
		zk.ErrInvalidACL: &zk.CreateRequest{Path: path + "/c", Acl: zk.AuthACL(zk.PermAll)},
	}
	for want, operation := range failing {
		results, err := conn.Multi(
			&zk.CreateRequest{Path: path + "/b", Acl: open()},
			&zk.SetDataRequest{Path: path + "/a", Data: []byte("1"), Version: -1},
			operation,
			&zk.DeleteRequest{Path: path + "/a", Version: -1},
		)
		fails(t, err, want)
		equal(t, len(results), 4)
		must(t, results[0].Error)
		must(t, results[1].Error)
		fails(t, results[2].Error, want)
		if results[3].Error == nil {
			t.Fatal("the operation after the failed one has no error")
		}
		equal(t, names(t, conn, path), []string{"a"})
		equal(t, value(t, conn, path+"/a"), "0")
	}
}

func TestMultiFiresWatches(t *testing.T) {
	t.Parallel()
	conn, other := connect(t), connect(t)
	path := home(t, conn)
	create(t, conn, path+"/a", "0")
	_, _, data, err := conn.GetW(path + "/a")
	must(t, err)
	_, _, created, err := conn.ExistsW(path + "/b")
	must(t, err)
	_, err = other.Multi(
		&zk.SetDataRequest{Path: path + "/a", Version: -1},
		&zk.CheckVersionRequest{Path: path + "/missing", Version: 0},
	)
	fails(t, err, zk.ErrNoNode)
	pending(t, conn, data)
	_, err = other.Multi(
		&zk.SetDataRequest{Path: path + "/a", Version: -1},
		&zk.CreateRequest{Path: path + "/b", Acl: open()},
	)
	must(t, err)
	next(t, data, zk.EventNodeDataChanged, path+"/a")
	next(t, created, zk.EventNodeCreated, path+"/b")
}

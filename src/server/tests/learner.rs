//! The snapshot and the transactions that a leader sends to a server without its state.

use crate::ids::{SessionId, Zxid};
use crate::jute::txn::{CreateTxn, TxnHeader, put_create, put_digest};
use crate::jute::{OpCode, StatPersisted};
use crate::server::rebuild::Rebuild;
use crate::storage::replay::{Replay, ZnodeRecord};
use crate::storage::snapshot::format::SnapshotHeader;
use crate::tree::state::StateOptions;
use crate::zab::history::HistoryLimits;

fn create(zxid: i64, path: &[u8], parent_cversion: i32, digest: Option<u64>) -> Vec<u8> {
    let mut out = vec![];
    let header = TxnHeader { session: SessionId(1), cxid: 1, zxid: Zxid(zxid), time_ms: zxid, op: OpCode::Create };
    header.put(&mut out);
    let create = CreateTxn { path, data: Some(b""), acl: None, ephemeral: false, parent_cversion, ttl: 0 };
    put_create(&mut out, OpCode::Create, &create);
    digest.into_iter().for_each(|digest| put_digest(&mut out, digest));
    out
}

/// A snapshot of zxid 3: the root, changed last by `root`, and znodes, each with the zxid that created it.
fn snapshot(mut rebuild: Rebuild, root: (i32, i64), znodes: &[(i64, &[u8])]) -> Rebuild {
    let header = SnapshotHeader { zxid: Zxid(3), ..SnapshotHeader::default() };
    rebuild.restart();
    rebuild.snapshot(&header).unwrap();
    let (cversion, pzxid) = root;
    let stat = StatPersisted { cversion, pzxid, ..StatPersisted::default() };
    rebuild.znode(&ZnodeRecord { path: b"/", data: Some(b""), acl: 0, stat }).unwrap();
    for &(zxid, path) in znodes {
        let znode = ZnodeRecord { path, data: Some(b""), acl: 0, stat: StatPersisted::new(zxid, zxid, 0) };
        rebuild.znode(&znode).unwrap();
    }
    rebuild.snapshot_done(&header).unwrap();
    rebuild
}

/// ZooKeeper writes its tree while transactions continue, and sends these after it. A server that applied them strictly
/// would fail again and again, as long as clients write.
#[test]
fn a_leaders_snapshot_may_be_ahead_of_what_it_sends_next() {
    let limits = HistoryLimits::default();
    let txns = [(4, &b"/a"[..], 1), (5, b"/b", 2), (6, b"/c", 3)];
    // This snapshot has the effects of 4 and 6, and not those of 5.
    let ahead = |rebuild| snapshot(rebuild, (3, 6), &[(4, b"/a"), (6, b"/c")]);
    let finish = |mut rebuild: Rebuild, digest: Option<u64>| {
        for (zxid, path, parent_cversion) in txns {
            // In between the tree is a state that no server ever had.
            let digest = digest.map(|digest| if zxid == 6 { digest } else { 1 });
            rebuild.txn(Zxid(zxid), &create(zxid, path, parent_cversion, digest)).unwrap();
        }
        let (state, history, mismatches) = rebuild.finish_member();
        assert_eq!(history.last(), Zxid(6));
        (state.digest(), mismatches)
    };
    let mut log = ahead(Rebuild::for_member(StateOptions::default(), limits));
    assert!(log.txn(Zxid(4), &create(4, b"/a", 1, None)).is_err(), "a log must fit its own snapshot");
    let (exact, _) = finish(snapshot(Rebuild::for_member(StateOptions::default(), limits), (0, 0), &[]), None);
    assert_eq!(finish(ahead(Rebuild::for_learner(StateOptions::default(), limits)), Some(exact)), (exact, 0));
    assert_eq!(
        finish(ahead(Rebuild::for_learner(StateOptions::default(), limits)), Some(2)),
        (exact, 1),
        "in the end it is told"
    );
}

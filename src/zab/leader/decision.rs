//! How a learner is brought to the leader's history: the decision, from where both stand.
//!
//! What a learner that stands at P is sent, with the history's floor F and end E, and Z the zxid the leader
//! shows (E, or its epoch's first zxid once it is established and nothing was committed since):
//!
//! | # | where P is | sent |
//! |---|---|---|
//! | 1 | anywhere, and snapshots are forced | SNAP |
//! | 2 | P = Z | DIFF(P), nothing more |
//! | 3 | P > E, not bare | TRUNC(E); SNAP if E is 0 |
//! | 4 | P > E, bare | SNAP |
//! | 5 | F ≤ P ≤ E, and known or bare | DIFF(E) and all after P |
//! | 6 | F ≤ P ≤ E, unknown, next transaction of P's epoch | TRUNC(the one before) and all after that |
//! | 7 | F ≤ P ≤ E, unknown, next transaction of another epoch | SNAP |
//! | 8 | P < F, the log on disk reaches back to P, and is short beside a snapshot | as 5, 6, 7, from there |
//! | 9 | P < F otherwise | SNAP |
//!
//! A bare zxid is an epoch's first, which no transaction has: a learner that was brought up to date by
//! that epoch's leader may say it stands there. TRUNC never crosses an epoch: a learner would refuse.
//! (ZooKeeper 3.9, `LearnerHandler.syncFollower`; its minimum is the first entry it keeps, the floor here
//! is the one before, so a learner that stands there needs no disk.)

use super::interface::LogPart;
use crate::ids::Zxid;
use crate::zab::history::{History, Txn, follows};

/// What a learner is sent first. See the table above.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Decision {
    /// DIFF with this zxid, then every transaction after `after`.
    Diff {
        zxid: Zxid,
        after: Zxid,
    },
    /// TRUNC with this zxid, then every transaction after it.
    Trunc {
        to: Zxid,
    },
    Snap,
    /// The log on disk must be asked first.
    ReadLog,
}

/// The table, for what is in memory. `shown` is the zxid the leader shows.
pub(crate) fn decide(history: &History, shown: Zxid, peer: Zxid, force_snapshot: bool) -> Decision {
    let bare = peer.counter() == 0;
    if force_snapshot {
        Decision::Snap
    } else if peer == shown {
        Decision::Diff { zxid: peer, after: history.last() }
    } else if peer > history.last() {
        if bare || history.last() == Zxid::ZERO { Decision::Snap } else { Decision::Trunc { to: history.last() } }
    } else if peer >= history.floor() {
        let next = history.after(peer).next().map(|txn| txn.zxid);
        walk(history.at_or_before(peer), next, peer, history.last())
    } else {
        Decision::ReadLog
    }
}

/// Rows 5 to 7: `before` is the last known zxid at or below the peer's, `next` the first above it.
fn walk(before: Option<Zxid>, next: Option<Zxid>, peer: Zxid, end: Zxid) -> Decision {
    if before == Some(peer) || peer.counter() == 0 {
        return Decision::Diff { zxid: end, after: peer };
    }
    match (before, next) {
        (Some(before), Some(next)) if next.epoch() == peer.epoch() && before > Zxid::ZERO => {
            Decision::Trunc { to: before }
        }
        _ => Decision::Snap,
    }
}

/// Row 8: what was read from disk up to `upto`, if it is not too much.
pub(super) fn decide_with_log(part: &LogPart, upto: Zxid, history: &History, peer: Zxid, factor: f64) -> Decision {
    let limit = (part.snapshot_bytes as f64 * factor) as u64;
    let LogPart { txns, .. } = part;
    let Some(last) = txns.last().map(|txn| txn.zxid).filter(|_| is_stretch(txns, peer)) else { return Decision::Snap };
    let joins = joins(part, last, upto, history);
    // No snapshot, no limit, as in ZooKeeper. And a part with nothing to send leads nowhere.
    if (limit > 0 && part.log_bytes > limit) || (last <= peer && !joins) {
        return Decision::Snap;
    }
    let before = txns.iter().map(|txn| txn.zxid).take_while(|zxid| *zxid <= peer).last();
    let next = txns.iter().map(|txn| txn.zxid).find(|zxid| *zxid > peer);
    let next = next.or_else(|| history.after(peer).next().map(|txn| txn.zxid));
    walk(before, next, peer, history.last())
}

/// Whether these begin at or below `from` and have no gap.
pub(super) fn is_stretch(txns: &[Txn], from: Zxid) -> bool {
    txns.first().is_some_and(|first| first.zxid <= from)
        && txns.windows(2).all(|pair| follows(pair[0].zxid, pair[1].zxid))
}

/// Whether nothing is left out between a part that ends with `last` and what is in memory. A floor that is an epoch's
/// first zxid, as that of a snapshot may be, is no transaction: there the log ends before.
pub(super) fn joins(part: &LogPart, last: Zxid, upto: Zxid, history: &History) -> bool {
    let floor = history.floor();
    last >= floor || (part.whole && upto >= floor && floor.counter() == 0)
}

#[cfg(test)]
mod tests;

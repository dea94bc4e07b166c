//! Every row of the table at the top of `decision`.

use super::{Decision, decide};
use crate::ids::Zxid;
use crate::zab::history::{History, HistoryLimits, Txn};

fn zxid(epoch: i64, counter: i64) -> Zxid {
    Zxid(epoch << 32 | counter)
}

fn history(floor: Zxid, zxids: &[Zxid]) -> History {
    let mut history = History::new(HistoryLimits::default(), floor);
    for zxid in zxids {
        history.push(Txn { zxid: *zxid, bytes: [].into() });
    }
    history
}

#[test]
fn every_row() {
    let log = history(zxid(1, 4), &[zxid(1, 5), zxid(1, 6), zxid(3, 1), zxid(3, 2)]);
    let end = zxid(3, 2);
    let all_after = |after| Decision::Diff { zxid: end, after };
    for (row, shown, peer, force, expected) in [
        (1, end, end, true, Decision::Snap),
        (2, end, end, false, Decision::Diff { zxid: end, after: end }),
        (2, zxid(4, 0), zxid(4, 0), false, Decision::Diff { zxid: zxid(4, 0), after: end }),
        (3, end, zxid(3, 3), false, Decision::Trunc { to: end }),
        (3, zxid(5, 0), zxid(4, 7), false, Decision::Trunc { to: end }),
        (4, end, zxid(4, 0), false, Decision::Snap),
        (5, zxid(4, 0), end, false, all_after(end)),
        (5, end, zxid(1, 4), false, all_after(zxid(1, 4))),
        (5, end, zxid(1, 6), false, all_after(zxid(1, 6))),
        (5, end, zxid(3, 0), false, all_after(zxid(3, 0))),
        (5, end, zxid(2, 0), false, all_after(zxid(2, 0))),
        (7, end, zxid(1, 7), false, Decision::Snap),
        (7, end, zxid(2, 1), false, Decision::Snap),
        (8, end, zxid(1, 3), false, Decision::ReadLog),
        (8, end, Zxid::ZERO, false, Decision::ReadLog),
    ] {
        assert_eq!(decide(&log, shown, peer, force), expected, "row {row}: {peer}");
    }
    // Row 6 needs a log with a hole, as those of old servers may have.
    let holed = history(zxid(1, 4), &[zxid(1, 5), zxid(1, 8)]);
    assert_eq!(decide(&holed, zxid(1, 8), zxid(1, 6), false), Decision::Trunc { to: zxid(1, 5) });
}

/// A leader that has nothing does not tell anybody to cut off everything.
#[test]
fn nothing_at_all() {
    let none = history(Zxid::ZERO, &[]);
    assert_eq!(decide(&none, Zxid::ZERO, Zxid::ZERO, false), Decision::Diff { zxid: Zxid::ZERO, after: Zxid::ZERO });
    assert_eq!(decide(&none, zxid(2, 0), zxid(1, 1), false), Decision::Snap);
    assert_eq!(decide(&none, zxid(2, 0), Zxid::ZERO, false), Decision::Diff { zxid: Zxid::ZERO, after: Zxid::ZERO });
}

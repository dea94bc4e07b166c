//! What the server sends: reply headers, the bodies that are more than one record, and events.

use super::codes::{ErrorCode, EventType, OpCode};
use super::wire::{put_bool, put_bytes, put_frame, put_int, put_long};
use crate::ids::Zxid;

/// The xid of a watch event.
pub const NOTIFICATION_XID: i32 = -1;
/// The xid of a ping and its reply.
pub const PING_XID: i32 = -2;
/// The state every event carries: connected.
const STATE_SYNC_CONNECTED: i32 = 3;

/// Appends a reply header (16 bytes).
#[inline]
pub fn put_header(out: &mut Vec<u8>, xid: i32, zxid: Zxid, error: ErrorCode) {
    put_int(out, xid);
    put_long(out, zxid.0);
    put_int(out, error.wire());
}

/// Appends a reply frame without a body: an error, or an operation that answers nothing.
#[inline]
pub fn put_bare(out: &mut Vec<u8>, xid: i32, zxid: Zxid, error: ErrorCode) {
    put_frame(out, |out| put_header(out, xid, zxid, error));
}

/// Appends a successful reply frame with a body.
#[inline]
pub fn put_reply(out: &mut Vec<u8>, xid: i32, zxid: Zxid, body: impl FnOnce(&mut Vec<u8>)) {
    put_frame(out, |out| {
        put_header(out, xid, zxid, ErrorCode::Ok);
        body(out);
    });
}

/// Appends a watch event frame. `zxid` is the transaction that fired it, or -1 for an event that
/// setWatches caught up on (ZooKeeper 3.9, `WatchManager`, `DataTree.setWatches`).
pub fn put_event(out: &mut Vec<u8>, kind: EventType, zxid: Zxid, path: &[u8]) {
    put_frame(out, |out| {
        put_header(out, NOTIFICATION_XID, zxid, ErrorCode::Ok);
        put_int(out, kind.wire());
        put_int(out, STATE_SYNC_CONNECTED);
        put_bytes(out, path);
    });
}

/// Appends the header of one successful result of a multi.
pub fn put_multi_ok(out: &mut Vec<u8>, op: OpCode) {
    put_int(out, op.wire());
    put_bool(out, false);
    put_int(out, 0);
}

/// Appends one failed result of a multi.
pub fn put_multi_error(out: &mut Vec<u8>, error: ErrorCode) {
    put_int(out, -1);
    put_bool(out, false);
    put_int(out, error.wire());
    put_int(out, error.wire());
}

/// Appends the end of a multi's results.
pub fn put_multi_end(out: &mut Vec<u8>) {
    put_int(out, -1);
    put_bool(out, true);
    put_int(out, -1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_is_the_observed_bytes() {
        let mut out = vec![];
        put_event(&mut out, EventType::NodeDataChanged, Zxid(0x1b), b"/a");
        let expected = [
            &[0, 0, 0, 30, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0x1b, 0, 0, 0, 0][..],
            &[0, 0, 0, 3, 0, 0, 0, 3, 0, 0, 0, 2, 0x2f, 0x61],
        ]
        .concat();
        assert_eq!(out, expected);
    }

    #[test]
    fn failed_multi_is_the_observed_bytes() {
        let mut out = vec![];
        put_multi_error(&mut out, ErrorCode::BadVersion);
        put_multi_end(&mut out);
        assert_eq!(out[..13], [0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0xff, 0x99, 0xff, 0xff, 0xff, 0x99]);
        assert_eq!(out[13..], [0xff, 0xff, 0xff, 0xff, 1, 0xff, 0xff, 0xff, 0xff]);
    }
}

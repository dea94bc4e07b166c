//! What the server sends: reply headers, the bodies that are more than one record, and events.

use super::codes::{ErrorCode, EventType, OpCode};
use super::wire::{close_frame, halves, put_bool, put_bytes, put_int, put_words};
use crate::ids::Zxid;

/// The xid of a watch event.
pub(crate) const NOTIFICATION_XID: i32 = -1;
/// The xid of a ping and its reply.
pub(crate) const PING_XID: i32 = -2;
/// The state every event carries: connected.
const STATE_SYNC_CONNECTED: i32 = 3;

/// Appends the start of a reply frame, its length word and its header; [`close_frame`] fills in the length when the body is
/// there, which is none until then.
#[inline]
pub(crate) fn open_frame(out: &mut Vec<u8>, xid: i32, zxid: Zxid, error: ErrorCode) {
    const HEADER: u32 = 16;
    let [high, low] = halves(zxid.0);
    put_words(out, [HEADER, xid as u32, high, low, error.wire() as u32]);
}

/// Appends a reply frame without a body: an error, or an operation that answers nothing.
#[inline]
pub(crate) fn put_bare(out: &mut Vec<u8>, xid: i32, zxid: Zxid, error: ErrorCode) {
    open_frame(out, xid, zxid, error);
}

/// Appends a reply frame with a body.
#[inline]
pub fn put_reply(out: &mut Vec<u8>, xid: i32, zxid: Zxid, body: impl FnOnce(&mut Vec<u8>)) {
    put_reply_of(out, xid, zxid, ErrorCode::Ok, body);
}

/// The same, for an error that has one.
#[inline]
pub(crate) fn put_reply_of(out: &mut Vec<u8>, xid: i32, zxid: Zxid, error: ErrorCode, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    open_frame(out, xid, zxid, error);
    body(out);
    close_frame(out, start);
}

/// Appends a watch event frame. `zxid` is the transaction that fired it, or -1 for an event that
/// setWatches caught up on (ZooKeeper 3.9, `WatchManager`, `DataTree.setWatches`).
pub fn put_event(out: &mut Vec<u8>, kind: EventType, zxid: Zxid, path: &[u8]) {
    put_reply(out, NOTIFICATION_XID, zxid, |out| {
        put_int(out, kind.wire());
        put_int(out, STATE_SYNC_CONNECTED);
        put_bytes(out, path);
    });
}

/// Appends the header of one successful result of a multi.
pub(crate) fn put_multi_ok(out: &mut Vec<u8>, op: OpCode) {
    put_int(out, op.wire());
    put_bool(out, false);
    put_int(out, 0);
}

/// Appends one failed result of a multi.
pub(crate) fn put_multi_error(out: &mut Vec<u8>, error: ErrorCode) {
    put_int(out, -1);
    put_bool(out, false);
    put_int(out, error.wire());
    put_int(out, error.wire());
}

/// Appends the end of a multi's results.
pub(crate) fn put_multi_end(out: &mut Vec<u8>) {
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

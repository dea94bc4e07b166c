//! The client's side of the wire: the few requests a load needs, and what comes back.
//!
//! Requests are appended to a buffer as whole frames (length, header, record); answers are borrowed from the buffer
//! they arrived in. Bytes of a server are checked before they are believed: a frame that is too long or shorter
//! than its header ends the measurement. Shapes: ZooKeeper 3.9, zookeeper.jute.

use crate::failure::{Failure, Result};

/// No server sends a longer frame for the requests made here: the names of a million children. Bytes.
pub const LONGEST_ANSWER: usize = 64 << 20;
/// No client of this tool sends a longer frame. Bytes.
pub const LONGEST_REQUEST: usize = 4 << 20;
/// The transaction id of a ping and of its answer.
pub const PING_XID: i32 = -2;
/// The transaction id of a watch event.
pub const EVENT_XID: i32 = -1;
/// A create of a znode that exists.
pub const NODE_EXISTS: i32 = -110;
/// The transaction id of credentials.
pub const AUTH_XID: i32 = -4;
/// What a client says when a connection was lost with a request under way; no server sends it.
pub const CONNECTION_LOSS: i32 = -4;
/// A znode that is not there.
pub const NO_NODE: i32 = -101;
/// A session the server does not know any longer.
pub const SESSION_EXPIRED: i32 = -112;
/// The identity of a session that is asked for.
pub const NO_SESSION: (i64, [u8; 16]) = (0, [0; 16]);
/// The permissions read, write, create, delete and admin, of the identity world:anyone.
const ALL: i32 = 31;

/// The operations' codes in a request header.
pub mod op {
    pub const CREATE: i32 = 1;
    pub const DELETE: i32 = 2;
    pub const EXISTS: i32 = 3;
    pub const GET_DATA: i32 = 4;
    pub const SET_DATA: i32 = 5;
    pub const GET_CHILDREN: i32 = 8;
    pub const SYNC: i32 = 9;
    pub const PING: i32 = 11;
    pub const CHECK: i32 = 13;
    pub const MULTI: i32 = 14;
    pub const MULTI_READ: i32 = 22;
    pub const CLOSE: i32 = -11;

    /// What people call it.
    pub fn name(code: i32) -> &'static str {
        match code {
            CREATE => "create",
            DELETE => "delete",
            EXISTS => "exists",
            GET_DATA => "get",
            SET_DATA => "set",
            6 => "getACL",
            7 => "setACL",
            GET_CHILDREN | 12 => "children",
            SYNC => "sync",
            MULTI => "multi",
            15 => "create2",
            19 => "createContainer",
            21 => "createTTL",
            MULTI_READ => "multiRead",
            106 => "addWatch",
            CLOSE => "close",
            _ => "other",
        }
    }
}

/// The flags of a create.
pub mod flags {
    pub const PERSISTENT: i32 = 0;
    pub const EPHEMERAL: i32 = 1;
    pub const SEQUENTIAL: i32 = 2;
}

/// A connect request for a session of `timeout_ms` milliseconds: the one with this id and password, or a new one.
pub fn connect(out: &mut Vec<u8>, timeout_ms: i32, (session, password): (i64, [u8; 16])) {
    framed(out, |out| {
        int(out, 0);
        out.extend_from_slice(&0i64.to_be_bytes());
        int(out, timeout_ms);
        out.extend_from_slice(&session.to_be_bytes());
        buffer(out, &password);
        out.push(0);
    });
}

/// A read of a znode's data; `watch` leaves a one-shot watch.
pub fn get(out: &mut Vec<u8>, xid: i32, path: &str, watch: bool) {
    request(out, xid, op::GET_DATA, |out| path_and_watch(out, path, watch));
}

/// A read of a znode's metadata; `watch` leaves a one-shot watch, also on a znode that is not there.
pub fn exists(out: &mut Vec<u8>, xid: i32, path: &str, watch: bool) {
    request(out, xid, op::EXISTS, |out| path_and_watch(out, path, watch));
}

/// A read of the names of a znode's children; `watch` leaves a one-shot watch.
pub fn children(out: &mut Vec<u8>, xid: i32, path: &str, watch: bool) {
    request(out, xid, op::GET_CHILDREN, |out| path_and_watch(out, path, watch));
}

/// Waits until the server has seen what was committed before.
pub fn sync(out: &mut Vec<u8>, xid: i32, path: &str) {
    request(out, xid, op::SYNC, |out| buffer(out, path.as_bytes()));
}

/// A write of a znode's data, whatever its version.
pub fn set(out: &mut Vec<u8>, xid: i32, path: &str, data: &[u8]) {
    request(out, xid, op::SET_DATA, |out| set_record(out, path, data));
}

/// A znode that is open to everybody; `flags` as in [`flags`], added up.
pub fn create(out: &mut Vec<u8>, xid: i32, path: &str, data: &[u8], flags: i32) {
    request(out, xid, op::CREATE, |out| create_record(out, path, data, flags));
}

/// A delete, whatever the version.
pub fn delete(out: &mut Vec<u8>, xid: i32, path: &str) {
    request(out, xid, op::DELETE, |out| delete_record(out, path));
}

/// Several writes that succeed or fail together, or several reads: `code` is [`op::MULTI`] or [`op::MULTI_READ`].
/// `fill` appends its parts with the functions below.
pub fn multi(out: &mut Vec<u8>, xid: i32, code: i32, fill: impl FnOnce(&mut Vec<u8>)) {
    request(out, xid, code, |out| {
        fill(out);
        multi_header(out, -1, true);
    });
}

/// A part of a multi.
pub fn part(out: &mut Vec<u8>, code: i32, record: impl FnOnce(&mut Vec<u8>)) {
    multi_header(out, code, false);
    record(out);
}

/// The path and the watch of a read.
pub fn path_and_watch(out: &mut Vec<u8>, path: &str, watch: bool) {
    buffer(out, path.as_bytes());
    out.push(watch.into());
}

/// What a set says.
pub fn set_record(out: &mut Vec<u8>, path: &str, data: &[u8]) {
    buffer(out, path.as_bytes());
    buffer(out, data);
    int(out, -1);
}

/// What a create says.
pub fn create_record(out: &mut Vec<u8>, path: &str, data: &[u8], flags: i32) {
    buffer(out, path.as_bytes());
    buffer(out, data);
    int(out, 1);
    int(out, ALL);
    buffer(out, b"world");
    buffer(out, b"anyone");
    int(out, flags);
}

/// What a delete says, and a check that the znode is there.
pub fn delete_record(out: &mut Vec<u8>, path: &str) {
    buffer(out, path.as_bytes());
    int(out, -1);
}

fn multi_header(out: &mut Vec<u8>, code: i32, done: bool) {
    int(out, code);
    out.push(done.into());
    int(out, -1);
}

/// The error that made a multi of writes fail, which its header does not tell: all its results are errors then, those
/// before the failed one 0. 0 when it succeeded.
pub fn multi_error(body: &[u8]) -> i32 {
    const RESULT: usize = 4 + 1 + 4 + 4;
    let is_error = |at: usize| int_at(body, at) == Some(-1) && body.get(at + 4) == Some(&0);
    let errors = (0..).step_by(RESULT).take_while(|at| is_error(*at)).filter_map(|at| int_at(body, at + 9));
    errors.into_iter().find(|error| *error != 0).unwrap_or(0)
}

/// The bytes of a field with its length before it, at `at`, and where the next field begins.
pub fn field_at(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let start = at.checked_add(4)?;
    let end = start.checked_add(usize::try_from(int_at(bytes, at)?).ok()?)?;
    Some((bytes.get(start..end)?, end))
}

/// The strings of a list.
pub fn strings(body: &[u8]) -> Result<Vec<String>> {
    let cut_off = || Failure::new("a list of names is cut off");
    let count = int_at(body, 0).ok_or_else(cut_off)?.max(0) as usize;
    // Not from the count alone: every name takes at least its length.
    let mut names = Vec::with_capacity(count.min(body.len() / 4));
    let mut at = 4;
    for _ in 0..count {
        let (name, next) = field_at(body, at).ok_or_else(cut_off)?;
        names.push(String::from_utf8_lossy(name).into_owned());
        at = next;
    }
    Ok(names)
}

/// A watch's event: its kind (1 created, 2 deleted, 3 data changed, 4 children changed) and the path.
pub fn event(body: &[u8]) -> Result<(i32, String)> {
    match (int_at(body, 0), field_at(body, 8)) {
        (Some(kind), Some((path, _))) => Ok((kind, String::from_utf8_lossy(path).into_owned())),
        _ => Err(Failure::new("an event is cut off")),
    }
}

/// What keeps an idle session alive.
pub fn ping(out: &mut Vec<u8>) {
    request(out, PING_XID, op::PING, |_| {});
}

/// The end of the session.
pub fn close(out: &mut Vec<u8>, xid: i32) {
    request(out, xid, op::CLOSE, |_| {});
}

/// Gives a request that was made before another transaction id.
pub fn restamp(frame: &mut [u8], xid: i32) {
    frame[4..8].copy_from_slice(&xid.to_be_bytes());
}

/// The first whole frame in `bytes` without its length, and how many bytes of `bytes` it takes. A frame of more than
/// `longest` bytes is refused.
pub fn cut(bytes: &[u8], longest: usize) -> Result<Option<(&[u8], usize)>> {
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else { return Ok(None) };
    let length = usize::try_from(i32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    if length > longest {
        return Err(Failure::new(format!("a frame claims {length} bytes")));
    }
    Ok(rest.get(..length).map(|frame| (frame, 4 + length)))
}

/// The header of an answer, and what follows it.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    pub xid: i32,
    /// The transaction the server had applied.
    pub zxid: i64,
    /// 0, or the error's code.
    pub error: i32,
    pub body: &'a [u8],
}

/// Reads an answer.
pub fn reply(frame: &[u8]) -> Result<Reply<'_>> {
    match (int_at(frame, 0), long_at(frame, 4), int_at(frame, 12)) {
        (Some(xid), Some(zxid), Some(error)) => Ok(Reply { xid, zxid, error, body: &frame[16..] }),
        _ => Err(Failure::new(format!("an answer of {} bytes has no header", frame.len()))),
    }
}

/// The session that was granted.
#[derive(Debug, PartialEq, Eq)]
pub struct Granted {
    pub session: i64,
    pub password: [u8; 16],
    pub timeout_ms: i32,
}

/// Reads the answer to a connect request; none when the session is not granted, because the one that was asked for has
/// expired.
pub fn granted(frame: &[u8]) -> Result<Option<Granted>> {
    let password = field_at(frame, 16).and_then(|(bytes, _)| bytes.try_into().ok());
    match (int_at(frame, 4), long_at(frame, 8), password) {
        (Some(timeout_ms), Some(session), Some(password)) if timeout_ms > 0 => {
            Ok(Some(Granted { session, password, timeout_ms }))
        }
        (Some(_), Some(_), Some(_)) => Ok(None),
        _ => Err(Failure::new("the server answers the connect request with something else")),
    }
}

/// The integer at `at`.
pub fn int_at(bytes: &[u8], at: usize) -> Option<i32> {
    bytes.get(at..at + 4).map(|four| i32::from_be_bytes(four.try_into().expect("four bytes")))
}

/// The long integer at `at`.
pub fn long_at(bytes: &[u8], at: usize) -> Option<i64> {
    bytes.get(at..at + 8).map(|eight| i64::from_be_bytes(eight.try_into().expect("eight bytes")))
}

/// Appends what `fill` appends, with its length before it.
pub fn framed(out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    int(out, 0);
    fill(out);
    let length = i32::try_from(out.len() - start - 4).expect("a frame of this tool is short");
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

/// Appends an integer.
pub fn int(out: &mut Vec<u8>, value: i32) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Appends bytes with their length before them.
pub fn buffer(out: &mut Vec<u8>, bytes: &[u8]) {
    int(out, i32::try_from(bytes.len()).expect("a field of this tool is short"));
    out.extend_from_slice(bytes);
}

fn request(out: &mut Vec<u8>, xid: i32, code: i32, record: impl FnOnce(&mut Vec<u8>)) {
    framed(out, |out| {
        int(out, xid);
        int(out, code);
        record(out);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(make: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = vec![];
        make(&mut out);
        out
    }

    #[test]
    fn requests_have_the_shapes_of_the_protocol() {
        let connect = made(|out| connect(out, 30_000, NO_SESSION));
        assert_eq!(connect.len(), 4 + 4 + 8 + 4 + 8 + 4 + 16 + 1);
        assert_eq!(connect[..4], [0, 0, 0, 45]);
        assert_eq!(connect[16..20], 30_000i32.to_be_bytes());
        let get = made(|out| get(out, 7, "/a", true));
        assert_eq!(get, [0, 0, 0, 15, 0, 0, 0, 7, 0, 0, 0, 4, 0, 0, 0, 2, b'/', b'a', 1]);
        let set = made(|out| set(out, 8, "/a", b"v"));
        let expected =
            [0, 0, 0, 23, 0, 0, 0, 8, 0, 0, 0, 5, 0, 0, 0, 2, b'/', b'a', 0, 0, 0, 1, b'v', 255, 255, 255, 255];
        assert_eq!(set, expected);
        let create = made(|out| create(out, 9, "/a", b"", flags::EPHEMERAL));
        assert_eq!(create[4..12], [0, 0, 0, 9, 0, 0, 0, 1]);
        assert_eq!(create[12..30], [0, 0, 0, 2, b'/', b'a', 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 31]);
        assert_eq!(create[30..], *b"\0\0\0\x05world\0\0\0\x06anyone\0\0\0\x01");
        assert_eq!(made(ping), [0, 0, 0, 8, 255, 255, 255, 254, 0, 0, 0, 11]);
        assert_eq!(made(|out| close(out, 3)), [0, 0, 0, 8, 0, 0, 0, 3, 255, 255, 255, 245]);
        assert_eq!(made(|out| delete(out, 1, "/a"))[12..], [0, 0, 0, 2, b'/', b'a', 255, 255, 255, 255]);
    }

    #[test]
    fn a_request_is_restamped_in_place() {
        let mut first = made(|out| get(out, 1, "/a", false));
        restamp(&mut first, 2);
        assert_eq!(first, made(|out| get(out, 2, "/a", false)));
    }

    #[test]
    fn frames_are_cut_only_when_whole() {
        let whole = made(|out| framed(out, |out| out.extend_from_slice(b"abcdef")));
        for length in 0..whole.len() {
            assert!(cut(&whole[..length], LONGEST_ANSWER).unwrap().is_none(), "{length} bytes");
        }
        let two = [&whole[..], b"\0\0"].concat();
        assert_eq!(cut(&two, LONGEST_ANSWER).unwrap(), Some((&b"abcdef"[..], 10)));
    }

    #[test]
    fn lengths_that_cannot_be_are_refused() {
        assert!(cut(&(-1i32).to_be_bytes(), LONGEST_ANSWER).is_err());
        assert!(cut(&(LONGEST_ANSWER as i32 + 1).to_be_bytes(), LONGEST_ANSWER).is_err());
        assert!(cut(&(LONGEST_ANSWER as i32).to_be_bytes(), LONGEST_ANSWER).unwrap().is_none());
    }

    #[test]
    fn answers_are_read_and_cut_off_ones_refused() {
        let frame = [&5i32.to_be_bytes()[..], &9i64.to_be_bytes(), &(-101i32).to_be_bytes(), b"body"].concat();
        assert_eq!(reply(&frame).unwrap(), Reply { xid: 5, zxid: 9, error: -101, body: b"body" });
        for length in 0..16 {
            assert!(reply(&frame[..length]).is_err(), "{length} bytes");
        }
        let answer = |timeout_ms: i32| {
            let mut out = [&0i32.to_be_bytes()[..], &timeout_ms.to_be_bytes(), &77i64.to_be_bytes()].concat();
            buffer(&mut out, &[7; 16]);
            out
        };
        let expected = Granted { session: 77, password: [7; 16], timeout_ms: 4000 };
        assert_eq!(granted(&answer(4000)).unwrap(), Some(expected));
        assert_eq!(granted(&answer(0)).unwrap(), None, "an expired session");
        for length in 0..36 {
            assert!(granted(&answer(4000)[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn a_multi_holds_its_parts_and_an_end() {
        let multi = made(|out| {
            multi(out, 3, op::MULTI, |out| part(out, op::DELETE, |out| delete_record(out, "/a")));
        });
        let parts = [0, 0, 0, 2, 0, 255, 255, 255, 255, 0, 0, 0, 2, b'/', b'a', 255, 255, 255, 255];
        assert_eq!(multi[4..12], [0, 0, 0, 3, 0, 0, 0, 14]);
        assert_eq!(multi[12..31], parts);
        assert_eq!(multi[31..], [255, 255, 255, 255, 1, 255, 255, 255, 255]);
    }

    #[test]
    fn the_error_of_a_failed_multi_is_found_in_its_results() {
        let result = |error: i32| {
            let mut out = vec![];
            int(&mut out, -1);
            out.push(0);
            int(&mut out, error);
            int(&mut out, error);
            out
        };
        let end = [255, 255, 255, 255, 1, 255, 255, 255, 255];
        assert_eq!(multi_error(&[&result(0)[..], &result(-103), &result(-2), &end].concat()), -103);
        let deleted = [0, 0, 0, 2, 0, 0, 0, 0, 0];
        assert_eq!(multi_error(&[&deleted[..], &end].concat()), 0);
        assert_eq!(multi_error(&result(-103)[..11]), 0, "cut off");
    }

    #[test]
    fn lists_and_events_are_read_and_cut_off_ones_refused() {
        let mut list = vec![];
        int(&mut list, 2);
        buffer(&mut list, b"a");
        buffer(&mut list, b"bc");
        assert_eq!(strings(&list).unwrap(), ["a", "bc"]);
        assert!((0..list.len()).all(|length| strings(&list[..length]).is_err()));
        assert!(strings(&i32::MAX.to_be_bytes()).is_err());
        let mut happened = vec![];
        int(&mut happened, 3);
        int(&mut happened, 3);
        buffer(&mut happened, b"/a");
        assert_eq!(event(&happened).unwrap(), (3, "/a".to_owned()));
        assert!((0..happened.len()).all(|length| event(&happened[..length]).is_err()));
    }
}

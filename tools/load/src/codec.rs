//! The client's side of the wire: the few requests a load needs, and what comes back.
//!
//! Requests are appended to a buffer as whole frames (length, header, record); answers are borrowed from the buffer
//! they arrived in. Bytes of a server are checked before they are believed: a frame longer than `LONGEST_FRAME` or
//! shorter than its header ends the measurement. Shapes: ZooKeeper 3.9, zookeeper.jute.

use crate::failure::{Failure, Result};

/// No server sends a longer frame for the requests made here. Bytes.
pub const LONGEST_FRAME: usize = 4 << 20;
/// The transaction id of a ping and of its answer.
pub const PING_XID: i32 = -2;
/// The transaction id of a watch event.
pub const EVENT_XID: i32 = -1;
/// A create of a znode that exists.
pub const NODE_EXISTS: i32 = -110;
/// A password of a session that is asked for.
const NO_PASSWORD: [u8; 16] = [0; 16];
/// The permissions read, write, create, delete and admin, of the identity world:anyone.
const ALL: i32 = 31;

/// The operations' codes in a request header.
pub mod op {
    pub const CREATE: i32 = 1;
    pub const DELETE: i32 = 2;
    pub const GET_DATA: i32 = 4;
    pub const SET_DATA: i32 = 5;
    pub const PING: i32 = 11;
    pub const MULTI: i32 = 14;
    pub const CLOSE: i32 = -11;
}

/// A connect request for a new session of `timeout_ms` milliseconds.
pub fn connect(out: &mut Vec<u8>, timeout_ms: i32) {
    framed(out, |out| {
        int(out, 0);
        out.extend_from_slice(&0i64.to_be_bytes());
        int(out, timeout_ms);
        out.extend_from_slice(&0i64.to_be_bytes());
        buffer(out, &NO_PASSWORD);
        out.push(0);
    });
}

/// A read of a znode's data; `watch` leaves a one-shot watch.
pub fn get(out: &mut Vec<u8>, xid: i32, path: &str, watch: bool) {
    request(out, xid, op::GET_DATA, |out| {
        buffer(out, path.as_bytes());
        out.push(watch.into());
    });
}

/// A write of a znode's data, whatever its version.
pub fn set(out: &mut Vec<u8>, xid: i32, path: &str, data: &[u8]) {
    request(out, xid, op::SET_DATA, |out| {
        buffer(out, path.as_bytes());
        buffer(out, data);
        int(out, -1);
    });
}

/// A persistent znode that is open to everybody.
pub fn create(out: &mut Vec<u8>, xid: i32, path: &str, data: &[u8]) {
    request(out, xid, op::CREATE, |out| {
        buffer(out, path.as_bytes());
        buffer(out, data);
        int(out, 1);
        int(out, ALL);
        buffer(out, b"world");
        buffer(out, b"anyone");
        int(out, 0);
    });
}

/// A delete, whatever the version.
pub fn delete(out: &mut Vec<u8>, xid: i32, path: &str) {
    request(out, xid, op::DELETE, |out| {
        buffer(out, path.as_bytes());
        int(out, -1);
    });
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

/// The first whole frame in `bytes` without its length, and how many bytes of `bytes` it takes.
pub fn cut(bytes: &[u8]) -> Result<Option<(&[u8], usize)>> {
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else { return Ok(None) };
    let length = usize::try_from(i32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    if length > LONGEST_FRAME {
        return Err(Failure::new(format!("a frame claims {length} bytes")));
    }
    Ok(rest.get(..length).map(|frame| (frame, 4 + length)))
}

/// The header of an answer, and what follows it.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    pub xid: i32,
    /// 0, or the error's code.
    pub error: i32,
    pub body: &'a [u8],
}

/// Reads an answer.
pub fn reply(frame: &[u8]) -> Result<Reply<'_>> {
    match (int_at(frame, 0), int_at(frame, 12)) {
        (Some(xid), Some(error)) => Ok(Reply { xid, error, body: &frame[16..] }),
        _ => Err(Failure::new(format!("an answer of {} bytes has no header", frame.len()))),
    }
}

/// The session that was granted.
#[derive(Debug, PartialEq, Eq)]
pub struct Granted {
    pub session: i64,
    pub timeout_ms: i32,
}

/// Reads the answer to a connect request; a refusal is an error.
pub fn granted(frame: &[u8]) -> Result<Granted> {
    let session = frame.get(8..16).map(|id| i64::from_be_bytes(id.try_into().expect("eight bytes")));
    match (int_at(frame, 4), session) {
        (Some(timeout_ms), Some(session)) if timeout_ms > 0 => Ok(Granted { session, timeout_ms }),
        (Some(_), Some(_)) => Err(Failure::new("the server refuses the session")),
        _ => Err(Failure::new("the server answers the connect request with something else")),
    }
}

/// The integer at `at`.
pub fn int_at(bytes: &[u8], at: usize) -> Option<i32> {
    bytes.get(at..at + 4).map(|four| i32::from_be_bytes(four.try_into().expect("four bytes")))
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
        let connect = made(|out| connect(out, 30_000));
        assert_eq!(connect.len(), 4 + 4 + 8 + 4 + 8 + 4 + 16 + 1);
        assert_eq!(connect[..4], [0, 0, 0, 45]);
        assert_eq!(connect[16..20], 30_000i32.to_be_bytes());
        let get = made(|out| get(out, 7, "/a", true));
        assert_eq!(get, [0, 0, 0, 15, 0, 0, 0, 7, 0, 0, 0, 4, 0, 0, 0, 2, b'/', b'a', 1]);
        let set = made(|out| set(out, 8, "/a", b"v"));
        let expected =
            [0, 0, 0, 23, 0, 0, 0, 8, 0, 0, 0, 5, 0, 0, 0, 2, b'/', b'a', 0, 0, 0, 1, b'v', 255, 255, 255, 255];
        assert_eq!(set, expected);
        let create = made(|out| create(out, 9, "/a", b""));
        assert_eq!(create[4..12], [0, 0, 0, 9, 0, 0, 0, 1]);
        assert_eq!(create[12..30], [0, 0, 0, 2, b'/', b'a', 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 31]);
        assert_eq!(create[30..], *b"\0\0\0\x05world\0\0\0\x06anyone\0\0\0\0");
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
            assert!(cut(&whole[..length]).unwrap().is_none(), "{length} bytes");
        }
        let two = [&whole[..], b"\0\0"].concat();
        assert_eq!(cut(&two).unwrap(), Some((&b"abcdef"[..], 10)));
    }

    #[test]
    fn lengths_that_cannot_be_are_refused() {
        assert!(cut(&(-1i32).to_be_bytes()).is_err());
        assert!(cut(&(LONGEST_FRAME as i32 + 1).to_be_bytes()).is_err());
        assert!(cut(&(LONGEST_FRAME as i32).to_be_bytes()).unwrap().is_none());
    }

    #[test]
    fn answers_are_read_and_cut_off_ones_refused() {
        let frame = [&5i32.to_be_bytes()[..], &9i64.to_be_bytes(), &(-101i32).to_be_bytes(), b"body"].concat();
        assert_eq!(reply(&frame).unwrap(), Reply { xid: 5, error: -101, body: b"body" });
        for length in 0..16 {
            assert!(reply(&frame[..length]).is_err(), "{length} bytes");
        }
        let answer =
            |timeout_ms: i32| [&0i32.to_be_bytes()[..], &timeout_ms.to_be_bytes(), &77i64.to_be_bytes()].concat();
        assert_eq!(granted(&answer(4000)).unwrap(), Granted { session: 77, timeout_ms: 4000 });
        assert!(granted(&answer(0)).is_err(), "an expired session");
        for length in 0..16 {
            assert!(granted(&answer(4000)[..length]).is_err(), "{length} bytes");
        }
    }
}

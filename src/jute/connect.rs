//! The handshake: what a client says first, and what it is told.

use super::wire::{DecodeError, Reader, put_bool, put_bytes, put_frame, put_int, put_long};
use crate::ids::{PASSWORD_LEN, SessionId, Zxid};

/// The first frame of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ConnectRequest<'a> {
    /// The newest state the client has seen, on any server.
    pub last_zxid_seen: Zxid,
    /// The session timeout asked for, milliseconds.
    pub timeout_ms: i32,
    /// The session to resume, or [`SessionId::NONE`].
    pub session: SessionId,
    /// The password of that session; anything for a new one.
    pub password: &'a [u8],
    /// Whether a read-only server will do; `None` from a client too old to say. The reply has the byte
    /// only if the request had it.
    pub read_only: Option<bool>,
}

impl<'a> ConnectRequest<'a> {
    /// Decodes the payload of the first frame.
    pub(crate) fn decode(payload: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        reader.int()?; // protocol version: Java reads and ignores it
        Ok(ConnectRequest {
            last_zxid_seen: Zxid(reader.long()?),
            timeout_ms: reader.int()?,
            session: SessionId(reader.long()?),
            password: reader.buffer()?.unwrap_or_default(),
            read_only: if reader.rest().is_empty() { None } else { Some(reader.bool()?) },
        })
    }
}

/// Appends the ConnectResponse frame of an established session.
pub(crate) fn put_accepted(
    out: &mut Vec<u8>,
    session: SessionId,
    password: &[u8; PASSWORD_LEN],
    timeout_ms: i32,
    read_only: Option<bool>,
) {
    put_frame(out, |out| {
        put_int(out, 0);
        put_int(out, timeout_ms);
        put_long(out, session.0);
        put_bytes(out, password);
        if let Some(read_only) = read_only {
            put_bool(out, read_only);
        }
    });
}

/// Appends the ConnectResponse frame that says: this session is over (or was never yours).
pub(crate) fn put_refused(out: &mut Vec<u8>, read_only: Option<bool>) {
    put_accepted(out, SessionId::NONE, &[0; PASSWORD_LEN], 0, read_only);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_lengths_of_request() {
        let mut payload = vec![];
        put_int(&mut payload, 0);
        put_long(&mut payload, 5);
        put_int(&mut payload, 4000);
        put_long(&mut payload, 7);
        put_bytes(&mut payload, &[1; 16]);
        assert_eq!(payload.len(), 44);
        let old = ConnectRequest::decode(&payload).unwrap();
        assert_eq!((old.read_only, old.session, old.timeout_ms), (None, SessionId(7), 4000));
        payload.push(1);
        assert_eq!(ConnectRequest::decode(&payload).unwrap().read_only, Some(true));
        assert!(ConnectRequest::decode(&payload[..30]).is_err());
    }

    #[test]
    fn response_sizes_are_those_observed() {
        let mut out = vec![];
        put_accepted(&mut out, SessionId(1), &[2; 16], 10_000, Some(false));
        assert_eq!(out.len(), 4 + 37);
        out.clear();
        put_refused(&mut out, None);
        assert_eq!(out.len(), 4 + 36);
        assert_eq!(out[8..], [&[0; 12][..], &[0, 0, 0, 16], &[0; 16]].concat());
    }
}

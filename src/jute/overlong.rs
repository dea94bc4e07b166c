//! Passing over a forwarded request that is longer than a leader takes: its data, or who its client is.
//!
//! A learner passes on what its clients send. One of another kind, or with a larger limit for frames, passes on what is too
//! long here; ending its connection for that would let one client end the service of all of its others. So the request is
//! read to its end, nothing of it is kept but whose it is, and it is answered as one that cannot be read.

use super::quorum::{PacketError, PacketType};
use super::wire::Reader;

/// Bytes of a packet before its data.
const HEAD: usize = 16;
/// Bytes of a request's data that say whose it is: session, cxid, operation.
const WHOSE: usize = 16;

/// Where it stands in such a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Overlong {
    whose: [u8; WHOSE],
    /// Bytes of the field it is in that are still to come.
    left: usize,
    /// Identities' fields behind that; `None` before their number is known.
    fields: Option<u64>,
}

impl Overlong {
    /// The request at the front of `bytes`, and how many of them are taken; `None` if more are needed to say whose it is.
    ///
    /// # Errors
    /// [`PacketError::Invalid`] if it is no request.
    pub(crate) fn begin(bytes: &[u8]) -> Result<Option<(Self, usize)>, PacketError> {
        let Some((head, rest)) = bytes.split_at_checked(HEAD) else { return Ok(None) };
        let number = |at: usize| Reader::new(&head[at..]).int().unwrap_or_default();
        let length = usize::try_from(number(HEAD - 4)).unwrap_or_default();
        if PacketType::from_wire(number(0)) != PacketType::Request || length < WHOSE {
            return Err(PacketError::Invalid);
        }
        let whose = rest.first_chunk::<WHOSE>();
        Ok(whose.map(|whose| (Overlong { whose: *whose, left: length - WHOSE, fields: None }, HEAD + WHOSE)))
    }

    /// Passes over what has come. Returns how many bytes were taken, and whether the request is over.
    ///
    /// # Errors
    /// [`PacketError::Invalid`] where a length is none.
    pub(crate) fn skip(&mut self, bytes: &[u8]) -> Result<(usize, bool), PacketError> {
        let mut done = 0;
        loop {
            let part = self.left.min(bytes.len() - done);
            done += part;
            self.left -= part;
            if self.left > 0 {
                return Ok((done, false));
            }
            if self.fields == Some(0) {
                return Ok((done, true));
            }
            let Ok(number) = Reader::new(&bytes[done..]).int() else { return Ok((done, false)) };
            done += 4;
            let number = match number {
                -1 => 0, // null
                number => u32::try_from(number).map_err(|_| PacketError::Invalid)?,
            };
            match &mut self.fields {
                None => self.fields = Some(2 * u64::from(number)),
                Some(fields) => {
                    *fields -= 1;
                    self.left = number as usize;
                }
            }
        }
    }

    /// Session, cxid and operation, as the data of a request without a body.
    pub(crate) fn whose(&self) -> &[u8] {
        &self.whose
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{SessionId, Zxid};
    use crate::jute::quorum::{ForwardedRequest, Packet, put_identity};
    use crate::jute::wire::{put_int, put_long};
    use crate::limits::FORWARDED_IDENTITY_BYTES;

    #[test]
    fn a_request_is_passed_over_however_it_comes() {
        let request = ForwardedRequest { session: SessionId(7), cxid: 8, op: 5, body: &[b'b'; 300] };
        let mut data = vec![];
        request.put(&mut data);
        let mut wire = vec![];
        put_int(&mut wire, PacketType::Request.wire());
        put_long(&mut wire, -1);
        put_int(&mut wire, data.len() as i32);
        wire.extend_from_slice(&data);
        put_int(&mut wire, 2);
        put_identity(&mut wire, b"digest", &vec![b'i'; FORWARDED_IDENTITY_BYTES]);
        put_identity(&mut wire, b"ip", b"::1");
        let end = wire.len();
        Packet::bare(PacketType::Ping, Zxid(3)).put(&mut wire);

        assert!(Packet::decode(&wire, 100).is_err() && Packet::decode(&wire, 1000).is_err());
        assert!((0..32).all(|length| Overlong::begin(&wire[..length]) == Ok(None)));
        for step in [1, 7, wire.len()] {
            let (mut overlong, mut at) = Overlong::begin(&wire).unwrap().unwrap();
            loop {
                let come = (at + step).min(wire.len());
                let (taken, over) = overlong.skip(&wire[at..come]).unwrap();
                at += taken;
                if over {
                    break;
                }
                // What does not make a number waits for the rest of it.
                if taken == 0 {
                    let (taken, over) = overlong.skip(&wire[at..at + 4]).unwrap();
                    assert!(taken == 4 || over);
                    at += taken;
                    if over {
                        break;
                    }
                }
            }
            assert_eq!(at, end, "in steps of {step}");
            let bare = ForwardedRequest::decode(overlong.whose()).unwrap();
            assert_eq!(bare, ForwardedRequest { body: &[], ..request });
        }
        assert_eq!(Overlong::begin(&wire[end..]), Err(PacketError::Invalid), "no request");
        let (mut overlong, at) = Overlong::begin(&wire).unwrap().unwrap();
        wire[end - 40 - FORWARDED_IDENTITY_BYTES..].fill(0xfe);
        assert_eq!(overlong.skip(&wire[at..]), Err(PacketError::Invalid));
    }
}

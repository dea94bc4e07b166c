//! The primitive types of jute: big-endian integers, length-prefixed buffers and strings, vectors.
//!
//! A [`Reader`] borrows from the bytes it is given and returns an error where they end early or lie about
//! a length. The writers append to a `Vec<u8>`; a frame's length word is filled in when the frame is done.

use std::fmt;

/// Why bytes could not be read as the record they should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DecodeError {
    /// The bytes end before the record does.
    Short,
    /// A length is below -1, or a value is none of its enumeration.
    Invalid,
    /// A field that must be there (a path) is null.
    Null,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DecodeError::Short => "the record is longer than its bytes",
            DecodeError::Invalid => "a length or a value is out of range",
            DecodeError::Null => "a required field is null",
        })
    }
}

impl std::error::Error for DecodeError {}

/// Reads primitives from the front of a byte slice.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    /// What has not been read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Takes the next `n` bytes.
    #[inline]
    pub(crate) fn bytes(&mut self, n: usize) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self.rest.split_at_checked(n).ok_or(DecodeError::Short)?;
        self.rest = rest;
        Ok(head)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(DecodeError::Short)?;
        self.rest = rest;
        Ok(*head)
    }

    /// A 32-bit signed integer.
    #[inline]
    pub fn int(&mut self) -> Result<i32, DecodeError> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    /// A 64-bit signed integer.
    #[inline]
    pub fn long(&mut self) -> Result<i64, DecodeError> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    /// A boolean; any byte but zero is true.
    #[inline]
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        Ok(self.array::<1>()?[0] != 0)
    }

    /// A buffer or string; `None` for null, which is not the same as empty.
    #[inline]
    pub(crate) fn buffer(&mut self) -> Result<Option<&'a [u8]>, DecodeError> {
        match self.int()? {
            -1 => Ok(None),
            n if n < 0 => Err(DecodeError::Invalid),
            n => self.bytes(n as usize).map(Some),
        }
    }

    /// A string that may not be null: a path.
    #[inline]
    pub fn string(&mut self) -> Result<&'a [u8], DecodeError> {
        self.buffer()?.ok_or(DecodeError::Null)
    }

    /// A vector's element count; `None` for null. Other negative counts read as empty, as in Java.
    #[inline]
    pub(crate) fn count(&mut self) -> Result<Option<usize>, DecodeError> {
        match self.int()? {
            -1 => Ok(None),
            n => Ok(Some(n.max(0) as usize)),
        }
    }

    /// A vector of strings, kept as bytes after each was checked once.
    pub(crate) fn strings(&mut self) -> Result<Strings<'a>, DecodeError> {
        let count = self.count()?.unwrap_or(0);
        let start = self.rest;
        for _ in 0..count {
            self.string()?;
        }
        Ok(Strings { bytes: &start[..start.len() - self.rest.len()] })
    }
}

/// A checked vector of strings, borrowed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Strings<'a> {
    bytes: &'a [u8],
}

impl<'a> Strings<'a> {
    /// The strings in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut reader = Reader::new(self.bytes);
        std::iter::from_fn(move || reader.string().ok())
    }

    /// Those behind the first so many bytes, which are whole strings with their lengths.
    pub(crate) fn behind(&self, bytes: usize) -> Strings<'a> {
        Strings { bytes: &self.bytes[bytes..] }
    }

    /// No string in it.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// Appends a 32-bit integer.
#[inline]
pub fn put_int(out: &mut Vec<u8>, value: i32) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Appends 32-bit integers, all at once: whether there is room is asked once.
#[inline]
pub(crate) fn put_words<const N: usize>(out: &mut Vec<u8>, words: [u32; N]) {
    out.extend_from_slice(words.map(u32::to_be_bytes).as_flattened());
}

/// A 64-bit integer as two words of [`put_words`].
#[inline]
pub(crate) fn halves(value: i64) -> [u32; 2] {
    [(value >> 32) as u32, value as u32]
}

/// Appends a 64-bit integer.
#[inline]
pub fn put_long(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Appends a boolean.
#[inline]
pub fn put_bool(out: &mut Vec<u8>, value: bool) {
    out.push(u8::from(value));
}

/// Appends a buffer or string that is there.
#[inline]
pub fn put_bytes(out: &mut Vec<u8>, value: &[u8]) {
    put_int(out, value.len() as i32);
    out.extend_from_slice(value);
}

/// Appends a buffer or string that may be null.
#[inline]
pub fn put_buffer(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        Some(bytes) => put_bytes(out, bytes),
        None => put_int(out, -1),
    }
}

/// Appends one frame: the length word, then what `body` appends.
#[inline]
pub(crate) fn put_frame(out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    put_int(out, 0);
    body(out);
    close_frame(out, start);
}

/// Fills in the length word of the frame that begins at `start` and ends where `out` does.
#[inline]
pub(crate) fn close_frame(out: &mut [u8], start: usize) {
    let length = (out.len() - start - 4) as i32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_and_empty_are_two_things() {
        let mut out = vec![];
        put_buffer(&mut out, None);
        put_buffer(&mut out, Some(b""));
        let mut reader = Reader::new(&out);
        assert_eq!(reader.buffer(), Ok(None));
        assert_eq!(reader.buffer(), Ok(Some(&b""[..])));
        assert_eq!(reader.int(), Err(DecodeError::Short));
    }

    #[test]
    fn lengths_that_lie_are_errors() {
        for bytes in [&[0x7f, 0xff, 0xff, 0xff][..], &[0xff, 0xff, 0xff, 0xfe], &[0, 0, 0, 2, 1], &[0]] {
            assert!(Reader::new(bytes).buffer().is_err(), "{bytes:?}");
        }
        // A count of two billion strings must neither allocate nor loop: the first missing string ends it.
        assert!(Reader::new(&[0x7f, 0xff, 0xff, 0xff]).strings().is_err());
        assert!(Reader::new(&[0xff, 0xff, 0xff, 0xf0]).strings().unwrap().is_empty());
    }

    #[test]
    fn a_frame_knows_its_length() {
        let mut out = vec![9];
        put_frame(&mut out, |out| put_long(out, -1));
        assert_eq!(out[..6], [9, 0, 0, 0, 8, 0xff]);
    }
}

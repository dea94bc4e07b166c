//! What a read of a transport may give.

/// What has come of a read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Received {
    /// So many bytes, at least one, stand at the beginning of the buffer.
    Bytes(usize),
    /// No plaintext yet: nothing came, or only a part of a record, or the transport's own words.
    Nothing,
    /// The other side has said that it sends nothing more. It may still read.
    End,
}

//! What a stranger has sent, as it may stand in a line of the log or in the text of an error.

use crate::limits;
use std::fmt;

/// Bytes of a stranger's: shown as printable ASCII, and no more of them than [`limits::SHOWN_BYTES`].
pub(crate) struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0;
        write!(f, "{}", bytes[..bytes.len().min(limits::SHOWN_BYTES)].escape_ascii())?;
        if bytes.len() > limits::SHOWN_BYTES {
            write!(f, "... ({} bytes)", bytes.len())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_one_short_line_whatever_it_was() {
        assert_eq!(Escaped(b"/a b/c").to_string(), "/a b/c");
        assert_eq!(Escaped(b"\x1b[2J\r\n\xc3\xa9\0").to_string(), r"\x1b[2J\r\n\xc3\xa9\x00");
        let long = Escaped(&[b'\n'; 1 << 20]).to_string();
        assert!(long.len() < 3 * limits::SHOWN_BYTES && long.ends_with("... (1048576 bytes)"), "{long}");
    }
}

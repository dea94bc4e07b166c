//! Requests of real clients, written down by a proxy between them and their server, and played again.
//!
//! A proxy sees what a server's own log does not: reads, and when each client has asked for what. It works with every
//! client and every server, and nothing has to be switched on.
//!
//! The file: a line that names the format, then entries of
//!
//! | field | bytes |
//! |---|---|
//! | when, nanoseconds since the recording began | 8 |
//! | the connection's number | 4 |
//! | the frame's length | 4 |
//! | the frame as the client has sent it, without its length; none: the connection has ended | |
//!
//! all big-endian. A connection's first frame is its connect request. An entry that is cut off ends the recording.

mod proxy;
mod replay;

use crate::codec::LONGEST_REQUEST;
use crate::failure::{Failure, Result, While};
pub use proxy::record;
pub use replay::replay;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The first line of a file.
const HEADER: &[u8] = b"corral-load recording 1\n";
/// Bytes of an entry before its frame.
const ENTRY: usize = 8 + 4 + 4;
/// Longest recording that is played. Bytes.
const LONGEST: u64 = 4 << 30;
/// Most connections of a recording.
const CONNECTIONS: usize = 100_000;

/// A frame that was sent, or the end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    at_ns: u64,
    connection: u32,
    /// Where its frame lies in the file.
    start: usize,
    length: usize,
}

/// A recording in memory.
struct Recording {
    bytes: Vec<u8>,
    /// In order of time.
    entries: Vec<Entry>,
    connections: usize,
}

impl Recording {
    fn open(path: &Path) -> Result<Recording> {
        let doing = || format!("reading {}", path.display());
        let mut bytes = vec![];
        File::open(path).during(doing)?.take(LONGEST).read_to_end(&mut bytes).during(doing)?;
        Recording::parse(bytes).during(doing)
    }

    fn parse(bytes: Vec<u8>) -> Result<Recording> {
        if !bytes.starts_with(HEADER) {
            return Err(Failure::new("this is no recording"));
        }
        let mut entries = vec![];
        let mut at = HEADER.len();
        let mut connections = 0;
        while let Some((head, _)) = bytes[at..].split_first_chunk::<ENTRY>() {
            let number = |from: usize| u32::from_be_bytes(head[from..from + 4].try_into().expect("four bytes"));
            let at_ns = u64::from_be_bytes(head[..8].try_into().expect("eight bytes"));
            let (connection, length) = (number(8), number(12) as usize);
            if connection as usize >= CONNECTIONS || length > LONGEST_REQUEST {
                return Err(Failure::new(format!("the entry at byte {at} makes no sense")));
            }
            let start = at + ENTRY;
            if bytes.len() - start < length {
                break;
            }
            entries.push(Entry { at_ns, connection, start, length });
            connections = connections.max(connection as usize + 1);
            at = start + length;
        }
        // Threads have written them; each connection's own are in order already.
        entries.sort_by_key(|entry| entry.at_ns);
        Ok(Recording { bytes, entries, connections })
    }

    fn frame(&self, entry: &Entry) -> &[u8] {
        &self.bytes[entry.start..entry.start + entry.length]
    }
}

/// An entry's bytes.
fn entry(at_ns: u64, connection: u32, frame: &[u8]) -> Vec<u8> {
    let length = u32::try_from(frame.len()).expect("a frame is short");
    [&at_ns.to_be_bytes()[..], &connection.to_be_bytes(), &length.to_be_bytes(), frame].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_as_they_were_written() {
        let bytes = [HEADER, &entry(7, 0, b"abc"), &entry(3, 1, b"defg"), &entry(9, 0, b"")].concat();
        let recording = Recording::parse(bytes.clone()).unwrap();
        let read: Vec<(u64, u32, &[u8])> =
            recording.entries.iter().map(|entry| (entry.at_ns, entry.connection, recording.frame(entry))).collect();
        assert_eq!(read, [(3, 1, &b"defg"[..]), (7, 0, b"abc"), (9, 0, b"")]);
        assert_eq!(recording.connections, 2);
        for length in HEADER.len()..bytes.len() {
            let whole = Recording::parse(bytes[..length].to_vec()).unwrap().entries.len();
            assert!(whole < 3, "{length} bytes: what is cut off is left out");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert!(Recording::parse(b"corral".to_vec()).is_err());
        assert!(Recording::parse([HEADER, &entry(0, CONNECTIONS as u32, b"")].concat()).is_err());
        let mut long = [HEADER, &entry(0, 0, b"")].concat();
        let end = long.len();
        long[end - 4..].copy_from_slice(&u32::MAX.to_be_bytes());
        assert!(Recording::parse(long).is_err());
    }
}

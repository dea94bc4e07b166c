//! Snapshots: the state at one zxid in a file, complete or not there.
//!
//! A header, chunks of about a mebibyte (sessions, then ACL lists, then znodes), an index of the chunks and a
//! footer. Each chunk is an archive that is checked once and then read in place. The file is written aside and
//! gets its name when all of it is durable.

pub mod format;
pub mod load;
pub(crate) mod write;

//! The transaction log: segments of frames, one frame per group commit.
//!
//! A segment is a file of fixed, preallocated size: a header block that says what it continues, then frames,
//! each a whole number of blocks. Segments form a chain: every header names its predecessor, where that one
//! ends and the checksum of its last frame, and every frame carries the checksum of the frame before it. So
//! what belongs to the log is decided from its newest header backwards, and whatever lies beyond a named end,
//! in a skipped file, or in a recycled file from its earlier life is no part of it.

pub(crate) mod chain;
pub mod frame;
mod name;
pub(crate) mod reader;
pub mod seek;
pub mod segment;
pub mod writer;

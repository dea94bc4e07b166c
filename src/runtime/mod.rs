//! The edges: where clocks, sockets, files and threads are.
//!
//! Two edges stand on the same brains. With one or two cores everything runs in one thread and one loop (`single`). With
//! more, shards run on glommio executors and the quorum brain has a thread and a ring of its own (`sharded`). Both share the
//! socket loop (`net`), what carries the bytes of a connection (`transport`), the log's ring (`log_ring`) and the helper
//! threads that make segments and snapshots (`helpers`, what they finish goes through `outside`) and keep memory ready
//! (`memory`); `alarm` is when the quorum brain wants to be called. `start` puts a server together from its `data`. A
//! `member` of an ensemble has connections to the others (`peers`), in the same loop as the quorum brain; `ports` opens the
//! ports of both, and moves them. `machine` has the facts of the machine, `placement` pins threads, sets their priority and
//! locks memory, and `advice` recommends changes. `descriptors` holds the limits on file descriptors.

pub(crate) mod advice;
mod alarm;
mod certificates;
pub(crate) mod clock;
mod data;
mod descriptors;
pub(crate) mod disk;
mod handshakes;
mod helpers;
mod log_ring;
pub(crate) mod machine;
mod member;
pub mod memory;
mod net;
mod outside;
mod peers;
mod placement;
mod ports;
mod security;
mod sharded;
mod single;
mod start;
mod transport;
mod wake;

pub(crate) use data::key_hashes;
pub use start::{Server, run};

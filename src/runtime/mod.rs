//! The edges: where clocks, sockets, files and threads are.
//!
//! Two edges stand on the same brains. With one or two cores everything runs in one thread and one loop
//! (`single`). With more, shards run on glommio executors and the quorum brain has a thread and a ring of
//! its own (`sharded`). Both share the socket loop (`net`), the log's ring (`log_ring`) and the helper
//! threads that make segments and snapshots (`helpers`) and keep memory ready (`memory`). `start` puts a server together from its data.
//! `machine` is what they all run on, `placement` where on it, and `advice` what one would change about it.

pub mod advice;
pub mod clock;
pub mod disk;
mod helpers;
mod log_ring;
pub mod machine;
pub mod memory;
mod net;
mod placement;
mod sharded;
mod single;
mod start;
mod wake;

pub use start::{Server, run};

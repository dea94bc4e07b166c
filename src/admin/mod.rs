//! What administrators see: the four-letter words.
//!
//! [`word`] has the table of all words: which are allowed, what each needs and how it is answered. [`facts`] is what is known
//! about a server in plain data, [`words`] and [`mntr`] how ZooKeeper 3.9 prints it, [`machine`] what the operating system says,
//! [`sources`] what is known at any time, and [`plane`] answers for a running server.

pub mod facts;
mod java;
pub mod machine;
pub mod mntr;
pub mod plane;
pub mod sources;
pub mod word;
pub mod words;

/// Lines of the log that were left out, because there were too many of their kind.
pub(crate) static LOG_LINES_LEFT_OUT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

/// What Corral says where ZooKeeper gives its version: the version it speaks like, then its own. Clients and
/// monitoring read the first three numbers; the shape is ZooKeeper's `<version>-<commit>, built on <time>`.
pub(crate) const VERSION: &str =
    concat!("3.9.5-corral-", env!("CARGO_PKG_VERSION"), ", built on ", env!("CORRAL_BUILT"), " UTC");

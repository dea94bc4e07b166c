//! What administrators see: the four-letter words.
//!
//! [`word`] knows which words there are and which are allowed, [`facts`] what is known about a server in
//! plain data, [`words`] and [`mntr`] how ZooKeeper 3.9 prints it, [`machine`] what the operating system
//! says, and [`plane`] puts them together for a running server.

pub mod facts;
mod java;
pub mod machine;
pub mod mntr;
pub mod plane;
pub mod word;
pub mod words;

/// What Corral says where ZooKeeper gives its version: the version it speaks like, then its own. Clients and
/// monitoring read the first three numbers; the shape is ZooKeeper's `<version>-<commit>, built on <time>`.
pub const VERSION: &str =
    concat!("3.9.5-corral-", env!("CARGO_PKG_VERSION"), ", built on ", env!("CORRAL_BUILT"), " UTC");

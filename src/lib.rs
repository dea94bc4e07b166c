//! Corral: a coordination server that speaks ZooKeeper.
//!
//! The modules are the rooms of a house; a room uses only rooms on lower floors (`tests/tidy.rs` holds
//! this): `ids`, `cost`, `limits`, `fatal` < `escaped`, `gather`, `tls` < `jute`, `acl`, `session`, `config` < `tree`, `zab` < `watch`, `storage` <
//! `server` < `runtime`, `sim` < `admin`, `cli`. See `docs/architecture.md`.

// What only the crate sees is public within the crate; of tests that is not asked.
#![cfg_attr(not(test), warn(unreachable_pub))]
// What everybody sees says what it is, down to the fields.
#![warn(missing_docs)]

pub mod acl;
pub mod admin;
pub mod cli;
pub mod config;
pub mod cost;
mod escaped;
pub mod fatal;
mod gather;
pub mod ids;
pub mod jute;
pub mod limits;
pub mod runtime;
pub mod server;
mod session;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
pub mod storage;
pub mod tls;
pub mod tree;
pub mod watch;
pub mod zab;

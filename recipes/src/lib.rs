//! Locks, leaders, queues, caches and more on a ZooKeeper ensemble.
//!
//! A coordination service has small operations: create a znode, read it, watch it. What people build on them are recipes,
//! and each of them has traps: an answer that is lost with the connection, a session that ends while its owner sleeps, a
//! herd that wakes for one lock. This crate has the recipes without the traps, in async Rust, on the client crate
//! [`zookeeper_client`] and on any runtime. Its znodes have the names and the contents of Apache Curator's, so processes of
//! different languages share one lock.
//!
//! # Begin
//!
//! ```no_run
//! use corral_recipes::{Connection, RetryPolicy, ZooKeeper};
//!
//! # async fn example() -> corral_recipes::Result<()> {
//! let connection = Connection::open(ZooKeeper::new("127.0.0.1:2181"), RetryPolicy::default()).await?;
//! connection.ensure_path("/app/settings").await?;
//! connection.set("/app/settings", b"colour=green").await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What every call keeps to
//!
//! - **Sessions.** A [`Connection`] has one session at a time and opens the next one when it has ended. What belongs to a
//!   session (a lock, a place in a queue) ends with it, and says so.
//! - **Lost answers.** A connection can end after a create was carried out and before its answer came. Names with a GUID
//!   ([`Connection::create_protected`]) let the next attempt find what the first one made.
//! - **Cancellation.** A future may be dropped at any time. What it had created in the ensemble is deleted in the
//!   background for as long as its session lives, and by the ensemble when the session ends.
//! - **Backpressure.** No call queues work without a limit: a call is one request at a time, and whoever does not ask for the
//!   next event finds the newest state, not a list of all that were before it.
//! - **Tasks.** Background work runs as tasks of the caller's runtime; this crate starts no threads.
//!
//! # Where time and the network come from
//!
//! All recipes are written against the traits [`Ensemble`] and [`Session`]. [`ZooKeeper`] is the one of production. A test can
//! give another one whose clock, network and randomness it determines.

#![forbid(unsafe_code)]
#![warn(missing_docs, unreachable_pub)]

pub mod barrier;
pub mod cache;
mod claim;
mod connection;
pub mod counter;
pub mod discovery;
mod error;
pub mod group;
pub mod leader;
pub mod lock;
mod names;
pub mod queue;
mod retry;
mod session;
mod states;
mod transaction;
mod tree;
mod zookeeper;

pub use connection::Connection;
pub use error::{Error, Loss, Result};
pub use retry::RetryPolicy;
pub use session::{
    Created, Ensemble, EventStream, Operation, OperationResult, Session, StateWatch, TransactionError, Watch,
};
pub use states::{ConnectionState, ConnectionStates};
pub use transaction::Transaction;
pub use zookeeper::{ClientEvents, ZooKeeper};
/// The client crate: its types are part of this crate's interface.
pub use zookeeper_client;

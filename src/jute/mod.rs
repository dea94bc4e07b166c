//! ZooKeeper's wire format ("jute"), both directions, borrowing from the receive buffer.
//!
//! `wire` reads and writes the primitive types; `codes` names every number of the protocol; `records`
//! holds what requests, replies and transactions share; `request` and `connect` decode what clients send;
//! `reply` encodes what they get; `quorum`, `overlong` and `election` are what servers say to each other; `txn` is the log's and the peers' form of a change. Nothing here
//! allocates from a length or a count it has not checked against the bytes at hand.

pub mod codes;
pub(crate) mod connect;
pub mod election;
pub(crate) mod overlong;
pub mod quorum;
pub mod records;
pub mod reply;
pub mod request;
pub mod txn;
pub mod wire;

pub(crate) use codes::{AddWatchMode, AnsweredBy, CreateMode, Effect, PartOf, WatcherType, Work};
pub use codes::{ErrorCode, EventType, OpCode};
pub use records::{AclEntry, AclList, Stat, StatPersisted};
pub(crate) use request::Reconfig;
pub use request::{Create, MultiOps, Request, SetWatches};
pub(crate) use txn::Txn;
pub use txn::TxnHeader;
pub(crate) use wire::DecodeError;
pub(crate) use wire::Reader;

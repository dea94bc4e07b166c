//! One server, sans-io: the brains that the runtime and the simulator wire up alike.
//!
//! A [`shard::Shard`] owns connections: it cuts frames, answers reads, keeps each session's replies in order and fires
//! watches. The [`quorum::Quorum`] owns everything that has an order: it turns writes into transactions, hands them to
//! the log, and publishes them when they are durable (and committed, in an ensemble). The messages between them are in
//! [`message`]: shards send [`message::Inbound`], the quorum core publishes [`message::Batch`]es in one sequence that
//! every shard walks from start to end.

pub mod count;
pub mod facts;
pub mod inquiry;
pub mod memory;
pub mod message;
pub mod quorum;
pub(crate) mod read;
pub(crate) mod read_back;
pub mod rebuild;
mod scope;
pub mod shard;
pub mod snapshot;
pub mod stats;
mod wide;

#[cfg(test)]
mod tests;

//! Agreement: who is in the ensemble, who leads it, and in which order its transactions happen.
//!
//! State machines without a socket, a file, a clock or a random number: each takes an input and the time (monotonic
//! milliseconds) and returns outputs, which its owner carries out. What may leave before the log is durable, and what only
//! after, is a field of an output. A peer's bytes and a peer's order of messages may be anything; the outcome is a typed
//! reason, never a panic. Transactions are bytes with a zxid to them: nothing here knows what they say.
//!
//! `voters` says what a quorum is, `change` which one a reconfiguration asks for. `election` is FastLeaderElection: it names a leader. `links` keeps the
//! election's connections: one for each pair of servers. `leader` and `learner` are the two roles that an
//! election leads to, from discovery to broadcast. `epochs` holds the rules of the two epochs on disk,
//! `agreed` those of the secret that an ensemble shares,
//! `history` the end of the log in memory, `message` what a role sends and the gate that keeps it back until
//! what it waits for is durable.

pub mod agreed;
pub(crate) mod change;
pub(crate) mod election;
pub mod epochs;
pub mod history;
pub mod leader;
pub(crate) mod learner;
pub mod links;
pub(crate) mod message;
pub mod voters;

#[cfg(test)]
mod tests;

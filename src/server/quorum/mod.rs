//! The quorum brain: it puts everything in order, and uses no disk and no socket itself.
//!
//! Requests become transactions here, one after another, at the head of the tree, where readers do not look. Their
//! bytes gather for the log while one group is being written. When the edge reports that a group is on disk (and
//! committed, in an ensemble), its changes and answers are published to the shards as one batch. Clients learn nothing
//! of a transaction before that.
//!
//! In layers, from below: a `Core` holds the tree's head, the log and the sessions; its owner, a `Lone` server or a
//! `Member` of an ensemble, decides what the core does next; a [`Quorum`] is a core with its owner, and a loop drives
//! it in turns: [`Quorum::begin`] with the time, [`Quorum::step`] for each event, [`Quorum::ready`] for the work to do
//! outside, until there is none.

mod core;
mod interface;
mod lone;
mod member;
mod secrets;
mod turn;

pub(crate) use core::{Core, QuorumOptions};
pub(crate) use interface::Listen;
pub use interface::{Effect, EnsembleOptions, PeerInput, Record, ServerState};
pub(crate) use secrets::MemberSecrets;
pub(crate) use turn::Work;
pub use turn::{Input, Quorum};

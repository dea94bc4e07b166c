//! The quorum brain: everything that is ordered, without a disk or a socket in sight.
//!
//! Requests become transactions here, one after another, at the head of the tree where no reader looks.
//! Their bytes gather for the log while one group is being written; when the edge says that a group is on
//! disk, what it changed and what it answers are published to the shards as one batch. Nothing is
//! told to a client before that.
//!
//! A [`Core`] holds the tree's head, the log and the sessions; it is owned by a [`Lone`] server or by a [`Member`] of an
//! ensemble. A loop drives either in turns: [`Quorum::begin`] with the time, [`Quorum::step`] for everything that has happened,
//! [`Quorum::ready`] for what is to be done outside, until nothing is.

mod core;
mod interface;
mod lone;
mod member;
mod secrets;
mod turn;

pub(crate) use core::{Core, QuorumOptions, SnapshotRule};
pub use interface::{Effect, EnsembleOptions, PeerInput, Record, ServerState};
pub(crate) use interface::{Listen, RoleSettings};
pub use member::Member;
pub(crate) use secrets::MemberSecrets;
pub(crate) use turn::Work;
pub use turn::{Input, Quorum};

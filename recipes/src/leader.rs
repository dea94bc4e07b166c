//! Leaders: one of many processes acts, the others stand by.
//!
//! | | the others | as in |
//! |---|---|---|
//! | [`LeaderLatch`] | wait in line; the next one leads when the leader goes | Curator's `LeaderLatch` |
//! | [`LeaderSelector`] | the same, and the work is a function that is called when it is one's turn | Curator's `LeaderSelector`, kazoo's `Election` |
//! | [`Election`] | all try again when one znode goes | `/master` of the textbook |
//! | [`ActiveStandby`] | the same, and the ensemble refuses what a former active one still writes | Hadoop's elector |
//!
//! In each of them a leader that was stopped for longer than its session lived goes on for a moment without knowing.
//! [`Guard::run`](crate::lock::Guard::run) and the fencing token are for that, see [`lock`](crate::lock).

mod active;
mod election;
mod latch;
mod selector;

pub use active::{Active, ActiveStandby};
pub use election::Election;
pub use latch::LeaderLatch;
pub use selector::LeaderSelector;

//! The tree of znodes and everything that follows from it.
//!
//! `store` is the container: versions of znodes keyed by zxid, one writer, many readers. `state` is the
//! writer's side of it with what is not a znode: sessions, digest, and the sets of `index`. `prepare` turns
//! requests into transactions and carries them out at the head; `apply` carries out transactions that come
//! from a log or from a leader. Both change the tree through `mutate` alone, so that they agree; what takes longer than a turn
//! goes in slices (`under_way`).
//!
//! What is versioned besides znodes, and how it comes back on [`state::State::undo`]: the ephemeral, container,
//! and TTL sets follow the znodes that are undone; sessions, the digest and quotas have a journal; the texts of what quotas use
//! and of the configuration are znodes whose Stat does not move; an ACL goes when no version and no change names it.

mod applied;
pub mod apply;
pub mod change;
pub mod digest;
pub mod index;
mod multi;
mod mutate;
pub mod owner;
pub mod path;
mod prepare;
pub mod quota;
mod reap;
pub mod state;
pub mod store;
#[cfg(test)]
mod tests;
pub mod under_way;
mod usage;
pub mod walk;
mod work;

pub(crate) use apply::ApplyError;
pub use apply::Mode;
pub use change::{Change, ChangeKind, Changes};
pub use owner::OwnerRules;
pub use state::{Context, Outcome, State, StateOptions};

//! The tree of znodes and everything that follows from it.
//!
//! `store` is the container: versions of znodes keyed by zxid, one writer, many readers. `state` is the writer's side:
//! the store together with sessions, digest and the sets of `index`. `prepare` turns requests into transactions and
//! executes them at the head; `apply` executes transactions that come from a log or from a leader. Both change the tree
//! only through `mutate`, so that they agree; work that takes longer than a turn is done in slices (`under_way`).
//!
//! How [`state::State::undo`] restores what is not a znode: the ephemeral, container and TTL sets follow the znodes
//! that are undone; sessions, the digest and quotas have a journal. The texts of quotas' usage and of the configuration
//! are versions of znodes like others. An ACL is freed when no version and no change names it.

mod applied;
pub mod apply;
pub mod change;
pub(crate) mod digest;
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
pub(crate) mod under_way;
mod usage;
pub(crate) mod walk;
mod work;

pub(crate) use apply::ApplyError;
pub use apply::Mode;
pub use owner::OwnerRules;
pub use state::{Context, Outcome, State, StateOptions};

//! Why what is on a disk, or comes from a leader, does not make a state.

use crate::escaped::Escaped;
use crate::tree::ApplyError;
use crate::tree::state::LoadError;
use thiserror::Error;

/// Why the state does not take what it is handed.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ReplayError {
    /// A znode names an ACL list that did not come before it.
    #[error("ACL list {0} is not in the snapshot")]
    UnknownAcl(u32),
    /// No tree has such a znode.
    #[error("{}: {error}", Escaped(path))]
    Znode { path: Vec<u8>, error: LoadError },
    /// The tree is another one than the snapshot was taken of.
    #[error("the tree's digest is {ours:#x}, the snapshot says {theirs:#x}")]
    Digest { ours: u64, theirs: u64 },
    /// A transaction does not apply.
    #[error(transparent)]
    Txn(#[from] ApplyError),
}

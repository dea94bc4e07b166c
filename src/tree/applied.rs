//! The results of applying a transaction, beside the changes to the tree.

use crate::jute::TxnHeader;

/// What a transaction did to the session in its header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SessionEvent {
    Opened { timeout_ms: i32 },
    Closed,
}

/// How the tree's digest compares with the one the transaction carried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DigestCheck {
    /// The transaction carried none or one of another version, or digests are disabled.
    None,
    /// The transaction carried one, and the tree has the same.
    Same,
    /// The transaction carried one, and the tree has another.
    Differs {
        /// The digest in the transaction.
        carried: u64,
        /// The digest of the tree with the transaction.
        ours: u64,
    },
}

/// The results of a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Applied {
    pub header: TxnHeader,
    /// The code of an error transaction, or of a failed multi's failing member; otherwise 0.
    pub error: i32,
    pub session: Option<SessionEvent>,
    pub digest: DigestCheck,
    /// How many parts did not fit and were skipped: in fuzzy mode, and paths of a closeSession that did not exist.
    pub passed_over: u32,
}

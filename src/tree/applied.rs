//! What carrying out a transaction has done, besides changing the tree.

use crate::jute::TxnHeader;

/// What became of the session in a transaction's header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SessionEvent {
    Opened { timeout_ms: i32 },
    Closed,
}

/// How the tree's digest compares with the one the transaction carried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DigestCheck {
    /// It carried none, one of another version, or digests are disabled.
    None,
    Same,
    Differs {
        carried: u64,
        ours: u64,
    },
}

/// What a transaction did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Applied {
    pub header: TxnHeader,
    /// Of an error transaction: the code in it. Of a failed multi: that of its failing member. 0 else.
    pub error: i32,
    pub session: Option<SessionEvent>,
    pub digest: DigestCheck,
    /// Parts that did not fit and were passed over: in [`super::Mode::Fuzzy`], and paths of a closeSession that are gone.
    pub passed_over: u32,
}

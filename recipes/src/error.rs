//! What can go wrong, by what the caller can do about it.

use std::error::Error as _;
use std::time::Duration;
use zookeeper_client as zk;

/// The result of a recipe's call.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call of a recipe has failed.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The server's or the client's answer: repeating the same call would give the same one.
    #[error("{0}")]
    Client(#[from] zk::Error),
    /// The retry policy allows no further attempt; the last one failed for this reason.
    #[error("{what}: given up after {attempts} attempts: {last}")]
    GivenUp {
        /// What was attempted.
        what: &'static str,
        /// How often.
        attempts: u32,
        /// Why the last attempt failed.
        last: zk::Error,
    },
    /// The session ended, and with it what the call had been waiting in.
    #[error("the session has ended")]
    SessionEnded,
    /// The lock, the lease or the leadership may be somebody else's by now.
    #[error("{0}")]
    Lost(Loss),
    /// The time that the caller had given was over.
    #[error("not within {0:?}")]
    TimedOut(Duration),
    /// A znode has a content or a name that the recipe does not understand: somebody else's, most likely.
    #[error("{path}: {problem}")]
    Foreign {
        /// The znode.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The call cannot be carried out as it was made.
    #[error("{0}")]
    Misuse(&'static str),
}

/// Whether another attempt can have another outcome, and the session lives. Of requests that were under way the client says
/// what became of the connection: in the system's words (the pipe is broken) or in its own (no response in so many ms).
pub(crate) fn is_transient(error: &zk::Error) -> bool {
    match error {
        zk::Error::ConnectionLoss | zk::Error::Throttled | zk::Error::Timeout | zk::Error::NoHosts => true,
        zk::Error::Custom(custom) => custom.source().is_none_or(|source| source.is::<std::io::Error>()),
        _ => false,
    }
}

/// Whether the session has ended: what belonged to it is gone, and another one can be opened.
pub(crate) fn is_ended(error: &zk::Error) -> bool {
    matches!(error, zk::Error::SessionExpired | zk::Error::SessionMoved | zk::Error::ClientClosed)
}

/// What has become of a lock, a lease or a leadership.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Loss {
    /// The connection is broken. It may still be held, and it may end any moment; after a reconnection in time it is held on.
    #[error("the connection is broken, and the lock may be lost")]
    Suspended,
    /// The session has ended: it is lost.
    #[error("the session has ended, and the lock with it")]
    SessionEnded,
    /// Somebody has deleted its znode: it is lost.
    #[error("somebody has deleted the znode of the lock")]
    Deleted,
    /// Another one has become active, and the ensemble lets nobody else act: it is lost.
    #[error("another one is active, and has fenced this one off")]
    Fenced,
}

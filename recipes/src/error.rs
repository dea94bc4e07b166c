//! What can go wrong, by what the caller can do about it.

use std::error::Error as _;
use std::io;
use std::sync::Arc;
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
    /// What the caller held, or waited in, may be gone or somebody else's by now.
    #[error("{0}")]
    Lost(Loss),
    /// The time that the caller had given was over.
    #[error("not within {0:?}")]
    TimedOut(Duration),
    /// The answer to a change was lost with the connection, and what is there now does not tell whether it was carried out.
    #[error("the answer was lost: the change may have happened, or not")]
    InDoubt,
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
        zk::Error::Custom(custom) => custom.source().is_none_or(is_of_the_system),
        _ => false,
    }
}

/// Whether it is the system's. The client keeps it behind an `Arc`, which is an error of its own.
fn is_of_the_system(error: &(dyn std::error::Error + 'static)) -> bool {
    let shared = error.downcast_ref::<Arc<dyn std::error::Error + Send + Sync>>();
    error.is::<io::Error>() || shared.is_some_and(|error| error.is::<io::Error>())
}

/// Whether the session has ended: what belonged to it is gone, and another one can be opened.
pub(crate) fn is_ended(error: &zk::Error) -> bool {
    matches!(error, zk::Error::SessionExpired | zk::Error::SessionMoved | zk::Error::ClientClosed)
}

/// What has become of a lock, a lease, a leadership, or of a place in line for it.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Loss {
    /// The connection is broken. It may still be held, and it may end any moment; after a reconnection in time it is held on.
    #[error("the connection is broken, and what was held may be lost")]
    Suspended,
    /// The session has ended: it is lost.
    #[error("the session has ended, and with it what was held")]
    SessionEnded,
    /// Somebody has deleted its znode: it is lost.
    #[error("somebody has deleted the znode of what was held")]
    Deleted,
    /// Another one has become active, and the ensemble lets nobody else act: it is lost.
    #[error("another one is active, and has fenced this one off")]
    Fenced,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_errors_are_told_apart() {
        let shared: Arc<dyn std::error::Error + Send + Sync> = Arc::new(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(is_of_the_system(&shared));
        assert!(is_of_the_system(&io::Error::from(io::ErrorKind::ConnectionReset)));
        assert!(!is_of_the_system(&zk::Error::InvalidAcl));
        let other: Arc<dyn std::error::Error + Send + Sync> = Arc::new(zk::Error::InvalidAcl);
        assert!(!is_of_the_system(&other));
    }
}

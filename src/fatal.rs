//! The ways this process ends when it cannot go on: each with a name, an exit status and a remedy.
//!
//! Where truth is in doubt (a failed write, a damaged file, a directory of somebody else) the whole process
//! stops and says why in one line; nothing is retried and no half of a server stays behind. Scripts and
//! service managers read the exit status, people read the line: what happened, where, and what to do.

use std::fmt;
use std::io::Write;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $status:literal, $name:literal, $remedy:literal;)*) => {
        /// Why the process ends. One exit status per reason; a status is never given to another reason later.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Reason {
            $($(#[$doc])* $variant,)*
        }

        impl Reason {
            /// Every reason there is, in the order of their statuses.
            pub const ALL: &'static [Reason] = &[$(Reason::$variant,)*];

            /// The process's exit status.
            pub fn status(self) -> i32 {
                match self { $(Reason::$variant => $status,)* }
            }

            /// The name in the message, fit for a search in logs.
            pub fn name(self) -> &'static str {
                match self { $(Reason::$variant => $name,)* }
            }

            /// What the operator can do about it.
            pub fn remedy(self) -> &'static str {
                match self { $(Reason::$variant => $remedy,)* }
            }
        }
    };
}

reasons! {
    /// The configuration or the command line is wrong; every mistake is in the detail.
    BadConfig = 2, "bad-config", "correct the configuration and start again";
    /// The data directory was made by another server, another version, or is not a data directory.
    WrongDataDirectory = 3, "wrong-data-directory", "point dataDir at this server's own directory, or at an empty one";
    /// Another process has the data directory open.
    DataDirectoryLocked = 4, "data-directory-locked", "stop the other server, or give this one a dataDir of its own";
    /// The data directory cannot be created, read or written by this user.
    DataDirectoryUnusable = 5, "data-directory-unusable", "give this user read and write access to the path named";
    /// A write found no space.
    DiskFull = 10, "disk-full", "free space on that file system and start again; nothing acknowledged is lost";
    /// A read, write or sync failed. What the file holds is known only after a restart.
    DiskIo = 11, "disk-io", "check the disk and the kernel log, then start again; recovery verifies every file";
    /// A part of the log that had been durable is damaged.
    LogCorrupt = 12, "log-corrupt", "restore the data directory from a backup or another server; look with `corral log verify`";
    /// No snapshot is whole and the log does not reach back far enough to do without.
    SnapshotCorrupt = 13, "snapshot-corrupt", "restore a snapshot from a backup; look with `corral snapshot verify`";
    /// Transactions that were durable are missing: a file or a directory is gone.
    LogMissing = 14, "log-missing", "restore the missing log segments";
    /// A transaction of the log cannot be applied to the state before it.
    ReplayFailed = 15, "replay-failed", "keep the data directory for analysis and restore from a backup";
    /// The epochs this server promised and acknowledged cannot be read: it might vote against them.
    EpochsLost = 16, "epochs-lost", "bring the data directory back, or let this server begin with an empty one as a new member";
    /// A leader takes back what this server has, and nothing on this server's disk ends where it is to.
    CannotTruncate = 17, "cannot-truncate", "move the data away and let this server begin with an empty directory: its leader sends it everything";
    /// The kernel or a container's seccomp profile refuses io_uring.
    IoUringDenied = 20, "io-uring-denied", "allow io_uring_setup, io_uring_enter and io_uring_register in the container's seccomp profile";
    /// An address to listen on is taken.
    PortInUse = 21, "port-in-use", "stop the process that listens there, or choose another port";
    /// An address to listen on cannot be bound for another reason.
    CannotListen = 22, "cannot-listen", "choose an address of this machine and a port this user may use";
    /// A limit of the process (descriptors, locked memory) is too low for the configuration.
    LimitTooLow = 23, "limit-too-low", "raise the limit named (ulimit, systemd's Limit...=; too many open files: LimitNOFILE=, ulimit -n)";
    /// The system refused something the server cannot do without.
    System = 24, "system", "see the error named";
    /// A shard took in no commits for longer than its limit.
    ShardStalled = 30, "shard-stalled", "look for a stopped or starved CPU, and start again; nothing acknowledged is lost";
}

/// A reason with what happened and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fatal {
    pub(crate) reason: Reason,
    /// One line: what was being done, on which file or address, and the system's error.
    pub(crate) detail: String,
}

impl Fatal {
    /// A fatal failure with its detail.
    pub(crate) fn new(reason: Reason, detail: impl Into<String>) -> Fatal {
        Fatal { reason, detail: detail.into() }
    }
}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // One line whatever the detail holds: a log line is cut at the newline.
        let detail = self.detail.replace(['\n', '\r'], "; ");
        write!(f, "fatal {}: {detail}. Remedy: {}.", self.reason.name(), self.reason.remedy())
    }
}

impl std::error::Error for Fatal {}

/// Says why on standard error and ends the process with the reason's status. No destructor runs: whatever is
/// half done stays as a power loss would leave it, which recovery is made for.
pub(crate) fn exit(fatal: &Fatal) -> ! {
    // Nobody may be there to read it; the status tells all the same.
    let _ = writeln!(std::io::stderr(), "{fatal}");
    std::process::exit(fatal.reason.status())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_status_and_a_name_of_its_own() {
        for (at, reason) in Reason::ALL.iter().enumerate() {
            // 0 is success, 1 a panic or a failed command, 126 and above belong to shells and signals.
            assert!((2..126).contains(&reason.status()), "{reason:?}");
            for other in &Reason::ALL[..at] {
                assert!(other.status() < reason.status(), "{other:?} {reason:?}");
                assert_ne!(other.name(), reason.name());
            }
            assert!(!reason.remedy().is_empty() && !reason.remedy().ends_with('.'));
        }
    }

    #[test]
    fn the_message_is_one_line() {
        let fatal = Fatal::new(Reason::DiskFull, "write of log-1\nno space");
        assert_eq!(
            fatal.to_string(),
            "fatal disk-full: write of log-1; no space. Remedy: free space on that file system and start again; \
             nothing acknowledged is lost."
        );
    }
}

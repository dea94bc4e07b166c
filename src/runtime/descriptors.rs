//! File descriptors: how many the process may have, the shares of clients and servers, and a reserve for files that must be
//! opened.
//!
//! Clients and other servers' connections have a budget each, so that the files of the log and of snapshots have what they
//! need. If descriptors run out anyway (the whole system may have none left), one descriptor of the reserve is closed, and
//! opening the file is tried again.

use crate::fatal::{Fatal, Reason};
use crate::limits;
use crate::storage::disk::is_out_of_descriptors;
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// The shares of clients and servers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Budget {
    /// Clients' connections.
    pub clients: usize,
    /// Connections of other servers, and of strangers at the ports for servers.
    pub peers: usize,
}

impl Budget {
    /// Of a process that may open so many files, with so many shards; clients no more than `wanted` unless that is 0.
    pub(crate) fn of(open_files: usize, shards: usize, is_member: bool, wanted: usize) -> Budget {
        let room = open_files.saturating_sub(kept(shards));
        // A process with hardly any has clients all the same.
        let peers = if is_member { limits::PEER_SOCKETS.min(room / 2) } else { 0 };
        let room = (room - peers).max(1);
        Budget { clients: if wanted == 0 { room } else { wanted.min(room) }, peers }
    }
}

/// Descriptors that are no connections: files, rings, epoll sets, bells.
pub(super) fn kept(shards: usize) -> usize {
    limits::RESERVED_DESCRIPTORS + 8 * shards
}

/// Descriptors kept back.
#[derive(Debug)]
struct Reserve(Vec<File>);

static RESERVE: Mutex<Reserve> = Mutex::new(Reserve(Vec::new()));

/// Some of those kept back are in use.
static IS_SHORT: AtomicBool = AtomicBool::new(false);

/// Keeps some back from now on. For the start: what is opened first has the lowest numbers, which are there to be had again
/// also when the limit is lowered under a running process.
pub(crate) fn keep_some() -> Result<(), Fatal> {
    let mut reserve = RESERVE.lock().unwrap_or_else(PoisonError::into_inner);
    reserve
        .fill()
        .map_err(|error| Fatal::new(Reason::LimitTooLow, format!("the limit on open files: /dev/null: {error}")))
}

/// Opens a file that must not be refused for want of a descriptor: by `open`, which is called again after one that was kept
/// back has been given up.
pub(crate) fn opened<T>(open: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    RESERVE.lock().unwrap_or_else(PoisonError::into_inner).opened(open)
}

/// Whether connections may be accepted: not before those that were kept back are back.
pub(crate) fn may_accept() -> bool {
    !IS_SHORT.load(Relaxed) || keep_some().is_ok()
}

impl Reserve {
    fn fill(&mut self) -> io::Result<()> {
        while self.0.len() < limits::KEPT_DESCRIPTORS {
            self.0.push(File::open("/dev/null")?);
        }
        IS_SHORT.store(false, Relaxed);
        Ok(())
    }

    fn opened<T>(&mut self, mut open: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        let had = self.0.len();
        loop {
            match open() {
                Err(error) if is_out_of_descriptors(&error) && !self.0.is_empty() => {
                    self.0.pop();
                    IS_SHORT.store(true, Relaxed);
                }
                result => {
                    if self.0.len() < had {
                        tracing::error!(
                            left = self.0.len(),
                            "no descriptor was left, one that was kept back is used (raise the limit on open files)"
                        );
                    } else if had > 0 && had < limits::KEPT_DESCRIPTORS {
                        // Other descriptors may have been closed meanwhile; if not, the reserve is filled the next time.
                        let _ = self.fill();
                    }
                    return result;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_descriptors_before_connections() {
        let budget = |files, member| Budget::of(files, 1, member, 0);
        assert_eq!(budget(1024, false), Budget { clients: 1024 - 72, peers: 0 });
        let member = budget(1024, true);
        assert_eq!(member, Budget { clients: 1024 - 72 - limits::PEER_SOCKETS, peers: limits::PEER_SOCKETS });
        for files in 0..5_000 {
            let Budget { clients, peers } = budget(files, true);
            assert!(clients >= 1 && clients + peers <= files.saturating_sub(72).max(1), "{files}");
        }
        assert_eq!(Budget::of(1024, 1, true, 50).clients, 50);
        assert_eq!(Budget::of(100, 1, false, 50).clients, 28);
    }

    #[test]
    fn what_must_not_fail_has_descriptors_when_there_are_none() {
        let mut reserve = Reserve(vec![]);
        reserve.fill().unwrap();
        let count = limits::KEPT_DESCRIPTORS;
        // As many are free as the reserve has given up.
        for code in [libc::EMFILE, libc::ENFILE] {
            let mut tries = 0;
            let opened = reserve.opened(|| {
                tries += 1;
                if tries > 1 { Ok(7) } else { Err(io::Error::from_raw_os_error(code)) }
            });
            assert_eq!((opened.unwrap(), tries), (7, 2));
        }
        assert_eq!(reserve.0.len(), count - 2);
        // Another failure costs none, and there is room again.
        assert!(reserve.opened(|| Err::<(), _>(io::ErrorKind::NotFound.into())).is_err());
        assert_eq!(reserve.0.len(), count);
        // The end of it.
        let error = reserve.opened(|| Err::<(), _>(io::Error::from_raw_os_error(libc::EMFILE))).unwrap_err();
        assert!(is_out_of_descriptors(&error));
        assert_eq!(reserve.0.len(), 0);
    }
}

//! Whose data directory it is: a file that says so, a lock, and the secret of the sessions' passwords.
//!
//! The identity is made once, from random bytes, and every segment and snapshot carries it: a file from another
//! directory is recognised. A directory that holds something but has no identity is never adopted.

use super::disk::{self, Disk, DiskError};
use super::log::frame::DirectoryId;
use super::log::segment;
use super::snapshot::format;
use crate::fatal::{Fatal, Reason};
use std::path::{Path, PathBuf};

/// The version of the layout this program writes and reads.
pub const LAYOUT: u32 = 1;

const IDENTITY: &str = "identity";
const LOCK: &str = "lock";
const SECRET: &str = "session-secret";
/// The line that says that something may be missing.
const INCOMPLETE: &str = "incomplete";
const FIRST_LINE: &str = "corral data directory";
/// An identity file is a few lines; anything longer is none.
const LIMIT: usize = 4096;

/// What the identity file says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identity {
    pub directory: DirectoryId,
    /// The server's number in its ensemble; 0 for a standalone server.
    pub server: i64,
    /// A log has been begun here: from then on, no log at all means that it was lost.
    pub born: bool,
    /// Nothing this server has acknowledged to its ensemble is missing here. False after a start from nothing, or
    /// after an accepted loss, until a leader has brought the server up to date: see
    /// [`super::recovery::Standing`].
    pub complete: bool,
}

impl Identity {
    fn encode(&self) -> String {
        let Identity { directory, server, born, complete } = self;
        let mut text = format!("{FIRST_LINE} {LAYOUT}\nid {directory}\nserver {server}\nborn {born}\n");
        if !complete {
            text.push_str(INCOMPLETE);
            text.push('\n');
        }
        let checksum = crc32c::crc32c(text.as_bytes());
        format!("{text}checksum {checksum:08x}\n")
    }

    fn decode(bytes: &[u8]) -> Result<Identity, String> {
        let damaged = || "the file is damaged".to_string();
        let text = std::str::from_utf8(bytes).map_err(|_| damaged())?;
        let version = text.lines().next().and_then(|line| line.strip_prefix(FIRST_LINE)).ok_or_else(damaged)?;
        let version: u32 = version.trim().parse().map_err(|_| damaged())?;
        let (body, checksum) = text.rsplit_once("checksum ").ok_or_else(damaged)?;
        if checksum.len() != 9 || checksum != format!("{:08x}\n", crc32c::crc32c(body.as_bytes())) {
            return Err(damaged());
        }
        if version != LAYOUT {
            return Err(format!("it has layout version {version}, this program reads version {LAYOUT}"));
        }
        let field =
            |name: &str| body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).ok_or_else(damaged);
        let mut directory = [0; 16];
        let hex = field("id")?;
        if hex.len() != 32 || !hex.is_ascii() {
            return Err(damaged());
        }
        for (byte, at) in directory.iter_mut().zip((0..32).step_by(2)) {
            *byte = u8::from_str_radix(&hex[at..at + 2], 16).map_err(|_| damaged())?;
        }
        Ok(Identity {
            directory: DirectoryId(directory),
            server: field("server")?.parse().map_err(|_| damaged())?,
            born: field("born")?.parse().map_err(|_| damaged())?,
            complete: !body.lines().any(|line| line == INCOMPLETE),
        })
    }
}

/// A data directory that is this server's, locked as long as the value lives.
pub struct DataDirectory {
    pub identity: Identity,
    dir: PathBuf,
    _lock: Box<dyn Send + Sync>,
}

/// Locks and identifies the data directory `dir` of server number `server`, makes it if there is nothing yet.
/// `entropy` is 16 random bytes, used only for a new directory. `log_dir` may be the same.
pub fn open(
    disk: &dyn Disk,
    dir: &Path,
    log_dir: &Path,
    server: i64,
    entropy: [u8; 16],
) -> Result<DataDirectory, Fatal> {
    disk.make_dir(dir)?;
    disk.make_dir(log_dir)?;
    // Before the lock file is made: nothing is written into a directory that is not ours.
    let known = read(disk, dir)?;
    if known.is_none() {
        refuse_contents(disk, dir)?;
        refuse_contents(disk, log_dir)?;
    }
    let lock = disk.lock(&dir.join(LOCK))?.ok_or_else(|| {
        Fatal::new(Reason::DataDirectoryLocked, format!("another process uses the data directory {}", dir.display()))
    })?;
    // Read again under the lock: another process may have been the first.
    let identity = match read(disk, dir)? {
        Some(identity) if identity.server != server => {
            let what = format!("{} belongs to server {}, this is server {server}", dir.display(), identity.server);
            return Err(Fatal::new(Reason::WrongDataDirectory, what));
        }
        Some(identity) => identity,
        None => {
            let identity = Identity { directory: DirectoryId(entropy), server, born: false, complete: true };
            disk::replace_small(disk, dir, IDENTITY, identity.encode().as_bytes())?;
            identity
        }
    };
    Ok(DataDirectory { identity, dir: dir.to_path_buf(), _lock: lock })
}

impl DataDirectory {
    /// Notes that a log has been begun.
    pub fn mark_born(&mut self, disk: &dyn Disk) -> Result<(), DiskError> {
        self.write(disk, Identity { born: true, ..self.identity })
    }

    /// Notes that something may be missing here. Before the log is begun: whatever happens after that, the
    /// server remembers.
    pub fn mark_incomplete(&mut self, disk: &dyn Disk) -> Result<(), DiskError> {
        self.write(disk, Identity { complete: false, ..self.identity })
    }

    /// Notes that nothing is missing any more: a leader's history is here, durable, and its epoch too.
    pub fn mark_complete(&mut self, disk: &dyn Disk) -> Result<(), DiskError> {
        self.write(disk, Identity { complete: true, ..self.identity })
    }

    fn write(&mut self, disk: &dyn Disk, identity: Identity) -> Result<(), DiskError> {
        if identity != self.identity {
            disk::replace_small(disk, &self.dir, IDENTITY, identity.encode().as_bytes())?;
            self.identity = identity;
        }
        Ok(())
    }

    /// The secret under which session passwords are made; made from `entropy` if there is none. A damaged one is
    /// an error: a new one in silence would end every session.
    pub fn session_secret(&self, disk: &dyn Disk, entropy: [u8; 32]) -> Result<[u8; 32], Fatal> {
        let path = self.dir.join(SECRET);
        match disk::read_small(disk, &path, LIMIT) {
            Ok(bytes) => {
                let secret = bytes.split_last_chunk::<4>().and_then(|(secret, checksum)| {
                    let secret: [u8; 32] = secret.try_into().ok()?;
                    (crc32c::crc32c(&secret).to_le_bytes() == *checksum).then_some(secret)
                });
                secret.ok_or_else(|| {
                    let what = format!("{} is damaged; removing it ends every session", path.display());
                    Fatal::new(Reason::WrongDataDirectory, what)
                })
            }
            Err(error) if error.is_not_found() => {
                let mut bytes = entropy.to_vec();
                bytes.extend_from_slice(&crc32c::crc32c(&entropy).to_le_bytes());
                disk::replace_small(disk, &self.dir, SECRET, &bytes)?;
                Ok(entropy)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// The identity in `dir`, for tools that look without locking.
pub fn read(disk: &dyn Disk, dir: &Path) -> Result<Option<Identity>, Fatal> {
    let path = dir.join(IDENTITY);
    match disk::read_small(disk, &path, LIMIT) {
        Ok(bytes) => Identity::decode(&bytes)
            .map(Some)
            .map_err(|what| Fatal::new(Reason::WrongDataDirectory, format!("{}: {what}", path.display()))),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Refuses to make a directory ours that holds a server's data.
fn refuse_contents(disk: &dyn Disk, dir: &Path) -> Result<(), Fatal> {
    for name in disk.list(dir)? {
        let what = if name == "version-2" {
            // zkServer-initialize.sh leaves an empty one.
            if disk.list(&dir.join(&name)).is_ok_and(|inside| inside.is_empty()) {
                continue;
            }
            "holds ZooKeeper's data, which is imported, not adopted"
        } else if segment::named(&name).is_some() || format::zxid_of(&name).is_some() {
            "holds a server's data but no identity file"
        } else {
            continue;
        };
        return Err(Fatal::new(Reason::WrongDataDirectory, format!("{} {what} ({name})", dir.display())));
    }
    Ok(())
}

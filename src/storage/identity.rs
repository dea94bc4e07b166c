//! Whose data directory it is: a file that says so, a lock, and the secret of the sessions' passwords.
//!
//! The identity is made once, from random bytes, and every segment and snapshot carries it: a file from another
//! directory is recognised. A directory that holds something but has no identity is never adopted.
//!
//! A directory grows with its ensemble: a server on its own becomes a member with what it has, and a member may be left on its
//! own. What must not be is a directory that has voted and promised as one server and goes on as another: two servers could
//! then have one voice, and a quorum be none. Who may start on what, and whose it is from then on:
//!
//! | it is | alone, no id known | alone, or a member, with its id | with another id |
//! |---|---|---|---|
//! | new | nobody's (0) | that server's | |
//! | of a server that was never a member | stays as it is | stays | becomes that server's |
//! | of a member, present or past | is left alone | goes on, or is left alone | refused |
//!
//! It is a member's once its epochs are on disk ([`DataDirectory::mark_member`]).

use super::disk::{self, Disk, DiskError};
use super::log::frame::DirectoryId;
use super::log::segment;
use super::snapshot::format;
use crate::fatal::{Fatal, Reason};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// The version of the layout this program writes and reads.
pub(crate) const LAYOUT: u32 = 1;

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
pub(crate) struct Identity {
    pub directory: DirectoryId,
    /// The server's number in its ensemble; 0 where nobody has given it one.
    pub server: i64,
    pub past: Past,
    /// A log has been begun here: from then on, no log at all means that it was lost.
    pub born: bool,
    /// Nothing this server has acknowledged to its ensemble is missing here. False after a start from nothing, or
    /// after an accepted loss, until a leader has brought the server up to date: see
    /// [`super::eligibility::Eligibility`].
    pub complete: bool,
}

/// Why the identity file cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
enum IdentityError {
    #[error("the file is damaged")]
    Damaged,
    #[error("it has layout version {0}, this program reads version {LAYOUT}")]
    Layout(u32),
}

/// What a directory has been to an ensemble.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Past {
    /// Nothing: its server was always on its own. It has promised nothing, and its epochs are what its log says.
    Alone,
    /// A member's, that has voted or may have.
    Member,
    /// A member's, and its server has been on its own since. What it wrote then no quorum has agreed on.
    LeftAlone,
}

impl Past {
    /// In words, as the file has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Past::Alone => "alone",
            Past::Member => "member",
            Past::LeftAlone => "left-alone",
        }
    }
}

/// Who starts on a directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Starter {
    /// A server on its own, with the id that its files give it.
    Alone(Option<i64>),
    /// The member of that id.
    Member(i64),
}

impl Identity {
    fn encode(&self) -> String {
        let Identity { directory, server, past, born, complete } = self;
        let past = past.name();
        let mut text =
            format!("{FIRST_LINE} {LAYOUT}\nid {directory}\nserver {server}\nborn {born}\nensemble {past}\n");
        if !complete {
            text.push_str(INCOMPLETE);
            text.push('\n');
        }
        let checksum = crc32c::crc32c(text.as_bytes());
        format!("{text}checksum {checksum:08x}\n")
    }

    fn decode(bytes: &[u8]) -> Result<Identity, IdentityError> {
        let damaged = || IdentityError::Damaged;
        let text = std::str::from_utf8(bytes).map_err(|_| damaged())?;
        let version = text.lines().next().and_then(|line| line.strip_prefix(FIRST_LINE)).ok_or_else(damaged)?;
        let version: u32 = version.trim().parse().map_err(|_| damaged())?;
        let (body, checksum) = text.rsplit_once("checksum ").ok_or_else(damaged)?;
        if checksum.len() != 9 || checksum != format!("{:08x}\n", crc32c::crc32c(body.as_bytes())) {
            return Err(IdentityError::Damaged);
        }
        if version != LAYOUT {
            return Err(IdentityError::Layout(version));
        }
        let field =
            |name: &str| body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).ok_or_else(damaged);
        let mut directory = [0; 16];
        let hex = field("id")?;
        if hex.len() != 32 || !hex.is_ascii() {
            return Err(IdentityError::Damaged);
        }
        for (byte, at) in directory.iter_mut().zip((0..32).step_by(2)) {
            *byte = u8::from_str_radix(&hex[at..at + 2], 16).map_err(|_| damaged())?;
        }
        let server = field("server")?.parse().map_err(|_| damaged())?;
        let named = |past: &Past| field("ensemble").is_ok_and(|name| name == past.name());
        let past = match [Past::Alone, Past::Member, Past::LeftAlone].into_iter().find(named) {
            Some(past) => past,
            None if field("ensemble").is_ok() => return Err(damaged()),
            // Before this line was written a server on its own had no other number.
            None if server == 0 => Past::Alone,
            None => Past::Member,
        };
        Ok(Identity {
            directory: DirectoryId(directory),
            server,
            past,
            born: field("born")?.parse().map_err(|_| damaged())?,
            complete: !body.lines().any(|line| line == INCOMPLETE),
        })
    }
}

/// A data directory that is this server's, locked as long as the value lives.
pub(crate) struct DataDirectory {
    pub identity: Identity,
    dir: PathBuf,
    _lock: Box<dyn Send + Sync>,
}

/// Locks and identifies the data directory `dir` for who starts, makes it if there is nothing yet. See the module's table.
/// `entropy` is 16 random bytes, used only for a new directory. `log_dir` may be the same.
pub(crate) fn open(
    disk: &dyn Disk,
    dir: &Path,
    log_dir: &Path,
    starter: Starter,
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
    let found = read(disk, dir)?;
    let identity = match &found {
        Some(found) => taken_over(dir, found, starter)?,
        None => {
            let server = starter.id().unwrap_or(0);
            let directory = DirectoryId(entropy);
            Identity { directory, server, past: Past::Alone, born: false, complete: true }
        }
    };
    if found != Some(identity) {
        disk::replace_small(disk, dir, IDENTITY, identity.encode().as_bytes())?;
    }
    Ok(DataDirectory { identity, dir: dir.to_path_buf(), _lock: lock })
}

/// The table of this module, for a directory that was there.
fn taken_over(dir: &Path, found: &Identity, starter: Starter) -> Result<Identity, Fatal> {
    let server = starter.id().unwrap_or(found.server);
    match (found.past, starter) {
        (Past::Alone, _) => Ok(Identity { server, ..*found }),
        _ if server != found.server => {
            let (dir, whose) = (dir.display(), found.server);
            let what = format!(
                "{dir} belongs to server {whose} of an ensemble, this is server {server}: it has voted and promised as \
                 {whose}, and two servers must not have one voice. If it is server {whose} that starts, myid (or its \
                 only server line) has to say {whose}. If server {server} is a new one, take {whose} out of the ensemble \
                 by reconfig and start {server} with an empty directory: it gets everything from the others. If {whose} is \
                 all that is left, start it on its own with id {whose} and let others join it"
            );
            Err(Fatal::new(Reason::WrongDataDirectory, what))
        }
        (_, Starter::Alone(_)) => Ok(Identity { past: Past::LeftAlone, ..*found }),
        (_, Starter::Member(_)) => Ok(*found),
    }
}

impl Starter {
    fn id(self) -> Option<i64> {
        match self {
            Starter::Alone(id) => id,
            Starter::Member(id) => Some(id),
        }
    }
}

/// Locks a directory for a tool that changes something in it, as long as the value lives; whose it is stays as it is. `None` if
/// it is no data directory.
pub(crate) fn lock(disk: &dyn Disk, dir: &Path) -> Result<Option<DataDirectory>, Fatal> {
    if read(disk, dir)?.is_none() {
        return Ok(None);
    }
    let lock = disk.lock(&dir.join(LOCK))?.ok_or_else(|| {
        Fatal::new(Reason::DataDirectoryLocked, format!("another process uses the data directory {}", dir.display()))
    })?;
    let identity = read(disk, dir)?;
    Ok(identity.map(|identity| DataDirectory { identity, dir: dir.to_path_buf(), _lock: lock }))
}

impl DataDirectory {
    /// Notes that this is a member's, who may vote from now on: its epochs are on disk.
    pub(crate) fn mark_member(&mut self, disk: &dyn Disk) -> Result<(), DiskError> {
        self.write(disk, Identity { past: Past::Member, ..self.identity })
    }

    /// Notes that a log has been begun.
    pub(crate) fn mark_born(&mut self, disk: &dyn Disk) -> Result<(), DiskError> {
        self.write(disk, Identity { born: true, ..self.identity })
    }

    /// Notes that something may be missing here. Before the log is begun: whatever happens after that, the
    /// server remembers.
    pub(crate) fn mark_incomplete(&mut self, disk: &dyn Disk) -> Result<(), DiskError> {
        self.write(disk, Identity { complete: false, ..self.identity })
    }

    /// Notes that nothing is missing any more: a leader's history is here, durable, and its epoch too.
    pub(crate) fn mark_complete(&mut self, disk: &dyn Disk) -> Result<(), DiskError> {
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
    pub(crate) fn session_secret(&self, disk: &dyn Disk, entropy: [u8; 32]) -> Result<[u8; 32], Fatal> {
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
pub(crate) fn read(disk: &dyn Disk, dir: &Path) -> Result<Option<Identity>, Fatal> {
    let path = dir.join(IDENTITY);
    match disk::read_small(disk, &path, LIMIT) {
        Ok(bytes) => Identity::decode(&bytes)
            .map(Some)
            .map_err(|error| Fatal::new(Reason::WrongDataDirectory, format!("{}: {error}", path.display()))),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::disk::{Choices, SimDisk};

    const DIR: &str = "data";

    fn start(disk: &SimDisk, starter: Starter) -> Result<DataDirectory, Fatal> {
        let dir = Path::new(DIR);
        open(disk, dir, dir, starter, [7; 16])
    }

    /// Whose the directory is after these starts, each of which ends before the next.
    fn after(starters: &[Starter]) -> Result<(i64, Past), String> {
        let disk = SimDisk::new();
        for starter in starters {
            let mut directory = start(&disk, *starter).map_err(|fatal| fatal.detail)?;
            if let Starter::Member(_) = starter {
                directory.mark_member(&disk).unwrap();
            }
        }
        let crashed = disk.crash(disk.changes(), &mut Choices::drawn(1));
        let found = read(&crashed, Path::new(DIR)).unwrap().expect("an identity");
        Ok((found.server, found.past))
    }

    #[test]
    fn a_directory_grows_with_its_ensemble_and_shrinks_with_it() {
        use Starter::{Alone, Member};
        for (starters, expected) in [
            (&[Alone(None)][..], (0, Past::Alone)),
            (&[Alone(None), Alone(None)], (0, Past::Alone)),
            (&[Alone(Some(2))], (2, Past::Alone)),
            (&[Alone(None), Alone(Some(2))], (2, Past::Alone)),
            (&[Alone(Some(2)), Alone(None)], (2, Past::Alone)),
            (&[Alone(Some(2)), Alone(Some(3))], (3, Past::Alone)),
            (&[Alone(None), Member(1)], (1, Past::Member)),
            (&[Alone(Some(2)), Member(2)], (2, Past::Member)),
            (&[Alone(Some(2)), Member(3)], (3, Past::Member)),
            (&[Alone(None), Member(0)], (0, Past::Member)),
            (&[Member(3)], (3, Past::Member)),
            (&[Member(3), Alone(None)], (3, Past::LeftAlone)),
            (&[Member(3), Alone(Some(3)), Alone(None)], (3, Past::LeftAlone)),
            (&[Member(3), Alone(None), Member(3)], (3, Past::Member)),
            (&[Member(0), Alone(None)], (0, Past::LeftAlone)),
        ] {
            assert_eq!(after(starters), Ok(expected), "{starters:?}");
        }
    }

    #[test]
    fn who_has_voted_is_nobody_else() {
        use Starter::{Alone, Member};
        for starters in [
            &[Member(3), Member(4)][..],
            &[Member(3), Alone(Some(4))],
            &[Member(0), Member(4)],
            &[Alone(None), Member(3), Member(4)],
            &[Member(3), Alone(None), Member(4)],
        ] {
            let detail = after(starters).unwrap_err();
            for part in ["this is server 4", "two servers must not have one voice", "myid", "reconfig", "on its own"] {
                assert!(detail.contains(part), "{starters:?}: {detail}");
            }
        }
        // What is refused is left as it was.
        let disk = SimDisk::new();
        start(&disk, Member(3)).unwrap().mark_member(&disk).unwrap();
        let changes = disk.changes();
        assert!(start(&disk, Member(4)).is_err());
        assert_eq!(disk.changes(), changes);
    }

    #[test]
    fn identities_from_before_are_read() {
        let was = |server: i64| {
            let directory = DirectoryId([5; 16]);
            let text = format!("{FIRST_LINE} {LAYOUT}\nid {directory}\nserver {server}\nborn true\n");
            let text = format!("{text}checksum {:08x}\n", crc32c::crc32c(text.as_bytes()));
            Identity::decode(text.as_bytes()).unwrap()
        };
        assert_eq!((was(0).past, was(1).past), (Past::Alone, Past::Member));
        let odd = Identity { past: Past::Member, ..was(0) };
        assert_eq!(Identity::decode(odd.encode().as_bytes()), Ok(odd));
    }
}

//! The file of what a member's ensemble has agreed on: see [`crate::zab::agreed`].
//!
//! ```text
//! magic 8 | version u32 | checksum u32 | directory 16 | one or two times: epoch i64, agreement 33 bytes
//! ```
//! Numbers are little-endian, the checksum (CRC-32C) covers everything but itself. It is replaced as a whole: a power loss
//! leaves the old one or the new one. A directory without one is a new one, or was written by a version that had none.

use super::checksum_around;
use super::disk::{self, Disk, DiskError};
use super::identity::{Identity, Past};
use super::log::frame::DirectoryId;
use crate::fatal::{Fatal, Reason};
use crate::ids::Zxid;
use crate::session::{Passwords, SessionSecret};
use crate::zab::agreed::{AGREED_LEN, Agreed, Held};
use std::path::Path;

/// The file's name, in the directory of the snapshots.
pub(crate) const FILE: &str = "ensemble-secret";

const MAGIC: [u8; 8] = *b"CORRALES";
const VERSION: u32 = 1;
const HEAD: usize = 32;
const ENTRY: usize = 8 + AGREED_LEN;

/// What is written in `dir`, if anything is.
///
/// # Errors
/// If the file is damaged or another directory's: with another secret in silence every session would end.
pub(crate) fn read(disk: &dyn Disk, dir: &Path, directory: DirectoryId) -> Result<Option<Held>, Fatal> {
    let path = dir.join(FILE);
    let wrong = |what: &str| Fatal::new(Reason::WrongDataDirectory, format!("{} {what}", path.display()));
    match disk::read_small(disk, &path, HEAD + 2 * ENTRY) {
        Ok(bytes) => match decode(&bytes, directory) {
            Ok(held) => Ok(Some(held)),
            Err(Unread::Version(version)) => {
                Err(wrong(&format!("has format version {version}, written by a later version")))
            }
            Err(Unread::Damaged) => Err(wrong(
                "is damaged or of another directory; without it the server takes its leader's, and where it leads itself every \
                 session may end",
            )),
        },
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What a member goes on with, that has this secret of its own in its directory and heard this, and whose log ends at `last`. What
/// was always a server's on its own has its own secret, as the file in it says at the time, and sessions may be under it if
/// anything ever happened there. That is written down: from now on the directory is a member's.
pub(crate) fn of_member(
    (disk, dir, directory): (&dyn Disk, &Path, &Identity),
    own: SessionSecret,
    heard: Option<Held>,
    last: Zxid,
) -> Result<Held, DiskError> {
    if directory.past != Past::Alone {
        return Ok(heard.unwrap_or_else(|| Held::own(own, false)));
    }
    let held = Held::own(own, last > Zxid::ZERO);
    if held.newest().used && heard.as_ref() != Some(&held) {
        write(disk, dir, directory.directory, &held)?;
    }
    Ok(held)
}

/// How a server on its own makes passwords: as the ensemble did that it was left alone by, if it was. What it last heard there may
/// be of a leader that came to nothing: it counts if the log, which ends at `last`, has something of that leader's epoch, and is
/// taken in any case. That sessions are under it from now on is written down.
pub(crate) fn of_lone(
    (disk, dir, directory): (&dyn Disk, &Path, &Identity),
    own: SessionSecret,
    heard: Option<Held>,
    last: Zxid,
) -> Result<Passwords, DiskError> {
    let Some(heard) = heard.filter(|_| directory.past != Past::Alone) else { return Ok(Passwords::secret(own)) };
    let held = heard.left_alone(last.epoch());
    if held != heard {
        write(disk, dir, directory.directory, &held)?;
    }
    let also = vec![held.newest().secret, own];
    Ok(Passwords { also, ..Passwords::secret(held.at(last.epoch()).secret) })
}

/// Makes it durable.
pub(crate) fn write(disk: &dyn Disk, dir: &Path, directory: DirectoryId, held: &Held) -> Result<(), DiskError> {
    disk::replace_small(disk, dir, FILE, &encode(held, directory))
}

fn encode(held: &Held, directory: DirectoryId) -> Vec<u8> {
    let mut bytes = vec![];
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&directory.0);
    for (epoch, agreed) in held.entries() {
        bytes.extend_from_slice(&epoch.to_le_bytes());
        agreed.put(&mut bytes);
    }
    let checksum = checksum_around(&bytes);
    bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

enum Unread {
    Damaged,
    Version(u32),
}

fn decode(bytes: &[u8], directory: DirectoryId) -> Result<Held, Unread> {
    let (head, entries) = bytes.split_at_checked(HEAD).ok_or(Unread::Damaged)?;
    let u32_at = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("four bytes"));
    if head[..8] != MAGIC || checksum_around(bytes) != u32_at(12) {
        return Err(Unread::Damaged);
    }
    if u32_at(8) != VERSION {
        return Err(Unread::Version(u32_at(8)));
    }
    if head[16..] != directory.0 || !entries.len().is_multiple_of(ENTRY) {
        return Err(Unread::Damaged);
    }
    let entry = |entry: &[u8]| {
        let (epoch, agreed) = entry.split_first_chunk()?;
        Some((i64::from_le_bytes(*epoch), Agreed::decode(agreed)?))
    };
    let entries: Option<Vec<_>> = entries.chunks_exact(ENTRY).map(entry).collect();
    entries.and_then(Held::of).ok_or(Unread::Damaged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::SessionId;
    use crate::sim::disk::{Choices, SimDisk};

    const DIRECTORY: DirectoryId = DirectoryId([4; 16]);

    fn dir() -> &'static Path {
        Path::new("data")
    }

    fn held(secrets: &[u8]) -> Held {
        let entry = |(at, secret): (usize, &u8)| {
            (3 * at as i64, Agreed { secret: SessionSecret([*secret; 32]), everywhere: secret % 2 == 0, used: true })
        };
        Held::of(secrets.iter().enumerate().map(entry).collect()).unwrap()
    }

    #[test]
    fn it_is_read_as_it_was_written_or_not_at_all() {
        let disk = SimDisk::new();
        disk.make_dir(dir()).unwrap();
        assert_eq!(read(&disk, dir(), DIRECTORY), Ok(None), "of a version that had none");
        for held in [held(&[1]), held(&[1, 2])] {
            write(&disk, dir(), DIRECTORY, &held).unwrap();
            let after = disk.crash(disk.changes(), &mut Choices::drawn(1));
            assert_eq!(read(&after, dir(), DIRECTORY), Ok(Some(held.clone())));
            assert!(read(&after, dir(), DirectoryId([5; 16])).is_err(), "of another directory");
            let bytes = encode(&held, DIRECTORY);
            for at in 0..bytes.len() {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1;
                assert!(matches!(decode(&damaged, DIRECTORY), Err(Unread::Damaged)), "byte {at}");
            }
            assert!((0..bytes.len()).all(|end| decode(&bytes[..end], DIRECTORY).is_err()));
        }
        let mut later = encode(&held(&[1]), DIRECTORY);
        later[8] = 2;
        let checksum = checksum_around(&later);
        later[12..16].copy_from_slice(&checksum.to_le_bytes());
        assert!(matches!(decode(&later, DIRECTORY), Err(Unread::Version(2))));
    }

    #[test]
    fn a_server_left_alone_goes_on_under_what_counted_in_its_ensemble() {
        let secret = |n: u8| SessionSecret([n; 32]);
        let agreed = |n: u8| Agreed { secret: secret(n), everywhere: true, used: false };
        let session = SessionId(0x0140_0000_0000_0005);
        let under = |n: u8| Passwords::secret(secret(n)).password(session);
        let identity = Identity { directory: DIRECTORY, server: 2, past: Past::LeftAlone, born: true, complete: true };
        for (last, counts) in [(Zxid(3 << 32 | 7), 3), (Zxid(4 << 32 | 1), 3), (Zxid(5 << 32 | 1), 5)] {
            let disk = SimDisk::new();
            disk.make_dir(dir()).unwrap();
            let heard = Held::of(vec![(3, agreed(3)), (5, agreed(5))]).unwrap();
            write(&disk, dir(), DIRECTORY, &heard).unwrap();
            for start in 1..=3 {
                let heard = read(&disk, dir(), DIRECTORY).unwrap();
                let passwords = of_lone((&disk, dir(), &identity), secret(1), heard, last).unwrap();
                assert_eq!(passwords.password(session), under(counts), "{last}, start {start}");
                for known in [1, 3, 5] {
                    let is_taken = known != 3 || counts == 3;
                    assert_eq!(passwords.verify(session, &under(known)), is_taken, "{last}: {known}, start {start}");
                }
            }
            let heard = read(&disk, dir(), DIRECTORY).unwrap();
            let held = of_member((&disk, dir(), &identity), secret(1), heard, last).unwrap();
            assert_eq!(held.at(last.epoch()), Agreed { used: true, everywhere: false, ..agreed(counts) });
        }
    }

    #[test]
    fn what_was_always_on_its_own_has_used_its_secret_if_anything_happened_there() {
        let own = SessionSecret([1; 32]);
        let used = |heard, past, last| {
            let disk = SimDisk::new();
            disk.make_dir(dir()).unwrap();
            let mut identity = Identity { directory: DIRECTORY, server: 2, past, born: true, complete: true };
            let held = of_member((&disk, dir(), &identity), own, heard, last).unwrap();
            // As a member it finds the same.
            identity.past = Past::Member;
            if let Some(heard) = read(&disk, dir(), DIRECTORY).unwrap() {
                let again = of_member((&disk, dir(), &identity), own, Some(heard), last).unwrap();
                assert_eq!(again, held);
            } else {
                assert!(past == Past::Member || !held.newest().used);
            }
            (held.newest().secret == own, held.newest().used)
        };
        assert_eq!(used(None, Past::Alone, Zxid(7)), (true, true));
        assert_eq!(used(None, Past::Alone, Zxid::ZERO), (true, false), "started once and never used");
        assert_eq!(used(Some(held(&[9])), Past::Alone, Zxid(7)), (true, true), "the file of its secret was replaced");
        assert_eq!(used(None, Past::Member, Zxid(7)), (true, false), "it has heard nothing from its leaders");
        assert_eq!(used(Some(held(&[9])), Past::Member, Zxid(7)), (false, true));
        let identity = Identity { directory: DIRECTORY, server: 0, past: Past::Alone, born: true, complete: true };
        let disk = SimDisk::new();
        let passwords = of_lone((&disk, dir(), &identity), own, Some(held(&[9])), Zxid(7)).unwrap();
        assert_eq!((passwords, disk.changes()), (Passwords::secret(own), 0));
    }

    #[test]
    fn a_power_loss_leaves_the_old_one_or_the_new_one() {
        let disk = SimDisk::new();
        disk.make_dir(dir()).unwrap();
        write(&disk, dir(), DIRECTORY, &held(&[1])).unwrap();
        let before = disk.changes();
        write(&disk, dir(), DIRECTORY, &held(&[1, 2])).unwrap();
        for changes in before..=disk.changes() {
            for seed in 0..20 {
                let after = disk.crash(changes, &mut Choices::drawn(seed));
                let found = read(&after, dir(), DIRECTORY).unwrap().expect("one of them");
                assert!(found == held(&[1, 2]) || (found == held(&[1]) && changes < disk.changes()));
            }
        }
    }
}

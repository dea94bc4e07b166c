//! The file of what a member's ensemble has agreed on: see [`crate::zab::agreed`].
//!
//! ```text
//! magic 8 | version u32 | checksum u32 | directory 16 | one or two times: epoch i64, agreement 33 bytes
//! ```
//! Numbers are little-endian, the checksum (CRC-32C) covers everything but itself. It is replaced as a whole: a power loss
//! leaves the old one or the new one. A directory without one is a new one, or was written by a version that had none.

use super::checksum_around;
use super::disk::{self, Disk, DiskError};
use super::log::frame::DirectoryId;
use crate::fatal::{Fatal, Reason};
use crate::zab::agreed::{AGREED_LEN, Agreed, Held};
use std::path::Path;

/// The file's name, in the directory of the snapshots.
pub const FILE: &str = "ensemble-secret";

const MAGIC: [u8; 8] = *b"CORRALES";
const VERSION: u32 = 1;
const HEAD: usize = 32;
const ENTRY: usize = 8 + AGREED_LEN;

/// What is written in `dir`, if anything is.
///
/// # Errors
/// If the file is damaged or another directory's: with another secret in silence every session would end.
pub fn read(disk: &dyn Disk, dir: &Path, directory: DirectoryId) -> Result<Option<Held>, Fatal> {
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

/// Makes it durable.
pub fn write(disk: &dyn Disk, dir: &Path, directory: DirectoryId, held: &Held) -> Result<(), DiskError> {
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
    use crate::session::SessionSecret;
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

//! The configuration of the ensemble on disk: what a member that was reconfigured starts with the next time.
//!
//! Each file is put in place at once, and in this order, so that a start finds at every moment either what was agreed on,
//! or what was before together with what is proposed:
//!
//! | step | file | why then |
//! |---|---|---|
//! | 1 | `zoo.cfg.dynamic.<version>` | nothing points to it yet |
//! | 2 | `zoo.cfg.bak` | the first time only: as the operator wrote it |
//! | 3 | `zoo.cfg` | points to 1 from here on |
//! | 4 | `zoo.cfg.dynamic.next` | what is proposed now; removed if nothing is |
//!
//! A start reads `.next` beside a file that points to a dynamic one only, as ZooKeeper's does: without that all that can be
//! proposed is the first version of the same servers.

use super::disk::{Disk, DiskError, read_small, replace_small};
use crate::config::dynamic::{self, BACKUP, NEXT};
use crate::limits;
use crate::zab::voters::{Config, ServerId};
use std::io;
use std::path::Path;

/// Makes the files beside `file`, the configuration file of server `me`, say what `config` does. `file` must be
/// absolute: what is written into it has to be found from everywhere. Doing it again does nothing.
///
/// # Errors
/// If a file cannot be read or written. What is there then is whole, and old.
pub(crate) fn write(disk: &dyn Disk, file: &Path, me: ServerId, config: &Config) -> Result<(), DiskError> {
    let invalid = |what: &str| DiskError::new("write", file, io::Error::new(io::ErrorKind::InvalidInput, what));
    let dir = file.parent().filter(|_| file.is_absolute()).ok_or_else(|| invalid("expected an absolute path"))?;
    let name = file.file_name().and_then(|name| name.to_str()).ok_or_else(|| invalid("its name is not UTF-8"))?;
    let current = config.current();
    // The membership of version 0 is the operator's own.
    if current.version() > 0 {
        let before = read_small(disk, file, limits::CONFIG_FILE)?;
        let own = format!("{name}{}", dynamic::suffix(current.version()));
        let pointer = dir.join(&own);
        let pointer = pointer.to_str().ok_or_else(|| invalid("its path is not UTF-8"))?;
        let pointed = dynamic::pointer(&before);
        if pointed.as_deref() != Some(pointer) {
            replace_small(disk, dir, &own, dynamic::lines(current.membership(), false).as_bytes())?;
            if pointed.is_none() {
                replace_small(disk, dir, &format!("{name}{BACKUP}"), &before)?;
            }
            let has_client = current.member(me).is_some_and(|member| member.client.is_some());
            replace_small(disk, dir, name, &dynamic::pointed(&before, pointer, has_client))?;
        }
    }
    let next = format!("{name}{NEXT}");
    match config.pending() {
        Some(pending) => replace_small(disk, dir, &next, dynamic::lines(pending.membership(), true).as_bytes()),
        None => match disk.remove(&dir.join(&next)) {
            Ok(()) => disk.sync_dir(dir),
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Overrides, Source};
    use crate::sim::disk::{Choices, SimDisk};
    use crate::storage::disk::Access;
    use crate::zab::voters::Voters;

    const FILE: &str = "/c/zoo.cfg";
    const STATIC: &str = "# the operator's\ndataDir=/d\ninitLimit=10\nsyncLimit=5\ncorral.insecureQuorum=true\n\
                          reconfigEnabled=true\nclientPort=2181\nserver.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\n";

    fn disk() -> SimDisk {
        let disk = SimDisk::new();
        for (dir, name, text) in [("/c", "zoo.cfg", STATIC), ("/d", "myid", "1")] {
            disk.make_dir(Path::new(dir)).unwrap();
            replace_small(&disk, Path::new(dir), name, text.as_bytes()).unwrap();
        }
        disk
    }

    fn voters(ids: &[usize], version: i64) -> Voters {
        let lines = ids.iter().map(|id| format!("server.{id}={}:1:2;2181\n", ["a", "b", "c", "d"][id - 1]));
        Voters::parse(lines.collect::<String>().as_bytes()).unwrap().with_version(version)
    }

    /// What a start finds.
    fn found(disk: &SimDisk) -> Config {
        let read = |path: &Path| match read_small(disk, path, 1 << 20) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.to_string()),
        };
        let bytes = disk.bytes(Path::new(FILE)).expect("the file is always there");
        let source = Source { name: FILE, bytes: &bytes };
        let resolved = config::resolve(Some(&source), &Overrides::default(), 2, &read);
        let (config, _) = resolved.unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
        let ensemble = config.ensemble.expect("an ensemble");
        assert_eq!(config.client_port, 2181);
        let pending = ensemble.proposed.map(|proposed| Voters::new(proposed).unwrap());
        Config::new(Voters::new(ensemble.membership).unwrap(), pending)
    }

    fn text(disk: &SimDisk, name: &str) -> Option<String> {
        disk.bytes(&Path::new("/c").join(name)).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn what_is_written_is_what_a_start_finds() {
        let disk = disk();
        let me = ServerId(1);
        let write = |config: &Config| write(&disk, Path::new(FILE), me, config).unwrap();
        write(&Config::new(found(&disk).current().clone(), None));
        assert_eq!(text(&disk, "zoo.cfg").unwrap(), STATIC, "version 0 is the operator's");
        for config in [
            Config::new(voters(&[1, 2, 3], 1 << 32), None),
            Config::new(voters(&[1, 2, 3], 1 << 32), Some(voters(&[1, 2, 4], (1 << 32) + 5))),
            Config::new(voters(&[1, 2, 4], (1 << 32) + 5), None),
            Config::new(voters(&[1, 2, 4], (1 << 32) + 5), Some(voters(&[1, 4], (1 << 32) + 6))),
            Config::new(voters(&[1, 2, 4], (1 << 32) + 5), None),
        ] {
            write(&config);
            assert_eq!(found(&disk), config);
            let calls = disk.changes();
            write(&Config::new(config.current().clone(), None));
            write(&config);
            assert!(config.pending().is_some() || disk.changes() == calls, "again is nothing");
        }
        assert_eq!(text(&disk, "zoo.cfg.bak").unwrap(), STATIC);
        assert!(text(&disk, "zoo.cfg").unwrap().starts_with("# the operator's\n"));
        assert!(!text(&disk, "zoo.cfg").unwrap().contains("clientPort"), "the server's own line says it");
        assert_eq!(
            text(&disk, "zoo.cfg.dynamic.100000005").unwrap(),
            "server.1=a:1:2:participant;0.0.0.0:2181\nserver.2=b:1:2:participant;0.0.0.0:2181\n\
             server.4=d:1:2:participant;0.0.0.0:2181"
        );
    }

    /// Behind every change of the disk, whatever of what was not synced is lost: a quorum of the old configuration alone
    /// would be too few from the proposal on.
    #[test]
    fn a_loss_of_power_leaves_the_old_with_the_proposed_or_the_new() {
        let (old, new) = (voters(&[1, 2, 3], 1 << 32), voters(&[1, 2, 4], (1 << 32) + 5));
        let disk = disk();
        let write = |disk: &SimDisk, config: &Config| write(disk, Path::new(FILE), ServerId(1), config).unwrap();
        write(&disk, &Config::new(old.clone(), None));
        let (proposed, agreed) = (Config::new(old, Some(new.clone())), Config::new(new.clone(), None));
        write(&disk, &proposed);
        let from = disk.changes();
        write(&disk, &agreed);
        let mut seen = [0; 2];
        for changes in from..=disk.changes() {
            for seed in 0..8 {
                let crashed = disk.crash(changes, &mut Choices::drawn(seed));
                let found = found(&crashed);
                assert!(found == proposed || found.current() == &new, "{changes}: {found:?}");
                seen[usize::from(found.current() == &new)] += 1;
                write(&crashed, &agreed);
                assert_eq!(self::found(&crashed), agreed);
            }
        }
        assert!(seen[0] > 8 && seen[1] > 8, "{seen:?}");
        let crashed = disk.crash(disk.changes(), &mut Choices::drawn(9));
        assert_eq!(found(&crashed), agreed, "what is done stays done");
    }

    #[test]
    fn what_cannot_be_written_is_an_error() {
        let config = Config::new(voters(&[1, 2], 7), None);
        let error = write(&disk(), Path::new("zoo.cfg"), ServerId(1), &config).unwrap_err();
        assert!(error.to_string().contains("absolute"), "{error}");
        let disk = disk();
        let (first, last) = (disk.calls() + 1, {
            let whole = self::disk();
            write(&whole, Path::new(FILE), ServerId(1), &config).unwrap();
            whole.calls()
        });
        assert!(last > first + 8, "{first} {last}");
        for call in first..=last {
            let disk = self::disk();
            disk.fail_at(call, 5);
            let outcome = write(&disk, Path::new(FILE), ServerId(1), &config);
            let text = disk.bytes(Path::new(FILE)).expect("it is there");
            assert!(outcome.is_err() || dynamic::pointer(&text).is_some(), "call {call}");
            assert!(disk.open(Path::new(FILE), Access::Read).is_ok());
        }
    }
}

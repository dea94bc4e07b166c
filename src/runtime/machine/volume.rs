//! Where a directory lies: its mount, the device under it, and whether what is written there outlives a restart of the
//! machine.

use super::parse::{self, Read};
use std::path::{Path, PathBuf};

/// One line of `/proc/self/mountinfo`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Mount {
    /// `major:minor` of the device; 0 as major for those without one.
    pub number: String,
    /// The directory of the file system that is mounted.
    pub root: String,
    /// Where it is mounted.
    pub point: String,
    pub file_system: String,
    /// The device or another name for what is mounted.
    pub source: String,
    /// The options of the mount, then those of the file system, between commas.
    options: String,
}

impl Mount {
    /// Whether an option is set.
    pub(crate) fn has_option(&self, name: &str) -> bool {
        self.options.split(',').any(|option| option == name)
    }

    /// The value of an option `name=value`.
    pub(crate) fn option(&self, name: &str) -> Option<&str> {
        self.options.split(',').find_map(|option| option.strip_prefix(name)?.strip_prefix('='))
    }
}

/// The mounts of a text like `/proc/self/mountinfo`; lines that are none are left out.
pub(super) fn mounts(text: &str) -> Vec<Mount> {
    text.lines().filter_map(mount).collect()
}

fn mount(line: &str) -> Option<Mount> {
    // Optional fields stand between the sixth field and a lone hyphen.
    let (mounted, what) = line.split_once(" - ")?;
    let mounted: Vec<&str> = mounted.split(' ').collect();
    let mut what = what.split(' ');
    let (file_system, source) = (what.next()?, what.next()?);
    Some(Mount {
        number: (*mounted.get(2)?).to_owned(),
        root: unescape(mounted.get(3)?),
        point: unescape(mounted.get(4)?),
        file_system: file_system.to_owned(),
        source: unescape(source),
        options: unescape(&format!("{},{}", mounted.get(5)?, what.next().unwrap_or(""))),
    })
}

/// Space, tab, newline and backslash stand in the text as `\` and three octal digits.
fn unescape(text: &str) -> String {
    let mut out = vec![];
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = tail.get(..3).filter(|_| *first == b'\\').and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 8).ok()
        });
        out.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &tail[3..] } else { tail };
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A directory and what is under it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Volume {
    /// The directory, or what there is of the path to it.
    pub path: PathBuf,
    /// The mount it lies on.
    pub mount_point: String,
    /// The type of the file system; empty when it cannot be told.
    pub file_system: String,
    /// What is mounted: mostly the path of a device.
    pub source: String,
    /// Why what is written there is gone after a restart of the machine; `None` if nothing says so.
    pub volatile: Option<&'static str>,
    /// Its syncs do not reach the medium: mounted so that the device's cache is never flushed.
    pub without_barriers: bool,
    /// Another machine stores it.
    pub remote: bool,
    pub device: Option<Device>,
}

/// A block device; of a partition, the disk it is a part of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Device {
    pub name: String,
    pub rotational: Option<bool>,
    /// `write back`: a volatile cache, which a sync has to flush; `write through`: none.
    pub write_cache: Option<String>,
    pub scheduler: Option<String>,
}

impl Volume {
    /// Looks up a directory that exists, as an absolute path without links.
    pub(crate) fn of(path: &Path, mounts: &[Mount], read: Read<'_>) -> Volume {
        let Some(mount) = covering(path, mounts) else {
            return Volume { path: path.to_path_buf(), ..Volume::default() };
        };
        let device = device(mount, read);
        Volume {
            path: path.to_path_buf(),
            mount_point: mount.point.clone(),
            file_system: mount.file_system.clone(),
            source: mount.source.clone(),
            volatile: volatility(mount, mounts, device.as_ref()),
            without_barriers: mount.has_option("nobarrier") || mount.option("barrier") == Some("0"),
            remote: is_remote(&mount.file_system),
            device,
        }
    }

    /// The file system and the device, in words.
    pub(crate) fn describe(&self) -> String {
        let unknown = |text: &str| if text.is_empty() { "an unknown file system".to_owned() } else { text.to_owned() };
        let mut text = unknown(&self.file_system);
        if let Some(device) = &self.device {
            let kind = match device.rotational {
                Some(true) => ", rotational",
                Some(false) => ", not rotational",
                None => "",
            };
            text += &format!(" on {}{kind}", device.name);
            for (label, value) in [("cache", &device.write_cache), ("scheduler", &device.scheduler)] {
                if let Some(value) = value {
                    text += &format!(", {label} {value}");
                }
            }
        } else if self.source.starts_with('/') {
            text += &format!(" on {}", self.source);
        }
        if self.volatile.is_some() {
            text += ", volatile";
        }
        text
    }
}

/// The mount a path lies on: the one with the longest path, and of those at the same place the latest.
fn covering<'a>(path: &Path, mounts: &'a [Mount]) -> Option<&'a Mount> {
    mounts
        .iter()
        .filter(|mount| path.starts_with(&mount.point))
        .max_by_key(|mount| Path::new(&mount.point).components().count())
}

fn volatility(mount: &Mount, mounts: &[Mount], device: Option<&Device>) -> Option<&'static str> {
    match mount.file_system.as_str() {
        "tmpfs" | "ramfs" | "rootfs" => return Some("it is kept in memory"),
        "overlay" if mount.has_option("volatile") => return Some("its overlay is mounted volatile and ignores syncs"),
        "overlay" => {
            // The path is the host's in most containers. There it names nothing, or the overlay itself.
            let above = mount.option("upperdir").and_then(|upper| covering(Path::new(upper), mounts));
            if above.is_some_and(|above| matches!(above.file_system.as_str(), "tmpfs" | "ramfs")) {
                return Some("its overlay writes to memory");
            }
        }
        _ => {}
    }
    let in_memory = |name: &str| {
        let number = name.strip_prefix("zram").or_else(|| name.strip_prefix("ram"));
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    device.is_some_and(|device| in_memory(&device.name)).then_some("its device is kept in memory")
}

fn is_remote(file_system: &str) -> bool {
    matches!(
        file_system,
        "nfs" | "nfs4" | "cifs" | "smb3" | "ceph" | "9p" | "lustre" | "glusterfs" | "afs" | "virtiofs"
    ) || file_system.starts_with("fuse.")
}

fn device(mount: &Mount, read: Read<'_>) -> Option<Device> {
    // Some file systems have numbers of their own and name the device as their source.
    let named = mount.source.strip_prefix("/dev/").filter(|name| !name.contains('/'));
    let by_number = format!("/sys/dev/block/{}", mount.number);
    let by_name = named.map(|name| format!("/sys/class/block/{name}"));
    let is_there = |place: &String| read(&format!("{place}/uevent")).is_some();
    let own = [Some(by_number), by_name].into_iter().flatten().find(is_there)?;
    let is_partition = read(&format!("{own}/partition")).is_some();
    let disk = if is_partition { format!("{own}/..") } else { own };
    let event = read(&format!("{disk}/uevent"))?;
    let name = event.lines().find_map(|line| line.strip_prefix("DEVNAME="))?.to_owned();
    let queue = |file: &str| read(&format!("{disk}/queue/{file}"));
    Some(Device {
        name,
        rotational: queue("rotational").and_then(|text| match text.trim() {
            "0" => Some(false),
            "1" => Some(true),
            _ => None,
        }),
        write_cache: queue("write_cache").map(|text| text.trim().to_owned()),
        scheduler: queue("scheduler").map(|text| parse::chosen(&text).unwrap_or(text.trim()).to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = r"
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw,errors=remount-ro
28 27 8:16 / /srv/my\040log rw,noatime shared:2 master:3 - xfs /dev/sdb rw,attr2,nobarrier
29 27 0:44 /@home /home rw,relatime - btrfs /dev/sda3 rw,space_cache=v2
30 27 0:25 / /dev/shm rw - tmpfs tmpfs rw,size=24684096k
31 27 0:60 / /nfs rw - nfs4 server:/export rw,vers=4.2
32 27 0:61 / /merged rw - overlay overlay rw,lowerdir=/lower,upperdir=/dev/shm/up,workdir=/dev/shm/work
33 27 0:62 / /plain rw - overlay overlay rw,lowerdir=/lower,upperdir=/var/up,workdir=/var/work
34 27 0:63 / /careless rw - overlay overlay rw,upperdir=/var/up,volatile
35 27 252:0 / /zipped rw - ext4 /dev/zram0 rw
36 27 254:1 / /lv rw - ext4 /dev/mapper/vg-lv rw
not a line
";

    fn read(path: &str) -> Option<String> {
        let text = match path {
            "/sys/dev/block/259:2/uevent" => "MAJOR=259\nMINOR=2\nDEVNAME=nvme0n1p2\nDEVTYPE=partition\n",
            "/sys/dev/block/259:2/partition" => "2\n",
            "/sys/dev/block/259:2/../uevent" => "MAJOR=259\nMINOR=0\nDEVNAME=nvme0n1\n",
            "/sys/dev/block/259:2/../queue/rotational" => "0\n",
            "/sys/dev/block/259:2/../queue/write_cache" => "write back\n",
            "/sys/dev/block/259:2/../queue/scheduler" => "[none] mq-deadline\n",
            "/sys/dev/block/8:16/uevent" => "DEVNAME=sdb\n",
            "/sys/dev/block/8:16/queue/rotational" => "1\n",
            "/sys/class/block/sda3/uevent" => "DEVNAME=sda3\n",
            "/sys/class/block/sda3/partition" => "3\n",
            "/sys/class/block/sda3/../uevent" => "DEVNAME=sda\n",
            "/sys/dev/block/252:0/uevent" => "DEVNAME=zram0\n",
            "/sys/dev/block/254:1/uevent" => "DEVNAME=dm-1\n",
            "/sys/dev/block/254:1/queue/rotational" => "0\n",
            _ => return None,
        };
        Some(text.to_owned())
    }

    fn of(path: &str) -> Volume {
        Volume::of(Path::new(path), &mounts(MOUNTS), &read)
    }

    #[test]
    fn a_partition_is_told_as_its_disk() {
        let volume = of("/srv/data");
        assert_eq!((volume.mount_point.as_str(), volume.file_system.as_str()), ("/", "ext4"));
        assert_eq!(volume.describe(), "ext4 on nvme0n1, not rotational, cache write back, scheduler none");
        assert_eq!((volume.volatile, volume.without_barriers, volume.remote), (None, false, false));
    }

    #[test]
    fn escapes_and_options_are_read() {
        let volume = of("/srv/my log/deeper");
        assert_eq!(volume.mount_point, "/srv/my log");
        assert!(volume.without_barriers);
        assert_eq!(volume.describe(), "xfs on sdb, rotational");
        assert_eq!(of("/srv/my logs").mount_point, "/", "a name that only begins so lies elsewhere");
    }

    #[test]
    fn a_file_system_with_numbers_of_its_own_names_its_device() {
        assert_eq!(of("/home/x").device.unwrap().name, "sda");
    }

    #[test]
    fn logical_volumes_have_numbers_only() {
        assert_eq!(of("/lv").device.unwrap().name, "dm-1");
    }

    #[test]
    fn memory_is_volatile_in_all_its_forms() {
        assert_eq!(of("/dev/shm/x").volatile, Some("it is kept in memory"));
        assert_eq!(of("/merged").volatile, Some("its overlay writes to memory"));
        assert_eq!(of("/careless").volatile, Some("its overlay is mounted volatile and ignores syncs"));
        assert_eq!(of("/zipped").volatile, Some("its device is kept in memory"));
        assert_eq!(of("/plain").volatile, None);
        assert_eq!(of("/dev/shm").describe(), "tmpfs, volatile");
    }

    #[test]
    fn other_machines_and_the_unknown() {
        assert!(of("/nfs/a").remote);
        let nothing = Volume::of(Path::new("/a"), &[], &read);
        assert_eq!(nothing.describe(), "an unknown file system");
        assert_eq!(unescape(r"a\134b\04"), r"a\b\04");
    }
}

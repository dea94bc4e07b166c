//! The limits that control groups set to this process, in either version of them or in none.
//!
//! A group is bounded by every group above it as well, so the least bound on the way up counts. Where a group's files
//! are follows from two texts: `/proc/self/cgroup` has the group's path, `/proc/self/mountinfo` where the hierarchy is
//! mounted and from which group on. In a container those two often disagree; then the files at the mount itself count,
//! which are those of the container's own group.

use super::parse::Read;
use super::volume::Mount;

/// What the groups allow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Bounds {
    /// Thousandths of a CPU; `None`: no quota.
    pub cpu_milli: Option<u64>,
    /// Bytes of memory; `None`: no limit.
    pub memory: Option<u64>,
}

/// What version 1 has for "no limit" is a number near the greatest there is.
const UNLIMITED: u64 = 1 << 62;
/// Groups within groups that are looked at.
const DEPTH: usize = 32;

/// The bounds of the groups named in the text of `/proc/self/cgroup`.
pub(crate) fn bounds(groups: &str, mounts: &[Mount], read: Read<'_>) -> Bounds {
    let mut bounds = Bounds::default();
    for line in groups.lines() {
        // number:controllers:path, no controllers in version 2.
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        for directory in directories(controllers, path, mounts) {
            let file = |name: &str| read(&format!("{directory}/{name}"));
            let (cpu, memory) = match controllers {
                "" => (file("cpu.max").and_then(|text| quota(&text)), file("memory.max").and_then(|text| bytes(&text))),
                _ => {
                    let (share, period) = (file("cpu.cfs_quota_us"), file("cpu.cfs_period_us"));
                    let cpu = share.zip(period).and_then(|(share, period)| quota(&format!("{share} {period}")));
                    (cpu, file("memory.limit_in_bytes").and_then(|text| bytes(&text)))
                }
            };
            bounds.cpu_milli = least(bounds.cpu_milli, cpu);
            bounds.memory = least(bounds.memory, memory);
        }
    }
    bounds
}

/// The directories with the files of the group and of those above it.
fn directories(controllers: &str, path: &str, mounts: &[Mount]) -> Vec<String> {
    let mount = mounts.iter().find(|mount| match controllers {
        "" => mount.file_system == "cgroup2",
        _ => mount.file_system == "cgroup" && controllers.split(',').any(|name| mount.has_option(name)),
    });
    let Some(mount) = mount else { return vec![] };
    let root = mount.root.trim_end_matches('/');
    let below = path.strip_prefix(root).filter(|rest| rest.is_empty() || rest.starts_with('/')).unwrap_or("");
    let mut below = below.trim_end_matches('/');
    let mut directories = vec![];
    while directories.len() < DEPTH {
        directories.push(format!("{}{below}", mount.point.trim_end_matches('/')));
        match below.rfind('/') {
            Some(slash) => below = &below[..slash],
            None => break,
        }
    }
    directories
}

/// Thousandths of a CPU from `quota period` in microseconds; no number or a negative one is no quota.
fn quota(text: &str) -> Option<u64> {
    let mut numbers = text.split_ascii_whitespace().map(str::parse::<u64>);
    let (quota, period) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    quota.checked_mul(1000)?.checked_div(period)
}

fn bytes(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|bytes| *bytes < UNLIMITED)
}

fn least(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    [a, b].into_iter().flatten().min()
}

#[cfg(test)]
mod tests {
    use super::super::volume::mounts;
    use super::*;

    fn with(groups: &str, mountinfo: &str, files: &[(&str, &str)]) -> Bounds {
        let read = |path: &str| files.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned());
        bounds(groups, &mounts(mountinfo), &read)
    }

    const V2: &str = "30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";

    #[test]
    fn version_2_takes_the_least_on_the_way_up() {
        let files = [
            ("/sys/fs/cgroup/system.slice/corral.service/cpu.max", "max 100000\n"),
            ("/sys/fs/cgroup/system.slice/corral.service/memory.max", "8589934592\n"),
            ("/sys/fs/cgroup/system.slice/cpu.max", "250000 100000\n"),
            ("/sys/fs/cgroup/system.slice/memory.max", "4294967296\n"),
        ];
        let bounds = with("0::/system.slice/corral.service\n", V2, &files);
        assert_eq!(bounds, Bounds { cpu_milli: Some(2500), memory: Some(4 << 30) });
    }

    #[test]
    fn a_container_of_version_2_with_a_namespace_of_its_own() {
        let files = [("/sys/fs/cgroup/cpu.max", "50000 100000\n"), ("/sys/fs/cgroup/memory.max", "max\n")];
        assert_eq!(with("0::/\n", V2, &files), Bounds { cpu_milli: Some(500), memory: None });
    }

    #[test]
    fn a_container_that_sees_the_hosts_paths() {
        let mounts = "31 30 0:27 /docker/ab /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu,cpuacct\n\
                      32 30 0:28 /docker/ab /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
        let files = [
            ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "150000\n"),
            ("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
            ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "1073741824\n"),
        ];
        let own = with("4:memory:/docker/ab\n3:cpu,cpuacct:/docker/ab\n", mounts, &files);
        assert_eq!(own, Bounds { cpu_milli: Some(1500), memory: Some(1 << 30) });
        // Of another group than the one mounted: what is mounted counts.
        assert_eq!(with("4:memory:/docker/abc\n3:cpu,cpuacct:/else\n", mounts, &files), own);
    }

    #[test]
    fn version_1_without_limits() {
        let mounts = "31 30 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n\
                      35 30 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
                      41 30 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
        let files = [
            ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n"),
            ("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
            ("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "9223372036854771712\n"),
        ];
        assert_eq!(with("4:memory:/a\n1:cpu:/\n0::/\n", mounts, &files), Bounds::default());
    }

    #[test]
    fn none_at_all_and_nonsense() {
        assert_eq!(with("", "", &[]), Bounds::default());
        assert_eq!(with("0::/a\n", "", &[]), Bounds::default());
        let files = [("/sys/fs/cgroup/cpu.max", "100000 0\n"), ("/sys/fs/cgroup/memory.max", "lots\n")];
        assert_eq!(with("nothing\n0::/\n", V2, &files), Bounds::default());
    }
}

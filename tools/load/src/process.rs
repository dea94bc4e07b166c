//! What a process has used, from /proc: CPU time of all its threads, and memory.

use crate::failure::{Failure, Result, While};
use std::fs;
use std::time::Duration;

/// User and system time of the process since it started, its ended threads included. Resolution: one clock tick,
/// usually 10 ms.
pub fn cpu(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).during(|| format!("reading {path}"))?;
    let ticks = ticks(&text).ok_or_else(|| Failure::new(format!("{path} has an unknown shape")))?;
    Ok(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
}

/// CPU time of this process.
pub fn own_cpu() -> Result<Duration> {
    cpu(std::process::id())
}

/// Resident memory of the process, in bytes.
pub fn resident(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).during(|| format!("reading {path}"))?;
    let kib =
        text.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| Failure::new(format!("{path} tells no resident memory")))
}

/// Raises the number of files this process may have open to what it is allowed.
pub fn raise_open_files() -> Result<()> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).during(|| "raising the limit of open files".into())
}

/// The sum of the fields utime and stime. The command's name before them may hold blanks and parentheses.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let utime: u64 = fields.nth(11)?.parse().ok()?;
    let stime: u64 = fields.next()?.parse().ok()?;
    Some(utime + stime)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_are_found_behind_any_name() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 250 31 0 0 20 0 1";
        assert_eq!(ticks(stat), Some(281));
        assert_eq!(ticks("7 (a) S 1 2"), None);
        assert_eq!(ticks(""), None);
    }

    #[test]
    fn this_process_has_used_something() {
        assert!(resident(std::process::id()).unwrap() > 100_000);
        own_cpu().unwrap();
        assert!(cpu(u32::MAX).is_err());
    }
}

//! Where a measurement was made: what has to be known to judge it later, and to make it again.

use crate::document::{Environment, Tool};
use std::fs;
use std::os::linux::fs::MetadataExt;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// This program.
pub fn tool() -> Tool {
    Tool { version: env!("CARGO_PKG_VERSION").into() }
}

/// This machine, now. What cannot be learnt is empty.
pub fn here() -> Environment {
    let kernel = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    Environment {
        date_utc: date_utc(),
        cores: std::thread::available_parallelism().map_or(0, usize::from),
        cpu: field("/proc/cpuinfo", "model name").unwrap_or_default(),
        kernel: format!("{} {} {}", text(kernel.sysname()), text(kernel.release()), text(kernel.machine())),
        memory_mb: memory_mb().unwrap_or(0),
        disk: disk().unwrap_or_default(),
        commit: commit(),
        command_line: std::env::args().map(|word| quoted(&word)).collect::<Vec<String>>().join(" "),
    }
}

/// Now, in UTC, as ISO 8601 writes it.
fn date_utc() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    iso(seconds)
}

fn iso(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days since 1 March of year 0, in eras of 400 years: leap days are the last of a year then.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The first value of a name in a file of `name : value` lines.
fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.split(':').next().is_some_and(|found| found.trim() == name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn memory_mb() -> Option<u64> {
    let kib: u64 = field("/proc/meminfo", "MemTotal")?.strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib / 1024)
}

/// File system and device of the working directory.
fn disk() -> Option<String> {
    let directory = std::env::current_dir().ok()?;
    let device = fs::metadata(&directory).ok()?.st_dev();
    let name = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let mut fallback = None;
    for line in mounts.lines() {
        // ID, parent, device, root, mount point, ..., " - ", type, source, options.
        let (before, after) = line.split_once(" - ")?;
        let (mut before, mut after) = (before.split(' '), after.split(' '));
        let (number, point) = (before.nth(2)?, before.nth(1)?);
        let described = format!("{} on {}", after.next()?, after.next()?);
        if number == name {
            return Some(described);
        }
        // Some file systems show another device number than they are mounted with: the longest mount point counts.
        let length = point.len();
        if directory.starts_with(point) && fallback.as_ref().is_none_or(|(longest, _)| length >= *longest) {
            fallback = Some((length, described));
        }
    }
    fallback.map(|(_, described)| described)
}

fn commit() -> Option<String> {
    let output = Command::new("git").args(["describe", "--always", "--dirty", "--tags"]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}

/// A word of a command line, so that a shell reads it as one.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=+.,:/@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, date) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_164_800, "2024-02-29T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(iso(seconds), date);
        }
    }

    #[test]
    fn this_machine_is_known() {
        let here = here();
        assert!(here.cores > 0 && here.memory_mb > 0, "{here:?}");
        assert!(here.kernel.starts_with("Linux ") && here.disk.contains(" on "), "{here:?}");
    }

    #[test]
    fn a_command_line_can_be_pasted() {
        assert_eq!([quoted("--rate=1"), quoted(""), quoted("a'b c")], ["--rate=1", "''", "'a'\\''b c'"]);
    }
}

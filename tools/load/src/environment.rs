//! Where a measurement was made: what has to be known to judge it later, and to make it again.

use crate::document::{Environment, Tool};
use jiff::Timestamp;
use std::fs;
use std::os::linux::fs::MetadataExt;
use std::process::Command;

/// This program.
pub fn tool() -> Tool {
    Tool { version: env!("CARGO_PKG_VERSION").into() }
}

/// This machine, now. What cannot be learnt is empty.
pub fn here() -> Environment {
    let kernel = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    Environment {
        date_utc: Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        cores: std::thread::available_parallelism().map_or(0, usize::from),
        cpu: field("/proc/cpuinfo", "model name").unwrap_or_default(),
        kernel: format!("{} {} {}", text(kernel.sysname()), text(kernel.release()), text(kernel.machine())),
        memory_mb: memory_mb().unwrap_or(0),
        disk: disk().unwrap_or_default(),
        commit: commit(),
        command_line: std::env::args().map(|word| quoted(&word)).collect::<Vec<String>>().join(" "),
    }
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

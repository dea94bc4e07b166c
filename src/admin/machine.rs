//! What the operating system says about this process and its directories.
//!
//! Asked only when an administrator asks. What cannot be found out is `None` or `<NA>`, never made up.

use super::VERSION;
use super::facts::DirectorySizes;
use std::fs;
use std::path::Path;

/// Directories within directories that are looked into for sizes: Corral makes fewer.
const DEPTH: u32 = 4;

/// Names and values for `envi`: ZooKeeper's names where there is a meaning without Java, then Corral's.
pub fn environment() -> Vec<(&'static str, String)> {
    let kernel = |name: &str| {
        let text = fs::read_to_string(format!("/proc/sys/kernel/{name}")).ok();
        text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    };
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let or_unknown = |value: Option<String>| value.unwrap_or_else(|| "<NA>".into());
    let directory = std::env::current_dir().ok().map(|path| path.display().to_string());
    vec![
        ("zookeeper.version", VERSION.into()),
        ("host.name", or_unknown(kernel("hostname"))),
        ("os.name", or_unknown(kernel("ostype"))),
        ("os.arch", std::env::consts::ARCH.into()),
        ("os.version", or_unknown(kernel("osrelease"))),
        ("user.name", or_unknown(variable("USER").or_else(|| variable("LOGNAME")))),
        ("user.home", or_unknown(variable("HOME"))),
        ("user.dir", or_unknown(directory)),
        ("corral.version", env!("CARGO_PKG_VERSION").into()),
    ]
}

/// Bytes of the files in the two directories. Where they are one, or one lies in the other, a file may
/// count for both, as in ZooKeeper.
pub fn directory_sizes(data: &Path, log: &Path) -> DirectorySizes {
    DirectorySizes { data: size(data, DEPTH), log: size(log, DEPTH) }
}

/// A file that goes away meanwhile counts nothing.
fn size(directory: &Path, depth: u32) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    let mut total = 0;
    for entry in entries.flatten() {
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() && depth > 0 => total += size(&entry.path(), depth - 1),
            Ok(metadata) if metadata.is_file() => total += metadata.len(),
            _ => {}
        }
    }
    total
}

/// Descriptors this process has open.
pub fn open_files() -> Option<u64> {
    // Since Linux 6.2 the directory's size is their number: with many connections listing them takes milliseconds,
    // and this is asked on the thread that serves them. The listing's own descriptor is in it.
    match fs::metadata("/proc/self/fd").ok()?.len() {
        0 => fs::read_dir("/proc/self/fd").ok().map(|entries| (entries.count() as u64).saturating_sub(1)),
        count => Some(count),
    }
}

/// Descriptors this process may have open.
pub fn max_files() -> Option<u64> {
    soft_limit(&fs::read_to_string("/proc/self/limits").ok()?)
}

fn soft_limit(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_found() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max cpu time              unlimited            unlimited            seconds   \n\
                    Max open files            1024                 524288               files     \n";
        assert_eq!(soft_limit(text), Some(1024));
        assert_eq!(soft_limit("Max open files            unlimited unlimited files"), None);
        assert_eq!(soft_limit(""), None);
    }

    #[test]
    fn this_process_has_descriptors() {
        let before = open_files().unwrap();
        assert!(before >= 3 && before <= max_files().unwrap());
    }

    #[test]
    fn sizes_add_up() {
        let directory = std::env::temp_dir().join(format!("corral-sizes-{}", std::process::id()));
        fs::create_dir_all(directory.join("log")).unwrap();
        fs::write(directory.join("snapshot"), [0; 10]).unwrap();
        fs::write(directory.join("log/1"), [0; 7]).unwrap();
        let sizes = directory_sizes(&directory, &directory.join("log"));
        fs::remove_dir_all(&directory).unwrap();
        assert_eq!(sizes, DirectorySizes { data: 17, log: 7 });
        assert_eq!(directory_sizes(&directory, &directory), DirectorySizes::default());
    }

    #[test]
    fn the_environment_is_complete() {
        let environment = environment();
        assert_eq!(environment[0], ("zookeeper.version", VERSION.to_owned()));
        assert!(environment.iter().all(|(_, value)| !value.is_empty() && !value.contains('\n')));
    }
}

//! What the operating system says about this process and its directories.
//!
//! Asked only when an administrator asks. What cannot be found out is `None` or `<NA>`, never made up.

use super::VERSION;
use super::facts::DirectorySizes;
use crate::runtime::machine::{kib, limit};
use std::fs;
use std::path::Path;

/// Directories within directories that are looked into for sizes: Corral makes fewer.
const DEPTH: u32 = 4;

/// Names and values for `envi`: ZooKeeper's, which dashboards look for, then Corral's. In the place of Java's own stands what
/// is like it here: this program, its files and its memory.
pub fn environment() -> Vec<(&'static str, String)> {
    let kernel = |name: &str| {
        let text = fs::read_to_string(format!("/proc/sys/kernel/{name}")).ok();
        text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    };
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let or_unknown = |value: Option<String>| value.unwrap_or_else(|| "<NA>".into());
    let directory = std::env::current_dir().ok().map(|path| path.display().to_string());
    let program = std::env::current_exe().ok();
    let folder = program.as_ref().and_then(|path| path.parent());
    let shown = |path: Option<&Path>| or_unknown(path.map(|path| path.display().to_string()));
    let table = |name: &str| fs::read_to_string(name).unwrap_or_default();
    let (machine, own) = (table("/proc/meminfo"), table("/proc/self/status"));
    let megabytes = |table: &str, name: &str| or_unknown(kib(table, name).map(|bytes| format!("{}MB", bytes >> 20)));
    vec![
        ("zookeeper.version", VERSION.into()),
        ("host.name", or_unknown(kernel("hostname"))),
        ("java.version", concat!("none (corral ", env!("CARGO_PKG_VERSION"), ")").into()),
        ("java.vendor", "Corral".into()),
        ("java.home", shown(folder)),
        ("java.class.path", shown(program.as_deref())),
        ("java.library.path", or_unknown(None)),
        ("java.io.tmpdir", std::env::temp_dir().display().to_string()),
        ("java.compiler", or_unknown(None)),
        ("os.name", or_unknown(kernel("ostype"))),
        ("os.arch", std::env::consts::ARCH.into()),
        ("os.version", or_unknown(kernel("osrelease"))),
        ("user.name", or_unknown(variable("USER").or_else(|| variable("LOGNAME")))),
        ("user.home", or_unknown(variable("HOME"))),
        ("user.dir", or_unknown(directory)),
        ("jvm.memory.free", megabytes(&machine, "MemAvailable")),
        ("jvm.memory.max", megabytes(&machine, "MemTotal")),
        ("jvm.memory.total", megabytes(&own, "VmRSS")),
        ("corral.version", env!("CARGO_PKG_VERSION").into()),
    ]
}

/// Bytes of the files in the two directories. Where they are one, or one lies in the other, a file may
/// count for both, as in ZooKeeper.
pub(crate) fn directory_sizes(data: &Path, log: &Path) -> DirectorySizes {
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
pub(crate) fn max_files() -> Option<u64> {
    limit(&fs::read_to_string("/proc/self/limits").ok()?, "Max open files")?.soft
}

#[cfg(test)]
mod tests {
    use super::*;

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
        // The names of ZooKeeper's, in its order (3.9, Environment.list).
        let names: Vec<_> = environment.iter().map(|(name, _)| *name).collect();
        let zookeepers = "zookeeper.version host.name java.version java.vendor java.home java.class.path java.library.path \
                          java.io.tmpdir java.compiler os.name os.arch os.version user.name user.home user.dir \
                          jvm.memory.free jvm.memory.max jvm.memory.total corral.version";
        assert_eq!(names.join(" "), zookeepers);
        let [free, max, total] = ["jvm.memory.free", "jvm.memory.max", "jvm.memory.total"].map(|name| {
            let (_, value) = environment.iter().find(|(key, _)| *key == name).unwrap();
            value.strip_suffix("MB").unwrap().parse::<u64>().unwrap()
        });
        assert!(free <= max && total <= max && total > 0, "{free} {max} {total}");
        assert!(environment.iter().all(|(_, value)| !value.is_empty() && !value.contains('\n')));
    }
}

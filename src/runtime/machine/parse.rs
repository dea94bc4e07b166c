//! What the kernel's text files say, one pure function for each kind: text in, value out.
//!
//! A text that is cut short, or of another kernel, gives `None` or an empty list and never an error: a fact
//! that cannot be told is left out, and nothing that serves clients depends on it.

/// The text of a file of the kernel's; `None` where it cannot be read.
pub(crate) type Read<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A limit of the process; `None`: unlimited.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Limit {
    pub soft: Option<u64>,
    /// As far as this user may raise it.
    pub hard: Option<u64>,
}

/// The greatest CPU or node number of a list. Linux knows 8192 CPUs at most; what is above is not a list of them.
const MAX_CPU: usize = 1 << 16;

/// The numbers of a list such as `0-3,8,10-11`, in order and once each; empty if it is no such list.
pub(super) fn list(text: &str) -> Vec<usize> {
    let mut numbers = vec![];
    for part in text.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        match (first.trim().parse::<usize>(), last.trim().parse::<usize>()) {
            (Ok(first), Ok(last)) if first <= last && last < MAX_CPU => numbers.extend(first..=last),
            _ => return vec![],
        }
    }
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// A list as people write it: `0-3,8`.
pub(crate) fn as_ranges(numbers: &[usize]) -> String {
    let mut ranges: Vec<(usize, usize)> = vec![];
    for &number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    let shown =
        ranges.iter().map(|&(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") });
    shown.collect::<Vec<_>>().join(",")
}

/// The value of a line `NAME: value` of `/proc/self/status` or `/proc/meminfo`.
pub(super) fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// Bytes of a line `NAME: 123 kB`.
pub(crate) fn kib(text: &str, name: &str) -> Option<u64> {
    field(text, name)?.strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Whether the capability of that number is in the mask of a line such as `CapEff: 000001ffffffffff`.
pub(crate) fn has_capability(status: &str, number: u32) -> bool {
    let mask = field(status, "CapEff").and_then(|mask| u64::from_str_radix(mask, 16).ok());
    mask.is_some_and(|mask| mask >> number & 1 == 1)
}

/// The limit of that name in `/proc/self/limits`.
pub(crate) fn limit(text: &str, name: &str) -> Option<Limit> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let mut words = line.split_ascii_whitespace();
    let mut bound = || match words.next()? {
        "unlimited" => Some(None),
        number => number.parse().ok().map(Some),
    };
    Some(Limit { soft: bound()?, hard: bound()? })
}

/// The word in brackets, which is the one in force: `always [madvise] never`.
pub(super) fn chosen(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once('[')?;
    rest.split_once(']').map(|(word, _)| word)
}

/// The first two numbers of a kernel's release: `6.1` of `6.1.0-18-amd64`.
pub(super) fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus() {
        assert_eq!(list("0-3,8,10-11\n"), [0, 1, 2, 3, 8, 10, 11]);
        assert_eq!(list("5"), [5]);
        assert_eq!(list("1,0-2"), [0, 1, 2]);
        for wrong in ["", "\n", "3-1", "a", "0-", "0-99999999999", "-1"] {
            assert_eq!(list(wrong), [0; 0], "{wrong:?}");
        }
        assert_eq!(as_ranges(&[0, 1, 2, 3, 8, 10, 11]), "0-3,8,10-11");
        assert_eq!(as_ranges(&[]), "");
    }

    #[test]
    fn status_and_meminfo() {
        let status = "Name:\tcorral\nCapEff:\t0000000000004000\nCpus_allowed:\tf0\nCpus_allowed_list:\t4-7\n";
        assert_eq!(field(status, "Cpus_allowed_list"), Some("4-7"));
        assert_eq!(field(status, "Cpus"), None);
        assert!(has_capability(status, 14) && !has_capability(status, 13));
        assert!(!has_capability("CapEff:\tnone\n", 14));
        let memory = "MemTotal:       24669092 kB\nMemFree:  1 kB\nSwapTotal:             0 kB\n";
        assert_eq!((kib(memory, "MemTotal"), kib(memory, "SwapTotal")), (Some(24_669_092 << 10), Some(0)));
        assert_eq!(kib("MemTotal: 99999999999999999999 kB", "MemTotal"), None);
        assert_eq!(kib("MemTotal: 5", "MemTotal"), None);
    }

    #[test]
    fn limits() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max open files            1024                 1048576              files     \n\
                    Max locked memory         8388608              unlimited            bytes     \n";
        let files = limit(text, "Max open files").unwrap();
        assert_eq!((files.soft, files.hard), (Some(1024), Some(1_048_576)));
        let locked = limit(text, "Max locked memory").unwrap();
        assert_eq!((locked.soft, locked.hard), (Some(8 << 20), None));
        assert!(limit(text, "Max nice priority").is_none());
        assert!(limit("Max open files   many", "Max open files").is_none());
    }

    #[test]
    fn choices_and_versions() {
        assert_eq!(chosen("always [madvise] never\n"), Some("madvise"));
        assert_eq!(chosen("[none] mq-deadline"), Some("none"));
        assert_eq!(chosen("none"), None);
        assert_eq!(version("6.1.0-18-amd64\n"), Some((6, 1)));
        assert_eq!(version("5.14-rc1"), Some((5, 14)));
        assert_eq!(version("next"), None);
    }
}

//! The files a reconfiguration leaves: their names and their texts.
//!
//! Beside `zoo.cfg` stands `zoo.cfg.dynamic.<version>`, the membership that was agreed on, which `zoo.cfg` points to by
//! `dynamicConfigFile` from then on; `zoo.cfg.bak` is what it was before that. `zoo.cfg.dynamic.next` is a membership that
//! is proposed. (ZooKeeper 3.9, `QuorumPeerConfig.writeDynamicConfig`, `editStaticConfig`; it writes the configuration
//! file anew without its comments, here everything that need not change stays as it is.)

use super::membership::Membership;
use super::properties;

/// How the name of the file goes on that holds a proposed membership.
pub(crate) const NEXT: &str = ".dynamic.next";

/// How the name of the file goes on that keeps the configuration as the operator wrote it.
pub(crate) const BACKUP: &str = ".bak";

/// How the name of the file goes on that holds the membership of this version.
pub(crate) fn suffix(version: i64) -> String {
    format!(".dynamic.{version:x}")
}

/// Where the configuration file says its membership stands, if it does.
pub(crate) fn pointer(file: &[u8]) -> Option<String> {
    let entries = properties::parse(file).0;
    entries.into_iter().rev().find(|entry| entry.key == "dynamicConfigFile").map(|entry| entry.value)
}

/// The configuration file with its membership in the file `dynamic`. `has_client`: it says there where the clients of this
/// server are served, so it must not say it here.
pub(crate) fn pointed(file: &[u8], dynamic: &str, has_client: bool) -> Vec<u8> {
    let is_dropped = |key: &str| {
        Membership::is_key(key)
            || matches!(key, "dynamicConfigFile" | "peerType")
            || (has_client && matches!(key, "clientPort" | "clientPortAddress"))
    };
    let mut text = properties::without_keys(file, is_dropped);
    if text.last().is_some_and(|last| !matches!(last, b'\n' | b'\r')) {
        text.push(b'\n');
    }
    // A backslash would escape what follows it.
    let dynamic = dynamic.replace('\\', "\\\\");
    text.extend_from_slice(format!("dynamicConfigFile={dynamic}\n").as_bytes());
    text
}

/// The lines of a membership in their order, without a line end at the end. In the file of what was agreed on the version
/// is the end of its name.
pub(crate) fn lines(membership: &Membership, with_version: bool) -> String {
    let text = membership.to_string();
    let mut lines: Vec<&str> = text.lines().filter(|line| with_version || !line.starts_with("version=")).collect();
    lines.sort_unstable();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::membership::Draft;

    #[test]
    fn the_file_points_elsewhere_and_keeps_the_rest() {
        let file = b"# mine\ndataDir=/d\nclientPort=2181\nserver.1=h:1:2\nweight.1=3\npeerType=observer\nsyncLimit=5";
        let text = pointed(file, "/c/zoo.cfg.dynamic.5", false);
        let expected = "# mine\ndataDir=/d\nclientPort=2181\nsyncLimit=5\ndynamicConfigFile=/c/zoo.cfg.dynamic.5\n";
        assert_eq!(String::from_utf8_lossy(&text), expected);
        let again = pointed(&text, "/c\\d/zoo.cfg.dynamic.6", true);
        assert_eq!(pointer(&again).as_deref(), Some("/c\\d/zoo.cfg.dynamic.6"));
        assert_eq!(pointer(file), None);
        assert!(!String::from_utf8_lossy(&again).contains("clientPort"));
        assert_eq!((suffix(0x1_0000_0001).as_str(), NEXT), (".dynamic.100000001", ".dynamic.next"));
    }

    #[test]
    fn the_version_is_in_the_name_or_among_the_lines() {
        let mut draft = Draft::default();
        draft.take("server.2", "b:1:2").unwrap();
        draft.take("server.10", "a:1:2").unwrap();
        draft.take("version", "1f").unwrap();
        let membership = draft.finish().unwrap();
        assert_eq!(lines(&membership, false), "server.10=a:1:2:participant\nserver.2=b:1:2:participant");
        assert_eq!(lines(&membership, true), "server.10=a:1:2:participant\nserver.2=b:1:2:participant\nversion=1f");
    }
}

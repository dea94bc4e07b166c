//! All keys this server acts on, of all tables.

use super::ensemble_keys::{ENSEMBLE_KEYS, EnsembleDraft, Settings};
use super::key::{About, Key};
use super::profile::{self, Profile};
use super::server_keys::{Config, KEYS, ServerDraft};
use super::tls_keys::{TLS_KEYS, TlsDraft, TlsSettings};

/// A key, of any server or of ensembles.
#[derive(Clone, Copy)]
pub enum Known {
    /// Every server acts on it.
    Server(&'static Key<ServerDraft>),
    /// Only members of an ensemble act on it.
    Ensemble(&'static Key<EnsembleDraft>),
    /// Only a server with a secure port acts on it.
    Tls(&'static Key<TlsDraft>),
}

impl Known {
    /// What people are told of it.
    pub fn about(self) -> &'static About {
        match self {
            Known::Server(key) => &key.about,
            Known::Ensemble(key) => &key.about,
            Known::Tls(key) => &key.about,
        }
    }

    /// What holds when the key is absent, in words where it is no single value.
    pub fn default(self) -> String {
        match self {
            Known::Server(key) => key.default(&ServerDraft::new(Config::defaults(Profile::Balanced, 8))),
            Known::Ensemble(key) => key.default(&EnsembleDraft::new(Settings::default())),
            Known::Tls(key) => key.default(&TlsDraft::new(TlsSettings::default())),
        }
    }
}

/// One line of `corral profile show`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Setting {
    pub key: &'static str,
    pub value: String,
    /// What the key does, in any profile.
    pub does: &'static str,
    /// Why this value, and what it costs.
    pub trade: &'static str,
}

/// What a profile sets on a machine of so many cores.
pub(crate) fn of_profile(profile: Profile, cores: usize) -> Vec<Setting> {
    let draft = ServerDraft::new(Config::defaults(profile, cores));
    let named = |name| KEYS.iter().find(|key| key.about.name == name).expect("a profile sets keys of any server");
    let settings = profile::KEYS.into_iter().map(named).zip(profile.trades());
    let shown = settings.map(|(Key { about, access }, trade)| Setting {
        key: about.name,
        value: (access.show)(&draft),
        does: about.meaning,
        trade,
    });
    shown.collect()
}

/// Keys whose values are never shown.
pub(crate) fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    key.contains("password") || key.contains("superdigest") || key.contains("secret")
}

/// The key spelt so, under its name, its alias, or either with ZooKeeper's prefix for system properties.
pub fn find(spelling: &str) -> Option<Known> {
    let bare = spelling.strip_prefix("zookeeper.").unwrap_or(spelling);
    all().find(|key| {
        let key = key.about();
        key.name == bare || (!key.alias.is_empty() && key.alias == bare)
    })
}

/// The keys of all tables, in the order of the documentation.
pub fn all() -> impl Iterator<Item = Known> {
    let server = KEYS.iter().map(Known::Server).chain(TLS_KEYS.iter().map(Known::Tls));
    server.chain(ENSEMBLE_KEYS.iter().map(Known::Ensemble))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_aliases_are_unique() {
        let mut names: Vec<_> =
            all().map(Known::about).flat_map(|key| [key.name, key.alias]).filter(|name| !name.is_empty()).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn both_spellings_of_system_properties() {
        assert_eq!(find("zookeeper.snapCount").map(|key| key.about().name), Some("snapCount"));
        assert_eq!(find("snapCount").map(|key| key.about().name), Some("snapCount"));
        assert_eq!(
            find("zookeeper.nio.sessionlessCnxnTimeout").map(|key| key.about().name),
            Some("corral.connectTimeout")
        );
        assert!(find("zookeeper.zookeeper.snapCount").is_none());
        assert!(find("snapcount").is_none());
    }

    #[test]
    fn secrets_are_known_by_name() {
        for key in [
            "zookeeper.DigestAuthenticationProvider.superDigest",
            "ssl.keyStore.password",
            "SASLAuthenticationProvider.superPassword",
            "corral.sessionSecret",
        ] {
            assert!(is_secret(key), "{key}");
        }
        assert!(!is_secret("dataDir"));
    }
}

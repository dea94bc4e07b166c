//! A configuration under construction: what has been read of it, and what is wrong with it.

use super::ensemble_keys::{EnsembleDraft, Settings};
use super::keys;
use super::membership::Membership;
use super::mistake::{Mistake, Notice, Origin};
use super::profile::Profile;
use super::server_keys::{Config, ServerDraft};
use super::tls_keys::{TlsDraft, TlsSettings};
use std::collections::BTreeMap;
use std::path::Path;

/// How the files beside a configuration are read: their bytes, `None` where there is no file, or why it cannot
/// be read.
pub(crate) type ReadFile<'a> = &'a dyn Fn(&Path) -> Result<Option<Vec<u8>>, String>;

/// A line of a membership, and where it stands.
pub(super) struct MemberLine {
    pub(crate) place: Origin,
    pub(crate) key: String,
    pub(crate) value: String,
}

/// A configuration, as far as it has been read.
pub(super) struct Draft {
    pub(crate) server: ServerDraft,
    /// What only an ensemble looks at, see [`super::assembly`].
    pub(crate) ensemble: EnsembleDraft,
    pub(crate) tls: TlsDraft,
    pub(crate) members: Vec<MemberLine>,
    pub(crate) proposed: Option<Membership>,
    /// Keys of no use to a standalone server, with their places.
    pub(crate) ensemble_only: Vec<(String, Origin)>,
    pub(crate) file: Option<String>,
    /// Where each key was last set, under its own name.
    pub(crate) places: BTreeMap<&'static str, Origin>,
    pub(crate) mistakes: Vec<Mistake>,
    pub(crate) notices: Vec<Notice>,
}

impl Draft {
    pub(crate) fn new(profile: Profile, cores: usize, file: Option<String>) -> Self {
        Draft {
            server: ServerDraft::new(Config::defaults(profile, cores)),
            ensemble: EnsembleDraft::new(Settings::default()),
            tls: TlsDraft::new(TlsSettings::default()),
            members: Vec::new(),
            proposed: None,
            ensemble_only: Vec::new(),
            file,
            places: BTreeMap::new(),
            mistakes: Vec::new(),
            notices: Vec::new(),
        }
    }

    pub(crate) fn line(&self, line: u32) -> Origin {
        match &self.file {
            Some(name) => Origin::File { name: name.clone(), line },
            None => Origin::Argument,
        }
    }

    pub(crate) fn mistake(&mut self, place: Origin, key: &str, value: Option<&str>, problem: impl Into<String>) {
        let value = value.filter(|_| !keys::is_secret(key)).map(str::to_owned);
        self.mistakes.push(Mistake { place, key: key.to_owned(), value, problem: problem.into() });
    }

    pub(crate) fn notice(&mut self, place: Origin, key: &str, warning: bool, text: impl Into<String>) {
        self.notices.push(Notice { place, key: key.to_owned(), text: text.into(), warning });
    }

    /// Where a key was set, or the file as a whole.
    pub(crate) fn place_of(&self, key: &str) -> Origin {
        self.places.get(key).cloned().unwrap_or_else(|| self.line(0))
    }

    /// Whether something is wrong with this key already.
    pub(crate) fn has_mistake(&self, key: &str) -> bool {
        self.mistakes.iter().any(|mistake| mistake.key == key)
    }
}

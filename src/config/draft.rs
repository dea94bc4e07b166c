//! From a file and arguments to a configuration: every value put in its place, every mistake collected.

use super::assembly::MemberLine;
use super::ensemble::Settings;
use super::foreign::{self, Answer};
use super::forgiven;
use super::member::MemberRole;
use super::membership::Membership;
use super::mistake::{Mistake, Notice, Place};
use super::{ClientAddress, Config, Overrides, Profile, Source, keys, properties};
use crate::limits;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

/// How the files beside a configuration are read: their bytes, `None` where there is no file, or why it cannot
/// be read.
pub type ReadFile<'a> = &'a dyn Fn(&Path) -> Result<Option<Vec<u8>>, String>;

/// A configuration under construction: what cannot be decided before everything has been read.
pub struct Draft {
    pub(super) config: Config,
    pub(super) data_dir: Option<PathBuf>,
    pub(super) data_log_dir: Option<PathBuf>,
    pub(super) client_port: Option<u16>,
    pub(super) client_address: Option<ClientAddress>,
    pub(super) min_session_timeout_ms: Option<i32>,
    pub(super) max_session_timeout_ms: Option<i32>,
    pub(super) retain: u32,
    pub(super) purge: bool,
    pub(super) enforce_auth: bool,
    pub(super) enforced_schemes: Vec<String>,
    /// What only an ensemble looks at, see [`super::assembly`].
    pub(super) settings: Settings,
    pub(super) peer_type: Option<MemberRole>,
    pub(super) dynamic_config_file: Option<PathBuf>,
    pub(super) members: Vec<MemberLine>,
    pub(super) proposed: Option<Membership>,
    /// Keys of no use to a standalone server, with their places.
    pub(super) ensemble_only: Vec<(String, Place)>,
    pub(super) file: Option<String>,
    /// Where each key was last set, under its own name.
    places: BTreeMap<&'static str, Place>,
    warnings: Vec<String>,
    mistakes: Vec<Mistake>,
    notices: Vec<Notice>,
}

/// Makes a configuration; arguments come before the file, the file before the profile.
pub(super) fn resolve(
    file: Option<&Source<'_>>,
    overrides: &Overrides,
    cores: usize,
    read: ReadFile<'_>,
) -> Result<(Config, Vec<Notice>), Vec<Mistake>> {
    let (entries, malformed) = file.map(|file| properties::parse(file.bytes)).unwrap_or_default();
    let profile = chosen_profile(&entries, overrides).unwrap_or_else(|| Profile::for_cores(cores));
    let mut draft = Draft::new(profile, cores, file.map(|file| file.name.to_owned()));
    for line in malformed {
        let place = draft.line(line.line);
        match line.problem {
            // ZooKeeper sets a system property without a name.
            properties::NO_KEY => draft.notice(place, "", true, format!("ignored: {}", properties::NO_KEY)),
            problem => draft.mistake(place, "", None, problem),
        }
    }
    for entry in &entries {
        draft.file_entry(entry);
    }
    for (argument, key, value) in overrides.listed() {
        draft.argument(argument, key, value);
    }
    if let Some(directory) = &overrides.data_dir {
        draft.data_dir = Some(directory.clone());
    }
    draft.finish(read)
}

/// The profile has to be known first, since the other values are laid over its own. A wrong name is
/// reported when its turn comes.
fn chosen_profile(entries: &[properties::Entry], overrides: &Overrides) -> Option<Profile> {
    let named = |key: &str| keys::find(key).is_some_and(|key| key.name == "corral.profile");
    let in_file = entries.iter().rev().find(|entry| named(&entry.key)).map(|entry| entry.value.as_str());
    overrides.profile.as_deref().or(in_file).and_then(Profile::named)
}

impl Draft {
    fn new(profile: Profile, cores: usize, file: Option<String>) -> Self {
        Draft {
            config: Config::defaults(profile, cores),
            data_dir: None,
            data_log_dir: None,
            client_port: None,
            client_address: None,
            min_session_timeout_ms: None,
            max_session_timeout_ms: None,
            retain: 3,
            purge: true,
            enforce_auth: false,
            enforced_schemes: Vec::new(),
            settings: Settings::default(),
            peer_type: None,
            dynamic_config_file: None,
            members: Vec::new(),
            proposed: None,
            ensemble_only: Vec::new(),
            file,
            places: BTreeMap::new(),
            warnings: Vec::new(),
            mistakes: Vec::new(),
            notices: Vec::new(),
        }
    }

    /// Something the operator should know about the key being applied.
    pub(super) fn warn(&mut self, text: &str) {
        self.warnings.push(text.to_owned());
    }

    /// A number that is used as it is, or the least there can be, which is said.
    pub(super) fn at_least(&mut self, number: i64, least: i64) -> i64 {
        if number < least {
            self.warn(&format!("{number} is less than there can be: {least} is used"));
        }
        number.max(least)
    }

    /// The same with the most there can be.
    pub(super) fn at_most(&mut self, number: i64, most: i64) -> i64 {
        if number > most {
            self.warn(&format!("{number} is more than there can be: {most} is used"));
        }
        number.min(most)
    }

    pub(super) fn line(&self, line: u32) -> Place {
        match &self.file {
            Some(name) => Place::File { name: name.clone(), line },
            None => Place::Argument,
        }
    }

    pub(super) fn mistake(&mut self, place: Place, key: &str, value: Option<&str>, problem: impl Into<String>) {
        let value = value.filter(|_| !keys::is_secret(key)).map(str::to_owned);
        self.mistakes.push(Mistake { place, key: key.to_owned(), value, problem: problem.into() });
    }

    pub(super) fn notice(&mut self, place: Place, key: &str, warning: bool, text: impl Into<String>) {
        self.notices.push(Notice { place, key: key.to_owned(), text: text.into(), warning });
    }

    fn file_entry(&mut self, entry: &properties::Entry) {
        let place = self.line(entry.line);
        if let Some(key) = keys::find(&entry.key) {
            if let Some(Place::File { line, .. }) = self.places.get(key.name) {
                let text = format!("it stands in line {line} too; this line counts");
                self.notice(place.clone(), &entry.key, true, text);
            }
            if keys::is_for_ensembles(key) && key.name != "standaloneEnabled" {
                self.ensemble_only.push((entry.key.clone(), place.clone()));
            }
            self.apply(key, place, &entry.key, &entry.value);
            return;
        }
        match foreign::find(&entry.key) {
            Some(answer) => self.foreign_entry(entry, place, answer),
            None if entry.key.starts_with("corral.") => {
                let hint = hint(&entry.key);
                self.mistake(place, &entry.key, Some(&entry.value), format!("there is no such key{hint}"));
            }
            None => {
                let hint = hint(&entry.key);
                self.notice(place, &entry.key, true, format!("unknown key, ignored{hint}"));
            }
        }
    }

    fn foreign_entry(&mut self, entry: &properties::Entry, place: Place, answer: Answer) {
        let is_harmless = |harmless: &[&str]| harmless.iter().any(|value| value.eq_ignore_ascii_case(&entry.value));
        match answer {
            Answer::Member => {
                self.members.push(MemberLine { place, key: entry.key.clone(), value: entry.value.clone() });
            }
            Answer::Ensemble => self.ensemble_only.push((entry.key.clone(), place)),
            Answer::Warn { harmless, because } if !is_harmless(harmless) => {
                self.notice(place, &entry.key, true, format!("ignored: {because}"));
            }
            Answer::Refuse { harmless, because } if !is_harmless(harmless) => {
                self.mistake(place, &entry.key, Some(&entry.value), because);
            }
            Answer::Warn { .. } | Answer::Refuse { .. } => {}
        }
    }

    fn argument(&mut self, argument: &str, key: &str, value: &str) {
        let key = keys::find(key).expect("every argument stands for a key");
        self.apply(key, Place::Argument, argument, value);
    }

    fn apply(&mut self, key: &'static keys::Key, place: Place, spelling: &str, value: &str) {
        if let Err(expected) = (key.apply)(self, value) {
            if forgiven::is_forgiven(key, spelling) {
                self.warn(&format!("\"{value}\" makes no sense, {expected}: as if the line were not there"));
            } else {
                self.mistake(place.clone(), spelling, Some(value), expected);
            }
        }
        for text in std::mem::take(&mut self.warnings) {
            self.notice(place.clone(), spelling, true, text);
        }
        self.places.insert(key.name, place);
    }

    /// Where a key was set, or the file as a whole.
    pub(super) fn place_of(&self, key: &str) -> Place {
        self.places.get(key).cloned().unwrap_or_else(|| self.line(0))
    }

    /// Whether something is wrong with this key already.
    pub(super) fn has_mistake(&self, key: &str) -> bool {
        self.mistakes.iter().any(|mistake| mistake.key == key)
    }

    fn finish(mut self, read: ReadFile<'_>) -> Result<(Config, Vec<Notice>), Vec<Mistake>> {
        self.directories();
        self.membership(read);
        self.client_address();
        self.session_timeouts();
        self.enforced_authentication();
        self.one_thread();
        self.log_segments();
        self.config.reconfig_enabled = self.settings.reconfig_enabled;
        self.config.snap_retain = self.purge.then_some(self.retain);
        let Draft { config, file, mut mistakes, notices, .. } = self;
        if mistakes.is_empty() {
            return Ok((config, notices));
        }
        mistakes.sort_by_key(|mistake| match &mistake.place {
            Place::File { name, line } if file.as_ref() == Some(name) => (0, String::new(), *line),
            Place::File { name, line } => (1, name.clone(), *line),
            Place::Argument => (2, String::new(), 0),
        });
        Err(mistakes)
    }

    fn directories(&mut self) {
        match self.data_dir.take() {
            Some(directory) => self.config.data_dir = directory,
            // In a file its absence is a mistake, as in ZooKeeper: no server adopts a directory by accident.
            None if self.file.is_some() && !self.has_mistake("dataDir") => {
                let place = self.line(0);
                self.mistake(place, "dataDir", None, "missing; expected a directory, here or as --data-dir");
            }
            None => {}
        }
        self.config.data_log_dir = self.data_log_dir.take().unwrap_or_else(|| self.config.data_dir.clone());
    }

    fn client_address(&mut self) {
        let public = matches!(self.place_of("clientPort"), Place::File { line: 1.., .. });
        let default = if public { ClientAddress::Any } else { ClientAddress::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST)) };
        self.config.client_address = self.client_address.take().unwrap_or(default);
        self.config.client_port = self.client_port.unwrap_or(2181);
    }

    fn session_timeouts(&mut self) {
        // Twenty ticks fit: tickTime is bounded by that.
        let tick = self.config.tick_time_ms as i32;
        let min = self.min_session_timeout_ms.unwrap_or(2 * tick);
        let max = self.max_session_timeout_ms.unwrap_or(20 * tick);
        if min > max {
            let key = if self.min_session_timeout_ms.is_some() { "minSessionTimeout" } else { "maxSessionTimeout" };
            let place = self.place_of(key);
            let problem =
                format!("the least session timeout, {min} ms, is above the greatest, {max} ms (tickTime is {tick} ms)");
            self.mistake(place, key, None, problem);
        }
        (self.config.min_session_timeout_ms, self.config.max_session_timeout_ms) = (min, max);
    }

    /// Keys that only mean something where there are shard threads.
    fn one_thread(&mut self) {
        if self.config.shards > 0 {
            return;
        }
        let set = [
            ("corral.groupCommitDelayMicros", self.config.group_commit_delay_us > 0),
            ("corral.spinMicros", self.config.spin_us > 0),
        ];
        for (key, set) in set {
            if let Some(place) = self.places.get(key).filter(|_| set).cloned() {
                let text = "of no use with one thread (corral.shards is 0), which neither waits nor spins";
                self.notice(place, key, true, text);
            }
        }
    }

    /// A log file holds the longest transaction, which follows `jute.maxbuffer`.
    fn log_segments(&mut self) {
        let wanted = self.config.log_segment_bytes;
        let max_txn = limits::max_txn(self.config.max_buffer as usize);
        self.config.log_segment_bytes = limits::segment(wanted, max_txn);
        let key = "preAllocSize";
        if self.config.log_segment_bytes > wanted
            && let Some(place) = self.places.get(key).cloned()
        {
            let (max_buffer, kib) = (self.config.max_buffer, self.config.log_segment_bytes >> 10);
            let text = format!("too little for requests of {max_buffer} bytes (jute.maxbuffer): {kib} KiB are used");
            self.notice(place, key, true, text);
        }
    }

    fn enforced_authentication(&mut self) {
        if !self.enforce_auth {
            return;
        }
        let key = "enforce.auth.schemes";
        let schemes = std::mem::take(&mut self.enforced_schemes);
        let place = if schemes.is_empty() { self.place_of("enforce.auth.enabled") } else { self.place_of(key) };
        if schemes.is_empty() {
            self.mistake(place, key, None, "missing, though enforce.auth.enabled is true; expected digest or ip");
        } else if schemes.iter().any(|scheme| scheme != "digest" && scheme != "ip") {
            let value = schemes.join(",");
            self.mistake(place, key, Some(&value), "expected digest or ip; this version knows no other scheme");
        }
        self.config.enforced_auth_schemes = schemes;
    }
}

/// The known key that was probably meant, as the end of a sentence.
fn hint(spelling: &str) -> String {
    let bare = spelling.strip_prefix("zookeeper.").unwrap_or(spelling);
    let nearest =
        keys::all().map(|key| (distance(&bare.to_ascii_lowercase(), &key.name.to_ascii_lowercase()), key.name)).min();
    match nearest {
        Some((distance, name)) if distance <= 2 => format!("; did you mean {name}?"),
        _ => String::new(),
    }
}

/// How many bytes must be inserted, removed or replaced to make one of the other; bounded work, since keys
/// longer than any real one are as far as can be.
fn distance(a: &str, b: &str) -> usize {
    if a.len().abs_diff(b.len()) > 2 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

//! From a file and arguments to a configuration: every value put in its place, every mistake collected.

use super::assembly;
use super::draft::{Draft, MemberLine, ReadFile};
use super::key::{Nonsense, Remarks};
use super::keys::{self, Known};
use super::mistake::{Mistake, Notice, Origin};
use super::profile::Profile;
use super::properties;
use super::server_keys::{CLIENT_PORT, Config, LOCALHOST};
use super::shapes::ClientAddress;
use super::tls_keys::TLS_KEYS;
use super::unsupported::{self, Handling};
use crate::limits;
use crate::tls::ClientAuth;
use std::path::PathBuf;

/// A configuration file as it was read.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// What mistakes call it: the path as the operator wrote it.
    pub name: &'a str,
    /// All of it, as it was read.
    pub bytes: &'a [u8],
}

/// What the command line says; it comes before the file. Text as it was given: it is looked at with the
/// file, so that the mistakes of both are reported together.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) client_port: Option<String>,
    pub(crate) client_address: Option<String>,
    pub(crate) profile: Option<String>,
    pub(crate) shards: Option<String>,
    pub(crate) log_format: Option<String>,
}

impl Overrides {
    /// (argument, key, value) of those given.
    fn listed(&self) -> impl Iterator<Item = (&'static str, &'static str, &str)> {
        [
            ("--client-port", "clientPort", &self.client_port),
            ("--client-address", "clientPortAddress", &self.client_address),
            ("--profile", "corral.profile", &self.profile),
            ("--shards", "corral.shards", &self.shards),
            ("--log-format", "corral.logFormat", &self.log_format),
        ]
        .into_iter()
        .filter_map(|(argument, key, value)| value.as_deref().map(|value| (argument, key, value)))
    }
}

/// Makes a configuration out of a file, arguments and the number of cores, or says everything that is wrong
/// with them, in the order of the file. Arguments come before the file, the file before the profile. Reads what `read`
/// hands it of the files a member of an ensemble has (`dynamicConfigFile`, what is proposed beside it, `myid`), and writes
/// nothing.
pub fn resolve(
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
        draft.server.data_dir = Some(directory.clone());
    }
    draft.finish(read)
}

/// The profile has to be known first, since the other values are laid over its own. A wrong name is
/// reported when its turn comes.
fn chosen_profile(entries: &[properties::Entry], overrides: &Overrides) -> Option<Profile> {
    let named = |key: &str| keys::find(key).is_some_and(|key| key.about().name == "corral.profile");
    let in_file = entries.iter().rev().find(|entry| named(&entry.key)).map(|entry| entry.value.as_str());
    overrides.profile.as_deref().or(in_file).and_then(Profile::named)
}

impl Draft {
    fn file_entry(&mut self, entry: &properties::Entry) {
        let place = self.line(entry.line);
        if let Some(key) = keys::find(&entry.key) {
            if let Some(Origin::File { line, .. }) = self.places.get(key.about().name) {
                let text = format!("it stands in line {line} too; this line counts");
                self.notice(place.clone(), &entry.key, true, text);
            }
            if matches!(key, Known::Ensemble(_)) && key.about().name != "standaloneEnabled" {
                self.ensemble_only.push((entry.key.clone(), place.clone()));
            }
            self.apply(key, place, &entry.key, &entry.value);
            return;
        }
        match unsupported::find(&entry.key) {
            Some(handling) => self.unsupported_entry(entry, place, handling),
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

    fn unsupported_entry(&mut self, entry: &properties::Entry, place: Origin, handling: Handling) {
        let is_harmless = |harmless: &[&str]| harmless.iter().any(|value| value.eq_ignore_ascii_case(&entry.value));
        match handling {
            Handling::EnsembleMember => {
                self.members.push(MemberLine { place, key: entry.key.clone(), value: entry.value.clone() });
            }
            Handling::WarnInEnsemble => self.ensemble_only.push((entry.key.clone(), place)),
            Handling::Warn { harmless, reason } if !is_harmless(harmless) => {
                self.notice(place, &entry.key, true, format!("ignored: {reason}"));
            }
            Handling::Refuse { harmless, reason } if !is_harmless(harmless) => {
                self.mistake(place, &entry.key, Some(&entry.value), reason);
            }
            Handling::Warn { .. } | Handling::Refuse { .. } => {}
        }
    }

    fn argument(&mut self, argument: &str, key: &str, value: &str) {
        let key = keys::find(key).expect("every argument stands for a key");
        self.apply(key, Origin::Argument, argument, value);
    }

    fn apply(&mut self, key: Known, place: Origin, spelling: &str, value: &str) {
        let mut remarks = Remarks::default();
        let read = match key {
            Known::Server(key) => (key.access.read)(&mut self.server, value, &mut remarks),
            Known::Ensemble(key) => (key.access.read)(&mut self.ensemble, value, &mut remarks),
            Known::Tls(key) => (key.access.read)(&mut self.tls, value, &mut remarks),
        };
        let about = key.about();
        if let Err(expected) = read {
            if about.nonsense == Nonsense::Forgiven && !spelling.contains("corral.") {
                remarks.warn(format!("\"{value}\" makes no sense, {expected}: as if the line were not there"));
            } else {
                self.mistake(place.clone(), spelling, Some(value), expected);
            }
        }
        for text in remarks.into_texts() {
            self.notice(place.clone(), spelling, true, text);
        }
        self.places.insert(about.name, place);
    }

    fn finish(mut self, read: ReadFile<'_>) -> Result<(Config, Vec<Notice>), Vec<Mistake>> {
        self.directories();
        assembly::assemble(&mut self, read);
        self.client_address();
        self.secure_port();
        self.session_timeouts();
        self.enforced_authentication();
        self.one_thread();
        self.log_segments();
        self.server.values.reconfig_enabled = self.ensemble.values.reconfig_enabled;
        self.server.values.snap_retain = self.server.purge.then_some(self.server.retain);
        let Draft { server, file, mut mistakes, notices, .. } = self;
        if mistakes.is_empty() {
            return Ok((server.values, notices));
        }
        mistakes.sort_by_key(|mistake| match &mistake.place {
            Origin::File { name, line } if file.as_ref() == Some(name) => (0, String::new(), *line),
            Origin::File { name, line } => (1, name.clone(), *line),
            Origin::Argument => (2, String::new(), 0),
        });
        Err(mistakes)
    }

    fn directories(&mut self) {
        match self.server.data_dir.take() {
            Some(directory) => self.server.values.data_dir = directory,
            // In a file its absence is a mistake, as in ZooKeeper: no server adopts a directory by accident.
            None if self.file.is_some() && !self.has_mistake("dataDir") => {
                let place = self.line(0);
                self.mistake(place, "dataDir", None, "missing; expected a directory, here or as --data-dir");
            }
            None => {}
        }
        self.server.values.data_log_dir =
            self.server.data_log_dir.take().unwrap_or_else(|| self.server.values.data_dir.clone());
    }

    fn client_address(&mut self) {
        let public = matches!(self.place_of("clientPort"), Origin::File { line: 1.., .. });
        let default = if public { ClientAddress::Any } else { ClientAddress::Ip(LOCALHOST) };
        self.server.values.client_address = self.server.client_address.take().unwrap_or(default);
        self.server.values.client_port = self.server.client_port.unwrap_or(CLIENT_PORT);
    }

    /// A secure port needs a key, and a trust store where clients are to show certificates; without such a port the keys of TLS
    /// have no effect.
    fn secure_port(&mut self) {
        if self.server.values.secure_client_port.is_none() {
            for key in TLS_KEYS.iter().map(|key| key.about.name) {
                if let Some(place) = self.places.get(key).cloned() {
                    self.notice(place, key, true, "of no use without secureClientPort");
                }
            }
            return;
        }
        let tls = std::mem::take(&mut self.tls.values);
        let key = "secureClientPort";
        let mut missing = vec![];
        if tls.key_store.is_none() {
            missing.push(("ssl.keyStore.location", "the file with this server's key and certificate"));
        }
        if tls.trust_store.is_none() && tls.client_auth != ClientAuth::None {
            let what = "the file with whom to trust; or ssl.clientAuth=none, and nobody is asked for a certificate";
            missing.push(("ssl.trustStore.location", what));
        }
        if tls.wants_crl && tls.crl.is_none() {
            missing.push(("corral.ssl.crlPath", "a file with revocation lists, which ssl.crl asks for"));
        }
        for (name, what) in missing {
            self.mistake(self.place_of(key), name, None, format!("missing, though there is a {key}; expected {what}"));
        }
        self.server.values.tls = tls;
    }

    fn session_timeouts(&mut self) {
        // Twenty ticks fit: tickTime is bounded by that.
        let tick = self.server.values.tick_time_ms as i32;
        let min = self.server.min_session_timeout_ms.unwrap_or(2 * tick);
        let max = self.server.max_session_timeout_ms.unwrap_or(20 * tick);
        if min > max {
            let key =
                if self.server.min_session_timeout_ms.is_some() { "minSessionTimeout" } else { "maxSessionTimeout" };
            let place = self.place_of(key);
            let problem =
                format!("the least session timeout, {min} ms, is above the greatest, {max} ms (tickTime is {tick} ms)");
            self.mistake(place, key, None, problem);
        }
        (self.server.values.min_session_timeout_ms, self.server.values.max_session_timeout_ms) = (min, max);
    }

    /// Keys that only mean something where there are shard threads.
    fn one_thread(&mut self) {
        if self.server.values.shards > 0 {
            return;
        }
        let set = [
            ("corral.groupCommitDelayMicros", self.server.values.group_commit_delay_us > 0),
            ("corral.spinMicros", self.server.values.spin_us > 0),
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
        let wanted = self.server.values.log_segment_bytes;
        let max_txn = limits::max_txn(self.server.values.max_buffer as usize);
        self.server.values.log_segment_bytes = limits::segment(wanted, max_txn);
        let key = "preAllocSize";
        if self.server.values.log_segment_bytes > wanted
            && let Some(place) = self.places.get(key).cloned()
        {
            let (max_buffer, kib) = (self.server.values.max_buffer, self.server.values.log_segment_bytes >> 10);
            let text = format!("too little for requests of {max_buffer} bytes (jute.maxbuffer): {kib} KiB are used");
            self.notice(place, key, true, text);
        }
    }

    fn enforced_authentication(&mut self) {
        if !self.server.enforce_auth {
            return;
        }
        let key = "enforce.auth.schemes";
        let schemes = std::mem::take(&mut self.server.enforced_schemes);
        let place = if schemes.is_empty() { self.place_of("enforce.auth.enabled") } else { self.place_of(key) };
        if schemes.is_empty() {
            self.mistake(place, key, None, "missing, though enforce.auth.enabled is true; expected digest, ip or x509");
        } else if schemes.iter().any(|scheme| !matches!(scheme.as_str(), "digest" | "ip" | "x509")) {
            let value = schemes.join(",");
            self.mistake(place, key, Some(&value), "expected digest, ip or x509; this version knows no other scheme");
        }
        self.server.values.enforced_auth_schemes = schemes;
    }
}

/// The known key that was probably meant, as the end of a sentence.
fn hint(spelling: &str) -> String {
    let bare = spelling.strip_prefix("zookeeper.").unwrap_or(spelling);
    let nearest = keys::all()
        .map(|key| key.about().name)
        .map(|name| (distance(&bare.to_ascii_lowercase(), &name.to_ascii_lowercase()), name))
        .min();
    match nearest {
        Some((distance, name)) if distance <= 2 => format!("; did you mean {name}?"),
        _ => String::new(),
    }
}

/// How many letters must be inserted, removed or replaced to make one of the other; bounded work, since keys
/// longer than any real one are as far as can be.
fn distance(a: &str, b: &str) -> usize {
    if a.len().abs_diff(b.len()) > 2 { usize::MAX } else { strsim::levenshtein(a, b) }
}

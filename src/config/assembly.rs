//! How the description of an ensemble is put together from the configuration file, the dynamic file if there is
//! one, and `myid`, and everything that can be wrong with it.
//!
//! Which descriptions are an ensemble and which are none follows ZooKeeper 3.9
//! (QuorumPeerConfig.parseDynamicConfig, setupQuorumPeerConfig, checkValidity); every mistake is reported, where
//! ZooKeeper stops at the first.

use super::draft::{Draft, MemberLine, ReadFile};
use super::dynamic::NEXT;
use super::ensemble::Ensemble;
use super::member::{Member, MemberRole, ServerId};
use super::membership::{self, Membership};
use super::mistake::Origin;
use super::shapes::{self, ClientAddress};
use super::{keys, properties};
use crate::limits;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A membership and where its keys stand.
struct Described {
    membership: Membership,
    lines: BTreeMap<String, (Origin, String)>,
}

/// Makes this server the member of an ensemble, or the standalone server that a single line describes.
pub(super) fn assemble(draft: &mut Draft, read: ReadFile<'_>) {
    draft.membership(read);
}

impl Draft {
    fn membership(&mut self, read: ReadFile<'_>) {
        let lines = std::mem::take(&mut self.members);
        let mut described = match self.ensemble.dynamic_config_file.clone() {
            Some(path) => self.dynamic_membership(lines, &path, read),
            None => self.described(lines),
        };
        if let Some(membership) = &described {
            let participants = membership.membership.participants().count();
            let observers = membership.membership.members().count() - participants;
            let alone = participants == 1 && self.ensemble.values.standalone_enabled;
            if (participants == 0 || alone) && observers > 0 {
                let problem = "an observer, and no quorum of participants to follow; expected more participants, or \
                               one with standaloneEnabled=false";
                self.mistake_of(membership, |member| member.role == MemberRole::Observer, problem);
                described = None;
            } else if participants == 0 && !self.ensemble.values.standalone_enabled {
                let place = self.place_of("standaloneEnabled");
                let problem = "an ensemble without a server; expected at least one server.N";
                self.mistake(place, "standaloneEnabled", Some("false"), problem);
                described = None;
            }
        }
        match described {
            Some(described) if self.is_ensemble(&described.membership) => self.member_of(described, read),
            Some(described) => {
                self.standalone(&described);
                self.lone_id(&described.membership, read);
            }
            // What these keys would have meant is not known, and they have been looked at all the same.
            None => {}
        }
    }

    fn is_ensemble(&self, membership: &Membership) -> bool {
        !self.ensemble.values.standalone_enabled || membership.participants().count() > 1
    }

    fn described(&mut self, lines: Vec<MemberLine>) -> Option<Described> {
        let mut draft = membership::Draft::default();
        let mut good = true;
        for line in &lines {
            if let Err(problem) = draft.take(&line.key, &line.value) {
                self.mistake(line.place.clone(), &line.key, Some(&line.value), problem);
                good = false;
            }
        }
        let places: BTreeMap<_, _> = lines.into_iter().map(|line| (line.key, (line.place, line.value))).collect();
        match draft.finish() {
            Ok(membership) if good => Some(Described { membership, lines: places }),
            Ok(_) => None,
            Err(problems) => {
                for problem in problems {
                    let key = problem.server.map(|id| format!("server.{id}")).unwrap_or_default();
                    match places.get(&key) {
                        Some((place, value)) => self.mistake(place.clone(), &key, Some(value), problem.text),
                        None => self.mistake(self.line(0), "", None, problem.text),
                    }
                }
                None
            }
        }
    }

    /// The membership in a file of its own, and beside it the one a reconfiguration has proposed.
    fn dynamic_membership(&mut self, lines: Vec<MemberLine>, path: &Path, read: ReadFile<'_>) -> Option<Described> {
        let name = path.display().to_string();
        let misplaced = !lines.is_empty();
        for line in lines {
            let problem = format!("dynamicConfigFile is given; expected this line in {name}");
            self.mistake(line.place, &line.key, Some(&line.value), problem);
        }
        let missing = match read(path) {
            Ok(Some(bytes)) => {
                let mut lines = self.companion_lines(&name, &bytes);
                for line in lines.iter().filter(|line| line.key == "version") {
                    let problem = "the version is the end of this file's name; expected no such line";
                    self.mistake(line.place.clone(), &line.key, Some(&line.value), problem);
                }
                lines.retain(|line| line.key != "version");
                let described = self.described(lines)?;
                self.next_membership(read);
                let version = version_in_name(&name).unwrap_or(0);
                return (!misplaced)
                    .then(|| Described { membership: described.membership.with_version(version), ..described });
            }
            Ok(None) => "there is no such file".to_owned(),
            Err(problem) => format!("cannot be read: {problem}"),
        };
        let place = self.place_of("dynamicConfigFile");
        self.mistake(place, "dynamicConfigFile", Some(&name), missing);
        None
    }

    /// `<file>.dynamic.next`, which a server writes when it logs a reconfiguration.
    fn next_membership(&mut self, read: ReadFile<'_>) {
        let Some(name) = self.file.as_ref().map(|file| format!("{file}{NEXT}")) else { return };
        match read(Path::new(&name)) {
            Ok(Some(bytes)) => {
                let lines = self.companion_lines(&name, &bytes);
                self.proposed = self.described(lines).map(|described| described.membership);
                if self.proposed.as_ref().is_some_and(|proposed| proposed.participants().next().is_none()) {
                    let problem = "no server.N is a participant; expected at least one";
                    self.mistake(Origin::File { name, line: 0 }, "", None, problem);
                }
            }
            Ok(None) => {}
            Err(problem) => {
                let place = Origin::File { name, line: 0 };
                self.mistake(place, "", None, format!("cannot be read: {problem}"));
            }
        }
    }

    fn companion_lines(&mut self, name: &str, bytes: &[u8]) -> Vec<MemberLine> {
        let place = |line: u32| Origin::File { name: name.to_owned(), line };
        let (entries, malformed) = properties::parse(bytes);
        for line in malformed {
            self.mistake(place(line.line), "", None, line.problem);
        }
        let line =
            |entry: properties::Entry| MemberLine { place: place(entry.line), key: entry.key, value: entry.value };
        entries.into_iter().map(line).collect()
    }

    /// Which server a standalone one is. What `myid` says counts, if it is an id at all: nothing depends on it before there are
    /// others.
    fn lone_id(&mut self, membership: &Membership, read: ReadFile<'_>) {
        let bytes = read(&self.server.values.data_dir.join("myid")).ok().flatten().unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let given = ServerId::parse(text.lines().next().unwrap_or_default().trim());
        self.server.values.lone_id = given.or_else(|| membership.participants().next().map(|member| member.id));
    }

    /// A single participant, as ZooKeeper treats it; where its clients are served counts.
    fn standalone(&mut self, described: &Described) {
        for (key, place) in std::mem::take(&mut self.ensemble_only) {
            self.notice(place, &key, false, "of no use to a standalone server");
        }
        let Some(member) = described.membership.participants().next().cloned() else { return };
        let key = format!("server.{}", member.id);
        let (place, value) = described.lines[&key].clone();
        let text = "the only participant: this is a standalone server, not an ensemble";
        self.notice(place.clone(), &key, true, text);
        self.client_of(&member, &place, &value);
    }

    fn member_of(&mut self, described: Described, read: ReadFile<'_>) {
        for (key, place) in std::mem::take(&mut self.ensemble_only) {
            if keys::find(&key).is_none() {
                self.notice(place, &key, true, "ignored: it tunes a part of ZooKeeper that Corral does not have");
            }
        }
        self.limits();
        self.length(&described.membership);
        self.addresses(&described);
        self.weights(&described.membership);
        self.failures_survived(&described.membership);
        self.security();
        let id = self.my_id(&described.membership, read);
        let Some(own) = id.and_then(|id| described.membership.member(id)).cloned() else { return };
        let (place, value) = described.lines[&format!("server.{}", own.id)].clone();
        self.own_line(&own, &place, &value);
        for (key, instead) in self.ensemble.values.without_effect(own.role == MemberRole::Participant) {
            let place = self.place_of(key);
            self.notice(place, key, true, format!("has no effect in this version: {instead}"));
        }
        let Some(file) = &self.file else { return };
        self.server.values.ensemble = Some(Ensemble {
            id: own.id,
            own,
            membership: described.membership,
            proposed: self.proposed.take(),
            config_file: PathBuf::from(file),
            dynamic_config_file: self.ensemble.dynamic_config_file.clone(),
            settings: Arc::new(self.ensemble.values.clone()),
        });
    }

    fn limits(&mut self) {
        for (key, ticks) in
            [("initLimit", self.ensemble.values.init_limit), ("syncLimit", self.ensemble.values.sync_limit)]
        {
            let place = self.place_of(key);
            if ticks == 0 && !self.has_mistake(key) {
                self.mistake(place, key, None, "missing; every member of an ensemble needs this number of ticks");
            } else if u64::from(ticks) * u64::from(self.server.values.tick_time_ms) > i32::MAX as u64 {
                let problem =
                    format!("with tickTime {} more than 24 days; expected less", self.server.values.tick_time_ms);
                self.mistake(place, key, Some(&ticks.to_string()), problem);
            }
        }
        let (min, max) = (self.ensemble.values.min_notification_ms, self.ensemble.values.max_notification_ms);
        if min > max {
            let key = "fastleader.minNotificationInterval";
            let place = self.place_of(key);
            let problem = format!("expected at most fastleader.maxNotificationInterval, {max}");
            self.mistake(place, key, Some(&min.to_string()), problem);
        }
    }

    /// Every notification of an election carries the membership, and so does its own znode.
    fn length(&mut self, membership: &Membership) {
        let length = membership.to_string().len();
        if length > limits::CONFIG_TEXT {
            let place = self.line(0);
            let problem = format!("{length} bytes as a text; expected at most {}", limits::CONFIG_TEXT);
            self.mistake(place, "server.*", None, problem);
        }
    }

    /// Addresses that cannot be, and ids whose sessions could be confused.
    fn addresses(&mut self, described: &Described) {
        let members: Vec<&Member> = described.membership.members().collect();
        for (index, member) in members.iter().enumerate() {
            let key = format!("server.{}", member.id);
            let (place, value) = &described.lines[&key];
            if member.addresses.len() > 1 && !self.ensemble.values.multi_address {
                let problem = "several addresses; expected one, or multiAddress.enabled=true";
                self.mistake(place.clone(), &key, Some(value), problem);
            }
            for earlier in &members[..index] {
                if let Some(address) = member.shared_address(earlier) {
                    let problem = format!("{address} is an address of server.{} too; expected another", earlier.id);
                    self.mistake(place.clone(), &key, Some(value), problem);
                }
                if member.id.0 & 0xff == earlier.id.0 & 0xff {
                    let text = format!(
                        "the same as server.{} in its last eight bits, which are all of it that session ids hold",
                        earlier.id
                    );
                    self.notice(place.clone(), &key, true, text);
                }
            }
        }
    }

    /// Where no vote weighs anything nobody can be elected.
    fn weights(&mut self, membership: &Membership) {
        let Some(groups) = membership.groups() else { return };
        if membership.participants().all(|member| groups.weights.get(&member.id) == Some(&0)) {
            let place = self.line(0);
            self.mistake(place, "weight.*", None, "every participant weighs 0; expected one that weighs something");
        }
    }

    fn failures_survived(&mut self, membership: &Membership) {
        let text = match membership.participants().count() {
            count @ 1..=2 => format!("{count} participants survive no failure; three are the least that do"),
            count if count % 2 == 0 => {
                format!("{count} participants survive as many failures as {}; an odd number is better", count - 1)
            }
            _ => return,
        };
        let place = self.line(0);
        self.notice(place, "server.*", true, text);
    }

    fn security(&mut self) {
        if self.ensemble.values.reconfig_enabled && self.server.values.skip_acl {
            let place = self.place_of("reconfigEnabled");
            let text = "with skipACL every client may change the servers of the ensemble";
            self.notice(place, "reconfigEnabled", true, text);
        } else if self.ensemble.values.reconfig_enabled && self.server.values.super_digest.is_none() {
            let place = self.place_of("reconfigEnabled");
            let text = "until its ACL is changed only the user of DigestAuthenticationProvider.superDigest may write \
                        /zookeeper/config, and there is none";
            self.notice(place, "reconfigEnabled", true, text);
        }
        if self.ensemble.values.zookeeper_passwords && self.ensemble.values.session_secret.is_some() {
            let place = self.place_of("corral.zookeeperPasswords");
            let text =
                "without effect: session passwords are made from corral.sessionSecret, which ZooKeeper does not know";
            self.notice(place, "corral.zookeeperPasswords", true, text);
        } else if self.ensemble.values.zookeeper_passwords {
            let place = self.place_of("corral.zookeeperPasswords");
            let text =
                "who knows a session's id, as ephemeralOwner shows it, can compute its password and take it over";
            self.notice(place, "corral.zookeeperPasswords", true, text);
        }
    }

    /// The id of this server, from the file `myid`.
    fn my_id(&mut self, membership: &Membership, read: ReadFile<'_>) -> Option<ServerId> {
        let path = self.server.values.data_dir.join("myid");
        let place = Origin::File { name: path.display().to_string(), line: 0 };
        let listed = || {
            let ids: Vec<String> = membership.members().map(|member| member.id.to_string()).collect();
            ids.join(", ")
        };
        let bytes = match read(&path) {
            Ok(Some(bytes)) => bytes,
            // No directory, no file in it: that mistake has been named.
            Ok(None) if self.has_mistake("dataDir") => return None,
            Ok(None) => {
                let problem = format!("missing; expected a file with this server's id, one of {}", listed());
                self.mistake(place, "myid", None, problem);
                return None;
            }
            Err(problem) => {
                self.mistake(place, "myid", None, format!("cannot be read: {problem}"));
                return None;
            }
        };
        let text = String::from_utf8_lossy(&bytes);
        let content = text.lines().next().unwrap_or_default().trim();
        // What is no id at all may be anything: its beginning is enough to know it by.
        let shown: String = content.chars().take(40).collect();
        let Some(id) = ServerId::parse(content) else {
            self.mistake(place, "myid", Some(&shown), format!("expected this server's id, one of {}", listed()));
            return None;
        };
        if membership.member(id).is_none() {
            let problem = format!("there is no server.{id}; expected one of {}", listed());
            self.mistake(place, "myid", Some(&shown), problem);
            return None;
        }
        if id.0 > 254 && self.server.values.extended_types {
            let problem = "with extendedTypesEnabled the ephemeral owner has no room for it; expected 254 at most";
            self.mistake(place, "myid", Some(&shown), problem);
        }
        Some(id)
    }

    fn own_line(&mut self, own: &Member, place: &Origin, value: &str) {
        let key = format!("server.{}", own.id);
        let open =
            self.ensemble.values.listen_on_all_addresses || own.addresses.iter().any(|address| !address.is_loopback());
        if open && !self.ensemble.values.insecure_quorum {
            let problem = "its quorum and election ports are open beyond this machine, and this version has neither TLS \
                           nor SASL for them; expected corral.insecureQuorum=true where that network is trusted";
            self.mistake(place.clone(), &key, Some(value), problem);
        }
        if let Some(role) = self.ensemble.peer_type.filter(|role| *role != own.role) {
            let text = format!("{} here, {} in {key}, which counts", role.name(), own.role.name());
            let place = self.place_of("peerType");
            self.notice(place, "peerType", true, text);
        }
        self.client_of(own, place, value);
        if self.server.client_port.is_none() {
            let text = "no clientPort, and no port after a semicolon: clients are served on 127.0.0.1:2181 only";
            self.notice(place.clone(), &key, true, text);
        }
    }

    /// Where a server line says that clients are served. The file's own keys must not say otherwise; what the
    /// command line says comes before both.
    fn client_of(&mut self, member: &Member, place: &Origin, value: &str) {
        let Some(client) = &member.client else { return };
        let key = format!("server.{}", member.id);
        let address = match shapes::host(&client.host) {
            Ok(address) => address,
            Err(expected) => {
                self.mistake(place.clone(), &key, Some(value), format!("after the semicolon: {expected}"));
                return;
            }
        };
        let in_file = |draft: &Draft, key: &str| matches!(draft.place_of(key), Origin::File { .. });
        if self.server.client_port.is_some_and(|port| port != client.port) && in_file(self, "clientPort") {
            self.mistake(place.clone(), &key, Some(value), "clientPort names another port");
        }
        let said = self.server.client_address.as_ref();
        let differs = said.is_some_and(|said| *said != ClientAddress::Any && *said != address);
        if differs && in_file(self, "clientPortAddress") {
            self.mistake(place.clone(), &key, Some(value), "clientPortAddress names another address");
        }
        self.server.client_port.get_or_insert(client.port);
        if self.server.client_address.is_none() || in_file(self, "clientPortAddress") {
            self.server.client_address = Some(address);
        }
    }

    fn mistake_of(&mut self, described: &Described, which: impl Fn(&Member) -> bool, problem: &str) {
        for member in described.membership.members().filter(|member| which(member)) {
            let key = format!("server.{}", member.id);
            let (place, value) = &described.lines[&key];
            self.mistake(place.clone(), &key, Some(value), problem);
        }
    }
}

/// The version a dynamic file's name ends in: `zoo.cfg.dynamic.100000001` is version 0x100000001
/// (ZooKeeper 3.9, QuorumPeerConfig.getVersionFromFilename).
fn version_in_name(name: &str) -> Option<i64> {
    let (_, version) = name.rsplit_once('.')?;
    i64::from_str_radix(version, 16).ok().filter(|version| *version >= 0)
}

#[cfg(test)]
mod tests;

//! The keys that only members of an ensemble act on, and the settings they make. The servers themselves (`server.N`,
//! `group.N`, `weight.N`) are read by [`super::membership`].

use super::key::{Shape, keys, shown_or};
use super::member::MemberRole;
use super::secret::{Secret, said_of_secret};
use super::shapes::path;
use super::value::{
    Expected, any_or_none, boolean, non_negative, number, positive, positive_or_none, show_yes_or_no, yes_or_no,
};
use std::path::PathBuf;

/// Said of the keys in [`Settings::without_effect`].
const NO_EFFECT: &str = "has no effect in this version, and is warned about";

/// A number of ticks that every ensemble has to have.
const REQUIRED: Shape<u32> = Shape::new(positive, |ticks| match ticks {
    0 => "none, required".into(),
    ticks => ticks.to_string(),
});

keys! {
    /// The settings of a member, one value for everybody who acts by them. Limits are in ticks, times in milliseconds, sizes
    /// in bytes.
    struct Settings() {}

    /// The settings, and what is decided with the membership.
    struct EnsembleDraft;

    /// Every key of an ensemble, in the order of the documentation.
    const ENSEMBLE_KEYS;

    "initLimit" {
        /// In an ensemble at least 1.
        value init_limit: u32 = 0, REQUIRED;
        example: "10", nonsense: Refused,
        meaning: "ticks in which a new leader must have gathered a quorum, and a server must be in step with it",
        difference: "",
    }
    "syncLimit" {
        /// In an ensemble at least 1.
        value sync_limit: u32 = 0, REQUIRED;
        example: "5", nonsense: Refused,
        meaning: "ticks of silence after which leader and follower end their connection",
        difference: "",
    }
    "connectToLearnerMasterLimit" {
        /// `None`: `initLimit`.
        value connect_limit: Option<u32> = None, Shape::new(positive_or_none, |ticks| shown_or(ticks, "0"));
        example: "3", nonsense: Refused,
        meaning: "ticks in which a connection to the leader must stand; 0: `initLimit`",
        difference: "a leader that refuses connections is given up after a second",
    }
    "standaloneEnabled" {
        value standalone_enabled: bool = true, Shape::of(boolean);
        example: "", nonsense: Refused,
        meaning: "true: a single participant is a standalone server; false: it is an ensemble that may grow",
        difference: "",
    }
    "peerType" {
        undecided peer_type: Option<MemberRole> = None, Shape::new(
            |text| MemberRole::named(text).map(Some).ok_or_else(|| "expected participant or observer".into()),
            |role| role.unwrap_or(MemberRole::Participant).name().into(),
        );
        example: "", nonsense: Refused,
        meaning: "participant or observer; the role in this server's own line counts, with a warning when the two \
                  differ",
        difference: "",
    }
    "electionAlg" {
        nothing Shape::new(
            |text| match text {
                "3" => Ok(()),
                _ => Err("expected 3, the only algorithm there is".into()),
            },
            |()| "3".into(),
        );
        example: "", nonsense: Refused,
        meaning: "the algorithm of elections; there is only this one",
        difference: "",
    }
    "dynamicConfigFile" {
        undecided dynamic_config_file: Option<PathBuf> = None, Shape::new(|text| path(text).map(Some), |_| "none".into());
        example: "", nonsense: Refused,
        meaning: "file of the `server.N`, `group.N` and `weight.N` lines, which then must not stand here; \
                  the hexadecimal number its name ends in is their version",
        difference: "",
    }
    "reconfigEnabled" {
        value reconfig_enabled: bool = false, Shape::of(boolean);
        example: "true", nonsense: Refused,
        meaning: "allows the servers of the ensemble to be changed while it runs",
        difference: "",
    }
    "quorumListenOnAllIPs" {
        value listen_on_all_addresses: bool = false, Shape::of(boolean);
        example: "true", nonsense: Refused,
        meaning: "binds the ports between servers on every address of the machine instead of this server's own",
        difference: "",
    }
    "corral.insecureQuorum" {
        /// The operator trusts the network between the servers.
        value insecure_quorum: bool = false, Shape::of(boolean);
        example: "", nonsense: Refused,
        meaning: "true: the ports between servers may be open beyond this machine without TLS or SASL",
        difference: "Corral's own; ZooKeeper opens them to everybody without a warning",
    }
    "corral.sessionSecret" {
        /// `None`: session passwords are made under what the members agree on.
        value session_secret: Option<Secret<String>> = None, Shape::new(
            |text| match text.chars().count() {
                ..16 => Err("expected 16 characters or more".into()),
                _ => Ok(Some(Secret::new(text.to_owned()))),
            },
            said_of_secret,
        );
        example: "correct horse battery staple", nonsense: Refused,
        meaning: "16 characters or more, the same on every server: session passwords are made from this secret, and \
                  not from one that the servers agree on by themselves; servers of ZooKeeper accept none of these \
                  passwords",
        difference: "Corral's own",
    }
    "corral.zookeeperPasswords" {
        value zookeeper_passwords: bool = false, Shape::of(boolean);
        example: "true", nonsense: Refused,
        meaning: "true, on every server: new sessions get passwords that servers of ZooKeeper accept and that anybody \
                  can compute. Set it before the first ZooKeeper joins an ensemble of Corrals, early enough for older \
                  sessions to end. While a ZooKeeper is a member the key is not needed",
        difference: "Corral's own",
    }
    "leaderServes" {
        value leader_serves: bool = true, Shape::new(yes_or_no, show_yes_or_no);
        example: "no", nonsense: Forgiven,
        meaning: "no: a leader serves no clients",
        difference: "ZooKeeper takes every word but no for yes, and its leader then answers four-letter words as if \
                     it did not serve",
    }
    "corral.leaderSlowWriteMs" {
        /// `None`: a leader stays, however slow its disk.
        value slow_write_ms: Option<u32> = Some(4000), Shape::new(positive_or_none, |ms| shown_or(ms, "0"));
        example: "1000", nonsense: Refused,
        meaning: "milliseconds a leader's write of the log may take before the leader hands over to another one; 0: \
                  it never does",
        difference: "Corral's own; ZooKeeper's leader stays",
    }
    "localSessionsEnabled" {
        value local_sessions: bool = false, Shape::of(boolean);
        example: "true", nonsense: Refused,
        meaning: "new sessions are known to their own server only: no transaction opens or ends them, no other server takes \
                  them up, and they have no ephemeral znodes",
        difference: "",
    }
    "localSessionsUpgradingEnabled" {
        value local_session_upgrading: bool = false, Shape::of(boolean);
        example: "true", nonsense: Refused,
        meaning: "a local session becomes a global one when it creates an ephemeral znode; else that is refused",
        difference: "",
    }
    "observerMasterPort" {
        /// `None`: observers follow the leader.
        value observer_master_port: Option<u16> = None, Shape::new(
            |text| Ok(Some(number(text, 0..=65_535)?).filter(|port| *port > 0)),
            |port| shown_or(port, "0"),
        );
        example: "2889", nonsense: Refused,
        meaning: "port on which followers serve observers in place of the leader; on an observer, the port by which \
                  it finds such a follower; 0: observers follow the leader",
        difference: "has no effect on a voter in this version, with a warning; an observer that finds no such \
                     follower for 5 seconds follows the leader, where ZooKeeper's goes on asking",
    }
    "observerMaster.sizeLimit" {
        value observer_master_bytes: u32 = 32 << 20, Shape::of(positive);
        example: "1048576", nonsense: Forgiven,
        meaning: "bytes of recent transactions a follower keeps for its observers",
        difference: NO_EFFECT,
    }
    "observer.reconnectDelayMs" {
        value observer_reconnect_delay_ms: u32 = 0, Shape::of(non_negative);
        example: "500", nonsense: Forgiven,
        meaning: "milliseconds an observer waits at most before it looks for a leader again, beyond \
                  `observer.election.DelayMs`",
        difference: "the delay is derived from the server's id, where ZooKeeper's is random",
    }
    "observer.election.DelayMs" {
        value observer_election_delay_ms: u32 = 200, Shape::of(non_negative);
        example: "0", nonsense: Forgiven,
        meaning: "milliseconds an observer waits after it lost its connection before it takes part in an election",
        difference: "",
    }
    "syncEnabled" or "observer.syncEnabled" {
        value observer_keeps_log: bool = true, Shape::of(boolean);
        example: "false", nonsense: Refused,
        meaning: "an observer keeps a log and snapshots of its own",
        difference: NO_EFFECT,
    }
    "commitLogCount" {
        value commit_log_count: u32 = 500, Shape::remarking(|text, remarks| {
            let count = non_negative(text)?;
            if count < 500 {
                remarks.warn("500 transactions are kept, the least there can be");
            }
            Ok(count.max(500))
        });
        example: "5000", nonsense: Forgiven,
        meaning: "recent transactions a leader keeps in memory to bring followers up to date; \
                  fewer than 500 count as 500",
        difference: "",
    }
    "snapshotSizeFactor" {
        /// From 0 to 1; `None`: the log on disk is never sent.
        value snapshot_size_factor: Option<f64> = Some(0.33), Shape::new(factor, |factor| shown_or(factor, "-1"));
        example: "-1", nonsense: Forgiven,
        meaning: "how much of the log, as a part of the last snapshot's size, is sent before a snapshot is sent \
                  instead; less than 0: the log on disk is never sent",
        difference: "",
    }
    "forceSnapshotSync" {
        value force_snapshot: bool = false, Shape::of(boolean);
        example: "true", nonsense: Forgiven,
        meaning: "a leader sends every follower a snapshot, for tests",
        difference: "",
    }
    "leader.maxConcurrentSnapSyncs" {
        value max_snapshot_syncs: u32 = 10, Shape::of(positive);
        example: "2", nonsense: Forgiven,
        meaning: "snapshots a leader sends at the same time; observers beyond that come again later",
        difference: "",
    }
    "leader.maxConcurrentDiffSyncs" {
        value max_diff_syncs: u32 = 100, Shape::of(positive);
        example: "20", nonsense: Forgiven,
        meaning: "servers a leader brings up to date by transactions at the same time; observers beyond that come \
                  again later",
        difference: "",
    }
    "leader.maxTimeToWaitForEpoch" {
        /// `None`: `initLimit` ticks.
        value gather_ms: Option<i64> = None, Shape::new(
            |text| Ok(Some(i64::from(number::<i32>(text, -1..=i32::MAX)?)).filter(|ms| *ms >= 0)),
            |ms| shown_or(ms, "-1"),
        );
        example: "5000", nonsense: Forgiven,
        meaning: "milliseconds a new leader waits for a quorum before it looks again, one tick at least; \
                  -1: `initLimit` ticks",
        difference: "ZooKeeper waits on while no voter is known to look again",
    }
    "leaderConnectDelayDuringRetryMs" {
        value leader_connect_delay_ms: u32 = 100, Shape::of(non_negative);
        example: "50", nonsense: Forgiven,
        meaning: "milliseconds between two attempts to connect to the leader",
        difference: "",
    }
    "fastleader.minNotificationInterval" {
        value min_notification_ms: u32 = 200, Shape::of(positive);
        example: "100", nonsense: Forgiven,
        meaning: "milliseconds after which an undecided server asks the others again; doubled each time",
        difference: "",
    }
    "fastleader.maxNotificationInterval" {
        value max_notification_ms: u32 = 60_000, Shape::of(positive);
        example: "5000", nonsense: Forgiven,
        meaning: "milliseconds beyond which that time is not doubled",
        difference: "",
    }
    "cnxTimeout" {
        value election_connect_timeout_ms: u32 = 5000, Shape::of(positive);
        example: "1000", nonsense: Forgiven,
        meaning: "milliseconds in which a connection for elections must stand",
        difference: "",
    }
    "quorumCnxnTimeoutMs" {
        /// `None`: `syncLimit` ticks.
        value election_handshake_timeout_ms: Option<u32> = None, Shape::new(
            any_or_none,
            |ms| shown_or(ms, "-1"),
        );
        example: "20000", nonsense: Forgiven,
        meaning: "milliseconds in which the server at the other end of a connection for elections must name itself; \
                  less than 1: `syncLimit` ticks",
        difference: "",
    }
    "electionPortBindRetry" {
        /// `None`: for ever.
        value election_bind_retries: Option<u32> = Some(3), Shape::new(
            positive_or_none,
            |count| shown_or(count, "0"),
        );
        example: "0", nonsense: Forgiven,
        meaning: "how often opening the ports is tried again, a second apart, while a port between servers is taken or \
                  this server's own name or address does not exist yet; 0: for ever",
        difference: "",
    }
    "multiAddress.enabled" {
        value multi_address: bool = false, Shape::of(boolean);
        example: "true", nonsense: Refused,
        meaning: "a server may have several addresses, between `|`",
        difference: "counts when it stands in the file, where ZooKeeper reads its system property only",
    }
    "multiAddress.reachabilityCheckEnabled" {
        value check_reachability: bool = true, Shape::of(boolean);
        example: "false", nonsense: Forgiven,
        meaning: "tries which of several addresses can be reached before one is used",
        difference: NO_EFFECT,
    }
    "multiAddress.reachabilityCheckTimeoutMs" {
        value reachability_timeout_ms: u32 = 1000, Shape::of(positive);
        example: "200", nonsense: Forgiven,
        meaning: "milliseconds such a try may take",
        difference: NO_EFFECT,
    }
    "tcpKeepAlive" {
        value tcp_keep_alive: bool = false, Shape::of(boolean);
        example: "true", nonsense: Forgiven,
        meaning: "TCP keep-alive on connections for elections",
        difference: "",
    }
}

impl Default for Settings {
    fn default() -> Self {
        Settings::usual()
    }
}

impl Settings {
    /// How long an observer waits at most before it looks for a leader again, ms: voters first.
    pub(crate) fn observer_delay_ms(&self) -> i64 {
        i64::from(self.observer_election_delay_ms) + i64::from(self.observer_reconnect_delay_ms)
    }

    /// The keys that ask for something this version does not do, and what it does instead. Nothing that was agreed on
    /// depends on any of them, so a server starts without. Some mean something for those that do not vote.
    pub(super) fn without_effect(&self, votes: bool) -> Vec<(&'static str, &'static str)> {
        let usual = Settings::default();
        [
            (
                "observerMasterPort",
                votes && self.observer_master_port.is_some(),
                "it takes in no observers here; they ask another voter, or the leader",
            ),
            (
                "observerMaster.sizeLimit",
                self.observer_master_bytes != usual.observer_master_bytes,
                "nothing is kept for observers",
            ),
            ("syncEnabled", !self.observer_keeps_log, "an observer keeps its log and snapshots"),
            (
                "multiAddress.reachabilityCheckEnabled",
                !self.check_reachability,
                "of several addresses the first that answers is used",
            ),
            (
                "multiAddress.reachabilityCheckTimeoutMs",
                self.reachability_timeout_ms != usual.reachability_timeout_ms,
                "the addresses of a server share cnxTimeout",
            ),
        ]
        .into_iter()
        .filter_map(|(key, asked, instead)| asked.then_some((key, instead)))
        .collect()
    }
}

fn factor(text: &str) -> Result<Option<f64>, Expected> {
    let factor: Option<f64> = text.parse().ok();
    match factor.filter(|factor| factor.is_finite() && *factor <= 1.0) {
        Some(factor) => Ok(Some(factor).filter(|factor| *factor >= 0.0)),
        None => Err("expected a number up to 1, like 0.33".into()),
    }
}

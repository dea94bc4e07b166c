//! The keys that only members of an ensemble act on; the same table as [`super::keys`], and held to
//! `docs/configuration.md` like it. The servers themselves (`server.N`, `group.N`, `weight.N`) are read by
//! [`super::membership`].

use super::keys::{Key, NOT_NEGATIVE, POSITIVE};
use super::member::MemberRole;
use super::secret::Secret;
use super::shapes::path;
use super::value::{Expected, boolean, number, yes_or_no};

/// Said of the keys in [`Settings::without_effect`].
///
/// [`Settings::without_effect`]: super::Settings::without_effect
const NO_EFFECT: &str = "has no effect in this version, and is warned about";

/// Every key of an ensemble, in the order of the documentation.
#[rustfmt::skip]
pub const ENSEMBLE_KEYS: &[Key] = &[
    Key {
        name: "initLimit", alias: "", default: "none, required", example: "10",
        meaning: "ticks in which a new leader must have gathered a quorum, and a server must be in step with it",
        difference: "",
        apply: |draft, text| number(text, POSITIVE).map(|ticks| draft.settings.init_limit = ticks),
    },
    Key {
        name: "syncLimit", alias: "", default: "none, required", example: "5",
        meaning: "ticks of silence after which leader and follower end their connection",
        difference: "",
        apply: |draft, text| number(text, POSITIVE).map(|ticks| draft.settings.sync_limit = ticks),
    },
    Key {
        name: "connectToLearnerMasterLimit", alias: "", default: "0", example: "3",
        meaning: "ticks in which a connection to the leader must stand; 0: `initLimit`",
        difference: "a leader that refuses connections is given up after a second",
        apply: |draft, text| {
            draft.settings.connect_limit = Some(number::<u32>(text, NOT_NEGATIVE)?.into()).filter(|ticks| *ticks > 0);
            Ok(())
        },
    },
    Key {
        name: "standaloneEnabled", alias: "", default: "true", example: "",
        meaning: "true: a single participant is a standalone server; false: it is an ensemble that may grow",
        difference: "",
        apply: |draft, text| boolean(text).map(|on| draft.settings.standalone_enabled = on),
    },
    Key {
        name: "peerType", alias: "", default: "participant", example: "",
        meaning: "participant or observer; the role in this server's own line counts, with a warning when the two \
                  differ",
        difference: "",
        apply: |draft, text| {
            let role = MemberRole::named(text).ok_or("expected participant or observer")?;
            draft.peer_type = Some(role);
            Ok(())
        },
    },
    Key {
        name: "electionAlg", alias: "", default: "3", example: "",
        meaning: "the algorithm of elections; there is only this one",
        difference: "",
        apply: |_, text| match text {
            "3" => Ok(()),
            _ => Err("expected 3, the only algorithm there is".into()),
        },
    },
    Key {
        name: "dynamicConfigFile", alias: "", default: "none", example: "",
        meaning: "file of the `server.N`, `group.N` and `weight.N` lines, which then must not stand here; \
                  the hexadecimal number its name ends in is their version",
        difference: "",
        apply: |draft, text| path(text).map(|path| draft.dynamic_config_file = Some(path)),
    },
    Key {
        name: "reconfigEnabled", alias: "", default: "false", example: "true",
        meaning: "allows the servers of the ensemble to be changed while it runs",
        difference: "",
        apply: |draft, text| boolean(text).map(|on| draft.settings.reconfig_enabled = on),
    },
    Key {
        name: "quorumListenOnAllIPs", alias: "", default: "false", example: "true",
        meaning: "binds the ports between servers on every address of the machine instead of this server's own",
        difference: "",
        apply: |draft, text| boolean(text).map(|on| draft.settings.listen_on_all_addresses = on),
    },
    Key {
        name: "corral.insecureQuorum", alias: "", default: "false", example: "",
        meaning: "true: the ports between servers may be open beyond this machine without TLS or SASL",
        difference: "Corral's own; ZooKeeper opens them to everybody without a warning",
        apply: |draft, text| boolean(text).map(|on| draft.settings.insecure_quorum = on),
    },
    Key {
        name: "corral.sessionSecret", alias: "", default: "none", example: "correct horse battery staple",
        meaning: "16 characters or more, the same on every server: session passwords are made from this secret, and \
                  not from one that the servers agree on by themselves; servers of ZooKeeper accept none of these \
                  passwords",
        difference: "Corral's own",
        apply: |draft, text| {
            if text.chars().count() < 16 {
                return Err("expected 16 characters or more".into());
            }
            draft.settings.session_secret = Some(Secret::new(text.to_owned()));
            Ok(())
        },
    },
    Key {
        name: "corral.zookeeperPasswords", alias: "", default: "false", example: "true",
        meaning: "true, on every server: new sessions get passwords that servers of ZooKeeper accept and that anybody \
                  can compute. Set it before the first ZooKeeper joins an ensemble of Corrals, early enough for older \
                  sessions to end. While a ZooKeeper is a member the key is not needed",
        difference: "Corral's own",
        apply: |draft, text| boolean(text).map(|on| draft.settings.zookeeper_passwords = on),
    },
    Key {
        name: "leaderServes", alias: "", default: "yes", example: "no",
        meaning: "no: a leader serves no clients",
        difference: "ZooKeeper takes every word but no for yes, and its leader then answers four-letter words as if \
                     it did not serve",
        apply: |draft, text| yes_or_no(text).map(|serves| draft.settings.leader_serves = serves),
    },
    Key {
        name: "corral.leaderSlowWriteMs", alias: "", default: "4000", example: "1000",
        meaning: "milliseconds a leader's write of the log may take before the leader hands over to another one; 0: \
                  it never does",
        difference: "Corral's own; ZooKeeper's leader stays",
        apply: |draft, text| {
            draft.settings.slow_write_ms = Some(number::<u32>(text, NOT_NEGATIVE)?.into()).filter(|ms| *ms > 0);
            Ok(())
        },
    },
    Key {
        name: "localSessionsEnabled", alias: "", default: "false", example: "true",
        meaning: "new sessions are known to their own server only: no transaction opens or ends them, no other server takes \
                  them up, and they have no ephemeral znodes",
        difference: "",
        apply: |draft, text| boolean(text).map(|on| draft.settings.local_sessions = on),
    },
    Key {
        name: "localSessionsUpgradingEnabled", alias: "", default: "false", example: "true",
        meaning: "a local session becomes a global one when it creates an ephemeral znode; else that is refused",
        difference: "",
        apply: |draft, text| boolean(text).map(|on| draft.settings.local_session_upgrading = on),
    },
    Key {
        name: "observerMasterPort", alias: "", default: "0", example: "2889",
        meaning: "port on which followers serve observers in place of the leader; on an observer, the port by which \
                  it finds such a follower; 0: observers follow the leader",
        difference: "has no effect on a voter in this version, with a warning; an observer that finds no such \
                     follower for 5 seconds follows the leader, where ZooKeeper's goes on asking",
        apply: |draft, text| {
            draft.settings.observer_master_port = Some(number(text, 0..=65_535)?).filter(|port| *port > 0);
            Ok(())
        },
    },
    Key {
        name: "observerMaster.sizeLimit", alias: "", default: "33554432", example: "1048576",
        meaning: "bytes of recent transactions a follower keeps for its observers",
        difference: NO_EFFECT,
        apply: |draft, text| number(text, POSITIVE).map(|bytes| draft.settings.observer_master_bytes = bytes),
    },
    Key {
        name: "observer.reconnectDelayMs", alias: "", default: "0", example: "500",
        meaning: "milliseconds an observer waits at most before it looks for a leader again, beyond \
                  `observer.election.DelayMs`",
        difference: "the delay is derived from the server's id, where ZooKeeper's is random",
        apply: |draft, text| number(text, NOT_NEGATIVE).map(|ms| draft.settings.observer_reconnect_delay_ms = ms.into()),
    },
    Key {
        name: "observer.election.DelayMs", alias: "", default: "200", example: "0",
        meaning: "milliseconds an observer waits after it lost its connection before it takes part in an election",
        difference: "",
        apply: |draft, text| number(text, NOT_NEGATIVE).map(|ms| draft.settings.observer_election_delay_ms = ms.into()),
    },
    Key {
        name: "syncEnabled", alias: "observer.syncEnabled", default: "true", example: "false",
        meaning: "an observer keeps a log and snapshots of its own",
        difference: NO_EFFECT,
        apply: |draft, text| boolean(text).map(|on| draft.settings.observer_keeps_log = on),
    },
    Key {
        name: "commitLogCount", alias: "", default: "500", example: "5000",
        meaning: "recent transactions a leader keeps in memory to bring followers up to date; \
                  fewer than 500 count as 500",
        difference: "",
        apply: |draft, text| {
            draft.settings.commit_log_count = number(text, NOT_NEGATIVE)?;
            if draft.settings.commit_log_count < 500 {
                draft.warn("500 transactions are kept, the least there can be");
                draft.settings.commit_log_count = 500;
            }
            Ok(())
        },
    },
    Key {
        name: "snapshotSizeFactor", alias: "", default: "0.33", example: "-1",
        meaning: "how much of the log, as a part of the last snapshot's size, is sent before a snapshot is sent \
                  instead; less than 0: the log on disk is never sent",
        difference: "",
        apply: |draft, text| factor(text).map(|factor| draft.settings.snapshot_size_factor = factor),
    },
    Key {
        name: "forceSnapshotSync", alias: "", default: "false", example: "true",
        meaning: "a leader sends every follower a snapshot, for tests",
        difference: "",
        apply: |draft, text| boolean(text).map(|on| draft.settings.force_snapshot = on),
    },
    Key {
        name: "leader.maxConcurrentSnapSyncs", alias: "", default: "10", example: "2",
        meaning: "snapshots a leader sends at the same time; observers beyond that come again later",
        difference: "",
        apply: |draft, text| number(text, POSITIVE).map(|count| draft.settings.max_snapshot_syncs = count as usize),
    },
    Key {
        name: "leader.maxConcurrentDiffSyncs", alias: "", default: "100", example: "20",
        meaning: "servers a leader brings up to date by transactions at the same time; observers beyond that come \
                  again later",
        difference: "",
        apply: |draft, text| number(text, POSITIVE).map(|count| draft.settings.max_diff_syncs = count as usize),
    },
    Key {
        name: "leader.maxTimeToWaitForEpoch", alias: "", default: "-1", example: "5000",
        meaning: "milliseconds a new leader waits for a quorum before it looks again, one tick at least; \
                  -1: `initLimit` ticks",
        difference: "ZooKeeper waits on while no voter is known to look again",
        apply: |draft, text| {
            draft.settings.gather_ms = Some(number::<i32>(text, -1..=i32::MAX)?.into()).filter(|ms| *ms >= 0);
            Ok(())
        },
    },
    Key {
        name: "leaderConnectDelayDuringRetryMs", alias: "", default: "100", example: "50",
        meaning: "milliseconds between two attempts to connect to the leader",
        difference: "",
        apply: |draft, text| number(text, NOT_NEGATIVE).map(|ms| draft.settings.leader_connect_delay_ms = ms.into()),
    },
    Key {
        name: "fastleader.minNotificationInterval", alias: "", default: "200", example: "100",
        meaning: "milliseconds after which an undecided server asks the others again; doubled each time",
        difference: "",
        apply: |draft, text| number(text, POSITIVE).map(|ms| draft.settings.min_notification_ms = ms),
    },
    Key {
        name: "fastleader.maxNotificationInterval", alias: "", default: "60000", example: "5000",
        meaning: "milliseconds beyond which that time is not doubled",
        difference: "",
        apply: |draft, text| number(text, POSITIVE).map(|ms| draft.settings.max_notification_ms = ms),
    },
    Key {
        name: "cnxTimeout", alias: "", default: "5000", example: "1000",
        meaning: "milliseconds in which a connection for elections must stand",
        difference: "",
        apply: |draft, text| number(text, POSITIVE).map(|ms| draft.settings.election_connect_timeout_ms = ms),
    },
    Key {
        name: "quorumCnxnTimeoutMs", alias: "", default: "-1", example: "20000",
        meaning: "milliseconds in which the server at the other end of a connection for elections must name itself; \
                  less than 1: `syncLimit` ticks",
        difference: "",
        apply: |draft, text| {
            let ms: i32 = number(text, i32::MIN..=i32::MAX)?;
            draft.settings.election_handshake_timeout_ms = u32::try_from(ms).ok().filter(|ms| *ms > 0);
            Ok(())
        },
    },
    Key {
        name: "electionPortBindRetry", alias: "", default: "3", example: "0",
        meaning: "how often opening the ports is tried again, a second apart, while a port between servers is taken or \
                  this server's own name or address does not exist yet; 0: for ever",
        difference: "",
        apply: |draft, text| {
            draft.settings.election_bind_retries = Some(number(text, NOT_NEGATIVE)?).filter(|count| *count > 0);
            Ok(())
        },
    },
    Key {
        name: "multiAddress.enabled", alias: "", default: "false", example: "true",
        meaning: "a server may have several addresses, between `|`",
        difference: "counts when it stands in the file, where ZooKeeper reads its system property only",
        apply: |draft, text| boolean(text).map(|on| draft.settings.multi_address = on),
    },
    Key {
        name: "multiAddress.reachabilityCheckEnabled", alias: "", default: "true", example: "false",
        meaning: "tries which of several addresses can be reached before one is used",
        difference: NO_EFFECT,
        apply: |draft, text| boolean(text).map(|on| draft.settings.check_reachability = on),
    },
    Key {
        name: "multiAddress.reachabilityCheckTimeoutMs", alias: "", default: "1000", example: "200",
        meaning: "milliseconds such a try may take",
        difference: NO_EFFECT,
        apply: |draft, text| number(text, POSITIVE).map(|ms| draft.settings.reachability_timeout_ms = ms),
    },
    Key {
        name: "tcpKeepAlive", alias: "", default: "false", example: "true",
        meaning: "TCP keep-alive on connections for elections",
        difference: "",
        apply: |draft, text| boolean(text).map(|on| draft.settings.tcp_keep_alive = on),
    },
];

fn factor(text: &str) -> Result<Option<f64>, Expected> {
    let factor: Option<f64> = text.parse().ok();
    match factor.filter(|factor| factor.is_finite() && *factor <= 1.0) {
        Some(factor) => Ok(Some(factor).filter(|factor| *factor >= 0.0)),
        None => Err("expected a number up to 1, like 0.33".into()),
    }
}

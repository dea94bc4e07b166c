//! The keys this server acts on: one table from which files are read, and to which `docs/configuration.md`
//! is held.
//!
//! Those of ensembles stand in [`super::ensemble_keys`]; what the other keys of ZooKeeper mean here, in
//! [`super::foreign`]. The meaning of each key is that
//! of ZooKeeper 3.9 unless the table says otherwise.

use super::draft::Draft;
use super::ensemble_keys::ENSEMBLE_KEYS;
use super::secret::Secret;
use super::shapes::{digest_algorithm, host, is_digest_id, log_format, path, profile, timeout};
use super::value::{self, Expected, boolean, number, yes_or_no};
use crate::ids::Zxid;
use crate::limits;

/// One key.
pub struct Key {
    pub name: &'static str,
    /// Another spelling of the same key; empty when there is none.
    pub alias: &'static str,
    /// What holds when the key is absent, in words where it is no single value.
    pub default: &'static str,
    /// A value that is taken and is not the default.
    pub example: &'static str,
    pub meaning: &'static str,
    /// In what it differs from ZooKeeper; empty when in nothing.
    pub difference: &'static str,
    pub(super) apply: fn(&mut Draft, &str) -> Result<(), Expected>,
}

/// Keys whose values are never shown.
pub fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    key.contains("password") || key.contains("superdigest") || key.contains("secret")
}

pub(super) const POSITIVE: std::ops::RangeInclusive<u32> = 1..=i32::MAX as u32;
pub(super) const NOT_NEGATIVE: std::ops::RangeInclusive<u32> = 0..=i32::MAX as u32;

/// Every key of any server, in the order of the documentation.
#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    Key {
        name: "dataDir", alias: "", default: "none with a file, `./corral-data` without", example: "/srv/data",
        meaning: "directory of the snapshots, and of the log unless `dataLogDir` is given",
        difference: "the files in it are Corral's own; a directory of another kind is refused",
        apply: |draft, text| path(text).map(|path| draft.data_dir = Some(path)),
    },
    Key {
        name: "dataLogDir", alias: "", default: "`dataDir`", example: "/srv/log",
        meaning: "directory of the transaction log; a disk of its own helps",
        difference: "",
        apply: |draft, text| path(text).map(|path| draft.data_log_dir = Some(path)),
    },
    Key {
        name: "clientPort", alias: "", default: "2181", example: "2182",
        meaning: "port on which clients are served",
        difference: "ZooKeeper has no default and then serves nobody",
        apply: |draft, text| number(text, 1..=65_535).map(|port| draft.client_port = Some(port)),
    },
    Key {
        name: "clientPortAddress", alias: "",
        default: "every address when the file has `clientPort`, else 127.0.0.1", example: "10.0.0.1",
        meaning: "address or host name on which clients are served",
        difference: "without a file, or without `clientPort` in it, only the own machine is served",
        apply: |draft, text| host(text).map(|address| draft.client_address = Some(address)),
    },
    Key {
        name: "clientPortListenBacklog", alias: "", default: "-1", example: "4096",
        meaning: "connections that may wait to be accepted; less than 1: the server chooses",
        difference: "-1 means 1024, in ZooKeeper 50",
        apply: |draft, text| {
            let backlog: i32 = number(text, i32::MIN..=i32::MAX)?;
            draft.config.client_port_listen_backlog = u32::try_from(backlog).ok().filter(|backlog| *backlog > 0);
            Ok(())
        },
    },
    Key {
        name: "clientTcpKeepAlive", alias: "", default: "false", example: "true",
        meaning: "TCP keep-alive on client connections",
        difference: "",
        apply: |draft, text| boolean(text).map(|on| draft.config.client_tcp_keep_alive = on),
    },
    Key {
        name: "tickTime", alias: "", default: "3000", example: "2000",
        meaning: "milliseconds; sessions expire on multiples of it, and the session timeouts follow from it",
        difference: "",
        apply: |draft, text| number(text, 1..=i32::MAX as u32 / 20).map(|ms| draft.config.tick_time_ms = ms),
    },
    Key {
        name: "minSessionTimeout", alias: "", default: "-1", example: "1000",
        meaning: "milliseconds; a client that asks for less gets this much; -1: twice `tickTime`",
        difference: "",
        apply: |draft, text| {
            draft.min_session_timeout_ms = match number(text, i32::MIN..=i32::MAX)? {
                -1 => None,
                ms @ ..1 => Some(draft.at_least(i64::from(ms), 1) as i32),
                ms => Some(ms),
            };
            Ok(())
        },
    },
    Key {
        name: "maxSessionTimeout", alias: "", default: "-1", example: "90000",
        meaning: "milliseconds; a client that asks for more gets this much; -1: twenty times `tickTime`",
        difference: "",
        apply: |draft, text| {
            draft.max_session_timeout_ms = timeout(text)?;
            Ok(())
        },
    },
    Key {
        name: "maxClientCnxns", alias: "", default: "60", example: "0",
        meaning: "connections from one IP address; 0: no limit",
        difference: "counted over all shards",
        apply: |draft, text| {
            let count: i32 = number(text, i32::MIN..=i32::MAX)?;
            draft.config.max_client_cnxns = draft.at_least(i64::from(count), 0) as u32;
            Ok(())
        },
    },
    Key {
        name: "maxCnxns", alias: "", default: "0", example: "10000",
        meaning: "connections from everywhere; 0: no limit",
        difference: "",
        apply: |draft, text| {
            let count: i32 = number(text, i32::MIN..=i32::MAX)?;
            draft.config.max_cnxns = draft.at_least(i64::from(count), 0) as u32;
            Ok(())
        },
    },
    Key {
        name: "corral.connectTimeout", alias: "nio.sessionlessCnxnTimeout", default: "10000", example: "5000",
        meaning: "milliseconds in which a new connection must have got its session, or it is closed",
        difference: "",
        apply: |draft, text| number(text, POSITIVE).map(|ms| draft.config.connect_timeout_ms = ms),
    },
    Key {
        name: "jute.maxbuffer", alias: "", default: "1048575", example: "4194304",
        meaning: "bytes of the longest request that is read; a longer one ends its connection; it is to be the same \
                  on every server",
        difference: "can be set in the file, where ZooKeeper takes it from a system property only; at most 67108864; \
                     limits and the files of the log grow with it",
        apply: |draft, text| {
            let bytes = draft.at_least(value::decoded(text)?, i64::from(limits::SHORTEST_FRAME));
            draft.config.max_buffer = draft.at_most(bytes, i64::from(limits::LONGEST_FRAME)) as u32;
            Ok(())
        },
    },
    Key {
        name: "globalOutstandingLimit", alias: "", default: "1000", example: "5000",
        meaning: "writes under way in the whole server above which connections with writes of their own are not read",
        difference: "",
        apply: |draft, text| {
            let count: i32 = number(text, i32::MIN..=i32::MAX)?;
            draft.config.global_outstanding_limit = draft.at_least(i64::from(count), 1) as u32;
            Ok(())
        },
    },
    Key {
        name: "corral.memoryLimit", alias: "", default: "three quarters of what the server may use", example: "1G",
        meaning: "bytes of memory (a number may end in K, M, G or T) that the server may fill; waiting answers and \
                  requests, watches and the tree each have a share, see below. The default is that part of the memory \
                  of its control group or of the machine",
        difference: "ZooKeeper has Java's heap, and ends when it is full",
        apply: |draft, text| {
            draft.config.memory_limit = Some(value::bytes(text, 64 << 20..=1 << 50)?);
            Ok(())
        },
    },
    Key {
        name: "corral.outputLimit", alias: "", default: "16777216", example: "33554432",
        meaning: "bytes of replies and events that may wait for a client that does not read: when so many wait and \
                  more come, the connection is closed; one answer may be longer",
        difference: "ZooKeeper has no limit and runs out of memory",
        apply: |draft, text| {
            draft.config.output_limit = number::<u32>(text, 64 << 10..=i32::MAX as u32)? as usize;
            Ok(())
        },
    },
    Key {
        name: "corral.maxWatches", alias: "", default: "1000000", example: "50000",
        meaning: "watches of one connection, one of addWatch counting twice unless it is recursive; a request for more is \
                  refused as throttled (ThrottledOp), a setWatches for more ends its connection",
        difference: "ZooKeeper has no limit and runs out of memory",
        apply: |draft, text| number(text, POSITIVE).map(|count| draft.config.max_watches = count),
    },
    Key {
        name: "corral.maxWatchBytes", alias: "", default: "an eighth of `corral.memoryLimit`, 1 GiB at most", example: "268435456",
        meaning: "bytes of memory that the watches of the whole server may take, some 140 for a watch on a path of \
                  its own; each shard has an equal share, and one address half of it at most; a watch beyond that is \
                  refused as throttled",
        difference: "ZooKeeper has no limit and runs out of memory",
        apply: |draft, text| {
            draft.config.max_watch_bytes = Some(number::<i64>(text, 1 << 20..=1 << 37)? as usize);
            Ok(())
        },
    },
    Key {
        name: "autopurge.snapRetainCount", alias: "", default: "3", example: "5",
        meaning: "snapshots that are kept, with the log from the oldest of them on; less than 3 counts as 3",
        difference: "",
        apply: |draft, text| {
            let count: i32 = number(text, i32::MIN..=i32::MAX)?;
            if count < 3 {
                draft.warn("three snapshots are kept, the least there can be");
            }
            draft.retain = count.max(3) as u32;
            Ok(())
        },
    },
    Key {
        name: "autopurge.purgeInterval", alias: "", default: "on", example: "0",
        meaning: "0 keeps every snapshot and log file; any other number of hours, or time with a unit, purges",
        difference: "purging is on by default and happens after every snapshot, since nothing else makes a file \
                     superfluous: the length of the interval does not matter",
        apply: |draft, text| {
            let negative = text.strip_prefix('-');
            let ms = value::interval(negative.unwrap_or(text), 3_600_000)?;
            draft.purge = ms > 0 && negative.is_none();
            if negative.is_some() {
                draft.warn("less than 0: every snapshot and log file is kept, as with 0");
            }
            Ok(())
        },
    },
    Key {
        name: "snapCount", alias: "", default: "100000", example: "20000",
        meaning: "transactions after which a snapshot is due",
        difference: "snapshots take at most a tenth of the time: under load the next one waits, until ten times as \
                     many transactions at the latest",
        apply: |draft, text| {
            let count: i32 = number(text, i32::MIN..=i32::MAX)?;
            draft.config.snap_count = draft.at_least(i64::from(count), 2) as u32;
            Ok(())
        },
    },
    Key {
        name: "snapSizeLimitInKb", alias: "", default: "4194304", example: "1048576",
        meaning: "KiB of log after which a snapshot is due; 0 or less: no matter how much",
        difference: "like `snapCount`",
        apply: |draft, text| {
            let kib: i64 = number(text, i64::MIN >> 10..=i64::MAX >> 10)?;
            draft.config.snap_size_limit = u64::try_from(kib).ok().filter(|kib| *kib > 0).map(|kib| kib << 10);
            Ok(())
        },
    },
    Key {
        name: "preAllocSize", alias: "", default: "by profile", example: "32768",
        meaning: "KiB of one log file, which is written full of zeroes before it is used; four times `jute.maxbuffer` and \
                  a little more at least",
        difference: "ZooKeeper extends its files by as much and sets their size by other keys",
        apply: |draft, text| {
            let kib: i64 = number(text, i64::MIN..=i64::MAX)?;
            // Too little is said where all that a file must hold is known.
            draft.config.log_segment_bytes = (draft.at_most(kib, 4 << 20).max(0) as u64) << 10;
            Ok(())
        },
    },
    Key {
        name: "fsync.warningthresholdms", alias: "", default: "1000", example: "200",
        meaning: "milliseconds a write of the log may take before it is logged as slow",
        difference: "",
        apply: |draft, text| number(text, NOT_NEGATIVE).map(|ms| draft.config.fsync_warning_ms = ms),
    },
    Key {
        name: "forceSync", alias: "", default: "yes", example: "",
        meaning: "yes: a write is answered when it is on the disk",
        difference: "no is warned about: Corral always syncs",
        apply: |draft, text| match yes_or_no(text)? {
            true => Ok(()),
            false => {
                draft.warn("Corral always syncs before it answers");
                Ok(())
            }
        },
    },
    Key {
        name: "datadir.autocreate", alias: "", default: "true", example: "false",
        meaning: "creates the data directories when they are missing",
        difference: "",
        apply: |draft, text| boolean(text).map(|create| draft.config.create_data_dir = create),
    },
    Key {
        name: "db.autocreate", alias: "", default: "true", example: "false",
        meaning: "begins with an empty tree when the data directory holds no data",
        difference: "a standalone server knows no file `initialize`: when false, an empty directory is refused; a member \
                     acts by both as in ZooKeeper: with neither, it does not vote before a leader has brought it up to date",
        apply: |draft, text| boolean(text).map(|create| draft.config.create_database = create),
    },
    Key {
        name: "corral.acceptLogLoss", alias: "", default: "false", example: "true",
        meaning: "for one start: goes on from a whole snapshot when the log behind it is missing; acknowledged writes \
                  are then lost",
        difference: "Corral's own; ZooKeeper goes on without a warning",
        apply: |draft, text| {
            draft.config.accept_log_loss = boolean(text)?;
            if draft.config.accept_log_loss {
                draft.warn("a log that is missing is taken for lost: take this key out again after this start");
            }
            Ok(())
        },
    },
    Key {
        name: "extendedTypesEnabled", alias: "", default: "false", example: "true",
        meaning: "allows znodes with a time to live",
        difference: "",
        apply: |draft, text| boolean(text).map(|on| draft.config.extended_types = on),
    },
    Key {
        name: "emulate353TTLNodes", alias: "", default: "false", example: "true",
        meaning: "reads znodes with a time to live as 3.5.3 encoded them",
        difference: "",
        apply: |draft, text| boolean(text).map(|on| draft.config.emulate_353_ttl = on),
    },
    Key {
        name: "znode.container.checkIntervalMs", alias: "", default: "60000", example: "5000",
        meaning: "milliseconds between two searches for empty containers and for znodes whose time to live is over, \
                  10 at least",
        difference: "can be set in the file, where ZooKeeper takes it from a system property only",
        apply: |draft, text| number(text, POSITIVE).map(|ms| draft.config.container_check_interval_ms = ms),
    },
    Key {
        name: "znode.container.maxPerMinute", alias: "", default: "10000", example: "600",
        meaning: "how many of them are deleted in a minute at most",
        difference: "can be set in the file, where ZooKeeper takes it from a system property only",
        apply: |draft, text| number(text, POSITIVE).map(|count| draft.config.container_max_per_minute = count),
    },
    Key {
        name: "znode.container.maxNeverUsedIntervalMs", alias: "", default: "0", example: "600000",
        meaning: "milliseconds after which a container that never had a child is deleted; 0: never",
        difference: "can be set in the file, where ZooKeeper takes it from a system property only",
        apply: |draft, text| number(text, NOT_NEGATIVE).map(|ms| draft.config.container_max_never_used_ms = ms),
    },
    Key {
        name: "enforceQuota", alias: "", default: "false", example: "true",
        meaning: "refuses writes that would exceed a hard quota",
        difference: "",
        apply: |draft, text| boolean(text).map(|on| draft.config.enforce_quota = on),
    },
    Key {
        name: "skipACL", alias: "", default: "no", example: "yes",
        meaning: "yes: nobody's permissions are checked",
        difference: "every word but yes and no is warned about, and is no",
        apply: |draft, text| {
            draft.config.skip_acl = match text {
                "yes" => true,
                "no" => false,
                _ => return Err("expected yes or no".into()),
            };
            if draft.config.skip_acl {
                draft.warn("permissions are not checked: every client may read and write everything");
            }
            Ok(())
        },
    },
    Key {
        name: "digest.enabled", alias: "", default: "true", example: "false",
        meaning: "keeps a checksum of the tree and compares it with the log's",
        difference: "",
        apply: |draft, text| boolean(text).map(|on| draft.config.digest_enabled = on),
    },
    Key {
        name: "DigestAuthenticationProvider.enabled", alias: "", default: "true", example: "false",
        meaning: "clients may authenticate by the scheme digest",
        difference: "",
        apply: |draft, text| boolean(text).map(|on| draft.config.digest_scheme = on),
    },
    Key {
        name: "DigestAuthenticationProvider.digestAlg", alias: "", default: "SHA1", example: "SHA-256",
        meaning: "how the scheme digest hashes `user:password`: SHA1, SHA-256 or SHA-512; \
                  ACLs made under another one never match",
        difference: "no other algorithms of Java",
        apply: |draft, text| digest_algorithm(text).map(|algorithm| draft.config.digest_algorithm = algorithm),
    },
    Key {
        name: "DigestAuthenticationProvider.superDigest", alias: "", default: "none",
        example: "super:GJJ8GzXnHf0G1WSSz1SdtsFxJSg=",
        meaning: "`user:base64(SHA1(user:password))`, or the hash of `digestAlg`: a client that authenticates as this \
                  user may do everything",
        difference: "a value that no password could have is refused; it is to be the same on every member of an \
                     ensemble: a leader accepts this user from a follower only with the digest of its own \
                     configuration",
        apply: |draft, text| {
            if !is_digest_id(text) {
                return Err("expected user:digest, the digest being a hash (20 bytes with SHA1) in base64".into());
            }
            draft.config.super_digest = Some(Secret::new(text.to_owned()));
            Ok(())
        },
    },
    Key {
        name: "enforce.auth.enabled", alias: "", default: "false", example: "",
        meaning: "serves only connections that have authenticated with one of `enforce.auth.schemes`",
        difference: "",
        apply: |draft, text| boolean(text).map(|on| draft.enforce_auth = on),
    },
    Key {
        name: "enforce.auth.schemes", alias: "", default: "none", example: "",
        meaning: "the schemes, between commas",
        difference: "digest and ip; this version knows no others and refuses them",
        apply: |draft, text| {
            draft.enforced_schemes = value::list(text);
            Ok(())
        },
    },
    Key {
        name: "4lw.commands.whitelist", alias: "", default: "srvr", example: "*",
        meaning: "four-letter words that are answered, between commas; `*` for all of them; `srvr` always is",
        difference: "",
        apply: |draft, text| {
            draft.config.four_letter_words = value::list(text);
            Ok(())
        },
    },
    Key {
        name: "readonlymode.enabled", alias: "", default: "false", example: "true",
        meaning: "a member of an ensemble serves reads while it has no quorum; the word `isro` is answered even if \
                  the whitelist lacks it",
        difference: "can be set in the file, where ZooKeeper takes it from a system property only; only the state \
                     known to be committed is shown, and `localSessionsEnabled` is not needed, see below",
        apply: |draft, text| boolean(text).map(|on| draft.config.read_only_mode = on),
    },
    Key {
        name: "corral.profile", alias: "", default: "`small` on one or two cores, else `balanced`", example: "throughput",
        meaning: "latency, balanced, throughput or small: the values of the keys below (`corral profile show NAME`)",
        difference: "Corral's own",
        apply: |draft, text| profile(text).map(|profile| draft.config.profile = profile),
    },
    Key {
        name: "corral.shards", alias: "", default: "by profile", example: "3",
        meaning: "threads that own client connections, beside the quorum core; 0: one thread does both",
        difference: "Corral's own",
        apply: |draft, text| number(text, 0..=64).map(|count| draft.config.shards = count),
    },
    Key {
        name: "corral.pinThreads", alias: "", default: "by profile", example: "true",
        meaning: "keeps each thread on a CPU of its own, if the server may use one for each",
        difference: "Corral's own",
        apply: |draft, text| boolean(text).map(|on| draft.config.pin_threads = on),
    },
    Key {
        name: "corral.spinMicros", alias: "", default: "by profile", example: "20",
        meaning: "microseconds for which a thread without work looks for more before it sleeps; without effect when \
                  `corral.shards` is 0",
        difference: "Corral's own",
        apply: |draft, text| number(text, 0..=10_000).map(|us| draft.config.spin_us = us),
    },
    Key {
        name: "corral.groupCommitDelayMicros", alias: "", default: "by profile", example: "500",
        meaning: "microseconds a write waits for others to share its disk write when none is under way; without effect \
                  when `corral.shards` is 0",
        difference: "Corral's own; the like of ZooKeeper's `flushDelay`, which is in milliseconds",
        apply: |draft, text| number(text, 0..=100_000).map(|us| draft.config.group_commit_delay_us = us),
    },
    Key {
        name: "corral.socketSendBuffer", alias: "", default: "by profile", example: "262144",
        meaning: "bytes of send buffer of a client connection; 0: as the kernel likes",
        difference: "Corral's own",
        apply: |draft, text| number(text, 0..=64 << 20).map(|bytes| draft.config.socket_send_buffer = bytes),
    },
    Key {
        name: "corral.socketReceiveBuffer", alias: "", default: "by profile", example: "262144",
        meaning: "bytes of receive buffer of a client connection; 0: as the kernel likes",
        difference: "Corral's own",
        apply: |draft, text| number(text, 0..=64 << 20).map(|bytes| draft.config.socket_receive_buffer = bytes),
    },
    Key {
        name: "corral.maxSnapshotMBps", alias: "", default: "by profile", example: "10",
        meaning: "the pace at which snapshots are written, 10^6 bytes a second; 0: as fast as the disk goes",
        difference: "Corral's own",
        apply: |draft, text| number(text, 0..=100_000).map(|pace| draft.config.snapshot_mb_per_s = pace),
    },
    Key {
        name: "corral.lockMemory", alias: "", default: "by profile", example: "true",
        meaning: "locks the server's memory, so that none of it is swapped; needs an unlimited limit on locked \
                  memory; with less, the server logs that and goes on unlocked",
        difference: "Corral's own",
        apply: |draft, text| boolean(text).map(|on| draft.config.lock_memory = on),
    },
    Key {
        name: "corral.memoryAheadMB", alias: "", default: "by profile", example: "32",
        meaning: "MiB of memory that are kept ready for a growing tree by a thread of their own; 0: no such thread",
        difference: "Corral's own",
        apply: |draft, text| number::<u32>(text, 0..=1024).map(|mib| draft.config.memory_ahead = (mib as usize) << 20),
    },
    Key {
        name: "corral.hugePages", alias: "", default: "by profile", example: "false",
        meaning: "whether the tree may lie in huge pages, where the system offers them on request; false: in small ones",
        difference: "Corral's own",
        apply: |draft, text| boolean(text).map(|on| draft.config.huge_pages = on),
    },
    Key {
        name: "corral.loadThreads", alias: "", default: "by profile", example: "3",
        meaning: "threads that read and check the snapshot and the log at a start",
        difference: "Corral's own",
        apply: |draft, text| number(text, 1..=64).map(|threads| draft.config.load_threads = threads),
    },
    Key {
        name: "corral.epochTransactions", alias: "", default: "4294967294", example: "1000",
        meaning: "transactions of one epoch; a number below the default is of use only to try out the end of an epoch",
        difference: "Corral's own",
        apply: |draft, text| number(text, 1..=Zxid::LAST_COUNTER).map(|count| draft.config.last_counter = count),
    },
    Key {
        name: "corral.logFormat", alias: "", default: "text", example: "json",
        meaning: "the shape of the lines this server logs to standard error: text or json",
        difference: "Corral's own",
        apply: |draft, text| log_format(text).map(|format| draft.config.log_format = format),
    },
];

/// The key spelt so, under its name, its alias, or either with ZooKeeper's prefix for system properties.
pub fn find(spelling: &str) -> Option<&'static Key> {
    let bare = spelling.strip_prefix("zookeeper.").unwrap_or(spelling);
    all().find(|key| key.name == bare || (!key.alias.is_empty() && key.alias == bare))
}

/// The keys of both tables.
pub fn all() -> impl Iterator<Item = &'static Key> {
    KEYS.iter().chain(ENSEMBLE_KEYS)
}

/// Whether only members of an ensemble act on this key.
pub fn is_for_ensembles(key: &Key) -> bool {
    ENSEMBLE_KEYS.iter().any(|own| own.name == key.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_aliases_are_unique() {
        let mut names: Vec<_> = all().flat_map(|key| [key.name, key.alias]).filter(|name| !name.is_empty()).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn both_spellings_of_system_properties() {
        assert_eq!(find("zookeeper.snapCount").map(|key| key.name), Some("snapCount"));
        assert_eq!(find("snapCount").map(|key| key.name), Some("snapCount"));
        assert_eq!(find("zookeeper.nio.sessionlessCnxnTimeout").map(|key| key.name), Some("corral.connectTimeout"));
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

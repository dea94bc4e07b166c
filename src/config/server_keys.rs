//! The keys of any server, and the configuration they make.
//!
//! The meaning of each key is that of ZooKeeper 3.9 unless its row says otherwise. Keys that only members of ensembles act
//! on stand in [`super::ensemble_keys`], what the other keys of ZooKeeper mean here in [`super::unsupported`].

use super::ensemble::{Ensemble, Present};
use super::key::{Read, Remarks, Shape, keys, shown_or};
use super::member::ServerId;
use super::profile::{Profile, Values};
use super::secret::{Secret, said_of_secret};
use super::shapes::{
    ClientAddress, LogFormat, digest_algorithm, host, is_digest_id, log_format, path, profile_named, timeout,
};
use super::tls_keys::TlsSettings;
use super::value::{
    self, ANY_INT, Expected, any_or_none, boolean, non_negative, number, positive, show_list, show_yes_or_no, yes_or_no,
};
use crate::acl::{AuthConfig, DigestAlgorithm, Scheme, Schemes};
use crate::ids::Zxid;
use crate::limits;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

/// Where data is when nothing is said.
const DATA_DIR: &str = "./corral-data";
/// Where clients are served when nothing is said.
pub(super) const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
pub(super) const CLIENT_PORT: u16 = 2181;

keys! {
    /// Everything a server needs to know before it starts. Times are in milliseconds and sizes in bytes unless
    /// a name says otherwise.
    struct Config(profile: Profile, values: Values) {
        /// Snapshots, identity and lock file. As it was written: relative to the working directory.
        data_dir: PathBuf = DATA_DIR.into(),
        /// The transaction log; the same directory unless `dataLogDir` says otherwise.
        data_log_dir: PathBuf = DATA_DIR.into(),
        /// What a member of an ensemble is told; `None`: a standalone server.
        ensemble: Option<Ensemble> = None,
        /// Reconfigurations are allowed; a standalone server has nothing to reconfigure, and says so.
        reconfig_enabled: bool = false,
        /// The id of a standalone server: that of `myid`, or of the line that is its own.
        lone_id: Option<ServerId> = None,
        /// Where clients are served.
        client_address: ClientAddress = ClientAddress::Ip(LOCALHOST),
        /// The port there; a reconfiguration may move it later.
        client_port: u16 = CLIENT_PORT,
        /// What TLS is like on the secure port; of no meaning without one.
        tls: TlsSettings = TlsSettings::default(),
        /// The shortest timeout that a session is given; two ticks unless `minSessionTimeout` says otherwise.
        min_session_timeout_ms: i32 = 6000,
        /// The longest timeout that a session is given; twenty ticks unless `maxSessionTimeout` says otherwise.
        max_session_timeout_ms: i32 = 60_000,
        /// Snapshots to keep, at least 3; `None`: all.
        snap_retain: Option<u32> = Some(3),
        /// Connections without an identity of one of these schemes (digest, ip) are not served; empty: all are.
        enforced_auth_schemes: Vec<String> = Vec::new(),
    }

    /// A configuration, and what must be known of other keys before it can be part of one.
    struct ServerDraft;

    /// Every key of any server, in the order of the documentation.
    const KEYS;

    "dataDir" {
        undecided data_dir: Option<PathBuf> = None, Shape::new(|text| path(text).map(Some), |_| format!("none with a file, `{DATA_DIR}` without"));
        example: "/srv/data", nonsense: Refused,
        meaning: "directory of the snapshots, and of the log unless `dataLogDir` is given",
        difference: "the files in it are Corral's own; a directory of another kind is refused",
    }
    "dataLogDir" {
        undecided data_log_dir: Option<PathBuf> = None, Shape::new(|text| path(text).map(Some), |_| "`dataDir`".into());
        example: "/srv/log", nonsense: Refused,
        meaning: "directory of the transaction log; a disk of its own helps",
        difference: "",
    }
    "clientPort" {
        undecided client_port: Option<u16> = None, Shape::new(|text| number(text, 1..=65_535).map(Some), |port| port.unwrap_or(CLIENT_PORT).to_string());
        example: "2182", nonsense: Refused,
        meaning: "port on which clients are served",
        difference: "ZooKeeper has no default and then serves nobody",
    }
    "clientPortAddress" {
        undecided client_address: Option<ClientAddress> = None, Shape::new(
            |text| host(text).map(Some),
            |address| shown_or(address, &format!("every address when the file has `clientPort`, else {LOCALHOST}")),
        );
        example: "10.0.0.1", nonsense: Refused,
        meaning: "address or host name on which clients are served",
        difference: "without a file, or without `clientPort` in it, only the own machine is served",
    }
    "secureClientPort" {
        value secure_client_port: Option<u16> = None, Shape::new(|text| number(text, 1..=65_535).map(Some), |port| shown_or(port, "none"));
        example: "2281", nonsense: Refused,
        meaning: "port on which clients are served by TLS; see the keys `ssl.`",
        difference: "there is always a port without TLS, too: `clientPort`",
    }
    "secureClientPortAddress" {
        value secure_client_address: ClientAddress = ClientAddress::Any, Shape::new(host, |address| match address {
            ClientAddress::Any => "every address".into(),
            address => address.to_string(),
        });
        example: "10.0.0.1", nonsense: Refused,
        meaning: "address or host name on which clients are served by TLS",
        difference: "",
    }
    "clientPortListenBacklog" {
        /// `None`: the server chooses, see [`Config::listen_backlog`].
        value client_port_listen_backlog: Option<u32> = None, Shape::new(
            any_or_none,
            |backlog| shown_or(backlog, "-1"),
        );
        example: "4096", nonsense: Refused,
        meaning: "connections that may wait to be accepted; less than 1: the server chooses",
        difference: "-1 means 1024, in ZooKeeper 50",
    }
    "clientTcpKeepAlive" {
        value client_tcp_keep_alive: bool = false, Shape::of(boolean);
        example: "true", nonsense: Forgiven,
        meaning: "TCP keep-alive on client connections",
        difference: "",
    }
    "tickTime" {
        value tick_time_ms: u32 = 3000, Shape::of(|text| number(text, 1..=i32::MAX as u32 / 20));
        example: "2000", nonsense: Refused,
        meaning: "milliseconds; sessions expire on multiples of it, and the session timeouts follow from it",
        difference: "",
    }
    "minSessionTimeout" {
        undecided min_session_timeout_ms: Option<i32> = None, Shape {
            read: Read::Remarking(|text, remarks| Ok(match number(text, ANY_INT)? {
                -1 => None,
                ms => Some(remarks.at_least(i64::from(ms), 1) as i32),
            })),
            show: |ms| shown_or(ms, "-1"),
        };
        example: "1000", nonsense: Refused,
        meaning: "milliseconds; a client that asks for less gets this much; -1: twice `tickTime`",
        difference: "",
    }
    "maxSessionTimeout" {
        undecided max_session_timeout_ms: Option<i32> = None, Shape::new(timeout, |ms| shown_or(ms, "-1"));
        example: "90000", nonsense: Refused,
        meaning: "milliseconds; a client that asks for more gets this much; -1: twenty times `tickTime`",
        difference: "",
    }
    "maxClientCnxns" {
        value max_client_cnxns: u32 = 60, Shape::remarking(|text, remarks| count(text, 0, remarks));
        example: "0", nonsense: Refused,
        meaning: "connections from one IP address; 0: no limit",
        difference: "counted over all shards",
    }
    "maxCnxns" {
        value max_cnxns: u32 = 0, Shape::remarking(|text, remarks| count(text, 0, remarks));
        example: "10000", nonsense: Forgiven,
        meaning: "connections from everywhere; 0: no limit",
        difference: "",
    }
    "corral.connectTimeout" or "nio.sessionlessCnxnTimeout" {
        value connect_timeout_ms: u32 = 10_000, Shape::of(positive);
        example: "5000", nonsense: Forgiven,
        meaning: "milliseconds in which a new connection must have got its session, or it is closed",
        difference: "",
    }
    "jute.maxbuffer" {
        value max_buffer: u32 = 0xf_ffff, Shape::remarking(|text, remarks| {
            let bytes = remarks.at_least(value::java_integer(text)?, i64::from(limits::SHORTEST_FRAME));
            Ok(remarks.at_most(bytes, i64::from(limits::LONGEST_FRAME)) as u32)
        });
        example: "4194304", nonsense: Forgiven,
        meaning: "bytes of the longest request that is read; a longer one ends its connection; it is to be the same \
                  on every server",
        difference: "can be set in the file, where ZooKeeper takes it from a system property only; at most 67108864; \
                     limits and the files of the log grow with it",
    }
    "globalOutstandingLimit" {
        value global_outstanding_limit: u32 = 1000, Shape::remarking(|text, remarks| count(text, 1, remarks));
        example: "5000", nonsense: Forgiven,
        meaning: "writes under way in the whole server above which connections with writes of their own are not read",
        difference: "",
    }
    "corral.memoryLimit" {
        value memory_limit: Option<u64> = None, Shape::new(
            |text| value::byte_count(text, 64 << 20..=1 << 50).map(Some),
            |bytes| shown_or(bytes, "three quarters of what the server may use"),
        );
        example: "1G", nonsense: Refused,
        meaning: "bytes of memory (a number may end in K, M, G or T) that the server may fill; waiting answers and \
                  requests, watches and the tree each have a share, see below. The default is that part of the memory \
                  of its control group or of the machine",
        difference: "ZooKeeper has Java's heap, and ends when it is full",
    }
    "corral.outputLimit" {
        /// The default: the replies to sixteen of the largest requests, so that only a client that does not read reaches it.
        value output_limit: usize = 16 << 20, Shape::of(|text| Ok(number::<u32>(text, 64 << 10..=i32::MAX as u32)? as usize));
        example: "33554432", nonsense: Refused,
        meaning: "bytes of replies and events that may wait for a client that does not read: when so many wait and \
                  more come, the connection is closed; one answer may be longer",
        difference: "ZooKeeper has no limit and runs out of memory",
    }
    "corral.maxWatches" {
        /// The default: with paths of 30 bytes a million watches take 140 MB, more than any client has use for and less than a
        /// server dies of.
        value max_watches: u32 = 1_000_000, Shape::of(positive);
        example: "50000", nonsense: Refused,
        meaning: "watches of one connection, one of addWatch counting twice unless it is recursive; a request for more is \
                  refused as throttled (ThrottledOp), a setWatches for more ends its connection",
        difference: "ZooKeeper has no limit and runs out of memory",
    }
    "corral.maxWatchBytes" {
        /// In 1 GiB some seven million watches with paths of their own have room.
        value max_watch_bytes: Option<usize> = None, Shape::new(
            |text| Ok(Some(number::<i64>(text, 1 << 20..=1 << 37)? as usize)),
            |bytes| shown_or(bytes, "an eighth of `corral.memoryLimit`, 1 GiB at most"),
        );
        example: "268435456", nonsense: Refused,
        meaning: "bytes of memory that the watches of the whole server may take, some 140 for a watch on a path of \
                  its own; each shard has an equal share, and one address half of it at most; a watch beyond that is \
                  refused as throttled",
        difference: "ZooKeeper has no limit and runs out of memory",
    }
    "autopurge.snapRetainCount" {
        undecided retain: u32 = 3, Shape::remarking(|text, remarks| {
            let count: i32 = number(text, ANY_INT)?;
            if count < 3 {
                remarks.warn("three snapshots are kept, the least there can be");
            }
            Ok(count.max(3) as u32)
        });
        example: "5", nonsense: Refused,
        meaning: "snapshots that are kept, with the log from the oldest of them on; less than 3 counts as 3",
        difference: "",
    }
    "autopurge.purgeInterval" {
        undecided purge: bool = true, Shape {
            read: Read::Remarking(|text, remarks| {
                let negative = text.strip_prefix('-');
                let ms = value::duration_ms(negative.unwrap_or(text), 3_600_000)?;
                if negative.is_some() {
                    remarks.warn("less than 0: every snapshot and log file is kept, as with 0");
                }
                Ok(ms > 0 && negative.is_none())
            }),
            show: |on| if *on { "on" } else { "0" }.into(),
        };
        example: "0", nonsense: Refused,
        meaning: "0 keeps every snapshot and log file; any other number of hours, or time with a unit, purges",
        difference: "purging is on by default and happens after every snapshot, since nothing else makes a file \
                     superfluous: the length of the interval does not matter",
    }
    "snapCount" {
        /// Drawn between half of it and all.
        value snap_count: u32 = 100_000, Shape::remarking(|text, remarks| count(text, 2, remarks));
        example: "20000", nonsense: Forgiven,
        meaning: "transactions after which a snapshot is due",
        difference: "snapshots take at most a tenth of the time: under load the next one waits, until ten times as \
                     many transactions at the latest",
    }
    "snapSizeLimitInKb" {
        /// In bytes; `None`: no matter how much.
        value snap_size_limit: Option<u64> = Some(4 << 30), Shape::new(
            |text| {
                let kib: i64 = number(text, i64::MIN >> 10..=i64::MAX >> 10)?;
                Ok(u64::try_from(kib).ok().filter(|kib| *kib > 0).map(|kib| kib << 10))
            },
            |bytes| bytes.map_or(0, |bytes| bytes >> 10).to_string(),
        );
        example: "1048576", nonsense: Forgiven,
        meaning: "KiB of log after which a snapshot is due; 0 or less: no matter how much",
        difference: "like `snapCount`",
    }
    "preAllocSize" {
        /// In bytes.
        value log_segment_bytes: u64 = values.log_segment_bytes, Shape {
            // Too little is said where all that a file must hold is known.
            read: Read::Remarking(|text, remarks| {
                let kib = number(text, i64::MIN..=i64::MAX)?;
                Ok((remarks.at_most(kib, 4 << 20).max(0) as u64) << 10)
            }),
            show: |bytes| (bytes >> 10).to_string(),
        };
        example: "32768", nonsense: Forgiven,
        meaning: "KiB of one log file, which is written full of zeroes before it is used; four times `jute.maxbuffer` and \
                  a little more at least",
        difference: "ZooKeeper extends its files by as much and sets their size by other keys",
    }
    "fsync.warningthresholdms" {
        value fsync_warning_ms: u32 = 1000, Shape::of(non_negative);
        example: "200", nonsense: Forgiven,
        meaning: "milliseconds a write of the log may take before it is logged as slow",
        difference: "",
    }
    "forceSync" {
        nothing Shape {
            read: Read::Remarking(|text, remarks| {
                if !yes_or_no(text)? {
                    remarks.warn("Corral always syncs before it answers");
                }
                Ok(())
            }),
            show: |()| "yes".into(),
        };
        example: "", nonsense: Forgiven,
        meaning: "yes: a write is answered when it is on the disk",
        difference: "no is warned about: Corral always syncs",
    }
    "datadir.autocreate" {
        value create_data_dir: bool = true, Shape::of(boolean);
        example: "false", nonsense: Refused,
        meaning: "creates the data directories when they are missing",
        difference: "",
    }
    "db.autocreate" {
        value create_database: bool = true, Shape::of(boolean);
        example: "false", nonsense: Refused,
        meaning: "begins with an empty tree when the data directory holds no data",
        difference: "a standalone server knows no file `initialize`: when false, an empty directory is refused; a member \
                     acts by both as in ZooKeeper: with neither, it does not vote before a leader has brought it up to date",
    }
    "corral.acceptLogLoss" {
        value accept_log_loss: bool = false, Shape::remarking(|text, remarks| {
            let accept = boolean(text)?;
            if accept {
                remarks.warn("a log that is missing is taken for lost: take this key out again after this start");
            }
            Ok(accept)
        });
        example: "true", nonsense: Refused,
        meaning: "for one start: goes on from a whole snapshot when the log behind it is missing; acknowledged writes \
                  are then lost",
        difference: "Corral's own; ZooKeeper goes on without a warning",
    }
    "extendedTypesEnabled" {
        value extended_types: bool = false, Shape::of(boolean);
        example: "true", nonsense: Forgiven,
        meaning: "allows znodes with a time to live",
        difference: "",
    }
    "emulate353TTLNodes" {
        value emulate_353_ttl: bool = false, Shape::of(boolean);
        example: "true", nonsense: Forgiven,
        meaning: "reads znodes with a time to live as 3.5.3 encoded them",
        difference: "",
    }
    "znode.container.checkIntervalMs" {
        value container_check_interval_ms: u32 = 60_000, Shape::of(positive);
        example: "5000", nonsense: Forgiven,
        meaning: "milliseconds between two searches for empty containers and for znodes whose time to live is over, \
                  10 at least",
        difference: "can be set in the file, where ZooKeeper takes it from a system property only",
    }
    "znode.container.maxPerMinute" {
        value container_max_per_minute: u32 = 10_000, Shape::of(positive);
        example: "600", nonsense: Forgiven,
        meaning: "how many of them are deleted in a minute at most",
        difference: "can be set in the file, where ZooKeeper takes it from a system property only",
    }
    "znode.container.maxNeverUsedIntervalMs" {
        value container_max_never_used_ms: u32 = 0, Shape::of(non_negative);
        example: "600000", nonsense: Forgiven,
        meaning: "milliseconds after which a container that never had a child is deleted; 0: never",
        difference: "can be set in the file, where ZooKeeper takes it from a system property only",
    }
    "enforceQuota" {
        value enforce_quota: bool = false, Shape::of(boolean);
        example: "true", nonsense: Forgiven,
        meaning: "refuses writes that would exceed a hard quota",
        difference: "",
    }
    "skipACL" {
        value skip_acl: bool = false, Shape {
            read: Read::Remarking(|text, remarks| match text {
                "yes" => {
                    remarks.warn("permissions are not checked: every client may read and write everything");
                    Ok(true)
                }
                "no" => Ok(false),
                _ => Err("expected yes or no".into()),
            }),
            show: show_yes_or_no,
        };
        example: "yes", nonsense: Forgiven,
        meaning: "yes: nobody's permissions are checked",
        difference: "every word but yes and no is warned about, and is no",
    }
    "digest.enabled" {
        value digest_enabled: bool = true, Shape::of(boolean);
        example: "false", nonsense: Forgiven,
        meaning: "keeps a checksum of the tree and compares it with the log's",
        difference: "",
    }
    "DigestAuthenticationProvider.enabled" {
        value digest_scheme: bool = true, Shape::of(boolean);
        example: "false", nonsense: Refused,
        meaning: "clients may authenticate by the scheme digest",
        difference: "",
    }
    "DigestAuthenticationProvider.digestAlg" {
        value digest_algorithm: DigestAlgorithm = DigestAlgorithm::Sha1, Shape::of(digest_algorithm);
        example: "SHA-256", nonsense: Refused,
        meaning: "how the scheme digest hashes `user:password`: SHA1, SHA-256 or SHA-512; \
                  ACLs made under another one never match",
        difference: "no other algorithms of Java",
    }
    "DigestAuthenticationProvider.superDigest" {
        value super_digest: Option<Secret<String>> = None, Shape::new(
            |text| match is_digest_id(text) {
                true => Ok(Some(Secret::new(text.to_owned()))),
                false => Err("expected user:digest, the digest being a hash (20 bytes with SHA1) in base64".into()),
            },
            said_of_secret,
        );
        example: "super:GJJ8GzXnHf0G1WSSz1SdtsFxJSg=", nonsense: Refused,
        meaning: "`user:base64(SHA1(user:password))`, or the hash of `digestAlg`: a client that authenticates as this \
                  user may do everything",
        difference: "a value that no password could have is refused; it is to be the same on every member of an \
                     ensemble: a leader accepts this user from a follower only with the digest of its own \
                     configuration",
    }
    "X509AuthenticationProvider.superUser" {
        value x509_super_user: Option<String> = None, Shape::new(|text| Ok(Some(text.to_owned())), |name| shown_or(name, "nobody has it"));
        example: "CN=admin,O=Example", nonsense: Refused,
        meaning: "the subject of a certificate whose owner may do everything, as Java spells it (RFC 2253)",
        difference: "writes that another member forwards count as those of this subject, and not as a super user's: servers do \
                     not prove to each other who they are",
    }
    "enforce.auth.enabled" {
        undecided enforce_auth: bool = false, Shape::of(boolean);
        example: "", nonsense: Refused,
        meaning: "serves only connections that have authenticated with one of `enforce.auth.schemes`",
        difference: "",
    }
    "enforce.auth.schemes" {
        undecided enforced_schemes: Vec<String> = Vec::new(), Shape::new(|text| Ok(value::list(text)), |list| show_list(list, "none"));
        example: "", nonsense: Refused,
        meaning: "the schemes, between commas",
        difference: "digest, ip and x509; this version knows no others and refuses them",
    }
    "4lw.commands.whitelist" {
        /// As written: names, or `*`.
        value four_letter_words: Vec<String> = vec!["srvr".into()], Shape::new(|text| Ok(value::list(text)), |list| list.join(","));
        example: "*", nonsense: Refused,
        meaning: "four-letter words that are answered, between commas; `*` for all of them; `srvr` always is",
        difference: "",
    }
    "readonlymode.enabled" {
        value read_only_mode: bool = false, Shape::of(boolean);
        example: "true", nonsense: Forgiven,
        meaning: "a member of an ensemble serves reads while it has no quorum; the word `isro` is answered even if \
                  the whitelist lacks it",
        difference: "can be set in the file, where ZooKeeper takes it from a system property only; only the state \
                     known to be committed is shown, and `localSessionsEnabled` is not needed, see below",
    }
    "corral.profile" {
        /// Single keys may have changed its values.
        value profile: Profile = profile, Shape::new(profile_named, |_| {
            format!("`{}` on one or two cores, else `{}`", Profile::for_cores(2), Profile::for_cores(3))
        });
        example: "throughput", nonsense: Refused,
        meaning: "latency, balanced, throughput or small: the values of the keys below (`corral profile show NAME`)",
        difference: "Corral's own",
    }
    "corral.shards" {
        /// See [`Config::edge`].
        value shards: u16 = values.shards, Shape::of(|text| number(text, 0..=64));
        example: "3", nonsense: Refused,
        meaning: "threads that own client connections, beside the quorum core; 0: one thread does both",
        difference: "Corral's own",
    }
    "corral.pinThreads" {
        value pin_threads: bool = values.pin_threads, Shape::of(boolean);
        example: "true", nonsense: Refused,
        meaning: "keeps each thread on a CPU of its own, if the server may use one for each",
        difference: "Corral's own",
    }
    "corral.spinMicros" {
        value spin_us: u32 = values.spin_us, Shape::of(|text| number(text, 0..=10_000));
        example: "20", nonsense: Refused,
        meaning: "microseconds for which a thread without work looks for more before it sleeps; without effect when \
                  `corral.shards` is 0",
        difference: "Corral's own",
    }
    "corral.groupCommitDelayMicros" {
        value group_commit_delay_us: u32 = values.group_commit_delay_us, Shape::of(|text| number(text, 0..=100_000));
        example: "500", nonsense: Refused,
        meaning: "microseconds a write waits for others to share its disk write when none is under way; without effect \
                  when `corral.shards` is 0",
        difference: "Corral's own; the like of ZooKeeper's `flushDelay`, which is in milliseconds",
    }
    "corral.socketSendBuffer" {
        value socket_send_buffer: u32 = values.socket_send_buffer, Shape::of(|text| number(text, 0..=64 << 20));
        example: "262144", nonsense: Refused,
        meaning: "bytes of send buffer of a client connection; 0: as the kernel likes",
        difference: "Corral's own",
    }
    "corral.socketReceiveBuffer" {
        value socket_receive_buffer: u32 = values.socket_receive_buffer, Shape::of(|text| number(text, 0..=64 << 20));
        example: "262144", nonsense: Refused,
        meaning: "bytes of receive buffer of a client connection; 0: as the kernel likes",
        difference: "Corral's own",
    }
    "corral.maxSnapshotMBps" {
        value snapshot_mb_per_s: u32 = values.snapshot_mb_per_s, Shape::of(|text| number(text, 0..=100_000));
        example: "10", nonsense: Refused,
        meaning: "the pace at which snapshots are written, 10^6 bytes a second; 0: as fast as the disk goes",
        difference: "Corral's own",
    }
    "corral.lockMemory" {
        value lock_memory: bool = values.lock_memory, Shape::of(boolean);
        example: "true", nonsense: Refused,
        meaning: "locks the server's memory, so that none of it is swapped; needs an unlimited limit on locked \
                  memory; with less, the server logs that and goes on unlocked",
        difference: "Corral's own",
    }
    "corral.memoryAheadMB" {
        /// In bytes.
        value memory_ahead: usize = values.memory_ahead, Shape::new(
            |text| Ok((number::<u32>(text, 0..=1024)? as usize) << 20),
            |bytes| (bytes >> 20).to_string(),
        );
        example: "32", nonsense: Refused,
        meaning: "MiB of memory that are kept ready for a growing tree by a thread of their own; 0: no such thread",
        difference: "Corral's own",
    }
    "corral.hugePages" {
        value huge_pages: bool = values.huge_pages, Shape::of(boolean);
        example: "false", nonsense: Refused,
        meaning: "whether the tree may lie in huge pages, where the system offers them on request; false: in small ones",
        difference: "Corral's own",
    }
    "corral.loadThreads" {
        value load_threads: u16 = values.load_threads, Shape::of(|text| number(text, 1..=64));
        example: "3", nonsense: Refused,
        meaning: "threads that read and check the snapshot and the log at a start",
        difference: "Corral's own",
    }
    "corral.epochTransactions" {
        value last_counter: u32 = Zxid::LAST_COUNTER, Shape::of(|text| number(text, 1..=Zxid::LAST_COUNTER));
        example: "1000", nonsense: Refused,
        meaning: "transactions of one epoch; a number below the default is of use only to try out the end of an epoch",
        difference: "Corral's own",
    }
    "corral.logFormat" {
        value log_format: LogFormat = LogFormat::Text, Shape::of(log_format);
        example: "json", nonsense: Refused,
        meaning: "the shape of the lines this server logs to standard error: text or json",
        difference: "Corral's own",
    }
}

impl Default for Config {
    /// What holds on one core.
    fn default() -> Self {
        Config::defaults(Profile::for_cores(1), 1)
    }
}

impl Config {
    /// What holds when nothing is said: 127.0.0.1:2181, data in ./corral-data.
    pub fn defaults(profile: Profile, cores: usize) -> Config {
        Config::usual(profile, profile.values(cores))
    }

    /// `tickTime`, as times are counted.
    pub(crate) fn tick_ms(&self) -> i64 {
        i64::from(self.tick_time_ms)
    }

    /// The authentication schemes that are switched on.
    pub(crate) fn schemes(&self) -> Schemes {
        let schemes = Schemes::default();
        let schemes = if self.secure_client_port.is_some() { schemes.with(Scheme::X509) } else { schemes };
        if self.digest_scheme { schemes } else { schemes.without(Scheme::Digest) }
    }

    /// How clients authenticate.
    pub(crate) fn auth(&self) -> AuthConfig<'_> {
        AuthConfig {
            schemes: self.schemes(),
            super_digest: self.super_digest.as_ref().map(|digest| digest.reveal().as_str()),
            digest_algorithm: self.digest_algorithm,
            ensemble_names: None,
        }
    }

    /// How the server is wired.
    pub(crate) fn edge(&self) -> Edge {
        match self.shards {
            0 => Edge::OneThread,
            shards => Edge::Shards(shards),
        }
    }

    /// Connections that may wait to be accepted.
    pub(crate) fn listen_backlog(&self) -> u32 {
        // ZooKeeper's 50 makes the clients of a failed server wait out their SYN retries when they all
        // come at once.
        self.client_port_listen_backlog.unwrap_or(1024)
    }

    /// The configuration of a server that runs: where its clients are served now, and what its ensemble is.
    pub(crate) fn as_of(&self, client_port: u16, present: Option<Present>) -> Config {
        let mut config = Config { client_port, ..self.clone() };
        if let (Some(ensemble), Some(Present { own, membership })) = (&mut config.ensemble, present) {
            (ensemble.own, ensemble.membership) = (own, membership);
        }
        config
    }
}

/// The two ways to wire a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// One thread, one loop: client sockets and log in the same ring.
    OneThread,
    /// So many shard threads beside the quorum core's own.
    Shards(u16),
}

/// A whole number, or the least there can be.
fn count(text: &str, least: i64, remarks: &mut Remarks) -> Result<u32, Expected> {
    let count: i32 = number(text, ANY_INT)?;
    Ok(remarks.at_least(i64::from(count), least) as u32)
}

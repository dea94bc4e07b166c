//! The configuration as a whole: files and arguments in, a value or all mistakes out.

mod fields;

use super::keys::Known;
use super::*;
use std::fmt::Write as _;
use std::path::PathBuf;

fn read(text: &str) -> Result<(Config, Vec<Notice>), Vec<String>> {
    with(text, &Overrides::default())
}

fn with(text: &str, overrides: &Overrides) -> Result<(Config, Vec<Notice>), Vec<String>> {
    let source = Source { name: "zoo.cfg", bytes: text.as_bytes() };
    resolve(Some(&source), overrides, 8, &|_| Ok(None))
        .map_err(|mistakes| mistakes.iter().map(Mistake::to_string).collect())
}

fn config(text: &str) -> Config {
    read(text).expect("a good file").0
}

fn mistakes(text: &str) -> Vec<String> {
    read(text).expect_err("a bad file")
}

/// The texts of warnings, with their keys.
fn warnings(text: &str) -> Vec<String> {
    let (_, notices) = read(text).expect("a good file");
    notices.iter().filter(|notice| notice.warning).map(Notice::to_string).collect()
}

#[test]
fn without_anything_it_is_the_embedded_default() {
    let (config, notices) = resolve(None, &Overrides::default(), 2, &|_| Ok(None)).unwrap();
    assert_eq!(notices, []);
    assert_eq!(config, Config::defaults(Profile::Small, 2));
    assert_eq!((config.client_address.to_string().as_str(), config.client_port), ("127.0.0.1", 2181));
    assert_eq!(config.data_dir, PathBuf::from("./corral-data"));
    assert_eq!(config.edge(), Edge::OneThread);
}

#[test]
fn zookeepers_sample_file_is_taken_without_a_warning() {
    let text = "# The number of milliseconds of each tick\ntickTime=2000\ninitLimit=10\nsyncLimit=5\n\
                dataDir=/tmp/zookeeper\nclientPort=2181\n#maxClientCnxns=60\n";
    assert_eq!(warnings(text), Vec::<String>::new());
    let config = config(text);
    assert_eq!((config.tick_time_ms, config.client_port), (2000, 2181));
    assert_eq!((config.min_session_timeout_ms, config.max_session_timeout_ms), (4000, 40_000));
    assert_eq!(config.client_address, ClientAddress::Any);
    assert_eq!(config.data_log_dir, PathBuf::from("/tmp/zookeeper"));
    assert_eq!(config.profile, Profile::Balanced);
}

#[test]
fn every_key_is_taken_in_every_spelling_and_changes_something() {
    let plain = config("dataDir=/d\n");
    for key in server_keys::KEYS.iter().map(|key| &key.about).filter(|key| !key.example.is_empty()) {
        for name in [key.name, key.alias].into_iter().filter(|name| !name.is_empty()) {
            for prefix in ["", "zookeeper."] {
                let text = format!("dataDir=/d\n{prefix}{name}={}\n", key.example);
                let text = if key.name == "dataDir" { text.replacen("dataDir=/d\n", "", 1) } else { text };
                // A secure port alone is a mistake.
                let text = if key.name == "secureClientPort" { format!("{text}{STORES}") } else { text };
                assert_ne!(config(&text), plain, "{text}");
            }
        }
    }
}

/// What a secure port needs.
const STORES: &str = "ssl.keyStore.location=/keys.p12\nssl.trustStore.location=/trust.p12\n";

#[test]
fn every_key_of_tls_is_taken_with_a_secure_port_and_of_no_use_without() {
    let secure = format!("dataDir=/d\nsecureClientPort=2281\n{STORES}");
    let plain = config(&secure);
    for key in tls_keys::TLS_KEYS.iter().map(|key| &key.about).filter(|key| !key.example.is_empty()) {
        for prefix in ["", "zookeeper."] {
            let line = format!("{prefix}{}={}\n", key.name, key.example);
            assert_ne!(config(&format!("{secure}{line}")), plain, "{line}");
            let without = warnings(&format!("dataDir=/d\n{line}"));
            assert_eq!(without, [format!("zoo.cfg:2: {}: of no use without secureClientPort", key.name)], "{line}");
        }
    }
    let revocations = config(&format!("{secure}ssl.crl=true\ncorral.ssl.crlPath=/lists\n"));
    assert!(revocations.tls.wants_crl);
}

#[test]
fn a_secure_port_that_lacks_a_store_is_refused() {
    for (lines, lacking) in [
        ("", 2),
        ("ssl.keyStore.location=/keys.p12\n", 1),
        ("ssl.keyStore.location=/keys.p12\nssl.clientAuth=none\n", 0),
        ("ssl.trustStore.location=/trust.p12\n", 1),
    ] {
        let found = read(&format!("dataDir=/d\nsecureClientPort=2281\n{lines}"));
        assert_eq!(found.err().map_or(0, |mistakes| mistakes.len()), lacking, "{lines}");
    }
}

#[test]
fn keys_without_an_example() {
    assert_eq!(config("dataDir=/d\nforceSync=yes"), config("dataDir=/d"));
    let enforced = config("dataDir=/d\nenforce.auth.enabled=true\nenforce.auth.schemes=digest, ip");
    assert_eq!(enforced.enforced_auth_schemes, ["digest", "ip"]);
    let lenient = config("dataDir=/d\nenforce.auth.enabled=false\nenforce.auth.schemes=sasl");
    assert!(lenient.enforced_auth_schemes.is_empty());
}

#[test]
fn arguments_come_before_the_file_and_the_file_before_the_profile() {
    let text = "dataDir=/d\nclientPort=1000\ncorral.profile=latency\ncorral.maxSnapshotMBps=7\n";
    assert_eq!(config(text).profile, Profile::Latency);
    let overrides = Overrides {
        data_dir: Some("/e".into()),
        client_port: Some("2000".into()),
        client_address: Some("::1".into()),
        profile: Some("throughput".into()),
        shards: Some("2".into()),
        log_format: Some("json".into()),
    };
    let (config, _) = with(text, &overrides).unwrap();
    assert_eq!((config.data_dir.to_str(), config.client_port), (Some("/e"), 2000));
    assert_eq!(config.client_address, ClientAddress::Ip("::1".parse().unwrap()));
    assert_eq!((config.profile, config.edge()), (Profile::Throughput, Edge::Shards(2)));
    assert_eq!(config.group_commit_delay_us, 200);
    assert_eq!(config.snapshot_mb_per_s, 7);
    assert_eq!(config.log_format, LogFormat::Json);
}

#[test]
fn every_mistake_is_reported_at_once_in_the_order_of_the_file() {
    let text = "clientPort=99999\ntickTime=soon\nmaxClientCnxns=few\ndatadir.autocreate=yes\naudit.enable=true\n\
                sslQuorum=true\ncorral.shard=3\nbad=\\u12\nautopurge.purgeInterval=x\n";
    let overrides = Overrides { profile: Some("fast".into()), shards: Some("65".into()), ..Overrides::default() };
    let expected = [
        "zoo.cfg: dataDir: missing; expected a directory, here or as --data-dir",
        "zoo.cfg:1: clientPort = \"99999\": expected a whole number from 1 to 65535",
        "zoo.cfg:2: tickTime = \"soon\": expected a whole number from 1 to 107374182",
        "zoo.cfg:3: maxClientCnxns = \"few\": expected a whole number from -2147483648 to 2147483647",
        "zoo.cfg:4: datadir.autocreate = \"yes\": expected true or false",
        "zoo.cfg:5: audit.enable = \"true\": this version writes no audit log",
        "zoo.cfg:6: sslQuorum = \"true\": this version has TLS on secureClientPort only, and serving without it is \
         not what was asked for",
        "zoo.cfg:7: corral.shard = \"3\": there is no such key; did you mean corral.shards?",
        "zoo.cfg:8: a \\u escape without a character; expected four hexadecimal digits, surrogates in pairs",
        "zoo.cfg:9: autopurge.purgeInterval = \"x\": expected a whole number, alone or followed by ms, s, m, h or d",
        "command line: --profile = \"fast\": expected latency, balanced, throughput or small",
        "command line: --shards = \"65\": expected a whole number from 0 to 64",
    ];
    assert_eq!(with(text, &overrides).unwrap_err(), expected);
}

#[test]
fn wrong_values_of_every_kind_are_refused() {
    for line in [
        "dataLogDir=",
        "clientPort=0",
        "clientPortAddress=1.2.3",
        "tickTime=0",
        "maxSessionTimeout=-2",
        "corral.outputLimit=1",
        "autopurge.snapRetainCount=x",
        "datadir.autocreate=",
        "db.autocreate=no",
        "corral.acceptLogLoss=yes",
        "DigestAuthenticationProvider.superDigest=super:secret",
        "enforce.auth.enabled=maybe",
        "corral.profile=fast",
        "corral.shards=-1",
        "corral.pinThreads=2",
        "corral.spinMicros=1000000",
        "corral.groupCommitDelayMicros=-1",
        "corral.socketSendBuffer=x",
        "corral.socketReceiveBuffer=x",
        "corral.maxSnapshotMBps=-5",
        "corral.lockMemory=yes",
        "corral.memoryAheadMB=5000",
        "corral.loadThreads=0",
        "corral.epochTransactions=0",
        "corral.logFormat=xml",
        "electionAlg=0",
        "DigestAuthenticationProvider.digestAlg=MD5",
        "DigestAuthenticationProvider.enabled=no",
    ] {
        let key = line.split('=').next().unwrap();
        let mistakes = mistakes(&format!("dataDir=/d\n{line}\n"));
        assert_eq!(mistakes.len(), 1, "{line}: {mistakes:?}");
        assert!(mistakes[0].starts_with(&format!("zoo.cfg:2: {key}")), "{line}: {mistakes:?}");
    }
}

#[test]
fn log_files_hold_the_longest_transaction_that_requests_can_make() {
    for profile in Profile::ALL {
        for max_buffer in [1 << 10, 1 << 20, 10 << 20, 50 << 20, 64 << 20] {
            let config = config(&format!("dataDir=/d\ncorral.profile={profile}\njute.maxbuffer={max_buffer}\n"));
            let least = crate::limits::least_segment(crate::limits::max_txn(max_buffer));
            assert!(config.log_segment_bytes >= 2 * least, "{profile}, {max_buffer}");
            let of_profile = profile.values(8).log_segment_bytes;
            assert!(max_buffer > 1 << 20 || config.log_segment_bytes == of_profile, "{profile}, {max_buffer}");
        }
    }
    let text = "dataDir=/d\npreAllocSize=8192\njute.maxbuffer=10485760\n";
    let used = "too little for requests of 10485760 bytes (jute.maxbuffer): 41104 KiB are used";
    assert_eq!(warnings(text), [format!("zoo.cfg:2: preAllocSize: {used}")]);
    assert_eq!(config(text).log_segment_bytes, 41104 << 10);
    assert_eq!(warnings("dataDir=/d\npreAllocSize=65536\njute.maxbuffer=10485760\n"), Vec::<String>::new());
}

#[test]
fn session_timeouts_must_leave_room() {
    let problem = |least, greatest| {
        format!("the least session timeout, {least} ms, is above the greatest, {greatest} ms (tickTime is 3000 ms)")
    };
    assert_eq!(
        mistakes("dataDir=/d\nmaxSessionTimeout=5000"),
        [format!("zoo.cfg:2: maxSessionTimeout: {}", problem(6000, 5000))]
    );
    assert_eq!(
        mistakes("dataDir=/d\nminSessionTimeout=70000"),
        [format!("zoo.cfg:2: minSessionTimeout: {}", problem(70_000, 60_000))]
    );
    assert_eq!(config("dataDir=/d\nminSessionTimeout=-1\nmaxSessionTimeout=6000").max_session_timeout_ms, 6000);
}

#[test]
fn keys_of_shard_threads_are_of_no_use_on_one_thread() {
    let text =
        |shards| format!("dataDir=/d\ncorral.shards={shards}\ncorral.spinMicros=5\ncorral.groupCommitDelayMicros=7\n");
    assert_eq!(warnings(&text(1)), Vec::<String>::new());
    let reason = "of no use with one thread (corral.shards is 0), which neither waits nor spins";
    assert_eq!(
        warnings(&text(0)),
        [
            format!("zoo.cfg:4: corral.groupCommitDelayMicros: {reason}"),
            format!("zoo.cfg:3: corral.spinMicros: {reason}"),
        ]
    );
    let off = text(0).replace("=5", "=0").replace("=7", "=0");
    assert_eq!(warnings(&off), Vec::<String>::new());
    assert_eq!(warnings("dataDir=/d\ncorral.profile=throughput\ncorral.shards=0"), Vec::<String>::new());
}

#[test]
fn one_server_line_is_a_standalone_server() {
    let config = config("dataDir=/d\nserver.1=zk1:2888:3888:participant;127.0.0.1:2182\n");
    assert_eq!((config.client_address.to_string().as_str(), config.client_port), ("127.0.0.1", 2182));
    assert_eq!(
        mistakes("dataDir=/d\nclientPort=2181\nserver.1=zk1:2888:3888;2182"),
        ["zoo.cfg:3: server.1 = \"zk1:2888:3888;2182\": clientPort names another port"]
    );
    assert_eq!(mistakes("dataDir=/d\nserver.1=zk1:2888:3888;x").len(), 1);
    assert!(config.ensemble.is_none());
    assert_eq!(
        warnings("dataDir=/d\ninitLimit=5\nserver.1=zk1:2888:3888"),
        ["zoo.cfg:3: server.1: the only participant: this is a standalone server, not an ensemble"]
    );
}

#[test]
fn what_would_weaken_security_is_refused() {
    for line in [
        "sslQuorum=true",
        "ssl.ocsp=true",
        "ssl.clientHostnameVerification=true",
        "client.portUnification=true",
        "quorum.auth.enableSasl=true",
        "sessionRequireClientSASLAuth=true",
        "requireClientAuthScheme=sasl",
        "audit.enable=true",
        "enforce.auth.enabled=true",
        "enforce.auth.enabled=true\nenforce.auth.schemes=sasl",
    ] {
        assert_eq!(mistakes(&format!("dataDir=/d\n{line}")).len(), 1, "{line}");
    }
    for line in ["sslQuorum=false", "quorum.auth.enableSasl=false", "audit.enable=FALSE", "standaloneEnabled=true"] {
        assert_eq!(warnings(&format!("dataDir=/d\n{line}")), Vec::<String>::new(), "{line}");
    }
}

#[test]
fn every_unsupported_key_is_handled() {
    for group in unsupported::GROUPS {
        for name in group.names {
            let key = name.replace('*', "1");
            let answer = read(&format!("dataDir=/d\n{key}=other"));
            match group.handling {
                unsupported::Handling::WarnInEnsemble => {
                    assert!(answer.unwrap().1.iter().all(|notice| !notice.warning), "{key}")
                }
                unsupported::Handling::Warn { reason, .. } => {
                    let notices = answer.unwrap().1;
                    assert_eq!(notices.len(), 1, "{key}");
                    assert!(notices[0].warning && notices[0].text.ends_with(reason), "{key}: {notices:?}");
                }
                unsupported::Handling::Refuse { reason, .. } => {
                    let mistakes = answer.unwrap_err();
                    assert_eq!(mistakes.len(), 1, "{key}");
                    assert!(mistakes[0].ends_with(reason), "{key}: {mistakes:?}");
                }
                // See the tests of ensembles.
                unsupported::Handling::EnsembleMember => assert_eq!(answer.unwrap_err().len(), 1, "{key}"),
            }
        }
    }
}

#[test]
fn what_is_ignored_is_said() {
    assert_eq!(
        warnings(
            "dataDir=/d\nticktime=5\nadmin.serverPort=8080\nadmin.enableServer=false\nnosuchkey=1\nsnapCount=5\n\
             zookeeper.snapCount=6\nautopurge.snapRetainCount=1\nskipACL=yes\n"
        ),
        [
            "zoo.cfg:2: ticktime: unknown key, ignored; did you mean tickTime?",
            "zoo.cfg:3: admin.serverPort: ignored: this version has no HTTP admin server; the four-letter words are \
             answered",
            "zoo.cfg:5: nosuchkey: unknown key, ignored",
            "zoo.cfg:7: zookeeper.snapCount: it stands in line 6 too; this line counts",
            "zoo.cfg:8: autopurge.snapRetainCount: three snapshots are kept, the least there can be",
            "zoo.cfg:9: skipACL: permissions are not checked: every client may read and write everything",
        ]
    );
}

#[test]
fn secrets_are_shown_nowhere() {
    let text = "dataDir=/d\nDigestAuthenticationProvider.superDigest=super:GJJ8GzXnHf0G1WSSz1SdtsFxJSg=\n";
    let (config, notices) = read(text).unwrap();
    assert_eq!(config.super_digest.as_ref().unwrap().reveal(), "super:GJJ8GzXnHf0G1WSSz1SdtsFxJSg=");
    assert!(!format!("{config:?}{notices:?}{}", config.render(0, 0)).contains("GJJ8"));
    let mistakes = mistakes("dataDir=/d\nDigestAuthenticationProvider.superDigest=super:hunter2");
    assert!(mistakes.len() == 1 && !mistakes[0].contains("hunter2"), "{mistakes:?}");
    for line in ["SASLAuthenticationProvider.superPassword=hunter2", "ssl.keyStore.password=hunter2"] {
        let shown = warnings(&format!("dataDir=/d\n{line}")).concat();
        assert!(!shown.is_empty() && !shown.contains("hunter2"), "{line}");
    }
}

#[test]
fn conf_has_zookeepers_lines_in_its_order() {
    let text = "dataDir=/d\ndataLogDir=/l\nclientPort=2182\nclientPortListenBacklog=7\ncorral.profile=small\n";
    assert_eq!(
        config(text).render(11, 22),
        "clientPort=2182\nsecureClientPort=-1\ndataDir=/d\ndataDirSize=11\ndataLogDir=/l\ndataLogSize=22\n\
         tickTime=3000\nmaxClientCnxns=60\nminSessionTimeout=6000\nmaxSessionTimeout=60000\n\
         clientPortListenBacklog=7\nserverId=0\ncorral.profile=small\ncorral.shards=0\ncorral.pinThreads=false\n\
         corral.spinMicros=0\ncorral.groupCommitDelayMicros=0\ncorral.socketSendBuffer=0\n\
         corral.socketReceiveBuffer=0\ncorral.maxSnapshotMBps=50\n\
         corral.lockMemory=false\ncorral.memoryAheadMB=8\ncorral.hugePages=false\ncorral.loadThreads=2\ncorral.outputLimit=16777216\n\
         corral.maxWatches=1000000\n\
         corral.connectTimeout=10000\n"
    );
    assert!(config("dataDir=/d").render(0, 0).contains("\nclientPortListenBacklog=-1\n"));
}

#[test]
fn purging_is_on_unless_it_is_switched_off() {
    assert_eq!(config("dataDir=/d").snap_retain, Some(3));
    assert_eq!(config("dataDir=/d\nautopurge.purgeInterval=0\nautopurge.snapRetainCount=9").snap_retain, None);
    assert_eq!(config("dataDir=/d\nautopurge.purgeInterval=1d\nautopurge.snapRetainCount=9").snap_retain, Some(9));
}

/// The tables of the documentation, as the code knows them.
fn documented_tables() -> [String; 4] {
    let mut others = String::from("| keys | what happens |\n|---|---|\n");
    let harmless = |values: &[&str]| {
        let shown: Vec<_> = values.iter().filter(|value| !value.is_empty()).map(|value| format!("`{value}`")).collect();
        if shown.is_empty() { String::new() } else { format!(" (taken silently: {})", shown.join(", ")) }
    };
    for group in unsupported::GROUPS {
        let names: Vec<_> = group.names.iter().map(|name| format!("`{name}`")).collect();
        let answer = match group.handling {
            unsupported::Handling::WarnInEnsemble => {
                "of no use to a standalone server; in an ensemble a warning: it tunes a part \
                                          of ZooKeeper that Corral does not have"
                    .to_owned()
            }
            unsupported::Handling::Warn { harmless: values, reason } => {
                format!("warning: {reason}{}", harmless(values))
            }
            unsupported::Handling::Refuse { harmless: values, reason } => {
                format!("refused: {reason}{}", harmless(values))
            }
            unsupported::Handling::EnsembleMember => "the servers of an ensemble, see above".to_owned(),
        };
        writeln!(others, "| {} | {answer} |", names.join(", ")).unwrap();
    }
    let (server, further): (Vec<_>, Vec<_>) = keys::all().partition(|key| matches!(key, Known::Server(_)));
    let (tls, ensemble): (Vec<_>, Vec<_>) = further.into_iter().partition(|key| matches!(key, Known::Tls(_)));
    [key_table(&server), key_table(&tls), key_table(&ensemble), others]
}

fn key_table(keys: &[Known]) -> String {
    let mut table = String::from("| key | default | meaning | difference to ZooKeeper |\n|---|---|---|---|\n");
    for known in keys {
        let (key, default) = (known.about(), known.default());
        let alias = if key.alias.is_empty() { String::new() } else { format!(" (or `{}`)", key.alias) };
        writeln!(table, "| `{}`{alias} | {} | {} | {} |", key.name, default, key.meaning, key.difference).unwrap();
    }
    table
}

#[test]
fn the_documentation_lists_exactly_the_keys_of_the_code() {
    let documentation = include_str!("../../docs/configuration.md");
    for table in documented_tables() {
        assert!(documentation.contains(&format!("\n\n{table}\n")), "docs/configuration.md should have:\n{table}");
    }
    let rows = documentation.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(rows, keys::all().count() + unsupported::GROUPS.len(), "a row too many in docs/configuration.md");
}

/// What the documentation calls a default is what the code reads to the same value, where it is a value and no words.
#[test]
fn defaults_written_out_change_nothing() {
    let plain = config("dataDir=/d\n");
    let mut tried = 0;
    for key in server_keys::KEYS {
        let (name, default) = (key.about.name, Known::Server(key).default());
        let text = format!("dataDir=/d\n{name}={default}\n");
        let Ok((config, notices)) = read(&text) else { continue };
        if name != "clientPort" && notices.is_empty() && !default.contains(' ') && !default.contains('`') {
            tried += 1;
            assert_eq!(config, plain, "{text}");
        }
    }
    assert!(tried > 25, "{tried}");
}

//! Ensembles: the file, the files beside it, and everything that can be wrong with them.

use super::*;
use crate::config::{ClientAddress, Config, Mistake, Notice, Overrides, Source, ensemble_keys, resolve};
use fastrand::Rng;

const THREE: &str = "dataDir=/d\nclientPort=2181\ninitLimit=10\nsyncLimit=5\ncorral.insecureQuorum=true\n\
                     server.1=zk1:2888:3888\nserver.2=zk2:2888:3888\nserver.3=zk3:2888:3888\n";
/// Without its server lines.
const STATIC: &str = "dataDir=/d\ninitLimit=10\nsyncLimit=5\ncorral.insecureQuorum=true\n";
const DYNAMIC: &str = "server.1=zk1:2888:3888;2181\nserver.2=zk2:2888:3888;2181\nserver.3=zk3:2888:3888;2181\n";

/// Reads `text` as `/c/zoo.cfg`, with these files beside it.
fn with(text: &str, files: &[(&str, &str)]) -> Result<(Config, Vec<Notice>), Vec<String>> {
    let read = |path: &Path| {
        let found = files.iter().find(|(name, _)| Path::new(name) == path);
        match found {
            Some((_, "unreadable")) => Err("Permission denied".to_owned()),
            found => Ok(found.map(|(_, content)| content.as_bytes().to_vec())),
        }
    };
    let source = Source { name: "/c/zoo.cfg", bytes: text.as_bytes() };
    let resolved = resolve(Some(&source), &Overrides::default(), 8, &read);
    resolved.map_err(|mistakes| mistakes.iter().map(Mistake::to_string).collect())
}

fn first(text: &str) -> Result<(Config, Vec<Notice>), Vec<String>> {
    with(text, &[("/d/myid", "1\n")])
}

fn ensemble(text: &str) -> Ensemble {
    first(text).expect("a good file").0.ensemble.expect("an ensemble")
}

fn mistakes(text: &str) -> Vec<String> {
    first(text).expect_err("a bad file")
}

/// Of an ensemble that has a secret of its operator's.
fn warnings(text: &str) -> Vec<String> {
    let (_, notices) = first(&format!("{text}corral.sessionSecret=0123456789abcdef\n")).expect("a good file");
    notices.iter().filter(|notice| notice.warning).map(Notice::to_string).collect()
}

#[test]
fn three_servers_are_an_ensemble() {
    assert_eq!(warnings(THREE), Vec::<String>::new());
    let (config, _) = with(THREE, &[("/d/myid", "3")]).unwrap();
    let ensemble = config.ensemble.as_ref().unwrap();
    assert_eq!((ensemble.id, ensemble.own.to_string().as_str()), (ServerId(3), "zk3:2888:3888:participant"));
    assert_eq!((ensemble.settings.init_limit, ensemble.settings.sync_limit), (10, 5));
    assert_eq!(ensemble.settings.connect_limit, None);
    assert_eq!((ensemble.membership.version(), ensemble.proposed.as_ref()), (0, None));
    assert_eq!((ensemble.config_file.to_str(), ensemble.dynamic_config_file.as_ref()), (Some("/c/zoo.cfg"), None));
    assert_eq!((config.client_address.clone(), config.client_port), (ClientAddress::Any, 2181));
    let conf = config.render(0, 0);
    assert!(
        conf.contains(
            "\nserverId=3\ninitLimit=10\nsyncLimit=5\nelectionAlg=3\nelectionPort=3888\nquorumPort=2888\npeerType=0\n"
        ),
        "{conf}"
    );
    let membership = "\nmembership: \nserver.1=zk1:2888:3888:participant\nserver.2=zk2:2888:3888:participant\n\
                      server.3=zk3:2888:3888:participant\nversion=0\n";
    assert!(conf.ends_with(membership), "{conf}");
}

#[test]
fn every_key_is_taken_in_every_spelling_and_changes_something() {
    let plain = ensemble(THREE);
    let without_limits = THREE.replace("initLimit=10\nsyncLimit=5\n", "");
    let keys = ensemble_keys::ENSEMBLE_KEYS.iter().map(|key| &key.about).filter(|key| !key.example.is_empty());
    for key in keys {
        for name in [key.name, key.alias].into_iter().filter(|name| !name.is_empty()) {
            for prefix in ["", "zookeeper."] {
                let text = match key.name {
                    "initLimit" => format!("{without_limits}{prefix}initLimit=9\nsyncLimit=5\n"),
                    "syncLimit" => format!("{without_limits}initLimit=10\n{prefix}syncLimit=6\n"),
                    _ => format!("{THREE}{prefix}{name}={}\n", key.example),
                };
                assert_ne!(ensemble(&text).settings, plain.settings, "{text}");
            }
        }
    }
}

#[test]
fn wrong_values_of_every_kind_are_refused_in_ensembles_and_out_of_them() {
    for line in [
        "connectToLearnerMasterLimit=-1",
        "standaloneEnabled=yes",
        "peerType=leader",
        "electionAlg=0",
        "dynamicConfigFile=",
        "reconfigEnabled=1",
        "quorumListenOnAllIPs=yes",
        "corral.insecureQuorum=yes",
        "corral.sessionSecret=short",
        "corral.zookeeperPasswords=yes",
        "corral.leaderSlowWriteMs=-1",
        "localSessionsEnabled=",
        "localSessionsUpgradingEnabled=1",
        "observerMasterPort=65536",
        "syncEnabled=no",
        "multiAddress.enabled=1",
        "oraclePath=/o",
    ] {
        let key = line.split('=').next().unwrap();
        for (before, number) in [("dataDir=/d\n", 2), (THREE, 9)] {
            let mistakes = mistakes(&format!("{before}{line}\n"));
            assert_eq!(mistakes.len(), 1, "{line}: {mistakes:?}");
            assert!(mistakes[0].starts_with(&format!("/c/zoo.cfg:{number}: {key}")), "{line}: {mistakes:?}");
        }
    }
    assert!(!mistakes("dataDir=/d\ncorral.sessionSecret=hunter2")[0].contains("hunter2"));
    assert!(!format!("{:?}", ensemble(&format!("{THREE}corral.sessionSecret=0123456789abcdef\n"))).contains("0123"));
}

/// Whoever asks for what this version does not do is told by name, where it stands; the usual value asks for nothing.
#[test]
fn keys_without_effect_are_named() {
    let said = |lines: &str| warnings(&format!("{THREE}{lines}\n"));
    for (line, instead) in [
        ("observerMasterPort=2889", "it takes in no observers here; they ask another voter, or the leader"),
        ("observerMaster.sizeLimit=1048576", "nothing is kept for observers"),
        ("syncEnabled=false", "an observer keeps its log and snapshots"),
        ("multiAddress.reachabilityCheckEnabled=false", "of several addresses the first that answers is used"),
        ("multiAddress.reachabilityCheckTimeoutMs=200", "the addresses of a server share cnxTimeout"),
    ] {
        let key = line.split('=').next().unwrap();
        assert_eq!(said(line), [format!("/c/zoo.cfg:9: {key}: has no effect in this version: {instead}")]);
        assert!(keys::find(key).unwrap().about().difference.contains("no effect"), "{key}");
    }
    let named = ensemble_keys::ENSEMBLE_KEYS.iter().filter(|key| key.about.difference.contains("no effect"));
    assert_eq!(named.count(), 5, "each of them was tried here");
    let alias = said("observer.syncEnabled=false");
    assert!(alias.len() == 1 && alias[0].contains("syncEnabled: has no effect"), "{alias:?}");
    let observer = THREE.replace("zk1:2888:3888", "zk1:2888:3888:observer");
    assert_ne!(observer, THREE);
    let said_to_it = warnings(&format!("{observer}observerMasterPort=2889\n"));
    assert!(!said_to_it.iter().any(|warning| warning.contains("observerMasterPort")), "{said_to_it:?}");
    let usual = "observerMasterPort=0\n\
                 observerMaster.sizeLimit=33554432\nsyncEnabled=true\nmultiAddress.reachabilityCheckEnabled=true\n\
                 multiAddress.reachabilityCheckTimeoutMs=1000";
    assert_eq!(said(usual), Vec::<String>::new());
}

#[test]
fn values_that_stand_for_others() {
    let settings = |line: &str| ensemble(&format!("{THREE}{line}\n")).settings;
    assert_eq!(settings("connectToLearnerMasterLimit=3").connect_limit, Some(3));
    assert_eq!(settings("connectToLearnerMasterLimit=0").connect_limit, None);
    assert_eq!(settings("corral.leaderSlowWriteMs=0").slow_write_ms, None);
    assert_eq!(settings("corral.leaderSlowWriteMs=1").slow_write_ms, Some(1));
    assert_eq!(settings("electionPortBindRetry=0").election_bind_retries, None);
    assert_eq!(settings("quorumCnxnTimeoutMs=0").election_handshake_timeout_ms, None);
    assert_eq!(settings("snapshotSizeFactor=-0.5").snapshot_size_factor, None);
    assert_eq!(settings("snapshotSizeFactor=0.5").snapshot_size_factor, Some(0.5));
    assert_eq!(settings("commitLogCount=7").commit_log_count, 500);
    assert_eq!(
        warnings(&format!("{THREE}commitLogCount=7\n")),
        ["/c/zoo.cfg:9: commitLogCount: 500 transactions are kept, the least there can be"]
    );
}

#[test]
fn every_mistake_is_reported_at_once() {
    let text = "dataDir=/d\nsyncLimit=0\nfastleader.minNotificationInterval=9\nfastleader.maxNotificationInterval=8\n\
                server.1=zk1:2888:3888|zk4:2888:3888\nserver.2=zk1:2888:4888\nserver.3=zk3:1\nserver.3a=x:1:2\n";
    let bad_lines = [
        "/c/zoo.cfg:2: syncLimit = \"0\": expected a whole number from 1 to 2147483647",
        "/c/zoo.cfg:7: server.3 = \"zk3:1\": expected host:quorumPort:electionPort[:participant|observer]\
         [;[host:]clientPort]",
        "/c/zoo.cfg:8: server.3a = \"x:1:2\": expected server.N with N a server id",
    ];
    assert_eq!(mistakes(text), bad_lines, "without a whole membership nothing is said of it");
    let text = text.replace("server.3=zk3:1\nserver.3a=x:1:2\n", "");
    assert_eq!(
        with(&text, &[]).unwrap_err(),
        [
            "/c/zoo.cfg: initLimit: missing; every member of an ensemble needs this number of ticks",
            bad_lines[0],
            "/c/zoo.cfg:3: fastleader.minNotificationInterval = \"9\": expected at most \
             fastleader.maxNotificationInterval, 8",
            "/c/zoo.cfg:5: server.1 = \"zk1:2888:3888|zk4:2888:3888\": several addresses; expected one, or \
             multiAddress.enabled=true",
            "/c/zoo.cfg:6: server.2 = \"zk1:2888:4888\": zk1:2888 is an address of server.1 too; expected another",
            "/d/myid: myid: missing; expected a file with this server's id, one of 1, 2",
        ]
    );
    let long = THREE.replace("initLimit=10", "initLimit=800000");
    assert_eq!(
        mistakes(&long),
        ["/c/zoo.cfg:3: initLimit = \"800000\": with tickTime 3000 more than 24 days; expected less"]
    );
    assert_eq!(mistakes(&format!("{THREE}server.3=zk4:1:2\n")).len(), 1, "given twice");
}

#[test]
fn myid_says_who_this_is() {
    let with_id = |content: &str| with(THREE, &[("/d/myid", content)]);
    for good in ["2", "2\n", " 2 \r\n", "2\nsecond line\n"] {
        assert_eq!(with_id(good).unwrap().0.ensemble.unwrap().id, ServerId(2), "{good:?}");
    }
    for (content, problem) in [
        ("", "/d/myid: myid = \"\": expected this server's id, one of 1, 2, 3"),
        ("two\n", "/d/myid: myid = \"two\": expected this server's id, one of 1, 2, 3"),
        ("-1", "/d/myid: myid = \"-1\": expected this server's id, one of 1, 2, 3"),
        ("4\n", "/d/myid: myid = \"4\": there is no server.4; expected one of 1, 2, 3"),
        ("unreadable", "/d/myid: myid: cannot be read: Permission denied"),
    ] {
        assert_eq!(with_id(content).unwrap_err(), [problem], "{content:?}");
    }
    let long = with_id(&"x".repeat(100_000)).unwrap_err();
    assert!(long[0].len() < 200, "not the whole of whatever it is");
    let no_directory = mistakes(&THREE.replace("dataDir=/d\n", ""));
    assert_eq!(no_directory, ["/c/zoo.cfg: dataDir: missing; expected a directory, here or as --data-dir"]);
    let high = THREE.replace("server.3", "server.300").replace("zk3", "zk300") + "extendedTypesEnabled=true\n";
    let mistakes = with(&high, &[("/d/myid", "300")]).unwrap_err();
    assert!(mistakes.len() == 1 && mistakes[0].contains("expected 254 at most"), "{mistakes:?}");
}

#[test]
fn one_participant_is_alone_unless_it_may_grow() {
    let one = "dataDir=/d\ninitLimit=1\nsyncLimit=1\nserver.1=localhost:1:2;2181\n";
    let (config, notices) = first(one).unwrap();
    assert!(config.ensemble.is_none());
    let texts: Vec<_> = notices.iter().map(Notice::to_string).collect();
    assert_eq!(
        texts,
        [
            "/c/zoo.cfg:2: initLimit: of no use to a standalone server",
            "/c/zoo.cfg:3: syncLimit: of no use to a standalone server",
            "/c/zoo.cfg:4: server.1: the only participant: this is a standalone server, not an ensemble",
        ]
    );
    assert_eq!(ensemble(&format!("{one}standaloneEnabled=false\n")).membership.members().count(), 1);
    let observers = mistakes(&format!("{one}server.2=localhost:3:4:observer\n"));
    assert!(observers.len() == 1 && observers[0].contains("server.2") && observers[0].contains("no quorum"));
    assert_eq!(ensemble(&format!("{one}server.2=localhost:3:4:observer\nstandaloneEnabled=false\n")).id.0, 1);
    let nobody = mistakes("dataDir=/d\nserver.1=zk1:2888:3888:observer");
    assert!(nobody.len() == 1 && nobody[0].starts_with("/c/zoo.cfg:2: server.1 = "), "{nobody:?}");
    assert_eq!(
        mistakes("dataDir=/d\nstandaloneEnabled=false"),
        ["/c/zoo.cfg:2: standaloneEnabled = \"false\": an ensemble without a server; expected at least one server.N"]
    );
}

#[test]
fn quorum_ports_beyond_the_machine_need_a_word() {
    let open = THREE.replace("corral.insecureQuorum=true\n", "");
    let refused = mistakes(&open);
    assert!(
        refused.len() == 1 && refused[0].starts_with("/c/zoo.cfg:5: server.1 = \"zk1:2888:3888\": "),
        "{refused:?}"
    );
    assert!(refused[0].contains("expected corral.insecureQuorum=true"), "{refused:?}");
    let local = open.replace("zk1:2888", "127.0.0.1:2888");
    assert_eq!(ensemble(&local).id, ServerId(1), "only this server's own ports are opened by it");
    assert_eq!(mistakes(&format!("{local}quorumListenOnAllIPs=true\n")).len(), 1);
    assert_eq!(mistakes(&open.replace("zk1:2888", "0.0.0.0:2888")).len(), 1);
}

#[test]
fn clients_are_served_where_the_own_line_says() {
    let with_client = |client: &str, keys: &str| {
        let text = THREE.replace("clientPort=2181\n", keys);
        first(&text.replace("zk1:2888:3888", &format!("zk1:2888:3888{client}")))
    };
    let (config, _) = with_client(";127.0.0.1:2182", "").unwrap();
    assert_eq!((config.client_address.to_string().as_str(), config.client_port), ("127.0.0.1", 2182));
    let (config, _) = with_client(";10.0.0.1:2181", "clientPort=2181\nclientPortAddress=0.0.0.0\n").unwrap();
    assert_eq!(config.client_address.to_string(), "10.0.0.1");
    let port = with_client(";2182", "clientPort=2181\n").unwrap_err();
    assert!(port.len() == 1 && port[0].ends_with("clientPort names another port"), "{port:?}");
    let address = with_client(";10.0.0.1:2181", "clientPort=2181\nclientPortAddress=10.0.0.2\n").unwrap_err();
    assert!(address.len() == 1 && address[0].ends_with("clientPortAddress names another address"), "{address:?}");
    let (_, notices) = with_client("", "").unwrap();
    assert!(notices.iter().any(|notice| notice.warning && notice.text.contains("127.0.0.1:2181 only")));
    let others = THREE.replace("zk2:2888:3888", "zk2:2888:3888;9999");
    assert_eq!(first(&others).unwrap().0.client_port, 2181, "where others serve their clients is their business");
}

#[test]
fn the_servers_may_stand_in_a_dynamic_file() {
    let text = format!("{STATIC}dynamicConfigFile=/c/zoo.cfg.dynamic.100000001\n");
    let name = "/c/zoo.cfg.dynamic.100000001";
    let (config, _) = with(&text, &[("/d/myid", "2"), (name, DYNAMIC)]).unwrap();
    let ensemble = config.ensemble.unwrap();
    assert_eq!((ensemble.membership.version(), ensemble.membership.members().count()), (0x1_0000_0001, 3));
    assert_eq!((config.client_port, ensemble.proposed), (2181, None));
    assert_eq!(ensemble.dynamic_config_file, Some(PathBuf::from(name)));

    let next = format!("{DYNAMIC}server.4=zk4:2888:3888;2181\nversion=200000000\n");
    let files = [("/d/myid", "2"), (name, DYNAMIC), ("/c/zoo.cfg.dynamic.next", next.as_str())];
    let proposed = with(&text, &files).unwrap().0.ensemble.unwrap().proposed.unwrap();
    assert_eq!((proposed.version(), proposed.members().count()), (2 << 32, 4));

    for (files, problems) in [
        (vec![("/d/myid", "2")], vec![format!("/c/zoo.cfg:5: dynamicConfigFile = \"{name}\": there is no such file")]),
        (
            vec![("/d/myid", "2"), (name, "unreadable")],
            vec![format!("/c/zoo.cfg:5: dynamicConfigFile = \"{name}\": cannot be read: Permission denied")],
        ),
        (
            vec![("/d/myid", "2"), (name, "server.1=h\nversion=1\ntickTime=5\n\\u1=x\n")],
            vec![
                format!(
                    "{name}:1: server.1 = \"h\": expected host:quorumPort:electionPort[:participant|observer]\
                         [;[host:]clientPort]"
                ),
                format!("{name}:2: version = \"1\": the version is the end of this file's name; expected no such line"),
                format!("{name}:3: tickTime = \"5\": expected server.N, group.N, weight.N or version"),
                format!(
                    "{name}:4: a \\u escape without a character; expected four hexadecimal digits, surrogates in \
                         pairs"
                ),
            ],
        ),
        (
            vec![("/d/myid", "2"), (name, DYNAMIC), ("/c/zoo.cfg.dynamic.next", "version=1")],
            vec!["/c/zoo.cfg.dynamic.next: no server.N is a participant; expected at least one".to_owned()],
        ),
    ] {
        assert_eq!(with(&text, &files).unwrap_err(), problems);
    }
    let both = with(&format!("{text}server.1=zk1:2888:3888\nweight.1=1\n"), &[("/d/myid", "2"), (name, DYNAMIC)]);
    assert_eq!(
        both.unwrap_err(),
        [
            format!(
                "/c/zoo.cfg:6: server.1 = \"zk1:2888:3888\": dynamicConfigFile is given; expected this line in {name}"
            ),
            format!("/c/zoo.cfg:7: weight.1 = \"1\": dynamicConfigFile is given; expected this line in {name}"),
        ]
    );
}

#[test]
fn versions_in_names() {
    assert_eq!(version_in_name("zoo.cfg.dynamic.100000000"), Some(1 << 32));
    assert_eq!(version_in_name("zoo.cfg.dynamic.0"), Some(0));
    for none in ["zoo.cfg.dynamic", "zoo", "zoo.-1", "zoo.", "zoo.10000000000000000"] {
        assert_eq!(version_in_name(none), None, "{none}");
    }
}

#[test]
fn groups_and_weights() {
    let text = format!("{THREE}group.1=1:2\ngroup.2=3\nweight.3=2\n");
    let groups = ensemble(&text).membership.groups().unwrap().clone();
    assert_eq!((groups.of[&ServerId(3)], groups.weights[&ServerId(3)], groups.weights[&ServerId(1)]), (2, 2, 1));
    let left_out = mistakes(&text.replace("group.1=1:2", "group.1=1"));
    assert_eq!(
        left_out,
        ["/c/zoo.cfg:7: server.2 = \"zk2:2888:3888\": server 2 is in no group.N; with groups or weights every \
          participant must be"]
    );
    assert_eq!(mistakes(&format!("{text}group.3=1\n")).len(), 1);
    assert_eq!(
        mistakes(&format!("{THREE}group.1=1:2:3\nweight.1=0\nweight.2=0\nweight.3=0\n")),
        ["/c/zoo.cfg: weight.*: every participant weighs 0; expected one that weighs something"]
    );
}

#[test]
fn what_an_operator_should_know_is_said() {
    let two = THREE.replace("server.3=zk3:2888:3888\n", "");
    assert_eq!(
        warnings(&two),
        ["/c/zoo.cfg: server.*: 2 participants survive no failure; three are the least that do"]
    );
    let four = format!("{THREE}server.4=zk4:2888:3888\n");
    assert_eq!(
        warnings(&four),
        ["/c/zoo.cfg: server.*: 4 participants survive as many failures as 3; an odd number is better"]
    );
    assert_eq!(warnings(&four.replace("zk4:2888:3888", "zk4:2888:3888:observer")), Vec::<String>::new());
    let same = warnings(&format!("{THREE}server.257=zk4:2888:3888:observer\n"));
    assert!(same.len() == 1 && same[0].contains("the same as server.1 in its last eight bits"), "{same:?}");
    assert_eq!(
        warnings(&format!("{THREE}peerType=observer\nlearner.asyncSending=true\n")),
        [
            "/c/zoo.cfg:10: learner.asyncSending: ignored: it tunes a part of ZooKeeper that Corral does not have",
            "/c/zoo.cfg:9: peerType: observer here, participant in server.1, which counts",
        ]
    );
    let reconfig = warnings(&format!("{THREE}reconfigEnabled=true\n"));
    assert!(reconfig.len() == 1 && reconfig[0].contains("superDigest"), "{reconfig:?}");
    let everybody = warnings(&format!("{THREE}reconfigEnabled=true\nskipACL=yes\n"));
    assert!(everybody.iter().any(|text| text.contains("every client may change the servers")), "{everybody:?}");
    let zookeepers = warnings(&format!("{THREE}corral.zookeeperPasswords=true\n"));
    assert!(zookeepers.len() == 1 && zookeepers[0].contains("without effect"), "{zookeepers:?}");
    let (_, notices) = first(&format!("{THREE}corral.zookeeperPasswords=true\n")).unwrap();
    assert!(notices.iter().any(|notice| notice.warning && notice.text.contains("take it over")), "{notices:?}");
    assert!(first(THREE).unwrap().1.iter().all(|notice| !notice.warning), "members agree on a secret by themselves");
}

#[test]
fn any_bytes_end_in_a_value_or_in_mistakes() {
    let mut random = Rng::with_seed(1);
    for _ in 0..2000 {
        let mut bytes =
            [THREE, "group.1=1:2:3\nweight.2=0\ndynamicConfigFile=/x\nstandaloneEnabled=false\n"].concat().into_bytes();
        for _ in 0..random.usize(..8) {
            let at = random.usize(..bytes.len());
            match random.u8(..3) {
                0 => bytes[at] = random.u8(..),
                1 => bytes.truncate(at.max(1)),
                _ => bytes.insert(at, b":;|[]=\n9"[random.usize(..8)]),
            }
        }
        let source = Source { name: "/c/zoo.cfg", bytes: &bytes };
        let read = |path: &Path| Ok(Some(if path.ends_with("myid") { b"1".to_vec() } else { bytes.clone() }));
        match resolve(Some(&source), &Overrides::default(), 4, &read) {
            Ok((config, _)) => drop(config.render(0, 0)),
            Err(mistakes) => assert!(!mistakes.is_empty()),
        }
    }
}

#[test]
fn a_membership_that_no_notification_could_carry_is_refused() {
    let lines: String = (1..=2000).map(|id| format!("server.{id}=zk-{id}.a-long-name.example:2888:3888\n")).collect();
    let mistakes = mistakes(&format!("{STATIC}{lines}"));
    assert_eq!(mistakes.len(), 1, "{mistakes:?}");
    assert!(mistakes[0].contains("server.*: ") && mistakes[0].ends_with("expected at most 65536"), "{mistakes:?}");
    let lines: String = (1..=200).map(|id| format!("server.{id}=zk-{id}.a-long-name.example:2888:3888\n")).collect();
    assert!(first(&format!("{STATIC}{lines}")).is_ok());
}

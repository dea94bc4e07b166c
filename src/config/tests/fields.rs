//! Configurations in the shapes in which charts, images, modules and guides write them, with values of our own: each of
//! them starts a server, with these values and these warnings.

use super::super::{ClientAddress, Config, Mistake, Notice, Overrides, Source, resolve};
use std::path::Path;

/// One configuration.
struct Case {
    /// Whose shape it has.
    of: &'static str,
    text: &'static str,
    /// `HOST:PORT` of its clients.
    clients: &'static str,
    /// Tick and session timeouts, ms.
    times: [i64; 3],
    /// Servers of its ensemble; 0: it is on its own.
    servers: usize,
    /// The keys that are warned about, in the order in which they are.
    warned: &'static [&'static str],
}

const CASES: &[Case] = &[
    Case {
        of: "the official image, alone",
        text: "dataDir=/data\ndataLogDir=/datalog\ntickTime=2500\ninitLimit=6\nsyncLimit=3\nautopurge.snapRetainCount=4\n\
               autopurge.purgeInterval=0\nmaxClientCnxns=80\nstandaloneEnabled=true\nadmin.enableServer=true\n\
               server.1=localhost:2888:3888;2181\n",
        clients: "*:2181",
        times: [2500, 5000, 50_000],
        servers: 0,
        warned: &["admin.enableServer", "server.1"],
    },
    Case {
        of: "the official image, three of them",
        text: "dataDir=/data\ndataLogDir=/datalog\ntickTime=2000\ninitLimit=5\nsyncLimit=2\nautopurge.snapRetainCount=3\n\
               autopurge.purgeInterval=12\nmaxClientCnxns=0\nstandaloneEnabled=false\nadmin.enableServer=false\n\
               4lw.commands.whitelist=srvr, mntr, ruok\nserver.1=keeper-a:2888:3888;2181\n\
               server.2=keeper-b:2888:3888;2181\nserver.3=keeper-c:2888:3888;2181\n",
        clients: "*:2181",
        times: [2000, 4000, 40_000],
        servers: 3,
        warned: &[],
    },
    Case {
        of: "an image that writes every key it knows",
        text: "# The number of milliseconds of each tick\ntickTime=2000\ninitLimit=10\nsyncLimit=5\n\
               dataDir=/volume/keeper/data\nclientPort=2181\nmaxClientCnxns=60\nautopurge.snapRetainCount=3\n\
               autopurge.purgeInterval=-1\n\n## Metrics Providers\n#metricsProvider.httpPort=7000\n\
               preAllocSize=65536\nsnapCount=100000\nmaxCnxns=0\nreconfigEnabled=false\nquorumListenOnAllIPs=false\n\
               4lw.commands.whitelist=srvr,mntr\nmaxSessionTimeout=40000\nadmin.serverPort=8080\n\
               admin.enableServer=true\nserver.1=keeper-0.keeper-headless.shop.svc.cluster.local:2888:3888;2181\n\
               server.2=keeper-1.keeper-headless.shop.svc.cluster.local:2888:3888;2181\n\
               server.3=keeper-2.keeper-headless.shop.svc.cluster.local:2888:3888;2181\n",
        clients: "*:2181",
        times: [2000, 4000, 40_000],
        servers: 3,
        warned: &["autopurge.purgeInterval", "admin.serverPort", "admin.enableServer"],
    },
    Case {
        of: "an image configured by its environment",
        text: "clientPort=32181\ndataDir=/var/lib/keeper/data\ndataLogDir=/var/lib/keeper/log\n\
               tickTime=3000\ninitLimit=7\nsyncLimit=4\nserver.1=one:22888:23888\nserver.2=two:32888:33888\n\
               server.3=three:42888:43888\n",
        clients: "*:32181",
        times: [3000, 6000, 60_000],
        servers: 3,
        warned: &[],
    },
    Case {
        of: "an operator of message brokers, TLS between servers switched off",
        text: "clientPort=12181\nclientPortAddress=127.0.0.1\ndataDir=/var/lib/keeper/data\ntickTime=2000\ninitLimit=5\n\
               syncLimit=2\nautopurge.purgeInterval=1\nmaxClientCnxns=0\nstandaloneEnabled=false\nreconfigEnabled=true\n\
               skipACL=yes\nsslQuorum=false\nssl.quorum.keyStore.location=/certs/quorum.p12\n\
               ssl.quorum.keyStore.password=changeit\nssl.quorum.clientAuth=need\nssl.quorum.hostnameVerification=false\n\
               admin.enableServer=false\nserver.1=0.0.0.0:2888:3888:participant\n\
               server.2=b.brokers:2888:3888:participant\nserver.3=c.brokers:2888:3888:participant\n",
        clients: "127.0.0.1:12181",
        times: [2000, 4000, 40_000],
        servers: 3,
        warned: &[
            "skipACL",
            "ssl.quorum.keyStore.location",
            "ssl.quorum.keyStore.password",
            "ssl.quorum.clientAuth",
            "reconfigEnabled",
        ],
    },
    Case {
        of: "an operator of keepers",
        text: "4lw.commands.whitelist=cons, envi, conf, crst, srvr, stat, mntr, ruok\ndataDir=/data\nstandaloneEnabled=false\n\
               reconfigEnabled=true\nskipACL=yes\nmetricsProvider.className=org.apache.zookeeper.metrics.prometheus.\
               PrometheusMetricsProvider\nmetricsProvider.httpPort=7000\nmetricsProvider.exportJvmInfo=true\n\
               initLimit=10\nsyncLimit=2\ntickTime=2000\nglobalOutstandingLimit=1000\npreAllocSize=65536\nsnapCount=10000\n\
               commitLogCount=500\nsnapSizeLimitInKb=4194304\nmaxCnxns=0\nmaxClientCnxns=60\nminSessionTimeout=4000\n\
               maxSessionTimeout=40000\nautopurge.snapRetainCount=3\nautopurge.purgeInterval=1\n\
               quorumListenOnAllIPs=false\nadmin.serverPort=8080\nserver.1=p-0.p:2888:3888;2181\n\
               server.2=p-1.p:2888:3888;2181\nserver.3=p-2.p:2888:3888;2181\n",
        clients: "*:2181",
        times: [2000, 4000, 40_000],
        servers: 3,
        warned: &[
            "skipACL",
            "metricsProvider.className",
            "metricsProvider.httpPort",
            "metricsProvider.exportJvmInfo",
            "admin.serverPort",
            "reconfigEnabled",
        ],
    },
    Case {
        of: "a manager of clusters, with its own spacing",
        text: "autopurge.purgeInterval = 24\nautopurge.snapRetainCount = 30\nclientPort = 2181\ndataDir = /grid/keeper\n\
               initLimit = 10\nsyncLimit = 5\ntickTime = 3000\nadmin.enableServer = false\n\
               server.1=master-1.grid.example:2888:3888\nserver.2=master-2.grid.example:2888:3888\n\
               server.3=master-3.grid.example:2888:3888\n",
        clients: "*:2181",
        times: [3000, 6000, 60_000],
        servers: 3,
        warned: &[],
    },
    Case {
        of: "another manager of clusters, with 4181 between servers and no limit below 0",
        text: "tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir=/var/lib/keeper\ndataLogDir=/var/lib/keeper\nclientPort=2181\n\
               maxClientCnxns=-1\nminSessionTimeout=4000\nmaxSessionTimeout=60000\nautopurge.purgeInterval=24\n\
               autopurge.snapRetainCount=5\nquorum.auth.enableSasl=false\nquorum.cnxn.threads.size=20\nleaderServes=yes\n\
               admin.enableServer=false\nserver.1=n1:3181:4181\nserver.2=n2:3181:4181\nserver.3=n3:3181:4181\n",
        clients: "*:2181",
        times: [2000, 4000, 60_000],
        servers: 3,
        warned: &["maxClientCnxns", "quorum.cnxn.threads.size"],
    },
    Case {
        of: "a search engine's guide, with a large buffer in hexadecimal",
        text: "tickTime=2000\ndataDir=/srv/keeper\nclientPort=2181\n4lw.commands.whitelist=mntr,conf,ruok\ninitLimit=5\n\
               syncLimit=2\nserver.1=search1:2888:3888\nserver.2=search2:2888:3888\nserver.3=search3:2888:3888\n\
               autopurge.snapRetainCount=3\nautopurge.purgeInterval=1\njute.maxbuffer=0x9fffff\n",
        clients: "*:2181",
        times: [2000, 4000, 40_000],
        servers: 3,
        warned: &[],
    },
    Case {
        of: "a column store's advice, with sizes that carry a unit",
        text: "tickTime=2000\ninitLimit=300\nsyncLimit=10\nmaxClientCnxns=2000\nmaxSessionTimeout=60000000\n\
               dataDir=/opt/keeper/events/data\ndataLogDir=/opt/keeper/events/logs\nautopurge.snapRetainCount=10\n\
               autopurge.purgeInterval=1\npreAllocSize=64M\nsnapCount=3000000\nleaderServes=yes\nstandaloneEnabled=false\n\
               clientPort=2181\nserver.1=k1:2888:3888\nserver.2=k2:2888:3888\nserver.3=k3:2888:3888\n",
        clients: "*:2181",
        times: [2000, 4000, 60_000_000],
        servers: 3,
        warned: &["preAllocSize"],
    },
    Case {
        of: "an advice to write less ahead",
        text: "tickTime=2000\ndataDir=/opt/keeper\nclientPort=2181\npreAllocSize=1024\nsnapCount=1\nforceSync=no\n",
        clients: "*:2181",
        times: [2000, 4000, 40_000],
        servers: 0,
        warned: &["snapCount", "forceSync", "preAllocSize"],
    },
    Case {
        of: "a message queue's own file",
        text: "tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir=data/keeper\nclientPort=2181\nadmin.enableServer=true\n\
               admin.serverPort=9990\nautopurge.snapRetainCount=3\nautopurge.purgeInterval=1\nforceSync=yes\n\
               sslQuorum=false\nportUnification=false\nmetricsProvider.className=org.apache.zookeeper.metrics.prometheus.\
               PrometheusMetricsProvider\nmetricsProvider.httpPort=8000\n",
        clients: "*:2181",
        times: [2000, 4000, 40_000],
        servers: 0,
        warned: &["admin.enableServer", "admin.serverPort", "metricsProvider.className", "metricsProvider.httpPort"],
    },
    Case {
        of: "a broker's own file",
        text: "dataDir=/tmp/keeper\nclientPort=2181\nmaxClientCnxns=0\nadmin.enableServer=false\n# admin.serverPort=8080\n",
        clients: "*:2181",
        times: [3000, 6000, 60_000],
        servers: 0,
        warned: &[],
    },
    Case {
        of: "a database that manages its keeper",
        text: "dataDir=/hbase/keeper\nclientPort=2181\ntickTime=6000\ninitLimit=10\nsyncLimit=5\nmaxClientCnxns=300\n\
               peerPort=2888\nleaderPort=3888\nserver.0=region0:2888:3888\nserver.1=region1:2888:3888\n\
               server.2=region2:2888:3888\n",
        clients: "*:2181",
        times: [6000, 12_000, 120_000],
        servers: 3,
        warned: &["peerPort", "leaderPort"],
    },
    Case {
        of: "a module of configuration management",
        text: "# This file is managed\n\n# the port at which the clients will connect\nclientPort=2181\nclientPortAddress=10.9.8.7\n\
               \ndataDir=/var/lib/keeper\n#dataLogDir=/disk2/keeper\ntickTime=2000\ninitLimit=10\nsyncLimit=5\n\n\
               # To allow direct access\nmaxClientCnxns=10\nmaxSessionTimeout=40000\nglobalOutstandingLimit=0\n\
               snapCount=10000\nautopurge.purgeInterval=0\nautopurge.snapRetainCount=3\nleaderServes=yes\n\
               election_alg=3\npeerType=participant\nserver.1=10.9.8.7:2888:3888\nserver.2=10.9.8.8:2888:3888\n\
               server.3=10.9.8.9:2888:3888:observer\nserver.4=10.9.8.10:2888:3888\n",
        clients: "10.9.8.7:2181",
        times: [2000, 4000, 40_000],
        servers: 4,
        warned: &["globalOutstandingLimit", "election_alg"],
    },
    Case {
        of: "a role of configuration management, with a variable that was empty",
        text: "tickTime=2000\ndataDir=/var/lib/keeper\n\ninitLimit=5\nsyncLimit=2\nclientPort=2181\n=\nsnapCount=\n\
               fsync.warningthresholdms=\n",
        clients: "*:2181",
        times: [2000, 4000, 40_000],
        servers: 0,
        warned: &["", "snapCount", "fsync.warningthresholdms"],
    },
    Case {
        of: "an overseer that restarts its keepers",
        text: "#Auto-generated - Sun Nov 29 10:00:00 UTC 2026\n#Sun Nov 29 10:00:00 UTC 2026\nautopurge.purgeInterval=5\n\
               initLimit=10\nautopurge.snapRetainCount=3\nsyncLimit=5\ntickTime=2000\ndataDir=/var/lib/keeper/snapshots\n\
               dataLogDir=/var/lib/keeper/transactions\nclientPort=2181\nserver.1=ip-10-1-1-1:2888:3888\n\
               server.2=ip-10-1-1-2:2888:3888\nserver.3=ip-10-1-1-3:2888:3888\n",
        clients: "*:2181",
        times: [2000, 4000, 40_000],
        servers: 3,
        warned: &[],
    },
    Case {
        of: "a chart with its keys as system properties",
        text: "clientPort=2181\ndataDir=/data/data\ndataLogDir=/data/log\ntickTime=2000\ninitLimit=10\nsyncLimit=5\n\
               maxClientCnxns=60\nminSessionTimeout= 4000\nmaxSessionTimeout= 40000\nautopurge.snapRetainCount=3\n\
               autopurge.purgeInterval=1\n4lw.commands.whitelist=*\nzookeeper.snapCount=50000\n\
               server.1=k-0.k.default:2888:3888\nserver.2=k-1.k.default:2888:3888\nserver.3=k-2.k.default:2888:3888\n",
        clients: "*:2181",
        times: [2000, 4000, 40_000],
        servers: 3,
        warned: &[],
    },
    Case {
        of: "a cluster manager's guide, on Windows' line ends",
        text: "tickTime=2000\r\ndataDir=C:/keeper/data\r\nclientPort=2181\r\ninitLimit=5\r\nsyncLimit=2\r\n\
               admin.serverPort=8081\r\n",
        clients: "*:2181",
        times: [2000, 4000, 40_000],
        servers: 0,
        warned: &["admin.serverPort"],
    },
    Case {
        of: "a flow engine's embedded keeper",
        text: "initLimit=10\nautopurge.purgeInterval=24\nsyncLimit=5\ntickTime=2000\ndataDir=./state/keeper\n\
               autopurge.snapRetainCount=30\nadmin.enableServer=false\n\
               authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider\nserver.1=flow:2888:3888;2181\n",
        clients: "*:2181",
        times: [2000, 4000, 40_000],
        servers: 0,
        warned: &["authProvider.1", "server.1"],
    },
    Case {
        of: "a guide to reconfiguration",
        text: "tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir=/srv/keeper\nstandaloneEnabled=false\nreconfigEnabled=true\n\
               server.1=125.23.63.23:1234:1235;1236\n",
        clients: "*:1236",
        times: [2000, 4000, 40_000],
        servers: 1,
        warned: &["server.*", "reconfigEnabled"],
    },
    Case {
        of: "a guide to observers and groups",
        text: "tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir=/srv/keeper\nclientPort=2181\npeerType=participant\n\
               server.1=a1:2888:3888\nserver.2=a2:2888:3888\nserver.3=a3:2888:3888\nserver.4=o1:2888:3888:observer\n\
               group.1=1:2:3\nweight.1=1\nweight.2=1\nweight.3=1\n",
        clients: "*:2181",
        times: [2000, 4000, 40_000],
        servers: 4,
        warned: &[],
    },
    Case {
        of: "a test harness on one machine, with the loopback's zone",
        text: "tickTime=500\nminSessionTimeout=0\nmaxSessionTimeout=20000\ndataDir=/tmp/t\nclientPort=21811\n\
               clientPortAddress=::1%lo\nadmin.enableServer=false\nautopurge.purgeInterval=0\nautopurge.snapRetainCount=-1\n\
               clientPortListenBacklog=0\n",
        clients: "::1%lo:21811",
        times: [500, 1, 20_000],
        servers: 0,
        warned: &["minSessionTimeout", "autopurge.snapRetainCount"],
    },
    Case {
        of: "a container orchestration's example, with throttles",
        text: "clientPort=2181\ndataDir=/var/lib/keeper/data\ndataLogDir=/var/lib/keeper/data/log\ntickTime=2000\ninitLimit=10\n\
               syncLimit=5\nmaxClientCnxns=60\nminSessionTimeout=4000\nmaxSessionTimeout=40000\n\
               autopurge.snapRetainCount=3\nautopurge.purgeInteval=12\njute.maxbuffer=4194304\n\
               request_throttle_max_requests=20000\nserver.1=zk-0.zk-hs.default.svc.cluster.local:2888:3888\n\
               server.2=zk-1.zk-hs.default.svc.cluster.local:2888:3888\n\
               server.3=zk-2.zk-hs.default.svc.cluster.local:2888:3888\n",
        clients: "*:2181",
        times: [2000, 4000, 40_000],
        servers: 3,
        warned: &["autopurge.purgeInteval", "request_throttle_max_requests"],
    },
    Case {
        of: "a cloud's package, with a Latin-1 comment and 50 MiB",
        text: "# gr\u{fc}\u{df}e\ntickTime=2000\ninitLimit=20\nsyncLimit=10\ndataDir=/mnt/keeper\nclientPort=2181\n\
               jute.maxbuffer=52428800\nextendedTypesEnabled=TRUE\nznode.container.checkIntervalMs=0\n\
               serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory\n",
        clients: "*:2181",
        times: [2000, 4000, 40_000],
        servers: 0,
        warned: &["znode.container.checkIntervalMs", "serverCnxnFactory"],
    },
];

/// As the server of the first line, after its operator has said what safety asks of everybody.
fn read(case: &Case) -> Result<(Config, Vec<Notice>), Vec<Mistake>> {
    let mut bytes: Vec<u8> = case.text.chars().map(|c| u8::try_from(u32::from(c)).expect("ISO 8859-1")).collect();
    if case.servers > 0 {
        bytes.extend_from_slice(b"corral.insecureQuorum=true\n");
    }
    let id = case.text.split_once("server.").map_or("1", |(_, rest)| &rest[..1]);
    let beside = |path: &Path| Ok(path.ends_with("myid").then(|| id.as_bytes().to_vec()));
    resolve(Some(&Source { name: "zoo.cfg", bytes: &bytes }), &Overrides::default(), 8, &beside)
}

#[test]
fn configurations_of_the_field_start() {
    let mut problems = vec![];
    for case in CASES {
        let (config, notices) = match read(case) {
            Ok(resolved) => resolved,
            Err(mistakes) => {
                let mistakes: Vec<String> = mistakes.iter().map(Mistake::to_string).collect();
                problems.push(format!("{}: refused: {mistakes:?}", case.of));
                continue;
            }
        };
        let clients = match &config.client_address {
            ClientAddress::Any => format!("*:{}", config.client_port),
            address => format!("{address}:{}", config.client_port),
        };
        let times = [
            i64::from(config.tick_time_ms),
            config.min_session_timeout_ms.into(),
            config.max_session_timeout_ms.into(),
        ];
        let servers = config.ensemble.as_ref().map_or(0, |ensemble| ensemble.membership.members().count());
        if (clients.as_str(), times, servers) != (case.clients, case.times, case.servers) {
            problems.push(format!("{}: {clients} {times:?} {servers}", case.of));
        }
        let warned: Vec<&str> =
            notices.iter().filter(|notice| notice.warning).map(|notice| notice.key.as_str()).collect();
        if warned != case.warned {
            problems.push(format!("{}: warned about {warned:?}", case.of));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// What is used instead, and that it is said.
#[test]
fn values_without_sense_have_others_in_their_place() {
    let with = |line: &str| {
        let text = format!("dataDir=/d\n{line}\n");
        let source = Source { name: "zoo.cfg", bytes: text.as_bytes() };
        let (config, notices) = resolve(Some(&source), &Overrides::default(), 8, &|_| Ok(None)).expect("it starts");
        let said: Vec<String> = notices.iter().filter(|notice| notice.warning).map(Notice::to_string).collect();
        assert_eq!(said.len(), 1, "{line}: {said:?}");
        config
    };
    let plain = Config::defaults(super::super::Profile::Balanced, 8);
    assert_eq!(with("jute.maxbuffer=64M").max_buffer, plain.max_buffer);
    assert_eq!(with("jute.maxbuffer=10").max_buffer, 1024);
    assert_eq!(with("jute.maxbuffer=0x40000000").max_buffer, 64 << 20);
    assert_eq!(with("preAllocSize=64M").log_segment_bytes, plain.log_segment_bytes);
    assert_eq!(with("preAllocSize=64").log_segment_bytes, 4240 << 10);
    assert_eq!(with("preAllocSize=8388608").log_segment_bytes, 4 << 30);
    assert_eq!(with("snapCount=1").snap_count, 2);
    assert_eq!(with("snapCount=often").snap_count, plain.snap_count);
    assert_eq!(with("maxClientCnxns=-1").max_client_cnxns, 0);
    assert_eq!(with("maxCnxns=-1").max_cnxns, 0);
    assert_eq!(with("globalOutstandingLimit=0").global_outstanding_limit, 1);
    assert_eq!(with("autopurge.purgeInterval=-1").snap_retain, None);
    for line in [
        "clientTcpKeepAlive=1",
        "maxCnxns=many",
        "nio.sessionlessCnxnTimeout=0",
        "snapSizeLimitInKb=1.5",
        "fsync.warningthresholdms=-1",
        "forceSync=no",
        "emulate353TTLNodes=",
        "znode.container.maxPerMinute=0",
        "znode.container.maxNeverUsedIntervalMs=-1",
        "enforceQuota=on",
        "digest.enabled=1",
        "readonlymode.enabled=x",
        "skipACL=true",
        "leaderServes=sometimes",
        "observer.reconnectDelayMs=-1",
        "commitLogCount=many",
        "snapshotSizeFactor=2",
        "snapshotSizeFactor=NaN",
        "leader.maxConcurrentSnapSyncs=0",
        "leader.maxTimeToWaitForEpoch=-2",
        "cnxTimeout=0",
        "electionPortBindRetry=-1",
        "tcpKeepAlive=1",
    ] {
        let config = with(line);
        assert_eq!(Config { data_dir: "/d".into(), data_log_dir: "/d".into(), ..plain.clone() }, config, "{line}");
    }
}

//! Keys of ZooKeeper on which this server does not act, and what it says to each.
//!
//! A key that only tunes something Corral does not have is taken with a warning. One that asks for safety
//! that would be missing (encryption, authentication, an audit trail) is refused: starting without it would be
//! worse than not starting.

/// What to do about a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// ZooKeeper looks at it in ensembles only, and there it tunes something Corral does not have: warned about
    /// in an ensemble, otherwise said.
    Ensemble,
    /// Go on, and warn, unless the value is one of `harmless`.
    Warn { harmless: &'static [&'static str], because: &'static str },
    /// Do not start, unless the value is one of `harmless`.
    Refuse { harmless: &'static [&'static str], because: &'static str },
    /// Part of the description of an ensemble: looked at as a whole, see [`super::assembly`].
    Member,
}

/// Some keys and the answer to them. A name that ends in `*` stands for everything that starts so.
pub(crate) struct Group {
    pub names: &'static [&'static str],
    pub answer: Answer,
}

const NO_ORACLE: &str = "this version asks no oracle: two servers need each other";
const NO_TLS: &str = "this version has no TLS, and serving without it is not what was asked for";
const NO_SASL: &str = "this version has no SASL, and serving without it is not what was asked for";
const NO_ADMIN: &str = "this version has no HTTP admin server; the four-letter words are answered";
const OFF: &[&str] = &["false", "no", ""];

const fn warn(because: &'static str) -> Answer {
    Answer::Warn { harmless: &[], because }
}

const fn refuse(because: &'static str) -> Answer {
    Answer::Refuse { harmless: &[], because }
}

/// Every key of ZooKeeper 3.9 that is not in [`super::keys::KEYS`]. Exact names come before patterns.
pub(crate) const GROUPS: &[Group] = &[
    Group { names: &["server.*", "group.*", "weight.*"], answer: Answer::Member },
    Group { names: &["oraclePath"], answer: refuse(NO_ORACLE) },
    Group {
        names: &[
            "quorum.cnxn.threads.size",
            "leader.*",
            "learner.*",
            "follower.*",
            "sslQuorumReloadCertFiles",
            "enableEagerACLCheck",
            "forward_learner_requests_to_commit_processor_disabled",
            "quorum.auth.learner.saslLoginContext",
            "quorum.auth.server.saslLoginContext",
            "quorum.auth.kerberos.servicePrincipal",
        ],
        answer: Answer::Ensemble,
    },
    Group {
        names: &["sslQuorum", "portUnification", "client.portUnification"],
        answer: Answer::Refuse { harmless: OFF, because: NO_TLS },
    },
    Group { names: &["secureClientPort", "secureClientPortAddress"], answer: refuse(NO_TLS) },
    // What asks for TLS stands above; these say how, and alone they ask for nothing.
    Group {
        names: &["ssl.*", "client.certReload", "fips-mode"],
        answer: Answer::Warn { harmless: OFF, because: "this version has no TLS" },
    },
    Group {
        names: &[
            "quorum.auth.enableSasl",
            "quorum.auth.serverRequireSasl",
            "quorum.auth.learnerRequireSasl",
            "sessionRequireClientSASLAuth",
            "requireClientAuthScheme",
        ],
        answer: Answer::Refuse { harmless: OFF, because: NO_SASL },
    },
    Group {
        names: &[
            "sasl.*",
            "kerberos.*",
            "security.auth_to_local",
            "kinit",
            "letAnySaslUserDoX",
            "allowSaslFailedClients",
            "superUser",
            "superUser.*",
            "SASLAuthenticationProvider.superPassword",
            "requireKerberosConfig",
            "server.principal",
            "server.realm",
            "jaasLoginRenew",
        ],
        answer: warn("this version has no SASL: nobody is authenticated by it"),
    },
    Group {
        names: &["X509AuthenticationProvider.superUser"],
        answer: warn("this version has no TLS: nobody is authenticated by a certificate"),
    },
    Group {
        names: &["authProvider.*", "ensembleAuthName"],
        answer: warn("this version authenticates by digest and ip only: nobody is authenticated by this provider"),
    },
    Group {
        names: &["audit.enable"],
        answer: Answer::Refuse { harmless: OFF, because: "this version writes no audit log" },
    },
    Group { names: &["audit.impl.class"], answer: warn("this version writes no audit log") },
    Group { names: &["admin.enableServer"], answer: Answer::Warn { harmless: OFF, because: NO_ADMIN } },
    Group { names: &["admin.*", "IPAuthenticationProvider.usexforwardedfor"], answer: warn(NO_ADMIN) },
    Group {
        names: &["metricsProvider.className"],
        answer: Answer::Warn {
            harmless: &[
                "org.apache.zookeeper.metrics.impl.DefaultMetricsProvider",
                "org.apache.zookeeper.metrics.impl.NullMetricsProvider",
            ],
            because: "this version exports no metrics by HTTP; the four-letter word mntr has them",
        },
    },
    Group {
        names: &["metricsProvider.*"],
        answer: warn("this version exports no metrics by HTTP; the four-letter word mntr has them"),
    },
    Group {
        names: &["snapshot.compression.method"],
        answer: Answer::Warn { harmless: &[""], because: "this version does not compress its snapshots" },
    },
    Group {
        names: &["snapshot.trust.empty"],
        answer: Answer::Warn { harmless: OFF, because: "a log without its snapshot is never trusted" },
    },
    Group {
        names: &["txnLogSizeLimitInKb"],
        answer: Answer::Warn { harmless: &["-1"], because: "a log file is as large as preAllocSize says" },
    },
    Group {
        names: &["flushDelay", "maxBatchSize", "maxWriteQueuePollTime"],
        answer: warn("group commit is set by corral.groupCommitDelayMicros"),
    },
    Group {
        names: &[
            "request_throttle_max_requests",
            "request_throttle_stall_time",
            "request_throttle_drop_stale",
            "request_stale_connection_check",
            "request_stale_latency_check",
            "throttled_op_wait_time",
            "largeRequestThreshold",
            "largeRequestMaxBytes",
            "connection_throttle_*",
        ],
        answer: warn(
            "this version throttles by globalOutstandingLimit, maxClientCnxns, maxCnxns and corral.outputLimit only",
        ),
    },
    Group { names: &["pathStats.*", "messageTracker.*"], answer: warn("this version does not keep these statistics") },
    Group {
        names: &[
            "serverCnxnFactory",
            "nio.*",
            "netty.*",
            "commitProcessor.*",
            "request_throttler.shutdownTimeout",
            "maxResponseCacheSize",
            "maxGetChildrenResponseCacheSize",
            "intBufferStartingSizeBytes",
            "watchManagerName",
            "watcherCleanThreadsNum",
            "watcherCleanThreshold",
            "watcherCleanIntervalInSeconds",
            "maxInProcessingDeadWatchers",
            "bitHashCacheSize",
            "jvm.pause.*",
            "jute.maxbuffer.extrasize",
            "serializeLastProcessedZxid.enabled",
            "closeSessionTxn.enabled",
            "jmx.*",
        ],
        answer: warn("it tunes a part of ZooKeeper that Corral does not have"),
    },
];

/// The answer to a key with or without ZooKeeper's prefix for system properties; `None` for one that
/// ZooKeeper does not know either. The longest matching pattern counts, an exact name before any.
pub fn find(spelling: &str) -> Option<Answer> {
    let bare = spelling.strip_prefix("zookeeper.").unwrap_or(spelling);
    let mut best: Option<(usize, Answer)> = None;
    for group in GROUPS {
        for name in group.names {
            let matched = match name.strip_suffix('*') {
                Some(prefix) if bare.len() > prefix.len() && bare.starts_with(prefix) => Some(prefix.len()),
                None if *name == bare => Some(usize::MAX),
                _ => None,
            };
            if let Some(length) = matched
                && best.is_none_or(|(longest, _)| length > longest)
            {
                best = Some((length, group.answer));
            }
        }
    }
    best.map(|(_, answer)| answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys;

    #[test]
    fn no_name_is_listed_twice_or_also_acted_on() {
        let mut names: Vec<_> = GROUPS.iter().flat_map(|group| group.names).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        for name in names {
            assert!(keys::find(name).is_none(), "{name} stands in both tables");
        }
    }

    #[test]
    fn exact_names_come_before_patterns() {
        assert_eq!(find("server.1"), Some(Answer::Member));
        assert!(matches!(find("server.principal"), Some(Answer::Warn { .. })));
        assert!(matches!(find("zookeeper.ssl.keyStore.location"), Some(Answer::Warn { .. })));
        assert!(matches!(find("admin.enableServer"), Some(Answer::Warn { harmless: OFF, .. })));
        assert_eq!(find("nio."), None);
        assert_eq!(find("nosuchkey"), None);
    }
}

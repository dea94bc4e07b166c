//! The keys of ZooKeeper that this server does not support, and how each is handled.
//!
//! A key that only tunes a part that Corral does not have is ignored with a warning. A key that requires a protection that
//! would be missing (encryption, authentication, an audit trail) is refused: a start without the protection would be worse
//! than no start.

/// How a key is handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handling {
    /// The key has a meaning in ensembles only, and there it tunes a part that Corral does not have: a warning in an ensemble, a
    /// remark on a standalone server.
    WarnInEnsemble,
    /// Ignore the key, with a warning unless the value is one of `harmless`.
    Warn { harmless: &'static [&'static str], reason: &'static str },
    /// Refuse to start, unless the value is one of `harmless`.
    Refuse { harmless: &'static [&'static str], reason: &'static str },
    /// Part of the ensemble's membership: these keys are checked together, see [`super::assembly`].
    EnsembleMember,
}

/// Keys that are handled in the same way. A name that ends in `*` is a prefix of keys.
pub(crate) struct Group {
    pub names: &'static [&'static str],
    pub handling: Handling,
}

const NO_ORACLE: &str = "this version asks no oracle: two servers need each other";
const NO_TLS: &str = "this version has TLS on secureClientPort only, and serving without it is not what was asked for";
const NO_OCSP: &str = "this version asks nobody whether a certificate is revoked; name lists by corral.ssl.crlPath";
const NO_SUPPLIER: &str =
    "this version has no classes of Java; name the files by ssl.keyStore.location and its neighbours";
const NO_REVERSE_LOOKUP: &str = "whoever controls an address controls its name, so no name is looked up; \
                                 a client is who its certificate says";
const NO_SASL: &str = "this version has no SASL, and serving without it is not what was asked for";
const NO_ADMIN: &str = "this version has no HTTP admin server; the four-letter words are answered";
const OFF_VALUES: &[&str] = &["false", "no", ""];

const fn warn_with(reason: &'static str) -> Handling {
    Handling::Warn { harmless: &[], reason }
}

const fn refuse_with(reason: &'static str) -> Handling {
    Handling::Refuse { harmless: &[], reason }
}

/// Every key of ZooKeeper 3.9 that is not among [`super::keys::all`]. An exact name takes precedence over a pattern.
pub(crate) const GROUPS: &[Group] = &[
    Group { names: &["server.*", "group.*", "weight.*"], handling: Handling::EnsembleMember },
    Group { names: &["oraclePath"], handling: refuse_with(NO_ORACLE) },
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
        handling: Handling::WarnInEnsemble,
    },
    Group {
        names: &["sslQuorum", "portUnification", "client.portUnification"],
        handling: Handling::Refuse { harmless: OFF_VALUES, reason: NO_TLS },
    },
    // The keys that require TLS between servers are above; these only say how, and alone have no effect.
    Group {
        names: &["ssl.quorum.*"],
        handling: Handling::Warn { harmless: OFF_VALUES, reason: "this version has no TLS between servers" },
    },
    Group { names: &["ssl.ocsp"], handling: Handling::Refuse { harmless: OFF_VALUES, reason: NO_OCSP } },
    Group { names: &["ssl.context.supplier.class"], handling: refuse_with(NO_SUPPLIER) },
    Group {
        names: &["ssl.clientHostnameVerification", "ssl.allowReverseDnsLookup"],
        handling: Handling::Refuse { harmless: OFF_VALUES, reason: NO_REVERSE_LOOKUP },
    },
    Group {
        names: &["ssl.authProvider"],
        handling: Handling::Refuse { harmless: &["x509"], reason: "certificates are of the scheme x509 and no other" },
    },
    Group {
        names: &["client.certReload"],
        handling: Handling::Warn {
            harmless: OFF_VALUES,
            reason: "this version reads keys and certificates when it starts, and not again",
        },
    },
    // `ssl.hostnameVerification` is about clients' checks; the others choose between providers of Java.
    Group {
        names: &["ssl.hostnameVerification", "ssl.sslProvider", "ssl.sessionTimeout"],
        handling: warn_with("tunes a part of Java's that this server does not have"),
    },
    Group {
        names: &["fips-mode"],
        handling: Handling::Warn { harmless: OFF_VALUES, reason: "this version has no FIPS provider" },
    },
    Group {
        names: &[
            "quorum.auth.enableSasl",
            "quorum.auth.serverRequireSasl",
            "quorum.auth.learnerRequireSasl",
            "sessionRequireClientSASLAuth",
            "requireClientAuthScheme",
        ],
        handling: Handling::Refuse { harmless: OFF_VALUES, reason: NO_SASL },
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
        handling: warn_with("this version has no SASL: nobody is authenticated by it"),
    },
    Group {
        names: &["authProvider.*", "ensembleAuthName"],
        handling: Handling::Warn {
            harmless: &["org.apache.zookeeper.server.auth.X509AuthenticationProvider"],
            reason: "this version authenticates by digest, ip and x509 only: nobody is authenticated by this provider",
        },
    },
    Group {
        names: &["audit.enable"],
        handling: Handling::Refuse { harmless: OFF_VALUES, reason: "this version writes no audit log" },
    },
    Group { names: &["audit.impl.class"], handling: warn_with("this version writes no audit log") },
    Group { names: &["admin.enableServer"], handling: Handling::Warn { harmless: OFF_VALUES, reason: NO_ADMIN } },
    Group { names: &["admin.*", "IPAuthenticationProvider.usexforwardedfor"], handling: warn_with(NO_ADMIN) },
    Group {
        names: &["metricsProvider.className"],
        handling: Handling::Warn {
            harmless: &[
                "org.apache.zookeeper.metrics.impl.DefaultMetricsProvider",
                "org.apache.zookeeper.metrics.impl.NullMetricsProvider",
            ],
            reason: "this version exports no metrics by HTTP; the four-letter word mntr has them",
        },
    },
    Group {
        names: &["metricsProvider.*"],
        handling: warn_with("this version exports no metrics by HTTP; the four-letter word mntr has them"),
    },
    Group {
        names: &["snapshot.compression.method"],
        handling: Handling::Warn { harmless: &[""], reason: "this version does not compress its snapshots" },
    },
    Group {
        names: &["snapshot.trust.empty"],
        handling: Handling::Warn { harmless: OFF_VALUES, reason: "a log without its snapshot is never trusted" },
    },
    Group {
        names: &["txnLogSizeLimitInKb"],
        handling: Handling::Warn { harmless: &["-1"], reason: "a log file is as large as preAllocSize says" },
    },
    Group {
        names: &["flushDelay", "maxBatchSize", "maxWriteQueuePollTime"],
        handling: warn_with("group commit is set by corral.groupCommitDelayMicros"),
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
        handling: warn_with(
            "this version throttles by globalOutstandingLimit, maxClientCnxns, maxCnxns and corral.outputLimit only",
        ),
    },
    Group {
        names: &["pathStats.*", "messageTracker.*"],
        handling: warn_with("this version does not keep these statistics"),
    },
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
        handling: warn_with("it tunes a part of ZooKeeper that Corral does not have"),
    },
];

/// How `key` is handled; it may have the prefix of ZooKeeper's system properties (`zookeeper.`). `None`: ZooKeeper does not
/// know the key either. An exact name takes precedence, then the longest matching pattern.
pub(crate) fn find(key: &str) -> Option<Handling> {
    let bare = key.strip_prefix("zookeeper.").unwrap_or(key);
    let mut best: Option<(usize, Handling)> = None;
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
                best = Some((length, group.handling));
            }
        }
    }
    best.map(|(_, handling)| handling)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys;

    #[test]
    fn no_name_is_listed_twice_or_supported() {
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
        assert_eq!(find("server.1"), Some(Handling::EnsembleMember));
        assert!(matches!(find("server.principal"), Some(Handling::Warn { .. })));
        assert!(matches!(find("zookeeper.ssl.quorum.keyStore.location"), Some(Handling::Warn { .. })));
        assert!(matches!(find("admin.enableServer"), Some(Handling::Warn { harmless: OFF_VALUES, .. })));
        assert_eq!(find("nio."), None);
        assert_eq!(find("nosuchkey"), None);
    }
}

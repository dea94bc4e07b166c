//! Keys whose values need make no sense for a server to start.

use super::keys::Key;

/// Keys that ZooKeeper reads as system properties, or that tune what this server does not do: it goes on with the default
/// where a value makes no sense, and so does this server, with a warning. A value of any other key that makes none is
/// refused, as by ZooKeeper, and so is one of Corral's own keys.
const FORGIVEN: &[&str] = &[
    "jute.maxbuffer",
    "globalOutstandingLimit",
    "corral.connectTimeout",
    "maxCnxns",
    "clientTcpKeepAlive",
    "snapCount",
    "snapSizeLimitInKb",
    "preAllocSize",
    "fsync.warningthresholdms",
    "forceSync",
    "extendedTypesEnabled",
    "emulate353TTLNodes",
    "znode.container.checkIntervalMs",
    "znode.container.maxPerMinute",
    "znode.container.maxNeverUsedIntervalMs",
    "enforceQuota",
    "skipACL",
    "digest.enabled",
    "readonlymode.enabled",
    "leaderServes",
    "observerMaster.sizeLimit",
    "observer.reconnectDelayMs",
    "observer.election.DelayMs",
    "commitLogCount",
    "snapshotSizeFactor",
    "forceSnapshotSync",
    "leader.maxConcurrentSnapSyncs",
    "leader.maxConcurrentDiffSyncs",
    "leader.maxTimeToWaitForEpoch",
    "leaderConnectDelayDuringRetryMs",
    "fastleader.minNotificationInterval",
    "fastleader.maxNotificationInterval",
    "cnxTimeout",
    "quorumCnxnTimeoutMs",
    "electionPortBindRetry",
    "multiAddress.reachabilityCheckEnabled",
    "multiAddress.reachabilityCheckTimeoutMs",
    "tcpKeepAlive",
];

/// Whether a value that makes no sense, of this key in this spelling, leaves the default.
pub(super) fn is_forgiven(key: &Key, spelling: &str) -> bool {
    FORGIVEN.contains(&key.name) && !spelling.contains("corral.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys;

    #[test]
    fn what_is_forgiven_is_a_key() {
        for name in FORGIVEN {
            assert!(keys::all().any(|key| key.name == *name), "{name}");
        }
    }
}

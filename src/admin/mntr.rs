//! The answer to `mntr`: one metric a line, under ZooKeeper's names.
//!
//! Only measured values are printed, and no value is printed under a name that means something else in ZooKeeper: a
//! monitoring system notices a missing line, but not a wrong figure.

use super::java;
use crate::server::stats::{Scrape, Value, metrics};
use std::fmt::Display;
use std::io::Write;

/// Appends the answer to `out`: lines `zk_<name>\t<value>`, and five lines for a summary.
pub fn mntr(out: &mut Vec<u8>, scrape: &Scrape<'_>) {
    for (metric, value) in metrics(scrape) {
        let name = metric.name;
        match value {
            Value::Integer(value) => line(out, "", name, value),
            Value::Float(value) => line(out, "", name, java::double(value)),
            Value::Text(value) => line(out, "", name, value),
            Value::Summary(measured) => {
                line(out, "avg_", name, java::double(measured.average()));
                line(out, "min_", name, measured.min);
                line(out, "max_", name, measured.max);
                line(out, "cnt_", name, measured.count);
                line(out, "sum_", name, measured.sum);
            }
        }
    }
}

fn line(out: &mut Vec<u8>, prefix: &str, name: &str, value: impl Display) {
    writeln!(out, "zk_{prefix}{name}\t{value}").expect("a vector takes everything");
}

#[cfg(test)]
mod tests {
    use super::super::VERSION;
    use super::*;
    use crate::server::stats::{Mode, Process, Stats};
    use std::sync::atomic::Ordering::Relaxed;

    /// Every counter has a value of its own, so that no two lines can be confused.
    fn distinct_stats(mode: Mode) -> Stats {
        let stats = Stats::new(2);
        let Stats { shards, core, quorum, connections_rejected, .. } = &stats;
        shards[0].latency.record(2);
        shards[1].latency.record(5);
        shards[1].responded(16);
        for (number, shard) in shards.iter().enumerate() {
            let base = 1000 * (number as u64 + 1);
            for (n, count) in [
                &shard.received,
                &shard.sent,
                &shard.received_bytes,
                &shard.connections,
                &shard.outstanding,
                &shard.watches,
                &shard.auth_failed,
                &shard.sessionless_expired,
                &shard.throttled,
                &shard.unread_ended,
            ]
            .into_iter()
            .enumerate()
            {
                count.set(base + n as u64);
            }
            for (n, summary) in [&shard.latency, &shard.read_latency, &shard.update_latency].into_iter().enumerate() {
                summary.record(base as i64 + 20 + n as i64);
                summary.record(base as i64 + 31 + n as i64);
            }
            shard.responded(base + 50);
            shard.responded(base + 60);
        }
        for (n, count) in [
            &core.sessions,
            &core.local_sessions,
            &core.ephemerals,
            &core.transactions,
            &core.throttled,
            &core.stale_sessions_expired,
            &core.digest_mismatches,
            &quorum.voters,
            &quorum.master,
            &quorum.learners,
            &quorum.synced_followers,
            &quorum.synced_non_voting,
            &quorum.synced_observers,
            &quorum.pending_syncs,
            &quorum.leader_uptime_ms,
        ]
        .into_iter()
        .enumerate()
        {
            count.set(5000 + n as u64);
        }
        core.fsync.record(6000);
        core.fsync.record(6001);
        core.snapshot_time.record(7000);
        quorum.proposed(8001);
        quorum.proposed(8003);
        quorum.proposed(8002);
        connections_rejected.store(9000, Relaxed);
        quorum.mode.store(mode as u8, Relaxed);
        stats
    }

    fn rendered(stats: &Stats) -> String {
        let process = Process {
            version: VERSION,
            uptime_ms: 1234,
            open_files: Some(60),
            max_files: Some(1024),
            znodes: 5,
            data_bytes: 44,
            log_lines_left_out: 11,
        };
        let mut out = Vec::new();
        mntr(&mut out, &Scrape::new(stats, process));
        String::from_utf8(out).unwrap()
    }

    /// The answer has these lines, in this order; other lines may stand between them.
    #[test]
    fn golden_of_a_leader() {
        let expected = format!(
            "zk_version\t{VERSION}\nzk_server_state\tleader\nzk_peer_state\tleading - broadcast\n\
             zk_avg_latency\t1018.1667\nzk_max_latency\t2031\nzk_min_latency\t2\nzk_packets_received\t3000\n\
             zk_packets_sent\t3002\nzk_num_alive_connections\t3006\nzk_outstanding_requests\t3008\n\
             zk_uptime\t1234\nzk_znode_count\t5\nzk_watch_count\t3010\nzk_ephemerals_count\t5002\n\
             zk_approximate_data_size\t44\nzk_global_sessions\t5000\nzk_local_sessions\t5001\n\
             zk_open_file_descriptor_count\t60\nzk_max_file_descriptor_count\t1024\n\
             zk_connection_drop_probability\t0.0\nzk_last_client_response_size\t2060\n\
             zk_max_client_response_size\t2060\nzk_min_client_response_size\t16\n\
             zk_outstanding_tls_handshake\t0\nzk_auth_failed_count\t3012\nzk_corral_session_passwords\tsecret\n\
             zk_corral_log_lines_left_out\t11\nzk_quorum_size\t5007\nzk_learners\t5009\n\
             zk_synced_followers\t5010\nzk_synced_non_voting_followers\t5011\nzk_synced_observers\t5012\n\
             zk_pending_syncs\t5013\nzk_leader_uptime\t5014\nzk_last_proposal_size\t8002\n\
             zk_max_proposal_size\t8003\nzk_min_proposal_size\t8001\nzk_bytes_received_count\t3004\n\
             zk_connection_rejected\t9000\nzk_digest_mismatches_count\t5006\n\
             zk_sessionless_connections_expired\t3014\nzk_stale_sessions_expired\t5005\n\
             zk_sync_processor_request_queued\t5003\nzk_throttled_ops\t8020\n\
             zk_unread_connections_ended\t3018\nzk_avg_fsynctime\t6000.5\nzk_min_fsynctime\t6000\n\
             zk_max_fsynctime\t6001\nzk_cnt_fsynctime\t2\nzk_sum_fsynctime\t12001\nzk_avg_readlatency\t1526.5\n\
             zk_min_readlatency\t1021\nzk_max_readlatency\t2032\nzk_cnt_readlatency\t4\n\
             zk_sum_readlatency\t6106\nzk_avg_snapshottime\t7000.0\nzk_min_snapshottime\t7000\n\
             zk_max_snapshottime\t7000\nzk_cnt_snapshottime\t1\nzk_sum_snapshottime\t7000\n\
             zk_avg_updatelatency\t1527.5\nzk_min_updatelatency\t1022\nzk_max_updatelatency\t2033\n\
             zk_cnt_updatelatency\t4\nzk_sum_updatelatency\t6110\n"
        );
        let name = |line: &str| line.split('\t').next().unwrap().to_owned();
        let names: Vec<String> = expected.lines().map(name).collect();
        let text = rendered(&distinct_stats(Mode::Leader));
        let known: Vec<&str> = text.lines().filter(|line| names.contains(&name(line))).collect();
        assert_eq!(known.join("\n") + "\n", expected);
    }

    /// Every mode has the lines of a leader, except those that depend on the mode.
    #[test]
    fn the_other_modes_print_their_own_lines() {
        let mode_lines = "zk_server_state zk_peer_state zk_quorum_size zk_observer_master_id zk_learners zk_synced_followers \
                         zk_synced_non_voting_followers zk_synced_observers zk_pending_syncs zk_leader_uptime \
                         zk_last_proposal_size zk_max_proposal_size zk_min_proposal_size";
        let says = |mode| {
            let text = rendered(&distinct_stats(mode));
            let depends_on_mode =
                |line: &&str| mode_lines.split_whitespace().any(|name| line.split('\t').next() == Some(name));
            let (special, rest): (Vec<&str>, Vec<&str>) = text.lines().partition(depends_on_mode);
            (special.join("\n"), rest.join("\n"))
        };
        let (_, common) = says(Mode::Leader);
        for (mode, special) in [
            (Mode::Standalone, "zk_server_state\tstandalone"),
            (Mode::ReadOnly, "zk_server_state\tread-only"),
            (Mode::Follower, "zk_server_state\tfollower\nzk_peer_state\tfollowing - broadcast\nzk_quorum_size\t5007"),
            (
                Mode::Observer,
                "zk_server_state\tobserver\nzk_peer_state\tobserving - broadcast\nzk_quorum_size\t5007\n\
                 zk_observer_master_id\t5008",
            ),
        ] {
            assert_eq!(says(mode), (special.to_owned(), common.clone()), "{mode:?}");
        }
    }

    #[test]
    fn unknown_values_are_left_out() {
        let stats = Stats::new(2);
        stats.quorum.mode.store(Mode::Leader as u8, Relaxed);
        let process = Process {
            version: VERSION,
            uptime_ms: 0,
            open_files: None,
            max_files: None,
            znodes: 5,
            data_bytes: 0,
            log_lines_left_out: 0,
        };
        let mut out = Vec::new();
        mntr(&mut out, &Scrape::new(&stats, process));
        let text = String::from_utf8(out).unwrap();
        assert!(!text.contains("file_descriptor_count"), "{text}");
        assert!(text.contains("\nzk_last_client_response_size\t-1\n"), "nothing is answered: {text}");
        assert!(text.contains("\nzk_last_proposal_size\t-1\n"), "nor proposed: {text}");
        assert!(
            text.contains("\nzk_avg_fsynctime\t0.0\nzk_min_fsynctime\t0\nzk_max_fsynctime\t0\nzk_cnt_fsynctime\t0\n")
        );
    }
}

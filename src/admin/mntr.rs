//! The answer to `mntr`: one metric a line, under ZooKeeper's names.
//!
//! Only what is measured is printed, and nothing is printed under a name that means something else in
//! ZooKeeper: monitoring that misses a line can say so, one that reads a wrong figure cannot.

use super::facts::{MonitorFacts, Summary};
use super::{VERSION, java, words};
use crate::server::stats::Mode;
use std::fmt::{Display, Write};

/// Appends the answer.
pub fn mntr(out: &mut Vec<u8>, facts: &MonitorFacts) {
    let mut lines = Lines(String::new());
    let server = &facts.server;
    lines.put("version", VERSION);
    lines.put("server_state", words::mode(server.mode));
    if facts.quorum.is_some() {
        // Whoever serves is past discovery and synchronisation.
        let state = match server.mode {
            Mode::Leader => "leading",
            Mode::Observer => "observing",
            _ => "following",
        };
        lines.put("peer_state", format_args!("{state} - broadcast"));
    }
    gauges(&mut lines, facts);
    quorum(&mut lines, facts);
    counters(&mut lines, facts);
    summaries(&mut lines, facts);
    out.extend_from_slice(lines.0.as_bytes());
}

fn gauges(lines: &mut Lines, facts: &MonitorFacts) {
    let server = &facts.server;
    lines.put("avg_latency", java::double(server.latency.average()));
    lines.put("max_latency", server.latency.max);
    lines.put("min_latency", server.latency.min);
    lines.put("packets_received", server.packets_received);
    lines.put("packets_sent", server.packets_sent);
    lines.put("num_alive_connections", server.connections);
    lines.put("outstanding_requests", server.outstanding);
    lines.put("uptime", facts.uptime_ms);
    lines.put("znode_count", server.znodes);
    lines.put("watch_count", facts.watches);
    lines.put("ephemerals_count", facts.ephemerals);
    lines.put("approximate_data_size", facts.data_bytes);
    lines.put("global_sessions", facts.sessions);
    lines.put("local_sessions", facts.local_sessions);
    lines.maybe("open_file_descriptor_count", facts.open_files);
    lines.maybe("max_file_descriptor_count", facts.max_files);
    // No connections are dropped by chance, and there is no TLS.
    lines.put("connection_drop_probability", java::double(0.0));
    let (last, greatest, smallest) = match facts.responses {
        Some((last, greatest, smallest)) => (last as i64, greatest as i64, smallest as i64),
        None => (-1, -1, -1),
    };
    lines.put("last_client_response_size", last);
    lines.put("max_client_response_size", greatest);
    lines.put("min_client_response_size", smallest);
    lines.put("outstanding_tls_handshake", 0);
    lines.put("auth_failed_count", facts.auth_failed);
    lines.put("corral_session_passwords", facts.session_passwords);
    lines.put("corral_log_lines_left_out", facts.log_lines_left_out);
}

/// What only members of an ensemble have.
fn quorum(lines: &mut Lines, facts: &MonitorFacts) {
    let Some(quorum) = &facts.quorum else { return };
    lines.put("quorum_size", quorum.voters);
    lines.maybe("observer_master_id", quorum.master);
    let Some(leading) = &quorum.leading else { return };
    lines.put("learners", leading.learners);
    lines.put("synced_followers", leading.synced_followers);
    lines.put("synced_non_voting_followers", leading.synced_non_voting);
    lines.put("synced_observers", leading.synced_observers);
    lines.put("pending_syncs", leading.pending_syncs);
    lines.put("leader_uptime", leading.leads_for_ms);
    let (last, min, max) = words::proposals(&facts.server);
    lines.put("last_proposal_size", last);
    lines.put("max_proposal_size", max);
    lines.put("min_proposal_size", min);
}

fn counters(lines: &mut Lines, facts: &MonitorFacts) {
    lines.maybe("bytes_received_count", facts.bytes_received);
    lines.maybe("connection_drop_count", facts.connections_dropped);
    lines.maybe("connection_rejected", facts.connections_rejected);
    lines.maybe("connection_request_count", facts.connection_requests);
    lines.maybe("connection_revalidate_count", facts.connections_revalidated);
    lines.maybe("digest_mismatches_count", facts.digest_mismatches);
    lines.maybe("response_bytes", facts.response_bytes);
    lines.maybe("sessionless_connections_expired", facts.sessionless_expired);
    lines.maybe("snapshot_error_count", facts.snapshot_errors);
    lines.maybe("stale_sessions_expired", facts.sessions_expired);
    lines.maybe("sync_processor_request_queued", facts.transactions_logged);
    lines.maybe("throttled_ops", facts.throttled);
    lines.maybe("unread_connections_ended", facts.unread_ended);
    lines.maybe("watch_bytes", facts.watch_bytes);
}

fn summaries(lines: &mut Lines, facts: &MonitorFacts) {
    lines.summary("dbinittime", facts.load_ms);
    lines.summary("fsynctime", facts.fsync_ms);
    lines.summary("readlatency", facts.read_ms);
    lines.summary("snapshottime", facts.snapshot_ms);
    lines.summary("startup_snap_load_time", facts.load_snapshot_ms);
    lines.summary("startup_txns_load_time", facts.load_log_ms);
    lines.summary("startup_txns_loaded", facts.loaded_transactions);
    lines.summary("sync_processor_batch_size", facts.batch_size);
    lines.summary("updatelatency", facts.update_ms);
}

struct Lines(String);

impl Lines {
    fn put(&mut self, name: &str, value: impl Display) {
        writeln!(self.0, "zk_{name}\t{value}").expect("a string takes everything");
    }

    fn maybe(&mut self, name: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.put(name, value);
        }
    }

    fn summary(&mut self, name: &str, summary: Option<Summary>) {
        let Some(summary) = summary else { return };
        self.put(&format!("avg_{name}"), java::double(summary.average()));
        self.put(&format!("min_{name}"), summary.min);
        self.put(&format!("max_{name}"), summary.max);
        self.put(&format!("cnt_{name}"), summary.count);
        self.put(&format!("sum_{name}"), summary.sum);
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::{LeadingFacts, QuorumFacts, ServerFacts};
    use super::super::words::tests::server;
    use super::*;

    fn facts() -> MonitorFacts {
        MonitorFacts {
            server: server(),
            uptime_ms: 1234,
            quorum: None,
            watches: 7,
            ephemerals: 2,
            data_bytes: 44,
            sessions: 3,
            local_sessions: 1,
            open_files: Some(60),
            max_files: Some(1024),
            responses: Some((16, 4000, 12)),
            auth_failed: 1,
            session_passwords: "secret",
            log_lines_left_out: 11,
            bytes_received: Some(100),
            response_bytes: Some(200),
            watch_bytes: Some(30),
            connections_rejected: Some(4),
            connection_requests: Some(5),
            connections_dropped: Some(6),
            connections_revalidated: Some(2),
            sessionless_expired: Some(0),
            throttled: Some(3),
            unread_ended: Some(1),
            sessions_expired: Some(8),
            digest_mismatches: Some(0),
            snapshot_errors: Some(0),
            transactions_logged: Some(9),
            fsync_ms: Some(Summary { count: 4, sum: 5, min: 0, max: 3 }),
            snapshot_ms: Some(Summary::default()),
            load_ms: None,
            load_snapshot_ms: None,
            load_log_ms: None,
            loaded_transactions: None,
            batch_size: None,
            read_ms: None,
            update_ms: None,
        }
    }

    fn rendered(facts: &MonitorFacts) -> String {
        let mut out = Vec::new();
        mntr(&mut out, facts);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn golden() {
        let expected = format!(
            "zk_version\t{VERSION}\nzk_server_state\tstandalone\nzk_avg_latency\t1.6667\nzk_max_latency\t4\n\
             zk_min_latency\t0\nzk_packets_received\t10\nzk_packets_sent\t9\nzk_num_alive_connections\t2\n\
             zk_outstanding_requests\t1\nzk_uptime\t1234\nzk_znode_count\t5\nzk_watch_count\t7\n\
             zk_ephemerals_count\t2\nzk_approximate_data_size\t44\nzk_global_sessions\t3\nzk_local_sessions\t1\n\
             zk_open_file_descriptor_count\t60\nzk_max_file_descriptor_count\t1024\n\
             zk_connection_drop_probability\t0.0\nzk_last_client_response_size\t16\n\
             zk_max_client_response_size\t4000\nzk_min_client_response_size\t12\nzk_outstanding_tls_handshake\t0\n\
             zk_auth_failed_count\t1\nzk_corral_session_passwords\tsecret\n\
             zk_corral_log_lines_left_out\t11\nzk_bytes_received_count\t100\nzk_connection_drop_count\t6\n\
             zk_connection_rejected\t4\nzk_connection_request_count\t5\nzk_connection_revalidate_count\t2\n\
             zk_digest_mismatches_count\t0\nzk_response_bytes\t200\nzk_sessionless_connections_expired\t0\n\
             zk_snapshot_error_count\t0\nzk_stale_sessions_expired\t8\nzk_sync_processor_request_queued\t9\n\
             zk_throttled_ops\t3\nzk_unread_connections_ended\t1\nzk_watch_bytes\t30\nzk_avg_fsynctime\t1.25\nzk_min_fsynctime\t0\nzk_max_fsynctime\t3\n\
             zk_cnt_fsynctime\t4\nzk_sum_fsynctime\t5\nzk_avg_snapshottime\t0.0\nzk_min_snapshottime\t0\n\
             zk_max_snapshottime\t0\nzk_cnt_snapshottime\t0\nzk_sum_snapshottime\t0\n"
        );
        assert_eq!(rendered(&facts()), expected);
    }

    #[test]
    fn a_member_says_what_it_is_and_a_leader_who_follows() {
        let leading = LeadingFacts {
            learners: 4,
            synced_followers: 3,
            synced_non_voting: 1,
            synced_observers: 1,
            pending_syncs: 0,
            leads_for_ms: 77,
        };
        let server = ServerFacts { mode: Mode::Leader, proposals: Some((5, 3, 90)), ..server() };
        let quorum = QuorumFacts { voters: 3, master: None, leading: Some(leading) };
        let text = rendered(&MonitorFacts { server: server.clone(), quorum: Some(quorum), ..facts() });
        let head = "\nzk_server_state\tleader\nzk_peer_state\tleading - broadcast\nzk_avg_latency";
        assert!(text.contains(head), "{text}");
        let lines = "zk_quorum_size\t3\nzk_learners\t4\nzk_synced_followers\t3\nzk_synced_non_voting_followers\t1\n\
                     zk_synced_observers\t1\nzk_pending_syncs\t0\nzk_leader_uptime\t77\nzk_last_proposal_size\t5\n\
                     zk_max_proposal_size\t90\nzk_min_proposal_size\t3\n";
        assert!(text.contains(lines), "{text}");
        for (mode, state) in [(Mode::Follower, "following"), (Mode::Observer, "observing")] {
            let master = (mode == Mode::Observer).then_some(2);
            let quorum = Some(QuorumFacts { voters: 3, master, leading: None });
            let text = rendered(&MonitorFacts { server: ServerFacts { mode, ..server.clone() }, quorum, ..facts() });
            assert!(text.contains(&format!("\nzk_peer_state\t{state} - broadcast\n")), "{text}");
            assert!(text.contains("\nzk_quorum_size\t3\n") && !text.contains("zk_learners"), "{text}");
            assert_eq!(text.contains("\nzk_observer_master_id\t2\n"), mode == Mode::Observer, "{text}");
        }
    }

    #[test]
    fn what_is_not_measured_is_left_out() {
        let silent = MonitorFacts { open_files: None, responses: None, watch_bytes: None, fsync_ms: None, ..facts() };
        let text = rendered(&silent);
        assert!(!text.contains("open_file_descriptor_count\t60") && !text.contains("watch_bytes"));
        assert!(!text.contains("fsynctime") && text.contains("zk_min_client_response_size\t-1\n"));
    }

    #[test]
    fn every_summary_has_a_name_of_its_own() {
        let one = Some(Summary { count: 1, sum: 1, min: 1, max: 1 });
        let full = MonitorFacts {
            load_ms: one,
            load_snapshot_ms: one,
            load_log_ms: one,
            loaded_transactions: one,
            batch_size: one,
            read_ms: one,
            update_ms: one,
            ..facts()
        };
        let text = rendered(&full);
        let mut names: Vec<_> = text.lines().map(|line| line.split('\t').next().unwrap()).collect();
        assert!(names.iter().all(|name| name.starts_with("zk_")));
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!((names.len(), count), (26 + 14 + 9 * 5, 26 + 14 + 9 * 5));
    }
}

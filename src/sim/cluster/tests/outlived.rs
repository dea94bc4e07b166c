//! What has outlived its time goes when its leader's interval says so, and not only with a tick.

use super::super::*;
use super::steps::*;
use crate::jute::OpCode;
use crate::sim::bodies::create_ttl;

#[test]
fn a_short_life_ends_between_the_ticks_of_its_leader() {
    let mut cluster = Cluster::new(3, 81);
    cluster.config.extended_types = true;
    cluster.config.container_check_interval_ms = 10;
    start_all(&mut cluster);
    comes_to_rest(&mut cluster);
    let leader = cluster.leader().unwrap();
    let (conn, _) = session(&mut cluster, leader, 4000);
    for n in 0..10 {
        let path = format!("/short-{n}");
        ask(&mut cluster, leader, conn, n, OpCode::CreateTtl, &create_ttl(path.as_bytes(), 10));
        assert_eq!(told(&mut cluster, leader, conn, 1), [(n, 0)]);
        // What it takes to agree on its end comes on top.
        assert!(cluster.run(40, |cluster| !has(cluster, leader, &path)), "{path} lives on");
        // At another moment of a tick.
        cluster.run(7, |_| false);
    }
}

//! A server on its own, as scripts and dashboards meet it.

mod support;

use std::fs;
use support::Scratch;
use support::client::{Connection, four_letter_word};
use support::server::{Server, Target};
use support::wire;

fn corrals() -> impl Iterator<Item = Target> {
    Target::all().into_iter().filter(|target| !target.is_zookeeper())
}

/// ZooKeeper's answers: reconfigurations are disabled, or there is nothing to reconfigure.
#[test]
fn a_reconfiguration_of_a_server_on_its_own_is_unimplemented() {
    for (enabled, error) in [("false", -123), ("true", -6)] {
        for target in corrals() {
            let scratch = Scratch::new();
            let server = Server::start(target, scratch.path(), &[&format!("reconfigEnabled={enabled}")]);
            let mut client = Connection::new_session(server.address, 10_000).expect("a session");
            let reply = client.call(&wire::reconfig(Some("server.2=127.0.0.1:1:2"), None, None, -1)).expect("a reply");
            assert_eq!(reply.err, error, "{target:?}, reconfigEnabled={enabled}");
        }
    }
}

#[test]
fn the_environment_has_the_lines_that_dashboards_look_for() {
    for target in corrals() {
        let scratch = Scratch::new();
        let server = Server::start(target, scratch.path(), &["4lw.commands.whitelist=*"]);
        let text = four_letter_word(server.address, "envi").expect("an answer");
        for name in ["zookeeper.version", "host.name", "java.version", "java.vendor", "os.name", "jvm.memory.total"] {
            assert!(
                text.lines().any(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with('='))),
                "{text}"
            );
        }
    }
}

/// `zkServer-initialize.sh` leaves an empty `version-2`, and in it is what a directory of ZooKeeper's would be known by.
#[test]
fn an_empty_version_2_is_nobodys_data() {
    for (inside, starts) in [(None, true), (Some("snapshot.0"), false), (Some("currentEpoch"), false)] {
        let target = corrals().next().expect("an edge");
        let scratch = Scratch::new();
        let mut server = Server::prepare(target, scratch.path(), &[]);
        let version_2 = server.data_directory().join("version-2");
        fs::create_dir_all(&version_2).expect("version-2");
        if let Some(name) = inside {
            fs::write(version_2.join(name), b"1").expect("a file");
        }
        server.spawn();
        let (answers, _) = server.answers_or_ends();
        assert_eq!(answers, starts, "{inside:?}: {}", server.log());
    }
}

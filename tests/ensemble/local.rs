//! Members that open sessions of their own: what such a session may do, that nobody else knows it, and what becomes of it
//! when it wants an ephemeral.

use std::net::SocketAddr;

use super::clients::{HAPPENS_LIMIT, SHORT_SESSION_MS, keep_asking, resumed, session_on};
use super::cluster::Ensemble;
use super::support::client::{Arrival, Connection, four_letter_word, monitored};
use super::support::wait_for;
use super::support::wire::{self, code, flag};
use super::tree;

/// What the members are told.
pub fn settings(upgrades: bool) -> [&'static str; 2] {
    let upgrading = if upgrades { "localSessionsUpgradingEnabled=true" } else { "localSessionsUpgradingEnabled=false" };
    ["localSessionsEnabled=true", upgrading]
}

/// The same on every member, with another one that looks on. Gives the place of the member that led.
pub fn converse(name: &str, ensemble: &mut Ensemble, upgrades: bool) -> usize {
    let leader = ensemble.await_whole();
    println!("{name}: {}, member {} leads, upgrading: {upgrades}", ensemble.names(), leader + 1);
    let addresses = ensemble.addresses();
    session_on(addresses[0]).must(&wire::create("/l", b"", flag::PERSISTENT));
    for here in 0..addresses.len() {
        let there = (here + 1) % addresses.len();
        let mut pair = Pair::new(format!("/l/{}", here + 1), [addresses[here], addresses[there]]);
        pair.costs_no_transaction();
        pair.is_known_here_alone();
        pair.ends_in_silence();
        if upgrades {
            pair.becomes_global();
            pair.global_one_ends_in_silence();
        } else {
            pair.has_no_ephemerals();
        }
    }
    tree::agreed(ensemble);
    leader
}

/// Sessions of a follower end with its leader.
pub fn lose_the_leader(ensemble: &mut Ensemble) {
    let leader = ensemble.await_whole();
    let follower = (leader + 1) % ensemble.members.len();
    let mut lonely = session_on(ensemble.members[follower].server.address);
    ensemble.kill(leader);
    assert_eq!(lonely.next().expect("the end of the connection"), Arrival::Closed);
    ensemble.start_again(leader);
    ensemble.await_whole();
    for address in ensemble.addresses() {
        assert_eq!(resumed(address, &lonely.session, 0).session.id, 0, "it is over, says {address}");
    }
}

struct Pair {
    root: String,
    addresses: [SocketAddr; 2],
    here: Connection,
    there: Connection,
}

impl Pair {
    fn new(root: String, addresses: [SocketAddr; 2]) -> Pair {
        let [mut here, there] = addresses.map(session_on);
        here.must(&wire::create(&root, b"", flag::PERSISTENT));
        Pair { root, addresses, here, there }
    }

    /// What the other member says of a path, behind a write of its own: it has seen then what was acknowledged before.
    fn error_there(&mut self, path: &str) -> i32 {
        self.there.must(&wire::set_data(&self.root, Some(b""), -1));
        self.there.call(&wire::exists(path, false)).expect("an answer").err
    }

    /// A number of `mntr` here.
    fn number(&self, name: &str) -> u64 {
        monitored(self.addresses[0], name).unwrap_or_else(|| panic!("{} does not tell {name}", self.addresses[0]))
    }

    fn costs_no_transaction(&mut self) {
        let before = self.here.call(&wire::set_data(&self.root, Some(b""), -1)).expect("an answer").zxid;
        let own = session_on(self.addresses[0]);
        let dump = four_letter_word(self.addresses[0], "dump").expect("dump");
        assert!(dump.contains("Local Session Sets ("), "{dump}");
        let local = dump.split("Global Session").next().expect("the first part");
        assert!(local.contains(&format!("\t{:#x}\n", own.session.id)), "{:#x} in {dump}", own.session.id);
        own.close().expect("the end of a session");
        let after = self.here.call(&wire::set_data(&self.root, Some(b""), -1)).expect("an answer").zxid;
        assert_eq!(after, before + 1, "{}: nothing happened in between", self.root);
    }

    fn is_known_here_alone(&mut self) {
        let path = format!("{}/written", self.root);
        let mut own = session_on(self.addresses[0]);
        own.must(&wire::create(&path, b"", flag::PERSISTENT));
        assert_eq!(self.error_there(&path), 0, "{path}");
        assert_eq!(resumed(self.addresses[1], &own.session, 0).session.id, 0, "{path}: nobody else knows it");
        let mut again = resumed(self.addresses[0], &own.session, 0);
        assert_eq!(again.session.id, own.session.id, "{path}: it is still there");
        again.must(&wire::delete(&path, 0));
        again.close().expect("the end of a session");
        assert_eq!(self.error_there(&path), code::NO_NODE, "{path}");
    }

    fn ends_in_silence(&mut self) {
        let mut silent = Connection::new_session(self.addresses[0], SHORT_SESSION_MS).expect("a session");
        assert_eq!(silent.next().expect("the end of the connection"), Arrival::Closed, "{}", self.root);
        assert_eq!(resumed(self.addresses[0], &silent.session, 0).session.id, 0, "{}: it is over", self.root);
    }

    fn has_no_ephemerals(&mut self) {
        let (path, other) = (format!("{}/none", self.root), format!("{}/some", self.root));
        let mut own = session_on(self.addresses[0]);
        own.push(&wire::create(&other, b"", flag::PERSISTENT));
        own.push(&wire::create2(&path, b"", flag::EPHEMERAL));
        own.push(&wire::delete(&other, 0));
        own.flush().expect("three requests");
        let errors = [0; 3].map(|_| own.next_reply().expect("an answer").err);
        assert_eq!(errors, [0, code::EPHEMERAL_ON_LOCAL_SESSION, 0], "{path}");
        assert_eq!((self.error_there(&path), self.error_there(&other)), (code::NO_NODE, code::NO_NODE), "{path}");
        assert_eq!(self.number("zk_global_sessions"), 0, "{path}");
        own.close().expect("the end of a session");
    }

    fn becomes_global(&mut self) {
        let (path, other) = (format!("{}/own", self.root), format!("{}/other", self.root));
        let before = (self.number("zk_local_sessions"), self.number("zk_global_sessions"));
        let mut own = session_on(self.addresses[0]);
        own.push(&wire::create(&other, b"", flag::PERSISTENT));
        own.push(&wire::create2(&path, b"", flag::EPHEMERAL));
        own.push(&wire::get_data(&path, false));
        own.push(&wire::multi(&[wire::create(&format!("{path}2"), b"", flag::EPHEMERAL), wire::delete(&other, 0)]));
        own.flush().expect("four requests");
        let errors = [0; 4].map(|_| own.next_reply().expect("an answer").err);
        assert_eq!(errors, [0; 4], "{path}");
        let counted = wait_for(HAPPENS_LIMIT, || {
            let now = (self.number("zk_local_sessions"), self.number("zk_global_sessions"));
            (now == (before.0, before.1 + 1)).then_some(())
        });
        assert!(counted.is_some(), "{path}: it is counted as another one");
        assert_eq!((self.error_there(&path), self.error_there(&other)), (0, code::NO_NODE), "{path}");
        let (next_xid, session) = (own.next_xid(), own.session.id);
        let mut moved = resumed(self.addresses[1], &own.session, 0);
        moved.continue_from(next_xid);
        assert_eq!(moved.session.id, session, "{path}: everybody knows it");
        moved.must(&wire::set_data(&path, Some(b"x"), 0));
        moved.close().expect("the end of a session");
        assert_eq!(
            (self.error_there(&path), self.error_there(&format!("{path}2"))),
            (code::NO_NODE, code::NO_NODE),
            "{path}"
        );
    }

    fn global_one_ends_in_silence(&mut self) {
        let path = format!("{}/silent", self.root);
        let mut silent = Connection::new_session(self.addresses[0], SHORT_SESSION_MS).expect("a session");
        silent.must(&wire::create(&path, b"", flag::EPHEMERAL));
        assert_eq!(self.error_there(&path), 0, "{path}");
        let gone = wait_for(HAPPENS_LIMIT, || (self.error_there(&path) == code::NO_NODE).then_some(()));
        assert!(gone.is_some(), "{path} outlives its session");
        // Who goes on asking keeps its session: the leader is told of it.
        let mut heard = Connection::new_session(self.addresses[0], SHORT_SESSION_MS).expect("a session");
        heard.must(&wire::create(&path, b"", flag::EPHEMERAL));
        keep_asking(&mut heard, &wire::exists(&path, false), 2);
        heard.close().expect("the end of a session");
    }
}

//! The judge must be able to condemn: a small history that is right, and one doctored in each way a server could be
//! wrong.

use super::checker::violations;
use super::record::{
    Action, History, LostSession, Operation, Outcome, Seen, data_of, ephemeral_path, node_path, register_path,
};
use super::support::wire::code;
use super::tree::{Tree, Znode};

/// A history under construction: one request after the other, each ten nanoseconds long, and the tree they make.
struct Story {
    history: History,
    tree: Tree,
    clock: u64,
}

const SESSION: i64 = 0x100;

fn seen(register: usize, version: i32, value: u64, mzxid: i64) -> Seen {
    Seen { register, version, value, mzxid }
}

fn done(zxid: i64, seen: &[Seen]) -> Outcome {
    Outcome::Done { zxid, seen: seen.to_vec(), number: None }
}

impl Story {
    fn begin() -> Story {
        let mut tree = Tree::new();
        for register in 0..2 {
            tree.insert(register_path(register), Znode { data: data_of(0), mzxid: 1, ..Znode::default() });
        }
        let history = History { registers: 2, alive: vec![SESSION], sync_is_barrier: true, ..History::default() };
        Story { history, tree, clock: 0 }
    }

    fn tell(&mut self, session: i64, action: Action, outcome: Outcome) {
        self.clock += 20;
        let (invoked, returned) = (self.clock, self.clock + 10);
        self.history.operations.push(Operation { client: 0, session, action, invoked, returned, outcome });
    }

    /// A write that was done, and is what the tree holds.
    fn set(&mut self, register: usize, version: i32, value: u64, zxid: i64) {
        let one = seen(register, version, value, zxid);
        self.tell(SESSION, Action::Set { register, value, expected: None }, done(zxid, &[one]));
        self.ends(one);
    }

    fn ends(&mut self, last: Seen) {
        let node = Znode { data: data_of(last.value), version: last.version, mzxid: last.mzxid, ..Znode::default() };
        self.tree.insert(register_path(last.register), node);
    }

    fn read(&mut self, session: i64, synced: bool, one: Seen, zxid: i64) {
        let register = one.register;
        let action = if synced { Action::SyncedGet { register } } else { Action::Get { register } };
        self.tell(session, action, done(zxid, &[one]));
    }

    fn node(&mut self, path: String, value: u64, czxid: i64, owner: i64) {
        self.tree.insert(path, Znode { data: data_of(value), czxid, owner, ..Znode::default() });
    }

    /// The story so far has no flaw.
    fn fine(&self) {
        assert_eq!(violations(&self.history, &self.tree), Vec::<String>::new());
    }

    /// It has, and this word names it.
    fn flawed(&self, word: &str) {
        let found = violations(&self.history, &self.tree);
        assert!(found.iter().any(|violation| violation.contains(word)), "{word}: {found:#?}");
    }
}

/// Two writes and a read of each kind.
fn plain() -> Story {
    let mut story = Story::begin();
    story.set(0, 1, 11, 2);
    story.set(0, 2, 12, 3);
    story.read(SESSION, false, seen(0, 2, 12, 3), 3);
    story.read(SESSION, true, seen(0, 2, 12, 3), 3);
    story.fine();
    story
}

#[test]
fn an_acknowledged_write_that_is_lost_is_found() {
    let mut story = plain();
    story.ends(seen(0, 1, 11, 2));
    story.flawed("beyond the end");
    // Lost, and its version given to another write.
    let mut story = plain();
    story.ends(seen(0, 2, 13, 4));
    story.tell(SESSION, Action::Set { register: 0, value: 13, expected: None }, Outcome::Unknown);
    story.flawed("says");
    // Nobody knows who wrote the versions between.
    let mut story = plain();
    story.set(0, 5, 15, 9);
    story.flawed("nobody wrote");
}

#[test]
fn a_write_of_unknown_outcome_happens_once_or_not() {
    let mut story = plain();
    story.tell(SESSION, Action::Set { register: 0, value: 13, expected: None }, Outcome::Unknown);
    story.fine();
    let mut happened = plain();
    happened.tell(SESSION, Action::Set { register: 0, value: 13, expected: None }, Outcome::Unknown);
    happened.ends(seen(0, 3, 13, 4));
    happened.fine();
    happened.read(SESSION, false, seen(0, 3, 13, 4), 4);
    happened.ends(seen(0, 4, 13, 5));
    happened.flawed("is version 3 and 4");
}

#[test]
fn what_was_refused_or_never_written_is_not_there() {
    let mut story = plain();
    story.tell(
        SESSION,
        Action::Set { register: 1, value: 14, expected: Some(7) },
        Outcome::Refused { zxid: 4, code: -103 },
    );
    story.fine();
    story.ends(seen(1, 1, 14, 4));
    story.flawed("was refused, and is there");
    let mut story = plain();
    story.ends(seen(1, 1, 99, 4));
    story.flawed("never written");
    let mut story = plain();
    story.tell(SESSION, Action::Create { node: 3 }, Outcome::Refused { zxid: 4, code: code::NODE_EXISTS });
    story.flawed("refused with");
}

#[test]
fn a_stale_synced_read_is_found_and_a_stale_plain_one_is_allowed() {
    let mut story = plain();
    story.read(SESSION + 1, false, seen(0, 1, 11, 2), 2);
    story.fine();
    story.read(SESSION + 1, true, seen(0, 1, 11, 2), 2);
    story.flawed("was known before");
    story.history.sync_is_barrier = false;
    story.fine();
}

#[test]
fn a_session_that_goes_back_is_found() {
    let mut story = plain();
    story.read(SESSION, false, seen(0, 1, 11, 2), 3);
    story.flawed("the session had seen version 2");
    let mut story = plain();
    story.read(SESSION, false, seen(0, 2, 12, 3), 2);
    story.flawed("came before in this session");
}

#[test]
fn zxids_follow_time_and_are_given_once() {
    let mut story = plain();
    story.set(1, 1, 14, 3);
    story.flawed("given twice");
    let mut story = plain();
    story.set(0, 3, 13, 7);
    story.set(1, 1, 14, 6);
    story.flawed("was known before");
    let mut story = plain();
    story.set(0, 3, 13, 2);
    story.flawed("follows");
    let mut story = plain();
    let write = Action::Set { register: 1, value: 14, expected: None };
    story.tell(SESSION, write, done(5, &[seen(1, 1, 14, 4)]));
    story.ends(seen(1, 1, 14, 4));
    story.flawed("not of its own transaction");
}

#[test]
fn a_write_that_ignores_its_condition_is_found() {
    let mut story = plain();
    let write = Action::Set { register: 0, value: 13, expected: Some(1) };
    story.tell(SESSION, write, done(4, &[seen(0, 3, 13, 4)]));
    story.ends(seen(0, 3, 13, 4));
    story.flawed("a write to version 1");
}

#[test]
fn nodes_are_there_when_they_must_be() {
    let mut story = plain();
    story.tell(SESSION, Action::Create { node: 20 }, done(4, &[]));
    story.flawed("acknowledged and is not there");
    story.node(node_path(0, 20), 20, 4, 0);
    story.fine();
    story.tell(SESSION, Action::Delete { node: 20 }, Outcome::Unknown);
    story.fine();
    story.tell(SESSION, Action::Delete { node: 20 }, done(5, &[]));
    story.flawed("must not be there");
    story.tree.remove(&node_path(0, 20));
    story.fine();
    story.node(node_path(0, 21), 21, 6, 0);
    story.flawed("never asked for");
}

#[test]
fn a_node_of_another_transaction_or_content_is_found() {
    let mut story = plain();
    story.tell(SESSION, Action::Create { node: 20 }, done(4, &[]));
    story.node(node_path(0, 20), 20, 5, 0);
    story.flawed("was created with");
    story.node(node_path(0, 20), 21, 4, 0);
    story.flawed("holds something else");
}

#[test]
fn an_ephemeral_node_lives_as_long_as_its_session() {
    let mut story = plain();
    story.tell(SESSION, Action::Ephemeral { node: 20 }, done(4, &[]));
    story.flawed("acknowledged and is not there");
    story.node(ephemeral_path(0, 20), 20, 4, SESSION);
    story.fine();
    story.node(ephemeral_path(0, 20), 20, 4, SESSION + 1);
    story.flawed("holds something else");
    story.tree.remove(&ephemeral_path(0, 20));
    story.history.alive.clear();
    story.fine();
}

#[test]
fn sequential_numbers_are_unique_and_grow() {
    let numbered = |zxid: i64, number: u32| Outcome::Done { zxid, seen: Vec::new(), number: Some(number) };
    let mut story = plain();
    story.tell(SESSION, Action::Sequential { node: 20 }, numbered(4, 0));
    story.node("/q/n-0000000000".to_string(), 20, 4, 0);
    story.tell(SESSION, Action::Sequential { node: 21 }, numbered(5, 2));
    story.node("/q/n-0000000002".to_string(), 21, 5, 0);
    story.fine();
    let mut twice = Story { history: story.history.clone(), tree: story.tree.clone(), clock: story.clock };
    twice.tell(SESSION, Action::Sequential { node: 22 }, numbered(6, 2));
    twice.flawed("was given twice");
    story.tell(SESSION, Action::Sequential { node: 22 }, numbered(6, 1));
    story.node("/q/n-0000000001".to_string(), 22, 6, 0);
    story.flawed("a larger number");
    // Created twice by one request.
    let mut story = plain();
    story.tell(SESSION, Action::Sequential { node: 20 }, Outcome::Unknown);
    story.node("/q/n-0000000000".to_string(), 20, 4, 0);
    story.fine();
    story.node("/q/n-0000000001".to_string(), 20, 5, 0);
    story.flawed("there twice");
}

#[test]
fn a_multi_is_all_or_nothing() {
    let sets = [(0, 13), (1, 14)];
    let multi = || Action::Multi { sets, node: 20 };
    let mut story = plain();
    story.tell(SESSION, multi(), Outcome::Unknown);
    story.fine();
    story.ends(seen(0, 3, 13, 4));
    story.flawed("its node of");
    story.ends(seen(1, 1, 14, 4));
    story.node(node_path(0, 20), 20, 4, 0);
    story.fine();
    story.node(node_path(0, 20), 20, 5, 0);
    story.flawed("its node of");
}

#[test]
fn a_session_that_ends_too_early_is_found() {
    let mut story = plain();
    let lost = |silent_ms: u64| LostSession {
        session: SESSION,
        last_contact: 1_000_000,
        told: (1 + silent_ms) * 1_000_000,
        timeout_ms: 1_000,
    };
    story.history.lost = vec![lost(1_200)];
    story.fine();
    story.history.lost = vec![lost(200)];
    story.flawed("a session of 1000 ms ended after 200 ms");
    let mut story = plain();
    story.history.problems = vec!["client 0 found no server".to_string()];
    story.flawed("found no server");
}

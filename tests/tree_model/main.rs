//! The tree against a model of it, and against itself.
//!
//! Random scripts of requests, by callers of different rights, are prepared on one state. Each answer, each
//! change and the whole tree must be what a plain model of ZooKeeper's rules says. The transactions that come
//! out are applied to a second state when they are committed, which must come to the same tree, sets, digest,
//! changes and replies. Transactions that are not committed may be taken back at any time. And a snapshot
//! taken while transactions went on must, with the log, lead to the same tree again.

mod model;
mod script;

use corral::config::Config;
use corral::ids::{SessionId, Zxid};
use corral::jute::{MultiOps, OpCode, Request};
use corral::tree::apply::DigestCheck;
use corral::tree::change::{Change, ChangeKind, Changes};
use corral::tree::store::NewZnode;
use corral::tree::{Context, Mode, Outcome, State, StateOptions, path};
use fastrand::Rng;
use model::{Caller, Event, Kind, Model};
use script::{Answer, Op};
use std::collections::BTreeMap;

const SEEDS: u64 = 40;
const STEPS: usize = 500;

fn options(extended: bool, enforce: bool) -> StateOptions {
    Config { extended_types: extended, enforce_quota: enforce, ..Config::default() }.into()
}

/// Every path of the tree, by walking from the root.
fn walk(state: &State) -> Vec<Vec<u8>> {
    let mut paths = vec![b"/".to_vec()];
    let mut next = 0;
    while let Some(parent) = paths.get(next).cloned() {
        next += 1;
        let mut names: Vec<Vec<u8>> = vec![];
        state.store().head().children(&parent, path::hash(&parent), &mut |name| names.push(name.to_vec()));
        names.sort();
        let prefix = if parent == b"/" { vec![] } else { parent };
        paths.extend(names.iter().map(|name| [&prefix[..], b"/", name].concat()));
    }
    paths
}

/// Checks that the tree, the sets, the sessions and the digest are those of the model.
fn compare(state: &State, model: &Model) {
    let paths = walk(state);
    assert_eq!(paths.len(), model.nodes.len(), "znodes");
    for path in &paths {
        let key = if path == b"/" { &b""[..] } else { path };
        let node = model.nodes.get(key).unwrap_or_else(|| panic!("{} is not in the model", text(path)));
        let znode = state.find(path).expect("a child of its parent");
        assert_eq!(state.owners().shown(znode.owner(), znode.stat()), model.stat(key).unwrap(), "{}", text(path));
        assert_eq!(znode.data(), node.data.as_deref(), "{}", text(path));
        assert_eq!((znode.owner(), znode.stored_cversion()), (node.stat.owner, node.stat.cversion), "{}", text(path));
        let mut acl = vec![];
        state.acls().list(znode.acl()).put(&mut acl);
        let mut expected = vec![];
        script::put_acl(&mut expected, Some(&node.acl));
        assert_eq!(acl, expected, "{}", text(path));
    }
    let of_kind = |kind| {
        let all = model.nodes.iter().filter(move |(_, node)| model.kind(node.stat.owner) == kind);
        all.map(|(path, node)| (node.stat.owner, path.clone())).collect::<Vec<_>>()
    };
    let mut ephemerals: BTreeMap<i64, Vec<Vec<u8>>> = BTreeMap::new();
    for (owner, path) in of_kind(Kind::Ephemeral) {
        ephemerals.entry(owner).or_default().push(path);
    }
    let ours: BTreeMap<_, _> = state.all_ephemerals().into_iter().map(|(session, paths)| (session.0, paths)).collect();
    assert_eq!(ours, ephemerals);
    assert_eq!(state.ephemeral_count(), ephemerals.values().map(Vec::len).sum::<usize>());
    let set = |paths: &corral::tree::index::Paths| paths.iter().map(|path| path.to_vec()).collect::<Vec<_>>();
    let paths_of = |kind| of_kind(kind).into_iter().map(|(_, path)| path).collect::<Vec<_>>();
    assert_eq!(set(state.index().containers()), paths_of(Kind::Container));
    assert_eq!(set(state.index().ttls()), paths_of(Kind::Ttl));
    let limits = |path: &&Vec<u8>| {
        path.starts_with(b"/zookeeper/quota/") && path.ends_with(b"/zookeeper_limits") && path.len() > 33
    };
    assert_eq!(state.index().quotas.len(), model.nodes.keys().filter(limits).count());
    let sessions: BTreeMap<i64, i32> = state.sessions().map(|(session, timeout)| (session.0, timeout)).collect();
    assert_eq!(sessions, model.sessions);
    assert_eq!(state.digest(), model.digest());
}

fn text(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

fn events(changes: &Changes, from: usize) -> Vec<Event> {
    let event = |kind, path: &[u8]| match kind {
        ChangeKind::Created => Event::Created(path.to_vec()),
        ChangeKind::Deleted => Event::Deleted(path.to_vec()),
        ChangeKind::DataChanged => Event::Set(path.to_vec()),
    };
    changes.range(from..changes.len()).map(|change| event(change.kind, change.path)).collect()
}

/// A transaction that is not committed yet.
struct Pending {
    zxid: i64,
    entry: Vec<u8>,
    reply: Vec<u8>,
    changes: Vec<String>,
    /// The model as it was before.
    before: Model,
}

/// Everything about changes, for comparison: ACLs by their lists, as their numbers are each state's own.
fn listing(state: &State, changes: &Changes) -> Vec<String> {
    let acls = state.acls();
    let line = |change: Change<'_>| {
        let (own, parent) = (acls.bytes(change.acl), acls.bytes(change.parent_acl));
        format!("{:?} {} {:?} {own:?} {parent:?}", change.kind, text(change.path), change.hash)
    };
    changes.range(0..changes.len()).map(line).collect()
}

/// One run: what was committed comes back as a log.
struct Run {
    leader: State,
    follower: State,
    model: Model,
    pending: Vec<Pending>,
    /// Committed entries, each with the model after it.
    log: Vec<(i64, Vec<u8>, Model)>,
    zxid: i64,
    sessions: i64,
    /// How often each error was seen, that the script reaches them.
    seen: BTreeMap<i32, usize>,
}

impl Run {
    fn new(extended: bool, enforce: bool) -> Run {
        let model = Model::new(extended, enforce);
        let leader = State::new(options(extended, enforce));
        compare(&leader, &model);
        Run {
            leader,
            follower: State::new(options(extended, enforce)),
            model,
            pending: vec![],
            log: vec![],
            zxid: 0,
            sessions: 0,
            seen: BTreeMap::new(),
        }
    }

    fn step(&mut self, random: &mut Rng) {
        let known: Vec<Vec<u8>> = self.model.nodes.keys().cloned().collect();
        let op = if self.model.sessions.is_empty() { Op::OpenSession } else { script::op(random, &known) };
        self.carry_out(random, op);
    }

    /// One request, by whomever it may be.
    fn carry_out(&mut self, random: &mut Rng, op: Op) {
        self.zxid += 1;
        let session = match op {
            Op::OpenSession => {
                self.sessions += 1;
                self.sessions
            }
            Op::DeleteContainer { .. } if random.u8(..4) != 0 => 0,
            // Now and then a session that has been closed, or never was.
            _ if random.u8(..12) == 0 => 1 + random.i64(0..self.sessions + 1),
            _ => *random.choice(&self.model.sessions.keys().copied().collect::<Vec<_>>()).unwrap(),
        };
        let who = random.usize(..3);
        let identities = &script::callers()[who];
        let cxid = random.i32(0..1000);
        let time_ms = 1_000_000 + self.zxid * 7;
        let context =
            Context { zxid: Zxid(self.zxid), time_ms, session: SessionId(session), cxid, identities, is_local: false };
        let mut body = vec![];
        op.encode(&mut body);

        let before = self.model.clone();
        let mut heard = vec![];
        let caller = Caller { zxid: self.zxid, time: time_ms, session, who };
        let expected = self.model.run(caller, &op, &mut heard);

        let mut out = Outcome::default();
        match op {
            Op::OpenSession => self.leader.create_session(&context, 4000, &mut out),
            Op::CloseSession => self.leader.close_session(&context, &mut out),
            _ => {
                let request = Request::decode(op.code(), &body).expect("scripts are well formed");
                self.leader.prepare(&context, op.code(), &request, &mut out);
            }
        }
        if out.reply.is_empty() {
            assert_eq!(expected, Answer::Nothing);
        } else {
            let answer = script::decode_reply(op.code(), &out.reply, cxid, self.zxid);
            assert_eq!(answer, expected, "{op:?} by {caller:?}");
        }
        assert_eq!(events(&out.changes, 0), heard, "{op:?}");
        match &expected {
            Answer::Error(code) => assert_eq!(out.error.wire(), *code),
            Answer::Results(results) => {
                let failed = results.iter().find_map(|(_, answer)| match answer {
                    Answer::Error(code) if *code != 0 => Some(*code),
                    _ => None,
                });
                assert_eq!(out.error.wire(), failed.unwrap_or(0));
            }
            _ => assert_eq!(out.error.wire(), 0),
        }
        *self.seen.entry(out.error.wire()).or_default() += 1;
        let changes = listing(&self.leader, &out.changes);
        self.pending.push(Pending { zxid: self.zxid, entry: out.txn, reply: out.reply, changes, before });
    }

    /// Commits up to `count` pending transactions: the follower applies them.
    fn commit(&mut self, count: usize) {
        let count = count.min(self.pending.len());
        let rest = self.pending.split_off(count);
        let committed = std::mem::replace(&mut self.pending, rest);
        for (at, pending) in committed.iter().enumerate() {
            let mut changes = Changes::default();
            let mut reply = vec![];
            let applied =
                self.follower.apply(&pending.entry, Mode::Strict, &mut changes, Some(&mut reply)).expect("fits");
            assert_eq!(applied.header.zxid.0, pending.zxid);
            assert_eq!(reply, pending.reply);
            assert_eq!(listing(&self.follower, &changes), pending.changes);
            let expected = if applied.header.op == OpCode::Error { DigestCheck::None } else { DigestCheck::Same };
            assert_eq!(applied.digest, expected);
            let next = committed.get(at + 1).or(self.pending.first());
            self.log.push((pending.zxid, pending.entry.clone(), next.map_or(&self.model, |next| &next.before).clone()));
        }
        if let Some(last) = committed.last() {
            self.leader.publish(Zxid(last.zxid));
            self.follower.publish(Zxid(last.zxid));
            self.leader.reclaim();
            self.follower.reclaim();
            self.model.committed = last.zxid;
            for pending in &mut self.pending {
                pending.before.committed = last.zxid;
            }
        }
    }

    /// Takes back what is pending but for `keep` transactions.
    fn undo(&mut self, keep: usize) {
        let Some(first) = self.pending.get(keep) else { return };
        let down_to = first.zxid - 1;
        self.model = first.before.clone();
        self.pending.truncate(keep);
        self.leader.undo(Zxid(down_to));
        self.zxid = down_to;
        compare(&self.leader, &self.model);
    }
}

/// Whether there are TTL znodes, and whether hard quotas refuse.
fn settings(seed: u64) -> (bool, bool) {
    (seed.is_multiple_of(2), seed % 3 != 1)
}

fn play(seed: u64, steps: usize) -> Run {
    let mut random = Rng::with_seed(seed);
    let (extended, enforce) = settings(seed);
    let mut run = Run::new(extended, enforce);
    run.carry_out(&mut random, Op::OpenSession);
    for op in script::quota() {
        run.carry_out(&mut random, op);
    }
    for step in 0..steps {
        run.step(&mut random);
        if random.u8(..8) == 0 || step + 1 == steps {
            compare(&run.leader, &run.model);
        }
        if random.u8(..6) == 0 {
            let count = random.usize(..10);
            run.commit(count);
        }
        if random.u8(..40) == 0 {
            let keep = random.usize(..run.pending.len() + 1);
            run.undo(keep);
        }
    }
    run.commit(usize::MAX);
    compare(&run.leader, &run.model);
    compare(&run.follower, &run.model);
    assert_eq!(run.leader.digest_history().last(), run.follower.digest_history().last());
    run
}

#[test]
fn random_scripts_agree_with_the_model_and_with_replay() {
    let mut seen: BTreeMap<i32, usize> = BTreeMap::new();
    for seed in 0..SEEDS {
        for (code, count) in play(seed, STEPS).seen {
            *seen.entry(code).or_default() += count;
        }
    }
    // A script that never gets to a rule has not tested it.
    for code in [0, -6, -8, -12, -101, -102, -103, -108, -110, -111, -112, -114, -125] {
        assert!(seen.get(&code).is_some_and(|count| *count > 10), "{code} is hardly ever seen: {seen:?}");
    }
}

/// A snapshot as ZooKeeper takes it: sessions first, then znodes from the root down, each as it is at the
/// moment it is come to, while transactions go on from `first` to `last`.
fn fuzzy_snapshot(run: &Run, (first, last): (usize, usize), random: &mut Rng, options: StateOptions) -> State {
    let mut state = State::empty(options);
    let mut now = first;
    let at = |now: usize| &run.log[now].2;
    state.begin_load(Zxid(run.log[first].0));
    for (session, timeout_ms) in &at(first).sessions {
        state.load_session(SessionId(*session), *timeout_ms);
    }
    let mut todo = vec![vec![]];
    while let Some(path) = todo.pop() {
        let model = at(now);
        let Some(node) = model.nodes.get(&path) else { continue };
        let mut acl = vec![];
        script::put_acl(&mut acl, Some(&node.acl));
        let acl = state.intern(&acl);
        let znode = NewZnode { data: node.data.as_deref(), acl, stat: node.stat };
        state.load(&path, &znode).expect("parents come first");
        let below = |child: &&Vec<u8>| {
            child
                .strip_prefix(&path[..])
                .is_some_and(|rest| rest.len() > 1 && rest[0] == b'/' && !rest[1..].contains(&b'/'))
        };
        let mut children: Vec<Vec<u8>> = model.nodes.keys().filter(below).cloned().collect();
        if random.bool() {
            children.reverse();
        }
        todo.extend(children);
        if random.bool() {
            now = (now + random.usize(..24)).min(last);
        }
    }
    state.finish_load();
    state
}

#[test]
fn a_fuzzy_snapshot_and_the_log_lead_to_the_same_tree() {
    let mut passed_over = 0;
    for seed in 0..SEEDS {
        let (extended, enforce) = settings(seed + 1000);
        let run = play(seed + 1000, STEPS);
        let mut random = Rng::with_seed(seed);
        for _ in 0..4 {
            let first = random.usize(..run.log.len() - 1);
            let last = (first + random.usize(..250)).min(run.log.len() - 1);
            let mut state = fuzzy_snapshot(&run, (first, last), &mut random, options(extended, enforce));
            for (_, entry, _) in &run.log[first + 1..] {
                passed_over +=
                    state.apply(entry, Mode::Fuzzy, &mut Changes::default(), None).expect("passes over").passed_over;
            }
            compare_but_quotas(&state, &run.model);
        }
    }
    assert!(passed_over > 500, "snapshots were hardly fuzzy: {passed_over}");
}

/// As [`compare`], but for what quotas say is used: that is counted anew when a snapshot is loaded.
fn compare_but_quotas(state: &State, model: &Model) {
    let mut model = model.clone();
    for (path, node) in model.nodes.iter_mut().filter(|(path, _)| path.ends_with(b"/zookeeper_stats")) {
        node.data = state.find(path).and_then(|znode| znode.data().map(<[u8]>::to_vec));
    }
    compare(state, &model);
}

#[test]
fn an_undecodable_request_is_refused_with_a_zxid_of_its_own() {
    let mut state = State::new(StateOptions::default());
    let identities = &script::callers()[0];
    let context = Context { zxid: Zxid(1), time_ms: 5, session: SessionId(9), cxid: 3, identities, is_local: false };
    let mut out = Outcome::default();
    state.refuse(&context, corral::jute::ErrorCode::MarshallingError, &mut out);
    assert_eq!(script::decode_reply(OpCode::Create, &out.reply, 3, 1), Answer::Error(-5));
    assert_eq!(out.txn.len(), 36, "header and code, no digest");
    assert_eq!(state.head(), Zxid(1));
    assert!(
        MultiOps::iter(&match Request::decode(OpCode::Multi, &[255, 255, 255, 255, 1, 255, 255, 255, 255]) {
            Ok(Request::Multi(ops)) => ops,
            other => panic!("{other:?}"),
        })
        .next()
        .is_none()
    );
}

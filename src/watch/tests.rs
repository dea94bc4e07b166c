//! Tests of the watches, the last of them against a model that says the rules as plainly as can be.

use super::*;
use crate::tree::path::hash;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const ACL: AclId = AclId(7);
const PARENT_ACL: AclId = AclId(8);

/// What was delivered: event, path, ACL, connections in order.
type Told = (EventType, String, AclId, Vec<u32>);

fn fire(watches: &mut Watches, kind: ChangeKind, path: &str) -> Vec<Told> {
    let path = path.as_bytes();
    let mut told = vec![];
    let change = Change { kind, path, hash: hash(path), acl: ACL, parent_acl: PARENT_ACL };
    watches.fire(&change, &mut |event, path, acl, slots| {
        let mut slots = slots.to_vec();
        slots.sort_unstable();
        told.push((event, String::from_utf8(path.to_vec()).unwrap(), acl, slots));
    });
    told
}

fn add(watches: &mut Watches, slot: u32, path: &[u8], mode: WatchMode) {
    assert!(watches.add(slot, path, mode), "there is no limit");
}

fn end(watches: &mut Watches, slot: u32) {
    if !watches.end_connection(slot) {
        let mut freed = vec![];
        watches.remove_ended(usize::MAX, &mut |slot| freed.push(slot));
        assert_eq!(freed, [slot]);
    }
}

fn told(event: EventType, path: &str, acl: AclId, slots: &[u32]) -> Told {
    (event, path.to_owned(), acl, slots.to_vec())
}

use ChangeKind::{Created, DataChanged, Deleted};
use EventType::{NodeChildrenChanged, NodeCreated, NodeDataChanged, NodeDeleted};
use WatchMode::{Child, Data, Persistent, PersistentRecursive};

/// A thousand watches on paths of a megabyte were all there were for everybody.
#[test]
fn one_address_leaves_half_to_the_others() {
    let cost = crate::limits::WATCH_BYTES + crate::limits::WATCHED_PATH_BYTES + 100;
    let limits = WatchLimits { bytes: 20 * cost, per_address: 10 * cost, ..WatchLimits::default() };
    let mut watches = Watches::new(limits);
    let path = |n: usize| format!("/{n:0>99}").into_bytes();
    let greedy: IpAddr = "::ffff:10.0.0.1".parse().unwrap();
    // One connection after another, all from there.
    (0..4).for_each(|slot| watches.join(slot, greedy));
    let mut set = 0;
    for n in 0..40 {
        set += usize::from(watches.add(n as u32 % 4, &path(n), Data));
    }
    assert_eq!(set, 10);
    watches.join(4, "10.0.0.1".parse().unwrap());
    assert!(!watches.add(4, &path(50), Data), "the same one");
    watches.join(5, "10.0.0.2".parse().unwrap());
    for n in 100..110 {
        assert!(watches.add(5, &path(n), Child), "as if nobody were there");
    }
    assert!(!watches.add(5, &path(110), Child));
    // A path counts once, for whoever was there first; a watch on it alone is cheap.
    watches.join(6, "10.0.0.3".parse().unwrap());
    assert!(!watches.add(6, &path(100), Data), "all together are at the limit");
    end(&mut watches, 0);
    assert!(watches.add(6, &path(100), Data));
    for slot in 1..7 {
        end(&mut watches, slot);
    }
    assert_eq!((watches.lists.bytes(), watches.lists.addresses()), (0, 0));
}

/// However its connections are spread over the shards.
#[test]
fn one_address_has_half_of_what_all_shards_have() {
    let cost = crate::limits::WATCH_BYTES + crate::limits::WATCHED_PATH_BYTES + 100;
    let share = 240 * cost;
    let path = |n: u32| format!("/{n:0>99}").into_bytes();
    for shards in [1, 3, 8] {
        let limits = WatchLimits::of_shard(share, shards, usize::MAX);
        let mut all: Vec<Watches> = (0..shards).map(|_| Watches::new(limits)).collect();
        let mut taken = 0;
        for watches in &mut all {
            (0..4).for_each(|slot| watches.join(slot, "10.0.0.1".parse().unwrap()));
            (0..300).for_each(|n| _ = watches.add(n % 4, &path(n), Data));
            taken += watches.lists.bytes();
        }
        assert!(taken <= share / 2 && taken + shards * cost > share / 2, "{shards}: {taken}");
        taken = 0;
        for watches in &mut all {
            watches.join(4, "10.0.0.2".parse().unwrap());
            (300..600).for_each(|n| _ = watches.add(4, &path(n), Child));
            taken += watches.lists.bytes();
        }
        assert!(taken <= share && taken + 2 * shards * cost > share, "{shards}: {taken}");
    }
}

#[test]
fn one_shot_fires_once() {
    let mut watches = Watches::default();
    add(&mut watches, 3, b"/a", Data);
    add(&mut watches, 3, b"/a", Data);
    add(&mut watches, 4, b"/a", Child);
    assert_eq!(watches.total(), 2);
    assert_eq!(fire(&mut watches, DataChanged, "/a"), [told(NodeDataChanged, "/a", ACL, &[3])]);
    assert_eq!(fire(&mut watches, DataChanged, "/a"), []);
    assert_eq!(fire(&mut watches, Created, "/a/b"), [told(NodeChildrenChanged, "/a", PARENT_ACL, &[4])]);
    assert!(watches.is_empty());
}

#[test]
fn a_delete_tells_child_watchers_once() {
    let mut watches = Watches::default();
    add(&mut watches, 1, b"/a", Data);
    add(&mut watches, 1, b"/a", Child);
    add(&mut watches, 2, b"/a", Child);
    add(&mut watches, 2, b"/", Child);
    add(&mut watches, 3, b"/", PersistentRecursive);
    add(&mut watches, 3, b"/a", Child);
    assert_eq!(
        fire(&mut watches, Deleted, "/a"),
        [
            told(NodeDeleted, "/a", ACL, &[1, 3]),
            told(NodeDeleted, "/a", ACL, &[2]),
            told(NodeChildrenChanged, "/", PARENT_ACL, &[2]),
        ]
    );
    // The watches of those who had been told are used up all the same.
    assert_eq!(fire(&mut watches, Deleted, "/a"), [told(NodeDeleted, "/a", ACL, &[3])]);
    assert_eq!(watches.total(), 1);
}

#[test]
fn recursive_hears_of_everything_below_but_of_no_children() {
    let mut watches = Watches::default();
    add(&mut watches, 1, b"/a", PersistentRecursive);
    add(&mut watches, 1, b"/", PersistentRecursive);
    add(&mut watches, 1, b"/a/b/c", Data);
    add(&mut watches, 1, b"/a/b/c", Persistent);
    for path in ["/a/b/c", "/a/b/c", "/a", "/x"] {
        assert_eq!(fire(&mut watches, DataChanged, path), [told(NodeDataChanged, path, ACL, &[1])]);
    }
    assert_eq!(fire(&mut watches, Created, "/a/b"), [told(NodeCreated, "/a/b", ACL, &[1])]);
    assert_eq!(
        fire(&mut watches, Created, "/a/b/c/d"),
        [told(NodeCreated, "/a/b/c/d", ACL, &[1]), told(NodeChildrenChanged, "/a/b/c", PARENT_ACL, &[1])]
    );
    // A prefix of the name is no ancestor.
    let mut watches = Watches::default();
    add(&mut watches, 1, b"/a", PersistentRecursive);
    assert_eq!(fire(&mut watches, DataChanged, "/ab"), []);
}

#[test]
fn modes_are_checked_and_removed_apart() {
    let mut watches = Watches::default();
    for mode in [Data, Child, Persistent, PersistentRecursive] {
        add(&mut watches, 1, b"/a", mode);
    }
    use WatcherType as Kind;
    for kind in [Kind::Data, Kind::Children, Kind::Persistent, Kind::PersistentRecursive] {
        assert!(watches.check(1, b"/a", kind) && !watches.check(2, b"/a", kind) && !watches.check(1, b"/b", kind));
        assert!(watches.remove(1, b"/a", kind) && !watches.remove(1, b"/a", kind) && !watches.check(1, b"/a", kind));
        assert!(!watches.remove(2, b"/a", kind) && !watches.remove(1, b"/b", kind));
    }
    assert!(watches.is_empty() && !watches.check(1, b"/a", Kind::Any));
    for mode in [Data, Child, Persistent, PersistentRecursive] {
        add(&mut watches, 1, b"/a", mode);
        add(&mut watches, 2, b"/a", mode);
        assert!(watches.check(1, b"/a", Kind::Any) && watches.remove(1, b"/a", Kind::Any));
        assert!(!watches.check(1, b"/a", Kind::Any) && watches.check(2, b"/a", Kind::Any));
        end(&mut watches, 2);
    }
    assert!(watches.is_empty());
}

#[test]
fn counts_are_of_the_data_table() {
    let mut watches = Watches::default();
    add(&mut watches, 1, b"/a", Data);
    add(&mut watches, 1, b"/a", Persistent);
    add(&mut watches, 1, b"/b", PersistentRecursive);
    add(&mut watches, 2, b"/b", Child);
    add(&mut watches, 5, b"/b", Data);
    let counts = watches.lists.counts();
    assert_eq!((counts.data_conns, counts.data_paths, counts.data), (2, 2, 3));
    assert_eq!(watches.total(), 5);
    let mut seen = vec![];
    watches.for_each_data_watch(&mut |slot, path| seen.push((slot, path.to_vec())));
    seen.sort();
    assert_eq!(seen, [(1, b"/a".to_vec()), (1, b"/b".to_vec()), (5, b"/b".to_vec())]);
}

/// The tables as sets of modes, the rules word for word.
#[derive(Default)]
struct Model {
    data: BTreeMap<(String, u32), BTreeSet<Mode>>,
    child: BTreeMap<(String, u32), BTreeSet<Mode>>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Mode {
    Standard,
    Persistent,
    Recursive,
}

type Entries = BTreeMap<(String, u32), BTreeSet<Mode>>;

/// Whom an event at `path` concerns in one table; what is standard there is used up.
fn trigger(table: &mut Entries, path: &str) -> BTreeSet<u32> {
    let mut concerned = BTreeSet::new();
    for ((watched, slot), modes) in table.iter_mut() {
        if watched == path {
            concerned.insert(*slot);
            modes.remove(&Mode::Standard);
        } else if modes.contains(&Mode::Recursive) && (watched == "/" || path.starts_with(&format!("{watched}/"))) {
            concerned.insert(*slot);
        }
    }
    table.retain(|_, modes| !modes.is_empty());
    concerned
}

impl Model {
    fn add(&mut self, slot: u32, path: &str, mode: WatchMode) {
        let key = || (path.to_owned(), slot);
        match mode {
            Data => _ = self.data.entry(key()).or_default().insert(Mode::Standard),
            Child => _ = self.child.entry(key()).or_default().insert(Mode::Standard),
            Persistent => {
                self.data.entry(key()).or_default().insert(Mode::Persistent);
                self.child.entry(key()).or_default().insert(Mode::Persistent);
            }
            PersistentRecursive => _ = self.data.entry(key()).or_default().insert(Mode::Recursive),
        }
    }

    fn check(&self, slot: u32, path: &str, kind: WatcherType) -> bool {
        let key = (path.to_owned(), slot);
        let data = self.data.get(&key).cloned().unwrap_or_default();
        let child = self.child.get(&key).cloned().unwrap_or_default();
        match kind {
            WatcherType::Children => child.contains(&Mode::Standard),
            WatcherType::Data => data.contains(&Mode::Standard),
            WatcherType::Any => !data.is_empty() || !child.is_empty(),
            WatcherType::Persistent => data.contains(&Mode::Persistent),
            WatcherType::PersistentRecursive => data.contains(&Mode::Recursive),
        }
    }

    fn remove(&mut self, slot: u32, path: &str, kind: WatcherType) -> bool {
        let found = self.check(slot, path, kind);
        let key = (path.to_owned(), slot);
        let mut drop = |in_data: bool, mode: Mode| {
            let table = if in_data { &mut self.data } else { &mut self.child };
            table.get_mut(&key).map(|modes| modes.remove(&mode));
            table.retain(|_, modes| !modes.is_empty());
        };
        match kind {
            WatcherType::Children => drop(false, Mode::Standard),
            WatcherType::Data => drop(true, Mode::Standard),
            WatcherType::Persistent => {
                drop(true, Mode::Persistent);
                drop(false, Mode::Persistent);
            }
            WatcherType::PersistentRecursive => drop(true, Mode::Recursive),
            WatcherType::Any => {
                self.data.remove(&key);
                self.child.remove(&key);
            }
        }
        found
    }

    fn fire(&mut self, kind: ChangeKind, path: &str) -> Vec<Told> {
        let mut all = vec![];
        let mut tell = |event, path: &str, acl, slots: BTreeSet<u32>| {
            if !slots.is_empty() {
                all.push((event, path.to_owned(), acl, slots.into_iter().collect()));
            }
        };
        let parent = match path.rfind('/') {
            Some(0) => "/",
            Some(slash) => &path[..slash],
            None => unreachable!("all paths of this test have a slash"),
        };
        match kind {
            Created => {
                tell(NodeCreated, path, ACL, trigger(&mut self.data, path));
                tell(NodeChildrenChanged, parent, PARENT_ACL, trigger(&mut self.child, parent));
            }
            Deleted => {
                let first = trigger(&mut self.data, path);
                let second = trigger(&mut self.child, path);
                tell(NodeDeleted, path, ACL, first.clone());
                tell(NodeDeleted, path, ACL, &second - &first);
                tell(NodeChildrenChanged, parent, PARENT_ACL, trigger(&mut self.child, parent));
            }
            DataChanged => tell(NodeDataChanged, path, ACL, trigger(&mut self.data, path)),
        }
        all
    }
}

#[derive(Clone, Debug)]
enum Step {
    Add(u32, &'static str, WatchMode),
    Check(u32, &'static str, WatcherType),
    Remove(u32, &'static str, WatcherType),
    End(u32),
    Fire(ChangeKind, &'static str),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let path = || prop::sample::select(vec!["/", "/a", "/ab", "/a/b", "/a/b/c", "/a/b/c/d", "/x"]);
    let below_root = || prop::sample::select(vec!["/a", "/ab", "/a/b", "/a/b/c", "/a/b/c/d", "/x"]);
    let slot = || 0..5u32;
    let mode = prop::sample::select(vec![Data, Child, Persistent, PersistentRecursive]);
    let kind = || (1..6i32).prop_map(|kind| WatcherType::from_wire(kind).unwrap());
    let change = prop::sample::select(vec![Created, Deleted, DataChanged]);
    let step = prop_oneof![
        8 => (slot(), path(), mode).prop_map(|(slot, path, mode)| Step::Add(slot, path, mode)),
        1 => (slot(), path(), kind()).prop_map(|(slot, path, kind)| Step::Check(slot, path, kind)),
        2 => (slot(), path(), kind()).prop_map(|(slot, path, kind)| Step::Remove(slot, path, kind)),
        1 => slot().prop_map(Step::End),
        6 => (change, below_root()).prop_map(|(kind, path)| Step::Fire(kind, path)),
        1 => Just(Step::Fire(DataChanged, "/")),
    ];
    prop::collection::vec(step, 0..150)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_the_rules_word_for_word(steps in steps()) {
        let mut watches = Watches::default();
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Add(slot, path, mode) => {
                    add(&mut watches, slot, path.as_bytes(), mode);
                    model.add(slot, path, mode);
                }
                Step::Check(slot, path, kind) => {
                    prop_assert_eq!(watches.check(slot, path.as_bytes(), kind), model.check(slot, path, kind));
                }
                Step::Remove(slot, path, kind) => {
                    prop_assert_eq!(watches.remove(slot, path.as_bytes(), kind), model.remove(slot, path, kind));
                }
                Step::End(slot) => {
                    end(&mut watches, slot);
                    model.data.retain(|key, _| key.1 != slot);
                    model.child.retain(|key, _| key.1 != slot);
                }
                Step::Fire(kind, path) => prop_assert_eq!(fire(&mut watches, kind, path), model.fire(kind, path)),
            }
            prop_assert_eq!(watches.total(), model.data.len() + model.child.len());
            prop_assert_eq!(watches.is_empty(), model.data.is_empty() && model.child.is_empty());
            let counts = watches.lists.counts();
            let connections = model.data.keys().map(|key| key.1).collect::<BTreeSet<_>>().len();
            let paths = model.data.keys().map(|key| &key.0).collect::<BTreeSet<_>>().len();
            prop_assert_eq!((counts.data_conns, counts.data_paths, counts.data), (connections, paths, model.data.len()));
            let mut seen = BTreeSet::new();
            watches.for_each_data_watch(&mut |slot, path| {
                assert!(seen.insert((String::from_utf8(path.to_vec()).unwrap(), slot)), "each pair once");
            });
            prop_assert!(seen.iter().eq(model.data.keys()));
        }
    }
}

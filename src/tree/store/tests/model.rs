//! The store against a naive model: whole trees, cloned per zxid, compared at every point a reader may stand at.
//!
//! Random creates, deletes, sets, undos, publishes, reclaims, readers and pins come from a seed; several hash functions
//! make paths collide. Walks are cut into slices between which the tree changes. References are kept across reclaims by
//! a reader that does not pass its quiescent point. In the end every allocation must have been freed.

use super::super::ledger;
use super::super::*;
use crate::acl::AclId;
use crate::ids::Zxid;
use crate::jute::StatPersisted;
use crate::tree::path::{self, PathHash};
use fastrand::Rng;
use std::collections::BTreeMap;
use std::rc::Rc;

#[derive(Clone, PartialEq, Eq, Debug)]
struct Node {
    data: Option<Vec<u8>>,
    acl: AclId,
    stat: StatPersisted,
    count: i32,
}

type Tree = BTreeMap<Vec<u8>, Node>;

fn of(znode: &Znode<'_>) -> Node {
    let (stat, kept) = (znode.stat(), znode.persisted());
    assert_eq!(stat.cversion, znode.stored_cversion() * 2 - znode.num_children());
    assert_eq!(stat.data_length as usize, znode.data().map_or(0, <[u8]>::len));
    assert_eq!((stat.czxid, stat.mzxid, stat.pzxid), (kept.czxid, znode.mzxid(), znode.pzxid()));
    Node { data: znode.data().map(<[u8]>::to_vec), acl: znode.acl(), stat: kept, count: stat.num_children }
}

fn children_of<'a>(tree: &'a Tree, parent: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    tree.keys()
        .filter(move |path| *path != b"/" && path::parent(path) == Some(parent))
        .map(|path| path::split(path).unwrap().1)
}

/// Compares all answers of a view with the right ones.
fn compare(view: View<'_>, tree: &Tree, paths: &[Vec<u8>], hash: fn(&[u8]) -> PathHash) {
    for path in paths {
        assert_eq!(view.get(path, hash(path)).as_ref().map(of).as_ref(), tree.get(path), "{}", path.escape_ascii());
        let mut names = Vec::new();
        let there = view.children(path, hash(path), &mut |name| names.push(name.to_vec()));
        assert_eq!(there, tree.contains_key(path));
        names.sort();
        let expected: Vec<_> = children_of(tree, path).map(<[u8]>::to_vec).collect();
        assert_eq!(names, expected, "children of {} at {:?}", path.escape_ascii(), view.zxid());
    }
    let mut seen = Vec::new();
    assert!(!view.scan(&mut Cursor::default(), usize::MAX, &mut |znode| seen.push(znode.path().to_vec())));
    seen.sort();
    assert!(seen.iter().eq(tree.keys()));
}

struct World {
    random: Rng,
    hash: fn(&[u8]) -> PathHash,
    paths: Vec<Vec<u8>>,
    writer: Writer,
    head: Tree,
    zxid: i64,
    /// The tree after each zxid, oldest first.
    states: Vec<(i64, Rc<Tree>)>,
    readers: Vec<(Reader, bool)>,
    pins: Vec<(Pin, Cursor, Vec<Vec<u8>>)>,
    /// Never passes a quiescent point while it keeps references.
    keeper: Reader,
    kept: Vec<(Znode<'static>, Node)>,
}

impl World {
    fn new(seed: u64, hash: fn(&[u8]) -> PathHash) -> World {
        let writer = Writer::with_hash(hash);
        let keeper = writer.store().reader().unwrap();
        let readers = (0..3).map(|_| (writer.store().reader().unwrap(), false)).collect();
        let mut paths = vec![b"/".to_vec()];
        for a in ["a", "b", "c"] {
            paths.push(format!("/{a}").into_bytes());
            for b in 0..6 {
                paths.push(format!("/{a}/{b}").into_bytes());
                if b < 2 {
                    paths.extend((0..12).map(|c| format!("/{a}/{b}/n{c}").into_bytes()));
                }
            }
        }
        World {
            random: Rng::with_seed(seed),
            hash,
            paths,
            writer,
            head: Tree::new(),
            zxid: i64::MIN,
            states: vec![(i64::MIN, Rc::default())],
            readers,
            pins: Vec::new(),
            keeper,
            kept: Vec::new(),
        }
    }

    fn state(&self, zxid: i64) -> Rc<Tree> {
        let i = self.states.partition_point(|(at, _)| *at <= zxid);
        Rc::clone(&self.states[i - 1].1)
    }

    fn transaction(&mut self) {
        self.zxid = self.zxid.max(-3) + 1 + self.random.i64(0..3);
        self.writer.begin(Zxid(self.zxid));
        for _ in 0..1 + self.random.usize(..7) {
            let i = self.random.usize(..self.paths.len());
            let path = self.paths[i].clone();
            self.change(&path);
            if self.random.u8(..100) < 20 {
                self.change(&path);
                self.change(&path);
            }
        }
        self.states.push((self.zxid, Rc::new(self.head.clone())));
    }

    fn change(&mut self, path: &[u8]) {
        let (hash, z) = ((self.hash)(path), self.zxid);
        let parent = path::parent(path).unwrap().to_vec();
        let data = match self.random.usize(..4) {
            0 => None,
            1 => Some(Vec::new()),
            n => Some(vec![self.random.u8(..); n * 9]),
        };
        let Some(node) = self.head.get(path).cloned() else {
            let root = path == b"/";
            if !root && !self.head.contains_key(&parent) {
                return;
            }
            let odd = self.random.u8(..100) < 20;
            let node = Node {
                data,
                acl: AclId(self.random.u32(..3)),
                stat: StatPersisted {
                    cversion: if odd { 4 } else { 0 },
                    pzxid: if odd { z - 1 } else { z },
                    ..StatPersisted::new(z, z * 10, self.random.i64(0..3) - 1)
                },
                count: 0,
            };
            let new = NewZnode { data: node.data.as_deref(), acl: node.acl, stat: node.stat };
            self.writer.create(path, hash, &new);
            self.head.insert(path.to_vec(), node);
            if !root {
                let above = self.head.get_mut(&parent).unwrap();
                above.count += 1;
                if self.random.u8(..100) < 80 {
                    (above.stat.cversion, above.stat.pzxid) = (above.stat.cversion + 1, z);
                    self.writer.set_child_stat(&parent, (self.hash)(&parent), above.stat.cversion, z);
                }
            }
            return;
        };
        match self.random.usize(..4) {
            0 | 1 if node.count == 0 && path != b"/" => {
                self.writer.delete(path, hash);
                self.head.remove(path);
                let above = self.head.get_mut(&parent).unwrap();
                above.count -= 1;
                above.stat.pzxid = z;
                self.writer.set_child_stat(&parent, (self.hash)(&parent), above.stat.cversion, z);
            }
            2 => {
                let acl = AclId(self.random.u32(..3));
                self.writer.set_acl(path, hash, acl, node.stat.aversion + 1);
                let node = self.head.get_mut(path).unwrap();
                (node.acl, node.stat.aversion) = (acl, node.stat.aversion + 1);
            }
            _ => {
                self.writer.set_data(path, hash, data.as_deref(), node.stat.version + 1, z, z + 7);
                let stat = StatPersisted { version: node.stat.version + 1, mzxid: z, mtime: z + 7, ..node.stat };
                *self.head.get_mut(path).unwrap() = Node { data, stat, ..node };
            }
        }
    }

    fn undo(&mut self) {
        let published = self.writer.published().0;
        let from = self.states.partition_point(|(at, _)| *at <= published) - 1;
        let keep = from + self.random.usize(..self.states.len() - from);
        let to = self.states[keep].0.max(published);
        self.states.truncate(keep + 1);
        let mut follower: BTreeMap<Vec<u8>, i64> =
            self.head.iter().map(|(path, node)| (path.clone(), node.stat.owner)).collect();
        self.writer.undo(Zxid(to), &mut |undone| match undone {
            Undone::Created { path, owner } => assert_eq!(follower.remove(path), Some(owner)),
            Undone::Deleted { path, owner } => assert_eq!(follower.insert(path.to_vec(), owner), None),
            Undone::Changed { undone, restored } => {
                assert_eq!(undone.path(), restored.path());
                let (undone, restored) = (undone.persisted(), restored.persisted());
                assert!(undone.version > restored.version || undone.aversion > restored.aversion);
            }
        });
        self.head = (*self.state(to)).clone();
        self.zxid = to;
        assert!(
            follower
                .iter()
                .map(|(path, owner)| (path, *owner))
                .eq(self.head.iter().map(|(path, node)| (path, node.stat.owner)))
        );
    }

    fn publish(&mut self) {
        let published = self.writer.published().0;
        let from = self.states.partition_point(|(at, _)| *at <= published) - 1;
        let i = from + self.random.usize(..self.states.len() - from);
        self.writer.publish(Zxid(self.states[i].0));
    }

    fn reader(&mut self) {
        let i = self.random.usize(..self.readers.len());
        let published = self.writer.published();
        let (reader, online) = &mut self.readers[i];
        match self.random.usize(..8) {
            0 => {
                let held = reader.point();
                assert_eq!(reader.resume(), held.unwrap_or(published));
                *online = true;
            }
            1 => {
                reader.park(self.random.u8(..100) < 50);
                *online = false;
            }
            2 | 3 => reader.quiesce(),
            4 | 5 => {
                if let Some(point) = reader.point() {
                    let to = if self.random.u8(..100) < 50 {
                        published.0
                    } else {
                        point.0.saturating_add(2).min(published.0)
                    };
                    reader.advance(Zxid(to));
                }
            }
            6 => {
                if let Some(point) = reader.point() {
                    let at = if self.random.u8(..100) < 50 { point } else { published };
                    match reader.pin(at) {
                        Ok(pin) => self.pins.push((pin, Cursor::default(), Vec::new())),
                        Err(full) => {
                            assert_eq!(full, StoreFull::Pins);
                            assert_eq!(self.pins.len(), MAX_PINS);
                        }
                    }
                }
            }
            _ => {
                if !self.pins.is_empty() {
                    let i = self.random.usize(..self.pins.len());
                    self.pins.swap_remove(i);
                }
            }
        }
    }

    /// Keeps some znodes over many steps, then looks at them again and only then passes a quiescent point.
    fn keep(&mut self) {
        if self.kept.len() < 8 {
            let at = self.keeper.resume();
            let i = self.random.usize(..self.paths.len());
            let path = &self.paths[i];
            let view = self.keeper.view(at);
            if let Some(znode) = view.get(path, (self.hash)(path)) {
                // SAFETY: the keeper passes no quiescent point until the reference is dropped.
                let znode = unsafe { std::mem::transmute::<Znode<'_>, Znode<'static>>(znode) };
                self.kept.push((znode, of(&znode)));
            }
        } else {
            for (znode, node) in self.kept.drain(..) {
                assert_eq!(of(&znode), node);
            }
            let at = self.writer.published();
            self.keeper.advance(at);
            self.keeper.quiesce();
        }
    }

    fn check(&mut self) {
        compare(self.writer.head(), &self.head, &self.paths, self.hash);
        assert_eq!(self.writer.znodes() as usize, self.head.len());
        let bytes: usize =
            self.head.iter().map(|(path, node)| path.len() + node.data.as_ref().map_or(0, Vec::len)).sum();
        assert_eq!(self.writer.data_bytes() as usize, bytes);
        let published = self.writer.published().0;
        for (reader, online) in &self.readers {
            if !*online {
                continue;
            }
            let point = reader.point().unwrap().0;
            for at in [point, published] {
                compare(reader.view(Zxid(at)), &self.state(at), &self.paths, self.hash);
            }
            for (pin, cursor, seen) in &mut self.pins {
                let view = reader.view_pinned(pin);
                let i = self.states.partition_point(|(at, _)| *at <= pin.zxid().0);
                let tree = Rc::clone(&self.states[i - 1].1);
                compare(view, &tree, &self.paths, self.hash);
                // One slice of a walk that continues as long as the pin lives.
                if !view.scan(cursor, 3, &mut |znode| seen.push(znode.path().to_vec())) {
                    seen.sort();
                    assert!(seen.iter().eq(tree.keys()));
                    seen.clear();
                    *cursor = Cursor::default();
                }
            }
        }
    }

    fn finish(mut self) {
        drop(self.kept);
        drop(self.keeper);
        drop(self.readers);
        let (head, last) = (self.writer.head(), self.states.last().unwrap());
        compare(head, &last.1, &self.paths, self.hash);
        if self.random.u8(..100) >= 50 {
            drop(self.pins);
            return;
        }
        // Deleting everything must leave nothing but the root and its table.
        drop(self.pins);
        self.zxid = self.zxid.max(-3) + 1;
        self.writer.begin(Zxid(self.zxid));
        for path in self.head.keys().rev().filter(|path| *path != b"/") {
            self.writer.delete(path, (self.hash)(path));
        }
        self.writer.publish(Zxid(self.zxid));
        for _ in 0..1000 {
            self.writer.reclaim();
        }
        assert_eq!(self.writer.pending(), (0, 0));
        assert_eq!(self.writer.shared.table.shape(), (1, 1));
        // Main segment; root block, children object, its segment, its numbers.
        assert!(ledger::live() <= 5, "{} pieces for an empty tree", ledger::live());
    }
}

fn run(seed: u64, steps: usize, hash: fn(&[u8]) -> PathHash) {
    assert_eq!(ledger::live(), 0);
    let mut world = World::new(seed, hash);
    for step in 0..steps {
        match world.random.usize(..20) {
            0..=6 => world.transaction(),
            7 | 8 => world.undo(),
            9..=11 => world.publish(),
            12..=14 => {
                world.writer.reclaim();
            }
            15..=17 => world.reader(),
            _ => world.keep(),
        }
        if step % 3 == 0 {
            world.check();
        }
    }
    world.finish();
    assert_eq!(ledger::live(), 0, "leaked or freed twice, seed {seed}");
}

const STEPS: usize = if cfg!(miri) { 60 } else { 700 };
const SEEDS: u64 = if cfg!(miri) { 2 } else { 10 };

#[test]
fn agrees_with_the_model() {
    (0..SEEDS).for_each(|seed| run(seed, STEPS, path::hash));
}

#[test]
fn agrees_with_the_model_when_all_hashes_are_equal() {
    (0..SEEDS / 2).for_each(|seed| run(1000 + seed, STEPS / 2, |_| PathHash(0)));
}

#[test]
fn agrees_with_the_model_when_few_hashes_exist() {
    let few = |path: &[u8]| PathHash((path.iter().map(|b| u64::from(*b)).sum::<u64>() % 5) << 61);
    (0..SEEDS).for_each(|seed| run(2000 + seed, STEPS, few));
}

#[test]
fn agrees_with_the_model_when_leading_bits_are_equal() {
    (0..SEEDS).for_each(|seed| run(3000 + seed, STEPS, |path| PathHash(path::hash(path).0 >> 56)));
}

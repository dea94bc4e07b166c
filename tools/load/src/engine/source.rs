//! Makes the requests of a workload: which operation, on which key, with which value.
//!
//! A worker has one source. The names of new znodes are made of the run's tag, the worker, the operation and a counter,
//! so that none is made twice and all can be deleted again without remembering them.

use crate::codec::{self, flags, op};
use crate::connection::Outbox;
use crate::workload::distribution::{Pool, WeightedChooser};
use crate::workload::{Action, Create, Keys, Operation, Workload};
use fastrand::Rng;
use std::collections::VecDeque;
use std::fmt::Write;

/// Sequential znodes one worker remembers in order to delete them; of what comes beyond, none is deleted before the end.
const STANDING: usize = 10_000_000;

/// What a request was for: needed when its answer comes.
#[derive(Clone, Copy, Debug)]
pub struct Purpose {
    /// Number of the kind whose latencies it counts to.
    pub kind: u16,
    what: What,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Single,
    /// Its error is in its results.
    Multi,
    /// The server chooses the name: the maker and the parent.
    Sequential(u16, u32),
}

/// The names of the kinds of requests a workload makes, in the order of their numbers.
pub fn kinds(workload: &Workload) -> Vec<String> {
    steps(&workload.operations).0.into_iter().flat_map(|step| step.kinds()).collect()
}

/// One worker's.
pub struct Source<'a> {
    steps: Vec<Step<'a>>,
    chooser: WeightedChooser,
    hand: Hand<'a>,
}

/// An operation and where its state is.
struct Step<'a> {
    operation: &'a Operation,
    /// Number of its kind; the next one is that of its deletes.
    kind: u16,
    /// Number of its maker, if it creates.
    maker: usize,
    parts: Vec<Step<'a>>,
}

impl Step<'_> {
    fn kinds(&self) -> Vec<String> {
        let name = self.operation.name.clone();
        match &self.operation.action {
            Action::Create(create) if create.delete_probability > 0.0 => {
                let delete = if name == "create" { "delete".into() } else { format!("{name} delete") };
                vec![name, delete]
            }
            _ => vec![name],
        }
    }
}

/// The steps of these operations, and how many makers they need.
fn steps(operations: &[Operation]) -> (Vec<Step<'_>>, usize) {
    fn of<'a>(operations: &'a [Operation], kind: &mut u16, maker: &mut usize) -> Vec<Step<'a>> {
        let mut steps = vec![];
        for operation in operations {
            let mut step = Step { operation, kind: *kind, maker: *maker, parts: vec![] };
            match &operation.action {
                Action::Create(_) => *maker += 1,
                Action::Multi { parts, .. } => step.parts = of(parts, &mut 0, maker),
                _ => {}
            }
            *kind += step.kinds().len() as u16;
            steps.push(step);
        }
        steps
    }
    let mut makers = 0;
    (of(operations, &mut 0, &mut makers), makers)
}

/// What creates have made so far.
#[derive(Default)]
struct Maker {
    made: u64,
    removed: u64,
    /// Parent and number of the sequential ones that stand.
    standing: VecDeque<(u32, i32)>,
}

/// What all operations draw from.
struct Hand<'a> {
    random: Rng,
    pool: &'a Pool,
    tag: &'a str,
    worker: usize,
    makers: Vec<Maker>,
    /// Creates that may be under way: the youngest of these are not deleted yet.
    under_way: u64,
    path: String,
}

impl<'a> Source<'a> {
    /// The source of the `worker`th worker, who has at most `under_way` requests unanswered.
    pub fn new(workload: &'a Workload, pool: &'a Pool, tag: &'a str, worker: usize, under_way: usize) -> Source<'a> {
        let (steps, makers) = steps(&workload.operations);
        let weights: Vec<f64> = workload.operations.iter().map(|operation| operation.weight).collect();
        let hand = Hand {
            random: Rng::with_seed(worker as u64),
            pool,
            tag,
            worker,
            makers: (0..makers).map(|_| Maker::default()).collect(),
            under_way: under_way as u64,
            path: String::new(),
        };
        Source { steps, chooser: WeightedChooser::new(&weights), hand }
    }

    /// Appends the next request; returns its transaction id and what is to be remembered of it.
    pub fn push(&mut self, out: &mut Outbox) -> (i32, Purpose) {
        let Source { steps, chooser, hand } = self;
        let step = &steps[if steps.len() == 1 { 0 } else { chooser.pick(&mut hand.random) }];
        let single = Purpose { kind: step.kind, what: What::Single };
        match &step.operation.action {
            Action::Get(keys) => (out.push(|out, xid| codec::get(out, xid, hand.pick(keys), false)), single),
            Action::Exists(keys) => (out.push(|out, xid| codec::exists(out, xid, hand.pick(keys), false)), single),
            Action::Children(keys) => (out.push(|out, xid| codec::children(out, xid, hand.pick(keys), false)), single),
            Action::Sync(keys) => (out.push(|out, xid| codec::sync(out, xid, hand.pick(keys))), single),
            Action::Check(_) => unreachable!("a check is a part of a multi"),
            Action::Set(keys, length) => {
                let path = hand.pick(keys);
                let length = length.draw(&mut hand.random);
                let value = hand.pool.value(length, &mut hand.random);
                (out.push(|out, xid| codec::set(out, xid, path, value)), single)
            }
            Action::Create(create) => {
                if let Some(path) = hand.old_path(create, step.maker) {
                    let xid = out.push(|out, xid| codec::delete(out, xid, path));
                    return (xid, Purpose { kind: step.kind + 1, what: What::Single });
                }
                let parent = hand.next_path(create, step.maker);
                let length = create.value.draw(&mut hand.random);
                let value = hand.pool.value(length, &mut hand.random);
                let path = &hand.path;
                let xid = out.push(|out, xid| codec::create(out, xid, path, value, create.flags));
                let is_sequential = create.flags & flags::SEQUENTIAL != 0 && create.delete_probability > 0.0;
                let what = if is_sequential { What::Sequential(step.maker as u16, parent) } else { What::Single };
                (xid, Purpose { kind: step.kind, what })
            }
            Action::Multi { size, chooser, .. } => {
                let reads =
                    step.parts.iter().any(|p| matches!(p.operation.action, Action::Get(_) | Action::Children(_)));
                let code = if reads { op::MULTI_READ } else { op::MULTI };
                let size = size.as_ref().map(|size| size.draw(&mut hand.random));
                let xid = out.push(|out, xid| {
                    codec::multi(out, xid, code, |out| match size {
                        None => step.parts.iter().for_each(|part| hand.part(part, out)),
                        Some(size) => {
                            for _ in 0..size {
                                let part = chooser.pick(&mut hand.random);
                                hand.part(&step.parts[part], out);
                            }
                        }
                    });
                });
                (xid, Purpose { kind: step.kind, what: if reads { What::Single } else { What::Multi } })
            }
        }
    }

    /// Takes notice of an answer; returns its error, which may be hidden in the results of a multi.
    pub fn answered(&mut self, purpose: Purpose, error: i32, body: &[u8]) -> i32 {
        match purpose.what {
            What::Multi if error == 0 => return codec::multi_error(body),
            What::Sequential(maker, parent) if error == 0 => {
                let name = codec::field_at(body, 0).and_then(|(path, _)| std::str::from_utf8(path).ok());
                let number = name.and_then(|name| name.rsplit('-').next()?.parse().ok());
                let standing = &mut self.hand.makers[usize::from(maker)].standing;
                if let Some(number) = number.filter(|_| standing.len() < STANDING) {
                    standing.push_back((parent, number));
                }
            }
            _ => {}
        }
        error
    }

    /// What has to be deleted at the end.
    pub fn left(&self) -> Vec<Left> {
        let mut left = vec![];
        for step in self.steps.iter().flat_map(|step| std::iter::once(step).chain(&step.parts)) {
            if let Action::Create(create) = &step.operation.action {
                let Maker { made, removed, .. } = self.hand.makers[step.maker];
                left.push(Left { create: create.clone(), worker: self.hand.worker, maker: step.maker, made, removed });
            }
        }
        left
    }
}

impl<'a> Hand<'a> {
    fn pick<'k>(&mut self, keys: &'k Keys) -> &'k str {
        keys.paths.get(keys.picker.pick(&mut self.random))
    }

    /// A part of a multi.
    fn part(&mut self, step: &Step<'_>, out: &mut Vec<u8>) {
        match &step.operation.action {
            Action::Get(keys) => {
                let path = self.pick(keys);
                codec::part(out, op::GET_DATA, |out| codec::path_and_watch(out, path, false));
            }
            Action::Children(keys) => {
                let path = self.pick(keys);
                codec::part(out, op::GET_CHILDREN, |out| codec::path_and_watch(out, path, false));
            }
            Action::Check(keys) => {
                let path = self.pick(keys);
                codec::part(out, op::CHECK, |out| codec::delete_record(out, path));
            }
            Action::Set(keys, length) => {
                let path = self.pick(keys);
                let length = length.draw(&mut self.random);
                let value = self.pool.value(length, &mut self.random);
                codec::part(out, op::SET_DATA, |out| codec::set_record(out, path, value));
            }
            Action::Create(create) => {
                if let Some(path) = self.old_path(create, step.maker) {
                    codec::part(out, op::DELETE, |out| codec::delete_record(out, path));
                    return;
                }
                self.next_path(create, step.maker);
                let length = create.value.draw(&mut self.random);
                let value = self.pool.value(length, &mut self.random);
                codec::part(out, op::CREATE, |out| codec::create_record(out, &self.path, value, create.flags));
            }
            Action::Exists(_) | Action::Sync(_) | Action::Multi { .. } => unreachable!("no part of a multi"),
        }
    }

    /// Puts the path of the next new znode into `path`; returns the number of its parent.
    fn next_path(&mut self, create: &Create, maker: usize) -> u32 {
        let number = self.makers[maker].made;
        self.makers[maker].made += 1;
        write_path(&mut self.path, create, self.tag, self.worker, maker, number);
        (number % create.parents.len() as u64) as u32
    }

    /// The path of a znode that was made, if one is to be deleted now.
    fn old_path(&mut self, create: &Create, maker: usize) -> Option<&str> {
        if create.delete_probability == 0.0 || self.random.f64() >= create.delete_probability {
            return None;
        }
        let Maker { made, removed, standing } = &mut self.makers[maker];
        if create.flags & flags::SEQUENTIAL != 0 {
            let (parent, number) = standing.pop_front()?;
            write_path(&mut self.path, create, self.tag, self.worker, maker, u64::from(parent));
            let _ = write!(self.path, "{number:010}");
        } else {
            if *made - *removed <= self.under_way {
                return None;
            }
            write_path(&mut self.path, create, self.tag, self.worker, maker, *removed);
        }
        *removed += 1;
        Some(&self.path)
    }
}

/// The path of the `number`th znode of a maker; without the number where the server appends its own.
fn write_path(path: &mut String, create: &Create, tag: &str, worker: usize, maker: usize, number: u64) {
    let parent = create.parents.get((number % create.parents.len() as u64) as usize);
    path.clear();
    let _ = write!(path, "{parent}/{tag}-{worker}-{maker}-");
    if create.flags & flags::SEQUENTIAL == 0 {
        let width = create.name_length.saturating_sub(path.len() - parent.len() - 1);
        let _ = write!(path, "{number:0width$}");
    }
}

/// Znodes a worker has made and not deleted.
pub struct Left {
    pub create: Create,
    worker: usize,
    maker: usize,
    made: u64,
    removed: u64,
}

impl Left {
    /// Whether the names must be asked for.
    pub fn is_sequential(&self) -> bool {
        self.create.flags & flags::SEQUENTIAL != 0
    }

    /// How many, when they need not be asked for.
    pub fn count(&self) -> usize {
        (self.made - self.removed) as usize
    }

    /// The path of one of them.
    pub fn path(&self, tag: &str, number: usize) -> String {
        let mut path = String::new();
        write_path(&mut path, &self.create, tag, self.worker, self.maker, self.removed + number as u64);
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Overrides;
    use std::collections::BTreeSet;

    /// Runs a source against a server that has everything, which answers at once; returns what it was asked.
    fn requests(name: &str, count: usize, under_way: usize) -> (Vec<(i32, String)>, Vec<Left>) {
        let workload = Workload::load(name, &Overrides::default()).unwrap();
        let pool = Pool::new(workload.max_value_bytes());
        let mut source = Source::new(&workload, &pool, "7f", 3, under_way);
        let mut made = vec![];
        let mut sequence = 0;
        for _ in 0..count {
            let mut out = Outbox::new();
            let (_, purpose) = source.push(&mut out);
            assert!(usize::from(purpose.kind) < kinds(&workload).len());
            let (frame, _) = codec::cut(out.bytes(), codec::LONGEST_REQUEST).unwrap().unwrap();
            let code = codec::int_at(frame, 4).unwrap();
            let path = codec::field_at(frame, 8).map(|(path, _)| String::from_utf8_lossy(path).into_owned());
            let mut body = vec![];
            if let What::Sequential(..) = purpose.what {
                codec::buffer(&mut body, format!("{}{sequence:010}", path.as_ref().unwrap()).as_bytes());
                sequence += 1;
            }
            assert_eq!(source.answered(purpose, 0, &body), 0);
            made.push((code, path.unwrap_or_default()));
        }
        (made, source.left())
    }

    #[test]
    fn every_workload_makes_requests() {
        for (name, _) in crate::workload::BUILT_IN {
            assert_eq!(requests(name, 500, 4).0.len(), 500, "{name}");
        }
    }

    #[test]
    fn what_is_deleted_was_made_and_what_is_left_is_known() {
        let (requests, left) = requests("create-delete", 4000, 4);
        let mut standing = BTreeSet::new();
        for (code, path) in requests {
            match code {
                op::CREATE => assert!(standing.insert(path.clone()), "{path} is made twice"),
                op::DELETE => assert!(standing.remove(&path), "{path} is not there"),
                code => panic!("{code}"),
            }
        }
        let [left] = &left[..] else { panic!("one maker") };
        let rest: BTreeSet<String> = (0..left.count()).map(|number| left.path("7f", number)).collect();
        assert_eq!(rest, standing);
        assert!(rest.len() < 400, "about as many are deleted as made: {}", rest.len());
    }

    #[test]
    fn sequential_ones_are_deleted_by_the_names_the_server_gave() {
        let (requests, left) = requests("sequential", 1000, 4);
        let deleted: Vec<&String> =
            requests.iter().filter(|(code, _)| *code == op::DELETE).map(|(_, path)| path).collect();
        assert!(deleted.len() > 300);
        assert_eq!(deleted[0], "/corral-load/p00/7f-3-0-0000000000");
        assert!(left[0].is_sequential());
    }

    #[test]
    fn names_are_as_long_as_asked_for() {
        let mut workload = Workload::load("create", &Overrides::default()).unwrap();
        let Action::Create(create) = &mut workload.operations[0].action else { panic!("a create") };
        create.name_length = 20;
        let left = Left { create: create.clone(), worker: 1, maker: 0, made: 2, removed: 0 };
        assert_eq!(left.path("ab", 1), "/corral-load/p01/ab-1-0-0000000000001");
        assert_eq!(left.path("ab", 1).rsplit('/').next().unwrap().len(), 20);
    }
}

//! Random histories with reads in very small slices; each reply is compared with the state at the zxid that it carries.
//!
//! A reply must be the state at exactly its zxid, whatever was written while it was made; a session never sees an older
//! zxid; a watch reports the first change after the zxid of the reply that set it, before any reply of the change's
//! zxid or a later one.

use super::slices::{Names, names};
use super::*;
use crate::server::quorum::Input;
use fastrand::Rng;
use std::collections::{BTreeMap, VecDeque};

const PARENTS: [&str; 3] = ["/p0", "/p1", "/p2"];
/// More children than the store lists at once, whatever the limit.
const CHILDREN: u64 = 700;
const STEPS: usize = 250;

/// A reader's request.
#[derive(Debug)]
enum Query {
    List { parent: usize, watch: bool },
    Count { parent: usize },
    Lists,
}

/// The history as one reader sees it.
struct Observer {
    conn: ConnId,
    asked: VecDeque<(i32, Query)>,
    xid: i32,
    zxid: i64,
    /// Parents whose children the reader watches, and since which zxid.
    armed: BTreeMap<usize, i64>,
}

/// The children of each parent, after every write.
type History = BTreeMap<i64, [Names; 3]>;

fn at(history: &History, zxid: i64) -> &[Names; 3] {
    history.range(..=zxid).next_back().expect("nothing is older than the first").1
}

/// The first change of a parent's children after a zxid.
fn change_after(history: &History, parent: usize, zxid: i64) -> Option<i64> {
    let then = &at(history, zxid)[parent];
    history.range(zxid + 1..).find(|(_, state)| state[parent] != *then).map(|(zxid, _)| *zxid)
}

impl Observer {
    fn ask(&mut self, server: &mut Server, dice: &mut Rng) {
        let parent = dice.usize(..3);
        let path = PARENTS[parent].as_bytes();
        self.xid += 1;
        let (op, body, asked) = match dice.u64(..4) {
            0 | 1 => {
                let watch = dice.u64(..2) == 0;
                (OpCode::GetChildren, path_and(path, watch), Query::List { parent, watch })
            }
            2 => {
                let mut body = vec![];
                put_bytes(&mut body, path);
                (OpCode::GetAllChildrenNumber, body, Query::Count { parent })
            }
            _ => {
                let ops = PARENTS.map(|parent| (OpCode::GetChildren, path_and(parent.as_bytes(), false)));
                (OpCode::MultiRead, multi(&ops), Query::Lists)
            }
        };
        self.asked.push_back((self.xid, asked));
        server.request(self.conn, self.xid, op, &body);
    }

    fn check(&mut self, server: &mut Server, history: &History) {
        for (xid, zxid, error, body) in server.frames(self.conn) {
            assert!(zxid >= self.zxid, "a session never goes back");
            self.zxid = zxid;
            if xid == -1 {
                let mut event = Reader::new(&body);
                assert_eq!((event.int(), event.int()), (Ok(4), Ok(3)));
                let path = event.string().unwrap();
                let parent = PARENTS.iter().position(|parent| parent.as_bytes() == path).unwrap();
                let since = self.armed.remove(&parent).expect("it watches that");
                assert_eq!(Some(zxid), change_after(history, parent, since), "neither lost nor late nor early");
                continue;
            }
            for (parent, since) in &self.armed {
                let change = change_after(history, *parent, *since);
                assert!(change.is_none_or(|change| change > zxid), "the event comes before what shows the change");
            }
            let (expected, asked) = self.asked.pop_front().expect("it has asked");
            assert_eq!((xid, error), (expected, 0));
            let state = at(history, zxid);
            let mut reply = Reader::new(&body);
            match asked {
                Query::List { parent, watch } => {
                    assert_eq!(names(&mut reply), state[parent], "the state at {zxid}");
                    if watch {
                        self.armed.entry(parent).or_insert(zxid);
                    }
                }
                Query::Count { parent } => assert_eq!(reply.int(), Ok(state[parent].len() as i32)),
                Query::Lists => {
                    for children in state {
                        (0..9).for_each(|_| _ = reply.bool().unwrap());
                        assert_eq!(names(&mut reply), *children);
                    }
                }
            }
        }
    }
}

fn story(seed: u64, slice: usize) -> usize {
    let mut dice = Rng::with_seed(seed);
    let mut server = Server::with(SimOptions { slice, ..SimOptions::default() });
    let (writer, _) = server.connect(SessionId::NONE, 2000);
    let mut state: [Names; 3] = Default::default();
    for (parent, children) in PARENTS.iter().zip(&mut state) {
        server.request(writer, 1, OpCode::Create, &create(parent.as_bytes(), b"", 0));
        for n in 0..CHILDREN {
            let name = format!("n{n}");
            server.request(writer, 1, OpCode::Create, &create(format!("{parent}/{name}").as_bytes(), b"", 0));
            children.insert(name.into_bytes());
        }
        server.settle();
    }
    server.frames(writer);
    let mut observers: Vec<Observer> = (0..6)
        .map(|_| Observer {
            conn: server.connect(SessionId::NONE, 2000).0,
            asked: VecDeque::new(),
            xid: 0,
            zxid: 0,
            armed: BTreeMap::new(),
        })
        .collect();
    let mut history = History::from([(server.zxid(), state.clone())]);
    for _ in 0..STEPS {
        let which = dice.usize(..6);
        server.at(0);
        match dice.u64(..5) {
            0 | 1 => observers[which].ask(&mut server, &mut dice),
            2 => server.turn(),
            _ => {
                // One write that succeeds: a child is created or deleted. Its zxid says which write it was.
                let parent = dice.usize(..3);
                let name = format!("n{}", dice.u64(..2 * CHILDREN));
                let path = format!("{}/{name}", PARENTS[parent]);
                if state[parent].remove(name.as_bytes()) {
                    server.request(writer, 2, OpCode::Delete, &delete(path.as_bytes()));
                } else {
                    state[parent].insert(name.into_bytes());
                    server.request(writer, 2, OpCode::Create, &create(path.as_bytes(), b"", 0));
                }
                if server.prepare() {
                    server.quorum.step(Input::Written);
                }
                history.insert(server.zxid(), state.clone());
                server.shard.take_in();
                assert_eq!(server.frames(writer).iter().map(|frame| frame.2).collect::<Vec<_>>(), [0]);
            }
        }
        observers.iter_mut().for_each(|observer| observer.check(&mut server, &history));
    }
    for _ in 0..10_000 {
        if observers.iter().all(|observer| observer.asked.is_empty()) {
            break;
        }
        server.turn();
        observers.iter_mut().for_each(|observer| observer.check(&mut server, &history));
    }
    server.settle();
    assert_eq!(server.free_pins(), crate::tree::store::MAX_PINS);
    observers.iter().map(|observer| observer.xid as usize - observer.asked.len()).sum()
}

#[test]
fn every_reply_is_the_state_at_its_zxid_and_every_watch_begins_there() {
    for seed in 1..=5 {
        // As a whole, in parts, and in very small slices.
        for slice in [100_000, 400, 1] {
            let answers = story(seed, slice);
            assert!(answers > STEPS / 4, "seed {seed}, slice {slice}: {answers} answers");
        }
    }
}

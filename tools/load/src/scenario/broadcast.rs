//! Membership and configuration: one client changes something, all others must know, and only then comes the next change.

use super::client_pool::{Actor, ClientPool, Signal, Story};
use super::{Played, Setting};
use crate::codec::{self, flags};
use crate::failure::{Failure, Result};
use crate::latency::Latencies;
use std::cell::{Cell, RefCell};
use std::time::Duration;

/// The change that is under way.
struct Board {
    observers: usize,
    /// Its number, counted from 1.
    change: Cell<u64>,
    since_ns: Cell<u64>,
    known: Cell<usize>,
    each: RefCell<Latencies>,
    last: RefCell<Latencies>,
    /// All observers have looked for the first time; all know of the change; nothing more comes.
    all_watch: Signal,
    all_know: Signal,
    over: Signal,
}

impl Board {
    fn new(observers: usize) -> Board {
        Board {
            observers,
            change: Cell::new(0),
            since_ns: Cell::new(0),
            known: Cell::new(0),
            each: RefCell::new(Latencies::at_once()),
            last: RefCell::new(Latencies::at_once()),
            all_watch: Signal::default(),
            all_know: Signal::default(),
            over: Signal::default(),
        }
    }

    /// A change begins.
    fn begin(&self, actor: &Actor) {
        self.known.set(0);
        self.change.set(self.change.get() + 1);
        self.since_ns.set(actor.now_ns());
    }

    /// An observer has learnt of the change with this number at `now_ns`; 0: it has looked for the first time.
    fn know(&self, actor: &Actor, change: u64, now_ns: u64) {
        if change != self.change.get() {
            return;
        }
        self.known.set(self.known.get() + 1);
        let is_last = self.known.get() == self.observers;
        if change == 0 {
            if is_last {
                self.all_watch.give(actor);
            }
            return;
        }
        let since_ns = self.since_ns.get();
        self.each.borrow_mut().record(since_ns, since_ns, now_ns);
        if is_last {
            self.last.borrow_mut().record(since_ns, since_ns, now_ns);
            self.all_know.give(actor);
        }
    }

    fn played(self, description: String, operation: &'static str) -> Played {
        let operations = self.change.get();
        let latency = vec![("each", self.each.into_inner()), ("last", self.last.into_inner())];
        Played { description, operation, operations, latency, values: vec![], took: Duration::ZERO }
    }
}

/// One member joins and leaves `rounds` times; everybody else watches the list of members.
pub fn membership(pool: &mut ClientPool, directory: &str, setting: &Setting) -> Result<Played> {
    let board = Board::new(setting.sessions - 1);
    let actors = pool.actors();
    let stories = actors.iter().map(|actor| {
        let story: Story<'_> = if actor.number() == 0 {
            Box::pin(come_and_go(actor, directory, setting, &board))
        } else {
            Box::pin(observe(actor, directory, &board))
        };
        story
    });
    pool.run(stories.collect())?;
    let description = format!(
        "a group that is joined and left {} times, with {} observers; latency: from the change to an observer's new list",
        setting.rounds,
        setting.sessions - 1
    );
    Ok(board.played(description, "change"))
}

async fn come_and_go(actor: &Actor, directory: &str, setting: &Setting, board: &Board) -> Result<()> {
    actor.signalled(&board.all_watch, 0).await;
    let path = format!("{directory}/member");
    for _ in 0..setting.rounds {
        board.begin(actor);
        actor.create(&path, b"", flags::EPHEMERAL).await?;
        actor.signalled(&board.all_know, board.change.get() - 1).await;
        board.begin(actor);
        actor.delete(&path).await?;
        actor.signalled(&board.all_know, board.change.get() - 1).await;
    }
    board.over.give(actor);
    Ok(())
}

async fn observe(actor: &Actor, directory: &str, board: &Board) -> Result<()> {
    let mut known = None;
    loop {
        let (names, at_ns) = actor.children(directory, true).await?;
        // Odd changes are arrivals. A list may be read again without a change.
        let change = board.change.get();
        if known != Some(change) && (names.len() as u64) == change % 2 {
            known = Some(change);
            board.know(actor, change, at_ns);
        }
        if actor.event_unless(&board.over, 0).await.is_none() {
            return Ok(());
        }
    }
}

/// A configuration is changed `rounds` times; everybody else watches it and reads it again.
pub fn config(pool: &mut ClientPool, directory: &str, setting: &Setting) -> Result<Played> {
    let board = Board::new(setting.sessions - 1);
    let path = format!("{directory}/config");
    let planted = Signal::default();
    let actors = pool.actors();
    let stories = actors.iter().map(|actor| {
        let (path, board, planted) = (&path, &board, &planted);
        let story: Story<'_> = if actor.number() == 0 {
            Box::pin(push(actor, path, setting, board, planted))
        } else {
            Box::pin(async move {
                actor.signalled(planted, 0).await;
                subscribe(actor, path, board).await
            })
        };
        story
    });
    pool.run(stories.collect())?;
    let description = format!(
        "a configuration of {} bytes that is changed {} times, with {} subscribers; latency: from the write to a \
         subscriber's new value",
        setting.value_bytes.max(8),
        setting.rounds,
        setting.sessions - 1
    );
    Ok(board.played(description, "change"))
}

async fn push(actor: &Actor, path: &str, setting: &Setting, board: &Board, planted: &Signal) -> Result<()> {
    let value = |change: u64| {
        let mut value = change.to_be_bytes().to_vec();
        value.resize(setting.value_bytes.max(8), b'c');
        value
    };
    actor.create(path, &value(0), flags::PERSISTENT).await?;
    planted.give(actor);
    actor.signalled(&board.all_watch, 0).await;
    for _ in 0..setting.rounds {
        board.begin(actor);
        let change = board.change.get();
        actor.must(path, |out, xid| codec::set(out, xid, path, &value(change))).await?;
        actor.signalled(&board.all_know, change - 1).await;
    }
    board.over.give(actor);
    Ok(())
}

async fn subscribe(actor: &Actor, path: &str, board: &Board) -> Result<()> {
    loop {
        let (data, at_ns) = actor.watched(path).await?.ok_or_else(|| Failure::new(format!("{path} is gone")))?;
        let change = codec::long_at(&data, 0).ok_or_else(|| Failure::new(format!("{path} holds something else")))?;
        board.know(actor, change as u64, at_ns);
        if actor.event_unless(&board.over, 0).await.is_none() {
            return Ok(());
        }
    }
}

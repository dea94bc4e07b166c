//! Lock and latch: candidates in a row, each of whom waits for the one before.

use super::client_pool::{Actor, CANDIDATE, ClientPool, Story, sequence};
use super::{Played, Setting};
use crate::failure::{Failure, Result};
use crate::latency::Latencies;
use std::cell::{Cell, RefCell};
use std::time::Duration;

/// Whose turn it is, as all of this process know: they must never disagree with the server.
struct Board {
    holder: Cell<Option<usize>>,
    /// When the last holder let go.
    released_ns: Cell<u64>,
    hand_offs: RefCell<Latencies>,
    waits: RefCell<Latencies>,
    turns: Cell<usize>,
}

impl Board {
    fn new() -> Board {
        Board {
            holder: Cell::new(None),
            released_ns: Cell::new(0),
            hand_offs: RefCell::new(Latencies::at_once()),
            waits: RefCell::new(Latencies::at_once()),
            turns: Cell::new(0),
        }
    }

    /// It is `number`'s turn, who has asked for it at `asked_ns`.
    fn take(&self, number: usize, asked_ns: u64, now_ns: u64) -> Result<()> {
        if let Some(holder) = self.holder.replace(Some(number)) {
            return Err(Failure::new(format!("{holder} and {number} have it at the same time")));
        }
        // Only who was waiting already shows how long the hand-off has taken.
        if (1..now_ns).contains(&self.released_ns.get()) && asked_ns < self.released_ns.get() {
            let released_ns = self.released_ns.get();
            self.hand_offs.borrow_mut().record(released_ns, released_ns, now_ns);
        }
        self.waits.borrow_mut().record(asked_ns, asked_ns, now_ns);
        self.turns.set(self.turns.get() + 1);
        Ok(())
    }

    fn release(&self, now_ns: u64) {
        self.holder.set(None);
        self.released_ns.set(now_ns);
    }

    fn played(self, description: String, operation: &'static str) -> Played {
        let latency = vec![("hand-off", self.hand_offs.into_inner()), ("wait", self.waits.into_inner())];
        let operations = self.turns.get() as u64;
        Played { description, operation, operations, latency, values: vec![], took: Duration::ZERO }
    }
}

/// Stands in the row and waits until nobody is before; returns the path.
async fn stand(actor: &Actor, directory: &str) -> Result<String> {
    let path = actor.create(&format!("{directory}/c-"), b"", CANDIDATE).await?;
    let mine = sequence(&path);
    loop {
        let (names, _) = actor.children(directory, false).await?;
        let before = names.iter().filter(|name| sequence(name) < mine).max_by_key(|name| sequence(name));
        let Some(before) = before else { return Ok(path) };
        // A znode that has gone meanwhile leaves no watch.
        if actor.watched(&format!("{directory}/{before}")).await?.is_some() {
            actor.event().await;
        }
    }
}

/// Every session takes the lock `rounds` times.
pub fn lock(pool: &mut ClientPool, directory: &str, setting: &Setting) -> Result<Played> {
    let board = Board::new();
    let actors = pool.actors();
    let stories = actors.iter().map(|actor| {
        let board = &board;
        let story: Story<'_> = Box::pin(async move {
            for _ in 0..setting.rounds {
                let asked_ns = actor.now_ns();
                let path = stand(actor, directory).await?;
                board.take(actor.number(), asked_ns, actor.now_ns())?;
                // What is done with the lock: one read. Without it a breach could not be seen.
                actor.children(directory, false).await?;
                board.release(actor.now_ns());
                actor.delete(&path).await?;
            }
            Ok(())
        });
        story
    });
    pool.run(stories.collect())?;
    let description = format!(
        "a lock that {} sessions take {} times each; hand-off: from the delete of its holder's znode to the next holder",
        setting.sessions, setting.rounds
    );
    Ok(board.played(description, "acquisition"))
}

/// The leader's session ends `rounds` times; it comes back as the last of the row.
pub fn latch(pool: &mut ClientPool, directory: &str, setting: &Setting) -> Result<Played> {
    let board = Board::new();
    let actors = pool.actors();
    let stories = actors.iter().map(|actor| {
        let board = &board;
        let story: Story<'_> = Box::pin(async move {
            loop {
                let asked_ns = actor.now_ns();
                let path = stand(actor, directory).await?;
                if board.turns.get() >= setting.rounds {
                    // The election is over: whoever comes next learns it the same way.
                    actor.delete(&path).await?;
                    return Ok(());
                }
                board.take(actor.number(), asked_ns, actor.now_ns())?;
                actor.children(directory, false).await?;
                board.release(actor.now_ns());
                actor.close().await?;
                actor.open().await?;
            }
        });
        story
    });
    pool.run(stories.collect())?;
    let description = format!(
        "a leadership with {} candidates, whose holder's session ends {} times; hand-off: from there to the next leader",
        setting.sessions, setting.rounds
    );
    Ok(board.played(description, "leader"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_holders_are_seen() {
        let board = Board::new();
        board.take(1, 0, 10).unwrap();
        board.release(20);
        board.take(2, 5, 30).unwrap();
        assert!(board.take(3, 5, 40).is_err());
        let hand_offs = board.hand_offs.borrow();
        assert_eq!((hand_offs.count(), hand_offs.corrected().max_us), (1, 0.01));
    }

    #[test]
    fn who_comes_later_shows_no_hand_off() {
        let board = Board::new();
        board.take(1, 0, 10).unwrap();
        board.release(20);
        board.take(2, 1000, 1100).unwrap();
        assert_eq!((board.hand_offs.borrow().count(), board.waits.borrow().count()), (0, 2));
    }
}

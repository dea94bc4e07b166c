//! Queue: half of the sessions put items in, the other half take them out, the oldest first. Every item comes out once.

use super::client_pool::{Actor, ClientPool, Signal, Story, sequence};
use super::{Played, Setting};
use crate::codec::flags;
use crate::failure::{Failure, Result};
use crate::latency::Latencies;
use std::cell::{Cell, RefCell};
use std::time::Duration;

/// The smallest item: its number.
const NUMBER: usize = 8;

/// What is known of the items, by their numbers.
struct Items {
    /// When each was put in; 0 before.
    put_ns: RefCell<Vec<u64>>,
    taken: RefCell<Vec<bool>>,
    left: Cell<usize>,
    /// Somebody else was quicker.
    races: Cell<u64>,
    latencies: RefCell<Latencies>,
    all_taken: Signal,
}

/// Every producer puts in `rounds` items.
pub fn play(pool: &mut ClientPool, directory: &str, setting: &Setting) -> Result<Played> {
    let producers = setting.sessions / 2;
    let count = producers * setting.rounds;
    let items = Items {
        put_ns: RefCell::new(vec![0; count]),
        taken: RefCell::new(vec![false; count]),
        left: Cell::new(count),
        races: Cell::new(0),
        latencies: RefCell::new(Latencies::at_once()),
        all_taken: Signal::default(),
    };
    let actors = pool.actors();
    let stories = actors.iter().map(|actor| {
        let items = &items;
        let story: Story<'_> = if actor.number() < producers {
            Box::pin(produce(actor, directory, setting, items))
        } else {
            Box::pin(consume(actor, directory, items))
        };
        story
    });
    pool.run(stories.collect())?;
    Ok(Played {
        description: format!(
            "a queue with {producers} producers of {} items each and {} consumers; latency: from an item's creation to \
             its consumption",
            setting.rounds,
            setting.sessions - producers
        ),
        operation: "item",
        operations: count as u64,
        latency: vec![("item", items.latencies.into_inner())],
        values: vec![("lost races", items.races.get() as f64)],
        took: Duration::ZERO,
    })
}

async fn produce(actor: &Actor, directory: &str, setting: &Setting, items: &Items) -> Result<()> {
    for round in 0..setting.rounds {
        let number = actor.number() * setting.rounds + round;
        let mut data = (number as u64).to_be_bytes().to_vec();
        data.resize(setting.value_bytes.max(NUMBER), b'i');
        items.put_ns.borrow_mut()[number] = actor.now_ns();
        actor.create(&format!("{directory}/q-"), &data, flags::SEQUENTIAL).await?;
    }
    Ok(())
}

async fn consume(actor: &Actor, directory: &str, items: &Items) -> Result<()> {
    while items.left.get() > 0 {
        let (mut names, _) = actor.children(directory, true).await?;
        names.sort_unstable_by_key(|name| sequence(name));
        for name in &names {
            let path = format!("{directory}/{name}");
            let reply = actor.call(|out, xid| crate::codec::get(out, xid, &path, false)).await?;
            if reply.error != 0 || !actor.delete(&path).await? {
                items.races.set(items.races.get() + 1);
                continue;
            }
            items.take(actor, &reply.body)?;
        }
        // The watch of the list has fired, or will, unless there is nothing more to come.
        if actor.event_unless(&items.all_taken, 0).await.is_none() {
            break;
        }
    }
    Ok(())
}

impl Items {
    fn take(&self, actor: &Actor, body: &[u8]) -> Result<()> {
        let number = crate::codec::field_at(body, 0).and_then(|(data, _)| crate::codec::long_at(data, 0));
        let number = number.and_then(|number| usize::try_from(number).ok()).filter(|n| *n < self.taken.borrow().len());
        let number = number.ok_or_else(|| Failure::new("an item that nobody has put in"))?;
        if std::mem::replace(&mut self.taken.borrow_mut()[number], true) {
            return Err(Failure::new(format!("item {number} is taken twice")));
        }
        let put_ns = self.put_ns.borrow()[number];
        self.latencies.borrow_mut().record(put_ns, put_ns, actor.now_ns());
        self.left.set(self.left.get() - 1);
        if self.left.get() == 0 {
            self.all_taken.give(actor);
        }
        Ok(())
    }
}

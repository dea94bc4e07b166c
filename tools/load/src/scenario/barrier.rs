//! Double barrier: nobody goes on before all have entered, and nobody before all have left.

use super::client_pool::{Actor, ClientPool, Story};
use super::{Played, Setting};
use crate::codec::flags;
use crate::failure::{Failure, Result};
use crate::latency::Latencies;
use crate::znodes;
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::time::Duration;

/// The znode that says all are here.
const READY: &str = "ready";

/// How many are where, as all of this process know.
struct Count {
    arrived: Cell<usize>,
    left: Cell<usize>,
    /// When the last one has arrived.
    complete_ns: Cell<u64>,
}

/// All sessions meet `rounds` times, at a barrier of its own each time.
pub fn play(pool: &mut ClientPool, target: SocketAddr, directory: &str, setting: &Setting) -> Result<Played> {
    let paths: Vec<String> = (0..setting.rounds).map(|round| format!("{directory}/b{round:05}")).collect();
    znodes::plant_empty(target, &paths.iter().map(String::as_str).collect::<Vec<&str>>())?;
    let counts: Vec<Count> =
        paths.iter().map(|_| Count { arrived: Cell::new(0), left: Cell::new(0), complete_ns: Cell::new(0) }).collect();
    let (enter, leave) = (RefCell::new(Latencies::at_once()), RefCell::new(Latencies::at_once()));
    let release = RefCell::new(Latencies::at_once());
    let actors = pool.actors();
    let stories = actors.iter().map(|actor| {
        let (paths, counts, enter, leave, release) = (&paths, &counts, &enter, &leave, &release);
        let story: Story<'_> = Box::pin(async move {
            for (path, count) in paths.iter().zip(counts) {
                let start_ns = actor.now_ns();
                count.arrived.set(count.arrived.get() + 1);
                if count.arrived.get() == setting.sessions {
                    count.complete_ns.set(start_ns);
                }
                go_in(actor, path, setting.sessions).await?;
                let now_ns = actor.now_ns();
                if count.arrived.get() != setting.sessions {
                    return Err(Failure::new(format!("{} of them have entered {path}", count.arrived.get())));
                }
                enter.borrow_mut().record(start_ns, start_ns, now_ns);
                release.borrow_mut().record(count.complete_ns.get(), count.complete_ns.get(), now_ns);
                count.left.set(count.left.get() + 1);
                go_out(actor, path).await?;
                if count.left.get() != setting.sessions {
                    return Err(Failure::new(format!("{} of them have left {path}", count.left.get())));
                }
                leave.borrow_mut().record(now_ns, now_ns, actor.now_ns());
            }
            Ok(())
        });
        story
    });
    pool.run(stories.collect())?;
    Ok(Played {
        description: format!(
            "a double barrier of {} sessions, {} times; release: from the last one's arrival to each one's entry",
            setting.sessions, setting.rounds
        ),
        operation: "barrier",
        operations: setting.rounds as u64,
        latency: vec![("enter", enter.into_inner()), ("release", release.into_inner()), ("leave", leave.into_inner())],
        values: vec![],
        took: Duration::ZERO,
    })
}

fn own(actor: &Actor) -> String {
    format!("m{:06}", actor.number())
}

async fn go_in(actor: &Actor, path: &str, sessions: usize) -> Result<()> {
    // The watch first: who has seen too few must hear of those who come.
    let ready = format!("{path}/{READY}");
    let is_ready = actor.call(|out, xid| crate::codec::exists(out, xid, &ready, true)).await?.error == 0;
    actor.create(&format!("{path}/{}", own(actor)), b"", flags::EPHEMERAL).await?;
    let (names, _) = actor.children(path, false).await?;
    if names.iter().filter(|name| *name != READY).count() == sessions {
        // Several may find themselves to be the last.
        let reply = actor.call(|out, xid| crate::codec::create(out, xid, &ready, b"", flags::PERSISTENT)).await?;
        if reply.error != 0 && reply.error != crate::codec::NODE_EXISTS {
            return Err(Failure::new(format!("creating {ready}: error {}", reply.error)));
        }
    }
    // One-shot: it fires for whoever creates the znode, also for oneself.
    if !is_ready {
        actor.event().await;
    }
    Ok(())
}

async fn go_out(actor: &Actor, path: &str) -> Result<()> {
    let mine = own(actor);
    let mut is_inside = true;
    loop {
        let (mut names, _) = actor.children(path, false).await?;
        names.retain(|name| name != READY);
        names.sort_unstable();
        let (Some(lowest), Some(highest)) = (names.first(), names.last()) else { return Ok(()) };
        let other = if *lowest != mine {
            if is_inside {
                actor.delete(&format!("{path}/{mine}")).await?;
                is_inside = false;
            }
            lowest
        } else if *highest != mine {
            highest
        } else {
            actor.delete(&format!("{path}/{mine}")).await?;
            return Ok(());
        };
        if actor.watched(&format!("{path}/{other}")).await?.is_some() {
            actor.event().await;
        }
    }
}

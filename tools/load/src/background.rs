//! Those who are there and ask for nothing while others are measured: sessions that only ping, and watches that never
//! fire. A server that does its work for each request alone is as fast with them as without.

use crate::codec::{self, NO_NODE, Reply};
use crate::failure::{Failure, Result, While};
use crate::fleet::Fleet;
use crate::workload::ROOT;
use crate::{process, znodes};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// They outlive whatever stands still meanwhile.
const TIMEOUT_MS: i32 = 30_000;
/// Over so many sessions watches are spread when there are not more anyway.
const WATCHING_SESSIONS: usize = 100;
/// Requests a session has under way while watches are left.
const PIPELINE: usize = 100;
/// How long it may take to leave all watches.
const ARMING_LIMIT: Duration = Duration::from_secs(120);
/// How soon the background notices that it is no longer wanted.
const GLANCE_NS: u64 = 20_000_000;

/// Who is to be there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Background {
    /// Sessions that ping.
    pub sessions: usize,
    /// Watches that do not fire, each on a path of its own where no znode is; at least so many.
    pub watches: usize,
}

impl Background {
    /// Opens the sessions, leaves the watches, and keeps both alive until they are sent away. None when nobody is to
    /// be there.
    pub fn invite(self, target: SocketAddr) -> Result<Option<Present>> {
        let sessions = self.sessions.max(if self.watches > 0 { WATCHING_SESSIONS } else { 0 });
        if sessions == 0 {
            return Ok(None);
        }
        process::raise_open_files()?;
        znodes::plant_empty(target, &[ROOT])?;
        let is_over = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&is_over);
        let (arrived, arrival) = mpsc::channel();
        // The fleet lives in its thread from the start: what it waits with cannot go from one to another.
        let thread = thread::Builder::new().name("background".into()).spawn(move || {
            let mut fleet = Fleet::open(target, sessions, TIMEOUT_MS)?;
            leave_watches(&mut fleet, sessions, self.watches.div_ceil(sessions))?;
            fleet.spread_pings();
            // Nobody listens any more when the other side has given up.
            let _ = arrived.send(());
            keep(fleet, &told)
        });
        let present = Present { is_over, thread: thread.during(|| "starting a thread".into())? };
        match arrival.recv() {
            Ok(()) => Ok(Some(present)),
            // It has ended before it was complete, and says why.
            Err(_) => present.send_away().map(|()| None),
        }
    }
}

/// Background that is there.
pub struct Present {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<Result<()>>,
}

impl Present {
    /// Closes the sessions. Fails when one of them was lost meanwhile, or a watch has fired: then something else was
    /// measured than was meant.
    pub fn send_away(self) -> Result<()> {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|_| Err(Failure::new("the thread of the background has panicked")))
    }
}

fn leave_watches(fleet: &mut Fleet, sessions: usize, each: usize) -> Result<()> {
    let mut number = 0;
    let mut left = each;
    while left > 0 {
        let count = left.min(PIPELINE);
        fleet.send_each(count, |out, xid| {
            codec::exists(out, xid, &format!("{ROOT}/nobody{number:07}"), true);
            number += 1;
        })?;
        let arm = |armed: &mut usize, session, reply: Reply<'_>| {
            if reply.error != NO_NODE {
                return Err(Failure::new(format!("session {session} could not leave its watch: {reply:?}")));
            }
            *armed += 1;
            Ok(())
        };
        let mut armed = 0;
        if !fleet.turn_until(ARMING_LIMIT, &mut armed, arm, |armed| *armed == sessions * count)? {
            return Err(Failure::new(format!("{armed} of {} watches could be left", sessions * count)));
        }
        left -= count;
    }
    Ok(())
}

fn keep(mut fleet: Fleet, is_over: &AtomicBool) -> Result<()> {
    while !is_over.load(Ordering::Relaxed) {
        let until_ns = fleet.clock.ns() + GLANCE_NS;
        fleet.turn(until_ns, &mut |session, reply| {
            Err(Failure::new(format!("session {session} was to hear of nothing: {reply:?}")))
        })?;
    }
    fleet.close()
}

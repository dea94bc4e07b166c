//! Handshakes of connections that were accepted: a thread of their own does them, so that no loop with clients or servers
//! ever computes with a private key.
//!
//! A loop accepts, and gives the socket away; the connection comes back when both sides have agreed, or never. How many
//! may be half open, and for how long, is bounded: when there are too many the oldest gives way, so that a burst of strangers who
//! say nothing keeps nobody out. Against a lasting flood that is not enough: the oldest are those that are nearly done.

use super::transport::Transport;
use super::wake::Wake;
use crate::fatal::{Fatal, Reason};
use crate::limits;
use rustix::event::{Timespec, epoll};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// How often the thread looks for those whose time is over.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 250_000_000 };
const BELL: u64 = u64::MAX;

/// Takes a connection whose handshake is over. It is dropped where the handshake fails, and what it holds with it.
pub(crate) type Deliver = Box<dyn FnOnce(Transport) + Send>;

/// A connection whose handshake is to be done.
struct Begun {
    transport: Transport,
    peer: SocketAddr,
    deliver: Deliver,
}

/// The thread, from the side of those who accept.
#[derive(Clone)]
pub(crate) struct Handshakes {
    begun: Sender<Begun>,
    wake: Arc<Wake>,
}

impl Handshakes {
    /// Starts the thread; `name` is its name and stands in the log.
    pub(crate) fn start(name: &'static str, patience: Duration) -> Result<Handshakes, Fatal> {
        let (begun, queue) = channel();
        let wake = Arc::new(Wake::new()?);
        let system = |error: rustix::io::Errno| Fatal::new(Reason::System, format!("epoll: {error}"));
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(system)?;
        epoll::add(&epoll, wake.as_fd(), epoll::EventData::new_u64(BELL), epoll::EventFlags::IN).map_err(system)?;
        let work = Work { name, patience, epoll, queue, wake: wake.clone(), next: 0, half_open: BTreeMap::new() };
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || work.run())
            .map_err(|error| Fatal::new(Reason::System, format!("starting a thread: {error}")))?;
        Ok(Handshakes { begun, wake })
    }

    /// Has the handshake of this connection done; `deliver` gets what comes of it, on the thread.
    pub(crate) fn begin(&self, transport: Transport, peer: SocketAddr, deliver: Deliver) {
        // The thread ends when all of these are gone, and no earlier.
        let _ = self.begun.send(Begun { transport, peer, deliver });
        self.wake.ring();
    }
}

struct HalfOpen {
    begun: Begun,
    since: Instant,
    armed: epoll::EventFlags,
}

struct Work {
    name: &'static str,
    patience: Duration,
    epoll: OwnedFd,
    queue: Receiver<Begun>,
    wake: Arc<Wake>,
    next: u64,
    /// By the order in which they came.
    half_open: BTreeMap<u64, HalfOpen>,
}

impl Work {
    fn run(mut self) {
        super::placement::step_back();
        let mut events = Vec::with_capacity(limits::HANDSHAKES);
        loop {
            match self.take_in() {
                Ok(()) => {}
                Err(()) if self.half_open.is_empty() => return,
                Err(()) => {}
            }
            events.clear();
            let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
            let wait = if self.wake.about_to_wait() { &LOOK } else { &at_once };
            let _ = epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(wait));
            self.wake.awake();
            for event in &events {
                match event.data.u64() {
                    BELL => self.wake.hush(),
                    number => self.go_on(number, event.flags),
                }
            }
            self.part_with_the_late();
        }
    }

    /// Takes in what has come; an error if nothing can come any more.
    fn take_in(&mut self) -> Result<(), ()> {
        loop {
            let begun = match self.queue.try_recv() {
                Ok(begun) => begun,
                Err(std::sync::mpsc::TryRecvError::Empty) => return Ok(()),
                Err(std::sync::mpsc::TryRecvError::Disconnected) => return Err(()),
            };
            if self.half_open.len() >= limits::HANDSHAKES
                && let Some((_, oldest)) = self.half_open.pop_first()
            {
                tracing::debug!(peer = %oldest.begun.peer, at = self.name, "too many handshakes: the oldest gives way");
            }
            let armed = wanted(&begun.transport);
            let token = epoll::EventData::new_u64(self.next);
            if epoll::add(&self.epoll, begun.transport.as_fd(), token, armed).is_ok() {
                self.half_open.insert(self.next, HalfOpen { begun, since: Instant::now(), armed });
                self.next += 1;
            }
        }
    }

    fn go_on(&mut self, number: u64, flags: epoll::EventFlags) {
        let Some(half_open) = self.half_open.get_mut(&number) else { return };
        let transport = &mut half_open.begun.transport;
        let pushed = if flags.intersects(epoll::EventFlags::OUT) { transport.push() } else { Ok(()) };
        // Nothing is read behind the handshake: that is for the loop that gets the connection.
        let outcome = pushed.and_then(|()| if transport.is_handshaking() { transport.take_in() } else { Ok(()) });
        match outcome {
            Ok(()) if transport.is_handshaking() || transport.is_full() => {
                let wanted = wanted(transport);
                let token = epoll::EventData::new_u64(number);
                if wanted != half_open.armed && epoll::modify(&self.epoll, transport.as_fd(), token, wanted).is_ok() {
                    half_open.armed = wanted;
                }
            }
            Ok(()) => {
                if let Some(HalfOpen { begun: Begun { transport, deliver, .. }, .. }) = self.half_open.remove(&number)
                    && epoll::delete(&self.epoll, transport.as_fd()).is_ok()
                {
                    deliver(transport);
                }
            }
            Err(error) => {
                let peer = half_open.begun.peer;
                tracing::info!(%peer, at = self.name, %error, "a TLS handshake failed: the connection is closed");
                self.half_open.remove(&number);
            }
        }
    }

    fn part_with_the_late(&mut self) {
        while let Some(oldest) = self.half_open.first_entry()
            && oldest.get().since.elapsed() > self.patience
        {
            let HalfOpen { begun, .. } = oldest.remove();
            tracing::info!(peer = %begun.peer, at = self.name, "a TLS handshake took too long: the connection is closed");
        }
    }
}

fn wanted(transport: &Transport) -> epoll::EventFlags {
    let mut wanted = epoll::EventFlags::IN;
    wanted.set(epoll::EventFlags::OUT, transport.is_full());
    wanted
}

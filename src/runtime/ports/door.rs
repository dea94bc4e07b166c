//! A port for clients, at which every shard accepts: one listener that all of them watch, and how they learn of another one.

use super::open::{Open, Port};
use crate::runtime::security::Security;
use crate::runtime::wake::Wake;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

/// One port of a server for clients, which may move.
pub(crate) struct Door {
    /// What the log calls it.
    pub port: Port,
    /// What carries the bytes of those who come in here.
    pub security: Security,
    listener: Mutex<Arc<TcpListener>>,
    /// How often it has moved.
    moves: AtomicU64,
    /// The bells of the loops that accept here.
    bells: Mutex<Vec<Arc<Wake>>>,
}

impl Door {
    /// The port that is open at the start.
    pub(crate) fn new(open: &Open) -> Door {
        let Open { wanted, listener } = open;
        Door {
            port: wanted.port,
            security: wanted.security.clone(),
            listener: Mutex::new(listener.clone()),
            moves: AtomicU64::new(0),
            bells: Mutex::default(),
        }
    }

    /// The listener for a loop; `bell` wakes the loop when the listener changes.
    pub(crate) fn attend(&self, bell: Arc<Wake>) -> Arc<TcpListener> {
        self.bells.lock().expect("no holder panics").push(bell);
        self.listener.lock().expect("no holder panics").clone()
    }

    /// The listener, if it has moved more often than a loop knows of.
    #[inline]
    pub(crate) fn moved(&self, known: &mut u64) -> Option<Arc<TcpListener>> {
        let moves = self.moves.load(SeqCst);
        if moves == *known {
            return None;
        }
        *known = moves;
        Some(self.listener.lock().expect("no holder panics").clone())
    }

    /// Clients are accepted here from now on. The old port closes when the last loop has looked.
    pub(crate) fn move_to(&self, listener: Arc<TcpListener>) {
        *self.listener.lock().expect("no holder panics") = listener;
        self.moves.fetch_add(1, SeqCst);
        self.bells.lock().expect("no holder panics").iter().for_each(|bell| bell.ring());
    }
}

#[cfg(test)]
mod tests {
    use super::super::open::Wanted;
    use super::*;

    #[test]
    fn every_loop_learns_of_a_move_once_and_is_woken_for_it() {
        let open = || Open::take(Wanted::local(Port::Client, 0), "a test").unwrap();
        let (old, new) = (open(), open().listener);
        let door = Door::new(&old);
        let old = old.listener;
        let bells = [(); 2].map(|()| Arc::new(Wake::new().unwrap()));
        for bell in &bells {
            assert!(Arc::ptr_eq(&door.attend(bell.clone()), &old));
            bell.awake();
        }
        let mut known = [0; 2];
        assert!(door.moved(&mut known[0]).is_none());
        door.move_to(new.clone());
        for (known, bell) in known.iter_mut().zip(&bells) {
            assert!(!bell.about_to_wait(), "rung");
            assert!(door.moved(known).is_some_and(|listener| Arc::ptr_eq(&listener, &new)));
            assert!(door.moved(known).is_none());
        }
        assert_eq!(Arc::strong_count(&old), 1, "nobody holds the old port but this test");
    }
}

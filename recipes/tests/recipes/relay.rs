//! A relay between clients and a server, which breaks their connections at a moment of the test's choice.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// Passes bytes on, as long as it is told to.
pub struct Relay {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Both ends of every connection.
    open: Mutex<Vec<TcpStream>>,
    /// New connections are closed at once.
    refuses: AtomicBool,
    /// Answers are not passed on; the next one ends its connection.
    loses_answer: AtomicBool,
    lost: AtomicUsize,
    is_over: AtomicBool,
}

impl Relay {
    pub fn start(server: SocketAddr) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let relay = shared.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if relay.is_over.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(server) = TcpStream::connect(server) else { continue };
                if relay.refuses.load(Ordering::SeqCst) {
                    continue;
                }
                relay.open.lock().unwrap().extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
                let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                thread::spawn(move || pass(from, to, || true));
                let relay = relay.clone();
                thread::spawn(move || {
                    pass(server, client, || {
                        let is_lost = relay.loses_answer.swap(false, Ordering::SeqCst);
                        relay.lost.fetch_add(usize::from(is_lost), Ordering::SeqCst);
                        !is_lost
                    })
                });
            }
        });
        Relay { address, shared }
    }

    /// Ends every connection.
    pub fn cut(&self) {
        for stream in self.shared.open.lock().unwrap().drain(..) {
            // It may have ended by itself.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Ends every connection and lets no other one come, or lets them come again.
    pub fn refuse(&self, refuses: bool) {
        self.shared.refuses.store(refuses, Ordering::SeqCst);
        if refuses {
            self.cut();
        }
    }

    /// The server's next answer does not arrive: the connection ends instead.
    pub fn lose_next_answer(&self) {
        self.shared.loses_answer.store(true, Ordering::SeqCst);
    }

    /// Answers that were lost so far.
    pub fn lost_answers(&self) -> usize {
        self.shared.lost.load(Ordering::SeqCst)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        self.cut();
        // So that the listener notices.
        let _ = TcpStream::connect(self.address);
    }
}

/// Passes bytes on until one end closes, or they are not to be.
fn pass(mut from: TcpStream, mut to: TcpStream, mut may: impl FnMut() -> bool) {
    let mut bytes = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        if !may() || to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    // Either end may be closed already.
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

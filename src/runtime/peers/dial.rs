//! Connections that this server opens to others: each is made on a thread of its own, because names have to be looked up,
//! and that blocks.
//!
//! Names are looked up anew at every attempt: a server that was moved is found where it is now. The loop does not wait for
//! the thread; the result comes through a channel, and the loop is woken.

use crate::runtime::security::Security;
use crate::runtime::transport::Transport;
use crate::runtime::wake::Wake;
use crate::zab::links::Address;
use crate::zab::voters::ServerId;
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    Election(ServerId),
    /// To the leader, by the number of the attempt.
    Leader(u64),
}

/// What has come of an attempt.
pub(crate) struct Dialled {
    pub purpose: Purpose,
    pub outcome: io::Result<Transport>,
}

/// How connections are made, and where they go when they are.
#[derive(Clone)]
pub(crate) struct Dialler {
    pub security: Security,
    /// The time that all addresses of one server have together.
    pub timeout: Duration,
    pub done: Sender<Dialled>,
    pub wake: Arc<Wake>,
}

/// Connects to the first of `addresses` that answers in time. Every call ends in one [`Dialled`].
pub(crate) fn dial(purpose: Purpose, addresses: Vec<Address>, dialler: &Dialler) {
    let Dialler { security, timeout, done, wake } = dialler.clone();
    let done_too = done.clone();
    let body = move || {
        let outcome = connect(&addresses, timeout, &security);
        // When the server stops, the receiver is gone.
        let _ = done.send(Dialled { purpose, outcome });
        wake.ring();
    };
    if let Err(error) = std::thread::Builder::new().name("dial".to_owned()).spawn(body) {
        let _ = done_too.send(Dialled { purpose, outcome: Err(error) });
    }
}

fn connect(addresses: &[Address], timeout: Duration, security: &Security) -> io::Result<Transport> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no address is known");
    let mut found: Vec<(SocketAddr, &str)> = vec![];
    for (host, port) in addresses {
        match (host.as_str(), *port).to_socket_addrs() {
            Ok(resolved) => found.extend(resolved.map(|address| (address, host.as_str()))),
            Err(error) => last = error,
        }
    }
    found.dedup_by_key(|(address, _)| *address);
    for (address, host) in &found {
        // An address that does not answer leaves time for the others.
        match TcpStream::connect_timeout(address, timeout / found.len() as u32) {
            Ok(stream) => return security.connected(stream, host),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::sync::mpsc::channel;

    const TIMEOUT: Duration = Duration::from_secs(10);

    fn outcome(addresses: Vec<Address>) -> io::Result<Transport> {
        let (done, dialled) = channel();
        let wake = Arc::new(Wake::new().unwrap());
        let dialler = Dialler { security: Security::Plain, timeout: TIMEOUT, done, wake };
        dial(Purpose::Leader(7), addresses, &dialler);
        let Dialled { purpose, outcome } = dialled.recv_timeout(TIMEOUT).unwrap();
        assert_eq!(purpose, Purpose::Leader(7));
        outcome
    }

    #[test]
    fn the_first_address_that_answers_is_taken() {
        let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let there = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = there.local_addr().unwrap().port();
        let addresses =
            vec![("no such host".to_owned(), 1), ("127.0.0.1".to_owned(), gone.port()), ("127.0.0.1".to_owned(), port)];
        let connected = outcome(addresses).unwrap();
        let peer = rustix::net::getpeername(connected).unwrap().expect("it is connected");
        assert_eq!(SocketAddr::try_from(peer).unwrap().port(), port);
    }

    #[test]
    fn an_attempt_that_fails_says_so() {
        assert!(outcome(vec![("no such host".to_owned(), 1)]).is_err());
        assert_eq!(outcome(vec![]).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}

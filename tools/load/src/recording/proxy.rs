//! The proxy: what clients send is passed on and written down, what the server answers is passed on.
//!
//! Each connection has two threads, one for each direction. Connections that do not speak the client protocol, such as
//! four-letter words, are passed on and not written down.

use super::{CONNECTIONS, HEADER, entry};
use crate::codec::LONGEST_REQUEST;
use crate::failure::{Failure, Result, While};
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How often what was written down is brought to the file: so much is lost when the proxy is killed.
const FLUSH: Duration = Duration::from_millis(200);
/// Connections at a time; more are turned away.
const AT_ONCE: usize = 2048;
/// A server that cannot be reached for so long is not waited for.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Bytes received at once.
const CHUNK: usize = 16 << 10;

/// What the connections' threads share.
struct Shared {
    start: Instant,
    file: Mutex<BufWriter<File>>,
    open: AtomicUsize,
}

impl Shared {
    fn write(&self, connection: u32, frame: &[u8]) -> std::io::Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock, so that the file is in order.
        file.write_all(&entry(self.start.elapsed().as_nanos() as u64, connection, frame))
    }
}

/// Listens on 127.0.0.1:`port` for `life` and records into `path`; `ready` is told the port. Returns how many
/// connections there were.
pub fn record(target: SocketAddr, port: u16, path: &Path, life: Duration, ready: impl FnOnce(u16)) -> Result<usize> {
    let doing = || format!("writing {}", path.display());
    // Credentials are in it: nobody else's to read.
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).during(doing)?;
    let mut file = BufWriter::new(file);
    file.write_all(HEADER).during(doing)?;
    let listening = || format!("listening on 127.0.0.1:{port}");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).during(listening)?;
    listener.set_nonblocking(true).during(listening)?;
    let port = listener.local_addr().during(listening)?.port();
    let shared = Arc::new(Shared { start: Instant::now(), file: Mutex::new(file), open: AtomicUsize::new(0) });
    let clock = crate::poll::Clock::start();
    let mut poll = crate::poll::Poll::new(clock)?;
    poll.add(&listener, 0)?;
    ready(port);
    let end_ns = clock.ns() + life.as_nanos() as u64;
    let (mut connections, mut found) = (0, vec![]);
    while clock.ns() < end_ns {
        poll.wait(end_ns.min(clock.ns() + FLUSH.as_nanos() as u64), &mut found)?;
        shared.file.lock().unwrap_or_else(PoisonError::into_inner).flush().during(doing)?;
        if found.is_empty() {
            continue;
        }
        let client = match listener.accept() {
            Ok((client, _)) => client,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionAborted) => continue,
            Err(error) => return Err(error).during(|| "accepting a connection".into()),
        };
        if shared.open.load(Ordering::Relaxed) >= AT_ONCE || connections >= CONNECTIONS {
            continue;
        }
        let number = connections as u32;
        connections += 1;
        shared.open.fetch_add(1, Ordering::Relaxed);
        let shared = Arc::clone(&shared);
        let serving = thread::Builder::new().spawn(move || {
            // A connection that breaks is the clients' affair.
            let _ = pass(&shared, number, client, target);
            shared.open.fetch_sub(1, Ordering::Relaxed);
        });
        serving.during(|| "starting a thread".into())?;
    }
    shared.file.lock().unwrap_or_else(PoisonError::into_inner).flush().during(doing)?;
    Ok(connections)
}

/// Passes everything on, both ways, until one side ends.
fn pass(shared: &Shared, number: u32, client: TcpStream, target: SocketAddr) -> std::io::Result<()> {
    client.set_nonblocking(false)?;
    let server = TcpStream::connect_timeout(&target, CONNECT_LIMIT)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut answers, mut back) = (server.try_clone()?, client.try_clone()?);
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut chunk = [0; CHUNK];
            while let Ok(received @ 1..) = answers.read(&mut chunk) {
                if back.write_all(&chunk[..received]).is_err() {
                    break;
                }
            }
            let _ = back.shutdown(Shutdown::Both);
        });
        let passed = pass_requests(shared, number, client, &server);
        let _ = server.shutdown(Shutdown::Write);
        passed
    })
}

fn pass_requests(shared: &Shared, number: u32, mut client: TcpStream, mut server: &TcpStream) -> std::io::Result<()> {
    let mut chunk = [0; CHUNK];
    let mut inbox: Vec<u8> = vec![];
    let mut is_session = true;
    loop {
        let received = client.read(&mut chunk)?;
        if received == 0 {
            return if is_session { shared.write(number, &[]) } else { Ok(()) };
        }
        // First written down: a request whose answer is known must not be missing.
        if is_session {
            inbox.extend_from_slice(&chunk[..received]);
            match frames(&mut inbox, |frame| shared.write(number, frame)) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::InvalidData => is_session = false,
                Err(error) => return Err(error),
            }
        }
        server.write_all(&chunk[..received])?;
    }
}

/// Takes the whole frames out of `inbox`.
fn frames(inbox: &mut Vec<u8>, mut each: impl FnMut(&[u8]) -> std::io::Result<()>) -> std::io::Result<()> {
    let invalid = |failure: Failure| std::io::Error::new(ErrorKind::InvalidData, failure.to_string());
    let mut taken = 0;
    while let Some((frame, length)) = crate::codec::cut(&inbox[taken..], LONGEST_REQUEST).map_err(invalid)? {
        each(frame)?;
        taken += length;
    }
    inbox.drain(..taken);
    Ok(())
}

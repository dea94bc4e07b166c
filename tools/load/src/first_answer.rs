//! How soon a server that is being started answers: a session is granted and a znode of it is read.

use crate::codec;
use crate::connection::Connection;
use crate::failure::{Failure, Result};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

const TIMEOUT_MS: i32 = 30_000;

/// Asks for `path` until the server has it and says so, with `pause` between two attempts, for `limit` at most.
pub fn wait(target: SocketAddr, path: &str, pause: Duration, limit: Duration) -> Result<()> {
    let start = Instant::now();
    loop {
        let last = match ask(target, path) {
            Ok(0) => return Ok(()),
            Ok(error) => Failure::new(format!("reading {path}: error {error}")),
            Err(failure) => failure,
        };
        if start.elapsed() >= limit {
            return Err(Failure::new(format!("no answer within {} s; the last was: {last}", limit.as_secs_f64())));
        }
        thread::sleep(pause);
    }
}

fn ask(target: SocketAddr, path: &str) -> Result<i32> {
    let mut connection = Connection::open(target, TIMEOUT_MS)?;
    connection.call(|out, xid| codec::get(out, xid, path, false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn who_does_not_serve_is_given_up() {
        let target = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let failure = wait(target, "/", Duration::from_millis(1), Duration::from_millis(20)).unwrap_err();
        assert!(failure.to_string().contains("no answer within 0.02 s"), "{failure}");
    }
}

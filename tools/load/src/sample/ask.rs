//! The two questions a server answers about itself: the four-letter word `mntr` on its client port, and its metrics
//! over HTTP. Each is one connection, with a deadline for all of it and a bound on the answer.

use super::parse::{self, MetricsAddress};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// The longest answer that is read: ten times the metrics of a large ensemble's member.
pub const LIMIT_BYTES: usize = 4 << 20;

/// What `mntr` tells in numbers. The error says what was wrong, for the user.
pub fn mntr(address: SocketAddr, deadline: Instant) -> Result<Vec<(String, f64)>, String> {
    let answer = exchange(address, b"mntr", deadline).map_err(|error| format!("mntr of {address}: {error}"))?;
    let text = String::from_utf8_lossy(&answer);
    let pairs = parse::mntr(&text);
    if pairs.is_empty() {
        // Such as: mntr is not executed because it is not in the whitelist.
        let said: String = text.chars().take(100).collect();
        return Err(format!("mntr of {address} tells nothing: {:?}", said.trim()));
    }
    Ok(pairs)
}

/// The metrics, by their names with their labels. The error says what was wrong, for the user.
pub fn metrics(address: &MetricsAddress, deadline: Instant) -> Result<Vec<(String, f64)>, String> {
    let answer = exchange(address.socket, &parse::http_request(address), deadline)
        .map_err(|error| format!("metrics of {}: {error}", address.socket))?;
    let body = parse::http_body(&answer).map_err(|error| format!("metrics of {}: {error}", address.socket))?;
    Ok(parse::metrics(&String::from_utf8_lossy(body)))
}

/// Sends `question` and reads until the server hangs up.
fn exchange(address: SocketAddr, question: &[u8], deadline: Instant) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, left(deadline)?)?;
    stream.set_write_timeout(Some(left(deadline)?))?;
    stream.write_all(question)?;
    let mut answer = vec![];
    let mut chunk = [0; 16 << 10];
    loop {
        stream.set_read_timeout(Some(left(deadline)?))?;
        match stream.read(&mut chunk) {
            Ok(0) => return Ok(answer),
            Ok(length) if answer.len() + length > LIMIT_BYTES => {
                return Err(std::io::Error::new(ErrorKind::InvalidData, "the answer is too long"));
            }
            Ok(length) => answer.extend_from_slice(&chunk[..length]),
            // A server that hangs up with something of ours unread resets; what it has said is said.
            Err(error) if error.kind() == ErrorKind::ConnectionReset && !answer.is_empty() => return Ok(answer),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(ErrorKind::TimedOut.into()),
            Err(error) => return Err(error),
        }
    }
}

fn left(deadline: Instant) -> std::io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn answering(answer: impl Fn(&mut TcpStream) + Send + 'static) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 1024];
            if stream.read(&mut asked).is_ok() {
                answer(&mut stream);
            }
        });
        address
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    #[test]
    fn a_refusal_is_told() {
        let address = answering(|stream| stream.write_all(b"mntr is not executed\n").unwrap());
        let error = mntr(address, soon()).unwrap_err();
        assert!(error.ends_with("tells nothing: \"mntr is not executed\""), "{error}");
    }

    #[test]
    fn an_endless_answer_is_cut_off() {
        let address = answering(|stream| while stream.write_all(&[b'x'; 65536]).is_ok() {});
        let error = mntr(address, Instant::now() + Duration::from_secs(60)).unwrap_err();
        assert!(error.ends_with("the answer is too long"), "{error}");
    }

    #[test]
    fn an_answer_in_drops_ends_at_the_deadline() {
        let address = answering(|stream| {
            // Bounded by the reader, which is gone after its deadline.
            while stream.write_all(b"zk_a\t1\n").is_ok() {
                std::thread::yield_now();
            }
        });
        let begun = Instant::now();
        let outcome = mntr(address, begun + Duration::from_millis(50));
        assert!(outcome.is_err());
        assert!(begun.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn a_page_that_is_not_there_is_told() {
        let address = answering(|stream| stream.write_all(b"HTTP/1.1 404 Not Found\r\n\r\n").unwrap());
        let error = metrics(&address.to_string().parse().unwrap(), soon()).unwrap_err();
        assert!(error.ends_with("HTTP/1.1 404 Not Found"), "{error}");
    }
}

//! What servers say about themselves, taken apart: lines of `mntr`, an HTTP answer, Prometheus's text format.
//!
//! Nothing here fails on what it does not know: such lines are left out, and an answer of none of the known shape is
//! the caller's to report.

use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;

/// Where metrics are read: `http://HOST:PORT/PATH`, or `HOST:PORT` for the usual path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsAddress {
    pub socket: SocketAddr,
    host: String,
    path: String,
}

impl FromStr for MetricsAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<MetricsAddress, String> {
        if text.starts_with("https:") {
            return Err("metrics are read over plain HTTP".into());
        }
        let rest = text.strip_prefix("http://").unwrap_or(text);
        let (host, path) = rest.split_once('/').map_or((rest, "/metrics".into()), |(host, path)| {
            (host, if path.is_empty() { "/metrics".into() } else { format!("/{path}") })
        });
        if path.bytes().any(|byte| byte <= b' ' || byte >= 127) {
            return Err("the path holds what a request line cannot".into());
        }
        let mut sockets = host.to_socket_addrs().map_err(|error| format!("{host}: {error}"))?;
        let socket = sockets.next().ok_or_else(|| format!("{host} has no address"))?;
        Ok(MetricsAddress { socket, host: host.into(), path })
    }
}

/// `NAME<tab>VALUE` lines whose value is a number: ZooKeeper 3.9, MonitorCommand.
pub fn mntr(text: &str) -> Vec<(String, f64)> {
    let pair = |line: &str| {
        let (name, value) = line.split_once('\t')?;
        Some((name.to_owned(), number(value)?))
    };
    text.lines().filter_map(pair).collect()
}

/// A request whose answer ends with the connection and comes in one piece: HTTP/1.0 knows no chunks.
pub fn http_request(address: &MetricsAddress) -> Vec<u8> {
    let MetricsAddress { host, path, .. } = address;
    format!("GET {path} HTTP/1.0\r\nHost: {host}\r\nAccept: text/plain\r\nConnection: close\r\n\r\n").into_bytes()
}

/// What stands below the head of an answer that says 200; else the status line.
pub fn http_body(answer: &[u8]) -> Result<&[u8], String> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or("no HTTP answer")?;
    let head = String::from_utf8_lossy(&answer[..end]);
    let status = head.lines().next().unwrap_or_default();
    let code = status.strip_prefix("HTTP/1.").and_then(|rest| rest.split_whitespace().nth(1));
    if code == Some("200") { Ok(&answer[end + 4..]) } else { Err(status.chars().take(100).collect()) }
}

/// `NAME VALUE` and `NAME{LABELS} VALUE`, with or without a time at the end: Prometheus's text format, version 0.0.4.
pub fn metrics(text: &str) -> Vec<(String, f64)> {
    let pair = |line: &str| {
        let line = line.trim();
        if line.starts_with('#') {
            return None;
        }
        // Labels may hold blanks, and braces within quotes.
        let end = match line.find(['{', ' ', '\t'])? {
            at if line.as_bytes()[at] == b'{' => at + end_of_labels(&line[at..])?,
            at => at,
        };
        let value = line[end..].split_whitespace().next()?;
        Some((line[..end].to_owned(), number(value)?))
    };
    text.lines().filter_map(pair).collect()
}

/// Behind the brace that closes the labels `text` begins with.
fn end_of_labels(text: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'}' if !quoted => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// A number that can be drawn.
fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|value: &f64| value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(list: &[(&str, f64)]) -> Vec<(String, f64)> {
        list.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    }

    #[test]
    fn mntr_tells_numbers() {
        let text = "zk_version\t3.9.5-abc, built on 2025\nzk_avg_latency\t0.25\nzk_server_state\tleader\n\
                    zk_ms{key=\"a b\"}\t-1\nnonsense\n\nzk_inf\tNaN\n";
        assert_eq!(mntr(text), pairs(&[("zk_avg_latency", 0.25), ("zk_ms{key=\"a b\"}", -1.0)]));
        assert!(mntr("This ZooKeeper instance is not currently serving requests\n").is_empty());
    }

    #[test]
    fn metrics_keep_their_labels() {
        let text = "# HELP a b\n# TYPE a counter\na 1\nb{x=\"}\\\" y\",z=\"1\"} 2.5e3 1700000000000\nc\t7\n\
                    d{open 3\ne NaN\nf +Inf\ng\n";
        assert_eq!(metrics(text), pairs(&[("a", 1.0), ("b{x=\"}\\\" y\",z=\"1\"}", 2500.0), ("c", 7.0)]));
    }

    #[test]
    fn only_200_has_a_body() {
        assert_eq!(http_body(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nx 1\n"), Ok(&b"x 1\n"[..]));
        assert_eq!(http_body(b"HTTP/1.1 503 Busy\r\n\r\nx"), Err("HTTP/1.1 503 Busy".into()));
        assert!(http_body(b"HTTP/1.1 200 OK\r\n").is_err());
        assert!(http_body(b"").is_err());
    }

    #[test]
    fn addresses_of_metrics() {
        let parse = |text: &str| text.parse::<MetricsAddress>();
        let plain = parse("127.0.0.1:7000").unwrap();
        assert_eq!((plain.socket, plain.path.as_str()), ("127.0.0.1:7000".parse().unwrap(), "/metrics"));
        assert_eq!(parse("http://127.0.0.1:7000").unwrap(), plain);
        assert_eq!(parse("http://127.0.0.1:7000/").unwrap(), plain);
        let other = parse("http://127.0.0.1:7000/other?x=1").unwrap();
        let request = String::from_utf8(http_request(&other)).unwrap();
        assert!(request.starts_with("GET /other?x=1 HTTP/1.0\r\nHost: 127.0.0.1:7000\r\n"), "{request}");
        for wrong in ["https://127.0.0.1:1", "127.0.0.1", "http://127.0.0.1:1/a b", "127.0.0.1:x/"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}

//! The servers a load goes to: their addresses, and what they say of themselves.

use crate::document;
use crate::engine::Targets;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::str::FromStr;
use std::time::Duration;

/// A server that takes longer to say what it is remains unknown.
const PATIENCE: Duration = Duration::from_secs(1);
/// No server has more to say of itself. Bytes.
const LONGEST_ANSWER: u64 = 64 << 10;

/// `HOST:PORT`, or several with commas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses(pub Vec<SocketAddr>);

impl FromStr for Addresses {
    type Err = String;

    fn from_str(text: &str) -> Result<Addresses, String> {
        text.split(',').map(resolve).collect::<Result<Vec<SocketAddr>, String>>().map(Addresses)
    }
}

/// The address of `HOST:PORT`.
pub fn resolve(text: &str) -> Result<SocketAddr, String> {
    let mut addresses = text.trim().to_socket_addrs().map_err(|error| format!("{text}: {error}"))?;
    addresses.next().ok_or_else(|| format!("{text} has no address"))
}

/// What a document says of the servers; version and mode are those of the first one that answers.
pub fn told(targets: &Targets, label: Option<&str>, profile: Option<&str>) -> document::Target {
    let addresses: Vec<String> = targets.addresses.iter().map(SocketAddr::to_string).collect();
    let address = addresses.join(",");
    // A server that does not answer is no failure here: it may answer clients, and forbid the word.
    let answer = targets.addresses.iter().find_map(|address| srvr(*address).ok()).unwrap_or_default();
    document::Target {
        label: label.unwrap_or(&address).to_owned(),
        address,
        pid: targets.pids.first().copied(),
        version: field(&answer, "Zookeeper version:"),
        mode: field(&answer, "Mode:"),
        profile: profile.map(str::to_owned),
    }
}

/// What a server is: `standalone`, `leader`, `follower`, `observer`; none while it serves nobody.
pub fn mode(address: SocketAddr) -> Option<String> {
    field(&srvr(address).ok()?, "Mode:")
}

/// What a line of the answer begins with after its name.
fn field(answer: &str, name: &str) -> Option<String> {
    let line = answer.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.split(',').next().unwrap_or(line).trim().to_owned()).filter(|value| !value.is_empty())
}

/// The answer to the four-letter word `srvr`.
fn srvr(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"srvr")?;
    let mut answer = vec![];
    stream.take(LONGEST_ANSWER).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_addresses_are_read() {
        let both: Addresses = "127.0.0.1:1, 127.0.0.1:2".parse().unwrap();
        assert_eq!(both.0, [resolve("127.0.0.1:1").unwrap(), resolve("127.0.0.1:2").unwrap()]);
        assert!("".parse::<Addresses>().is_err() && "127.0.0.1".parse::<Addresses>().is_err());
        assert!("127.0.0.1:1,".parse::<Addresses>().is_err());
    }
}

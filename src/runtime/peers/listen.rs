//! The ports on which a member hears the others.

use super::Port;
use crate::config::Ensemble;
use crate::fatal::{Fatal, Reason};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::time::Duration;

/// The pause between two attempts to take the election port (ZooKeeper 3.9, `QuorumCnxManager.Listener`).
const RETRY: Duration = Duration::from_secs(1);

/// Opens the election and the quorum port of every address of this member, tried again as often as
/// `electionPortBindRetry` says: a server that has just ended may still hold them.
pub fn listen(ensemble: &Ensemble) -> Result<Vec<(Port, TcpListener)>, Fatal> {
    let mut attempt = 0;
    loop {
        match listen_once(ensemble) {
            Err(fatal)
                if fatal.reason == Reason::PortInUse
                    && ensemble.settings.election_bind_retries.is_none_or(|retries| attempt < retries) =>
            {
                attempt += 1;
                tracing::warn!(attempt, "{fatal}; trying again");
                std::thread::sleep(RETRY);
            }
            outcome => return outcome,
        }
    }
}

fn listen_once(ensemble: &Ensemble) -> Result<Vec<(Port, TcpListener)>, Fatal> {
    let mut listeners = vec![];
    for address in &ensemble.own().addresses {
        for (port, number) in [(Port::Election, address.election_port), (Port::Quorum, address.quorum_port)] {
            let name = format!("server.{} {}:{number}", ensemble.id, address.host);
            let candidates: Vec<SocketAddr> = if ensemble.settings.listen_on_all_addresses {
                vec![(Ipv6Addr::UNSPECIFIED, number).into(), (Ipv4Addr::UNSPECIFIED, number).into()]
            } else {
                let resolved = (address.host.as_str(), number).to_socket_addrs();
                resolved.map_err(|error| Fatal::new(Reason::CannotListen, format!("{name}: {error}")))?.collect()
            };
            listeners.push((port, open(&candidates, &name)?));
        }
    }
    Ok(listeners)
}

/// The first that can be bound.
fn open(candidates: &[SocketAddr], name: &str) -> Result<TcpListener, Fatal> {
    let mut failure = Fatal::new(Reason::CannotListen, format!("{name}: the name resolves to nothing"));
    for address in candidates {
        let bound = TcpListener::bind(address).and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok(listener)
        });
        match bound {
            Ok(listener) => return Ok(listener),
            Err(error) => {
                let taken = error.kind() == ErrorKind::AddrInUse;
                let reason = if taken { Reason::PortInUse } else { Reason::CannotListen };
                failure = Fatal::new(reason, format!("{name}: {error}"));
                if taken {
                    break;
                }
            }
        }
    }
    Err(failure)
}

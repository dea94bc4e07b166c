//! Which server of an ensemble leads, and when all of them serve.

use crate::failure::{Failure, Result};
use crate::target;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

/// Pause between two rounds of questions.
const PAUSE: Duration = Duration::from_millis(20);

/// Asks all `targets` until each of them serves and one leads, for `limit` at most; returns that one.
pub fn wait(targets: &[SocketAddr], limit: Duration) -> Result<SocketAddr> {
    let start = Instant::now();
    loop {
        let modes: Vec<Option<String>> = targets.iter().map(|target| target::mode(*target)).collect();
        if let Some(leader) = leader(&modes) {
            return Ok(targets[leader]);
        }
        if start.elapsed() >= limit {
            let said = targets.iter().zip(&modes);
            let said = said.map(|(target, mode)| format!("{target}: {}", mode.as_deref().unwrap_or("does not serve")));
            let said: Vec<String> = said.collect();
            let limit = limit.as_secs_f64();
            return Err(Failure::new(format!("no leader of all within {limit} s: {}", said.join(", "))));
        }
        thread::sleep(PAUSE);
    }
}

/// The one that leads, if the others follow it.
fn leader(modes: &[Option<String>]) -> Option<usize> {
    let leads = |mode: &Option<String>| mode.as_deref() == Some("leader");
    let follows = |mode: &Option<String>| matches!(mode.as_deref(), Some("follower" | "observer"));
    let leader = modes.iter().position(leads)?;
    modes.iter().enumerate().all(|(number, mode)| number == leader || follows(mode)).then_some(leader)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn one_leads_and_all_others_follow() {
        let of = |modes: &[&str]| {
            let modes: Vec<_> = modes.iter().map(|mode| Some((*mode).to_owned()).filter(|m| !m.is_empty())).collect();
            leader(&modes)
        };
        assert_eq!(of(&["follower", "leader", "observer"]), Some(1));
        for none in [&["follower", "follower"][..], &["leader", ""], &["leader", "leader"], &["standalone"], &[]] {
            assert_eq!(of(none), None, "{none:?}");
        }
    }

    #[test]
    fn who_does_not_serve_is_named() {
        let target = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let failure = wait(&[target], Duration::from_millis(20)).unwrap_err().to_string();
        assert!(failure.contains(&format!("within 0.02 s: {target}: does not serve")), "{failure}");
    }
}

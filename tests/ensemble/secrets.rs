//! Session passwords: who knows a session's id computes the one ZooKeeper would give it, and gets nowhere in an ensemble of
//! Corrals; where a ZooKeeper is a member, every member gives such and says so.

use std::net::SocketAddr;
use std::time::Duration;

use super::clients::{resumed, session_on};
use super::cluster::Ensemble;
use super::support::client::{Session, four_letter_word};
use super::support::server::Target;
use super::support::wait_for;

/// Members have told each other within this.
const LIMIT: Duration = Duration::from_secs(20);

/// What a Corral logs when passwords are no secrets.
const WARNING: &str = "session passwords are ZooKeeper's";

/// The password of a session by ZooKeeper's rule: bytes of `java.util.Random`.
fn zookeeper_password(session: i64) -> Vec<u8> {
    let mask = (1 << 48) - 1;
    let mut state = (session ^ 0xb341_5c00) as u64;
    state = (state ^ 0x5_deec_e66d) & mask;
    let mut password = vec![];
    for _ in 0..4 {
        state = state.wrapping_mul(0x5_deec_e66d).wrapping_add(0xb) & mask;
        password.extend_from_slice(&((state >> 16) as u32).to_le_bytes());
    }
    password
}

/// The session as somebody would have it who knows no more than its id.
pub fn forged(session: &Session) -> Session {
    Session { password: zookeeper_password(session.id), ..session.clone() }
}

fn said(address: SocketAddr) -> Option<String> {
    let answer = four_letter_word(address, "mntr").ok()?;
    answer.lines().find_map(|line| line.strip_prefix("zk_corral_session_passwords\t")).map(str::to_owned)
}

/// All Corrals come to say this.
fn await_said(ensemble: &Ensemble, what: &str) {
    for member in ensemble.members.iter().filter(|member| member.belongs && !member.server.target.is_zookeeper()) {
        let address = member.server.address;
        let is_said = wait_for(LIMIT, || (said(address)? == what).then_some(()));
        assert!(is_said.is_some(), "{address} says {:?}, not {what}; its log:\n{}", said(address), member.server.log());
    }
}

/// As long as all are Corrals they are secrets, and with a ZooKeeper among the members they are none.
pub fn fit(ensemble: &Ensemble) {
    await_said(ensemble, if ensemble.is_mixed() { "zookeeper" } else { "secret" });
}

/// Every Corral says that passwords are none, and has warned of it.
pub fn are_said_to_be_none(ensemble: &Ensemble) {
    await_said(ensemble, "zookeeper");
    for member in &ensemble.members {
        let is_corral = matches!(member.server.target, Target::Corral(_));
        assert_eq!(member.server.log().contains(WARNING), is_corral, "{}", member.server.log());
    }
}

/// Sessions of each member, on each member, before and after restarts and an election.
pub fn are_kept(ensemble: &mut Ensemble) {
    let mut sessions: Vec<Session> = vec![];
    for round in 0..3 {
        let leader = ensemble.await_whole();
        await_said(ensemble, "secret");
        let addresses = ensemble.addresses();
        sessions.extend(addresses.iter().map(|address| session_on(*address).session.clone()));
        for (session, address) in sessions.iter().flat_map(|one| addresses.iter().map(move |address| (one, *address))) {
            let told = resumed(address, &forged(session), 0).session.id;
            assert_eq!(told, 0, "round {round}: {address} gives {:#x} to who knows its id", session.id);
            let again = resumed(address, session, 0).session;
            assert_eq!((again.id, &again.password), (session.id, &session.password), "round {round}: {address}");
        }
        let next = [leader, (leader + 1) % ensemble.members.len()];
        for place in &next[..=round % 2] {
            ensemble.kill(*place);
        }
        next[..=round % 2].iter().for_each(|place| ensemble.start_again(*place));
    }
    println!("secret passwords: {} sessions on {} members", sessions.len(), ensemble.members.len());
}

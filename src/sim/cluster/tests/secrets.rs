//! Session passwords of an ensemble: that nobody can compute them where all members are Corrals, and that every member takes
//! every session, whatever has happened in between.

use super::super::*;
use super::steps::{all_serve, answers, ask, rest_alone, start_all};
use crate::ids::{PASSWORD_LEN, SessionId};
use crate::jute::OpCode;
use crate::jute::quorum::{PROTOCOL_CORRAL, PROTOCOL_EPOCHS};
use crate::server::message::Clock;
use crate::session::{has_secret, zookeeper_password};
use crate::sim::bodies::create;
use crate::sim::server::{SimOptions, SimServer};
use std::sync::atomic::Ordering::Relaxed;

/// A session, as its client knows it.
type Known = (SessionId, [u8; PASSWORD_LEN]);

/// What a server answers to a client that shows this: the session and its password; no session if it is refused.
fn answered(cluster: &mut Cluster, place: Place, shown: Known) -> Known {
    let conn = cluster.server(place).unwrap().greet_as(shown, 2_000, 0, None);
    cluster.act(place);
    let is_answered = |cluster: &mut Cluster| !cluster.server(place).unwrap().shard.unsent(conn).is_empty();
    assert!(cluster.run(1_000, is_answered), "an answer on server {}", place + 1);
    given(&cluster.server(place).unwrap().output(conn))
}

/// The session and the password of a connect response.
fn given(answer: &[u8]) -> Known {
    (SessionId(i64::from_be_bytes(answer[12..20].try_into().unwrap())), answer[24..40].try_into().unwrap())
}

fn open(cluster: &mut Cluster, place: Place) -> Known {
    answered(cluster, place, (SessionId::NONE, [0; PASSWORD_LEN]))
}

/// Every member takes the session with its password.
fn is_taken_everywhere(cluster: &mut Cluster, known: Known) {
    for place in 0..cluster.len() {
        assert_eq!(answered(cluster, place, known), known, "on server {}", place + 1);
    }
}

/// No member takes it with what anybody can compute of its id.
fn is_secret(cluster: &mut Cluster, (session, _): Known) {
    for place in 0..cluster.len() {
        let (got, _) = answered(cluster, place, (session, zookeeper_password(session)));
        assert_eq!(got, SessionId::NONE, "{session} on server {}", place + 1);
    }
}

fn says_public(cluster: &mut Cluster, place: Place) -> bool {
    cluster.server(place).unwrap().stats.quorum.public_passwords.load(Relaxed)
}

/// All serve, and say that new sessions have secrets, or that they have none.
fn await_kind(cluster: &mut Cluster, secret: bool) {
    assert!(cluster.run(10_000, all_serve), "all serve");
    let says_so = |cluster: &mut Cluster| (0..cluster.len()).all(|place| says_public(cluster, place) != secret);
    assert!(cluster.run(2_000, says_so), "all say so: secret is {secret}");
}

/// A session of each member, old and new ones: none of them can be taken by who knows its id, and each by who has it.
fn all_are_secret(cluster: &mut Cluster, sessions: &mut Vec<Known>) {
    await_kind(cluster, true);
    for place in 0..cluster.len() {
        sessions.push(open(cluster, place));
    }
    for known in sessions {
        is_secret(cluster, *known);
        is_taken_everywhere(cluster, *known);
    }
}

/// The same secret after restarts, elections and snapshots, and on a member that has lost its disk.
#[test]
fn nobody_computes_a_password_in_an_ensemble_of_corrals() {
    for seed in [501, 502, 503] {
        let mut cluster = Cluster::with_observers(3, 1, seed);
        // Whoever comes anew is sent a snapshot.
        cluster.settings.force_snapshot = true;
        start_all(&mut cluster);
        let mut sessions = vec![];
        all_are_secret(&mut cluster, &mut sessions);
        for place in 0..4 {
            if cluster.leader() != Some(place) {
                cluster.crash(place);
                cluster.start(place);
                all_are_secret(&mut cluster, &mut sessions);
            }
        }
        let leader = cluster.leader().expect("somebody leads");
        cluster.crash(leader);
        assert!(cluster.run(10_000, |cluster| cluster.leader().is_some()), "another one leads");
        cluster.start(leader);
        all_are_secret(&mut cluster, &mut sessions);
        let place = (cluster.leader().expect("somebody leads") + 1) % 3;
        cluster.crash(place);
        cluster.wipe(place);
        cluster.start(place);
        all_are_secret(&mut cluster, &mut sessions);
        (0..4).for_each(|place| cluster.crash(place));
        start_all(&mut cluster);
        all_are_secret(&mut cluster, &mut sessions);
        assert!(sessions.iter().all(|(session, _)| has_secret(*session)));
    }
}

/// A ZooKeeper, or a Corral of before, among three: by its place in the elections it leads, or follows. When it gives way to one
/// that knows of secrets, sessions go on.
#[test]
fn a_member_that_knows_of_no_secrets_has_none_given_and_when_it_goes_sessions_go_on() {
    for (seed, odd, protocol) in [(511, 0, PROTOCOL_EPOCHS), (512, 2, PROTOCOL_EPOCHS), (513, 1, PROTOCOL_CORRAL)] {
        let mut cluster = Cluster::new(3, seed);
        cluster.members[odd].protocol = protocol;
        start_all(&mut cluster);
        // Long enough for anything that would be said.
        cluster.run(1_000, |_| false);
        await_kind(&mut cluster, false);
        let old: Vec<Known> = (0..3).map(|place| open(&mut cluster, place)).collect();
        for known in &old {
            assert_eq!(known.1, zookeeper_password(known.0), "one that every member knows");
            is_taken_everywhere(&mut cluster, *known);
        }
        cluster.crash(odd);
        cluster.members[odd].protocol = crate::jute::quorum::PROTOCOL_SECRETS;
        cluster.start(odd);
        let mut new = vec![];
        all_are_secret(&mut cluster, &mut new);
        for known in old {
            is_taken_everywhere(&mut cluster, known);
        }
        // It comes back: what was opened meanwhile goes on where it can, and new ones can again go everywhere.
        cluster.crash(odd);
        cluster.members[odd].protocol = protocol;
        cluster.start(odd);
        await_kind(&mut cluster, false);
        for place in 0..3 {
            let known = open(&mut cluster, place);
            assert_eq!(known.1, zookeeper_password(known.0));
            is_taken_everywhere(&mut cluster, known);
        }
    }
}

/// A member that was never seen may be a ZooKeeper.
#[test]
fn a_member_that_was_not_seen_yet_is_waited_for_and_one_that_was_is_not() {
    let mut cluster = Cluster::new(3, 521);
    (0..2).for_each(|place| cluster.start(place));
    let two_serve = |cluster: &mut Cluster| cluster.serves(0) && cluster.serves(1);
    assert!(cluster.run(10_000, two_serve));
    cluster.run(2_000, |_| false);
    assert!(says_public(&mut cluster, 0) && says_public(&mut cluster, 1));
    cluster.start(2);
    await_kind(&mut cluster, true);
    // Known from then on, also to leaders that it never came to.
    (0..3).for_each(|place| cluster.crash(place));
    (0..2).for_each(|place| cluster.start(place));
    assert!(cluster.run(10_000, two_serve));
    assert!(!says_public(&mut cluster, 0) && !says_public(&mut cluster, 1));
    for place in 0..2 {
        assert!(has_secret(open(&mut cluster, place).0));
    }
}

/// ZooKeepers are to join, says the operator of an ensemble of Corrals.
#[test]
fn passwords_are_those_of_zookeepers_to_come_where_that_is_said() {
    let mut cluster = Cluster::new(3, 531);
    cluster.settings.zookeeper_passwords = true;
    start_all(&mut cluster);
    cluster.run(1_000, |_| false);
    await_kind(&mut cluster, false);
    let known = open(&mut cluster, 1);
    assert_eq!(known.1, zookeeper_password(known.0));
    is_taken_everywhere(&mut cluster, known);
}

/// A client that comes to a member which has not heard the secret yet is sent elsewhere, and not told that its session is over.
#[test]
fn a_member_that_does_not_serve_refuses_no_session() {
    let mut cluster = Cluster::new(3, 541);
    start_all(&mut cluster);
    await_kind(&mut cluster, true);
    let place = (cluster.leader().expect("somebody leads") + 1) % 3;
    let (session, password) = open(&mut cluster, place);
    cluster.crash(place);
    cluster.wipe(place);
    cluster.start(place);
    let mut conns = vec![];
    let mut told = vec![];
    let mut next_ms = cluster.now_ms;
    let serves = cluster.run(10_000, |cluster| {
        let (now_ms, serves) = (cluster.now_ms, cluster.serves(place));
        let server = cluster.server(place).expect("it runs");
        for conn in &conns {
            told.extend(server.output(*conn).get(12..20).map(|session| session.to_vec()));
        }
        if now_ms >= next_ms && !serves {
            next_ms = now_ms + 3;
            conns.push(server.greet_as((session, password), 2_000, 0, None));
            cluster.act(place);
        }
        serves
    });
    assert!(serves && conns.len() > 3, "{} came", conns.len());
    cluster.run(500, |_| false);
    let server = cluster.server(place).expect("it runs");
    for conn in &conns {
        told.extend(server.output(*conn).get(12..20).map(|session| session.to_vec()));
    }
    assert!(told.iter().all(|told| *told == session.0.to_be_bytes()), "{told:?}");
    is_taken_everywhere(&mut cluster, (session, password));
}

/// What a server tells a client that shows this, within half a second: the session, 0 for one that is over; nothing if it only
/// closes the connection.
fn told(cluster: &mut Cluster, place: Place, shown: Known) -> Option<SessionId> {
    let conn = cluster.server(place).unwrap().greet_as(shown, 2_000, 0, None);
    cluster.act(place);
    cluster.run(500, |_| false);
    let server = cluster.server(place).unwrap();
    let answer = server.output(conn);
    assert!(
        !answer.is_empty() || !server.shard.wants_input(conn),
        "a client is told something, or the connection ends"
    );
    answer.get(12..20).map(|session| SessionId(i64::from_be_bytes(session.try_into().unwrap())))
}

/// Three agree on a secret, and sessions are under it.
fn agreed(seed: u64) -> (Cluster, Known) {
    let mut cluster = Cluster::new(3, seed);
    start_all(&mut cluster);
    let mut sessions = vec![];
    all_are_secret(&mut cluster, &mut sessions);
    cluster.crash(2);
    cluster.wipe(2);
    (cluster, sessions[0])
}

/// A server on its own has given a session a password under its secret, and becomes one of three.
fn grown(seed: u64) -> (Cluster, Known) {
    let mut cluster = Cluster::new(3, seed);
    let disk = cluster.disk(0).clone();
    let mut alone = SimServer::start(&disk, Clock::default(), SimOptions::default(), None);
    let conn = alone.accept(SessionId::NONE, 2_000, 0);
    rest_alone(&mut alone, &disk);
    let known = given(&alone.output(conn));
    assert!(has_secret(known.0));
    drop(alone);
    (0..2).for_each(|place| cluster.start(place));
    assert!(cluster.run(10_000, |cluster| cluster.leader() == Some(0) && cluster.serves(1)), "who has the data leads");
    (cluster, known)
}

/// A server that knows of no secrets leads, and one member comes with an empty disk: it hears of no secret.
fn one_has_heard_nothing((mut cluster, known): (Cluster, Known)) -> (Cluster, Known) {
    let goes_on = |cluster: &mut Cluster| assert_eq!(answered(cluster, 0, known), known, "where the secret is");
    cluster.members[2].protocol = PROTOCOL_EPOCHS;
    cluster.start(2);
    await_kind(&mut cluster, false);
    // Of those that are level the highest id leads.
    for _ in 0..20 {
        if cluster.leader() != Some(2) {
            goes_on(&mut cluster);
            (0..3).for_each(|place| cluster.crash(place));
            start_all(&mut cluster);
            await_kind(&mut cluster, false);
        }
    }
    assert_eq!(cluster.leader(), Some(2));
    goes_on(&mut cluster);
    cluster.crash(1);
    cluster.wipe(1);
    cluster.start(1);
    await_kind(&mut cluster, false);
    goes_on(&mut cluster);
    (cluster, known)
}

/// A member that has heard of no secret cannot say of a session that has one whether its password is right.
#[test]
fn a_member_that_was_told_no_secret_refuses_no_session_that_has_one() {
    let (mut cluster, known) = one_has_heard_nothing(agreed(561));
    assert_eq!(told(&mut cluster, 1, known), None, "it knows no better");
    assert_eq!(told(&mut cluster, 0, known), Some(known.0), "it has the secret");
    let public = (SessionId(known.0.0 ^ 0b11 << 54), known.1);
    assert_eq!(told(&mut cluster, 1, public), Some(SessionId::NONE), "one that has none is refused as ever");
}

/// Nor does it have its own agreed on when it leads: the secret that sessions have is the ensemble's, as long as a member has it;
/// also where a server gave it to them that was on its own.
#[test]
fn a_secret_in_use_is_not_replaced_by_one_of_an_empty_disk() {
    let mut led_by_the_empty_one = [0; 2];
    let begun = [agreed(571), agreed(572), grown(573), grown(574), grown(575)].into_iter().map(one_has_heard_nothing);
    for (kind, (mut cluster, known)) in [0, 0, 1, 1, 1].into_iter().zip(begun) {
        let mut sessions = vec![known];
        cluster.crash(2);
        let both_serve = |cluster: &mut Cluster| {
            let is_led = matches!(cluster.leader(), Some(0 | 1));
            is_led && cluster.serves(0) && cluster.serves(1)
        };
        assert!(cluster.run(10_000, both_serve));
        led_by_the_empty_one[kind] += usize::from(cluster.leader() == Some(1));
        for place in [0, 1] {
            assert_eq!(answered(&mut cluster, place, known), known, "on server {}", place + 1);
        }
        cluster.wipe(2);
        cluster.members[2].protocol = crate::jute::quorum::PROTOCOL_SECRETS;
        cluster.start(2);
        all_are_secret(&mut cluster, &mut sessions);
        cluster.crash(0);
        cluster.start(0);
        all_are_secret(&mut cluster, &mut sessions);
    }
    assert!(led_by_the_empty_one.iter().all(|times| *times > 0), "what this is about");
}

/// Nor does a client go from one server to the other for ever whose session is over, where no secret was ever in use.
#[test]
fn a_session_that_is_over_is_over_where_no_secret_was_in_use() {
    let mut cluster = Cluster::new(3, 591);
    cluster.members[1].protocol = PROTOCOL_EPOCHS;
    start_all(&mut cluster);
    await_kind(&mut cluster, false);
    let leader = cluster.leader().expect("somebody leads");
    let gone = (SessionId(0x0140_0000_0000_0005), [3; PASSWORD_LEN]);
    assert!(has_secret(gone.0));
    assert_eq!(told(&mut cluster, leader, gone), Some(SessionId::NONE));
    for place in (0..3).filter(|place| *place != leader) {
        assert_ne!(told(&mut cluster, place, gone), Some(gone.0));
    }
}

/// Two with empty disks make do without the one that has the secret; when it comes, its secret is the ensemble's again.
#[test]
fn a_new_secret_is_not_used_before_everybody_was_asked_for_one() {
    let (mut cluster, known) = one_has_heard_nothing(agreed(581));
    let mut sessions = vec![known];
    (0..3).for_each(|place| cluster.crash(place));
    cluster.members[2].protocol = crate::jute::quorum::PROTOCOL_SECRETS;
    cluster.start(1);
    cluster.start(2);
    let both_serve = |cluster: &mut Cluster| cluster.serves(1) && cluster.serves(2);
    assert!(cluster.run(10_000, both_serve));
    cluster.run(500, |_| false);
    assert!(says_public(&mut cluster, 1) && says_public(&mut cluster, 2), "one member was not asked");
    cluster.start(0);
    all_are_secret(&mut cluster, &mut sessions);
}

/// Sessions of both kinds are the ensemble's: what one creates stays as long as it does, on whichever member it is.
#[test]
fn an_ephemeral_stays_with_its_session_across_the_kinds() {
    let mut cluster = Cluster::new(3, 551);
    cluster.members[2].protocol = PROTOCOL_EPOCHS;
    start_all(&mut cluster);
    let known = open(&mut cluster, 0);
    let conn = cluster.server(0).unwrap().greet_as(known, 2_000, 0, None);
    cluster.act(0);
    let is_answered = |cluster: &mut Cluster| !cluster.server(0).unwrap().shard.unsent(conn).is_empty();
    assert!(cluster.run(1_000, is_answered));
    cluster.server(0).unwrap().output(conn);
    ask(&mut cluster, 0, conn, 1, OpCode::Create, &create(b"/e", b"", 1));
    assert_eq!(answers(&mut cluster, 0, conn, 1)[0].2, 0);
    cluster.crash(2);
    cluster.members[2].protocol = crate::jute::quorum::PROTOCOL_SECRETS;
    cluster.start(2);
    await_kind(&mut cluster, true);
    is_taken_everywhere(&mut cluster, known);
    assert_eq!(cluster.server(2).unwrap().quorum.state().ephemeral_count(), 1);
}

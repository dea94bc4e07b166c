//! What no script shows: bytes that are none, and the timers.

mod network;
mod script;

use super::*;
use crate::jute::election::ElectionError;
use fastrand::Rng;

const LOG: Option<LogEnd> = Some(LogEnd { zxid: Zxid(0x1_0000_0005), epoch: 1 });

fn voters(text: &str) -> Voters {
    Voters::parse(text.as_bytes()).unwrap()
}

fn three() -> Config {
    Config::new(voters("server.1=h:1:2\nserver.2=h:3:4\nserver.3=h:5:6"), None)
}

fn looking(me: i64, config: Config) -> Election {
    let mut election = Election::new(ServerId(me), config, Settings { adopt_configs: true, ..Settings::default() });
    election.step(Input::Look { log: LOG, yield_until_ms: None }, 0);
    election
}

fn notification(state: PeerState, leader: i64, round: i64) -> Notification<'static> {
    Notification { state, leader, zxid: 0x1_0000_0005, round, peer_epoch: 1, version: 2, config: None }
}

fn hear(election: &mut Election, from: i64, notification: Notification<'_>, now_ms: i64) -> Vec<Output> {
    election.step(Input::Message { from: ServerId(from), payload: &notification.encode() }, now_ms)
}

#[test]
fn what_is_no_notification_is_dropped_with_its_reason() {
    let mut election = looking(1, three());
    let mut reason = |from, payload: &[u8]| match &election.step(Input::Message { from, payload }, 1)[..] {
        [Output::Dropped { from: who, reason }] if *who == from => *reason,
        other => panic!("{other:?}"),
    };
    let two = ServerId(2);
    assert_eq!(reason(two, &[]), DropReason::Malformed(ElectionError::NotificationLength(0)));
    assert_eq!(reason(two, &[9; 28]), DropReason::Malformed(ElectionError::State(0x0909_0909)));
    let far = notification(PeerState::Looking, 2, i64::MAX).encode();
    assert_eq!(reason(two, &far), DropReason::Round(i64::MAX));
    assert_eq!(reason(ServerId(1), &notification(PeerState::Looking, 2, 1).encode()), DropReason::OwnId);
    assert_eq!(election.round, 1, "the count of rounds did not follow");
}

#[test]
fn the_last_round_is_counted_no_further() {
    let mut election = looking(1, three());
    hear(&mut election, 2, notification(PeerState::Looking, 2, LAST_ROUND), 0);
    for _ in 0..3 {
        election.step(Input::Look { log: LOG, yield_until_ms: None }, 0);
    }
    assert_eq!(election.round, LAST_ROUND);
}

fn is_settled(out: &[Output]) -> bool {
    out.iter().any(|output| matches!(output, Output::Settled(_)))
}

#[test]
fn who_was_heard_in_an_earlier_round_is_silent_in_this_one() {
    let mut election = looking(1, three());
    election.step(Input::Connected(ServerId(2)), 0);
    election.step(Input::Connected(ServerId(3)), 0);
    assert!(!is_settled(&hear(
        &mut election,
        3,
        Notification { zxid: 1, ..notification(PeerState::Looking, 3, 1) },
        1
    )));
    assert!(!is_settled(&hear(&mut election, 2, notification(PeerState::Looking, 2, 5), 1)), "3 may know better");
    assert_eq!(election.deadline_ms(), Some(201), "from the beginning of this round");
    assert!(is_settled(&election.step(Input::Tick, 201)));
}

#[test]
fn who_joins_counts_on_from_the_round_it_found() {
    let mut election = looking(1, three());
    assert!(!is_settled(&hear(&mut election, 2, notification(PeerState::Following, 3, 8), 1)));
    assert!(is_settled(&hear(&mut election, 3, notification(PeerState::Leading, 3, 8), 1)));
    election.step(Input::Look { log: LOG, yield_until_ms: None }, 2);
    assert_eq!(election.round, 9);
}

#[test]
fn repetitions_double_up_to_their_limit() {
    let mut election = looking(1, three());
    let mut at_ms = vec![];
    for _ in 0..12 {
        let now_ms = election.deadline_ms().unwrap();
        assert!(election.step(Input::Tick, now_ms - 1).is_empty(), "nothing before its time");
        let out = election.step(Input::Tick, now_ms);
        assert!(matches!(out[..], [Output::Reconnect, Output::Send { .. }, Output::Send { .. }]), "{out:?}");
        at_ms.push(now_ms);
    }
    let gaps: Vec<i64> = at_ms.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(at_ms[0], 200);
    assert_eq!(gaps, [400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000, 60000]);
}

#[test]
fn a_configuration_that_is_none_costs_its_sender_nothing() {
    for text in [&b""[..], b"server.1=h:1:2:observer\nversion=9", b"\xff\xfe", b"version=9"] {
        let mut election = looking(1, three());
        let vote = Notification { config: Some(text), ..notification(PeerState::Looking, 2, 1) };
        let out = hear(&mut election, 2, vote, 1);
        assert!(matches!(out.last(), Some(Output::Settled(settled)) if settled.vote.leader == ServerId(2)), "{out:?}");
    }
}

#[test]
fn a_newer_configuration_with_the_same_members_does_not_begin_anew() {
    let mut election = looking(1, three());
    let newer = three().current().clone().with_version(7);
    let text = newer.to_string();
    let vote = Notification { config: Some(text.as_bytes()), ..notification(PeerState::Looking, 2, 1) };
    let out = hear(&mut election, 2, vote, 1);
    assert_eq!(out[0], Output::Adopt(newer));
    assert!(matches!(out.last(), Some(Output::Settled(_))));
    assert_eq!((election.config().current().version(), election.round), (7, 1));
}

#[test]
fn without_reconfiguration_no_configuration_is_adopted() {
    let mut election = Election::new(ServerId(1), three(), Settings::default());
    election.step(Input::Look { log: LOG, yield_until_ms: None }, 0);
    let vote = Notification {
        config: Some(b"server.1=h:1:2\nserver.9=h:1:2\nversion=7"),
        ..notification(PeerState::Looking, 2, 1)
    };
    assert!(!hear(&mut election, 2, vote, 1).iter().any(|output| matches!(output, Output::Adopt(_))));
    assert_eq!(election.config().current().version(), 0);
}

#[test]
fn strangers_cannot_make_a_looking_server_talk_without_end() {
    let mut election = looking(1, three());
    let answers = |out: Vec<Output>| out.iter().filter(|output| matches!(output, Output::Send { .. })).count();
    let stranger = notification(PeerState::Looking, 9, 5);
    assert_eq!(answers(hear(&mut election, 9, stranger, 10)), 1);
    assert_eq!(answers(hear(&mut election, 9, stranger, 209)), 0, "told just now");
    assert_eq!(answers(hear(&mut election, 9, stranger, 210)), 1);
    let sum: usize = (100..300).map(|id| answers(hear(&mut election, id, stranger, 211))).sum();
    assert_eq!(sum, STRANGERS - 1);
    assert_eq!(election.round, 1, "and they are not listened to");
}

#[test]
fn a_quorum_has_to_stand_in_the_pending_configuration_too() {
    let pending = voters("server.1=h:1:2\nserver.4=h:1:2\nserver.5=h:1:2\nversion=9");
    let config = Config::new(three().current().clone(), Some(pending));
    let mut election = looking(1, config);
    let text = three().current().to_string();
    let vote = Notification { config: Some(text.as_bytes()), ..notification(PeerState::Looking, 5, 1) };
    assert!(!is_settled(&hear(&mut election, 2, vote, 1)));
    assert!(!is_settled(&hear(&mut election, 3, vote, 1)), "all of the current one");
    assert!(is_settled(&hear(&mut election, 4, vote, 1)), "two of the pending one");
}

/// A voter of the proposed configuration that acts by the files it joined with stands, and goes over to the one that was agreed
/// on, where it has no vote, when it hears of that.
#[test]
fn who_stands_by_an_older_configuration_is_no_candidate() {
    let pending = voters("server.1=h:1:2\nserver.4=h:1:2\nserver.5=h:1:2\nversion=9");
    let current = three().current().clone().with_version(7);
    let mut election = looking(1, Config::new(current.clone(), Some(pending)));
    let leader = |election: &Election| match &election.phase {
        Phase::Looking(looking) => looking.proposal.map(|proposal| proposal.leader.0),
        _ => None,
    };
    let files = "server.1=h:1:2\nserver.2=h:3:4\nserver.3=h:5:6\nserver.5=h:1:2";
    let vote = notification(PeerState::Looking, 5, 1);
    hear(&mut election, 5, Notification { config: Some(files.as_bytes()), ..vote }, 1);
    assert_eq!(leader(&election), Some(1));
    hear(&mut election, 5, Notification { config: Some(current.to_string().as_bytes()), ..vote }, 2);
    assert_eq!(leader(&election), Some(5));
    // It stands no more: nobody goes on voting for it, in its round.
    hear(&mut election, 5, Notification { zxid: -1, round: 4, ..vote }, 3);
    assert_eq!((leader(&election), election.round), (Some(1), 4));
    // Without a vote of its own it waits for one in its round.
    let nobody = Notification { leader: i64::MIN, zxid: i64::MIN, peer_epoch: i64::MIN, round: 6, ..vote };
    hear(&mut election, 4, nobody, 4);
    assert_eq!((leader(&election), election.round), (Some(1), 6));
}

/// It alone has the proposal, and its quorum is not there: those who would do without elect another one meanwhile.
#[test]
fn who_cannot_finish_steps_back_for_a_while() {
    let pending = voters("server.3=h:5:6\nserver.4=h:1:2\nversion=9");
    let mut election = looking(3, Config::new(three().current().clone(), Some(pending)));
    let vote = notification(PeerState::Looking, 3, 1);
    assert!(!is_settled(&hear(&mut election, 1, vote, 1)));
    let stands = |election: &Election| match &election.phase {
        Phase::Looking(looking) => looking.proposal.is_some_and(|proposal| proposal.leader.0 == 3),
        _ => panic!("it looks"),
    };
    let mut changes = vec![];
    while changes.len() < 3 {
        let now_ms = election.deadline_ms().unwrap();
        let before = stands(&election);
        assert!(!is_settled(&election.step(Input::Tick, now_ms)));
        if stands(&election) != before {
            changes.push(now_ms);
        }
        // Still there, and of the same mind.
        let round = election.round;
        hear(&mut election, 1, Notification { round, ..vote }, now_ms);
    }
    assert_eq!((changes[1] - changes[0], changes[2] - changes[1]), (3_000, 3_000), "{changes:?}");
}

/// A leader's last proposal before it was cut off may be known to nobody else, and to be acknowledged by its quorum it would
/// take servers that go by the old configuration.
#[test]
fn who_alone_holds_a_proposed_configuration_finds_the_leader() {
    let pending = voters("server.1=h:1:2\nserver.2=h:3:4\nversion=9");
    let config = Config::new(three().current().clone(), Some(pending));
    let mut election = looking(2, config);
    assert!(!is_settled(&hear(&mut election, 1, notification(PeerState::Following, 3, 7), 1)), "the leader is silent");
    assert!(is_settled(&hear(&mut election, 3, notification(PeerState::Leading, 3, 7), 1)));
    // By one of the two it may not lead itself.
    let pending = voters("server.2=h:3:4\nserver.4=h:1:2\nversion=9");
    let mut election = looking(2, Config::new(three().current().clone(), Some(pending)));
    for from in [1, 3] {
        assert!(!is_settled(&hear(&mut election, from, notification(PeerState::Following, 2, 1), 1)));
    }
}

#[test]
fn random_messages_neither_panic_nor_elect_a_stranger() {
    let mut random = Rng::with_seed(7);
    let mut settled = 0;
    for _ in 0..2_000 {
        let mut election = looking(1, three());
        for now_ms in 0..30 {
            let mut payload = Notification {
                round: random.i64(-1..4),
                zxid: random.i64(-1..2),
                ..notification(PeerState::try_from(random.i32(0..4)).unwrap(), random.i64(0..5), 0)
            }
            .encode();
            if random.u8(..8) == 0 {
                let at = random.usize(..payload.len());
                payload[at] = random.u8(..);
            }
            let from = ServerId(random.i64(0..5));
            for output in election.step(Input::Message { from, payload: &payload }, now_ms * 20) {
                if let Output::Settled(end) = output {
                    assert!(election.config.is_voter(end.vote.leader), "{end:?}");
                    assert!(election.config.is_quorum_in_all(&end.supporters), "{end:?}");
                    settled += 1;
                }
            }
            election.step(Input::Tick, now_ms * 20);
        }
    }
    assert!(settled > 100, "{settled}");
}

/// Server 3 loses the leader first and votes for itself; server 1 hears that while it still follows.
#[test]
fn a_vote_that_comes_before_this_server_looks_is_not_lost() {
    let settled = || {
        let mut election = looking(1, three());
        hear(&mut election, 2, notification(PeerState::Looking, 2, 1), 0);
        hear(&mut election, 3, notification(PeerState::Looking, 2, 1), 0);
        assert_eq!(election.state(), PeerState::Following);
        hear(&mut election, 3, notification(PeerState::Looking, 3, 2), 1000);
        election
    };
    let look = Input::Look { log: LOG, yield_until_ms: None };
    let votes_for_three = |out: &[Output]| {
        out.iter().any(|output| match output {
            Output::Send { to: ServerId(3), payload } => Notification::decode(payload).unwrap().leader == 3,
            _ => false,
        })
    };
    assert!(votes_for_three(&settled().step(look.clone(), 1001)));
    assert!(!votes_for_three(&settled().step(look.clone(), 1200)), "by then it would have been repeated");
    let mut ended = settled();
    ended.step(Input::RoleEnded, 1001);
    hear(&mut ended, 3, notification(PeerState::Looking, 3, 2), 1150);
    assert!(votes_for_three(&ended.step(look.clone(), 1300)), "heard between two roles");
    let mut gone = settled();
    gone.step(Input::Disconnected(ServerId(3)), 1001);
    assert!(!votes_for_three(&gone.step(look.clone(), 1001)));
    let mut found = settled();
    hear(&mut found, 3, notification(PeerState::Following, 2, 1), 1001);
    assert!(!votes_for_three(&found.step(look, 1002)), "it has a leader again");
}

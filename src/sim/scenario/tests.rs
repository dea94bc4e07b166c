//! Seeds, and what came of them.
//!
//! `CORRAL_SIM_SEEDS` says how many are played, `CORRAL_SIM_FIRST` from which on; `CORRAL_SIM_SEED` plays one.

use super::*;
use crate::sim::faults::{CLASSES, Fault, Who};
use crate::sim::shrink::shrink;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Seeds from which on a run has seen everything there is to see.
const ENOUGH: u64 = 200;

/// Plays until a failing list of faults is taken for short enough.
const ATTEMPTS: usize = 120;

/// Failing seeds after which no more are played.
const FAILURES: usize = 6;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text}")))
}

fn fails(plan: &Plan) -> bool {
    catch_unwind(AssertUnwindSafe(|| plan.play())).is_err()
}

/// Plays a seed; a failure is made shorter, and said how to see again.
fn play(seed: u64) -> Option<Report> {
    let plan = Plan::of(seed);
    if let Ok(report) = catch_unwind(AssertUnwindSafe(|| plan.play())) {
        return Some(report);
    }
    let said = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let shortest = shrink(&plan, ATTEMPTS, fails);
    std::panic::set_hook(said);
    let Plan { voters, observers, clients, steps, .. } = &plan;
    eprintln!("seed {seed} fails; to see it again:\n");
    eprintln!("    CORRAL_SIM_SEED={seed} cargo test --lib sim::scenario::tests::seeds -- --nocapture\n");
    eprintln!("{voters} voters, {observers} observers, {clients} clients; of {} steps these are enough:", steps.len());
    shortest.steps.iter().for_each(|step| eprintln!("    {step:?}"));
    None
}

#[test]
fn seeds() {
    if let Some(seed) = number("CORRAL_SIM_SEED") {
        let report = play(seed).unwrap_or_else(|| panic!("seed {seed} fails"));
        return println!("{report:#?}");
    }
    let first = number("CORRAL_SIM_FIRST").unwrap_or_default();
    let count = number("CORRAL_SIM_SEEDS").unwrap_or(10);
    let mut coverage = Coverage::default();
    let (mut events, mut elections, mut commits, mut answers, mut virtual_ms) = (0, 0, 0, 0, 0);
    let mut failed = vec![];
    let mut played = 0;
    for seed in first..first + count {
        if failed.len() == FAILURES {
            break;
        }
        played += 1;
        let Some(report) = play(seed) else {
            failed.push(seed);
            continue;
        };
        events += report.events;
        elections += report.elections;
        commits += report.commits;
        answers += report.answers;
        virtual_ms += report.virtual_ms;
        coverage.merge(&report.coverage);
    }
    println!("{played} seeds from {first} on, {} of them failed", failed.len());
    let roll_overs = coverage.of("roll-over");
    println!("{elections} elections, {roll_overs} roll-overs, {commits} commits, {answers} answers");
    println!("{events} events, {} s of virtual time", virtual_ms / 1000);
    println!("{coverage}");
    assert_eq!(failed, [0; 0], "seeds that fail");
    if count >= ENOUGH {
        assert_eq!(coverage.missing(&OPERATIONS), [""; 0], "operations that never happened");
        assert_eq!(coverage.missing(&CLASSES), [""; 0], "faults that never happened");
    }
}

/// A former leader whose tail began its epoch refused to go back behind that beginning, at every election again. The plan
/// as it was drawn: no shorter scene of it is known.
#[test]
fn a_former_leader_goes_back_behind_the_beginning_of_its_own_epoch() {
    assert!(play(102_195).is_some());
}

/// A session moved to another server and back while a request of its waited at the leader, which carried it out behind what the
/// session had asked for elsewhere: its server was the right one again.
#[test]
fn a_request_from_before_a_session_moved_away_and_back_is_not_carried_out() {
    assert!(play(2_108_367).is_some());
}

/// A leader whose snapshot waited to be shown when its role ended brought nobody up to date any more, whatever was elected.
#[test]
fn a_leader_that_owes_a_snapshot_from_before_brings_the_others_up_to_date() {
    assert!(play(313_025).is_some());
}

/// Two servers had what nobody had shown in snapshots alone, and the third had lost its disk: the oracle has to know from
/// before what the snapshots are made of.
#[test]
fn what_only_snapshots_hold_is_known_from_before() {
    assert!(play(314_915).is_some());
}

/// A server that was started from a snapshot of what nobody had shown yet shows it to nobody before it serves.
#[test]
fn a_start_may_find_in_its_snapshot_what_is_not_committed() {
    assert!(play(332_377).is_some());
}

/// The acknowledgements were on their way when those that had sent them went on with the leader of a later epoch.
#[test]
fn a_leader_may_learn_late_that_it_was_one() {
    assert!(play(346_319).is_some());
    assert!(play(347_256).is_some());
}

/// A learner that was late into its leader's next epoch was answered its sync before it had, or showed, what was committed
/// meanwhile.
#[test]
fn a_sync_of_a_learner_on_its_way_into_the_next_epoch_is_answered_behind_what_it_missed() {
    assert!(play(600_008).is_some());
    assert!(play(600_808).is_some());
}

/// A client had taken up its session on a server that lagged behind its createSession: when that came it was told once
/// more that the session is open, in the middle of its answers.
#[test]
fn who_has_a_session_is_not_told_of_its_opening_again() {
    assert!(play(1_400_103).is_some());
    assert!(play(1_403_869).is_some());
}

#[test]
fn the_same_seed_is_the_same_run() {
    let plan = Plan::of(7);
    let report = plan.play();
    assert_eq!(report, plan.play());
    let other = Plan { seed: 8, ..plan };
    assert_ne!(report.trace, other.play().trace);
}

/// What servers send each other, and when, is in the trace to the byte; what they answer is held against the model. The order
/// of the znodes in a snapshot means nothing: of a scenario in which one is sent the trace is left out.
#[test]
fn nothing_that_is_sent_or_written_depends_on_the_keys_of_the_hashes() {
    let play = |plan: &Plan| {
        let report = plan.play();
        let is_told = report.coverage.of("snapshot installed") == 0;
        Report { trace: if is_told { report.trace } else { 0 }, ..report }
    };
    let (mut traces, mut all) = (0, 0);
    for seed in 7..15 {
        let plan = Plan::of(seed);
        let report = play(&plan);
        (traces, all) = (traces + usize::from(report.trace != 0), all + 1);
        for keys in [[1, 2, 3, 4], [0x0123_4567_89ab_cdef, 0xfeed, u64::MAX, 5]] {
            assert_eq!(report, crate::ids::other_keys::with(keys, || play(&plan)), "seed {seed}");
        }
    }
    assert!(traces > 2, "{traces} of {all} scenarios without a snapshot");
}

fn scenario(seed: u64, voters: usize, observers: usize, steps: Vec<Step>) -> Report {
    Plan { seed, voters, observers, clients: 4, last_counter: Zxid::LAST_COUNTER, steps }.play()
}

#[test]
fn without_faults_there_is_one_election_and_everybody_is_served() {
    let report = scenario(1, 3, 0, vec![]);
    assert_eq!(report.elections, 1);
    assert!(report.answers > 500 && report.commits > 200, "{report:?}");
    assert_eq!(report.coverage.of("session found expired"), 0);
}

#[test]
fn observers_serve_and_do_not_vote() {
    let report = scenario(4, 3, 2, vec![Step { after_ms: 500, fault: Fault::Crash(Who::Leader) }]);
    assert_eq!(report.elections, 2);
}

#[test]
fn a_lost_leader_is_replaced_again_and_again() {
    let mut steps = vec![];
    for _ in 0..5 {
        steps.push(Step { after_ms: 1_000, fault: Fault::Crash(Who::Leader) });
        steps.push(Step { after_ms: 1_500, fault: Fault::StartAll });
    }
    let report = scenario(2, 3, 0, steps);
    assert_eq!(report.elections, 6);
}

#[test]
fn a_server_that_comes_back_with_nothing_is_brought_up_before_it_votes() {
    let steps = [
        (800, Fault::Crash(Who::Place(0))),
        (400, Fault::Wipe(0)),
        (100, Fault::Start(0)),
        (900, Fault::Crash(Who::Leader)),
        (1500, Fault::StartAll),
    ];
    let report = scenario(3, 3, 0, steps.map(|(after_ms, fault)| Step { after_ms, fault }).to_vec());
    assert_eq!(report.coverage.of("new disk"), 1);
    assert!(report.coverage.of("snapshot installed") >= 1, "{}", report.coverage);
}

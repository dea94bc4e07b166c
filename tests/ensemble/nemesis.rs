//! Faults, one after the other, under clients that keep asking. Between two faults the ensemble must become whole again
//! and serve; during a fault that leaves a majority together, that majority must serve.

use fastrand::Rng;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::checker;
use super::clients::{self, Board, Client, PACE};
use super::cluster::Ensemble;
use super::links::Direction;
use super::support::random::fresh_seed;
use super::support::{env_number, wait_for};
use super::tree;

/// Writes that count as being served.
const SERVED: u64 = 40;

/// A majority that can talk serves within this; a new leader is needed for it, and clients that look for it.
const SERVE_LIMIT: Duration = Duration::from_secs(30);

/// A history that does not come to its end within this long for every thousand requests has come to a stand.
const STAND_LIMIT: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    Leader,
    Follower,
}

impl Whom {
    /// A place, given the leader's.
    pub fn of(self, leader: usize, count: usize, random: &mut Rng) -> usize {
        match self {
            Whom::Leader => leader,
            Whom::Follower => (leader + random.usize(1..=count - 1)) % count,
        }
    }
}

/// What happens to the ensemble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Kill(Whom),
    /// Killed again while it starts.
    KillTwice(Whom),
    /// SIGKILL for everyone at once.
    KillAll,
    /// SIGTERM and a new start.
    Restart(Whom),
    /// One after the other is ended with SIGTERM and started again, the leader last.
    RollingRestart,
    /// SIGSTOP, until the others serve.
    Pause(Whom),
    /// SIGSTOP for a moment that may or may not be noticed.
    ShortPause(Whom),
    /// One member hears nobody and is heard by nobody.
    Isolate(Whom),
    /// The leader is left with the smaller part.
    Minority,
    /// One member is heard by nobody.
    Mute(Whom),
    /// One member hears nobody.
    Deafen(Whom),
    /// One direction between two members.
    OneWay,
    /// Two members, neither of them heard by the other, both by all others.
    Pair,
    /// Every message between members is late.
    Slow,
    /// All connections of a member are cut off and may be opened again.
    Sever(Whom),
}

/// Requests each fault class is tried with.
fn operations_wanted() -> u64 {
    env_number("CORRAL_NEMESIS_OPS", 2_000)
}

/// Every fault at least this often.
const LEAST_ROUNDS: usize = 1;

/// Clients per member.
const CLIENTS: usize = 2;

/// Lets faults happen to an ensemble under load, in turn, until there are enough requests; then judges.
pub fn run(name: &str, ensemble: &mut Ensemble, faults: &[Fault]) {
    in_turn(name, ensemble, faults, inflict);
}

/// The same for another kind of faults.
pub fn in_turn<F: Copy + std::fmt::Debug>(
    name: &str,
    ensemble: &mut Ensemble,
    faults: &[F],
    inflict: impl Fn(F, &mut Ensemble, &Board, &mut Rng),
) {
    run_with(name, ensemble, |ensemble, board, random| {
        let wanted = operations_wanted();
        let mut rounds = 0;
        while rounds < faults.len() * LEAST_ROUNDS || board.known.load(Ordering::Relaxed) < wanted {
            let fault = faults[rounds % faults.len()];
            await_served(board, "a whole ensemble", ensemble);
            let begun = Instant::now();
            inflict(fault, ensemble, board, random);
            ensemble.await_whole();
            println!("{name}: {fault:?}: whole again after {:.2} s", begun.elapsed().as_secs_f64());
            rounds += 1;
            let limit = STAND_LIMIT * (rounds as u32 + wanted as u32 / 1_000 + 1);
            assert!(board.begun.elapsed() < limit, "{name} comes to no end");
        }
        rounds
    });
}

/// Keeps clients busy while `work` is done to the ensemble, then compares the members and judges what the clients saw.
pub fn run_with<R: std::fmt::Debug>(
    name: &str,
    ensemble: &mut Ensemble,
    work: impl FnOnce(&mut Ensemble, &Board, &mut Rng) -> R,
) {
    run_at(PACE, name, ensemble, work);
}

/// The same with so many requests a second and client.
pub fn run_at<R: std::fmt::Debug>(
    pace: u64,
    name: &str,
    ensemble: &mut Ensemble,
    work: impl FnOnce(&mut Ensemble, &Board, &mut Rng) -> R,
) {
    let seed = match env_number("CORRAL_NEMESIS_SEED", 0) {
        0 => fresh_seed(),
        seed => seed,
    };
    println!("{name}: {} at {:?}, CORRAL_NEMESIS_SEED={seed}", ensemble.names(), ensemble.addresses());
    let mut random = Rng::with_seed(seed);
    let addresses = ensemble.addresses();
    clients::furnish(addresses[0]);
    let mut clients: Vec<Client> = addresses
        .iter()
        .cycle()
        .take(CLIENTS * addresses.len())
        .enumerate()
        .map(|(number, home)| Client::new(number, *home, &mut random))
        .collect();
    let board = Board::new(addresses, pace);
    let outcome = std::thread::scope(|scope| {
        for client in &mut clients {
            let board = &board;
            scope.spawn(|| client.work(board));
        }
        // The clients must end even if this does not end well.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let outcome = work(ensemble, &board, &mut random);
            ensemble.await_whole();
            await_served(&board, "a whole ensemble at the end", ensemble);
            outcome
        }));
        board.stop.store(true, Ordering::Relaxed);
        outcome
    });
    let outcome = outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    for client in &mut clients {
        client.come_home(&board);
    }
    let took = board.begun.elapsed();
    let mut history = clients::gather(&mut clients);
    history.sync_is_barrier = !ensemble.is_mixed();
    let end = tree::agreed(ensemble);
    let violations = checker::violations(&history, &end);
    let shown: Vec<&String> = violations.iter().take(20).collect();
    assert!(
        violations.is_empty(),
        "{name}: {} violations among {} requests: {shown:#?}\n{}",
        violations.len(),
        history.operations.len(),
        ensemble.logs()
    );
    ensemble.assert_trees_fitted();
    for client in &mut clients {
        client.close(&board);
    }
    let left = tree::agreed(ensemble).into_keys().filter(|path| path.starts_with("/e/")).count();
    assert_eq!(left, 0, "ephemeral nodes outlive their sessions");
    println!(
        "{name}: {outcome:?}; {} requests, {} of unknown outcome, {} sessions lost, {} nodes on each member, {:.1} s, no violation",
        history.operations.len(),
        history.unknown(),
        history.lost.len(),
        end.len(),
        took.as_secs_f64()
    );
}

/// Waits until the ensemble has written something more.
pub fn await_served(board: &Board, who: &str, ensemble: &mut Ensemble) {
    let before = board.written.load(Ordering::Relaxed);
    let served = wait_for(SERVE_LIMIT, || {
        ensemble.mind();
        (board.written.load(Ordering::Relaxed) >= before + SERVED).then_some(())
    });
    assert!(served.is_some(), "{who} does not serve within {SERVE_LIMIT:?}\n{}", ensemble.logs());
}

fn inflict(fault: Fault, ensemble: &mut Ensemble, board: &Board, random: &mut Rng) {
    let leader = ensemble.await_whole();
    let count = ensemble.members.len();
    let mut victim = |whom: Whom| whom.of(leader, count, random);
    match fault {
        Fault::Kill(whom) => {
            let place = victim(whom);
            ensemble.kill(place);
            await_served(board, "a majority without a killed member", ensemble);
            ensemble.start_again(place);
        }
        Fault::KillTwice(whom) => {
            let place = victim(whom);
            ensemble.kill(place);
            ensemble.start_again(place);
            std::thread::sleep(Duration::from_millis(random.u64(..400)));
            ensemble.kill(place);
            ensemble.start_again(place);
        }
        Fault::KillAll => {
            for place in 0..count {
                ensemble.kill(place);
            }
            ensemble.spawn_all();
        }
        Fault::Restart(whom) => {
            let place = victim(whom);
            ensemble.terminate(place);
            ensemble.start_again(place);
        }
        Fault::RollingRestart => {
            for place in (1..=count).map(|step| (leader + step) % count) {
                ensemble.terminate(place);
                ensemble.start_again(place);
                ensemble.await_whole();
                await_served(board, "an ensemble after one restart of many", ensemble);
            }
        }
        Fault::Pause(whom) => {
            let place = victim(whom);
            ensemble.pause(place);
            await_served(board, "a majority without a paused member", ensemble);
            ensemble.resume(place);
        }
        Fault::ShortPause(whom) => {
            let place = victim(whom);
            ensemble.pause(place);
            std::thread::sleep(ensemble.silence().mul_f64(random.u64(..150) as f64 / 100.0));
            ensemble.resume(place);
        }
        Fault::Isolate(whom) => {
            let place = victim(whom);
            held(ensemble, board, between(&BTreeSet::from([place]), count));
        }
        Fault::Minority => {
            let part: BTreeSet<usize> = (0..(count - 1) / 2).map(|step| (leader + step) % count).collect();
            held(ensemble, board, between(&part, count));
        }
        Fault::Mute(whom) => {
            let place = victim(whom);
            held(ensemble, board, others(place, count).map(|other| (place, other)).collect());
        }
        Fault::Deafen(whom) => {
            let place = victim(whom);
            held(ensemble, board, others(place, count).map(|other| (other, place)).collect());
        }
        Fault::OneWay => {
            let place = victim(Whom::Follower);
            let direction = if random.u8(..100) < 50 { (leader, place) } else { (place, leader) };
            held(ensemble, board, vec![direction]);
        }
        Fault::Pair => {
            let place = victim(Whom::Follower);
            held(ensemble, board, vec![(leader, place), (place, leader)]);
        }
        Fault::Slow => {
            let all = (0..count).flat_map(|one| others(one, count).map(move |other| (one, other)));
            ensemble.links.delay(all, Duration::from_millis(random.u64(5..=60)));
            await_served(board, "an ensemble with a slow network", ensemble);
            ensemble.links.heal();
        }
        Fault::Sever(whom) => {
            let place = victim(whom);
            for other in others(place, count) {
                ensemble.links.sever(place, other);
            }
        }
    }
}

fn others(place: usize, count: usize) -> impl Iterator<Item = usize> {
    (0..count).filter(move |other| *other != place)
}

/// Both directions between a part of the members and the rest.
fn between(part: &BTreeSet<usize>, count: usize) -> Vec<Direction> {
    let rest = (0..count).filter(|place| !part.contains(place));
    rest.flat_map(|outside| part.iter().flat_map(move |inside| [(*inside, outside), (outside, *inside)])).collect()
}

/// Holds directions until those that still can talk have noticed, and serve.
fn held(ensemble: &mut Ensemble, board: &Board, directions: Vec<Direction>) {
    ensemble.links.hold(directions);
    await_noticed(ensemble);
    await_served(board, "a majority that can talk", ensemble);
    ensemble.links.heal();
}

/// Lets the time pass in which a member that has fallen silent is not missed, and a leader may live on what it has heard
/// before.
pub fn await_noticed(ensemble: &Ensemble) {
    std::thread::sleep(ensemble.silence() * 5 / 4);
}

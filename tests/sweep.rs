//! Damages a small data directory in every place and looks at what comes of it: a start either finds exactly the right
//! state, or the state without the last write and says that it dropped one, or ends with a named reason. It never
//! serves anything else.
//!
//! The directory is made by a real server: a few dozen transactions one by one, a snapshot, a restart, more
//! transactions, then SIGKILL. What is right is told by copies taken while it was made. Damage is a changed byte at
//! any place in use, or a file cut at any length. Most cases are judged by `corral state DIR`,
//! which recovers as a start does and prints the state; a sample is started for real and read over the wire.
//!
//! `CORRAL_SWEEP_CASES` (4 000; 0 for all), `CORRAL_SWEEP_STARTS` (24), `CORRAL_SWEEP_SEED`, `CORRAL_TEST_EDGE`.

mod support;

use fastrand::Rng;
use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use support::client::{Connection, Session};
use support::fields::{self, Value};
use support::server::{Edge, Server, Target};
use support::wire::{self, Acl, flag, op};
use support::{Scratch, env_number, hex, wait_for};

/// What a start says when it drops the last write.
const SAYS_DROPPED: &str = "unfinished write";

/// Longest time one verification may take.
const VERIFY_LIMIT: Duration = Duration::from_secs(20);

/// Frames are whole numbers of these; a file's preallocated rest is sampled once per block.
const BLOCK: usize = 4096;

/// One thing done to one file.
#[derive(Clone, Debug)]
enum Damage {
    Flip { file: PathBuf, at: u64, mask: u8 },
    Cut { file: PathBuf, length: u64 },
}

/// A data directory and what it must be found to hold.
struct Subject {
    directory: PathBuf,
    /// As verified: with everything, and without the last transaction.
    whole: String,
    without_last: String,
    /// As read over the wire.
    tree: String,
    tree_without_last: String,
    session: Session,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Right,
    DroppedLast,
    Refused,
}

#[test]
fn damage_is_never_served() {
    let seed = env_number("CORRAL_SWEEP_SEED", 7);
    println!("sweep: CORRAL_SWEEP_SEED={seed}");
    let mut random = Rng::with_seed(seed);
    let scratch = Scratch::new();
    let subject = make_subject(scratch.path());
    let all = damages(&subject.directory, &mut random);
    let limit = match env_number("CORRAL_SWEEP_CASES", 4_000) as usize {
        0 => all.len(),
        limit => limit,
    };
    let chosen = sample(&all, limit, &mut random);
    println!("sweep: {} of {} cases", chosen.len(), all.len());
    let begun = Instant::now();
    let (counts, wrong) = verify_all(&subject, &chosen, scratch.path());
    println!(
        "sweep: {} right, {} without the last write, {} refused, {} wrong, in {:.1} s",
        counts[0],
        counts[1],
        counts[2],
        wrong.len(),
        begun.elapsed().as_secs_f64()
    );
    let shown: Vec<&String> = wrong.iter().take(12).collect();
    assert!(wrong.is_empty(), "{} cases went wrong, among them:\n{shown:#?}", wrong.len());
    assert!(
        counts[0] > 0 && counts[1] > 0 && counts[2] > 0,
        "a sweep in which one outcome never happens has not swept"
    );
    start_some(&subject, &all, scratch.path(), &mut random);
}

/// Makes the directory and learns what is right.
fn make_subject(scratch: &Path) -> Subject {
    let home = scratch.join("made");
    let settings = ["tickTime=2000", "extendedTypesEnabled=true", "snapCount=20"];
    let mut server = Server::start(Target::Corral(Edge::Small), &home, &settings);
    let data = server.data_directory();
    let mut connection = Connection::new_session(server.address, 40_000).expect("a session");
    let open = Acl::open();
    connection.must(&wire::auth("digest", b"ann:one"));
    for number in 0..12 {
        let path = format!("/n{number}");
        connection.must(&wire::create(&path, path.as_bytes(), flag::PERSISTENT));
        connection.must(&wire::set_data(&path, Some(&[number; 150]), 0));
    }
    let own = [Acl::new(31, "auth", ""), Acl::new(1, "world", "anyone")];
    connection.must(&wire::create_as(op::CREATE, "/own", None, Some(&own), flag::PERSISTENT));
    connection.must(&wire::create_container("/box", b""));
    connection.must(&wire::create_ttl("/ttl", Some(b"t"), Some(&open), flag::TTL, 900_000_000));
    let snapshot = wait_for(Duration::from_secs(20), || {
        let found = files(&data).into_iter().any(|file| {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.contains("snap") && !name.contains("tmp")
        });
        // Snapshots are counted in transactions.
        connection.must(&wire::set_data("/n0", Some(b"more"), -1));
        found.then_some(())
    });
    assert!(snapshot.is_some(), "no snapshot in {}", data.display());
    let session = connection.session.clone();
    server.terminate();

    server.configure(&settings.map(|line| line.replace("=20", "=100000")));
    server.start_again();
    let mut connection = Connection::resume(server.address, &session, 0).expect("an answer");
    assert_eq!(connection.session.id, session.id, "the session lives on");
    connection.must(&wire::auth("digest", b"ann:one"));
    for number in 0..10 {
        connection.must(&wire::create(&format!("/n{number}/e"), b"", flag::EPHEMERAL));
        connection.must(&wire::delete(&format!("/n{number}/e"), -1));
    }
    connection.must(&wire::create("/n1/stays-", b"mine", flag::EPHEMERAL_SEQUENTIAL));
    connection.must(&wire::set_acl("/n2", Some(&own), -1));
    let parts =
        [wire::create("/n3/a", b"1", flag::PERSISTENT), wire::set_data("/n3", Some(b"2"), -1), wire::delete("/n4", -1)];
    connection.must(&wire::multi(&parts));
    let tree_without_last = read_tree(&mut connection);
    copy(&data, &scratch.join("without-last"));
    connection.must(&wire::set_data("/n5", Some(b"the last write"), -1));
    let tree = read_tree(&mut connection);
    server.kill();
    copy(&data, &scratch.join("whole"));

    let whole = right_state(&scratch.join("whole"));
    let without_last = right_state(&scratch.join("without-last"));
    assert_ne!(whole, without_last, "the dump shows the last write");
    assert!(whole.lines().count() > 15, "the dump shows the tree:\n{whole}");
    assert_eq!(right_state(&scratch.join("whole")), whole, "verifying changes nothing");
    Subject { directory: scratch.join("whole"), whole, without_last, tree, tree_without_last, session }
}

/// After SIGTERM nothing can have been under way: a last frame that is not whole was damaged since, on both edges.
#[test]
fn a_last_write_damaged_after_an_orderly_stop_is_refused() {
    const LAST: &[u8] = b"the last write before the stop";
    for edge in [Edge::Small, Edge::Shards(2)] {
        let scratch = Scratch::new();
        let mut server = Server::start(Target::Corral(edge), scratch.path(), &["tickTime=2000"]);
        let data = server.data_directory();
        let mut connection = Connection::new_session(server.address, 40_000).expect("a session");
        connection.must(&wire::create("/n", b"first", flag::PERSISTENT));
        connection.must(&wire::set_data("/n", Some(LAST), -1));
        server.terminate();
        let whole = right_state(&data);
        assert!(whole.contains(&hex(LAST)), "{edge:?}: {whole}");
        let holds = |file: &PathBuf| fs::read(file).expect("a file").windows(LAST.len()).position(|part| part == LAST);
        let (file, at) = files(&data).into_iter().find_map(|file| Some((file.clone(), holds(&file)?))).expect("a log");
        let old = exchange(&file, at as u64, |byte| byte ^ 1);
        let output = verify(&data);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && !said.contains(SAYS_DROPPED), "{edge:?}: {said}");
        server.spawn();
        let (answers, ended) = server.answers_or_ends();
        let log = server.log_tail();
        assert!(!answers && ended.is_some() && log.contains("log-corrupt"), "{edge:?}: {ended:?}\n{log}");
        exchange(&file, at as u64, |_| old);
        assert_eq!(right_state(&data), whole, "{edge:?}: mended");
    }
}

fn right_state(directory: &Path) -> String {
    let output = verify(directory);
    assert!(output.status.success(), "an undamaged directory is refused: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("a dump is text")
}

/// Recovers a directory offline; stdout is the state found.
fn verify(directory: &Path) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_corral"))
        .arg("state")
        .arg(directory)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the corral binary starts");
    // Both pipes are emptied while it runs: a dump is larger than a pipe.
    let mut stdout = child.stdout.take().expect("piped");
    let mut stderr = child.stderr.take().expect("piped");
    let errors = std::thread::spawn(move || {
        let mut text = Vec::new();
        stderr.read_to_end(&mut text).map(|_| text)
    });
    let states = std::thread::spawn(move || {
        let mut text = Vec::new();
        stdout.read_to_end(&mut text).map(|_| text)
    });
    let ended = wait_for(VERIFY_LIMIT, || child.try_wait().expect("a child to wait for"));
    if ended.is_none() {
        let _ = child.kill();
    }
    let status = child.wait().expect("a child to wait for");
    Output {
        status,
        stdout: states.join().expect("a reader").expect("stdout"),
        stderr: errors.join().expect("a reader").expect("stderr"),
    }
}

/// Judges one verification.
fn judge(subject: &Subject, output: &Output) -> Result<Outcome, String> {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let code = output.status.code().ok_or_else(|| format!("ended by a signal ({}): {said}", output.status))?;
    if said.contains("panicked") || code == 101 {
        return Err(format!("a panic: {said}"));
    }
    if code != 0 {
        return if said.trim().is_empty() {
            Err(format!("exit code {code} without a word"))
        } else {
            Ok(Outcome::Refused)
        };
    }
    let found = String::from_utf8_lossy(&output.stdout);
    if found == subject.whole {
        Ok(Outcome::Right)
    } else if found == subject.without_last {
        if said.contains(SAYS_DROPPED) {
            Ok(Outcome::DroppedLast)
        } else {
            Err(format!("the last write is gone and nothing says so: {said}"))
        }
    } else {
        Err(format!("another state: {}", first_difference(&subject.whole, &found)))
    }
}

fn first_difference(right: &str, found: &str) -> String {
    let pairs = right.lines().zip(found.lines());
    match pairs.into_iter().find(|(a, b)| a != b) {
        Some((a, b)) => format!("{b:?} instead of {a:?}"),
        None => format!("{} lines instead of {}", found.lines().count(), right.lines().count()),
    }
}

/// Every damage worth trying: each byte in use, one byte in each unused block, and cuts.
fn damages(directory: &Path, random: &mut Rng) -> Vec<Damage> {
    let mut all = Vec::new();
    for path in files(directory) {
        let file = path.strip_prefix(directory).expect("inside").to_path_buf();
        let bytes = fs::read(&path).expect("a file of the directory");
        let last_used = used_length(&bytes);
        let mut flip = |at: usize, mask: u8| {
            let file = file.clone();
            all.push(Damage::Flip { file, at: at as u64, mask });
        };
        for (number, block) in bytes.chunks(BLOCK).enumerate() {
            let base = number * BLOCK;
            let used = used_length(block);
            for at in 0..used {
                flip(base + at, 1 << random.u64(..8));
            }
            // Far behind the end one block is like the other.
            let far = number > last_used / BLOCK + 8 && !number.is_multiple_of(64);
            if used < block.len() && !far {
                // Also the first byte behind what is in use, and one somewhere in the rest.
                flip(base + used, 0xff);
                flip(base + used + random.usize(..block.len() - used), 0xff);
            }
        }
        let mut lengths = vec![0, 1, last_used, last_used.saturating_sub(1), bytes.len().saturating_sub(1)];
        lengths.extend((0..=last_used.min(64 * BLOCK)).step_by(97));
        for block in (0..last_used).step_by(BLOCK) {
            lengths.extend([block, block + 1, (block + BLOCK).saturating_sub(1)]);
        }
        lengths.retain(|length| *length < bytes.len());
        lengths.sort_unstable();
        lengths.dedup();
        all.extend(lengths.into_iter().map(|length| Damage::Cut { file: file.clone(), length: length as u64 }));
    }
    all
}

/// At most `limit` of them, evenly spread, with every file's first and last among them.
fn sample(all: &[Damage], limit: usize, random: &mut Rng) -> Vec<Damage> {
    if all.len() <= limit {
        return all.to_vec();
    }
    let step = all.len().div_ceil(limit);
    let offset = random.usize(..step);
    let file = |damage: &Damage| match damage {
        Damage::Flip { file, .. } | Damage::Cut { file, .. } => file.clone(),
    };
    all.iter()
        .enumerate()
        .filter(|(place, damage)| {
            let edge = |other: Option<&Damage>| other.is_none_or(|other| file(other) != file(damage));
            place % step == offset
                || edge(all.get(place + 1))
                || place.checked_sub(1).is_none_or(|before| edge(all.get(before)))
        })
        .map(|(_, damage)| damage.clone())
        .collect()
}

/// Judges every case; counts by outcome, and what went wrong.
fn verify_all(subject: &Subject, cases: &[Damage], scratch: &Path) -> ([usize; 3], Vec<String>) {
    let next = AtomicUsize::new(0);
    let workers = std::thread::available_parallelism().map_or(2, |count| count.get().min(4));
    let mut counts = [0; 3];
    let mut wrong = Vec::new();
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..workers)
            .map(|worker| {
                let next = &next;
                scope.spawn(move || {
                    let place = scratch.join(format!("worker{worker}"));
                    copy(&subject.directory, &place);
                    let mut outcomes = Vec::new();
                    while let Some(damage) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let undo = damage.inflict(&place);
                        let outcome = judge(subject, &verify(&place));
                        undo();
                        outcomes.push(outcome.map_err(|why| format!("{damage:?}: {why}")));
                    }
                    let untouched = verify(&place);
                    assert_eq!(
                        judge(subject, &untouched),
                        Ok(Outcome::Right),
                        "verifying left the directory as it was"
                    );
                    outcomes
                })
            })
            .collect();
        for handle in handles {
            for outcome in handle.join().expect("a worker") {
                match outcome {
                    Ok(Outcome::Right) => counts[0] += 1,
                    Ok(Outcome::DroppedLast) => counts[1] += 1,
                    Ok(Outcome::Refused) => counts[2] += 1,
                    Err(why) => wrong.push(why),
                }
            }
        }
    });
    (counts, wrong)
}

impl Damage {
    /// Damages a copy; the returned closure mends it.
    fn inflict(&self, directory: &Path) -> Box<dyn FnOnce()> {
        match self {
            Damage::Flip { file, at, mask } => {
                let path = directory.join(file);
                let old = exchange(&path, *at, |byte| byte ^ mask);
                let at = *at;
                Box::new(move || {
                    exchange(&path, at, |_| old);
                })
            }
            Damage::Cut { file, length } => {
                let path = directory.join(file);
                let bytes = fs::read(&path).expect("a file of the copy");
                let handle = fs::OpenOptions::new().write(true).open(&path).expect("a file of the copy");
                handle.set_len(*length).expect("cut");
                Box::new(move || write_sparse(&path, &bytes))
            }
        }
    }
}

/// Replaces one byte of a file and gives the old one.
fn exchange(path: &Path, at: u64, change: impl Fn(u8) -> u8) -> u8 {
    let mut file = fs::OpenOptions::new().read(true).write(true).open(path).expect("a file of the copy");
    let mut byte = [0];
    file.seek(SeekFrom::Start(at)).expect("a place in the file");
    file.read_exact(&mut byte).expect("a byte there");
    file.seek(SeekFrom::Start(at)).expect("a place in the file");
    file.write_all(&[change(byte[0])]).expect("written");
    byte[0]
}

/// Real starts on a sample of damaged directories, over all edges.
fn start_some(subject: &Subject, all: &[Damage], scratch: &Path, random: &mut Rng) {
    let targets = Target::all();
    let mut served = 0;
    let mut refused = 0;
    let starts = env_number("CORRAL_SWEEP_STARTS", 24);
    for case in 0..starts {
        let target = targets[case as usize % targets.len()];
        let damage = random.choice(all).unwrap().clone();
        let home = scratch.join(format!("start{case}"));
        fs::create_dir_all(&home).expect("a directory");
        copy(&subject.directory, &home.join("data"));
        drop(damage.inflict(&home.join("data")));
        let mut server = Server::prepare(target, &home, &["tickTime=2000", "extendedTypesEnabled=true"]);
        server.spawn();
        let (answers, ended) = server.answers_or_ends();
        let log = server.log_tail();
        if answers {
            let mut connection = Connection::resume(server.address, &subject.session, 0)
                .unwrap_or_else(|error| panic!("{target:?} {damage:?}: no session: {error}\n{log}"));
            assert_eq!(
                connection.session.id, subject.session.id,
                "{target:?} {damage:?}: the session is taken up again\n{log}"
            );
            connection.must(&wire::auth("digest", b"ann:one"));
            let tree = read_tree(&mut connection);
            let dropped = tree == subject.tree_without_last && log.contains(SAYS_DROPPED);
            assert!(
                tree == subject.tree || dropped,
                "{target:?} {damage:?}: {}\n{log}",
                first_difference(&subject.tree, &tree)
            );
            served += 1;
        } else {
            let status = ended.expect("it ended");
            assert!(status.code().is_some_and(|code| code > 1 && code < 126), "{damage:?}: {status}\n{log}");
            assert!(log.contains("fatal "), "{damage:?}: no named reason:\n{log}");
            refused += 1;
        }
        drop(server);
        fs::remove_dir_all(&home).expect("removed");
    }
    println!("sweep: {starts} starts, {served} served what is right, {refused} refused");
}

/// Every node with its data, list and Stat, as a client sees it.
fn read_tree(connection: &mut Connection) -> String {
    let mut found = vec!["/".to_string()];
    let mut lines = Vec::new();
    let mut at = 0;
    while at < found.len() {
        let path = found[at].clone();
        at += 1;
        let data = connection.must(&wire::get_data(&path, false));
        let list = connection.must(&wire::get_acl(&path));
        lines.push(format!("{path} {} {}", hex(&data), hex(&list)));
        let children = connection.must(&wire::get_children(&path, false));
        let decoded = fields::of_reply(op::GET_CHILDREN, &children).expect("children");
        let Value::Strings(Some(names)) = &decoded[0].value else {
            panic!("no children of {path}");
        };
        let parent = if path == "/" { "" } else { &path };
        found.extend(names.iter().map(|name| format!("{parent}/{}", String::from_utf8_lossy(name))));
    }
    lines.sort();
    lines.join("\n")
}

/// All files below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![directory.to_path_buf()];
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(&next).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Copies a directory with everything in it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for path in files(from) {
        let target = to.join(path.strip_prefix(from).expect("inside"));
        fs::create_dir_all(target.parent().expect("a parent")).expect("a directory");
        write_sparse(&target, &fs::read(&path).expect("a file to copy"));
    }
}

/// Writes a file whose zeros at the end take no space.
fn write_sparse(path: &Path, bytes: &[u8]) {
    let mut file = fs::File::create(path).expect("a file");
    file.write_all(&bytes[..used_length(bytes)]).expect("written");
    file.set_len(bytes.len() as u64).expect("the zeros behind");
}

/// The length without the zeros at the end.
fn used_length(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

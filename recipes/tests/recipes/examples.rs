//! The examples as processes, parts of which are killed, stopped and cut off.

use crate::relay::Relay;
use crate::support::server::send_signal;
use crate::world::{PATIENCE, World, wait_until};
use corral_recipes::Connection;
use corral_recipes::lock::Mutex;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a session outlives its process, in ms. Short, so that the dead are noticed soon; a loaded machine may take a while
/// to let a process breathe.
const SESSION_MS: &str = "1500";

/// A process of an example. It is killed when this is dropped.
pub struct Process {
    child: Child,
    output: PathBuf,
}

impl Process {
    /// Starts an example, whose output goes to a file in this folder.
    pub fn start(example: &str, folder: &Path, arguments: &[&str]) -> Process {
        let test = std::env::current_exe().unwrap();
        let program = test.ancestors().nth(2).unwrap().join("examples").join(example);
        assert!(program.exists(), "{} is missing: cargo build -p corral-recipes --examples", program.display());
        let output = folder.join(format!("{}.out", arguments[1..].join("-")));
        let file = File::options().create(true).append(true).open(&output).unwrap();
        let child = Command::new(program)
            .args(arguments)
            .env("SESSION_MS", SESSION_MS)
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Process { child, output }
    }

    /// What it has printed so far.
    pub fn printed(&self) -> String {
        std::fs::read_to_string(&self.output).unwrap()
    }

    pub fn signal(&self, signal: i32) {
        send_signal(self.child.id(), signal);
    }

    pub fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }

    /// Waits until it ends by itself, and returns what it has printed.
    pub fn end(&mut self) -> String {
        let end = Instant::now() + 2 * PATIENCE;
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < end, "it still runs:\n{}", self.printed());
            std::thread::sleep(Duration::from_millis(10));
        }
        self.printed()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// How many children all places together have.
async fn count(connection: &Connection, parents: &[String]) -> usize {
    let mut all = 0;
    for parent in parents {
        all += connection.children(parent).await.unwrap_or_default().len();
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_task_ends_once_whoever_dies() {
    const TASKS: usize = 90;
    let world = World::start();
    let connection = world.connect().await;
    let folder = tempfile::tempdir().unwrap();
    let servers = world.server.address.to_string();
    let relay: Relay = world.relay();
    let through = relay.address.to_string();
    let start =
        |servers: &str, part: &str, id: &str| Process::start("master-workers", folder.path(), &[servers, part, id]);

    let mut masters = vec![start(&servers, "master", "M1"), start(&through, "master", "M2")];
    let mut workers =
        vec![start(&servers, "worker", "W1"), start(&through, "worker", "W2"), start(&servers, "worker", "W3")];
    let mut client = start(&servers, "client", &TASKS.to_string());
    let done = |number: usize| {
        let connection = &connection;
        async move {
            wait_until("tasks are done", || async {
                connection.children("/status").await.is_ok_and(|done| done.len() >= number)
            })
            .await;
        }
    };
    done(5).await;
    // A worker that dies, and one that sleeps until its session is over, and then is late.
    workers[0].kill();
    workers[2].signal(libc::SIGSTOP);
    done(15).await;
    // The master dies, and the other one takes over.
    let (leader, _) = connection.get("/master").await.unwrap();
    masters[usize::from(leader == b"M2")].kill();
    done(30).await;
    relay.cut();
    wait_until("the sleeper's session is over", || async { connection.exists("/workers/W3").await.unwrap().is_none() })
        .await;
    // The master that is left sees both, and gives what they had to the worker that is left: before they come again under the
    // same names, and find it where it was.
    let gone = ["/assign/W1", "/assign/W3"].map(str::to_owned);
    wait_until("nothing is left with those who are gone", || async { count(&connection, &gone).await == 0 }).await;
    workers[2].signal(libc::SIGCONT);
    workers[0] = start(&servers, "worker", "W1");
    masters.push(start(&servers, "master", "M3"));
    done(60).await;
    relay.cut();
    let printed = tokio::task::spawn_blocking(move || client.end()).await.unwrap();

    assert!(printed.ends_with("client: all done\n"), "{printed}");
    let status = connection.children("/status").await.unwrap();
    assert_eq!(status.len(), TASKS, "each ends once");
    for n in 0..TASKS {
        assert_eq!(printed.matches(&format!(" {n} squared is {} by W", n * n)).count(), 1, "{printed}");
    }
    let places = ["/tasks", "/assign/W1", "/assign/W2", "/assign/W3"].map(str::to_owned);
    assert_eq!(count(&connection, &places).await, 0, "nothing is left with anybody");
    let all: String = masters.iter().chain(&workers).map(Process::printed).collect();
    for n in &status {
        assert!(all.matches(&format!("{n} is done\n")).count() <= 1, "{n}: {all}");
    }
    assert!(all.contains("comes back from W"), "{all}");
}

/// The active one sleeps until its session is over and another one writes. When it wakes, not one number of its own gets in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_wakes_too_late_writes_nothing() {
    let world = World::start();
    let connection = world.connect().await;
    let folder = tempfile::tempdir().unwrap();
    let servers = world.server.address.to_string();
    let start = |id: &str| Process::start("active-standby", folder.path(), &[&servers, id]);
    // Everything that was ever written, in order.
    let (journal, mut stop) = tokio::sync::oneshot::channel::<()>();
    let follower = tokio::spawn({
        let mut changes = connection.subscribe_data_changes("/journal");
        async move {
            let mut seen: Vec<(String, u64)> = vec![];
            loop {
                let changed = tokio::select! {
                    changed = changes.next() => changed.unwrap(),
                    _ = &mut stop => return seen,
                };
                let Some((data, _)) = changed else { continue };
                let text = String::from_utf8(data).unwrap();
                let (id, number) = text.split_once(' ').unwrap();
                seen.push((id.to_owned(), number.parse().unwrap()));
            }
        }
    });
    let prints = async |process: &Process, text: &str| {
        wait_until(text, || async { process.printed().contains(text) }).await;
    };
    let mut processes = vec![start("A")];
    prints(&processes[0], "A: wrote 5").await;
    processes.push(start("B"));
    prints(&processes[1], "B: standby").await;
    for round in 0..3 {
        let (active, standby) = (round % 2, 1 - round % 2);
        let ids = ["A", "B"];
        processes[active].signal(libc::SIGSTOP);
        let before = processes[standby].printed().matches("wrote").count();
        wait_until("the other one writes", || async {
            processes[standby].printed().matches("wrote").count() > before + 5
        })
        .await;
        let told = processes[active].printed();
        processes[active].signal(libc::SIGCONT);
        wait_until("it is standby", || async {
            processes[active].printed().matches(&format!("{}: standby", ids[active])).count()
                > told.matches(&format!("{}: standby", ids[active])).count()
        })
        .await;
        // What it had under way before it was stopped may have been answered since; nothing was begun.
        let after = processes[active].printed()[told.len()..].matches("wrote").count();
        assert!(after <= 1, "{}", processes[active].printed());
    }
    journal.send(()).unwrap();
    let seen = follower.await.unwrap();
    assert!(seen.len() > 20, "{seen:?}");
    assert!(seen.windows(2).all(|pair| pair[0].1 < pair[1].1), "each number was written by one: {seen:?}");
    let changes = seen.windows(2).filter(|pair| pair[0].0 != pair[1].0).count();
    assert!((3..=4).contains(&changes), "the lead has changed three times, and once from nobody: {seen:?}");
}

/// Processes that are killed, stopped for longer than their sessions live, and cut off, at random. The log says that turns never
/// overlap, that each is whole or ends early, and that everybody had some.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_step_is_written_after_its_turn() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let world = World::start();
    let connection = world.connect().await;
    let folder = tempfile::tempdir().unwrap();
    let relay = world.relay();
    let servers = [world.server.address.to_string(), relay.address.to_string()];
    let ids = ["A", "B", "C", "D"];
    let start = |at: usize| Process::start("locks", folder.path(), &[&servers[at % 2], ids[at]]);
    let mut processes: Vec<Process> = (0..ids.len()).map(start).collect();
    let steps = || async { connection.exists("/log").await.unwrap().map_or(0, |stat| stat.num_children) };
    // Whose turn it is.
    let turn = || async {
        let contenders = Mutex::new(&connection, "/turn").contenders().await.unwrap();
        contenders.first().and_then(|id| ids.iter().position(|other| other.as_bytes() == id))
    };
    let mut caught = 0;
    for round in 0..6 {
        let before = steps().await;
        wait_until("the turns go on", || async { steps().await >= before + 6 }).await;
        match round % 3 {
            0 => {
                let victim = turn().await.unwrap_or_else(|| random.usize(..ids.len()));
                processes[victim].kill();
                processes[victim] = start(victim);
            }
            // One that sleeps in its turn until others have had theirs. It may be caught between two turns instead.
            1 => {
                for _ in 0..4 {
                    tokio::time::sleep(Duration::from_millis(random.u64(0..90))).await;
                    let Some(victim) = turn().await else { continue };
                    let told = processes[victim].printed().len();
                    processes[victim].signal(libc::SIGSTOP);
                    let before = steps().await;
                    wait_until("the others go on", || async { steps().await >= before + 6 }).await;
                    processes[victim].signal(libc::SIGCONT);
                    wait_until("it goes on", || async { processes[victim].printed().len() > told }).await;
                    if processes[victim].printed()[told..].contains("has ended early") {
                        caught += 1;
                        break;
                    }
                }
            }
            _ => relay.cut(),
        }
    }
    drop(processes);

    let mut names = connection.children("/log").await.unwrap();
    names.sort();
    let mut turns: Vec<(i64, String, Vec<usize>)> = vec![];
    for name in names {
        let line = String::from_utf8(connection.get(&format!("/log/{name}")).await.unwrap().0).unwrap();
        let parts: Vec<&str> = line.split(' ').collect();
        let (token, id, step) = (parts[0].parse().unwrap(), parts[1].to_owned(), parts[2].parse().unwrap());
        match turns.last_mut() {
            Some((last, owner, steps)) if *last == token => {
                assert_eq!(*owner, id);
                steps.push(step);
            }
            Some((last, ..)) => {
                assert!(*last < token, "{line} comes after a turn of {last}");
                turns.push((token, id, vec![step]));
            }
            None => turns.push((token, id, vec![step])),
        }
    }
    assert!(turns.len() > 8, "{turns:?}");
    assert!(caught > 0, "nobody was stopped in its turn");
    for (token, id, steps) in &turns {
        assert!([1, 2, 3].starts_with(steps), "{token} {id} {steps:?}");
        assert!(ids.contains(&id.as_str()));
    }
    for id in ids {
        assert!(turns.iter().any(|(_, owner, _)| owner == id), "{id} never had a turn: {turns:?}");
    }
}

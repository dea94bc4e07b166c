//! The examples as processes, parts of which are killed, stopped and cut off.

use crate::relay::Relay;
use crate::support::server::send_signal;
use crate::world::{PATIENCE, World, wait_until};
use corral_recipes::Connection;
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
    assert!(all.contains("comes back from W1") && all.contains("comes back from W3"), "{all}");
}

//! What the program says of the machine it runs on, by the real binary: the command and the server's log, on a directory
//! in memory and on threads kept to the CPUs that they were given.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use support::client::Connection;
use support::server::{Edge, Server, Target, free_port, send_signal};
use support::{Scratch, wait_for, wire};

/// How long the server may take to measure its disk and say so.
const LOG_LIMIT: Duration = Duration::from_secs(30);

/// A file system in memory that most machines have.
const IN_MEMORY: &str = "/dev/shm";

/// A directory of our own in memory, if this machine has such a file system and lets us.
fn in_memory() -> Option<tempfile::TempDir> {
    let mounts = fs::read_to_string("/proc/mounts").ok()?;
    let is_tmpfs = mounts.lines().any(|line| {
        let mut words = line.split(' ').skip(1);
        (words.next(), words.next()) == (Some(IN_MEMORY), Some("tmpfs"))
    });
    is_tmpfs.then(|| tempfile::tempdir_in(IN_MEMORY).ok()).flatten()
}

fn advise(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_corral"))
        .args(["profile", "advise"])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the corral binary starts")
}

fn text(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).expect("UTF-8").split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

fn names(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path()).collect()
}

#[test]
fn advise_names_a_directory_in_memory_as_volatile() {
    let Some(dir) = in_memory() else {
        println!("no tmpfs at {IN_MEMORY}: not tried");
        return;
    };
    let path = dir.path().to_str().expect("UTF-8");
    let advice = text(&advise(&["--data-dir", path]));
    assert!(advice.contains(&format!("log {path}: tmpfs, volatile")), "{advice}");
    assert!(advice.contains(&format!("warning: the log in {path} (tmpfs) will not outlive a restart")), "{advice}");
    assert!(advice.contains("how: dataLogDir=DIR"), "{advice}");
    assert!(names(dir.path()).is_empty(), "nothing is left of the measurement");
}

#[test]
fn advise_looks_at_the_configuration_it_is_given() {
    let dir = Scratch::new();
    let config = dir.path().join("zoo.cfg");
    let data = dir.path().join("data");
    fs::write(&config, format!("dataDir={}\ncorral.shards=64\nmaxCnxns=2147483647\n", data.display())).expect("a file");
    let path = config.to_str().expect("UTF-8");
    let advice = text(&advise(&["--config", path]));
    assert!(advice.contains("a quorum core and 64 shards"), "{advice}");
    assert!(advice.contains("log_writes 4 KiB synced in"), "{advice}");
    assert!(advice.contains("warning: 65 threads (the quorum core and 64 shards) share"), "{advice}");
    assert!(!data.exists(), "nothing is made");

    fs::write(&config, "clientPort=x\n").expect("a file");
    let refused = advise(&["--config", path]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("clientPort = \"x\""));
}

#[test]
fn a_server_tells_of_its_machine_once_it_serves() {
    let scratch = in_memory();
    let other = Scratch::new();
    let dir = scratch.as_ref().map_or(other.path(), |dir| dir.path());
    let server = Server::start(Target::Corral(Edge::Small), dir, &[]);
    let told = wait_for(LOG_LIMIT, || {
        let log = server.log_tail();
        let has_all =
            log.contains("machine: kernel ") && (scratch.is_none() || log.contains("will not outlive a restart"));
        has_all.then_some(log)
    });
    let log = told.unwrap_or_else(|| panic!("nothing was told; its log:\n{}", server.log_tail()));
    let at = |what: &str| log.find(what).unwrap_or_else(|| panic!("{what}:\n{log}"));
    assert!(at("serving") < at("machine: kernel "), "{log}");
}

#[test]
fn pinned_threads_keep_to_the_cpus_that_were_given() {
    let allowed = allowed_cpus("/proc/self/status");
    let dir = Scratch::new();
    let server = Server::start(Target::Corral(Edge::Small), dir.path(), &["corral.pinThreads=true"]);
    let pid = server.pid().expect("it runs");
    let core = names(Path::new(&format!("/proc/{pid}/task")))
        .into_iter()
        .find(|task| fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == "core"))
        .expect("the core's thread");
    let status = core.join("status");
    assert_eq!(allowed_cpus(status.to_str().expect("UTF-8")), allowed.split(['-', ',']).next().expect("a CPU"));
}

/// Without the memory that shards lock there would be a server that accepts and never answers.
#[test]
fn too_little_lockable_memory_for_shards_ends_the_start_by_name() {
    let dir = Scratch::new();
    let data = dir.path().join("data");
    let log = dir.path().join("log");
    let out = fs::File::create(&log).expect("a file");
    let mut child = Command::new("sh")
        .args(["-c", "ulimit -l 64 && exec \"$0\" server --shards 1 --client-port \"$1\" --data-dir \"$2\""])
        .args([env!("CARGO_BIN_EXE_corral"), &free_port().to_string()])
        .arg(&data)
        .stdin(Stdio::null())
        .stdout(out.try_clone().expect("a second handle"))
        .stderr(out)
        .spawn()
        .expect("a shell");
    let ended = wait_for(LOG_LIMIT, || child.try_wait().expect("a child to wait for"));
    let _ = child.kill();
    child.wait().expect("a child to wait for");
    let text = fs::read_to_string(&log).expect("a file");
    assert_eq!(ended.and_then(|status| status.code()), Some(23), "{text}");
    assert!(text.contains("limit-too-low: 65536 bytes of memory may be locked"), "{text}");
    assert!(!data.exists(), "nothing is written");
}

/// A machine that stands still for a moment stands still anywhere, and often where a thread enters the kernel. An executor
/// that finds its time slice over before it has run anything must not go to sleep with the work undone.
#[test]
fn shards_go_on_when_the_machine_has_stood_still() {
    const STOPS: usize = 40;
    // Longer than the time slice that an executor has where nothing is said, 100 ms.
    const STOPPED: Duration = Duration::from_millis(120);
    const ANSWER_LIMIT: Duration = Duration::from_secs(5);
    let dir = Scratch::new();
    let server = Server::start(Target::Corral(Edge::Shards(2)), dir.path(), &[]);
    let pid = server.pid().expect("it runs");
    let answered = [const { AtomicU64::new(0) }; 8];
    let is_over = AtomicBool::new(false);
    let stuck = std::thread::scope(|scope| {
        for answered in &answered {
            let mut client = Connection::new_session(server.address, 30_000).expect("a session");
            let is_over = &is_over;
            scope.spawn(move || {
                while !is_over.load(Relaxed) && client.call(&wire::exists("/", false)).is_ok() {
                    answered.fetch_add(1, Relaxed);
                }
            });
        }
        let stuck = (0..STOPS).find(|_| {
            let before: Vec<u64> = answered.iter().map(|answered| answered.load(Relaxed)).collect();
            let all_go_on = || {
                let go_on = answered.iter().zip(&before).all(|(now, before)| now.load(Relaxed) > before + 100);
                go_on.then_some(())
            };
            if wait_for(ANSWER_LIMIT, all_go_on).is_none() {
                return true;
            }
            send_signal(pid, libc::SIGSTOP);
            std::thread::sleep(STOPPED);
            send_signal(pid, libc::SIGCONT);
            false
        });
        is_over.store(true, Relaxed);
        // Clients that wait for an answer still end with their connections.
        drop(server);
        stuck
    });
    assert_eq!(stuck, None, "after so many stops clients wait for a shard that sleeps");
}

/// The list of CPUs in a thread's status file.
fn allowed_cpus(status: &str) -> String {
    let text = fs::read_to_string(status).expect("a status file");
    let line = text.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).expect("a list of CPUs");
    line.trim().to_owned()
}

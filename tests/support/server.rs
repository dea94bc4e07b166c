//! Starts and stops the servers under test: Corral on each of its edges, and a real ZooKeeper. A server listens on
//! 127.0.0.1 on a port picked at run time, keeps everything in one directory, and is killed when its handle is dropped.

use fastrand::Rng;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::client::four_letter_word;
use super::wait_for;

/// How long a server may take until it answers.
const START_LIMIT: Duration = Duration::from_secs(60);

/// How long a server may take to go away after SIGTERM.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// The ways Corral can be wired; every test runs over all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// One thread, one loop.
    Small,
    /// Shard executors and a quorum core, this many shards.
    Shards(u32),
}

impl Edge {
    pub const ALL: [Edge; 4] = [Edge::Small, Edge::Shards(1), Edge::Shards(2), Edge::Shards(4)];

    fn arguments(self) -> Vec<String> {
        match self {
            Edge::Small => vec!["--profile".into(), "small".into()],
            Edge::Shards(count) => vec!["--shards".into(), count.to_string()],
        }
    }
}

/// What a test runs against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Corral(Edge),
    ZooKeeper,
    /// The release line before.
    OlderZooKeeper,
}

/// The release of [`Target::OlderZooKeeper`].
const OLDER_RELEASE: &str = "3.8.6";

impl Target {
    /// Every edge of Corral, or the one named by `CORRAL_TEST_EDGE` (small, 1, 2, 4); the real ZooKeeper alone when
    /// `CORRAL_TEST_TARGET=zookeeper`.
    pub fn all() -> Vec<Target> {
        match std::env::var("CORRAL_TEST_TARGET").as_deref() {
            Ok("zookeeper") => return vec![Target::ZooKeeper],
            Ok("corral") | Err(_) => {}
            Ok(other) => panic!("CORRAL_TEST_TARGET={other}: corral or zookeeper"),
        }
        let chosen: Vec<Edge> = match std::env::var("CORRAL_TEST_EDGE").as_deref() {
            Err(_) => Edge::ALL.to_vec(),
            Ok("small") => vec![Edge::Small],
            Ok(count) => vec![Edge::Shards(count.parse().expect("CORRAL_TEST_EDGE"))],
        };
        chosen.into_iter().map(Target::Corral).collect()
    }

    pub fn is_zookeeper(self) -> bool {
        matches!(self, Target::ZooKeeper | Target::OlderZooKeeper)
    }
}

enum Process {
    Own(Child),
    /// Started by the tool, known by its process id.
    Foreign(u32),
    Gone,
}

/// A server in its own directory.
pub struct Server {
    pub target: Target,
    pub address: SocketAddr,
    directory: PathBuf,
    settings: Vec<String>,
    /// The configuration file is written for the first start only: the server itself may change it.
    keeps_configuration: bool,
    process: Process,
}

/// A port nobody listens on now. It lies below the range the kernel takes outgoing ports from: a client that polls a
/// port of that range can meet itself there, and then holds the port its server needs.
pub fn free_port() -> u16 {
    const FIRST: u16 = 11_000;
    const LAST: u16 = 31_000;
    static GIVEN: Mutex<Vec<u16>> = Mutex::new(Vec::new());
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut random = Rng::new();
    for _ in 0..10_000 {
        let port = random.u16(FIRST..=LAST);
        if !given.contains(&port) && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            given.push(port);
            return port;
        }
    }
    panic!("no free port between {FIRST} and {LAST}");
}

impl Server {
    /// Starts a server on `directory` (made when missing) with zoo.cfg lines and waits until it answers.
    pub fn start(target: Target, directory: &Path, settings: &[&str]) -> Server {
        let mut server = Server::prepare(target, directory, settings);
        server.start_again();
        server
    }

    /// A server that is not started yet.
    pub fn prepare(target: Target, directory: &Path, settings: &[&str]) -> Server {
        fs::create_dir_all(directory).expect("the server's directory");
        Server {
            target,
            address: SocketAddr::from(([127, 0, 0, 1], free_port())),
            directory: directory.to_path_buf(),
            settings: settings.iter().map(|line| line.to_string()).collect(),
            keeps_configuration: false,
            process: Process::Gone,
        }
    }

    /// Starts the server again on the same directory and port after it was killed or stopped.
    pub fn start_again(&mut self) {
        self.spawn();
        self.await_ready();
    }

    /// Starts the process and does not wait until it answers. A real ZooKeeper is always waited for.
    pub fn spawn(&mut self) {
        assert!(matches!(self.process, Process::Gone), "it is running");
        self.process = match self.target {
            Target::Corral(edge) => Process::Own(self.spawn_corral(edge)),
            Target::ZooKeeper | Target::OlderZooKeeper => Process::Foreign(self.spawn_zookeeper()),
        };
    }

    fn spawn_corral(&self, edge: Edge) -> Child {
        let config = self.configuration_file();
        if !(self.keeps_configuration && config.exists()) {
            self.write_configuration(&config);
        }
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log_file()).expect("the log file");
        Command::new(program())
            .arg("server")
            .arg("--config")
            .arg(&config)
            .args(edge.arguments())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("the corral binary starts")
    }

    fn write_configuration(&self, config: &Path) {
        let mut text = format!(
            "dataDir={}\nclientPort={}\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n",
            self.data_directory().display(),
            self.address.port()
        );
        for line in &self.settings {
            text.push_str(line);
            text.push('\n');
        }
        fs::write(config, text).expect("zoo.cfg");
    }

    fn spawn_zookeeper(&self) -> u32 {
        self.remove_begun_logs();
        let printed = self.directory.join("tool.out");
        let out = fs::File::create(&printed).expect("the tool's output file");
        // No pipe here: the server would inherit it and keep it open.
        let status = Command::new(zookeeper_tool())
            .arg("start")
            .arg(&self.directory)
            .arg(self.address.port().to_string())
            .args((self.target == Target::OlderZooKeeper).then(|| format!("release={OLDER_RELEASE}")))
            .args(self.keeps_configuration.then_some("keep=yes"))
            .args(&self.settings)
            .stdin(Stdio::null())
            .stdout(out.try_clone().expect("a second handle"))
            .stderr(out)
            .status()
            .expect("tools/zookeeper runs");
        let text = fs::read_to_string(&printed).expect("the tool's output");
        assert!(status.success(), "tools/zookeeper start failed:\n{text}");
        text.split_ascii_whitespace()
            .filter_map(|word| word.parse().ok())
            .next_back()
            .unwrap_or_else(|| panic!("tools/zookeeper start printed no pid:\n{text}"))
    }

    /// A ZooKeeper of before 3.9 killed between opening a log file and writing its first bytes does not start again before
    /// somebody has deleted that file (ZOOKEEPER-1621), as whoever runs it would. It has no transaction in it.
    fn remove_begun_logs(&self) {
        let Ok(files) = fs::read_dir(self.directory.join("version-2")) else { return };
        for file in files.filter_map(Result::ok) {
            let is_log = file.file_name().to_string_lossy().starts_with("log.");
            if is_log && file.metadata().is_ok_and(|file| file.len() == 0) {
                println!("{} is empty, and is deleted for ZooKeeper to start", file.path().display());
                fs::remove_file(file.path()).expect("the file was there");
            }
        }
    }

    /// From the second start on the configuration file stays as the server has left it.
    pub fn keep_configuration(&mut self) {
        self.keeps_configuration = true;
    }

    /// The zoo.cfg lines of the next start.
    pub fn configure(&mut self, settings: &[String]) {
        self.settings = settings.to_vec();
    }

    /// Waits until `srvr` is answered.
    pub fn await_ready(&mut self) {
        let address = self.address;
        let mut ended = None;
        let ready = wait_for(START_LIMIT, || {
            if let Process::Own(child) = &mut self.process
                && let Ok(Some(status)) = child.try_wait()
            {
                ended = Some(status);
                return Some(());
            }
            let answer = four_letter_word(address, "srvr").ok()?;
            answer.contains("Mode:").then_some(())
        });
        if ready.is_none() || ended.is_some() {
            panic!("{:?} did not start (ended: {ended:?}); its log:\n{}", self.target, self.log_tail());
        }
    }

    /// Waits until the process ends on its own; None when it still runs after `limit`.
    pub fn await_end(&mut self, limit: Duration) -> Option<ExitStatus> {
        let Process::Own(child) = &mut self.process else {
            return None;
        };
        let status = wait_for(limit, || child.try_wait().expect("a child to wait for"))?;
        self.process = Process::Gone;
        Some(status)
    }

    /// Either the server answers (true) or it ended (false), whichever comes first within the limit.
    pub fn answers_or_ends(&mut self) -> (bool, Option<ExitStatus>) {
        let address = self.address;
        let Process::Own(child) = &mut self.process else {
            panic!("only for a process of our own");
        };
        let outcome = wait_for(START_LIMIT, || {
            if let Some(status) = child.try_wait().expect("a child to wait for") {
                return Some((false, Some(status)));
            }
            let answer = four_letter_word(address, "srvr").ok()?;
            answer.contains("Mode:").then_some((true, None))
        });
        let outcome = outcome.expect("a server that neither answers nor ends");
        if !outcome.0 {
            self.process = Process::Gone;
        }
        outcome
    }

    pub fn pid(&self) -> Option<u32> {
        match &self.process {
            Process::Own(child) => Some(child.id()),
            Process::Foreign(pid) => Some(*pid),
            Process::Gone => None,
        }
    }

    /// True while the process runs.
    pub fn is_running(&mut self) -> bool {
        match &mut self.process {
            Process::Own(child) => matches!(child.try_wait(), Ok(None)),
            Process::Foreign(pid) => foreign_runs(*pid),
            Process::Gone => false,
        }
    }

    /// How it ended, for people; `None` while it runs. It is not waited for.
    pub fn has_ended(&self) -> Option<String> {
        let Some(pid) = self.pid() else { return Some("stopped".to_string()) };
        let Some(stat) = stat(pid) else { return Some("gone".to_string()) };
        is_over(&stat).then(|| format!("ended with wait status {}", stat.last().expect("an exit code")))
    }

    /// Whether the process is not there any more, and nobody here has ended it.
    pub fn has_ended_by_itself(&mut self) -> bool {
        self.pid().is_some() && !self.is_running()
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) {
        match &mut self.process {
            Process::Own(child) => {
                // It may have ended by itself; the wait tells either way.
                let _ = child.kill();
                child.wait().expect("a child to wait for");
            }
            Process::Foreign(pid) => {
                send_signal(*pid, libc::SIGKILL);
                let gone = wait_for(STOP_LIMIT, || (!foreign_runs(*pid)).then_some(()));
                assert!(gone.is_some(), "process {pid} survived SIGKILL");
            }
            Process::Gone => {}
        }
        self.process = Process::Gone;
    }

    /// SIGTERM, and waits until it is gone. Corral must end with exit code 0.
    pub fn terminate(&mut self) {
        let pid = self.pid().expect("it is running");
        send_signal(pid, libc::SIGTERM);
        match &mut self.process {
            Process::Own(_) => {
                let Some(status) = self.await_end(STOP_LIMIT) else {
                    panic!("still there after SIGTERM; its log:\n{}", self.log_tail());
                };
                assert_eq!(status.code(), Some(0), "the end after SIGTERM; its log:\n{}", self.log_tail());
            }
            Process::Foreign(_) => {
                let gone = wait_for(STOP_LIMIT, || (!foreign_runs(pid)).then_some(()));
                assert!(gone.is_some(), "process {pid} survived SIGTERM");
                self.process = Process::Gone;
            }
            Process::Gone => unreachable!("it had a pid"),
        }
    }

    /// Where Corral keeps its data.
    pub fn data_directory(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// The configuration it was started with; a reconfiguration changes it.
    pub fn configuration_file(&self) -> PathBuf {
        self.directory.join("zoo.cfg")
    }

    /// Where [`Server::log`] is.
    pub fn log_file(&self) -> PathBuf {
        self.directory.join(match self.target {
            Target::Corral(_) => "server.log",
            Target::ZooKeeper | Target::OlderZooKeeper => "zookeeper.log",
        })
    }

    /// What the server wrote to stdout and stderr.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_file()).unwrap_or_default()).into_owned()
    }

    /// The end of it.
    pub fn log_tail(&self) -> String {
        const SHOWN: usize = 8_000;
        let bytes = fs::read(self.log_file()).unwrap_or_default();
        let from = bytes.len().saturating_sub(SHOWN);
        String::from_utf8_lossy(&bytes[from..]).into_owned()
    }

    /// A number in kB from the process's status file, such as `VmRSS` or `VmHWM`.
    pub fn memory_kb(&self, name: &str) -> io::Result<u64> {
        let pid = self.pid().ok_or_else(|| io::Error::other("it is gone"))?;
        let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .and_then(|rest| rest.split_ascii_whitespace().next()?.parse().ok())
            .ok_or_else(|| io::Error::other("no such line"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The server under test: `CORRAL_PROGRAM`, or the one that was built with the tests. Cargo names it to the tests of its own
/// package alone; those of others find it in the folder above theirs.
fn program() -> PathBuf {
    if let Some(program) = std::env::var_os("CORRAL_PROGRAM") {
        return program.into();
    }
    if let Some(program) = option_env!("CARGO_BIN_EXE_corral") {
        return program.into();
    }
    let test = std::env::current_exe().expect("the path of this test");
    let program = test.ancestors().nth(2).expect("tests are in a folder of the profile's").join("corral");
    assert!(program.exists(), "{} is missing: cargo build --bin corral", program.display());
    program
}

/// The tool that installs and starts a real ZooKeeper.
fn zookeeper_tool() -> PathBuf {
    let mut folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|folder| folder.join("tools/zookeeper"));
    folders.find(|tool| tool.exists()).expect("the package is in the repository")
}

/// Brings the real ZooKeeper onto this machine when it is not there yet.
pub fn install_zookeeper() {
    static DONE: Mutex<bool> = Mutex::new(false);
    install_once(&DONE, None);
}

/// The same for [`Target::OlderZooKeeper`].
pub fn install_older_zookeeper() {
    static DONE: Mutex<bool> = Mutex::new(false);
    install_once(&DONE, Some(OLDER_RELEASE));
}

fn install_once(done: &Mutex<bool>, release: Option<&str>) {
    let mut done = done.lock().expect("no panic in an earlier install");
    if *done {
        return;
    }
    let output = Command::new(zookeeper_tool())
        .arg("install")
        .args(release)
        .stdin(Stdio::null())
        .output()
        .expect("tools/zookeeper runs");
    assert!(
        output.status.success(),
        "tools/zookeeper install failed:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    *done = true;
}

/// Sends a signal to a process this test started.
#[allow(unsafe_code)]
pub fn send_signal(pid: u32, signal: i32) {
    let pid = i32::try_from(pid).expect("a process id");
    assert!(pid > 1, "never a group, never init");
    // SAFETY: kill(2) takes two integers and touches no memory of ours.
    unsafe {
        libc::kill(pid, signal);
    }
}

/// Whether a process that is not our child still runs; a zombie does not, unless threads of it are left, which hold its
/// sockets.
fn foreign_runs(pid: u32) -> bool {
    if fs::read_dir(format!("/proc/{pid}/task")).is_ok_and(|tasks| tasks.count() > 1) {
        return true;
    }
    stat(pid).is_some_and(|stat| !is_over(&stat))
}

/// What the system says of a process, from its state to its exit code (proc(5)); `None`: there is none.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Behind the name, which may hold anything.
    let fields = text.rsplit(')').next().unwrap_or_default();
    Some(fields.split_ascii_whitespace().map(str::to_string).collect())
}

/// Whether a process is a zombie, or about to be gone.
fn is_over(stat: &[String]) -> bool {
    matches!(stat.first().map(String::as_str), Some("Z" | "X"))
}

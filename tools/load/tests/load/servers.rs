//! The programs the tests run: `corral-load` itself, its floors, and a real Corral of this workspace. What was started
//! is stopped when its handle is dropped.

use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// How long a program may take until it serves.
const START_LIMIT: Duration = Duration::from_secs(60);

/// The tool under test.
pub fn tool() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_corral-load"))
}

/// Runs the tool to its end.
pub fn load(arguments: &[&str]) -> Output {
    Command::new(tool()).args(arguments).stdin(Stdio::null()).output().expect("the tool starts")
}

/// Runs the tool with `--json`; it must succeed. Returns the document.
pub fn document(arguments: &[&str]) -> Value {
    let output = load(&[arguments, &["--json"]].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {:?}\n{errors}", output.status);
    serde_json::from_slice(&output.stdout).expect("a document")
}

/// What is said of errors, in a run of a document.
pub fn errors(run: &Value) -> Vec<(i64, u64)> {
    let errors = run["errors"].as_array().expect("a list of errors");
    errors.iter().map(|error| (error["code"].as_i64().unwrap(), error["count"].as_u64().unwrap())).collect()
}

/// A program that is killed when the test ends.
pub struct Program {
    pub child: Child,
    pub address: SocketAddr,
}

impl Program {
    /// Starts the tool with arguments that make it listen on a port it prints.
    pub fn listening(arguments: &[&str]) -> Program {
        let mut child = Command::new(tool())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the tool starts");
        let mut line = String::new();
        let stdout = child.stdout.as_mut().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let address = line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("{line}"));
        Program { address: address.parse().expect("an address"), child }
    }

    /// The address as the tool takes it.
    pub fn target(&self) -> String {
        self.address.to_string()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A Corral on one thread, with its data in `directory`, on a port of its own that it keeps when it is started again.
pub struct Corral {
    directory: PathBuf,
    port: u16,
    pub program: Program,
}

impl Corral {
    pub fn start(directory: &Path) -> Corral {
        let port = free_port();
        fs::create_dir_all(directory).expect("a directory");
        let settings = format!(
            "dataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\nmaxClientCnxns=0\nadmin.enableServer=false\n\
             4lw.commands.whitelist=*\n",
            directory.join("data").display()
        );
        fs::write(directory.join("zoo.cfg"), settings).expect("zoo.cfg");
        let program = Corral::spawn(directory, port);
        Corral { directory: directory.into(), port, program }
    }

    /// Starts it again on what it has left when it was killed.
    pub fn start_again(&mut self) {
        self.program = Corral::spawn(&self.directory, self.port);
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) {
        self.program.child.kill().expect("it runs");
        self.program.child.wait().expect("it ends");
    }

    pub fn target(&self) -> String {
        self.program.target()
    }

    pub fn pid(&self) -> String {
        self.program.child.id().to_string()
    }

    fn spawn(directory: &Path, port: u16) -> Program {
        let log = fs::OpenOptions::new().create(true).append(true).open(directory.join("log")).expect("a log");
        let child = Command::new(corral())
            .args(["server", "--profile", "small", "--config"])
            .arg(directory.join("zoo.cfg"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("corral starts");
        let mut program = Program { child, address: ([127, 0, 0, 1], port).into() };
        let deadline = Instant::now() + START_LIMIT;
        while !srvr(program.address).is_ok_and(|answer| answer.contains("Mode:")) {
            let ended = program.child.try_wait().expect("a child");
            let log = || fs::read_to_string(directory.join("log")).unwrap_or_default();
            assert!(ended.is_none() && Instant::now() < deadline, "corral does not serve:\n{}", log());
            std::thread::sleep(Duration::from_millis(10));
        }
        program
    }
}

/// The server's answer to the four-letter word.
fn srvr(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.write_all(b"srvr")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// A port nobody listens on, below those the kernel gives to clients; none is given twice, because a server that is
/// killed must find its own free when it comes back.
fn free_port() -> u16 {
    static GIVEN: Mutex<Vec<u16>> = Mutex::new(vec![]);
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let start = std::process::id() as u16 % 10_000;
    let mut ports = (0..10_000).map(|offset| 20_000 + ((u32::from(start) + offset * 7) % 10_000) as u16);
    let is_free = |port: &u16| !given.contains(port) && TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let port = ports.find(is_free).expect("a free port");
    given.push(port);
    port
}

/// The server of this workspace: beside the tool, where a build of the workspace puts it; built if it is not there.
/// `CORRAL_PROGRAM` names another one.
fn corral() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        if let Some(named) = std::env::var_os("CORRAL_PROGRAM") {
            return named.into();
        }
        let directory = tool().parent().expect("the tool is in a directory").to_path_buf();
        let program = directory.join("corral");
        if !program.exists() {
            let profile = directory.file_name().and_then(|name| name.to_str()).expect("a profile's name");
            let profile = if profile == "debug" { "dev" } else { profile };
            let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
            let status = Command::new(env!("CARGO"))
                .args(["build", "--locked", "--package", "corral", "--bin", "corral", "--profile", profile])
                .arg("--target-dir")
                .arg(directory.parent().expect("a target directory"))
                .current_dir(workspace)
                .status();
            assert!(status.expect("cargo runs").success(), "corral could not be built");
        }
        program
    })
}

//! A headless Chromium, driven over the WebDriver protocol (W3C) and the driver's additions to it: enough to open a
//! file, ask it questions in JavaScript, take pictures, and learn what the console and the network saw.
//!
//! The browser is kept off the network: names do not resolve and everything else goes to a proxy that is not there.

use base64::Engine;
use rustix::process::{Pid, Signal};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Anything the driver is asked, the start of the browser among it.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
const END_WITHIN: Duration = Duration::from_secs(10);
/// A screenshot in base64 fits many times.
const ANSWER_LIMIT: usize = 256 << 20;

/// A browser that ends with this value.
pub struct Browser {
    driver: Child,
    /// The port the driver prints; closed when the driver and all it has started are gone.
    printed: Receiver<u16>,
    address: SocketAddr,
    session: String,
    profile: tempfile::TempDir,
}

impl Browser {
    /// Starts the browser that `tools/browser install` installs.
    pub fn start() -> Browser {
        let [browser, driver] = paths();
        let mut driver = Command::new(driver)
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the driver starts");
        let printed = ports(&mut driver);
        let port = printed.recv_timeout(ANSWER_WITHIN).expect("the driver tells its port");
        let profile = tempfile::tempdir().expect("a directory for the profile");
        let mut browser_arguments: Vec<String> = [
            "--headless=new",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--no-first-run",
            "--hide-scrollbars",
            "--force-color-profile=srgb",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            // Nothing listens there; a page on the loopback address would go there, too.
            "--proxy-server=127.0.0.1:9",
            "--proxy-bypass-list=<-loopback>",
        ]
        .map(str::to_owned)
        .to_vec();
        browser_arguments.push(format!("--user-data-dir={}", profile.path().display()));
        if rustix::process::geteuid().is_root() {
            // Chromium's sandbox refuses to be set up by root.
            browser_arguments.push("--no-sandbox".into());
        }
        let mut this =
            Browser { driver, printed, address: (Ipv4Addr::LOCALHOST, port).into(), session: String::new(), profile };
        let answer = this.request(
            "POST",
            "/session",
            &json!({ "capabilities": { "alwaysMatch": {
                "browserName": "chrome",
                "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
                "goog:chromeOptions": { "binary": browser, "args": browser_arguments },
            } } }),
        );
        this.session = answer["sessionId"].as_str().expect("a session").to_owned();
        // The page a browser begins with has much to load; that is none of ours.
        this.post("/url", &json!({ "url": "about:blank" }));
        this.requests();
        this.console();
        this
    }

    /// Opens a file and waits until it is loaded, at a width and a height in pixels.
    pub fn open(&self, file: &Path, width: u32, height: u32) {
        self.resize(width, height);
        self.post("/url", &json!({ "url": format!("file://{}", file.display()) }));
    }

    /// Gives the page another size.
    pub fn resize(&self, width: u32, height: u32) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.command("Emulation.setDeviceMetricsOverride", &metrics);
    }

    /// Asks for light or dark colours, as a desktop would.
    pub fn prefer(&self, scheme: &str) {
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.command("Emulation.setEmulatedMedia", &features);
    }

    /// What a function body in JavaScript returns.
    pub fn ask(&self, script: &str, arguments: &[Value]) -> Value {
        self.post("/execute/sync", &json!({ "script": script, "args": arguments }))
    }

    /// Writes a picture of the whole page.
    pub fn picture(&self, file: &Path) {
        let options = json!({ "format": "png", "captureBeyondViewport": true });
        let answer = self.command("Page.captureScreenshot", &options);
        let png = base64::engine::general_purpose::STANDARD.decode(answer["data"].as_str().expect("a picture"));
        std::fs::write(file, png.expect("base64")).expect("the picture can be written");
    }

    /// What the console has said since it was asked last.
    pub fn console(&self) -> Vec<String> {
        let entries = self.post("/se/log", &json!({ "type": "browser" }));
        entries.as_array().expect("a list").iter().map(|entry| entry["message"].to_string()).collect()
    }

    /// The addresses that were asked for, over any network or none, since this was asked last.
    pub fn requests(&self) -> Vec<String> {
        let entries = self.post("/se/log", &json!({ "type": "performance" }));
        let address = |entry: &Value| {
            let event: Value = serde_json::from_str(entry["message"].as_str()?).ok()?;
            let message = &event["message"];
            let sent = message["method"] == "Network.requestWillBeSent";
            sent.then(|| message["params"]["request"]["url"].as_str().map(str::to_owned)).flatten()
        };
        entries.as_array().expect("a list").iter().filter_map(address).collect()
    }

    /// A command of the browser's own protocol.
    fn command(&self, command: &str, parameters: &Value) -> Value {
        self.post("/goog/cdp/execute", &json!({ "cmd": command, "params": parameters }))
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        self.request("POST", &format!("/session/{}{path}", self.session), body)
    }

    fn request(&self, method: &str, path: &str, body: &Value) -> Value {
        let (head, body) = exchange(self.address, method, path, &body.to_string())
            .unwrap_or_else(|error| panic!("the driver does not answer {method} {path}: {error}"));
        let value: Value = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error} in {body:?}"));
        let status = head.split_whitespace().nth(1);
        assert_eq!(status, Some("200"), "{method} {path}: {}", value["value"]["message"]);
        value["value"].clone()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            // Ends the browser, which is the driver's child and not ours.
            let _ = exchange(self.address, "DELETE", &format!("/session/{}", self.session), "");
        }
        if exchange(self.address, "GET", "/shutdown", "").is_ok() {
            let _ = self.printed.recv_timeout(END_WITHIN);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        // A browser whose driver did not come so far as to end it would stay. Its profile is its own alone.
        let profile = self.profile.path().as_os_str().as_encoded_bytes();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
            let command_line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            if let Some(pid) = Pid::from_raw(pid)
                && command_line.windows(profile.len()).any(|part| part == profile)
            {
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
        }
    }
}

/// The browser and its driver.
fn paths() -> [PathBuf; 2] {
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("../browser");
    let output = Command::new(&tool).arg("paths").output().expect("tools/browser runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("paths in UTF-8");
    let paths: Vec<PathBuf> = text.lines().map(PathBuf::from).collect();
    paths.try_into().expect("two paths")
}

/// The port the driver has chosen, when it prints it.
fn ports(driver: &mut Child) -> Receiver<u16> {
    let output = BufReader::new(driver.stdout.take().expect("a pipe"));
    let (found, ports) = channel();
    // Reads to the end, so that the driver never waits for its output to be taken.
    std::thread::spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            let digits = line.split("on port ").nth(1).map(|rest| rest.trim_end_matches('.').parse());
            if let Some(Ok(port @ 1..)) = digits {
                let _ = found.send(port);
            }
        }
    });
    ports
}

/// One request on a connection of its own: the status line and the body of the answer.
fn exchange(address: SocketAddr, method: &str, path: &str, body: &str) -> std::io::Result<(String, String)> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_WITHIN)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )?;
    // The driver leaves the connection open: what it says of the length counts.
    let mut answer = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        answer.by_ref().take(1 << 16).read_line(&mut line)?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().map_err(std::io::Error::other)?;
        }
        head = if head.is_empty() { line.to_owned() } else { head };
    }
    if length > ANSWER_LIMIT {
        return Err(std::io::Error::other("the answer is too long"));
    }
    let mut body = vec![0; length];
    answer.read_exact(&mut body)?;
    Ok((head, String::from_utf8(body).map_err(std::io::Error::other)?))
}

//! Bytes captured from a real ZooKeeper 3.9, replayed against Corral and compared byte by byte.
//!
//! `tests/goldens/*.txt` hold conversations, a line each, in the order of the wire; frames are shown without their
//! length word, cut into fields by spaces:
//!
//! | line | meaning |
//! |---|---|
//! | `open A` | a TCP connection called A |
//! | `open B as A` | another one, on which `s` and `p` in requests stand for A's session id and password |
//! | `> A hex` | a frame sent on A |
//! | `< A hex` | the next frame that arrives on A |
//! | `closed A` | the server ends A |
//! | `drop A` | the test ends A |
//! | `## words` | what comes is about |
//!
//! In what arrives, digits may be masked: `z` transaction ids, `t` times, `s` session ids, `p` passwords. Zeros and -1
//! are never masked.
//!
//! `CORRAL_REWRITE=1` runs the conversations of `goldens/conversations.rs` against the real server and rewrites the
//! files; what is compared is always the files.

mod support;

#[path = "goldens/conversations.rs"]
mod conversations;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use support::client::{Arrival, Connection, Session, connect_record};
use support::fields::{self, Field, Value};
use support::script::SETTINGS;
use support::server::{Server, Target, install_zookeeper};
use support::wire::{Request, frame, op, ping, xid};
use support::{Scratch, hex};

#[test]
fn the_bytes_are_zookeepers() {
    let files = files();
    if std::env::var_os("CORRAL_REWRITE").is_some() {
        capture();
    }
    for target in Target::all() {
        if target == Target::ZooKeeper {
            install_zookeeper();
        }
        let scratch = Scratch::new();
        let server = Server::start(target, scratch.path(), SETTINGS);
        let mut frames = 0;
        let mut wrong = Vec::new();
        for name in conversations::NAMES {
            let text = fs::read_to_string(files.join(format!("{name}.txt")))
                .unwrap_or_else(|error| panic!("goldens/{name}.txt: {error}"));
            match replay(&server, &text) {
                Ok(count) => frames += count,
                Err(why) => wrong.push(format!("{name}.txt {why}")),
            }
        }
        assert!(wrong.is_empty(), "{target:?}:\n{}", wrong.join("\n"));
        assert!(frames > 300, "only {frames} frames were compared");
        println!("goldens: {target:?} sent {frames} frames as ZooKeeper does");
    }
}

fn files() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens")
}

/// Replays one file; the number of frames compared, or the line that was answered otherwise.
fn replay(server: &Server, text: &str) -> Result<usize, String> {
    let mut connections: BTreeMap<String, Connection> = BTreeMap::new();
    let mut sessions: BTreeMap<String, Session> = BTreeMap::new();
    let mut about = "";
    let mut frames = 0;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(words) = line.strip_prefix("## ") {
            about = words;
        }
        let wrong = |why: String| format!("line {} ({about}): {why}", number + 1);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (verb, rest) = line.split_once(' ').ok_or(wrong("no verb".into()))?;
        let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        match verb {
            "open" => {
                let connection = Connection::silent(server.address).map_err(|error| wrong(error.to_string()))?;
                if let Some(other) = rest.strip_prefix("as ") {
                    let known = sessions.get(other).ok_or(wrong("no such session".into()))?;
                    sessions.insert(name.to_string(), known.clone());
                }
                connections.insert(name.to_string(), connection);
            }
            "drop" => drop(connections.remove(name)),
            ">" => {
                let payload = filled(rest, sessions.get(name)).map_err(&wrong)?;
                let connection = connections.get_mut(name).ok_or(wrong("not open".into()))?;
                connection.push_frame(&payload);
                connection.flush().map_err(|error| wrong(error.to_string()))?;
            }
            "<" => {
                let connection = connections.get_mut(name).ok_or(wrong("not open".into()))?;
                let arrived = connection
                    .next_frame()
                    .map_err(|error| wrong(format!("expected {rest}, then: {error}")))?
                    .ok_or(wrong(format!("expected {rest}, but the connection was closed")))?;
                if !matches(rest, &arrived) {
                    return Err(wrong(format!("\n  expected {rest}\n  arrived  {}", hex(&arrived))));
                }
                // The first answer on a connection is to its connect request.
                if connection.session.id == 0
                    && let Ok(session) = support::client::parse_connect_response(&arrived)
                {
                    connection.session = session.clone();
                    sessions.insert(name.to_string(), session);
                }
                frames += 1;
            }
            "closed" => {
                let connection = connections.get_mut(name).ok_or(wrong("not open".into()))?;
                let arrived =
                    connection.next_frame().map_err(|error| wrong(format!("expected an end, then: {error}")))?;
                if let Some(arrived) = arrived {
                    return Err(wrong(format!("expected an end, but got {}", hex(&arrived))));
                }
                frames += 1;
            }
            _ => return Err(wrong(format!("unknown verb {verb}"))),
        }
    }
    Ok(frames)
}

/// The bytes of a request line, with the session's id and password in their places.
fn filled(line: &str, session: Option<&Session>) -> Result<Vec<u8>, String> {
    let mut digits: Vec<u8> = line.bytes().filter(|byte| *byte != b' ').collect();
    for (mark, bytes) in
        [(b's', session.map(|one| one.id.to_be_bytes().to_vec())), (b'p', session.map(|one| one.password.clone()))]
    {
        if digits.contains(&mark) {
            let bytes = bytes.ok_or("no session to fill in")?;
            let text = hex(&bytes);
            let mut left = text.bytes();
            for digit in digits.iter_mut().filter(|digit| **digit == mark) {
                *digit = left.next().ok_or("a mask longer than its value")?;
            }
        }
    }
    from_hex(&digits)
}

fn from_hex(digits: &[u8]) -> Result<Vec<u8>, String> {
    let nibble = |digit: u8| (digit as char).to_digit(16).ok_or("not a hex digit");
    digits
        .chunks(2)
        .map(|pair| {
            let low = pair.get(1).ok_or("half a byte")?;
            Ok((nibble(pair[0])? << 4 | nibble(*low)?) as u8)
        })
        .collect()
}

/// Whether bytes are what a line says; masked digits match any.
fn matches(line: &str, bytes: &[u8]) -> bool {
    let expected: Vec<u8> = line.bytes().filter(|byte| *byte != b' ').collect();
    let got = hex(bytes);
    expected.len() == got.len()
        && expected.iter().zip(got.bytes()).all(|(want, have)| *want == have || b"ztsp".contains(want))
}

/// Runs the conversations against the real server and writes the files.
fn capture() {
    install_zookeeper();
    let scratch = Scratch::new();
    let server = Server::start(Target::ZooKeeper, scratch.path(), SETTINGS);
    for name in conversations::NAMES {
        let mut scene = Scene {
            server: &server,
            connections: BTreeMap::new(),
            text: format!(
                "# Captured from Apache ZooKeeper 3.9.5. tests/goldens.rs says how this reads and is rewritten.\n# Server: {}\n",
                SETTINGS.join(" ")
            ),
        };
        conversations::speak(name, &mut scene);
        fs::write(files().join(format!("{name}.txt")), scene.text).expect("a golden file");
    }
}

/// A conversation being captured.
pub struct Scene<'a> {
    server: &'a Server,
    connections: BTreeMap<String, Connection>,
    text: String,
}

impl Scene<'_> {
    fn line(&mut self, verb: &str, name: &str, rest: &str) {
        writeln!(self.text, "{verb} {name} {rest}").expect("a string grows");
        let trimmed = self.text.trim_end().len();
        self.text.truncate(trimmed);
        self.text.push('\n');
    }

    pub fn about(&mut self, words: &str) {
        writeln!(self.text, "\n## {words}").expect("a string grows");
    }

    /// A connection with a new session.
    pub fn join(&mut self, name: &str) {
        self.open(name, None);
        self.connect(name, &connect_record(0, 30_000, 0, &[0; 16], Some(false)));
    }

    pub fn open(&mut self, name: &str, known: Option<&str>) {
        let connection = Connection::silent(self.server.address).expect("a connection");
        self.connections.insert(name.to_string(), connection);
        let rest = known.map_or(String::new(), |other| format!("as {other}"));
        self.line("open", name, &rest);
    }

    /// Sends a connect request and notes the answer or the end.
    pub fn connect(&mut self, name: &str, record: &[u8]) {
        let shown = masked(&fields_of_connect_request(record), record, 0);
        self.line(">", name, &shown);
        let connection = self.connections.get_mut(name).expect("open");
        connection.push_frame(record);
        connection.flush().expect("sent");
        self.take_connect_response(name);
    }

    /// Resumes the session of `other` on a new connection `name`; `change` alters the request before it is sent.
    pub fn resume(&mut self, name: &str, other: &str, change: impl Fn(&mut Vec<u8>), keep_marks: bool) {
        let session = self.connections[other].session.clone();
        self.open(name, Some(other));
        let mut record = connect_record(0, 30_000, session.id, &session.password, Some(false));
        change(&mut record);
        let mut shown = spaced(&record, &[4, 12, 16, 24, 28, 44], 0);
        if keep_marks {
            shown = shown
                .replace(&hex(&session.id.to_be_bytes()), &"s".repeat(16))
                .replace(&hex(&session.password), &"p".repeat(32));
        } else {
            shown = shown.replace(&hex(&session.id.to_be_bytes()), &"s".repeat(16));
        }
        self.line(">", name, &shown);
        let connection = self.connections.get_mut(name).expect("open");
        connection.push_frame(&record);
        connection.flush().expect("sent");
        self.take_connect_response(name);
    }

    fn take_connect_response(&mut self, name: &str) {
        let connection = self.connections.get_mut(name).expect("open");
        match connection.next_frame().expect("an answer") {
            None => self.line("closed", name, ""),
            Some(payload) => {
                connection.session = support::client::parse_connect_response(&payload).expect("a response");
                let alive = connection.session.id != 0;
                let mut shown = spaced(&payload, &[4, 8, 16, 20, 36], 0);
                if alive {
                    let session = connection.session.clone();
                    shown = shown
                        .replace(&hex(&session.id.to_be_bytes()), &"s".repeat(16))
                        .replace(&hex(&session.password), &"p".repeat(32));
                }
                self.line("<", name, &shown);
                if !alive {
                    self.ended(name);
                }
            }
        }
    }

    /// Expects the server to end the connection.
    pub fn ended(&mut self, name: &str) {
        let connection = self.connections.get_mut(name).expect("open");
        let end = connection.next_frame().expect("an end");
        assert_eq!(end, None, "{name} should have ended");
        self.line("closed", name, "");
    }

    pub fn hang_up(&mut self, name: &str) {
        self.connections.remove(name);
        self.line("drop", name, "");
    }

    /// One request and everything that arrives up to its reply.
    pub fn say(&mut self, name: &str, number: i32, request: &Request) {
        let sent = frame(number, request);
        let decoded = fields::of_request(request.opcode, &request.body);
        let mut places = vec![4, 8];
        if let Ok(decoded) = &decoded {
            places.extend(decoded.iter().map(|field| field.at + 8));
        }
        let shown = spaced(&sent[4..], &places, 0);
        self.line(">", name, &shown);
        let connection = self.connections.get_mut(name).expect("open");
        connection.push_as(number, request);
        connection.flush().expect("sent");
        self.take_reply(name, request.opcode);
    }

    /// Bytes that are no request, as a frame of their own.
    pub fn say_frame(&mut self, name: &str, payload: &[u8]) {
        self.line(">", name, &hex(payload));
        let connection = self.connections.get_mut(name).expect("open");
        connection.push_frame(payload);
        connection.flush().expect("sent");
    }

    /// A ping, and what was waiting ahead of its reply.
    pub fn hear(&mut self, name: &str) {
        self.say(name, xid::PING, &ping());
    }

    fn take_reply(&mut self, name: &str, opcode: i32) {
        loop {
            let connection = self.connections.get_mut(name).expect("open");
            match connection.next().expect("an answer") {
                Arrival::Closed => return self.line("closed", name, ""),
                Arrival::Event { zxid, body } => {
                    let decoded = fields::of_event(&body).expect("an event");
                    let shown = format!("ffffffff {} 00000000 {}", masked_zxid(zxid), masked(&decoded, &body, 0));
                    self.line("<", name, &shown);
                }
                Arrival::Reply(reply) => {
                    let decoded = fields::of_reply(opcode, &reply.body).unwrap_or_default();
                    let shown = format!(
                        "{:08x} {} {:08x} {}",
                        reply.xid,
                        masked_zxid(reply.zxid),
                        reply.err,
                        masked(&decoded, &reply.body, 0)
                    );
                    self.line("<", name, shown.trim_end());
                    if opcode == op::CLOSE_SESSION {
                        self.ended(name);
                    }
                    return;
                }
            }
        }
    }
}

fn masked_zxid(zxid: i64) -> String {
    if zxid > 0 { "z".repeat(16) } else { format!("{zxid:016x}") }
}

fn fields_of_connect_request(record: &[u8]) -> Vec<Field> {
    let mut found = Vec::new();
    let mut reader = fields::Reader::new(record);
    reader.layout("i:version l:last i:timeout l:session s:password", &mut found).expect("a connect request");
    if reader.left() > 0 {
        reader.layout("z:readOnly", &mut found).expect("a byte");
    }
    found
}

/// Bytes as hex with a space before each given place.
fn spaced(bytes: &[u8], places: &[usize], from: usize) -> String {
    let mut text = String::new();
    for (at, byte) in bytes.iter().enumerate() {
        if at > 0 && places.contains(&(at + from)) {
            text.push(' ');
        }
        write!(text, "{byte:02x}").expect("a string grows");
    }
    text
}

/// Bytes as hex, cut into fields, with what no two servers share masked. Stats fall into their own fields.
fn masked(decoded: &[Field], bytes: &[u8], from: usize) -> String {
    let mut text = String::new();
    let mut done = from;
    for field in decoded {
        if !text.is_empty() {
            text.push(' ');
        }
        let shown = hex(&bytes[field.at..field.at + field.len]);
        let mark = match field.value {
            Value::Zxid(number) if number > 0 => Some("z"),
            Value::Time(number) if number > 0 => Some("t"),
            Value::Session(number) if number != 0 => Some("s"),
            _ => None,
        };
        text.push_str(&mark.map_or(shown, |mark| mark.repeat(field.len * 2)));
        done = field.at + field.len;
    }
    if done < bytes.len() {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(&hex(&bytes[done..]));
    }
    text
}

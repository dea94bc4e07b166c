//! Whatever a configuration file holds: it is a configuration, or a list of mistakes that each say where.

#![no_main]

use arbitrary::Arbitrary;
use corral::config::server_keys::KEYS;
use corral::config::{Overrides, Source, resolve};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
enum Line {
    Known { key: u8, value: Value },
    Server { id: i16, host: u8, ports: [u16; 2], tail: u8 },
    Any(String),
    Bytes(Vec<u8>),
}

#[derive(Arbitrary, Debug)]
enum Value {
    Example,
    Number(i64),
    Word(String),
}

#[derive(Arbitrary, Debug)]
struct File {
    lines: Vec<Line>,
    cores: u8,
}

fuzz_target!(|file: File| {
    let mut text = b"dataDir=/d\n".to_vec();
    for line in file.lines.iter().take(60) {
        match line {
            Line::Known { key, value } => {
                let key = &KEYS[usize::from(*key) % KEYS.len()].about;
                let value = match value {
                    Value::Example => key.example.to_owned(),
                    Value::Number(number) => number.to_string(),
                    Value::Word(word) => word.chars().take(100).collect(),
                };
                text.extend_from_slice(format!("{}={value}", key.name).as_bytes());
            }
            Line::Server { id, host, ports, tail } => {
                let host = ["a.example", "10.0.0.1", "[::1]", "[fe80::1%eth0]", "", "x:y"][usize::from(*host) % 6];
                let tail =
                    ["", ":observer", ":participant", ";2181", ":observer;127.0.0.1:2181"][usize::from(*tail) % 5];
                let [first, second] = ports;
                text.extend_from_slice(format!("server.{id}={host}:{first}:{second}{tail}").as_bytes());
            }
            Line::Any(line) => text.extend(line.bytes().take(300)),
            Line::Bytes(bytes) => text.extend(bytes.iter().take(300)),
        }
        text.push(b'\n');
    }
    let source = Source { name: "zoo.cfg", bytes: &text };
    let read = |path: &std::path::Path| Ok(path.ends_with("myid").then(|| b"1".to_vec()));
    match resolve(Some(&source), &Overrides::default(), usize::from(file.cores) + 1, &read) {
        Ok((config, notices)) => {
            assert!(!config.render(0, 0).is_empty());
            notices.iter().for_each(|notice| assert!(!notice.to_string().is_empty()));
        }
        Err(mistakes) => {
            assert!(!mistakes.is_empty(), "what is refused has a reason");
            mistakes.iter().for_each(|mistake| assert!(!mistake.to_string().is_empty()));
        }
    }
});

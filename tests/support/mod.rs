//! What the integration tests share: a raw ZooKeeper wire client with an encoder and decoder of its own (so that a
//! mistake in the server's codec cannot hide behind the same mistake here), a harness that starts and kills servers,
//! and a small seeded random generator. Nothing in here uses the server's code.
//!
//! Every test can be pointed at a real ZooKeeper instead of Corral with `CORRAL_TEST_TARGET=zookeeper`: a test that
//! fails there is a wrong test.

// Each test binary compiles this module and uses a part of it.
#![allow(dead_code)]

pub mod client;
pub mod compare;
pub mod duel;
pub mod fields;
pub mod history;
pub mod random;
pub mod script;
pub mod server;
pub mod wire;
pub mod witness;

use std::time::{Duration, Instant};

/// An environment variable read as a number, or `default` when it is unset; anything else in it is an error worth
/// stopping for.
pub fn env_number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")),
        Err(_) => default,
    }
}

/// Asks `ready` every few milliseconds until it answers, at most `limit` long.
pub fn wait_for<T>(limit: Duration, mut ready: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = ready() {
            return Some(found);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A temporary directory that stays, and is named, when the test fails.
pub struct Scratch(Option<tempfile::TempDir>);

impl Scratch {
    pub fn new() -> Scratch {
        Scratch(Some(tempfile::tempdir().expect("a temporary directory")))
    }

    pub fn path(&self) -> &std::path::Path {
        self.0.as_ref().expect("taken at the end only").path()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(directory) = self.0.take()
        {
            println!("kept for a look: {}", directory.keep().display());
        }
    }
}

/// Bytes as lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from_digit(u32::from(byte >> 4), 16).expect("a nibble"));
        text.push(char::from_digit(u32::from(byte & 15), 16).expect("a nibble"));
    }
    text
}

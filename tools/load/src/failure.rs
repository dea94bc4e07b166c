//! Why a measurement could not be made: one line for the person who asked for it.

use std::fmt;

/// The reason, written out.
#[derive(Debug)]
pub struct Failure {
    what: String,
    /// The command line, or a file it names, is at fault.
    pub is_usage: bool,
}

/// What everything here returns.
pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// A failure that says `what`.
    pub fn new(what: impl Into<String>) -> Failure {
        Failure { what: what.into(), is_usage: false }
    }

    /// A failure of who has asked.
    pub fn usage(what: impl Into<String>) -> Failure {
        Failure { what: what.into(), is_usage: true }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// Says what was being done when an error came.
pub trait While<T> {
    /// `doing`: "connecting to 127.0.0.1:2181".
    fn during(self, doing: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: fmt::Display> While<T> for std::result::Result<T, E> {
    fn during(self, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Failure::new(format!("{}: {error}", doing())))
    }
}

//! How far a load has come, in one line that is written over; on a terminal only.

use crate::summary::per_second;
use std::io::{IsTerminal, Write};
use std::time::Duration;

const BAR: usize = 24;

/// The line.
pub struct Progress {
    title: String,
    is_shown: bool,
    /// When it was drawn last, and what had been answered then.
    last: (Duration, u64),
    rate: f64,
}

impl Progress {
    /// Shown on the standard error output if that is a terminal.
    pub fn new(title: impl Into<String>) -> Progress {
        let is_shown = std::io::stderr().is_terminal();
        Progress { title: title.into(), is_shown, last: (Duration::ZERO, 0), rate: 0.0 }
    }

    /// Draws it.
    pub fn show(&mut self, over: Duration, whole: Duration, answered: u64) {
        if !self.is_shown || over < self.last.0 + Duration::from_millis(200) {
            return;
        }
        let seconds = (over - self.last.0).as_secs_f64();
        self.rate = answered.saturating_sub(self.last.1) as f64 / seconds;
        self.last = (over, answered);
        // A terminal that has gone away ends nothing.
        let _ = write!(std::io::stderr(), "\r\x1b[K{}", self.line(over, whole));
    }

    fn line(&self, over: Duration, whole: Duration) -> String {
        let share = (over.as_secs_f64() / whole.as_secs_f64().max(1e-9)).min(1.0);
        let full = (share * BAR as f64) as usize;
        format!(
            "{} [{}{}] {:.1}/{:.1} s  {}",
            self.title,
            "=".repeat(full),
            " ".repeat(BAR - full),
            over.min(whole).as_secs_f64(),
            whole.as_secs_f64(),
            per_second(self.rate)
        )
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills() {
        let progress = Progress { title: "get".into(), is_shown: false, last: (Duration::ZERO, 0), rate: 1234.0 };
        let line = progress.line(Duration::from_secs(3), Duration::from_secs(6));
        assert_eq!(line, format!("get [{}{}] 3.0/6.0 s  1.2 k/s", "=".repeat(12), " ".repeat(12)));
        assert!(progress.line(Duration::from_secs(9), Duration::from_secs(6)).contains(&"=".repeat(24)));
    }
}

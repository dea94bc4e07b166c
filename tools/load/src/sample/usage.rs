//! CPU and memory of a process, seen again and again.

use crate::failure::Result;
use crate::process;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// CPU is told over this long: /proc counts in ticks of 10 ms, which are 2 % of it.
const OVER: Duration = Duration::from_millis(500);

/// A process that is looked at.
pub struct Usage {
    pid: u32,
    /// When it was looked at and what CPU time it had used: the last [`OVER`], and one before that. None once the
    /// process is gone: another of its number, later, has nothing to do with it.
    looks: VecDeque<(Instant, Duration)>,
}

/// What one look tells. Nothing once the process is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Used {
    /// Over the last half second, or since the last look if that is longer ago. 100 is one core.
    pub cpu_percent: Option<f64>,
    pub rss_mb: Option<f64>,
}

impl Usage {
    /// Fails when there is no such process.
    pub fn of(pid: u32) -> Result<Usage> {
        let cpu = process::cpu(pid)?;
        Ok(Usage { pid, looks: VecDeque::from([(Instant::now(), cpu)]) })
    }

    /// Looks at the process, at the instant `now`.
    pub fn look(&mut self, now: Instant) -> Used {
        if self.looks.is_empty() {
            return Used::default();
        }
        let Ok(cpu) = process::cpu(self.pid) else {
            self.looks.clear();
            return Used::default();
        };
        let cpu_percent = self.percent(now, cpu);
        self.looks.push_back((now, cpu));
        let rss_mb = process::resident(self.pid).ok().map(|bytes| bytes as f64 / f64::from(1 << 20));
        Used { cpu_percent, rss_mb }
    }

    fn percent(&mut self, now: Instant, cpu: Duration) -> Option<f64> {
        let ago = |instant: Instant| now.saturating_duration_since(instant);
        while self.looks.get(1).is_some_and(|(instant, _)| ago(*instant) >= OVER) {
            self.looks.pop_front();
        }
        let &(since, before) = self.looks.front()?;
        let (wall, used) = (ago(since), cpu.saturating_sub(before));
        // Over a shorter stretch a single tick would look like a busy core.
        (wall >= OVER / 5).then(|| (used.as_secs_f64() / wall.as_secs_f64() * 1e4).round() / 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(100);

    #[test]
    fn cpu_is_told_over_half_a_second() {
        let start = Instant::now();
        let mut usage = Usage { pid: 0, looks: VecDeque::from([(start, Duration::ZERO)]) };
        assert_eq!(usage.percent(start + TICK / 2, Duration::ZERO), None);
        for tick in 1..=20u32 {
            // Idle for a second, then one core busy.
            let (now, cpu) = (start + tick * TICK, tick.saturating_sub(10) * TICK);
            let told = usage.percent(now, cpu).unwrap();
            let expected = f64::from(tick.clamp(10, 15) - 10) * 20.0;
            assert!((told - expected).abs() < 0.1, "{tick}: {told} is not {expected}");
            usage.looks.push_back((now, cpu));
            assert!(usage.looks.len() <= 7, "older looks are forgotten");
        }
    }

    #[test]
    fn a_process_that_is_gone_tells_nothing() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let mut usage = Usage::of(child.id()).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(usage.look(Instant::now()), Used::default());
        assert!(Usage::of(child.id()).is_err());
    }
}

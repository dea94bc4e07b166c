//! When to try again: pauses that grow, with jitter, within bounds.
//!
//! A request that is repeated at once while the network stands still is repeated in vain, and a thousand clients that repeat
//! at the same moment are a load of their own. So each pause is longer than the last one, and drawn at random.

use std::time::Duration;

/// How often, and after which pauses, a failed attempt is repeated.
///
/// The pause after attempt `n` is drawn from `first * 2^(n-1) .. first * 2^n`, so that it grows strictly; pauses that would be
/// longer than the bound are drawn from its upper half.
///
/// ```
/// use corral_recipes::RetryPolicy;
/// use std::time::Duration;
///
/// let policy = RetryPolicy::exponential(Duration::from_millis(50))
///     .bounded(Duration::from_secs(5))
///     .times(10)
///     .until(Duration::from_secs(30));
/// assert!(policy.pause(1, Duration::ZERO, 7).is_some());
/// assert_eq!(policy.pause(11, Duration::ZERO, 7), None);
/// assert_eq!(policy.pause(2, Duration::from_secs(31), 7), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    first: Duration,
    bound: Duration,
    /// Repetitions at most.
    times: Option<u32>,
    /// Time since the first attempt at most.
    until: Option<Duration>,
}

impl Default for RetryPolicy {
    /// From 50 ms, at most 5 s, for a minute.
    fn default() -> RetryPolicy {
        RetryPolicy::exponential(Duration::from_millis(50)).until(Duration::from_secs(60))
    }
}

impl RetryPolicy {
    /// No second attempt.
    pub const fn never() -> RetryPolicy {
        RetryPolicy::exponential(Duration::ZERO).times(0)
    }

    /// Pauses that double, from `first` on, up to 5 s; without an end unless [`times`](Self::times) or
    /// [`until`](Self::until) sets one.
    pub const fn exponential(first: Duration) -> RetryPolicy {
        RetryPolicy { first, bound: Duration::from_secs(5), times: None, until: None }
    }

    /// No pause is longer than this.
    pub const fn bounded(mut self, longest: Duration) -> RetryPolicy {
        self.bound = longest;
        self
    }

    /// At most this many repetitions.
    pub const fn times(mut self, times: u32) -> RetryPolicy {
        self.times = Some(times);
        self
    }

    /// No attempt begins later than this after the first one.
    pub const fn until(mut self, elapsed: Duration) -> RetryPolicy {
        self.until = Some(elapsed);
        self
    }

    /// The pause before the next attempt, after `failed` of them and `elapsed` since the first one began; `None` if there is no
    /// next one. `random` is any number: the jitter.
    pub fn pause(&self, failed: u32, elapsed: Duration, random: u64) -> Option<Duration> {
        if self.times.is_some_and(|times| failed > times) {
            return None;
        }
        let doubled = self.first.saturating_mul(1 << failed.saturating_sub(1).min(31));
        let least = doubled.min(self.bound / 2);
        // Of 2^32, which is fine enough for a pause.
        let part = (random >> 32) as f64 / (1u64 << 32) as f64;
        let pause = least + least.mul_f64(part);
        match self.until {
            Some(until) if elapsed >= until => None,
            // The last attempt is made when the time is over, and not before.
            Some(until) => Some(pause.min(until - elapsed)),
            None => Some(pause),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pauses of a policy whose attempts take no time.
    fn pauses(policy: &RetryPolicy, random: &mut fastrand::Rng) -> Vec<Duration> {
        let mut elapsed = Duration::ZERO;
        let mut pauses = vec![];
        while let Some(pause) = policy.pause(pauses.len() as u32 + 1, elapsed, random.u64(..)) {
            elapsed += pause;
            pauses.push(pause);
            assert!(pauses.len() < 1000, "it ends");
        }
        pauses
    }

    #[test]
    fn each_pause_is_longer_than_the_last_until_the_bound() {
        let bound = Duration::from_secs(5);
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let policy = RetryPolicy::exponential(Duration::from_millis(10)).bounded(bound).times(20);
            let pauses = pauses(&policy, &mut random);
            assert_eq!(pauses.len(), 20);
            assert!(pauses.iter().all(|pause| *pause <= bound));
            let growing = pauses.iter().take_while(|pause| **pause < bound / 2).count();
            assert!(growing >= 7, "{pauses:?}");
            assert!(pauses[..growing].windows(2).all(|pair| pair[0] < pair[1]), "{pauses:?}");
            assert!(pauses[growing..].iter().all(|pause| *pause >= bound / 2), "{pauses:?}");
        }
    }

    #[test]
    fn pauses_of_two_clients_differ() {
        let policy = RetryPolicy::exponential(Duration::from_millis(10)).times(8);
        let [one, other] = [1, 2].map(|seed| pauses(&policy, &mut fastrand::Rng::with_seed(seed)));
        assert!(one.iter().zip(&other).all(|(one, other)| one != other));
    }

    #[test]
    fn the_deadline_is_met_exactly() {
        let until = Duration::from_millis(700);
        let policy = RetryPolicy::exponential(Duration::from_millis(10)).until(until);
        let pauses = pauses(&policy, &mut fastrand::Rng::with_seed(3));
        assert_eq!(pauses.iter().sum::<Duration>(), until);
    }

    #[test]
    fn never_is_never() {
        assert_eq!(RetryPolicy::never().pause(1, Duration::ZERO, 0), None);
    }
}

//! What the server's side looks like while it is under load: samples on the time axis of the load.
//!
//! A thread of its own looks at the process in /proc at every tick, and asks the server itself (`mntr`, or its metrics
//! over plain HTTP) every half second at most, so that asking is no load. The load's threads share nothing with it.
//! Of what the server tells, a sample holds what differs from the samples before it: most values never change.
//! Everything it keeps has a bound: answers by [`ask::LIMIT_BYTES`], names by [`NAMES_LIMIT`], samples and values by
//! [`SAMPLES_LIMIT`] and [`VALUES_LIMIT`], beyond which two samples become one and the ticks come half as often.

mod ask;
mod parse;
mod usage;

pub use parse::MetricsAddress;

use crate::document::Sample;
use crate::failure::{Failure, Result, While};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};
use usage::Usage;

/// Samples of one run: two minutes of ten a second. A plot is not wider than this many pixels.
pub const SAMPLES_LIMIT: usize = 1200;
/// Names of values in one run: twice what `mntr` of ZooKeeper 3.9 tells.
pub const NAMES_LIMIT: usize = 1024;
/// Values in all samples of one run: some 20 MB.
const VALUES_LIMIT: usize = 200_000;
/// Ticks are this long at least, and at most.
const EVERY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// The server is asked this often at most, and an answer is waited for this long at most.
const ASK_EVERY: Duration = Duration::from_millis(500);
const ANSWER_WITHIN: Duration = Duration::from_millis(400);

/// What is sampled; each part by itself.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// The client port, which is asked `mntr`.
    pub mntr: Option<SocketAddr>,
    /// Metrics in Prometheus's text format.
    pub metrics: Option<MetricsAddress>,
    /// The server's process on this machine: CPU time and memory.
    pub pid: Option<u32>,
}

/// What was seen, in order of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sampled {
    /// The values of each are those that were not there before, or were others.
    pub samples: Vec<Sample>,
    /// Questions the server has not answered in time, or not understood.
    pub unanswered: u64,
    /// Why, the first time.
    pub first_trouble: Option<String>,
    /// Different values that were left out because there were more than [`NAMES_LIMIT`].
    pub names_left_out: usize,
}

/// A sampler at work.
pub struct Sampler {
    thread: JoinHandle<Sampled>,
    stop: Sender<()>,
}

impl Sampler {
    /// Begins to sample `source` once in `every`, which is brought between 100 ms and 1 s. The samples' times count
    /// from `zero`; nothing earlier is kept, so a sampler may be started while the load still warms up.
    ///
    /// Fails when there is no such process, or no thread to be had. A server that does not answer is no failure.
    pub fn start(source: Source, every: Duration, zero: Instant) -> Result<Sampler> {
        let usage = source.pid.map(Usage::of).transpose()?;
        let (stop, stopped) = channel();
        let work = Work {
            source,
            usage,
            every: every.clamp(EVERY.0, EVERY.1),
            zero,
            asked_at: None,
            told: BTreeMap::new(),
            left_out: BTreeSet::new(),
            values: 0,
            seen: Sampled::default(),
        };
        let thread = Builder::new().name("sampler".into()).spawn(move || work.until(&stopped));
        Ok(Sampler { thread: thread.during(|| "starting the sampler".into())?, stop })
    }

    /// Ends the sampling, within the time an answer may take, and hands over what was seen.
    pub fn stop(self) -> Result<Sampled> {
        // The thread listens for this end of the channel to go as well.
        drop(self.stop);
        self.thread.join().map_err(|_| Failure::new("the sampler has panicked"))
    }
}

/// What the thread works with.
struct Work {
    source: Source,
    usage: Option<Usage>,
    every: Duration,
    zero: Instant,
    asked_at: Option<Instant>,
    /// What the server told last.
    told: BTreeMap<String, f64>,
    left_out: BTreeSet<String>,
    /// How many there are in all samples.
    values: usize,
    seen: Sampled,
}

impl Work {
    fn until(mut self, stopped: &Receiver<()>) -> Sampled {
        let mut tick = Instant::now();
        loop {
            self.look(Instant::now());
            tick += self.every;
            // An answer may have taken longer than a tick: those that were missed are not made up for.
            let now = Instant::now();
            tick = tick.max(now);
            match stopped.recv_timeout(tick - now) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.seen.names_left_out = self.left_out.len();
        self.seen
    }

    /// One sample.
    fn look(&mut self, now: Instant) {
        // The process first: what it tells stays on the tick however long the server takes to answer.
        let used = self.usage.as_mut().map(|usage| usage.look(now));
        let Some(at) = now.checked_duration_since(self.zero) else { return };
        let mut sample = Sample {
            at_ms: (at.as_secs_f64() * 1e6).round() / 1e3,
            cpu_percent: used.and_then(|used| used.cpu_percent),
            rss_mb: used.and_then(|used| used.rss_mb),
            values: BTreeMap::new(),
        };
        if self.asked_at.is_none_or(|asked| now.duration_since(asked) >= ASK_EVERY) {
            self.asked_at = Some(now);
            self.ask(now + ANSWER_WITHIN, &mut sample.values);
        }
        self.push(sample);
    }

    fn push(&mut self, sample: Sample) {
        self.values += sample.values.len();
        self.seen.samples.push(sample);
        if self.seen.samples.len() >= SAMPLES_LIMIT || self.values >= VALUES_LIMIT {
            self.thin_out();
        }
    }

    fn ask(&mut self, deadline: Instant, values: &mut BTreeMap<String, f64>) {
        let mntr = self.source.mntr.map(|address| ask::mntr(address, deadline));
        let metrics = self.source.metrics.as_ref().map(|address| ask::metrics(address, deadline));
        for answer in [mntr, metrics].into_iter().flatten() {
            match answer {
                Ok(pairs) => self.keep(pairs, values),
                Err(trouble) => {
                    self.seen.unanswered += 1;
                    self.seen.first_trouble.get_or_insert(trouble);
                }
            }
        }
    }

    fn keep(&mut self, pairs: Vec<(String, f64)>, values: &mut BTreeMap<String, f64>) {
        for (name, value) in pairs {
            let known = self.told.get(&name);
            if known == Some(&value) {
                continue;
            }
            if known.is_some() || self.told.len() < NAMES_LIMIT {
                self.told.insert(name.clone(), value);
                values.insert(name, value);
            } else if self.left_out.len() < NAMES_LIMIT {
                self.left_out.insert(name);
            }
        }
    }

    /// Halves what is kept, and how often there is more. Where a sample goes, its values replace those of the one before
    /// it, so that the last ones are always right.
    fn thin_out(&mut self) {
        let samples = std::mem::take(&mut self.seen.samples);
        for (index, sample) in samples.into_iter().enumerate() {
            match self.seen.samples.last_mut() {
                Some(before) if index % 2 == 1 => before.values.extend(sample.values),
                _ => self.seen.samples.push(sample),
            }
        }
        self.values = self.seen.samples.iter().map(|sample| sample.values.len()).sum();
        self.every *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    /// A server that answers whatever it is asked with `answer`, as long as the test runs; and its address.
    fn server(answer: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut asked = [0; 1024];
                if stream.read(&mut asked).is_ok() {
                    let _ = stream.write_all(answer);
                }
            }
        });
        address
    }

    /// Samples until `enough` of what was seen, for ten seconds at most.
    fn sample(source: &Source, enough: impl Fn(&Sampled) -> bool) -> Sampled {
        let deadline = Instant::now() + Duration::from_secs(10);
        for waits in 1.. {
            let sampler = Sampler::start(source.clone(), Duration::ZERO, Instant::now()).unwrap();
            let (_end, wait) = channel::<()>();
            let _ = wait.recv_timeout(Duration::from_millis(150 * waits));
            let seen = sampler.stop().unwrap();
            if enough(&seen) || Instant::now() > deadline {
                return seen;
            }
        }
        unreachable!("the loop returns")
    }

    #[test]
    fn process_and_server_are_on_one_axis() {
        let metrics = server(b"HTTP/1.1 200 OK\r\n\r\n# HELP x y\nwatches 7\nlatency{quantile=\"0.5\"} 1.5\n");
        let source = Source {
            mntr: Some(server(b"zk_version\t3.9.5\nzk_znode_count\t5\n")),
            metrics: Some(metrics.to_string().parse().unwrap()),
            pid: Some(std::process::id()),
        };
        let seen = sample(&source, |seen| seen.samples.iter().any(|sample| sample.cpu_percent.is_some()));
        assert_eq!((seen.unanswered, &seen.first_trouble), (0, &None));
        let first = &seen.samples[0];
        let values: Vec<(&str, f64)> = first.values.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        assert_eq!(values, [("latency{quantile=\"0.5\"}", 1.5), ("watches", 7.0), ("zk_znode_count", 5.0)]);
        assert!(seen.samples.iter().all(|sample| sample.rss_mb.is_some_and(|mb| mb > 0.5)), "{seen:?}");
        assert!(seen.samples.is_sorted_by(|a, b| a.at_ms + 50.0 < b.at_ms), "{seen:?}");
        assert!(seen.samples[1].values.is_empty(), "the server is not asked at every tick");
    }

    #[test]
    fn a_server_that_does_not_answer_costs_only_its_values() {
        // Nothing accepts: the kernel completes the connection, and no answer ever comes.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let source = Source { mntr: Some(silent.local_addr().unwrap()), metrics: None, pid: Some(std::process::id()) };
        let seen = sample(&source, |seen| seen.samples.len() > 1);
        assert!(seen.unanswered > 0 && seen.first_trouble.is_some(), "{seen:?}");
        assert!(seen.samples.iter().all(|sample| sample.values.is_empty() && sample.rss_mb.is_some()));
    }

    #[test]
    fn no_process_no_sampler() {
        let source = Source { pid: Some(u32::MAX), ..Source::default() };
        assert!(Sampler::start(source, Duration::ZERO, Instant::now()).is_err());
    }

    fn work() -> Work {
        Work {
            source: Source::default(),
            usage: None,
            every: EVERY.0,
            zero: Instant::now(),
            asked_at: None,
            told: BTreeMap::new(),
            left_out: BTreeSet::new(),
            values: 0,
            seen: Sampled::default(),
        }
    }

    #[test]
    fn a_long_run_is_thinned_out_and_still_covered() {
        let mut work = work();
        let zero = work.zero;
        for tick in 0..SAMPLES_LIMIT as u32 {
            work.look(zero + tick * EVERY.0);
        }
        assert_eq!(work.seen.samples.len(), SAMPLES_LIMIT / 2);
        assert_eq!(work.every, 2 * EVERY.0);
        assert_eq!(work.seen.samples.last().unwrap().at_ms, (SAMPLES_LIMIT - 2) as f64 * 100.0);
    }

    #[test]
    fn values_outlive_the_sample_they_came_with() {
        let mut work = work();
        let sample = |at_ms: u32, values: &[(&str, f64)]| Sample {
            at_ms: f64::from(at_ms),
            values: values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
            ..Sample::default()
        };
        work.seen.samples = vec![
            sample(0, &[]),
            sample(1, &[("v", 1.0)]),
            sample(2, &[("v", 2.0), ("w", 7.0)]),
            sample(3, &[("v", 3.0)]),
            sample(4, &[]),
        ];
        work.thin_out();
        assert_eq!(work.seen.samples, [sample(0, &[("v", 1.0)]), sample(2, &[("v", 3.0), ("w", 7.0)]), sample(4, &[])]);
        assert_eq!(work.values, 3);
    }

    #[test]
    fn values_have_a_bound() {
        let mut work = work();
        let values: BTreeMap<String, f64> = (0..NAMES_LIMIT).map(|n| (n.to_string(), 0.0)).collect();
        for n in 0..1000 {
            work.push(Sample { at_ms: f64::from(n), values: values.clone(), ..Sample::default() });
            assert!(work.values < VALUES_LIMIT);
        }
        assert!(work.every > EVERY.0);
        assert!(work.seen.samples.len() > 50 && work.seen.samples.is_sorted_by(|a, b| a.at_ms < b.at_ms));
    }

    #[test]
    fn names_have_a_bound() {
        let mut work = work();
        let pairs = |value| (0..NAMES_LIMIT + 5).map(|n| (format!("n{n:04}"), value)).collect();
        let mut keep = |value| {
            let mut values = BTreeMap::new();
            work.keep(pairs(value), &mut values);
            values.len()
        };
        assert_eq!([keep(1.0), keep(1.0), keep(2.0)], [NAMES_LIMIT, 0, NAMES_LIMIT], "only what has changed is kept");
        assert_eq!(work.left_out.len(), 5);
    }

    #[test]
    fn what_is_before_zero_is_not_kept() {
        let mut work = work();
        work.zero += Duration::from_secs(60);
        work.look(Instant::now());
        assert!(work.seen.samples.is_empty());
    }
}

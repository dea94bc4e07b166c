//! Who looks on while a load runs: the line on the terminal, and the sampler of the servers.

use crate::args::SampleArgs;
use crate::campaign::Onlooker;
use crate::engine::{Targets, Watcher};
use crate::failure::Result;
use crate::progress::Progress;
use crate::sample::{MetricsAddress, Sampled, Sampler, Source};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// One for all runs of an invocation.
pub struct Lookout {
    every: Option<Duration>,
    /// Metrics that were named, and whose they are.
    metrics: Option<(MetricsAddress, SocketAddr)>,
    /// What is sampled in this run.
    source: Source,
    sampler: Option<Sampler>,
    progress: Progress,
}

impl Lookout {
    /// Samples the first target of each run, if that was asked for: its `mntr`, or the metrics that were named for
    /// `targets`.
    pub fn new(args: &SampleArgs, targets: &Targets) -> Lookout {
        let metrics = args.metrics.clone().zip(targets.addresses.first().copied());
        let every = args.sample.map(Duration::from_millis);
        Lookout { every, metrics, source: Source::default(), sampler: None, progress: Progress::new("") }
    }
}

impl Watcher for Lookout {
    fn begin(&mut self, zero: Instant) -> Result<()> {
        if let Some(every) = self.every {
            self.sampler = Some(Sampler::start(self.source.clone(), every, zero)?);
        }
        Ok(())
    }

    fn glance(&mut self, over: Duration, whole: Duration, answered: u64) {
        self.progress.show(over, whole, answered);
    }
}

impl Onlooker for Lookout {
    fn next(&mut self, name: &str, targets: &Targets) {
        self.progress = Progress::new(name);
        let address = targets.addresses.first().copied();
        let metrics = self.metrics.as_ref().filter(|(_, whose)| Some(*whose) == address).map(|(at, _)| at.clone());
        let mntr = address.filter(|_| metrics.is_none());
        self.source = Source { mntr, metrics, pid: targets.pids.first().copied() };
    }

    fn sampled(&mut self) -> Result<Option<Sampled>> {
        self.progress = Progress::new("");
        let Some(sampler) = self.sampler.take() else { return Ok(None) };
        let sampled = sampler.stop()?;
        if let Some(trouble) = &sampled.first_trouble {
            eprintln!("corral-load: {} questions to the server were not answered: {trouble}", sampled.unanswered);
        }
        Ok(Some(sampled))
    }
}

//! Who looks on while a load runs: the line on the terminal, and the sampler of the servers.

use crate::args::SampleArgs;
use crate::campaign::Onlooker;
use crate::engine::{Targets, Watcher};
use crate::failure::Result;
use crate::intervention::{Intervention, Made, Plan};
use crate::progress::Progress;
use crate::sample::{MetricsAddress, Sampled, Sampler, Source};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// One for all runs of an invocation.
pub struct Monitor {
    every: Option<Duration>,
    /// Metrics that were named, and whose they are.
    metrics: Option<(MetricsAddress, SocketAddr)>,
    /// What is sampled in this run.
    source: Source,
    sampler: Option<Sampler>,
    /// What is done to the servers in each run.
    interventions: Vec<Intervention>,
    plan: Option<Plan>,
    progress: Progress,
}

impl Monitor {
    /// Samples the first target of each run, if that was asked for: its `mntr`, or the metrics that were named for
    /// `targets`.
    pub fn new(args: &SampleArgs, targets: &Targets) -> Monitor {
        let metrics = args.metrics.clone().zip(targets.addresses.first().copied());
        let every = args.sample.map(Duration::from_millis);
        let (source, interventions) = (Source::default(), vec![]);
        Monitor { every, metrics, source, sampler: None, interventions, plan: None, progress: Progress::new("") }
    }

    /// The same, and does this to the servers in each run.
    pub fn intervening(self, interventions: &[Intervention]) -> Monitor {
        Monitor { interventions: interventions.to_vec(), ..self }
    }
}

impl Watcher for Monitor {
    fn begin(&mut self, zero: Instant) -> Result<()> {
        if let Some(every) = self.every {
            self.sampler = Some(Sampler::start(self.source.clone(), every, zero)?);
        }
        if !self.interventions.is_empty() {
            self.plan = Some(Plan::start(self.interventions.clone(), zero)?);
        }
        Ok(())
    }

    fn glance(&mut self, over: Duration, whole: Duration, answered: u64) {
        self.progress.show(over, whole, answered);
    }

    fn end(&mut self) -> Result<Vec<Made>> {
        self.plan.take().map_or(Ok(vec![]), Plan::end)
    }
}

impl Onlooker for Monitor {
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

//! What a run has been through, counted: a simulator that never does a thing never finds what breaks by it.

use std::collections::BTreeMap;

/// Counts by name.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Coverage {
    counts: BTreeMap<&'static str, u64>,
}

impl Coverage {
    /// It has happened once more.
    pub fn count(&mut self, what: &'static str) {
        self.add(what, 1);
    }

    /// It has happened so many times more.
    pub fn add(&mut self, what: &'static str, times: u64) {
        *self.counts.entry(what).or_default() += times;
    }

    /// How often it has happened.
    pub fn of(&self, what: &str) -> u64 {
        self.counts.get(what).copied().unwrap_or_default()
    }

    /// Takes over what another run has been through.
    pub fn merge(&mut self, other: &Coverage) {
        for (what, times) in &other.counts {
            self.add(what, *times);
        }
    }

    /// Those of `wanted` that never happened.
    pub fn missing(&self, wanted: &[&'static str]) -> Vec<&'static str> {
        wanted.iter().copied().filter(|what| self.of(what) == 0).collect()
    }
}

impl std::fmt::Display for Coverage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.counts.iter().try_for_each(|(what, times)| writeln!(f, "{times:>12}  {what}"))
    }
}

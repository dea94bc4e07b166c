//! A workload: the znodes that exist before the load begins, and a weighted mix of operations on them.
//!
//! A workload has a name (`workloads/*.yaml`, compiled into the program), or comes from a file of the same format or of
//! keeper-bench's format. All three become a [`Workload`].

pub mod distribution;
mod file;
mod keeper_bench;

use crate::failure::{Failure, Result, While};
use crate::yaml::Node;
use distribution::{Amount, KeyPicker, Skew, WeightedChooser};
pub use file::Overrides;
use std::str::FromStr;
use std::sync::Arc;

/// All znodes that a load creates are below this one.
pub const ROOT: &str = "/corral-load";
/// The longest value, bytes: a server's default limit of a request, less 4 KiB for the rest of the request.
pub const MAX_VALUE_BYTES: usize = (1 << 20) - 4096;
/// Operations in one multi, at most.
pub const MAX_MULTI_PARTS: usize = 10_000;
/// Znodes that are created before a load, at most.
pub const MAX_KEYS: usize = 10_000_000;

/// The znodes and operations of a load, with default settings that the command line may override.
#[derive(Clone, Debug)]
pub struct Workload {
    pub name: String,
    pub description: String,
    /// The znodes that exist before the load begins, parents before their children.
    pub initial_znodes: Vec<InitialZnode>,
    pub operations: Vec<Operation>,
    pub settings: Settings,
}

/// The default settings of a workload; `None`: the workload has no default of its own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    pub sessions: Option<usize>,
    pub in_flight: Option<usize>,
    pub threads: Option<usize>,
    /// Operations a second, sent in an open loop.
    pub rate: Option<f64>,
    pub seconds: Option<f64>,
    pub warm_up_seconds: Option<f64>,
    /// The servers' addresses.
    pub targets: Vec<String>,
}

/// A znode that exists before the load begins.
#[derive(Clone, Debug)]
pub struct InitialZnode {
    pub path: String,
    /// Length of the znode's value, bytes.
    pub value: Amount,
}

/// One operation of a mix.
#[derive(Clone, Debug)]
pub struct Operation {
    pub name: String,
    pub weight: f64,
    pub action: Action,
}

/// The request that an operation sends.
#[derive(Clone, Debug)]
pub enum Action {
    Get(Keys),
    Exists(Keys),
    Children(Keys),
    Sync(Keys),
    /// Only inside a multi: the znode must exist.
    Check(Keys),
    Set(Keys, Amount),
    Create(Create),
    /// With a size: as many operations, each chosen from `parts` by weight. Without: all parts, in their order.
    Multi {
        size: Option<Amount>,
        parts: Vec<Operation>,
        chooser: WeightedChooser,
    },
}

/// Paths, and the distribution by which one of them is chosen.
#[derive(Clone, Debug)]
pub struct Keys {
    pub paths: Arc<Paths>,
    pub picker: KeyPicker,
}

impl Keys {
    /// At least one path, with the distribution `skew`.
    pub fn new(paths: Arc<Paths>, skew: &Skew) -> Keys {
        let picker = KeyPicker::new(skew, paths.len());
        Keys { paths, picker }
    }
}

/// Creates znodes under each of the parents in turn.
#[derive(Clone, Debug)]
pub struct Create {
    pub parents: Arc<Paths>,
    pub value: Amount,
    /// As in [`crate::codec::flags`].
    pub flags: i32,
    /// The shortest length of a new znode's name; shorter names are padded.
    pub name_length: usize,
    /// The probability, 0..1, that a znode created earlier is deleted instead.
    pub delete_probability: f64,
}

/// Many paths in one buffer: it needs a quarter of the memory of separate strings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Paths {
    text: String,
    ends: Vec<usize>,
}

impl Paths {
    /// Appends a path.
    pub fn push(&mut self, path: &str) {
        self.text.push_str(path);
        self.ends.push(self.text.len());
    }

    /// The number of paths.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The path with this index, from 0.
    pub fn get(&self, number: usize) -> &str {
        let start = if number == 0 { 0 } else { self.ends[number - 1] };
        &self.text[start..self.ends[number]]
    }
}

impl<'a> FromIterator<&'a str> for Paths {
    fn from_iter<I: IntoIterator<Item = &'a str>>(paths: I) -> Paths {
        let mut all = Paths::default();
        paths.into_iter().for_each(|path| all.push(path));
        all
    }
}

impl Workload {
    /// The workload that `name` names: a built-in one, `mixed:PERCENT`, or a file (any name with a slash or a dot).
    pub fn load(name: &str, overrides: &Overrides) -> Result<Workload> {
        if let Some(percent) = name.strip_prefix("mixed:") {
            let gets: u8 = percent.parse().during(|| format!("not a percentage: {percent}"))?;
            let sets = 100u8.checked_sub(gets).ok_or_else(|| Failure::new(format!("not a percentage: {percent}")))?;
            let text = format!(
                "name: mixed:{gets}\ndescription: {gets} % gets, the rest sets\noperations:\n\
                 - {{operation: get, weight: {gets}}}\n- {{operation: set, weight: {sets}}}\n"
            );
            return file::workload(&Node::parse(&text)?, overrides);
        }
        if let Some((_, text)) = BUILT_IN.iter().find(|(known, _)| *known == name) {
            return file::workload(&Node::parse(text)?, overrides).during(|| format!("the workload {name}"));
        }
        if !name.contains(['/', '.']) {
            let known: Vec<&str> = BUILT_IN.iter().map(|(known, _)| *known).collect();
            return Err(Failure::new(format!(
                "no workload is called {name}; there are {}, mixed:PERCENT_OF_GETS, and files by their path",
                known.join(", ")
            )));
        }
        let doing = || format!("reading {name}");
        // The parser refuses long texts. The limit is here because a device such as /dev/zero has no end.
        let text = std::fs::File::open(name).during(doing)?;
        let text = std::io::read_to_string(std::io::Read::take(text, 4 << 20)).during(doing)?;
        let node = Node::parse(&text).during(doing)?;
        let is_keeper_bench = node.entries().during(doing)?.iter().any(|(key, _)| key == "generator");
        if !is_keeper_bench {
            return file::workload(&node, overrides).during(doing);
        }
        let stem = std::path::Path::new(name).file_stem().map_or("keeper-bench".into(), |stem| stem.to_string_lossy());
        keeper_bench::workload(&node, &stem).during(doing)
    }

    /// The longest value that a request of this workload can have, bytes.
    pub fn max_value_bytes(&self) -> usize {
        fn of(operation: &Operation) -> usize {
            match &operation.action {
                Action::Set(_, value) => value.largest(),
                Action::Create(create) => create.value.largest(),
                Action::Multi { parts, .. } => parts.iter().map(of).max().unwrap_or(0),
                _ => 0,
            }
        }
        let initial = self.initial_znodes.iter().map(|znode| znode.value.largest());
        initial.chain(self.operations.iter().map(of)).max().unwrap_or(0)
    }
}

/// The built-in workloads: name and YAML text.
pub const BUILT_IN: [(&str, &str); 14] = [
    ("get", include_str!("../../workloads/get.yaml")),
    ("set", include_str!("../../workloads/set.yaml")),
    ("create", include_str!("../../workloads/create.yaml")),
    ("create-delete", include_str!("../../workloads/create-delete.yaml")),
    ("ephemeral", include_str!("../../workloads/ephemeral.yaml")),
    ("sequential", include_str!("../../workloads/sequential.yaml")),
    ("exists", include_str!("../../workloads/exists.yaml")),
    ("children", include_str!("../../workloads/children.yaml")),
    ("sync", include_str!("../../workloads/sync.yaml")),
    ("multi", include_str!("../../workloads/multi.yaml")),
    ("multi-read", include_str!("../../workloads/multi-read.yaml")),
    ("mixed", include_str!("../../workloads/mixed.yaml")),
    ("registry", include_str!("../../workloads/registry.yaml")),
    ("inserts", include_str!("../../workloads/inserts.yaml")),
];

impl FromStr for Skew {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Skew, String> {
        if text == "uniform" {
            return Ok(Skew::Uniform);
        }
        let exponent = text.strip_prefix("zipf:").and_then(|exponent| exponent.parse::<f64>().ok());
        let exponent = exponent.filter(|exponent| (0.0..=10.0).contains(exponent));
        exponent.map(Skew::Zipf).ok_or_else(|| "uniform, or zipf:EXPONENT with an exponent up to 10".into())
    }
}

impl FromStr for Amount {
    type Err = String;

    /// `N`, `LOW..HIGH` with both ends, or `N:WEIGHT,N:WEIGHT`.
    fn from_str(text: &str) -> std::result::Result<Amount, String> {
        let shape = || "a number, LOW..HIGH, or NUMBER:WEIGHT,NUMBER:WEIGHT".to_owned();
        let number = |text: &str| {
            text.trim().parse::<usize>().ok().filter(|number| *number <= MAX_VALUE_BYTES).ok_or_else(shape)
        };
        if let Some((low, high)) = text.split_once("..") {
            let (low, high) = (number(low)?, number(high)?);
            return if low <= high { Ok(Amount::Uniform(low, high)) } else { Err(shape()) };
        }
        if !text.contains(':') {
            return number(text).map(Amount::Fixed);
        }
        let mut amounts = vec![];
        let mut weights = vec![];
        for choice in text.split(',') {
            let (amount, weight) = choice.split_once(':').ok_or_else(shape)?;
            amounts.push(number(amount)?);
            weights.push(
                weight.trim().parse::<f64>().ok().filter(|weight| (1e-9..=1e9).contains(weight)).ok_or_else(shape)?,
            );
        }
        Ok(Amount::Choice(amounts, WeightedChooser::new(&weights)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_workload() {
        for (name, _) in BUILT_IN {
            let workload = Workload::load(name, &Overrides::default()).unwrap();
            assert_eq!(workload.name, name, "the file's name for itself");
            assert!(!workload.operations.is_empty() && !workload.description.is_empty(), "{name}");
            let inside = |znode: &InitialZnode| znode.path == ROOT || znode.path.starts_with("/corral-load/");
            assert!(workload.initial_znodes.iter().all(inside), "{name} stays below {ROOT}");
        }
    }

    #[test]
    fn a_mix_is_read_from_its_name() {
        let mixed = Workload::load("mixed:90", &Overrides::default()).unwrap();
        let weights: Vec<(&str, f64)> = mixed.operations.iter().map(|op| (op.name.as_str(), op.weight)).collect();
        assert_eq!(weights, [("get", 90.0), ("set", 10.0)]);
        for wrong in ["", "gets", "mixed:101", "mixed:-1", "mixed:", "./nowhere.yaml", "/dev/zero"] {
            assert!(Workload::load(wrong, &Overrides::default()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn distributions_are_parsed() {
        assert_eq!("zipf:0.99".parse(), Ok(Skew::Zipf(0.99)));
        assert_eq!("uniform".parse(), Ok(Skew::Uniform));
        assert!("zipf".parse::<Skew>().is_err() && "zipf:-1".parse::<Skew>().is_err());
        assert!(matches!("7".parse(), Ok(Amount::Fixed(7))));
        assert!(matches!("2..7".parse(), Ok(Amount::Uniform(2, 7))));
        assert!(matches!("100:9, 1000:1".parse(), Ok(Amount::Choice(amounts, _)) if amounts == [100, 1000]));
        for wrong in ["", "x", "-1", "7..2", "1:", "1:0", ":1", "1:2,3", "99999999"] {
            assert!(wrong.parse::<Amount>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn paths_come_back_as_they_were() {
        let paths: Paths = ["/a", "", "/bcd"].into_iter().collect();
        assert_eq!((0..paths.len()).map(|i| paths.get(i)).collect::<Vec<_>>(), ["/a", "", "/bcd"]);
    }
}

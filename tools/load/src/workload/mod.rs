//! What a load asks for: the znodes that stand before, and a weighted mix of operations on them.
//!
//! A workload comes by name (`workloads/*.yaml`, part of the program), from a file of the same format, or from a file of
//! keeper-bench. All three end as the same [`Workload`].

mod file;
mod keeper;
pub mod law;

use crate::failure::{Failure, Result, While};
use crate::yaml::Node;
pub use file::Overrides;
use law::{Amount, Chooser, Picker, Skew};
use std::str::FromStr;
use std::sync::Arc;

/// Everything a load makes is below this znode.
pub const ROOT: &str = "/corral-load";
/// Values are not longer: a server's default limit of a request. Bytes.
pub const LONGEST_VALUE: usize = (1 << 20) - 4096;
/// Most parts of a multi.
pub const LONGEST_MULTI: usize = 10_000;
/// Most znodes that are made before a load.
pub const MOST_KEYS: usize = 10_000_000;

/// A load's znodes and operations, and how it is run unless the user says otherwise.
#[derive(Clone, Debug)]
pub struct Workload {
    pub name: String,
    pub description: String,
    /// Parents before their children.
    pub tree: Vec<Planted>,
    pub operations: Vec<Operation>,
    pub settings: Settings,
}

/// How a workload is run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    pub sessions: Option<usize>,
    pub in_flight: Option<usize>,
    pub threads: Option<usize>,
    /// Operations a second; an open loop.
    pub rate: Option<f64>,
    pub seconds: Option<f64>,
    pub warm_up: Option<f64>,
    /// Where it is run.
    pub targets: Vec<String>,
}

/// A znode that stands before the load begins.
#[derive(Clone, Debug)]
pub struct Planted {
    pub path: String,
    /// Bytes of its value.
    pub value: Amount,
}

/// One of a mix.
#[derive(Clone, Debug)]
pub struct Operation {
    pub name: String,
    pub weight: f64,
    pub action: Action,
}

/// What an operation does.
#[derive(Clone, Debug)]
pub enum Action {
    Get(Keys),
    Exists(Keys),
    Children(Keys),
    Sync(Keys),
    /// A part of a multi only: the znode must be there.
    Check(Keys),
    Set(Keys, Amount),
    Create(Create),
    /// So many of the parts, chosen by their weights; all of them in their order when no size is given.
    Multi {
        size: Option<Amount>,
        parts: Vec<Operation>,
        chooser: Chooser,
    },
}

/// Paths, and which of them is used how often.
#[derive(Clone, Debug)]
pub struct Keys {
    pub paths: Arc<Paths>,
    pub picker: Picker,
}

impl Keys {
    /// Some paths, at least one, under a law.
    pub fn new(paths: Arc<Paths>, skew: &Skew) -> Keys {
        let picker = Picker::new(skew, paths.len());
        Keys { paths, picker }
    }
}

/// New znodes, under the parents in turn.
#[derive(Clone, Debug)]
pub struct Create {
    pub parents: Arc<Paths>,
    pub value: Amount,
    /// As in [`crate::codec::flags`].
    pub flags: i32,
    /// Names are at least so long.
    pub name_length: usize,
    /// So often, 0..1, one that was made is deleted instead.
    pub remove: f64,
}

/// Paths one behind the other, which takes a quarter of what single strings would.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Paths {
    text: String,
    ends: Vec<usize>,
}

impl Paths {
    /// Appends one.
    pub fn push(&mut self, path: &str) {
        self.text.push_str(path);
        self.ends.push(self.text.len());
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// One of them.
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
    /// The workload of that name or in that file.
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
        // The reader refuses long files; a device that never ends must not be read to its end before.
        let text = std::fs::File::open(name).during(doing)?;
        let text = std::io::read_to_string(std::io::Read::take(text, 4 << 20)).during(doing)?;
        let node = Node::parse(&text).during(doing)?;
        let is_keepers = node.entries().during(doing)?.iter().any(|(key, _)| key == "generator");
        if !is_keepers {
            return file::workload(&node, overrides).during(doing);
        }
        let stem = std::path::Path::new(name).file_stem().map_or("keeper-bench".into(), |stem| stem.to_string_lossy());
        keeper::workload(&node, &stem).during(doing)
    }

    /// The longest value a request of it can carry.
    pub fn longest_value(&self) -> usize {
        fn of(operation: &Operation) -> usize {
            match &operation.action {
                Action::Set(_, value) => value.largest(),
                Action::Create(create) => create.value.largest(),
                Action::Multi { parts, .. } => parts.iter().map(of).max().unwrap_or(0),
                _ => 0,
            }
        }
        let planted = self.tree.iter().map(|planted| planted.value.largest());
        planted.chain(self.operations.iter().map(of)).max().unwrap_or(0)
    }
}

/// The workloads that have a name.
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
        let number =
            |text: &str| text.trim().parse::<usize>().ok().filter(|number| *number <= LONGEST_VALUE).ok_or_else(shape);
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
        Ok(Amount::Choice(amounts, Chooser::new(&weights)))
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
            let inside = |planted: &Planted| planted.path == ROOT || planted.path.starts_with("/corral-load/");
            assert!(workload.tree.iter().all(inside), "{name} stays below {ROOT}");
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
    fn laws_are_read() {
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

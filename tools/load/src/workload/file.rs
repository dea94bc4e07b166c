//! The format of workload files, which is that of the workloads with a name.
//!
//! ```yaml
//! name: shop
//! description: reads of a few hot znodes, some writes
//! tree: {keys: 10000, depth: 2, fan_out: 100, value: "100:9,1000:1"}   # or 100, or 10..200
//! skew: zipf:0.99                  # for all operations that do not say otherwise; or uniform
//! operations:
//! - {operation: get, weight: 90}
//! - {operation: set, weight: 8, value: 10..200}
//! - operation: multi
//!   weight: 2
//!   size: 10                       # without it: all parts, in their order
//!   parts:
//!   - {operation: create, ephemeral: true, remove: 0.5}
//!   - {operation: set, skew: uniform}
//! sessions: 16                     # what follows may be said on the command line instead
//! in_flight: 4
//! rate: 10000
//! ```
//!
//! The keys are spread evenly over `fan_out`^(`depth` - 1) lowest parents; `children` reads those, everything else the
//! keys.

use super::distribution::{Amount, Skew, WeightedChooser};
use super::{
    Action, Create, InitialZnode, Keys, MAX_KEYS, MAX_MULTI_PARTS, Operation, Paths, ROOT, Settings, Workload,
};
use crate::codec::flags;
use crate::failure::{Failure, Result};
use crate::yaml::Node;
use std::sync::Arc;

/// Deepest tree of keys.
const DEEPEST: usize = 16;
const DEFAULT_KEYS: usize = 1000;
const DEFAULT_VALUE: Amount = Amount::Fixed(100);
/// Under how many parents new znodes are made unless a file says otherwise.
const DEFAULT_PARENTS: usize = 16;

/// What the command line says instead of the file.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    pub keys: Option<usize>,
    pub depth: Option<usize>,
    pub fan_out: Option<usize>,
    pub value: Option<Amount>,
    pub skew: Option<Skew>,
}

/// Reads a workload.
pub fn workload(file: &Node, overrides: &Overrides) -> Result<Workload> {
    file.entries_among(&[
        "name",
        "description",
        "tree",
        "skew",
        "operations",
        "sessions",
        "in_flight",
        "threads",
        "rate",
        "seconds",
        "warm_up",
    ])?;
    let tree = Tree::read(file, overrides)?;
    let skew = match &overrides.skew {
        Some(skew) => skew.clone(),
        None => file.read_key("skew")?.unwrap_or(Skew::Uniform),
    };
    let mut reader = Reader { tree, skew, value: overrides.value.clone(), parents: 0 };
    let operations = file.get("operations")?.ok_or_else(|| file.wrong("operations are missing"))?;
    let operations = reader.operations(operations, false)?;
    Ok(Workload {
        name: file.read_key("name")?.unwrap_or_else(|| "nameless".to_owned()),
        description: file.read_key("description")?.unwrap_or_default(),
        initial_znodes: reader.initial_znodes(),
        operations,
        settings: settings(file)?,
    })
}

fn settings(file: &Node) -> Result<Settings> {
    Ok(Settings {
        sessions: file.read_key("sessions")?,
        in_flight: file.read_key("in_flight")?,
        threads: file.read_key("threads")?,
        rate: file.read_key("rate")?,
        seconds: file.read_key("seconds")?,
        warm_up_seconds: file.read_key("warm_up")?,
        targets: vec![],
    })
}

/// The keys and what is above them.
struct Tree {
    base: String,
    inner: Vec<String>,
    parents: Arc<Paths>,
    keys: Arc<Paths>,
    value: Amount,
}

impl Tree {
    fn read(file: &Node, overrides: &Overrides) -> Result<Tree> {
        let tree = file.get("tree")?;
        if let Some(tree) = tree {
            tree.entries_among(&["keys", "depth", "fan_out", "value"])?;
        }
        let number = |key: &str, said: Option<usize>| match (said, tree) {
            (Some(said), _) => Ok(Some(said)),
            (None, Some(tree)) => tree.read_key::<usize>(key),
            (None, None) => Ok(None),
        };
        let depth = number("depth", overrides.depth)?.unwrap_or(1);
        let fan_out = number("fan_out", overrides.fan_out)?.unwrap_or(if depth > 1 { 10 } else { 1 });
        if !(1..=DEEPEST).contains(&depth) || fan_out == 0 {
            return Err(Failure::new(format!("a tree has a depth of 1 to {DEEPEST} and a fan-out of at least 1")));
        }
        let lowest = (1..depth).try_fold(1usize, |lowest, _| lowest.checked_mul(fan_out).filter(|n| *n <= MAX_KEYS));
        let keys = number("keys", overrides.keys)?;
        // A shape alone is a full tree.
        let full =
            || if depth > 1 { lowest.and_then(|lowest| lowest.checked_mul(fan_out)) } else { Some(DEFAULT_KEYS) };
        let keys = keys.or_else(full).filter(|keys| (1..=MAX_KEYS).contains(keys));
        let (Some(keys), Some(_)) = (keys, lowest) else {
            return Err(Failure::new(format!("a tree has 1 to {MAX_KEYS} keys")));
        };
        let value = match (&overrides.value, tree) {
            (Some(value), _) => value.clone(),
            (None, Some(tree)) => tree.read_key("value")?.unwrap_or(DEFAULT_VALUE),
            (None, None) => DEFAULT_VALUE,
        };
        Ok(Tree::grow(keys, depth, fan_out, value))
    }

    fn grow(keys: usize, depth: usize, fan_out: usize, value: Amount) -> Tree {
        // Trees of other shapes are other trees: what one leaves must not be listed by the next.
        let base = format!("{ROOT}/t{depth}-{fan_out}-{keys}");
        let mut lowest = vec![base.clone()];
        let mut inner = vec![];
        for _ in 1..depth {
            let below = lowest.iter().flat_map(|parent| (0..fan_out).map(move |i| format!("{parent}/d{i:02}")));
            let below: Vec<String> = below.collect();
            inner.append(&mut lowest);
            lowest = below;
        }
        let mut paths = Paths::default();
        (0..keys).for_each(|key| paths.push(&format!("{}/k{key:06}", lowest[key % lowest.len()])));
        let parents = Arc::new(lowest.iter().map(String::as_str).collect());
        Tree { base, inner, parents, keys: Arc::new(paths), value }
    }
}

struct Reader {
    tree: Tree,
    skew: Skew,
    /// The command line's, which goes before every other.
    value: Option<Amount>,
    /// Most parents for new znodes that any operation asks for.
    parents: usize,
}

impl Reader {
    fn operations(&mut self, list: &Node, in_multi: bool) -> Result<Vec<Operation>> {
        let mut operations = vec![];
        for node in list.list()? {
            operations.push(self.operation(node, in_multi)?);
        }
        let weights: f64 = operations.iter().map(|operation| operation.weight).sum();
        if operations.is_empty() || weights <= 0.0 {
            return Err(list.wrong("at least one operation has a weight above 0"));
        }
        Ok(operations)
    }

    fn operation(&mut self, node: &Node, in_multi: bool) -> Result<Operation> {
        let kind =
            node.get("operation")?.ok_or_else(|| node.wrong("a map with the key operation is expected"))?.text()?;
        let own: &[&str] = match kind {
            "get" | "exists" | "children" | "sync" | "check" => &["skew"],
            "set" => &["skew", "value"],
            "create" => &["value", "ephemeral", "sequential", "remove", "parents", "name_length"],
            "multi" => &["size", "parts"],
            _ => return Err(node.wrong(format!("unknown operation {kind}"))),
        };
        node.entries_among(&[&["operation", "name", "weight"], own].concat())?;
        let action = match kind {
            "get" => Action::Get(self.keys(node)?),
            "exists" if !in_multi => Action::Exists(self.keys(node)?),
            "sync" if !in_multi => Action::Sync(self.keys(node)?),
            "check" if in_multi => Action::Check(self.keys(node)?),
            "children" => Action::Children(Keys::new(Arc::clone(&self.tree.parents), &self.own_skew(node)?)),
            "set" => Action::Set(self.keys(node)?, self.own_value(node)?),
            "create" => {
                let create = self.create(node)?;
                if in_multi && create.delete_probability > 0.0 && create.flags & flags::SEQUENTIAL != 0 {
                    return Err(node.wrong("what a multi makes sequential is not deleted again"));
                }
                Action::Create(create)
            }
            "multi" if !in_multi => {
                let parts = node.get("parts")?.ok_or_else(|| node.wrong("a multi has parts"))?;
                multi(node, node.read_key("size")?, self.operations(parts, true)?)?
            }
            _ => return Err(node.wrong(format!("{kind} cannot stand here"))),
        };
        let weight: f64 = node.read_key("weight")?.unwrap_or(1.0);
        if !(0.0..=1e12).contains(&weight) {
            return Err(node.wrong("a weight is 0 or more"));
        }
        Ok(Operation { name: node.read_key("name")?.unwrap_or_else(|| kind.to_owned()), weight, action })
    }

    fn keys(&self, node: &Node) -> Result<Keys> {
        Ok(Keys::new(Arc::clone(&self.tree.keys), &self.own_skew(node)?))
    }

    fn own_skew(&self, node: &Node) -> Result<Skew> {
        Ok(node.read_key("skew")?.unwrap_or_else(|| self.skew.clone()))
    }

    fn own_value(&self, node: &Node) -> Result<Amount> {
        let said = node.read_key("value")?;
        Ok(self.value.clone().or(said).unwrap_or_else(|| self.tree.value.clone()))
    }

    fn create(&mut self, node: &Node) -> Result<Create> {
        let parents: usize = node.read_key("parents")?.unwrap_or(DEFAULT_PARENTS);
        if !(1..=MAX_KEYS).contains(&parents) {
            return Err(node.wrong(format!("1 to {MAX_KEYS} parents")));
        }
        self.parents = self.parents.max(parents);
        let flag = |key: &str, flag: i32| {
            Ok(if node.read_key::<bool>(key)?.unwrap_or(false) { flag } else { flags::PERSISTENT })
        };
        let flags = flag("ephemeral", flags::EPHEMERAL)? | flag("sequential", flags::SEQUENTIAL)?;
        let remove: f64 = node.read_key("remove")?.unwrap_or(0.0);
        if !(0.0..1.0).contains(&remove) {
            return Err(node.wrong("remove is a share from 0 to less than 1"));
        }
        let paths: Vec<String> = (0..parents).map(|i| self.parent(i)).collect();
        let parents = Arc::new(paths.iter().map(String::as_str).collect());
        let name_length = node.read_key("name_length")?.unwrap_or(0usize).min(1000);
        Ok(Create { parents, value: self.own_value(node)?, flags, name_length, delete_probability: remove })
    }

    /// A parent of new znodes.
    fn parent(&self, number: usize) -> String {
        format!("{ROOT}/p{number:02}")
    }

    /// Everything that stands before.
    fn initial_znodes(&self) -> Vec<InitialZnode> {
        let bare = |path: String| InitialZnode { path, value: Amount::Fixed(0) };
        let mut znodes = vec![bare(ROOT.into())];
        znodes.extend((0..self.parents).map(|number| bare(self.parent(number))));
        if !self.tree.inner.contains(&self.tree.base) {
            znodes.push(bare(self.tree.base.clone()));
        }
        znodes.extend(self.tree.inner.iter().cloned().map(bare));
        let parents = (0..self.tree.parents.len()).map(|i| self.tree.parents.get(i));
        znodes.extend(parents.filter(|path| *path != self.tree.base).map(|path| bare(path.into())));
        let keys = (0..self.tree.keys.len()).map(|i| self.tree.keys.get(i));
        znodes.extend(keys.map(|path| InitialZnode { path: path.into(), value: self.tree.value.clone() }));
        znodes
    }
}

/// A multi of these parts; either all of them read or all of them write.
pub fn multi(node: &Node, size: Option<Amount>, parts: Vec<Operation>) -> Result<Action> {
    let reads = parts.iter().filter(|part| matches!(part.action, Action::Get(_) | Action::Children(_))).count();
    if reads != 0 && reads != parts.len() {
        return Err(node.wrong("a multi reads or writes, not both"));
    }
    let largest = size.as_ref().map_or(parts.len(), Amount::largest);
    if !(1..=MAX_MULTI_PARTS).contains(&largest) {
        return Err(node.wrong(format!("a multi has 1 to {MAX_MULTI_PARTS} parts")));
    }
    let weights: Vec<f64> = parts.iter().map(|part| part.weight).collect();
    Ok(Action::Multi { size, chooser: WeightedChooser::new(&weights), parts })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Workload> {
        workload(&Node::parse(text)?, &Overrides::default())
    }

    #[test]
    fn the_example_is_read() {
        let header = include_str!("file.rs").lines().take_while(|line| line.starts_with("//!"));
        let header: Vec<&str> =
            header.map(|line| line.trim_start_matches("//!").strip_prefix(' ').unwrap_or("")).collect();
        let text = header.join("\n");
        let example = text.split("```").nth(1).unwrap().strip_prefix("yaml").unwrap();
        let workload = read(example).unwrap();
        assert_eq!(workload.initial_znodes.iter().filter(|znode| znode.path.contains("/k")).count(), 10_000);
        assert_eq!(workload.settings.rate, Some(10_000.0));
        let Action::Multi { size: Some(Amount::Fixed(10)), parts, .. } = &workload.operations[2].action else {
            panic!("{:?}", workload.operations[2]);
        };
        assert!(matches!(&parts[0].action, Action::Create(create) if create.flags == flags::EPHEMERAL));
    }

    #[test]
    fn keys_are_spread_over_the_lowest_parents() {
        let tree = Tree::grow(5, 3, 2, DEFAULT_VALUE);
        assert_eq!(tree.parents.len(), 4);
        let keys: Vec<&str> = (0..5).map(|i| tree.keys.get(i)).collect();
        assert_eq!(keys[0], "/corral-load/t3-2-5/d00/d00/k000000");
        assert_eq!(keys[4], "/corral-load/t3-2-5/d00/d00/k000004");
        assert_eq!(keys[3], "/corral-load/t3-2-5/d01/d01/k000003");
    }

    #[test]
    fn parents_stand_before_their_children() {
        for shape in ["{depth: 1}", "{depth: 3, fan_out: 3}", "{keys: 7, depth: 2, fan_out: 2}"] {
            let workload = read(&format!("tree: {shape}\noperations: [{{operation: create}}]")).unwrap();
            let mut seen: Vec<&str> = vec![""];
            for znode in &workload.initial_znodes {
                let parent = znode.path.rsplit_once('/').unwrap().0;
                assert!(seen.contains(&parent), "{} in {shape}", znode.path);
                assert!(!seen.contains(&znode.path.as_str()), "{} comes twice", znode.path);
                seen.push(&znode.path);
            }
        }
    }

    #[test]
    fn the_command_line_goes_before_the_file() {
        let overrides = Overrides { keys: Some(3), value: Some(Amount::Fixed(7)), ..Overrides::default() };
        let text = "tree: {keys: 10, value: 1}\noperations: [{operation: set, value: 2}]";
        let workload = workload(&Node::parse(text).unwrap(), &overrides).unwrap();
        assert_eq!(workload.max_value_bytes(), 7);
        assert_eq!(workload.initial_znodes.len(), 2 + 3);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_line() {
        for (wrong, why) in [
            ("name: x", "operations are missing"),
            ("operations: []", "above 0"),
            ("operations: [{operation: get, weight: 0}]", "above 0"),
            ("operations: [{operation: fly}]", "unknown operation fly"),
            ("operations: [{operation: check}]", "cannot stand here"),
            ("operations: [{operation: get, value: 1}]", "unknown key value"),
            ("operations: [{operation: multi, parts: [{operation: get}, {operation: set}]}]", "not both"),
            ("operations: [{operation: multi, size: 0, parts: [{operation: set}]}]", "parts"),
            ("operations: [{operation: multi, parts: [{operation: multi, parts: []}]}]", ""),
            ("operations: [{operation: create, remove: 1}]", "share"),
            ("tree: {keys: 0}\noperations: [{operation: get}]", "keys"),
            ("tree: {depth: 16, fan_out: 1000}\noperations: [{operation: get}]", "keys"),
            ("speed: 1\noperations: [{operation: get}]", "unknown key speed"),
        ] {
            let failure = read(wrong).unwrap_err().to_string();
            assert!(failure.contains(why), "{wrong}: {failure}");
        }
    }
}

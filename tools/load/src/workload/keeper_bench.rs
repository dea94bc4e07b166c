//! Workload files of ClickHouse's keeper-bench, read as they are.
//!
//! Understood: `concurrency`, `timelimit`, `connections` (hosts, sessions), `generator.setup` (nodes, repeated ones,
//! random strings), `generator.requests` (create with `remove_factor`, set, get, list, multi; weights; `children_of`).
//! Different here, on purpose:
//! - All paths lie below [`ROOT`]`/keeper`, so that no znode of the server's users is touched.
//! - Random names and values are the same in every run; values have the length that is asked for, not the text.
//! - `iterations`, `delay`, `continue_on_errors` and `output` have no meaning: time ends a run, errors are counted, and
//!   the command line says what is printed.
//! - `children_of` means the children the setup makes.

use super::distribution::{Amount, Skew};
use super::file::multi;
use super::{Action, Create, InitialZnode, Keys, MAX_KEYS, Operation, Paths, ROOT, Settings, Workload};
use crate::codec::flags;
use crate::failure::{Failure, Result};
use crate::yaml::{Node, Value};
use fastrand::Rng;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Length of a made name when the file gives none.
const DEFAULT_NAME: usize = 5;
/// Longest random name.
const LONGEST_NAME: usize = 1000;

/// Reads a workload; `name` is the file's.
pub fn workload(file: &Node, name: &str) -> Result<Workload> {
    let generator = file.get("generator")?.ok_or_else(|| file.wrong("a generator is missing"))?;
    generator.entries_among(&["setup", "requests"])?;
    let bare = |path: &str| InitialZnode { path: path.into(), value: Amount::Fixed(0) };
    let base = format!("{ROOT}/keeper");
    let mut setup = Setup { random: Rng::with_seed(0), znodes: vec![bare(ROOT), bare(&base)], known: BTreeSet::new() };
    if let Some(nodes) = generator.get("setup")? {
        setup.children(nodes, &base)?;
    }
    let requests = generator.get("requests")?.ok_or_else(|| generator.wrong("requests are missing"))?;
    let operations = setup.requests(requests, &base, false)?;
    Ok(Workload {
        name: name.into(),
        description: "a workload of keeper-bench".into(),
        initial_znodes: setup.znodes,
        operations,
        settings: settings(file)?,
    })
}

fn settings(file: &Node) -> Result<Settings> {
    let mut targets: Vec<String> = vec![];
    let mut most = 0usize;
    if let Some(connections) = file.get("connections")? {
        for (key, node) in connections.entries()? {
            let is_secure = |node: &Node| node.read_key::<bool>("secure").map(|secure| secure.unwrap_or(false));
            if key.starts_with("connection") && matches!(node.value, Value::Map(_)) {
                let host = node.get("host")?.ok_or_else(|| node.wrong("a connection has a host"))?.text()?;
                let sessions: usize = node.read_key("sessions")?.unwrap_or(1);
                most = most.saturating_add(sessions);
                targets.push(host.to_owned());
                if is_secure(node)? {
                    return Err(node.wrong("connections with TLS cannot be made"));
                }
            } else if key.starts_with("host") {
                targets.push(node.text()?.to_owned());
                most = most.saturating_add(1);
            }
        }
        if is_true(connections, "secure")? {
            return Err(connections.wrong("connections with TLS cannot be made"));
        }
    }
    let concurrency: usize = file.read_key("concurrency")?.unwrap_or(1).max(1);
    let sessions = most.max(1);
    Ok(Settings {
        sessions: Some(sessions),
        in_flight: Some(concurrency.div_ceil(sessions)),
        threads: None,
        rate: None,
        seconds: file.read_key::<f64>("timelimit")?.filter(|limit| *limit > 0.0),
        warm_up_seconds: None,
        targets,
    })
}

fn is_true(node: &Node, key: &str) -> Result<bool> {
    Ok(node.read_key::<bool>(key)?.unwrap_or(false))
}

/// The values of every key that begins like this: a key that comes again may have a number behind it.
fn all<'a>(node: &'a Node, key: &'static str) -> Result<impl Iterator<Item = &'a Node>> {
    Ok(node.entries()?.iter().filter(move |(name, _)| name.starts_with(key)).map(|(_, node)| node))
}

/// A number, or one between `min_value` and `max_value`.
fn amount(node: &Node) -> Result<Amount> {
    if let Value::Scalar(_) = node.value {
        return Ok(Amount::Fixed(node.read()?));
    }
    node.entries_among(&["min_value", "max_value"])?;
    match (node.read_key("min_value")?, node.read_key("max_value")?) {
        (Some(low), Some(high)) if low <= high => Ok(Amount::Uniform(low, high)),
        _ => Err(node.wrong("min_value and max_value make a range")),
    }
}

/// A text, or a random one of some length.
enum Text<'a> {
    Plain(&'a str),
    Random(Amount),
}

fn text(node: &Node) -> Result<Text<'_>> {
    if let Value::Scalar(text) = &node.value {
        return Ok(Text::Plain(text));
    }
    node.entries_among(&["random_string"])?;
    let random = node.get("random_string")?.ok_or_else(|| node.wrong("a text or a random_string is expected"))?;
    let size = random.get("size")?.ok_or_else(|| random.wrong("a random_string has a size"))?;
    Ok(Text::Random(amount(size)?))
}

/// Lengths of what `data` stands for.
fn data(node: &Node) -> Result<Amount> {
    let length = match node.get("data")? {
        None => Amount::Fixed(0),
        Some(data) => match text(data)? {
            Text::Plain(text) => Amount::Fixed(text.len()),
            Text::Random(length) => length,
        },
    };
    if length.largest() > super::MAX_VALUE_BYTES {
        return Err(node.wrong("values are too long"));
    }
    Ok(length)
}

struct Setup {
    random: Rng,
    znodes: Vec<InitialZnode>,
    known: BTreeSet<String>,
}

impl Setup {
    /// Makes the nodes below `parent` that `node` lists.
    fn children(&mut self, node: &Node, parent: &str) -> Result<()> {
        for child in all(node, "node")? {
            if let Value::Scalar(name) = &child.value {
                self.plant(child, format!("{parent}/{name}"), Amount::Fixed(0))?;
                continue;
            }
            let name = child.get("name")?.ok_or_else(|| child.wrong("a node has a name"))?;
            let repeat: usize = child.read_key("repeat")?.unwrap_or(1);
            for _ in 0..repeat {
                let name = match text(name)? {
                    Text::Plain(_) if repeat > 1 => {
                        return Err(child.wrong("a node that is repeated has a random name"));
                    }
                    Text::Plain(name) => name.to_owned(),
                    Text::Random(length) => self.fresh_name(child, parent, &length)?,
                };
                let path = format!("{parent}/{name}");
                self.plant(child, path.clone(), data(child)?)?;
                self.children(child, &path)?;
            }
        }
        Ok(())
    }

    fn plant(&mut self, node: &Node, path: String, value: Amount) -> Result<()> {
        if self.znodes.len() >= MAX_KEYS {
            return Err(node.wrong(format!("more than {MAX_KEYS} nodes")));
        }
        if !self.known.insert(path.clone()) {
            return Err(node.wrong(format!("{path} comes twice")));
        }
        self.znodes.push(InitialZnode { path, value });
        Ok(())
    }

    fn fresh_name(&mut self, node: &Node, parent: &str, length: &Amount) -> Result<String> {
        for _ in 0..1000 {
            let length = length.draw(&mut self.random).clamp(1, LONGEST_NAME);
            let name: String = (0..length).map(|_| self.random.alphanumeric()).collect();
            if !self.known.contains(&format!("{parent}/{name}")) {
                return Ok(name);
            }
        }
        Err(node.wrong("there are not enough names of this length"))
    }

    fn requests(&self, node: &Node, base: &str, in_multi: bool) -> Result<Vec<Operation>> {
        let mut operations: Vec<Operation> = vec![];
        for (key, request) in node.entries()? {
            let kind = ["create", "set", "get", "list", "multi"].into_iter().find(|kind| key.starts_with(kind));
            let Some(kind) = kind else {
                if in_multi && ["size", "weight"].contains(&key.as_str()) {
                    continue;
                }
                return Err(request.wrong(format!("unknown request {key}")));
            };
            let action = match kind {
                "create" => Action::Create(self.create(request, base)?),
                "set" => Action::Set(self.keys(request, base)?, data(request)?),
                "get" => Action::Get(self.keys(request, base)?),
                "list" => Action::Children(self.keys(request, base)?),
                _ if in_multi => return Err(request.wrong("a multi holds no multi")),
                _ => {
                    let size = request.get("size")?.map(amount).transpose()?;
                    multi(request, size, self.requests(request, base, true)?)?
                }
            };
            // Several of a kind are told apart by their number.
            let same = operations.iter().filter(|operation| operation.name.starts_with(kind)).count();
            let name = if same == 0 { kind.to_owned() } else { format!("{kind} {}", same + 1) };
            let weight: u32 = request.read_key("weight")?.unwrap_or(1);
            operations.push(Operation { name, weight: f64::from(weight), action });
        }
        if operations.iter().all(|operation| operation.weight == 0.0) {
            return Err(node.wrong("no request is asked for"));
        }
        Ok(operations)
    }

    fn keys(&self, request: &Node, base: &str) -> Result<Keys> {
        Ok(Keys::new(Arc::new(self.paths(request, base)?), &Skew::Uniform))
    }

    fn create(&self, request: &Node, base: &str) -> Result<Create> {
        let name = request.get("name_length")?.map(amount).transpose()?.unwrap_or(Amount::Fixed(DEFAULT_NAME));
        let remove: f64 = request.read_key("remove_factor")?.unwrap_or(0.0);
        if !(0.0..1.0).contains(&remove) {
            return Err(request.wrong("remove_factor is a share from 0 to less than 1"));
        }
        Ok(Create {
            parents: Arc::new(self.paths(request, base)?),
            value: data(request)?,
            flags: flags::PERSISTENT,
            name_length: name.largest().min(LONGEST_NAME),
            delete_probability: remove,
        })
    }

    /// Every path a request names.
    fn paths(&self, request: &Node, base: &str) -> Result<Paths> {
        let mut paths = Paths::default();
        let mut push = |node: &Node| {
            let path = node.text()?;
            if !path.starts_with('/') {
                return Err(node.wrong(format!("not a path: {path}")));
            }
            paths.push(&format!("{base}{}", path.trim_end_matches('/')));
            Ok(())
        };
        let mut parents = vec![];
        for node in all(request, "path")? {
            match &node.value {
                Value::Scalar(_) => push(node)?,
                Value::List(elements) => elements.iter().try_for_each(&mut push)?,
                Value::Map(_) => {
                    let parent = node.get("children_of")?.ok_or_else(|| node.wrong("children_of is missing"))?;
                    parents.push((node, format!("{base}{}/", parent.text()?.trim_end_matches('/'))));
                }
            }
        }
        for (node, parent) in parents {
            let below = self.znodes.iter().filter_map(|znode| Some((znode, znode.path.strip_prefix(&parent)?)));
            let before = paths.len();
            below.filter(|(_, name)| !name.contains('/')).for_each(|(znode, _)| paths.push(&znode.path));
            if paths.len() == before {
                return Err(node.wrong(format!("the setup makes no children of {parent}")));
            }
        }
        if paths.len() == 0 { Err(Failure::new(request.wrong("a path is missing").to_string())) } else { Ok(paths) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = r#"
concurrency: 20
iterations: 10000
timelimit: 300
continue_on_errors: true
connections:
  operation_timeout_ms: 3000
  connection:
    secure: false
    host: "localhost:9181"
    sessions: 3
  host: "localhost:9182"
generator:
  setup:
    node: "lone"
    node:
      name: "test"
      data: "somedata"
      node:
        repeat: 4
        name:
          random_string:
            size: 15
        data:
          random_string:
            size:
              min_value: 10
              max_value: 20
      node:
        repeat: 2
        node:
          repeat: 2
          name: {random_string: {size: 12}}
        name: {random_string: {size: 15}}
  requests:
    create:
      path: "/lone"
      name_length: 10
      remove_factor: 0.5
    multi:
      size: 20
      create:
        path: "/test"
        data: {random_string: {size: 10}}
      set:
        weight: 2
        path:
          - "/lone"
          - "/test"
        path:
          children_of: "/test"
        data: {random_string: {size: {min_value: 1, max_value: 9}}}
    multi:
      weight: 10
      get:
        path: {children_of: "/test"}
      list:
        path: "/test"
"#;

    fn read(text: &str) -> Result<Workload> {
        workload(&Node::parse(text)?, "example")
    }

    #[test]
    fn a_file_with_repeated_keys_is_read() {
        let workload = read(EXAMPLE).unwrap();
        // The root, /keeper, the lone one, the test one, four leaves, two with two each.
        assert_eq!(workload.initial_znodes.len(), 2 + 2 + 4 + 2 + 4);
        assert!(workload.initial_znodes.iter().all(|znode| znode.path.starts_with(ROOT)));
        let names: Vec<(&str, f64)> = workload.operations.iter().map(|op| (op.name.as_str(), op.weight)).collect();
        assert_eq!(names, [("create", 1.0), ("multi", 1.0), ("multi 2", 10.0)]);
        let Action::Multi { size: Some(Amount::Fixed(20)), parts, .. } = &workload.operations[1].action else {
            panic!("{:?}", workload.operations[1]);
        };
        let Action::Set(keys, Amount::Uniform(1, 9)) = &parts[1].action else { panic!("{:?}", parts[1]) };
        assert_eq!(keys.paths.len(), 2 + 6, "two named ones and all children");
        let settings = workload.settings;
        assert_eq!((settings.sessions, settings.in_flight, settings.seconds), (Some(4), Some(5), Some(300.0)));
        assert_eq!(settings.targets, ["localhost:9181", "localhost:9182"]);
    }

    #[test]
    fn every_run_makes_the_same_tree() {
        let names = || read(EXAMPLE).unwrap().initial_znodes.into_iter().map(|znode| znode.path).collect::<Vec<_>>();
        assert_eq!(names(), names());
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let with = |requests: &str| format!("generator:\n  setup: {{node: a}}\n  requests:\n    {requests}\n");
        for (wrong, why) in [
            (with("get: {path: a}"), "not a path"),
            (with("get: {}"), "path is missing"),
            (with("get: {path: {children_of: /a}}"), "no children"),
            (with("fly: {path: /a}"), "unknown request"),
            (with("multi: {multi: {get: {path: /a}}}"), "no multi"),
            (with("create: {path: /a, remove_factor: 1}"), "share"),
            ("generator: {setup: {node: {name: x, repeat: 2}}, requests: {}}".into(), "random name"),
            ("generator: {}".into(), "requests are missing"),
            ("connections: {secure: true}\ngenerator: {setup: {node: a}, requests: {get: {path: /a}}}".into(), "TLS"),
            (
                "generator: {setup: {node: {name: {random_string: {size: 1}}, repeat: 99}}, requests: {}}".into(),
                "names",
            ),
        ] {
            let failure = read(&wrong).unwrap_err().to_string();
            assert!(failure.contains(why), "{wrong}: {failure}");
        }
    }
}

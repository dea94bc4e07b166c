//! YAML as a tree in which a key may come several times, as in the workload files of keeper-bench.
//!
//! A file comes from outside: its size, depth and number of nodes are limited, and aliases, which could make a small
//! file endless, are refused. Every complaint names its line.

use crate::failure::{Failure, Result};
use saphyr_parser::{Event, Parser, Span, StrInput};
use std::str::FromStr;

/// No workload file is longer. Bytes.
const LONGEST_FILE: usize = 1 << 20;
const DEEPEST: usize = 32;
const MOST_NODES: usize = 100_000;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub value: Value,
    /// Counted from 1.
    pub line: usize,
}

/// What a node holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Scalar(String),
    List(Vec<Node>),
    /// In the order of the file; a key may come again.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// Reads the one document of a file.
    pub fn parse(text: &str) -> Result<Node> {
        if text.len() > LONGEST_FILE {
            return Err(Failure::new(format!("a file of {} bytes is too long", text.len())));
        }
        let mut reader = Reader { parser: Parser::new_from_str(text), nodes: 0 };
        loop {
            match reader.next()? {
                (Event::StreamStart | Event::DocumentStart(_) | Event::Nothing, _) => {}
                (Event::StreamEnd, _) => return Err(Failure::new("the file is empty")),
                (event, span) => return reader.node(event, span, 0),
            }
        }
    }

    /// Something is wrong with this node.
    pub fn wrong(&self, what: impl std::fmt::Display) -> Failure {
        Failure::new(format!("line {}: {what}", self.line))
    }

    /// The entries of a map.
    pub fn entries(&self) -> Result<&[(String, Node)]> {
        match &self.value {
            Value::Map(entries) => Ok(entries),
            _ => Err(self.wrong("a map is expected here")),
        }
    }

    /// A map's entries, none of which has a key other than these.
    pub fn entries_among(&self, known: &[&str]) -> Result<&[(String, Node)]> {
        let entries = self.entries()?;
        match entries.iter().find(|(key, _)| !known.contains(&key.as_str())) {
            None => Ok(entries),
            Some((key, node)) => Err(node.wrong(format!("unknown key {key}; known: {}", known.join(", ")))),
        }
    }

    /// The elements of a list.
    pub fn list(&self) -> Result<&[Node]> {
        match &self.value {
            Value::List(elements) => Ok(elements),
            _ => Err(self.wrong("a list is expected here")),
        }
    }

    /// The one value of a key, if there is any; this is a map.
    pub fn get(&self, key: &str) -> Result<Option<&Node>> {
        let mut found = self.entries()?.iter().filter(|(name, _)| name == key).map(|(_, node)| node);
        let first = found.next();
        match found.next() {
            Some(again) => Err(again.wrong(format!("{key} comes twice"))),
            None => Ok(first),
        }
    }

    /// A scalar's text.
    pub fn text(&self) -> Result<&str> {
        match &self.value {
            Value::Scalar(text) => Ok(text),
            _ => Err(self.wrong("a single value is expected here")),
        }
    }

    /// A scalar, read as something else.
    pub fn read<T: FromStr<Err: std::fmt::Display>>(&self) -> Result<T> {
        let text = self.text()?;
        text.parse().map_err(|error| self.wrong(format!("{text}: {error}")))
    }

    /// The same, for a key that may be absent.
    pub fn read_key<T: FromStr<Err: std::fmt::Display>>(&self, key: &str) -> Result<Option<T>> {
        self.get(key)?.map(Node::read).transpose()
    }
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    nodes: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span)> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(Failure::new(format!("line {}: {}", error.marker().line(), error.info()))),
            None => Err(Failure::new("the file ends too early")),
        }
    }

    /// The node that begins with `event`.
    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node> {
        let line = span.start.line();
        self.nodes += 1;
        if depth > DEEPEST || self.nodes > MOST_NODES {
            return Err(Failure::new(format!("line {line}: the file is nested too deeply or holds too much")));
        }
        let value = match event {
            Event::Scalar(text, ..) => Value::Scalar(text.into_owned()),
            Event::SequenceStart(..) => {
                let mut elements = vec![];
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break Value::List(elements),
                        (event, span) => elements.push(self.node(event, span, depth + 1)?),
                    }
                }
            }
            Event::MappingStart(..) => {
                let mut entries = vec![];
                loop {
                    match self.next()? {
                        (Event::MappingEnd, _) => break Value::Map(entries),
                        (Event::Scalar(key, ..), _) => {
                            let (event, span) = self.next()?;
                            entries.push((key.into_owned(), self.node(event, span, depth + 1)?));
                        }
                        (_, span) => return Err(Failure::new(format!("line {}: not a key", span.start.line()))),
                    }
                }
            }
            _ => return Err(Failure::new(format!("line {line}: aliases are not understood here"))),
        };
        Ok(Node { value, line })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_may_come_again_and_keep_their_order() {
        let node = Node::parse("a: 1\nb:\n  - x\n  - y: 2\na: three\n").unwrap();
        let keys: Vec<(&str, usize)> =
            node.entries().unwrap().iter().map(|(key, node)| (key.as_str(), node.line)).collect();
        assert_eq!(keys, [("a", 1), ("b", 3), ("a", 5)]);
        assert_eq!(node.get("b").unwrap().unwrap().list().unwrap()[0].text().unwrap(), "x");
        assert_eq!(node.get("a").unwrap_err().to_string(), "line 5: a comes twice");
        assert_eq!(node.get("c").unwrap(), None);
    }

    #[test]
    fn complaints_name_their_line() {
        let node = Node::parse("sessions: many\nother: 1\n").unwrap();
        let failure = node.read_key::<usize>("sessions").unwrap_err().to_string();
        assert!(failure.starts_with("line 1: many:"), "{failure}");
        let failure = node.entries_among(&["sessions"]).unwrap_err().to_string();
        assert_eq!(failure, "line 2: unknown key other; known: sessions");
        assert!(node.list().is_err() && node.text().is_err());
    }

    #[test]
    fn what_is_no_yaml_or_too_much_is_refused() {
        for wrong in ["", "a: [1", "a: &x 1\nb: *x\n", "? [a]\n: b\n", "a: b: c", "\"", "%"] {
            assert!(Node::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Node::parse(&"[".repeat(1000)).is_err());
        assert!(Node::parse(&format!("{}1{}", "[".repeat(40), "]".repeat(40))).is_err());
        assert!(Node::parse(&" ".repeat(LONGEST_FILE + 1)).is_err());
    }
}

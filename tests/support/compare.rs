//! Says whether two servers gave the same answer. What cannot be equal is compared by its relations instead:
//! transaction ids through a monotone bijection (so equality and order are compared, not numbers), session ids through
//! a bijection, times by lying inside the run. What has no order (children, ephemerals, identities) is compared sorted.

use std::collections::BTreeMap;

use super::client::Arrival;
use super::fields::{self, Field, Value};

/// The relations between the first server's numbers and the second's.
pub struct Mapping {
    forward: BTreeMap<i64, i64>,
    backward: BTreeMap<i64, i64>,
    sessions: BTreeMap<i64, i64>,
    session_back: BTreeMap<i64, i64>,
    /// The earliest time a server may state, milliseconds since 1970.
    started_ms: i64,
}

impl Mapping {
    pub fn new() -> Mapping {
        Mapping {
            forward: BTreeMap::new(),
            backward: BTreeMap::new(),
            sessions: BTreeMap::new(),
            session_back: BTreeMap::new(),
            started_ms: now_ms() - 1_000,
        }
    }

    /// Notes a pair of session ids.
    pub fn session_pair(&mut self, first: i64, second: i64) -> Result<(), String> {
        let known = self.sessions.get(&first) == Some(&second);
        if known && self.session_back.get(&second) == Some(&first) {
            return Ok(());
        }
        if self.sessions.insert(first, second).is_some() || self.session_back.insert(second, first).is_some() {
            return Err(format!("session ids {first:#x} and {second:#x} do not pair"));
        }
        Ok(())
    }

    /// Compares transaction ids; a pair never seen is learnt when it keeps the order.
    pub fn zxid(&mut self, first: i64, second: i64) -> Result<(), String> {
        if first <= 0 || second <= 0 {
            return if first == second { Ok(()) } else { Err(format!("zxid {first:#x} against {second:#x}")) };
        }
        if let Some(known) = self.forward.get(&first) {
            return if *known == second {
                Ok(())
            } else {
                Err(format!("zxid {first:#x} was {known:#x} on the other server and is now {second:#x}"))
            };
        }
        if let Some(known) = self.backward.get(&second) {
            return Err(format!("zxid {second:#x} was {known:#x} on the first server and is now {first:#x}"));
        }
        let before = self.forward.range(..first).next_back().map(|pair| *pair.1);
        let after = self.forward.range(first..).next().map(|pair| *pair.1);
        if before.is_some_and(|low| low >= second) || after.is_some_and(|high| high <= second) {
            return Err(format!(
                "zxid {first:#x} against {second:#x} stands in another order (between {before:x?} and {after:x?})"
            ));
        }
        self.forward.insert(first, second);
        self.backward.insert(second, first);
        Ok(())
    }

    /// The second server's id for one of the first server's, when it is known.
    pub fn second_zxid(&self, first: i64) -> Option<i64> {
        self.forward.get(&first).copied()
    }

    /// The newest pair.
    pub fn newest_zxid(&self) -> (i64, i64) {
        match self.forward.iter().next_back() {
            Some((first, second)) => (*first, *second),
            None => (0, 0),
        }
    }

    /// The pair at or below a point of the first server's history.
    pub fn zxid_pair_at(&self, first: i64) -> (i64, i64) {
        match self.forward.range(..=first).next_back() {
            Some((first, second)) => (*first, *second),
            None => (0, 0),
        }
    }

    fn time(&self, first: i64, second: i64) -> Result<(), String> {
        let window = self.started_ms..=now_ms() + 1_000;
        let plausible = |time: i64| window.contains(&time);
        if first == second || (plausible(first) && plausible(second)) {
            Ok(())
        } else {
            Err(format!("times {first} and {second}"))
        }
    }

    fn session(&self, first: i64, second: i64) -> Result<(), String> {
        let same = match self.sessions.get(&first) {
            Some(other) => *other == second,
            None => first == second,
        };
        if same { Ok(()) } else { Err(format!("session ids {first:#x} and {second:#x}")) }
    }

    fn field(&mut self, first: &Field, second: &Field) -> Result<(), String> {
        if first.name != second.name {
            return Err(format!("field {} against {}", first.name, second.name));
        }
        let verdict = match (&first.value, &second.value) {
            (Value::Zxid(a), Value::Zxid(b)) => self.zxid(*a, *b),
            (Value::Time(a), Value::Time(b)) => self.time(*a, *b),
            (Value::Session(a), Value::Session(b)) => self.session(*a, *b),
            (a, b) if a == b => Ok(()),
            (a, b) if unordered(a) == unordered(b) => Ok(()),
            _ => Err("differs".to_string()),
        };
        verdict.map_err(|why| format!("{}: {why}", first.name))
    }

    fn fields(&mut self, first: &[Field], second: &[Field]) -> Result<(), String> {
        for (a, b) in first.iter().zip(second) {
            self.field(a, b)?;
        }
        if first.len() != second.len() {
            return Err(format!("{} fields against {}", first.len(), second.len()));
        }
        Ok(())
    }

    /// Compares what arrived for one request, or one event. `opcode` tells how a reply's body reads; with
    /// `loose_zxid` a pair of marshalling errors is not compared by transaction id.
    pub fn arrivals(&mut self, opcode: i32, loose_zxid: bool, first: &Arrival, second: &Arrival) -> Result<(), String> {
        match (first, second) {
            (Arrival::Closed, Arrival::Closed) => Ok(()),
            (Arrival::Event { zxid: za, body: a }, Arrival::Event { zxid: zb, body: b }) => {
                if a != b {
                    return Err("the events differ".to_string());
                }
                self.zxid(*za, *zb)
            }
            (Arrival::Reply(a), Arrival::Reply(b)) => {
                if a.xid != b.xid || a.err != b.err {
                    return Err(format!("xid {} err {} against xid {} err {}", a.xid, a.err, b.xid, b.err));
                }
                if !(loose_zxid && a.err == super::wire::code::MARSHALLING) {
                    self.zxid(a.zxid, b.zxid)?;
                }
                if a.body == b.body && a.body.is_empty() {
                    return Ok(());
                }
                match (fields::of_reply(opcode, &a.body), fields::of_reply(opcode, &b.body)) {
                    (Ok(a), Ok(b)) => self.fields(&a, &b),
                    (a, b) if a == b => Ok(()),
                    _ => Err("one of the bodies does not decode".to_string()),
                }
            }
            _ => Err("different kinds of arrival".to_string()),
        }
    }
}

/// A value with what has no order put in order: lists of names and identities, and runs of digest entries with equal
/// permissions (the `auth` scheme expands to a set).
fn unordered(value: &Value) -> Value {
    let mut value = value.clone();
    match &mut value {
        Value::Strings(Some(list)) => list.sort(),
        Value::Pairs(list) => list.sort(),
        Value::Acls(Some(list)) => {
            for run in list.chunk_by_mut(|a, b| a.0 == b.0 && a.1 == b.1 && a.1 == b"digest") {
                run.sort();
            }
        }
        _ => {}
    }
    value
}

/// Puts the events of one transaction into an order of their own. Needed where one transaction deletes a set of nodes
/// (the ephemerals of a closed session) and the set has no order.
pub fn sort_events_of(zxid: i64, arrivals: &mut [Arrival]) {
    let of = |arrival: &Arrival| matches!(arrival, Arrival::Event { zxid: z, .. } if *z == zxid);
    for run in arrivals.chunk_by_mut(|a, b| of(a) && of(b)) {
        run.sort_by(|a, b| event_body(a).cmp(event_body(b)));
    }
}

fn event_body(arrival: &Arrival) -> &[u8] {
    match arrival {
        Arrival::Event { body, .. } => body,
        _ => &[],
    }
}

fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock after 1970");
    since.as_millis() as i64
}

/// An arrival as one readable line.
pub fn show(opcode: i32, arrival: &Arrival) -> String {
    match arrival {
        Arrival::Closed => "connection closed".to_string(),
        Arrival::Event { zxid, body } => {
            format!("event zxid={zxid:#x} {}", fields::show(&fields::of_event(body)))
        }
        Arrival::Reply(reply) => format!(
            "reply xid={} zxid={:#x} err={} {}",
            reply.xid,
            reply.zxid,
            reply.err,
            fields::show(&fields::of_reply(opcode, &reply.body))
        ),
    }
}

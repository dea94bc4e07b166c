//! What was asked lately, and the report of a mismatch: everything a person needs to see it again and to understand it.

use std::collections::VecDeque;

use super::client::Arrival;
use super::compare;
use super::fields::{self, Value};
use super::wire::Request;

/// A request that was answered alike.
struct Remembered {
    step: u64,
    session: usize,
    request: Request,
    err: i32,
}

/// The last requests of all sessions.
pub struct History {
    entries: VecDeque<Remembered>,
    limit: usize,
}

impl History {
    pub fn new(limit: usize) -> History {
        History { entries: VecDeque::new(), limit }
    }

    pub fn push(&mut self, step: u64, session: usize, request: &Request, err: i32) {
        if self.entries.len() == self.limit {
            self.entries.pop_front();
        }
        self.entries.push_back(Remembered { step, session, request: request.clone(), err });
    }

    /// Prints the last requests that touched a path, its ancestors or what lies below it.
    fn print_near(&self, path: Option<&str>) {
        const SHOWN: usize = 40;
        let near = |one: &&Remembered| related(path, first_path(&one.request).as_deref());
        let near: Vec<&Remembered> = self.entries.iter().filter(near).collect();
        println!("the last requests near {path:?}:");
        for one in near.iter().skip(near.len().saturating_sub(SHOWN)) {
            let request = show_request(&one.request);
            println!("  step {} session {} {request} -> {}", one.step, one.session, one.err);
        }
    }
}

/// Two answers that differ, and the burst they belong to.
pub struct Mismatch<'a> {
    pub why: &'a str,
    /// The request answered; None when the difference is an event.
    pub request: Option<&'a Request>,
    pub first: Option<&'a Arrival>,
    pub second: Option<&'a Arrival>,
    /// The requests of the burst, in order, and everything that arrived for it on either server.
    pub burst: Vec<&'a Request>,
    pub arrivals: [&'a [Arrival]; 2],
}

impl Mismatch<'_> {
    /// Prints the mismatch; `names` are the servers'.
    pub fn print(&self, names: [&str; 2], history: &History) {
        let opcode = self.request.map_or(0, |one| one.opcode);
        let show = |arrival: Option<&Arrival>| match arrival {
            Some(arrival) => compare::show(opcode, arrival),
            None => "nothing".to_string(),
        };
        println!("\nMISMATCH: {}", self.why);
        println!("request: {}", self.request.map_or("-".to_string(), show_request));
        println!("{}: {}", names[0], show(self.first));
        println!("{}: {}", names[1], show(self.second));
        for (name, arrivals) in names.iter().zip(self.arrivals) {
            println!("all that arrived from {name}:");
            let mut asked = self.burst.iter();
            for arrival in arrivals {
                let opcode = match arrival {
                    Arrival::Reply(_) => asked.next().map_or(0, |one| one.opcode),
                    _ => 0,
                };
                println!("  {}", compare::show(opcode, arrival));
            }
        }
        if self.request.is_none() {
            println!("the burst:");
            for request in &self.burst {
                println!("  {}", show_request(request));
            }
        }
        history.print_near(self.request.and_then(first_path).as_deref());
    }
}

/// A request as one readable line.
pub fn show_request(request: &Request) -> String {
    format!(
        "{} ({}) {}",
        fields::op_name(request.opcode),
        request.opcode,
        fields::show(&fields::of_request(request.opcode, &request.body))
    )
}

fn first_path(request: &Request) -> Option<String> {
    let decoded = fields::of_request(request.opcode, &request.body).ok()?;
    let field = decoded.iter().find(|field| field.name == "path")?;
    match &field.value {
        Value::Bytes(Some(path)) => Some(String::from_utf8_lossy(path).into_owned()),
        _ => None,
    }
}

/// Whether one path lies at, above or below the other; sequential names count by their beginning. Everything is near
/// to no path.
fn related(one: Option<&str>, other: Option<&str>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.starts_with(other) || other.starts_with(one),
        _ => one.is_none(),
    }
}

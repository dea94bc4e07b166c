//! Elections as stories: scripts of plain commands, each with what it must lead to.
//!
//! A script is a list of commands, `----` under each, and below that what the servers did. Messages are
//! delivered only when a command says so. With `CORRAL_REWRITE=1` in the environment the outcomes are
//! written into the files instead of being compared: read the difference before you keep it.

use std::collections::VecDeque;
use std::fmt::Write as _;

use super::super::*;

macro_rules! scripts {
    ($($name:ident)*) => { $(
        #[test]
        fn $name() {
            let file = concat!(stringify!($name), ".txt");
            run(file, include_str!(concat!("../../../../tests/zab/election/", stringify!($name), ".txt")));
        }
    )* };
}

scripts! {
    three_servers_start
    a_late_voter_is_waited_for
    a_better_candidate_comes_late
    a_late_joiner_finds_the_leader
    the_higher_round_wins
    a_tie_is_decided_by_the_id
    old_servers_notifications
    an_observer_watches
    weight_zero_never_wins
    groups_agree
    stepping_down
    no_database
    a_lying_candidate
    a_lying_log
    a_newer_configuration
    a_designated_leader
    a_newcomer_of_another_configuration
}

fn run(file: &str, script: &str) {
    let mut world = World::default();
    let mut out = String::new();
    let mut lines = script.lines().peekable();
    while let Some(line) = lines.next() {
        out.push_str(line);
        out.push('\n');
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut arguments = vec![];
        for line in lines.by_ref().take_while(|line| *line != "----") {
            arguments.push(line);
            writeln!(out, "{line}").unwrap();
        }
        out.push_str("----\n");
        out.push_str(&world.command(line, &arguments));
        // What stood here before.
        while lines.next_if(|line| !line.is_empty()).is_some() {}
    }
    if std::env::var_os("CORRAL_REWRITE").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/zab/election/").to_owned() + file;
        std::fs::write(path, out).unwrap();
    } else {
        for (number, (actual, expected)) in out.lines().zip(script.lines()).enumerate() {
            assert_eq!(actual, expected, "{file}:{}: in\n{out}", number + 1);
        }
        assert_eq!(out, script, "{file}");
    }
}

/// The servers of a script, and what is under way between them.
#[derive(Default)]
struct World {
    now_ms: i64,
    config: Option<Config>,
    servers: BTreeMap<ServerId, Election>,
    connected: BTreeSet<(ServerId, ServerId)>,
    /// What was sent and not delivered, in the order of sending: from, to, payload.
    wire: VecDeque<(ServerId, ServerId, Arc<[u8]>)>,
    told: String,
}

/// `key=value` among the words of a command; numbers may be hexadecimal.
fn number(words: &[&str], key: &str) -> Option<i64> {
    let text = words.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))?;
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    Some(parsed.unwrap_or_else(|_| panic!("{key}={text} is no number")))
}

fn id(text: &str) -> ServerId {
    ServerId(text.parse().unwrap_or_else(|_| panic!("{text} is no server")))
}

impl World {
    fn command(&mut self, line: &str, arguments: &[&str]) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        match &words[..] {
            ["config"] => self.config = Some(self.parse(arguments)),
            ["reconfigured", who, ..] => {
                let config = self.parse(arguments);
                self.step(id(who), Input::Reconfigured(config));
            }
            ["look", who, options @ ..] => {
                let log = number(options, "zxid").zip(number(options, "epoch"));
                let log = log.map(|(zxid, epoch)| LogEnd { zxid: Zxid(zxid), epoch });
                let yield_until_ms = number(options, "yield").map(|yield_ms| self.now_ms + yield_ms);
                self.step(id(who), Input::Look { log, yield_until_ms });
            }
            ["designated", who, options @ ..] => {
                let leader = ServerId(number(options, "leader").unwrap());
                let zxid = Zxid(number(options, "zxid").unwrap());
                self.step(id(who), Input::Designated { leader, zxid, log: None });
            }
            ["established", who, options @ ..] => {
                self.step(id(who), Input::Established { epoch: number(options, "epoch").unwrap() });
            }
            // Its process hangs or ends; its connections stay until they are disconnected.
            ["stop", who] => {
                let who = id(who);
                self.servers.remove(&who);
                self.wire.retain(|(from, to, _)| *from != who && *to != who);
            }
            ["connect", who, others @ ..] => {
                for other in others {
                    self.connection(id(who), id(other), true);
                }
            }
            ["disconnect", who, others @ ..] => {
                for other in others {
                    self.connection(id(who), id(other), false);
                }
            }
            ["deliver"] => {
                for _ in 0..1000 {
                    let Some((from, to, payload)) = self.wire.pop_front() else { break };
                    self.deliver(from, to, &payload);
                }
                assert!(self.wire.is_empty(), "they talk without end");
            }
            ["deliver", from, to] => {
                let found = self.wire.iter().position(|(a, b, _)| (*a, *b) == (id(from), id(to)));
                let (from, to, payload) = self.wire.remove(found.expect("such a message")).unwrap();
                self.deliver(from, to, &payload);
            }
            ["lose", from, to] => {
                let before = self.wire.len();
                self.wire.retain(|(a, b, _)| (*a, *b) != (id(from), id(to)));
                writeln!(self.told, "{} lost", before - self.wire.len()).unwrap();
            }
            ["wait", ms] => self.wait(ms.parse().unwrap()),
            ["inject", from, to, options @ ..] => {
                let mut payload = Notification {
                    state: PeerState::try_from(number(options, "state").unwrap() as i32).unwrap(),
                    leader: number(options, "leader").unwrap(),
                    zxid: number(options, "zxid").unwrap(),
                    round: number(options, "round").unwrap(),
                    peer_epoch: number(options, "epoch").unwrap_or(0),
                    version: 2,
                    config: Some(b""),
                }
                .encode();
                payload.truncate(number(options, "bytes").unwrap() as usize);
                self.deliver(id(from), id(to), &payload);
            }
            _ => panic!("unknown command: {line}"),
        }
        std::mem::take(&mut self.told)
    }

    fn parse(&self, arguments: &[&str]) -> Config {
        let mut texts = arguments.split(|line| line.trim() == "pending");
        let mut next = || texts.next().map(|lines| Voters::parse(lines.join("\n").as_bytes()).unwrap());
        Config::new(next().unwrap(), next())
    }

    /// As `links` does it: both ends are told.
    fn connection(&mut self, one: ServerId, other: ServerId, live: bool) {
        for (from, to) in [(one, other), (other, one)] {
            if live {
                self.connected.insert((from, to));
            } else {
                self.connected.remove(&(from, to));
                self.wire.retain(|(a, b, _)| (*a, *b) != (from, to));
            }
            if self.servers.contains_key(&from) {
                self.step(from, if live { Input::Connected(to) } else { Input::Disconnected(to) });
            }
        }
    }

    /// To a server that does not run nothing is delivered.
    fn deliver(&mut self, from: ServerId, to: ServerId, payload: &[u8]) {
        if self.servers.contains_key(&to) {
            self.step(to, Input::Message { from, payload });
        }
    }

    fn step(&mut self, who: ServerId, input: Input<'_>) {
        let config = self.config.clone().expect("a config command comes first");
        let settings = Settings { adopt_configs: true, ..Settings::default() };
        let server = self.servers.entry(who).or_insert_with(|| {
            let mut server = Election::new(who, config, settings);
            for (_, peer) in self.connected.iter().filter(|(from, _)| *from == who) {
                server.step(Input::Connected(*peer), self.now_ms);
            }
            server
        });
        let outputs = server.step(input, self.now_ms);
        self.act(who, outputs);
    }

    /// Ticks every server at its deadlines, in the order of time.
    fn wait(&mut self, ms: i64) {
        let end_ms = self.now_ms + ms;
        for _ in 0..1000 {
            let due = self.servers.iter().filter_map(|(id, server)| Some((server.deadline_ms()?, *id))).min();
            let Some((at_ms, who)) = due.filter(|(at_ms, _)| *at_ms <= end_ms) else { break };
            self.now_ms = at_ms;
            self.step(who, Input::Tick);
        }
        self.now_ms = end_ms;
    }

    /// Puts down what a server wants done; one line for the same words to several servers.
    fn act(&mut self, who: ServerId, outputs: Vec<Output>) {
        let mut told: Vec<(Arc<[u8]>, Vec<String>)> = vec![];
        for output in outputs {
            match output {
                Output::Send { to, payload } => {
                    match told.last_mut() {
                        Some((words, to_all)) if *words == payload => to_all.push(to.to_string()),
                        _ => told.push((payload.clone(), vec![to.to_string()])),
                    }
                    if self.connected.contains(&(who, to)) {
                        self.wire.push_back((who, to, payload));
                    }
                }
                // It goes with every repetition.
                Output::Reconnect => {}
                Output::Adopt(voters) => writeln!(self.told, "{who} adopts version {:x}", voters.version()).unwrap(),
                Output::Dropped { from, reason } => writeln!(self.told, "{who} drops {from}: {reason:?}").unwrap(),
                Output::Overtaken => writeln!(self.told, "{who} is overtaken").unwrap(),
                Output::Settled(settled) => {
                    self.tell(who, &mut told);
                    let (state, leader) = (settled.state, settled.vote.leader);
                    let by = settled.supporters;
                    let round = settled.round;
                    writeln!(self.told, "{who} is {state:?}: leader {leader}, round {round}, by {by:?}").unwrap();
                }
            }
        }
        self.tell(who, &mut told);
    }

    fn tell(&mut self, who: ServerId, told: &mut Vec<(Arc<[u8]>, Vec<String>)>) {
        for (payload, to) in told.drain(..) {
            let told = Notification::decode(&payload).unwrap();
            let (state, round, to) = (told.state, told.round, to.join(" "));
            let vote = match (told.leader, Zxid(told.zxid)) {
                (i64::MIN, _) => "nobody".to_owned(),
                (leader, NO_DATABASE) => format!("{leader} without a database"),
                (leader, zxid) => format!("{leader} at {zxid} of epoch {}", told.peer_epoch),
            };
            writeln!(self.told, "{who} -> {to}: {state:?}, {vote}, round {round}").unwrap();
        }
    }
}

use fastrand::Rng;
use std::collections::BTreeSet;

use super::*;

const ONE: ServerId = ServerId(1);
const TWO: ServerId = ServerId(2);
const THREE: ServerId = ServerId(3);

fn config(text: &str) -> Config {
    Config::new(Voters::parse(text.as_bytes()).unwrap(), None)
}

fn three() -> Config {
    config("server.1=a:1:11\nserver.2=b:1:12\nserver.3=c:1:13")
}

/// Server 2 of three: one above, one below.
fn links() -> Links {
    Links::new(TWO, &three(), &[("b", 12)], false, Settings::default())
}

fn at(host: &str, port: u16) -> Vec<Address> {
    vec![(host.to_owned(), port)]
}

fn send(links: &mut Links, to: ServerId, payload: &str, now_ms: i64) -> Vec<Output> {
    links.step(Input::Send { to, payload: payload.as_bytes().into() }, now_ms)
}

fn accept(links: &mut Links, link: u64, server: i64, addresses: &[(&str, u16)]) -> Vec<Output> {
    let initial = InitialMessage { server, addresses: addresses.to_vec() };
    links.step(Input::Accepted { link: LinkId(link), initial }, 0)
}

fn framed(payload: &str) -> Vec<u8> {
    let mut out = vec![];
    put_frame(&mut out, |out| out.extend_from_slice(payload.as_bytes()));
    out
}

fn write(link: u64, payload: &str) -> Output {
    Output::Write { link: LinkId(link), bytes: framed(payload) }
}

fn close(link: u64, reason: CloseReason) -> Output {
    Output::Close { link: LinkId(link), reason }
}

fn dialled(links: &mut Links, peer: ServerId, link: u64, now_ms: i64) -> Vec<Output> {
    links.step(Input::Dialled { peer, link: LinkId(link) }, now_ms)
}

/// Others would look for it at its old port after the next break of the connection.
#[test]
fn a_server_that_moves_says_where_it_is_now() {
    let mut links = links();
    let before = links.initial.clone();
    links.step(Input::Reconfigured(&config("server.1=a:1:11\nserver.2=b:1:22\nserver.3=c:1:13")), 0);
    let moved = Links::new(TWO, &three(), &[("b", 22)], false, Settings::default()).initial;
    assert!(links.initial == moved && moved != before);
    // Who is taken away stays where it is.
    links.step(Input::Reconfigured(&config("server.1=a:1:11\nserver.3=c:1:13")), 0);
    assert_eq!(links.initial, moved);
}

#[test]
fn the_connection_to_a_smaller_id_is_ours() {
    let mut links = links();
    assert_eq!(send(&mut links, ONE, "v1", 0), [Output::Dial { peer: ONE, addresses: at("a", 11) }]);
    assert_eq!(send(&mut links, ONE, "v2", 0), [], "one dial at a time");
    let initial = links.initial.clone();
    let out = dialled(&mut links, ONE, 7, 0);
    assert_eq!(out, [Output::Write { link: LinkId(7), bytes: initial }, Output::Connected(ONE)]);
    assert_eq!(send(&mut links, ONE, "v3", 0), [], "while a write is under way");
    assert_eq!(send(&mut links, ONE, "v4", 0), []);
    assert_eq!(links.step(Input::Written { link: LinkId(7) }, 0), [write(7, "v4")], "what is newer replaces");
    assert_eq!(links.step(Input::Written { link: LinkId(7) }, 0), []);
    assert_eq!(send(&mut links, ONE, "v5", 0), [write(7, "v5")]);
    assert!(links.is_connected(ONE) && links.deadline_ms().is_none());
}

#[test]
fn a_larger_id_is_asked_to_call_back() {
    let mut links = links();
    assert_eq!(send(&mut links, THREE, "v1", 0), [Output::Dial { peer: THREE, addresses: at("c", 13) }]);
    let initial = links.initial.clone();
    let out = dialled(&mut links, THREE, 7, 0);
    let expected = [Output::Write { link: LinkId(7), bytes: initial }, close(7, CloseReason::TheirsToOpen)];
    assert_eq!(out, expected);
    assert_eq!(links.deadline_ms(), Some(100), "in case it does not");
    assert_eq!(accept(&mut links, 8, 3, &[("c", 13)]), [Output::Connected(THREE)]);
    assert_eq!(links.deadline_ms(), None);
}

#[test]
fn who_is_smaller_and_calls_is_called_back_where_it_says_to_be() {
    let mut links = links();
    let out = accept(&mut links, 5, 1, &[("moved", 99)]);
    let addresses = vec![("moved".to_owned(), 99), ("a".to_owned(), 11)];
    assert_eq!(out, [close(5, CloseReason::OursToOpen), Output::Dial { peer: ONE, addresses }]);
    assert_eq!(accept(&mut links, 6, 1, &[]), [close(6, CloseReason::OursToOpen)], "the dial is under way");
    dialled(&mut links, ONE, 7, 0);
    // It calls again: the connection we have must be dead at its end.
    let out = accept(&mut links, 8, 1, &[]);
    let expected = [
        close(8, CloseReason::OursToOpen),
        close(7, CloseReason::Replaced),
        Output::Disconnected(ONE),
        Output::Dial { peer: ONE, addresses: at("a", 11) },
    ];
    assert_eq!(out, expected);
}

#[test]
fn a_newer_connection_of_a_larger_id_replaces_the_old_one() {
    let mut links = links();
    assert_eq!(accept(&mut links, 5, 3, &[]), [Output::Connected(THREE)]);
    assert_eq!(send(&mut links, THREE, "v1", 0), [write(5, "v1")]);
    send(&mut links, THREE, "v2", 0);
    let out = accept(&mut links, 6, 3, &[]);
    assert_eq!(out, [close(5, CloseReason::Replaced), Output::Connected(THREE)], "and nothing old is said");
    assert_eq!(send(&mut links, THREE, "v3", 0), [write(6, "v3")]);
    assert_eq!(links.step(Input::Closed { link: LinkId(5) }, 0), [], "the old one's end is no news");
    let late = links.step(Input::Received { link: LinkId(5), bytes: &framed("late") }, 0);
    assert_eq!((late, links.next_message()), (vec![], None));
}

#[test]
fn what_was_unsent_when_a_connection_ended_is_not_said_over_the_next_one() {
    let mut links = links();
    send(&mut links, ONE, "v1", 0);
    dialled(&mut links, ONE, 7, 0);
    assert_eq!(send(&mut links, ONE, "v2", 0), [], "the initial message is being written");
    links.step(Input::Closed { link: LinkId(7) }, 0);
    links.step(Input::Tick, 100);
    dialled(&mut links, ONE, 8, 100);
    assert_eq!(links.step(Input::Written { link: LinkId(8) }, 100), []);
}

#[test]
fn who_was_spoken_to_stays_wanted() {
    let mut links = links();
    accept(&mut links, 5, 3, &[]);
    links.step(Input::Closed { link: LinkId(5) }, 0);
    assert_eq!(links.deadline_ms(), None, "nobody wanted it");
    accept(&mut links, 6, 3, &[]);
    assert_eq!(send(&mut links, THREE, "v1", 0), [write(6, "v1")]);
    assert_eq!(links.step(Input::Closed { link: LinkId(6) }, 0), [Output::Disconnected(THREE)]);
    assert_eq!(links.deadline_ms(), Some(100));
    assert_eq!(links.step(Input::Tick, 100), [Output::Dial { peer: THREE, addresses: at("c", 13) }]);
}

#[test]
fn the_pauses_grow_to_their_limit_and_a_connection_ends_them() {
    let mut links = links();
    send(&mut links, ONE, "v1", 0);
    let mut now_ms = 0;
    let mut pauses = vec![];
    for _ in 0..8 {
        assert_eq!(links.step(Input::DialFailed { peer: ONE }, now_ms), []);
        let at_ms = links.deadline_ms().unwrap();
        assert_eq!(links.step(Input::Tick, at_ms - 1), []);
        assert_eq!(send(&mut links, ONE, "v1", at_ms - 1), [], "a new message does not hurry it");
        assert!(matches!(links.step(Input::Tick, at_ms)[..], [Output::Dial { .. }]));
        pauses.push(at_ms - now_ms);
        now_ms = at_ms;
    }
    assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    links.step(Input::DialFailed { peer: ONE }, now_ms);
    let out = links.step(Input::Reconnect, now_ms);
    assert!(matches!(out[..], [Output::Dial { peer: ONE, .. }, Output::Dial { peer: THREE, .. }]), "{out:?}");
    dialled(&mut links, ONE, 7, now_ms);
    assert_eq!(links.peers[&ONE].backoff_ms, 100);
}

#[test]
fn frames_are_put_together_and_lies_end_the_connection() {
    let mut links = links();
    accept(&mut links, 5, 3, &[]);
    let bytes = [framed("one"), framed("two"), framed("three")].concat();
    for chunk in bytes.chunks(5) {
        assert_eq!(links.step(Input::Received { link: LinkId(5), bytes: chunk }, 0), []);
    }
    let taken: Vec<_> = std::iter::from_fn(|| links.next_message()).collect();
    assert_eq!(taken, [(THREE, b"one".to_vec()), (THREE, b"two".to_vec()), (THREE, b"three".to_vec())]);
    assert!(links.links[&LinkId(5)].partial.is_empty());
    let out = links.step(Input::Received { link: LinkId(5), bytes: &[0, 8, 0, 1] }, 0);
    let error = ElectionError::FrameLength((512 << 10) + 1);
    assert_eq!(out, [close(5, CloseReason::Malformed(error)), Output::Disconnected(THREE)]);
}

#[test]
fn of_too_many_messages_the_oldest_go() {
    let mut links = links();
    accept(&mut links, 5, 3, &[]);
    let bytes: Vec<u8> = (0..INBOX + 7).flat_map(|index| framed(&index.to_string())).collect();
    links.step(Input::Received { link: LinkId(5), bytes: &bytes }, 0);
    let taken: Vec<_> = std::iter::from_fn(|| links.next_message()).collect();
    assert_eq!((taken.len(), &taken[0]), (INBOX, &(THREE, b"7".to_vec())));
}

#[test]
fn observers_without_an_id_get_one() {
    let mut links = links();
    assert_eq!(accept(&mut links, 5, ANONYMOUS, &[]), [Output::Connected(ServerId(-1))]);
    assert_eq!(accept(&mut links, 6, ANONYMOUS, &[("x", 1)]), [Output::Connected(ServerId(-2))]);
    assert_eq!(send(&mut links, ServerId(-2), "v", 0), [write(6, "v")]);
    links.step(Input::Closed { link: LinkId(6) }, 0);
    assert_eq!(send(&mut links, ServerId(-2), "v", 0), [], "gone, and never called back");
    assert!(!links.peers.contains_key(&ServerId(-2)));
}

#[test]
fn strangers_are_served_but_not_without_end() {
    let mut links = links();
    assert_eq!(send(&mut links, ServerId(9), "v", 0), [], "nobody knows where it is");
    for server in 10..10 + STRANGERS as i64 {
        assert_eq!(accept(&mut links, server as u64, server, &[]), [Output::Connected(ServerId(server))]);
    }
    assert_eq!(accept(&mut links, 500, 5000, &[]), [close(500, CloseReason::Strangers)]);
    assert_eq!(accept(&mut links, 501, ANONYMOUS, &[]), [close(501, CloseReason::Strangers)]);
    assert_eq!(accept(&mut links, 502, 3, &[]), [Output::Connected(THREE)], "a member always has its place");
    links.step(Input::Closed { link: LinkId(10) }, 0);
    assert_eq!(accept(&mut links, 503, 5000, &[]), [Output::Connected(ServerId(5000))]);
}

#[test]
fn a_smaller_stranger_is_called_back_and_forgotten_when_it_is_not_there() {
    let mut links = links();
    let out = accept(&mut links, 5, 0, &[("new", 4)]);
    let dial = Output::Dial { peer: ServerId(0), addresses: at("new", 4) };
    assert_eq!(out, [close(5, CloseReason::OursToOpen), dial]);
    links.step(Input::DialFailed { peer: ServerId(0) }, 0);
    assert!(!links.peers.contains_key(&ServerId(0)));
    assert_eq!(
        accept(&mut links, 6, 0, &[]),
        [close(6, CloseReason::OursToOpen)],
        "without an address there is no way"
    );
    assert!(!links.peers.contains_key(&ServerId(0)));
    assert_eq!(dialled(&mut links, ServerId(0), 7, 0), [close(7, CloseReason::Removed)]);
    // One that is connected and calls again is called back again.
    accept(&mut links, 8, 0, &[("new", 4)]);
    dialled(&mut links, ServerId(0), 9, 0);
    let out = accept(&mut links, 10, 0, &[("newer", 4)]);
    assert_eq!(out.last(), Some(&Output::Dial { peer: ServerId(0), addresses: at("newer", 4) }));
}

#[test]
fn our_own_id_is_not_talked_to() {
    let mut links = links();
    assert_eq!(accept(&mut links, 5, 2, &[]), [close(5, CloseReason::OwnId)]);
    assert_eq!(send(&mut links, TWO, "v", 0), []);
}

#[test]
fn a_reconfiguration_brings_and_takes_addresses() {
    let mut links = links();
    send(&mut links, THREE, "v", 0);
    links.step(Input::DialFailed { peer: THREE }, 0);
    let pending = Voters::parse(b"server.1=a2:1:11\nserver.2=b:1:12\nserver.4=d:1:14:observer\nversion=5").unwrap();
    let both = Config::new(three().current().clone(), Some(pending.clone()));
    links.step(Input::Reconfigured(&both), 0);
    let addresses = vec![("a".to_owned(), 11), ("a2".to_owned(), 11)];
    assert_eq!(send(&mut links, ONE, "v", 0), [Output::Dial { peer: ONE, addresses }]);
    assert_eq!(send(&mut links, ServerId(4), "v", 0), [Output::Dial { peer: ServerId(4), addresses: at("d", 14) }]);
    links.step(Input::Reconfigured(&Config::new(pending, None)), 0);
    assert!(!links.peers.contains_key(&THREE), "and what it was to be told is forgotten");
    assert_eq!(links.step(Input::Tick, 10_000), []);
    assert_eq!(links.step(Input::Reconnect, 0), [], "observers are not dialled for a vote");
}

/// Servers whose connections take time to open, and break.
struct Net {
    random: Rng,
    now_ms: i64,
    sequence: u64,
    servers: BTreeMap<ServerId, Links>,
    connections: Vec<Connection>,
    events: BTreeMap<(i64, u64), Event>,
    /// The newest words of one server for another, and the last that were heard.
    words: BTreeMap<(ServerId, ServerId), String>,
    heard: BTreeMap<(ServerId, ServerId), Vec<u8>>,
}

/// Both ends have the connection's index for a name; the dialling end is the first.
struct Connection {
    ends: [ServerId; 2],
    open: [bool; 2],
    /// What the accepting end has of the initial message.
    initial: Option<Vec<u8>>,
    /// When the last bytes arrive at each end: bytes do not overtake each other.
    arrival_ms: [i64; 2],
}

enum Event {
    Dialled { from: ServerId, to: ServerId, fails: bool },
    Arrive { connection: usize, end: usize, bytes: Vec<u8> },
    Written { connection: usize, end: usize },
    Closed { connection: usize, end: usize },
}

impl Net {
    fn after(&mut self, delay_ms: i64, event: Event) {
        self.sequence += 1;
        self.events.insert((self.now_ms + delay_ms, self.sequence), event);
    }

    fn step(&mut self, who: ServerId, input: Input<'_>) {
        let outputs = self.servers.get_mut(&who).unwrap().step(input, self.now_ms);
        for output in outputs {
            match output {
                Output::Dial { peer, addresses } => {
                    assert_eq!(addresses[0].1, peer.0 as u16, "where that server is");
                    let fails = self.random.u8(..5) == 0;
                    let delay_ms = self.random.i64(1..=50);
                    self.after(delay_ms, Event::Dialled { from: who, to: peer, fails });
                }
                Output::Write { link, bytes } => {
                    let (connection, end) = self.end(link, who);
                    let delay_ms = self.random.i64(1..=30);
                    self.after(delay_ms, Event::Written { connection, end });
                    let arrival_ms = self.arrival(connection, 1 - end);
                    self.after(arrival_ms - self.now_ms, Event::Arrive { connection, end: 1 - end, bytes });
                }
                Output::Close { link, .. } => {
                    let (connection, end) = self.end(link, who);
                    self.connections[connection].open[end] = false;
                    let arrival_ms = self.arrival(connection, 1 - end);
                    self.after(arrival_ms - self.now_ms, Event::Closed { connection, end: 1 - end });
                }
                Output::Connected(peer) => {
                    if let Some(words) = self.words.get(&(who, peer)).cloned() {
                        self.step(who, Input::Send { to: peer, payload: words.into_bytes().into() });
                    }
                }
                Output::Disconnected(_) => {}
            }
        }
        while let Some((from, payload)) = self.servers.get_mut(&who).unwrap().next_message() {
            self.heard.insert((from, who), payload);
        }
    }

    fn end(&self, link: LinkId, who: ServerId) -> (usize, usize) {
        let connection = link.0 as usize;
        (connection, usize::from(self.connections[connection].ends[0] != who))
    }

    fn arrival(&mut self, connection: usize, end: usize) -> i64 {
        let at_ms = self.now_ms + self.random.i64(1..=30);
        let arrival_ms = &mut self.connections[connection].arrival_ms[end];
        *arrival_ms = at_ms.max(*arrival_ms);
        *arrival_ms
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Dialled { from, fails: true, to } => self.step(from, Input::DialFailed { peer: to }),
            Event::Dialled { from, to, fails: false } => {
                let initial = Some(vec![]);
                let connection = Connection { ends: [from, to], open: [true; 2], initial, arrival_ms: [0; 2] };
                self.connections.push(connection);
                let link = LinkId(self.connections.len() as u64 - 1);
                self.step(from, Input::Dialled { peer: to, link });
            }
            Event::Arrive { connection, end, bytes } => self.arrive(connection, end, &bytes),
            Event::Written { connection, end } if self.connections[connection].open[end] => {
                let who = self.connections[connection].ends[end];
                self.step(who, Input::Written { link: LinkId(connection as u64) });
            }
            Event::Closed { connection, end } if self.connections[connection].open[end] => {
                self.connections[connection].open[end] = false;
                let who = self.connections[connection].ends[end];
                self.step(who, Input::Closed { link: LinkId(connection as u64) });
            }
            Event::Written { .. } | Event::Closed { .. } => {}
        }
    }

    fn arrive(&mut self, connection: usize, end: usize, bytes: &[u8]) {
        let state = &mut self.connections[connection];
        let link = LinkId(connection as u64);
        let who = state.ends[end];
        if !state.open[end] {
            return;
        }
        match state.initial.take().filter(|_| end == 1) {
            Some(mut received) => {
                received.extend_from_slice(bytes);
                match InitialMessage::decode(&received).unwrap() {
                    None => state.initial = Some(received),
                    Some((initial, length)) => {
                        self.step(who, Input::Accepted { link, initial });
                        self.step(who, Input::Received { link, bytes: &received[length..] });
                    }
                }
            }
            None => self.step(who, Input::Received { link, bytes }),
        }
    }

    fn run(&mut self, end_ms: i64) {
        for _ in 0..1_000_000 {
            let tick = self.servers.iter().filter_map(|(id, links)| Some((links.deadline_ms()?, *id))).min();
            let tick = tick.map(|(at_ms, who)| (at_ms.max(self.now_ms), who)).filter(|(at_ms, _)| *at_ms <= end_ms);
            let event = self.events.first_key_value().map(|(key, _)| *key).filter(|(at_ms, _)| *at_ms <= end_ms);
            match (tick, event) {
                (Some((at_ms, who)), event) if event.is_none_or(|(event_ms, _)| at_ms < event_ms) => {
                    self.now_ms = at_ms;
                    self.step(who, Input::Tick);
                }
                (_, Some(key)) => {
                    self.now_ms = key.0;
                    let event = self.events.remove(&key).unwrap();
                    self.happen(event);
                }
                _ => {
                    self.now_ms = end_ms;
                    return;
                }
            }
        }
        panic!("they connect without end");
    }
}

fn play(seed: u64, count: i64) {
    let text: String = (1..=count).map(|id| format!("server.{id}=h:1000:{id}\n")).collect();
    let config = config(&text);
    let ids: Vec<ServerId> = (1..=count).map(ServerId).collect();
    let new = |id: ServerId| Links::new(id, &config, &[("h", id.0 as u16)], false, Settings::default());
    let mut net = Net {
        random: Rng::with_seed(seed),
        now_ms: 0,
        sequence: 0,
        servers: ids.iter().map(|id| (*id, new(*id))).collect(),
        connections: vec![],
        events: BTreeMap::new(),
        words: BTreeMap::new(),
        heard: BTreeMap::new(),
    };
    let send_all = |net: &mut Net, words: &str| {
        for from in &ids {
            for to in ids.iter().filter(|to| *to != from) {
                let words = format!("{words} {from} {to}");
                net.words.insert((*from, *to), words.clone());
                net.step(*from, Input::Send { to: *to, payload: words.into_bytes().into() });
            }
        }
    };
    for round in 0..30 {
        send_all(&mut net, &round.to_string());
        // Some connections break, at one end first or at both.
        for connection in 0..net.connections.len() {
            if net.connections[connection].open == [true; 2] && net.random.u8(..6) == 0 {
                net.after(0, Event::Closed { connection, end: 0 });
                let later_ms = net.random.i64(0..200);
                net.after(later_ms, Event::Closed { connection, end: 1 });
            }
        }
        let pause_ms = net.random.i64(1..=300);
        net.run(net.now_ms + pause_ms);
    }
    send_all(&mut net, "last");
    net.run(net.now_ms + 30_000);
    for from in &ids {
        for to in ids.iter().filter(|to| *to != from) {
            let last = format!("last {from} {to}").into_bytes();
            assert_eq!(net.heard.get(&(*from, *to)), Some(&last), "seed {seed}: {from} to {to}");
            assert!(net.servers[from].is_connected(*to), "seed {seed}: {from} to {to}");
        }
    }
    let open: Vec<_> = net.connections.iter().filter(|connection| connection.open == [true; 2]).collect();
    let pairs: BTreeSet<_> = open.iter().map(|connection| connection.ends).collect();
    assert_eq!((open.len(), pairs.len()), (ids.len() * (ids.len() - 1) / 2, open.len()), "seed {seed}: one each");
    assert!(pairs.iter().all(|[dialled, accepted]| dialled > accepted), "seed {seed}: {pairs:?}");
}

#[test]
fn every_pair_ends_with_one_connection_and_the_newest_words() {
    for seed in 0..60 {
        play(seed, 3);
    }
    for seed in 100..120 {
        play(seed, 5);
    }
}

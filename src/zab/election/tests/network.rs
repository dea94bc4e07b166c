//! Elections over a network that delays, loses, doubles and reorders, between servers that crash and are cut
//! off: seeded, in virtual time. What follows an election (discovery, synchronisation, commits) is played by
//! the test with one number for a log, so that elections matter: a leader that lacks something committed is
//! found out, and so is an ensemble that does not come together when the network is well again.

use super::super::*;
use fastrand::Rng;

/// The faults end at this time.
const HEALED_MS: i64 = 15_000;
/// By this time after it everybody has one leader.
const CONVERGENCE_MS: i64 = 10_000;
/// How long a leader waits for its quorum, and a follower for its leader, where nothing else is said.
const INIT_LIMIT_MS: i64 = 2_000;
/// By this time servers of an unfinished reconfiguration have one leader.
const AGREED_MS: i64 = 6_000;
const CHECK_MS: i64 = 100;

enum Event {
    Deliver { from: ServerId, to: ServerId, payload: Arc<[u8]> },
    Link { who: ServerId, peer: ServerId },
    Check { who: ServerId, looks: u64 },
    Start { who: ServerId },
    Fault,
}

struct Server {
    election: Option<Election>,
    /// Survives a crash.
    config: Config,
    /// Survives a crash.
    log: LogEnd,
    accepted_epoch: i64,
    /// How often it began to look: what was meant for an earlier role is ignored.
    looks: u64,
    settled: Option<(Settled, i64)>,
    established: bool,
    yields_until_ms: i64,
}

struct Network {
    random: Rng,
    faults_end_ms: i64,
    init_limit_ms: i64,
    now_ms: i64,
    sequence: u64,
    events: BTreeMap<(i64, u64), Event>,
    servers: BTreeMap<ServerId, Server>,
    cut: BTreeSet<(ServerId, ServerId)>,
    /// The log each server had when it cast a ballot.
    cast: BTreeMap<(ServerId, i64, Vote), LogEnd>,
    /// The end of everything that was committed.
    committed: (i64, Zxid),
    elections: u64,
    overtaken: u64,
    ballots_checked: u64,
}

impl Network {
    fn new(seed: u64, configs: impl IntoIterator<Item = (ServerId, Config)>) -> Network {
        let mut network = Network {
            random: Rng::with_seed(seed),
            faults_end_ms: HEALED_MS,
            init_limit_ms: INIT_LIMIT_MS,
            now_ms: 0,
            sequence: 0,
            events: BTreeMap::new(),
            servers: BTreeMap::new(),
            cut: BTreeSet::new(),
            cast: BTreeMap::new(),
            committed: (0, Zxid(0)),
            elections: 0,
            overtaken: 0,
            ballots_checked: 0,
        };
        for (who, config) in configs {
            let server = Server {
                election: None,
                config,
                log: LogEnd { zxid: Zxid(0), epoch: 0 },
                accepted_epoch: 0,
                looks: 0,
                settled: None,
                established: false,
                yields_until_ms: 0,
            };
            network.servers.insert(who, server);
            let start_ms = network.random.i64(0..1_000);
            network.after(start_ms, Event::Start { who });
        }
        network.after(1_000, Event::Fault);
        network
    }

    fn after(&mut self, delay_ms: i64, event: Event) {
        self.sequence += 1;
        self.events.insert((self.now_ms + delay_ms, self.sequence), event);
    }

    fn run(&mut self, end_ms: i64) {
        for _ in 0..2_000_000 {
            let due =
                self.servers.iter().filter_map(|(id, server)| Some((server.election.as_ref()?.deadline_ms()?, *id)));
            let due = due.min().filter(|(at_ms, _)| *at_ms <= end_ms);
            let event = self.events.first_key_value().map(|(key, _)| *key).filter(|(at_ms, _)| *at_ms <= end_ms);
            match (due, event) {
                (Some((at_ms, who)), event) if event.is_none_or(|(event_ms, _)| at_ms < event_ms) => {
                    self.now_ms = self.now_ms.max(at_ms);
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
        panic!("they talk without end");
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Deliver { from, to, payload } => {
                if self.is_live(from, to) {
                    self.step(to, Input::Message { from, payload: &payload });
                }
            }
            Event::Link { who, peer } => self.link(who, peer),
            Event::Check { who, looks } if self.servers[&who].looks == looks => self.check(who),
            Event::Check { .. } => {}
            Event::Start { who } => self.start(who),
            Event::Fault if self.now_ms >= self.faults_end_ms => {}
            Event::Fault => {
                self.fault();
                let delay_ms = 200 + self.random.i64(0..1_300);
                self.after(delay_ms, Event::Fault);
            }
        }
    }

    fn is_live(&self, one: ServerId, other: ServerId) -> bool {
        let running = |id| self.servers[&id].election.is_some();
        running(one) && running(other) && !self.cut.contains(&(one.min(other), one.max(other)))
    }

    /// Both ends notice, sooner or later, that their connection came or went.
    fn relink(&mut self, who: ServerId) {
        for peer in self.servers.keys().copied().filter(|peer| *peer != who).collect::<Vec<_>>() {
            for (who, peer) in [(who, peer), (peer, who)] {
                let delay_ms = self.random.i64(0..100);
                self.after(delay_ms, Event::Link { who, peer });
            }
        }
    }

    fn link(&mut self, who: ServerId, peer: ServerId) {
        if self.servers[&who].election.is_none() {
            return;
        }
        if self.is_live(who, peer) {
            self.step(who, Input::Connected(peer));
        } else {
            self.step(who, Input::Disconnected(peer));
        }
    }

    fn start(&mut self, who: ServerId) {
        let settings = Settings { max_notification_interval_ms: 2_000, adopt_configs: true, ..Settings::default() };
        let server = self.servers.get_mut(&who).unwrap();
        if server.election.is_none() {
            server.election = Some(Election::new(who, server.config.clone(), settings));
            self.look(who, None);
            self.relink(who);
        }
    }

    fn stop(&mut self, who: ServerId) {
        let server = self.servers.get_mut(&who).unwrap();
        server.election = None;
        server.settled = None;
        server.established = false;
        server.looks += 1;
        self.relink(who);
        let delay_ms = 100 + self.random.i64(0..2_000);
        self.after(delay_ms, Event::Start { who });
    }

    fn look(&mut self, who: ServerId, yield_ms: Option<i64>) {
        let server = self.servers.get_mut(&who).unwrap();
        server.looks += 1;
        server.settled = None;
        server.established = false;
        let yield_until_ms = yield_ms.map(|yield_ms| self.now_ms + yield_ms);
        server.yields_until_ms = yield_until_ms.unwrap_or(0);
        let log = Some(server.log);
        self.step(who, Input::Look { log, yield_until_ms });
    }

    fn step(&mut self, who: ServerId, input: Input<'_>) {
        let now_ms = self.now_ms;
        let server = self.servers.get_mut(&who).unwrap();
        let Some(election) = &mut server.election else { return };
        let mut overtaken = false;
        for output in election.step(input, now_ms) {
            match output {
                Output::Send { to, payload } => {
                    let told = Notification::decode(&payload).unwrap();
                    if told.state == PeerState::Looking {
                        let vote =
                            Vote { peer_epoch: told.peer_epoch, zxid: Zxid(told.zxid), leader: ServerId(told.leader) };
                        self.cast.insert((who, told.round, vote), self.servers[&who].log);
                    }
                    self.send(who, to, payload);
                }
                Output::Settled(settled) => self.settled(who, settled),
                Output::Overtaken => overtaken = true,
                Output::Reconnect => {}
                Output::Adopt(newer) => {
                    let config = &mut self.servers.get_mut(&who).unwrap().config;
                    *config = Config::new(newer, config.pending().cloned());
                }
                Output::Dropped { .. } => panic!("{output:?}"),
            }
        }
        if overtaken {
            assert!(!self.servers[&who].established, "{who} stands");
            self.overtaken += 1;
            self.look(who, None);
        }
    }

    fn send(&mut self, from: ServerId, to: ServerId, payload: Arc<[u8]>) {
        if !self.is_live(from, to) {
            return;
        }
        let faulty = self.now_ms < self.faults_end_ms;
        let copies =
            if faulty { 1 - i64::from(self.random.u8(..100) < 5) + i64::from(self.random.u8(..100) < 5) } else { 1 };
        for _ in 0..copies {
            let slow = if faulty && self.random.u8(..100) < 5 { 600 } else { 60 };
            let delay_ms = 1 + self.random.i64(0..slow);
            self.after(delay_ms, Event::Deliver { from, to, payload: payload.clone() });
        }
    }

    fn settled(&mut self, who: ServerId, settled: Settled) {
        let Settled { vote, round, supporters, state } = &settled;
        let config = &self.servers[&who].config;
        let leads = *state == PeerState::Leading;
        let is_enough = if leads { config.is_quorum_in_all(supporters) } else { config.is_quorum_in_any(supporters) };
        assert!(is_enough, "{settled:?}");
        assert_eq!(leads, vote.leader == who);
        assert_eq!(*state == PeerState::Observing, config.observes(who));
        assert!(config.weight(vote.leader) > 0, "{settled:?}");
        assert!(!leads || self.servers[&who].yields_until_ms <= self.now_ms, "{who} yields");
        for supporter in supporters.iter().filter(|supporter| config.weight(**supporter) > 0) {
            if let Some(log) = self.cast.get(&(*supporter, *round, *vote)) {
                assert!((vote.peer_epoch, vote.zxid) >= (log.epoch, log.zxid), "{supporter} has more: {settled:?}");
                self.ballots_checked += 1;
            }
        }
        self.elections += 1;
        let server = self.servers.get_mut(&who).unwrap();
        server.settled = Some((settled, self.now_ms));
        let looks = server.looks;
        self.after(CHECK_MS, Event::Check { who, looks });
    }

    /// What a role does every now and then: it ends, or goes on.
    fn check(&mut self, who: ServerId) {
        let Some((settled, since_ms)) = self.servers[&who].settled.clone() else { return };
        let goes_on = if settled.state == PeerState::Leading { self.lead(who) } else { self.follow(who, &settled) };
        // Who follows another one itself turns away whoever joins it.
        let leader = self.servers[&settled.vote.leader].settled.as_ref();
        let turned_away = leader.is_some_and(|(leader, _)| leader.vote.leader != settled.vote.leader);
        let in_time = self.now_ms < since_ms + self.init_limit_ms;
        let waits = !self.servers[&who].established && in_time && !turned_away;
        if goes_on || waits {
            let looks = self.servers[&who].looks;
            self.after(CHECK_MS, Event::Check { who, looks });
        } else {
            self.look(who, None);
        }
    }

    fn follow(&self, who: ServerId, settled: &Settled) -> bool {
        let leader = &self.servers[&settled.vote.leader];
        let leads = leader.settled.as_ref().is_some_and(|(settled, _)| settled.state == PeerState::Leading);
        leads && self.is_live(who, settled.vote.leader)
    }

    fn lead(&mut self, who: ServerId) -> bool {
        let follows = |id: &ServerId| {
            let settled = self.servers[id].settled.as_ref();
            *id == who || settled.is_some_and(|(settled, _)| settled.vote.leader == who) && self.is_live(*id, who)
        };
        let followers: BTreeSet<ServerId> = self.servers.keys().copied().filter(follows).collect();
        let config = self.servers[&who].config.clone();
        if !config.is_quorum_in_all(&followers) {
            return false;
        }
        let log = self.servers[&who].log;
        if !self.servers[&who].established {
            // Discovery: who is newer than the leader ends its reign before it begins.
            if followers
                .iter()
                .any(|id| (self.servers[id].log.epoch, self.servers[id].log.zxid) > (log.epoch, log.zxid))
            {
                self.look(who, None);
                return true;
            }
            let end = (log.epoch, log.zxid);
            assert!(end >= self.committed, "{who} leads with {end:?}, committed is {:?}", self.committed);
            let epoch = 1 + followers.iter().map(|id| self.servers[id].accepted_epoch).max().unwrap();
            for id in &followers {
                self.servers.get_mut(id).unwrap().accepted_epoch = epoch;
            }
        }
        let epoch = self.servers[&who].accepted_epoch;
        for id in &followers {
            let server = self.servers.get_mut(id).unwrap();
            if !server.established {
                (server.established, server.accepted_epoch) = (true, epoch);
                server.log = LogEnd { epoch, ..log };
                self.step(*id, Input::Established { epoch });
            }
        }
        // Some transactions; the followers get more or less of them.
        let first = if log.zxid.epoch() == epoch { log.zxid.0 } else { epoch << 32 };
        let last = first + self.random.i64(0..4);
        let mut holders = BTreeSet::from([who]);
        self.servers.get_mut(&who).unwrap().log.zxid = Zxid(last);
        for id in followers {
            let have = &mut self.servers.get_mut(&id).unwrap().log.zxid;
            *have = Zxid(have.0.max(first).max(last - self.random.i64(0..3)).min(last));
            if have.0 == last {
                holders.insert(id);
            }
        }
        if config.is_quorum_in_all(&holders) {
            self.committed = self.committed.max((epoch, Zxid(last)));
        }
        true
    }

    fn fault(&mut self) {
        let ids: Vec<ServerId> = self.servers.keys().copied().collect();
        let one = ids[self.random.usize(..ids.len())];
        match self.random.i64(0..6) {
            0 => self.stop(one),
            1 => {
                let leader = ids.iter().find(|id| self.servers[id].established && self.leads(**id));
                self.stop(*leader.unwrap_or(&one));
            }
            2 if self.leads(one) => self.look(one, Some(self.init_limit_ms)),
            3 => self.split(|random| random.u8(..100) < 50),
            4 => self.split(|random| random.u8(..100) < 20),
            _ => self.split(|_| true),
        }
    }

    fn leads(&self, id: ServerId) -> bool {
        self.servers[&id].settled.as_ref().is_some_and(|(settled, _)| settled.state == PeerState::Leading)
    }

    /// Two sides that do not hear each other.
    fn split(&mut self, side: impl Fn(&mut Rng) -> bool) {
        let ids: Vec<ServerId> = self.servers.keys().copied().collect();
        let sides: Vec<bool> = ids.iter().map(|_| side(&mut self.random)).collect();
        self.cut.clear();
        for (one, one_side) in ids.iter().zip(&sides) {
            let others = ids.iter().zip(&sides).filter(|(other, side)| *other > one && *side != one_side);
            self.cut.extend(others.map(|(other, _)| (*one, *other)));
        }
        for who in ids {
            self.relink(who);
        }
    }

    /// The leader everybody has, if it stands.
    fn agreed(&self) -> Option<ServerId> {
        let leaders: BTreeSet<Option<ServerId>> = (self.servers.values())
            .map(|server| {
                server.settled.as_ref().filter(|_| server.established).map(|(settled, _)| settled.vote.leader)
            })
            .collect();
        (leaders.len() == 1).then(|| leaders.into_iter().next().flatten()).flatten()
    }
}

fn voters(text: &str) -> Voters {
    Voters::parse(text.as_bytes()).unwrap()
}

/// All servers of a configuration, each with that one.
fn alike(config: &str) -> Vec<(ServerId, Config)> {
    let config = Config::new(voters(config), None);
    config.current().members().map(|member| (member.id, config.clone())).collect()
}

/// Runs one seed through its faults, and until everybody agrees.
fn play(seed: u64, config: &str) -> Network {
    let mut network = Network::new(seed, alike(config));
    network.run(HEALED_MS);
    network.split(|_| true);
    let mut agreed_ms = None;
    while network.now_ms < HEALED_MS + CONVERGENCE_MS {
        network.run(network.now_ms + CHECK_MS);
        match network.agreed() {
            Some(_) => agreed_ms = agreed_ms.or(Some(network.now_ms)),
            None => agreed_ms = None,
        }
    }
    assert!(agreed_ms.is_some(), "seed {seed}: no common leader at the end");
    network
}

fn play_all(seeds: std::ops::Range<u64>, config: &str) {
    let (mut elections, mut overtaken, mut ballots) = (0, 0, 0);
    for seed in seeds.clone() {
        let network = play(seed, config);
        assert!(network.committed.1.0 > 0, "seed {seed}: nothing was ever committed");
        elections += network.elections;
        overtaken += network.overtaken;
        ballots += network.ballots_checked;
    }
    let runs = seeds.end - seeds.start;
    let counts = format!("{elections} elections, {overtaken} overtaken, {ballots} ballots in {runs} runs");
    assert!(elections > 10 * runs && overtaken > 0 && ballots > 20 * runs, "{counts}");
}

fn majority(voters: i64) -> String {
    (1..=voters).map(|id| format!("server.{id}=h:1:2\n")).collect()
}

#[test]
fn three_servers() {
    play_all(0..100, &majority(3));
}

#[test]
fn five_servers() {
    play_all(1000..1060, &majority(5));
}

#[test]
fn seven_servers() {
    play_all(2000..2030, &majority(7));
}

#[test]
fn three_servers_and_two_observers() {
    play_all(3000..3040, &(majority(3) + "server.8=h:1:2:observer\nserver.9=h:1:2:observer"));
}

#[test]
fn groups_and_weights() {
    let groups = "group.1=1:2:3\ngroup.2=4:5\ngroup.3=6:7\nweight.5=0\nweight.7=2";
    play_all(4000..4030, &(majority(7) + groups));
}

/// Roles by place, the first is server 1's: `V`otes, `O`bserves, `-` is none.
fn roles(roles: &str, version: i64) -> Voters {
    let role = |(place, role)| match role {
        'V' => format!("server.{0}=h:{0}:9\n", place + 1),
        'O' => format!("server.{0}=h:{0}:9:observer\n", place + 1),
        _ => String::new(),
    };
    voters(&(roles.chars().enumerate().map(role).collect::<String>() + &format!("version={version}")))
}

/// Servers that went down in the middle of a reconfiguration: some know what is proposed, and who is to join knows of neither
/// configuration, and has itself in its files beside the members it was told of.
fn interrupted(old: &str, next: &str, holders: &[i64]) -> Vec<(ServerId, Config)> {
    let config = |(place, (old_role, next_role)): (usize, (char, char))| {
        let id = place as i64 + 1;
        let pending = holders.contains(&id).then(|| roles(next, 2));
        let current = match (old_role, next_role) {
            ('-', '-') => return None,
            ('-', _) => {
                let own = old.chars().enumerate().map(|(other, role)| if other == place { 'V' } else { role });
                roles(&own.collect::<String>(), 0)
            }
            _ => roles(old, 1),
        };
        Some((ServerId(id), Config::new(current, pending)))
    };
    old.chars().zip(next.chars()).enumerate().filter_map(config).collect()
}

/// Nothing is lost, nobody goes down; only the order in which things come differs, and how long a server waits for a leader
/// that does not come. Whoever is elected has to be followed by quorums of both configurations.
#[test]
fn an_interrupted_reconfiguration_ends_with_one_leader() {
    let cases = [
        ("VO", "VV", vec![1, 2]),
        ("VO", "VV", vec![1]),
        ("VV---", "OOVVV", vec![1, 2]),
        ("VV---", "OOVVV", vec![2]),
        ("VVO-", "--VV", vec![1, 2, 3]),
        ("VVO-", "--VV", vec![1, 3]),
        ("VVV--", "VVVVV", vec![1]),
        ("VVV--", "--VVV", vec![1, 2, 3]),
        ("VVV---", "---VVV", vec![3]),
    ];
    for (case, (old, next, holders)) in cases.into_iter().enumerate() {
        for seed in 0..100 {
            let mut network = Network::new(10_000 * case as u64 + seed, interrupted(old, next, &holders));
            network.faults_end_ms = 0;
            network.init_limit_ms = 1_000 + network.random.i64(0..9_000);
            while network.agreed().is_none() {
                assert!(network.now_ms < AGREED_MS, "{old} {next} {holders:?}, seed {seed}: no common leader");
                network.run(network.now_ms + CHECK_MS);
            }
        }
    }
}

#[test]
fn the_same_seed_is_the_same_story() {
    let end = |network: Network| (network.agreed(), network.committed, network.elections, network.sequence);
    assert_eq!(end(play(7, &majority(5))), end(play(7, &majority(5))));
}

//! An ensemble of real processes on 127.0.0.1: each member is Corral or ZooKeeper, knows the others by the relays of
//! [`super::links`], and can be killed, paused, started again or replaced by the other kind.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use super::disks::Disk;
use super::links::{Links, Port, Ports};
use super::support::client::four_letter_word_within;
use super::support::server::{
    Edge, Server, Target, free_port, install_older_zookeeper, install_zookeeper, send_signal,
};
use super::support::{Scratch, wait_for};

/// An ensemble at rest is whole again within this, whatever happened to it before.
pub const WHOLE_LIMIT: Duration = Duration::from_secs(45);

/// A member that serves tells so within this; one that is busy electing may take as long.
const WORD_LIMIT: Duration = Duration::from_secs(1);

/// A tick among members of which one or more is a ZooKeeper: on two busy processors it pauses for longer than another's
/// patience.
const TICK_MS: u64 = 200;

/// The same among Corrals alone.
const SHORT_TICK_MS: u64 = 100;

/// In ticks.
const INIT_LIMIT: u64 = 25;
const SYNC_LIMIT: u64 = 8;

/// The same where one or more is a ZooKeeper: 3 s, longer than a JVM stands while the machine is busy with others.
const MIXED_SYNC_LIMIT: u64 = 15;

/// Sessions live this long without a word, longer than any fault of these tests.
pub const SESSION_MS: i32 = 30_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Participant,
    Observer,
}

/// What a member says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Leader,
    Follower,
    Observer,
}

pub struct Member {
    pub role: Role,
    /// Whether the ensemble counts it among its members now.
    pub belongs: bool,
    pub server: Server,
    /// What its data lies on, when that is a file system of its own. Goes after the server.
    pub disk: Option<Disk>,
    /// Where it takes votes, and learners when it leads.
    pub ports: Ports,
    /// Counts the directories it has had.
    generation: u32,
    paused: bool,
    /// How often it has ended by a fault of its own: see [`Ensemble::mind`].
    faults_of_its_own: usize,
}

/// How the members know each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ways {
    /// By relays, which can be cut.
    Relayed,
    /// By their own addresses, which they can pass on.
    Direct,
    /// The same, and anybody may reconfigure the ensemble.
    Open,
}

/// The members, by their places; the id of a member is its place plus 1.
pub struct Ensemble {
    pub members: Vec<Member>,
    pub links: Links,
    ways: Ways,
    tick_ms: u64,
    /// Lines of every member's configuration.
    settings: Vec<String>,
    scratch: Scratch,
}

/// The edge of the Corral member at a place: all of them, one after the other, or the one of `CORRAL_TEST_EDGE`; a
/// ZooKeeper when `CORRAL_TEST_TARGET=zookeeper`.
pub fn corral(place: usize) -> Target {
    let targets = Target::all();
    targets[place % targets.len()]
}

/// As many members of [`corral`]'s choice.
pub fn corrals(count: usize) -> Vec<Target> {
    (0..count).map(corral).collect()
}

/// Voters, and observers behind them.
pub fn roles(voters: &[Target], observers: &[Target]) -> Vec<(Target, Role)> {
    let voters = voters.iter().map(|target| (*target, Role::Participant));
    voters.chain(observers.iter().map(|target| (*target, Role::Observer))).collect()
}

impl Ensemble {
    /// Starts the members, all of them voters, and waits until the ensemble is whole.
    pub fn start(targets: &[Target]) -> Ensemble {
        Ensemble::start_with_roles(&roles(targets, &[]))
    }

    pub fn start_with_roles(targets: &[(Target, Role)]) -> Ensemble {
        Ensemble::start_with_settings(targets, &[])
    }

    /// The same with these lines in everybody's configuration.
    pub fn start_with_settings(targets: &[(Target, Role)], settings: &[&str]) -> Ensemble {
        let mut ensemble = Ensemble::prepare(targets, Ways::Relayed);
        ensemble.settings = settings.iter().map(|line| line.to_string()).collect();
        ensemble.begin();
        ensemble
    }

    /// The same as [`Ensemble::start`] with the data of each member on a small disk of its own.
    pub fn start_on_disks(targets: &[Target]) -> Ensemble {
        let mut ensemble = Ensemble::prepare(&roles(targets, &[]), Ways::Relayed);
        for (place, member) in ensemble.members.iter_mut().enumerate() {
            let image = ensemble.scratch.path().join(format!("disk{}", place + 1));
            member.disk = Some(Disk::new(&image, &member.server.data_directory()));
        }
        ensemble.begin();
        ensemble
    }

    /// An ensemble of the first `count` that others can join, and that has no links to be cut.
    pub fn start_open(targets: &[Target], count: usize) -> Ensemble {
        let mut ensemble = Ensemble::prepare(&roles(targets, &[]), Ways::Open);
        for member in &mut ensemble.members[count..] {
            member.belongs = false;
        }
        if ensemble.is_mixed() {
            // Clients are to keep their sessions when ZooKeepers take over.
            ensemble.settings = vec!["corral.zookeeperPasswords=true".to_owned()];
        }
        ensemble.begin();
        ensemble
    }

    /// An ensemble without links whose voters take in observers in the leader's place.
    pub fn start_with_masters(targets: &[(Target, Role)]) -> Ensemble {
        let mut ensemble = Ensemble::prepare(targets, Ways::Direct);
        ensemble.settings = vec![format!("observerMasterPort={}", free_port())];
        ensemble.begin();
        ensemble
    }

    fn prepare(targets: &[(Target, Role)], ways: Ways) -> Ensemble {
        let scratch = Scratch::new();
        let ports: Vec<Ports> = targets.iter().map(|_| Ports { quorum: free_port(), election: free_port() }).collect();
        let links = Links::new(if ways == Ways::Relayed { &ports } else { &[] });
        let members = targets
            .iter()
            .zip(&ports)
            .enumerate()
            .map(|(place, (&(target, role), &ports))| Member {
                role,
                belongs: true,
                server: Server::prepare(target, &scratch.path().join(format!("member{}", place + 1)), &[]),
                disk: None,
                ports,
                generation: 0,
                paused: false,
                faults_of_its_own: 0,
            })
            .collect();
        Ensemble { members, links, ways, tick_ms: SHORT_TICK_MS, settings: vec![], scratch }
    }

    fn begin(&mut self) {
        if self.is_mixed() {
            self.tick_ms = TICK_MS;
        }
        for place in self.places() {
            self.furnish(place);
        }
        // What the operator has put there is no part of what a fault may take.
        self.members.iter().filter_map(|member| member.disk.as_ref()).for_each(Disk::sync);
        self.spawn_all();
        self.await_whole();
    }

    /// The places of those that belong to it.
    pub fn places(&self) -> Vec<usize> {
        (0..self.members.len()).filter(|place| self.members[*place].belongs).collect()
    }

    /// Writes a member's id and the ensemble as this member reaches it.
    fn furnish(&mut self, place: usize) {
        let mut settings = vec![
            format!("tickTime={}", self.tick_ms),
            format!("initLimit={INIT_LIMIT}"),
            format!("syncLimit={}", self.sync_limit()),
            "minSessionTimeout=400".to_string(),
            "maxSessionTimeout=60000".to_string(),
            "maxClientCnxns=0".to_string(),
            "extendedTypesEnabled=true".to_string(),
            "4lw.commands.whitelist=*".to_string(),
            "snapCount=3000".to_string(),
            "znode.container.checkIntervalMs=300".to_string(),
        ];
        settings.extend(self.settings.iter().cloned());
        let is_open = self.ways == Ways::Open;
        if is_open {
            settings.push("reconfigEnabled=true".to_string());
            settings.push("skipACL=yes".to_string());
        }
        for other in (0..self.members.len()).filter(|other| *other == place || self.members[*other].belongs) {
            settings.push(self.line(place, other));
        }
        let member = &mut self.members[place];
        if member.role == Role::Observer {
            settings.push("peerType=observer".to_string());
        }
        if is_open {
            member.server.keep_configuration();
        }
        match member.server.target {
            Target::Corral(_) => {
                let data = member.server.data_directory();
                fs::create_dir_all(&data).expect("the data directory");
                fs::write(data.join("myid"), format!("{}\n", place + 1)).expect("myid");
            }
            Target::ZooKeeper | Target::OlderZooKeeper => {
                if member.server.target == Target::ZooKeeper {
                    install_zookeeper()
                } else {
                    install_older_zookeeper()
                }
                settings.push(format!("myid={}", place + 1));
                settings.push("heap=384m".to_string());
                if is_open {
                    // It reads this one from a system property.
                    settings.push("zookeeper.skipACL=yes".to_string());
                }
            }
        }
        member.server.configure(&settings);
    }

    /// How a member's configuration names another, or itself.
    pub fn line(&self, place: usize, other: usize) -> String {
        let member = &self.members[other];
        let Ports { quorum, election } = member.ports;
        let role = match member.role {
            Role::Participant => "participant",
            Role::Observer => "observer",
        };
        if self.ways != Ways::Relayed {
            // Each on an address of its own: where observers are taken in is the same port everywhere.
            let (id, client) = (other + 1, member.server.address);
            return format!("server.{id}=127.0.0.{id}:{quorum}:{election}:{role};{client}");
        }
        let (quorum, election) = if other == place {
            (quorum, election)
        } else {
            (self.links.way(place, other, Port::Quorum).port(), self.links.way(place, other, Port::Election).port())
        };
        format!("server.{}=127.0.0.1:{quorum}:{election}:{role}", other + 1)
    }

    /// Starts every member that is gone, all at once.
    pub fn spawn_all(&mut self) {
        std::thread::scope(|scope| {
            for member in self.members.iter_mut().filter(|member| member.belongs && member.server.pid().is_none()) {
                scope.spawn(|| member.server.spawn());
            }
        });
    }

    /// Starts a member that is gone, on the directory it has.
    pub fn start_again(&mut self, place: usize) {
        self.members[place].server.spawn();
    }

    pub fn kill(&mut self, place: usize) {
        self.members[place].paused = false;
        self.members[place].server.kill();
    }

    /// SIGTERM, and waits until the member is gone.
    pub fn terminate(&mut self, place: usize) {
        self.members[place].server.terminate();
    }

    pub fn pause(&mut self, place: usize) {
        let member = &mut self.members[place];
        send_signal(member.server.pid().expect("a member that runs"), libc::SIGSTOP);
        member.paused = true;
    }

    pub fn resume(&mut self, place: usize) {
        let member = &mut self.members[place];
        send_signal(member.server.pid().expect("a member that runs"), libc::SIGCONT);
        member.paused = false;
    }

    /// Waits until a member ends by itself; gives its exit status and the last lines of its log.
    pub fn await_end(&mut self, place: usize, limit: Duration) -> (Option<i32>, String) {
        let server = &mut self.members[place].server;
        let Some(status) = server.await_end(limit) else {
            panic!("member {} does not end within {limit:?}; its log:\n{}", place + 1, server.log_tail());
        };
        let log = server.log_tail();
        let mut last: Vec<&str> = log.lines().rev().take(3).collect();
        last.reverse();
        (status.code(), last.join("\n"))
    }

    /// Puts another server with an empty directory in the place of a member that is gone, on the same addresses.
    pub fn replace(&mut self, place: usize, target: Target) {
        let member = &mut self.members[place];
        assert!(member.server.pid().is_none(), "it is running");
        member.generation += 1;
        let directory = self.scratch.path().join(format!("member{}-{}", place + 1, member.generation));
        let address = member.server.address;
        member.server = Server::prepare(target, &directory, &[]);
        member.server.address = address;
        self.furnish(place);
        self.start_again(place);
    }

    /// Whether there is a ZooKeeper among the members.
    pub fn is_mixed(&self) -> bool {
        self.members.iter().any(|member| member.server.target.is_zookeeper())
    }

    /// How long a member may be silent before the others give it up.
    pub fn silence(&self) -> Duration {
        Duration::from_millis(self.tick_ms * self.sync_limit())
    }

    fn sync_limit(&self) -> u64 {
        if self.is_mixed() { MIXED_SYNC_LIMIT } else { SYNC_LIMIT }
    }

    /// Where clients are served, by place.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.members.iter().filter(|member| member.belongs).map(|member| member.server.address).collect()
    }

    /// The same, without the ZooKeepers that say that the digests of their trees are not those of the transactions.
    pub fn addresses_of_witnesses(&self) -> Vec<SocketAddr> {
        let is_wrong = |server: &Server| server.target.is_zookeeper() && server.log().contains("First digest mismatch");
        let members = self.members.iter().filter(|member| member.belongs);
        members.map(|member| &member.server).filter(|server| !is_wrong(server)).map(|server| server.address).collect()
    }

    /// What a member says behind `what` when it is asked how it is; None while it does not answer.
    fn told(&self, place: usize, what: &str) -> Option<String> {
        let member = &self.members[place];
        if member.paused || member.server.pid().is_none() {
            return None;
        }
        let answer = four_letter_word_within(member.server.address, "srvr", WORD_LIMIT).ok()?;
        answer.lines().find_map(|line| line.strip_prefix(what)).map(str::to_string)
    }

    /// What a member says it is; None while it does not serve.
    pub fn mode(&self, place: usize) -> Option<Mode> {
        match self.told(place, "Mode: ")?.as_str() {
            "leader" => Some(Mode::Leader),
            "follower" => Some(Mode::Follower),
            "observer" => Some(Mode::Observer),
            _ => None,
        }
    }

    /// Who leads, if somebody says so.
    pub fn leader(&self) -> Option<usize> {
        self.places().into_iter().find(|place| self.mode(*place) == Some(Mode::Leader))
    }

    /// Waits until every member has what the leader has by now. A ZooKeeper that has come back serves before its tree is
    /// through what it had missed, and sends observers away until it is: they go to the leader then.
    pub fn await_level(&self) {
        let last = |place| i64::from_str_radix(&self.told(place, "Zxid: 0x")?, 16).ok();
        let wanted = wait_for(WHOLE_LIMIT, || last(self.leader()?)).expect("a leader that says what it has");
        for place in self.places() {
            let is_there = wait_for(WHOLE_LIMIT, || last(place).filter(|last| *last >= wanted));
            assert!(is_there.is_some(), "member {} is not at {wanted:#x}\n{}", place + 1, self.logs());
        }
    }

    /// Waits until every member serves in its role, under one leader, and gives the leader's place.
    pub fn await_whole(&mut self) -> usize {
        let mut modes: Vec<(usize, Option<Mode>)> = Vec::new();
        let leader = wait_for(WHOLE_LIMIT, || {
            self.assert_alive();
            modes = self.places().into_iter().map(|place| (place, self.mode(place))).collect();
            let fits = modes.iter().all(|(place, mode)| match self.members[*place].role {
                Role::Participant => matches!(mode, Some(Mode::Leader | Mode::Follower)),
                Role::Observer => *mode == Some(Mode::Observer),
            });
            let mut leaders = modes.iter().filter(|(_, mode)| *mode == Some(Mode::Leader));
            match (fits, leaders.next(), leaders.next()) {
                (true, Some((leader, _)), None) => Some(*leader),
                _ => {
                    // The words are no load to a server that is busy electing.
                    std::thread::sleep(Duration::from_millis(20));
                    None
                }
            }
        });
        leader.unwrap_or_else(|| panic!("not whole after {WHOLE_LIMIT:?}: {modes:?}\n{}", self.logs()))
    }

    /// No member ends by itself.
    fn assert_alive(&mut self) {
        self.mind();
        for place in 0..self.members.len() {
            let server = &mut self.members[place].server;
            if server.has_ended_by_itself() {
                panic!("member {} ended by itself; its log:\n{}", place + 1, server.log_tail());
            }
        }
    }

    /// Starts a ZooKeeper again that has ended by a fault of its own, as whoever runs it would.
    ///
    /// A ZooKeeper 3.9 that stops following reads its log again from what its tree has, and ends if what it reads is not
    /// next in its list of proposals: its other thread may have put a transaction into the tree and not yet into the list.
    pub fn mind(&mut self) {
        const OUT_OF_ORDER: &str = "IllegalStateException: Committed proposal cached out of order";
        for (place, member) in self.members.iter_mut().enumerate() {
            let Member { server, faults_of_its_own, .. } = member;
            if !server.target.is_zookeeper() || !server.has_ended_by_itself() {
                continue;
            }
            let faults = server.log().matches(OUT_OF_ORDER).count();
            if faults > *faults_of_its_own {
                println!(
                    "member {} ({:?}) ended by a fault of its own, and is started again",
                    place + 1,
                    server.target
                );
                *faults_of_its_own = faults;
                server.kill();
                server.spawn();
            }
        }
    }

    /// A ZooKeeper that says that the thread which writes its log has ended.
    ///
    /// In 3.8 that thread may find the connection to its leader gone while it acknowledges, and ends (ZOOKEEPER-4409). What it
    /// had still to write is in the server's tree, which goes on with the next leader, and not in its log: there is a hole
    /// in it, and at its next start the tree is without these transactions.
    pub fn has_lost_log(&self) -> Option<usize> {
        const ENDED: &str = "Severe unrecoverable error, from thread : SyncThread";
        let mut servers = self.members.iter().map(|member| &member.server);
        servers.position(|server| server.target.is_zookeeper() && server.log().contains(ENDED))
    }

    /// No Corral has found a tree that does not go with what it was sent. What digests a ZooKeeper sends is its own affair.
    pub fn assert_trees_fitted(&self) {
        let all = ["does not fit", "digest differs", "digest is not the leader's"];
        let told = if self.is_mixed() { &all[..1] } else { &all };
        for (place, member) in self.members.iter().enumerate() {
            let odd = |line: &&str| told.iter().any(|what| line.contains(what));
            if let (Target::Corral(_), Some(line)) = (member.server.target, member.server.log().lines().find(odd)) {
                panic!("member {}: {line}", place + 1);
            }
        }
    }

    /// The end of every member's log, of those that do not run first: only the beginning of all this may be shown.
    pub fn logs(&self) -> String {
        let mut members: Vec<(usize, &Server)> = self.members.iter().map(|member| &member.server).enumerate().collect();
        members.sort_by_key(|(_, server)| server.has_ended().is_none());
        let tails = members.into_iter().map(|(place, server)| {
            let ended = server.has_ended().map_or(String::new(), |how| format!(", {how}"));
            format!(
                "--- member {} ({:?}) at {}{ended}\n{}",
                place + 1,
                server.target,
                server.address,
                server.log_tail()
            )
        });
        tails.collect::<Vec<String>>().join("\n")
    }

    /// What the members are, for people: `Corral(Small) Corral(Shards(1)) ZooKeeper`.
    pub fn names(&self) -> String {
        let names = self.members.iter().filter(|member| member.belongs).map(|member| match member.server.target {
            Target::Corral(Edge::Small) => "corral/small".to_string(),
            Target::Corral(Edge::Shards(count)) => format!("corral/{count}"),
            Target::ZooKeeper => "zookeeper".to_string(),
            Target::OlderZooKeeper => "zookeeper/older".to_string(),
        });
        names.collect::<Vec<String>>().join(" ")
    }
}

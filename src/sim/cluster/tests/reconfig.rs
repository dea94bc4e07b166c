//! Ensembles that change while they run: servers come, go, and take each other's place, and what clients were told holds.

use super::super::*;
use super::steps::all_serve;
use super::writers::{Client, work};
use crate::ids::{ConnId, SessionId};
use crate::jute::wire::{Reader, put_buffer, put_long};
use crate::jute::{ErrorCode, OpCode};
use crate::sim::bodies::{create, path_alone, path_and};
use crate::sim::server::Frame;
use crate::tree::path::CONFIG;
use crate::zab::voters::{Config, Voters};

/// One line of a configuration.
pub(super) fn line(id: usize, role: &str) -> String {
    format!("server.{id}=10.0.0.{id}:2888:3888:{role};2181")
}

fn text(ids: &[usize]) -> String {
    ids.iter().map(|id| line(*id, "participant") + "\n").collect()
}

/// Servers that have a leader, and may be reconfigured by anybody.
pub(super) fn started(voters: usize, seed: u64) -> Cluster {
    started_with_epochs_of(Zxid::LAST_COUNTER, voters, seed)
}

/// The same, with epochs of so many transactions.
pub(super) fn started_with_epochs_of(last_counter: u32, voters: usize, seed: u64) -> Cluster {
    let mut cluster = Cluster::new(0, seed);
    cluster.config.last_counter = last_counter;
    cluster.settings.standalone_enabled = voters > 1;
    (cluster.config.reconfig_enabled, cluster.config.skip_acl) = (true, true);
    let ids: Vec<usize> = (1..=voters).collect();
    for place in 0..voters {
        assert_eq!(cluster.add(&text(&ids)), place);
        cluster.start(place);
    }
    assert!(cluster.run(5_000, |cluster| cluster.leader().is_some()), "a leader within 5 s");
    cluster
}

/// A new server whose file lists the others and itself.
pub(super) fn join(cluster: &mut Cluster, role: &str) -> Place {
    let id = cluster.len() + 1;
    let others: Vec<usize> = (1..id).collect();
    let place = cluster.add(&format!("{}{}\n", text(&others), line(id, role)));
    cluster.start(place);
    assert!(cluster.run(5_000, |cluster| cluster.serves(place)), "server {id}: {:?}", cluster.server_states());
    place
}

/// A client that asks one thing after the other.
pub(super) struct Asker {
    place: Place,
    pub conn: ConnId,
    pub xid: i32,
    frames: Vec<Frame>,
}

impl Asker {
    pub(super) fn at(cluster: &mut Cluster, place: Place) -> Asker {
        assert!(cluster.run(10_000, |cluster| cluster.serves(place)), "{:?}", cluster.server_states());
        Asker::try_at(cluster, place).expect("a session")
    }

    /// A session, if the server gives one: it may be cut off, and not know it yet.
    pub(super) fn try_at(cluster: &mut Cluster, place: Place) -> Option<Asker> {
        let conn = cluster.server(place)?.accept(SessionId::NONE, 2000, 0);
        cluster.act(place);
        cluster.run(2_000, |cluster| cluster.server(place).is_none_or(|server| !server.shard.unsent(conn).is_empty()));
        let is_open = !cluster.server(place)?.output(conn).is_empty();
        is_open.then_some(Asker { place, conn, xid: 0, frames: vec![] })
    }

    /// The answer's error and body; `None` if the connection was closed or no answer came in time.
    pub(super) fn ask(&mut self, cluster: &mut Cluster, op: OpCode, body: &[u8]) -> Option<(i32, Vec<u8>)> {
        self.xid += 1;
        let (place, conn, xid) = (self.place, self.conn, self.xid);
        cluster.server(place)?.request(conn, xid, op, body);
        cluster.act(place);
        let frames = &mut self.frames;
        cluster.run(1_000, |cluster| {
            let Some(server) = cluster.server(place) else { return true };
            frames.extend(server.frames(conn));
            frames.iter().any(|frame| frame.0 == xid) || server.ended.contains(&conn)
        });
        let at = self.frames.iter().position(|frame| frame.0 == xid)?;
        let (_, _, error, body) = self.frames.remove(at);
        Some((error, body))
    }

    pub(super) fn reconfig(&mut self, cluster: &mut Cluster, asked: &Change<'_>) -> Option<Result<String, ErrorCode>> {
        let (error, body) = self.ask(cluster, OpCode::Reconfig, &asked.body())?;
        Some(match error {
            0 => Ok(String::from_utf8(Reader::new(&body).string().unwrap().to_vec()).unwrap()),
            error => Err(ErrorCode::from_wire(error).expect("a code")),
        })
    }

    fn config(&mut self, cluster: &mut Cluster, watch: bool) -> Voters {
        let (error, body) = self.ask(cluster, OpCode::GetData, &path_and(CONFIG, watch)).expect("an answer");
        assert_eq!(error, 0);
        Voters::parse(Reader::new(&body).string().unwrap()).expect("a configuration")
    }
}

#[derive(Clone, Copy)]
pub(super) struct Change<'a> {
    pub joining: Option<&'a str>,
    pub leaving: Option<&'a str>,
    pub members: Option<&'a str>,
    pub version: i64,
}

impl Change<'_> {
    fn body(&self) -> Vec<u8> {
        let mut body = vec![];
        for part in [self.joining, self.leaving, self.members] {
            put_buffer(&mut body, part.map(str::as_bytes));
        }
        put_long(&mut body, self.version);
        body
    }
}

pub(super) const NOTHING: Change<'static> = Change { joining: None, leaving: None, members: None, version: -1 };

/// Asks until it is done, whoever leads.
pub(super) fn reconfigure(cluster: &mut Cluster, asked: &Change<'_>) {
    let done = |cluster: &mut Cluster| {
        let leader = cluster.leader().expect("somebody leads");
        cluster.shown(leader).expect("a configuration").version()
    };
    let before = done(cluster);
    for _ in 0..5 {
        assert!(cluster.run(10_000, |cluster| cluster.leader().is_some()), "{:?}", cluster.server_states());
        let leader = cluster.leader().unwrap();
        match Asker::at(cluster, leader).reconfig(cluster, asked) {
            Some(Ok(_)) => return,
            // Its connection was closed with the old leader.
            None => {
                assert!(cluster.run(10_000, |cluster| cluster.leader().is_some()), "{:?}", cluster.server_states());
                if done(cluster) > before {
                    return;
                }
            }
            Some(Err(error)) => panic!("{error:?}"),
        }
    }
    panic!("not reconfigured");
}

impl Cluster {
    /// The configuration a server shows its clients.
    pub(super) fn shown(&self, place: Place) -> Option<Voters> {
        let state = self.members[place].server.as_ref()?.quorum.state();
        Voters::parse(state.find(CONFIG)?.data()?).ok()
    }

    pub(super) fn file(&self, place: Place) -> &Config {
        &self.members[place].config
    }
}

pub(super) fn ids(voters: &Voters) -> Vec<i64> {
    voters.members().map(|member| member.id.0).collect()
}

/// These servers serve, hold the same tree and the same configuration, in memory and in their files.
pub(super) fn agree(cluster: &mut Cluster, places: &[Place], clients: &[Client]) {
    let same = |cluster: &mut Cluster| {
        let first = places[0];
        let config = cluster.shown(first);
        places.iter().all(|place| {
            cluster.serves(*place)
                && cluster.digest(*place) == cluster.digest(first)
                && cluster.shown(*place) == config
                && cluster.file(*place) == &Config::new(config.clone().unwrap(), None)
        })
    };
    let facts = |cluster: &Cluster| {
        let fact = |place: &Place| {
            let file = cluster.file(*place);
            let versions = file.all().map(|voters| format!("{:x} {:?}", voters.version(), ids(voters)));
            let shown = cluster.shown(*place).map(|shown| (format!("{:x}", shown.version()), ids(&shown)));
            (cluster.serves(*place), cluster.digest(*place), shown, versions.collect::<Vec<_>>())
        };
        places.iter().map(fact).collect::<Vec<_>>()
    };
    assert!(cluster.run(10_000, same), "{:#?}", facts(cluster));
    for place in places {
        let server = cluster.server(*place).unwrap();
        for client in clients {
            for n in &client.acknowledged {
                let path = client.path(*n);
                let found = server.quorum.state().find(path.as_bytes());
                assert!(found.is_some(), "{path} is lost on server {}", place + 1);
            }
        }
    }
}

#[test]
fn the_first_leader_names_the_configuration_and_every_server_shows_it() {
    let mut cluster = started(3, 1);
    assert!(cluster.run(5_000, all_serve), "{:?}", cluster.server_states());
    for place in 0..3 {
        let shown = Asker::at(&mut cluster, place).config(&mut cluster, false);
        assert_eq!((ids(&shown), shown.version()), (vec![1, 2, 3], 1 << 32));
    }
    agree(&mut cluster, &[0, 1, 2], &[]);
    // A restart finds it in the file, and a new epoch does not name it again.
    let leader = cluster.leader().unwrap();
    cluster.crash(leader);
    assert!(cluster.run(5_000, |cluster| cluster.leader().is_some()));
    cluster.start(leader);
    assert!(cluster.run(5_000, |cluster| cluster.serves(leader)));
    assert_eq!(cluster.shown(leader).unwrap().version(), 1 << 32);
}

#[test]
fn without_reconfig_the_files_decide() {
    let mut cluster = Cluster::new(3, 2);
    (0..3).for_each(|place| cluster.start(place));
    assert!(cluster.run(5_000, all_serve));
    let mut asker = Asker::at(&mut cluster, 1);
    assert_eq!(asker.config(&mut cluster, false).version(), 0);
    assert_eq!(asker.reconfig(&mut cluster, &NOTHING), Some(Err(ErrorCode::ReconfigDisabled)));
    cluster.run(100, |_| false);
    for place in 0..3 {
        let file = cluster.file(place);
        assert_eq!((file.current().version(), file.pending()), (0, None), "no file is written");
    }
}

#[test]
fn it_grows_from_three_to_five_and_shrinks_again() {
    let mut cluster = started(3, 3);
    let mut clients: Vec<Client> = (0..3).map(Client::new).collect();
    work(&mut cluster, &mut clients, 500);
    let watcher_at = (0..3).find(|place| cluster.leader() != Some(*place)).unwrap();
    let mut watcher = Asker::at(&mut cluster, watcher_at);
    watcher.config(&mut cluster, true);
    let (fourth, fifth) = (join(&mut cluster, "participant"), join(&mut cluster, "participant"));
    assert_eq!(cluster.server_state(fourth), Some(ServerState::Following), "as one who has no vote yet");
    let joining = [line(4, "participant"), line(5, "participant")].join(",");
    // Change at a follower: it is the leader that decides.
    let asked = Change { joining: Some(&joining), ..NOTHING };
    let answer = Asker::at(&mut cluster, fourth).reconfig(&mut cluster, &asked).unwrap().unwrap();
    assert_eq!(ids(&Voters::parse(answer.as_bytes()).unwrap()), [1, 2, 3, 4, 5]);
    let told = cluster.run(1_000, |cluster| {
        watcher.frames.extend(cluster.server(watcher_at).unwrap().frames(watcher.conn));
        watcher.frames.iter().any(|(xid, ..)| *xid == -1)
    });
    assert!(told, "who watches the configuration is told");
    work(&mut cluster, &mut clients, 1_000);
    agree(&mut cluster, &[0, 1, 2, 3, 4], &clients);
    // Five survive two.
    let leader = cluster.leader().unwrap();
    let others: Vec<Place> = (0..5).filter(|place| *place != leader).collect();
    cluster.crash(leader);
    cluster.crash(others[0]);
    assert!(cluster.run(10_000, |cluster| cluster.leader().is_some()), "{:?}", cluster.server_states());
    work(&mut cluster, &mut clients, 500);
    cluster.start(leader);
    cluster.start(others[0]);
    agree(&mut cluster, &[0, 1, 2, 3, 4], &clients);
    let leader = cluster.leader().unwrap();
    let gone: Vec<Place> = [fourth, fifth, 0, 1, 2].into_iter().filter(|place| *place != leader).take(2).collect();
    let leaving = gone.iter().map(|place| (place + 1).to_string()).collect::<Vec<_>>().join(",");
    reconfigure(&mut cluster, &Change { leaving: Some(&leaving), ..NOTHING });
    let left: Vec<Place> = (0..5).filter(|place| !gone.contains(place)).collect();
    agree(&mut cluster, &left, &clients);
    assert_eq!(cluster.leader(), Some(leader));
    // They follow on without a vote, and nobody needs them.
    agree(&mut cluster, &[0, 1, 2, 3, 4], &clients);
    gone.iter().for_each(|place| cluster.crash(*place));
    work(&mut cluster, &mut clients, 500);
    agree(&mut cluster, &left, &clients);
}

#[test]
fn a_leader_that_is_taken_away_hands_over() {
    for seed in 0..3 {
        let mut cluster = started(3, 40 + seed);
        let mut clients: Vec<Client> = (0..3).map(Client::new).collect();
        work(&mut cluster, &mut clients, 500);
        let fourth = join(&mut cluster, "participant");
        work(&mut cluster, &mut clients, 200);
        let leader = cluster.leader().unwrap();
        let leaving = (leader + 1).to_string();
        let joining = line(fourth + 1, "participant");
        reconfigure(&mut cluster, &Change { joining: Some(&joining), leaving: Some(&leaving), ..NOTHING });
        let hands_over = |cluster: &mut Cluster| cluster.leader().is_some_and(|now| now != leader);
        assert!(cluster.run(2_000, hands_over), "{:?}", cluster.server_states());
        work(&mut cluster, &mut clients, 1_000);
        let left: Vec<Place> = (0..4).filter(|place| *place != leader).collect();
        agree(&mut cluster, &left, &clients);
        agree(&mut cluster, &[0, 1, 2, 3], &clients);
        assert_eq!(cluster.server_state(leader), Some(ServerState::Following));
        assert_eq!(ids(&cluster.shown(leader).unwrap()).len(), 3);
    }
}

#[test]
fn servers_are_replaced_one_by_one_under_load() {
    for seed in 0..2 {
        let mut cluster = started(3, 50 + seed);
        let mut clients: Vec<Client> = (0..4).map(Client::new).collect();
        let mut members = vec![0, 1, 2];
        for _ in 0..3 {
            work(&mut cluster, &mut clients, 300);
            let new = join(&mut cluster, "participant");
            let old = members.remove(0);
            members.push(new);
            work(&mut cluster, &mut clients, 200);
            let (joining, leaving) = (line(new + 1, "participant"), (old + 1).to_string());
            reconfigure(&mut cluster, &Change { joining: Some(&joining), leaving: Some(&leaving), ..NOTHING });
            work(&mut cluster, &mut clients, 300);
            agree(&mut cluster, &members, &clients);
            cluster.crash(old);
        }
        work(&mut cluster, &mut clients, 500);
        agree(&mut cluster, &[3, 4, 5], &clients);
        // Nothing of the old ones is needed, not even after a restart of all.
        (3..6).for_each(|place| cluster.crash(place));
        (3..6).for_each(|place| cluster.start(place));
        agree(&mut cluster, &[3, 4, 5], &clients);
        let acknowledged: usize = clients.iter().map(|client| client.acknowledged.len()).sum();
        assert!(acknowledged > 100, "{acknowledged}");
    }
}

#[test]
fn an_observer_becomes_a_voter_and_a_voter_an_observer() {
    let mut cluster = started(3, 6);
    let mut clients: Vec<Client> = (0..2).map(Client::new).collect();
    let fourth = join(&mut cluster, "observer");
    reconfigure(&mut cluster, &Change { joining: Some(&line(4, "observer")), ..NOTHING });
    assert!(cluster.run(3_000, |cluster| cluster.server_state(fourth) == Some(ServerState::Observing)));
    work(&mut cluster, &mut clients, 500);
    agree(&mut cluster, &[0, 1, 2, 3], &clients);
    let demoted = (0..3).find(|place| cluster.leader() != Some(*place)).unwrap();
    let joining = [line(4, "participant"), line(demoted + 1, "observer")].join(",");
    reconfigure(&mut cluster, &Change { joining: Some(&joining), ..NOTHING });
    let roles = |cluster: &mut Cluster| {
        cluster.server_state(fourth) == Some(ServerState::Following)
            && cluster.server_state(demoted) == Some(ServerState::Observing)
    };
    assert!(cluster.run(5_000, roles), "{:?}", cluster.server_states());
    work(&mut cluster, &mut clients, 500);
    agree(&mut cluster, &[0, 1, 2, 3], &clients);
    // Its vote counts now: with one of the others gone there is no quorum without it.
    let gone = (0..3).find(|place| *place != demoted && cluster.leader() != Some(*place)).unwrap();
    cluster.crash(gone);
    work(&mut cluster, &mut clients, 1_000);
    let left: Vec<Place> = (0..4).filter(|place| *place != gone).collect();
    agree(&mut cluster, &left, &clients);
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    let mut cluster = started(3, 7);
    agree(&mut cluster, &[0, 1, 2], &[]);
    let leader = cluster.leader().unwrap();
    for place in 0..3 {
        let mut asker = Asker::at(&mut cluster, place);
        let far = [line(7, "participant"), line(8, "participant"), line(9, "participant")].join(",");
        for (asked, expected) in [
            (Change { leaving: Some("3"), version: 5, ..NOTHING }, ErrorCode::BadVersion),
            (Change { joining: Some("server.4"), ..NOTHING }, ErrorCode::BadArguments),
            (Change { leaving: Some("2,3"), ..NOTHING }, ErrorCode::BadArguments),
            (Change { members: Some("dataDir=/"), ..NOTHING }, ErrorCode::BadArguments),
            (Change { joining: Some(&far), leaving: Some("3"), ..NOTHING }, ErrorCode::NewConfigNoQuorum),
        ] {
            assert_eq!(asker.reconfig(&mut cluster, &asked), Some(Err(expected)), "server {}", place + 1);
        }
    }
    agree(&mut cluster, &[0, 1, 2], &[]);
    assert_eq!(cluster.shown(leader).unwrap().version(), 1 << 32);
    let whole = text(&[1, 2]) + &line(3, "observer");
    let answer =
        Asker::at(&mut cluster, leader).reconfig(&mut cluster, &Change { members: Some(&whole), ..NOTHING }).unwrap();
    // The leader may have been the one that observes from now on: then it hands over.
    assert!(answer.is_ok_and(|text| text.contains("3888:observer")));
    agree(&mut cluster, &[0, 1, 2], &[]);
}

#[test]
fn the_permission_is_asked_for() {
    let mut cluster = Cluster::new(0, 8);
    cluster.config.reconfig_enabled = true;
    for place in 0..3 {
        cluster.add(&text(&[1, 2, 3]));
        cluster.start(place);
    }
    assert!(cluster.run(5_000, all_serve));
    for place in 0..3 {
        let asked = Change { leaving: Some("3"), ..NOTHING };
        let answer = Asker::at(&mut cluster, place).reconfig(&mut cluster, &asked);
        assert_eq!(answer, Some(Err(ErrorCode::NoAuth)), "server {}", place + 1);
    }
}

#[test]
fn one_server_grows_to_three_and_is_alone_again() {
    let mut cluster = started(1, 11);
    let mut clients: Vec<Client> = (0..2).map(Client::new).collect();
    work(&mut cluster, &mut clients, 300);
    for id in 2..=3 {
        let place = join(&mut cluster, "participant");
        reconfigure(&mut cluster, &Change { joining: Some(&line(id, "participant")), ..NOTHING });
        work(&mut cluster, &mut clients, 300);
        agree(&mut cluster, &(0..=place).collect::<Vec<_>>(), &clients);
    }
    cluster.crash(0);
    work(&mut cluster, &mut clients, 1_500);
    agree(&mut cluster, &[1, 2], &clients);
    cluster.start(0);
    agree(&mut cluster, &[0, 1, 2], &clients);
    let leader = cluster.leader().unwrap();
    let leaving: Vec<String> = (0..3).filter(|place| *place != leader).map(|place| (place + 1).to_string()).collect();
    reconfigure(&mut cluster, &Change { leaving: Some(&leaving.join(",")), ..NOTHING });
    (0..3).filter(|place| *place != leader).for_each(|place| cluster.crash(place));
    work(&mut cluster, &mut clients, 500);
    agree(&mut cluster, &[leader], &clients);
}

/// A sync is answered when the change before it is committed, by which another server is to lead: what was sent behind the
/// sync would be in the old leader's log, and proposed by nobody.
#[test]
fn what_waits_behind_a_sync_is_not_begun_by_a_leader_that_is_to_go() {
    let mut cluster = started(3, 9);
    assert!(cluster.run(5_000, all_serve), "{:?}", cluster.server_states());
    let leader = cluster.leader().unwrap();
    let rest: Vec<Place> = (0..3).filter(|place| *place != leader).collect();
    let conn = Asker::at(&mut cluster, leader).conn;
    let leaving = (leader + 1).to_string();
    let reconfig = Change { leaving: Some(&leaving), ..NOTHING }.body();
    let server = cluster.server(leader).unwrap();
    server.request(conn, 1, OpCode::Reconfig, &reconfig);
    server.request(conn, 2, OpCode::Sync, &path_alone(b"/"));
    server.request(conn, 3, OpCode::Create, &create(b"/behind", b"", 0));
    cluster.act(leader);
    let goes = |cluster: &mut Cluster| cluster.leader().is_some_and(|now| now != leader);
    assert!(cluster.run(10_000, goes), "{:?}", cluster.server_states());
    // Its log is at rest, and it looks for its place.
    cluster.run(2_000, |_| false);
    agree(&mut cluster, &rest, &[]);
    let shown = cluster.shown(rest[0]).unwrap();
    assert_eq!(shown.voters().count(), 2);
}

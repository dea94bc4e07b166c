//! An ensemble that changes while clients use it: servers join, leave, and change between voting and observing; whoever
//! leads may be among them. After each change every member must serve in its role, show the same configuration and have
//! it in its files, and a client of every member must have been told.

use fastrand::Rng;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use super::clients::Board;
use super::cluster::{Ensemble, Member, Role, SESSION_MS, WHOLE_LIMIT};
use super::nemesis::{Whom, await_served};
use super::support::client::{Arrival, Connection};
use super::support::fields::{self, Value};
use super::support::server::Server;
use super::support::wait_for;
use super::support::wire::{self, op};

/// A change that is possible is made within this: who joins must have caught up, and a leader may have to be found.
const CHANGE_LIMIT: Duration = Duration::from_secs(30);

/// Refusals that end by themselves: a new member is not as far as the others, or another change is under way.
const NEW_CONFIG_NO_QUORUM: i32 = -13;
const RECONFIG_IN_PROGRESS: i32 = -14;

const CONFIG: &str = "/zookeeper/config";

/// What an event says: the data has changed, and the client is connected.
const CHANGED: i32 = 3;
const CONNECTED: i32 = 3;

/// What happens to the ensemble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new server, with an empty directory.
    Join(Role),
    Leave(Whom),
    /// A voter becomes an observer.
    Demote(Whom),
    /// The observers become voters.
    Promote,
    /// SIGKILL for everyone at once: all have to know their configuration from their files.
    KillAll,
}

/// Makes a change and waits until every member shows it.
pub fn make(change: Change, ensemble: &mut Ensemble, board: &Board, random: &mut Rng) {
    let leader = ensemble.await_whole();
    let having = |ensemble: &Ensemble, role: Role| -> Vec<usize> {
        ensemble.places().into_iter().filter(|place| ensemble.members[*place].role == role).collect()
    };
    let mut victim = |ensemble: &Ensemble, whom: Whom| {
        let followers = having(ensemble, Role::Participant).into_iter().filter(|place| *place != leader);
        match whom {
            Whom::Leader => leader,
            Whom::Follower => *random.choice(&followers.collect::<Vec<usize>>()).unwrap(),
        }
    };
    match change {
        Change::Join(role) => {
            let place = (0..ensemble.members.len()).find(|place| !ensemble.members[*place].belongs);
            join(ensemble, board, place.expect("a server that does not belong to it"), role, None);
        }
        Change::Leave(whom) => {
            let place = victim(ensemble, whom);
            leave(ensemble, board, place, None);
        }
        Change::Demote(whom) => {
            let place = victim(ensemble, whom);
            assume(ensemble, board, &[place], Role::Observer, None);
        }
        Change::Promote => {
            let observers = having(ensemble, Role::Observer);
            assume(ensemble, board, &observers, Role::Participant, None);
        }
        Change::KillAll => {
            for place in ensemble.places() {
                ensemble.kill(place);
            }
            ensemble.spawn_all();
            assert_changed(ensemble, board);
        }
    }
}

/// A server with an empty directory joins. As with all of these, one member is asked for it, or whoever answers.
pub fn join(ensemble: &mut Ensemble, board: &Board, place: usize, role: Role, asked: Option<usize>) {
    ensemble.members[place].role = role;
    ensemble.replace(place, ensemble.members[place].server.target);
    reconfigure(ensemble, asked, Some(&ensemble.line(place, place)), None);
    ensemble.members[place].belongs = true;
    board.moved(ensemble.addresses());
    assert_changed(ensemble, board);
}

/// A member leaves, and is stopped when the others have gone on without it.
pub fn leave(ensemble: &mut Ensemble, board: &Board, place: usize, asked: Option<usize>) {
    ensemble.members[place].belongs = false;
    board.moved(ensemble.addresses());
    reconfigure(ensemble, asked, None, Some(&(place + 1).to_string()));
    ensemble.await_whole();
    ensemble.terminate(place);
    assert_changed(ensemble, board);
}

/// Members take another role.
pub fn assume(ensemble: &mut Ensemble, board: &Board, places: &[usize], role: Role, asked: Option<usize>) {
    for place in places {
        ensemble.members[*place].role = role;
    }
    let lines: Vec<String> = places.iter().map(|place| ensemble.line(*place, *place)).collect();
    reconfigure(ensemble, asked, Some(&lines.join(",")), None);
    assert_changed(ensemble, board);
}

/// A member moves to other ports, which `place_ports` gives it.
pub fn relocate(ensemble: &mut Ensemble, board: &Board, place: usize, place_ports: impl FnOnce(&mut Member)) {
    let old = ensemble.members[place].server.address;
    place_ports(&mut ensemble.members[place]);
    let line = ensemble.line(place, place);
    // It is asked where it still is.
    let new = std::mem::replace(&mut ensemble.members[place].server.address, old);
    reconfigure(ensemble, None, Some(&line), None);
    ensemble.members[place].server.address = new;
    board.moved(ensemble.addresses());
    assert_changed(ensemble, board);
}

/// A member is stopped, and started from its files as they are.
pub fn restart(ensemble: &mut Ensemble, board: &Board, place: usize) {
    ensemble.terminate(place);
    ensemble.start_again(place);
    assert_changed(ensemble, board);
}

/// Asks until the change is made, or was already by a request whose answer was lost.
fn reconfigure(ensemble: &Ensemble, asked: Option<usize>, joining: Option<&str>, leaving: Option<&str>) {
    let request = wire::reconfig(joining, leaving, None, -1);
    let all = ensemble.addresses();
    let watchers: Vec<Watcher> = all.iter().map(|address| Watcher::new(*address)).collect();
    let addresses = asked.map_or(all.clone(), |place| vec![ensemble.members[place].server.address]);
    let end = Instant::now() + CHANGE_LIMIT;
    for address in addresses.iter().cycle() {
        let answer = Connection::new_session(*address, SESSION_MS).and_then(|mut asker| {
            let reply = asker.call(&request)?;
            // What was asked for may have ended the connection.
            let _ = asker.close();
            Ok(reply.err)
        });
        let refused = match answer {
            Ok(0) => break,
            Ok(code @ (NEW_CONFIG_NO_QUORUM | RECONFIG_IN_PROGRESS)) => format!("{address}: {code}"),
            Ok(code) => panic!("{address} refuses {joining:?} {leaving:?} with {code}\n{}", ensemble.logs()),
            Err(error) => format!("{address}: {error}"),
        };
        let late = Instant::now() > end;
        assert!(!late, "not within {CHANGE_LIMIT:?}: {joining:?} {leaving:?}: {refused}\n{}", ensemble.logs());
        std::thread::sleep(Duration::from_millis(50));
    }
    for watcher in watchers {
        let home = watcher.home;
        if let Err(why) = watcher.await_change(&all) {
            panic!("a client of {home} is not told of {joining:?} {leaving:?}: {why}\n{}", ensemble.logs());
        }
    }
}

/// A client that waits for the configuration to change.
struct Watcher {
    home: SocketAddr,
    connection: Connection,
    /// The last zxid it was told.
    zxid: i64,
}

impl Watcher {
    fn new(home: SocketAddr) -> Watcher {
        let watcher = wait_for(WHOLE_LIMIT, || {
            let mut connection = Connection::new_session(home, SESSION_MS).ok()?;
            let reply = connection.call(&wire::get_data(CONFIG, true)).ok()?;
            assert_eq!(reply.err, 0, "{CONFIG} on {home}");
            Some(Watcher { home, connection, zxid: reply.zxid })
        });
        watcher.unwrap_or_else(|| panic!("{home} shows no {CONFIG} within {WHOLE_LIMIT:?}"))
    }

    /// Waits for the event. A connection that the change has ended is followed by another one, to whoever takes it.
    fn await_change(mut self, addresses: &[SocketAddr]) -> Result<(), String> {
        let end = Instant::now() + CHANGE_LIMIT;
        let mut others = addresses.iter().cycle();
        while self.connection.events.is_empty() {
            match self.connection.next().map_err(|error| error.to_string())? {
                Arrival::Event { zxid, body } => self.connection.events.push((zxid, body)),
                Arrival::Reply(reply) => return Err(format!("{reply:?} to nothing")),
                Arrival::Closed => {
                    let mut last = String::new();
                    let taken = wait_for(end.saturating_duration_since(Instant::now()), || {
                        let address = *others.next()?;
                        self.resume(address).map_err(|error| last = format!("{address}: {error}")).ok()
                    });
                    self.connection = taken.ok_or(format!("its session finds no server: {last}"))?;
                }
            }
        }
        let told = fields::of_event(&self.connection.events[0].1).map_err(|misfit| format!("{misfit:?}"))?;
        let told: Vec<&Value> = told.iter().map(|field| &field.value).collect();
        let meant = [&Value::Int(CHANGED), &Value::Int(CONNECTED), &Value::Bytes(Some(CONFIG.as_bytes().to_vec()))];
        if told != meant {
            return Err(format!("{told:?} instead of the change"));
        }
        self.connection.close().map_err(|error| error.to_string()).or(Ok(()))
    }

    /// The session on another connection, with its watch.
    fn resume(&self, address: SocketAddr) -> io::Result<Connection> {
        let mut connection = Connection::resume(address, &self.connection.session, self.zxid)?;
        if connection.session.id == 0 {
            return Err(io::Error::other("the session is gone"));
        }
        connection.continue_from(self.connection.next_xid());
        let watches = [vec![CONFIG.to_string()], vec![], vec![], vec![], vec![]];
        connection.call(&wire::set_watches2(self.zxid, &watches))?;
        Ok(connection)
    }
}

/// The ensemble is whole, of one mind about who belongs to it, and serves.
fn assert_changed(ensemble: &mut Ensemble, board: &Board) {
    ensemble.await_whole();
    let mut meant: Vec<String> = ensemble.places().iter().map(|place| ensemble.line(*place, *place)).collect();
    meant.sort();
    let version = assert_shown(ensemble, &meant);
    assert_recorded(ensemble, &meant, &version);
    await_served(board, "a changed ensemble", ensemble);
}

/// Every member shows its clients the same configuration, and it is the one meant. Gives its version. A ZooKeeper that has
/// it from another one's words writes its lines in another order than who has it from the transaction.
fn assert_shown(ensemble: &Ensemble, meant: &[String]) -> String {
    let addresses = ensemble.addresses();
    let mut shown = Vec::new();
    let same = wait_for(WHOLE_LIMIT, || {
        shown = addresses.iter().map(|address| configuration(*address)).collect();
        if !ensemble.is_mixed() && shown.iter().any(|text| *text != shown[0]) {
            return None;
        }
        let versions: Option<Vec<String>> = shown.iter().map(|text| version_of(text.as_ref()?, meant)).collect();
        let (first, rest) = versions.as_ref()?.split_first()?;
        rest.iter().all(|other| other == first).then(|| first.clone())
    });
    same.unwrap_or_else(|| panic!("members show {shown:#?}, meant {meant:#?}\n{}", ensemble.logs()))
}

/// The version of a configuration that has these lines in whatever order.
fn version_of(text: &str, meant: &[String]) -> Option<String> {
    let (versions, mut lines): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with("version="));
    lines.sort_unstable();
    let version = versions.first()?.strip_prefix("version=")?;
    (lines == meant).then(|| version.to_string())
}

/// Every member has the configuration of this version in its files, and none that is only proposed.
fn assert_recorded(ensemble: &Ensemble, meant: &[String], version: &str) {
    let mut recorded = Vec::new();
    let wanted = Ok((format!("zoo.cfg.dynamic.{version}"), meant.to_vec()));
    let same = wait_for(WHOLE_LIMIT, || {
        let servers = ensemble.places().into_iter().map(|place| &ensemble.members[place].server);
        recorded = servers.map(|server| recorded_by(server, version)).collect();
        recorded.iter().all(|recorded| *recorded == wanted).then_some(())
    });
    assert!(same.is_some(), "members' files say {recorded:#?}, meant {wanted:#?}\n{}", ensemble.logs());
}

/// The file of the members that a server's configuration names, and its lines.
fn recorded_by(server: &Server, version: &str) -> Result<(String, Vec<String>), String> {
    let read = |file: &Path| fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()));
    let configuration = server.configuration_file();
    let proposed = configuration.with_file_name("zoo.cfg.dynamic.next");
    // A ZooKeeper that was told of a configuration before it was sent its transaction leaves it there as well.
    let is_agreed_on = |text: String| text.ends_with(&format!("version={version}"));
    if proposed.exists() && !(server.target.is_zookeeper() && read(&proposed).is_ok_and(is_agreed_on)) {
        return Err("something is still proposed".to_string());
    }
    let text = read(&configuration)?;
    let pointed = text.lines().find_map(|line| line.strip_prefix("dynamicConfigFile="));
    let dynamic = Path::new(pointed.ok_or("the configuration names no other file")?);
    let mut lines: Vec<String> = read(dynamic)?.lines().map(str::to_string).collect();
    lines.sort();
    Ok((dynamic.file_name().unwrap_or_default().to_string_lossy().into_owned(), lines))
}

/// What a member shows; None when it gives no session now.
fn configuration(address: SocketAddr) -> Option<String> {
    let mut connection = Connection::new_session(address, SESSION_MS).ok()?;
    let reply = connection.call(&wire::get_data(CONFIG, false)).ok()?;
    assert_eq!(reply.err, 0, "{CONFIG} on {address}");
    let decoded = fields::of_reply(op::GET_DATA, &reply.body).expect("a reply that decodes");
    let Some(Value::Bytes(Some(text))) = decoded.first().map(|field| &field.value) else {
        panic!("{CONFIG} without data: {}", fields::show(&Ok(decoded)));
    };
    let text = String::from_utf8_lossy(text).into_owned();
    // It is asked again if not.
    connection.close().ok()?;
    Some(text)
}

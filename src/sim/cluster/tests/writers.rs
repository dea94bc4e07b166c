//! Clients that write one znode after the other, for scenes that look at the servers: what such a client was told holds.

use super::super::*;
use super::steps::{all_serve, ask, session, told};
use crate::ids::{ConnId, PASSWORD_LEN, SessionId};
use crate::jute::OpCode;
use crate::sim::bodies::{create, path_alone, path_and};

/// A client that creates one znode after the other, on whatever server serves it.
pub(super) struct Client {
    number: usize,
    pub at: Option<(Place, u64, ConnId)>,
    /// The only server it speaks to.
    only: Option<Place>,
    session: SessionId,
    /// What it was told with it.
    password: [u8; PASSWORD_LEN],
    timeout_ms: i32,
    /// Its current request: the number of the znode it creates.
    asked: Option<usize>,
    next: usize,
    /// The last xid it has used, never again: an earlier request may be carried out yet.
    xid: i32,
    /// Created for sure.
    pub acknowledged: Vec<usize>,
    last_zxid: i64,
}

impl Client {
    pub(super) fn new(number: usize) -> Client {
        Client {
            number,
            at: None,
            only: None,
            session: SessionId::NONE,
            password: [0; PASSWORD_LEN],
            timeout_ms: 2000,
            asked: None,
            next: 0,
            xid: 0,
            acknowledged: vec![],
            last_zxid: 0,
        }
    }

    pub(super) fn at(number: usize, place: Place) -> Client {
        Client { only: Some(place), ..Client::new(number) }
    }

    pub(super) fn has_written(&self, count: usize) -> bool {
        self.acknowledged.len() >= count
    }

    pub(super) fn path(&self, n: usize) -> String {
        format!("/client-{}-{n}", self.number)
    }

    /// Goes on with whatever is next.
    fn go(&mut self, cluster: &mut Cluster) {
        let Some((place, incarnation, conn)) = self.at else { return self.connect(cluster) };
        let is_same = cluster.members[place].incarnation == incarnation;
        let Some(server) = cluster.server(place).filter(|_| is_same) else {
            (self.at, self.asked) = (None, None);
            return;
        };
        if server.ended.contains(&conn) {
            (self.at, self.asked) = (None, None);
            return;
        }
        if self.session == SessionId::NONE || self.asked == Some(usize::MAX) {
            // The answer to the connect request has no header of a reply.
            let answer = server.output(conn);
            if answer.len() >= 20 {
                self.session = SessionId(i64::from_be_bytes(answer[12..20].try_into().unwrap()));
                self.password = answer[24..40].try_into().unwrap();
                self.asked = None;
                if self.session == SessionId::NONE {
                    self.at = None;
                }
            }
            return;
        }
        for (xid, zxid, error, _) in server.frames(conn) {
            if xid < 0 {
                continue;
            }
            assert!(zxid >= self.last_zxid, "zxid {zxid:#x} after {:#x}", self.last_zxid);
            self.last_zxid = zxid;
            let asked = self.asked.take().expect("answers are asked for");
            // Created by a request whose answer was lost.
            assert!(error == 0 || error == -110, "create: {error}");
            self.acknowledged.push(asked);
            self.next = asked + 1;
        }
        if self.asked.is_none() {
            let body = create(self.path(self.next).as_bytes(), b"value", 0);
            self.xid += 1;
            server.request(conn, self.xid, OpCode::Create, &body);
            self.asked = Some(self.next);
            cluster.act(place);
        }
    }

    fn connect(&mut self, cluster: &mut Cluster) {
        let place = self.only.unwrap_or_else(|| cluster.pick(cluster.len()));
        if !cluster.serves(place) {
            return;
        }
        let (session, timeout_ms) = (self.session, self.timeout_ms);
        let incarnation = cluster.members[place].incarnation;
        let Some(server) = cluster.server(place) else { return };
        let conn = server.greet_as((session, self.password), timeout_ms, self.last_zxid, None);
        self.at = Some((place, incarnation, conn));
        self.asked = Some(usize::MAX);
        cluster.act(place);
    }
}

fn started(voters: usize, seed: u64) -> Cluster {
    started_with(voters, seed, usual)
}

/// As all are that are told nothing else.
pub(super) fn usual(_: &mut Cluster) {}

/// A cluster that was changed by `tell` before its servers started.
pub(super) fn started_with(voters: usize, seed: u64, tell: impl FnOnce(&mut Cluster)) -> Cluster {
    let mut cluster = Cluster::new(voters, seed);
    tell(&mut cluster);
    (0..voters).for_each(|place| cluster.start(place));
    assert!(cluster.run(5_000, |cluster| cluster.leader().is_some()), "a leader within 5 s");
    cluster
}

/// Lets clients work for a while.
pub(super) fn work(cluster: &mut Cluster, clients: &mut [Client], limit_ms: i64) {
    let mut next_ms = cluster.now_ms;
    cluster.run(limit_ms, |cluster| {
        if cluster.now_ms >= next_ms {
            next_ms = cluster.now_ms + 2;
            clients.iter_mut().for_each(|client| client.go(cluster));
        }
        false
    });
}

/// Everything heals, and all servers hold the same tree with everything that was acknowledged.
pub(super) fn converge(cluster: &mut Cluster, clients: &mut [Client]) {
    cluster.heal();
    for place in 0..cluster.len() {
        cluster.pause(place, false);
        if !cluster.runs(place) {
            cluster.start(place);
        }
    }
    assert!(cluster.run(20_000, all_serve), "all serve: {:?}", cluster.server_states());
    let before: usize = clients.iter().map(|client| client.acknowledged.len()).sum();
    work(cluster, clients, 3_000);
    let after: usize = clients.iter().map(|client| client.acknowledged.len()).sum();
    let states: Vec<_> = clients.iter().map(|client| (client.at, client.session, client.asked, client.next)).collect();
    assert!(
        clients.is_empty() || after > before,
        "clients are served again: {states:?}, {:?}",
        cluster.server_states()
    );
    let same = |cluster: &mut Cluster| {
        let first = cluster.digest(0);
        (1..cluster.len()).all(|place| cluster.digest(place) == first)
    };
    let digests = |cluster: &Cluster| (0..cluster.len()).map(|place| cluster.digest(place)).collect::<Vec<_>>();
    assert!(cluster.run(5_000, same), "the trees are the same: {:?}", digests(cluster));
    for place in 0..cluster.len() {
        let server = cluster.server(place).unwrap();
        for client in &*clients {
            for n in &client.acknowledged {
                let path = client.path(*n);
                assert!(
                    server.quorum.state().find(path.as_bytes()).is_some(),
                    "{path} is lost on server {}",
                    place + 1
                );
            }
        }
    }
}

#[test]
fn three_servers_serve_clients_on_each_of_them() {
    let mut cluster = started(3, 1);
    let mut clients: Vec<Client> = (0..6).map(Client::new).collect();
    work(&mut cluster, &mut clients, 3_000);
    for client in &clients {
        assert!(client.acknowledged.len() > 20, "client {}: {:?}", client.number, client.acknowledged.len());
    }
    converge(&mut cluster, &mut clients);
    assert_eq!(cluster.elections(), 1);
}

#[test]
fn a_sync_sees_what_any_server_has_acknowledged() {
    let mut cluster = started(3, 3);
    let mut writer = Client::new(0);
    let mut seen = 0;
    for place in (0..3).cycle().take(9) {
        work(&mut cluster, std::slice::from_mut(&mut writer), 300);
        let Some(last) = writer.acknowledged.last().copied() else { continue };
        let (conn, _) = session(&mut cluster, place, 2_000);
        ask(&mut cluster, place, conn, 1, OpCode::Sync, &path_alone(b"/"));
        ask(&mut cluster, place, conn, 2, OpCode::Exists, &path_and(writer.path(last).as_bytes(), false));
        assert_eq!(told(&mut cluster, place, conn, 2), [(1, 0), (2, 0)], "on server {}", place + 1);
        seen += 1;
    }
    assert!(seen >= 6);
}

//! What scenes are made of: servers that start and come to rest, clients that ask and are answered, and what is found in the
//! end.

use super::super::*;
use crate::ids::{ConnId, SessionId};
use crate::jute::OpCode;
use crate::server::quorum::Input;
use crate::sim::bodies::path_and;
use crate::sim::server::{Frame, SimServer};

/// Three servers that serve, the leader, and a follower.
pub(super) fn started(seed: u64) -> (Cluster, Place, Place) {
    let (cluster, leader) = started_of(3, seed);
    (cluster, leader, (leader + 1) % 3)
}

/// So many servers that serve, and the leader.
pub(super) fn started_of(voters: usize, seed: u64) -> (Cluster, Place) {
    let mut cluster = Cluster::new(voters, seed);
    start_all(&mut cluster);
    let leader = cluster.leader().expect("somebody leads");
    (cluster, leader)
}

/// Starts all servers, until they serve.
pub(super) fn start_all(cluster: &mut Cluster) {
    (0..cluster.len()).for_each(|place| cluster.start(place));
    assert!(cluster.run(10_000, all_serve), "all serve: {:?}", cluster.server_states());
}

pub(super) fn all_serve(cluster: &mut Cluster) -> bool {
    (0..cluster.len()).all(|place| cluster.serves(place))
}

/// All serve, and show the same: all that they have.
pub(super) fn comes_to_rest(cluster: &mut Cluster) {
    assert!(cluster.run(10_000, all_serve), "all serve: {:?}", cluster.server_states());
    let digests = |cluster: &Cluster| (0..cluster.len()).map(|place| cluster.digest(place)).collect::<Vec<_>>();
    let is_same = |cluster: &mut Cluster| {
        (0..cluster.len()).all(|place| shows_all(cluster, place))
            && digests(cluster).windows(2).all(|pair| pair[0] == pair[1])
    };
    assert!(cluster.run(5_000, is_same), "all show the same: {:?}", digests(cluster));
    nothing_is_under_way(cluster);
}

/// Everything that clients have asked for was answered: nothing counts as on its way to a leader any more, or as waiting there.
pub(super) fn nothing_is_under_way(cluster: &mut Cluster) {
    let bytes = |cluster: &mut Cluster, place| cluster.server(place).unwrap().quorum.bytes_under_way();
    for place in 0..cluster.len() {
        assert!(cluster.run(5_000, |cluster| bytes(cluster, place) == 0), "{} bytes", bytes(cluster, place));
    }
}

/// Whether all that a server has is committed.
pub(super) fn shows_all(cluster: &mut Cluster, place: Place) -> bool {
    let state = cluster.server(place).unwrap().quorum.state();
    state.store().published() >= state.head()
}

/// A connection that asks for a session.
pub(super) fn connect(cluster: &mut Cluster, place: Place, session: SessionId, timeout_ms: i32) -> ConnId {
    let conn = cluster.server(place).unwrap().accept(session, timeout_ms, 0);
    cluster.act(place);
    conn
}

/// The session in the answer to a connect request; `NONE` says that there is no such session.
pub(super) fn granted(cluster: &mut Cluster, place: Place, conn: ConnId) -> SessionId {
    let is_answered = |cluster: &mut Cluster| !cluster.server(place).unwrap().shard.unsent(conn).is_empty();
    assert!(cluster.run(1_000, is_answered), "an answer on server {}", place + 1);
    let answer = cluster.server(place).unwrap().output(conn);
    SessionId(i64::from_be_bytes(answer[12..20].try_into().unwrap()))
}

/// A connection with a session.
pub(super) fn session(cluster: &mut Cluster, place: Place, timeout_ms: i32) -> (ConnId, SessionId) {
    let conn = connect(cluster, place, SessionId::NONE, timeout_ms);
    (conn, granted(cluster, place, conn))
}

pub(super) fn ask(cluster: &mut Cluster, place: Place, conn: ConnId, xid: i32, op: OpCode, body: &[u8]) {
    cluster.server(place).unwrap().request(conn, xid, op, body);
}

/// So many frames, within a second.
pub(super) fn answers(cluster: &mut Cluster, place: Place, conn: ConnId, count: usize) -> Vec<Frame> {
    cluster.act(place);
    let mut frames = vec![];
    cluster.run(1_000, |cluster| {
        frames.extend(cluster.server(place).unwrap().frames(conn));
        frames.len() >= count
    });
    assert_eq!(frames.len(), count, "{frames:?}");
    frames
}

/// Xid and error of each.
pub(super) fn told(cluster: &mut Cluster, place: Place, conn: ConnId, count: usize) -> Vec<(i32, i32)> {
    errors(&answers(cluster, place, conn, count))
}

pub(super) fn errors(frames: &[Frame]) -> Vec<(i32, i32)> {
    frames.iter().map(|frame| (frame.0, frame.2)).collect()
}

/// A client goes on asking, twenty times in two seconds, and is answered.
pub(super) fn goes_on_asking(cluster: &mut Cluster, place: Place, conn: ConnId, first_xid: i32) {
    for xid in first_xid..first_xid + 20 {
        ask(cluster, place, conn, xid, OpCode::Exists, &path_and(b"/", false));
        assert_eq!(told(cluster, place, conn, 1), [(xid, 0)]);
        cluster.run(100, |_| false);
    }
}

pub(super) fn has(cluster: &mut Cluster, place: Place, path: &str) -> bool {
    cluster.server(place).unwrap().quorum.state().find(path.as_bytes()).is_some()
}

/// Whether a session is one of the ensemble's, as a server has it.
pub(super) fn knows(cluster: &mut Cluster, place: Place, session: SessionId) -> bool {
    cluster.server(place).unwrap().quorum.state().session_timeout_ms(session).is_some()
}

/// Cuts a server off from all others.
pub(super) fn isolate(cluster: &mut Cluster, place: Place) {
    for other in (0..cluster.len()).filter(|other| *other != place) {
        cluster.cut(place, other);
        cluster.cut(other, place);
    }
}

pub(super) fn has_ended(cluster: &mut Cluster, place: Place, conn: ConnId) -> bool {
    cluster.run(3_000, |cluster| cluster.server(place).unwrap().ended.contains(&conn))
}

/// Lets a server on its own come to rest, its log written to this disk.
pub(super) fn rest_alone(server: &mut SimServer, disk: &SimDisk) {
    for _ in 0..10 {
        server.prepare_real_segment();
        server.hand_over_requests();
        while let (Some(write), _) = server.take_work(true) {
            write_frame(disk, server, &write);
            server.quorum.step(Input::Written);
        }
        server.shard.take_in();
    }
    server.settle();
}

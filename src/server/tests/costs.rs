//! The cost of a turn of the shard is bounded, whatever clients request, and however much at once.

use super::slices::names;
use super::*;
use crate::cost::Cost;
use crate::limits::{
    ACL_ENTRIES, BETWEEN_COST, BETWEEN_PRICE, CROSSING_COST, HEAVY_COST, OVERRUN_COST, SLICE_COST, TURN_COST,
    VERSIONS_AHEAD,
};
use crate::sim::bodies::create_guarded;
use fastrand::Rng;

/// A whole turn, a read that began before its end, one more slice, and the part for waiting connections; and the cost
/// of reads between writes. A segment of a child set, or one large answer, may come on top of a slice.
fn most() -> Cost {
    TURN_COST + SLICE_COST * 4 + CROSSING_COST + OVERRUN_COST + BETWEEN_COST * CROSSING_COST.over(BETWEEN_PRICE)
}

/// A connection, and the bytes that its socket was given.
pub(super) struct Client {
    pub(super) conn: ConnId,
    bytes: Vec<u8>,
    /// The numbers of requests that are not answered yet, in order.
    pub(super) asked: Vec<i32>,
    /// How many events have come.
    pub(super) events: usize,
}

impl Client {
    pub(super) fn new(server: &mut Server) -> Client {
        Client::on(server.connect(SessionId::NONE, 2000).0)
    }

    pub(super) fn on(conn: ConnId) -> Client {
        Client { conn, bytes: vec![], asked: vec![], events: 0 }
    }

    pub(super) fn frame(&mut self, into: &mut Vec<u8>, xid: i32, op: OpCode, body: &[u8]) {
        put_int(into, 8 + body.len() as i32);
        put_int(into, xid);
        put_int(into, op.wire());
        into.extend_from_slice(body);
        self.asked.push(xid);
    }

    /// Sends one request.
    pub(super) fn ask(&mut self, server: &mut Server, xid: i32, op: OpCode, body: &[u8]) {
        let mut bytes = vec![];
        self.frame(&mut bytes, xid, op, body);
        server.shard.received(self.conn, &bytes);
    }

    /// Sends a request, and runs turns until it is answered.
    pub(super) fn answer(&mut self, server: &mut Server, op: OpCode, body: &[u8]) -> Frame {
        self.ask(server, 1, op, body);
        loop {
            server.settle();
            if let Some(frame) = self.take(server).pop() {
                return frame;
            }
        }
    }

    /// The same; the answer must be Ok.
    pub(super) fn must(&mut self, server: &mut Server, op: OpCode, body: &[u8]) {
        let error = self.answer(server, op, body).2;
        assert_eq!(error, 0, "{op:?}");
    }

    /// Sends what its socket has room for; the rest stays in `bytes`.
    pub(super) fn send(&self, server: &mut Server, bytes: &mut Vec<u8>) {
        if !bytes.is_empty() && server.shard.wants_input(self.conn) {
            let rest = bytes.split_off(bytes.len().min(crate::limits::READ_CHUNK));
            server.shard.received(self.conn, bytes);
            *bytes = rest;
        }
    }

    /// The frames since the last call, without events.
    pub(super) fn take(&mut self, server: &mut Server) -> Vec<Frame> {
        let mut frames = self.take_all(server);
        frames.retain(|frame| frame.0 != -1);
        frames
    }

    /// The frames since the last call.
    pub(super) fn take_all(&mut self, server: &mut Server) -> Vec<Frame> {
        let share = server.shard.send_share();
        let unsent = server.shard.unsent(self.conn);
        let sent = unsent.len().min(share);
        self.bytes.extend_from_slice(&unsent[..sent]);
        server.shard.sent(self.conn, sent);
        let mut frames = vec![];
        while let Some(length) = self.bytes.first_chunk::<4>().map(|length| i32::from_be_bytes(*length) as usize)
            && self.bytes.len() >= 4 + length
        {
            let bytes: Vec<u8> = self.bytes.drain(..4 + length).collect();
            let mut frame = Reader::new(&bytes[4..]);
            let (xid, zxid, error) = (frame.int().unwrap(), frame.long().unwrap(), frame.int().unwrap());
            if xid != -1 {
                assert_eq!(xid, self.asked.remove(0), "in the order they were asked");
            } else {
                self.events += 1;
            }
            frames.push((xid, zxid, error, frame.rest().to_vec()));
        }
        frames
    }
}

/// Checks that the turn that ends here has not cost too much; begins and runs another one.
fn turn(server: &mut Server, what: &str) {
    assert!(server.shard.spent() <= most(), "{what}: {:?} of {:?}", server.shard.spent(), most());
    server.turn();
    let mut ids = vec![];
    server.shard.take_interest(&mut ids);
    server.shard.take_dirty(&mut ids);
    assert!(server.shard.spent() <= most(), "{what}: {:?} of {:?}", server.shard.spent(), most());
}

/// Many identities that no ACL names: each entry is compared with all of them.
pub(super) fn introduce(server: &mut Server, client: &mut Client) {
    for n in 0..60 {
        let mut body = vec![];
        put_int(&mut body, 0);
        put_bytes(&mut body, b"digest");
        put_bytes(&mut body, format!("n{n}:x").as_bytes());
        client.ask(server, -4, OpCode::Auth, &body);
        server.settle();
        assert_eq!(client.take(server)[0].2, 0);
    }
}

const GUARDS: usize = 200;

/// A guarded znode, a wide one and a large one.
fn plant(server: &mut Server, wide: usize) {
    let mut client = Client::new(server);
    client.must(server, OpCode::Create, &create_guarded(b"/guarded", GUARDS));
    client.must(server, OpCode::Create, &create(b"/large", &[7; 500_000], 0));
    client.must(server, OpCode::Create, &create(b"/wide", b"", 0));
    for ops in children("/wide", wide) {
        client.must(server, OpCode::Multi, &multi(&ops));
    }
}

/// Multis that create so many children.
pub(super) fn children(parent: &str, count: usize) -> Vec<Vec<(OpCode, Vec<u8>)>> {
    let child = |n| (OpCode::Create, create(format!("{parent}/n{n}").as_bytes(), b"", 0));
    (0..count).step_by(1000).map(|first| (first..(first + 1000).min(count)).map(child).collect()).collect()
}

#[test]
fn a_pipeline_of_costly_reads_takes_many_turns_and_a_neighbour_none() {
    let mut server = Server::new(16 << 20);
    plant(&mut server, 10);
    let mut clients: Vec<Client> = (0..30).map(|_| Client::new(&mut server)).collect();
    let mut neighbour = Client::new(&mut server);
    for (op, path) in [(OpCode::Exists, &b"/guarded"[..]), (OpCode::GetAcl, b"/guarded"), (OpCode::GetData, b"/large")]
    {
        let count = if op == OpCode::GetData { 8 } else { 300 };
        server.turn();
        for client in &mut clients {
            let mut bytes = vec![];
            (1..=count).for_each(|xid| {
                let body = if op == OpCode::GetAcl { path_alone(path) } else { path_and(path, false) };
                client.frame(&mut bytes, xid, op, &body);
            });
            server.shard.received(client.conn, &bytes);
        }
        let mut turns = 0;
        while clients.iter().any(|client| !client.asked.is_empty()) {
            neighbour.ask(&mut server, -2, OpCode::Ping, &[]);
            assert_eq!(neighbour.take(&mut server).len(), 1, "in the turn in which it asks");
            for client in &mut clients {
                assert!(client.take(&mut server).iter().all(|frame| frame.2 == 0));
            }
            turn(&mut server, &format!("{op:?}"));
            turns += 1;
            assert!(turns < 10_000);
        }
        assert!(turns > 3, "{op:?}: {turns} turns");
    }
}

/// When the request came, there was nothing to list or to count.
#[test]
fn listings_behind_a_write_wait_for_their_turn_as_all_do() {
    let mut server = Server::new(64 << 20);
    plant(&mut server, 10);
    // Each read ends in its first step, and together they are many turns' work; few of them are long.
    let (count, reads) = (1000, 600);
    let mut client = Client::new(&mut server);
    let mut bytes = vec![];
    client.frame(&mut bytes, 1, OpCode::Create, &create(b"/grows", b"", 0));
    client.frame(&mut bytes, 1, OpCode::Multi, &multi(&children("/grows", count).concat()));
    for n in 0..reads {
        match n % 4 {
            0 => client.frame(&mut bytes, 10 + n, OpCode::GetChildren, &path_and(b"/grows", false)),
            _ => client.frame(&mut bytes, 10 + n, OpCode::GetAllChildrenNumber, &path_alone(b"/grows")),
        }
    }
    server.shard.received(client.conn, &bytes);
    let (mut frames, mut turns) = (vec![], 0);
    while !client.asked.is_empty() {
        turn(&mut server, "listings behind a write");
        frames.extend(client.take(&mut server));
        turns += 1;
        assert!(turns < 10_000);
    }
    let read: Vec<_> = frames.iter().filter(|frame| frame.0 >= 10).collect();
    assert_eq!(read.len(), reads as usize);
    for frame in read {
        assert_eq!(frame.2, 0);
        let mut body = Reader::new(&frame.3);
        match frame.0 % 4 {
            2 => assert_eq!(names(&mut body).len(), count),
            _ => assert_eq!(body.int(), Ok(count as i32)),
        }
    }
    let least = Cost::ZNODE * count * reads as usize;
    assert!(turns >= least.over(most()), "{turns} turns");
}

/// The read can be answered in one state only, which is no longer available in a later turn.
#[test]
fn a_read_between_two_writes_that_turns_out_endless_is_refused() {
    let mut server = Server::new(16 << 20);
    let count = 5 * SLICE;
    let mut client = Client::new(&mut server);
    let mut bytes = vec![];
    client.frame(&mut bytes, 1, OpCode::Create, &create(b"/grows", b"", 0));
    client.frame(&mut bytes, 2, OpCode::GetChildren, &path_and(b"/grows", true));
    for ops in children("/grows", count) {
        client.frame(&mut bytes, 3, OpCode::Multi, &multi(&ops));
    }
    client.frame(&mut bytes, 4, OpCode::GetChildren, &path_and(b"/grows", true));
    client.frame(&mut bytes, 5, OpCode::Create, &create(b"/grows/last", b"", 0));
    server.turn();
    server.shard.received(client.conn, &bytes);
    turn(&mut server, "a read between writes");
    server.settle();
    let told: Vec<_> =
        client.take(&mut server).iter().filter(|frame| frame.0 != 3).map(|frame| (frame.0, frame.2)).collect();
    assert_eq!(told, [(1, 0), (2, 0), (4, -127), (5, 0)]);
    assert_eq!(server.stats.shards[0].watches.value(), 0, "the first has fired, the second is not set");
}

#[test]
fn so_many_reads_stand_between_writes_and_the_others_wait() {
    let mut server = Server::new(16 << 20);
    plant(&mut server, 1000);
    let mut clients: Vec<Client> = (0..20).map(|_| Client::new(&mut server)).collect();
    let mut bytes: Vec<Vec<u8>> = vec![vec![]; clients.len()];
    for (n, client) in clients.iter_mut().enumerate() {
        for round in 0..10 {
            client.frame(&mut bytes[n], 4 * round, OpCode::SetData, &set_data(b"/wide"));
            client.frame(&mut bytes[n], 4 * round + 1, OpCode::GetChildren, &path_and(b"/wide", false));
            client.frame(&mut bytes[n], 4 * round + 2, OpCode::GetData, &path_and(b"/large", false));
            client.frame(&mut bytes[n], 4 * round + 3, OpCode::Exists, &path_and(b"/guarded", false));
        }
    }
    server.turn();
    for turns in 0.. {
        for (client, bytes) in clients.iter().zip(&mut bytes) {
            client.send(&mut server, bytes);
        }
        turn(&mut server, "reads between writes");
        for client in &mut clients {
            assert!(client.take(&mut server).iter().all(|frame| frame.2 == 0), "what was foreseen is not refused");
        }
        if clients.iter().all(|client| client.asked.is_empty()) {
            break;
        }
        assert!(turns < 10_000);
    }
}

/// A step along a chain of versions has the same cost for every reader.
#[test]
fn versions_that_nobody_sees_yet_are_charged_to_whoever_passes_them() {
    let mut server = Server::new(16 << 20);
    plant(&mut server, 10);
    let writer = Client::new(&mut server);
    let reader = Client::new(&mut server);
    for _ in 0..VERSIONS_AHEAD {
        server.request(writer.conn, 1, OpCode::SetData, &set_data(b"/wide"));
    }
    assert!(server.prepare(), "the disk does nothing yet");
    server.at(server.now_ms);
    let before = server.shard.spent();
    server.request(reader.conn, 1, OpCode::Exists, &path_and(b"/wide", false));
    assert!(server.shard.spent() >= before + Cost::VERSION * (VERSIONS_AHEAD - 1));
}

#[test]
fn children_that_nobody_sees_yet_are_passed_over_in_slices() {
    let mut server = Server::new(16 << 20);
    plant(&mut server, 10);
    let writer = Client::new(&mut server);
    let mut reader = Client::new(&mut server);
    // A child that exists: a znode without children is not searched.
    server.request(writer.conn, 1, OpCode::Create, &create(b"/large/seen", b"", 0));
    server.settle();
    for ops in children("/large", 5 * SLICE) {
        server.request(writer.conn, 1, OpCode::Multi, &multi(&ops));
    }
    assert!(server.prepare(), "the disk does nothing yet");
    server.at(server.now_ms);
    while !server.quorum.may_sleep() {
        server.prepare();
        server.at(server.now_ms);
    }
    reader.ask(&mut server, 1, OpCode::GetChildren, &path_and(b"/large", false));
    let mut turns = 0;
    while !reader.asked.is_empty() {
        assert!(server.shard.spent() < SLICE_COST * 2, "{:?}", server.shard.spent());
        server.at(server.now_ms);
        server.shard.end_turn();
        let told = reader.take(&mut server);
        assert!(told.iter().all(|frame| names(&mut Reader::new(&frame.3)).into_iter().eq([b"seen".to_vec()])));
        turns += 1;
        assert!(turns < 100);
    }
    assert!(turns > 2, "{turns} turns");
}

/// The property: any reads, of any number of clients, in pipelines, among writes.
#[test]
fn no_turn_costs_more_than_it_may() {
    for seed in 1..=6 {
        let mut random = Rng::with_seed(seed);
        let mut pick = |below: usize| random.usize(..below);
        let mut server = Server::new(64 << 20);
        plant(&mut server, 2 * SLICE);
        let mut clients: Vec<Client> = (0..12).map(|_| Client::new(&mut server)).collect();
        clients[0].must(&mut server, OpCode::Create, &create_guarded(b"/dear", ACL_ENTRIES));
        clients.iter_mut().for_each(|client| introduce(&mut server, client));
        let mut bytes: Vec<Vec<u8>> = vec![vec![]; clients.len()];
        server.turn();
        let mut total = 0;
        for (n, client) in clients.iter_mut().enumerate() {
            for xid in 0..80 {
                let path: &[u8] = [&b"/guarded"[..], b"/wide", b"/large", b"/wide/n7", b"/none"][pick(5)];
                let watch = pick(4) == 0;
                // A third of them send requests with the highest cost that are answered at once: only the turn's budget
                // stops them.
                let (op, body) = match if n % 3 == 0 { 13 } else { pick(13) } {
                    13.. if pick(3) == 0 => (OpCode::GetAcl, path_alone(b"/dear")),
                    13.. => (OpCode::Exists, path_and(b"/dear", watch)),
                    0 => (OpCode::Exists, path_and(path, watch)),
                    1 => (OpCode::GetData, path_and(path, watch)),
                    2 => (OpCode::GetAcl, path_alone(path)),
                    3 => (OpCode::GetChildren, path_and(path, watch)),
                    4 => (OpCode::GetChildren2, path_and(path, watch)),
                    5 => (OpCode::GetAllChildrenNumber, path_alone(path)),
                    6 => (OpCode::GetEphemerals, path_alone(path)),
                    7 => {
                        let ops: Vec<_> = (0..pick(100))
                            .map(|_| match pick(8) {
                                0 => (OpCode::GetChildren, path_and(path, false)),
                                _ => (OpCode::GetData, path_and(b"/guarded", false)),
                            })
                            .collect();
                        (OpCode::MultiRead, multi(&ops))
                    }
                    8 => {
                        let mut body = vec![];
                        put_long(&mut body, 0);
                        for _ in 0..3 {
                            let count = pick(500);
                            put_int(&mut body, count as i32);
                            (0..count).for_each(|n| put_bytes(&mut body, format!("/wide/n{n}").as_bytes()));
                        }
                        (OpCode::SetWatches, body)
                    }
                    9 => (OpCode::WhoAmI, vec![]),
                    10 => (OpCode::Create, create(format!("/wide/c{n}x{xid}").as_bytes(), b"x", 0)),
                    11 => (OpCode::Multi, multi(&children(&format!("/wide/n{n}"), pick(300)).concat())),
                    _ => (OpCode::SetData, set_data(path)),
                };
                client.frame(&mut bytes[n], xid, op, &body);
                total += 1;
            }
        }
        let (mut answered, mut dearest) = (0, Cost::NONE);
        for turns in 0.. {
            for (client, bytes) in clients.iter().zip(&mut bytes) {
                client.send(&mut server, bytes);
            }
            turn(&mut server, &format!("seed {seed}"));
            dearest = dearest.max(server.shard.spent());
            for client in &mut clients {
                answered += client.take(&mut server).len();
            }
            if answered == total {
                break;
            }
            assert!(turns < 20_000, "seed {seed}: {answered} of {total}");
        }
        assert!(dearest >= HEAVY_COST, "seed {seed}: what is asked for is dear, {dearest:?}");
    }
}

/// The client chooses the paths; of an unreadable znode `exists` says only that it exists and that access is denied.
#[test]
fn a_set_watches_tells_nothing_of_what_exists_would_deny() {
    let mut server = Server::new(1 << 20);
    let (owner, _) = server.connect(SessionId::NONE, 1000);
    server.request(owner, -4, OpCode::Auth, &auth());
    server.request(owner, 1, OpCode::Create, &create_of_ones_own(b"/secret"));
    server.request(owner, 2, OpCode::Create, &create(b"/secret/child", b"", 0));
    server.request(owner, 3, OpCode::SetData, &set_data(b"/secret"));
    server.settle();
    server.frames(owner);
    let set_watches = |seen: i64, list: usize| {
        let mut body = vec![];
        put_long(&mut body, seen);
        for at in 0..3 {
            put_int(&mut body, i32::from(at == list));
            if at == list {
                put_bytes(&mut body, b"/secret");
            }
        }
        body
    };
    for list in 0..3 {
        for seen in [0, i64::MAX] {
            let (stranger, _) = server.connect(SessionId::NONE, 1000);
            server.request(stranger, -8, OpCode::SetWatches, &set_watches(seen, list));
            let told: Vec<_> = server.frames(stranger).iter().map(|frame| (frame.0, frame.2)).collect();
            assert_eq!(told, [(-8, 0)], "list {list}, seen {seen}");
        }
        server.request(owner, -8, OpCode::SetWatches, &set_watches(0, list));
        assert_eq!(
            server.frames(owner).iter().map(|frame| frame.0).collect::<Vec<_>>(),
            [-1, -8],
            "who may read is told"
        );
    }
}

/// Requests that are answered at once, or not at all, cost work like all others.
#[test]
fn who_asks_for_much_is_known_by_whatever_it_asks() {
    for op in [OpCode::Sasl, OpCode::Auth] {
        let mut server = Server::new(64 << 20);
        let (conn, _) = server.connect(SessionId::NONE, 2000);
        server.turn();
        let body = match op {
            // An identity that is known already, after many reads.
            OpCode::Auth => auth(),
            _ => vec![0; 60_000],
        };
        let each = Cost::REQUEST + Cost::bytes(8 + body.len());
        for n in 0..TURN_COST.over(each) as i32 {
            server.request(conn, n, op, &body);
        }
        let spent = server.shard.spent();
        assert!(spent < HEAVY_COST + each * 2, "{op:?}: {spent:?}, the rest of a turn is the others'");
        assert!(spent >= HEAVY_COST, "{op:?}: {spent:?}");
    }
}

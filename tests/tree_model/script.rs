//! Random requests: what they are, how they look on the wire, and how their replies read.

use corral::acl::{Identities, Identity};
use corral::jute::wire::{Reader, put_bool, put_buffer, put_bytes, put_int, put_long};
use corral::jute::{AclEntry, OpCode, Stat};
use fastrand::Rng;
use std::net::{IpAddr, Ipv4Addr};

/// Entries of an ACL: permissions, scheme, id.
pub type Acl = Vec<(i32, String, String)>;

#[derive(Clone, Debug)]
pub enum Op {
    Create { op: OpCode, path: Vec<u8>, data: Option<Vec<u8>>, acl: Option<Acl>, flags: i32, ttl: i64 },
    Delete { path: Vec<u8>, version: i32 },
    SetData { path: Vec<u8>, data: Option<Vec<u8>>, version: i32 },
    SetAcl { path: Vec<u8>, acl: Option<Acl>, version: i32 },
    Check { path: Vec<u8>, version: i32 },
    DeleteContainer { path: Vec<u8> },
    Multi(Vec<Op>),
    OpenSession,
    CloseSession,
}

/// The callers: nobody in particular, one with a password, one above all ACLs.
pub fn callers() -> [Identities; 3] {
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let mut bob = Identities::of(address);
    bob.add(Identity::new(b"digest", BOB.as_bytes()));
    let mut root = Identities::of(address);
    root.add(Identity::new(b"super", b""));
    [Identities::of(address), bob, root]
}

pub const BOB: &str = "bob:hash";

pub fn open() -> Acl {
    vec![(31, "world".into(), "anyone".into())]
}

fn acl(random: &mut Rng) -> Option<Acl> {
    let entry = |perms: i32, scheme: &str, id: &str| (perms, scheme.to_string(), id.to_string());
    match random.u64(..20) {
        0 => None,
        1 => Some(vec![]),
        2 => Some(vec![entry(31, "world", "somebody")]),
        3 => Some(vec![entry(31, "nosuch", "x")]),
        4 => Some(vec![entry(31, "digest", "nocolon")]),
        5 => Some(vec![entry(31, "digest", BOB)]),
        6 => Some(vec![entry(1, "world", "anyone"), entry(31, "digest", BOB), entry(1, "world", "anyone")]),
        7 => Some(vec![entry(31, "auth", ""), entry(5, "world", "anyone")]),
        8 => Some(vec![entry(1 << random.u64(..5), "world", "anyone")]),
        _ => Some(open()),
    }
}

/// A path: odd, or of a znode that is there, or below one, or whatever. `known` are those that are there.
fn path(random: &mut Rng, known: &[Vec<u8>]) -> Vec<u8> {
    let odd: [&[u8]; 24] = [
        b"/",
        b"",
        b"a",
        b"/a/",
        b"//",
        b"//a",
        b"/a//b",
        b"/a/../b",
        b"/a/.",
        b"/a\0b",
        b"/a/\x01",
        b"/a/\xff",
        "/a/é".as_bytes(),
        b"/zookeeper",
        b"/zookeeper/quota",
        b"/zookeeper/config",
        b"/zookeeper/quota/a",
        b"/zookeeper/quota/b",
        b"/zookeeper/quota/a/zookeeper_limits",
        b"/zookeeper/quota/a/zookeeper_stats",
        b"/zookeeper/quota/b/zookeeper_limits",
        b"/zookeeper/quota/b/zookeeper_stats",
        b"/a/",
        b"/a/b/",
    ];
    let mut path = match random.u64(..12) {
        0 => return random.choice(&odd).unwrap().to_vec(),
        1..5 => return random.choice(known).unwrap().clone(),
        5..9 => {
            let parent = random.choice(known).unwrap();
            return [parent, &b"/"[..], &[*random.choice(b"abcd").unwrap()]].concat();
        }
        _ => vec![],
    };
    for _ in 0..1 + random.u64(..3) {
        path.push(b'/');
        path.push(*random.choice(b"abcd").unwrap());
    }
    path
}

fn data(random: &mut Rng) -> Option<Vec<u8>> {
    match random.u64(..8) {
        0 => None,
        1 => Some(vec![]),
        2 => Some(b"count=3,bytes=20=;countHardLimit=4;byteHardLimit=30".to_vec()),
        n => Some(vec![b'x'; n as usize]),
    }
}

fn version(random: &mut Rng) -> i32 {
    if random.bool() { -1 } else { random.i32(0..3) }
}

fn create(random: &mut Rng, known: &[Vec<u8>]) -> Op {
    let (op, flags) = random
        .choice([
            (OpCode::Create, 0),
            (OpCode::Create, 1),
            (OpCode::Create, 2),
            (OpCode::Create2, 0),
            (OpCode::Create2, 3),
            (OpCode::CreateContainer, 4),
            (OpCode::CreateTtl, 5),
            (OpCode::CreateTtl, 6),
        ])
        .unwrap();
    // Now and then flags that do not belong to the operation.
    let flags = if random.u8(..10) == 0 { random.i32(0..9) - 1 } else { flags };
    let ttl = random.choice([100, 1_000_000, 0, -1, 0xff_ffff_ffff, 0x100_0000_0000]).unwrap();
    Op::Create { op, path: path(random, known), data: data(random), acl: acl(random), flags, ttl }
}

/// Sets up a quota on `/a`, with hard limits that are soon reached.
pub fn quota() -> Vec<Op> {
    let create = |path: &str, data: &str| Op::Create {
        op: OpCode::Create,
        path: path.into(),
        data: Some(data.into()),
        acl: Some(open()),
        flags: 0,
        ttl: 0,
    };
    vec![
        create("/a", "12"),
        create("/zookeeper/quota/a", ""),
        create("/zookeeper/quota/a/zookeeper_limits", "count=3,bytes=20=;countHardLimit=4;byteHardLimit=12"),
        create("/zookeeper/quota/a/zookeeper_stats", "count=0,bytes=0"),
    ]
}

/// One that may stand in a multi.
fn member(random: &mut Rng, known: &[Vec<u8>]) -> Op {
    match random.u64(..8) {
        0..4 => {
            let mut op = create(random, known);
            if let Op::Create { op, flags, acl, .. } = &mut op {
                // What else a multi does not decode with: other flags, and of the creates without a time to live
                // such flags as ask for one, or no ACL at all.
                *flags = (*flags).clamp(0, 6);
                if *op != OpCode::CreateTtl {
                    *flags = (*flags).min(4);
                    acl.get_or_insert_default();
                }
            }
            op
        }
        4 => Op::Delete { path: path(random, known), version: version(random) },
        5 | 6 => Op::SetData { path: path(random, known), data: data(random), version: version(random) },
        _ => Op::Check { path: path(random, known), version: version(random) },
    }
}

pub fn op(random: &mut Rng, known: &[Vec<u8>]) -> Op {
    match random.u64(..80) {
        0..36 => create(random, known),
        36..47 => Op::Delete { path: path(random, known), version: version(random) },
        47..58 => Op::SetData { path: path(random, known), data: data(random), version: version(random) },
        58..64 => Op::SetAcl { path: path(random, known), acl: acl(random), version: version(random) },
        64..75 => Op::Multi((0..random.u64(..5)).map(|_| member(random, known)).collect()),
        75 | 76 => Op::DeleteContainer { path: path(random, known) },
        77 | 78 => Op::OpenSession,
        _ => Op::CloseSession,
    }
}

impl Op {
    pub fn code(&self) -> OpCode {
        match self {
            Op::Create { op, .. } => *op,
            Op::Delete { .. } => OpCode::Delete,
            Op::SetData { .. } => OpCode::SetData,
            Op::SetAcl { .. } => OpCode::SetAcl,
            Op::Check { .. } => OpCode::Check,
            Op::DeleteContainer { .. } => OpCode::DeleteContainer,
            Op::Multi(_) => OpCode::Multi,
            Op::OpenSession => OpCode::CreateSession,
            Op::CloseSession => OpCode::CloseSession,
        }
    }

    /// The request's body as a client would send it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Op::Create { op, path, data, acl, flags, ttl } => {
                put_bytes(out, path);
                put_buffer(out, data.as_deref());
                put_acl(out, acl.as_ref());
                put_int(out, *flags);
                if *op == OpCode::CreateTtl {
                    put_long(out, *ttl);
                }
            }
            Op::Delete { path, version } | Op::Check { path, version } => {
                put_bytes(out, path);
                put_int(out, *version);
            }
            Op::SetData { path, data, version } => {
                put_bytes(out, path);
                put_buffer(out, data.as_deref());
                put_int(out, *version);
            }
            Op::SetAcl { path, acl, version } => {
                put_bytes(out, path);
                put_acl(out, acl.as_ref());
                put_int(out, *version);
            }
            Op::DeleteContainer { path } => put_bytes(out, path),
            Op::Multi(ops) => {
                for op in ops {
                    put_multi_header(out, op.code().wire(), false);
                    op.encode(out);
                }
                put_multi_header(out, -1, true);
            }
            Op::OpenSession | Op::CloseSession => {}
        }
    }
}

fn put_multi_header(out: &mut Vec<u8>, op: i32, done: bool) {
    put_int(out, op);
    put_bool(out, done);
    put_int(out, -1);
}

pub fn put_acl(out: &mut Vec<u8>, acl: Option<&Acl>) {
    let Some(acl) = acl else { return put_int(out, -1) };
    put_int(out, acl.len() as i32);
    for (perms, scheme, id) in acl {
        AclEntry { perms: *perms, scheme: scheme.as_bytes(), id: id.as_bytes() }.put(out);
    }
}

/// What a client learns.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    Error(i32),
    /// Of the multi's results: the operation it says it is, and what it answers.
    Results(Vec<(i32, Answer)>),
    Created {
        path: Vec<u8>,
        stat: Option<Stat>,
    },
    Stat(Stat),
    Nothing,
}

/// Reads a reply frame to a request of that operation; checks xid, zxid and that nothing is left over.
pub fn decode_reply(op: OpCode, frame: &[u8], xid: i32, zxid: i64) -> Answer {
    let mut reader = Reader::new(frame);
    assert_eq!(reader.int().unwrap() as usize, frame.len() - 4, "the frame's length");
    assert_eq!(reader.int().unwrap(), xid);
    assert_eq!(reader.long().unwrap(), zxid);
    let error = reader.int().unwrap();
    let answer = match op {
        _ if error != 0 => Answer::Error(error),
        OpCode::Multi => {
            let mut results = vec![];
            loop {
                let op = reader.int().unwrap();
                let done = reader.bool().unwrap();
                let error = reader.int().unwrap();
                if done {
                    assert_eq!((op, error), (-1, -1));
                    break;
                }
                if op == -1 {
                    assert_eq!(reader.int().unwrap(), error);
                    results.push((op, Answer::Error(error)));
                } else {
                    assert_eq!(error, 0);
                    results.push((op, decode_body(OpCode::from_wire(op).unwrap(), &mut reader)));
                }
            }
            Answer::Results(results)
        }
        op => decode_body(op, &mut reader),
    };
    assert!(reader.rest().is_empty(), "bytes left over");
    answer
}

fn decode_body(op: OpCode, reader: &mut Reader<'_>) -> Answer {
    match op {
        OpCode::Create => Answer::Created { path: reader.string().unwrap().to_vec(), stat: None },
        OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => {
            Answer::Created { path: reader.string().unwrap().to_vec(), stat: Some(Stat::read(reader).unwrap()) }
        }
        OpCode::SetData | OpCode::SetAcl => Answer::Stat(Stat::read(reader).unwrap()),
        _ => Answer::Nothing,
    }
}

//! What somebody with a socket may say where a server takes learners: an introduction as one of the members, with a promise
//! that no course of things leads to, or bytes that are nothing. And what a client may send that means no good: none of it
//! makes a transaction but that of its session.

use super::bodies::{create, path_and};
use crate::jute::OpCode;
use crate::jute::quorum::{LearnerInfo, PROTOCOL_EPOCHS, Packet, PacketType};
use crate::zab::epochs::{MAX_EPOCH, first_zxid};

/// The introduction of a member that has promised this epoch.
pub fn introduction(kind: PacketType, server: i64, accepted: i64) -> Vec<u8> {
    let (mut info, mut bytes) = (vec![], vec![]);
    LearnerInfo { server, protocol: PROTOCOL_EPOCHS, config_version: 0 }.put(&mut info);
    Packet { data: Some(&info), ..Packet::bare(kind, first_zxid(accepted)) }.put(&mut bytes);
    bytes
}

/// One of many, in an ensemble of so many.
pub fn draw(what: u64, servers: usize) -> Vec<u8> {
    let kind = [PacketType::FollowerInfo, PacketType::ObserverInfo][(what / 8 % 2) as usize];
    let server = 1 + (what / 16) as i64 % servers as i64;
    match what % 8 {
        0..3 => introduction(kind, server, MAX_EPOCH - 1),
        3..5 => introduction(kind, server, 1 << (21 + what / 64 % 9)),
        5 => introduction(PacketType::ObserverInfo, server, 2 + what as i64 / 64 % 50),
        6 => what.to_be_bytes().repeat(1 + (what / 64 % 40) as usize),
        _ => {
            let mut bytes = introduction(kind, server, 0);
            bytes.truncate((what / 64) as usize % bytes.len());
            bytes
        }
    }
}

/// What a client sends without a session, or, where that is nothing, the frames it sends behind its session's.
pub fn nuisance(what: u64) -> (Vec<u8>, Vec<Vec<u8>>) {
    let (kind, what) = (what % 6, what / 6);
    let some = |most: u64| 1 + (what % most) as usize;
    let frame = |xid: usize, op: i32, body: &[u8]| [&(xid as i32).to_be_bytes()[..], &op.to_be_bytes(), body].concat();
    match kind {
        0 => (what.to_be_bytes().repeat(some(64)), vec![]),
        1 => ((i32::MAX - (what % 9) as i32).to_be_bytes().to_vec(), vec![]),
        // Bodies that end too early, or have lengths below nothing.
        2 => {
            let mut body = create(b"/nuisance", b"", 0);
            body.truncate((what % 9) as usize);
            (vec![], (0..some(30)).map(|xid| frame(xid, OpCode::Create.wire(), &body)).collect())
        }
        3 => (vec![], (0..some(40)).map(|xid| frame(xid, what as i32 >> 3, &[0xff; 12])).collect()),
        // Reads without end, which nobody takes.
        4 => {
            let body = path_and(b"/", true);
            (vec![], (0..some(400)).map(|xid| frame(xid, OpCode::GetChildren.wire(), &body)).collect())
        }
        _ => {
            let body = path_and(b"/nuisance", true);
            (vec![], (0..some(400)).map(|xid| frame(xid, OpCode::Exists.wire(), &body)).collect())
        }
    }
}

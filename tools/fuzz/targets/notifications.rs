//! Whatever comes in at the election port: messages decode or do not, and a member goes on looking, or leading.

#![no_main]

use arbitrary::Arbitrary;
use corral::jute::election::{InitialMessage, Notification, frame, put_initial};
use corral::jute::wire::{put_bytes, put_int, put_long};
use corral::server::quorum::{Effect, Input, PeerInput};
use corral::sim::disk::SimDisk;
use corral::zab::links::LinkId;
use corral_fuzz::{elapse, member, settle_member};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
enum Part {
    Connect { server: i8, initial: Vec<u8>, is_honest: bool },
    Vote { state: i8, leader: i8, zxid: i64, round: i16, epoch: i64, version: u8, config: Option<Vec<u8>> },
    Bytes(Vec<u8>),
    Wait(u8),
    Gone,
}

fuzz_target!(|parts: Vec<Part>| {
    let disk = SimDisk::new();
    let three = "server.1=10.0.0.1:2888:3888:participant\nserver.2=10.0.0.2:2888:3888:participant\n\
                 server.3=10.0.0.3:2888:3888:participant\nversion=0";
    let mut server = member(&disk, three);
    elapse(&mut server, 2);
    let before = server.epochs();
    let mut link = LinkId(1_000);
    for part in parts.iter().take(40) {
        let mut bytes = vec![];
        match part {
            Part::Connect { server: id, initial, is_honest } => {
                link = LinkId(link.0 + 1);
                let mut said = initial[..initial.len().min(500)].to_vec();
                if *is_honest {
                    said.clear();
                    put_initial(&mut said, i64::from(*id), &[("10.0.0.2", 3888)], false);
                }
                if let Ok(Some((initial, length))) = InitialMessage::decode(&said) {
                    assert!(length <= said.len());
                    server.quorum.step(Input::Peer(PeerInput::Accepted { link, initial }));
                }
            }
            Part::Vote { state, leader, zxid, round, epoch, version, config } => {
                let mut vote = vec![];
                put_int(&mut vote, i32::from(*state));
                put_long(&mut vote, i64::from(*leader));
                put_long(&mut vote, *zxid);
                put_long(&mut vote, i64::from(*round));
                put_long(&mut vote, *epoch);
                put_int(&mut vote, i32::from(*version));
                if let Some(config) = config {
                    put_bytes(&mut vote, &config[..config.len().min(1000)]);
                }
                if let Ok(notification) = Notification::decode(&vote) {
                    let again = notification.encode();
                    let decoded = Notification::decode(&again).expect("what is encoded decodes");
                    assert_eq!((decoded.leader, decoded.zxid), (notification.leader, notification.zxid));
                }
                put_bytes(&mut bytes, &vote);
            }
            Part::Bytes(any) => bytes.extend_from_slice(&any[..any.len().min(2000)]),
            Part::Wait(half_ticks) => elapse(&mut server, usize::from(half_ticks % 32)),
            Part::Gone => server.quorum.step(Input::Peer(PeerInput::Closed { link })),
        }
        if !bytes.is_empty() {
            if let Ok(Some((_, length))) = frame(&bytes) {
                assert!(length <= bytes.len());
            }
            server.quorum.step(Input::Peer(PeerInput::Received { link, bytes: &bytes }));
        }
        for effect in server.take_effects() {
            if let Effect::Fail(fatal) = effect {
                panic!("a notification ends the process: {fatal}");
            }
        }
        settle_member(&mut server);
    }
    let after = server.epochs();
    assert!(after.accepted >= before.accepted && after.current >= before.current);
    assert!(after.accepted <= before.accepted + 1_000, "votes alone make no epoch: {after:?}");
});

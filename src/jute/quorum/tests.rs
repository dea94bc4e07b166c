//! Packets laid out by hand, and bytes that are none.

use super::*;

fn encode(packet: Packet<'_>) -> Vec<u8> {
    let mut out = vec![];
    packet.put(&mut out);
    out
}

/// Laid out by hand: the introduction of follower 3, which has accepted epoch 1.
#[test]
fn golden_follower_info() {
    let mut data = vec![];
    LearnerInfo { server: 3, protocol: PROTOCOL_EPOCHS, config_version: 0x1_0000_0000 }.put(&mut data);
    let bytes = encode(Packet { data: Some(&data), ..Packet::bare(PacketType::FollowerInfo, Zxid(0x1_0000_0000)) });
    let expected = [
        &[0, 0, 0, 11][..],
        &[0, 0, 0, 1, 0, 0, 0, 0],
        &[0, 0, 0, 20],
        &[0, 0, 0, 0, 0, 0, 0, 3],
        &[0, 1, 0, 0],
        &[0, 0, 0, 1, 0, 0, 0, 0],
        &[0xff, 0xff, 0xff, 0xff],
    ]
    .concat();
    assert_eq!(bytes, expected);
    let (packet, length) = Packet::decode(&bytes, 1024).unwrap().unwrap();
    assert_eq!(length, bytes.len());
    let info = LearnerInfo::decode(packet.data.unwrap()).unwrap();
    assert_eq!((info.server, info.protocol, info.config_version), (3, 0x10000, 0x1_0000_0000));
}

/// Laid out by hand: a getData forwarded with one identity.
#[test]
fn golden_request() {
    let mut auth = vec![];
    put_identity(&mut auth, b"ip", b"127.0.0.1");
    let mut data = vec![];
    ForwardedRequest { session: SessionId(0x100), cxid: 7, op: 5, body: b"body" }.put(&mut data);
    let bytes = encode(Packet {
        kind: PacketType::Request,
        zxid: Zxid(-1),
        data: Some(&data),
        auth: Some(Identities::parse(1, &auth).unwrap()),
    });
    let expected = [
        &[0, 0, 0, 1][..],
        &[0xff; 8],
        &[0, 0, 0, 20],
        &[0, 0, 0, 0, 0, 0, 1, 0],
        &[0, 0, 0, 7],
        &[0, 0, 0, 5],
        b"body",
        &[0, 0, 0, 1],
        &[0, 0, 0, 2],
        b"ip",
        &[0, 0, 0, 9],
        b"127.0.0.1",
    ]
    .concat();
    assert_eq!(bytes, expected);
    let (packet, _) = Packet::decode(&bytes, 1024).unwrap().unwrap();
    let request = ForwardedRequest::decode(packet.data.unwrap()).unwrap();
    assert_eq!((request.session, request.cxid, request.op, request.body), (SessionId(0x100), 7, 5, &b"body"[..]));
    assert_eq!(packet.auth.unwrap().iter().next(), Some((&b"ip"[..], &b"127.0.0.1"[..])));
}

/// Laid out by hand: packets without data or identities.
#[test]
fn golden_bare_packets() {
    for (kind, number) in [
        (PacketType::Ack, 3),
        (PacketType::Commit, 4),
        (PacketType::Sync, 7),
        (PacketType::UpToDate, 12),
        (PacketType::Diff, 13),
        (PacketType::Trunc, 14),
        (PacketType::Snap, 15),
    ] {
        let expected = [&[0, 0, 0, number][..], &[0, 0, 0, 2, 0, 0, 0, 9], &[0xff; 4], &[0xff; 4]].concat();
        assert_eq!(encode(Packet::bare(kind, Zxid(0x2_0000_0009))), expected, "{}", kind.name());
    }
}

#[test]
fn every_number_comes_back() {
    for number in -2..25 {
        assert_eq!(PacketType::from_wire(number).wire(), number);
    }
    assert_eq!(PacketType::from_wire(19), PacketType::InformAndActivate);
    assert_eq!(PacketType::from_wire(0), PacketType::Other(0));
    assert_eq!(PacketType::from_wire(i32::MIN), PacketType::Other(i32::MIN));
}

#[test]
fn every_prefix_asks_for_more() {
    let mut auth = vec![];
    put_identity(&mut auth, b"digest", b"me");
    let mut bytes = encode(Packet {
        kind: PacketType::Request,
        zxid: Zxid(-1),
        data: Some(b"0123456789abcdef"),
        auth: Some(Identities::parse(1, &auth).unwrap()),
    });
    for end in 0..bytes.len() {
        assert_eq!(Packet::decode(&bytes[..end], 16), Ok(None), "{end}");
    }
    let length = bytes.len();
    bytes.extend(encode(Packet::bare(PacketType::Ping, Zxid(1))));
    assert_eq!(Packet::decode(&bytes, 16).unwrap().unwrap().1, length);
}

#[test]
fn lengths_are_refused_before_their_bytes_come() {
    let head = [&[0, 0, 0, 2][..], &[0; 8]].concat();
    let with = |tail: &[u8]| [&head[..], tail].concat();
    assert_eq!(Packet::decode(&with(&[0, 0, 0, 17]), 16), Err(PacketError::TooLong { length: 17, limit: 16 }));
    assert_eq!(Packet::decode(&with(&[0x80, 0, 0, 0]), 16), Err(PacketError::Invalid));
    let null = [0xff, 0xff, 0xff, 0xff];
    let with_auth = |tail: &[u8]| [&head[..], &null, tail].concat();
    assert!(matches!(Packet::decode(&with_auth(&[0x7f, 0, 0, 0]), 16), Err(PacketError::TooLong { .. })));
    assert_eq!(Packet::decode(&with_auth(&[0xff, 0, 0, 0]), 16), Err(PacketError::Invalid));
    assert!(matches!(Packet::decode(&with_auth(&[0, 0, 0, 1, 0x7f, 0, 0, 0]), 16), Err(PacketError::TooLong { .. })));
}

#[test]
fn introductions_of_every_length() {
    let mut data = vec![];
    LearnerInfo { server: 5, protocol: PROTOCOL_CORRAL, config_version: 9 }.put(&mut data);
    assert_eq!(LearnerInfo::decode(&data).unwrap().config_version, 9);
    assert_eq!(LearnerInfo::decode(&data[..12]).unwrap().protocol, PROTOCOL_CORRAL);
    assert_eq!(LearnerInfo::decode(&data[..8]), Ok(LearnerInfo { server: 5, protocol: 1, config_version: 0 }));
    assert!(LearnerInfo::decode(&data[..7]).is_err());
}

#[test]
fn small_records_survive() {
    let mut out = vec![];
    put_touch(&mut out, (SessionId(1), 4000));
    put_touch(&mut out, (SessionId(2), 5000));
    assert_eq!(touches(&out).unwrap().collect::<Vec<_>>(), [(SessionId(1), 4000), (SessionId(2), 5000)]);
    assert!(touches(&out[..13]).is_err());
    assert_eq!(touches(&[]).unwrap().count(), 0);
    let mut out = vec![];
    put_revalidate_answer(&mut out, SessionId(9), true);
    assert_eq!(out, [0, 0, 0, 0, 0, 0, 0, 9, 1]);
    assert_eq!(revalidate_answer(&out), Ok((SessionId(9), true)));
    assert_eq!(single_int(None), Err(DecodeError::Null));
    assert_eq!(designated(&[0, 0, 0, 0, 0, 0, 0, 2, 8]), Ok((2, &[8][..])));
    assert!(txn_head(&[0; 31]).is_err());
    assert_eq!(txn_head(&[0; 32]), Ok((Zxid(0), 0)));
}

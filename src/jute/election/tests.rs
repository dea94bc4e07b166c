use super::*;
use fastrand::Rng;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

#[test]
fn initial_message_with_one_address() {
    let bytes = hex("ffffffffffff0000 0000000000000003 0000000e 3132372e302e302e313a33383838");
    let mut out = vec![];
    put_initial(&mut out, 3, &[("127.0.0.1", 3888), ("h", 1)], false);
    assert_eq!(out, bytes);
    let (message, length) = InitialMessage::decode(&bytes).unwrap().unwrap();
    assert_eq!((message.server, message.addresses, length), (3, vec![("127.0.0.1", 3888)], bytes.len()));
    for end in 0..bytes.len() {
        assert_eq!(InitialMessage::decode(&bytes[..end]), Ok(None), "{end} bytes");
    }
    let more = [&bytes[..], &[0, 0, 0, 1]].concat();
    assert_eq!(InitialMessage::decode(&more).unwrap().unwrap().1, bytes.len(), "the next frame is left alone");
}

#[test]
fn initial_message_with_several_addresses() {
    // [::1]:1|a:2
    let bytes = hex("ffffffffffff0001 0000000000000002 0000000b 5b3a3a315d3a317c613a32");
    let mut out = vec![];
    put_initial(&mut out, 2, &[("::1", 1), ("a", 2)], true);
    assert_eq!(out, bytes);
    let (message, _) = InitialMessage::decode(&bytes).unwrap().unwrap();
    assert_eq!(message.addresses, [("::1", 1), ("a", 2)]);
}

#[test]
fn initial_message_of_before_addresses() {
    let bytes = hex("0000000000000005 00000024");
    let (message, length) = InitialMessage::decode(&bytes).unwrap().unwrap();
    assert_eq!((message.server, message.addresses, length), (5, vec![], 8));
    assert_eq!(InitialMessage::decode(&[0; 7]), Ok(None));
}

#[test]
fn wildcard_addresses_say_nothing() {
    let mut out = vec![];
    put_initial(&mut out, ANONYMOUS, &[("0.0.0.0", 3888), ("::", 3888), ("h", 3888)], true);
    let (message, _) = InitialMessage::decode(&out).unwrap().unwrap();
    assert_eq!((message.server, message.addresses), (ANONYMOUS, vec![("h", 3888)]));
}

#[test]
fn initial_messages_that_are_none() {
    let with = |address: &[u8], length: i32| {
        let mut out = vec![];
        put_long(&mut out, ONE_ADDRESS);
        put_long(&mut out, 1);
        put_int(&mut out, length);
        out.extend_from_slice(address);
        InitialMessage::decode(&out).map(|_| ())
    };
    for length in [0, -1, 2049, i32::MAX, i32::MIN] {
        assert_eq!(with(b"", length), Err(ElectionError::AddressLength(length)));
    }
    for text in [&b"host"[..], b":1", b"h:", b"h:x", b"h:65536", b"[::1", b"[::1]1", b"\xff:1", b"h:1|", b"[]:1"] {
        assert_eq!(with(text, text.len() as i32), Err(ElectionError::Address), "{text:?}");
    }
    let version = hex("ffffffffffff0002 0000000000000001");
    assert_eq!(InitialMessage::decode(&version), Err(ElectionError::Version(-65534)));
    let server = hex("ffffffffffff0000 ffffffffffffffff 00000001");
    assert_eq!(InitialMessage::decode(&server), Err(ElectionError::Server(-1)));
}

#[test]
fn frames_keep_to_their_limit() {
    assert_eq!(frame(&[0, 0, 0]), Ok(None));
    assert_eq!(frame(&[0, 0, 0, 2, 7]), Ok(None));
    assert_eq!(frame(&[0, 0, 0, 2, 7, 8, 9]), Ok(Some((&[7, 8][..], 6))));
    assert_eq!(frame(&(512i32 << 10).to_be_bytes()), Ok(None));
    for length in [0, -1, i32::MIN, i32::MAX, (512 << 10) + 1] {
        assert_eq!(frame(&length.to_be_bytes()), Err(ElectionError::FrameLength(length)));
    }
}

/// State 2, leader 3, zxid 0x500000007, round 9, epoch 6.
const FIELDS: &str = "00000002 0000000000000003 0000000500000007 0000000000000009 0000000000000006";

#[test]
fn notification_with_a_configuration() {
    let bytes = hex(&format!("{FIELDS} 00000002 00000009 76657273696f6e3d61"));
    let expected = Notification {
        state: PeerState::Leading,
        leader: 3,
        zxid: 0x5_0000_0007,
        round: 9,
        peer_epoch: 6,
        version: 2,
        config: Some(b"version=a"),
    };
    assert_eq!(Notification::decode(&bytes), Ok(expected));
    assert_eq!(expected.encode(), bytes);
    assert_eq!(Notification { version: 0, ..expected }.encode(), bytes, "we only speak version 2");
    assert_eq!(Notification::decode(&[&bytes[..], b"more"].concat()), Ok(expected), "Java ignores what follows");
    for end in 44..bytes.len() {
        assert_eq!(Notification::decode(&bytes[..end]), Err(ElectionError::ConfigLength(9)), "{end} bytes");
    }
}

#[test]
fn notifications_of_old_servers() {
    let bytes = hex(&format!("{FIELDS} 00000001"));
    let decode = |bytes: &[u8]| {
        let read = Notification::decode(bytes).unwrap();
        assert_eq!((read.leader, read.zxid, read.round, read.config), (3, 0x5_0000_0007, 9, None));
        (read.peer_epoch, read.version)
    };
    assert_eq!(decode(&bytes[..28]), (5, 0), "the epoch of the zxid, where none is given");
    assert_eq!(decode(&bytes[..36]), (6, 0));
    assert_eq!(decode(&bytes), (6, 0), "a Java server takes 40 bytes for those of a server without versions");
    assert_eq!(decode(&[&bytes[..], &[0; 4]].concat()), (6, 1));
}

#[test]
fn notifications_that_are_none() {
    let bytes = hex(&format!("{FIELDS} 00000002 00000001 61"));
    for length in (0..28).chain(29..36).chain(37..40).chain(41..44) {
        assert_eq!(Notification::decode(&bytes[..length]), Err(ElectionError::NotificationLength(length)));
    }
    let mut state = bytes.clone();
    state[3] = 4;
    assert_eq!(Notification::decode(&state), Err(ElectionError::State(4)));
    let mut config = bytes;
    config[40] = 0xff;
    assert_eq!(Notification::decode(&config), Err(ElectionError::ConfigLength(i32::from_be_bytes([0xff, 0, 0, 1]))));
}

/// From a ZooKeeper 3.9.5: the leader of three answers a newcomer.
const LEADER_SAYS: &str = "\
        000000b6000000020000000000000002000000000000000000000000000000010000000000000001000000020000008a\
        7365727665722e313d3132372e302e302e313a34393936353a35373832313a7061727469636970616e740a7365727665\
        722e323d3132372e302e302e313a33343631353a34353735333a7061727469636970616e740a7365727665722e333d31\
        32372e302e302e313a34363539393a33363930333a7061727469636970616e740a76657273696f6e3d30";

#[test]
fn what_zookeeper_sends() {
    let bytes = hex(LEADER_SAYS);
    let (payload, length) = frame(&bytes).unwrap().unwrap();
    let told = Notification::decode(payload).unwrap();
    let config = "server.1=127.0.0.1:49965:57821:participant\n\
                  server.2=127.0.0.1:34615:45753:participant\n\
                  server.3=127.0.0.1:46599:36903:participant\n\
                  version=0";
    let expected = Notification {
        state: PeerState::Leading,
        leader: 2,
        zxid: 0,
        round: 1,
        peer_epoch: 1,
        version: 2,
        config: Some(config.as_bytes()),
    };
    assert_eq!((told, length), (expected, bytes.len()));
    assert_eq!(told.encode(), payload, "and so we send it");

    let bytes = hex("ffffffffffff000000000000000000020000000f3132372e302e302e313a3435373533");
    let (message, length) = InitialMessage::decode(&bytes).unwrap().unwrap();
    assert_eq!((message.server, &message.addresses[..], length), (2, &[("127.0.0.1", 45753)][..], bytes.len()));
    let mut out = vec![];
    put_initial(&mut out, 2, &message.addresses, false);
    assert_eq!(out, bytes);
}

#[test]
fn no_bytes_make_a_decoder_panic() {
    let mut random = Rng::with_seed(1);
    for _ in 0..20_000 {
        let mut bytes = hex(&format!("{FIELDS} 00000002 00000004 61626364"));
        for _ in 0..3 {
            let at = random.usize(..bytes.len());
            bytes[at] = random.u8(..);
        }
        bytes.truncate(random.usize(..=bytes.len()));
        if let Ok(read) = Notification::decode(&bytes) {
            assert!(read.config.is_none_or(|config| config.len() <= bytes.len()));
        }
        let _ = (InitialMessage::decode(&bytes), frame(&bytes));
    }
}

//! The stream between servers: byte for byte ZooKeeper's, received in any pieces, and never believed.

use super::files::Collected;
use super::*;
use crate::jute::wire::{put_bytes, put_int, put_long};
use crate::jute::{AclEntry, StatPersisted};
use crate::storage::java::stream::{Received, StreamError, StreamReceiver, StreamSender};

const LIMIT: usize = 1 << 20;

/// A snapshot file that ZooKeeper 3.9.5 wrote: sessions, ephemerals, several ACL lists, a container, a TTL znode.
const JAVA: &[u8] = include_bytes!("../../../tests/goldens/zookeeper-snapshot.bin");
/// Bytes of its header.
const JAVA_HEADER: usize = 16;

/// The body of ZooKeeper's file with the signature that ends a stream: from behind the header to the string
/// that ends the znodes, which is where the first checksum follows.
fn java_stream() -> Vec<u8> {
    let end: Vec<u8> = [0, 0, 0, 1, b'/'].into();
    // After the body: checksum, end, digest section (20 bytes), checksum, end, zxid, checksum, end.
    let seals = (8 + 5) + 20 + (8 + 5) + 8 + (8 + 5);
    let body = &JAVA[JAVA_HEADER..JAVA.len() - seals];
    assert!(body.ends_with(&end), "the file has the sections it is expected to have");
    let mut stream = body.to_vec();
    put_bytes(&mut stream, b"BenWasHere");
    stream
}

fn header() -> SnapshotHeader {
    SnapshotHeader { zxid: Zxid(0x2_0000_0007), installed: true, ..SnapshotHeader::default() }
}

/// Receives `stream` in pieces of `size` bytes; what was handed on.
fn receive(stream: &[u8], size: usize) -> Result<(Collected, Received), StreamError> {
    let mut receiver = StreamReceiver::new(header(), LIMIT);
    let mut found = Collected::default();
    let mut taken = 0;
    for piece in stream.chunks(size.max(1)) {
        let received = receiver.push(piece, &mut found)?;
        taken += received.taken;
        if received.done {
            return Ok((found, Received { taken, done: true }));
        }
        assert_eq!(received.taken, piece.len());
    }
    Ok((found, Received { taken, done: false }))
}

fn received(stream: &[u8]) -> Collected {
    let (found, received) = receive(stream, stream.len()).unwrap();
    assert_eq!(received, Received { taken: stream.len(), done: true });
    found
}

fn sent(disk: &SimDisk, name: &str) -> Vec<u8> {
    let mut sender = StreamSender::open(disk, Path::new(DIR), name).unwrap();
    let mut stream = Vec::new();
    for _ in 0..1000 {
        if !sender.piece(&mut stream).unwrap() {
            return stream;
        }
    }
    panic!("the stream does not end");
}

/// Writes what is handed on into a snapshot file of ours.
struct Write<'a>(Option<SnapshotWriter<'a>>, &'a SimDisk, String);

impl<'a> Write<'a> {
    fn new(disk: &'a SimDisk) -> Write<'a> {
        disk.make_dir(Path::new(DIR)).unwrap();
        Write(None, disk, String::new())
    }

    fn with(&mut self, push: impl FnOnce(&mut SnapshotWriter<'a>) -> Result<(), DiskError>) -> Result<(), ReplayError> {
        push(self.0.as_mut().expect("begun")).expect("the disk has room");
        Ok(())
    }
}

impl Replay for Write<'_> {
    fn restart(&mut self) {
        self.0 = None;
    }
    fn snapshot(&mut self, header: &SnapshotHeader) -> Result<(), ReplayError> {
        self.0 = Some(SnapshotWriter::create(self.1, Path::new(DIR), *header).expect("the disk has room"));
        Ok(())
    }
    fn session(&mut self, id: SessionId, timeout_ms: i32) -> Result<(), ReplayError> {
        self.with(|writer| writer.push_session(id, timeout_ms))
    }
    fn acl(&mut self, id: u32, list: &[u8]) -> Result<(), ReplayError> {
        self.with(|writer| writer.push_acl(id, list))
    }
    fn znode(&mut self, record: &ZnodeRecord<'_>) -> Result<(), ReplayError> {
        self.with(|writer| writer.push_znode(record))
    }
    fn snapshot_done(&mut self, _: &SnapshotHeader) -> Result<(), ReplayError> {
        self.2 = self.0.take().expect("begun").finish().expect("the disk has room").name;
        Ok(())
    }
    fn txn(&mut self, _: Zxid, _: &[u8]) -> Result<(), ReplayError> {
        unreachable!("a snapshot holds no transactions")
    }
}

#[test]
fn what_zookeeper_wrote_is_sent_again_byte_for_byte() {
    let stream = java_stream();
    let disk = SimDisk::new();
    let mut file = Write::new(&disk);
    let received = StreamReceiver::new(header(), LIMIT).push(&stream, &mut file).unwrap();
    assert_eq!(received, Received { taken: stream.len(), done: true });
    let name = file.2.clone();
    assert_eq!(name, "snapshot-0000000200000007");
    let mut sender = StreamSender::open(&disk, Path::new(DIR), &name).unwrap();
    assert_eq!(*sender.header(), header());
    let mut again = Vec::new();
    while sender.piece(&mut again).unwrap() {}
    // Its ACL lists have the ids 1 to 4 in the order they stand in, which are ours too.
    assert_eq!(again, stream);
    let received = self::received(&stream);
    let text = received.0.join("\n");
    for path in ["/", "/ephemeral", "/container", "/ttl", "/null", "/zookeeper/quota/a/zookeeper_limits"] {
        assert!(text.contains(&format!("path: {:?}", path.as_bytes())), "{path}: {text}");
    }
    for part in [format!("owner: {}", i64::MIN), "data: None".to_string()] {
        assert!(text.contains(&part), "{part}: {text}");
    }
}

#[test]
fn a_stream_is_what_it_is_in_whatever_pieces_it_comes() {
    let mut stream = java_stream();
    let whole = received(&stream);
    let length = stream.len();
    stream.extend_from_slice(b"the next packet");
    for size in [1, 2, 3, 7, 64, 100, 1000, stream.len()] {
        let (found, received) = receive(&stream, size).unwrap();
        assert_eq!(received, Received { taken: length, done: true }, "pieces of {size}");
        assert_eq!(found, whole, "pieces of {size}");
    }
    for cut in 0..length {
        let (_, received) = receive(&stream[..cut], 50).unwrap();
        assert_eq!(received, Received { taken: cut, done: false });
    }
}

#[test]
fn large_records_come_in_many_pieces() {
    let disk = SimDisk::new();
    disk.make_dir(Path::new(DIR)).unwrap();
    let mut writer = SnapshotWriter::create(&disk, Path::new(DIR), header()).unwrap();
    let data: Vec<u8> = (0..LIMIT).map(|at| at as u8).collect();
    let root = ZnodeRecord { path: b"/", data: Some(b""), ..Default::default() };
    let large = ZnodeRecord { path: b"/large", data: Some(&data), ..Default::default() };
    let other = ZnodeRecord { path: b"/other", data: Some(&data), ..Default::default() };
    for record in [root, large, other] {
        writer.push_znode(&record).unwrap();
    }
    let name = writer.finish().unwrap().name;
    let stream = sent(&disk, &name);
    let mut wanted = Collected::default();
    wanted.snapshot(&header()).unwrap();
    for record in [root, large, other] {
        wanted.znode(&record).unwrap();
    }
    for size in [1009, 65_536, 700_000] {
        let (found, received) = receive(&stream, size).unwrap();
        assert!(received.done && found == wanted, "pieces of {size}");
    }
}

/// A stream of one session, one list and two znodes, by hand.
fn by_hand() -> Vec<u8> {
    let mut stream = Vec::new();
    put_int(&mut stream, 1);
    put_long(&mut stream, 0x1000);
    put_int(&mut stream, 4000);
    put_int(&mut stream, 1);
    put_long(&mut stream, 77);
    put_int(&mut stream, 1);
    AclEntry { perms: 1, scheme: b"ip", id: b"::1" }.put(&mut stream);
    for (path, acl) in [(&b""[..], -1), (b"/a", 77)] {
        put_bytes(&mut stream, path);
        put_int(&mut stream, -1);
        put_long(&mut stream, acl);
        (1..=4).for_each(|field| put_long(&mut stream, field));
        (5..=7).for_each(|field| put_int(&mut stream, field));
        (8..=9).for_each(|field| put_long(&mut stream, field));
    }
    put_bytes(&mut stream, b"/");
    put_bytes(&mut stream, b"BenWasHere");
    stream
}

#[test]
fn ids_of_lists_and_the_roots_path_are_translated() {
    let mut list = Vec::new();
    put_int(&mut list, 1);
    AclEntry { perms: 1, scheme: b"ip", id: b"::1" }.put(&mut list);
    let root = ZnodeRecord {
        path: b"/",
        data: None,
        acl: 0,
        stat: StatPersisted {
            czxid: 1,
            mzxid: 2,
            ctime: 3,
            mtime: 4,
            version: 5,
            cversion: 6,
            aversion: 7,
            owner: 8,
            pzxid: 9,
        },
    };
    let mut wanted = Collected::default();
    wanted.snapshot(&header()).unwrap();
    wanted.session(SessionId(0x1000), 4000).unwrap();
    wanted.acl(1, &list).unwrap();
    wanted.znode(&root).unwrap();
    wanted.znode(&ZnodeRecord { path: b"/a", acl: 1, ..root }).unwrap();
    assert_eq!(received(&by_hand()), wanted);
}

#[test]
fn lies_are_refused_as_soon_as_they_show() {
    let stream = by_hand();
    let with = |at: usize, bytes: &[u8]| {
        let mut changed = stream.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        // No more than what shows the lie is needed: what follows has not come yet.
        receive(&changed[..at + bytes.len()], 5).map(|_| ()).unwrap_err()
    };
    let scheme = 4 + 12 + 4 + 8 + 4 + 4;
    let znodes = scheme + 6 + 7;
    let malformed = |error: StreamError| assert!(matches!(error, StreamError::Malformed(_)), "{error}");
    for at in [scheme, znodes, znodes + 4] {
        assert_eq!(with(at, &(LIMIT as i32 + 1).to_be_bytes()), StreamError::TooLong(LIMIT));
        malformed(with(at, &(-2i32).to_be_bytes()));
    }
    malformed(with(znodes, &(-1i32).to_be_bytes()));
    malformed(with(scheme - 8, &(-1i32).to_be_bytes()));
    let whole = |at: usize, bytes: &[u8]| {
        let mut changed = stream.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        receive(&changed, 1000).map(|(_, received)| received)
    };
    assert_eq!(whole(znodes + 8, &5i64.to_be_bytes()), Err(StreamError::UnknownAcl(5)));
    assert!(matches!(whole(stream.len() - 1, b"x"), Err(StreamError::Malformed(_))));
    // Two billion sessions, lists, entries: nothing is allocated for them, they just do not come.
    for at in [0, 4 + 12, 4 + 12 + 4 + 8] {
        let counted = whole(at, &i32::MAX.to_be_bytes());
        assert!(!matches!(counted, Ok(Received { done: true, .. })), "{at}");
    }
}

#[test]
fn no_flipped_bit_and_no_piece_of_rubbish_is_a_panic() {
    let stream = by_hand();
    for bit in 0..stream.len() * 8 {
        let mut changed = stream.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let _: Result<_, StreamError> = receive(&changed, 1 + bit % 40);
    }
    let mut choices = crate::sim::disk::Choices::drawn(3);
    for _ in 0..2000 {
        let mut changed = stream.clone();
        for _ in 0..1 + choices.pick(6) {
            let at = choices.pick(changed.len());
            changed[at] = choices.pick(256) as u8;
        }
        let _: Result<_, StreamError> = receive(&changed, 1 + choices.pick(60));
    }
}

#[test]
fn a_damaged_chunk_ends_the_sending() {
    let disk = SimDisk::new();
    let mut file = Write::new(&disk);
    StreamReceiver::new(header(), LIMIT).push(&by_hand(), &mut file).unwrap();
    let name = file.2.clone();
    let length = disk.bytes(&path(&name)).unwrap().len();
    let mut found = 0;
    for at in 128..length {
        let damaged = disk.copy();
        damaged.rot(&path(&name), |bytes| bytes[at] ^= 4);
        let stream = StreamSender::open(&damaged, Path::new(DIR), &name).and_then(|mut sender| {
            let mut stream = Vec::new();
            while sender.piece(&mut stream)? {}
            Ok(stream)
        });
        match stream {
            Ok(stream) => assert_eq!(received(&stream), received(&by_hand()), "byte {at}"),
            Err(_) => found += 1,
        }
    }
    // Only the zeros between chunks may change unseen.
    assert!(found > length - 128 - 3 * 16, "{found} of {length}");
}

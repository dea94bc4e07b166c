//! Whatever a leader sends as its state, in whatever pieces, and whatever a snapshot's file holds: it is taken whole, or
//! refused.

#![no_main]

use arbitrary::Arbitrary;
use corral::ids::{SessionId, Zxid};
use corral::jute::OpCode;
use corral::server::quorum::Input;
use corral::server::rebuild::Rebuild;
use corral::sim::bodies;
use corral::sim::disk::SimDisk;
use corral::sim::server::DIR;
use corral::storage::disk::{Access, Disk};
use corral::storage::java::stream::StreamReceiver;
use corral::storage::snapshot::format::SnapshotHeader;
use corral::storage::snapshot::load::Snapshot;
use corral::tree::state::StateOptions;
use corral::zab::history::HistoryLimits;
use corral_fuzz::{lone, settle};
use libfuzzer_sys::fuzz_target;
use std::path::Path;
use std::sync::OnceLock;

#[derive(Arbitrary, Debug)]
enum Source {
    /// A stream as a leader sends it, with changes.
    Stream { changes: Vec<(u16, u8)>, cut: u16 },
    /// Any bytes.
    Bytes(Vec<u8>),
    /// A file of ours, with changes.
    File { changes: Vec<(u16, u8)> },
}

#[derive(Arbitrary, Debug)]
struct Story {
    source: Source,
    piece: u8,
}

struct Template {
    stream: Vec<u8>,
    name: String,
    file: Vec<u8>,
    digest: u64,
}

fn template() -> &'static Template {
    static TEMPLATE: OnceLock<Template> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let disk = SimDisk::new();
        let mut server = lone(&disk);
        let conn = server.accept(SessionId::NONE, 2000, 0);
        settle(&mut server);
        server.request(conn, -4, OpCode::Auth, &bodies::auth());
        for (xid, path) in ["/a", "/a/b", "/a/c", "/d"].iter().enumerate() {
            let flags = i32::from(*path == "/d");
            server.request(conn, xid as i32, OpCode::Create, &bodies::create(path.as_bytes(), b"data", flags));
        }
        server.request(conn, 9, OpCode::Create, &bodies::create_of_ones_own(b"/own"));
        settle(&mut server);
        server.quorum.step(Input::WantSnapshot);
        settle(&mut server);
        let zxid = server.write_snapshot().expect("a snapshot is due");
        let stream = server.snapshot_stream(zxid)[SNAP_HEAD..].to_vec();
        let names = disk.list(Path::new(DIR)).expect("the disk is well");
        let name = names.into_iter().find(|name| name.starts_with("snapshot-")).expect("it was written");
        let file = disk.bytes(&Path::new(DIR).join(&name)).expect("it is there");
        Template { stream, name, file, digest: server.quorum.state().digest() }
    })
}

/// Bytes of the bare packet ahead of a stream: type, zxid, two nulls.
const SNAP_HEAD: usize = 4 + 8 + 4 + 4;

fn receive(stream: &[u8], piece: usize) {
    let header = SnapshotHeader { zxid: Zxid(0x1_0000_0010), installed: true, ..SnapshotHeader::default() };
    let mut receiver = StreamReceiver::new(header, 64 << 10);
    let mut rebuild = Rebuild::for_learner(StateOptions::default(), HistoryLimits::default());
    for part in stream.chunks(piece) {
        match receiver.push(part, &mut rebuild) {
            Ok(received) if received.done => {
                assert!(received.taken <= part.len());
                let (state, ..) = rebuild.finish_member();
                assert!(state.find(b"/").is_some(), "a tree has a root");
                return;
            }
            Ok(received) => assert_eq!(received.taken, part.len()),
            Err(_) => return,
        }
    }
}

fn changed(original: &[u8], changes: &[(u16, u8)]) -> Vec<u8> {
    let mut bytes = original.to_vec();
    for (at, byte) in changes.iter().take(16) {
        let at = usize::from(*at) % bytes.len();
        bytes[at] = *byte;
    }
    bytes
}

fuzz_target!(|story: Story| {
    let piece = usize::from(story.piece) + 1;
    match story.source {
        Source::Stream { changes, cut } => {
            let mut stream = changed(&template().stream, &changes);
            stream.truncate(stream.len().saturating_sub(usize::from(cut) % 64));
            receive(&stream, piece);
        }
        Source::Bytes(bytes) => receive(&bytes[..bytes.len().min(8000)], piece),
        Source::File { changes } => {
            let disk = SimDisk::new();
            let dir = Path::new(DIR);
            disk.make_dir(dir).expect("the disk is well");
            let Template { name, file, digest, .. } = template();
            let damaged = changed(file, &changes);
            let new = disk.open(&dir.join(name), Access::Create).expect("the disk is well");
            new.write_at(&damaged, 0).expect("the disk is well");
            let mut rebuild = Rebuild::new(StateOptions::default());
            let loaded = Snapshot::open(&disk, dir, name).and_then(|snapshot| snapshot.load(1, &mut rebuild));
            if matches!(loaded, Ok(Ok(()))) {
                // Nothing but what fills up to the next chunk may be another.
                let (state, _) = rebuild.finish();
                assert_eq!(
                    (state.digest(), state.session_count()),
                    (*digest, 1),
                    "another state is taken for this one"
                );
            }
        }
    }
});

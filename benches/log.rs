//! What the log costs the thread that writes it, without the disk: gathering and sealing a group of
//! transactions, checksum included.

use corral::ids::Zxid;
use corral::storage::log::frame::{BLOCK, DirectoryId};
use corral::storage::log::segment::{OpenSegment, Position, PreparedSegment, SegmentHeader, SegmentId};
use corral::storage::log::writer::{LogOptions, LogWriter};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

/// Bytes of a setData transaction of 100 bytes under a short path.
const TXN: usize = 150;

fn groups(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("log");
    for size in [1u64, 16, 256] {
        let mut zxid = Zxid(0);
        let mut log = writer();
        let txn = [0x5a; TXN];
        group.throughput(Throughput::Elements(size));
        group.bench_function(BenchmarkId::new("group", size), |bencher| {
            bencher.iter(|| {
                for _ in 0..size {
                    zxid = zxid.next();
                    log.append(zxid, black_box(&txn)).expect("a group fits");
                }
                while let Some(write) = log.next_write() {
                    black_box(log.bytes(&write).len());
                    log.written();
                }
                if let Some(request) = log.needs_segment() {
                    let (id, capacity) = (request.id, request.capacity);
                    log.segment_ready(PreparedSegment { id, capacity, recycled: true });
                }
            });
        });
    }
    group.finish();
}

fn writer() -> LogWriter {
    let options = LogOptions::default();
    let header = SegmentHeader {
        id: SegmentId(1),
        directory: DirectoryId([1; 16]),
        capacity: options.first_segment_bytes(),
        after: Position::default(),
        recycled: false,
    };
    let segment = OpenSegment { header, end: BLOCK as u64, checksum: 0, zxid: Zxid::ZERO };
    LogWriter::new(&segment, options).expect("the default options fit")
}

criterion_group!(benches, groups);
criterion_main!(benches);

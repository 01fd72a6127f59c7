//! What does a frame cost: encoding an entry, the checksums, and looking at both again?
//!
//! The format is a part of the engine that does no I/O, so it is built in here.

#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "the engine uses more of the format, and its tests do"
)]

mod common;

#[path = "../../engine/src/id.rs"]
mod id;
#[path = "../../engine/src/limits.rs"]
mod limits;
#[path = "../../engine/src/lsn.rs"]
mod lsn;

#[path = "../../engine/src/format"]
mod format {
    pub(crate) mod codec;
    pub(crate) mod entry;
    pub(crate) mod frame;
    pub(crate) mod varint;
}

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use format::entry::{self, NewEntry};
use format::frame::{self, Found};
use id::EntryId;
use lsn::Lsn;

const IDENTITY: u64 = 7;
const LSN: Lsn = Lsn(4096);

/// One entry in one frame, as the log has it.
fn frame(out: &mut Vec<u8>, value: &[u8]) {
    let fields = [&b"field"[..], value];
    out.clear();
    out.resize(frame::HEADER_LEN, 0);
    let head = NewEntry {
        stream: 1,
        id: EntryId {
            ms: 1_700_000_000_000,
            seq: 0,
        },
        starts_node: false,
        lsn: LSN.plus(frame::HEADER_LEN as u64),
    };
    entry::put(out, head, entry::body_len(&fields), &fields);
    frame::finish(out, IDENTITY, LSN, 0, LSN);
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    for size in [16, 100, 1024, 65_536] {
        let value = vec![b'x'; size];
        let mut out = Vec::new();
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::new("frame of one entry", size), |bencher| {
            bencher.iter(|| frame(&mut out, black_box(&value)));
        });
        group.bench_function(BenchmarkId::new("look at a frame", size), |bencher| {
            bencher.iter(|| {
                let found = frame::decode(black_box(&out), IDENTITY, LSN);
                assert!(matches!(found, Found::Frame(_)));
            });
        });
        let record = &out[frame::HEADER_LEN..];
        let lsn = LSN.plus(frame::HEADER_LEN as u64);
        group.bench_function(BenchmarkId::new("look at an entry", size), |bencher| {
            bencher.iter(|| assert!(entry::entry(black_box(record), lsn).is_some()));
        });
        group.bench_function(BenchmarkId::new("look at its head", size), |bencher| {
            bencher.iter(|| assert!(entry::head(black_box(record), lsn).is_some()));
        });
    }
    group.finish();
}

fn main() {
    let mut criterion = common::criterion();
    bench(&mut criterion);
    criterion.final_summary();
}

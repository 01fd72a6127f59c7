//! What does a range read cost: finding where it begins, and copying what it found?

mod common;
mod filled;

use std::hint::black_box;
use std::ops::ControlFlow;

use alluvium_engine::{Engine, Entries, EntryId, Range};
use criterion::{BenchmarkId, Criterion, Throughput};

const KEY: &[u8] = b"bench:stream";

fn plan(engine: &Engine, from: u64, count: usize) -> Entries {
    let range = Range {
        start: EntryId { ms: from, seq: 0 },
        end: EntryId {
            ms: u64::MAX,
            seq: u64::MAX,
        },
        reverse: false,
        count: Some(count),
    };
    let mut batch = engine.lock();
    let entries = batch.range(0, KEY, range).expect("the range is read");
    batch.end_command();
    entries.expect("the stream exists")
}

fn copy(entries: &Entries) -> usize {
    let mut bytes = 0;
    let visited = entries.visit(0, &mut |_, fields| {
        bytes += fields.map_or(0, |fields| fields.map(<[u8]>::len).sum());
        ControlFlow::Continue(())
    });
    visited.expect("the entries are intact");
    bytes
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("seek");
    for stored in [10_000, 1_000_000] {
        let (_dir, engine) = common::open();
        filled::fill(&engine, KEY, stored, 100);
        for count in [1, 10, 1000] {
            let mut from = 0;
            let mut next = move || {
                from = (from + 7919 * 101) % (stored - 1000);
                from + 1
            };
            group.throughput(Throughput::Elements(count as u64));
            let name = format!("count={count}");
            group.bench_function(
                BenchmarkId::new(format!("plan {name}"), stored),
                |bencher| {
                    bencher.iter(|| black_box(plan(&engine, next(), count)));
                },
            );
            group.bench_function(
                BenchmarkId::new(format!("read {name}"), stored),
                |bencher| {
                    bencher.iter(|| black_box(copy(&plan(&engine, next(), count))));
                },
            );
        }
    }
    group.finish();
}

fn main() {
    let mut criterion = common::criterion();
    bench(&mut criterion);
    criterion.final_summary();
}

//! What do a delivery, an acknowledgement and a claim cost, with few and with many entries pending?

mod common;
mod filled;

use std::ops::ControlFlow;

use alluvium_engine::{AutoClaim, Cursor, Deliver, Engine, EntryId, Member};
use criterion::{BenchmarkId, Criterion, Throughput};

const KEY: &[u8] = b"bench:stream";
const GROUP: &[u8] = b"workers";
const WORKER: Member<'static> = Member {
    group: GROUP,
    consumer: b"worker",
};
const ENTRIES: u64 = 500_000;

/// Delivers the next entries; begins again behind the first `kept` when there are no more.
fn deliver(engine: &Engine, count: usize, kept: usize, ids: &mut Vec<EntryId>) {
    ids.clear();
    while ids.is_empty() {
        let mut batch = engine.lock();
        let deliver = Deliver {
            count: Some(count),
            ..Deliver::default()
        };
        let delivery = batch
            .deliver(0, KEY, WORKER, deliver)
            .expect("entries are delivered");
        batch.end_command();
        if delivery.entries.is_empty() {
            let start = Cursor {
                id: EntryId {
                    ms: kept as u64,
                    seq: 0,
                },
                entries_read: None,
            };
            batch
                .set_cursor(0, KEY, GROUP, start)
                .expect("the cursor is moved");
            batch.end_command();
        }
        drop(batch);
        engine.submit();
        let visited = delivery.entries.visit(0, &mut |id, _| {
            ids.push(id);
            ControlFlow::Continue(())
        });
        visited.expect("the entries are intact");
    }
}

fn ack(engine: &Engine, ids: &[EntryId]) {
    let mut batch = engine.lock();
    let acked = batch
        .ack(0, KEY, GROUP, ids)
        .expect("entries are acknowledged");
    batch.end_command();
    drop(batch);
    engine.submit();
    assert_eq!(acked, ids.len() as u64);
}

fn claim(engine: &Engine, start: EntryId) -> EntryId {
    let request = AutoClaim {
        min_idle_ms: 0,
        start,
        count: 100,
        just_id: true,
    };
    let mut batch = engine.lock();
    let claimed = batch
        .auto_claim(0, KEY, WORKER, request)
        .expect("entries are claimed");
    batch.end_command();
    drop(batch);
    engine.submit();
    assert_eq!(claimed.claimed.ids.len(), request.count);
    claimed.next
}

fn grouped() -> (tempfile::TempDir, Engine) {
    let (dir, engine) = common::open();
    filled::fill(&engine, KEY, ENTRIES, 100);
    let mut batch = engine.lock();
    let start = Cursor {
        id: EntryId { ms: 0, seq: 0 },
        entries_read: None,
    };
    batch
        .create_group(0, KEY, GROUP, start)
        .expect("the group is made");
    batch.end_command();
    drop(batch);
    (dir, engine)
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pending");
    for backlog in [0, 200_000] {
        let (_dir, engine) = grouped();
        let mut ids = Vec::new();
        if backlog > 0 {
            deliver(&engine, backlog, 0, &mut ids);
        }
        for count in [1, 10, 100] {
            group.throughput(Throughput::Elements(count as u64));
            let name = format!("deliver and ack count={count}");
            group.bench_function(
                BenchmarkId::new(name, format!("pending={backlog}")),
                |bencher| {
                    bencher.iter(|| {
                        deliver(&engine, count, backlog, &mut ids);
                        ack(&engine, &ids);
                    });
                },
            );
        }
        if backlog > 0 {
            group.throughput(Throughput::Elements(100));
            let mut next = EntryId { ms: 0, seq: 0 };
            group.bench_function("claim count=100", |bencher| {
                bencher.iter(|| next = claim(&engine, next));
            });
        }
    }
    group.finish();
}

fn main() {
    let mut criterion = common::criterion();
    bench(&mut criterion);
    criterion.final_summary();
}

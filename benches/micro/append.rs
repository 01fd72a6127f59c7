//! What does one XADD cost in the engine, by entry size, by pipeline depth and by number of
//! streams?
//!
//! One iteration is one batch: lock, look up the streams if there are many, as the server does, add
//! `pipeline` entries, unlock, submit, which writes them.

mod common;

use alluvium_engine::{Engine, NewId};
use criterion::{BenchmarkId, Criterion, Throughput};

fn add_batch(engine: &Engine, keys: &[Vec<u8>], turn: &mut usize, pipeline: usize, value: &[u8]) {
    let mut batch = engine.lock();
    let next = |turn: &usize| (turn + 7919) % keys.len();
    if keys.len() > 1 {
        let ahead = std::iter::successors(Some(next(turn)), |turn| Some(next(turn)));
        let ahead: Vec<&[u8]> = ahead.take(pipeline).map(|turn| &*keys[turn]).collect();
        batch.warm(0, &ahead);
    }
    for _ in 0..pipeline {
        *turn = next(turn);
        batch
            .add(0, &keys[*turn], NewId::Auto, &[b"field", value])
            .expect("the entry is added");
        batch.end_command();
    }
    drop(batch);
    engine.submit();
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append");
    for (pipeline, size, streams) in [
        (1, 100, 1),
        (16, 16, 1),
        (16, 100, 1),
        (16, 1024, 1),
        (16, 100, 100_000),
        (256, 100, 1),
    ] {
        let (_dir, engine) = common::open();
        let keys: Vec<Vec<u8>> = (0..streams)
            .map(|n: u32| format!("stream:{n:012}").into_bytes())
            .collect();
        let value = vec![b'x'; size];
        let mut turn = 0;
        let name = format!("pipeline={pipeline} size={size}");
        group.throughput(Throughput::Elements(pipeline as u64));
        group.bench_function(
            BenchmarkId::new(name, format!("streams={streams}")),
            |bencher| {
                bencher.iter(|| add_batch(&engine, &keys, &mut turn, pipeline, &value));
            },
        );
    }
    group.finish();
}

fn main() {
    let mut criterion = common::criterion();
    bench(&mut criterion);
    criterion.final_summary();
}

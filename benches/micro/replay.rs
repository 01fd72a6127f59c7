//! How fast does an engine open when all of its log has to be replayed?

mod common;
mod filled;

use alluvium_engine::Engine;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("replay");
    group.sample_size(10);
    for (entries, streams) in [(500_000, 1), (500_000, 10_000)] {
        let (dir, engine) = common::open();
        for stream in 0..streams {
            let key = format!("stream:{stream:012}");
            filled::fill(&engine, key.as_bytes(), entries / streams, 100);
        }
        engine.close().expect("the engine closes");
        group.throughput(Throughput::Elements(entries));
        group.bench_function(
            BenchmarkId::new("entries=500000", format!("streams={streams}")),
            |b| {
                b.iter_batched(
                    || (),
                    |()| {
                        let engine = Engine::open(dir.path(), common::options());
                        let engine = engine.expect("the directory opens again");
                        assert_eq!(engine.recovery().entries, entries);
                        engine
                    },
                    BatchSize::PerIteration,
                );
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

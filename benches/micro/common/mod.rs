//! What the micro-benchmarks share: an engine in a directory that vanishes, and entries for it.

use std::time::Duration;

use alluvium_engine::{Engine, EntryId, NewId, Options, SyncPolicy};
use criterion::Criterion;
use tempfile::TempDir;

/// The stream of the benchmarks that have one.
pub(crate) const KEY: &[u8] = b"bench:stream";

/// An engine that never syncs by itself, so that what is measured is the engine and not the disk.
pub(crate) fn options() -> Options {
    let mut options = Options::default();
    options.sync_policy = SyncPolicy::Never;
    options.checkpoint_interval = 0;
    options.checkpoint_on_close = false;
    options
}

/// Opens an engine in a new directory.
pub(crate) fn open() -> (TempDir, Engine) {
    let dir = TempDir::with_prefix("alluvium-micro-").expect("a temporary directory");
    let engine = Engine::open(dir.path(), options()).expect("an empty directory opens");
    (dir, engine)
}

/// Adds `count` entries with IDs `1-0`, `2-0` and so on.
pub(crate) fn fill(engine: &Engine, key: &[u8], count: u64, size: usize) {
    let value = vec![b'x'; size];
    let mut at = 0;
    while at < count {
        let mut batch = engine.lock();
        for ms in at + 1..=(at + 1000).min(count) {
            let id = NewId::Given(EntryId { ms, seq: 0 });
            batch.add(0, key, id, &[b"field", &value]).expect("the entry is added");
            batch.end_command();
        }
        drop(batch);
        engine.submit();
        at += 1000;
    }
    engine.sync().expect("the log is synced");
}

/// Criterion with short runs: these figures are compared with each other, not published.
pub(crate) fn criterion() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(20)
        .configure_from_args()
}

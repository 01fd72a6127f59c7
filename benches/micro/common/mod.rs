//! What the micro-benchmarks share: an engine in a directory that vanishes, and short runs.

use std::time::Duration;

use alluvium_engine::{Engine, Options, SyncPolicy};
use criterion::Criterion;
use tempfile::TempDir;

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

/// Criterion with short runs: these figures are compared with each other, not published.
pub(crate) fn criterion() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(20)
        .configure_from_args()
}

//! Entries for the micro-benchmarks that read.

use alluvium_engine::{Engine, EntryId, NewId};

/// Adds `count` entries with IDs `1-0`, `2-0` and so on.
pub(crate) fn fill(engine: &Engine, key: &[u8], count: u64, size: usize) {
    let value = vec![b'x'; size];
    let mut at = 0;
    while at < count {
        let mut batch = engine.lock();
        for ms in at + 1..=(at + 1000).min(count) {
            let id = NewId::Given(EntryId { ms, seq: 0 });
            batch
                .add(0, key, id, &[b"field", &value])
                .expect("the entry is added");
            batch.end_command();
        }
        drop(batch);
        engine.submit();
        at += 1000;
    }
    engine.sync().expect("the log is synced");
}

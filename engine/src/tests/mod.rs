//! Tests of the state as a whole: random operations against a model, and the fold against itself.

mod build;
mod cold;
mod fold;
mod idle;
mod model;
mod ops;
mod retained;
mod retention;
mod sent;
mod sorting;

use std::ops::ControlFlow;

use crate::engine::Engine;
use crate::entries::Entries;
use crate::id::EntryId;
use crate::options::{Options, SyncPolicy, Threads};

/// Options under which nothing happens behind the test's back.
fn options() -> Options {
    Options {
        threads: Threads::Inline,
        sync_policy: SyncPolicy::Never,
        segment_size: 8 << 10,
        checkpoint_interval: 0,
        node_entries_max: 4,
        ..Options::default()
    }
}

/// Sorts all that can be sorted.
fn sort_all(engine: &Engine) {
    engine.sync().unwrap();
    while engine.sort(0).unwrap() {}
}

/// An entry as a test sees it; without fields if it is deleted.
type Seen = (EntryId, Option<Vec<Vec<u8>>>);

/// Reads a plan once what it depends on is settled.
fn read(engine: &Engine, entries: &Entries) -> Vec<Seen> {
    let end = engine.lock().end_command();
    engine.wait_settled(end).unwrap();
    engine.sync().unwrap();
    let mut seen = Vec::new();
    let visited = entries.visit(0, &mut |id, fields| {
        seen.push((
            id,
            fields.map(|fields| fields.map(<[u8]>::to_vec).collect()),
        ));
        ControlFlow::Continue(())
    });
    visited.unwrap();
    assert_eq!(seen.len(), entries.len());
    seen
}

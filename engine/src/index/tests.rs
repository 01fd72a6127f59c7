//! Searches against scans.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use super::search::guess;
use super::*;
use crate::storage::simulated::{SimulatedClock, SimulatedStorage};
use crate::{Engine, NewId, Options, Range, Threads};

fn id(ms: u64, seq: u64) -> EntryId {
    EntryId { ms, seq }
}

#[test]
fn a_guess_is_always_one_of_the_entries() {
    let ends = [
        id(0, 0),
        id(0, 9),
        id(5, 0),
        id(5, u64::MAX),
        id(u64::MAX, u64::MAX),
    ];
    for low in ends {
        for high in ends {
            for wanted in ends {
                for count in [1, 2, 100] {
                    assert!(guess(wanted, (low, high), count) < count);
                }
            }
        }
    }
    assert_eq!(guess(id(30, 0), (id(0, 0), id(99, 0)), 100), 30);
    assert_eq!(guess(id(7, 30), (id(7, 0), id(7, 99)), 100), 30);
}

/// IDs in bursts, with small and with huge gaps.
fn uneven_ids() -> Vec<EntryId> {
    let mut ids = Vec::new();
    let mut ms = 1;
    for step in 0..600_u64 {
        ms += [0, 1, 1, 2, 50, 1 << 20, 1 << 40][usize::try_from(step * step % 7).unwrap_or(0)];
        ids.push(id(ms, step * step * step));
    }
    ids
}

#[test]
fn every_search_finds_what_a_scan_finds() {
    let storage = Arc::new(SimulatedStorage::new());
    let clock = Arc::new(SimulatedClock::new(1_000));
    let options = Options {
        threads: Threads::Inline,
        ..Options::default()
    };
    let engine = Engine::open_on(storage, clock, Path::new("/data"), options).unwrap();
    let mut ids = uneven_ids();
    let mut batch = engine.lock();
    for &id in &ids {
        batch.add(0, b"k", NewId::Given(id), &[b"f", b"v"]).unwrap();
    }
    let gone: Vec<EntryId> = ids.iter().copied().step_by(5).collect();
    batch.delete_entries(0, b"k", &gone).unwrap();
    batch.end_command();
    drop(batch);
    engine.sync().unwrap();
    ids.retain(|id| !gone.contains(id));
    let around = |id: &EntryId| [id.prev(), Some(*id), id.next()];
    for wanted in uneven_ids().iter().flat_map(around).flatten() {
        let range = Range {
            start: wanted,
            end: EntryId::MAX,
            reverse: false,
            count: Some(1),
        };
        let entries = engine.lock().range(0, b"k", range).unwrap().unwrap();
        let mut found = None;
        let visited = entries.visit(0, &mut |id, _| {
            found = Some(id);
            ControlFlow::Continue(())
        });
        visited.unwrap();
        assert_eq!(
            found,
            ids.iter().copied().find(|id| *id >= wanted),
            "{wanted:?}"
        );
    }
}

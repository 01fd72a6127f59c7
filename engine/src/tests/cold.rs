//! Commands ask for blocks that are not in memory, and run again when they are loaded.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::{options, sort_all};
use crate::batch::{Batch, Cursor, Deliver, Member, NewId, Range, RefPolicy, Trim, TrimStrategy};
use crate::engine::Engine;
use crate::format::sorted::HEADER_LEN;
use crate::id::EntryId;
use crate::options::Options;
use crate::{Error, Retention};

const ENTRIES: u64 = 300;

/// A stream of 1-0 to 300-0 in about as many blocks as it has dozens of entries; the cache holds
/// none.
fn cold_engine() -> (tempfile::TempDir, Engine) {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        block_cache: 0,
        ..options()
    };
    let engine = Engine::open(dir.path(), options).unwrap();
    for ms in 1..=ENTRIES {
        let mut batch = engine.lock();
        let fields: [&[u8]; 2] = [b"field", &[b'.'; 500]];
        batch.add(0, b"s", NewId::Given(id(ms)), &fields).unwrap();
        batch.end_command();
    }
    sort_all(&engine);
    (dir, engine)
}

fn id(ms: u64) -> EntryId {
    EntryId::new(ms, 0)
}

/// Runs a command until it needs nothing more; how often, and the blocks that were loaded without
/// the lock and under it.
fn run<T>(
    engine: &Engine,
    mut command: impl FnMut(&mut Batch<'_>) -> Result<T, Error>,
) -> (Result<T, Error>, usize, (u64, u64)) {
    let before = engine.stats();
    let mut cold = None;
    for times in 1.. {
        let mut batch = engine.lock();
        if let Some(cold) = cold.take() {
            batch.resume(cold);
        }
        batch.ask_for_blocks();
        let done = command(&mut batch);
        let wanted = batch.take_cold();
        drop(batch);
        let Some(mut wanted) = wanted else {
            let after = engine.stats();
            let asked = after.block_loads_asked - before.block_loads_asked;
            let locked = after.block_loads_locked - before.block_loads_locked;
            return (done, times, (asked, locked));
        };
        assert!(matches!(done, Err(Error::Cold)));
        wanted.load();
        cold = Some(wanted);
    }
    unreachable!("it ends")
}

fn range(start: u64, end: u64) -> Range {
    Range {
        start: id(start),
        end: id(end),
        reverse: false,
        count: None,
    }
}

#[test]
fn a_range_asks_for_the_blocks_of_both_bounds_at_once() {
    let (_dir, engine) = cold_engine();
    let (found, times, loads) = run(&engine, |batch| batch.range(0, b"s", range(50, 250)));
    assert_eq!(found.unwrap().unwrap().len(), 201);
    assert_eq!((times, loads), (2, (2, 0)));
}

#[test]
fn who_does_not_ask_loads_under_the_lock() {
    let (_dir, engine) = cold_engine();
    let found = engine.lock().range(0, b"s", range(50, 250)).unwrap();
    assert_eq!(found.unwrap().len(), 201);
    let stats = engine.stats();
    assert_eq!((stats.block_loads_asked, stats.block_loads_locked), (0, 2));
}

#[test]
fn a_deletion_finds_all_of_its_blocks_before_it_changes_anything() {
    let (_dir, engine) = cold_engine();
    let ids: Vec<EntryId> = (1..=10).map(|at| id(at * 20)).collect();
    let (deleted, times, (asked, locked)) = run(&engine, |batch| {
        let before = batch.mutations();
        let deleted = batch.delete_entries(0, b"s", &ids);
        assert!(deleted.is_ok() || batch.mutations() == before);
        deleted
    });
    assert_eq!((deleted.unwrap(), locked), (10, 0));
    // Three at once, in tests.
    assert!(asked > 6 && times == 4, "{asked} blocks, {times} times");
}

#[test]
fn a_command_that_needs_very_many_blocks_loads_the_last_ones_under_the_lock() {
    let (_dir, engine) = cold_engine();
    let wide: [&[u8]; 2] = [b"field", &[b'.'; 7000]];
    for ms in 1000..1122 {
        let mut batch = engine.lock();
        batch.add(0, b"s", NewId::Given(id(ms)), &wide).unwrap();
        batch.end_command();
    }
    sort_all(&engine);
    let ids: Vec<EntryId> = (1000..1120).map(id).collect();
    let (deleted, times, (asked, locked)) =
        run(&engine, |batch| batch.delete_entries(0, b"s", &ids));
    assert_eq!((deleted.unwrap(), times), (120, 17));
    assert_eq!(asked, 48);
    assert!(locked >= 10, "{locked}");
}

#[test]
fn what_a_command_does_once_it_has_logged_something_is_never_asked_for() {
    let (_dir, engine) = cold_engine();
    let trim = Trim {
        strategy: TrimStrategy::MinId(id(100)),
        approximate: false,
        limit: None,
        references: RefPolicy::Keep,
    };
    let add = |batch: &mut Batch<'_>| {
        let next = batch.stream(0, b"s").unwrap().last_id.ms + 1;
        batch.add(0, b"s", NewId::Given(id(next)), &[b"f", b"v"])?;
        batch.trim(0, b"s", trim)
    };
    let (trimmed, times, (asked, locked)) = run(&engine, add);
    assert_eq!((trimmed.unwrap(), times, asked), (99, 1, 0));
    assert!(locked > 0);
    // Unless that was foreseen.
    let trim = Trim {
        strategy: TrimStrategy::MaxLen(100),
        ..trim
    };
    let (trimmed, times, (asked, locked)) = run(&engine, |batch| {
        batch.foresee_trim(0, b"s", trim)?;
        batch.add(0, b"s", NewId::Given(id(900)), &[b"f", b"v"])?;
        batch.trim(0, b"s", trim)
    });
    assert_eq!((trimmed.unwrap(), times, asked, locked), (103, 2, 1, 0));
}

#[test]
fn a_delivery_asks_for_all_that_it_hands_out() {
    let (_dir, engine) = cold_engine();
    let cursor = Cursor {
        id: id(10),
        entries_read: None,
    };
    engine.lock().create_group(0, b"s", b"g", cursor).unwrap();
    let member = Member {
        group: b"g",
        consumer: b"c",
    };
    let (given, times, (asked, locked)) = run(&engine, |batch| {
        let deliver = Deliver {
            count: Some(140),
            ..Deliver::default()
        };
        batch.deliver(0, b"s", member, deliver)
    });
    let given = given.unwrap();
    assert_eq!((given.entries.len(), locked), (140, 0));
    assert!(asked >= 4 && times <= 4, "{asked} blocks, {times} times");
}

#[test]
fn entries_that_go_by_themselves_go_a_little_later_rather_than_to_be_looked_for_under_the_lock() {
    let (_dir, engine) = cold_engine();
    let retention = Retention {
        length: Some(100),
        ..Retention::default()
    };
    engine.lock().set_retention(0, b"s", retention).unwrap();
    let (added, times, loads) = run(&engine, |batch| {
        batch.add(0, b"s", NewId::Given(id(900)), &[b"f", b"v"])
    });
    assert!(added.is_ok());
    assert_eq!((times, loads), (1, (0, 0)));
    assert_eq!(engine.lock().stream(0, b"s").unwrap().length, ENTRIES + 1);
    let (retained, times, (asked, locked)) = run(&engine, |batch| batch.retain_due(10));
    assert!(retained.is_ok());
    assert_eq!((times, asked, locked), (2, 1, 0));
    assert_eq!(engine.lock().stream(0, b"s").unwrap().length, 100);
}

#[test]
fn what_cannot_be_loaded_is_the_error_of_the_command() {
    let (dir, engine) = cold_engine();
    let sorted = std::fs::read_dir(dir.path().join("sorted")).unwrap();
    for file in sorted {
        let path = file.unwrap().path();
        let file = File::options().write(true).open(path).unwrap();
        // In the first block, which lies behind the header.
        file.write_at(b"?????", HEADER_LEN as u64 + 20).unwrap();
    }
    let (found, times, _) = run(&engine, |batch| batch.range(0, b"s", range(2, 3)));
    assert!(matches!(found, Err(Error::Corrupt { .. })), "{found:?}");
    assert_eq!(times, 2);
}

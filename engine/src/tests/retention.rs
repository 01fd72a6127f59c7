//! What goes by itself, and what does not.

use std::path::Path;
use std::sync::Arc;

use super::options;
use crate::batch::{Batch, Cursor, Deliver, Member, NewId};
use crate::engine::Engine;
use crate::id::EntryId;
use crate::storage::simulated::{SimulatedClock, SimulatedStorage};
use crate::{Kept, Retention};

const KEY: &[u8] = b"k";

fn open(storage: &SimulatedStorage) -> Engine {
    let clock = Arc::new(SimulatedClock::new(0));
    Engine::open_on(Arc::new(storage.clone()), clock, Path::new("/d"), options()).unwrap()
}

/// Adds entries with the given milliseconds.
fn add(batch: &mut Batch<'_>, key: &[u8], ms: impl IntoIterator<Item = u64>) {
    for ms in ms {
        let id = NewId::Given(EntryId::new(ms, 0));
        batch.add(0, key, id, &[b"f", b"v"]).unwrap();
    }
}

/// Length and first milliseconds of a stream, after all that was due at a time was done.
fn at(batch: &mut Batch<'_>, key: &[u8], now_ms: u64) -> (u64, u64) {
    batch.set_now(now_ms);
    while batch.retain_due(1).unwrap() {}
    let stream = batch.stream(0, key).unwrap();
    (stream.length, stream.first_id.ms)
}

fn age(age_ms: u64) -> Retention {
    Retention {
        age_ms: Some(age_ms),
        ..Retention::default()
    }
}

fn length(length: u64) -> Retention {
    Retention {
        length: Some(length),
        ..Retention::default()
    }
}

fn acked(acked_age_ms: u64) -> Retention {
    Retention {
        acked: Some(true),
        acked_age_ms: Some(acked_age_ms),
        ..Retention::default()
    }
}

fn group(batch: &mut Batch<'_>, group: &[u8]) {
    let cursor = Cursor {
        id: EntryId::MIN,
        entries_read: Some(0),
    };
    batch.create_group(0, KEY, group, cursor).unwrap();
}

fn deliver(batch: &mut Batch<'_>, group: &[u8], count: usize) {
    let deliver = Deliver {
        count: Some(count),
        ..Deliver::default()
    };
    let consumer = b"c";
    let member = Member { group, consumer };
    batch.deliver(0, KEY, member, deliver).unwrap();
}

fn ack(batch: &mut Batch<'_>, group: &[u8], ms: impl IntoIterator<Item = u64>) {
    let ids: Vec<_> = ms.into_iter().map(|ms| EntryId::new(ms, 0)).collect();
    batch.ack(0, KEY, group, &ids).unwrap();
}

#[test]
fn an_entry_goes_when_it_is_older_than_the_age_and_not_before() {
    let engine = open(&SimulatedStorage::new());
    let mut batch = engine.lock();
    add(&mut batch, KEY, [1000, 1001, 5000]);
    batch.set_retention(0, KEY, age(1000)).unwrap();
    assert_eq!(at(&mut batch, KEY, 2000), (3, 1000));
    assert_eq!(at(&mut batch, KEY, 2100), (1, 5000));
    // Who gets entries again is looked at again.
    assert_eq!(at(&mut batch, KEY, 9000), (0, 0));
    add(&mut batch, KEY, [9000]);
    assert_eq!(at(&mut batch, KEY, 10_000), (1, 9000));
    assert_eq!(at(&mut batch, KEY, 10_200), (0, 0));
}

#[test]
fn a_length_is_kept_to_by_additions_and_when_it_is_set() {
    let engine = open(&SimulatedStorage::new());
    let mut batch = engine.lock();
    add(&mut batch, KEY, 1..=100);
    batch.set_retention(0, KEY, length(64)).unwrap();
    assert_eq!(at(&mut batch, KEY, 0), (64, 37));
    // A sixteenth of 64 is a node of 4: so much more there may be.
    add(&mut batch, KEY, 101..=104);
    assert_eq!(batch.stream(0, KEY).unwrap().length, 68);
    add(&mut batch, KEY, [105]);
    assert_eq!(batch.stream(0, KEY).unwrap().length, 64);
    assert_eq!(
        batch.take_retained(),
        [(0, KEY.to_vec()), (0, KEY.to_vec())]
    );
    batch.set_retention(0, KEY, length(3)).unwrap();
    add(&mut batch, KEY, [106]);
    assert_eq!(batch.stream(0, KEY).unwrap().length, 3);
}

fn bytes(bytes: u64) -> Retention {
    Retention {
        bytes: Some(bytes),
        ..Retention::default()
    }
}

/// Bytes that a stream takes by the index.
fn held(batch: &mut Batch<'_>, key: &[u8]) -> u64 {
    let slot = batch.core().state.keyspace.find(0, key).unwrap();
    let stream = batch.core().state.keyspace.stream(slot).unwrap();
    stream.index.bytes()
}

/// Adds entries with the given milliseconds and a value of `len` bytes.
fn add_large(batch: &mut Batch<'_>, ms: impl IntoIterator<Item = u64>, len: usize) {
    for ms in ms {
        let id = NewId::Given(EntryId::new(ms, 0));
        batch.add(0, KEY, id, &[b"f", &vec![b'v'; len]]).unwrap();
    }
}

#[test]
fn bytes_are_kept_to_by_additions_and_when_they_are_set() {
    let engine = open(&SimulatedStorage::new());
    let mut batch = engine.lock();
    add_large(&mut batch, 1..=100, 100);
    let each = held(&mut batch, KEY) / 100;
    assert!((100..150).contains(&each), "{each}");
    batch.set_retention(0, KEY, bytes(50 * each)).unwrap();
    assert_eq!(at(&mut batch, KEY, 0), (50, 51));
    // Counted when a node starts: 50, a sixteenth, and what a node of 4 may add to that.
    for ms in 101..=300 {
        add_large(&mut batch, [ms], 100);
        let length = batch.stream(0, KEY).unwrap().length;
        assert!((50..=50 + 3 + 4).contains(&length), "{length}");
    }
    // An entry that is large takes many small ones with it, and the last one stays in any case.
    add_large(&mut batch, [301], 40 * usize::try_from(each).unwrap());
    assert!(held(&mut batch, KEY) <= 54 * each);
    add_large(&mut batch, [302], 100 * usize::try_from(each).unwrap());
    assert_eq!(at(&mut batch, KEY, 0), (1, 302));
}

#[test]
fn a_default_of_bytes_is_kept_to_and_a_lower_one_at_once() {
    let engine = open(&SimulatedStorage::new());
    let mut batch = engine.lock();
    add_large(&mut batch, 1..=100, 100);
    let each = held(&mut batch, KEY) / 100;
    let kept = |entries: u64| Kept {
        bytes: entries * each,
        ..Kept::default()
    };
    let mut ms = 100;
    for entries in [200, 90] {
        batch.set_retention_defaults(kept(entries));
        while batch.retain_due(1).unwrap() {}
        for _ in 0..300 {
            ms += 1;
            add_large(&mut batch, [ms], 100);
            let length = batch.stream(0, KEY).unwrap().length;
            assert!(length <= entries + entries / 16 + 4, "{length}");
        }
        assert!(batch.stream(0, KEY).unwrap().length >= entries);
    }
}

#[test]
fn bytes_are_those_on_disk_and_the_same_after_a_restart() {
    let storage = SimulatedStorage::new();
    let engine = open(&storage);
    let mut batch = engine.lock();
    add_large(&mut batch, 1..=200, 100);
    let in_log = held(&mut batch, KEY);
    // What went takes its share along.
    let ids: Vec<_> = (100..120).map(|ms| EntryId::new(ms, 0)).collect();
    batch.delete_entries(0, KEY, &ids).unwrap();
    assert_eq!(held(&mut batch, KEY), in_log / 200 * 180);
    batch.end_command();
    drop(batch);
    for _ in 0..2 {
        engine.checkpoint().unwrap();
        engine.reload().unwrap();
        assert_eq!(held(&mut engine.lock(), KEY), in_log / 200 * 180);
    }
    super::sort_all(&engine);
    let mut batch = engine.lock();
    let sorted = held(&mut batch, KEY);
    assert!(
        sorted < in_log / 2,
        "{sorted} of {in_log}: all values are equal"
    );
    drop(batch);
    engine.reload().unwrap();
    let mut batch = engine.lock();
    assert_eq!(held(&mut batch, KEY), sorted);
    let index = |batch: &mut Batch<'_>| {
        let slot = batch.core().state.keyspace.find(0, KEY).unwrap();
        let index = &batch.core().state.keyspace.stream(slot).unwrap().index;
        (index.count_of_bytes(0), index.count_of_bytes(u64::MAX))
    };
    assert_eq!(index(&mut batch), (0, 179));
    batch.set_retention(0, KEY, bytes(sorted / 2)).unwrap();
    at(&mut batch, KEY, 0);
    assert!(held(&mut batch, KEY) <= sorted / 2);
    let length = batch.stream(0, KEY).unwrap().length;
    assert!((1..180).contains(&length), "{length}");
}

#[test]
fn a_copy_is_looked_at_when_all_of_it_is_there() {
    let engine = open(&SimulatedStorage::new());
    let mut batch = engine.lock();
    add(&mut batch, KEY, 1..=20);
    batch.set_retention(0, KEY, length(0)).unwrap();
    batch.set_retention_defaults(Kept {
        length: 5,
        ..Kept::default()
    });
    assert_eq!(at(&mut batch, KEY, 0).0, 20);
    batch.copy(0, KEY, 0, b"copy").unwrap();
    batch
        .set_retention(0, b"copy", Retention::default())
        .unwrap();
    assert_eq!(at(&mut batch, b"copy", 0).0, 5);
}

#[test]
fn what_all_groups_have_acknowledged_goes_and_nothing_else() {
    let engine = open(&SimulatedStorage::new());
    let mut batch = engine.lock();
    add(&mut batch, KEY, 1..=9);
    batch.set_retention(0, KEY, acked(0)).unwrap();
    assert_eq!(at(&mut batch, KEY, 99_999), (9, 1), "there is no group");
    group(&mut batch, b"g");
    group(&mut batch, b"h");
    deliver(&mut batch, b"g", 6);
    deliver(&mut batch, b"h", 4);
    ack(&mut batch, b"g", [1, 2, 3, 5]);
    ack(&mut batch, b"h", [1, 2, 3, 4]);
    assert_eq!(at(&mut batch, KEY, 99_999), (6, 4), "g holds 4");
    ack(&mut batch, b"g", [4]);
    assert_eq!(at(&mut batch, KEY, 99_999), (5, 5), "h did not get 5");
    batch.remove_group(0, KEY, b"h").unwrap();
    assert_eq!(at(&mut batch, KEY, 99_999), (4, 6), "g holds 6");
    batch.remove_group(0, KEY, b"g").unwrap();
    assert_eq!(at(&mut batch, KEY, 99_999), (4, 6), "there is no group");
}

#[test]
fn a_group_that_is_dead_holds_nothing_that_is_older_than_the_bound() {
    let engine = open(&SimulatedStorage::new());
    let mut batch = engine.lock();
    add(&mut batch, KEY, (1..=9).map(|n| n * 1000));
    group(&mut batch, b"dead");
    deliver(&mut batch, b"dead", 1);
    batch.set_retention(0, KEY, acked(5000)).unwrap();
    assert_eq!(at(&mut batch, KEY, 6000), (9, 1000));
    assert_eq!(at(&mut batch, KEY, 6100), (8, 2000));
    assert_eq!(at(&mut batch, KEY, 12_900), (2, 8000));
}

#[test]
fn what_is_set_goes_before_the_defaults_and_zero_is_no_bound() {
    let engine = open(&SimulatedStorage::new());
    let mut batch = engine.lock();
    for key in [&b"a"[..], b"b", b"c"] {
        add(&mut batch, key, 1..=9);
    }
    batch.set_retention(0, b"b", length(7)).unwrap();
    batch.set_retention(0, b"c", length(0)).unwrap();
    batch.set_retention_defaults(Kept {
        length: 2,
        ..Kept::default()
    });
    let lengths = [&b"a"[..], b"b", b"c"].map(|key| at(&mut batch, key, 0).0);
    assert_eq!(lengths, [2, 7, 9]);
    batch.set_retention(0, b"c", Retention::default()).unwrap();
    assert_eq!(at(&mut batch, b"c", 0).0, 2);
    batch.set_retention_defaults(Kept::default());
    add(&mut batch, b"a", 10..=19);
    assert_eq!(at(&mut batch, b"a", 0).0, 12);
}

#[test]
fn settings_stay_with_the_stream() {
    let storage = SimulatedStorage::new();
    let engine = open(&storage);
    let mut batch = engine.lock();
    add(&mut batch, KEY, 1..=9);
    batch.set_retention(0, KEY, age(50)).unwrap();
    batch.copy(0, KEY, 0, b"copy").unwrap();
    batch.rename(0, KEY, 0, b"renamed").unwrap();
    let export = batch.export(0, b"copy").unwrap().unwrap();
    assert_eq!(export.parts.retention, age(50));
    drop(batch);
    engine.sync().unwrap();
    let storage = storage.kill();
    // From the log, then from the checkpoint that the first end takes.
    for _ in 0..2 {
        let engine = open(&storage);
        let mut batch = engine.lock();
        for key in [&b"copy"[..], b"renamed"] {
            assert_eq!(batch.retention(0, key), Some(age(50)));
            assert_eq!(at(&mut batch, key, 55), (5, 5));
        }
        drop(batch);
        engine.close().unwrap();
    }
}

#[test]
fn a_stream_that_is_gone_stands_in_no_line() {
    let engine = open(&SimulatedStorage::new());
    let mut batch = engine.lock();
    for round in 0..3 {
        add(&mut batch, KEY, [1000]);
        batch.set_retention(0, KEY, age(10_000)).unwrap();
        assert_eq!(at(&mut batch, KEY, 1000), (1, 1000));
        match round {
            0 => drop(batch.remove(0, KEY).unwrap()),
            1 => batch.flush(Some(0)).unwrap(),
            _ => batch.set_retention(0, KEY, Retention::default()).unwrap(),
        }
        while batch.retain_due(9).unwrap() {}
        let lines = &batch.core().state.keyspace.lines;
        assert!(!lines.has_due(u64::MAX), "{lines:?}");
    }
}

//! Backups: which state they hold, what a crash leaves of them, and that neither side can touch
//! what both share.

use super::*;
use crate::BackupReport;

const BACKUP: &str = "/data/backup/one";
const UNFINISHED: &str = "/data/backup/one.unfinished";

fn back_up(engine: &Engine) -> Result<BackupReport> {
    engine.backup(Path::new(BACKUP), &mut |_| ControlFlow::Continue(()))
}

fn open_at(storage: &SimulatedStorage, dir: &str) -> Result<Engine> {
    let clock = Arc::new(SimulatedClock::new(1_000));
    Engine::open_on(Arc::new(storage.clone()), clock, Path::new(dir), options())
}

/// An engine after the first steps of the script, over several segments.
fn filled(storage: &SimulatedStorage) -> Engine {
    let engine = open(storage).unwrap();
    for step in &SCRIPT[..10] {
        step(&engine).unwrap();
    }
    engine
}

fn grow(engine: &Engine, from_ms: u64) {
    for ms in from_ms..from_ms + 6 {
        commit(engine, |batch| add(batch, ms, 2500).map(drop)).unwrap();
    }
}

/// No link can be made: all is copied.
fn refuse_links(storage: &SimulatedStorage) {
    for nth in 0..100 {
        let error = Fault::Error(std::io::ErrorKind::CrossesDevices);
        storage.fail(Call::Link, nth, error);
    }
}

/// A checksum of each file in a directory.
fn contents(storage: &SimulatedStorage, dir: &str) -> Vec<(PathBuf, u32)> {
    let files = storage.files().into_iter();
    let files = files.filter(|path| path.starts_with(dir));
    files
        .map(|path| (path.clone(), crc32fast::hash(&storage.content(&path))))
        .collect()
}

#[test]
fn a_backup_opens_with_the_state_that_it_was_made_of() {
    for links in [true, false] {
        let storage = SimulatedStorage::new();
        let engine = filled(&storage);
        if !links {
            refuse_links(&storage);
        }
        let expected = picture(&engine);
        let report = back_up(&engine).unwrap();
        assert_eq!(report.end, engine.stats().durable);
        assert_eq!(report.linked_bytes > 0, links);
        assert_eq!(report.bytes, report.linked_bytes + report.copied_bytes);
        grow(&engine, 100);
        let later = picture(&engine);

        let copy = open_at(&storage, BACKUP).unwrap();
        assert_eq!(picture(&copy), expected);
        assert_eq!(copy.recovery().torn_bytes, 0);
        grow(&copy, 200);
        copy.checkpoint().unwrap();
        let of_copy = picture(&copy);
        // Both go on, and both survive a power cut.
        let storage = storage.crash(7);
        assert_eq!(picture(&open(&storage).unwrap()), later);
        assert_eq!(picture(&open_at(&storage, BACKUP).unwrap()), of_copy);
    }
}

/// Durability: C10, C11.
#[test]
fn a_crash_during_a_backup_loses_nothing_and_leaves_no_half_of_one() {
    let storage = SimulatedStorage::new();
    let engine = filled(&storage);
    let expected = picture(&engine);
    let before = storage.calls();
    back_up(&engine).unwrap();
    let calls = storage.calls();
    assert!(calls > before + 15, "{} calls", calls - before);
    let (mut complete, mut refused) = (0, 0);
    for at in before..calls {
        for seed in 0..6 {
            let storage = SimulatedStorage::new();
            let engine = filled(&storage);
            storage.crash_at(at);
            back_up(&engine).unwrap_err();
            let storage = storage.crash(at * 11 + seed);
            let find = |name: &str| {
                let names = storage.list(Path::new("/data/backup")).unwrap_or_default();
                names.iter().any(|entry| entry.name == name)
            };
            let place = format!("crash at {at}, seed {seed}");
            if find("one") {
                complete += 1;
                let copy = open_at(&storage.snapshot(), BACKUP).unwrap();
                assert_eq!(picture(&copy), expected, "{place}");
            }
            if find("one.unfinished") {
                let files = contents(&storage, UNFINISHED);
                let has_files = files.iter().any(|(path, _)| !path.ends_with("LOCK"));
                match open_at(&storage.snapshot(), UNFINISHED) {
                    Ok(copy) if has_files => assert_eq!(picture(&copy), expected, "{place}"),
                    Ok(_) => {}
                    Err(_) => refused += 1,
                }
            }
            let engine = open(&storage).unwrap();
            assert_eq!(picture(&engine), expected, "{place}");
            if !find("one") {
                // What is left is no hindrance.
                back_up(&engine).unwrap();
                let copy = open_at(&storage, BACKUP).unwrap();
                assert_eq!(picture(&copy), expected, "{place}");
            }
        }
    }
    assert!(complete > 0 && refused > 0, "{complete}, {refused}");
}

#[test]
fn what_a_backup_shares_is_never_written_again() {
    for seed in 0..20 {
        let storage = SimulatedStorage::new();
        let engine = filled(&storage);
        let report = back_up(&engine).unwrap();
        assert!(report.linked_bytes > 0);
        let shared = contents(&storage, BACKUP);
        // The original goes on, loses power in the middle, recovers, drops what it needs no more.
        storage.crash_at(storage.calls() + 3 + seed);
        let add_one = |batch: &mut Batch<'_>| batch.add(0, KEY, NewId::Auto, &[b"f", &[7; 900]]);
        while commit(&engine, |batch| add_one(batch).map(drop)).is_ok() {}
        let storage = storage.crash(seed);
        assert_eq!(contents(&storage, BACKUP), shared);
        let engine = open(&storage).unwrap();
        assert_eq!(contents(&storage, BACKUP), shared);
        commit(&engine, |batch| batch.flush(None)).unwrap();
        grow(&engine, 1 << 20);
        engine.checkpoint().unwrap();
        grow(&engine, 2 << 20);
        engine.checkpoint().unwrap();
        assert_eq!(contents(&storage, BACKUP), shared);
        drop(engine);
        // And the other way round.
        let original = contents(&storage, "/data/log");
        let copy = open_at(&storage, BACKUP).unwrap();
        commit(&copy, |batch| batch.flush(None)).unwrap();
        grow(&copy, 3 << 20);
        drop(open_at(&storage.crash(seed), BACKUP).unwrap());
        assert_eq!(contents(&storage, "/data/log"), original);
    }
}

#[test]
fn recovery_without_a_checkpoint_writes_to_the_last_segment_alone() {
    let storage = SimulatedStorage::new();
    let engine = filled(&storage);
    let active = engine.stats().appended.0 / 8192 * 8192;
    assert!(active > 0);
    drop(engine);
    // Nothing tells of the end of a segment but that frames follow in the next one.
    for path in checkpoint_files(&storage) {
        storage.unlink(&path).unwrap();
    }
    let active = format!("write /data/log/{active:016x}.seg");
    let mut failed = 0;
    for nth in 0..4 {
        let storage = storage.snapshot();
        storage.fail(Call::Write, nth, Fault::Error(std::io::ErrorKind::Other));
        if let Err(error) = open(&storage) {
            failed += 1;
            let error = error.to_string();
            assert!(error.starts_with(&active), "{error}");
        }
    }
    assert!(failed > 0);
}

#[test]
fn segments_stay_until_the_backup_has_them() {
    let storage = SimulatedStorage::new();
    let engine = filled(&storage);
    grow(&engine, 50);
    let expected = picture(&engine);
    let segments = engine.stats().segments;
    refuse_links(&storage);
    let mut calls = 0;
    let mut watch = |_| {
        calls += 1;
        // The checkpoint is copied by now.
        if calls == 2 {
            for ms in 0..3 {
                commit(&engine, |batch| batch.flush(None)).unwrap();
                commit(&engine, |batch| add(batch, 9000 + ms, 10).map(drop)).unwrap();
                engine.checkpoint().unwrap();
            }
            assert!(engine.stats().segments + 1 >= segments);
        }
        ControlFlow::Continue(())
    };
    engine.backup(Path::new(BACKUP), &mut watch).unwrap();
    assert_eq!(picture(&open_at(&storage, BACKUP).unwrap()), expected);
    // They go with the next checkpoint.
    commit(&engine, |batch| add(batch, 9100, 10).map(drop)).unwrap();
    engine.checkpoint().unwrap();
    assert!(
        engine.stats().segments < segments / 2,
        "{}",
        engine.stats().segments
    );
}

/// Durability: F4.
#[test]
fn a_backup_that_cannot_be_made_leaves_nothing_behind() {
    use std::io::ErrorKind::{Other, StorageFull};
    let faults = [
        (Call::Write, StorageFull),
        (Call::Sync, Other),
        (Call::Allocate, StorageFull),
        (Call::Rename, Other),
        (Call::SyncDir, Other),
        (Call::CreateDir, Other),
        (Call::Read, Other),
    ];
    for (call, kind) in faults {
        let storage = SimulatedStorage::new();
        let engine = filled(&storage);
        // So that the faults meet the backup and not its checkpoint.
        engine.checkpoint().unwrap();
        let (expected, used) = (picture(&engine), storage.used());
        storage.fail(call, 0, Fault::Error(kind));
        back_up(&engine).unwrap_err();
        assert_eq!(storage.used(), used, "{call:?}");
        assert!(contents(&storage, "/data/backup").is_empty(), "{call:?}");
        commit(&engine, |batch| batch.create_stream(0, b"more")).unwrap();
        assert_ne!(picture(&engine), expected);
        back_up(&engine).unwrap();
        let copy = open_at(&storage, BACKUP).unwrap();
        assert_eq!(picture(&copy), picture(&engine));
    }
}

/// Durability: F4.
#[test]
fn a_full_disk_fails_the_backup_and_not_the_broker() {
    let storage = SimulatedStorage::new();
    let engine = filled(&storage);
    storage.set_capacity(Some(storage.used() + 6_000));
    let refused = back_up(&engine).unwrap_err().to_string();
    assert!(refused.contains("one.unfinished"), "{refused}");
    assert!(contents(&storage, "/data/backup").is_empty());
    commit(&engine, |batch| batch.create_stream(0, b"more")).unwrap();
    storage.set_capacity(None);
    grow(&engine, 100);
    back_up(&engine).unwrap();
}

#[test]
fn a_name_that_is_taken_and_a_watch_that_ends_it_are_errors() {
    use std::io::ErrorKind::{AlreadyExists, Interrupted};
    let storage = SimulatedStorage::new();
    let engine = filled(&storage);
    let kind_of = |error| match error {
        Error::Io { source, .. } => source.kind(),
        other => panic!("{other}"),
    };
    let mut end = |_| ControlFlow::Break(());
    let error = engine.backup(Path::new(BACKUP), &mut end).unwrap_err();
    assert_eq!(kind_of(error), Interrupted);
    assert!(contents(&storage, "/data/backup").is_empty());
    back_up(&engine).unwrap();
    let before = contents(&storage, BACKUP);
    assert_eq!(kind_of(back_up(&engine).unwrap_err()), AlreadyExists);
    assert_eq!(contents(&storage, BACKUP), before);
}

#[test]
fn a_backup_under_load_holds_all_that_was_acknowledged_before_and_no_half_of_a_transaction() {
    let length = |engine: &Engine, key: &[u8]| {
        let stream = engine.lock().stream(0, key);
        stream.map_or(0, |stream| stream.length)
    };
    for policy in [SyncPolicy::Always, SyncPolicy::EverySecond] {
        let storage = SimulatedStorage::new();
        let engine = open_threaded(&storage, policy);
        let (acked, is_over) = (AtomicU64::new(0), AtomicU64::new(0));
        let load = || {
            while is_over.load(Ordering::SeqCst) == 0 {
                let pair = |batch: &mut Batch<'_>| {
                    batch.add(0, b"a", NewId::Auto, &[b"f", &[1; 300]])?;
                    batch.add(0, b"b", NewId::Auto, &[b"f", &[2; 300]])
                };
                commit(&engine, |batch| pair(batch).map(drop)).unwrap();
                acked.fetch_add(1, Ordering::SeqCst);
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(load);
            }
            for number in 0..5 {
                while acked.load(Ordering::SeqCst) < number * 30 + 30 {
                    std::thread::yield_now();
                }
                let before = acked.load(Ordering::SeqCst);
                let dir = format!("/elsewhere/{number}");
                let mut go_on = |_| ControlFlow::Continue(());
                engine.backup(Path::new(&dir), &mut go_on).unwrap();
                let copy = open_at(&storage, &dir).unwrap();
                let pair = (length(&copy, b"a"), length(&copy, b"b"));
                assert_eq!(pair.0, pair.1);
                assert!(pair.0 >= before, "{pair:?}, {before} before");
                try_picture(&copy).expect("every entry can be read");
            }
            is_over.store(1, Ordering::SeqCst);
        });
    }
}

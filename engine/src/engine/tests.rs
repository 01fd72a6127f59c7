//! The engine as a whole, on a simulated disk: what survives which end.

mod backup;
mod damage;
mod merging;
mod quota;
#[cfg(feature = "schedule")]
mod schedule;
mod small_scope;
pub(crate) mod sorting;

use std::fmt::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::storage::simulated::{Call, Fault, SimulatedClock, SimulatedStorage};
use crate::storage::{Access, Storage};
use crate::{
    Batch, Cursor, Deliver, Engine, EntryId, Error, Lsn, Member, NewId, Options, Range, Recovery,
    Result, SyncPolicy, Threads, Trim, TrimStrategy,
};

pub(crate) const DIR: &str = "/data";
const KEY: &[u8] = b"orders";
const GROUP: &[u8] = b"workers";

pub(crate) fn options() -> Options {
    Options {
        segment_size: 8 << 10,
        threads: Threads::Inline,
        checkpoint_on_close: false,
        node_entries_max: 4,
        ..Options::default()
    }
}

pub(crate) fn open_with(storage: &SimulatedStorage, options: Options) -> Result<Engine> {
    let clock = Arc::new(SimulatedClock::new(1_000));
    Engine::open_on(Arc::new(storage.clone()), clock, Path::new(DIR), options)
}

fn open(storage: &SimulatedStorage) -> Result<Engine> {
    open_with(storage, options())
}

fn member(consumer: &[u8]) -> Member<'_> {
    Member {
        group: GROUP,
        consumer,
    }
}

fn add(batch: &mut Batch<'_>, ms: u64, len: usize) -> Result<EntryId> {
    let value = vec![b'v'; len];
    batch.add(
        0,
        KEY,
        NewId::Given(EntryId::new(ms, 1)),
        &[b"field", &value],
    )
}

fn commit(engine: &Engine, command: impl FnOnce(&mut Batch<'_>) -> Result<()>) -> Result<Lsn> {
    let mut batch = engine.lock();
    batch.set_now(5_000);
    command(&mut batch)?;
    let lsn = batch.end_command();
    drop(batch);
    engine.submit();
    engine.wait_settled(lsn)?;
    Ok(lsn)
}

/// All that can be seen of the state, as text.
pub(crate) fn picture(engine: &Engine) -> String {
    try_picture(engine).unwrap()
}

/// Like [`picture`], if all entries can be read.
fn try_picture(engine: &Engine) -> Result<String> {
    let mut picture = String::new();
    let mut batch = engine.lock();
    batch.set_now(5_000);
    let mut keys = Vec::new();
    let mut cursor = 0;
    loop {
        cursor = batch.scan(0, cursor, 10, &mut |key| keys.push(key.to_vec()));
        if cursor == 0 {
            break;
        }
    }
    keys.sort();
    let mut plans = Vec::new();
    for key in &keys {
        let name = String::from_utf8_lossy(key);
        writeln!(picture, "{name} {:?}", batch.stream(0, key)).unwrap();
        writeln!(picture, "{:?}", batch.retention(0, key)).unwrap();
        // How many were repeated is counted without waiting for it.
        let messages = batch.producers(0, key).map(|it| (it.messages, it.added));
        writeln!(picture, "{messages:?}").unwrap();
        let groups = batch.groups(0, key)?;
        writeln!(picture, "{groups:?}").unwrap();
        for group in groups {
            let consumers = batch.consumers(0, key, &group.name)?;
            writeln!(picture, "{consumers:?}").unwrap();
            let filter = crate::PendingFilter {
                min_idle_ms: 0,
                start: EntryId::MIN,
                end: EntryId::MAX,
                count: 1000,
                consumer: None,
            };
            let pending = batch.pending_range(0, key, &group.name, &filter)?;
            writeln!(picture, "{pending:?}").unwrap();
        }
        plans.extend(batch.range(0, key, between(EntryId::MIN, EntryId::MAX))?);
    }
    let lsn = batch.end_command();
    drop(batch);
    engine.wait_settled(lsn)?;
    for plan in plans {
        plan.visit(0, &mut |id, fields| {
            writeln!(picture, "{id} {}", digest(fields)).unwrap();
            ControlFlow::Continue(())
        })?;
    }
    Ok(picture)
}

fn between(start: EntryId, end: EntryId) -> Range {
    Range {
        start,
        end,
        reverse: false,
        count: None,
    }
}

/// Length and checksum of an entry's fields.
fn digest(fields: Option<crate::Fields<'_>>) -> String {
    let bytes: Vec<u8> = fields.into_iter().flatten().flatten().copied().collect();
    format!("{} {}", bytes.len(), crc32fast::hash(&bytes))
}

pub(crate) type Step = fn(&Engine) -> Result<()>;

fn step(engine: &Engine, command: impl FnOnce(&mut Batch<'_>) -> Result<()>) -> Result<()> {
    commit(engine, command).map(drop)
}

/// A workload with a bit of everything, over several segments and checkpoints.
pub(crate) const SCRIPT: &[Step] = &[
    |engine| step(engine, |batch| add(batch, 1, 900).map(drop)),
    |engine| {
        step(engine, |batch| {
            let id = EntryId::MIN;
            let entries_read = Some(0);
            batch.create_group(0, KEY, GROUP, Cursor { id, entries_read })
        })
    },
    |engine| step(engine, |batch| add(batch, 2, 900).map(drop)),
    |engine| {
        step(engine, |batch| {
            let deliver = Deliver {
                count: Some(1),
                noack: false,
                ..Deliver::default()
            };
            batch.deliver(0, KEY, member(b"alice"), deliver).map(drop)
        })
    },
    // A transaction that crosses a segment.
    |engine| {
        step(engine, |batch| {
            for ms in 3..7 {
                add(batch, ms, 1200)?;
            }
            batch.ack(0, KEY, GROUP, &[EntryId::new(1, 1)]).map(drop)
        })
    },
    |engine| engine.checkpoint().map(drop),
    |engine| {
        step(engine, |batch| {
            batch
                .delete_entries(0, KEY, &[EntryId::new(4, 1)])
                .map(drop)
        })
    },
    |engine| {
        step(engine, |batch| {
            let deliver = Deliver::default();
            batch.deliver(0, KEY, member(b"bob"), deliver).map(drop)
        })
    },
    |engine| {
        step(engine, |batch| {
            let trim = Trim {
                strategy: TrimStrategy::MaxLen(3),
                approximate: false,
                limit: None,
                references: crate::RefPolicy::Keep,
            };
            batch.trim(0, KEY, trim).map(drop)
        })
    },
    |engine| step(engine, |batch| batch.copy(0, KEY, 0, b"copy")),
    |engine| engine.checkpoint().map(drop),
    |engine| step(engine, |batch| batch.rename(0, b"copy", 0, b"renamed")),
    |engine| step(engine, |batch| add(batch, 9, 2500).map(drop)),
    |engine| step(engine, |batch| batch.remove(0, b"renamed").map(drop)),
    |engine| step(engine, |batch| batch.flush(Some(0))),
    |engine| step(engine, |batch| add(batch, 11, 2500).map(drop)),
    |engine| engine.checkpoint().map(drop),
    |engine| step(engine, |batch| add(batch, 12, 2500).map(drop)),
    |engine| engine.checkpoint().map(drop),
];

/// The picture before the script, and after each of its steps; and the number of storage calls.
fn pictures() -> (Vec<String>, u64) {
    let storage = SimulatedStorage::new();
    let engine = open(&storage).unwrap();
    let mut pictures = vec![picture(&engine)];
    for step in SCRIPT {
        step(&engine).unwrap();
        pictures.push(picture(&engine));
    }
    (pictures, storage.calls())
}

/// Runs the script until the disk ends; the number of steps that were acknowledged.
fn run(storage: &SimulatedStorage) -> usize {
    let Ok(engine) = open(storage) else {
        return 0;
    };
    let acked = SCRIPT.iter().take_while(|step| step(&engine).is_ok());
    acked.count()
}

/// Durability: P1, P4, P6, P7, C1, C2, C3, C4, C5, C6, C7, C8, C9.
#[test]
fn what_was_acknowledged_survives_a_crash_at_every_call() {
    let (pictures, calls) = pictures();
    for at in 0..calls {
        for seed in 0..4 {
            let storage = SimulatedStorage::new();
            storage.crash_at(at);
            let acked = run(&storage);
            let storage = storage.crash(at * 7 + seed);
            // The recovery is cut short as well.
            storage.crash_at(seed * 2);
            drop(open(&storage));
            let storage = storage.crash(seed);
            let engine = open(&storage).unwrap();
            let found = picture(&engine);
            let expected = &pictures[acked..pictures.len().min(acked + 2)];
            assert!(
                expected.contains(&found),
                "crash at {at}, seed {seed}, {acked} steps acked: found\n{found}\nnot\n{expected:?}"
            );
            commit(&engine, |batch| add(batch, 99, 10).map(drop)).unwrap();
            let found = picture(&engine);
            drop(engine);
            let engine = open(&storage.crash(seed)).unwrap();
            assert_eq!(picture(&engine), found);
        }
    }
}

/// Durability: P10.
#[test]
fn checkpoint_and_replay_give_the_same_state_as_replay_alone() {
    let (pictures, _) = pictures();
    let storage = SimulatedStorage::new();
    let engine = open(&storage).unwrap();
    for (step, expected) in SCRIPT.iter().zip(&pictures[1..]) {
        step(&engine).unwrap();
        let reopened = open(&storage.snapshot()).unwrap();
        assert_eq!(picture(&reopened), *expected);
        engine.reload().unwrap();
        assert_eq!(picture(&engine), *expected);
    }
}

/// The files of a directory after the first steps of the script.
fn small_directory() -> SimulatedStorage {
    let storage = SimulatedStorage::new();
    let engine = open(&storage).unwrap();
    for step in &SCRIPT[..9] {
        step(&engine).unwrap();
    }
    storage
}

/// Durability: R5.
#[test]
fn a_damaged_checkpoint_costs_a_longer_replay_and_nothing_else() {
    let (pictures, _) = pictures();
    let storage = SimulatedStorage::new();
    let engine = open(&storage).unwrap();
    for step in SCRIPT {
        step(&engine).unwrap();
    }
    drop(engine);
    let checkpoints: Vec<_> = checkpoint_files(&storage);
    assert_eq!(checkpoints.len(), 2);
    storage.damage(&checkpoints[1], 40, b"?");
    let engine = open(&storage).unwrap();
    assert_eq!(engine.recovery().damaged_checkpoints, checkpoints[1..]);
    assert_eq!(picture(&engine), *pictures.last().unwrap());
}

fn checkpoint_files(storage: &SimulatedStorage) -> Vec<PathBuf> {
    let files = storage.files().into_iter();
    files
        .filter(|path| path.extension().is_some_and(|ending| ending == "ckpt"))
        .collect()
}

/// Durability: A5.
#[test]
fn a_second_process_is_refused() {
    let storage = SimulatedStorage::new();
    let engine = open(&storage).unwrap();
    assert!(matches!(open(&storage), Err(Error::Locked { .. })));
    drop(engine);
    open(&storage).unwrap();
}

/// Durability: R7, R8.
#[test]
fn unknown_files_are_reported_and_left_alone() {
    let storage = SimulatedStorage::new();
    open(&storage).unwrap().close().unwrap();
    let unknown = ["/data/notes", "/data/log/0.seg", "/data/checkpoint/old.bak"].map(PathBuf::from);
    for path in &unknown {
        storage.open(path, Access::Create).unwrap();
    }
    let unfinished = Path::new("/data/log/reserve.new");
    storage.open(unfinished, Access::Create).unwrap();
    let engine = open(&storage).unwrap();
    let mut reported = engine.recovery().unknown_files;
    reported.sort();
    let mut expected = unknown.to_vec();
    expected.sort();
    assert_eq!(reported, expected);
    let files = storage.files();
    assert!(unknown.iter().all(|path| files.contains(path)));
    assert!(!files.contains(&unfinished.to_owned()));
}

/// Durability: C7, C8.
#[test]
fn dead_segments_go_after_two_checkpoints() {
    let storage = SimulatedStorage::new();
    let engine = open(&storage).unwrap();
    for ms in 1..40 {
        commit(&engine, |batch| add(batch, ms, 1000).map(drop)).unwrap();
    }
    let before = engine.stats().segments;
    let trim = Trim {
        strategy: TrimStrategy::MaxLen(1),
        approximate: false,
        limit: None,
        references: crate::RefPolicy::Keep,
    };
    commit(&engine, |batch| batch.trim(0, KEY, trim).map(drop)).unwrap();
    engine.checkpoint().unwrap();
    assert_eq!(engine.stats().segments, before);
    commit(&engine, |batch| add(batch, 50, 10).map(drop)).unwrap();
    engine.checkpoint().unwrap();
    assert!(engine.stats().segments <= 2, "{}", engine.stats().segments);
    let expected = picture(&engine);
    drop(engine);
    assert_eq!(picture(&open(&storage.crash(1)).unwrap()), expected);
}

/// Durability: F2.
#[test]
fn a_full_disk_refuses_adds_takes_acks_and_recovers_by_trimming() {
    let storage = SimulatedStorage::new();
    let engine = open(&storage).unwrap();
    commit(&engine, |batch| {
        batch.create_stream(0, KEY)?;
        let id = EntryId::MIN;
        batch.create_group(
            0,
            KEY,
            GROUP,
            Cursor {
                id,
                entries_read: None,
            },
        )
    })
    .unwrap();
    commit(&engine, |batch| add(batch, 1, 1000).map(drop)).unwrap();
    commit(&engine, |batch| {
        let deliver = Deliver::default();
        batch.deliver(0, KEY, member(b"alice"), deliver).map(drop)
    })
    .unwrap();
    storage.set_capacity(Some(storage.used() + 60_000));
    let mut ms = 2;
    let refused = loop {
        if let Err(error) = commit(&engine, |batch| add(batch, ms, 1000).map(drop)) {
            break error;
        }
        ms += 1;
    };
    assert!(matches!(refused, Error::DiskFull), "{refused}");
    assert!(ms > 15);
    assert!(engine.stats().is_disk_full && !engine.is_poisoned());
    // Not a byte is left, and others take what we give back.
    storage.set_capacity(Some(storage.used()));
    let before = picture(&engine);
    let acked = |batch: &mut Batch<'_>| batch.ack(0, KEY, GROUP, &[EntryId::new(1, 1)]).map(drop);
    commit(&engine, acked).unwrap();
    assert_ne!(picture(&engine), before);
    let trim = Trim {
        strategy: TrimStrategy::MaxLen(1),
        approximate: false,
        limit: None,
        references: crate::RefPolicy::Keep,
    };
    commit(&engine, |batch| batch.trim(0, KEY, trim).map(drop)).unwrap();
    engine.checkpoint().unwrap();
    commit(&engine, |batch| add(batch, 1000, 1000).map(drop)).unwrap();
    let expected = picture(&engine);
    drop(engine);
    assert_eq!(picture(&open(&storage.crash(1)).unwrap()), expected);
}

/// An engine with threads on a simulated disk.
fn open_threaded(storage: &SimulatedStorage, sync_policy: SyncPolicy) -> Engine {
    let options = Options {
        threads: Threads::Background,
        sync_policy,
        ..options()
    };
    open_with(storage, options).unwrap()
}

/// Durability: P1, P2.
#[test]
fn many_writers_are_all_acknowledged_and_all_there() {
    for policy in [
        SyncPolicy::Always,
        SyncPolicy::EverySecond,
        SyncPolicy::Never,
    ] {
        let storage = SimulatedStorage::new();
        let engine = open_threaded(&storage, policy);
        let calls = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&calls);
        engine.on_progress(Arc::new(move || {
            counted.fetch_add(1, Ordering::SeqCst);
        }));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        commit(&engine, |batch| {
                            batch.add(0, KEY, NewId::Auto, &[b"f", &[0; 200]]).map(drop)
                        })
                        .unwrap();
                    }
                });
            }
        });
        assert_eq!(engine.lock().stream(0, KEY).unwrap().length, 400);
        assert!(calls.load(Ordering::SeqCst) > 0);
        assert!(engine.stats().segments > 5);
        let after = match policy {
            SyncPolicy::Always => storage.crash(1),
            _ => storage.kill(),
        };
        drop(engine);
        let engine = open(&after).unwrap();
        assert_eq!(engine.lock().stream(0, KEY).unwrap().length, 400);
    }
}

/// Durability: F1, F3.
#[test]
fn a_panic_or_an_error_of_the_commit_thread_releases_all_waiters() {
    for fault in [Fault::Panic, Fault::Error(std::io::ErrorKind::Other)] {
        for call in [Call::Write, Call::Sync] {
            let storage = SimulatedStorage::new();
            let engine = open_threaded(&storage, SyncPolicy::Always);
            // The preparing thread writes and syncs too; it is done when the reserve is there.
            while !storage
                .files()
                .contains(&PathBuf::from("/data/log/reserve"))
                || !engine.stats().is_spare_ready
            {
                std::thread::yield_now();
            }
            storage.fail(call, 0, fault);
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        let added = commit(&engine, |batch| {
                            batch.add(0, KEY, NewId::Auto, &[b"f", b"v"]).map(drop)
                        });
                        assert!(matches!(added, Err(Error::Poisoned)));
                    });
                }
            });
            assert!(engine.is_poisoned());
            storage.heal();
            // Reads go on.
            let mut batch = engine.lock();
            assert!(batch.stream(0, KEY).is_some());
            assert!(matches!(add(&mut batch, 1 << 40, 1), Err(Error::Poisoned)));
            drop(batch);
            engine.close().unwrap_err();
        }
    }
}

#[test]
fn what_is_removed_is_given_back_in_the_background() {
    let storage = SimulatedStorage::new();
    let engine = open_threaded(&storage, SyncPolicy::Never);
    let key = |number: u64| format!("stream:{number}").into_bytes();
    let mut batch = engine.lock();
    for number in 0..200 {
        batch
            .add(0, &key(number), NewId::Auto, &[b"f", &[0; 99]])
            .unwrap();
    }
    for ms in 1..200 {
        add(&mut batch, ms, 100).unwrap();
    }
    let start = Cursor {
        id: EntryId::MIN,
        entries_read: None,
    };
    batch.create_group(0, KEY, GROUP, start).unwrap();
    let deliver = Deliver::default();
    batch.deliver(0, KEY, member(b"a"), deliver).unwrap();
    batch.end_command();
    assert!(batch.remove_group(0, KEY, GROUP).unwrap());
    let trim = Trim {
        strategy: TrimStrategy::MaxLen(50),
        approximate: false,
        limit: None,
        references: crate::RefPolicy::Keep,
    };
    assert_eq!(batch.trim(0, KEY, trim).unwrap(), 149);
    batch.flush(None).unwrap();
    assert_eq!((batch.key_count(0), batch.exists(0, KEY)), (0, false));
    // The same slots are not used again before they are free.
    for ms in 1..9 {
        add(&mut batch, ms, 100).unwrap();
    }
    let waiting = engine.stats_in(&mut batch).remains;
    assert!(waiting >= 201, "{waiting}");
    batch.end_command();
    drop(batch);
    while engine.stats().remains > 0 {
        std::thread::yield_now();
    }
    assert!(engine.stats().reaped >= waiting);
    let live = |engine: &Engine| -> u64 {
        let live = engine.lock().core().log.segments().live();
        live.iter().map(|(_, live)| live).sum()
    };
    assert_eq!((live(&engine), engine.lock().key_count(0)), (8, 1));
    engine.checkpoint().unwrap();
    drop(engine);
    assert_eq!(live(&open(&storage).unwrap()), 8);
}

#[test]
fn an_engine_may_be_dropped_by_its_own_commit_thread() {
    let storage = SimulatedStorage::new();
    let engine = Arc::new(open_threaded(&storage, SyncPolicy::Always));
    let weak = Arc::downgrade(&engine);
    let (send, receive) = std::sync::mpsc::channel();
    engine.on_progress(Arc::new(move || {
        let engine = weak.upgrade();
        // Long enough for the test to let go of the engine first.
        std::thread::sleep(std::time::Duration::from_millis(50));
        drop(engine);
        send.send(()).ok();
    }));
    add(&mut engine.lock(), 1, 1).unwrap();
    engine.submit();
    std::thread::sleep(std::time::Duration::from_millis(10));
    drop(engine);
    let patience = std::time::Duration::from_secs(20);
    receive.recv_timeout(patience).unwrap();
    // The lock is let go of when all is closed.
    let engine = loop {
        if let Ok(engine) = open(&storage) {
            break engine;
        }
        std::thread::yield_now();
    };
    assert_eq!(engine.lock().stream(0, KEY).unwrap().length, 1);
}

/// Durability: F3.
#[test]
fn a_panic_in_a_command_poisons_the_log() {
    let storage = SimulatedStorage::new();
    let engine = open(&storage).unwrap();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut batch = engine.lock();
        add(&mut batch, 1, 1).unwrap();
        panic!("in the middle of a command");
    }));
    panicked.unwrap_err();
    assert!(engine.is_poisoned());
}

/// Durability: P9, R3, R4.
#[test]
fn salvage_serves_what_strict_refuses() {
    let storage = small_directory();
    for path in checkpoint_files(&storage) {
        storage.unlink(&path).unwrap();
    }
    let path = Path::new("/data/log/0000000000000000.seg");
    let offset = 4096 + 200;
    let byte = storage.content(path)[offset];
    storage.damage(path, offset, &[byte ^ 1]);
    let before = storage.content(path);
    let Err(Error::Corrupt {
        path: named,
        offset,
        ..
    }) = open(&storage)
    else {
        panic!("expected corruption");
    };
    assert_eq!((named.as_path(), offset), (path, 4096));
    assert_eq!(storage.content(path), before);
    let options = Options {
        recovery: Recovery::Salvage,
        ..options()
    };
    let engine = open_with(&storage, options).unwrap();
    assert!(!engine.recovery().losses.is_empty());
    assert_eq!(storage.content(path), before);
}

#[test]
fn a_policy_can_be_changed_while_running() {
    let storage = SimulatedStorage::new();
    let engine = open_threaded(&storage, SyncPolicy::Never);
    for policy in [
        SyncPolicy::Always,
        SyncPolicy::EverySecond,
        SyncPolicy::Always,
    ] {
        engine.set_sync_policy(policy);
        assert_eq!(engine.sync_policy(), policy);
        let lsn = commit(&engine, |batch| {
            batch.add(0, KEY, NewId::Auto, &[b"f", b"v"]).map(drop)
        });
        let stats = engine.stats();
        let is_durable = stats.durable >= lsn.unwrap();
        assert!(is_durable || policy != SyncPolicy::Always);
    }
}

#[test]
fn a_real_directory_opens_again() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        segment_size: 64 << 10,
        ..Options::default()
    };
    let engine = Engine::open(dir.path(), options.clone()).unwrap();
    for ms in 1..300 {
        commit(&engine, |batch| add(batch, ms, 1000).map(drop)).unwrap();
    }
    let expected = picture(&engine);
    assert!(matches!(
        Engine::open(dir.path(), options.clone()),
        Err(Error::Locked { .. })
    ));
    engine.reload().unwrap();
    assert_eq!(picture(&engine), expected);
    engine.close().unwrap();
    let engine = Engine::open(dir.path(), options).unwrap();
    assert_eq!(picture(&engine), expected);
    assert_eq!(engine.recovery().frames, 0, "the close took a checkpoint");
}

/// Durability: P5.
#[test]
fn a_read_waits_for_what_it_saw_and_for_nothing_else() {
    let storage = SimulatedStorage::new();
    let engine = open(&storage).unwrap();
    commit(&engine, |batch| batch.create_stream(0, b"quiet").map(drop)).unwrap();
    let mut batch = engine.lock();
    add(&mut batch, 1, 10).unwrap();
    batch.end_command();
    let settled = engine.settled();
    let all = between(EntryId::MIN, EntryId::MAX);
    batch.range(0, KEY, all).unwrap();
    assert!(batch.end_command() > settled, "a crash may take it back");
    batch.range(0, b"quiet", all).unwrap();
    assert!(batch.end_command() <= settled);
    batch.remove(0, b"quiet").unwrap();
    batch.end_command();
    assert!(batch.range(0, b"quiet", all).unwrap().is_none());
    let gone = batch.end_command();
    assert!(gone > settled, "a crash may bring it back");
    drop(batch);
    engine.wait_settled(gone).unwrap();
}

/// Waits until the preparing thread has nothing to do: it writes and syncs, too.
fn await_preparation(storage: &SimulatedStorage, engine: &Engine) {
    let reserves = ["/data/log/reserve", "/data/checkpoint/reserve"].map(PathBuf::from);
    let are_there = || {
        let files = storage.files();
        reserves.iter().all(|reserve| files.contains(reserve))
    };
    while !are_there() || !engine.stats().is_spare_ready {
        std::thread::yield_now();
    }
}

/// Durability: F3.
#[test]
fn a_checkpoint_that_panics_has_failed_and_the_next_one_is_taken() {
    let storage = SimulatedStorage::new();
    let options = Options {
        threads: Threads::Background,
        checkpoint_interval: 1,
        ..options()
    };
    let engine = open_with(&storage, options).unwrap();
    await_preparation(&storage, &engine);
    storage.fail(Call::Rename, 0, Fault::Panic);
    commit(&engine, |batch| add(batch, 1, 1).map(drop)).unwrap();
    while !engine.last_checkpoint().failed || engine.last_checkpoint().is_running {
        std::thread::yield_now();
    }
    while engine.last_checkpoint().taken == 0 {
        std::thread::yield_now();
    }
    assert!(!engine.last_checkpoint().failed && !engine.is_poisoned());
    drop(engine);
    assert!(
        open(&storage.crash(1))
            .unwrap()
            .recovery()
            .checkpoint
            .is_some()
    );
}

/// Durability: F3.
#[test]
fn a_segment_whose_making_panics_is_an_error_and_is_made_again() {
    let storage = SimulatedStorage::new();
    let engine = open_threaded(&storage, SyncPolicy::Always);
    await_preparation(&storage, &engine);
    storage.fail(Call::Allocate, 0, Fault::Panic);
    storage.fail(Call::Allocate, 1, Fault::Panic);
    let value = vec![b'v'; 2000];
    let added = || {
        commit(&engine, |batch| {
            batch.add(0, KEY, NewId::Auto, &[b"f", &value]).map(drop)
        })
    };
    let refused = (0..20).find_map(|_| added().err());
    assert!(refused.is_none_or(|error| matches!(error, Error::Io { .. })));
    // It is tried again by itself.
    while (0..20).any(|_| added().is_err()) {
        std::thread::yield_now();
    }
    assert!(!engine.is_poisoned());
}

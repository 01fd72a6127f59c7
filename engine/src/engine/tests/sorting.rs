//! Sorting on a simulated disk: what it moves is there after every end, and what it leaves behind
//! goes when no checkpoint can lead to it.

use super::*;
use crate::storage::simulated::Call;

pub(crate) const OTHER: &[u8] = b"invoices";
const COUNT: usize = 14;

/// A transaction of entries of two streams.
pub(crate) fn fill(engine: &Engine, from: u64, to: u64) -> Result<()> {
    step(engine, |batch| {
        for ms in from..to {
            add(batch, ms, 700)?;
            let id = NewId::Given(EntryId::new(ms, 2));
            let value = [b'o'; 200];
            batch.add(0, OTHER, id, &[b"other", &value])?;
        }
        Ok(())
    })
}

pub(crate) fn trim(engine: &Engine, strategy: TrimStrategy, approximate: bool) -> Result<()> {
    let trim = Trim {
        strategy,
        approximate,
        limit: None,
        references: crate::RefPolicy::Keep,
    };
    step(engine, |batch| batch.trim(0, KEY, trim).map(drop))
}

pub(crate) fn delete(engine: &Engine, ids: &[u64]) -> Result<()> {
    let ids: Vec<_> = ids.iter().map(|&ms| EntryId::new(ms, 1)).collect();
    step(engine, |batch| batch.delete_entries(0, KEY, &ids).map(drop))
}

pub(crate) fn sort(engine: &Engine) -> Result<()> {
    engine.sync()?;
    while engine.sort(0)? {}
    Ok(())
}

fn checkpoint(engine: &Engine) -> Result<()> {
    engine.checkpoint().map(drop)
}

/// Sorting between checkpoints, on both sides of deletions, trims, deliveries and removals.
pub(crate) const SCRIPT: &[Step] = &[
    |engine| fill(engine, 1, 9),
    |engine| {
        step(engine, |batch| {
            let id = EntryId::MIN;
            let entries_read = Some(0);
            batch.create_group(0, KEY, GROUP, Cursor { id, entries_read })
        })
    },
    |engine| fill(engine, 9, 20),
    sort,
    |engine| {
        step(engine, |batch| {
            let (count, noack) = (Some(COUNT), false);
            let deliver = Deliver {
                count,
                noack,
                ..Deliver::default()
            };
            batch.deliver(0, KEY, member(b"alice"), deliver).map(drop)
        })
    },
    |engine| delete(engine, &[3, 4, 5, 6, 7, 11]),
    checkpoint,
    |engine| fill(engine, 20, 30),
    |engine| delete(engine, &[8, 21, 23]),
    sort,
    |engine| trim(engine, TrimStrategy::MinId(EntryId::new(9, 0)), true),
    checkpoint,
    sort,
    |engine| fill(engine, 30, 36),
    |engine| step(engine, |batch| batch.copy(0, KEY, 0, b"copy")),
    sort,
    |engine| step(engine, |batch| batch.remove(0, OTHER).map(drop)),
    checkpoint,
    |engine| trim(engine, TrimStrategy::MaxLen(9), false),
    checkpoint,
    |engine| fill(engine, 36, 40),
    |engine| {
        step(engine, |batch| {
            batch.ack(0, KEY, GROUP, &[EntryId::new(9, 1)]).map(drop)
        })
    },
    sort,
    |engine| step(engine, |batch| batch.flush(Some(0))),
    checkpoint,
    |engine| fill(engine, 40, 43),
    checkpoint,
];

fn pictures() -> (Vec<String>, u64) {
    let storage = SimulatedStorage::new();
    let engine = open(&storage).unwrap();
    let mut pictures = vec![picture(&engine)];
    for step in SCRIPT {
        step(&engine).unwrap();
        pictures.push(picture(&engine));
    }
    let stats = engine.stats();
    assert!(
        stats.sorted_written > 0 && stats.merged_written > 0,
        "{stats:?}"
    );
    (pictures, storage.calls())
}

pub(crate) fn sorted_files(storage: &SimulatedStorage) -> Vec<PathBuf> {
    let files = storage.files().into_iter();
    files
        .filter(|path| path.starts_with("/data/sorted"))
        .collect()
}

/// Durability: P1, C12, C13, C14, C15.
#[test]
fn what_was_sorted_survives_a_crash_at_every_call() {
    let (pictures, calls) = pictures();
    assert!(calls > 150);
    for at in 0..calls {
        for seed in 0..3 {
            let storage = SimulatedStorage::new();
            storage.crash_at(at);
            let acked = open(&storage).map_or(0, |engine| {
                let acked = SCRIPT.iter().take_while(|step| step(&engine).is_ok());
                acked.count()
            });
            let storage = storage.crash(at * 5 + seed);
            storage.crash_at(seed * 3);
            drop(open(&storage));
            let storage = storage.crash(seed);
            let expected = &pictures[acked..pictures.len().min(acked + 2)];
            // From the newest checkpoint, and from the one before.
            let older = storage.snapshot();
            if let [_, .., newest] = &checkpoint_files(&older)[..] {
                older.damage(newest, 40, b"?");
            }
            for storage in [older, storage] {
                let engine = open(&storage).unwrap();
                let found = picture(&engine);
                assert!(
                    expected.contains(&found),
                    "crash at {at}, seed {seed}, {acked} acked: found\n{found}\nnot {expected:?}"
                );
                // What is left behind by the crash is in nobody's way.
                fill(&engine, 100, 108).unwrap();
                sort(&engine).unwrap();
                checkpoint(&engine).unwrap();
                let found = picture(&engine);
                drop(engine);
                assert_eq!(picture(&open(&storage.crash(seed)).unwrap()), found);
            }
        }
    }
}

/// Durability: P10, C14.
#[test]
fn sorting_changes_nothing_that_can_be_seen_and_either_checkpoint_leads_there() {
    let storage = SimulatedStorage::new();
    let engine = open(&storage).unwrap();
    for (at, step) in SCRIPT.iter().enumerate() {
        step(&engine).unwrap();
        let expected = picture(&engine);
        sort(&engine).unwrap();
        assert_eq!(picture(&engine), expected, "sorted behind step {at}");
        for damaged in [false, true] {
            let storage = storage.snapshot();
            let checkpoints = checkpoint_files(&storage);
            if let ([_, .., newest], true) = (&checkpoints[..], damaged) {
                storage.damage(newest, 40, b"?");
            }
            assert_eq!(picture(&open(&storage).unwrap()), expected, "step {at}");
        }
    }
    engine.reload().unwrap();
    sort(&engine).unwrap();
}

#[test]
fn sorted_entries_take_no_memory_and_their_segments_go_while_the_log_stands_still() {
    let storage = SimulatedStorage::new();
    let engine = open(&storage).unwrap();
    fill(&engine, 1, 200).unwrap();
    engine.sync().unwrap();
    assert_eq!(sorted_files(&storage), [] as [PathBuf; 0]);
    let memory = |engine: &Engine| engine.lock().memory_usage(0, KEY).unwrap();
    let (segments, before) = (engine.stats().segments, memory(&engine));
    sort(&engine).unwrap();
    assert!(memory(&engine) < before / 3, "{} {before}", memory(&engine));
    for _ in 0..2 {
        assert_eq!(engine.stats().segments, segments);
        checkpoint(&engine).unwrap();
    }
    assert!(engine.stats().segments <= 2, "{}", engine.stats().segments);
    let files = sorted_files(&storage).len();
    assert!(files > 0);
    // A dead file goes in the same way.
    trim(&engine, TrimStrategy::MaxLen(0), false).unwrap();
    step(&engine, |batch| batch.remove(0, OTHER).map(drop)).unwrap();
    checkpoint(&engine).unwrap();
    assert_eq!(sorted_files(&storage).len(), files);
    fill(&engine, 300, 301).unwrap();
    checkpoint(&engine).unwrap();
    assert_eq!(sorted_files(&storage), [] as [PathBuf; 0]);
    let expected = picture(&engine);
    drop(engine);
    assert_eq!(picture(&open(&storage.crash(3)).unwrap()), expected);
}

#[test]
fn a_failure_while_sorting_leaves_everything_where_it_was() {
    let kinds = [
        Call::Open,
        Call::Write,
        Call::Sync,
        Call::Rename,
        Call::SyncDir,
    ];
    for call in kinds {
        let storage = SimulatedStorage::new();
        let engine = open(&storage).unwrap();
        fill(&engine, 1, 40).unwrap();
        let expected = picture(&engine);
        engine.sync().unwrap();
        storage.fail(call, 0, Fault::Error(std::io::ErrorKind::StorageFull));
        engine.sort(0).unwrap_err();
        assert!(!engine.is_poisoned());
        assert!(engine.stats().sort_failure.is_some());
        assert_eq!(picture(&engine), expected);
        storage.heal();
        sort(&engine).unwrap();
        assert!(engine.stats().sort_failure.is_none());
        assert_eq!(picture(&engine), expected);
        checkpoint(&engine).unwrap();
        drop(engine);
        assert_eq!(
            picture(&open(&storage.crash(1)).unwrap()),
            expected,
            "{call:?}"
        );
    }
}

#[test]
fn a_damaged_entry_is_not_sorted_and_its_segment_stays() {
    let storage = SimulatedStorage::new();
    let engine = open(&storage).unwrap();
    fill(&engine, 1, 40).unwrap();
    engine.sync().unwrap();
    let path = Path::new("/data/log/0000000000004000.seg");
    let offset = 4096 + 900;
    let good = storage.content(path)[offset];
    storage.damage(path, offset, &[good ^ 1]);
    let failed = engine.sort(0);
    assert!(matches!(failed, Err(Error::Corrupt { path: named, .. }) if named == path));
    assert!(
        engine
            .stats()
            .sort_failure
            .unwrap()
            .contains("0000000000004000")
    );
    // What lies before it is sorted, what lies behind it is not.
    assert!(engine.sort(0).unwrap());
    assert!(!engine.sort(0).unwrap());
    for _ in 0..3 {
        step(&engine, |batch| batch.create_stream(0, b"x").map(drop)).unwrap();
        step(&engine, |batch| batch.remove(0, b"x").map(drop)).unwrap();
        checkpoint(&engine).unwrap();
    }
    assert!(storage.files().contains(&path.to_owned()));
    assert!(
        !storage
            .files()
            .contains(&PathBuf::from("/data/log/0000000000000000.seg"))
    );
    storage.damage(path, offset, &[good]);
    let expected = picture(&engine);
    drop(engine);
    let engine = open(&storage).unwrap();
    sort(&engine).unwrap();
    assert_eq!(picture(&engine), expected);
}

/// Durability: R9, R10.
#[test]
fn a_damaged_sorted_segment_is_refused_by_name_and_salvage_serves_the_rest() {
    let storage = SimulatedStorage::new();
    let engine = open(&storage).unwrap();
    fill(&engine, 1, 60).unwrap();
    sort(&engine).unwrap();
    fill(&engine, 60, 90).unwrap();
    sort(&engine).unwrap();
    fill(&engine, 90, 95).unwrap();
    for _ in 0..2 {
        checkpoint(&engine).unwrap();
        step(&engine, |batch| batch.create_stream(0, b"x").map(drop)).unwrap();
    }
    let whole = engine.lock().stream(0, KEY).unwrap();
    drop(engine);
    let files = sorted_files(&storage);
    let (first, last) = (&files[0], &files[files.len() - 1]);
    for (damage, file) in [(false, first), (true, first), (true, last)] {
        let storage = storage.snapshot();
        if damage {
            storage.damage(file, 4, b"?");
        } else {
            storage.unlink(file).unwrap();
        }
        assert!(matches!(open(&storage), Err(Error::Corrupt { .. })));
        let options = Options {
            recovery: Recovery::Salvage,
            ..options()
        };
        let engine = open_with(&storage, options).unwrap();
        let found = engine.lock().stream(0, KEY).unwrap();
        assert!(found.length < whole.length && found.length > 4);
        let gaps = engine.recovery().lost_entries;
        let gap = gaps.iter().find(|gap| gap.key == KEY).unwrap();
        assert_eq!(gap.count, whole.length - found.length);
        assert_eq!(gap.before == Some(found.first_id), gap.after.is_none());
        let from = gap.after.map_or(whole.first_id.ms, |after| after.ms + 1);
        assert_eq!(gap.before.unwrap().ms - from, gap.count, "{gap:?}");
        assert_eq!(found.first_id == whole.first_id, file == last);
        let all = Range {
            start: EntryId::MIN,
            end: EntryId::MAX,
            reverse: false,
            count: None,
        };
        let plan = engine.lock().range(0, KEY, all).unwrap().unwrap();
        let mut ids = Vec::new();
        let mut collect = |id, _: Option<crate::Fields<'_>>| {
            ids.push(id);
            ControlFlow::Continue(())
        };
        plan.visit(0, &mut collect).unwrap();
        assert_eq!((ids.len() as u64, ids[0]), (found.length, found.first_id));
        assert!(ids.is_sorted());
    }
}

/// Durability: F3.
#[test]
fn sorting_that_panics_leaves_everything_where_it_was_and_starts_over() {
    let storage = SimulatedStorage::new();
    let engine = open(&storage).unwrap();
    fill(&engine, 1, 40).unwrap();
    let expected = picture(&engine);
    engine.sync().unwrap();
    for call in [Call::Write, Call::Rename] {
        storage.fail(call, 0, Fault::Panic);
        let sorted = std::panic::AssertUnwindSafe(|| engine.sort(0));
        std::panic::catch_unwind(sorted).unwrap_err();
        assert!(!engine.is_poisoned());
        assert_eq!(picture(&engine), expected);
    }
    sort(&engine).unwrap();
    assert!(engine.stats().sorted_files > 0);
    assert_eq!(picture(&engine), expected);
    drop(engine);
    assert_eq!(picture(&open(&storage.crash(1)).unwrap()), expected);
}

#[test]
fn commands_go_on_while_a_thread_sorts() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        segment_size: 64 << 10,
        checkpoint_interval: 256 << 10,
        sync_policy: SyncPolicy::Never,
        ..Options::default()
    };
    let engine = Engine::open(dir.path(), options.clone()).unwrap();
    let mut next = 1;
    while engine.stats().sorted_files < 3 {
        fill(&engine, next, next + 20).unwrap();
        delete(&engine, &[next, next + 5]).unwrap();
        next += 20;
    }
    trim(&engine, TrimStrategy::MaxLen(u64::MAX), true).unwrap();
    let expected = picture(&engine);
    let added = engine.lock().stream(0, KEY).unwrap().entries_added;
    assert_eq!(added, next - 1);
    engine.reload().unwrap();
    assert_eq!(picture(&engine), expected);
    drop(engine);
    assert_eq!(
        picture(&Engine::open(dir.path(), options).unwrap()),
        expected
    );
}

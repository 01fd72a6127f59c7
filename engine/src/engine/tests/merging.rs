//! Merging on a simulated disk: what it moves is there after every end, streams have few runs, and
//! files that wasted space are gone.

use super::sorting::{OTHER, delete, fill, sort, sorted_files, trim};
use super::*;
use crate::Pin;
use crate::stream::Stream;

fn of_stream<T>(engine: &Engine, key: &[u8], look: impl FnOnce(&Stream) -> T) -> T {
    let mut batch = engine.lock();
    let mut streams = batch.core().state.keyspace.streams();
    look(streams.find(|stream| &*stream.key == key).unwrap())
}

/// The live entries of each run of a stream.
fn runs(engine: &Engine, key: &[u8]) -> Vec<u32> {
    of_stream(engine, key, |stream| {
        let runs = stream.index.runs().unwrap();
        runs.list.iter().map(|run| run.live).collect()
    })
}

/// Entries of both streams, sorted a few at a time.
fn fill_slowly(engine: &Engine, to: u64) {
    for from in (1..to).step_by(10) {
        fill(engine, from, from + 10).unwrap();
        sort(engine).unwrap();
    }
}

/// A checkpoint, and another one that makes the files go that the first found dead.
fn let_go(engine: &Engine) {
    for key in [b"a", b"b"] {
        engine.checkpoint().unwrap();
        step(engine, |batch| batch.create_stream(0, key).map(drop)).unwrap();
        step(engine, |batch| batch.remove(0, key).map(drop)).unwrap();
    }
    engine.checkpoint().unwrap();
}

/// Durability: C13, C15.
#[test]
fn a_stream_that_grows_slowly_has_few_runs() {
    let storage = SimulatedStorage::new();
    let engine = open(&storage).unwrap();
    fill_slowly(&engine, 600);
    let plain = open(&SimulatedStorage::new()).unwrap();
    (1..600)
        .step_by(10)
        .for_each(|from| fill(&plain, from, from + 10).unwrap());
    assert_eq!(picture(&engine), picture(&plain));
    for key in [KEY, OTHER] {
        let runs = runs(&engine, key);
        assert!(runs.len() < 16, "{runs:?}");
        assert!(runs.iter().sum::<u32>() > 580, "{runs:?}");
    }
    let stats = engine.stats();
    assert!(stats.merged_written > 0);
    // Each entry was copied a few times, not as often as there were passes.
    assert!(stats.merged_written < stats.sorted_written * 8, "{stats:?}");
    let expected = picture(&engine);
    let_go(&engine);
    assert!(sorted_files(&storage).len() < 16);
    drop(engine);
    let engine = open(&storage.crash(1)).unwrap();
    assert_eq!(picture(&engine), expected);
}

#[test]
fn what_lives_of_files_that_waste_space_moves_and_they_go() {
    let storage = SimulatedStorage::new();
    let engine = open(&storage).unwrap();
    fill(&engine, 1, 200).unwrap();
    sort(&engine).unwrap();
    let bytes = engine.stats().sorted_bytes;
    let gone: Vec<_> = (1..200).filter(|ms| ms % 5 != 0).collect();
    delete(&engine, &gone).unwrap();
    step(&engine, |batch| batch.remove(0, OTHER).map(drop)).unwrap();
    let expected = picture(&engine);
    sort(&engine).unwrap();
    assert_eq!(picture(&engine), expected);
    let stats = engine.stats();
    assert!(stats.merged_written > 0 && stats.merged_written < bytes / 2);
    let_go(&engine);
    let stats = engine.stats();
    assert!(stats.sorted_bytes < bytes / 2, "{stats:?}");
    assert_eq!(stats.sorted_entries, stats.sorted_live);
    assert_eq!(sorted_files(&storage).len() as u64, stats.sorted_files);
    drop(engine);
    assert_eq!(picture(&open(&storage.crash(1)).unwrap()), expected);
}

/// Sorts and merges, with a change between each two slices; how many that were.
fn merge_with(engine: &Engine, changes: &[Step]) -> usize {
    let mut left = changes.iter();
    let mut pace = || {
        if let Some(change) = left.next() {
            change(engine).unwrap();
        }
        true
    };
    while engine.shared.sort_once(0, &mut pace).unwrap() {}
    changes.len() - left.len()
}

#[test]
fn what_changes_while_runs_are_merged_has_changed_in_the_merged_one() {
    let changes: &[Step] = &[
        |engine| {
            delete(
                engine,
                &(1..110).filter(|ms| ms % 3 > 0).collect::<Vec<_>>(),
            )
        },
        |engine| trim(engine, TrimStrategy::MaxLen(120), false),
        |engine| fill(engine, 500, 503),
        |engine| {
            delete(
                engine,
                &(90..190).filter(|ms| ms % 4 > 1).collect::<Vec<_>>(),
            )
        },
        |engine| trim(engine, TrimStrategy::MinId(EntryId::new(60, 0)), true),
    ];
    let made = [false, true].map(|is_merged| {
        let storage = SimulatedStorage::new();
        let engine = open(&storage).unwrap();
        if is_merged {
            for from in (1..200).step_by(100) {
                fill(&engine, from, from + 100).unwrap();
                sort(&engine).unwrap();
            }
        } else {
            fill(&engine, 1, 201).unwrap();
        }
        // Less than half of each file is live, so that all is about to move.
        delete(
            &engine,
            &(1..201).filter(|ms| ms % 5 > 2).collect::<Vec<_>>(),
        )
        .unwrap();
        step(&engine, |batch| batch.remove(0, OTHER).map(drop)).unwrap();
        let ran = if is_merged {
            merge_with(&engine, changes)
        } else {
            0
        };
        assert_eq!(ran >= 2, is_merged, "{ran}");
        changes[ran..]
            .iter()
            .for_each(|change| change(&engine).unwrap());
        let seen = picture(&engine);
        let sizes = of_stream(&engine, KEY, |stream| stream.index.node_sizes().unwrap());
        engine.checkpoint().unwrap();
        assert_eq!(engine.stats().merged_written > 0, is_merged);
        drop(engine);
        assert_eq!(picture(&open(&storage.crash(1)).unwrap()), seen);
        (seen, sizes)
    });
    assert_eq!(made[0], made[1]);
}

/// Durability: R9, C15.
#[test]
fn a_damaged_run_is_left_where_it_is_and_its_file_too() {
    let storage = SimulatedStorage::new();
    let options = Options {
        block_cache: 0,
        ..options()
    };
    let engine = open_with(&storage, options).unwrap();
    fill(&engine, 1, 100).unwrap();
    sort(&engine).unwrap();
    step(&engine, |batch| batch.remove(0, OTHER).map(drop)).unwrap();
    delete(&engine, &(50..90).collect::<Vec<_>>()).unwrap();
    let path = of_stream(&engine, KEY, |stream| {
        let runs = stream.index.runs().unwrap();
        runs.list[0].file.path().to_owned()
    });
    let good = storage.content(&path)[60];
    storage.damage(&path, 60, &[good ^ 1]);
    engine.sync().unwrap();
    let failed = (0..3).find_map(|_| engine.sort(0).err());
    assert!(matches!(failed, Some(Error::Corrupt { path: named, .. }) if named == path));
    let failure = engine.stats().sort_failure.unwrap();
    assert!(failure.contains(&*path.to_string_lossy()), "{failure}");
    sort(&engine).unwrap();
    let_go(&engine);
    assert!(sorted_files(&storage).contains(&path));
    storage.damage(&path, 60, &[good]);
    let seen = picture(&engine);
    drop(engine);
    let engine = open(&storage).unwrap();
    assert_eq!(picture(&engine), seen);
    sort(&engine).unwrap();
    assert_eq!(picture(&engine), seen);
    let_go(&engine);
    assert!(!sorted_files(&storage).contains(&path));
}

#[test]
fn nothing_is_merged_while_a_backup_is_made() {
    let storage = SimulatedStorage::new();
    let engine = open(&storage).unwrap();
    fill(&engine, 1, 200).unwrap();
    sort(&engine).unwrap();
    step(&engine, |batch| batch.remove(0, OTHER).map(drop)).unwrap();
    delete(&engine, &(1..190).collect::<Vec<_>>()).unwrap();
    let before = engine.stats().merged_written;
    let mut watch = |_| {
        while engine.sort(0).unwrap() {}
        assert_eq!(engine.stats().merged_written, before);
        ControlFlow::Continue(())
    };
    engine.backup(Path::new("/copy"), &mut watch).unwrap();
    assert!(engine.sort(0).unwrap());
    assert!(engine.stats().merged_written > before);
}

/// Why log segments are there, oldest first, is told as bytes by reason.
#[test]
fn what_pins_a_segment_is_told() {
    let storage = SimulatedStorage::new();
    let engine = open(&storage).unwrap();
    let bytes = |pin| engine.stats().pins.bytes(pin);
    fill(&engine, 1, 40).unwrap();
    assert!(bytes(Pin::Unsorted) > 0 && bytes(Pin::Checkpoint) == 0);
    let (oldest, pin) = engine.stats().pins.oldest.unwrap();
    assert_eq!(
        (oldest.file_name().unwrap().len(), pin),
        (20, Pin::Unsorted)
    );
    sort(&engine).unwrap();
    assert!(bytes(Pin::Unsorted) == 0 && bytes(Pin::Checkpoint) > 0);
    assert_eq!(bytes(Pin::Checkpoint), engine.stats().dead_bytes);
    let mut pinned = Vec::new();
    let mut watch = |_| {
        pinned.push((bytes(Pin::Backup), bytes(Pin::Checkpoint)));
        ControlFlow::Continue(())
    };
    engine.backup(Path::new("/copy"), &mut watch).unwrap();
    assert!(pinned[0].0 > 0 && pinned[0].1 == 0, "{pinned:?}");
    let_go(&engine);
    assert_eq!(engine.stats().pins.oldest, None);
    let stats = engine.stats();
    let written = stats.sorted_written + stats.merged_written + stats.checkpoint_written;
    assert!(stats.sorted_written > 0 && stats.checkpoint_written > stats.checkpoint_bytes);
    let sum = stats.bytes_written + written;
    assert_eq!(stats.written_permille(), sum * 1000 / stats.bytes_appended);
}

/// A stream of one entry is not copied, until most of the others in its segment are gone.
#[test]
fn small_pieces_stay_in_the_log_until_their_segment_holds_little_else() {
    let storage = SimulatedStorage::new();
    let engine = open(&storage).unwrap();
    let keys: Vec<_> = (0..100).map(|number| format!("stream {number}")).collect();
    for key in &keys {
        step(&engine, |batch| {
            let fields: [&[u8]; 2] = [b"f", &[b'v'; 400]];
            batch.add(0, key.as_bytes(), NewId::Auto, &fields).map(drop)
        })
        .unwrap();
    }
    sort(&engine).unwrap();
    assert_eq!(sorted_files(&storage), [] as [PathBuf; 0]);
    assert!(engine.stats().pins.bytes(Pin::SmallPieces) > 0);
    let gone = keys.iter().enumerate().filter(|(at, _)| at % 10 > 0);
    for (_, key) in gone {
        step(&engine, |batch| batch.remove(0, key.as_bytes()).map(drop)).unwrap();
    }
    sort(&engine).unwrap();
    let_go(&engine);
    assert!(!sorted_files(&storage).is_empty());
    assert_eq!(engine.stats().pins.bytes(Pin::SmallPieces), 0);
    assert!(engine.stats().segments <= 3, "{}", engine.stats().segments);
    let seen = picture(&engine);
    drop(engine);
    assert_eq!(picture(&open(&storage.crash(1)).unwrap()), seen);
}

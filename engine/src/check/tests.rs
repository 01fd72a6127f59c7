//! Checks of small directories: whole, torn, damaged at every kind of place.

use std::path::{Path, PathBuf};

use super::{CheckReport, CheckedState, check};
use crate::{Cursor, Deliver, Engine, EntryId, Error, Member, NewId, Options, Threads};

/// A closed directory with two streams, a group and pending entries; without a checkpoint.
fn directory() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(dir.path(), options()).unwrap();
    {
        let mut batch = engine.lock();
        for n in 1..=50_u64 {
            let given = NewId::Given(EntryId::new(n, 0));
            let number = n.to_string();
            batch
                .add(0, b"orders", given, &[b"n", number.as_bytes()])
                .unwrap();
            batch.end_command();
        }
        batch.add(3, b"other", NewId::Auto, &[b"f", b"v"]).unwrap();
        batch.end_command();
    }
    engine.close().unwrap();
    dir
}

fn options() -> Options {
    Options {
        segment_size: 64 << 10,
        threads: Threads::Inline,
        checkpoint_on_close: false,
        ..Options::default()
    }
}

fn report(dir: &Path) -> CheckReport {
    check(dir, &mut |_| {}).unwrap()
}

fn first_segment(dir: &Path) -> PathBuf {
    dir.join("log/0000000000000000.seg")
}

/// All files with their bytes.
fn contents(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for folder in ["", "log", "checkpoint"] {
        for entry in std::fs::read_dir(dir.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                files.push((path.clone(), std::fs::read(&path).unwrap()));
            }
        }
    }
    files.sort();
    files
}

#[test]
fn a_whole_directory_is_counted_and_left_as_it_is() {
    let dir = directory();
    let before = contents(dir.path());
    let report = report(dir.path());
    assert_eq!(report.damage, []);
    let state = report.state;
    assert_eq!((state.streams, state.entries), (2, 51));
    assert!(report.frames >= 51 && report.records >= 53, "{report:?}");
    assert_eq!(report.torn_bytes, 0);
    assert!(contents(dir.path()) == before, "a check changes nothing");
}

#[test]
fn a_flipped_byte_of_the_log_is_named_wherever_it_is() {
    let dir = directory();
    let path = first_segment(dir.path());
    let good = std::fs::read(&path).unwrap();
    let end = good.iter().rposition(|byte| *byte != 0).unwrap();
    for at in (4096..end).step_by(97) {
        let mut bad = good.clone();
        bad[at] ^= 0x40;
        std::fs::write(&path, &bad).unwrap();
        let report = report(dir.path());
        let named = report.damage.iter().any(|damage| damage.path == path);
        // The end of the log may also be a torn tail: that is said, too.
        assert!(named || report.torn_bytes > 0, "byte {at}: {report:?}");
    }
    std::fs::write(&path, &good).unwrap();
    assert_eq!(report(dir.path()).damage, []);
}

#[test]
fn damage_before_a_checkpoint_is_found_too() {
    let dir = directory();
    let engine = Engine::open(dir.path(), options()).unwrap();
    engine.checkpoint().unwrap();
    engine.close().unwrap();
    assert_eq!(report(dir.path()).checkpoints, 1);
    let path = first_segment(dir.path());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[4200] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let report = report(dir.path());
    let [frame, lost] = &report.damage[..] else {
        panic!("{report:?}");
    };
    assert_eq!((&frame.path, &frame.stream), (&path, &None));
    // The entry that it costs is named, too.
    assert_eq!(lost.stream, Some((0, b"orders".to_vec())));
    assert_eq!((&lost.path, report.state.entries), (&path, 50));
}

#[test]
fn a_damaged_checkpoint_and_a_missing_segment_are_named() {
    let dir = directory();
    let engine = Engine::open(dir.path(), options()).unwrap();
    engine.checkpoint().unwrap();
    engine.close().unwrap();
    let file = std::fs::read_dir(dir.path().join("checkpoint"))
        .unwrap()
        .next()
        .unwrap();
    let path = file.unwrap().path();
    let good = std::fs::read(&path).unwrap();
    let mut bad = good.clone();
    bad[40] ^= 1;
    std::fs::write(&path, &bad).unwrap();
    assert_eq!(report(dir.path()).damage[0].path, path);
    std::fs::write(&path, &good).unwrap();
    std::fs::remove_file(first_segment(dir.path())).unwrap();
    assert_ne!(report(dir.path()).damage, []);
}

#[test]
fn a_directory_in_use_or_none_at_all_is_refused() {
    let dir = directory();
    let engine = Engine::open(dir.path(), options()).unwrap();
    let in_use = check(dir.path(), &mut |_| {});
    assert!(matches!(in_use, Err(Error::Locked { .. })), "{in_use:?}");
    drop(engine);
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(
        check(empty.path(), &mut |_| {}),
        Err(Error::Io { .. })
    ));
    assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0);
}

/// Two checkpoints, groups with pending entries, in two databases.
fn checkpointed() -> tempfile::TempDir {
    let dir = directory();
    for consumer in [b"alice", b"marco"] {
        let engine = Engine::open(dir.path(), options()).unwrap();
        {
            let mut batch = engine.lock();
            if consumer == b"alice" {
                let cursor = Cursor {
                    id: EntryId::MIN,
                    entries_read: None,
                };
                batch.create_group(0, b"orders", b"g", cursor).unwrap();
            }
            let member = Member {
                group: b"g",
                consumer,
            };
            let deliver = Deliver {
                count: Some(5),
                noack: false,
                ..Deliver::default()
            };
            batch.deliver(0, b"orders", member, deliver).unwrap();
            batch.end_command();
        }
        engine.checkpoint().unwrap();
        engine.close().unwrap();
    }
    dir
}

fn files_in(dir: &Path, folder: &str, ending: &str) -> Vec<PathBuf> {
    let files = std::fs::read_dir(dir.join(folder)).unwrap();
    let files = files.map(|file| file.unwrap().path());
    let mut files: Vec<_> = files
        .filter(|path| path.to_str().unwrap().ends_with(ending))
        .collect();
    files.sort();
    files
}

#[test]
fn both_checkpoints_are_read_and_counted() {
    let dir = checkpointed();
    let before = contents(dir.path());
    let whole = report(dir.path());
    assert_eq!(whole.damage, []);
    assert_eq!(whole.checkpoints, 2);
    let expected = CheckedState {
        streams: 2,
        entries: 51,
        groups: 1,
        pending: 10,
    };
    assert_eq!(whole.state, expected);
    for path in files_in(dir.path(), "checkpoint", ".ckpt") {
        let good = std::fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            std::fs::write(&path, &bad).unwrap();
            let damaged = report(dir.path());
            assert_eq!(damaged.damage[0].path, path, "byte {at}");
            // The other one makes the same state.
            assert_eq!(damaged.state, expected, "byte {at}");
        }
        std::fs::write(&path, &good).unwrap();
    }
    assert!(contents(dir.path()) == before);
}

#[test]
fn reserves_are_zeros_and_foreign_files_are_told_from_unfinished_ones() {
    let dir = checkpointed();
    std::fs::write(dir.path().join("notes.txt"), b"mine").unwrap();
    std::fs::write(dir.path().join("log/0000000000010000.seg.new"), b"").unwrap();
    let report_before = report(dir.path());
    assert_eq!(report_before.damage, []);
    assert_eq!(report_before.unknown_files, [dir.path().join("notes.txt")]);
    assert_eq!(report_before.unfinished_files.len(), 1);
    let reserve = dir.path().join("log/reserve");
    let mut bytes = std::fs::read(&reserve).unwrap();
    bytes[20_000] = 7;
    std::fs::write(&reserve, &bytes).unwrap();
    let found = report(dir.path()).damage;
    assert_eq!((&found[0].path, found[0].offset), (&reserve, 20_000));
}

#[test]
fn a_segment_that_is_cut_or_lost_its_header_is_named_and_its_entries_are_still_read() {
    let dir = checkpointed();
    let path = first_segment(dir.path());
    let good = std::fs::read(&path).unwrap();
    let mut headless = good.clone();
    headless[9] ^= 1;
    std::fs::write(&path, &headless).unwrap();
    let found = report(dir.path());
    assert_eq!((&found.damage[0].path, found.damage[0].offset), (&path, 0));
    assert_eq!(found.state.entries, 51, "{found:?}");
    std::fs::write(&path, &good[..6000]).unwrap();
    let found = report(dir.path());
    let cut = found.damage.iter().find(|damage| damage.offset == 6000);
    assert!(cut.is_some_and(|cut| cut.path == path && cut.len == (64 << 10) - 6000));
    let lost = found.damage.iter().find(|lost| lost.stream.is_some());
    let lost = lost.unwrap();
    assert_eq!(
        found.state.entries + found.damage.iter().map(|lost| lost.entries).sum::<u64>(),
        51
    );
    assert!(found.state.entries > 10 && lost.id.is_some());
}

//! Checks of small directories: whole, torn, damaged at every kind of place.

use std::path::{Path, PathBuf};

use super::{CheckReport, check};
use crate::{Engine, EntryId, Error, NewId, Options, Threads};

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
    let state = report.state.unwrap();
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
    assert_eq!(report.damage.len(), 1, "{report:?}");
    assert_eq!((&report.damage[0].path, report.state), (&path, None));
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

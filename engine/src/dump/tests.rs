//! Dumps of a small directory: what is shown, what is left out, what is damaged.

use std::fmt::Write;
use std::ops::ControlFlow;
use std::path::Path;

use super::{DumpOptions, DumpReport, Value, dump};
use crate::{Cursor, Deliver, Engine, EntryId, Member, NewId, Options, Threads};

/// Three streams, one of them renamed, one in another database; a group; a checkpoint, and more
/// of the log behind it.
fn directory() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        segment_size: 8 << 10,
        threads: Threads::Inline,
        checkpoint_on_close: false,
        ..Options::default()
    };
    let engine = Engine::open(dir.path(), options).unwrap();
    let mut batch = engine.lock();
    let add = |batch: &mut crate::Batch<'_>, db, key: &[u8], ms| {
        let id = NewId::Given(EntryId::new(ms, 0));
        batch.add(db, key, id, &[b"field", b"value"]).unwrap();
        batch.end_command();
    };
    for ms in 1..=9 {
        add(&mut batch, 0, b"old", ms);
        add(&mut batch, 0, b"other", ms);
        add(&mut batch, 3, b"new", ms);
    }
    let cursor = Cursor {
        id: EntryId::MIN,
        entries_read: None,
    };
    batch.create_group(0, b"old", b"g", cursor).unwrap();
    let member = Member {
        group: b"g",
        consumer: b"alice",
    };
    batch
        .deliver(0, b"old", member, Deliver::default())
        .unwrap();
    batch.end_command();
    drop(batch);
    engine.checkpoint().unwrap();
    let mut batch = engine.lock();
    batch.rename(0, b"old", 0, b"new").unwrap();
    batch.end_command();
    add(&mut batch, 0, b"new", 10);
    drop(batch);
    engine.close().unwrap();
    dir
}

/// Kinds with one of their values, as text.
fn shown(dir: &Path, options: &DumpOptions) -> (Vec<String>, DumpReport) {
    let mut lines = Vec::new();
    let report = dump(dir, options, &mut |item| {
        let mut line = item.kind.to_owned();
        for (name, value) in &item.values {
            if let ("name" | "id", Value::Bytes(bytes)) = (*name, value) {
                write!(line, " {}", bytes.escape_ascii()).unwrap();
            } else if let Value::Id(id) = value {
                write!(line, " {id}").unwrap();
            }
        }
        lines.push(line);
        ControlFlow::Continue(())
    });
    (lines, report.unwrap())
}

fn count(lines: &[String], start: &str) -> usize {
    lines.iter().filter(|line| line.starts_with(start)).count()
}

#[test]
fn log_and_checkpoints_are_shown() {
    let dir = directory();
    let (lines, report) = shown(dir.path(), &DumpOptions::default());
    assert_eq!(report.bad, 0);
    assert_eq!(report.items, lines.len() as u64);
    assert_eq!(count(&lines, "entry "), 28);
    assert_eq!(count(&lines, "stream created"), 3);
    assert_eq!(count(&lines, "stream moved"), 1);
    assert_eq!(count(&lines, "delivered"), 1);
    assert_eq!(count(&lines, "checkpoint"), 1);
    assert_eq!(count(&lines, "databases"), 1);
    assert_eq!(count(&lines, "pending "), 9);
    assert_eq!(
        count(&lines, "consumer"),
        2,
        "in the log and in the checkpoint"
    );
    assert!(count(&lines, "frame") >= 30);
}

#[test]
fn a_name_is_followed_to_the_stream_that_got_it_later() {
    let dir = directory();
    let options = DumpOptions {
        stream: Some(b"new".to_vec()),
        db: Some(0),
        ..DumpOptions::default()
    };
    let (lines, _) = shown(dir.path(), &options);
    assert_eq!(count(&lines, "entry "), 10, "{lines:?}");
    assert_eq!(count(&lines, "entry old"), 9);
    assert_eq!(count(&lines, "entry new"), 1);
    assert_eq!(count(&lines, "pending "), 9);
    assert_eq!(count(&lines, "frame"), 0);
    let anywhere = DumpOptions {
        db: None,
        ..options
    };
    let (lines, _) = shown(dir.path(), &anywhere);
    assert_eq!(count(&lines, "entry "), 19);
    let from = DumpOptions {
        from: Some(EntryId::new(8, 0)),
        ..anywhere
    };
    let (lines, _) = shown(dir.path(), &from);
    assert_eq!(count(&lines, "entry "), 5);
    assert_eq!(count(&lines, "pending "), 2);
}

#[test]
fn parts_can_be_chosen_and_the_visitor_can_end_it() {
    let dir = directory();
    let log = DumpOptions {
        checkpoints: false,
        lsn: 4096..4300,
        ..DumpOptions::default()
    };
    let (lines, _) = shown(dir.path(), &log);
    assert_eq!(count(&lines, "checkpoint"), 0);
    let frames = count(&lines, "frame");
    assert!((1..6).contains(&frames), "{lines:?}");
    let mut seen = 0;
    let report = dump(dir.path(), &DumpOptions::default(), &mut |_| {
        seen += 1;
        if seen == 5 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    assert_eq!((seen, report.unwrap().items), (5, 5));
}

#[test]
fn sorted_segments_are_shown_run_by_run_and_so_is_what_is_damaged_in_them() {
    let dir = directory();
    let options = Options {
        segment_size: 8 << 10,
        threads: Threads::Inline,
        checkpoint_on_close: false,
        ..Options::default()
    };
    let engine = Engine::open(dir.path(), options).unwrap();
    for ms in 100..200 {
        let mut batch = engine.lock();
        let id = NewId::Given(EntryId::new(ms, 0));
        batch
            .add(0, b"other", id, &[b"field", &[b'v'; 400]])
            .unwrap();
        batch.end_command();
    }
    engine.sync().unwrap();
    while engine.sort(0).unwrap() {}
    for _ in 0..2 {
        engine.checkpoint().unwrap();
        engine.lock().create_stream(0, b"x").unwrap();
    }
    let added = engine.lock().stream(0, b"other").unwrap().length;
    engine.close().unwrap();
    let (lines, report) = shown(dir.path(), &DumpOptions::default());
    assert_eq!((report.bad, added), (0, 109));
    assert!(count(&lines, "sorted segment") > 0 && count(&lines, "run") > 1);
    let other = DumpOptions {
        stream: Some(b"other".to_vec()),
        checkpoints: false,
        ..DumpOptions::default()
    };
    let (lines, _) = shown(dir.path(), &other);
    let ids = |kind: &str, lines: &[String]| -> std::collections::BTreeSet<String> {
        let ids = lines.iter().filter_map(|line| line.strip_prefix(kind));
        ids.map(str::to_owned).collect()
    };
    // Each entry lies in the log, or sorted, or in both.
    let in_runs = ids("sorted entry other ", &lines);
    assert!(in_runs.len() > 50, "{lines:?}");
    let all = in_runs.union(&ids("entry other ", &lines)).count();
    assert_eq!(all, 109);
    let from = DumpOptions {
        from: Some(EntryId::new(110, 0)),
        log: false,
        ..other.clone()
    };
    let (lines, _) = shown(dir.path(), &from);
    assert_eq!(ids("sorted entry other ", &lines).len(), in_runs.len() - 19);
    let sorted = std::fs::read_dir(dir.path().join("sorted")).unwrap();
    let path = sorted.map(|file| file.unwrap().path()).next().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[60] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let (lines, report) = shown(dir.path(), &DumpOptions::default());
    assert_eq!(report.bad, 1);
    assert!(count(&lines, "bad") == 1 && count(&lines, "sorted segment") > 0);
    std::fs::remove_file(&path).unwrap();
    let (lines, report) = shown(dir.path(), &DumpOptions::default());
    // Each stream that had entries there is still shown, in both checkpoints.
    assert!(report.bad > 0 && count(&lines, "stream ") > 4, "{lines:?}");
}

#[test]
fn damage_is_shown_and_the_rest_behind_it() {
    let dir = directory();
    let files = |folder: &str| {
        let files = std::fs::read_dir(dir.path().join(folder)).unwrap();
        let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        files.retain(|path| !path.ends_with("reserve"));
        files.sort();
        files
    };
    let (all, _) = shown(dir.path(), &DumpOptions::default());
    for path in [&files("log")[0], &files("checkpoint")[0]] {
        let good = std::fs::read(path).unwrap();
        let used = good.iter().rposition(|&byte| byte != 0).unwrap();
        for at in (0..used).step_by(13) {
            let mut bad = good.clone();
            bad[at] ^= 0x20;
            std::fs::write(path, &bad).unwrap();
            let (lines, report) = shown(dir.path(), &DumpOptions::default());
            let is_header = path.ends_with("0000000000000000.seg") && at < 4096;
            // What pads a header or a frame means nothing.
            assert!(report.bad > 0 || lines == all, "byte {at} of {path:?}");
            assert!(lines.len() + 40 > all.len() || is_header || path.ends_with("ckpt"));
        }
        std::fs::write(path, &good[..used * 3 / 4]).unwrap();
        let (lines, report) = shown(dir.path(), &DumpOptions::default());
        assert!(report.bad > 0 && !lines.is_empty());
        std::fs::write(path, &good).unwrap();
    }
    assert_eq!(shown(dir.path(), &DumpOptions::default()).0, all);
}

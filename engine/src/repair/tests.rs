//! Repairs of small directories on a simulated disk: whole, damaged at each place, cut short.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{RepairReport, repair_on};
use crate::check::check_on;
use crate::engine::tests::{DIR, SCRIPT, open_with, options, picture, sorting};
use crate::storage::Storage;
use crate::storage::simulated::{SimulatedClock, SimulatedStorage};
use crate::{
    Cursor, Deliver, Engine, EntryId, Error, Fault, GiveBack, Member, Message, NewId,
    ProducerSettings, Recovery, Result,
};

const TO: &str = "/repaired";
const KEY: &[u8] = b"orders";

/// A directory after the first steps of the script, closed with a checkpoint or without.
fn small_directory(closed: bool) -> (SimulatedStorage, String) {
    let storage = SimulatedStorage::new();
    let options = crate::Options {
        checkpoint_on_close: closed,
        ..options()
    };
    let engine = open_with(&storage, options).unwrap();
    for step in &SCRIPT[..9] {
        step(&engine).unwrap();
    }
    let picture = picture(&engine);
    drop(engine);
    (storage, picture)
}

fn repaired(storage: &SimulatedStorage) -> Result<RepairReport> {
    let storage: Arc<dyn Storage> = Arc::new(storage.clone());
    repair_on(&storage, (Path::new(DIR), Path::new(TO)), &mut |_| {})
}

/// Opens the new directory as a broker would, refusing any damage.
fn open_new(storage: &SimulatedStorage) -> Result<Engine> {
    let options = crate::Options {
        recovery: Recovery::Strict,
        ..options()
    };
    let clock = Arc::new(SimulatedClock::new(1_000));
    Engine::open_on(Arc::new(storage.clone()), clock, Path::new(TO), options)
}

fn contents(storage: &SimulatedStorage) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = storage.files().into_iter();
    let files = files.filter(|path| path.starts_with(DIR));
    files
        .map(|path| (path.clone(), storage.content(&path)))
        .collect()
}

/// What a picture says of entries, as lines.
fn entries(picture: &str) -> Vec<&str> {
    let lines = picture.lines();
    let is_entry = |line: &&str| line.starts_with(|c: char| c.is_ascii_digit());
    lines.filter(is_entry).collect()
}

#[test]
fn a_whole_directory_is_copied_with_all_that_can_be_seen_of_it() {
    for closed in [false, true] {
        let (storage, expected) = small_directory(closed);
        let before = contents(&storage);
        let report = repaired(&storage).unwrap();
        assert!(!report.is_damaged(), "{report:?}");
        assert_eq!(contents(&storage), before);
        let engine = open_new(&storage).unwrap();
        assert_eq!(picture(&engine), expected);
    }
}

#[test]
fn whatever_byte_is_damaged_the_rest_is_kept_and_the_loss_is_told() {
    let mut damaged = 0;
    for closed in [false, true] {
        let (storage, expected) = small_directory(closed);
        for path in storage.files() {
            let content = storage.content(&path);
            let used = |at: &usize| content[*at] != 0 || at.is_multiple_of(509);
            for offset in (0..content.len()).filter(used).step_by(41) {
                let storage = storage.snapshot();
                storage.damage(&path, offset, &[content[offset] ^ 0x55]);
                let before = contents(&storage);
                let report = repaired(&storage).unwrap();
                assert_eq!(contents(&storage), before);
                let engine = open_new(&storage).unwrap();
                let found = picture(&engine);
                let place = format!("{} at {offset}, closed {closed}", path.display());
                if found != expected {
                    let is_told = report.is_damaged() || report.torn_bytes > 0;
                    assert!(is_told, "{place}: {report:?}\n{found}\n{expected}");
                }
                damaged += usize::from(report.is_damaged());
                let kept = entries(&found);
                let all = entries(&expected);
                assert!(kept.len() + 8 > all.len(), "{place}: {kept:?} of {all:?}");
                drop(engine);
                let storage: Arc<dyn Storage> = Arc::new(storage);
                let checked = check_on(&storage, Path::new(TO), &mut |_| {}).unwrap();
                assert_eq!(checked.damage, [], "{place}");
            }
        }
    }
    assert!(damaged > 50, "{damaged}");
}

#[test]
fn what_was_given_back_and_what_producers_sent_is_kept() {
    let (storage, _) = small_directory(false);
    let engine = open_with(&storage, options()).unwrap();
    let mut batch = engine.lock();
    batch.set_now(5_000);
    let settings = ProducerSettings {
        seconds: 900,
        count_max: 7,
    };
    batch.set_producers(0, KEY, settings).unwrap();
    let ids: Vec<_> = (5_000..5_004).map(|ms| EntryId::new(ms, 1)).collect();
    for (&id, iid) in ids.iter().zip([b"a", b"b", b"c", b"d"]) {
        let fields: &[&[u8]] = &[b"f", b"v"];
        batch.add(0, KEY, NewId::Given(id), fields).unwrap();
        let message = Message {
            producer: b"till",
            iid,
        };
        batch.remember(0, KEY, message, id).unwrap();
    }
    for group in [b"g1", b"g2"] {
        let id = EntryId::new(4_999, 0);
        let entries_read = Some(1);
        batch
            .create_group(0, KEY, group, Cursor { id, entries_read })
            .unwrap();
        let member = Member {
            group,
            consumer: b"alice",
        };
        batch.deliver(0, KEY, member, Deliver::default()).unwrap();
        let give_back = GiveBack {
            ids: &[ids[2], ids[0]],
            fault: Fault::Entry,
            delivery_count: None,
            force: false,
        };
        assert_eq!(batch.give_back(0, KEY, group, &give_back).unwrap(), 2);
    }
    let expected = batch.export(0, KEY).unwrap().unwrap().parts;
    batch.end_command();
    drop(batch);
    engine.checkpoint().unwrap();
    engine.lock().create_stream(0, b"x").unwrap();
    engine.checkpoint().unwrap();
    drop(engine);
    let producers = &expected.producers.as_ref().unwrap().producers;
    assert_eq!(producers[0].sent.len(), 4);
    assert!(expected.groups.iter().any(|it| it.given_back.len() == 2));
    let shared: Arc<dyn Storage> = Arc::new(storage.clone());
    let checked = check_on(&shared, Path::new(DIR), &mut |_| {}).unwrap();
    assert_eq!((&checked.damage[..], checked.checkpoints), (&[][..], 2));
    let report = repaired(&storage).unwrap();
    assert!(!report.is_damaged(), "{report:?}");
    let engine = open_new(&storage).unwrap();
    let found = engine.lock().export(0, KEY).unwrap().unwrap().parts;
    assert_eq!(found, expected);
}

#[test]
fn what_is_sorted_is_checked_and_repaired_like_what_is_in_the_log() {
    let storage = SimulatedStorage::new();
    let engine = open_with(&storage, options()).unwrap();
    let mut sorted = 0;
    for (at, step) in sorting::SCRIPT.iter().enumerate() {
        step(&engine).unwrap();
        sorting::sort(&engine).unwrap();
        let expected = picture(&engine);
        let storage = storage.snapshot();
        sorted += sorting::sorted_files(&storage).len();
        let before = contents(&storage);
        let shared: Arc<dyn Storage> = Arc::new(storage.clone());
        let checked = check_on(&shared, Path::new(DIR), &mut |_| {}).unwrap();
        assert_eq!(checked.damage, [], "step {at}");
        let report = repaired(&storage).unwrap();
        assert!(!report.is_damaged(), "step {at}: {report:?}");
        assert_eq!(report.state, checked.state, "step {at}");
        assert_eq!(contents(&storage), before);
        let engine = open_new(&storage).unwrap();
        assert_eq!(picture(&engine), expected, "step {at}");
    }
    assert!(sorted > 10, "{sorted}");
}

/// Two streams of which nearly all lies in sorted segments, and in nothing else any more.
fn sorted_directory() -> SimulatedStorage {
    let storage = SimulatedStorage::new();
    let engine = open_with(&storage, options()).unwrap();
    for (from, to) in [(1, 60), (60, 90)] {
        sorting::fill(&engine, from, to).unwrap();
        sorting::sort(&engine).unwrap();
    }
    sorting::fill(&engine, 90, 95).unwrap();
    for name in [b"x", b"y", b"z"] {
        engine.checkpoint().unwrap();
        let mut batch = engine.lock();
        batch.create_stream(0, name).unwrap();
        batch.end_command();
    }
    engine.sync().unwrap();
    drop(engine);
    storage
}

#[test]
fn whatever_is_damaged_of_a_sorted_segment_the_rest_is_kept_and_the_loss_is_counted() {
    let storage = sorted_directory();
    let shared = |storage: &SimulatedStorage| Arc::new(storage.clone()) as Arc<dyn Storage>;
    let whole = check_on(&shared(&storage), Path::new(DIR), &mut |_| {}).unwrap();
    assert_eq!((&whole.damage[..], whole.state.entries), (&[][..], 188));
    let mut losses = Vec::new();
    for path in sorting::sorted_files(&storage) {
        let content = storage.content(&path);
        let places = (0..content.len()).step_by(31).map(Some).chain([None]);
        for place in places {
            let storage = storage.snapshot();
            match place {
                Some(at) => storage.damage(&path, at, &[content[at] ^ 0x55]),
                None => storage.unlink(&path).unwrap(),
            }
            let name = format!("{} at {place:?}", path.display());
            let report = repaired(&storage).unwrap();
            let lost: u64 = report.lost_entries.iter().map(|lost| lost.count).sum();
            assert_eq!(report.state.entries + lost, 188, "{name}: {report:?}");
            assert_eq!(report.state.streams, whole.state.streams, "{name}");
            let is_named = report.damage.iter().any(|damage| damage.path == path);
            assert!(is_named || lost == 0, "{name}: {report:?}");
            let checked = check_on(&shared(&storage), Path::new(DIR), &mut |_| {}).unwrap();
            let costs = checked.damage.iter().filter(|it| it.stream.is_some());
            let costs: u64 = costs.map(|damage| damage.entries).sum();
            assert_eq!((checked.state.entries, costs), (188 - lost, lost), "{name}");
            let new = check_on(&shared(&storage), Path::new(TO), &mut |_| {}).unwrap();
            assert_eq!(
                (&new.damage[..], new.state),
                (&[][..], report.state),
                "{name}"
            );
            // What is lost lies between what is kept, and is not given again.
            for lost in &report.lost_entries {
                assert!(lost.before.is_none_or(|before| lost.after < Some(before)));
                let stream = open_new(&storage).unwrap().lock().stream(0, &lost.key);
                assert_eq!(stream.unwrap().last_id.ms, 94, "{name}");
            }
            losses.push(lost);
        }
    }
    let some = losses.iter().filter(|&&lost| lost > 0).count();
    assert!(some * 2 > losses.len(), "{some} of {}", losses.len());
    assert!(losses.iter().any(|&lost| lost < 188 / 4 && lost > 0));
}

#[test]
fn sorted_segments_that_no_checkpoint_tells_of_are_named() {
    let storage = sorted_directory();
    for path in storage.files() {
        if path.extension().is_some_and(|it| it == "ckpt") {
            storage.unlink(&path).unwrap();
        }
    }
    let report = repaired(&storage).unwrap();
    for path in sorting::sorted_files(&storage) {
        let named = report.damage.iter().find(|damage| damage.path == path);
        assert!(named.is_some_and(|named| named.entries > 0), "{report:?}");
    }
}

#[test]
fn a_repair_that_is_cut_short_leaves_nothing_that_opens() {
    let (storage, expected) = small_directory(true);
    let calls = {
        let storage = storage.snapshot();
        let before = storage.calls();
        repaired(&storage).unwrap();
        storage.calls() - before
    };
    for at in (0..calls).step_by(3).chain(calls - 6..calls) {
        for seed in 0..3 {
            let storage = storage.snapshot();
            storage.crash_at(storage.calls() + at);
            let ended = repaired(&storage);
            let storage = storage.crash(seed);
            let is_there = storage
                .list(Path::new(TO))
                .is_ok_and(|files| !files.is_empty());
            assert!(is_there || ended.is_err(), "{at}");
            if is_there {
                let engine = open_new(&storage).unwrap();
                assert_eq!(picture(&engine), expected, "{at}");
            } else {
                // What is left is in nobody's way.
                repaired(&storage).unwrap();
            }
        }
    }
}

#[test]
fn without_checkpoints_and_the_first_segment_streams_keep_their_entries_under_other_names() {
    let (storage, _) = small_directory(false);
    let engine = open_with(&storage, options()).unwrap();
    for ms in 20..40 {
        let mut batch = engine.lock();
        let id = NewId::Given(EntryId::new(ms, 0));
        batch.add(0, b"orders", id, &[b"f", &[b'v'; 900]]).unwrap();
        batch.end_command();
    }
    engine.sync().unwrap();
    let expected = picture(&engine);
    drop(engine);
    for path in storage.files() {
        let is_first = path.ends_with("0000000000000000.seg");
        if is_first || path.extension().is_some_and(|it| it == "ckpt") {
            storage.unlink(&path).unwrap();
        }
    }
    let report = repaired(&storage).unwrap();
    let named = report.mended.iter().any(|mended| {
        mended.key.starts_with(b"alluvium:lost:stream:") && mended.what.contains("name")
    });
    assert!(named, "{report:?}");
    let found = picture(&open_new(&storage).unwrap());
    let all = entries(&expected);
    let kept = entries(&found);
    assert!(!kept.is_empty() && kept.len() < all.len(), "{found}");
    assert!(kept.iter().all(|entry| all.contains(entry)));
    // Those whose adding is lost, and their deliveries are not: their IDs are not given again.
    assert!(!report.lost_pending.is_empty(), "{report:?}");
}

#[test]
fn a_directory_in_the_way_or_inside_the_original_is_refused() {
    let (storage, _) = small_directory(true);
    let to = |to: &str| {
        let storage: Arc<dyn Storage> = Arc::new(storage.clone());
        repair_on(&storage, (Path::new(DIR), Path::new(to)), &mut |_| {})
    };
    for refused in [DIR, "/data/repaired"] {
        assert!(matches!(to(refused), Err(Error::Io { .. })), "{refused}");
    }
    to(TO).unwrap();
    assert!(matches!(to(TO), Err(Error::Io { .. })), "it is not empty");
    let engine = open_with(&storage, options()).unwrap();
    assert!(matches!(to("/other"), Err(Error::Locked { .. })));
    drop(engine);
    to("/other").unwrap();
}

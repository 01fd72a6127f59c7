//! Every byte of a small directory damaged in every way that disks and people know: each is named,
//! or does not matter; what lies behind is served in salvage; nothing is removed; and no answer is
//! ever wrong.
//!
//! By default each byte is changed once, one of its bits, and runs of zeros together. With
//! `ALLUVIUM_THOROUGH=1` it is each bit, each byte zeroed, and each length of each file.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Range;

use super::*;
use crate::Retention;

/// Longest frame of the workload: an error names the start of the frame that is damaged.
const FRAME_LEN_MAX: usize = 512;
/// Longest block of its sorted segments.
const BLOCK_LEN_MAX: usize = 4096;

pub(super) fn is_thorough() -> bool {
    std::env::var_os("ALLUVIUM_THOROUGH").is_some()
}

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// A directory, and all that is true of it.
struct Whole {
    storage: SimulatedStorage,
    /// What was to be seen after each step.
    history: Vec<String>,
    /// All entries that were ever there, and what is in them.
    entries: BTreeMap<EntryId, String>,
    /// The last one, and where its frame starts.
    last: (EntryId, PathBuf, usize),
    files: Files,
}

/// Many small entries over sorted segments and those of the log, groups, two checkpoints and a log
/// behind them; closed by a checkpoint or not. `base` is another disk, whose random numbers differ.
fn whole(base: &SimulatedStorage, is_closed: bool) -> Whole {
    let storage = base.clone();
    let engine = open(&storage).unwrap();
    let mut history = vec![picture(&engine)];
    let mut entries = BTreeMap::new();
    let mut last = None;
    for number in 1..=130_u64 {
        if number % 10 == 0 {
            script_groups(&engine, number);
            history.push(picture(&engine));
        }
        if number == 50 {
            super::sorting::sort(&engine).unwrap();
        }
        if number == 60 || number == 110 {
            engine.checkpoint().unwrap();
        }
        let before = engine.stats().appended;
        let filler = "x".repeat(usize::try_from(number % 23).unwrap());
        let value = format!("value {number} {filler}");
        let fields: [&[u8]; 2] = [b"field", value.as_bytes()];
        let id = EntryId::new(number, 1);
        step(&engine, |batch| {
            batch.add(0, KEY, NewId::Given(id), &fields).map(drop)
        })
        .unwrap();
        let bytes = fields.concat();
        entries.insert(id, format!("{} {}", bytes.len(), crc32fast::hash(&bytes)));
        let (segment, offset) = engine.lock().core().log.segment_at(before).unwrap();
        let offset = usize::try_from(offset).unwrap();
        last = Some((id, segment.path().to_owned(), offset));
        history.push(picture(&engine));
    }
    if is_closed {
        engine.checkpoint().unwrap();
    }
    let retained = engine.stats().retained;
    drop(engine);
    let files = contents(&storage);
    assert!(!super::sorting::sorted_files(&storage).is_empty());
    assert!(retained > 0);
    Whole {
        storage,
        history,
        entries,
        last: last.unwrap(),
        files,
    }
}

fn script_groups(engine: &Engine, number: u64) {
    step(engine, |batch| {
        let deliver = Deliver {
            count: Some(4),
            noack: false,
            ..Deliver::default()
        };
        if number == 10 {
            let (id, entries_read) = (EntryId::MIN, Some(0));
            batch.create_group(0, KEY, GROUP, Cursor { id, entries_read })?;
        }
        batch.deliver(0, KEY, member(b"alice"), deliver)?;
        batch.ack(0, KEY, GROUP, &[EntryId::new(number / 5, 1)])?;
        // In both checkpoints, only in the later one, and behind it, where nothing goes: the number
        // of nodes that is left of a damaged run is an estimate.
        let lengths = [(20, 180), (80, 60), (120, 0)];
        if let Some(&(_, length)) = lengths.iter().find(|(at, _)| *at == number) {
            let retention = Retention {
                age_ms: Some(number << 32),
                bytes: Some(1 << 40),
                length: Some(length),
                acked: Some(number == 80),
                acked_age_ms: Some(1 << 56),
            };
            batch.set_retention(0, KEY, retention)?;
        }
        batch.retain_due(1)?;
        let gone = EntryId::new(number / 2, 1);
        batch.delete_entries(0, KEY, &[gone]).map(drop)
    })
    .unwrap();
}

fn assert_same(found: &Files, before: &Files, what: &str) {
    let differs = |path: &&PathBuf| found.get(*path) != before.get(*path);
    let changed: Vec<_> = found.keys().chain(before.keys()).filter(differs).collect();
    assert!(changed.is_empty(), "{what}: changed {changed:?}");
}

fn contents(storage: &SimulatedStorage) -> Files {
    let files = storage.files().into_iter();
    files
        .map(|path| (path.clone(), storage.content(&path)))
        .collect()
}

fn salvage() -> Options {
    Options {
        recovery: Recovery::Salvage,
        ..options()
    }
}

/// What opening and reading a damaged directory came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Outcome {
    /// All is as it was.
    Harmless,
    /// Start is refused.
    Refused,
    /// The entry cannot be read.
    Unreadable,
    /// The other checkpoint was used.
    OlderCheckpoint,
    /// Cut as a torn tail.
    Torn,
}

impl Whole {
    fn copy(&self) -> SimulatedStorage {
        self.storage.snapshot()
    }

    fn expected(&self) -> &str {
        self.history.last().unwrap()
    }

    /// The files that mean something, and those of zeros that are kept for a full disk.
    fn is_log(path: &Path) -> bool {
        path.extension().is_some_and(|ending| ending == "seg")
    }

    /// Opens `damaged`, in which `at` of the file `path` is not what was written, both ways.
    fn judge(&self, damaged: &SimulatedStorage, path: &Path, at: &Range<usize>) -> Outcome {
        let before = contents(damaged);
        let what = format!("{} at {at:?}", path.display());
        let outcome = match open(damaged) {
            Err(error) => {
                assert_named(&error, path, at);
                assert_same(&contents(damaged), &before, &what);
                Outcome::Refused
            }
            Ok(engine) => {
                let report = engine.recovery();
                assert!(report.losses.is_empty());
                for (id, known) in self.entries.iter().rev().step_by(7) {
                    let found = read_one(&engine, *id).unwrap_or_default();
                    assert!(found.is_none_or(|found| found == *known), "{what}: {id}");
                }
                match try_picture(&engine) {
                    Err(error) => {
                        assert_named(&error, path, at);
                        Outcome::Unreadable
                    }
                    Ok(seen) if !report.damaged_checkpoints.is_empty() => {
                        assert_eq!(report.damaged_checkpoints, [path]);
                        assert_eq!(seen, self.expected(), "{what}");
                        Outcome::OlderCheckpoint
                    }
                    Ok(seen) if seen == self.expected() => Outcome::Harmless,
                    Ok(seen) => {
                        // Only the last frame has nobody who knows that it was durable.
                        assert!(report.torn_bytes > 0, "{what}: {report:?}");
                        let is_last = path == self.last.1 && at.end > self.last.2;
                        assert!(is_last, "{what}: {:?} {report:?}", self.last);
                        assert!(self.history.contains(&seen), "{what}");
                        Outcome::Torn
                    }
                }
            }
        };
        for kept in before.keys() {
            assert!(damaged.files().contains(kept), "{what}: {kept:?} is gone");
        }
        outcome
    }

    /// Opens `damaged`, whose file `path` is damaged before `end`, to serve what can be served.
    /// Whether the last entry is.
    fn salvage(&self, damaged: &SimulatedStorage, path: &Path, end: usize) -> bool {
        let before = contents(damaged);
        let engine = open_with(damaged, salvage()).unwrap();
        let report = engine.recovery();
        for loss in &report.losses {
            let is_missing = !before.contains_key(&loss.path);
            assert!(
                loss.path == path || is_missing || loss.len < 512,
                "{path:?}: {loss:?}"
            );
        }
        for (id, known) in self.entries.iter().rev().step_by(7) {
            let found = read_one(&engine, *id).unwrap_or_default();
            assert!(found.is_none_or(|found| found == *known), "{path:?}: {id}");
        }
        let (last, ..) = self.last;
        let is_served = matches!(read_one(&engine, last), Ok(Some(_)));
        // What is added now is there after the next start, too.
        let id = EntryId::new(1 << 20, 0);
        let given = NewId::Given(id);
        commit(&engine, |batch| {
            batch.add(0, b"new", given, &[b"f", b"v"]).map(drop)
        })
        .unwrap();
        drop(engine);
        let engine = open_with(&damaged.crash(7), salvage()).unwrap();
        let added = engine.lock().range(0, b"new", between(id, id)).unwrap();
        assert_eq!(added.unwrap().len(), 1);
        let after = contents(damaged);
        for kept in before.keys() {
            assert!(after.contains_key(kept), "{kept:?} is gone");
        }
        if let (Some(before), Some(after)) = (before.get(path), after.get(path)) {
            let is_named = report.losses.iter().any(|loss| loss.path == path);
            assert!(
                !is_named || before[..end] == after[..end],
                "{path:?} before {end}: damaged bytes are evidence"
            );
        }
        is_served
    }
}

fn read_one(engine: &Engine, id: EntryId) -> Result<Option<String>> {
    let plan = engine.lock().range(0, KEY, between(id, id))?;
    let mut found = None;
    if let Some(plan) = plan {
        plan.visit(0, &mut |seen, fields| {
            assert_eq!(seen, id, "asked for one, got another");
            found = Some(digest(fields));
            ControlFlow::Continue(())
        })?;
    }
    Ok(found)
}

/// The error names the file, and a place not far before the damage.
fn assert_named(error: &Error, path: &Path, at: &Range<usize>) {
    let Error::Corrupt {
        path: named,
        offset,
        what,
    } = error
    else {
        panic!("{} at {at:?}: {error}", path.display());
    };
    let offset = usize::try_from(*offset).unwrap();
    let is_sorted = path.starts_with("/data/sorted");
    let reach = if is_sorted {
        BLOCK_LEN_MAX
    } else {
        FRAME_LEN_MAX
    };
    let is_near = offset < at.end && at.start < offset + reach;
    assert!(
        named == path && is_near,
        "{} at {at:?}: named {} at {offset}: {what}",
        path.display(),
        named.display()
    );
}

/// The places of a file to change, one after the other: bytes, and runs of zeros.
fn places(content: &[u8]) -> Vec<Range<usize>> {
    let mut places = Vec::new();
    let mut at = 0;
    while at < content.len() {
        let zeros = content[at..].iter().take(64).take_while(|&&byte| byte == 0);
        let run = if is_thorough() {
            1
        } else {
            zeros.count().max(1)
        };
        places.push(at..at + run);
        at += run;
    }
    places
}

/// Counts outcomes, so that a test can tell that damage was met at all.
type Tally = BTreeMap<Outcome, usize>;

/// Flips one bit of each byte in `range`; which one differs from byte to byte.
fn flipped(content: &[u8], range: &Range<usize>, bit: usize) -> Vec<u8> {
    let flip = |at: usize| content[at] ^ (1 << ((at * 5 + bit) % 8));
    range.clone().map(flip).collect()
}

fn flip_all(whole: &Whole, is_tested: impl Fn(&Path) -> bool) -> Tally {
    let mut tally = Tally::new();
    let bits = if is_thorough() { 8 } else { 1 };
    for (path, content) in whole.files.iter().filter(|(path, _)| is_tested(path)) {
        for (number, place) in places(content).iter().enumerate() {
            for bit in 0..bits {
                let damaged = whole.copy();
                damaged.damage(path, place.start, &flipped(content, place, bit));
                let outcome = whole.judge(&damaged, path, place);
                *tally.entry(outcome).or_default() += 1;
                // A start that was refused has changed nothing.
                let is_sample = is_thorough() || number % 5 == 0;
                if outcome == Outcome::Refused && is_sample {
                    let is_behind = path != &whole.last.1 || place.end <= whole.last.2;
                    let is_served = whole.salvage(&damaged, path, place.end);
                    assert!(
                        is_served || !is_behind || place.start < 64,
                        "{} at {place:?}: what lies behind is not served",
                        path.display()
                    );
                }
            }
        }
    }
    tally
}

/// Durability: P8, P9, R1, R3, R4, U1.
#[test]
fn every_flipped_bit_of_the_log_is_named_or_does_not_matter() {
    let whole = whole(&SimulatedStorage::new(), false);
    let tally = flip_all(&whole, Whole::is_log);
    assert!(tally[&Outcome::Refused] > 1000, "{tally:?}");
    assert!(tally[&Outcome::Unreadable] > 1000, "{tally:?}");
    assert!(tally[&Outcome::Torn] > 20, "{tally:?}");
}

/// Durability: P8, R3.
#[test]
fn after_a_clean_end_even_the_last_frame_is_known_to_have_been_durable() {
    let whole = whole(&SimulatedStorage::new(), true);
    let tally = flip_all(&whole, |path| path == whole.last.1);
    assert_eq!(tally.get(&Outcome::Torn), None, "{tally:?}");
}

/// Durability: P8, R5.
#[test]
fn every_flipped_bit_of_the_other_files_is_named_or_does_not_matter() {
    let whole = whole(&SimulatedStorage::new(), false);
    let tally = flip_all(&whole, |path| !Whole::is_log(path));
    assert!(tally[&Outcome::OlderCheckpoint] > 500, "{tally:?}");
    let kinds: BTreeSet<_> = tally.into_keys().collect();
    let harmless = BTreeSet::from([Outcome::Harmless, Outcome::OlderCheckpoint]);
    assert_eq!(kinds, harmless);
}

/// Durability: P8, R3, R5.
#[test]
fn every_zeroed_byte_and_sector_is_named_or_does_not_matter() {
    let whole = whole(&SimulatedStorage::new(), false);
    let mut tally = Tally::new();
    let step = if is_thorough() { 1 } else { 7 };
    for (path, content) in &whole.files {
        let used = (0..content.len()).filter(|&at| content[at] != 0);
        let bytes = used.step_by(step).map(|at| at..at + 1);
        let sectors = (0..content.len()).step_by(512);
        let sectors = sectors.map(|at| at..content.len().min(at + 512));
        for place in bytes.chain(sectors) {
            let used = content[place.clone()].iter().position(|&byte| byte != 0);
            let Some(used) = used else { continue };
            let damaged = whole.copy();
            damaged.damage(path, place.start, &vec![0; place.len()]);
            let place = place.start + used..place.end;
            let outcome = whole.judge(&damaged, path, &place);
            *tally.entry(outcome).or_default() += 1;
        }
    }
    assert!(tally[&Outcome::Refused] > 100, "{tally:?}");
}

/// Durability: P8, P9, R3, R4, R5.
#[test]
fn a_file_cut_at_any_length_is_named_or_does_not_matter() {
    let whole = whole(&SimulatedStorage::new(), false);
    let mut tally = Tally::new();
    for (path, content) in &whole.files {
        let is_sample = |len: &usize| {
            is_thorough() || *len < 100 || content.len() < 4096 || len.is_multiple_of(41)
        };
        for len in (0..content.len()).filter(is_sample) {
            let damaged = whole.copy();
            damaged.put(path, &content[..len]);
            // A header that is not all there is damaged at its start.
            let from = if len < 64 { 0 } else { len };
            let outcome = whole.judge(&damaged, path, &(from..content.len()));
            *tally.entry(outcome).or_default() += 1;
            if len % 16 == 0 {
                whole.salvage(&damaged, path, len);
            }
        }
    }
    assert!(tally[&Outcome::Refused] > 500, "{tally:?}");
    assert!(tally[&Outcome::OlderCheckpoint] > 100, "{tally:?}");
    assert!(!tally.contains_key(&Outcome::Torn), "{tally:?}");
}

/// Frames of 512 bytes, so that each sector and page of one segment fits in the place of another.
fn aligned() -> Whole {
    let storage = SimulatedStorage::new();
    let options = Options {
        segment_size: 16 << 10,
        ..options()
    };
    let engine = open_with(&storage, options).unwrap();
    let mut entries = BTreeMap::new();
    let mut history = Vec::new();
    let mut last = None;
    step(&engine, |batch| batch.create_stream(0, KEY)).unwrap();
    for number in 1..=80_u64 {
        if number == 40 {
            engine.checkpoint().unwrap();
        }
        let mut batch = engine.lock();
        // Up to the next multiple of 512: frame header, head of the entry, its body.
        let end = batch.core().log.end().0 + 16 + 24 + 1 + 2 + 1 + 1 + 5 + 2;
        let mut value = format!("{number} ").into_bytes();
        let room = usize::try_from(end.next_multiple_of(512) - end).unwrap();
        value.resize(if room < 8 { room + 512 } else { room }, b'.');
        let fields: [&[u8]; 2] = [b"field", &value];
        let id = EntryId::new(number, 1);
        batch.add(0, KEY, NewId::Given(id), &fields).unwrap();
        let end = batch.end_command();
        let (segment, offset) = batch.core().log.segment_at(end).unwrap();
        drop(batch);
        engine.submit();
        engine.wait_settled(end).unwrap();
        let bytes = fields.concat();
        entries.insert(id, format!("{} {}", bytes.len(), crc32fast::hash(&bytes)));
        let offset = usize::try_from(offset).unwrap();
        assert!(offset % 512 < 8 || offset % 4096 < 64, "{offset}: aligned");
        last = Some((id, segment.path().to_owned(), offset - offset.min(512)));
        history.push(picture(&engine));
    }
    drop(engine);
    let files = contents(&storage);
    Whole {
        storage,
        history,
        entries,
        last: last.unwrap(),
        files,
    }
}

/// Durability: P8, R3.
#[test]
fn a_page_or_sector_in_a_wrong_place_is_named_or_does_not_matter() {
    let whole = aligned();
    let logs: Vec<_> = whole
        .files
        .iter()
        .filter(|(path, _)| Whole::is_log(path))
        .collect();
    let mut tally = Tally::new();
    for len in [512, 4096] {
        let pieces = logs.iter().flat_map(|(path, content)| {
            let used = content.chunks(len).enumerate();
            let used = used.filter(|(_, piece)| piece.iter().any(|&byte| byte != 0));
            used.map(move |(number, _)| (*path, number * len))
        });
        let pieces: Vec<_> = pieces.collect();
        for (number, (from, from_at)) in pieces.iter().enumerate() {
            let step = if is_thorough() || len == 4096 { 1 } else { 5 };
            for (to, to_at) in pieces.iter().skip(number % step).step_by(step) {
                let piece = &whole.files[*from][*from_at..from_at + len];
                let old = &whole.files[*to][*to_at..to_at + len];
                if piece == old {
                    continue;
                }
                let damaged = whole.copy();
                damaged.damage(to, *to_at, piece);
                let outcome = whole.judge(&damaged, to, &(*to_at..to_at + len));
                *tally.entry(outcome).or_default() += 1;
            }
        }
    }
    assert!(tally[&Outcome::Refused] > 100, "{tally:?}");
    assert!(tally[&Outcome::Unreadable] > 100, "{tally:?}");
}

/// Durability: P9, R3, R6.
#[test]
fn a_missing_file_is_named_or_does_not_matter() {
    let whole = whole(&SimulatedStorage::new(), false);
    let mut outcomes = BTreeMap::new();
    for path in whole.files.keys() {
        let damaged = whole.copy();
        damaged.unlink(path).unwrap();
        let len = whole.files[path].len();
        let outcome = whole.judge(&damaged, path, &(0..len.max(1)));
        if outcome == Outcome::Refused {
            assert!(Whole::is_log(path));
            whole.salvage(&damaged, path, 0);
        }
        outcomes.insert(path.clone(), outcome);
    }
    let refused = outcomes.values().filter(|it| **it == Outcome::Refused);
    let logs = outcomes.keys().filter(|path| Whole::is_log(path)).count();
    // Entries lie in all of them.
    assert_eq!(refused.count(), logs, "{outcomes:?}");
}

/// Durability: P8, R5, R6.
#[test]
fn a_file_of_another_directory_is_named_or_does_not_matter() {
    let whole = whole(&SimulatedStorage::new(), false);
    let other = self::whole(&SimulatedStorage::new().crash(1), false);
    assert_eq!(
        other.files.keys().collect::<Vec<_>>(),
        whole.files.keys().collect::<Vec<_>>()
    );
    for (path, content) in &other.files {
        let damaged = whole.copy();
        damaged.put(path, content);
        let outcome = whole.judge(&damaged, path, &(0..64));
        let expected = match path.extension().and_then(|ending| ending.to_str()) {
            Some("seg") => Outcome::Refused,
            Some("ckpt") => Outcome::OlderCheckpoint,
            _ => Outcome::Harmless,
        };
        assert_eq!(outcome, expected, "{}", path.display());
        if outcome == Outcome::Refused {
            whole.salvage(&damaged, path, content.len());
        }
    }
}

/// Durability: P8, R5, R6.
#[test]
fn swapped_names_are_noticed() {
    let whole = whole(&SimulatedStorage::new(), false);
    let paths: Vec<_> = whole
        .files
        .keys()
        .filter(|path| path.extension().is_some())
        .collect();
    let mut noticed = HashSet::new();
    for (number, a) in paths.iter().enumerate() {
        for b in &paths[number + 1..] {
            let damaged = whole.copy();
            damaged.put(a, &whole.files[*b]);
            damaged.put(b, &whole.files[*a]);
            let Err(Error::Corrupt { path, what, .. }) = open(&damaged) else {
                panic!("{a:?} and {b:?} went unnoticed");
            };
            if path == **a || path == **b {
                noticed.insert("one of them");
            } else {
                // Without any checkpoint the log is not enough: its first segment was sorted.
                let is_checkpoint = |path: &Path| !Whole::is_log(path);
                assert!(is_checkpoint(a) && is_checkpoint(b), "{a:?} {b:?}");
                assert_eq!(what, "a log segment is missing");
                noticed.insert("both checkpoints");
            }
        }
    }
    assert_eq!(noticed.len(), 2, "{noticed:?}");
}

/// Durability: P8, R3.
#[test]
fn a_write_that_the_disk_puts_elsewhere_is_noticed() {
    for to in [4096_u64, 4608, 6000] {
        let storage = SimulatedStorage::new();
        let engine = open(&storage).unwrap();
        for ms in 1..4 {
            step(&engine, |batch| add(batch, ms, 700).map(drop)).unwrap();
        }
        storage.fail(Call::Write, 0, Fault::Misdirected(to));
        step(&engine, |batch| add(batch, 4, 100).map(drop)).unwrap();
        step(&engine, |batch| add(batch, 5, 100).map(drop)).unwrap();
        let after = storage.crash(to);
        let Err(Error::Corrupt { path, offset, .. }) = open(&after) else {
            panic!("a write of 4096 bytes at {to} went unnoticed");
        };
        assert_eq!(path, Path::new("/data/log/0000000000000000.seg"));
        assert!((4096..8192).contains(&offset));
    }
}

//! The log by itself: transactions of plain byte strings, on a simulated disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::recovery::{self, Known};
use super::*;
use crate::format::{frame, segment as segment_format};
use crate::storage::Storage;
use crate::storage::simulated::{Call, Fault, SimulatedClock, SimulatedStorage};
use crate::{Recovery, SyncPolicy};

const SEGMENT_SIZE: u64 = 8 << 10;
const DIR: &str = "/data/log";

/// A log without a state: what it replays is kept as a list.
struct Journal {
    log: Mutex<Log>,
    commit: Commit,
    progress: Arc<Progress>,
    replayed: Vec<Vec<u8>>,
    torn_bytes: u64,
    losses: usize,
    torn_frames: usize,
}

impl Journal {
    fn open(storage: &SimulatedStorage) -> Result<Self> {
        Self::open_with(storage, Recovery::Strict, Lsn::ZERO, Lsn::ZERO)
    }

    fn open_with(
        storage: &SimulatedStorage,
        mode: Recovery,
        begin: Lsn,
        durable: Lsn,
    ) -> Result<Self> {
        let storage: Arc<dyn Storage> = Arc::new(storage.clone());
        let io = |error| crate::error::io_error("create", Path::new(DIR), error);
        storage.create_dir(Path::new(DIR)).map_err(io)?;
        let progress = Arc::new(Progress::new(Lsn::ZERO, SyncPolicy::Always));
        let dirs = [DIR, DIR, "/sorted"].map(PathBuf::from);
        let prepare = Prepare::new(Arc::clone(&storage), dirs, SEGMENT_SIZE, 0);
        let prepare = Arc::new(prepare);
        let known = Known {
            begin,
            durable,
            has_checkpoint: begin > Lsn::ZERO,
            mode,
            is_look: false,
        };
        let listing = recovery::list(&*storage, Path::new(DIR), &prepare)?;
        let found = recovery::recover(&*storage, listing, &prepare, known)?;
        let active = found.segments.last().unwrap();
        prepare.restart(active, found.next.clone(), found.has_reserve);
        prepare.prime();
        progress.restart(found.end);
        let mut log = Log::new(
            found.segments,
            found.end,
            Arc::clone(&prepare),
            Arc::clone(&progress),
        );
        let mut replayed = Vec::new();
        let counts = replay(&found.runs, &mut log, |payload, lsn, log| {
            assert_eq!(log.bytes_at(lsn).unwrap()[..payload.len()], *payload);
            replayed.push(payload.to_vec());
            Ok(())
        })?;
        if found.is_cut {
            log.void_transaction();
        }
        let journal = Self {
            log: Mutex::new(log),
            commit: Commit::new(Arc::clone(&progress), Arc::new(SimulatedClock::default())),
            progress,
            replayed,
            torn_bytes: found.torn_bytes,
            losses: found.losses.len(),
            torn_frames: counts.torn.len(),
        };
        journal.sync()?;
        Ok(journal)
    }

    fn append(&self, records: &[&[u8]]) -> Result<Lsn> {
        let mut log = self.log.lock();
        for record in records {
            log.admit(record.len(), Growth::Grows)?;
            log.append(record.len(), |out, _| out.extend_from_slice(record));
        }
        Ok(log.end_frame())
    }

    fn write(&self) -> Result<()> {
        self.commit.write(|last| self.log.lock().gather(last))
    }

    fn sync(&self) -> Result<()> {
        self.write()?;
        self.commit.sync()
    }

    fn put(&self, record: &[u8]) -> Result<()> {
        self.append(&[record])?;
        self.sync()
    }
}

/// Opens the log again; all records that it gives back.
fn replayed(storage: &SimulatedStorage) -> Vec<Vec<u8>> {
    Journal::open(storage).unwrap().replayed
}

fn record(number: usize, len: usize) -> Vec<u8> {
    let mut record = format!("record {number} ").into_bytes();
    record.resize(len.max(record.len()), b'.');
    record
}

fn active_path(first: u64) -> PathBuf {
    Path::new(DIR).join(segment::name(Lsn(first)))
}

#[test]
fn what_was_appended_is_read_from_buffer_flight_and_segment() {
    let storage = SimulatedStorage::new();
    let journal = Journal::open(&storage).unwrap();
    let mut log = journal.log.lock();
    log.admit(5, Growth::Grows).unwrap();
    let lsn = log.append(5, |out, _| out.extend_from_slice(b"hello"));
    assert_eq!(&log.bytes_at(lsn).unwrap()[..5], b"hello");
    log.end_frame();
    let flight = log.gather(None).unwrap();
    assert_eq!(&log.bytes_at(lsn).unwrap()[..5], b"hello");
    for run in flight.runs() {
        assert!(run.padded[run.len..].iter().all(|&byte| byte == 0));
        run.segment.write(run.lsn, run.padded).unwrap();
        run.segment.mark_filled(run.lsn.plus(run.len as u64));
    }
    log.in_flight = None;
    assert_eq!(&log.bytes_at(lsn).unwrap()[..5], b"hello");
    let (segment, offset) = log.segment_at(lsn).unwrap();
    let offset = usize::try_from(offset).unwrap();
    assert_eq!(&segment.bytes()[offset..offset + 5], b"hello");
}

#[test]
fn records_survive_rolls_and_reopening() {
    let storage = SimulatedStorage::new();
    let journal = Journal::open(&storage).unwrap();
    let records: Vec<_> = (0..100).map(|number| record(number, 300)).collect();
    for record in &records {
        journal.put(record).unwrap();
    }
    drop(journal);
    assert!(storage.files().len() > 8);
    assert_eq!(replayed(&storage), records);
    let journal = Journal::open(&storage).unwrap();
    journal.put(b"one more").unwrap();
    assert_eq!(replayed(&storage).len(), 101);
}

#[test]
fn a_transaction_larger_than_a_segment_gets_one_of_its_own() {
    let storage = SimulatedStorage::new();
    let journal = Journal::open(&storage).unwrap();
    let large = record(1, 50_000);
    journal.put(b"small").unwrap();
    journal.put(&large).unwrap();
    journal.put(b"small").unwrap();
    let expected = vec![b"small".to_vec(), large, b"small".to_vec()];
    assert_eq!(replayed(&storage), expected);
}

/// Durability: P4, C3, R2.
#[test]
fn a_transaction_across_segments_survives_whole_or_not_at_all() {
    let storage = SimulatedStorage::new();
    let journal = Journal::open(&storage).unwrap();
    journal.put(b"before").unwrap();
    let parts: Vec<_> = (0..5).map(|number| record(number, 3000)).collect();
    let slices: Vec<_> = parts.iter().map(Vec::as_slice).collect();
    journal.append(&slices).unwrap();
    let before = storage.calls();
    journal.sync().unwrap();
    let calls = storage.calls() - before;
    assert!(calls >= 4, "several writes and syncs");
    assert_eq!(
        replayed(&storage).concat(),
        [&b"before"[..], &parts.concat()].concat()
    );
    for at in 0..calls {
        for seed in 0..20 {
            let storage = SimulatedStorage::new();
            let journal = Journal::open(&storage).unwrap();
            journal.put(b"before").unwrap();
            journal.append(&slices).unwrap();
            storage.crash_at(storage.calls() + at);
            journal.sync().unwrap_err();
            let storage = storage.crash(seed);
            let journal = Journal::open(&storage).unwrap();
            let found = journal.replayed.concat();
            assert!(found == b"before" || found == [&b"before"[..], &parts.concat()].concat());
            journal.put(b"after").unwrap();
            let again = replayed(&storage).concat();
            assert_eq!(again, [&found[..], b"after"].concat());
        }
    }
}

/// Appends and syncs records until the disk ends; the records that were acknowledged.
fn work(journal: &Journal, from: usize) -> Vec<Vec<u8>> {
    let mut acked = Vec::new();
    for number in from..from + 12 {
        let record = record(number, 60 + number * 173 % 1900);
        if journal.put(&record).is_err() {
            break;
        }
        acked.push(record);
    }
    acked
}

/// Durability: P1, C1, C2, C3, C4, C5, C9, R1, R7.
#[test]
fn acked_records_survive_a_crash_at_every_call() {
    let total = {
        let storage = SimulatedStorage::new();
        let journal = Journal::open(&storage).unwrap();
        assert_eq!(work(&journal, 0).len(), 12);
        storage.calls()
    };
    for at in 0..total {
        for seed in 0..8 {
            let storage = SimulatedStorage::new();
            storage.crash_at(at);
            let acked = Journal::open(&storage).map_or(Vec::new(), |journal| work(&journal, 0));
            let storage = storage.crash(seed * 1000 + at);
            // The recovery is cut short as well, at a call that depends on the seed.
            storage.crash_at(seed);
            drop(Journal::open(&storage));
            let storage = storage.crash(seed);
            let journal = Journal::open(&storage).unwrap();
            let found = journal.replayed.clone();
            let (acked_count, found_count) = (acked.len(), found.len());
            assert!(
                found.starts_with(&acked),
                "{acked_count} acked, {found_count} found; crash at {at}, seed {seed}"
            );
            assert!(found.len() <= acked.len() + 1, "nothing comes from nowhere");
            let more = work(&journal, 100);
            assert_eq!(more.len(), 12);
            assert_eq!(replayed(&storage), [found, more].concat());
        }
    }
}

/// Durability: P2, R1.
#[test]
fn written_records_survive_a_kill() {
    let storage = SimulatedStorage::new();
    let journal = Journal::open(&storage).unwrap();
    for number in 0..40 {
        journal.append(&[&record(number, 500)]).unwrap();
        journal.write().unwrap();
    }
    let storage = storage.kill();
    assert_eq!(replayed(&storage).len(), 40);
    // Recovery made them durable before it served them.
    let storage = storage.crash(1);
    assert_eq!(replayed(&storage).len(), 40);
}

/// Durability: P3, R1, C9.
#[test]
fn a_torn_tail_is_cut_and_never_comes_back() {
    for seed in 0..300 {
        let storage = SimulatedStorage::new();
        let journal = Journal::open(&storage).unwrap();
        journal.put(b"acked").unwrap();
        for number in 0..8 {
            journal.append(&[&record(number, 200)]).unwrap();
            journal.write().unwrap();
        }
        let storage = storage.crash(seed);
        let journal = Journal::open(&storage).unwrap();
        let found = journal.replayed.clone();
        assert_eq!(found[0], b"acked");
        // A shorter record first, so that frames which the crash left behind it could fit.
        journal.put(b"x").unwrap();
        let storage = storage.crash(seed);
        assert_eq!(replayed(&storage), [found, vec![b"x".to_vec()]].concat());
    }
}

/// A log of 10 synced records, and where each of their frames starts.
fn synced_log() -> (SimulatedStorage, Vec<Lsn>, Lsn) {
    let storage = SimulatedStorage::new();
    let journal = Journal::open(&storage).unwrap();
    let mut starts = Vec::new();
    let mut end = journal.log.lock().end();
    for number in 0..10 {
        starts.push(end);
        end = journal.append(&[&record(number, 100)]).unwrap();
        journal.sync().unwrap();
    }
    (storage, starts, end)
}

fn corrupt_offset(storage: &SimulatedStorage) -> Option<u64> {
    match Journal::open(storage) {
        Err(Error::Corrupt { offset, .. }) => Some(offset),
        Err(error) => panic!("unexpected {error}"),
        Ok(_) => None,
    }
}

/// Durability: P9, R3, R4.
#[test]
fn damage_before_a_durable_position_is_corruption_and_changes_nothing() {
    let (storage, starts, _) = synced_log();
    for (index, start) in starts[..9].iter().enumerate() {
        let storage = storage.snapshot();
        let path = active_path(0);
        let offset = usize::try_from(start.0).unwrap();
        storage.damage(&path, offset + 20, b"?");
        let before = storage.content(&path);
        assert_eq!(corrupt_offset(&storage), Some(start.0), "record {index}");
        assert_eq!(storage.content(&path), before);
        let salvaged =
            Journal::open_with(&storage, Recovery::Salvage, Lsn::ZERO, Lsn::ZERO).unwrap();
        assert_eq!(salvaged.losses, 1);
        assert_eq!(salvaged.replayed.len(), 9);
    }
}

/// Durability: R3, U1.
#[test]
fn zeros_in_place_of_a_durable_frame_are_corruption() {
    let (storage, starts, end) = synced_log();
    let (from, to) = (starts[4].0, starts[5].0);
    let zeros = vec![0; usize::try_from(to - from).unwrap()];
    storage.damage(&active_path(0), usize::try_from(from).unwrap(), &zeros);
    assert_eq!(corrupt_offset(&storage), Some(from));
    let (storage, ..) = synced_log();
    let zeros = vec![0; usize::try_from(end.0 - from).unwrap()];
    storage.damage(&active_path(0), usize::try_from(from).unwrap(), &zeros);
    assert_eq!(
        corrupt_offset(&storage),
        None,
        "nothing tells that there was more"
    );
}

/// Durability: R3, R4.
#[test]
fn a_checkpoint_tells_that_the_last_frame_was_durable() {
    let (storage, starts, end) = synced_log();
    let last = *starts.last().unwrap();
    let offset = usize::try_from(last.0).unwrap();
    storage.damage(&active_path(0), offset, &[0; 16]);
    let opened = Journal::open_with(&storage.snapshot(), Recovery::Strict, starts[0], end);
    assert!(matches!(opened, Err(Error::Corrupt { offset, .. }) if offset == last.0));
    let salvaged = Journal::open_with(&storage, Recovery::Salvage, starts[0], end).unwrap();
    assert_eq!(salvaged.replayed.len(), 9);
    let log = salvaged.log.lock();
    assert_eq!(
        log.end().0,
        SEGMENT_SIZE + segment_format::HEADER_LEN as u64
    );
}

/// Durability: R1, U1.
#[test]
fn without_evidence_a_bad_last_frame_is_a_torn_tail() {
    let (storage, starts, _) = synced_log();
    let offset = usize::try_from(starts[9].0).unwrap();
    storage.damage(&active_path(0), offset + 30, b"?");
    let journal = Journal::open(&storage).unwrap();
    assert_eq!(journal.replayed.len(), 9);
    assert!(journal.torn_bytes > 0);
    assert_eq!(journal.log.lock().end(), starts[9]);
}

/// Durability: R3.
#[test]
fn damage_in_a_sealed_segment_is_corruption() {
    let storage = SimulatedStorage::new();
    let journal = Journal::open(&storage).unwrap();
    for number in 0..20 {
        journal.put(&record(number, 700)).unwrap();
    }
    drop(journal);
    let path = active_path(0);
    let content = storage.content(&path);
    let seal = content.iter().rposition(|&byte| byte != 0).unwrap();
    let zeroed = storage.snapshot();
    zeroed.damage(&path, seal & !15, &[0; 16]);
    assert!(corrupt_offset(&zeroed).is_some(), "the seal is gone");
    storage.damage(&path, 0, b"?");
    assert_eq!(corrupt_offset(&storage), Some(0), "the header is damaged");
}

/// Durability: R3, R6.
#[test]
fn a_missing_segment_is_named() {
    let storage = SimulatedStorage::new();
    let journal = Journal::open(&storage).unwrap();
    for number in 0..30 {
        journal.put(&record(number, 700)).unwrap();
    }
    drop(journal);
    storage.unlink(&active_path(SEGMENT_SIZE)).unwrap();
    let Err(Error::Corrupt { path, .. }) = Journal::open(&storage) else {
        panic!("expected corruption");
    };
    assert_eq!(path, active_path(SEGMENT_SIZE));
}

/// Durability: P4, R4.
#[test]
fn damage_to_one_part_of_a_transaction_loses_all_of_it() {
    let storage = SimulatedStorage::new();
    let journal = Journal::open(&storage).unwrap();
    journal.put(b"before").unwrap();
    let parts: Vec<_> = (0..4).map(|number| record(number, 3000)).collect();
    let slices: Vec<_> = parts.iter().map(Vec::as_slice).collect();
    journal.append(&slices).unwrap();
    journal.sync().unwrap();
    journal.put(b"after").unwrap();
    drop(journal);
    let (mut frames, mut first) = (Vec::new(), 0);
    while storage.files().contains(&active_path(first)) {
        let content = storage.content(&active_path(first));
        let header = content[..segment_format::FIELDS_LEN].try_into().unwrap();
        let header = segment_format::Header::decode(&header).unwrap();
        let mut at = segment_format::HEADER_LEN;
        while let frame::Found::Frame(found) =
            frame::decode(&content[at..], header.identity, Lsn(first + at as u64))
        {
            if found.flags & (frame::CONTINUES | frame::RESUMES) != 0 {
                frames.push((active_path(first), at));
            }
            at += found.space();
        }
        first += header.len;
    }
    assert!(frames.len() >= 3, "{frames:?}");
    for (path, at) in &frames {
        let storage = storage.snapshot();
        storage.damage(path, at + 20, b"?");
        let salvaged =
            Journal::open_with(&storage, Recovery::Salvage, Lsn::ZERO, Lsn::ZERO).unwrap();
        assert_eq!(salvaged.replayed, [b"before".to_vec(), b"after".to_vec()]);
        assert_eq!(salvaged.torn_frames, frames.len() - 1, "{path:?} at {at}");
    }
}

/// Durability: F1.
#[test]
fn a_failed_sync_poisons_the_log_and_is_not_tried_again() {
    let storage = SimulatedStorage::new();
    let journal = Journal::open(&storage).unwrap();
    journal.put(b"acked").unwrap();
    storage.fail(Call::Sync, 0, Fault::Error(std::io::ErrorKind::Other));
    let lsn = journal.append(&[b"lost"]).unwrap();
    assert!(journal.sync().is_err());
    assert!(journal.progress.is_poisoned());
    assert!(journal.progress.settled() < lsn);
    assert!(matches!(journal.sync(), Err(Error::Poisoned)));
    assert!(matches!(journal.append(&[b"more"]), Err(Error::Poisoned)));
    assert!(matches!(journal.progress.wait(lsn), Err(Error::Poisoned)));
    // The next process does not believe the cache.
    let storage = storage.kill();
    assert_eq!(replayed(&storage), vec![b"acked".to_vec()]);
}

#[test]
fn short_and_interrupted_writes_are_continued() {
    let storage = SimulatedStorage::new();
    let journal = Journal::open(&storage).unwrap();
    storage.fail(Call::Write, 0, Fault::Short(7));
    let interrupted = Fault::Error(std::io::ErrorKind::Interrupted);
    storage.fail(Call::Write, 1, interrupted);
    storage.fail(Call::Write, 2, Fault::Short(1));
    journal.put(&record(1, 100)).unwrap();
    let storage = storage.crash(3);
    assert_eq!(replayed(&storage), vec![record(1, 100)]);
}

/// Durability: F2.
#[test]
fn a_full_disk_refuses_growth_and_lets_the_rest_go_on() {
    let storage = SimulatedStorage::new();
    let journal = Journal::open(&storage).unwrap();
    // The active one, the next one, the reserve, and less than another one.
    let used = storage.used();
    storage.set_capacity(Some(used + 4096));
    let mut acked = 0;
    while journal.put(&record(acked, 500)).is_ok() {
        acked += 1;
        assert!(acked < 100);
    }
    let refused = journal.append(&[&record(0, 500)]);
    assert!(matches!(refused, Err(Error::DiskFull)));
    assert!(!journal.progress.is_poisoned());
    assert_eq!(storage.used(), used, "what was begun is gone");
    let mut shrunk = 0;
    loop {
        let mut log = journal.log.lock();
        if log.admit(500, Growth::Shrinks).is_err() {
            break;
        }
        log.append(500, |out, _| out.extend_from_slice(&record(1000, 500)));
        log.end_frame();
        shrunk += 1;
    }
    journal.sync().unwrap();
    assert!(shrunk >= 6, "the reserve was used: {shrunk}");
    storage.set_capacity(None);
    journal.put(b"room again").unwrap();
    let found = replayed(&storage);
    assert_eq!(found.len(), acked + shrunk + 1);
    assert_eq!(found.last().unwrap(), b"room again");
}

#[test]
fn a_segment_dies_with_its_last_entry_and_goes_when_no_checkpoint_needs_it() {
    let storage = SimulatedStorage::new();
    let journal = Journal::open(&storage).unwrap();
    let mut lsns = Vec::new();
    for number in 0..30 {
        let mut log = journal.log.lock();
        log.admit(700, Growth::Grows).unwrap();
        let lsn = log.append(700, |out, _| out.extend_from_slice(&record(number, 700)));
        log.entry_lives(lsn);
        log.end_frame();
        lsns.push(lsn);
    }
    journal.sync().unwrap();
    // Nothing is in flight any more.
    journal.log.lock().in_flight = None;
    let mut log = journal.log.lock();
    let end = log.end();
    log.segments().begin_checkpoint(1);
    assert!(log.segments().take_dead((1, end), None).is_empty());
    log.entries_died(lsns[..6].iter().copied());
    let (first, len) = {
        let (segment, _) = log.segments().sealed().next().unwrap();
        (segment.first_lsn(), segment.len())
    };
    assert_eq!(log.segments().dead_bytes(), len);
    assert!(
        log.segments().take_dead((1, end), None).is_empty(),
        "checkpoint 1 may hold it"
    );
    log.segments().begin_checkpoint(2);
    assert!(log.segments().take_dead((1, end), None).is_empty());
    let inside = first.plus(len - 8);
    assert!(
        log.segments().take_dead((2, inside), None).is_empty(),
        "a replay reads it"
    );
    assert!(
        log.segments()
            .take_dead((2, end), Some(Lsn::ZERO))
            .is_empty()
    );
    let dead = log.segments().take_dead((2, end), None);
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].first_lsn(), Lsn::ZERO);
    assert!(log.bytes_at(lsns[0]).is_err());
    assert!(log.bytes_at(lsns[29]).is_ok());
}

#[test]
fn a_frame_knows_what_was_durable() {
    let (storage, starts, _) = synced_log();
    let content = storage.content(&active_path(0));
    let header: &[u8; segment_format::FIELDS_LEN] =
        content[..segment_format::FIELDS_LEN].try_into().unwrap();
    let header = segment_format::Header::decode(header).unwrap();
    for start in starts {
        let bytes = &content[usize::try_from(start.0).unwrap()..];
        let frame::Found::Frame(frame) = frame::decode(bytes, header.identity, start) else {
            panic!("expected a frame");
        };
        assert_eq!(frame.durable, start);
    }
}

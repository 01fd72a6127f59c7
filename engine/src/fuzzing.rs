//! Arbitrary bytes for every decoder, and for recovery: what the targets in `fuzz/` call.
//!
//! Each function asserts what holds whatever the bytes are, so a panic is a finding. Most begin
//! with bytes that choose a mode: as they are, or with checksums that are right, so that what lies
//! behind a checksum is reached, too.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use crate::checkpoint::{self, Writer};
use crate::engine::Core;
use crate::format::checkpoint as envelope;
use crate::format::entry;
use crate::format::frame::{self, Found};
use crate::format::record::{Record, StreamChange};
use crate::format::segment::{FIELDS_LEN, Header};
use crate::limits::SEGMENT_SIZE_MIN;
use crate::log::scan::Bytes;
use crate::snapshot::{CheckpointCursor, Section};
use crate::state::State;
use crate::storage::simulated::{SimulatedClock, SimulatedStorage};
use crate::{
    Cursor, Deliver, Engine, EntryId, Error, Fields, Lsn, Member, NewId, Options, Range, Recovery,
    Result, Retention, Threads,
};

const DIR: &str = "/data";
const LSN: Lsn = Lsn(4096);
const IDENTITY: u64 = 7;

/// Takes small choices off the front of the bytes.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn number(&mut self) -> usize {
        usize::from(self.byte()) | usize::from(self.byte()) << 8
    }

    /// A piece of at most 255 bytes.
    fn piece(&mut self) -> &'a [u8] {
        let len = usize::from(self.byte()).min(self.0.len());
        let (piece, rest) = self.0.split_at(len);
        self.0 = rest;
        piece
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Frames: a scan ends, inside the bytes, and finds those that are there.
pub fn frames(data: &[u8]) {
    let mut input = Input(data);
    if input.byte().is_multiple_of(2) {
        scan(input.0);
        return;
    }
    let flip = input.number();
    let (mut bytes, mut payloads) = (Vec::new(), Vec::new());
    while !input.is_empty() {
        let flags = input.byte() & (frame::FLAGS & !frame::SEALS);
        let payload = input.piece();
        let start = bytes.len();
        bytes.resize(start + frame::HEADER_LEN, 0);
        bytes.extend_from_slice(payload);
        let lsn = LSN.plus(start as u64);
        frame::finish(&mut bytes[start..], IDENTITY, lsn, flags, LSN);
        bytes.resize(bytes.len().next_multiple_of(frame::ALIGN), 0);
        payloads.push((start, payload));
    }
    assert_eq!(scan(&bytes), payloads.len() as u64);
    if bytes.is_empty() {
        return;
    }
    let at = flip % bytes.len();
    bytes[at] ^= 1 << (flip % 8);
    let good = Bytes {
        raw: &bytes,
        lsn: LSN,
        identity: IDENTITY,
    };
    for (start, payload) in payloads {
        if let Found::Frame(found) = good.decode(LSN.plus(start as u64)) {
            assert_eq!(found.payload, payload, "a changed frame does not verify");
        }
    }
    scan(&bytes);
}

/// Scans like recovery does; the number of frames in the first run.
fn scan(raw: &[u8]) -> u64 {
    let bytes = Bytes {
        raw,
        lsn: LSN,
        identity: IDENTITY,
    };
    let end = LSN.plus(raw.len() as u64);
    let first = bytes.run(LSN);
    let mut from = first.to;
    while let Some((lsn, found)) = bytes.next_frame(from) {
        assert!(lsn > from && lsn.plus((frame::HEADER_LEN + found.payload.len()) as u64) <= end);
        from = lsn;
    }
    assert!(bytes.dirty_len(from) <= raw.len());
    first.frames
}

/// Records, with the ID lists in them: what decodes is encoded to what decodes the same.
pub fn records(data: &[u8]) {
    let mut rest = data;
    while let Some(record) = Record::take(&mut rest) {
        if let Record::Stream {
            change: StreamChange::EntryAdded { .. },
            ..
        } = record
        {
            continue;
        }
        let mut bytes = Vec::new();
        record.put(&mut bytes);
        assert!(bytes.len() <= record.len_max(), "{record:?}");
        assert_eq!(Record::take(&mut &bytes[..]), Some(record));
    }
}

/// Entries: what was put verifies in its place, and nothing else does.
pub fn entries(data: &[u8]) {
    for lsn in [Lsn::ZERO, LSN] {
        if let Some(found) = entry::entry(data, lsn) {
            assert!(Fields::of(found.body).count().is_multiple_of(2));
        }
        assert!(entry::head(data, lsn).is_none_or(|head| head.record_len() <= data.len()));
    }
    let mut input = Input(data);
    let (flip, id) = (input.number(), EntryId::new(input.number() as u64, 1));
    let mut fields = Vec::new();
    while !input.is_empty() {
        fields.push(input.piece());
        fields.push(input.piece());
    }
    let head = entry::NewEntry {
        lsn: LSN,
        stream: u64::from(data.first().copied().unwrap_or(0)) << 32,
        id,
        starts_node: flip.is_multiple_of(2),
    };
    let mut bytes = Vec::new();
    entry::put(&mut bytes, head, entry::body_len(&fields), &fields);
    let found = entry::entry(&bytes, LSN).expect("it was put here");
    assert!(found.id == id && Fields::of(found.body).eq(fields.iter().copied()));
    assert!(entry::entry(&bytes, Lsn(flip as u64)).is_none_or(|_| flip == 4096));
    let at = flip % bytes.len();
    bytes[at] ^= 1 << (flip % 8);
    // The check of the head is not covered by the checksum of the whole.
    assert!(entry::entry(&bytes, LSN).is_none() || (2..4).contains(&at));
}

/// Checkpoint files: any bytes are read without harm, and damage to a whole one is found.
pub fn checkpoints(data: &[u8]) {
    let storage = SimulatedStorage::new();
    let dir = Path::new(DIR);
    let made = crate::storage::Storage::create_dir(&storage, dir);
    made.expect("there is room for a directory");
    let raw = dir.join("0000000000001000.ckpt");
    storage.put(&raw, data);
    let read = checkpoint::read(&storage, &raw).expect("the storage does not fail");
    drop(read);
    let mut input = Input(data);
    let flip = input.number();
    let header = envelope::Header {
        begin: LSN,
        store: 1,
    };
    let mut writer = Writer::create(&storage, dir, (1, header)).expect("there is room");
    let mut sections = Vec::new();
    while !input.is_empty() {
        let section = input.piece();
        writer.section(section).expect("there is room");
        sections.extend((!section.is_empty()).then_some(section));
    }
    let kept = writer.finish(LSN.plus(8), 1).expect("there is room");
    let read = checkpoint::read(&storage, &kept.path).expect("the storage does not fail");
    let (_, bytes) = read.expect("it was just written");
    assert!(checkpoint::sections(&bytes).eq(sections));
    let at = flip % bytes.len();
    storage.damage(&kept.path, at, &[bytes[at] ^ (1 << (flip % 8))]);
    let read = checkpoint::read(&storage, &kept.path).expect("the storage does not fail");
    assert!(read.is_err(), "byte {at} was changed");
}

/// Sections of a checkpoint whose checksums are right: they are refused, or make a state that can
/// be written and read again.
pub fn snapshots(data: &[u8]) {
    let engine = open(&SMALL.snapshot(), Recovery::Strict).expect("a whole directory");
    let mut batch = engine.lock();
    let Core { state, log, .. } = batch.core();
    let sorted = || state.sorted.twin();
    let mut input = Input(data);
    let mut state = State::new(4, sorted());
    let mut sections = vec![];
    if input.byte().is_multiple_of(2) {
        sections.push(input.0);
    } else {
        while !input.is_empty() {
            sections.push(input.piece());
        }
    }
    for section in sections {
        let section = Section::decode(section);
        let restored = section.and_then(|section| state.restore_part(section, log));
        if restored.is_err() {
            return;
        }
    }
    if state.finish_recovery(log).is_err() {
        return;
    }
    let mut again = State::new(4, sorted());
    let mut cursor = CheckpointCursor::default();
    loop {
        let mut section = Vec::new();
        let part = state.checkpoint_part(&mut cursor, log.end());
        part.encode(&mut section);
        let section = Section::decode(&section);
        let restored = section.and_then(|section| again.restore_part(section, log));
        restored.expect("what was written is read");
        if part.is_last() {
            break;
        }
    }
    again
        .finish_recovery(log)
        .expect("what was written is read");
    assert_eq!(state.counts(), again.counts());
}

/// A small directory of two segments, two checkpoints and a group.
static SMALL: LazyLock<SimulatedStorage> = LazyLock::new(|| {
    let storage = SimulatedStorage::new();
    let engine = open(&storage, Recovery::Strict).expect("an empty storage");
    for number in 1..40_u64 {
        step(&engine, number).expect("there is room");
        if number.is_multiple_of(15) {
            engine.checkpoint().expect("there is room");
        }
    }
    drop(engine);
    storage
});

fn step(engine: &Engine, number: u64) -> Result<()> {
    let (key, member) = (
        b"orders",
        Member {
            group: b"workers",
            consumer: b"alice",
        },
    );
    let mut batch = engine.lock();
    batch.set_now(5_000 + number);
    let value = vec![b'v'; 100];
    batch.add(0, key, NewId::Auto, &[b"field", &value])?;
    match number % 8 {
        1 if number == 1 => {
            let (id, entries_read) = (EntryId::MIN, Some(0));
            batch.create_group(0, key, member.group, Cursor { id, entries_read })?;
        }
        2 | 5 => drop(batch.deliver(0, key, member, Deliver::default())?),
        3 => drop(batch.ack(0, key, member.group, &[EntryId::new(5_000 + number - 2, 0)])?),
        4 => drop(batch.delete_entries(0, key, &[EntryId::new(5_000 + number - 3, 0)])?),
        6 => batch.set_retention(0, key, retention(number))?,
        7 => drop(batch.retain_due(1)?),
        _ => {}
    }
    let lsn = batch.end_command();
    drop(batch);
    engine.submit();
    engine.wait_settled(lsn)
}

/// Settings that let some entries go, each time others.
fn retention(number: u64) -> Retention {
    Retention {
        age_ms: Some(number << (number % 60)),
        bytes: number.is_multiple_of(4).then_some(5_000),
        length: Some(50 - number),
        acked: Some(number.is_multiple_of(2)),
        acked_age_ms: None,
    }
}

fn open(storage: &SimulatedStorage, recovery: Recovery) -> Result<Engine> {
    let options = Options {
        segment_size: SEGMENT_SIZE_MIN,
        threads: Threads::Inline,
        checkpoint_on_close: false,
        node_entries_max: 4,
        recovery,
        ..Options::default()
    };
    let clock = Arc::new(SimulatedClock::new(1_000));
    Engine::open_on(Arc::new(storage.clone()), clock, Path::new(DIR), options)
}

/// An empty store in memory.
///
/// # Panics
///
/// Never: there is nothing in it that could be wrong.
#[must_use]
pub fn empty() -> Engine {
    open(&SimulatedStorage::new(), Recovery::Strict).expect("an empty storage")
}

/// A small directory with arbitrary changes: it opens, or is refused with words; what opens can be
/// read, and written to unless the changes came with checksums that are right.
pub fn directories(data: &[u8]) {
    let storage = SMALL.snapshot();
    let mut input = Input(data);
    let is_forged = input.byte().is_multiple_of(2);
    for _ in 0..8 {
        if input.is_empty() {
            break;
        }
        let paths = storage.files();
        let path = paths[usize::from(input.byte()) % paths.len()].clone();
        if is_forged {
            forge(&storage, &path, &mut input);
        } else {
            damage(&storage, &path, &paths, &mut input);
        }
    }
    for recovery in [Recovery::Strict, Recovery::Salvage] {
        let storage = storage.snapshot();
        match open(&storage, recovery) {
            Ok(engine) => {
                read_all(&engine);
                if !is_forged {
                    go_on(&storage, &engine);
                }
            }
            Err(Error::Corrupt { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// Changes bytes as disks and people do.
fn damage(storage: &SimulatedStorage, path: &Path, paths: &[PathBuf], input: &mut Input<'_>) {
    let mut content = storage.content(path);
    let at = input.number() % (content.len() + 1);
    match input.byte() % 5 {
        0 => {
            let piece = input.piece();
            let end = content.len().min(at + piece.len());
            content[at..end].copy_from_slice(&piece[..end - at]);
        }
        1 => content.truncate(at),
        2 => content.extend_from_slice(input.piece()),
        3 => {
            let other = storage.content(&paths[usize::from(input.byte()) % paths.len()]);
            let page = at / 512 * 512;
            let from = input.number() / 512 * 512;
            let end = (from + 4096)
                .min(other.len())
                .min(from + content.len() - page);
            if from < end {
                content[page..page + end - from].copy_from_slice(&other[from..end]);
            }
        }
        _ => content.clear(),
    }
    storage.put(path, &content);
}

/// Replaces what a checksum covers, and makes the checksum right.
fn forge(storage: &SimulatedStorage, path: &Path, input: &mut Input<'_>) {
    let content = storage.content(path);
    let piece = input.piece();
    let forged = match path.extension().and_then(|ending| ending.to_str()) {
        Some("seg") => forge_segment(content, piece, input),
        Some("ckpt") => forge_checkpoint(&content, piece, input),
        _ => None,
    };
    if let Some(forged) = forged {
        storage.put(path, &forged);
    }
}

fn forge_segment(mut content: Vec<u8>, piece: &[u8], input: &mut Input<'_>) -> Option<Vec<u8>> {
    let fields: &[u8; FIELDS_LEN] = content.get(..FIELDS_LEN)?.try_into().ok()?;
    let mut header = Header::decode(fields).ok()?;
    let choice = input.byte();
    if choice.is_multiple_of(8) {
        header.len = header.len.wrapping_add(input.number() as u64 * 8);
        header.first = Lsn(header.first.0 ^ input.number() as u64);
        content[..FIELDS_LEN].copy_from_slice(&header.encode());
        return Some(content);
    }
    // The frame to replace, and the place behind it.
    let mut lsn = header.first.plus(4096);
    for _ in 0..input.byte() % 32 {
        let at = usize::try_from(lsn.since(header.first)).ok()?;
        let Found::Frame(found) = frame::decode(content.get(at..)?, header.identity, lsn) else {
            break;
        };
        lsn = lsn.plus(found.space() as u64);
    }
    let at = usize::try_from(lsn.since(header.first)).ok()?;
    let room = content.len().checked_sub(at + frame::HEADER_LEN)?;
    let payload = &piece[..piece.len().min(room)];
    let mut bytes = vec![0; frame::HEADER_LEN];
    bytes.extend_from_slice(payload);
    frame::finish(&mut bytes, header.identity, lsn, choice & frame::FLAGS, lsn);
    content[at..at + bytes.len()].copy_from_slice(&bytes);
    Some(content)
}

fn forge_checkpoint(content: &[u8], piece: &[u8], input: &mut Input<'_>) -> Option<Vec<u8>> {
    let header = envelope::decode_header(content).ok()?;
    let sections: Vec<_> = checkpoint::sections(content).collect();
    let chosen = usize::from(input.byte()) % sections.len().max(1);
    let mut bytes = envelope::header(header).to_vec();
    let pieces = sections.iter().enumerate();
    let pieces = pieces.map(
        |(number, section)| {
            if number == chosen { piece } else { section }
        },
    );
    for (number, section) in (0..).zip(pieces.filter(|piece| !piece.is_empty())) {
        bytes.extend_from_slice(&envelope::section_header(number, section));
        bytes.extend_from_slice(section);
    }
    let old = envelope::Trailer::decode(content.get(content.len() - envelope::TRAILER_LEN..)?);
    let trailer = envelope::Trailer {
        file_len: (bytes.len() + envelope::TRAILER_LEN) as u64,
        ..old.ok()?
    };
    bytes.extend_from_slice(&trailer.encode());
    Some(bytes)
}

/// Reads all that there is; an entry that cannot be read is an error that names it.
fn read_all(engine: &Engine) {
    let mut batch = engine.lock();
    batch.set_now(0);
    let (mut keys, mut cursor) = (Vec::new(), 0);
    loop {
        cursor = batch.scan(0, cursor, 100, &mut |key| keys.push(key.to_vec()));
        if cursor == 0 {
            break;
        }
    }
    let all = Range {
        start: EntryId::MIN,
        end: EntryId::MAX,
        reverse: false,
        count: None,
    };
    for key in keys {
        drop(batch.stream_full(0, &key, None));
        if let Ok(Some(plan)) = batch.range(0, &key, all) {
            drop(plan.visit(0, &mut |_, fields| {
                fields.into_iter().flatten().for_each(drop);
                ControlFlow::Continue(())
            }));
        }
    }
}

/// What is written after a recovery is there after the next, whatever is let go in between.
fn go_on(storage: &SimulatedStorage, engine: &Engine) {
    let mut batch = engine.lock();
    drop(batch.retain_due(100));
    let added = batch.add(0, b"new", NewId::Auto, &[b"f", b"v"]);
    let id = added.expect("a recovered engine takes writes");
    let lsn = batch.end_command();
    drop(batch);
    engine.submit();
    engine
        .wait_settled(lsn)
        .expect("a storage that does not fail");
    let engine = open(&storage.crash(1), Recovery::Salvage).expect("it was open just now");
    let found = engine.lock().stream(0, b"new");
    assert_eq!(found.map(|stream| stream.last_id), Some(id));
}

/// Inputs to begin with: for each target, by its name.
#[must_use]
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let mut seeds = Vec::new();
    for path in SMALL.files() {
        let content = SMALL.content(&path);
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("seg") => {
                seeds.push(("frames", [&[0], &content[4096..]].concat()));
                let Some(Ok(header)) = content.first_chunk().map(Header::decode) else {
                    continue;
                };
                let bytes = Bytes {
                    raw: &content[4096..],
                    lsn: header.first.plus(4096),
                    identity: header.identity,
                };
                let mut lsn = bytes.lsn;
                while let Found::Frame(found) = bytes.decode(lsn) {
                    lsn = lsn.plus(found.space() as u64);
                    seeds.push(("records", found.payload.to_vec()));
                    seeds.push(("entries", found.payload.to_vec()));
                    let len = u8::try_from(found.payload.len()).unwrap_or(u8::MAX);
                    let forged = [&[0, 4, len], found.payload, &[1, 3]].concat();
                    seeds.push(("directories", forged));
                }
            }
            Some("ckpt") => {
                for section in checkpoint::sections(&content) {
                    seeds.push(("snapshots", [&[0], section].concat()));
                }
                seeds.push(("checkpoints", content));
            }
            _ => seeds.push(("directories", b"\x01\x02\x10\x10\x00\x04abcd".to_vec())),
        }
    }
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_targets_take_their_seeds_and_changes_of_them() {
        for (number, (name, seed)) in seeds().into_iter().enumerate() {
            for change in 0..3 {
                let mut data = seed.clone();
                if change > 0 && !data.is_empty() {
                    let at = number * 31 * change % data.len();
                    data[at] = data[at].wrapping_add(u8::try_from(change * 7).unwrap());
                }
                match name {
                    "frames" => frames(&data),
                    "records" => records(&data),
                    "entries" => entries(&data),
                    "checkpoints" => checkpoints(&data),
                    "snapshots" => snapshots(&data),
                    "directories" => directories(&data),
                    _ => unreachable!("{name}"),
                }
            }
        }
    }
}

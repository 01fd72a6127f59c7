//! Verifying a data directory that nobody has open, without changing a byte of it.
//!
//! ```text
//!   1. every checkpoint: all its checksums
//!   2. every log segment: header, every frame, every record, every entry
//!   3. every sorted segment: every row of its tables, every block
//!   4. the state: recovery as at a start, then every entry of every stream read at its place
//! ```
//!
//! The first three steps name all damage, also where a start would not look because a checkpoint
//! lies behind it. The fourth is done only where these found nothing: it shows that checkpoint,
//! log and index agree. The rule that tells a torn tail from damage is that of
//! [`recovery`](crate::log::recovery).

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::batch::{Batch, Range};
use crate::checkpoint;
use crate::engine::Engine;
use crate::error::io_error;
use crate::format::entry;
use crate::format::frame::{self, Found};
use crate::format::record::{Record, StreamChange};
use crate::limits::DATABASES;
use crate::log::scan::{Bytes, Stop};
use crate::log::{Segment, segment};
use crate::options::{Options, Threads};
use crate::sorted::{self, BlockCache};
use crate::storage::read_only::ReadOnly;
use crate::storage::{RealStorage, Storage, SystemClock};
use crate::{EntryId, Error, Lsn, Result};

/// Entries that are read under one lock.
const PAGE: usize = 1000;

/// What a check found.
#[derive(Clone, Debug, Default)]
pub struct CheckReport {
    /// Checkpoints that are whole.
    pub checkpoints: u64,
    /// Log segments.
    pub segments: u64,
    /// Valid frames in them.
    pub frames: u64,
    /// Records in those.
    pub records: u64,
    /// Sorted segments.
    pub sorted: u64,
    /// Entries in them, those that are deleted by now as well.
    pub sorted_entries: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Bytes behind the log's end that a start would cut: writes that nobody was told of.
    pub torn_bytes: u64,
    /// All that is wrong.
    pub damage: Vec<Damage>,
    /// Files that are none of ours.
    pub unknown_files: Vec<PathBuf>,
    /// What the state holds; absent if damage kept it from being loaded.
    pub state: Option<CheckedState>,
}

/// Bytes that are not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// Offset of the first bad byte, frame or record.
    pub offset: u64,
    /// What was expected and what was found.
    pub what: String,
}

/// What a start would serve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckedState {
    /// Streams.
    pub streams: u64,
    /// Entries, each of which was read and verified.
    pub entries: u64,
    /// Consumer groups.
    pub groups: u64,
    /// Pending entries.
    pub pending: u64,
}

/// Verifies the directory `dir`; `progress` is told of each file before it is read.
///
/// # Errors
///
/// [`Locked`](Error::Locked) if it is in use, [`Io`](Error::Io) if it cannot be read. Damage is no
/// error: the report names it.
pub fn check(dir: &Path, progress: &mut dyn FnMut(&Path)) -> Result<CheckReport> {
    let storage = ReadOnly(RealStorage);
    let lock = dir.join("LOCK");
    // A lock file that is missing is not made here: then this is no data directory.
    storage
        .open(&lock, crate::storage::Access::Read)
        .map_err(|error| io_error("open", &lock, error))?;
    let mut check = Check {
        storage: &storage,
        progress,
        report: CheckReport::default(),
        durable: Lsn::ZERO,
        breaks: Vec::new(),
        last: None,
    };
    {
        let _held = storage.lock(&lock).map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => Error::Locked { path: lock.clone() },
            _ => io_error("lock", &lock, error),
        })?;
        check.checkpoints(&dir.join("checkpoint"))?;
        check.segments(&dir.join("log"))?;
        check.sorted(&dir.join("sorted"))?;
    }
    let mut report = check.report;
    if report.damage.is_empty() {
        match verify_state(dir) {
            Ok(state) => report.state = Some(state),
            Err(Error::Corrupt { path, offset, what }) => report.damage.push(Damage {
                path,
                offset,
                what: what.to_owned(),
            }),
            Err(error) => return Err(error),
        }
    }
    Ok(report)
}

/// Where a run of valid frames ends other than with the frame that seals the segment.
struct Break {
    segment: usize,
    path: PathBuf,
    offset: u64,
    lsn: Lsn,
    what: &'static str,
    /// Bytes up to the last one that is not zero.
    dirty: u64,
}

/// A check under way.
struct Check<'a> {
    storage: &'a dyn Storage,
    progress: &'a mut dyn FnMut(&Path),
    report: CheckReport,
    /// Latest position that is known to have been durable.
    durable: Lsn,
    breaks: Vec<Break>,
    /// The last segment that has frames.
    last: Option<usize>,
}

impl Check<'_> {
    fn damage(&mut self, path: &Path, offset: u64, what: &str) {
        self.report.damage.push(Damage {
            path: path.to_owned(),
            offset,
            what: what.to_owned(),
        });
    }

    fn checkpoints(&mut self, dir: &Path) -> Result<()> {
        let entries = self.storage.list(dir);
        for file in entries.map_err(|error| io_error("list", dir, error))? {
            let path = dir.join(&file.name);
            if file.is_dir || !checkpoint::is_checkpoint(&file.name) {
                self.report.unknown_files.push(path);
                continue;
            }
            (self.progress)(&path);
            self.report.bytes += file.len;
            match checkpoint::read(self.storage, &path)? {
                Ok((kept, _)) => {
                    self.report.checkpoints += 1;
                    self.durable = self.durable.max(kept.report.end);
                }
                Err(flaw) => self.damage(&path, flaw.offset, flaw.what),
            }
        }
        Ok(())
    }

    fn segments(&mut self, dir: &Path) -> Result<()> {
        let entries = self.storage.list(dir);
        let mut buffer = Vec::new();
        for file in entries.map_err(|error| io_error("list", dir, error))? {
            let path = dir.join(&file.name);
            if segment::parse_name(&file.name).is_none() {
                // The reserve holds nothing yet.
                if file.name != "reserve" {
                    self.report.unknown_files.push(path);
                }
                continue;
            }
            (self.progress)(&path);
            match Segment::open(self.storage, &path) {
                Ok(segment) => self.segment(&segment, &mut buffer)?,
                Err(Error::Corrupt { path, offset, what }) => self.damage(&path, offset, what),
                Err(error) => return Err(error),
            }
        }
        self.judge();
        Ok(())
    }

    fn segment(&mut self, segment: &Segment, buffer: &mut Vec<u8>) -> Result<()> {
        segment.read_uncached(segment.frames_lsn(), u64::MAX, buffer)?;
        self.report.segments += 1;
        self.report.bytes += segment.len();
        let index = usize::try_from(self.report.segments).unwrap_or(usize::MAX);
        let bytes = Bytes {
            raw: buffer,
            lsn: segment.frames_lsn(),
            identity: segment.identity(),
        };
        let mut from = bytes.lsn;
        loop {
            let run = bytes.run(from);
            self.durable = self.durable.max(run.durable);
            self.report.frames += run.frames;
            if run.frames > 0 {
                self.last = Some(index);
            }
            self.records(segment, bytes, (run.from, run.to));
            let what = match run.stop {
                Stop::Sealed => return Ok(()),
                Stop::Nothing => "expected a frame, found zeros",
                Stop::Bad(what) => what,
            };
            let next = bytes.next_frame(run.to).map(|(lsn, _)| lsn);
            let dirty = bytes.dirty_len(run.to) as u64;
            self.breaks.push(Break {
                segment: index,
                path: segment.path().to_owned(),
                offset: run.to.since(segment.first_lsn()),
                lsn: run.to,
                what,
                dirty: next.map_or(dirty, |next| dirty.min(next.since(run.to))),
            });
            match next {
                Some(next) => from = next,
                None => return Ok(()),
            }
        }
    }

    fn sorted(&mut self, dir: &Path) -> Result<()> {
        let cache = Arc::new(BlockCache::new(0));
        let found = sorted::find(self.storage, dir, &cache)?;
        self.report.unknown_files.extend(found.unknown);
        let mut damage: Vec<_> = found.damaged.into_iter().map(|(error, _)| error).collect();
        for file in found.files {
            (self.progress)(file.path());
            self.report.sorted += 1;
            self.report.sorted_entries += file.footer().entries;
            self.report.bytes += file.len();
            file.verify(&mut |error| damage.push(error));
        }
        for error in damage {
            if let Error::Corrupt { path, offset, what } = error {
                self.damage(&path, offset, what);
            }
        }
        Ok(())
    }

    /// Decodes the records of the valid frames in `run`.
    fn records(&mut self, segment: &Segment, bytes: Bytes<'_>, run: (Lsn, Lsn)) {
        let (mut lsn, to) = run;
        while lsn < to {
            let Found::Frame(frame) = bytes.decode(lsn) else {
                return;
            };
            let payload_at = lsn.since(segment.first_lsn()) + frame::HEADER_LEN as u64;
            let mut rest = frame.payload;
            while !rest.is_empty() {
                let record = rest;
                let decoded = Record::take(&mut rest);
                let at = lsn.plus((frame::HEADER_LEN + frame.payload.len() - record.len()) as u64);
                if !decoded.is_some_and(|decoded| is_sound(&decoded, record, at)) {
                    let offset = payload_at + (frame.payload.len() - record.len()) as u64;
                    let what = "a frame is whole, but a record in it is not";
                    self.damage(segment.path(), offset, what);
                    break;
                }
                self.report.records += 1;
            }
            lsn = lsn.plus(frame.space() as u64);
        }
    }

    /// Tells the torn tail from damage, once it is known what had been durable.
    fn judge(&mut self) {
        for found in std::mem::take(&mut self.breaks) {
            let is_behind_end = self.last.is_none_or(|last| found.segment >= last);
            if !is_behind_end || found.lsn < self.durable {
                self.damage(&found.path, found.offset, found.what);
            } else {
                self.report.torn_bytes += found.dirty;
            }
        }
    }
}

/// Whether the record's own checksum is right, if it has one.
fn is_sound(decoded: &Record<'_>, bytes: &[u8], lsn: Lsn) -> bool {
    match decoded {
        Record::Stream {
            change: StreamChange::EntryAdded { .. },
            ..
        } => entry::entry(bytes, lsn).is_some(),
        _ => true,
    }
}

/// Recovers as a start would, and reads everything.
fn verify_state(dir: &Path) -> Result<CheckedState> {
    let options = Options {
        threads: Threads::Inline,
        checkpoint_on_close: false,
        ..Options::default()
    };
    let clock = Arc::new(SystemClock::default());
    let engine = Engine::open_on(Arc::new(ReadOnly(RealStorage)), clock, dir, options)?;
    if let Some(path) = engine.recovery().damaged_checkpoints.first() {
        return Err(Error::Corrupt {
            path: path.clone(),
            offset: 0,
            what: "a checkpoint of another data directory",
        });
    }
    let mut state = CheckedState::default();
    for db in 0..DATABASES {
        let mut cursor = 0;
        loop {
            let mut keys = Vec::new();
            let mut batch = engine.lock();
            // Nothing expires while it is looked at.
            batch.set_now(0);
            cursor = batch.scan(db, cursor, PAGE, &mut |key| keys.push(key.to_vec()));
            for key in keys {
                verify_stream(&mut batch, db, &key, &mut state)?;
            }
            if cursor == 0 {
                break;
            }
        }
    }
    Ok(state)
}

fn verify_stream(
    batch: &mut Batch<'_>,
    db: u8,
    key: &[u8],
    state: &mut CheckedState,
) -> Result<()> {
    let mut start = Some(EntryId::MIN);
    while let Some(from) = start.take() {
        let page = Range {
            start: from,
            end: EntryId::MAX,
            reverse: false,
            count: Some(PAGE),
        };
        let Some(entries) = batch.range(db, key, page)? else {
            break;
        };
        let mut last = None;
        entries.visit(0, &mut |id, _| {
            last = Some(id);
            ControlFlow::Continue(())
        })?;
        state.entries += entries.len() as u64;
        start = last
            .filter(|_| entries.len() == PAGE)
            .and_then(EntryId::next);
    }
    state.streams += 1;
    for group in batch.groups(db, key)? {
        state.groups += 1;
        state.pending += group.pending;
    }
    Ok(())
}

#[cfg(test)]
mod tests;

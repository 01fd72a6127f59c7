//! The files by themselves: checkpoints, segments, sorted segments, reserves, and what is none of
//! ours.

use std::path::Path;
use std::sync::Arc;

use super::{Break, Check, Damage, ToolProgress};
use crate::checkpoint;
use crate::engine::{BACKUP, CHECKPOINT, LOCK, LOG, SORTED};
use crate::error::io_error;
use crate::format::frame::{self, Frame};
use crate::format::record::{Record, StreamChange};
use crate::format::{entry, segment as format};
use crate::log::scan::{Bytes, Piece};
use crate::log::segment::{Flaw, parse_name};
use crate::log::{Segment, segment};
use crate::sorted::{self, BlockCache, SortedSet};
use crate::storage::{Access, DirEntry, read_full_at};
use crate::{Error, Lsn, Result, snapshot};

/// Reserves are read in pieces of this size.
const PIECE: usize = 1 << 20;
/// The name of both reserves, and the ending of what is being made.
const RESERVE: &str = "reserve";
const UNFINISHED: &str = ".new";

impl Check<'_> {
    /// Reads all files.
    pub(super) fn files(&mut self) -> Result<()> {
        let (root, log) = (self.dir.to_owned(), self.dir.join(LOG));
        let listed = |check: &Self, dir: &Path| {
            let entries = check.storage.list(dir);
            entries.map_err(|error| io_error("list", dir, error))
        };
        for entry in listed(self, &root)? {
            if ![LOCK, LOG, CHECKPOINT, SORTED, BACKUP].contains(&entry.name.as_str()) {
                self.report.unknown_files.push(root.join(&entry.name));
            }
        }
        let in_checkpoints = listed(self, &self.dir.join(CHECKPOINT))?;
        let (in_log, in_sorted) = (listed(self, &log)?, listed(self, &self.dir.join(SORTED))?);
        let all = in_checkpoints.iter().chain(&in_log).chain(&in_sorted);
        self.total = all.map(|entry| entry.len).sum();
        let mut sorted = self.sorted(&in_sorted)?;
        self.checkpoints(in_checkpoints, &mut sorted)?;
        let mut expected = None;
        for entry in in_log {
            let path = log.join(&entry.name);
            if self.is_other(&path, &entry) {
            } else if entry.name == RESERVE {
                // Whoever was about to use it may have written a header.
                self.reserve(&path, entry.len, format::HEADER_LEN as u64)?;
            } else if let Some(first) = parse_name(&entry.name).filter(|_| !entry.is_dir) {
                self.order(&path, (first, entry.len.max(1)), expected);
                self.told("reading", &path);
                expected = Some(self.segment_file(&path, first, entry.len)?);
            } else {
                self.report.unknown_files.push(path);
            }
        }
        self.judge();
        Ok(())
    }

    /// Verifies every row and every block of the sorted segments.
    fn sorted(&mut self, entries: &[DirEntry]) -> Result<SortedSet> {
        let dir = self.dir.join(SORTED);
        for entry in entries {
            self.is_other(&dir.join(&entry.name), entry);
        }
        let cache = Arc::new(BlockCache::new(0));
        let mut found = sorted::find(self.storage, &dir, &cache)?;
        self.report.unknown_files.append(&mut found.unknown);
        for (error, len) in std::mem::take(&mut found.damaged) {
            self.report.bytes += len;
            let Error::Corrupt { path, offset, what } = error else {
                return Err(error);
            };
            let place = (offset, len.saturating_sub(offset));
            self.report.damaged(Damage::of(&path, place, what));
        }
        for file in &found.files {
            self.told("reading", file.path());
            self.report.sorted += 1;
            self.report.sorted_entries += file.footer().entries;
            self.report.bytes += file.len();
            file.verify(&mut |error| {
                if let Error::Corrupt { path, offset, what } = error {
                    self.report.damaged(Damage::of(&path, (offset, 0), what));
                }
            });
        }
        // What is damaged is named: whoever refers to it is not damaged for that.
        Ok(SortedSet::new(found, cache, true))
    }

    fn checkpoints(&mut self, entries: Vec<DirEntry>, sorted: &mut SortedSet) -> Result<()> {
        for entry in entries {
            let path = self.dir.join(CHECKPOINT).join(&entry.name);
            if self.is_other(&path, &entry) {
            } else if entry.name == RESERVE {
                self.reserve(&path, entry.len, 0)?;
            } else if !entry.is_dir && checkpoint::is_checkpoint(&entry.name) {
                self.checkpoint(&path, entry.len, sorted)?;
            } else {
                self.report.unknown_files.push(path);
            }
        }
        Ok(())
    }

    fn told(&mut self, what: &'static str, path: &Path) {
        let (done, total) = (self.report.bytes, self.total);
        let path = Some(path);
        (self.progress)(&ToolProgress {
            what,
            path,
            done,
            total,
        });
    }

    fn is_other(&mut self, path: &Path, entry: &DirEntry) -> bool {
        let made = entry.name.strip_suffix(UNFINISHED);
        let is_ours = |name: &str| {
            name == RESERVE || parse_name(name).is_some() || checkpoint::is_checkpoint(name)
        };
        let is_unfinished = !entry.is_dir && made.is_some_and(is_ours);
        if is_unfinished {
            self.report.unfinished_files.push(path.to_owned());
        }
        is_unfinished
    }

    /// Verifies all checksums of a checkpoint, and that what it says can be understood.
    fn checkpoint(&mut self, path: &Path, len: u64, sorted: &mut SortedSet) -> Result<()> {
        self.told("reading", path);
        self.report.bytes += len;
        let (kept, bytes) = match checkpoint::read(self.storage, path)? {
            Ok(read) => read,
            Err(flaw) => {
                let place = (flaw.offset, len.saturating_sub(flaw.offset));
                self.report.damaged(Damage::of(path, place, flaw.what));
                return Ok(());
            }
        };
        self.durable = self.durable.max(kept.report.end);
        let (mut is_sound, mut reader) = (true, snapshot::Reader::default());
        for section in checkpoint::sections(&bytes) {
            let offset = (section.as_ptr().addr() - bytes.as_ptr().addr()) as u64;
            let mut what = None;
            let decoded = snapshot::Section::decode(section);
            match decoded.and_then(|section| reader.take(section, sorted)) {
                Ok(snapshot::Part::Streams(streams)) => {
                    what = streams.into_iter().find_map(Result::err);
                }
                Ok(_) => {}
                Err(error) => what = Some(error),
            }
            if let Some(what) = what {
                let place = (offset, section.len() as u64);
                self.report.damaged(Damage::of(path, place, what));
                is_sound = false;
            }
        }
        if is_sound {
            self.report.checkpoints += 1;
            let begin = kept.report.begin;
            self.begin = Some(self.begin.map_or(begin, |other| other.min(begin)));
        }
        Ok(())
    }

    /// A reserve is zeros from `from` on.
    fn reserve(&mut self, path: &Path, len: u64, from: u64) -> Result<()> {
        self.told("reading", path);
        self.report.bytes += len;
        let file = self.storage.open(path, Access::Read);
        let file = file.map_err(|error| io_error("open", path, error))?;
        let mut buffer = vec![0; PIECE];
        let mut at = from;
        loop {
            let read = read_full_at(&*file, at, &mut buffer);
            let read = read.map_err(|error| io_error("read", path, error))?;
            if let Some(bad) = buffer[..read].iter().position(|&byte| byte != 0) {
                let what = "expected the zeros of a reserve, found other bytes";
                self.report
                    .damaged(Damage::of(path, (at + bad as u64, 0), what));
                return Ok(());
            }
            if read < buffer.len() {
                return Ok(());
            }
            at += read as u64;
        }
    }

    /// Segments follow one another; before the oldest checkpoint some may be gone.
    fn order(&mut self, path: &Path, (first, file_len): (Lsn, u64), expected: Option<Lsn>) {
        let needed = self.begin.unwrap_or(Lsn::ZERO);
        let expected = expected.unwrap_or(Lsn::ZERO);
        if first < expected {
            let what = "a log segment overlaps the one before it";
            self.report.damaged(Damage::of(path, (0, 0), what));
        } else if first > expected && first > needed {
            let from = expected.max(needed);
            let missing = segment::missing_before((first, file_len), from);
            let missing = path.with_file_name(segment::name(missing));
            let len = first.since(from);
            let what = "a log segment is missing";
            self.report.damaged(Damage::of(&missing, (0, len), what));
        }
    }

    /// Reads a segment, or what is left of it; where the next one begins.
    fn segment_file(&mut self, path: &Path, first: Lsn, len: u64) -> Result<Lsn> {
        let opened = match Segment::open(self.storage, path) {
            Ok(segment) => Some(segment),
            Err(Error::Corrupt { what, .. }) => {
                let remains = Segment::open_remains(self.storage, path)?;
                let cut = remains.filter(|left| left.flaw() == Some(Flaw::Cut));
                let place = match &cut {
                    Some(cut) => (len, cut.len().saturating_sub(len)),
                    None => (0, len),
                };
                self.report.damaged(Damage::of(path, place, what));
                cut
            }
            Err(error) => return Err(error),
        };
        self.report.bytes += len;
        let Some(segment) = opened else {
            return Ok(first.plus(len));
        };
        let mut buffer = Vec::new();
        segment.read_uncached(segment.frames_lsn(), u64::MAX, &mut buffer)?;
        let bytes = Bytes {
            raw: &buffer,
            lsn: segment.frames_lsn(),
            identity: segment.identity(),
        };
        self.report.segments += 1;
        let index = usize::try_from(self.report.segments).unwrap_or(usize::MAX);
        for piece in bytes.pieces() {
            match piece {
                Piece::Frame(lsn, frame) => {
                    self.last = Some(index);
                    self.report.frames += 1;
                    self.durable = self.durable.max(frame.durable);
                    self.records(&segment, lsn, &frame);
                }
                Piece::Gap(gap) => {
                    let offset = gap.lsn.since(segment.first_lsn());
                    self.gaps.push(Break {
                        segment: index,
                        damage: Damage::of(path, (offset, gap.len), gap.what),
                        lsn: gap.lsn,
                    });
                }
            }
        }
        Ok(segment.end_lsn())
    }

    /// Decodes the records of a valid frame.
    fn records(&mut self, segment: &Segment, lsn: Lsn, frame: &Frame<'_>) {
        let payload_at = lsn.since(segment.first_lsn()) + frame::HEADER_LEN as u64;
        let mut rest = frame.payload;
        while !rest.is_empty() {
            let record = rest;
            let decoded = Record::take(&mut rest);
            let offset = payload_at + (frame.payload.len() - record.len()) as u64;
            let at = segment.first_lsn().plus(offset);
            if !decoded.is_some_and(|decoded| is_sound(&decoded, record, at)) {
                let what = "a frame is whole, but a record in it is not";
                let place = (offset, record.len() as u64);
                self.report.damaged(Damage::of(segment.path(), place, what));
                return;
            }
            self.report.records += 1;
        }
    }

    /// Tells the torn tail from damage, once it is known what had been durable.
    fn judge(&mut self) {
        for found in std::mem::take(&mut self.gaps) {
            let is_behind_end = self.last.is_none_or(|last| found.segment >= last);
            if !is_behind_end || found.lsn < self.durable {
                self.report.damaged(found.damage);
            } else {
                self.report.torn_bytes += found.damage.len;
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
        } => entry::head(bytes, lsn).is_some() && entry::entry(bytes, lsn).is_some(),
        _ => true,
    }
}

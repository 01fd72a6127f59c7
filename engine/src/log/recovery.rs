//! What the log holds after any end of the process: finding its end, and telling a torn tail from
//! corruption.
//!
//! Frames are valid up to some position P. What is behind P was either never durable (a torn tail:
//! unsynced sectors reach the disk in any order, or not at all) or is damaged. It is corruption if
//! and only if something shows that P had been durable:
//!
//! 1. a valid frame, before or behind P, tells of a durable position behind P;
//! 2. so does a checkpoint: the log was durable up to its end before it got its name;
//! 3. a later segment has a valid frame: a segment is durable before the next one is written.
//!
//! A torn tail is zeroed, so that no frame of it can ever verify behind a new one. What was
//! accepted may have been in the cache only: it is written again and synced before anything is
//! served. Corruption is named and left alone; with [`Recovery::Salvage`] what is valid behind it
//! is served. The log then goes on in a new segment rather than over damaged bytes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::prepare::{Prepare, RESERVE, UNFINISHED};
use super::scan::{Bytes, Run, Stop};
use super::segment::{self, Flaw, Segment};
use crate::error::io_error;
use crate::format::frame;
use crate::storage::{Storage, whole};
use crate::{Error, Loss, Lsn, Recovery, Result};

/// A run of valid frames and the segment that it is in.
pub(crate) type SegmentRun = (Arc<Segment>, Run);

/// The log as it was found and mended.
pub(crate) struct Recovered {
    /// All segments in order; the log goes on in the last one.
    pub(crate) segments: Vec<Arc<Segment>>,
    /// The prepared segment behind it.
    pub(crate) next: Option<Arc<Segment>>,
    pub(crate) has_reserve: bool,
    /// Where the log goes on.
    pub(crate) end: Lsn,
    /// The last transaction was begun and not ended.
    pub(crate) is_cut: bool,
    pub(crate) runs: Vec<SegmentRun>,
    pub(crate) torn_bytes: u64,
    pub(crate) unknown_files: Vec<PathBuf>,
    pub(crate) losses: Vec<Loss>,
}

/// The files of a log, before their frames are read.
pub(crate) struct Listing {
    dir: PathBuf,
    segments: Vec<Arc<Segment>>,
    /// Segments that cannot be opened.
    damaged: Vec<Damaged>,
    has_reserve: bool,
    unknown_files: Vec<PathBuf>,
}

/// A segment that cannot be opened.
struct Damaged {
    error: Error,
    /// How long the file is.
    len: u64,
    /// What is left of it, to read from.
    remains: Option<Segment>,
}

impl Damaged {
    /// What is wrong, and how many bytes are lost.
    fn split(self) -> (Error, u64, Option<Arc<Segment>>) {
        match self.remains {
            Some(cut) if cut.flaw() == Some(Flaw::Cut) => {
                let error = Error::Corrupt {
                    path: cut.path().to_owned(),
                    offset: self.len,
                    what: "a log segment is shorter than its header says",
                };
                let missing = cut.len().saturating_sub(self.len);
                (error, missing, Some(Arc::new(cut)))
            }
            remains => (self.error, self.len, remains.map(Arc::new)),
        }
    }
}

/// What is known before the log is read.
#[derive(Clone, Copy)]
pub(crate) struct Known {
    /// Replay starts here.
    pub(crate) begin: Lsn,
    /// The log was durable up to here.
    pub(crate) durable: Lsn,
    pub(crate) has_checkpoint: bool,
    pub(crate) mode: Recovery,
    /// Nothing will be appended: no segment is made to go on in.
    pub(crate) is_look: bool,
}

/// Lists the log in `dir`, and removes what was not finished.
pub(crate) fn list(storage: &dyn Storage, dir: &Path, prepare: &Prepare) -> Result<Listing> {
    let mut listing = Listing {
        dir: dir.to_owned(),
        segments: Vec::new(),
        damaged: Vec::new(),
        has_reserve: false,
        unknown_files: Vec::new(),
    };
    let entries = storage
        .list(dir)
        .map_err(|error| io_error("list", dir, error))?;
    for entry in entries {
        let path = dir.join(&entry.name);
        let unfinished = entry.name.strip_suffix(UNFINISHED);
        if segment::parse_name(&entry.name).is_some() && !entry.is_dir {
            match Segment::open(storage, &path) {
                Ok(segment) => listing.segments.push(Arc::new(segment)),
                Err(error @ Error::Corrupt { .. }) => listing.damaged.push(Damaged {
                    remains: Segment::open_remains(storage, &path)?,
                    error,
                    len: entry.len,
                }),
                Err(error) => return Err(error),
            }
        } else if entry.name == RESERVE && !entry.is_dir {
            listing.has_reserve = prepare.is_reserve(entry.len);
        } else if unfinished
            .is_some_and(|name| name == RESERVE || segment::parse_name(name).is_some())
        {
            whole::unlink(storage, &path)?;
        } else {
            listing.unknown_files.push(path);
        }
    }
    Ok(listing)
}

impl Listing {
    /// Whether the log is yet to begin.
    pub(crate) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// The numbers of the data directories that the segments were made in.
    pub(crate) fn stores(&self) -> Vec<u32> {
        self.segments
            .iter()
            .map(|segment| segment.store())
            .collect()
    }
}

/// Opens the log, and mends its tail.
pub(crate) fn recover(
    storage: &dyn Storage,
    listing: Listing,
    prepare: &Prepare,
    known: Known,
) -> Result<Recovered> {
    let mut recovery = Reading::new(listing, prepare.store(), known)?;
    recovery.check_order()?;
    if recovery.segments.is_empty() {
        return recovery.begin(prepare);
    }
    recovery.read()?;
    recovery.settle_end(storage, prepare)
}

/// A recovery under way.
struct Reading {
    known: Known,
    dir: PathBuf,
    found: Recovered,
    segments: Vec<Arc<Segment>>,
    /// The segment in which reading stopped.
    last: usize,
    /// Latest position that is known to be durable.
    durable: Lsn,
    /// The end lies behind damage: the log must go on in a new segment.
    is_end_damaged: bool,
}

impl Reading {
    /// Takes the segments of data directory number `store`; what else there is, is damage.
    fn new(listing: Listing, store: u32, known: Known) -> Result<Self> {
        let mut reading = Self {
            known,
            dir: listing.dir,
            found: Recovered {
                segments: Vec::new(),
                next: None,
                has_reserve: listing.has_reserve,
                end: Lsn::ZERO,
                is_cut: false,
                runs: Vec::new(),
                torn_bytes: 0,
                unknown_files: listing.unknown_files,
                losses: Vec::new(),
            },
            segments: Vec::new(),
            last: 0,
            durable: known.durable,
            is_end_damaged: false,
        };
        let mut segments = listing.segments;
        for damaged in listing.damaged {
            let (error, len, remains) = damaged.split();
            reading.lose(error, len)?;
            segments.extend(remains);
        }
        segments.sort_by_key(|segment| segment.first_lsn());
        for segment in segments {
            let is_headless = segment.flaw() == Some(Flaw::Headless);
            if segment.store() == store || is_headless {
                reading.segments.push(segment);
                continue;
            }
            let error = Error::Corrupt {
                path: segment.path().to_owned(),
                offset: 0,
                what: "a log segment of another data directory",
            };
            reading.lose(error, segment.len())?;
        }
        Ok(reading)
    }

    /// Names damage: an error, or a loss of `len` bytes if the rest is to be served.
    fn lose(&mut self, error: Error, len: u64) -> Result<()> {
        match (self.known.mode, error) {
            (Recovery::Salvage, Error::Corrupt { path, offset, what }) => {
                self.found.losses.push(Loss {
                    path,
                    offset,
                    len,
                    what,
                });
                Ok(())
            }
            (_, error) => Err(error),
        }
    }

    fn missing(&self, first: Lsn) -> Error {
        Error::Corrupt {
            path: self.dir.join(segment::name(first)),
            offset: 0,
            what: "a log segment is missing",
        }
    }

    /// Segments may only be missing where no replay will look: before the checkpoint.
    fn check_order(&mut self) -> Result<()> {
        let mut expected = Lsn::ZERO;
        for index in 0..self.segments.len() {
            let first = self.segments[index].first_lsn();
            let is_guess = |at: usize| self.segments[at].flaw() == Some(Flaw::Headless);
            if first < expected && !is_guess(index - 1) {
                return Err(Error::Corrupt {
                    path: self.segments[index].path().to_owned(),
                    offset: 0,
                    what: "a log segment overlaps the one before it",
                });
            }
            if first > expected && first > self.known.begin {
                let from = expected.max(self.known.begin);
                let next = (first, self.segments[index].len());
                let missing = self.missing(segment::missing_before(next, from));
                self.lose(missing, first.since(from))?;
            }
            expected = self.segments[index].end_lsn();
        }
        let is_begin_there = expected > self.known.begin;
        if !is_begin_there && (self.known.has_checkpoint || !self.segments.is_empty()) {
            let missing = self.missing(expected);
            self.lose(missing, 0)?;
        }
        Ok(())
    }

    /// A log that has no segment begins.
    fn begin(mut self, prepare: &Prepare) -> Result<Recovered> {
        if self.known.is_look {
            self.found.end = self.known.durable;
            return Ok(self.found);
        }
        // Behind whatever a salvaged checkpoint refers to; at 0 in a new directory.
        let step = crate::limits::SEGMENT_SIZE_MAX;
        let first = Lsn(self.known.durable.0.next_multiple_of(step));
        let segment = prepare.begin(first)?;
        self.found.end = segment.frames_lsn();
        self.found.segments.push(segment);
        Ok(self.found)
    }

    fn read(&mut self) -> Result<()> {
        let behind = |segment: &Arc<Segment>| segment.end_lsn() <= self.known.begin;
        let first = self.segments.partition_point(behind);
        self.last = first.min(self.segments.len() - 1);
        for index in self.last..self.segments.len() {
            let segment = Arc::clone(&self.segments[index]);
            if segment.flaw() == Some(Flaw::Headless) {
                continue;
            }
            let from = segment.frames_lsn().max(self.known.begin);
            if from >= segment.end_lsn() {
                // Salvage only: the segments end before the checkpoint begins.
                self.is_end_damaged = true;
                self.found.end = segment.end_lsn();
                return Ok(());
            }
            let mut raw = segment.read(from)?;
            self.read_again(&segment, from, &mut raw)?;
            let bytes = Bytes {
                raw: &raw,
                lsn: from,
                identity: segment.identity(),
            };
            self.last = index;
            if !self.read_segment(&segment, bytes)? {
                return Ok(());
            }
        }
        // The last segment is sealed, so the next one had been prepared.
        let missing = self.missing(self.segments[self.last].end_lsn());
        self.is_end_damaged = true;
        self.lose(missing, 0)
    }

    /// Reads again, past the cache, what may never have been durable: what a sync failed to write
    /// is in the cache, and the disk knows nothing of it. What is durable is in both, and so are
    /// zeros that nobody has written over.
    fn read_again(&self, segment: &Segment, from: Lsn, raw: &mut [u8]) -> Result<()> {
        let identity = segment.identity();
        let bytes = Bytes {
            raw,
            lsn: from,
            identity,
        };
        let durable = self.durable.max(bytes.run(from).durable);
        let written = from.plus(bytes.dirty_len(from) as u64);
        if durable >= written {
            return Ok(());
        }
        let first = durable.max(from);
        let mut tail = Vec::new();
        segment.read_uncached(first, written.since(first), &mut tail)?;
        let at = usize::try_from(first.since(from)).expect("an index into what was read");
        raw[at..at + tail.len()].copy_from_slice(&tail);
        Ok(())
    }

    /// Reads the frames of one segment; whether the log goes on in the next one.
    fn read_segment(&mut self, segment: &Arc<Segment>, bytes: Bytes<'_>) -> Result<bool> {
        let mut from = bytes.lsn;
        loop {
            let run = bytes.run(from);
            self.durable = self.durable.max(run.durable);
            self.found.end = run.to;
            self.found.is_cut = run.is_cut.unwrap_or(self.found.is_cut);
            self.found.runs.push((Arc::clone(segment), run));
            let what = match run.stop {
                Stop::Sealed => {
                    // A segment that another one follows is durable, and may be part of a backup:
                    // it is never written to again.
                    let has_next = self.last + 1 < self.segments.len();
                    if !(has_next && self.has_frames(self.last + 1)?) {
                        self.rewrite(segment, bytes, run.to)?;
                    }
                    return Ok(true);
                }
                Stop::Nothing => "expected a frame, found zeros",
                Stop::Bad(what) => what,
            };
            let (is_last, behind) = self.look_behind(bytes, run.to)?;
            if is_last && self.durable <= run.to && segment.flaw().is_none() {
                self.mend(segment, bytes, run.to)?;
                return Ok(false);
            }
            let offset = run.to.since(segment.first_lsn());
            let error = Error::Corrupt {
                path: segment.path().to_owned(),
                offset,
                what,
            };
            let resume = behind.unwrap_or(segment.end_lsn());
            self.lose(error, resume.since(run.to))?;
            self.found.is_cut = false;
            if behind.is_none() {
                self.is_end_damaged = is_last;
                return Ok(!is_last);
            }
            from = resume;
        }
    }

    /// Collects what valid frames behind `lsn` tell. Whether this is the last segment that has
    /// any, and the next valid frame in it.
    fn look_behind(&mut self, bytes: Bytes<'_>, lsn: Lsn) -> Result<(bool, Option<Lsn>)> {
        let mut next = None;
        let mut at = lsn;
        while let Some((found, frame)) = bytes.next_frame(at) {
            next = next.or(Some(found));
            self.durable = self.durable.max(frame.durable);
            at = found.plus(frame.space() as u64 - frame::ALIGN as u64);
        }
        for index in self.last + 1..self.segments.len() {
            if self.has_frames(index)? {
                return Ok((false, next));
            }
        }
        Ok((true, next))
    }

    /// Whether a segment begins with a valid frame. Whatever is written to a segment starts at its
    /// first frame, and all before it is durable by then.
    fn has_frames(&self, index: usize) -> Result<bool> {
        let segment = &self.segments[index];
        let first = segment.frames_lsn();
        let mut buffer = Vec::new();
        segment.read_uncached(first, frame::HEADER_LEN as u64, &mut buffer)?;
        let space = frame::space_of(&buffer) as u64;
        segment.read_uncached(first, space, &mut buffer)?;
        let bytes = Bytes {
            raw: &buffer,
            lsn: first,
            identity: segment.identity(),
        };
        Ok(matches!(bytes.decode(first), frame::Found::Frame(_)))
    }

    /// Cuts the torn tail behind `end`, and makes what was accepted durable.
    fn mend(&mut self, segment: &Segment, bytes: Bytes<'_>, end: Lsn) -> Result<()> {
        let torn = bytes.dirty_len(end);
        if torn > 0 {
            self.found.torn_bytes += torn as u64;
            segment.write(end, &vec![0; torn])?;
            segment.sync()?;
        }
        self.rewrite(segment, bytes, end)
    }

    /// Writes again what is accepted up to `end` and not known to be durable: it may have been
    /// read from a cache that the disk knows nothing of.
    fn rewrite(&self, segment: &Segment, bytes: Bytes<'_>, end: Lsn) -> Result<()> {
        let accepted = self.durable.max(bytes.lsn);
        if accepted >= end || segment.flaw().is_some() {
            return Ok(());
        }
        let [from, to] = [accepted, end].map(|lsn| usize::try_from(lsn.since(bytes.lsn)));
        if let (Ok(from), Ok(to)) = (from, to) {
            segment.write(accepted, &bytes.raw[from..to])?;
        }
        segment.sync()
    }

    /// Decides in which segment the log goes on.
    fn settle_end(mut self, storage: &dyn Storage, prepare: &Prepare) -> Result<Recovered> {
        let mut rest = self.segments.split_off(self.last + 1);
        if rest.iter().any(|segment| segment.flaw().is_some()) {
            // Whatever they hold, the log goes on behind them, and not over them.
            self.segments.append(&mut rest);
            self.last = self.segments.len() - 1;
            self.is_end_damaged = true;
        }
        let mut rest = rest.into_iter();
        for segment in &self.segments {
            segment.mark_filled(segment.end_lsn());
        }
        let active = self.segments[self.last].end_lsn();
        let mut next = rest.next().filter(|next| next.first_lsn() == active);
        if self.known.is_look {
            self.found.segments = self.segments;
            return Ok(self.found);
        }
        for unused in rest {
            // Prepared for a transaction that was never written.
            whole::unlink(storage, unused.path())?;
        }
        if self.is_end_damaged {
            let segment = match next.take() {
                Some(segment) => segment,
                None => prepare.begin(Lsn(active.0.max(self.durable.0.next_multiple_of(4096))))?,
            };
            self.found.end = segment.frames_lsn();
            self.segments.push(segment);
        }
        let active = self.segments.len() - 1;
        self.segments[active].mark_filled(self.found.end);
        for sealed in &self.segments[..active] {
            sealed.seal();
        }
        self.found.segments = self.segments;
        self.found.next = next;
        Ok(self.found)
    }
}

//! Sorting: what sealed log segments hold goes into sorted segments, while commands run.
//!
//! ```text
//!   plan a slice (locked) -> read, verify, compress, write -> sync, rename -> swap slices (locked)
//! ```
//!
//! A *pass* goes through all streams once; what it finds of them in the segments that it is about
//! goes into one file after the other. Nothing of this is a record: like a checkpoint it is
//! derived, and a crash at any moment leaves the entries where they were, or in a file that is
//! complete. The segments stay until no checkpoint needs them any more.
//!
//! A stream of which there is only a small piece is passed over: a run would take more memory, and
//! about as much space. The piece stays in the log until it has grown, or until the live share of a
//! segment that it lies in is low. So a million streams of a few entries are not copied, and no
//! stream has runs of one entry.
//!
//! A damaged entry stays where it is: its segment, and all behind it, are not sorted.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::merging::MergePass;
use super::{Core, Shared};
use crate::format::sorted::{Header, RunRow};
use crate::index::Node;
use crate::log::{Leader, Segment};
use crate::sorted::{Builder, SortedFile};
use crate::{Error, Lsn, Result};

/// Segments that a pass takes beside those that were looked at before.
const SEGMENTS: usize = 4;
/// The newest sealed segments that are left alone: what does not live long is not copied.
pub(super) const LEFT: usize = 2;
/// A piece of a stream is small that has fewer entries than this.
const PIECE_ENTRIES_MIN: usize = if cfg!(test) { 2 } else { 16 };
/// Entries that are planned or swapped under one lock, about.
pub(super) const SLICE_ENTRIES: usize = if cfg!(test) { 64 } else { 8 << 10 };
/// Streams that are looked at under one lock.
pub(super) const SLICE_SLOTS: u32 = if cfg!(test) { 2 } else { 2 << 10 };
/// What the swap of a run costs, in entries.
pub(super) const RUN_COST: usize = 16;
/// A file is full with this many bytes of bodies, ...
const FILE_RAW_MAX: u64 = 64 << 20;
/// ... entries ...
const FILE_ENTRIES_MAX: u64 = 512 << 10;
/// ... or runs. What is known of them is in memory until the file is complete.
const FILE_RUNS_MAX: u32 = 32 << 10;

/// Called between slices; false says to stop.
pub(super) type Pace<'a> = &'a mut dyn FnMut() -> bool;

/// How sorting and merging go.
#[derive(Default)]
pub(super) struct Sorting {
    /// Held while a file is being made.
    passes: Mutex<(SortPass, MergePass)>,
    /// Bytes of the files that were made of log segments since open, ...
    sorted: AtomicU64,
    /// ... and of those that were made of other files.
    pub(super) merged: AtomicU64,
    /// Where the log ends that passes have gone through.
    looked: AtomicU64,
    failure: Mutex<Option<String>>,
    /// Files with damaged entries, and the live entries that each had when that was found: they
    /// stay as they are.
    damaged: Mutex<BTreeMap<PathBuf, u64>>,
}

/// What is being sorted.
#[derive(Default)]
struct SortPass {
    /// Entries below are moved.
    bound: Lsn,
    /// The segments that hold them, and whether these are kept for the sake of few.
    segments: Vec<(Arc<Segment>, bool)>,
    /// The next stream, ...
    slot: u32,
    /// ... and where in the log to go on with it.
    from: Lsn,
    /// All streams were looked at.
    is_over: bool,
}

/// Entries of one stream, in order.
struct Part {
    stream: u64,
    nodes: Vec<Node>,
}

impl Sorting {
    /// Waits for the file that is being made, and keeps another one from being begun. The passes
    /// start over.
    pub(super) fn pause(&self) -> impl Sized + '_ {
        let mut passes = self.passes.lock();
        *passes = Default::default();
        passes
    }

    /// Bytes of files that were made since open: of log segments, and of other files.
    pub(super) fn written(&self) -> (u64, u64) {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (count(&self.sorted), count(&self.merged))
    }

    /// Why the last attempt failed.
    pub(super) fn failure(&self) -> Option<String> {
        self.failure.lock().clone()
    }

    /// The live entries that a damaged file had.
    pub(super) fn damaged(&self, path: &Path) -> Option<u64> {
        self.damaged.lock().get(path).copied()
    }

    /// Where the log ends that passes have gone through.
    pub(super) fn looked(&self) -> Lsn {
        Lsn(self.looked.load(Ordering::Relaxed))
    }
}

impl Shared {
    /// Makes one sorted segment of what waits behind the newest `left` sealed log segments, or, if
    /// nothing does, of others that are worth it; false if none was made because nothing waits, or
    /// `pace` says to stop.
    pub(super) fn sort_once(&self, left: usize, pace: Pace<'_>) -> Result<bool> {
        let mut under_way = self.sorting.passes.lock();
        self.parts.progress.check()?;
        self.reap_inline();
        // A file takes room before it makes some.
        let segments = SEGMENTS as u64 * self.parts.options.segment_size;
        let prepare = &self.parts.prepare;
        if prepare.is_full() || !prepare.has_quota_for(segments.min(FILE_RAW_MAX)) {
            return Ok(false);
        }
        // After a panic both start over.
        let (mut sort, mut merge) = std::mem::take(&mut *under_way);
        let mut made = Ok(false);
        if self.begin_pass(&mut sort, left) {
            made = self.sort_file(&mut sort, pace);
            if sort.is_over && made.is_ok() {
                self.sorting.looked.store(sort.bound.0, Ordering::Relaxed);
                merge.is_due = true;
            }
            if sort.is_over || !matches!(made, Ok(true)) {
                sort = SortPass::default();
            }
        }
        if matches!(made, Ok(false)) && self.begin_merge(&mut merge) {
            made = self.merge_file(&mut merge, pace);
            if merge.is_over() || !matches!(made, Ok(true)) {
                merge = MergePass::default();
            }
        }
        *under_way = (sort, merge);
        *self.sorting.failure.lock() = made.as_ref().err().map(ToString::to_string);
        made
    }

    /// Chooses segments, unless a pass is under way; false if there is none to sort.
    fn begin_pass(&self, pass: &mut SortPass, left: usize) -> bool {
        if !pass.segments.is_empty() {
            return true;
        }
        let (durable, looked) = (self.parts.progress.durable(), self.sorting.looked());
        let mut core = self.core.lock();
        let segments = core.log.segments();
        let ready = segments.sealed();
        let ready = ready.filter(|(segment, _)| segment.end_lsn() <= durable);
        let old = ready.count().saturating_sub(left);
        let Some((last, _)) = old
            .checked_sub(1)
            .and_then(|last| segments.sealed().nth(last))
        else {
            return false;
        };
        let damaged = segments.sealed().find(|(segment, live)| {
            let had = self.sorting.damaged(segment.path());
            had == Some(*live)
        });
        let end = damaged.map_or(last.end_lsn(), |(segment, _)| segment.first_lsn());
        let is_old = |segment: &Segment| segment.end_lsn() <= looked;
        let unsorted = segments.unsorted();
        let unsorted = unsorted.take_while(|(segment, _)| segment.end_lsn() <= end);
        let (known, fresh): (Vec<_>, Vec<_>) = unsorted.partition(|(segment, _)| is_old(segment));
        if fresh.is_empty() && !known.iter().any(|&(_, is_sparse)| is_sparse) {
            return false;
        }
        let taken = known.into_iter().chain(fresh.into_iter().take(SEGMENTS));
        pass.segments = taken
            .map(|(segment, is_sparse)| (Arc::clone(segment), is_sparse))
            .collect();
        let last = pass.segments.last();
        pass.bound = last.map_or(Lsn::ZERO, |(last, _)| last.end_lsn());
        true
    }

    /// Sealed segments with live entries that no pass has gone through, but for those that are left
    /// alone.
    pub(super) fn sort_backlog(&self) -> u64 {
        let looked = self.sorting.looked();
        let mut core = self.core.lock();
        let unsorted = core.log.segments().unsorted();
        let fresh = unsorted.filter(|(segment, _)| segment.end_lsn() > looked);
        fresh.count().saturating_sub(LEFT) as u64
    }

    /// Makes one file; false if it was told to stop, or there is nothing to go into it.
    fn sort_file(&self, pass: &mut SortPass, pace: Pace<'_>) -> Result<bool> {
        let mut lsns = Vec::new();
        let written = &self.sorting.sorted;
        let made = self.make_file(written, |builder| self.fill(builder, pass, &mut lsns, pace))?;
        let Some(file) = made else {
            return Ok(false);
        };
        let installed = self.swap(&file, &lsns);
        self.core.lock().state.sorted.settle(file.id());
        installed.map(|()| true)
    }

    /// Makes a file of what `fill` puts into it, and counts it in `written`; streams are to be told
    /// of it. `None` if it would be empty, or `fill` says that there is to be none.
    pub(super) fn make_file(
        &self,
        written: &AtomicU64,
        fill: impl FnOnce(&mut Builder<'_>) -> Result<bool>,
    ) -> Result<Option<Arc<SortedFile>>> {
        let storage = &*self.parts.storage;
        let dir = self.parts.sorted_dir();
        let id = self.core.lock().state.sorted.take_id();
        let store = self.parts.prepare.store();
        let mut builder = Builder::create(storage, &dir, Header { id, store })?;
        let built = match fill(&mut builder) {
            Ok(true) if builder.entries() > 0 => builder.finish(),
            Ok(_) => return builder.abandon().map(|()| None),
            Err(error) => Err(error),
        };
        let path = match built {
            Ok(path) => path,
            Err(error) => {
                // The first error says more than what may follow from it.
                drop(builder.abandon());
                return Err(error);
            }
        };
        let cache = Arc::clone(self.core.lock().state.sorted.cache());
        let made = Arc::new(SortedFile::open(storage, &path, &cache)?);
        written.fetch_add(made.len(), Ordering::Relaxed);
        self.core.lock().state.sorted.insert(Arc::clone(&made));
        Ok(Some(made))
    }

    /// Copies entries, and notes where they were, until the file is full or the pass ends; false if
    /// it was told to stop.
    fn fill(
        &self,
        builder: &mut Builder<'_>,
        pass: &mut SortPass,
        lsns: &mut Vec<Lsn>,
        pace: Pace<'_>,
    ) -> Result<bool> {
        let mut last = None;
        loop {
            for part in self.plan(pass) {
                if last != Some(part.stream) {
                    builder.begin_run(part.stream)?;
                    last = Some(part.stream);
                }
                if let Err(error) = copy(builder, pass, &part, lsns) {
                    self.note_damaged(&error);
                    return Err(error);
                }
            }
            if pass.is_over || is_full(builder) {
                return Ok(true);
            }
            if !pace() {
                return Ok(false);
            }
        }
    }

    /// Notes the file that an error names, and its live entries.
    pub(super) fn note_damaged(&self, error: &Error) {
        let Error::Corrupt { path, .. } = error else {
            return;
        };
        let mut core = self.core.lock();
        let files = core.state.sorted.files();
        let in_file = files
            .map(|file| (file.path(), file.live()))
            .find(|it| it.0 == path);
        let in_file = in_file.map(|(_, live)| live);
        let segment = |it: &(&Arc<Segment>, u64)| it.0.path() == path;
        let in_log = core.log.segments().sealed().find(segment);
        if let Some(live) = in_file.or(in_log.map(|(_, live)| live)) {
            self.sorting.damaged.lock().insert(path.clone(), live);
        }
    }

    /// Some entries of the log below the bound, and moves on.
    fn plan(&self, pass: &mut SortPass) -> Vec<Part> {
        let core = self.core.lock();
        let keyspace = &core.state.keyspace;
        let (mut parts, mut room) = (Vec::new(), SLICE_ENTRIES);
        let slots = keyspace.slot_count();
        let last = pass.slot.saturating_add(SLICE_SLOTS).min(slots);
        while pass.slot < last && room >= PIECE_ENTRIES_MIN {
            let Some(stream) = keyspace.stream(pass.slot).filter(|stream| {
                let is_large = stream.index.log_len() >= PIECE_ENTRIES_MIN as u64;
                is_large || pass.must_move(stream.index.lsns())
            }) else {
                (pass.slot, pass.from) = (pass.slot + 1, Lsn::ZERO);
                continue;
            };
            let nodes = stream.index.log_part(pass.from, pass.bound, room);
            let entries: usize = nodes.iter().map(|node| node.offsets.len()).sum();
            let is_small = entries < PIECE_ENTRIES_MIN
                && pass.from == Lsn::ZERO
                && !pass.must_move(nodes.iter().flat_map(Node::lsns));
            if let Some(end) = nodes.last().filter(|_| entries >= room) {
                pass.from = end.lsn(end.offsets.len() - 1).plus(1);
            } else {
                (pass.slot, pass.from) = (pass.slot + 1, Lsn::ZERO);
            }
            if entries > 0 && !is_small {
                let stream = stream.number;
                parts.push(Part { stream, nodes });
                room = room.saturating_sub(entries);
            }
        }
        pass.is_over = pass.slot >= slots;
        parts
    }

    /// Puts the runs of a complete file in the place of what they were made of.
    fn swap(&self, file: &Arc<SortedFile>, lsns: &[Lsn]) -> Result<()> {
        let (mut slot, mut rest) = (0, lsns);
        while slot < file.footer().runs {
            let (mut room, mut moved) = (SLICE_ENTRIES, Vec::new());
            let mut core = self.core.lock();
            core.state.sorted.note_move();
            while slot < file.footer().runs && room > 0 {
                let row = file.run(slot)?;
                let (own, others) = rest.split_at(rest.len().min(row.entries as usize));
                // Whoever panics here leaves a stream that lacks entries.
                let leader = Leader::new(&self.parts.progress);
                moved.extend(core.sort_run(file, slot, &row, own));
                leader.succeed();
                rest = others;
                slot += 1;
                room = room.saturating_sub(own.len().max(RUN_COST));
            }
            drop(core);
            // Many small pieces of memory are given back without the lock.
            drop(moved);
        }
        Ok(())
    }
}

impl Core {
    /// A run takes the place of the entries that were at `lsns`, as far as they are still there.
    fn sort_run(
        &mut self,
        file: &Arc<SortedFile>,
        slot: u32,
        row: &RunRow,
        lsns: &[Lsn],
    ) -> VecDeque<Node> {
        let Some(stream) = self.state.keyspace.by_number_mut(row.stream) else {
            return VecDeque::new();
        };
        // A checkpoint that is taking the stream in shows it as it was.
        let mut capture = self.state.capture.as_mut();
        capture = capture.filter(|capture| capture.number() == row.stream);
        if let (Some(capture), Some(&last)) = (capture, lsns.last()) {
            capture.before_sort(stream, last);
        }
        let nodes = stream.index.sort(file, slot, row, lsns);
        for node in &nodes {
            self.log.neighbours_died(node.lsns());
        }
        nodes
    }
}

impl SortPass {
    fn segment_of(&self, lsn: Lsn) -> Option<&(Arc<Segment>, bool)> {
        let behind = |(segment, _): &(Arc<Segment>, bool)| segment.first_lsn() <= lsn;
        let index = self.segments.partition_point(behind).checked_sub(1)?;
        self.segments.get(index)
    }

    /// Whether one of the entries at `lsns` lies in a segment that is kept for the sake of few.
    fn must_move(&self, mut lsns: impl Iterator<Item = Lsn>) -> bool {
        lsns.any(|lsn| {
            let segment = self.segment_of(lsn).filter(|_| lsn < self.bound);
            segment.is_some_and(|&(_, is_sparse)| is_sparse)
        })
    }
}

/// Whether no more is to go into a file.
pub(super) fn is_full(builder: &Builder<'_>) -> bool {
    builder.raw_len() >= FILE_RAW_MAX
        || builder.entries() >= FILE_ENTRIES_MAX
        || builder.runs() >= FILE_RUNS_MAX
}

/// Reads, verifies and adds the entries of a part.
fn copy(
    builder: &mut Builder<'_>,
    pass: &SortPass,
    part: &Part,
    lsns: &mut Vec<Lsn>,
) -> Result<()> {
    for node in &part.nodes {
        builder.begin_node(node.last_id, node.base, node.added);
        for lsn in node.lsns() {
            let (segment, _) = pass.segment_of(lsn).expect("segments with live entries");
            let entry = segment.entry(lsn)?;
            builder.entry(entry.id, entry.body)?;
            lsns.push(lsn);
        }
    }
    Ok(())
}

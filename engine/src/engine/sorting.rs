//! Sorting: what sealed log segments hold goes into sorted segments, while commands run.
//!
//! ```text
//!   plan a slice (locked) -> read, verify, compress, write -> sync, rename -> swap slices (locked)
//! ```
//!
//! A *pass* takes the oldest sealed segments and goes through all streams once; what it finds below
//! its bound goes into one file after the other. Nothing of this is a record: like a checkpoint it
//! is derived, and a crash at any moment leaves the entries where they were, or in a file that is
//! complete. The segments stay until no checkpoint needs them any more.
//!
//! A damaged entry stays where it is: its segment, and all behind it, are not sorted.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::{Core, EngineStats, Shared};
use crate::format::sorted::{Header, RunRow};
use crate::index::Node;
use crate::log::{Leader, Segment};
use crate::sorted::{Builder, Built, SortedFile};
use crate::{Error, Lsn, Result};

/// Segments that a pass takes.
const SEGMENTS: usize = 4;
/// The newest sealed segments that are left alone: what does not live long is not copied.
pub(super) const LEFT: usize = 2;
/// Entries that are planned or swapped under one lock, about.
const SLICE_ENTRIES: usize = 8 << 10;
/// Streams that are looked at under one lock.
const SLICE_SLOTS: u32 = 4 << 10;
/// A file is full with this many bytes of bodies, ...
const FILE_RAW_MAX: u64 = 64 << 20;
/// ... entries ...
const FILE_ENTRIES_MAX: u64 = 512 << 10;
/// ... or runs. What is known of them is in memory until the file is complete.
const FILE_RUNS_MAX: u32 = 32 << 10;

/// How sorting goes.
#[derive(Default)]
pub(super) struct Sorting {
    pass: Mutex<Pass>,
    /// Bytes of the files that were made since open.
    written: AtomicU64,
    failure: Mutex<Option<String>>,
}

/// What is being sorted.
#[derive(Default)]
struct Pass {
    /// Entries below are moved.
    bound: Lsn,
    /// The segments that hold them.
    segments: Vec<Arc<Segment>>,
    /// The next stream, ...
    slot: u32,
    /// ... and where in the log to go on with it.
    from: Lsn,
    /// All streams were looked at.
    is_over: bool,
    /// A segment with a damaged entry, and the live entries that it had.
    damaged: Option<(Lsn, u64)>,
}

/// Entries of one stream, in order.
struct Part {
    stream: u64,
    nodes: Vec<Node>,
}

impl Sorting {
    /// Waits for the file that is being made, and keeps another one from being begun. The pass
    /// starts over.
    pub(super) fn pause(&self) -> impl Sized + '_ {
        let mut pass = self.pass.lock();
        pass.end();
        pass
    }
}

impl Shared {
    /// Makes one sorted segment of what waits behind the newest `left` sealed log segments; false
    /// if nothing waits, or `pace`, which is called between slices, says to stop.
    pub(super) fn sort_once(&self, left: usize, pace: &mut dyn FnMut() -> bool) -> Result<bool> {
        let mut under_way = self.sorting.pass.lock();
        self.parts.progress.check()?;
        self.reap_inline();
        // After a panic the pass starts over.
        let mut pass = std::mem::take(&mut *under_way);
        let is_ready = !self.parts.prepare.is_full() && self.begin_pass(&mut pass, left);
        let sorted = if is_ready {
            self.sort_file(&mut pass, pace)
        } else {
            Ok(false)
        };
        if pass.is_over || !matches!(sorted, Ok(true)) {
            pass.end();
        }
        *under_way = pass;
        *self.sorting.failure.lock() = sorted.as_ref().err().map(ToString::to_string);
        sorted
    }

    /// Chooses segments, unless a pass is under way; false if there is none to sort.
    fn begin_pass(&self, pass: &mut Pass, left: usize) -> bool {
        if !pass.segments.is_empty() {
            return true;
        }
        let durable = self.parts.progress.durable();
        let mut core = self.core.lock();
        let segments = core.log.segments();
        let is_ready = |(segment, _): &(&Arc<Segment>, u64)| segment.end_lsn() <= durable;
        let count = segments.sealed().filter(is_ready).count();
        let old = segments.sealed().take(count.saturating_sub(left));
        let damaged = pass.damaged;
        let is_sound =
            |&(segment, live): &(&Arc<Segment>, u64)| damaged != Some((segment.first_lsn(), live));
        let live = old.take_while(is_sound).filter(|&(_, live)| live > 0);
        pass.segments = live
            .take(SEGMENTS)
            .map(|(segment, _)| Arc::clone(segment))
            .collect();
        pass.bound = pass
            .segments
            .last()
            .map_or(Lsn::ZERO, |last| last.end_lsn());
        !pass.segments.is_empty()
    }

    /// Sealed segments with live entries, but for those that are left alone.
    pub(super) fn sort_backlog(&self) -> u64 {
        let mut core = self.core.lock();
        core.log.segments().unsorted().count().saturating_sub(LEFT) as u64
    }

    /// The figures that are about sorting.
    pub(super) fn sort_stats(&self, core: &mut Core) -> EngineStats {
        let waiting = core.log.segments().unsorted();
        let sort_waiting = waiting.map(|segment| segment.len()).sum();
        let sorted = &core.state.sorted;
        let sum = |figure: fn(&SortedFile) -> u64| sorted.files().map(|file| figure(file)).sum();
        let cache = sorted.cache().stats();
        EngineStats {
            sorted_files: sorted.files().count() as u64,
            sorted_bytes: sum(SortedFile::len),
            sorted_entries: sum(|file| file.footer().entries),
            sorted_live: sum(SortedFile::live),
            sort_waiting,
            sorted_written: self.sorting.written.load(Ordering::Relaxed),
            sort_failure: self.sorting.failure.lock().clone(),
            block_hits: cache.hits,
            block_misses: cache.misses,
            block_bytes: cache.bytes,
            ..EngineStats::default()
        }
    }

    /// Makes one file; false if it was told to stop, or what waits has died meanwhile.
    fn sort_file(&self, pass: &mut Pass, pace: &mut dyn FnMut() -> bool) -> Result<bool> {
        let dir = self.parts.sorted_dir();
        let id = self.core.lock().state.sorted.take_id();
        let store = self.parts.prepare.store();
        let mut builder = Builder::create(&*self.parts.storage, &dir, Header { id, store })?;
        let built = match self.fill(&mut builder, pass, pace) {
            Ok(true) if builder.entries() > 0 => builder.finish(),
            Ok(_) => return builder.abandon().map(|()| false),
            Err(error) => Err(error),
        };
        match built {
            Ok(built) => self.install(&built).map(|()| true),
            Err(error) => {
                // The first error says more than what may follow from it.
                drop(builder.abandon());
                Err(error)
            }
        }
    }

    /// Copies entries until the file is full or the pass ends; false if it was told to stop.
    fn fill(
        &self,
        builder: &mut Builder<'_>,
        pass: &mut Pass,
        pace: &mut dyn FnMut() -> bool,
    ) -> Result<bool> {
        let mut last = None;
        loop {
            for part in self.plan(pass) {
                if last != Some(part.stream) {
                    builder.begin_run(part.stream)?;
                    last = Some(part.stream);
                }
                if let Err(error) = copy(builder, &pass.segments, &part) {
                    pass.damaged = self.damaged_segment(&error);
                    return Err(error);
                }
            }
            let is_full = pass.is_over
                || builder.raw_len() >= FILE_RAW_MAX
                || builder.entries() >= FILE_ENTRIES_MAX
                || builder.runs() >= FILE_RUNS_MAX;
            if is_full {
                return Ok(true);
            }
            if !pace() {
                return Ok(false);
            }
        }
    }

    /// The segment that an error names, and its live entries.
    fn damaged_segment(&self, error: &Error) -> Option<(Lsn, u64)> {
        let Error::Corrupt { path, .. } = error else {
            return None;
        };
        let mut core = self.core.lock();
        let mut sealed = core.log.segments().sealed();
        let damaged = sealed.find(|(segment, _)| segment.path() == path);
        damaged.map(|(segment, live)| (segment.first_lsn(), live))
    }

    /// Some entries of the log below the bound, and moves on.
    fn plan(&self, pass: &mut Pass) -> Vec<Part> {
        let core = self.core.lock();
        let keyspace = &core.state.keyspace;
        let (mut parts, mut room) = (Vec::new(), SLICE_ENTRIES);
        let last = pass
            .slot
            .saturating_add(SLICE_SLOTS)
            .min(keyspace.slot_count());
        while pass.slot < last && room > 0 {
            let Some(stream) = keyspace.stream(pass.slot) else {
                pass.slot += 1;
                continue;
            };
            let nodes = stream.index.log_part(pass.from, pass.bound, room);
            let entries: usize = nodes.iter().map(|node| node.offsets.len()).sum();
            if let Some(end) = nodes.last().filter(|_| entries >= room) {
                pass.from = end.lsn(end.offsets.len() - 1).plus(1);
            } else {
                (pass.slot, pass.from) = (pass.slot + 1, Lsn::ZERO);
            }
            room = room.saturating_sub(entries);
            if entries > 0 {
                let stream = stream.number;
                parts.push(Part { stream, nodes });
            }
        }
        pass.is_over = pass.slot >= keyspace.slot_count();
        parts
    }

    /// Puts the runs of a complete file in the place of what they were made of.
    fn install(&self, built: &Built) -> Result<()> {
        let cache = Arc::clone(self.core.lock().state.sorted.cache());
        let file = Arc::new(SortedFile::open(&*self.parts.storage, &built.path, &cache)?);
        self.sorting
            .written
            .fetch_add(file.len(), Ordering::Relaxed);
        self.core.lock().state.sorted.insert(Arc::clone(&file));
        let installed = self.swap(&file, &built.lsns);
        self.core.lock().state.sorted.settle(file.id());
        installed
    }

    fn swap(&self, file: &Arc<SortedFile>, lsns: &[Lsn]) -> Result<()> {
        let (mut slot, mut rest) = (0, lsns);
        while slot < file.footer().runs {
            let (mut room, mut moved) = (SLICE_ENTRIES, Vec::new());
            let mut core = self.core.lock();
            while slot < file.footer().runs && room > 0 {
                let row = file.run(slot)?;
                let (own, others) = rest.split_at(rest.len().min(row.entries as usize));
                // Whoever panics here leaves a stream that lacks entries.
                let leader = Leader::new(&self.parts.progress);
                moved.extend(core.sort_run(file, slot, &row, own));
                leader.succeed();
                rest = others;
                slot += 1;
                room = room.saturating_sub(own.len().max(SLICE_ENTRIES / SLICE_SLOTS as usize));
            }
            core.state.sorted.note_move();
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

impl Pass {
    /// Another pass may begin.
    fn end(&mut self) {
        let damaged = self.damaged;
        *self = Self {
            damaged,
            ..Self::default()
        };
    }
}

/// Reads, verifies and adds the entries of a part.
fn copy(builder: &mut Builder<'_>, segments: &[Arc<Segment>], part: &Part) -> Result<()> {
    for node in &part.nodes {
        builder.begin_node(node.last_id, node.base, node.added);
        for lsn in node.lsns() {
            let behind = segments.partition_point(|segment| segment.first_lsn() <= lsn);
            let held = behind.checked_sub(1);
            let segment = &segments[held.expect("a segment with live entries is held")];
            let entry = segment.entry(lsn)?;
            builder.entry(entry.id, entry.body, lsn)?;
        }
    }
    Ok(())
}

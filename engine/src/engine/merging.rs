//! Merging: what lives of sorted segments goes into others, while commands run.
//!
//! ```text
//!   plan a slice (locked) -> read, compress, write -> sync, rename -> replace slices (locked)
//! ```
//!
//! Three things make it worth the while: files of which less than half is live, once they waste
//! enough; small files, once there are many; and streams with many short runs, which is looked for
//! behind each pass of sorting (see `index/merge.rs`). A pass goes through all streams once, and
//! what is to be merged goes into one file after the other. The files that it comes from are dead
//! then, and go as others do, when no checkpoint needs them.
//!
//! A damaged run stays where it is, as does all of its file.

use std::collections::{BTreeSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;

use super::Shared;
use super::sorting::{Pace, RUN_COST, SLICE_ENTRIES, SLICE_SLOTS, is_full};
use crate::index::{Copied, Fate, Run};
use crate::log::Leader;
use crate::sorted::{Builder, SortedFile, SortedSet};
use crate::{Lsn, Result};

/// Files of which less than half is live are rewritten once they waste more than this, ...
const WASTE_MIN: u64 = if cfg!(test) { 1 } else { 64 << 20 };
/// ... and more than this part of all.
const WASTE_SHARE: u64 = 8;
/// A file is small that has less than this many live bytes; ...
const SMALL_FILE_LEN: u64 = 4 << 20;
/// ... so many of them become one.
const SMALL_FILES: usize = if cfg!(test) { 4 } else { 16 };
/// A run is short that has fewer entries ...
const SHORT_RUN_ENTRIES: u32 = 1 << 10;
/// ... and fewer stored bytes than this.
const SHORT_RUN_LEN: u64 = 256 << 10;

/// What is being merged.
#[derive(Default)]
pub(super) struct MergePass {
    /// Streams may have got short runs.
    pub(super) is_due: bool,
    is_under_way: bool,
    /// Files that are to go.
    moving: BTreeSet<u64>,
    /// Files that are to stay as they are.
    damaged: BTreeSet<u64>,
    /// The next stream.
    slot: u32,
    /// What is still to be copied of those before.
    planned: VecDeque<Part>,
    /// All streams were looked at.
    is_planned: bool,
}

/// Neighbouring runs of one stream, as they were.
struct Part {
    stream: u64,
    runs: Vec<Run>,
}

impl MergePass {
    pub(super) fn is_over(&self) -> bool {
        self.is_planned && self.planned.is_empty()
    }

    fn fate(&self, run: &Run) -> Fate {
        if self.damaged.contains(&run.file.id()) {
            Fate::Stays
        } else if self.moving.contains(&run.file.id()) {
            Fate::Moves
        } else if run.live < SHORT_RUN_ENTRIES && run.stored_len() < SHORT_RUN_LEN {
            Fate::Short
        } else {
            Fate::Stays
        }
    }
}

impl Shared {
    /// Chooses files, unless a pass is under way; false if there is nothing to merge.
    pub(super) fn begin_merge(&self, pass: &mut MergePass) -> bool {
        if pass.is_under_way {
            return true;
        }
        // What dies while a backup is made would stay all the longer.
        if self.backups.pinned().is_some() {
            return false;
        }
        let core = self.core.lock();
        let sorted = &core.state.sorted;
        let is_damaged = |file: &&Arc<SortedFile>| self.sorting.damaged(file.path()).is_some();
        let damaged = sorted.files().filter(is_damaged).map(|file| file.id());
        pass.damaged = damaged.collect();
        pass.moving = moving(sorted, &pass.damaged);
        // Behind a salvage nothing dies, so nothing is won.
        pass.is_under_way = (pass.is_due || !pass.moving.is_empty()) && !sorted.is_salvage;
        pass.is_due = false;
        pass.is_under_way
    }

    /// Makes one file; false if it was told to stop, or there is nothing to go into it.
    pub(super) fn merge_file(&self, pass: &mut MergePass, pace: Pace<'_>) -> Result<bool> {
        let mut sources = Vec::new();
        let gather = |builder: &mut Builder<'_>| self.gather(builder, pass, &mut sources, pace);
        let Some(file) = self.make_file(&self.sorting.merged, gather)? else {
            return Ok(false);
        };
        let replaced = self.replace(&file, sources);
        self.core.lock().state.sorted.settle(file.id());
        replaced.map(|()| true)
    }

    /// Copies runs, and notes them, until the file is full or the pass ends; false if it was told
    /// to stop.
    fn gather(
        &self,
        builder: &mut Builder<'_>,
        pass: &mut MergePass,
        sources: &mut Vec<Vec<Run>>,
        pace: Pace<'_>,
    ) -> Result<bool> {
        let mut left = SLICE_ENTRIES;
        loop {
            while let Some(part) = pass.planned.pop_front() {
                builder.begin_run(part.stream)?;
                for run in &part.runs {
                    let copied = copy(builder, run, &mut left, pace);
                    if copied
                        .inspect_err(|error| self.note_damaged(error))?
                        .is_break()
                    {
                        return Ok(false);
                    }
                }
                sources.push(part.runs);
                if is_full(builder) {
                    return Ok(true);
                }
            }
            if pass.is_planned {
                return Ok(true);
            }
            self.plan_merge(pass);
            if !pace() {
                return Ok(false);
            }
        }
    }

    /// Some runs that are to be merged, and moves on.
    fn plan_merge(&self, pass: &mut MergePass) {
        let core = self.core.lock();
        let keyspace = &core.state.keyspace;
        let (mut planned, mut room) = (VecDeque::new(), SLICE_ENTRIES);
        let slots = keyspace.slot_count();
        let last = pass.slot.saturating_add(SLICE_SLOTS).min(slots);
        while pass.slot < last && room > 0 {
            if let Some(stream) = keyspace.stream(pass.slot) {
                for runs in stream.index.to_merge(|run| pass.fate(run)) {
                    room = room.saturating_sub(runs.len() * RUN_COST);
                    let stream = stream.number;
                    planned.push_back(Part { stream, runs });
                }
            }
            pass.slot += 1;
        }
        pass.planned = planned;
        pass.is_planned = pass.slot >= slots;
    }

    /// Puts the runs of a complete file in the place of those that they were made of.
    fn replace(&self, file: &Arc<SortedFile>, sources: Vec<Vec<Run>>) -> Result<()> {
        let mut sources = (0..).zip(sources).peekable();
        while sources.peek().is_some() {
            let (mut room, mut done) = (SLICE_ENTRIES, Vec::new());
            let mut core = self.core.lock();
            core.state.sorted.note_move();
            while let Some((slot, runs)) = sources.next_if(|_| room > 0) {
                let row = file.run(slot)?;
                let Some(stream) = core.state.keyspace.by_number_mut(row.stream) else {
                    continue;
                };
                // Whoever panics here leaves a stream that lacks entries.
                let leader = Leader::new(&self.parts.progress);
                let merged = stream.index.merge(file, (slot, &row), &runs);
                leader.succeed();
                room = room.saturating_sub(runs.len() * RUN_COST);
                done.push((runs, merged.err()));
            }
            drop(core);
            // Those stay where they are that cannot be compared with what became of them.
            let damage = done.iter().filter_map(|(_, error)| error.as_ref());
            damage.for_each(|error| self.note_damaged(error));
        }
        Ok(())
    }
}

/// The files that are worth rewriting.
fn moving(sorted: &SortedSet, damaged: &BTreeSet<u64>) -> BTreeSet<u64> {
    let is_live = |file: &&Arc<SortedFile>| file.live() > 0 && !damaged.contains(&file.id());
    let files: Vec<_> = sorted.files().filter(is_live).collect();
    let ids = |files: Vec<&Arc<SortedFile>>| files.into_iter().map(|file| file.id()).collect();
    let low: Vec<_> = files.iter().copied().filter(|file| is_low(file)).collect();
    let waste: u64 = low.iter().map(|file| file.len() - file.live_len()).sum();
    let all: u64 = files.iter().map(|file| file.len()).sum();
    let mut moving = BTreeSet::new();
    if waste > WASTE_MIN.max(all / WASTE_SHARE) {
        moving = ids(low);
    }
    let small = files
        .into_iter()
        .filter(|file| file.live_len() < SMALL_FILE_LEN);
    let small: Vec<_> = small.collect();
    if small.len() >= SMALL_FILES {
        moving.append(&mut ids(small));
    }
    moving
}

/// Whether less than half of a file is live.
pub(super) fn is_low(file: &SortedFile) -> bool {
    (1..file.footer().entries / 2).contains(&file.live())
}

/// Reads and adds the live entries of a run; breaks if it was told to stop.
fn copy(
    builder: &mut Builder<'_>,
    run: &Run,
    left: &mut usize,
    pace: Pace<'_>,
) -> Result<ControlFlow<()>> {
    run.copy(&mut |copied| {
        match copied {
            Copied::Node(node) => builder.begin_node(node.last_id, Lsn(node.base), node.added),
            Copied::Entry(id, body) => builder.entry(id, body)?,
        }
        *left = left.saturating_sub(1);
        if *left == 0 {
            *left = SLICE_ENTRIES;
            if !pace() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    })
}

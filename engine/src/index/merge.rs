//! Merging: neighbouring runs of a stream become one run of a new sorted segment.
//!
//! First [`Index::to_merge`] says, without any change, which; they are copied without the lock, as
//! they were then; then [`Index::merge`] puts the new run in their place. What was trimmed or
//! deleted meanwhile is dead in it.
//!
//! ```text
//!   runs      [ 900 ] [ 70 ] [ 8 ] [ 8 ] [ 8 ] [ 8 ] [ 8 ] [ 8 ] [ 8 ] [ 3 ]
//!   become    [ 900 ] [ 70 ] [ 59                                           ]
//! ```
//!
//! A stream that grows slowly gets a run of a few entries each time that it is sorted. [`FAN_IN`]
//! neighbours at least become one, and only as long as the largest of them is not more than half of
//! it: so a stream has few runs below each power of two, and what is copied at least doubles the
//! run that it lies in.

use std::sync::Arc;

use super::{Index, Run};
use crate::Result;
use crate::format::sorted::RunRow;
use crate::sorted::SortedFile;

/// So many short runs become one.
const FAN_IN: usize = if cfg!(test) { 3 } else { 8 };
/// One run is made of so many stored bytes at most, about.
const MERGED_LEN_MAX: u64 = 32 << 20;

/// What is to become of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It stays as it is.
    Stays,
    /// It may become one with its neighbours.
    Short,
    /// Its file is to go.
    Moves,
}

impl Index {
    /// Copies of the runs that are to be merged, each row of neighbours by itself.
    pub(crate) fn to_merge(&self, fate: impl Fn(&Run) -> Fate) -> Vec<Vec<Run>> {
        let runs = self.runs().map_or(&[][..], |runs| &runs.list[..]);
        let stays = |run: &Run| fate(run) == Fate::Stays;
        let mut rows = Vec::new();
        for row in runs.chunk_by(|a, b| !stays(a) && !stays(b)) {
            let row = if stays(&row[0]) {
                &[]
            } else if row.iter().any(|run| fate(run) == Fate::Moves) {
                row
            } else {
                worth_merging(row)
            };
            cut(row, &mut rows);
        }
        rows
    }

    /// Puts run `slot` of `file` in the place of `sources`, as far as they are still there; false
    /// if nothing of them is.
    ///
    /// # Errors
    ///
    /// A row of theirs that cannot be read: nothing is changed.
    pub(crate) fn merge(
        &mut self,
        file: &Arc<SortedFile>,
        (slot, row): (u32, &RunRow),
        sources: &[Run],
    ) -> Result<bool> {
        let Some(runs) = &mut self.runs else {
            return Ok(false);
        };
        let is_source = |run: &Run| sources.iter().any(|source| source.is_same(run));
        let Some(first) = runs.list.iter().position(is_source) else {
            return Ok(false);
        };
        let count = runs.list[first..].iter().take_while(|run| is_source(run));
        let range = first..first + count.count();
        let left = &runs.list[range.clone()];
        let (mut dead, mut base) = (Vec::new(), 0);
        for source in sources {
            let now = left.iter().find(|run| source.is_same(run));
            source.ranks_gone(now, base, &mut dead);
            base += source.live;
        }
        let last = left[left.len() - 1].last_node()?;
        let mut run = Run::new(file, slot, row.entries, &dead);
        run.continues = left[0].continues;
        let stored = run.last_node()?;
        run.set_tail((stored.tail != last.tail).then_some(last.tail));
        file.entries_live(u64::from(run.live));
        for moved in runs.list.splice(range, [run]) {
            moved.file.entries_died(u64::from(moved.live));
        }
        runs.list.shrink_to_fit();
        Ok(true)
    }
}

/// Those of some short neighbours that are worth being copied: enough of them, and none so large
/// that it would be copied for the sake of little.
fn worth_merging(row: &[Run]) -> &[Run] {
    let mut rest = row;
    while rest.len() >= FAN_IN {
        let total: u64 = rest.iter().map(|run| u64::from(run.live)).sum();
        let large = |run: &Run| u64::from(run.live) > total / 2;
        let Some(at) = rest.iter().position(large) else {
            return rest;
        };
        rest = &rest[at + 1..];
    }
    &[]
}

/// Cuts neighbours into what one run may hold.
fn cut(row: &[Run], rows: &mut Vec<Vec<Run>>) {
    let mut len = u64::MAX;
    for run in row {
        len = len.saturating_add(run.stored_len());
        if len > MERGED_LEN_MAX {
            len = run.stored_len();
            rows.push(Vec::new());
        }
        if let Some(last) = rows.last_mut() {
            last.push(run.clone());
        }
    }
}

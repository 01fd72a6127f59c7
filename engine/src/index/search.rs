//! Searching a stream's entries by ID, and by their place in the log.

use std::cmp::Ordering;

use super::{Index, Position, Runs, id_at};
use crate::id::EntryId;
use crate::log::Log;
use crate::sorted::partition;
use crate::{Lsn, Result};

/// Probes of a search inside a node that guess where the ID is; the others halve.
const GUESSES: u32 = 3;

impl Index {
    /// The first entry whose ID is not below `id`.
    pub(crate) fn lower_bound(&self, id: EntryId, log: &Log) -> Result<Position> {
        if id <= self.first_id() {
            return Ok(Position::START);
        }
        if let Some(runs) = self.runs()
            && self.node(0).is_none_or(|node| id < node.first_id)
        {
            return self.lower_bound_in(runs, id);
        }
        let Some(index) = self.partition(|node| node.first_id <= id).checked_sub(1) else {
            return Ok(Position::START);
        };
        let Some(node) = self.node(index) else {
            return Ok(self.end());
        };
        let part = self.run_count() + index;
        if node.last_id < id {
            return Ok(self.position(part, usize::MAX));
        }
        let (mut low, mut high) = (0, node.offsets.len());
        let mut known = (node.first_id, node.last_id);
        let mut probes = 0;
        while low < high {
            // Each probe is a read from the log. IDs are mostly spread evenly, so guessing finds
            // them in one or two; halving bounds what uneven ones cost.
            let middle = if probes < GUESSES {
                low + guess(id, known, high - low)
            } else {
                low.midpoint(high)
            };
            probes += 1;
            let found = id_at(log, node.lsn(middle))?;
            match found.cmp(&id) {
                Ordering::Less => (low, known.0) = (middle + 1, found),
                Ordering::Equal => {
                    low = middle;
                    break;
                }
                Ordering::Greater => (high, known.1) = (middle, found),
            }
        }
        Ok(self.position(part, low))
    }

    /// The first entry whose ID is not below `id`, which is below those of the log.
    fn lower_bound_in(&self, runs: &Runs, id: EntryId) -> Result<Position> {
        let count = u32::try_from(runs.list.len()).expect("a stream has fewer runs");
        let is_before = |part: u32| Ok(runs.list[part as usize].row()?.last_id < id);
        let part = partition(count, is_before)? as usize;
        let Some(run) = runs.list.get(part) else {
            return Ok(Position { part, at: 0 });
        };
        Ok(self.position(part, run.lower_bound(id)? as usize))
    }

    /// The first entry that lies behind `lsn` of the log; `None` if that would have to be told by
    /// its ID, because entries before the log's first may lie there too.
    pub(crate) fn behind_lsn(&self, lsn: Lsn) -> Option<Position> {
        let first = self.node(0).map(|node| node.lsn(0));
        if self.runs.is_some() && first.is_none_or(|first| lsn < first) {
            return None;
        }
        let Some(index) = self.partition(|node| node.base <= lsn).checked_sub(1) else {
            return Some(Position::START);
        };
        let Some(node) = self.node(index) else {
            return Some(self.end());
        };
        let offset = node.offset_of(lsn).unwrap_or(u32::MAX);
        let at = node.offsets.partition_point(|&other| other <= offset);
        Some(self.position(self.run_count() + index, at))
    }

    /// The entry that lies at exactly that LSN of the log.
    pub(super) fn at_lsn(&self, lsn: Lsn) -> Option<Position> {
        let index = self.partition(|node| node.base <= lsn).checked_sub(1)?;
        let node = self.node(index)?;
        let at = node.offsets.binary_search(&node.offset_of(lsn)?).ok()?;
        let part = self.run_count() + index;
        Some(Position { part, at })
    }

    /// The entry `id`, which was at `lsn` of the log unless it was in a run already.
    pub(crate) fn locate(&self, id: EntryId, lsn: Lsn, log: &Log) -> Option<Position> {
        let at_lsn = self.at_lsn(lsn);
        at_lsn.or_else(|| self.find(id, log).ok().flatten())
    }

    /// Looks into the blocks that hold the entries from one position to before another, up to so
    /// many, in vain: who asks for blocks asks for these.
    pub(crate) fn ask_between(&self, from: Position, to: Position, blocks_max: usize) {
        let mut left = blocks_max;
        for part in from.part..=to.part {
            let Some(run) = self.run(part) else { return };
            let start = if part == from.part { from.at } else { 0 };
            let end = if part == to.part { to.at } else { usize::MAX };
            left -= run.ask_between(start, end, left);
        }
    }

    /// The entry with exactly that ID.
    pub(crate) fn find(&self, id: EntryId, log: &Log) -> Result<Option<Position>> {
        if id < self.first_id() || self.last_node().is_some_and(|node| node.last_id < id) {
            return Ok(None);
        }
        let position = self.lower_bound(id, log)?;
        let is_it = self.id(position, log)? == Some(id);
        Ok(is_it.then_some(position))
    }
}

/// Where among `count` entries `id` is likely to be, between two IDs that enclose them.
pub(super) fn guess(id: EntryId, (low, high): (EntryId, EntryId), count: usize) -> usize {
    let (low, id, high) = if low.ms == high.ms {
        (low.seq, id.seq, high.seq)
    } else {
        (low.ms, id.ms, high.ms)
    };
    let part = u128::from(id.saturating_sub(low)) * count as u128;
    let whole = u128::from(high.saturating_sub(low)) + 1;
    usize::try_from(part / whole).map_or(count - 1, |at| at.min(count - 1))
}

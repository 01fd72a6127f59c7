//! The runs of a stream: what lies in sorted segments, in front of what lies in the log.
//!
//! Invariants: each run has live entries. A run *continues* if its first live entry is in the same
//! node as the last live entry before it; so may the first node of the log. When the part of a node
//! that lies in one run dies, this is put right here, and what the part knew of its node (how many
//! entries were added, the last ID) is kept as the tail of the part before it.

use super::run::{Run, Tail};
use crate::EntryId;

/// The runs of a stream, of which there is at least one.
#[derive(Clone, Debug)]
pub(crate) struct Runs {
    pub(crate) list: Vec<Run>,
    /// The ID of the stream's first entry.
    pub(crate) first_id: EntryId,
    /// The first node of the log goes on with the last node of the last run.
    pub(crate) log_continues: bool,
}

impl Runs {
    /// Number of nodes with live entries here; one that goes on in the log counts there.
    pub(crate) fn node_count(&self) -> usize {
        let joins = self.list.iter().filter(|run| run.continues).count();
        let nodes = self.list.iter().map(|run| run.nodes as usize);
        nodes.sum::<usize>() - joins - usize::from(self.log_continues)
    }

    /// Removes up to `count` entries at the head; returns how many.
    pub(crate) fn trim(&mut self, count: u64) -> u64 {
        let mut left = count;
        while let Some(run) = self.list.first_mut().filter(|_| left > 0) {
            let taken = u32::try_from(left).map_or(run.live, |left| left.min(run.live));
            run.trim(taken);
            left -= u64::from(taken);
            if run.live == 0 {
                self.list.remove(0);
            }
        }
        if let Some(head) = self.list.first_mut().filter(|_| left < count) {
            head.continues = false;
        }
        count - left
    }

    /// Deletes an entry of run `index`.
    pub(crate) fn delete(&mut self, index: usize, ordinal: u32) {
        let run = &mut self.list[index];
        let last = run.last_node().ok();
        if let Some(node) = run.delete(ordinal) {
            let tail = match last.filter(|last| last.index == node) {
                Some(last) => Some(last.tail),
                None => stored_tail(run, node),
            };
            self.part_died(index, node, tail);
        }
        if self.list[index].live == 0 {
            self.list.remove(index);
        }
    }

    /// The part of node `node` that lies in run `index` has no live entries any more.
    fn part_died(&mut self, index: usize, node: u32, tail: Option<Tail>) {
        let run = &mut self.list[index];
        let continued = run.continues && node == 0;
        run.continues &= !continued;
        let is_inner = run.has_live_behind(node);
        let mut goes_on = false;
        if !is_inner {
            run.set_tail(None);
            let next = match self.list.get_mut(index + 1) {
                Some(next) => &mut next.continues,
                None => &mut self.log_continues,
            };
            goes_on = *next;
            *next &= continued;
        }
        if continued && !goes_on {
            self.list[index - 1].set_tail(tail);
        }
    }

    /// The first node of the log, which had live entries, has none any more.
    pub(crate) fn log_node_died(&mut self, tail: Tail) {
        if std::mem::take(&mut self.log_continues)
            && let Some(last) = self.list.last_mut()
        {
            last.set_tail(Some(tail));
        }
    }

    /// Counts entries as added to the last node that were deleted elsewhere.
    pub(crate) fn count_missing(&mut self, count: u32) -> bool {
        let last = self.list.last_mut().and_then(|run| {
            let tail = run.last_node().ok()?.tail;
            Some((run, tail))
        });
        last.is_some_and(|(run, tail)| {
            let added = tail.added.saturating_add(count);
            run.set_tail(Some(Tail { added, ..tail }));
            true
        })
    }

    /// The stream was restored: the files are needed.
    pub(crate) fn retain(&self) {
        for run in &self.list {
            run.file.entries_live(u64::from(run.live));
        }
    }

    /// The stream is gone: the files hold these entries in vain; how many they are.
    pub(crate) fn release(&self) -> u64 {
        for run in &self.list {
            run.file.entries_died(u64::from(run.live));
        }
        self.live()
    }

    /// Number of live entries.
    pub(crate) fn live(&self) -> u64 {
        self.list.iter().map(|run| u64::from(run.live)).sum()
    }

    /// Bytes of memory.
    pub(crate) fn memory(&self) -> usize {
        size_of::<Self>() + self.list.iter().map(Run::memory).sum::<usize>()
    }
}

fn stored_tail(run: &Run, node: u32) -> Option<Tail> {
    let row = run.row().and_then(|row| run.file.node(&row, node)).ok()?;
    Some(Tail::stored(&row))
}

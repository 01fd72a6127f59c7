//! How far a group has come: `entries-read` and `lag`, by the rules of Redis 7.2.
//!
//! Redis counts the entries that a group has read, and estimates where it cannot count. The lag is
//! what was added and not read; it is unknown where a deleted entry (a tombstone) lies ahead of the
//! cursor, because nobody knows whether it was counted.

use super::StreamInfo;
use crate::id::EntryId;

/// A group's cursor on its way through a stream.
pub(super) struct Progress {
    pub(super) counters: StreamInfo,
    pub(super) cursor: EntryId,
    pub(super) entries_read: Option<u64>,
}

impl Progress {
    /// Moves the cursor to `id`, the next entry.
    pub(super) fn pass(&mut self, id: EntryId) {
        let counters = &self.counters;
        let can_count =
            self.cursor >= counters.first_id && !has_tombstone_from(counters, self.cursor);
        self.entries_read = match self.entries_read {
            Some(read) if can_count => Some(read.saturating_add(1)),
            _ if counters.entries_added > 0 => rank_of(counters, id),
            unknown => unknown,
        };
        self.cursor = id;
    }

    /// Entries that are not delivered yet, where that is known.
    pub(super) fn lag(&self) -> Option<u64> {
        let counters = &self.counters;
        if counters.entries_added == 0 {
            return Some(0);
        }
        let counted = self
            .entries_read
            .filter(|_| !has_tombstone_from(counters, self.cursor));
        let read = counted.or_else(|| rank_of(counters, self.cursor))?;
        // More was read than added only if somebody said so by hand; Redis shows what that yields.
        Some(counters.entries_added.wrapping_sub(read))
    }
}

/// Whether an entry was deleted one by one at or behind `id` and behind the first entry.
fn has_tombstone_from(counters: &StreamInfo, id: EntryId) -> bool {
    let tombstone = counters.max_deleted_id;
    counters.length > 0
        && tombstone != EntryId::MIN
        && counters.first_id <= tombstone
        && id <= tombstone
}

/// How many entries were ever added up to `id`, where the counters tell.
fn rank_of(counters: &StreamInfo, id: EntryId) -> Option<u64> {
    let StreamInfo {
        length,
        last_id,
        max_deleted_id,
        entries_added,
        first_id,
        ..
    } = *counters;
    if entries_added == 0 {
        return Some(0);
    }
    if length == 0 && id <= last_id {
        return Some(entries_added);
    }
    if id != EntryId::MIN && id < max_deleted_id {
        return None;
    }
    if id == last_id {
        return Some(entries_added);
    }
    let has_no_tombstone = max_deleted_id == EntryId::MIN || max_deleted_id < first_id;
    if id > last_id || !has_no_tombstone {
        return None;
    }
    match id.cmp(&first_id) {
        std::cmp::Ordering::Less => Some(entries_added.wrapping_sub(length)),
        std::cmp::Ordering::Equal => Some(entries_added.wrapping_sub(length).wrapping_add(1)),
        std::cmp::Ordering::Greater => None,
    }
}

//! How far Redis thinks that a group has come: `entries-read` and its estimate of the lag, by the
//! rules of Redis 8.
//!
//! The index knows the exact lag; this is for those who want what Redis says. Redis counts the
//! entries that a group has read, and estimates where it cannot count. The lag is what was added
//! and not read; it is unknown where a deleted entry (a tombstone) lies ahead of the cursor,
//! because nobody knows whether it was counted.

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

    /// Entries that are not delivered yet, where that is known; negative if somebody said by hand
    /// that more was read than there is.
    pub(super) fn estimated_lag(&self) -> Option<i64> {
        let counters = &self.counters;
        if counters.entries_added == 0 || counters.length == 0 {
            return Some(0);
        }
        let first_id = counters.first_id;
        if self.cursor < first_id && counters.max_deleted_id < first_id {
            return Some(i64::try_from(counters.length).unwrap_or(i64::MAX));
        }
        let counted = self
            .entries_read
            .filter(|_| !has_tombstone_from(counters, self.cursor));
        let read = counted.or_else(|| rank_of(counters, self.cursor))?;
        Some(counters.entries_added.wrapping_sub(read).cast_signed())
    }
}

/// Whether an entry was deleted one by one at or behind `id`.
fn has_tombstone_from(counters: &StreamInfo, id: EntryId) -> bool {
    let tombstone = counters.max_deleted_id;
    counters.length > 0 && tombstone != EntryId::MIN && id <= tombstone
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

#[cfg(test)]
mod tests {
    use super::*;

    fn id(ms: u64) -> EntryId {
        EntryId::new(ms, 0)
    }

    fn progress(cursor: u64, entries_read: Option<u64>, max_deleted: u64) -> Progress {
        let counters = StreamInfo {
            length: 4,
            last_id: id(9),
            max_deleted_id: id(max_deleted),
            entries_added: 9,
            first_id: id(6),
            ..StreamInfo::default()
        };
        Progress {
            counters,
            cursor: id(cursor),
            entries_read,
        }
    }

    // Each expectation is what Redis 8.6 answers in that situation.
    #[test]
    fn lag_is_counted_estimated_or_unknown() {
        assert_eq!(progress(7, Some(7), 0).estimated_lag(), Some(2));
        assert_eq!(progress(7, Some(7), 8).estimated_lag(), None);
        assert_eq!(progress(7, None, 0).estimated_lag(), None);
        assert_eq!(progress(9, None, 8).estimated_lag(), Some(0));
        assert_eq!(progress(6, None, 0).estimated_lag(), Some(3));
        assert_eq!(progress(2, None, 1).estimated_lag(), Some(4));
        assert_eq!(progress(2, None, 3).estimated_lag(), Some(4));
        assert_eq!(progress(0, None, 3).estimated_lag(), Some(4));
        assert_eq!(progress(7, Some(11), 0).estimated_lag(), Some(-2));
        let empty = Progress {
            counters: StreamInfo::default(),
            cursor: id(0),
            entries_read: None,
        };
        assert_eq!(empty.estimated_lag(), Some(0));
    }

    #[test]
    fn a_delivery_counts_on_or_estimates_anew() {
        let read = |mut progress: Progress, next: u64| {
            progress.pass(id(next));
            progress.entries_read
        };
        assert_eq!(read(progress(7, Some(7), 0), 8), Some(8));
        assert_eq!(read(progress(2, Some(1), 0), 6), Some(6));
        assert_eq!(read(progress(7, Some(7), 8), 9), Some(9));
        assert_eq!(read(progress(6, Some(6), 8), 7), None);
        assert_eq!(read(progress(7, None, 0), 8), None);
    }
}

//! Giving entries back: they stay pending, for nobody, and are the first to be claimed.

use std::collections::HashMap;

use super::Batch;
use crate::error::Result;
use crate::format::record::{GivenBack, GroupChange, lists_len_max};
use crate::id::EntryId;
use crate::limits::RECORD_IDS_MAX;
use crate::log::Growth;

/// What giving an entry back says about its delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It does not count.
    None,
    /// It counts as any other.
    Consumer,
    /// The entry itself is bad: its count becomes [`DELIVERY_COUNT_MAX`].
    Entry,
}

/// The delivery count of an entry that nobody can handle.
pub const DELIVERY_COUNT_MAX: u64 = i64::MAX.unsigned_abs();

/// Which entries to give back, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GiveBack<'a> {
    /// The entries; one that is named twice is given back twice.
    pub ids: &'a [EntryId],
    /// Whose fault it was.
    pub fault: Fault,
    /// The delivery count to set, whosever fault it was.
    pub delivery_count: Option<u64>,
    /// Whether entries that are in the stream but not pending become pending.
    pub force: bool,
}

impl Batch<'_> {
    /// Gives pending entries back to their group; returns how many.
    ///
    /// # Errors
    ///
    /// [`NoSuchKey`](crate::Error::NoSuchKey), [`NoSuchGroup`](crate::Error::NoSuchGroup),
    /// [`TooLarge`](crate::Error::TooLarge).
    pub fn give_back(
        &mut self,
        db: u8,
        key: &[u8],
        group: &[u8],
        give_back: &GiveBack<'_>,
    ) -> Result<u64> {
        let (slot, group) = self.find_group(db, key, group)?;
        let (index, log) = (&self.stream_in(slot).index, &self.guard.log);
        let pending = &self.group_in(slot, group).pending;
        let mut entries = Vec::new();
        let mut counts = HashMap::new();
        for &id in give_back.ids {
            let held = pending.find(id).map(|slot| pending.get(slot));
            let count = match (counts.get(&id), held) {
                (Some(&count), _) => count,
                (None, Some(held)) => held.delivery_count,
                (None, None) if give_back.force && index.find(id, log)?.is_some() => 0,
                (None, None) => continue,
            };
            let delivery_count = give_back.delivery_count.unwrap_or(match give_back.fault {
                Fault::None => count.saturating_sub(1),
                Fault::Consumer => count,
                Fault::Entry => DELIVERY_COUNT_MAX,
            });
            counts.insert(id, delivery_count);
            entries.push(GivenBack { id, delivery_count });
        }
        if entries.is_empty() {
            return Ok(0);
        }
        self.admit(lists_len_max(entries.len()), Growth::Shrinks)?;
        for entries in entries.chunks(RECORD_IDS_MAX) {
            let entries = entries.into();
            self.commit_to_group((slot, group), GroupChange::GivenBack { entries });
        }
        self.count(entries.len() as u64);
        Ok(entries.len() as u64)
    }
}

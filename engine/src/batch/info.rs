//! Operations that only tell: groups, consumers and what is pending.

use super::{Batch, StreamInfo};
use crate::entries::Entries;
use crate::error::Result;
use crate::id::EntryId;

/// What is pending in a group, in short.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PendingSummary {
    /// Number of pending entries.
    pub count: u64,
    /// The lowest and the highest pending ID; `None` if nothing is pending.
    pub bounds: Option<(EntryId, EntryId)>,
    /// The consumers that have pending entries, with their number, ordered by name.
    pub consumers: Vec<(Vec<u8>, u64)>,
}

/// Which pending entries to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingFilter<'a> {
    /// Only entries that were delivered at least this long ago.
    pub min_idle_ms: u64,
    /// The lowest ID.
    pub start: EntryId,
    /// The highest ID.
    pub end: EntryId,
    /// Most entries to list.
    pub count: usize,
    /// Only those of this consumer.
    pub consumer: Option<&'a [u8]>,
}

/// A pending entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingInfo {
    /// The entry's ID.
    pub id: EntryId,
    /// The consumer that it was last delivered to.
    pub consumer: Vec<u8>,
    /// When, in milliseconds since the Unix epoch.
    pub delivered_ms: u64,
    /// Milliseconds since then.
    pub idle_ms: u64,
    /// How often it was delivered.
    pub delivery_count: u64,
}

/// A group's counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupInfo {
    /// Its name.
    pub name: Vec<u8>,
    /// Number of consumers.
    pub consumers: usize,
    /// Number of pending entries.
    pub pending: u64,
    /// The group's cursor.
    pub last_delivered_id: EntryId,
    /// Entries read up to the cursor, if that is known.
    pub entries_read: Option<u64>,
    /// Entries not yet delivered; `None` where Redis would not know either.
    pub lag: Option<u64>,
}

/// A consumer's counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerInfo {
    /// Its name.
    pub name: Vec<u8>,
    /// Number of entries pending for it.
    pub pending: u64,
    /// When it last asked for something, in milliseconds since the Unix epoch.
    pub seen_ms: u64,
    /// When it last got something; `None` if never.
    pub active_ms: Option<u64>,
}

/// All about a stream, its groups and consumers.
#[derive(Debug)]
pub struct StreamFull {
    /// The stream's counters.
    pub info: StreamInfo,
    /// Its first entries.
    pub entries: Entries,
    /// Its groups, ordered by name.
    pub groups: Vec<GroupFull>,
}

/// All about a group.
#[derive(Clone, Debug)]
pub struct GroupFull {
    /// The group's counters.
    pub info: GroupInfo,
    /// Its first pending entries.
    pub pending: Vec<PendingInfo>,
    /// Its consumers, ordered by name.
    pub consumers: Vec<ConsumerFull>,
}

/// All about a consumer.
#[derive(Clone, Debug)]
pub struct ConsumerFull {
    /// The consumer's counters.
    pub info: ConsumerInfo,
    /// The first entries pending for it.
    pub pending: Vec<PendingInfo>,
}

impl Batch<'_> {
    /// What is pending in a group, in short.
    ///
    /// # Errors
    ///
    /// [`NoSuchKey`](crate::Error::NoSuchKey), [`NoSuchGroup`](crate::Error::NoSuchGroup).
    pub fn pending_summary(&mut self, db: u8, key: &[u8], group: &[u8]) -> Result<PendingSummary> {
        let _ = (db, key, group);
        todo!()
    }

    /// Pending entries in the order of their IDs.
    ///
    /// # Errors
    ///
    /// [`NoSuchKey`](crate::Error::NoSuchKey), [`NoSuchGroup`](crate::Error::NoSuchGroup).
    pub fn pending_range(
        &mut self,
        db: u8,
        key: &[u8],
        group: &[u8],
        filter: &PendingFilter<'_>,
    ) -> Result<Vec<PendingInfo>> {
        let _ = (db, key, group, filter);
        todo!()
    }

    /// The groups of a stream, ordered by name.
    ///
    /// # Errors
    ///
    /// [`NoSuchKey`](crate::Error::NoSuchKey).
    pub fn groups(&mut self, db: u8, key: &[u8]) -> Result<Vec<GroupInfo>> {
        let _ = (db, key);
        todo!()
    }

    /// The consumers of a group, ordered by name.
    ///
    /// # Errors
    ///
    /// [`NoSuchKey`](crate::Error::NoSuchKey), [`NoSuchGroup`](crate::Error::NoSuchGroup).
    pub fn consumers(&mut self, db: u8, key: &[u8], group: &[u8]) -> Result<Vec<ConsumerInfo>> {
        let _ = (db, key, group);
        todo!()
    }

    /// All about a stream; each list is cut at `count` items if given.
    ///
    /// # Errors
    ///
    /// [`NoSuchKey`](crate::Error::NoSuchKey).
    pub fn stream_full(&mut self, db: u8, key: &[u8], count: Option<usize>) -> Result<StreamFull> {
        let _ = (db, key, count);
        todo!()
    }
}

//! Operations on entries: add, trim, delete, read.

use super::Batch;
use crate::entries::Entries;
use crate::error::Result;
use crate::id::EntryId;

/// The ID that a new entry asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewId {
    /// `*`: made of the time, above the last one in any case.
    Auto,
    /// `ms-*`: the next sequence number of the given millisecond.
    AutoSeq(u64),
    /// A full ID; it must be above the last one.
    Given(EntryId),
}

/// What a trim keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrimStrategy {
    /// The newest entries, this many.
    MaxLen(u64),
    /// Entries with this ID or a larger one.
    MinId(EntryId),
}

/// How to trim a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trim {
    /// What stays.
    pub strategy: TrimStrategy,
    /// Whether only whole logical nodes are removed.
    pub approximate: bool,
    /// Most entries to remove in an approximate trim; `None` or 0 sets no bound.
    pub limit: Option<u64>,
}

/// A range of entries; both ends are inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The lowest ID.
    pub start: EntryId,
    /// The highest ID.
    pub end: EntryId,
    /// Whether to begin with the highest.
    pub reverse: bool,
    /// Most entries to return.
    pub count: Option<usize>,
}

/// A stream's counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamInfo {
    /// Entries in the stream.
    pub length: u64,
    /// The last ID that was generated or given.
    pub last_id: EntryId,
    /// The highest ID that was deleted one by one; trimming does not count.
    pub max_deleted_id: EntryId,
    /// Entries ever added.
    pub entries_added: u64,
    /// The ID of the first entry; `0-0` if there is none.
    pub first_id: EntryId,
    /// Logical nodes.
    pub nodes: usize,
    /// Consumer groups.
    pub groups: usize,
}

/// New values of a stream's counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counters {
    /// The last generated ID.
    pub last_id: EntryId,
    /// Entries ever added; kept if `None`.
    pub entries_added: Option<u64>,
    /// The highest deleted ID; kept if `None`.
    pub max_deleted_id: Option<EntryId>,
}

impl Batch<'_> {
    /// The stream's counters; `None` if there is no such key.
    pub fn stream(&mut self, db: u8, key: &[u8]) -> Option<StreamInfo> {
        let _ = (db, key);
        todo!()
    }

    /// Makes an empty stream; nothing happens if the key exists.
    pub fn create_stream(&mut self, db: u8, key: &[u8]) -> Result<()> {
        let _ = (db, key);
        todo!()
    }

    /// Appends an entry of the given fields and values, and makes the stream if there is none.
    ///
    /// # Errors
    ///
    /// [`IdTooSmall`](crate::Error::IdTooSmall), [`IdExhausted`](crate::Error::IdExhausted),
    /// [`TooLarge`](crate::Error::TooLarge), [`DiskFull`](crate::Error::DiskFull),
    /// [`Poisoned`](crate::Error::Poisoned). Nothing was changed then, and no stream was made.
    pub fn add(&mut self, db: u8, key: &[u8], id: NewId, fields: &[&[u8]]) -> Result<EntryId> {
        let _ = (db, key, id, fields);
        todo!()
    }

    /// Removes entries at the head; returns how many. 0 if there is no such key.
    pub fn trim(&mut self, db: u8, key: &[u8], trim: Trim) -> Result<u64> {
        let _ = (db, key, trim);
        todo!()
    }

    /// Deletes the entries with these IDs; returns how many there were. Pending entries stay pending.
    pub fn delete_entries(&mut self, db: u8, key: &[u8], ids: &[EntryId]) -> Result<u64> {
        let _ = (db, key, ids);
        todo!()
    }

    /// Sets the stream's counters as told; the caller has checked that they make sense.
    ///
    /// # Errors
    ///
    /// [`NoSuchKey`](crate::Error::NoSuchKey).
    pub fn set_counters(&mut self, db: u8, key: &[u8], counters: Counters) -> Result<()> {
        let _ = (db, key, counters);
        todo!()
    }

    /// Plans a range read; `None` if there is no such key.
    pub fn range(&mut self, db: u8, key: &[u8], range: Range) -> Result<Option<Entries>> {
        let _ = (db, key, range);
        todo!()
    }

    /// Plans a read of the last entry; empty if the stream is, `None` if there is no such key.
    pub fn last_entry(&mut self, db: u8, key: &[u8]) -> Result<Option<Entries>> {
        let _ = (db, key);
        todo!()
    }
}

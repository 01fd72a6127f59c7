//! Operations on entries: add, trim, delete, read.

use super::cold::ahead;
use super::references::{RefPolicy, Removal};
use super::{Batch, Fits, check_len, deliver, trim};
use crate::engine::Core;
use crate::entries::Entries;
use crate::error::{Error, Result};
use crate::format::entry::{self, NewEntry};
use crate::format::record::{Record, StreamChange, lists_len_max};
use crate::id::EntryId;
use crate::index::{Index, Position};
use crate::limits::{ENTRY_LEN_MAX, FRAME_PAYLOAD_MAX, KEY_LEN_MAX, NODE_ENTRIES_MAX};
use crate::log::{Growth, Log};
use crate::stream::Stream;

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
    /// What groups that refer to the entries mean to it.
    pub references: RefPolicy,
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
        let slot = self.find(db, key)?;
        Some(info_of(self.stream_in(slot)))
    }

    /// Makes an empty stream; nothing happens if the key exists.
    pub fn create_stream(&mut self, db: u8, key: &[u8]) -> Result<()> {
        if self.find(db, key).is_none() {
            let created = self.new_stream(db, key)?;
            self.admit(made_len_max(&created), Growth::Grows)?;
            self.commit_made(&created);
            self.find_used(db, key);
            self.count(1);
        }
        Ok(())
    }

    /// Appends an entry of the given fields and values, and makes the stream if there is none.
    ///
    /// # Errors
    ///
    /// [`IdTooSmall`](crate::Error::IdTooSmall), [`IdExhausted`](crate::Error::IdExhausted),
    /// [`TooLarge`](crate::Error::TooLarge), [`DiskFull`](crate::Error::DiskFull),
    /// [`Poisoned`](crate::Error::Poisoned). Nothing was changed then, and no stream was made.
    #[expect(
        clippy::missing_panics_doc,
        reason = "a stream that was made under this lock is found under it"
    )]
    pub fn add(&mut self, db: u8, key: &[u8], id: NewId, fields: &[&[u8]]) -> Result<EntryId> {
        let body_len = check_fields(fields)?;
        let slot = self.find_used(db, key);
        let id = match slot {
            Some(slot) => next_id(self.stream_in(slot).last_id, id, self.now_ms)?,
            None => next_id(EntryId::MIN, id, self.now_ms)?,
        };
        let record_len = entry::record_len_max(body_len);
        let slot = if let Some(slot) = slot {
            self.admit(record_len, Growth::Grows)?;
            slot
        } else {
            let created = self.new_stream(db, key)?;
            self.admit(record_len + made_len_max(&created), Growth::Grows)?;
            self.commit_made(&created);
            self.find_used(db, key).expect("it was made just now")
        };
        let addition = Addition {
            slot,
            id,
            node: NodeChoice::ByCount,
        };
        let put = |out: &mut Vec<u8>, head| entry::put(out, head, body_len, fields);
        self.append_entry(addition, put, record_len);
        self.count(1);
        self.retain_added(slot, record_len);
        Ok(id)
    }

    /// Removes the oldest entries; returns how many. 0 if there is no such key.
    pub fn trim(&mut self, db: u8, key: &[u8], trim: Trim) -> Result<u64> {
        let Some(slot) = self.find_used(db, key) else {
            return Ok(0);
        };
        let (stream, log) = (self.stream_in(slot), &self.guard.log);
        let index = &stream.index;
        let mut removal = Removal::default();
        if trim.references == RefPolicy::Acked && stream.group_count() > 0 {
            removal = trim::unreferenced(stream, trim, log)?;
        } else {
            removal.head = trim::count(index, trim, log)?;
        }
        let removed = removal.head + removal.entries.len() as u64;
        if trim.references == RefPolicy::Drop && removed > 0 {
            let first = index.id(index.advance(Position::START, removed), log)?;
            removal.dropped = self.pending_below(slot, first)?;
        }
        self.remove_decided(slot, &removal, false)?;
        Ok(removed)
    }

    /// Looks ahead of an addition for what a trim behind it will need: the addition cannot be run
    /// again.
    ///
    /// # Errors
    ///
    /// [`Cold`](crate::Error::Cold) only.
    pub fn foresee_trim(&mut self, db: u8, key: &[u8], trim: Trim) -> Result<()> {
        if !self.asks || self.guard.state.sorted.is_empty() {
            return Ok(());
        }
        let Some(slot) = self.find(db, key) else {
            return Ok(());
        };
        let (index, log) = (&self.stream_in(slot).index, &self.guard.log);
        // What must respect references goes by more than can be foreseen.
        if index.runs().is_none() || trim.references == RefPolicy::Acked {
            return Ok(());
        }
        let strategy = match trim.strategy {
            TrimStrategy::MaxLen(length) => TrimStrategy::MaxLen(length.saturating_sub(1)),
            by_id @ TrimStrategy::MinId(_) => by_id,
        };
        let head = trim::count(index, Trim { strategy, ..trim }, log);
        let first = head.and_then(|head| index.id(index.advance(Position::START, head), log));
        match first {
            Err(Error::Cold) => Err(Error::Cold),
            _ => Ok(()),
        }
    }

    /// Deletes the entries with these IDs; returns how many there were. Pending entries stay
    /// pending.
    pub fn delete_entries(&mut self, db: u8, key: &[u8], ids: &[EntryId]) -> Result<u64> {
        let Some(slot) = self.find_used(db, key) else {
            return Ok(0);
        };
        let (index, log) = (&self.stream_in(slot).index, &self.guard.log);
        let mut removal = Removal::default();
        for &id in ids {
            let found = index.find(id, log);
            let found = found.map_err(|it| ahead(it, (index, log), ids.iter().copied()))?;
            removal.entries.extend(found.map(|position| (id, position)));
        }
        removal.entries.sort_unstable();
        removal.entries.dedup();
        let count = removal.entries.len() as u64;
        self.remove_decided(slot, &removal, true)?;
        Ok(count)
    }

    /// Sets the stream's counters as told; the caller has checked that they make sense.
    ///
    /// # Errors
    ///
    /// [`NoSuchKey`](crate::Error::NoSuchKey).
    pub fn set_counters(&mut self, db: u8, key: &[u8], counters: Counters) -> Result<()> {
        let slot = self.find_used(db, key).ok_or(Error::NoSuchKey)?;
        let stream = self.stream_in(slot);
        let change = StreamChange::CountersSet {
            last_id: counters.last_id,
            entries_added: counters.entries_added.unwrap_or(stream.entries_added),
            max_deleted: counters.max_deleted_id.unwrap_or(stream.max_deleted()),
        };
        self.change(slot, change, Growth::Shrinks)?;
        self.count(1);
        Ok(())
    }

    /// Plans a range read; `None` if there is no such key.
    pub fn range(&mut self, db: u8, key: &[u8], range: Range) -> Result<Option<Entries>> {
        let Some(slot) = self.find_used(db, key) else {
            return Ok(None);
        };
        let (index, log) = (&self.stream_in(slot).index, &self.guard.log);
        let mut entries = Entries::default();
        if range.start <= range.end && index.len() > 0 && range.count != Some(0) {
            let (from, to) = if range.reverse {
                last_in_range(index, range, log)?
            } else {
                first_in_range(index, range, log)?
            };
            if from < to {
                entries.push_range(index, from, to, log)?;
            }
            if range.reverse {
                entries.reverse();
            }
        }
        Ok(Some(entries))
    }

    /// Like [`Batch::range`], from the lowest ID on, and ends before the first entry that does not
    /// fit.
    pub fn range_that_fits(
        &mut self,
        db: u8,
        key: &[u8],
        range: Range,
        fits: Fits<'_>,
    ) -> Result<Option<Entries>> {
        let Some(slot) = self.find_used(db, key) else {
            return Ok(None);
        };
        let (index, log) = (&self.stream_in(slot).index, &self.guard.log);
        let (from, to) = first_in_range(index, range, log)?;
        let mut entries = Entries::default();
        let to = deliver::first_unfit((from, to), index, log, &mut Some(fits))?;
        entries.push_range(index, from, to, log)?;
        Ok(Some(entries))
    }

    /// Like [`Batch::last_entry`], but empty if that does not fit.
    pub fn last_entry_that_fits(
        &mut self,
        db: u8,
        key: &[u8],
        fits: Fits<'_>,
    ) -> Result<Option<Entries>> {
        let Some(slot) = self.find_used(db, key) else {
            return Ok(None);
        };
        let (index, log) = (&self.stream_in(slot).index, &self.guard.log);
        let mut entries = Entries::default();
        if let Some(last) = index.previous(index.end()) {
            let to = deliver::first_unfit((last, index.end()), index, log, &mut Some(fits))?;
            entries.push_range(index, last, to, log)?;
        }
        Ok(Some(entries))
    }

    /// Plans a read of the last entry; empty if the stream is, `None` if there is no such key.
    pub fn last_entry(&mut self, db: u8, key: &[u8]) -> Result<Option<Entries>> {
        let whole = Range {
            start: EntryId::MIN,
            end: EntryId::MAX,
            reverse: true,
            count: Some(1),
        };
        self.range(db, key, whole)
    }

    /// The record that makes a stream.
    pub(super) fn new_stream<'k>(&mut self, db: u8, key: &'k [u8]) -> Result<Record<'k>> {
        check_len("key", key, KEY_LEN_MAX)?;
        let db = self.physical(db).ok_or(Error::NoSuchKey)?;
        let stream = self.guard.state.keyspace.free_number();
        Ok(Record::Stream {
            stream,
            change: StreamChange::Created { db, key },
        })
    }

    /// Logs that a stream is made, with what it remembers of producers; it was admitted.
    fn commit_made(&mut self, created: &Record<'_>) {
        self.commit(created);
        if let Record::Stream { stream, .. } = *created {
            self.commit_producer_defaults(stream);
        }
    }

    /// Logs and applies an entry that was admitted; `put` encodes at most `len_max` bytes.
    pub(super) fn append_entry(
        &mut self,
        Addition { slot, id, node }: Addition,
        put: impl FnOnce(&mut Vec<u8>, NewEntry),
        len_max: usize,
    ) {
        self.stop_asking();
        let stream = self.stream_in(slot);
        let number = stream.number;
        let entries_max = match node {
            NodeChoice::Starts => 0,
            NodeChoice::ByCount => self.guard.state.node_entries_max,
            NodeChoice::GoesOn => NODE_ENTRIES_MAX,
        };
        let Core { state, log, .. } = &mut *self.guard;
        // The entry lies at the end of the log or, if a segment ends there, a little behind it.
        let reach = log.end().plus(NODE_REACH_MARGIN + len_max as u64);
        let stream = state
            .keyspace
            .stream(slot)
            .expect("the slot was just found");
        let starts_node = stream.index.must_start_node(reach, entries_max);
        let mut len = 0;
        let lsn = log.append(len_max, |out, lsn| {
            let start = out.len();
            let head = NewEntry {
                lsn,
                stream: number,
                id,
                starts_node,
            };
            put(out, head);
            len = out.len() - start;
        });
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        let change = StreamChange::EntryAdded {
            id,
            starts_node,
            len,
        };
        let record = Record::Stream {
            stream: number,
            change,
        };
        state
            .apply(&record, lsn, log)
            .expect("a record of our own making fits the state");
        self.has_written = true;
    }
}

/// The most bytes of the records that make a stream.
fn made_len_max(created: &Record<'_>) -> usize {
    created.len_max() + lists_len_max(1)
}

/// An entry that is about to be added.
pub(super) struct Addition {
    pub(super) slot: u32,
    pub(super) id: EntryId,
    pub(super) node: NodeChoice,
}

/// Which logical node a new entry goes into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NodeChoice {
    /// One of its own.
    Starts,
    /// The last one, as long as that has fewer entries than a node takes by the setting.
    ByCount,
    /// The last one, as long as no limit is in the way.
    GoesOn,
}

impl NodeChoice {
    /// What puts an entry where it was in another stream.
    pub(super) fn starting(starts_node: bool) -> Self {
        if starts_node {
            Self::Starts
        } else {
            Self::GoesOn
        }
    }
}

/// How far behind the end of the log a new entry may lie: behind the open frame and what is left of
/// a segment.
const NODE_REACH_MARGIN: u64 = 3 << 30;
const _: () = assert!(FRAME_PAYLOAD_MAX as u64 * 2 < NODE_REACH_MARGIN);

/// A stream's counters.
pub(super) fn info_of(stream: &Stream) -> StreamInfo {
    StreamInfo {
        length: stream.index.len(),
        last_id: stream.last_id,
        max_deleted_id: stream.max_deleted(),
        entries_added: stream.entries_added,
        first_id: stream.index.first_id(),
        nodes: stream.index.node_count(),
        groups: stream.group_count(),
    }
}

/// Length of the body that the fields make.
pub(super) fn check_fields(fields: &[&[u8]]) -> Result<usize> {
    let size = fields.iter().map(|field| field.len() as u64).sum::<u64>();
    if size > ENTRY_LEN_MAX as u64 {
        return Err(Error::TooLarge {
            what: "entry",
            size,
            limit: ENTRY_LEN_MAX as u64,
        });
    }
    Ok(entry::body_len(fields))
}

/// The ID of the next entry of a stream whose last one is `last`.
fn next_id(last: EntryId, asked: NewId, now_ms: u64) -> Result<EntryId> {
    if last == EntryId::MAX {
        return Err(Error::IdExhausted);
    }
    let id = match asked {
        NewId::Auto if now_ms > last.ms => EntryId::new(now_ms, 0),
        NewId::Auto => last.next().ok_or(Error::IdExhausted)?,
        NewId::AutoSeq(ms) if ms != last.ms => EntryId::new(ms, 0),
        NewId::AutoSeq(ms) => EntryId::new(ms, last.seq.checked_add(1).ok_or(Error::IdTooSmall)?),
        NewId::Given(id) => id,
    };
    if id > last {
        Ok(id)
    } else {
        Err(Error::IdTooSmall)
    }
}

/// The first entries of a range, as positions from and to.
fn first_in_range(index: &Index, range: Range, log: &Log) -> Result<(Position, Position)> {
    let from = index.lower_bound(range.start, log);
    let from = from.map_err(|error| ahead(error, (index, log), [range.end]))?;
    if let Some(count) = range.count {
        let to = index.advance(from, count as u64);
        if range.end == EntryId::MAX {
            return Ok((from, to));
        }
        // If the last entry that may be returned is in the range, all before it are.
        let last = index.previous(to).filter(|&last| last >= from);
        let last = last.map(|last| index.id(last, log)).transpose()?.flatten();
        if last.is_none_or(|last| last <= range.end) {
            return Ok((from, to));
        }
    }
    Ok((from, end_of(index, range, log)?))
}

/// The last entries of a range, as positions from and to.
fn last_in_range(index: &Index, range: Range, log: &Log) -> Result<(Position, Position)> {
    let to = end_of(index, range, log);
    let to = to.map_err(|error| ahead(error, (index, log), [range.start]))?;
    if let Some(count) = range.count {
        let from = index.retreat(to, count as u64);
        if index
            .id(from, log)?
            .is_some_and(|first| first >= range.start)
        {
            return Ok((from, to));
        }
    }
    Ok((index.lower_bound(range.start, log)?, to))
}

/// The position behind the last entry of a range.
fn end_of(index: &Index, range: Range, log: &Log) -> Result<Position> {
    match range.end.next() {
        Some(behind) => index.lower_bound(behind, log),
        None => Ok(index.end()),
    }
}

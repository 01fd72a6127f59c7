//! Entries that go although, or only if, groups do not refer to them any more.
//!
//! A group *refers* to an entry that it has not delivered yet, or that is pending in it. What is
//! found out here is logged as it came out: entries that were deleted, pending entries that were
//! dropped; so a replay needs no policy.

use super::Batch;
use super::cold::ahead;
use crate::error::{Error, Result};
use crate::format::record::{GroupChange, StreamChange, lists_len_max};
use crate::group::Pending;
use crate::id::EntryId;
use crate::index::Position;
use crate::limits::RECORD_IDS_MAX;
use crate::log::Growth;
use crate::lsn::Lsn;
use crate::stream::Stream;

/// What the groups that refer to an entry mean to its removal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RefPolicy {
    /// Nothing: what is pending stays pending.
    #[default]
    Keep,
    /// They let go: it is no longer pending in any group.
    Drop,
    /// The entry stays as long as a group refers to it.
    Acked,
}

/// Which entries to delete, and what groups that refer to them mean to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delete<'a> {
    /// The entries.
    pub ids: &'a [EntryId],
    /// What their groups mean to it.
    pub references: RefPolicy,
}

/// What became of an entry that was to be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// It is gone.
    Deleted,
    /// It was not there; of an acknowledgement: it was not pending.
    NotFound,
    /// It stays, because a group refers to it.
    Referenced,
}

/// An entry by ID and by its place in the index.
pub(super) type Placed = (EntryId, Position);

/// Removals that were decided on and are not logged yet.
#[derive(Default)]
pub(super) struct Removal {
    /// Entries at the head, counted.
    pub(super) head: u64,
    /// Entries behind them, in order.
    pub(super) entries: Vec<Placed>,
    /// Pending entries that go, by group, in any order.
    pub(super) dropped: Vec<(u32, Vec<EntryId>)>,
}

impl Batch<'_> {
    /// Deletes the entries with these IDs as the policy says; tells what became of each.
    ///
    /// # Errors
    ///
    /// [`NoSuchKey`](crate::Error::NoSuchKey), [`TooLarge`](crate::Error::TooLarge).
    pub fn delete_with(&mut self, db: u8, key: &[u8], delete: Delete<'_>) -> Result<Vec<Deletion>> {
        let slot = self.find_used(db, key).ok_or(Error::NoSuchKey)?;
        let mut removal = Removal::default();
        let outcomes = self.decide_all(slot, None, delete, &mut removal)?;
        self.remove_decided(slot, &removal, true)?;
        Ok(outcomes)
    }

    /// Acknowledges the entries with these IDs in a group and deletes them as the policy says;
    /// tells what became of each.
    ///
    /// # Errors
    ///
    /// [`NoSuchKey`](crate::Error::NoSuchKey), [`NoSuchGroup`](crate::Error::NoSuchGroup),
    /// [`TooLarge`](crate::Error::TooLarge).
    pub fn ack_and_delete(
        &mut self,
        db: u8,
        key: &[u8],
        group: &[u8],
        delete: Delete<'_>,
    ) -> Result<Vec<Deletion>> {
        let (slot, group) = self.find_group(db, key, group)?;
        let mut removal = Removal::default();
        let outcomes = self.decide_all(slot, Some(group), delete, &mut removal)?;
        self.remove_decided(slot, &removal, true)?;
        Ok(outcomes)
    }

    /// Decides about entries one after the other: an ID that is named twice may be gone the second
    /// time.
    fn decide_all(
        &self,
        slot: u32,
        acked_in: Option<u32>,
        Delete { ids, references }: Delete<'_>,
        removal: &mut Removal,
    ) -> Result<Vec<Deletion>> {
        let mut outcomes = vec![Deletion::NotFound; ids.len()];
        let mut order: Vec<usize> = (0..ids.len()).collect();
        order.sort_by_key(|&at| ids[at]);
        let mut before = None;
        for at in order {
            outcomes[at] = match before {
                Some((id, outcome)) if id == ids[at] => match (outcome, acked_in) {
                    (Deletion::Referenced, None) => Deletion::Referenced,
                    _ => Deletion::NotFound,
                },
                _ => {
                    let decided = self.decide(slot, acked_in, (ids[at], references), removal);
                    let place = (&self.stream_in(slot).index, &self.guard.log);
                    decided.map_err(|error| ahead(error, place, ids.iter().copied()))?
                }
            };
            before = Some((ids[at], outcomes[at]));
        }
        Ok(outcomes)
    }

    /// Decides about one entry; `acked_in`: the group in which it must be pending.
    fn decide(
        &self,
        slot: u32,
        acked_in: Option<u32>,
        (id, references): (EntryId, RefPolicy),
        removal: &mut Removal,
    ) -> Result<Deletion> {
        let stream = self.stream_in(slot);
        if acked_in.is_some_and(|group| !is_pending(stream, group, id)) {
            return Ok(Deletion::NotFound);
        }
        for (group, _, held) in stream.groups() {
            let goes = references == RefPolicy::Drop || acked_in == Some(group);
            if goes && held.pending.find(id).is_some() {
                removal.drop_pending(group, id);
            }
        }
        // A group refers to what it has not delivered, be it there or not.
        if references == RefPolicy::Acked && refers(stream, id, acked_in) {
            return Ok(Deletion::Referenced);
        }
        let Some(position) = stream.index.find(id, &self.guard.log)? else {
            // What was acknowledged, and is gone already, is what was wanted.
            let was_pending = acked_in.is_some();
            return Ok(if was_pending {
                Deletion::Deleted
            } else {
                Deletion::NotFound
            });
        };
        removal.entries.push((id, position));
        Ok(Deletion::Deleted)
    }

    /// Logs removals. `counts`: the deletions show in the stream's highest deleted ID.
    pub(super) fn remove_decided(
        &mut self,
        slot: u32,
        removal: &Removal,
        counts: bool,
    ) -> Result<()> {
        let dropped = removal.dropped.iter().map(|(_, ids)| ids.len());
        let lists = [removal.entries.len()].into_iter().chain(dropped.clone());
        let len = lists_len_max(1) + lists.map(lists_len_max).sum::<usize>();
        let mutations = removal.head + (removal.entries.len() + dropped.sum::<usize>()) as u64;
        if mutations == 0 {
            return Ok(());
        }
        self.admit(len, Growth::Shrinks)?;
        // From the last on: removing entries does not move those before them.
        for part in removal.entries.chunks(RECORD_IDS_MAX).rev() {
            self.delete_found(slot, part, counts)?;
        }
        if removal.head > 0 {
            let (index, log) = (&self.stream_in(slot).index, &self.guard.log);
            let first = index.id(index.advance(Position::START, removal.head), log)?;
            self.commit_to_stream(
                slot,
                StreamChange::Trimmed {
                    count: removal.head,
                    first: first.unwrap_or_default(),
                },
            );
        }
        for (group, ids) in &removal.dropped {
            for ids in ids.chunks(RECORD_IDS_MAX) {
                self.commit_to_group((slot, *group), GroupChange::Acked { ids: ids.into() });
            }
        }
        self.count(mutations);
        Ok(())
    }

    /// Deletes entries that were found, in order; they were admitted.
    fn delete_found(&mut self, slot: u32, entries: &[Placed], counts: bool) -> Result<()> {
        let (stream, log) = (self.stream_in(slot), &self.guard.log);
        let index = &stream.index;
        let highest = entries.last().map_or(EntryId::MIN, |&(id, _)| id);
        let mut first = Position::START;
        let is_deleted = |at: Position| entries.binary_search_by_key(&at, |&(_, at)| at).is_ok();
        while is_deleted(first) {
            first = index.next(first);
        }
        // What lies in a run has no place in the log any more; it is found by its ID.
        let place = |&(id, at): &Placed| (id, index.lsn(at).unwrap_or(Lsn::ZERO));
        let listed: Vec<_> = entries.iter().map(place).collect();
        let max_deleted = stream.max_deleted();
        let change = StreamChange::EntriesDeleted {
            max_deleted: if counts {
                max_deleted.max(highest)
            } else {
                max_deleted
            },
            first: index.id(first, log)?.unwrap_or_default(),
            entries: listed.into(),
        };
        self.commit_to_stream(slot, change);
        Ok(())
    }

    /// The pending entries that go when all entries below `first` (all there are, if `None`) are
    /// trimmed.
    pub(super) fn pending_below(
        &self,
        slot: u32,
        first: Option<EntryId>,
    ) -> Result<Vec<(u32, Vec<EntryId>)>> {
        let (stream, log) = (self.stream_in(slot), &self.guard.log);
        let start = stream.index.first_id();
        let mut dropped = Vec::new();
        for (number, _, group) in stream.groups() {
            let mut ids = Vec::new();
            let below = group.pending.from(start);
            for &Pending { id, .. } in
                below.take_while(|held| first.is_none_or(|first| held.id < first))
            {
                // A pending entry that was deleted before is not part of the trim.
                let is_there = || {
                    let found = stream.index.find(id, log);
                    let others = group.pending.from(id).map(|held| held.id);
                    found.map_err(|error| ahead(error, (&stream.index, log), others))
                };
                if stream.surely_has(id) || is_there()?.is_some() {
                    ids.push(id);
                }
            }
            dropped.push((number, ids));
        }
        Ok(dropped)
    }
}

impl Removal {
    fn drop_pending(&mut self, group: u32, id: EntryId) {
        let at = self.dropped.iter().position(|&(number, _)| number == group);
        let at = at.unwrap_or_else(|| {
            self.dropped.push((group, Vec::new()));
            self.dropped.len() - 1
        });
        self.dropped[at].1.push(id);
    }
}

fn is_pending(stream: &Stream, group: u32, id: EntryId) -> bool {
    let group = stream.group(group);
    group.is_some_and(|group| group.pending.find(id).is_some())
}

/// Whether a group has yet to deliver an entry, or it is pending in one other than `acked_in`.
fn refers(stream: &Stream, id: EntryId, acked_in: Option<u32>) -> bool {
    stream.groups().any(|(number, _, group)| {
        let is_pending = acked_in != Some(number) && group.pending.find(id).is_some();
        is_pending || id > group.cursor
    })
}

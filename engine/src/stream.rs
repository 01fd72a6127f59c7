//! A stream: counters, the index of its entries, its groups.
//!
//! [`Stream::apply`] is the only place where a stream changes. A stream is small as long as it is
//! idle: whatever only some streams have (groups, an expiry, tombstones) is in one box.

use std::collections::VecDeque;
use std::hint::black_box;

use crate::Lsn;
use crate::format::record::StreamChange;
use crate::group::{Contradiction, Group};
use crate::id::EntryId;
use crate::index::{Index, Node};
use crate::log::Log;
use crate::names::Names;
use crate::producers::{Producers, Settings};
use crate::retention::{Place, Retention};

/// A stream.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    /// Its number in the log, never used again.
    pub(crate) number: u64,
    pub(crate) key: Box<[u8]>,
    /// The last ID that was generated, given or set.
    pub(crate) last_id: EntryId,
    /// Entries ever added.
    pub(crate) entries_added: u64,
    /// Behind the last change: what a reply that has seen this stream depends on. After a restart,
    /// what the checkpoint covers: records below are in it already.
    pub(crate) modified: Lsn,
    /// When it was last used, in seconds since the Unix epoch; not logged.
    pub(crate) used_s: u32,
    /// Its database, by physical number.
    pub(crate) db: u8,
    pub(crate) index: Index,
    /// Where it waits to be looked at.
    pub(crate) place: Place,
    extra: Option<Box<Extra>>,
}

/// What only some streams have.
#[derive(Clone, Debug, Default)]
struct Extra {
    max_deleted: EntryId,
    /// The highest ID that was ever deleted one by one: not lowered by XSETID, unlike
    /// `max_deleted`.
    tombstone: EntryId,
    expiry_ms: Option<u64>,
    groups: Names<Group>,
    producers: Option<Box<Producers>>,
    retention: Retention,
    /// How many bytes may be added before they are counted; not logged.
    bytes_left: u64,
}

/// With so many parts of the index it is worth noting when its bytes are to be counted next.
const MANY_PARTS: usize = 16;

const _: () = assert!(size_of::<Stream>() <= 168);

/// What has more entries or pending entries than this is handed over when it is removed.
pub(crate) const LARGE: usize = if cfg!(test) { 4 } else { 4 << 10 };

impl Stream {
    /// An empty stream.
    pub(crate) fn new(number: u64, db: u8, key: Box<[u8]>) -> Self {
        Self {
            number,
            key,
            last_id: EntryId::MIN,
            entries_added: 0,
            modified: Lsn::ZERO,
            used_s: 0,
            db,
            index: Index::default(),
            place: Place::default(),
            extra: None,
        }
    }

    /// Reads what lies in it without a look behind pointers: four lines of the cache.
    pub(crate) fn warm(&self) {
        black_box((self.number, self.key.len(), self.last_id, self.modified));
        black_box((self.entries_added, self.used_s, self.index.len()));
    }

    /// The highest ID that was deleted one by one, as XSETID may have set it.
    pub(crate) fn max_deleted(&self) -> EntryId {
        self.extra
            .as_ref()
            .map_or(EntryId::MIN, |extra| extra.max_deleted)
    }

    /// The highest ID that was really deleted one by one.
    pub(crate) fn tombstone(&self) -> EntryId {
        self.extra
            .as_ref()
            .map_or(EntryId::MIN, |extra| extra.tombstone)
    }

    pub(crate) fn expiry_ms(&self) -> Option<u64> {
        self.extra.as_ref()?.expiry_ms
    }

    pub(crate) fn group_count(&self) -> usize {
        self.extra.as_ref().map_or(0, |extra| extra.groups.len())
    }

    pub(crate) fn group_number(&self, name: &[u8]) -> Option<u32> {
        self.extra.as_ref()?.groups.find(name)
    }

    pub(crate) fn group(&self, number: u32) -> Option<&Group> {
        self.extra.as_ref()?.groups.get(number)
    }

    pub(crate) fn group_mut(&mut self, number: u32) -> Option<&mut Group> {
        self.extra.as_mut()?.groups.get_mut(number)
    }

    /// The lowest group number that is free.
    pub(crate) fn free_group(&self) -> u32 {
        self.extra
            .as_ref()
            .map_or(0, |extra| extra.groups.free_number())
    }

    /// The groups with number and name, ordered by name.
    pub(crate) fn groups(&self) -> impl Iterator<Item = (u32, &[u8], &Group)> {
        self.extra.iter().flat_map(|extra| extra.groups.iter())
    }

    /// What is remembered of producers; `None` if they or the settings never were out of the
    /// ordinary.
    pub(crate) fn producers(&self) -> Option<&Producers> {
        self.extra.as_ref()?.producers.as_deref()
    }

    /// How much of it is kept, as far as that was set.
    pub(crate) fn retention(&self) -> Retention {
        self.extra
            .as_ref()
            .map_or_else(Retention::default, |extra| extra.retention)
    }

    /// Whether so many bytes more are still among those that may be added before they are counted.
    pub(crate) fn has_bytes_left(&mut self, added: u64) -> bool {
        let Some(extra) = &mut self.extra else {
            return false;
        };
        let left = extra.bytes_left.checked_sub(added);
        extra.bytes_left = left.unwrap_or(0);
        left.is_some()
    }

    /// Notes how many bytes may be added before they are counted; 0 is never wrong.
    pub(crate) fn set_bytes_left(&mut self, bytes: u64) {
        if let Some(extra) = &mut self.extra {
            extra.bytes_left = bytes;
        } else if bytes > 0 && self.index.part_count() >= MANY_PARTS {
            self.extra_mut().bytes_left = bytes;
        }
    }

    fn producers_mut(&mut self) -> &mut Producers {
        self.extra_mut().producers.get_or_insert_default()
    }

    /// Whether an entry that was delivered is still there for sure, without a look at the log.
    pub(crate) fn surely_has(&self, delivered: EntryId) -> bool {
        self.index.len() > 0 && delivered >= self.index.first_id() && delivered > self.tombstone()
    }

    fn extra_mut(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    /// Puts back what a checkpoint holds.
    pub(crate) fn restore_extra(
        &mut self,
        (max_deleted, tombstone): (EntryId, EntryId),
        expiry_ms: Option<u64>,
        groups: Names<Group>,
        producers: Option<Box<Producers>>,
    ) {
        let is_plain = max_deleted == EntryId::MIN && tombstone == EntryId::MIN;
        if !is_plain || expiry_ms.is_some() || groups.len() > 0 || producers.is_some() {
            self.extra = Some(Box::new(Extra {
                max_deleted,
                tombstone,
                expiry_ms,
                groups,
                producers,
                ..Extra::default()
            }));
        }
    }

    /// Puts back how much of it is kept.
    pub(crate) fn restore_retention(&mut self, retention: Retention) {
        self.extra_mut().retention = retention;
    }

    /// Removes a group, which is handed over.
    pub(crate) fn remove_group(&mut self, number: u32) -> Result<Box<Group>, Contradiction> {
        let removed = self.extra_mut().groups.remove(number);
        let removed = removed.map(Box::new);
        removed.ok_or("a record removes a group that does not exist")
    }

    /// Removes `count` entries at the head; `first` is the ID of the first that stays. If these are
    /// many, they are handed over, and their segments do not know yet.
    pub(crate) fn trim(
        &mut self,
        count: u64,
        first: EntryId,
        log: &mut Log,
    ) -> Result<Option<VecDeque<Node>>, Contradiction> {
        let before = self.index.len();
        if count > before {
            return Err("a record trims more entries than there are");
        }
        let is_large = count > LARGE as u64;
        let nodes = is_large.then(|| self.index.take_nodes(count));
        let left = count - (before - self.index.len());
        self.index.trim(left, first, &mut |lsn| log.entry_died(lsn));
        Ok(nodes)
    }

    /// Applies what happened to the stream; not what makes, moves or removes it, a group or its
    /// first entries.
    pub(crate) fn apply(
        &mut self,
        change: &StreamChange<'_>,
        lsn: Lsn,
        log: &mut Log,
    ) -> Result<(), Contradiction> {
        match *change {
            StreamChange::Created { .. }
            | StreamChange::Removed
            | StreamChange::Moved { .. }
            | StreamChange::Trimmed { .. }
            | StreamChange::GroupRemoved { .. } => {
                unreachable!("the state applies these, and keeps what they remove")
            }
            StreamChange::EntryAdded {
                id,
                starts_node,
                len,
            } => {
                self.add_entry(id, starts_node, (lsn, len))?;
                log.entry_lives(lsn);
            }
            StreamChange::ExpirySet { expiry_ms } => self.extra_mut().expiry_ms = expiry_ms,
            StreamChange::EntriesDeleted {
                max_deleted,
                first,
                ref entries,
            } => {
                self.delete_entries(entries, log)?;
                self.index.set_first(first);
                self.extra_mut().max_deleted = max_deleted;
            }
            StreamChange::EntriesMissing { count, highest } => {
                self.count_missing(count, highest)?;
            }
            StreamChange::CountersSet {
                last_id,
                entries_added,
                max_deleted,
            } => {
                self.last_id = last_id;
                self.entries_added = entries_added;
                if max_deleted != self.max_deleted() {
                    self.extra_mut().max_deleted = max_deleted;
                }
            }
            StreamChange::GroupCreated {
                group,
                name,
                cursor,
                entries_read,
            } => {
                let fresh = Group::new(cursor, entries_read);
                let inserted = self.extra_mut().groups.insert(group, name, fresh);
                inserted
                    .then_some(())
                    .ok_or("a record makes a group that exists")?;
            }
            StreamChange::Group { group, ref change } => {
                let group = self.group_mut(group);
                group
                    .ok_or("a record names a group that does not exist")?
                    .apply(change)?;
            }
            StreamChange::RetentionSet { retention } => {
                self.restore_retention(retention);
                self.set_bytes_left(0);
            }
            StreamChange::ProducersSet { .. }
            | StreamChange::Remembered { .. }
            | StreamChange::Repeated
            | StreamChange::Forgotten { .. } => self.apply_to_producers(change),
        }
        Ok(())
    }

    fn apply_to_producers(&mut self, change: &StreamChange<'_>) {
        match *change {
            StreamChange::ProducersSet {
                seconds,
                count_max,
                added,
                repeated,
            } => {
                let producers = self.producers_mut();
                *producers = Producers::new(Settings { seconds, count_max });
                (producers.added, producers.repeated) = (added, repeated);
            }
            StreamChange::Remembered {
                producer,
                iid,
                id,
                kept,
            } => self.producers_mut().remember(producer, iid, id, kept),
            StreamChange::Repeated => {
                let repeated = &mut self.producers_mut().repeated;
                *repeated = repeated.saturating_add(1);
            }
            StreamChange::Forgotten { until_ms } => self.producers_mut().forget(until_ms),
            _ => unreachable!("only what happened to producers comes here"),
        }
    }

    fn add_entry(
        &mut self,
        id: EntryId,
        starts_node: bool,
        at: (Lsn, u32),
    ) -> Result<(), Contradiction> {
        if id <= self.last_id {
            return Err("a record adds an entry with an ID that is not above the last");
        }
        if !self.index.push(id, at, starts_node) {
            return Err("a record adds an entry to a node that does not exist");
        }
        self.last_id = id;
        self.entries_added = self.entries_added.saturating_add(1);
        Ok(())
    }

    fn count_missing(&mut self, count: u32, highest: EntryId) -> Result<(), Contradiction> {
        if !self.index.count_missing(count) {
            return Err("a record says that entries are missing of no node");
        }
        let extra = self.extra_mut();
        extra.tombstone = extra.tombstone.max(highest);
        Ok(())
    }

    fn delete_entries(
        &mut self,
        entries: &[(EntryId, Lsn)],
        log: &mut Log,
    ) -> Result<(), Contradiction> {
        let removed = self.index.remove_all(entries, log);
        let removed = removed.ok_or("a record deletes an entry that does not exist")?;
        let highest = entries.iter().map(|&(id, _)| id).max();
        let extra = self.extra_mut();
        extra.tombstone = extra.tombstone.max(highest.unwrap_or_default());
        for lsn in removed {
            log.entry_died(lsn);
        }
        Ok(())
    }

    /// How much there is to be written of the stream: entries, pending entries, consumers.
    pub(crate) fn weight(&self) -> usize {
        let group =
            |(_, _, group): (u32, &[u8], &Group)| 1 + group.pending.len() + group.consumers.len();
        let entries = usize::try_from(self.index.len()).unwrap_or(usize::MAX);
        self.groups()
            .map(group)
            .fold(entries, usize::saturating_add)
    }

    /// Bytes of memory, roughly.
    pub(crate) fn memory(&self) -> usize {
        let groups = self
            .groups()
            .map(|(_, name, group)| name.len() + group.memory());
        let producers = self.producers().map_or(0, Producers::memory);
        size_of::<Self>() + self.key.len() + self.index.memory() + groups.sum::<usize>() + producers
    }
}

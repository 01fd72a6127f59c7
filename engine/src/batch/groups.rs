//! Operations on consumer groups and consumers: create, remove, acknowledge.

use smallvec::SmallVec;

use super::{Batch, check_len};
use crate::error::{Error, Result};
use crate::format::record::{GroupChange, Record, StreamChange};
use crate::id::EntryId;
use crate::limits::{NAME_LEN_MAX, RECORD_IDS_MAX};
use crate::log::Growth;

/// Where a group stands in its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The last ID that was delivered.
    pub id: EntryId,
    /// How many entries were read up to there; `None` if that is not known.
    pub entries_read: Option<u64>,
}

/// A consumer of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// The group's name.
    pub group: &'a [u8],
    /// The consumer's name.
    pub consumer: &'a [u8],
}

impl Batch<'_> {
    /// Makes a group.
    ///
    /// # Errors
    ///
    /// [`NoSuchKey`](crate::Error::NoSuchKey), [`GroupExists`](crate::Error::GroupExists),
    /// [`TooLarge`](crate::Error::TooLarge).
    pub fn create_group(&mut self, db: u8, key: &[u8], group: &[u8], cursor: Cursor) -> Result<()> {
        check_len("group name", group, NAME_LEN_MAX)?;
        let slot = self.find_used(db, key).ok_or(Error::NoSuchKey)?;
        let stream = self.stream_in(slot);
        if stream.group_number(group).is_some() {
            return Err(Error::GroupExists);
        }
        let Cursor { id, entries_read } = cursor;
        let number = stream.free_group();
        let change = StreamChange::GroupCreated {
            group: number,
            name: group,
            cursor: id,
            entries_read,
        };
        self.change(slot, change, Growth::Grows)?;
        self.count(1);
        Ok(())
    }

    /// Removes a group with all that is pending in it; false if there is none.
    ///
    /// # Errors
    ///
    /// [`NoSuchKey`](crate::Error::NoSuchKey).
    pub fn remove_group(&mut self, db: u8, key: &[u8], group: &[u8]) -> Result<bool> {
        let found = match self.find_group(db, key, group) {
            Err(Error::NoSuchGroup) => return Ok(false),
            found => found?,
        };
        let (slot, group) = found;
        self.change(slot, StreamChange::GroupRemoved { group }, Growth::Shrinks)?;
        self.count(1);
        Ok(true)
    }

    /// Moves a group's cursor; what is pending stays pending.
    ///
    /// # Errors
    ///
    /// [`NoSuchKey`](crate::Error::NoSuchKey), [`NoSuchGroup`](crate::Error::NoSuchGroup).
    pub fn set_cursor(&mut self, db: u8, key: &[u8], group: &[u8], cursor: Cursor) -> Result<()> {
        let (slot, group) = self.find_group(db, key, group)?;
        let Cursor { id, entries_read } = cursor;
        let change = GroupChange::CursorSet {
            cursor: id,
            entries_read,
        };
        self.change(slot, StreamChange::Group { group, change }, Growth::Shrinks)?;
        self.count(1);
        Ok(())
    }

    /// Whether key and group exist.
    pub fn group_exists(&mut self, db: u8, key: &[u8], group: &[u8]) -> bool {
        self.find_group(db, key, group).is_ok()
    }

    /// Makes a consumer; false if there is one of that name.
    ///
    /// # Errors
    ///
    /// [`NoSuchKey`](crate::Error::NoSuchKey), [`NoSuchGroup`](crate::Error::NoSuchGroup),
    /// [`TooLarge`](crate::Error::TooLarge).
    pub fn create_consumer(&mut self, db: u8, key: &[u8], member: Member<'_>) -> Result<bool> {
        let found = self.find_group(db, key, member.group)?;
        check_len("consumer name", member.consumer, NAME_LEN_MAX)?;
        let is_new = self
            .group_in(found.0, found.1)
            .consumers
            .find(member.consumer)
            .is_none();
        if is_new {
            self.admit(visit_len_max(member.consumer), Growth::Grows)?;
            self.consumer_of(found, member.consumer);
        }
        Ok(is_new)
    }

    /// Removes a consumer and drops what is pending for it; returns how many entries that were,
    /// `None` if there is no such consumer.
    ///
    /// # Errors
    ///
    /// [`NoSuchKey`](crate::Error::NoSuchKey), [`NoSuchGroup`](crate::Error::NoSuchGroup).
    pub fn remove_consumer(
        &mut self,
        db: u8,
        key: &[u8],
        member: Member<'_>,
    ) -> Result<Option<u64>> {
        let (slot, group) = self.find_group(db, key, member.group)?;
        let consumers = &self.group_in(slot, group).consumers;
        let Some(consumer) = consumers.find(member.consumer) else {
            return Ok(None);
        };
        let pending = consumers
            .get(consumer)
            .map_or(0, |consumer| consumer.pending.len());
        let change = GroupChange::ConsumerRemoved { consumer };
        self.change(slot, StreamChange::Group { group, change }, Growth::Shrinks)?;
        self.count(1);
        Ok(Some(pending as u64))
    }

    /// Acknowledges entries; returns how many of them were pending. 0 if there is no such key or
    /// group.
    pub fn ack(&mut self, db: u8, key: &[u8], group: &[u8], ids: &[EntryId]) -> Result<u64> {
        let Ok((slot, number)) = self.find_group(db, key, group) else {
            return Ok(0);
        };
        let pending = &self.group_in(slot, number).pending;
        let mut found: FewIds = pending.held(ids).collect();
        if !found.is_sorted_by(|a, b| a < b) {
            found.sort_unstable();
            found.dedup();
        }
        if found.is_empty() {
            return Ok(0);
        }
        self.admit(ids_len_max(found.len()), Growth::Shrinks)?;
        for ids in found.chunks(RECORD_IDS_MAX) {
            self.commit_to_group((slot, number), GroupChange::Acked { ids: ids.into() });
        }
        self.count(found.len() as u64);
        Ok(found.len() as u64)
    }

    /// The number of a consumer, which is made if there is none; whether it was made. It was
    /// admitted.
    pub(super) fn consumer_of(&mut self, (slot, group): Found, name: &[u8]) -> (u32, bool) {
        let consumers = &self.group_in(slot, group).consumers;
        if let Some(consumer) = consumers.find(name) {
            return (consumer, false);
        }
        let consumer = consumers.free_number();
        let created = GroupChange::ConsumerCreated {
            consumer,
            name,
            seen_ms: self.now_ms,
        };
        self.commit_to_group((slot, group), created);
        self.count(1);
        (consumer, true)
    }

    /// Notes that a consumer was here and got nothing. No reply waits for that to be on disk.
    pub(super) fn see(&mut self, (slot, group): Found, number: u32) {
        let stream = self.stream_in(slot);
        let consumer = stream
            .group(group)
            .and_then(|group| group.consumers.get(number));
        if let Some(consumer) = consumer.filter(|consumer| consumer.seen_ms != self.now_ms) {
            let (seen_ms, active_ms) = (self.now_ms, consumer.active_ms);
            let change = GroupChange::ConsumerSeen {
                consumer: number,
                seen_ms,
                active_ms,
            };
            let change = StreamChange::Group { group, change };
            let record = Record::Stream {
                stream: stream.number,
                change,
            };
            self.commit_soft(&record);
        }
    }
}

/// IDs that a record will list; so many are in place, not on the heap.
pub(super) type FewIds = SmallVec<[EntryId; 12]>;

/// Slot of a stream and number of a group that were just found.
pub(super) type Found = (u32, u32);

/// The most bytes of the records that make a consumer or note that it was here, and move a cursor.
pub(super) fn visit_len_max(consumer: &[u8]) -> usize {
    let name = GroupChange::ConsumerCreated {
        consumer: 0,
        name: consumer,
        seen_ms: 0,
    };
    2 * Record::Stream {
        stream: 0,
        change: StreamChange::Group {
            group: 0,
            change: name,
        },
    }
    .len_max()
}

/// The most bytes of the records that list so many IDs.
pub(super) fn ids_len_max(count: usize) -> usize {
    let ids = [EntryId::MIN; 1];
    let one = StreamChange::Group {
        group: 0,
        change: GroupChange::Acked {
            ids: ids[..].into(),
        },
    };
    count.max(1)
        * Record::Stream {
            stream: 0,
            change: one,
        }
        .len_max()
}

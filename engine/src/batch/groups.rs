//! Operations on consumer groups: create, deliver, acknowledge.

use super::Batch;
use crate::entries::Entries;
use crate::error::Result;
use crate::id::EntryId;

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

/// How to deliver new entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deliver {
    /// Most entries to deliver.
    pub count: Option<usize>,
    /// Whether the entries are settled by the delivery: nothing becomes pending.
    pub noack: bool,
}

/// Which of a consumer's pending entries to read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    /// Only entries above this ID.
    pub after: EntryId,
    /// Most entries to return.
    pub count: Option<usize>,
}

/// Entries that a consumer was given.
#[derive(Debug)]
pub struct Delivery {
    /// The entries; in a history read, deleted ones are IDs without fields.
    pub entries: Entries,
    /// Whether the consumer was made by this call.
    pub consumer_created: bool,
}

impl Batch<'_> {
    /// Makes a group.
    ///
    /// # Errors
    ///
    /// [`NoSuchKey`](crate::Error::NoSuchKey), [`GroupExists`](crate::Error::GroupExists),
    /// [`TooLarge`](crate::Error::TooLarge).
    pub fn create_group(&mut self, db: u8, key: &[u8], group: &[u8], cursor: Cursor) -> Result<()> {
        let _ = (db, key, group, cursor);
        todo!()
    }

    /// Removes a group with all that is pending in it; false if there is none.
    ///
    /// # Errors
    ///
    /// [`NoSuchKey`](crate::Error::NoSuchKey).
    pub fn remove_group(&mut self, db: u8, key: &[u8], group: &[u8]) -> Result<bool> {
        let _ = (db, key, group);
        todo!()
    }

    /// Moves a group's cursor; what is pending stays pending.
    ///
    /// # Errors
    ///
    /// [`NoSuchKey`](crate::Error::NoSuchKey), [`NoSuchGroup`](crate::Error::NoSuchGroup).
    pub fn set_cursor(&mut self, db: u8, key: &[u8], group: &[u8], cursor: Cursor) -> Result<()> {
        let _ = (db, key, group, cursor);
        todo!()
    }

    /// Whether key and group exist.
    pub fn group_exists(&mut self, db: u8, key: &[u8], group: &[u8]) -> bool {
        let _ = (db, key, group);
        todo!()
    }

    /// Makes a consumer; false if there is one of that name.
    ///
    /// # Errors
    ///
    /// [`NoSuchKey`](crate::Error::NoSuchKey), [`NoSuchGroup`](crate::Error::NoSuchGroup),
    /// [`TooLarge`](crate::Error::TooLarge).
    pub fn create_consumer(&mut self, db: u8, key: &[u8], member: Member<'_>) -> Result<bool> {
        let _ = (db, key, member);
        todo!()
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
        let _ = (db, key, member);
        todo!()
    }

    /// Delivers new entries, those above the group's cursor. Makes the consumer if there is none,
    /// also when there is nothing to deliver.
    ///
    /// # Errors
    ///
    /// [`NoSuchKey`](crate::Error::NoSuchKey), [`NoSuchGroup`](crate::Error::NoSuchGroup),
    /// [`TooLarge`](crate::Error::TooLarge).
    pub fn deliver(
        &mut self,
        db: u8,
        key: &[u8],
        member: Member<'_>,
        deliver: Deliver,
    ) -> Result<Delivery> {
        let _ = (db, key, member, deliver);
        todo!()
    }

    /// Reads a consumer's pending entries again, which counts as another delivery of each that is
    /// still in the stream. Makes the consumer if there is none.
    ///
    /// # Errors
    ///
    /// [`NoSuchKey`](crate::Error::NoSuchKey), [`NoSuchGroup`](crate::Error::NoSuchGroup),
    /// [`TooLarge`](crate::Error::TooLarge).
    pub fn history(
        &mut self,
        db: u8,
        key: &[u8],
        member: Member<'_>,
        history: History,
    ) -> Result<Delivery> {
        let _ = (db, key, member, history);
        todo!()
    }

    /// Acknowledges entries; returns how many of them were pending. 0 if there is no such key or group.
    pub fn ack(&mut self, db: u8, key: &[u8], group: &[u8], ids: &[EntryId]) -> Result<u64> {
        let _ = (db, key, group, ids);
        todo!()
    }
}

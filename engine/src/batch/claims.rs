//! Operations that move pending entries to another consumer.

use super::{Batch, Member};
use crate::entries::Entries;
use crate::error::Result;
use crate::id::EntryId;

/// Which pending entries to claim, and what becomes of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Claim<'a> {
    /// Only entries that were delivered at least this long ago.
    pub min_idle_ms: u64,
    /// The entries.
    pub ids: &'a [EntryId],
    /// The delivery time to set; now if `None`.
    pub delivery_time_ms: Option<u64>,
    /// The delivery count to set; one more than it was if `None` (and not `just_id`).
    pub delivery_count: Option<u64>,
    /// Whether entries that are in the stream but not pending become pending.
    pub force: bool,
    /// Whether the caller wants only IDs: the delivery count stays.
    pub just_id: bool,
    /// Moves the group's cursor up to this ID.
    pub last_id: Option<EntryId>,
}

/// What a claim got.
#[derive(Debug)]
pub struct Claimed {
    /// The entries; empty if only IDs were wanted.
    pub entries: Entries,
    /// Their IDs.
    pub ids: Vec<EntryId>,
    /// Whether the consumer was made by this call.
    pub consumer_created: bool,
}

/// Where to look for idle pending entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AutoClaim {
    /// Only entries that were delivered at least this long ago.
    pub min_idle_ms: u64,
    /// The lowest ID to look at.
    pub start: EntryId,
    /// Most entries to claim; ten times as many are looked at.
    pub count: usize,
    /// Whether the caller wants only IDs: the delivery count stays.
    pub just_id: bool,
}

/// What a scan for idle pending entries got.
#[derive(Debug)]
pub struct AutoClaimed {
    /// What was claimed.
    pub claimed: Claimed,
    /// Where to go on; `0-0` at the end.
    pub next: EntryId,
    /// Pending entries that were dropped, because the stream no longer has them.
    pub deleted: Vec<EntryId>,
}

impl Batch<'_> {
    /// Makes pending entries pending for another consumer, which is made if there is none.
    ///
    /// # Errors
    ///
    /// [`NoSuchKey`](crate::Error::NoSuchKey), [`NoSuchGroup`](crate::Error::NoSuchGroup),
    /// [`TooLarge`](crate::Error::TooLarge).
    pub fn claim(
        &mut self,
        db: u8,
        key: &[u8],
        member: Member<'_>,
        claim: &Claim<'_>,
    ) -> Result<Claimed> {
        let _ = (db, key, member, claim);
        todo!()
    }

    /// Claims what is idle, in the order of IDs.
    ///
    /// # Errors
    ///
    /// [`NoSuchKey`](crate::Error::NoSuchKey), [`NoSuchGroup`](crate::Error::NoSuchGroup),
    /// [`TooLarge`](crate::Error::TooLarge).
    pub fn auto_claim(
        &mut self,
        db: u8,
        key: &[u8],
        member: Member<'_>,
        claim: AutoClaim,
    ) -> Result<AutoClaimed> {
        let _ = (db, key, member, claim);
        todo!()
    }
}

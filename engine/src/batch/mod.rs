//! Commands under the lock: the operations of the engine, one after the other, on one state.
//!
//! A [`Batch`] holds the engine's lock. Any number of commands run in it; [`Batch::end_command`]
//! closes one, or one whole transaction, and says what its reply depends on. Each operation checks
//! first, then logs its outcome, then applies the record: an operation that fails changes nothing.

mod build;
mod claims;
mod cold;
mod copy;
mod deliver;
mod export;
mod give_back;
mod groups;
mod info;
mod keys;
mod once;
mod progress;
mod references;
mod retention;
mod streams;
mod transplant;
mod trim;

pub use build::{
    ConsumerParts, EntrySource, GroupParts, NewStream, PendingParts, Piece, ProducerParts,
    ProducersParts, SentParts, StreamParts,
};
pub use claims::{AutoClaim, AutoClaimed, Claim, Claimed};
pub use deliver::{Deliver, Delivery, Fits, History, Overdue};
pub use export::Export;
pub use give_back::{DELIVERY_COUNT_MAX, Fault, GiveBack};
pub use groups::{Cursor, Member};
pub use info::{
    ConsumerFull, ConsumerInfo, GroupFull, GroupInfo, PendingFilter, PendingInfo, PendingSummary,
    StreamFull,
};
pub use once::{Added, Message, ProducersInfo, Remembering};
pub use references::{Delete, Deletion, RefPolicy};
pub use streams::{Counters, NewId, Range, StreamInfo, Trim, TrimStrategy};

pub(crate) use transplant::Transplanted;

use crate::engine::Core;
use crate::error::{Error, Result};
use crate::format::record::{GroupChange, Record, StreamChange};
use crate::group::Group;
use crate::limits::NODE_ENTRIES_MAX;
use crate::log::Growth;
use crate::lsn::Lsn;
use crate::sorted::ColdBlocks;
use crate::stream::Stream;
use crate::sync::MutexGuard;

/// The engine's lock, held, and the commands that run under it.
///
/// Time stands still for a batch until [`Batch::set_now`] moves it, so that all commands of a
/// transaction see the same time. Dropping the batch ends an open command.
pub struct Batch<'e> {
    guard: MutexGuard<'e, Core>,
    now_ms: u64,
    /// What the reply depends on so far, beside its own records.
    seen: Lsn,
    /// Whether the reply depends on its own records.
    has_written: bool,
    expired: Vec<(u8, Vec<u8>)>,
    retained: Vec<(u8, Vec<u8>)>,
    /// Whether the command may ask for blocks, and whether it does so now.
    may_ask: bool,
    asks: bool,
    /// What was loaded for the command.
    cold: Option<Box<ColdBlocks>>,
}

impl<'e> Batch<'e> {
    pub(crate) fn new(guard: MutexGuard<'e, Core>, now_ms: u64) -> Self {
        Self {
            guard,
            now_ms,
            seen: Lsn::ZERO,
            has_written: false,
            expired: Vec::new(),
            retained: Vec::new(),
            may_ask: false,
            asks: false,
            cold: None,
        }
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        // Whoever panics in the middle of a command may have left the state and the log apart.
        if std::thread::panicking() {
            self.guard.log.poison();
        }
        self.let_go();
        self.guard.log.end_frame();
        self.guard.wake_reaper();
    }
}

impl Batch<'_> {
    /// State and log under the lock.
    pub(crate) fn core(&mut self) -> &mut Core {
        &mut self.guard
    }

    /// Things that were removed and are not given back yet, and that were given back since open.
    pub(crate) fn remains(&self) -> (u64, u64) {
        let state = &self.guard.state;
        (state.remains_count(), state.remains.reaped())
    }

    /// Freezes the time of the following commands, in milliseconds since the Unix epoch.
    pub fn set_now(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    /// The time that the commands see.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Ends a command, or a whole transaction: what it logged becomes one unit that survives a
    /// crash whole or not at all.
    ///
    /// Returns what the reply depends on: it may leave as soon as
    /// [`Engine::settled`](crate::Engine::settled) reaches it.
    pub fn end_command(&mut self) -> Lsn {
        self.let_go();
        let end = self.guard.log.end_frame();
        let seen = std::mem::take(&mut self.seen);
        if std::mem::take(&mut self.has_written) {
            end
        } else {
            seen
        }
    }

    /// Whether the command, or the transaction so far, has logged what its reply depends on.
    #[must_use]
    pub fn has_written(&self) -> bool {
        self.has_written
    }

    /// The keys that were found expired, and removed, since this was last asked; database and key.
    pub fn take_expired(&mut self) -> Vec<(u8, Vec<u8>)> {
        std::mem::take(&mut self.expired)
    }

    /// How many changes were made since the engine was opened, counted as Redis counts them.
    #[must_use]
    pub fn mutations(&self) -> u64 {
        self.guard.state.mutations
    }

    /// Sets how many entries a logical node of a stream takes (1 to
    /// [`NODE_ENTRIES_MAX`](crate::limits::NODE_ENTRIES_MAX)); approximate trimming cuts between
    /// nodes.
    pub fn set_node_entries_max(&mut self, entries: u32) {
        self.guard.state.node_entries_max = entries.clamp(1, NODE_ENTRIES_MAX);
    }

    /// The physical number of a database; `None` if there is no such database.
    fn physical(&self, db: u8) -> Option<u8> {
        self.guard
            .state
            .keyspace
            .mapping
            .get(usize::from(db))
            .copied()
    }

    /// The slot of a key that has not expired. The reply depends on what was found.
    fn find(&mut self, db: u8, key: &[u8]) -> Option<u32> {
        let state = &self.guard.state;
        let slot = self
            .physical(db)
            .and_then(|physical| state.keyspace.find(physical, key));
        let stream = slot.and_then(|slot| state.keyspace.stream(slot));
        let Some(stream) = stream else {
            self.seen = self.seen.max(state.removed);
            return None;
        };
        if stream
            .expiry_ms()
            .is_some_and(|expiry_ms| expiry_ms <= self.now_ms)
        {
            let number = stream.number;
            self.expire(db, number, key);
            self.seen = self.seen.max(self.guard.state.removed);
            return None;
        }
        self.seen = self.seen.max(stream.modified);
        slot
    }

    /// Brings what commands need to know of these keys' streams into the processor's caches. Of
    /// more than [`KEYS_AT_ONCE`](crate::limits::KEYS_AT_ONCE) keys it takes the first.
    pub fn warm(&self, db: u8, keys: &[&[u8]]) {
        if let Some(physical) = self.physical(db) {
            self.guard.state.keyspace.warm(physical, keys);
        }
    }

    /// Like [`Batch::find`], and the key counts as used.
    fn find_used(&mut self, db: u8, key: &[u8]) -> Option<u32> {
        let slot = self.find(db, key)?;
        let now_s = u32::try_from(self.now_ms / 1000).unwrap_or(u32::MAX);
        self.guard.state.keyspace.stream_mut(slot)?.used_s = now_s;
        Some(slot)
    }

    /// Removes a key whose time is over. If the log takes no more, it is only treated as removed.
    fn expire(&mut self, db: u8, number: u64, key: &[u8]) {
        let record = Record::Stream {
            stream: number,
            change: StreamChange::Removed,
        };
        if self.admit(record.len_max(), Growth::Shrinks).is_ok() {
            self.commit(&record);
            self.count(1);
            self.expired.push((db, key.to_vec()));
        }
    }

    /// The stream in a slot that was just found.
    fn stream_in(&self, slot: u32) -> &Stream {
        self.guard
            .state
            .keyspace
            .stream(slot)
            .expect("the slot was just found")
    }

    /// The stream and the group of that name.
    fn find_group(&mut self, db: u8, key: &[u8], group: &[u8]) -> Result<(u32, u32)> {
        let slot = self.find_used(db, key).ok_or(Error::NoSuchKey)?;
        let number = self
            .stream_in(slot)
            .group_number(group)
            .ok_or(Error::NoSuchGroup)?;
        Ok((slot, number))
    }

    /// The group that was just found.
    fn group_in(&self, slot: u32, group: u32) -> &Group {
        self.stream_in(slot)
            .group(group)
            .expect("the group was just found")
    }

    /// Makes sure that `bytes` of records can be logged.
    fn admit(&mut self, bytes: usize, growth: Growth) -> Result<()> {
        self.guard.log.admit(bytes, growth)
    }

    /// Logs and applies a record that was admitted.
    fn commit(&mut self, record: &Record<'_>) {
        self.commit_soft(record);
        self.has_written = true;
    }

    /// Logs and applies a record that the reply does not depend on.
    fn commit_soft(&mut self, record: &Record<'_>) {
        self.stop_asking();
        let Core { state, log, .. } = &mut *self.guard;
        let lsn = log.append(record.len_max(), |out, _| record.put(out));
        state
            .apply(record, lsn, log)
            .expect("a record of our own making fits the state");
    }

    /// Admits, logs and applies what happened to a stream.
    fn change(&mut self, slot: u32, change: StreamChange<'_>, growth: Growth) -> Result<()> {
        let record = Record::Stream {
            stream: self.stream_in(slot).number,
            change,
        };
        self.admit(record.len_max(), growth)?;
        self.commit(&record);
        Ok(())
    }

    /// Logs and applies what happened to a stream, which was admitted.
    fn commit_to_stream(&mut self, slot: u32, change: StreamChange<'_>) {
        let stream = self.stream_in(slot).number;
        self.commit(&Record::Stream { stream, change });
    }

    /// Logs and applies what happened to a group, which was admitted.
    fn commit_to_group(&mut self, (slot, group): (u32, u32), change: GroupChange<'_>) {
        self.commit_to_stream(slot, StreamChange::Group { group, change });
    }

    /// Counts changes.
    fn count(&mut self, mutations: u64) {
        self.guard.state.mutations += mutations;
    }
}

/// Refuses what is longer than its limit.
fn check_len(what: &'static str, bytes: &[u8], limit: usize) -> Result<()> {
    if bytes.len() <= limit {
        return Ok(());
    }
    Err(Error::TooLarge {
        what,
        size: bytes.len() as u64,
        limit: limit as u64,
    })
}

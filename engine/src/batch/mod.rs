//! Commands under the lock: the operations of the engine, one after the other, on one state.
//!
//! A [`Batch`] holds the engine's lock. Any number of commands run in it; [`Batch::end_command`]
//! closes one, or one whole transaction, and says what its reply depends on. Each operation checks
//! first, then logs its outcome, then applies the record: an operation that fails changes nothing.

mod claims;
mod groups;
mod info;
mod keys;
mod streams;

use parking_lot::MutexGuard;

pub use claims::{AutoClaim, AutoClaimed, Claim, Claimed};
pub use groups::{Cursor, Deliver, Delivery, History, Member};
pub use info::{
    ConsumerFull, ConsumerInfo, GroupFull, GroupInfo, PendingFilter, PendingInfo, PendingSummary,
    StreamFull,
};
pub use streams::{Counters, NewId, Range, StreamInfo, Trim, TrimStrategy};

use crate::engine::Core;
use crate::log::Log;
use crate::lsn::Lsn;

/// The engine's lock, held, and the commands that run under it.
///
/// Time stands still for a batch until [`Batch::set_now`] moves it, so that all commands of a
/// transaction see the same time.
pub struct Batch<'e> {
    guard: MutexGuard<'e, Core>,
    now_ms: u64,
    expired: Vec<(u8, Vec<u8>)>,
}

impl<'e> Batch<'e> {
    pub(crate) fn new(guard: MutexGuard<'e, Core>, now_ms: u64) -> Self {
        Self {
            guard,
            now_ms,
            expired: Vec::new(),
        }
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        // Whoever panics in the middle of a command may have left the state and the log apart.
        if std::thread::panicking() {
            self.guard.log.poison();
        }
        self.guard.log.end_frame();
    }
}

impl Batch<'_> {
    /// The log under the lock.
    pub(crate) fn log(&mut self) -> &mut Log {
        &mut self.guard.log
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

    /// Ends a command, or a whole transaction: what it logged becomes one unit that survives a crash
    /// whole or not at all.
    ///
    /// Returns what the reply depends on: it may leave as soon as `Engine::settled` reaches it.
    pub fn end_command(&mut self) -> Lsn {
        let _ = &self.guard;
        todo!()
    }

    /// The keys that were found expired, and removed, since this was last asked; database and key.
    pub fn take_expired(&mut self) -> Vec<(u8, Vec<u8>)> {
        std::mem::take(&mut self.expired)
    }

    /// How many changes have been logged since the engine was opened.
    #[must_use]
    pub fn mutations(&self) -> u64 {
        todo!()
    }

    /// Sets how many entries a logical node of a stream takes (1 to
    /// [`NODE_ENTRIES_MAX`](crate::limits::NODE_ENTRIES_MAX)); approximate trimming cuts between nodes.
    pub fn set_node_entries_max(&mut self, entries: u32) {
        let _ = entries;
        todo!()
    }
}

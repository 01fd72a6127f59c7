//! Commands that do not wait for the disk under the lock.
//!
//! Who can run a command again calls [`Batch::ask_for_blocks`] before it. If the command fails with
//! [`Cold`](crate::Error::Cold), [`Batch::take_cold`] says what it lacks; that is loaded without
//! the lock, and given to [`Batch::resume`] before the same command runs again, from its start.

use super::Batch;
use crate::error::Error;
use crate::id::EntryId;
use crate::index::{Index, Position};
use crate::log::Log;
use crate::sorted::{BlockCache, ColdBlocks};

impl Batch<'_> {
    /// Lets the next command fail rather than load a block of a sorted segment, until it ends or
    /// changes something. No effect once too much was loaded for it.
    pub fn ask_for_blocks(&mut self) {
        self.may_ask = self.cold.as_ref().is_none_or(|cold| cold.may_ask());
        self.ask();
    }

    /// What the command that has just failed needs; `None` if it did not fail for that.
    pub fn take_cold(&mut self) -> Option<Box<ColdBlocks>> {
        if !self.asks {
            return None;
        }
        self.asks = false;
        let mut cold = self.cold.take().unwrap_or_default();
        cold.unpin(self.cache());
        cold.take_asked(&self.guard.state.sorted).then_some(cold)
    }

    /// Holds what was loaded for the next command until that ends.
    pub fn resume(&mut self, mut cold: Box<ColdBlocks>) {
        cold.pin(self.cache());
        self.cold = Some(cold);
    }

    /// Asks, if this command may at all.
    pub(super) fn ask(&mut self) {
        if self.may_ask && !self.asks {
            self.asks = true;
            self.cache().set_asking(true);
        }
    }

    /// From here on the command cannot run again: it loads what it needs.
    #[inline]
    pub(super) fn stop_asking(&mut self) {
        if self.asks {
            self.asks = false;
            self.cache().set_asking(false);
        }
    }

    /// The command is over.
    #[inline]
    pub(super) fn let_go(&mut self) {
        self.stop_asking();
        self.may_ask = false;
        if let Some(mut cold) = self.cold.take() {
            cold.unpin(self.cache());
        }
    }

    fn cache(&self) -> &BlockCache {
        self.guard.state.sorted.cache()
    }
}

/// How many entries, or blocks, a command looks ahead for.
const AHEAD_MAX: usize = 256;

/// Behind a look-up that failed: looks for other entries that the command will want, in vain, so
/// that what it needs is asked for at once. The error of the look-up.
pub(super) fn ahead(
    error: Error,
    (index, log): (&Index, &Log),
    ids: impl IntoIterator<Item = EntryId>,
) -> Error {
    if matches!(error, Error::Cold) {
        for id in ids.into_iter().take(AHEAD_MAX) {
            drop(index.find(id, log));
        }
    }
    error
}

/// Like [`ahead`], for all entries between two positions.
pub(super) fn ahead_in(error: Error, index: &Index, (from, to): (Position, Position)) -> Error {
    if matches!(error, Error::Cold) {
        index.ask_between(from, to, AHEAD_MAX);
    }
    error
}

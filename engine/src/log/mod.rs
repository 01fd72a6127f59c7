//! The log: the ordered bytes of all mutations across segments.

use std::path::Path;
use std::sync::Arc;

use crate::{Lsn, Result};

/// Whether a command grows the data; on a full disk only those that do not are admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Growth {
    /// It adds entries, groups, deliveries.
    Grows,
    /// It acks, deletes, trims.
    Shrinks,
}

/// One file of the log.
pub(crate) struct Segment;

impl Segment {
    /// What has been written so far, header included.
    pub(crate) fn bytes(&self) -> &[u8] {
        todo!()
    }
    /// The file.
    pub(crate) fn path(&self) -> &Path {
        todo!()
    }
    /// The LSN of the file's first byte.
    pub(crate) fn first_lsn(&self) -> Lsn {
        todo!()
    }
}

/// The in-memory head of the log. All calls happen under the state lock.
pub(crate) struct Log;

impl Log {
    /// A log over nothing that keeps what is appended in memory; for tests of the state.
    #[cfg(test)]
    pub(crate) fn in_memory() -> Self {
        todo!()
    }
    /// Appends a record of at most `len_max` bytes to the open transaction, which it opens if there
    /// is none; the LSN of the record's first byte. Infallible after [`Log::admit`].
    pub(crate) fn append(&mut self, len_max: usize, encode: impl FnOnce(&mut Vec<u8>)) -> Lsn {
        let _ = (len_max, encode);
        todo!()
    }
    /// Ends the open transaction, if there is one; the LSN behind the last frame.
    pub(crate) fn end_frame(&mut self) -> Lsn {
        todo!()
    }
    /// Makes sure that `bytes` of records can be appended.
    pub(crate) fn admit(&mut self, bytes: usize, growth: Growth) -> Result<()> {
        let _ = (bytes, growth);
        todo!()
    }
    /// The bytes from `lsn` to the end of what the buffer or segment that holds it has.
    pub(crate) fn bytes_at(&self, lsn: Lsn) -> Result<&[u8]> {
        let _ = lsn;
        todo!()
    }
    /// The segment that covers `lsn`, and the offset in it.
    pub(crate) fn segment_at(&self, lsn: Lsn) -> Result<(Arc<Segment>, u64)> {
        let _ = lsn;
        todo!()
    }
    /// An entry lives at `lsn`: its segment must stay.
    pub(crate) fn entry_lives(&mut self, lsn: Lsn) {
        let _ = lsn;
        todo!()
    }
    /// The entry at `lsn` was trimmed or deleted.
    pub(crate) fn entry_died(&mut self, lsn: Lsn) {
        let _ = lsn;
        todo!()
    }
    /// Like [`Log::entry_died`] for many, in ascending order.
    pub(crate) fn entries_died(&mut self, sorted: impl Iterator<Item = Lsn>) {
        let _ = sorted;
        todo!()
    }
    /// The LSN behind the last frame.
    pub(crate) fn end(&self) -> Lsn {
        todo!()
    }
}

//! Read-only maps of segment files: the only `unsafe` of the engine.
//!
//! The argument, once. A slice of a map is sound while (1) the map lives, (2) the slice lies
//! inside the map, and (3) none of its bytes change while it is borrowed. (1) is the borrow of
//! `self`; (2) is asserted; for (3), a segment hands out only the prefix that has been written,
//! and a log only ever writes behind that prefix. Another process could break (3) or truncate the
//! file (SIGBUS); the lock file keeps out those of ours, and `docs/durability.md` tells the others.
//! A memory map (for the simulated storage) is written through [`Map::store`] under the same rule.
#![expect(
    unsafe_code,
    reason = "slices of mapped memory; see the argument above"
)]

use std::fs::File;
use std::io;

use memmap2::{MmapMut, MmapOptions, MmapRaw};

/// A shared map of the first bytes of a file.
pub struct Map {
    raw: MmapRaw,
}

impl Map {
    /// Maps the first `len` bytes of a file for reading.
    pub(crate) fn file(file: &File, len: u64) -> io::Result<Self> {
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?;
        let raw = MmapOptions::new().len(len).map_raw_read_only(file)?;
        Ok(Self { raw })
    }

    /// Zeroed memory that is no file, writable through [`Map::store`].
    pub fn memory(len: u64) -> io::Result<Self> {
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?;
        let raw = MmapMut::map_anon(len.max(1))?.into();
        Ok(Self { raw })
    }

    /// The first `len` bytes, which must all have been written.
    pub(crate) fn prefix(&self, len: usize) -> &[u8] {
        assert!(len <= self.raw.len(), "a prefix lies inside its map");
        // SAFETY: (1) the slice borrows `self`, (2) asserted above, (3) the caller's written
        // prefix is never written again.
        unsafe { std::slice::from_raw_parts(self.raw.as_ptr(), len) }
    }
}

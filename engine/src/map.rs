//! Read-only maps of segment files: the only `unsafe` of the engine.
//!
//! The argument, once. A slice of a map is sound while (1) the map lives, (2) the slice lies
//! inside the map, and (3) none of its bytes change while it is borrowed. (1) is the borrow of
//! `self`; (2) is asserted; for (3), a segment hands out only the prefix that has been written,
//! and a log only ever writes behind that prefix. Another process could break (3) or truncate the
//! file (SIGBUS); the lock file keeps out those of ours, `docs/durability.md` tells the others.
//!
//! Memory that stands in for a file (the simulated storage) is written through [`Map::store`] and
//! copied out through [`Map::load`]; the simulation calls both under its own lock, and slices of
//! it obey the same rule as those of a file.
#![expect(
    unsafe_code,
    reason = "slices of mapped memory; see the argument above"
)]

use std::fs::File;
use std::io;
#[cfg(any(test, feature = "simulation"))]
use std::ptr;
use std::sync::Arc;

use memmap2::{MmapOptions, MmapRaw};

/// A shared map of the first bytes of a file, or memory that stands in for one.
#[derive(Clone, Debug)]
pub struct Map {
    raw: Arc<MmapRaw>,
}

impl Map {
    /// Maps the first `len` bytes of a file for reading.
    pub(crate) fn file(file: &File, len: u64) -> io::Result<Self> {
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?;
        let raw = MmapOptions::new().len(len).map_raw_read_only(file)?;
        Ok(Self { raw: Arc::new(raw) })
    }

    /// Length of the map in bytes.
    pub(crate) fn len(&self) -> usize {
        self.raw.len()
    }

    /// The first `len` bytes, which must all have been written.
    pub(crate) fn prefix(&self, len: usize) -> &[u8] {
        assert!(len <= self.raw.len(), "a prefix lies inside its map");
        // SAFETY: (1) the slice borrows `self`, (2) asserted above, (3) the caller's written
        // prefix is never written again.
        unsafe { std::slice::from_raw_parts(self.raw.as_ptr(), len) }
    }
}

#[cfg(any(test, feature = "simulation"))]
impl Map {
    /// Zeroed memory that is no file.
    pub(crate) fn memory(len: usize) -> io::Result<Self> {
        let raw = memmap2::MmapMut::map_anon(len.max(1))?.into();
        Ok(Self { raw: Arc::new(raw) })
    }

    /// Copies `bytes` into memory made by [`Map::memory`].
    pub(crate) fn store(&self, offset: usize, bytes: &[u8]) {
        let end = offset.checked_add(bytes.len());
        assert!(
            end.is_some_and(|end| end <= self.raw.len()),
            "a store lies inside its map"
        );
        // SAFETY: (2) asserted above.
        let target = unsafe { self.raw.as_mut_ptr().add(offset) };
        // SAFETY: (1) `self` is borrowed, (2) asserted above; the memory is anonymous and
        // writable, `bytes` is not part of it, and (3) no slice covers what is stored to.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len()) };
    }

    /// Copies bytes out of the map.
    pub(crate) fn load(&self, offset: usize, buffer: &mut [u8]) {
        let end = offset.checked_add(buffer.len());
        assert!(
            end.is_some_and(|end| end <= self.raw.len()),
            "a load lies inside its map"
        );
        // SAFETY: (2) asserted above.
        let source = unsafe { self.raw.as_ptr().add(offset) };
        // SAFETY: (1) `self` is borrowed, (2) asserted above; the buffer is not part of the map,
        // and stores are excluded by the simulation's lock.
        unsafe { ptr::copy_nonoverlapping(source, buffer.as_mut_ptr(), buffer.len()) };
    }
}

//! A block of a sorted segment, decompressed: some entries of one run.

use crate::EntryId;
use crate::format::entry;
use crate::format::sorted::{BlockRow, Wrong, split_block};

/// Some entries of one run.
#[derive(Debug)]
pub(crate) struct Block {
    raw: Vec<u8>,
    /// Where the bodies begin in `raw`.
    bodies_at: usize,
    /// For each entry its ID and where its body ends, counted from the first body.
    entries: Vec<(EntryId, u32)>,
    /// The ordinal of the first entry.
    first: u32,
}

impl Block {
    /// Takes raw bytes apart and holds them against what the table of blocks says.
    pub(crate) fn new(raw: Vec<u8>, row: &BlockRow) -> Result<Self, Wrong> {
        let (bodies_at, entries) = split_block(&raw)?;
        let block = Self {
            raw,
            bodies_at,
            entries,
            first: row.ordinal,
        };
        let is_sound = |at: usize| entry::is_well_formed(block.body(at));
        if block.entries[0].0 != row.first_id || !(0..block.entries.len()).all(is_sound) {
            return Err("a block of a sorted segment is not what its table says");
        }
        Ok(block)
    }

    fn body(&self, at: usize) -> &[u8] {
        let end = |at: usize| self.bodies_at + self.entries[at].1 as usize;
        let start = at.checked_sub(1).map_or(self.bodies_at, end);
        &self.raw[start..end(at)]
    }

    fn index(&self, ordinal: u32) -> Option<usize> {
        let at = ordinal.checked_sub(self.first)? as usize;
        (at < self.entries.len()).then_some(at)
    }

    /// The ID of the entry with that ordinal, if it is in this block.
    pub(crate) fn id(&self, ordinal: u32) -> Option<EntryId> {
        self.index(ordinal).map(|at| self.entries[at].0)
    }

    /// The ID and the body of the entry with that ordinal, if it is in this block.
    pub(crate) fn entry(&self, ordinal: u32) -> Option<(EntryId, &[u8])> {
        let at = self.index(ordinal)?;
        Some((self.entries[at].0, self.body(at)))
    }

    /// The entries in order: ID and body.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (EntryId, &[u8])> {
        (0..self.entries.len()).map(|at| (self.entries[at].0, self.body(at)))
    }

    /// The ordinal of the first entry whose ID is not below `id`, or the one behind the block.
    pub(crate) fn lower_bound(&self, id: EntryId) -> u32 {
        let at = self.entries.partition_point(|entry| entry.0 < id);
        self.first + u32::try_from(at).expect("a block holds fewer entries than its run")
    }

    /// Bytes of memory.
    pub(crate) fn memory(&self) -> usize {
        size_of::<Self>()
            + self.raw.capacity()
            + self.entries.capacity() * size_of::<(EntryId, u32)>()
    }
}

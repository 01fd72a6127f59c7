//! A hash table that grows a part at a time.
//!
//! Growing a table means to hash all its keys anew. With a million keys in one piece that takes a
//! third of a second, in which no command runs; a part has one in 256 of them.

use hashbrown::HashTable;

/// Parts of a table; each grows on its own.
const PARTS: usize = 256;

/// Slots by the hash of their name. Takes no memory until something is in it.
#[derive(Default)]
pub(super) struct Table {
    parts: Vec<HashTable<u32>>,
    len: usize,
}

/// The part of a hash: bits that the parts themselves look at last.
fn part_of(hash: u64) -> usize {
    usize::try_from((hash >> 40) % PARTS as u64).expect("below the number of parts")
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn find(&self, hash: u64, is_it: impl FnMut(&u32) -> bool) -> Option<u32> {
        self.parts.get(part_of(hash))?.find(hash, is_it).copied()
    }

    /// Makes an empty table large enough for names with these hashes.
    pub(super) fn reserve(&mut self, hashes: impl Iterator<Item = u64>) {
        let mut counts = vec![0; PARTS];
        hashes.for_each(|hash| counts[part_of(hash)] += 1);
        if counts.iter().any(|&count| count > 0) {
            self.parts = counts.into_iter().map(HashTable::with_capacity).collect();
        }
    }

    /// Adds a slot that is not in it; `hasher` tells the hash of others when a part grows.
    pub(super) fn insert(&mut self, hash: u64, slot: u32, hasher: impl Fn(&u32) -> u64) {
        if self.parts.is_empty() {
            self.parts.resize_with(PARTS, HashTable::new);
        }
        self.parts[part_of(hash)].insert_unique(hash, slot, hasher);
        self.len += 1;
    }

    pub(super) fn remove(&mut self, hash: u64, slot: u32) {
        let part = self.parts.get_mut(part_of(hash));
        let entry = part.and_then(|part| part.find_entry(hash, |&other| other == slot).ok());
        if let Some(entry) = entry {
            entry.remove();
            self.len -= 1;
        }
    }
}

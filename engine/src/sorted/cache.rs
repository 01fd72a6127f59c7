//! Decompressed blocks that are likely to be wanted again, within a bound.
//!
//! The queue is in the order of insertion; a block that was found since it came to the front gets a
//! second chance. The lock is held for a look-up or an insertion, never while a block is loaded.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::Block;

/// File and number of a block.
type Key = (u64, u32);

/// Decompressed blocks.
pub(crate) struct BlockCache {
    held: Mutex<Held>,
    capacity: usize,
    hits: AtomicU64,
    misses: AtomicU64,
}

#[derive(Default)]
struct Held {
    blocks: HashMap<Key, (Arc<Block>, bool)>,
    queue: VecDeque<Key>,
    memory: usize,
}

/// What a cache has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CacheStats {
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) bytes: u64,
}

impl BlockCache {
    /// A cache of at most `capacity` bytes.
    pub(crate) fn new(capacity: u64) -> Self {
        Self {
            held: Mutex::default(),
            capacity: usize::try_from(capacity).unwrap_or(usize::MAX),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    pub(crate) fn find(&self, file: u64, number: u32) -> Option<Arc<Block>> {
        let mut held = self.held.lock();
        let found = held
            .blocks
            .get_mut(&(file, number))
            .map(|(block, is_used)| {
                *is_used = true;
                Arc::clone(block)
            });
        let counter = if found.is_some() {
            &self.hits
        } else {
            &self.misses
        };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    pub(crate) fn insert(&self, file: u64, number: u32, block: &Arc<Block>) {
        let key = (file, number);
        if block.memory() > self.capacity / 2 {
            return;
        }
        let mut held = self.held.lock();
        if held
            .blocks
            .insert(key, (Arc::clone(block), false))
            .is_some()
        {
            return;
        }
        held.queue.push_back(key);
        held.memory += block.memory();
        while held.memory > self.capacity {
            held.evict();
        }
    }

    pub(crate) fn stats(&self) -> CacheStats {
        CacheStats {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            bytes: self.held.lock().memory as u64,
        }
    }
}

impl Held {
    /// Drops the block at the front of the queue, or sends it to the back if it was found again.
    fn evict(&mut self) {
        let Some(key) = self.queue.pop_front() else {
            return;
        };
        let held = self.blocks.get_mut(&key);
        if held.is_some_and(|(_, is_used)| std::mem::take(is_used)) {
            self.queue.push_back(key);
        } else if let Some((block, _)) = self.blocks.remove(&key) {
            self.memory -= block.memory();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EntryId;
    use crate::format::sorted::{BlockDraft, BlockRow};

    fn block() -> Arc<Block> {
        let (mut draft, mut raw) = (BlockDraft::default(), Vec::new());
        draft.push(
            EntryId::new(1, 1),
            &[vec![1, 1, b'f', 0], vec![0; 0]].concat(),
        );
        draft.take(&mut raw);
        raw.reserve_exact(1000 - raw.len());
        let first_id = EntryId::new(1, 1);
        let row = BlockRow {
            first_id,
            ..BlockRow::default()
        };
        Arc::new(Block::new(raw, &row).unwrap())
    }

    #[test]
    fn the_cache_keeps_to_its_bound_and_what_is_found_again() {
        let block = block();
        let cache = BlockCache::new(10 * block.memory() as u64);
        for number in 0..100 {
            cache.insert(1, number, &block);
            assert!(cache.find(1, 0).is_some(), "found again each time");
            assert!(cache.stats().bytes <= 10 * block.memory() as u64);
        }
        assert!(cache.find(1, 99).is_some() && cache.find(1, 50).is_none());
        assert!(cache.find(2, 99).is_none());
        let stats = cache.stats();
        assert_eq!((stats.hits, stats.misses), (101, 2));
    }

    #[test]
    fn a_block_that_would_fill_the_cache_is_not_kept() {
        let block = block();
        let cache = BlockCache::new(block.memory() as u64);
        cache.insert(1, 1, &block);
        assert!(cache.find(1, 1).is_none());
    }
}

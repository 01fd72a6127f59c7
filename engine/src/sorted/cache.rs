//! Decompressed blocks that are likely to be wanted again, within a bound.
//!
//! The queue is in the order of insertion; a block that was found since it came to the front gets a
//! second chance. The lock is held for a look-up or an insertion, never while a block is loaded.
//!
//! Who holds the engine's lock can *ask* for a block instead of loading it: see
//! [`ColdBlocks`](super::ColdBlocks).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use hashbrown::HashMap;
use parking_lot::Mutex;

use super::Block;

/// File and number of a block.
pub(super) type Key = (u64, u32);

/// Most blocks that are asked for at once.
const ASKED_MAX: usize = if cfg!(test) { 3 } else { 128 };

/// Decompressed blocks.
pub(crate) struct BlockCache {
    held: Mutex<Held>,
    capacity: usize,
    hits: AtomicU64,
    misses: AtomicU64,
    /// Changed and read under the engine's lock only, so that no order is needed.
    asking: AtomicU8,
    loads_locked: AtomicU64,
    loads_asked: AtomicU64,
}

/// Whoever holds the engine's lock loads what it needs.
const LOADS: u8 = 0;
/// It asks for what it needs,
const ASKS: u8 = 1;
/// and has done so.
const HAS_ASKED: u8 = 2;

#[derive(Default)]
struct Held {
    blocks: HashMap<Key, (Arc<Block>, bool)>,
    queue: VecDeque<Key>,
    memory: usize,
    /// What the command that runs has asked for.
    asked: Vec<Key>,
    /// What was loaded for the command that runs: it is found whatever was thrown out meanwhile.
    pinned: Pinned,
}

/// Blocks that are held for a command.
pub(super) type Pinned = HashMap<Key, Arc<Block>>;

/// What a cache has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CacheStats {
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) bytes: u64,
    /// Blocks that were loaded under the engine's lock.
    pub(crate) loads_locked: u64,
    /// Blocks that were loaded without it because a command asked for them.
    pub(crate) loads_asked: u64,
}

impl BlockCache {
    /// A cache of at most `capacity` bytes.
    pub(crate) fn new(capacity: u64) -> Self {
        Self {
            held: Mutex::default(),
            capacity: usize::try_from(capacity).unwrap_or(usize::MAX),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            asking: AtomicU8::new(LOADS),
            loads_locked: AtomicU64::new(0),
            loads_asked: AtomicU64::new(0),
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
            })
            .or_else(|| held.pinned.get(&(file, number)).cloned());
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

    /// Whoever holds the engine's lock asks for blocks from now on, or loads them.
    pub(crate) fn set_asking(&self, asks: bool) {
        let asking = if asks { ASKS } else { LOADS };
        self.asking.store(asking, Ordering::Relaxed);
    }

    /// Asks for a block that was not found; false if it is to be loaded at once.
    pub(super) fn ask(&self, file: u64, number: u32) -> bool {
        if self.asking.load(Ordering::Relaxed) == LOADS {
            self.loads_locked.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        let mut held = self.held.lock();
        if self.asking.swap(HAS_ASKED, Ordering::Relaxed) == ASKS {
            // Who asked before, and could do without, is done.
            held.asked.clear();
        }
        let key = (file, number);
        if held.asked.len() < ASKED_MAX && !held.asked.contains(&key) {
            held.asked.push(key);
        }
        true
    }

    /// What was asked for since [`BlockCache::set_asking`].
    pub(super) fn take_asked(&self) -> Vec<Key> {
        if self.asking.swap(LOADS, Ordering::Relaxed) != HAS_ASKED {
            return Vec::new();
        }
        std::mem::take(&mut self.held.lock().asked)
    }

    /// Holds blocks for the command that is about to run, in the place of those held before.
    pub(super) fn pin(&self, blocks: Pinned) -> Pinned {
        std::mem::replace(&mut self.held.lock().pinned, blocks)
    }

    /// A block was loaded because a command asked for it.
    pub(super) fn count_asked(&self) {
        self.loads_asked.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn stats(&self) -> CacheStats {
        CacheStats {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            bytes: self.held.lock().memory as u64,
            loads_locked: self.loads_locked.load(Ordering::Relaxed),
            loads_asked: self.loads_asked.load(Ordering::Relaxed),
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

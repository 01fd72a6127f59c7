//! Blocks that a command looks into and that are not in memory: they are loaded without the
//! engine's lock, and the command runs again.
//!
//! ```text
//!   under the lock    ask --> a look-up fails --> take     | resume --> the command, again
//!   outside of it                                 load --> |
//! ```
//!
//! A look-up that fails for this reason has changed nothing, because a command checks before it
//! logs; from the first record on blocks are loaded on the spot. What was loaded is held until the
//! command is over, so that it finds more of what it needs each time, however small the cache is.
//! After some rounds, or with some memory held, the command runs to its end under the lock.

use std::sync::Arc;

use super::cache::Pinned;
use super::{BlockCache, SortedFile, SortedSet};

/// How often a command runs again.
const ROUNDS_MAX: u32 = 16;
/// Most bytes of blocks that are held for a command, or one block.
const BYTES_MAX: usize = 16 << 20;

/// Blocks of sorted segments that a command needs and that were not in memory.
#[derive(Default)]
pub struct ColdBlocks {
    wanted: Vec<(Arc<SortedFile>, u32)>,
    loaded: Pinned,
    bytes: usize,
    rounds: u32,
}

impl ColdBlocks {
    /// Loads what is wanted. Not to be called by who holds the engine's lock: this may wait for the
    /// disk.
    pub fn load(&mut self) {
        for (file, number) in std::mem::take(&mut self.wanted) {
            if self.bytes >= BYTES_MAX {
                return;
            }
            let Ok(block) = file.load_for_cache(number) else {
                // The command shall find out itself what is wrong.
                self.rounds = ROUNDS_MAX;
                return;
            };
            file.cache.count_asked();
            self.bytes += block.memory();
            self.loaded.insert((file.id, number), block);
        }
    }

    /// How many blocks are to be loaded.
    #[must_use]
    pub fn wanted(&self) -> usize {
        self.wanted.len()
    }

    /// Whether the command may ask for more.
    pub(crate) fn may_ask(&self) -> bool {
        self.rounds < ROUNDS_MAX && self.bytes < BYTES_MAX
    }

    /// Notes what the command has asked for; false if that is nothing.
    pub(crate) fn take_asked(&mut self, sorted: &SortedSet) -> bool {
        let asked = sorted.cache().take_asked().into_iter();
        let file = |(file, number)| Some((Arc::clone(sorted.find(file)?), number));
        self.wanted = asked.filter_map(file).collect();
        self.rounds += 1;
        !self.wanted.is_empty()
    }

    /// Holds what was loaded for the command that is about to run.
    pub(crate) fn pin(&mut self, cache: &BlockCache) {
        cache.pin(std::mem::take(&mut self.loaded));
    }

    /// Takes back what was held.
    pub(crate) fn unpin(&mut self, cache: &BlockCache) {
        self.loaded = cache.pin(Pinned::new());
    }
}

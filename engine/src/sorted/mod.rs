//! Sorted segments: files that hold entries stream by stream, made of sealed log segments in the
//! background, and immutable from the moment that they have a name.
//!
//! ```text
//!   Builder --blocks, tables--> <id>.seg.new --sync, rename--> SortedFile --block--> BlockCache
//!                                                              SortedSet: all files, by id
//! ```
//!
//! A file is mapped and its tables are read in place: opening one costs two small reads, and an
//! entry in it costs no memory. Everything that is read is checked as it is read: a row of a table
//! by its own checksum, a block by its own.

mod block;
mod build;
mod cache;
mod cold;
mod set;
mod verify;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) use block::Block;
pub(crate) use build::Builder;
pub(crate) use cache::BlockCache;
pub use cold::ColdBlocks;
pub(crate) use set::{LostRun, SortedSet, find};

use crate::error::io_error;
use crate::format::sorted::{self as format, BlockRow, Footer, NodeRow, Row, RunRow};
use crate::storage::{Access, Map, Storage, read_full_at};
use crate::{EntryId, Error, Result};

/// Ending of the names of sorted segments.
const SUFFIX: &str = ".seg";
/// Ending of the names of those that are being written.
const UNFINISHED: &str = ".seg.new";

/// The name of the file with that id.
pub(crate) fn name(id: u64) -> String {
    format!("{id:016x}{SUFFIX}")
}

/// A sorted segment, open for reading.
pub(crate) struct SortedFile {
    id: u64,
    store: u32,
    path: PathBuf,
    map: Map,
    footer: Footer,
    cache: Arc<BlockCache>,
    /// Entries of it that streams refer to. Changed under the state lock only.
    live: AtomicU64,
}

impl SortedFile {
    /// Opens a file that has its name.
    pub(crate) fn open(
        storage: &dyn Storage,
        path: &Path,
        cache: &Arc<BlockCache>,
    ) -> Result<Self> {
        let file = storage
            .open(path, Access::Read)
            .map_err(|error| io_error("open", path, error))?;
        let read = |offset: u64, len: usize| {
            let mut bytes = vec![0; len];
            let read = read_full_at(&*file, offset, &mut bytes);
            let read = read.map_err(|error| io_error("read", path, error))?;
            bytes.truncate(read);
            Ok::<_, Error>(bytes)
        };
        let corrupt = |offset, what| Error::Corrupt {
            path: path.to_owned(),
            offset,
            what,
        };
        let size = file.size().map_err(|error| io_error("stat", path, error))?;
        let header = read(0, format::HEADER_LEN)?;
        let header = format::decode_header(&header).map_err(|what| corrupt(0, what))?;
        let id = header.id;
        if path.file_name().and_then(|name| name.to_str()) != Some(&name(id)) {
            return Err(corrupt(
                0,
                "the name of a sorted segment is not that of its header",
            ));
        }
        let footer_at = size.saturating_sub(format::FOOTER_LEN as u64);
        let footer = read(footer_at, format::FOOTER_LEN)?;
        let footer = Footer::decode(&footer, id, size).map_err(|what| corrupt(footer_at, what))?;
        let map = file
            .map(size)
            .map_err(|error| io_error("map", path, error))?;
        Ok(Self {
            id,
            store: header.store,
            path: path.to_owned(),
            map,
            footer,
            cache: Arc::clone(cache),
            live: AtomicU64::new(0),
        })
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// The data directory that it belongs to.
    pub(crate) fn store(&self) -> u32 {
        self.store
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Length of the file.
    pub(crate) fn len(&self) -> u64 {
        self.map.len() as u64
    }

    pub(crate) fn footer(&self) -> &Footer {
        &self.footer
    }

    /// Entries of it that streams refer to.
    pub(crate) fn live(&self) -> u64 {
        self.live.load(Ordering::Relaxed)
    }

    /// Bytes that so many of its entries take, about.
    pub(crate) fn share_len(&self, entries: u64) -> u64 {
        let share = u128::from(self.len()) * u128::from(entries);
        let len = share / u128::from(self.footer.entries.max(1));
        u64::try_from(len).unwrap_or(u64::MAX)
    }

    /// Bytes that its live entries take, about.
    pub(crate) fn live_len(&self) -> u64 {
        self.share_len(self.live())
    }

    /// A stream refers to `count` more entries.
    pub(crate) fn entries_live(&self, count: u64) {
        self.live.store(self.live() + count, Ordering::Relaxed);
    }

    /// `count` entries were trimmed or deleted, or moved to another file.
    pub(crate) fn entries_died(&self, count: u64) {
        self.live
            .store(self.live().saturating_sub(count), Ordering::Relaxed);
    }

    fn bytes(&self) -> &[u8] {
        self.map.prefix(self.map.len())
    }

    /// The error that names this file.
    pub(crate) fn corrupt(&self, offset: u64, what: &'static str) -> Error {
        Error::Corrupt {
            path: self.path.clone(),
            offset,
            what,
        }
    }

    fn row<R: Row>(&self, row: u32) -> Result<R> {
        R::decode(self.bytes(), self.id, &self.footer, row).map_err(|what| {
            let (_, at) = R::table(&self.footer);
            self.corrupt(at + u64::from(row) * R::LEN as u64, what)
        })
    }

    /// The blocks of a run, read once, each or what is wrong with it.
    pub(crate) fn blocks_of(&self, run: &RunRow) -> impl Iterator<Item = Result<Arc<Block>>> {
        let numbers = run.first_block..run.first_block + run.blocks;
        numbers.map(|number| self.passing_block(number))
    }

    /// Run number `slot`.
    pub(crate) fn run(&self, slot: u32) -> Result<RunRow> {
        let run: RunRow = self.row(slot)?;
        let ends = |first: u32, count: u32, all: u32| {
            count > 0 && first.checked_add(count).is_some_and(|end| end <= all)
        };
        let is_sound = run.entries > 0
            && ends(run.first_block, run.blocks, self.footer.blocks)
            && ends(run.first_node, run.nodes, self.footer.nodes);
        is_sound.then_some(run).ok_or_else(|| {
            self.corrupt(
                self.footer.tables_at,
                "a run of a sorted segment contradicts itself",
            )
        })
    }

    /// Node `index` of a run.
    pub(crate) fn node(&self, run: &RunRow, index: u32) -> Result<NodeRow> {
        self.row(run.first_node.saturating_add(index))
    }

    /// Which node of a run an ordinal lies in.
    pub(crate) fn node_of(&self, run: &RunRow, ordinal: u32) -> Result<u32> {
        let behind = partition(run.nodes, |index| {
            Ok(self.node(run, index)?.ordinal <= ordinal)
        })?;
        Ok(behind.saturating_sub(1))
    }

    /// The ordinals of node `index` of a run: from and to.
    pub(crate) fn node_bounds(&self, run: &RunRow, index: u32) -> Result<(u32, u32)> {
        let from = self.node(run, index)?.ordinal;
        let to = if index + 1 < run.nodes {
            self.node(run, index + 1)?.ordinal
        } else {
            run.entries
        };
        Ok((from.min(to), to))
    }

    /// Which block of a run holds an ordinal.
    pub(crate) fn block_of(&self, run: &RunRow, ordinal: u32) -> Result<u32> {
        let behind = partition(run.blocks, |index| {
            let row: BlockRow = self.row(run.first_block + index)?;
            Ok(row.ordinal <= ordinal)
        })?;
        Ok(run.first_block + behind.saturating_sub(1))
    }

    /// Bytes of the blocks of a run from that on which holds an ordinal.
    pub(crate) fn stored_from(&self, run: &RunRow, ordinal: u32) -> Result<u64> {
        let first: BlockRow = self.row(self.block_of(run, ordinal)?)?;
        let last: BlockRow = self.row(run.first_block + run.blocks - 1)?;
        let end = last.offset.saturating_add(u64::from(last.len));
        Ok(end.saturating_sub(first.offset))
    }

    /// The block of the file with that number, from the cache or for the cache.
    pub(crate) fn cached_block(&self, number: u32) -> Result<Arc<Block>> {
        if let Some(block) = self.cache.find(self.id, number) {
            return Ok(block);
        }
        self.load_for_cache(number)
    }

    fn load_for_cache(&self, number: u32) -> Result<Arc<Block>> {
        let block = Arc::new(self.load(number)?);
        self.cache.insert(self.id, number, &block);
        Ok(block)
    }

    /// The block of the file with that number, for who holds the engine's lock: if it is not in
    /// memory and the command can run again, it is only asked for.
    ///
    /// # Errors
    ///
    /// [`Cold`](Error::Cold) then.
    pub(crate) fn wanted_block(&self, number: u32) -> Result<Arc<Block>> {
        if let Some(block) = self.cache.find(self.id, number) {
            return Ok(block);
        }
        if self.cache.ask(self.id, number) {
            return Err(Error::Cold);
        }
        self.load_for_cache(number)
    }

    /// The block of the file with that number, for who reads many and each once.
    pub(crate) fn passing_block(&self, number: u32) -> Result<Arc<Block>> {
        match self.cache.find(self.id, number) {
            Some(block) => Ok(block),
            None => self.load(number).map(Arc::new),
        }
    }

    fn load(&self, number: u32) -> Result<Block> {
        let row: BlockRow = self.row(number)?;
        let corrupt = |what| self.corrupt(row.offset, what);
        let bytes = usize::try_from(row.offset)
            .ok()
            .and_then(|offset| self.bytes().get(offset..)?.get(..row.len as usize))
            .ok_or_else(|| corrupt("a block of a sorted segment lies outside of it"))?;
        let raw = format::decode_block(bytes, self.id, row.offset);
        raw.and_then(|raw| Block::new(raw, &row)).map_err(corrupt)
    }

    /// The ordinal of the first entry of a run whose ID is not below `id`.
    pub(crate) fn lower_bound(&self, run: &RunRow, id: EntryId) -> Result<u32> {
        if id <= run.first_id {
            return Ok(0);
        }
        if id > run.last_id {
            return Ok(run.entries);
        }
        let behind = partition(run.blocks, |index| {
            let row: BlockRow = self.row(run.first_block + index)?;
            Ok(row.first_id <= id)
        })?;
        let block = self.wanted_block(run.first_block + behind.saturating_sub(1))?;
        Ok(block.lower_bound(id))
    }
}

/// How many of `count` rows at the front satisfy `claim`, which holds for a prefix of them.
pub(crate) fn partition(count: u32, mut claim: impl FnMut(u32) -> Result<bool>) -> Result<u32> {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low.midpoint(high);
        if claim(middle)? {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

impl fmt::Debug for SortedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SortedFile")
            .field("path", &self.path)
            .field("footer", &self.footer)
            .finish_non_exhaustive()
    }
}

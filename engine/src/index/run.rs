//! What a sorted segment holds of one stream, and which of it is still there.
//!
//! ```text
//!   ordinal   0 1 2 | 3 4 x 6 7 x 9        x: deleted one by one
//!             skip  | 0 1   2 3   4        rank among the live
//! ```
//!
//! The file tells IDs and nodes; here is only what happened since it was written: how many entries
//! were trimmed at the head, and which ordinals were deleted. A node may be cut by the end of a
//! run: the *parts* of one node lie in neighbouring runs, or in a run and in the log.
//!
//! Counting nodes reads rows of the file. If one is damaged the count is an estimate: what is
//! stored stays as it is, and who reads entries learns of the damage.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use crate::format::sorted::{NodeRow, RunRow};
use crate::sorted::{Block, SortedFile};
use crate::{EntryId, Error, Result};

/// The entries of a stream in one sorted segment.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) file: Arc<SortedFile>,
    /// Its number in the file.
    pub(crate) slot: u32,
    /// Entries at the head that were trimmed.
    pub(crate) skip: u32,
    pub(crate) live: u32,
    /// Parts of nodes that have live entries.
    pub(crate) nodes: u32,
    /// The first live entry is in the same node as the last one of the run before.
    pub(crate) continues: bool,
    extra: Option<Box<Extra>>,
}

/// What only some runs have.
#[derive(Clone, Debug, Default)]
struct Extra {
    /// Ordinals behind `skip` that were deleted, in order.
    deleted: Vec<u32>,
    tail: Option<Tail>,
}

/// What became of a node behind the part of it that lies in a run, where nothing of it is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tail {
    pub(crate) added: u32,
    pub(crate) last_id: EntryId,
}

impl Tail {
    /// What the file says, which holds if nothing of the node was behind the run.
    pub(super) fn stored(node: &NodeRow) -> Self {
        Self {
            added: node.added,
            last_id: node.last_id,
        }
    }
}

/// What a checkpoint holds of a run.
#[derive(Clone, Debug)]
pub(crate) struct RunParts {
    pub(crate) slot: u32,
    pub(crate) skip: u32,
    pub(crate) live: u32,
    pub(crate) nodes: u32,
    pub(crate) continues: bool,
    pub(crate) deleted: Vec<u32>,
    pub(crate) tail: Option<Tail>,
}

/// The last node of a run that has live entries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LastNode {
    /// Its number in the run.
    pub(crate) index: u32,
    pub(crate) base: u64,
    pub(crate) tail: Tail,
}

/// What is copied of a run.
pub(crate) enum Copied<'a> {
    /// The entries that follow are in this node.
    Node(NodeRow),
    /// An entry and its body.
    Entry(EntryId, &'a [u8]),
}

/// Whether to go on.
pub(crate) type Flow = Result<ControlFlow<()>>;

const _: () = assert!(size_of::<Run>() <= 40);

impl Run {
    /// A run of `entries` entries, of which those that are not in `dead` (ordinals, in order) live.
    pub(crate) fn new(file: &Arc<SortedFile>, slot: u32, entries: u32, dead: &[u32]) -> Self {
        let skip = (0..)
            .zip(dead)
            .take_while(|&(at, &dead)| at == dead)
            .count();
        let deleted = dead[skip..].to_vec();
        let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        let (skip, dead) = (count(skip), count(dead.len()));
        let mut run = Self {
            file: Arc::clone(file),
            slot,
            skip,
            live: entries.saturating_sub(dead),
            nodes: 0,
            continues: false,
            extra: None,
        };
        if !deleted.is_empty() {
            run.extra_mut().deleted = deleted;
        }
        run.nodes = run.count_nodes().unwrap_or(1);
        run
    }

    /// The run of `stream` that a checkpoint tells of; `None` if its row says otherwise.
    pub(crate) fn restore(
        (file, row): (&Arc<SortedFile>, &RunRow),
        stream: u64,
        parts: RunParts,
    ) -> Option<Self> {
        let deleted = &parts.deleted;
        let gone = u64::from(parts.skip) + deleted.len() as u64;
        let is_sound = row.stream == stream
            && u64::from(parts.live) + gone == u64::from(row.entries)
            && (1..=row.nodes).contains(&parts.nodes)
            && parts.live > 0
            && deleted.is_sorted_by(|a, b| a < b)
            && deleted.first().is_none_or(|&first| parts.skip <= first)
            && deleted.last().is_none_or(|&last| last < row.entries);
        let has_extra = !deleted.is_empty() || parts.tail.is_some();
        let extra = Extra {
            deleted: parts.deleted,
            tail: parts.tail,
        };
        is_sound.then(|| Self {
            file: Arc::clone(file),
            slot: parts.slot,
            skip: parts.skip,
            live: parts.live,
            nodes: parts.nodes,
            continues: parts.continues,
            extra: has_extra.then(|| Box::new(extra)),
        })
    }

    fn count_nodes(&self) -> Result<u32> {
        let row = self.row()?;
        if self.live == row.entries {
            return Ok(row.nodes);
        }
        self.live_nodes(&row, 0, row.nodes)
    }

    fn extra_mut(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    pub(crate) fn row(&self) -> Result<RunRow> {
        self.file.run(self.slot)
    }

    /// Ordinals behind `skip` that were deleted, in order.
    pub(crate) fn deleted(&self) -> &[u32] {
        self.extra.as_ref().map_or(&[], |extra| &extra.deleted)
    }

    pub(crate) fn tail(&self) -> Option<Tail> {
        self.extra.as_ref()?.tail
    }

    /// Notes what became of the last node behind this run.
    pub(crate) fn set_tail(&mut self, tail: Option<Tail>) {
        if tail != self.tail() {
            self.extra_mut().tail = tail;
        }
    }

    /// The ordinal of the live entry of that rank, or the one behind the last.
    pub(crate) fn ordinal(&self, rank: u32) -> u32 {
        nth_live(self.skip, self.deleted(), rank)
    }

    /// How many live entries have a lower ordinal.
    pub(crate) fn rank(&self, ordinal: u32) -> u32 {
        self.live_in(0, ordinal)
    }

    /// Live entries with ordinals between two bounds.
    fn live_in(&self, from: u32, to: u32) -> u32 {
        let (from, to) = (from.max(self.skip), to.max(self.skip));
        let deleted = self.deleted();
        let below = |bound: u32| deleted.partition_point(|&ordinal| ordinal < bound);
        let gone = below(to) - below(from);
        (to - from) - u32::try_from(gone).unwrap_or(u32::MAX)
    }

    /// The first rank whose ID is not below `id`.
    pub(crate) fn lower_bound(&self, id: EntryId) -> Result<u32> {
        let row = self.row()?;
        Ok(self.rank(self.file.lower_bound(&row, id)?).min(self.live))
    }

    /// Hands ID and body of the live entry of that rank to `reader`.
    pub(crate) fn read<T>(&self, rank: u32, reader: impl FnOnce(EntryId, &[u8]) -> T) -> Result<T> {
        let (row, ordinal) = (self.row()?, self.ordinal(rank));
        let block = self.file.wanted_block(self.file.block_of(&row, ordinal)?)?;
        let (id, body) = block.entry(ordinal).ok_or_else(|| self.lacks_entry())?;
        Ok(reader(id, body))
    }

    /// Appends the IDs of the live entries of these ranks.
    pub(crate) fn ids(&self, ranks: Range<u32>, out: &mut impl Extend<EntryId>) -> Result<()> {
        let row = self.row()?;
        let mut current: Option<Arc<Block>> = None;
        for rank in ranks {
            let ordinal = self.ordinal(rank);
            let block = match current.take().filter(|block| block.id(ordinal).is_some()) {
                Some(block) => block,
                None => self.file.wanted_block(self.file.block_of(&row, ordinal)?)?,
            };
            out.extend(block.id(ordinal));
            current = Some(block);
        }
        Ok(())
    }

    /// Looks into the blocks that hold the live entries of these ranks, up to so many; returns how
    /// many.
    pub(super) fn ask_between(&self, from: usize, to: usize, blocks_max: usize) -> usize {
        let to = to.min(self.live as usize);
        if from >= to {
            return 0;
        }
        let block = |rank: usize| {
            let ordinal = self.ordinal(u32::try_from(rank).unwrap_or(self.live));
            self.file.block_of(&self.row()?, ordinal)
        };
        let (Ok(first), Ok(last)) = (block(from), block(to - 1)) else {
            return 0;
        };
        let asked = (first..=last).take(blocks_max);
        asked
            .map(|number| drop(self.file.wanted_block(number)))
            .count()
    }

    /// The ID of the live entry of that rank.
    pub(crate) fn id(&self, rank: u32) -> Result<EntryId> {
        self.read(rank, |id, _| id)
    }

    /// Removes `count` live entries at the head.
    pub(crate) fn trim(&mut self, count: u32) {
        let (from, to) = (self.skip, self.ordinal(count));
        let nodes = self.nodes_between(from, to);
        let before = nodes.map(|(first, behind)| self.live_nodes_of(first, behind));
        self.skip = to;
        self.live -= count;
        if let Some(extra) = &mut self.extra {
            extra.deleted.retain(|&ordinal| ordinal >= to);
        }
        let after = nodes.map(|(first, behind)| self.live_nodes_of(first, behind));
        let died = before.unwrap_or(0).saturating_sub(after.unwrap_or(0));
        self.nodes = self.nodes.saturating_sub(died).min(self.live);
        self.file.entries_died(u64::from(count));
    }

    /// The nodes that lie between two ordinals: the first, and the one behind the last.
    fn nodes_between(&self, from: u32, to: u32) -> Option<(u32, u32)> {
        let row = self.row().ok()?;
        let first = self.file.node_of(&row, from).ok()?;
        Some((first, self.file.node_of(&row, to).ok()? + 1))
    }

    fn live_nodes_of(&self, first: u32, behind: u32) -> u32 {
        let count = self
            .row()
            .and_then(|row| self.live_nodes(&row, first, behind));
        count.unwrap_or(0)
    }

    /// How many of the nodes from `first` to before `behind` have live entries.
    fn live_nodes(&self, row: &RunRow, first: u32, behind: u32) -> Result<u32> {
        let mut count = 0;
        for index in first..behind {
            count += u32::from(self.live_in_node(row, index)? > 0);
        }
        Ok(count)
    }

    /// Live entries of a node that lie in this run.
    pub(crate) fn live_in_node(&self, row: &RunRow, index: u32) -> Result<u32> {
        let (from, to) = self.file.node_bounds(row, index)?;
        Ok(self.live_in(from, to))
    }

    /// Deletes the live entry with that ordinal; the number of its node if that has none left here.
    pub(crate) fn delete(&mut self, ordinal: u32) -> Option<u32> {
        let deleted = &mut self.extra_mut().deleted;
        let at = deleted.partition_point(|&other| other < ordinal);
        deleted.insert(at, ordinal);
        self.live -= 1;
        self.file.entries_died(1);
        let emptied = self.row().and_then(|row| {
            let node = self.file.node_of(&row, ordinal)?;
            Ok((self.live_in_node(&row, node)? == 0).then_some(node))
        });
        let emptied = emptied.unwrap_or(None);
        self.nodes = self.nodes.saturating_sub(u32::from(emptied.is_some()));
        emptied
    }

    /// Whether there are live entries behind a node.
    pub(crate) fn has_live_behind(&self, node: u32) -> bool {
        let behind = self.row().and_then(|row| self.file.node_bounds(&row, node));
        behind.is_ok_and(|(_, to)| self.live_in(0, to) < self.live)
    }

    /// A node that has live entries here, as it is known to be by now.
    pub(crate) fn node(&self, row: &RunRow, index: u32) -> Result<NodeRow> {
        let stored = self.file.node(row, index)?;
        let tail = self.tail().filter(|_| !self.has_live_behind(index));
        Ok(tail.map_or(stored, |tail| NodeRow {
            added: tail.added,
            last_id: tail.last_id,
            ..stored
        }))
    }

    /// Hands the live entries to `taker` in order, each node before its entries, until it breaks.
    pub(crate) fn copy(&self, taker: &mut dyn FnMut(Copied<'_>) -> Flow) -> Flow {
        let row = self.row()?;
        let mut node_end = 0;
        let mut current: Option<Arc<Block>> = None;
        for rank in 0..self.live {
            let ordinal = self.ordinal(rank);
            if ordinal >= node_end {
                let index = self.file.node_of(&row, ordinal)?;
                node_end = self.file.node_bounds(&row, index)?.1;
                let node = Copied::Node(self.node(&row, index)?);
                if taker(node)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            let block = match current.take().filter(|block| block.id(ordinal).is_some()) {
                Some(block) => block,
                None => self
                    .file
                    .passing_block(self.file.block_of(&row, ordinal)?)?,
            };
            let (id, body) = block.entry(ordinal).ok_or_else(|| self.lacks_entry())?;
            if taker(Copied::Entry(id, body))?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            current = Some(block);
        }
        Ok(ControlFlow::Continue(()))
    }

    fn lacks_entry(&self) -> Error {
        let what = "a run of a sorted segment lacks an entry";
        self.file.corrupt(0, what)
    }

    /// Whether both are the same run, at whatever time.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.slot == other.slot && Arc::ptr_eq(&self.file, &other.file)
    }

    /// Appends the ranks, counted from `base`, of those entries that are gone in `now`, which is
    /// this run later, if anything is left of it.
    pub(super) fn ranks_gone(&self, now: Option<&Self>, base: u32, out: &mut Vec<u32>) {
        let Some(now) = now else {
            out.extend(base..base + self.live);
            return;
        };
        out.extend(base..base + self.rank(now.skip));
        let known = self.deleted();
        let fresh = |ordinal: &&u32| known.binary_search(ordinal).is_err();
        let deleted = now.deleted().iter().filter(fresh);
        out.extend(deleted.map(|&ordinal| base + self.rank(ordinal)));
    }

    /// The last node that has live entries.
    pub(crate) fn last_node(&self) -> Result<LastNode> {
        let row = self.row()?;
        let last = self.ordinal(self.live.saturating_sub(1));
        let index = self.file.node_of(&row, last)?;
        let node = self.file.node(&row, index)?;
        Ok(LastNode {
            index,
            base: node.base,
            tail: self.tail().unwrap_or_else(|| Tail::stored(&node)),
        })
    }

    /// Bytes of the file that its live entries take, about.
    pub(crate) fn stored_len(&self) -> u64 {
        self.file.share_len(u64::from(self.live))
    }

    /// Bytes of the file that its live entries take: whole blocks from that of the first one on,
    /// and of these the share of those that were not deleted. 0 if a row that tells is damaged.
    pub(crate) fn bytes(&self) -> u64 {
        let stored = self.row().and_then(|row| {
            let stored = self.file.stored_from(&row, self.skip)?;
            let entries = u64::from(row.entries.saturating_sub(self.skip).max(1));
            Ok(stored.saturating_mul(u64::from(self.live)) / entries)
        });
        stored.unwrap_or(0)
    }

    /// Bytes of memory.
    pub(crate) fn memory(&self) -> usize {
        let extra = self.extra.as_ref();
        let extra = extra.map_or(0, |extra| size_of::<Extra>() + extra.deleted.capacity() * 4);
        size_of::<Self>() + extra
    }
}

/// The ordinal of the live entry number `rank` from ordinal `from` on, where `deleted` are not.
pub(crate) fn nth_live(from: u32, deleted: &[u32], rank: u32) -> u32 {
    let at = from + rank;
    let (mut low, mut high) = (0_u32, u32::try_from(deleted.len()).unwrap_or(u32::MAX));
    while low < high {
        let middle = low.midpoint(high);
        // As many as that lie before the deleted one and are not deleted.
        if deleted[middle as usize] - middle <= at {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    at + low
}

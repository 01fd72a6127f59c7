//! The index of one stream: where its entries lie in sorted segments and in the log.
//!
//! ```text
//! runs     [ file slot skip live ] [ ... ]             the older entries: no memory an entry
//! nodes    [ first_id last_id base added bytes | offsets u32 u32 u32 ... ] [ ... ] [ ... ]
//!                                                ^ LSN of a live entry = base + offset
//! ```
//!
//! Four bytes an entry of the log. A node holds up to `stream-node-max-entries` entries, counted as
//! they are added; it is removed with its last live entry. IDs inside a node are read from the log
//! when they are needed. Entries are added with growing IDs and growing LSNs, so the two orders are
//! the same.
//!
//! The first node's `first_id` is the ID of the stream's first entry; the others' is an ID above
//! all of the node before and not above any of its own.

mod bytes;
mod extents;
mod merge;
mod nodes;
mod run;
mod runs;
mod search;
mod sort;

use crate::format::entry;
use crate::id::EntryId;
use crate::log::{Log, NO_ENTRY};
use crate::{Error, Lsn, Result};

use std::collections::VecDeque;

pub(crate) use extents::Extent;
pub use extents::NodeSize;
pub(crate) use merge::Fate;
pub(crate) use nodes::Node;
use nodes::Nodes;
pub(crate) use run::{Copied, Run, RunParts, Tail, nth_live};
pub(crate) use runs::Runs;

/// A live entry by its place in the index, or the end of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    /// A run, or behind all runs a node.
    pub(crate) part: usize,
    /// Its rank among the live entries there.
    pub(crate) at: usize,
}

impl Position {
    /// The position of the first entry.
    pub(crate) const START: Self = Self { part: 0, at: 0 };
}

/// Where the entries of a stream lie.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    runs: Option<Box<Runs>>,
    nodes: Nodes,
    length: u64,
}

impl Index {
    /// Builds an index of runs and of nodes that are in order.
    pub(crate) fn of_parts(runs: Option<Runs>, nodes: Vec<Node>) -> Self {
        let in_log: u64 = nodes.iter().map(|node| node.offsets.len() as u64).sum();
        let runs = runs.filter(|runs| !runs.list.is_empty()).map(Box::new);
        let length = in_log + runs.as_deref().map_or(0, Runs::live);
        Self {
            runs,
            nodes: Nodes::of(nodes),
            length,
        }
    }

    /// What lies in sorted segments, if anything does.
    pub(crate) fn runs(&self) -> Option<&Runs> {
        self.runs.as_deref()
    }

    fn run_count(&self) -> usize {
        self.runs().map_or(0, |runs| runs.list.len())
    }

    /// The run with that number.
    pub(crate) fn run(&self, part: usize) -> Option<&Run> {
        self.runs()?.list.get(part)
    }

    /// The node of the log that is that part of the index.
    pub(crate) fn node_at(&self, part: usize) -> Option<&Node> {
        self.node(part.checked_sub(self.run_count())?)
    }

    /// Runs, and nodes of the log.
    pub(crate) fn part_count(&self) -> usize {
        self.run_count() + self.log_node_count()
    }

    /// Live entries of a part.
    pub(crate) fn part_len(&self, part: usize) -> usize {
        match self.run(part) {
            Some(run) => run.live as usize,
            None => self.node_at(part).map_or(0, |node| node.offsets.len()),
        }
    }

    /// Number of live entries.
    pub(crate) fn len(&self) -> u64 {
        self.length
    }

    /// Number of live entries in the log.
    pub(crate) fn log_len(&self) -> u64 {
        self.length - self.runs().map_or(0, Runs::live)
    }

    /// Number of nodes.
    pub(crate) fn node_count(&self) -> usize {
        self.runs().map_or(0, Runs::node_count) + self.log_node_count()
    }

    /// Number of nodes of what lies in the log.
    pub(crate) fn log_node_count(&self) -> usize {
        self.nodes.len()
    }

    /// A node of what lies in the log.
    pub(crate) fn node(&self, index: usize) -> Option<&Node> {
        self.nodes.get(index)
    }

    /// The nodes of what lies in the log.
    pub(crate) fn log_nodes(&self) -> impl Iterator<Item = &Node> {
        (0..self.log_node_count()).filter_map(|index| self.node(index))
    }

    fn last_node(&self) -> Option<&Node> {
        self.node(self.log_node_count().checked_sub(1)?)
    }

    /// The ID of the first entry; `0-0` if there is none.
    pub(crate) fn first_id(&self) -> EntryId {
        match (self.runs(), self.node(0)) {
            (Some(runs), _) => runs.first_id,
            (None, node) => node.map_or(EntryId::MIN, |node| node.first_id),
        }
    }

    /// Counts entries as added to the last node that were deleted elsewhere; false if there is no
    /// node to count them to.
    pub(crate) fn count_missing(&mut self, count: u32) -> bool {
        let last = self.log_node_count().wrapping_sub(1);
        if let Some(node) = self.nodes.get_mut(last) {
            node.added = node.added.saturating_add(count);
            return true;
        }
        let counted = self.change_runs(|runs| runs.count_missing(count));
        counted.unwrap_or(count == 0)
    }

    /// Reads what the next addition looks at.
    pub(crate) fn warm(&self) -> Option<u32> {
        self.last_node()?.offsets.last().copied()
    }

    /// Whether an entry at `lsn` has to start a node.
    pub(crate) fn must_start_node(&self, lsn: Lsn, node_entries_max: u32) -> bool {
        let may_add = |node: &Node| node.added < node_entries_max && node.offset_of(lsn).is_some();
        match self.last_node() {
            Some(last) => !may_add(last),
            None => !self.node_behind_runs().is_some_and(|node| may_add(&node)),
        }
    }

    /// The last node of the last run, as a node of the log that goes on with it and has no entry
    /// yet.
    fn node_behind_runs(&self) -> Option<Node> {
        let last = self.runs()?.list.last()?.last_node().ok()?;
        Some(Node {
            first_id: EntryId::MIN,
            last_id: last.tail.last_id,
            base: Lsn(last.base),
            added: last.tail.added,
            bytes: 0,
            offsets: Vec::new(),
        })
    }

    /// Adds an entry behind all others; false if it cannot go into the node that it says.
    pub(crate) fn push(&mut self, id: EntryId, at: (Lsn, u32), starts_node: bool) -> bool {
        let (lsn, bytes) = at;
        if starts_node {
            self.nodes.push(Node::new(id, lsn, bytes));
            self.length += 1;
            return true;
        }
        if self.log_node_count() == 0 && !self.go_on_behind_runs(id) {
            return false;
        }
        let last = self.log_node_count().wrapping_sub(1);
        let Some(node) = self.nodes.get_mut(last) else {
            return false;
        };
        let Some(offset) = node.offset_of(lsn) else {
            return false;
        };
        node.offsets.push(offset);
        node.added = node.added.saturating_add(1);
        node.bytes = node.bytes.saturating_add(bytes);
        node.last_id = id;
        self.nodes.resized(last, 1);
        self.length += 1;
        true
    }

    /// Lets the log go on with the last node of the last run; false if there is none.
    fn go_on_behind_runs(&mut self, id: EntryId) -> bool {
        let Some(node) = self.node_behind_runs() else {
            return false;
        };
        self.nodes.push(Node {
            first_id: id,
            ..node
        });
        if let Some(runs) = &mut self.runs {
            runs.log_continues = true;
        }
        true
    }

    /// Removes `count` entries at the head and tells where they were; false if there are not so
    /// many. `first` is the ID of the first entry that stays.
    pub(crate) fn trim(&mut self, count: u64, first: EntryId, dead: &mut dyn FnMut(Lsn)) -> bool {
        if count > self.length {
            return false;
        }
        self.length -= count;
        let mut left = count - self.change_runs(|runs| runs.trim(count)).unwrap_or(0);
        while left > 0 {
            let Some(node) = self.nodes.get_mut(0) else {
                return false;
            };
            let taken = usize::try_from(left)
                .map_or(node.offsets.len(), |left| left.min(node.offsets.len()));
            let base = node.base.0;
            node.take_bytes(taken);
            node.offsets
                .drain(..taken)
                .for_each(|offset| dead(Lsn(base + u64::from(offset))));
            left -= taken as u64;
            let is_empty = node.offsets.is_empty();
            self.nodes.resized(0, -to_i32(taken));
            if is_empty {
                self.nodes.remove(0);
            }
        }
        self.set_first(first);
        true
    }

    /// Takes out what lies at the head, up to `count` entries: those in runs, and whole nodes of
    /// the log, which are returned.
    pub(crate) fn take_nodes(&mut self, count: u64) -> VecDeque<Node> {
        let in_runs = self.change_runs(|runs| runs.trim(count)).unwrap_or(0);
        self.length -= in_runs;
        let (mut taken, mut whole) = (0, 0);
        for node in self.log_nodes() {
            let with_it = taken + node.offsets.len() as u64;
            if with_it > count - in_runs {
                break;
            }
            (taken, whole) = (with_it, whole + 1);
        }
        self.length -= taken;
        self.nodes.take(whole)
    }

    /// Whether the last node has one entry.
    pub(crate) fn has_new_node(&self) -> bool {
        self.last_node().is_some_and(|node| node.added == 1)
    }

    /// How many entries the first node of the log holds.
    pub(crate) fn first_node_len(&self) -> u64 {
        self.node(0).map_or(0, |node| node.offsets.len() as u64)
    }

    /// Lets go of what lies in sorted segments: the stream is gone.
    pub(crate) fn release_runs(&mut self) {
        if let Some(runs) = self.runs.take() {
            self.length -= runs.release();
        }
    }

    /// Changes the runs; if none is left the index is that of the log alone.
    fn change_runs<T>(&mut self, change: impl FnOnce(&mut Runs) -> T) -> Option<T> {
        let runs = self.runs.as_mut()?;
        let changed = change(runs);
        if runs.list.is_empty() {
            self.runs = None;
        }
        Some(changed)
    }

    /// Removes entries, each of which was at an LSN when that was said, or in a run already; where
    /// it is now decides. Where those were that lay in the log; `None` if one is not there.
    pub(crate) fn remove_all(&mut self, entries: &[(EntryId, Lsn)], log: &Log) -> Option<Vec<Lsn>> {
        // All are found before any is removed, and removed from the last on: what lies before an
        // entry stays where it is.
        let place = |&(id, lsn): &(EntryId, Lsn)| self.locate(id, lsn, log);
        let mut places = entries.iter().map(place).collect::<Option<Vec<_>>>()?;
        places.sort_unstable_by(|a, b| b.cmp(a));
        if !places.is_sorted_by(|a, b| a > b) {
            return None;
        }
        let in_log = places.partition_point(|place| place.part >= self.run_count());
        let (in_log, in_runs) = places.split_at(in_log);
        let removed = in_log.iter().filter_map(|&place| self.lsn(place)).collect();
        let mut leaves_empty = false;
        for &place in in_log {
            leaves_empty |= self.take_offset(place);
        }
        // All at once, because a node in the middle costs as much as all of them.
        if leaves_empty {
            self.remove_empty();
        }
        for place in in_runs {
            let ordinal = self.run(place.part)?.ordinal(u32::try_from(place.at).ok()?);
            self.change_runs(|runs| runs.delete(place.part, ordinal));
            self.length -= 1;
        }
        Some(removed)
    }

    /// Removes an entry of the log; whether its node is empty then.
    fn take_offset(&mut self, position: Position) -> bool {
        let index = position.part - self.run_count();
        let Some(node) = self.nodes.get_mut(index) else {
            return false;
        };
        node.take_bytes(1);
        node.offsets.remove(position.at);
        let is_empty = node.offsets.is_empty();
        self.nodes.resized(index, -1);
        self.length -= 1;
        is_empty
    }

    fn remove_empty(&mut self) {
        let is_empty = |node: &&Node| node.offsets.is_empty();
        if let Some(first) = self.node(0).filter(is_empty) {
            let tail = first.tail();
            self.change_runs(|runs| runs.log_node_died(tail));
        }
        self.nodes.remove_empty();
    }

    /// Says which ID the first entry has, after removals.
    pub(crate) fn set_first(&mut self, first: EntryId) {
        if let Some(runs) = &mut self.runs {
            runs.first_id = first;
        } else if let Some(node) = self.nodes.get_mut(0) {
            node.first_id = first;
        }
    }

    /// Reads which ID the first entry has, after a loss; one that cannot be read stays as it is.
    pub(crate) fn find_first(&mut self, log: &Log) {
        let first = self.read(Position::START, log, |id, _| id);
        if let Ok(Some(first)) = first {
            self.set_first(first);
        }
    }

    /// Where the live entries of the log lie, in order.
    pub(crate) fn lsns(&self) -> impl Iterator<Item = Lsn> {
        self.log_nodes().flat_map(Node::lsns)
    }

    /// How many nodes at the head satisfy `claim`.
    fn partition(&self, claim: impl Fn(&Node) -> bool) -> usize {
        self.nodes.partition(claim)
    }

    /// How many nodes of the log begin before `lsn`.
    pub(crate) fn nodes_before(&self, lsn: Lsn) -> usize {
        self.partition(|node| node.base < lsn)
    }

    /// The position behind the last entry.
    pub(crate) fn end(&self) -> Position {
        Position {
            part: self.part_count(),
            at: 0,
        }
    }

    /// The position of rank `at` in a part, or the one behind that part.
    fn position(&self, part: usize, at: usize) -> Position {
        if at < self.part_len(part) {
            Position { part, at }
        } else {
            Position {
                part: part + 1,
                at: 0,
            }
        }
    }

    /// The position of the entry behind `position`, which is not the end.
    pub(crate) fn next(&self, position: Position) -> Position {
        self.position(position.part, position.at + 1)
    }

    /// The position of the entry before `position`; `None` at the start.
    pub(crate) fn previous(&self, position: Position) -> Option<Position> {
        if position.at > 0 {
            return Some(Position {
                at: position.at - 1,
                ..position
            });
        }
        let part = position.part.checked_sub(1)?;
        let at = self.part_len(part).checked_sub(1)?;
        Some(Position { part, at })
    }

    /// The positions of all entries.
    pub(crate) fn positions(&self) -> impl Iterator<Item = Position> + '_ {
        let parts = 0..self.part_count();
        parts.flat_map(|part| (0..self.part_len(part)).map(move |at| Position { part, at }))
    }

    /// The position `count` entries behind `position`, or the end.
    pub(crate) fn advance(&self, position: Position, count: u64) -> Position {
        let mut at = (position.at as u64).saturating_add(count);
        for part in position.part..self.part_count() {
            let len = self.part_len(part) as u64;
            if at < len {
                let at = usize::try_from(at).expect("an index into a vector");
                return Position { part, at };
            }
            at -= len;
        }
        self.end()
    }

    /// The position `count` entries before `position`, or the start.
    pub(crate) fn retreat(&self, position: Position, count: u64) -> Position {
        let mut left = count;
        let mut position = position;
        while left > 0 {
            if position.at > 0 {
                let step = usize::try_from(left).map_or(position.at, |left| left.min(position.at));
                position.at -= step;
                left -= step as u64;
            } else if let Some(part) = position.part.checked_sub(1) {
                position = Position {
                    part,
                    at: self.part_len(part),
                };
            } else {
                break;
            }
        }
        position
    }

    /// Reads the entry at `position` and hands its ID and body to `reader`; `None` at the end.
    pub(crate) fn read<T>(
        &self,
        position: Position,
        log: &Log,
        reader: impl FnOnce(EntryId, &[u8]) -> T,
    ) -> Result<Option<T>> {
        if let Some(run) = self.run(position.part) {
            let rank = u32::try_from(position.at).expect("a rank in a run");
            return run.read(rank, reader).map(Some);
        }
        let Some(lsn) = self.lsn(position) else {
            return Ok(None);
        };
        let found = entry::entry(log.bytes_at(lsn)?, lsn);
        let entry = found.ok_or_else(|| damaged_entry(log, lsn))?;
        Ok(Some(reader(entry.id, entry.body)))
    }

    /// Appends the IDs of the entries from one position to before another.
    pub(crate) fn ids(
        &self,
        from: Position,
        to: Position,
        log: &Log,
        out: &mut impl Extend<EntryId>,
    ) -> Result<()> {
        let mut at = from;
        while at < to {
            let end = if at.part == to.part {
                to.at
            } else {
                self.part_len(at.part)
            };
            if let Some(run) = self.run(at.part) {
                let rank = |at: usize| u32::try_from(at).expect("a rank in a run");
                run.ids(rank(at.at)..rank(end), out)?;
            } else if let Some(node) = self.node_at(at.part) {
                let mut ranks = at.at..end;
                if at == Position::START {
                    out.extend(ranks.next().map(|_| self.first_id()));
                }
                for rank in ranks {
                    out.extend([id_at(log, node.lsn(rank))?]);
                }
            }
            at = self.position(at.part, end.max(at.at + 1));
        }
        Ok(())
    }

    /// How many live entries lie before `position`.
    pub(crate) fn rank(&self, position: Position) -> u64 {
        let runs = self.run_count();
        let in_runs = (0..position.part.min(runs)).map(|part| self.part_len(part) as u64);
        let in_log = self
            .nodes
            .entries_before(position.part.saturating_sub(runs));
        in_runs.sum::<u64>() + in_log + position.at as u64
    }

    /// Where in the log the entry at `position` lies; `None` in a run and at the end.
    pub(crate) fn lsn(&self, position: Position) -> Option<Lsn> {
        self.node_at(position.part)
            .map(|node| node.lsn(position.at))
    }

    /// The ID of the entry at `position`; `None` at the end.
    pub(crate) fn id(&self, position: Position, log: &Log) -> Result<Option<EntryId>> {
        if position == Position::START {
            return Ok((self.length > 0).then(|| self.first_id()));
        }
        if let Some(run) = self.run(position.part) {
            let rank = u32::try_from(position.at).expect("a rank in a run");
            return run.id(rank).map(Some);
        }
        self.lsn(position).map(|lsn| id_at(log, lsn)).transpose()
    }

    /// Bytes of memory.
    pub(crate) fn memory(&self) -> usize {
        let node = |node: &Node| size_of::<Node>() + node.offsets.capacity() * 4;
        self.runs().map_or(0, Runs::memory) + self.log_nodes().map(node).sum::<usize>()
    }
}

/// The number of entries of a node, or of some of them.
fn to_i32(count: usize) -> i32 {
    i32::try_from(count).expect("a node has at most 2^16 entries")
}

/// The ID of the entry that lies at `lsn`.
pub(crate) fn id_at(log: &Log, lsn: Lsn) -> Result<EntryId> {
    match entry::head(log.bytes_at(lsn)?, lsn) {
        Some(head) => Ok(head.id),
        None => Err(damaged_entry(log, lsn)),
    }
}

/// The error that names the place of an entry whose bytes are not those that were written.
fn damaged_entry(log: &Log, lsn: Lsn) -> Error {
    corrupt_at(log, lsn, NO_ENTRY)
}

/// The error that names the file and offset of `lsn`.
pub(crate) fn corrupt_at(log: &Log, lsn: Lsn, what: &'static str) -> Error {
    match log.segment_at(lsn) {
        Ok((segment, offset)) => Error::Corrupt {
            path: segment.path().to_path_buf(),
            offset,
            what,
        },
        Err(error) => error,
    }
}

#[cfg(test)]
mod tests;

//! The index of one stream: where its entries lie in the log.
//!
//! ```text
//! nodes    [ first_id last_id base added | offsets u32 u32 u32 ... ] [ ... ] [ ... ]
//!                                          ^ LSN of a live entry = base + offset
//! ```
//!
//! Four bytes an entry. A node holds up to `stream-node-max-entries` entries, counted as they are
//! added; it is removed with its last live entry. IDs inside a node are read from the log when they
//! are needed. Entries are added with growing IDs and growing LSNs, so the two orders are the same.
//!
//! The first node's `first_id` is the ID of the stream's first entry; the others' is an ID above
//! all of the node before and not above any of its own.

mod nodes;

use std::cmp::Ordering;
use std::collections::VecDeque;

pub(crate) use nodes::Node;
use nodes::Nodes;

use crate::format::entry;
use crate::id::EntryId;
use crate::log::Log;
use crate::{Error, Lsn, Result};

/// Probes of a search inside a node that guess where the ID is; the others halve.
const GUESSES: u32 = 3;

/// How full a logical node of a stream is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeSize {
    /// Entries that it has.
    pub live: u32,
    /// Entries that it ever had, deleted and trimmed ones included.
    pub added: u32,
}

/// A live entry by its place in the index, or the end of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub(crate) node: usize,
    pub(crate) at: usize,
}

impl Position {
    /// The position of the first entry.
    pub(crate) const START: Self = Self { node: 0, at: 0 };
}

/// Where the entries of a stream lie.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    nodes: Nodes,
    length: u64,
}

impl Index {
    /// Builds an index of nodes that are in order.
    pub(crate) fn of_nodes(nodes: Vec<Node>) -> Self {
        let length = nodes.iter().map(|node| node.offsets.len() as u64).sum();
        Self {
            nodes: Nodes::of(nodes),
            length,
        }
    }

    /// Number of live entries.
    pub(crate) fn len(&self) -> u64 {
        self.length
    }

    pub(crate) fn node_count(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn node(&self, index: usize) -> Option<&Node> {
        self.nodes.get(index)
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Node> {
        (0..self.node_count()).filter_map(|index| self.node(index))
    }

    fn last_node(&self) -> Option<&Node> {
        self.node(self.node_count().checked_sub(1)?)
    }

    /// How many entries the nodes have and had, from the first node on.
    pub(crate) fn node_sizes(&self) -> impl Iterator<Item = NodeSize> {
        self.nodes().map(|node| NodeSize {
            live: u32::try_from(node.offsets.len()).unwrap_or(u32::MAX),
            added: node.added,
        })
    }

    /// Counts entries as added to the last node that were deleted elsewhere; false if there is no
    /// node to count them to.
    pub(crate) fn count_missing(&mut self, count: u32) -> bool {
        let last = self.node_count().wrapping_sub(1);
        if let Some(node) = self.nodes.get_mut(last) {
            node.added = node.added.saturating_add(count);
            return true;
        }
        count == 0
    }

    /// The ID of the first entry; `0-0` if there is none.
    pub(crate) fn first_id(&self) -> EntryId {
        self.node(0).map_or(EntryId::MIN, |node| node.first_id)
    }

    /// Whether an entry at `lsn` has to start a node.
    pub(crate) fn must_start_node(&self, lsn: Lsn, node_entries_max: u32) -> bool {
        self.last_node()
            .is_none_or(|node| node.added >= node_entries_max || node.offset_of(lsn).is_none())
    }

    /// Adds an entry behind all others; false if it cannot go into the node that it says.
    pub(crate) fn push(&mut self, id: EntryId, lsn: Lsn, starts_node: bool) -> bool {
        if starts_node {
            self.nodes.push(Node::new(id, lsn));
            self.length += 1;
            return true;
        }
        let last = self.node_count().wrapping_sub(1);
        let Some(node) = self.nodes.get_mut(last) else {
            return false;
        };
        let Some(offset) = node.offset_of(lsn) else {
            return false;
        };
        node.offsets.push(offset);
        node.added = node.added.saturating_add(1);
        node.last_id = id;
        self.nodes.resized(last, 1);
        self.length += 1;
        true
    }

    /// Removes `count` entries at the head and tells where they were; false if there are not so
    /// many. `first` is the ID of the first entry that stays.
    pub(crate) fn trim(&mut self, count: u64, first: EntryId, dead: &mut dyn FnMut(Lsn)) -> bool {
        if count > self.length {
            return false;
        }
        self.length -= count;
        let mut left = count;
        while left > 0 {
            let Some(node) = self.nodes.get_mut(0) else {
                return false;
            };
            let taken = usize::try_from(left)
                .map_or(node.offsets.len(), |left| left.min(node.offsets.len()));
            let base = node.base.0;
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

    /// Takes out whole nodes at the head that hold up to `count` entries together.
    pub(crate) fn take_nodes(&mut self, count: u64) -> VecDeque<Node> {
        let (mut taken, mut whole) = (0, 0);
        for node in self.nodes() {
            let with_it = taken + node.offsets.len() as u64;
            if with_it > count {
                break;
            }
            (taken, whole) = (with_it, whole + 1);
        }
        self.length -= taken;
        self.nodes.take(whole)
    }

    /// How many entries the first node holds.
    pub(crate) fn first_node_len(&self) -> u64 {
        self.node(0).map_or(0, |node| node.offsets.len() as u64)
    }

    /// Removes the entries at `lsns`, in any order; false if one of them is not there.
    pub(crate) fn remove_all(&mut self, lsns: impl Iterator<Item = Lsn>) -> bool {
        let mut leaves_empty = false;
        let mut removed = true;
        for lsn in lsns {
            let Some(index) = self.partition(|node| node.base <= lsn).checked_sub(1) else {
                removed = false;
                break;
            };
            let found = self.nodes.get_mut(index).and_then(|node| {
                let at = node.offsets.binary_search(&node.offset_of(lsn)?).ok()?;
                node.offsets.remove(at);
                Some(node.offsets.is_empty())
            });
            let Some(is_empty) = found else {
                removed = false;
                break;
            };
            leaves_empty |= is_empty;
            self.nodes.resized(index, -1);
            self.length -= 1;
        }
        // All at once, because a node in the middle costs as much as all of them.
        if leaves_empty {
            self.nodes.remove_empty();
        }
        removed
    }

    /// Whether an entry at `lsn` lives.
    pub(crate) fn has(&self, lsn: Lsn) -> bool {
        let count = self.partition(|node| node.base <= lsn);
        let node = count.checked_sub(1).and_then(|index| self.node(index));
        node.is_some_and(|node| {
            let offset = node.offset_of(lsn);
            offset.is_some_and(|offset| node.offsets.binary_search(&offset).is_ok())
        })
    }

    /// Says which ID the first entry has, after removals.
    pub(crate) fn set_first(&mut self, first: EntryId) {
        if let Some(node) = self.nodes.get_mut(0) {
            node.first_id = first;
        }
    }

    /// Where all live entries lie, in order.
    pub(crate) fn lsns(&self) -> impl Iterator<Item = Lsn> {
        self.nodes().flat_map(Node::lsns)
    }

    /// How many nodes at the head satisfy `claim`.
    fn partition(&self, claim: impl Fn(&Node) -> bool) -> usize {
        self.nodes.partition(claim)
    }

    /// How many live entries lie before `position`.
    pub(crate) fn rank(&self, position: Position) -> u64 {
        self.nodes.entries_before(position.node) + position.at as u64
    }

    /// How many nodes begin before `lsn`.
    pub(crate) fn nodes_before(&self, lsn: Lsn) -> usize {
        self.partition(|node| node.base < lsn)
    }

    /// The position behind the last entry.
    pub(crate) fn end(&self) -> Position {
        Position {
            node: self.node_count(),
            at: 0,
        }
    }

    /// The position of the entry behind `position`, which is not the end.
    pub(crate) fn next(&self, position: Position) -> Position {
        let len = self
            .node(position.node)
            .map_or(0, |node| node.offsets.len());
        if position.at + 1 < len {
            Position {
                at: position.at + 1,
                ..position
            }
        } else {
            Position {
                node: position.node + 1,
                at: 0,
            }
        }
    }

    /// The position of the entry before `position`; `None` at the start.
    pub(crate) fn previous(&self, position: Position) -> Option<Position> {
        if position.at > 0 {
            return Some(Position {
                at: position.at - 1,
                ..position
            });
        }
        let node = position.node.checked_sub(1)?;
        let at = self.node(node)?.offsets.len().checked_sub(1)?;
        Some(Position { node, at })
    }

    /// The position `count` entries behind `position`, or the end.
    pub(crate) fn advance(&self, position: Position, count: u64) -> Position {
        let mut at = position.at as u64 + count;
        for index in position.node..self.node_count() {
            let len = self.node(index).map_or(0, |node| node.offsets.len() as u64);
            if at < len {
                let at = usize::try_from(at).expect("an index into a vector");
                return Position { node: index, at };
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
            } else if let Some(node) = position.node.checked_sub(1) {
                position = Position {
                    node,
                    at: self.node(node).map_or(0, |node| node.offsets.len()),
                };
            } else {
                break;
            }
        }
        position
    }

    /// Where the entry at `position` lies; `None` at the end.
    pub(crate) fn lsn(&self, position: Position) -> Option<Lsn> {
        self.node(position.node).map(|node| node.lsn(position.at))
    }

    /// The ID of the entry at `position`; `None` at the end.
    pub(crate) fn id(&self, position: Position, log: &Log) -> Result<Option<EntryId>> {
        if position == Position::START {
            return Ok(self.node(0).map(|node| node.first_id));
        }
        self.lsn(position).map(|lsn| id_at(log, lsn)).transpose()
    }

    /// The first entry whose ID is not below `id`.
    pub(crate) fn lower_bound(&self, id: EntryId, log: &Log) -> Result<Position> {
        let Some(index) = self.partition(|node| node.first_id <= id).checked_sub(1) else {
            return Ok(Position::START);
        };
        let Some(node) = self.node(index) else {
            return Ok(self.end());
        };
        let behind = Position {
            node: index + 1,
            at: 0,
        };
        if node.last_id < id {
            return Ok(behind);
        }
        let (mut low, mut high) = (0, node.offsets.len());
        let mut known = (node.first_id, node.last_id);
        let mut probes = 0;
        while low < high {
            // Each probe is a read from the log. IDs are mostly spread evenly, so guessing finds
            // them in one or two; halving bounds what uneven ones cost.
            let middle = if probes < GUESSES {
                low + guess(id, known, high - low)
            } else {
                low.midpoint(high)
            };
            probes += 1;
            let found = id_at(log, node.lsn(middle))?;
            match found.cmp(&id) {
                Ordering::Less => (low, known.0) = (middle + 1, found),
                Ordering::Equal => {
                    low = middle;
                    break;
                }
                Ordering::Greater => (high, known.1) = (middle, found),
            }
        }
        Ok(if low < node.offsets.len() {
            Position {
                node: index,
                at: low,
            }
        } else {
            behind
        })
    }

    /// The first entry that lies behind `lsn`.
    pub(crate) fn behind_lsn(&self, lsn: Lsn) -> Position {
        let Some(index) = self.partition(|node| node.base <= lsn).checked_sub(1) else {
            return Position::START;
        };
        let Some(node) = self.node(index) else {
            return self.end();
        };
        let offset = node.offset_of(lsn).unwrap_or(u32::MAX);
        let at = node.offsets.partition_point(|&other| other <= offset);
        if at < node.offsets.len() {
            Position { node: index, at }
        } else {
            Position {
                node: index + 1,
                at: 0,
            }
        }
    }

    /// The entry with exactly that ID.
    pub(crate) fn find(&self, id: EntryId, log: &Log) -> Result<Option<Lsn>> {
        if id < self.first_id() || self.last_node().is_none_or(|node| node.last_id < id) {
            return Ok(None);
        }
        let position = self.lower_bound(id, log)?;
        let found = self.id(position, log)? == Some(id);
        Ok(if found { self.lsn(position) } else { None })
    }

    /// Bytes of memory.
    pub(crate) fn memory(&self) -> usize {
        let node = |node: &Node| size_of::<Node>() + node.offsets.capacity() * 4;
        self.nodes().map(node).sum()
    }
}

fn to_i32(count: usize) -> i32 {
    i32::try_from(count).expect("a node has at most 2^16 entries")
}

/// Where among `count` entries `id` is likely to be, between two IDs that enclose them.
fn guess(id: EntryId, (low, high): (EntryId, EntryId), count: usize) -> usize {
    let (low, id, high) = if low.ms == high.ms {
        (low.seq, id.seq, high.seq)
    } else {
        (low.ms, id.ms, high.ms)
    };
    let part = u128::from(id.saturating_sub(low)) * count as u128;
    let whole = u128::from(high.saturating_sub(low)) + 1;
    usize::try_from(part / whole).map_or(count - 1, |at| at.min(count - 1))
}

/// The ID of the entry that lies at `lsn`.
pub(crate) fn id_at(log: &Log, lsn: Lsn) -> Result<EntryId> {
    match entry::head(log.bytes_at(lsn)?, lsn) {
        Some(head) => Ok(head.id),
        None => Err(damaged_entry(log, lsn)),
    }
}

/// The error that names the place of an entry whose bytes are not those that were written.
pub(crate) fn damaged_entry(log: &Log, lsn: Lsn) -> Error {
    corrupt_at(
        log,
        lsn,
        "expected an entry, found bytes that do not match its checksum",
    )
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
mod tests {
    use std::ops::ControlFlow;
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::storage::simulated::{SimulatedClock, SimulatedStorage};
    use crate::{Engine, NewId, Options, Range, Threads};

    fn id(ms: u64, seq: u64) -> EntryId {
        EntryId { ms, seq }
    }

    #[test]
    fn a_guess_is_always_one_of_the_entries() {
        let ends = [
            id(0, 0),
            id(0, 9),
            id(5, 0),
            id(5, u64::MAX),
            id(u64::MAX, u64::MAX),
        ];
        for low in ends {
            for high in ends {
                for wanted in ends {
                    for count in [1, 2, 100] {
                        assert!(guess(wanted, (low, high), count) < count);
                    }
                }
            }
        }
        assert_eq!(guess(id(30, 0), (id(0, 0), id(99, 0)), 100), 30);
        assert_eq!(guess(id(7, 30), (id(7, 0), id(7, 99)), 100), 30);
    }

    /// IDs in bursts, with small and with huge gaps.
    fn uneven_ids() -> Vec<EntryId> {
        let mut ids = Vec::new();
        let mut ms = 1;
        for step in 0..600_u64 {
            ms += [0, 1, 1, 2, 50, 1 << 20, 1 << 40][usize::try_from(step * step % 7).unwrap_or(0)];
            ids.push(id(ms, step * step * step));
        }
        ids
    }

    #[test]
    fn every_search_finds_what_a_scan_finds() {
        let storage = Arc::new(SimulatedStorage::new());
        let clock = Arc::new(SimulatedClock::new(1_000));
        let options = Options {
            threads: Threads::Inline,
            ..Options::default()
        };
        let engine = Engine::open_on(storage, clock, Path::new("/data"), options).unwrap();
        let mut ids = uneven_ids();
        let mut batch = engine.lock();
        for &id in &ids {
            batch.add(0, b"k", NewId::Given(id), &[b"f", b"v"]).unwrap();
        }
        let gone: Vec<EntryId> = ids.iter().copied().step_by(5).collect();
        batch.delete_entries(0, b"k", &gone).unwrap();
        batch.end_command();
        drop(batch);
        engine.sync().unwrap();
        ids.retain(|id| !gone.contains(id));
        let around = |id: &EntryId| [id.prev(), Some(*id), id.next()];
        for wanted in uneven_ids().iter().flat_map(around).flatten() {
            let range = Range {
                start: wanted,
                end: EntryId::MAX,
                reverse: false,
                count: Some(1),
            };
            let entries = engine.lock().range(0, b"k", range).unwrap().unwrap();
            let mut found = None;
            let visited = entries.visit(0, &mut |id, _| {
                found = Some(id);
                ControlFlow::Continue(())
            });
            visited.unwrap();
            assert_eq!(
                found,
                ids.iter().copied().find(|id| *id >= wanted),
                "{wanted:?}"
            );
        }
    }
}

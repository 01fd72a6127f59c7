//! The nodes of a stream in a row, and how many entries lie before each.
//!
//! ```text
//! nodes   [ 100 ][ 100 ][  97 ] ... | [ 100 ][ 100 ] ... | [ 100 ][ 12 ]
//! blocks            6 397           |       6 400        |      112
//! ```
//!
//! A block counts the live entries of 64 nodes, so a rank is the sum of some blocks and of less
//! than 64 nodes. Blocks follow the nodes at both ends, where nearly everything happens; only when
//! a node in the middle loses its last entry, the counts behind it are made anew.

use std::collections::VecDeque;

use super::Tail;
use crate::Lsn;
use crate::id::EntryId;

/// Nodes that are counted together.
const BLOCK_NODES: usize = if cfg!(test) { 3 } else { 64 };

/// Up to `stream-node-max-entries` entries.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Node {
    pub(crate) first_id: EntryId,
    /// The last ID that was added, also if that entry is deleted by now.
    pub(crate) last_id: EntryId,
    pub(crate) base: Lsn,
    /// Entries ever added.
    pub(crate) added: u32,
    /// Bytes of the records of its live entries; of a part of them, their share.
    pub(crate) bytes: u32,
    pub(crate) offsets: Vec<u32>,
}

impl Node {
    pub(super) fn new(id: EntryId, lsn: Lsn, bytes: u32) -> Self {
        Self {
            first_id: id,
            last_id: id,
            base: lsn,
            added: 1,
            bytes,
            offsets: vec![0],
        }
    }

    /// The LSN of a live entry.
    pub(crate) fn lsn(&self, at: usize) -> Lsn {
        Lsn(self.base.0 + u64::from(self.offsets[at]))
    }

    /// Where its live entries lie, in order.
    pub(crate) fn lsns(
        &self,
    ) -> impl ExactSizeIterator<Item = Lsn> + DoubleEndedIterator + Clone + '_ {
        self.offsets
            .iter()
            .map(|&offset| Lsn(self.base.0 + u64::from(offset)))
    }

    /// Takes off the share of bytes of `count` entries that are about to go.
    pub(super) fn take_bytes(&mut self, count: usize) -> u32 {
        let share = u64::from(self.bytes) * count as u64 / self.offsets.len().max(1) as u64;
        let share = u32::try_from(share).unwrap_or(u32::MAX).min(self.bytes);
        self.bytes -= share;
        share
    }

    /// What a run in front of it knows of the node once none of it is left.
    pub(super) fn tail(&self) -> Tail {
        Tail {
            added: self.added,
            last_id: self.last_id,
        }
    }

    pub(super) fn offset_of(&self, lsn: Lsn) -> Option<u32> {
        u32::try_from(lsn.0.checked_sub(self.base.0)?).ok()
    }
}

/// The nodes of a stream. Most streams of a store with many streams have one, which takes no heap.
#[derive(Clone, Debug, Default)]
pub(super) enum Nodes {
    #[default]
    None,
    One(Node),
    Many(Box<Row>),
}

/// Nodes with the counts of their blocks.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    nodes: VecDeque<Node>,
    /// Live entries in each block.
    blocks: VecDeque<u32>,
    /// Nodes that the first block has lost at its head.
    lost: usize,
}

impl Nodes {
    /// Nodes that are in order.
    pub(super) fn of(mut nodes: Vec<Node>) -> Self {
        if nodes.len() < 2 {
            return nodes.pop().map_or(Self::None, Self::One);
        }
        let mut row = Row::default();
        for node in nodes {
            row.push(node);
        }
        Self::Many(Box::new(row))
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(_) => 1,
            Self::Many(row) => row.nodes.len(),
        }
    }

    pub(super) fn get(&self, index: usize) -> Option<&Node> {
        match self {
            Self::One(node) if index == 0 => Some(node),
            Self::Many(row) => row.nodes.get(index),
            _ => None,
        }
    }

    /// A node, to be changed; who changes how many entries it has says so to [`Nodes::resized`].
    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut Node> {
        match self {
            Self::One(node) if index == 0 => Some(node),
            Self::Many(row) => row.nodes.get_mut(index),
            _ => None,
        }
    }

    /// A node has more or fewer entries than before.
    pub(super) fn resized(&mut self, index: usize, by: i32) {
        if let Self::Many(row) = self {
            let block = row.block_of(index);
            row.blocks[block] = row.blocks[block].wrapping_add_signed(by);
        }
    }

    pub(super) fn push(&mut self, node: Node) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(node),
            Self::One(first) => Self::of(vec![first, node]),
            Self::Many(mut row) => {
                if let Some(full) = row.nodes.back_mut() {
                    full.offsets.shrink_to_fit();
                }
                row.push(node);
                Self::Many(row)
            }
        };
    }

    /// Removes a node that has no entries.
    pub(super) fn remove(&mut self, index: usize) {
        match self {
            Self::Many(row) if row.nodes.len() > 1 => row.remove(index),
            _ => *self = Self::None,
        }
    }

    /// Takes the first `count` nodes out, with their entries.
    pub(super) fn take(&mut self, count: usize) -> VecDeque<Node> {
        if count < self.len() {
            return match self {
                Self::Many(row) => row.take(count),
                _ => VecDeque::new(),
            };
        }
        match std::mem::take(self) {
            Self::None => VecDeque::new(),
            Self::One(node) => VecDeque::from([node]),
            Self::Many(row) => row.nodes,
        }
    }

    /// Removes all nodes that have no entries.
    pub(super) fn remove_empty(&mut self) {
        match self {
            Self::None => {}
            Self::One(node) => {
                if node.offsets.is_empty() {
                    *self = Self::None;
                }
            }
            Self::Many(row) => {
                row.nodes.retain(|node| !node.offsets.is_empty());
                if row.nodes.is_empty() {
                    *self = Self::None;
                } else {
                    row.lost = 0;
                    row.count_from(0);
                }
            }
        }
    }

    /// How many nodes at the head satisfy `claim`.
    pub(super) fn partition(&self, claim: impl Fn(&Node) -> bool) -> usize {
        match self {
            Self::None => 0,
            Self::One(node) => usize::from(claim(node)),
            Self::Many(row) => row.nodes.partition_point(claim),
        }
    }

    /// Live entries in the nodes before this one.
    pub(super) fn entries_before(&self, index: usize) -> u64 {
        match self {
            Self::None => 0,
            Self::One(node) => node.offsets.len() as u64 * u64::from(index > 0),
            Self::Many(row) => row.entries_before(index),
        }
    }
}

impl Row {
    fn block_of(&self, index: usize) -> usize {
        (self.lost + index) / BLOCK_NODES
    }

    fn push(&mut self, node: Node) {
        if self.block_of(self.nodes.len()) == self.blocks.len() {
            self.blocks.push_back(0);
        }
        let entries = count_of(&node);
        *self.blocks.back_mut().expect("the block of the last node") += entries;
        self.nodes.push_back(node);
    }

    fn remove(&mut self, index: usize) {
        if index > 0 {
            self.nodes.remove(index);
            self.count_from(index.min(self.nodes.len() - 1));
            return;
        }
        self.nodes.pop_front();
        self.lost += 1;
        if self.lost == BLOCK_NODES {
            self.blocks.pop_front();
            self.lost = 0;
        }
    }

    /// Takes out `count` nodes at the head, and leaves some.
    fn take(&mut self, count: usize) -> VecDeque<Node> {
        let rest = self.nodes.split_off(count);
        let taken = std::mem::replace(&mut self.nodes, rest);
        self.blocks.drain(..(self.lost + count) / BLOCK_NODES);
        self.lost = (self.lost + count) % BLOCK_NODES;
        let first = self.nodes.iter().take(BLOCK_NODES - self.lost);
        self.blocks[0] = first.map(count_of).sum();
        taken
    }

    /// Counts the entries of all blocks from that of the given node on.
    fn count_from(&mut self, index: usize) {
        let from = self.block_of(index);
        let first = (from * BLOCK_NODES).saturating_sub(self.lost);
        self.blocks.truncate(from);
        for at in first..self.nodes.len() {
            if self.block_of(at) == self.blocks.len() {
                self.blocks.push_back(0);
            }
            let entries = count_of(&self.nodes[at]);
            *self.blocks.back_mut().expect("the block of this node") += entries;
        }
    }

    fn entries_before(&self, index: usize) -> u64 {
        let block = self.block_of(index);
        let first = (block * BLOCK_NODES).saturating_sub(self.lost);
        let blocks = self.blocks.iter().take(block);
        let nodes = self.nodes.iter().take(index).skip(first);
        blocks.map(|&entries| u64::from(entries)).sum::<u64>()
            + nodes.map(|node| node.offsets.len() as u64).sum::<u64>()
    }
}

fn count_of(node: &Node) -> u32 {
    u32::try_from(node.offsets.len()).expect("a node has at most 2^16 entries")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Op {
        Push(u32),
        Take(usize, u32),
        RemoveEmpty,
        TakeOut(usize),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            4 => (1u32..5).prop_map(Op::Push),
            6 => (0usize..99, 1u32..6).prop_map(|(at, by)| Op::Take(at, by)),
            3 => (1u32..6).prop_map(|by| Op::Take(0, by)),
            1 => Just(Op::RemoveEmpty),
            1 => (0usize..9).prop_map(Op::TakeOut),
        ]
    }

    proptest! {
        #[test]
        fn ranks_are_what_counting_finds(ops in prop::collection::vec(op(), 1..80)) {
            let (mut nodes, mut model) = (Nodes::None, Vec::<u32>::new());
            for (lsn, op) in ops.into_iter().enumerate() {
                match op {
                    Op::Push(entries) => {
                        let mut node = Node::new(EntryId::MIN, Lsn(lsn as u64), 0);
                        node.offsets = (0..entries).collect();
                        nodes.push(node);
                        model.push(entries);
                    }
                    Op::Take(at, by) if !model.is_empty() => {
                        let at = at % model.len();
                        let by = by.min(model[at]);
                        let node = nodes.get_mut(at).unwrap();
                        node.offsets.truncate((model[at] - by) as usize);
                        nodes.resized(at, -by.cast_signed());
                        model[at] -= by;
                        if model[at] == 0 && by % 2 == 0 {
                            nodes.remove(at);
                            model.remove(at);
                        }
                    }
                    Op::Take(..) => {}
                    Op::RemoveEmpty => {
                        nodes.remove_empty();
                        model.retain(|&entries| entries > 0);
                    }
                    Op::TakeOut(count) => {
                        let taken = nodes.take(count);
                        let count = count.min(model.len());
                        let model: Vec<_> = model.drain(..count).collect();
                        prop_assert!(taken.iter().map(count_of).eq(model));
                    }
                }
                prop_assert_eq!(nodes.len(), model.len());
                for index in 0..=model.len() {
                    let expected: u32 = model[..index].iter().sum();
                    prop_assert_eq!(nodes.entries_before(index), u64::from(expected));
                }
            }
        }
    }
}

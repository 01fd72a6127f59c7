//! Moving entries from the log to a run of a sorted segment.
//!
//! First [`Index::log_part`] says, without any change, which entries are meant; they are copied
//! without the lock; then [`Index::sort`] puts the run in their place. What was trimmed or deleted
//! meanwhile is dead in the run.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Index, Node, Run, Runs, to_i32};
use crate::Lsn;
use crate::format::sorted::RunRow;
use crate::sorted::SortedFile;

/// As long as a stream has not more runs than this, there is no room for further ones.
const FEW: usize = 8;

impl Index {
    /// Copies of the nodes of the log that have entries from `from` to before `bound`, cut to those
    /// entries: as many nodes as it takes to have `count` entries.
    pub(crate) fn log_part(&self, from: Lsn, bound: Lsn, count: usize) -> Vec<Node> {
        let first = self.partition(|node| node.base <= from).saturating_sub(1);
        let cut = |node: &Node| {
            let inside = |lsn: &Lsn| from <= *lsn && *lsn < bound;
            let offsets = node.lsns().zip(&node.offsets);
            let offsets: Vec<u32> = offsets
                .filter(|(lsn, _)| inside(lsn))
                .map(|(_, &o)| o)
                .collect();
            (!offsets.is_empty()).then_some(Node { offsets, ..*node })
        };
        let nodes = (first..self.log_node_count()).filter_map(|index| self.node(index));
        let nodes = nodes.take_while(|node| node.base < bound);
        let (mut part, mut entries) = (Vec::new(), 0);
        for node in nodes.filter_map(cut) {
            entries += node.offsets.len();
            part.push(node);
            if entries >= count {
                break;
            }
        }
        part
    }

    /// Puts run `slot` of `file` in the place of the entries of the log that were at `lsns`;
    /// returns the nodes that held those that are still there, to be dropped without the lock.
    pub(crate) fn sort(
        &mut self,
        file: &Arc<SortedFile>,
        slot: u32,
        row: &RunRow,
        lsns: &[Lsn],
    ) -> VecDeque<Node> {
        let Some(&last) = lsns.last() else {
            return VecDeque::new();
        };
        let (nodes, is_cut) = self.take_until(last);
        let live: usize = nodes.iter().map(|node| node.offsets.len()).sum();
        if live == 0 {
            return nodes;
        }
        let dead = if live == lsns.len() {
            Vec::new()
        } else {
            missing(lsns, &nodes)
        };
        let mut run = Run::new(file, slot, row.entries, &dead);
        run.continues = self.runs().is_some_and(|runs| runs.log_continues);
        if !is_cut && let Some(node) = nodes.back() {
            let tail = node.tail();
            let stored = run.last_node().ok().map(|last| last.tail);
            run.set_tail((stored != Some(tail)).then_some(tail));
        }
        file.entries_live(u64::from(run.live));
        if is_cut && let Some(rest) = self.nodes.get_mut(0) {
            rest.first_id = row.last_id.next().unwrap_or(row.last_id);
        }
        if let Some(runs) = &mut self.runs {
            if runs.list.len() < FEW {
                // Most streams of a store with many streams have a few.
                runs.list.reserve_exact(1);
            }
            runs.list.push(run);
            runs.log_continues = is_cut;
        } else {
            let runs = Runs {
                list: vec![run],
                first_id: nodes[0].first_id,
                log_continues: is_cut,
            };
            self.runs = Some(Box::new(runs));
        }
        nodes
    }

    /// Takes out what lies in the log up to `last`; whether the node that is first now is the rest
    /// of the last one.
    fn take_until(&mut self, last: Lsn) -> (VecDeque<Node>, bool) {
        let whole = self.partition(|node| node.lsn(node.offsets.len() - 1) <= last);
        let mut taken = self.nodes.take(whole);
        let Some(node) = self.nodes.get_mut(0) else {
            return (taken, false);
        };
        let count = node.lsns().take_while(|lsn| *lsn <= last).count();
        if count > 0 {
            let bytes = node.take_bytes(count);
            let offsets = node.offsets.drain(..count).collect();
            let part = Node {
                bytes,
                offsets,
                ..*node
            };
            taken.push_back(part);
            self.nodes.resized(0, -to_i32(count));
        }
        (taken, count > 0)
    }
}

/// The ordinals of those of `lsns` that are in none of the nodes.
fn missing(lsns: &[Lsn], nodes: &VecDeque<Node>) -> Vec<u32> {
    let mut live = nodes.iter().flat_map(Node::lsns).peekable();
    let mut is_missing = |lsn: &Lsn| live.next_if_eq(lsn).is_none();
    let ordinals = (0..).zip(lsns);
    ordinals
        .filter(|(_, lsn)| is_missing(lsn))
        .map(|(ordinal, _)| ordinal)
        .collect()
}

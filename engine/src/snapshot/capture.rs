//! A large stream, taken into a checkpoint piece by piece while commands go on.
//!
//! All pieces show the stream as it was at one LSN, that of its head, so that a replay treats it
//! like any other. Whatever a record is about to change in a part that has not been taken yet is
//! saved first: nodes that lose entries or move to a sorted segment, pending entries that are
//! delivered, claimed or acknowledged. What is added meanwhile lies behind the bounds that were
//! noted at the beginning.
//!
//! A stream that is removed is not in the checkpoint, and a replay passes over its records. A group
//! that is removed is handed over to be taken to its end.

use std::collections::BTreeMap;

use super::image::{GroupImage, NodeImage, PendingImage, StreamImage};
use super::{SECTION_WEIGHT, Section};
use crate::Lsn;
use crate::format::record::{GroupChange, StreamChange};
use crate::group::Group;
use crate::id::EntryId;
use crate::index::{Node, Runs};
use crate::stream::Stream;

/// A large stream under way into a checkpoint.
pub(crate) struct Capture {
    number: u64,
    nodes: NodeCapture,
    /// The groups of which not all pending entries are taken.
    groups: BTreeMap<u32, GroupCapture>,
    /// Removed groups that are no longer needed.
    #[expect(clippy::vec_box, reason = "they were in boxes before")]
    done: Vec<Box<Group>>,
}

/// Nodes with a base in `from..to` are still to be taken.
struct NodeCapture {
    from: Lsn,
    to: Lsn,
    saved: BTreeMap<Lsn, Node>,
}

/// Pending entries with an ID in `from..=to` are still to be taken.
struct GroupCapture {
    from: EntryId,
    to: EntryId,
    /// How entries were that have changed since, or that they were not pending.
    saved: BTreeMap<EntryId, Option<PendingImage>>,
    /// The group itself, if it was removed.
    removed: Option<Box<Group>>,
}

impl Capture {
    /// Begins with the head of the stream and all that is not taken in pieces.
    pub(super) fn begin(stream: &Stream, covers: Lsn) -> (Self, StreamImage) {
        let mut head = StreamImage::head_of(stream, covers);
        let index = &stream.index;
        let last = index.log_node_count().checked_sub(1);
        let last = last.and_then(|last| index.node(last));
        // It may grow from now on, all others may not.
        head.nodes.extend(last.map(NodeImage::of));
        let mut capture = Self {
            number: stream.number,
            nodes: NodeCapture {
                from: Lsn::ZERO,
                to: last.map_or(Lsn::ZERO, |node| node.base),
                saved: BTreeMap::new(),
            },
            groups: BTreeMap::new(),
            done: Vec::new(),
        };
        for group in stream.groups() {
            head.groups.push(GroupImage::head_of(group));
            if let Some((from, to)) = group.2.pending.bounds() {
                let (saved, removed) = (BTreeMap::new(), None);
                let pending = GroupCapture {
                    from,
                    to,
                    saved,
                    removed,
                };
                capture.groups.insert(group.0, pending);
            }
        }
        (capture, head)
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The next piece of the stream.
    pub(super) fn next(&mut self, stream: &Stream) -> Section {
        if self.nodes.from < self.nodes.to {
            return Section::Nodes(self.nodes.next(stream));
        }
        let (mut pieces, mut left) = (Vec::new(), SECTION_WEIGHT);
        while let Some(mut entry) = self.groups.first_entry().filter(|_| left > 0) {
            let number = *entry.key();
            let capture = entry.get_mut();
            let removed = capture.removed.take();
            let mut piece = Vec::new();
            let group = removed.as_deref().or_else(|| stream.group(number));
            let is_done = group.is_none_or(|group| capture.next(group, left, &mut piece));
            if is_done {
                self.done.extend(removed);
            } else {
                capture.removed = removed;
            }
            left = left.saturating_sub(piece.len().max(1));
            pieces.push((number, piece));
            if is_done {
                entry.remove();
            }
        }
        if pieces.is_empty() {
            Section::LargeEnd
        } else {
            Section::Pending(pieces)
        }
    }

    /// Saves what `change` is about to change in the stream.
    pub(crate) fn before(&mut self, stream: &Stream, change: &StreamChange<'_>) {
        match *change {
            StreamChange::Trimmed { count, .. } => self.nodes.before_trim(stream, count),
            StreamChange::EntriesDeleted { ref entries, .. } => {
                for &(_, lsn) in &**entries {
                    self.nodes.before_removal(stream, lsn);
                }
            }
            StreamChange::Group { group, ref change } => {
                let capture = self.groups.get_mut(&group);
                if let (Some(capture), Some(group)) = (capture, stream.group(group))
                    && capture.removed.is_none()
                {
                    capture.before(group, change);
                }
            }
            // The head of the stream is taken, with its last node, and additions lie behind the
            // bounds.
            StreamChange::EntryAdded { .. }
            | StreamChange::EntriesMissing { .. }
            | StreamChange::ExpirySet { .. }
            | StreamChange::CountersSet { .. }
            | StreamChange::Created { .. }
            | StreamChange::Removed
            | StreamChange::Moved { .. }
            | StreamChange::GroupCreated { .. }
            | StreamChange::GroupRemoved { .. }
            | StreamChange::ProducersSet { .. }
            | StreamChange::Remembered { .. }
            | StreamChange::Repeated
            | StreamChange::Forgotten { .. }
            | StreamChange::RetentionSet { .. } => {}
        }
    }

    /// Saves the nodes of the stream that are about to move to a sorted segment: all up to `last`.
    pub(crate) fn before_sort(&mut self, stream: &Stream, last: Lsn) {
        let nodes = stream.index.log_nodes();
        for node in nodes.take_while(|node| node.base <= last) {
            self.nodes.save(node);
        }
    }

    /// Keeps a group that was removed for as long as it is needed; gives it back if it is not.
    pub(crate) fn keep(&mut self, number: u32, group: Box<Group>) -> Option<Box<Group>> {
        match self.groups.get_mut(&number) {
            Some(capture) if capture.removed.is_none() => {
                capture.removed = Some(group);
                None
            }
            _ => Some(group),
        }
    }
}

impl NodeCapture {
    fn next(&mut self, stream: &Stream) -> Vec<NodeImage> {
        let index = &stream.index;
        let (mut images, mut weight) = (Vec::new(), 0);
        let first = index.nodes_before(self.from);
        let live = (first..index.log_node_count()).map_while(|at| index.node(at));
        let mut live = live.peekable();
        while weight < SECTION_WEIGHT && self.from < self.to {
            let base = live.peek().map_or(self.to, |node| node.base).min(self.to);
            // A saved node shows an earlier state of a live one, or one that is gone.
            let saved = self.saved.first_entry();
            let node = match saved.filter(|saved| *saved.key() <= base) {
                Some(saved) => {
                    live.next_if(|node| node.base == *saved.key());
                    Some(saved.remove())
                }
                None => live.next_if(|node| node.base < self.to).cloned(),
            };
            let Some(node) = node else {
                self.from = self.to;
                break;
            };
            weight += node.offsets.len();
            self.from = node.base.plus(1);
            images.push(NodeImage::of(&node));
        }
        images
    }

    fn save(&mut self, node: &Node) {
        if (self.from..self.to).contains(&node.base) {
            self.saved.entry(node.base).or_insert_with(|| node.clone());
        }
    }

    fn before_trim(&mut self, stream: &Stream, count: u64) {
        let in_runs = stream.index.runs().map_or(0, Runs::live);
        let mut left = count.saturating_sub(in_runs);
        for node in stream.index.log_nodes() {
            if left == 0 || node.base >= self.to {
                break;
            }
            left = left.saturating_sub(node.offsets.len() as u64);
            self.save(node);
        }
    }

    fn before_removal(&mut self, stream: &Stream, lsn: Lsn) {
        let index = &stream.index;
        let node = index.nodes_before(lsn.plus(1)).checked_sub(1);
        if let Some(node) = node.and_then(|node| index.node(node)) {
            self.save(node);
        }
    }
}

impl GroupCapture {
    /// Takes up to `count` pending entries; whether that was all of them.
    fn next(&mut self, group: &Group, count: usize, piece: &mut Vec<PendingImage>) -> bool {
        let mut live = group.pending.from(self.from).peekable();
        for _ in 0..count {
            let next_live = live.peek().map(|pending| pending.id);
            let next_saved = self.saved.first_key_value().map(|(id, _)| *id);
            let next = next_live.into_iter().chain(next_saved).min();
            let Some(id) = next.filter(|id| *id <= self.to) else {
                return true;
            };
            let pending = live.next_if(|pending| pending.id == id);
            match self.saved.remove(&id) {
                Some(saved) => piece.extend(saved),
                None => piece.extend(pending.map(PendingImage::of)),
            }
            match id.next() {
                Some(next) => self.from = next,
                None => return true,
            }
        }
        false
    }

    fn before(&mut self, group: &Group, change: &GroupChange<'_>) {
        match change {
            GroupChange::Delivered { ids, .. }
            | GroupChange::Redelivered { ids, .. }
            | GroupChange::Acked { ids } => ids.iter().for_each(|&id| self.save(group, id)),
            GroupChange::Claimed { entries, .. } => {
                entries
                    .iter()
                    .for_each(|claimed| self.save(group, claimed.id));
            }
            GroupChange::GivenBack { entries } => {
                entries.iter().for_each(|entry| self.save(group, entry.id));
            }
            GroupChange::ConsumerRemoved { consumer } => {
                let Some(consumer) = group.consumers.get(*consumer) else {
                    return;
                };
                for pending in group.pending.of_consumer(&consumer.pending, self.from) {
                    self.save(group, pending.id);
                }
            }
            GroupChange::CursorSet { .. }
            | GroupChange::ConsumerCreated { .. }
            | GroupChange::ConsumerSeen { .. } => {}
        }
    }

    fn save(&mut self, group: &Group, id: EntryId) {
        if (self.from..=self.to).contains(&id) {
            let pending = &group.pending;
            self.saved.entry(id).or_insert_with(|| {
                let slot = pending.find(id);
                slot.map(|slot| PendingImage::of(pending.get(slot)))
            });
        }
    }
}

//! What a trim takes from a stream.
//!
//! An approximate trim takes whole nodes from the head, and stops before a node that would exceed
//! its limit. If references matter, entries go one by one, as in Redis: nodes then only say where
//! to stop. A trim that must respect references passes over the entries that groups refer to.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::references::{RefPolicy, Removal};
use super::{Trim, TrimStrategy};
use crate::error::Result;
use crate::id::EntryId;
use crate::index::{Extent, Index, Position};
use crate::log::Log;
use crate::stream::Stream;

/// How many entries at the head `trim` removes, unless it must respect references.
pub(super) fn count(index: &Index, trim: Trim, log: &Log) -> Result<u64> {
    let wanted = match trim.strategy {
        TrimStrategy::MaxLen(length) => index.len().saturating_sub(length),
        TrimStrategy::MinId(id) => index.rank(index.lower_bound(id, log)?),
    };
    if !trim.approximate {
        return Ok(wanted);
    }
    let mut trimmed = 0;
    for node in index.extents() {
        let node = node?;
        let with_it = trimmed + node.live;
        if trimmed >= wanted || with_it > limit_of(trim) {
            break;
        }
        if !is_whole(&node, with_it, wanted, trim) {
            let takes_part = trim.references != RefPolicy::Keep;
            return Ok(if takes_part { wanted } else { trimmed });
        }
        trimmed = with_it;
    }
    Ok(trimmed)
}

/// Whether all entries of a node may go; `with_it` counts what is trimmed then.
fn is_whole(node: &Extent, with_it: u64, wanted: u64, trim: Trim) -> bool {
    match trim.strategy {
        TrimStrategy::MaxLen(_) => with_it <= wanted,
        TrimStrategy::MinId(id) => node.last_id < id,
    }
}

fn limit_of(trim: Trim) -> u64 {
    let limit = trim.limit.filter(|&limit| limit > 0 && trim.approximate);
    limit.unwrap_or(u64::MAX)
}

/// What goes if the entries stay that a group refers to.
pub(super) fn unreferenced(stream: &Stream, trim: Trim, log: &Log) -> Result<Removal> {
    let index = &stream.index;
    let (wanted, below) = match trim.strategy {
        TrimStrategy::MaxLen(length) => (index.len().saturating_sub(length), None),
        TrimStrategy::MinId(id) => (u64::MAX, Some(id)),
    };
    let mut references = References::of(stream);
    let (mut removal, mut removed, mut has_passed) = (Removal::default(), 0, false);
    let mut position = Position::START;
    for node in index.extents() {
        let node = node?;
        let with_it = removed + node.live;
        if removed >= wanted || with_it > limit_of(trim) {
            break;
        }
        let is_whole = is_whole(&node, with_it, wanted, trim);
        let behind = index.advance(position, node.live);
        let first_id = index.id(position, log)?.unwrap_or_default();
        if is_whole && !has_passed && !references.any_in(first_id, node.last_id) {
            (removal.head, removed, position) = (with_it, with_it, behind);
            continue;
        }
        while position < behind {
            let id = index.id(position, log)?.unwrap_or(EntryId::MAX);
            if removed == wanted || below.is_some_and(|below| id >= below) {
                break;
            }
            if references.has(id) {
                has_passed = true;
            } else if has_passed {
                removed += 1;
                removal.entries.push((id, position));
            } else {
                removed += 1;
                removal.head += 1;
            }
            position = index.next(position);
        }
        if !is_whole {
            break;
        }
    }
    Ok(removal)
}

/// What the groups of a stream refer to, asked about in the order of IDs.
struct References<'a> {
    /// Above this ID some group has not delivered everything; `None` without groups.
    delivered: Option<EntryId>,
    /// For each group what is pending in it.
    pending: Vec<Box<dyn Iterator<Item = EntryId> + 'a>>,
    /// The next pending ID of each group, with the group's place in `pending`.
    next: BinaryHeap<Reverse<(EntryId, usize)>>,
}

impl<'a> References<'a> {
    fn of(stream: &'a Stream) -> Self {
        let mut references = Self {
            delivered: stream.groups().map(|(_, _, group)| group.cursor).min(),
            pending: Vec::new(),
            next: BinaryHeap::new(),
        };
        for (_, _, group) in stream.groups() {
            let ids = group.pending.from(stream.index.first_id());
            references.pending.push(Box::new(ids.map(|held| held.id)));
            references.pull(references.pending.len() - 1);
        }
        references
    }

    fn pull(&mut self, group: usize) {
        let next = self.pending[group].next();
        self.next.extend(next.map(|id| Reverse((id, group))));
    }

    /// The lowest pending ID that is not below `id`.
    fn next_from(&mut self, id: EntryId) -> Option<EntryId> {
        loop {
            let &Reverse((next, group)) = self.next.peek()?;
            if next >= id {
                return Some(next);
            }
            self.next.pop();
            self.pull(group);
        }
    }

    fn is_undelivered(&self, id: EntryId) -> bool {
        self.delivered.is_some_and(|delivered| id > delivered)
    }

    fn has(&mut self, id: EntryId) -> bool {
        self.is_undelivered(id) || self.next_from(id) == Some(id)
    }

    /// Whether a group may refer to an entry between two IDs.
    fn any_in(&mut self, first: EntryId, last: EntryId) -> bool {
        let next = self.next_from(first);
        self.is_undelivered(last) || next.is_some_and(|next| next <= last)
    }
}

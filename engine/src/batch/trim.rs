//! How many entries a trim takes from the head of a stream.
//!
//! An approximate trim takes whole nodes only, and stops before a node that would exceed its limit.

use super::{Trim, TrimStrategy};
use crate::error::Result;
use crate::id::EntryId;
use crate::index::{Extent, Index};
use crate::log::Log;

/// How many entries `trim` removes.
pub(super) fn count(index: &Index, trim: Trim, log: &Log) -> Result<u64> {
    match (trim.strategy, trim.approximate) {
        (TrimStrategy::MaxLen(length), false) => Ok(index.len().saturating_sub(length)),
        (TrimStrategy::MinId(id), false) => below(index, id, log),
        (TrimStrategy::MaxLen(length), true) => {
            let stays_long = |_: &Extent, trimmed: u64| index.len() - trimmed >= length;
            whole_nodes(index, trim.limit, stays_long)
        }
        (TrimStrategy::MinId(id), true) => {
            whole_nodes(index, trim.limit, |node, _| node.last_id < id)
        }
    }
}

/// Entries in the nodes at the head that may go; `may_go` is told how many are trimmed with it.
fn whole_nodes(
    index: &Index,
    limit: Option<u64>,
    may_go: impl Fn(&Extent, u64) -> bool,
) -> Result<u64> {
    let limit = limit.filter(|&limit| limit > 0).unwrap_or(u64::MAX);
    let mut trimmed = 0;
    for node in index.extents() {
        let node = node?;
        let with_it = trimmed + node.live;
        if with_it > limit || !may_go(&node, with_it) {
            break;
        }
        trimmed = with_it;
    }
    Ok(trimmed)
}

/// Entries with an ID below `id`.
fn below(index: &Index, id: EntryId, log: &Log) -> Result<u64> {
    Ok(index.rank(index.lower_bound(id, log)?))
}

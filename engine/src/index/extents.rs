//! The nodes of a stream, wherever they lie: what approximate trimming and copies go by.

use std::iter::Peekable;

use super::{Index, Node, Position, Run};
use crate::format::sorted::RunRow;
use crate::{EntryId, Result};

/// How full a logical node of a stream is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeSize {
    /// Entries that it has.
    pub live: u32,
    /// Entries that it ever had, deleted and trimmed ones included.
    pub added: u32,
}

/// A node with live entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Its live entries.
    pub(crate) live: u64,
    /// The last ID that was added, also if that entry is deleted by now.
    pub(crate) last_id: EntryId,
    /// Entries ever added.
    added: u32,
    /// It begins in the part before.
    continues: bool,
}

impl Index {
    /// The nodes in order.
    pub(crate) fn extents(&self) -> impl Iterator<Item = Result<Extent>> {
        let mut parts = self.parts().peekable();
        std::iter::from_fn(move || next_extent(&mut parts))
    }

    /// Whether the entry at `position` is in another node than the one before it; a row that
    /// cannot be read starts none.
    pub(crate) fn opens_node(&self, position: Position) -> bool {
        let Some(run) = self.run(position.part) else {
            let goes_on = self.node_part(position) == Some(0)
                && self.runs().is_some_and(|runs| runs.log_continues);
            return position.at == 0 && !goes_on;
        };
        if position.at == 0 {
            return !run.continues;
        }
        let node = |at: usize| {
            let ordinal = run.ordinal(u32::try_from(at).ok()?);
            run.file.node_of(&run.row().ok()?, ordinal).ok()
        };
        let (before, here) = (node(position.at - 1), node(position.at));
        before.is_some() && here.is_some() && before != here
    }

    fn node_part(&self, position: Position) -> Option<usize> {
        position.part.checked_sub(self.run_count())
    }

    /// How many entries the nodes have and had, from the first node on.
    pub(crate) fn node_sizes(&self) -> Result<Vec<NodeSize>> {
        let size = |node: Result<Extent>| {
            node.map(|node| NodeSize {
                live: u32::try_from(node.live).unwrap_or(u32::MAX),
                added: node.added,
            })
        };
        self.extents().map(size).collect()
    }

    /// The nodes, each cut where a run ends.
    fn parts(&self) -> impl Iterator<Item = Result<Extent>> {
        let runs = self.runs();
        let in_runs = runs
            .into_iter()
            .flat_map(|runs| &runs.list)
            .flat_map(PartsOfRun::of);
        let log_continues = runs.is_some_and(|runs| runs.log_continues);
        let of_node = move |(at, node): (usize, &Node)| {
            Ok(Extent {
                live: node.offsets.len() as u64,
                last_id: node.last_id,
                added: node.added,
                continues: at == 0 && log_continues,
            })
        };
        in_runs.chain(self.log_nodes().enumerate().map(of_node))
    }
}

fn next_extent(
    parts: &mut Peekable<impl Iterator<Item = Result<Extent>>>,
) -> Option<Result<Extent>> {
    let mut extent = match parts.next()? {
        Ok(extent) => extent,
        Err(error) => return Some(Err(error)),
    };
    while let Some(Ok(part)) = parts.next_if(|part| part.as_ref().is_ok_and(|part| part.continues))
    {
        extent.live += part.live;
        (extent.last_id, extent.added) = (part.last_id, part.added);
    }
    Some(Ok(extent))
}

/// The parts of nodes that lie in one run.
struct PartsOfRun<'a> {
    run: &'a Run,
    row: Option<RunRow>,
    next: u32,
}

impl<'a> PartsOfRun<'a> {
    fn of(run: &'a Run) -> impl Iterator<Item = Result<Extent>> + 'a {
        let mut parts = PartsOfRun {
            run,
            row: None,
            next: 0,
        };
        std::iter::from_fn(move || parts.advance().transpose())
    }

    fn advance(&mut self) -> Result<Option<Extent>> {
        let row = if let Some(row) = self.row {
            row
        } else {
            let row = self.run.row()?;
            self.next = self.run.file.node_of(&row, self.run.ordinal(0))?;
            *self.row.insert(row)
        };
        while self.next < row.nodes {
            let node = self.next;
            self.next += 1;
            let live = self.run.live_in_node(&row, node)?;
            if live == 0 {
                continue;
            }
            let known = self.run.node(&row, node)?;
            return Ok(Some(Extent {
                live: u64::from(live),
                last_id: known.last_id,
                added: known.added,
                continues: node == 0 && self.run.continues,
            }));
        }
        Ok(None)
    }
}

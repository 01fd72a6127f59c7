//! The plan of a range read: where the chosen entries lie, to be read later without the lock.
//!
//! A plan is made under the engine's lock and costs four bytes an entry; it keeps the segments that
//! it names alive. The bytes are read, and each entry's checksum verified, by [`Entries::visit`].

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::codec;
use crate::format::entry;
use crate::format::varint;
use crate::id::EntryId;
use crate::index::{Index, Position};
use crate::log::{Log, Segment};
use crate::lsn::Lsn;

/// Entries chosen by a read, in reply order; a deleted one is an ID without fields.
///
/// Visit a plan only after what it depends on is settled (see
/// [`Batch::end_command`](crate::Batch::end_command)): until then the newest bytes may not be in
/// the file yet.
#[derive(Debug, Default)]
pub struct Entries {
    runs: Vec<Run>,
    offsets: Vec<u32>,
    len: usize,
}

/// Neighbours in the plan.
#[derive(Debug)]
enum Run {
    /// Entries in one segment, at `count` of the plan's file offsets from `start` on.
    Live {
        segment: Arc<Segment>,
        start: usize,
        count: usize,
    },
    /// An entry that is gone.
    Deleted(EntryId),
}

impl Entries {
    /// Number of entries, deleted ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is nothing to visit.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Reads the entries from index `from` on and hands each to `visitor` until it breaks.
    ///
    /// # Errors
    ///
    /// [`Corrupt`](crate::Error::Corrupt) names the file and offset of an entry whose bytes are not
    /// those that were written.
    pub fn visit(
        &self,
        from: usize,
        visitor: &mut dyn FnMut(EntryId, Option<Fields<'_>>) -> ControlFlow<()>,
    ) -> Result<()> {
        let mut skip = from;
        for run in &self.runs {
            if skip >= run.len() {
                skip -= run.len();
                continue;
            }
            let flow = match run {
                Run::Deleted(id) => visitor(*id, None),
                Run::Live {
                    segment,
                    start,
                    count,
                } => {
                    let offsets = &self.offsets[start + skip..start + count];
                    visit_run(segment, offsets, visitor)?
                }
            };
            skip = 0;
            if flow.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Appends the entry at `lsn`.
    pub(crate) fn push(&mut self, lsn: Lsn, log: &Log) -> Result<()> {
        self.push_all(lsn, &[0], log)
    }

    /// Appends an entry that is gone.
    pub(crate) fn push_deleted(&mut self, id: EntryId) {
        self.runs.push(Run::Deleted(id));
        self.len += 1;
    }

    /// Appends the entries of `index` between two positions, first to last.
    pub(crate) fn push_range(
        &mut self,
        index: &Index,
        from: Position,
        to: Position,
        log: &Log,
    ) -> Result<()> {
        for number in from.node..=to.node {
            let Some(node) = index.node(number) else {
                break;
            };
            let start = if number == from.node { from.at } else { 0 };
            let end = if number == to.node {
                to.at
            } else {
                node.offsets.len()
            };
            self.push_all(
                node.base,
                node.offsets.get(start..end).unwrap_or_default(),
                log,
            )?;
        }
        Ok(())
    }

    /// Turns the plan around.
    pub(crate) fn reverse(&mut self) {
        self.runs.reverse();
        for run in &self.runs {
            if let Run::Live { start, count, .. } = *run {
                self.offsets[start..start + count].reverse();
            }
        }
    }

    fn push_all(&mut self, base: Lsn, offsets: &[u32], log: &Log) -> Result<()> {
        let mut rest = offsets;
        while let Some(&first) = rest.first() {
            let (segment, _) = log.segment_at(base.plus(u64::from(first)))?;
            let end = segment.end_lsn().since(base);
            let count = rest.partition_point(|&offset| u64::from(offset) < end);
            let (here, others) = rest.split_at(count.max(1));
            self.push_run(segment, base, here);
            rest = others;
        }
        Ok(())
    }

    /// Appends entries that lie in one segment.
    fn push_run(&mut self, segment: Arc<Segment>, base: Lsn, offsets: &[u32]) {
        let first = segment.first_lsn();
        let in_file = |&offset: &u32| {
            let at = base.plus(u64::from(offset)).since(first);
            u32::try_from(at).expect("a segment is shorter than 4 GiB")
        };
        self.offsets.extend(offsets.iter().map(in_file));
        self.len += offsets.len();
        match self.runs.last_mut() {
            Some(Run::Live {
                segment: last,
                count,
                ..
            }) if Arc::ptr_eq(last, &segment) => {
                *count += offsets.len();
            }
            _ => {
                let start = self.offsets.len() - offsets.len();
                self.runs.push(Run::Live {
                    segment,
                    start,
                    count: offsets.len(),
                });
            }
        }
    }
}

impl Run {
    fn len(&self) -> usize {
        match self {
            Run::Live { count, .. } => *count,
            Run::Deleted(_) => 1,
        }
    }
}

fn visit_run(
    segment: &Segment,
    offsets: &[u32],
    visitor: &mut dyn FnMut(EntryId, Option<Fields<'_>>) -> ControlFlow<()>,
) -> Result<ControlFlow<()>> {
    for &offset in offsets {
        let bytes = segment.bytes().get(offset as usize..);
        let lsn = segment.first_lsn().plus(u64::from(offset));
        let Some(entry) = bytes.and_then(|bytes| entry::entry(bytes, lsn)) else {
            return Err(Error::Corrupt {
                path: segment.path().to_path_buf(),
                offset: u64::from(offset),
                what: "expected an entry, found bytes that do not match its checksum",
            });
        };
        let flow = visitor(entry.id, Some(Fields::of(entry.body)));
        if flow.is_break() {
            return Ok(flow);
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// The fields of one entry: field, value, field, value, ...
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    body: &'a [u8],
    left: usize,
}

impl<'a> Fields<'a> {
    /// The fields in a verified body.
    pub(crate) fn of(mut body: &'a [u8]) -> Self {
        let pairs = varint::take(&mut body).unwrap_or(0);
        Self {
            body,
            left: usize::try_from(pairs * 2).unwrap_or(0),
        }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        self.left = self.left.checked_sub(1)?;
        codec::take_bytes(&mut self.body)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Fields<'_> {}

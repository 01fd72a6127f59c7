//! The plan of a range read: where the chosen entries lie, to be read later without the lock.
//!
//! A plan is made under the engine's lock and costs four bytes an entry of the log, and next to
//! nothing for entries of a sorted segment; it keeps the files that it names alive. The bytes are
//! read, and the checksum of each entry or block verified, by [`Entries::visit`].

use std::ops::ControlFlow;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::error::Result;
use crate::format::codec;
use crate::format::varint;
use crate::id::EntryId;
use crate::index::{Index, Position, Run, nth_live};
use crate::log::{Log, Segment};
use crate::lsn::Lsn;
use crate::sorted::{Block, SortedFile};

/// Entries chosen by a read, in reply order; a deleted one is an ID without fields.
///
/// Visit a plan only after what it depends on is settled (see
/// [`Batch::end_command`](crate::Batch::end_command)): until then the newest bytes may not be in
/// the file yet.
#[derive(Debug, Default)]
pub struct Entries {
    pieces: SmallVec<[Piece; 1]>,
    offsets: SmallVec<[u32; OFFSETS_IN_PLACE]>,
    len: usize,
}

/// So many entries of one segment need no memory of their own: most reads want no more.
const OFFSETS_IN_PLACE: usize = 12;

/// Neighbours in the plan.
#[derive(Debug)]
enum Piece {
    /// Entries in one segment, at `count` of the plan's file offsets from `start` on.
    Live {
        segment: Arc<Segment>,
        start: usize,
        count: usize,
    },
    /// Entries in one sorted segment.
    Sorted(Stretch),
    /// An entry that is gone.
    Deleted(EntryId),
}

/// Neighbours in a run of a sorted segment.
#[derive(Debug)]
struct Stretch {
    file: Arc<SortedFile>,
    slot: u32,
    /// The ordinal of the first.
    from: u32,
    /// The ordinals between that were deleted.
    deleted: Box<[u32]>,
    count: u32,
    is_reversed: bool,
}

/// A stretch of more entries than this passes by the cache of blocks.
const CACHED_MAX: u32 = 512;

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
        for piece in &self.pieces {
            if skip >= piece.len() {
                skip -= piece.len();
                continue;
            }
            let flow = match piece {
                Piece::Deleted(id) => visitor(*id, None),
                Piece::Sorted(stretch) => stretch.visit(skip, visitor)?,
                Piece::Live {
                    segment,
                    start,
                    count,
                } => {
                    let offsets = &self.offsets[start + skip..start + count];
                    visit_live(segment, offsets, visitor)?
                }
            };
            skip = 0;
            if flow.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Appends the entry at a position of `index`.
    pub(crate) fn push(&mut self, index: &Index, position: Position, log: &Log) -> Result<()> {
        self.push_range(index, position, index.next(position), log)
    }

    /// Appends an entry that is gone.
    pub(crate) fn push_deleted(&mut self, id: EntryId) {
        self.pieces.push(Piece::Deleted(id));
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
        for part in from.part..=to.part {
            let start = if part == from.part { from.at } else { 0 };
            let end = if part == to.part {
                to.at
            } else {
                index.part_len(part)
            };
            if let Some(run) = index.run(part) {
                self.push_stretch(run, start, end);
                continue;
            }
            let Some(node) = index.node_at(part) else {
                break;
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
        self.pieces.reverse();
        for piece in &mut self.pieces {
            match piece {
                Piece::Live { start, count, .. } => {
                    self.offsets[*start..*start + *count].reverse();
                }
                Piece::Sorted(stretch) => stretch.is_reversed = !stretch.is_reversed,
                Piece::Deleted(_) => {}
            }
        }
    }

    /// Appends the live entries of `run` from one rank to before another.
    fn push_stretch(&mut self, run: &Run, start: usize, end: usize) {
        if start >= end {
            return;
        }
        let rank = |at: usize| u32::try_from(at).expect("a rank in a run");
        let (from, last) = (run.ordinal(rank(start)), run.ordinal(rank(end - 1)));
        let deleted = run.deleted();
        let behind = |bound: u32| deleted.partition_point(|&ordinal| ordinal < bound);
        self.pieces.push(Piece::Sorted(Stretch {
            file: Arc::clone(&run.file),
            slot: run.slot,
            from,
            deleted: deleted[behind(from)..behind(last)].into(),
            count: rank(end - start),
            is_reversed: false,
        }));
        self.len += end - start;
    }

    fn push_all(&mut self, base: Lsn, offsets: &[u32], log: &Log) -> Result<()> {
        let mut rest = offsets;
        while let Some(&first) = rest.first() {
            let (segment, _) = log.segment_at(base.plus(u64::from(first)))?;
            let end = segment.end_lsn().since(base);
            let count = rest.partition_point(|&offset| u64::from(offset) < end);
            let (here, others) = rest.split_at(count.max(1));
            self.push_live(segment, base, here);
            rest = others;
        }
        Ok(())
    }

    /// Appends entries that lie in one segment.
    fn push_live(&mut self, segment: Arc<Segment>, base: Lsn, offsets: &[u32]) {
        let first = segment.first_lsn();
        let in_file = |&offset: &u32| {
            let at = base.plus(u64::from(offset)).since(first);
            u32::try_from(at).expect("a segment is shorter than 4 GiB")
        };
        self.offsets.extend(offsets.iter().map(in_file));
        self.len += offsets.len();
        match self.pieces.last_mut() {
            Some(Piece::Live {
                segment: last,
                count,
                ..
            }) if Arc::ptr_eq(last, &segment) => {
                *count += offsets.len();
            }
            _ => {
                let start = self.offsets.len() - offsets.len();
                self.pieces.push(Piece::Live {
                    segment,
                    start,
                    count: offsets.len(),
                });
            }
        }
    }
}

impl Piece {
    fn len(&self) -> usize {
        match self {
            Piece::Live { count, .. } => *count,
            Piece::Sorted(stretch) => stretch.count as usize,
            Piece::Deleted(_) => 1,
        }
    }
}

impl Stretch {
    fn visit(&self, skip: usize, visitor: &mut Visitor<'_>) -> Result<ControlFlow<()>> {
        let row = self.file.run(self.slot)?;
        let first = u32::try_from(skip).expect("less than there are");
        let mut current: Option<Arc<Block>> = None;
        for at in first..self.count {
            let rank = if self.is_reversed {
                self.count - 1 - at
            } else {
                at
            };
            let ordinal = nth_live(self.from, &self.deleted, rank);
            let block = match current.take().filter(|block| block.id(ordinal).is_some()) {
                Some(block) => block,
                None => self.load(self.file.block_of(&row, ordinal)?)?,
            };
            let lacks = || {
                self.file
                    .corrupt(0, "a run of a sorted segment lacks an entry")
            };
            let (id, body) = block.entry(ordinal).ok_or_else(lacks)?;
            let flow = visitor(id, Some(Fields::of(body)));
            if flow.is_break() {
                return Ok(flow);
            }
            current = Some(block);
        }
        Ok(ControlFlow::Continue(()))
    }

    fn load(&self, number: u32) -> Result<Arc<Block>> {
        if self.count <= CACHED_MAX {
            self.file.cached_block(number)
        } else {
            self.file.passing_block(number)
        }
    }
}

/// Who is handed the entries of a plan, until it breaks.
type Visitor<'a> = dyn FnMut(EntryId, Option<Fields<'_>>) -> ControlFlow<()> + 'a;

fn visit_live(
    segment: &Segment,
    offsets: &[u32],
    visitor: &mut Visitor<'_>,
) -> Result<ControlFlow<()>> {
    for &offset in offsets {
        let entry = segment.entry(segment.first_lsn().plus(u64::from(offset)))?;
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

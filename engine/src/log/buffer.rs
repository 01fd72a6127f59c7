//! The commit buffer: frames that have been appended and not yet written.
//!
//! A buffer is made of pieces, one for each segment that it reaches into; within a piece, bytes
//! of the buffer and LSNs run in step. Nearly always there is one piece.
//!
//! Before it is written, a buffer is padded with zeros to the end of a block. Zeros are what the
//! file has there, so this changes nothing; but a block that is written whole need not be read
//! first, and the zeros of a prepared segment are not always cached (measured: the reads made an
//! unsynced commit six times as expensive).

use std::sync::Arc;

use super::segment::Segment;
use crate::Lsn;

/// A buffer that has grown beyond this is not kept for the next commit.
const CAPACITY_KEPT_MAX: usize = 4 << 20;

/// Blocks are written whole where that is possible.
const BLOCK: u64 = 4096;

/// Frames that have been appended and not yet written.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    pub(crate) bytes: Vec<u8>,
    pieces: Vec<Piece>,
    /// Zeros at the end of `bytes` that are no part of the log.
    padding: usize,
}

/// A run of bytes that belongs into one segment.
pub(crate) struct Run<'a> {
    pub(crate) segment: &'a Arc<Segment>,
    pub(crate) lsn: Lsn,
    /// The bytes, and zeros behind them.
    pub(crate) padded: &'a [u8],
    /// Number of bytes that are part of the log.
    pub(crate) len: usize,
}

#[derive(Debug)]
struct Piece {
    segment: Arc<Segment>,
    lsn: Lsn,
    start: usize,
}

impl Buffer {
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn has_pieces(&self) -> bool {
        !self.pieces.is_empty()
    }

    /// What is appended from now on belongs at `lsn` in `segment`.
    pub(crate) fn begin_piece(&mut self, segment: Arc<Segment>, lsn: Lsn) {
        let start = self.bytes.len();
        self.pieces.push(Piece {
            segment,
            lsn,
            start,
        });
    }

    /// The bytes from `lsn` to the end of its piece, if it is here.
    pub(crate) fn bytes_at(&self, lsn: Lsn) -> Option<&[u8]> {
        let index = self.pieces.iter().rposition(|piece| piece.lsn <= lsn)?;
        let bytes = self.piece_bytes(index);
        let skip = usize::try_from(lsn.since(self.pieces[index].lsn)).ok()?;
        bytes.get(skip..).filter(|rest| !rest.is_empty())
    }

    /// Fills up the last block.
    pub(crate) fn pad(&mut self) {
        let Some(last) = self.pieces.last() else {
            return;
        };
        let end = last.lsn.plus((self.bytes.len() - last.start) as u64);
        let padding = end.0.next_multiple_of(BLOCK) - end.0;
        self.padding = usize::try_from(padding).unwrap_or(0);
        self.bytes.resize(self.bytes.len() + self.padding, 0);
    }

    /// What is to be written, segment by segment.
    pub(crate) fn runs(&self) -> impl Iterator<Item = Run<'_>> {
        self.pieces.iter().enumerate().map(|(index, piece)| {
            let is_last = index + 1 == self.pieces.len();
            let bytes = self.piece_bytes(index);
            Run {
                segment: &piece.segment,
                lsn: piece.lsn,
                padded: if is_last {
                    &self.bytes[piece.start..]
                } else {
                    bytes
                },
                len: bytes.len(),
            }
        })
    }

    fn piece_bytes(&self, index: usize) -> &[u8] {
        let next = self.pieces.get(index + 1).map(|next| next.start);
        let end = next.unwrap_or(self.bytes.len() - self.padding);
        &self.bytes[self.pieces[index].start..end]
    }

    /// Empties the buffer for the next commit; what it allocated is kept unless it is much.
    pub(crate) fn recycle(mut self) -> Self {
        self.pieces.clear();
        self.bytes.clear();
        self.padding = 0;
        if self.bytes.capacity() > CAPACITY_KEPT_MAX {
            self.bytes = Vec::new();
        }
        self
    }
}

//! The commit buffer: frames that have been appended and not yet written.
//!
//! A buffer is made of pieces, one for each segment that it reaches into; within a piece, bytes
//! of the buffer and LSNs run in step. Nearly always there is one piece.

use std::sync::Arc;

use super::segment::Segment;
use crate::Lsn;

/// A buffer that has grown beyond this is not kept for the next commit.
const CAPACITY_KEPT_MAX: usize = 4 << 20;

/// Frames that have been appended and not yet written.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    pub(crate) bytes: Vec<u8>,
    pieces: Vec<Piece>,
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

    /// Each piece: its segment, its LSN, its bytes.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = (&Arc<Segment>, Lsn, &[u8])> {
        self.pieces
            .iter()
            .enumerate()
            .map(|(index, piece)| (&piece.segment, piece.lsn, self.piece_bytes(index)))
    }

    fn piece_bytes(&self, index: usize) -> &[u8] {
        let end = self.pieces.get(index + 1).map(|next| next.start);
        &self.bytes[self.pieces[index].start..end.unwrap_or(self.bytes.len())]
    }

    /// Empties the buffer for the next commit; what it allocated is kept unless it is much.
    pub(crate) fn recycle(mut self) -> Self {
        self.pieces.clear();
        self.bytes.clear();
        if self.bytes.capacity() > CAPACITY_KEPT_MAX {
            self.bytes = Vec::new();
        }
        self
    }
}

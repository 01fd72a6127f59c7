//! The log: the ordered bytes of all mutations across segments.
//!
//! ```text
//!   append -> Buffer -> commit (write, sync) -> Segment ... next Segment (prepared) ... reserve
//!                                               \__ SegmentSet: by LSN, live entries counted
//! ```
//!
//! [`Log`] is the head: all its methods are called under the state lock. It does not know what
//! records are: it appends byte strings, and recovery gives byte strings back. An appended byte can
//! be read at once: from the buffer, from the buffer that is being written, or from its segment.

mod buffer;
mod commit;
mod death;
pub(crate) mod prepare;
mod progress;
pub(crate) mod recovery;
mod replay;
pub(crate) mod scan;
pub(crate) mod segment;
mod set;

use std::path::PathBuf;
use std::sync::Arc;

pub(crate) use buffer::Buffer;
pub(crate) use commit::Commit;
pub(crate) use death::Death;
pub(crate) use prepare::Prepare;
pub(crate) use progress::{Leader, Listener, Progress};
pub(crate) use replay::replay;
pub(crate) use segment::{NO_ENTRY, Segment};
pub(crate) use set::SegmentSet;

use crate::format::frame;
use crate::limits::FRAME_PAYLOAD_MAX;
use crate::sync::atomic::Ordering;
use crate::{Error, Lsn, Result};

/// What a transaction may need beyond its records: the headers and the padding of two frames, the
/// one that seals a segment and the one that goes on in the next.
const FRAMES_SLACK: usize = 2 * (frame::HEADER_LEN + frame::ALIGN);
/// The same for a transaction of several records, each of which asks for the slack anew.
const ADMIT_SLACK: usize = 2 * FRAMES_SLACK;

/// Whether a command grows the data; on a full disk only those that do not are admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Growth {
    /// It adds entries, groups, deliveries.
    Grows,
    /// It acks, deletes, trims.
    Shrinks,
}

/// The in-memory head of the log. All calls happen under the state lock.
pub(crate) struct Log {
    segments: SegmentSet,
    buffer: Buffer,
    in_flight: Option<Arc<Buffer>>,
    /// Where the open frame starts in the buffer.
    open_frame: Option<usize>,
    /// Whether the open transaction has a frame already.
    is_resuming: bool,
    /// The LSN behind the last frame that was ended.
    end: Lsn,
    prepare: Arc<Prepare>,
    progress: Arc<Progress>,
}

impl Log {
    /// A log that goes on at `end`, in the last of `segments`.
    pub(crate) fn new(
        segments: Vec<Arc<Segment>>,
        end: Lsn,
        prepare: Arc<Prepare>,
        progress: Arc<Progress>,
    ) -> Self {
        Self {
            segments: SegmentSet::new(segments),
            buffer: Buffer::default(),
            in_flight: None,
            open_frame: None,
            is_resuming: false,
            end,
            prepare,
            progress,
        }
    }

    /// The LSN behind the last frame.
    pub(crate) fn end(&self) -> Lsn {
        self.end
    }

    /// Makes sure that `bytes` of records can be appended.
    #[inline]
    pub(crate) fn admit(&mut self, bytes: usize, growth: Growth) -> Result<()> {
        self.progress.check()?;
        let may_grow = growth == Growth::Shrinks || self.prepare.reserve_holds();
        if may_grow && bytes + ADMIT_SLACK <= self.room() {
            return Ok(());
        }
        self.admit_slowly(bytes, growth)
    }

    #[cold]
    fn admit_slowly(&mut self, bytes: usize, growth: Growth) -> Result<()> {
        if bytes > FRAME_PAYLOAD_MAX {
            return Err(Error::TooLarge {
                what: "transaction",
                size: bytes as u64,
                limit: FRAME_PAYLOAD_MAX as u64,
            });
        }
        self.prepare.ensure(bytes + ADMIT_SLACK, growth)
    }

    /// Bytes that the active segment has left, behind what is in the buffer.
    fn room(&self) -> usize {
        let open = self
            .open_frame
            .map_or(0, |start| self.buffer.bytes.len() - start);
        let left = self.segments.active().end_lsn().since(self.end);
        usize::try_from(left)
            .unwrap_or(usize::MAX)
            .saturating_sub(open)
    }

    /// Appends a record of at most `len_max` bytes to the open transaction, which it opens if there
    /// is none; the LSN of the record's first byte, which `encode` is told as well. Infallible
    /// after [`Log::admit`].
    #[inline]
    pub(crate) fn append(&mut self, len_max: usize, encode: impl FnOnce(&mut Vec<u8>, Lsn)) -> Lsn {
        let payload = self
            .open_frame
            .map_or(0, |start| self.buffer.bytes.len() - start);
        if len_max + FRAMES_SLACK > self.room() || payload + len_max > FRAME_PAYLOAD_MAX {
            self.make_room(len_max);
        }
        let start = self.open_frame.unwrap_or_else(|| self.begin_frame());
        let at = self.buffer.bytes.len();
        let lsn = self.end.plus((at - start) as u64);
        encode(&mut self.buffer.bytes, lsn);
        debug_assert!(
            self.buffer.bytes.len() - at <= len_max,
            "len_max is a bound"
        );
        lsn
    }

    fn begin_frame(&mut self) -> usize {
        if !self.buffer.has_pieces() {
            self.buffer
                .begin_piece(Arc::clone(self.segments.active()), self.end);
        }
        let start = self.buffer.bytes.len();
        self.buffer.bytes.extend_from_slice(&[0; frame::HEADER_LEN]);
        self.open_frame = Some(start);
        start
    }

    /// Ends the frame that has no room for `len_max` more, and the segment if it has none either.
    #[cold]
    fn make_room(&mut self, len_max: usize) {
        self.finish_frame(frame::CONTINUES);
        if len_max + FRAMES_SLACK <= self.room() {
            return;
        }
        let next = self.prepare.take_next(len_max + FRAMES_SLACK);
        self.begin_frame();
        self.finish_frame(frame::SEALS);
        self.end = next.frames_lsn();
        self.segments.roll(Arc::clone(&next));
        self.buffer.begin_piece(next, self.end);
    }

    fn finish_frame(&mut self, flags: u8) {
        let Some(start) = self.open_frame.take() else {
            return;
        };
        let identity = self.segments.active().identity();
        let durable = self.progress.durable();
        let flags = match (flags, self.is_resuming) {
            (0 | frame::CONTINUES, true) => flags | frame::RESUMES,
            _ => flags,
        };
        // A frame that seals a segment says nothing about transactions.
        self.is_resuming = match flags {
            frame::SEALS => self.is_resuming,
            _ => flags & frame::CONTINUES != 0,
        };
        let bytes = &mut self.buffer.bytes;
        frame::finish(&mut bytes[start..], identity, self.end, flags, durable);
        bytes.resize(
            start + (bytes.len() - start).next_multiple_of(frame::ALIGN),
            0,
        );
        self.end = self.end.plus((bytes.len() - start) as u64);
    }

    /// Ends the open transaction, if there is one; the LSN behind the last frame.
    #[inline]
    pub(crate) fn end_frame(&mut self) -> Lsn {
        if self.open_frame.is_some() {
            self.finish_frame(0);
            let frames = &self.progress.counters.frames;
            // Only the holder of the state lock counts here.
            frames.store(frames.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
            self.progress.publish_appended(self.end);
        }
        self.end
    }

    /// Says in the log that the transaction which its last frames have begun never happened.
    pub(crate) fn void_transaction(&mut self) {
        if frame::HEADER_LEN + FRAMES_SLACK > self.room() {
            self.make_room(frame::HEADER_LEN);
        }
        self.begin_frame();
        self.finish_frame(frame::VOIDS);
        self.progress.publish_appended(self.end);
    }

    /// Hands out what has gathered, to be written; `last` is the buffer of the commit before.
    pub(crate) fn gather(&mut self, last: Option<Arc<Buffer>>) -> Option<Arc<Buffer>> {
        self.end_frame();
        if self.buffer.is_empty() {
            return None;
        }
        self.in_flight = None;
        let empty = last.and_then(Arc::into_inner).unwrap_or_default().recycle();
        let mut full = std::mem::replace(&mut self.buffer, empty);
        full.pad();
        let full = Arc::new(full);
        self.in_flight = Some(Arc::clone(&full));
        Some(full)
    }

    /// The bytes from `lsn` to the end of what that buffer or segment holds.
    pub(crate) fn bytes_at(&self, lsn: Lsn) -> Result<&[u8]> {
        if let Some(bytes) = self.buffer.bytes_at(lsn) {
            return Ok(bytes);
        }
        let in_flight = self.in_flight.as_ref();
        if let Some(bytes) = in_flight.and_then(|buffer| buffer.bytes_at(lsn)) {
            return Ok(bytes);
        }
        let segment = self.segments.find(lsn).ok_or_else(|| self.missing(lsn))?;
        usize::try_from(lsn.since(segment.first_lsn()))
            .ok()
            .and_then(|offset| segment.bytes().get(offset..))
            .ok_or_else(|| self.missing(lsn))
    }

    /// The segment that covers `lsn`, and the offset in it.
    pub(crate) fn segment_at(&self, lsn: Lsn) -> Result<(Arc<Segment>, u64)> {
        let segment = self.segments.find(lsn).ok_or_else(|| self.missing(lsn))?;
        Ok((Arc::clone(segment), lsn.since(segment.first_lsn())))
    }

    #[cold]
    fn missing(&self, lsn: Lsn) -> Error {
        let path = match self.segments.last() {
            Some(segment) => {
                let name = segment::name(self.segments.home_of(lsn));
                segment.path().with_file_name(name)
            }
            None => PathBuf::from(segment::name(lsn)),
        };
        Error::Corrupt {
            path,
            offset: 0,
            what: "the log segment that holds this position is missing",
        }
    }

    /// Whether all segments that live entries lie in are there.
    pub(crate) fn check_homes(&self) -> Result<()> {
        self.segments
            .missing()
            .map_or(Ok(()), |lsn| Err(self.missing(lsn)))
    }

    /// An entry lives at `lsn`: its segment must stay.
    #[inline]
    pub(crate) fn entry_lives(&mut self, lsn: Lsn) {
        self.segments.entries_live(std::iter::once(lsn));
    }

    /// Like [`Log::entry_lives`] for many, in ascending order.
    pub(crate) fn entries_live(&mut self, sorted: impl Iterator<Item = Lsn>) {
        self.segments.entries_live(sorted);
    }

    /// The entry at `lsn` was trimmed or deleted.
    pub(crate) fn entry_died(&mut self, lsn: Lsn) {
        self.entries_died(std::iter::once(lsn));
    }

    /// Like [`Log::entry_died`] for many, in ascending order.
    pub(crate) fn entries_died(&mut self, sorted: impl Iterator<Item = Lsn>) {
        self.segments.entries_died(sorted);
    }

    /// Like [`Log::entries_died`], for neighbours: most of them lie in one segment.
    pub(crate) fn neighbours_died<I>(&mut self, sorted: I)
    where
        I: ExactSizeIterator<Item = Lsn> + DoubleEndedIterator + Clone,
    {
        let ends = (sorted.clone().next(), sorted.clone().next_back());
        let (Some(first), Some(last)) = ends else {
            return;
        };
        let count = sorted.len() as u64;
        if !self.segments.neighbours_died(first, last, count) {
            self.segments.entries_died(sorted);
        }
    }

    /// Nothing can be acknowledged any more: state and log may differ.
    pub(crate) fn poison(&self) {
        self.progress.poison();
    }

    /// The segments, to look at.
    pub(crate) fn segments_ref(&self) -> &SegmentSet {
        &self.segments
    }

    pub(crate) fn segments(&mut self) -> &mut SegmentSet {
        &mut self.segments
    }
}

#[cfg(test)]
mod tests;

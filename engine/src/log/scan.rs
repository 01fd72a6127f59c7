//! Reading frames one after the other, and what the bytes behind the last good one say.
//!
//! A scan covers one segment from some frame on. It is about bytes only: what a bad frame means
//! is decided in [`recovery`](super::recovery).

use crate::Lsn;
use crate::format::frame::{self, Found, Frame};

/// The bytes of a segment from `lsn` on.
#[derive(Clone, Copy)]
pub(crate) struct Bytes<'a> {
    pub(crate) raw: &'a [u8],
    pub(crate) lsn: Lsn,
    pub(crate) identity: u64,
}

/// Why a run of valid frames ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// With the frame that seals the segment.
    Sealed,
    /// With zeros.
    Nothing,
    /// With something that is no valid frame.
    Bad(&'static str),
}

/// A run of valid frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) from: Lsn,
    /// Behind the last valid frame.
    pub(crate) to: Lsn,
    pub(crate) stop: Stop,
    /// The latest position of which a frame says that it is durable.
    pub(crate) durable: Lsn,
    /// Number of frames.
    pub(crate) frames: u64,
    /// Whether its last frame leaves a transaction open; `None` if it tells nothing of that.
    pub(crate) is_cut: Option<bool>,
}

/// What there is at a place of a segment.
pub(crate) enum Piece<'a> {
    Frame(Lsn, Frame<'a>),
    Gap(Gap),
}

/// Bytes that are no valid frame.
pub(crate) struct Gap {
    pub(crate) lsn: Lsn,
    /// Bytes up to the next valid frame, or up to the last byte that is not zero.
    pub(crate) len: u64,
    pub(crate) what: &'static str,
    /// No valid frame follows in this segment.
    pub(crate) is_last: bool,
}

impl<'a> Bytes<'a> {
    fn rest(self, lsn: Lsn) -> &'a [u8] {
        let skip = usize::try_from(lsn.since(self.lsn)).unwrap_or(usize::MAX);
        self.raw.get(skip..).unwrap_or_default()
    }

    /// What begins at `lsn`.
    pub(crate) fn decode(self, lsn: Lsn) -> Found<'a> {
        frame::decode(self.rest(lsn), self.identity, lsn)
    }

    /// The run of valid frames that starts at `from`.
    pub(crate) fn run(self, from: Lsn) -> Run {
        let mut run = Run {
            from,
            to: from,
            stop: Stop::Nothing,
            durable: Lsn::ZERO,
            frames: 0,
            is_cut: None,
        };
        loop {
            match self.decode(run.to) {
                Found::Frame(frame) => {
                    run.to = run.to.plus(frame.space() as u64);
                    run.durable = run.durable.max(frame.durable);
                    run.frames += 1;
                    if frame.has(frame::SEALS) {
                        run.stop = Stop::Sealed;
                        return run;
                    }
                    run.is_cut = Some(frame.has(frame::CONTINUES));
                }
                Found::Nothing => return run,
                Found::Bad(what) => {
                    run.stop = Stop::Bad(what);
                    return run;
                }
            }
        }
    }

    /// All that there is, from the first byte on: valid frames, and what lies between them.
    pub(crate) fn pieces(self) -> impl Iterator<Item = Piece<'a>> {
        let mut next = Some(self.lsn);
        std::iter::from_fn(move || {
            let at = next.take()?;
            let what = match self.decode(at) {
                Found::Frame(frame) => {
                    if !frame.has(frame::SEALS) {
                        next = Some(at.plus(frame.space() as u64));
                    }
                    return Some(Piece::Frame(at, frame));
                }
                Found::Nothing => "expected a frame, found zeros",
                Found::Bad(what) => what,
            };
            next = self.next_frame(at).map(|(lsn, _)| lsn);
            let dirty = self.dirty_len(at) as u64;
            Some(Piece::Gap(Gap {
                lsn: at,
                len: next.map_or(dirty, |next| next.since(at)),
                what,
                is_last: next.is_none(),
            }))
        })
    }

    /// The next valid frame behind `lsn`, wherever it starts.
    pub(crate) fn next_frame(self, lsn: Lsn) -> Option<(Lsn, Frame<'a>)> {
        let mut lsn = lsn.plus(frame::ALIGN as u64);
        let dirty = self.dirty_len(lsn);
        let end = lsn.plus(dirty as u64);
        while lsn < end {
            let rest = self.rest(lsn);
            // The magic and the flags are looked at before anything is summed.
            if rest.get(frame::MAGIC_AT) == Some(&frame::MAGIC)
                && rest
                    .get(frame::FLAGS_AT)
                    .is_some_and(|flags| flags & !frame::FLAGS == 0)
                && let Found::Frame(frame) = self.decode(lsn)
            {
                return Some((lsn, frame));
            }
            lsn = lsn.plus(frame::ALIGN as u64);
        }
        None
    }

    /// The number of bytes from `lsn` to the last one that is not zero.
    pub(crate) fn dirty_len(self, lsn: Lsn) -> usize {
        let rest = self.rest(lsn);
        let chunks = rest.chunks(ZEROS_LEN).enumerate().rev();
        // Summing up a chunk is faster than asking each byte.
        let mut dirty =
            chunks.filter(|(_, chunk)| chunk.iter().fold(0, |all, byte| all | byte) != 0);
        dirty.next().map_or(0, |(index, chunk)| {
            let last = chunk.iter().rposition(|&byte| byte != 0);
            index * ZEROS_LEN + last.map_or(0, |last| last + 1)
        })
    }
}

/// Zeros are looked for in pieces of this size.
const ZEROS_LEN: usize = 4096;

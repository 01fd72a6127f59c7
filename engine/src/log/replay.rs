//! Giving back what was appended, transaction by transaction.
//!
//! A transaction is a chain of frames, and counts whole or not at all: one that lost its end to
//! damage is known by its last frame, which goes on; one that lost its beginning by its first,
//! which resumes.

use std::ops::Range;
use std::sync::Arc;

use super::Log;
use super::recovery::SegmentRun;
use super::scan::{Bytes, Stop};
use super::segment::Segment;
use crate::format::frame::{self, Found};
use crate::{Error, Lsn, Result};

/// What was given back.
#[derive(Debug, Default)]
pub(crate) struct Replayed {
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
    /// Frames of transactions of which another part is lost: none of them was given back.
    pub(crate) torn: Vec<Torn>,
}

/// A valid frame of a transaction that is not whole.
#[derive(Debug)]
pub(crate) struct Torn {
    pub(crate) segment: Arc<Segment>,
    /// Where the frame starts in the file.
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

/// A frame of a transaction that has not ended yet.
struct Part {
    segment: Arc<Segment>,
    payload: Range<usize>,
}

impl Part {
    fn torn(self) -> Torn {
        let len = frame::space(self.payload.len()) as u64;
        Torn {
            segment: self.segment,
            offset: (self.payload.start - frame::HEADER_LEN) as u64,
            len,
        }
    }
}

/// The frames so far of the transaction that is being read.
#[derive(Default)]
struct Chain {
    parts: Vec<Part>,
    /// Its beginning is lost.
    is_headless: bool,
}

impl Chain {
    /// Takes in the next frame; whether its transaction ends with it.
    fn push(&mut self, part: Part, flags: u8) -> bool {
        if self.parts.is_empty() {
            self.is_headless = flags & frame::RESUMES != 0;
        }
        self.parts.push(part);
        flags & frame::CONTINUES == 0
    }

    fn clear(&mut self) {
        self.parts.clear();
    }

    /// A part of the transaction is lost: so is the rest.
    fn tear(&mut self, torn: &mut Vec<Torn>) {
        torn.extend(self.parts.drain(..).map(Part::torn));
    }
}

/// Hands the payloads of all whole transactions in `runs` to `apply`, with their LSNs, in order.
pub(crate) fn replay(
    runs: &[SegmentRun],
    log: &mut Log,
    mut apply: impl FnMut(&[u8], Lsn, &mut Log) -> Result<()>,
) -> Result<Replayed> {
    let mut replayed = Replayed::default();
    let mut chain = Chain::default();
    let mut previous: Option<&SegmentRun> = None;
    for current in runs {
        let (segment, run) = current;
        if !previous.is_some_and(|previous| is_followed_by(previous, current)) {
            // Salvage: the end of the open transaction is lost.
            chain.tear(&mut replayed.torn);
        }
        let mut lsn = run.from;
        while lsn < run.to {
            let (flags, part, space) = part_at(segment, lsn)?;
            lsn = lsn.plus(space as u64);
            replayed.frames += 1;
            replayed.bytes += space as u64;
            if flags & frame::VOIDS != 0 {
                chain.clear();
            } else if flags & frame::SEALS == 0 && chain.push(part, flags) {
                if chain.is_headless {
                    chain.tear(&mut replayed.torn);
                }
                for part in chain.parts.drain(..) {
                    let first = part.segment.first_lsn();
                    let lsn = first.plus(part.payload.start as u64);
                    apply(&part.segment.bytes()[part.payload], lsn, log)?;
                }
            }
        }
        previous = Some(current);
    }
    Ok(replayed)
}

/// Whether nothing is missing between two runs.
fn is_followed_by(run: &SegmentRun, next: &SegmentRun) -> bool {
    run.1.to == next.1.from
        || (run.1.stop == Stop::Sealed
            && run.0.end_lsn() == next.0.first_lsn()
            && next.1.from == next.0.frames_lsn())
}

fn part_at(segment: &Arc<Segment>, lsn: Lsn) -> Result<(u8, Part, usize)> {
    let bytes = Bytes {
        raw: segment.bytes(),
        lsn: segment.first_lsn(),
        identity: segment.identity(),
    };
    let offset = lsn.since(segment.first_lsn());
    match (bytes.decode(lsn), usize::try_from(offset)) {
        (Found::Frame(frame), Ok(start)) => {
            let start = start + frame::HEADER_LEN;
            let part = Part {
                segment: Arc::clone(segment),
                payload: start..start + frame.payload.len(),
            };
            Ok((frame.flags, part, frame.space()))
        }
        _ => Err(Error::Corrupt {
            path: segment.path().to_owned(),
            offset,
            what: "a frame has changed since it was verified",
        }),
    }
}

//! The segments of the log, by LSN, and how many live entries each of them holds.
//!
//! A sealed segment without live entries is dead ([`Death`]). It may be unlinked once every kept
//! checkpoint began when it was dead already, and behind its end: recovery from any of them then
//! never looks into it.

use std::sync::Arc;

use super::Death;
use super::segment::Segment;
use crate::Lsn;

/// An entry of which there are few a stream, and many streams, takes at most so many bytes of log.
const SMALL_ENTRY_LEN: u64 = 1 << 10;

/// The segments that there are, in order; the last one is active.
#[derive(Debug)]
pub(crate) struct SegmentSet {
    held: Vec<Held>,
    /// The first live entry that lies in none of them.
    homeless: Option<Lsn>,
}

#[derive(Debug)]
struct Held {
    segment: Arc<Segment>,
    live: u64,
    /// The most live entries that it was seen to have.
    peak: u64,
    death: Death,
}

impl Held {
    fn of(segment: Arc<Segment>) -> Self {
        Self {
            segment,
            live: 0,
            peak: 0,
            death: Death::default(),
        }
    }

    /// Whether the segment is kept for the sake of few entries. What it held before a start is not
    /// known, but that entries are not long that many streams have a few of.
    fn is_sparse(&self) -> bool {
        self.live < self.peak.max(self.segment.len() / SMALL_ENTRY_LEN) / 2
    }
}

impl SegmentSet {
    /// `segments` are in order, the last one is active. A log that is only looked at may have none.
    pub(crate) fn new(segments: Vec<Arc<Segment>>) -> Self {
        Self {
            held: segments.into_iter().map(Held::of).collect(),
            homeless: None,
        }
    }

    pub(crate) fn active(&self) -> &Arc<Segment> {
        &self.held[self.held.len() - 1].segment
    }

    pub(crate) fn last(&self) -> Option<&Arc<Segment>> {
        self.held.last().map(|held| &held.segment)
    }

    pub(crate) fn find(&self, lsn: Lsn) -> Option<&Arc<Segment>> {
        self.index_of(lsn).map(|index| &self.held[index].segment)
    }

    fn index_of(&self, lsn: Lsn) -> Option<usize> {
        let last = self.held.len().checked_sub(1)?;
        if self.held[last].segment.covers(lsn) {
            return Some(last);
        }
        let behind = self
            .held
            .partition_point(|held| held.segment.first_lsn() <= lsn);
        let index = behind.checked_sub(1)?;
        self.held[index].segment.covers(lsn).then_some(index)
    }

    /// Seals the active segment: `next` is active now.
    pub(crate) fn roll(&mut self, next: Arc<Segment>) {
        self.held.push(Held::of(next));
    }

    pub(crate) fn entries_live(&mut self, sorted: impl Iterator<Item = Lsn>) {
        self.each(sorted, |held| {
            held.live += 1;
            held.peak = held.peak.max(held.live);
        });
    }

    pub(crate) fn entries_died(&mut self, sorted: impl Iterator<Item = Lsn>) {
        self.each(sorted, |held| held.live = held.live.saturating_sub(1));
    }

    /// `count` entries from `first` to `last` died; false, and nothing is done, if they lie in
    /// several segments.
    pub(crate) fn neighbours_died(&mut self, first: Lsn, last: Lsn, count: u64) -> bool {
        let index = self.index_of(first);
        let held = index.map(|index| &mut self.held[index]);
        let held = held.filter(|held| held.segment.covers(last));
        held.map(|held| held.live = held.live.saturating_sub(count))
            .is_some()
    }

    fn each(&mut self, sorted: impl Iterator<Item = Lsn>, count: impl Fn(&mut Held)) {
        let mut index = None;
        for lsn in sorted {
            if !index.is_some_and(|index: usize| self.held[index].segment.covers(lsn)) {
                index = self.index_of(lsn);
            }
            if let Some(index) = index {
                count(&mut self.held[index]);
            } else {
                self.homeless = self.homeless.or(Some(lsn));
            }
        }
    }

    /// Where a segment is missing that live entries lie in: its first LSN, unless segments were of
    /// different lengths.
    pub(crate) fn missing(&self) -> Option<Lsn> {
        self.homeless.map(|lsn| self.home_of(lsn))
    }

    /// Where the segment begins, or began, that covers `lsn`.
    pub(crate) fn home_of(&self, lsn: Lsn) -> Lsn {
        let before = self
            .held
            .partition_point(|held| held.segment.first_lsn() <= lsn);
        let (from, len) = match before.checked_sub(1).map(|index| &self.held[index].segment) {
            Some(segment) if segment.covers(lsn) => return segment.first_lsn(),
            Some(segment) => (segment.end_lsn(), segment.len()),
            None => (Lsn::ZERO, self.held[0].segment.len()),
        };
        from.plus(lsn.since(from) / len * len)
    }

    /// Checkpoint `number` begins: what is dead now is not in it, nor in any later one.
    pub(crate) fn begin_checkpoint(&mut self, number: u64) {
        let sealed = self.held.len() - 1;
        for held in &mut self.held[..sealed] {
            held.death.note(number, held.live == 0);
        }
    }

    /// The segments that hold the log before `end`; none is behind the one that it ends in.
    pub(crate) fn before(&self, end: Lsn) -> Vec<Arc<Segment>> {
        let held = self.held.iter().map(|held| &held.segment);
        let before = held.filter(|segment| segment.first_lsn() < end);
        before.cloned().collect()
    }

    /// Takes out the dead segments that neither checkpoint `oldest`, from whose `begin` on a replay
    /// reads, nor a later one needs, and that do not lie behind `pinned`.
    pub(crate) fn take_dead(
        &mut self,
        (oldest, begin): (u64, Lsn),
        pinned: Option<Lsn>,
    ) -> Vec<Arc<Segment>> {
        let active = self.held.len() - 1;
        let mut dead = Vec::new();
        let mut index = 0;
        self.held.retain(|held| {
            let is_dead = index < active
                && held.death.is_before(oldest)
                && held.segment.end_lsn() <= begin
                && pinned.is_none_or(|pinned| held.segment.end_lsn() <= pinned);
            index += 1;
            if is_dead {
                dead.push(Arc::clone(&held.segment));
            }
            !is_dead
        });
        dead
    }

    /// Whether there is a segment that was found dead by a checkpoint behind `oldest`.
    pub(crate) fn has_dead(&self, oldest: u64) -> bool {
        self.held.iter().any(|held| held.death.is_behind(oldest))
    }

    /// Bytes of sealed segments without live entries.
    pub(crate) fn dead_bytes(&self) -> u64 {
        let dead = self.sealed().filter(|(_, live)| *live == 0);
        dead.map(|(segment, _)| segment.len()).sum()
    }

    /// The sealed segments, each with the number of its live entries.
    pub(crate) fn sealed(&self) -> impl DoubleEndedIterator<Item = (&Arc<Segment>, u64)> {
        let sealed = &self.held[..self.held.len() - 1];
        sealed.iter().map(|held| (&held.segment, held.live))
    }

    /// Those of them that have live entries, which are not sorted; and whether these are few.
    pub(crate) fn unsorted(&self) -> impl DoubleEndedIterator<Item = (&Arc<Segment>, bool)> {
        let sealed = &self.held[..self.held.len() - 1];
        let live = sealed.iter().filter(|held| held.live > 0);
        live.map(|held| (&held.segment, held.is_sparse()))
    }

    /// First LSN and live entries of each segment.
    #[cfg(test)]
    pub(crate) fn live(&self) -> Vec<(Lsn, u64)> {
        let live = |held: &Held| (held.segment.first_lsn(), held.live);
        self.held.iter().map(live).collect()
    }

    pub(crate) fn count(&self) -> u64 {
        self.held.len() as u64
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.held.iter().map(|held| held.segment.len()).sum()
    }
}

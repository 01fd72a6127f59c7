//! What a stream lets go by itself: how much of it is kept, and which streams are to be looked at.
//!
//! ```text
//!   walk   0 ... slot ... end   all streams, a part at a time: after a start, after new defaults
//!   asked  slot slot slot       at once: something happened to them
//!   later  (due, slot) ...      when their first entry grows too old
//! ```
//!
//! None of the lines is on disk: a start walks all streams. A stream stands in `later` at most once
//! and knows where, so that it leaves the line when it is removed.

use std::collections::{BTreeSet, VecDeque};

/// How much of a stream is kept, as far as that was set for it. What was not set is as the defaults
/// have it; 0 sets no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retention {
    /// How old an entry may grow by its ID, in milliseconds.
    pub age_ms: Option<u64>,
    /// How many bytes on disk.
    pub bytes: Option<u64>,
    /// How many entries.
    pub length: Option<u64>,
    /// Whether what all groups have acknowledged may go.
    pub acked: Option<bool>,
    /// How old an entry may grow that some group has not acknowledged, if so, in milliseconds.
    pub acked_age_ms: Option<u64>,
}

impl Retention {
    /// What holds for the stream; `defaults` where nothing was set.
    #[must_use]
    pub fn over(self, defaults: Kept) -> Kept {
        Kept {
            age_ms: self.age_ms.unwrap_or(defaults.age_ms),
            bytes: self.bytes.unwrap_or(defaults.bytes),
            length: self.length.unwrap_or(defaults.length),
            acked: self.acked.unwrap_or(defaults.acked),
            acked_age_ms: self.acked_age_ms.unwrap_or(defaults.acked_age_ms),
        }
    }
}

/// How much of a stream is kept; 0 sets no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// How old an entry may grow by its ID, in milliseconds.
    pub age_ms: u64,
    /// How many bytes on disk.
    pub bytes: u64,
    /// How many entries.
    pub length: u64,
    /// Whether what all groups have acknowledged may go.
    pub acked: bool,
    /// How old an entry may grow that some group has not acknowledged, if so, in milliseconds.
    pub acked_age_ms: u64,
}

impl Kept {
    /// Whether nothing is ever let go.
    pub(crate) fn is_all(&self) -> bool {
        self.age_ms == 0 && self.bytes == 0 && self.length == 0 && !self.acked
    }

    /// How old the first entry may grow, in milliseconds, if there is a bound.
    pub(crate) fn first_age_ms(&self, has_groups: bool) -> Option<u64> {
        let acked_age_ms = (self.acked && has_groups).then_some(self.acked_age_ms);
        let bounds = [Some(self.age_ms), acked_age_ms].into_iter().flatten();
        bounds.filter(|&age_ms| age_ms > 0).min()
    }
}

/// Where a stream stands: when it is due, in milliseconds since the Unix epoch, 0 if it does not
/// wait, and in the highest bit whether it was asked. In one number, because each stream has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place(u64);

/// The bit of a stream that was asked.
const ASKED: u64 = 1 << 63;

impl Place {
    /// Whether somebody will look at the stream.
    pub(crate) fn is_any(self) -> bool {
        self.0 != 0
    }

    /// Whether it was asked; it is not any more.
    pub(crate) fn answer(&mut self) -> bool {
        let is_asked = self.0 & ASKED != 0;
        self.0 &= !ASKED;
        is_asked
    }

    fn due_ms(self) -> u64 {
        self.0 & !ASKED
    }
}

/// The streams that are to be looked at, by slot.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// From here on all are to be asked.
    pub(crate) walk: Option<u32>,
    asked: VecDeque<u32>,
    later: BTreeSet<(u64, u32)>,
}

impl Lines {
    /// The stream is looked at next time.
    pub(crate) fn ask(&mut self, slot: u32, place: &mut Place) {
        if place.0 & ASKED == 0 {
            place.0 |= ASKED;
            self.asked.push_back(slot);
        }
    }

    /// The stream is looked at when its time has come, or not any more.
    pub(crate) fn wait(&mut self, slot: u32, place: &mut Place, due_ms: Option<u64>) {
        if place.due_ms() > 0 {
            self.later.remove(&(place.due_ms(), slot));
        }
        let due_ms = due_ms.unwrap_or(0).min(ASKED - 1);
        place.0 = place.0 & ASKED | due_ms;
        if due_ms > 0 {
            self.later.insert((due_ms, slot));
        }
    }

    /// Takes the slot of a stream that was asked; it may be gone, or another one.
    pub(crate) fn next_asked(&mut self) -> Option<u32> {
        self.asked.pop_front()
    }

    /// The slot of a stream whose time has come.
    pub(crate) fn first_due(&self, now_ms: u64) -> Option<u32> {
        let first = self.later.first().filter(|(due_ms, _)| *due_ms <= now_ms);
        first.map(|&(_, slot)| slot)
    }

    /// Whether somebody is to be looked at now.
    pub(crate) fn has_due(&self, now_ms: u64) -> bool {
        self.walk.is_some() || !self.asked.is_empty() || self.first_due(now_ms).is_some()
    }
}

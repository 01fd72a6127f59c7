//! What the model's streams need not keep.

use std::collections::BTreeSet;

use super::model::Stream;
use crate::id::EntryId;
use crate::{Kept, Retention};

/// Entries that one node takes: so many more than its length a stream may have.
const NODE: u64 = 4;
/// For so long after a look a stream is not looked at again because of its age.
const PAUSE_MS: u64 = 100;

/// How much the streams of the model keep.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Keeping {
    pub(super) defaults: Kept,
    /// When streams were last looked at.
    pub(super) looked: u64,
}

impl Keeping {
    /// The entries at the head of a stream that need not be kept.
    pub(super) fn surplus(&self, stream: &Stream, now: u64) -> BTreeSet<EntryId> {
        let kept = stream.retention.over(self.defaults);
        let by_length = match kept.length {
            0 => 0,
            length => (stream.entries.len() as u64).saturating_sub(length),
        };
        let is_old = |id: EntryId, age_ms: u64| age_ms > 0 && id.ms < now.saturating_sub(age_ms);
        let mut surplus = BTreeSet::new();
        for (at, &id) in (0..).zip(stream.entries.keys()) {
            let is_settled = kept.acked
                && !stream.groups.is_empty()
                && (is_old(id, kept.acked_age_ms) || !refers_up_to(stream, id));
            if at >= by_length && !is_old(id, kept.age_ms) && !is_settled {
                break;
            }
            surplus.insert(id);
        }
        surplus
    }

    /// An entry was added; whether others go with it.
    pub(super) fn is_too_long(&self, stream: &Stream) -> bool {
        let length = stream.retention.over(self.defaults).length;
        length > 0 && stream.entries.len() as u64 > length + (length / 16).min(NODE)
    }

    /// What is left after a look is what must be kept, but for what may wait a little.
    pub(super) fn check(&self, stream: &Stream, now: u64) {
        assert!(!self.is_too_long(stream));
        let timeless = Retention {
            age_ms: Some(0),
            length: Some(0),
            acked_age_ms: Some(0),
            ..stream.retention
        };
        let may_wait = now < self.looked + PAUSE_MS;
        let retention = if may_wait {
            timeless
        } else {
            Retention {
                length: Some(0),
                ..stream.retention
            }
        };
        let mut stream = stream.clone();
        stream.retention = retention;
        assert_eq!(self.surplus(&stream, now), BTreeSet::new());
    }
}

/// Whether a group refers to an entry up to that one which is still there.
fn refers_up_to(stream: &Stream, id: EntryId) -> bool {
    let first = stream.entries.keys().next().copied().unwrap_or_default();
    stream.groups.values().any(|group| {
        let mut pending = group.pending.range(first..);
        let first_pending = pending.next().map(|(id, _)| *id);
        id > group.cursor || first_pending.is_some_and(|pending| pending <= id)
    })
}

//! Removals: which entries may be missing because somebody removed them, and which must be.
//!
//! XDEL, XDELEX, XACKDEL and XTRIM MINID name what goes, so an answered one is checked in both
//! directions. What XTRIM MAXLEN removes depends on the order of commands: an entry may be missing
//! if so many newer ones can have been there, and nothing must be.

use std::collections::{BTreeMap, HashSet};

use alluvium_engine::EntryId;

use super::super::content::{Sight, Value};
use super::super::finding::{Kind, Tally};
use super::super::history::{Bound, GroupState, Op, What};
use super::{Evidence, Known, Model};

/// What was asked to be removed from one stream.
#[derive(Default)]
pub(super) struct Removals {
    /// Deleted, with an answer.
    deleted: HashSet<EntryId>,
    /// Deleted without an answer.
    maybe_deleted: HashSet<EntryId>,
    /// Deleted with all references, with an answer.
    unreferred: HashSet<EntryId>,
    /// All before it was trimmed, with an answer.
    floor: EntryId,
    /// All before it was trimmed, with or without an answer.
    maybe_floor: EntryId,
    /// The shortest MAXLEN that was asked for.
    length_min: Option<u64>,
    /// What it may have removed: everything up to here.
    length_floor: Option<EntryId>,
}

impl Removals {
    fn note(&mut self, what: &What, is_answered: bool) {
        match what {
            What::Delete { id, unrefers, .. } if is_answered => {
                self.deleted.insert(*id);
                self.unreferred.extend(unrefers.then_some(*id));
            }
            What::Delete { id, .. } => {
                self.maybe_deleted.insert(*id);
            }
            What::Trim {
                to: Bound::MinId(id),
                ..
            } => {
                self.maybe_floor = self.maybe_floor.max(*id);
                if is_answered {
                    self.floor = self.floor.max(*id);
                }
            }
            What::Trim {
                to: Bound::MaxLen(length),
                ..
            } => {
                let least = self.length_min.map_or(*length, |least| least.min(*length));
                self.length_min = Some(least);
            }
            _ => {}
        }
    }

    /// Whether `id` may have been removed.
    pub(super) fn may_have_removed(&self, id: EntryId) -> bool {
        self.deleted.contains(&id)
            || self.maybe_deleted.contains(&id)
            || id < self.maybe_floor
            || self.length_floor.is_some_and(|floor| id <= floor)
    }

    /// Whether `id` was removed by a command that was answered.
    fn has_removed(&self, id: EntryId) -> bool {
        self.deleted.contains(&id) || id < self.floor
    }

    /// Whether it may have been trimmed wherever it was.
    fn has_trims(&self) -> bool {
        self.maybe_floor > EntryId::MIN || self.length_min.is_some()
    }
}

impl Model {
    /// Notes what was asked to be removed.
    pub(super) fn note_removals(&mut self, ops: &[Op]) {
        for op in ops {
            if let What::Delete { stream, .. } | What::Trim { stream, .. } = op.what {
                let removals = &mut self.streams[stream].removals;
                removals.note(&op.what, op.end.is_some());
            }
        }
    }

    /// Finds what XTRIM MAXLEN may have removed: behind it so many entries were, at the most, that
    /// are known, or of whose XADD no more is known.
    pub(super) fn settle_lengths(&mut self, stream: usize) {
        let model = &mut self.streams[stream];
        let Some(least) = model.removals.length_min else {
            return;
        };
        let sent = self.sent.values();
        let unplaced = sent.filter(|sent| sent.stream == stream && sent.at.is_none());
        let needed = usize::try_from(least).unwrap_or(usize::MAX);
        let needed = needed.saturating_sub(unplaced.count());
        model.removals.length_floor = model.entries.keys().rev().nth(needed).copied();
    }

    /// What an answered command removed is not there.
    pub(super) fn check_removed(
        &mut self,
        stream: usize,
        present: &BTreeMap<EntryId, &Sight>,
        tally: &mut Tally,
    ) {
        let key = &self.names.streams[stream];
        let model = &mut self.streams[stream];
        let removals = &mut model.removals;
        // What was found missing and is there again is told with the entries.
        let is_gone = |id: &EntryId| model.entries.get(id).is_some_and(|known| known.is_gone);
        let is_undone = |id: &&EntryId| removals.has_removed(**id) && !is_gone(id);
        for id in present.keys().filter(is_undone) {
            tally.add(Kind::Undone, || {
                format!("{key} {id}: deleted or trimmed with an answer, and there")
            });
        }
        // What is there is owed from now on.
        removals.deleted.retain(|id| !present.contains_key(id));
        if let Some(first) = present.keys().next() {
            removals.floor = removals.floor.min(*first);
        }
    }

    /// What was deleted with all references is pending for nobody.
    pub(super) fn check_unreferred(
        &mut self,
        stream: usize,
        group: &GroupState,
        tally: &mut Tally,
    ) {
        let title = self.names.title_of_group(group.group);
        let unreferred = &mut self.streams[stream].removals.unreferred;
        for pending in &group.pending {
            if unreferred.remove(&pending.id) {
                let id = pending.id;
                tally.add(Kind::Undone, || {
                    format!("{title} {id}: deleted with its references and an answer, yet pending")
                });
            }
        }
    }

    /// Behind the end of the process no command of this round can still arrive.
    pub(super) fn forget_unknown_removals(&mut self, evidence: &Evidence<'_>) {
        for state in evidence.states.iter().filter(|_| evidence.has_ended) {
            let removals = &mut self.streams[state.stream].removals;
            removals.maybe_deleted.clear();
            removals.maybe_floor = removals.floor;
            (removals.length_min, removals.length_floor) = (None, None);
        }
    }

    /// Whether `value` may be missing because it was removed.
    pub(super) fn may_be_removed(&self, value: Value) -> bool {
        let Some(sent) = self.sent.get(&value) else {
            return false;
        };
        let model = &self.streams[sent.stream];
        match sent.at {
            None => model.removals.has_trims(),
            Some(id) => model.removals.may_have_removed(id),
        }
    }

    /// Whether an entry that was there is there no more.
    pub(super) fn is_gone(&self, stream: usize, id: EntryId) -> bool {
        let known = self.streams[stream].entries.get(&id);
        known.is_some_and(|Known { is_gone, .. }| *is_gone)
    }
}

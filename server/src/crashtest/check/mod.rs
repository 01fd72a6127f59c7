//! The checker: what one round did, and what the server shows behind it, against all that is known.
//!
//! [`Model`] is what the server owes: every entry that was acknowledged or seen, every group with
//! its cursor, its pending entries and its acked ones. After each round it is compared with the
//! history of that round and with a read-back of the quiet server. What is found missing is
//! reported once; then the model takes over what the server shows, so that the next round is judged
//! on its own.
//!
//! An operation without a reply may have happened or not. A finding is therefore only something
//! that no order and no outcome of the unknown operations can explain.

mod entries;
mod groups;
mod removals;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};

use alluvium_engine::EntryId;

use super::content::{Sight, Value};
use super::finding::Tally;
use super::history::{ConsumerNo, Figures, Names, Op, StreamState, What};
use removals::Removals;

/// What the server owes.
#[derive(Default)]
pub(super) struct Model {
    pub(super) names: Names,
    streams: Vec<StreamModel>,
    groups: Vec<GroupModel>,
    sent: HashMap<Value, Sent>,
}

/// An entry that was sent.
#[derive(Clone, Copy)]
struct Sent {
    stream: usize,
    /// Where it is: as acknowledged, or as found.
    at: Option<EntryId>,
    /// A read-back behind a crash did not show it, so it never happened.
    is_refuted: bool,
}

#[derive(Default)]
struct StreamModel {
    entries: BTreeMap<EntryId, Known>,
    /// The largest ID acknowledged or seen.
    top: EntryId,
    removals: Removals,
    figures: Figures,
}

/// An ID that was acknowledged or seen.
#[derive(Clone, Copy)]
struct Known {
    value: Option<Value>,
    is_acked: bool,
    /// It was found missing; the ID stays known.
    is_gone: bool,
}

#[derive(Default)]
struct GroupModel {
    exists: bool,
    /// Destroyed, with an answer.
    is_destroyed: bool,
    /// Destroyed, with or without an answer.
    may_be_destroyed: bool,
    cursor: EntryId,
    held: BTreeMap<EntryId, Held>,
    acked: HashSet<EntryId>,
}

/// A pending entry.
#[derive(Clone, Copy)]
struct Held {
    owner: ConsumerNo,
    delivery_count: u64,
}

/// One round's evidence.
pub(super) struct Evidence<'a> {
    /// What the clients did.
    pub(super) ops: &'a [Op],
    /// What the server shows now; streams that are not among these are taken as unchanged.
    pub(super) states: &'a [StreamState],
    /// Whether the server process ended in this round: then no earlier command can still arrive.
    pub(super) has_ended: bool,
}

impl Model {
    /// Makes room for the streams and groups that `names` knows by now.
    pub(super) fn set_names(&mut self, names: Names) {
        self.streams
            .resize_with(names.streams.len(), StreamModel::default);
        self.groups
            .resize_with(names.groups.len(), GroupModel::default);
        self.names = names;
    }

    /// Whether `figures` are those that the last read-back of the stream showed.
    pub(super) fn is_unchanged(&self, state: &StreamState) -> bool {
        self.streams[state.stream].figures == state.figures
    }

    /// How many entries the server owes now.
    pub(super) fn entry_count(&self) -> usize {
        let of_stream = |s: &StreamModel| s.entries.values().filter(|known| !known.is_gone).count();
        self.streams.iter().map(of_stream).sum()
    }

    /// Judges one round, and takes over what the server shows.
    pub(super) fn check(&mut self, evidence: &Evidence<'_>, tally: &mut Tally) {
        self.note_groups(evidence.ops);
        self.note_removals(evidence.ops);
        self.check_acknowledgements(evidence.ops, tally);
        self.check_messages(evidence.ops, tally);
        self.check_sightings(evidence.ops, tally);
        for state in evidence.states {
            self.check_stream(state, tally);
        }
        self.check_connections(evidence, tally);
        self.check_transactions(evidence, tally);
        for state in evidence.states {
            self.check_groups(state, evidence, tally);
            self.streams[state.stream].figures = state.figures.clone();
        }
        self.forget_unknown_removals(evidence);
    }

    fn note_groups(&mut self, ops: &[Op]) {
        for op in ops {
            match op.what {
                What::CreateGroup { group } if op.end.is_some() => {
                    self.groups[group].exists = true;
                }
                What::DestroyGroup { group } => {
                    self.groups[group].may_be_destroyed = true;
                    self.groups[group].is_destroyed = op.end.is_some();
                }
                _ => {}
            }
        }
    }

    fn key(&self, stream: usize) -> &str {
        &self.names.streams[stream]
    }
}

/// What entries an operation's reply showed, and of which stream.
fn sightings<'a>(names: &Names, op: &'a Op) -> Option<(usize, &'a [Sight])> {
    match &op.what {
        What::Read {
            stream, entries, ..
        } => Some((*stream, entries)),
        What::Deliver { group, entries, .. }
        | What::Repeat { group, entries }
        | What::Claim { group, entries, .. } => Some((names.groups[*group].0, entries)),
        What::Add { .. }
        | What::AddAgain { .. }
        | What::GiveBack { .. }
        | What::Delete { .. }
        | What::Trim { .. }
        | What::Ack { .. }
        | What::CreateGroup { .. }
        | What::SetCursor { .. }
        | What::DestroyGroup { .. }
        | What::DeleteConsumer { .. } => None,
    }
}

//! Entries: lost, vanished, altered, duplicated, reordered, reissued, holes, partial transactions.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use alluvium_engine::EntryId;

use super::super::content::{Sight, Value};
use super::super::finding::{Kind, Tally};
use super::super::history::{Op, StreamState, What};
use super::{Evidence, Known, Model, Sent, sightings};

impl Model {
    /// Replies to XADD: each ID new, and larger than all that were surely given out before.
    pub(super) fn check_acknowledgements(&mut self, ops: &[Op], tally: &mut Tally) {
        let mut by_stream: BTreeMap<usize, Vec<(u64, u64, EntryId)>> = BTreeMap::new();
        for op in ops {
            let What::Add { stream, value, id } = op.what else {
                continue;
            };
            let sent = Sent {
                stream,
                at: id,
                is_refuted: false,
            };
            self.sent.insert(value, sent);
            let (Some(id), Some(end)) = (id, op.end) else {
                continue;
            };
            by_stream
                .entry(stream)
                .or_default()
                .push((op.start, end, id));
            self.meet(stream, id, Some(value), tally);
            if let Some(known) = self.streams[stream].entries.get_mut(&id) {
                known.is_acked = true;
            }
        }
        for (stream, adds) in by_stream {
            self.check_order(stream, adds, tally);
        }
    }

    /// Replies to messages that were sent again: the entry that came of the first, however that
    /// ended.
    pub(super) fn check_messages(&mut self, ops: &[Op], tally: &mut Tally) {
        for op in ops {
            let What::AddAgain { stream, value, id } = op.what else {
                continue;
            };
            let Some(sent) = self.sent.get_mut(&value) else {
                continue;
            };
            let first = *sent.at.get_or_insert(id);
            if first != id {
                let key = self.key(stream);
                tally.add(Kind::Duplicated, || {
                    format!("{key}: {value} was added as {first}, and sent again as {id}")
                });
            }
            self.meet(stream, id, Some(value), tally);
            if let Some(known) = self.streams[stream].entries.get_mut(&id) {
                known.is_acked = true;
            }
        }
    }

    /// `adds` are start, end and ID of each XADD that was acknowledged.
    fn check_order(&mut self, stream: usize, adds: Vec<(u64, u64, EntryId)>, tally: &mut Tally) {
        let top = self.streams[stream].top;
        let mut by_start = adds.clone();
        by_start.sort_unstable();
        let mut by_end = adds;
        by_end.sort_unstable_by_key(|(_, end, _)| *end);
        let mut ended = by_end.iter().peekable();
        let mut before = EntryId::MIN;
        for (start, _, id) in by_start {
            while let Some((_, _, earlier)) = ended.next_if(|(_, end, _)| *end < start) {
                before = before.max(*earlier);
            }
            let key = self.key(stream);
            if id <= top {
                tally.add(Kind::IdWentBack, || {
                    format!("{key}: XADD was given {id}, although {top} had been given out before")
                });
            } else if id <= before {
                tally.add(Kind::Reordered, || {
                    format!("{key}: XADD was given {id} after another had been given {before}")
                });
            }
            let model = &mut self.streams[stream];
            model.top = model.top.max(id);
        }
    }

    /// Notes that `id` stands for `value`, unless it is known for another.
    fn meet(&mut self, stream: usize, id: EntryId, value: Option<Value>, tally: &mut Tally) {
        let new = Known {
            value,
            is_acked: false,
            is_gone: false,
        };
        let known = *self.streams[stream].entries.entry(id).or_insert(new);
        if known.value != value && value.is_some() {
            let key = self.key(stream);
            tally.add(Kind::Reissued, || match known.value {
                Some(old) => format!("{key} {id}: stood for {old}, now for {}", shown(value)),
                None => format!(
                    "{key} {id}: stood for something else, now for {}",
                    shown(value)
                ),
            });
            self.streams[stream].entries.insert(id, new);
        }
    }

    /// Replies to readers and consumers: intact, in order, and what the IDs stand for.
    pub(super) fn check_sightings(&mut self, ops: &[Op], tally: &mut Tally) {
        for op in ops {
            let Some((stream, entries)) = sightings(&self.names, op) else {
                continue;
            };
            for sight in entries {
                if self.is_genuine(stream, sight) {
                    self.meet(stream, sight.id, sight.value, tally);
                    let model = &mut self.streams[stream];
                    model.top = model.top.max(sight.id);
                } else {
                    let key = self.key(stream);
                    tally.add(Kind::Altered, || altered(key, sight, "a reader was given"));
                }
            }
            let is_sorted = entries.is_sorted_by(|a, b| a.id < b.id);
            if !is_sorted && !matches!(op.what, What::Claim { .. }) {
                let key = self.key(stream);
                tally.add(Kind::Reordered, || {
                    format!("{key}: one reply to a reader holds entries out of order")
                });
            }
        }
        self.locate(ops);
    }

    /// Where a reader saw an entry whose XADD had no reply, there it is.
    fn locate(&mut self, ops: &[Op]) {
        for op in ops {
            let Some((_, entries)) = sightings(&self.names, op) else {
                continue;
            };
            for sight in entries.iter().filter(|sight| sight.is_intact) {
                let sent = sight.value.and_then(|value| self.sent.get_mut(&value));
                if let Some(sent @ Sent { at: None, .. }) = sent {
                    sent.at = Some(sight.id);
                }
            }
        }
    }

    /// Whether it is, byte for byte, something that was sent to this stream.
    fn is_genuine(&self, stream: usize, sight: &Sight) -> bool {
        let sent = sight.value.and_then(|value| self.sent.get(&value));
        sight.is_intact && sent.is_some_and(|sent| sent.stream == stream)
    }

    /// A read-back of one stream against all that is known of it.
    pub(super) fn check_stream(&mut self, state: &StreamState, tally: &mut Tally) {
        let stream = state.stream;
        if !state.entries.is_sorted_by(|a, b| a.id < b.id) {
            let key = self.key(stream);
            tally.add(Kind::Reordered, || {
                format!("{key}: XRANGE is not in order of IDs")
            });
        }
        let present: BTreeMap<EntryId, &Sight> = state
            .entries
            .iter()
            .map(|sight| (sight.id, sight))
            .collect();
        self.check_missing(stream, &present, tally);
        self.check_removed(stream, &present, tally);
        for sight in present.values() {
            self.check_present(stream, sight, &present, tally);
        }
        let model = &mut self.streams[stream];
        let last = state.figures.last_id;
        let top = model.top;
        model.top = last.max(present.keys().next_back().copied().unwrap_or_default());
        let key = self.key(stream);
        if state.exists && last < top {
            tally.add(Kind::IdWentBack, || {
                format!("{key}: last-generated-id is {last}, but {top} had been given out")
            });
        }
        check_figures(key, state, tally);
    }

    fn check_missing(
        &mut self,
        stream: usize,
        present: &BTreeMap<EntryId, &Sight>,
        tally: &mut Tally,
    ) {
        self.settle_lengths(stream);
        let key = &self.names.streams[stream];
        let model = &mut self.streams[stream];
        for (id, known) in &mut model.entries {
            if known.is_gone || present.contains_key(id) {
                continue;
            }
            known.is_gone = true;
            if model.removals.may_have_removed(*id) {
                continue;
            }
            let value = shown(known.value);
            if known.is_acked {
                tally.add(Kind::Lost, || {
                    format!("{key} {id}: {value} was acknowledged")
                });
            } else {
                tally.add(Kind::Vanished, || {
                    format!("{key} {id}: {value} had been seen")
                });
            }
        }
    }

    fn check_present(
        &mut self,
        stream: usize,
        sight: &Sight,
        present: &BTreeMap<EntryId, &Sight>,
        tally: &mut Tally,
    ) {
        let id = sight.id;
        let is_genuine = self.is_genuine(stream, sight);
        let key = self.names.streams[stream].as_str();
        // An entry that was found altered before is known as it is: it is reported once.
        let known = self.streams[stream].entries.get(&id).copied();
        if !is_genuine {
            if known.is_none_or(|known| known.value.is_some()) {
                tally.add(Kind::Altered, || altered(key, sight, "the stream holds"));
            }
            let as_found = Known {
                value: None,
                is_acked: false,
                is_gone: false,
            };
            self.streams[stream].entries.insert(id, as_found);
            return;
        }
        let Some(sent) = sight.value.and_then(|value| self.sent.get_mut(&value)) else {
            return;
        };
        let value = shown(sight.value);
        let replaced = known.filter(|known| known.is_acked && known.value != sight.value);
        if let Some(Known {
            value: Some(old), ..
        }) = replaced
        {
            tally.add(Kind::Lost, || {
                format!("{key} {id}: {old} was acknowledged, not {value}")
            });
        }
        if sent.is_refuted || known.is_some_and(|known| known.is_gone) {
            tally.add(Kind::Resurrected, || {
                format!("{key} {id}: {value} was absent before")
            });
        } else if let Some(at) = sent.at.filter(|at| *at != id) {
            if present
                .get(&at)
                .is_some_and(|other| other.value == sight.value)
            {
                tally.add(Kind::Duplicated, || {
                    format!("{key}: {value} is at {at} and at {id}")
                });
            } else {
                tally.add(Kind::Reordered, || {
                    format!("{key}: {value} was at {at}, is at {id}")
                });
            }
        }
        sent.is_refuted = false;
        sent.at = Some(id);
        self.meet(stream, id, sight.value, tally);
        if let Some(known) = self.streams[stream].entries.get_mut(&id) {
            known.is_gone = false;
        }
    }

    /// Commands of one connection take effect in order, so what survives of the unanswered ones is
    /// a beginning; and what a reader has read past cannot appear later.
    pub(super) fn check_connections(&mut self, evidence: &Evidence<'_>, tally: &mut Tally) {
        let mut adds: BTreeMap<u32, Vec<(Value, bool)>> = BTreeMap::new();
        for op in evidence.ops.iter().filter(|_| evidence.has_ended) {
            match op.what {
                // Refused with an error: it says nothing about the order.
                What::Add { id: None, .. } if op.end.is_some() => {}
                What::Add { value, id, .. } => {
                    adds.entry(op.conn).or_default().push((value, id.is_some()));
                }
                _ => {}
            }
        }
        for (value, is_acked) in adds.into_values().flat_map(holes(self)) {
            if !is_acked {
                tally.add(Kind::Hole, || {
                    format!("{value} is missing, a later entry of its connection is present")
                });
            }
        }
        let refuted = evidence.ops.iter().filter_map(|op| match op.what {
            What::Add { value, .. } if evidence.has_ended => Some(value),
            _ => None,
        });
        for value in refuted {
            if let Some(sent) = self.sent.get_mut(&value) {
                sent.is_refuted = sent.at.is_none();
            }
        }
        for state in evidence.states {
            self.check_skipped(state, evidence.ops, tally);
        }
    }

    fn check_skipped(&self, state: &StreamState, ops: &[Op], tally: &mut Tally) {
        let ids: BTreeSet<EntryId> = state.entries.iter().map(|sight| sight.id).collect();
        let key = self.key(state.stream);
        for op in ops {
            let (after, entries) = match &op.what {
                What::Read {
                    stream,
                    after,
                    entries,
                } if *stream == state.stream => (*after, entries),
                What::Deliver { group, entries, .. }
                    if self.names.groups[*group].0 == state.stream =>
                {
                    (
                        entries.first().map_or(EntryId::MAX, |first| first.id),
                        entries,
                    )
                }
                _ => continue,
            };
            let Some(last) = entries
                .last()
                .map(|sight| sight.id)
                .filter(|last| *last > after)
            else {
                continue;
            };
            let mut given = entries.iter().map(|sight| sight.id).peekable();
            for id in ids.range(after..=last).filter(|id| **id > after) {
                while given.next_if(|given| given < id).is_some() {}
                if given.peek() != Some(id) {
                    tally.add(Kind::Skipped, || {
                        format!(
                            "{key} {id}: a reply to a reader went from {after} to {last} without it"
                        )
                    });
                }
            }
        }
    }

    /// Of what was sent in one MULTI/EXEC, all or nothing is there.
    pub(super) fn check_transactions(&self, evidence: &Evidence<'_>, tally: &mut Tally) {
        let mut parts: HashMap<Value, Vec<(String, bool)>> = HashMap::new();
        let mut removers: HashMap<(usize, EntryId), u32> = HashMap::new();
        for op in evidence.ops {
            if let What::Delete { stream, id, .. } = op.what {
                *removers.entry((stream, id)).or_default() += 1;
            }
        }
        for op in evidence.ops {
            let Some(tx) = op.tx.filter(|_| evidence.has_ended || op.end.is_some()) else {
                continue;
            };
            let part = match op.what {
                What::Add { value, .. } => {
                    let is_there = self.is_there(value);
                    if !is_there && self.may_be_removed(value) {
                        continue;
                    }
                    (format!("XADD of {value}"), is_there)
                }
                // If nobody else deletes it.
                What::Delete { stream, id, .. } if removers[&(stream, id)] == 1 => {
                    (format!("XDEL of {id}"), self.is_gone(stream, id))
                }
                _ => continue,
            };
            parts.entry(tx).or_default().push(part);
        }
        for parts in parts.values() {
            let done = parts.iter().find(|(_, is_done)| *is_done);
            let missing = parts.iter().find(|(_, is_done)| !is_done);
            if let (Some((done, _)), Some((missing, _))) = (done, missing) {
                tally.add(Kind::PartialTransaction, || {
                    format!("of one MULTI/EXEC, the {done} survived and the {missing} did not")
                });
            }
        }
    }

    /// Whether the read-back showed `value`.
    pub(super) fn is_there(&self, value: Value) -> bool {
        let place = self
            .sent
            .get(&value)
            .and_then(|sent| Some((sent.stream, sent.at?)));
        place.is_some_and(|(stream, id)| {
            let known = self.streams[stream].entries.get(&id);
            known.is_some_and(|known| !known.is_gone && known.value == Some(value))
        })
    }
}

/// Finds, of one connection's XADDs in order, those that are missing although a later one is there.
fn holes(model: &Model) -> impl Fn(Vec<(Value, bool)>) -> Vec<(Value, bool)> + '_ {
    |mut adds| {
        adds.sort_unstable();
        let last = adds.iter().rposition(|(value, _)| model.is_there(*value));
        adds.truncate(last.unwrap_or(0));
        adds.retain(|(value, _)| !model.is_there(*value) && !model.may_be_removed(*value));
        adds
    }
}

fn check_figures(key: &str, state: &StreamState, tally: &mut Tally) {
    let count = state.entries.len() as u64;
    let figures = &state.figures;
    if state.exists && figures.length != count {
        tally.add(Kind::Inconsistent, || {
            format!(
                "{key}: XINFO says {} entries, XRANGE gives {count}",
                figures.length
            )
        });
    }
    if figures.entries_added.is_some_and(|added| added < count) {
        tally.add(Kind::Inconsistent, || {
            format!("{key}: entries-added is below the {count} entries present")
        });
    }
    let last = state.entries.last().map(|sight| sight.id);
    if last.is_some_and(|last| last > figures.last_id) {
        tally.add(Kind::Inconsistent, || {
            format!(
                "{key}: last-generated-id {} lies before an entry",
                figures.last_id
            )
        });
    }
}

fn shown(value: Option<Value>) -> String {
    value.map_or_else(
        || "an entry of unknown origin".to_owned(),
        |value| value.to_string(),
    )
}

fn altered(key: &str, sight: &Sight, what: &str) -> String {
    let value = shown(sight.value);
    format!("{key} {}: {what} {value}, not as it was sent", sight.id)
}

//! Consumer groups: what was handed out is pending or acked, for the right consumer, with its
//! count.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use alluvium_engine::EntryId;

use super::super::finding::{Kind, Tally};
use super::super::history::{
    COUNT_MAX, ConsumerNo, Fault, GroupNo, GroupState, NOBODY, Op, Pending, StreamState, What,
};
use super::{Evidence, GroupModel, Held, Model};

/// What one round's operations did to one entry of a group.
#[derive(Default)]
struct Deeds {
    /// Start and end of each delivery as new.
    deliveries: Vec<(u64, u64)>,
    /// Consumer, start and end of all that gave it to a consumer.
    takings: Vec<(ConsumerNo, u64, u64)>,
    /// How often its delivery count surely rose after its delivery.
    rises: u64,
    /// How often it may have fallen: it was given back in silence.
    falls: u64,
    /// What its delivery count surely became: the largest, once it was given back as a bad one.
    count_set: Option<u64>,
    /// Start of each XACK that was answered.
    acks: Vec<u64>,
    /// An XACK had no answer.
    is_ack_unknown: bool,
    /// It was handed out with NOACK.
    is_noack: bool,
    /// A consumer that had been given it was deleted, with or without an answer.
    is_dropped: bool,
}

/// What one round's operations did to one group.
#[derive(Default)]
struct Round<'a> {
    by_entry: BTreeMap<EntryId, Deeds>,
    /// The largest ID that was handed out as new.
    cursor: EntryId,
    /// Consumers whose reading had no answer.
    unknown_readers: HashSet<ConsumerNo>,
    /// Claims without an answer: consumer and what was asked for (`None` is anything).
    unknown_claims: Vec<(ConsumerNo, Option<&'a [EntryId]>)>,
    /// A reading with NOACK had no answer: anything may have been passed over.
    is_noack_unknown: bool,
    /// Consumers that were deleted with an answer, and have not read since.
    deleted_consumers: HashSet<ConsumerNo>,
    /// Where the cursor was set to, and whether that was answered, in order.
    cursors: Vec<(EntryId, bool)>,
}

impl Deeds {
    /// Whether an XACK surely came behind every delivery.
    fn is_acked(&self) -> bool {
        let last_delivery = self.deliveries.iter().map(|(_, end)| *end).max();
        let is_behind = |start: &u64| last_delivery.is_none_or(|end| *start > end);
        self.is_noack || self.acks.iter().any(is_behind)
    }

    /// Whether an XACK may have ended it. Only who was given an entry acks it, and it is not given
    /// again behind that; but who reads may have its answer after another has claimed and acked.
    fn may_be_acked(&self) -> bool {
        self.is_noack || self.is_ack_unknown || !self.acks.is_empty()
    }

    /// The consumers who may hold it: those whose taking was not surely followed by another.
    fn owners(&self) -> impl Iterator<Item = ConsumerNo> {
        let last_start = self.takings.iter().map(|(_, start, _)| *start).max();
        let may_be_last = move |end: u64| last_start.is_none_or(|start| end > start);
        let possible = self
            .takings
            .iter()
            .filter(move |(_, _, end)| may_be_last(*end));
        possible.map(|(consumer, _, _)| *consumer)
    }
}

impl<'a> Round<'a> {
    fn of(group: GroupNo, ops: &'a [Op]) -> Self {
        let mut round = Round::default();
        for op in ops {
            round.note(group, op);
        }
        round
    }

    fn note(&mut self, group: GroupNo, op: &'a Op) {
        if group_of(&op.what) != Some(group) {
            return;
        }
        match (&op.what, op.end) {
            (What::Deliver { .. }, _) => self.note_delivery(op),
            (What::Repeat { entries, .. }, Some(_)) => {
                for sight in entries {
                    self.by_entry.entry(sight.id).or_default().rises += 1;
                }
            }
            (What::Claim { .. }, _) => self.note_claim(op),
            (What::GiveBack { id, fault, .. }, end) => {
                let deeds = self.by_entry.entry(*id).or_default();
                deeds.falls += u64::from(*fault == Fault::Nothing);
                if *fault == Fault::Entry && end.is_some() {
                    deeds.count_set = Some(COUNT_MAX);
                }
                if let Some(end) = end {
                    deeds.takings.push((NOBODY, op.start, end));
                } else {
                    let asked = Some(std::slice::from_ref(id));
                    self.unknown_claims.push((NOBODY, asked));
                }
            }
            (What::Ack { ids, .. }, end) => {
                for id in ids {
                    let deeds = self.by_entry.entry(*id).or_default();
                    match end {
                        Some(_) => deeds.acks.push(op.start),
                        None => deeds.is_ack_unknown = true,
                    }
                }
            }
            (What::DeleteConsumer { consumer, .. }, end) => {
                if end.is_some() {
                    self.deleted_consumers.insert(*consumer);
                }
                for deeds in self.by_entry.values_mut() {
                    let is_holder = |(taker, ..): &(ConsumerNo, u64, u64)| taker == consumer;
                    deeds.is_dropped |= deeds.takings.iter().any(is_holder);
                }
            }
            (What::SetCursor { id, .. }, end) => self.cursors.push((*id, end.is_some())),
            _ => {}
        }
    }

    fn note_delivery(&mut self, op: &Op) {
        let What::Deliver {
            consumer,
            entries,
            is_noack,
            ..
        } = &op.what
        else {
            return;
        };
        // Who reads is there again.
        self.deleted_consumers.remove(consumer);
        let Some(end) = op.end else {
            self.unknown_readers.insert(*consumer);
            self.is_noack_unknown |= is_noack;
            return;
        };
        for sight in entries {
            let deeds = self.by_entry.entry(sight.id).or_default();
            deeds.deliveries.push((op.start, end));
            if *is_noack {
                deeds.is_noack = true;
            } else {
                deeds.takings.push((*consumer, op.start, end));
            }
            self.cursor = self.cursor.max(sight.id);
        }
    }

    fn note_claim(&mut self, op: &'a Op) {
        let What::Claim {
            consumer,
            asked,
            taken,
            is_counted,
            ..
        } = &op.what
        else {
            return;
        };
        let Some(end) = op.end else {
            self.unknown_claims.push((*consumer, asked.as_deref()));
            return;
        };
        for id in taken {
            let deeds = self.by_entry.entry(*id).or_default();
            deeds.takings.push((*consumer, op.start, end));
            deeds.rises += u64::from(*is_counted);
        }
    }

    /// Whether an operation without an answer may have given `id` to `consumer`.
    fn may_have_given(&self, id: EntryId, consumer: ConsumerNo) -> bool {
        self.unknown_claims.iter().any(|(claimer, asked)| {
            *claimer == consumer && asked.is_none_or(|asked| asked.contains(&id))
        })
    }
}

/// The group that an operation was about.
fn group_of(what: &What) -> Option<GroupNo> {
    match what {
        What::Deliver { group, .. }
        | What::Repeat { group, .. }
        | What::Claim { group, .. }
        | What::GiveBack { group, .. }
        | What::Ack { group, .. }
        | What::CreateGroup { group }
        | What::SetCursor { group, .. }
        | What::DestroyGroup { group }
        | What::DeleteConsumer { group, .. } => Some(*group),
        What::Add { .. }
        | What::AddAgain { .. }
        | What::Delete { .. }
        | What::Trim { .. }
        | What::Read { .. } => None,
    }
}

/// One group under judgement.
struct Case<'a> {
    /// `key group`.
    title: String,
    round: Round<'a>,
    /// The group's cursor; what lies behind it will not be delivered as new again.
    cursor: EntryId,
    /// The stream's entries.
    present: &'a BTreeSet<EntryId>,
    pending: HashMap<EntryId, Pending>,
}

impl Model {
    /// Judges the groups of one stream, and takes over what the server shows.
    pub(super) fn check_groups(
        &mut self,
        state: &StreamState,
        evidence: &Evidence<'_>,
        tally: &mut Tally,
    ) {
        let present: BTreeSet<EntryId> = state.entries.iter().map(|sight| sight.id).collect();
        let of_stream = |group: &GroupNo| self.names.groups[*group].0 == state.stream;
        let groups: Vec<GroupNo> = (0..self.names.groups.len()).filter(of_stream).collect();
        for group in groups {
            let title = self.names.title_of_group(group);
            let Some(shown) = state.groups.iter().find(|shown| shown.group == group) else {
                let model = std::mem::take(&mut self.groups[group]);
                if model.exists && !model.may_be_destroyed {
                    tally.add(Kind::GroupLost, || title);
                }
                continue;
            };
            if std::mem::take(&mut self.groups[group].is_destroyed) {
                tally.add(Kind::Undone, || {
                    format!("{title}: destroyed with an answer, and there")
                });
            }
            self.groups[group].may_be_destroyed &= !evidence.has_ended;
            self.check_unreferred(state.stream, shown, tally);
            let case = Case {
                title,
                round: Round::of(group, evidence.ops),
                cursor: shown.cursor,
                present: &present,
                pending: shown
                    .pending
                    .iter()
                    .map(|pending| (pending.id, *pending))
                    .collect(),
            };
            self.check_results(group, &case, evidence, tally);
            let model = &mut self.groups[group];
            case.check_deliveries(model, tally);
            case.check_cursor(model, shown, tally);
            case.check_pending(model, tally);
            case.check_passed_over(model, shown, tally);
            case.take_over(model, shown);
        }
    }

    /// An XACK and the XADD of its result in one MULTI/EXEC happened both or neither.
    fn check_results(
        &self,
        group: GroupNo,
        case: &Case<'_>,
        evidence: &Evidence<'_>,
        tally: &mut Tally,
    ) {
        for op in evidence.ops {
            let (Some(tx), What::Ack { group: g, ids }) = (op.tx, &op.what) else {
                continue;
            };
            if *g != group || (op.end.is_none() && !evidence.has_ended) {
                continue;
            }
            let is_added = self.is_there(tx);
            if !is_added && self.may_be_removed(tx) {
                continue;
            }
            // A deleted entry leaves the pending list when it is claimed.
            for id in ids.iter().filter(|id| case.present.contains(*id)) {
                let is_pending = case.pending.contains_key(id);
                let acks = |other: &Op| match &other.what {
                    What::Ack { group, ids } => *group == *g && ids.contains(id),
                    _ => false,
                };
                let is_only_ack = || evidence.ops.iter().filter(|op| acks(op)).count() == 1;
                let was_held = self.groups[group].held.contains_key(id)
                    || case
                        .round
                        .by_entry
                        .get(id)
                        .is_some_and(|d| !d.takings.is_empty());
                if is_added && is_pending {
                    tally.add(Kind::PartialTransaction, || {
                        format!(
                            "{} {id}: {tx} was added, the XACK in its MULTI is lost",
                            case.title
                        )
                    });
                } else if !is_added
                    && !is_pending
                    && was_held
                    && *id <= case.cursor
                    && is_only_ack()
                {
                    tally.add(Kind::PartialTransaction, || {
                        format!(
                            "{} {id}: acked, but {tx} of the same MULTI is missing",
                            case.title
                        )
                    });
                }
            }
        }
    }
}

impl Case<'_> {
    /// A group hands each entry out as new once.
    fn check_deliveries(&self, model: &mut GroupModel, tally: &mut Tally) {
        for (id, deeds) in &self.round.by_entry {
            if deeds.deliveries.is_empty() {
                continue;
            }
            if model.acked.remove(id) {
                tally.add(Kind::AckLost, || {
                    format!(
                        "{} {id}: acked in an earlier round, delivered again",
                        self.title
                    )
                });
            } else if model.held.remove(id).is_some() {
                tally.add(Kind::DeliveredTwice, || {
                    format!("{} {id}: pending since an earlier round", self.title)
                });
            }
            for (start, _) in &deeds.deliveries[1..] {
                let is_acked = deeds.acks.iter().any(|ack| ack < start);
                let kind = if is_acked {
                    Kind::AckLost
                } else {
                    Kind::DeliveredTwice
                };
                tally.add(kind, || format!("{} {id}: twice in one round", self.title));
            }
        }
    }

    fn check_cursor(&self, model: &GroupModel, shown: &GroupState, tally: &mut Tally) {
        let expected = model.cursor.max(self.round.cursor);
        let last_answered = self
            .round
            .cursors
            .iter()
            .rposition(|(_, is_answered)| *is_answered);
        // Nobody reads from a group whose cursor is set.
        let possible = &self.round.cursors[last_answered.unwrap_or(0)..];
        let is_possible = |at: EntryId| {
            possible.iter().any(|(id, _)| *id == at) || last_answered.is_none() && at == expected
        };
        if !possible.is_empty() {
            if !is_possible(shown.cursor) {
                tally.add(Kind::CursorBack, || {
                    let set = possible[0].0;
                    format!("{}: at {}, was set to {set}", self.title, shown.cursor)
                });
            }
        } else if shown.cursor < expected {
            tally.add(Kind::CursorBack, || {
                format!("{}: at {}, was at {expected}", self.title, shown.cursor)
            });
        }
        let count = self.pending.len() as u64;
        if shown.pending_count != count {
            tally.add(Kind::Inconsistent, || {
                let figure = shown.pending_count;
                format!(
                    "{}: XINFO says {figure} pending, XPENDING lists {count}",
                    self.title
                )
            });
        }
    }

    /// All that somebody was given, and all that is listed as pending.
    fn check_pending(&self, model: &GroupModel, tally: &mut Tally) {
        let none = Deeds::default();
        let mut ids: BTreeSet<EntryId> = model.held.keys().copied().collect();
        ids.extend(self.round.by_entry.keys());
        ids.extend(self.pending.keys());
        for id in ids {
            let deeds = self.round.by_entry.get(&id).unwrap_or(&none);
            let held = model.held.get(&id).copied();
            let was_acked = model.acked.contains(&id);
            let is_acked = deeds.is_acked() || was_acked;
            let pending = self.pending.get(&id);
            match pending {
                Some(pending) if self.round.deleted_consumers.contains(&pending.consumer) => {
                    tally.add(Kind::Undone, || {
                        let consumer = pending.consumer;
                        format!(
                            "{} {id}: pending for w{consumer}, which was deleted",
                            self.title
                        )
                    });
                }
                Some(_) if is_acked => {
                    tally.add(Kind::AckLost, || {
                        format!("{} {id}: acked, yet pending", self.title)
                    });
                }
                Some(pending) => self.check_holder(*pending, held, deeds, tally),
                None => {
                    let was_given = held.is_some() || !deeds.takings.is_empty();
                    let is_settled = was_acked || deeds.may_be_acked() || deeds.is_dropped;
                    // Where the entry itself or the whole delivery is lost, that is the finding.
                    let is_due = self.present.contains(&id) && id <= self.cursor;
                    if was_given && !is_settled && is_due {
                        tally.add(Kind::PendingLost, || {
                            format!("{} {id}: handed out, not acked, not pending", self.title)
                        });
                    }
                }
            }
        }
    }

    fn check_holder(&self, shown: Pending, held: Option<Held>, deeds: &Deeds, tally: &mut Tally) {
        let Pending {
            id,
            consumer,
            delivery_count,
        } = shown;
        let rose = held.map_or(1, |held| held.delivery_count) + deeds.rises;
        let rose = deeds.count_set.unwrap_or(rose).min(COUNT_MAX);
        let least = rose.saturating_sub(deeds.falls);
        if delivery_count < least {
            tally.add(Kind::CountLost, || {
                format!(
                    "{} {id}: {delivery_count}, was at least {least}",
                    self.title
                )
            });
        }
        let is_known = held.is_some() || !deeds.takings.is_empty();
        let may_hold = if deeds.takings.is_empty() {
            held.is_none_or(|held| held.owner == consumer)
        } else {
            deeds.owners().any(|owner| owner == consumer)
        };
        if is_known && !may_hold && !self.round.may_have_given(id, consumer) {
            tally.add(Kind::ClaimLost, || {
                let owner = deeds
                    .owners()
                    .next()
                    .or(held.map(|held| held.owner))
                    .unwrap_or(0);
                format!(
                    "{} {id}: pending for w{consumer}, held by w{owner}",
                    self.title
                )
            });
        } else if !is_known && self.round.unknown_readers.is_empty() {
            tally.add(Kind::Inconsistent, || {
                format!(
                    "{} {id}: pending, but nobody can have been given it",
                    self.title
                )
            });
        }
    }

    /// What lies behind the cursor was handed out, even if the reply that did so never arrived.
    fn check_passed_over(&self, model: &GroupModel, shown: &GroupState, tally: &mut Tally) {
        let is_told = self.round.cursors.is_empty() && !self.round.is_noack_unknown;
        if shown.cursor <= model.cursor || !is_told {
            return;
        }
        for id in self.present.range(model.cursor..=shown.cursor) {
            let is_new = *id > model.cursor;
            let deeds = self.round.by_entry.get(id);
            let is_accounted = self.pending.contains_key(id) || model.acked.contains(id);
            // What was given to somebody is judged with the pending entries.
            let is_touched = deeds.is_some_and(|deeds| {
                !deeds.deliveries.is_empty()
                    || !deeds.takings.is_empty()
                    || !deeds.acks.is_empty()
                    || deeds.is_ack_unknown
            });
            if is_new && !is_accounted && !is_touched {
                tally.add(Kind::PendingLost, || {
                    format!(
                        "{} {id}: behind the cursor, nobody was given it",
                        self.title
                    )
                });
            }
        }
    }

    /// From here on the server owes what it shows, and that acked entries stay acked.
    fn take_over(&self, model: &mut GroupModel, shown: &GroupState) {
        for (id, deeds) in &self.round.by_entry {
            if !deeds.acks.is_empty() || deeds.is_ack_unknown || deeds.is_noack {
                model.acked.insert(*id);
            }
        }
        model.acked.retain(|id| !self.pending.contains_key(id));
        let held = |pending: &Pending| Held {
            owner: pending.consumer,
            delivery_count: pending.delivery_count,
        };
        model.held = shown
            .pending
            .iter()
            .map(|pending| (pending.id, held(pending)))
            .collect();
        model.cursor = shown.cursor;
        model.exists = true;
    }
}

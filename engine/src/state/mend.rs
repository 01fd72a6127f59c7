//! Replay over damage: what a record speaks of may have been lost.
//!
//! ```text
//!   a record speaks of ...                         what is done before it is applied
//!   a stream, group or consumer that is not there  it is made, under a name that says so
//!   a new bearer of a number that is taken         the older one goes: its removal is lost
//!   entries or pending entries that are not there  the record is cut down to those that are
//! ```
//!
//! The state still changes through the same `apply` as ever, so a mended state is one that records
//! can make. Only [`Recovery::Salvage`](crate::Recovery::Salvage) comes here; a record that cannot
//! be applied even so is a loss of that record, and the rest of its transaction is applied.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use super::State;
use crate::format::record::{Claimed, GroupChange, Record, StreamChange};
use crate::group::{Contradiction, Group};
use crate::index::{Index, Position, corrupt_at};
use crate::keyspace::slot_of;
use crate::log::Log;
use crate::{EntryId, Error, Loss, Lsn, Mended, Result};

const STREAM_NAMELESS: &str = "the name of this stream is lost: it has a new one";
const STREAM_RENAMED: &str =
    "another stream got its name, and how it lost that is lost: it has a new one";
const STREAM_REMOVED: &str = "another stream got its number: its removal is lost";
const GROUP_NAMELESS: &str = "the name of a group is lost: it has a new one";
const GROUP_REMOVED: &str = "a group was made where one was: the removal of that one is lost";
const CONSUMER_NAMELESS: &str = "the name of a consumer is lost: it has a new one";
const CONSUMER_REMOVED: &str = "a consumer was made where one was: the removal of that one is lost";
const LAST_ID_RAISED: &str =
    "entries were delivered or deleted whose adding is lost: their IDs are not given again";
const COUNT_UNKNOWN: &str = "deliveries of pending entries are lost: their counts are at least";

/// A replay over damage.
#[derive(Default)]
pub(crate) struct Mender {
    /// Where a record gave a stream its name; streams of the checkpoint have theirs from before.
    named_at: HashMap<u64, Lsn>,
    /// What had to be assumed, by stream.
    mended: BTreeMap<(u64, &'static str), u64>,
    /// The same of streams that are gone.
    gone: Vec<Mended>,
}

impl Mender {
    /// Applies the records of a payload; those that cannot be are losses.
    pub(crate) fn replay(
        &mut self,
        state: &mut State,
        (payload, lsn): (&[u8], Lsn),
        log: &mut Log,
        losses: &mut Vec<Loss>,
    ) -> Result<()> {
        state.begin_recovery();
        let mut rest = payload;
        while !rest.is_empty() {
            let at = lsn.plus((payload.len() - rest.len()) as u64);
            let before = rest.len();
            let applied = if let Some(record) = Record::take(&mut rest) {
                self.apply(state, &record, at, log)
            } else {
                rest = &[];
                let what = "expected a record, found bytes of no known kind";
                Err(corrupt_at(log, at, what))
            };
            match applied {
                Ok(()) => {}
                Err(Error::Corrupt { path, offset, what }) => losses.push(Loss {
                    path,
                    offset,
                    len: (before - rest.len()) as u64,
                    what,
                }),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn note(&mut self, stream: u64, what: &'static str) {
        *self.mended.entry((stream, what)).or_default() += 1;
    }

    fn apply(
        &mut self,
        state: &mut State,
        record: &Record<'_>,
        lsn: Lsn,
        log: &mut Log,
    ) -> Result<()> {
        let Record::Stream { stream, ref change } = *record else {
            return state.apply(record, lsn, log);
        };
        let known = state.keyspace.by_number(stream).map(|it| it.modified);
        if known.is_some_and(|modified| lsn < modified) {
            return Ok(());
        }
        if matches!(
            change,
            StreamChange::Created { .. } | StreamChange::Moved { .. }
        ) {
            self.named_at.insert(stream, lsn);
        }
        if matches!(change, StreamChange::Created { .. }) {
            self.vacate(state, stream, lsn, log);
            return state.apply(record, lsn, log);
        }
        if known.is_none() {
            // What was removed while the checkpoint was taken, or is removed here, is not missed.
            if lsn < state.checkpoint_end || *change == StreamChange::Removed {
                return Ok(());
            }
            self.vacate(state, stream, lsn, log);
            let db = state.keyspace.mapping[0];
            state
                .create(stream, db, b"", Lsn(lsn.0.saturating_sub(1)))
                .map_err(|what| corrupt_at(log, lsn, what))?;
            self.note(stream, STREAM_NAMELESS);
        }
        match self.fitted(state, (stream, lsn), change, log) {
            Ok(Some(change)) => {
                let change = change.into_owned();
                state.apply(&Record::Stream { stream, change }, lsn, log)
            }
            Ok(None) => Ok(()),
            Err(what) => Err(corrupt_at(log, lsn, what)),
        }
    }

    /// Makes room for a stream whose slot another one still holds.
    fn vacate(&mut self, state: &mut State, number: u64, lsn: Lsn, log: &mut Log) {
        let holder = state.keyspace.stream(slot_of(number));
        let Some(holder) = holder.filter(|holder| lsn >= holder.modified) else {
            return;
        };
        self.gone.push(Mended {
            db: holder.db,
            key: holder.key.to_vec(),
            what: STREAM_REMOVED,
            count: 1,
        });
        self.mended
            .retain(|(stream, _), _| *stream != holder.number);
        state.remove(slot_of(number), lsn, log);
    }

    /// The change as far as it can be applied to a stream that exists; `None` if nothing is left.
    fn fitted<'a>(
        &mut self,
        state: &mut State,
        (number, lsn): (u64, Lsn),
        change: &'a StreamChange<'a>,
        log: &mut Log,
    ) -> Result<Option<Cow<'a, StreamChange<'a>>>, Contradiction> {
        let Some(stream) = state.keyspace.by_number_mut(number) else {
            return Ok(None);
        };
        let fitted = match *change {
            StreamChange::EntryAdded { .. } => with_node(change, &stream.index, lsn),
            StreamChange::Trimmed { first, .. } => {
                let count = trimmed(&stream.index, first, log);
                let first = first_left(&stream.index, &|at, _| at >= count, first, log);
                StreamChange::Trimmed { count, first }
            }
            StreamChange::EntriesDeleted {
                max_deleted,
                first,
                ref entries,
            } => {
                let mut entries = entries.to_vec();
                let gone = retain_found(&mut entries, &stream.index, log);
                let is_left = |_, position| !gone.contains(&position);
                let first = first_left(&stream.index, &is_left, first, log);
                StreamChange::EntriesDeleted {
                    max_deleted,
                    first,
                    entries: entries.into(),
                }
            }
            StreamChange::EntriesMissing { highest, .. } if stream.index.len() == 0 => {
                StreamChange::EntriesMissing { count: 0, highest }
            }
            StreamChange::GroupCreated { group, name, .. } => {
                let named = stream.group_number(name);
                let numbered = stream.group(group).map(|_| group);
                for group in [named, numbered.filter(|_| numbered != named)]
                    .into_iter()
                    .flatten()
                {
                    stream.remove_group(group)?;
                    self.note(number, GROUP_REMOVED);
                }
                return Ok(Some(Cow::Borrowed(change)));
            }
            StreamChange::GroupRemoved { group } if stream.group(group).is_none() => {
                return Ok(None);
            }
            StreamChange::Group { group, ref change } => {
                if stream.group(group).is_none() {
                    let is_free = |name: &[u8]| stream.group_number(name).is_none();
                    let created = StreamChange::GroupCreated {
                        group,
                        name: &lost_name("group", u64::from(group), &is_free),
                        cursor: EntryId::MIN,
                        entries_read: None,
                    };
                    stream.apply(&created, Lsn::ZERO, log)?;
                    self.note(number, GROUP_NAMELESS);
                }
                let Some(found) = stream.group_mut(group) else {
                    return Ok(None);
                };
                let Some(change) = self.fitted_to_group(number, found, change)? else {
                    return Ok(None);
                };
                StreamChange::Group { group, change }
            }
            _ => return Ok(Some(Cow::Borrowed(change))),
        };
        Ok(Some(Cow::Owned(fitted)))
    }

    /// The same for a change of a group that exists.
    fn fitted_to_group<'a>(
        &mut self,
        stream: u64,
        group: &mut Group,
        change: &GroupChange<'a>,
    ) -> Result<Option<GroupChange<'a>>, Contradiction> {
        match *change {
            GroupChange::ConsumerCreated { consumer, name, .. } => {
                let named = group.consumers.find(name);
                let numbered = group.consumers.get(consumer).map(|_| consumer);
                let clashing = [named, numbered.filter(|_| numbered != named)];
                for consumer in clashing.into_iter().flatten() {
                    group.apply(&GroupChange::ConsumerRemoved { consumer })?;
                    self.note(stream, CONSUMER_REMOVED);
                }
            }
            GroupChange::ConsumerRemoved { consumer } => {
                if group.consumers.get(consumer).is_none() {
                    return Ok(None);
                }
            }
            GroupChange::ConsumerSeen {
                consumer, seen_ms, ..
            } => {
                self.ensure_consumer(stream, group, consumer, seen_ms)?;
            }
            GroupChange::Delivered {
                consumer, time_ms, ..
            }
            | GroupChange::Claimed {
                consumer, time_ms, ..
            } => {
                self.ensure_consumer(stream, group, consumer, time_ms)?;
            }
            GroupChange::Redelivered {
                consumer,
                time_ms,
                ref ids,
            } => {
                self.ensure_consumer(stream, group, consumer, time_ms)?;
                let lost = ids.iter().filter(|&&id| group.pending.find(id).is_none());
                let lost: Vec<_> = lost
                    .map(|&id| Claimed {
                        id,
                        delivered_ms: time_ms,
                        delivery_count: 1,
                    })
                    .collect();
                if !lost.is_empty() {
                    self.note(stream, COUNT_UNKNOWN);
                    group.apply(&GroupChange::Claimed {
                        consumer,
                        time_ms,
                        entries: lost.into(),
                    })?;
                }
            }
            GroupChange::Acked { ref ids } => {
                let mut ids = ids.to_vec();
                ids.retain(|&id| group.pending.find(id).is_some());
                return Ok((!ids.is_empty()).then_some(GroupChange::Acked { ids: ids.into() }));
            }
            GroupChange::CursorSet { .. } | GroupChange::GivenBack { .. } => {}
        }
        Ok(Some(change.clone()))
    }

    fn ensure_consumer(
        &mut self,
        stream: u64,
        group: &mut Group,
        consumer: u32,
        seen_ms: u64,
    ) -> Result<(), Contradiction> {
        if group.consumers.get(consumer).is_some() {
            return Ok(());
        }
        let is_free = |name: &[u8]| group.consumers.find(name).is_none();
        let name = lost_name("consumer", u64::from(consumer), &is_free);
        self.note(stream, CONSUMER_NAMELESS);
        group.apply(&GroupChange::ConsumerCreated {
            consumer,
            name: &name,
            seen_ms,
        })
    }

    /// Sees to it that no ID is given again that was seen in use, though its entry is lost.
    fn raise_last_ids(&mut self, state: &mut State, log: &mut Log) -> Result<(), Contradiction> {
        for slot in 0..state.keyspace.slot_count() {
            let Some(stream) = state.keyspace.stream_mut(slot) else {
                continue;
            };
            let pending = stream
                .groups()
                .filter_map(|(_, _, group)| group.pending.bounds());
            let highest = pending
                .map(|(_, highest)| highest)
                .max()
                .unwrap_or_default();
            let last_id = highest.max(stream.tombstone());
            if last_id > stream.last_id {
                let raised = StreamChange::CountersSet {
                    last_id,
                    entries_added: stream.entries_added,
                    max_deleted: stream.max_deleted(),
                };
                stream.apply(&raised, Lsn::ZERO, log)?;
                let number = stream.number;
                self.note(number, LAST_ID_RAISED);
            }
        }
        Ok(())
    }

    /// Replay is over, and something was lost or not: gives names to streams that have none, or
    /// one that is another's by now.
    pub(crate) fn finish(
        mut self,
        state: &mut State,
        log: &mut Log,
        has_losses: bool,
    ) -> Result<Vec<Mended>, Contradiction> {
        if has_losses {
            self.raise_last_ids(state, log)?;
        }
        let mut bearers: HashMap<(u8, Vec<u8>), u64> = HashMap::new();
        let mut losers = Vec::new();
        let nameless = |mender: &Self, stream| {
            mender.mended.contains_key(&(stream, STREAM_NAMELESS))
                && !mender.named_at.contains_key(&stream)
        };
        for stream in state.keyspace.streams() {
            if nameless(&self, stream.number) {
                losers.push(stream.number);
                continue;
            }
            let named_at = |number: &u64| self.named_at.get(number).copied().unwrap_or_default();
            let name = (stream.db, stream.key.to_vec());
            let other = bearers.get(&name).copied();
            let older = match other {
                Some(other) if named_at(&other) < named_at(&stream.number) => other,
                Some(_) => stream.number,
                None => {
                    bearers.insert(name, stream.number);
                    continue;
                }
            };
            if Some(older) == other {
                bearers.insert(name, stream.number);
            }
            losers.push(older);
            *self.mended.entry((older, STREAM_RENAMED)).or_default() += 1;
        }
        for number in losers {
            let db = state
                .keyspace
                .by_number(number)
                .map_or(0, |stream| stream.db);
            let is_free = |key: &[u8]| !bearers.contains_key(&(db, key.to_vec()));
            let key = lost_name("stream", number, &is_free);
            state.keyspace.rename(slot_of(number), db, &key)?;
            bearers.insert((db, key), number);
        }
        let mut mended = self.gone;
        for ((number, what), count) in self.mended {
            let found = state.keyspace.by_number(number);
            // A stream that was named, or removed, later on is none the worse.
            let is_named = what == STREAM_NAMELESS && self.named_at.contains_key(&number);
            if let Some(stream) = found.filter(|_| !is_named) {
                mended.push(Mended {
                    db: stream.db,
                    key: stream.key.to_vec(),
                    what,
                    count,
                });
            }
        }
        Ok(mended)
    }
}

/// A name for something whose own is lost.
fn lost_name(kind: &str, number: u64, is_free: &dyn Fn(&[u8]) -> bool) -> Vec<u8> {
    let plain = format!("alluvium:lost:{kind}:{number:x}").into_bytes();
    if is_free(&plain) {
        return plain;
    }
    let mut tries = (2u64..).map(|n| format!("alluvium:lost:{kind}:{number:x}:{n}").into_bytes());
    tries.find(|name| is_free(name)).unwrap_or(plain)
}

/// The change with a node for the entry that it adds.
fn with_node<'a>(change: &StreamChange<'a>, index: &Index, lsn: Lsn) -> StreamChange<'a> {
    let mut change = change.clone();
    if let StreamChange::EntryAdded { starts_node, .. } = &mut change {
        *starts_node |= index.must_start_node(lsn, u32::MAX);
    }
    change
}

/// Leaves the entries that are there, and tells where they are.
fn retain_found(entries: &mut Vec<(EntryId, Lsn)>, index: &Index, log: &Log) -> Vec<Position> {
    let place = |&(id, lsn): &(EntryId, Lsn)| index.locate(id, lsn, log);
    entries.retain(|entry| place(entry).is_some());
    entries.iter().filter_map(place).collect()
}

/// How many entries at the head lie before `first`, which a trim left as the first; `0-0` if it
/// left none. What cannot be read goes with its neighbours.
fn trimmed(index: &Index, first: EntryId, log: &Log) -> u64 {
    if first == EntryId::MIN {
        return index.len();
    }
    let mut count = 0;
    for (at, position) in (1..).zip(index.positions()) {
        match index.read(position, log, |id, _| id) {
            Ok(Some(id)) if id < first => count = at,
            Ok(_) => break,
            Err(_) => {}
        }
    }
    count
}

/// The ID of the first entry that is left, as far as it can be read; else what the record says.
fn first_left(
    index: &Index,
    is_left: &dyn Fn(u64, Position) -> bool,
    said: EntryId,
    log: &Log,
) -> EntryId {
    let mut left = (0..).zip(index.positions());
    match left.find(|&(at, position)| is_left(at, position)) {
        Some((_, position)) => match index.read(position, log, |id, _| id) {
            Ok(Some(id)) => id,
            _ => said,
        },
        None => EntryId::MIN,
    }
}

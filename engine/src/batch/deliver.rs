//! Handing out entries: new ones, idle ones that are claimed on the way, a consumer's own again.

use std::ops::ControlFlow;

use super::cold::{ahead, ahead_in};
use super::groups::{FewIds, Found, ids_len_max, visit_len_max};
use super::progress::Progress;
use super::streams::info_of;
use super::{Batch, Member, check_len};
use crate::entries::{Entries, Fields};
use crate::error::Result;
use crate::format::record::{self, GroupChange};
use crate::group::Group;
use crate::id::EntryId;
use crate::index::{Index, Position};
use crate::limits::{NAME_LEN_MAX, RECORD_IDS_MAX};
use crate::log::{Growth, Log};
use crate::lsn::Lsn;
use crate::stream::Stream;

/// Is shown each entry before it is taken, without fields if it is deleted; breaks if it, and what
/// comes behind it, shall not be taken.
pub type Fits<'a> = &'a mut dyn FnMut(EntryId, Option<Fields<'_>>) -> ControlFlow<()>;

/// How to deliver new entries.
#[derive(Default)]
pub struct Deliver<'a> {
    /// Most entries to deliver.
    pub count: Option<usize>,
    /// Whether the new entries are settled by the delivery: they do not become pending.
    pub noack: bool,
    /// Claims, before anything new is delivered, what has been pending in the group for so long.
    pub claim_idle_ms: Option<u64>,
    /// Which of the entries to take.
    pub fits: Option<Fits<'a>>,
}

/// Which of a consumer's pending entries to read again.
#[derive(Default)]
pub struct History<'a> {
    /// Only entries above this ID.
    pub after: EntryId,
    /// Most entries to return.
    pub count: Option<usize>,
    /// Which of the entries to take.
    pub fits: Option<Fits<'a>>,
}

/// Entries that a consumer was given.
#[derive(Debug)]
pub struct Delivery {
    /// The entries; in a history read, deleted ones are IDs without fields.
    pub entries: Entries,
    /// The first of them were claimed: how each was pending before.
    pub claimed: Vec<Overdue>,
    /// Whether the consumer was made by this call.
    pub consumer_created: bool,
}

/// How a claimed entry was pending before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overdue {
    /// Milliseconds since it had been delivered.
    pub idle_ms: u64,
    /// How often it had been delivered.
    pub delivery_count: u64,
}

impl Batch<'_> {
    /// Delivers new entries, those above the group's cursor. Makes the consumer if there is none,
    /// also when there is nothing to deliver.
    ///
    /// # Errors
    ///
    /// [`NoSuchKey`](crate::Error::NoSuchKey), [`NoSuchGroup`](crate::Error::NoSuchGroup),
    /// [`TooLarge`](crate::Error::TooLarge).
    pub fn deliver(
        &mut self,
        db: u8,
        key: &[u8],
        member: Member<'_>,
        mut deliver: Deliver<'_>,
    ) -> Result<Delivery> {
        let found = self.find_group(db, key, member.group)?;
        check_len("consumer name", member.consumer, NAME_LEN_MAX)?;
        let mut overdue = self.overdue(found, &mut deliver)?;
        let mut ids = FewIds::new();
        let last_lsn = self.undelivered(found, &mut deliver, (&mut overdue.entries, &mut ids))?;
        let listed = overdue.claimed.len() + ids.len();
        let len = visit_len_max(member.consumer) + 2 * ids_len_max(listed);
        self.admit(len, Growth::Grows)?;
        let (consumer, consumer_created) = self.consumer_of(found, member.consumer);
        self.assign(found, consumer, &overdue.claimed);
        if overdue.claimed.is_empty() && (ids.is_empty() || deliver.noack) {
            self.see(found, consumer);
        }
        match (ids.is_empty(), deliver.noack) {
            (true, _) => {}
            (false, true) => self.pass(found, &ids),
            (false, false) => self.hand_out(found, consumer, &ids),
        }
        if let (Some(lsn), (slot, group)) = (last_lsn, found) {
            let stream = self.guard.state.keyspace.stream_mut(slot);
            if let Some(group) = stream.and_then(|stream| stream.group_mut(group)) {
                group.cursor_lsn = lsn;
            }
        }
        self.count(u64::from(!ids.is_empty()));
        Ok(Delivery {
            entries: overdue.entries,
            claimed: overdue.before,
            consumer_created,
        })
    }

    /// Reads a consumer's pending entries again, which counts as another delivery of each that is
    /// still in the stream. Makes the consumer if there is none.
    ///
    /// # Errors
    ///
    /// [`NoSuchKey`](crate::Error::NoSuchKey), [`NoSuchGroup`](crate::Error::NoSuchGroup),
    /// [`TooLarge`](crate::Error::TooLarge).
    pub fn history(
        &mut self,
        db: u8,
        key: &[u8],
        member: Member<'_>,
        history: History<'_>,
    ) -> Result<Delivery> {
        let found = self.find_group(db, key, member.group)?;
        check_len("consumer name", member.consumer, NAME_LEN_MAX)?;
        let (entries, ids) = self.pending_again(found, member.consumer, history)?;
        let len = visit_len_max(member.consumer) + ids_len_max(ids.len());
        self.admit(len, Growth::Grows)?;
        let (consumer, consumer_created) = self.consumer_of(found, member.consumer);
        if ids.is_empty() {
            self.see(found, consumer);
        }
        let time_ms = self.now_ms;
        for ids in ids.chunks(RECORD_IDS_MAX) {
            let ids = ids.into();
            self.commit_to_group(
                found,
                GroupChange::Redelivered {
                    consumer,
                    time_ms,
                    ids,
                },
            );
        }
        self.count(1);
        Ok(Delivery {
            entries,
            claimed: Vec::new(),
            consumer_created,
        })
    }

    /// When the first pending entry of a group that is not idle for so long will be; `None` if
    /// there is none.
    pub fn next_idle_at_ms(
        &mut self,
        db: u8,
        key: &[u8],
        group: &[u8],
        min_idle_ms: u64,
    ) -> Option<u64> {
        let (slot, group) = self.find_group(db, key, group).ok()?;
        let now_ms = self.now_ms;
        let mut oldest_first = self.group_in(slot, group).pending.oldest_first();
        let next = oldest_first.find(|held| !held.is_idle(min_idle_ms, now_ms))?;
        Some(next.delivered_ms.saturating_add(min_idle_ms))
    }

    /// What is to be claimed: the pending entries that are idle for long enough and that the stream
    /// still has, those that were given back first, then the oldest. Lowers the count that is left.
    fn overdue(&self, (slot, group): Found, deliver: &mut Deliver<'_>) -> Result<Claims> {
        let (stream, log) = (self.stream_in(slot), &self.guard.log);
        let mut claims = Claims::default();
        let Some(min_idle_ms) = deliver.claim_idle_ms else {
            return Ok(claims);
        };
        let now_ms = self.now_ms;
        for held in self.group_in(slot, group).pending.oldest_first() {
            if deliver.count == Some(0) || !held.is_idle(min_idle_ms, now_ms) {
                break;
            }
            let position = stream.index.find(held.id, log);
            let position = position.map_err(|error| {
                let listed = self.group_in(slot, group).pending.oldest_first();
                let idle = listed.take_while(|held| held.is_idle(min_idle_ms, now_ms));
                let idle = idle.take(deliver.count.unwrap_or(usize::MAX));
                ahead(error, (&stream.index, log), idle.map(|held| held.id))
            });
            let Some(position) = position? else {
                continue;
            };
            if !fits(&mut deliver.fits, position, &stream.index, log)? {
                deliver.count = Some(0);
                break;
            }
            deliver.count = deliver.count.map(|count| count - 1);
            claims.entries.push(&stream.index, position, log)?;
            claims.before.push(Overdue {
                idle_ms: held.idle_ms(now_ms),
                delivery_count: held.delivery_count,
            });
            claims.claimed.push(record::Claimed {
                id: held.id,
                delivered_ms: now_ms,
                delivery_count: held.delivery_count.saturating_add(1),
            });
        }
        Ok(claims)
    }

    /// Appends the entries behind a group's cursor to a plan and to a list; where the last of them
    /// lies if it lies in the log.
    fn undelivered(
        &self,
        (slot, group): Found,
        deliver: &mut Deliver<'_>,
        (entries, ids): (&mut Entries, &mut FewIds),
    ) -> Result<Option<Lsn>> {
        let (stream, log) = (self.stream_in(slot), &self.guard.log);
        let (index, count) = (&stream.index, deliver.count);
        let from = behind_cursor(stream, self.group_in(slot, group), log)?;
        let to = count.map_or(index.end(), |count| index.advance(from, count as u64));
        let to = first_unfit((from, to), index, log, &mut deliver.fits)?;
        let listed = index.ids(from, to, log, ids);
        listed.map_err(|error| ahead_in(error, index, (from, to)))?;
        entries.push_range(index, from, to, log)?;
        let last = index.previous(to).filter(|&last| last >= from);
        Ok(last.and_then(|last| index.lsn(last)))
    }

    /// Delivers new entries to a consumer, where they are pending.
    fn hand_out(&mut self, found: Found, consumer: u32, ids: &[EntryId]) {
        let mut progress = self.progress_of(found);
        let time_ms = self.now_ms;
        for ids in ids.chunks(RECORD_IDS_MAX) {
            for &id in ids {
                progress.pass(id);
            }
            let (entries_read, ids) = (progress.entries_read, ids.into());
            let change = GroupChange::Delivered {
                consumer,
                time_ms,
                entries_read,
                ids,
            };
            self.commit_to_group(found, change);
        }
    }

    /// Moves a group's cursor over entries that are settled by their delivery.
    fn pass(&mut self, found: Found, ids: &[EntryId]) {
        let mut progress = self.progress_of(found);
        for &id in ids {
            progress.pass(id);
        }
        let Progress {
            cursor,
            entries_read,
            ..
        } = progress;
        self.commit_to_group(
            found,
            GroupChange::CursorSet {
                cursor,
                entries_read,
            },
        );
    }

    fn progress_of(&self, (slot, group): Found) -> Progress {
        let group = self.group_in(slot, group);
        Progress {
            counters: info_of(self.stream_in(slot)),
            cursor: group.cursor,
            entries_read: group.entries_read,
        }
    }

    /// A consumer's pending entries, as a plan, and the IDs of those that the stream still has.
    fn pending_again(
        &self,
        (slot, group): Found,
        consumer: &[u8],
        mut history: History<'_>,
    ) -> Result<(Entries, Vec<EntryId>)> {
        let (index, log) = (&self.stream_in(slot).index, &self.guard.log);
        let group = self.group_in(slot, group);
        let (mut entries, mut ids) = (Entries::default(), Vec::new());
        let number = group.consumers.find(consumer);
        let consumer = number.and_then(|number| group.consumers.get(number));
        // Redis steps over the end to the start here: `0-0` follows the largest ID.
        let start = history.after.next().unwrap_or(EntryId::MIN);
        if let Some(consumer) = consumer {
            let pending = group.pending.of_consumer(&consumer.pending, start);
            for entry in pending.take(history.count.unwrap_or(usize::MAX)) {
                let position = index.find(entry.id, log).map_err(|error| {
                    let others = group.pending.of_consumer(&consumer.pending, entry.id);
                    let others = others.take(history.count.unwrap_or(usize::MAX));
                    ahead(error, (index, log), others.map(|held| held.id))
                });
                if let Some(position) = position? {
                    if !fits(&mut history.fits, position, index, log)? {
                        break;
                    }
                    entries.push(index, position, log)?;
                    ids.push(entry.id);
                } else {
                    if let Some(fits) = &mut history.fits
                        && fits(entry.id, None).is_break()
                    {
                        break;
                    }
                    entries.push_deleted(entry.id);
                }
            }
        }
        Ok((entries, ids))
    }
}

/// How many entries are looked ahead for where it is not known how many will be taken.
const NEAR_ENTRIES: u64 = 512;

/// What is claimed on the way.
#[derive(Default)]
struct Claims {
    entries: Entries,
    claimed: Vec<record::Claimed>,
    before: Vec<Overdue>,
}

/// The first position of a range whose entry is not to be taken.
pub(super) fn first_unfit(
    (from, to): (Position, Position),
    index: &Index,
    log: &Log,
    limit: &mut Option<Fits<'_>>,
) -> Result<Position> {
    let mut at = from;
    while limit.is_some() && at < to {
        let is_taken = fits(limit, at, index, log).map_err(|error| {
            // How many more will fit is not known.
            let near = index.advance(at, NEAR_ENTRIES).min(to);
            ahead_in(error, index, (at, near))
        });
        if !is_taken? {
            return Ok(at);
        }
        at = index.next(at);
    }
    Ok(to)
}

/// Whether an entry is to be taken.
fn fits(
    limit: &mut Option<Fits<'_>>,
    position: Position,
    index: &Index,
    log: &Log,
) -> Result<bool> {
    let Some(fits) = limit else {
        return Ok(true);
    };
    let look = |id: EntryId, body: &[u8]| fits(id, Some(Fields::of(body))).is_continue();
    Ok(index.read(position, log, look)?.unwrap_or(false))
}

/// The first entry that a group has not delivered.
pub(super) fn behind_cursor(stream: &Stream, group: &Group, log: &Log) -> Result<Position> {
    let index = &stream.index;
    match (group.cursor_lsn, group.cursor.next()) {
        (_, None) => Ok(index.end()),
        (Lsn::ZERO, Some(behind)) => index.lower_bound(behind, log),
        (lsn, Some(behind)) => match index.behind_lsn(lsn) {
            Some(position) => Ok(position),
            None => index.lower_bound(behind, log),
        },
    }
}

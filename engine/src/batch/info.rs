//! Operations that only tell: groups, consumers and what is pending.

use super::deliver::behind_cursor;
use super::progress::Progress;
use super::streams::info_of;
use super::{Batch, Range, StreamInfo};
use crate::entries::Entries;
use crate::error::{Error, Result};
use crate::group::{Consumer, Group, Pending};
use crate::id::EntryId;
use crate::stream::Stream;

/// What is pending in a group, in short.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PendingSummary {
    /// Number of pending entries.
    pub count: u64,
    /// The lowest and the highest pending ID; `None` if nothing is pending.
    pub bounds: Option<(EntryId, EntryId)>,
    /// The consumers that have pending entries, with their number, ordered by name.
    pub consumers: Vec<(Vec<u8>, u64)>,
}

/// Which pending entries to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingFilter<'a> {
    /// Only entries that were delivered at least this long ago.
    pub min_idle_ms: u64,
    /// The lowest ID.
    pub start: EntryId,
    /// The highest ID.
    pub end: EntryId,
    /// Most entries to list.
    pub count: usize,
    /// Only those of this consumer.
    pub consumer: Option<&'a [u8]>,
}

/// A pending entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingInfo {
    /// The entry's ID.
    pub id: EntryId,
    /// The consumer that it is pending for; empty if it was given back.
    pub consumer: Vec<u8>,
    /// When it was delivered, in milliseconds since the Unix epoch; 0 if it was given back.
    pub delivered_ms: u64,
    /// Milliseconds since then; `None` if it was given back.
    pub idle_ms: Option<u64>,
    /// How often it was delivered.
    pub delivery_count: u64,
}

/// A group's counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupInfo {
    /// Its name.
    pub name: Vec<u8>,
    /// Number of consumers.
    pub consumers: usize,
    /// Number of pending entries.
    pub pending: u64,
    /// How many of them were given back.
    pub given_back: u64,
    /// The group's cursor.
    pub last_delivered_id: EntryId,
    /// Entries read up to the cursor, if that is known.
    pub entries_read: Option<u64>,
    /// Entries that are not delivered yet.
    pub lag: u64,
    /// The same as Redis estimates it: `None` where Redis does not know, and negative where
    /// somebody said by hand that more was read than there is.
    pub estimated_lag: Option<i64>,
}

/// A consumer's counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerInfo {
    /// Its name.
    pub name: Vec<u8>,
    /// Number of entries pending for it.
    pub pending: u64,
    /// When it last asked for something, in milliseconds since the Unix epoch.
    pub seen_ms: u64,
    /// When it last got something; `None` if never.
    pub active_ms: Option<u64>,
}

/// All about a stream, its groups and consumers.
#[derive(Debug)]
pub struct StreamFull {
    /// The stream's counters.
    pub info: StreamInfo,
    /// Its first entries.
    pub entries: Entries,
    /// Its groups, ordered by name.
    pub groups: Vec<GroupFull>,
}

/// All about a group.
#[derive(Clone, Debug)]
pub struct GroupFull {
    /// The group's counters.
    pub info: GroupInfo,
    /// Its first pending entries.
    pub pending: Vec<PendingInfo>,
    /// Its consumers, ordered by name.
    pub consumers: Vec<ConsumerFull>,
}

/// All about a consumer.
#[derive(Clone, Debug)]
pub struct ConsumerFull {
    /// The consumer's counters.
    pub info: ConsumerInfo,
    /// The first entries pending for it.
    pub pending: Vec<PendingInfo>,
}

impl Batch<'_> {
    /// What is pending in a group, in short.
    ///
    /// # Errors
    ///
    /// [`NoSuchKey`](crate::Error::NoSuchKey), [`NoSuchGroup`](crate::Error::NoSuchGroup).
    pub fn pending_summary(&mut self, db: u8, key: &[u8], group: &[u8]) -> Result<PendingSummary> {
        let (slot, group) = self.find_group(db, key, group)?;
        let group = self.group_in(slot, group);
        let count = |(_, name, consumer): (u32, &[u8], &Consumer)| {
            (name.to_vec(), consumer.pending.len() as u64)
        };
        let consumers = group
            .consumers
            .iter()
            .map(count)
            .filter(|&(_, pending)| pending > 0);
        Ok(PendingSummary {
            count: group.pending.len() as u64,
            bounds: group.pending.bounds(),
            consumers: consumers.collect(),
        })
    }

    /// Pending entries in the order of their IDs.
    ///
    /// # Errors
    ///
    /// [`NoSuchKey`](crate::Error::NoSuchKey), [`NoSuchGroup`](crate::Error::NoSuchGroup).
    pub fn pending_range(
        &mut self,
        db: u8,
        key: &[u8],
        group: &[u8],
        filter: &PendingFilter<'_>,
    ) -> Result<Vec<PendingInfo>> {
        let (slot, group) = self.find_group(db, key, group)?;
        let group = self.group_in(slot, group);
        let number = filter.consumer.map(|name| group.consumers.find(name));
        if number == Some(None) || filter.start > filter.end {
            return Ok(Vec::new());
        }
        let number = number.flatten();
        let is_wanted = |pending: &&Pending| {
            pending.is_idle(filter.min_idle_ms, self.now_ms)
                && number.is_none_or(|number| pending.consumer == number)
        };
        if let Some(mut idle) = self.few_idle(group, filter) {
            idle.retain(is_wanted);
            let listed = idle.iter().take(filter.count);
            return Ok(listed
                .map(|pending| pending_info(group, pending, self.now_ms))
                .collect());
        }
        let consumer = number.and_then(|number| group.consumers.get(number));
        let by_id: Box<dyn Iterator<Item = &Pending>> = match consumer {
            Some(consumer) => Box::new(group.pending.of_consumer(&consumer.pending, filter.start)),
            None => Box::new(group.pending.from(filter.start)),
        };
        let in_range = by_id.take_while(|pending| pending.id <= filter.end);
        let listed = in_range.filter(is_wanted).take(filter.count);
        Ok(listed
            .map(|pending| pending_info(group, pending, self.now_ms))
            .collect())
    }

    /// The groups of a stream, ordered by name.
    ///
    /// # Errors
    ///
    /// [`NoSuchKey`](crate::Error::NoSuchKey).
    pub fn groups(&mut self, db: u8, key: &[u8]) -> Result<Vec<GroupInfo>> {
        let slot = self.find_used(db, key).ok_or(Error::NoSuchKey)?;
        let stream = self.stream_in(slot);
        let info = |(_, name, group): (u32, &[u8], &Group)| self.group_info(stream, name, group);
        stream.groups().map(info).collect()
    }

    /// The consumers of a group, ordered by name.
    ///
    /// # Errors
    ///
    /// [`NoSuchKey`](crate::Error::NoSuchKey), [`NoSuchGroup`](crate::Error::NoSuchGroup).
    pub fn consumers(&mut self, db: u8, key: &[u8], group: &[u8]) -> Result<Vec<ConsumerInfo>> {
        let (slot, group) = self.find_group(db, key, group)?;
        let consumers = &self.group_in(slot, group).consumers;
        Ok(consumers
            .iter()
            .map(|(_, name, consumer)| consumer_info(name, consumer))
            .collect())
    }

    /// All about a stream; each list is cut at `count` items if given.
    ///
    /// # Errors
    ///
    /// [`NoSuchKey`](crate::Error::NoSuchKey).
    pub fn stream_full(&mut self, db: u8, key: &[u8], count: Option<usize>) -> Result<StreamFull> {
        let range = Range {
            start: EntryId::MIN,
            end: EntryId::MAX,
            reverse: false,
            count,
        };
        let entries = self.range(db, key, range)?.ok_or(Error::NoSuchKey)?;
        let slot = self.find(db, key).ok_or(Error::NoSuchKey)?;
        let stream = self.stream_in(slot);
        let groups = stream.groups().map(|(_, name, group)| {
            let listed = group
                .pending
                .from(EntryId::MIN)
                .take(count.unwrap_or(usize::MAX));
            let consumers = group.consumers.iter().map(|(_, name, consumer)| {
                let pending = group.pending.of_consumer(&consumer.pending, EntryId::MIN);
                let listed = pending.take(count.unwrap_or(usize::MAX));
                ConsumerFull {
                    info: consumer_info(name, consumer),
                    pending: listed
                        .map(|held| pending_info(group, held, self.now_ms))
                        .collect(),
                }
            });
            Ok(GroupFull {
                info: self.group_info(stream, name, group)?,
                pending: listed
                    .map(|held| pending_info(group, held, self.now_ms))
                    .collect(),
                consumers: consumers.collect(),
            })
        });
        Ok(StreamFull {
            info: info_of(stream),
            entries,
            groups: groups.collect::<Result<_>>()?,
        })
    }

    fn group_info(&self, stream: &Stream, name: &[u8], group: &Group) -> Result<GroupInfo> {
        let progress = Progress {
            counters: info_of(stream),
            cursor: group.cursor,
            entries_read: group.entries_read,
        };
        let behind = behind_cursor(stream, group, &self.guard.log)?;
        Ok(GroupInfo {
            name: name.to_vec(),
            consumers: group.consumers.len(),
            pending: group.pending.len() as u64,
            given_back: u64::from(group.pending.given_back()),
            last_delivered_id: group.cursor,
            entries_read: group.entries_read,
            lag: stream.index.len() - stream.index.rank(behind),
            estimated_lag: progress.estimated_lag(),
        })
    }

    /// The pending entries in a range of IDs that are idle enough, in the order of IDs, if the list
    /// by time tells that there are few: then there is no need to look at all that are pending.
    fn few_idle<'g>(
        &self,
        group: &'g Group,
        filter: &PendingFilter<'_>,
    ) -> Option<Vec<&'g Pending>> {
        if filter.min_idle_ms == 0 {
            return None;
        }
        let idle = |pending: &&Pending| pending.is_idle(filter.min_idle_ms, self.now_ms);
        let oldest = group.pending.oldest_first().take_while(idle);
        let mut few: Vec<_> = oldest.take(FEW_IDLE + 1).collect();
        if few.len() > FEW_IDLE {
            return None;
        }
        few.retain(|pending| (filter.start..=filter.end).contains(&pending.id));
        few.sort_unstable_by_key(|pending| pending.id);
        Some(few)
    }
}

/// How many idle entries are few.
const FEW_IDLE: usize = 512;

fn pending_info(group: &Group, pending: &Pending, now_ms: u64) -> PendingInfo {
    PendingInfo {
        id: pending.id,
        consumer: group.consumers.name(pending.consumer).to_vec(),
        delivered_ms: pending.shown_ms(),
        idle_ms: (!pending.is_given_back()).then(|| pending.idle_ms(now_ms)),
        delivery_count: pending.delivery_count,
    }
}

fn consumer_info(name: &[u8], consumer: &Consumer) -> ConsumerInfo {
    ConsumerInfo {
        name: name.to_vec(),
        pending: consumer.pending.len() as u64,
        seen_ms: consumer.seen_ms,
        active_ms: consumer.active_ms,
    }
}

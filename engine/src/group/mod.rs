//! A consumer group: a cursor into the stream, consumers, and what they have not acknowledged yet.
//!
//! [`Group::apply`] is the only place where a group changes. It holds that every pending entry is
//! in the group's order by ID, in the list by time, and in the array of exactly one consumer,
//! unless it was given back: then it is pending for nobody.

mod consumer;
mod pending;

pub(crate) use consumer::Consumer;
pub(crate) use pending::{NOBODY, NewPending, Pending, PendingList};

use crate::Lsn;
use crate::format::record::{Claimed, GivenBack, GroupChange};
use crate::id::EntryId;
use crate::names::Names;

/// A record says something that cannot be: the log does not match the state.
pub(crate) type Contradiction = &'static str;

const NO_CONSUMER: Contradiction = "a record names a consumer that does not exist";

/// A consumer group.
#[derive(Clone, Debug, Default)]
pub(crate) struct Group {
    /// The last ID that was delivered.
    pub(crate) cursor: EntryId,
    /// How many entries were read up to the cursor, if known.
    pub(crate) entries_read: Option<u64>,
    /// Where the entry at the cursor lies, as a hint where to go on; zero if not known.
    pub(crate) cursor_lsn: Lsn,
    pub(crate) pending: PendingList,
    pub(crate) consumers: Names<Consumer>,
}

impl Group {
    pub(crate) fn new(cursor: EntryId, entries_read: Option<u64>) -> Self {
        Self {
            cursor,
            entries_read,
            ..Self::default()
        }
    }

    /// Applies what happened to the group.
    pub(crate) fn apply(&mut self, change: &GroupChange<'_>) -> Result<(), Contradiction> {
        match *change {
            GroupChange::CursorSet {
                cursor,
                entries_read,
            } => {
                self.set_cursor(cursor, entries_read);
                Ok(())
            }
            GroupChange::ConsumerCreated {
                consumer,
                name,
                seen_ms,
            } => {
                let fresh = Consumer {
                    seen_ms,
                    ..Consumer::default()
                };
                let inserted = self.consumers.insert(consumer, name, fresh);
                inserted
                    .then_some(())
                    .ok_or("a record makes a consumer that exists")
            }
            GroupChange::ConsumerRemoved { consumer } => self.remove_consumer(consumer),
            GroupChange::ConsumerSeen {
                consumer,
                seen_ms,
                active_ms,
            } => {
                let consumer = self.consumers.get_mut(consumer).ok_or(NO_CONSUMER)?;
                consumer.seen_ms = seen_ms;
                consumer.active_ms = active_ms;
                Ok(())
            }
            GroupChange::Delivered {
                consumer,
                time_ms,
                entries_read,
                ref ids,
            } => {
                self.deliver(consumer, time_ms, ids)?;
                let cursor = ids.last().copied().unwrap_or(self.cursor);
                self.set_cursor(cursor, entries_read);
                Ok(())
            }
            GroupChange::Redelivered {
                consumer,
                time_ms,
                ref ids,
            } => self.redeliver(consumer, time_ms, ids),
            GroupChange::Acked { ref ids } => ids.iter().try_for_each(|&id| self.ack(id)),
            GroupChange::Claimed {
                consumer,
                time_ms,
                ref entries,
            } => self.claim(consumer, time_ms, entries),
            GroupChange::GivenBack { ref entries } => self.give_back(entries),
        }
    }

    fn set_cursor(&mut self, cursor: EntryId, entries_read: Option<u64>) {
        self.cursor = cursor;
        self.entries_read = entries_read;
        self.cursor_lsn = Lsn::ZERO;
    }

    fn deliver(&mut self, number: u32, time_ms: u64, ids: &[EntryId]) -> Result<(), Contradiction> {
        let consumer = self.consumers.get_mut(number).ok_or(NO_CONSUMER)?;
        consumer.seen_ms = time_ms;
        consumer.active_ms = Some(time_ms);
        for &id in ids {
            let new = NewPending {
                id,
                delivered_ms: time_ms,
                delivery_count: 1,
                consumer: number,
            };
            if self.pending.is_above_all(id) {
                let consumer = self.consumers.get_mut(number).ok_or(NO_CONSUMER)?;
                self.pending.insert(new, Some(&mut consumer.pending));
            } else {
                self.assign(new)?;
            }
        }
        Ok(())
    }

    /// Takes in a pending entry of a checkpoint, which lists them by ID.
    /// [`PendingList::order_by_time`] follows when all are there.
    pub(crate) fn restore_pending(&mut self, pending: NewPending) -> Result<(), Contradiction> {
        let array = match pending.consumer {
            NOBODY => None,
            number => Some(&mut self.consumers.get_mut(number).ok_or(NO_CONSUMER)?.pending),
        };
        let is_in_order = self.pending.restore(pending, array);
        is_in_order
            .then_some(())
            .ok_or("the pending entries of a group are not in order")
    }

    /// Makes an entry pending for a consumer or for nobody, whether it was pending or not.
    fn assign(&mut self, new: NewPending) -> Result<(), Contradiction> {
        let Some(slot) = self.pending.find(new.id) else {
            let array = match new.consumer {
                NOBODY => None,
                number => Some(&mut self.consumers.get_mut(number).ok_or(NO_CONSUMER)?.pending),
            };
            self.pending.insert(new, array);
            return Ok(());
        };
        let holder = self.pending.get(slot).consumer;
        if holder != new.consumer {
            self.leave(slot, holder)?;
            if new.consumer != NOBODY {
                let to = self.consumers.get_mut(new.consumer).ok_or(NO_CONSUMER)?;
                self.pending.join(slot, &mut to.pending);
            }
        }
        self.pending.set(slot, new);
        Ok(())
    }

    /// Takes an entry off the array of the consumer that it is pending for, if there is one.
    fn leave(&mut self, slot: u32, holder: u32) -> Result<(), Contradiction> {
        if holder != NOBODY {
            let from = self.consumers.get_mut(holder).ok_or(NO_CONSUMER)?;
            self.pending.leave(slot, &mut from.pending);
        }
        Ok(())
    }

    fn give_back(&mut self, entries: &[GivenBack]) -> Result<(), Contradiction> {
        for entry in entries {
            self.assign(NewPending {
                id: entry.id,
                delivered_ms: self.pending.next_turn(),
                delivery_count: entry.delivery_count,
                consumer: NOBODY,
            })?;
        }
        Ok(())
    }

    fn redeliver(
        &mut self,
        number: u32,
        time_ms: u64,
        ids: &[EntryId],
    ) -> Result<(), Contradiction> {
        let consumer = self.consumers.get_mut(number).ok_or(NO_CONSUMER)?;
        consumer.seen_ms = time_ms;
        for &id in ids {
            let slot = self
                .pending
                .find(id)
                .ok_or("a redelivered entry is not pending")?;
            let held = self.pending.get(slot);
            let again = NewPending {
                id,
                delivered_ms: time_ms,
                delivery_count: held.delivery_count.saturating_add(1),
                consumer: held.consumer,
            };
            self.pending.set(slot, again);
        }
        Ok(())
    }

    fn ack(&mut self, id: EntryId) -> Result<(), Contradiction> {
        let slot = self
            .pending
            .take(id)
            .ok_or("an acknowledged entry is not pending")?;
        self.leave(slot, self.pending.get(slot).consumer)?;
        self.pending.release(slot);
        Ok(())
    }

    fn claim(
        &mut self,
        number: u32,
        time_ms: u64,
        entries: &[Claimed],
    ) -> Result<(), Contradiction> {
        let consumer = self.consumers.get_mut(number).ok_or(NO_CONSUMER)?;
        consumer.seen_ms = time_ms;
        consumer.active_ms = Some(time_ms);
        for &Claimed {
            id,
            delivered_ms,
            delivery_count,
        } in entries
        {
            self.assign(NewPending {
                id,
                delivered_ms,
                delivery_count,
                consumer: number,
            })?;
        }
        Ok(())
    }

    fn remove_consumer(&mut self, number: u32) -> Result<(), Contradiction> {
        let consumer = self.consumers.remove(number).ok_or(NO_CONSUMER)?;
        let ids: Vec<_> = self
            .pending
            .of_consumer(&consumer.pending, EntryId::MIN)
            .map(|entry| entry.id)
            .collect();
        for id in ids {
            if let Some(slot) = self.pending.take(id) {
                self.pending.release(slot);
            }
        }
        Ok(())
    }

    /// Bytes of memory.
    pub(crate) fn memory(&self) -> usize {
        let consumer = |(_, name, consumer): (u32, &[u8], &Consumer)| {
            size_of::<Consumer>() + 32 + name.len() + consumer.pending.memory()
        };
        size_of::<Self>()
            + self.pending.memory()
            + self.consumers.iter().map(consumer).sum::<usize>()
    }
}

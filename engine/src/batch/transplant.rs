//! Writing a stream of another directory into this one: same entries, nodes, counters and groups.
//!
//! Unlike a copy of a stream it is not one transaction: it may be larger than any, and the
//! directory is nobody's before all of it is there.

use super::Batch;
use super::build::producers_changes;
use super::export::producers_parts;
use super::groups::Found;
use super::streams::{Addition, NodeChoice};
use crate::error::Result;
use crate::format::entry;
use crate::format::record::{Claimed, GivenBack, GroupChange, Record, StreamChange};
use crate::group::Group;
use crate::id::EntryId;
use crate::keyspace::slot_of;
use crate::limits::RECORD_IDS_MAX;
use crate::log::Growth;
use crate::stream::Stream;

/// An entry of another directory, verified.
#[derive(Clone, Copy)]
pub(crate) struct Transplanted<'a> {
    pub(crate) id: EntryId,
    pub(crate) opens_node: bool,
    pub(crate) body: &'a [u8],
}

impl Batch<'_> {
    /// Makes a stream without anything in it; its slot. The name must be free.
    pub(crate) fn begin_transplant(&mut self, db: u8, key: &[u8]) -> Result<u32> {
        let number = self.guard.state.keyspace.free_number();
        let created = Record::Stream {
            stream: number,
            change: StreamChange::Created { db, key },
        };
        self.admit(created.len_max(), Growth::Grows)?;
        self.commit(&created);
        self.end_command();
        Ok(slot_of(number))
    }

    /// Adds the next entry.
    pub(crate) fn transplant_entry(&mut self, slot: u32, entry: Transplanted<'_>) -> Result<()> {
        let Transplanted {
            id,
            opens_node,
            body,
        } = entry;
        let len_max = entry::record_len_max(body.len());
        self.admit(len_max, Growth::Grows)?;
        let put = |out: &mut Vec<u8>, head| entry::put_encoded(out, head, body);
        let node = if opens_node {
            NodeChoice::Starts
        } else {
            NodeChoice::GoesOn
        };
        let addition = Addition { slot, id, node };
        self.append_entry(addition, put, len_max);
        self.end_command();
        Ok(())
    }

    /// Gives the stream all that `from` has beside entries. Nothing above `tombstone` that was ever
    /// there is missing.
    pub(crate) fn transplant_rest(
        &mut self,
        slot: u32,
        from: &Stream,
        tombstone: EntryId,
    ) -> Result<()> {
        if tombstone > EntryId::MIN {
            let (count, highest) = (0, tombstone);
            let missing = StreamChange::EntriesMissing { count, highest };
            self.change(slot, missing, Growth::Grows)?;
        }
        let counters = StreamChange::CountersSet {
            last_id: from.last_id,
            entries_added: from.entries_added,
            max_deleted: from.max_deleted(),
        };
        self.change(slot, counters, Growth::Grows)?;
        if let expiry_ms @ Some(_) = from.expiry_ms() {
            self.change(slot, StreamChange::ExpirySet { expiry_ms }, Growth::Grows)?;
        }
        self.end_command();
        if let Some(producers) = from.producers().map(producers_parts) {
            for change in producers_changes(&producers) {
                self.change(slot, change, Growth::Grows)?;
                self.end_command();
            }
        }
        for (number, name, group) in from.groups() {
            self.transplant_group((slot, number), name, group)?;
        }
        Ok(())
    }

    fn transplant_group(&mut self, found: Found, name: &[u8], group: &Group) -> Result<()> {
        let created = StreamChange::GroupCreated {
            group: found.1,
            name,
            cursor: group.cursor,
            entries_read: group.entries_read,
        };
        self.change(found.0, created, Growth::Grows)?;
        for (consumer, name, from) in group.consumers.iter() {
            let created = GroupChange::ConsumerCreated {
                consumer,
                name,
                seen_ms: from.seen_ms,
            };
            self.change_group(found, created)?;
        }
        // Oldest first, so that the order of deliveries is the same.
        let held = group.pending.oldest_first();
        let mut pending = held.filter(|held| !held.is_given_back()).peekable();
        while let Some(first) = pending.next() {
            let claimed = |held: &crate::group::Pending| Claimed {
                id: held.id,
                delivered_ms: held.delivered_ms,
                delivery_count: held.delivery_count,
            };
            let mut entries = vec![claimed(first)];
            while entries.len() < RECORD_IDS_MAX
                && let Some(next) = pending.next_if(|next| next.consumer == first.consumer)
            {
                entries.push(claimed(next));
            }
            let change = GroupChange::Claimed {
                consumer: first.consumer,
                time_ms: first.delivered_ms,
                entries: entries.into(),
            };
            self.change_group(found, change)?;
        }
        let given_back = group.pending.oldest_first();
        let given_back: Vec<_> = given_back
            .filter(|held| held.is_given_back())
            .map(|held| GivenBack {
                id: held.id,
                delivery_count: held.delivery_count,
            })
            .collect();
        for entries in given_back.chunks(RECORD_IDS_MAX) {
            let entries = entries.into();
            self.change_group(found, GroupChange::GivenBack { entries })?;
        }
        for (consumer, _, from) in group.consumers.iter() {
            let seen = GroupChange::ConsumerSeen {
                consumer,
                seen_ms: from.seen_ms,
                active_ms: from.active_ms,
            };
            self.change_group(found, seen)?;
        }
        Ok(())
    }

    fn change_group(&mut self, (slot, group): Found, change: GroupChange<'_>) -> Result<()> {
        self.change(slot, StreamChange::Group { group, change }, Growth::Grows)?;
        self.end_command();
        Ok(())
    }

    /// The pending entries of each group that have no entry.
    pub(crate) fn pending_without_entry(&self, slot: u32) -> Result<Vec<(Vec<u8>, Vec<EntryId>)>> {
        let (stream, log) = (self.stream_in(slot), &self.guard.log);
        let mut all = Vec::new();
        for (_, name, group) in stream.groups() {
            let mut ids = Vec::new();
            for pending in group.pending.from(EntryId::MIN) {
                if stream.index.find(pending.id, log)?.is_none() {
                    ids.push(pending.id);
                }
            }
            if !ids.is_empty() {
                all.push((name.to_vec(), ids));
            }
        }
        Ok(all)
    }
}

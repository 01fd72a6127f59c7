//! Copying a stream: its entries are logged anew, its groups with all that is pending.
//!
//! Everything is read and verified before anything is logged, so that a copy of a damaged stream
//! fails without a trace.

use super::Batch;
use super::groups::{Found, ids_len_max, visit_len_max};
use super::streams::Addition;
use crate::error::{Error, Result};
use crate::format::entry;
use crate::format::record::{self, GroupChange, Record, StreamChange};
use crate::group::Group;
use crate::id::EntryId;
use crate::index::damaged_entry;
use crate::keyspace::slot_of;
use crate::limits::{FRAME_PAYLOAD_MAX, RECORD_IDS_MAX};
use crate::log::Growth;
use crate::lsn::Lsn;

impl Batch<'_> {
    /// Copies the stream in `slot` to a name that is free.
    pub(super) fn copy_stream(&mut self, slot: u32, db: u8, key: &[u8]) -> Result<()> {
        let number = self.guard.state.keyspace.free_number();
        let created = Record::Stream {
            stream: number,
            change: StreamChange::Created { db, key },
        };
        let len = created.len_max() + self.verified_len(slot)? + self.groups_len(slot);
        if len > FRAME_PAYLOAD_MAX {
            let (size, limit) = (len as u64, FRAME_PAYLOAD_MAX as u64);
            return Err(Error::TooLarge {
                what: "copy of a stream",
                size,
                limit,
            });
        }
        self.admit(len, Growth::Grows)?;
        self.commit(&created);
        let to = slot_of(number);
        // The copy has the same nodes, so that it is trimmed alike.
        let nodes = self.stream_in(slot).index.nodes();
        let entries = nodes.flat_map(|node| node.lsns().enumerate());
        let entries: Vec<_> = entries.map(|(at, lsn)| (at == 0, lsn)).collect();
        for (opens_node, lsn) in entries {
            self.copy_entry(to, lsn, opens_node)?;
        }
        self.copy_counters(slot, to)?;
        let groups: Vec<_> = self
            .stream_in(slot)
            .groups()
            .map(|(number, name, group)| (number, name.to_vec(), group.clone()))
            .collect();
        for (number, name, group) in groups {
            self.copy_group((to, number), &name, &group)?;
        }
        Ok(())
    }

    /// The most bytes of the records of a stream's entries, each of which is verified.
    fn verified_len(&self, slot: u32) -> Result<usize> {
        let log = &self.guard.log;
        let mut len = 0;
        for lsn in self.stream_in(slot).index.lsns() {
            let found = entry::entry(log.bytes_at(lsn)?, lsn);
            let entry = found.ok_or_else(|| damaged_entry(log, lsn))?;
            len += entry::record_len_max(entry.body.len());
        }
        Ok(len)
    }

    /// The most bytes of the records of a stream's counters and groups.
    fn groups_len(&self, slot: u32) -> usize {
        let counters = 2 * ids_len_max(1);
        let group = |(_, name, group): (u32, &[u8], &Group)| {
            let consumers = group.consumers.iter();
            let consumers = consumers.map(|(_, name, _)| visit_len_max(name) + ids_len_max(1));
            visit_len_max(name) + consumers.sum::<usize>() + ids_len_max(group.pending.len())
        };
        counters + self.stream_in(slot).groups().map(group).sum::<usize>()
    }

    fn copy_entry(&mut self, to: u32, lsn: Lsn, opens_node: bool) -> Result<()> {
        let log = &self.guard.log;
        let found = entry::entry(log.bytes_at(lsn)?, lsn);
        let entry = found.ok_or_else(|| damaged_entry(log, lsn))?;
        let (id, body) = (entry.id, entry.body.to_vec());
        let len_max = entry::record_len_max(body.len());
        let put = |out: &mut Vec<u8>, head| entry::put_encoded(out, head, &body);
        self.append_entry(
            Addition {
                slot: to,
                id,
                opens_node,
            },
            put,
            len_max,
        );
        Ok(())
    }

    fn copy_counters(&mut self, from: u32, to: u32) -> Result<()> {
        let stream = self.stream_in(from);
        let expiry_ms = stream.expiry_ms();
        let counters = StreamChange::CountersSet {
            last_id: stream.last_id,
            entries_added: stream.entries_added,
            max_deleted: stream.max_deleted(),
        };
        self.change(to, counters, Growth::Grows)?;
        if expiry_ms.is_some() {
            self.change(to, StreamChange::ExpirySet { expiry_ms }, Growth::Grows)?;
        }
        Ok(())
    }

    fn copy_group(&mut self, found: Found, name: &[u8], group: &Group) -> Result<()> {
        let Group {
            cursor,
            entries_read,
            ..
        } = *group;
        let created = StreamChange::GroupCreated {
            group: found.1,
            name,
            cursor,
            entries_read,
        };
        self.change(found.0, created, Growth::Grows)?;
        for (consumer, name, from) in group.consumers.iter() {
            let (seen_ms, active_ms) = (from.seen_ms, from.active_ms);
            let created = GroupChange::ConsumerCreated {
                consumer,
                name,
                seen_ms,
            };
            self.commit_to_group(found, created);
            let pending = group.pending.of_consumer(&from.pending, EntryId::MIN);
            let pending: Vec<_> = pending
                .map(|held| record::Claimed {
                    id: held.id,
                    delivered_ms: held.delivered_ms,
                    delivery_count: held.delivery_count,
                })
                .collect();
            for entries in pending.chunks(RECORD_IDS_MAX) {
                let (time_ms, entries) = (seen_ms, entries.into());
                self.commit_to_group(
                    found,
                    GroupChange::Claimed {
                        consumer,
                        time_ms,
                        entries,
                    },
                );
            }
            let seen = GroupChange::ConsumerSeen {
                consumer,
                seen_ms,
                active_ms,
            };
            self.commit_to_group(found, seen);
        }
        Ok(())
    }
}

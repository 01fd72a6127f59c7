//! Writing a stream of another directory into this one: same entries, nodes, counters and groups.
//!
//! Unlike a copy of a stream it is not one transaction: it may be larger than any, and the
//! directory is nobody's before all of it is there.

use super::Batch;
use super::build::{StreamParts, each_change};
use super::export::parts_of;
use super::streams::{Addition, NodeChoice};
use crate::error::Result;
use crate::format::entry;
use crate::format::record::{Record, StreamChange};
use crate::id::EntryId;
use crate::keyspace::slot_of;
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
        let node = NodeChoice::starting(opens_node);
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
        let parts = StreamParts {
            deleted_up_to: tombstone,
            ..parts_of(from)
        };
        each_change(&parts, &mut |change| {
            self.change(slot, change, Growth::Grows)?;
            self.end_command();
            Ok(())
        })
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

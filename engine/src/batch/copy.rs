//! Copying a stream: its entries are logged anew, with its groups and all that is pending.
//!
//! Everything is read and verified before anything is logged, so that a copy of a damaged stream
//! fails without a trace. A copy is one transaction, and so is bounded by what one may hold.

use super::Batch;
use super::build::{check_total, parts_len};
use super::cold::ahead_in;
use super::export::parts_of;
use super::streams::{Addition, NodeChoice};
use crate::error::Result;
use crate::format::entry;
use crate::format::record::{Record, StreamChange};
use crate::index::{NodeSize, Position};
use crate::keyspace::slot_of;
use crate::log::Growth;

impl Batch<'_> {
    /// Copies the stream in `slot` to a name that is free.
    pub(super) fn copy_stream(&mut self, slot: u32, db: u8, key: &[u8]) -> Result<()> {
        let number = self.guard.state.keyspace.free_number();
        let created = Record::Stream {
            stream: number,
            change: StreamChange::Created { db, key },
        };
        let parts = parts_of(self.stream_in(slot));
        // A node's record of missing entries is no longer than the one that makes the stream.
        let nodes = self.stream_in(slot).index.node_sizes()?;
        let len = (nodes.len() + 1) * created.len_max() + parts_len(&parts)?;
        let len = len + self.verified_len(slot)?;
        check_total(len)?;
        self.admit(len, Growth::Grows)?;
        self.commit(&created);
        let to = slot_of(number);
        // The copy has the same nodes, so that it is trimmed alike.
        let mut position = Position::START;
        for NodeSize { live, added } in nodes {
            for at in 0..live {
                let node = NodeChoice::starting(at == 0);
                self.copy_entry((slot, position), to, node)?;
                position = self.stream_in(slot).index.next(position);
            }
            if added > live {
                let (count, highest) = (added - live, parts.deleted_up_to);
                self.commit_to_stream(to, StreamChange::EntriesMissing { count, highest });
            }
        }
        self.build_parts(to, &parts);
        Ok(())
    }

    /// The most bytes of the records of a stream's entries, each of which is verified.
    fn verified_len(&self, slot: u32) -> Result<usize> {
        let (index, log) = (&self.stream_in(slot).index, &self.guard.log);
        let (mut len, mut position) = (0, Position::START);
        let record_len = |_, body: &[u8]| entry::record_len_max(body.len());
        loop {
            let read = index.read(position, log, record_len);
            let read = read.map_err(|error| ahead_in(error, index, (position, index.end())))?;
            let Some(record_len) = read else { break };
            len += record_len;
            position = index.next(position);
        }
        Ok(len)
    }

    fn copy_entry(
        &mut self,
        (from, position): (u32, Position),
        to: u32,
        node: NodeChoice,
    ) -> Result<()> {
        let (index, log) = (&self.stream_in(from).index, &self.guard.log);
        let owned = |id, body: &[u8]| (id, body.to_vec());
        let Some((id, body)) = index.read(position, log, owned)? else {
            return Ok(());
        };
        let len_max = entry::record_len_max(body.len());
        let put = |out: &mut Vec<u8>, head| entry::put_encoded(out, head, &body);
        self.append_entry(Addition { slot: to, id, node }, put, len_max);
        Ok(())
    }
}

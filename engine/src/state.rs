//! The fold over the log: what all records so far add up to.

use crate::log::Log;
use crate::{Lsn, Result};

/// What all records so far add up to.
pub(crate) struct State;

/// How far a checkpoint has come.
#[derive(Default)]
pub(crate) struct CheckpointCursor;

impl State {
    /// The state before the first record.
    pub(crate) fn new(node_entries_max: u32) -> Self {
        let _ = node_entries_max;
        Self
    }

    /// Applies the records of one transaction, in order; `lsn` is the LSN of the first byte of
    /// `payload`, which is the payload of one frame.
    pub(crate) fn replay(&mut self, payload: &[u8], lsn: Lsn, log: &mut Log) -> Result<()> {
        let _ = (payload, lsn, log);
        todo!()
    }

    /// Appends a bounded slice of the state to `out`; true when it was the last one.
    pub(crate) fn checkpoint_part(
        &mut self,
        cursor: &mut CheckpointCursor,
        out: &mut Vec<u8>,
        log_end: Lsn,
    ) -> bool {
        let _ = (cursor, out, log_end);
        todo!()
    }

    /// Takes in what [`State::checkpoint_part`] wrote; `log` learns where entries live.
    pub(crate) fn restore_part(&mut self, section: &[u8], log: &mut Log) -> Result<()> {
        let _ = (section, log);
        todo!()
    }

    /// Recovery is over.
    pub(crate) fn finish_recovery(&mut self, log: &Log) -> Result<()> {
        let _ = log;
        todo!()
    }

    /// Number of streams and of entries.
    pub(crate) fn counts(&self) -> (u64, u64) {
        todo!()
    }
}

//! What a connection has read and written, counted without a lock until a turn has it anyway.

use crate::client::Slot;
use crate::hub::Hub;

/// Bytes since they were last added to the statistics.
#[derive(Default)]
pub(crate) struct Traffic {
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
}

impl Traffic {
    /// Adds them, and begins at zero again.
    pub(crate) fn account(&mut self, hub: &mut Hub, slot: Slot) {
        let Self {
            bytes_in,
            bytes_out,
        } = std::mem::take(self);
        hub.stats.bytes_in += bytes_in;
        hub.stats.bytes_out += bytes_out;
        let client = hub.clients.at_mut(slot);
        client.bytes_in += bytes_in;
        client.bytes_out += bytes_out;
    }
}

//! Streams in the encoding of Redis's RDB files: the payloads of DUMP and RESTORE.
//!
//! ```text
//! payload   type u8, stream, version u16, CRC-64 of all before it       little-endian
//! stream    node count, per node its ID and its listpack
//!           length, last ID; from type 19 on: first ID, highest deleted ID, entries added
//!           group count, per group
//!             name, cursor; from type 19 on: entries read
//!             what is pending: ID, time of delivery, delivery count
//!             consumers: name, seen; from type 21 on: active; the IDs of what is pending for it
//!             type 27: the IDs of what was given back, which is pending for nobody
//!           from type 26 on: seconds and messages for which producers are remembered
//!             producers: name, messages: idempotent ID, entry; messages ever added, and repeated
//! ```
//!
//! A payload comes from whoever may send RESTORE, so nothing in it is believed: every length is
//! compared with what is there, every entry of a listpack is looked at, each pending entry must be
//! that of exactly one consumer, and what follows from it is checked again by the engine before
//! anything is logged. Reading takes memory in proportion to the payload, and the room for one
//! expanded node.

mod codec;
mod listpack;
mod lzf;
mod node;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub(crate) use alluvium_engine::Result;
pub(crate) use read::{Payload, Unreadable};
pub(crate) use write::{PAYLOAD_LEN_MAX, write};

use crc::{CRC_64_REDIS, Crc, Table};

static CRC: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_REDIS);

/// Bytes behind the stream: version and checksum.
const FOOTER_LEN: usize = 2 + 8;

/// The layouts of a stream, by their types.
mod layout {
    /// Redis 5.0.
    pub(super) const STREAM: u8 = 15;
    /// Redis 7.0: first ID, highest deleted ID, entries added, entries read.
    pub(super) const STREAM_2: u8 = 19;
    /// Redis 7.2: when consumers were active.
    pub(super) const STREAM_3: u8 = 21;
    /// Redis 8.6: what idempotent producers sent.
    pub(super) const STREAM_4: u8 = 26;
    /// Redis 8.8: entries that were given back.
    pub(super) const STREAM_5: u8 = 27;
}

/// The oldest and the newest version that can be written.
pub(crate) const WRITTEN_VERSIONS: (u16, u16) = (9, GIVEN_BACK_VERSION);
/// The first version with a place for entries that were given back.
pub(crate) const GIVEN_BACK_VERSION: u16 = 14;
/// The newest version of Redis's format whose payloads are known: that of Redis 8.10.
const VERSION_MAX: u16 = 15;
/// The version of Valkey's own format, from Valkey 9.0 on; its layouts end with type 21.
const VALKEY_VERSION: u16 = 80;

/// For whom an entry is pending that has no consumer yet, or was given back.
const NOBODY: u32 = u32::MAX;

//! Lists of entry IDs: each as the difference to the one before.
//!
//! ```text
//! ms  varint: zigzag difference to the ms of the ID before (0 before the first)
//! seq varint: zigzag difference to its seq if ms is the same, else the seq itself
//! ```
//!
//! Any order survives; ascending IDs of one stream take two to four bytes each.

use super::codec::take_count;
use super::varint::{self, unzigzag, zigzag};
use crate::id::EntryId;

/// Encodes a list.
#[derive(Default)]
pub(crate) struct IdWriter {
    previous: EntryId,
}

impl IdWriter {
    /// Appends the next ID.
    pub(crate) fn put(&mut self, out: &mut Vec<u8>, id: EntryId) {
        let ms = id.ms.wrapping_sub(self.previous.ms);
        varint::put(out, zigzag(ms.cast_signed()));
        if ms == 0 {
            let seq = id.seq.wrapping_sub(self.previous.seq);
            varint::put(out, zigzag(seq.cast_signed()));
        } else {
            varint::put(out, id.seq);
        }
        self.previous = id;
    }
}

/// Decodes a list.
#[derive(Default)]
pub(crate) struct IdReader {
    previous: EntryId,
}

impl IdReader {
    /// Takes the next ID off the front of `input`.
    pub(crate) fn take(&mut self, input: &mut &[u8]) -> Option<EntryId> {
        let ms = unzigzag(varint::take(input)?).cast_unsigned();
        let seq = varint::take(input)?;
        self.previous = EntryId {
            ms: self.previous.ms.wrapping_add(ms),
            seq: match ms {
                0 => self
                    .previous
                    .seq
                    .wrapping_add(unzigzag(seq).cast_unsigned()),
                _ => seq,
            },
        };
        Some(self.previous)
    }
}

/// Appends a list of IDs with its length.
pub(super) fn put_ids(out: &mut Vec<u8>, ids: &[EntryId]) {
    varint::put(out, ids.len() as u64);
    let mut writer = IdWriter::default();
    for &id in ids {
        writer.put(out, id);
    }
}

/// Takes a list of IDs off the front of `input`.
pub(super) fn take_ids(input: &mut &[u8]) -> Option<Vec<EntryId>> {
    let count = take_count(input)?;
    let mut reader = IdReader::default();
    (0..count).map(|_| reader.take(input)).collect()
}

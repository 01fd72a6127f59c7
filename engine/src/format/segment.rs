//! The header of a log segment: its place in the log and its identity.
//!
//! ```text
//!  0         8        12       16      24    32        40      44       60
//!  | magic    | version | header | first | len | identity | store | 0 [16] | crc |
//!  | [8]      | u32     | u32    | LSN   | u64 | u64      | u32   |        | u32 |
//! ```
//!
//! The header has a block of the disk for itself: once made durable it is never written again, so
//! that no torn write of a frame can take it along.

use crate::Lsn;
use crate::limits::{SEGMENT_SIZE_MAX, SEGMENT_SIZE_MIN};

/// Bytes before the first frame.
pub(crate) const HEADER_LEN: usize = 4096;
/// Bytes of the header that mean something; the rest is zero.
pub(crate) const FIELDS_LEN: usize = 64;
/// Marks a log segment.
pub(crate) const MAGIC: [u8; 8] = *b"ALLUVLOG";
/// Version of this layout.
pub(crate) const VERSION: u32 = 1;
/// Offset of the version.
pub(crate) const VERSION_AT: usize = 8;
/// Offset of the header's length.
pub(crate) const HEADER_LEN_AT: usize = 12;
/// Offset of the LSN of the file's first byte.
pub(crate) const FIRST_AT: usize = 16;
/// Offset of the segment's length.
pub(crate) const LEN_AT: usize = 24;
/// Offset of the identity.
pub(crate) const IDENTITY_AT: usize = 32;
/// Offset of the number of the data directory.
pub(crate) const STORE_AT: usize = 40;
/// Offset of the checksum of all before it.
pub(crate) const CRC_AT: usize = 60;

const _: () = assert!(CRC_AT + 4 == FIELDS_LEN && FIELDS_LEN <= HEADER_LEN);
const _: () = assert!(IDENTITY_AT + 8 == STORE_AT && STORE_AT + 4 <= CRC_AT);
const _: () = assert!(SEGMENT_SIZE_MIN > HEADER_LEN as u64);

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// LSN of the file's first byte.
    pub(crate) first: Lsn,
    /// Bytes of log that the file covers, the header included.
    pub(crate) len: u64,
    /// Random number that salts the checksums of the frames.
    pub(crate) identity: u64,
    /// Random number of the data directory, the same in all of its files.
    pub(crate) store: u32,
}

impl Header {
    /// The header's bytes.
    pub(crate) fn encode(&self) -> [u8; FIELDS_LEN] {
        let mut bytes = [0; FIELDS_LEN];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[VERSION_AT..HEADER_LEN_AT].copy_from_slice(&VERSION.to_le_bytes());
        let header_len = u32::try_from(HEADER_LEN).expect("a small constant");
        bytes[HEADER_LEN_AT..FIRST_AT].copy_from_slice(&header_len.to_le_bytes());
        bytes[FIRST_AT..LEN_AT].copy_from_slice(&self.first.0.to_le_bytes());
        bytes[LEN_AT..IDENTITY_AT].copy_from_slice(&self.len.to_le_bytes());
        bytes[IDENTITY_AT..STORE_AT].copy_from_slice(&self.identity.to_le_bytes());
        bytes[STORE_AT..STORE_AT + 4].copy_from_slice(&self.store.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a header; an error says what is wrong with it.
    pub(crate) fn decode(bytes: &[u8; FIELDS_LEN]) -> Result<Self, &'static str> {
        if bytes[..8] != MAGIC {
            return Err("expected the magic of a log segment");
        }
        if crc32fast::hash(&bytes[..CRC_AT]) != u32_at(bytes, CRC_AT) {
            return Err("the checksum of a segment header does not match");
        }
        if u32_at(bytes, VERSION_AT) != VERSION {
            return Err("a log segment of a version that this release does not know");
        }
        if u32_at(bytes, HEADER_LEN_AT) as usize != HEADER_LEN {
            return Err("a segment header of an unexpected length");
        }
        let header = Self {
            first: Lsn(u64_at(bytes, FIRST_AT)),
            len: u64_at(bytes, LEN_AT),
            identity: u64_at(bytes, IDENTITY_AT),
            store: u32_at(bytes, STORE_AT),
        };
        if !(SEGMENT_SIZE_MIN..=SEGMENT_SIZE_MAX).contains(&header.len)
            || header.first.0.checked_add(header.len).is_none()
        {
            return Err("the length of a log segment is over its limit");
        }
        Ok(header)
    }
}

fn u32_at(bytes: &[u8; FIELDS_LEN], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8; FIELDS_LEN], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_survives_and_every_flipped_bit_is_found() {
        let header = Header {
            first: Lsn(1 << 40),
            len: 64 << 20,
            identity: 0xfeed,
            store: 0xbead,
        };
        let bytes = header.encode();
        assert_eq!(Header::decode(&bytes), Ok(header));
        for bit in 0..FIELDS_LEN * 8 {
            let mut bytes = bytes;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::decode(&bytes).is_err());
        }
        assert!(Header::decode(&[0; FIELDS_LEN]).is_err());
    }
}

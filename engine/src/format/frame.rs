//! The frame: a checksummed envelope around the records of one transaction.
//!
//! ```text
//!  0        4             8       9       10         12            16
//!  | crc u32 | payload u32 | magic | flags | zero u16 | lag u32     | payload ... | zeros to 8 |
//! ```
//!
//! A frame is valid if and only if its magic, its length and its checksum are; the checksum covers
//! all behind it and is salted with the identity of the segment and the frame's LSN, so that bytes
//! of another life of the file, or of another place, never verify. All-zero bytes are no frame.

use crate::Lsn;
use crate::limits::FRAME_PAYLOAD_MAX;

/// Frames start at multiples of this.
pub(crate) const ALIGN: usize = 8;
/// Length of a frame's header in bytes.
pub(crate) const HEADER_LEN: usize = 16;
/// Offset of the payload's length.
pub(crate) const PAYLOAD_LEN_AT: usize = 4;
/// Offset of the magic byte.
pub(crate) const MAGIC_AT: usize = PAYLOAD_LEN_AT + 4;
/// Offset of the flags.
pub(crate) const FLAGS_AT: usize = MAGIC_AT + 1;
/// Offset of the two zero bytes.
pub(crate) const ZERO_AT: usize = FLAGS_AT + 1;
/// Offset of the durable lag.
pub(crate) const LAG_AT: usize = ZERO_AT + 2;
/// Marks a frame, and its version.
pub(crate) const MAGIC: u8 = 0xA1;

/// The transaction goes on in the next frame.
pub(crate) const CONTINUES: u8 = 1;
/// The segment is sealed: the log goes on at the start of the next one. No payload.
pub(crate) const SEALS: u8 = 2;
/// The transaction that the frames before have begun never happened. No payload.
pub(crate) const VOIDS: u8 = 4;
/// The transaction was begun in a frame before: without that one, this one means nothing.
pub(crate) const RESUMES: u8 = 8;
/// All flags that there are.
pub(crate) const FLAGS: u8 = CONTINUES | SEALS | VOIDS | RESUMES;

const _: () = assert!(HEADER_LEN == LAG_AT + 4);
const _: () = assert!(HEADER_LEN.is_multiple_of(ALIGN));
const _: () = assert!(FRAME_PAYLOAD_MAX <= u32::MAX as usize);

/// Space that a payload takes as a frame.
pub(crate) const fn space(payload_len: usize) -> usize {
    (HEADER_LEN + payload_len).next_multiple_of(ALIGN)
}

/// Fills in the header of a frame whose payload is in place; `durable` is what is known to be
/// durable by now.
pub(crate) fn finish(frame: &mut [u8], identity: u64, lsn: Lsn, flags: u8, durable: Lsn) {
    let payload_len = frame.len() - HEADER_LEN;
    let payload_len = u32::try_from(payload_len).expect("payloads are below FRAME_PAYLOAD_MAX");
    let lag = u32::try_from(lsn.since(durable) / ALIGN as u64).unwrap_or(u32::MAX);
    frame[PAYLOAD_LEN_AT..MAGIC_AT].copy_from_slice(&payload_len.to_le_bytes());
    frame[MAGIC_AT] = MAGIC;
    frame[FLAGS_AT] = flags;
    frame[ZERO_AT..LAG_AT].fill(0);
    frame[LAG_AT..HEADER_LEN].copy_from_slice(&lag.to_le_bytes());
    let crc = checksum(&frame[PAYLOAD_LEN_AT..], identity, lsn);
    frame[..PAYLOAD_LEN_AT].copy_from_slice(&crc.to_le_bytes());
}

/// What there is at a position of the log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found<'a> {
    /// A valid frame.
    Frame(Frame<'a>),
    /// A header of zeros: nothing was written here.
    Nothing,
    /// Bytes that are no valid frame; why not.
    Bad(&'static str),
}

/// A valid frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) flags: u8,
    pub(crate) payload: &'a [u8],
    /// What was durable when the frame was formed, as far as the frame can tell.
    pub(crate) durable: Lsn,
}

impl Frame<'_> {
    /// Space that the frame takes.
    pub(crate) fn space(&self) -> usize {
        space(self.payload.len())
    }

    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Looks at what begins at `lsn`; `bytes` reach from there to the end of the segment.
pub(crate) fn decode(bytes: &[u8], identity: u64, lsn: Lsn) -> Found<'_> {
    let Some((header, rest)) = bytes.split_at_checked(HEADER_LEN) else {
        return if bytes.iter().all(|&byte| byte == 0) {
            Found::Nothing
        } else {
            Found::Bad("expected a frame, found the end of the segment")
        };
    };
    if header.iter().all(|&byte| byte == 0) {
        return Found::Nothing;
    }
    if header[MAGIC_AT] != MAGIC || header[FLAGS_AT] & !FLAGS != 0 {
        return Found::Bad("expected the magic of a frame");
    }
    let payload_len = u32_at(header, PAYLOAD_LEN_AT) as usize;
    if payload_len > FRAME_PAYLOAD_MAX || payload_len > rest.len() {
        return Found::Bad("the length of a frame is over its limit");
    }
    let crc = checksum(
        &bytes[PAYLOAD_LEN_AT..HEADER_LEN + payload_len],
        identity,
        lsn,
    );
    if crc != u32_at(header, 0) {
        return Found::Bad("the checksum of a frame does not match");
    }
    let lag = u32_at(header, LAG_AT);
    let durable = match lag {
        u32::MAX => 0,
        lag => lsn.0.saturating_sub(u64::from(lag) * ALIGN as u64),
    };
    Found::Frame(Frame {
        flags: header[FLAGS_AT],
        payload: &rest[..payload_len],
        durable: Lsn(durable),
    })
}

/// Bytes that the frame with this header takes, if it is one; its length is not to be believed.
pub(crate) fn space_of(header: &[u8]) -> usize {
    space((u32_at(header, PAYLOAD_LEN_AT) as usize).min(FRAME_PAYLOAD_MAX))
}

/// CRC-32 (IEEE) that starts from a mix of the segment's identity and the LSN. CRCs that start
/// differently differ over the same bytes, so a frame verifies at its own place only.
fn checksum(bytes: &[u8], identity: u64, lsn: Lsn) -> u32 {
    const ODD: u64 = 0x9E37_79B9_7F4A_7C15;
    let mixed = (identity ^ lsn.0.wrapping_mul(ODD)).wrapping_mul(ODD) >> 32;
    let mut hasher = crc32fast::Hasher::new_with_initial((mixed & 0xffff_ffff) as u32);
    hasher.update(bytes);
    hasher.finalize()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let bytes = bytes[at..at + 4].try_into().expect("four bytes");
    u32::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(payload: &[u8], identity: u64, lsn: Lsn, durable: Lsn) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_LEN];
        bytes.extend_from_slice(payload);
        finish(&mut bytes, identity, lsn, CONTINUES, durable);
        bytes.resize(space(payload.len()), 0);
        bytes
    }

    #[test]
    fn a_frame_tells_its_payload_and_what_was_durable() {
        let bytes = frame(b"record", 7, Lsn(4096), Lsn(4000));
        let Found::Frame(found) = decode(&bytes, 7, Lsn(4096)) else {
            panic!("expected a frame");
        };
        assert_eq!(found.payload, b"record");
        assert_eq!(found.durable, Lsn(4000));
        assert_eq!(found.space(), bytes.len());
        assert!(found.has(CONTINUES) && !found.has(SEALS));
    }

    #[test]
    fn a_frame_verifies_in_its_own_segment_and_place_only() {
        let bytes = frame(b"record", 7, Lsn(4096), Lsn(0));
        assert!(matches!(decode(&bytes, 8, Lsn(4096)), Found::Bad(_)));
        assert!(matches!(decode(&bytes, 7, Lsn(4104)), Found::Bad(_)));
    }

    #[test]
    fn every_flipped_bit_is_found_and_zeros_are_nothing() {
        let bytes = frame(b"records", 1, Lsn(64), Lsn(8));
        for bit in 0..(HEADER_LEN + 7) * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(!matches!(decode(&bytes, 1, Lsn(64)), Found::Frame(_)));
        }
        for cut in 0..HEADER_LEN + 7 {
            assert!(!matches!(
                decode(&bytes[..cut], 1, Lsn(64)),
                Found::Frame(_)
            ));
        }
        assert_eq!(decode(&[0; 64], 1, Lsn(64)), Found::Nothing);
    }
}

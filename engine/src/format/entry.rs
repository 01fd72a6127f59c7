//! The record of an entry: the only record that is read again and again, at its place in the log.
//!
//! ```text
//!  0 kind u8 = 1
//!  1 flags u8            bit 0: the entry starts a logical node
//!  2 head check u16      low half of the CRC-32 of LSN, kind, flags and 8..body
//!  4 crc u32             CRC-32 of LSN, kind, flags and all from 8 on
//!  8 ms u64
//! 16 seq u64
//! 24 stream varint
//!    body length varint
//!    body: pair count varint, then for each field and value: length varint, bytes
//! ```
//!
//! Frames are verified in recovery only; an entry carries its own checksum, which is verified on
//! every read, so that bytes that rot on disk become an error and never a wrong answer. It is
//! salted with the place of the entry: one that a disk wrote to a wrong place does not verify. A
//! search by ID looks at heads only, whatever the size of the bodies: the head check covers those.

use super::codec::take_bytes;
use super::varint;
use crate::Lsn;
use crate::id::EntryId;

/// The first byte of the record.
pub(crate) const KIND: u8 = 1;
const FLAG_STARTS_NODE: u8 = 1;

const CHECK_AT: usize = 2;
const CRC_AT: usize = 4;
const MS_AT: usize = 8;
const SEQ_AT: usize = 16;
const STREAM_AT: usize = 24;

const _: () = assert!(CHECK_AT + 2 == CRC_AT && CRC_AT + 4 == MS_AT);
const _: () = assert!(MS_AT + 8 == SEQ_AT && SEQ_AT + 8 == STREAM_AT);

/// What is in front of an entry's fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) stream: u64,
    pub(crate) id: EntryId,
    pub(crate) starts_node: bool,
    /// Where the body begins and how long it is.
    body_at: usize,
    body_len: usize,
}

impl Head {
    /// Length of the whole record.
    pub(crate) fn record_len(&self) -> usize {
        self.body_at + self.body_len
    }
}

/// An entry whose checksum and structure are verified.
#[derive(Clone, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) id: EntryId,
    pub(crate) body: &'a [u8],
}

/// Length of the body that holds `fields`.
pub(crate) fn body_len(fields: &[&[u8]]) -> usize {
    let count = varint::len((fields.len() / 2) as u64);
    let bytes = |field: &&[u8]| varint::len(field.len() as u64) + field.len();
    count + fields.iter().map(bytes).sum::<usize>()
}

/// The most bytes that a record with a body of `body_len` bytes takes.
pub(crate) fn record_len_max(body_len: usize) -> usize {
    STREAM_AT + 2 * varint::VARINT_LEN_MAX + body_len
}

/// Appends an entry of `fields` (field, value, field, value, ...), whose body takes `body_len`
/// bytes.
pub(crate) fn put(out: &mut Vec<u8>, head: NewEntry, body_len: usize, fields: &[&[u8]]) {
    let start = put_head(out, head, body_len);
    let body_at = out.len();
    varint::put(out, (fields.len() / 2) as u64);
    for field in fields {
        varint::put(out, field.len() as u64);
        out.extend_from_slice(field);
    }
    debug_assert_eq!(out.len() - body_at, body_len, "the length was announced");
    seal(&mut out[start..], head.lsn, body_at - start);
}

/// Appends an entry whose body is encoded already.
pub(crate) fn put_encoded(out: &mut Vec<u8>, head: NewEntry, body: &[u8]) {
    let start = put_head(out, head, body.len());
    let body_at = out.len();
    out.extend_from_slice(body);
    seal(&mut out[start..], head.lsn, body_at - start);
}

/// What a new entry's head says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewEntry {
    /// Where it lies.
    pub(crate) lsn: Lsn,
    pub(crate) stream: u64,
    pub(crate) id: EntryId,
    pub(crate) starts_node: bool,
}

fn put_head(out: &mut Vec<u8>, head: NewEntry, body_len: usize) -> usize {
    let start = out.len();
    let mut fixed = [0u8; STREAM_AT];
    fixed[0] = KIND;
    fixed[1] = if head.starts_node {
        FLAG_STARTS_NODE
    } else {
        0
    };
    fixed[MS_AT..SEQ_AT].copy_from_slice(&head.id.ms.to_le_bytes());
    fixed[SEQ_AT..STREAM_AT].copy_from_slice(&head.id.seq.to_le_bytes());
    out.extend_from_slice(&fixed);
    varint::put(out, head.stream);
    varint::put(out, body_len as u64);
    start
}

fn seal(record: &mut [u8], lsn: Lsn, body_at: usize) {
    let (check, crc) = checksums(record, lsn, body_at);
    record[CHECK_AT..CRC_AT].copy_from_slice(&check.to_le_bytes());
    record[CRC_AT..MS_AT].copy_from_slice(&crc.to_le_bytes());
}

/// A hasher that has seen the place of a record, and the record up to `end`.
fn hasher(record: &[u8], lsn: Lsn, end: usize) -> crc32fast::Hasher {
    // Kind, flags and place go in as the initial value: less work than hashing ten bytes.
    let initial = u32::from_le_bytes([record[0], record[1], 0x5a, 0xa5]);
    let mut hasher = crc32fast::Hasher::new_with_initial(initial ^ mixed(lsn));
    hasher.update(&record[MS_AT..end]);
    hasher
}

/// Differs from place to place in all of its bits.
fn mixed(lsn: Lsn) -> u32 {
    const ODD: u64 = 0x9E37_79B9_7F4A_7C15;
    (lsn.0.wrapping_mul(ODD) >> 32 & 0xffff_ffff) as u32
}

fn checksums(record: &[u8], lsn: Lsn, body_at: usize) -> (u16, u32) {
    let mut hasher = hasher(record, lsn, body_at);
    let check = low_half(hasher.clone().finalize());
    hasher.update(&record[body_at..]);
    (check, hasher.finalize())
}

fn low_half(crc: u32) -> u16 {
    let [low, high, ..] = crc.to_le_bytes();
    u16::from_le_bytes([low, high])
}

/// Reads the head of the entry at the front of `bytes`, which lie at `lsn`; `None` if it is not
/// one, or damaged.
pub(crate) fn head(bytes: &[u8], lsn: Lsn) -> Option<Head> {
    let head = unverified_head(bytes)?;
    let check = u16::from_le_bytes([bytes[CHECK_AT], bytes[CHECK_AT + 1]]);
    (low_half(hasher(bytes, lsn, head.body_at).finalize()) == check).then_some(head)
}

/// Reads the entry at the front of `bytes`, which lie at `lsn`; `None` if it is not one, or
/// damaged.
pub(crate) fn entry(bytes: &[u8], lsn: Lsn) -> Option<Entry<'_>> {
    let head = unverified_head(bytes)?;
    let record = &bytes[..head.record_len()];
    let crc = u32::from_le_bytes(record[CRC_AT..MS_AT].try_into().ok()?);
    let found = hasher(record, lsn, record.len()).finalize();
    let body = &record[head.body_at..];
    (found == crc && is_well_formed(body)).then_some(Entry { id: head.id, body })
}

/// Like [`head`], for bytes that something else vouches for.
pub(crate) fn unverified_head(bytes: &[u8]) -> Option<Head> {
    let (fixed, mut rest) = bytes.split_at_checked(STREAM_AT)?;
    if fixed[0] != KIND || fixed[1] & !FLAG_STARTS_NODE != 0 {
        return None;
    }
    let ms = u64::from_le_bytes(fixed[MS_AT..SEQ_AT].try_into().ok()?);
    let seq = u64::from_le_bytes(fixed[SEQ_AT..STREAM_AT].try_into().ok()?);
    let stream = varint::take(&mut rest)?;
    let body_len = usize::try_from(varint::take(&mut rest)?).ok()?;
    (body_len <= rest.len()).then_some(Head {
        stream,
        id: EntryId::new(ms, seq),
        starts_node: fixed[1] & FLAG_STARTS_NODE != 0,
        body_at: bytes.len() - rest.len(),
        body_len,
    })
}

/// Whether the body is exactly the pairs that its count announces.
pub(crate) fn is_well_formed(mut body: &[u8]) -> bool {
    let Some(pairs) = varint::take(&mut body) else {
        return false;
    };
    let Some(fields) = pairs
        .checked_mul(2)
        .filter(|&count| count <= body.len() as u64)
    else {
        return false;
    };
    (0..fields).all(|_| take_bytes(&mut body).is_some()) && body.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LSN: Lsn = Lsn(4096);

    fn sample() -> Vec<u8> {
        let fields: [&[u8]; 4] = [b"user", b"jake", b"empty", b""];
        let mut out = vec![0xee; 3];
        let head = NewEntry {
            lsn: LSN,
            stream: 300,
            id: EntryId::new(7, 9),
            starts_node: true,
        };
        put(&mut out, head, body_len(&fields), &fields);
        out.split_off(3)
    }

    #[test]
    fn an_entry_survives_encoding() {
        let bytes = sample();
        let head = head(&bytes, LSN).unwrap();
        assert_eq!(
            (head.stream, head.id, head.starts_node),
            (300, EntryId::new(7, 9), true)
        );
        assert_eq!(head.record_len(), bytes.len());
        assert!(bytes.len() <= record_len_max(head.body_len));
        let entry = entry(&bytes, LSN).unwrap();
        let mut copy = Vec::new();
        let new = NewEntry {
            lsn: LSN,
            stream: 300,
            id: entry.id,
            starts_node: true,
        };
        put_encoded(&mut copy, new, entry.body);
        assert_eq!(copy, bytes);
    }

    #[test]
    fn no_changed_byte_goes_unnoticed() {
        let good = sample();
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                // A change of the check itself is seen by who reads the head only.
                if (CHECK_AT..CRC_AT).contains(&at) {
                    assert!(head(&bad, LSN).is_none());
                } else {
                    assert!(entry(&bad, LSN).is_none(), "byte {at} bit {bit}");
                }
                if !(CRC_AT..MS_AT).contains(&at) && at < STREAM_AT + 3 {
                    assert!(head(&bad, LSN).is_none(), "byte {at} bit {bit}");
                }
            }
        }
    }

    #[test]
    fn an_entry_verifies_in_its_own_place_only() {
        let bytes = sample();
        for lsn in [0, 1, 4095, 4097, 8192, 1 << 32, 4096 << 32, u64::MAX] {
            assert!(entry(&bytes, Lsn(lsn)).is_none());
            assert!(head(&bytes, Lsn(lsn)).is_none());
        }
        assert!(entry(&bytes, LSN).is_some());
    }

    #[test]
    fn cut_and_zero_bytes_are_refused() {
        let good = sample();
        for len in 0..good.len() {
            assert!(entry(&good[..len], LSN).is_none());
        }
        assert!(entry(&[0; 256], LSN).is_none() && head(&[0; 256], LSN).is_none());
    }
}

//! The small parts that records are made of: names, IDs, options, counts.
//!
//! Every length and count that is read is compared with its limit, and with what is there, before
//! anything is reserved for it.

use super::varint;
use crate::id::EntryId;
use crate::limits::RECORD_IDS_MAX;

pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    varint::put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub(super) fn take_name<'a>(input: &mut &'a [u8], len_max: usize) -> Option<&'a [u8]> {
    take_bytes(input).filter(|name| name.len() <= len_max)
}

pub(super) fn put_id(out: &mut Vec<u8>, id: EntryId) {
    varint::put(out, id.ms);
    varint::put(out, id.seq);
}

pub(super) fn take_id(input: &mut &[u8]) -> Option<EntryId> {
    Some(EntryId::new(varint::take(input)?, varint::take(input)?))
}

pub(super) fn put_option(out: &mut Vec<u8>, value: Option<u64>) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        varint::put(out, value);
    }
}

// The outer option is "malformed", as in all of these.
#[expect(
    clippy::option_option,
    reason = "malformed and absent are different things"
)]
pub(super) fn take_option(input: &mut &[u8]) -> Option<Option<u64>> {
    match take_u8(input)? {
        0 => Some(None),
        1 => Some(Some(varint::take(input)?)),
        _ => None,
    }
}

pub(super) fn take_u8(input: &mut &[u8]) -> Option<u8> {
    let (&byte, rest) = input.split_first()?;
    *input = rest;
    Some(byte)
}

pub(super) fn take_u32(input: &mut &[u8]) -> Option<u32> {
    u32::try_from(varint::take(input)?).ok()
}

pub(super) fn take_count(input: &mut &[u8]) -> Option<usize> {
    let count = usize::try_from(varint::take(input)?).ok()?;
    // Each item takes at least two bytes: nothing is reserved for items that cannot be there.
    (count <= RECORD_IDS_MAX && count <= input.len() / 2).then_some(count)
}

/// Takes a length and that many bytes off the front of `input`.
pub(crate) fn take_bytes<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(varint::take(input)?).ok()?;
    let (bytes, rest) = input.split_at_checked(len)?;
    *input = rest;
    Some(bytes)
}

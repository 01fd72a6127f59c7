//! Everything that can happen, as records: outcomes, never requests.
//!
//! A record says what came of a command: the ID that was given, the time that was taken, the entries
//! that were delivered. So replay needs no clock, no choice and no look at older bytes of the log.
//!
//! ```text
//! kind u8, then by kind, all numbers varints unless said otherwise:
//!   database records      numbers of databases
//!   stream records        stream, ...
//!   group records         stream, group, ...
//! ```
//!
//! Streams, groups and consumers are numbers here; their names appear once, when they are made. An
//! entry's record has a layout of its own, see [`entry`](super::entry). Kind 0 does not exist.

use std::borrow::Cow;

use super::entry::{self, take_bytes};
use super::ids::{IdReader, IdWriter};
use super::varint;
use crate::Lsn;
use crate::id::EntryId;
use crate::limits::{KEY_LEN_MAX, NAME_LEN_MAX, RECORD_IDS_MAX};

/// One mutation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record<'a> {
    /// Two databases were exchanged; logical numbers.
    DatabasesSwapped { a: u8, b: u8 },
    /// All streams of a database were removed; its physical number.
    DatabaseFlushed { db: u8 },
    /// Something happened to a stream.
    Stream {
        stream: u64,
        change: StreamChange<'a>,
    },
}

/// What happened to a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StreamChange<'a> {
    /// It was made.
    Created { db: u8, key: &'a [u8] },
    /// It was removed with all that it had.
    Removed,
    /// It got another name.
    Moved { db: u8, key: &'a [u8] },
    /// Its expiry was set or cleared.
    ExpirySet { expiry_ms: Option<u64> },
    /// An entry was added.
    EntryAdded { id: EntryId, starts_node: bool },
    /// `count` entries at the head were removed; `first` is now the first, `0-0` if there is none.
    Trimmed { count: u64, first: EntryId },
    /// Entries were removed one by one.
    EntriesDeleted {
        max_deleted: EntryId,
        first: EntryId,
        entries: Cow<'a, [(EntryId, Lsn)]>,
    },
    /// Counters were set by hand.
    CountersSet {
        last_id: EntryId,
        entries_added: u64,
        max_deleted: EntryId,
    },
    /// A group was made.
    GroupCreated {
        group: u32,
        name: &'a [u8],
        cursor: EntryId,
        entries_read: Option<u64>,
    },
    /// A group was removed with all that it had.
    GroupRemoved { group: u32 },
    /// Something happened to a group.
    Group { group: u32, change: GroupChange<'a> },
}

/// What happened to a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GroupChange<'a> {
    /// Its cursor was moved.
    CursorSet {
        cursor: EntryId,
        entries_read: Option<u64>,
    },
    /// A consumer was made.
    ConsumerCreated {
        consumer: u32,
        name: &'a [u8],
        seen_ms: u64,
    },
    /// A consumer was removed with all that was pending for it.
    ConsumerRemoved { consumer: u32 },
    /// A consumer asked for something, and maybe got it.
    ConsumerSeen {
        consumer: u32,
        seen_ms: u64,
        active_ms: Option<u64>,
    },
    /// New entries were delivered and are pending; the cursor is at the last one.
    Delivered {
        consumer: u32,
        time_ms: u64,
        entries_read: Option<u64>,
        ids: Cow<'a, [EntryId]>,
    },
    /// Pending entries were delivered once more to the same consumer.
    Redelivered {
        consumer: u32,
        time_ms: u64,
        ids: Cow<'a, [EntryId]>,
    },
    /// Entries are no longer pending.
    Acked { ids: Cow<'a, [EntryId]> },
    /// Entries are now pending for this consumer.
    Claimed {
        consumer: u32,
        time_ms: u64,
        entries: Cow<'a, [Claimed]>,
    },
}

/// A pending entry as a claim leaves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claimed {
    pub(crate) id: EntryId,
    pub(crate) delivered_ms: u64,
    pub(crate) delivery_count: u64,
}

const DATABASES_SWAPPED: u8 = 2;
const DATABASE_FLUSHED: u8 = 3;
const CREATED: u8 = 4;
const REMOVED: u8 = 5;
const MOVED: u8 = 6;
const EXPIRY_SET: u8 = 7;
const TRIMMED: u8 = 8;
const ENTRIES_DELETED: u8 = 9;
const COUNTERS_SET: u8 = 10;
const GROUP_CREATED: u8 = 11;
const GROUP_REMOVED: u8 = 12;
const CURSOR_SET: u8 = 13;
const CONSUMER_CREATED: u8 = 14;
const CONSUMER_REMOVED: u8 = 15;
const CONSUMER_SEEN: u8 = 16;
const DELIVERED: u8 = 17;
const REDELIVERED: u8 = 18;
const ACKED: u8 = 19;
const CLAIMED: u8 = 20;
/// The highest kind that there is.
#[cfg(test)]
pub(crate) const KIND_MAX: u8 = CLAIMED;

/// The most bytes that a record takes beside its name and lists.
const FIXED_LEN_MAX: usize = 1 + 10 * varint::VARINT_LEN_MAX;
/// The most bytes of one ID in a list, with what belongs to it.
const LISTED_LEN_MAX: usize = 4 * varint::VARINT_LEN_MAX;

impl Record<'_> {
    /// The most bytes that this record takes; entries are not encoded here.
    pub(crate) fn len_max(&self) -> usize {
        let Record::Stream { change, .. } = self else {
            return FIXED_LEN_MAX;
        };
        let variable = match change {
            StreamChange::Created { key, .. } | StreamChange::Moved { key, .. } => key.len(),
            StreamChange::EntriesDeleted { entries, .. } => entries.len() * LISTED_LEN_MAX,
            StreamChange::GroupCreated { name, .. } => name.len(),
            StreamChange::Group { change, .. } => change.variable_len_max(),
            _ => 0,
        };
        FIXED_LEN_MAX + variable
    }

    /// Appends the record.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        match self {
            Record::DatabasesSwapped { a, b } => {
                out.extend_from_slice(&[DATABASES_SWAPPED, *a, *b])
            }
            Record::DatabaseFlushed { db } => out.extend_from_slice(&[DATABASE_FLUSHED, *db]),
            Record::Stream { stream, change } => change.put(out, *stream),
        }
    }
}

impl<'a> Record<'a> {
    /// Takes a record off the front of `input`; `None` if it is cut, malformed or unknown.
    pub(crate) fn take(input: &mut &'a [u8]) -> Option<Self> {
        let (&kind, mut rest) = input.split_first()?;
        if kind == entry::KIND {
            let head = entry::head(input)?;
            *input = &input[head.record_len()..];
            let change = StreamChange::EntryAdded {
                id: head.id,
                starts_node: head.starts_node,
            };
            return Some(Record::Stream {
                stream: head.stream,
                change,
            });
        }
        let record = match kind {
            DATABASES_SWAPPED => Record::DatabasesSwapped {
                a: take_u8(&mut rest)?,
                b: take_u8(&mut rest)?,
            },
            DATABASE_FLUSHED => Record::DatabaseFlushed {
                db: take_u8(&mut rest)?,
            },
            _ => {
                let stream = varint::take(&mut rest)?;
                Record::Stream {
                    stream,
                    change: StreamChange::take(kind, &mut rest)?,
                }
            }
        };
        *input = rest;
        Some(record)
    }
}

impl StreamChange<'_> {
    fn kind(&self) -> u8 {
        match self {
            Self::Created { .. } => CREATED,
            Self::Removed => REMOVED,
            Self::Moved { .. } => MOVED,
            Self::ExpirySet { .. } => EXPIRY_SET,
            Self::EntryAdded { .. } => entry::KIND,
            Self::Trimmed { .. } => TRIMMED,
            Self::EntriesDeleted { .. } => ENTRIES_DELETED,
            Self::CountersSet { .. } => COUNTERS_SET,
            Self::GroupCreated { .. } => GROUP_CREATED,
            Self::GroupRemoved { .. } => GROUP_REMOVED,
            Self::Group { change, .. } => change.kind(),
        }
    }

    fn put(&self, out: &mut Vec<u8>, stream: u64) {
        out.push(self.kind());
        varint::put(out, stream);
        match self {
            Self::Removed => {}
            Self::EntryAdded { .. } => unreachable!("entries are encoded with their fields"),
            Self::Created { db, key } | Self::Moved { db, key } => {
                out.push(*db);
                put_bytes(out, key);
            }
            Self::ExpirySet { expiry_ms } => put_option(out, *expiry_ms),
            Self::Trimmed { count, first } => {
                varint::put(out, *count);
                put_id(out, *first);
            }
            Self::EntriesDeleted {
                max_deleted,
                first,
                entries,
            } => {
                put_id(out, *max_deleted);
                put_id(out, *first);
                put_deleted(out, entries);
            }
            Self::CountersSet {
                last_id,
                entries_added,
                max_deleted,
            } => {
                put_id(out, *last_id);
                varint::put(out, *entries_added);
                put_id(out, *max_deleted);
            }
            Self::GroupCreated {
                group,
                name,
                cursor,
                entries_read,
            } => {
                varint::put(out, u64::from(*group));
                put_bytes(out, name);
                put_id(out, *cursor);
                put_option(out, *entries_read);
            }
            Self::GroupRemoved { group } => varint::put(out, u64::from(*group)),
            Self::Group { group, change } => {
                varint::put(out, u64::from(*group));
                change.put(out);
            }
        }
    }
}

impl<'a> StreamChange<'a> {
    fn take(kind: u8, input: &mut &'a [u8]) -> Option<Self> {
        Some(match kind {
            CREATED => Self::Created {
                db: take_u8(input)?,
                key: take_name(input, KEY_LEN_MAX)?,
            },
            REMOVED => Self::Removed,
            MOVED => Self::Moved {
                db: take_u8(input)?,
                key: take_name(input, KEY_LEN_MAX)?,
            },
            EXPIRY_SET => Self::ExpirySet {
                expiry_ms: take_option(input)?,
            },
            TRIMMED => Self::Trimmed {
                count: varint::take(input)?,
                first: take_id(input)?,
            },
            ENTRIES_DELETED => Self::EntriesDeleted {
                max_deleted: take_id(input)?,
                first: take_id(input)?,
                entries: take_deleted(input)?.into(),
            },
            COUNTERS_SET => Self::CountersSet {
                last_id: take_id(input)?,
                entries_added: varint::take(input)?,
                max_deleted: take_id(input)?,
            },
            GROUP_CREATED => Self::GroupCreated {
                group: take_u32(input)?,
                name: take_name(input, NAME_LEN_MAX)?,
                cursor: take_id(input)?,
                entries_read: take_option(input)?,
            },
            GROUP_REMOVED => Self::GroupRemoved {
                group: take_u32(input)?,
            },
            _ => {
                let group = take_u32(input)?;
                Self::Group {
                    group,
                    change: GroupChange::take(kind, input)?,
                }
            }
        })
    }
}

impl GroupChange<'_> {
    fn variable_len_max(&self) -> usize {
        match self {
            Self::ConsumerCreated { name, .. } => name.len(),
            Self::Delivered { ids, .. } | Self::Redelivered { ids, .. } | Self::Acked { ids } => {
                ids.len() * LISTED_LEN_MAX
            }
            Self::Claimed { entries, .. } => entries.len() * LISTED_LEN_MAX,
            _ => 0,
        }
    }

    fn kind(&self) -> u8 {
        match self {
            Self::CursorSet { .. } => CURSOR_SET,
            Self::ConsumerCreated { .. } => CONSUMER_CREATED,
            Self::ConsumerRemoved { .. } => CONSUMER_REMOVED,
            Self::ConsumerSeen { .. } => CONSUMER_SEEN,
            Self::Delivered { .. } => DELIVERED,
            Self::Redelivered { .. } => REDELIVERED,
            Self::Acked { .. } => ACKED,
            Self::Claimed { .. } => CLAIMED,
        }
    }

    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::CursorSet {
                cursor,
                entries_read,
            } => {
                put_id(out, *cursor);
                put_option(out, *entries_read);
            }
            Self::ConsumerCreated {
                consumer,
                name,
                seen_ms,
            } => {
                varint::put(out, u64::from(*consumer));
                put_bytes(out, name);
                varint::put(out, *seen_ms);
            }
            Self::ConsumerRemoved { consumer } => varint::put(out, u64::from(*consumer)),
            Self::ConsumerSeen {
                consumer,
                seen_ms,
                active_ms,
            } => {
                varint::put(out, u64::from(*consumer));
                varint::put(out, *seen_ms);
                put_option(out, *active_ms);
            }
            Self::Delivered {
                consumer,
                time_ms,
                entries_read,
                ids,
            } => {
                varint::put(out, u64::from(*consumer));
                varint::put(out, *time_ms);
                put_option(out, *entries_read);
                put_ids(out, ids);
            }
            Self::Redelivered {
                consumer,
                time_ms,
                ids,
            } => {
                varint::put(out, u64::from(*consumer));
                varint::put(out, *time_ms);
                put_ids(out, ids);
            }
            Self::Acked { ids } => put_ids(out, ids),
            Self::Claimed {
                consumer,
                time_ms,
                entries,
            } => {
                varint::put(out, u64::from(*consumer));
                varint::put(out, *time_ms);
                put_claimed(out, *time_ms, entries);
            }
        }
    }
}

impl<'a> GroupChange<'a> {
    fn take(kind: u8, input: &mut &'a [u8]) -> Option<Self> {
        Some(match kind {
            CURSOR_SET => Self::CursorSet {
                cursor: take_id(input)?,
                entries_read: take_option(input)?,
            },
            CONSUMER_CREATED => Self::ConsumerCreated {
                consumer: take_u32(input)?,
                name: take_name(input, NAME_LEN_MAX)?,
                seen_ms: varint::take(input)?,
            },
            CONSUMER_REMOVED => Self::ConsumerRemoved {
                consumer: take_u32(input)?,
            },
            CONSUMER_SEEN => Self::ConsumerSeen {
                consumer: take_u32(input)?,
                seen_ms: varint::take(input)?,
                active_ms: take_option(input)?,
            },
            DELIVERED => Self::Delivered {
                consumer: take_u32(input)?,
                time_ms: varint::take(input)?,
                entries_read: take_option(input)?,
                ids: take_ids(input)?.into(),
            },
            REDELIVERED => Self::Redelivered {
                consumer: take_u32(input)?,
                time_ms: varint::take(input)?,
                ids: take_ids(input)?.into(),
            },
            ACKED => Self::Acked {
                ids: take_ids(input)?.into(),
            },
            CLAIMED => {
                let (consumer, time_ms) = (take_u32(input)?, varint::take(input)?);
                Self::Claimed {
                    consumer,
                    time_ms,
                    entries: take_claimed(input, time_ms)?.into(),
                }
            }
            _ => return None,
        })
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    varint::put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn take_name<'a>(input: &mut &'a [u8], len_max: usize) -> Option<&'a [u8]> {
    take_bytes(input).filter(|name| name.len() <= len_max)
}

fn put_id(out: &mut Vec<u8>, id: EntryId) {
    varint::put(out, id.ms);
    varint::put(out, id.seq);
}

fn take_id(input: &mut &[u8]) -> Option<EntryId> {
    Some(EntryId::new(varint::take(input)?, varint::take(input)?))
}

fn put_option(out: &mut Vec<u8>, value: Option<u64>) {
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
fn take_option(input: &mut &[u8]) -> Option<Option<u64>> {
    match take_u8(input)? {
        0 => Some(None),
        1 => Some(Some(varint::take(input)?)),
        _ => None,
    }
}

fn take_u8(input: &mut &[u8]) -> Option<u8> {
    let (&byte, rest) = input.split_first()?;
    *input = rest;
    Some(byte)
}

fn take_u32(input: &mut &[u8]) -> Option<u32> {
    u32::try_from(varint::take(input)?).ok()
}

fn take_count(input: &mut &[u8]) -> Option<usize> {
    let count = usize::try_from(varint::take(input)?).ok()?;
    // Each item takes at least two bytes: nothing is reserved for items that cannot be there.
    (count <= RECORD_IDS_MAX && count <= input.len() / 2).then_some(count)
}

fn put_ids(out: &mut Vec<u8>, ids: &[EntryId]) {
    varint::put(out, ids.len() as u64);
    let mut writer = IdWriter::default();
    for &id in ids {
        writer.put(out, id);
    }
}

fn take_ids(input: &mut &[u8]) -> Option<Vec<EntryId>> {
    let count = take_count(input)?;
    let mut reader = IdReader::default();
    (0..count).map(|_| reader.take(input)).collect()
}

fn put_deleted(out: &mut Vec<u8>, entries: &[(EntryId, Lsn)]) {
    varint::put(out, entries.len() as u64);
    let (mut writer, mut previous) = (IdWriter::default(), 0);
    for &(id, lsn) in entries {
        writer.put(out, id);
        varint::put(
            out,
            varint::zigzag(lsn.0.wrapping_sub(previous).cast_signed()),
        );
        previous = lsn.0;
    }
}

fn take_deleted(input: &mut &[u8]) -> Option<Vec<(EntryId, Lsn)>> {
    let count = take_count(input)?;
    let (mut reader, mut previous) = (IdReader::default(), 0u64);
    let take = |_| {
        let id = reader.take(input)?;
        let difference = varint::unzigzag(varint::take(input)?);
        previous = previous.wrapping_add(difference.cast_unsigned());
        Some((id, Lsn(previous)))
    };
    (0..count).map(take).collect()
}

fn put_claimed(out: &mut Vec<u8>, time_ms: u64, entries: &[Claimed]) {
    varint::put(out, entries.len() as u64);
    let mut writer = IdWriter::default();
    for entry in entries {
        writer.put(out, entry.id);
        let age = time_ms.wrapping_sub(entry.delivered_ms).cast_signed();
        varint::put(out, varint::zigzag(age));
        varint::put(out, entry.delivery_count);
    }
}

fn take_claimed(input: &mut &[u8], time_ms: u64) -> Option<Vec<Claimed>> {
    let count = take_count(input)?;
    let mut reader = IdReader::default();
    let take = |_| {
        let id = reader.take(input)?;
        let age = varint::unzigzag(varint::take(input)?);
        let delivered_ms = time_ms.wrapping_sub(age.cast_unsigned());
        Some(Claimed {
            id,
            delivered_ms,
            delivery_count: varint::take(input)?,
        })
    };
    (0..count).map(take).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<Record<'static>> {
        let id = EntryId::new(1_700_000_000_000, 3);
        let ids = vec![
            id,
            EntryId::new(id.ms, 9),
            EntryId::new(5, 0),
            EntryId::MAX,
            EntryId::MIN,
        ];
        let claimed = |delivery_count| Claimed {
            id,
            delivered_ms: 90,
            delivery_count,
        };
        let group = [
            GroupChange::CursorSet {
                cursor: id,
                entries_read: Some(u64::MAX),
            },
            GroupChange::ConsumerCreated {
                consumer: 7,
                name: b"jo",
                seen_ms: 5,
            },
            GroupChange::ConsumerRemoved { consumer: u32::MAX },
            GroupChange::ConsumerSeen {
                consumer: 1,
                seen_ms: 8,
                active_ms: None,
            },
            GroupChange::Delivered {
                consumer: 0,
                time_ms: 77,
                entries_read: None,
                ids: ids.clone().into(),
            },
            GroupChange::Redelivered {
                consumer: 0,
                time_ms: 78,
                ids: ids.clone().into(),
            },
            GroupChange::Acked { ids: ids.into() },
            GroupChange::Claimed {
                consumer: 2,
                time_ms: 80,
                entries: vec![claimed(0), claimed(u64::MAX)].into(),
            },
        ];
        let mut changes = vec![
            StreamChange::Created {
                db: 15,
                key: b"orders",
            },
            StreamChange::Removed,
            StreamChange::Moved { db: 0, key: b"" },
            StreamChange::ExpirySet {
                expiry_ms: Some(12),
            },
            StreamChange::Trimmed {
                count: 3,
                first: id,
            },
            StreamChange::EntriesDeleted {
                max_deleted: id,
                first: EntryId::MIN,
                entries: vec![(id, Lsn(900)), (EntryId::MAX, Lsn(17))].into(),
            },
            StreamChange::CountersSet {
                last_id: id,
                entries_added: 4,
                max_deleted: id,
            },
            StreamChange::GroupCreated {
                group: 1,
                name: b"g",
                cursor: id,
                entries_read: None,
            },
            StreamChange::GroupRemoved { group: 1 },
        ];
        changes.extend(group.map(|change| StreamChange::Group { group: 3, change }));
        let mut records: Vec<_> = changes
            .into_iter()
            .map(|change| Record::Stream {
                stream: 1 << 40,
                change,
            })
            .collect();
        records.push(Record::DatabasesSwapped { a: 1, b: 2 });
        records.push(Record::DatabaseFlushed { db: 3 });
        records
    }

    #[test]
    fn every_record_survives_encoding_and_a_cut_one_is_refused() {
        for record in samples() {
            let mut bytes = Vec::new();
            record.put(&mut bytes);
            assert!(bytes.len() <= record.len_max(), "{record:?}");
            for len in 0..bytes.len() {
                assert_eq!(
                    Record::take(&mut &bytes[..len]),
                    None,
                    "{record:?} cut at {len}"
                );
            }
            bytes.push(0xff);
            let mut input = &bytes[..];
            assert_eq!(Record::take(&mut input), Some(record));
            assert_eq!(input, [0xff]);
        }
    }

    #[test]
    fn zeroes_and_counts_over_the_limit_are_refused() {
        assert_eq!(Record::take(&mut &[0u8; 64][..]), None);
        let mut bytes = vec![ACKED, 1, 1];
        varint::put(&mut bytes, RECORD_IDS_MAX as u64 + 1);
        bytes.resize(RECORD_IDS_MAX * 4, 0);
        assert_eq!(Record::take(&mut &bytes[..]), None);
    }

    #[test]
    fn delivering_ten_entries_takes_few_bytes() {
        let ids: Vec<_> = (0..10)
            .map(|n| EntryId::new(1_700_000_000_000 + n / 3, n % 3))
            .collect();
        let change = GroupChange::Delivered {
            consumer: 1,
            time_ms: 1_700_000_000_500,
            entries_read: Some(12_000),
            ids: ids.into(),
        };
        let mut bytes = Vec::new();
        let change = StreamChange::Group { group: 1, change };
        Record::Stream { stream: 1, change }.put(&mut bytes);
        assert!(bytes.len() < 42, "{}", bytes.len());
    }
}

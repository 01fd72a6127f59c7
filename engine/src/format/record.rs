//! Everything that can happen, as records: outcomes, never requests.
//!
//! A record says what came of a command: the ID that was given, the time that was taken, the
//! entries that were delivered. So replay needs no clock, no choice and no look at older bytes of
//! the log.
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

use super::codec::{
    put_bytes, put_id, put_option, take_count, take_id, take_name, take_option, take_u8, take_u32,
};
use super::entry;
use super::group_record::LISTED_LEN_MAX;
pub(crate) use super::group_record::{Claimed, GivenBack, GroupChange};
use super::ids::{IdReader, IdWriter};
use super::varint;
use crate::Lsn;
use crate::id::EntryId;
use crate::limits::{IID_LEN_MAX, KEY_LEN_MAX, NAME_LEN_MAX, RECORD_IDS_MAX};
use crate::retention::Retention;

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
    /// An entry was added, in a record of so many bytes.
    EntryAdded {
        id: EntryId,
        starts_node: bool,
        len: u32,
    },
    /// `count` entries at the head were removed; `first` is now the first, `0-0` if there is none.
    Trimmed { count: u64, first: EntryId },
    /// Entries were removed one by one.
    EntriesDeleted {
        max_deleted: EntryId,
        first: EntryId,
        entries: Cow<'a, [(EntryId, Lsn)]>,
    },
    /// Entries are missing that were deleted before the stream was built: `count` of them in the
    /// last node, and none above `highest`.
    EntriesMissing { count: u32, highest: EntryId },
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
    /// How much is remembered of producers was set, and what was remembered is forgotten.
    ProducersSet {
        seconds: u32,
        count_max: u32,
        added: u64,
        repeated: u64,
    },
    /// An entry came of a producer's message, of which `kept` are remembered now.
    Remembered {
        producer: &'a [u8],
        iid: &'a [u8],
        id: EntryId,
        kept: u32,
    },
    /// A message that is remembered was sent again.
    Repeated,
    /// Messages whose entries are not younger were forgotten.
    Forgotten { until_ms: u64 },
    /// How much of it is kept was set.
    RetentionSet { retention: Retention },
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
const ENTRIES_MISSING: u8 = 21;
const PRODUCERS_SET: u8 = 23;
const REMEMBERED: u8 = 24;
const REPEATED: u8 = 25;
const FORGOTTEN: u8 = 26;
const RETENTION_SET: u8 = 30;
/// All kinds that there are.
#[cfg(test)]
pub(crate) fn kinds() -> Vec<u8> {
    (entry::KIND..=FORGOTTEN).chain([RETENTION_SET]).collect()
}

/// The most bytes that a record takes beside its name and lists.
const FIXED_LEN_MAX: usize = 1 + 10 * varint::VARINT_LEN_MAX;

/// The most bytes of the records that list so many IDs, as many in each as one takes.
pub(crate) fn lists_len_max(count: usize) -> usize {
    count.div_ceil(RECORD_IDS_MAX) * FIXED_LEN_MAX + count * LISTED_LEN_MAX
}

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
            StreamChange::Remembered { producer, iid, .. } => producer.len() + iid.len(),
            _ => 0,
        };
        FIXED_LEN_MAX + variable
    }

    /// Appends the record.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        match self {
            Record::DatabasesSwapped { a, b } => {
                out.extend_from_slice(&[DATABASES_SWAPPED, *a, *b]);
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
            // The frame was verified, or the caller verifies the entry.
            let head = entry::unverified_head(input)?;
            *input = &input[head.record_len()..];
            let change = StreamChange::EntryAdded {
                id: head.id,
                starts_node: head.starts_node,
                len: u32::try_from(head.record_len()).unwrap_or(u32::MAX),
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
            Self::EntriesMissing { .. } => ENTRIES_MISSING,
            Self::CountersSet { .. } => COUNTERS_SET,
            Self::GroupCreated { .. } => GROUP_CREATED,
            Self::GroupRemoved { .. } => GROUP_REMOVED,
            Self::Group { change, .. } => change.kind(),
            Self::ProducersSet { .. } => PRODUCERS_SET,
            Self::Remembered { .. } => REMEMBERED,
            Self::Repeated => REPEATED,
            Self::Forgotten { .. } => FORGOTTEN,
            Self::RetentionSet { .. } => RETENTION_SET,
        }
    }

    fn put(&self, out: &mut Vec<u8>, stream: u64) {
        out.push(self.kind());
        varint::put(out, stream);
        match self {
            Self::Removed | Self::Repeated => {}
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
            Self::EntriesMissing { count, highest } => {
                varint::put(out, u64::from(*count));
                put_id(out, *highest);
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
            Self::ProducersSet { .. } | Self::Remembered { .. } => self.put_producers(out),
            Self::Forgotten { until_ms } => varint::put(out, *until_ms),
            Self::RetentionSet { retention } => put_retention(out, *retention),
        }
    }

    /// What is remembered of producers.
    fn put_producers(&self, out: &mut Vec<u8>) {
        match self {
            Self::ProducersSet {
                seconds,
                count_max,
                added,
                repeated,
            } => {
                varint::put(out, u64::from(*seconds));
                varint::put(out, u64::from(*count_max));
                varint::put(out, *added);
                varint::put(out, *repeated);
            }
            Self::Remembered {
                producer,
                iid,
                id,
                kept,
            } => {
                put_bytes(out, producer);
                put_bytes(out, iid);
                put_id(out, *id);
                varint::put(out, u64::from(*kept));
            }
            _ => unreachable!("only what is remembered comes here"),
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
            ENTRIES_MISSING => Self::EntriesMissing {
                count: take_u32(input)?,
                highest: take_id(input)?,
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
            PRODUCERS_SET => Self::ProducersSet {
                seconds: take_u32(input)?,
                count_max: take_u32(input)?,
                added: varint::take(input)?,
                repeated: varint::take(input)?,
            },
            REMEMBERED => Self::Remembered {
                producer: take_name(input, IID_LEN_MAX)?,
                iid: take_name(input, IID_LEN_MAX)?,
                id: take_id(input)?,
                kept: take_u32(input)?,
            },
            REPEATED => Self::Repeated,
            FORGOTTEN => Self::Forgotten {
                until_ms: varint::take(input)?,
            },
            RETENTION_SET => Self::RetentionSet {
                retention: take_retention(input)?,
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

fn put_retention(out: &mut Vec<u8>, retention: Retention) {
    put_option(out, retention.age_ms);
    put_option(out, retention.bytes);
    put_option(out, retention.length);
    put_option(out, retention.acked.map(u64::from));
    put_option(out, retention.acked_age_ms);
}

fn take_retention(input: &mut &[u8]) -> Option<Retention> {
    let (age_ms, bytes) = (take_option(input)?, take_option(input)?);
    let length = take_option(input)?;
    let acked = match take_option(input)? {
        None => None,
        Some(flag @ 0..=1) => Some(flag == 1),
        Some(_) => return None,
    };
    let acked_age_ms = take_option(input)?;
    Some(Retention {
        age_ms,
        bytes,
        length,
        acked,
        acked_age_ms,
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::group_record::ACKED;

    #[expect(clippy::too_many_lines, reason = "one of each kind")]
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
            GroupChange::GivenBack {
                entries: vec![GivenBack {
                    id,
                    delivery_count: u64::MAX,
                }]
                .into(),
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
            StreamChange::EntriesMissing {
                count: u32::MAX,
                highest: id,
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
            StreamChange::ProducersSet {
                seconds: 100,
                count_max: u32::MAX,
                added: u64::MAX,
                repeated: 0,
            },
            StreamChange::Remembered {
                producer: b"p",
                iid: b"order 7",
                id,
                kept: 3,
            },
            StreamChange::Repeated,
            StreamChange::Forgotten { until_ms: id.ms },
            StreamChange::RetentionSet {
                retention: Retention {
                    age_ms: Some(u64::MAX),
                    bytes: Some(1 << 40),
                    length: Some(0),
                    acked: Some(true),
                    acked_age_ms: None,
                },
            },
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

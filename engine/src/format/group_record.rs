//! What can happen to a consumer group, as records.
//!
//! One record tells of a whole batch: the entries that a read delivered, that a command
//! acknowledged or claimed. Lists are delta-coded, so ten deliveries take about forty bytes.

use std::borrow::Cow;

use super::codec::{
    put_bytes, put_id, put_option, take_count, take_id, take_name, take_option, take_u32,
};
use super::ids::{IdReader, IdWriter, put_ids, take_ids};
use super::varint;
use crate::id::EntryId;
use crate::limits::NAME_LEN_MAX;

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
    /// Entries are now pending for nobody, and the first to be claimed.
    GivenBack { entries: Cow<'a, [GivenBack]> },
}

/// A pending entry as a claim leaves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claimed {
    pub(crate) id: EntryId,
    pub(crate) delivered_ms: u64,
    pub(crate) delivery_count: u64,
}

/// A pending entry that was given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GivenBack {
    pub(crate) id: EntryId,
    pub(crate) delivery_count: u64,
}

const CURSOR_SET: u8 = 13;
const CONSUMER_CREATED: u8 = 14;
const CONSUMER_REMOVED: u8 = 15;
const CONSUMER_SEEN: u8 = 16;
const DELIVERED: u8 = 17;
const REDELIVERED: u8 = 18;
pub(super) const ACKED: u8 = 19;
const CLAIMED: u8 = 20;
const GIVEN_BACK: u8 = 22;

/// The most bytes of one ID in a list, with what belongs to it.
pub(super) const LISTED_LEN_MAX: usize = 4 * varint::VARINT_LEN_MAX;

impl GroupChange<'_> {
    /// Whether entries may be settled by it that were not before.
    pub(crate) fn may_settle(&self) -> bool {
        matches!(
            self,
            Self::CursorSet { .. } | Self::ConsumerRemoved { .. } | Self::Acked { .. }
        )
    }

    /// The most bytes that the name or list in it takes.
    pub(super) fn variable_len_max(&self) -> usize {
        match self {
            Self::ConsumerCreated { name, .. } => name.len(),
            Self::Delivered { ids, .. } | Self::Redelivered { ids, .. } | Self::Acked { ids } => {
                ids.len() * LISTED_LEN_MAX
            }
            Self::Claimed { entries, .. } => entries.len() * LISTED_LEN_MAX,
            Self::GivenBack { entries } => entries.len() * LISTED_LEN_MAX,
            _ => 0,
        }
    }

    pub(super) fn kind(&self) -> u8 {
        match self {
            Self::CursorSet { .. } => CURSOR_SET,
            Self::ConsumerCreated { .. } => CONSUMER_CREATED,
            Self::ConsumerRemoved { .. } => CONSUMER_REMOVED,
            Self::ConsumerSeen { .. } => CONSUMER_SEEN,
            Self::Delivered { .. } => DELIVERED,
            Self::Redelivered { .. } => REDELIVERED,
            Self::Acked { .. } => ACKED,
            Self::Claimed { .. } => CLAIMED,
            Self::GivenBack { .. } => GIVEN_BACK,
        }
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
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
            Self::GivenBack { entries } => put_given_back(out, entries),
        }
    }
}

impl<'a> GroupChange<'a> {
    pub(super) fn take(kind: u8, input: &mut &'a [u8]) -> Option<Self> {
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
            GIVEN_BACK => Self::GivenBack {
                entries: take_given_back(input)?.into(),
            },
            _ => return None,
        })
    }
}

fn put_given_back(out: &mut Vec<u8>, entries: &[GivenBack]) {
    varint::put(out, entries.len() as u64);
    let mut writer = IdWriter::default();
    for entry in entries {
        writer.put(out, entry.id);
        varint::put(out, entry.delivery_count);
    }
}

fn take_given_back(input: &mut &[u8]) -> Option<Vec<GivenBack>> {
    let count = take_count(input)?;
    let mut reader = IdReader::default();
    let take = |_| {
        Some(GivenBack {
            id: reader.take(input)?,
            delivery_count: varint::take(input)?,
        })
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

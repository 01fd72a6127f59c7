//! Records as named values: the one place that knows what each kind of record holds.
//!
//! The names are those of `docs/format.md`.

use super::Value;
use crate::entries::Fields;
use crate::format::entry;
use crate::format::record::{Claimed, GivenBack, GroupChange, Record, StreamChange};
use crate::{EntryId, Lsn, Retention};

type Values<'a> = Vec<(&'static str, Value<'a>)>;

/// What kind of record it is, in the words of `docs/format.md`.
pub(super) fn kind(record: &Record<'_>) -> &'static str {
    let change = match record {
        Record::DatabasesSwapped { .. } => return "databases swapped",
        Record::DatabaseFlushed { .. } => return "database flushed",
        Record::Stream { change, .. } => change,
    };
    let change = match change {
        StreamChange::Created { .. } => return "stream created",
        StreamChange::Removed => return "stream removed",
        StreamChange::Moved { .. } => return "stream moved",
        StreamChange::ExpirySet { .. } => return "expiry set",
        StreamChange::EntryAdded { .. } => return "entry",
        StreamChange::Trimmed { .. } => return "trimmed",
        StreamChange::EntriesDeleted { .. } => return "entries deleted",
        StreamChange::EntriesMissing { .. } => return "entries missing",
        StreamChange::CountersSet { .. } => return "counters set",
        StreamChange::GroupCreated { .. } => return "group created",
        StreamChange::GroupRemoved { .. } => return "group removed",
        StreamChange::ProducersSet { .. } => return "producers set",
        StreamChange::Remembered { .. } => return "remembered",
        StreamChange::Repeated => return "repeated",
        StreamChange::Forgotten { .. } => return "forgotten",
        StreamChange::RetentionSet { .. } => return "retention set",
        StreamChange::Group { change, .. } => change,
    };
    match change {
        GroupChange::CursorSet { .. } => "cursor set",
        GroupChange::ConsumerCreated { .. } => "consumer created",
        GroupChange::ConsumerRemoved { .. } => "consumer removed",
        GroupChange::ConsumerSeen { .. } => "consumer seen",
        GroupChange::Delivered { .. } => "delivered",
        GroupChange::Redelivered { .. } => "redelivered",
        GroupChange::Acked { .. } => "acked",
        GroupChange::Claimed { .. } => "claimed",
        GroupChange::GivenBack { .. } => "given back",
    }
}

/// What a record holds beside the number of its stream, and the ID if it is an entry; an error says
/// what is wrong with its bytes.
pub(super) fn values<'a>(
    record: &'a Record<'a>,
    (bytes, lsn): (&'a [u8], Lsn),
) -> Result<(Option<EntryId>, Values<'a>), &'static str> {
    let values = match record {
        Record::DatabasesSwapped { a, b } => vec![("a", number(*a)), ("b", number(*b))],
        Record::DatabaseFlushed { db } => vec![("db", number(*db))],
        Record::Stream {
            change: StreamChange::EntryAdded {
                id, starts_node, ..
            },
            ..
        } => {
            let entry = entry::entry(bytes, lsn);
            let entry = entry.ok_or("the checksum of an entry does not match")?;
            let fields = Fields::of(entry.body).map(Value::Bytes).collect();
            let values = vec![
                ("id", Value::Id(*id)),
                ("starts_node", Value::Flag(*starts_node)),
                ("fields", Value::List(fields)),
            ];
            return Ok((Some(*id), values));
        }
        Record::Stream { change, .. } => of_stream(change),
    };
    Ok((None, values))
}

fn of_stream<'a>(change: &'a StreamChange<'a>) -> Values<'a> {
    match change {
        StreamChange::Created { db, key } | StreamChange::Moved { db, key } => {
            vec![("db", number(*db)), ("key", Value::Bytes(key))]
        }
        StreamChange::Removed => Vec::new(),
        StreamChange::ExpirySet { expiry_ms } => vec![("expiry_ms", (*expiry_ms).into())],
        StreamChange::EntryAdded {
            id, starts_node, ..
        } => {
            vec![
                ("id", Value::Id(*id)),
                ("starts_node", Value::Flag(*starts_node)),
            ]
        }
        StreamChange::Trimmed { count, first } => {
            vec![("count", number(*count)), ("first", Value::Id(*first))]
        }
        StreamChange::EntriesDeleted {
            max_deleted,
            first,
            entries,
        } => {
            let deleted = |&(id, Lsn(lsn)): &(EntryId, Lsn)| {
                Value::Named(vec![("id", Value::Id(id)), ("lsn", Value::Number(lsn))])
            };
            vec![
                ("max_deleted", Value::Id(*max_deleted)),
                ("first", Value::Id(*first)),
                (
                    "entries",
                    Value::List(entries.iter().map(deleted).collect()),
                ),
            ]
        }
        StreamChange::EntriesMissing { count, highest } => {
            vec![("count", number(*count)), ("highest", Value::Id(*highest))]
        }
        StreamChange::CountersSet {
            last_id,
            entries_added,
            max_deleted,
        } => vec![
            ("last_id", Value::Id(*last_id)),
            ("entries_added", number(*entries_added)),
            ("max_deleted", Value::Id(*max_deleted)),
        ],
        StreamChange::GroupCreated {
            group,
            name,
            cursor,
            entries_read,
        } => vec![
            ("group", number(*group)),
            ("group_name", Value::Bytes(name)),
            ("cursor", Value::Id(*cursor)),
            ("entries_read", (*entries_read).into()),
        ],
        StreamChange::GroupRemoved { group } => vec![("group", number(*group))],
        StreamChange::Group { group, change } => {
            let mut values = vec![("group", number(*group))];
            values.extend(of_group(change));
            values
        }
        StreamChange::RetentionSet { retention } => of_retention(*retention),
        StreamChange::ProducersSet { .. }
        | StreamChange::Remembered { .. }
        | StreamChange::Repeated
        | StreamChange::Forgotten { .. } => of_producers(change),
    }
}

/// How much of a stream is kept.
pub(super) fn of_retention(retention: Retention) -> Values<'static> {
    vec![
        ("age_ms", retention.age_ms.into()),
        ("bytes", retention.bytes.into()),
        ("length", retention.length.into()),
        ("acked", retention.acked.map_or(Value::None, Value::Flag)),
        ("acked_age_ms", retention.acked_age_ms.into()),
    ]
}

/// What a stream remembers of its producers.
fn of_producers<'a>(change: &'a StreamChange<'a>) -> Values<'a> {
    match change {
        StreamChange::ProducersSet {
            seconds,
            count_max,
            added,
            repeated,
        } => vec![
            ("seconds", number(*seconds)),
            ("count_max", number(*count_max)),
            ("added", number(*added)),
            ("repeated", number(*repeated)),
        ],
        StreamChange::Remembered {
            producer,
            iid,
            id,
            kept,
        } => vec![
            ("producer", Value::Bytes(producer)),
            ("iid", Value::Bytes(iid)),
            ("id", Value::Id(*id)),
            ("kept", number(*kept)),
        ],
        StreamChange::Forgotten { until_ms } => vec![("until_ms", number(*until_ms))],
        _ => Vec::new(),
    }
}

fn of_group<'a>(change: &'a GroupChange<'a>) -> Values<'a> {
    match change {
        GroupChange::CursorSet {
            cursor,
            entries_read,
        } => vec![
            ("cursor", Value::Id(*cursor)),
            ("entries_read", (*entries_read).into()),
        ],
        GroupChange::ConsumerCreated {
            consumer,
            name,
            seen_ms,
        } => vec![
            ("consumer", number(*consumer)),
            ("consumer_name", Value::Bytes(name)),
            ("seen_ms", number(*seen_ms)),
        ],
        GroupChange::ConsumerRemoved { consumer } => vec![("consumer", number(*consumer))],
        GroupChange::ConsumerSeen {
            consumer,
            seen_ms,
            active_ms,
        } => vec![
            ("consumer", number(*consumer)),
            ("seen_ms", number(*seen_ms)),
            ("active_ms", (*active_ms).into()),
        ],
        GroupChange::Delivered {
            consumer,
            time_ms,
            entries_read,
            ids,
        } => vec![
            ("consumer", number(*consumer)),
            ("time_ms", number(*time_ms)),
            ("entries_read", (*entries_read).into()),
            ("ids", list(ids)),
        ],
        GroupChange::Redelivered {
            consumer,
            time_ms,
            ids,
        } => vec![
            ("consumer", number(*consumer)),
            ("time_ms", number(*time_ms)),
            ("ids", list(ids)),
        ],
        GroupChange::Acked { ids } => vec![("ids", list(ids))],
        GroupChange::GivenBack { entries } => {
            vec![(
                "entries",
                Value::List(entries.iter().map(given_back).collect()),
            )]
        }
        GroupChange::Claimed {
            consumer,
            time_ms,
            entries,
        } => {
            vec![
                ("consumer", number(*consumer)),
                ("time_ms", number(*time_ms)),
                (
                    "entries",
                    Value::List(entries.iter().map(claimed).collect()),
                ),
            ]
        }
    }
}

fn claimed(claimed: &Claimed) -> Value<'static> {
    Value::Named(vec![
        ("id", Value::Id(claimed.id)),
        ("delivered_ms", number(claimed.delivered_ms)),
        ("delivery_count", number(claimed.delivery_count)),
    ])
}

fn given_back(given_back: &GivenBack) -> Value<'static> {
    Value::Named(vec![
        ("id", Value::Id(given_back.id)),
        ("delivery_count", number(given_back.delivery_count)),
    ])
}

fn number<'a>(number: impl Into<u64>) -> Value<'a> {
    Value::Number(number.into())
}

fn list<'a>(ids: &[EntryId]) -> Value<'a> {
    Value::List(ids.iter().copied().map(Value::Id).collect())
}

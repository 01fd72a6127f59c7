//! Exporting a stream: all that it is at one moment, to be written down elsewhere.
//!
//! The entries come as a plan, so that their bytes are read without the lock; everything else is
//! small and copied.

use super::build::{
    ConsumerParts, GroupParts, PendingParts, ProducerParts, ProducersParts, SentParts, StreamParts,
};
use super::{Batch, Cursor};
use crate::entries::Entries;
use crate::error::Result;
use crate::group::{Consumer, Group, Pending};
use crate::id::EntryId;
use crate::index::{NodeSize, Position};
use crate::producers::Producers;
use crate::stream::Stream;

/// A stream as it is at one moment.
#[derive(Debug)]
pub struct Export {
    /// All but the entries.
    pub parts: StreamParts,
    /// The ID of the first entry; `0-0` if there is none.
    pub first_id: EntryId,
    /// The entries, oldest first.
    pub entries: Entries,
    /// How the entries are divided into logical nodes.
    pub nodes: Vec<NodeSize>,
}

impl Batch<'_> {
    /// Exports a stream; `None` if there is no such key.
    pub fn export(&mut self, db: u8, key: &[u8]) -> Result<Option<Export>> {
        let Some(slot) = self.find_used(db, key) else {
            return Ok(None);
        };
        let (stream, log) = (self.stream_in(slot), &self.guard.log);
        let index = &stream.index;
        let mut entries = Entries::default();
        entries.push_range(index, Position::START, index.end(), log)?;
        Ok(Some(Export {
            parts: parts_of(stream),
            first_id: index.first_id(),
            entries,
            nodes: index.node_sizes()?,
        }))
    }
}

/// All of a stream but its entries.
pub(super) fn parts_of(stream: &Stream) -> StreamParts {
    let group = |(_, name, group): (u32, &[u8], &Group)| group_parts(name, group);
    let producers = stream.producers().map(producers_parts);
    StreamParts {
        last_id: stream.last_id,
        entries_added: stream.entries_added,
        max_deleted_id: stream.max_deleted(),
        deleted_up_to: stream.tombstone(),
        expiry_ms: stream.expiry_ms(),
        groups: stream.groups().map(group).collect(),
        producers: producers.filter(|producers| *producers != ProducersParts::default()),
        retention: stream.retention(),
    }
}

pub(super) fn producers_parts(producers: &Producers) -> ProducersParts {
    let mut parts = ProducersParts {
        settings: producers.settings,
        added: producers.added,
        repeated: producers.repeated,
        producers: Vec::with_capacity(producers.len()),
    };
    for (name, iid, id) in producers.iter() {
        let sent = SentParts {
            iid: iid.to_vec(),
            id,
        };
        match parts.producers.last_mut() {
            Some(last) if last.name == name => last.sent.push(sent),
            _ => parts.producers.push(ProducerParts {
                name: name.to_vec(),
                sent: vec![sent],
            }),
        }
    }
    parts
}

fn group_parts(name: &[u8], group: &Group) -> GroupParts {
    // Consumers have numbers with holes; in the parts they are counted through.
    let mut places = Vec::new();
    for (place, (number, _, _)) in (0..).zip(group.consumers.iter()) {
        let number = number as usize;
        if number >= places.len() {
            places.resize(number + 1, 0);
        }
        places[number] = place;
    }
    let consumer = |(_, name, consumer): (u32, &[u8], &Consumer)| ConsumerParts {
        name: name.to_vec(),
        seen_ms: consumer.seen_ms,
        active_ms: consumer.active_ms,
    };
    let (given_back, held): (Vec<&Pending>, Vec<&Pending>) = group
        .pending
        .oldest_first()
        .partition(|held| held.is_given_back());
    let given_back = given_back.into_iter();
    let pending = held.into_iter().map(|held| PendingParts {
        id: held.id,
        delivered_ms: held.delivered_ms,
        delivery_count: held.delivery_count,
        consumer: places[held.consumer as usize],
    });
    GroupParts {
        name: name.to_vec(),
        cursor: Cursor {
            id: group.cursor,
            entries_read: group.entries_read,
        },
        consumers: group.consumers.iter().map(consumer).collect(),
        pending: pending.collect(),
        given_back: given_back
            .map(|held| (held.id, held.delivery_count))
            .collect(),
    }
}

//! Reading a payload: all but the entries at once, the entries whenever they are asked for.

use std::collections::HashSet;

use alluvium_engine::limits::{IID_LEN_MAX, IID_SECONDS_MAX, IIDS_MAX, NAME_LEN_MAX};
use alluvium_engine::{
    ConsumerParts, Cursor, EntryId, EntrySource, Error, GroupParts, PendingParts, Piece,
    ProducerParts, ProducerSettings, ProducersParts, SentParts, StreamParts,
};

use super::codec::{Reader, Text, malformed};
use super::layout::{STREAM, STREAM_2, STREAM_3, STREAM_4, STREAM_5};
use super::{CRC, FOOTER_LEN, NOBODY, Result, VALKEY_VERSION, VERSION_MAX, node};

/// Bytes of a payload's items at least: a node, a group, a consumer, a pending entry.
const NODE_LEN_MIN: usize = 1 + 16 + 4;
const GROUP_LEN_MIN: usize = 1 + 2 + 1 + 1;
const CONSUMER_LEN_MIN: usize = 1 + 8 + 1;
const PENDING_LEN_MIN: usize = 16 + 8 + 1;
const OWNED_LEN: usize = 16;
const PRODUCER_LEN_MIN: usize = 1 + 1;
const SENT_LEN_MIN: usize = 1 + 2;

/// Compressed names may take so many times the payload, and as much again as a few of the longest.
const NAMES_FACTOR: usize = 4;
const NAMES_FREE: usize = 16 * NAME_LEN_MAX;
/// A compressed node may expand to so many times the payload, or to so much in any case. Nodes are
/// expanded one at a time.
const NODE_FACTOR: usize = 16;
const NODE_FREE: usize = 64 << 20;

/// A counter of which nothing is known.
const UNKNOWN: u64 = u64::MAX;
/// In the place of a consumer: the entry was given back.
const GIVEN_BACK: u32 = NOBODY - 1;

/// Why a payload is not a stream that can be built.
#[derive(Debug)]
pub(crate) enum Unreadable {
    /// Its checksum is wrong, or its version is not known.
    Envelope,
    /// It holds something else.
    OtherType(&'static str),
    /// It is malformed, or something in it is too large.
    Stream(Error),
}

impl From<Error> for Unreadable {
    fn from(error: Error) -> Self {
        Self::Stream(error)
    }
}

/// A stream in a payload.
#[derive(Debug)]
pub(crate) struct Payload<'a> {
    parts: StreamParts,
    nodes: Vec<(EntryId, Text<'a>)>,
    /// Entries that all nodes have.
    length: u64,
    /// The most bytes that a node expands to.
    node_len_max: usize,
}

impl EntrySource for Payload<'_> {
    fn visit(&self, visitor: &mut dyn FnMut(Piece<'_>) -> Result<()>) -> Result<()> {
        let (mut scratch, mut length) = (Vec::new(), 0);
        for (id, listpack) in &self.nodes {
            let listpack = listpack.expand(&mut scratch, self.node_len_max)?;
            length += node::visit(*id, listpack, visitor)?;
        }
        if length == self.length {
            Ok(())
        } else {
            Err(malformed("another number of entries"))
        }
    }
}

impl<'a> Payload<'a> {
    /// Reads a payload, except for what is inside of its nodes.
    pub(crate) fn read(payload: &'a [u8]) -> Result<Self, Unreadable> {
        let (layout, stream) = open(payload)?;
        let mut stream = Reader::new(stream);
        let body = Body {
            layout,
            reader: &mut stream,
            names_left: NAMES_FREE + NAMES_FACTOR * payload.len(),
            node_len_max: NODE_FREE.max(NODE_FACTOR * payload.len()),
        };
        let read = body.read()?;
        if !stream.is_empty() {
            return Err(malformed("something behind the stream").into());
        }
        Ok(read)
    }

    /// All of the stream but its entries.
    pub(crate) fn parts(&self) -> &StreamParts {
        &self.parts
    }

    /// Lets the stream expire.
    pub(crate) fn expire(&mut self, expiry_ms: Option<u64>) {
        self.parts.expiry_ms = expiry_ms;
    }
}

/// Takes the envelope off: the type, and the bytes of the value.
fn open(payload: &[u8]) -> Result<(u8, &[u8]), Unreadable> {
    let body_len = payload.len().checked_sub(FOOTER_LEN);
    let (body, footer) = payload.split_at(body_len.ok_or(Unreadable::Envelope)?);
    let mut footer = Reader::new(footer);
    let version = u16::from_le_bytes(footer.array()?);
    let crc = u64::from_le_bytes(footer.array()?);
    let is_known = (1..=VERSION_MAX).contains(&version) || version == VALKEY_VERSION;
    if !is_known || CRC.checksum(&payload[..payload.len() - 8]) != crc {
        return Err(Unreadable::Envelope);
    }
    let (&layout, value) = body.split_first().ok_or(malformed("nothing is in it"))?;
    match layout {
        STREAM | STREAM_2 | STREAM_3 => Ok((layout, value)),
        STREAM_4 | STREAM_5 if version <= VERSION_MAX => Ok((layout, value)),
        _ => Err(match other_type(layout) {
            Some(name) => Unreadable::OtherType(name),
            None => malformed("a value of unknown type").into(),
        }),
    }
}

/// What a payload of another type holds, in plural.
fn other_type(layout: u8) -> Option<&'static str> {
    Some(match layout {
        0 => "strings",
        1 | 10 | 14 | 18 => "lists",
        2 | 11 | 20 => "sets",
        3 | 5 | 12 | 17 => "sorted sets",
        4 | 9 | 13 | 16 | 22..=25 => "hashes",
        6 | 7 => "values of modules",
        _ => return None,
    })
}

/// What is read of the payload's stream.
struct Body<'r, 'a> {
    layout: u8,
    reader: &'r mut Reader<'a>,
    /// Bytes that names may still expand to.
    names_left: usize,
    node_len_max: usize,
}

impl<'a> Body<'_, 'a> {
    fn read(mut self) -> Result<Payload<'a>> {
        let mut nodes = Vec::new();
        for _ in 0..self.reader.count(NODE_LEN_MIN)? {
            nodes.push((self.node_id()?, self.reader.text()?));
        }
        let length = self.reader.length()?;
        let last_id = self.reader.id()?;
        let mut payload = Payload {
            parts: StreamParts {
                last_id,
                entries_added: length,
                ..StreamParts::default()
            },
            nodes,
            length,
            node_len_max: self.node_len_max,
        };
        if self.layout >= STREAM_2 {
            // The first ID follows from the entries.
            self.reader.id()?;
            payload.parts.max_deleted_id = self.reader.id()?;
            payload.parts.entries_added = self.counter()?;
        }
        for _ in 0..self.reader.count(GROUP_LEN_MIN)? {
            let group = self.group(&payload)?;
            payload.parts.groups.push(group);
        }
        if self.layout >= STREAM_4 {
            payload.parts.producers = Some(self.producers()?);
        }
        let parts = &mut payload.parts;
        parts.groups.sort_by(|a, b| a.name.cmp(&b.name));
        let has_pending =
            |group: &GroupParts| !(group.pending.is_empty() && group.given_back.is_empty());
        if parts.groups.iter().any(has_pending) {
            // Any of what is pending may have been deleted.
            parts.deleted_up_to = last_id;
        }
        Ok(payload)
    }

    fn node_id(&mut self) -> Result<EntryId> {
        let mut scratch = Vec::new();
        let text = self.reader.text()?;
        if text.len() != OWNED_LEN {
            return Err(malformed("a node without an ID"));
        }
        Reader::new(text.expand(&mut scratch, OWNED_LEN)?).fixed_id()
    }

    /// A counter, which Redis keeps in 63 bits.
    fn counter(&mut self) -> Result<u64> {
        let counter = self.reader.length()?;
        if i64::try_from(counter).is_err() {
            return Err(malformed("a counter that cannot be"));
        }
        Ok(counter)
    }

    fn name(&mut self) -> Result<Vec<u8>> {
        self.text(NAME_LEN_MAX)
    }

    /// A string that is kept, of at most `len_max` bytes if it is compressed.
    fn text(&mut self, len_max: usize) -> Result<Vec<u8>> {
        let name = self.reader.text()?;
        let left = self.names_left.checked_sub(name.len());
        self.names_left = left.ok_or_else(|| malformed("names beyond all proportion"))?;
        let mut scratch = Vec::new();
        name.expand(&mut scratch, len_max).map(<[u8]>::to_vec)
    }

    fn group(&mut self, payload: &Payload<'a>) -> Result<GroupParts> {
        let name = self.name()?;
        let id = self.reader.id()?;
        let entries_read = if self.layout >= STREAM_2 {
            match self.reader.length()? {
                UNKNOWN => None,
                read => i64::try_from(read).ok().map(i64::cast_unsigned),
            }
        } else {
            estimate(payload, id)?
        };
        let mut pending = self.pending()?;
        let mut consumers = Vec::new();
        for number in 0..self.reader.count(CONSUMER_LEN_MIN)? {
            let number = u32::try_from(number).map_err(|_| malformed("a count that cannot be"))?;
            consumers.push((self.consumer()?, number));
            self.own(number, &mut pending)?;
        }
        let given_back = if self.layout >= STREAM_5 {
            self.given_back(&mut pending)?
        } else {
            Vec::new()
        };
        if pending.iter().any(|held| held.consumer == NOBODY) {
            return Err(malformed("an entry is pending for nobody"));
        }
        let consumers = in_order(consumers, &mut pending);
        Ok(GroupParts {
            name,
            cursor: Cursor { id, entries_read },
            consumers,
            pending,
            given_back,
        })
    }

    /// What is pending in a group, for nobody yet, ordered by ID.
    fn pending(&mut self) -> Result<Vec<PendingParts>> {
        let mut pending = Vec::new();
        for _ in 0..self.reader.count(PENDING_LEN_MIN)? {
            pending.push(PendingParts {
                id: self.reader.fixed_id()?,
                delivered_ms: self.reader.time()?.unwrap_or(0),
                delivery_count: self.reader.length()?,
                consumer: NOBODY,
            });
        }
        pending.sort_by_key(|held| held.id);
        if pending.windows(2).any(|two| two[0].id == two[1].id) {
            return Err(malformed("an entry is pending twice"));
        }
        Ok(pending)
    }

    fn consumer(&mut self) -> Result<ConsumerParts> {
        let name = self.name()?;
        let seen_ms = self.reader.time()?;
        let active_ms = if self.layout >= STREAM_3 {
            self.reader.time()?
        } else {
            seen_ms
        };
        Ok(ConsumerParts {
            name,
            seen_ms: seen_ms.unwrap_or(0),
            active_ms,
        })
    }

    /// Reads which entries are pending for a consumer.
    fn own(&mut self, consumer: u32, pending: &mut [PendingParts]) -> Result<()> {
        for _ in 0..self.reader.count(OWNED_LEN)? {
            self.own_one(consumer, pending)?;
        }
        Ok(())
    }

    /// Takes what was given back out of what is pending.
    fn given_back(&mut self, pending: &mut Vec<PendingParts>) -> Result<Vec<(EntryId, u64)>> {
        let mut given_back = Vec::new();
        for _ in 0..self.reader.count(OWNED_LEN)? {
            let held = self.own_one(GIVEN_BACK, pending)?;
            given_back.push((held.id, held.delivery_count));
        }
        pending.retain(|held| held.consumer != GIVEN_BACK);
        Ok(given_back)
    }

    fn own_one(&mut self, owner: u32, pending: &mut [PendingParts]) -> Result<PendingParts> {
        let id = self.reader.fixed_id()?;
        let found = pending.binary_search_by_key(&id, |held| held.id);
        let held = found.map_err(|_| malformed("what is pending for a consumer is unknown"))?;
        let held = &mut pending[held];
        if std::mem::replace(&mut held.consumer, owner) != NOBODY {
            return Err(malformed("an entry is pending for two consumers"));
        }
        Ok(*held)
    }

    fn producers(&mut self) -> Result<ProducersParts> {
        let settings = ProducerSettings {
            seconds: self.setting(IID_SECONDS_MAX)?,
            count_max: self.setting(IIDS_MAX)?,
        };
        let mut producers = Vec::new();
        for _ in 0..self.reader.count(PRODUCER_LEN_MIN)? {
            producers.push(ProducerParts {
                name: self.text(IID_LEN_MAX)?,
                sent: self.sent()?,
            });
        }
        producers.sort_by(|a, b| a.name.cmp(&b.name));
        if producers.windows(2).any(|two| two[0].name == two[1].name) {
            return Err(malformed("two producers of one name"));
        }
        Ok(ProducersParts {
            settings,
            added: self.counter()?,
            repeated: self.counter()?,
            producers,
        })
    }

    fn setting(&mut self, max: u32) -> Result<u32> {
        let setting = u32::try_from(self.reader.length()?).ok();
        let setting = setting.filter(|setting| (1..=max).contains(setting));
        setting.ok_or_else(|| malformed("a setting for producers that cannot be"))
    }

    /// The messages that are remembered of a producer.
    fn sent(&mut self) -> Result<Vec<SentParts>> {
        let mut sent = Vec::new();
        for _ in 0..self.reader.count(SENT_LEN_MIN)? {
            sent.push(SentParts {
                iid: self.text(IID_LEN_MAX)?,
                id: self.reader.id()?,
            });
        }
        let iids: HashSet<&[u8]> = sent.iter().map(|sent| &sent.iid[..]).collect();
        if iids.len() < sent.len() {
            return Err(malformed("a message is remembered twice"));
        }
        Ok(sent)
    }
}

/// Orders consumers by name and what is pending by the time of its delivery.
fn in_order(
    mut consumers: Vec<(ConsumerParts, u32)>,
    pending: &mut [PendingParts],
) -> Vec<ConsumerParts> {
    consumers.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
    let mut places = vec![0; consumers.len()];
    for (place, (_, number)) in (0..).zip(&consumers) {
        places[*number as usize] = place;
    }
    for held in &mut *pending {
        held.consumer = places[held.consumer as usize];
    }
    pending.sort_by_key(|held| held.delivered_ms);
    consumers.into_iter().map(|(parts, _)| parts).collect()
}

/// How many entries a group has read, where a stream of the oldest layout tells.
fn estimate(payload: &Payload<'_>, cursor: EntryId) -> Result<Option<u64>> {
    let (length, last_id) = (payload.length, payload.parts.last_id);
    let mut first_id = None;
    if let Some((id, listpack)) = payload.nodes.first() {
        let mut scratch = Vec::new();
        let listpack = listpack.expand(&mut scratch, payload.node_len_max)?;
        node::visit(*id, listpack, &mut |piece| {
            if let Piece::Entry { id, .. } = piece {
                first_id.get_or_insert(id);
            }
            Ok(())
        })?;
    }
    Ok(match first_id {
        None => Some(0),
        Some(_) if cursor == last_id => Some(length),
        Some(first_id) if cursor < first_id => Some(0),
        Some(first_id) if cursor == first_id => Some(1),
        Some(_) => None,
    })
}

//! Checkpoint bodies: the state, section by section, in bincode.
//!
//! ```text
//! Head     the table of databases, and the LSN up to which it is right
//! Streams  some streams, each with the LSN that it covers; any number of these sections
//! Tail     where the checkpoint ended, and which stream numbers are used up
//! ```
//!
//! The only module that knows bincode. The envelope around a section, with its checksum, is not its
//! business. A section is decoded within a memory limit, and what it says is checked before it is
//! believed: structure here, names when recovery is finished.

use bincode::{Decode, Encode};

use crate::Lsn;
use crate::group::{Consumer, Contradiction, Group, NewPending, Pending};
use crate::id::EntryId;
use crate::index::{Index, Node};
use crate::limits::{DATABASES, KEY_LEN_MAX, NAME_LEN_MAX, SECTION_MEMORY_MAX};
use crate::log::Log;
use crate::names::Names;
use crate::state::State;
use crate::stream::Stream;

/// A section is full when it has this many bytes.
const SECTION_LEN: usize = 256 << 10;
/// A section looks at this many slots at most, so that the lock is held for a short time only.
const SECTION_SLOTS: u32 = if cfg!(test) { 1 } else { 4096 };

const CONFIG: bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Varint,
    bincode::config::Limit<SECTION_MEMORY_MAX>,
> = bincode::config::standard().with_limit::<SECTION_MEMORY_MAX>();

#[derive(Encode, Decode)]
enum Section {
    Head {
        mapping: [u8; DATABASES as usize],
        covers: u64,
    },
    Streams(Vec<StreamImage>),
    Tail {
        end: u64,
        generation_bound: u32,
    },
}

type IdImage = (u64, u64);

#[derive(Encode, Decode)]
struct StreamImage {
    number: u64,
    covers: u64,
    db: u8,
    key: Vec<u8>,
    last_id: IdImage,
    entries_added: u64,
    max_deleted: IdImage,
    tombstone: IdImage,
    expiry_ms: Option<u64>,
    used_s: u32,
    nodes: Vec<NodeImage>,
    groups: Vec<GroupImage>,
}

#[derive(Encode, Decode)]
struct NodeImage {
    first_id: IdImage,
    last_id: IdImage,
    base: u64,
    added: u32,
    /// Distances between offsets, the first from the base.
    steps: Vec<u32>,
}

#[derive(Encode, Decode)]
struct GroupImage {
    number: u32,
    name: Vec<u8>,
    cursor: IdImage,
    entries_read: Option<u64>,
    consumers: Vec<ConsumerImage>,
    /// In the order of delivery times.
    pending: Vec<PendingImage>,
}

#[derive(Encode, Decode)]
struct ConsumerImage {
    number: u32,
    name: Vec<u8>,
    seen_ms: u64,
    active_ms: Option<u64>,
}

#[derive(Encode, Decode)]
struct PendingImage {
    id: IdImage,
    delivered_ms: u64,
    delivery_count: u64,
    consumer: u32,
}

/// How far a checkpoint has come.
#[derive(Default)]
pub(crate) struct CheckpointCursor {
    has_head: bool,
    next_slot: u32,
}

impl State {
    /// Appends the next section to `out`; true when it was the last one. `log_end` is the end of
    /// the log, so that all records below it are in the section.
    pub(crate) fn checkpoint_part(
        &mut self,
        cursor: &mut CheckpointCursor,
        out: &mut Vec<u8>,
        log_end: Lsn,
    ) -> bool {
        if !cursor.has_head {
            cursor.has_head = true;
            let mapping = self.keyspace.mapping;
            put(
                out,
                &Section::Head {
                    mapping,
                    covers: log_end.0,
                },
            );
            return false;
        }
        if cursor.next_slot >= self.keyspace.slot_count() {
            let generation_bound = self.keyspace.generation_bound();
            put(
                out,
                &Section::Tail {
                    end: log_end.0,
                    generation_bound,
                },
            );
            return true;
        }
        let last_slot = self
            .keyspace
            .slot_count()
            .min(cursor.next_slot + SECTION_SLOTS);
        let (mut images, mut len) = (Vec::new(), 0);
        while cursor.next_slot < last_slot && len < SECTION_LEN {
            if let Some(stream) = self.keyspace.stream(cursor.next_slot) {
                len += stream.memory();
                images.push(StreamImage::of(stream, log_end));
            }
            cursor.next_slot += 1;
        }
        put(out, &Section::Streams(images));
        false
    }

    /// Takes in what [`State::checkpoint_part`] wrote; `log` learns where entries live.
    pub(crate) fn restore_part(
        &mut self,
        section: &[u8],
        log: &mut Log,
    ) -> Result<(), Contradiction> {
        self.begin_recovery();
        let Ok((decoded, len)) = bincode::decode_from_slice::<Section, _>(section, CONFIG) else {
            return Err("a section of the checkpoint is malformed");
        };
        if len != section.len() {
            return Err("a section of the checkpoint is longer than what it says");
        }
        match decoded {
            Section::Head { mapping, covers } => {
                let mut sorted = mapping;
                sorted.sort_unstable();
                if !sorted
                    .iter()
                    .enumerate()
                    .all(|(at, &db)| at == usize::from(db))
                {
                    return Err("the checkpoint's table of databases is malformed");
                }
                self.keyspace.mapping = mapping;
                self.mapping_covers = Lsn(covers);
            }
            Section::Streams(images) => {
                for image in images {
                    let stream = image.restore()?;
                    log.entries_live(stream.index.lsns());
                    self.keyspace.insert(Box::new(stream))?;
                }
            }
            Section::Tail {
                end,
                generation_bound,
            } => {
                self.checkpoint_end = Lsn(end);
                self.keyspace.raise_generations(generation_bound);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
impl State {
    /// All that counts of the state, as bytes that are the same if it is.
    pub(crate) fn image(&self) -> Vec<u8> {
        let image = |stream: &Stream| StreamImage {
            used_s: 0,
            ..StreamImage::of(stream, Lsn::ZERO)
        };
        let mut out = Vec::new();
        let mapping = self.keyspace.mapping;
        put(&mut out, &Section::Head { mapping, covers: 0 });
        put(
            &mut out,
            &Section::Streams(self.keyspace.streams().map(image).collect()),
        );
        for db in 0..DATABASES {
            let counts = [self.keyspace.count(db), self.keyspace.expiring_count(db)];
            out.extend(counts.map(|count| u8::try_from(count).expect("few")));
        }
        out
    }
}

fn put(out: &mut Vec<u8>, section: &Section) {
    bincode::encode_into_std_write(section, out, CONFIG).expect("a vector takes all bytes");
}

fn image(id: EntryId) -> IdImage {
    (id.ms, id.seq)
}

fn id((ms, seq): IdImage) -> EntryId {
    EntryId::new(ms, seq)
}

impl StreamImage {
    fn of(stream: &Stream, covers: Lsn) -> Self {
        Self {
            number: stream.number,
            covers: covers.0,
            db: stream.db,
            key: stream.key.to_vec(),
            last_id: image(stream.last_id),
            entries_added: stream.entries_added,
            max_deleted: image(stream.max_deleted()),
            tombstone: image(stream.tombstone()),
            expiry_ms: stream.expiry_ms(),
            used_s: stream.used_s,
            nodes: stream.index.nodes().map(NodeImage::of).collect(),
            groups: stream.groups().map(GroupImage::of).collect(),
        }
    }

    fn restore(self) -> Result<Stream, Contradiction> {
        if self.key.len() > KEY_LEN_MAX {
            return Err("a key in the checkpoint is over the limit");
        }
        let nodes: Vec<_> = self
            .nodes
            .into_iter()
            .map(NodeImage::restore)
            .collect::<Result<_, _>>()?;
        let in_order =
            |pair: &[Node]| pair[0].last_id < pair[1].first_id && pair[0].base < pair[1].base;
        if !nodes.windows(2).all(in_order) {
            return Err("nodes of a stream in the checkpoint are not in order");
        }
        let mut groups = Names::default();
        for group in self.groups {
            let (number, name, group) = group.restore()?;
            if !groups.insert(number, &name, group) {
                return Err("groups of a stream in the checkpoint clash");
            }
        }
        let mut stream = Stream::new(self.number, self.db, &self.key);
        stream.last_id = id(self.last_id);
        stream.entries_added = self.entries_added;
        stream.modified = Lsn(self.covers);
        stream.used_s = self.used_s;
        stream.index = Index::of_nodes(nodes);
        let deleted = (id(self.max_deleted), id(self.tombstone));
        stream.restore_extra(deleted, self.expiry_ms, groups);
        Ok(stream)
    }
}

impl NodeImage {
    fn of(node: &Node) -> Self {
        let mut previous = 0;
        let step = |&offset: &u32| offset - std::mem::replace(&mut previous, offset);
        Self {
            first_id: image(node.first_id),
            last_id: image(node.last_id),
            base: node.base.0,
            added: node.added,
            steps: node.offsets.iter().map(step).collect(),
        }
    }

    fn restore(self) -> Result<Node, Contradiction> {
        let mut offset = 0u32;
        let mut add = |(at, &step): (usize, &u32)| {
            offset = offset.checked_add(step).filter(|_| at == 0 || step > 0)?;
            self.base.checked_add(u64::from(offset))?;
            Some(offset)
        };
        let offsets: Option<Vec<_>> = self.steps.iter().enumerate().map(&mut add).collect();
        let offsets = offsets.filter(|offsets| !offsets.is_empty());
        Ok(Node {
            first_id: id(self.first_id),
            last_id: id(self.last_id),
            base: Lsn(self.base),
            added: self.added,
            offsets: offsets.ok_or("a node in the checkpoint is malformed")?,
        })
    }
}

impl GroupImage {
    fn of((number, name, group): (u32, &[u8], &Group)) -> Self {
        Self {
            number,
            name: name.to_vec(),
            cursor: image(group.cursor),
            entries_read: group.entries_read,
            consumers: group.consumers.iter().map(ConsumerImage::of).collect(),
            pending: group.pending.oldest_first().map(PendingImage::of).collect(),
        }
    }

    fn restore(self) -> Result<(u32, Vec<u8>, Group), Contradiction> {
        let mut group = Group::new(id(self.cursor), self.entries_read);
        let names = self.consumers.iter().map(|consumer| &consumer.name);
        if names
            .chain([&self.name])
            .any(|name| name.len() > NAME_LEN_MAX)
        {
            return Err("a name in the checkpoint is over the limit");
        }
        for ConsumerImage {
            number,
            name,
            seen_ms,
            active_ms,
        } in self.consumers
        {
            let consumer = Consumer {
                seen_ms,
                active_ms,
                ..Consumer::default()
            };
            if !group.consumers.insert(number, &name, consumer) {
                return Err("consumers of a group in the checkpoint clash");
            }
        }
        for pending in self.pending {
            group.restore_pending(pending.restore())?;
        }
        Ok((self.number, self.name, group))
    }
}

impl ConsumerImage {
    fn of((number, name, consumer): (u32, &[u8], &Consumer)) -> Self {
        let Consumer {
            seen_ms, active_ms, ..
        } = *consumer;
        Self {
            number,
            name: name.to_vec(),
            seen_ms,
            active_ms,
        }
    }
}

impl PendingImage {
    fn of(pending: &Pending) -> Self {
        let Pending {
            delivered_ms,
            delivery_count,
            consumer,
            ..
        } = *pending;
        Self {
            id: image(pending.id),
            delivered_ms,
            delivery_count,
            consumer,
        }
    }

    fn restore(self) -> NewPending {
        let Self {
            delivered_ms,
            delivery_count,
            consumer,
            ..
        } = self;
        NewPending {
            id: id(self.id),
            delivered_ms,
            delivery_count,
            consumer,
        }
    }
}

//! Checkpoint bodies: the state, section by section, in bincode.
//!
//! ```text
//! Head     the table of databases, and the LSN up to which it is right
//! Streams  some streams, each with the LSN that it covers; any number of these sections
//! Large    a stream that comes in pieces, all as of one LSN; then Nodes and Pending, in order, and
//!          LargeEnd. If that is missing, the stream was removed meanwhile
//! Tail     where the checkpoint ended, which stream numbers are used up, and which ids of sorted
//!          segments
//! ```
//!
//! The lock is held while a section is put together, not while it is encoded. The only module that
//! knows bincode. The envelope around a section, with its checksum, is not its business. A section
//! is decoded within a memory limit, and what it says is checked before it is believed: structure
//! here, names when recovery is finished.

mod capture;
mod image;

use bincode::{Decode, Encode};

use crate::Lsn;
use crate::group::Contradiction;
use crate::index::Position;
use crate::limits::{DATABASES, SECTION_MEMORY_MAX};
use crate::log::Log;
use crate::remains::Remains;
use crate::sorted::SortedSet;
use crate::state::State;
use crate::stream::Stream;
pub(crate) use capture::Capture;
pub(crate) use image::Restoring;
use image::{NodeImage, PendingImage, StreamImage};

/// A section is full when it has this many entries and pending entries.
const SECTION_WEIGHT: usize = if cfg!(test) { 3 } else { 16 << 10 };
/// A section looks at this many slots at most, so that the lock is held for a short time only.
const SECTION_SLOTS: u32 = if cfg!(test) { 1 } else { 1024 };

/// Entries whose IDs a digest takes in at once.
const DIGEST_STEP: u64 = 4096;

const CONFIG: bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Varint,
    bincode::config::Limit<SECTION_MEMORY_MAX>,
> = bincode::config::standard().with_limit::<SECTION_MEMORY_MAX>();

/// A piece of a checkpoint.
#[derive(Encode, Decode)]
pub(crate) enum Section {
    Head {
        mapping: [u8; DATABASES as usize],
        covers: u64,
    },
    Streams(Vec<StreamImage>),
    Tail {
        end: u64,
        generation_bound: u32,
        next_sorted: u64,
    },
    /// The stream with its last node.
    Large(Box<StreamImage>),
    /// Nodes before the last one.
    Nodes(Vec<NodeImage>),
    /// Pending entries by group.
    Pending(Vec<(u32, Vec<PendingImage>)>),
    LargeEnd,
}

impl Section {
    /// Whether no other follows.
    pub(crate) fn is_last(&self) -> bool {
        matches!(self, Self::Tail { .. })
    }

    /// The section that `bytes` are; what they say of streams is not checked yet.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Contradiction> {
        match bincode::decode_from_slice(bytes, CONFIG) {
            Ok((section, len)) if len == bytes.len() => Ok(section),
            Ok(_) => Err("a section of the checkpoint is longer than what it says"),
            Err(_) => Err("a section of the checkpoint is malformed"),
        }
    }

    /// Appends the section to `out`.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        bincode::encode_into_std_write(self, out, CONFIG).expect("a vector takes all bytes");
    }
}

/// How far a checkpoint has come.
#[derive(Default)]
pub(crate) struct CheckpointCursor {
    has_head: bool,
    next_slot: u32,
}

impl State {
    /// The next section. `log_end` is the end of the log, so that all records below it are in the
    /// section.
    pub(crate) fn checkpoint_part(
        &mut self,
        cursor: &mut CheckpointCursor,
        log_end: Lsn,
    ) -> Section {
        if !cursor.has_head {
            cursor.has_head = true;
            self.capture = None;
            let mapping = self.keyspace.mapping;
            let covers = log_end.0;
            return Section::Head { mapping, covers };
        }
        if let Some(section) = self.captured_part() {
            return section;
        }
        if cursor.next_slot >= self.keyspace.slot_count() {
            let generation_bound = self.keyspace.generation_bound();
            let end = log_end.0;
            let next_sorted = self.sorted.next_id();
            return Section::Tail {
                end,
                generation_bound,
                next_sorted,
            };
        }
        let last_slot = self
            .keyspace
            .slot_count()
            .min(cursor.next_slot.saturating_add(SECTION_SLOTS));
        let (mut images, mut weight) = (Vec::new(), 0);
        while cursor.next_slot < last_slot && weight < SECTION_WEIGHT {
            if let Some(stream) = self.keyspace.stream(cursor.next_slot) {
                let with_it = weight.saturating_add(stream.weight());
                if with_it > SECTION_WEIGHT && !images.is_empty() {
                    break;
                }
                if with_it > SECTION_WEIGHT {
                    cursor.next_slot += 1;
                    let (capture, head) = Capture::begin(stream, log_end);
                    self.capture = Some(Box::new(capture));
                    return Section::Large(Box::new(head));
                }
                weight = with_it;
                images.push(StreamImage::of(stream, log_end));
            }
            cursor.next_slot += 1;
        }
        Section::Streams(images)
    }

    /// The next piece of the large stream that is being captured; `None` if there is none, or it
    /// was removed.
    fn captured_part(&mut self) -> Option<Section> {
        let mut capture = self.capture.take()?;
        let stream = self.keyspace.by_number(capture.number());
        let section = stream.map(|stream| capture.next(stream));
        match section {
            Some(Section::LargeEnd) | None => self.remains.push(Remains::Memory(capture)),
            Some(_) => self.capture = Some(capture),
        }
        section
    }

    /// Takes in a section; `log` learns where entries live.
    pub(crate) fn restore_part(
        &mut self,
        section: Section,
        log: &mut Log,
    ) -> Result<(), Contradiction> {
        self.begin_recovery();
        let mut reader = Reader {
            large: self.restoring.take(),
        };
        let part = reader.take(section, &mut self.sorted)?;
        self.restoring = reader.large;
        match part {
            Part::Head { mapping, covers } => {
                self.keyspace.mapping = mapping;
                self.mapping_covers = covers;
            }
            Part::Streams(streams) => {
                for stream in streams {
                    let mut stream = stream?;
                    if self.sorted.is_salvage {
                        stream.index.find_first(log);
                    }
                    log.entries_live(stream.index.lsns());
                    if let Some(runs) = stream.index.runs() {
                        runs.retain();
                    }
                    self.keyspace.insert(stream)?;
                }
            }
            Part::Tail {
                end,
                generation_bound,
                next_sorted,
            } => {
                self.sorted.raise_next_id(next_sorted);
                self.checkpoint_end = end;
                self.keyspace.raise_generations(generation_bound);
            }
        }
        Ok(())
    }

    /// A checksum of all that counts of the state: equal states have equal ones, wherever their
    /// entries lie.
    pub(crate) fn digest(&self, log: &Log) -> crate::Result<u32> {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.keyspace.mapping);
        let (mut bytes, mut ids) = (Vec::new(), Vec::new());
        for stream in self.keyspace.streams() {
            bytes.clear();
            Section::Streams(vec![StreamImage::without_places(stream)]).encode(&mut bytes);
            hasher.update(&bytes);
            for size in stream.index.node_sizes()? {
                hasher.update(&size.live.to_le_bytes());
                hasher.update(&size.added.to_le_bytes());
            }
            let (mut from, end) = (Position::START, stream.index.end());
            while from < end {
                let to = stream.index.advance(from, DIGEST_STEP);
                ids.clear();
                stream.index.ids(from, to, log, &mut ids)?;
                for id in &ids {
                    hasher.update(&id.ms.to_le_bytes());
                    hasher.update(&id.seq.to_le_bytes());
                }
                from = to;
            }
        }
        Ok(hasher.finalize())
    }
}

/// What a section says, or all sections up to it together.
pub(crate) enum Part {
    Head {
        mapping: [u8; DATABASES as usize],
        covers: Lsn,
    },
    /// Streams of which all is there; none if the section is a piece of a large one.
    Streams(Vec<Result<Box<Stream>, Contradiction>>),
    Tail {
        end: Lsn,
        generation_bound: u32,
        next_sorted: u64,
    },
}

/// Reads sections, one after the other.
#[derive(Default)]
pub(crate) struct Reader {
    /// A large stream whose pieces are coming.
    large: Option<Restoring>,
}

impl Reader {
    /// What the next section says; `sorted` is what its streams may lie in.
    pub(crate) fn take(
        &mut self,
        section: Section,
        sorted: &mut SortedSet,
    ) -> Result<Part, Contradiction> {
        // A large stream whose end does not come was removed while the checkpoint was taken.
        let large = self.large.take();
        let mut streams = Vec::new();
        match section {
            Section::Head { mapping, covers } => return head(mapping, covers),
            Section::Streams(images) => {
                let restored = images.into_iter().map(|image| image.restore(sorted));
                streams.extend(restored.map(|stream| stream.and_then(Restoring::finish)));
            }
            Section::Large(image) => self.large = Some(image.restore(sorted)?),
            Section::Nodes(nodes) => {
                let mut large = large.ok_or(NO_LARGE)?;
                large.add_nodes(nodes)?;
                self.large = Some(large);
            }
            Section::Pending(groups) => {
                let mut large = large.ok_or(NO_LARGE)?;
                for (group, pending) in groups {
                    large.add_pending(group, pending)?;
                }
                self.large = Some(large);
            }
            Section::LargeEnd => streams.push(large.ok_or(NO_LARGE)?.finish()),
            Section::Tail {
                end,
                generation_bound,
                next_sorted,
            } => {
                let end = Lsn(end);
                return Ok(Part::Tail {
                    end,
                    generation_bound,
                    next_sorted,
                });
            }
        }
        Ok(Part::Streams(streams))
    }
}

fn head(mapping: [u8; DATABASES as usize], covers: u64) -> Result<Part, Contradiction> {
    let mut sorted = mapping;
    sorted.sort_unstable();
    let mut in_order = sorted.iter().enumerate();
    if !in_order.all(|(at, &db)| at == usize::from(db)) {
        return Err("the checkpoint's table of databases is malformed");
    }
    let covers = Lsn(covers);
    Ok(Part::Head { mapping, covers })
}

const NO_LARGE: Contradiction = "the checkpoint has a piece of a stream without its head";

#[cfg(test)]
impl State {
    /// All that counts of the state, as bytes that are the same if it is.
    pub(crate) fn image(&self) -> Vec<u8> {
        let image = |stream| {
            let mut image = StreamImage::of(stream, Lsn::ZERO);
            image.used_s = 0;
            image
        };
        let mut out = Vec::new();
        let mapping = self.keyspace.mapping;
        Section::Head { mapping, covers: 0 }.encode(&mut out);
        Section::Streams(self.keyspace.streams().map(image).collect()).encode(&mut out);
        for db in 0..DATABASES {
            let counts = [self.keyspace.count(db), self.keyspace.expiring_count(db)];
            out.extend(counts.map(|count| u8::try_from(count).expect("few")));
        }
        out
    }
}

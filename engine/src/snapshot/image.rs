//! The pieces of a checkpoint: how a stream, its nodes and its groups look as bytes.
//!
//! What comes back from a file is checked here: order, limits, numbers that clash. That it also
//! agrees with the records behind it is found out when these are applied.

use bincode::{Decode, Encode};

use crate::Lsn;
use crate::group::{Consumer, Contradiction, Group, NewPending, Pending};
use crate::id::EntryId;
use crate::index::{Index, Node, Run, RunParts, Runs, Tail};
use crate::limits::{KEY_LEN_MAX, NAME_LEN_MAX};
use crate::names::Names;
use crate::producers::{Producers, Settings};
use crate::retention::Retention;
use crate::sorted::{LostRun, SortedSet};
use crate::stream::Stream;

type IdImage = (u64, u64);

#[derive(Encode, Decode)]
pub(crate) struct StreamImage {
    number: u64,
    covers: u64,
    db: u8,
    key: Vec<u8>,
    last_id: IdImage,
    entries_added: u64,
    max_deleted: IdImage,
    tombstone: IdImage,
    expiry_ms: Option<u64>,
    pub(super) used_s: u32,
    runs: Option<RunsImage>,
    pub(super) nodes: Vec<NodeImage>,
    pub(super) groups: Vec<GroupImage>,
    producers: Option<ProducersImage>,
    retention: Option<RetentionImage>,
}

#[derive(Encode, Decode)]
struct ProducersImage {
    seconds: u32,
    count_max: u32,
    added: u64,
    repeated: u64,
    /// One producer after the other, the oldest message first.
    sent: Vec<SentImage>,
}

#[derive(Encode, Decode)]
struct RetentionImage {
    age_ms: Option<u64>,
    bytes: Option<u64>,
    length: Option<u64>,
    acked: Option<bool>,
    acked_age_ms: Option<u64>,
}

#[derive(Encode, Decode)]
struct SentImage {
    producer: Vec<u8>,
    iid: Vec<u8>,
    id: IdImage,
}

#[derive(Encode, Decode)]
pub(crate) struct RunsImage {
    first_id: IdImage,
    log_continues: bool,
    list: Vec<RunImage>,
}

#[derive(Encode, Decode)]
pub(crate) struct RunImage {
    file: u64,
    slot: u32,
    skip: u32,
    live: u32,
    nodes: u32,
    continues: bool,
    /// Ordinals, in order.
    deleted: Vec<u32>,
    /// Entries ever added to the last node, and the last ID of them, if the run does not tell.
    tail: Option<(u32, IdImage)>,
}

#[derive(Encode, Decode)]
pub(crate) struct NodeImage {
    first_id: IdImage,
    last_id: IdImage,
    base: u64,
    added: u32,
    bytes: u32,
    /// Distances between offsets, the first from the base.
    steps: Vec<u32>,
}

#[derive(Encode, Decode)]
pub(crate) struct GroupImage {
    number: u32,
    name: Vec<u8>,
    cursor: IdImage,
    entries_read: Option<u64>,
    consumers: Vec<ConsumerImage>,
    /// Ordered by ID; not all of them in the head of a large stream.
    pending: Vec<PendingImage>,
}

#[derive(Encode, Decode)]
pub(crate) struct ConsumerImage {
    number: u32,
    name: Vec<u8>,
    seen_ms: u64,
    active_ms: Option<u64>,
}

#[derive(Clone, Copy, Encode, Decode)]
pub(crate) struct PendingImage {
    id: IdImage,
    delivered_ms: u64,
    delivery_count: u64,
    consumer: u32,
}

fn image(id: EntryId) -> IdImage {
    (id.ms, id.seq)
}

fn id((ms, seq): IdImage) -> EntryId {
    EntryId::new(ms, seq)
}

impl StreamImage {
    /// A stream as it is, with all that belongs to it.
    pub(super) fn of(stream: &Stream, covers: Lsn) -> Self {
        Self {
            nodes: stream.index.log_nodes().map(NodeImage::of).collect(),
            groups: stream.groups().map(GroupImage::of).collect(),
            ..Self::head_of(stream, covers)
        }
    }

    /// A stream as it is, without nodes of the log and groups.
    pub(super) fn head_of(stream: &Stream, covers: Lsn) -> Self {
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
            runs: stream.index.runs().map(RunsImage::of),
            nodes: Vec::new(),
            groups: Vec::new(),
            producers: stream.producers().map(ProducersImage::of),
            retention: RetentionImage::of(stream.retention()),
        }
    }

    /// A stream as it is, whenever and wherever its entries were written.
    pub(super) fn without_places(stream: &Stream) -> Self {
        Self {
            used_s: 0,
            runs: None,
            groups: stream.groups().map(GroupImage::of).collect(),
            ..Self::head_of(stream, Lsn::ZERO)
        }
    }

    /// The stream, and the nodes that it has at least.
    pub(super) fn restore(self, sorted: &mut SortedSet) -> Result<Restoring, Contradiction> {
        if self.key.len() > KEY_LEN_MAX {
            return Err("a key in the checkpoint is over the limit");
        }
        let restored = |runs: RunsImage| runs.restore(self.number, sorted);
        let runs = self.runs.map(restored).transpose()?;
        let mut groups = Names::default();
        for group in self.groups {
            let (number, name, group) = group.restore()?;
            if !groups.insert(number, &name, group) {
                return Err("groups of a stream in the checkpoint clash");
            }
        }
        let mut stream = Stream::new(self.number, self.db, self.key.into());
        stream.last_id = id(self.last_id);
        stream.entries_added = self.entries_added;
        stream.modified = Lsn(self.covers);
        stream.used_s = self.used_s;
        let deleted = (id(self.max_deleted), id(self.tombstone));
        let producers = self.producers.map(|image| Box::new(image.restore()));
        stream.restore_extra(deleted, self.expiry_ms, groups, producers);
        if let Some(retention) = self.retention {
            stream.restore_retention(retention.restore());
        }
        Ok(Restoring {
            stream: Box::new(stream),
            runs,
            nodes: Vec::new(),
            last_nodes: NodeImage::restore_all(self.nodes)?,
        })
    }
}

/// A stream whose parts are coming.
pub(crate) struct Restoring {
    stream: Box<Stream>,
    runs: Option<Runs>,
    nodes: Vec<Node>,
    /// Those that came with the head; they lie behind the others.
    last_nodes: Vec<Node>,
}

impl Restoring {
    /// Takes in nodes, in order.
    pub(super) fn add_nodes(&mut self, nodes: Vec<NodeImage>) -> Result<(), Contradiction> {
        self.nodes.append(&mut NodeImage::restore_all(nodes)?);
        Ok(())
    }

    /// Takes in pending entries of a group, in order.
    pub(super) fn add_pending(
        &mut self,
        group: u32,
        pending: Vec<PendingImage>,
    ) -> Result<(), Contradiction> {
        let group = self.stream.group_mut(group);
        let group = group.ok_or("the checkpoint names a group that does not exist")?;
        let mut pending = pending.into_iter();
        pending.try_for_each(|pending| group.restore_pending(pending.restore()))
    }

    /// The stream, when all of it is there.
    pub(super) fn finish(self) -> Result<Box<Stream>, Contradiction> {
        let Self {
            mut stream,
            runs,
            mut nodes,
            mut last_nodes,
        } = self;
        if nodes.is_empty() {
            nodes = last_nodes;
        } else {
            nodes.append(&mut last_nodes);
        }
        let in_order =
            |pair: &[Node]| pair[0].last_id < pair[1].first_id && pair[0].base < pair[1].base;
        if !nodes.windows(2).all(in_order) {
            return Err("nodes of a stream in the checkpoint are not in order");
        }
        stream.index = Index::of_parts(runs, nodes);
        let numbers: Vec<_> = stream.groups().map(|(number, ..)| number).collect();
        for number in numbers {
            if let Some(group) = stream.group_mut(number) {
                group.pending.order_by_time();
            }
        }
        Ok(stream)
    }
}

impl RetentionImage {
    /// `None` if nothing was set, as for most streams.
    fn of(retention: Retention) -> Option<Self> {
        let Retention {
            age_ms,
            bytes,
            length,
            acked,
            acked_age_ms,
        } = retention;
        (retention != Retention::default()).then_some(Self {
            age_ms,
            bytes,
            length,
            acked,
            acked_age_ms,
        })
    }

    fn restore(self) -> Retention {
        Retention {
            age_ms: self.age_ms,
            bytes: self.bytes,
            length: self.length,
            acked: self.acked,
            acked_age_ms: self.acked_age_ms,
        }
    }
}

impl ProducersImage {
    fn of(producers: &Producers) -> Self {
        let sent = producers.iter().map(|(producer, iid, id)| SentImage {
            producer: producer.to_vec(),
            iid: iid.to_vec(),
            id: image(id),
        });
        Self {
            seconds: producers.settings.seconds,
            count_max: producers.settings.count_max,
            added: producers.added,
            repeated: producers.repeated,
            sent: sent.collect(),
        }
    }

    fn restore(self) -> Producers {
        let mut producers = Producers::new(Settings {
            seconds: self.seconds,
            count_max: self.count_max,
        });
        for sent in self.sent {
            producers.remember(&sent.producer, &sent.iid, id(sent.id), u32::MAX);
        }
        (producers.added, producers.repeated) = (self.added, self.repeated);
        producers
    }
}

impl RunsImage {
    fn of(runs: &Runs) -> Self {
        Self {
            first_id: image(runs.first_id),
            log_continues: runs.log_continues,
            list: runs.list.iter().map(RunImage::of).collect(),
        }
    }

    fn restore(self, stream: u64, sorted: &mut SortedSet) -> Result<Runs, Contradiction> {
        let mut list: Vec<Run> = Vec::with_capacity(self.list.len());
        let mut is_lost = false;
        for run in self.list {
            let (file, entries) = (run.file, u64::from(run.live));
            match run.restore(stream, sorted) {
                Ok(mut run) => {
                    run.continues &= !std::mem::take(&mut is_lost);
                    list.push(run);
                }
                Err(_) if sorted.is_salvage => {
                    is_lost = true;
                    let before = list.last().and_then(|run| run.row().ok());
                    sorted.note_lost(LostRun {
                        stream,
                        file,
                        entries,
                        after: before.map(|row| row.last_id),
                    });
                }
                Err(what) => return Err(what),
            }
        }
        Ok(Runs {
            list,
            first_id: id(self.first_id),
            log_continues: self.log_continues && !is_lost,
        })
    }
}

impl RunImage {
    fn of(run: &Run) -> Self {
        Self {
            file: run.file.id(),
            slot: run.slot,
            skip: run.skip,
            live: run.live,
            nodes: run.nodes,
            continues: run.continues,
            deleted: run.deleted().to_vec(),
            tail: run.tail().map(|tail| (tail.added, image(tail.last_id))),
        }
    }

    fn restore(self, stream: u64, sorted: &mut SortedSet) -> Result<Run, Contradiction> {
        let found = sorted.find_run(self.file, self.slot);
        let (file, row) = found.ok_or("a run of a stream in the checkpoint is missing")?;
        let tail = |(added, last_id)| Tail {
            added,
            last_id: id(last_id),
        };
        let parts = RunParts {
            slot: self.slot,
            skip: self.skip,
            live: self.live,
            nodes: self.nodes,
            continues: self.continues,
            deleted: self.deleted,
            tail: self.tail.map(tail),
        };
        let wrong = "a run in the checkpoint is not what its sorted segment says";
        Run::restore((&file, &row), stream, parts).ok_or(wrong)
    }
}

impl NodeImage {
    pub(super) fn of(node: &Node) -> Self {
        let mut previous = 0;
        let step = |&offset: &u32| offset - std::mem::replace(&mut previous, offset);
        Self {
            first_id: image(node.first_id),
            last_id: image(node.last_id),
            base: node.base.0,
            added: node.added,
            bytes: node.bytes,
            steps: node.offsets.iter().map(step).collect(),
        }
    }

    fn restore_all(images: Vec<Self>) -> Result<Vec<Node>, Contradiction> {
        images.into_iter().map(Self::restore).collect()
    }

    fn restore(self) -> Result<Node, Contradiction> {
        let mut offset = 0u32;
        let mut add = |(at, step): (usize, u32)| {
            offset = offset.checked_add(step).filter(|_| at == 0 || step > 0)?;
            self.base.checked_add(u64::from(offset))?;
            Some(offset)
        };
        // The same memory is used again.
        let offsets: Option<Vec<_>> = self.steps.into_iter().enumerate().map(&mut add).collect();
        let offsets = offsets.filter(|offsets| !offsets.is_empty());
        Ok(Node {
            first_id: id(self.first_id),
            last_id: id(self.last_id),
            base: Lsn(self.base),
            added: self.added,
            bytes: self.bytes,
            offsets: offsets.ok_or("a node in the checkpoint is malformed")?,
        })
    }
}

impl GroupImage {
    fn of((number, name, group): (u32, &[u8], &Group)) -> Self {
        Self {
            pending: group
                .pending
                .from(EntryId::MIN)
                .map(PendingImage::of)
                .collect(),
            ..Self::head_of((number, name, group))
        }
    }

    /// A group without what is pending.
    pub(super) fn head_of((number, name, group): (u32, &[u8], &Group)) -> Self {
        Self {
            number,
            name: name.to_vec(),
            cursor: image(group.cursor),
            entries_read: group.entries_read,
            consumers: group.consumers.iter().map(ConsumerImage::of).collect(),
            pending: Vec::new(),
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
    pub(super) fn of(pending: &Pending) -> Self {
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

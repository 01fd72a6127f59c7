//! Building a whole stream in one transaction: what RESTORE and COPY do.
//!
//! ```text
//!   StreamParts   counters, groups, what is pending   ---\
//!   EntrySource   the entries, told twice             -----> NewStream: checked and measured
//!                                                              \--> one transaction
//! ```
//!
//! The entries are not collected: their source tells them once to be checked and measured, and once
//! to be logged. So a stream that contradicts itself, or is too large, fails before anything is
//! logged, and building takes no memory for entries but that of the log's buffer.

use super::streams::{Addition, NodeChoice, check_fields};
use super::{Batch, Cursor, check_len};
use crate::error::{Error, Result};
use crate::format::entry;
use crate::format::record::{Claimed, GivenBack, GroupChange, Record, StreamChange};
use crate::id::EntryId;
use crate::limits::{FRAME_PAYLOAD_MAX, IID_LEN_MAX, NAME_LEN_MAX, RECORD_IDS_MAX};
use crate::log::Growth;
use crate::producers::Settings;
use crate::retention::Retention;

/// All of a stream but its entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamParts {
    /// The last ID that was generated or given; no entry has a higher one.
    pub last_id: EntryId,
    /// Entries ever added.
    pub entries_added: u64,
    /// The highest ID that was deleted one by one, as XSETID may have set it.
    pub max_deleted_id: EntryId,
    /// No entry above this ID was deleted one by one.
    pub deleted_up_to: EntryId,
    /// When the key expires, in milliseconds since the Unix epoch.
    pub expiry_ms: Option<u64>,
    /// The groups, ordered by name.
    pub groups: Vec<GroupParts>,
    /// What is remembered of producers; `None` if that is nothing out of the ordinary.
    pub producers: Option<ProducersParts>,
    /// How much of it is kept, as far as that was set.
    pub retention: Retention,
}

/// What a stream remembers of its producers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProducersParts {
    /// How much it remembers.
    pub settings: Settings,
    /// Messages that were ever remembered.
    pub added: u64,
    /// Messages that were sent again.
    pub repeated: u64,
    /// The producers of which anything is remembered, ordered by name.
    pub producers: Vec<ProducerParts>,
}

/// What is remembered of a producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerParts {
    /// Its name.
    pub name: Vec<u8>,
    /// Its messages, the oldest first.
    pub sent: Vec<SentParts>,
}

/// A message that is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentParts {
    /// What it was sent as.
    pub iid: Vec<u8>,
    /// The entry that came of it.
    pub id: EntryId,
}

/// All of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupParts {
    /// Its name.
    pub name: Vec<u8>,
    /// Where it stands in the stream.
    pub cursor: Cursor,
    /// Its consumers, ordered by name.
    pub consumers: Vec<ConsumerParts>,
    /// What is pending, ordered by the time of delivery.
    pub pending: Vec<PendingParts>,
    /// What was given back, in that order, with the number of its deliveries.
    pub given_back: Vec<(EntryId, u64)>,
}

/// A consumer, apart from what is pending for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerParts {
    /// Its name.
    pub name: Vec<u8>,
    /// When it last asked for something, in milliseconds since the Unix epoch.
    pub seen_ms: u64,
    /// When it last got something; `None` if never.
    pub active_ms: Option<u64>,
}

/// A pending entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingParts {
    /// The entry's ID; the entry may be gone.
    pub id: EntryId,
    /// When it was last delivered, in milliseconds since the Unix epoch.
    pub delivered_ms: u64,
    /// How often it was delivered.
    pub delivery_count: u64,
    /// For whom, as an index into the group's consumers.
    pub consumer: u32,
}

/// A piece of what an [`EntrySource`] tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// An entry.
    Entry {
        /// Its ID, above that of the entry before.
        id: EntryId,
        /// Whether it starts a logical node.
        starts_node: bool,
        /// Field, value, field, value, ...
        fields: &'a [&'a [u8]],
    },
    /// So many entries that were deleted count to the node of the entry before.
    Missing(u32),
}

/// Entries of a stream that is to be built.
pub trait EntrySource {
    /// Tells all entries, oldest first; the same ones whenever it is asked.
    ///
    /// # Errors
    ///
    /// Those of `visitor`, and [`Malformed`](crate::Error::Malformed) if the entries cannot be
    /// read.
    fn visit(&self, visitor: &mut dyn FnMut(Piece<'_>) -> Result<()>) -> Result<()>;
}

/// A stream that can be built: checked, and not larger than a transaction.
pub struct NewStream<'a> {
    parts: &'a StreamParts,
    entries: &'a dyn EntrySource,
    /// The most bytes that its records take.
    len: usize,
}

impl<'a> NewStream<'a> {
    /// Checks and measures a stream. Nothing of the store is needed for that.
    ///
    /// # Errors
    ///
    /// [`Malformed`](crate::Error::Malformed) if it contradicts itself,
    /// [`TooLarge`](crate::Error::TooLarge) if a name, an entry or all of it is over its limit.
    pub fn new(parts: &'a StreamParts, entries: &'a dyn EntrySource) -> Result<Self> {
        let mut len = parts_len(parts)?;
        check_total(len)?;
        let mut last = EntryId::MIN;
        entries.visit(&mut |piece| {
            len += match piece {
                Piece::Entry { id, fields, .. } => {
                    ensure(id > last, "the IDs of its entries do not grow")?;
                    let is_paired = !fields.is_empty() && fields.len().is_multiple_of(2);
                    ensure(is_paired, "an entry without fields, or with half a pair")?;
                    last = id;
                    entry::record_len_max(check_fields(fields)?)
                }
                Piece::Missing(count) => missing_len(count, last)?,
            };
            check_total(len)
        })?;
        ensure(last <= parts.last_id, "an entry's ID is above the last one")?;
        Ok(Self {
            parts,
            entries,
            len,
        })
    }
}

impl Batch<'_> {
    /// Makes a key that holds all of a stream; an existing key of that name is replaced if
    /// `replaces` says so.
    ///
    /// # Errors
    ///
    /// [`KeyExists`](crate::Error::KeyExists), [`TooLarge`](crate::Error::TooLarge),
    /// [`DiskFull`](crate::Error::DiskFull), [`Poisoned`](crate::Error::Poisoned). Nothing was
    /// changed then, and a key that was to be replaced is there still.
    ///
    /// # Panics
    ///
    /// If the entries' source does not tell the same twice.
    pub fn restore(
        &mut self,
        db: u8,
        key: &[u8],
        new: &NewStream<'_>,
        replaces: bool,
    ) -> Result<()> {
        let present = self.find(db, key);
        if present.is_some() && !replaces {
            return Err(Error::KeyExists);
        }
        let created = self.new_stream(db, key)?;
        self.admit(new.len + 2 * created.len_max(), Growth::Grows)?;
        if let Some(slot) = present {
            let stream = self.stream_in(slot).number;
            let change = StreamChange::Removed;
            self.commit(&Record::Stream { stream, change });
        }
        self.commit(&created);
        let slot = self.find_used(db, key).expect("it was made just now");
        self.build_entries(slot, new);
        self.build_parts(slot, new.parts);
        self.count(1);
        Ok(())
    }

    /// Logs the entries of a new stream, which were admitted.
    fn build_entries(&mut self, slot: u32, new: &NewStream<'_>) {
        let told = new.entries.visit(&mut |piece| {
            let (id, starts_node, fields) = match piece {
                Piece::Missing(count) => {
                    let highest = new.parts.deleted_up_to;
                    let missing = StreamChange::EntriesMissing { count, highest };
                    self.commit_to_stream(slot, missing);
                    return Ok(());
                }
                Piece::Entry {
                    id,
                    starts_node,
                    fields,
                } => (id, starts_node, fields),
            };
            let node = NodeChoice::starting(starts_node);
            let body_len = entry::body_len(fields);
            let put = |out: &mut Vec<u8>, head| entry::put(out, head, body_len, fields);
            let len_max = entry::record_len_max(body_len);
            self.append_entry(Addition { slot, id, node }, put, len_max);
            Ok(())
        });
        told.expect("a source tells the same whenever it is asked");
    }

    /// Logs what a new stream has besides entries, which was admitted.
    pub(super) fn build_parts(&mut self, slot: u32, parts: &StreamParts) {
        let told = each_change(parts, &mut |change| {
            self.commit_to_stream(slot, change);
            Ok(())
        });
        told.expect("logging what was admitted does not fail");
    }
}

/// Tells all that has to happen to a stream with entries so that it becomes what `parts` says.
///
/// # Errors
///
/// Those of `tell`.
pub(super) fn each_change(
    parts: &StreamParts,
    tell: &mut dyn FnMut(StreamChange<'_>) -> Result<()>,
) -> Result<()> {
    let &StreamParts {
        last_id,
        entries_added,
        max_deleted_id: max_deleted,
        deleted_up_to: highest,
        expiry_ms,
        ..
    } = parts;
    if highest != EntryId::MIN {
        tell(StreamChange::EntriesMissing { count: 0, highest })?;
    }
    tell(StreamChange::CountersSet {
        last_id,
        entries_added,
        max_deleted,
    })?;
    if expiry_ms.is_some() {
        tell(StreamChange::ExpirySet { expiry_ms })?;
    }
    if let Some(producers) = &parts.producers {
        each_change_of_producers(producers, tell)?;
    }
    if parts.retention != Retention::default() {
        let retention = parts.retention;
        tell(StreamChange::RetentionSet { retention })?;
    }
    for (group, parts) in (0..).zip(&parts.groups) {
        tell(StreamChange::GroupCreated {
            group,
            name: &parts.name,
            cursor: parts.cursor.id,
            entries_read: parts.cursor.entries_read,
        })?;
        each_change_of_group(parts, &mut |change| {
            tell(StreamChange::Group { group, change })
        })?;
    }
    Ok(())
}

fn each_change_of_producers(
    parts: &ProducersParts,
    tell: &mut dyn FnMut(StreamChange<'_>) -> Result<()>,
) -> Result<()> {
    let counts = parts.producers.iter().map(|producer| producer.sent.len());
    tell(StreamChange::ProducersSet {
        seconds: parts.settings.seconds,
        count_max: parts.settings.count_max,
        // Each message that is remembered counts.
        added: parts.added.saturating_sub(counts.sum::<usize>() as u64),
        repeated: parts.repeated,
    })?;
    for producer in &parts.producers {
        for sent in &producer.sent {
            tell(StreamChange::Remembered {
                producer: &producer.name,
                iid: &sent.iid,
                id: sent.id,
                kept: u32::MAX,
            })?;
        }
    }
    Ok(())
}

fn each_change_of_group(
    parts: &GroupParts,
    tell: &mut dyn FnMut(GroupChange<'_>) -> Result<()>,
) -> Result<()> {
    for (consumer, parts) in (0..).zip(&parts.consumers) {
        tell(GroupChange::ConsumerCreated {
            consumer,
            name: &parts.name,
            seen_ms: parts.seen_ms,
        })?;
    }
    for held in claims(&parts.pending) {
        let claimed = held.iter().map(|held| Claimed {
            id: held.id,
            delivered_ms: held.delivered_ms,
            delivery_count: held.delivery_count,
        });
        tell(GroupChange::Claimed {
            consumer: held[0].consumer,
            time_ms: held[0].delivered_ms,
            entries: claimed.collect::<Vec<_>>().into(),
        })?;
    }
    for given_back in parts.given_back.chunks(RECORD_IDS_MAX) {
        let given_back = given_back.iter();
        let given_back = given_back.map(|&(id, delivery_count)| GivenBack { id, delivery_count });
        let entries = given_back.collect::<Vec<_>>().into();
        tell(GroupChange::GivenBack { entries })?;
    }
    // A claim says that the consumer was here: what is known of that comes last.
    for (consumer, parts) in (0..).zip(&parts.consumers) {
        tell(GroupChange::ConsumerSeen {
            consumer,
            seen_ms: parts.seen_ms,
            active_ms: parts.active_ms,
        })?;
    }
    Ok(())
}

/// What is pending, in the order of delivery, as runs of one consumer that fit into a record each.
///
/// In this order each pending entry goes to the end of the group's list by time, so that building
/// takes time in proportion to what is pending, whatever the times are.
fn claims(pending: &[PendingParts]) -> impl Iterator<Item = &[PendingParts]> {
    pending
        .chunk_by(|a, b| a.consumer == b.consumer)
        .flat_map(|run| run.chunks(RECORD_IDS_MAX))
}

/// The most bytes of the records of a stream's counters and groups, which are checked.
pub(super) fn parts_len(parts: &StreamParts) -> Result<usize> {
    for producer in parts.producers.iter().flat_map(|parts| &parts.producers) {
        check_len("producer name", &producer.name, IID_LEN_MAX)?;
        for sent in &producer.sent {
            check_len("idempotent ID", &sent.iid, IID_LEN_MAX)?;
        }
    }
    let names = parts.groups.iter().map(|group| &group.name);
    ensure(names.is_sorted_by(|a, b| a < b), "two groups of one name")?;
    parts.groups.iter().try_for_each(check_group)?;
    let mut len = 0;
    each_change(parts, &mut |change| {
        len += record_len(change);
        Ok(())
    })?;
    Ok(len)
}

fn check_group(group: &GroupParts) -> Result<()> {
    check_len("group name", &group.name, NAME_LEN_MAX)?;
    let consumers = &group.consumers;
    for consumer in consumers {
        check_len("consumer name", &consumer.name, NAME_LEN_MAX)?;
    }
    let names = consumers.iter().map(|consumer| &consumer.name);
    ensure(
        names.is_sorted_by(|a, b| a < b),
        "two consumers of one name",
    )?;
    let is_known = |held: &PendingParts| (held.consumer as usize) < consumers.len();
    let are_known = group.pending.iter().all(is_known);
    ensure(are_known, "an entry is pending for nobody")?;
    let times = group.pending.iter().map(|held| held.delivered_ms);
    ensure(times.is_sorted(), "what is pending is not in order")
}

/// The most bytes of the record of missing entries, which there must be a node for.
fn missing_len(count: u32, last: EntryId) -> Result<usize> {
    ensure(last != EntryId::MIN, "entries are missing of no node")?;
    Ok(record_len(StreamChange::EntriesMissing {
        count,
        highest: last,
    }))
}

fn record_len(change: StreamChange<'_>) -> usize {
    Record::Stream { stream: 0, change }.len_max()
}

/// Refuses what does not fit into one transaction.
pub(super) fn check_total(len: usize) -> Result<()> {
    if len <= FRAME_PAYLOAD_MAX {
        return Ok(());
    }
    Err(Error::TooLarge {
        what: "stream",
        size: len as u64,
        limit: FRAME_PAYLOAD_MAX as u64,
    })
}

fn ensure(holds: bool, what: &'static str) -> Result<()> {
    holds.then_some(()).ok_or(Error::Malformed { what })
}

//! The fold over the log: what all records so far add up to.
//!
//! [`State::apply`] is the only function that changes the state, for commands as well as in
//! recovery. A checkpoint is fuzzy: each stream in it is as it was at a log position of its own,
//! its `modified`. So replay begins where the checkpoint began and skips, stream by stream, the
//! records below that position; and records of a stream that the checkpoint does not have, because
//! it was removed while the checkpoint was taken, are skipped up to where the checkpoint ended.

mod mend;

use crate::format::record::{GroupChange, Record, StreamChange};
use crate::group::Contradiction;
use crate::index::corrupt_at;
use crate::keyspace::{Keyspace, slot_of};
use crate::limits::{DATABASES, NODE_ENTRIES_MAX};
use crate::log::Log;
use crate::remains::{LARGE_DATABASE, Remains, RemainsQueue};
use crate::retention::Kept;
use crate::snapshot::{Capture, Restoring};
use crate::sorted::SortedSet;
use crate::stream::{LARGE, Stream};
use crate::{Error, Lsn, ProducerSettings, Result};
pub(crate) use mend::Mender;

/// Streams that are gone are taken out of a line so many at a time.
const GONE_AT_ONCE_MAX: usize = if cfg!(test) { 2 } else { 64 };

/// What all records so far add up to.
pub(crate) struct State {
    pub(crate) keyspace: Keyspace,
    /// The sorted segments that streams refer to.
    pub(crate) sorted: SortedSet,
    /// Entries that a logical node of a stream takes.
    pub(crate) node_entries_max: u32,
    /// How much streams that are made remember of their producers.
    pub(crate) producer_settings: ProducerSettings,
    /// How much is kept of streams for which nothing else was set.
    pub(crate) kept_by_default: Kept,
    /// Entries that went by themselves since open.
    pub(crate) retained: u64,
    /// The slot from which on streams are asked next what they may forget.
    pub(crate) forget_from: u32,
    /// Behind the last record that removed or renamed a key: what the answer "no such key" depends
    /// on.
    pub(crate) removed: Lsn,
    /// What the checkpoint covers of the table of databases.
    pub(crate) mapping_covers: Lsn,
    /// Where the checkpoint ended that recovery started from.
    pub(crate) checkpoint_end: Lsn,
    /// Changes since open, counted as Redis counts them.
    pub(crate) mutations: u64,
    /// The large stream that a checkpoint is taking in.
    pub(crate) capture: Option<Box<Capture>>,
    /// The large stream that is being restored.
    pub(crate) restoring: Option<Restoring>,
    /// What was removed and is not given back yet.
    pub(crate) remains: RemainsQueue,
    is_recovering: bool,
    /// For the choice of a random key; not a secret, not part of what the log says.
    random: u64,
    /// Where all records lie that were applied.
    #[cfg(test)]
    pub(crate) journal: Vec<Lsn>,
}

impl State {
    /// The state before the first record.
    pub(crate) fn new(node_entries_max: u32, sorted: SortedSet) -> Self {
        Self {
            sorted,
            keyspace: Keyspace::new(),
            node_entries_max: node_entries_max.clamp(1, NODE_ENTRIES_MAX),
            producer_settings: ProducerSettings::default(),
            kept_by_default: Kept::default(),
            retained: 0,
            forget_from: 0,
            removed: Lsn::ZERO,
            mapping_covers: Lsn::ZERO,
            checkpoint_end: Lsn::ZERO,
            mutations: 0,
            capture: None,
            remains: RemainsQueue::default(),
            restoring: None,
            is_recovering: false,
            random: 0,
            #[cfg(test)]
            journal: Vec::new(),
        }
    }

    /// Number of streams and of entries.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let count =
            |(streams, entries), stream: &Stream| (streams + 1, entries + stream.index.len());
        self.keyspace.streams().fold((0, 0), count)
    }

    /// A number below `bound`, or 0.
    pub(crate) fn random_below(&mut self, bound: u32) -> u32 {
        // SplitMix64, by Sebastiano Vigna.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let below = u64::from(bound)
            .checked_sub(1)
            .map_or(0, |_| mixed % u64::from(bound));
        u32::try_from(below).expect("below a number of 32 bits")
    }

    /// Recovery begins, unless it has begun: streams are found by number only.
    pub(crate) fn begin_recovery(&mut self) {
        if !self.is_recovering {
            self.is_recovering = true;
            self.keyspace.drop_tables();
        }
    }

    /// Applies the records of one frame; `lsn` is the LSN of the first byte of `payload`.
    ///
    /// # Errors
    ///
    /// [`Corrupt`](crate::Error::Corrupt) if the payload is not records, or they contradict the
    /// state.
    pub(crate) fn replay(&mut self, payload: &[u8], lsn: Lsn, log: &mut Log) -> Result<()> {
        self.begin_recovery();
        let mut rest = payload;
        while !rest.is_empty() {
            let at = lsn.plus((payload.len() - rest.len()) as u64);
            let Some(record) = Record::take(&mut rest) else {
                return Err(corrupt_at(
                    log,
                    at,
                    "expected a record, found bytes of no known kind",
                ));
            };
            self.apply(&record, at, log)?;
        }
        Ok(())
    }

    /// Recovery is over: names become known, and with them what contradicts.
    pub(crate) fn finish_recovery(&mut self, log: &Log) -> Result<()> {
        self.begin_recovery();
        self.is_recovering = false;
        self.keyspace.lines.walk = Some(0);
        self.keyspace.build_tables().map_err(|(number, what)| {
            let stream = self.keyspace.by_number(number);
            corrupt_at(
                log,
                stream.map_or(Lsn::ZERO, |stream| stream.modified),
                what,
            )
        })
    }

    /// Applies one record, which lies at `lsn`.
    ///
    /// # Errors
    ///
    /// [`Corrupt`](crate::Error::Corrupt) if the record contradicts the state.
    pub(crate) fn apply(&mut self, record: &Record<'_>, lsn: Lsn, log: &mut Log) -> Result<()> {
        #[cfg(test)]
        self.journal.push(lsn);
        let applied = match *record {
            Record::DatabasesSwapped { a, b } => self.swap_databases(a, b, lsn),
            Record::DatabaseFlushed { db } => {
                self.flush(db, lsn, log);
                Ok(())
            }
            Record::Stream { stream, ref change } => self.apply_to_stream(stream, change, lsn, log),
        };
        applied.map_err(|what| {
            let unread = self.unread_by(record, log);
            unread.unwrap_or_else(|| corrupt_at(log, lsn, what))
        })
    }

    /// Why an entry was not found that a record says is there, if it could not be read.
    fn unread_by(&self, record: &Record<'_>, log: &Log) -> Option<Error> {
        let Record::Stream {
            stream,
            change: StreamChange::EntriesDeleted { ref entries, .. },
        } = *record
        else {
            return None;
        };
        let index = &self.keyspace.by_number(stream)?.index;
        entries
            .iter()
            .find_map(|&(id, _)| index.find(id, log).err())
    }

    fn swap_databases(&mut self, a: u8, b: u8, lsn: Lsn) -> Result<(), Contradiction> {
        if a >= DATABASES || b >= DATABASES {
            return Err("a record swaps databases that do not exist");
        }
        if lsn >= self.mapping_covers {
            self.keyspace.mapping.swap(usize::from(a), usize::from(b));
            self.removed = lsn.plus(1);
        }
        Ok(())
    }

    fn flush(&mut self, db: u8, lsn: Lsn, log: &mut Log) {
        if self.keyspace.count(db) > LARGE_DATABASE && !self.is_recovering {
            let gone = self.keyspace.flush(db, lsn.plus(1));
            self.remains.push(Remains::Memory(Box::new(gone)));
            self.removed = lsn.plus(1);
            return;
        }
        for slot in self.keyspace.slots_in(db) {
            let is_covered = |stream: &Stream| lsn < stream.modified;
            if !self.keyspace.stream(slot).is_some_and(is_covered) {
                self.remove(slot, lsn, log);
            }
        }
    }

    fn apply_to_stream(
        &mut self,
        number: u64,
        change: &StreamChange<'_>,
        lsn: Lsn,
        log: &mut Log,
    ) -> Result<(), Contradiction> {
        if let StreamChange::Created { db, key } = *change {
            return self.create(number, db, key, lsn);
        }
        let slot = slot_of(number);
        let Some(stream) = self.keyspace.by_number_mut(number) else {
            let is_known = lsn < self.checkpoint_end;
            return is_known
                .then_some(())
                .ok_or("a record names a stream that does not exist");
        };
        if lsn < stream.modified {
            return Ok(());
        }
        let mut capture = self.capture.as_mut();
        capture = capture.filter(|capture| capture.number() == number);
        if let Some(capture) = &mut capture {
            capture.before(stream, change);
        }
        if !is_soft(change) {
            stream.modified = lsn.plus(1);
        }
        match *change {
            StreamChange::Removed => self.remove(slot, lsn, log),
            StreamChange::Moved { db, key } => {
                self.removed = lsn.plus(1);
                self.keyspace.rename(slot, db, key)?;
            }
            StreamChange::ExpirySet { expiry_ms } => {
                let before = stream.expiry_ms();
                stream.apply(change, lsn, log)?;
                self.keyspace.move_expiry(slot, before, expiry_ms);
            }
            StreamChange::GroupRemoved { group } => {
                let mut removed = Some(stream.remove_group(group)?);
                if let Some(capture) = capture {
                    removed = removed.and_then(|removed| capture.keep(group, removed));
                }
                let large = removed.filter(|group| group.pending.len() > LARGE);
                self.remains
                    .extend(large.map(|group| Remains::Memory(group)));
            }
            StreamChange::Trimmed { count, first } => {
                let trimmed = stream.trim(count, first, log)?;
                self.remains.extend(trimmed.map(Remains::Nodes));
            }
            StreamChange::Remembered { .. } => {
                stream.apply(change, lsn, log)?;
                self.keyspace.remembers(slot);
            }
            _ => stream.apply(change, lsn, log)?,
        }
        if !self.is_recovering {
            self.ask_retention(slot, change);
        }
        Ok(())
    }

    /// A stream is looked at if what happened to it may let entries go, or make them grow old.
    fn ask_retention(&mut self, slot: u32, change: &StreamChange<'_>) {
        let Some(stream) = self.keyspace.stream(slot) else {
            return;
        };
        let kept = stream.retention().over(self.kept_by_default);
        let is_asked = match change {
            StreamChange::RetentionSet { .. } => true,
            // A stream that was copied or restored has all that it will have.
            StreamChange::CountersSet { .. } => !kept.is_all(),
            StreamChange::EntryAdded { id, .. } => {
                let has_groups = stream.group_count() > 0;
                // A cursor may have been set ahead: nobody will ever read the entry.
                let is_read = || stream.groups().all(|(_, _, group)| *id <= group.cursor);
                !stream.place.is_any()
                    && (kept.first_age_ms(has_groups).is_some()
                        || kept.acked && has_groups && is_read())
            }
            StreamChange::GroupCreated { .. } | StreamChange::GroupRemoved { .. } => kept.acked,
            StreamChange::Group { change, .. } => kept.acked && change.may_settle(),
            _ => false,
        };
        if is_asked && let Some((lines, place)) = self.keyspace.place_mut(slot) {
            lines.ask(slot, place);
        }
    }

    /// Asks the streams in the next `count` slots, if all are to be asked.
    pub(crate) fn walk_streams(&mut self, count: u32) {
        let Some(from) = self.keyspace.lines.walk else {
            return;
        };
        let to = from.saturating_add(count).min(self.keyspace.slot_count());
        self.keyspace.lines.walk = Some(to).filter(|&to| to < self.keyspace.slot_count());
        for slot in from..to {
            let stream = self.keyspace.stream(slot);
            let is_bounded = stream.is_some_and(|stream| {
                stream.place.is_any() || !stream.retention().over(self.kept_by_default).is_all()
            });
            if is_bounded && let Some((lines, place)) = self.keyspace.place_mut(slot) {
                lines.ask(slot, place);
            }
        }
    }

    /// The slot of a stream that is to be looked at now; it does not stand in a line any more.
    /// `None` as well if there were only streams that are gone: those behind them come next time.
    pub(crate) fn next_due(&mut self, now_ms: u64) -> Option<u32> {
        for _ in 0..GONE_AT_ONCE_MAX {
            let Some(slot) = self.keyspace.lines.next_asked() else {
                break;
            };
            let found = self.keyspace.place_mut(slot);
            if found.is_some_and(|(_, place)| place.answer()) {
                return Some(slot);
            }
        }
        let slot = self.keyspace.lines.first_due(now_ms)?;
        let (lines, place) = self.keyspace.place_mut(slot)?;
        lines.wait(slot, place, None);
        Some(slot)
    }

    fn create(&mut self, number: u64, db: u8, key: &[u8], lsn: Lsn) -> Result<(), Contradiction> {
        let holder = self.keyspace.stream(slot_of(number));
        if holder.is_some_and(|holder| lsn < holder.modified) {
            return Ok(());
        }
        let mut stream = Box::new(Stream::new(number, db, key.into()));
        stream.modified = lsn.plus(1);
        self.keyspace.insert(stream)
    }

    fn remove(&mut self, slot: u32, lsn: Lsn, log: &mut Log) {
        let Some(mut stream) = self.keyspace.remove(slot) else {
            return;
        };
        stream.index.release_runs();
        self.removed = lsn.plus(1);
        if stream.weight() > LARGE {
            self.remains.push(Remains::Stream(stream));
        } else {
            log.entries_died(stream.index.lsns());
        }
    }
}

/// Whether no reply needs to wait for this: that a consumer came and got nothing, that a message
/// was sent again or grew too old.
fn is_soft(change: &StreamChange<'_>) -> bool {
    matches!(
        change,
        StreamChange::Repeated
            | StreamChange::Forgotten { .. }
            | StreamChange::Group {
                change: GroupChange::ConsumerSeen { .. },
                ..
            }
    )
}

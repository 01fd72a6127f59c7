//! What streams let go by themselves.
//!
//! What goes lies at the head, and its removal is logged like any other trim: to groups, replay and
//! who waits it is one. A length and a number of bytes are kept to by whoever adds entries; what
//! grows too old, or was acknowledged by all groups, goes when somebody calls
//! [`Batch::retain_due`], which looks at the streams only of which something is due.

use super::Batch;
use super::references::Removal;
use crate::error::{Error, Result};
use crate::format::record::StreamChange;
use crate::id::EntryId;
use crate::index::Index;
use crate::log::{Growth, Log};
use crate::retention::{Kept, Retention};
use crate::stream::Stream;

/// Slots that one call walks over.
const WALK_SLOTS: u32 = if cfg!(test) { 2 } else { 4 << 10 };
/// A stream is not looked at again because of its age for a hundredth of that age, ...
const PAUSE_SHARE: u64 = 100;
/// ... but for so many milliseconds at least ...
const PAUSE_MIN_MS: u64 = 100;
/// ... and at most. What cannot be removed is tried again after as long.
const PAUSE_MAX_MS: u64 = 60_000;
/// Length and bytes may be exceeded by a part of them before entries go, ...
const SLACK_SHARE: u64 = 16;
/// ... the length by no more than a node, the bytes by no more than this. They are counted when so
/// many more may have been added: when a node starts then, or an entry comes that is as large as
/// this share of what is kept.
const BYTES_SLACK_MAX: u64 = 1 << 20;
const LARGE_SHARE: u64 = 64;

impl Batch<'_> {
    /// Sets how much of a stream is kept.
    ///
    /// # Errors
    ///
    /// [`NoSuchKey`](crate::Error::NoSuchKey).
    pub fn set_retention(&mut self, db: u8, key: &[u8], retention: Retention) -> Result<()> {
        let slot = self.find_used(db, key).ok_or(Error::NoSuchKey)?;
        if self.stream_in(slot).retention() != retention {
            self.change(
                slot,
                StreamChange::RetentionSet { retention },
                Growth::Shrinks,
            )?;
            self.count(1);
        }
        Ok(())
    }

    /// How much of a stream is kept, as far as that was set; `None` if there is no such key.
    pub fn retention(&mut self, db: u8, key: &[u8]) -> Option<Retention> {
        let slot = self.find(db, key)?;
        Some(self.stream_in(slot).retention())
    }

    /// How many bytes on disk a stream takes, as they are compared with what is kept of it; `None`
    /// if there is no such key. Looks at each node in the log and each run.
    pub fn disk_bytes(&mut self, db: u8, key: &[u8]) -> Option<u64> {
        let slot = self.find(db, key)?;
        Some(self.stream_in(slot).index.bytes())
    }

    /// How much is kept of streams for which nothing else was set. All are looked at again.
    pub fn set_retention_defaults(&mut self, kept: Kept) {
        let state = &mut self.guard.state;
        if state.kept_by_default != kept {
            state.kept_by_default = kept;
            state.keyspace.lines.walk = Some(0);
        }
    }

    /// Removes what streams need not keep any more, of up to `limit` streams; whether there is more
    /// to do at once.
    ///
    /// # Errors
    ///
    /// Those of a trim. The stream is looked at again later; at once if it failed with
    /// [`Cold`](crate::Error::Cold).
    pub fn retain_due(&mut self, limit: usize) -> Result<bool> {
        self.guard.state.walk_streams(WALK_SLOTS);
        for _ in 0..limit {
            let Some(slot) = self.guard.state.next_due(self.now_ms) else {
                break;
            };
            self.ask();
            let retained = self.retain(slot);
            if matches!(retained, Err(Error::Cold)) {
                self.look_again(slot);
                return Err(Error::Cold);
            }
            let due_ms = match retained {
                Ok(()) => self.due_ms(slot),
                Err(_) => Some(self.now_ms + PAUSE_MAX_MS),
            };
            if let Some((lines, place)) = self.guard.state.keyspace.place_mut(slot) {
                lines.wait(slot, place, due_ms);
            }
            retained?;
        }
        Ok(self.guard.state.keyspace.lines.has_due(self.now_ms))
    }

    /// The keys of which entries went by themselves since this was last asked; database and key.
    pub fn take_retained(&mut self) -> Vec<(u8, Vec<u8>)> {
        std::mem::take(&mut self.retained)
    }

    /// An entry of so many bytes was added: others may have to go.
    pub(super) fn retain_added(&mut self, slot: u32, added: usize) {
        if self.is_too_large(slot, added as u64) {
            // The addition cannot be run again, but what is to go may go a little later.
            self.ask();
            let retained = self.retain(slot);
            self.stop_asking();
            // The entry is there; who looks after streams tries again, and says what is wrong.
            if retained.is_err() {
                self.look_again(slot);
            }
        }
    }

    fn look_again(&mut self, slot: u32) {
        if let Some((lines, place)) = self.guard.state.keyspace.place_mut(slot) {
            lines.ask(slot, place);
        }
    }

    /// Whether a stream has too many entries, or too many bytes of them, with an entry of `added`
    /// bytes.
    fn is_too_large(&mut self, slot: u32, added: u64) -> bool {
        let state = &mut self.guard.state;
        let Some(stream) = state.keyspace.stream_mut(slot) else {
            return false;
        };
        let kept = stream.retention().over(state.kept_by_default);
        let slack = (kept.length / SLACK_SHARE).min(state.node_entries_max.into());
        if kept.length > 0 && stream.index.len() > kept.length + slack {
            return true;
        }
        let is_large = added.saturating_mul(LARGE_SHARE) > kept.bytes;
        if kept.bytes == 0
            || stream.has_bytes_left(added)
            || !(is_large || stream.index.has_new_node())
        {
            return false;
        }
        let slack = (kept.bytes / SLACK_SHARE).min(BYTES_SLACK_MAX);
        let most = kept.bytes.saturating_add(slack);
        // What is sorted takes less than it did, so these may be added whatever happens meanwhile.
        let bytes = stream.index.bytes();
        stream.set_bytes_left(most.saturating_sub(bytes));
        bytes > most
    }

    /// Removes what a stream need not keep.
    fn retain(&mut self, slot: u32) -> Result<()> {
        // It may be less than when its bytes were counted.
        if let Some(stream) = self.guard.state.keyspace.stream_mut(slot) {
            stream.set_bytes_left(0);
        }
        let stream = self.stream_in(slot);
        let kept = stream.retention().over(self.guard.state.kept_by_default);
        let head = surplus(stream, kept, self.now_ms, &self.guard.log)?;
        if head > 0 {
            let (db, key) = (
                self.guard.state.keyspace.logical(stream.db),
                stream.key.to_vec(),
            );
            let removal = Removal {
                head,
                ..Removal::default()
            };
            self.remove_decided(slot, &removal, false)?;
            self.guard.state.retained += head;
            self.retained.push((db, key));
            // Entries are not all of one size: there may be more to remove.
            let stream = self.stream_in(slot);
            if surplus_bytes(&stream.index, kept.bytes) > 0 {
                self.look_again(slot);
            }
        }
        Ok(())
    }

    /// When the first entry of a stream that was just looked at grows too old.
    fn due_ms(&self, slot: u32) -> Option<u64> {
        let stream = self.stream_in(slot);
        let kept = stream.retention().over(self.guard.state.kept_by_default);
        let age_ms = kept.first_age_ms(stream.group_count() > 0)?;
        let pause_ms = (age_ms / PAUSE_SHARE).clamp(PAUSE_MIN_MS, PAUSE_MAX_MS);
        let first = (stream.index.len() > 0).then(|| stream.index.first_id());
        // Of that age it may stay, older it may not.
        let due_ms = first?.ms.saturating_add(age_ms).saturating_add(1);
        Some(due_ms.max(self.now_ms + pause_ms))
    }
}

/// How many entries at the head of a stream need not be kept.
fn surplus(stream: &Stream, kept: Kept, now_ms: u64, log: &Log) -> Result<u64> {
    let index = &stream.index;
    let by_length = match kept.length {
        0 => 0,
        length => index.len().saturating_sub(length),
    };
    let mut first_kept = first_of_age(kept.age_ms, now_ms);
    if let Some(first) = first_unacked(stream).filter(|_| kept.acked) {
        first_kept = first_kept.max(first);
        first_kept = first_kept.max(first_of_age(kept.acked_age_ms, now_ms));
    }
    let by_size = by_length.max(surplus_bytes(index, kept.bytes));
    Ok(by_size.max(rank_of(index, first_kept, log)?))
}

/// How many entries at the head are beyond so many bytes; 0 stands for any number.
fn surplus_bytes(index: &Index, bytes: u64) -> u64 {
    match bytes {
        0 => 0,
        _ => index.count_of_bytes(index.bytes().saturating_sub(bytes)),
    }
}

fn rank_of(index: &Index, id: EntryId, log: &Log) -> Result<u64> {
    if id <= index.first_id() {
        return Ok(0);
    }
    Ok(index.rank(index.lower_bound(id, log)?))
}

/// The lowest ID that is not older than so many milliseconds; 0 stands for any age.
fn first_of_age(age_ms: u64, now_ms: u64) -> EntryId {
    match age_ms {
        0 => EntryId::MIN,
        _ => EntryId::new(now_ms.saturating_sub(age_ms), 0),
    }
}

/// The lowest ID that some group has not acknowledged or not delivered; `None` without groups.
fn first_unacked(stream: &Stream) -> Option<EntryId> {
    let start = stream.index.first_id();
    let of_group = stream.groups().map(|(_, _, group)| {
        let undelivered = group.cursor.next().unwrap_or(EntryId::MAX);
        // What is pending may be gone: it does not hold what is still there.
        let pending = group.pending.from(start).next();
        pending.map_or(undelivered, |held| held.id.min(undelivered))
    });
    of_group.min()
}

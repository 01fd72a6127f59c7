//! Operations on keys: names, databases and expiry.

use super::{Batch, check_len};
use crate::error::{Error, Result};
use crate::format::record::{Record, StreamChange};
use crate::limits::{DATABASES, KEY_LEN_MAX};
use crate::log::Growth;

impl Batch<'_> {
    /// Whether the key exists.
    pub fn exists(&mut self, db: u8, key: &[u8]) -> bool {
        self.find(db, key).is_some()
    }

    /// Removes a key with its entries and groups; false if there is none.
    pub fn remove(&mut self, db: u8, key: &[u8]) -> Result<bool> {
        let Some(slot) = self.find(db, key) else {
            return Ok(false);
        };
        self.change(slot, StreamChange::Removed, Growth::Shrinks)?;
        self.count(1);
        Ok(true)
    }

    /// Gives a stream another name, maybe in another database; a key of that name is replaced.
    ///
    /// # Errors
    ///
    /// [`NoSuchKey`](crate::Error::NoSuchKey), [`TooLarge`](crate::Error::TooLarge).
    pub fn rename(&mut self, db: u8, from: &[u8], to_db: u8, to: &[u8]) -> Result<()> {
        check_len("key", to, KEY_LEN_MAX)?;
        let slot = self.find_used(db, from).ok_or(Error::NoSuchKey)?;
        let physical = self.physical(to_db).ok_or(Error::NoSuchKey)?;
        let replaced = self.find(to_db, to);
        if replaced == Some(slot) {
            return Ok(());
        }
        let moved = StreamChange::Moved {
            db: physical,
            key: to,
        };
        let moved = Record::Stream {
            stream: self.stream_in(slot).number,
            change: moved,
        };
        self.admit(2 * moved.len_max(), Growth::Shrinks)?;
        if let Some(replaced) = replaced {
            self.change(replaced, StreamChange::Removed, Growth::Shrinks)?;
        }
        self.commit(&moved);
        self.count(1);
        Ok(())
    }

    /// Copies a stream with its entries, groups and expiry to a key that does not exist. A copy is
    /// one transaction: its records take at most
    /// [`FRAME_PAYLOAD_MAX`](crate::limits::FRAME_PAYLOAD_MAX) bytes.
    ///
    /// # Errors
    ///
    /// [`NoSuchKey`](crate::Error::NoSuchKey), [`KeyExists`](crate::Error::KeyExists),
    /// [`TooLarge`](crate::Error::TooLarge).
    pub fn copy(&mut self, db: u8, from: &[u8], to_db: u8, to: &[u8]) -> Result<()> {
        check_len("key", to, KEY_LEN_MAX)?;
        let slot = self.find_used(db, from).ok_or(Error::NoSuchKey)?;
        let physical = self.physical(to_db).ok_or(Error::NoSuchKey)?;
        if self.find(to_db, to).is_some() {
            return Err(Error::KeyExists);
        }
        self.copy_stream(slot, physical, to)?;
        self.count(1);
        Ok(())
    }

    /// Exchanges two databases.
    pub fn swap_databases(&mut self, a: u8, b: u8) -> Result<()> {
        if self.physical(a).is_none() || self.physical(b).is_none() {
            return Err(Error::NoSuchKey);
        }
        let record = Record::DatabasesSwapped { a, b };
        self.admit(record.len_max(), Growth::Shrinks)?;
        self.commit(&record);
        self.count(1);
        Ok(())
    }

    /// Removes all keys of a database, or of all.
    pub fn flush(&mut self, db: Option<u8>) -> Result<()> {
        for logical in 0..DATABASES {
            let is_meant = db.is_none_or(|db| db == logical);
            let Some(physical) = self.physical(logical).filter(|_| is_meant) else {
                continue;
            };
            let count = self.guard.state.keyspace.count(physical) as u64;
            if count > 0 {
                let record = Record::DatabaseFlushed { db: physical };
                self.admit(record.len_max(), Growth::Shrinks)?;
                self.commit(&record);
                self.count(count);
            }
        }
        Ok(())
    }

    /// When the key expires, in milliseconds since the Unix epoch: `None` if there is no such key,
    /// `Some(None)` if it does not expire.
    pub fn expiry(&mut self, db: u8, key: &[u8]) -> Option<Option<u64>> {
        let slot = self.find(db, key)?;
        Some(self.stream_in(slot).expiry_ms())
    }

    /// Sets or clears when the key expires; false if there is no such key. A time that is past
    /// does not remove the key at once: the next look at it does.
    pub fn set_expiry(&mut self, db: u8, key: &[u8], expiry_ms: Option<u64>) -> Result<bool> {
        let Some(slot) = self.find_used(db, key) else {
            return Ok(false);
        };
        if self.stream_in(slot).expiry_ms() != expiry_ms {
            self.change(slot, StreamChange::ExpirySet { expiry_ms }, Growth::Shrinks)?;
            self.count(1);
        }
        Ok(true)
    }

    /// Number of keys in a database.
    #[must_use]
    pub fn key_count(&self, db: u8) -> usize {
        let keyspace = &self.guard.state.keyspace;
        self.physical(db).map_or(0, |db| keyspace.count(db))
    }

    /// Number of keys in a database that have an expiry.
    #[must_use]
    pub fn expiring_count(&self, db: u8) -> usize {
        let keyspace = &self.guard.state.keyspace;
        self.physical(db)
            .map_or(0, |db| keyspace.expiring_count(db))
    }

    /// Hands about `count` keys of a database to `visitor` and returns where to go on; a scan
    /// begins and ends with cursor 0. A key that exists during the whole scan is returned.
    pub fn scan(
        &mut self,
        db: u8,
        cursor: u64,
        count: usize,
        visitor: &mut dyn FnMut(&[u8]),
    ) -> u64 {
        let Some(physical) = self.physical(db) else {
            return 0;
        };
        self.seen = self.seen.max(self.guard.state.removed);
        let slots = self.guard.state.keyspace.slot_count();
        let first = u32::try_from(cursor).unwrap_or(slots);
        // Streams of other databases and vacant slots are passed by, but not without end.
        let last = first.saturating_add(
            u32::try_from(count)
                .unwrap_or(u32::MAX / 16)
                .saturating_mul(16),
        );
        let mut visited = 0;
        for slot in first..slots.min(last) {
            let Some(stream) = self.guard.state.keyspace.stream(slot) else {
                continue;
            };
            let is_due = stream
                .expiry_ms()
                .is_some_and(|expiry_ms| expiry_ms <= self.now_ms);
            if stream.db != physical || is_due {
                continue;
            }
            if visited == count {
                return u64::from(slot);
            }
            visitor(&stream.key);
            self.seen = self.seen.max(stream.modified);
            visited += 1;
        }
        if last < slots { u64::from(last) } else { 0 }
    }

    /// Some key of the database.
    pub fn random_key(&mut self, db: u8) -> Option<Vec<u8>> {
        let physical = self.physical(db)?;
        // Each round ends at a key or removes an expired one.
        while self.guard.state.keyspace.count(physical) > 0 {
            let slot = self.random_slot(physical)?;
            let key = self.stream_in(slot).key.to_vec();
            if self.find(db, &key).is_some() {
                return Some(key);
            }
            if self.guard.state.keyspace.stream(slot).is_some() {
                break;
            }
        }
        self.seen = self.seen.max(self.guard.state.removed);
        None
    }

    /// Removes up to `limit` keys that are due; returns how many.
    pub fn expire_due(&mut self, limit: usize) -> Result<usize> {
        let mut removed = 0;
        while removed < limit {
            let first = self.guard.state.keyspace.first_expiring();
            let Some((_, slot)) = first.filter(|&(expiry_ms, _)| expiry_ms <= self.now_ms) else {
                break;
            };
            let stream = self.stream_in(slot);
            let (number, physical, key) = (stream.number, stream.db, stream.key.to_vec());
            let record = Record::Stream {
                stream: number,
                change: StreamChange::Removed,
            };
            self.admit(record.len_max(), Growth::Shrinks)?;
            let db = self.guard.state.keyspace.logical(physical);
            self.expire(db, number, &key);
            removed += 1;
        }
        Ok(removed)
    }

    /// Milliseconds since the key was last used.
    pub fn idle_ms(&mut self, db: u8, key: &[u8]) -> Option<u64> {
        let slot = self.find(db, key)?;
        let used_ms = match self.stream_in(slot).used_s {
            // Not used since a replay made it: idle from the first look on.
            0 => self.now_ms,
            used_s => u64::from(used_s) * 1000,
        };
        Some(self.now_ms.saturating_sub(used_ms))
    }

    /// Says when a key was last used; nothing happens if there is none.
    pub fn set_idle_ms(&mut self, db: u8, key: &[u8], idle_ms: u64) {
        let used_s = self.now_ms.saturating_sub(idle_ms) / 1000;
        if let Some(slot) = self.find(db, key)
            && let Some(stream) = self.guard.state.keyspace.stream_mut(slot)
        {
            // 0 stands for a time that is not known.
            stream.used_s = u32::try_from(used_s).unwrap_or(u32::MAX).max(1);
        }
    }

    /// Marks the key as used; false if there is none.
    pub fn touch(&mut self, db: u8, key: &[u8]) -> bool {
        self.find_used(db, key).is_some()
    }

    /// Bytes of memory that the stream takes, roughly.
    pub fn memory_usage(&mut self, db: u8, key: &[u8]) -> Option<usize> {
        let slot = self.find(db, key)?;
        Some(self.stream_in(slot).memory())
    }

    /// Some slot with a stream of the database, which has at least one.
    fn random_slot(&mut self, physical: u8) -> Option<u32> {
        let state = &mut self.guard.state;
        let slots = state.keyspace.slot_count();
        let start = state.random_below(slots);
        let is_it = |slot: &u32| {
            state
                .keyspace
                .stream(*slot)
                .is_some_and(|s| s.db == physical)
        };
        (start..slots).chain(0..start).find(is_it)
    }
}

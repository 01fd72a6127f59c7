//! Operations on keys: names, databases and expiry.

use super::Batch;
use crate::error::Result;

impl Batch<'_> {
    /// Whether the key exists.
    pub fn exists(&mut self, db: u8, key: &[u8]) -> bool {
        let _ = (db, key);
        todo!()
    }

    /// Removes a key with its entries and groups; false if there is none.
    pub fn remove(&mut self, db: u8, key: &[u8]) -> Result<bool> {
        let _ = (db, key);
        todo!()
    }

    /// Gives a stream another name, maybe in another database; a key of that name is replaced.
    ///
    /// # Errors
    ///
    /// [`NoSuchKey`](crate::Error::NoSuchKey), [`TooLarge`](crate::Error::TooLarge).
    pub fn rename(&mut self, db: u8, from: &[u8], to_db: u8, to: &[u8]) -> Result<()> {
        let _ = (db, from, to_db, to);
        todo!()
    }

    /// Copies a stream with its entries, groups and expiry to a key that does not exist.
    ///
    /// # Errors
    ///
    /// [`NoSuchKey`](crate::Error::NoSuchKey), [`KeyExists`](crate::Error::KeyExists),
    /// [`TooLarge`](crate::Error::TooLarge).
    pub fn copy(&mut self, db: u8, from: &[u8], to_db: u8, to: &[u8]) -> Result<()> {
        let _ = (db, from, to_db, to);
        todo!()
    }

    /// Exchanges two databases.
    pub fn swap_databases(&mut self, a: u8, b: u8) -> Result<()> {
        let _ = (a, b);
        todo!()
    }

    /// Removes all keys of a database, or of all.
    pub fn flush(&mut self, db: Option<u8>) -> Result<()> {
        let _ = db;
        todo!()
    }

    /// When the key expires, in milliseconds since the Unix epoch: `None` if there is no such key,
    /// `Some(None)` if it does not expire.
    #[expect(
        clippy::option_option,
        reason = "no key and no expiry are different answers"
    )]
    pub fn expiry(&mut self, db: u8, key: &[u8]) -> Option<Option<u64>> {
        let _ = (db, key);
        todo!()
    }

    /// Sets or clears when the key expires; false if there is no such key. A time that is past
    /// does not remove the key at once: the next look at it does.
    pub fn set_expiry(&mut self, db: u8, key: &[u8], expiry_ms: Option<u64>) -> Result<bool> {
        let _ = (db, key, expiry_ms);
        todo!()
    }

    /// Number of keys in a database.
    #[must_use]
    pub fn key_count(&self, db: u8) -> usize {
        let _ = db;
        todo!()
    }

    /// Number of keys in a database that have an expiry.
    #[must_use]
    pub fn expiring_count(&self, db: u8) -> usize {
        let _ = db;
        todo!()
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
        let _ = (db, cursor, count, visitor);
        todo!()
    }

    /// Some key of the database.
    pub fn random_key(&mut self, db: u8) -> Option<Vec<u8>> {
        let _ = db;
        todo!()
    }

    /// Removes up to `limit` keys that are due; returns how many.
    pub fn expire_due(&mut self, limit: usize) -> Result<usize> {
        let _ = limit;
        todo!()
    }

    /// Milliseconds since the key was last used.
    pub fn idle_ms(&mut self, db: u8, key: &[u8]) -> Option<u64> {
        let _ = (db, key);
        todo!()
    }

    /// Marks the key as used; false if there is none.
    pub fn touch(&mut self, db: u8, key: &[u8]) -> bool {
        let _ = (db, key);
        todo!()
    }

    /// Bytes of memory that the stream takes, roughly.
    pub fn memory_usage(&mut self, db: u8, key: &[u8]) -> Option<usize> {
        let _ = (db, key);
        todo!()
    }
}

//! The quota of a data directory: how many bytes its files may take.
//!
//! The files are looked up when one is about to be made, so that nothing has to be counted along.
//! Backups in the directory do not count: they share most of their bytes.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::Result;
use crate::error::io_error;
use crate::storage::Storage;

/// How many bytes the files of some directories may take.
pub(super) struct Quota {
    storage: Arc<dyn Storage>,
    /// None of them has directories that count.
    dirs: Vec<PathBuf>,
    /// 0: as many as there is room for.
    bytes: AtomicU64,
}

impl Quota {
    pub(super) fn new(storage: Arc<dyn Storage>, dirs: Vec<PathBuf>, bytes: u64) -> Self {
        Self {
            storage,
            dirs,
            bytes: AtomicU64::new(bytes),
        }
    }

    pub(super) fn set(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Refuses `more` bytes beside those that there are if that is over the quota.
    pub(super) fn admit(&self, more: u64) -> Result<()> {
        let bytes = self.bytes();
        if bytes == 0 || self.used()?.saturating_add(more) <= bytes {
            return Ok(());
        }
        let source = io::ErrorKind::QuotaExceeded.into();
        Err(io_error("allocate", &self.dirs[0], source))
    }

    fn used(&self) -> Result<u64> {
        let mut used = 0;
        for dir in &self.dirs {
            match self.storage.list(dir) {
                Ok(files) => used += files.iter().map(|file| file.len).sum::<u64>(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(io_error("list", dir, error)),
            }
        }
        Ok(used)
    }
}

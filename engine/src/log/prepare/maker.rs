//! Making files ahead: zero-filled, headed, named last; and what that may meet.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::quota::Quota;
use super::{RESERVE, UNFINISHED};
use crate::error::io_error;
use crate::format::segment::Header;
use crate::storage::{Access, Storage, StorageFile, whole, write_all_at};
use crate::{Error, Lsn, Result};

/// Zeros that are written and synced at once: the disk has them in about a millisecond.
const PIECE_LEN: u64 = if cfg!(test) { 4 << 10 } else { 512 << 10 };

/// Makes, names and removes files.
pub(super) struct Maker {
    pub(super) storage: Arc<dyn Storage>,
    /// The directory of segments.
    pub(super) dir: PathBuf,
    /// The directory in which room is kept for a checkpoint.
    pub(super) room_dir: PathBuf,
    /// Number of the data directory.
    pub(super) store: AtomicU32,
    pub(super) quota: Quota,
}

/// A complete file that has not got its final name.
pub(super) struct Made {
    pub(super) path: PathBuf,
    pub(super) header: Header,
    pub(super) file: Arc<dyn StorageFile>,
}

impl Maker {
    /// Makes a zero-filled file with a header, under an unfinished name; `rest` as in
    /// [`Maker::fill`].
    pub(super) fn make(
        &self,
        name: &str,
        (first, len): (Lsn, u64),
        rest: impl FnMut(),
    ) -> Result<Made> {
        let path = self.dir.join(format!("{name}{UNFINISHED}"));
        self.fill(&path, len, rest)?;
        self.mark(&path, first, len)
    }

    pub(super) fn make_room(&self, len: u64, rest: impl FnMut()) -> Result<()> {
        let path = self.room_dir.join(format!("{RESERVE}{UNFINISHED}"));
        self.fill(&path, len, rest)?;
        self.rename(&path, &self.room_dir, RESERVE)
    }

    /// Makes a zero-filled file, piece by piece, and lets `rest` decide when to go on behind each:
    /// a sync of the log waits for all that the disk was given before. The end comes first, so that
    /// the file counts in full with the quota from then on.
    fn fill(&self, path: &Path, len: u64, mut rest: impl FnMut()) -> Result<()> {
        self.quota.admit(len)?;
        let file = whole::create(&*self.storage, path)?;
        let tail = len.saturating_sub(PIECE_LEN);
        let mut piece = tail..len;
        loop {
            if let Err(error) = file.allocate(piece.start, piece.end - piece.start) {
                drop(file);
                self.discard(path)?;
                return Err(io_error("allocate", path, error));
            }
            rest();
            let next = if piece.end == len { 0 } else { piece.end };
            if next >= tail {
                return Ok(());
            }
            piece = next..tail.min(next + PIECE_LEN);
        }
    }

    /// Writes the header of a segment to a zero-filled file.
    pub(super) fn mark(&self, path: &Path, first: Lsn, len: u64) -> Result<Made> {
        let header = Header {
            first,
            len,
            identity: self.storage.random(),
            store: self.store.load(Ordering::Relaxed),
        };
        let file = self
            .storage
            .open(path, Access::Write)
            .map_err(|error| io_error("open", path, error))?;
        write_all_at(&*file, 0, &header.encode())
            .map_err(|error| io_error("write", path, error))?;
        file.sync().map_err(|error| io_error("sync", path, error))?;
        let path = path.to_owned();
        Ok(Made { path, header, file })
    }

    pub(super) fn rename(&self, from: &Path, dir: &Path, name: &str) -> Result<()> {
        whole::publish(&*self.storage, from, &dir.join(name))
    }

    pub(super) fn discard(&self, path: &Path) -> Result<()> {
        whole::unlink(&*self.storage, path)
    }
}

/// What a round met; enough to say it again to each that asks.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    operation: &'static str,
    path: PathBuf,
    kind: io::ErrorKind,
}

impl Failure {
    pub(super) fn of(error: Error) -> Self {
        let (operation, path, kind) = match error {
            Error::Io {
                operation,
                path,
                source,
            } => (operation, path, source.kind()),
            _ => ("prepare", PathBuf::new(), io::ErrorKind::Other),
        };
        Self {
            operation,
            path,
            kind,
        }
    }

    /// What panicked while it prepared files in `dir`.
    pub(super) fn panicked(dir: &Path) -> Self {
        Self {
            operation: "prepare a segment in",
            path: dir.to_owned(),
            kind: io::ErrorKind::Other,
        }
    }

    pub(super) fn is_full(&self) -> bool {
        matches!(
            self.kind,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
        )
    }

    pub(super) fn error(&self) -> Error {
        if self.kind == io::ErrorKind::QuotaExceeded {
            Error::QuotaReached
        } else if self.is_full() {
            Error::DiskFull
        } else {
            io_error(self.operation, &self.path, self.kind.into())
        }
    }
}

//! Making files ahead: as long as they will be, headed, named last; and what that may meet.

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

/// What a file is made of before it is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blank {
    /// Room on the disk, which costs nothing; but the first sync behind a write to it takes longer,
    /// because the file system notes what was written, and holds up other writes meanwhile.
    Room,
    /// Zeros that were written, which the cache holds: a write finds its page there, and a sync has
    /// nothing to take but bytes.
    Zeros,
}

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
    /// Makes a blank file with a header, under an unfinished name; `rest` as in [`Maker::fill`].
    pub(super) fn make(
        &self,
        name: &str,
        (first, len): (Lsn, u64),
        blank: Blank,
        rest: impl FnMut(),
    ) -> Result<Made> {
        let path = self.dir.join(format!("{name}{UNFINISHED}"));
        self.fill(&path, len, blank, rest)?;
        self.mark(&path, first, len)
    }

    pub(super) fn make_room(&self, len: u64) -> Result<()> {
        let path = self.room_dir.join(format!("{RESERVE}{UNFINISHED}"));
        self.fill(&path, len, Blank::Room, || {})?;
        self.rename(&path, &self.room_dir, RESERVE)
    }

    /// Makes a blank file. Zeros are written piece by piece, and `rest` decides when
    /// to go on behind each: a sync of the log waits for all that the disk was given before.
    fn fill(&self, path: &Path, len: u64, blank: Blank, mut rest: impl FnMut()) -> Result<()> {
        self.quota.admit(len)?;
        let file = whole::create(&*self.storage, path)?;
        let mut made = file.allocate(0, len);
        let mut done = if blank == Blank::Zeros { 0 } else { len };
        while made.is_ok() && done < len {
            let piece = PIECE_LEN.min(len - done);
            made = file.zero(done, piece);
            done += piece;
            rest();
        }
        made.or_else(|error| {
            drop(file);
            self.discard(path)?;
            Err(io_error("allocate", path, error))
        })
    }

    /// Writes the header of a segment to a blank file.
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

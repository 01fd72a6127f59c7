//! Backups: a consistent copy of a directory that is in use, while commands run.
//!
//! ```text
//!   NAME.unfinished/   LOCK                 held until the backup has its name
//!                      checkpoint/<E>.ckpt  first: from now on what is missing is missed
//!                      log/<first>.seg      sealed segments, oldest first
//!                      sorted/<id>.seg      sorted segments
//!                      log/<last>.seg       the log up to E, and zeros
//!   NAME/              the same, once all of it is durable
//! ```
//!
//! A backup is the state at E, the end of a checkpoint that is taken for it: the log is durable up
//! to E, and no transaction goes on there. Files that nobody writes to any more are linked, where
//! that is possible, and copied otherwise: checkpoints, sorted segments, and the segments that
//! another segment with frames follows. The segment that E lies in is always copied.
//!
//! Until it has got to a segment, a backup *pins* it: it is not unlinked; nor is any sorted
//! segment. The state lock is held while the checkpoint is sliced and the files are listed, never
//! during I/O.

use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::Shared;
use super::open::{CHECKPOINT, LOCK, LOG, SORTED};
use super::reports::{BackupProgress, BackupReport};
use crate::checkpoint::Kept;
use crate::error::io_error;
use crate::log::prepare::UNFINISHED;
use crate::log::{Segment, segment};
use crate::sorted::SortedFile;
use crate::storage::{Access, Storage, StorageFile, read_full_at, whole, write_all_at};
use crate::{Lsn, Result};

/// Ending of the names of directories that are being made.
const UNFINISHED_DIR: &str = ".unfinished";
/// Files are copied in pieces of this size.
const PIECE_LEN: usize = 1 << 20;

/// Who is told how far a backup is, and may end it.
pub(super) type Watch<'a> = &'a mut dyn FnMut(BackupProgress) -> ControlFlow<()>;

/// What backups share.
#[derive(Default)]
pub(super) struct Backups {
    /// Held while one is being made.
    running: Mutex<()>,
    /// Segments that end behind this are still to be copied.
    pinned: Mutex<Option<Lsn>>,
}

impl Backups {
    /// Segments that end behind this must stay.
    pub(super) fn pinned(&self) -> Option<Lsn> {
        *self.pinned.lock()
    }
}

/// Lets go of the segments, on every path.
struct Pin<'a>(&'a Backups);

impl Drop for Pin<'_> {
    fn drop(&mut self) {
        *self.0.pinned.lock() = None;
    }
}

impl Shared {
    /// Makes a backup under the name `dir`, which must be free; one at a time.
    pub(super) fn backup(&self, dir: &Path, watch: Watch<'_>) -> Result<BackupReport> {
        let _one = self.backups.running.lock();
        let storage = &*self.parts.storage;
        let parent = whole::parent(dir);
        storage
            .create_dir(parent)
            .map_err(|error| io_error("create", parent, error))?;
        let entries = storage
            .list(parent)
            .map_err(|error| io_error("list", parent, error))?;
        let name = dir.file_name().unwrap_or_default().to_string_lossy();
        if entries.iter().any(|entry| entry.name == name) {
            return Err(io_error("create", dir, ErrorKind::AlreadyExists.into()));
        }
        let has_rest = |name: &str| entries.iter().any(|entry| entry.name == name);
        let unfinished = unfinished(dir);
        if has_rest(&format!("{name}{UNFINISHED_DIR}")) {
            discard(storage, &unfinished)
                .map_err(|error| io_error("remove", &unfinished, error))?;
        }
        let made = self.make_backup(&unfinished, dir, watch);
        if made.is_err() {
            // The first error says more than what may follow from it.
            drop(discard(storage, &unfinished));
        }
        made
    }

    fn make_backup(&self, unfinished: &Path, dir: &Path, watch: Watch<'_>) -> Result<BackupReport> {
        let storage = &*self.parts.storage;
        for part in [LOG, CHECKPOINT, SORTED] {
            let part = unfinished.join(part);
            storage
                .create_dir(&part)
                .map_err(|error| io_error("create", &part, error))?;
        }
        let lock = unfinished.join(LOCK);
        let held = storage
            .lock(&lock)
            .map_err(|error| io_error("lock", &lock, error))?;
        let mut copy = Copy {
            storage,
            dir: unfinished,
            watch,
            total: 0,
            report: BackupReport::default(),
        };
        let (segments, sorted, _pin) = self.begin_backup(&mut copy)?;
        copy.sorted(&sorted)?;
        copy.segments(&segments, |lsn| *self.backups.pinned.lock() = Some(lsn))?;
        whole::sync_dir(storage, unfinished)?;
        whole::publish(storage, unfinished, dir)?;
        drop(held);
        Ok(copy.report)
    }

    /// Takes a checkpoint, puts it into the backup, and pins the segments that belong to it.
    fn begin_backup(&self, copy: &mut Copy<'_>) -> Result<Begun<'_>> {
        // While this is held no other checkpoint is taken, and nothing is removed.
        let mut kept = self.checkpoints.lock();
        let end = self.checkpoint_with(&mut kept)?.end;
        let (segments, sorted): (_, Vec<_>) = {
            let mut core = self.core.lock();
            let segments = core.log.segments().before(end);
            (segments, core.state.sorted.files().cloned().collect())
        };
        *self.backups.pinned.lock() = Some(Lsn::ZERO);
        let pin = Pin(&self.backups);
        copy.report.end = end;
        copy.total = segments.iter().map(|segment| segment.len()).sum::<u64>()
            + sorted.iter().map(|file| file.len()).sum::<u64>();
        copy.checkpoint(&kept[0])?;
        Ok((segments, sorted, pin))
    }
}

/// What a backup copies, and what keeps it there.
type Begun<'a> = (Vec<Arc<Segment>>, Vec<Arc<SortedFile>>, Pin<'a>);

/// A backup under way.
struct Copy<'a> {
    storage: &'a dyn Storage,
    /// Where it is made.
    dir: &'a Path,
    watch: Watch<'a>,
    /// Bytes that it will have.
    total: u64,
    report: BackupReport,
}

impl Copy<'_> {
    fn checkpoint(&mut self, newest: &Kept) -> Result<()> {
        let dir = self.dir.join(CHECKPOINT);
        let to = dir.join(newest.path.file_name().unwrap_or_default());
        self.total += newest.report.bytes;
        self.put(&newest.path, &to, newest.report.bytes)?;
        whole::sync_dir(self.storage, &dir)
    }

    fn sorted(&mut self, files: &[Arc<SortedFile>]) -> Result<()> {
        let dir = self.dir.join(SORTED);
        for file in files {
            let to = dir.join(file.path().file_name().unwrap_or_default());
            self.put(file.path(), &to, file.len())?;
        }
        whole::sync_dir(self.storage, &dir)
    }

    /// Puts the segments, of which the last one holds the end, into the backup; `passed` is told
    /// up to where they are there.
    fn segments(&mut self, segments: &[Arc<Segment>], passed: impl Fn(Lsn)) -> Result<()> {
        let dir = self.dir.join(LOG);
        let Some((active, sealed)) = segments.split_last() else {
            return Ok(());
        };
        let end = self.report.end;
        for (index, segment) in sealed.iter().enumerate() {
            let to = dir.join(segment::name(segment.first_lsn()));
            // Recovery may write to the end of a segment that nothing follows yet.
            if segments[index + 1].frames_lsn() < end {
                self.put(segment.path(), &to, segment.len())?;
            } else {
                self.copy(segment.path(), &to, (segment.len(), segment.len()))?;
            }
            passed(segment.end_lsn());
        }
        whole::sync_dir(self.storage, &dir)?;
        // Without it, or without anything that is durable by now, nobody takes this for complete.
        let name = segment::name(active.first_lsn());
        let made = dir.join(format!("{name}{UNFINISHED}"));
        let filled = end.since(active.first_lsn());
        self.copy(active.path(), &made, (filled, active.len()))?;
        whole::publish(self.storage, &made, &dir.join(name))
    }

    /// Links a file that is complete, or copies it where that cannot be.
    fn put(&mut self, from: &Path, to: &Path, len: u64) -> Result<()> {
        if self.storage.link(from, to).is_err() {
            return self.copy(from, to, (len, len));
        }
        self.report.linked_bytes += len;
        self.advance(len)
    }

    /// Copies the first `filled` bytes of a file; zeros follow up to `len`.
    fn copy(&mut self, from: &Path, to: &Path, (filled, len): (u64, u64)) -> Result<()> {
        let open = |path: &Path, access| {
            let opened = self.storage.open(path, access);
            opened.map_err(|error| io_error("open", path, error))
        };
        let (source, target) = (open(from, Access::Read)?, open(to, Access::Create)?);
        self.copy_bytes((&*source, from), (&*target, to), filled)?;
        if filled < len {
            target
                .allocate(filled, len - filled)
                .map_err(|error| io_error("allocate", to, error))?;
            self.advance(len - filled)?;
        }
        target.sync().map_err(|error| io_error("sync", to, error))?;
        // It will not be read soon. The cache may say no.
        drop(target.drop_cache(0, len));
        self.report.copied_bytes += len;
        Ok(())
    }

    fn copy_bytes(
        &mut self,
        (source, from): (&dyn StorageFile, &Path),
        (target, to): (&dyn StorageFile, &Path),
        len: u64,
    ) -> Result<()> {
        let mut piece = vec![0; PIECE_LEN];
        let mut done = 0;
        while done < len {
            let left = usize::try_from(len - done).unwrap_or(PIECE_LEN);
            let piece = &mut piece[..left.min(PIECE_LEN)];
            let read =
                read_full_at(source, done, piece).map_err(|error| io_error("read", from, error))?;
            if read < piece.len() {
                return Err(io_error("read", from, ErrorKind::UnexpectedEof.into()));
            }
            write_all_at(target, done, piece).map_err(|error| io_error("write", to, error))?;
            done += read as u64;
            self.advance(read as u64)?;
        }
        Ok(())
    }

    fn advance(&mut self, bytes: u64) -> Result<()> {
        self.report.bytes += bytes;
        let progress = BackupProgress {
            done: self.report.bytes,
            total: self.total,
        };
        match (self.watch)(progress) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(io_error(
                "back up to",
                self.dir,
                ErrorKind::Interrupted.into(),
            )),
        }
    }
}

/// Where a directory is made that will be called `dir`.
pub(crate) fn unfinished(dir: &Path) -> PathBuf {
    let mut name = OsString::from(dir.file_name().unwrap_or_default());
    name.push(UNFINISHED_DIR);
    dir.with_file_name(name)
}

/// Removes what there is of a directory that was not finished; anything else in it is left, and an
/// error.
pub(crate) fn discard(storage: &dyn Storage, dir: &Path) -> io::Result<()> {
    let is_missing = |error: &io::Error| error.kind() == ErrorKind::NotFound;
    for part in [LOG, CHECKPOINT, SORTED] {
        let part = dir.join(part);
        let files = match storage.list(&part) {
            Err(error) if is_missing(&error) => continue,
            files => files?,
        };
        for file in files {
            storage.unlink(&part.join(file.name))?;
        }
        storage.remove_dir(&part)?;
    }
    match storage.unlink(&dir.join(LOCK)) {
        Err(error) if is_missing(&error) => {}
        unlinked => unlinked?,
    }
    storage.remove_dir(dir)
}

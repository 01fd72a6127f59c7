//! Checkpoint files: written aside, synced, renamed, and read back.
//!
//! A file gets its name only when it is complete and durable, and only when the log is durable up
//! to where it ends; the directory is synced before anything that it replaces is removed. Two are
//! kept, so that a damaged one costs a longer replay and nothing else.

use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use crate::error::io_error;
use crate::format::checkpoint::{self as format, Header, Part, Trailer};
use crate::options::Threads;
use crate::storage::{Access, DirEntry, Storage, StorageFile, read_full_at, whole, write_all_at};
use crate::{CheckpointReport, Error, Lsn, Result};

/// Ending of the names of checkpoints.
const SUFFIX: &str = ".ckpt";
/// Ending of the names of checkpoints that are being written.
const UNFINISHED: &str = ".ckpt.new";
/// The name of the file that keeps room free for a checkpoint.
const ROOM: &str = "reserve";
/// The same while it is being made.
const UNFINISHED_ROOM: &str = "reserve.new";
/// Sections are gathered up to this size before they are written.
const WRITE_LEN: usize = 1 << 20;

/// What was read, or what is wrong with it.
pub(crate) type Verified<T> = std::result::Result<T, Flaw>;

/// What is wrong with a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flaw {
    /// Offset of the part that is not what was written.
    pub(crate) offset: u64,
    pub(crate) what: &'static str,
}

/// A checkpoint that is there.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) path: PathBuf,
    pub(crate) report: CheckpointReport,
    /// Which one it is since open, counted from 1; 0 for those that were there.
    pub(crate) number: u64,
}

/// A checkpoint and its bytes.
type Whole = (Kept, Vec<u8>);

/// A checkpoint that is being written.
pub(crate) struct Writer<'a> {
    storage: &'a dyn Storage,
    dir: &'a Path,
    path: PathBuf,
    file: Arc<dyn StorageFile>,
    buffer: Vec<u8>,
    written: u64,
    sections: u32,
    begin: Lsn,
    number: u64,
}

impl<'a> Writer<'a> {
    /// Begins checkpoint `number`, with that header.
    pub(crate) fn create(
        storage: &'a dyn Storage,
        dir: &'a Path,
        (number, header): (u64, Header),
    ) -> Result<Self> {
        let begin = header.begin;
        let path = dir.join(format!("{:016x}{UNFINISHED}", begin.0));
        let file = whole::create(storage, &path)?;
        Ok(Self {
            storage,
            dir,
            path,
            file,
            buffer: format::header(header).to_vec(),
            written: 0,
            sections: 0,
            begin,
            number,
        })
    }

    /// Adds a section; an empty one is left out.
    pub(crate) fn section(&mut self, section: &[u8]) -> Result<()> {
        if section.is_empty() {
            return Ok(());
        }
        if section.len() > format::SECTION_LEN_MAX {
            return Err(Error::TooLarge {
                what: "checkpoint section",
                size: section.len() as u64,
                limit: format::SECTION_LEN_MAX as u64,
            });
        }
        let header = format::section_header(self.sections, section);
        self.sections += 1;
        self.buffer.extend_from_slice(&header);
        self.buffer.extend_from_slice(section);
        if self.buffer.len() >= WRITE_LEN {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        write_all_at(&*self.file, self.written, &self.buffer)
            .map_err(|error| io_error("write", &self.path, error))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Completes the checkpoint. The log must be durable up to `end` by now.
    pub(crate) fn finish(&mut self, end: Lsn, finished_ms: u64) -> Result<Kept> {
        let file_len = self.written + (self.buffer.len() + format::TRAILER_LEN) as u64;
        let trailer = Trailer {
            end,
            file_len,
            finished_ms,
        };
        self.buffer.extend_from_slice(&trailer.encode());
        self.flush()?;
        self.file
            .sync()
            .map_err(|error| io_error("sync", &self.path, error))?;
        let path = self.dir.join(name(end));
        whole::publish(self.storage, &self.path, &path)?;
        let report = CheckpointReport {
            begin: self.begin,
            end,
            bytes: file_len,
            finished_ms,
        };
        let number = self.number;
        Ok(Kept {
            path,
            report,
            number,
        })
    }

    /// Gives up: the unfinished file is removed.
    pub(crate) fn abandon(self) -> Result<()> {
        let (storage, path) = (self.storage, self.path.clone());
        drop(self);
        whole::unlink(storage, &path)
    }
}

/// The name of the checkpoint that ends at `end`.
fn name(end: Lsn) -> String {
    format!("{:016x}{SUFFIX}", end.0)
}

/// What is in the directory of checkpoints.
#[derive(Default)]
pub(crate) struct Found {
    /// The newest valid one, with its bytes.
    pub(crate) newest: Option<(Kept, Vec<u8>)>,
    /// Valid ones before it, newest first.
    pub(crate) older: Vec<Kept>,
    pub(crate) damaged: Vec<PathBuf>,
    /// Bytes that are kept free for another one.
    pub(crate) room: u64,
    pub(crate) unknown: Vec<PathBuf>,
}

impl Found {
    /// Leaves out the newest valid ones.
    pub(crate) fn leave_out(&mut self, storage: &dyn Storage, count: usize) -> Result<()> {
        self.newest = None;
        self.older = self
            .older
            .split_off(self.older.len().min(count.saturating_sub(1)));
        if !self.older.is_empty() {
            let next = self.older.remove(0);
            self.newest = read(storage, &next.path)?.ok();
        }
        Ok(())
    }
}

fn list(storage: &dyn Storage, dir: &Path) -> Result<Vec<DirEntry>> {
    storage
        .list(dir)
        .map_err(|error| io_error("list", dir, error))
}

/// The numbers of the data directories that the checkpoints were made in.
pub(crate) fn stores(storage: &dyn Storage, dir: &Path) -> Result<Vec<u32>> {
    let mut stores = Vec::new();
    for entry in list(storage, dir)? {
        if !entry.is_dir && is_name(&entry.name, SUFFIX) {
            let path = dir.join(&entry.name);
            let mut bytes = [0; format::HEADER_LEN];
            let (file, _) = open(storage, &path)?;
            read_full_at(&*file, 0, &mut bytes).map_err(|error| io_error("read", &path, error))?;
            stores.extend(format::decode_header(&bytes).map(|header| header.store));
        }
    }
    Ok(stores)
}

/// Looks for checkpoints of the data directory with number `store`, and removes what was not
/// finished. With threads, they are read and verified at the same time.
pub(crate) fn find(
    storage: &dyn Storage,
    dir: &Path,
    store: u32,
    threads: Threads,
) -> Result<Found> {
    let mut found = Found::default();
    let mut paths = Vec::new();
    for entry in list(storage, dir)?.iter().rev() {
        let path = dir.join(&entry.name);
        let is_unfinished = is_name(&entry.name, UNFINISHED) || entry.name == UNFINISHED_ROOM;
        if !entry.is_dir && is_unfinished {
            whole::unlink(storage, &path)?;
        } else if !entry.is_dir && entry.name == ROOM {
            found.room = entry.len;
        } else if entry.is_dir || !is_name(&entry.name, SUFFIX) {
            found.unknown.push(path);
        } else {
            paths.push(path);
        }
    }
    let reads = read_all(storage, &paths, threads);
    for (path, read) in paths.into_iter().zip(reads) {
        match read? {
            Ok((_, bytes)) if store_of(&bytes) != Some(store) => found.damaged.push(path),
            Ok((kept, bytes)) if found.newest.is_none() => found.newest = Some((kept, bytes)),
            Ok((kept, _)) => found.older.push(kept),
            Err(_) => found.damaged.push(path),
        }
    }
    Ok(found)
}

/// What [`read`] says of each, in order.
fn read_all(
    storage: &dyn Storage,
    paths: &[PathBuf],
    threads: Threads,
) -> Vec<Result<Verified<Whole>>> {
    match threads {
        Threads::Inline => paths.iter().map(|path| read(storage, path)).collect(),
        Threads::Background => thread::scope(|scope| {
            let begun = paths
                .iter()
                .map(|path| scope.spawn(move || read(storage, path)));
            let reading: Vec<_> = begun.collect();
            let ended = reading.into_iter().map(thread::ScopedJoinHandle::join);
            ended
                .map(|read| read.unwrap_or_else(|panic| resume_unwind(panic)))
                .collect()
        }),
    }
}

/// Whether a file of that name is a checkpoint.
pub(crate) fn is_checkpoint(name: &str) -> bool {
    is_name(name, SUFFIX)
}

fn is_name(name: &str, suffix: &str) -> bool {
    name.strip_suffix(suffix)
        .is_some_and(|lsn| lsn.len() == 16 && lsn.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn store_of(bytes: &[u8]) -> Option<u32> {
    format::decode_header(bytes).ok().map(|header| header.store)
}

fn open(storage: &dyn Storage, path: &Path) -> Result<(Arc<dyn StorageFile>, u64)> {
    let file = storage
        .open(path, Access::Read)
        .map_err(|error| io_error("open", path, error))?;
    let size = file.size().map_err(|error| io_error("stat", path, error))?;
    Ok((file, size))
}

/// The bytes of a file.
pub(crate) fn bytes_of(storage: &dyn Storage, path: &Path) -> Result<Vec<u8>> {
    let (file, size) = open(storage, path)?;
    let size = usize::try_from(size)
        .map_err(|_| io_error("read", path, std::io::ErrorKind::FileTooLarge.into()))?;
    let mut bytes = vec![0; size];
    let read =
        read_full_at(&*file, 0, &mut bytes).map_err(|error| io_error("read", path, error))?;
    bytes.truncate(read);
    Ok(bytes)
}

/// A section of a checkpoint that may be damaged.
#[derive(Clone, Copy)]
pub(crate) struct Remains<'a> {
    pub(crate) offset: u64,
    pub(crate) len: u64,
    /// Its bytes; an error says what is wrong with it.
    pub(crate) section: std::result::Result<&'a [u8], &'static str>,
}

/// The sections of a checkpoint as far as they can be told apart; the last one may be an error.
pub(crate) fn remains(bytes: &[u8]) -> impl Iterator<Item = Remains<'_>> {
    let mut rest = bytes.get(format::HEADER_LEN..).unwrap_or_default();
    let mut index = 0;
    std::iter::from_fn(move || {
        let offset = bytes.len() - rest.len();
        let (mut behind, before) = (rest, rest.len());
        let section = match format::take_part(&mut behind, index) {
            Ok(Part::Trailer(_)) => return None,
            Ok(Part::Section(section)) => Ok(section),
            Err(_) if rest.is_empty() => return None,
            Err(what) => {
                // Its length may be right even so: what follows will tell.
                behind = format::skip_part(rest);
                Err(what)
            }
        };
        rest = behind;
        index += 1;
        Some(Remains {
            offset: offset as u64,
            len: (before - rest.len()) as u64,
            section,
        })
    })
}

/// Reads and verifies a checkpoint; the inner error says what is wrong with it.
pub(crate) fn read(storage: &dyn Storage, path: &Path) -> Result<Verified<Whole>> {
    let (file, size) = open(storage, path)?;
    let flaw = |offset, what| Ok(Err(Flaw { offset, what }));
    // Memory is taken for what a trailer vouches for, whatever the length of the file.
    let end = size.saturating_sub(format::TRAILER_LEN as u64);
    let mut trailer = [0; format::TRAILER_LEN];
    let read =
        read_full_at(&*file, end, &mut trailer).map_err(|error| io_error("read", path, error))?;
    match Trailer::decode(&trailer[..read]) {
        Ok(trailer) if trailer.file_len == size => {}
        Ok(_) => return flaw(end, "a checkpoint is not as long as it says"),
        Err(what) => return flaw(end, what),
    }
    let Ok(size) = usize::try_from(size) else {
        return flaw(0, "the length of a checkpoint is over its limit");
    };
    // Not the same vector again: new memory is zero without being written to.
    let mut bytes = vec![0; size];
    let read =
        read_full_at(&*file, 0, &mut bytes).map_err(|error| io_error("read", path, error))?;
    bytes.truncate(read);
    let report = match verify(&bytes) {
        Ok(report) => report,
        Err(flaw) => return Ok(Err(flaw)),
    };
    if path.file_name().and_then(|name| name.to_str()) != Some(&name(report.end)) {
        return flaw(0, "the name of a checkpoint is not that of its end");
    }
    let path = path.to_owned();
    let kept = Kept {
        path,
        report,
        number: 0,
    };
    Ok(Ok((kept, bytes)))
}

/// Verifies all checksums; the error says what is wrong where.
pub(crate) fn verify(bytes: &[u8]) -> Verified<CheckpointReport> {
    let header = format::decode_header(bytes).map_err(|what| Flaw { offset: 0, what })?;
    let begin = header.begin;
    let mut rest = &bytes[format::HEADER_LEN..];
    let mut index = 0;
    let trailer = loop {
        let offset = (bytes.len() - rest.len()) as u64;
        match format::take_part(&mut rest, index).map_err(|what| Flaw { offset, what })? {
            Part::Section(_) => index += 1,
            Part::Trailer(trailer) => break trailer,
        }
    };
    if trailer.file_len != bytes.len() as u64 || trailer.end < begin {
        return Err(Flaw {
            offset: (bytes.len() - rest.len()) as u64,
            what: "a checkpoint contradicts itself",
        });
    }
    Ok(CheckpointReport {
        begin,
        end: trailer.end,
        bytes: trailer.file_len,
        finished_ms: trailer.finished_ms,
    })
}

/// The sections of a checkpoint that [`find`] has verified.
pub(crate) fn sections(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes.get(format::HEADER_LEN..).unwrap_or_default();
    let mut index = 0;
    std::iter::from_fn(move || match format::take_part(&mut rest, index) {
        Ok(Part::Section(section)) => {
            index += 1;
            Some(section)
        }
        Ok(Part::Trailer(_)) | Err(_) => None,
    })
}

//! One file of the log, mapped for reading.
//!
//! Invariant: bytes below `filled` have been written and are never written again while the
//! segment is open; only they are handed out. A sealed segment is a map without an open file, so
//! that the number of segments is not bounded by that of file descriptors.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::error::io_error;
use crate::format::entry::{self, Entry};
use crate::format::segment::{FIELDS_LEN, HEADER_LEN, Header};
use crate::limits::SEGMENT_SIZE_MAX;
use crate::storage::{Access, Map, Storage, StorageFile, read_full_at, write_all_at};
use crate::{Error, Lsn, Result};

/// Ending of the names of segment files.
const SUFFIX: &str = ".seg";
/// The cache forgets whole pages, and the largest are of this size.
const CACHE_STEP: u64 = 2 << 20;
/// A segment is read in pieces of this size.
const READ_LEN: usize = 256 << 10;
/// Hexadecimal digits of an LSN in a name.
const NAME_DIGITS: usize = 16;

/// What is wrong where an entry should be.
pub(crate) const NO_ENTRY: &str = "expected an entry, found bytes that do not match its checksum";

/// One file of the log.
pub(crate) struct Segment {
    path: PathBuf,
    header: Header,
    /// `None` once the segment is sealed.
    file: Mutex<Option<Arc<dyn StorageFile>>>,
    map: Map,
    filled: AtomicU64,
    /// What is wrong with the file as a whole, if anything is.
    flaw: Option<Flaw>,
}

/// What is wrong with a file of which some is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// It is shorter than its header says.
    Cut,
    /// Its header cannot be read: frames cannot be verified, but entries can.
    Headless,
}

impl Segment {
    /// Opens a file whose header is in place.
    pub(crate) fn open(storage: &dyn Storage, path: &Path) -> Result<Self> {
        let file = storage
            .open(path, Access::Write)
            .map_err(|error| io_error("open", path, error))?;
        let mut bytes = [0; FIELDS_LEN];
        read_full_at(&*file, 0, &mut bytes).map_err(|error| io_error("read", path, error))?;
        let corrupt = |what| Error::Corrupt {
            path: path.to_owned(),
            offset: 0,
            what,
        };
        let header = Header::decode(&bytes).map_err(corrupt)?;
        if path.file_name().and_then(|name| name.to_str()) != Some(&name(header.first)) {
            return Err(corrupt("the name of a segment is not that of its header"));
        }
        let size = file.size().map_err(|error| io_error("stat", path, error))?;
        if size < header.len {
            return Err(Error::Corrupt {
                path: path.to_owned(),
                offset: size,
                what: "a log segment is shorter than its header says",
            });
        }
        Self::new(path.to_owned(), header, file)
    }

    /// Opens what is left of a file that [`Segment::open`] refuses, to read entries from it, and
    /// frames if there is a header.
    pub(crate) fn open_remains(storage: &dyn Storage, path: &Path) -> Result<Option<Self>> {
        let file = storage
            .open(path, Access::Read)
            .map_err(|error| io_error("open", path, error))?;
        let size = file.size().map_err(|error| io_error("stat", path, error))?;
        let mut bytes = [0; FIELDS_LEN];
        read_full_at(&*file, 0, &mut bytes).map_err(|error| io_error("read", path, error))?;
        let named = path.file_name().and_then(|name| name.to_str());
        let Some(first) = named
            .and_then(parse_name)
            .filter(|_| size > HEADER_LEN as u64)
        else {
            return Ok(None);
        };
        let header = Header::decode(&bytes).ok();
        let (header, flaw) = match header.filter(|header| header.first == first) {
            Some(header) if size >= header.len => return Ok(None),
            Some(header) => (header, Flaw::Cut),
            None => {
                let (len, identity) = (size.min(SEGMENT_SIZE_MAX), 0);
                if first.0.checked_add(len).is_none() {
                    return Ok(None);
                }
                let header = Header {
                    first,
                    len,
                    identity,
                    store: 0,
                };
                (header, Flaw::Headless)
            }
        };
        let mut segment = Self::map(path.to_owned(), header, file, size.min(header.len))?;
        segment.flaw = Some(flaw);
        Ok(Some(segment))
    }

    /// Wraps a file that has been prepared for `header`.
    pub(crate) fn new(path: PathBuf, header: Header, file: Arc<dyn StorageFile>) -> Result<Self> {
        Self::map(path, header, file, header.len)
    }

    fn map(path: PathBuf, header: Header, file: Arc<dyn StorageFile>, len: u64) -> Result<Self> {
        let map = file
            .map(len)
            .map_err(|error| io_error("map", &path, error))?;
        Ok(Self {
            path,
            header,
            file: Mutex::new(Some(file)),
            map,
            filled: AtomicU64::new(HEADER_LEN as u64),
            flaw: None,
        })
    }

    /// What has been written so far, the header included.
    pub(crate) fn bytes(&self) -> &[u8] {
        // Pairs with the release in `mark_filled`: who sees the length sees the bytes.
        let filled = self.filled.load(Ordering::Acquire);
        let filled = usize::try_from(filled).expect("a segment is mapped, so its length fits");
        self.map.prefix(filled.min(self.map.len()))
    }

    /// The entry at `lsn`, verified.
    pub(crate) fn entry(&self, lsn: Lsn) -> Result<Entry<'_>> {
        let offset = lsn.since(self.first_lsn());
        let bytes = usize::try_from(offset).ok();
        let bytes = bytes.and_then(|offset| self.bytes().get(offset..));
        let found = bytes.and_then(|bytes| entry::entry(bytes, lsn));
        found.ok_or_else(|| Error::Corrupt {
            path: self.path.clone(),
            offset,
            what: NO_ENTRY,
        })
    }

    /// What is wrong with the file as a whole, if anything is.
    pub(crate) fn flaw(&self) -> Option<Flaw> {
        self.flaw
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The LSN of the file's first byte.
    pub(crate) fn first_lsn(&self) -> Lsn {
        self.header.first
    }

    /// The LSN behind the file's last byte, where the next segment starts.
    pub(crate) fn end_lsn(&self) -> Lsn {
        self.header.first.plus(self.header.len)
    }

    /// The LSN of the first frame.
    pub(crate) fn frames_lsn(&self) -> Lsn {
        self.header.first.plus(HEADER_LEN as u64)
    }

    /// Bytes of log that the file covers.
    pub(crate) fn len(&self) -> u64 {
        self.header.len
    }

    /// Number of the data directory that it was made in.
    pub(crate) fn store(&self) -> u32 {
        self.header.store
    }

    pub(crate) fn identity(&self) -> u64 {
        self.header.identity
    }

    pub(crate) fn covers(&self, lsn: Lsn) -> bool {
        self.first_lsn() <= lsn && lsn < self.end_lsn()
    }

    /// Writes at `lsn`, where nobody reads.
    pub(crate) fn write(&self, lsn: Lsn, bytes: &[u8]) -> Result<()> {
        write_all_at(&*self.file()?, lsn.since(self.first_lsn()), bytes)
            .map_err(|error| io_error("write", &self.path, error))
    }

    /// Lets readers see what lies before `lsn`.
    pub(crate) fn mark_filled(&self, lsn: Lsn) {
        self.filled
            .store(lsn.since(self.first_lsn()), Ordering::Release);
    }

    fn file(&self) -> Result<Arc<dyn StorageFile>> {
        let sealed = || {
            io_error(
                "write",
                &self.path,
                io::ErrorKind::ReadOnlyFilesystem.into(),
            )
        };
        self.file.lock().clone().ok_or_else(sealed)
    }

    /// Nothing will be written any more.
    pub(crate) fn seal(&self) {
        *self.file.lock() = None;
    }

    pub(crate) fn sync(&self) -> Result<()> {
        self.file()?
            .sync()
            .map_err(|error| io_error("sync", &self.path, error))
    }

    /// Reads all from `lsn` on, from the cache if it is there. Zeros, which is what a segment is
    /// full of before it is written to, take no memory.
    pub(crate) fn read(&self, lsn: Lsn) -> Result<Vec<u8>> {
        let file = self.file()?;
        let first = lsn.since(self.first_lsn());
        let len = usize::try_from(self.header.len.saturating_sub(first));
        let mut bytes = vec![0; len.expect("a segment is mapped, so its length fits")];
        let mut piece = vec![0; READ_LEN.min(bytes.len())];
        for (index, part) in bytes.chunks_mut(READ_LEN).enumerate() {
            let offset = first + (index * READ_LEN) as u64;
            let piece = &mut piece[..part.len()];
            let read = read_full_at(&*file, offset, piece)
                .map_err(|error| io_error("read", &self.path, error))?;
            if read < part.len() && self.flaw != Some(Flaw::Cut) {
                return Err(self.too_short(offset + read as u64));
            }
            piece[read..].fill(0);
            // Summing up is faster than asking each byte.
            if piece.iter().fold(0, |all, byte| all | byte) != 0 {
                part.copy_from_slice(piece);
            }
        }
        Ok(bytes)
    }

    fn too_short(&self, offset: u64) -> Error {
        Error::Corrupt {
            path: self.path.clone(),
            offset,
            what: "a log segment is shorter than its header says",
        }
    }

    /// Reads at most `len_max` bytes from `lsn` on, past the cache, so that what is seen is what
    /// the disk holds.
    pub(crate) fn read_uncached(&self, lsn: Lsn, len_max: u64, into: &mut Vec<u8>) -> Result<()> {
        let file = self.file()?;
        let offset = lsn.since(self.first_lsn());
        let len = self.header.len.saturating_sub(offset).min(len_max);
        let first = offset / CACHE_STEP * CACHE_STEP;
        let end = (offset + len).next_multiple_of(CACHE_STEP);
        file.drop_cache(first, end - first)
            .map_err(|error| io_error("drop cache of", &self.path, error))?;
        let len = usize::try_from(len);
        into.clear();
        into.resize(len.expect("a segment is mapped, so its length fits"), 0);
        let read = read_full_at(&*file, offset, into)
            .map_err(|error| io_error("read", &self.path, error))?;
        if read < into.len() && self.flaw != Some(Flaw::Cut) {
            return Err(self.too_short(offset + read as u64));
        }
        Ok(())
    }
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment")
            .field("path", &self.path)
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

/// The name of the segment that starts at `first`.
pub(crate) fn name(first: Lsn) -> String {
    format!("{:016x}{SUFFIX}", first.0)
}

/// Where the segment starts that covered `lsn` and is missing, if those up to `next`, which is
/// there and has that length, were as long.
pub(crate) fn missing_before((next, len): (Lsn, u64), lsn: Lsn) -> Lsn {
    let back = next.since(lsn).div_ceil(len).saturating_mul(len);
    Lsn(next.0.saturating_sub(back))
}

/// Where the segment of that name starts; `None` if it is not the name of a segment.
pub(crate) fn parse_name(name: &str) -> Option<Lsn> {
    let digits = name.strip_suffix(SUFFIX)?;
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if digits.len() != NAME_DIGITS || !digits.bytes().all(is_hex) {
        return None;
    }
    u64::from_str_radix(digits, 16).ok().map(Lsn)
}

//! The seam: the only way to disk and time.
//!
//! [`RealStorage`] is a thin layer over the operating system. The simulated one (feature
//! `simulation`) keeps a volatile and a durable image of every file and crashes from a seed.
//! Nothing but a sync makes anything durable: [`StorageFile::sync`] the bytes and the length of a
//! file, [`Storage::sync_dir`] the names in a directory.

pub(crate) mod read_only;
mod real;
#[cfg(any(test, feature = "simulation"))]
pub mod simulated;
pub(crate) mod whole;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use crate::map::Map;
pub use real::{RealStorage, SystemClock};

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// An existing file, for reading.
    Read,
    /// An existing file, for reading and writing.
    Write,
    /// A new, empty file, for reading and writing; it must not exist.
    Create,
}

/// A file in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// Its name without the directory; lossy if it is not UTF-8.
    pub name: String,
    /// Its length in bytes.
    pub len: u64,
    /// Whether it is a directory.
    pub is_dir: bool,
}

/// A file system.
pub trait Storage: Send + Sync + 'static {
    /// Makes a directory and its parents, and makes their names durable; one that exists is fine.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Removes an empty directory.
    fn remove_dir(&self, dir: &Path) -> io::Result<()>;
    /// Lists a directory, sorted by name.
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>>;
    /// Opens or creates a file.
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn StorageFile>>;
    /// Creates the file if needed and holds it locked until the guard is dropped;
    /// [`io::ErrorKind::WouldBlock`] if someone else holds it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>>;
    /// Gives a file or directory another name; a file of that name is replaced.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives a file a second name, which must be free, on the same file system.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a name. Open files and maps stay usable.
    fn unlink(&self, path: &Path) -> io::Result<()>;
    /// The path of a directory that exists, without `..` and links in it.
    fn canonical(&self, dir: &Path) -> io::Result<PathBuf> {
        Ok(dir.to_owned())
    }
    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// A number that was never given before, to tell apart what the same name has held.
    fn random(&self) -> u64;
}

/// An open file.
pub trait StorageFile: Send + Sync {
    /// The file's length in bytes.
    fn size(&self) -> io::Result<u64>;
    /// Writes at a position; may write less than asked, and may be interrupted.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize>;
    /// Reads from a position; 0 at the end of the file.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
    /// Makes the bytes and the length durable.
    fn sync(&self) -> io::Result<()>;
    /// Takes room on the disk for `[offset, offset + len)`, where nothing was written yet, so that
    /// writes there cannot find it full; durably. It reads as zeros.
    fn allocate(&self, offset: u64, len: u64) -> io::Result<()>;
    /// Writes zeros to `[offset, offset + len)`, which is allocated, and makes them durable: what
    /// was allocated only has to be noted as written by the first sync behind each write to it.
    fn zero(&self, offset: u64, len: u64) -> io::Result<()>;
    /// Forgets what is cached of `[offset, offset + len)`, so that reads show what the disk holds.
    fn drop_cache(&self, offset: u64, len: u64) -> io::Result<()>;
    /// Maps the first `len` bytes for reading.
    fn map(&self, len: u64) -> io::Result<Map>;
}

/// Time.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since the Unix epoch.
    fn now_ms(&self) -> u64;
    /// Time since some fixed point; never goes back.
    fn monotonic(&self) -> Duration;
}

/// Writes all of `bytes`, however many calls that takes.
pub(crate) fn write_all_at(file: &dyn StorageFile, offset: u64, bytes: &[u8]) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match file.write_at(offset + done as u64, &bytes[done..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => done += written,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads until `buffer` is full or the file ends; the number of bytes read.
pub(crate) fn read_full_at(
    file: &dyn StorageFile,
    offset: u64,
    buffer: &mut [u8],
) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(offset + done as u64, &mut buffer[done..]) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

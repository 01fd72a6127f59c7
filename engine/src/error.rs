//! What can go wrong, told apart by what the caller does next.

use std::io;
use std::path::{Path, PathBuf};

/// The engine's only error type.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The key does not exist.
    #[error("no such key")]
    NoSuchKey,
    /// The key exists, the group does not.
    #[error("no such consumer group")]
    NoSuchGroup,
    /// A group of that name exists already.
    #[error("consumer group name already exists")]
    GroupExists,
    /// The target of a move or copy exists.
    #[error("the target key exists")]
    KeyExists,
    /// The given ID is not above the stream's last generated ID.
    #[error("the ID is equal or smaller than the stream's last ID")]
    IdTooSmall,
    /// The stream's last generated ID is the largest one.
    #[error("the stream has exhausted the last possible ID")]
    IdExhausted,
    /// A stream that is to be built contradicts itself, or cannot be read.
    #[error("malformed stream: {what}")]
    Malformed {
        /// What is wrong with it.
        what: &'static str,
    },
    /// An argument is beyond a named limit of [`crate::limits`].
    #[error("{what} of {size} bytes is over the limit of {limit} bytes")]
    TooLarge {
        /// What is too large, e.g. `key`.
        what: &'static str,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// There is no room for another segment; work that frees space is still accepted.
    #[error("no space left on the device of the data directory")]
    DiskFull,
    /// The files are as large as they may be; work that frees space is still accepted.
    #[error("the disk quota of the data directory is reached")]
    QuotaReached,
    /// A write or sync failed; nothing more can be acknowledged until a restart.
    #[error("the log is poisoned: an earlier write or sync failed")]
    Poisoned,
    /// Another process has the directory open.
    #[error("{path} is in use by another process")]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// Bytes on disk are not what was written.
    #[error("{path} is corrupt at offset {offset}: {what}")]
    Corrupt {
        /// The damaged file.
        path: PathBuf,
        /// Offset of the first bad byte or frame, in bytes.
        offset: u64,
        /// What was expected and what was found.
        what: &'static str,
    },
    /// What a command looks into is not in memory. Only who called
    /// [`Batch::ask_for_blocks`](crate::Batch::ask_for_blocks) is told; nothing was changed.
    #[error("a block of a sorted segment is not in memory")]
    Cold,
    /// The operating system refused an operation.
    #[error("{operation} {path}: {source}")]
    Io {
        /// The operation that failed, e.g. `open`.
        operation: &'static str,
        /// The file that it was about.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// Wraps what the operating system said, with the operation and the file that it was about.
pub(crate) fn io_error(operation: &'static str, path: &Path, source: io::Error) -> Error {
    Error::Io {
        operation,
        path: path.to_owned(),
        source,
    }
}

/// A result with the engine's [`enum@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

//! Looking at a closed directory: the state as a start would find it, without changing a byte.
//!
//! Tools look with [`Recovery::Salvage`]: damage ends nothing, it is listed. No segment is made to
//! go on in, so this works on a full disk, on a read-only one, and on a log without segments.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use super::open::{CHECKPOINT, LOCK, LOG};
use super::{Core, Parts};
use crate::checkpoint::Kept;
use crate::error::io_error;
use crate::options::{Options, Recovery, Threads};
use crate::storage::read_only::ReadOnly;
use crate::storage::{Access, Storage, SystemClock};
use crate::{Error, RecoveryReport, Result};

/// What a look found.
pub(crate) struct Looked {
    pub(crate) core: Core,
    pub(crate) report: RecoveryReport,
    /// The checkpoint that it started from.
    pub(crate) checkpoint: Option<Kept>,
}

/// Keeps brokers out of a directory, without creating anything in it.
pub(crate) fn hold(storage: &dyn Storage, dir: &Path) -> Result<Option<Box<dyn Send + Sync>>> {
    let entries = storage
        .list(dir)
        .map_err(|error| io_error("list", dir, error))?;
    let is_store = |name: &str| name == LOG || name == CHECKPOINT;
    if !entries
        .iter()
        .any(|entry| entry.is_dir && is_store(&entry.name))
    {
        let what = "there is neither log/ nor checkpoint/ in it: this is no data directory";
        let error = std::io::Error::new(ErrorKind::NotFound, what);
        return Err(io_error("look into", dir, error));
    }
    let path = dir.join(LOCK);
    if storage.open(&path, Access::Read).is_err() {
        // A copy may come without it; no broker runs without it.
        return Ok(None);
    }
    match storage.lock(&path) {
        Ok(lock) => Ok(Some(lock)),
        Err(error) => match error.kind() {
            ErrorKind::WouldBlock => Err(Error::Locked { path }),
            // Nobody can have it open for writing.
            ErrorKind::ReadOnlyFilesystem => Ok(None),
            _ => Err(io_error("lock", &path, error)),
        },
    }
}

/// Looks at a directory that is held, from the newest valid checkpoint but `skip`.
pub(crate) fn look(storage: &Arc<dyn Storage>, dir: &Path, mut skip: usize) -> Result<Looked> {
    let mut damaged = Vec::new();
    loop {
        let options = Options {
            threads: Threads::Inline,
            recovery: Recovery::Salvage,
            ..Options::default()
        };
        let storage = Arc::new(ReadOnly(Arc::clone(storage)));
        let mut parts = Parts::new(storage, Arc::new(SystemClock::default()), dir, options);
        parts.look = Some(skip);
        match parts.recover() {
            Ok((core, found)) => {
                let mut report = found.report;
                report.damaged_checkpoints.extend(damaged);
                let checkpoint = report.checkpoint.and(found.kept.into_iter().next());
                return Ok(Looked {
                    core,
                    report,
                    checkpoint,
                });
            }
            // Its checksums are right, what it says is not: the one before it has to do.
            Err(Error::Corrupt { path, .. }) if path.starts_with(dir.join(CHECKPOINT)) => {
                damaged.push(path);
                skip += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

//! Files that are seen whole or not at all: made under a name of their own, synced, then named.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::{Access, Storage, StorageFile};
use crate::error::{Result, io_error};

/// Makes a new file in the place of what an earlier attempt may have left.
pub(crate) fn create(storage: &dyn Storage, path: &Path) -> Result<Arc<dyn StorageFile>> {
    match storage.open(path, Access::Create) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            unlink(storage, path)?;
            storage.open(path, Access::Create)
        }
        opened => opened,
    }
    .map_err(|error| io_error("create", path, error))
}

/// Gives what is complete and durable, a file or a directory, its name, and makes that durable.
pub(crate) fn publish(storage: &dyn Storage, made: &Path, path: &Path) -> Result<()> {
    storage
        .rename(made, path)
        .map_err(|error| io_error("rename", made, error))?;
    sync_dir(storage, parent(path))
}

/// The directory that a file or a directory is in.
pub(crate) fn parent(path: &Path) -> &Path {
    let parent = path.parent();
    let parent = parent.filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(storage: &dyn Storage, dir: &Path) -> Result<()> {
    storage
        .sync_dir(dir)
        .map_err(|error| io_error("sync", dir, error))
}

/// Removes a file.
pub(crate) fn unlink(storage: &dyn Storage, path: &Path) -> Result<()> {
    storage
        .unlink(path)
        .map_err(|error| io_error("unlink", path, error))
}

//! A storage that shows everything and changes nothing, for looking at a directory from outside.
//!
//! What would be written is taken and forgotten; what would be created finds the disk full. So the
//! engine's own recovery can run on a directory that stays byte for byte as it is: recovery writes
//! only behind what it hands out, and a full disk is something that it can live with.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::{Access, DirEntry, Map, Storage, StorageFile};

/// Another storage, for reading only.
pub(crate) struct ReadOnly(pub(crate) Arc<dyn Storage>);

struct ReadOnlyFile(Arc<dyn StorageFile>);

impl Storage for ReadOnly {
    fn create_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn remove_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        match self.0.list(dir) {
            // It would have been created.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            listed => listed,
        }
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn StorageFile>> {
        if access == Access::Create {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let file = self.0.open(path, Access::Read)?;
        Ok(Arc::new(ReadOnlyFile(file)))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        self.0.lock(path)
    }

    fn rename(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        Ok(())
    }

    fn link(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        Ok(())
    }

    fn unlink(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn random(&self) -> u64 {
        self.0.random()
    }
}

impl StorageFile for ReadOnlyFile {
    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }

    fn write_at(&self, _offset: u64, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(offset, buffer)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn allocate(&self, _offset: u64, _len: u64) -> io::Result<()> {
        Err(io::ErrorKind::StorageFull.into())
    }

    fn zero(&self, _offset: u64, _len: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn drop_cache(&self, offset: u64, len: u64) -> io::Result<()> {
        self.0.drop_cache(offset, len)
    }

    fn map(&self, len: u64) -> io::Result<Map> {
        self.0.map(len)
    }
}

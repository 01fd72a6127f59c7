//! Open files and held locks of the simulated file system.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use super::super::{Map, StorageFile};
use super::{Call, Fault, World, fail_with};

/// An open file.
pub(super) struct Handle {
    world: Arc<Mutex<World>>,
    file: u64,
}

impl Handle {
    pub(super) fn new(world: Arc<Mutex<World>>, file: u64) -> Self {
        Self { world, file }
    }
}

fn to_usize(value: u64) -> io::Result<usize> {
    usize::try_from(value).map_err(|_| io::ErrorKind::FileTooLarge.into())
}

impl StorageFile for Handle {
    fn size(&self) -> io::Result<u64> {
        let world = self.world.lock();
        world.check()?;
        Ok(world.disk.file(self.file).len() as u64)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        let mut world = self.world.lock();
        let fault = world.meet(Call::Write)?;
        fail_with(fault)?;
        let bytes = match fault {
            Some(Fault::Short(len)) => &bytes[..len.min(bytes.len())],
            _ => bytes,
        };
        let offset = to_usize(offset)?;
        let growth = world.disk.file(self.file).growth(offset + bytes.len());
        if growth > 0 {
            world.disk.admit(growth)?;
        }
        let file = world.disk.file_mut(self.file);
        match fault {
            Some(Fault::Misdirected(to)) => file.write_astray(offset, bytes, to_usize(to)?)?,
            _ => file.write(offset, bytes)?,
        }
        world.check()?;
        Ok(bytes.len())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut world = self.world.lock();
        let fault = world.meet(Call::Read)?;
        fail_with(fault)?;
        let len = buffer.len();
        let buffer = match fault {
            Some(Fault::Short(max)) => &mut buffer[..max.min(len)],
            _ => buffer,
        };
        Ok(world.disk.file(self.file).read(to_usize(offset)?, buffer))
    }

    fn sync(&self) -> io::Result<()> {
        let mut world = self.world.lock();
        if let Err(error) = fail_with(world.meet(Call::Sync)?) {
            world.disk.file_mut(self.file).fail_sync();
            return Err(error);
        }
        world.check()?;
        world.disk.file_mut(self.file).sync();
        Ok(())
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        let mut world = self.world.lock();
        fail_with(world.meet(Call::Allocate)?)?;
        let (offset, len) = (to_usize(offset)?, to_usize(len)?);
        let growth = world.disk.file(self.file).growth(offset + len);
        world.disk.admit(growth)?;
        world.disk.file_mut(self.file).allocate(offset, len)?;
        world.check()?;
        world.disk.file_mut(self.file).sync();
        Ok(())
    }

    fn zero(&self, offset: u64, len: u64) -> io::Result<()> {
        self.allocate(offset, len)
    }

    fn drop_cache(&self, offset: u64, len: u64) -> io::Result<()> {
        let world = self.world.lock();
        world.check()?;
        world.disk.file(self.file).drop_cache(offset, len);
        Ok(())
    }

    fn map(&self, len: u64) -> io::Result<Map> {
        let world = self.world.lock();
        world.check()?;
        world.disk.file(self.file).map(to_usize(len)?)
    }
}

/// A held lock; whoever drops it lets go of it.
pub(super) struct Lock {
    world: Arc<Mutex<World>>,
    path: PathBuf,
}

impl Lock {
    pub(super) fn new(world: Arc<Mutex<World>>, path: PathBuf) -> Self {
        Self { world, path }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.world.lock().locks.remove(&self.path);
    }
}

//! A file system in memory that crashes from a seed.
//!
//! Every file has a volatile image (what reads and maps show) and a durable one. A sync copies the
//! one to the other; a crash keeps the durable one and decides, for each 512-byte sector with
//! unsynced bytes, whether none, some or all of the unsynced writes to it arrived, or garbage in
//! their place. Names are durable once their directory is synced; before that each creation,
//! linking, renaming and removal survives or not by itself. What is assumed of a disk: a write
//! disturbs no byte but those that it changes.
//!
//! ```text
//!   SimulatedStorage --crash(seed)--> SimulatedStorage      a power cut: volatile images are lost
//!                    --kill()-------> SimulatedStorage      the process ends: they are kept
//! ```
//!
//! [`SimulatedStorage::fail`] makes the n-th call of a kind fail, [`SimulatedStorage::crash_at`]
//! ends the world at the n-th call of any kind, [`SimulatedStorage::set_capacity`] fills the disk.
//! A failed sync leaves its pages clean, as Linux does: a later sync succeeds without them, and
//! they may have reached the disk or not.

mod disk;
mod handle;

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use super::{Access, Clock, DirEntry, Storage, StorageFile};
use disk::Disk;
use handle::{Handle, Lock};

/// A kind of call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// Opening or creating a file.
    Open,
    /// Writing to a file.
    Write,
    /// Reading from a file.
    Read,
    /// Making a file durable.
    Sync,
    /// Taking room for a file, and filling it with zeros.
    Allocate,
    /// Giving a file another name.
    Rename,
    /// Removing a name.
    Unlink,
    /// Giving a file a second name.
    Link,
    /// Making a directory.
    CreateDir,
    /// Removing a directory.
    RemoveDir,
    /// Making the names in a directory durable.
    SyncDir,
}

/// What a call meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An error of this kind; nothing is done, except that a failed sync leaves pages clean.
    Error(io::ErrorKind),
    /// A write or read of at most this many bytes.
    Short(usize),
    /// A write that the disk puts at this offset of the file instead, and says nothing.
    Misdirected(u64),
    /// A panic in the middle of the call.
    Panic,
}

/// A file system in memory that crashes from a seed.
#[derive(Clone)]
pub struct SimulatedStorage {
    world: Arc<Mutex<World>>,
}

/// One run of the file system, from start to crash.
struct World {
    disk: Disk,
    calls: u64,
    counts: Vec<(Call, u64)>,
    faults: Vec<(Call, u64, Fault)>,
    crash_at: Option<u64>,
    is_over: bool,
    locks: HashSet<PathBuf>,
    random: u64,
}

impl Default for SimulatedStorage {
    fn default() -> Self {
        Self::over(Disk::default())
    }
}

impl SimulatedStorage {
    /// An empty file system.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn over(disk: Disk) -> Self {
        let random = disk.generation();
        let world = World {
            disk,
            calls: 0,
            counts: Vec::new(),
            faults: Vec::new(),
            crash_at: None,
            is_over: false,
            locks: HashSet::new(),
            random,
        };
        Self {
            world: Arc::new(Mutex::new(world)),
        }
    }

    /// Cuts the power: all later calls fail. What is left of the disk is decided by `seed`.
    #[must_use]
    pub fn crash(&self, seed: u64) -> Self {
        let mut world = self.world.lock();
        world.is_over = true;
        Self::over(world.disk.after_crash(seed))
    }

    /// Ends the process: all later calls fail, and a new process finds all that was written.
    #[must_use]
    pub fn kill(&self) -> Self {
        let mut world = self.world.lock();
        world.is_over = true;
        Self::over(world.disk.apart())
    }

    /// An independent copy of the file system as a power cut that loses nothing would leave it.
    #[must_use]
    pub fn snapshot(&self) -> Self {
        Self::over(self.world.lock().disk.copied())
    }

    /// The `nth` call of a kind from now on, counted from 0, meets `fault`.
    pub fn fail(&self, call: Call, nth: u64, fault: Fault) {
        let mut world = self.world.lock();
        let at = world.count_of(call) + nth;
        world.faults.push((call, at, fault));
    }

    /// No call fails any more.
    pub fn heal(&self) {
        self.world.lock().faults.clear();
    }

    /// The `nth` changing call from the beginning, counted from 0, and all after it fail. It may
    /// have taken effect or not, which the seed of the crash decides.
    pub fn crash_at(&self, nth: u64) {
        self.world.lock().crash_at = Some(nth);
    }

    /// Number of changing calls so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.world.lock().calls
    }

    /// Whether the power has been cut or the process ended.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.world.lock().is_over
    }

    /// The disk holds at most this many bytes.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.world.lock().disk.capacity = bytes;
    }

    /// Bytes of all files.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.world.lock().disk.used()
    }

    /// The paths of all files.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        self.world.lock().disk.paths()
    }

    /// The content of a file.
    ///
    /// # Panics
    ///
    /// If there is no such file.
    #[must_use]
    pub fn content(&self, path: &Path) -> Vec<u8> {
        let world = self.world.lock();
        let file = world.disk.find(path).expect("the file exists");
        world.disk.file(file).content()
    }

    /// Puts a file of these bytes there, durably: one that is cut, or of another directory.
    ///
    /// # Panics
    ///
    /// If there is no such directory.
    pub fn put(&self, path: &Path, content: &[u8]) {
        let put = self.world.lock().disk.put(path, content);
        put.expect("the directory exists");
    }

    /// Damages a file: `bytes` at `offset`, in what is cached and on the disk.
    ///
    /// # Panics
    ///
    /// If there is no such file, or it is shorter.
    pub fn damage(&self, path: &Path, offset: usize, bytes: &[u8]) {
        let mut world = self.world.lock();
        let file = world.disk.find(path).expect("the file exists");
        world.disk.file_mut(file).damage(offset, bytes);
    }
}

impl World {
    fn count_of(&self, call: Call) -> u64 {
        let count = self.counts.iter().find(|(kind, _)| *kind == call);
        count.map_or(0, |(_, count)| *count)
    }

    /// Counts a call; what it meets. The error is for a call that must not take effect.
    fn meet(&mut self, call: Call) -> io::Result<Option<Fault>> {
        if self.is_over {
            return Err(over());
        }
        let count = self.count_of(call);
        self.counts.retain(|(kind, _)| *kind != call);
        self.counts.push((call, count + 1));
        let fault = self
            .faults
            .iter()
            .find(|(kind, at, _)| *kind == call && *at == count)
            .map(|(_, _, fault)| *fault);
        assert!(fault != Some(Fault::Panic), "a simulated panic");
        if !matches!(call, Call::Open | Call::Read) {
            if self.crash_at == Some(self.calls) {
                self.is_over = true;
            }
            self.calls += 1;
        }
        Ok(fault)
    }

    /// Whether the world ended with the call that was just met.
    fn check(&self) -> io::Result<()> {
        if self.is_over { Err(over()) } else { Ok(()) }
    }
}

fn over() -> io::Error {
    io::Error::other("the simulated machine is off")
}

fn fail_with(fault: Option<Fault>) -> io::Result<()> {
    match fault {
        Some(Fault::Error(kind)) => Err(kind.into()),
        _ => Ok(()),
    }
}

impl SimulatedStorage {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock()
    }
}

impl Storage for SimulatedStorage {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut world = self.world();
        fail_with(world.meet(Call::CreateDir)?)?;
        world.disk.create_dir(dir)?;
        world.check()?;
        world.disk.sync_new_dirs();
        Ok(())
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        let mut world = self.world();
        fail_with(world.meet(Call::RemoveDir)?)?;
        world.disk.remove_dir(dir)?;
        world.check()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let world = self.world();
        world.check()?;
        world.disk.list(dir)
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn StorageFile>> {
        let mut world = self.world();
        fail_with(world.meet(Call::Open)?)?;
        let file = match (access, world.disk.find(path)) {
            (Access::Create, Some(_)) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Access::Create, None) => world.disk.create(path)?,
            (_, Some(file)) => file,
            (_, None) => return Err(io::ErrorKind::NotFound.into()),
        };
        Ok(Arc::new(Handle::new(Arc::clone(&self.world), file)))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        let mut world = self.world();
        world.check()?;
        if !world.locks.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if world.disk.find(path).is_none() {
            world.disk.create(path)?;
        }
        Ok(Box::new(Lock::new(
            Arc::clone(&self.world),
            path.to_owned(),
        )))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.world();
        fail_with(world.meet(Call::Rename)?)?;
        world.disk.rename(from, to)?;
        world.check()
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.world();
        fail_with(world.meet(Call::Link)?)?;
        world.disk.link(from, to)?;
        world.check()
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        fail_with(world.meet(Call::Unlink)?)?;
        world.disk.unlink(path)?;
        world.check()
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut world = self.world();
        fail_with(world.meet(Call::SyncDir)?)?;
        world.check()?;
        world.disk.sync_dir(dir)
    }

    fn random(&self) -> u64 {
        disk::next_random(&mut self.world().random)
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug, Default)]
pub struct SimulatedClock {
    now_ms: AtomicU64,
}

impl SimulatedClock {
    /// A clock that shows `now_ms`.
    #[must_use]
    pub fn new(now_ms: u64) -> Self {
        let now_ms = AtomicU64::new(now_ms);
        Self { now_ms }
    }

    /// Moves the clock on.
    pub fn advance(&self, ms: u64) {
        self.now_ms.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for SimulatedClock {
    fn now_ms(&self) -> u64 {
        self.now_ms.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.now_ms())
    }
}

#[cfg(test)]
mod tests;

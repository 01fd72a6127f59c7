//! The engine: open, close, and everything in between that is not a command.
//!
//! ```text
//!   callers --lock--> Core { State, Log } <--gather-- commit thread --write, sync--> segments
//!                       ^          ^
//!                       |          '--take next-- preparing thread --make--> next, reserve
//!                       |--slice by slice-- checkpoint thread --> checkpoint/
//!                       '--slice by slice-- sorting thread --> sorted/
//! ```
//!
//! One lock guards the state and the log that it is a fold over. It is never held during I/O,
//! except where a command cannot go on otherwise: when the next segment is not there yet.

mod backup;
mod checkpoints;
mod figures;
mod look;
mod merging;
mod open;
mod reports;
mod sorting;
mod threads;

use std::mem::ManuallyDrop;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::RwLock;

use crate::batch::Batch;
use crate::log::{Commit, Listener, Log, Prepare, Progress};
use crate::options::{Options, SyncPolicy, Threads};
use crate::state::State;
use crate::storage::{Clock, RealStorage, Storage, SystemClock};
use crate::sync::thread::{self, Thread};
use crate::sync::{Mutex, MutexGuard};
use crate::{Lsn, Result};
use backup::Backups;
pub(crate) use backup::{discard, unfinished};
use checkpoints::Checkpoints;
pub(crate) use look::{Looked, hold, look};
pub use open::BACKUP;
pub(crate) use open::{CHECKPOINT, LOCK, LOG, SORTED};
pub use reports::{
    BackupProgress, BackupReport, CheckpointReport, CheckpointStatus, EngineStats, Loss,
    LostEntries, Mended, Pin, Pins, RecoveryReport,
};
use sorting::Sorting;
use threads::Workers;

/// What the lock guards: the state, and the log that it is a fold over.
pub(crate) struct Core {
    pub(crate) state: State,
    pub(crate) log: Log,
    /// Who gives back what was removed; whoever removes something does if there is no thread.
    pub(crate) reaper: Option<Thread>,
}

impl Core {
    /// Wakes who gives back what was removed, if there is something.
    pub(crate) fn wake_reaper(&self) {
        if let Some(reaper) = self.reaper.as_ref().filter(|_| self.state.has_remains()) {
            reaper.unpark();
        }
    }
}

/// What the engine and its threads share.
struct Shared {
    core: Mutex<Core>,
    parts: Parts,
    checkpoints: Checkpoints,
    backups: Backups,
    sorting: Sorting,
    recovery: RwLock<RecoveryReport>,
    /// Where the log ended when the directory was opened.
    opened: Lsn,
}

/// What does not change with a reload.
struct Parts {
    storage: Arc<dyn Storage>,
    clock: Arc<dyn Clock>,
    dir: PathBuf,
    options: Options,
    progress: Arc<Progress>,
    prepare: Arc<Prepare>,
    commit: Commit,
    /// Nothing is served, only looked at, and so many of the newest checkpoints are left out.
    look: Option<usize>,
}

/// An open data directory.
///
/// Commands run on a [`Batch`], under the one lock. What they append is on its way after
/// [`Engine::submit`], and a reply may leave once [`Engine::settled`] has reached what it depends
/// on. Dropping an engine closes it.
pub struct Engine {
    shared: Arc<Shared>,
    workers: Workers,
    /// Held while the directory is open.
    lock: Option<Box<dyn Send + Sync>>,
}

impl Engine {
    /// Opens or creates a data directory on the real file system.
    pub fn open(dir: impl AsRef<Path>, options: Options) -> Result<Self> {
        let clock = Arc::new(SystemClock::default());
        Self::open_on(Arc::new(RealStorage), clock, dir.as_ref(), options)
    }

    /// Opens or creates a data directory on the given storage and clock.
    pub fn open_on(
        storage: Arc<dyn Storage>,
        clock: Arc<dyn Clock>,
        dir: &Path,
        options: Options,
    ) -> Result<Self> {
        let parts = Parts::new(storage, clock, dir, options);
        let lock = parts.lock_directory()?;
        let (core, found) = parts.recover()?;
        let opened = parts.progress.appended();
        let shared = Arc::new(Shared {
            core: Mutex::new(core),
            parts,
            checkpoints: Checkpoints::new(found.kept),
            backups: Backups::default(),
            sorting: Sorting::default(),
            recovery: RwLock::new(found.report),
            opened,
        });
        shared.commit_all()?;
        let workers = match shared.parts.options.threads {
            Threads::Background => Workers::start(&shared)?,
            Threads::Inline => Workers::none(),
        };
        Ok(Self {
            shared,
            workers,
            lock: Some(lock),
        })
    }

    /// What open found and did.
    #[must_use]
    pub fn recovery(&self) -> RecoveryReport {
        self.shared.recovery.read().clone()
    }

    /// Takes the one lock; commands run on the batch.
    #[must_use]
    pub fn lock(&self) -> Batch<'_> {
        let now_ms = self.shared.parts.clock.now_ms();
        Batch::new(self.shared.core.lock(), now_ms)
    }

    /// Sends what is gathered on its way: it is written before this returns, or, if replies wait
    /// for the disk, the commit thread has been woken.
    pub fn submit(&self) {
        self.shared.reap_inline();
        let progress = &self.shared.parts.progress;
        if progress.appended() <= progress.written() {
            return;
        }
        if progress.policy() == SyncPolicy::Always && self.ask_for_sync() {
            return;
        }
        // An error has poisoned the log, which is how waiters learn of it.
        drop(self.shared.write());
        if self.shared.is_sync_due() {
            self.workers.wake_commit();
        }
    }

    /// Replies that depend on nothing behind this may leave.
    #[must_use]
    pub fn settled(&self) -> Lsn {
        self.shared.parts.progress.settled()
    }

    /// Waits until `lsn` is settled.
    ///
    /// # Errors
    ///
    /// [`Poisoned`](crate::Error::Poisoned) if it never will be.
    pub fn wait_settled(&self, lsn: Lsn) -> Result<()> {
        let progress = &self.shared.parts.progress;
        if progress.settled() >= lsn {
            return Ok(());
        }
        if progress.policy() != SyncPolicy::Always {
            self.shared.write()?;
        } else if !self.ask_for_sync() {
            self.shared.commit_all()?;
        }
        progress.wait(lsn)
    }

    /// Waits until `lsn` is durable, whatever the policy, for at most `timeout`; false if that was
    /// not enough.
    ///
    /// # Errors
    ///
    /// [`Poisoned`](crate::Error::Poisoned) if it never will be.
    pub fn wait_durable(&self, lsn: Lsn, timeout: Option<Duration>) -> Result<bool> {
        let progress = &self.shared.parts.progress;
        if progress.durable() >= lsn {
            return Ok(true);
        }
        // What is too long for a time is for ever.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        if !self.ask_for_sync() {
            self.shared.commit_all()?;
        }
        progress.wait_durable(lsn, deadline)
    }

    /// Asks the commit thread to sync what has been appended by now; false if there is none.
    fn ask_for_sync(&self) -> bool {
        if self.shared.parts.progress.want_sync() {
            self.workers.wake_commit();
        }
        self.workers.has_commit()
    }

    /// What a power cut keeps.
    #[must_use]
    pub fn durable(&self) -> Lsn {
        self.shared.parts.progress.durable()
    }

    /// Registers what is called after [`Engine::settled`] moved or the log was poisoned, by
    /// whichever thread did that. It must not block, and must not call the engine but for its
    /// figures: locks of the commit may be held.
    pub fn on_progress(&self, listener: Arc<dyn Fn() + Send + Sync>) {
        let listener: Listener = listener;
        self.shared.parts.progress.set_listener(Some(listener));
    }

    /// Whether a write or sync failed: nothing more can be acknowledged.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.shared.parts.progress.is_poisoned()
    }

    /// What failed first, if the log is poisoned by an operation: the call, the file, the reason.
    #[must_use]
    pub fn poison_cause(&self) -> Option<String> {
        self.shared.parts.progress.poison_cause()
    }

    /// Changes when a write counts as settled.
    pub fn set_sync_policy(&self, policy: SyncPolicy) {
        let progress = &self.shared.parts.progress;
        progress.set_policy(policy);
        // Who waited for a write may wait for the disk now.
        progress.want_sync();
        self.workers.wake_commit();
    }

    /// Changes how many bytes the files of the directory may take, backups not counted; 0: as many
    /// as there is room for. What adds data is refused as long as they are more.
    pub fn set_disk_quota(&self, bytes: u64) {
        self.shared.parts.prepare.set_quota(bytes);
    }

    /// When a write counts as settled.
    #[must_use]
    pub fn sync_policy(&self) -> SyncPolicy {
        self.shared.parts.progress.policy()
    }

    /// Writes what is gathered and makes it durable, whatever the policy.
    pub fn sync(&self) -> Result<()> {
        self.shared.commit_all()
    }

    /// Takes a checkpoint now; waits for the one that is being taken, if there is one.
    ///
    /// # Durability
    ///
    /// All that was appended before the call is durable when it returns.
    pub fn checkpoint(&self) -> Result<CheckpointReport> {
        self.shared.checkpoint()
    }

    /// Makes a consistent copy of the directory under the name `dir`, which must be free; opening
    /// the copy gives the state at [`BackupReport::end`], in which is all that happened before the
    /// call. `watch` is told how far it is, and may end it.
    ///
    /// # Durability
    ///
    /// The copy gets its name when all of it is durable. It shares files that are never written
    /// again with the original, if they are on the same file system.
    ///
    /// # Errors
    ///
    /// Those of a checkpoint, of reading and of writing; nothing is left of the copy then.
    pub fn backup(
        &self,
        dir: &Path,
        watch: &mut dyn FnMut(BackupProgress) -> ControlFlow<()>,
    ) -> Result<BackupReport> {
        self.shared.backup(dir, watch)
    }

    /// Makes one sorted segment of what lies in sealed log segments but for the newest `left`;
    /// false if there is nothing to sort. With [`Threads::Background`] a thread does this.
    pub fn sort(&self, left: usize) -> Result<bool> {
        self.shared.sort_once(left, &mut || true)
    }

    /// The checkpoints so far.
    #[must_use]
    pub fn last_checkpoint(&self) -> CheckpointStatus {
        self.shared.checkpoints.status()
    }

    /// Closes the directory and opens it again, in place: a rehearsal of a restart.
    ///
    /// # Errors
    ///
    /// Those of [`Engine::open`]; the log is poisoned then.
    pub fn reload(&self) -> Result<()> {
        self.shared.reload()
    }

    /// Figures of the running engine. Not to be called by who holds a batch: see
    /// [`Engine::stats_in`].
    #[must_use]
    pub fn stats(&self) -> EngineStats {
        self.stats_in(&mut self.lock())
    }

    /// Figures of the running engine for a command that runs in `batch`.
    #[must_use]
    pub fn stats_in(&self, batch: &mut Batch<'_>) -> EngineStats {
        self.shared.stats(batch)
    }

    /// Syncs, takes a checkpoint and unlocks the directory.
    pub fn close(mut self) -> Result<()> {
        self.close_once()
    }

    fn close_once(&mut self) -> Result<()> {
        let Some(lock) = self.lock.take() else {
            return Ok(());
        };
        self.workers.stop(&self.shared);
        let mut closed = self.shared.commit_all();
        if closed.is_ok() && self.shared.parts.options.checkpoint_on_close {
            closed = self.shared.checkpoint().map(drop);
        }
        self.shared.parts.progress.set_listener(None);
        drop(lock);
        closed
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if self.lock.is_some() && self.workers.is_current() {
            // A listener held the last reference. Closing waits for this very thread, and for locks
            // that it holds, so another one has to do it.
            let rest = ManuallyDrop::new(Self {
                shared: Arc::clone(&self.shared),
                workers: std::mem::replace(&mut self.workers, Workers::none()),
                lock: self.lock.take(),
            });
            drop(thread::Builder::new().spawn(|| drop(ManuallyDrop::into_inner(rest))));
            return;
        }
        // Whoever wants to know calls `close`.
        drop(self.close_once());
    }
}

impl Shared {
    /// Writes what is gathered.
    fn write(&self) -> Result<()> {
        let gather = |last| self.core.lock().log.gather(last);
        self.parts.commit.write(gather)
    }

    /// Writes what is gathered and makes it durable.
    fn commit_all(&self) -> Result<()> {
        self.write()?;
        self.parts.commit.sync()
    }

    /// Gives back a part of what was removed; whether there may be more.
    fn reap(&self) -> bool {
        let mut core = self.core.lock();
        let Core { state, log, .. } = &mut *core;
        let reaped = state.reap(log);
        // Commands that wait come first.
        MutexGuard::unlock_fair(core);
        reaped.is_some()
    }

    /// Gives back all that was removed, if there is no thread that does.
    fn reap_inline(&self) {
        if self.parts.options.threads == Threads::Inline {
            while self.reap() {}
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;

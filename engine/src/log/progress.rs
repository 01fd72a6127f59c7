//! How far the log has come: appended, written, durable, settled; and who waits for it.
//!
//! ```text
//!   settled <= written <= appended          durable <= written
//!   settled follows `durable` under `Always`, and `written` otherwise; it never goes back
//! ```
//!
//! Whoever moves the log on, or fails to, says so here, on every path: waiters sleep only while
//! somebody is bound to call one of the `publish` functions or [`Progress::poison`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Condvar, Mutex};
use crate::{Error, Lsn, Result, SyncPolicy};

/// Called after `settled` moved or the log was poisoned.
pub(crate) type Listener = Arc<dyn Fn() + Send + Sync>;

/// How far the log has come.
#[derive(Default)]
pub(crate) struct Progress {
    appended: AtomicU64,
    written: AtomicU64,
    durable: AtomicU64,
    settled: AtomicU64,
    policy: AtomicU8,
    /// Up to here somebody waits for the disk.
    wanted: AtomicU64,
    poisoned: AtomicBool,
    /// What failed first, in words for whoever runs the engine.
    cause: Mutex<Option<String>>,
    waiters: AtomicUsize,
    lock: Mutex<()>,
    moved: Condvar,
    listener: Mutex<Option<Listener>>,
    pub(crate) counters: Counters,
}

/// What has been done since open.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) commits: AtomicU64,
    pub(crate) frames: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) syncs: AtomicU64,
    pub(crate) sync_nanos: AtomicU64,
    pub(crate) sync_nanos_max: AtomicU64,
    pub(crate) sync_nanos_last: AtomicU64,
}

impl Progress {
    /// A log whose end is durable.
    pub(crate) fn new(end: Lsn, policy: SyncPolicy) -> Self {
        let progress = Self::default();
        progress.restart(end);
        progress.set_policy(policy);
        progress
    }

    /// Starts over at `end`, which is durable; nobody else may be using the log.
    pub(crate) fn restart(&self, end: Lsn) {
        for position in [&self.appended, &self.written, &self.durable, &self.wanted] {
            position.store(end.0, Ordering::SeqCst);
        }
        self.settled.fetch_max(end.0, Ordering::SeqCst);
        self.notify();
    }

    pub(crate) fn appended(&self) -> Lsn {
        Lsn(self.appended.load(Ordering::Acquire))
    }

    pub(crate) fn written(&self) -> Lsn {
        Lsn(self.written.load(Ordering::Acquire))
    }

    pub(crate) fn durable(&self) -> Lsn {
        Lsn(self.durable.load(Ordering::Acquire))
    }

    pub(crate) fn settled(&self) -> Lsn {
        Lsn(self.settled.load(Ordering::Acquire))
    }

    pub(crate) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Acquire)
    }

    /// An error if the log is poisoned.
    pub(crate) fn check(&self) -> Result<()> {
        if self.is_poisoned() {
            Err(Error::Poisoned)
        } else {
            Ok(())
        }
    }

    pub(crate) fn policy(&self) -> SyncPolicy {
        match self.policy.load(Ordering::SeqCst) {
            0 => SyncPolicy::Always,
            1 => SyncPolicy::EverySecond,
            _ => SyncPolicy::Never,
        }
    }

    pub(crate) fn set_policy(&self, policy: SyncPolicy) {
        let code = match policy {
            SyncPolicy::Always => 0,
            SyncPolicy::EverySecond => 1,
            SyncPolicy::Never => 2,
        };
        self.policy.store(code, Ordering::SeqCst);
        if policy != SyncPolicy::Always {
            self.settle(self.written());
        }
    }

    /// Frames up to here are in the buffer. Only under the state lock.
    pub(crate) fn publish_appended(&self, lsn: Lsn) {
        self.appended.store(lsn.0, Ordering::Release);
    }

    /// Frames up to here are in the file.
    pub(crate) fn publish_written(&self, lsn: Lsn) {
        self.written.fetch_max(lsn.0, Ordering::SeqCst);
        if self.policy() != SyncPolicy::Always {
            self.settle(lsn);
        }
    }

    /// Frames up to here are on the disk.
    pub(crate) fn publish_durable(&self, lsn: Lsn) {
        if self.durable.fetch_max(lsn.0, Ordering::SeqCst) < lsn.0 {
            self.wake_waiters();
        }
        self.settle(lsn);
    }

    /// Asks for a sync of what has been appended by now; false if somebody did that already.
    pub(crate) fn want_sync(&self) -> bool {
        let appended = self.appended().0;
        self.wanted.fetch_max(appended, Ordering::SeqCst) < appended
    }

    /// Whether a sync was asked for that has not been done.
    pub(crate) fn is_sync_wanted(&self) -> bool {
        self.wanted.load(Ordering::SeqCst) > self.durable.load(Ordering::SeqCst)
    }

    fn settle(&self, lsn: Lsn) {
        if self.settled.fetch_max(lsn.0, Ordering::SeqCst) < lsn.0 {
            self.notify();
        }
    }

    /// A write or sync failed: nothing will settle any more.
    pub(crate) fn poison(&self) {
        if !self.poisoned.swap(true, Ordering::SeqCst) {
            self.notify();
        }
    }

    /// What failed, if it was an operation that names itself.
    pub(crate) fn poison_cause(&self) -> Option<String> {
        self.cause.lock().clone()
    }

    pub(crate) fn set_listener(&self, listener: Option<Listener>) {
        *self.listener.lock() = listener;
    }

    fn wake_waiters(&self) {
        // Pairs with the counter in `wait_until`: either the waiter sees the new position, or it
        // has counted itself and is woken. Taking the lock keeps it from falling asleep in between.
        if self.waiters.load(Ordering::SeqCst) > 0 {
            drop(self.lock.lock());
            self.moved.notify_all();
        }
    }

    fn notify(&self) {
        self.wake_waiters();
        let listener = self.listener.lock().clone();
        if let Some(listener) = listener {
            listener();
        }
    }

    /// Waits until `lsn` is settled.
    pub(crate) fn wait(&self, lsn: Lsn) -> Result<()> {
        self.wait_until(lsn, &self.settled, None).map(drop)
    }

    /// Waits until `lsn` is durable; false if that took too long.
    pub(crate) fn wait_durable(&self, lsn: Lsn, deadline: Option<Instant>) -> Result<bool> {
        self.wait_until(lsn, &self.durable, deadline)
    }

    fn wait_until(
        &self,
        lsn: Lsn,
        position: &AtomicU64,
        deadline: Option<Instant>,
    ) -> Result<bool> {
        let mut guard = self.lock.lock();
        self.waiters.fetch_add(1, Ordering::SeqCst);
        let mut is_over = false;
        let outcome = loop {
            if position.load(Ordering::SeqCst) >= lsn.0 {
                break Ok(true);
            }
            if self.poisoned.load(Ordering::SeqCst) {
                break Err(Error::Poisoned);
            }
            if is_over {
                break Ok(false);
            }
            match deadline {
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    is_over = self.moved.wait_for(&mut guard, left).timed_out();
                }
                None => self.moved.wait(&mut guard),
            }
        };
        self.waiters.fetch_sub(1, Ordering::SeqCst);
        outcome
    }

    pub(crate) fn count_sync(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let counters = &self.counters;
        counters.syncs.fetch_add(1, Ordering::Relaxed);
        counters.sync_nanos.fetch_add(nanos, Ordering::Relaxed);
        counters.sync_nanos_max.fetch_max(nanos, Ordering::Relaxed);
        counters.sync_nanos_last.store(nanos, Ordering::Relaxed);
    }
}

/// Poisons the log unless the leader says that it succeeded: on an error, and on a panic.
pub(crate) struct Leader<'a> {
    progress: &'a Progress,
    succeeded: bool,
}

impl<'a> Leader<'a> {
    pub(crate) fn new(progress: &'a Progress) -> Self {
        Self {
            progress,
            succeeded: false,
        }
    }

    /// Passes an outcome on, and keeps the words of an error: it is about to poison the log.
    pub(crate) fn observe<T>(&self, outcome: Result<T>) -> Result<T> {
        if let Err(error) = &outcome {
            let cause = &mut *self.progress.cause.lock();
            cause.get_or_insert_with(|| error.to_string());
        }
        outcome
    }

    pub(crate) fn succeed(mut self) {
        self.succeeded = true;
    }
}

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        if !self.succeeded {
            self.progress.poison();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_for_the_disk_ends_with_it_with_its_time_or_with_the_log() {
        let progress = Progress::new(Lsn::ZERO, SyncPolicy::Never);
        let soon = || Some(Instant::now() + Duration::from_millis(5));
        progress.publish_written(Lsn(8));
        assert_eq!(progress.settled(), Lsn(8));
        assert!(!progress.wait_durable(Lsn(8), soon()).unwrap());
        let waited = std::thread::scope(|scope| {
            let waiting = scope.spawn(|| progress.wait_durable(Lsn(8), None));
            while progress.waiters.load(Ordering::SeqCst) == 0 {
                std::thread::yield_now();
            }
            progress.publish_durable(Lsn(8));
            waiting.join().unwrap()
        });
        assert!(waited.unwrap());
        progress.poison();
        assert!(progress.wait_durable(Lsn(8), None).unwrap());
        assert!(progress.wait_durable(Lsn(9), None).is_err());
    }
}

//! The engine's threads: commit, segment preparation, checkpoints, sorting, giving back what was
//! removed.
//!
//! Each ends when it is told to, and none leaves anybody waiting: a commit thread that panics
//! poisons the log; what panics in the others has failed, and is tried again, unless it was about
//! to change the state.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use super::sorting::LEFT;
use crate::error::io_error;
use crate::log::Leader;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::thread::{self, JoinHandle, Thread};
use crate::{Result, SyncPolicy};

/// How often the log is synced under `EverySecond`, and written under `Never`.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);
/// More than this is not left unsynced, whatever the policy: the next roll would have to wait for
/// it.
const BACKLOG_MAX: u64 = 1 << 20;
/// How often it is looked whether that much has gathered, if nobody said so.
const BACKLOG_POLL: Duration = Duration::from_millis(50);
/// How often it is looked whether a checkpoint is due.
const CHECKPOINT_POLL: Duration = Duration::from_millis(100);
/// How long to wait before what failed is tried again.
const RETRY: Duration = Duration::from_millis(if cfg!(test) { 50 } else { 5000 });
/// How often it is looked whether there is something to sort.
const SORT_POLL: Duration = Duration::from_millis(200);
/// With this many sealed segments to sort, sorting no longer rests as long as it works.
const SORT_BACKLOG: u64 = 8;

/// The threads of an engine.
pub(super) struct Workers {
    should_stop: Arc<AtomicBool>,
    commit: Option<Thread>,
    handles: Vec<JoinHandle<()>>,
}

impl Workers {
    /// None: the callers do the work.
    pub(super) fn none() -> Self {
        Self {
            should_stop: Arc::default(),
            commit: None,
            handles: Vec::new(),
        }
    }

    pub(super) fn start(shared: &Arc<Shared>) -> Result<Self> {
        let mut workers = Self::none();
        let started = workers.start_all(shared);
        if started.is_err() {
            workers.stop(shared);
        }
        started.map(|()| workers)
    }

    fn start_all(&mut self, shared: &Arc<Shared>) -> Result<()> {
        let prepare = Arc::clone(&shared.parts.prepare);
        self.spawn(shared, "alluvium-prepare", move |_, _| prepare.run())?;
        let commit = self.spawn(shared, "alluvium-commit", commit_until)?;
        self.commit = Some(commit);
        self.spawn(shared, "alluvium-checkpoint", checkpoint_until)?;
        let reaper = self.spawn(shared, "alluvium-reap", reap_until)?;
        shared.core.lock().reaper = Some(reaper);
        self.spawn(shared, "alluvium-sort", sort_until)?;
        Ok(())
    }

    fn spawn(
        &mut self,
        shared: &Arc<Shared>,
        name: &str,
        run: impl FnOnce(&Shared, &AtomicBool) + Send + 'static,
    ) -> Result<Thread> {
        let should_stop = Arc::clone(&self.should_stop);
        let for_thread = Arc::clone(shared);
        let handle = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || run(&for_thread, &should_stop))
            .map_err(|error| io_error("start a thread for", &shared.parts.dir, error))?;
        let thread = handle.thread().clone();
        self.handles.push(handle);
        Ok(thread)
    }

    /// Whether there is a commit thread.
    pub(super) fn has_commit(&self) -> bool {
        self.commit.is_some()
    }

    /// Wakes the commit thread, if there is one.
    pub(super) fn wake_commit(&self) {
        if let Some(commit) = &self.commit {
            commit.unpark();
        }
    }

    /// Whether this is one of them.
    pub(super) fn is_current(&self) -> bool {
        let current = thread::current().id();
        let is_current = |handle: &JoinHandle<()>| handle.thread().id() == current;
        self.handles.iter().any(is_current)
    }

    /// Ends all threads. A panic of one of them was dealt with where it happened.
    pub(super) fn stop(&mut self, shared: &Shared) {
        self.should_stop.store(true, Ordering::SeqCst);
        shared.parts.prepare.stop();
        self.commit = None;
        for handle in self.handles.drain(..) {
            handle.thread().unpark();
            drop(handle.join());
        }
    }
}

fn commit_until(shared: &Shared, should_stop: &AtomicBool) {
    // Whatever ends this thread but `should_stop` poisons the log.
    let leader = Leader::new(&shared.parts.progress);
    let mut synced = shared.parts.clock.monotonic();
    while !should_stop.load(Ordering::SeqCst) {
        match commit_once(shared, &mut synced) {
            // Who asked meanwhile has ended this sleep before it begins.
            Ok(sleep) => thread::park_timeout(sleep),
            Err(_) => return,
        }
    }
    leader.succeed();
}

/// Syncs if somebody asked for it or the policy does; how long to sleep then.
///
/// Under `Always` too it is not enough that something was appended: who executes many commands asks
/// behind the last of them, and a sync begun before would leave some of them to the next one.
fn commit_once(shared: &Shared, synced: &mut Duration) -> Result<Duration> {
    let progress = &shared.parts.progress;
    let policy = progress.policy();
    let now = shared.parts.clock.monotonic();
    let is_wanted = progress.is_sync_wanted();
    if is_wanted || now.saturating_sub(*synced) >= SYNC_INTERVAL {
        *synced = now;
        shared.write()?;
        if is_wanted || policy != SyncPolicy::Never {
            shared.parts.commit.sync()?;
        }
    }
    if policy == SyncPolicy::Always {
        return Ok(SYNC_INTERVAL);
    }
    if shared.is_sync_due() {
        shared.parts.commit.sync()?;
    }
    Ok(BACKLOG_POLL)
}

impl Shared {
    /// Whether so much is written and not durable that a sync should not wait for its time.
    pub(super) fn is_sync_due(&self) -> bool {
        let progress = &self.parts.progress;
        progress.written().since(progress.durable()) > BACKLOG_MAX
    }
}

/// What came of work that is tried again if it fails. A panic is dealt with like an error.
fn attempt<T>(work: impl FnOnce() -> Result<T>) -> Option<T> {
    let done = catch_unwind(AssertUnwindSafe(work));
    done.ok().and_then(Result::ok)
}

fn reap_until(shared: &Shared, should_stop: &AtomicBool) {
    while !should_stop.load(Ordering::SeqCst) {
        match attempt(|| Ok(shared.reap())) {
            Some(true) => {}
            Some(false) => thread::park(),
            None => thread::park_timeout(RETRY),
        }
    }
}

fn checkpoint_until(shared: &Shared, should_stop: &AtomicBool) {
    let mut pause = CHECKPOINT_POLL;
    while !should_stop.load(Ordering::SeqCst) {
        thread::park_timeout(pause);
        pause = CHECKPOINT_POLL;
        if shared.is_checkpoint_due() && attempt(|| shared.checkpoint()).is_none() {
            pause = RETRY;
        }
    }
}

fn sort_until(shared: &Shared, should_stop: &AtomicBool) {
    let clock = &shared.parts.clock;
    // One wake-up says that all is to stop, and the rest that it ends may not be the last one.
    let rest = |time| {
        if !should_stop.load(Ordering::SeqCst) {
            thread::park_timeout(time);
        }
    };
    while !should_stop.load(Ordering::SeqCst) {
        let is_behind = shared.sort_backlog() >= SORT_BACKLOG;
        let mut began = clock.monotonic();
        // Half of one core at most, so that commands find the other half and the cache of theirs.
        let mut pace = || {
            if !is_behind {
                rest(clock.monotonic().saturating_sub(began));
                began = clock.monotonic();
            }
            !should_stop.load(Ordering::SeqCst)
        };
        match attempt(|| shared.sort_once(LEFT, &mut pace)) {
            Some(true) => {}
            Some(false) => rest(SORT_POLL),
            None => rest(RETRY),
        }
    }
}

//! Taking checkpoints while commands run, and removing what they make superfluous.
//!
//! A checkpoint is fuzzy: the lock is held for one slice of the state at a time. Replay starts
//! where the log ended when it began; the log is made durable up to where it ended when the last
//! slice was taken, and only then does the file get its name. After that, and not before, older
//! checkpoints are removed, and the segments that none of those left needs.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use super::{CheckpointReport, CheckpointStatus, Shared};
use crate::checkpoint::{self, Kept, Writer};
use crate::error::io_error;
use crate::format::checkpoint::Header;
use crate::snapshot::CheckpointCursor;
use crate::{Error, Lsn, Result, Threads};

/// How many checkpoints are kept.
const KEPT: usize = 2;

/// The checkpoints that there are, newest first, and how taking them goes.
pub(super) struct Checkpoints {
    /// Held while one is being taken.
    kept: Mutex<Vec<Kept>>,
    last: Mutex<Option<CheckpointReport>>,
    bytes: AtomicU64,
    is_running: AtomicBool,
    failed: AtomicBool,
    taken: AtomicU64,
    hold_nanos: AtomicU64,
}

impl Checkpoints {
    pub(super) fn new(kept: Vec<Kept>) -> Self {
        let checkpoints = Self {
            kept: Mutex::default(),
            last: Mutex::new(None),
            bytes: AtomicU64::new(0),
            is_running: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            taken: AtomicU64::new(0),
            hold_nanos: AtomicU64::new(0),
        };
        checkpoints.note(&kept);
        *checkpoints.kept.lock() = kept;
        checkpoints
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.kept.lock()
    }

    fn note(&self, kept: &[Kept]) {
        *self.last.lock() = kept.first().map(|newest| newest.report);
        let bytes = kept.iter().map(|kept| kept.report.bytes).sum();
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn status(&self) -> CheckpointStatus {
        CheckpointStatus {
            last: *self.last.lock(),
            is_running: self.is_running.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            taken: self.taken.load(Ordering::Relaxed),
            longest_hold: Duration::from_nanos(self.hold_nanos.load(Ordering::Relaxed)),
        }
    }
}

/// Says that a checkpoint is being taken, until dropped; also if taking it panics.
struct Running<'a>(&'a Checkpoints);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.is_running.store(false, Ordering::Relaxed);
    }
}

impl Shared {
    /// Takes a checkpoint, one at a time.
    pub(super) fn checkpoint(&self) -> Result<CheckpointReport> {
        self.checkpoint_with(&mut self.checkpoints.lock())
    }

    /// Takes a checkpoint; it is the first of those kept then.
    pub(super) fn checkpoint_with(&self, kept: &mut Vec<Kept>) -> Result<CheckpointReport> {
        let checkpoints = &self.checkpoints;
        checkpoints.is_running.store(true, Ordering::Relaxed);
        let running = Running(checkpoints);
        checkpoints.failed.store(true, Ordering::Relaxed);
        let report = self.checkpoint_into(kept)?;
        checkpoints.failed.store(false, Ordering::Relaxed);
        checkpoints.taken.fetch_add(1, Ordering::Relaxed);
        drop(running);
        Ok(report)
    }

    fn checkpoint_into(&self, kept: &mut Vec<Kept>) -> Result<CheckpointReport> {
        self.parts.progress.check()?;
        if self.parts.options.threads == Threads::Inline {
            self.reap_all();
        }
        let begin = self.core.lock().log.end_frame();
        let now_ms = self.parts.clock.now_ms();
        let newest = kept.first_mut().filter(|newest| newest.report.end == begin);
        if let Some(newest) = newest {
            // Nothing has happened since: it says all that a new one would.
            newest.report.finished_ms = now_ms;
            let report = newest.report;
            self.checkpoints.note(kept);
            self.remove_superfluous(kept)?;
            return Ok(report);
        }
        let taken = match self.take(begin) {
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::StorageFull => {
                // Only a checkpoint makes room, so it gets what was kept for it, and more.
                self.parts.prepare.release_room()?;
                self.keep_newest(kept, 1)?;
                self.take(begin)?
            }
            taken => taken?,
        };
        let report = taken.report;
        kept.insert(0, taken);
        self.checkpoints.note(kept);
        self.remove_superfluous(kept)?;
        self.parts.prepare.keep_room(None, report.bytes);
        Ok(report)
    }

    fn take(&self, begin: Lsn) -> Result<Kept> {
        let dir = self.parts.checkpoint_dir();
        let store = self.parts.prepare.store();
        let mut writer = Writer::create(&*self.parts.storage, &dir, Header { begin, store })?;
        let taken = self.take_slices(&mut writer).and_then(|end| {
            self.commit_all()?;
            writer.finish(end, self.parts.clock.now_ms())
        });
        if taken.is_err() {
            let capture = self.core.lock().state.capture.take();
            drop(capture);
            // The first error says more than what may follow from it.
            drop(writer.abandon());
        }
        taken
    }

    fn take_slices(&self, writer: &mut Writer<'_>) -> Result<Lsn> {
        let clock = &*self.parts.clock;
        let mut cursor = CheckpointCursor::default();
        let mut bytes = Vec::new();
        let mut longest = Duration::ZERO;
        loop {
            let (section, end) = {
                let mut core = self.core.lock();
                let locked = clock.monotonic();
                let end = core.log.end_frame();
                let section = core.state.checkpoint_part(&mut cursor, end);
                longest = longest.max(clock.monotonic().saturating_sub(locked));
                // Commands that wait come first.
                MutexGuard::unlock_fair(core);
                (section, end)
            };
            bytes.clear();
            section.encode(&mut bytes);
            writer.section(&bytes)?;
            if section.is_last() {
                let nanos = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX);
                self.checkpoints.hold_nanos.store(nanos, Ordering::Relaxed);
                return Ok(end);
            }
        }
    }

    /// Removes older checkpoints, then the segments that no checkpoint left needs.
    fn remove_superfluous(&self, kept: &mut Vec<Kept>) -> Result<()> {
        let storage = &*self.parts.storage;
        // On a full disk, room is worth more than a second checkpoint.
        let count = if self.parts.prepare.is_full() {
            1
        } else {
            KEPT
        };
        self.keep_newest(kept, count)?;
        let Some(oldest) = kept.last().filter(|_| kept.len() == count) else {
            return Ok(());
        };
        let pinned = self.backups.pinned();
        let dead = self
            .core
            .lock()
            .log
            .segments()
            .take_dead(oldest.report.begin, pinned);
        for segment in dead {
            storage
                .unlink(segment.path())
                .map_err(|error| io_error("unlink", segment.path(), error))?;
        }
        Ok(())
    }

    fn keep_newest(&self, kept: &mut Vec<Kept>, count: usize) -> Result<()> {
        while kept.len() > count {
            let superfluous = kept.pop().expect("there is more than one");
            checkpoint::discard(&*self.parts.storage, &superfluous.path)?;
        }
        self.checkpoints.note(kept);
        Ok(())
    }

    /// Whether the log behind the last checkpoint has become long, or a checkpoint would make room
    /// on a full disk.
    pub(super) fn is_checkpoint_due(&self) -> bool {
        let interval = self.parts.options.checkpoint_interval;
        let progress = &self.parts.progress;
        if interval == 0 || progress.is_poisoned() {
            return false;
        }
        let last = self.checkpoints.last.lock().unwrap_or_default();
        let behind = progress.appended().since(last.begin);
        if behind > interval.max(last.bytes) {
            return true;
        }
        self.parts.prepare.is_full() && self.core.lock().log.segments().dead_count() > 0
    }
}

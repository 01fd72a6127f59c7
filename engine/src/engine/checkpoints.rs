//! Taking checkpoints while commands run, and removing what they make superfluous.
//!
//! A checkpoint is fuzzy: the lock is held for one slice of the state at a time. Replay starts
//! where the log ended when it began; the log is made durable up to where it ended when the last
//! slice was taken, and only then does the file get its name. After that, and not before, older
//! checkpoints are removed, and the segments that none of those left needs.

use std::io::ErrorKind;
use std::time::Duration;

use super::{CheckpointReport, CheckpointStatus, Core, Shared};
use crate::checkpoint::{Kept, Writer};
use crate::format::checkpoint::Header;
use crate::log::Growth;
use crate::snapshot::CheckpointCursor;
use crate::storage::whole;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Mutex, MutexGuard};
use crate::{Error, Lsn, Result};

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
    /// Bytes of those taken since open.
    written: AtomicU64,
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
            written: AtomicU64::new(0),
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

    /// Bytes of checkpoints that were taken since open.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
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
        self.reap_inline();
        let Some(begun) = self.begin(kept)? else {
            // Nothing has happened since: it says all that a new one would.
            kept[0].report.finished_ms = self.parts.clock.now_ms();
            let report = kept[0].report;
            self.checkpoints.note(kept);
            self.remove_superfluous(kept)?;
            return Ok(report);
        };
        let taken = match self.take(begun) {
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::StorageFull => {
                // Only a checkpoint makes room, so it gets what was kept for it, and more.
                self.parts.prepare.release_room()?;
                self.keep_newest(kept, 1)?;
                self.take(begun)?
            }
            taken => taken?,
        };
        let report = taken.report;
        let written = &self.checkpoints.written;
        written.fetch_add(report.bytes, Ordering::Relaxed);
        kept.insert(0, taken);
        self.checkpoints.note(kept);
        self.remove_superfluous(kept)?;
        self.parts.prepare.keep_room(None, report.bytes);
        Ok(report)
    }

    /// Begins a checkpoint: its number, and where replay from it starts. `None` if the newest one
    /// says all that it would, replay from it is short, and no file waits for an older one to go.
    fn begin(&self, kept: &[Kept]) -> Result<Option<(u64, Lsn)>> {
        let Core { state, log, .. } = &mut *self.core.lock();
        let mut begin = log.end_frame();
        let newest = kept.first().filter(|newest| newest.report.end == begin);
        if let Some(newest) = newest {
            let oldest = kept.get(KEPT - 1).map_or(0, |oldest| oldest.number);
            let pins = log.segments().has_dead(oldest) || state.sorted.has_dead(oldest);
            let is_current = state.sorted.is_current(newest.number);
            if is_current && !pins && !self.is_replay_long(newest.report) {
                return Ok(None);
            }
            // While the log stood still entries were sorted; or much was added as the newest was
            // taken, and nothing since. A frame that says nothing gives the new one another name
            // than that of the newest.
            log.admit(0, Growth::Shrinks)?;
            log.void_transaction();
            begin = log.end();
        }
        let number = state.sorted.begin_checkpoint();
        log.segments().begin_checkpoint(number);
        Ok(Some((number, begin)))
    }

    fn take(&self, (number, begin): (u64, Lsn)) -> Result<Kept> {
        let dir = self.parts.checkpoint_dir();
        let store = self.parts.prepare.store();
        let header = Header { begin, store };
        let mut writer = Writer::create(&*self.parts.storage, &dir, (number, header))?;
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
        let (segments, sorted) = {
            let mut core = self.core.lock();
            let segments = core.log.segments();
            let since = (oldest.number, oldest.report.begin);
            let segments = segments.take_dead(since, pinned);
            // A backup copies these behind the segments.
            let oldest = pinned.map_or(oldest.number, |_| 0);
            (segments, core.state.sorted.take_dead(oldest))
        };
        let segments = segments.iter().map(|segment| segment.path());
        for path in segments.chain(sorted.iter().map(|file| file.path())) {
            whole::unlink(storage, path)?;
        }
        Ok(())
    }

    fn keep_newest(&self, kept: &mut Vec<Kept>, count: usize) -> Result<()> {
        while kept.len() > count {
            let superfluous = kept.pop().expect("there is more than one");
            whole::unlink(&*self.parts.storage, &superfluous.path)?;
        }
        self.checkpoints.note(kept);
        Ok(())
    }

    /// Whether the log behind the last checkpoint has become long, or checkpoints would let go of
    /// as much, or of anything on a full disk.
    pub(super) fn is_checkpoint_due(&self) -> bool {
        if self.parts.progress.is_poisoned() {
            return false;
        }
        let last = self.checkpoints.last.lock().unwrap_or_default();
        let Some(worth) = self.worth_a_checkpoint(last) else {
            return false;
        };
        if self.is_replay_long(last) {
            return true;
        }
        let dead = self.core.lock().dead_bytes();
        // What a backup keeps does not go with a checkpoint.
        let may_go = self.backups.pinned().is_none() && dead > worth;
        may_go || self.parts.prepare.is_full() && dead > 0
    }

    /// More bytes than this, of log to replay or of dead files, are worth a checkpoint behind the
    /// last one; `None` if none are taken by themselves.
    fn worth_a_checkpoint(&self, last: CheckpointReport) -> Option<u64> {
        let interval = self.parts.options.checkpoint_interval;
        (interval > 0).then(|| interval.max(last.bytes / 2))
    }

    /// Whether replay from the last checkpoint reads more of the log than the options want.
    fn is_replay_long(&self, last: CheckpointReport) -> bool {
        let behind = self.parts.progress.appended().since(last.begin);
        self.worth_a_checkpoint(last)
            .is_some_and(|worth| behind > worth)
    }
}

impl Core {
    /// Bytes of files that are only there for checkpoints.
    pub(super) fn dead_bytes(&mut self) -> u64 {
        self.log.segments().dead_bytes() + self.state.sorted.dead_bytes()
    }
}

#[cfg(test)]
mod tests {
    use crate::{Engine, NewId, Options, Threads};

    #[test]
    fn what_is_added_during_a_checkpoint_makes_the_next_one_due_once() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options {
            threads: Threads::Inline,
            segment_size: 1 << 20,
            checkpoint_interval: 64 << 10,
            ..Options::default()
        };
        let engine = Engine::open(dir.path(), options).unwrap();
        let add = || {
            let mut batch = engine.lock();
            let value = vec![b'v'; 100 << 10];
            let added = batch.add(0, b"k", NewId::Auto, &[b"f", &value]);
            added.unwrap();
            batch.end_command();
        };
        add();
        let shared = &engine.shared;
        let mut kept = shared.checkpoints.lock();
        let begun = shared.begin(&kept).unwrap().unwrap();
        add();
        let taken = shared.take(begun).unwrap();
        let fuzzy = taken.report;
        assert!(fuzzy.begin < fuzzy.end);
        kept.insert(0, taken);
        shared.checkpoints.note(&kept);
        drop(kept);

        assert!(shared.is_checkpoint_due());
        let report = engine.checkpoint().unwrap();
        assert!(report.begin >= fuzzy.end);
        assert!(!shared.is_checkpoint_due());
        assert_eq!(engine.checkpoint().unwrap().begin, report.begin);
    }
}

//! Group commit: what has gathered goes out with one positioned write for each segment.
//!
//! ```text
//!   commands --append--> buffer --gather--> in flight --write--> segment --sync--> disk
//!             state lock          state lock           writer              syncing
//! ```
//!
//! One leader at a time writes; whoever comes meanwhile waits for it and mostly finds its own
//! bytes written. The state lock is held for a swap of two buffers only. A segment is made durable
//! before the first frame of the next one is written, so that at most one segment is unsynced.
//! Locks are taken in this order: writer, syncing, state.

use std::sync::Arc;

use super::buffer::Buffer;
use super::progress::{Leader, Progress};
use super::segment::Segment;
use crate::storage::Clock;
use crate::sync::Mutex;
use crate::sync::atomic::Ordering;
use crate::{Lsn, Result};

/// Writes and syncs the log.
pub(crate) struct Commit {
    progress: Arc<Progress>,
    clock: Arc<dyn Clock>,
    writer: Mutex<Writer>,
    /// Held while a sync runs: who has it knows that no older sync is still under way.
    syncing: Mutex<()>,
    /// The segment with bytes that no sync has covered. Set before `written` moves over them.
    unsynced: Mutex<Option<Arc<Segment>>>,
}

#[derive(Default)]
struct Writer {
    /// The buffer of the last commit, to be used again.
    last: Option<Arc<Buffer>>,
    segment: Option<Arc<Segment>>,
}

impl Commit {
    pub(crate) fn new(progress: Arc<Progress>, clock: Arc<dyn Clock>) -> Self {
        Self {
            progress,
            clock,
            writer: Mutex::default(),
            syncing: Mutex::default(),
            unsynced: Mutex::default(),
        }
    }

    /// Writes all that has been appended by now. `gather` swaps the buffers under the state lock.
    pub(crate) fn write(
        &self,
        gather: impl FnOnce(Option<Arc<Buffer>>) -> Option<Arc<Buffer>>,
    ) -> Result<()> {
        let target = self.progress.appended();
        if self.progress.written() >= target {
            return Ok(());
        }
        let mut writer = self.writer.lock();
        if self.progress.written() >= target {
            return Ok(());
        }
        self.progress.check()?;
        let leader = Leader::new(&self.progress);
        if let Some(buffer) = gather(writer.last.take()) {
            leader.observe(self.write_buffer(&mut writer, &buffer))?;
            writer.last = Some(buffer);
        }
        leader.succeed();
        Ok(())
    }

    fn write_buffer(&self, writer: &mut Writer, buffer: &Buffer) -> Result<()> {
        for run in buffer.runs() {
            self.move_to(writer, run.segment)?;
            let end = run.lsn.plus(run.len as u64);
            run.segment.write(run.lsn, run.padded)?;
            run.segment.mark_filled(end);
            let mut unsynced = self.unsynced.lock();
            if unsynced.is_none() {
                *unsynced = Some(Arc::clone(run.segment));
            }
            drop(unsynced);
            let counters = &self.progress.counters;
            counters.commits.fetch_add(1, Ordering::Relaxed);
            counters.bytes.fetch_add(run.len as u64, Ordering::Relaxed);
            self.progress.publish_written(end);
        }
        Ok(())
    }

    /// Seals the segment that was written before, if there is another one now.
    fn move_to(&self, writer: &mut Writer, segment: &Arc<Segment>) -> Result<()> {
        let is_other = |current: &&Arc<Segment>| !Arc::ptr_eq(current, segment);
        if let Some(sealed) = writer.segment.as_ref().filter(is_other) {
            self.sync()?;
            sealed.seal();
        }
        writer.segment = Some(Arc::clone(segment));
        Ok(())
    }

    /// Makes all that is written durable.
    pub(crate) fn sync(&self) -> Result<()> {
        let _syncing = self.syncing.lock();
        self.progress.check()?;
        let written: Lsn = self.progress.written();
        if self.progress.durable() >= written {
            return Ok(());
        }
        let leader = Leader::new(&self.progress);
        if let Some(segment) = self.unsynced.lock().take() {
            let started = self.clock.monotonic();
            leader.observe(segment.sync())?;
            self.progress
                .count_sync(self.clock.monotonic().saturating_sub(started));
        }
        self.progress.publish_durable(written);
        leader.succeed();
        Ok(())
    }

    /// Forgets the segments of a log that is being closed.
    pub(crate) fn restart(&self) {
        let mut writer = self.writer.lock();
        let _syncing = self.syncing.lock();
        *writer = Writer::default();
        *self.unsynced.lock() = None;
    }
}

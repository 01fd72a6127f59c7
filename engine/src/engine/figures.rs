//! The figures of a running engine, and why it keeps the files that it keeps.

use std::path::Path;
use std::time::Duration;

use super::merging::is_low;
use super::{Core, EngineStats, Pin, Pins, Shared};
use crate::batch::Batch;
use crate::log::Segment;
use crate::sorted::SortedFile;
use crate::sync::atomic::{AtomicU64, Ordering};

impl Shared {
    pub(super) fn stats(&self, batch: &mut Batch<'_>) -> EngineStats {
        let remains = batch.remains();
        let core = batch.core();
        let progress = &self.parts.progress;
        let counters = &progress.counters;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let nanos = |counter| Duration::from_nanos(count(counter));
        EngineStats {
            appended: progress.appended(),
            written: progress.written(),
            durable: progress.durable(),
            commits: count(&counters.commits),
            frames: count(&counters.frames),
            bytes_appended: progress.appended().since(self.opened),
            bytes_written: count(&counters.bytes),
            syncs: count(&counters.syncs),
            sync_time: nanos(&counters.sync_nanos),
            sync_time_max: nanos(&counters.sync_nanos_max),
            sync_time_last: nanos(&counters.sync_nanos_last),
            segments: core.log.segments().count(),
            segment_bytes: core.log.segments().bytes(),
            checkpoint_bytes: self.checkpoints.bytes(),
            checkpoint_written: self.checkpoints.written(),
            is_spare_ready: self.parts.prepare.is_next_ready(),
            disk_quota: self.parts.prepare.quota(),
            disk_used: self.disk_used(core),
            is_disk_full: self.parts.prepare.is_full(),
            is_poisoned: progress.is_poisoned(),
            remains: remains.0,
            reaped: remains.1,
            retained: core.state.retained,
            dead_bytes: core.dead_bytes(),
            pins: self.pins(core),
            ..self.sort_stats(core)
        }
    }

    /// Bytes of all files but those that are being written.
    fn disk_used(&self, core: &mut Core) -> u64 {
        let sorted = core.state.sorted.files().map(|file| file.len());
        let ahead = self.parts.prepare.bytes_ahead();
        core.log.segments().bytes() + sorted.sum::<u64>() + self.checkpoints.bytes() + ahead
    }

    /// The figures that are about sorted segments.
    fn sort_stats(&self, core: &Core) -> EngineStats {
        let sorted = &core.state.sorted;
        let sum = |figure: fn(&SortedFile) -> u64| sorted.files().map(|file| figure(file)).sum();
        let low = sorted.files().filter(|file| is_low(file));
        let cache = sorted.cache().stats();
        let (sorted_written, merged_written) = self.sorting.written();
        EngineStats {
            sorted_files: sorted.files().count() as u64,
            sorted_bytes: sum(SortedFile::len),
            sorted_entries: sum(|file| file.footer().entries),
            sorted_live: sum(SortedFile::live),
            merge_waiting: low.map(|file| file.len()).sum(),
            sorted_written,
            merged_written,
            sort_failure: self.sorting.failure(),
            block_hits: cache.hits,
            block_misses: cache.misses,
            block_bytes: cache.bytes,
            block_loads_locked: cache.loads_locked,
            block_loads_asked: cache.loads_asked,
            ..EngineStats::default()
        }
    }

    /// Why the segments of the log are there, but for the active one, and dead sorted ones.
    fn pins(&self, core: &mut Core) -> Pins {
        let (looked, pinned) = (self.sorting.looked(), self.backups.pinned());
        let is_damaged = |path: &Path| self.sorting.damaged(path).is_some();
        let pin = |segment: &Segment, live: u64| match live {
            0 if pinned.is_some_and(|pinned| segment.end_lsn() > pinned) => Pin::Backup,
            0 => Pin::Checkpoint,
            _ if is_damaged(segment.path()) => Pin::Damage,
            _ if segment.end_lsn() <= looked => Pin::SmallPieces,
            _ => Pin::Unsorted,
        };
        let mut pins = Pins::default();
        for (segment, live) in core.log.segments().sealed() {
            let pin = pin(segment, live);
            pins.add(pin, segment.len());
            pins.oldest.get_or_insert((segment.path().to_owned(), pin));
        }
        for file in core.state.sorted.files() {
            if is_damaged(file.path()) {
                pins.add(Pin::Damage, file.len());
            }
        }
        let pin = pinned.map_or(Pin::Checkpoint, |_| Pin::Backup);
        pins.add(pin, core.state.sorted.dead_bytes());
        pins
    }
}

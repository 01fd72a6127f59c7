//! Opening a directory: lock, newest checkpoint, log behind it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;

use super::{Core, Parts, Shared};
use crate::checkpoint::{self, Kept};
use crate::error::io_error;
use crate::group::Contradiction;
use crate::index::corrupt_at;
use crate::log::recovery::{self, Known};
use crate::log::{Commit, Log, Prepare, Progress, replay};
use crate::options::{Options, Recovery, Threads};
use crate::snapshot::Section;
use crate::sorted::{self, BlockCache, LostRun, SortedSet};
use crate::state::{Mender, State};
use crate::storage::{Clock, Storage};
use crate::{EntryId, Error, Loss, LostEntries, Lsn, RecoveryReport, Result};

/// The file that is locked while a directory is open.
pub(crate) const LOCK: &str = "LOCK";
/// The directory of log segments.
pub(crate) const LOG: &str = "log";
/// The directory of checkpoints.
pub(crate) const CHECKPOINT: &str = "checkpoint";
/// The directory of sorted segments.
pub(crate) const SORTED: &str = "sorted";
/// The directory in which backups may be kept; nothing in it is looked at.
pub const BACKUP: &str = "backup";

/// Sections of a checkpoint that are decoded before they are taken in.
const DECODED_AHEAD: usize = 8;

/// What recovery found beside the state and the log.
pub(super) struct Found {
    pub(super) kept: Vec<Kept>,
    pub(super) report: RecoveryReport,
}

impl Parts {
    pub(super) fn new(
        storage: Arc<dyn Storage>,
        clock: Arc<dyn Clock>,
        dir: &Path,
        options: Options,
    ) -> Self {
        let options = options.within_limits();
        let progress = Arc::new(Progress::new(Lsn::ZERO, options.sync_policy));
        let prepare = Arc::new(Prepare::new(
            Arc::clone(&storage),
            [LOG, CHECKPOINT, SORTED].map(|name| dir.join(name)),
            options.segment_size,
            options.disk_quota,
        ));
        let commit = Commit::new(Arc::clone(&progress), Arc::clone(&clock));
        Self {
            storage,
            clock,
            dir: dir.to_owned(),
            options,
            progress,
            prepare,
            commit,
            look: None,
        }
    }

    pub(super) fn checkpoint_dir(&self) -> PathBuf {
        self.dir.join(CHECKPOINT)
    }

    pub(super) fn sorted_dir(&self) -> PathBuf {
        self.dir.join(SORTED)
    }

    /// Creates the directory if needed, and keeps other processes out of it.
    pub(super) fn lock_directory(&self) -> Result<Box<dyn Send + Sync>> {
        let storage = &*self.storage;
        let create = |dir: &Path| {
            storage
                .create_dir(dir)
                .map_err(|error| io_error("create", dir, error))
        };
        create(&self.dir)?;
        let path = self.dir.join(LOCK);
        let lock = storage.lock(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => Error::Locked { path: path.clone() },
            _ => io_error("lock", &path, error),
        })?;
        create(&self.dir.join(LOG))?;
        create(&self.checkpoint_dir())?;
        create(&self.sorted_dir())?;
        storage
            .sync_dir(&self.dir)
            .map_err(|error| io_error("sync", &self.dir, error))?;
        Ok(lock)
    }

    /// Loads the newest checkpoint and replays the log behind it.
    pub(super) fn recover(&self) -> Result<(Core, Found)> {
        let started = self.clock.monotonic();
        let mut report = RecoveryReport {
            unknown_files: self.unknown_files()?,
            ..RecoveryReport::default()
        };
        let (log_dir, checkpoint_dir) = (self.dir.join(LOG), self.checkpoint_dir());
        let listing = recovery::list(&*self.storage, &log_dir, &self.prepare)?;
        let is_new = listing.is_empty();
        let mut stores = listing.stores();
        stores.extend(checkpoint::stores(&*self.storage, &checkpoint_dir)?);
        let store = most_common(&stores).unwrap_or_else(|| self.new_store());
        self.prepare.belong_to(store);
        let mut checkpoints =
            checkpoint::find(&*self.storage, &checkpoint_dir, store, self.options.threads)?;
        let skip = self.look.unwrap_or(0);
        if skip > 0 {
            checkpoints.leave_out(&*self.storage, skip)?;
        }
        report.unknown_files.extend(checkpoints.unknown);
        report.damaged_checkpoints = checkpoints.damaged;
        let newest = checkpoints.newest.as_ref().map(|(kept, _)| kept.report);
        report.checkpoint = newest.map(|newest| newest.begin);
        let known = Known {
            begin: newest.map_or(Lsn::ZERO, |newest| newest.begin),
            durable: newest.map_or(Lsn::ZERO, |newest| newest.end),
            has_checkpoint: newest.is_some(),
            mode: self.options.recovery,
            is_look: self.look.is_some(),
        };
        let used = newest.map_or(0, |newest| newest.bytes);
        self.prepare.keep_room(Some(checkpoints.room), used);
        let mut found = recovery::recover(&*self.storage, listing, &self.prepare, known)?;
        report.torn_bytes = found.torn_bytes;
        report.unknown_files.append(&mut found.unknown_files);
        report.losses.append(&mut found.losses);

        let sorted = self.find_sorted(&mut report)?;
        let mut core = self.core_at(&mut found, sorted);
        let mut kept = checkpoints.older;
        if let Some((newest, bytes)) = checkpoints.newest {
            restore(&mut core, &newest.path, &bytes, self.options.threads)?;
            kept.insert(0, newest);
            self.check_homes(&core.log, &mut report)?;
            self.report_lost(core.state.sorted.lost(), &mut report);
        }
        self.replay(&mut core, &found.runs, &mut report)?;
        core.state.finish_recovery(&core.log)?;
        report.lost_entries = lost_entries(&core);
        if self.look.is_none() {
            // Nothing that a new directory needs is made beside its first users.
            if is_new || self.options.threads == Threads::Inline {
                self.prepare.prime();
            }
            if found.is_cut {
                core.log.void_transaction();
            }
        }
        (report.streams, report.entries) = core.state.counts();
        report.duration = self.clock.monotonic().saturating_sub(started);
        Ok((core, Found { kept, report }))
    }

    /// The number of a data directory that is new.
    fn new_store(&self) -> u32 {
        (self.storage.random() & 0xffff_ffff) as u32
    }

    /// Opens the sorted segments.
    fn find_sorted(&self, report: &mut RecoveryReport) -> Result<SortedSet> {
        let cache = Arc::new(BlockCache::new(self.options.block_cache));
        let mut found = sorted::find(&*self.storage, &self.sorted_dir(), &cache)?;
        report.unknown_files.append(&mut found.unknown);
        let mut damaged = found.foreign(self.prepare.store());
        damaged.append(&mut found.damaged);
        for (error, len) in damaged {
            match (self.options.recovery, error) {
                (Recovery::Salvage, Error::Corrupt { path, offset, what }) => {
                    report.losses.push(Loss {
                        path,
                        offset,
                        len,
                        what,
                    });
                }
                (_, error) => return Err(error),
            }
        }
        let is_salvage = self.options.recovery == Recovery::Salvage;
        Ok(SortedSet::new(found, cache, is_salvage))
    }

    /// The head of the recovered log, and the state before its first record.
    fn core_at(&self, found: &mut recovery::Recovered, sorted: SortedSet) -> Core {
        let segments = std::mem::take(&mut found.segments);
        if self.look.is_none() {
            let active = Arc::clone(segments.last().expect("a log has an active segment"));
            self.prepare
                .restart(&active, found.next.take(), found.has_reserve);
        }
        self.progress.restart(found.end);
        let prepare = Arc::clone(&self.prepare);
        let progress = Arc::clone(&self.progress);
        Core {
            state: State::new(self.options.node_entries_max, sorted),
            log: Log::new(segments, found.end, prepare, progress),
            reaper: None,
        }
    }

    fn replay(
        &self,
        core: &mut Core,
        runs: &[recovery::SegmentRun],
        report: &mut RecoveryReport,
    ) -> Result<()> {
        let Core { state, log, .. } = core;
        let mut mender = match self.options.recovery {
            Recovery::Strict => None,
            Recovery::Salvage => Some(Mender::default()),
        };
        let losses = &mut report.losses;
        let replayed = replay(runs, log, |payload, lsn, log| match &mut mender {
            None => state.replay(payload, lsn, log),
            Some(mender) => mender.replay(state, (payload, lsn), log, losses),
        })?;
        for torn in replayed.torn {
            let path = torn.segment.path().to_owned();
            let (offset, what) = (torn.offset, "another part of this transaction is lost");
            if mender.is_none() {
                return Err(Error::Corrupt { path, offset, what });
            }
            let len = torn.len;
            losses.push(Loss {
                path,
                offset,
                len,
                what,
            });
        }
        if let Some(mender) = mender {
            let assumed = mender.finish(state, log, !report.losses.is_empty());
            report.mended = assumed.map_err(|what| corrupt_at(log, log.end(), what))?;
        }
        report.frames = replayed.frames;
        report.bytes = replayed.bytes;
        Ok(())
    }

    /// A segment that the checkpoint's entries lie in may be missing where no replay looks.
    fn check_homes(&self, log: &Log, report: &mut RecoveryReport) -> Result<()> {
        match (log.check_homes(), self.options.recovery) {
            (Err(Error::Corrupt { path, offset, what }), Recovery::Salvage) => {
                report.losses.push(Loss {
                    path,
                    offset,
                    len: 0,
                    what,
                });
                Ok(())
            }
            (checked, _) => checked,
        }
    }

    /// A file that the checkpoint names may be missing, or damaged where a run of it is told.
    fn report_lost(&self, lost: &[LostRun], report: &mut RecoveryReport) {
        for run in lost {
            let path = self.sorted_dir().join(sorted::name(run.file));
            if !report.losses.iter().any(|loss| loss.path == path) {
                report.losses.push(Loss {
                    path,
                    offset: 0,
                    len: 0,
                    what: "a sorted segment with entries of the checkpoint is missing or damaged",
                });
            }
        }
    }

    fn unknown_files(&self) -> Result<Vec<PathBuf>> {
        let entries = self
            .storage
            .list(&self.dir)
            .map_err(|error| io_error("list", &self.dir, error))?;
        let is_known = |name: &str| [LOCK, LOG, CHECKPOINT, SORTED, BACKUP].contains(&name);
        let unknown = entries.iter().filter(|entry| !is_known(&entry.name));
        Ok(unknown.map(|entry| self.dir.join(&entry.name)).collect())
    }
}

/// What most of them are; of several, the first.
fn most_common(stores: &[u32]) -> Option<u32> {
    let mut counts = HashMap::new();
    for store in stores {
        *counts.entry(store).or_insert(0_usize) += 1;
    }
    let most = counts.values().copied().max()?;
    stores.iter().copied().find(|store| counts[store] == most)
}

/// What streams lack that lay in runs which could not be read, between which entries.
fn lost_entries(core: &Core) -> Vec<LostEntries> {
    let (keyspace, log) = (&core.state.keyspace, &core.log);
    let mut gaps: Vec<LostEntries> = Vec::new();
    for run in core.state.sorted.lost() {
        let Some(stream) = keyspace.by_number(run.stream) else {
            continue;
        };
        let from = run.after.and_then(EntryId::next);
        let position = stream.index.lower_bound(from.unwrap_or(EntryId::MIN), log);
        let before = position.and_then(|position| stream.index.id(position, log));
        let entries = LostEntries {
            db: keyspace.logical(stream.db),
            key: stream.key.to_vec(),
            count: run.entries,
            after: run.after,
            before: before.unwrap_or(None),
        };
        let is_same = |gap: &&mut LostEntries| {
            (gap.db, gap.after, &gap.key) == (entries.db, entries.after, &entries.key)
        };
        match gaps.last_mut().filter(is_same) {
            Some(gap) => gap.count += entries.count,
            None => gaps.push(entries),
        }
    }
    gaps
}

/// Takes in a checkpoint: one thread decodes, another one makes streams of it.
fn restore(core: &mut Core, path: &Path, bytes: &[u8], threads: Threads) -> Result<()> {
    let mut take = |(section, decoded): (&[u8], Result<Section, Contradiction>)| {
        let restored = decoded.and_then(|it| core.state.restore_part(it, &mut core.log));
        restored.map_err(|what| {
            // The checkpoint may be right, and the file that it names not.
            let damage = core.state.sorted.take_damage();
            damage.unwrap_or_else(|| Error::Corrupt {
                path: path.to_owned(),
                offset: (section.as_ptr().addr() - bytes.as_ptr().addr()) as u64,
                what,
            })
        })
    };
    let mut decoded =
        checkpoint::sections(bytes).map(|section| (section, Section::decode(section)));
    if threads == Threads::Inline {
        return decoded.try_for_each(take);
    }
    thread::scope(|scope| {
        let (sender, receiver) = sync_channel(DECODED_AHEAD);
        // It ends with the last section, or when nobody listens any more.
        scope.spawn(move || decoded.try_for_each(|section| sender.send(section)));
        receiver.into_iter().try_for_each(&mut take)
    })
}

impl Shared {
    /// Closes the directory and opens it again, in place.
    pub(super) fn reload(&self) -> Result<()> {
        if self.parts.options.checkpoint_on_close {
            self.checkpoint()?;
        }
        // What is being sorted belongs to the state that is about to be left.
        let _none_sorts = self.sorting.pause();
        let mut kept = self.checkpoints.lock();
        let mut core = loop {
            self.commit_all()?;
            let mut core = self.core.lock();
            // Others may have appended before the lock was taken.
            if core.log.end_frame() == self.parts.progress.durable() {
                break core;
            }
        };
        self.parts.prepare.pause();
        self.parts.commit.restart();
        match self.parts.recover() {
            Ok((mut recovered, found)) => {
                recovered.state.node_entries_max = core.state.node_entries_max;
                recovered.state.producer_settings = core.state.producer_settings;
                recovered.state.kept_by_default = core.state.kept_by_default;
                recovered.reaper = core.reaper.take();
                *core = recovered;
                *kept = found.kept;
                *self.recovery.write() = found.report;
                Ok(())
            }
            Err(error) => {
                self.parts.progress.poison();
                Err(error)
            }
        }
    }
}

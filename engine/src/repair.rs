//! A new directory from what is valid in a damaged one, which stays as it is byte for byte.
//!
//! ```text
//!   DIR --look (salvage)--> state, log --stream by stream--> NEWDIR.unfinished --check--> NEWDIR
//! ```
//!
//! What counts is what [`Recovery::Salvage`](crate::Recovery::Salvage) would serve. Every entry is
//! read and verified on the way; the others are counted as lost, with the IDs between which they
//! lay. The new directory is written by the engine itself, checked, and gets its name last:
//! whatever has that name is complete and durable.

mod report;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::batch::Transplanted;
use crate::check::{OnProgress, ToolProgress, check_files, check_on, unreferenced};
use crate::engine::{Core, Looked, discard, hold, look, unfinished};
use crate::error::io_error;
use crate::format::entry;
use crate::index::Position;
use crate::limits::{NODE_ENTRIES_MAX, SEGMENT_SIZE_DEFAULT};
use crate::options::{Options, SyncPolicy, Threads};
use crate::sorted::LostRun;
use crate::storage::{RealStorage, Storage, SystemClock, whole};
use crate::stream::Stream;
use crate::{Engine, EntryId, Error, LostEntries, Result};
pub use report::{LostPending, RepairReport};

/// What was written so far is handed on after so many bytes.
const CHUNK_LEN: usize = 4 << 20;

/// Writes what is valid in `dir`, which nobody has open, to the new directory `to`.
///
/// # Errors
///
/// [`Locked`](Error::Locked) if `dir` is in use; [`Io`](Error::Io) if it cannot be read, if `to`
/// exists and is not empty or lies inside `dir`, or cannot be written. `to` is not made then.
pub fn repair(dir: &Path, to: &Path, progress: OnProgress<'_>) -> Result<RepairReport> {
    repair_on(
        &(Arc::new(RealStorage) as Arc<dyn Storage>),
        (dir, to),
        progress,
    )
}

/// The same on any storage.
pub fn repair_on(
    storage: &Arc<dyn Storage>,
    (dir, to): (&Path, &Path),
    progress: OnProgress<'_>,
) -> Result<RepairReport> {
    let _held = hold(&**storage, dir)?;
    let to = target(&**storage, dir, to)?;
    let unfinished = unfinished(&to);
    let exists = |path: &Path| storage.list(path).is_ok();
    if exists(&unfinished) {
        // A repair before this one was cut short.
        discard(&**storage, &unfinished).map_err(|error| io_error("remove", &unfinished, error))?;
    }
    let made = make(storage, (dir, &unfinished), progress);
    let report = match made {
        Ok(report) => report,
        Err(error) => {
            // The first error says more than what may follow from it.
            drop(discard(&**storage, &unfinished));
            return Err(error);
        }
    };
    whole::publish(&**storage, &unfinished, &to)?;
    Ok(report)
}

/// The path of the new directory, if it may be made.
fn target(storage: &dyn Storage, dir: &Path, to: &Path) -> Result<PathBuf> {
    let refused = |kind: ErrorKind, what: &str| {
        Err(io_error(
            "create",
            to,
            std::io::Error::new(kind, what.to_owned()),
        ))
    };
    let Some(name) = to.file_name() else {
        return refused(ErrorKind::InvalidInput, "it needs a name of its own");
    };
    let parent = whole::parent(to);
    let canonical = |path: &Path| {
        let path = storage.canonical(path);
        path.map_err(|error| io_error("find", parent, error))
    };
    let (dir, parent) = (canonical(dir)?, canonical(parent)?);
    let to_path = parent.join(name);
    if to_path.starts_with(&dir) {
        return refused(
            ErrorKind::InvalidInput,
            "it lies in the directory that is repaired",
        );
    }
    match storage.list(&to_path) {
        Ok(entries) if !entries.is_empty() => {
            refused(ErrorKind::DirectoryNotEmpty, "it exists, and is not empty")
        }
        Err(error) if error.kind() != ErrorKind::NotFound => Err(io_error("list", &to_path, error)),
        _ => Ok(to_path),
    }
}

/// Writes the new directory under its unfinished name.
fn make(
    storage: &Arc<dyn Storage>,
    (dir, to): (&Path, &Path),
    progress: OnProgress<'_>,
) -> Result<RepairReport> {
    let mut files = check_files(storage, dir, progress)?;
    progress(&ToolProgress::of("replaying"));
    let looked = look(storage, dir, 0)?;
    unreferenced(&mut files, &looked);
    let mut report = RepairReport::of(files, &looked.report);
    let segment = looked.core.log.segments_ref().last().map(|last| last.len());
    let options = Options {
        sync_policy: SyncPolicy::Never,
        threads: Threads::Inline,
        segment_size: segment.unwrap_or(SEGMENT_SIZE_DEFAULT),
        node_entries_max: NODE_ENTRIES_MAX,
        checkpoint_interval: 0,
        ..Options::default()
    };
    let clock = Arc::new(SystemClock::default());
    let engine = Engine::open_on(Arc::clone(storage), clock, to, options)?;
    let Looked { core, .. } = &looked;
    let total = core.state.counts().1;
    let mut done = 0;
    for stream in core.state.keyspace.streams() {
        let mut move_ = Move {
            core,
            stream,
            db: core.state.keyspace.logical(stream.db),
            engine: &engine,
            report: &mut report,
            last: None,
            lost: 0,
            lost_runs: core.state.sorted.lost().to_vec(),
            tombstone: stream.tombstone(),
        };
        move_.lost_runs.retain(|run| run.stream == stream.number);
        let mut step = |entries: u64| {
            done += entries;
            progress(&ToolProgress {
                done,
                total,
                ..ToolProgress::of("writing entries")
            });
        };
        move_.run(&mut step)?;
    }
    drop(looked);
    engine.close()?;
    let checked = check_on(storage, to, progress)?;
    if let Some(damage) = checked.damage.into_iter().next() {
        return Err(Error::Corrupt {
            path: damage.path,
            offset: damage.offset,
            what: "the new directory does not pass its check",
        });
    }
    report.state = checked.state;
    Ok(report)
}

/// A stream on its way.
struct Move<'a> {
    core: &'a Core,
    stream: &'a Stream,
    /// Its database, by logical number: in the new directory that is the physical one.
    db: u8,
    engine: &'a Engine,
    report: &'a mut RepairReport,
    /// The last entry that was moved.
    last: Option<EntryId>,
    /// Entries behind it that are lost.
    lost: u64,
    /// Runs that are lost, in order, from there on.
    lost_runs: Vec<LostRun>,
    /// Nothing above it is missing.
    tombstone: EntryId,
}

impl Move<'_> {
    fn run(&mut self, step: &mut dyn FnMut(u64)) -> Result<()> {
        let slot = {
            let mut batch = self.engine.lock();
            batch.begin_transplant(self.db, &self.stream.key)?
        };
        let (stream, core, mut gathered, mut entries) = (self.stream, self.core, 0, 0);
        let mut opens_node = true;
        for position in stream.index.positions() {
            entries += 1;
            opens_node |= stream.index.opens_node(position);
            let written = stream.index.read(position, &core.log, |id, body| {
                if !self.is_at(position, id) {
                    return Ok(None);
                }
                self.gap(Some(id));
                self.last = Some(id);
                let entry = Transplanted {
                    id,
                    opens_node,
                    body,
                };
                let written = self.engine.lock().transplant_entry(slot, entry);
                written.map(|()| Some(body.len()))
            });
            let len = match written {
                Ok(Some(written)) => written?,
                Ok(None) | Err(Error::Corrupt { .. }) => None,
                Err(error) => return Err(error),
            };
            let Some(len) = len else {
                self.lost += 1;
                continue;
            };
            opens_node = false;
            gathered += len;
            if gathered >= CHUNK_LEN {
                self.engine.submit();
                step(std::mem::take(&mut entries));
                gathered = 0;
            }
        }
        self.gap(None);
        let pending = stream
            .groups()
            .filter_map(|(_, _, group)| group.pending.bounds());
        if self.report.is_damaged() {
            // Of what is pending, an entry may be lost that no index knows of.
            let highest = pending.map(|(_, highest)| highest).max();
            self.tombstone = self.tombstone.max(highest.unwrap_or_default());
        }
        let mut batch = self.engine.lock();
        batch.transplant_rest(slot, stream, self.tombstone)?;
        if self.report.is_damaged() {
            for (group, ids) in batch.pending_without_entry(slot)? {
                self.report.lost_pending.push(LostPending {
                    db: self.db,
                    key: stream.key.to_vec(),
                    group,
                    ids,
                });
            }
        }
        drop(batch);
        self.engine.submit();
        step(entries);
        Ok(())
    }

    /// Whether the entry that was read at `position` belongs there.
    fn is_at(&self, position: Position, id: EntryId) -> bool {
        let (index, log) = (&self.stream.index, &self.core.log);
        let is_there = match (index.node_at(position.part), index.lsn(position)) {
            (Some(node), Some(lsn)) => {
                let head = log.bytes_at(lsn).ok();
                let head = head.and_then(|bytes| entry::head(bytes, lsn));
                (node.first_id..=node.last_id).contains(&id)
                    && head.is_some_and(|head| head.stream == self.stream.number)
            }
            _ => index.run(position.part).is_some_and(|run| {
                run.row().is_ok_and(|row| {
                    row.stream == self.stream.number && (row.first_id..=row.last_id).contains(&id)
                })
            }),
        };
        is_there && self.last < Some(id) && id <= self.stream.last_id
    }

    /// Reports what is lost before the entry `next`, or before the end.
    fn gap(&mut self, next: Option<EntryId>) {
        let lies_before = |run: &LostRun| next.is_none_or(|next| run.after < Some(next));
        let runs = self.lost_runs.partition_point(lies_before);
        let in_runs = self.lost_runs.drain(..runs).map(|run| run.entries);
        let count = std::mem::take(&mut self.lost) + in_runs.sum::<u64>();
        if count > 0 {
            self.tombstone = self.tombstone.max(next.unwrap_or(self.stream.last_id));
            self.report.lost_entries.push(LostEntries {
                db: self.db,
                key: self.stream.key.to_vec(),
                count,
                after: self.last,
                before: next,
            });
        }
    }
}

#[cfg(test)]
mod tests;

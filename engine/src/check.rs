//! Verifying a data directory that nobody has open, without changing a byte of it.
//!
//! ```text
//!   files   every checkpoint, segment, sorted segment and reserve: checksums, frames, records,
//!           entries, rows, blocks, order
//!   state   as a start would build it, from the newest checkpoint and again from the one before:
//!           every entry read at its place, groups and counters held against each other
//! ```
//!
//! The first step names all damage, also where a start would not look because a checkpoint lies
//! behind it. The second shows that checkpoints, log and index agree, and which entries of which
//! streams the damage costs. The rule that tells a torn tail from damage is that of
//! [`recovery`](crate::log::recovery).

mod files;
mod state;

pub(crate) use state::unreferenced;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::engine::hold;
use crate::storage::read_only::ReadOnly;
use crate::storage::{RealStorage, Storage};
use crate::{EntryId, Lsn, Result};

/// What a check found.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct CheckReport {
    /// Checkpoints that are whole.
    pub checkpoints: u64,
    /// Log segments.
    pub segments: u64,
    /// Valid frames in them.
    pub frames: u64,
    /// Records in those.
    pub records: u64,
    /// Sorted segments.
    pub sorted: u64,
    /// Entries in them, those that are deleted by now as well.
    pub sorted_entries: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Bytes behind the log's end that a start would cut: writes that nobody was told of.
    pub torn_bytes: u64,
    /// All that is wrong.
    pub damage: Vec<Damage>,
    /// Files that are none of ours.
    pub unknown_files: Vec<PathBuf>,
    /// Files that were being made when a process ended; the next start removes them.
    pub unfinished_files: Vec<PathBuf>,
    /// What the state holds.
    pub state: CheckedState,
}

/// Bytes that are not what was written, or that contradict others.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// Offset of the first bad byte, frame or record.
    pub offset: u64,
    /// How many bytes are bad; 0 if that is not known.
    pub len: u64,
    /// What was expected and what was found.
    pub what: String,
    /// The stream that it is about, if it is about one: database and name.
    pub stream: Option<(u8, Vec<u8>)>,
    /// The entry that it is about, or the last one before it.
    pub id: Option<EntryId>,
    /// How many neighbouring entries of the stream it costs.
    pub entries: u64,
}

/// What a start would serve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckedState {
    /// Streams.
    pub streams: u64,
    /// Entries, each of which was read and verified.
    pub entries: u64,
    /// Consumer groups.
    pub groups: u64,
    /// Pending entries.
    pub pending: u64,
}

/// How far a tool has come.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ToolProgress<'a> {
    /// What it does, e.g. `reading`.
    pub what: &'static str,
    /// The file that it is at, if it is at one.
    pub path: Option<&'a Path>,
    /// How much is done; bytes of files, or entries.
    pub done: u64,
    /// Of how much.
    pub total: u64,
}

/// Who is told how far a tool has come.
pub(crate) type OnProgress<'a> = &'a mut dyn FnMut(&ToolProgress<'_>);

/// Verifies the directory `dir`; `progress` is told of each file before it is read.
///
/// # Errors
///
/// [`Locked`](crate::Error::Locked) if it is in use, [`Io`](crate::Error::Io) if it cannot be read.
/// Damage is no error: the report names it.
pub fn check(dir: &Path, progress: OnProgress<'_>) -> Result<CheckReport> {
    check_on(&(Arc::new(RealStorage) as Arc<dyn Storage>), dir, progress)
}

/// The same on any storage.
pub fn check_on(
    storage: &Arc<dyn Storage>,
    dir: &Path,
    progress: OnProgress<'_>,
) -> Result<CheckReport> {
    let _held = hold(&**storage, dir)?;
    let mut report = check_files(storage, dir, progress)?;
    state::verify(storage, dir, &mut report, progress)?;
    Ok(report)
}

/// The files of a directory that is held, by themselves.
pub(crate) fn check_files(
    storage: &Arc<dyn Storage>,
    dir: &Path,
    progress: OnProgress<'_>,
) -> Result<CheckReport> {
    let looked = ReadOnly(Arc::clone(storage));
    let mut check = Check {
        storage: &looked,
        dir,
        progress,
        report: CheckReport::default(),
        total: 0,
        durable: Lsn::ZERO,
        begin: None,
        gaps: Vec::new(),
        last: None,
    };
    check.files()?;
    Ok(check.report)
}

/// A gap between valid frames that is not judged yet.
struct Break {
    segment: usize,
    damage: Damage,
    lsn: Lsn,
}

/// A check of the files, under way.
struct Check<'a> {
    storage: &'a dyn Storage,
    dir: &'a Path,
    progress: OnProgress<'a>,
    report: CheckReport,
    /// Bytes of all files.
    total: u64,
    /// Latest position that is known to have been durable.
    durable: Lsn,
    /// Where the replay from the oldest valid checkpoint begins.
    begin: Option<Lsn>,
    gaps: Vec<Break>,
    /// The last segment that has frames.
    last: Option<usize>,
}

impl ToolProgress<'_> {
    pub(crate) fn of(what: &'static str) -> Self {
        Self {
            what,
            path: None,
            done: 0,
            total: 0,
        }
    }
}

impl Damage {
    pub(crate) fn of(path: &Path, (offset, len): (u64, u64), what: &str) -> Self {
        Self {
            path: path.to_owned(),
            offset,
            len,
            what: what.to_owned(),
            stream: None,
            id: None,
            entries: 0,
        }
    }
}

impl CheckReport {
    /// Whether some damage is named at that place already.
    fn names(&self, path: &Path, offset: u64) -> bool {
        let covers = |damage: &Damage| {
            damage.path == path
                && damage.offset <= offset
                && offset < damage.offset + damage.len.max(1)
        };
        self.damage.iter().any(covers)
    }

    /// A checkpoint was not used, for a reason that its checksums do not show.
    pub(crate) fn unused(&mut self, path: &Path) {
        if !self.damage.iter().any(|damage| damage.path == path) {
            let what = "a checkpoint contradicts itself, or is another directory's";
            self.damage.push(Damage::of(path, (0, 0), what));
        }
    }

    pub(crate) fn damaged(&mut self, damage: Damage) {
        if !self.names(&damage.path, damage.offset) || damage.stream.is_some() {
            self.damage.push(damage);
        }
    }
}

#[cfg(test)]
mod tests;

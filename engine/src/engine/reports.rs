//! What a running engine tells about itself.

use std::path::PathBuf;
use std::time::Duration;

use crate::{EntryId, Lsn};

/// What open found and did.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// The checkpoint that was loaded, by the LSN where it begins.
    pub checkpoint: Option<Lsn>,
    /// Frames that were replayed.
    pub frames: u64,
    /// Bytes of log that were replayed.
    pub bytes: u64,
    /// Bytes of a torn tail that were cut.
    pub torn_bytes: u64,
    /// Streams that there are now.
    pub streams: u64,
    /// Entries that there are now.
    pub entries: u64,
    /// How long it took.
    pub duration: Duration,
    /// Files that the store does not know; they are left alone.
    pub unknown_files: Vec<PathBuf>,
    /// Checkpoints that could not be read; an older one was used.
    pub damaged_checkpoints: Vec<PathBuf>,
    /// What could not be read (only with `Recovery::Salvage`).
    pub losses: Vec<Loss>,
    /// Entries that streams had in sorted segments which could not be read.
    pub lost_entries: Vec<LostEntries>,
    /// What had to be assumed because of that.
    pub mended: Vec<Mended>,
}

/// Bytes of the log that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The damaged file.
    pub path: PathBuf,
    /// Where the damage begins, in bytes.
    pub offset: u64,
    /// How many bytes are lost.
    pub len: u64,
    /// What was expected and what was found.
    pub what: &'static str,
}

/// Neighbouring entries of a stream that are lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostEntries {
    /// The stream's database, by the number that clients know.
    pub db: u8,
    /// Its name.
    pub key: Vec<u8>,
    /// How many are lost.
    pub count: u64,
    /// The last entry before them that is kept; `None` if there is none.
    pub after: Option<EntryId>,
    /// The first entry behind them that is kept; `None` if there is none.
    pub before: Option<EntryId>,
}

/// What was assumed of a stream because records about it are lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mended {
    /// Its database, by physical number.
    pub db: u8,
    /// Its name; what is gone by now has the name that it had.
    pub key: Vec<u8>,
    /// What was assumed.
    pub what: &'static str,
    /// How often.
    pub count: u64,
}

/// What a checkpoint wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckpointReport {
    /// Replay starts here.
    pub begin: Lsn,
    /// The log was durable up to here before the checkpoint got its name.
    pub end: Lsn,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// When it was finished, in milliseconds since the Unix epoch.
    pub finished_ms: u64,
}

/// What a backup holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackupReport {
    /// The state at this position of the log is what it holds.
    pub end: Lsn,
    /// Bytes of its files.
    pub bytes: u64,
    /// Bytes of them that it shares with the original, as links.
    pub linked_bytes: u64,
    /// Bytes of them that were copied.
    pub copied_bytes: u64,
}

/// How far a backup is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackupProgress {
    /// Bytes that are linked or copied.
    pub done: u64,
    /// Bytes that it will have.
    pub total: u64,
}

/// The checkpoints so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckpointStatus {
    /// The newest one, also one of an earlier run.
    pub last: Option<CheckpointReport>,
    /// Whether one is being taken.
    pub is_running: bool,
    /// Whether the last attempt failed.
    pub failed: bool,
    /// How many were taken since open.
    pub taken: u64,
    /// The longest time for which the last one held the lock.
    pub longest_hold: Duration,
}

/// Figures of a running engine.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct EngineStats {
    /// The LSN behind the last frame that was appended.
    pub appended: Lsn,
    /// The LSN up to which a kill loses nothing.
    pub written: Lsn,
    /// The LSN up to which a power cut loses nothing.
    pub durable: Lsn,
    /// Commits: positioned writes of gathered frames.
    pub commits: u64,
    /// Frames that were appended.
    pub frames: u64,
    /// Bytes of log that were appended since open.
    pub bytes_appended: u64,
    /// Bytes that were written to the log.
    pub bytes_written: u64,
    /// Syncs of the log.
    pub syncs: u64,
    /// Time spent in these syncs.
    pub sync_time: Duration,
    /// The longest of them.
    pub sync_time_max: Duration,
    /// How long the last one took.
    pub sync_time_last: Duration,
    /// Log segments on disk.
    pub segments: u64,
    /// Bytes of log segments on disk.
    pub segment_bytes: u64,
    /// Bytes of checkpoints on disk.
    pub checkpoint_bytes: u64,
    /// Bytes of checkpoints that were written since open.
    pub checkpoint_written: u64,
    /// Whether the next segment is ready.
    pub is_spare_ready: bool,
    /// Most bytes that the files may take; 0: as many as there is room for.
    pub disk_quota: u64,
    /// Bytes that the files take, backups and what is being written not counted.
    pub disk_used: u64,
    /// Whether the last attempt to make a segment found the disk full, or the quota reached.
    pub is_disk_full: bool,
    /// Whether a write or sync failed.
    pub is_poisoned: bool,
    /// Things that were removed and whose memory is not given back yet.
    pub remains: u64,
    /// Things whose memory was given back in the background since open.
    pub reaped: u64,
    /// Entries that streams let go by themselves since open.
    pub retained: u64,
    /// Sorted segments on disk.
    pub sorted_files: u64,
    /// Bytes of sorted segments on disk.
    pub sorted_bytes: u64,
    /// Entries in sorted segments.
    pub sorted_entries: u64,
    /// Those of them that are still there.
    pub sorted_live: u64,
    /// Bytes of sorted segments of which less than half is live.
    pub merge_waiting: u64,
    /// Why files are there.
    pub pins: Pins,
    /// Bytes of files without live entries that go when no checkpoint needs them.
    pub dead_bytes: u64,
    /// Bytes of sorted segments that were made of log segments since open.
    pub sorted_written: u64,
    /// Bytes of sorted segments that were made of others since open.
    pub merged_written: u64,
    /// Why the last attempt to sort failed.
    pub sort_failure: Option<String>,
    /// Blocks that were found in the cache.
    pub block_hits: u64,
    /// Blocks that were not.
    pub block_misses: u64,
    /// Bytes of blocks in the cache.
    pub block_bytes: u64,
    /// Blocks that were loaded under the engine's lock.
    pub block_loads_locked: u64,
    /// Blocks that were loaded without it, because a command asked for them.
    pub block_loads_asked: u64,
}

impl EngineStats {
    /// Bytes that were written to log, sorted segments and checkpoints for every thousand that were
    /// appended since open; the zeros that segments are made of are not counted.
    #[must_use]
    pub fn written_permille(&self) -> u64 {
        let sorted = self.sorted_written + self.merged_written;
        let written = self.bytes_written + sorted + self.checkpoint_written;
        written * 1000 / self.bytes_appended.max(1)
    }
}

/// Why a file is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pin {
    /// It is a log segment that is still to be sorted, or one of the newest.
    Unsorted,
    /// It is a log segment with small pieces of many streams, which are not sorted.
    SmallPieces,
    /// An entry in it is damaged, so that it was not sorted or merged.
    Damage,
    /// Nothing in it is live, but a checkpoint may lead a start to it.
    Checkpoint,
    /// Nothing in it is live, but a backup is still to copy it.
    Backup,
}

impl Pin {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Unsorted,
        Self::SmallPieces,
        Self::Damage,
        Self::Checkpoint,
        Self::Backup,
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unsorted => "unsorted",
            Self::SmallPieces => "small_pieces",
            Self::Damage => "damage",
            Self::Checkpoint => "checkpoint",
            Self::Backup => "backup",
        }
    }
}

/// Why the sealed segments of the log are there, and the sorted ones that are dead or damaged.
#[derive(Clone, Debug, Default)]
pub struct Pins {
    bytes: [u64; Pin::ALL.len()],
    /// The oldest segment of the log, if it is sealed, and why it is there.
    pub oldest: Option<(PathBuf, Pin)>,
}

impl Pins {
    /// Bytes of the files that are there for that reason.
    #[must_use]
    pub fn bytes(&self, pin: Pin) -> u64 {
        self.bytes[pin as usize]
    }

    pub(super) fn add(&mut self, pin: Pin, bytes: u64) {
        self.bytes[pin as usize] += bytes;
    }
}

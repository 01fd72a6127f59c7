//! How an engine is opened; every field has a documented default.

use crate::limits;

/// When a write counts as settled, i.e. when replies that depend on it may leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncPolicy {
    /// Once it is durable: a power cut loses nothing that was acknowledged.
    #[default]
    Always,
    /// Once it is written; synced each second. A kill loses nothing, a power cut about a second.
    EverySecond,
    /// Once it is written; the kernel decides when it reaches the disk.
    Never,
}

/// What to do about bytes on disk that are not what was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recovery {
    /// Refuse to open, and name the file and the offset.
    #[default]
    Strict,
    /// Serve what can be read, and report what cannot.
    Salvage,
}

/// Who does the work behind the commands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Threads {
    /// Threads of the engine commit, prepare segments and take checkpoints.
    #[default]
    Background,
    /// The caller does everything: deterministic, for simulations and tools.
    Inline,
}

/// How an engine is opened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// When a write counts as settled. Default: [`SyncPolicy::Always`].
    pub sync_policy: SyncPolicy,
    /// Size of a log segment in bytes, a multiple of 4096. Default: 64 MiB.
    pub segment_size: u64,
    /// Entries that a logical node of a stream holds (`stream-node-max-entries`). Default: 100.
    pub node_entries_max: u32,
    /// What to do about damaged files. Default: [`Recovery::Strict`].
    pub recovery: Recovery,
    /// Who commits, prepares segments and takes checkpoints. Default: [`Threads::Background`].
    pub threads: Threads,
    /// A checkpoint is taken when the log behind the last one is longer than this many bytes and
    /// longer than half of that checkpoint; 0 means only on request and at close. Default: 32 MiB.
    pub checkpoint_interval: u64,
    /// Most memory for decompressed blocks of sorted segments, in bytes. Default: 32 MiB.
    pub block_cache: u64,
    /// Most bytes that the files of the data directory may take, backups not counted; 0: as many as
    /// there is room for. Default: 0.
    pub disk_quota: u64,
    /// Whether closing takes a checkpoint, so that the next open replays nothing. Default: true.
    pub checkpoint_on_close: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            sync_policy: SyncPolicy::default(),
            segment_size: limits::SEGMENT_SIZE_DEFAULT,
            node_entries_max: 100,
            recovery: Recovery::default(),
            threads: Threads::default(),
            checkpoint_interval: 32 << 20,
            block_cache: 32 << 20,
            disk_quota: 0,
            checkpoint_on_close: true,
        }
    }
}

impl Options {
    /// The same with every figure within its limits.
    pub(crate) fn within_limits(mut self) -> Self {
        let max = limits::SEGMENT_SIZE_MAX;
        self.segment_size = self
            .segment_size
            .clamp(limits::SEGMENT_SIZE_MIN, max)
            .next_multiple_of(4096)
            .min(max);
        self
    }
}

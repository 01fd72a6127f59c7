//! What a repair kept, what it lost, what it had to assume.

use crate::check::{CheckReport, CheckedState, Damage};
use crate::{EntryId, LostEntries, Mended, RecoveryReport};

/// What a repair kept and lost.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RepairReport {
    /// What the new directory holds.
    pub state: CheckedState,
    /// Bytes that are damaged, or of no use without others that are: files, offsets, lengths.
    pub damage: Vec<Damage>,
    /// Bytes behind the log's end that nobody was told of, and that were left out.
    pub torn_bytes: u64,
    /// Entries that are known to be lost.
    pub lost_entries: Vec<LostEntries>,
    /// Entries that are pending in the new directory, and not there: lost, or deleted before.
    pub lost_pending: Vec<LostPending>,
    /// What had to be assumed of streams, because records about them are lost.
    pub mended: Vec<Mended>,
}

/// Pending entries of a group that have no entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostPending {
    /// The stream's database.
    pub db: u8,
    /// Its name.
    pub key: Vec<u8>,
    /// The group.
    pub group: Vec<u8>,
    /// Their IDs.
    pub ids: Vec<EntryId>,
}

impl RepairReport {
    /// What the files and the replay say.
    pub(super) fn of(mut files: CheckReport, replay: &RecoveryReport) -> Self {
        for loss in &replay.losses {
            files.damaged(Damage::of(&loss.path, (loss.offset, loss.len), loss.what));
        }
        for path in &replay.damaged_checkpoints {
            files.unused(path);
        }
        Self {
            damage: files.damage,
            torn_bytes: files.torn_bytes,
            mended: replay.mended.clone(),
            ..Self::default()
        }
    }

    /// Whether anything is damaged, or lost.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        !(self.damage.is_empty() && self.lost_entries.is_empty() && self.mended.is_empty())
    }
}

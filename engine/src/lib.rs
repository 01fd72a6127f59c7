//! A persistent stream engine: Redis Streams semantics on an append-only log.

mod batch;
mod check;
mod checkpoint;
mod dump;
mod engine;
mod entries;
mod error;
mod format;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod group;
mod id;
mod index;
mod keyspace;
pub mod limits;
mod log;
mod lsn;
mod map;
mod names;
mod options;
mod producers;
mod remains;
mod repair;
mod retention;
mod snapshot;
mod sorted;
mod state;
pub mod storage;
mod stream;
mod sync;
#[cfg(test)]
mod tests;

pub use batch::{
    Added, AutoClaim, AutoClaimed, Batch, Claim, Claimed, ConsumerFull, ConsumerInfo,
    ConsumerParts, Counters, Cursor, DELIVERY_COUNT_MAX, Delete, Deletion, Deliver, Delivery,
    EntrySource, Export, Fault, Fits, GiveBack, GroupFull, GroupInfo, GroupParts, History, Member,
    Message, NewId, NewStream, Overdue, PendingFilter, PendingInfo, PendingParts, PendingSummary,
    Piece, ProducerParts, ProducersInfo, ProducersParts, Range, RefPolicy, Remembering, SentParts,
    StreamFull, StreamInfo, StreamParts, Trim, TrimStrategy,
};
pub use check::{CheckReport, CheckedState, Damage, ToolProgress, check, check_on};
pub use dump::{DumpOptions, DumpReport, Item, Value, Visitor, dump};
pub use engine::{
    BACKUP, BackupProgress, BackupReport, CheckpointReport, CheckpointStatus, Engine, EngineStats,
    Loss, LostEntries, Mended, Pin, Pins, RecoveryReport,
};
pub use entries::{Entries, Fields};
pub use error::{Error, Result};
pub use id::EntryId;
pub use index::NodeSize;
pub use lsn::Lsn;
pub use options::{Options, Recovery, SyncPolicy, Threads};
pub use producers::Settings as ProducerSettings;
pub use repair::{LostPending, RepairReport, repair, repair_on};
pub use retention::{Kept, Retention};
pub use sorted::ColdBlocks;

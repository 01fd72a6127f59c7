//! What the clients did and what they were told: the words that workload and checker share.
//!
//! Each operation carries two ticks of one clock that all threads share: taken before the command
//! is sent, and after its reply is read. If one operation's reply tick lies before another's start,
//! the first surely happened first; otherwise they may have happened in either order. An operation
//! without a reply (the server was killed, or it answered an error) may have happened or not.

use std::sync::atomic::{AtomicU64, Ordering};

use alluvium_engine::EntryId;

use super::content::{Sight, Value};

/// A stream of the run: an index into [`Names::streams`].
pub(super) type StreamNo = usize;
/// A group of one stream: an index into [`Names::groups`].
pub(super) type GroupNo = usize;
/// A consumer, named `w<number>`.
pub(super) type ConsumerNo = u32;
/// For whom an entry is pending that was given back.
pub(super) const NOBODY: ConsumerNo = u32::MAX;

/// One command.
#[derive(Clone, Debug)]
pub(super) struct Op {
    pub(super) conn: u32,
    pub(super) start: u64,
    /// `None`: the outcome is not known.
    pub(super) end: Option<u64>,
    /// The MULTI/EXEC that it is part of, named by the first value that was added in it.
    pub(super) tx: Option<Value>,
    pub(super) what: What,
}

/// What the command was, and what its reply said.
#[derive(Clone, Debug)]
pub(super) enum What {
    /// XADD; `id` is what was acknowledged. Without an ID but with an end, an error was the reply.
    Add {
        stream: StreamNo,
        value: Value,
        id: Option<EntryId>,
    },
    /// XADD of a message that had been sent before; it was answered with `id`.
    AddAgain {
        stream: StreamNo,
        value: Value,
        id: EntryId,
    },
    /// XREAD of what is behind `after`.
    Read {
        stream: StreamNo,
        after: EntryId,
        entries: Vec<Sight>,
    },
    /// XDEL, XDELEX or XACKDEL of an entry; `removed` is what was replied.
    Delete {
        stream: StreamNo,
        id: EntryId,
        removed: u64,
        /// With DELREF: nobody has it pending any more.
        unrefers: bool,
    },
    /// XTRIM; `removed` is what was replied.
    Trim {
        stream: StreamNo,
        to: Bound,
        removed: u64,
    },
    /// XREADGROUP of new entries; one with CLAIM is a claim as well.
    Deliver {
        group: GroupNo,
        consumer: ConsumerNo,
        entries: Vec<Sight>,
        /// With NOACK: they are acked as they are handed out.
        is_noack: bool,
    },
    /// XREADGROUP of the consumer's own pending entries: their delivery counts rise.
    Repeat { group: GroupNo, entries: Vec<Sight> },
    /// XCLAIM of `asked`, or XAUTOCLAIM or XREADGROUP CLAIM of any entry (`asked` is `None`).
    Claim {
        group: GroupNo,
        consumer: ConsumerNo,
        asked: Option<Vec<EntryId>>,
        taken: Vec<EntryId>,
        /// Whether delivery counts rise (not with JUSTID).
        is_counted: bool,
        /// What entries came with the reply.
        entries: Vec<Sight>,
    },
    /// XNACK: it is pending for nobody.
    GiveBack {
        group: GroupNo,
        id: EntryId,
        fault: Fault,
    },
    /// XACK, or XACKDEL.
    Ack { group: GroupNo, ids: Vec<EntryId> },
    /// XGROUP CREATE from the stream's start.
    CreateGroup { group: GroupNo },
    /// XGROUP SETID.
    SetCursor { group: GroupNo, id: EntryId },
    /// XGROUP DESTROY.
    DestroyGroup { group: GroupNo },
    /// XGROUP DELCONSUMER: what is pending for the consumer goes with it.
    DeleteConsumer {
        group: GroupNo,
        consumer: ConsumerNo,
    },
}

/// What was wrong with an entry that is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// SILENT: nothing; it counts as one delivery less.
    Nothing,
    /// FAIL: who had it; its count stays.
    Consumer,
    /// FATAL: the entry; its count becomes [`COUNT_MAX`].
    Entry,
}

/// The largest delivery count, that of entries which nobody can work on.
pub(super) const COUNT_MAX: u64 = i64::MAX as u64;

/// What a trim leaves.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bound {
    /// MINID: what lies before is removed.
    MinId(EntryId),
    /// MAXLEN: so many of the newest entries stay.
    MaxLen(u64),
}

/// The one clock of all threads.
#[derive(Debug, Default)]
pub(super) struct Ticks(AtomicU64);

impl Ticks {
    pub(super) fn next(&self) -> u64 {
        // Sequentially consistent: a tick taken after another thread's is larger, which is all that
        // "surely happened first" rests on.
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

/// What the numbers mean.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    pub(super) streams: Vec<String>,
    /// Stream and name of each group.
    pub(super) groups: Vec<(StreamNo, String)>,
}

impl Names {
    pub(super) fn add_stream(&mut self, key: String) -> StreamNo {
        self.streams.push(key);
        self.streams.len() - 1
    }

    pub(super) fn add_group(&mut self, stream: StreamNo, name: String) -> GroupNo {
        self.groups.push((stream, name));
        self.groups.len() - 1
    }

    /// `key group`.
    pub(super) fn title_of_group(&self, group: GroupNo) -> String {
        format!("{} {}", self.key_of_group(group), self.groups[group].1)
    }

    pub(super) fn key_of_group(&self, group: GroupNo) -> &str {
        &self.streams[self.groups[group].0]
    }
}

/// A stream as a quiet server shows it.
#[derive(Clone, Debug, Default)]
pub(super) struct StreamState {
    pub(super) stream: StreamNo,
    pub(super) exists: bool,
    pub(super) figures: Figures,
    pub(super) entries: Vec<Sight>,
    pub(super) groups: Vec<GroupState>,
}

/// XINFO's figures of a stream and its groups; equal figures mean an unchanged stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Figures {
    pub(super) length: u64,
    pub(super) last_id: EntryId,
    /// Absent before Redis 7.
    pub(super) entries_added: Option<u64>,
    /// Group, cursor, count of pending entries.
    pub(super) groups: Vec<(GroupNo, EntryId, u64)>,
}

/// A group as a quiet server shows it.
#[derive(Clone, Debug, Default)]
pub(super) struct GroupState {
    pub(super) group: GroupNo,
    pub(super) cursor: EntryId,
    /// XINFO's count.
    pub(super) pending_count: u64,
    /// XPENDING's list.
    pub(super) pending: Vec<Pending>,
}

/// One pending entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) id: EntryId,
    pub(super) consumer: ConsumerNo,
    pub(super) delivery_count: u64,
}

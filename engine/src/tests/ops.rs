//! Random operations on a few keys, groups and consumers.

use proptest::prelude::*;

use crate::batch::{Delete, Fault, GiveBack, Member, Message, RefPolicy, Trim, TrimStrategy};
use crate::id::EntryId;
use crate::{Kept, ProducerSettings, Retention};

pub(super) const KEYS: [&[u8]; 3] = [b"a", b"b", b"c"];
pub(super) const GROUPS: [&[u8]; 2] = [b"g", b"h"];
pub(super) const CONSUMERS: [&[u8]; 3] = [b"x", b"y", b"z"];

/// An operation; keys, groups and consumers by index.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Add {
        key: usize,
        step: u64,
    },
    Trim {
        key: usize,
        trim: Trim,
    },
    Delete {
        key: usize,
        ids: Vec<EntryId>,
    },
    DeleteWith {
        key: usize,
        ids: Vec<EntryId>,
        policy: RefPolicy,
    },
    AckAndDelete {
        key: usize,
        group: usize,
        ids: Vec<EntryId>,
        policy: RefPolicy,
    },
    SetCounters {
        key: usize,
        ahead: u64,
        max_deleted: Option<EntryId>,
    },
    Range {
        key: usize,
        start: EntryId,
        end: EntryId,
        reverse: bool,
        count: Option<usize>,
    },
    CreateGroup {
        key: usize,
        group: usize,
        cursor: EntryId,
    },
    RemoveGroup {
        key: usize,
        group: usize,
    },
    SetCursor {
        key: usize,
        group: usize,
        cursor: EntryId,
    },
    RemoveConsumer {
        key: usize,
        group: usize,
        consumer: usize,
    },
    Deliver {
        key: usize,
        group: usize,
        consumer: usize,
        count: usize,
        noack: bool,
        claim: Option<u64>,
    },
    GiveBack {
        key: usize,
        group: usize,
        ids: Vec<EntryId>,
        fault: Fault,
        force: bool,
    },
    History {
        key: usize,
        group: usize,
        consumer: usize,
        after: EntryId,
    },
    Ack {
        key: usize,
        group: usize,
        ids: Vec<EntryId>,
    },
    Claim {
        key: usize,
        group: usize,
        consumer: usize,
        ids: Vec<EntryId>,
        min_idle: u64,
        force: bool,
    },
    AutoClaim {
        key: usize,
        group: usize,
        consumer: usize,
        start: EntryId,
        min_idle: u64,
        count: usize,
    },
    AddOnce {
        key: usize,
        message: (u8, u8),
    },
    SetProducers {
        key: usize,
        settings: ProducerSettings,
    },
    Forget,
    SetRetention {
        key: usize,
        retention: Retention,
    },
    SetKept {
        kept: Kept,
    },
    Retain,
    Remove {
        key: usize,
    },
    Rename {
        from: usize,
        to: usize,
    },
    Copy {
        from: usize,
        to: usize,
    },
    Expire {
        key: usize,
        after: u64,
    },
    SwapDatabases,
    Flush,
    Wait {
        ms: u64,
    },
    EndCommand,
    Reopen,
    Checkpoint,
    /// What was written is made durable.
    Sync,
    /// What was appended is written.
    Write,
    /// A power cut; the seed decides what the disk keeps.
    Crash {
        seed: u64,
    },
    /// The end of the process.
    Kill,
    Sort,
}

/// IDs of entries and their neighbourhood: entries have small ms and seq 0.
fn id() -> impl Strategy<Value = EntryId> {
    prop_oneof![
        20 => (0u64..60, 0u64..2).prop_map(|(ms, seq)| EntryId::new(ms, seq)),
        1 => Just(EntryId::MIN),
        1 => Just(EntryId::MAX),
    ]
}

fn ids() -> impl Strategy<Value = Vec<EntryId>> {
    proptest::collection::vec((1u64..60).prop_map(|ms| EntryId::new(ms, 0)), 1..6)
}

fn policy() -> impl Strategy<Value = RefPolicy> {
    prop_oneof![
        Just(RefPolicy::Keep),
        Just(RefPolicy::Drop),
        Just(RefPolicy::Acked),
    ]
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![Just(Fault::None), Just(Fault::Consumer), Just(Fault::Entry)]
}

/// How long entries must have been pending to be claimed on the way, if they are.
fn claim() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![3 => Just(None), 2 => (0u64..12).prop_map(Some)]
}

fn trim() -> impl Strategy<Value = Trim> {
    let strategy = prop_oneof![
        (0u64..20).prop_map(TrimStrategy::MaxLen),
        id().prop_map(TrimStrategy::MinId),
    ];
    (strategy, policy()).prop_map(|(strategy, references)| Trim {
        strategy,
        approximate: false,
        limit: None,
        references,
    })
}

fn key() -> impl Strategy<Value = usize> {
    prop_oneof![4 => Just(0usize), 1 => Just(1), 1 => Just(2)]
}

/// The deletion that an operation asks for.
pub(super) fn delete_of(ids: &[EntryId], references: RefPolicy) -> Delete<'_> {
    Delete { ids, references }
}

/// What an operation gives back.
pub(super) fn give_back_of(ids: &[EntryId], fault: Fault, force: bool) -> GiveBack<'_> {
    GiveBack {
        ids,
        fault,
        delivery_count: None,
        force,
    }
}

/// The consumer that an operation names by numbers.
pub(super) fn member_of(group: usize, consumer: usize) -> Member<'static> {
    Member {
        group: GROUPS[group],
        consumer: CONSUMERS[consumer],
    }
}

fn member() -> impl Strategy<Value = (usize, usize, usize)> {
    (
        key(),
        prop_oneof![4 => Just(0usize), 1 => Just(1)],
        0usize..3,
    )
}

/// The message that an operation names by numbers of its producer and itself.
pub(super) fn message_of(message: &(u8, u8)) -> Message<'_> {
    Message {
        producer: std::slice::from_ref(&message.0),
        iid: std::slice::from_ref(&message.1),
    }
}

/// Few seconds, because little time passes.
fn settings() -> impl Strategy<Value = ProducerSettings> {
    (1u32..3, 1u32..5).prop_map(|(seconds, count_max)| ProducerSettings { seconds, count_max })
}

/// Around the ages that entries of the model have, or any age.
fn age_ms() -> impl Strategy<Value = u64> {
    prop_oneof![2 => 940u64..1100, 1 => 1u64..200, 2 => Just(0)]
}

fn kept() -> impl Strategy<Value = Kept> {
    let length = prop_oneof![2 => 1u64..40, 1 => Just(0)];
    (age_ms(), length, any::<bool>(), age_ms()).prop_map(|(age_ms, length, acked, acked_age_ms)| {
        Kept {
            bytes: 0,
            age_ms,
            length,
            acked,
            acked_age_ms,
        }
    })
}

fn retention() -> impl Strategy<Value = Retention> {
    (kept(), any::<[bool; 4]>()).prop_map(|(kept, is_set)| Retention {
        bytes: None,
        age_ms: is_set[0].then_some(kept.age_ms),
        length: is_set[1].then_some(kept.length),
        acked: is_set[2].then_some(kept.acked),
        acked_age_ms: is_set[3].then_some(kept.acked_age_ms),
    })
}

/// An operation on entries.
fn entry_op() -> BoxedStrategy<Op> {
    prop_oneof![
        12 => (key(), 1u64..3).prop_map(|(key, step)| Op::Add { key, step }),
        // IDs of the time are far above those that other operations name: mostly in a stream of
        // their own.
        4 => (Just(2), (0u8..2, 0u8..9)).prop_map(|(key, message)| Op::AddOnce { key, message }),
        1 => (key(), (0u8..2, 0u8..9)).prop_map(|(key, message)| Op::AddOnce { key, message }),
        1 => (key(), settings()).prop_map(|(key, settings)| Op::SetProducers { key, settings }),
        1 => Just(Op::Forget),
        1 => (key(), retention()).prop_map(|(key, retention)| Op::SetRetention { key, retention }),
        2 => Just(Op::Retain),
        2 => (key(), trim()).prop_map(|(key, trim)| Op::Trim { key, trim }),
        2 => (key(), ids()).prop_map(|(key, ids)| Op::Delete { key, ids }),
        2 => (key(), ids(), policy())
            .prop_map(|(key, ids, policy)| Op::DeleteWith { key, ids, policy }),
        1 => (key(), 0u64..3, proptest::option::of(id()))
            .prop_map(|(key, ahead, max_deleted)| Op::SetCounters { key, ahead, max_deleted }),
        4 => (key(), id(), id(), any::<bool>(), proptest::option::of(0usize..8)).prop_map(
            |(key, start, end, reverse, count)| Op::Range { key, start, end, reverse, count }
        ),
    ]
    .boxed()
}

/// An operation on a group.
fn group_op() -> BoxedStrategy<Op> {
    prop_oneof![
        3 => (member(), id()).prop_map(|((key, group, _), cursor)| {
            Op::CreateGroup { key, group, cursor }
        }),
        1 => member().prop_map(|(key, group, _)| Op::RemoveGroup { key, group }),
        1 => (member(), id()).prop_map(|((key, group, _), cursor)| {
            Op::SetCursor { key, group, cursor }
        }),
        1 => member()
            .prop_map(|(key, group, consumer)| Op::RemoveConsumer { key, group, consumer }),
        10 => (member(), 1usize..6, proptest::bool::weighted(0.1), claim()).prop_map(
            |((key, group, consumer), count, noack, claim)| {
                Op::Deliver { key, group, consumer, count, noack, claim }
            }
        ),
        3 => (member(), ids(), fault(), any::<bool>()).prop_map(
            |((key, group, _), ids, fault, force)| {
                Op::GiveBack { key, group, ids, fault, force }
            }
        ),
        3 => (member(), id()).prop_map(|((key, group, consumer), after)| {
            Op::History { key, group, consumer, after }
        }),
        4 => (member(), ids()).prop_map(|((key, group, _), ids)| Op::Ack { key, group, ids }),
        2 => (member(), ids(), policy()).prop_map(|((key, group, _), ids, policy)| {
            Op::AckAndDelete { key, group, ids, policy }
        }),
        4 => (member(), ids(), 0u64..12, any::<bool>()).prop_map(
            |((key, group, consumer), ids, min_idle, force)| {
                Op::Claim { key, group, consumer, ids, min_idle, force }
            }
        ),
        4 => (member(), id(), 0u64..12, 1usize..5).prop_map(
            |((key, group, consumer), start, min_idle, count)| {
                Op::AutoClaim { key, group, consumer, start, min_idle, count }
            }
        ),
    ]
    .boxed()
}

/// An operation on keys, on time, or on the engine.
fn other_op() -> BoxedStrategy<Op> {
    prop_oneof![
        2 => key().prop_map(|key| Op::Remove { key }),
        2 => (key(), key()).prop_map(|(from, to)| Op::Rename { from, to }),
        2 => (key(), key()).prop_map(|(from, to)| Op::Copy { from, to }),
        1 => (key(), 0u64..20).prop_map(|(key, after)| Op::Expire { key, after }),
        1 => Just(Op::SwapDatabases),
        1 => prop_oneof![kept(), Just(Kept::default())].prop_map(|kept| Op::SetKept { kept }),
        1 => Just(Op::Flush),
        6 => (1u64..9).prop_map(|ms| Op::Wait { ms }),
        1 => (900u64..1200).prop_map(|ms| Op::Wait { ms }),
        6 => Just(Op::EndCommand),
        2 => Just(Op::Reopen),
        4 => Just(Op::Checkpoint),
        2 => Just(Op::Sync),
        2 => Just(Op::Write),
        3 => any::<u64>().prop_map(|seed| Op::Crash { seed }),
        1 => Just(Op::Kill),
        6 => Just(Op::Sort),
    ]
    .boxed()
}

/// A sequence of operations.
pub(super) fn ops(len: usize) -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![5 => entry_op(), 6 => group_op(), 2 => other_op()];
    proptest::collection::vec(op, 1..len)
}

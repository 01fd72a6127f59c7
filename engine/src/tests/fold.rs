//! The state is a fold: a checkpoint taken bit by bit between commands, and the records behind its
//! beginning, make the same state as all records from the start, and as the commands themselves.

use proptest::prelude::*;

use super::ops::{self, GROUPS, KEYS, Op};
use super::options;
use crate::Loss;
use crate::batch::{AutoClaim, Batch, Claim, Cursor, Deliver, History, Member, NewId};
use crate::engine::{Core, Engine};
use crate::format::record::Record;
use crate::id::EntryId;
use crate::index::id_at;
use crate::lsn::Lsn;
use crate::snapshot::{CheckpointCursor, Section};
use crate::state::{Mender, State};

/// Runs an operation for what it does to the state; whether it succeeds does not matter.
#[expect(clippy::too_many_lines, reason = "one arm an operation")]
pub(super) fn run(batch: &mut Batch<'_>, op: &Op) {
    match *op {
        Op::Add { key, step } => {
            let last = batch.stream(0, KEYS[key]).unwrap_or_default().last_id;
            let id = NewId::Given(EntryId::new(last.ms.saturating_add(step), 0));
            drop(batch.add(0, KEYS[key], id, &[b"field", b"value"]));
        }
        Op::Trim { key, trim } => drop(batch.trim(0, KEYS[key], trim)),
        Op::Delete { key, ref ids } => drop(batch.delete_entries(0, KEYS[key], ids)),
        Op::DeleteWith {
            key,
            ref ids,
            policy,
        } => drop(batch.delete_with(0, KEYS[key], ops::delete_of(ids, policy))),
        Op::AckAndDelete {
            key,
            group,
            ref ids,
            policy,
        } => drop(batch.ack_and_delete(0, KEYS[key], GROUPS[group], ops::delete_of(ids, policy))),
        Op::CreateGroup { key, group, cursor } => {
            let cursor = Cursor {
                id: cursor,
                entries_read: Some(3),
            };
            drop(batch.create_group(0, KEYS[key], GROUPS[group], cursor));
        }
        Op::RemoveGroup { key, group } => drop(batch.remove_group(0, KEYS[key], GROUPS[group])),
        Op::SetCursor { key, group, cursor } => {
            let cursor = Cursor {
                id: cursor,
                entries_read: None,
            };
            drop(batch.set_cursor(0, KEYS[key], GROUPS[group], cursor));
        }
        Op::RemoveConsumer {
            key,
            group,
            consumer,
        } => {
            drop(batch.remove_consumer(0, KEYS[key], ops::member_of(group, consumer)));
        }
        Op::Deliver {
            key,
            group,
            consumer,
            count,
            noack,
            claim,
        } => {
            let deliver = Deliver {
                count: Some(count),
                noack,
                claim_idle_ms: claim,
                fits: None,
            };
            drop(batch.deliver(0, KEYS[key], ops::member_of(group, consumer), deliver));
        }
        Op::History {
            key,
            group,
            consumer,
            after,
        } => {
            let history = History {
                after,
                ..History::default()
            };
            drop(batch.history(0, KEYS[key], ops::member_of(group, consumer), history));
        }
        Op::GiveBack {
            key,
            group,
            ref ids,
            fault,
            force,
        } => {
            let give_back = ops::give_back_of(ids, fault, force);
            drop(batch.give_back(0, KEYS[key], GROUPS[group], &give_back));
        }
        Op::Ack {
            key,
            group,
            ref ids,
        } => drop(batch.ack(0, KEYS[key], GROUPS[group], ids)),
        Op::Claim {
            key,
            group,
            consumer,
            ref ids,
            min_idle,
            force,
        } => {
            let time = batch.now_ms().checked_sub(min_idle);
            let (ids, delivery_time_ms) = (&ids[..], time);
            let claim = Claim {
                ids,
                delivery_time_ms,
                force,
                ..Claim::default()
            };
            drop(batch.claim(0, KEYS[key], ops::member_of(group, consumer), &claim));
        }
        Op::AutoClaim {
            key,
            group,
            consumer,
            start,
            min_idle,
            count,
        } => {
            let claim = AutoClaim {
                min_idle_ms: min_idle,
                start,
                count,
                just_id: true,
            };
            drop(batch.auto_claim(0, KEYS[key], ops::member_of(group, consumer), claim));
        }
        Op::AddOnce { key, message } => {
            let message = ops::message_of(&message);
            drop(batch.add_once(0, KEYS[key], message, &[b"field", b"value"]));
        }
        Op::SetProducers { key, settings } => {
            drop(batch.set_producers(0, KEYS[key], settings));
        }
        Op::Forget => drop(batch.forget_due(8)),
        Op::SetRetention { key, retention } => {
            drop(batch.set_retention(0, KEYS[key], retention));
        }
        Op::SetKept { kept } => batch.set_retention_defaults(kept),
        Op::Retain => while batch.retain_due(2).unwrap() {},
        Op::Remove { key } => drop(batch.remove(0, KEYS[key])),
        Op::Rename { from, to } => drop(batch.rename(0, KEYS[from], 0, KEYS[to])),
        Op::Copy { from, to } => drop(batch.copy(0, KEYS[from], 0, KEYS[to])),
        Op::Expire { key, after } => {
            let expiry = Some(batch.now_ms() + after);
            drop(batch.set_expiry(0, KEYS[key], expiry));
        }
        Op::SwapDatabases => drop(batch.swap_databases(0, 1)),
        Op::Flush => drop(batch.flush(Some(0))),
        Op::Wait { ms } => batch.set_now(batch.now_ms() + ms),
        Op::SetCounters { .. } | Op::Range { .. } => {}
        Op::Reopen | Op::Checkpoint => {
            let Core { state, log, .. } = batch.core();
            drop(state.reap(log));
        }
        Op::EndCommand | Op::Sync | Op::Write | Op::Crash { .. } | Op::Kill | Op::Sort => {
            batch.end_command();
        }
    }
}

/// Replays the records that lie at `lsns` on top of the sections of a checkpoint.
fn rebuild(core: &mut Core, sections: &[Vec<u8>], lsns: &[Lsn]) -> Vec<u8> {
    rebuilt(core, sections, lsns).image()
}

/// The state that the records make on top of the sections.
pub(super) fn rebuilt(core: &mut Core, sections: &[Vec<u8>], lsns: &[Lsn]) -> State {
    let mut state = State::new(4, core.state.sorted.twin());
    for section in sections {
        let section = Section::decode(section).unwrap();
        state.restore_part(section, &mut core.log).unwrap();
    }
    state.begin_recovery();
    for &lsn in lsns {
        let bytes = core.log.bytes_at(lsn).unwrap().to_vec();
        let record = Record::take(&mut &bytes[..]).unwrap();
        state.apply(&record, lsn, &mut core.log).unwrap();
    }
    state.finish_recovery(&core.log).unwrap();
    state
}

/// Live entries of each segment, counted one by one.
fn counted(core: &mut Core) -> Vec<(Lsn, u64)> {
    let streams = core.state.keyspace.streams();
    let lsns: Vec<_> = streams.flat_map(|stream| stream.index.lsns()).collect();
    let mut counts = core.log.segments().live();
    for at in 0..counts.len() {
        let end = counts.get(at + 1).map_or(Lsn(u64::MAX), |next| next.0);
        let is_in = |lsn: &&Lsn| (counts[at].0..end).contains(lsn);
        counts[at].1 = lsns.iter().filter(is_in).count() as u64;
    }
    counts
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 128,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Durability: P10.
    #[test]
    fn a_fuzzy_checkpoint_and_replay_make_the_same_state(
        before in ops::ops(60),
        during in proptest::collection::vec(ops::ops(8), 1..48),
        after in ops::ops(30),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::open(dir.path(), options()).unwrap();
        let mut batch = engine.lock();
        batch.set_now(1000);
        for op in &before {
            run(&mut batch, op);
        }

        let begin = batch.core().log.end_frame();
        let (mut sections, mut cursor) = (Vec::new(), CheckpointCursor::default());
        let mut during = during.iter();
        loop {
            let mut section = Vec::new();
            let Core { state, log, .. } = batch.core();
            let end = log.end_frame();
            let part = state.checkpoint_part(&mut cursor, end);
            part.encode(&mut section);
            sections.push(section);
            if part.is_last() {
                break;
            }
            during.next().into_iter().flatten().for_each(|op| run(&mut batch, op));
        }
        for op in &after {
            run(&mut batch, op);
        }
        batch.end_command();

        let core = batch.core();
        let live = core.state.image();
        while core.state.reap(&mut core.log).is_some() {}
        prop_assert!(live == core.state.image(), "the state has changed with what was removed");
        prop_assert_eq!(core.log.segments().live(), counted(core));
        let all = core.state.journal.clone();
        let behind: Vec<_> = all.iter().copied().filter(|&lsn| lsn >= begin).collect();
        let from_checkpoint = rebuild(core, &sections, &behind);
        let from_start = rebuild(core, &[], &all);
        prop_assert!(live == from_start, "a replay of all records differs");
        prop_assert!(live == from_checkpoint, "a checkpoint and a replay differ");
    }
}

/// Replays records over damage, without those in `gap`; the state, and what could not be applied.
fn mend(core: &mut Core, lsns: &[Lsn], gap: &std::ops::Range<usize>) -> (State, Vec<Loss>) {
    let mut state = State::new(4, core.state.sorted.twin());
    let (mut mender, mut losses) = (Mender::default(), Vec::new());
    for (_, &lsn) in lsns.iter().enumerate().filter(|(at, _)| !gap.contains(at)) {
        let bytes = core.log.bytes_at(lsn).unwrap().to_vec();
        let mut rest = &bytes[..];
        Record::take(&mut rest).unwrap();
        let record = &bytes[..bytes.len() - rest.len()];
        mender
            .replay(&mut state, (record, lsn), &mut core.log, &mut losses)
            .unwrap();
    }
    let has_losses = !gap.is_empty();
    mender
        .finish(&mut state, &mut core.log, has_losses)
        .unwrap();
    state.finish_recovery(&core.log).unwrap();
    (state, losses)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 128,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_replay_over_lost_records_makes_a_state_that_records_can_make(
        ops in ops::ops(120),
        from in 0usize..200,
        len in 0usize..40,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::open(dir.path(), options()).unwrap();
        let mut batch = engine.lock();
        batch.set_now(1000);
        for op in &ops {
            run(&mut batch, op);
        }
        batch.end_command();
        let core = batch.core();
        let (live, all) = (core.state.image(), core.state.journal.clone());
        let (whole, losses) = mend(core, &all, &(0..0));
        prop_assert!(whole.image() == live, "nothing is mended where nothing is lost");
        prop_assert_eq!(losses, []);
        let (mended, losses) = mend(core, &all, &(from..from + len));
        prop_assert_eq!(losses, []);
        // It holds together: it can be written as a checkpoint and read again.
        let (mut sections, mut cursor) = (Vec::new(), CheckpointCursor::default());
        let (mut mended, mut is_last) = (mended, false);
        while !is_last {
            let mut section = Vec::new();
            let part = mended.checkpoint_part(&mut cursor, core.log.end());
            part.encode(&mut section);
            is_last = part.is_last();
            sections.push(section);
        }
        prop_assert!(rebuild(core, &sections, &[]) == mended.image());
        for stream in mended.keyspace.streams() {
            let mut last = EntryId::MIN;
            for (at, lsn) in stream.index.lsns().enumerate() {
                let id = id_at(&core.log, lsn).unwrap();
                prop_assert!(last < id && id <= stream.last_id);
                prop_assert!(at > 0 || id == stream.index.first_id());
                last = id;
            }
            for (_, _, group) in stream.groups() {
                let held = group.consumers.iter().map(|(_, _, held)| held.pending.len());
                let given_back = group.pending.given_back() as usize;
                prop_assert_eq!(held.sum::<usize>() + given_back, group.pending.len());
            }
        }
    }
}

#[test]
fn replay_of_a_record_that_contradicts_the_state_names_the_place() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(dir.path(), options()).unwrap();
    let mut batch = engine.lock();
    batch.set_now(1000);
    batch.add(0, b"a", NewId::Auto, &[b"f", b"v"]).unwrap();
    let cursor = Cursor {
        id: EntryId::MIN,
        entries_read: None,
    };
    batch.create_group(0, b"a", b"g", cursor).unwrap();
    let member = Member {
        group: b"g",
        consumer: b"x",
    };
    batch.deliver(0, b"a", member, Deliver::default()).unwrap();
    batch
        .trim(
            0,
            b"a",
            crate::Trim {
                strategy: crate::TrimStrategy::MaxLen(0),
                approximate: false,
                limit: None,
                references: crate::RefPolicy::Keep,
            },
        )
        .unwrap();
    batch.end_command();
    let core = batch.core();
    let all = core.state.journal.clone();
    // Each record but the last two has one behind it that makes no sense without it.
    for missing in 0..all.len() - 2 {
        let mut state = State::new(4, core.state.sorted.twin());
        state.begin_recovery();
        let rest = all.iter().enumerate().filter(|&(at, _)| at != missing);
        let mut applied = rest.map(|(_, &lsn)| {
            let bytes = core.log.bytes_at(lsn).unwrap().to_vec();
            let record = Record::take(&mut &bytes[..]).unwrap();
            state.apply(&record, lsn, &mut core.log)
        });
        let failed = applied.find_map(Result::err);
        assert!(
            matches!(failed, Some(crate::Error::Corrupt { .. })),
            "without {missing}"
        );
    }
}

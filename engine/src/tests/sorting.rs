//! A stream whose entries are sorted at random moments answers as one that is never sorted, also if
//! hardly a block is in memory, and none is loaded under the lock.

use std::fmt::Write;

use proptest::prelude::*;

use super::fold;
use super::ops::{self, GROUPS, KEYS, Op};
use super::{Seen, options, read, sort_all};
use crate::batch::{AutoClaim, Batch, Claim, Cursor, Deliver, History, NewId, Range, Trim};
use crate::engine::{Core, Engine};
use crate::entries::Entries;
use crate::id::EntryId;
use crate::log::Log;
use crate::options::Options;
use crate::snapshot::CheckpointCursor;
use crate::state::State;

/// What an operation answers: in words, and the entries of its plan.
type Reply = (String, Vec<Seen>);

/// An engine, the time that it sees, and how many entries were added.
struct Side {
    dir: tempfile::TempDir,
    engine: Option<Engine>,
    now: u64,
    value: u64,
    sorts: bool,
    /// Blocks that operations loaded: without the lock, under it.
    loads: (u64, u64),
}

/// Most blocks are not in memory.
fn forgetful() -> Options {
    Options {
        block_cache: 20 << 10,
        ..options()
    }
}

impl Side {
    fn new(sorts: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let engine = Some(Engine::open(dir.path(), forgetful()).unwrap());
        Self {
            dir,
            engine,
            now: 1000,
            value: 0,
            sorts,
            loads: (0, 0),
        }
    }

    fn engine(&self) -> &Engine {
        self.engine.as_ref().unwrap()
    }

    fn reply(&self, words: &impl std::fmt::Debug, plan: Option<&Entries>) -> Reply {
        let seen = plan.map(|plan| read(self.engine(), plan));
        (format!("{words:?}"), seen.unwrap_or_default())
    }

    /// Runs an operation, again and again until it has the blocks that it needs.
    fn ask_and_act(&mut self, op: &Op) -> (String, Option<Entries>) {
        let engine = self.engine.take().unwrap();
        let mut cold = None;
        let before = engine.stats();
        let done = loop {
            let mut batch = engine.lock();
            batch.set_now(self.now);
            if let Some(cold) = cold.take() {
                batch.resume(cold);
            }
            batch.ask_for_blocks();
            let done = self.act(&mut batch, op);
            let Some(mut wanted) = batch.take_cold() else {
                break done;
            };
            drop(batch);
            assert_eq!(engine.stats().appended, before.appended, "{op:?}");
            wanted.load();
            cold = Some(wanted);
        };
        let after = engine.stats();
        self.loads.0 += after.block_loads_asked - before.block_loads_asked;
        self.loads.1 += after.block_loads_locked - before.block_loads_locked;
        self.engine = Some(engine);
        done
    }

    #[expect(clippy::too_many_lines, reason = "one arm an operation")]
    fn act(&mut self, batch: &mut Batch<'_>, op: &Op) -> (String, Option<Entries>) {
        match *op {
            Op::Add { key, step } => {
                self.value += 1;
                let last = batch.stream(0, KEYS[key]).unwrap_or_default().last_id;
                let id = NewId::Given(EntryId::new(last.ms.saturating_add(step), 0));
                let value = [self.value.to_string().as_bytes(), &[b'.'; 400]].concat();
                let added = batch.add(0, KEYS[key], id, &[b"field", &value]);
                (format!("{added:?}"), None)
            }
            Op::Trim { key, trim } => {
                let approximate = self.value.is_multiple_of(2);
                let trim = Trim {
                    approximate,
                    ..trim
                };
                (format!("{:?}", batch.trim(0, KEYS[key], trim)), None)
            }
            Op::Delete { key, ref ids } => (
                format!("{:?}", batch.delete_entries(0, KEYS[key], ids)),
                None,
            ),
            Op::DeleteWith {
                key,
                ref ids,
                policy,
            } => {
                let delete = ops::delete_of(ids, policy);
                (
                    format!("{:?}", batch.delete_with(0, KEYS[key], delete)),
                    None,
                )
            }
            Op::AckAndDelete {
                key,
                group,
                ref ids,
                policy,
            } => {
                let delete = ops::delete_of(ids, policy);
                let deleted = batch.ack_and_delete(0, KEYS[key], GROUPS[group], delete);
                (format!("{deleted:?}"), None)
            }
            Op::GiveBack {
                key,
                group,
                ref ids,
                fault,
                force,
            } => {
                let give_back = ops::give_back_of(ids, fault, force);
                let given = batch.give_back(0, KEYS[key], GROUPS[group], &give_back);
                (format!("{given:?}"), None)
            }
            Op::Range {
                key,
                start,
                end,
                reverse,
                count,
            } => {
                let range = Range {
                    start,
                    end,
                    reverse,
                    count,
                };
                (
                    String::new(),
                    batch.range(0, KEYS[key], range).ok().flatten(),
                )
            }
            Op::CreateGroup { key, group, cursor } => {
                let (id, entries_read) = (cursor, Some(0));
                let cursor = Cursor { id, entries_read };
                let made = batch.create_group(0, KEYS[key], GROUPS[group], cursor);
                (format!("{made:?}"), None)
            }
            Op::Deliver {
                key,
                group,
                consumer,
                count,
                noack,
                claim,
            } => {
                let count = Some(count);
                let member = ops::member_of(group, consumer);
                let given = batch.deliver(
                    0,
                    KEYS[key],
                    member,
                    Deliver {
                        count,
                        noack,
                        claim_idle_ms: claim,
                        fits: None,
                    },
                );
                (String::new(), given.ok().map(|given| given.entries))
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
                let member = ops::member_of(group, consumer);
                let given = batch.history(0, KEYS[key], member, history);
                (String::new(), given.ok().map(|given| given.entries))
            }
            Op::Claim {
                key,
                group,
                consumer,
                ref ids,
                min_idle,
                force,
            } => {
                let claim = Claim {
                    ids,
                    min_idle_ms: min_idle,
                    force,
                    ..Claim::default()
                };
                let member = ops::member_of(group, consumer);
                match batch.claim(0, KEYS[key], member, &claim) {
                    Ok(claimed) => (format!("{:?}", claimed.ids), Some(claimed.entries)),
                    Err(error) => (error.to_string(), None),
                }
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
                    just_id: false,
                };
                let member = ops::member_of(group, consumer);
                match batch.auto_claim(0, KEYS[key], member, claim) {
                    Ok(found) => {
                        let words = format!("{:?} {:?}", found.next, found.deleted);
                        (words, Some(found.claimed.entries))
                    }
                    Err(error) => (error.to_string(), None),
                }
            }
            Op::Ack {
                key,
                group,
                ref ids,
            } => (
                format!("{:?}", batch.ack(0, KEYS[key], GROUPS[group], ids)),
                None,
            ),
            Op::Copy { from, to } => (
                format!("{:?}", batch.copy(0, KEYS[from], 0, KEYS[to])),
                None,
            ),
            Op::Rename { from, to } => (
                format!("{:?}", batch.rename(0, KEYS[from], 0, KEYS[to])),
                None,
            ),
            Op::Remove { key } => {
                // Now and then only: what is removed tells nothing more.
                let is_meant = self.value.is_multiple_of(8);
                (
                    format!("{:?}", is_meant.then(|| batch.remove(0, KEYS[key]))),
                    None,
                )
            }
            _ => (String::new(), None),
        }
    }

    fn run(&mut self, op: &Op) -> Reply {
        let (words, plan) = self.ask_and_act(op);
        let engine = self.engine.take().unwrap();
        let engine = match *op {
            Op::Wait { ms } => {
                self.now += ms;
                engine
            }
            Op::Sort if self.sorts => {
                sort_all(&engine);
                engine
            }
            Op::Checkpoint => {
                engine.checkpoint().unwrap();
                engine
            }
            Op::Reopen => {
                engine.close().unwrap();
                Engine::open(self.dir.path(), forgetful()).unwrap()
            }
            _ => engine,
        };
        self.engine = Some(engine);
        self.reply(&words, plan.as_ref())
    }

    /// Counters of all streams, and all entries.
    fn picture(&self) -> Vec<Reply> {
        let picture = KEYS.map(|key| {
            let mut batch = self.engine().lock();
            batch.set_now(self.now);
            let words = (batch.stream(0, key), batch.groups(0, key).ok());
            let range = Range {
                start: EntryId::MIN,
                end: EntryId::MAX,
                reverse: false,
                count: None,
            };
            let plan = batch.range(0, key, range).unwrap();
            drop(batch);
            self.reply(&words, plan.as_ref())
        });
        picture.into()
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 96,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn sorting_changes_no_answer(ops in ops::ops(200)) {
        let (mut plain, mut sorted) = (Side::new(false), Side::new(true));
        for (at, op) in ops.iter().enumerate() {
            prop_assert_eq!(plain.run(op), sorted.run(op), "operation {}: {:?}", at, op);
            prop_assert_eq!(plain.picture(), sorted.picture(), "behind {}: {:?}", at, op);
        }
        prop_assert_eq!(sorted.loads.1, 0, "blocks that were loaded under the lock");
        // A replay from the older checkpoint meets streams as they were before, or behind it.
        drop(sorted.engine.take());
        let files = std::fs::read_dir(sorted.dir.path().join("checkpoint")).unwrap();
        let paths = files.map(|file| file.unwrap().path());
        let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some()).collect();
        paths.sort();
        if paths.len() > 1 {
            std::fs::remove_file(&paths[paths.len() - 1]).unwrap();
        }
        sorted.engine = Some(Engine::open(sorted.dir.path(), options()).unwrap());
        prop_assert_eq!(plain.picture(), sorted.picture(), "from the older checkpoint");
    }
}

/// Runs operations, with so much between them that segments are sealed.
fn run_all(engine: &Engine, ops: &[Op]) {
    for op in ops {
        let mut batch = engine.lock();
        batch.set_now(1000);
        fold::run(&mut batch, op);
        let fill: [&[u8]; 2] = [b"fill", &[b'.'; 500]];
        batch.add(0, b"fill", NewId::Auto, &fill).unwrap();
        batch.end_command();
    }
}

/// All that streams hold, wherever it lies.
fn content(state: &State, log: &Log) -> String {
    let mut content = String::new();
    for stream in state.keyspace.streams() {
        let index = &stream.index;
        let extents: Vec<_> = index.extents().map(|node| node.unwrap()).collect();
        let nodes: Vec<_> = extents
            .iter()
            .map(|node| (node.live, node.last_id))
            .collect();
        assert_eq!(nodes.len(), index.node_count());
        let counters = (
            stream.last_id,
            stream.entries_added,
            index.first_id(),
            index.len(),
        );
        writeln!(content, "{} {counters:?} {nodes:?}", stream.number).unwrap();
        for position in index.positions() {
            let read = index.read(position, log, |id, body| (id, crc32fast::hash(body)));
            writeln!(content, "{:?}", read.unwrap()).unwrap();
        }
    }
    content
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_checkpoint_taken_while_entries_are_sorted_leads_to_the_same_streams(
        before in ops::ops(60),
        during in proptest::collection::vec((ops::ops(6), any::<bool>()), 1..24),
        after in ops::ops(30),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::open(dir.path(), options()).unwrap();
        run_all(&engine, &before);
        let begin = engine.lock().core().log.end_frame();
        let (mut sections, mut cursor) = (Vec::new(), CheckpointCursor::default());
        let mut during = during.iter();
        loop {
            let mut section = Vec::new();
            let is_last = {
                let mut batch = engine.lock();
                let Core { state, log, .. } = batch.core();
                let end = log.end_frame();
                let part = state.checkpoint_part(&mut cursor, end);
                part.encode(&mut section);
                part.is_last()
            };
            sections.push(section);
            if is_last {
                break;
            }
            if let Some((ops, is_sorted)) = during.next() {
                run_all(&engine, ops);
                if *is_sorted {
                    sort_all(&engine);
                }
            }
        }
        run_all(&engine, &after);
        let mut batch = engine.lock();
        let core = batch.core();
        let live = content(&core.state, &core.log);
        let all = core.state.journal.clone();
        let behind: Vec<_> = all.iter().copied().filter(|&lsn| lsn >= begin).collect();
        let from_checkpoint = fold::rebuilt(core, &sections, &behind);
        prop_assert_eq!(&live, &content(&from_checkpoint, &core.log));
        let from_start = fold::rebuilt(core, &[], &all);
        prop_assert_eq!(&live, &content(&from_start, &core.log));
    }
}

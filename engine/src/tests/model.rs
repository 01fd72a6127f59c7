//! The engine against a model that fits on two screens, with checkpoint, clean close and reopen,
//! kill and power cut as ordinary operations.
//!
//! After a power cut the engine shows a state that the model had after some operation, not before
//! the last one that was durable; after a kill, not before the last one that was written. The model
//! goes back to that state, and both go on.

use std::collections::BTreeMap;
use std::mem;
use std::path::Path;
use std::sync::Arc;

use super::ops::{self, CONSUMERS, GROUPS, KEYS, Op};
use super::retained::Keeping;
use super::sent::Sent;
use super::{Seen, options, read, sort_all};
use crate::Retention;
use crate::batch::{
    Added, AutoClaim, Claim, Counters, Cursor, DELIVERY_COUNT_MAX, Deletion, Deliver, Fault,
    GiveBack, History, NewId, Overdue, PendingFilter, Range, RefPolicy, StreamInfo, Trim,
    TrimStrategy,
};
use crate::engine::Engine;
use crate::error::Error;
use crate::id::EntryId;
use crate::lsn::Lsn;
use crate::storage::simulated::{SimulatedClock, SimulatedStorage};
use proptest::prelude::*;

#[derive(Clone, Debug, Default)]
pub(super) struct Stream {
    pub(super) entries: BTreeMap<EntryId, Vec<Vec<u8>>>,
    last_id: EntryId,
    added: u64,
    max_deleted: EntryId,
    expiry: Option<u64>,
    pub(super) groups: BTreeMap<&'static [u8], Group>,
    sent: Sent,
    pub(super) retention: Retention,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    pub(super) cursor: EntryId,
    consumers: BTreeMap<&'static [u8], (u64, Option<u64>)>,
    pub(super) pending: BTreeMap<EntryId, Held>,
    /// Grows whenever an entry is handed out or given back.
    tick: u64,
}

/// A pending entry; given back if there is no consumer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    consumer: Option<&'static [u8]>,
    time: u64,
    count: u64,
    tick: u64,
}

impl Held {
    fn is_idle(&self, min_idle_ms: u64, now: u64) -> bool {
        self.consumer.is_none() || now - self.time >= min_idle_ms
    }
}

type Databases = [BTreeMap<&'static [u8], Stream>; 2];

/// The engine and the model side by side.
struct Pair {
    storage: SimulatedStorage,
    engine: Option<Engine>,
    databases: Databases,
    /// The model after each operation that no sync has covered, by the end of the log.
    history: Vec<(Lsn, Databases)>,
    now: u64,
    value: u64,
    keeping: Keeping,
}

impl Pair {
    fn new() -> Self {
        let mut pair = Self {
            storage: SimulatedStorage::new(),
            engine: None,
            databases: Default::default(),
            history: Vec::new(),
            now: 1000,
            value: 0,
            keeping: Keeping::default(),
        };
        pair.open();
        pair
    }

    fn open(&mut self) {
        let storage = Arc::new(self.storage.clone());
        let clock = Arc::new(SimulatedClock::new(self.now));
        let engine = Engine::open_on(storage, clock, Path::new("/data"), options());
        self.engine = Some(engine.unwrap());
        let defaults = self.keeping.defaults;
        self.batch().set_retention_defaults(defaults);
        self.history.clear();
        self.remember();
    }

    /// Keeps the model's state, and forgets those that a power cut cannot bring back.
    fn remember(&mut self) {
        let stats = self.engine().stats();
        self.history.push((stats.appended, self.databases.clone()));
        let durable = self
            .history
            .iter()
            .rposition(|(end, _)| *end <= stats.durable);
        self.history.drain(..durable.unwrap_or(0));
    }

    /// Ends the engine; `storage` is what is left. The model goes back to what has to be there.
    fn end(&mut self, storage: SimulatedStorage, at_least: Lsn) {
        drop(self.engine.take());
        self.storage = storage;
        let history = mem::take(&mut self.history);
        self.open();
        let end = self.engine().stats().appended;
        let is_there = |(of, _): &&(Lsn, Databases)| *of <= end;
        let (of, found) = history
            .iter()
            .rev()
            .find(is_there)
            .expect("a state of the model");
        // What seals a segment lies behind the last operation, and is none.
        let is_settled = |of: &Lsn| *of <= at_least;
        let settled = history.iter().map(|(of, _)| *of).rfind(is_settled);
        assert!(
            Some(*of) >= settled,
            "{of} is found, {settled:?} was settled, before {at_least}"
        );
        self.databases.clone_from(found);
        self.history.clear();
        self.remember();
        self.check();
    }

    fn engine(&self) -> &Engine {
        self.engine.as_ref().unwrap()
    }

    fn batch(&self) -> crate::Batch<'_> {
        let mut batch = self.engine().lock();
        batch.set_now(self.now);
        batch
    }

    fn stream(&mut self, key: usize) -> Option<&mut Stream> {
        let now = self.now;
        let db = &mut self.databases[0];
        db.retain(|_, stream| stream.expiry.is_none_or(|expiry| expiry > now));
        db.get_mut(KEYS[key])
    }

    fn group(&mut self, key: usize, group: usize) -> Option<&mut Group> {
        self.stream(key)?.groups.get_mut(GROUPS[group])
    }

    /// The model's group, in which the consumer was just seen; whether it was made by that.
    fn seen(&mut self, key: usize, group: usize, consumer: usize) -> Option<&mut Group> {
        let now = self.now;
        let group = self.group(key, group)?;
        group.consumers.entry(CONSUMERS[consumer]).or_default().0 = now;
        Some(group)
    }

    fn run(&mut self, op: &Op) {
        self.run_on_entries(op);
        self.remember();
    }

    #[expect(clippy::too_many_lines, reason = "one arm an operation")]
    fn run_on_entries(&mut self, op: &Op) {
        match *op {
            Op::Add { key, step } => self.add(key, step),
            Op::Trim { key, trim } => {
                let removed = self.batch().trim(0, KEYS[key], trim).unwrap();
                let expected = self
                    .stream(key)
                    .map_or(0, |stream| stream.trim(trim, removed));
                assert_eq!(removed, expected);
            }
            Op::Delete { key, ref ids } => {
                let removed = self.batch().delete_entries(0, KEYS[key], ids).unwrap();
                let expected = self.stream(key).map_or(0, |stream| stream.delete(ids));
                assert_eq!(removed, expected);
            }
            Op::DeleteWith {
                key,
                ref ids,
                policy,
            } => {
                let deleted = self
                    .batch()
                    .delete_with(0, KEYS[key], ops::delete_of(ids, policy));
                let expected = self.stream(key).map(|it| it.delete_with(None, ids, policy));
                assert_eq!(deleted.ok(), expected);
            }
            Op::AckAndDelete {
                key,
                group,
                ref ids,
                policy,
            } => {
                let name = GROUPS[group];
                let deleted =
                    self.batch()
                        .ack_and_delete(0, KEYS[key], name, ops::delete_of(ids, policy));
                let stream = self.stream(key);
                let expected = stream
                    .filter(|it| it.groups.contains_key(name))
                    .map(|it| it.delete_with(Some(name), ids, policy));
                assert_eq!(deleted.ok(), expected);
            }
            Op::SetCounters {
                key,
                ahead,
                max_deleted,
            } => self.set_counters(key, ahead, max_deleted),
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
                let found = self.batch().range(0, KEYS[key], range).unwrap();
                let found = found.map(|entries| read(self.engine(), &entries));
                assert_eq!(found, self.stream(key).map(|stream| stream.range(range)));
            }
            Op::CreateGroup { key, group, cursor } => {
                let at = Cursor {
                    id: cursor,
                    entries_read: None,
                };
                let made = self.batch().create_group(0, KEYS[key], GROUPS[group], at);
                match self.stream(key) {
                    None => assert!(matches!(made, Err(Error::NoSuchKey))),
                    Some(stream) if stream.groups.contains_key(GROUPS[group]) => {
                        assert!(matches!(made, Err(Error::GroupExists)));
                    }
                    Some(stream) => {
                        made.unwrap();
                        let fresh = Group {
                            cursor,
                            ..Group::default()
                        };
                        stream.groups.insert(GROUPS[group], fresh);
                    }
                }
            }
            Op::RemoveGroup { key, group } => {
                let removed = self.batch().remove_group(0, KEYS[key], GROUPS[group]);
                let stream = self.stream(key);
                let expected = stream.map(|stream| stream.groups.remove(GROUPS[group]).is_some());
                assert_eq!(removed.ok(), expected);
            }
            Op::SetCursor { key, group, cursor } => {
                let at = Cursor {
                    id: cursor,
                    entries_read: None,
                };
                let set = self.batch().set_cursor(0, KEYS[key], GROUPS[group], at);
                let expected = self.group(key, group).map(|group| group.cursor = cursor);
                assert_eq!(set.ok(), expected);
            }
            Op::RemoveConsumer {
                key,
                group,
                consumer,
            } => {
                let member = ops::member_of(group, consumer);
                let removed = self.batch().remove_consumer(0, KEYS[key], member);
                let expected = self.group(key, group).map(|group| {
                    let before = group.pending.len();
                    group
                        .pending
                        .retain(|_, held| held.consumer != Some(CONSUMERS[consumer]));
                    let removed = group.consumers.remove(CONSUMERS[consumer]);
                    removed.map(|_| (before - group.pending.len()) as u64)
                });
                assert_eq!(removed.ok(), expected);
            }
            ref op => self.run_on_members(op),
        }
    }

    #[expect(clippy::too_many_lines, reason = "one arm an operation")]
    fn run_on_members(&mut self, op: &Op) {
        match *op {
            Op::Deliver {
                key,
                group,
                consumer,
                count,
                noack,
                claim,
            } => {
                self.deliver((key, group, consumer), count, noack, claim);
            }
            Op::GiveBack {
                key,
                group,
                ref ids,
                fault,
                force,
            } => {
                let give_back = ops::give_back_of(ids, fault, force);
                self.give_back(key, group, &give_back);
            }
            Op::History {
                key,
                group,
                consumer,
                after,
            } => {
                self.history(key, group, consumer, after);
            }
            Op::Ack {
                key,
                group,
                ref ids,
            } => {
                let acked = self.batch().ack(0, KEYS[key], GROUPS[group], ids).unwrap();
                let group = self.group(key, group);
                let remove = |group: &mut Group| {
                    ids.iter()
                        .filter(|id| group.pending.remove(id).is_some())
                        .count()
                };
                assert_eq!(acked, group.map_or(0, remove) as u64);
            }
            Op::Claim {
                key,
                group,
                consumer,
                ref ids,
                min_idle,
                force,
            } => {
                self.claim(key, group, consumer, (ids, min_idle, force));
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
                self.auto_claim(key, group, consumer, claim);
            }
            ref op => self.run_on_keys(op),
        }
    }

    #[expect(clippy::too_many_lines, reason = "one arm an operation")]
    fn run_on_keys(&mut self, op: &Op) {
        match *op {
            Op::AddOnce { key, message } => self.add_once(key, message),
            Op::SetProducers { key, settings } => {
                let set = self.batch().set_producers(0, KEYS[key], settings);
                let expected = self.stream(key).map(|stream| stream.sent.set(settings));
                assert_eq!(set.ok(), expected);
            }
            Op::Forget => {
                self.batch().forget_due(8).unwrap();
                let now = self.now;
                for stream in self.databases.iter_mut().flat_map(BTreeMap::values_mut) {
                    stream.sent.forget(now);
                }
            }
            Op::SetRetention { key, retention } => {
                let set = self.batch().set_retention(0, KEYS[key], retention);
                let expected = self.stream(key).map(|stream| stream.retention = retention);
                assert_eq!(set.ok(), expected);
            }
            Op::SetKept { kept } => {
                self.batch().set_retention_defaults(kept);
                self.keeping.defaults = kept;
            }
            Op::Retain => self.retain(),
            Op::Remove { key } => {
                let removed = self.batch().remove(0, KEYS[key]).unwrap();
                let expected = self.stream(key).is_some();
                self.databases[0].remove(KEYS[key]);
                assert_eq!(removed, expected);
            }
            Op::Rename { from, to } => {
                let renamed = self.batch().rename(0, KEYS[from], 0, KEYS[to]);
                let there = self.stream(from).is_some();
                assert_eq!(renamed.is_ok(), there);
                if let Some(stream) = self.databases[0].remove(KEYS[from]) {
                    self.databases[0].insert(KEYS[to], stream);
                }
            }
            Op::Copy { from, to } => {
                let copied = self.batch().copy(0, KEYS[from], 0, KEYS[to]);
                let expected = self.stream(from).cloned();
                let is_free = self.stream(to).is_none();
                assert_eq!(copied.is_ok(), expected.is_some() && is_free);
                if let Some(stream) = expected.filter(|_| is_free) {
                    self.databases[0].insert(KEYS[to], stream);
                }
            }
            Op::Expire { key, after } => {
                let expiry = Some(self.now + after);
                let set = self.batch().set_expiry(0, KEYS[key], expiry).unwrap();
                let expected = self.stream(key).map(|stream| stream.expiry = expiry);
                assert_eq!(set, expected.is_some());
            }
            Op::SwapDatabases => {
                self.batch().swap_databases(0, 1).unwrap();
                self.databases.swap(0, 1);
            }
            Op::Flush => {
                self.batch().flush(Some(0)).unwrap();
                self.databases[0].clear();
            }
            Op::Wait { ms } => self.now += ms,
            Op::EndCommand => drop(self.batch().end_command()),
            Op::Reopen => {
                self.engine.take().unwrap().close().unwrap();
                self.open();
                self.check();
            }
            Op::Checkpoint => drop(self.engine().checkpoint().unwrap()),
            Op::Sync => self.engine().sync().unwrap(),
            Op::Write => self.engine().submit(),
            Op::Crash { seed } => {
                let durable = self.engine().stats().durable;
                let left = self.storage.crash(seed);
                self.end(left, durable);
            }
            Op::Kill => {
                let written = self.engine().stats().written;
                let left = self.storage.kill();
                self.end(left, written);
            }
            Op::Sort => sort_all(self.engine()),
            ref op => unreachable!("{op:?}"),
        }
    }

    fn add(&mut self, key: usize, step: u64) {
        self.value += 1;
        let last = self
            .stream(key)
            .map_or(EntryId::MIN, |stream| stream.last_id);
        let id = EntryId::new(last.ms.saturating_add(step), 0);
        let fill = vec![b'.'; 300];
        let fields = vec![
            b"n".to_vec(),
            [self.value.to_string().into_bytes(), fill].concat(),
        ];
        let given: Vec<&[u8]> = fields.iter().map(Vec::as_slice).collect();
        let added = self.batch().add(0, KEYS[key], NewId::Given(id), &given);
        if last >= id {
            assert!(added.is_err());
            return;
        }
        assert_eq!(added.unwrap(), id);
        let stream = self.databases[0].entry(KEYS[key]).or_default();
        stream.entries.insert(id, fields);
        stream.last_id = id;
        stream.added += 1;
        self.retain_length(key);
    }

    fn add_once(&mut self, key: usize, message: (u8, u8)) {
        let given: [&[u8]; 2] = [b"field", b"value"];
        let sent = ops::message_of(&message);
        let added = self.batch().add_once(0, KEYS[key], sent, &given);
        let now = self.now;
        // Who is expired is gone.
        self.stream(key);
        let stream = self.databases[0].entry(KEYS[key]).or_default();
        if let Some(id) = stream.sent.repeat(message, now) {
            assert_eq!(added.unwrap(), Added::Repeated(id));
            return;
        }
        let Some(next) = stream.last_id.next() else {
            assert!(added.is_err());
            return;
        };
        let id = next.max(EntryId::new(now, 0));
        assert_eq!(added.unwrap(), Added::New(id));
        let fields = given.map(<[u8]>::to_vec).to_vec();
        stream.entries.insert(id, fields);
        stream.last_id = id;
        stream.added += 1;
        stream.sent.remember(message, id);
        self.retain_length(key);
    }

    /// An entry was added: others may have gone.
    fn retain_length(&mut self, key: usize) {
        let (keeping, now) = (self.keeping, self.now);
        if let Some(stream) = self
            .stream(key)
            .filter(|stream| keeping.is_too_long(stream))
        {
            for id in keeping.surplus(stream, now) {
                stream.entries.remove(&id);
            }
        }
    }

    /// Looks at all streams that are due; what is gone then had to go.
    fn retain(&mut self) {
        while self.batch().retain_due(2).unwrap() {}
        let now = self.now;
        for db in &mut self.databases {
            // Whose time is over is found expired by the look below.
            db.retain(|_, stream| stream.expiry.is_none_or(|expiry| expiry > now));
        }
        for db in 0..2u8 {
            for name in KEYS {
                let there = self.ids(db, name);
                let Some(stream) = self.databases[usize::from(db)].get_mut(name) else {
                    continue;
                };
                let may_go = self.keeping.surplus(stream, self.now);
                let is_gone = |id: &EntryId| !there.contains(id);
                let gone: Vec<_> = stream.entries.keys().copied().filter(is_gone).collect();
                assert!(
                    gone.iter().all(|id| may_go.contains(id)),
                    "{gone:?} {may_go:?}"
                );
                for id in gone {
                    stream.entries.remove(&id);
                }
                self.keeping.check(stream, self.now);
            }
        }
        self.keeping.looked = self.now;
    }

    fn ids(&self, db: u8, name: &[u8]) -> Vec<EntryId> {
        let whole = Range {
            start: EntryId::MIN,
            end: EntryId::MAX,
            reverse: false,
            count: None,
        };
        let entries = self.batch().range(db, name, whole).unwrap();
        let entries = entries.map(|entries| read(self.engine(), &entries));
        entries.into_iter().flatten().map(|(id, _)| id).collect()
    }

    fn set_counters(&mut self, key: usize, ahead: u64, max_deleted: Option<EntryId>) {
        let last = self
            .stream(key)
            .map_or(EntryId::MIN, |stream| stream.last_id);
        let last_id = EntryId::new(last.ms.saturating_add(ahead), last.seq);
        let counters = Counters {
            last_id,
            entries_added: None,
            max_deleted_id: max_deleted,
        };
        let set = self.batch().set_counters(0, KEYS[key], counters);
        let expected = self.stream(key).map(|stream| {
            stream.last_id = last_id;
            stream.max_deleted = max_deleted.unwrap_or(stream.max_deleted);
        });
        assert_eq!(set.ok(), expected);
    }

    fn deliver(
        &mut self,
        (key, group, consumer): (usize, usize, usize),
        count: usize,
        noack: bool,
        claim_idle_ms: Option<u64>,
    ) {
        let member = ops::member_of(group, consumer);
        let deliver = Deliver {
            count: Some(count),
            noack,
            claim_idle_ms,
            fits: None,
        };
        let delivery = self.batch().deliver(0, KEYS[key], member, deliver);
        let now = self.now;
        let entries = self
            .stream(key)
            .map(|stream| stream.entries.clone())
            .unwrap_or_default();
        let Some(group) = self.seen(key, group, consumer) else {
            assert!(delivery.is_err());
            return;
        };
        let me = Some(CONSUMERS[consumer]);
        let mut given: Vec<Seen> = Vec::new();
        let mut before = Vec::new();
        let mut overdue: Vec<_> = group.pending.iter().map(|(id, it)| (*id, *it)).collect();
        overdue.retain(|(id, held)| {
            let is_overdue = claim_idle_ms.is_some_and(|min| held.is_idle(min, now));
            is_overdue && entries.contains_key(id)
        });
        overdue.sort_by_key(|(id, held)| {
            let is_owned = held.consumer.is_some();
            (is_owned, if is_owned { held.time } else { held.tick }, *id)
        });
        for (id, held) in overdue.into_iter().take(count) {
            group.hold(id, me, now, held.count + 1);
            given.push((id, entries.get(&id).cloned()));
            before.push(Overdue {
                idle_ms: now - held.time,
                delivery_count: held.count,
            });
        }
        let is_active = !given.is_empty();
        let cursor = group.cursor;
        let new = entries.into_iter().filter(|(id, _)| *id > cursor);
        let new: Vec<_> = new.take(count - given.len()).collect();
        if is_active || !(new.is_empty() || noack) {
            group
                .consumers
                .insert(CONSUMERS[consumer], (now, Some(now)));
        }
        for (id, fields) in new {
            group.cursor = id;
            if !noack {
                group.hold(id, me, now, 1);
            }
            given.push((id, Some(fields)));
        }
        let delivery = delivery.unwrap();
        assert_eq!(delivery.claimed, before);
        assert_eq!(read(self.engine(), &delivery.entries), given);
    }

    fn give_back(&mut self, key: usize, group: usize, give_back: &GiveBack<'_>) {
        let given = self
            .batch()
            .give_back(0, KEYS[key], GROUPS[group], give_back);
        let entries = self
            .stream(key)
            .map(|stream| stream.entries.clone())
            .unwrap_or_default();
        let Some(group) = self.group(key, group) else {
            assert!(given.is_err());
            return;
        };
        let mut expected = 0;
        for id in give_back.ids {
            let held = group.pending.get(id);
            let is_forced = give_back.force && entries.contains_key(id);
            let Some(count) = held.map(|held| held.count).or(is_forced.then_some(0)) else {
                continue;
            };
            let count = match give_back.fault {
                Fault::None => count.saturating_sub(1),
                Fault::Consumer => count,
                Fault::Entry => DELIVERY_COUNT_MAX,
            };
            group.hold(*id, None, 0, give_back.delivery_count.unwrap_or(count));
            expected += 1;
        }
        assert_eq!(given.unwrap(), expected);
    }

    fn history(&mut self, key: usize, group: usize, consumer: usize, after: EntryId) {
        let member = ops::member_of(group, consumer);
        let history = History {
            after,
            ..History::default()
        };
        let delivery = self.batch().history(0, KEYS[key], member, history);
        let now = self.now;
        let entries = self
            .stream(key)
            .map(|stream| stream.entries.clone())
            .unwrap_or_default();
        let Some(group) = self.seen(key, group, consumer) else {
            assert!(delivery.is_err());
            return;
        };
        let start = after.next().unwrap_or(EntryId::MIN);
        let mut expected = Vec::new();
        let pending: Vec<_> = group
            .pending
            .range(start..)
            .map(|(id, it)| (*id, *it))
            .collect();
        for (id, held) in pending {
            if held.consumer != Some(CONSUMERS[consumer]) {
                continue;
            }
            let fields = entries.get(&id).cloned();
            if fields.is_some() {
                group.hold(id, held.consumer, now, held.count + 1);
            }
            expected.push((id, fields));
        }
        assert_eq!(read(self.engine(), &delivery.unwrap().entries), expected);
    }

    fn claim(
        &mut self,
        key: usize,
        group: usize,
        consumer: usize,
        (ids, min_idle_ms, force): (&[EntryId], u64, bool),
    ) {
        let member = ops::member_of(group, consumer);
        let claim = Claim {
            min_idle_ms,
            ids,
            force,
            ..Claim::default()
        };
        let claimed = self.batch().claim(0, KEYS[key], member, &claim);
        let now = self.now;
        let entries = self
            .stream(key)
            .map(|stream| stream.entries.clone())
            .unwrap_or_default();
        let Some(group) = self.seen(key, group, consumer) else {
            assert!(claimed.is_err());
            return;
        };
        let mut expected = Vec::new();
        for id in ids {
            let Some(fields) = entries.get(id) else {
                group.pending.remove(id);
                continue;
            };
            let held = group.pending.get(id).copied();
            if held.map_or(!force, |held| !held.is_idle(min_idle_ms, now)) {
                continue;
            }
            let count = held.map_or(1, |held| held.count) + 1;
            group.hold(*id, Some(CONSUMERS[consumer]), now, count);
            group
                .consumers
                .insert(CONSUMERS[consumer], (now, Some(now)));
            expected.push((*id, Some(fields.clone())));
        }
        assert_eq!(read(self.engine(), &claimed.unwrap().entries), expected);
    }

    fn auto_claim(&mut self, key: usize, group: usize, consumer: usize, claim: AutoClaim) {
        let member = ops::member_of(group, consumer);
        let claimed = self.batch().auto_claim(0, KEYS[key], member, claim);
        let now = self.now;
        let entries = self
            .stream(key)
            .map(|stream| stream.entries.clone())
            .unwrap_or_default();
        let Some(group) = self.seen(key, group, consumer) else {
            assert!(claimed.is_err());
            return;
        };
        let claimed = claimed.unwrap();
        let (mut expected, mut deleted, mut next) = (Vec::new(), Vec::new(), EntryId::MIN);
        let scanned: Vec<_> = group
            .pending
            .range(claim.start..)
            .map(|(id, _)| *id)
            .collect();
        for (attempt, id) in scanned.into_iter().enumerate() {
            if attempt == claim.count * 10 || expected.len() + deleted.len() == claim.count {
                next = id;
                break;
            }
            let held = group.pending[&id];
            let Some(fields) = entries.get(&id) else {
                group.pending.remove(&id);
                deleted.push(id);
                continue;
            };
            if held.is_idle(claim.min_idle_ms, now) {
                let count = held.count + 1;
                group.hold(id, Some(CONSUMERS[consumer]), now, count);
                group
                    .consumers
                    .insert(CONSUMERS[consumer], (now, Some(now)));
                expected.push((id, Some(fields.clone())));
            }
        }
        assert_eq!((claimed.next, claimed.deleted), (next, deleted));
        assert_eq!(read(self.engine(), &claimed.claimed.entries), expected);
    }

    /// Compares all that can be seen of both.
    fn check(&mut self) {
        for (key, name) in KEYS.into_iter().enumerate() {
            let expected = self.stream(key).cloned();
            let mut batch = self.batch();
            let info = batch.stream(0, name);
            assert_eq!(
                batch.expiry(0, name),
                expected.as_ref().map(|stream| stream.expiry)
            );
            let Some(expected) = expected else {
                assert_eq!(info, None);
                continue;
            };
            let found = StreamInfo {
                nodes: 0,
                ..info.unwrap()
            };
            assert_eq!(found, expected.info());
            assert_eq!(batch.producers(0, name), Some(expected.sent.info()));
            assert_eq!(batch.retention(0, name), Some(expected.retention));
            let full = batch.stream_full(0, name, None).unwrap();
            assert_eq!(full.groups.len(), expected.groups.len());
            for (found, (group_name, group)) in full.groups.iter().zip(&expected.groups) {
                assert_eq!(found.info.name, *group_name);
                assert_eq!(found.info.last_delivered_id, group.cursor);
                assert_eq!(found.info.pending, group.pending.len() as u64);
                let given_back = group
                    .pending
                    .values()
                    .filter(|held| held.consumer.is_none());
                assert_eq!(found.info.given_back, given_back.count() as u64);
                let ahead = expected.entries.keys().filter(|id| **id > group.cursor);
                assert_eq!(found.info.lag, ahead.count() as u64);
                let seen = found.consumers.iter().map(|consumer| {
                    let info = &consumer.info;
                    (info.name.clone(), (info.seen_ms, info.active_ms))
                });
                let expected = group
                    .consumers
                    .iter()
                    .map(|(name, seen)| (name.to_vec(), *seen));
                assert!(
                    seen.eq(expected),
                    "{:?} {:?}",
                    found.consumers,
                    group.consumers
                );
                group.check(&mut batch, name, group_name, self.now);
            }
            drop(batch);
            let whole = Range {
                start: EntryId::MIN,
                end: EntryId::MAX,
                reverse: false,
                count: None,
            };
            assert_eq!(read(self.engine(), &full.entries), expected.range(whole));
        }
    }
}

impl Stream {
    fn info(&self) -> StreamInfo {
        StreamInfo {
            length: self.entries.len() as u64,
            last_id: self.last_id,
            max_deleted_id: self.max_deleted,
            entries_added: self.added,
            first_id: self
                .entries
                .first_key_value()
                .map_or(EntryId::MIN, |(id, _)| *id),
            nodes: 0,
            groups: self.groups.len(),
        }
    }

    fn delete(&mut self, ids: &[EntryId]) -> u64 {
        let mut deleted = 0;
        for id in ids {
            if self.entries.remove(id).is_some() {
                deleted += 1;
                self.max_deleted = self.max_deleted.max(*id);
            }
        }
        deleted
    }

    /// Whether a group has an entry still to deliver or to settle.
    fn refers(&self, id: EntryId) -> bool {
        let mut groups = self.groups.values();
        groups.any(|group| id > group.cursor || group.pending.contains_key(&id))
    }

    fn delete_with(
        &mut self,
        acked_in: Option<&[u8]>,
        ids: &[EntryId],
        policy: RefPolicy,
    ) -> Vec<Deletion> {
        let mut outcomes = Vec::new();
        for &id in ids {
            let outcome = self.delete_one(acked_in, id, policy);
            outcomes.push(outcome.unwrap_or(Deletion::NotFound));
        }
        outcomes
    }

    fn delete_one(
        &mut self,
        acked_in: Option<&[u8]>,
        id: EntryId,
        policy: RefPolicy,
    ) -> Option<Deletion> {
        if let Some(name) = acked_in {
            self.groups.get_mut(name)?.pending.remove(&id)?;
        }
        if policy == RefPolicy::Drop {
            self.drop_references(id);
        }
        if policy == RefPolicy::Acked && self.refers(id) {
            return Some(Deletion::Referenced);
        }
        let was_there = self.delete(&[id]) == 1;
        (was_there || acked_in.is_some()).then_some(Deletion::Deleted)
    }

    fn drop_references(&mut self, id: EntryId) {
        for group in self.groups.values_mut() {
            group.pending.remove(&id);
        }
    }

    /// Trims; returns how many entries went. A trim to a length that must pass over entries takes
    /// `removed`, because where it stops depends on the nodes.
    fn trim(&mut self, trim: Trim, removed: u64) -> u64 {
        let mut wanted: Vec<EntryId> = match trim.strategy {
            TrimStrategy::MaxLen(len) => {
                let surplus = self
                    .entries
                    .len()
                    .saturating_sub(usize::try_from(len).unwrap());
                self.entries.keys().copied().take(surplus).collect()
            }
            TrimStrategy::MinId(id) => self.entries.range(..id).map(|(id, _)| *id).collect(),
        };
        if trim.references == RefPolicy::Acked {
            let most = wanted.len();
            if matches!(trim.strategy, TrimStrategy::MaxLen(_)) {
                assert!(removed <= most as u64);
                wanted = self.entries.keys().copied().collect();
                wanted.retain(|id| !self.refers(*id));
                wanted.truncate(usize::try_from(removed).unwrap());
            } else {
                wanted.retain(|id| !self.refers(*id));
            }
        }
        for id in &wanted {
            self.entries.remove(id);
            if trim.references == RefPolicy::Drop {
                self.drop_references(*id);
            }
        }
        wanted.len() as u64
    }

    fn range(&self, range: Range) -> Vec<Seen> {
        let is_in = |id: &EntryId| (range.start..=range.end).contains(id);
        let seen = self.entries.iter().filter(|(id, _)| is_in(id));
        let mut seen: Vec<Seen> = seen
            .map(|(id, fields)| (*id, Some(fields.clone())))
            .collect();
        if range.reverse {
            seen.reverse();
        }
        seen.truncate(range.count.unwrap_or(usize::MAX));
        seen
    }
}

impl Group {
    fn hold(&mut self, id: EntryId, consumer: Option<&'static [u8]>, time: u64, count: u64) {
        self.tick += 1;
        let held = Held {
            consumer,
            time,
            count,
            tick: self.tick,
        };
        self.pending.insert(id, held);
    }

    /// Compares what is pending, in whole and idle, of all consumers and of one.
    fn check(&self, batch: &mut crate::Batch<'_>, key: &[u8], name: &[u8], now: u64) {
        let summary = batch.pending_summary(0, key, name).unwrap();
        assert_eq!(summary.count, self.pending.len() as u64);
        let bounds = self
            .pending
            .keys()
            .next()
            .copied()
            .zip(self.pending.keys().last().copied());
        assert_eq!(summary.bounds, bounds);
        for consumer in [None, Some(CONSUMERS[0]), Some(CONSUMERS[1])] {
            for min_idle_ms in [0, 5] {
                let (start, end) = (EntryId::new(2, 0), EntryId::MAX);
                let filter = PendingFilter {
                    min_idle_ms,
                    start,
                    end,
                    count: 5,
                    consumer,
                };
                let found = batch.pending_range(0, key, name, &filter).unwrap();
                let found: Vec<_> = found
                    .into_iter()
                    .map(|held| {
                        (
                            held.id,
                            held.consumer,
                            held.delivered_ms,
                            held.delivery_count,
                        )
                    })
                    .collect();
                let expected = self.pending.range(start..=end).filter(|(_, held)| {
                    held.is_idle(min_idle_ms, now)
                        && consumer.is_none_or(|consumer| held.consumer == Some(consumer))
                });
                let expected: Vec<_> = expected
                    .take(5)
                    .map(|(id, held)| {
                        let consumer = held.consumer.unwrap_or_default().to_vec();
                        (*id, consumer, held.time, held.count)
                    })
                    .collect();
                assert_eq!(found, expected);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if std::env::var_os("ALLUVIUM_THOROUGH").is_some() { 4096 } else { 96 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Durability: P1, P2, P3, P4, P6, P7.
    #[test]
    fn the_engine_does_what_the_model_does(ops in ops::ops(160)) {
        let mut pair = Pair::new();
        for op in &ops {
            pair.run(op);
        }
        pair.check();
        pair.run(&Op::Reopen);
        mem::drop(pair);
    }
}

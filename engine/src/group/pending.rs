//! The pending entries of a group: found by ID, ordered by ID and by delivery time.
//!
//! ```text
//! slots  [ id time count consumer prev next | ... ]   48 bytes each, in chunks
//!          ^ by_id: sorted array of slot numbers, in chunks; one for the group, one a consumer
//!          ^ prev/next: list in the order of delivery times, oldest first
//! ```
//!
//! Entries that were given back are pending for nobody. They stand before all others in the list by
//! time, in the order in which they were given back: a number that grows stands in for their time.
//!
//! Together 56 bytes a pending entry and a little for chunks. Deliveries come with growing IDs and
//! growing times, so both orders grow at the end; acknowledgements mostly take from the front.

use std::collections::VecDeque;

use crate::id::EntryId;

/// No consumer: whom an entry is pending for that was given back.
pub(crate) const NOBODY: u32 = u32::MAX;

/// No slot: the end of a list.
const NONE: u32 = u32::MAX;
/// Slots in a chunk of the slab.
const SLOTS_PER_CHUNK: usize = 256;
/// Slot numbers in a chunk of a sorted array.
const SORTED_PER_CHUNK: usize = 256;

/// What an empty list may keep, in bytes, so that a group that delivers and acknowledges a few
/// entries at a time does not go to the allocator each time.
const IDLE_MEMORY_MAX: usize = 4 << 10;
/// The same for the last chunk of a sorted array, in slot numbers.
const IDLE_SORTED_MAX: usize = 64;

/// How many of the oldest entries are looked at for the lowest ID among them.
const IDLE_LOOKED_AT: usize = 1000;

/// There are more entries than are looked at.
pub(crate) struct TooMany;

/// A pending entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pending {
    pub(crate) id: EntryId,
    pub(crate) delivered_ms: u64,
    pub(crate) delivery_count: u64,
    pub(crate) consumer: u32,
    older: u32,
    newer: u32,
}

const _: () = assert!(size_of::<Pending>() == 48);

impl Pending {
    /// An entry that is not linked yet.
    fn of(entry: NewPending) -> Self {
        Self {
            id: entry.id,
            delivered_ms: entry.delivered_ms,
            delivery_count: entry.delivery_count,
            consumer: entry.consumer,
            older: NONE,
            newer: NONE,
        }
    }

    /// What the list by time is ordered by: those that were given back come first.
    fn age(&self) -> (bool, u64, EntryId) {
        (!self.is_given_back(), self.delivered_ms, self.id)
    }

    /// Whether it was given back, and waits for whoever claims it.
    pub(crate) fn is_given_back(&self) -> bool {
        self.consumer == NOBODY
    }

    /// Whether it was delivered at least `min_idle_ms` ago, or given back.
    pub(crate) fn is_idle(&self, min_idle_ms: u64, now_ms: u64) -> bool {
        min_idle_ms == 0 || self.is_given_back() || self.idle_ms(now_ms) >= min_idle_ms
    }

    /// Milliseconds since it was delivered.
    pub(crate) fn idle_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.shown_ms())
    }

    /// When it was delivered; 0 if it was given back.
    pub(crate) fn shown_ms(&self) -> u64 {
        if self.is_given_back() {
            0
        } else {
            self.delivered_ms
        }
    }
}

/// The pending entries of a group.
#[derive(Clone, Debug)]
pub(crate) struct PendingList {
    slots: Slots,
    by_id: SortedSlots,
    oldest: u32,
    newest: u32,
    /// The last in the list by time of those that were given back, and how many there are.
    last_given_back: u32,
    given_back: u32,
}

impl Default for PendingList {
    fn default() -> Self {
        Self {
            slots: Slots::default(),
            by_id: SortedSlots::default(),
            oldest: NONE,
            newest: NONE,
            last_given_back: NONE,
            given_back: 0,
        }
    }
}

impl PendingList {
    pub(crate) fn len(&self) -> usize {
        self.by_id.len
    }

    /// The slot of the entry with that ID.
    pub(crate) fn find(&self, id: EntryId) -> Option<u32> {
        self.by_id.find(&self.slots, id)
    }

    /// Those of the IDs that are pending. IDs that follow each other there are found at once.
    pub(crate) fn held<'a>(&'a self, ids: &'a [EntryId]) -> impl Iterator<Item = EntryId> + 'a {
        let mut next = (0, 0);
        ids.iter().copied().filter(move |&id| {
            let place = self.by_id.place_near(&self.slots, id, next);
            next = place.map_or(next, |(chunk, at)| (chunk, at + 1));
            place.is_some()
        })
    }

    pub(crate) fn get(&self, slot: u32) -> &Pending {
        self.slots.get(slot)
    }

    /// Whether the ID is above all that are pending: then it is not pending itself.
    pub(crate) fn is_above_all(&self, id: EntryId) -> bool {
        self.by_id
            .last()
            .is_none_or(|slot| self.slots.get(slot).id < id)
    }

    /// What stands in for the time of the next entry that is given back.
    pub(crate) fn next_turn(&self) -> u64 {
        match self.last_given_back {
            NONE => 1,
            slot => self.slots.get(slot).delivered_ms.saturating_add(1),
        }
    }

    /// How many entries were given back.
    pub(crate) fn given_back(&self) -> u32 {
        self.given_back
    }

    /// Adds an entry that is not pending yet, and to the array of its consumer if it has one.
    pub(crate) fn insert(&mut self, entry: NewPending, consumer: Option<&mut SortedSlots>) {
        let slot = self.slots.add(Pending::of(entry));
        self.by_id.insert(&self.slots, slot);
        if let Some(consumer) = consumer {
            consumer.insert(&self.slots, slot);
        }
        self.link(slot);
    }

    /// Adds an entry of a checkpoint, which lists them by ID; false if its ID is not above all
    /// others. [`PendingList::order_by_time`] follows when all are there.
    pub(crate) fn restore(
        &mut self,
        entry: NewPending,
        consumer: Option<&mut SortedSlots>,
    ) -> bool {
        if !self.is_above_all(entry.id) {
            return false;
        }
        let slot = self.slots.add(Pending::of(entry));
        self.by_id.insert(&self.slots, slot);
        if let Some(consumer) = consumer {
            consumer.insert(&self.slots, slot);
        }
        true
    }

    /// Makes the order of delivery times for entries that were restored.
    pub(crate) fn order_by_time(&mut self) {
        let all = self.by_id.chunks.iter().flat_map(|chunk| &chunk.slots);
        let mut slots: Vec<u32> = all.copied().collect();
        slots.sort_by_key(|&slot| self.slots.get(slot).age());
        (self.oldest, self.newest) = (NONE, NONE);
        (self.last_given_back, self.given_back) = (NONE, 0);
        for slot in slots {
            self.link(slot);
        }
    }

    /// Takes an entry off the array of its consumer; it must join another, be set to nobody or be
    /// released next.
    pub(crate) fn leave(&self, slot: u32, consumer: &mut SortedSlots) {
        consumer.remove(&self.slots, self.slots.get(slot).id);
    }

    /// Puts an entry on the array of a consumer, for whom it is set next.
    pub(crate) fn join(&self, slot: u32, consumer: &mut SortedSlots) {
        consumer.insert(&self.slots, slot);
    }

    /// Sets for whom an entry is pending, and when and how often it was delivered.
    pub(crate) fn set(&mut self, slot: u32, new: NewPending) {
        self.unlink(slot);
        let entry = self.slots.get_mut(slot);
        entry.consumer = new.consumer;
        entry.delivered_ms = new.delivered_ms;
        entry.delivery_count = new.delivery_count;
        self.link(slot);
    }

    /// Takes the entry with that ID out of the order by ID; it must be released next.
    pub(crate) fn take(&mut self, id: EntryId) -> Option<u32> {
        self.by_id.remove(&self.slots, id)
    }

    /// Forgets an entry that was taken, and that its consumer has no more.
    pub(crate) fn release(&mut self, slot: u32) {
        self.unlink(slot);
        self.slots.free(slot);
        if self.by_id.len == 0 && self.memory() > IDLE_MEMORY_MAX {
            *self = Self::default();
        }
    }

    /// Entries in the order of their IDs, from `start` on.
    pub(crate) fn from(&self, start: EntryId) -> impl Iterator<Item = &Pending> {
        self.by_id.from(&self.slots, start)
    }

    /// Entries of one consumer in the order of their IDs, from `start` on.
    pub(crate) fn of_consumer<'a>(
        &'a self,
        consumer: &'a SortedSlots,
        start: EntryId,
    ) -> impl Iterator<Item = &'a Pending> {
        consumer.from(&self.slots, start)
    }

    /// The entry with the lowest and the one with the highest ID.
    pub(crate) fn bounds(&self) -> Option<(EntryId, EntryId)> {
        let id = |slot: u32| self.slots.get(slot).id;
        Some((id(self.by_id.first()?), id(self.by_id.last()?)))
    }

    /// Entries in the order of their delivery times, oldest first; by ID where these are equal.
    pub(crate) fn oldest_first(&self) -> impl Iterator<Item = &Pending> {
        let mut next = self.oldest;
        std::iter::from_fn(move || {
            let entry = (next != NONE).then(|| self.slots.get(next))?;
            next = entry.newer;
            Some(entry)
        })
    }

    /// The lowest ID from `from` on of those that `is_idle`, as the oldest are and no others; an
    /// error if they are too many to look at.
    pub(crate) fn first_idle(
        &self,
        from: EntryId,
        is_idle: impl Fn(&Pending) -> bool,
    ) -> Result<Option<EntryId>, TooMany> {
        let (mut first, mut looked_at) = (None, 0);
        for held in self.oldest_first().take_while(|held| is_idle(held)) {
            if looked_at == IDLE_LOOKED_AT {
                return Err(TooMany);
            }
            looked_at += 1;
            if held.id >= from && first.is_none_or(|first| held.id < first) {
                first = Some(held.id);
            }
        }
        Ok(first)
    }

    /// Bytes of memory.
    pub(crate) fn memory(&self) -> usize {
        self.slots.memory() + self.by_id.memory()
    }

    /// Links a slot into the list by time and, for equal times, by ID. Both almost always grow.
    fn link(&mut self, slot: u32) {
        let entry = self.slots.get(slot);
        let (age, is_given_back) = (entry.age(), entry.is_given_back());
        let older = self.before(age, is_given_back);
        if is_given_back {
            self.given_back += 1;
            if older == self.last_given_back {
                self.last_given_back = slot;
            }
        }
        let newer = match older {
            NONE => std::mem::replace(&mut self.oldest, slot),
            _ => std::mem::replace(&mut self.slots.get_mut(older).newer, slot),
        };
        match newer {
            NONE => self.newest = slot,
            _ => self.slots.get_mut(newer).older = slot,
        }
        let entry = self.slots.get_mut(slot);
        entry.older = older;
        entry.newer = newer;
    }

    /// The last slot of the list by time that comes before an age. Looked for from both ends: what
    /// is delivered comes last, and what a claim sets back is among the oldest.
    fn before(&self, age: (bool, u64, EntryId), is_given_back: bool) -> u32 {
        let mut last = if is_given_back {
            self.last_given_back
        } else {
            self.newest
        };
        let mut first = self.oldest;
        while last != NONE && self.slots.get(last).age() > age {
            let entry = self.slots.get(first);
            if entry.age() > age {
                return entry.older;
            }
            first = entry.newer;
            last = self.slots.get(last).older;
        }
        last
    }

    fn unlink(&mut self, slot: u32) {
        let entry = *self.slots.get(slot);
        let Pending { older, newer, .. } = entry;
        if entry.is_given_back() {
            self.given_back -= 1;
        }
        if self.last_given_back == slot {
            // Before one that was given back stand only such.
            self.last_given_back = older;
        }
        match older {
            NONE => self.oldest = newer,
            _ => self.slots.get_mut(older).newer = newer,
        }
        match newer {
            NONE => self.newest = older,
            _ => self.slots.get_mut(newer).older = older,
        }
    }
}

/// An entry that becomes pending.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewPending {
    pub(crate) id: EntryId,
    pub(crate) delivered_ms: u64,
    pub(crate) delivery_count: u64,
    pub(crate) consumer: u32,
}

/// A slab of pending entries. The free ones are a list by `newer`.
#[derive(Clone, Debug)]
struct Slots {
    chunks: Vec<Vec<Pending>>,
    free: u32,
}

impl Default for Slots {
    fn default() -> Self {
        Self {
            chunks: Vec::new(),
            free: NONE,
        }
    }
}

impl Slots {
    fn get(&self, slot: u32) -> &Pending {
        &self.chunks[slot as usize / SLOTS_PER_CHUNK][slot as usize % SLOTS_PER_CHUNK]
    }

    fn get_mut(&mut self, slot: u32) -> &mut Pending {
        &mut self.chunks[slot as usize / SLOTS_PER_CHUNK][slot as usize % SLOTS_PER_CHUNK]
    }

    fn add(&mut self, entry: Pending) -> u32 {
        if self.free != NONE {
            let slot = self.free;
            self.free = std::mem::replace(self.get_mut(slot), entry).newer;
            return slot;
        }
        if self
            .chunks
            .last()
            .is_none_or(|chunk| chunk.len() == SLOTS_PER_CHUNK)
        {
            // Only the first chunk grows step by step: many groups have little that is pending.
            let capacity = if self.chunks.is_empty() {
                0
            } else {
                SLOTS_PER_CHUNK
            };
            self.chunks.push(Vec::with_capacity(capacity));
        }
        let full = (self.chunks.len() - 1) * SLOTS_PER_CHUNK;
        let chunk = self.chunks.last_mut().expect("one was just pushed");
        chunk.push(entry);
        u32::try_from(full + chunk.len() - 1).expect("a group has less than 2^32 pending entries")
    }

    fn free(&mut self, slot: u32) {
        let free = self.free;
        self.get_mut(slot).newer = free;
        self.free = slot;
    }

    fn memory(&self) -> usize {
        self.chunks
            .iter()
            .map(|chunk| chunk.capacity() * size_of::<Pending>())
            .sum()
    }
}

/// Slot numbers in the order of their entries' IDs.
#[derive(Clone, Debug, Default)]
pub(crate) struct SortedSlots {
    chunks: VecDeque<SortedChunk>,
    len: usize,
    /// Where one was removed last: acknowledgements come in order, so the next is likely there.
    removed_at: Place,
}

/// A chunk, and where in it.
type Place = (usize, usize);

#[derive(Clone, Debug)]
struct SortedChunk {
    /// Not above the first entry of this chunk, above all of the chunk before.
    first: EntryId,
    /// A ring: acknowledgements take from the front.
    slots: VecDeque<u32>,
}

impl SortedSlots {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    fn first(&self) -> Option<u32> {
        self.chunks.front()?.slots.front().copied()
    }

    fn last(&self) -> Option<u32> {
        self.chunks.back()?.slots.back().copied()
    }

    /// The chunk that holds `id` if any does.
    fn chunk_of(&self, id: EntryId) -> Option<usize> {
        self.chunks
            .partition_point(|chunk| chunk.first <= id)
            .checked_sub(1)
    }

    fn find(&self, slots: &Slots, id: EntryId) -> Option<u32> {
        let (chunk, at) = self.place(slots, id)?;
        Some(self.chunks[chunk].slots[at])
    }

    /// In which chunk the entry with that ID is, and where in it.
    fn place(&self, slots: &Slots, id: EntryId) -> Option<Place> {
        let chunk = self.chunk_of(id)?;
        let at = self.chunks[chunk].search(slots, id).ok()?;
        Some((chunk, at))
    }

    /// The same, if it may well be at the place `near`.
    fn place_near(&self, slots: &Slots, id: EntryId, near: Place) -> Option<Place> {
        let chunk = self.chunks.get(near.0);
        if chunk.is_some_and(|chunk| chunk.is_at(slots, near.1, id)) {
            return Some(near);
        }
        self.place(slots, id)
    }

    fn insert(&mut self, slots: &Slots, slot: u32) {
        let id = slots.get(slot).id;
        self.len += 1;
        if self.last().is_none_or(|last| slots.get(last).id < id) {
            self.push(id, slot);
        } else {
            self.insert_between(slots, id, slot);
        }
    }

    /// Adds a slot whose ID is above all others.
    fn push(&mut self, id: EntryId, slot: u32) {
        match self.chunks.back_mut() {
            Some(chunk) if chunk.slots.len() < SORTED_PER_CHUNK => {
                chunk.first = chunk.first.min(id);
                chunk.slots.push_back(slot);
            }
            _ => self.chunks.push_back(SortedChunk {
                first: id,
                slots: VecDeque::from([slot]),
            }),
        }
    }

    fn insert_between(&mut self, slots: &Slots, id: EntryId, slot: u32) {
        let index = self.chunk_of(id).unwrap_or(0);
        let chunk = &mut self.chunks[index];
        chunk.first = chunk.first.min(id);
        let at = chunk.rank(slots, id);
        chunk.slots.insert(at, slot);
        if chunk.slots.len() > SORTED_PER_CHUNK {
            let upper = chunk.slots.split_off(SORTED_PER_CHUNK / 2);
            let first = slots.get(upper[0]).id;
            self.chunks.insert(
                index + 1,
                SortedChunk {
                    first,
                    slots: upper,
                },
            );
        }
    }

    fn remove(&mut self, slots: &Slots, id: EntryId) -> Option<u32> {
        self.removed_at = self.place_near(slots, id, self.removed_at)?;
        let (index, at) = self.removed_at;
        let chunk = &mut self.chunks[index];
        let removed = chunk.slots.remove(at);
        self.len -= 1;
        let is_kept = self.len == 0 && chunk.slots.capacity() <= IDLE_SORTED_MAX;
        if chunk.slots.is_empty() && !is_kept {
            self.chunks.remove(index);
        }
        removed
    }

    fn from<'a>(
        &'a self,
        slots: &'a Slots,
        start: EntryId,
    ) -> impl Iterator<Item = &'a Pending> + 'a {
        let index = self.chunk_of(start).unwrap_or(0);
        let skip = self
            .chunks
            .get(index)
            .map_or(0, |chunk| chunk.rank(slots, start));
        let chunks = self.chunks.range(index.min(self.chunks.len())..);
        chunks
            .flat_map(|chunk| &chunk.slots)
            .skip(skip)
            .map(|&slot| slots.get(slot))
    }

    /// Bytes of memory.
    pub(crate) fn memory(&self) -> usize {
        let chunk = |chunk: &SortedChunk| size_of::<SortedChunk>() + chunk.slots.capacity() * 4;
        self.chunks.iter().map(chunk).sum()
    }
}

impl SortedChunk {
    /// Whether the entry with that ID stands at that place.
    fn is_at(&self, slots: &Slots, at: usize, id: EntryId) -> bool {
        let slot = self.slots.get(at);
        slot.is_some_and(|&slot| slots.get(slot).id == id)
    }

    fn search(&self, slots: &Slots, id: EntryId) -> Result<usize, usize> {
        self.slots
            .binary_search_by(|&slot| slots.get(slot).id.cmp(&id))
    }

    /// How many entries are below `id`.
    fn rank(&self, slots: &Slots, id: EntryId) -> usize {
        self.search(slots, id).unwrap_or_else(|at| at)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Op {
        Insert { ms: u64, consumer: usize, time: u64 },
        Ack { ms: u64 },
        Move { ms: u64, consumer: usize, time: u64 },
        GiveBack { ms: u64 },
    }

    fn op() -> impl Strategy<Value = Op> {
        let (ms, consumer, time) = (0u64..2000, 0usize..2, 0u64..50);
        prop_oneof![
            4 => (ms.clone(), consumer.clone(), time.clone())
                .prop_map(|(ms, consumer, time)| Op::Insert { ms, consumer, time }),
            2 => ms.clone().prop_map(|ms| Op::Ack { ms }),
            1 => ms.clone().prop_map(|ms| Op::GiveBack { ms }),
            1 => (ms, consumer, time)
                .prop_map(|(ms, consumer, time)| Op::Move { ms, consumer, time }),
        ]
    }

    /// ID to consumer and time.
    type Model = BTreeMap<EntryId, (usize, u64)>;

    fn run(list: &mut PendingList, consumers: &mut [SortedSlots; 2], model: &mut Model, op: &Op) {
        let entry = |ms| EntryId::new(ms, 0);
        match *op {
            Op::Insert { ms, consumer, time } => {
                let id = entry(ms);
                assert_eq!(list.find(id).is_some(), model.contains_key(&id));
                if list.find(id).is_none() {
                    let number = u32::try_from(consumer).unwrap();
                    let new = new_pending(id, number, time);
                    list.insert(new, Some(&mut consumers[consumer]));
                    model.insert(id, (consumer, time));
                }
            }
            Op::Ack { ms } => {
                let taken = list.take(entry(ms));
                assert_eq!(taken.is_some(), model.remove(&entry(ms)).is_some());
                if let Some(slot) = taken {
                    leave(list, consumers, slot);
                    list.release(slot);
                }
            }
            Op::Move { ms, consumer, time } => {
                if let Some(slot) = list.find(entry(ms)) {
                    leave(list, consumers, slot);
                    list.join(slot, &mut consumers[consumer]);
                    let number = u32::try_from(consumer).unwrap();
                    list.set(slot, new_pending(entry(ms), number, time));
                    model.insert(entry(ms), (consumer, time));
                }
            }
            Op::GiveBack { ms } => {
                if let Some(slot) = list.find(entry(ms)) {
                    leave(list, consumers, slot);
                    let turn = list.next_turn();
                    list.set(slot, new_pending(entry(ms), NOBODY, turn));
                    model.insert(entry(ms), (usize::MAX, turn));
                }
            }
        }
    }

    fn leave(list: &PendingList, consumers: &mut [SortedSlots; 2], slot: u32) {
        let holder = list.get(slot).consumer as usize;
        if let Some(holder) = consumers.get_mut(holder) {
            list.leave(slot, holder);
        }
    }

    fn new_pending(id: EntryId, consumer: u32, delivered_ms: u64) -> NewPending {
        NewPending {
            id,
            delivered_ms,
            delivery_count: 2,
            consumer,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 48,
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn all_orders_agree_with_a_map(
            ops in proptest::collection::vec(op(), 1..3000),
            start in 0u64..2000,
        ) {
            let (mut list, mut consumers) = (PendingList::default(), Default::default());
            let mut model = Model::new();
            for op in &ops {
                run(&mut list, &mut consumers, &mut model, op);
            }
            let start = EntryId::new(start, 0);
            let ids: Vec<_> = list.from(start).map(|entry| entry.id).collect();
            prop_assert_eq!(ids, model.range(start..).map(|(id, _)| *id).collect::<Vec<_>>());
            for (number, consumer) in consumers.iter().enumerate() {
                let ids: Vec<_> = list.of_consumer(consumer, start).map(|entry| entry.id).collect();
                let of = model.range(start..).filter(|(_, held)| held.0 == number);
                prop_assert_eq!(ids, of.map(|(id, _)| *id).collect::<Vec<_>>());
            }
            let is_owned = |held: &(usize, u64)| held.0 != usize::MAX;
            let mut by_time: Vec<_> =
                model.iter().map(|(id, held)| (is_owned(held), held.1, *id)).collect();
            by_time.sort_unstable();
            let by_time: Vec<_> = by_time.iter().map(|held| held.2).collect();
            let oldest: Vec<_> = list.oldest_first().map(|entry| entry.id).collect();
            prop_assert_eq!(&oldest, &by_time);

            let (mut restored, mut fresh) = (PendingList::default(), SortedSlots::default());
            for entry in list.from(EntryId::MIN) {
                let &Pending { id, delivered_ms, delivery_count, consumer, .. } = entry;
                let entry = NewPending { id, delivered_ms, delivery_count, consumer };
                prop_assert!(restored.restore(entry, Some(&mut fresh)));
                prop_assert!(!restored.restore(entry, Some(&mut fresh)));
            }
            restored.order_by_time();
            let oldest: Vec<_> = restored.oldest_first().map(|entry| entry.id).collect();
            prop_assert_eq!(oldest, by_time);
            prop_assert_eq!(list.len(), model.len());
            let given_back = model.values().filter(|held| !is_owned(held)).count();
            prop_assert_eq!(list.given_back() as usize, given_back);
            prop_assert_eq!(list.bounds().map(|bounds| bounds.0), model.keys().next().copied());
        }
    }
}

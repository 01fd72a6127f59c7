//! What the producers of a stream sent lately: the IDs that they gave to their messages, each with
//! the entry that came of it, so that a message that is sent again is not added again.
//!
//! ```text
//! producer  order [ iid entry ][ iid entry ] ...   oldest first; numbered from `first`
//!           table hash(iid) -> number
//! ```
//!
//! How much is remembered is bounded for each producer by a count and by the age of the entries.
//! Both are outcomes in the log, so a replay needs neither the settings nor a clock.

use std::collections::{BTreeMap, VecDeque};
use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::id::EntryId;
use crate::limits::{IID_SECONDS_DEFAULT, IIDS_MAX_DEFAULT};

/// What is remembered of a stream's producers, and for how long.
#[derive(Clone, Debug)]
pub(crate) struct Producers {
    pub(crate) settings: Settings,
    /// Messages that were ever remembered.
    pub(crate) added: u64,
    /// Messages that were sent again.
    pub(crate) repeated: u64,
    by_name: BTreeMap<Box<[u8]>, Producer>,
    hasher: DefaultHashBuilder,
}

/// How much is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// For how many seconds.
    pub seconds: u32,
    /// How many messages of each producer.
    pub count_max: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seconds: IID_SECONDS_DEFAULT,
            count_max: IIDS_MAX_DEFAULT,
        }
    }
}

impl Settings {
    /// Entries up to this time are too old to be remembered.
    pub(crate) fn forgotten_ms(self, now_ms: u64) -> Option<u64> {
        now_ms.checked_sub(u64::from(self.seconds) * 1000)
    }
}

#[derive(Clone, Debug, Default)]
struct Producer {
    order: VecDeque<Sent>,
    /// The number of the first in `order`.
    first: u64,
    /// Numbers by what they were sent as.
    table: HashTable<u64>,
}

/// A message, and the entry that came of it.
#[derive(Clone, Debug)]
struct Sent {
    iid: Box<[u8]>,
    entry: EntryId,
}

impl Default for Producers {
    fn default() -> Self {
        Self::new(Settings::default())
    }
}

impl Producers {
    /// Nothing is remembered yet.
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            added: 0,
            repeated: 0,
            by_name: BTreeMap::new(),
            hasher: DefaultHashBuilder::default(),
        }
    }

    /// The entry that came of a message.
    pub(crate) fn find(&self, producer: &[u8], iid: &[u8]) -> Option<EntryId> {
        let producer = self.by_name.get(producer)?;
        let number = producer.number_of(self.hasher.hash_one(iid), iid)?;
        producer.sent(number).map(|sent| sent.entry)
    }

    /// How many messages of a producer are remembered.
    pub(crate) fn count_of(&self, producer: &[u8]) -> usize {
        self.by_name
            .get(producer)
            .map_or(0, |producer| producer.order.len())
    }

    /// Remembers a message; `kept` are remembered of its producer then, it among them.
    pub(crate) fn remember(&mut self, producer: &[u8], iid: &[u8], entry: EntryId, kept: u32) {
        self.added = self.added.saturating_add(1);
        let hasher = &self.hasher;
        if !self.by_name.contains_key(producer) {
            self.by_name.insert(producer.into(), Producer::default());
        }
        let found = self.by_name.get_mut(producer);
        let producer = found.expect("it was there or has just been made");
        if let Some(number) = producer.number_of(hasher.hash_one(iid), iid) {
            producer.forget_one(hasher, number);
        }
        while producer.order.len() >= (kept as usize).max(1) {
            producer.forget_first(hasher);
        }
        let number = producer.first + producer.order.len() as u64;
        let sent = Sent {
            iid: iid.into(),
            entry,
        };
        producer.order.push_back(sent);
        let Producer {
            order,
            first,
            table,
        } = producer;
        let hash_of = |&number: &u64| hash_at(hasher, order, number - *first);
        table.insert_unique(hasher.hash_one(iid), number, hash_of);
    }

    /// Forgets the oldest messages as long as their entries are not younger than `until_ms`.
    pub(crate) fn forget(&mut self, until_ms: u64) {
        let hasher = &self.hasher;
        self.by_name.retain(|_, producer| {
            while producer.is_first_due(until_ms) {
                producer.forget_first(hasher);
            }
            !producer.order.is_empty()
        });
    }

    /// Whether there is anything to forget.
    pub(crate) fn has_due(&self, until_ms: u64) -> bool {
        let mut producers = self.by_name.values();
        producers.any(|producer| producer.is_first_due(until_ms))
    }

    /// Producers of which anything is remembered.
    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Messages that are remembered of all producers.
    pub(crate) fn messages(&self) -> usize {
        self.by_name
            .values()
            .map(|producer| producer.order.len())
            .sum()
    }

    /// What is remembered, of one producer after the other, the oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8], EntryId)> {
        self.by_name.iter().flat_map(|(name, producer)| {
            let sent = producer.order.iter();
            sent.map(move |sent| (&**name, &*sent.iid, sent.entry))
        })
    }

    /// Bytes of memory, roughly.
    pub(crate) fn memory(&self) -> usize {
        let of_producer = |name: &[u8], producer: &Producer| {
            let iids = producer.order.iter().map(|sent| sent.iid.len());
            let table = producer.table.capacity() * (size_of::<u64>() + 1);
            name.len() + producer.order.capacity() * size_of::<Sent>() + iids.sum::<usize>() + table
        };
        size_of::<Self>()
            + self
                .by_name
                .iter()
                .map(|(name, producer)| of_producer(name, producer))
                .sum::<usize>()
    }
}

impl Producer {
    fn number_of(&self, hash: u64, iid: &[u8]) -> Option<u64> {
        let is_it = |&number: &u64| self.sent(number).is_some_and(|sent| *sent.iid == *iid);
        self.table.find(hash, is_it).copied()
    }

    fn sent(&self, number: u64) -> Option<&Sent> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.order.get(at)
    }

    fn is_first_due(&self, until_ms: u64) -> bool {
        self.order
            .front()
            .is_some_and(|sent| sent.entry.ms <= until_ms)
    }

    fn forget_first(&mut self, hasher: &DefaultHashBuilder) {
        if let Some(sent) = self.order.pop_front() {
            let hash = hasher.hash_one(&*sent.iid);
            let number = self.first;
            if let Ok(entry) = self.table.find_entry(hash, |&other| other == number) {
                entry.remove();
            }
            self.first += 1;
        }
    }

    /// Forgets one message anywhere in the order, which is rare: it makes the table anew.
    fn forget_one(&mut self, hasher: &DefaultHashBuilder, number: u64) {
        let at = number.checked_sub(self.first);
        let Some(at) = at.and_then(|at| usize::try_from(at).ok()) else {
            return;
        };
        self.order.remove(at);
        self.table.clear();
        let Self {
            order,
            first,
            table,
        } = self;
        for at in 0..order.len() as u64 {
            let hash_of = |&number: &u64| hash_at(hasher, order, number - *first);
            table.insert_unique(hash_at(hasher, order, at), *first + at, hash_of);
        }
    }
}

fn hash_at(hasher: &DefaultHashBuilder, order: &VecDeque<Sent>, at: u64) -> u64 {
    let sent = usize::try_from(at).ok().and_then(|at| order.get(at));
    sent.map_or(0, |sent| hasher.hash_one(&*sent.iid))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Op {
        Send { producer: u8, iid: u8, kept: u32 },
        Forget { until_ms: u64 },
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            9 => (0u8..3, 0u8..20, 1u32..8)
                .prop_map(|(producer, iid, kept)| Op::Send { producer, iid, kept }),
            1 => (0u64..300).prop_map(|until_ms| Op::Forget { until_ms }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_remembered_is_what_a_list_holds(ops in proptest::collection::vec(op(), 1..200)) {
            let mut producers = Producers::default();
            let mut model: [Vec<(u8, EntryId)>; 3] = Default::default();
            for (tick, op) in ops.iter().enumerate() {
                match *op {
                    Op::Send { producer, iid, kept } => {
                        // Most entries grow with time, some do not.
                        let ms = if tick % 9 == 0 { 7 } else { tick as u64 };
                        let entry = EntryId::new(ms, tick as u64);
                        producers.remember(&[producer], &[iid], entry, kept);
                        let sent = &mut model[usize::from(producer)];
                        sent.retain(|(other, _)| *other != iid);
                        let surplus = (sent.len() + 1).saturating_sub(kept as usize);
                        sent.drain(..surplus);
                        sent.push((iid, entry));
                    }
                    Op::Forget { until_ms } => {
                        let is_due = |sent: &(u8, EntryId)| sent.1.ms <= until_ms;
                        let has_due = model.iter().any(|sent| sent.first().is_some_and(is_due));
                        prop_assert_eq!(producers.has_due(until_ms), has_due);
                        producers.forget(until_ms);
                        for sent in &mut model {
                            sent.drain(..sent.iter().take_while(|it| is_due(it)).count());
                        }
                    }
                }
                for (producer, sent) in (0u8..).zip(&model) {
                    prop_assert_eq!(producers.count_of(&[producer]), sent.len());
                    for iid in 0u8..20 {
                        let found = sent.iter().find(|(other, _)| *other == iid);
                        let expected = found.map(|(_, entry)| *entry);
                        prop_assert_eq!(producers.find(&[producer], &[iid]), expected);
                    }
                }
                let listed: Vec<_> = producers.iter().map(|(_, iid, _)| iid[0]).collect();
                let expected: Vec<_> = model.iter().flatten().map(|(iid, _)| *iid).collect();
                prop_assert_eq!(listed, expected);
                let names = model.iter().filter(|sent| !sent.is_empty()).count();
                prop_assert_eq!(producers.len(), names);
                prop_assert_eq!(producers.messages(), model.iter().flatten().count());
            }
        }
    }
}

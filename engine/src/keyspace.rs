//! The keyspace: names to streams, in 16 databases.
//!
//! ```text
//! databases  name -> slot     a hash table of slots each; the names are in the streams
//! slots      [ stream | - | stream | ... ]
//! ```
//!
//! A stream's number holds its slot in the low half and, so that numbers are never used again, the
//! slot's generation in the high half. A scan goes by slot, so a key that is there during the whole
//! scan is met. While a log is replayed streams are found by number only, and may for a while bear
//! the same name; [`Keyspace::build_tables`] makes the tables when the state is whole.

mod table;

use std::collections::BTreeSet;
use std::hash::BuildHasher;
use std::hint::black_box;

use hashbrown::DefaultHashBuilder;

use crate::Lsn;
use crate::group::Contradiction;
use crate::limits::{DATABASES, KEYS_AT_ONCE};
use crate::retention::{Lines, Place};
use crate::stream::Stream;
use table::Table;

/// Names to streams.
pub(crate) struct Keyspace {
    slots: Vec<Slot>,
    /// Slots that were vacated, and maybe taken again since.
    vacant: Vec<u32>,
    /// The first generation of slots that are not in `slots` yet.
    generation_floor: u32,
    /// A generation that no slot has reached.
    generation_bound: u32,
    databases: Vec<Database>,
    /// Streams that remember what producers sent, or did so lately.
    remembering: BTreeSet<u32>,
    /// The streams that are to be looked at for what they may let go.
    pub(crate) lines: Lines,
    /// Which physical database a logical number means.
    pub(crate) mapping: [u8; DATABASES as usize],
    hasher: DefaultHashBuilder,
    /// Streams of a physical database that were last changed before this are gone, though still in
    /// their slots: the database was flushed.
    flushed: [Lsn; DATABASES as usize],
    /// How many such streams there are.
    flushed_count: u64,
    /// Where they are looked for next.
    flushed_slot: u32,
    /// Whether the tables of names are there; not while a log is replayed.
    has_tables: bool,
}

#[derive(Default)]
struct Slot {
    /// The generation of the next stream in this slot.
    next_generation: u32,
    stream: Option<Box<Stream>>,
}

/// Names and expiries of one database.
#[derive(Default)]
pub(crate) struct Database {
    names: Table,
    /// Keys that expire, by time.
    expiring: BTreeSet<(u64, u32)>,
}

const NO_DATABASE: Contradiction = "a record names a database that does not exist";

/// The name of the stream in a slot.
fn key_in(slots: &[Slot], slot: u32) -> &[u8] {
    let slot = slots.get(slot as usize);
    let stream = slot.and_then(|slot| slot.stream.as_deref());
    stream.map_or(&[], |stream| &stream.key)
}

/// The slot of a stream with that number.
pub(crate) fn slot_of(number: u64) -> u32 {
    u32::try_from(number & u64::from(u32::MAX)).expect("the low half")
}

fn is_flushed(stream: &Stream, flushed: &[Lsn; DATABASES as usize]) -> bool {
    stream.modified < flushed[usize::from(stream.db)]
}

fn number(generation: u32, slot: u32) -> u64 {
    (u64::from(generation) << 32) | u64::from(slot)
}

/// The generation of a stream with that number.
fn generation_of(number: u64) -> u32 {
    u32::try_from(number >> 32).expect("the high half")
}

impl Keyspace {
    pub(crate) fn new() -> Self {
        let identity = std::array::from_fn(|db| u8::try_from(db).expect("16 databases"));
        Self {
            slots: Vec::new(),
            vacant: Vec::new(),
            generation_floor: 0,
            generation_bound: 0,
            databases: (0..DATABASES).map(|_| Database::default()).collect(),
            remembering: BTreeSet::new(),
            lines: Lines::default(),
            mapping: identity,
            hasher: DefaultHashBuilder::default(),
            flushed: [Lsn::ZERO; DATABASES as usize],
            flushed_count: 0,
            flushed_slot: 0,
            has_tables: true,
        }
    }

    /// The slot of the stream with that name in a physical database.
    pub(crate) fn find(&self, db: u8, key: &[u8]) -> Option<u32> {
        let names = &self.databases.get(usize::from(db))?.names;
        let is_it = |&slot: &u32| self.stream(slot).is_some_and(|stream| *stream.key == *key);
        names.find(self.hasher.hash_one(key), is_it)
    }

    /// Reads what commands on the first of these keys will look at. Each step is a loop of its own
    /// with little in it, so that the processor waits for the memory of all keys at the same time.
    pub(crate) fn warm(&self, db: u8, keys: &[&[u8]]) {
        let Some(Database { names, .. }) = self.databases.get(usize::from(db)) else {
            return;
        };
        let count = keys.len().min(KEYS_AT_ONCE);
        let mut hashes = [0; KEYS_AT_ONCE];
        for (hash, key) in hashes.iter_mut().zip(keys) {
            *hash = self.hasher.hash_one(key);
        }
        let mut slots = [None; KEYS_AT_ONCE];
        for (slot, &hash) in slots.iter_mut().zip(&hashes[..count]) {
            // A key whose hash begins alike may be taken for it: rarely, and only speed is lost.
            *slot = names.find(hash, |_| true);
        }
        let mut streams = [None; KEYS_AT_ONCE];
        for (stream, &slot) in streams.iter_mut().zip(&slots[..count]) {
            *stream = slot.and_then(|slot| self.slots.get(slot as usize)?.stream.as_deref());
        }
        let streams = streams[..count].iter().flatten();
        for stream in streams.clone() {
            stream.warm();
        }
        for stream in streams {
            black_box((stream.key.first(), stream.index.warm()));
        }
    }

    /// The stream in a slot.
    pub(crate) fn stream(&self, slot: u32) -> Option<&Stream> {
        let stream = self.slots.get(slot as usize)?.stream.as_deref()?;
        (!is_flushed(stream, &self.flushed)).then_some(stream)
    }

    /// The stream in a slot, to change it.
    pub(crate) fn stream_mut(&mut self, slot: u32) -> Option<&mut Stream> {
        let stream = self.slots.get_mut(slot as usize)?.stream.as_deref_mut()?;
        (!is_flushed(stream, &self.flushed)).then_some(stream)
    }

    /// The stream with that number.
    pub(crate) fn by_number(&self, number: u64) -> Option<&Stream> {
        self.stream(slot_of(number))
            .filter(|stream| stream.number == number)
    }

    /// The stream with that number, to change it.
    pub(crate) fn by_number_mut(&mut self, number: u64) -> Option<&mut Stream> {
        self.stream_mut(slot_of(number))
            .filter(|stream| stream.number == number)
    }

    /// The number by which commands know a database.
    pub(crate) fn logical(&self, physical: u8) -> u8 {
        let mut mapping = (0..).zip(self.mapping);
        let found = mapping.find(|&(_, mapped)| mapped == physical);
        found.map_or(physical, |(db, _)| db)
    }

    /// How many slots there are, vacant ones included.
    pub(crate) fn slot_count(&self) -> u32 {
        u32::try_from(self.slots.len()).unwrap_or(u32::MAX)
    }

    /// All streams, by slot.
    pub(crate) fn streams(&self) -> impl Iterator<Item = &Stream> {
        (0..self.slot_count()).filter_map(|slot| self.stream(slot))
    }

    /// A number for a new stream.
    pub(crate) fn free_number(&mut self) -> u64 {
        // A slot whose generations are used up is not used again.
        let is_vacant = |slot: &Slot| slot.stream.is_none() && slot.next_generation < u32::MAX;
        while let Some(&slot) = self.vacant.last() {
            if let Some(vacant) = self.slots.get(slot as usize).filter(|slot| is_vacant(slot)) {
                return number(vacant.next_generation, slot);
            }
            self.vacant.pop();
        }
        number(self.generation_floor, self.slot_count())
    }

    /// A generation that no slot has reached.
    pub(crate) fn generation_bound(&self) -> u32 {
        self.generation_bound
    }

    /// Says that slots, whatever is in them now, may have had generations below `bound`.
    pub(crate) fn raise_generations(&mut self, bound: u32) {
        self.generation_floor = self.generation_floor.max(bound);
        self.generation_bound = self.generation_bound.max(bound);
        for slot in self.slots.iter_mut().filter(|slot| slot.stream.is_none()) {
            slot.next_generation = slot.next_generation.max(bound);
        }
    }

    /// Adds a stream under its number.
    pub(crate) fn insert(&mut self, stream: Box<Stream>) -> Result<(), Contradiction> {
        let slot = slot_of(stream.number);
        let index = slot as usize;
        if index >= self.slots.len() {
            if index - self.slots.len() > SLOT_GAP_MAX {
                return Err("a record makes a stream with a number out of order");
            }
            for gap in self.slot_count()..slot {
                self.vacant.push(gap);
            }
            let next_generation = self.generation_floor;
            self.slots.resize_with(index + 1, || Slot {
                next_generation,
                stream: None,
            });
        }
        if self.slots[index].stream.is_some() {
            return Err("a record makes a stream that exists");
        }
        let (db, expiry) = (stream.db, stream.expiry_ms());
        let next_generation = generation_of(stream.number).saturating_add(1);
        self.generation_bound = self.generation_bound.max(next_generation);
        self.slots[index].next_generation = next_generation;
        if stream.producers().is_some() {
            self.remembering.insert(slot);
        }
        self.slots[index].stream = Some(stream);
        self.name(slot, db)?;
        self.expect_expiry(slot, db, expiry);
        Ok(())
    }

    /// Removes a stream.
    pub(crate) fn remove(&mut self, slot: u32) -> Option<Box<Stream>> {
        self.unname(slot);
        let mut removed = self.slots.get_mut(slot as usize)?.stream.take()?;
        self.lines.wait(slot, &mut removed.place, None);
        self.vacant.push(slot);
        self.forget_expiry(slot, removed.db, removed.expiry_ms());
        Some(removed)
    }

    /// Gives a stream another name.
    pub(crate) fn rename(&mut self, slot: u32, db: u8, key: &[u8]) -> Result<(), Contradiction> {
        self.unname(slot);
        let Some(stream) = self.stream_mut(slot) else {
            return Err("a record moves a stream that does not exist");
        };
        let from = std::mem::replace(&mut stream.db, db);
        stream.key = key.into();
        let expiry = stream.expiry_ms();
        self.forget_expiry(slot, from, expiry);
        self.expect_expiry(slot, db, expiry);
        self.name(slot, db)
    }

    /// A stream remembers what a producer sent.
    pub(crate) fn remembers(&mut self, slot: u32) {
        self.remembering.insert(slot);
    }

    /// A stream, and where it waits to be looked at, to change that.
    pub(crate) fn place_mut(&mut self, slot: u32) -> Option<(&mut Lines, &mut Place)> {
        let stream = self.slots.get_mut(slot as usize)?.stream.as_deref_mut()?;
        let is_there = !is_flushed(stream, &self.flushed);
        is_there.then_some((&mut self.lines, &mut stream.place))
    }

    /// A stream remembers nothing any more.
    pub(crate) fn remembers_nothing(&mut self, slot: u32) {
        self.remembering.remove(&slot);
    }

    /// The slots of streams that may remember something, from `from` on.
    pub(crate) fn remembering(&self, from: u32) -> impl Iterator<Item = u32> {
        self.remembering.range(from..).copied()
    }

    /// Keeps the order of expiries when one changes.
    pub(crate) fn move_expiry(&mut self, slot: u32, from: Option<u64>, to: Option<u64>) {
        if let Some(db) = self.stream(slot).map(|stream| stream.db) {
            self.forget_expiry(slot, db, from);
            self.expect_expiry(slot, db, to);
        }
    }

    fn expect_expiry(&mut self, slot: u32, db: u8, expiry: Option<u64>) {
        if let (Some(expiry), true) = (expiry, self.has_tables) {
            self.databases[usize::from(db)]
                .expiring
                .insert((expiry, slot));
        }
    }

    fn forget_expiry(&mut self, slot: u32, db: u8, expiry: Option<u64>) {
        if let (Some(expiry), true) = (expiry, self.has_tables) {
            self.databases[usize::from(db)]
                .expiring
                .remove(&(expiry, slot));
        }
    }

    /// Enters a stream into the table of its database.
    fn name(&mut self, slot: u32, db: u8) -> Result<(), Contradiction> {
        let db = usize::from(db);
        if db >= self.databases.len() {
            return Err(NO_DATABASE);
        }
        if !self.has_tables {
            return Ok(());
        }
        let hash = self.hasher.hash_one(key_in(&self.slots, slot));
        self.enter(slot, db, hash)
    }

    /// The same of a stream whose name has that hash.
    fn enter(&mut self, slot: u32, db: usize, hash: u64) -> Result<(), Contradiction> {
        let Self {
            slots,
            databases,
            hasher,
            ..
        } = self;
        let names = &mut databases[db].names;
        let is_same = |&other: &u32| key_in(slots, other) == key_in(slots, slot);
        if names.find(hash, is_same).is_some() {
            return Err("two streams bear the same name");
        }
        names.insert(hash, slot, |&other| hasher.hash_one(key_in(slots, other)));
        Ok(())
    }

    fn unname(&mut self, slot: u32) {
        let Some(stream) = self.stream(slot) else {
            return;
        };
        let (hash, db) = (self.hasher.hash_one(&*stream.key), usize::from(stream.db));
        self.databases[db].names.remove(hash, slot);
    }

    /// Replay begins: streams are found by number only from now on.
    pub(crate) fn drop_tables(&mut self) {
        self.has_tables = false;
        self.databases
            .iter_mut()
            .for_each(|database| *database = Database::default());
    }

    /// Replay is over: builds the tables of names and expiries.
    pub(crate) fn build_tables(&mut self) -> Result<(), (u64, Contradiction)> {
        self.has_tables = true;
        self.vacant.clear();
        // In the order of slots, because that is about the one in which they lie in memory.
        let mut hashes = vec![Vec::new(); self.databases.len()];
        for slot in 0..self.slot_count() {
            let Some(stream) = self.stream(slot) else {
                self.vacant.push(slot);
                continue;
            };
            let (number, db, expiry) = (stream.number, stream.db, stream.expiry_ms());
            let hash = self.hasher.hash_one(&*stream.key);
            let hashes = hashes.get_mut(usize::from(db));
            let hashes = hashes.ok_or((number, NO_DATABASE))?;
            hashes.push((hash, slot));
            self.expect_expiry(slot, db, expiry);
        }
        for (db, hashes) in hashes.into_iter().enumerate() {
            self.databases[db]
                .names
                .reserve(hashes.iter().map(|(hash, _)| *hash));
            for (hash, slot) in hashes {
                let entered = self.enter(slot, db, hash);
                let number = || self.stream(slot).map_or(0, |stream| stream.number);
                entered.map_err(|what| (number(), what))?;
            }
        }
        Ok(())
    }

    /// Lets go of all streams of a physical database at once: those that were last changed before
    /// `lsn`. They stay in their slots until [`Keyspace::take_flushed`] has taken them all.
    pub(crate) fn flush(&mut self, db: u8, lsn: Lsn) -> Database {
        let gone = std::mem::take(&mut self.databases[usize::from(db)]);
        self.flushed[usize::from(db)] = lsn;
        self.flushed_count += gone.names.len() as u64;
        self.flushed_slot = 0;
        gone
    }

    /// How many streams of flushed databases are still in their slots.
    pub(crate) fn flushed_count(&self) -> u64 {
        self.flushed_count
    }

    /// Takes streams of flushed databases out of the next `count` slots.
    #[expect(
        clippy::vec_box,
        reason = "a pointer is moved faster, and may be handed on"
    )]
    pub(crate) fn take_flushed(&mut self, count: u32) -> Vec<Box<Stream>> {
        let first = self.flushed_slot;
        self.flushed_slot = self.slot_count().min(first.saturating_add(count));
        let mut taken = Vec::new();
        for slot in first..self.flushed_slot {
            let flushed = &self.flushed;
            let stream = &mut self.slots[slot as usize].stream;
            if let Some(mut stream) = stream.take_if(|stream| is_flushed(stream, flushed)) {
                self.lines.wait(slot, &mut stream.place, None);
                self.vacant.push(slot);
                taken.push(stream);
            }
        }
        self.flushed_count -= taken.len() as u64;
        assert!(
            self.flushed_count == 0 || self.flushed_slot < self.slot_count(),
            "streams of flushed databases are in their slots"
        );
        taken
    }

    /// The slots of the streams in a physical database, in no order.
    pub(crate) fn slots_in(&self, db: u8) -> Vec<u32> {
        let is_in = |slot: &u32| self.stream(*slot).is_some_and(|stream| stream.db == db);
        (0..self.slot_count()).filter(is_in).collect()
    }

    /// Number of streams in a physical database.
    pub(crate) fn count(&self, db: u8) -> usize {
        self.databases
            .get(usize::from(db))
            .map_or(0, |database| database.names.len())
    }

    /// Number of streams in a physical database that expire.
    pub(crate) fn expiring_count(&self, db: u8) -> usize {
        self.databases
            .get(usize::from(db))
            .map_or(0, |database| database.expiring.len())
    }

    /// The slot whose stream expires first of all.
    pub(crate) fn first_expiring(&self) -> Option<(u64, u32)> {
        self.databases
            .iter()
            .filter_map(|database| database.expiring.first().copied())
            .min()
    }
}

/// How far the slot of a new stream may lie behind the last one: streams that are missing between
/// were removed before the checkpoint came to them.
const SLOT_GAP_MAX: usize = 1 << 28;

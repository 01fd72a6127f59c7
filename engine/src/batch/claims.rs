//! Operations that move pending entries to another consumer.

use std::collections::HashSet;

use super::cold::ahead;
use super::groups::{Found, ids_len_max, visit_len_max};
use super::{Batch, Member, check_len};
use crate::entries::Entries;
use crate::error::Result;
use crate::format::record::{self, GroupChange};
use crate::group::Pending;
use crate::id::EntryId;
use crate::index::Position;
use crate::limits::{NAME_LEN_MAX, RECORD_IDS_MAX};
use crate::log::Growth;

/// Which pending entries to claim, and what becomes of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Claim<'a> {
    /// Only entries that were delivered at least this long ago.
    pub min_idle_ms: u64,
    /// The entries.
    pub ids: &'a [EntryId],
    /// The delivery time to set; now if `None`.
    pub delivery_time_ms: Option<u64>,
    /// The delivery count to set; one more than it was if `None` (and not `just_id`).
    pub delivery_count: Option<u64>,
    /// Whether entries that are in the stream but not pending become pending.
    pub force: bool,
    /// Whether the caller wants only IDs: the delivery count stays.
    pub just_id: bool,
    /// Moves the group's cursor up to this ID.
    pub last_id: Option<EntryId>,
}

/// What a claim got.
#[derive(Debug)]
pub struct Claimed {
    /// The entries; empty if only IDs were wanted.
    pub entries: Entries,
    /// Their IDs.
    pub ids: Vec<EntryId>,
    /// Whether the consumer was made by this call.
    pub consumer_created: bool,
}

/// Where to look for idle pending entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AutoClaim {
    /// Only entries that were delivered at least this long ago.
    pub min_idle_ms: u64,
    /// The lowest ID to look at.
    pub start: EntryId,
    /// Most entries to claim; ten times as many are looked at. If none of these is idle, and a
    /// thousand or more are pending, those that are not are skipped as far as that is cheap.
    pub count: usize,
    /// Whether the caller wants only IDs: the delivery count stays.
    pub just_id: bool,
}

/// What a scan for idle pending entries got.
#[derive(Debug)]
pub struct AutoClaimed {
    /// What was claimed.
    pub claimed: Claimed,
    /// Where to go on; `0-0` at the end.
    pub next: EntryId,
    /// Pending entries that were dropped, because the stream no longer has them.
    pub deleted: Vec<EntryId>,
}

impl Batch<'_> {
    /// Makes pending entries pending for another consumer, which is made if there is none.
    ///
    /// # Errors
    ///
    /// [`NoSuchKey`](crate::Error::NoSuchKey), [`NoSuchGroup`](crate::Error::NoSuchGroup),
    /// [`TooLarge`](crate::Error::TooLarge).
    pub fn claim(
        &mut self,
        db: u8,
        key: &[u8],
        member: Member<'_>,
        claim: &Claim<'_>,
    ) -> Result<Claimed> {
        let found = self.find_group(db, key, member.group)?;
        check_len("consumer name", member.consumer, NAME_LEN_MAX)?;
        let places = self.places_of(found, claim.ids)?;
        let len = 2 * visit_len_max(member.consumer) + 2 * ids_len_max(claim.ids.len());
        self.admit(len, Growth::Grows)?;
        self.raise_cursor(found, claim.last_id);
        let (consumer, consumer_created) = self.consumer_of(found, member.consumer);
        let mut claimed = Claimed {
            entries: Entries::default(),
            ids: Vec::new(),
            consumer_created,
        };
        // An ID that is named twice is claimed twice: the second time meets what the first left.
        let mut rest = &places[..];
        while !rest.is_empty() {
            let (part, others) = rest.split_at(distinct_prefix(rest).min(RECORD_IDS_MAX));
            let part = self.claim_distinct(found, consumer, part, claim);
            claimed.ids.extend(part.iter().map(|&(id, _)| id));
            if !claim.just_id {
                let places = part.iter().map(|&(_, position)| position);
                self.plan(found.0, &mut claimed.entries, places)?;
            }
            rest = others;
        }
        if claimed.ids.is_empty() {
            self.see(found, consumer);
        }
        Ok(claimed)
    }

    /// Claims what is idle, in the order of IDs.
    ///
    /// # Errors
    ///
    /// [`NoSuchKey`](crate::Error::NoSuchKey), [`NoSuchGroup`](crate::Error::NoSuchGroup),
    /// [`TooLarge`](crate::Error::TooLarge).
    pub fn auto_claim(
        &mut self,
        db: u8,
        key: &[u8],
        member: Member<'_>,
        claim: AutoClaim,
    ) -> Result<AutoClaimed> {
        let found = self.find_group(db, key, member.group)?;
        check_len("consumer name", member.consumer, NAME_LEN_MAX)?;
        let mut scan = self.scan_idle(found, claim)?;
        if scan.is_in_vain() {
            scan = self.scan_idlest(found, claim, scan)?;
        }
        let listed = scan.claimed.len() + scan.gone.len();
        let len = 2 * visit_len_max(member.consumer) + 2 * ids_len_max(listed);
        self.admit(len, Growth::Grows)?;
        let (consumer, consumer_created) = self.consumer_of(found, member.consumer);
        self.drop_pending(found, &scan.gone);
        self.assign(found, consumer, &scan.claimed);
        if scan.claimed.is_empty() {
            self.see(found, consumer);
        }
        let ids = scan.claimed.iter().map(|entry| entry.id).collect();
        let claimed = Claimed {
            entries: scan.entries,
            ids,
            consumer_created,
        };
        Ok(AutoClaimed {
            claimed,
            next: scan.next,
            deleted: scan.gone,
        })
    }

    /// Where the stream has the entries with these IDs.
    fn places_of(&self, (slot, _): Found, ids: &[EntryId]) -> Result<Vec<Place>> {
        let (index, log) = (&self.stream_in(slot).index, &self.guard.log);
        let place = |(at, &id): (usize, &EntryId)| {
            let found = index.find(id, log);
            let rest = ids[at..].iter().copied();
            Ok((id, found.map_err(|error| ahead(error, (index, log), rest))?))
        };
        ids.iter().enumerate().map(place).collect()
    }

    /// Moves a group's cursor up to `id`, never down.
    fn raise_cursor(&mut self, found: Found, id: Option<EntryId>) {
        let group = self.group_in(found.0, found.1);
        if let Some(cursor) = id.filter(|&id| id > group.cursor) {
            let entries_read = group.entries_read;
            self.commit_to_group(
                found,
                GroupChange::CursorSet {
                    cursor,
                    entries_read,
                },
            );
            self.count(1);
        }
    }

    /// Claims entries of different IDs; returns those that were claimed, and where they lie.
    fn claim_distinct(
        &mut self,
        found: Found,
        consumer: u32,
        places: &[Place],
        claim: &Claim<'_>,
    ) -> Vec<(EntryId, Position)> {
        let pending = &self.group_in(found.0, found.1).pending;
        let time = claim
            .delivery_time_ms
            .map_or(self.now_ms, |time| time.min(self.now_ms));
        let (mut gone, mut claimed, mut taken) = (Vec::new(), Vec::new(), Vec::new());
        for &(id, position) in places {
            let held = pending.find(id).map(|slot| pending.get(slot));
            let Some(position) = position else {
                gone.extend(held.map(|_| id));
                continue;
            };
            let is_idle = |held: &Pending| held.is_idle(claim.min_idle_ms, self.now_ms);
            if held.map_or(!claim.force, |held| !is_idle(held)) {
                continue;
            }
            // Redis counts the making of a forced entry as its first delivery.
            let count = held.map_or(1, |held| held.delivery_count);
            let more = count.saturating_add(u64::from(!claim.just_id));
            let delivery_count = claim.delivery_count.unwrap_or(more);
            claimed.push(record::Claimed {
                id,
                delivered_ms: time,
                delivery_count,
            });
            taken.push((id, position));
        }
        self.drop_pending(found, &gone);
        self.assign(found, consumer, &claimed);
        taken
    }

    /// Looks for idle entries, in the order of IDs.
    fn scan_idle(&self, (slot, group): Found, claim: AutoClaim) -> Result<IdleScan> {
        let (stream, log) = (self.stream_in(slot), &self.guard.log);
        let pending = &self.group_in(slot, group).pending;
        let mut scan = IdleScan::default();
        let mut attempts = claim.count.saturating_mul(SCAN_FACTOR);
        let mut count = claim.count;
        for held in pending.from(claim.start) {
            if attempts == 0 || count == 0 {
                scan.next = held.id;
                break;
            }
            attempts -= 1;
            let id = held.id;
            let is_idle = held.is_idle(claim.min_idle_ms, self.now_ms);
            // Where an entry lies is looked up only for who wants it or if it may be gone.
            let wants_place = is_idle && !claim.just_id;
            let is_there = if stream.surely_has(id) && !wants_place {
                true
            } else {
                let position = stream.index.find(id, log).map_err(|error| {
                    let others = pending.from(id).take(attempts + 1);
                    ahead(error, (&stream.index, log), others.map(|held| held.id))
                })?;
                let wanted = position.filter(|_| wants_place);
                self.plan(slot, &mut scan.entries, wanted.into_iter())?;
                position.is_some()
            };
            if !is_there {
                scan.gone.push(id);
                count -= 1;
            } else if is_idle {
                let more = u64::from(!claim.just_id);
                let delivery_count = held.delivery_count.saturating_add(more);
                let delivered_ms = self.now_ms;
                scan.claimed.push(record::Claimed {
                    id,
                    delivered_ms,
                    delivery_count,
                });
                count -= 1;
            }
        }
        Ok(scan)
    }

    /// Goes on behind a scan that met nothing idle: where the next idle entry is, if the group is
    /// large and has few of them.
    fn scan_idlest(&self, found: Found, claim: AutoClaim, scan: IdleScan) -> Result<IdleScan> {
        let pending = &self.group_in(found.0, found.1).pending;
        if pending.len() < SKIP_PENDING_MIN {
            return Ok(scan);
        }
        let is_idle = |held: &Pending| held.is_idle(claim.min_idle_ms, self.now_ms);
        match pending.first_idle(scan.next, is_idle) {
            Ok(Some(start)) => self.scan_idle(found, AutoClaim { start, ..claim }),
            Ok(None) => Ok(IdleScan::default()),
            Err(_) => Ok(scan),
        }
    }

    /// Logs that entries are pending for a consumer; they were admitted.
    pub(super) fn assign(&mut self, found: Found, consumer: u32, claimed: &[record::Claimed]) {
        let time_ms = self.now_ms;
        for entries in claimed.chunks(RECORD_IDS_MAX) {
            let entries = entries.into();
            self.commit_to_group(
                found,
                GroupChange::Claimed {
                    consumer,
                    time_ms,
                    entries,
                },
            );
        }
        self.count(claimed.len() as u64);
    }

    /// Logs that entries are no longer pending, because the stream has them no more.
    fn drop_pending(&mut self, found: Found, gone: &[EntryId]) {
        for ids in gone.chunks(RECORD_IDS_MAX) {
            self.commit_to_group(found, GroupChange::Acked { ids: ids.into() });
        }
        self.count(gone.len() as u64);
    }

    /// Appends entries of the stream in `slot` to a plan.
    fn plan(
        &self,
        slot: u32,
        entries: &mut Entries,
        mut positions: impl Iterator<Item = Position>,
    ) -> Result<()> {
        let (index, log) = (&self.stream_in(slot).index, &self.guard.log);
        positions.try_for_each(|position| entries.push(index, position, log))
    }
}

/// An ID, and where the stream has its entry.
type Place = (EntryId, Option<Position>);

/// How many pending entries a scan looks at for each that it may claim.
const SCAN_FACTOR: usize = 10;

/// In groups with fewer pending entries, a scan ends where it does in Redis.
const SKIP_PENDING_MIN: usize = 1000;

/// What a scan for idle entries found.
#[derive(Default)]
struct IdleScan {
    claimed: Vec<record::Claimed>,
    entries: Entries,
    gone: Vec<EntryId>,
    next: EntryId,
}

impl IdleScan {
    /// Nothing came of it, and it has not come to the end.
    fn is_in_vain(&self) -> bool {
        self.claimed.is_empty() && self.gone.is_empty() && self.next > EntryId::MIN
    }
}

/// How many IDs at the front are all different.
fn distinct_prefix(places: &[Place]) -> usize {
    if places.is_sorted_by(|a, b| a.0 < b.0) {
        return places.len();
    }
    let mut met = HashSet::new();
    places.iter().take_while(|(id, _)| met.insert(*id)).count()
}

//! Claiming what is idle among much that is not.

use std::path::Path;
use std::sync::Arc;

use super::options;
use crate::batch::{AutoClaim, Batch, Claim, Cursor, Deliver, Member, NewId};
use crate::engine::Engine;
use crate::id::EntryId;
use crate::storage::simulated::{SimulatedClock, SimulatedStorage};

const KEY: &[u8] = b"k";
const MEMBER: Member<'_> = Member {
    group: b"g",
    consumer: b"c",
};
/// When everything was delivered.
const NOW_MS: u64 = 1_000_000;

fn id(ms: u64) -> EntryId {
    EntryId::new(ms, 0)
}

/// Runs with entries 1 to `count` pending, delivered just now.
fn with_pending(count: u64, run: impl FnOnce(&mut Batch<'_>)) {
    let (storage, clock) = (SimulatedStorage::new(), SimulatedClock::new(0));
    let engine = Engine::open_on(
        Arc::new(storage),
        Arc::new(clock),
        Path::new("/d"),
        options(),
    );
    let engine = engine.unwrap();
    let mut batch = engine.lock();
    batch.set_now(NOW_MS);
    for ms in 1..=count {
        let new = NewId::Given(id(ms));
        batch.add(0, KEY, new, &[b"f", b"v"]).unwrap();
    }
    let cursor = Cursor {
        id: EntryId::MIN,
        entries_read: Some(0),
    };
    batch.create_group(0, KEY, b"g", cursor).unwrap();
    let delivered = batch.deliver(0, KEY, MEMBER, Deliver::default());
    delivered.unwrap();
    run(&mut batch);
}

/// Makes entries idle for a minute.
fn idle(batch: &mut Batch<'_>, ms: impl IntoIterator<Item = u64>) {
    let ids: Vec<_> = ms.into_iter().map(id).collect();
    let claim = Claim {
        ids: &ids,
        delivery_time_ms: Some(NOW_MS - 60_000),
        ..Claim::default()
    };
    batch.claim(0, KEY, MEMBER, &claim).unwrap();
}

/// The IDs that a call claims which may take one, and where it says to go on.
fn auto_claim(batch: &mut Batch<'_>, start: u64) -> (Vec<u64>, u64) {
    let claim = AutoClaim {
        min_idle_ms: 1000,
        start: id(start),
        count: 1,
        just_id: false,
    };
    let claimed = batch.auto_claim(0, KEY, MEMBER, claim).unwrap();
    let ids = claimed.claimed.ids.iter().map(|id| id.ms).collect();
    (ids, claimed.next.ms)
}

#[test]
fn the_idle_ones_of_many_are_found_at_once() {
    with_pending(3000, |batch| {
        assert_eq!(auto_claim(batch, 0), (vec![], 0));
        idle(batch, [2000, 2500, 2999]);
        assert_eq!(auto_claim(batch, 2100), (vec![2500], 2501));
        assert_eq!(auto_claim(batch, 0), (vec![2000], 2001));
        assert_eq!(auto_claim(batch, 2001), (vec![2999], 3000));
        assert_eq!(auto_claim(batch, 3000), (vec![], 0));
        assert_eq!(auto_claim(batch, 0), (vec![], 0));
    });
}

#[test]
fn a_scan_ends_where_it_does_in_redis_in_a_small_group_and_among_many_idle_ones() {
    with_pending(100, |batch| {
        idle(batch, [50]);
        assert_eq!(auto_claim(batch, 0), (vec![], 11));
        assert_eq!(auto_claim(batch, 45), (vec![50], 51));
    });
    with_pending(3000, |batch| {
        idle(batch, 1500..3000);
        assert_eq!(auto_claim(batch, 0), (vec![], 11));
        assert_eq!(auto_claim(batch, 1495), (vec![1500], 1501));
    });
}

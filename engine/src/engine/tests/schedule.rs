//! The engine's threads under a scheduler that tries many orders (feature `schedule`): whatever
//! fails, nobody who waits sleeps for ever, and what was acknowledged is there. Panics are tried
//! with real threads instead: the scheduler's locks do not survive one.
//!
//! No time-out fires here, so a forgotten wake-up is found as a deadlock. With
//! `ALLUVIUM_THOROUGH=1` a hundred times as many orders are tried.

use shuttle::rand::Rng;
use shuttle::scheduler::{PctScheduler, RandomScheduler};

use super::damage::is_thorough;
use super::*;
use crate::sync::thread;

/// Orders of each kind that a test tries.
fn orders() -> usize {
    if is_thorough() { 20_000 } else { 200 }
}

fn try_orders(scenario: impl Fn() + Send + Sync + Copy + 'static) {
    let config = || {
        let mut config = shuttle::Config::new();
        config.stack_size = 1 << 20;
        config.silence_warnings = true;
        config.max_steps = shuttle::MaxSteps::FailAfter(10_000_000);
        config
    };
    shuttle::Runner::new(RandomScheduler::new(orders()), config()).run(scenario);
    shuttle::Runner::new(PctScheduler::new(3, orders()), config()).run(scenario);
}

fn open_scheduled(storage: &SimulatedStorage) -> Arc<Engine> {
    let options = Options {
        threads: Threads::Background,
        ..options()
    };
    Arc::new(open_with(storage, options).unwrap())
}

/// A writer: adds until it is refused; the number of entries that were acknowledged.
fn write(engine: &Engine, key: &[u8], count: usize, len: usize) -> usize {
    let value = vec![b'v'; len];
    let add = || {
        commit(engine, |batch| {
            batch.add(0, key, NewId::Auto, &[b"f", &value]).map(drop)
        })
    };
    (0..count).take_while(|_| add().is_ok()).count()
}

/// Two writers at once; what each of them got acknowledged.
fn write_at_once(engine: &Arc<Engine>, len: usize) -> [usize; 2] {
    let keys: [&[u8]; 2] = [b"a", b"b"];
    let writers = keys.map(|key| {
        let engine = Arc::clone(engine);
        thread::spawn(move || write(&engine, key, 3, len))
    });
    writers.map(|writer| writer.join().unwrap())
}

/// Cuts the power: what was acknowledged is there, and at most what was on its way beside it.
fn assert_there(storage: &SimulatedStorage, acked: [usize; 2]) {
    let after = storage.crash(shuttle::rand::thread_rng().r#gen());
    let engine = open(&after).unwrap();
    for (key, acked) in [b"a", b"b"].into_iter().zip(acked) {
        let there = engine
            .lock()
            .stream(0, key)
            .map_or(0, |stream| stream.length);
        let acked = acked as u64;
        assert!(
            there == acked || there == acked + 1,
            "{acked} acked, {there} there"
        );
    }
}

/// Durability: P1.
#[test]
fn writers_are_acknowledged_and_the_engine_closes() {
    try_orders(|| {
        let storage = SimulatedStorage::new();
        let engine = open_scheduled(&storage);
        let acked = write_at_once(&engine, 1500);
        assert_eq!(acked, [3, 3]);
        Arc::into_inner(engine).unwrap().close().unwrap();
        assert_there(&storage, acked);
    });
}

/// Durability: P1, F1.
#[test]
fn a_write_or_sync_that_fails_releases_all_who_wait() {
    try_orders(|| {
        let storage = SimulatedStorage::new();
        let engine = open_scheduled(&storage);
        let mut rng = shuttle::rand::thread_rng();
        let call = [Call::Write, Call::Sync][rng.gen_range(0..2)];
        let fault = Fault::Error(std::io::ErrorKind::Other);
        storage.fail(call, rng.gen_range(0..6), fault);
        let acked = write_at_once(&engine, 300);
        drop(engine);
        storage.heal();
        assert_there(&storage, acked);
    });
}

/// Durability: F2.
#[test]
fn a_segment_that_cannot_be_made_is_an_error_for_who_needs_it() {
    try_orders(|| {
        let storage = SimulatedStorage::new();
        let engine = open_scheduled(&storage);
        let mut rng = shuttle::rand::thread_rng();
        let full = Fault::Error(std::io::ErrorKind::StorageFull);
        storage.fail(Call::Allocate, rng.gen_range(0..3), full);
        let acked = write_at_once(&engine, 2500);
        drop(engine);
        assert_there(&storage, acked);
    });
}

/// Durability: P1.
#[test]
fn an_engine_closes_while_a_listener_is_called_and_writes_are_on_their_way() {
    try_orders(|| {
        let storage = SimulatedStorage::new();
        let engine = open_scheduled(&storage);
        let settled = Arc::new(AtomicU64::new(0));
        let (weak, seen) = (Arc::downgrade(&engine), Arc::clone(&settled));
        engine.on_progress(Arc::new(move || {
            if let Some(engine) = weak.upgrade() {
                seen.fetch_max(engine.settled().0, Ordering::SeqCst);
            }
        }));
        let writer = Arc::clone(&engine);
        let writer = thread::spawn(move || {
            let mut batch = writer.lock();
            add(&mut batch, 1, 100).unwrap();
            let end = batch.end_command();
            drop(batch);
            writer.submit();
            end
        });
        // Whoever lets go last closes: the writer, a listener, or this thread.
        drop(engine);
        writer.join().unwrap();
    });
}

/// Durability: P1.
#[test]
fn a_policy_changes_and_a_checkpoint_is_taken_while_writers_wait() {
    try_orders(|| {
        let storage = SimulatedStorage::new();
        let engine = open_scheduled(&storage);
        let other = Arc::clone(&engine);
        let other = thread::spawn(move || {
            other.checkpoint().unwrap();
            other.set_sync_policy(SyncPolicy::Always);
        });
        let acked = write_at_once(&engine, 700);
        assert_eq!(acked, [3, 3]);
        other.join().unwrap();
        drop(engine);
        assert_there(&storage, acked);
    });
}

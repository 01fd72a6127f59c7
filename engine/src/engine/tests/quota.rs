//! A quota is a disk that is full earlier.

use super::*;

const SEGMENT: u64 = 8 << 10;
/// Room for a checkpoint takes eight segments, the reserve one.
const QUOTA: u64 = 24 * SEGMENT;

fn open_with_quota(storage: &SimulatedStorage) -> Engine {
    let disk_quota = QUOTA;
    let options = Options {
        disk_quota,
        ..options()
    };
    open_with(storage, options).unwrap()
}

/// Bytes of all files in the directories of the store.
fn used(storage: &SimulatedStorage) -> u64 {
    let of = |dir: &str| storage.list(&Path::new(DIR).join(dir)).unwrap();
    let files = ["log", "sorted", "checkpoint"].into_iter().flat_map(of);
    files.map(|file| file.len).sum()
}

/// Adds entries until that is refused; the milliseconds of the one that was.
fn fill(engine: &Engine, mut ms: u64) -> (u64, Error) {
    loop {
        if let Err(error) = commit(engine, |batch| add(batch, ms, 1000).map(drop)) {
            return (ms, error);
        }
        ms += 1;
    }
}

fn trim(engine: &Engine) {
    let trim = Trim {
        strategy: TrimStrategy::MaxLen(1),
        approximate: false,
        limit: None,
        references: crate::RefPolicy::Keep,
    };
    commit(engine, |batch| batch.trim(0, KEY, trim).map(drop)).unwrap();
}

/// Durability: F2.
#[test]
fn files_never_take_more_than_the_quota_and_trimming_makes_room() {
    let storage = SimulatedStorage::new();
    let engine = open_with_quota(&storage);
    let (mut ms, mut refusals) = (1, 0);
    for _ in 0..3 {
        let (refused, error) = fill(&engine, ms);
        assert!(matches!(error, Error::QuotaReached), "{error}");
        assert!(refused > ms + 10);
        assert!(used(&storage) <= QUOTA, "{}", used(&storage));
        let stats = engine.stats();
        assert!(stats.is_disk_full && !engine.is_poisoned());
        assert_eq!((stats.disk_quota, stats.disk_used), (QUOTA, used(&storage)));
        assert!(!engine.sort(0).unwrap(), "sorting takes room");
        trim(&engine);
        engine.checkpoint().unwrap();
        refusals += 1;
        ms = refused;
    }
    assert_eq!(refusals, 3);
    commit(&engine, |batch| add(batch, ms, 1000).map(drop)).unwrap();
    let expected = picture(&engine);
    drop(engine);
    let engine = open_with_quota(&storage.crash(1));
    assert_eq!(picture(&engine), expected);
}

#[test]
fn a_quota_may_change_while_commands_run() {
    let storage = SimulatedStorage::new();
    let engine = open(&storage).unwrap();
    assert_eq!(engine.stats().disk_quota, 0);
    commit(&engine, |batch| add(batch, 1, 100).map(drop)).unwrap();
    commit(&engine, |batch| add(batch, 2, 100).map(drop)).unwrap();
    // What there is already is more.
    engine.set_disk_quota(SEGMENT);
    let refused = commit(&engine, |batch| add(batch, 3, 100).map(drop));
    assert!(matches!(refused, Err(Error::QuotaReached)));
    assert!(engine.stats().is_disk_full);
    trim(&engine);
    engine.set_disk_quota(QUOTA);
    commit(&engine, |batch| add(batch, 3, 100).map(drop)).unwrap();
    assert!(!engine.stats().is_disk_full);
    fill(&engine, 4);
    engine.set_disk_quota(0);
    commit(&engine, |batch| add(batch, 9_000, 100).map(drop)).unwrap();
}

#[test]
fn with_threads_writes_are_taken_again_once_the_quota_allows_them() {
    let storage = SimulatedStorage::new();
    let engine = open_threaded(&storage, SyncPolicy::Always);
    engine.set_disk_quota(QUOTA);
    let (ms, error) = fill(&engine, 1);
    assert!(matches!(error, Error::QuotaReached), "{error}");
    trim(&engine);
    // The checkpoint that lets files go, and the look that finds room, come by themselves.
    while commit(&engine, |batch| add(batch, ms, 1000).map(drop)).is_err() {
        std::thread::yield_now();
    }
    assert!(used(&storage) <= QUOTA);
    engine.close().unwrap();
}

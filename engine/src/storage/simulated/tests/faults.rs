//! The simulation does what it says: without that, no test that crashes it proves anything.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use super::super::{Call, Fault, SimulatedStorage};
use crate::storage::{Access, Storage, StorageFile, read_full_at, write_all_at};

const SECTOR: usize = 512;
const SEEDS: u64 = 200;

fn a() -> &'static Path {
    Path::new("/a")
}

fn b() -> &'static Path {
    Path::new("/b")
}

/// A durable file of zeros with a durable name.
fn zeros(storage: &SimulatedStorage, path: &Path, len: usize) -> Arc<dyn StorageFile> {
    let file = storage.open(path, Access::Create).unwrap();
    file.allocate(0, len as u64).unwrap();
    storage.sync_dir(Path::new("/")).unwrap();
    file
}

/// What is left of each sector of ones that was written over zeros.
fn sectors(content: &[u8]) -> Vec<&'static str> {
    let of = |sector: &[u8]| match sector {
        _ if sector.iter().all(|&byte| byte == 0) => "dropped",
        _ if sector.iter().all(|&byte| byte == 1) => "kept",
        _ => "garbled",
    };
    content.chunks(SECTOR).map(of).collect()
}

/// Durability: A4.
#[test]
fn a_crash_keeps_drops_or_garbles_each_unsynced_sector_by_itself() {
    let (mut seen, mut apart) = (HashSet::new(), HashSet::new());
    for seed in 0..SEEDS {
        let storage = SimulatedStorage::new();
        let files = [a(), b()].map(|path| zeros(&storage, path, 3 * SECTOR));
        files[0].write_at(0, &[1; 2 * SECTOR]).unwrap();
        files[1].write_at(0, &[1; SECTOR]).unwrap();
        let left = storage.crash(seed);
        let (in_a, in_b) = (left.content(a()), left.content(b()));
        let (in_a, in_b) = (sectors(&in_a), sectors(&in_b));
        assert_eq!((in_a[2], in_b[1]), ("dropped", "dropped"), "never written");
        seen.insert((in_a[0], in_a[1]));
        // The file that was written last may arrive alone: there is no order across files.
        apart.insert((in_a[0], in_b[0]));
    }
    assert_eq!(seen.len(), 9, "{seen:?}");
    assert_eq!(apart.len(), 9, "{apart:?}");
}

/// Durability: A1, A3.
#[test]
fn a_crash_takes_nothing_that_was_synced_and_no_byte_that_was_not_changed() {
    for seed in 0..SEEDS {
        let storage = SimulatedStorage::new();
        let file = zeros(&storage, a(), SECTOR);
        file.write_at(0, &[7; 100]).unwrap();
        file.sync().unwrap();
        file.write_at(100, &[8; 100]).unwrap();
        let left = storage.crash(seed).content(a());
        assert_eq!(left[..100], [7; 100]);
        assert!(left[200..].iter().all(|&byte| byte == 0));
    }
}

#[test]
fn of_several_writes_to_a_sector_the_last_may_be_missing() {
    let lefts: HashSet<u8> = (0..SEEDS)
        .map(|seed| {
            let storage = SimulatedStorage::new();
            let file = zeros(&storage, a(), SECTOR);
            file.write_at(0, &[1]).unwrap();
            file.write_at(0, &[2]).unwrap();
            storage.crash(seed).content(a())[0]
        })
        .collect();
    assert!(lefts.contains(&0) && lefts.contains(&2), "{lefts:?}");
    assert!(lefts.len() > 3, "and garbage: {lefts:?}");
}

/// Durability: A2, A4.
#[test]
fn names_are_durable_with_their_directory_and_before_that_each_by_itself() {
    let mut seen = HashSet::new();
    for seed in 0..SEEDS {
        let storage = SimulatedStorage::new();
        drop(zeros(&storage, a(), 1));
        storage.open(b(), Access::Create).unwrap();
        storage.rename(a(), Path::new("/c")).unwrap();
        let left = storage.crash(seed);
        let files = left.files();
        let has = |name: &str| files.iter().any(|path| path == Path::new(name));
        assert_ne!(has("/a"), has("/c"), "a file is renamed or not");
        seen.insert((has("/b"), has("/c")));
    }
    assert_eq!(seen.len(), 4);
    for seed in 0..SEEDS {
        let storage = SimulatedStorage::new();
        drop(zeros(&storage, a(), 1));
        storage.unlink(a()).unwrap();
        storage.sync_dir(Path::new("/")).unwrap();
        assert!(storage.crash(seed).files().is_empty(), "removed for good");
    }
}

/// Durability: A1.
#[test]
fn a_length_is_durable_with_its_file() {
    let mut lens = HashSet::new();
    for seed in 0..SEEDS {
        let storage = SimulatedStorage::new();
        let file = zeros(&storage, a(), SECTOR);
        file.write_at(SECTOR as u64, &[1; SECTOR]).unwrap();
        lens.insert(storage.snapshot().content(a()).len());
        lens.insert(storage.crash(seed).content(a()).len());
        let storage = SimulatedStorage::new();
        let file = zeros(&storage, a(), SECTOR);
        file.write_at(SECTOR as u64, &[1]).unwrap();
        file.sync().unwrap();
        assert_eq!(storage.crash(seed).content(a()).len(), SECTOR + 1);
    }
    assert_eq!(lens, HashSet::from([SECTOR, 2 * SECTOR]));
}

/// Durability: A4.
#[test]
fn a_failed_sync_leaves_pages_clean_and_the_disk_with_or_without_them() {
    let mut lefts = HashSet::new();
    for seed in 0..SEEDS {
        let storage = SimulatedStorage::new();
        let file = zeros(&storage, a(), SECTOR);
        file.write_at(0, &[1; SECTOR]).unwrap();
        storage.fail(Call::Sync, 0, Fault::Error(ErrorKind::Other));
        file.sync().unwrap_err();
        // The next sync says that all is well.
        file.sync().unwrap();
        let mut cached = [0; SECTOR];
        read_full_at(&*file, 0, &mut cached).unwrap();
        assert_eq!(cached, [1; SECTOR], "the cache still shows it");
        lefts.extend(sectors(&storage.crash(seed).content(a())));
        let killed = storage.kill();
        let file = killed.open(a(), Access::Read).unwrap();
        file.drop_cache(0, u64::MAX).unwrap();
        read_full_at(&*file, 0, &mut cached).unwrap();
        assert_eq!(cached, [0; SECTOR], "the disk does not have it");
    }
    assert_eq!(lefts, HashSet::from(["kept", "dropped", "garbled"]));
}

#[test]
fn calls_fall_short_are_interrupted_fail_and_find_the_disk_full() {
    let storage = SimulatedStorage::new();
    let file = zeros(&storage, a(), 64);
    storage.fail(Call::Write, 0, Fault::Short(3));
    assert_eq!(file.write_at(0, &[1; 8]).unwrap(), 3);
    storage.fail(Call::Read, 0, Fault::Short(2));
    let mut buffer = [0; 8];
    assert_eq!(file.read_at(0, &mut buffer).unwrap(), 2);
    for (call, kind) in [
        (Call::Write, ErrorKind::Interrupted),
        (Call::Read, ErrorKind::Other),
    ] {
        storage.fail(call, 1, Fault::Error(kind));
    }
    assert_eq!(file.write_at(0, b"x").unwrap(), 1);
    let interrupted = file.write_at(0, b"x").unwrap_err();
    assert_eq!(interrupted.kind(), ErrorKind::Interrupted);
    file.read_at(0, &mut buffer).unwrap();
    file.read_at(0, &mut buffer).unwrap_err();
    // The second allocation from now on finds the disk full, and so does what does not fit.
    storage.fail(Call::Allocate, 1, Fault::Error(ErrorKind::StorageFull));
    file.allocate(64, 64).unwrap();
    let full = file.allocate(128, 64).unwrap_err();
    assert_eq!(full.kind(), ErrorKind::StorageFull);
    storage.set_capacity(Some(storage.used() + 10));
    file.allocate(128, 64).unwrap_err();
    file.allocate(128, 10).unwrap();
    write_all_at(&*file, 138, b"more").unwrap_err();
}

#[test]
fn damage_at_rest_and_writes_that_go_astray_are_on_the_disk() {
    let storage = SimulatedStorage::new();
    let file = zeros(&storage, a(), 3 * SECTOR);
    storage.damage(a(), 5, &[0x80]);
    assert_eq!(storage.crash(0).content(a())[5], 0x80);

    let storage = SimulatedStorage::new();
    let file = {
        drop(file);
        zeros(&storage, a(), 3 * SECTOR)
    };
    storage.fail(Call::Write, 0, Fault::Misdirected(2 * SECTOR as u64));
    file.write_at(0, &[1; SECTOR]).unwrap();
    let mut cached = [0; SECTOR];
    read_full_at(&*file, 0, &mut cached).unwrap();
    assert_eq!(cached, [1; SECTOR], "nobody notices");
    file.sync().unwrap();
    let left = storage.crash(0).content(a());
    assert_eq!(sectors(&left), ["dropped", "dropped", "kept"]);
}

#[test]
fn the_world_ends_at_the_call_that_was_named_and_the_same_way_each_time() {
    for at in 0..4 {
        let lefts: HashSet<Vec<u8>> = (0..3)
            .map(|_| {
                let storage = SimulatedStorage::new();
                let file = zeros(&storage, a(), SECTOR);
                storage.crash_at(storage.calls() + at);
                let done = (0..4).take_while(|_| file.write_at(0, &[1; 64]).is_ok());
                assert_eq!(done.count() as u64, at);
                assert!(storage.is_over() && file.size().is_err());
                storage.crash(9).content(a())
            })
            .collect();
        assert_eq!(lefts.len(), 1, "a seed stands for one end");
    }
}

//! Names on the simulated disk: what a crash leaves of links and directories. The others are about
//! bytes.

mod faults;

use super::*;

/// Outcomes of many crashes: how often each file was there.
fn survivors(storage: &SimulatedStorage, paths: &[&str]) -> Vec<usize> {
    let count = |path: &&str| {
        let crashes = (0..64).map(|seed| storage.snapshot_of_names(seed));
        let is_there = |disk: &SimulatedStorage| disk.files().contains(&PathBuf::from(path));
        crashes.filter(is_there).count()
    };
    paths.iter().map(count).collect()
}

impl SimulatedStorage {
    /// What a crash leaves, without ending this world.
    fn snapshot_of_names(&self, seed: u64) -> Self {
        Self::over(self.world.lock().disk.after_crash(seed))
    }
}

fn write(storage: &SimulatedStorage, path: &str, bytes: &[u8]) {
    let file = storage.open(Path::new(path), Access::Create).unwrap();
    file.write_at(0, bytes).unwrap();
    file.sync().unwrap();
}

#[test]
fn a_link_is_a_second_name_that_lasts_once_its_directory_is_synced() {
    let storage = SimulatedStorage::new();
    for dir in ["/a", "/b"] {
        storage.create_dir(Path::new(dir)).unwrap();
    }
    let (from, to) = (Path::new("/a/one"), Path::new("/b/two"));
    write(&storage, "/a/one", b"bytes");
    storage.sync_dir(Path::new("/a")).unwrap();
    storage.link(from, to).unwrap();
    assert!(storage.link(from, to).is_err());
    assert_eq!(storage.used(), 5);
    let seen = survivors(&storage, &["/a/one", "/b/two"]);
    assert_eq!(seen[0], 64);
    assert!(seen[1] > 0 && seen[1] < 64, "{seen:?}");
    storage.sync_dir(Path::new("/b")).unwrap();
    storage.unlink(from).unwrap();
    storage.sync_dir(Path::new("/a")).unwrap();
    let storage = storage.crash(1);
    assert_eq!(storage.files(), [to]);
    assert_eq!(storage.content(to), b"bytes");
}

#[test]
fn a_renamed_directory_takes_along_what_is_durable_in_it() {
    let storage = SimulatedStorage::new();
    storage.create_dir(Path::new("/a/new")).unwrap();
    write(&storage, "/a/new/kept", b"");
    storage.sync_dir(Path::new("/a/new")).unwrap();
    write(&storage, "/a/new/lost", b"");
    storage
        .rename(Path::new("/a/new"), Path::new("/a/old"))
        .unwrap();
    let seen = survivors(&storage, &["/a/old/kept", "/a/new/kept", "/a/old/lost"]);
    assert!(
        seen[0] > 0 && seen[1] > 0 && seen[0] + seen[1] == 64,
        "{seen:?}"
    );
    assert!(seen[2] > 0 && seen[2] < seen[0], "{seen:?}");
    storage.sync_dir(Path::new("/a")).unwrap();
    let seen = survivors(&storage, &["/a/old/kept", "/a/old/lost"]);
    assert_eq!(seen[0], 64);
    assert!(seen[1] > 0 && seen[1] < 64, "{seen:?}");
}

#[test]
fn directories_are_there_when_made_and_go_when_empty_only() {
    let storage = SimulatedStorage::new();
    let (outer, inner) = (Path::new("/a"), Path::new("/a/b"));
    storage.create_dir(inner).unwrap();
    storage.create_dir(inner).unwrap();
    let storage = storage.crash(3);
    assert_eq!(storage.list(outer).unwrap().len(), 1);
    assert!(storage.remove_dir(outer).is_err());
    assert!(storage.open(Path::new("/c/d"), Access::Create).is_err());
    storage.remove_dir(inner).unwrap();
    storage.remove_dir(outer).unwrap();
    assert!(storage.list(outer).is_err());
}

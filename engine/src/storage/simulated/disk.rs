//! Images of files and names: volatile, durable, and what a crash makes of them.
//!
//! Names are entries of directories, which are numbered like files: what a directory holds moves
//! with it when it is renamed, and a file may have several names.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::super::{DirEntry, Map};

/// What a disk writes as one.
const SECTOR: usize = 512;
/// The number of the directory that has no name.
const ROOT: u64 = 0;

/// The next number of a sequence that looks random (`SplitMix64`; Steele, Lea, Flood 2014).
pub(super) fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// What a name stands for, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    File(u64),
    Dir(u64),
}

/// A directory, by its number, and a name in it.
type Place = (u64, OsString);
type Names = BTreeMap<Place, Node>;

/// Files by number, names in both images, and the changes between the two.
#[derive(Clone, Default)]
pub(super) struct Disk {
    files: BTreeMap<u64, File>,
    names: Names,
    durable_names: Names,
    changes: Vec<Change>,
    last_number: u64,
    generation: u64,
    pub(super) capacity: Option<u64>,
}

/// A change of names that is not durable yet.
#[derive(Clone)]
enum Change {
    Put { at: Place, node: Node },
    Move { from: Place, to: Place, node: Node },
    Remove { at: Place },
}

impl Change {
    /// The directory whose sync makes it durable.
    fn dir(&self) -> u64 {
        match self {
            Change::Put { at, .. } | Change::Remove { at } => at.0,
            Change::Move { to, .. } => to.0,
        }
    }

    fn apply(&self, names: &mut Names) {
        match self {
            Change::Put { at, node } => {
                names.insert(at.clone(), *node);
            }
            Change::Move { from, to, node } => {
                names.retain(|place, other| place != from || other != node);
                names.insert(to.clone(), *node);
            }
            Change::Remove { at } => {
                names.remove(at);
            }
        }
    }
}

impl Disk {
    /// A number that differs from crash to crash.
    pub(super) fn generation(&self) -> u64 {
        self.generation << 32
    }

    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    fn node(&self, path: &Path) -> Option<Node> {
        let mut node = Node::Dir(ROOT);
        for component in path.components() {
            let (Component::Normal(name), Node::Dir(dir)) = (component, node) else {
                continue;
            };
            node = *self.names.get(&(dir, name.to_owned()))?;
        }
        Some(node)
    }

    fn dir(&self, path: &Path) -> io::Result<u64> {
        match self.node(path) {
            Some(Node::Dir(dir)) => Ok(dir),
            Some(Node::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Where the name of `path` stands or would stand.
    fn place(&self, path: &Path) -> io::Result<Place> {
        let parent = self.dir(path.parent().ok_or(io::ErrorKind::InvalidInput)?)?;
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        Ok((parent, name.to_owned()))
    }

    /// The file of that name.
    pub(super) fn find(&self, path: &Path) -> Option<u64> {
        match self.node(path)? {
            Node::File(file) => Some(file),
            Node::Dir(_) => None,
        }
    }

    pub(super) fn file(&self, file: u64) -> &File {
        &self.files[&file]
    }

    pub(super) fn file_mut(&mut self, file: u64) -> &mut File {
        self.files
            .get_mut(&file)
            .expect("files are never forgotten")
    }

    /// The names in a directory.
    fn held(&self, dir: u64) -> impl Iterator<Item = (&OsString, Node)> {
        let names = self.names.iter().filter(move |((at, _), _)| *at == dir);
        names.map(|((_, name), node)| (name, *node))
    }

    /// All files with their paths, in order.
    fn named_files(&self) -> Vec<(PathBuf, u64)> {
        let mut found = Vec::new();
        let mut dirs = vec![(PathBuf::from("/"), ROOT)];
        while let Some((path, dir)) = dirs.pop() {
            for (name, node) in self.held(dir) {
                match node {
                    Node::File(file) => found.push((path.join(name), file)),
                    Node::Dir(dir) => dirs.push((path.join(name), dir)),
                }
            }
        }
        found.sort();
        found
    }

    pub(super) fn paths(&self) -> Vec<PathBuf> {
        let named = self.named_files().into_iter();
        named.map(|(path, _)| path).collect()
    }

    /// Bytes of all files; one that has several names counts once.
    pub(super) fn used(&self) -> u64 {
        let named = self.named_files().into_iter();
        let files: BTreeSet<u64> = named.map(|(_, file)| file).collect();
        files.iter().map(|file| self.files[file].len as u64).sum()
    }

    /// Whether `more` bytes fit.
    pub(super) fn admit(&self, more: u64) -> io::Result<()> {
        match self.capacity {
            Some(capacity) if self.used() + more > capacity => {
                Err(io::ErrorKind::StorageFull.into())
            }
            _ => Ok(()),
        }
    }

    /// Makes what is missing of a directory and its parents.
    pub(super) fn create_dir(&mut self, dir: &Path) -> io::Result<()> {
        let mut parents: Vec<&Path> = dir.ancestors().collect();
        parents.reverse();
        for path in parents {
            if self.node(path).is_none() {
                let (at, number) = (self.place(path)?, self.next_number());
                let node = Node::Dir(number);
                self.change(Change::Put { at, node });
            }
        }
        self.dir(dir).map(drop)
    }

    pub(super) fn remove_dir(&mut self, path: &Path) -> io::Result<()> {
        let dir = self.dir(path)?;
        if self.held(dir).next().is_some() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        let at = self.place(path)?;
        self.change(Change::Remove { at });
        Ok(())
    }

    pub(super) fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let held = self.held(self.dir(dir)?);
        let entries = held.map(|(name, node)| {
            let (len, is_dir) = match node {
                Node::File(file) => (self.files[&file].len as u64, false),
                Node::Dir(_) => (0, true),
            };
            let name = name.to_string_lossy().into_owned();
            DirEntry { name, len, is_dir }
        });
        Ok(entries.collect())
    }

    pub(super) fn create(&mut self, path: &Path) -> io::Result<u64> {
        let (at, file) = (self.place(path)?, self.next_number());
        self.files.insert(file, File::new()?);
        let node = Node::File(file);
        self.change(Change::Put { at, node });
        Ok(file)
    }

    /// Puts a file there in both images.
    pub(super) fn put(&mut self, path: &Path, content: &[u8]) -> io::Result<()> {
        let (at, file) = (self.place(path)?, self.next_number());
        self.files.insert(file, File::of(content.to_vec()));
        self.names.insert(at.clone(), Node::File(file));
        self.durable_names.insert(at, Node::File(file));
        Ok(())
    }

    pub(super) fn link(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let file = self.find(from).ok_or(io::ErrorKind::NotFound)?;
        if self.node(to).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let (at, node) = (self.place(to)?, Node::File(file));
        self.change(Change::Put { at, node });
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let node = self.node(from).ok_or(io::ErrorKind::NotFound)?;
        if let Some(Node::Dir(replaced)) = self.node(to)
            && (self.held(replaced).next().is_some() || matches!(node, Node::File(_)))
        {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        let (from, to) = (self.place(from)?, self.place(to)?);
        self.change(Change::Move { from, to, node });
        Ok(())
    }

    pub(super) fn unlink(&mut self, path: &Path) -> io::Result<()> {
        self.find(path).ok_or(io::ErrorKind::NotFound)?;
        let at = self.place(path)?;
        self.change(Change::Remove { at });
        Ok(())
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.names);
        self.changes.push(change);
    }

    pub(super) fn sync_dir(&mut self, path: &Path) -> io::Result<()> {
        let dir = self.dir(path)?;
        self.settle(|change| change.dir() == dir);
        Ok(())
    }

    /// Makes the directories durable that were made.
    pub(super) fn sync_new_dirs(&mut self) {
        let is_new = |change: &Change| {
            let Change::Put { node, .. } = change else {
                return false;
            };
            matches!(node, Node::Dir(_))
        };
        self.settle(is_new);
    }

    fn settle(&mut self, is_durable: impl Fn(&Change) -> bool) {
        let changes = std::mem::take(&mut self.changes);
        for change in changes {
            if is_durable(&change) {
                change.apply(&mut self.durable_names);
            } else {
                self.changes.push(change);
            }
        }
    }

    /// What is left after a power cut.
    pub(super) fn after_crash(&self, seed: u64) -> Self {
        let mut random = seed;
        let mut names = self.durable_names.clone();
        for change in &self.changes {
            if next_random(&mut random).is_multiple_of(2) {
                change.apply(&mut names);
            }
        }
        let survives = |file: &u64| names.values().any(|named| *named == Node::File(*file));
        let files = self.files.iter().filter(|(file, _)| survives(file));
        let files = files
            .map(|(number, file)| (*number, file.after_crash(&mut random)))
            .collect();
        Self {
            files,
            durable_names: names.clone(),
            names,
            changes: Vec::new(),
            last_number: self.last_number,
            generation: self.generation + 1,
            capacity: self.capacity,
        }
    }

    /// A copy that shares no memory.
    pub(super) fn apart(&self) -> Self {
        let files = self.files.iter();
        Self {
            files: files
                .map(|(number, file)| (*number, file.apart()))
                .collect(),
            generation: self.generation + 1,
            ..self.clone()
        }
    }

    /// A copy that shares no memory, with all that is volatile made durable.
    pub(super) fn copied(&self) -> Self {
        let files = self.files.iter();
        let files = files
            .map(|(number, file)| (*number, File::of(file.content())))
            .collect();
        Self {
            files,
            durable_names: self.names.clone(),
            changes: Vec::new(),
            generation: self.generation + 1,
            ..self.clone()
        }
    }
}

/// A file: what is cached, what is durable, and which writes lie between the two.
#[derive(Clone)]
pub(super) struct File {
    cache: Map,
    len: usize,
    durable: Arc<Vec<u8>>,
    unsynced: Vec<Range<usize>>,
    /// Writes whose sync failed: clean in the cache, on the disk or not.
    failed: Vec<Range<usize>>,
    /// Writes that the disk puts elsewhere, and where.
    astray: Vec<(usize, Vec<u8>)>,
}

impl File {
    fn new() -> io::Result<Self> {
        Ok(Self {
            cache: Map::memory(0)?,
            len: 0,
            durable: Arc::default(),
            unsynced: Vec::new(),
            failed: Vec::new(),
            astray: Vec::new(),
        })
    }

    fn of(content: Vec<u8>) -> Self {
        let cache = Map::memory(content.len()).expect("memory for a simulated file");
        cache.store(0, &content);
        Self {
            cache,
            len: content.len(),
            durable: Arc::new(content),
            unsynced: Vec::new(),
            failed: Vec::new(),
            astray: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn content(&self) -> Vec<u8> {
        let mut content = vec![0; self.len];
        self.cache.load(0, &mut content);
        content
    }

    pub(super) fn read(&self, offset: usize, buffer: &mut [u8]) -> usize {
        let len = self.len.saturating_sub(offset).min(buffer.len());
        if len > 0 {
            self.cache.load(offset, &mut buffer[..len]);
        }
        len
    }

    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) -> io::Result<()> {
        self.grow(offset + bytes.len())?;
        self.cache.store(offset, bytes);
        self.unsynced.push(offset..offset + bytes.len());
        Ok(())
    }

    /// Like [`File::write`], but the disk will put the bytes at `to`.
    pub(super) fn write_astray(&mut self, at: usize, bytes: &[u8], to: usize) -> io::Result<()> {
        self.grow((at + bytes.len()).max(to + bytes.len()))?;
        self.cache.store(at, bytes);
        self.astray.push((to, bytes.to_vec()));
        Ok(())
    }

    /// Bytes by which a write up to `end` makes the file longer.
    pub(super) fn growth(&self, end: usize) -> u64 {
        end.saturating_sub(self.len) as u64
    }

    fn grow(&mut self, len: usize) -> io::Result<()> {
        if len > self.cache.len() {
            let larger = Map::memory(len.next_power_of_two())?;
            larger.store(0, &self.content());
            self.cache = larger;
        }
        self.len = self.len.max(len);
        Ok(())
    }

    pub(super) fn allocate(&mut self, offset: usize, len: usize) -> io::Result<()> {
        self.write(offset, &vec![0; len])
    }

    pub(super) fn sync(&mut self) {
        let durable = Arc::make_mut(&mut self.durable);
        durable.resize(self.len.max(durable.len()), 0);
        for range in self.unsynced.drain(..) {
            self.cache.load(range.start, &mut durable[range]);
        }
        for (to, bytes) in self.astray.drain(..) {
            durable[to..to + bytes.len()].copy_from_slice(&bytes);
        }
    }

    /// The same with a cache of its own.
    fn apart(&self) -> Self {
        let cache = Map::memory(self.len).expect("memory for a simulated file");
        cache.store(0, &self.content());
        Self {
            cache,
            ..self.clone()
        }
    }

    /// A failed sync: the pages are clean now, and the disk may have them or not.
    pub(super) fn fail_sync(&mut self) {
        self.failed.append(&mut self.unsynced);
    }

    /// Clean pages are forgotten: what is read next is what the disk has.
    pub(super) fn drop_cache(&self, offset: u64, len: u64) {
        let mut content = self.durable.to_vec();
        content.resize(self.len, 0);
        for range in &self.unsynced {
            self.cache.load(range.start, &mut content[range.clone()]);
        }
        let bound = |offset| usize::try_from(offset).map_or(self.len, |at| at.min(self.len));
        let (from, to) = (bound(offset), bound(offset.saturating_add(len)));
        self.cache.store(from, &content[from..to]);
    }

    pub(super) fn map(&self, len: usize) -> io::Result<Map> {
        if len > self.len {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(self.cache.clone())
    }

    pub(super) fn damage(&mut self, offset: usize, bytes: &[u8]) {
        assert!(
            offset + bytes.len() <= self.len,
            "damage lies inside a file"
        );
        self.cache.store(offset, bytes);
        let mut durable = self.durable.to_vec();
        durable.resize(self.len.max(durable.len()), 0);
        durable[offset..offset + bytes.len()].copy_from_slice(bytes);
        self.durable = Arc::new(durable);
    }

    fn after_crash(&self, random: &mut u64) -> Self {
        let content = self.content();
        let mut left = self.durable.to_vec();
        // A length that was not synced may have arrived or not.
        if next_random(random).is_multiple_of(2) {
            left.resize(content.len().max(left.len()), 0);
        }
        for sector in 0..left.len().div_ceil(SECTOR) {
            let sector = sector * SECTOR..left.len().min((sector + 1) * SECTOR);
            let writes = self.failed.iter().chain(&self.unsynced);
            let writes = writes.filter_map(|range| {
                let range = range.start.max(sector.start)..range.end.min(sector.end);
                (!range.is_empty()).then_some(range)
            });
            let writes: Vec<_> = writes.collect();
            if writes.is_empty() {
                continue;
            }
            let choice = next_random(random) % 4;
            let arrived = match choice {
                0 => 0,
                1 => usize::try_from(next_random(random) % writes.len() as u64).unwrap_or(0),
                _ => writes.len(),
            };
            for (index, range) in writes.into_iter().enumerate() {
                if choice == 3 && next_random(random).is_multiple_of(2) {
                    let changed = left[range.clone()].iter_mut().zip(&content[range]);
                    for (byte, _) in changed.filter(|(old, new)| old != new) {
                        *byte = next_random(random).to_le_bytes()[0];
                    }
                } else if index < arrived {
                    left[range.clone()].copy_from_slice(&content[range]);
                }
            }
        }
        Self::of(left)
    }
}

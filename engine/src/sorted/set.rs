//! All sorted segments, by id, and when one may go.
//!
//! A file without live entries is dead, and unlinked when no checkpoint needs it ([`Death`]); but
//! not one that streams are being told of, and none after a salvage.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{BlockCache, SUFFIX, SortedFile, UNFINISHED};
use crate::error::io_error;
use crate::format::sorted::RunRow;
use crate::log::Death;
use crate::storage::{Storage, whole};
use crate::{EntryId, Error, Result};

/// All sorted segments.
pub(crate) struct SortedSet {
    held: BTreeMap<u64, Held>,
    cache: Arc<BlockCache>,
    next_id: u64,
    /// Checkpoints begun since open.
    begun: u64,
    /// The first checkpoint that knows of all that was sorted.
    current_from: u64,
    /// A run whose file is damaged is left out rather than refused.
    pub(crate) is_salvage: bool,
    /// What was left out.
    lost: Vec<LostRun>,
    dir: PathBuf,
    /// The first run that was not left out, and is not there.
    damage: Option<Error>,
}

/// A run that a checkpoint names, and that is not there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LostRun {
    /// The number of the stream that it belonged to.
    pub(crate) stream: u64,
    /// The id of its file.
    pub(crate) file: u64,
    /// How many entries the stream had in it.
    pub(crate) entries: u64,
    /// The last ID of the run before it; `None` if it was the first.
    pub(crate) after: Option<EntryId>,
}

struct Held {
    file: Arc<SortedFile>,
    death: Death,
    /// Streams are being told of it.
    is_new: bool,
}

impl Held {
    fn of(file: Arc<SortedFile>, is_new: bool) -> Self {
        let death = Death::default();
        Self {
            file,
            death,
            is_new,
        }
    }

    /// Whether nothing refers to the file. A start that served what was left does not know what a
    /// file is still needed for.
    fn is_dead(&self, is_salvage: bool) -> bool {
        self.file.live() == 0 && !self.is_new && !is_salvage
    }
}

/// What is in the directory of sorted segments.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) files: Vec<Arc<SortedFile>>,
    pub(crate) damaged: Vec<(Error, u64)>,
    pub(crate) unknown: Vec<PathBuf>,
    /// Above the ids of all files, damaged ones as well.
    next_id: u64,
    dir: PathBuf,
}

/// Opens all sorted segments, and removes what was not finished.
pub(crate) fn find(storage: &dyn Storage, dir: &Path, cache: &Arc<BlockCache>) -> Result<Found> {
    let mut found = Found {
        dir: dir.to_owned(),
        ..Found::default()
    };
    let entries = match storage.list(dir) {
        // Only who may not change anything comes here before there is one.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        listed => listed.map_err(|error| io_error("list", dir, error))?,
    };
    for entry in entries {
        let path = dir.join(&entry.name);
        if !entry.is_dir && parse(&entry.name, UNFINISHED).is_some() {
            whole::unlink(storage, &path)?;
        } else if let Some(id) = parse(&entry.name, SUFFIX).filter(|_| !entry.is_dir) {
            found.next_id = found.next_id.max(id.saturating_add(1));
            match SortedFile::open(storage, &path, cache) {
                Ok(file) => found.files.push(Arc::new(file)),
                Err(error @ Error::Corrupt { .. }) => found.damaged.push((error, entry.len)),
                Err(error) => return Err(error),
            }
        } else {
            found.unknown.push(path);
        }
    }
    Ok(found)
}

impl Found {
    /// Takes out the files of other data directories.
    pub(crate) fn foreign(&mut self, store: u32) -> Vec<(Error, u64)> {
        let (own, foreign) = std::mem::take(&mut self.files)
            .into_iter()
            .partition(|file| file.store() == store);
        self.files = own;
        let what = "a sorted segment of another data directory";
        let foreign: Vec<Arc<SortedFile>> = foreign;
        let error = |file: &Arc<SortedFile>| (file.corrupt(0, what), file.len());
        foreign.iter().map(error).collect()
    }
}

/// The id in the name of a file.
fn parse(name: &str, suffix: &str) -> Option<u64> {
    let digits = name.strip_suffix(suffix)?;
    let id = u64::from_str_radix(digits, 16).ok()?;
    (digits == format!("{id:016x}")).then_some(id)
}

impl SortedSet {
    /// The files that were found; streams have not been told of any.
    pub(crate) fn new(found: Found, cache: Arc<BlockCache>, is_salvage: bool) -> Self {
        let files = found.files.into_iter();
        Self {
            held: files
                .map(|file| (file.id(), Held::of(file, false)))
                .collect(),
            cache,
            next_id: found.next_id,
            begun: 0,
            current_from: 0,
            is_salvage,
            lost: Vec::new(),
            dir: found.dir,
            damage: None,
        }
    }

    pub(crate) fn cache(&self) -> &Arc<BlockCache> {
        &self.cache
    }

    /// Whether there is no file.
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// The file with that id.
    pub(crate) fn find(&self, id: u64) -> Option<&Arc<SortedFile>> {
        self.held.get(&id).map(|held| &held.file)
    }

    /// A run of a stream and its file; what is wrong with it, if it cannot be read, is kept.
    pub(crate) fn find_run(&mut self, id: u64, slot: u32) -> Option<(Arc<SortedFile>, RunRow)> {
        let file = self.find(id).cloned();
        let missing = || Error::Corrupt {
            path: self.dir.join(super::name(id)),
            offset: 0,
            what: "a sorted segment with entries of the checkpoint is missing",
        };
        let found = file.ok_or_else(missing);
        match found.and_then(|file| Ok((file.run(slot)?, file))) {
            Ok((row, file)) => Some((file, row)),
            Err(error) => {
                self.damage.get_or_insert(error);
                None
            }
        }
    }

    /// What was wrong with the first run that was not there.
    pub(crate) fn take_damage(&mut self) -> Option<Error> {
        self.damage.take()
    }

    /// A run is left out.
    pub(crate) fn note_lost(&mut self, run: LostRun) {
        self.lost.push(run);
    }

    /// The runs that were left out.
    pub(crate) fn lost(&self) -> &[LostRun] {
        &self.lost
    }

    /// An id that no file has had.
    pub(crate) fn take_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    /// The lowest id that no file has had.
    pub(crate) fn next_id(&self) -> u64 {
        self.next_id
    }

    /// Ids below `bound` have been given.
    pub(crate) fn raise_next_id(&mut self, bound: u64) {
        self.next_id = self.next_id.max(bound);
    }

    /// Takes in a file that streams are about to be told of.
    pub(crate) fn insert(&mut self, file: Arc<SortedFile>) {
        self.held.insert(file.id(), Held::of(file, true));
    }

    /// All streams were told of the file.
    pub(crate) fn settle(&mut self, id: u64) {
        if let Some(held) = self.held.get_mut(&id) {
            held.is_new = false;
        }
    }

    /// Entries have moved: what no checkpoint knows yet.
    pub(crate) fn note_move(&mut self) {
        self.current_from = self.begun + 1;
    }

    /// A checkpoint begins; its number. What is dead now is not in it, nor in any later one.
    pub(crate) fn begin_checkpoint(&mut self) -> u64 {
        self.begun += 1;
        for held in self.held.values_mut() {
            let is_dead = held.is_dead(self.is_salvage);
            held.death.note(self.begun, is_dead);
        }
        self.begun
    }

    /// Whether nothing was sorted since the checkpoint of that number began.
    pub(crate) fn is_current(&self, checkpoint: u64) -> bool {
        checkpoint >= self.current_from
    }

    /// Takes out the files that neither checkpoint `oldest` nor a later one needs.
    pub(crate) fn take_dead(&mut self, oldest: u64) -> Vec<Arc<SortedFile>> {
        let dead = self.held.values();
        let dead = dead.filter(|held| held.death.is_before(oldest));
        let dead: Vec<_> = dead.map(|held| Arc::clone(&held.file)).collect();
        for file in &dead {
            self.held.remove(&file.id());
        }
        dead
    }

    /// Another set of the same files.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn twin(&self) -> Self {
        let found = Found {
            files: self.files().cloned().collect(),
            next_id: self.next_id,
            ..Found::default()
        };
        Self::new(found, Arc::clone(&self.cache), self.is_salvage)
    }

    /// All files.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Arc<SortedFile>> {
        self.held.values().map(|held| &held.file)
    }

    /// Whether there is a file that was found dead by a checkpoint behind `oldest`.
    pub(crate) fn has_dead(&self, oldest: u64) -> bool {
        self.held.values().any(|held| held.death.is_behind(oldest))
    }

    /// Bytes of dead files.
    pub(crate) fn dead_bytes(&self) -> u64 {
        let dead = self.held.values();
        let dead = dead.filter(|held| held.is_dead(self.is_salvage));
        dead.map(|held| held.file.len()).sum()
    }
}

//! Sorted segments, run by run.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Dump, Value};
use crate::engine::SORTED;
use crate::entries::Fields;
use crate::sorted::{self, BlockCache, SortedFile, SortedSet};
use crate::storage::Storage;
use crate::{Error, Result};

/// What is in the directory of sorted segments.
pub(super) struct Sorted {
    pub(super) set: SortedSet,
    damaged: Vec<(Error, u64)>,
    dir: PathBuf,
}

impl Sorted {
    pub(super) fn find(storage: &dyn Storage, dir: &Path) -> Result<Self> {
        let dir = dir.join(SORTED);
        let cache = Arc::new(BlockCache::new(0));
        let mut found = sorted::find(storage, &dir, &cache)?;
        let damaged = std::mem::take(&mut found.damaged);
        // Streams of which a run is lost are shown all the same.
        let set = SortedSet::new(found, cache, true);
        Ok(Self { set, damaged, dir })
    }

    /// The path of the file with that id.
    pub(super) fn path(&self, id: u64) -> PathBuf {
        self.dir.join(sorted::name(id))
    }
}

impl Dump<'_> {
    pub(super) fn sorted_segments(&mut self) {
        for (error, len) in std::mem::take(&mut self.sorted.damaged) {
            self.bad_sorted(error, len);
        }
        let files: Vec<_> = self.sorted.set.files().map(Arc::clone).collect();
        for file in files {
            if self.is_over {
                return;
            }
            self.sorted_segment(&file);
        }
    }

    fn bad_sorted(&mut self, error: Error, len: u64) {
        if let Error::Corrupt { path, offset, what } = error {
            self.bad(&path, (offset, len), what);
        }
    }

    fn sorted_segment(&mut self, file: &SortedFile) {
        let path = file.path().to_string_lossy();
        let footer = file.footer();
        let values = vec![
            ("file", Value::Text(&path)),
            ("id", Value::Number(file.id())),
            ("len", Value::Number(file.len())),
            ("runs", Value::Number(footer.runs.into())),
            ("blocks", Value::Number(footer.blocks.into())),
            ("entries", Value::Number(footer.entries)),
        ];
        self.item("sorted segment", 0, values);
        for slot in 0..footer.runs {
            if self.is_over {
                return;
            }
            self.sorted_run(file, slot);
        }
    }

    fn sorted_run(&mut self, file: &SortedFile, slot: u32) {
        let run = match file.run(slot) {
            Ok(run) => run,
            Err(error) => return self.bad_sorted(error, 0),
        };
        if !self.names.wants(run.stream) || !self.wants_id(run.last_id) {
            return;
        }
        let name = self.names.get(run.stream).map(|(_, key)| key.clone());
        let name = || name.as_deref().map_or(Value::None, Value::Bytes);
        let values = vec![
            ("slot", Value::Number(slot.into())),
            ("stream", Value::Number(run.stream)),
            ("name", name()),
            ("entries", Value::Number(run.entries.into())),
            ("first_id", Value::Id(run.first_id)),
            ("last_id", Value::Id(run.last_id)),
            ("blocks", Value::Number(run.blocks.into())),
            ("nodes", Value::Number(run.nodes.into())),
        ];
        self.item("run of stream", 1, values);
        for block in file.blocks_of(&run) {
            let block = match block {
                Ok(block) => block,
                Err(error) => {
                    self.bad_sorted(error, 0);
                    continue;
                }
            };
            for (id, body) in block.entries() {
                if self.is_over {
                    return;
                }
                if self.wants_id(id) {
                    let fields = Fields::of(body).map(Value::Bytes).collect();
                    let values = vec![
                        ("stream", Value::Number(run.stream)),
                        ("name", name()),
                        ("id", Value::Id(id)),
                        ("fields", Value::List(fields)),
                    ];
                    self.item("sorted entry", 2, values);
                }
            }
        }
    }
}

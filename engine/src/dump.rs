//! What is in a directory, as items that can be read: files, frames, records, streams.
//!
//! ```text
//!   log/         segment, frame, record ... bad ..., segment ...
//!   sorted/      sorted segment, run of stream, sorted entry ... bad ...
//!   checkpoint/  checkpoint, databases, stream, run, node, group, consumer, pending ... bad ...
//! ```
//!
//! An item is a kind and named values, so that whoever shows them knows nothing of records, and
//! another sort of file is another sort of items. Items are handed out one by one; a segment, or a
//! checkpoint, is what is in memory at a time. Bad bytes are items too, and the dump goes on behind
//! them.

mod checkpoint;
mod log;
mod names;
mod record;
mod sorted;

use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::Arc;

use crate::engine::hold;
use crate::storage::read_only::ReadOnly;
use crate::storage::{RealStorage, Storage};
use crate::{EntryId, Result};
use names::Names;
use sorted::Sorted;

/// What to show.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DumpOptions {
    /// Only streams that bear or bore this name.
    pub stream: Option<Vec<u8>>,
    /// Only streams of this database.
    pub db: Option<u8>,
    /// Only entries, and pending ones, from this ID on.
    pub from: Option<EntryId>,
    /// Only frames that begin in this range of the log.
    pub lsn: Range<u64>,
    /// The log.
    pub log: bool,
    /// The sorted segments.
    pub sorted: bool,
    /// The checkpoints.
    pub checkpoints: bool,
}

impl Default for DumpOptions {
    fn default() -> Self {
        Self {
            stream: None,
            db: None,
            from: None,
            lsn: 0..u64::MAX,
            log: true,
            sorted: true,
            checkpoints: true,
        }
    }
}

/// Something that is there.
#[derive(Debug)]
pub struct Item<'a> {
    /// What it is, e.g. `segment` or `entry`.
    pub kind: &'static str,
    /// How deep it lies in others: 0 is a file.
    pub depth: usize,
    /// What is known of it.
    pub values: Vec<(&'static str, Value<'a>)>,
}

/// A value of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Value<'a> {
    /// Nothing.
    None,
    /// A number.
    Number(u64),
    /// A claim.
    Flag(bool),
    /// An entry ID.
    Id(EntryId),
    /// Words of ours.
    Text(&'a str),
    /// Bytes of a user: a name, a field.
    Bytes(&'a [u8]),
    /// A list.
    List(Vec<Value<'a>>),
    /// Named values.
    Named(Vec<(&'static str, Value<'a>)>),
}

/// Where items go.
pub type Visitor<'a> = &'a mut dyn FnMut(&Item<'_>) -> ControlFlow<()>;

/// What a dump met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DumpReport {
    /// Items that were handed out.
    pub items: u64,
    /// Places with bad bytes among them.
    pub bad: u64,
}

/// Hands out what is in the directory `dir`, which nobody has open, until `visitor` breaks.
///
/// # Errors
///
/// [`Locked`](crate::Error::Locked) if it is in use, [`Io`](crate::Error::Io) if it cannot be read.
pub fn dump(dir: &Path, options: &DumpOptions, visitor: Visitor<'_>) -> Result<DumpReport> {
    let storage: Arc<dyn Storage> = Arc::new(RealStorage);
    let _held = hold(&*storage, dir)?;
    let storage = ReadOnly(storage);
    let mut sorted = Sorted::find(&storage, dir)?;
    let names = Names::of(&storage, dir, options, &mut sorted.set)?;
    let mut dump = Dump {
        storage: &storage,
        dir,
        options,
        names,
        sorted,
        visitor,
        report: DumpReport::default(),
        is_over: false,
    };
    if options.log {
        dump.log()?;
    }
    if options.sorted {
        dump.sorted_segments();
    }
    if options.checkpoints {
        dump.checkpoints()?;
    }
    Ok(dump.report)
}

/// A dump under way.
struct Dump<'a> {
    storage: &'a dyn Storage,
    dir: &'a Path,
    options: &'a DumpOptions,
    names: Names,
    sorted: Sorted,
    visitor: Visitor<'a>,
    report: DumpReport,
    /// Nobody listens any more.
    is_over: bool,
}

impl Dump<'_> {
    fn item(&mut self, kind: &'static str, depth: usize, values: Vec<(&'static str, Value<'_>)>) {
        if self.is_over {
            return;
        }
        self.report.items += 1;
        let item = Item {
            kind,
            depth,
            values,
        };
        self.is_over = (self.visitor)(&item).is_break();
    }

    /// Bytes that are not what was written.
    fn bad(&mut self, path: &Path, (offset, len): (u64, u64), what: &str) {
        self.report.bad += 1;
        let file = path.to_string_lossy();
        let values = vec![
            ("file", Value::Text(&file)),
            ("offset", Value::Number(offset)),
            ("len", Value::Number(len)),
            ("what", Value::Text(what)),
        ];
        self.item("bad", 1, values);
    }

    /// Whether entries with this ID are to be shown.
    fn wants_id(&self, id: EntryId) -> bool {
        self.options.from.is_none_or(|from| id >= from)
    }
}

impl From<Option<u64>> for Value<'_> {
    fn from(value: Option<u64>) -> Self {
        value.map_or(Value::None, Value::Number)
    }
}

#[cfg(test)]
mod tests;

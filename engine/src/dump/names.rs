//! Streams are numbers in the log; a name appears once. This follows names to numbers.
//!
//! What checkpoints say comes first, and what the log says after them in its order. If only one
//! name is wanted, the log is read once before it is shown: a stream that gets the name later is
//! shown from its beginning.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::DumpOptions;
use crate::checkpoint;
use crate::engine::{CHECKPOINT, LOG};
use crate::error::io_error;
use crate::format::record::{Record, StreamChange};
use crate::limits::DATABASES;
use crate::log::Segment;
use crate::log::scan::{Bytes, Piece};
use crate::log::segment::parse_name;
use crate::sorted::SortedSet;
use crate::storage::Storage;
use crate::{Lsn, Result, snapshot};

/// Names of streams, and which of them are wanted.
pub(super) struct Names {
    by_number: HashMap<u64, (u8, Vec<u8>)>,
    wanted: Option<HashSet<u64>>,
    /// What of it the table of databases covers, and the table.
    covers: Lsn,
    mapping: [u8; DATABASES as usize],
    /// Where the log begins that the oldest checkpoint needs.
    begin: Option<Lsn>,
}

/// What is wanted.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    stream: Option<&'a [u8]>,
    db: Option<u8>,
}

impl Names {
    /// The names that the checkpoints know, and the numbers of those that `options` ask for.
    pub(super) fn of(
        storage: &dyn Storage,
        dir: &Path,
        options: &DumpOptions,
        sorted: &mut SortedSet,
    ) -> Result<Self> {
        let mut names = Self {
            by_number: HashMap::new(),
            wanted: None,
            covers: Lsn::ZERO,
            mapping: std::array::from_fn(|db| u8::try_from(db).expect("16 databases")),
            begin: None,
        };
        let mut given = Vec::new();
        for path in files(storage, &dir.join(CHECKPOINT), &checkpoint::is_checkpoint)? {
            let bytes = checkpoint::bytes_of(storage, &path)?;
            if let Ok(report) = checkpoint::verify(&bytes) {
                let begin = names.begin.map_or(report.begin, |it| it.min(report.begin));
                names.begin = Some(begin);
            }
            let mut reader = snapshot::Reader::default();
            for part in checkpoint::remains(&bytes) {
                let section = part.section.and_then(snapshot::Section::decode);
                match section.and_then(|section| reader.take(section, sorted)) {
                    Ok(snapshot::Part::Head { mapping, covers }) => {
                        (names.mapping, names.covers) = (mapping, covers);
                    }
                    Ok(snapshot::Part::Streams(streams)) => {
                        for stream in streams.into_iter().flatten() {
                            let name = (stream.db, stream.key.to_vec());
                            given.push((stream.number, name.clone()));
                            names.by_number.insert(stream.number, name);
                        }
                    }
                    Ok(snapshot::Part::Tail { .. }) | Err(_) => {}
                }
            }
        }
        if options.stream.is_some() || options.db.is_some() {
            names.scan(storage, dir, &mut given)?;
            let wanted = Wanted {
                stream: options.stream.as_deref(),
                db: options.db,
            };
            let is_wanted = |(_, name): &&(u64, (u8, Vec<u8>))| names.is_wanted(wanted, name);
            let numbers = given.iter().filter(is_wanted).map(|(number, _)| *number);
            names.wanted = Some(numbers.collect());
        }
        Ok(names)
    }

    fn is_wanted(&self, wanted: Wanted<'_>, (db, key): &(u8, Vec<u8>)) -> bool {
        wanted.stream.is_none_or(|stream| stream == key)
            && wanted.db.is_none_or(|logical| {
                self.mapping
                    .get(usize::from(logical))
                    .is_some_and(|it| it == db)
            })
    }

    /// Collects all names that the log gives.
    fn scan(
        &mut self,
        storage: &dyn Storage,
        dir: &Path,
        given: &mut Vec<(u64, (u8, Vec<u8>))>,
    ) -> Result<()> {
        let is_segment = |name: &str| parse_name(name).is_some();
        let mut buffer = Vec::new();
        for path in files(storage, &dir.join(LOG), &is_segment)? {
            let opened = Segment::open(storage, &path);
            let Some(segment) = opened.ok().or(Segment::open_remains(storage, &path)?) else {
                continue;
            };
            segment.read_uncached(segment.frames_lsn(), u64::MAX, &mut buffer)?;
            let bytes = Bytes {
                raw: &buffer,
                lsn: segment.frames_lsn(),
                identity: segment.identity(),
            };
            for piece in bytes.pieces() {
                let Piece::Frame(lsn, frame) = piece else {
                    continue;
                };
                let mut rest = frame.payload;
                while let Some(record) = Record::take(&mut rest) {
                    match record {
                        Record::DatabasesSwapped { a, b } if lsn >= self.covers => {
                            let in_table = a.max(b) < DATABASES;
                            if in_table {
                                self.mapping.swap(usize::from(a), usize::from(b));
                            }
                        }
                        Record::Stream {
                            stream,
                            change:
                                StreamChange::Created { db, key } | StreamChange::Moved { db, key },
                        } => given.push((stream, (db, key.to_vec()))),
                        _ => {}
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes in what a record says of names.
    pub(super) fn learn(&mut self, record: &Record<'_>) {
        if let Record::Stream {
            stream,
            change: StreamChange::Created { db, key } | StreamChange::Moved { db, key },
        } = *record
        {
            self.by_number.insert(stream, (db, key.to_vec()));
        }
    }

    /// The name of a stream: physical database and key.
    pub(super) fn get(&self, stream: u64) -> Option<&(u8, Vec<u8>)> {
        self.by_number.get(&stream)
    }

    /// Whether log is needed before `lsn`: what lies before the oldest checkpoint may be gone.
    pub(super) fn needs_before(&self, lsn: Lsn) -> bool {
        self.begin.is_none_or(|begin| begin < lsn)
    }

    /// Whether all is wanted.
    pub(super) fn wants_all(&self) -> bool {
        self.wanted.is_none()
    }

    pub(super) fn wants(&self, stream: u64) -> bool {
        self.wanted
            .as_ref()
            .is_none_or(|wanted| wanted.contains(&stream))
    }
}

/// The files of a directory with such names, in order.
pub(super) fn files(
    storage: &dyn Storage,
    dir: &Path,
    is_one: &dyn Fn(&str) -> bool,
) -> Result<Vec<std::path::PathBuf>> {
    let entries = storage
        .list(dir)
        .map_err(|error| io_error("list", dir, error))?;
    let ours = entries
        .iter()
        .filter(|entry| !entry.is_dir && is_one(&entry.name));
    Ok(ours.map(|entry| dir.join(&entry.name)).collect())
}

//! Building a file and reading it back, whole and damaged.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{BlockCache, Builder, SortedFile, SortedSet, find};
use crate::format::entry;
use crate::format::sorted::{self as format, Header, Row};
use crate::format::tests::{FIELDS, dump, shown};
use crate::storage::Storage;
use crate::storage::simulated::SimulatedStorage;
use crate::{EntryId, Lsn, Result};

const DIR: &str = "/sorted";

/// A body with one field, whose value is `len` bytes that do not compress well.
fn body(seed: u64, len: usize) -> Vec<u8> {
    let mut body = vec![1, 1, b'f'];
    crate::format::varint::put(&mut body, len as u64);
    let noise = |at: usize| crc32fast::hash(&[seed.to_le_bytes(), at.to_le_bytes()].concat());
    body.extend((0..len).map(|at| noise(at).to_le_bytes()[0]));
    body
}

fn id(at: u64) -> EntryId {
    EntryId::new(100 + at / 3, at)
}

/// Streams with few, many and huge entries.
fn build(storage: &SimulatedStorage) -> PathBuf {
    storage.create_dir(Path::new(DIR)).unwrap();
    let header = Header { id: 7, store: 1 };
    let mut builder = Builder::create(storage, Path::new(DIR), header).unwrap();
    for (stream, entries, len) in [(3, 1, 10), (4, 500, 100), (1 << 33, 3, 40_000)] {
        builder.begin_run(stream).unwrap();
        for at in 0..entries {
            if at % 100 == 0 {
                let base = Lsn(stream * 1000 + at);
                builder.begin_node(id(at + 99), base, 100);
            }
            builder.entry(id(at), &body(at, len)).unwrap();
        }
    }
    builder.finish().unwrap()
}

/// Reads everything, by position and by ID.
fn verify(file: &SortedFile) -> Result<u64> {
    let mut count = 0;
    for slot in 0..file.footer().runs {
        let run = file.run(slot)?;
        let len = [10, 100, 40_000][slot as usize];
        for ordinal in 0..run.entries {
            let at = u64::from(ordinal);
            let block = file.passing_block(file.block_of(&run, ordinal)?)?;
            let found = block.entry(ordinal).map(|(id, body)| (id, body.to_vec()));
            assert_eq!(found, Some((id(at), body(at, len))));
            assert_eq!(file.lower_bound(&run, id(at))?, ordinal);
            assert_eq!(file.lower_bound(&run, id(at).next().unwrap())?, ordinal + 1);
            let node = file.node_of(&run, ordinal)?;
            assert_eq!(node, ordinal / 100);
            assert_eq!(
                file.node(&run, node)?.last_id,
                id(u64::from(node) * 100 + 99)
            );
            count += 1;
        }
        assert_eq!(file.lower_bound(&run, EntryId::MIN)?, 0);
    }
    Ok(count)
}

fn cache() -> Arc<BlockCache> {
    Arc::new(BlockCache::new(1 << 20))
}

#[test]
fn what_is_built_is_read_back() {
    let storage = SimulatedStorage::new();
    let path = build(&storage);
    // Names and bytes are durable when the builder has finished.
    let storage = storage.crash(1);
    let file = SortedFile::open(&storage, &path, &cache()).unwrap();
    assert_eq!((file.id(), file.footer().entries), (7, 504));
    assert!(file.footer().blocks > 5);
    assert_eq!(verify(&file).unwrap(), 504);
    file.verify(&mut |error| panic!("{error}"));
}

/// Durability: P8.
#[test]
fn no_damaged_byte_leads_to_a_wrong_answer() {
    let storage = SimulatedStorage::new();
    let path = build(&storage);
    let content = storage.content(&path);
    let tables_at = SortedFile::open(&storage, &path, &cache()).unwrap();
    let tables_at = usize::try_from(tables_at.footer().tables_at).unwrap();
    let (mut refused, mut failed) = (0, 0);
    for offset in (0..tables_at).step_by(997).chain(tables_at..content.len()) {
        let storage = storage.snapshot();
        storage.damage(&path, offset, &[content[offset] ^ 0x11]);
        match SortedFile::open(&storage, &path, &cache()) {
            Ok(file) => {
                verify(&file).unwrap_err();
                let mut told = Vec::new();
                file.verify(&mut |error| told.push(error));
                assert!(!told.is_empty());
                failed += 1;
            }
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 20 && failed > 100, "{refused} {failed}");
}

#[test]
fn unfinished_files_are_removed_and_foreign_ones_reported() {
    let storage = SimulatedStorage::new();
    build(&storage);
    let (id, store) = (8, 1);
    drop(Builder::create(&storage, Path::new(DIR), Header { id, store }).unwrap());
    let foreign = Path::new(DIR).join("7.seg");
    storage
        .open(&foreign, crate::storage::Access::Create)
        .unwrap();
    let cache = cache();
    let mut found = find(&storage, Path::new(DIR), &cache).unwrap();
    assert_eq!((found.files.len(), &found.unknown[..]), (1, &[foreign][..]));
    assert_eq!(storage.files().len(), 2);
    assert!(found.foreign(1).is_empty());
    let mut set = SortedSet::new(found, cache, false);
    assert_eq!(set.take_id(), 8);
    let mut found = find(&storage, Path::new(DIR), set.cache()).unwrap();
    assert_eq!((found.foreign(2).len(), found.files.len()), (1, 0));
}

#[test]
fn a_dead_file_goes_when_the_oldest_checkpoint_began_without_it() {
    let storage = SimulatedStorage::new();
    build(&storage);
    let cache = cache();
    let found = find(&storage, Path::new(DIR), &cache).unwrap();
    let file = Arc::clone(&found.files[0]);
    let mut set = SortedSet::new(found, cache, false);
    file.entries_live(504);
    assert_eq!(set.begin_checkpoint(), 1);
    file.entries_died(504);
    assert_eq!(set.dead_bytes(), file.len());
    assert!(set.take_dead(1).is_empty(), "checkpoint 1 may hold it");
    assert_eq!(set.begin_checkpoint(), 2);
    assert!(set.take_dead(1).is_empty());
    assert_eq!(set.take_dead(2).len(), 1);
    // A file that streams are just being told of is not dead, whatever it seems.
    set.insert(file);
    assert_eq!(set.begin_checkpoint(), 3);
    assert!(set.take_dead(3).is_empty());
    set.settle(7);
    assert_eq!(set.begin_checkpoint(), 4);
    assert_eq!(set.take_dead(4).len(), 1);
}

#[test]
fn the_sorted_segment_of_the_page_is_what_is_written_and_it_decodes() {
    let dir = Path::new(DIR);
    let storage = SimulatedStorage::new();
    storage.create_dir(dir).unwrap();
    let (id, store) = (5, 1);
    let mut builder = Builder::create(&storage, dir, format::Header { id, store }).unwrap();
    let ids = [0, 1].map(|seq| EntryId::new(1_700_000_000_000, seq));
    let mut record = Vec::new();
    let (stream, starts_node) = (0, true);
    let id = ids[0];
    let lsn = Lsn(4118);
    let head = entry::NewEntry {
        lsn,
        stream,
        id,
        starts_node,
    };
    entry::put(&mut record, head, entry::body_len(&FIELDS), &FIELDS);
    let body = entry::entry(&record, lsn).unwrap().body;
    builder.begin_run(stream).unwrap();
    builder.begin_node(ids[1], lsn, 2);
    for id in ids {
        builder.entry(id, body).unwrap();
    }
    let path = builder.finish().unwrap();
    let bytes = shown(1, &dump(0, &storage.content(&path)));

    let header = format::decode_header(&bytes).unwrap();
    assert_eq!((header.id, header.store), (5, 1));
    let len = bytes.len() as u64;
    let end = &bytes[bytes.len() - format::FOOTER_LEN..];
    let footer = format::Footer::decode(end, 5, len).unwrap();
    let run = format::RunRow::decode(&bytes, 5, &footer, 0).unwrap();
    assert_eq!((run.first_id, run.last_id), (ids[0], ids[1]));
    let row = format::BlockRow::decode(&bytes, 5, &footer, run.first_block).unwrap();
    let start = usize::try_from(row.offset).unwrap();
    let block = &bytes[start..start + row.len as usize];
    let raw = format::decode_block(block, 5, row.offset).unwrap();
    let (bodies_at, entries) = format::split_block(&raw).unwrap();
    assert_eq!(entries.iter().map(|entry| entry.0).collect::<Vec<_>>(), ids);
    assert_eq!(&raw[bodies_at..bodies_at + body.len()], body);
    let node = format::NodeRow::decode(&bytes, 5, &footer, run.first_node).unwrap();
    assert_eq!((node.last_id, node.base, node.added), (ids[1], 4118, 2));
}

//! `docs/format.md` is held against the code.

use super::{checkpoint, entry, frame, record, segment, sorted};
use crate::format::record::{Record, StreamChange};
use crate::{EntryId, Lsn, limits};

const DOC: &str = include_str!("../../../docs/format.md");

const IDENTITY: u64 = 0x0123_4567_89AB_CDEF;
const STORE: u32 = 0x5EED_5EED;
pub(crate) const FIELDS: [&[u8]; 4] = [b"user-id", b"jake", b"tx-amount", b"1000"];

/// The rows of all tables, as trimmed cells.
fn rows() -> Vec<Vec<&'static str>> {
    let lines = DOC.lines().filter(|line| line.starts_with('|'));
    let cells = |line: &'static str| line.trim_matches('|').split('|').map(str::trim).collect();
    lines.map(cells).collect()
}

#[test]
fn the_constants_of_the_page_are_those_of_the_code() {
    let constants = [
        ("segment::HEADER_LEN", segment::HEADER_LEN as u64),
        ("segment::FIELDS_LEN", segment::FIELDS_LEN as u64),
        ("segment::VERSION", segment::VERSION.into()),
        ("SEGMENT_SIZE_DEFAULT", limits::SEGMENT_SIZE_DEFAULT),
        ("SEGMENT_SIZE_MIN", limits::SEGMENT_SIZE_MIN),
        ("SEGMENT_SIZE_MAX", limits::SEGMENT_SIZE_MAX),
        ("frame::HEADER_LEN", frame::HEADER_LEN as u64),
        ("frame::ALIGN", frame::ALIGN as u64),
        ("frame::MAGIC", frame::MAGIC.into()),
        ("frame::CONTINUES", frame::CONTINUES.into()),
        ("frame::SEALS", frame::SEALS.into()),
        ("frame::VOIDS", frame::VOIDS.into()),
        ("frame::RESUMES", frame::RESUMES.into()),
        ("FRAME_PAYLOAD_MAX", limits::FRAME_PAYLOAD_MAX as u64),
        ("KEY_LEN_MAX", limits::KEY_LEN_MAX as u64),
        ("NAME_LEN_MAX", limits::NAME_LEN_MAX as u64),
        ("ENTRY_LEN_MAX", limits::ENTRY_LEN_MAX as u64),
        ("RECORD_IDS_MAX", limits::RECORD_IDS_MAX as u64),
        ("DATABASES", limits::DATABASES.into()),
        ("NODE_ENTRIES_MAX", limits::NODE_ENTRIES_MAX.into()),
        ("checkpoint::HEADER_LEN", checkpoint::HEADER_LEN as u64),
        (
            "checkpoint::SECTION_HEADER_LEN",
            checkpoint::SECTION_HEADER_LEN as u64,
        ),
        ("checkpoint::TRAILER_LEN", checkpoint::TRAILER_LEN as u64),
        ("checkpoint::VERSION", checkpoint::VERSION.into()),
        (
            "checkpoint::SECTION_LEN_MAX",
            checkpoint::SECTION_LEN_MAX as u64,
        ),
        ("SECTION_MEMORY_MAX", limits::SECTION_MEMORY_MAX as u64),
        ("sorted::HEADER_LEN", sorted::HEADER_LEN as u64),
        ("sorted::BLOCK_HEADER_LEN", sorted::BLOCK_HEADER_LEN as u64),
        ("sorted::RUN_LEN", sorted::RUN_LEN as u64),
        ("sorted::BLOCK_LEN", sorted::BLOCK_LEN as u64),
        ("sorted::NODE_LEN", sorted::NODE_LEN as u64),
        ("sorted::FOOTER_LEN", sorted::FOOTER_LEN as u64),
        ("sorted::VERSION", sorted::VERSION.into()),
        ("sorted::BLOCK_RAW_LEN", sorted::BLOCK_RAW_LEN as u64),
        ("sorted::BLOCK_RAW_MAX", sorted::BLOCK_RAW_MAX as u64),
    ];
    let is_name = |cell: &str| {
        let name = cell.trim_matches('`');
        name.len() > 4 && name.chars().any(|letter| letter == '_' || letter == ':')
            || name == "DATABASES"
    };
    let on_page: Vec<_> = rows()
        .into_iter()
        .filter(|row| row[0].starts_with('`') && is_name(row[0]))
        .map(|row| (row[0].trim_matches('`'), row[1].parse::<u64>().unwrap()))
        .collect();
    assert_eq!(on_page, constants);
}

#[test]
fn the_offsets_of_the_page_are_those_of_the_code() {
    use frame::{FLAGS_AT, HEADER_LEN, LAG_AT, MAGIC_AT, PAYLOAD_LEN_AT, ZERO_AT};
    use segment::{
        CRC_AT, FIELDS_LEN, FIRST_AT, HEADER_LEN_AT, IDENTITY_AT, LEN_AT, STORE_AT, VERSION_AT,
    };
    let offsets = |title: &str| -> Vec<usize> {
        let section = DOC.split(title).nth(1).unwrap();
        let lines = section
            .lines()
            .skip_while(|line| !line.starts_with("| offset"));
        let rows = lines.skip(2).take_while(|line| line.starts_with('|'));
        rows.map(|row| row.split('|').nth(1).unwrap().trim().parse().unwrap())
            .collect()
    };
    assert_eq!(
        offsets("## Segment"),
        [
            0,
            VERSION_AT,
            HEADER_LEN_AT,
            FIRST_AT,
            LEN_AT,
            IDENTITY_AT,
            STORE_AT,
            STORE_AT + 4,
            CRC_AT
        ]
        .into_iter()
        .chain([FIELDS_LEN])
        .collect::<Vec<_>>()
    );
    assert_eq!(
        offsets("## Frame"),
        [
            0,
            PAYLOAD_LEN_AT,
            MAGIC_AT,
            FLAGS_AT,
            ZERO_AT,
            LAG_AT,
            HEADER_LEN
        ]
    );
}

#[test]
fn every_kind_of_record_is_on_the_page() {
    let kinds: Vec<u8> = rows()
        .into_iter()
        .filter(|row| row.len() == 3 && row[1].starts_with('`'))
        .filter_map(|row| row[0].parse().ok())
        .collect();
    assert_eq!(kinds, record::kinds());
}

/// The header and the frame that the page shows.
fn example() -> (Vec<u8>, Vec<u8>) {
    let header = segment::Header {
        first: Lsn(0),
        len: limits::SEGMENT_SIZE_DEFAULT,
        identity: IDENTITY,
        store: STORE,
    };
    let mut bytes = vec![0; frame::HEADER_LEN];
    let created = StreamChange::Created { db: 0, key: b"tx" };
    Record::Stream {
        stream: 0,
        change: created,
    }
    .put(&mut bytes);
    let head = entry::NewEntry {
        lsn: Lsn((segment::HEADER_LEN + bytes.len()) as u64),
        stream: 0,
        id: EntryId::new(1_700_000_000_000, 0),
        starts_node: true,
    };
    entry::put(&mut bytes, head, entry::body_len(&FIELDS), &FIELDS);
    let lsn = Lsn(segment::HEADER_LEN as u64);
    frame::finish(&mut bytes, IDENTITY, lsn, 0, lsn);
    bytes.resize(bytes.len().next_multiple_of(frame::ALIGN), 0);
    (header.encode().to_vec(), bytes)
}

/// Bytes as the page shows them.
pub(crate) fn dump(start: usize, bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut dump = String::new();
    for (index, line) in bytes.chunks(16).enumerate() {
        write!(dump, "{:08x} ", start + index * 16).unwrap();
        for byte in line {
            write!(dump, " {byte:02x}").unwrap();
        }
        let is_shown = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
        let text = line
            .iter()
            .map(|&byte| if is_shown(byte) { byte as char } else { '.' });
        let gap = " ".repeat(3 * (16 - line.len()) + 2);
        writeln!(dump, "{gap}|{}|", text.collect::<String>()).unwrap();
    }
    dump
}

/// The bytes of a dump of the page, which is what is expected.
pub(crate) fn shown(number: usize, expected: &str) -> Vec<u8> {
    let dumps = DOC.split("```dump\n").nth(number);
    let on_page = dumps.and_then(|rest| rest.split("```").next());
    assert_eq!(on_page, Some(expected), "expected\n{expected}");
    let lines = expected.lines().map(|line| &line[10..10 + 3 * 16]);
    let bytes = lines.flat_map(str::split_ascii_whitespace);
    bytes
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect()
}

#[test]
fn the_dump_of_the_page_is_what_is_written_and_it_decodes() {
    let (header, frame_bytes) = example();
    let expected = dump(0, &header) + &dump(segment::HEADER_LEN, &frame_bytes);
    let bytes = shown(2, &expected);
    let (header, frame_bytes) = bytes.split_at(segment::FIELDS_LEN);
    let header = segment::Header::decode(header.try_into().unwrap()).unwrap();
    let lsn = Lsn(segment::HEADER_LEN as u64);
    let frame::Found::Frame(found) = frame::decode(frame_bytes, header.identity, lsn) else {
        panic!("expected a frame");
    };
    assert_eq!(found.durable, lsn);
    let mut payload = found.payload;
    assert!(matches!(
        Record::take(&mut payload),
        Some(Record::Stream {
            change: StreamChange::Created { db: 0, key: b"tx" },
            ..
        })
    ));
    let lsn = lsn.plus((frame::HEADER_LEN + found.payload.len() - payload.len()) as u64);
    let entry = entry::entry(payload, lsn).unwrap();
    assert_eq!(entry.id, EntryId::new(1_700_000_000_000, 0));
    assert_eq!(entry.body.len(), entry::body_len(&FIELDS));
}

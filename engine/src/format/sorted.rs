//! The sorted segment: entries stream by stream, in compressed blocks, and tables to find them.
//!
//! ```text
//!  header  | magic [8] | version u32 | header len u32 | id u64 | store u32 | crc u32 |
//!  blocks  | crc u32 | codec u8 | zeros [3] | raw len u32 | stored len u32 | stored bytes |   ...
//!  runs    | stream | entries | blocks: first, count | nodes: first, count |
//!          | first ID | last ID | crc |                                                       ...
//!  blocks  | first ID | offset u64 | length u32 | ordinal u32 | crc |                        ...
//!  nodes   | last ID | base LSN | ordinal u32 | added u32 | crc |                            ...
//!  footer  | counts u32 [3] | zeros u32 | tables at u64 | entries u64 | file len u64 | crc |
//!          | magic [8] |
//! ```
//!
//! A *run* is what the file holds of one stream; an *ordinal* counts the entries of a run. Tables
//! are read in place, a row at a time: each row has a checksum that is salted with the file's id,
//! the table and the row's number, so that no row is believed that was not written at its place.

use crate::EntryId;
use crate::limits::ENTRY_LEN_MAX;

use super::varint::{self, VARINT_LEN_MAX};

/// Marks a sorted segment.
pub(crate) const MAGIC: [u8; 8] = *b"ALLUVSRT";
/// Ends a sorted segment.
pub(crate) const END_MAGIC: [u8; 8] = *b"ALLUVSRE";
/// Version of this layout.
pub(crate) const VERSION: u32 = 1;
/// Length of the header in bytes.
pub(crate) const HEADER_LEN: usize = 32;
/// Length of what precedes the stored bytes of a block.
pub(crate) const BLOCK_HEADER_LEN: usize = 16;
/// Length of a row of the table of runs.
pub(crate) const RUN_LEN: usize = 64;
/// Length of a row of the table of blocks.
pub(crate) const BLOCK_LEN: usize = 36;
/// Length of a row of the table of nodes.
pub(crate) const NODE_LEN: usize = 36;
/// Length of the footer in bytes.
pub(crate) const FOOTER_LEN: usize = 52;
/// A block is full when it holds this many bytes.
pub(crate) const BLOCK_RAW_LEN: usize = 16 << 10;
/// Most bytes that a block may hold: an entry that is larger than a block has one for itself.
pub(crate) const BLOCK_RAW_MAX: usize = ENTRY_LEN_MAX * 2 + BLOCK_RAW_LEN;
/// A block is stored as it is.
pub(crate) const CODEC_RAW: u8 = 0;
/// A block is compressed: an LZ4 block.
pub(crate) const CODEC_LZ4: u8 = 1;

const _: () = assert!(BLOCK_RAW_MAX <= u32::MAX as usize);

/// Why bytes are not what was written.
pub(crate) type Wrong = &'static str;

/// Mixes a file's id and a place in it into the initial value of a checksum.
fn salt(id: u64, place: u64) -> u32 {
    const K: u64 = 0x9e37_79b9_7f4a_7c15;
    let mixed = (id ^ place.wrapping_mul(K)).wrapping_mul(K);
    u32::try_from(mixed >> 32).expect("the high half")
}

fn checksum(id: u64, place: u64, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(salt(id, place));
    hasher.update(bytes);
    hasher.finalize()
}

/// Writes numbers one after the other.
struct Fields(Vec<u8>);

impl Fields {
    fn u32(mut self, value: u32) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    fn u64(mut self, value: u64) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    fn id(self, id: EntryId) -> Self {
        self.u64(id.ms).u64(id.seq)
    }

    /// Ends a row with its checksum.
    fn sealed(self, id: u64, place: u64) -> Vec<u8> {
        let crc = checksum(id, place, &self.0);
        self.u32(crc).0
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn id_at(bytes: &[u8], at: usize) -> EntryId {
    EntryId::new(u64_at(bytes, at), u64_at(bytes, at + 8))
}

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) id: u64,
    /// The data directory that the file belongs to.
    pub(crate) store: u32,
}

/// The bytes of a header.
pub(crate) fn header(Header { id, store }: Header) -> Vec<u8> {
    let header_len = u32::try_from(HEADER_LEN).expect("a small constant");
    let fields = Fields(MAGIC.to_vec()).u32(VERSION).u32(header_len);
    fields.u64(id).u32(store).sealed(0, 0)
}

/// What the header says that is in front of `bytes`.
pub(crate) fn decode_header(bytes: &[u8]) -> Result<Header, Wrong> {
    let bytes = bytes
        .get(..HEADER_LEN)
        .ok_or("a sorted segment is shorter than its header")?;
    if bytes[..8] != MAGIC {
        return Err("expected the magic of a sorted segment");
    }
    if checksum(0, 0, &bytes[..HEADER_LEN - 4]) != u32_at(bytes, HEADER_LEN - 4) {
        return Err("the checksum of the header of a sorted segment does not match");
    }
    if u32_at(bytes, 8) != VERSION {
        return Err("a sorted segment of a version that this release does not know");
    }
    Ok(Header {
        id: u64_at(bytes, 16),
        store: u32_at(bytes, 24),
    })
}

/// The end of a file: how long its tables are, and where they begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) runs: u32,
    pub(crate) blocks: u32,
    pub(crate) nodes: u32,
    /// Offset of the table of runs; those of blocks and nodes follow.
    pub(crate) tables_at: u64,
    pub(crate) entries: u64,
}

impl Footer {
    fn blocks_at(&self) -> u64 {
        self.tables_at + u64::from(self.runs) * RUN_LEN as u64
    }

    fn nodes_at(&self) -> u64 {
        self.blocks_at() + u64::from(self.blocks) * BLOCK_LEN as u64
    }

    /// Length of the whole file.
    pub(crate) fn file_len(&self) -> u64 {
        self.nodes_at() + u64::from(self.nodes) * NODE_LEN as u64 + FOOTER_LEN as u64
    }

    pub(crate) fn encode(&self, id: u64) -> Vec<u8> {
        let counts = Fields(Vec::new())
            .u32(self.runs)
            .u32(self.blocks)
            .u32(self.nodes);
        let places = counts.u32(0).u64(self.tables_at).u64(self.entries);
        let mut bytes = places.u64(self.file_len()).sealed(id, self.file_len());
        bytes.extend_from_slice(&END_MAGIC);
        bytes
    }

    /// Decodes the last bytes of a file of `file_len` bytes.
    pub(crate) fn decode(bytes: &[u8], id: u64, file_len: u64) -> Result<Self, Wrong> {
        if bytes.len() != FOOTER_LEN || bytes[FOOTER_LEN - 8..] != END_MAGIC {
            return Err("expected the end of a sorted segment");
        }
        let (fields, crc) = (&bytes[..FOOTER_LEN - 12], u32_at(bytes, FOOTER_LEN - 12));
        if checksum(id, file_len, fields) != crc {
            return Err("the checksum of the footer of a sorted segment does not match");
        }
        let footer = Self {
            runs: u32_at(bytes, 0),
            blocks: u32_at(bytes, 4),
            nodes: u32_at(bytes, 8),
            tables_at: u64_at(bytes, 16),
            entries: u64_at(bytes, 24),
        };
        let is_sound = (HEADER_LEN as u64..=file_len).contains(&footer.tables_at)
            && footer.file_len() == file_len
            && u64_at(bytes, 32) == file_len;
        is_sound
            .then_some(footer)
            .ok_or("the footer of a sorted segment contradicts itself")
    }
}

/// What a file holds of one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RunRow {
    pub(crate) stream: u64,
    pub(crate) entries: u32,
    pub(crate) first_block: u32,
    pub(crate) blocks: u32,
    pub(crate) first_node: u32,
    pub(crate) nodes: u32,
    pub(crate) first_id: EntryId,
    pub(crate) last_id: EntryId,
}

/// Where a block lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BlockRow {
    pub(crate) first_id: EntryId,
    pub(crate) offset: u64,
    /// Length with the block's header.
    pub(crate) len: u32,
    /// Ordinal of the first entry.
    pub(crate) ordinal: u32,
}

/// A logical node, or the part of one that lies in this run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NodeRow {
    /// The last ID that was added to it, also if that entry was deleted.
    pub(crate) last_id: EntryId,
    /// The LSN of its first entry.
    pub(crate) base: u64,
    /// Ordinal of its first entry in the run.
    pub(crate) ordinal: u32,
    /// Entries ever added to it.
    pub(crate) added: u32,
}

/// A table's row.
pub(crate) trait Row: Sized {
    /// Its number in the salt.
    const TABLE: u64;
    /// Length of a row.
    const LEN: usize;

    /// How many rows there are, and where the first lies.
    fn table(footer: &Footer) -> (u32, u64);
    fn put(&self, out: Vec<u8>) -> Vec<u8>;
    fn read(bytes: &[u8]) -> Self;

    /// The bytes of row number `row` of the file with that id.
    fn encode(&self, id: u64, row: u32) -> Vec<u8> {
        Fields(self.put(Vec::with_capacity(Self::LEN))).sealed(id, place::<Self>(row))
    }

    /// Reads row number `row` of a file's bytes.
    fn decode(file: &[u8], id: u64, footer: &Footer, row: u32) -> Result<Self, Wrong> {
        let (count, at) = Self::table(footer);
        let at = usize::try_from(at + u64::from(row) * Self::LEN as u64);
        let bytes = at.ok().filter(|_| row < count);
        let bytes = bytes.and_then(|at| file.get(at..)?.get(..Self::LEN));
        let bytes = bytes.ok_or("a sorted segment refers to a row that it does not have")?;
        let (fields, crc) = bytes.split_at(Self::LEN - 4);
        if checksum(id, place::<Self>(row), fields) != u32_at(crc, 0) {
            return Err("the checksum of a row of a sorted segment does not match");
        }
        Ok(Self::read(fields))
    }
}

fn place<R: Row>(row: u32) -> u64 {
    (R::TABLE << 56) | u64::from(row)
}

impl Row for RunRow {
    const TABLE: u64 = 1;
    const LEN: usize = RUN_LEN;

    fn table(footer: &Footer) -> (u32, u64) {
        (footer.runs, footer.tables_at)
    }

    fn put(&self, out: Vec<u8>) -> Vec<u8> {
        let fields = Fields(out).u64(self.stream).u32(self.entries);
        let blocks = fields.u32(self.first_block).u32(self.blocks);
        let nodes = blocks.u32(self.first_node).u32(self.nodes);
        nodes.id(self.first_id).id(self.last_id).0
    }

    fn read(bytes: &[u8]) -> Self {
        Self {
            stream: u64_at(bytes, 0),
            entries: u32_at(bytes, 8),
            first_block: u32_at(bytes, 12),
            blocks: u32_at(bytes, 16),
            first_node: u32_at(bytes, 20),
            nodes: u32_at(bytes, 24),
            first_id: id_at(bytes, 28),
            last_id: id_at(bytes, 44),
        }
    }
}

impl Row for BlockRow {
    const TABLE: u64 = 2;
    const LEN: usize = BLOCK_LEN;

    fn table(footer: &Footer) -> (u32, u64) {
        (footer.blocks, footer.blocks_at())
    }

    fn put(&self, out: Vec<u8>) -> Vec<u8> {
        let fields = Fields(out).id(self.first_id).u64(self.offset);
        fields.u32(self.len).u32(self.ordinal).0
    }

    fn read(bytes: &[u8]) -> Self {
        Self {
            first_id: id_at(bytes, 0),
            offset: u64_at(bytes, 16),
            len: u32_at(bytes, 24),
            ordinal: u32_at(bytes, 28),
        }
    }
}

impl Row for NodeRow {
    const TABLE: u64 = 3;
    const LEN: usize = NODE_LEN;

    fn table(footer: &Footer) -> (u32, u64) {
        (footer.nodes, footer.nodes_at())
    }

    fn put(&self, out: Vec<u8>) -> Vec<u8> {
        let fields = Fields(out).id(self.last_id).u64(self.base);
        fields.u32(self.ordinal).u32(self.added).0
    }

    fn read(bytes: &[u8]) -> Self {
        Self {
            last_id: id_at(bytes, 0),
            base: u64_at(bytes, 16),
            ordinal: u32_at(bytes, 24),
            added: u32_at(bytes, 28),
        }
    }
}

/// Appends a block of `raw` bytes, which begins at `offset` of the file with that id.
pub(crate) fn put_block(out: &mut Vec<u8>, id: u64, offset: u64, raw: &[u8]) {
    let packed = lz4_flex::block::compress(raw);
    let (codec, stored) = if packed.len() < raw.len() {
        (CODEC_LZ4, &packed[..])
    } else {
        (CODEC_RAW, raw)
    };
    let start = out.len();
    let len = |bytes: &[u8]| u32::try_from(bytes.len()).expect("blocks are below BLOCK_RAW_MAX");
    out.extend_from_slice(&[0, 0, 0, 0, codec, 0, 0, 0]);
    out.extend_from_slice(&len(raw).to_le_bytes());
    out.extend_from_slice(&len(stored).to_le_bytes());
    out.extend_from_slice(stored);
    let crc = checksum(id, offset, &out[start + 4..]);
    out[start..start + 4].copy_from_slice(&crc.to_le_bytes());
}

/// The raw bytes of the block in `bytes`, which begins at `offset` of the file with that id.
pub(crate) fn decode_block(bytes: &[u8], id: u64, offset: u64) -> Result<Vec<u8>, Wrong> {
    if bytes.len() < BLOCK_HEADER_LEN || checksum(id, offset, &bytes[4..]) != u32_at(bytes, 0) {
        return Err("the checksum of a block of a sorted segment does not match");
    }
    let (header, stored) = bytes.split_at(BLOCK_HEADER_LEN);
    let raw_len = u32_at(header, 8) as usize;
    if raw_len > BLOCK_RAW_MAX || u32_at(header, 12) as usize != stored.len() {
        return Err("the length of a block of a sorted segment is over its limit");
    }
    match header[4] {
        CODEC_RAW if stored.len() == raw_len => Ok(stored.to_vec()),
        // LZ4 makes at most 255 bytes of one: no memory is taken for what cannot be there.
        CODEC_LZ4 if raw_len / 255 <= stored.len() => {
            let mut raw = vec![0; raw_len];
            let len = lz4_flex::block::decompress_into(stored, &mut raw);
            len.is_ok_and(|len| len == raw_len)
                .then_some(raw)
                .ok_or("a block of a sorted segment does not decompress")
        }
        _ => Err("a block of a sorted segment contradicts itself"),
    }
}

/// Entries on their way into a block.
///
/// A block holds their count, for each the difference of its ID to the one before and the length of
/// its body, and then the bodies.
#[derive(Default)]
pub(crate) struct BlockDraft {
    count: u32,
    last_id: EntryId,
    heads: Vec<u8>,
    bodies: Vec<u8>,
}

impl BlockDraft {
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    pub(crate) fn len(&self) -> usize {
        self.heads.len() + self.bodies.len() + VARINT_LEN_MAX
    }

    /// Adds an entry, whose ID is above those before.
    pub(crate) fn push(&mut self, id: EntryId, body: &[u8]) {
        let ms = id.ms - self.last_id.ms;
        let seq = match ms {
            0 => id.seq - self.last_id.seq,
            _ => id.seq,
        };
        for value in [ms, seq, body.len() as u64] {
            varint::put(&mut self.heads, value);
        }
        self.bodies.extend_from_slice(body);
        self.last_id = id;
        self.count += 1;
    }

    /// Appends the raw bytes to `raw` and begins anew.
    pub(crate) fn take(&mut self, raw: &mut Vec<u8>) {
        varint::put(raw, u64::from(self.count));
        raw.extend_from_slice(&self.heads);
        raw.extend_from_slice(&self.bodies);
        self.heads.clear();
        self.bodies.clear();
        (self.count, self.last_id) = (0, EntryId::MIN);
    }
}

/// Splits the raw bytes of a block: for each entry its ID and where its body ends. The bodies begin
/// at the returned offset.
pub(crate) fn split_block(raw: &[u8]) -> Result<(usize, Vec<(EntryId, u32)>), Wrong> {
    let wrong = "a block of a sorted segment is malformed";
    let mut rest = raw;
    let mut take = || varint::take(&mut rest).ok_or(wrong);
    let count = usize::try_from(take()?).map_err(|_| wrong)?;
    if count == 0 || count > raw.len() / 3 {
        return Err(wrong);
    }
    let (mut last, mut end) = (EntryId::MIN, 0_u64);
    let mut entries = Vec::with_capacity(count);
    for index in 0..count {
        let (ms, seq, len) = (take()?, take()?, take()?);
        let id = match ms {
            0 => last
                .seq
                .checked_add(seq)
                .map(|seq| EntryId::new(last.ms, seq)),
            _ => last.ms.checked_add(ms).map(|ms| EntryId::new(ms, seq)),
        };
        let id = id.filter(|&id| index == 0 || id > last).ok_or(wrong)?;
        end = end.checked_add(len).ok_or(wrong)?;
        entries.push((id, u32::try_from(end).map_err(|_| wrong)?));
        last = id;
    }
    if end != rest.len() as u64 {
        return Err(wrong);
    }
    Ok((raw.len() - rest.len(), entries))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let mut draft = BlockDraft::default();
        for at in 0..50_u64 {
            draft.push(EntryId::new(5 + at / 3, at), &[7; 40]);
        }
        let mut raw = Vec::new();
        draft.take(&mut raw);
        assert_eq!(draft.count(), 0);
        raw
    }

    /// Bytes in which nothing repeats.
    fn noise() -> Vec<u8> {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        };
        (0..300).map(|_| next()).collect()
    }

    #[test]
    fn a_block_survives_both_codecs_and_no_changed_byte_goes_unnoticed() {
        for (raw, codec) in [(sample(), CODEC_LZ4), (noise(), CODEC_RAW)] {
            let mut bytes = Vec::new();
            put_block(&mut bytes, 9, 4096, &raw);
            assert_eq!(bytes[4], codec);
            assert_eq!(decode_block(&bytes, 9, 4096).as_deref(), Ok(&raw[..]));
            assert!(decode_block(&bytes, 8, 4096).is_err());
            assert!(decode_block(&bytes, 9, 4097).is_err());
            for at in 0..bytes.len() {
                let mut bad = bytes.clone();
                bad[at] ^= 0x10;
                assert!(decode_block(&bad, 9, 4096).is_err(), "byte {at}");
                assert!(decode_block(&bytes[..at], 9, 4096).is_err(), "cut at {at}");
            }
        }
        let raw = sample();
        let (start, entries) = split_block(&raw).unwrap();
        assert_eq!(entries.len(), 50);
        assert_eq!(entries[49], (EntryId::new(5 + 49 / 3, 49), 2000));
        assert_eq!(start + 2000, raw.len());
    }

    #[test]
    fn malformed_blocks_are_refused() {
        let raw = sample();
        for at in 0..raw.len() {
            assert!(split_block(&raw[..at]).is_err());
        }
        assert!(split_block(&[1, 1, 1, 0, 0]).is_err());
        assert!(split_block(&[2, 0, 5, 0, 0, 0, 0]).is_err());
        assert!(split_block(&[0]).is_err());
    }

    #[test]
    fn rows_are_believed_at_their_own_place_only() {
        let rows = [3, 4].map(|ordinal| NodeRow {
            last_id: EntryId::new(1, 2),
            base: 77,
            ordinal,
            added: 9,
        });
        let mut file = vec![0; HEADER_LEN];
        for (number, row) in (0..).zip(&rows) {
            file.extend(row.encode(5, number));
        }
        let footer = Footer {
            nodes: 2,
            tables_at: HEADER_LEN as u64,
            ..Footer::default()
        };
        file.extend(footer.encode(5));
        let len = file.len() as u64;
        assert_eq!(footer.file_len(), len);
        let end = &file[file.len() - FOOTER_LEN..];
        assert_eq!(Footer::decode(end, 5, len), Ok(footer));
        assert!(Footer::decode(end, 6, len).is_err());
        assert!(Footer::decode(end, 5, len + 1).is_err());
        assert_eq!(NodeRow::decode(&file, 5, &footer, 1), Ok(rows[1]));
        assert!(NodeRow::decode(&file, 5, &footer, 2).is_err());
        assert!(NodeRow::decode(&file, 6, &footer, 1).is_err());
        assert!(BlockRow::decode(&file, 5, &footer, 0).is_err());
        let (first, second) = (HEADER_LEN, HEADER_LEN + NODE_LEN);
        file.copy_within(first..second, second);
        assert!(NodeRow::decode(&file, 5, &footer, 1).is_err());
        let (id, store) = (5, 6);
        let head = Header { id, store };
        assert_eq!(decode_header(&header(head)), Ok(head));
        for at in 0..HEADER_LEN {
            let mut bad = header(head);
            bad[at] ^= 1;
            assert!(decode_header(&bad).is_err());
        }
    }

    #[test]
    fn the_lengths_are_those_of_the_rows() {
        let (id, store) = (1, 2);
        assert_eq!(header(Header { id, store }).len(), HEADER_LEN);
        assert_eq!(Footer::default().encode(1).len(), FOOTER_LEN);
        assert_eq!(RunRow::default().encode(1, 0).len(), RUN_LEN);
        assert_eq!(BlockRow::default().encode(1, 0).len(), BLOCK_LEN);
        assert_eq!(NodeRow::default().encode(1, 0).len(), NODE_LEN);
    }
}

//! The checkpoint: a checksummed, versioned envelope around sections.
//!
//! ```text
//!  header   | magic [8] | version u32 | zeros u32 | begin LSN u64 | store u32 | crc u32 |
//!  section  | len u32 | crc u32 | bytes ... |                       any number of them
//!  trailer  | zero u32 | crc u32 | end LSN u64 | file len u64 | finished ms u64 | magic [8] |
//! ```
//!
//! A checkpoint is valid if and only if all its checksums are, its length is what the trailer says
//! and nothing follows. A section's checksum starts from its number, so that none can be missing
//! or out of order.

use crate::Lsn;

/// Length of the header in bytes.
pub(crate) const HEADER_LEN: usize = 32;
/// Length of what precedes the bytes of a section.
pub(crate) const SECTION_HEADER_LEN: usize = 8;
/// Length of the trailer in bytes.
pub(crate) const TRAILER_LEN: usize = 40;
/// Marks a checkpoint.
pub(crate) const MAGIC: [u8; 8] = *b"ALLUVCKP";
/// Ends a checkpoint.
pub(crate) const END_MAGIC: [u8; 8] = *b"ALLUVEND";
/// Version of the envelope and of what is in the sections.
pub(crate) const VERSION: u32 = 1;
/// Longest section in bytes.
pub(crate) const SECTION_LEN_MAX: usize = 1 << 30;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Replay starts here.
    pub(crate) begin: Lsn,
    /// Number of the data directory, as in the headers of its segments.
    pub(crate) store: u32,
}

/// The bytes of a header.
pub(crate) fn header(header: Header) -> [u8; HEADER_LEN] {
    let mut bytes = [0; HEADER_LEN];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[16..24].copy_from_slice(&header.begin.0.to_le_bytes());
    bytes[24..28].copy_from_slice(&header.store.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..28]);
    bytes[28..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// Reads a header; an error says what is wrong with it.
pub(crate) fn decode_header(bytes: &[u8]) -> Result<Header, &'static str> {
    let bytes = bytes.get(..HEADER_LEN).ok_or("a checkpoint is cut")?;
    if bytes[..8] != MAGIC {
        return Err("expected the magic of a checkpoint");
    }
    if crc32fast::hash(&bytes[..28]) != u32_at(bytes, 28) {
        return Err("the checksum of a checkpoint header does not match");
    }
    if u32_at(bytes, 8) != VERSION {
        return Err("a checkpoint of a version that this release does not know");
    }
    Ok(Header {
        begin: Lsn(u64_at(bytes, 16)),
        store: u32_at(bytes, 24),
    })
}

/// What precedes the bytes of section number `index`.
pub(crate) fn section_header(index: u32, section: &[u8]) -> [u8; SECTION_HEADER_LEN] {
    let len = u32::try_from(section.len()).expect("sections are below SECTION_LEN_MAX");
    let mut bytes = [0; SECTION_HEADER_LEN];
    bytes[..4].copy_from_slice(&len.to_le_bytes());
    bytes[4..].copy_from_slice(&section_crc(index, section).to_le_bytes());
    bytes
}

fn section_crc(index: u32, section: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(index);
    hasher.update(section);
    hasher.finalize()
}

/// The end of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trailer {
    /// The log was durable up to here before the checkpoint got its name.
    pub(crate) end: Lsn,
    /// Length of the whole file.
    pub(crate) file_len: u64,
    /// When it was finished.
    pub(crate) finished_ms: u64,
}

impl Trailer {
    pub(crate) fn encode(&self) -> [u8; TRAILER_LEN] {
        let mut bytes = [0; TRAILER_LEN];
        bytes[8..16].copy_from_slice(&self.end.0.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.file_len.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.finished_ms.to_le_bytes());
        bytes[32..].copy_from_slice(&END_MAGIC);
        let crc = crc32fast::hash(&bytes[8..]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a trailer; an error says what is wrong with it.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        if bytes.len() != TRAILER_LEN || bytes[32..] != END_MAGIC {
            return Err("expected the end of a checkpoint");
        }
        if crc32fast::hash(&bytes[8..]) != u32_at(bytes, 4) {
            return Err("the checksum of a checkpoint trailer does not match");
        }
        Ok(Self {
            end: Lsn(u64_at(bytes, 8)),
            file_len: u64_at(bytes, 16),
            finished_ms: u64_at(bytes, 24),
        })
    }
}

/// What comes next behind the header.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    Section(&'a [u8]),
    Trailer(Trailer),
}

/// Takes section number `index`, or the trailer, off the front of `rest`.
pub(crate) fn take_part<'a>(rest: &mut &'a [u8], index: u32) -> Result<Part<'a>, &'static str> {
    if rest.len() < SECTION_HEADER_LEN {
        return Err("a checkpoint is cut");
    }
    let len = u32_at(rest, 0) as usize;
    if len == 0 {
        return Trailer::decode(rest).map(Part::Trailer);
    }
    if len > SECTION_LEN_MAX || len > rest.len() - SECTION_HEADER_LEN {
        return Err("the length of a checkpoint section is over its limit");
    }
    let (head, behind) = rest.split_at(SECTION_HEADER_LEN);
    let (section, behind) = behind.split_at(len);
    if section_crc(index, section) != u32_at(head, 4) {
        return Err("the checksum of a checkpoint section does not match");
    }
    *rest = behind;
    Ok(Part::Section(section))
}

/// What lies behind a section that is not valid, if its length can be believed; else nothing.
pub(crate) fn skip_part(rest: &[u8]) -> &[u8] {
    let Some(len) = rest.get(..4).map(|len| u32_at(len, 0) as usize) else {
        return &[];
    };
    let behind = rest.get(SECTION_HEADER_LEN + len..).filter(|_| len > 0);
    behind.unwrap_or_default()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

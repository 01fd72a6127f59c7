//! The small pieces of an RDB payload: bytes, lengths, IDs, strings.
//!
//! ```text
//! length  00llllll                    6 bits
//!         01llllll llllllll           14 bits, big-endian
//!         10000000, 4 bytes           32 bits, big-endian
//!         10000001, 8 bytes           64 bits, big-endian
//! string  length, bytes
//!         11000000 .. 11000010        an integer of 1, 2 or 4 bytes, little-endian
//!         11000011, packed length, length, LZF
//! ```

use alluvium_engine::{EntryId, Error};

use super::{Result, lzf};

const LEN_32: u8 = 0x80;
const LEN_64: u8 = 0x81;
const INT_8: u8 = 0xc0;
const INT_16: u8 = 0xc1;
const INT_32: u8 = 0xc2;
const LZF: u8 = 0xc3;

/// The error that says what is wrong with a payload.
#[cold]
pub(super) fn malformed(what: &'static str) -> Error {
    Error::Malformed { what }
}

/// Reads from the front of a payload; what is not there is an error, never a panic.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn len(&self) -> usize {
        self.rest.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn bytes(&mut self, len: usize) -> Result<&'a [u8]> {
        let split = self.rest.split_at_checked(len);
        let (bytes, rest) = split.ok_or_else(|| malformed("the payload ends too early"))?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        Ok(self.bytes(N)?.try_into().expect("as long as was asked for"))
    }

    pub(super) fn byte(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    /// A time in milliseconds; `None` if it is before the Unix epoch.
    pub(super) fn time(&mut self) -> Result<Option<u64>> {
        let time = i64::from_le_bytes(self.array()?);
        Ok(u64::try_from(time).ok())
    }

    pub(super) fn length(&mut self) -> Result<u64> {
        let first = self.byte()?;
        self.length_from(first)
    }

    fn length_from(&mut self, first: u8) -> Result<u64> {
        let low = u64::from(first & 0x3f);
        match first {
            0x00..0x40 => Ok(low),
            0x40..0x80 => Ok(low << 8 | u64::from(self.byte()?)),
            LEN_32 => Ok(u64::from(u32::from_be_bytes(self.array()?))),
            LEN_64 => Ok(u64::from_be_bytes(self.array()?)),
            _ => Err(malformed("a length in an unknown form")),
        }
    }

    fn size(&mut self) -> Result<usize> {
        usize::try_from(self.length()?).map_err(|_| malformed("a length beyond memory"))
    }

    /// How many items of at least `len_min` bytes follow.
    pub(super) fn count(&mut self, len_min: usize) -> Result<usize> {
        let count = self.size()?;
        if count > self.rest.len() / len_min {
            return Err(malformed("more items than the payload has room for"));
        }
        Ok(count)
    }

    /// An ID as two lengths.
    pub(super) fn id(&mut self) -> Result<EntryId> {
        Ok(EntryId::new(self.length()?, self.length()?))
    }

    /// An ID as 16 bytes, big-endian.
    pub(super) fn fixed_id(&mut self) -> Result<EntryId> {
        let ms = u64::from_be_bytes(self.array()?);
        Ok(EntryId::new(ms, u64::from_be_bytes(self.array()?)))
    }

    pub(super) fn text(&mut self) -> Result<Text<'a>> {
        let integer = match self.byte()? {
            INT_8 => i32::from(i8::from_le_bytes(self.array()?)),
            INT_16 => i32::from(i16::from_le_bytes(self.array()?)),
            INT_32 => i32::from_le_bytes(self.array()?),
            LZF => {
                let (packed_len, len) = (self.size()?, self.size()?);
                let packed = self.bytes(packed_len)?;
                return Ok(Text::Packed { packed, len });
            }
            first => {
                let len = self.length_from(first)?;
                let len = usize::try_from(len).unwrap_or(usize::MAX);
                return Ok(Text::Plain(self.bytes(len)?));
            }
        };
        Ok(Text::Integer(integer))
    }
}

/// A string as it stands in the payload.
#[derive(Clone, Copy, Debug)]
pub(super) enum Text<'a> {
    Plain(&'a [u8]),
    Integer(i32),
    Packed { packed: &'a [u8], len: usize },
}

impl<'a> Text<'a> {
    /// Length of the string.
    pub(super) fn len(&self) -> usize {
        match self {
            Text::Plain(bytes) => bytes.len(),
            Text::Integer(integer) => itoa::Buffer::new().format(*integer).len(),
            Text::Packed { len, .. } => *len,
        }
    }

    /// The string; `scratch` is where it is expanded, to `len_max` bytes at most, if it has to be.
    pub(super) fn expand<'s>(&self, scratch: &'s mut Vec<u8>, len_max: usize) -> Result<&'s [u8]>
    where
        'a: 's,
    {
        match *self {
            Text::Plain(bytes) => return Ok(bytes),
            Text::Integer(integer) => {
                scratch.clear();
                scratch.extend_from_slice(itoa::Buffer::new().format(integer).as_bytes());
            }
            Text::Packed { packed, len } if len <= len_max => {
                lzf::expand(packed, len, scratch)?;
            }
            Text::Packed { .. } => return Err(malformed("a string beyond all proportion")),
        }
        Ok(scratch)
    }
}

pub(super) fn put_length(out: &mut Vec<u8>, len: u64) {
    if let Ok(byte) = u8::try_from(len)
        && byte < 0x40
    {
        out.push(byte);
    } else if let Ok(short) = u16::try_from(len)
        && short < 0x4000
    {
        out.extend_from_slice(&(short | 0x4000).to_be_bytes());
    } else if let Ok(word) = u32::try_from(len) {
        out.push(LEN_32);
        out.extend_from_slice(&word.to_be_bytes());
    } else {
        out.push(LEN_64);
        out.extend_from_slice(&len.to_be_bytes());
    }
}

pub(super) fn put_text(out: &mut Vec<u8>, bytes: &[u8]) {
    put_length(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub(super) fn put_id(out: &mut Vec<u8>, id: EntryId) {
    put_length(out, id.ms);
    put_length(out, id.seq);
}

pub(super) fn put_fixed_id(out: &mut Vec<u8>, id: EntryId) {
    out.extend_from_slice(&id.ms.to_be_bytes());
    out.extend_from_slice(&id.seq.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(payload: &[u8]) -> Option<Vec<u8>> {
        let mut reader = Reader::new(payload);
        let mut scratch = Vec::new();
        let string = reader.text().ok()?.expand(&mut scratch, 9).ok()?.to_vec();
        reader.is_empty().then_some(string)
    }

    #[test]
    fn lengths_of_every_form_survive() {
        let forms = [
            (0, 1),
            (63, 1),
            (64, 2),
            (16_383, 2),
            (16_384, 5),
            (u64::from(u32::MAX), 5),
            (1 << 32, 9),
            (u64::MAX, 9),
        ];
        for (len, bytes) in forms {
            let mut out = Vec::new();
            put_length(&mut out, len);
            assert_eq!(out.len(), bytes, "{len}");
            assert_eq!(Reader::new(&out).length().unwrap(), len);
            assert!(Reader::new(&out[1..]).length().is_err() || bytes > 1);
        }
        for first in [0x82, 0xbf, 0xc0, 0xff] {
            assert!(Reader::new(&[first; 16]).length().is_err());
        }
    }

    #[test]
    fn strings_of_every_form_are_read() {
        assert_eq!(string(b"\x03abc").unwrap(), b"abc");
        assert_eq!(string(b"\xc0\x80").unwrap(), b"-128");
        assert_eq!(string(b"\xc1\xff\x7f").unwrap(), b"32767");
        assert_eq!(string(b"\xc2\x00\x00\x00\x80").unwrap(), b"-2147483648");
        assert_eq!(string(b"\xc3\x04\x09\x00a\xc0\x00").unwrap(), b"aaaaaaaaa");
        let bad: &[&[u8]] = &[
            b"",
            b"\x03ab",
            b"\xc4a",
            b"\xc1\x00",
            b"\xc3\x05\x09\x00a\xc0\x00",
            b"\xc3\x04\x08\x00a\xc0\x00",
            b"\x81\xff\xff\xff\xff\xff\xff\xff\xffa",
            b"\xc3\x04\x80\xff\xff\xff\xff\x00a\xc0\x00",
        ];
        for payload in bad {
            assert_eq!(string(payload), None, "{payload:?}");
        }
    }
}

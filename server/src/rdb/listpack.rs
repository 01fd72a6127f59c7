//! Listpacks: a run of strings and integers in one block of bytes.
//!
//! ```text
//! total length u32, count u16, elements, 0xff        little-endian; count 0xffff: not known
//! element  0vvvvvvv                                  0 to 127
//!          10llllll, bytes                           string, up to 63
//!          110vvvvv vvvvvvvv                         signed, 13 bits, big-endian
//!          1110llll llllllll, bytes                  string, up to 4095
//!          0xf0, length u32, bytes                   string
//!          0xf1 .. 0xf4, 2, 3, 4 or 8 bytes          signed
//!          then the length of all that, 7 bits a byte, to be read from its end
//! ```

use super::Result;
use super::codec::{Reader, malformed};

pub(super) const HEADER_LEN: usize = 6;
const COUNT_UNKNOWN: u16 = u16::MAX;
const STRING_32: u8 = 0xf0;
const INT_16: u8 = 0xf1;
const INT_24: u8 = 0xf2;
const INT_32: u8 = 0xf3;
const INT_64: u8 = 0xf4;
const END: u8 = 0xff;
/// The longest decimal of an `i64`, with its sign.
const DECIMAL_LEN_MAX: usize = 20;

/// An element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element<'a> {
    String(&'a [u8]),
    Integer(i64),
}

/// Reads the elements of a listpack, first to last.
#[derive(Clone, Debug)]
pub(super) struct Elements<'a> {
    bytes: &'a [u8],
    reader: Reader<'a>,
    /// Elements that are left, if the header tells.
    left: Option<u16>,
}

impl<'a> Elements<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self> {
        let mut header = Reader::new(bytes);
        let total = u32::from_le_bytes(header.array()?);
        let count = u16::from_le_bytes(header.array()?);
        let [_, _, _, _, _, _, elements @ .., END] = bytes else {
            return Err(malformed("a listpack without its end"));
        };
        if total as usize != bytes.len() {
            return Err(malformed("a listpack of another length"));
        }
        Ok(Self {
            bytes: elements,
            reader: Reader::new(elements),
            left: (count != COUNT_UNKNOWN).then_some(count),
        })
    }

    /// The next element, which must be there.
    pub(super) fn next(&mut self) -> Result<Element<'a>> {
        if let Some(left) = &mut self.left {
            *left = left
                .checked_sub(1)
                .ok_or_else(|| malformed("more elements than a listpack counts"))?;
        }
        let start = self.reader.clone();
        let element = self.element()?;
        let len = start.len() - self.reader.len();
        let (expected, expected_len) = back_len(len);
        let found = self.reader.bytes(expected_len)?;
        if *found != expected[..expected_len] {
            return Err(malformed("an element with another length behind it"));
        }
        Ok(element)
    }

    /// The next element, which must be an integer, in whatever form.
    pub(super) fn integer(&mut self) -> Result<i64> {
        let integer = match self.next()? {
            Element::Integer(integer) => Some(integer),
            Element::String(text) => canonical_integer(text),
        };
        integer.ok_or_else(|| malformed("a string where an integer belongs"))
    }

    /// The next element, which must be a count.
    pub(super) fn count(&mut self) -> Result<usize> {
        let count = usize::try_from(self.integer()?);
        // Whatever is counted takes at least one element of two bytes.
        let count = count.ok().filter(|&count| count <= self.bytes.len() / 2);
        count.ok_or_else(|| malformed("a count that cannot be"))
    }

    /// Ends the listpack: nothing may be left.
    pub(super) fn end(self) -> Result<()> {
        if self.reader.is_empty() && self.left.is_none_or(|left| left == 0) {
            return Ok(());
        }
        Err(malformed("a listpack with something behind its last entry"))
    }

    fn element(&mut self) -> Result<Element<'a>> {
        let reader = &mut self.reader;
        let first = reader.byte()?;
        let low = |bits: u32| u32::from(first) & ((1 << bits) - 1);
        let integer = match first {
            0x00..0x80 => i64::from(first),
            0x80..0xc0 => return Ok(Element::String(reader.bytes(low(6) as usize)?)),
            0xc0..0xe0 => i64::from(sign(low(5) << 8 | u32::from(reader.byte()?), 13)),
            0xe0..0xf0 => {
                let len = low(4) << 8 | u32::from(reader.byte()?);
                return Ok(Element::String(reader.bytes(len as usize)?));
            }
            STRING_32 => {
                let len = u32::from_le_bytes(reader.array()?);
                return Ok(Element::String(reader.bytes(len as usize)?));
            }
            INT_16 => i64::from(i16::from_le_bytes(reader.array()?)),
            INT_24 => {
                let [a, b, c] = reader.array()?;
                i64::from(sign(u32::from_le_bytes([a, b, c, 0]), 24))
            }
            INT_32 => i64::from(i32::from_le_bytes(reader.array()?)),
            INT_64 => i64::from_le_bytes(reader.array()?),
            _ => return Err(malformed("an element in an unknown form")),
        };
        Ok(Element::Integer(integer))
    }
}

/// A number of so many bits with its sign.
fn sign(value: u32, bits: u32) -> i32 {
    let unused = 32 - bits;
    (value << unused).cast_signed() >> unused
}

/// The bytes behind an element that tell its length, and how many they are. Lengths of 16383 and
/// the like take one byte more than they would have to, as everybody writes them.
fn back_len(len: usize) -> ([u8; 5], usize) {
    let count = match len {
        0..=127 => 1,
        128..16_383 => 2,
        16_383..2_097_151 => 3,
        2_097_151..268_435_455 => 4,
        _ => 5,
    };
    let mut bytes = [0; 5];
    for (at, byte) in bytes[..count].iter_mut().enumerate() {
        let bits = len >> (7 * (count - 1 - at)) & 0x7f;
        let follows = if at == 0 { 0 } else { 0x80 };
        *byte = u8::try_from(bits).expect("seven bits") | follows;
    }
    (bytes, count)
}

/// The integer that a text is the one decimal of.
fn canonical_integer(text: &[u8]) -> Option<i64> {
    let is_short = (1..=DECIMAL_LEN_MAX).contains(&text.len());
    if !is_short || !matches!(text[0], b'-' | b'0'..=b'9') {
        return None;
    }
    let integer = std::str::from_utf8(text).ok()?.parse().ok()?;
    let is_canonical = itoa::Buffer::new().format(integer).as_bytes() == text;
    is_canonical.then_some(integer)
}

/// Writes a listpack into a buffer that holds nothing else.
#[derive(Debug, Default)]
pub(super) struct Builder {
    bytes: Vec<u8>,
    count: usize,
}

impl Builder {
    /// Starts an empty listpack.
    pub(super) fn begin(&mut self) {
        self.bytes.clear();
        self.bytes.resize(HEADER_LEN, 0);
        self.count = 0;
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Appends a string, as an integer if it is the decimal of one.
    pub(super) fn string(&mut self, text: &[u8]) {
        if let Some(integer) = canonical_integer(text) {
            self.integer(integer);
            return;
        }
        let start = self.bytes.len();
        let len = u32::try_from(text.len()).expect("an entry is shorter than 512 MiB");
        let [b0, b1, b2, b3] = len.to_le_bytes();
        match len {
            0..64 => self.bytes.push(0x80 | b0),
            64..4096 => self.bytes.extend_from_slice(&[0xe0 | b1, b0]),
            _ => self.bytes.extend_from_slice(&[STRING_32, b0, b1, b2, b3]),
        }
        self.bytes.extend_from_slice(text);
        self.finish(start);
    }

    /// Appends an integer.
    pub(super) fn integer(&mut self, integer: i64) {
        let start = self.bytes.len();
        let bytes = integer.to_le_bytes();
        match integer {
            0..=127 => self.bytes.push(bytes[0]),
            -4096..=4095 => {
                self.bytes
                    .extend_from_slice(&[0xc0 | bytes[1] & 0x1f, bytes[0]]);
            }
            -0x8000..=0x7fff => self.sized(INT_16, &bytes[..2]),
            -0x0080_0000..=0x007f_ffff => self.sized(INT_24, &bytes[..3]),
            -0x8000_0000..=0x7fff_ffff => self.sized(INT_32, &bytes[..4]),
            _ => self.sized(INT_64, &bytes),
        }
        self.finish(start);
    }

    /// Appends a count.
    pub(super) fn count(&mut self, count: usize) {
        self.integer(i64::try_from(count).expect("what is counted is in memory"));
    }

    fn sized(&mut self, form: u8, bytes: &[u8]) {
        self.bytes.push(form);
        self.bytes.extend_from_slice(bytes);
    }

    fn finish(&mut self, start: usize) {
        let (back, count) = back_len(self.bytes.len() - start);
        self.bytes.extend_from_slice(&back[..count]);
        self.count += 1;
    }

    /// Ends the listpack; its bytes.
    pub(super) fn end(&mut self) -> &[u8] {
        self.bytes.push(END);
        let total = u32::try_from(self.bytes.len()).expect("a payload is shorter than 4 GiB");
        let count = u16::try_from(self.count).unwrap_or(COUNT_UNKNOWN);
        self.bytes[..4].copy_from_slice(&total.to_le_bytes());
        self.bytes[4..HEADER_LEN].copy_from_slice(&count.to_le_bytes());
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTEGERS: &[i64] = &[
        0,
        1,
        127,
        128,
        4095,
        4096,
        -1,
        -4096,
        -4097,
        32_767,
        -32_768,
        32_768,
        8_388_607,
        -8_388_608,
        8_388_608,
        i32::MAX as i64,
        i32::MIN as i64,
        i32::MAX as i64 + 1,
        i64::MAX,
        i64::MIN,
    ];

    fn listpack(elements: &[Element<'_>]) -> Vec<u8> {
        let mut builder = Builder::default();
        builder.begin();
        for element in elements {
            match element {
                Element::String(text) => builder.string(text),
                Element::Integer(integer) => builder.integer(*integer),
            }
        }
        builder.end().to_vec()
    }

    fn read(bytes: &[u8], count: usize) -> Result<Vec<Element<'_>>> {
        let mut elements = Elements::new(bytes)?;
        let read = (0..count).map(|_| elements.next()).collect::<Result<_>>()?;
        elements.end()?;
        Ok(read)
    }

    #[test]
    fn every_form_of_an_element_survives() {
        let texts: Vec<Vec<u8>> = [0, 1, 62, 63, 64, 125, 4095, 4096, 16_380, 70_000, 2_097_150]
            .into_iter()
            .map(|len| vec![b'x'; len])
            .collect();
        let mut elements: Vec<_> = texts.iter().map(|text| Element::String(text)).collect();
        elements.extend(INTEGERS.iter().map(|&integer| Element::Integer(integer)));
        let bytes = listpack(&elements);
        assert_eq!(read(&bytes, elements.len()).unwrap(), elements);
    }

    #[test]
    fn the_decimal_of_an_integer_is_written_as_one() {
        for integer in INTEGERS {
            let text = integer.to_string();
            let bytes = listpack(&[Element::String(text.as_bytes())]);
            assert_eq!(bytes, listpack(&[Element::Integer(*integer)]));
        }
        for text in ["", "-", "-0", "01", "+1", "1 ", "9223372036854775808", "1x"] {
            let bytes = listpack(&[Element::String(text.as_bytes())]);
            assert_eq!(read(&bytes, 1).unwrap(), [Element::String(text.as_bytes())]);
        }
    }

    #[test]
    fn no_changed_or_missing_byte_makes_another_listpack_of_the_same_elements() {
        let good = listpack(&[
            Element::Integer(5),
            Element::String(b"field"),
            Element::Integer(-3000),
            Element::String(&[b'y'; 200]),
        ]);
        let elements = read(&good, 4).unwrap();
        for at in 0..good.len() {
            assert!(read(&good[..at], 4).is_err(), "cut at {at}");
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                assert!(read(&bad, 4).ok().as_ref() != Some(&elements), "{at} {bit}");
            }
        }
    }

    #[test]
    fn lengths_behind_elements_are_as_everybody_writes_them() {
        assert_eq!(back_len(127), ([127, 0, 0, 0, 0], 1));
        assert_eq!(back_len(128), ([1, 0x80, 0, 0, 0], 2));
        assert_eq!(back_len(16_382), ([127, 0xfe, 0, 0, 0], 2));
        assert_eq!(back_len(16_383), ([0, 0xff, 0xff, 0, 0], 3));
    }
}

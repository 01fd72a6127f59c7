//! LEB128 variable-length integers: seven bits a byte, low bits first.
//!
//! Source: DWARF 5, section 7.6. An encoding longer than ten bytes, or one that overflows 64 bits,
//! is malformed.

/// The largest number of bytes that a 64-bit integer takes.
pub(crate) const VARINT_LEN_MAX: usize = 10;

/// Appends `value`.
#[inline]
pub(crate) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

/// How many bytes `value` takes.
#[inline]
pub(crate) const fn len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Maps signed differences to small unsigned numbers: 0, -1, 1, -2, ...
#[inline]
pub(crate) const fn zigzag(difference: i64) -> u64 {
    (difference.cast_unsigned() << 1) ^ (difference >> 63).cast_unsigned()
}

/// The inverse of [`zigzag`].
#[inline]
pub(crate) const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

/// Takes a value off the front of `input`; `None` if it is cut or malformed.
#[inline]
pub(crate) fn take(input: &mut &[u8]) -> Option<u64> {
    // Most values are short: lengths, counts, small numbers.
    match **input {
        [byte, ref rest @ ..] if byte < 0x80 => {
            *input = rest;
            Some(u64::from(byte))
        }
        [low, high, ref rest @ ..] if high < 0x80 => {
            *input = rest;
            Some(u64::from(low & 0x7f) | u64::from(high) << 7)
        }
        _ => take_long(input),
    }
}

fn take_long(input: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for (index, &byte) in input.iter().enumerate().take(VARINT_LEN_MAX) {
        let bits = u64::from(byte & 0x7f);
        if index == VARINT_LEN_MAX - 1 && byte > 1 {
            return None;
        }
        value |= bits << (7 * index);
        if byte & 0x80 == 0 {
            *input = &input[index + 1..];
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{len, put, take, unzigzag, zigzag};

    #[test]
    fn values_survive_and_cut_or_overlong_encodings_are_refused() {
        for value in [
            0,
            1,
            127,
            128,
            300,
            (1 << 14) - 1,
            1 << 14,
            u64::from(u32::MAX),
            u64::MAX - 1,
            u64::MAX,
        ] {
            let mut bytes = Vec::new();
            put(&mut bytes, value);
            assert_eq!(bytes.len(), len(value));
            assert_eq!(take(&mut &bytes[..]), Some(value));
            assert_eq!(take(&mut &bytes[..bytes.len() - 1]), None);
        }
        assert_eq!(take(&mut &[0x80u8; 11][..]), None);
        assert_eq!(
            take(&mut &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2][..]),
            None
        );
    }

    #[test]
    fn signed_differences_survive() {
        for difference in [0, -1, 1, 63, -64, i64::MAX, i64::MIN] {
            assert_eq!(unzigzag(zigzag(difference)), difference);
        }
        assert_eq!((zigzag(-1), zigzag(1)), (1, 2));
    }
}

//! Arguments that are numbers: what Redis takes for one, and its words when it is none.

use std::ops::RangeInclusive;

use crate::refusal::Refusal;

/// A whole number as Redis writes it: no sign in front of a positive one, no zeros in front.
pub(crate) fn parse_integer(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let is_canonical = match digits {
        [] => false,
        [b'0'] => text.len() == 1,
        [first, ..] => first.is_ascii_digit() && *first != b'0',
    };
    if !is_canonical {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A whole number, or `value is not an integer or out of range`.
pub(crate) fn integer(text: &[u8]) -> Result<i64, Refusal> {
    parse_integer(text).ok_or(Refusal::NOT_AN_INTEGER)
}

/// A whole number within bounds, or the given refusal.
pub(crate) fn integer_within(
    text: &[u8],
    bounds: RangeInclusive<i64>,
    refusal: Refusal,
) -> Result<i64, Refusal> {
    match parse_integer(text) {
        Some(number) if bounds.contains(&number) => Ok(number),
        _ => Err(refusal),
    }
}

/// A timeout in milliseconds.
pub(crate) fn timeout_ms(text: &[u8]) -> Result<u64, Refusal> {
    let refusal = Refusal::new("ERR timeout is not an integer or out of range");
    let number = parse_integer(text).ok_or(refusal)?;
    u64::try_from(number).map_err(|_| Refusal::new("ERR timeout is negative"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_integers_count() {
        for (text, number) in [
            ("0", 0),
            ("-1", -1),
            ("10", 10),
            ("9223372036854775807", i64::MAX),
        ] {
            assert_eq!(parse_integer(text.as_bytes()), Some(number), "{text}");
        }
        for text in [
            "",
            "-",
            "+1",
            "01",
            "-0",
            "1 ",
            " 1",
            "1.0",
            "9223372036854775808",
            "0x1",
        ] {
            assert_eq!(parse_integer(text.as_bytes()), None, "{text}");
        }
    }
}

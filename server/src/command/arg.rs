//! How arguments are read: integers, entry IDs, intervals and timeouts, by Redis' exact rules.
//!
//! Two number grammars are at work. Options take *strict* decimals: no sign but a leading minus,
//! no leading zeros, no spaces. The halves of an entry ID take whatever C's `strtoull` takes, so
//! `01-1` and `+5-1` are IDs too. Both end at 64 bits; nothing wraps except a negative half with
//! leading zeros, which Redis lets wrap and so do we.

use std::ops::{Deref, RangeInclusive};

use alluvium_engine::EntryId;

use crate::refusal::Refusal;

/// The longest text that is looked at as an entry ID.
const ID_LEN_MAX: usize = 127;
/// The longest decimal of an `i64`, with its sign.
const INT_LEN_MAX: usize = 20;

/// So many digits never exceed 64 bits.
const DIGITS_SAFE: usize = 19;

/// How many IDs are kept without allocating.
const IDS_FEW: usize = 16;

/// Which ID XADD was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GivenId {
    /// `*`
    Auto,
    /// `ms-*`
    AutoSeq(u64),
    /// `ms-seq`, or `ms` which means `ms-0`
    Full(EntryId),
}

/// Whether `arg` is the option `name`, in any case.
#[inline]
pub(crate) fn is(arg: &[u8], name: &str) -> bool {
    arg.eq_ignore_ascii_case(name.as_bytes())
}

/// A strict decimal of 64 bits.
#[inline]
pub(crate) fn parse_int(arg: &[u8]) -> Option<i64> {
    if arg == b"0" {
        return Some(0);
    }
    let (negative, digits) = match arg {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if arg.len() > INT_LEN_MAX || !matches!(digits.first(), Some(b'1'..=b'9')) {
        return None;
    }
    let mut value = 0i64;
    for &byte in digits {
        let digit = i64::from(decimal(byte)?);
        // Counted downwards, because the range reaches one further there.
        value = value.checked_mul(10)?.checked_sub(digit)?;
    }
    if negative {
        Some(value)
    } else {
        value.checked_neg()
    }
}

/// A strict decimal, or the usual refusal.
#[inline]
pub(crate) fn int(arg: &[u8]) -> Result<i64, Refusal> {
    parse_int(arg).ok_or(Refusal::NOT_AN_INTEGER)
}

/// A strict decimal, or `refusal`.
#[inline]
pub(crate) fn int_or(arg: &[u8], refusal: Refusal) -> Result<i64, Refusal> {
    parse_int(arg).ok_or(refusal)
}

/// A strict decimal within bounds, or `refusal`.
pub(crate) fn int_within(
    arg: &[u8],
    bounds: RangeInclusive<i64>,
    refusal: Refusal,
) -> Result<i64, Refusal> {
    match parse_int(arg) {
        Some(number) if bounds.contains(&number) => Ok(number),
        _ => Err(refusal),
    }
}

/// A strict decimal that fits a C `int`.
pub(crate) fn int32(arg: &[u8]) -> Result<i32, Refusal> {
    i32::try_from(int(arg)?).map_err(|_| {
        Refusal::new("ERR value is out of range, value must between -2147483648 and 2147483647")
    })
}

/// A strict decimal that fits a C `int`, or `refusal`.
pub(crate) fn int32_or(arg: &[u8], refusal: Refusal) -> Result<i32, Refusal> {
    parse_int(arg)
        .and_then(|value| i32::try_from(value).ok())
        .ok_or(refusal)
}

#[inline]
fn decimal(byte: u8) -> Option<u8> {
    byte.is_ascii_digit().then(|| byte - b'0')
}

/// A SCAN cursor.
pub(crate) fn cursor(arg: &[u8]) -> Option<u64> {
    parse_half(arg)
}

/// Half of an ID: all digits in the common case, else what C's `strtoull` makes of it.
#[inline]
fn parse_half(text: &[u8]) -> Option<u64> {
    match digits(text) {
        Some((value, [])) => Some(value),
        _ => parse_half_loosely(text),
    }
}

/// The number that `text` begins with, and what follows; `None` if there is none, or it has so many
/// digits that it may be too large.
#[inline]
fn digits(text: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for (at, &byte) in text.iter().enumerate() {
        let Some(digit) = decimal(byte) else {
            return (at > 0).then(|| (value, &text[at..]));
        };
        if at == DIGITS_SAFE {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    (!text.is_empty()).then_some((value, &[]))
}

#[cold]
fn parse_half_loosely(text: &[u8]) -> Option<u64> {
    if parse_int(text).is_some_and(|value| value < 0) {
        return None;
    }
    let start = text.iter().position(|&byte| !is_c_space(byte))?;
    let (negative, digits) = match &text[start..] {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let mut value = 0u64;
    for &byte in digits {
        value = value
            .checked_mul(10)?
            .checked_add(u64::from(decimal(byte)?))?;
    }
    Some(if negative {
        value.wrapping_neg()
    } else {
        value
    })
}

/// What C calls space: unlike Rust's ASCII whitespace it includes the vertical tab.
pub(crate) fn is_c_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// The text of an ID up to its first NUL, where Redis stops reading; `None` if it is too long.
#[inline]
fn id_text(arg: &[u8]) -> Option<&[u8]> {
    if arg.len() > ID_LEN_MAX {
        return None;
    }
    match memchr::memchr(0, arg) {
        Some(end) => Some(&arg[..end]),
        None => Some(arg),
    }
}

/// Takes an ID apart: the time, and the text of the sequence number if there is a `-`.
#[inline]
fn parse_halves(text: &[u8]) -> Option<(u64, Option<&[u8]>)> {
    match memchr::memchr(b'-', text) {
        Some(dash) => Some((parse_half(&text[..dash])?, Some(&text[dash + 1..]))),
        None => Some((parse_half(text)?, None)),
    }
}

/// `ms-seq`, or `ms` with `missing_seq` for the rest; `None` for anything else, `-` and `+` too.
#[inline]
pub(crate) fn parse_id(arg: &[u8], missing_seq: u64) -> Option<EntryId> {
    if let Some((ms, [b'-', rest @ ..])) = digits(arg)
        && let Some((seq, [])) = digits(rest)
    {
        return Some(EntryId::new(ms, seq));
    }
    parse_odd_id(arg, missing_seq)
}

/// The same for a text that is not digits, a dash and digits.
fn parse_odd_id(arg: &[u8], missing_seq: u64) -> Option<EntryId> {
    let (ms, seq) = parse_halves(id_text(arg)?)?;
    let seq = match seq {
        Some(seq) => parse_half(seq)?,
        None => missing_seq,
    };
    Some(EntryId::new(ms, seq))
}

/// `ms-seq`, or `ms` which means `ms-0`.
#[inline]
pub(crate) fn id(arg: &[u8]) -> Result<EntryId, Refusal> {
    parse_id(arg, 0).ok_or(Refusal::INVALID_ID)
}

/// Entry IDs, all valid; a few of them are kept without allocating.
#[derive(Debug)]
pub(crate) struct Ids {
    few: [EntryId; IDS_FEW],
    many: Vec<EntryId>,
    len: usize,
}

impl Ids {
    /// All or none.
    #[inline]
    pub(crate) fn parse(args: &[&[u8]]) -> Result<Self, Refusal> {
        let mut ids = Self {
            few: [EntryId::MIN; IDS_FEW],
            many: Vec::new(),
            len: args.len(),
        };
        if args.len() <= IDS_FEW {
            for (slot, arg) in ids.few.iter_mut().zip(args) {
                *slot = id(arg)?;
            }
        } else {
            ids.many.reserve_exact(args.len());
            for arg in args {
                ids.many.push(id(arg)?);
            }
        }
        Ok(ids)
    }
}

impl Deref for Ids {
    type Target = [EntryId];

    fn deref(&self) -> &[EntryId] {
        if self.len <= IDS_FEW {
            &self.few[..self.len]
        } else {
            &self.many
        }
    }
}

/// A COUNT; negative ones are 0.
pub(crate) fn count(arg: &[u8]) -> Result<usize, Refusal> {
    Ok(usize::try_from(int(arg)?.max(0)).unwrap_or(usize::MAX))
}

/// An ID, or `-` and `+` for the ends; `missing_seq` completes a bare time.
pub(crate) fn id_or_end(arg: &[u8], missing_seq: u64) -> Result<EntryId, Refusal> {
    match id_text(arg) {
        Some(b"-") => Ok(EntryId::MIN),
        Some(b"+") => Ok(EntryId::MAX),
        _ => parse_id(arg, missing_seq).ok_or(Refusal::INVALID_ID),
    }
}

/// The ID that XADD is asked to use.
#[inline]
pub(crate) fn given_id(arg: &[u8]) -> Result<GivenId, Refusal> {
    if arg == b"*" {
        return Ok(GivenId::Auto);
    }
    let (ms, seq) = id_text(arg)
        .and_then(parse_halves)
        .ok_or(Refusal::INVALID_ID)?;
    match seq {
        Some(b"*") => Ok(GivenId::AutoSeq(ms)),
        Some(seq) => {
            let seq = parse_half(seq).ok_or(Refusal::INVALID_ID)?;
            Ok(GivenId::Full(EntryId::new(ms, seq)))
        }
        None => Ok(GivenId::Full(EntryId::new(ms, 0))),
    }
}

/// Where an interval starts, inclusive: an ID, an end, or `(` and the ID in front of the start.
pub(crate) fn interval_start(arg: &[u8]) -> Result<EntryId, Refusal> {
    match arg {
        [b'(', exclusive @ ..] if !exclusive.is_empty() => id(exclusive)?
            .next()
            .ok_or(Refusal::new("ERR invalid start ID for the interval")),
        _ => id_or_end(arg, 0),
    }
}

/// Where an interval ends, inclusive.
pub(crate) fn interval_end(arg: &[u8]) -> Result<EntryId, Refusal> {
    match arg {
        [b'(', exclusive @ ..] if !exclusive.is_empty() => parse_id(exclusive, u64::MAX)
            .ok_or(Refusal::INVALID_ID)?
            .prev()
            .ok_or(Refusal::new("ERR invalid end ID for the interval")),
        _ => id_or_end(arg, u64::MAX),
    }
}

/// A BLOCK time in milliseconds; 0 means for ever. `now_ms` bounds it: the deadline must be a time.
pub(crate) fn block_ms(arg: &[u8], now_ms: u64) -> Result<u64, Refusal> {
    let not_an_integer = Refusal::new("ERR timeout is not an integer or out of range");
    let ms = int_or(arg, not_an_integer)?;
    let ms = u64::try_from(ms).map_err(|_| Refusal::new("ERR timeout is negative"))?;
    if ms > i64::MAX.unsigned_abs().saturating_sub(now_ms) {
        return Err(Refusal::new("ERR timeout is out of range"));
    }
    Ok(ms)
}

#[cfg(test)]
mod tests {
    use super::{GivenId, block_ms, given_id, id_or_end, interval_end, interval_start, parse_id};
    use super::{id, parse_int};
    use alluvium_engine::EntryId;

    #[test]
    fn option_values_are_strict_decimals() {
        for (text, value) in [
            ("0", Some(0)),
            ("1", Some(1)),
            ("-1", Some(-1)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("-9223372036854775809", None),
            ("99999999999999999999", None),
            ("-0", None),
            ("01", None),
            ("+1", None),
            (" 1", None),
            ("1 ", None),
            ("", None),
            ("-", None),
            ("1x", None),
        ] {
            assert_eq!(parse_int(text.as_bytes()), value, "{text:?}");
        }
    }

    #[test]
    fn ids_take_what_strtoull_takes() {
        for (text, value) in [
            ("1-2", Some((1, 2))),
            ("1", Some((1, 0))),
            ("01-01", Some((1, 1))),
            ("+5-1", Some((5, 1))),
            (" 5-\t1", Some((5, 1))),
            ("6--05", Some((6, u64::MAX - 4))),
            ("6--5", None),
            ("8-1\0zz", Some((8, 1))),
            (
                "18446744073709551615-18446744073709551615",
                Some((u64::MAX, u64::MAX)),
            ),
            ("18446744073709551616-1", None),
            ("1-18446744073709551616", None),
            ("7-", None),
            ("-7", None),
            ("-", None),
            ("+", None),
            ("", None),
            ("5 -1", None),
            ("1-2-3", None),
            ("1-*", None),
            ("a", None),
        ] {
            let expected = value.map(|(ms, seq)| EntryId::new(ms, seq));
            assert_eq!(parse_id(text.as_bytes(), 0), expected, "{text:?}");
        }
        assert_eq!(parse_id(&[b'1'; 128], 0), None);
        assert_eq!(parse_id(&[b'0'; 127], 0), Some(EntryId::MIN));
        assert!(id(b"x").is_err());
    }

    #[test]
    fn ends_stand_for_the_smallest_and_the_largest_id() {
        assert_eq!(id_or_end(b"-", 0).unwrap(), EntryId::MIN);
        assert_eq!(id_or_end(b"+", 0).unwrap(), EntryId::MAX);
        assert_eq!(id_or_end(b"5", 7).unwrap(), EntryId::new(5, 7));
        assert!(id_or_end(b"(5", 7).is_err());
    }

    #[test]
    fn xadd_takes_whole_halved_and_automatic_ids() {
        assert_eq!(given_id(b"*").unwrap(), GivenId::Auto);
        assert_eq!(given_id(b"5-*").unwrap(), GivenId::AutoSeq(5));
        assert_eq!(given_id(b"5").unwrap(), GivenId::Full(EntryId::new(5, 0)));
        assert_eq!(given_id(b"5-6").unwrap(), GivenId::Full(EntryId::new(5, 6)));
        assert!(given_id(b"*-1").is_err());
        assert!(given_id(b"-").is_err());
        assert!(given_id(b"5-**").is_err());
    }

    #[test]
    fn a_parenthesis_excludes_the_end_of_an_interval() {
        assert_eq!(interval_start(b"(5-3").unwrap(), EntryId::new(5, 4));
        assert_eq!(interval_start(b"(5").unwrap(), EntryId::new(5, 1));
        assert_eq!(interval_end(b"(5").unwrap(), EntryId::new(5, u64::MAX - 1));
        assert_eq!(interval_end(b"5").unwrap(), EntryId::new(5, u64::MAX));
        assert_eq!(interval_end(b"(5-0").unwrap(), EntryId::new(4, u64::MAX));
        let last = format!("({}", EntryId::MAX);
        assert!(interval_start(last.as_bytes()).is_err());
        assert!(interval_end(b"(0-0").is_err());
        assert!(interval_start(b"(-").is_err());
        assert!(interval_start(b"(").is_err());
    }

    #[test]
    fn a_block_time_must_leave_a_representable_deadline() {
        assert_eq!(block_ms(b"0", 1_000).unwrap(), 0);
        assert_eq!(block_ms(b"5", 1_000).unwrap(), 5);
        assert!(block_ms(b"-1", 1_000).is_err());
        assert!(block_ms(b"9223372036854775807", 1_000).is_err());
        assert!(block_ms(b"x", 1_000).is_err());
    }
}

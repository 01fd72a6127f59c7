//! Requests out of bytes: RESP arrays of bulk strings, and inline commands.
//!
//! A request is a list of [`Span`]s, positions of its arguments in the connection's input buffer:
//! nothing is copied. All complete requests of the buffer are decoded at once; an incomplete one is
//! remembered as far as it goes, so no byte is looked at twice. Words of an inline command that are
//! quoted are unquoted where they stand: they only become shorter.
//!
//! Nothing a client sends makes this panic or reserve memory that the client did not fill itself.

use std::fmt;
use std::ops::Range;

use memchr::memchr;

/// Most arguments of one request.
pub(crate) const ARGUMENTS_MAX: usize = 1 << 20;
/// Longest line: an inline command, or the header of an array or bulk string.
pub(crate) const LINE_LEN_MAX: usize = 64 << 10;
/// Most arguments before AUTH.
const ARGUMENTS_MAX_UNAUTHENTICATED: usize = 10;
/// Longest argument before AUTH.
const BULK_LEN_MAX_UNAUTHENTICATED: usize = 16 << 10;

/// Where an argument stands in the input.
pub(crate) type Span = Range<usize>;

/// What a client may send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) bulk_len_max: usize,
    pub(crate) is_authenticated: bool,
}

/// Bytes that are no request; the connection ends after the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProtocolError {
    ArrayLen,
    BulkLen,
    NotABulk(u8),
    UnauthenticatedArray,
    UnauthenticatedBulk,
    Quotes,
    InlineTooLong,
    ArrayHeaderTooLong,
    BulkHeaderTooLong,
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ArrayLen => "invalid multibulk length",
            Self::BulkLen => "invalid bulk length",
            Self::NotABulk(found) => {
                let shown = if found.is_ascii_graphic() {
                    char::from(*found)
                } else {
                    ' '
                };
                return write!(f, "expected '$', got '{shown}'");
            }
            Self::UnauthenticatedArray => "unauthenticated multibulk length",
            Self::UnauthenticatedBulk => "unauthenticated bulk length",
            Self::Quotes => "unbalanced quotes in request",
            Self::InlineTooLong => "too big inline request",
            Self::ArrayHeaderTooLong => "too big mbulk count string",
            Self::BulkHeaderTooLong => "too big bulk count string",
        })
    }
}

/// The requests of one connection's input buffer.
///
/// Complete requests are `spans` cut at `ends`; spans behind the last end belong to the incomplete
/// request that begins at byte `start` of the input.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    spans: Vec<Span>,
    ends: Vec<usize>,
    /// The next complete request to hand out.
    next: usize,
    start: usize,
    /// Where decoding goes on.
    at: usize,
    /// Arguments that the incomplete request still misses; 0 if its header is not there yet.
    missing: usize,
    /// Length of the argument at `at`, if its header has been read.
    bulk: Option<usize>,
    /// What stopped decoding for good: what follows has no meaning.
    wrong: Option<ProtocolError>,
}

impl Decoder {
    /// Decodes complete requests, at most `requests_max`. On an error those before it are complete.
    pub(crate) fn decode(
        &mut self,
        input: &mut [u8],
        limits: Limits,
        requests_max: usize,
    ) -> Result<(), ProtocolError> {
        while self.ends.len() - self.next < requests_max {
            if let Some(wrong) = self.wrong {
                return Err(wrong);
            }
            match self.decode_one(input, limits) {
                Ok(true) => {}
                Ok(false) => break,
                Err(wrong) => self.wrong = Some(wrong),
            }
        }
        Ok(())
    }

    /// Whether a complete request is waiting to be taken.
    pub(crate) fn has_request(&self) -> bool {
        self.next < self.ends.len()
    }

    /// The argument positions of the next complete request.
    pub(crate) fn take(&mut self) -> Option<&[Span]> {
        let range = self.has_request().then(|| self.range_of(self.next))?;
        self.next += 1;
        Some(&self.spans[range])
    }

    /// Which spans are those of a complete request.
    fn range_of(&self, index: usize) -> Range<usize> {
        let before = index.checked_sub(1).map(|before| self.ends[before]);
        before.unwrap_or(0)..self.ends[index]
    }

    /// The argument positions of the complete requests that are not taken yet.
    pub(crate) fn waiting(&self) -> impl ExactSizeIterator<Item = &[Span]> {
        (self.next..self.ends.len()).map(|index| &self.spans[self.range_of(index)])
    }

    /// The request that was taken last is to be taken again.
    pub(crate) fn put_back(&mut self) {
        self.next -= 1;
    }

    /// Forgets the requests that were taken and the bytes before the first that is needed; nothing
    /// happens while complete requests wait. Returns how many bytes to drop from the input's head.
    pub(crate) fn compact(&mut self) -> usize {
        if self.has_request() {
            return 0;
        }
        let taken = self.ends.last().copied().unwrap_or(0);
        self.ends.clear();
        self.next = 0;
        self.spans.drain(..taken);
        let dropped = std::mem::take(&mut self.start);
        self.at -= dropped;
        if dropped > 0 {
            for span in &mut self.spans {
                *span = span.start - dropped..span.end - dropped;
            }
        }
        if self.spans.is_empty() && self.spans.capacity() > 1024 {
            self.spans = Vec::new();
        }
        dropped
    }

    /// How many bytes the incomplete request needs at least, so that a long argument is read in few
    /// pieces.
    pub(crate) fn wanted(&self, input_len: usize) -> usize {
        self.bulk
            .map_or(0, |len| (self.at + len + 2).saturating_sub(input_len))
    }

    /// True if a request was completed (or an empty one skipped), false if more input is needed.
    fn decode_one(&mut self, input: &mut [u8], limits: Limits) -> Result<bool, ProtocolError> {
        if self.missing == 0 {
            let Some(first) = input.get(self.at) else {
                return Ok(false);
            };
            if *first != b'*' {
                return self.decode_inline(input);
            }
            let (len, end) = match short_header(&input[self.at..], b'*') {
                Some((len, size)) => (len, self.at + size),
                None => match self.long_array_header(input)? {
                    Some(header) => header,
                    None => return Ok(false),
                },
            };
            self.missing = checked_array_len(len, limits)?;
            self.at = end;
            if self.missing == 0 {
                self.start = self.at;
                return Ok(true);
            }
        }
        while self.missing > 0 {
            let len = match self.bulk {
                Some(len) => len,
                None => match self.decode_bulk_header(input, limits)? {
                    Some(len) => len,
                    None => return Ok(false),
                },
            };
            if input.len() - self.at < len + 2 {
                return Ok(false);
            }
            self.spans.push(self.at..self.at + len);
            self.at += len + 2;
            self.bulk = None;
            self.missing -= 1;
        }
        self.complete();
        Ok(true)
    }

    fn complete(&mut self) {
        self.ends.push(self.spans.len());
        self.start = self.at;
    }

    /// What the header says, and where it ends.
    fn long_array_header(&self, input: &[u8]) -> Result<Option<(usize, usize)>, ProtocolError> {
        let Some(end) = line(input, self.at, ProtocolError::ArrayHeaderTooLong)? else {
            return Ok(None);
        };
        let len = parse_integer(&input[self.at + 1..end]).ok_or(ProtocolError::ArrayLen)?;
        // An empty or null array is none.
        Ok(Some((usize::try_from(len).unwrap_or(0), end + 2)))
    }

    fn decode_bulk_header(
        &mut self,
        input: &[u8],
        limits: Limits,
    ) -> Result<Option<usize>, ProtocolError> {
        let (len, end) = match short_header(&input[self.at..], b'$') {
            Some((len, size)) => (Some(len), self.at + size),
            None => match self.long_bulk_header(input)? {
                Some(header) => header,
                None => return Ok(None),
            },
        };
        let len = len
            .filter(|len| *len <= limits.bulk_len_max)
            .ok_or(ProtocolError::BulkLen)?;
        if !limits.is_authenticated && len > BULK_LEN_MAX_UNAUTHENTICATED {
            return Err(ProtocolError::UnauthenticatedBulk);
        }
        self.at = end;
        self.bulk = Some(len);
        Ok(self.bulk)
    }

    /// What the header says, `None` if that is no length, and where it ends.
    fn long_bulk_header(
        &self,
        input: &[u8],
    ) -> Result<Option<(Option<usize>, usize)>, ProtocolError> {
        let Some(end) = line(input, self.at, ProtocolError::BulkHeaderTooLong)? else {
            return Ok(None);
        };
        if input[self.at] != b'$' {
            return Err(ProtocolError::NotABulk(input[self.at]));
        }
        let len = parse_integer(&input[self.at + 1..end]);
        Ok(Some((
            len.and_then(|len| usize::try_from(len).ok()),
            end + 2,
        )))
    }

    fn decode_inline(&mut self, input: &mut [u8]) -> Result<bool, ProtocolError> {
        let rest = &input[self.at..];
        let Some(len) = memchr(b'\n', rest) else {
            let is_too_long = rest.len() > LINE_LEN_MAX;
            return if is_too_long {
                Err(ProtocolError::InlineTooLong)
            } else {
                Ok(false)
            };
        };
        let end = self.at + len;
        let line_end = if len > 0 && input[end - 1] == b'\r' {
            end - 1
        } else {
            end
        };
        let before = self.spans.len();
        split_words(input, self.at..line_end, &mut self.spans)?;
        self.at = end + 1;
        if self.spans.len() > before {
            self.complete();
        }
        self.start = self.at;
        Ok(true)
    }
}

/// The number and the size of a header in the usual case: up to three digits and both line end
/// bytes are there. Anything else, right or wrong, is left to the long way.
fn short_header(input: &[u8], prefix: u8) -> Option<(usize, usize)> {
    let (first, line) = input.split_first()?;
    if *first != prefix {
        return None;
    }
    let digit = |byte: u8| usize::from(byte - b'0');
    match *line {
        [a @ b'0'..=b'9', b'\r', _, ..] => Some((digit(a), 4)),
        [a @ b'1'..=b'9', b @ b'0'..=b'9', b'\r', _, ..] => Some((digit(a) * 10 + digit(b), 5)),
        [
            a @ b'1'..=b'9',
            b @ b'0'..=b'9',
            c @ b'0'..=b'9',
            b'\r',
            _,
            ..,
        ] => Some((digit(a) * 100 + digit(b) * 10 + digit(c), 6)),
        _ => None,
    }
}

/// The position of the `\r` that ends the line at `from`, once the byte behind it is there too.
fn line(
    input: &[u8],
    from: usize,
    too_long: ProtocolError,
) -> Result<Option<usize>, ProtocolError> {
    let rest = &input[from.min(input.len())..];
    match memchr(b'\r', rest) {
        Some(len) if len + 1 < rest.len() => Ok(Some(from + len)),
        None if rest.len() > LINE_LEN_MAX => Err(too_long),
        _ => Ok(None),
    }
}

fn checked_array_len(len: usize, limits: Limits) -> Result<usize, ProtocolError> {
    if len > ARGUMENTS_MAX {
        return Err(ProtocolError::ArrayLen);
    }
    if !limits.is_authenticated && len > ARGUMENTS_MAX_UNAUTHENTICATED {
        return Err(ProtocolError::UnauthenticatedArray);
    }
    Ok(len)
}

/// A whole number in its only spelling: no plus, no leading zeros, no spaces.
fn parse_integer(text: &[u8]) -> Option<i64> {
    match text {
        [digit @ b'0'..=b'9'] => return Some(i64::from(digit - b'0')),
        [b'0' | b'+', ..] | [b'-', b'0', ..] => return None,
        _ => {}
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Splits a line as an inline command is split; `None` if its quotes are not balanced.
pub(crate) fn split_line(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (mut line, mut words) = (line.to_vec(), Vec::new());
    let len = line.len();
    split_words(&mut line, 0..len, &mut words).ok()?;
    Some(words.into_iter().map(|word| line[word].to_vec()).collect())
}

/// Splits a line at its blanks, and takes `"a b\x00"` and `'a b'` for one word each.
fn split_words(
    input: &mut [u8],
    line: Range<usize>,
    words: &mut Vec<Span>,
) -> Result<(), ProtocolError> {
    let mut at = line.start;
    loop {
        while at < line.end && is_blank(input[at]) {
            at += 1;
        }
        if at == line.end {
            return Ok(());
        }
        let (start, mut len) = (at, 0);
        while at < line.end && !is_blank(input[at]) {
            if matches!(input[at], b'"' | b'\'') {
                at = unquote(input, at..line.end, start, &mut len)?;
                // What ends a quoted part ends the word.
                if at < line.end && !is_blank(input[at]) {
                    return Err(ProtocolError::Quotes);
                }
            } else {
                input[start + len] = input[at];
                len += 1;
                at += 1;
            }
        }
        words.push(start..start + len);
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// Copies what stands between the quotes that begin at `quoted.start` to `start + len`; returns the
/// position behind the closing quote.
fn unquote(
    input: &mut [u8],
    quoted: Range<usize>,
    start: usize,
    len: &mut usize,
) -> Result<usize, ProtocolError> {
    let quote = input[quoted.start];
    let mut at = quoted.start + 1;
    while at < quoted.end {
        let rest = &input[at..quoted.end];
        let (byte, used) = match rest {
            [byte, ..] if *byte == quote => return Ok(at + 1),
            [b'\\', escaped, ..] if quote == b'"' => unescape(*escaped, rest),
            [b'\\', b'\'', ..] => (b'\'', 2),
            rest => (rest[0], 1),
        };
        input[start + *len] = byte;
        *len += 1;
        at += used;
    }
    Err(ProtocolError::Quotes)
}

/// What `rest`, which begins with `\` and `escaped`, stands for, and how long it is.
fn unescape(escaped: u8, rest: &[u8]) -> (u8, usize) {
    if let [_, b'x', high, low, ..] = rest
        && let (Some(high), Some(low)) = (hex(*high), hex(*low))
    {
        return (high << 4 | low, 4);
    }
    let byte = match escaped {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    };
    (byte, 2)
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Decoder, Limits, ProtocolError};

    const LIMITS: Limits = Limits {
        bulk_len_max: 512 << 20,
        is_authenticated: true,
    };

    type Request = Vec<Vec<u8>>;

    /// Feeds the bytes in pieces of the given length, as a connection does.
    fn decode(bytes: &[u8], piece: usize, limits: Limits) -> (Vec<Request>, Option<ProtocolError>) {
        let mut decoder = Decoder::default();
        let (mut input, mut requests) = (Vec::new(), Vec::new());
        for piece in bytes.chunks(piece.max(1)) {
            input.extend_from_slice(piece);
            loop {
                let result = decoder.decode(&mut input, limits, 3);
                let mut waiting = decoder.waiting().map(<[_]>::to_vec).collect::<Vec<_>>();
                let is_idle = waiting.is_empty();
                waiting.reverse();
                while let Some(spans) = decoder.take() {
                    assert_eq!(waiting.pop().as_deref(), Some(spans));
                    requests.push(
                        spans
                            .iter()
                            .map(|span| input[span.clone()].to_vec())
                            .collect(),
                    );
                }
                let dropped = decoder.compact();
                input.drain(..dropped);
                if let Err(error) = result {
                    return (requests, Some(error));
                }
                if is_idle {
                    break;
                }
            }
        }
        (requests, None)
    }

    fn encode(requests: &[Request]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for request in requests {
            bytes.extend_from_slice(format!("*{}\r\n", request.len()).as_bytes());
            for argument in request {
                bytes.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
                bytes.extend_from_slice(argument);
                bytes.extend_from_slice(b"\r\n");
            }
        }
        bytes
    }

    #[test]
    fn inline_words_are_split_and_unquoted_as_in_redis() {
        let cases: &[(&str, &[&[u8]])] = &[
            ("PING\r\n", &[b"PING"]),
            ("  SET  a\tb \n", &[b"SET", b"a", b"b"]),
            ("a 'b\\'c' \"d\\x41\\n\\\"\"\n", &[b"a", b"b'c", b"dA\n\""]),
            ("x\"y z\" \"\"\n", &[b"xy z", b""]),
            ("\"\\xZZ\\q\"\n", &[b"xZZq"]),
        ];
        for (line, words) in cases {
            let (requests, error) = decode(line.as_bytes(), 1, LIMITS);
            assert_eq!(error, None, "{line}");
            assert_eq!(
                requests,
                [words.iter().map(|word| word.to_vec()).collect::<Request>()]
            );
        }
        for line in ["a \"b\n", "a 'b\n", "\"a\"b\n", "'a'b\r\n", "\"a\\\n"] {
            assert_eq!(
                decode(line.as_bytes(), 64, LIMITS).1,
                Some(ProtocolError::Quotes),
                "{line}"
            );
        }
    }

    #[test]
    fn what_is_no_request_is_named() {
        let long = "1".repeat(70_000);
        let cases = [
            ("*abc\r\n".to_owned(), ProtocolError::ArrayLen),
            ("*1048577\r\n".to_owned(), ProtocolError::ArrayLen),
            ("*01\r\n".to_owned(), ProtocolError::ArrayLen),
            ("*\r\n".to_owned(), ProtocolError::ArrayLen),
            ("*1\r\nxyz\r\n".to_owned(), ProtocolError::NotABulk(b'x')),
            ("*1\r\n$-1\r\n".to_owned(), ProtocolError::BulkLen),
            ("*1\r\n$536870913\r\n".to_owned(), ProtocolError::BulkLen),
            ("*1\r\n$ 4\r\n".to_owned(), ProtocolError::BulkLen),
            (long.clone(), ProtocolError::InlineTooLong),
            (format!("*{long}"), ProtocolError::ArrayHeaderTooLong),
            (format!("*1\r\n${long}"), ProtocolError::BulkHeaderTooLong),
        ];
        for (bytes, expected) in cases {
            for piece in [1, 1000, 100_000] {
                let (requests, error) = decode(bytes.as_bytes(), piece, LIMITS);
                assert_eq!((requests.len(), error), (0, Some(expected)));
            }
        }
    }

    #[test]
    fn lengths_have_one_spelling_whatever_their_size() {
        for len in [0, 1, 9, 10, 999_999, 1_000_000] {
            let argument = vec![b'x'; len];
            let bytes = encode(&[vec![argument.clone()]]);
            assert_eq!(
                decode(&bytes, bytes.len(), LIMITS),
                (vec![vec![argument]], None)
            );
        }
        for wrong in [
            "$00\r\n\r\n",
            "$01\r\nx\r\n",
            "$\r\n\r\n",
            "$1 \r\nx\r\n",
            "$+1\r\nx\r\n",
        ] {
            let bytes = format!("*1\r\n{wrong}");
            assert_eq!(
                decode(bytes.as_bytes(), 64, LIMITS).1,
                Some(ProtocolError::BulkLen)
            );
        }
    }

    #[test]
    fn strangers_may_send_little() {
        let limits = Limits {
            is_authenticated: false,
            ..LIMITS
        };
        let error = |bytes: &[u8]| decode(bytes, 64, limits).1;
        assert_eq!(error(b"*10\r\n$16384\r\n"), None);
        assert_eq!(error(b"*11\r\n"), Some(ProtocolError::UnauthenticatedArray));
        assert_eq!(
            error(b"*1\r\n$16385\r\n"),
            Some(ProtocolError::UnauthenticatedBulk)
        );
    }

    #[test]
    fn empty_requests_are_skipped() {
        let (requests, error) = decode(b"*0\r\n\r\n*-1\r\n\nPING\r\n", 64, LIMITS);
        assert_eq!((requests, error), (vec![vec![b"PING".to_vec()]], None));
    }

    proptest! {
        #[test]
        fn requests_decode_as_they_were_encoded(
            requests in prop::collection::vec(
                prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..6), 0..12),
            piece in 1_usize..200,
        ) {
            let (decoded, error) = decode(&encode(&requests), piece, LIMITS);
            prop_assert_eq!(error, None);
            prop_assert_eq!(decoded, requests);
        }

        #[test]
        fn pieces_make_no_difference_to_any_bytes(
            bytes in prop::collection::vec(
                prop_oneof![
                    Just(b'*'), Just(b'$'), Just(b'\r'), Just(b'\n'), Just(b'"'), Just(b'\''),
                    Just(b'\\'), Just(b'x'), Just(b' '), Just(b'-'), b'0'..b'5', any::<u8>(),
                ], 0..80),
            piece in 1_usize..80,
        ) {
            let whole = decode(&bytes, bytes.len(), LIMITS);
            prop_assert_eq!(decode(&bytes, piece, LIMITS), whole);
        }
    }
}

//! RESP as a load generator needs it: requests made once and copied, replies measured, not built.
//!
//! A request is a [`Template`]: its bytes, and the holes in it that are filled with decimal digits
//! of fixed width just before it is sent, so that nothing is formatted on the way. A [`Scanner`]
//! finds where a reply ends in one pass, however many reads bring it; a [`Walk`] then picks the few
//! values that a workload needs out of a complete reply. An error reply is always noticed.

/// Digits in a hole: enough for any `u64` of nanoseconds or for an entry ID's milliseconds.
pub(crate) const HOLE_DIGITS: usize = 16;

/// Appends one request in the form that clients send.
pub(crate) fn request(out: &mut Vec<u8>, args: &[&[u8]]) {
    out.extend_from_slice(format!("*{}\r\n", args.len()).as_bytes());
    for arg in args {
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}

/// A request, or several, with places for numbers.
#[derive(Clone, Default)]
pub(crate) struct Template {
    bytes: Vec<u8>,
    holes: Vec<usize>,
}

impl Template {
    /// A request whose arguments may hold `HOLE_DIGITS` times `#`, each such run a hole.
    pub(crate) fn new(args: &[&[u8]]) -> Self {
        let mut bytes = Vec::new();
        request(&mut bytes, args);
        let mark = [b'#'; HOLE_DIGITS];
        let mut holes = Vec::new();
        let mut at = 0;
        while at + HOLE_DIGITS <= bytes.len() {
            if bytes[at..at + HOLE_DIGITS] == mark {
                holes.push(at);
                at += HOLE_DIGITS;
            } else {
                at += 1;
            }
        }
        Self { bytes, holes }
    }

    /// Appends the request, its holes filled in order; a missing number leaves the next hole as it
    /// is.
    pub(crate) fn write(&self, out: &mut Vec<u8>, numbers: &[u64]) {
        let base = out.len();
        out.extend_from_slice(&self.bytes);
        for (&hole, &number) in self.holes.iter().zip(numbers) {
            digits(&mut out[base + hole..base + hole + HOLE_DIGITS], number);
        }
    }
}

/// Fills `place` with a number in decimal, zeros in front.
pub(crate) fn digits(place: &mut [u8], mut number: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
    }
}

/// Reads a decimal number, as far as there are digits.
pub(crate) fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .take_while(|b| b.is_ascii_digit())
        .fold(0, |n, b| {
            n.wrapping_mul(10).wrapping_add(u64::from(b - b'0'))
        })
}

/// Finds the end of a reply, however many reads it takes to arrive.
#[derive(Default)]
pub(crate) struct Scanner {
    /// How far the reply has been looked at.
    at: usize,
    /// Values that still have to follow; 0 between replies.
    due: u64,
    /// Whether a reply is half seen.
    is_inside: bool,
}

impl Scanner {
    /// Looks at what there is of a reply, from its first byte on; its length once it is complete.
    ///
    /// # Errors
    ///
    /// Bytes that are no reply.
    pub(crate) fn scan(&mut self, input: &[u8]) -> Result<Option<usize>, String> {
        if !self.is_inside {
            (self.at, self.due, self.is_inside) = (0, 1, true);
        }
        while self.due > 0 {
            let Some(header) = Header::read(input, self.at)? else {
                return Ok(None);
            };
            let end = header.end + header.body();
            if end > input.len() {
                return Ok(None);
            }
            self.due = self.due - 1 + header.children();
            self.at = end;
        }
        self.is_inside = false;
        Ok(Some(self.at))
    }
}

/// The line that begins a value.
#[derive(Clone, Copy)]
pub(crate) struct Header {
    kind: u8,
    /// The number in the line; negative for null.
    value: i64,
    /// Where the line ends, its line break included.
    end: usize,
}

impl Header {
    fn read(input: &[u8], at: usize) -> Result<Option<Self>, String> {
        let Some(&kind) = input.get(at) else {
            return Ok(None);
        };
        let Some(len) = input[at..].iter().position(|&b| b == b'\n') else {
            return Ok(None);
        };
        let line = &input[at + 1..at + len];
        let value = match kind {
            b'*' | b'$' | b':' | b'%' | b'>' => match line.split_first() {
                Some((b'-', rest)) => -number(rest).cast_signed(),
                _ => number(line).cast_signed(),
            },
            b'+' | b'-' | b'_' => 0,
            other => return Err(format!("a reply begins with byte {other:#04x}")),
        };
        let end = at + len + 1;
        Ok(Some(Self { kind, value, end }))
    }

    /// Bytes behind the line that belong to the value.
    fn body(&self) -> usize {
        match (self.kind, usize::try_from(self.value)) {
            (b'$', Ok(len)) => len + 2,
            _ => 0,
        }
    }

    /// Values behind the line that belong to this one.
    fn children(&self) -> u64 {
        match (self.kind, u64::try_from(self.value)) {
            (b'*' | b'>', Ok(count)) => count,
            (b'%', Ok(count)) => count * 2,
            _ => 0,
        }
    }
}

/// A walk through a complete reply, value by value.
pub(crate) struct Walk<'a> {
    reply: &'a [u8],
    at: usize,
}

impl<'a> Walk<'a> {
    /// Begins at a reply's first byte.
    ///
    /// # Errors
    ///
    /// The reply is an error.
    pub(crate) fn new(reply: &'a [u8]) -> Result<Self, String> {
        if reply.first() == Some(&b'-') {
            let text = String::from_utf8_lossy(reply);
            return Err(format!("the server answered {}", text.trim_end()));
        }
        Ok(Self { reply, at: 0 })
    }

    fn header(&mut self) -> Result<Header, String> {
        let header = Header::read(self.reply, self.at)?.ok_or("a reply ends too early")?;
        self.at = header.end;
        Ok(header)
    }

    /// Steps into an array; how many values it has, `None` for a null.
    pub(crate) fn array(&mut self) -> Result<Option<u64>, String> {
        let header = self.header()?;
        match header.kind {
            b'*' | b'%' | b'>' => Ok(u64::try_from(header.value).ok()),
            b'_' => Ok(None),
            other => Err(format!("expected an array, found {:?}", char::from(other))),
        }
    }

    /// A string's bytes.
    pub(crate) fn bulk(&mut self) -> Result<&'a [u8], String> {
        let header = self.header()?;
        let len = usize::try_from(header.value).unwrap_or(0);
        let end = self.at + header.body();
        match (header.kind, self.reply.get(self.at..self.at + len)) {
            (b'$', Some(bytes)) if header.value >= 0 => {
                self.at = end;
                Ok(bytes)
            }
            (other, _) => Err(format!("expected a string, found {:?}", char::from(other))),
        }
    }

    /// An integer that is not negative.
    pub(crate) fn int(&mut self) -> Result<u64, String> {
        let header = self.header()?;
        match (header.kind, u64::try_from(header.value)) {
            (b':', Ok(value)) => Ok(value),
            (other, _) => Err(format!("expected a count, found {:?}", char::from(other))),
        }
    }

    /// Steps over a value with all that is in it.
    pub(crate) fn skip(&mut self) -> Result<(), String> {
        let mut due = 1;
        while due > 0 {
            let header = self.header()?;
            self.at += header.body();
            due = due - 1 + header.children();
        }
        Ok(())
    }

    /// Steps through entries `[[id, [field, value, ..]], ..]`; how many there were.
    pub(crate) fn entries(
        &mut self,
        mut each: impl FnMut(&'a [u8], &'a [u8]),
    ) -> Result<u64, String> {
        let Some(count) = self.array()? else {
            return Ok(0);
        };
        for _ in 0..count {
            if self.array()? != Some(2) {
                return Err("an entry is not a pair of ID and fields".to_owned());
            }
            let id = self.bulk()?;
            let texts = self.array()?.ok_or("an entry without fields")?;
            let mut last: &[u8] = b"";
            for _ in 0..texts {
                last = self.bulk()?;
            }
            each(id, last);
        }
        Ok(count)
    }

    /// Steps through the reply of XREAD or XREADGROUP on one stream; 0 for a null.
    pub(crate) fn stream(&mut self, each: impl FnMut(&'a [u8], &'a [u8])) -> Result<u64, String> {
        let Some(streams) = self.array()? else {
            return Ok(0);
        };
        if streams != 1 || self.array()? != Some(2) {
            return Err("expected entries of one stream".to_owned());
        }
        self.skip()?;
        self.entries(each)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLY: &[u8] =
        b"*1\r\n*2\r\n$1\r\nk\r\n*2\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\nf\r\n$2\r\nab\r\n\
        *2\r\n$3\r\n2-0\r\n*2\r\n$1\r\nf\r\n$2\r\n\r\n\r\n";

    #[test]
    fn a_reply_is_found_however_it_is_cut() {
        let mut twice = REPLY.to_vec();
        twice.extend_from_slice(b"+OK\r\n");
        for cut in 0..REPLY.len() {
            let mut scanner = Scanner::default();
            assert_eq!(scanner.scan(&twice[..cut]), Ok(None), "cut at {cut}");
            assert_eq!(scanner.scan(&twice), Ok(Some(REPLY.len())));
            assert_eq!(scanner.scan(&twice[REPLY.len()..]), Ok(Some(5)));
        }
    }

    #[test]
    fn entries_are_walked_with_id_and_last_value() {
        let mut seen = Vec::new();
        let count = Walk::new(REPLY)
            .unwrap()
            .stream(|id, value| seen.push((id, value)));
        assert_eq!(count, Ok(2));
        assert_eq!(seen, [(&b"1-0"[..], &b"ab"[..]), (b"2-0", b"\r\n")]);
    }

    #[test]
    fn an_error_reply_is_an_error() {
        assert!(Walk::new(b"-ERR no\r\n").is_err());
        assert!(Scanner::default().scan(b"?\r\n").is_err());
    }

    #[test]
    fn holes_are_filled_with_digits() {
        let mark = [b'#'; HOLE_DIGITS];
        let template = Template::new(&[b"XADD", &mark]);
        let mut out = Vec::new();
        template.write(&mut out, &[42]);
        assert_eq!(out, b"*2\r\n$4\r\nXADD\r\n$16\r\n0000000000000042\r\n");
    }
}

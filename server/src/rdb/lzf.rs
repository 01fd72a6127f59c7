//! LZF, the compression of strings in RDB payloads: only expanding is needed.
//!
//! ```text
//! 000lllll                    l + 1 bytes follow as they are
//! lllddddd dddddddd           copy l + 2 bytes from d + 1 back,         l from 1 to 6
//! 111ddddd llllllll dddddddd  copy l + 9 bytes from d + 1 back
//! ```

use super::Result;
use super::codec::{Reader, malformed};

/// Expands `packed` to exactly `len` bytes in `out`, which grows no faster than they come.
pub(super) fn expand(packed: &[u8], len: usize, out: &mut Vec<u8>) -> Result<()> {
    out.clear();
    let mut reader = Reader::new(packed);
    while !reader.is_empty() {
        let control = usize::from(reader.byte()?);
        if control < 32 {
            let literal = reader.bytes(control + 1)?;
            ensure_room(out, literal.len(), len)?;
            out.extend_from_slice(literal);
            continue;
        }
        let mut count = (control >> 5) + 2;
        if count == 9 {
            count += usize::from(reader.byte()?);
        }
        let distance = ((control & 0x1f) << 8 | usize::from(reader.byte()?)) + 1;
        ensure_room(out, count, len)?;
        if distance > out.len() {
            return Err(malformed("a copy from before the start of a string"));
        }
        // The copy may reach into what it writes: it goes in pieces of what is there.
        while count > 0 {
            let from = out.len() - distance;
            let piece = count.min(distance);
            out.extend_from_within(from..from + piece);
            count -= piece;
        }
    }
    if out.len() == len {
        Ok(())
    } else {
        Err(malformed("a compressed string of another length"))
    }
}

fn ensure_room(out: &[u8], more: usize, len: usize) -> Result<()> {
    if out.len() + more > len {
        return Err(malformed("a compressed string of another length"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::expand;

    fn expanded(packed: &[u8], len: usize) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        expand(packed, len, &mut out).ok().map(|()| out)
    }

    #[test]
    fn literals_and_copies_are_expanded() {
        assert_eq!(expanded(b"\x02abc", 3).unwrap(), b"abc");
        assert_eq!(expanded(b"\x02abc\x20\x02", 6).unwrap(), b"abcabc");
        assert_eq!(expanded(b"\x00a\xc0\x00", 9).unwrap(), b"aaaaaaaaa");
        assert_eq!(
            expanded(b"\x01ab\xe0\x05\x01", 16).unwrap(),
            b"abababababababab"
        );
    }

    #[test]
    fn wrong_lengths_and_distances_are_refused() {
        assert_eq!(expanded(b"\x02abc", 2), None);
        assert_eq!(expanded(b"\x02abc", 4), None);
        assert_eq!(expanded(b"\x02ab", 3), None);
        assert_eq!(expanded(b"\x02abc\x20\x03", 6), None);
        assert_eq!(expanded(b"\x02abc\x20", 6), None);
        assert_eq!(expanded(b"\x02abc\xe0\x00", 12), None);
        assert_eq!(expanded(b"\x20\x00", 3), None);
    }
}

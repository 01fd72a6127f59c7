//! Replies as bytes. Nothing here allocates but the growth of the buffer itself.

use alluvium_engine::EntryId;

/// Appends `<prefix><number>\r\n`.
pub(crate) fn header(out: &mut Vec<u8>, prefix: u8, number: usize) {
    // Short numbers, nearly all there are, are appended in one piece.
    match number {
        0..=9 => out.extend_from_slice(&[prefix, digit(number), b'\r', b'\n']),
        10..=99 => {
            let (tens, ones) = (digit(number / 10), digit(number));
            out.extend_from_slice(&[prefix, tens, ones, b'\r', b'\n']);
        }
        100..=999 => {
            let (hundreds, tens) = (digit(number / 100), digit(number / 10));
            out.extend_from_slice(&[prefix, hundreds, tens, digit(number), b'\r', b'\n']);
        }
        _ => {
            out.push(prefix);
            out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// The last digit of a number.
fn digit(number: usize) -> u8 {
    b'0' + u8::try_from(number % 10).expect("a digit")
}

/// Appends `:<number>\r\n`.
pub(crate) fn int(out: &mut Vec<u8>, number: i64) {
    out.push(b':');
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Appends a bulk string.
pub(crate) fn bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    header(out, b'$', bytes.len());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// Appends an entry ID as a bulk string.
pub(crate) fn id(out: &mut Vec<u8>, id: EntryId) {
    let (mut ms, mut seq) = (itoa::Buffer::new(), itoa::Buffer::new());
    let (ms, seq) = (ms.format(id.ms).as_bytes(), seq.format(id.seq).as_bytes());
    header(out, b'$', ms.len() + 1 + seq.len());
    out.extend_from_slice(ms);
    out.push(b'-');
    out.extend_from_slice(seq);
    out.extend_from_slice(b"\r\n");
}

/// Appends `-<text>\r\n`. The text holds no line end; see `Refusal`.
pub(crate) fn error(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'-');
    out.extend_from_slice(text);
    out.extend_from_slice(b"\r\n");
}

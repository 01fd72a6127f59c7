//! JSON for scripts: values that are text already, put together.

use std::fmt::Write as _;

pub(super) use super::json_text as text;

/// Bytes: a string if they are one, else an object with their hexadecimal digits.
pub(super) fn bytes(bytes: &[u8]) -> String {
    if let Ok(valid) = std::str::from_utf8(bytes) {
        return text(valid);
    }
    let mut hex = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String does not fail.
        let _ = write!(hex, "{byte:02x}");
    }
    named(&[("hex", text(&hex))])
}

/// An object of values that are JSON.
pub(super) fn named(values: &[(&str, String)]) -> String {
    let values = values
        .iter()
        .map(|(name, value)| format!("{}: {value}", text(name)));
    format!("{{{}}}", values.collect::<Vec<_>>().join(", "))
}

/// A list of values that are JSON.
pub(super) fn list(values: impl Iterator<Item = String>) -> String {
    format!("[{}]", values.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_are_hexadecimal() {
        assert_eq!(bytes("k\u{e9}y".as_bytes()), "\"k\u{e9}y\"");
        assert_eq!(bytes(b"\xff\x00"), r#"{"hex": "ff00"}"#);
    }
}

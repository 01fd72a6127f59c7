//! Entries as applications write them: JSON of 100 bytes, no two alike.

use crate::wire::{digits, request};
use crate::work::Random;

pub(super) const VALUE_LEN: usize = 100;

const VALUE: &[u8; VALUE_LEN] = b"{\"id\":00000000,\"user\":\"u000000\",\
    \"sku\":\"0000000000000000\",\"amount\":000.00,\"ts\":1700000000000,\"q\":000}";

/// Writes requests that add one entry.
pub(super) struct Writer {
    /// The request; the key's digits and the value are filled in.
    request: Vec<u8>,
    key_digits: Option<usize>,
    value: usize,
    random: Random,
}

const KEY_DIGITS: usize = 8;

impl Writer {
    /// Adds to the stream `key`, which may end in eight digits that are to be filled in, with more
    /// arguments in front of the ID.
    pub(super) fn new(key: &[u8], options: &[&[u8]]) -> Self {
        let mut args: Vec<&[u8]> = vec![b"XADD", key];
        args.extend(options);
        args.extend([&b"*"[..], b"data", VALUE]);
        let mut bytes = Vec::new();
        request(&mut bytes, &args);
        let key_at = bytes.windows(key.len()).position(|part| part == key);
        let key_at = key_at.unwrap_or(0);
        let has_digits = key.ends_with(&[b'0'; KEY_DIGITS]);
        Self {
            key_digits: has_digits.then_some(key_at + key.len() - KEY_DIGITS),
            value: bytes.len() - VALUE_LEN - 2,
            request: bytes,
            random: Random::new(7),
        }
    }

    /// Appends the request for the entry of this number in the stream of that number.
    pub(super) fn write(&mut self, out: &mut Vec<u8>, number: u64, stream: u64) {
        let at = out.len();
        out.extend_from_slice(&self.request);
        if let Some(key) = self.key_digits {
            let key = at + key;
            digits(&mut out[key..key + KEY_DIGITS], stream);
        }
        let value = &mut out[at + self.value..][..VALUE_LEN];
        let noise = self.random.below(u64::MAX);
        digits(&mut value[6..14], number);
        digits(&mut value[24..30], noise % 1_000_000);
        hex(&mut value[39..55], noise);
        digits(&mut value[66..69], noise % 997);
        digits(&mut value[70..72], noise % 89);
        digits(&mut value[78..91], 1_700_000_000_000 + number * 3);
        digits(&mut value[96..99], noise % 12);
    }
}

fn hex(place: &mut [u8], mut number: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b"0123456789abcdef"[usize::try_from(number & 15).unwrap_or(0)];
        number >>= 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_json_and_no_two_are_alike() {
        let mut writer = Writer::new(b"s:00000000", &[]);
        let mut values = Vec::new();
        for number in [5, 12_345_678] {
            let mut out = Vec::new();
            writer.write(&mut out, number, 42);
            let text = String::from_utf8(out).unwrap();
            assert!(text.contains("$10\r\ns:00000042\r\n"), "{text}");
            let value = text.split("\r\n").nth(10).unwrap().to_owned();
            assert_eq!(value.len(), VALUE_LEN);
            // A number in JSON has no leading zeros; the places of digits are what is looked at.
            let places: String = value
                .chars()
                .map(|c| if c.is_ascii_digit() { '1' } else { c })
                .collect();
            let parsed: serde_json::Value = serde_json::from_str(&places).unwrap();
            assert_eq!(parsed["amount"], 111.11);
            assert_eq!(parsed["user"], "u111111");
            values.push(value);
        }
        assert_ne!(values[0], values[1]);
    }
}

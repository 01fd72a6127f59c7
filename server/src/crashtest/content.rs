//! What an entry holds is a function of who wrote it, so that every byte read back can be judged.
//!
//! A [`Value`] names one XADD of the whole run: the connection and its count. The entry's fields
//! are
//! `v <value>` and `pad <bytes>`, the bytes following from seed and value. Nothing has to be
//! remembered to tell an intact entry from an altered one, and no two XADDs send the same.

use alluvium_engine::EntryId;

use super::rng::{Rng, mix};
use crate::tools::client::Reply;

/// One XADD of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Value {
    /// The connection that sent it; connections are numbered through the run, never reused.
    pub(super) conn: u32,
    /// The how-manieth XADD of that connection.
    pub(super) n: u32,
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "c{}-{}", self.conn, self.n)
    }
}

/// An entry as somebody saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sight {
    pub(super) id: EntryId,
    /// What it says it is; `None` when it says nothing that was ever written.
    pub(super) value: Option<Value>,
    /// Whether all its bytes are those that were sent with that value.
    pub(super) is_intact: bool,
}

/// How the entries of a run are made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recipe {
    pub(super) seed: u64,
    /// Most entries carry up to so many bytes; one in 64 carries up to 16 times as many.
    pub(super) payload_max: usize,
}

impl Recipe {
    /// The bytes that fill an entry up.
    pub(super) fn pad(self, value: Value) -> Vec<u8> {
        let mut rng = Rng::new(
            self.seed,
            mix(u64::from(value.conn) << 32 | u64::from(value.n)),
        );
        let max = if rng.one_in(64) {
            self.payload_max.saturating_mul(16)
        } else {
            self.payload_max
        };
        let length = rng.between(0, max);
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&rng.next().to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }

    /// Judges `[id, [field, value, ...]]`; `None` where there is no entry, as for a pending entry
    /// whose entry is gone.
    pub(super) fn judge(self, entry: &Reply) -> Option<Sight> {
        let [id, fields] = entry.array()? else {
            return None;
        };
        let id = parse_id(id.bytes()?)?;
        let fields: Vec<&[u8]> = fields.array()?.iter().filter_map(Reply::bytes).collect();
        let value = match fields.as_slice() {
            [b"v", text, ..] => parse_value(text),
            _ => None,
        };
        let is_intact = match (value, fields.as_slice()) {
            (Some(value), [_, _, b"pad", pad]) => self.pad(value) == *pad,
            _ => false,
        };
        Some(Sight {
            id,
            value,
            is_intact,
        })
    }
}

fn parse_value(text: &[u8]) -> Option<Value> {
    let (conn, n) = std::str::from_utf8(text)
        .ok()?
        .strip_prefix('c')?
        .split_once('-')?;
    Some(Value {
        conn: conn.parse().ok()?,
        n: n.parse().ok()?,
    })
}

/// Reads `ms-seq`.
pub(super) fn parse_id(text: &[u8]) -> Option<EntryId> {
    let (ms, seq) = std::str::from_utf8(text).ok()?.split_once('-')?;
    Some(EntryId::new(ms.parse().ok()?, seq.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECIPE: Recipe = Recipe {
        seed: 7,
        payload_max: 64,
    };

    fn entry(value: Value, pad: Vec<u8>) -> Reply {
        let fields = [
            b"v".to_vec(),
            value.to_string().into_bytes(),
            b"pad".to_vec(),
            pad,
        ];
        Reply::Array(vec![
            Reply::Bulk(b"5-1".to_vec()),
            Reply::Array(fields.into_iter().map(Reply::Bulk).collect()),
        ])
    }

    #[test]
    fn what_was_sent_is_intact_and_one_changed_byte_is_not() {
        let value = (0..100)
            .map(|n| Value { conn: 3, n })
            .find(|v| !RECIPE.pad(*v).is_empty());
        let value = value.unwrap();
        let mut pad = RECIPE.pad(value);
        let sight = RECIPE.judge(&entry(value, pad.clone())).unwrap();
        assert_eq!((sight.id, sight.value), (EntryId::new(5, 1), Some(value)));
        assert!(sight.is_intact);
        pad[0] ^= 1;
        let sight = RECIPE.judge(&entry(value, pad)).unwrap();
        assert!(!sight.is_intact);
    }

    #[test]
    fn a_strange_entry_has_no_value() {
        let with = |fields| Reply::Array(vec![Reply::Bulk(b"5-1".to_vec()), fields]);
        let sight = RECIPE
            .judge(&with(Reply::Array(vec![Reply::Int(1)])))
            .unwrap();
        assert_eq!((sight.value, sight.is_intact), (None, false));
        assert_eq!(RECIPE.judge(&with(Reply::Nil)), None);
        assert_eq!(RECIPE.judge(&Reply::Nil), None);
    }
}

//! The replies of a turn, in the client's protocol version.
//!
//! Most of a reply is written at once. Entries are not: under the engine's lock a command gets a
//! plan of where they are, and `entries` keeps that plan with its place among the bytes. It is
//! rendered when what the reply depends on is settled, piece by piece, outside of the lock.

use alluvium_engine::EntryId;

use crate::refusal::Refusal;
use crate::resp::{Protocol, encode};
use alluvium_engine::Entries;

/// Entries to be rendered at a place among the bytes of a reply.
struct Deferred {
    at: usize,
    entries: Entries,
    /// Rendered as one entry, without the array around it.
    is_single: bool,
    protocol: Protocol,
}

/// See the module's description.
#[derive(Default)]
pub(crate) struct Reply {
    bytes: Vec<u8>,
    deferred: Vec<Deferred>,
    protocol: Protocol,
}

impl Reply {
    /// The version that is being written.
    pub(crate) fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Changes the version from here on; HELLO and the start of a command do.
    pub(crate) fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    fn is_resp3(&self) -> bool {
        self.protocol == Protocol::Resp3
    }

    /// `+text`: no line ends in it.
    pub(crate) fn simple(&mut self, text: &str) {
        self.bytes.push(b'+');
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// `+OK`.
    pub(crate) fn ok(&mut self) {
        self.bytes.extend_from_slice(b"+OK\r\n");
    }

    /// An error inside a reply. A command that fails as a whole returns the refusal instead.
    pub(crate) fn error(&mut self, refusal: &Refusal) {
        encode::error(&mut self.bytes, refusal.text());
    }

    pub(crate) fn int(&mut self, number: i64) {
        encode::int(&mut self.bytes, number);
    }

    /// A count as an integer. Integers on the wire are signed; a larger one is clamped.
    pub(crate) fn count(&mut self, number: impl TryInto<i64>) {
        self.int(number.try_into().unwrap_or(i64::MAX));
    }

    pub(crate) fn bulk(&mut self, bytes: &[u8]) {
        encode::bulk(&mut self.bytes, bytes);
    }

    /// A number as a bulk string.
    pub(crate) fn bulk_int(&mut self, number: impl itoa::Integer) {
        encode::bulk(
            &mut self.bytes,
            itoa::Buffer::new().format(number).as_bytes(),
        );
    }

    /// An entry ID as a bulk string.
    pub(crate) fn id(&mut self, id: EntryId) {
        encode::id(&mut self.bytes, id);
    }

    /// An array of entry IDs.
    pub(crate) fn ids(&mut self, ids: &[EntryId]) {
        self.array(ids.len());
        for id in ids {
            self.id(*id);
        }
    }

    /// `$-1` in RESP2.
    pub(crate) fn null(&mut self) {
        let null: &[u8] = if self.is_resp3() {
            b"_\r\n"
        } else {
            b"$-1\r\n"
        };
        self.bytes.extend_from_slice(null);
    }

    /// `*-1` in RESP2.
    pub(crate) fn null_array(&mut self) {
        let null: &[u8] = if self.is_resp3() {
            b"_\r\n"
        } else {
            b"*-1\r\n"
        };
        self.bytes.extend_from_slice(null);
    }

    /// The header of an array of `len` replies, which follow.
    pub(crate) fn array(&mut self, len: usize) {
        encode::header(&mut self.bytes, b'*', len);
    }

    /// The header of `len` pairs; in RESP2 an array of twice as many.
    pub(crate) fn map(&mut self, len: usize) {
        if self.is_resp3() {
            encode::header(&mut self.bytes, b'%', len);
        } else {
            encode::header(&mut self.bytes, b'*', len * 2);
        }
    }

    /// The header of a set; in RESP2 an array.
    pub(crate) fn set(&mut self, len: usize) {
        let prefix = if self.is_resp3() { b'~' } else { b'*' };
        encode::header(&mut self.bytes, prefix, len);
    }

    /// The header of a push message; in RESP2 an array.
    pub(crate) fn push(&mut self, len: usize) {
        let prefix = if self.is_resp3() { b'>' } else { b'*' };
        encode::header(&mut self.bytes, prefix, len);
    }

    /// A double; in RESP2 a bulk string.
    pub(crate) fn double(&mut self, number: f64) {
        let text = number.to_string();
        if self.is_resp3() {
            self.bytes.push(b',');
            self.bytes.extend_from_slice(text.as_bytes());
            self.bytes.extend_from_slice(b"\r\n");
        } else {
            self.bulk(text.as_bytes());
        }
    }

    /// Plain text that is not to be escaped when shown (INFO, CLIENT LIST); in RESP2 a bulk string.
    pub(crate) fn verbatim(&mut self, text: &[u8]) {
        if self.is_resp3() {
            encode::header(&mut self.bytes, b'=', text.len() + 4);
            self.bytes.extend_from_slice(b"txt:");
            self.bytes.extend_from_slice(text);
            self.bytes.extend_from_slice(b"\r\n");
        } else {
            self.bulk(text);
        }
    }

    /// An array of entries, each `[id, [field, value, ...]]`, or `[id, null]` for one that a
    /// pending list still names though it is deleted.
    pub(crate) fn entries(&mut self, entries: Entries) {
        self.defer(entries, false);
    }

    /// The first of the entries without an array around it; null if there is none.
    pub(crate) fn entry(&mut self, entries: Entries) {
        if entries.is_empty() {
            self.null();
        } else {
            self.defer(entries, true);
        }
    }

    fn defer(&mut self, entries: Entries, is_single: bool) {
        let (at, protocol) = (self.bytes.len(), self.protocol);
        self.deferred.push(Deferred {
            at,
            entries,
            is_single,
            protocol,
        });
    }
}

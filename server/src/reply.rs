//! The replies of a turn, in the client's protocol version.
//!
//! Most of a reply is written at once. Entries are not: under the engine's lock a command gets a
//! plan of where they are, and `entries` keeps that plan with its place among the bytes. It is
//! rendered when what the reply depends on is settled, piece by piece, outside of the lock.

use std::ops::{ControlFlow, Range};

use alluvium_engine::{Entries, EntryId, Error, Fields, Overdue};

use crate::refusal::Refusal;
use crate::resp::{Protocol, encode};

/// Makes a bulk string when what it depends on is settled.
pub(crate) type LateBulk = Box<dyn FnOnce() -> Result<Vec<u8>, Error> + Send>;

/// What is rendered later.
enum Content {
    /// An array of entries.
    Entries(Entries),
    /// An array of entries with two numbers more each: how it was pending, 0 if it was not.
    Claimed(Entries, Vec<Overdue>),
    /// The first of the entries, without an array around it.
    Entry(Entries),
    /// A bulk string, until it is made.
    Bulk(Option<LateBulk>),
}

/// Something to be rendered at a place among the bytes of a reply.
struct Deferred {
    at: usize,
    content: Content,
    protocol: Protocol,
    /// The bytes of the command that this belongs to.
    command: Range<usize>,
}

/// A place in a reply to which it can be taken back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    bytes: usize,
    deferred: usize,
}

/// How far rendering has come.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    bytes: usize,
    deferred: usize,
    /// Entries rendered of the deferred that is being rendered; `None` before its header.
    entries: Option<usize>,
    /// Where in the output the command began that is being rendered, if that is still there.
    command_at: Option<usize>,
}

/// See the module's description.
#[derive(Default)]
pub(crate) struct Reply {
    bytes: Vec<u8>,
    deferred: Vec<Deferred>,
    protocol: Protocol,
    progress: Progress,
}

/// What [`Reply::render`] left to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rendered {
    All,
    Part,
}

/// The frame's side: what the connection and the execution do with a reply.
impl Reply {
    /// A reply that writes into the given buffer.
    pub(crate) fn with_buffer(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            ..Self::default()
        }
    }

    /// The bytes that are there; what is deferred is to be rendered among them.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes of memory that it keeps when it is empty.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity() + self.deferred.capacity() * size_of::<Deferred>()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.deferred.is_empty()
    }

    /// Whether entries are to be rendered among the bytes.
    pub(crate) fn has_deferred(&self) -> bool {
        !self.deferred.is_empty()
    }

    /// Bytes that are there; what is deferred does not count.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark {
            bytes: self.bytes.len(),
            deferred: self.deferred.len(),
        }
    }

    /// Drops what was written since the mark.
    pub(crate) fn rewind(&mut self, mark: Mark) {
        self.bytes.truncate(mark.bytes);
        self.deferred.truncate(mark.deferred);
    }

    /// What was written since the mark is one command's reply: if entries in it turn out to be
    /// unreadable, an error takes the place of all of it.
    pub(crate) fn end_command(&mut self, mark: Mark) {
        for deferred in &mut self.deferred[mark.deferred..] {
            deferred.command = mark.bytes..self.bytes.len();
        }
    }

    /// Moves all of `other` behind what is here.
    pub(crate) fn append(&mut self, other: &mut Reply) {
        let shift = self.bytes.len();
        self.bytes.append(&mut other.bytes);
        self.deferred
            .extend(other.deferred.drain(..).map(|mut deferred| {
                deferred.at += shift;
                deferred.command = deferred.command.start + shift..deferred.command.end + shift;
                deferred
            }));
    }

    /// Renders into `out` until everything is there or `out` holds `len_max` bytes or more. The
    /// output of earlier calls has been written and cleared.
    ///
    /// An error means that entries could not be read whose reply has partly left already.
    pub(crate) fn render(&mut self, out: &mut Vec<u8>, len_max: usize) -> Result<Rendered, Error> {
        let mut at = self.progress;
        at.command_at = None;
        while let Some(deferred) = self.deferred.get_mut(at.deferred) {
            if out.len() >= len_max {
                self.progress = at;
                return Ok(Rendered::Part);
            }
            if at.entries.is_none() {
                if at.bytes <= deferred.command.start {
                    out.extend_from_slice(&self.bytes[at.bytes..deferred.command.start]);
                    at.bytes = deferred.command.start;
                    at.command_at = Some(out.len());
                }
                out.extend_from_slice(&self.bytes[at.bytes..deferred.at]);
                at.bytes = deferred.at;
                if let Content::Entries(entries) | Content::Claimed(entries, _) = &deferred.content
                {
                    encode::header(out, b'*', entries.len());
                }
            }
            let done = at.entries.unwrap_or(0);
            match deferred.render(done, out, len_max) {
                Ok(count) if deferred.is_complete(done + count) => {
                    at.entries = None;
                    at.deferred += 1;
                }
                Ok(count) => at.entries = Some(done + count),
                Err(error) => {
                    let Some(command_at) = at.command_at else {
                        return Err(error);
                    };
                    out.truncate(command_at);
                    encode::error(out, Refusal::from(error).text());
                    at.bytes = deferred.command.end;
                    at.entries = None;
                    let command = deferred.command.clone();
                    let rest = self.deferred[at.deferred..].iter();
                    at.deferred += rest.take_while(|it| it.command == command).count();
                }
            }
        }
        out.extend_from_slice(&self.bytes[at.bytes..]);
        self.clear();
        Ok(Rendered::All)
    }

    /// Empties the reply; its buffer stays.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.deferred.clear();
        self.progress = Progress::default();
    }
}

impl Deferred {
    /// How many items it has.
    fn len(&self) -> usize {
        match &self.content {
            Content::Entries(entries) | Content::Claimed(entries, _) => entries.len(),
            Content::Entry(_) | Content::Bulk(_) => 1,
        }
    }

    fn is_complete(&self, rendered: usize) -> bool {
        rendered >= self.len()
    }

    /// Renders items from the given index on; returns how many.
    fn render(&mut self, from: usize, out: &mut Vec<u8>, len_max: usize) -> Result<usize, Error> {
        let mut count = 0;
        if self.is_complete(from) {
            return Ok(0);
        }
        let (entries, is_single, claimed) = match &mut self.content {
            Content::Entries(entries) => (entries, false, None),
            Content::Claimed(entries, claimed) => (entries, false, Some(claimed)),
            Content::Entry(entries) => (entries, true, None),
            Content::Bulk(make) => {
                // It may take a while: the connections of this thread move to another one.
                let make = make.take().expect("it is made once");
                match tokio::task::block_in_place(make) {
                    Ok(bytes) => encode::bulk(out, &bytes),
                    Err(error) => encode::error(out, Refusal::from(error).text()),
                }
                return Ok(1);
            }
        };
        entries.visit(from, &mut |id, fields| {
            let len = if claimed.is_some() { 4 } else { 2 };
            entry(out, id, fields, (self.protocol, len));
            if let Some(claimed) = &claimed {
                let before = claimed.get(from + count).copied().unwrap_or_default();
                encode::int(out, before.idle_ms.cast_signed());
                let deliveries = i64::try_from(before.delivery_count);
                encode::int(out, deliveries.unwrap_or(i64::MAX));
            }
            count += 1;
            let is_done = is_single || out.len() >= len_max;
            if is_done {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })?;
        Ok(count)
    }
}

/// `[id, [field, value, ...]]`, or the beginning of a longer array.
fn entry(
    out: &mut Vec<u8>,
    id: EntryId,
    fields: Option<Fields<'_>>,
    (protocol, len): (Protocol, usize),
) {
    encode::header(out, b'*', len);
    encode::id(out, id);
    match (fields, protocol) {
        (Some(fields), _) => {
            encode::header(out, b'*', fields.len());
            for field in fields {
                encode::bulk(out, field);
            }
        }
        (None, Protocol::Resp2) => out.extend_from_slice(b"*-1\r\n"),
        (None, Protocol::Resp3) => out.extend_from_slice(b"_\r\n"),
    }
}

/// The commands' side: one function for each kind of reply.
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
        self.defer(Content::Entries(entries));
    }

    /// An array of entries, each with how long and how often it had been pending; the first of them
    /// were claimed, the others are new.
    pub(crate) fn claimed_entries(&mut self, entries: Entries, claimed: Vec<Overdue>) {
        self.defer(Content::Claimed(entries, claimed));
    }

    /// The first of the entries without an array around it; null if there is none.
    pub(crate) fn entry(&mut self, entries: Entries) {
        if entries.is_empty() {
            self.null();
        } else {
            self.defer(Content::Entry(entries));
        }
    }

    /// A bulk string that is made outside of the locks.
    pub(crate) fn late_bulk(&mut self, make: LateBulk) {
        self.defer(Content::Bulk(Some(make)));
    }

    fn defer(&mut self, content: Content) {
        let (at, protocol) = (self.bytes.len(), self.protocol);
        self.deferred.push(Deferred {
            at,
            content,
            protocol,
            command: at..at,
        });
    }
}

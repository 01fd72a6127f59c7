//! What a reply to XREAD or XREADGROUP may still hold: COUNT a stream, MAXCOUNT and MAXSIZE in all.
//!
//! The size is that of the reply on the wire, with all of the protocol in it. The first entry of a
//! reply is always let through; another one only if the reply stays within the size.

use std::ops::ControlFlow;

use alluvium_engine::{EntryId, Fields};

use super::read_request::Request;
use crate::resp::Protocol;

/// See the module's description.
pub(super) struct Budget {
    count: Option<usize>,
    /// Entries that the reply may still hold.
    entries_left: usize,
    /// Bytes that it may still hold; `None` without MAXSIZE.
    size_left: Option<usize>,
    /// Whether an entry is in the reply.
    has_entries: bool,
    is_resp3: bool,
    claims: bool,
}

/// The longest header of an array or a map.
const HEADER_LEN_MAX: usize = 12;

impl Budget {
    pub(super) fn of(request: &Request<'_>, protocol: Protocol) -> Self {
        Self {
            count: request.count,
            entries_left: request.max_count.unwrap_or(usize::MAX),
            size_left: request
                .max_size
                .map(|size| size.saturating_sub(HEADER_LEN_MAX)),
            has_entries: false,
            is_resp3: protocol == Protocol::Resp3,
            claims: request.claim_idle_ms.is_some(),
        }
    }

    /// Most entries that the next stream may give.
    pub(super) fn count(&self) -> Option<usize> {
        let left = Some(self.entries_left).filter(|left| *left < usize::MAX);
        self.count.into_iter().chain(left).min()
    }

    pub(super) fn has_size(&self) -> bool {
        self.size_left.is_some()
    }

    /// Whether the reply is full: the streams that are left are left out.
    pub(super) fn is_spent(&self) -> bool {
        self.entries_left == 0
    }

    /// Counts what a stream gave.
    pub(super) fn spend(&mut self, entries: usize) {
        // Without MAXCOUNT there is no bound that could become smaller.
        if self.entries_left < usize::MAX {
            self.entries_left = self.entries_left.saturating_sub(entries);
        }
        self.has_entries |= entries > 0;
    }

    /// Looks at the entries of one stream, each in its turn.
    pub(super) fn fits<'b>(
        &'b mut self,
        key: &[u8],
    ) -> impl FnMut(EntryId, Option<Fields<'_>>) -> ControlFlow<()> + 'b {
        let mut stream_len = HEADER_LEN_MAX + bulk_len(key.len());
        if !self.is_resp3 {
            stream_len += header_len(2);
        }
        move |id, fields| {
            let len = stream_len + entry_len(id, fields, self.is_resp3, self.claims);
            let left = self.size_left.unwrap_or(usize::MAX);
            if len > left && self.has_entries {
                self.entries_left = 0;
                return ControlFlow::Break(());
            }
            self.size_left = self.size_left.map(|left| left.saturating_sub(len));
            self.has_entries = true;
            stream_len = 0;
            ControlFlow::Continue(())
        }
    }
}

fn digits(number: impl itoa::Integer) -> usize {
    itoa::Buffer::new().format(number).len()
}

/// `*<number>` and the line end.
fn header_len(number: usize) -> usize {
    1 + digits(number) + 2
}

fn bulk_len(len: usize) -> usize {
    header_len(len) + len + 2
}

fn entry_len(id: EntryId, fields: Option<Fields<'_>>, is_resp3: bool, claims: bool) -> usize {
    let id_len = bulk_len(digits(id.ms) + 1 + digits(id.seq));
    let fields_len = match fields {
        Some(fields) => {
            header_len(fields.len()) + fields.map(|field| bulk_len(field.len())).sum::<usize>()
        }
        None if is_resp3 => "_\r\n".len(),
        None => "*-1\r\n".len(),
    };
    // Two integers say how a claimed entry was pending.
    let claimed_len = if claims { 2 * (1 + 20 + 2) } else { 0 };
    header_len(2) + id_len + fields_len + claimed_len
}

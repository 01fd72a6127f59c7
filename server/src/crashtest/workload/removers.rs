//! What takes away: XDEL of one's own entries, alone and in a MULTI/EXEC with an XADD, and XTRIM.
//!
//! A connection deletes only what it added itself and was told of; and only the first stream is
//! trimmed, so that in the others whatever is missing has a name.

use alluvium_engine::EntryId;

use super::super::history::{Bound, StreamNo, What};
use super::{Answer, Worker};
use crate::tools::client::Reply;

/// So many of its own entries a connection remembers.
const OWN_MAX: usize = 256;
/// What XTRIM MAXLEN leaves at least and at most.
const LENGTHS: (usize, usize) = (200, 2000);

/// The entries of one connection that it was told of, the latest of them.
#[derive(Default)]
pub(super) struct Own(Vec<(StreamNo, EntryId)>);

impl Own {
    pub(super) fn note(&mut self, stream: StreamNo, id: EntryId) {
        if self.0.len() == OWN_MAX {
            self.0.remove(0);
        }
        self.0.push((stream, id));
    }
}

impl Worker<'_> {
    /// Takes out one of its own entries of a stream that is not trimmed.
    pub(super) fn victim(&mut self) -> Option<(StreamNo, EntryId)> {
        let trimmed = self.stage.streams[0].0;
        let at = self.rng.below(self.own.0.len().max(1));
        let (stream, _) = *self.own.0.get(at)?;
        (stream != trimmed).then(|| self.own.0.swap_remove(at))
    }

    pub(super) fn key(&self, stream: StreamNo) -> &[u8] {
        let named = self
            .stage
            .streams
            .iter()
            .find(|(number, _)| *number == stream);
        named.map_or(b"", |(_, key)| key.as_bytes())
    }

    pub(super) fn delete_one(&mut self) {
        let Some((stream, id)) = self.victim() else {
            return;
        };
        let key = self.key(stream).to_vec();
        let answer = self.ask(&[b"XDEL", &key, id.to_string().as_bytes()]);
        let removed = counted(&answer);
        self.note(
            &answer,
            None,
            What::Delete {
                stream,
                id,
                removed,
                unrefers: false,
            },
        );
    }

    /// XDEL of an entry and XADD of another in one transaction.
    pub(super) fn replace_one(&mut self) {
        let Some((stream, id)) = self.victim() else {
            return;
        };
        let key = self.key(stream).to_vec();
        self.client.queue(&[b"MULTI"]);
        self.client
            .queue(&[b"XDEL", &key, id.to_string().as_bytes()]);
        let (to, value) = self.queue_add();
        self.client.queue(&[b"EXEC"]);
        let start = self.send();
        for _ in 0..3 {
            self.receive(start);
        }
        let mut answer = self.receive(start);
        let results = answer.reply.take();
        let results = results.as_ref().and_then(Reply::array).unwrap_or_default();
        answer.reply = results.first().cloned();
        let removed = counted(&answer);
        let what = What::Delete {
            stream,
            id,
            removed,
            unrefers: false,
        };
        self.note(&answer, Some(value), what);
        answer.reply = results.get(1).cloned();
        self.note_add(to, value, Some(value), &answer);
    }

    /// XTRIM of the first stream: to one of its own entries, or to a length.
    pub(super) fn trim(&mut self) {
        let (stream, key) = self.stage.streams[0].clone();
        let own = self.own.0.iter().find(|(of, _)| *of == stream);
        let to = match own {
            Some((_, id)) if self.rng.one_in(2) => Bound::MinId(*id),
            _ => Bound::MaxLen(self.rng.between(LENGTHS.0, LENGTHS.1) as u64),
        };
        let (word, bound) = match to {
            Bound::MinId(id) => ("MINID", id.to_string()),
            Bound::MaxLen(length) => ("MAXLEN", length.to_string()),
        };
        let answer = self.ask(&["XTRIM", &key, word, "=", &bound].map(str::as_bytes));
        let removed = counted(&answer);
        self.note(
            &answer,
            None,
            What::Trim {
                stream,
                to,
                removed,
            },
        );
    }
}

pub(super) fn counted(answer: &Answer) -> u64 {
    answer.reply.as_ref().and_then(Reply::count).unwrap_or(0)
}

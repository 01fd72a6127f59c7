//! Reading a quiet server: every entry, every group, every pending entry.

use std::io;

use alluvium_engine::EntryId;

use super::content::{Recipe, parse_id};
use super::history::{Figures, GroupNo, GroupState, NOBODY, Names, Pending, StreamNo, StreamState};
use crate::tools::client::{Client, Reply};

/// Entries, or pending entries, that one command asks for.
const PAGE: usize = 1000;

/// Reads streams of a run from one connection.
pub(super) struct ReadBack<'a> {
    pub(super) client: &'a mut Client,
    pub(super) names: &'a Names,
    pub(super) recipe: Recipe,
}

impl ReadBack<'_> {
    /// The figures only.
    pub(super) fn glance(&mut self, stream: StreamNo) -> io::Result<StreamState> {
        let key = self.names.streams[stream].as_bytes();
        let mut state = StreamState {
            stream,
            ..StreamState::default()
        };
        let info = self.client.call(&[b"XINFO", b"STREAM", key])?;
        if matches!(&info, Reply::Error(text) if text.contains("no such key")) {
            return Ok(state);
        }
        state.exists = true;
        let id = info
            .member("last-generated-id")
            .and_then(Reply::bytes)
            .and_then(parse_id);
        let length = info.member("length").and_then(Reply::count);
        state.figures = Figures {
            length: length.ok_or_else(|| unexpected("XINFO STREAM", &info))?,
            last_id: id.ok_or_else(|| unexpected("XINFO STREAM", &info))?,
            entries_added: info.member("entries-added").and_then(Reply::count),
            groups: Vec::new(),
        };
        let groups = self.client.call(&[b"XINFO", b"GROUPS", key])?;
        for group in groups
            .array()
            .ok_or_else(|| unexpected("XINFO GROUPS", &groups))?
        {
            let figures = self.group_figures(stream, group);
            state.figures.groups.extend(figures);
        }
        Ok(state)
    }

    fn group_figures(&self, stream: StreamNo, info: &Reply) -> Option<(GroupNo, EntryId, u64)> {
        let name = info.member("name")?.bytes()?;
        let is_it = |(s, n): &(StreamNo, String)| *s == stream && n.as_bytes() == name;
        let group = self.names.groups.iter().position(is_it)?;
        let cursor = parse_id(info.member("last-delivered-id")?.bytes()?)?;
        Some((group, cursor, info.member("pending")?.count()?))
    }

    /// Everything.
    pub(super) fn read(&mut self, stream: StreamNo) -> io::Result<StreamState> {
        let mut state = self.glance(stream)?;
        if !state.exists {
            return Ok(state);
        }
        self.read_entries(&mut state)?;
        for (group, cursor, pending_count) in state.figures.groups.clone() {
            state.groups.push(GroupState {
                group,
                cursor,
                pending_count,
                pending: self.read_pending(group)?,
            });
        }
        Ok(state)
    }

    fn read_entries(&mut self, state: &mut StreamState) -> io::Result<()> {
        let key = self.names.streams[state.stream].as_bytes();
        let mut from = Some(EntryId::MIN);
        while let Some(start) = from.take() {
            let (start, count) = (start.to_string(), PAGE.to_string());
            let args = [
                b"XRANGE",
                key,
                start.as_bytes(),
                b"+",
                b"COUNT",
                count.as_bytes(),
            ];
            let page = self.client.call(&args)?;
            let entries = page.array().ok_or_else(|| unexpected("XRANGE", &page))?;
            state
                .entries
                .extend(entries.iter().filter_map(|entry| self.recipe.judge(entry)));
            if entries.len() == PAGE {
                from = state.entries.last().and_then(|last| last.id.next());
            }
        }
        Ok(())
    }

    fn read_pending(&mut self, group: GroupNo) -> io::Result<Vec<Pending>> {
        let key = self.names.key_of_group(group).as_bytes();
        let name = self.names.groups[group].1.as_bytes();
        let mut pending: Vec<Pending> = Vec::new();
        let mut from = Some(EntryId::MIN);
        while let Some(start) = from.take() {
            let (start, count) = (start.to_string(), PAGE.to_string());
            let args = [
                b"XPENDING",
                key,
                name,
                start.as_bytes(),
                b"+",
                count.as_bytes(),
            ];
            let page = self.client.call(&args)?;
            let items = page.array().ok_or_else(|| unexpected("XPENDING", &page))?;
            pending.extend(items.iter().filter_map(pending_of));
            if items.len() == PAGE {
                from = pending.last().and_then(|last| last.id.next());
            }
        }
        Ok(pending)
    }
}

/// `[id, consumer, idle, delivery count]`.
fn pending_of(item: &Reply) -> Option<Pending> {
    let [id, consumer, _, count] = item.array()? else {
        return None;
    };
    let consumer = std::str::from_utf8(consumer.bytes()?).ok()?;
    Some(Pending {
        id: parse_id(id.bytes()?)?,
        // A name that no worker has is nobody's number.
        consumer: consumer
            .strip_prefix('w')
            .and_then(|n| n.parse().ok())
            .unwrap_or(NOBODY),
        delivery_count: count.count()?,
    })
}

fn unexpected(command: &str, reply: &Reply) -> io::Error {
    let text: String = format!("{reply:?}").chars().take(200).collect();
    io::Error::other(format!("{command} replied {text}"))
}

//! A reader outside of groups: it follows all streams with XREAD from where it stands.

use alluvium_engine::EntryId;

use super::super::content::Sight;
use super::super::history::What;
use super::{Answer, Worker};
use crate::tools::client::Reply;

/// Follows the streams until the connection ends.
pub(super) fn read(worker: &mut Worker<'_>, _index: u32) {
    let streams = &worker.stage.streams;
    let mut after = vec![EntryId::MIN; streams.len()];
    for (at, (_, key)) in streams.iter().enumerate() {
        let answer = worker.ask(&[b"XREVRANGE", key.as_bytes(), b"+", b"-", b"COUNT", b"1"]);
        after[at] = worker
            .sights(answer.reply.as_ref())
            .first()
            .map_or(after[at], |s| s.id);
    }
    while worker.goes_on() {
        let from: Vec<String> = after.iter().map(EntryId::to_string).collect();
        let mut args: Vec<&[u8]> = vec![b"XREAD", b"COUNT", b"200", b"BLOCK", b"20", b"STREAMS"];
        args.extend(streams.iter().map(|(_, key)| key.as_bytes()));
        args.extend(from.iter().map(String::as_bytes));
        let answer = worker.ask(&args);
        worker.note_read(&answer, &mut after);
    }
}

impl Worker<'_> {
    fn note_read(&mut self, answer: &Answer, after: &mut [EntryId]) {
        for part in answer
            .reply
            .as_ref()
            .and_then(Reply::array)
            .unwrap_or_default()
        {
            let Some([key, entries]) = part.array() else {
                continue;
            };
            let key = key.bytes();
            let named = |(_, name): &(usize, String)| Some(name.as_bytes()) == key;
            let Some(at) = self.stage.streams.iter().position(named) else {
                continue;
            };
            let entries = self.sights(Some(entries));
            let what = What::Read {
                stream: self.stage.streams[at].0,
                after: after[at],
                entries: entries.clone(),
            };
            after[at] = entries.last().map_or(after[at], |last| last.id);
            self.note(answer, None, what);
        }
    }

    /// The entries of a reply such as XRANGE's.
    pub(super) fn sights(&self, entries: Option<&Reply>) -> Vec<Sight> {
        let entries = entries.and_then(Reply::array).unwrap_or_default();
        entries
            .iter()
            .filter_map(|entry| self.stage.recipe.judge(entry))
            .collect()
    }
}

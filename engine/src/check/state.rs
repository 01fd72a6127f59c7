//! The state: what a start would build, held against the log and against itself.

use std::path::Path;
use std::sync::Arc;

use super::{CheckReport, Damage, OnProgress, ToolProgress};
use crate::engine::{Core, Looked, SORTED, look};
use crate::format::entry;
use crate::group::Group;
use crate::index::{Node, Position, Run, corrupt_at};
use crate::log::{Log, NO_ENTRY};
use crate::sorted::{self, LostRun};
use crate::storage::Storage;
use crate::stream::Stream;
use crate::{EntryId, Error, Lsn, Result};

/// Progress is told after so many entries.
const STEP: u64 = 10_000;

/// Builds the state from the newest checkpoint and from the one before it, and verifies it.
pub(super) fn verify(
    storage: &Arc<dyn Storage>,
    dir: &Path,
    report: &mut CheckReport,
    progress: OnProgress<'_>,
) -> Result<()> {
    let mut told = |what, done, total| {
        progress(&ToolProgress {
            what,
            path: None,
            done,
            total,
        });
    };
    told("replaying", 0, 0);
    let newest = look(storage, dir, 0)?;
    found(report, &newest);
    let Core { state, log, .. } = &newest.core;
    let total = state.counts().1;
    let mut done = 0;
    for stream in state.keyspace.streams() {
        report.state.streams += 1;
        let mut checked = Checked {
            report,
            stream,
            db: state.keyspace.logical(stream.db),
            last: None,
            is_in_gap: false,
        };
        for run in state.sorted.lost() {
            checked.lost(&dir.join(SORTED), run);
        }
        for position in stream.index.positions() {
            checked.entry(log, position)?;
            checked.count();
            done += 1;
            if done % STEP == 0 {
                told("verifying entries", done, total);
            }
        }
        checked.counters(log)?;
        for (_, name, group) in stream.groups() {
            checked.group(log, name, group)?;
        }
    }
    unreferenced(report, &newest);
    if report.checkpoints < 2 {
        return Ok(());
    }
    let digest = newest.core.state.digest(&newest.core.log);
    let path = newest.checkpoint.map(|kept| kept.path);
    drop(newest.core);
    told("replaying from the older checkpoint", 0, 0);
    let older = look(storage, dir, 1)?;
    found(report, &older);
    let is_same = || {
        let older = older.core.state.digest(&older.core.log);
        matches!((older, &digest), (Ok(older), Ok(newest)) if older == *newest)
    };
    if report.damage.is_empty() && !is_same() {
        let what = "the state differs from what the older checkpoint and the log make";
        let path = path.unwrap_or_else(|| dir.to_owned());
        report.damaged(Damage::of(&path, (0, 0), what));
    }
    Ok(())
}

/// Takes over what the replay met.
fn found(report: &mut CheckReport, looked: &Looked) {
    for loss in &looked.report.losses {
        let place = (loss.offset, loss.len);
        report.damaged(Damage::of(&loss.path, place, loss.what));
    }
    for path in &looked.report.damaged_checkpoints {
        report.unused(path);
    }
}

/// Without a checkpoint nobody tells what of a sorted segment is still there. Where the log is
/// whole it has all of that, too; where it is not, those entries are left out.
pub(crate) fn unreferenced(report: &mut CheckReport, looked: &Looked) {
    let is_whole = report.damage.is_empty() && looked.report.losses.is_empty();
    if is_whole || looked.report.checkpoint.is_some() {
        return;
    }
    for file in looked.core.state.sorted.files() {
        if file.live() == 0 {
            let what = "no usable checkpoint says what of this sorted segment is still there: if \
                        one did, its entries are left out";
            let damage = Damage::of(file.path(), (0, file.len()), what);
            let entries = file.footer().entries;
            report.damage.push(Damage { entries, ..damage });
        }
    }
}

/// A stream that is being verified.
struct Checked<'a> {
    report: &'a mut CheckReport,
    stream: &'a Stream,
    db: u8,
    /// The last entry that could be read.
    last: Option<EntryId>,
    /// The entry before was damaged.
    is_in_gap: bool,
}

impl Checked<'_> {
    fn damaged(&mut self, error: Error, id: Option<EntryId>, what: &str) -> Result<()> {
        let Error::Corrupt { path, offset, .. } = error else {
            return Err(error);
        };
        // Neighbours are told of in one.
        let last = self.report.damage.last_mut();
        match last.filter(|last| self.is_in_gap && last.path == path && last.what == what) {
            Some(_) => {}
            None => self.report.damage.push(Damage {
                stream: Some((self.db, self.stream.key.to_vec())),
                id,
                ..Damage::of(&path, (offset, 0), what)
            }),
        }
        self.is_in_gap = true;
        Ok(())
    }

    /// Counts the entry that was just looked at.
    fn count(&mut self) {
        match self.report.damage.last_mut() {
            Some(last) if self.is_in_gap => last.entries += 1,
            _ => self.report.state.entries += 1,
        }
    }

    /// What is wrong at `lsn`.
    fn at(
        &mut self,
        log: &Log,
        lsn: Lsn,
        (id, what): (Option<EntryId>, &'static str),
    ) -> Result<()> {
        self.damaged(corrupt_at(log, lsn, what), id, what)
    }

    /// A run of some stream that is not there.
    fn lost(&mut self, dir: &Path, run: &LostRun) {
        if run.stream == self.stream.number {
            let what = "entries lived in this sorted segment, and it is missing or damaged";
            self.report.damage.push(Damage {
                stream: Some((self.db, self.stream.key.to_vec())),
                id: run.after,
                entries: run.entries,
                ..Damage::of(&dir.join(sorted::name(run.file)), (0, 0), what)
            });
        }
    }

    /// The entry that the index says is at `position`.
    fn entry(&mut self, log: &Log, position: Position) -> Result<()> {
        let index = &self.stream.index;
        match (index.node_at(position.part), index.lsn(position)) {
            (Some(node), Some(lsn)) => self.entry_in_log(log, (position.part, node), lsn),
            _ => self.entry_in_run(log, position),
        }
    }

    /// The entry that lies in a run.
    fn entry_in_run(&mut self, log: &Log, position: Position) -> Result<()> {
        let index = &self.stream.index;
        let row = index.run(position.part).map(Run::row).transpose();
        let (row, id) = match (row, index.read(position, log, |id, _| id)) {
            (Ok(Some(row)), Ok(Some(id))) => (row, id),
            (Err(error), _) | (_, Err(error)) => {
                let what = match &error {
                    Error::Corrupt { what, .. } => *what,
                    _ => "",
                };
                return self.damaged(error, self.last, what);
            }
            _ => unreachable!("a position of the index is in a run or in the log"),
        };
        let is_first = position == Position::START;
        let is_in_order = self.last < Some(id)
            && (row.first_id..=row.last_id).contains(&id)
            && (!is_first || id == index.first_id());
        if !is_in_order || row.stream != self.stream.number {
            let what = "an entry of a sorted segment is not where its ID belongs";
            let run = index.run(position.part);
            let file = &run.expect("it was just read").file;
            return self.damaged(file.corrupt(0, what), Some(id), what);
        }
        self.last = Some(id);
        self.is_in_gap = false;
        Ok(())
    }

    /// The entry that the index says is at `lsn`.
    fn entry_in_log(&mut self, log: &Log, (at, node): (usize, &Node), lsn: Lsn) -> Result<()> {
        let bytes = match log.bytes_at(lsn) {
            Ok(bytes) => bytes,
            Err(error) => {
                let what = "an entry lives here, and these bytes of the log are missing";
                return self.damaged(error, self.last, what);
            }
        };
        let head = entry::head(bytes, lsn);
        let Some(found) = entry::entry(bytes, lsn) else {
            return self.at(log, lsn, (head.map(|head| head.id).or(self.last), NO_ENTRY));
        };
        let is_in_order = self.last < Some(found.id)
            && node.first_id <= found.id
            && found.id <= node.last_id
            && (at > 0 || self.last.is_some() || found.id == node.first_id);
        if head.is_none_or(|head| head.stream != self.stream.number) {
            let what = "expected an entry of this stream, found one of another";
            return self.at(log, lsn, (Some(found.id), what));
        }
        if !is_in_order {
            let what = "an entry is not where its ID belongs";
            return self.at(log, lsn, (Some(found.id), what));
        }
        self.last = Some(found.id);
        self.is_in_gap = false;
        Ok(())
    }

    fn counters(&mut self, log: &Log) -> Result<()> {
        let (stream, lsn) = (self.stream, self.stream.modified);
        self.is_in_gap = false;
        if self.last.is_some_and(|last| last > stream.last_id) {
            let what = "an entry has an ID above the last generated one";
            self.at(log, lsn, (self.last, what))?;
        }
        Ok(())
    }

    fn group(&mut self, log: &Log, name: &[u8], group: &Group) -> Result<()> {
        self.is_in_gap = false;
        self.report.state.groups += 1;
        self.report.state.pending += group.pending.len() as u64;
        let consumers = group.consumers.iter();
        let held: usize = consumers.map(|(_, _, held)| held.pending.len()).sum();
        let given_back = group.pending.from(EntryId::MIN);
        let given_back = given_back.filter(|pending| pending.is_given_back()).count();
        let is_held = |consumer| group.consumers.get(consumer).is_some();
        let mut pending = group.pending.from(EntryId::MIN);
        let orphan = pending.find(|pending| !pending.is_given_back() && !is_held(pending.consumer));
        if held + given_back != group.pending.len() || orphan.is_some() {
            let name = name.escape_ascii();
            let what =
                format!("pending entries of group \"{name}\" are not those of its consumers");
            let error = corrupt_at(log, self.stream.modified, "pending entries");
            self.damaged(error, orphan.map(|pending| pending.id), &what)?;
        }
        Ok(())
    }
}

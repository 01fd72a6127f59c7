//! Checkpoints, stream by stream.

use std::path::Path;

use super::record::of_retention;
use super::{Dump, Value};
use crate::checkpoint::{self, Remains};
use crate::engine::CHECKPOINT;
use crate::group::{Group, Pending};
use crate::index::{Node, Run};
use crate::stream::Stream;
use crate::{EntryId, Result, Retention, snapshot};

impl Dump<'_> {
    pub(super) fn checkpoints(&mut self) -> Result<()> {
        let dir = self.dir.join(CHECKPOINT);
        for path in super::names::files(self.storage, &dir, &checkpoint::is_checkpoint)? {
            if self.is_over {
                break;
            }
            let bytes = checkpoint::bytes_of(self.storage, &path)?;
            let file = path.to_string_lossy();
            let mut values = vec![
                ("file", Value::Text(&file)),
                ("len", Value::Number(bytes.len() as u64)),
            ];
            let verified = checkpoint::verify(&bytes);
            if let Ok(report) = &verified {
                values.push(("begin", Value::Number(report.begin.0)));
                values.push(("end", Value::Number(report.end.0)));
                values.push(("finished_ms", Value::Number(report.finished_ms)));
            }
            self.item("checkpoint", 0, values);
            let before = self.report.bad;
            let mut reader = snapshot::Reader::default();
            for part in checkpoint::remains(&bytes) {
                self.part(&path, part, &mut reader);
            }
            if let Err(flaw) = verified
                && self.report.bad == before
            {
                let len = (bytes.len() as u64).saturating_sub(flaw.offset);
                self.bad(&path, (flaw.offset, len), flaw.what);
            }
        }
        Ok(())
    }

    fn part(&mut self, path: &Path, part: Remains<'_>, reader: &mut snapshot::Reader) {
        let place = (part.offset, part.len);
        let section = part.section.and_then(snapshot::Section::decode);
        let decoded = match section.and_then(|section| reader.take(section, &mut self.sorted.set)) {
            Ok(decoded) => decoded,
            Err(what) => return self.bad(path, place, what),
        };
        match decoded {
            snapshot::Part::Head { mapping, covers } if self.names.wants_all() => {
                let mapping = mapping.iter().map(|&db| Value::Number(db.into())).collect();
                let values = vec![
                    ("covers", Value::Number(covers.0)),
                    ("mapping", Value::List(mapping)),
                ];
                self.item("databases", 1, values);
            }
            snapshot::Part::Streams(streams) => {
                for stream in streams {
                    match stream {
                        Ok(stream) => self.stream(&stream),
                        Err(what) => self.bad(path, place, what),
                    }
                }
            }
            snapshot::Part::Head { .. } | snapshot::Part::Tail { .. } => {}
        }
    }

    fn stream(&mut self, stream: &Stream) {
        if !self.names.wants(stream.number) {
            return;
        }
        let values = vec![
            ("stream", Value::Number(stream.number)),
            ("db", Value::Number(stream.db.into())),
            ("name", Value::Bytes(&stream.key)),
            ("covers", Value::Number(stream.modified.0)),
            ("length", Value::Number(stream.index.len())),
            ("last_id", Value::Id(stream.last_id)),
            ("entries_added", Value::Number(stream.entries_added)),
            ("max_deleted", Value::Id(stream.max_deleted())),
            ("expiry_ms", stream.expiry_ms().into()),
        ];
        self.item("stream", 1, values);
        if stream.retention() != Retention::default() {
            self.item("retention", 2, of_retention(stream.retention()));
        }
        for run in stream.index.runs().into_iter().flat_map(|runs| &runs.list) {
            self.run(run);
        }
        for run in self.sorted.set.lost().to_vec() {
            if run.stream == stream.number {
                let what = "a run of this stream, and its sorted segment is missing or damaged";
                self.bad(&self.sorted.path(run.file), (0, 0), what);
            }
        }
        for node in stream
            .index
            .log_nodes()
            .filter(|node| self.options.from <= Some(node.last_id))
        {
            if self.is_over {
                return;
            }
            self.node(node);
        }
        for (number, name, group) in stream.groups() {
            self.group(number, name, group);
        }
    }

    fn run(&mut self, run: &Run) {
        let deleted = run.deleted().iter();
        let deleted = deleted.map(|&ordinal| Value::Number(ordinal.into()));
        let values = vec![
            ("file", Value::Number(run.file.id())),
            ("slot", Value::Number(run.slot.into())),
            ("skip", Value::Number(run.skip.into())),
            ("live", Value::Number(run.live.into())),
            ("continues", Value::Flag(run.continues)),
            ("deleted", Value::List(deleted.collect())),
        ];
        self.item("run", 2, values);
    }

    fn node(&mut self, node: &Node) {
        let lsns = node.lsns().map(|lsn| Value::Number(lsn.0)).collect();
        let values = vec![
            ("first_id", Value::Id(node.first_id)),
            ("last_id", Value::Id(node.last_id)),
            ("added", Value::Number(node.added.into())),
            ("lsns", Value::List(lsns)),
        ];
        self.item("node", 2, values);
    }

    fn group(&mut self, number: u32, name: &[u8], group: &Group) {
        let values = vec![
            ("group", Value::Number(number.into())),
            ("group_name", Value::Bytes(name)),
            ("cursor", Value::Id(group.cursor)),
            ("entries_read", group.entries_read.into()),
            ("consumers", Value::Number(group.consumers.len() as u64)),
            ("pending", Value::Number(group.pending.len() as u64)),
        ];
        self.item("group", 2, values);
        for (number, name, consumer) in group.consumers.iter() {
            let values = vec![
                ("consumer", Value::Number(number.into())),
                ("consumer_name", Value::Bytes(name)),
                ("seen_ms", Value::Number(consumer.seen_ms)),
                ("active_ms", consumer.active_ms.into()),
                ("pending", Value::Number(consumer.pending.len() as u64)),
            ];
            self.item("consumer", 3, values);
        }
        let from = self.options.from.unwrap_or(EntryId::MIN);
        for pending in group.pending.from(from) {
            if self.is_over {
                return;
            }
            self.pending(pending);
        }
    }

    fn pending(&mut self, pending: &Pending) {
        // What was given back is pending for nobody, and has a turn instead of a time.
        let (consumer, delivered_ms) = if pending.is_given_back() {
            (Value::None, Value::None)
        } else {
            (
                Value::Number(pending.consumer.into()),
                Value::Number(pending.delivered_ms),
            )
        };
        let values = vec![
            ("id", Value::Id(pending.id)),
            ("consumer", consumer),
            ("delivered_ms", delivered_ms),
            ("delivery_count", Value::Number(pending.delivery_count)),
        ];
        self.item("pending", 3, values);
    }
}

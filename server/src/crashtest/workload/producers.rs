//! Producers: one XADD at a time, pipelines of them, and MULTI/EXEC over two streams; now and then
//! they take away.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use alluvium_engine::EntryId;

use super::super::content::{Recipe, Value, parse_id};
use super::super::history::{Op, StreamNo, What};
use super::{Answer, Worker};
use crate::tools::client::{Client, Reply};

/// Longest pipeline.
const PIPELINE_MAX: usize = 16;

/// Produces until the connection ends; `index` decides how.
pub(super) fn produce(worker: &mut Worker<'_>, index: u32) {
    while worker.goes_on() {
        match index % 3 {
            0 if worker.rng.one_in(32) => worker.delete_one(),
            0 if worker.rng.one_in(32) => worker.delete_by_reference(),
            0 if worker.rng.one_in(4) => worker.add_once(),
            0 if worker.rng.one_in(256) => worker.trim(),
            0 => worker.add_one(),
            1 => worker.add_pipeline(),
            _ if worker.rng.one_in(8) => worker.replace_one(),
            _ => worker.add_transaction(),
        }
        worker.keep_pace();
    }
}

impl Worker<'_> {
    pub(super) fn add_one(&mut self) {
        let (stream, value) = self.queue_add();
        let start = self.send();
        let answer = self.receive(start);
        self.note_add(stream, value, None, &answer);
    }

    fn add_pipeline(&mut self) {
        let count = self.rng.between(1, PIPELINE_MAX);
        let adds: Vec<_> = (0..count).map(|_| self.queue_add()).collect();
        let start = self.send();
        for (stream, value) in adds {
            let answer = self.receive(start);
            self.note_add(stream, value, None, &answer);
        }
    }

    fn add_transaction(&mut self) {
        self.client.queue(&[b"MULTI"]);
        let adds = [self.queue_add(), self.queue_add()];
        self.client.queue(&[b"EXEC"]);
        let start = self.send();
        for _ in 0..=adds.len() {
            self.receive(start);
        }
        let answer = self.receive(start);
        let results = answer
            .reply
            .as_ref()
            .and_then(Reply::array)
            .unwrap_or_default();
        for (at, (stream, value)) in adds.into_iter().enumerate() {
            let part = Answer {
                start,
                end: answer.end,
                reply: results.get(at).filter(|r| r.bytes().is_some()).cloned(),
            };
            self.note_add(stream, value, Some(adds[0].1), &part);
        }
    }

    /// Queues an XADD of a new value to any stream.
    pub(super) fn queue_add(&mut self) -> (StreamNo, Value) {
        let (stream, key) = self.any_stream();
        let value = self.next_value();
        queue_value(&mut self.client, self.stage.recipe, key, value, &[]);
        (stream, value)
    }

    pub(super) fn note_add(
        &mut self,
        stream: StreamNo,
        value: Value,
        tx: Option<Value>,
        answer: &Answer,
    ) {
        let id = added_id(answer.reply.as_ref());
        if let Some(id) = id {
            self.own.note(stream, id);
            self.stage.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        // An error is noted with its tick and without an ID.
        self.notes.ops.push(Op {
            conn: self.conn,
            start: answer.start,
            end: answer.end,
            tx,
            what: What::Add { stream, value, id },
        });
    }

    fn keep_pace(&self) {
        if self.stage.rate <= 0.0 {
            return;
        }
        let due = Duration::from_secs_f64(f64::from(self.sent) / self.stage.rate);
        let early = due.saturating_sub(self.started.elapsed());
        thread::sleep(early.min(Duration::from_millis(20)));
    }
}

/// Queues an XADD of a value, with `options` behind the key.
pub(super) fn queue_value(
    client: &mut Client,
    recipe: Recipe,
    key: &str,
    value: Value,
    options: &[&str],
) {
    let (text, pad) = (value.to_string(), recipe.pad(value));
    let mut args: Vec<&[u8]> = vec![b"XADD", key.as_bytes()];
    args.extend(options.iter().map(|option| option.as_bytes()));
    args.extend([b"*", b"v", text.as_bytes(), b"pad", &pad]);
    client.queue(&args);
}

/// The ID that an XADD replied.
pub(super) fn added_id(reply: Option<&Reply>) -> Option<EntryId> {
    reply.and_then(Reply::bytes).and_then(parse_id)
}

//! The load of one round: producers, consumers and a reader, each on a connection of its own.
//!
//! A worker does one thing after the other, writes down what it asked and what it was told, and
//! ends when its connection does. Whatever had no answer by then stays unknown.

mod consumers;
mod newer;
mod producers;
mod readers;
mod removers;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use super::content::{Recipe, Value};
use super::history::{GroupNo, Op, StreamNo, Ticks, What};
use super::rng::Rng;
use crate::tools::client::{Client, Reply};
pub(super) use newer::{Abilities, Message};
use removers::Own;

/// What all workers of a round share.
pub(super) struct Stage {
    pub(super) port: u16,
    pub(super) seed: u64,
    pub(super) recipe: Recipe,
    /// How long a worker waits for one reply.
    pub(super) patience: Duration,
    pub(super) streams: Vec<(StreamNo, String)>,
    pub(super) groups: Vec<GroupAt>,
    /// A group that one consumer creates in the middle of the round.
    pub(super) late_group: GroupAt,
    /// A group that another one creates, moves the cursor of, and destroys or not.
    pub(super) moved_group: GroupAt,
    /// Whether consumers read their own pending entries again.
    pub(super) has_history: bool,
    /// What the server knows beyond Redis 7.0.
    pub(super) abilities: Abilities,
    /// Entries a second that one producer sends at most; 0 is no bound.
    pub(super) rate: f64,
    pub(super) ticks: Ticks,
    pub(super) stop: AtomicBool,
    /// XADDs acknowledged in this round.
    pub(super) acknowledged: AtomicU64,
}

/// A group and where it is.
#[derive(Clone)]
pub(super) struct GroupAt {
    pub(super) group: GroupNo,
    pub(super) key: String,
    pub(super) name: String,
}

/// How many workers of each kind, and the number of the first connection.
#[derive(Clone, Copy)]
pub(super) struct Crew {
    pub(super) producers: u32,
    pub(super) consumers: u32,
    pub(super) first_conn: u32,
}

/// What the workers wrote down.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) ops: Vec<Op>,
    /// What may be sent again.
    pub(super) messages: Vec<Message>,
    /// Error replies, by text.
    pub(super) refusals: BTreeMap<String, u64>,
}

/// So many different error texts are kept.
const REFUSAL_TEXTS_MAX: usize = 16;

impl Crew {
    /// Starts everybody; the threads end with their connections, or when `stage.stop` is set.
    pub(super) fn start<'scope>(
        self,
        scope: &'scope thread::Scope<'scope, '_>,
        stage: &'scope Stage,
    ) -> Vec<ScopedJoinHandle<'scope, Notes>> {
        let mut handles = Vec::new();
        let mut conn = self.first_conn;
        let mut spawn = |work: fn(&mut Worker<'_>, u32), index| {
            let number = conn;
            conn += 1;
            handles.push(scope.spawn(move || match Worker::new(stage, number) {
                Some(mut worker) => {
                    work(&mut worker, index);
                    worker.notes
                }
                None => Notes::default(),
            }));
        };
        for index in 0..self.producers {
            spawn(producers::produce, index);
        }
        for index in 0..self.consumers {
            spawn(consumers::consume, index);
        }
        spawn(readers::read, 0);
        handles
    }

    pub(super) fn connections(self) -> u32 {
        self.producers + self.consumers + 1
    }
}

/// One connection and its notes.
struct Worker<'a> {
    stage: &'a Stage,
    conn: u32,
    rng: Rng,
    client: Client,
    notes: Notes,
    /// XADDs sent.
    sent: u32,
    own: Own,
    started: Instant,
    is_over: bool,
}

/// What came back.
struct Answer {
    start: u64,
    /// `None`: nothing came back.
    end: Option<u64>,
    /// `None`: nothing, or an error.
    reply: Option<Reply>,
}

impl Answer {
    /// The tick of a reply that was no error.
    fn success(&self) -> Option<u64> {
        self.end.filter(|_| self.reply.is_some())
    }
}

impl<'a> Worker<'a> {
    fn new(stage: &'a Stage, conn: u32) -> Option<Self> {
        Some(Worker {
            stage,
            conn,
            rng: Rng::new(stage.seed, u64::from(conn)),
            client: Client::connect(stage.port, stage.patience).ok()?,
            notes: Notes::default(),
            sent: 0,
            own: Own::default(),
            started: Instant::now(),
            is_over: false,
        })
    }

    fn goes_on(&self) -> bool {
        !self.is_over && !self.stage.stop.load(Ordering::Relaxed)
    }

    fn ask(&mut self, args: &[&[u8]]) -> Answer {
        self.client.queue(args);
        let start = self.send();
        self.receive(start)
    }

    /// Sends what is queued; returns the tick before.
    fn send(&mut self) -> u64 {
        let start = self.stage.ticks.next();
        if self.client.send().is_err() {
            self.is_over = true;
        }
        start
    }

    fn receive(&mut self, start: u64) -> Answer {
        let reply = if self.is_over {
            None
        } else {
            self.client.receive().ok()
        };
        self.is_over = reply.is_none();
        let end = reply.as_ref().map(|_| self.stage.ticks.next());
        let reply = match reply {
            Some(Reply::Error(text)) => {
                self.refused(text);
                None
            }
            reply => reply,
        };
        Answer { start, end, reply }
    }

    fn refused(&mut self, text: String) {
        let refusals = &mut self.notes.refusals;
        if refusals.len() < REFUSAL_TEXTS_MAX || refusals.contains_key(&text) {
            *refusals.entry(text).or_default() += 1;
        }
        thread::sleep(Duration::from_millis(1));
    }

    fn note(&mut self, answer: &Answer, tx: Option<Value>, what: What) {
        self.notes.ops.push(Op {
            conn: self.conn,
            start: answer.start,
            end: answer.success(),
            tx,
            what,
        });
    }

    fn next_value(&mut self) -> Value {
        let value = Value {
            conn: self.conn,
            n: self.sent,
        };
        self.sent += 1;
        value
    }

    fn any_stream(&mut self) -> (StreamNo, &'a str) {
        let (stream, key) = &self.stage.streams[self.rng.below(self.stage.streams.len())];
        (*stream, key)
    }
}

//! What was removed, and is still to be given back: memory, and the entries that segments count.
//!
//! A removal of any size only hands over what it removed. The rest is done in steps: under the lock
//! the segments learn of some thousand entries that died, outside of it memory is freed. Until then
//! those segments stay, which costs disk space for a moment and nothing else; after a restart
//! nothing of it is left, because neither a checkpoint nor a replay knows of it.

use std::collections::VecDeque;

use crate::index::Node;
use crate::log::Log;
use crate::state::State;
use crate::stream::{LARGE, Stream};

/// A database with more keys than this is handed over when it is flushed.
pub(crate) const LARGE_DATABASE: usize = if cfg!(test) { 1 } else { 4 << 10 };
/// Entries of which the segments learn in one step.
const STEP_ENTRIES: u64 = if cfg!(test) { 3 } else { 64 << 10 };
/// Slots that are looked at in one step for streams of a flushed database.
const STEP_SLOTS: u32 = if cfg!(test) { 2 } else { 1 << 10 };

/// Something that was removed.
pub(crate) enum Remains {
    Stream(Box<Stream>),
    /// Entries that were trimmed.
    Nodes(VecDeque<Node>),
    /// What takes nothing but memory.
    Memory(#[expect(dead_code, reason = "it is only dropped")] Box<dyn Send>),
}

/// All that was removed and is not given back yet.
#[derive(Default)]
pub(crate) struct RemainsQueue {
    queue: VecDeque<Remains>,
    /// Things that were given back since open.
    reaped: u64,
}

/// What a step has taken out: to be dropped without the lock.
#[derive(Default)]
pub(crate) struct Reaped {
    whole: Option<Remains>,
    nodes: VecDeque<Node>,
    #[expect(clippy::vec_box, reason = "they were in boxes before")]
    streams: Vec<Box<Stream>>,
}

impl RemainsQueue {
    pub(crate) fn push(&mut self, remains: Remains) {
        self.queue.push_back(remains);
    }

    pub(crate) fn extend(&mut self, remains: Option<Remains>) {
        self.queue.extend(remains);
    }

    pub(crate) fn len(&self) -> u64 {
        self.queue.len() as u64
    }

    pub(crate) fn reaped(&self) -> u64 {
        self.reaped
    }

    /// Takes out the next of what is in the queue, or a part of it.
    fn step(&mut self, log: &mut Log) -> Option<Reaped> {
        let mut reaped = Reaped::default();
        match self.queue.front_mut()? {
            Remains::Stream(stream) => {
                let count = STEP_ENTRIES.max(stream.index.first_node_len());
                reaped.nodes = stream.index.take_nodes(count);
            }
            Remains::Nodes(nodes) => {
                let mut left = STEP_ENTRIES;
                while let Some(node) = nodes.pop_front() {
                    left = left.saturating_sub(node.offsets.len() as u64);
                    reaped.nodes.push_back(node);
                    if left == 0 {
                        break;
                    }
                }
            }
            Remains::Memory(_) => {}
        }
        log.entries_died(reaped.nodes.iter().flat_map(Node::lsns));
        if reaped.nodes.is_empty() {
            reaped.whole = self.queue.pop_front();
            self.reaped += 1;
        }
        Some(reaped)
    }
}

impl State {
    /// Whether something waits to be given back.
    pub(crate) fn has_remains(&self) -> bool {
        !self.remains.queue.is_empty() || self.keyspace.flushed_count() > 0
    }

    /// How many things wait to be given back.
    pub(crate) fn remains_count(&self) -> u64 {
        self.remains.len() + self.keyspace.flushed_count()
    }

    /// Does a step; what it returns is to be dropped without the lock. `None` if nothing is left.
    pub(crate) fn reap(&mut self, log: &mut Log) -> Option<Reaped> {
        if let Some(reaped) = self.remains.step(log) {
            return Some(reaped);
        }
        if self.keyspace.flushed_count() == 0 {
            return None;
        }
        let mut reaped = Reaped::default();
        for mut stream in self.keyspace.take_flushed(STEP_SLOTS) {
            stream.index.release_runs();
            self.remains.reaped += 1;
            if stream.weight() > LARGE {
                self.remains.push(Remains::Stream(stream));
            } else {
                log.entries_died(stream.index.lsns());
                reaped.streams.push(stream);
            }
        }
        Some(reaped)
    }
}

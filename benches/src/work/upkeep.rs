//! Asks for background work twice a second: a checkpoint, or a snapshot and a rewriting of the
//! append-only file, in turn.

use crate::drive::{Actor, Moment, Step};
use crate::meter::Meter;
use crate::wire::{Walk, request};

/// A connection that asks, and waits on a stream that nobody writes to, which costs nobody
/// anything.
pub(super) struct Upkeep {
    turn: usize,
}

const WAIT: &[&[u8]] = &[
    b"XREAD",
    b"BLOCK",
    b"500",
    b"STREAMS",
    b"bench:nothing",
    b"$",
];
const TURNS: [&[&[u8]]; 4] = [&[b"BGSAVE", b"SCHEDULE"], WAIT, &[b"BGREWRITEAOF"], WAIT];

impl Upkeep {
    pub(super) fn boxed() -> Box<dyn Actor> {
        Box::new(Self { turn: 0 })
    }
}

impl Actor for Upkeep {
    fn next(&mut self, out: &mut Vec<u8>, _now: u64) -> Step {
        request(out, TURNS[self.turn % TURNS.len()]);
        self.turn += 1;
        Step::Send(1)
    }

    fn reply(&mut self, reply: &[u8], _moment: Moment, _meter: &mut Meter) -> Result<(), String> {
        // The work that was asked for before may still be going on.
        let is_busy = reply.starts_with(b"-") && reply.ends_with(b"progress\r\n");
        if is_busy {
            return Ok(());
        }
        Walk::new(reply).map(drop)
    }

    fn blocks(&self) -> bool {
        true
    }
}

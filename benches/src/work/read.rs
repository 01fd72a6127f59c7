//! Readers: ranges at random, whole scans, and followers that are blocked until something comes.

use super::{FIRST_MS, HOLE, KEY, Random};
use crate::cases::Case;
use crate::drive::{Actor, Moment, Step};
use crate::meter::Meter;
use crate::wire::{HOLE_DIGITS, Template, Walk, number, request};

/// XRANGE COUNT from a random ID.
pub(super) struct Ranger {
    template: Template,
    random: Random,
    /// Starts that have `count` entries behind them.
    starts: u64,
    count: u64,
    lane: usize,
}

impl Ranger {
    pub(super) fn boxed(case: &Case, key: &[u8], seed: usize, lane: usize) -> Box<dyn Actor> {
        let start = [&HOLE[..], b"-0"].concat();
        let count = case.count.to_string();
        let args: [&[u8]; 6] = [b"XRANGE", key, &start, b"+", b"COUNT", count.as_bytes()];
        Box::new(Self {
            template: Template::new(&args),
            random: Random::new(seed),
            starts: case.backlog.saturating_sub(case.count) + 1,
            count: case.count.min(case.backlog),
            lane,
        })
    }
}

impl Actor for Ranger {
    fn next(&mut self, out: &mut Vec<u8>, _now: u64) -> Step {
        let start = self.random.below(self.starts);
        self.template.write(out, &[FIRST_MS + start]);
        Step::Send(1)
    }

    fn reply(&mut self, reply: &[u8], moment: Moment, meter: &mut Meter) -> Result<(), String> {
        let count = Walk::new(reply)?.array()?;
        if count != Some(self.count) {
            return Err(format!("expected {} entries, found {count:?}", self.count));
        }
        meter.latency(self.lane, moment.latency());
        meter.done(1);
        Ok(())
    }
}

/// XRANGE COUNT from behind the last entry of the reply before, again from the head after the last.
pub(super) struct Scan {
    template: Template,
    /// Entries that were read in this round.
    read: u64,
    count: u64,
    backlog: u64,
}

impl Scan {
    pub(super) fn boxed(case: &Case, index: usize) -> Box<dyn Actor> {
        let start = [&b"("[..], &HOLE, b"-0"].concat();
        let count = case.count.to_string();
        let args: [&[u8]; 6] = [b"XRANGE", KEY, &start, b"+", b"COUNT", count.as_bytes()];
        // Connections begin in different places, as readers of a stream do.
        let read = case.backlog / case.clients as u64 * index as u64;
        let (count, backlog) = (case.count, case.backlog);
        Box::new(Self {
            template: Template::new(&args),
            read,
            count,
            backlog,
        })
    }
}

impl Actor for Scan {
    fn next(&mut self, out: &mut Vec<u8>, _now: u64) -> Step {
        self.template.write(out, &[FIRST_MS + self.read - 1]);
        Step::Send(1)
    }

    fn reply(&mut self, reply: &[u8], moment: Moment, meter: &mut Meter) -> Result<(), String> {
        let count = Walk::new(reply)?.array()?.unwrap_or(0);
        if count != self.count.min(self.backlog - self.read) {
            return Err(format!(
                "found {count} entries behind the first {}",
                self.read
            ));
        }
        self.read = (self.read + count) % self.backlog;
        meter.latency(0, moment.latency());
        meter.done(count);
        Ok(())
    }
}

/// XREAD BLOCK 0 from behind the last entry seen; each entry's stamp tells when it was due.
pub(super) struct Follower {
    last_id: Vec<u8>,
}

impl Follower {
    pub(super) fn boxed() -> Box<dyn Actor> {
        Box::new(Self {
            last_id: b"0-0".to_vec(),
        })
    }
}

impl Actor for Follower {
    fn next(&mut self, out: &mut Vec<u8>, _now: u64) -> Step {
        request(
            out,
            &[b"XREAD", b"BLOCK", b"0", b"STREAMS", KEY, &self.last_id],
        );
        Step::Send(1)
    }

    fn reply(&mut self, reply: &[u8], moment: Moment, meter: &mut Meter) -> Result<(), String> {
        let last_id = &mut self.last_id;
        let count = Walk::new(reply)?.stream(|id, value| {
            last_id.clear();
            last_id.extend_from_slice(id);
            let due = number(&value[..HOLE_DIGITS.min(value.len())]);
            meter.latency(0, moment.now.saturating_sub(due));
        })?;
        if count == 0 {
            return Err("XREAD BLOCK 0 came back with nothing".to_owned());
        }
        meter.done(count);
        Ok(())
    }

    fn blocks(&self) -> bool {
        true
    }
}

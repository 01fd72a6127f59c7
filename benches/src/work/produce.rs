//! Producers: XADD in a closed loop or at fixed times.

use super::{FIRST_MS, HOLE, Job, KEY, Random};
use crate::cases::{Case, Work};
use crate::drive::{Actor, Moment, Pace, Step};
use crate::meter::Meter;
use crate::wire::{Template, Walk};

/// What the holes of the request take.
enum Holes {
    /// There are none.
    None,
    /// A random key.
    Key(Random, u64),
    /// The time at which the request is due.
    Due,
}

/// Sends XADD.
pub(super) struct Producer {
    template: Template,
    holes: Holes,
    pipeline: usize,
    lane: usize,
    /// Whether an entry counts when it is acknowledged; if not, it counts when it is delivered.
    counts: bool,
}

fn xadd(key: &[u8], maxlen: u64, value: &[u8]) -> Template {
    let maxlen_text = maxlen.to_string();
    let mut args: Vec<&[u8]> = vec![b"XADD", key];
    if maxlen > 0 {
        args.extend([&b"MAXLEN"[..], b"~", maxlen_text.as_bytes()]);
    }
    args.extend([&b"*"[..], b"field", value]);
    Template::new(&args)
}

impl Producer {
    /// Values without meaning; a random one of the keys if there are several.
    pub(super) fn plain(case: &Case, seed: usize) -> Self {
        let value = vec![b'x'; case.size];
        let (template, holes) = if case.keys > 1 {
            let key = [&b"bench:"[..], &HOLE].concat();
            (
                xadd(&key, case.maxlen, &value),
                Holes::Key(Random::new(seed), case.keys),
            )
        } else {
            (xadd(KEY, case.maxlen, &value), Holes::None)
        };
        Self {
            template,
            holes,
            pipeline: case.pipeline,
            lane: 0,
            counts: true,
        }
    }

    /// Values that begin with the time at which they were due.
    pub(super) fn stamped(case: &Case) -> Self {
        let mut value = HOLE.to_vec();
        value.resize(case.size.max(HOLE.len()), b'x');
        let template = xadd(KEY, case.maxlen, &value);
        Self {
            template,
            holes: Holes::Due,
            pipeline: case.pipeline,
            lane: 1,
            counts: false,
        }
    }
}

impl Actor for Producer {
    fn next(&mut self, out: &mut Vec<u8>, now: u64) -> Step {
        for _ in 0..self.pipeline {
            match &mut self.holes {
                Holes::None => self.template.write(out, &[]),
                Holes::Key(random, keys) => {
                    let key = FIRST_MS + random.below(*keys);
                    self.template.write(out, &[key]);
                }
                Holes::Due => self.template.write(out, &[now]),
            }
        }
        Step::Send(self.pipeline)
    }

    fn reply(&mut self, reply: &[u8], moment: Moment, meter: &mut Meter) -> Result<(), String> {
        Walk::new(reply)?.bulk()?;
        meter.latency(self.lane, moment.latency());
        meter.done(u64::from(self.counts));
        Ok(())
    }
}

/// Producers on all connections.
pub(super) fn prepare(case: &Case, job: &mut Job) {
    debug_assert_eq!(case.work, Work::Xadd);
    for index in 0..case.clients {
        job.actors.push(Box::new(Producer::plain(case, index)));
    }
    if case.rate > 0 {
        job.pace = Some(Pace {
            rate: case.rate,
            connections: case.clients,
            readers: 0,
        });
    }
}

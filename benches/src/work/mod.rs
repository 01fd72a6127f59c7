//! The workloads: what is put into a server, who does what on which connection, what must hold
//! after.
//!
//! All servers get literally the same bytes. Entries that are there before the measuring have IDs
//! that count up from [`FIRST_MS`], so that a reader can ask for any of them without having seen
//! it.

mod feed;
mod groups;
mod produce;
mod read;
mod upkeep;

use crate::cases::{Background, Case, Work};
use crate::drive::{Actor, Pace, Run};
use crate::servers::Server;
use crate::wire::{HOLE_DIGITS, Walk};

pub(crate) use feed::{deliver_all, fill};
use groups::{Claimer, Worker};
use produce::Producer;
use read::{Follower, Ranger, Scan};
use upkeep::Upkeep;

/// The milliseconds of the first prepared entry's ID; all of them have as many digits.
pub(crate) const FIRST_MS: u64 = 1_000_000_000_001_000;
/// The stream of the workloads that have one.
pub(crate) const KEY: &[u8] = b"bench:stream";
/// The stream that range readers of the mixed workload read.
const HISTORY: &[u8] = b"bench:history";
const GROUP: &[u8] = b"workers";
const HOLE: [u8; HOLE_DIGITS] = [b'#'; HOLE_DIGITS];

/// Random numbers from a seed: splitmix64.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: usize) -> Self {
        Self(seed as u64)
    }

    /// A number below `bound`, which is not zero.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (x ^ (x >> 31)) % bound
    }
}

/// Actors for all connections, and their pace.
pub(crate) struct Job {
    pub(crate) actors: Vec<Box<dyn Actor>>,
    pub(crate) pace: Option<Pace>,
    /// Whether the work ends by itself, so that a warm-up would eat from it.
    pub(crate) is_finite: bool,
}

/// Puts into the server what the case needs and makes the actors.
pub(crate) fn prepare(case: &Case, server: &Server) -> Result<Job, String> {
    let mut job = Job {
        actors: Vec::with_capacity(case.clients),
        pace: None,
        is_finite: false,
    };
    match case.work {
        Work::Xadd => {
            feed::fill_now(server, KEY, case.backlog, case.size)?;
            produce::prepare(case, &mut job);
        }
        Work::Group => prepare_group(case, server, &mut job)?,
        Work::Fanout => {
            job.actors.push(Box::new(Producer::stamped(case)));
            job.actors
                .extend((1..case.clients).map(|_| Follower::boxed()));
        }
        Work::Delivery => prepare_delivery(case, &mut job),
        Work::Range => {
            fill(server, KEY, case.backlog, case.size)?;
            job.actors
                .extend((0..case.clients).map(|i| Ranger::boxed(case, KEY, i, 0)));
        }
        Work::Scan => {
            fill(server, KEY, case.backlog, case.size)?;
            job.actors
                .extend((0..case.clients).map(|i| Scan::boxed(case, i)));
        }
        Work::Mixed => prepare_mixed(case, server, &mut job)?,
        Work::Claim => prepare_claims(case, server, &mut job)?,
        Work::Restart => return Err("restart is not driven".to_owned()),
    }
    if case.background == Background::Asked {
        job.actors.push(Upkeep::boxed());
    }
    Ok(job)
}

fn prepare_group(case: &Case, server: &Server, job: &mut Job) -> Result<(), String> {
    fill(server, KEY, case.backlog, case.size)?;
    server.must(&[b"XGROUP", b"CREATE", KEY, GROUP, b"0"])?;
    job.actors
        .extend((0..case.clients).map(|i| Worker::boxed(case.count, i, false, [0, 1])));
    job.is_finite = true;
    Ok(())
}

fn prepare_delivery(case: &Case, job: &mut Job) {
    let producers = case.clients / 2;
    for _ in 0..producers {
        job.actors.push(Box::new(Producer::stamped(case)));
    }
    job.actors
        .extend((producers..case.clients).map(|_| Follower::boxed()));
    job.pace = Some(Pace {
        rate: case.rate,
        connections: producers,
        readers: ((case.clients - producers) * case.pipeline) as u64,
    });
}

/// Two fifths of the connections produce, two fifths work in a group, one fifth reads old ranges.
fn prepare_mixed(case: &Case, server: &Server, job: &mut Job) -> Result<(), String> {
    fill(server, HISTORY, case.backlog, case.size)?;
    server.must(&[b"XGROUP", b"CREATE", KEY, GROUP, b"0", b"MKSTREAM"])?;
    for index in 0..case.clients {
        job.actors.push(match index % 5 {
            0 | 1 => Box::new(Producer::plain(case, index)),
            2 | 3 => Worker::boxed(case.count, index, true, [1, 2]),
            _ => Ranger::boxed(case, HISTORY, index, 3),
        });
    }
    Ok(())
}

fn prepare_claims(case: &Case, server: &Server, job: &mut Job) -> Result<(), String> {
    fill(server, KEY, case.backlog, case.size)?;
    server.must(&[b"XGROUP", b"CREATE", KEY, GROUP, b"0"])?;
    deliver_all(server, KEY, GROUP, case.backlog)?;
    job.actors
        .extend((0..case.clients).map(|i| Claimer::boxed(case.count, i)));
    Ok(())
}

/// Asks the server whether it has what was acknowledged.
pub(crate) fn verify(case: &Case, server: &Server, run: &Run) -> Result<(), String> {
    let length = || -> Result<u64, String> { Walk::new(&server.must(&[b"XLEN", KEY])?)?.int() };
    match case.work {
        Work::Xadd if case.keys > 1 => {
            let keys = Walk::new(&server.must(&[b"DBSIZE"])?)?.int()?;
            expect(
                "keys",
                keys,
                1.min(run.total_units)..=case.keys.min(run.total_units),
            )
        }
        Work::Xadd if case.maxlen > 0 => {
            // MAXLEN ~ leaves at most one node of 100 entries too many.
            let least = case.maxlen.min(case.backlog + run.total_units);
            expect("entries", length()?, least..=case.maxlen + 100)
        }
        Work::Xadd => {
            let all = case.backlog + run.total_units;
            expect("entries", length()?, all..=all)
        }
        Work::Group if run.is_exhausted => {
            expect(
                "entries acked",
                run.total_units,
                case.backlog..=case.backlog,
            )?;
            let reply = server.must(&[b"XPENDING", KEY, GROUP])?;
            let mut walk = Walk::new(&reply)?;
            walk.array()?;
            expect("pending entries", walk.int()?, 0..=0)
        }
        _ => Ok(()),
    }
}

fn expect(what: &str, found: u64, range: std::ops::RangeInclusive<u64>) -> Result<(), String> {
    if range.contains(&found) {
        return Ok(());
    }
    Err(format!(
        "expected {} to {} {what}, found {found}",
        range.start(),
        range.end()
    ))
}

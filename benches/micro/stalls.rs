//! For how long does anything keep commands from running? One run, no statistics: the longest time
//! that counts is found with a million streams, with settings of retention for each of them, with
//! five million pending entries, and while all of it is taken into a checkpoint.
//!
//! `cargo bench --bench stalls -- [STREAMS] [PENDING]`

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use alluvium_engine::{
    Batch, Cursor, Deliver, Engine, EntryId, Kept, Member, NewId, Options, Retention, SyncPolicy,
};

const BIG: &[u8] = b"bench:big";
const GROUP: &[u8] = b"workers";
const MEMBER: Member<'static> = Member {
    group: GROUP,
    consumer: b"worker",
};
/// Commands that share one hold of the lock while the store is filled.
const PIPELINE: u64 = 16;

fn main() {
    let figures: Vec<u64> = std::env::args()
        .filter_map(|arg| arg.parse().ok())
        .collect();
    let streams = figures.first().copied().unwrap_or(1_000_000);
    let pending = figures.get(1).copied().unwrap_or(5_000_000);
    let dir = tempfile::tempdir().expect("a directory for the store");
    let mut options = Options::default();
    options.sync_policy = SyncPolicy::Never;
    options.checkpoint_interval = 0;
    options.checkpoint_on_close = false;
    let engine = Engine::open(dir.path(), options).expect("a new store opens");

    let longest = fill_streams(&engine, streams);
    report(
        &format!("{PIPELINE} additions to {streams} streams"),
        longest,
    );
    report_retention(&engine, streams);
    let longest = fill_big(&engine, pending);
    report(
        &format!("{PIPELINE} additions to one stream of {pending}"),
        longest,
    );
    report(
        &format!("delivery of 100 until {pending} are pending"),
        deliver(&engine, pending),
    );
    for round in 1..=3 {
        let (waited, took) = checkpoint(&engine);
        let held = engine.last_checkpoint().longest_hold;
        report(&format!("checkpoint {round} ({took:.1?}): lock held"), held);
        report(&format!("checkpoint {round}: addition beside it"), waited);
    }
}

fn report(what: &str, longest: Duration) {
    println!("{what:<68} at most {longest:>10.1?}");
}

/// Runs `work` under the lock; how long that took, waiting for the lock included.
fn timed(engine: &Engine, work: impl FnOnce(&mut Batch<'_>)) -> Duration {
    let begun = Instant::now();
    let mut batch = engine.lock();
    work(&mut batch);
    batch.end_command();
    drop(batch);
    let took = begun.elapsed();
    engine.submit();
    took
}

fn add(batch: &mut Batch<'_>, key: &[u8]) {
    let fields: [&[u8]; 2] = [b"temperature", b"21.5"];
    batch
        .add(0, key, NewId::Auto, &fields)
        .expect("an entry is added");
}

fn fill_streams(engine: &Engine, streams: u64) -> Duration {
    let mut longest = Duration::ZERO;
    for first in (0..3 * streams).step_by(usize::try_from(PIPELINE).expect("few")) {
        let took = timed(engine, |batch| {
            for at in first..first + PIPELINE {
                add(batch, format!("bench:stream:{}", at % streams).as_bytes());
            }
        });
        longest = longest.max(took);
    }
    longest
}

/// Sets how much is kept of each stream, and lets all be looked at: first because of that, then
/// because of other defaults, as after a start.
fn report_retention(engine: &Engine, streams: u64) {
    let mut retention = Retention::default();
    (retention.age_ms, retention.length) = (Some(86_400_000), Some(1_000_000));
    (retention.bytes, retention.acked) = (Some(1 << 30), Some(true));
    let mut longest = Duration::ZERO;
    for stream in 0..streams {
        let took = timed(engine, |batch| {
            let key = format!("bench:stream:{stream}");
            let set = batch.set_retention(0, key.as_bytes(), retention);
            set.expect("the stream is there");
        });
        longest = longest.max(took);
    }
    report(
        &format!("settings of {streams} streams, one by one"),
        longest,
    );
    report_looks(engine, "streams that were set");
    let defaults = Kept {
        acked_age_ms: 1,
        ..Kept::default()
    };
    timed(engine, |batch| batch.set_retention_defaults(defaults));
    report_looks(engine, "all streams");
    report_looks(engine, "none");
}

/// Looks at what may let something go until there is no more.
fn report_looks(engine: &Engine, which: &str) {
    let (begun, mut longest, mut rounds) = (Instant::now(), Duration::ZERO, 0);
    let mut goes_on = true;
    while goes_on {
        let took = timed(engine, |batch| {
            goes_on = batch.retain_due(100).expect("nothing fails");
        });
        (longest, rounds) = (longest.max(took), rounds + 1);
    }
    let took = begun.elapsed();
    report(
        &format!("looking at {which}, by 100: {rounds} times, {took:.1?} in all"),
        longest,
    );
}

fn fill_big(engine: &Engine, entries: u64) -> Duration {
    let mut longest = Duration::ZERO;
    for _ in 0..entries / PIPELINE {
        let took = timed(engine, |batch| (0..PIPELINE).for_each(|_| add(batch, BIG)));
        longest = longest.max(took);
    }
    longest
}

fn deliver(engine: &Engine, entries: u64) -> Duration {
    let start = Cursor {
        id: EntryId { ms: 0, seq: 0 },
        entries_read: None,
    };
    timed(engine, |batch| {
        batch
            .create_group(0, BIG, GROUP, start)
            .expect("the group is made");
    });
    let hundred = || Deliver {
        count: Some(100),
        ..Deliver::default()
    };
    let mut longest = Duration::ZERO;
    for _ in 0..entries / 100 {
        let took = timed(engine, |batch| {
            batch
                .deliver(0, BIG, MEMBER, hundred())
                .expect("entries are delivered");
        });
        longest = longest.max(took);
    }
    longest
}

/// Takes a checkpoint while entries are added; the longest addition, and how long it took in all.
fn checkpoint(engine: &Engine) -> (Duration, Duration) {
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut longest = Duration::ZERO;
            while !is_done.load(Ordering::Relaxed) {
                longest = longest.max(timed(engine, |batch| add(batch, BIG)));
                std::thread::sleep(Duration::from_micros(50));
            }
            longest
        });
        let begun = Instant::now();
        engine.checkpoint().expect("a checkpoint is taken");
        let took = begun.elapsed();
        is_done.store(true, Ordering::Relaxed);
        (writer.join().expect("the writer adds"), took)
    })
}

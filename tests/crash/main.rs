//! Kills the broker again and again under load and compares what it knows afterwards with what it
//! had acknowledged: nothing acknowledged is missing, nothing is half done, in every sync policy.

#![expect(clippy::unwrap_used, reason = "a test ends where an expectation fails")]

mod model;
mod tester;
mod worker;

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use alluvium_tests::Broker;

use crate::worker::Worker;

const BROKER: &str = env!("CARGO_BIN_EXE_broker-under-test");
const WORKERS: usize = 6;
const SECONDS_PER_POLICY: u64 = 8;

/// xorshift64*: enough to choose moments and commands, and repeatable.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }
}

/// `CRASH_SEED`, or a new seed.
fn seed() -> u64 {
    let given = std::env::var("CRASH_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    given.unwrap_or_else(|| RandomState::new().hash_one(0)) | 1
}

fn survives_kills(policy: &str) {
    let seed = seed();
    println!("CRASH_SEED={seed} policy {policy}");
    let mut random = Random(seed);
    let mut broker = Broker::start(BROKER, &["--appendfsync", policy]);
    let mut workers: Vec<Worker> = (0..WORKERS)
        .map(|number| Worker::new(number, Random(random.below(1 << 30) | 1)))
        .collect();
    for worker in &mut workers {
        worker.prepare(&mut broker.connect());
    }
    let start = Instant::now();
    let (mut kills, mut acknowledged) = (0, 0);
    while start.elapsed() < Duration::from_secs(SECONDS_PER_POLICY) {
        acknowledged += load_until_killed(&mut broker, &mut workers, random.below(250));
        kills += 1;
        if random.below(4) == 0 {
            // Recovery itself may be killed.
            broker.begin_restart();
            thread::sleep(Duration::from_millis(random.below(40)));
            broker.kill();
            kills += 1;
        }
        broker.restart();
        for worker in &mut workers {
            worker.check(&mut broker.connect());
        }
    }
    println!("{policy}: {kills} kills, {acknowledged} acknowledged commands, none missing");
    assert!(kills >= 2, "the broker takes too long to come back");
}

/// Runs all workers, kills the broker after a while; how many commands were acknowledged.
fn load_until_killed(broker: &mut Broker, workers: &mut [Worker], after_ms: u64) -> usize {
    let is_killed = AtomicBool::new(false);
    let port = broker.port();
    thread::scope(|scope| {
        let running: Vec<_> = workers
            .iter_mut()
            .map(|worker| scope.spawn(|| worker.run(port, &is_killed)))
            .collect();
        thread::sleep(Duration::from_millis(20 + after_ms));
        broker.kill();
        is_killed.store(true, Ordering::SeqCst);
        running
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .sum()
    })
}

/// Durability: P1, P6, P7.
#[test]
fn nothing_acknowledged_is_lost_by_kills_under_always() {
    survives_kills("always");
}

/// Durability: P2, P6, P7.
#[test]
fn nothing_acknowledged_is_lost_by_kills_under_everysec() {
    survives_kills("everysec");
}

/// Durability: P2, P6, P7.
#[test]
fn nothing_acknowledged_is_lost_by_kills_under_no() {
    survives_kills("no");
}

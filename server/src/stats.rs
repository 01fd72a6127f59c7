//! What INFO counts, and the slow log.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::command::Command;
use crate::refusal::Refusal;

/// What is known of one command's calls, by [`crate::command::Command::index`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CommandStats {
    pub(crate) calls: u64,
    /// Time spent in them.
    pub(crate) time: Duration,
    /// Calls that ended in an error.
    pub(crate) failed: u64,
    /// Calls that were refused before they ran (arity, MULTI, authentication).
    pub(crate) rejected: u64,
    pub(crate) latency: Latencies,
}

/// Calls by how long they took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Latencies {
    /// `buckets[n]` counts calls of at most `2^n` microseconds (and more than the one before).
    pub(crate) buckets: [u32; 26],
}

impl Latencies {
    pub(crate) fn record(&mut self, micros: u64) {
        let bucket = (u64::BITS - micros.saturating_sub(1).leading_zeros()) as usize;
        let last = self.buckets.len() - 1;
        self.buckets[bucket.min(last)] += 1;
    }
}

/// An entry of SLOWLOG GET.
#[derive(Clone, Debug)]
pub(crate) struct SlowCommand {
    pub(crate) id: u64,
    /// Seconds since the Unix epoch.
    pub(crate) at_secs: u64,
    pub(crate) micros: u64,
    /// At most 32 arguments of at most 128 bytes, cut as SLOWLOG shows them.
    pub(crate) arguments: Vec<Vec<u8>>,
    pub(crate) address: String,
    pub(crate) client_name: Vec<u8>,
}

/// One event of LATENCY HISTORY: one sample a second, the worst.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LatencySample {
    pub(crate) at_secs: u64,
    pub(crate) millis: u64,
}

/// Samples from which the rates of INFO are computed.
const SAMPLES: usize = 16;

/// Totals at a moment.
#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    at_ms: u64,
    commands: u64,
    bytes_in: u64,
    bytes_out: u64,
}

/// What happens in a second, over the last one and a half.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rates {
    pub(crate) commands: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
}

/// Counters since the start or CONFIG RESETSTAT.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    pub(crate) commands: Vec<CommandStats>,
    /// Error replies by their first word.
    pub(crate) errors: BTreeMap<Vec<u8>, u64>,
    pub(crate) total_errors: u64,
    pub(crate) total_commands: u64,
    pub(crate) total_connections: u64,
    pub(crate) rejected_connections: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) keyspace_hits: u64,
    pub(crate) keyspace_misses: u64,
    pub(crate) expired_keys: u64,
    /// Clients ended because their query or output buffer outgrew its limit.
    pub(crate) query_buffer_disconnections: u64,
    pub(crate) output_buffer_disconnections: u64,
    pub(crate) slow_commands: VecDeque<SlowCommand>,
    pub(crate) next_slow_id: u64,
    /// Events over `latency-monitor-threshold`, by name (`command`, `fast-command`, ...).
    pub(crate) latencies: BTreeMap<&'static str, VecDeque<LatencySample>>,
    /// `mutations()` of the engine at the last checkpoint, for `rdb_changes_since_last_save`.
    pub(crate) mutations_saved: u64,
    samples: VecDeque<Sample>,
}

impl Stats {
    pub(crate) fn new(commands: usize) -> Self {
        Self {
            commands: vec![CommandStats::default(); commands],
            ..Self::default()
        }
    }

    /// Keys that were found and missed.
    pub(crate) fn looked(&self) -> (u64, u64) {
        (self.keyspace_hits, self.keyspace_misses)
    }

    /// Takes back what was counted since.
    pub(crate) fn set_looked(&mut self, (hits, misses): (u64, u64)) {
        (self.keyspace_hits, self.keyspace_misses) = (hits, misses);
    }

    /// Takes a sample of the totals; called at every tick.
    pub(crate) fn sample(&mut self, now_ms: u64) {
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(Sample {
            at_ms: now_ms,
            commands: self.total_commands,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
        });
    }

    /// What happens in a second.
    pub(crate) fn rates(&self) -> Rates {
        let (Some(first), Some(last)) = (self.samples.front(), self.samples.back()) else {
            return Rates::default();
        };
        let millis = last.at_ms.saturating_sub(first.at_ms).max(1);
        let rate = |from: u64, to: u64| to.saturating_sub(from) * 1000 / millis;
        Rates {
            commands: rate(first.commands, last.commands),
            bytes_in: rate(first.bytes_in, last.bytes_in),
            bytes_out: rate(first.bytes_out, last.bytes_out),
        }
    }

    /// An error reply.
    pub(crate) fn count_error(&mut self, refusal: &Refusal) {
        self.total_errors += 1;
        if let Some(count) = self.errors.get_mut(refusal.code()) {
            *count += 1;
        } else {
            self.errors.insert(refusal.code().to_vec(), 1);
        }
    }

    /// A call that ran.
    pub(crate) fn count_call(&mut self, command: &Command, took: Duration, is_failed: bool) {
        self.total_commands += 1;
        let stats = &mut self.commands[command.index()];
        stats.calls += 1;
        stats.time += took;
        stats.failed += u64::from(is_failed);
        stats
            .latency
            .record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// CONFIG RESETSTAT: what is counted begins anew; the slow log and the latency events stay.
    pub(crate) fn reset(&mut self) {
        *self = Self {
            commands: vec![CommandStats::default(); self.commands.len()],
            slow_commands: std::mem::take(&mut self.slow_commands),
            next_slow_id: self.next_slow_id,
            latencies: std::mem::take(&mut self.latencies),
            mutations_saved: self.mutations_saved,
            ..Self::default()
        };
    }

    /// Drops the oldest entries of the slow log until `len_max` are left.
    pub(crate) fn limit_slow_log(&mut self, len_max: u64) {
        let len_max = usize::try_from(len_max).unwrap_or(usize::MAX);
        self.slow_commands.truncate(len_max);
    }
}

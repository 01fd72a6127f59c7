//! What INFO counts, and the slow log.

use std::collections::{BTreeMap, VecDeque};

/// What is known of one command's calls, by [`crate::command::Command::index`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CommandStats {
    pub(crate) calls: u64,
    pub(crate) micros: u64,
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

/// Totals at one moment.
#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    at_ms: u64,
    commands: u64,
    bytes_in: u64,
    bytes_out: u64,
}

/// Totals of the last moments, from which INFO tells how much happens each second.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    samples: VecDeque<Sample>,
}

/// How much happens each second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Rate {
    pub(crate) commands: f64,
    pub(crate) bytes_in: f64,
    pub(crate) bytes_out: f64,
}

/// Samples that are kept; at ten a second they cover about the last 1.6 seconds.
const SAMPLES_MAX: usize = 17;

impl Rates {
    /// The rate over the samples that are kept.
    pub(crate) fn present(&self) -> Rate {
        let (Some(first), Some(last)) = (self.samples.front(), self.samples.back()) else {
            return Rate::default();
        };
        let millis = last.at_ms.saturating_sub(first.at_ms);
        if millis == 0 {
            return Rate::default();
        }
        let per_second = |now: u64, then: u64| {
            // CONFIG RESETSTAT may have come between.
            let more = u32::try_from(now.saturating_sub(then)).unwrap_or(u32::MAX);
            f64::from(more) * 1000.0 / f64::from(u32::try_from(millis).unwrap_or(u32::MAX))
        };
        Rate {
            commands: per_second(last.commands, first.commands),
            bytes_in: per_second(last.bytes_in, first.bytes_in),
            bytes_out: per_second(last.bytes_out, first.bytes_out),
        }
    }
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
    pub(crate) rates: Rates,
    /// Clients ended because their query or output buffer outgrew its limit.
    pub(crate) query_buffer_disconnections: u64,
    pub(crate) output_buffer_disconnections: u64,
    pub(crate) slow_commands: VecDeque<SlowCommand>,
    pub(crate) next_slow_id: u64,
    /// Events over `latency-monitor-threshold`, by name (`command`, `fast-command`, ...).
    pub(crate) latencies: BTreeMap<&'static str, VecDeque<LatencySample>>,
    /// `mutations()` of the engine at the last checkpoint, for `rdb_changes_since_last_save`.
    pub(crate) mutations_saved: u64,
}

impl Stats {
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

    /// Notes the present totals; to be called about ten times a second.
    pub(crate) fn sample(&mut self, now_ms: u64) {
        let samples = &mut self.rates.samples;
        if samples.len() == SAMPLES_MAX {
            samples.pop_front();
        }
        samples.push_back(Sample {
            at_ms: now_ms,
            commands: self.total_commands,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
        });
    }

    /// Drops the oldest entries of the slow log until `len_max` are left.
    pub(crate) fn limit_slow_log(&mut self, len_max: u64) {
        let len_max = usize::try_from(len_max).unwrap_or(usize::MAX);
        self.slow_commands.truncate(len_max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_per_second() {
        let mut stats = Stats::default();
        assert_eq!(stats.rates.present(), Rate::default());
        for step in 0..40 {
            stats.sample(1000 + step * 100);
            stats.total_commands += 5;
            stats.bytes_in += 10;
        }
        let rate = stats.rates.present();
        assert_eq!(
            (rate.commands, rate.bytes_in, rate.bytes_out),
            (50.0, 100.0, 0.0)
        );
        stats.reset();
        stats.sample(9999);
        assert_eq!(stats.rates.present(), Rate::default());
    }
}

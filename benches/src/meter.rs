//! What is counted while a workload runs: work done, latencies by lane, and both along time.
//!
//! A lane is one kind of latency (`xreadgroup`, `xack`, `delivery`). Latencies are recorded in
//! nanoseconds, one value for each reply or entry; nothing is averaged or sampled.

use hdrhistogram::Histogram;

/// Length of a slice of time in the series, in nanoseconds.
pub(crate) const SLICE_NS: u64 = 100_000_000;
/// The longest latency that is told apart, in nanoseconds.
const LATENCY_NS_MAX: u64 = 120_000_000_000;

/// Work and latency in one slice of time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Slice {
    /// Units of work.
    pub(crate) units: u64,
    /// The 99th percentile of the first lane, in nanoseconds.
    pub(crate) p99_ns: u64,
    /// The highest latency of the first lane, in nanoseconds.
    pub(crate) max_ns: u64,
}

/// The counters of one measured run.
pub(crate) struct Meter {
    /// Units of work that were answered.
    pub(crate) units: u64,
    /// Commands that were answered.
    pub(crate) commands: u64,
    /// One histogram for each lane of the workload.
    pub(crate) lanes: Vec<Histogram<u64>>,
    /// Finished slices of time.
    pub(crate) slices: Vec<Slice>,
    slice: Histogram<u64>,
    slice_units: u64,
    slice_end: u64,
}

fn histogram(digits: u8) -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, digits).expect("the bounds are constants")
}

impl Meter {
    /// Counters at zero, from `now` on.
    pub(crate) fn new(lanes: usize, now: u64) -> Self {
        Self {
            units: 0,
            commands: 0,
            lanes: (0..lanes).map(|_| histogram(3)).collect(),
            slices: Vec::new(),
            slice: histogram(2),
            slice_units: 0,
            slice_end: now + SLICE_NS,
        }
    }

    /// Records one latency.
    pub(crate) fn latency(&mut self, lane: usize, ns: u64) {
        self.lanes[lane].saturating_record(ns);
        if lane == 0 {
            self.slice.saturating_record(ns);
        }
    }

    /// Counts finished work.
    pub(crate) fn done(&mut self, units: u64) {
        self.units += units;
        self.slice_units += units;
    }

    /// Closes the slices of time that are over.
    pub(crate) fn tick(&mut self, now: u64) {
        while now >= self.slice_end {
            self.slices.push(Slice {
                units: self.slice_units,
                p99_ns: self.slice.value_at_quantile(0.99),
                max_ns: self.slice.max(),
            });
            self.slice.reset();
            self.slice_units = 0;
            self.slice_end += SLICE_NS;
        }
    }
}

//! From samples to figures: medians over rounds, ratios to the server that is compared with.

mod html;
mod json;
mod published;
pub(crate) mod sections;
mod svg;
mod table;

use hdrhistogram::Histogram;

use crate::cases::{Case, Work};
use crate::machine;
use crate::meter::{SLICE_NS, Slice};
use crate::run::{Failure, Outcome, Plan, Sample, per_second};
use crate::servers::{Kind, Mode};

/// What results become, whatever was measured.
pub(crate) trait Told {
    /// For a terminal.
    fn table(&self) -> String;

    /// For programs.
    fn json(&self) -> String;

    /// What belongs into the section of this name of a document, if that was measured.
    fn section(&self, name: &str) -> Option<String>;
}

/// The percentiles in the tables.
pub(crate) const QUANTILES: [(&str, f64); 4] =
    [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];

/// One kind of latency: the medians over the rounds of each percentile, in nanoseconds.
pub(crate) struct Lane {
    pub(crate) name: &'static str,
    pub(crate) quantiles: [u64; 4],
    /// All rounds in one histogram, for the plots.
    pub(crate) all: Histogram<u64>,
}

/// One server in one mode on one case: medians over the rounds.
pub(crate) struct Row {
    pub(crate) case: usize,
    pub(crate) program: usize,
    pub(crate) mode: Mode,
    pub(crate) rounds: usize,
    /// Units a second: median, lowest, highest.
    pub(crate) rate: f64,
    pub(crate) rate_min: f64,
    pub(crate) rate_max: f64,
    pub(crate) commands_per_second: f64,
    /// Server processor time for a unit, in microseconds.
    pub(crate) cpu_us: f64,
    /// Cores that the server kept busy, and the load generator.
    pub(crate) server_cores: f64,
    pub(crate) client_cores: f64,
    /// Bytes sent to the block layer for a unit.
    pub(crate) written_per_unit: f64,
    /// What the data directory took at the end.
    pub(crate) disk_mib: f64,
    pub(crate) rss_mib: f64,
    pub(crate) anonymous_mib: f64,
    pub(crate) lanes: Vec<Lane>,
    /// Along time, of the first round.
    pub(crate) slices: Vec<Slice>,
}

/// All figures.
pub(crate) struct Report<'a> {
    plan: &'a Plan,
    failures: &'a [Failure],
    /// Those of the run, and those that cases brought.
    modes: Vec<Mode>,
    rows: Vec<Row>,
    machine: String,
    versions: Vec<String>,
}

/// The middle of the values, the mean of both middles for an even number.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "figures are shown with a few digits"
)]
pub(crate) fn float(value: u64) -> f64 {
    value as f64
}

fn lanes(case: &Case, samples: &[&Sample]) -> Vec<Lane> {
    let names = case.work.lanes().iter().enumerate();
    let lane = |(index, &name): (usize, &&'static str)| {
        let histograms = || samples.iter().map(|sample| &sample.lanes[index]);
        let mut all = Histogram::new(3).expect("three digits are allowed");
        for histogram in histograms() {
            all.add(histogram)
                .expect("a resizable histogram takes every value");
        }
        let quantiles = QUANTILES.map(|(_, q)| {
            let mut values: Vec<u64> = histograms().map(|h| h.value_at_quantile(q)).collect();
            values.sort_unstable();
            values[values.len() / 2]
        });
        Lane {
            name,
            quantiles,
            all,
        }
    };
    names
        .map(lane)
        .filter(|lane| !lane.all.is_empty())
        .collect()
}

fn row(case: &Case, samples: &[&Sample]) -> Row {
    let first = samples[0];
    let rates = || samples.iter().map(|s| per_second(s.units, s.elapsed_ns));
    let middle = |figure: &dyn Fn(&Sample) -> f64| median(samples.iter().map(|s| figure(s)));
    let elapsed = |s: &Sample| float(s.elapsed_ns.max(1));
    let units = |s: &Sample| float(s.units.max(1));
    let mib = |bytes: u64| float(bytes) / 1_048_576.0;
    Row {
        case: first.case,
        program: first.program,
        mode: first.mode,
        rounds: samples.len(),
        rate: median(rates()),
        rate_min: rates().fold(f64::INFINITY, f64::min),
        rate_max: rates().fold(0.0, f64::max),
        commands_per_second: middle(&|s| per_second(s.commands, s.elapsed_ns)),
        cpu_us: middle(&|s| float(s.usage.cpu_ns) / 1000.0 / units(s)),
        server_cores: middle(&|s| float(s.usage.cpu_ns) / elapsed(s)),
        client_cores: middle(&|s| float(s.client_cpu_ns) / elapsed(s)),
        written_per_unit: middle(&|s| float(s.usage.written_bytes) / units(s)),
        disk_mib: middle(&|s| mib(s.disk_bytes)),
        rss_mib: middle(&|s| mib(s.usage.rss_bytes)),
        anonymous_mib: middle(&|s| mib(s.usage.anonymous_bytes)),
        lanes: lanes(case, samples),
        slices: first.slices.clone(),
    }
}

impl<'a> Report<'a> {
    pub(crate) fn new(plan: &'a Plan, outcome: &'a Outcome) -> Self {
        let (mut rows, mut modes) = (Vec::new(), plan.modes.clone());
        for (index, case) in plan.cases.iter().enumerate() {
            modes.extend(case.mode.filter(|mode| !modes.contains(mode)));
            for &mode in case.modes(&plan.modes) {
                for program in 0..plan.programs.len() {
                    let is_of = |s: &&Sample| (s.case, s.program, s.mode) == (index, program, mode);
                    let samples: Vec<_> = outcome.samples.iter().filter(is_of).collect();
                    if !samples.is_empty() {
                        rows.push(row(case, &samples));
                    }
                }
            }
        }
        let versions = plan
            .programs
            .iter()
            .map(crate::servers::Program::version)
            .collect();
        let machine = machine::describe(&plan.dir);
        Self {
            plan,
            failures: &outcome.failures,
            modes,
            rows,
            machine,
            versions,
        }
    }

    fn find(&self, case: usize, program: usize, mode: Mode) -> Option<&Row> {
        self.rows
            .iter()
            .find(|r| (r.case, r.program, r.mode) == (case, program, mode))
    }

    fn kind(&self, row: &Row) -> Kind {
        self.plan.programs[row.program].kind
    }

    fn case(&self, row: &Row) -> &Case {
        &self.plan.cases[row.case]
    }

    /// How much faster Alluvium is than this row's server in the same mode.
    fn ratio(&self, row: &Row) -> Option<f64> {
        let own = self
            .plan
            .programs
            .iter()
            .position(|p| p.kind == Kind::Alluvium)?;
        (own != row.program)
            .then(|| Some(self.find(row.case, own, row.mode)?.rate / row.rate))
            .flatten()
    }

    /// The conditions in one line.
    fn conditions(&self) -> String {
        let span = self.plan.span;
        format!(
            "{}; rounds: {}, of {:.1} s after {:.1} s of warm-up, servers interleaved",
            self.machine,
            self.plan.rounds,
            span.measure.as_secs_f64(),
            span.warmup.as_secs_f64()
        )
    }

    /// Whether a case's throughput is set by its rate, so that only latency says something.
    fn is_paced(&self, row: &Row) -> bool {
        let case = self.case(row);
        case.rate > 0 || case.work == Work::Delivery
    }
}

impl Told for Report<'_> {
    fn table(&self) -> String {
        self.as_table()
    }

    fn json(&self) -> String {
        self.as_json()
    }

    fn section(&self, name: &str) -> Option<String> {
        self.as_section(name)
    }
}

/// A number for people: thousands separated, few digits.
pub(crate) fn figure(value: f64) -> String {
    if value < 10.0 {
        return format!("{value:.2}");
    }
    if value < 100.0 {
        return format!("{value:.1}");
    }
    grouped(&format!("{value:.0}"))
}

/// A number of things.
pub(crate) fn count(number: u64) -> String {
    grouped(&number.to_string())
}

/// Digits by thousands.
fn grouped(digits: &str) -> String {
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// Milliseconds of a latency in nanoseconds.
pub(crate) fn millis(ns: u64) -> f64 {
    float(ns) / 1e6
}

/// Seconds from the beginning to the end of a slice of time.
fn slice_second(index: usize) -> f64 {
    float(SLICE_NS) / 1e9 * float(index as u64 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert!((median([3.0, 1.0, 2.0].into_iter()) - 2.0).abs() < 1e-9);
        assert!((median([4.0, 1.0, 2.0, 3.0].into_iter()) - 2.5).abs() < 1e-9);
    }

    #[test]
    fn figures_are_short() {
        assert_eq!(figure(1_234_567.0), "1 234 567");
        assert_eq!(figure(0.123), "0.12");
        assert_eq!(figure(99.25), "99.2");
        assert_eq!([count(50), count(20_000_000)], ["50", "20 000 000"]);
    }
}

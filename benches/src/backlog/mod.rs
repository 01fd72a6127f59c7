//! What a backlog costs, and what it costs as it grows: memory, disk, starts, scans, pending
//! entries, trimming, and latency beside background work.
//!
//! A row of the table is a scenario that is run once for each server, at a scale: 1 is the scale
//! that the targets are for. It yields figures; what a figure is and what it should be is data, in
//! [`figures`]. All entries are different, 100 bytes of JSON each.

mod entry;
pub(crate) mod figures;
mod latency;
mod pending;
mod report;
mod scene;
mod stream;
mod streams;
mod trimmed;

use std::path::PathBuf;

use crate::servers::{Kind, Program};

pub(crate) use report::Report;
use scene::Scene;

/// What to run.
pub(crate) struct Plan {
    pub(crate) programs: Vec<Program>,
    pub(crate) rows: Vec<Row>,
    /// Multiplies the numbers of entries that the targets are for.
    pub(crate) scale: f64,
    pub(crate) dir: PathBuf,
}

/// A scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Row {
    Stream,
    Streams,
    Pending,
    Trimmed,
    Latency,
}

impl Row {
    pub(crate) const ALL: [Self; 5] = [
        Self::Stream,
        Self::Streams,
        Self::Pending,
        Self::Trimmed,
        Self::Latency,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Streams => "streams",
            Self::Pending => "pending",
            Self::Trimmed => "trimmed",
            Self::Latency => "latency",
        }
    }

    pub(crate) fn about(self) -> &'static str {
        match self {
            Self::Stream => "one stream of 1, 5 and 20 million entries",
            Self::Streams => "1 million streams of 3 entries",
            Self::Pending => "5 million pending entries in one group",
            Self::Trimmed => "XADD MAXLEN ~ 100000 for 10 GB of values",
            Self::Latency => "XADD at a fixed rate, beside background work and without",
        }
    }

    fn run(self, scene: &mut Scene<'_>) -> Result<(), String> {
        match self {
            Self::Stream => stream::run(scene),
            Self::Streams => streams::run(scene),
            Self::Pending => pending::run(scene),
            Self::Trimmed => trimmed::run(scene),
            Self::Latency => latency::run(scene),
        }
    }
}

/// One figure of one server.
pub(crate) struct Finding {
    pub(crate) figure: &'static str,
    /// How many entries (or streams) there were.
    pub(crate) at: u64,
    pub(crate) kind: Kind,
    pub(crate) value: f64,
}

/// All that was found, and the rows that failed.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) findings: Vec<Finding>,
    pub(crate) failures: Vec<String>,
}

/// Runs the rows; `tell` hears of each figure as it is found.
pub(crate) fn run(plan: &Plan, mut tell: impl FnMut(&str)) -> Outcome {
    let mut outcome = Outcome::default();
    for &row in &plan.rows {
        for program in &plan.programs {
            let mut scene = Scene::new(plan, program, &mut outcome.findings, &mut tell);
            if let Err(reason) = row.run(&mut scene) {
                let failure = format!("{} {}: {reason}", row.name(), program.kind.name());
                tell(&format!("FAILED: {failure}"));
                outcome.failures.push(failure);
            }
        }
    }
    outcome
}

//! What a run showed: gathered here, told in words, as JSON and as a picture.

mod json;
mod svg;
mod text;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::finding::Tally;
use super::history::{Op, What};
use super::options::Fault;

pub(super) use json::json;
pub(super) use svg::svg;
pub(super) use text::{progress, summary};

/// A whole run.
pub(super) struct Report {
    pub(super) seed: u64,
    pub(super) command: String,
    /// Name and version.
    pub(super) server: String,
    pub(super) first_start: Duration,
    pub(super) rounds: Vec<RoundReport>,
    pub(super) tally: Tally,
    /// Error replies by text.
    pub(super) refusals: BTreeMap<String, u64>,
    /// What was kept for a closer look.
    pub(super) kept: Option<PathBuf>,
    pub(super) is_failed: bool,
    pub(super) is_interrupted: bool,
}

/// One round.
pub(super) struct RoundReport {
    pub(super) number: usize,
    pub(super) fault: Fault,
    /// The restarted server was killed once more while it recovered.
    pub(super) is_killed_again: bool,
    /// Since the start of the run.
    pub(super) began: Duration,
    pub(super) load: Duration,
    /// From the start of the process to its first PONG; absent if the process was not ended.
    pub(super) restart: Option<Duration>,
    pub(super) acknowledged: u64,
    pub(super) deeds: Deeds,
    /// Entries that the server holds in all.
    pub(super) entries: usize,
}

impl Default for RoundReport {
    fn default() -> Self {
        Self {
            number: 0,
            fault: Fault::Kill,
            is_killed_again: false,
            began: Duration::ZERO,
            load: Duration::ZERO,
            restart: None,
            acknowledged: 0,
            deeds: Deeds::default(),
            entries: 0,
        }
    }
}

/// How much was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Deeds {
    pub(super) added: u64,
    pub(super) delivered: u64,
    pub(super) acked: u64,
    pub(super) claimed: u64,
    pub(super) read: u64,
    /// Entries deleted and trimmed.
    pub(super) removed: u64,
    /// Entries given back.
    pub(super) given_back: u64,
    /// Messages sent again.
    pub(super) repeated: u64,
    /// Operations without a reply.
    pub(super) unknown: u64,
}

impl Deeds {
    pub(super) fn of(ops: &[Op]) -> Self {
        let mut deeds = Self::default();
        for op in ops {
            if op.end.is_none() {
                deeds.unknown += 1;
                continue;
            }
            match &op.what {
                What::Add { id, .. } => deeds.added += u64::from(id.is_some()),
                What::Read { entries, .. } => deeds.read += entries.len() as u64,
                What::Deliver { entries, .. } => deeds.delivered += entries.len() as u64,
                What::Ack { ids, .. } => deeds.acked += ids.len() as u64,
                What::Claim { taken, .. } => deeds.claimed += taken.len() as u64,
                What::Delete { removed, .. } | What::Trim { removed, .. } => {
                    deeds.removed += removed;
                }
                What::GiveBack { .. } => deeds.given_back += 1,
                What::AddAgain { .. } => deeds.repeated += 1,
                What::Repeat { .. }
                | What::CreateGroup { .. }
                | What::SetCursor { .. }
                | What::DestroyGroup { .. }
                | What::DeleteConsumer { .. } => {}
            }
        }
        deeds
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            added: self.added + other.added,
            delivered: self.delivered + other.delivered,
            acked: self.acked + other.acked,
            claimed: self.claimed + other.claimed,
            read: self.read + other.read,
            removed: self.removed + other.removed,
            given_back: self.given_back + other.given_back,
            repeated: self.repeated + other.repeated,
            unknown: self.unknown + other.unknown,
        }
    }
}

impl Report {
    pub(super) fn new(seed: u64, command: String) -> Self {
        Self {
            seed,
            command,
            server: String::new(),
            first_start: Duration::ZERO,
            rounds: Vec::new(),
            tally: Tally::default(),
            refusals: BTreeMap::new(),
            kept: None,
            is_failed: false,
            is_interrupted: false,
        }
    }

    pub(super) fn note_refusals(&mut self, refusals: BTreeMap<String, u64>) {
        for (text, count) in refusals {
            *self.refusals.entry(text).or_default() += count;
        }
    }

    fn deeds(&self) -> Deeds {
        self.rounds
            .iter()
            .fold(Deeds::default(), |sum, round| sum.plus(round.deeds))
    }

    /// Median and longest time of a restart.
    fn restarts(&self) -> Option<(Duration, Duration)> {
        let mut times: Vec<Duration> = self.rounds.iter().filter_map(|r| r.restart).collect();
        times.sort_unstable();
        Some((*times.get(times.len() / 2)?, *times.last()?))
    }
}

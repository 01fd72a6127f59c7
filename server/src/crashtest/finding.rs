//! What can be wrong with a history, and the tally of what was.
//!
//! Each kind has a name for scripts, words for people, and is explained in `docs/crashtest.md`.

use std::collections::BTreeMap;

/// So many examples of one kind are kept for each round.
const EXAMPLES_PER_ROUND: usize = 3;

/// A kind of anomaly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    Lost,
    Vanished,
    Altered,
    Duplicated,
    Reordered,
    Reissued,
    IdWentBack,
    Hole,
    Resurrected,
    Skipped,
    PartialTransaction,
    Undone,
    GroupLost,
    CursorBack,
    PendingLost,
    AckLost,
    DeliveredTwice,
    ClaimLost,
    CountLost,
    Inconsistent,
    Crashed,
    NoRestart,
}

impl Kind {
    pub(super) const ALL: [Kind; 22] = [
        Kind::Lost,
        Kind::Vanished,
        Kind::Altered,
        Kind::Duplicated,
        Kind::Reordered,
        Kind::Reissued,
        Kind::IdWentBack,
        Kind::Hole,
        Kind::Resurrected,
        Kind::Skipped,
        Kind::PartialTransaction,
        Kind::Undone,
        Kind::GroupLost,
        Kind::CursorBack,
        Kind::PendingLost,
        Kind::AckLost,
        Kind::DeliveredTwice,
        Kind::ClaimLost,
        Kind::CountLost,
        Kind::Inconsistent,
        Kind::Crashed,
        Kind::NoRestart,
    ];

    /// Name and meaning.
    fn texts(self) -> (&'static str, &'static str) {
        match self {
            Kind::Lost => ("lost", "acknowledged, then missing"),
            Kind::Vanished => ("vanished", "seen by somebody, then missing"),
            Kind::Altered => ("altered", "present with other bytes than were sent"),
            Kind::Duplicated => ("duplicated", "sent once, present more than once"),
            Kind::Reordered => ("reordered", "present in another order or at another ID"),
            Kind::Reissued => (
                "id-reissued",
                "an ID that stood for one entry stands for another",
            ),
            Kind::IdWentBack => (
                "id-went-back",
                "the stream's last ID lies before an ID it gave out",
            ),
            Kind::Hole => (
                "hole",
                "missing, while a later command of the same connection survived",
            ),
            Kind::Resurrected => (
                "resurrected",
                "absent after one crash, present after another",
            ),
            Kind::Skipped => ("skipped", "appeared behind a reader that had read past it"),
            Kind::PartialTransaction => {
                ("partial-transaction", "one part of a MULTI/EXEC survived")
            }
            Kind::Undone => (
                "undone",
                "removed by an acknowledged command, and there again",
            ),
            Kind::GroupLost => ("group-lost", "a consumer group is gone"),
            Kind::CursorBack => (
                "cursor-back",
                "a group's cursor lies before what it handed out",
            ),
            Kind::PendingLost => (
                "pending-lost",
                "handed out or passed over, not acked, and in no pending list",
            ),
            Kind::AckLost => ("ack-lost", "acked, then pending or delivered again"),
            Kind::DeliveredTwice => ("delivered-twice", "not acked, delivered again as if new"),
            Kind::ClaimLost => ("claim-lost", "pending for a consumer that does not hold it"),
            Kind::CountLost => ("count-lost", "a delivery count fell"),
            Kind::Inconsistent => (
                "inconsistent",
                "the server's own figures contradict each other",
            ),
            Kind::Crashed => ("crashed", "the server ended by itself"),
            Kind::NoRestart => ("no-restart", "the server did not come back"),
        }
    }

    /// The name for scripts.
    pub(super) fn name(self) -> &'static str {
        self.texts().0
    }

    /// The meaning in words.
    pub(super) fn meaning(self) -> &'static str {
        self.texts().1
    }

    pub(super) fn from_name(name: &str) -> Option<Kind> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// One anomaly, as an example.
#[derive(Clone, Debug)]
pub(super) struct Example {
    pub(super) kind: Kind,
    pub(super) round: usize,
    pub(super) words: String,
}

/// All anomalies counted, some of them in words.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    counts: BTreeMap<(usize, Kind), u64>,
    pub(super) examples: Vec<Example>,
    /// The round that is being checked.
    pub(super) round: usize,
}

impl Tally {
    /// Counts an anomaly; `words` is asked only while examples are wanted.
    pub(super) fn add(&mut self, kind: Kind, words: impl FnOnce() -> String) {
        let count = self.counts.entry((self.round, kind)).or_default();
        *count += 1;
        if *count <= EXAMPLES_PER_ROUND as u64 {
            self.examples.push(Example {
                kind,
                round: self.round,
                words: words(),
            });
        }
    }

    /// How many of `kind` in all rounds.
    pub(super) fn total(&self, kind: Kind) -> u64 {
        let of_kind = self.counts.iter().filter(|((_, k), _)| *k == kind);
        of_kind.map(|(_, count)| count).sum()
    }

    /// What `round` showed.
    pub(super) fn in_round(&self, round: usize) -> impl Iterator<Item = (Kind, u64)> {
        self.counts
            .range((round, Kind::Lost)..=(round, Kind::NoRestart))
            .map(|((_, kind), count)| (*kind, *count))
    }

    /// The kinds that occurred, with their totals.
    pub(super) fn totals(&self) -> Vec<(Kind, u64)> {
        let all = Kind::ALL.into_iter().map(|kind| (kind, self.total(kind)));
        all.filter(|(_, count)| *count > 0).collect()
    }

    /// Whether anything occurred that is not among `allowed`.
    pub(super) fn fails(&self, allowed: &[Kind]) -> bool {
        self.counts.keys().any(|(_, kind)| !allowed.contains(kind))
    }
}

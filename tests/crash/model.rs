//! What one stream with one group must look like after a number of commands.

use std::collections::BTreeMap;

/// A command, in the words of its outcome.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// XADD of the next entry.
    Add,
    /// MULTI, XADD of the next three entries, EXEC.
    AddThree,
    /// XREADGROUP COUNT of new entries for a consumer.
    Deliver { consumer: u64, count: usize },
    /// XREADGROUP of the consumer's history, which counts another delivery of each entry.
    Reread { consumer: u64 },
    /// XACK of the first pending entries.
    Ack { count: usize },
    /// XCLAIM of the first pending entry for a consumer.
    Claim { consumer: u64 },
    /// XTRIM to a length.
    Trim { length: usize },
}

/// The state of a worker's stream: entries are the numbers `first..next`, each with ID `n-1`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) first: u64,
    pub(crate) next: u64,
    /// The last number delivered to the group.
    pub(crate) cursor: u64,
    /// Number -> consumer and delivery count.
    pub(crate) pending: BTreeMap<u64, (u64, u64)>,
}

impl Model {
    pub(crate) fn new() -> Model {
        Model {
            first: 1,
            next: 1,
            ..Model::default()
        }
    }

    pub(crate) fn apply(&mut self, step: &Step) {
        match *step {
            Step::Add => self.next += 1,
            Step::AddThree => self.next += 3,
            Step::Deliver { consumer, count } => {
                for number in self.undelivered().take(count) {
                    self.pending.insert(number, (consumer, 1));
                    self.cursor = number;
                }
            }
            Step::Reread { consumer } => {
                let first = self.first;
                for (number, (owner, count)) in &mut self.pending {
                    if *owner == consumer && *number >= first {
                        *count += 1;
                    }
                }
            }
            Step::Ack { count } => {
                for number in self.first_pending(count) {
                    self.pending.remove(&number);
                }
            }
            Step::Claim { consumer } => self.claim(consumer),
            Step::Trim { length } => {
                let length = length as u64;
                self.first = self.first.max(self.next.saturating_sub(length));
            }
        }
    }

    /// A claimed entry that is no longer in the stream leaves the pending list.
    fn claim(&mut self, consumer: u64) {
        for number in self.first_pending(1) {
            if number < self.first {
                self.pending.remove(&number);
            } else if let Some(entry) = self.pending.get_mut(&number) {
                *entry = (consumer, entry.1 + 1);
            }
        }
    }

    pub(crate) fn first_pending(&self, count: usize) -> Vec<u64> {
        self.pending.keys().copied().take(count).collect()
    }

    fn undelivered(&self) -> std::ops::Range<u64> {
        self.first.max(self.cursor + 1)..self.next
    }
}

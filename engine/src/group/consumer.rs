//! A consumer: when it was last here, and what is pending for it.

use super::pending::SortedSlots;

/// A consumer of a group.
#[derive(Clone, Debug, Default)]
pub(crate) struct Consumer {
    /// When it last asked for something.
    pub(crate) seen_ms: u64,
    /// When it last got something.
    pub(crate) active_ms: Option<u64>,
    /// What is pending for it.
    pub(crate) pending: SortedSlots,
}

//! Who waits for which keys, in the order in which they began to wait.
//!
//! Keys become *ready* while commands run; after a command (or a whole MULTI) the ready keys are
//! served in the order in which they became ready, each one's waiters in the order in which they
//! blocked, and only those who waited when serving began. A waiter that is run in vain keeps its
//! place.

use std::collections::{HashMap, VecDeque};

use crate::client::Slot;
use crate::command::WaitKind;

type Key = (u8, Vec<u8>);

/// Waiting clients of one key.
#[derive(Default)]
struct Line {
    /// In blocking order.
    slots: VecDeque<(Slot, WaitKind)>,
    /// How many of them wait for a group.
    group_waiters: usize,
    is_ready: bool,
}

/// See the module's description.
#[derive(Default)]
pub(crate) struct Waiters {
    lines: HashMap<Key, Line>,
    /// Ready keys in the order in which they became so; `true`: only groups' waiters run.
    ready: VecDeque<(Key, bool)>,
    blocked: usize,
    keys_on_nokey: usize,
}

impl Waiters {
    /// A key may have what its waiters want. `groups_only`: it, or a group of it, is gone.
    pub(crate) fn ready(&mut self, db: u8, key: &[u8], groups_only: bool) {
        if self.lines.is_empty() {
            return;
        }
        let key = (db, key.to_vec());
        if self.lines.contains_key(&key) {
            self.ready.push_back((key, groups_only));
        }
    }

    /// Every key of some databases is ready.
    pub(crate) fn all_ready(&mut self, is_concerned: impl Fn(u8) -> bool) {
        let keys = self.lines.keys().filter(|(db, _)| is_concerned(*db));
        self.ready.extend(keys.map(|key| (key.clone(), false)));
    }

    /// Number of clients that wait.
    pub(crate) fn blocked(&self) -> usize {
        self.blocked
    }

    /// Number of keys that are waited for.
    pub(crate) fn key_count(&self) -> usize {
        self.lines.len()
    }

    /// Number of keys that are waited for by clients whom the key's removal wakes.
    pub(crate) fn keys_on_nokey(&self) -> usize {
        self.keys_on_nokey
    }
}

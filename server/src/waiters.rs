//! Who waits for which keys, in the order in which they began to wait.
//!
//! Keys become *ready* while commands run; after a command (or a whole MULTI) the ready keys are
//! served in the order in which they became ready, each one's waiters in the order in which they
//! blocked, and only those who waited when serving began. A waiter that is run in vain keeps its
//! place.

use std::collections::{HashMap, VecDeque};

use alluvium_engine::limits::DATABASES;

use crate::client::Slot;
use crate::command::{Block, WaitKind};

/// Waiting clients of one key.
#[derive(Default)]
struct Line {
    /// In blocking order.
    slots: VecDeque<(Slot, WaitKind)>,
    /// What the key is ready for, if it is in `Waiters::ready`.
    ready: Option<Ready>,
}

/// Whom a ready key concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ready {
    /// What is pending has changed.
    Claimers,
    /// The key or a group is gone.
    Groups,
    Everyone,
}

impl Ready {
    fn concerns(self, kind: WaitKind) -> bool {
        match kind {
            WaitKind::Read => self == Self::Everyone,
            WaitKind::Group => self >= Self::Groups,
            WaitKind::Claim => true,
        }
    }
}

/// See the module's description.
pub(crate) struct Waiters {
    lines: Vec<HashMap<Vec<u8>, Line>>,
    /// Keys in the order in which they became ready.
    ready: VecDeque<(u8, Vec<u8>)>,
    blocked: usize,
    keys: usize,
    /// Keys that a group's waiter waits for.
    group_keys: usize,
}

impl Default for Waiters {
    fn default() -> Self {
        Self {
            lines: (0..DATABASES).map(|_| HashMap::new()).collect(),
            ready: VecDeque::new(),
            blocked: 0,
            keys: 0,
            group_keys: 0,
        }
    }
}

impl Waiters {
    /// Puts a client at the end of the line of each of its keys.
    pub(crate) fn insert(&mut self, slot: Slot, block: &Block) {
        self.blocked += 1;
        for key in &block.keys {
            let lines = &mut self.lines[usize::from(block.db)];
            if !lines.contains_key(key) {
                lines.insert(key.clone(), Line::default());
                self.keys += 1;
            }
            let line = lines.get_mut(key).expect("the line has just been made");
            if line.slots.iter().any(|(known, _)| *known == slot) {
                continue;
            }
            if block.kind != WaitKind::Read && !line.has_group_waiter() {
                self.group_keys += 1;
            }
            line.slots.push_back((slot, block.kind));
        }
    }

    /// Takes a client out of all its lines.
    pub(crate) fn remove(&mut self, slot: Slot, block: &Block) {
        self.blocked -= 1;
        for key in &block.keys {
            let lines = &mut self.lines[usize::from(block.db)];
            let Some(line) = lines.get_mut(key) else {
                continue;
            };
            let had_group_waiter = line.has_group_waiter();
            line.slots.retain(|(known, _)| *known != slot);
            if had_group_waiter && !line.has_group_waiter() {
                self.group_keys -= 1;
            }
            if line.slots.is_empty() {
                lines.remove(key);
                self.keys -= 1;
            }
        }
    }

    /// A key may have what its waiters want, or those of them whom that concerns.
    pub(crate) fn ready(&mut self, db: u8, key: &[u8], ready: Ready) {
        if self.keys == 0 {
            return;
        }
        let Some(line) = self.lines[usize::from(db)].get_mut(key) else {
            return;
        };
        if !line.slots.iter().any(|(_, kind)| ready.concerns(*kind)) {
            return;
        }
        if line.ready.is_none() {
            self.ready.push_back((db, key.to_vec()));
        }
        line.ready = line.ready.max(Some(ready));
    }

    /// Every key of some databases is ready.
    pub(crate) fn all_ready(&mut self, is_concerned: impl Fn(u8) -> bool) {
        for db in (0..DATABASES).filter(|db| is_concerned(*db)) {
            let keys: Vec<Vec<u8>> = self.lines[usize::from(db)].keys().cloned().collect();
            for key in keys {
                self.ready(db, &key, Ready::Everyone);
            }
        }
    }

    /// The clients to run for the next ready key, in the order in which they blocked; `None` when
    /// no key is ready.
    pub(crate) fn next_ready(&mut self) -> Option<Vec<Slot>> {
        let (db, key) = self.ready.pop_front()?;
        let Some(line) = self.lines[usize::from(db)].get_mut(&key) else {
            return Some(Vec::new());
        };
        let ready = line.ready.take();
        let concerns = |kind: WaitKind| ready.is_some_and(|ready| ready.concerns(kind));
        let concerned = line.slots.iter().filter(|(_, kind)| concerns(*kind));
        Some(concerned.map(|(slot, _)| *slot).collect())
    }

    /// Whether a key is ready.
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Number of clients that wait.
    pub(crate) fn blocked(&self) -> usize {
        self.blocked
    }

    /// Number of keys that are waited for.
    pub(crate) fn key_count(&self) -> usize {
        self.keys
    }

    /// Number of keys that are waited for by clients whom the key's removal wakes.
    pub(crate) fn keys_on_nokey(&self) -> usize {
        self.group_keys
    }
}

impl Line {
    fn has_group_waiter(&self) -> bool {
        self.slots.iter().any(|(_, kind)| *kind != WaitKind::Read)
    }
}

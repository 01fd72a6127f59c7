//! WATCH: which clients' transactions fail when a key is touched.

use std::collections::HashMap;

use alluvium_engine::Batch;
use alluvium_engine::limits::DATABASES;

use crate::client::{Clients, Slot};

/// Watched keys by database.
pub(crate) struct Watches {
    by_key: Vec<HashMap<Vec<u8>, Vec<Slot>>>,
    keys: usize,
}

impl Default for Watches {
    fn default() -> Self {
        Self {
            by_key: (0..DATABASES).map(|_| HashMap::new()).collect(),
            keys: 0,
        }
    }
}

impl Watches {
    pub(crate) fn watch(&mut self, clients: &mut Clients, slot: Slot, db: u8, key: &[u8]) {
        let slots = self.by_key[usize::from(db)]
            .entry(key.to_vec())
            .or_insert_with(|| {
                self.keys += 1;
                Vec::new()
            });
        if !slots.contains(&slot) {
            slots.push(slot);
            clients.at_mut(slot).watched.push((db, key.to_vec()));
        }
    }

    /// Ends all watches of a client.
    pub(crate) fn forget(&mut self, clients: &mut Clients, slot: Slot) {
        let client = clients.at_mut(slot);
        client.is_dirty = false;
        for (db, key) in std::mem::take(&mut client.watched) {
            let keys = &mut self.by_key[usize::from(db)];
            if let Some(slots) = keys.get_mut(&key) {
                slots.retain(|known| *known != slot);
                if slots.is_empty() {
                    keys.remove(&key);
                    self.keys -= 1;
                }
            }
        }
    }

    /// A key changed.
    pub(crate) fn touched(&self, clients: &mut Clients, db: u8, key: &[u8]) {
        if self.keys == 0 {
            return;
        }
        if let Some(slots) = self.by_key[usize::from(db)].get(key) {
            mark_dirty(clients, slots);
        }
    }

    /// All keys of some databases are about to go: those that exist are touched.
    pub(crate) fn all_touched(
        &self,
        clients: &mut Clients,
        batch: &mut Batch<'_>,
        is_concerned: impl Fn(u8) -> bool,
    ) {
        for db in (0..DATABASES).filter(|db| is_concerned(*db)) {
            for (key, slots) in &self.by_key[usize::from(db)] {
                if batch.exists(db, key) {
                    mark_dirty(clients, slots);
                }
            }
        }
    }

    /// Two databases are about to change places: a key that is in neither is not touched.
    pub(crate) fn all_swapped(&self, clients: &mut Clients, batch: &mut Batch<'_>, a: u8, b: u8) {
        for db in [a, b] {
            for (key, slots) in &self.by_key[usize::from(db)] {
                if batch.exists(a, key) || batch.exists(b, key) {
                    mark_dirty(clients, slots);
                }
            }
        }
    }
}

fn mark_dirty(clients: &mut Clients, slots: &[Slot]) {
    for slot in slots {
        clients.at_mut(*slot).is_dirty = true;
    }
}

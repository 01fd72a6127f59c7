//! WATCH: which clients' transactions fail when a key is touched.

use std::collections::HashMap;

use crate::client::{Clients, Slot};
use alluvium_engine::Batch;

/// Watched keys of all databases.
#[derive(Default)]
pub(crate) struct Watches {
    by_key: HashMap<(u8, Vec<u8>), Vec<Slot>>,
}

impl Watches {
    pub(crate) fn watch(&mut self, clients: &mut Clients, slot: Slot, db: u8, key: &[u8]) {
        let slots = self.by_key.entry((db, key.to_vec())).or_default();
        if !slots.contains(&slot) {
            slots.push(slot);
            clients.at_mut(slot).watched.push((db, key.to_vec()));
        }
    }

    /// Ends all watches of a client.
    pub(crate) fn forget(&mut self, clients: &mut Clients, slot: Slot) {
        let client = clients.at_mut(slot);
        client.is_dirty = false;
        for watched in std::mem::take(&mut client.watched) {
            if let Some(slots) = self.by_key.get_mut(&watched) {
                slots.retain(|known| *known != slot);
                if slots.is_empty() {
                    self.by_key.remove(&watched);
                }
            }
        }
    }

    /// A key changed.
    pub(crate) fn touched(&self, clients: &mut Clients, db: u8, key: &[u8]) {
        if self.by_key.is_empty() {
            return;
        }
        for slot in self.by_key.get(&(db, key.to_vec())).into_iter().flatten() {
            clients.at_mut(*slot).is_dirty = true;
        }
    }

    /// All keys of some databases are about to go.
    pub(crate) fn all_touched(
        &self,
        clients: &mut Clients,
        batch: &mut Batch<'_>,
        is_concerned: impl Fn(u8) -> bool,
    ) {
        for ((db, key), slots) in &self.by_key {
            if is_concerned(*db) && batch.exists(*db, key) {
                for slot in slots {
                    clients.at_mut(*slot).is_dirty = true;
                }
            }
        }
    }

    /// Two databases are about to change places: a key that is in neither is not touched.
    pub(crate) fn all_swapped(&self, clients: &mut Clients, batch: &mut Batch<'_>, a: u8, b: u8) {
        for ((db, key), slots) in &self.by_key {
            let is_concerned = *db == a || *db == b;
            if is_concerned && (batch.exists(a, key) || batch.exists(b, key)) {
                for slot in slots {
                    clients.at_mut(*slot).is_dirty = true;
                }
            }
        }
    }

    /// Number of keys under watch.
    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }
}

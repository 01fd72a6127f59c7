//! Channels and patterns: who hears what.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use crate::client::{Client, Clients, Slot};
use crate::glob;

/// Who is subscribed to each name.
type Subscribers = BTreeMap<Vec<u8>, Vec<Slot>>;

/// Subscriptions of all clients; each client holds its own side too.
#[derive(Default)]
pub(crate) struct PubSub {
    channels: Subscribers,
    patterns: Subscribers,
}

/// What is subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Channel,
    Pattern,
}

impl PubSub {
    /// The client's own side of its subscriptions of a kind, and the side of all clients.
    fn sides<'a>(
        &'a mut self,
        client: &'a mut Client,
        kind: Kind,
    ) -> (&'a mut BTreeSet<Vec<u8>>, &'a mut Subscribers) {
        match kind {
            Kind::Channel => (&mut client.channels, &mut self.channels),
            Kind::Pattern => (&mut client.patterns, &mut self.patterns),
        }
    }

    /// False if the client was subscribed already.
    pub(crate) fn subscribe(
        &mut self,
        clients: &mut Clients,
        slot: Slot,
        kind: Kind,
        name: &[u8],
    ) -> bool {
        let (own, all) = self.sides(clients.at_mut(slot), kind);
        if !own.insert(name.to_vec()) {
            return false;
        }
        all.entry(name.to_vec()).or_default().push(slot);
        true
    }

    /// False if the client was not subscribed.
    pub(crate) fn unsubscribe(
        &mut self,
        clients: &mut Clients,
        slot: Slot,
        kind: Kind,
        name: &[u8],
    ) -> bool {
        let (own, all) = self.sides(clients.at_mut(slot), kind);
        if !own.remove(name) {
            return false;
        }
        if let Entry::Occupied(mut slots) = all.entry(name.to_vec()) {
            slots.get_mut().retain(|known| *known != slot);
            if slots.get().is_empty() {
                slots.remove();
            }
        }
        true
    }

    /// Ends all subscriptions of a client.
    pub(crate) fn forget(&mut self, clients: &mut Clients, slot: Slot) {
        for kind in [Kind::Channel, Kind::Pattern] {
            let client = clients.at(slot);
            let own = match kind {
                Kind::Channel => &client.channels,
                Kind::Pattern => &client.patterns,
            };
            for name in own.clone() {
                self.unsubscribe(clients, slot, kind, &name);
            }
        }
    }

    /// Hands a message to all that hear the channel; returns how many.
    pub(crate) fn publish(&self, clients: &mut Clients, channel: &[u8], message: &[u8]) -> usize {
        let mut heard = 0;
        for slot in self.channels.get(channel).into_iter().flatten() {
            clients.post(*slot, |reply| {
                reply.push(3);
                reply.bulk(b"message");
                reply.bulk(channel);
                reply.bulk(message);
            });
            heard += 1;
        }
        for (pattern, slots) in &self.patterns {
            if glob::matches(pattern, channel) {
                for slot in slots {
                    clients.post(*slot, |reply| {
                        reply.push(4);
                        reply.bulk(b"pmessage");
                        reply.bulk(pattern);
                        reply.bulk(channel);
                        reply.bulk(message);
                    });
                    heard += 1;
                }
            }
        }
        heard
    }

    /// Channels that somebody is subscribed to, in the order of their bytes.
    pub(crate) fn channels(&self) -> impl Iterator<Item = &[u8]> {
        self.channels.keys().map(Vec::as_slice)
    }

    /// Number of clients subscribed to a channel.
    pub(crate) fn subscribers(&self, channel: &[u8]) -> usize {
        self.channels.get(channel).map_or(0, Vec::len)
    }

    /// Number of patterns that somebody is subscribed to.
    pub(crate) fn pattern_count(&self) -> usize {
        self.patterns.len()
    }
}

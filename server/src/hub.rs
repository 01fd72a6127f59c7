//! What connections share besides the engine: the clients themselves, who waits for what, who
//! watches what, subscriptions, parameters and statistics. One mutex guards it; it is taken after
//! the engine's lock and never before it.

use crate::client::{Clients, Slot, Unblock};
use crate::keyspace_events::EventClasses;
use crate::parameters::Config;
use crate::pubsub::PubSub;
use crate::stats::Stats;
use crate::waiters::Waiters;
use crate::watches::Watches;

/// CLIENT PAUSE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pause {
    /// Wall-clock milliseconds.
    pub(crate) until_ms: u64,
    /// Only commands that write (and PUBLISH) wait.
    pub(crate) writes_only: bool,
}

/// See the module's description.
pub(crate) struct Hub {
    pub(crate) clients: Clients,
    pub(crate) config: Config,
    pub(crate) pubsub: PubSub,
    pub(crate) waiters: Waiters,
    pub(crate) watches: Watches,
    pub(crate) stats: Stats,
    pub(crate) pause: Option<Pause>,
    /// DEBUG SET-ACTIVE-EXPIRE 0: expired keys stay until somebody looks for them.
    pub(crate) keeps_expired: bool,
    /// Clients that MONITOR.
    pub(crate) monitors: Vec<Slot>,
}

impl Hub {
    /// Ends the wait of a client: its task does so when it wakes. False if it does not wait.
    pub(crate) fn unblock(&mut self, slot: Slot, how: Unblock) -> bool {
        let client = self.clients.at_mut(slot);
        if client.blocked.is_none() || client.unblocked.is_some() {
            return false;
        }
        client.unblocked = Some(how);
        client.signal.wake();
        true
    }

    /// Ends CLIENT PAUSE: connections that hold commands back go on.
    pub(crate) fn unpause(&mut self) {
        self.pause = None;
        for client in self.clients.iter() {
            client.signal.wake();
        }
    }

    /// Publishes a message; returns how many clients heard it.
    pub(crate) fn publish(&mut self, channel: &[u8], message: &[u8]) -> usize {
        self.pubsub.publish(&mut self.clients, channel, message)
    }

    /// Publishes a keyspace event, if its class is wanted.
    pub(crate) fn notify(&mut self, class: EventClasses, event: &str, db: u8, key: &[u8]) {
        let wanted = self.config.notify_keyspace_events;
        if !wanted.contains(class) {
            return;
        }
        if wanted.contains(EventClasses::KEYSPACE) {
            let channel = [format!("__keyspace@{db}__:").as_bytes(), key].concat();
            self.publish(&channel, event.as_bytes());
        }
        if wanted.contains(EventClasses::KEYEVENT) {
            self.publish(format!("__keyevent@{db}__:{event}").as_bytes(), key);
        }
    }
}

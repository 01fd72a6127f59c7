//! What connections share besides the engine: the clients themselves, who waits for what, who
//! watches what, subscriptions, parameters and statistics. One mutex guards it; it is taken after
//! the engine's lock and never before it.

use std::time::Duration;

use alluvium_engine::Lsn;

use crate::client::{Blocked, Clients, Slot, Unblock};
use crate::command::Table;
use crate::keyspace_events::EventClasses;
use crate::parameters::Config;
use crate::pubsub::PubSub;
use crate::refusal::Refusal;
use crate::stats::Stats;
use crate::waiters::{Ready, Waiters};
use crate::watches::Watches;

const UNBLOCKED: Refusal = Refusal::new("UNBLOCKED client unblocked via CLIENT UNBLOCK");

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
    pub(crate) fn new(config: Config) -> Self {
        Self {
            clients: Clients::default(),
            config,
            pubsub: PubSub::default(),
            waiters: Waiters::default(),
            watches: Watches::default(),
            stats: Stats::new(Table::shared().all().len()),
            pause: None,
            keeps_expired: false,
            monitors: Vec::new(),
        }
    }

    /// A connection ended: nothing names its slot any more.
    pub(crate) fn disconnect(&mut self, slot: Slot) {
        self.stop_waiting(slot);
        self.pubsub.forget(&mut self.clients, slot);
        self.watches.forget(&mut self.clients, slot);
        self.stop_monitoring(slot);
        self.clients.remove(slot);
    }

    /// MONITOR ends for a client.
    pub(crate) fn stop_monitoring(&mut self, slot: Slot) {
        self.monitors.retain(|monitor| *monitor != slot);
        self.clients.at_mut(slot).is_monitor = false;
    }

    /// Takes a client out of the lines of what it waits for.
    pub(crate) fn stop_waiting(&mut self, slot: Slot) -> Option<Blocked> {
        let blocked = self.clients.at_mut(slot).blocked.take()?;
        self.waiters.remove(slot, &blocked.block);
        Some(blocked)
    }

    /// Ends the wait of a client with a reply that says so. False if it does not wait.
    pub(crate) fn unblock(&mut self, slot: Slot, how: Unblock) -> bool {
        let Some(blocked) = self.stop_waiting(slot) else {
            return false;
        };
        let client = self.clients.at_mut(slot);
        let reply = &mut client.outbox.reply;
        reply.set_protocol(client.protocol);
        let mark = reply.mark();
        match how {
            Unblock::Timeout => reply.null_array(),
            Unblock::Error => {
                reply.error(&UNBLOCKED);
                self.stats.count_error(&UNBLOCKED);
            }
        }
        if client.is_silent() {
            client.outbox.reply.rewind(mark);
        }
        client.signal.wake();
        self.stats
            .count_call(blocked.command, Duration::ZERO, how == Unblock::Error);
        true
    }

    /// Sends what was posted on its way, once what it depends on is known.
    pub(crate) fn dispatch_posted(&mut self, depends: Lsn) {
        while let Some(slot) = self.clients.take_posted() {
            let client = self.clients.at_mut(slot);
            client.outbox.depends = client.outbox.depends.max(depends);
            let limit = self.config.client_output_buffer_limit[client.limit_class()].hard;
            if limit > 0 && client.outbox.reply.len() as u64 > limit {
                client.kill();
                self.stats.output_buffer_disconnections += 1;
            } else {
                client.signal.wake();
            }
        }
    }

    /// Ends connections that have been silent for longer than `timeout`.
    pub(crate) fn end_idle_clients(&mut self, now_ms: u64) {
        let idle_max_ms = u64::from(self.config.timeout) * 1000;
        if idle_max_ms == 0 {
            return;
        }
        for client in self.clients.iter_mut() {
            let may_be_silent =
                client.blocked.is_some() || client.is_subscribed() || client.is_monitor;
            if !may_be_silent && now_ms.saturating_sub(client.active_ms) > idle_max_ms {
                client.kill();
            }
        }
    }

    /// Ends connections whose outbox has been over the soft limit for too long.
    pub(crate) fn end_slow_readers(&mut self, now_ms: u64) {
        let limits = self.config.client_output_buffer_limit;
        for client in self.clients.iter_mut() {
            let limit = limits[client.limit_class()];
            if limit.soft == 0 || (client.outbox.reply.len() as u64) < limit.soft {
                client.output_over_soft_since_ms = None;
                continue;
            }
            let since_ms = *client.output_over_soft_since_ms.get_or_insert(now_ms);
            if now_ms.saturating_sub(since_ms) > limit.soft_seconds * 1000 {
                client.kill();
                self.stats.output_buffer_disconnections += 1;
            }
        }
    }

    /// Ends CLIENT PAUSE: connections that hold commands back go on.
    pub(crate) fn unpause(&mut self) {
        self.pause = None;
        for client in self.clients.iter() {
            client.signal.wake();
        }
    }

    /// A key was found expired, and is gone.
    pub(crate) fn expired(&mut self, db: u8, key: &[u8]) {
        self.stats.expired_keys += 1;
        self.notify(EventClasses::EXPIRED, "expired", db, key);
        self.watches.touched(&mut self.clients, db, key);
        self.waiters.ready(db, key, Ready::Groups);
    }

    /// Entries of a key went by themselves.
    pub(crate) fn retained(&mut self, db: u8, key: &[u8]) {
        self.notify(EventClasses::STREAM, "xtrim", db, key);
        self.watches.touched(&mut self.clients, db, key);
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

//! What the broker knows about each connection. All of it lives in the hub, so that CLIENT LIST,
//! CLIENT KILL, PUBLISH and the waking of waiters reach every client the same way.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use crate::command::{Block, Command};
use crate::reply::Reply;
use crate::resp::Protocol;
use crate::signal::Signal;
use alluvium_engine::Lsn;

/// A client's place in the hub. It is given to another client once its owner has gone; whatever
/// names a slot (waiters, subscriptions, watches) is cleared before that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Slot(u32);

/// What CLIENT REPLY asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ReplyMode {
    #[default]
    On,
    Off,
    /// The command that is running is CLIENT REPLY SKIP: the next one is silent.
    SkipNext,
    /// The command that is running is silent.
    Skip,
}

/// How CLIENT UNBLOCK ends a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unblock {
    /// As if its time were over.
    Timeout,
    /// With an error.
    Error,
}

/// A transaction between MULTI and EXEC.
#[derive(Default)]
pub(crate) struct Transaction {
    pub(crate) queued: Vec<(&'static Command, Vec<Vec<u8>>)>,
    /// Bytes of the queued arguments.
    pub(crate) bytes: usize,
    /// A command was refused when it was queued: EXEC answers EXECABORT.
    pub(crate) is_broken: bool,
}

/// What was written for a client by others: woken commands and published messages.
#[derive(Default)]
pub(crate) struct Outbox {
    pub(crate) reply: Reply,
    /// What the reply depends on.
    pub(crate) depends: Lsn,
}

/// One connection; see the module's description.
pub(crate) struct Client {
    pub(crate) id: u64,
    pub(crate) address: SocketAddr,
    pub(crate) local_address: SocketAddr,
    pub(crate) connected_ms: u64,
    /// When it last sent a command.
    pub(crate) active_ms: u64,
    pub(crate) name: Vec<u8>,
    pub(crate) lib_name: Vec<u8>,
    pub(crate) lib_version: Vec<u8>,
    pub(crate) db: u8,
    pub(crate) protocol: Protocol,
    pub(crate) is_authenticated: bool,
    pub(crate) last_command: Option<&'static Command>,
    pub(crate) commands: u64,
    pub(crate) reply_mode: ReplyMode,
    pub(crate) transaction: Option<Transaction>,
    /// A watched key was touched: EXEC answers null.
    pub(crate) is_dirty: bool,
    /// Keys under WATCH; `true` if the key had expired already when WATCH came.
    pub(crate) watched: Vec<(u8, Vec<u8>)>,
    pub(crate) channels: BTreeSet<Vec<u8>>,
    pub(crate) patterns: BTreeSet<Vec<u8>>,
    pub(crate) is_monitor: bool,
    pub(crate) no_evict: bool,
    /// CLIENT NO-TOUCH: commands do not change idle times.
    pub(crate) no_touch: bool,
    /// Set while commands run that must answer at once.
    pub(crate) denies_blocking: bool,
    /// The command that waits, if one does.
    pub(crate) blocked: Option<Block>,
    /// CLIENT UNBLOCK: the connection's task ends the wait this way.
    pub(crate) unblocked: Option<Unblock>,
    /// Replies that are written are followed by the end of the connection (QUIT, errors).
    pub(crate) closes_after_reply: bool,
    /// CLIENT KILL: the connection ends now.
    pub(crate) is_killed: bool,
    pub(crate) query_buffer_len: usize,
    pub(crate) query_buffer_capacity: usize,
    /// Bytes of replies that the client has not taken yet.
    pub(crate) output_len: usize,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) outbox: Outbox,
    /// Wakes the connection's task.
    pub(crate) signal: Arc<Signal>,
}

impl Client {
    /// Whether the client is in RESP2's subscribed state, where few commands are allowed.
    pub(crate) fn is_subscribed(&self) -> bool {
        !self.channels.is_empty() || !self.patterns.is_empty()
    }

    /// Takes a published message into the outbox and wakes the connection.
    pub(crate) fn receive(&mut self, pattern: Option<&[u8]>, channel: &[u8], message: &[u8]) {
        let reply = &mut self.outbox.reply;
        reply.set_protocol(self.protocol);
        if let Some(pattern) = pattern {
            reply.push(4);
            reply.bulk(b"pmessage");
            reply.bulk(pattern);
        } else {
            reply.push(3);
            reply.bulk(b"message");
        }
        reply.bulk(channel);
        reply.bulk(message);
        self.signal.wake();
    }

    /// Ends the connection as CLIENT KILL does.
    pub(crate) fn kill(&mut self) {
        self.is_killed = true;
        self.signal.wake();
    }
}

/// All connections.
#[derive(Default)]
pub(crate) struct Clients {
    slots: Vec<Option<Box<Client>>>,
    free: Vec<Slot>,
    by_id: HashMap<u64, Slot>,
}

impl Clients {
    /// The client in a slot that is in use.
    pub(crate) fn at(&self, slot: Slot) -> &Client {
        self.slots[slot.0 as usize]
            .as_deref()
            .expect("a named slot is in use")
    }

    /// The client in a slot that is in use.
    pub(crate) fn at_mut(&mut self, slot: Slot) -> &mut Client {
        self.slots[slot.0 as usize]
            .as_deref_mut()
            .expect("a named slot is in use")
    }

    /// The slot of a client ID.
    pub(crate) fn slot_of(&self, id: u64) -> Option<Slot> {
        self.by_id.get(&id).copied()
    }

    /// Number of connections.
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// All clients, those that connected first first.
    pub(crate) fn in_order(&self) -> Vec<Slot> {
        let mut slots: Vec<Slot> = self.by_id.values().copied().collect();
        slots.sort_unstable_by_key(|slot| self.at(*slot).id);
        slots
    }

    /// All clients in no particular order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Client> {
        self.slots.iter().filter_map(|slot| slot.as_deref())
    }

    pub(crate) fn insert(&mut self, client: Box<Client>) -> Slot {
        let id = client.id;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            Slot(u32::try_from(self.slots.len() - 1).expect("connections are limited"))
        });
        self.slots[slot.0 as usize] = Some(client);
        self.by_id.insert(id, slot);
        slot
    }

    pub(crate) fn remove(&mut self, slot: Slot) -> Option<Box<Client>> {
        let client = self.slots[slot.0 as usize].take()?;
        self.by_id.remove(&client.id);
        self.free.push(slot);
        Some(client)
    }
}

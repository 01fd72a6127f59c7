//! What the broker knows about each connection. All of it lives in the hub, so that CLIENT LIST,
//! CLIENT KILL, PUBLISH and the waking of waiters reach every client the same way.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

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

/// A command that waits.
pub(crate) struct Blocked {
    pub(crate) block: Block,
    pub(crate) command: &'static Command,
}

/// What was written for a client by others: woken commands and published messages.
#[derive(Default)]
pub(crate) struct Outbox {
    pub(crate) reply: Reply,
    /// What the reply depends on.
    pub(crate) depends: Lsn,
    /// Whether the client is among those that [`Clients::take_posted`] returns next.
    is_posted: bool,
}

/// One connection; see the module's description.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a claim of its own about the client"
)]
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
    pub(crate) blocked: Option<Blocked>,
    /// What its replies so far depended on: what it wrote and what it saw.
    pub(crate) depends: Lsn,
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
    /// Since when the outbox has been over the soft limit.
    pub(crate) output_over_soft_since_ms: Option<u64>,
    /// Wakes the connection's task.
    pub(crate) signal: Arc<Signal>,
}

impl Client {
    /// A connection that has just been made.
    pub(crate) fn new(address: SocketAddr, local_address: SocketAddr, now_ms: u64) -> Self {
        Self {
            id: 0,
            address,
            local_address,
            connected_ms: now_ms,
            active_ms: now_ms,
            name: Vec::new(),
            lib_name: Vec::new(),
            lib_version: Vec::new(),
            db: 0,
            protocol: Protocol::Resp2,
            is_authenticated: false,
            last_command: None,
            commands: 0,
            reply_mode: ReplyMode::On,
            transaction: None,
            is_dirty: false,
            watched: Vec::new(),
            channels: BTreeSet::new(),
            patterns: BTreeSet::new(),
            is_monitor: false,
            no_evict: false,
            no_touch: false,
            denies_blocking: false,
            blocked: None,
            depends: Lsn::ZERO,
            closes_after_reply: false,
            is_killed: false,
            query_buffer_len: 0,
            query_buffer_capacity: 0,
            output_len: 0,
            bytes_in: 0,
            bytes_out: 0,
            outbox: Outbox::default(),
            output_over_soft_since_ms: None,
            signal: Arc::new(Signal::default()),
        }
    }

    /// How long the blocked command still waits for its time to be over or for another try; `None`
    /// is for ever.
    pub(crate) fn time_left(&self, now_ms: u64) -> Option<Duration> {
        let block = &self.blocked.as_ref()?.block;
        let next_ms = block.deadline_ms.into_iter().chain(block.retry_ms).min()?;
        Some(Duration::from_millis(next_ms.saturating_sub(now_ms)))
    }

    /// Whether the reply of the command that has just run is dropped, because the client asked for
    /// silence.
    pub(crate) fn is_silent(&mut self) -> bool {
        match self.reply_mode {
            ReplyMode::On | ReplyMode::SkipNext => false,
            ReplyMode::Off => true,
            ReplyMode::Skip => {
                self.reply_mode = ReplyMode::On;
                true
            }
        }
    }

    /// Whether the client is in RESP2's subscribed state, where few commands are allowed.
    pub(crate) fn is_subscribed(&self) -> bool {
        !self.channels.is_empty() || !self.patterns.is_empty()
    }

    /// Which of the output limits holds: 0 for normal clients, 2 for subscribed ones.
    pub(crate) fn limit_class(&self) -> usize {
        if self.is_subscribed() { 2 } else { 0 }
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
    next_id: u64,
    /// Who got messages from the command that is running.
    posted: Vec<Slot>,
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

    /// All clients in no particular order.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Client> {
        self.slots.iter_mut().filter_map(|slot| slot.as_deref_mut())
    }

    /// Takes a new connection in; the ID that it carries is replaced by the next free one.
    pub(crate) fn insert(&mut self, mut client: Box<Client>) -> Slot {
        self.next_id += 1;
        let id = self.next_id;
        client.id = id;
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
        self.posted.retain(|posted| *posted != slot);
        self.free.push(slot);
        Some(client)
    }

    /// Writes a message into a client's outbox. It leaves when the command that runs is settled.
    pub(crate) fn post(&mut self, slot: Slot, write: impl FnOnce(&mut Reply)) {
        let client = self.at_mut(slot);
        client.outbox.reply.set_protocol(client.protocol);
        write(&mut client.outbox.reply);
        if !client.outbox.is_posted {
            client.outbox.is_posted = true;
            self.posted.push(slot);
        }
    }

    /// Those who got messages since this was last called, one by one.
    pub(crate) fn take_posted(&mut self) -> Option<Slot> {
        let slot = self.posted.pop()?;
        self.at_mut(slot).outbox.is_posted = false;
        Some(slot)
    }
}

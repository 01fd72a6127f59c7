//! The command table: every command the broker knows, one file a family.
//!
//! A [`Spec`] says what a command is (arity, flags, keys, documentation) and which [`Handler`] runs
//! it. The families' `SPECS` are joined once into a [`Table`] that finds a command by name without
//! allocating, whatever the letters' case. A handler runs under the engine's lock and the hub's:
//! it never waits. What must wait comes back as a [`Flow`].
#![expect(
    clippy::unnecessary_wraps,
    reason = "every handler has the same signature"
)]

mod absent;
mod arg;
mod categories;
mod client;
mod client_filter;
mod command_keys;
mod config;
mod connection;
mod debug;
mod deletions;
#[cfg(test)]
mod documentation;
mod dump;
mod expiry;
mod groups;
mod help;
mod info;
mod info_stats;
mod introspection;
mod keys;
mod latency;
mod nack;
mod object;
mod once;
mod others;
mod own;
mod pending;
mod pubsub;
mod read_budget;
mod read_request;
mod reads;
mod retention;
mod server;
mod slowlog;
mod streams;
mod syntax;
mod table;
mod transaction;
mod trim;
mod xinfo;

pub(crate) use others::refusal as refusal_of_other_type;
pub(crate) use table::{Command, Table};

use std::sync::Arc;

use crate::Server;
use crate::client::{Client, Slot};
use crate::execute::Stopwatch;
use crate::hub::Hub;
use crate::keyspace_events::EventClasses;
use crate::refusal::Refusal;
use crate::reply::Reply;
use crate::waiters::Ready;
use alluvium_engine::{Batch, ColdBlocks};

/// What a command may do and what it may be done to; the names are those of COMMAND INFO.
pub(crate) mod flag {
    pub(crate) const WRITE: u32 = 1 << 0;
    pub(crate) const READONLY: u32 = 1 << 1;
    pub(crate) const DENYOOM: u32 = 1 << 2;
    pub(crate) const ADMIN: u32 = 1 << 3;
    pub(crate) const PUBSUB: u32 = 1 << 4;
    pub(crate) const NOSCRIPT: u32 = 1 << 5;
    pub(crate) const BLOCKING: u32 = 1 << 6;
    pub(crate) const LOADING: u32 = 1 << 7;
    pub(crate) const STALE: u32 = 1 << 8;
    pub(crate) const SKIP_MONITOR: u32 = 1 << 9;
    pub(crate) const SKIP_SLOWLOG: u32 = 1 << 10;
    pub(crate) const FAST: u32 = 1 << 11;
    /// Allowed before AUTH.
    pub(crate) const NO_AUTH: u32 = 1 << 12;
    pub(crate) const MAY_REPLICATE: u32 = 1 << 13;
    /// Refused between MULTI and EXEC.
    pub(crate) const NO_MULTI: u32 = 1 << 14;
    pub(crate) const MOVABLEKEYS: u32 = 1 << 15;
    pub(crate) const ALLOW_BUSY: u32 = 1 << 16;
    pub(crate) const NO_ASYNC_LOADING: u32 = 1 << 17;
    /// Runs at once between MULTI and EXEC instead of being queued.
    pub(crate) const NOT_QUEUED: u32 = 1 << 18;
    /// Allowed to a RESP2 client that is subscribed.
    pub(crate) const WHILE_SUBSCRIBED: u32 = 1 << 19;

    /// Refused unless `enable-debug-command` allows it.
    pub(crate) const PROTECTED: u32 = 1 << 20;
    /// Runs what was queued: EXEC.
    pub(crate) const EXECUTES: u32 = 1 << 21;

    /// The flags that COMMAND INFO shows, with their names, in its order.
    pub(crate) const NAMES: &[(u32, &str)] = &[
        (WRITE, "write"),
        (READONLY, "readonly"),
        (DENYOOM, "denyoom"),
        (ADMIN, "admin"),
        (PUBSUB, "pubsub"),
        (NOSCRIPT, "noscript"),
        (BLOCKING, "blocking"),
        (LOADING, "loading"),
        (STALE, "stale"),
        (SKIP_MONITOR, "skip_monitor"),
        (SKIP_SLOWLOG, "skip_slowlog"),
        (FAST, "fast"),
        (NO_AUTH, "no_auth"),
        (MAY_REPLICATE, "may_replicate"),
        (NO_MULTI, "no_multi"),
        (MOVABLEKEYS, "movablekeys"),
        (ALLOW_BUSY, "allow_busy"),
        (NO_ASYNC_LOADING, "no_async_loading"),
    ];
}

/// Where a command's keys stand among its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeySpec {
    /// The command has no keys.
    None,
    /// Keys from `first` to `last` (negative: from the end), every `step` arguments.
    Range { first: i32, last: i32, step: i32 },
    /// Keys follow the word STREAMS, as many as IDs behind them.
    Streams,
}

impl KeySpec {
    /// One key, the first argument.
    pub(crate) const FIRST: Self = Self::at(1);

    /// One key at the given position.
    pub(crate) const fn at(position: i32) -> Self {
        Self::Range {
            first: position,
            last: position,
            step: 1,
        }
    }
}

/// The family of a command as COMMAND DOCS names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    Connection,
    Generic,
    PubSub,
    Scripting,
    Server,
    Stream,
    String,
    Transactions,
}

impl Group {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Generic => "generic",
            Self::PubSub => "pubsub",
            Self::Scripting => "scripting",
            Self::Server => "server",
            Self::Stream => "stream",
            Self::String => "string",
            Self::Transactions => "transactions",
        }
    }
}

/// Runs a command. `args[0]` is the command's name as it was sent.
///
/// A refusal discards whatever the handler wrote into the reply.
pub(crate) type Handler = fn(&mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal>;

/// A command or subcommand: everything that is known about it without running it.
pub(crate) struct Spec {
    /// Lower case; a subcommand's own word only, e.g. `create`.
    pub(crate) name: &'static str,
    /// Number of arguments with the name; negative: at least that many. A subcommand counts its
    /// container's name too.
    pub(crate) arity: i32,
    pub(crate) flags: u32,
    pub(crate) keys: KeySpec,
    pub(crate) group: Group,
    pub(crate) since: &'static str,
    pub(crate) complexity: &'static str,
    pub(crate) summary: &'static str,
    /// The arguments behind the name, in the notation of the documentation.
    pub(crate) syntax: &'static str,
    pub(crate) handler: Handler,
    /// Not empty: the first argument chooses one of these, and `handler` runs only if the command
    /// is sent alone.
    pub(crate) subcommands: &'static [Spec],
}

impl Spec {
    /// To be completed with `..Spec::BASE`.
    pub(crate) const BASE: Self = Self {
        name: "",
        arity: 0,
        flags: 0,
        keys: KeySpec::None,
        group: Group::Server,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "",
        syntax: "",
        handler: needs_subcommand,
        subcommands: &[],
    };

    pub(crate) const fn has(&self, flags: u32) -> bool {
        self.flags & flags != 0
    }
}

/// How a command ended.
pub(crate) enum Flow {
    /// The reply is written.
    Done,
    /// Nothing to reply yet: the client waits. Never returned when [`Ctx::may_block`] is false.
    Block(Block),
    /// The rest of the command needs time or the engine's lock for itself: it runs when both locks
    /// are free, before the client's next command, and writes the reply. Refused inside MULTI.
    Outside(Outside),
    /// Blocks have to be loaded first, without the locks; nothing was done or replied, and the
    /// command is to run again. Made of a refusal by the execution only.
    Cold(Box<ColdBlocks>),
}

/// Work of a command outside of the locks; see [`Flow::Outside`].
pub(crate) type Outside = Box<dyn FnOnce(&Server, &mut Reply) -> Result<(), Refusal> + Send>;

/// A client that waits for keys.
pub(crate) struct Block {
    pub(crate) db: u8,
    pub(crate) keys: Vec<Vec<u8>>,
    /// Wall-clock milliseconds; `None` waits for ever. Ignored when a waiter is woken in vain: it
    /// keeps the deadline (and the place in line) with which it blocked first.
    pub(crate) deadline_ms: Option<u64>,
    /// When to run again although no key became ready: there will be something to claim.
    pub(crate) retry_ms: Option<u64>,
    pub(crate) kind: WaitKind,
    /// The command to run again at each wake, with `$` already replaced by what it meant.
    pub(crate) command: Vec<Vec<u8>>,
}

/// What wakes a waiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitKind {
    /// XREAD: entries only.
    Read,
    /// XREADGROUP: also the removal of the key or of the group.
    Group,
    /// XREADGROUP with CLAIM: also what happens to pending entries, and their growing old.
    Claim,
}

/// What a handler works with.
pub(crate) struct Ctx<'a, 'e> {
    /// The engine, locked; time stands still in it for the whole command or MULTI.
    pub(crate) batch: &'a mut Batch<'e>,
    /// What the connections share.
    pub(crate) hub: &'a mut Hub,
    pub(crate) reply: &'a mut Reply,
    pub(crate) server: &'a Arc<Server>,
    /// The command being run (the subcommand, if it is one).
    pub(crate) command: &'static Command,
    /// Who runs it.
    pub(crate) slot: Slot,
    /// True inside EXEC, where nothing may wait.
    pub(crate) in_exec: bool,
    /// True when a blocked command runs again.
    pub(crate) is_wake: bool,
    pub(crate) stopwatch: &'a mut Stopwatch,
}

impl Ctx<'_, '_> {
    /// The client that runs the command.
    pub(crate) fn client(&self) -> &Client {
        self.hub.clients.at(self.slot)
    }

    /// The client that runs the command.
    pub(crate) fn client_mut(&mut self) -> &mut Client {
        self.hub.clients.at_mut(self.slot)
    }

    /// The database that the client has selected.
    pub(crate) fn db(&self) -> u8 {
        self.client().db
    }

    /// False where a command that would block answers as if its time were over.
    pub(crate) fn may_block(&self) -> bool {
        !self.in_exec && !self.client().denies_blocking
    }

    /// A key changed: EXEC of those who WATCH it will answer null.
    pub(crate) fn touched(&mut self, db: u8, key: &[u8]) {
        self.hub.watches.touched(&mut self.hub.clients, db, key);
    }

    /// A key changed and may hold entries that somebody waits for (XADD, RENAME onto it, ...).
    /// Waiters run after this command, or after the whole MULTI.
    pub(crate) fn ready(&mut self, db: u8, key: &[u8]) {
        self.touched(db, key);
        self.hub.waiters.ready(db, key, Ready::Everyone);
    }

    /// A key, or a group in it, is gone (DEL, RENAME away, XGROUP DESTROY, expiry): waiters of
    /// groups run and find out.
    pub(crate) fn gone(&mut self, db: u8, key: &[u8]) {
        self.touched(db, key);
        self.hub.waiters.ready(db, key, Ready::Groups);
    }

    /// Everything in a database changed (FLUSHDB: `gone` for each key that is watched or waited
    /// for); `None` is all databases. To be called before the keys are removed, because a key
    /// that did not exist is not touched by its removal.
    pub(crate) fn flushed(&mut self, db: Option<u8>) {
        let Hub {
            watches,
            clients,
            waiters,
            ..
        } = &mut *self.hub;
        watches.all_touched(clients, self.batch, |at| db.is_none_or(|db| at == db));
        waiters.all_ready(|at| db.is_none_or(|db| at == db));
    }

    /// Two databases changed places. To be called before they do.
    pub(crate) fn swapped(&mut self, a: u8, b: u8) {
        let Hub {
            watches,
            clients,
            waiters,
            ..
        } = &mut *self.hub;
        watches.all_swapped(clients, self.batch, a, b);
        waiters.all_ready(|db| db == a || db == b);
    }

    /// Tells everyone about the keys that were found expired.
    pub(crate) fn announce_expired(&mut self) {
        for (db, key) in self.batch.take_expired() {
            self.hub.expired(db, &key);
        }
    }

    /// Publishes a keyspace event, if `notify-keyspace-events` asks for its class.
    pub(crate) fn notify(&mut self, class: EventClasses, event: &str, db: u8, key: &[u8]) {
        self.hub.notify(class, event, db, key);
    }
}

/// The handler of a command that means nothing without a subcommand.
fn needs_subcommand(ctx: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    Err(Refusal::wrong_arity(ctx.command.full_name()))
}

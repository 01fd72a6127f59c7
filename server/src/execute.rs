//! One hop to the engine: requests of a connection run under the engine's lock, one after the
//! other.
//!
//! A [`Turn`] holds the engine's lock and the hub's. Each request is admitted, and then run, queued
//! or refused. Behind each command its frame is closed, keys found expired are announced, and
//! waiters whose keys became ready run, in the order in which they blocked. What the replies depend
//! on is collected; the connection waits for it when the locks are free again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use alluvium_engine::limits::KEYS_AT_ONCE;
use alluvium_engine::{Batch, ColdBlocks, Lsn};
use parking_lot::MutexGuard;

use crate::Server;
use crate::admission::{Admission, admit};
use crate::client::{Blocked, ReplyMode, Slot, Unblock};
use crate::command::{Block, Command, Ctx, Flow, Outside, flag};
use crate::hub::Hub;
use crate::refusal::Refusal;
use crate::reply::{Mark, Reply};
use crate::resp::decode::Decoder;

/// Requests that run before the locks are given to others.
const REQUESTS_MAX: usize = 256;
/// Arguments of most commands fit; more are collected on the heap.
const ARGUMENTS_AT_HAND: usize = 32;

/// Why a connection's requests do not go on at once.
pub(crate) enum Stop {
    /// All that was decoded ran, or the locks are due for others.
    Pause,
    /// The client waits, for ever or for some time.
    Blocked(Option<Duration>),
    /// CLIENT PAUSE holds the next request back for that long.
    HeldBack(Duration),
    /// The rest of the command runs without the locks.
    Outside(Outside),
    /// The request runs again with these blocks.
    Cold(Box<ColdBlocks>),
    /// The connection ends when the replies are written.
    Close,
}

/// The time of a turn: one reading of the clock a command.
pub(crate) struct Stopwatch {
    began: Instant,
    began_ms: u64,
    last: Instant,
}

impl Stopwatch {
    fn start(now_ms: u64) -> Self {
        let now = Instant::now();
        Self {
            began: now,
            began_ms: now_ms,
            last: now,
        }
    }

    /// The last reading.
    pub(crate) fn last(&self) -> Instant {
        self.last
    }

    /// Wall-clock time of the last reading.
    pub(crate) fn wall(&self) -> Duration {
        Duration::from_millis(self.began_ms) + (self.last - self.began)
    }

    fn wall_ms(&self) -> u64 {
        u64::try_from(self.wall().as_millis()).unwrap_or(u64::MAX)
    }

    /// Reads the clock; the time since an earlier reading.
    fn since(&mut self, earlier: Instant) -> Duration {
        self.last = Instant::now();
        self.last - earlier
    }
}

/// See the module's description.
pub(crate) struct Turn<'s> {
    server: &'s Arc<Server>,
    // Fields are dropped in this order: the locks in the reverse order of taking them.
    hub: MutexGuard<'s, Hub>,
    batch: Batch<'s>,
    stopwatch: Stopwatch,
    depends: Lsn,
}

impl<'s> Turn<'s> {
    pub(crate) fn begin(server: &'s Arc<Server>) -> Self {
        let batch = server.engine.lock();
        let hub = server.hub.lock();
        let stopwatch = Stopwatch::start(batch.now_ms());
        Self {
            server,
            hub,
            batch,
            stopwatch,
            depends: Lsn::ZERO,
        }
    }

    /// What the replies so far depend on.
    pub(crate) fn depends(&self) -> Lsn {
        self.depends
    }

    pub(crate) fn batch(&mut self) -> &mut Batch<'s> {
        &mut self.batch
    }

    pub(crate) fn hub(&mut self) -> &mut Hub {
        &mut self.hub
    }

    /// Runs decoded requests of a client.
    pub(crate) fn run(
        &mut self,
        slot: Slot,
        decoder: &mut Decoder,
        input: &[u8],
        reply: &mut Reply,
    ) -> Stop {
        self.collect_outbox(slot, reply);
        let mut at_hand: [&[u8]; ARGUMENTS_AT_HAND] = [b""; ARGUMENTS_AT_HAND];
        for ran in 0..REQUESTS_MAX {
            if ran % KEYS_AT_ONCE == 0 {
                self.warm(slot, decoder, input);
            }
            let Some(spans) = decoder.take() else { break };
            let many: Vec<&[u8]>;
            let args = if let Some(few) = at_hand.get_mut(..spans.len()) {
                for (arg, span) in few.iter_mut().zip(spans) {
                    *arg = &input[span.clone()];
                }
                &*few
            } else {
                many = spans.iter().map(|span| &input[span.clone()]).collect();
                &many
            };
            let stop = self.request(slot, args, reply);
            self.collect_outbox(slot, reply);
            match stop {
                None => {}
                Some(stop @ (Stop::HeldBack(_) | Stop::Cold(_))) => {
                    decoder.put_back();
                    return stop;
                }
                Some(stop) => return stop,
            }
        }
        Stop::Pause
    }

    /// Looks up what the next requests name, which is nearly always behind the first word. The
    /// processor fetches what several look-ups need at the same time, and it is there when the
    /// requests run one after the other.
    fn warm(&mut self, slot: Slot, decoder: &Decoder, input: &[u8]) {
        if decoder.waiting().len() < 2 {
            return;
        }
        let mut keys: [&[u8]; KEYS_AT_ONCE] = [b""; KEYS_AT_ONCE];
        let mut count = 0;
        for spans in decoder.waiting().take(KEYS_AT_ONCE) {
            let key = spans.get(1).map_or(&[][..], |span| &input[span.clone()]);
            if count == 0 || key != keys[count - 1] {
                keys[count] = key;
                count += 1;
            }
        }
        if count > 1 {
            let db = self.hub.clients.at(slot).db;
            self.batch.warm(db, &keys[..count]);
        }
    }

    /// Messages for the client itself follow the reply of the command that sent them.
    fn collect_outbox(&mut self, slot: Slot, reply: &mut Reply) {
        let outbox = &mut self.hub.clients.at_mut(slot).outbox;
        if !outbox.reply.is_empty() {
            reply.append(&mut outbox.reply);
            self.depends = self.depends.max(outbox.depends);
        }
    }

    fn request(&mut self, slot: Slot, args: &[&[u8]], reply: &mut Reply) -> Option<Stop> {
        let now_ms = self.stopwatch.wall_ms();
        let client = self.hub.clients.at_mut(slot);
        client.active_ms = now_ms;
        client.commands += 1;
        if client.reply_mode == ReplyMode::SkipNext {
            client.reply_mode = ReplyMode::Skip;
        }
        reply.set_protocol(client.protocol);
        let mark = reply.mark();
        let stop = match admit(&mut self.hub, slot, args, now_ms) {
            Admission::HoldBack(duration) => return Some(Stop::HeldBack(duration)),
            Admission::Run(command) => self.call((command, now_ms), slot, args, reply),
            Admission::Queue(command) => {
                self.queue(command, slot, args, reply);
                None
            }
            Admission::Refuse(refusal, command) => {
                self.reject(slot, &refusal, command, reply);
                None
            }
            Admission::HangUp => {
                // Whoever it is does not speak our protocol: replies are not meant for it.
                reply.clear();
                return Some(Stop::Close);
            }
        };
        let client = self.hub.clients.at_mut(slot);
        if let Some(Stop::Cold(_)) = stop {
            client.commands -= 1;
            return stop;
        }
        if client.is_silent() {
            reply.rewind(mark);
        }
        reply.end_command(mark);
        if client.closes_after_reply {
            Some(Stop::Close)
        } else {
            stop
        }
    }

    /// Runs a command on the engine at a time, and whatever waited for what it did.
    fn call(
        &mut self,
        (command, now_ms): (&'static Command, u64),
        slot: Slot,
        args: &[&[u8]],
        reply: &mut Reply,
    ) -> Option<Stop> {
        self.batch.set_now(now_ms);
        self.hub.clients.at_mut(slot).last_command = Some(command);
        if !command.spec.has(flag::EXECUTES) {
            self.batch.ask_for_blocks();
        }
        let mut ctx = self.context(command, slot, reply);
        let flow = invoke(&mut ctx, args);
        let lsn = self.finish_command();
        self.depends = self.depends.max(lsn);
        let client = self.hub.clients.at_mut(slot);
        client.depends = client.depends.max(lsn);
        let stop = match flow {
            Flow::Done => None,
            Flow::Block(block) => Some(self.block(command, slot, block, now_ms)),
            Flow::Outside(work) => Some(Stop::Outside(work)),
            Flow::Cold(cold) => Some(Stop::Cold(cold)),
        };
        self.serve_waiters();
        stop
    }

    /// Holds blocks that were loaded for the command that runs next.
    pub(crate) fn resume(&mut self, cold: Box<ColdBlocks>) {
        self.batch.resume(cold);
    }

    fn context<'a>(
        &'a mut self,
        command: &'static Command,
        slot: Slot,
        reply: &'a mut Reply,
    ) -> Ctx<'a, 's> {
        Ctx {
            batch: &mut self.batch,
            hub: &mut self.hub,
            reply,
            server: self.server,
            command,
            slot,
            in_exec: false,
            is_wake: false,
            stopwatch: &mut self.stopwatch,
        }
    }

    fn block(&mut self, command: &'static Command, slot: Slot, block: Block, now_ms: u64) -> Stop {
        self.hub.waiters.insert(slot, &block);
        let client = self.hub.clients.at_mut(slot);
        client.blocked = Some(Blocked { block, command });
        Stop::Blocked(client.time_left(now_ms))
    }

    /// Closes a command's frame; returns what its reply depends on.
    pub(crate) fn finish_command(&mut self) -> Lsn {
        let hub = &mut *self.hub;
        for (db, key) in self.batch.take_expired() {
            hub.expired(db, &key);
        }
        for (db, key) in self.batch.take_retained() {
            hub.retained(db, &key);
        }
        let lsn = self.batch.end_command();
        hub.dispatch_posted(lsn);
        lsn
    }

    /// Runs the commands that wait for keys that became ready.
    pub(crate) fn serve_waiters(&mut self) {
        while self.hub.waiters.has_ready() {
            for slot in self.hub.waiters.next_ready().unwrap_or_default() {
                // Its own connection loads what it lacks, and wakes it again.
                drop(self.wake(slot));
            }
        }
    }

    /// The time of a waiting command is over, or it is time to run it again; what that lacks.
    pub(crate) fn time_is_up(&mut self, slot: Slot) -> Option<Box<ColdBlocks>> {
        let now_ms = self.stopwatch.wall_ms();
        let blocked = self.hub.clients.at_mut(slot).blocked.as_ref();
        let is_retry = blocked.is_some_and(|blocked| {
            let deadline_ms = blocked.block.deadline_ms;
            blocked.block.retry_ms.is_some() && deadline_ms.is_none_or(|at_ms| at_ms > now_ms)
        });
        if is_retry {
            self.batch.set_now(now_ms);
            let cold = self.wake(slot);
            self.serve_waiters();
            cold
        } else {
            self.hub.unblock(slot, Unblock::Timeout);
            None
        }
    }

    /// Runs a waiting command again. One that finds nothing keeps waiting, in its place; so does
    /// one that lacks blocks, which are returned, and its time to try again has come.
    fn wake(&mut self, slot: Slot) -> Option<Box<ColdBlocks>> {
        let client = self.hub.clients.at_mut(slot);
        let mut blocked = client.blocked.take()?;
        let mut reply = std::mem::take(&mut client.outbox.reply);
        reply.set_protocol(client.protocol);
        let mark = reply.mark();
        let args: Vec<&[u8]> = blocked.block.command.iter().map(Vec::as_slice).collect();
        self.batch.ask_for_blocks();
        let now_ms = self.batch.now_ms();
        let mut ctx = self.context(blocked.command, slot, &mut reply);
        ctx.is_wake = true;
        let flow = invoke(&mut ctx, &args);
        let lsn = self.finish_command();
        let hub = &mut *self.hub;
        let client = hub.clients.at_mut(slot);
        let (retry_ms, cold) = match flow {
            Flow::Block(again) => (Some(again.retry_ms), None),
            Flow::Cold(cold) => (Some(Some(now_ms)), Some(cold)),
            Flow::Done | Flow::Outside(_) => (None, None),
        };
        if let Some(retry_ms) = retry_ms {
            if blocked.block.retry_ms != retry_ms {
                blocked.block.retry_ms = retry_ms;
                client.signal.wake();
            }
            client.blocked = Some(blocked);
        } else {
            hub.waiters.remove(slot, &blocked.block);
            if client.is_silent() {
                reply.rewind(mark);
            }
            reply.end_command(mark);
            client.outbox.depends = client.outbox.depends.max(lsn);
            client.depends = client.depends.max(lsn);
            client.signal.wake();
        }
        reply.append(&mut client.outbox.reply);
        client.outbox.reply = reply;
        cold
    }

    fn queue(&mut self, command: &'static Command, slot: Slot, args: &[&[u8]], reply: &mut Reply) {
        let limit = self.hub.config.client_query_buffer_limit;
        let client = self.hub.clients.at_mut(slot);
        let transaction = client.transaction.get_or_insert_default();
        let bytes: usize = args.iter().map(|arg| arg.len()).sum();
        if (transaction.bytes + bytes) as u64 > limit {
            let refusal = Refusal::new("ERR the transaction is larger than a query buffer may be");
            self.reject(slot, &refusal, Some(command), reply);
            return;
        }
        transaction.bytes += bytes;
        if !transaction.is_broken {
            let args = args.iter().map(|arg| arg.to_vec()).collect();
            transaction.queued.push((command, args));
        }
        reply.simple("QUEUED");
    }

    /// Refuses a request that did not run; a transaction that it was meant for is broken, or, if it
    /// was EXEC, over.
    fn reject(
        &mut self,
        slot: Slot,
        refusal: &Refusal,
        command: Option<&'static Command>,
        reply: &mut Reply,
    ) {
        let hub = &mut *self.hub;
        let is_exec = command.is_some_and(|it| it.spec.has(flag::EXECUTES));
        let aborted = is_exec.then(|| {
            hub.clients.at_mut(slot).transaction = None;
            hub.watches.forget(&mut hub.clients, slot);
            let text = refusal.text();
            let reason = text.strip_prefix(b"ERR ").unwrap_or(text);
            Refusal::quoting(&[b"EXECABORT Transaction discarded because of: ", reason])
        });
        let refusal = aborted.as_ref().unwrap_or(refusal);
        if let Some(transaction) = &mut hub.clients.at_mut(slot).transaction {
            transaction.is_broken = true;
        }
        hub.stats.count_error(refusal);
        if let Some(command) = command {
            hub.stats.commands[command.index()].rejected += 1;
        }
        reply.error(refusal);
    }
}

/// Runs a handler: its refusal becomes the reply, and its call is counted.
pub(crate) fn invoke(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Flow {
    let mark = ctx.reply.mark();
    let began = ctx.stopwatch.last();
    let looked = ctx.hub.stats.looked();
    let result = (ctx.command.spec.handler)(ctx, args);
    if result.is_err()
        && let Some(cold) = ctx.batch.take_cold()
    {
        ctx.reply.rewind(mark);
        ctx.hub.stats.set_looked(looked);
        return Flow::Cold(cold);
    }
    // Behind the command, so that EXEC is shown behind what it ran.
    if !ctx.hub.monitors.is_empty() && !ctx.is_wake {
        crate::feed::monitors(ctx, args);
    }
    let is_failed = result.is_err();
    let flow = result.unwrap_or_else(|refusal| refuse(ctx, mark, &refusal));
    let flow = match flow {
        Flow::Outside(_) if ctx.in_exec => {
            let refusal = Refusal::new("ERR Command not allowed inside a transaction");
            refuse(ctx, mark, &refusal)
        }
        flow => flow,
    };
    let took = ctx.stopwatch.since(began);
    if !matches!(flow, Flow::Block(_)) {
        ctx.hub.stats.count_call(ctx.command, took, is_failed);
        crate::feed::slow(ctx, args, took);
    }
    flow
}

fn refuse(ctx: &mut Ctx<'_, '_>, mark: Mark, refusal: &Refusal) -> Flow {
    ctx.reply.rewind(mark);
    ctx.reply.error(refusal);
    ctx.hub.stats.count_error(refusal);
    Flow::Done
}

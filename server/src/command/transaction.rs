//! MULTI, EXEC, DISCARD, WATCH, UNWATCH.
//!
//! Commands between MULTI and EXEC are queued by the execution. EXEC runs them as one command: one
//! frame in the log, one time, and waiters are served behind the last one.

use super::flag::{ALLOW_BUSY, EXECUTES, FAST, LOADING, NOSCRIPT, NOT_QUEUED, SKIP_SLOWLOG, STALE};
use super::{Ctx, Flow, Group, KeySpec, Spec};
use crate::client::Transaction;
use crate::execute::invoke;
use crate::refusal::Refusal;

const BASE: Spec = Spec {
    group: Group::Transactions,
    since: "1.2.0",
    flags: NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY,
    ..Spec::BASE
};

pub(crate) static SPECS: &[Spec] = &[
    Spec {
        name: "multi",
        arity: 1,
        flags: BASE.flags | NOT_QUEUED,
        summary: "Begins a transaction: the commands that follow are queued.",
        handler: multi,
        ..BASE
    },
    Spec {
        name: "exec",
        arity: 1,
        flags: NOSCRIPT | LOADING | STALE | NOT_QUEUED | EXECUTES | SKIP_SLOWLOG,
        complexity: "Depends on the commands",
        summary: "Runs the queued commands, all or none of which survive a crash.",
        handler: exec,
        ..BASE
    },
    Spec {
        name: "discard",
        arity: 1,
        flags: BASE.flags | NOT_QUEUED,
        since: "2.0.0",
        complexity: "O(N) for N queued commands",
        summary: "Drops the queued commands.",
        handler: discard,
        ..BASE
    },
    Spec {
        name: "watch",
        arity: -2,
        flags: BASE.flags | NOT_QUEUED,
        keys: KeySpec::Range {
            first: 1,
            last: -1,
            step: 1,
        },
        since: "2.2.0",
        complexity: "O(1) for each key",
        summary: "Makes the next EXEC do nothing if one of the keys changes before it.",
        syntax: "key [key ...]",
        handler: watch,
        ..BASE
    },
    Spec {
        name: "unwatch",
        arity: 1,
        since: "2.2.0",
        summary: "Ends all watches.",
        handler: unwatch,
        ..BASE
    },
];

fn multi(ctx: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    let client = ctx.client_mut();
    if client.transaction.is_some() {
        return Err(Refusal::new("ERR MULTI calls can not be nested"));
    }
    client.transaction = Some(Transaction::default());
    ctx.reply.ok();
    Ok(Flow::Done)
}

fn discard(ctx: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    if ctx.client_mut().transaction.take().is_none() {
        return Err(Refusal::new("ERR DISCARD without MULTI"));
    }
    forget_watches(ctx);
    ctx.reply.ok();
    Ok(Flow::Done)
}

fn watch(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    if ctx.client().transaction.is_some() {
        return Err(Refusal::new("ERR WATCH inside MULTI is not allowed"));
    }
    let db = ctx.db();
    for key in &args[1..] {
        // A key that has expired already is removed by this look, which is no change.
        ctx.batch.exists(db, key);
        ctx.hub
            .watches
            .watch(&mut ctx.hub.clients, ctx.slot, db, key);
    }
    ctx.reply.ok();
    Ok(Flow::Done)
}

fn unwatch(ctx: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    forget_watches(ctx);
    ctx.reply.ok();
    Ok(Flow::Done)
}

fn forget_watches(ctx: &mut Ctx<'_, '_>) {
    let slot = ctx.slot;
    ctx.hub.watches.forget(&mut ctx.hub.clients, slot);
}

fn exec(ctx: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    let Some(transaction) = ctx.client_mut().transaction.take() else {
        return Err(Refusal::new("ERR EXEC without MULTI"));
    };
    let is_touched = is_watch_touched(ctx);
    forget_watches(ctx);
    if transaction.is_broken {
        return Err(Refusal::new(
            "EXECABORT Transaction discarded because of previous errors.",
        ));
    }
    if is_touched {
        ctx.reply.null_array();
        return Ok(Flow::Done);
    }
    ctx.reply.array(transaction.queued.len());
    for (command, args) in &transaction.queued {
        let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        let protocol = ctx.client().protocol;
        ctx.reply.set_protocol(protocol);
        let mut inner = Ctx {
            batch: ctx.batch,
            hub: ctx.hub,
            reply: ctx.reply,
            server: ctx.server,
            command,
            slot: ctx.slot,
            in_exec: true,
            is_wake: false,
            stopwatch: ctx.stopwatch,
        };
        invoke(&mut inner, &args);
    }
    Ok(Flow::Done)
}

/// Whether a watched key changed, or expired, since WATCH.
fn is_watch_touched(ctx: &mut Ctx<'_, '_>) -> bool {
    if ctx.client().is_dirty {
        return true;
    }
    for (db, key) in ctx.client().watched.clone() {
        ctx.batch.exists(db, &key);
    }
    ctx.announce_expired();
    ctx.client().is_dirty
}

//! The broker as a whole: SAVE, SHUTDOWN, TIME, ROLE, WAIT, ...

use std::time::Duration;

use super::arg::{block_ms, int, int_within};
use super::flag::{ADMIN, ALLOW_BUSY, FAST, LOADING, NO_ASYNC_LOADING, NO_MULTI, NOSCRIPT, STALE};
use super::{Ctx, Flow, Group, Spec};
use crate::refusal::Refusal;
use crate::saver;

const SAVING: Spec = Spec {
    group: Group::Server,
    flags: ADMIN | NOSCRIPT | NO_ASYNC_LOADING,
    complexity: "O(N) for N streams",
    ..Spec::BASE
};

pub(crate) static SPECS: &[Spec] = &[
    Spec {
        name: "save",
        arity: 1,
        flags: ADMIN | NOSCRIPT | NO_ASYNC_LOADING | NO_MULTI,
        summary: "Takes a checkpoint and waits for it.",
        handler: save,
        ..SAVING
    },
    Spec {
        name: "bgsave",
        arity: -1,
        summary: "Takes a checkpoint in the background.",
        syntax: "[SCHEDULE]",
        handler: bgsave,
        ..SAVING
    },
    Spec {
        name: "bgrewriteaof",
        arity: 1,
        summary: "Takes a checkpoint in the background, as BGSAVE does.",
        handler: bgrewriteaof,
        ..SAVING
    },
    Spec {
        name: "lastsave",
        arity: 1,
        flags: LOADING | STALE | FAST,
        group: Group::Server,
        summary: "When the last checkpoint was finished.",
        handler: lastsave,
        ..Spec::BASE
    },
    Spec {
        name: "shutdown",
        arity: -1,
        flags: ADMIN | NOSCRIPT | LOADING | STALE | NO_MULTI | ALLOW_BUSY,
        group: Group::Server,
        complexity: "O(N) for N streams",
        summary: "Ends the broker in order: replies, sync, checkpoint.",
        syntax: "[NOSAVE | SAVE] [NOW] [FORCE] [ABORT]",
        handler: shutdown,
        ..Spec::BASE
    },
    Spec {
        name: "time",
        arity: 1,
        flags: LOADING | STALE | FAST,
        group: Group::Server,
        since: "2.6.0",
        summary: "The time by the broker's clock: seconds and microseconds.",
        handler: time,
        ..Spec::BASE
    },
    Spec {
        name: "role",
        arity: 1,
        flags: NOSCRIPT | LOADING | STALE | FAST,
        group: Group::Server,
        since: "2.8.12",
        summary: "Always master without replicas.",
        handler: role,
        ..Spec::BASE
    },
    Spec {
        name: "wait",
        arity: 3,
        flags: NOSCRIPT,
        group: Group::Generic,
        since: "3.0.0",
        summary: "Counts the replicas that have this connection's writes: always 0, at once.",
        syntax: "numreplicas timeout",
        handler: wait,
        ..Spec::BASE
    },
    Spec {
        name: "waitaof",
        arity: 4,
        flags: NOSCRIPT,
        group: Group::Generic,
        since: "7.2.0",
        summary: "Waits until this connection's writes are on the disk.",
        syntax: "numlocal numreplicas timeout",
        handler: waitaof,
        ..Spec::BASE
    },
    Spec {
        name: "readonly",
        arity: 1,
        flags: LOADING | STALE | FAST,
        group: Group::Connection,
        since: "3.0.0",
        summary: "Refused: there is no cluster mode.",
        handler: no_cluster,
        ..Spec::BASE
    },
    Spec {
        name: "readwrite",
        arity: 1,
        flags: LOADING | STALE | FAST,
        group: Group::Connection,
        since: "3.0.0",
        summary: "Refused: there is no cluster mode.",
        handler: no_cluster,
        ..Spec::BASE
    },
    Spec {
        name: "replicaof",
        arity: 3,
        flags: ADMIN | NOSCRIPT | STALE | NO_ASYNC_LOADING,
        since: "5.0.0",
        group: Group::Server,
        summary: "NO ONE is accepted; there is no replication.",
        syntax: "<host port | NO ONE>",
        handler: replicaof,
        ..Spec::BASE
    },
    Spec {
        name: "slaveof",
        arity: 3,
        flags: ADMIN | NOSCRIPT | STALE | NO_ASYNC_LOADING,
        group: Group::Server,
        summary: "NO ONE is accepted; there is no replication.",
        syntax: "<host port | NO ONE>",
        handler: replicaof,
        ..Spec::BASE
    },
];

fn save(ctx: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    if ctx.server.saver.is_busy() {
        return Err(Refusal::new("ERR Background save already in progress"));
    }
    Ok(Flow::Outside(Box::new(|server, reply| {
        saver::save(server)?;
        reply.ok();
        Ok(())
    })))
}

fn bgsave(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    match &args[1..] {
        [] => {}
        [word] if word.eq_ignore_ascii_case(b"schedule") => {}
        _ => return Err(Refusal::SYNTAX),
    }
    if !ctx.server.saver.ask() {
        return Err(Refusal::new("ERR Background save already in progress"));
    }
    ctx.reply.simple("Background saving started");
    Ok(Flow::Done)
}

fn bgrewriteaof(ctx: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    if !ctx.server.saver.ask() {
        return Err(Refusal::new(
            "ERR Background append only file rewriting already in progress",
        ));
    }
    ctx.reply
        .simple("Background append only file rewriting started");
    Ok(Flow::Done)
}

fn lastsave(ctx: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    let last = ctx.server.engine.last_checkpoint().last;
    let finished_ms = last.map_or(ctx.server.started_ms, |last| last.finished_ms);
    ctx.reply.count(finished_ms / 1000);
    Ok(Flow::Done)
}

fn shutdown(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let words: Vec<Vec<u8>> = args[1..]
        .iter()
        .map(|word| word.to_ascii_lowercase())
        .collect();
    let has = |wanted: &[u8]| words.iter().any(|word| word == wanted);
    let known: &[&[u8]] = &[b"save", b"nosave", b"now", b"force", b"abort"];
    let is_known = words.iter().all(|word| known.contains(&word.as_slice()));
    if !is_known || has(b"save") && has(b"nosave") || has(b"abort") && words.len() > 1 {
        return Err(Refusal::SYNTAX);
    }
    if has(b"abort") {
        return Err(Refusal::new("ERR No shutdown in progress."));
    }
    // The log is synced and a checkpoint taken whatever was asked for: it costs little, and a
    // durable store has no reason to forget.
    ctx.client_mut().closes_after_reply = true;
    ctx.server.shut_down();
    Ok(Flow::Done)
}

fn time(ctx: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    let now_ms = ctx.batch.now_ms();
    ctx.reply.array(2);
    ctx.reply.bulk_int(now_ms / 1000);
    ctx.reply.bulk_int(now_ms % 1000 * 1000);
    Ok(Flow::Done)
}

fn role(ctx: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    ctx.reply.array(3);
    ctx.reply.bulk(b"master");
    ctx.reply.int(0);
    ctx.reply.array(0);
    Ok(Flow::Done)
}

/// There are no replicas and never will be any while the client waits, so it does not wait.
fn wait(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    int(args[1])?;
    block_ms(args[2], ctx.batch.now_ms())?;
    ctx.reply.int(0);
    Ok(Flow::Done)
}

/// Waits for the disk, not for replicas: there are none. What counts is all that the client's
/// replies depended on, what it wrote and what it saw.
fn waitaof(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let refusal = Refusal::new("ERR value is out of range, value must between 0 and 1");
    let wants_local = int_within(args[1], 0..=1, refusal)? == 1;
    let refusal = Refusal::new("ERR value is out of range, must be positive");
    int_within(args[2], 0..=i64::MAX, refusal)?;
    let timeout_ms = block_ms(args[3], ctx.batch.now_ms())?;
    let depends = ctx.client().depends;
    // What a transaction has written so far is not even in the file.
    let is_durable = ctx.server.engine.durable() >= depends && !ctx.batch.has_written();
    if is_durable || !wants_local || !ctx.may_block() {
        answer_waitaof(ctx.reply, is_durable);
        return Ok(Flow::Done);
    }
    let timeout = (timeout_ms > 0).then(|| Duration::from_millis(timeout_ms));
    Ok(Flow::Outside(Box::new(move |server, reply| {
        let is_durable = server.engine.wait_durable(depends, timeout)?;
        answer_waitaof(reply, is_durable);
        Ok(())
    })))
}

fn answer_waitaof(reply: &mut crate::reply::Reply, is_durable: bool) {
    reply.array(2);
    reply.int(i64::from(is_durable));
    reply.int(0);
}

pub(super) fn no_cluster(_: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    Err(Refusal::new(
        "ERR This instance has cluster support disabled",
    ))
}

fn replicaof(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    if args[1].eq_ignore_ascii_case(b"no") && args[2].eq_ignore_ascii_case(b"one") {
        ctx.reply.ok();
        return Ok(Flow::Done);
    }
    let refusal = Refusal::new("ERR Invalid master port");
    int_within(args[2], 0..=65535, refusal)?;
    Err(Refusal::new("ERR replication is not supported"))
}

//! DEBUG: for tests. Off unless `enable-debug-command` says otherwise.

use std::time::Duration;

use super::flag::{ADMIN, LOADING, NOSCRIPT, PROTECTED, STALE};
use super::help::help;
use super::{Ctx, Flow, Group, Spec};
use crate::log;
use crate::parameters::rewrite;
use crate::refusal::Refusal;

// The subcommands are not in the table: an unknown one is refused in words of its own.
pub(crate) static SPECS: &[Spec] = &[Spec {
    name: "debug",
    arity: -2,
    flags: ADMIN | NOSCRIPT | LOADING | STALE | PROTECTED,
    group: Group::Server,
    complexity: "Depends on the subcommand.",
    summary: "Does what only tests need.",
    syntax: "subcommand [arg ...]",
    handler: debug,
    ..Spec::BASE
}];

fn debug(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    match (args[1].to_ascii_lowercase().as_slice(), &args[2..]) {
        (b"sleep", [seconds]) => sleep(ctx, seconds),
        (b"log", [message]) => {
            let message = String::from_utf8_lossy(message);
            log::warning(format_args!("DEBUG LOG: {message}"));
            ctx.reply.ok();
            Ok(Flow::Done)
        }
        (b"error", [message]) => Err(Refusal::quoting(&[message])),
        (b"reload", options) => reload(options),
        (b"loadaof", []) => reload(&[]),
        (b"set-active-expire", [switch]) => {
            ctx.hub.keeps_expired = *switch == b"0";
            ctx.reply.ok();
            Ok(Flow::Done)
        }
        (b"change-repl-id", []) => {
            ctx.reply.ok();
            Ok(Flow::Done)
        }
        (b"config-rewrite-force-all", []) => {
            rewrite::rewrite_file(&ctx.hub.config, rewrite::Extent::All).map_err(|error| {
                Refusal::format(format_args!("ERR CONFIG-REWRITE-FORCE-ALL failed: {error}"))
            })?;
            ctx.reply.ok();
            Ok(Flow::Done)
        }
        (b"help", []) => Ok(explain(ctx)),
        _ => Err(Refusal::unknown_use("DEBUG", args[1])),
    }
}

/// Longest sleep, in seconds.
const SLEEP_MAX: f64 = 3600.0;

/// Everybody waits, because the locks are held: that is what the command is for.
fn sleep(ctx: &mut Ctx<'_, '_>, seconds: &[u8]) -> Result<Flow, Refusal> {
    let seconds = std::str::from_utf8(seconds)
        .ok()
        .and_then(|text| text.parse::<f64>().ok());
    let seconds = seconds.filter(|seconds| seconds.is_finite()).unwrap_or(0.0);
    std::thread::sleep(Duration::from_secs_f64(seconds.clamp(0.0, SLEEP_MAX)));
    ctx.reply.ok();
    Ok(Flow::Done)
}

/// Closes the store and opens it again. The options of Redis are about its dump file, of which
/// there is none here.
fn reload(options: &[&[u8]]) -> Result<Flow, Refusal> {
    let known: &[&[u8]] = &[b"merge", b"noflush", b"nosave"];
    if !options
        .iter()
        .all(|option| known.contains(&option.to_ascii_lowercase().as_slice()))
    {
        return Err(Refusal::new(
            "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.",
        ));
    }
    Ok(Flow::Outside(Box::new(|server, reply| {
        server.engine.reload()?;
        let mutations = server.engine.lock().mutations();
        server.hub.lock().stats.mutations_saved = mutations;
        reply.ok();
        Ok(())
    })))
}

fn explain(ctx: &mut Ctx<'_, '_>) -> Flow {
    help(
        ctx,
        "DEBUG",
        &[
            ("CHANGE-REPL-ID", &["Accepted without effect."]),
            (
                "CONFIG-REWRITE-FORCE-ALL",
                &["CONFIG REWRITE with every parameter."],
            ),
            ("ERROR <message>", &["Reply with an error."]),
            ("LOADAOF", &["Close the store and open it again."]),
            (
                "LOG <message>",
                &["Write a line into the log of the broker."],
            ),
            (
                "RELOAD [MERGE] [NOFLUSH] [NOSAVE]",
                &["Close the store and open it again."],
            ),
            (
                "SET-ACTIVE-EXPIRE (0|1)",
                &["Whether expired keys go without being asked for."],
            ),
            ("SLEEP <seconds>", &["Hold up the broker."]),
        ],
    )
}

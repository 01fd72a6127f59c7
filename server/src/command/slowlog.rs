//! SLOWLOG and MONITOR: which commands took long, and which commands run.

use super::arg::int_within;
use super::flag::{ADMIN, LOADING, NOSCRIPT, STALE};
use super::help::help;
use super::{Ctx, Flow, Group, Spec};
use crate::refusal::Refusal;

const BASE: Spec = Spec {
    group: Group::Server,
    flags: ADMIN | LOADING | STALE,
    since: "2.2.12",
    ..Spec::BASE
};

pub(crate) static SPECS: &[Spec] = &[
    Spec {
        name: "slowlog",
        arity: -2,
        flags: 0,
        complexity: "Depends on the subcommand.",
        summary: "Tells which commands took long.",
        subcommands: &[
            Spec {
                name: "get",
                arity: -2,
                complexity: "O(N) for N entries",
                summary: "Shows the newest entries.",
                syntax: "[count]",
                handler: get,
                ..BASE
            },
            Spec {
                name: "len",
                arity: 2,
                summary: "Counts the entries.",
                handler: len,
                ..BASE
            },
            Spec {
                name: "reset",
                arity: 2,
                complexity: "O(N) for N entries",
                summary: "Forgets the entries.",
                handler: reset,
                ..BASE
            },
            Spec {
                name: "help",
                arity: 2,
                flags: LOADING | STALE,
                since: "6.2.0",
                summary: "Explains the subcommands.",
                handler: explain,
                ..BASE
            },
        ],
        ..BASE
    },
    Spec {
        name: "monitor",
        arity: 1,
        flags: ADMIN | NOSCRIPT | LOADING | STALE,
        since: "1.0.0",
        summary: "Shows every command that runs from now on.",
        handler: monitor,
        ..BASE
    },
];

/// How many entries SLOWLOG GET shows if it is not told.
const SHOWN_DEFAULT: usize = 10;

fn get(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let wanted = match &args[2..] {
        [] => SHOWN_DEFAULT,
        [count] => {
            let refusal = Refusal::new("ERR count should be greater than or equal to -1");
            // All of them, for -1.
            usize::try_from(int_within(count, -1..=i64::MAX, refusal)?).unwrap_or(usize::MAX)
        }
        _ => return Err(Refusal::unknown_use("SLOWLOG", args[1])),
    };
    let entries = &ctx.hub.stats.slow_commands;
    let shown = wanted.min(entries.len());
    ctx.reply.array(shown);
    for entry in entries.iter().take(shown) {
        ctx.reply.array(6);
        ctx.reply.count(entry.id);
        ctx.reply.count(entry.at_secs);
        ctx.reply.count(entry.micros);
        ctx.reply.array(entry.arguments.len());
        for argument in &entry.arguments {
            ctx.reply.bulk(argument);
        }
        ctx.reply.bulk(entry.address.as_bytes());
        ctx.reply.bulk(&entry.client_name);
    }
    Ok(Flow::Done)
}

fn len(ctx: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    ctx.reply.count(ctx.hub.stats.slow_commands.len());
    Ok(Flow::Done)
}

fn reset(ctx: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    ctx.hub.stats.slow_commands.clear();
    ctx.reply.ok();
    Ok(Flow::Done)
}

fn monitor(ctx: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    if !ctx.client().is_monitor {
        let slot = ctx.slot;
        ctx.client_mut().is_monitor = true;
        ctx.hub.monitors.push(slot);
    }
    ctx.reply.ok();
    Ok(Flow::Done)
}

fn explain(ctx: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    Ok(help(
        ctx,
        "SLOWLOG",
        &[
            (
                "GET [<count>]",
                &[
                    "Show the newest <count> entries (default: 10, -1: all), each with its number,",
                    "time, duration in microseconds, arguments, client address and client name.",
                ],
            ),
            ("LEN", &["Count the entries."]),
            ("RESET", &["Forget the entries."]),
        ],
    ))
}

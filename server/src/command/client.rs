//! CLIENT: what connections know about each other and do to each other.

use super::arg::{block_ms, int};
use super::client_filter::{Filter, describe};
use super::flag::{ADMIN, ALLOW_BUSY, LOADING, NOSCRIPT, STALE};
use super::help::help;
use super::{Ctx, Flow, Group, Spec};
use crate::client::{ReplyMode, Unblock};
use crate::hub::Pause;
use crate::refusal::Refusal;

const BASE: Spec = Spec {
    group: Group::Connection,
    flags: NOSCRIPT | LOADING | STALE,
    since: "5.0.0",
    ..Spec::BASE
};

const FOR_ADMINS: Spec = Spec {
    flags: ADMIN | NOSCRIPT | LOADING | STALE,
    ..BASE
};

pub(crate) static SPECS: &[Spec] = &[Spec {
    name: "client",
    arity: -2,
    flags: 0,
    since: "2.4.0",
    complexity: "Depends on the subcommand.",
    summary: "Tells about connections and controls them.",
    subcommands: SUBCOMMANDS,
    ..BASE
}];

static SUBCOMMANDS: &[Spec] = &[
    Spec {
        name: "caching",
        arity: 3,
        since: "6.0.0",
        summary: "Refused: there is no client-side caching.",
        syntax: "<YES | NO>",
        handler: caching,
        ..BASE
    },
    Spec {
        name: "getname",
        arity: 2,
        since: "2.6.9",
        summary: "The name of this connection.",
        handler: getname,
        ..BASE
    },
    Spec {
        name: "getredir",
        arity: 2,
        since: "6.0.0",
        summary: "Always -1: there is no client-side caching.",
        handler: getredir,
        ..BASE
    },
    Spec {
        name: "id",
        arity: 2,
        summary: "The number of this connection.",
        handler: id,
        ..BASE
    },
    Spec {
        name: "info",
        arity: 2,
        since: "6.2.0",
        summary: "All that is known about this connection.",
        handler: info,
        ..BASE
    },
    Spec {
        name: "kill",
        arity: -3,
        since: "2.4.0",
        complexity: "O(N) for N connections",
        summary: "Ends connections.",
        syntax: "<ip:port | [ID client-id] [TYPE type] [ADDR ip:port] [LADDR ip:port] [USER name] \
                 [MAXAGE seconds] [SKIPME <YES | NO>]>",
        handler: kill,
        ..FOR_ADMINS
    },
    Spec {
        name: "list",
        arity: -2,
        since: "2.4.0",
        complexity: "O(N) for N connections",
        summary: "All that is known about connections, one line each.",
        syntax: "[TYPE <NORMAL | PUBSUB | MASTER | REPLICA>] [ID client-id [client-id ...]]",
        handler: list,
        ..FOR_ADMINS
    },
    Spec {
        name: "no-evict",
        arity: 3,
        since: "7.0.0",
        summary: "Accepted without effect: connections are never evicted.",
        syntax: "<ON | OFF>",
        handler: no_evict,
        ..FOR_ADMINS
    },
    Spec {
        name: "no-touch",
        arity: 3,
        since: "7.2.0",
        summary: "Whether the commands of this connection leave idle times as they are.",
        syntax: "<ON | OFF>",
        handler: no_touch,
        ..BASE
    },
    Spec {
        name: "pause",
        arity: -3,
        since: "3.0.0",
        summary: "Holds up all commands, or those that write, for some time.",
        syntax: "milliseconds [WRITE | ALL]",
        handler: pause,
        ..FOR_ADMINS
    },
    Spec {
        name: "reply",
        arity: 3,
        flags: NOSCRIPT | LOADING | STALE | ALLOW_BUSY,
        since: "3.2.0",
        summary: "Whether this connection gets replies.",
        syntax: "<ON | OFF | SKIP>",
        handler: reply,
        ..BASE
    },
    Spec {
        name: "setinfo",
        arity: 4,
        since: "7.2.0",
        summary: "Names the library of this connection and its version.",
        syntax: "<LIB-NAME name | LIB-VER version>",
        handler: setinfo,
        ..BASE
    },
    Spec {
        name: "setname",
        arity: 3,
        since: "2.6.9",
        summary: "Names this connection.",
        syntax: "name",
        handler: setname,
        ..BASE
    },
    Spec {
        name: "tracking",
        arity: -3,
        since: "6.0.0",
        summary: "OFF is accepted; there is no client-side caching.",
        syntax: "<ON | OFF>",
        handler: tracking,
        ..BASE
    },
    Spec {
        name: "trackinginfo",
        arity: 2,
        since: "6.2.0",
        summary: "Tells that tracking is off.",
        handler: trackinginfo,
        ..BASE
    },
    Spec {
        name: "unblock",
        arity: -3,
        summary: "Ends the waiting of another connection.",
        syntax: "client-id [TIMEOUT | ERROR]",
        handler: unblock,
        ..FOR_ADMINS
    },
    Spec {
        name: "unpause",
        arity: 2,
        since: "6.2.0",
        summary: "Ends a pause.",
        handler: unpause,
        ..FOR_ADMINS
    },
    Spec {
        name: "help",
        arity: 2,
        flags: LOADING | STALE,
        summary: "Explains the subcommands.",
        handler: explain,
        ..BASE
    },
];

fn id(ctx: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    let id = ctx.client().id;
    ctx.reply.count(id);
    Ok(Flow::Done)
}

fn getname(ctx: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    let name = &ctx.hub.clients.at(ctx.slot).name;
    if name.is_empty() {
        ctx.reply.null();
    } else {
        ctx.reply.bulk(name);
    }
    Ok(Flow::Done)
}

fn setname(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    ctx.client_mut().name = checked_name("Client names", args[2])?;
    ctx.reply.ok();
    Ok(Flow::Done)
}

/// A name that fits into a line of CLIENT LIST. `what` is named in the refusal.
pub(super) fn checked_name(what: &str, name: &[u8]) -> Result<Vec<u8>, Refusal> {
    if name.iter().all(u8::is_ascii_graphic) {
        return Ok(name.to_vec());
    }
    Err(Refusal::format(format_args!(
        "ERR {what} cannot contain spaces, newlines or special characters."
    )))
}

fn setinfo(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    match args[2].to_ascii_lowercase().as_slice() {
        b"lib-name" => ctx.client_mut().lib_name = checked_name("lib-name", args[3])?,
        b"lib-ver" => ctx.client_mut().lib_version = checked_name("lib-ver", args[3])?,
        _ => {
            return Err(Refusal::quoting(&[
                b"ERR Unrecognized option '",
                args[2],
                b"'",
            ]));
        }
    }
    ctx.reply.ok();
    Ok(Flow::Done)
}

fn info(ctx: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    let line = describe(ctx.client(), ctx.batch.now_ms());
    ctx.reply.verbatim(line.as_bytes());
    Ok(Flow::Done)
}

fn list(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let mut filter = Filter::default();
    match &args[2..] {
        [] => {}
        [word, kind] if word.eq_ignore_ascii_case(b"type") => filter.set_kind(kind)?,
        [word, ids @ ..] if word.eq_ignore_ascii_case(b"id") && !ids.is_empty() => {
            let ids = ids
                .iter()
                .map(|id| int(id).map_err(|_| Refusal::new("ERR Invalid client ID")));
            filter.ids = Some(ids.collect::<Result<_, _>>()?);
        }
        _ => return Err(Refusal::SYNTAX),
    }
    let now_ms = ctx.batch.now_ms();
    let clients = &ctx.hub.clients;
    let found = clients.in_order().into_iter().map(|slot| clients.at(slot));
    let lines: String = found
        .filter(|client| filter.matches(client, now_ms))
        .map(|client| describe(client, now_ms))
        .collect();
    ctx.reply.verbatim(lines.as_bytes());
    Ok(Flow::Done)
}

fn kill(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let own = ctx.slot;
    let (filter, skips_own) = match &args[2..] {
        [address] => (Filter::at_address(address), false),
        options => Filter::for_kill(options)?,
    };
    let now_ms = ctx.batch.now_ms();
    let slots = ctx.hub.clients.in_order();
    let mut killed = 0;
    for slot in slots {
        if slot == own && skips_own || !filter.matches(ctx.hub.clients.at(slot), now_ms) {
            continue;
        }
        killed += 1;
        if slot == own {
            // Its own reply still leaves.
            ctx.client_mut().closes_after_reply = true;
        } else {
            ctx.hub.clients.at_mut(slot).kill();
        }
    }
    match (args.len(), killed) {
        (3, 0) => return Err(Refusal::new("ERR No such client")),
        (3, _) => ctx.reply.ok(),
        _ => ctx.reply.int(killed),
    }
    Ok(Flow::Done)
}

fn unblock(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let how = match &args[3..] {
        [] => Unblock::Timeout,
        [word] if word.eq_ignore_ascii_case(b"timeout") => Unblock::Timeout,
        [word] if word.eq_ignore_ascii_case(b"error") => Unblock::Error,
        [_, _, ..] => return Err(Refusal::unknown_use("CLIENT", args[1])),
        _ => {
            return Err(Refusal::new(
                "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR",
            ));
        }
    };
    let id = int(args[2])?;
    let slot = u64::try_from(id)
        .ok()
        .and_then(|id| ctx.hub.clients.slot_of(id));
    let was_blocked = slot.is_some_and(|slot| ctx.hub.unblock(slot, how));
    ctx.reply.int(i64::from(was_blocked));
    Ok(Flow::Done)
}

fn pause(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let writes_only = match &args[3..] {
        [] => false,
        [word] if word.eq_ignore_ascii_case(b"write") => true,
        [word] if word.eq_ignore_ascii_case(b"all") => false,
        [_, _, ..] => return Err(Refusal::unknown_use("CLIENT", args[1])),
        [_] => return Err(Refusal::new("ERR CLIENT PAUSE mode must be WRITE or ALL")),
    };
    let until_ms = ctx
        .batch
        .now_ms()
        .saturating_add(block_ms(args[2], ctx.batch.now_ms())?);
    let asked = Pause {
        until_ms,
        writes_only,
    };
    let now_ms = ctx.batch.now_ms();
    // A pause that is in place is prolonged or made stricter, never eased.
    ctx.hub.pause = Some(match ctx.hub.pause {
        Some(present) if present.until_ms > now_ms => Pause {
            until_ms: present.until_ms.max(until_ms),
            writes_only: present.writes_only && writes_only,
        },
        _ => asked,
    });
    ctx.reply.ok();
    Ok(Flow::Done)
}

fn unpause(ctx: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    ctx.hub.unpause();
    ctx.reply.ok();
    Ok(Flow::Done)
}

fn reply(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let present = ctx.client().reply_mode;
    ctx.client_mut().reply_mode = match args[2].to_ascii_lowercase().as_slice() {
        b"on" => {
            ctx.reply.ok();
            ReplyMode::On
        }
        b"off" => ReplyMode::Off,
        // A connection that gets no replies at all does not begin to get them by skipping one.
        b"skip" if present == ReplyMode::Off => ReplyMode::Off,
        b"skip" => ReplyMode::SkipNext,
        _ => return Err(Refusal::SYNTAX),
    };
    Ok(Flow::Done)
}

fn no_evict(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    ctx.client_mut().no_evict = switch(args[2])?;
    ctx.reply.ok();
    Ok(Flow::Done)
}

fn no_touch(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    ctx.client_mut().no_touch = switch(args[2])?;
    ctx.reply.ok();
    Ok(Flow::Done)
}

fn switch(word: &[u8]) -> Result<bool, Refusal> {
    match word.to_ascii_lowercase().as_slice() {
        b"on" => Ok(true),
        b"off" => Ok(false),
        _ => Err(Refusal::SYNTAX),
    }
}

fn tracking(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    match args[2].to_ascii_lowercase().as_slice() {
        b"off" => ctx.reply.ok(),
        b"on" => return Err(Refusal::new("ERR client-side caching is not supported")),
        _ => return Err(Refusal::SYNTAX),
    }
    Ok(Flow::Done)
}

fn caching(_: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    Err(Refusal::new(
        "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or \
         OPTOUT mode enabled",
    ))
}

fn getredir(ctx: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    ctx.reply.int(-1);
    Ok(Flow::Done)
}

fn trackinginfo(ctx: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    ctx.reply.map(3);
    ctx.reply.bulk(b"flags");
    ctx.reply.set(1);
    ctx.reply.bulk(b"off");
    ctx.reply.bulk(b"redirect");
    ctx.reply.int(-1);
    ctx.reply.bulk(b"prefixes");
    ctx.reply.array(0);
    Ok(Flow::Done)
}

fn explain(ctx: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    Ok(help(
        ctx,
        "CLIENT",
        &[
            ("GETNAME", &["The name of this connection."]),
            ("ID", &["The number of this connection."]),
            ("INFO", &["All that is known about this connection."]),
            ("KILL <ip:port>", &["End the connection from that address."]),
            (
                "KILL <option> <value> [<option> <value> [...]]",
                &[
                    "End all connections to which every option applies:",
                    "ADDR <ip:port>, LADDR <ip:port>, TYPE (NORMAL|PUBSUB|MASTER|REPLICA),",
                    "USER <name>, ID <number>, MAXAGE <seconds>, SKIPME (YES|NO).",
                ],
            ),
            (
                "LIST [TYPE (NORMAL|PUBSUB|MASTER|REPLICA) | ID <number> ...]",
                &["All that is known about connections."],
            ),
            (
                "NO-EVICT (ON|OFF)",
                &["Without effect: connections are never evicted."],
            ),
            (
                "NO-TOUCH (ON|OFF)",
                &["Whether this connection leaves idle times as they are."],
            ),
            (
                "PAUSE <milliseconds> [WRITE|ALL]",
                &["Hold up commands for some time."],
            ),
            (
                "REPLY (ON|OFF|SKIP)",
                &["Whether this connection gets replies."],
            ),
            (
                "SETINFO (LIB-NAME|LIB-VER) <value>",
                &["Name the library of this connection."],
            ),
            ("SETNAME <name>", &["Name this connection."]),
            (
                "TRACKINGINFO",
                &["Whether this connection is tracked: never."],
            ),
            (
                "UNBLOCK <number> [TIMEOUT|ERROR]",
                &["End the waiting of another connection."],
            ),
            ("UNPAUSE", &["End a pause."]),
        ],
    ))
}

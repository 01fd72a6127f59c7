//! PING, ECHO, HELLO, AUTH, QUIT, RESET, SELECT.

use alluvium_engine::limits::DATABASES;

use super::arg;
use super::client::checked_name;
use super::flag::{
    ALLOW_BUSY, FAST, LOADING, NO_AUTH, NOSCRIPT, NOT_QUEUED, STALE, WHILE_SUBSCRIBED,
};
use super::info::REDIS_VERSION;
use super::{Ctx, Flow, Group, Spec};
use crate::client::ReplyMode;
use crate::refusal::Refusal;
use crate::resp::Protocol;

const BASE: Spec = Spec {
    group: Group::Connection,
    ..Spec::BASE
};

pub(crate) static SPECS: &[Spec] = &[
    Spec {
        name: "ping",
        arity: -1,
        flags: FAST | WHILE_SUBSCRIBED,
        summary: "Answers PONG, or what it is given.",
        syntax: "[message]",
        handler: ping,
        ..BASE
    },
    Spec {
        name: "echo",
        arity: 2,
        flags: LOADING | STALE | FAST,
        summary: "Answers what it is given.",
        syntax: "message",
        handler: echo,
        ..BASE
    },
    Spec {
        name: "hello",
        arity: -1,
        flags: NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY,
        since: "6.0.0",
        summary: "Chooses the protocol version, authenticates, names the connection.",
        syntax: "[protover [AUTH username password] [SETNAME clientname]]",
        handler: hello,
        ..BASE
    },
    Spec {
        name: "auth",
        arity: -2,
        flags: NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY,
        summary: "Authenticates the connection.",
        syntax: "[username] password",
        handler: auth,
        ..BASE
    },
    Spec {
        name: "quit",
        arity: -1,
        flags: NOSCRIPT
            | LOADING
            | STALE
            | FAST
            | NO_AUTH
            | ALLOW_BUSY
            | NOT_QUEUED
            | WHILE_SUBSCRIBED,
        summary: "Ends the connection.",
        handler: quit,
        ..BASE
    },
    Spec {
        name: "reset",
        arity: 1,
        flags: NOSCRIPT
            | LOADING
            | STALE
            | FAST
            | NO_AUTH
            | ALLOW_BUSY
            | NOT_QUEUED
            | WHILE_SUBSCRIBED,
        since: "6.2.0",
        summary: "Makes the connection as if it were new.",
        handler: reset,
        ..BASE
    },
    Spec {
        name: "select",
        arity: 2,
        flags: LOADING | STALE | FAST,
        summary: "Chooses the database of the following commands.",
        syntax: "index",
        handler: select,
        ..BASE
    },
];

fn ping(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    if args.len() > 2 {
        return Err(Refusal::wrong_arity(ctx.command.full_name()));
    }
    let client = ctx.client();
    if client.is_subscribed() && client.protocol == Protocol::Resp2 {
        ctx.reply.array(2);
        ctx.reply.bulk(b"pong");
        ctx.reply.bulk(args.get(1).copied().unwrap_or_default());
        return Ok(Flow::Done);
    }
    match args.get(1) {
        Some(message) => ctx.reply.bulk(message),
        None => ctx.reply.simple("PONG"),
    }
    Ok(Flow::Done)
}

fn echo(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    ctx.reply.bulk(args[1]);
    Ok(Flow::Done)
}

fn select(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let db = u8::try_from(arg::int(args[1])?)
        .ok()
        .filter(|db| *db < DATABASES);
    ctx.client_mut().db = db.ok_or(Refusal::new("ERR DB index is out of range"))?;
    ctx.reply.ok();
    Ok(Flow::Done)
}

fn quit(ctx: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    ctx.client_mut().closes_after_reply = true;
    ctx.reply.ok();
    Ok(Flow::Done)
}

fn reset(ctx: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    let slot = ctx.slot;
    ctx.hub.pubsub.forget(&mut ctx.hub.clients, slot);
    ctx.hub.watches.forget(&mut ctx.hub.clients, slot);
    ctx.hub.stop_monitoring(slot);
    let has_password = !ctx.hub.config.requirepass.is_empty();
    let client = ctx.client_mut();
    client.transaction = None;
    client.db = 0;
    client.protocol = Protocol::Resp2;
    client.name.clear();
    client.reply_mode = ReplyMode::On;
    client.no_evict = false;
    client.no_touch = false;
    client.is_authenticated = !has_password;
    ctx.reply.set_protocol(Protocol::Resp2);
    ctx.reply.simple("RESET");
    Ok(Flow::Done)
}

const WRONG_PASSWORD: Refusal =
    Refusal::new("WRONGPASS invalid username-password pair or user is disabled.");

fn auth(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    match args {
        [_, _] if ctx.hub.config.requirepass.is_empty() => {
            return Err(Refusal::new(
                "ERR AUTH <password> called without any password configured for the default \
                 user. Are you sure your configuration is correct?",
            ));
        }
        [_, password] => log_in(ctx, b"default", password)?,
        [_, user, password] => log_in(ctx, user, password)?,
        _ => return Err(Refusal::SYNTAX),
    }
    ctx.reply.ok();
    Ok(Flow::Done)
}

/// There is one user, `default`. Without a password it takes any.
fn log_in(ctx: &mut Ctx<'_, '_>, user: &[u8], password: &[u8]) -> Result<(), Refusal> {
    let expected = &ctx.hub.config.requirepass;
    if user != b"default" || !expected.is_empty() && !is_same(expected, password) {
        return Err(WRONG_PASSWORD);
    }
    ctx.client_mut().is_authenticated = true;
    Ok(())
}

/// Compares in a time that does not tell how much of the password is right.
fn is_same(expected: &[u8], given: &[u8]) -> bool {
    let mut difference = u8::from(expected.len() != given.len());
    for (at, byte) in given.iter().enumerate() {
        difference |= byte ^ expected[at % expected.len()];
    }
    difference == 0
}

fn hello(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let mut protocol = ctx.client().protocol;
    let mut name = None;
    if let [_, version, options @ ..] = args {
        protocol = parse_version(version)?;
        let (user, given_name) = parse_options(options)?;
        if let Some((user, password)) = user {
            log_in(ctx, user, password)?;
        }
        name = given_name
            .map(|name| checked_name("Client names", name))
            .transpose()?;
    }
    if !ctx.client().is_authenticated {
        return Err(Refusal::new(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the \
             HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and \
             select the RESP protocol version at the same time",
        ));
    }
    let client = ctx.client_mut();
    client.protocol = protocol;
    if let Some(name) = name {
        client.name = name;
    }
    ctx.reply.set_protocol(protocol);
    introduce(ctx);
    Ok(Flow::Done)
}

fn parse_version(text: &[u8]) -> Result<Protocol, Refusal> {
    match arg::parse_int(text) {
        Some(2) => Ok(Protocol::Resp2),
        Some(3) => Ok(Protocol::Resp3),
        Some(_) => Err(Refusal::new("NOPROTO unsupported protocol version")),
        None => Err(Refusal::new(
            "ERR Protocol version is not an integer or out of range",
        )),
    }
}

type User<'a> = (&'a [u8], &'a [u8]);

fn parse_options<'a>(
    mut options: &[&'a [u8]],
) -> Result<(Option<User<'a>>, Option<&'a [u8]>), Refusal> {
    let (mut user, mut name) = (None, None);
    while let Some(option) = options.first() {
        match options {
            [word, given_user, password, rest @ ..] if word.eq_ignore_ascii_case(b"auth") => {
                user = Some((*given_user, *password));
                options = rest;
            }
            [word, given_name, rest @ ..] if word.eq_ignore_ascii_case(b"setname") => {
                name = Some(*given_name);
                options = rest;
            }
            _ => {
                let parts: [&[u8]; 3] = [b"ERR Syntax error in HELLO option '", option, b"'"];
                return Err(Refusal::quoting(&parts));
            }
        }
    }
    Ok((user, name))
}

/// Says who the broker is. Clients expect Redis's name and a version that has what they use.
fn introduce(ctx: &mut Ctx<'_, '_>) {
    let (id, protocol) = (ctx.client().id, ctx.client().protocol.number());
    let reply = &mut *ctx.reply;
    reply.map(7);
    reply.bulk(b"server");
    reply.bulk(b"redis");
    reply.bulk(b"version");
    reply.bulk(REDIS_VERSION.as_bytes());
    reply.bulk(b"proto");
    reply.int(protocol);
    reply.bulk(b"id");
    reply.count(id);
    reply.bulk(b"mode");
    reply.bulk(b"standalone");
    reply.bulk(b"role");
    reply.bulk(b"master");
    reply.bulk(b"modules");
    reply.array(0);
}

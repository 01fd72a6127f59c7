//! PUBLISH, SUBSCRIBE and their kin.

use super::flag::{FAST, LOADING, NOSCRIPT, PUBSUB, STALE, WHILE_SUBSCRIBED};
use super::help::help;
use super::{Ctx, Flow, Group, Spec};
use crate::glob;
use crate::pubsub::Kind;
use crate::refusal::Refusal;

const SUBSCRIBING: Spec = Spec {
    group: Group::PubSub,
    flags: PUBSUB | NOSCRIPT | LOADING | STALE | WHILE_SUBSCRIBED,
    since: "2.0.0",
    ..Spec::BASE
};

const ASKING: Spec = Spec {
    group: Group::PubSub,
    flags: PUBSUB | LOADING | STALE,
    since: "2.8.0",
    ..Spec::BASE
};

pub(crate) static SPECS: &[Spec] = &[
    Spec {
        name: "publish",
        arity: 3,
        flags: PUBSUB | LOADING | STALE | FAST,
        group: Group::PubSub,
        since: "2.0.0",
        complexity: "O(N+M): N clients hear the channel, M patterns are subscribed to",
        summary: "Sends a message to all that hear a channel.",
        syntax: "channel message",
        handler: publish,
        ..Spec::BASE
    },
    Spec {
        name: "subscribe",
        arity: -2,
        complexity: "O(N) for N channels",
        summary: "Begins to hear channels.",
        syntax: "channel [channel ...]",
        handler: subscribe,
        ..SUBSCRIBING
    },
    Spec {
        name: "psubscribe",
        arity: -2,
        complexity: "O(N) for N patterns",
        summary: "Begins to hear all channels that match patterns.",
        syntax: "pattern [pattern ...]",
        handler: psubscribe,
        ..SUBSCRIBING
    },
    Spec {
        name: "unsubscribe",
        arity: -1,
        complexity: "O(N) for N channels",
        summary: "Stops hearing channels, or all of them.",
        syntax: "[channel [channel ...]]",
        handler: unsubscribe,
        ..SUBSCRIBING
    },
    Spec {
        name: "punsubscribe",
        arity: -1,
        complexity: "O(N) for N patterns",
        summary: "Stops hearing patterns, or all of them.",
        syntax: "[pattern [pattern ...]]",
        handler: punsubscribe,
        ..SUBSCRIBING
    },
    Spec {
        name: "pubsub",
        arity: -2,
        flags: 0,
        complexity: "Depends on the subcommand.",
        summary: "Tells who hears what.",
        subcommands: SUBCOMMANDS,
        ..ASKING
    },
];

static SUBCOMMANDS: &[Spec] = &[
    Spec {
        name: "channels",
        arity: -2,
        complexity: "O(N) for N channels",
        summary: "Lists the channels that somebody hears.",
        syntax: "[pattern]",
        handler: channels,
        ..ASKING
    },
    Spec {
        name: "numpat",
        arity: 2,
        summary: "Counts the patterns that are subscribed to.",
        handler: numpat,
        ..ASKING
    },
    Spec {
        name: "numsub",
        arity: -2,
        complexity: "O(N) for N channels",
        summary: "Counts the clients that hear each channel.",
        syntax: "[channel [channel ...]]",
        handler: numsub,
        ..ASKING
    },
    Spec {
        name: "shardchannels",
        arity: -2,
        since: "7.0.0",
        summary: "Lists the shard channels: there are none.",
        syntax: "[pattern]",
        handler: shardchannels,
        ..ASKING
    },
    Spec {
        name: "shardnumsub",
        arity: -2,
        since: "7.0.0",
        summary: "Counts the clients of shard channels: there are none.",
        syntax: "[channel [channel ...]]",
        handler: shardnumsub,
        ..ASKING
    },
    Spec {
        name: "help",
        arity: 2,
        flags: LOADING | STALE,
        since: "6.2.0",
        summary: "Explains the subcommands.",
        handler: explain,
        ..ASKING
    },
];

fn publish(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let heard = ctx.hub.publish(args[1], args[2]);
    ctx.reply.count(heard);
    Ok(Flow::Done)
}

fn subscribe(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    Ok(begin(ctx, Kind::Channel, &args[1..]))
}

fn psubscribe(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    Ok(begin(ctx, Kind::Pattern, &args[1..]))
}

fn unsubscribe(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    Ok(end(ctx, Kind::Channel, &args[1..]))
}

fn punsubscribe(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    Ok(end(ctx, Kind::Pattern, &args[1..]))
}

fn begin(ctx: &mut Ctx<'_, '_>, kind: Kind, names: &[&[u8]]) -> Flow {
    let word: &[u8] = match kind {
        Kind::Channel => b"subscribe",
        Kind::Pattern => b"psubscribe",
    };
    for name in names {
        let hub = &mut *ctx.hub;
        hub.pubsub.subscribe(&mut hub.clients, ctx.slot, kind, name);
        confirm(ctx, word, Some(name));
    }
    Flow::Done
}

fn end(ctx: &mut Ctx<'_, '_>, kind: Kind, names: &[&[u8]]) -> Flow {
    let word: &[u8] = match kind {
        Kind::Channel => b"unsubscribe",
        Kind::Pattern => b"punsubscribe",
    };
    let own: Vec<Vec<u8>> = if names.is_empty() {
        match kind {
            Kind::Channel => ctx.client().channels.iter().cloned().collect(),
            Kind::Pattern => ctx.client().patterns.iter().cloned().collect(),
        }
    } else {
        names.iter().map(|name| name.to_vec()).collect()
    };
    for name in &own {
        let hub = &mut *ctx.hub;
        hub.pubsub
            .unsubscribe(&mut hub.clients, ctx.slot, kind, name);
        confirm(ctx, word, Some(name));
    }
    if own.is_empty() {
        confirm(ctx, word, None);
    }
    Flow::Done
}

/// Tells the client how many subscriptions it has after one began or ended.
fn confirm(ctx: &mut Ctx<'_, '_>, word: &[u8], name: Option<&[u8]>) {
    let subscriptions = ctx.client().channels.len() + ctx.client().patterns.len();
    ctx.reply.push(3);
    ctx.reply.bulk(word);
    match name {
        Some(name) => ctx.reply.bulk(name),
        None => ctx.reply.null(),
    }
    ctx.reply.count(subscriptions);
}

fn channels(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let pattern = match args {
        [_, _] => None,
        [_, _, pattern] => Some(*pattern),
        _ => return Err(Refusal::unknown_use("PUBSUB", args[1])),
    };
    let is_wanted = |name: &&[u8]| pattern.is_none_or(|pattern| glob::matches(pattern, name));
    let names: Vec<&[u8]> = ctx.hub.pubsub.channels().filter(is_wanted).collect();
    ctx.reply.array(names.len());
    for name in names {
        ctx.reply.bulk(name);
    }
    Ok(Flow::Done)
}

fn numpat(ctx: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    ctx.reply.count(ctx.hub.pubsub.pattern_count());
    Ok(Flow::Done)
}

fn numsub(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    ctx.reply.array((args.len() - 2) * 2);
    for name in &args[2..] {
        ctx.reply.bulk(name);
        ctx.reply.count(ctx.hub.pubsub.subscribers(name));
    }
    Ok(Flow::Done)
}

fn shardchannels(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    if args.len() > 3 {
        return Err(Refusal::unknown_use("PUBSUB", args[1]));
    }
    ctx.reply.array(0);
    Ok(Flow::Done)
}

fn shardnumsub(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    ctx.reply.array((args.len() - 2) * 2);
    for name in &args[2..] {
        ctx.reply.bulk(name);
        ctx.reply.int(0);
    }
    Ok(Flow::Done)
}

fn explain(ctx: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    Ok(help(
        ctx,
        "PUBSUB",
        &[
            (
                "CHANNELS [<pattern>]",
                &["List the channels that somebody hears and that match <pattern> (default: all)."],
            ),
            ("NUMPAT", &["Count the patterns that are subscribed to."]),
            (
                "NUMSUB [<channel> ...]",
                &["Count the clients that hear each channel, without those that hear a pattern."],
            ),
            (
                "SHARDCHANNELS [<pattern>]",
                &["List the shard channels; there are none."],
            ),
            (
                "SHARDNUMSUB [<shardchannel> ...]",
                &["Count the clients of each shard channel; there are none."],
            ),
        ],
    ))
}

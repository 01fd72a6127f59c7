//! XINFO: what there is to know about a stream, its groups and their consumers.

use alluvium_engine::{
    ConsumerFull, EntryId, Error, GroupFull, GroupInfo, PendingInfo, ProducersInfo, Range,
    StreamInfo,
};

use super::groups::no_group;
use super::help::help;
use super::{Ctx, Flow, Group, KeySpec, Spec, arg, flag, retention};
use crate::refusal::Refusal;
use crate::reply::Reply;

pub(crate) static SPECS: &[Spec] = &[Spec {
    name: "xinfo",
    arity: -2,
    group: Group::Stream,
    since: "5.0.0",
    complexity: "Depends on the subcommand",
    summary: "Tells about streams, groups and consumers.",
    subcommands: XINFO,
    ..Spec::BASE
}];

/// What the subcommands of XINFO that name a key have in common.
const ON_KEY: Spec = Spec {
    flags: flag::READONLY,
    keys: KeySpec::at(2),
    group: Group::Stream,
    since: "5.0.0",
    ..Spec::BASE
};

const XINFO: &[Spec] = &[
    Spec {
        name: "consumers",
        arity: 4,
        complexity: "O(C) for C consumers",
        summary: "Lists the consumers of a group.",
        syntax: "key group",
        handler: consumers,
        ..ON_KEY
    },
    Spec {
        name: "groups",
        arity: 3,
        complexity: "O(G) for G groups",
        summary: "Lists the groups of a stream.",
        syntax: "key",
        handler: groups,
        ..ON_KEY
    },
    Spec {
        name: "help",
        arity: 2,
        flags: flag::LOADING | flag::STALE,
        keys: KeySpec::None,
        summary: "Lists the subcommands.",
        handler: xinfo_help,
        ..ON_KEY
    },
    Spec {
        name: "stream",
        arity: -3,
        complexity: "O(1); O(N) with FULL for N items listed",
        summary: "Tells a stream's counters, with FULL also its entries, groups and consumers.",
        syntax: "key [FULL [COUNT count]]",
        handler: stream,
        ..ON_KEY
    },
];

/// How many items FULL lists of each kind if no COUNT is given.
const FULL_COUNT: i64 = 10;

fn xinfo_help(ctx: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    Ok(help(
        ctx,
        "XINFO",
        &[
            (
                "CONSUMERS <key> <groupname>",
                &["Show consumers of <groupname>."],
            ),
            ("GROUPS <key>", &["Show the stream consumer groups."]),
            (
                "STREAM <key> [FULL [COUNT <count>]",
                &["Show information about the stream."],
            ),
        ],
    ))
}

fn stream(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let key = args[2];
    let stream = ctx.look(key).ok_or(Refusal::NO_SUCH_KEY)?;
    let count = match args[3..] {
        [] => return brief(ctx, key, &stream),
        [full] if arg::is(full, "FULL") => FULL_COUNT,
        [full, count, value] if arg::is(full, "FULL") && arg::is(count, "COUNT") => {
            match arg::int(value)? {
                ..0 => FULL_COUNT,
                count => count,
            }
        }
        _ => return Err(Refusal::unknown_use("XINFO", args[1])),
    };
    let count = usize::try_from(count).ok().filter(|count| *count > 0);
    let full = ctx.batch.stream_full(ctx.db(), key, count)?;
    let producers = ctx.batch.producers(ctx.db(), key).unwrap_or_default();
    let kept = retention::shown(ctx.batch, ctx.db(), key);
    let lag_compat = ctx.hub.config.stream_lag_compat;
    let reply = &mut *ctx.reply;
    reply.map(15 + kept.len());
    counters(reply, &full.info, &producers);
    reply.bulk(b"entries");
    reply.entries(full.entries);
    reply.bulk(b"groups");
    reply.array(full.groups.len());
    for group in &full.groups {
        group_full(reply, group, lag_compat);
    }
    retention::show(reply, &kept);
    Ok(Flow::Done)
}

fn counters(reply: &mut Reply, stream: &StreamInfo, producers: &ProducersInfo) {
    reply.bulk(b"length");
    reply.count(stream.length);
    reply.bulk(b"radix-tree-keys");
    reply.count(stream.nodes);
    reply.bulk(b"radix-tree-nodes");
    reply.count(stream.nodes + 1);
    reply.bulk(b"last-generated-id");
    reply.id(stream.last_id);
    reply.bulk(b"max-deleted-entry-id");
    reply.id(stream.max_deleted_id);
    reply.bulk(b"entries-added");
    reply.count(stream.entries_added);
    reply.bulk(b"recorded-first-entry-id");
    reply.id(stream.first_id);
    reply.bulk(b"idmp-duration");
    reply.count(producers.settings.seconds);
    reply.bulk(b"idmp-maxsize");
    reply.count(producers.settings.count_max);
    reply.bulk(b"pids-tracked");
    reply.count(producers.producers);
    reply.bulk(b"iids-tracked");
    reply.count(producers.messages);
    reply.bulk(b"iids-added");
    reply.count(producers.added);
    reply.bulk(b"iids-duplicates");
    reply.count(producers.repeated);
}

fn brief(ctx: &mut Ctx<'_, '_>, key: &[u8], stream: &StreamInfo) -> Result<Flow, Refusal> {
    let db = ctx.db();
    let first = Range {
        start: EntryId::MIN,
        end: EntryId::MAX,
        reverse: false,
        count: Some(1),
    };
    let first = ctx.batch.range(db, key, first)?.unwrap_or_default();
    let last = ctx.batch.last_entry(db, key)?.unwrap_or_default();
    let producers = ctx.batch.producers(db, key).unwrap_or_default();
    let kept = retention::shown(ctx.batch, db, key);
    let reply = &mut *ctx.reply;
    reply.map(16 + kept.len());
    counters(reply, stream, &producers);
    reply.bulk(b"groups");
    reply.count(stream.groups);
    reply.bulk(b"first-entry");
    reply.entry(first);
    reply.bulk(b"last-entry");
    reply.entry(last);
    retention::show(reply, &kept);
    Ok(Flow::Done)
}

/// Entries read and lag: null where they are not known. `lag_compat`: to Redis, that is.
fn progress(reply: &mut Reply, group: &GroupInfo, lag_compat: bool) {
    reply.bulk(b"entries-read");
    optional(reply, group.entries_read.map(u64::cast_signed));
    reply.bulk(b"lag");
    if lag_compat {
        optional(reply, group.estimated_lag);
    } else {
        reply.count(group.lag);
    }
}

fn optional(reply: &mut Reply, count: Option<i64>) {
    match count {
        Some(count) => reply.int(count),
        None => reply.null(),
    }
}

fn group_full(reply: &mut Reply, group: &GroupFull, lag_compat: bool) {
    reply.map(8);
    reply.bulk(b"name");
    reply.bulk(&group.info.name);
    reply.bulk(b"last-delivered-id");
    reply.id(group.info.last_delivered_id);
    progress(reply, &group.info, lag_compat);
    reply.bulk(b"pel-count");
    reply.count(group.info.pending);
    reply.bulk(b"nacked-count");
    reply.count(group.info.given_back);
    reply.bulk(b"pending");
    reply.array(group.pending.len());
    for entry in &group.pending {
        reply.array(4);
        reply.id(entry.id);
        reply.bulk(&entry.consumer);
        delivery(reply, entry);
    }
    reply.bulk(b"consumers");
    reply.array(group.consumers.len());
    for consumer in &group.consumers {
        consumer_full(reply, consumer);
    }
}

fn delivery(reply: &mut Reply, entry: &PendingInfo) {
    reply.count(entry.delivered_ms);
    reply.count(entry.delivery_count);
}

fn consumer_full(reply: &mut Reply, consumer: &ConsumerFull) {
    reply.map(5);
    reply.bulk(b"name");
    reply.bulk(&consumer.info.name);
    reply.bulk(b"seen-time");
    reply.count(consumer.info.seen_ms);
    reply.bulk(b"active-time");
    time_or_never(reply, consumer.info.active_ms);
    reply.bulk(b"pel-count");
    reply.count(consumer.info.pending);
    reply.bulk(b"pending");
    reply.array(consumer.pending.len());
    for entry in &consumer.pending {
        reply.array(3);
        reply.id(entry.id);
        delivery(reply, entry);
    }
}

fn time_or_never(reply: &mut Reply, ms: Option<u64>) {
    match ms {
        Some(ms) => reply.count(ms),
        None => reply.int(-1),
    }
}

fn groups(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    ctx.look(args[2]).ok_or(Refusal::NO_SUCH_KEY)?;
    let groups = ctx.batch.groups(ctx.db(), args[2])?;
    let lag_compat = ctx.hub.config.stream_lag_compat;
    let reply = &mut *ctx.reply;
    reply.array(groups.len());
    for group in &groups {
        reply.map(6);
        reply.bulk(b"name");
        reply.bulk(&group.name);
        reply.bulk(b"consumers");
        reply.count(group.consumers);
        reply.bulk(b"pending");
        reply.count(group.pending);
        reply.bulk(b"last-delivered-id");
        reply.id(group.last_delivered_id);
        progress(reply, group, lag_compat);
    }
    Ok(Flow::Done)
}

fn consumers(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let (key, group) = (args[2], args[3]);
    ctx.look(key).ok_or(Refusal::NO_SUCH_KEY)?;
    let consumers = ctx
        .batch
        .consumers(ctx.db(), key, group)
        .map_err(|error| match error {
            Error::NoSuchGroup => no_group(key, group),
            other => other.into(),
        })?;
    let now_ms = ctx.batch.now_ms();
    let reply = &mut *ctx.reply;
    reply.array(consumers.len());
    for consumer in &consumers {
        reply.map(4);
        reply.bulk(b"name");
        reply.bulk(&consumer.name);
        reply.bulk(b"pending");
        reply.count(consumer.pending);
        reply.bulk(b"idle");
        reply.count(now_ms.saturating_sub(consumer.seen_ms));
        reply.bulk(b"inactive");
        time_or_never(
            reply,
            consumer.active_ms.map(|ms| now_ms.saturating_sub(ms)),
        );
    }
    Ok(Flow::Done)
}

//! OBJECT and MEMORY: how a key is kept, and what it costs.

use super::help::help;
use super::{Ctx, Flow, Group, KeySpec, Spec, arg, flag};
use crate::refusal::Refusal;

pub(crate) static SPECS: &[Spec] = &[
    Spec {
        name: "object",
        arity: -2,
        group: Group::Generic,
        since: "2.2.3",
        complexity: "Depends on the subcommand",
        summary: "Tells how keys are kept.",
        subcommands: OBJECT,
        ..Spec::BASE
    },
    Spec {
        name: "memory",
        arity: -2,
        group: Group::Server,
        since: "4.0.0",
        complexity: "Depends on the subcommand",
        summary: "Tells what memory is used for.",
        subcommands: MEMORY,
        ..Spec::BASE
    },
];

/// What the subcommands that name a key have in common.
const ON_KEY: Spec = Spec {
    arity: 3,
    flags: flag::READONLY,
    keys: KeySpec::at(2),
    group: Group::Generic,
    since: "2.2.3",
    syntax: "key",
    ..Spec::BASE
};

/// What HELP of both has in common.
const HELP: Spec = Spec {
    name: "help",
    arity: 2,
    flags: flag::LOADING | flag::STALE,
    summary: "Lists the subcommands.",
    ..Spec::BASE
};

const OBJECT: &[Spec] = &[
    Spec {
        name: "encoding",
        summary: "Tells the internal form of a key: stream.",
        handler: encoding,
        ..ON_KEY
    },
    Spec {
        name: "freq",
        since: "4.0.0",
        summary: "Refused: no frequency of use is kept, because nothing is ever evicted.",
        handler: freq,
        ..ON_KEY
    },
    Spec {
        group: Group::Generic,
        since: "6.2.0",
        handler: object_help,
        ..HELP
    },
    Spec {
        name: "idletime",
        summary: "Tells how many seconds ago a key was used last.",
        handler: idletime,
        ..ON_KEY
    },
    Spec {
        name: "refcount",
        summary: "Counts the references to a key's value: 1.",
        handler: refcount,
        ..ON_KEY
    },
];

/// What the subcommands of MEMORY without a key have in common.
const MEMORY_BASE: Spec = Spec {
    arity: 2,
    group: Group::Server,
    since: "4.0.0",
    ..Spec::BASE
};

const MEMORY: &[Spec] = &[
    Spec {
        name: "doctor",
        summary: "Has no advice: memory follows what is active, and nothing is evicted.",
        handler: doctor,
        ..MEMORY_BASE
    },
    Spec {
        since: "4.0.0",
        handler: memory_help,
        ..HELP
    },
    Spec {
        name: "malloc-stats",
        summary: "Has nothing to tell: the allocator keeps no report.",
        handler: malloc_stats,
        ..MEMORY_BASE
    },
    Spec {
        name: "purge",
        flags: flag::LOADING,
        summary: "Does nothing: the allocator returns memory by itself.",
        handler: purge,
        ..MEMORY_BASE
    },
    Spec {
        name: "stats",
        complexity: "O(D) for D databases",
        summary: "Tells the figures that the broker has about its memory.",
        handler: stats,
        ..MEMORY_BASE
    },
    Spec {
        name: "usage",
        arity: -3,
        since: "4.0.0",
        group: Group::Server,
        complexity: "O(G) for G groups and their consumers",
        summary: "Tells how many bytes of memory a key takes. Entries on disk do not count.",
        syntax: "key [SAMPLES count]",
        handler: usage,
        ..ON_KEY
    },
];

/// Answers null for a missing key.
fn on_key(
    ctx: &mut Ctx<'_, '_>,
    key: &[u8],
    tell: fn(&mut Ctx<'_, '_>, &[u8]) -> Result<(), Refusal>,
) -> Result<Flow, Refusal> {
    if ctx.batch.exists(ctx.db(), key) {
        tell(ctx, key)?;
    } else {
        ctx.reply.null();
    }
    Ok(Flow::Done)
}

fn encoding(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    on_key(ctx, args[2], |ctx, _| {
        ctx.reply.bulk(b"stream");
        Ok(())
    })
}

fn refcount(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    on_key(ctx, args[2], |ctx, _| {
        ctx.reply.int(1);
        Ok(())
    })
}

fn idletime(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    on_key(ctx, args[2], |ctx, key| {
        let idle_ms = ctx.batch.idle_ms(ctx.db(), key).unwrap_or(0);
        ctx.reply.count(idle_ms / 1_000);
        Ok(())
    })
}

fn freq(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    on_key(ctx, args[2], |_, _| {
        Err(Refusal::new(
            "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please \
             note that when switching between policies at runtime LRU and LFU data will take some \
             time to adjust.",
        ))
    })
}

fn object_help(ctx: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    Ok(help(
        ctx,
        "OBJECT",
        &[
            ("ENCODING <key>", &["Tell the internal form of the key."]),
            (
                "FREQ <key>",
                &["Tell how often the key is used; not kept here."],
            ),
            (
                "IDLETIME <key>",
                &["Tell how many seconds ago the key was used."],
            ),
            (
                "REFCOUNT <key>",
                &["Count the references to the key's value."],
            ),
        ],
    ))
}

fn usage(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    match args[3..] {
        [] => {}
        // How much is sampled makes no difference: the figure is known.
        [samples, count] if arg::is(samples, "SAMPLES") => {
            if arg::int(count)? < 0 {
                return Err(Refusal::SYNTAX);
            }
        }
        _ => return Err(Refusal::SYNTAX),
    }
    on_key(ctx, args[2], |ctx, key| {
        let bytes = ctx.batch.memory_usage(ctx.db(), key).unwrap_or(0);
        ctx.reply.count(bytes);
        Ok(())
    })
}

fn doctor(ctx: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    ctx.reply.verbatim(
        b"Nothing to complain about: entries are on disk, and memory follows what is active.\n",
    );
    Ok(Flow::Done)
}

fn malloc_stats(ctx: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    ctx.reply
        .verbatim(b"Stats not supported for the current allocator");
    Ok(Flow::Done)
}

fn purge(ctx: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    ctx.reply.ok();
    Ok(Flow::Done)
}

fn stats(ctx: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    let keys: usize = (0..alluvium_engine::limits::DATABASES)
        .map(|db| ctx.batch.key_count(db))
        .sum();
    ctx.reply.map(1);
    ctx.reply.bulk(b"keys.count");
    ctx.reply.count(keys);
    Ok(Flow::Done)
}

fn memory_help(ctx: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    Ok(help(
        ctx,
        "MEMORY",
        &[
            ("DOCTOR", &["Give advice; there is none."]),
            (
                "MALLOC-STATS",
                &["Show the allocator's report; it has none."],
            ),
            ("PURGE", &["Return free memory; happens by itself."]),
            ("STATS", &["Show figures about memory."]),
            (
                "USAGE <key> [SAMPLES <count>]",
                &["Tell how many bytes of memory the key takes."],
            ),
        ],
    ))
}

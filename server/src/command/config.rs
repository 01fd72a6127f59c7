//! CONFIG: reading and changing parameters.

use super::flag::{ADMIN, LOADING, NOSCRIPT, STALE};
use super::help::help;
use super::{Ctx, Flow, Group, Spec};
use crate::glob;
use crate::log;
use crate::parameters::{Change, Config, Parameter, TABLE, rewrite};
use crate::refusal::Refusal;

const BASE: Spec = Spec {
    group: Group::Server,
    flags: ADMIN | NOSCRIPT | LOADING | STALE,
    since: "2.0.0",
    ..Spec::BASE
};

pub(crate) static SPECS: &[Spec] = &[Spec {
    name: "config",
    arity: -2,
    flags: 0,
    complexity: "Depends on the subcommand.",
    summary: "Reads and changes the configuration.",
    subcommands: &[
        Spec {
            name: "get",
            arity: -3,
            complexity: "O(N) for N parameters",
            summary: "Shows the parameters whose names match patterns.",
            syntax: "pattern [pattern ...]",
            handler: get,
            ..BASE
        },
        Spec {
            name: "set",
            arity: -4,
            complexity: "O(N) for N parameters",
            summary: "Changes parameters, all or none.",
            syntax: "parameter value [parameter value ...]",
            handler: set,
            ..BASE
        },
        Spec {
            name: "resetstat",
            arity: 2,
            summary: "Sets the statistics of INFO back to zero.",
            handler: resetstat,
            ..BASE
        },
        Spec {
            name: "rewrite",
            arity: 2,
            since: "2.8.0",
            summary: "Writes the current configuration into the file that was given at start.",
            handler: rewrite_file,
            ..BASE
        },
        Spec {
            name: "help",
            arity: 2,
            flags: LOADING | STALE,
            since: "5.0.0",
            summary: "Explains the subcommands.",
            handler: explain,
            ..BASE
        },
    ],
    ..BASE
}];

fn get(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let mut shown: Vec<(Vec<u8>, &Parameter)> = Vec::new();
    for pattern in &args[2..] {
        for found in matching(pattern) {
            if !shown
                .iter()
                .any(|(name, _)| name.eq_ignore_ascii_case(&found.0))
            {
                shown.push(found);
            }
        }
    }
    ctx.reply.map(shown.len());
    for (name, parameter) in shown {
        ctx.reply.bulk(&name);
        ctx.reply.bulk(&parameter.show(&ctx.hub.config));
    }
    Ok(Flow::Done)
}

/// The names that a pattern matches. What is not a pattern is shown as it was written.
fn matching(pattern: &[u8]) -> Vec<(Vec<u8>, &'static Parameter)> {
    if !pattern.iter().any(|byte| b"*?[".contains(byte)) {
        let named = Parameter::named(pattern);
        return named
            .map(|parameter| (pattern.to_vec(), parameter))
            .into_iter()
            .collect();
    }
    let pattern = pattern.to_ascii_lowercase();
    let names = TABLE.iter().flat_map(|parameter| {
        let names = std::iter::once(parameter.name).chain(parameter.alias);
        names.map(move |name| (name.as_bytes().to_vec(), parameter))
    });
    names
        .filter(|(name, _)| glob::matches(&pattern, name))
        .collect()
}

/// All parameters are set on a copy first; it takes the place of the configuration only if each of
/// them was accepted.
fn set(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    if !args.len().is_multiple_of(2) {
        return Err(Refusal::SYNTAX);
    }
    let pairs: Vec<(&[u8], &[u8])> = args[2..].chunks_exact(2).map(|p| (p[0], p[1])).collect();
    let known: Vec<Option<&Parameter>> = pairs
        .iter()
        .map(|(name, _)| Parameter::named(name))
        .collect();
    if let Some(at) = known.iter().position(Option::is_none) {
        return Err(Refusal::quoting(&[
            b"ERR Unknown option or number of arguments for CONFIG SET - '",
            pairs[at].0,
            b"'",
        ]));
    }
    let known: Vec<&Parameter> = known.into_iter().flatten().collect();
    let mut changed = ctx.hub.config.clone();
    for (at, parameter) in known.iter().enumerate() {
        let (name, text) = pairs[at];
        if known[..at].iter().any(|other| other.name == parameter.name) {
            return Err(refuse(name, "duplicate parameter"));
        }
        // Redis refuses even the present value. Here it is accepted, so that all that CONFIG GET
        // lists can be set back.
        if parameter.change == Change::AtStart {
            if parameter.show(&ctx.hub.config) != text {
                return Err(refuse(name, "can't set immutable config"));
            }
            continue;
        }
        parameter
            .set_text(&mut changed, text)
            .map_err(|complaint| refuse(name, &complaint))?;
    }
    apply(ctx, changed);
    ctx.reply.ok();
    Ok(Flow::Done)
}

fn refuse(name: &[u8], complaint: &str) -> Refusal {
    Refusal::quoting(&[
        b"ERR CONFIG SET failed (possibly related to argument '",
        name,
        b"') - ",
        complaint.as_bytes(),
    ])
}

/// Puts a configuration into effect. What is read from it at each use needs nothing more.
fn apply(ctx: &mut Ctx<'_, '_>, changed: Config) {
    let present = &ctx.hub.config;
    if changed.appendfsync != present.appendfsync {
        ctx.server.engine.set_sync_policy(changed.appendfsync);
    }
    if changed.disk_quota != present.disk_quota {
        ctx.server.engine.set_disk_quota(changed.disk_quota);
    }
    if changed.stream_node_max_entries != present.stream_node_max_entries {
        ctx.batch.set_node_entries_max(changed.node_entries_max());
    }
    ctx.batch.set_producer_defaults(changed.producer_settings());
    ctx.batch.set_retention_defaults(changed.kept());
    log::set_level(changed.loglevel);
    ctx.hub.stats.limit_slow_log(changed.slowlog_max_len);
    ctx.hub.config = changed;
}

fn resetstat(ctx: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    ctx.hub.stats.reset();
    ctx.reply.ok();
    Ok(Flow::Done)
}

/// The file is written outside of the locks: nobody waits for the disk.
fn rewrite_file(ctx: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    if ctx.hub.config.file.is_none() {
        return Err(Refusal::new(
            "ERR The server is running without a config file",
        ));
    }
    Ok(Flow::Outside(Box::new(|server, reply| {
        let config = server.hub.lock().config.clone();
        rewrite::rewrite_file(&config, rewrite::Extent::Changed)
            .map_err(|error| Refusal::format(format_args!("ERR Rewriting config file: {error}")))?;
        reply.ok();
        Ok(())
    })))
}

fn explain(ctx: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    Ok(help(
        ctx,
        "CONFIG",
        &[
            (
                "GET <pattern> [<pattern> ...]",
                &["Show the parameters whose names match."],
            ),
            (
                "SET <parameter> <value> [<parameter> <value> ...]",
                &["Change parameters, all or none."],
            ),
            ("RESETSTAT", &["Set the statistics of INFO back to zero."]),
            (
                "REWRITE",
                &["Write the configuration into the file that was given at start."],
            ),
        ],
    ))
}

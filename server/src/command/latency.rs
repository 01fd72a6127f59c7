//! LATENCY: what took long, by event and by command.

use std::collections::VecDeque;

use super::flag::{ADMIN, LOADING, NOSCRIPT, STALE};
use super::help::help;
use super::info_stats::count;
use super::introspection::named;
use super::{Command, Ctx, Flow, Group, Spec, Table};
use crate::refusal::Refusal;
use crate::stats::LatencySample;

const BASE: Spec = Spec {
    group: Group::Server,
    flags: ADMIN | NOSCRIPT | LOADING | STALE,
    since: "2.8.13",
    ..Spec::BASE
};

pub(crate) static SPECS: &[Spec] = &[Spec {
    name: "latency",
    arity: -2,
    flags: 0,
    complexity: "Depends on the subcommand.",
    summary: "Tells what took long.",
    subcommands: &[
        Spec {
            name: "doctor",
            arity: 2,
            summary: "A report in words.",
            handler: doctor,
            ..BASE
        },
        Spec {
            name: "graph",
            arity: 3,
            summary: "A picture of the samples of an event.",
            syntax: "event",
            handler: graph,
            ..BASE
        },
        Spec {
            name: "histogram",
            arity: -2,
            since: "7.0.0",
            complexity: "O(N) for N commands",
            summary: "How long the calls of commands took.",
            syntax: "[command [command ...]]",
            handler: histogram,
            ..BASE
        },
        Spec {
            name: "history",
            arity: 3,
            summary: "The samples of an event.",
            syntax: "event",
            handler: history,
            ..BASE
        },
        Spec {
            name: "latest",
            arity: 2,
            summary: "The newest sample of each event.",
            handler: latest,
            ..BASE
        },
        Spec {
            name: "reset",
            arity: -2,
            summary: "Forgets the samples of events, or of all.",
            syntax: "[event [event ...]]",
            handler: reset,
            ..BASE
        },
        Spec {
            name: "help",
            arity: 2,
            flags: LOADING | STALE,
            summary: "Explains the subcommands.",
            handler: explain,
            ..BASE
        },
    ],
    ..BASE
}];

/// An event by its name in any case.
fn samples<'a>(ctx: &'a Ctx<'_, '_>, event: &[u8]) -> Option<&'a VecDeque<LatencySample>> {
    let is_meant = |name: &&str| name.as_bytes().eq_ignore_ascii_case(event);
    let events = &ctx.hub.stats.latencies;
    events
        .iter()
        .find(|(name, _)| is_meant(name))
        .map(|(_, samples)| samples)
}

fn history(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let samples: Vec<LatencySample> =
        samples(ctx, args[2]).map_or(Vec::new(), |samples| samples.iter().copied().collect());
    ctx.reply.array(samples.len());
    for sample in samples {
        ctx.reply.array(2);
        ctx.reply.count(sample.at_secs);
        ctx.reply.count(sample.millis);
    }
    Ok(Flow::Done)
}

fn latest(ctx: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    let events = &ctx.hub.stats.latencies;
    let known: Vec<_> = events
        .iter()
        .filter_map(|(name, samples)| Some((name, samples.back()?, samples)))
        .collect();
    ctx.reply.array(known.len());
    for (name, newest, samples) in known {
        let millis_max = samples.iter().map(|sample| sample.millis).max();
        ctx.reply.array(4);
        ctx.reply.bulk(name.as_bytes());
        ctx.reply.count(newest.at_secs);
        ctx.reply.count(newest.millis);
        ctx.reply.count(millis_max.unwrap_or(0));
    }
    Ok(Flow::Done)
}

fn reset(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let events = &mut ctx.hub.stats.latencies;
    let before = events.len();
    let is_named = |event: &str| {
        args[2..]
            .iter()
            .any(|name| event.as_bytes().eq_ignore_ascii_case(name))
    };
    events.retain(|event, _| args.len() > 2 && !is_named(event));
    let forgotten = before - events.len();
    ctx.reply.count(forgotten);
    Ok(Flow::Done)
}

fn doctor(ctx: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    let threshold = ctx.hub.config.latency_monitor_threshold;
    let mut report = vec![if threshold == 0 {
        "Latency monitoring is off. CONFIG SET latency-monitor-threshold <milliseconds> turns it on."
            .to_owned()
    } else if ctx.hub.stats.latencies.is_empty() {
        format!("No event took {threshold} milliseconds or longer.")
    } else {
        format!("Events that took {threshold} milliseconds or longer:")
    }];
    for (event, samples) in &ctx.hub.stats.latencies {
        let count = samples.len();
        let longest = samples
            .iter()
            .map(|sample| sample.millis)
            .max()
            .unwrap_or(0);
        let total: u64 = samples.iter().map(|sample| sample.millis).sum();
        let average = total / (count as u64).max(1);
        report.push(format!(
            "- {event}: {count} samples, average {average} ms, longest {longest} ms."
        ));
    }
    let sync_max = ctx
        .server
        .engine
        .stats_in(ctx.batch)
        .sync_time_max
        .as_millis();
    report.push(format!(
        "The longest sync of the log took {sync_max} ms; SLOWLOG GET shows slow commands.\n"
    ));
    ctx.reply.verbatim(report.join("\n").as_bytes());
    Ok(Flow::Done)
}

/// Rows of the picture that LATENCY GRAPH draws.
const GRAPH_ROWS: u64 = 4;

fn graph(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let Some(samples) = samples(ctx, args[2]).filter(|samples| !samples.is_empty()) else {
        return Err(Refusal::quoting(&[
            b"ERR No samples available for event '",
            args[2],
            b"'",
        ]));
    };
    let longest = samples
        .iter()
        .map(|sample| sample.millis)
        .max()
        .unwrap_or(0);
    let shortest = samples
        .iter()
        .map(|sample| sample.millis)
        .min()
        .unwrap_or(0);
    let event = String::from_utf8_lossy(args[2]).to_ascii_lowercase();
    let mut picture = format!("{event} - high {longest} ms, low {shortest} ms\n");
    for row in (1..=GRAPH_ROWS).rev() {
        for sample in samples {
            let height = (sample.millis * GRAPH_ROWS).div_ceil(longest.max(1));
            picture.push(if height >= row { '#' } else { ' ' });
        }
        picture.push('\n');
    }
    ctx.reply.verbatim(picture.as_bytes());
    Ok(Flow::Done)
}

/// For each command the calls that took at most 1, 2, 4, ... microseconds.
fn histogram(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let table = Table::shared();
    let wanted: Vec<&'static Command> = if args.len() == 2 {
        table.all().iter().collect()
    } else {
        let named = args[2..].iter().filter_map(|name| named(name));
        named
            .flat_map(|command| std::iter::once(command).chain(table.subcommands(command)))
            .collect()
    };
    let stats = &ctx.hub.stats.commands;
    let latency = |command: &&Command| stats.get(command.index()).map(|stats| stats.latency);
    let called: Vec<_> = wanted
        .into_iter()
        .filter_map(|command| Some((command, latency(&command)?)))
        .filter(|(_, latency)| count(latency) > 0)
        .collect();
    ctx.reply.map(called.len());
    for (command, latency) in called {
        ctx.reply.bulk(command.full_name().as_bytes());
        ctx.reply.map(2);
        ctx.reply.bulk(b"calls");
        ctx.reply.count(count(&latency));
        ctx.reply.bulk(b"histogram_usec");
        let filled = latency.buckets.iter().filter(|count| **count > 0).count();
        ctx.reply.map(filled);
        let mut calls: u64 = 0;
        for (power, more) in latency
            .buckets
            .iter()
            .enumerate()
            .filter(|(_, more)| **more > 0)
        {
            calls += u64::from(*more);
            ctx.reply.int(1 << power);
            ctx.reply.count(calls);
        }
    }
    Ok(Flow::Done)
}

fn explain(ctx: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    Ok(help(
        ctx,
        "LATENCY",
        &[
            ("DOCTOR", &["A report in words."]),
            ("GRAPH <event>", &["A picture of the samples of <event>."]),
            (
                "HISTOGRAM [<command> ...]",
                &["How long the calls of commands took."],
            ),
            (
                "HISTORY <event>",
                &["The samples of <event>: time and milliseconds."],
            ),
            (
                "LATEST",
                &["The newest and the longest sample of each event."],
            ),
            (
                "RESET [<event> ...]",
                &["Forget the samples of events (default: all)."],
            ),
        ],
    ))
}

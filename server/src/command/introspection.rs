//! COMMAND: what the broker can do, for clients that want to know before they ask for it.

use super::categories::{CATEGORIES, categories};
use super::command_keys::{access, access_to_second, keys_of};
use super::flag::{self, LOADING, STALE};
use super::help::help;
use super::{Command, Ctx, Flow, Group, KeySpec, Spec, Table, syntax};
use crate::glob;
use crate::refusal::Refusal;
use crate::reply::Reply;

const BASE: Spec = Spec {
    group: Group::Server,
    flags: LOADING | STALE,
    since: "2.8.13",
    ..Spec::BASE
};

pub(crate) static SPECS: &[Spec] = &[Spec {
    name: "command",
    arity: -1,
    complexity: "O(N) for N commands",
    summary: "Describes all commands.",
    handler: all,
    subcommands: SUBCOMMANDS,
    ..BASE
}];

static SUBCOMMANDS: &[Spec] = &[
    Spec {
        name: "count",
        arity: 2,
        summary: "Counts the commands.",
        handler: count,
        ..BASE
    },
    Spec {
        name: "docs",
        arity: -2,
        since: "7.0.0",
        complexity: "O(N) for N commands",
        summary: "Documents commands, or all of them.",
        syntax: "[command [command ...]]",
        handler: docs,
        ..BASE
    },
    Spec {
        name: "getkeys",
        arity: -3,
        complexity: "O(N) for N arguments",
        summary: "Finds the keys among the arguments of a command.",
        syntax: "command [arg ...]",
        handler: getkeys,
        ..BASE
    },
    Spec {
        name: "getkeysandflags",
        arity: -3,
        since: "7.0.0",
        complexity: "O(N) for N arguments",
        summary: "Finds the keys among the arguments of a command and what is done to them.",
        syntax: "command [arg ...]",
        handler: getkeysandflags,
        ..BASE
    },
    Spec {
        name: "info",
        arity: -2,
        complexity: "O(N) for N commands",
        summary: "Describes commands, or all of them.",
        syntax: "[command [command ...]]",
        handler: info,
        ..BASE
    },
    Spec {
        name: "list",
        arity: -2,
        since: "7.0.0",
        complexity: "O(N) for N commands",
        summary: "Lists the names of the commands, or of some.",
        syntax: "[FILTERBY <MODULE name | ACLCAT category | PATTERN pattern>]",
        handler: list,
        ..BASE
    },
    Spec {
        name: "help",
        arity: 2,
        since: "5.0.0",
        summary: "Explains the subcommands.",
        handler: explain,
        ..BASE
    },
];

fn all(ctx: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    let table = Table::shared();
    ctx.reply.array(table.top_level().len());
    for command in table.top_level() {
        describe(ctx.reply, command);
    }
    Ok(Flow::Done)
}

fn count(ctx: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    ctx.reply.count(Table::shared().top_level().len());
    Ok(Flow::Done)
}

fn info(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    if args.len() == 2 {
        return all(ctx, args);
    }
    ctx.reply.array(args.len() - 2);
    for name in &args[2..] {
        match named(name) {
            Some(command) => describe(ctx.reply, command),
            None => ctx.reply.null(),
        }
    }
    Ok(Flow::Done)
}

/// A command by its name, a subcommand by `container|sub`.
pub(super) fn named(name: &[u8]) -> Option<&'static Command> {
    let table = Table::shared();
    match name.iter().position(|byte| *byte == b'|') {
        None => table.find(name),
        Some(bar) => table.find_sub(table.find(&name[..bar])?, &name[bar + 1..]),
    }
}

fn describe(reply: &mut Reply, command: &'static Command) {
    let spec = command.spec;
    reply.array(10);
    reply.bulk(command.full_name().as_bytes());
    reply.int(i64::from(spec.arity));
    let flags: Vec<&str> = flag::NAMES
        .iter()
        .filter(|(bit, _)| spec.has(*bit))
        .map(|(_, name)| *name)
        .collect();
    reply.set(flags.len());
    for name in flags {
        reply.simple(name);
    }
    let (first, last, step) = match spec.keys {
        KeySpec::Range { first, last, step } => (first, last, step),
        KeySpec::None | KeySpec::Streams => (0, 0, 0),
    };
    for number in [first, last, step] {
        reply.int(i64::from(number));
    }
    let categories = categories(command);
    reply.set(categories.len());
    for category in categories {
        reply.simple(&format!("@{category}"));
    }
    reply.set(0);
    describe_keys(reply, command);
    let subcommands = Table::shared().subcommands(command);
    reply.array(subcommands.len());
    for subcommand in subcommands {
        describe(reply, subcommand);
    }
}

fn describe_keys(reply: &mut Reply, command: &Command) {
    let spec = command.spec;
    let (first, last, step) = match spec.keys {
        KeySpec::None => {
            reply.set(0);
            return;
        }
        KeySpec::Range { first, last, step } => (Some(first), last, step),
        KeySpec::Streams => (None, -1, 1),
    };
    if let (Some(first), Some(second)) = (first, access_to_second(command)) {
        reply.set(2);
        for (at, access) in [(first, access(command)), (last, second)] {
            describe_key(reply, access, |reply| begin_at(reply, at));
            find_range(reply, 0, step, 0);
        }
        return;
    }
    reply.set(1);
    if let Some(first) = first {
        describe_key(reply, access(command), |reply| begin_at(reply, first));
        // Counted from the first key, unless it is counted from the end.
        find_range(reply, if last < 0 { last } else { last - first }, step, 0);
    } else {
        let from = if spec.name == "xread" { 1 } else { 4 };
        describe_key(reply, access(command), |reply| {
            begin_behind_streams(reply, from);
        });
        find_range(reply, last, step, 2);
    }
}

fn describe_key(reply: &mut Reply, access: &[&str], begin: impl FnOnce(&mut Reply)) {
    reply.map(3);
    reply.bulk(b"flags");
    reply.set(access.len());
    for word in access {
        reply.simple(word);
    }
    reply.bulk(b"begin_search");
    reply.map(2);
    reply.bulk(b"type");
    begin(reply);
}

fn begin_at(reply: &mut Reply, position: i32) {
    reply.bulk(b"index");
    reply.bulk(b"spec");
    reply.map(1);
    reply.bulk(b"index");
    reply.int(i64::from(position));
}

fn begin_behind_streams(reply: &mut Reply, from: i64) {
    reply.bulk(b"keyword");
    reply.bulk(b"spec");
    reply.map(2);
    reply.bulk(b"keyword");
    reply.bulk(b"STREAMS");
    reply.bulk(b"startfrom");
    reply.int(from);
}

fn find_range(reply: &mut Reply, last: i32, step: i32, limit: i64) {
    reply.bulk(b"find_keys");
    reply.map(2);
    reply.bulk(b"type");
    reply.bulk(b"range");
    reply.bulk(b"spec");
    reply.map(3);
    reply.bulk(b"lastkey");
    reply.int(i64::from(last));
    reply.bulk(b"keystep");
    reply.int(i64::from(step));
    reply.bulk(b"limit");
    reply.int(limit);
}

fn docs(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let commands: Vec<&'static Command> = if args.len() == 2 {
        Table::shared().top_level().iter().collect()
    } else {
        args[2..].iter().filter_map(|name| named(name)).collect()
    };
    ctx.reply.map(commands.len());
    for command in commands {
        document(ctx.reply, command);
    }
    Ok(Flow::Done)
}

fn document(reply: &mut Reply, command: &'static Command) {
    let spec = command.spec;
    let subcommands = Table::shared().subcommands(command);
    reply.bulk(command.full_name().as_bytes());
    let has_arguments = !spec.syntax.is_empty();
    reply.map(4 + usize::from(has_arguments) + usize::from(!subcommands.is_empty()));
    for (name, text) in [
        ("summary", spec.summary),
        ("since", spec.since),
        ("group", spec.group.name()),
        ("complexity", spec.complexity),
    ] {
        reply.bulk(name.as_bytes());
        reply.bulk(text.as_bytes());
    }
    if has_arguments {
        reply.bulk(b"arguments");
        syntax::write(reply, spec.syntax);
    }
    if !subcommands.is_empty() {
        reply.bulk(b"subcommands");
        reply.map(subcommands.len());
        for subcommand in subcommands {
            document(reply, subcommand);
        }
    }
}

fn list(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let table = Table::shared();
    let names: Vec<&str> = match &args[2..] {
        [] => table.top_level().iter().map(Command::full_name).collect(),
        [filterby, kind, value] if filterby.eq_ignore_ascii_case(b"filterby") => {
            let is_wanted = list_filter(kind, value)?;
            let wanted = table.all().iter().filter(|command| is_wanted(command));
            wanted.map(Command::full_name).collect()
        }
        _ => return Err(Refusal::SYNTAX),
    };
    ctx.reply.array(names.len());
    for name in names {
        ctx.reply.bulk(name.as_bytes());
    }
    Ok(Flow::Done)
}

type CommandFilter<'a> = Box<dyn Fn(&Command) -> bool + 'a>;

fn list_filter<'a>(kind: &[u8], value: &'a [u8]) -> Result<CommandFilter<'a>, Refusal> {
    match kind.to_ascii_lowercase().as_slice() {
        b"module" => Ok(Box::new(|_| false)),
        b"aclcat" => {
            let known = CATEGORIES
                .iter()
                .find(|name| value.eq_ignore_ascii_case(name.as_bytes()));
            Ok(Box::new(move |command| {
                known.is_some_and(|known| categories(command).contains(known))
            }))
        }
        b"pattern" => {
            let pattern = value.to_ascii_lowercase();
            Ok(Box::new(move |command| {
                glob::matches(&pattern, command.full_name().as_bytes())
            }))
        }
        _ => Err(Refusal::SYNTAX),
    }
}

/// The command that COMMAND GETKEYS is asked about, and where its keys stand.
fn command_with_keys(args: &[&[u8]]) -> Result<(&'static Command, Vec<usize>), Refusal> {
    let invalid = Refusal::new("ERR Invalid command specified");
    let table = Table::shared();
    let mut command = table.find(args[0]).ok_or(invalid.clone())?;
    if let (false, Some(sub)) = (command.spec.subcommands.is_empty(), args.get(1)) {
        command = table.find_sub(command, sub).ok_or(invalid)?;
    }
    if command.spec.keys == KeySpec::None {
        return Err(Refusal::new("ERR The command has no key arguments"));
    }
    if !command.accepts(args.len()) {
        return Err(Refusal::new(
            "ERR Invalid number of arguments specified for command",
        ));
    }
    let keys = keys_of(command.spec.keys, args)
        .ok_or(Refusal::new("ERR Invalid arguments specified for command"))?;
    Ok((command, keys))
}

fn getkeys(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let (_, keys) = command_with_keys(&args[2..])?;
    ctx.reply.array(keys.len());
    for at in keys {
        ctx.reply.bulk(args[2 + at]);
    }
    Ok(Flow::Done)
}

fn getkeysandflags(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let (command, keys) = command_with_keys(&args[2..])?;
    ctx.reply.array(keys.len());
    for (number, at) in keys.into_iter().enumerate() {
        let access = match access_to_second(command) {
            Some(second) if number > 0 => second,
            _ => access(command),
        };
        ctx.reply.array(2);
        ctx.reply.bulk(args[2 + at]);
        ctx.reply.set(access.len());
        for word in access {
            ctx.reply.simple(word);
        }
    }
    Ok(Flow::Done)
}

fn explain(ctx: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    Ok(help(
        ctx,
        "COMMAND",
        &[
            ("(no subcommand)", &["Describe all commands."]),
            ("COUNT", &["Count the commands."]),
            (
                "DOCS [<command> ...]",
                &["Document commands, or all of them."],
            ),
            (
                "GETKEYS <command> [<arg> ...]",
                &["Find the keys among the arguments."],
            ),
            (
                "GETKEYSANDFLAGS <command> [<arg> ...]",
                &["Find the keys among the arguments and what is done to them."],
            ),
            (
                "INFO [<command> ...]",
                &["Describe commands, or all of them."],
            ),
            (
                "LIST [FILTERBY (MODULE <name>|ACLCAT <category>|PATTERN <pattern>)]",
                &["List the names of commands."],
            ),
        ],
    ))
}

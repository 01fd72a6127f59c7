//! Parts of Redis that are not here but that clients ask about: scripts, functions, modules, users,
//! the cluster. What can be answered truthfully is ("there are none"); the rest is refused clearly.

use super::categories::{CATEGORIES, categories};
use super::flag::{ADMIN, LOADING, NOSCRIPT, STALE, WRITE};
use super::help::help;
use super::introspection::named;
use super::server::no_cluster;
use super::{Command, Ctx, Flow, Group, Spec, Table};
use crate::refusal::Refusal;

const CONTAINER: Spec = Spec {
    arity: -2,
    group: Group::Server,
    complexity: "Depends on the subcommand.",
    ..Spec::BASE
};

const SCRIPTING: Spec = Spec {
    group: Group::Scripting,
    since: "7.0.0",
    ..Spec::BASE
};

const USERS: Spec = Spec {
    group: Group::Server,
    flags: ADMIN | NOSCRIPT | LOADING | STALE,
    since: "6.0.0",
    ..Spec::BASE
};

pub(crate) static SPECS: &[Spec] = &[
    Spec {
        name: "function",
        group: Group::Scripting,
        since: "7.0.0",
        summary: "There are no functions.",
        subcommands: FUNCTION,
        ..CONTAINER
    },
    Spec {
        name: "script",
        group: Group::Scripting,
        since: "2.6.0",
        summary: "There are no scripts.",
        subcommands: SCRIPT,
        ..CONTAINER
    },
    Spec {
        name: "module",
        since: "4.0.0",
        summary: "There are no modules.",
        subcommands: &[Spec {
            name: "list",
            arity: 2,
            flags: ADMIN | NOSCRIPT,
            since: "4.0.0",
            group: Group::Server,
            summary: "Lists the modules: there are none.",
            handler: none,
            ..Spec::BASE
        }],
        ..CONTAINER
    },
    Spec {
        name: "acl",
        since: "6.0.0",
        summary: "There is one user, default, who may do everything.",
        subcommands: ACL,
        ..CONTAINER
    },
    Spec {
        name: "cluster",
        arity: -2,
        flags: STALE,
        group: Group::Server,
        since: "3.0.0",
        summary: "Refused: there is no cluster mode.",
        syntax: "subcommand [arg ...]",
        handler: no_cluster,
        ..Spec::BASE
    },
];

static FUNCTION: &[Spec] = &[
    Spec {
        name: "flush",
        arity: -2,
        flags: WRITE | NOSCRIPT,
        summary: "Removes all functions: there are none.",
        syntax: "[ASYNC | SYNC]",
        handler: function_flush,
        ..SCRIPTING
    },
    Spec {
        name: "list",
        arity: -2,
        flags: NOSCRIPT,
        summary: "Lists the functions: there are none.",
        syntax: "[LIBRARYNAME pattern] [WITHCODE]",
        handler: none,
        ..SCRIPTING
    },
];

static SCRIPT: &[Spec] = &[
    Spec {
        name: "flush",
        arity: -2,
        flags: NOSCRIPT,
        since: "2.6.0",
        summary: "Removes all scripts: there are none.",
        syntax: "[ASYNC | SYNC]",
        handler: script_flush,
        ..SCRIPTING
    },
    Spec {
        name: "exists",
        arity: -3,
        flags: NOSCRIPT,
        since: "2.6.0",
        complexity: "O(N) for N scripts",
        summary: "Whether scripts are known: none is.",
        syntax: "sha1 [sha1 ...]",
        handler: script_exists,
        ..SCRIPTING
    },
];

static ACL: &[Spec] = &[
    Spec {
        name: "cat",
        arity: -2,
        flags: NOSCRIPT | LOADING | STALE,
        complexity: "O(N) for N commands",
        summary: "Lists the categories of commands, or the commands of one.",
        syntax: "[category]",
        handler: acl_cat,
        ..USERS
    },
    Spec {
        name: "dryrun",
        arity: -4,
        since: "7.0.0",
        summary: "Whether a user may run a command.",
        syntax: "user command [arg ...]",
        handler: acl_dryrun,
        ..USERS
    },
    Spec {
        name: "getuser",
        arity: 3,
        summary: "A user's rights.",
        syntax: "user",
        handler: acl_getuser,
        ..USERS
    },
    Spec {
        name: "list",
        arity: 2,
        summary: "All users' rights.",
        handler: acl_list,
        ..USERS
    },
    Spec {
        name: "log",
        arity: -2,
        summary: "Refused commands: none is noted.",
        syntax: "[count | RESET]",
        handler: acl_log,
        ..USERS
    },
    Spec {
        name: "setuser",
        arity: -3,
        summary: "Refused: there is one user.",
        syntax: "user [rule ...]",
        handler: acl_setuser,
        ..USERS
    },
    Spec {
        name: "users",
        arity: 2,
        summary: "All users' names.",
        handler: acl_users,
        ..USERS
    },
    Spec {
        name: "whoami",
        arity: 2,
        flags: NOSCRIPT | LOADING | STALE,
        summary: "The user of this connection.",
        handler: acl_whoami,
        ..USERS
    },
    Spec {
        name: "help",
        arity: 2,
        flags: LOADING | STALE,
        summary: "Explains the subcommands.",
        handler: explain,
        ..USERS
    },
];

fn none(ctx: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    ctx.reply.array(0);
    Ok(Flow::Done)
}

fn is_flush_mode(words: &[&[u8]]) -> bool {
    match words {
        [] => true,
        [word] => word.eq_ignore_ascii_case(b"sync") || word.eq_ignore_ascii_case(b"async"),
        _ => false,
    }
}

fn function_flush(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    if !is_flush_mode(&args[2..]) {
        return Err(Refusal::new(
            "ERR FUNCTION FLUSH only supports SYNC|ASYNC option",
        ));
    }
    ctx.reply.ok();
    Ok(Flow::Done)
}

fn script_flush(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    if !is_flush_mode(&args[2..]) {
        return Err(Refusal::new(
            "ERR SCRIPT FLUSH only support SYNC|ASYNC option",
        ));
    }
    ctx.reply.ok();
    Ok(Flow::Done)
}

fn script_exists(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    ctx.reply.array(args.len() - 2);
    for _ in &args[2..] {
        ctx.reply.int(0);
    }
    Ok(Flow::Done)
}

/// The only user.
const USER: &[u8] = b"default";

fn acl_whoami(ctx: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    ctx.reply.bulk(USER);
    Ok(Flow::Done)
}

fn acl_users(ctx: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    ctx.reply.array(1);
    ctx.reply.bulk(USER);
    Ok(Flow::Done)
}

fn acl_list(ctx: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    let nopass = if ctx.hub.config.requirepass.is_empty() {
        " nopass"
    } else {
        ""
    };
    ctx.reply.array(1);
    ctx.reply
        .bulk(format!("user default on{nopass} ~* &* +@all").as_bytes());
    Ok(Flow::Done)
}

fn acl_getuser(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    if args[2] != USER {
        ctx.reply.null();
        return Ok(Flow::Done);
    }
    let has_password = !ctx.hub.config.requirepass.is_empty();
    ctx.reply.map(6);
    ctx.reply.bulk(b"flags");
    ctx.reply.set(if has_password { 1 } else { 2 });
    ctx.reply.bulk(b"on");
    if !has_password {
        ctx.reply.bulk(b"nopass");
    }
    ctx.reply.bulk(b"passwords");
    ctx.reply.array(0);
    for (name, rule) in [("commands", "+@all"), ("keys", "~*"), ("channels", "&*")] {
        ctx.reply.bulk(name.as_bytes());
        ctx.reply.bulk(rule.as_bytes());
    }
    ctx.reply.bulk(b"selectors");
    ctx.reply.array(0);
    Ok(Flow::Done)
}

fn acl_setuser(_: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    Err(Refusal::new(
        "ERR there is one user, default; its password is the parameter requirepass",
    ))
}

fn acl_log(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    match &args[2..] {
        [word] if word.eq_ignore_ascii_case(b"reset") => ctx.reply.ok(),
        [] | [_] => ctx.reply.array(0),
        _ => return Err(Refusal::unknown_use("ACL", args[1])),
    }
    Ok(Flow::Done)
}

fn acl_cat(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let names: Vec<&str> = match &args[2..] {
        [] => CATEGORIES.to_vec(),
        [name] => {
            let is_meant = |known: &&&str| known.as_bytes().eq_ignore_ascii_case(name);
            let category = CATEGORIES
                .iter()
                .find(is_meant)
                .ok_or_else(|| Refusal::quoting(&[b"ERR Unknown category '", name, b"'"]))?;
            let all = Table::shared().all().iter();
            all.filter(|command| categories(command).contains(category))
                .map(Command::full_name)
                .collect()
        }
        _ => return Err(Refusal::unknown_use("ACL", args[1])),
    };
    ctx.reply.array(names.len());
    for name in names {
        ctx.reply.bulk(name.as_bytes());
    }
    Ok(Flow::Done)
}

fn acl_dryrun(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    if args[2] != USER {
        return Err(Refusal::quoting(&[b"ERR User '", args[2], b"' not found"]));
    }
    if named(args[3]).is_none() {
        return Err(Refusal::quoting(&[
            b"ERR Command '",
            args[3],
            b"' not found",
        ]));
    }
    ctx.reply.ok();
    Ok(Flow::Done)
}

fn explain(ctx: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    Ok(help(
        ctx,
        "ACL",
        &[
            (
                "CAT [<category>]",
                &["List the categories of commands, or the commands of one."],
            ),
            (
                "DRYRUN <user> <command> [<arg> ...]",
                &["Whether <user> may run <command>."],
            ),
            ("GETUSER <user>", &["A user's rights."]),
            ("LIST", &["All users' rights."]),
            ("LOG [<count>|RESET]", &["Refused commands: none is noted."]),
            ("USERS", &["All users' names."]),
            ("WHOAMI", &["The user of this connection."]),
        ],
    ))
}

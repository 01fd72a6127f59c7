//! ALLUVIUM: what Redis has no command for.

use super::flag::{ADMIN, NO_ASYNC_LOADING, NOSCRIPT};
use super::help::help;
use super::{Ctx, Flow, Group, Spec};
use crate::backups::Wish;
use crate::refusal::Refusal;

pub(crate) static SPECS: &[Spec] = &[Spec {
    name: "alluvium",
    arity: -2,
    group: Group::Server,
    complexity: "Depends on the subcommand.",
    summary: "What Redis has no command for.",
    subcommands: &[
        Spec {
            name: "backup",
            arity: -2,
            flags: ADMIN | NOSCRIPT | NO_ASYNC_LOADING,
            group: Group::Server,
            complexity: "O(N) for N segments and streams",
            summary: "Copies all data consistently, in the background; replies with a name.",
            syntax: "[name]",
            handler: backup,
            ..Spec::BASE
        },
        Spec {
            name: "help",
            arity: 2,
            group: Group::Server,
            summary: "The subcommands.",
            handler: explain,
            ..Spec::BASE
        },
    ],
    ..Spec::BASE
}];

fn backup(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let dir = ctx.hub.config.backup_dir();
    let wish = match args[2..] {
        [] => Wish::at(&dir, ctx.batch.now_ms()),
        [name] => Wish::named(&dir, name).ok_or(Refusal::new(
            "ERR a backup is named by 1 to 64 letters, digits, dots, dashes and underscores",
        ))?,
        _ => return Err(Refusal::unknown_use("ALLUVIUM", args[1])),
    };
    let name = wish.name.clone();
    if !ctx.server.backups.ask(wish) {
        return Err(Refusal::new("ERR Backup already in progress"));
    }
    ctx.reply.bulk(name.as_bytes());
    Ok(Flow::Done)
}

fn explain(ctx: &mut Ctx<'_, '_>, _: &[&[u8]]) -> Result<Flow, Refusal> {
    let usage = (
        "BACKUP [<name>]",
        &[
            "Make a consistent copy of the data below backup-dir, in the background.",
            "INFO persistence shows how it goes.",
        ][..],
    );
    Ok(help(ctx, "ALLUVIUM", &[usage]))
}

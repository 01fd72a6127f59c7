//! HELP of the commands that have subcommands.

use super::{Ctx, Flow};

/// One usage line and what it does, line by line.
pub(super) type Usage = (&'static str, &'static [&'static str]);

/// Replies as `<CONTAINER> HELP` does: a heading, each usage with its explanation indented, and
/// HELP itself.
pub(super) fn help(ctx: &mut Ctx<'_, '_>, container: &str, usages: &[Usage]) -> Flow {
    let explained: usize = usages.iter().map(|(_, lines)| 1 + lines.len()).sum();
    ctx.reply.array(1 + explained + 2);
    ctx.reply.simple(&format!(
        "{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"
    ));
    for (usage, lines) in usages {
        ctx.reply.simple(usage);
        for line in *lines {
            ctx.reply.simple(&format!("    {line}"));
        }
    }
    ctx.reply.simple("HELP");
    ctx.reply.simple("    Print this help.");
    Flow::Done
}

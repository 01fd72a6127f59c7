//! Whether a request runs: known, well-formed, authenticated, allowed where the client stands, not
//! held back by CLIENT PAUSE. What is refused here has not run.

use std::time::Duration;

use crate::client::Slot;
use crate::command::{Command, Table, flag, refusal_of_other_type};
use crate::hub::Hub;
use crate::parameters::DebugCommand;
use crate::refusal::{QUOTED_MAX, Refusal};
use crate::resp::Protocol;

/// What becomes of a request.
pub(crate) enum Admission {
    Run(&'static Command),
    Queue(&'static Command),
    HoldBack(Duration),
    Refuse(Refusal, Option<&'static Command>),
    HangUp,
}

/// Decides about a request, in the order in which Redis checks.
pub(crate) fn admit(hub: &mut Hub, slot: Slot, args: &[&[u8]], now_ms: u64) -> Admission {
    let command = match find(args) {
        Ok(command) => command,
        Err(_) if is_http(args[0]) => return Admission::HangUp,
        Err(refusal) => return Admission::Refuse(refusal, None),
    };
    let client = hub.clients.at(slot);
    let spec = command.spec;
    if !command.accepts(args.len()) {
        let refusal = Refusal::wrong_arity(command.full_name());
        return Admission::Refuse(refusal, Some(command));
    }
    if !client.is_authenticated && !spec.has(flag::NO_AUTH) {
        return Admission::Refuse(Refusal::NO_AUTH, Some(command));
    }
    if spec.has(flag::PROTECTED) && !is_debug_allowed(hub, slot) {
        return Admission::Refuse(DEBUG_REFUSED, Some(command));
    }
    let in_multi = client.transaction.is_some();
    if in_multi && spec.has(flag::NO_MULTI) {
        let refusal = Refusal::new("ERR Command not allowed inside a transaction");
        return Admission::Refuse(refusal, Some(command));
    }
    if client.is_subscribed()
        && client.protocol == Protocol::Resp2
        && !spec.has(flag::WHILE_SUBSCRIBED)
    {
        return Admission::Refuse(while_subscribed(command), Some(command));
    }
    if let Some(duration) = held_back(hub, slot, command, now_ms) {
        return Admission::HoldBack(duration);
    }
    if in_multi && !spec.has(flag::NOT_QUEUED) {
        return Admission::Queue(command);
    }
    Admission::Run(command)
}

/// How long CLIENT PAUSE keeps a command from running.
fn held_back(hub: &mut Hub, slot: Slot, command: &Command, now_ms: u64) -> Option<Duration> {
    let pause = hub.pause?;
    if pause.until_ms <= now_ms {
        hub.pause = None;
        return None;
    }
    let changes = |command: &Command| command.spec.has(flag::WRITE | flag::MAY_REPLICATE);
    let transaction = hub.clients.at(slot).transaction.as_ref();
    let is_held_back = !pause.writes_only
        || transaction.is_none() && changes(command)
        || command.spec.has(flag::EXECUTES)
            && transaction.is_some_and(|it| it.queued.iter().any(|(queued, _)| changes(queued)));
    is_held_back.then(|| Duration::from_millis(pause.until_ms - now_ms))
}

fn is_debug_allowed(hub: &Hub, slot: Slot) -> bool {
    match hub.config.enable_debug_command {
        DebugCommand::Yes => true,
        DebugCommand::Local => hub.clients.at(slot).address.ip().is_loopback(),
        DebugCommand::No => false,
    }
}

const DEBUG_REFUSED: Refusal = Refusal::new(
    "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you \
     can run it from a local connection, otherwise you need to set this option in the \
     configuration file, and then restart the server.",
);

fn while_subscribed(command: &Command) -> Refusal {
    Refusal::format(format_args!(
        "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are \
         allowed in this context",
        command.full_name()
    ))
}

/// The command, or subcommand, that a request means.
pub(crate) fn find(args: &[&[u8]]) -> Result<&'static Command, Refusal> {
    let table = Table::shared();
    let command = table.find(args[0]).ok_or_else(|| {
        refusal_of_other_type(args[0]).unwrap_or_else(|| Refusal::unknown_command(args))
    })?;
    match args {
        [_, sub, ..] if !command.spec.subcommands.is_empty() => {
            table.find_sub(command, sub).ok_or_else(|| {
                let name = command.spec.name.to_ascii_uppercase();
                let sub = &sub[..sub.len().min(QUOTED_MAX)];
                let help = format!("'. Try {name} HELP.");
                Refusal::quoting(&[b"ERR unknown subcommand '", sub, help.as_bytes()])
            })
        }
        _ => Ok(command),
    }
}

/// A web page can make a browser post to any port; what it sends begins with one of these words,
/// and nothing behind them is a command of ours.
fn is_http(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"POST") || name.eq_ignore_ascii_case(b"Host:")
}

//! Those who look on: MONITOR, the slow log and the latency monitor.

use std::time::Duration;

use crate::command::{Ctx, flag};
use crate::parameters::escape;
use crate::stats::{LatencySample, SlowCommand};

/// Arguments of a command that the slow log keeps.
const SLOW_ARGUMENTS_MAX: usize = 32;
/// Bytes of an argument that the slow log keeps.
const SLOW_ARGUMENT_LEN_MAX: usize = 128;
/// Samples kept of a latency event.
const LATENCY_SAMPLES_MAX: usize = 160;

/// Shows a command to all who MONITOR.
pub(crate) fn monitors(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) {
    if ctx.command.spec.has(flag::SKIP_MONITOR | flag::ADMIN) {
        return;
    }
    let wall = ctx.stopwatch.wall();
    let client = ctx.client();
    let mut line = format!(
        "{}.{:06} [{} {}]",
        wall.as_secs(),
        wall.subsec_micros(),
        client.db,
        client.address
    );
    for arg in shown(ctx, args) {
        line.push(' ');
        line.push_str(&escape(&arg));
    }
    for monitor in ctx.hub.monitors.clone() {
        ctx.hub.clients.post(monitor, |reply| reply.simple(&line));
    }
}

/// The arguments, without passwords.
fn shown(ctx: &Ctx<'_, '_>, args: &[&[u8]]) -> Vec<Vec<u8>> {
    let first_hidden = match ctx.command.full_name() {
        "auth" => 1,
        "hello" => args
            .iter()
            .position(|arg| arg.eq_ignore_ascii_case(b"AUTH"))
            .map_or(args.len(), |at| at + 1),
        _ => args.len(),
    };
    let args = args.iter().enumerate();
    args.map(|(at, arg)| {
        if at >= first_hidden {
            b"(redacted)".to_vec()
        } else {
            arg.to_vec()
        }
    })
    .collect()
}

/// Takes note of a command that took long.
pub(crate) fn slow(ctx: &mut Ctx<'_, '_>, args: &[&[u8]], took: Duration) {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let threshold = u64::try_from(ctx.hub.config.slowlog_log_slower_than);
    let is_slow = threshold.is_ok_and(|threshold| micros >= threshold);
    if is_slow && !ctx.command.spec.has(flag::SKIP_SLOWLOG) {
        log_slow(ctx, args, micros);
    }
    let threshold_ms = ctx.hub.config.latency_monitor_threshold;
    if threshold_ms > 0 && micros / 1000 >= threshold_ms {
        let is_fast = ctx.command.spec.has(flag::FAST);
        let event = if is_fast { "fast-command" } else { "command" };
        let at_secs = ctx.stopwatch.wall().as_secs();
        let samples = ctx.hub.stats.latencies.entry(event).or_default();
        let millis = micros / 1000;
        match samples.back_mut() {
            Some(last) if last.at_secs == at_secs => last.millis = last.millis.max(millis),
            _ => samples.push_back(LatencySample { at_secs, millis }),
        }
        if samples.len() > LATENCY_SAMPLES_MAX {
            samples.pop_front();
        }
    }
}

fn log_slow(ctx: &mut Ctx<'_, '_>, args: &[&[u8]], micros: u64) {
    let mut arguments = shown(ctx, args);
    let count = arguments.len();
    if count > SLOW_ARGUMENTS_MAX {
        arguments.truncate(SLOW_ARGUMENTS_MAX - 1);
        let more = count - arguments.len();
        arguments.push(format!("... ({more} more arguments)").into_bytes());
    }
    for argument in &mut arguments {
        let more = argument.len().saturating_sub(SLOW_ARGUMENT_LEN_MAX);
        if more > 0 {
            argument.truncate(SLOW_ARGUMENT_LEN_MAX);
            argument.extend_from_slice(format!("... ({more} more bytes)").as_bytes());
        }
    }
    let client = ctx.client();
    let (address, client_name) = (client.address.to_string(), client.name.clone());
    let at_secs = ctx.stopwatch.wall().as_secs();
    let len_max = ctx.hub.config.slowlog_max_len;
    let stats = &mut ctx.hub.stats;
    let id = stats.next_slow_id;
    stats.next_slow_id += 1;
    stats.slow_commands.push_front(SlowCommand {
        id,
        at_secs,
        micros,
        arguments,
        address,
        client_name,
    });
    stats.limit_slow_log(len_max);
}

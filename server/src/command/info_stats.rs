//! INFO: what was counted, by command, by error, by latency, and in the store.

use alluvium_engine::{EngineStats, Pin};

use super::info::Lines;
use super::{Ctx, Table};
use crate::stats::Latencies;

pub(super) fn stats(ctx: &mut Ctx<'_, '_>, lines: &mut Lines) {
    let stats = &ctx.hub.stats;
    let rate = stats.rates();
    lines.field("total_connections_received", stats.total_connections);
    lines.field("total_commands_processed", stats.total_commands);
    lines.field("instantaneous_ops_per_sec", rate.commands);
    lines.field("total_net_input_bytes", stats.bytes_in);
    lines.field("total_net_output_bytes", stats.bytes_out);
    lines.field("total_net_repl_input_bytes", 0);
    lines.field("total_net_repl_output_bytes", 0);
    lines.field("instantaneous_input_kbps", kib(rate.bytes_in));
    lines.field("instantaneous_output_kbps", kib(rate.bytes_out));
    lines.field("instantaneous_input_repl_kbps", "0.00");
    lines.field("instantaneous_output_repl_kbps", "0.00");
    lines.field("rejected_connections", stats.rejected_connections);
    lines.field("sync_full", 0);
    lines.field("sync_partial_ok", 0);
    lines.field("sync_partial_err", 0);
    lines.field("expired_keys", stats.expired_keys);
    lines.field("expired_stale_perc", "0.00");
    lines.field("expired_time_cap_reached_count", 0);
    lines.field("evicted_keys", 0);
    lines.field("evicted_clients", 0);
    lines.field("keyspace_hits", stats.keyspace_hits);
    lines.field("keyspace_misses", stats.keyspace_misses);
    lines.field("pubsub_channels", ctx.hub.pubsub.channels().count());
    lines.field("pubsub_patterns", ctx.hub.pubsub.pattern_count());
    lines.field("pubsubshard_channels", 0);
    lines.field("latest_fork_usec", 0);
    lines.field("total_forks", 0);
    lines.field("migrate_cached_sockets", 0);
    lines.field("tracking_total_keys", 0);
    lines.field("tracking_total_items", 0);
    lines.field("tracking_total_prefixes", 0);
    lines.field("unexpected_error_replies", 0);
    lines.field("total_error_replies", stats.total_errors);
    let input = stats.query_buffer_disconnections;
    lines.field("client_query_buffer_limit_disconnections", input);
    let output = stats.output_buffer_disconnections;
    lines.field("client_output_buffer_limit_disconnections", output);
}

pub(super) fn commands(ctx: &mut Ctx<'_, '_>, lines: &mut Lines) {
    for command in Table::shared().all() {
        let Some(stats) = ctx.hub.stats.commands.get(command.index()) else {
            continue;
        };
        if stats.calls == 0 && stats.rejected == 0 && stats.failed == 0 {
            continue;
        }
        let micros = stats.time.as_micros();
        let hundredths = micros * 100 / u128::from(stats.calls.max(1));
        lines.field(
            format_args!("cmdstat_{}", command.full_name()),
            format_args!(
                "calls={},usec={},usec_per_call={}.{:02},rejected_calls={},failed_calls={}",
                stats.calls,
                micros,
                hundredths / 100,
                hundredths % 100,
                stats.rejected,
                stats.failed
            ),
        );
    }
}

pub(super) fn errors(ctx: &mut Ctx<'_, '_>, lines: &mut Lines) {
    for (code, count) in &ctx.hub.stats.errors {
        let code = String::from_utf8_lossy(code);
        lines.field(
            format_args!("errorstat_{code}"),
            format_args!("count={count}"),
        );
    }
}

pub(super) fn latencies(ctx: &mut Ctx<'_, '_>, lines: &mut Lines) {
    if !ctx.hub.config.latency_tracking {
        return;
    }
    for command in Table::shared().all() {
        let Some(stats) = ctx.hub.stats.commands.get(command.index()) else {
            continue;
        };
        let calls = count(&stats.latency);
        if calls == 0 {
            continue;
        }
        let wanted = ctx.hub.config.latency_tracking_info_percentiles.iter();
        let shown: Vec<String> = wanted
            .map(|percentile| {
                format!(
                    "p{percentile}={}.000",
                    micros_at(&stats.latency, *percentile)
                )
            })
            .collect();
        lines.field(
            format_args!("latency_percentiles_usec_{}", command.full_name()),
            shown.join(","),
        );
    }
}

/// Kibibytes with two digits behind the point.
fn kib(bytes: u64) -> String {
    let hundredths = u128::from(bytes) * 100 / 1024;
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

/// How many calls a histogram holds.
pub(super) fn count(latency: &Latencies) -> u64 {
    latency.buckets.iter().map(|count| u64::from(*count)).sum()
}

/// The upper bound of the bucket in which a percentile lies, in microseconds.
fn micros_at(latency: &Latencies, percentile: f64) -> u64 {
    let mut before = 0.0;
    let total: f64 = latency.buckets.iter().copied().map(f64::from).sum();
    for (power, count) in latency.buckets.iter().enumerate() {
        before += f64::from(*count);
        if *count > 0 && before * 100.0 >= percentile * total {
            return 1 << power;
        }
    }
    0
}

/// Decompressed blocks of sorted segments.
fn blocks(stats: &EngineStats, lines: &mut Lines) {
    lines.field("block_cache_hits", stats.block_hits);
    lines.field("block_cache_misses", stats.block_misses);
    lines.field("block_cache_bytes", stats.block_bytes);
    lines.field("block_loads_asked", stats.block_loads_asked);
    lines.field("block_loads_locked", stats.block_loads_locked);
}

/// Whether there is room, and whether what is written arrives.
fn disk(stats: &EngineStats, lines: &mut Lines) {
    lines.field("disk_quota", stats.disk_quota);
    lines.field("disk_used", stats.disk_used);
    lines.claim("disk_full", stats.is_disk_full);
    lines.claim("log_poisoned", stats.is_poisoned);
}

pub(super) fn alluvium(ctx: &mut Ctx<'_, '_>, lines: &mut Lines) {
    let stats = ctx.server.engine.stats_in(ctx.batch);
    let checkpoints = ctx.server.engine.last_checkpoint();
    let recovery = ctx.server.engine.recovery();
    lines.field("lsn_appended", stats.appended.0);
    lines.field("lsn_written", stats.written.0);
    lines.field("lsn_durable", stats.durable.0);
    lines.field("log_frames", stats.frames);
    lines.field("log_commits", stats.commits);
    lines.field("log_bytes_appended", stats.bytes_appended);
    lines.field("log_bytes_written", stats.bytes_written);
    lines.field("log_syncs", stats.syncs);
    let average = stats.sync_time.as_micros() / u128::from(stats.syncs.max(1));
    lines.field("log_sync_usec_average", average);
    lines.field("log_sync_usec_last", stats.sync_time_last.as_micros());
    lines.field("log_sync_usec_max", stats.sync_time_max.as_micros());
    lines.field("log_segments", stats.segments);
    lines.field("log_segment_bytes", stats.segment_bytes);
    lines.claim("log_spare_segment_ready", stats.is_spare_ready);
    lines.field("sorted_segments", stats.sorted_files);
    lines.field("sorted_segment_bytes", stats.sorted_bytes);
    lines.field("sorted_bytes_written", stats.sorted_written);
    lines.field("merged_bytes_written", stats.merged_written);
    lines.field("checkpoint_bytes_written", stats.checkpoint_written);
    let (whole, part) = (
        stats.written_permille() / 1000,
        stats.written_permille() % 1000,
    );
    lines.field("write_amplification", format_args!("{whole}.{part:03}"));
    lines.field("sorted_entries", stats.sorted_entries);
    lines.field("sorted_entries_live", stats.sorted_live);
    let permille = stats.sorted_live * 1000 / stats.sorted_entries.max(1);
    lines.field("sorted_live_permille", permille);
    lines.field("sort_bytes_waiting", stats.pins.bytes(Pin::Unsorted));
    lines.field("merge_bytes_waiting", stats.merge_waiting);
    let failure = stats.sort_failure.as_deref().unwrap_or_default();
    lines.field("sort_failure", failure.replace(['\r', '\n'], " "));
    lines.field("retained_entries", stats.retained);
    lines.field("dead_bytes", stats.dead_bytes);
    for pin in Pin::ALL {
        let name = format_args!("pinned_bytes_{}", pin.name());
        lines.field(name, stats.pins.bytes(pin));
    }
    if let Some((path, pin)) = &stats.pins.oldest {
        let name = path.file_name().unwrap_or_default();
        lines.field("oldest_log_segment", name.to_string_lossy());
        lines.field("oldest_log_segment_pin", pin.name());
    }
    blocks(&stats, lines);
    disk(&stats, lines);
    lines.claim("checkpoint_in_progress", checkpoints.is_running);
    lines.claim("checkpoint_last_failed", checkpoints.failed);
    lines.field("checkpoints_taken", checkpoints.taken);
    let last = checkpoints.last.unwrap_or_default();
    lines.field("checkpoint_last_lsn", last.begin.0);
    lines.field("checkpoint_last_time_msec", last.finished_ms);
    lines.field("checkpoint_last_bytes", last.bytes);
    let hold = checkpoints.longest_hold.as_micros();
    lines.field("checkpoint_last_hold_usec_max", hold);
    lines.field("checkpoint_bytes", stats.checkpoint_bytes);
    lines.field("recovery_usec", recovery.duration.as_micros());
    lines.field("recovery_frames", recovery.frames);
    lines.field("recovery_bytes", recovery.bytes);
    lines.field("recovery_torn_bytes", recovery.torn_bytes);
    lines.field("recovery_streams", recovery.streams);
    lines.field("recovery_entries", recovery.entries);
    lines.field("recovery_losses", recovery.losses.len());
    lines.field("unknown_files", recovery.unknown_files.len());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_upper_bounds() {
        let mut latency = Latencies::default();
        for _ in 0..99 {
            latency.record(3);
        }
        latency.record(1000);
        assert_eq!(count(&latency), 100);
        assert_eq!(micros_at(&latency, 50.0), 4);
        assert_eq!(micros_at(&latency, 99.0), 4);
        assert_eq!(micros_at(&latency, 99.9), 1024);
        assert_eq!(micros_at(&Latencies::default(), 99.0), 0);
    }
}

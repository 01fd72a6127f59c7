//! INFO: figures about the broker, section by section.
//!
//! Names and meaning of the fields are those that clients and dashboards of Redis read. A field is
//! only there if it is true here; the `alluvium` section holds what Redis has no name for.

use std::fmt::{Display, Write as _};

use super::flag::{LOADING, STALE};
use super::info_stats;
use super::{Ctx, Flow, Group, Spec};
use crate::process::Process;
use crate::refusal::Refusal;

/// The version of Redis whose commands and replies this broker follows.
pub(crate) const REDIS_VERSION: &str = "8.10.0";

pub(crate) static SPECS: &[Spec] = &[Spec {
    name: "info",
    arity: -1,
    flags: LOADING | STALE,
    group: Group::Server,
    since: "1.0.0",
    complexity: "O(N) for N commands that were ever called",
    summary: "Figures about the broker, all of them or some sections.",
    syntax: "[section [section ...]]",
    handler: info,
    ..Spec::BASE
}];

/// Lines of a section.
pub(super) struct Lines {
    text: String,
}

impl Lines {
    /// `name:value`.
    pub(super) fn field(&mut self, name: impl Display, value: impl Display) {
        write!(self.text, "{name}:{value}\r\n").expect("a String takes all that is written");
    }

    /// `name:0` or `name:1`.
    pub(super) fn claim(&mut self, name: &str, is_true: bool) {
        self.field(name, u8::from(is_true));
    }

    /// A number of bytes, and the same for people.
    fn bytes(&mut self, name: &str, bytes: u64) {
        self.field(name, bytes);
        self.field(format_args!("{name}_human"), human(bytes));
    }
}

struct Section {
    name: &'static str,
    heading: &'static str,
    /// Whether INFO DEFAULT holds it.
    by_default: bool,
    write: fn(&mut Ctx<'_, '_>, &mut Lines),
}

const fn section(
    name: &'static str,
    heading: &'static str,
    by_default: bool,
    write: fn(&mut Ctx<'_, '_>, &mut Lines),
) -> Section {
    Section {
        name,
        heading,
        by_default,
        write,
    }
}

const SECTIONS: &[Section] = &[
    section("server", "Server", true, server),
    section("clients", "Clients", true, clients),
    section("memory", "Memory", true, memory),
    section("persistence", "Persistence", true, persistence),
    section("stats", "Stats", true, info_stats::stats),
    section("replication", "Replication", true, replication),
    section("cpu", "CPU", true, cpu),
    section("modules", "Modules", true, |_, _| {}),
    section("commandstats", "Commandstats", false, info_stats::commands),
    section("errorstats", "Errorstats", true, info_stats::errors),
    section("latencystats", "Latencystats", false, info_stats::latencies),
    section("cluster", "Cluster", true, cluster),
    section("keyspace", "Keyspace", true, keyspace),
    section("alluvium", "Alluvium", true, info_stats::alluvium),
];

fn info(ctx: &mut Ctx<'_, '_>, args: &[&[u8]]) -> Result<Flow, Refusal> {
    let asked: Vec<Vec<u8>> = args[1..]
        .iter()
        .map(|word| word.to_ascii_lowercase())
        .collect();
    let asks_for = |name: &str| asked.iter().any(|word| word == name.as_bytes());
    let all = asked.is_empty() || asks_for("all") || asks_for("everything");
    let default = asks_for("default");
    let mut lines = Lines {
        text: String::with_capacity(8 << 10),
    };
    for section in SECTIONS {
        if !(all || default && section.by_default || asks_for(section.name)) {
            continue;
        }
        if !lines.text.is_empty() {
            lines.text.push_str("\r\n");
        }
        write!(lines.text, "# {}\r\n", section.heading).expect("a String takes all");
        (section.write)(ctx, &mut lines);
    }
    ctx.reply.verbatim(lines.text.as_bytes());
    Ok(Flow::Done)
}

fn server(ctx: &mut Ctx<'_, '_>, lines: &mut Lines) {
    let now_ms = ctx.batch.now_ms();
    let up_secs = now_ms.saturating_sub(ctx.server.started_ms) / 1000;
    lines.field("redis_version", REDIS_VERSION);
    lines.field("server_name", "alluvium");
    lines.field("alluvium_version", env!("CARGO_PKG_VERSION"));
    lines.field("redis_git_sha1", "00000000");
    lines.field("redis_git_dirty", 0);
    lines.field("redis_build_id", 0);
    lines.field("redis_mode", "standalone");
    lines.field(
        "os",
        format_args!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
    );
    lines.field("arch_bits", usize::BITS);
    lines.field("multiplexing_api", "epoll");
    lines.field("process_id", std::process::id());
    lines.field("process_supervised", "no");
    lines.field("run_id", &ctx.server.run_id);
    lines.field("tcp_port", ctx.server.port);
    lines.field("server_time_usec", now_ms * 1000);
    lines.field("uptime_in_seconds", up_secs);
    lines.field("uptime_in_days", up_secs / 86_400);
    lines.field("hz", 10);
    lines.field("configured_hz", 10);
    lines.field("lru_clock", (now_ms / 1000) & 0x00ff_ffff);
    let executable = std::env::current_exe().unwrap_or_default();
    lines.field("executable", executable.display());
    let file = ctx.hub.config.file.as_deref();
    lines.field(
        "config_file",
        file.map_or("".into(), |file| file.to_string_lossy()),
    );
    lines.field("io_threads_active", 0);
}

fn clients(ctx: &mut Ctx<'_, '_>, lines: &mut Lines) {
    let hub = &*ctx.hub;
    let subscribed = hub
        .clients
        .iter()
        .filter(|client| client.is_subscribed())
        .count();
    let watching = hub
        .clients
        .iter()
        .filter(|client| !client.watched.is_empty())
        .count();
    let watched: usize = hub.clients.iter().map(|client| client.watched.len()).sum();
    let timed = hub
        .clients
        .iter()
        .filter_map(|client| client.blocked.as_ref());
    let timed = timed
        .filter(|block| block.block.deadline_ms.is_some())
        .count();
    let input = hub
        .clients
        .iter()
        .map(|client| client.query_buffer_len)
        .max();
    let output = hub.clients.iter().map(|client| client.output_len).max();
    lines.field("connected_clients", hub.clients.len());
    lines.field("cluster_connections", 0);
    lines.field("maxclients", hub.config.maxclients);
    lines.field("client_recent_max_input_buffer", input.unwrap_or(0));
    lines.field("client_recent_max_output_buffer", output.unwrap_or(0));
    lines.field("blocked_clients", hub.waiters.blocked());
    lines.field("tracking_clients", 0);
    lines.field("pubsub_clients", subscribed);
    lines.field("watching_clients", watching);
    lines.field("clients_in_timeout_table", timed);
    lines.field("total_watched_keys", watched);
    lines.field("total_blocking_keys", hub.waiters.key_count());
    lines.field("total_blocking_keys_on_nokey", hub.waiters.keys_on_nokey());
}

fn memory(ctx: &mut Ctx<'_, '_>, lines: &mut Lines) {
    let stats = ctx.server.engine.stats_in(ctx.batch);
    let process = Process::present();
    // The allocator keeps no count; what the kernel counts is what matters to an operator.
    lines.bytes("used_memory", process.resident);
    lines.bytes("used_memory_rss", process.resident);
    lines.bytes("used_memory_peak", process.resident_max);
    lines.bytes("total_system_memory", Process::machine_memory());
    lines.field("used_memory_lua", 0);
    lines.field("used_memory_scripts", 0);
    lines.field("number_of_cached_scripts", 0);
    lines.field("number_of_functions", 0);
    lines.field("number_of_libraries", 0);
    lines.bytes("maxmemory", 0);
    lines.field("maxmemory_policy", "noeviction");
    lines.field("mem_fragmentation_ratio", "1.00");
    lines.field("mem_fragmentation_bytes", 0);
    lines.field("mem_allocator", "system");
    lines.field("active_defrag_running", 0);
    lines.field("lazyfree_pending_objects", stats.remains);
    lines.field("lazyfreed_objects", stats.reaped);
}

fn persistence(ctx: &mut Ctx<'_, '_>, lines: &mut Lines) {
    let checkpoints = ctx.server.engine.last_checkpoint();
    let last_ms = checkpoints
        .last
        .map_or(ctx.server.started_ms, |last| last.finished_ms);
    let status = if checkpoints.failed { "err" } else { "ok" };
    let log = ctx.server.engine.stats_in(ctx.batch);
    let changes = ctx
        .batch
        .mutations()
        .saturating_sub(ctx.hub.stats.mutations_saved);
    lines.field("loading", 0);
    lines.field("async_loading", 0);
    lines.field("rdb_changes_since_last_save", changes);
    let is_saving = checkpoints.is_running || ctx.server.saver.is_busy();
    lines.claim("rdb_bgsave_in_progress", is_saving);
    lines.field("rdb_last_save_time", last_ms / 1000);
    lines.field("rdb_last_bgsave_status", status);
    lines.field("rdb_last_bgsave_time_sec", -1);
    lines.field(
        "rdb_current_bgsave_time_sec",
        if checkpoints.is_running { 0 } else { -1 },
    );
    lines.field("rdb_saves", checkpoints.taken);
    lines.field("rdb_last_load_keys_expired", 0);
    lines.field(
        "rdb_last_load_keys_loaded",
        ctx.server.engine.recovery().streams,
    );
    lines.field("aof_enabled", 1);
    // A checkpoint is what takes the place of a rewrite.
    lines.claim("aof_rewrite_in_progress", is_saving);
    lines.field("aof_rewrite_scheduled", 0);
    lines.field("aof_last_rewrite_time_sec", -1);
    lines.field(
        "aof_current_rewrite_time_sec",
        if checkpoints.is_running { 0 } else { -1 },
    );
    lines.field("aof_last_bgrewrite_status", status);
    lines.field("aof_rewrites", checkpoints.taken);
    lines.field(
        "aof_last_write_status",
        if log.is_poisoned { "err" } else { "ok" },
    );
    lines.field("aof_current_size", log.segment_bytes);
    lines.field("aof_base_size", log.checkpoint_bytes);
    lines.field("aof_pending_rewrite", 0);
    lines.field(
        "aof_buffer_length",
        log.appended.0.saturating_sub(log.written.0),
    );
    lines.field("aof_pending_bio_fsync", 0);
    lines.field("aof_delayed_fsync", 0);
    backups(ctx, lines);
}

fn backups(ctx: &mut Ctx<'_, '_>, lines: &mut Lines) {
    let current = ctx.server.backups.current();
    lines.claim("backup_in_progress", current.is_some());
    if let Some((wish, progress)) = current {
        lines.field("backup_current_name", wish.name);
        lines.field("backup_current_bytes", progress.done);
        lines.field("backup_current_bytes_total", progress.total);
    }
    let Some(last) = ctx.server.backups.last() else {
        return;
    };
    lines.field("backup_last_name", last.wish.name);
    lines.field("backup_last_path", last.wish.path.display());
    lines.field("backup_last_time", last.at_ms / 1000);
    match last.outcome {
        Ok(report) => {
            lines.field("backup_last_status", "ok");
            lines.field("backup_last_lsn", report.end.0);
            lines.field("backup_last_bytes", report.bytes);
            lines.field("backup_last_linked_bytes", report.linked_bytes);
        }
        Err(error) => {
            lines.field("backup_last_status", "err");
            lines.field("backup_last_error", error);
        }
    }
}

fn replication(ctx: &mut Ctx<'_, '_>, lines: &mut Lines) {
    lines.field("role", "master");
    lines.field("connected_slaves", 0);
    lines.field("master_failover_state", "no-failover");
    lines.field("master_replid", &ctx.server.run_id);
    lines.field("master_replid2", "0".repeat(40));
    lines.field("master_repl_offset", 0);
    lines.field("second_repl_offset", -1);
    lines.field("repl_backlog_active", 0);
    lines.field("repl_backlog_size", 0);
    lines.field("repl_backlog_first_byte_offset", 0);
    lines.field("repl_backlog_histlen", 0);
}

fn cpu(_: &mut Ctx<'_, '_>, lines: &mut Lines) {
    let process = Process::present();
    lines.field("used_cpu_sys", format_args!("{:.6}", process.system_secs));
    lines.field("used_cpu_user", format_args!("{:.6}", process.user_secs));
    lines.field("used_cpu_sys_children", "0.000000");
    lines.field("used_cpu_user_children", "0.000000");
}

fn cluster(_: &mut Ctx<'_, '_>, lines: &mut Lines) {
    lines.field("cluster_enabled", 0);
}

fn keyspace(ctx: &mut Ctx<'_, '_>, lines: &mut Lines) {
    for db in 0..alluvium_engine::limits::DATABASES {
        let keys = ctx.batch.key_count(db);
        if keys > 0 {
            let expiring = ctx.batch.expiring_count(db);
            lines.field(
                format_args!("db{db}"),
                format_args!("keys={keys},expires={expiring},avg_ttl=0"),
            );
        }
    }
}

/// Bytes as people read them: `512B`, `1.50M`.
fn human(bytes: u64) -> String {
    const UNITS: [char; 5] = ['K', 'M', 'G', 'T', 'P'];
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let power = ((bytes.ilog2() / 10) as usize).min(UNITS.len());
    // Hundredths of the unit, rounded, without a float that might lose digits.
    let hundredths = (u128::from(bytes) * 100 + (1 << (10 * power - 1))) >> (10 * power);
    format!(
        "{}.{:02}{}",
        hundredths / 100,
        hundredths % 100,
        UNITS[power - 1]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_for_people() {
        for (bytes, shown) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.00K"),
            (1_064_448, "1.02M"),
            (25_276_510_208, "23.54G"),
            (u64::MAX, "16384.00P"),
        ] {
            assert_eq!(human(bytes), shown);
        }
    }

    #[test]
    fn sections_have_unique_names() {
        for (at, section) in SECTIONS.iter().enumerate() {
            assert!(
                SECTIONS[..at]
                    .iter()
                    .all(|other| other.name != section.name)
            );
            assert!(section.heading.eq_ignore_ascii_case(section.name));
        }
    }
}

//! The table of all parameters, sorted by name.

use super::slot::{
    ALWAYS_NO, ALWAYS_ZERO, BIND, DATABASES, EVENTS, NO_EVICTION, OUTPUT_LIMITS, PASSWORD,
    PERCENTILES, SEGMENT_SIZE,
};
use super::{Change, DebugCommand, Form, LogLevel, Parameter, Recovery, Slot, SyncPolicy};
use Change::{AnyTime, AtStart};

const INT_MAX: i64 = i32::MAX as i64;

const fn parameter(
    name: &'static str,
    (form, slot): (Form, Slot),
    change: Change,
    meaning: &'static str,
) -> Parameter {
    Parameter {
        name,
        alias: None,
        form,
        slot,
        change,
        meaning,
    }
}

const fn kept(name: &'static str, form: Form, default: &'static str) -> Parameter {
    let meaning = "No effect; kept so that scripts and files made for Redis go on working.";
    Parameter {
        name,
        alias: None,
        form,
        slot: Slot::Kept(default),
        change: AnyTime,
        meaning,
    }
}

impl Parameter {
    const fn also(mut self, alias: &'static str) -> Parameter {
        self.alias = Some(alias);
        self
    }
}

const FLAG: Form = Form::Flag;
const BYTES: Form = Form::Memory {
    min: 0,
    max: i64::MAX,
};
const COUNT: Form = Form::Number {
    min: 0,
    max: INT_MAX,
};

/// All parameters, sorted by name.
pub(crate) const TABLE: &[Parameter] = &[
    kept(
        "active-expire-effort",
        Form::Number { min: 1, max: 10 },
        "1",
    ),
    kept("activedefrag", FLAG, "no"),
    kept("activerehashing", FLAG, "yes"),
    kept("always-show-logo", FLAG, "no"),
    kept("aof-load-truncated", FLAG, "yes"),
    kept("aof-rewrite-incremental-fsync", FLAG, "yes"),
    kept("aof-timestamp-enabled", FLAG, "no"),
    kept("aof-use-rdb-preamble", FLAG, "yes"),
    kept("appenddirname", Form::Text, "appendonlydir"),
    kept("appendfilename", Form::Text, "appendonly.aof"),
    parameter(
        "appendfsync",
        choice!(appendfsync, SyncPolicy),
        AnyTime,
        "When a reply leaves: always: when all that it depends on is synced to the disk; \
         everysec: after the write, the disk follows within a second; no: after the write, the \
         kernel decides about the disk.",
    ),
    kept("appendonly", FLAG, "yes"),
    kept("auto-aof-rewrite-min-size", BYTES, "67108864"),
    kept("auto-aof-rewrite-percentage", COUNT, "100"),
    parameter(
        "backup-dir",
        path!(backup_dir),
        AtStart,
        "The directory in which ALLUVIUM BACKUP makes backups; empty: backup in the data \
         directory, where they share unchanging files with it.",
    ),
    parameter(
        "bind",
        BIND,
        AtStart,
        "Addresses to listen on; a leading - lets an address be missing, * means all.",
    ),
    parameter(
        "block-cache",
        count!(Memory, block_cache, 0, i64::MAX),
        AtStart,
        "Most bytes of memory for decompressed blocks of sorted segments.",
    ),
    kept("busy-reply-threshold", COUNT, "5000"),
    parameter(
        "checkpoint-interval",
        count!(Memory, checkpoint_interval, 0, i64::MAX),
        AtStart,
        "Bytes of log behind the last checkpoint from which the next one is taken, if they are more \
         than half of that checkpoint; 0: only on request and at the end.",
    ),
    parameter(
        "client-output-buffer-limit",
        OUTPUT_LIMITS,
        AnyTime,
        "For each class of clients (normal, replica, pubsub): bytes of waiting output at which \
         a client is closed at once, and bytes and seconds after which it is closed; 0: no \
         limit.",
    ),
    parameter(
        "client-query-buffer-limit",
        count!(Memory, client_query_buffer_limit, 1 << 20, i64::MAX),
        AnyTime,
        "Most bytes of unanswered requests in the buffer of one client.",
    ),
    parameter(
        "cluster-enabled",
        ALWAYS_NO,
        AtStart,
        "Always no: there is no cluster mode.",
    ),
    kept("crash-log-enabled", FLAG, "yes"),
    parameter(
        "daemonize",
        ALWAYS_NO,
        AtStart,
        "Always no: a service manager keeps the broker in the background.",
    ),
    parameter(
        "databases",
        DATABASES,
        AtStart,
        "Number of databases; always 16.",
    ),
    kept("dbfilename", Form::Text, "dump.rdb"),
    parameter("dir", path!(dir), AtStart, "The data directory."),
    parameter(
        "disk-quota",
        count!(Memory, disk_quota, 0, i64::MAX),
        AnyTime,
        "Most bytes that the files of the store may take, backups not counted; what adds data is refused \
         before that; 0: as many as there is room for.",
    ),
    parameter(
        "dump-rdb-version",
        count!(
            Number,
            dump_rdb_version,
            crate::rdb::WRITTEN_VERSIONS.0 as i64,
            crate::rdb::WRITTEN_VERSIONS.1 as i64
        ),
        AnyTime,
        "The newest version of the RDB format in which DUMP writes. It writes 11, for Redis from 7.2 \
         on and Valkey, unless the stream needs 13 of Redis 8.6 for producers' messages or 14 of \
         Redis 8.8 for what XNACK gave back. 10 is for Redis 7.0, 9 for Redis 5.0 to 6.2. An older \
         one leaves out what it has no place for, but refuses to leave out what was given back.",
    ),
    kept("dynamic-hz", FLAG, "yes"),
    parameter(
        "enable-debug-command",
        choice!(enable_debug_command, DebugCommand),
        AtStart,
        "Whose DEBUG is obeyed: no: nobody's; local: that of connections from this machine; \
         yes: everybody's.",
    ),
    kept("hz", COUNT, "10"),
    parameter(
        "io-threads",
        count!(Number, io_threads, 0, 128),
        AtStart,
        "Threads that serve connections; 0: one for every two processors.",
    ),
    kept("io-threads-do-reads", FLAG, "no"),
    kept("jemalloc-bg-thread", FLAG, "yes"),
    parameter(
        "latency-monitor-threshold",
        count!(Number, latency_monitor_threshold, 0, i64::MAX),
        AnyTime,
        "Milliseconds from which an event enters the latency monitor; 0: none does.",
    ),
    parameter(
        "latency-tracking",
        flag!(latency_tracking),
        AnyTime,
        "Keep a latency histogram for each command.",
    ),
    parameter(
        "latency-tracking-info-percentiles",
        PERCENTILES,
        AnyTime,
        "Percentiles that INFO latencystats shows.",
    ),
    kept("lazyfree-lazy-eviction", FLAG, "no"),
    kept("lazyfree-lazy-expire", FLAG, "no"),
    kept("lazyfree-lazy-server-del", FLAG, "no"),
    kept("lazyfree-lazy-user-del", FLAG, "no"),
    kept("lazyfree-lazy-user-flush", FLAG, "no"),
    parameter(
        "logfile",
        path!(logfile),
        AtStart,
        "File for the log lines; empty: standard output.",
    ),
    parameter(
        "loglevel",
        choice!(loglevel, LogLevel),
        AnyTime,
        "How much the log lines say: debug, verbose, notice or warning.",
    ),
    kept("lua-time-limit", COUNT, "5000"),
    parameter(
        "maxclients",
        count!(Number, maxclients, 1, u32::MAX as i64),
        AnyTime,
        "Most clients at a time; more are refused.",
    ),
    parameter(
        "maxmemory",
        ALWAYS_ZERO,
        AnyTime,
        "Always 0: memory follows what is active and nothing is evicted.",
    ),
    kept("maxmemory-clients", BYTES, "0"),
    parameter(
        "maxmemory-policy",
        NO_EVICTION,
        AnyTime,
        "Always noeviction: a durable store does not drop data for room.",
    ),
    kept("maxmemory-samples", COUNT, "5"),
    kept(
        "min-replicas-to-write",
        Form::Number { min: 0, max: 0 },
        "0",
    )
    .also("min-slaves-to-write"),
    kept("no-appendfsync-on-rewrite", FLAG, "no"),
    parameter(
        "notify-keyspace-events",
        EVENTS,
        AnyTime,
        "Classes of keyspace events that are published: K and E choose the channels, g x t n m \
         the events, A is short for all but n and m; empty: none.",
    ),
    parameter(
        "pidfile",
        path!(pidfile),
        AtStart,
        "File that holds the process number while the broker runs; empty: none.",
    ),
    parameter(
        "port",
        count!(Number, port, 0, 65535),
        AtStart,
        "TCP port; 0: none is opened.",
    ),
    parameter(
        "protected-mode",
        flag!(protected_mode),
        AnyTime,
        "Refuse to serve other machines while no password is set.",
    ),
    parameter(
        "proto-max-bulk-len",
        count!(Memory, proto_max_bulk_len, 1 << 20, i64::MAX),
        AnyTime,
        "Longest argument of a command, in bytes.",
    ),
    kept("rdb-save-incremental-fsync", FLAG, "yes"),
    kept("rdbchecksum", FLAG, "yes"),
    kept("rdbcompression", FLAG, "yes"),
    parameter(
        "recovery",
        choice!(recovery, Recovery),
        AtStart,
        "What happens to a damaged store at start: strict: refuse and name the damage; salvage: \
         serve all that is intact and name the losses.",
    ),
    kept("repl-backlog-size", BYTES, "1048576"),
    kept("repl-backlog-ttl", COUNT, "3600"),
    kept("repl-diskless-load", Form::Text, "disabled"),
    kept("repl-diskless-sync", FLAG, "yes"),
    kept("repl-timeout", COUNT, "60"),
    kept("replica-priority", COUNT, "100").also("slave-priority"),
    kept("replica-read-only", FLAG, "yes").also("slave-read-only"),
    kept("replica-serve-stale-data", FLAG, "yes").also("slave-serve-stale-data"),
    parameter(
        "requirepass",
        PASSWORD,
        AnyTime,
        "Password that clients must give; empty: none.",
    ),
    kept(
        "sanitize-dump-payload",
        Form::Choice(&["no", "yes", "clients"]),
        "no",
    ),
    kept("save", Form::Words, ""),
    parameter(
        "segment-size",
        SEGMENT_SIZE,
        AtStart,
        "Size of a log segment in bytes.",
    ),
    kept("set-proc-title", FLAG, "yes"),
    parameter(
        "shutdown-timeout",
        count!(Number, shutdown_timeout, 0, INT_MAX),
        AnyTime,
        "Seconds that clients get to take their last replies at a shutdown.",
    ),
    parameter(
        "slowlog-log-slower-than",
        count!(Number, slowlog_log_slower_than, -1, i64::MAX),
        AnyTime,
        "Microseconds from which a command enters the slow log; -1: none does.",
    ),
    parameter(
        "slowlog-max-len",
        count!(Number, slowlog_max_len, 0, i64::MAX),
        AnyTime,
        "Most records in the slow log.",
    ),
    kept("stop-writes-on-bgsave-error", FLAG, "yes"),
    parameter(
        "stream-idmp-duration",
        count!(Number, stream_idmp_duration, 1, 86_400),
        AnyTime,
        "For how many seconds a new stream remembers what producers sent with IDMP or IDMPAUTO.",
    ),
    parameter(
        "stream-idmp-maxsize",
        count!(Number, stream_idmp_maxsize, 1, 10_000),
        AnyTime,
        "How many messages of each producer a new stream remembers.",
    ),
    parameter(
        "stream-lag-compat",
        flag!(stream_lag_compat),
        AnyTime,
        "Whether XINFO shows as the lag of a group what Redis estimates (null where Redis does not \
         know) instead of the exact number.",
    ),
    kept("stream-node-max-bytes", BYTES, "4096"),
    parameter(
        "stream-node-max-entries",
        count!(Number, stream_node_max_entries, 0, 1 << 16),
        AnyTime,
        "Entries in a logical node of a stream: approximate trimming removes whole nodes; 0: no \
         limit.",
    ),
    parameter(
        "stream-retention-acked",
        flag!(stream_retention_acked),
        AnyTime,
        "Whether entries go that all groups of a stream have acknowledged. This and the next settings \
         hold for streams for which XCFGSET has set nothing else; see docs/retention.md.",
    ),
    parameter(
        "stream-retention-acked-max-age",
        count!(Number, stream_retention_acked_max_age, 0, i64::MAX),
        AnyTime,
        "Milliseconds after which entries go that some group has not acknowledged, in streams of which \
         acknowledged ones go; 0: never.",
    ),
    parameter(
        "stream-retention-age",
        count!(Number, stream_retention_age, 0, i64::MAX),
        AnyTime,
        "Milliseconds after which entries go, counted from the time in their IDs; 0: never.",
    ),
    parameter(
        "stream-retention-bytes",
        count!(Memory, stream_retention_bytes, 0, i64::MAX),
        AnyTime,
        "How many bytes on disk are kept of a stream; 0: any number.",
    ),
    parameter(
        "stream-retention-length",
        count!(Number, stream_retention_length, 0, i64::MAX),
        AnyTime,
        "How many entries of a stream are kept; 0: all.",
    ),
    kept("supervised", Form::Text, "no"),
    parameter(
        "tcp-backlog",
        count!(Number, tcp_backlog, 0, INT_MAX),
        AtStart,
        "Length of the queue of connections not yet accepted.",
    ),
    parameter(
        "tcp-keepalive",
        count!(Number, tcp_keepalive, 0, INT_MAX),
        AnyTime,
        "Seconds between keep-alive probes to a silent client; 0: none.",
    ),
    parameter(
        "timeout",
        count!(Number, timeout, 0, INT_MAX),
        AnyTime,
        "Seconds after which an idle client is closed; 0: never.",
    ),
    kept(
        "tracking-table-max-keys",
        Form::Number {
            min: 0,
            max: i64::MAX,
        },
        "1000000",
    ),
];

//! The configuration: one struct, and one table that says for every parameter how it reads, where
//! in the struct it lives, when it may change and what it means.
//!
//! Start-up, `CONFIG GET`, `CONFIG SET`, `CONFIG REWRITE`, `--help` and the documentation all go
//! through `TABLE`; nothing else knows the name of a parameter.

#[macro_use]
mod slot;
pub(crate) mod rewrite;
mod table;
mod value;

use std::path::PathBuf;

use alluvium_engine::{Kept, ProducerSettings, Recovery, SyncPolicy, limits};

pub(crate) use table::TABLE;
pub(crate) use value::{Complaint, Form, Value};
pub(crate) use value::{escape, quote};

/// Whose `DEBUG` is obeyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DebugCommand {
    /// Nobody's.
    No,
    /// That of connections from this machine.
    Local,
    /// Everybody's.
    Yes,
}

/// How much the log lines say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// Much.
    Verbose,
    /// What an operator wants to know.
    Notice,
    /// Only what needs attention.
    Warning,
}

/// How much may wait for a client before it is closed; zero means no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputLimit {
    /// Bytes at which the client is closed at once.
    pub hard: u64,
    /// Bytes at which the client is closed when they last longer than `soft_seconds`.
    pub soft: u64,
    /// How long the soft limit may be exceeded.
    pub soft_seconds: u64,
}

/// Everything that can be configured.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a parameter of its own"
)]
pub struct Config {
    /// The file that was given at start, absolute: what `CONFIG REWRITE` writes.
    pub file: Option<PathBuf>,
    /// Addresses to listen on.
    pub bind: Vec<String>,
    /// TCP port; 0: none is opened.
    pub port: u16,
    /// Refuse to listen publicly without a password.
    pub protected_mode: bool,
    /// Password of the default user; empty: none is asked for.
    pub requirepass: Vec<u8>,
    /// Length of the queue of connections not yet accepted.
    pub tcp_backlog: u32,
    /// Seconds between keep-alive probes; 0: none.
    pub tcp_keepalive: u32,
    /// Seconds after which an idle client is closed; 0: never.
    pub timeout: u32,
    /// Most clients at a time.
    pub maxclients: u32,
    /// Worker threads of the network side; 0: one for every two processors.
    pub io_threads: u16,
    /// Longest argument in bytes.
    pub proto_max_bulk_len: u64,
    /// Most bytes of requests that may wait in a connection's buffer.
    pub client_query_buffer_limit: u64,
    /// Output limits of normal, replica and subscribed clients, in this order.
    pub client_output_buffer_limit: [OutputLimit; 3],
    /// The data directory.
    pub dir: PathBuf,
    /// Where backups are made; empty: in the data directory.
    pub backup_dir: PathBuf,
    /// When an acknowledgement leaves.
    pub appendfsync: SyncPolicy,
    /// Size of a log segment in bytes.
    pub segment_size: u64,
    /// Bytes of log behind the last checkpoint from which the next one is taken.
    pub checkpoint_interval: u64,
    /// Most memory for decompressed blocks of sorted segments, in bytes.
    pub block_cache: u64,
    /// Most bytes that the files of the store may take; 0: no bound.
    pub disk_quota: u64,
    /// What happens to a damaged store at start.
    pub recovery: Recovery,
    /// Entries in a logical node: where approximate trimming cuts.
    pub stream_node_max_entries: u32,
    /// For how many seconds a new stream remembers what producers sent.
    pub stream_idmp_duration: u32,
    /// How many messages of each producer a new stream remembers.
    pub stream_idmp_maxsize: u32,
    /// How old an entry may grow, in milliseconds; 0: no bound.
    pub stream_retention_age: u64,
    /// How many bytes on disk of a stream are kept; 0: no bound.
    pub stream_retention_bytes: u64,
    /// How many entries of a stream are kept; 0: no bound.
    pub stream_retention_length: u64,
    /// Whether what all groups have acknowledged may go.
    pub stream_retention_acked: bool,
    /// How old an entry may grow then that a group has not acknowledged; 0: no bound.
    pub stream_retention_acked_max_age: u64,
    /// Whether a group's lag is what Redis estimates, instead of exact.
    pub stream_lag_compat: bool,
    /// The newest version of Redis's RDB format that DUMP writes.
    pub dump_rdb_version: u16,
    /// How much the log lines say.
    pub loglevel: LogLevel,
    /// File for the log lines; empty: standard output.
    pub logfile: PathBuf,
    /// File that holds the process number while the broker runs; empty: none.
    pub pidfile: PathBuf,
    /// Microseconds from which a command enters the slow log; negative: never.
    pub slowlog_log_slower_than: i64,
    /// Most records in the slow log.
    pub slowlog_max_len: u64,
    /// Milliseconds from which an event enters the latency monitor; 0: off.
    pub latency_monitor_threshold: u64,
    /// Whether a latency histogram is kept for each command.
    pub latency_tracking: bool,
    /// Percentiles that `INFO latencystats` shows.
    pub latency_tracking_info_percentiles: Vec<f64>,
    /// Which keyspace events are published.
    pub notify_keyspace_events: crate::keyspace_events::EventClasses,
    /// Whose `DEBUG` is obeyed.
    pub enable_debug_command: DebugCommand,
    /// Seconds that clients get to take their last replies at a shutdown.
    pub shutdown_timeout: u32,
    /// Parameters that are kept for compatibility only and were changed from their default.
    kept: std::collections::BTreeMap<&'static str, Value>,
}

impl Default for Config {
    fn default() -> Config {
        const NO_LIMIT: OutputLimit = OutputLimit {
            hard: 0,
            soft: 0,
            soft_seconds: 0,
        };
        Config {
            file: None,
            bind: vec!["127.0.0.1".to_owned()],
            port: 6379,
            protected_mode: true,
            requirepass: Vec::new(),
            tcp_backlog: 511,
            tcp_keepalive: 300,
            timeout: 0,
            maxclients: 10_000,
            io_threads: 0,
            proto_max_bulk_len: 512 << 20,
            client_query_buffer_limit: 1 << 30,
            client_output_buffer_limit: [
                NO_LIMIT,
                OutputLimit {
                    hard: 256 << 20,
                    soft: 64 << 20,
                    soft_seconds: 60,
                },
                OutputLimit {
                    hard: 32 << 20,
                    soft: 8 << 20,
                    soft_seconds: 60,
                },
            ],
            dir: PathBuf::from("alluvium-data"),
            backup_dir: PathBuf::new(),
            appendfsync: SyncPolicy::Always,
            segment_size: limits::SEGMENT_SIZE_DEFAULT,
            checkpoint_interval: 32 << 20,
            block_cache: 32 << 20,
            disk_quota: 0,
            recovery: Recovery::Strict,
            stream_node_max_entries: 100,
            stream_idmp_duration: limits::IID_SECONDS_DEFAULT,
            stream_idmp_maxsize: limits::IIDS_MAX_DEFAULT,
            stream_retention_age: 0,
            stream_retention_bytes: 0,
            stream_retention_length: 0,
            stream_retention_acked: false,
            stream_retention_acked_max_age: 7 * 24 * 60 * 60 * 1000,
            stream_lag_compat: false,
            dump_rdb_version: crate::rdb::WRITTEN_VERSIONS.1,
            loglevel: LogLevel::Notice,
            logfile: PathBuf::new(),
            pidfile: PathBuf::new(),
            slowlog_log_slower_than: 10_000,
            slowlog_max_len: 128,
            latency_monitor_threshold: 0,
            latency_tracking: true,
            latency_tracking_info_percentiles: vec![50.0, 99.0, 99.9],
            notify_keyspace_events: crate::keyspace_events::EventClasses::default(),
            enable_debug_command: DebugCommand::No,
            shutdown_timeout: 10,
            kept: std::collections::BTreeMap::new(),
        }
    }
}

impl Config {
    /// Where backups are made, absolute.
    #[must_use]
    pub fn backup_dir(&self) -> PathBuf {
        let dir = if self.backup_dir.as_os_str().is_empty() {
            self.dir.join(alluvium_engine::BACKUP)
        } else {
            self.backup_dir.clone()
        };
        std::path::absolute(&dir).unwrap_or(dir)
    }

    /// The size of a logical node as the engine wants it: there, zero does not mean no limit.
    #[must_use]
    pub fn node_entries_max(&self) -> u32 {
        match self.stream_node_max_entries {
            0 => limits::NODE_ENTRIES_MAX,
            entries => entries.min(limits::NODE_ENTRIES_MAX),
        }
    }

    /// How much is kept of streams for which nothing else was set.
    #[must_use]
    pub fn kept(&self) -> Kept {
        Kept {
            age_ms: self.stream_retention_age,
            bytes: self.stream_retention_bytes,
            length: self.stream_retention_length,
            acked: self.stream_retention_acked,
            acked_age_ms: self.stream_retention_acked_max_age,
        }
    }

    /// How much a new stream remembers of its producers.
    #[must_use]
    pub fn producer_settings(&self) -> ProducerSettings {
        ProducerSettings {
            seconds: self.stream_idmp_duration,
            count_max: self.stream_idmp_maxsize,
        }
    }
}

/// When a parameter may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// At any time, by `CONFIG SET`.
    AnyTime,
    /// Only at start.
    AtStart,
}

/// Where a value lives.
#[derive(Clone, Copy)]
pub(crate) enum Slot {
    /// In a field of [`Config`].
    Field {
        /// Reads the field.
        get: fn(&Config) -> Value,
        /// Writes the field; the value has the parameter's form.
        set: fn(&mut Config, Value) -> Result<(), Complaint>,
    },
    /// Beside the others: kept and shown, but without effect. Holds the default, as text.
    Kept(&'static str),
}

/// One line of the table.
pub(crate) struct Parameter {
    /// Its name in redis.conf.
    pub(crate) name: &'static str,
    /// An older name that is accepted as well.
    pub(crate) alias: Option<&'static str>,
    /// How its value reads.
    pub(crate) form: Form,
    /// Where its value lives.
    pub(crate) slot: Slot,
    /// When it may change.
    pub(crate) change: Change,
    /// What it means, for `--help` and the documentation.
    pub(crate) meaning: &'static str,
}

impl Parameter {
    /// The parameter of that name or alias, in any case.
    pub(crate) fn named(name: &[u8]) -> Option<&'static Parameter> {
        let is = |known: &str| known.as_bytes().eq_ignore_ascii_case(name);
        TABLE
            .iter()
            .find(|parameter| is(parameter.name) || parameter.alias.is_some_and(is))
    }

    /// Whether setting it changes nothing but what `CONFIG GET` shows.
    pub(crate) fn has_no_effect(&self) -> bool {
        matches!(self.slot, Slot::Kept(_))
    }

    /// Whether there is only one value that it takes.
    pub(crate) fn has_one_value(&self) -> bool {
        match self.form {
            Form::Number { min, max } | Form::Memory { min, max } => min == max,
            Form::Choice(names) => names.len() == 1,
            Form::Flag | Form::Text | Form::Words => false,
        }
    }

    /// The current value.
    pub(crate) fn value(&self, config: &Config) -> Value {
        match self.slot {
            Slot::Field { get, .. } => get(config),
            Slot::Kept(default) => config.kept.get(self.name).cloned().unwrap_or_else(|| {
                self.parse_text(default.as_bytes())
                    .expect("the defaults of the table are valid")
            }),
        }
    }

    /// The current value as `CONFIG GET` shows it.
    pub(crate) fn show(&self, config: &Config) -> Vec<u8> {
        self.form.show(&self.value(config))
    }

    /// Whether the value differs from the default.
    pub(crate) fn is_changed(&self, config: &Config) -> bool {
        self.value(config) != self.value(&Config::default())
    }

    /// The words of the current value, as a configuration line has them behind the name.
    pub(crate) fn words(&self, config: &Config) -> Vec<Vec<u8>> {
        match self.value(config) {
            Value::Words(words) => words,
            value => vec![self.form.show(&value)],
        }
    }

    /// Sets the value from the words of a configuration line or of the command line.
    pub(crate) fn set_words(&self, config: &mut Config, words: &[&[u8]]) -> Result<(), Complaint> {
        let value = self.form.parse(words)?;
        self.store(config, value)
    }

    /// Sets the value from one text, as `CONFIG SET` has it: a list is split at its spaces.
    pub(crate) fn set_text(&self, config: &mut Config, text: &[u8]) -> Result<(), Complaint> {
        let value = self.parse_text(text)?;
        self.store(config, value)
    }

    fn parse_text(&self, text: &[u8]) -> Result<Value, Complaint> {
        if let Form::Words = self.form {
            let words: Vec<&[u8]> = text
                .split(|&byte| byte == b' ')
                .filter(|word| !word.is_empty())
                .collect();
            return self.form.parse(&words);
        }
        self.form.parse(&[text])
    }

    fn store(&self, config: &mut Config, value: Value) -> Result<(), Complaint> {
        match self.slot {
            Slot::Field { set, .. } => set(config, value),
            Slot::Kept(_) => {
                config.kept.insert(self.name, value);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_takes_back_what_it_shows() {
        let defaults = Config::default();
        let mut config = Config::default();
        for parameter in TABLE {
            let shown = parameter.show(&defaults);
            parameter
                .set_text(&mut config, &shown)
                .unwrap_or_else(|complaint| panic!("{}: {complaint}", parameter.name));
            assert_eq!(parameter.show(&config), shown, "{}", parameter.name);
        }
    }

    #[test]
    fn names_are_unique_and_sorted() {
        for pair in TABLE.windows(2) {
            assert!(
                pair[0].name < pair[1].name,
                "{} before {}",
                pair[0].name,
                pair[1].name
            );
        }
        for parameter in TABLE {
            if let Some(alias) = parameter.alias {
                assert!(TABLE.iter().all(|other| other.name != alias), "{alias}");
            }
            assert!(parameter.meaning.ends_with('.'), "{}", parameter.name);
        }
    }
}

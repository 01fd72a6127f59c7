//! What a process has used so far, as the kernel tells it under `/proc`.

use std::fs;

/// Counters of one process.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Processor time in user and kernel mode, waited-for children included, in nanoseconds.
    pub(crate) cpu_ns: u64,
    /// Bytes that were sent to the block layer.
    pub(crate) written_bytes: u64,
    /// Resident memory, maps of files included, in bytes.
    pub(crate) rss_bytes: u64,
    /// Resident memory that belongs to no file, in bytes.
    pub(crate) anonymous_bytes: u64,
}

/// Nanoseconds in a tick of `/proc/PID/stat`; Linux shows 100 ticks a second on every platform.
const TICK_NS: u64 = 10_000_000;

fn read(pid: &str, file: &str) -> Result<String, String> {
    let path = format!("/proc/{pid}/{file}");
    fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))
}

/// The number behind `name` in a file of `name: number` lines.
fn field(text: &str, name: &str) -> u64 {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// Processor time of a process (`self` for this one), in nanoseconds.
///
/// Fields 14 to 17 of `stat`: user and system time, the process's own and its children's.
pub(crate) fn cpu_ns(pid: &str) -> Result<u64, String> {
    let stat = read(pid, "stat")?;
    let behind_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = behind_name
        .split_whitespace()
        .skip(11)
        .take(4)
        .filter_map(|ticks| ticks.parse::<u64>().ok())
        .sum();
    Ok(ticks * TICK_NS)
}

/// Memory that belongs to no file, in bytes: cheap to ask for.
pub(crate) fn anonymous_bytes(pid: u32) -> Result<u64, String> {
    Ok(field(&read(&pid.to_string(), "status")?, "RssAnon") * 1024)
}

impl Usage {
    /// All counters; walking the maps of a large process takes a few milliseconds.
    pub(crate) fn of(pid: u32) -> Result<Self, String> {
        let pid = pid.to_string();
        let smaps = read(&pid, "smaps_rollup")?;
        Ok(Self {
            cpu_ns: cpu_ns(&pid)?,
            written_bytes: field(&read(&pid, "io")?, "write_bytes"),
            rss_bytes: field(&smaps, "Rss") * 1024,
            anonymous_bytes: field(&smaps, "Anonymous") * 1024,
        })
    }

    /// Processor time and bytes written, which are cheap to ask for.
    pub(crate) fn quick(pid: u32) -> Result<Self, String> {
        let pid = pid.to_string();
        Ok(Self {
            cpu_ns: cpu_ns(&pid)?,
            written_bytes: field(&read(&pid, "io")?, "write_bytes"),
            ..Self::default()
        })
    }
}

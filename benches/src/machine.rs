//! The machine that was measured on, in words that say nothing about whose it is.

use std::fs;
use std::path::Path;

/// Cores, memory, kernel and the file system under a directory.
pub(crate) fn describe(dir: &Path) -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory_kib: u64 = fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| text.split_whitespace().nth(1)?.parse().ok())
        .unwrap_or(0);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel = kernel.trim().split('-').next().unwrap_or("?").to_owned();
    let file_system = file_system(dir).unwrap_or_else(|| "?".to_owned());
    let memory = memory_kib.div_ceil(1024 * 1024);
    format!("{cores} cores, {memory} GiB of memory, Linux {kernel}, {file_system}")
}

/// The type of the mount that a directory is on: the longest mount point that leads to it.
fn file_system(dir: &Path) -> Option<String> {
    let dir = dir.canonicalize().ok()?;
    let mounts = fs::read_to_string("/proc/mounts").ok()?;
    mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ').skip(1);
            Some((words.next()?, words.next()?))
        })
        .filter(|(point, _)| dir.starts_with(point))
        .max_by_key(|(point, _)| point.len())
        .map(|(_, kind)| kind.to_owned())
}

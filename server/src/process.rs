//! What the kernel knows about this process: memory and processor time.

use std::fs;

/// Figures of this process; zero where the kernel does not tell.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Process {
    /// Bytes of memory that are present.
    pub(crate) resident: u64,
    /// The most that ever were.
    pub(crate) resident_max: u64,
    /// Seconds of processor time spent in the program.
    pub(crate) user_secs: f64,
    /// Seconds of processor time spent in the kernel for it.
    pub(crate) system_secs: f64,
}

/// Ticks per second in which Linux reports processor time to programs; the same on every machine.
const TICKS_PER_SEC: f64 = 100.0;

impl Process {
    /// The present figures.
    pub(crate) fn present() -> Process {
        let mut process = Process::default();
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        for line in status.lines() {
            let kib = || {
                line.split_whitespace()
                    .nth(1)
                    .and_then(|kib| kib.parse::<u64>().ok())
            };
            if line.starts_with("VmRSS:") {
                process.resident = kib().unwrap_or(0) << 10;
            } else if line.starts_with("VmHWM:") {
                process.resident_max = kib().unwrap_or(0) << 10;
            }
        }
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // The name, between parentheses, may hold spaces: fields are counted behind it. User time
        // is field 14 of the line and system time field 15; the state behind the name is field 3.
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        let mut ticks = fields.split_whitespace().skip(11).map(str::parse::<u32>);
        let mut seconds =
            || ticks.next().and_then(Result::ok).map_or(0.0, f64::from) / TICKS_PER_SEC;
        process.user_secs = seconds();
        process.system_secs = seconds();
        process
    }

    /// Bytes of memory that the machine has.
    pub(crate) fn machine_memory() -> u64 {
        let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let total = info.lines().find(|line| line.starts_with("MemTotal:"));
        let kib = total.and_then(|line| line.split_whitespace().nth(1));
        kib.and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) << 10
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells() {
        let process = Process::present();
        assert!(process.resident > 0 && process.resident_max >= process.resident);
        assert!(process.user_secs + process.system_secs >= 0.0);
        assert!(Process::machine_memory() > process.resident);
    }
}

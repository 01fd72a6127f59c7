//! The broker's own log lines: a time, a level, a sentence.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use alluvium_engine::storage::{Clock, SystemClock};
use parking_lot::Mutex;

use crate::parameters::LogLevel;

/// Where lines go and which.
struct Sink {
    level: LogLevel,
    /// `None`: standard output.
    file: Option<File>,
}

static SINK: Mutex<Sink> = Mutex::new(Sink {
    level: LogLevel::Notice,
    file: None,
});

/// Sends lines of at least this level to a file, or to standard output if the path is empty.
pub(crate) fn set_up(level: LogLevel, path: &Path) -> io::Result<()> {
    let file = if path.as_os_str().is_empty() {
        None
    } else {
        Some(OpenOptions::new().create(true).append(true).open(path)?)
    };
    *SINK.lock() = Sink { level, file };
    Ok(())
}

/// Changes which lines are written.
pub(crate) fn set_level(level: LogLevel) {
    SINK.lock().level = level;
}

/// What an operator wants to know.
pub(crate) fn notice(line: fmt::Arguments<'_>) {
    write(LogLevel::Notice, "notice", line);
}

/// What needs attention.
pub(crate) fn warning(line: fmt::Arguments<'_>) {
    write(LogLevel::Warning, "warning", line);
}

fn write(level: LogLevel, name: &str, line: fmt::Arguments<'_>) {
    let mut sink = SINK.lock();
    if level < sink.level {
        return;
    }
    let line = format!(
        "{} {name}: {line}\n",
        Timestamp(SystemClock::default().now_ms())
    );
    // A log line that cannot be written must not end the broker.
    let _ = match &mut sink.file {
        Some(file) => file.write_all(line.as_bytes()),
        None => io::stdout().write_all(line.as_bytes()),
    };
}

/// Milliseconds since the Unix epoch, shown as `2026-11-22T21:06:00.123Z`.
pub(crate) struct Timestamp(pub(crate) u64);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (secs, millis) = (self.0 / 1000, self.0 % 1000);
        let (days, second) = (secs / 86_400, secs % 86_400);
        let (year, month, day) = date(days);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z"
        )
    }
}

/// The date of a day since 1970-01-01. Years begin in March here, so that the leap day is the last.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let is_next_year = month >= 10;
    let year = era * 400 + year + u64::from(is_next_year);
    (year, if is_next_year { month - 9 } else { month + 3 }, day)
}

#[cfg(test)]
mod tests {
    use super::Timestamp;

    #[test]
    fn times_are_shown_in_utc() {
        for (ms, shown) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_795_381_560_123, "2026-11-22T21:06:00.123Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(Timestamp(ms).to_string(), shown);
        }
    }
}

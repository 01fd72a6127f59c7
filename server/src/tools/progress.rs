//! How far a tool has come, on standard error: for who watches a terminal, or asked for it.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use alluvium_engine::ToolProgress;

/// Progress is told so often at most.
const PAUSE: Duration = Duration::from_millis(200);

/// Tells how far a tool has come.
pub(super) struct Teller {
    is_on: bool,
    /// On a terminal each line takes the place of the one before.
    is_terminal: bool,
    last: Option<Instant>,
    has_line: bool,
}

impl Teller {
    /// `wanted` is what the command line says: on, off, or nothing.
    pub(super) fn new(wanted: Option<bool>) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        Self {
            is_on: wanted.unwrap_or(is_terminal),
            is_terminal,
            last: None,
            has_line: false,
        }
    }

    /// Tells it, unless something was told just now.
    pub(super) fn tell(&mut self, progress: &ToolProgress<'_>) {
        if !self.is_on || self.last.is_some_and(|last| last.elapsed() < PAUSE) {
            return;
        }
        self.last = Some(Instant::now());
        let name = progress.path.and_then(|path| path.file_name());
        let name = name.map_or(String::new(), |name| format!(" {}", name.to_string_lossy()));
        let share = match progress.total {
            0 => String::new(),
            total => format!(" ({}%)", progress.done.min(total) * 100 / total),
        };
        let line = format!("{}{name}{share}", progress.what);
        if self.is_terminal {
            eprint!("\r\x1b[K{line}");
            self.has_line = true;
        } else {
            eprintln!("{line}");
        }
    }

    /// Nothing more is told.
    pub(super) fn end(&mut self) {
        if std::mem::take(&mut self.has_line) {
            eprint!("\r\x1b[K");
        }
    }
}

//! Backups that clients ask for: ALLUVIUM BACKUP hands the wish to a thread, and INFO shows how it
//! goes.
//!
//! A client names a backup and never a path: all of them are in the directory that the operator
//! has chosen. One is made at a time, and the end of the broker ends it.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use alluvium_engine::storage::{Clock, SystemClock};
use alluvium_engine::{BackupProgress, BackupReport};
use parking_lot::{Condvar, Mutex};

use crate::Server;
use crate::log::{self, Timestamp};

/// Longest name of a backup.
const NAME_LEN_MAX: usize = 64;

/// A backup that is to be made.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) name: String,
    /// Where it will be.
    pub(crate) path: PathBuf,
}

/// A backup that was made, or was not.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) wish: Wish,
    /// What it holds, or why there is none.
    pub(crate) outcome: Result<BackupReport, String>,
    /// Wall-clock milliseconds.
    pub(crate) at_ms: u64,
}

#[derive(Default)]
struct State {
    /// Asked for or being made.
    current: Option<Wish>,
    progress: BackupProgress,
    last: Option<Ended>,
    is_closed: bool,
}

/// Hands the wish for a backup from the commands to the thread.
#[derive(Default)]
pub(crate) struct Backups {
    state: Mutex<State>,
    changed: Condvar,
}

impl Backups {
    /// Asks for a backup; false if one is asked for or being made already.
    pub(crate) fn ask(&self, wish: Wish) -> bool {
        let mut state = self.state.lock();
        if state.current.is_some() {
            return false;
        }
        state.progress = BackupProgress::default();
        state.current = Some(wish);
        self.changed.notify_all();
        true
    }

    /// The backup that is being made, and how far it is.
    pub(crate) fn current(&self) -> Option<(Wish, BackupProgress)> {
        let state = self.state.lock();
        state.current.clone().map(|wish| (wish, state.progress))
    }

    /// The one that ended last.
    pub(crate) fn last(&self) -> Option<Ended> {
        self.state.lock().last.clone()
    }

    /// Ends the thread, and what it is doing.
    pub(crate) fn close(&self) {
        self.state.lock().is_closed = true;
        self.changed.notify_all();
    }

    /// The thread: makes backups until it is closed.
    pub(crate) fn run(server: &Server) {
        let backups = &server.backups;
        loop {
            let mut state = backups.state.lock();
            let wish = loop {
                match &state.current {
                    _ if state.is_closed => return,
                    Some(wish) => break wish.clone(),
                    None => backups.changed.wait(&mut state),
                }
            };
            drop(state);
            let ended = backups.make(server, wish);
            let mut state = backups.state.lock();
            state.last = Some(ended);
            state.current = None;
        }
    }

    fn make(&self, server: &Server, wish: Wish) -> Ended {
        let mut watch = |progress| {
            let mut state = self.state.lock();
            state.progress = progress;
            if state.is_closed {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        let made = server.engine.backup(&wish.path, &mut watch);
        match &made {
            Ok(report) => log::notice(format_args!(
                "backup {}: {} bytes, {} of them linked, at LSN {}",
                wish.path.display(),
                report.bytes,
                report.linked_bytes,
                report.end.0
            )),
            Err(error) => log::warning(format_args!("backup failed: {error}")),
        }
        Ended {
            wish,
            outcome: made.map_err(|error| error.to_string()),
            at_ms: SystemClock::default().now_ms(),
        }
    }
}

impl Wish {
    /// A backup of that name in `dir`; `None` if it cannot be a name.
    pub(crate) fn named(dir: &Path, name: &[u8]) -> Option<Self> {
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
        let starts_plainly = name.first().is_some_and(u8::is_ascii_alphanumeric);
        let name = std::str::from_utf8(name).ok()?;
        let is_name = starts_plainly
            && name.len() <= NAME_LEN_MAX
            && name.as_bytes().iter().all(is_plain)
            && !name.ends_with(".unfinished");
        is_name.then(|| Self {
            name: name.to_owned(),
            path: dir.join(name),
        })
    }

    /// A backup in `dir` whose name is the time.
    pub(crate) fn at(dir: &Path, now_ms: u64) -> Self {
        let name = Timestamp(now_ms).to_string().replace(['-', ':'], "");
        let path = dir.join(&name);
        Self { name, path }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_step_below_the_directory() {
        let dir = Path::new("/backups");
        for name in [
            "a",
            "2026-11-22",
            "before.upgrade_2",
            &"x".repeat(NAME_LEN_MAX),
        ] {
            let wish = Wish::named(dir, name.as_bytes()).unwrap();
            assert_eq!(wish.path.parent(), Some(dir));
            assert_eq!(wish.name, name);
        }
        for name in [
            "",
            ".",
            "..",
            "a/b",
            "../a",
            "/etc",
            "-a",
            ".a",
            "a b",
            "a.unfinished",
        ] {
            assert!(Wish::named(dir, name.as_bytes()).is_none(), "{name}");
        }
        assert!(Wish::named(dir, b"a\0").is_none() && Wish::named(dir, b"\xff").is_none());
        assert!(Wish::named(dir, &[b'x'; NAME_LEN_MAX + 1]).is_none());
    }

    #[test]
    fn the_time_is_a_name() {
        let wish = Wish::at(Path::new("/backups"), 1_795_381_560_123);
        assert_eq!(wish.name, "20261122T210600.123Z");
        assert!(Wish::named(Path::new("/backups"), wish.name.as_bytes()).is_some());
    }
}
